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
	enum lease_state last = l->state, next = lease_next(last, event);
	assert(is_head(e, lease) && next != LEASE_STATES);
	l->state = next;
	if (next == last)
		return;
	FOR_MEMBERS (e, i, lease) {
		struct election_note *note = add_note(u, NOTE_STATE, i, NULL);
		note->term = l->held_term ? l->held_term : l->told_term;
		note->reason = reason;
		note->from = last;
		note->to = next;
	}
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

// Every component of the group that is configured has a worker that could start now.
static bool is_ready(const struct election *e, uint32_t head)
{
	bool any = false;
	FOR_MEMBERS (e, i, head) {
		const struct election_lease *l = &e->leases[i];
		if (l->removed)
			continue;
		if ((l->seat != SEAT_READY && RULE(GROUP_WHOLE)) || l->timing.observes)
			return false;
		any |= l->seat == SEAT_READY;
	}
	return any;
}

void settle_lease(struct election *e, struct election_update *u, uint32_t lease)
{
	uint32_t head = e->leases[lease].head;
	const struct election_lease *l = &e->leases[head];
	if (l->state == LEASE_CANDIDATE && !is_ready(e, head))
		change_lease(e, u, head, LEASE_WORKER_LEFT, REASON_NONE);
	if (l->state == LEASE_IDLE && is_ready(e, head))
		change_lease(e, u, head, LEASE_WORKER_READY, REASON_NONE);
}

// The token is given back or void: nothing of it is left to rely on.
static void clear_token(struct election *e, struct election_update *u, uint32_t lease)
{
	struct election_lease *l = &e->leases[lease];
	l->token = (struct election_token){0};
	l->late_at = ELECTION_NEVER;
	add_note(u, NOTE_CLEARED, lease, l);
}

static void end_term(struct election *e, struct election_update *u, uint32_t head, enum lease_event event,
	enum election_reason reason)
{
	struct election_lease *l = &e->leases[head];
	l->release_term = l->held_term;
	l->release_reason = reason;
	l->retry_at = e->now;
	l->stop_at = ELECTION_NEVER;
	if (l->reason == REASON_RESIGNED || l->reason == REASON_YIELDED)
		l->cooldown_until = e->now + l->cooldown_ns;
	change_lease(e, u, head, event, reason);
	l->held_term = 0;
	FOR_MEMBERS (e, i, head)
		e->leases[i].late_at = ELECTION_NEVER;
}

static void tell_to_stop(struct election *e, struct election_update *u, uint32_t lease)
{
	e->leases[lease].token.revoked = true;
	change_seat(e, u, lease, SEAT_REVOKE);
}

// A daemon that was killed while it extended them left the group with different deadlines.
static int64_t first_deadline(const struct election *e, uint32_t head)
{
	int64_t deadline = e->leases[head].held_deadline;
	FOR_MEMBERS (e, i, head)
		if (holds_token(&e->leases[i]))
			deadline = min_ns(deadline, e->leases[i].token.deadline);
	return deadline;
}

static uint32_t first_at_work(const struct election *e, uint32_t head)
{
	uint32_t i = head;
	while (e->leases[i].seat != SEAT_STARTING && e->leases[i].seat != SEAT_WORKING &&
		e->leases[i].seat != SEAT_AWAY)
		i = e->leases[i].next;
	return i;
}

// What the component may take to stop: nothing where it was removed and has stopped.
static int64_t grace_ns(const struct election_lease *m)
{
	return m->removed && !holds_token(m) ? 0 : m->timing.stop_grace_ns;
}

// The last component of the group that works on and was not told to stop; what those before it need to stop.
static uint32_t last_at_work(const struct election *e, uint32_t head, int64_t *ret_before_ns)
{
	uint32_t last = ELECTION_NO_LEASE;
	int64_t before_ns = 0;
	FOR_MEMBERS (e, i, head) {
		const struct election_lease *m = &e->leases[i];
		if (m->seat == SEAT_STARTING || m->seat == SEAT_WORKING || m->seat == SEAT_AWAY) {
			last = i;
			*ret_before_ns = before_ns;
		}
		before_ns += grace_ns(m);
	}
	return RULE(STOP_IN_ORDER) || last == ELECTION_NO_LEASE ? last : first_at_work(e, head);
}

