// SPDX-License-Identifier: Apache-2.0
// Workers and time: who sits where, what it is told, and when a term is over.
#include "election_internal.h"

#include <assert.h>

#include "rules.h"

int64_t wait_ns(int64_t lease_ns)
{
	return RULE(MARGIN) ? lease_ns + lease_ns / 250 : lease_ns;
}

bool row_is_mine(const struct election *e, const struct exchange_row *row)
{
	return e->session_state == SESSION_LIVE && uuid_equal(&row->holder, &e->session);
}

struct election_note *add_note(
	struct election_update *u, enum election_note_type type, uint32_t lease, const struct election_lease *l)
{
	struct election_note *note = &u->notes[u->note_count++];
	*note = (struct election_note){.type = type, .lease = lease};
	if (l) {
		note->term = l->token.term;
		note->deadline = l->token.deadline;
		note->reason = l->reason;
	}
	return note;
}

void change_lease(struct election *e, struct election_update *u, uint32_t lease, enum lease_event event,
	enum election_reason reason)
{
	struct election_lease *l = &e->leases[lease];
	enum lease_state next = lease_next(l->state, event);
	assert(next != LEASE_STATES);
	if (next == l->state)
		return;
	struct election_note *note = add_note(u, NOTE_STATE, lease, NULL);
	note->term = l->told_term;
	note->reason = reason;
	note->from = l->state;
	note->to = next;
	l->state = next;
}

void change_session(struct election *e, struct election_update *u, enum session_event event)
{
	enum session_state next = session_next(e->session_state, event);
	assert(next != SESSION_STATES);
	if (next == e->session_state)
		return;
	e->session_state = next;
	add_note(u, NOTE_SESSION, 0, NULL);
}

void settle_lease(struct election *e, struct election_update *u, uint32_t lease)
{
	struct election_lease *l = &e->leases[lease];
	bool ready = l->seat == SEAT_READY && !l->removed && !l->timing.observes;
	if (l->state == LEASE_CANDIDATE && !ready)
		change_lease(e, u, lease, LEASE_WORKER_LEFT, REASON_NONE);
	if (l->state == LEASE_IDLE && ready)
		change_lease(e, u, lease, LEASE_WORKER_READY, REASON_NONE);
}

// The token is given back or void: nothing of it is left to rely on.
static void clear_token(struct election *e, struct election_update *u, uint32_t lease)
{
	struct election_lease *l = &e->leases[lease];
	l->token = (struct election_token){0};
	l->late_at = ELECTION_NEVER;
	add_note(u, NOTE_CLEARED, lease, l);
}

static void end_term(struct election *e, struct election_update *u, uint32_t lease, enum lease_event event,
	enum election_reason reason)
{
	struct election_lease *l = &e->leases[lease];
	l->release_term = l->token.term;
	l->release_reason = reason;
	l->retry_at = e->now;
	if (l->reason == REASON_RESIGNED)
		l->cooldown_until = e->now + l->cooldown_ns;
	clear_token(e, u, lease);
	if (l->state == LEASE_LEADING || l->state == LEASE_DRAINING)
		change_lease(e, u, lease, event, reason);
}

static void tell_granted(struct election *e, struct election_update *u, uint32_t lease)
{
	struct election_lease *l = &e->leases[lease];
	l->late_at = e->now + l->timing.start_timeout_ns;
	add_note(u, NOTE_GRANTED, lease, l);
}

static void tell_revoked(struct election_update *u, uint32_t lease, struct election_lease *l)
{
	l->late_at = ELECTION_NEVER;
	add_note(u, NOTE_REVOKED, lease, l);
}

static void resume_worker(struct election *e, struct election_lease *l)
{
	l->late_at = l->seat == SEAT_STARTING ? e->now + l->timing.start_timeout_ns
		     : l->heartbeat_ns > 0    ? e->now + l->heartbeat_ns
					      : ELECTION_NEVER;
	e->renew_soon = true; // its deadline stood still
}

