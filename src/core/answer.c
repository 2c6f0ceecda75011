// SPDX-License-Identifier: Apache-2.0
// What the store said, and what it does to sessions, leases and observations.
#include "election_internal.h"

#include <assert.h>

#include "rules.h"

#define RETRY_MIN_NS (20 * NS_PER_MS)
#define RETRY_MAX_NS (200 * NS_PER_MS)
#define BACKOFF_MIN_NS (50 * NS_PER_MS)
#define BACKOFF_DOUBLINGS 6
#define PATIENT_FAILURES 2

int64_t retry_ns(const struct election *e)
{
	return clamp_ns(e->timing.poll_ns / 10, RETRY_MIN_NS, RETRY_MAX_NS);
}

static void forget_observations(struct election *e)
{
	for (uint32_t i = 0; RULE(FORGET_OBSERVATIONS) && i < e->lease_count; i++)
		e->leases[i].seen = false;
	if (RULE(FORGET_OBSERVATIONS))
		e->stray_count = 0;
}

static void note_outcome(struct election *e, struct election_update *u, enum exchange_outcome outcome)
{
	bool first = !e->answered;
	e->answered = true;
	if (!first && outcome == e->outcome)
		return;
	e->outcome = outcome;
	add_note(u, NOTE_STORE, 0, NULL)->outcome = outcome;
}

// Between a quarter and a half of a lease, by chance.
static int64_t rest_ns(const struct election *e)
{
	uint32_t draw;
	memcpy(&draw, e->spare.byte, sizeof draw);
	draw = (draw ^ (uint32_t)e->number) * UINT32_C(2654435761);
	return e->timing.lease_ns / 4 + e->timing.lease_ns / 4 * (draw >> 16) / (UINT32_C(1) << 16);
}

// A server that answers too late is given time by those who have nothing to lose: where many come back at once, and
// again after each time-out, they would keep it from ever answering in time.
static int64_t backoff_ns(const struct election *e, enum exchange_outcome outcome, bool waited)
{
	bool slow = waited || e->now - e->sent_at >= e->timing.timeout_ns / 2;
	bool hurries = e->stopping || e->operation.kind != OPERATION_NONE || holds_anything(e);
	if (slow && e->failures >= PATIENT_FAILURES && !hurries)
		return rest_ns(e);
	if (waited)
		return 0; // its whole time-out has passed already
	switch (outcome) {
	case EXCHANGE_BUSY:
		return clamp_ns(e->timing.renew_ns / 20, RETRY_MIN_NS, RETRY_MAX_NS);
	case EXCHANGE_DENIED:
		return e->timing.poll_ns;
	case EXCHANGE_UNAVAILABLE:
	case EXCHANGE_UNKNOWN: {
		uint32_t doublings = e->failures < BACKOFF_DOUBLINGS ? e->failures : BACKOFF_DOUBLINGS;
		return min_ns(BACKOFF_MIN_NS << doublings, e->timing.renew_ns / 4);
	}
	case EXCHANGE_OK:
	default:
		return 0;
	}
}

static void refuse_claims(struct election *e, struct election_update *u)
{
	for (uint32_t i = 0; i < e->lease_count; i++) {
		if (e->leases[i].state != LEASE_CLAIMING)
			continue;
		e->leases[i].retry_at = e->now + retry_ns(e);
		change_lease(e, u, i, LEASE_REFUSED, REASON_NONE);
		settle_lease(e, u, i);
	}
}

void answer_failure(struct election *e, struct election_update *u, enum exchange_outcome outcome, bool waited)
{
	e->busy = false;
	e->fresh = false;
	e->backoff_until = e->now + backoff_ns(e, outcome, waited);
	e->failures++;
	note_outcome(e, u, outcome);
	if (outcome != EXCHANGE_BUSY)
		forget_observations(e);
	e->publish |= e->sent_publish;
	e->ask.term = 0;
	if (e->operation_sent)
		end_operation(e, u, RESULT_UNAVAILABLE);
	change_session(e, u, SESSION_FAILED);
	refuse_claims(e, u);
}

// Who is it that answers? (rules 3, 9 and 10)
static void take_server(struct election *e, struct election_update *u, const struct exchange_reply *reply)
{
	bool another = !incarnation_equal(&e->server, &reply->server);
	if (another || e->connection != reply->connection)
		forget_observations(e);
	e->connection = reply->connection;
	e->deaf = reply->deaf;
	if (another || !incarnation_equal(&e->believed, &reply->believed)) {
		e->believed = reply->believed;
		e->doubted = !incarnation_equal(&reply->server, &reply->believed);
	}
	if (!another)
		return;
	e->publish |= e->server.text[0] != '\0'; // it may have lost what this session offers
	e->server = reply->server;
	e->server_seen_at = e->now;
	for (uint32_t i = 0; i < e->lease_count; i++)
		e->leases[i].verified = !RULE(VERIFY_INCARNATION);
	add_note(u, NOTE_INCARNATION, 0, NULL);
}

