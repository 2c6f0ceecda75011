// SPDX-License-Identifier: Apache-2.0
// The one operation of a store, as data: what the election asks and what it is told.
//
// A driver carries a request out as these statements, in this order, each committed by itself (rule 13), the
// whole in one round trip where the database can:
//
//   1. session  CREATE inserts the row (session, node, seq 1, lease_ms); RENEW is `seq = seq + 1` by id alone (rule
//               11); DELETE removes it. What it `offers` is beside it: of a CREATE, and of a RENEW where `publish`.
//               Where nothing is held (`holds`), nobody relies on a RENEW but the claims, and it may be of one
//               transaction with them.
//   2. adopt    where `adopt`, and tenure_store has another incarnation (rule 3), or a generation below `highest_term`:
//               it takes `incarnation`, and another generation, so that terms which this server has lost are not given
//               again (rule 5). That is the server's Unix time in microseconds, for terms grow slower than that. Where
//               the time is no larger than the last generation and `highest_term`, it is wrong, or was once: then it is
//               the larger of these and `leap`.
//   3. missing  inserts the lease rows of the claims that say `missing`: no session, term 0, generation 0; an
//               existing row is left alone.
//   4. change   one statement that skips locked rows (rule 14); all but the release only where the server's
//               incarnation equals `incarnation`:
//               release: session becomes NULL where (component, session, term) are mine; the term's history row
//                        gets its end and `reason`;
//               sweep:   deletes session rows by (id, seq) that no lease names;
//               kill:    deletes the session rows (holder, holder_seq) that claims name, by compare-and-swap
//                        (rule 4), unless the holder is this session or is gone;
//               claim:   only where tenure_store's incarnation equals `incarnation` too and the fleet is not paused,
//                        and this session's row is there. Takes a row
//                          whose session is NULL, or
//                          whose (session, term) are the claim's (holder, term), and that session is this
//                          session itself (rule 7), was killed in this statement, or has no row;
//                        writes session, node, generation = tenure_store's, acquired_at, changed_at, and
//                        term = term + 1, or max(term + 1, generation) where the row's generation was another
//                        (rule 5); and answers the term in a grant (R18). A history row that is still open gets its
//                        end and the reason "lost", and the new term gets one. Of a component's history, what is
//                        older or more than the store was told to keep is deleted, in this statement or in one of
//                        the next exchanges.
//               The history is for people and holds nothing up: a row of it that somebody has locked may be passed
//               over, and one that is passed over at its release and at the next claim stays open for good.
//               A release, kill or claim that changed a row is announced (NOTIFY) to the other daemons; of a release
//               perhaps that the lease is free for anybody, for nobody is named in an ask of that term.
//   5. ask      where `ask`: tenure_ask takes (component, term, target, cooldown_ms) if the lease's row has that term
//               and a session; announced.
//               where `pause` is not EXCHANGE_PAUSE_LEAVE: tenure_store says so; announced.
//   6. report   where `report`: a row for every name the store was opened with, and whether the fleet is paused, read
//               after the changes. A row that does not seem to have changed since an earlier report of the same
//               connection and incarnation may be as it was then, for a lease at most; what its holder's session says
//               is read now;
//               where `strays`: the sessions that no lease names, longest unrenewed first;
//               where `candidates`: what the sessions offer;
//               where `history_count`: that many past terms, the newest first.
//
// The server's incarnation is read in every exchange, in the first and the last statement, which may be the same one;
// where they differ the outcome is EXCHANGE_UNKNOWN.
#ifndef TENURE_CORE_EXCHANGE_H
#define TENURE_CORE_EXCHANGE_H

#include "base.h"

#define INCARNATION_SIZE 160
#define EXCHANGE_TEXT_SIZE 320
// The most sessions without a lease that one exchange reports or sweeps.
#define EXCHANGE_STRAYS 16
// The history of every lease.
#define EXCHANGE_EVERY_LEASE UINT32_MAX
#define EXCHANGE_REASON_SIZE 24
// More terms than may have been given by others meanwhile; so many that two leaps are not the same.
#define EXCHANGE_LEAP_LEAST (UINT64_C(1) << 16)
#define EXCHANGE_LEAP_MOST (UINT64_C(1) << 32)
// A term beyond this is nobody's: it was written by hand.
#define EXCHANGE_TERM_MOST (UINT64_C(1) << 62)

// Which life of the database server it is; compared for equality only. Empty: not known.
struct incarnation {
	char text[INCARNATION_SIZE];
};

static inline bool incarnation_equal(const struct incarnation *a, const struct incarnation *b)
{
	return strcmp(a->text, b->text) == 0;
}

enum exchange_session_op {
	EXCHANGE_SESSION_NONE,
	EXCHANGE_SESSION_CREATE,
	EXCHANGE_SESSION_RENEW,
	EXCHANGE_SESSION_DELETE,
};

enum exchange_pause {
	EXCHANGE_PAUSE_LEAVE,
	EXCHANGE_PAUSE_SET,
	EXCHANGE_PAUSE_CLEAR,
};

// A lease is named by its index in the names the store was opened with.
struct exchange_release {
	uint32_t lease;
	uint64_t term;
	const char *reason; // why it ended, for the history: a word that outlives the exchange
};