// In reverse order, each when the one after it has stopped or had its time, and in time for those before it (W19).
static void stop_next(struct election *e, struct election_update *u, uint32_t head)
{
	struct election_lease *l = &e->leases[head];
	enum seat_state seat = e->leases[l->stopping].seat;
	bool waits = seat == SEAT_STOPPING || seat == SEAT_AWAY_REVOKED;
	while (!waits || e->now >= l->stop_at) {
		int64_t before_ns = 0;
		uint32_t next = last_at_work(e, head, &before_ns);
		l->stop_at = ELECTION_NEVER;
		if (next == ELECTION_NO_LEASE)
			return;
		l->stopping = next;
		l->stop_at = min_ns(e->now + e->leases[next].timing.stop_grace_ns, first_deadline(e, head) - before_ns);
		tell_to_stop(e, u, next);
		waits = true;
	}
}

// Who is told next may need longer now than when it was decided until when it waits (W8).
static void hasten_stop(struct election *e, uint32_t head)
{
	struct election_lease *l = &e->leases[head];
	int64_t before_ns = 0;
	uint32_t next = last_at_work(e, head, &before_ns);
	if (l->state == LEASE_DRAINING && next != ELECTION_NO_LEASE)
		l->stop_at = min_ns(l->stop_at, first_deadline(e, head) - before_ns - grace_ns(&e->leases[next]));
}

// In order, each when the one before it has started (W19).
static void start_next(struct election *e, struct election_update *u, uint32_t head)
{
	const struct election_lease *l = &e->leases[head];
	if (l->state != LEASE_LEADING)
		return;
	FOR_MEMBERS (e, i, head) {
		struct election_lease *m = &e->leases[i];
		if (m->removed || (holds_token(m) && (m->token.started || !RULE(START_IN_ORDER))))
			continue;
		if (m->seat != SEAT_READY && RULE(GROUP_WHOLE))
			return;
		if (m->seat != SEAT_READY)
			continue;
		m->token = (struct election_token){.term = l->held_term, .deadline = l->held_deadline};
		m->told_term = l->held_term;
		change_seat(e, u, i, SEAT_GRANT);
		if (RULE(START_IN_ORDER))
			return;
	}
}

// Nobody in the group may act on a token any more, or one of them is out: they lead together or not at all.
static void end_work(struct election *e, struct election_update *u, uint32_t lease, enum lease_event event,
	enum election_reason reason)
{
	uint32_t head = e->leases[lease].head;
	struct election_lease *l = &e->leases[head];
	bool held = false;
	clear_token(e, u, lease);
	FOR_MEMBERS (e, i, head)
		held |= holds_token(&e->leases[i]);
	if (l->state != LEASE_LEADING && l->state != LEASE_DRAINING)
		return;
	if (!held)
		end_term(e, u, head, event, reason);
	else if (l->state == LEASE_LEADING && RULE(GROUP_FALLS))
		revoke_lease(e, u, head, reason);
	else if (l->state == LEASE_DRAINING)
		stop_next(e, u, head);
}

static void expect_word(struct election_lease *l, int64_t until)
{
	l->late_at = until;
	l->spared = false;
}

static void tell_granted(struct election *e, struct election_update *u, uint32_t lease)
{
	struct election_lease *l = &e->leases[lease];
	expect_word(l, e->now + l->timing.start_timeout_ns);
	add_note(u, NOTE_GRANTED, lease, l);
}

static void tell_revoked(struct election_update *u, uint32_t lease, struct election_lease *l)
{
	l->late_at = ELECTION_NEVER;
	add_note(u, NOTE_REVOKED, lease, l);
}

