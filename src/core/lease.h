// SPDX-License-Identifier: Apache-2.0
// One lease of this daemon: from a worker that waits to a row that is free again.
#ifndef TENURE_CORE_LEASE_H
#define TENURE_CORE_LEASE_H

enum lease_state {
	LEASE_IDLE,      // nobody here to lead
	LEASE_CANDIDATE, // a worker is ready
	LEASE_CLAIMING,  // a claim is out
	LEASE_LEADING,   // an acknowledged claim, told to the worker
	LEASE_DRAINING,  // revoked; the token may be valid until its frozen deadline
	LEASE_RELEASING, // the token is void or given back, the row still names us
	LEASE_STATES
};

enum lease_event {
	LEASE_WORKER_READY,
	LEASE_WORKER_LEFT,
	LEASE_CLAIM,
	LEASE_GRANTED,
	LEASE_UNWANTED, // granted, but the worker left meanwhile, or too late to be of use
	LEASE_REFUSED,  // answered without a grant, or not answered
	LEASE_STRAY,    // the row names our session, and we do not hold it (rule 7)
	LEASE_REVOKE,
	LEASE_ENDED, // the work has ended: it said so, or it is gone
	LEASE_VOID,  // the frozen deadline passed
	LEASE_RELEASED,
	LEASE_EVENTS
};

// The next state, or LEASE_STATES where the event cannot happen in that state.
enum lease_state lease_next(enum lease_state state, enum lease_event event);

const char *lease_state_name(enum lease_state state);
const char *lease_event_name(enum lease_event event);

#endif
