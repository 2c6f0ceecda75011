// SPDX-License-Identifier: Apache-2.0
// The election of one daemon: every decision about leadership, as a pure function of events.
//
//   election_step(election, event, update)   what happened goes in with its time, what to do comes out
//   election_deadline(election)              when to call with ELECTION_TIME at the latest
//
// No I/O, no clock, no memory of its own: the caller brings all three. Notes are to be carried out in their order;
// before a worker is told anything, its slot of the terms page has to show election_token().
#ifndef TENURE_CORE_ELECTION_H
#define TENURE_CORE_ELECTION_H

#include "exchange.h"
#include "lease.h"
#include "seat.h"
#include "session.h"

#define ELECTION_NEVER INT64_MAX
// The most notes that one step makes for one lease, and for the election as a whole.
#define ELECTION_NOTES_PER_LEASE 11
#define ELECTION_NOTES_MORE 8
// Behind the last component of a group.
#define ELECTION_NO_LEASE UINT32_MAX
// Of the candidates or offerers in a reply: none.
#define ELECTION_NO_ONE UINT32_MAX
// The cool-down that means "the configured one".
#define ELECTION_COOLDOWN_DEFAULT (-1)

struct election_timing {
	int64_t lease_ns;
	int64_t renew_ns;
	int64_t poll_ns;
	int64_t timeout_ns; // of an exchange
};

struct election_lease_timing {
	int64_t stop_grace_ns;
	int64_t start_timeout_ns;
	int64_t cooldown_ns;
	// S3
	bool observes;           // never to lead here
	int32_t priority;        // larger is better
	int64_t prefer_after_ns; // a better candidate that was there for so long gets the lease; 0: never
};

// Why a term ends, or a worker is told so. The names are the protocol's.
enum election_reason {
	REASON_NONE,
	REASON_SHUTDOWN,
	REASON_RESIGNED,    // an operator wanted another leader (S2)
	REASON_TRANSFERRED, // to a named node, or to a better one (S2, S3)
	REASON_EXPIRING,    // no renewal by deadline - stop_grace
	REASON_LOST,        // the session was killed, or the row says another term
	REASON_YIELDED,     // the worker gave it up
	REASON_STALLED,     // not started in time, or no heartbeat (W16)
	REASON_WORKER_GONE, // its connection ended
	REASON_REMOVED,     // the component is not configured any more
	REASON_UNUSED,      // claimed, and no worker was told: for the history alone
	REASON_COUNT
};

const char *election_reason_name(enum election_reason reason);

// What an operator asks of the fleet, through any of its daemons. It takes an exchange or two; one at a time.
enum election_operation_kind {
	OPERATION_NONE,
	OPERATION_PAUSE, // sitting leaders stay, nobody new is elected
	OPERATION_RESUME,
	OPERATION_RESIGN,   // the leader of `lease`, wherever it is, gives it up, with `cooldown_ns`
	OPERATION_TRANSFER, // and `node` gets it
	OPERATION_HISTORY,  // `count` terms of `lease` or EXCHANGE_EVERY_LEASE: they are in the reply of that step
};

struct election_operation {
	enum election_operation_kind kind;
	uint32_t lease;
	uint32_t count;
	int64_t cooldown_ns;
	char node[NAME_BYTES + 1];
};

enum election_result {
	RESULT_DONE,
	RESULT_UNAVAILABLE,   // the store did not answer
	RESULT_NOBODY_LEADS,  // there is no term to end
	RESULT_LEADS_ALREADY, // the node that was named
	RESULT_NO_CANDIDATE,  // no live candidate has that node's name
	RESULT_PAUSED,        // nobody would take over
	RESULT_OVERTAKEN,     // the term ended meanwhile
	RESULT_COUNT
};

enum election_event_type {
	ELECTION_TIME,    // election_deadline() came
	ELECTION_REPLY,   // the store answered: `reply`
	ELECTION_HINT,    // something was announced, and `freed` are free for anybody, it says; worth a look
	ELECTION_JOIN,    // a worker asks for the seat of `lease`: `term` (0: none), `heartbeat_ns` (0: none)
	ELECTION_STARTED, // these name `lease` and `term`
	ELECTION_ALIVE,
	ELECTION_STOPPED,
	ELECTION_YIELD,   // with `cooldown_ns`
	ELECTION_GONE,    // the worker in the seat of `lease` left or its connection ended
	ELECTION_EXPEL,   // the worker in the seat of `lease` is not heard any more, and may live: not the same as gone
	ELECTION_RESIGN,  // the leader of `lease` is to give it up, with `cooldown_ns`; ANSWER_STALE: nobody leads here
	ELECTION_OPERATE, // `operation`: NOTE_OPERATED follows; ANSWER_BUSY: another one is going on
	ELECTION_CONFIGURE, // `lease` has another `timing`, or (NULL) is to be led no more until it is configured again
	ELECTION_SHUTDOWN,  // revoke, wait, release, then `finished`
};