void change_seat(struct election *e, struct election_update *u, uint32_t lease, enum seat_event event)
{
	struct election_lease *l = &e->leases[lease];
	struct seat_cell cell = seat_cell(l->seat, event);
	bool left = cell.next == SEAT_VACANT && l->seat != SEAT_VACANT;
	l->seat = cell.next;
	switch (cell.action) {
	case SEAT_NOTHING:
		break;
	case SEAT_REFUSE_STALE:
		u->answer = ANSWER_STALE;
		break;
	case SEAT_REFUSE_BUSY:
		u->answer = ANSWER_BUSY;
		break;
	case SEAT_WELCOME:
	case SEAT_LEFT:
		break;
	case SEAT_TELL_GRANTED:
		tell_granted(e, u, lease);
		break;
	case SEAT_TELL_REVOKED:
		tell_revoked(u, lease, l);
		break;
	case SEAT_RESUMED:
		resume_worker(e, l);
		break;
	case SEAT_ENDED:
		end_term(e, u, lease, LEASE_ENDED, l->reason);
		break;
	case SEAT_ENDED_GONE:
		end_term(e, u, lease, LEASE_ENDED, REASON_WORKER_GONE);
		break;
	case SEAT_ENDED_YIELD:
		end_term(e, u, lease, LEASE_ENDED, REASON_YIELDED);
		break;
	case SEAT_EXPIRED:
		end_term(e, u, lease, LEASE_VOID, l->reason);
		if (!RULE(STOP_BEFORE_NEXT) && l->seat == SEAT_OVERDUE)
			l->seat = SEAT_READY;
		break;
	case SEAT_STALLED:
		revoke_lease(e, u, lease, REASON_STALLED);
		break;
	case SEAT_IMPOSSIBLE:
	default:
		assert(false && "an event that this seat cannot get");
	}
	settle_lease(e, u, lease);
	if (left)
		add_note(u, NOTE_SEAT_VACANT, lease, NULL);
}

void revoke_lease(struct election *e, struct election_update *u, uint32_t lease, enum election_reason reason)
{
	struct election_lease *l = &e->leases[lease];
	if (l->state != LEASE_LEADING)
		return;
	l->reason = reason;
	l->token.revoked = true;
	if (reason == REASON_STALLED)
		l->cooldown_until = e->now + l->timing.cooldown_ns;
	change_lease(e, u, lease, LEASE_REVOKE, reason);
	change_seat(e, u, lease, SEAT_REVOKE);
	if (!RULE(RELEASE_AFTER_STOP)) {
		l->release_term = l->token.term;
		l->release_reason = reason;
		change_lease(e, u, lease, LEASE_VOID, reason);
	}
}

void grant_lease(struct election *e, struct election_update *u, uint32_t lease, uint64_t term)
{
	struct election_lease *l = &e->leases[lease];
	int64_t deadline = (RULE(COUNT_FROM_SEND) ? e->sent_at : e->now) + e->timing.lease_ns;
	if (l->seat != SEAT_READY || l->removed || l->timing.observes || e->stopping ||
		e->now >= deadline - l->timing.stop_grace_ns) {
		l->release_term = term;
		l->release_reason = REASON_UNUSED;
		l->retry_at = e->now;
		change_lease(e, u, lease, LEASE_UNWANTED, REASON_NONE);
		return;
	}
	l->token = (struct election_token){.term = term, .deadline = deadline};
	l->told_term = term;
	l->reason = REASON_NONE;
	l->verified = true;
	change_lease(e, u, lease, LEASE_GRANTED, REASON_NONE);
	change_seat(e, u, lease, SEAT_GRANT);
}

void lose_session(struct election *e, struct election_update *u)
{
	for (uint32_t i = 0; i < e->lease_count; i++) {
		struct election_lease *l = &e->leases[i];
		if (l->state != LEASE_LEADING && l->state != LEASE_DRAINING)
			continue;
		l->token.deadline = min_ns(l->token.deadline, e->now);
		revoke_lease(e, u, i, REASON_LOST);
		change_seat(e, u, i, SEAT_VOID);
	}
}

// When pass_lease_time() has something to do for the lease.
static int64_t lease_due_at(const struct election *e, const struct election_lease *l)
{
	if (l->state == LEASE_LEADING && e->now >= l->token.deadline && !RULE(EXPIRED_IS_LOST))
		return ELECTION_NEVER;
	if (l->state == LEASE_LEADING)
		return min_ns(l->token.deadline - (RULE(REVOKE_IN_TIME) ? l->timing.stop_grace_ns : 0), l->late_at);
	if (l->state == LEASE_DRAINING)
		return l->token.deadline;
	return ELECTION_NEVER;
}

static void pass_lease_time(struct election *e, struct election_update *u, uint32_t lease)
{
	struct election_lease *l = &e->leases[lease];
	if (l->state == LEASE_LEADING && e->now >= l->late_at)
		change_seat(e, u, lease, SEAT_LATE);
	if (l->state == LEASE_LEADING && e->now >= lease_due_at(e, l))
		revoke_lease(e, u, lease, REASON_EXPIRING);
	if (l->state == LEASE_DRAINING && e->now >= l->token.deadline)
		change_seat(e, u, lease, SEAT_VOID);
}