static void resume_worker(struct election *e, struct election_lease *l)
{
	expect_word(l, l->seat == SEAT_STARTING ? e->now + l->timing.start_timeout_ns
		       : l->heartbeat_ns > 0    ? e->now + l->heartbeat_ns
						: ELECTION_NEVER);
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
		start_next(e, u, l->head);
		break;
	case SEAT_LEFT: // before it was its turn to start
		if (RULE(GROUP_FALLS) && !l->removed)
			revoke_lease(e, u, l->head, REASON_WORKER_GONE);
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
		end_work(e, u, lease, LEASE_ENDED, e->leases[l->head].reason);
		break;
	case SEAT_ENDED_GONE:
		end_work(e, u, lease, LEASE_ENDED, REASON_WORKER_GONE);
		break;
	case SEAT_ENDED_YIELD:
		end_work(e, u, lease, LEASE_ENDED, REASON_YIELDED);
		break;
	case SEAT_EXPIRED:
		end_work(e, u, lease, LEASE_VOID, e->leases[l->head].reason);
		if (!RULE(STOP_BEFORE_NEXT) && l->seat == SEAT_OVERDUE)
			l->seat = SEAT_READY;
		break;
	case SEAT_STALLED:
		revoke_lease(e, u, l->head, REASON_STALLED);
		break;
	case SEAT_IMPOSSIBLE:
	default:
		assert(false && "an event that this seat cannot get");
	}
	settle_lease(e, u, lease);
	if (left)
		add_note(u, NOTE_SEAT_VACANT, lease, NULL);
}

void revoke_lease(struct election *e, struct election_update *u, uint32_t head, enum election_reason reason)
{
	struct election_lease *l = &e->leases[head];
	if (l->state != LEASE_LEADING)
		return;
	FOR_MEMBERS (e, i, head)
		e->leases[i].reason = reason;
	if (reason == REASON_STALLED)
		l->cooldown_until = e->now + l->timing.cooldown_ns;
	change_lease(e, u, head, LEASE_REVOKE, reason);
	stop_next(e, u, head);
	if (!RULE(RELEASE_AFTER_STOP) && l->state == LEASE_DRAINING) {
		l->release_term = l->held_term;
		l->release_reason = reason;
		change_lease(e, u, head, LEASE_VOID, reason);
	}
}

int64_t graces_ns(const struct election *e, uint32_t head)
{
	int64_t sum = 0;
	FOR_MEMBERS (e, i, head)
		sum += grace_ns(&e->leases[i]);
	return sum;
}

void grant_lease(struct election *e, struct election_update *u, uint32_t head, uint64_t term)
{
	struct election_lease *l = &e->leases[head];
	int64_t deadline = (RULE(COUNT_FROM_SEND) ? e->sent_at : e->now) + e->timing.lease_ns;
	if (!is_ready(e, head) || e->stopping || e->now >= deadline - graces_ns(e, head)) {
		l->release_term = term;
		l->release_reason = REASON_UNUSED;
		l->retry_at = e->now;
		change_lease(e, u, head, LEASE_UNWANTED, REASON_NONE);
		return;
	}
	l->held_term = term;
	l->held_deadline = deadline;
	l->stopping = head;
	l->stop_at = ELECTION_NEVER;
	FOR_MEMBERS (e, i, head)
		e->leases[i].reason = REASON_NONE;
	l->verified = true;
	l->rival.since = e->now; // it was there, and yet did not lead
	change_lease(e, u, head, LEASE_GRANTED, REASON_NONE);
	start_next(e, u, head);
}

// The deadline passed: nobody has any more time to stop.
static void void_term(struct election *e, struct election_update *u, uint32_t head)
{
	int64_t before_ns;
	for (uint32_t i; (i = last_at_work(e, head, &before_ns)) != ELECTION_NO_LEASE;)
		tell_to_stop(e, u, i);
	FOR_MEMBERS (e, i, head)
		change_seat(e, u, i, SEAT_VOID);
}

