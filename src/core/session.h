// SPDX-License-Identifier: Apache-2.0
// This daemon's session: the row that its leases point at.
#ifndef TENURE_CORE_SESSION_H
#define TENURE_CORE_SESSION_H

enum session_state {
	SESSION_NONE,     // the next one gets a new id
	SESSION_CREATING, // the insert is out
	SESSION_UNSURE,   // it may be there: renewed to find out, never inserted twice (rule 11)
	SESSION_LIVE,     // was there at the last answer
	SESSION_CLOSING,  // the delete is out
	SESSION_CLOSED,
	SESSION_STATES
};

enum session_event {
	SESSION_CREATE,
	SESSION_CLOSE,
	SESSION_ALIVE,  // the row was written
	SESSION_DEAD,   // no row: killed (rule 11)
	SESSION_FAILED, // not answered, or the statement failed (rule 12)
	SESSION_EVENTS
};

// The next state, or SESSION_STATES where the event cannot happen in that state.
enum session_state session_next(enum session_state state, enum session_event event);

const char *session_state_name(enum session_state state);
const char *session_event_name(enum session_event event);

#endif