// Time goes first in every step: what has expired by now is over before anything else is looked at (rule 8).
static void pass_time(struct election *e, struct election_update *u)
{
	if (e->busy && e->now >= e->sent_at + e->timing.timeout_ns) {
		u->abort = true;
		u->abort_number = e->number;
		answer_failure(e, u, EXCHANGE_UNKNOWN, true);
	}
	if (e->now < e->scan_at)
		return;
	for (uint32_t i = 0; i < e->lease_count; i++)
		pass_lease_time(e, u, i);
}

static int64_t next_scan_at(const struct election *e)
{
	int64_t at = ELECTION_NEVER;
	for (uint32_t i = 0; i < e->lease_count; i++)
		at = min_ns(at, lease_due_at(e, &e->leases[i]));
	return at;
}

static void take_join(struct election *e, struct election_update *u, const struct election_event *event)
{
	struct election_lease *l = &e->leases[event->lease];
	if (event->term != 0 && event->term != l->token.term) {
		u->answer = ANSWER_STALE;
		return;
	}
	bool taken = l->seat != SEAT_VACANT && l->seat != SEAT_AWAY && l->seat != SEAT_AWAY_REVOKED;
	if (!taken)
		l->heartbeat_ns = event->heartbeat_ns;
	change_seat(e, u, event->lease,
		event->term == 0   ? SEAT_JOIN
		: l->token.started ? SEAT_REJOIN_WORKING
				   : SEAT_REJOIN);
}

static void keep_working(struct election *e, struct election_update *u, uint32_t lease)
{
	struct election_lease *l = &e->leases[lease];
	l->late_at = l->heartbeat_ns > 0 ? e->now + l->heartbeat_ns : ELECTION_NEVER;
	if (l->token.started)
		return;
	l->token.started = true;
	add_note(u, NOTE_STARTED, lease, l);
}

// What a worker says about its term.
static void take_word(
	struct election *e, struct election_update *u, const struct election_event *event, enum seat_event seat_event)
{
	struct election_lease *l = &e->leases[event->lease];
	if (event->term != l->told_term) {
		u->answer = ANSWER_STALE;
		return;
	}
	bool led = l->state == LEASE_LEADING;
	change_seat(e, u, event->lease, seat_event);
	if (l->seat == SEAT_WORKING)
		keep_working(e, u, event->lease);
	bool gave_up = l->state == LEASE_RELEASING && (led || seat_event == SEAT_YIELD);
	if (gave_up && u->answer == ANSWER_OK)
		l->cooldown_until = e->now + (event->cooldown_ns >= 0 ? event->cooldown_ns : l->timing.cooldown_ns);
}

// S2. The cool-down counts from the end of the work, or a slow worker would be its own successor.
static void take_resign(struct election *e, struct election_update *u, const struct election_event *event)
{
	struct election_lease *l = &e->leases[event->lease];
	if (l->state != LEASE_LEADING) {
		u->answer = ANSWER_STALE;
		return;
	}
	l->cooldown_ns = event->cooldown_ns >= 0 ? event->cooldown_ns : l->timing.cooldown_ns;
	revoke_lease(e, u, event->lease, REASON_RESIGNED);
}

// S4. The row of a removed lease is still looked at: a claim whose answer did not come may yet turn up there.
static void take_configuration(struct election *e, struct election_update *u, const struct election_event *event)
{
	struct election_lease *l = &e->leases[event->lease];
	l->removed = !event->timing;
	if (event->timing)
		l->timing = *event->timing;
	if (!event->timing || event->timing->observes)
		revoke_lease(e, u, event->lease, REASON_REMOVED);
	e->publish = true; // the priority may be another
	settle_lease(e, u, event->lease);
}

static void begin_operation(struct election *e, struct election_update *u, const struct election_event *event)
{
	if (e->operation.kind != OPERATION_NONE) {
		u->answer = ANSWER_BUSY;
		return;
	}
	e->operation = *event->operation;
	e->operation_sent = false;
	if (e->stopping)
		end_operation(e, u, RESULT_UNAVAILABLE);
}

static void take_shutdown(struct election *e, struct election_update *u)
{
	e->stopping = true;
	end_operation(e, u, RESULT_UNAVAILABLE);
	for (uint32_t i = 0; i < e->lease_count; i++)
		revoke_lease(e, u, i, REASON_SHUTDOWN);
}