void lose_session(struct election *e, struct election_update *u)
{
	for (uint32_t head = 0; head < e->lease_count; head++) {
		struct election_lease *l = &e->leases[head];
		if (l->state != LEASE_LEADING && l->state != LEASE_DRAINING)
			continue;
		l->held_deadline = min_ns(l->held_deadline, e->now);
		FOR_MEMBERS (e, i, head)
			e->leases[i].token.deadline = min_ns(e->leases[i].token.deadline, e->now);
		revoke_lease(e, u, head, REASON_LOST);
		void_term(e, u, head);
	}
}

// When a term that is led has to be revoked, so that all of the group can stop before any of their deadlines.
static int64_t revoke_at(const struct election *e, uint32_t head)
{
	return first_deadline(e, head) - (RULE(REVOKE_IN_TIME) ? graces_ns(e, head) : 0);
}

// When pass_lease_time() has something to do for the lease.
static int64_t lease_due_at(const struct election *e, uint32_t head)
{
	const struct election_lease *l = &e->leases[head];
	if (l->state == LEASE_LEADING && e->now >= l->held_deadline && !RULE(EXPIRED_IS_LOST))
		return ELECTION_NEVER;
	if (l->state == LEASE_DRAINING)
		return min_ns(l->held_deadline, l->stop_at);
	if (l->state != LEASE_LEADING)
		return ELECTION_NEVER;
	int64_t at = revoke_at(e, head);
	FOR_MEMBERS (e, i, head)
		at = min_ns(at, e->leases[i].late_at);
	return at;
}

// W16, and what expect_the_others() found.
static void pass_late(struct election *e, struct election_update *u, uint32_t lease)
{
	const struct election_lease *l = &e->leases[lease];
	if (e->now < l->late_at)
		return;
	if (holds_token(l))
		change_seat(e, u, lease, SEAT_LATE);
	else
		revoke_lease(e, u, l->head, REASON_WORKER_GONE);
}

static void pass_lease_time(struct election *e, struct election_update *u, uint32_t head)
{
	const struct election_lease *l = &e->leases[head];
	FOR_MEMBERS (e, i, head)
		if (l->state == LEASE_LEADING)
			pass_late(e, u, i);
	if (l->state == LEASE_LEADING && e->now >= lease_due_at(e, head))
		revoke_lease(e, u, head, REASON_EXPIRING);
	if (l->state == LEASE_DRAINING && e->now >= l->held_deadline)
		void_term(e, u, head);
	if (l->state == LEASE_DRAINING && e->now >= l->stop_at)
		stop_next(e, u, head);
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
		if (is_head(e, i))
			pass_lease_time(e, u, i);
}

static int64_t next_scan_at(const struct election *e)
{
	int64_t at = ELECTION_NEVER;
	for (uint32_t i = 0; i < e->lease_count; i++)
		at = min_ns(at, lease_due_at(e, i));
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
	expect_word(l, l->heartbeat_ns > 0 ? e->now + l->heartbeat_ns : ELECTION_NEVER);
	if (l->token.started)
		return;
	l->token.started = true;
	add_note(u, NOTE_STARTED, lease, l);
	start_next(e, u, l->head);
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
	struct election_lease *head = &e->leases[l->head];
	bool led = head->state == LEASE_LEADING;
	change_seat(e, u, event->lease, seat_event);
	if (l->seat == SEAT_WORKING)
		keep_working(e, u, event->lease);
	bool ends = head->state == LEASE_RELEASING || head->state == LEASE_DRAINING;
	if (!ends || u->answer != ANSWER_OK || (!led && seat_event != SEAT_YIELD))
		return;
	head->cooldown_ns = event->cooldown_ns >= 0 ? event->cooldown_ns : l->timing.cooldown_ns;
	if (head->state == LEASE_RELEASING)
		head->cooldown_until = e->now + head->cooldown_ns;
}