struct exchange_claim {
	uint32_t lease;
	bool missing;       // the row was not there when last looked
	struct uuid holder; // the session that the row named; none where it was free, or is to be taken only if it is
	int64_t holder_seq; // the pair that was observed for a whole lease; -1 where that session had no row, or none
	uint64_t term;      // the row's term when last looked
};

struct exchange_stray {
	struct uuid session;
	int64_t seq;
	int64_t lease_ms; // reported; a sweep does not need it
};

// This session would lead that lease: it has a worker, and is not kept from it by its configuration.
struct exchange_offer {
	uint32_t lease;
	int32_t priority; // larger is better
};

// The leader of that term is asked to end it (S2).
struct exchange_ask {
	uint32_t lease;
	uint64_t term;
	struct uuid target;  // who is to lead next; none: anybody but this leader
	int64_t cooldown_ms; // for which this leader stays away; -1: as it is configured
};

struct exchange_request {
	uint64_t number; // grows with every request; names its reply
	struct uuid session;
	int64_t lease_ms; // how long others wait before they kill this session
	enum exchange_session_op session_op;
	bool holds; // this session leads something, or may
	bool adopt;
	bool report;
	bool strays;
	bool candidates;
	bool publish;
	enum exchange_pause pause;
	uint32_t history_lease;         // or EXCHANGE_EVERY_LEASE
	uint32_t history_count;         // 0: none is wanted
	struct incarnation incarnation; // the one the claims rely on
	uint64_t highest_term;          // that was ever seen, on any server
	uint64_t leap;
	const struct exchange_release *releases;
	size_t release_count;
	const struct exchange_claim *claims;
	size_t claim_count;
	const struct exchange_stray *sweeps;
	size_t sweep_count;
	const struct exchange_offer *offers;
	size_t offer_count;
	const struct exchange_ask *ask; // NULL: none
};

// Told apart because they call for different things (R7).
enum exchange_outcome {
	EXCHANGE_OK,          // every statement was answered
	EXCHANGE_BUSY,        // nothing to worry about, try again soon: deadlock, serialization failure, lock time-out
	EXCHANGE_UNAVAILABLE, // no connection, or it broke before anything was sent
	EXCHANGE_DENIED,      // it answers, but not to us: privilege, missing table, wrong schema version, read-only
	EXCHANGE_UNKNOWN,     // something was sent and its answer did not come (rule 12)
};

struct exchange_row {
	uint32_t lease;
	bool exists;
	bool holder_alive; // the session that the row names has a row
	bool asked;        // its term is asked to end, or was: see struct exchange_ask
	struct uuid target;
	struct uuid holder;        // none: the lease is free
	char node[NAME_BYTES + 1]; // the holder's node; the last one's where the lease is free
	uint64_t term;
	int64_t holder_seq;
	int64_t holder_lease_ms;
	int64_t holder_age_us; // since its last renewal, by the server's clock: a hint when to look, never a proof
	int64_t since_ms;      // since the row was acquired, by the server's clock, for people
	int64_t cooldown_ms;
};

// A session that offers something.
struct exchange_offerer {
	struct uuid session;
	int64_t seq;
	int64_t lease_ms;
	int64_t age_us; // since its last renewal, by the server's clock, for people
	char node[NAME_BYTES + 1];
};

// There are many of one session, which is in the reply once: see exchange_offerer_of().
struct exchange_candidate {
	uint32_t lease;
	int32_t priority;
	uint32_t offerer;
	bool disputes; // no candidate: it has a component of that lease in another one (W19)
};

// A term as it is remembered, for people: by the server's clock.
struct exchange_past {
	uint32_t lease;
	uint64_t term;
	char node[NAME_BYTES + 1];
	int64_t from_ms; // Unix time
	int64_t to_ms;   // 0: it has not ended
	char reason[EXCHANGE_REASON_SIZE];
};

struct exchange_grant {
	uint32_t lease;
	uint64_t term;
};

// What is below `outcome` is meaningful where it is EXCHANGE_OK, `text` always.
struct exchange_reply {
	uint64_t number;
	enum exchange_outcome outcome;
	bool deaf;           // announcements do not come this way: what others release is found by polling
	uint64_t connection; // another number: another connection than the last reply's (rule 10)
	bool session_alive;  // the session statement changed exactly one row
	struct incarnation server;
	struct incarnation believed; // tenure_store's, after `adopt`
	const struct exchange_grant *grants;
	size_t grant_count;
	const struct exchange_row *rows; // one for each name, in order, or none without `report`
	size_t row_count;
	struct exchange_stray strays[EXCHANGE_STRAYS];
	size_t stray_count;
	bool asked;                  // the ask was written
	char paused[NAME_BYTES + 1]; // with a report: the node through which the fleet was paused; empty: it is not
	const struct exchange_candidate *candidates; // in no order
	size_t candidate_count;
	const struct exchange_offerer *offerers;
	size_t offerer_count;
	const struct exchange_past *past;
	size_t past_count;
	char text[EXCHANGE_TEXT_SIZE]; // what went wrong and what to do, without secrets; if OK, a warning or nothing
};

static inline const struct exchange_offerer *exchange_offerer_of(
	const struct exchange_reply *reply, const struct exchange_candidate *candidate)
{
	return &reply->offerers[candidate->offerer];
}

#endif
