// SPDX-License-Identifier: Apache-2.0
// The worker's seat: what one worker was told about one component, and what it still has to say.
#ifndef TENURE_CORE_SEAT_H
#define TENURE_CORE_SEAT_H

enum seat_state {
	SEAT_VACANT,       // no worker
	SEAT_READY,        // joined, told nothing: the default is follower (W1)
	SEAT_STARTING,     // told granted, has not said started
	SEAT_WORKING,      // said started
	SEAT_STOPPING,     // told revoked, its token is valid until the frozen deadline
	SEAT_OVERDUE,      // the frozen deadline passed and it has not said stopped: gets no new term
	SEAT_AWAY,         // a term resumed after a restart; its worker has not come back yet
	SEAT_AWAY_REVOKED, // the same, and it will be told revoked
	SEAT_STATES
};

enum seat_event {
	SEAT_JOIN,           // a worker without a term
	SEAT_REJOIN,         // a worker with the seat's own term, which had not said started
	SEAT_REJOIN_WORKING, // the same, and it had
	SEAT_STARTED,
	SEAT_ALIVE,
	SEAT_STOPPED,
	SEAT_YIELD,
	SEAT_GONE, // it left, or every copy of its connection is closed
	SEAT_GRANT,
	SEAT_REVOKE,
	SEAT_VOID, // the deadline of a revoked term passed
	SEAT_LATE, // no started within start_timeout, or no heartbeat (W16)
	SEAT_EVENTS
};

enum seat_action {
	SEAT_NOTHING,
	SEAT_REFUSE_STALE, // the term that was named is over, or never was
	SEAT_REFUSE_BUSY,  // the seat is taken
	SEAT_WELCOME,      // the seat became ready: the lease may be a candidate
	SEAT_LEFT,         // a ready worker left
	SEAT_TELL_GRANTED,
	SEAT_TELL_REVOKED,
	SEAT_RESUMED,     // the worker of a resumed term is back: extensions go on
	SEAT_ENDED,       // the work has ended after revoked
	SEAT_ENDED_GONE,  // the worker is gone, and with it the work
	SEAT_ENDED_YIELD, // the work has ended by the worker's own will (W15)
	SEAT_EXPIRED,     // the token is void by every clock
	SEAT_STALLED,     // to be revoked
	SEAT_IMPOSSIBLE,
};

struct seat_cell {
	enum seat_state next;
	enum seat_action action;
};

// The cell for `event` in `state`: every combination has one.
struct seat_cell seat_cell(enum seat_state state, enum seat_event event);

const char *seat_state_name(enum seat_state state);
const char *seat_event_name(enum seat_event event);

#endif