// S2. The cool-down counts from the end of the work, or a slow worker would be its own successor.
static void take_resign(struct election *e, struct election_update *u, const struct election_event *event)
{
	uint32_t head = e->leases[event->lease].head;
	struct election_lease *l = &e->leases[head];
	if (l->state != LEASE_LEADING) {
		u->answer = ANSWER_STALE;
		return;
	}
	l->cooldown_ns = event->cooldown_ns >= 0 ? event->cooldown_ns : l->timing.cooldown_ns;
	revoke_lease(e, u, head, REASON_RESIGNED);
}

// S4. The row of a removed lease is still looked at: a claim whose answer did not come may yet turn up there.
static void take_configuration(struct election *e, struct election_update *u, const struct election_event *event)
{
	struct election_lease *l = &e->leases[event->lease];
	l->removed = !event->timing;
	if (event->timing)
		l->timing = *event->timing;
	if (!event->timing || event->timing->observes)
		revoke_lease(e, u, l->head, REASON_REMOVED);
	hasten_stop(e, l->head);
	e->publish = true; // the priority may be another
	settle_lease(e, u, event->lease);
	start_next(e, u, l->head); // one that came to its group
}

static void begin_operation(struct election *e, struct election_update *u, const struct election_event *event)
{
	if (e->operation.kind != OPERATION_NONE) {
		u->answer = ANSWER_BUSY;
		return;
	}
	e->operation = *event->operation;
	if (e->operation.lease < e->lease_count)
		e->operation.lease = e->leases[e->operation.lease].head;
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

static void take_hint(struct election *e, const struct election_event *event)
{
	e->hinted = true;
	for (size_t i = 0; i < event->freed_count; i++) {
		if (event->freed[i] >= e->lease_count)
			continue; // the store knew it first
		struct election_lease *l = &e->leases[event->freed[i]];
		l->freed = l->state == LEASE_CANDIDATE && !others_first(e, l);
	}
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
		take_hint(e, event);
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
		revoke_lease(e, u, e->leases[event->lease].head, REASON_STALLED);
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

// A worker that works says so, and no lease's state is another one. It is of its own lease alone, and those of ten
// thousand workers are not to look at ten thousand leases each.
static bool is_routine(const struct election_event *event, const struct election_update *u)
{
	bool routine = event->type == ELECTION_STARTED || event->type == ELECTION_ALIVE;
	for (size_t i = 0; routine && i < u->note_count; i++)
		routine = u->notes[i].type != NOTE_STATE;
	return routine;
}

// What to do next, and when.
static void look_ahead(struct election *e, struct election_update *u)
{
	plan_exchange(e, u);
	e->scan_at = next_scan_at(e);
	u->finished = e->session_state == SESSION_CLOSED;
}

void election_step(struct election *e, const struct election_event *event, struct election_update *u)
{
	assert(event->now >= e->now);
	assert(event->lease < e->lease_count || e->lease_count == 0);
	u->note_count = 0;
	u->answer = ANSWER_OK;
	u->abort = u->submit = u->finished = false;
	bool due = event->now >= election_deadline(e);
	e->now = event->now;
	pass_time(e, u);
	take_event(e, u, event);
	if (due || !is_routine(event, u))
		look_ahead(e, u);
	else
		e->scan_at = min_ns(e->scan_at, lease_due_at(e, e->leases[event->lease].head));
	assert(u->note_count <= election_notes_needed(e->lease_count));
}

int64_t election_deadline(const struct election *e)
{
	int64_t exchange = e->busy ? e->sent_at + e->timing.timeout_ns : e->exchange_at;
	return min_ns(e->scan_at, exchange);
}

static struct election_lease lease_alone(uint32_t lease)
{
	return (struct election_lease){
		.head = lease,
		.next = ELECTION_NO_LEASE,
		.stopping = lease,
		.stop_at = ELECTION_NEVER,
		.late_at = ELECTION_NEVER,
	};
}

void election_init(struct election *e, const struct election_timing *timing,
	const struct election_lease_timing *timings, uint32_t lease_count, const struct election_room *room,
	int64_t now)
{
	*e = (struct election){
		.timing = *timing,
		.leases = room->leases,
		.lease_count = lease_count,
		.now = now,
		.longest_lease_ns = timing->lease_ns,
		.releases = room->releases,
		.claims = room->claims,
		.offers = room->offers,
		.exchange_at = now,
		.scan_at = now,
	};
	for (uint32_t i = 0; i < lease_count; i++) {
		room->leases[i] = lease_alone(i);
		room->leases[i].timing = timings[i];
	}
}

void election_grow(struct election *e, uint32_t lease_count, const struct election_room *room)
{
	assert(lease_count >= e->lease_count);
	for (uint32_t i = e->lease_count; i < lease_count; i++) {
		room->leases[i] = lease_alone(i);
		room->leases[i].removed = true;
	}
	e->leases = room->leases;
	e->releases = room->releases;
	e->claims = room->claims;
	e->offers = room->offers;
	// What is configured here is in the session's row, and others' was looked at, before any of them is claimed.
	e->added |= lease_count > e->lease_count;
	e->publish |= lease_count > e->lease_count;
	e->strays_at = lease_count > e->lease_count ? e->now : e->strays_at;
	e->lease_count = lease_count;
}

void election_group(struct election *e, uint32_t lease, uint32_t head)
{
	uint32_t last = head;
	assert(is_head(e, head) && lease > head && is_head(e, lease) && e->leases[lease].next == ELECTION_NO_LEASE);
	while (e->leases[last].next != ELECTION_NO_LEASE)
		last = e->leases[last].next;
	e->leases[last].next = lease;
	e->leases[lease].head = head;
}

void election_supply_id(struct election *e, const struct uuid *id)
{
	e->spare = *id;
}

void election_forgive(struct election *e, int64_t still_ns, int64_t read_ns)
{
	for (uint32_t i = 0; RULE(UNREAD_IS_NOT_LATE) && i < e->lease_count; i++) {
		struct election_lease *l = &e->leases[i];
		// One that has no token is not waited for: see expect_the_others().
		if (l->late_at == ELECTION_NEVER || !holds_token(l))
			continue;
		l->late_at += still_ns + (l->spared ? 0 : read_ns);
		l->spared = true;
	}
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

// Whether one that has no token was told of the term before is not known, and it may not be told twice (W2): a group
// that does not come back whole ends.
static void expect_the_others(struct election *e, uint32_t head)
{
	FOR_MEMBERS (e, i, head) {
		struct election_lease *m = &e->leases[i];
		m->late_at = holds_token(m) || m->removed ? ELECTION_NEVER : e->now;
	}
}

bool election_resume_term(struct election *e, uint32_t lease, const struct election_token *token)
{
	struct election_lease *l = &e->leases[lease], *head = &e->leases[l->head];
	if (head->held_term != 0 && head->held_term != token->term)
		return false;
	l->token = *token;
	l->told_term = token->term;
	note_term(e, token->term);
	l->seat = token->revoked ? SEAT_AWAY_REVOKED : SEAT_AWAY;
	head->held_deadline = head->held_term == 0 ? token->deadline : max_ns(head->held_deadline, token->deadline);
	head->held_term = token->term;
	head->state = token->revoked || head->state == LEASE_DRAINING ? LEASE_DRAINING : LEASE_LEADING;
	FOR_MEMBERS (e, i, l->head)
		e->leases[i].reason = head->state == LEASE_DRAINING ? REASON_SHUTDOWN : REASON_NONE;
	head->stop_at = head->state == LEASE_DRAINING ? e->now : ELECTION_NEVER;
	expect_the_others(e, l->head);
	return true;
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