static void take_session(struct election *e, struct election_update *u, const struct exchange_reply *reply)
{
	if (e->sent_op == EXCHANGE_SESSION_NONE)
		return;
	change_session(e, u, reply->session_alive ? SESSION_ALIVE : SESSION_DEAD);
	if (reply->session_alive)
		e->renewed_at = e->sent_at;
	e->publish |= e->sent_publish && !reply->session_alive;
	if (e->session_state == SESSION_NONE)
		lose_session(e, u);
}

// No worker of the group was told of that term or of a later one (W2, W4), and it is one.
static bool is_next_term(const struct election *e, uint32_t head, uint64_t term)
{
	FOR_MEMBERS (e, i, head)
		if (term <= e->leases[i].told_term)
			return false;
	return true;
}

static void take_grants(struct election *e, struct election_update *u, const struct exchange_reply *reply)
{
	// A session that is gone holds nothing, whatever was granted to it.
	for (size_t i = 0; e->session_state == SESSION_LIVE && i < reply->grant_count; i++) {
		const struct exchange_grant *grant = &reply->grants[i];
		note_term(e, grant->term);
		if (grant->lease < e->lease_count && e->leases[grant->lease].state == LEASE_CLAIMING &&
			is_next_term(e, grant->lease, grant->term))
			grant_lease(e, u, grant->lease, grant->term);
	}
	refuse_claims(e, u);
}

// Follow right behind the renewal that is expected next; while one is late, look less and less often. The age is the
// server's word and only a hint: it is bounded on both sides. Who hears of no release looks more often.
static int64_t look_after(const struct election *e, const struct exchange_row *row)
{
	if (uuid_is_none(&row->holder) || !row->holder_alive)
		return e->timing.poll_ns;
	int64_t slack = max_ns(e->timing.renew_ns / 100, NS_PER_MS);
	int64_t late = clamp_ns(row->holder_age_us, -e->timing.lease_ns / NS_PER_US, e->timing.lease_ns / NS_PER_US) *
			       NS_PER_US -
		       e->timing.renew_ns;
	if (late < 0)
		return min_ns(-late, e->deaf ? e->timing.poll_ns : e->timing.renew_ns) + slack;
	return clamp_ns(late, slack, e->timing.poll_ns);
}

// The row names this session by a claim that was not acknowledged, or that came back with a stale replica. As long as
// this session lives nobody else gets it, so it is not kept by who does not want it, or may not claim it for a while.
static void give_stray_back(struct election *e, struct election_update *u, uint32_t lease)
{
	struct election_lease *l = &e->leases[lease];
	l->release_term = l->row.term;
	l->release_reason = REASON_UNUSED;
	l->retry_at = e->now;
	change_lease(e, u, lease, LEASE_STRAY, REASON_NONE);
}

static void take_row_state(struct election *e, struct election_update *u, uint32_t lease)
{
	struct election_lease *l = &e->leases[lease];
	bool mine = row_is_mine(e, &l->row);
	switch (l->state) {
	case LEASE_IDLE:
		if (mine)
			give_stray_back(e, u, lease);
		break;
	case LEASE_CANDIDATE:
		if (mine && !RULE(NEVER_ADOPT)) {
			change_lease(e, u, lease, LEASE_CLAIM, REASON_NONE);
			grant_lease(e, u, lease, l->row.term);
		} else if (mine && plan_claim_at(e, l) > e->now + e->timing.poll_ns) {
			give_stray_back(e, u, lease);
		}
		break;
	case LEASE_LEADING:
		if (mine && l->row.term == l->held_term)
			l->verified = true;
		else if (!l->verified)
			revoke_lease(e, u, lease, REASON_LOST);
		if (mine)
			obey_ask(e, u, lease);
		break;
	case LEASE_RELEASING:
		if (mine) {
			l->release_term = l->row.term;
			// Where the release was part of this exchange, somebody holds the row locked.
			if (l->release_number == e->number)
				l->retry_at = e->now + retry_ns(e);
			break;
		}
		change_lease(e, u, lease, LEASE_RELEASED, REASON_NONE);
		settle_lease(e, u, lease);
		break;
	case LEASE_CLAIMING:
	case LEASE_DRAINING:
	case LEASE_STATES:
	default:
		break;
	}
}