struct election_event {
	enum election_event_type type;
	int64_t now; // CLOCK_BOOTTIME; never smaller than in the step before
	uint32_t lease;
	uint64_t term;
	int64_t heartbeat_ns;
	int64_t cooldown_ns;
	const struct exchange_reply *reply;
	const struct election_lease_timing *timing;
	const struct election_operation *operation;
	const uint32_t *freed;
	size_t freed_count;
};

// What a worker's request gets.
enum election_answer {
	ANSWER_OK,
	ANSWER_STALE, // the term named is over or never was
	ANSWER_BUSY,  // the seat is taken: ask again when it is vacant
};

enum election_note_type {
	NOTE_GRANTED,     // tell the worker: term, deadline
	NOTE_EXTENDED,    // tell the worker: term, deadline
	NOTE_REVOKED,     // tell the worker: term, deadline (frozen), reason
	NOTE_STARTED,     // the worker said so; nobody is told, the terms page shows it
	NOTE_CLEARED,     // the token is no more; the slot of the terms page is to be cleared
	NOTE_STATE,       // the lease changed its state: from, to, term, reason
	NOTE_SEAT_VACANT, // the next worker that waits may join
	NOTE_LEADER,      // the row as last seen has another leader or term
	NOTE_SESSION,     // the session's state or id changed
	NOTE_STORE,       // the outcome of exchanges changed: `outcome`; the text is in the reply
	NOTE_PAUSED,      // the fleet was paused, or goes on
	NOTE_DISPUTED,    // another daemon is configured otherwise, or not any more
	NOTE_OPERATED,    // the operation has its `result`
	NOTE_INCARNATION, // the server is another one than before
};

struct election_note {
	enum election_note_type type;
	uint32_t lease;
	uint64_t term;
	int64_t deadline;
	enum election_reason reason;
	enum lease_state from, to;
	enum exchange_outcome outcome;
	enum election_result result;
};

struct election_update {
	struct election_note *notes; // brought by the caller, election_notes_needed() of them
	size_t note_count;           // set to 0 by election_step
	enum election_answer answer;
	bool abort; // the exchange that is out is given up; its answer would be thrown away
	uint64_t abort_number;
	bool submit; // `request` is to be sent now; it stays valid until the next step
	struct exchange_request request;
	int64_t request_deadline;
	bool finished; // after ELECTION_SHUTDOWN: nothing is left to do
};

// What a worker may rely on, as the terms page shows it.
struct election_token {
	uint64_t term; // 0: none
	int64_t deadline;
	bool revoked; // the deadline is frozen
	bool started;
};

// The best of the others that offer to lead (S3).
struct election_rival {
	struct uuid session; // none: there is none
	int32_t priority;
	int64_t since; // it is there without a break
	int64_t seq;
	int64_t renewed_at; // it was seen to have been renewed; 0: not yet, so it may be dead
	int64_t lease_ns;
};

//
// A component is led by a lease of its own, or shares that of its group (W19): then the first component of the group is
// the head, whose state and row are the group's, and each has its own worker and token.
struct election_lease {
	uint32_t head; // itself where it is alone
	uint32_t next; // the component of the group that starts after it and stops before it
	// The head's: what the row is held for. Every token of the group is of this term, and no later deadline.
	uint64_t held_term;
	int64_t held_deadline;
	int64_t stop_at;   // while the group is stopped: until when the next one waits…
	uint32_t stopping; // … for the one that was told last
	enum lease_state state;
	enum seat_state seat;
	bool removed; // not configured any more: its worker may stay, and is not told of another term
	bool offered; // as the session's row says, or will when it is written next
	struct election_lease_timing timing;
	// The worker and its token.
	struct election_token token;
	enum election_reason reason;         // why the token was revoked
	enum election_reason release_reason; // in LEASE_RELEASING, as `release_term`
	int64_t heartbeat_ns;
	int64_t late_at;     // when the seat is SEAT_LATE
	bool spared;         // that was put off since it spoke
	int64_t cooldown_ns; // from the end of a term that was resigned
	int64_t cooldown_until;
	uint64_t told_term; // the last one the worker was told; what it says is about this one
	// The row.
	uint64_t release_term;
	uint64_t release_number; // the last exchange that carried the release
	struct exchange_row row;
	bool verified; // the row said (my session, my term) on this incarnation (rule 9)
	bool seen;     // `row` is what the last report on this connection showed
	bool freed;    // it was announced to be free since: it is claimed as such, which does nothing if it is not
	// While candidates are looked at, in the reply: the next rival, and who disputes it, or ELECTION_NO_ONE.
	uint32_t next_rival;
	uint32_t next_dispute;
	int64_t observed_at;  // when its first reply arrived that showed this (holder, holder_seq) (rule 2)
	int64_t retry_at;     // a refused claim is not repeated before
	int64_t look_at;      // when to poll for it next
	int64_t others_until; // somebody else is meant to claim it first; 0: nobody is
	struct election_rival rival;
	char disputed_by[NAME_BYTES + 1]; // the node that has a component of it in another lease; empty: none has
};