static void take_event(struct election *e, struct election_update *u, const struct election_event *event)
{
	switch (event->type) {
	case ELECTION_TIME:
		break;
	case ELECTION_REPLY:
		answer_reply(e, u, event->reply);
		break;
	case ELECTION_HINT:
		e->hinted = true;
		break;
	case ELECTION_JOIN:
		take_join(e, u, event);
		break;
	case ELECTION_STARTED:
		take_word(e, u, event, SEAT_STARTED);
		break;
	case ELECTION_ALIVE:
		take_word(e, u, event, SEAT_ALIVE);
		break;
	case ELECTION_STOPPED:
		take_word(e, u, event, SEAT_STOPPED);
		break;
	case ELECTION_YIELD:
		take_word(e, u, event, SEAT_YIELD);
		break;
	case ELECTION_RESIGN:
		take_resign(e, u, event);
		break;
	case ELECTION_GONE:
		change_seat(e, u, event->lease, SEAT_GONE);
		break;
	case ELECTION_EXPEL:
		revoke_lease(e, u, event->lease, REASON_STALLED);
		break;
	case ELECTION_OPERATE:
		begin_operation(e, u, event);
		break;
	case ELECTION_CONFIGURE:
		take_configuration(e, u, event);
		break;
	case ELECTION_SHUTDOWN:
		take_shutdown(e, u);
		break;
	default:
		assert(false && "an event of no type");
	}
}

void election_step(struct election *e, const struct election_event *event, struct election_update *u)
{
	assert(event->now >= e->now);
	assert(event->lease < e->lease_count || e->lease_count == 0);
	struct election_note *notes = u->notes;
	*u = (struct election_update){.notes = notes, .answer = ANSWER_OK};
	e->now = event->now;
	pass_time(e, u);
	take_event(e, u, event);
	plan_exchange(e, u);
	e->scan_at = next_scan_at(e);
	u->finished = e->session_state == SESSION_CLOSED;
	assert(u->note_count <= election_notes_needed(e->lease_count));
}

int64_t election_deadline(const struct election *e)
{
	int64_t exchange = e->busy ? e->sent_at + e->timing.timeout_ns : e->exchange_at;
	return min_ns(e->scan_at, exchange);
}

void election_init(struct election *e, const struct election_timing *timing,
	const struct election_lease_timing *timings, uint32_t lease_count, struct election_lease *leases,
	struct exchange_release *releases, struct exchange_claim *claims, struct exchange_offer *offers, int64_t now)
{
	*e = (struct election){
		.timing = *timing,
		.leases = leases,
		.lease_count = lease_count,
		.now = now,
		.longest_lease_ns = timing->lease_ns,
		.releases = releases,
		.claims = claims,
		.offers = offers,
		.exchange_at = now,
		.scan_at = now,
	};
	for (uint32_t i = 0; i < lease_count; i++)
		leases[i] = (struct election_lease){.timing = timings[i], .late_at = ELECTION_NEVER};
}

void election_grow(struct election *e, uint32_t lease_count, struct election_lease *leases,
	struct exchange_release *releases, struct exchange_claim *claims, struct exchange_offer *offers)
{
	assert(lease_count >= e->lease_count);
	for (uint32_t i = e->lease_count; i < lease_count; i++)
		leases[i] = (struct election_lease){.removed = true, .late_at = ELECTION_NEVER};
	e->leases = leases;
	e->releases = releases;
	e->claims = claims;
	e->offers = offers;
	e->lease_count = lease_count;
}

void election_supply_id(struct election *e, const struct uuid *id)
{
	e->spare = *id;
}

bool election_wants_id(const struct election *e)
{
	return uuid_is_none(&e->spare);
}

void election_resume_session(struct election *e, const struct uuid *session)
{
	e->session = *session;
	e->session_state = SESSION_UNSURE;
}

void election_resume_term(struct election *e, uint32_t lease, const struct election_token *token)
{
	struct election_lease *l = &e->leases[lease];
	l->token = *token;
	l->told_term = token->term;
	l->state = token->revoked ? LEASE_DRAINING : LEASE_LEADING;
	l->seat = token->revoked ? SEAT_AWAY_REVOKED : SEAT_AWAY;
	l->reason = token->revoked ? REASON_SHUTDOWN : REASON_NONE;
}

const char *election_reason_name(enum election_reason reason)
{
	static const char *const names[REASON_COUNT] = {
		[REASON_NONE] = "none",
		[REASON_SHUTDOWN] = "shutdown",
		[REASON_RESIGNED] = "resigned",
		[REASON_TRANSFERRED] = "transferred",
		[REASON_EXPIRING] = "expiring",
		[REASON_LOST] = "lost",
		[REASON_YIELDED] = "yielded",
		[REASON_STALLED] = "stalled",
		[REASON_WORKER_GONE] = "worker-gone",
		[REASON_REMOVED] = "removed",
		[REASON_UNUSED] = "unused",
	};
	assert((unsigned)reason < REASON_COUNT);
	return names[reason];
}