static void take_row(struct election *e, struct election_update *u, const struct exchange_row *row)
{
	struct election_lease *l = &e->leases[row->lease];
	if (!is_head(e, row->lease))
		return;
	bool same_pair = l->seen && uuid_equal(&l->row.holder, &row->holder) && l->row.holder_seq == row->holder_seq;
	bool same_leader = l->row.term == row->term && uuid_equal(&l->row.holder, &row->holder);
	if (!same_pair)
		l->observed_at = e->now;
	l->seen = true;
	l->row = *row;
	l->freed = l->freed && e->hinted && same_leader && !others_first(e, l); // announced since, perhaps
	l->look_at = e->now + look_after(e, row);
	wait_for_others(e, l);
	e->longest_lease_ns = max_ns(e->longest_lease_ns, span_ns(row->holder_lease_ms));
	if (!same_leader) {
		note_term(e, row->term);
		l->retry_at = e->now; // what was refused was another row
		FOR_MEMBERS (e, i, row->lease)
			add_note(u, NOTE_LEADER, i, NULL)->term = row->term;
	}
	take_row_state(e, u, row->lease);
}

// Each lease once, in order, whatever is there: a step has room for so many notes.
static void take_rows(struct election *e, struct election_update *u, const struct exchange_reply *reply)
{
	uint32_t next = 0;
	for (size_t i = 0; i < reply->row_count; i++) {
		const struct exchange_row *row = &reply->rows[i];
		if (row->lease < next || row->lease >= e->lease_count)
			continue;
		next = row->lease + 1;
		take_row(e, u, row);
	}
}

static void take_strays(struct election *e, const struct exchange_reply *reply)
{
	struct election_stray old[EXCHANGE_STRAYS];
	size_t old_count = e->stray_count;
	memcpy(old, e->strays, sizeof old);
	e->strays_at = e->now + e->timing.lease_ns;
	e->stray_count = 0;
	for (size_t i = 0; i < reply->stray_count && i < EXCHANGE_STRAYS; i++) {
		if (uuid_equal(&reply->strays[i].session, &e->session))
			continue;
		struct election_stray *s = &e->strays[e->stray_count++];
		*s = (struct election_stray){.stray = reply->strays[i], .observed_at = e->now};
		e->longest_lease_ns = max_ns(e->longest_lease_ns, span_ns(s->stray.lease_ms));
		for (size_t j = 0; j < old_count; j++)
			if (uuid_equal(&old[j].stray.session, &s->stray.session) && old[j].stray.seq == s->stray.seq)
				s->observed_at = old[j].observed_at;
	}
}

static void extend_lease(struct election *e, struct election_update *u, uint32_t head, int64_t deadline)
{
	struct election_lease *l = &e->leases[head];
	bool frozen = l->state != LEASE_LEADING && (RULE(FROZEN_DEADLINE) || l->state != LEASE_DRAINING);
	bool away = false;
	FOR_MEMBERS (e, i, head)
		away |= e->leases[i].seat == SEAT_AWAY && RULE(RESUMED_WAITS);
	if (frozen || away || !l->verified || deadline <= l->held_deadline)
		return;
	l->held_deadline = deadline;
	FOR_MEMBERS (e, i, head) {
		struct election_lease *m = &e->leases[i];
		if (m->token.term == 0)
			continue;
		m->token.deadline = deadline;
		add_note(u, RULE(GRANT_ONCE) ? NOTE_EXTENDED : NOTE_GRANTED, i, m);
	}
}

// Within one incarnation a renewal is proof enough: nobody takes a lease without killing the session first. After a
// change of incarnation the rows had to be verified (rule 9). The deadline counts from the send (rule 1).
static void extend_leases(struct election *e, struct election_update *u)
{
	bool renewed =
		e->session_state == SESSION_LIVE && e->renewed_at == e->sent_at && e->sent_op == EXCHANGE_SESSION_RENEW;
	int64_t deadline = (RULE(COUNT_FROM_SEND) ? e->sent_at : e->now) + e->timing.lease_ns;
	for (uint32_t i = 0; renewed && i < e->lease_count; i++)
		if (is_head(e, i))
			extend_lease(e, u, i, deadline);
}

void answer_reply(struct election *e, struct election_update *u, const struct exchange_reply *reply)
{
	if (!e->busy || reply->number != e->number)
		return; // given up long ago (rule 12)
	if (reply->outcome != EXCHANGE_OK) {
		answer_failure(e, u, reply->outcome, false);
		return;
	}
	e->busy = false;
	e->fresh = true;
	e->failures = 0;
	e->backoff_until = e->now;
	note_outcome(e, u, EXCHANGE_OK);
	take_server(e, u, reply);
	take_session(e, u, reply);
	take_grants(e, u, reply);
	if (e->sent_candidates)
		take_candidates(e, u, reply);
	if (e->sent_report) {
		take_paused(e, u, reply);
		e->report_at = e->now + e->timing.lease_ns;
	}
	take_rows(e, u, reply);
	if (e->sent_strays)
		take_strays(e, reply);
	extend_leases(e, u);
	take_operation(e, u, reply);
}