// True where the worker may rely on the lease's token at `now`.
static inline bool election_token_valid(const struct election_token *token, int64_t now)
{
	return token->term != 0 && now < token->deadline;
}

struct election_stray {
	struct exchange_stray stray;
	int64_t observed_at;
};

// Only election_*() write it; the daemon reads it for status and logs.
struct election {
	struct election_timing timing;
	struct election_lease *leases;
	uint32_t lease_count;
	int64_t now;
	bool stopping;
	bool finished;
	// The session.
	enum session_state session_state;
	struct uuid session;
	struct uuid spare;  // the next session's id
	int64_t renewed_at; // t_sent of the last renewal that succeeded; 0: none yet
	// The exchange that is out, and when the next one goes.
	bool busy;
	uint64_t number;
	int64_t sent_at;
	enum exchange_session_op sent_op;
	bool sent_strays;
	bool sent_candidates;
	bool sent_report;
	bool hinted;         // something was announced since
	bool renew_soon;     // a resumed worker is back: its deadline stood still
	bool fresh;          // the last exchange was answered (rule 12)
	int64_t exchange_at; // when the next one is due
	int64_t backoff_until;
	uint32_t failures;             // in a row
	bool answered;                 // `outcome` is of a real exchange
	enum exchange_outcome outcome; // of the last one
	// The server.
	uint64_t connection;
	bool deaf; // to announcements
	struct incarnation server;
	struct incarnation believed;
	bool doubted;           // these two differ
	uint64_t highest_term;  // of any lease, on any server (rule 5)
	int64_t server_seen_at; // when this incarnation was first seen (rule 3)
	int64_t longest_lease_ns;
	// Sessions without a lease, to be swept one day.
	struct election_stray strays[EXCHANGE_STRAYS];
	size_t stray_count;
	int64_t strays_at;
	// What operators ask for.
	bool paused;
	char paused_by[NAME_BYTES + 1];
	struct election_operation operation; // OPERATION_NONE: none
	bool operation_sent;                 // its part is in the exchange that is out
	struct exchange_ask ask;             // term 0: none
	bool sent_ask;
	// What this session offers is not in its row yet.
	bool publish;
	bool sent_publish;
	int64_t publish_from; // not by itself before
	bool added;           // leases, since others' offers were looked at
	int64_t publish_at;   // it goes along with a renewal then
	int64_t report_at;    // a leader looks at the rows then at the latest
	// Room for requests, one of each a lease.
	struct exchange_release *releases;
	struct exchange_claim *claims;
	struct exchange_offer *offers;
	struct exchange_stray sweeps[EXCHANGE_STRAYS];
	int64_t scan_at; // no lease has a deadline before; perhaps none has one then
};

// What the lease leads by.
static inline const struct election_lease *election_head(const struct election *election, uint32_t lease)
{
	return &election->leases[election->leases[lease].head];
}

static inline size_t election_notes_needed(size_t lease_count)
{
	return lease_count * ELECTION_NOTES_PER_LEASE + ELECTION_NOTES_MORE;
}

// The caller's, one of each a lease; outlives the election.
struct election_room {
	struct election_lease *leases;
	struct exchange_release *releases;
	struct exchange_claim *claims;
	struct exchange_offer *offers;
};

// `timings` is copied, one a lease. Timings must have passed the checks of algorithm.md's table (W24). Every seat is
// vacant, nothing is held, every component is alone.
void election_init(struct election *election, const struct election_timing *timing,
	const struct election_lease_timing *timings, uint32_t lease_count, const struct election_room *room,
	int64_t now);

// More leases, behind those that there are: the caller brings larger arrays that begin with what the old ones hold,
// and `update.notes` to match. They are removed until they are configured. The old arrays may be freed.
void election_grow(struct election *election, uint32_t lease_count, const struct election_room *room);

// `lease` shares what `head` leads by, which comes before it; before the first step, or right after it was added.
void election_group(struct election *election, uint32_t lease, uint32_t head);

// A fresh random id for the next session; to be given before the first step and whenever election_wants_id().
void election_supply_id(struct election *election, const struct uuid *id);
bool election_wants_id(const struct election *election);

// Before the first step, after a restart on the same boot: the session and the terms that the terms page still
// shows. A term whose deadline passed is not to be resumed.
void election_resume_session(struct election *election, const struct uuid *session);
// False where another component of its group leads by another term.
bool election_resume_term(struct election *election, uint32_t lease, const struct election_token *token);

// Whoever steps it heard nobody for so long, though they may have spoken: no worker is late for that (W16). `read_ns`
// is what it takes to read what they said; it is given once, or who is silent were never late where this comes often.
void election_forgive(struct election *election, int64_t still_ns, int64_t read_ns);

void election_step(struct election *election, const struct election_event *event, struct election_update *update);

// The time of the next ELECTION_TIME, or ELECTION_NEVER.
int64_t election_deadline(const struct election *election);

#endif
