// SPDX-License-Identifier: Apache-2.0
// What the parts of the election share: election.c (workers and time), plan.c (what to ask the store, and when),
// answer.c (what the store said) and operate.c (what operators ask).
#ifndef TENURE_CORE_ELECTION_INTERNAL_H
#define TENURE_CORE_ELECTION_INTERNAL_H

#include "election.h"
#include "rules.h"

static inline int64_t min_ns(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static inline int64_t max_ns(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static inline int64_t clamp_ns(int64_t value, int64_t low, int64_t high)
{
	return min_ns(max_ns(value, low), high);
}

// A span as the database has it, bounded: whatever is there, what is calculated with it does not overflow.
#define SPAN_MS_MAX (INT64_C(366) * 24 * 3600 * 1000)

static inline int64_t span_ns(int64_t ms)
{
	return clamp_ns(ms, 0, SPAN_MS_MAX) * NS_PER_MS;
}

// How long the waiting side waits for a lease of that length (rule 6).
int64_t wait_ns(int64_t lease_ns);

// Counts through the components of a group, the head first.
#define FOR_MEMBERS(election, i, head) \
	for (uint32_t i = (head); (i) != ELECTION_NO_LEASE; (i) = (election)->leases[i].next)

static inline bool is_head(const struct election *election, uint32_t lease)
{
	return election->leases[lease].head == lease;
}

// A worker may act on the token, or will when it is back.
static inline bool holds_token(const struct election_lease *l)
{
	return l->seat == SEAT_STARTING || l->seat == SEAT_WORKING || l->seat == SEAT_STOPPING ||
	       l->seat == SEAT_AWAY || l->seat == SEAT_AWAY_REVOKED;
}

// The row names this daemon's session.
bool row_is_mine(const struct election *election, const struct exchange_row *row);

// A free slot among the update's notes, filled with the type, the lease and its token.
struct election_note *add_note(
	struct election_update *update, enum election_note_type type, uint32_t lease, const struct election_lease *l);

// The one function that changes a lease's state.
void change_lease(struct election *election, struct election_update *update, uint32_t lease, enum lease_event event,
	enum election_reason reason);
// The one function that changes a seat's state, and does what its cell says.
void change_seat(struct election *election, struct election_update *update, uint32_t lease, enum seat_event event);
// The one function that changes the session's state.
void change_session(struct election *election, struct election_update *update, enum session_event event);

// Makes a lease that nothing holds a candidate where its worker is ready, and idle where it is not.
void settle_lease(struct election *election, struct election_update *update, uint32_t lease);
// Ends a term that is being led: the deadline is frozen, the workers are told, the last component of a group first.
void revoke_lease(
	struct election *election, struct election_update *update, uint32_t head, enum election_reason reason);
// How long before the deadline a term has to be revoked, so that all of the group can stop.
int64_t graces_ns(const struct election *election, uint32_t head);
// An acknowledged claim.
void grant_lease(struct election *election, struct election_update *update, uint32_t head, uint64_t term);
// Ends every term at once (rule 11).
void lose_session(struct election *election, struct election_update *update);

// Another candidate is better (S3).
static inline bool has_better(const struct election_lease *l)
{
	return !uuid_is_none(&l->rival.session) && l->rival.priority > l->timing.priority;
}

// Its leader was asked to hand it over to somebody who is not this daemon (S2).
static inline bool is_meant_for_another(const struct election *e, const struct election_lease *l)
{
	bool named = l->row.asked && !uuid_is_none(&l->row.target) && RULE(TARGET_FIRST);
	return named && !uuid_equal(&l->row.target, &e->session);
}

// Who else claims it where it is free: it is looked at then (S2, S3).
static inline bool others_first(const struct election *e, const struct election_lease *l)
{
	return is_meant_for_another(e, l) || (!l->row.asked && has_better(l));
}

// Terms that a later server has lost are not to be given again (rule 5).
static inline void note_term(struct election *e, uint64_t term)
{
	if (term > e->highest_term && term <= EXCHANGE_TERM_MOST)
		e->highest_term = term;
}

void answer_reply(struct election *election, struct election_update *update, const struct exchange_reply *reply);
// The exchange that is out brought nothing.
void answer_failure(
	struct election *election, struct election_update *update, enum exchange_outcome outcome, bool waited);

// When the next exchange is due; sends it where that is now.
void plan_exchange(struct election *election, struct election_update *update);
// A term, or a claim that may have been granted.
bool holds_anything(const struct election *election);
// Whether and from when on this daemon may claim the lease.
int64_t plan_claim_at(const struct election *election, const struct election_lease *l);
// How long after a refused claim or release it is tried again: a row was locked, or somebody was quicker.
int64_t retry_ns(const struct election *election);

// operate.c. Whether what the session's row says it offers has to be written again; writes it.
void review_offers(struct election *election);
void add_offers(struct election *election, struct exchange_request *request);
// When a cool-down ends, which makes an offer of a lease again; nothing else would say so.
int64_t offer_at(const struct election *election, const struct election_lease *l);
// When a better node gets the lease that is led here (S3).
int64_t prefer_at(const struct election *election, const struct election_lease *l);
// Some lease waits for a better node, and so needs to know at once when that is gone.
bool prefers(const struct election *election);
// The row was just seen: somebody else is meant to claim it first, or the leader here is asked to end its term.
void wait_for_others(struct election *election, struct election_lease *l);
void obey_ask(struct election *election, struct election_update *update, uint32_t lease);
// What the operation that is going on, or a preference, adds to the exchange; what its reply says of them.
void add_operation(struct election *election, struct exchange_request *request);
void take_candidates(struct election *election, struct election_update *update, const struct exchange_reply *reply);
void take_paused(struct election *election, struct election_update *update, const struct exchange_reply *reply);
void take_operation(struct election *election, struct election_update *update, const struct exchange_reply *reply);
// Ends the operation that is going on.
void end_operation(struct election *election, struct election_update *update, enum election_result result);

#endif
