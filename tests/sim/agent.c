// SPDX-License-Identifier: Apache-2.0
// The daemon around the core: carries out what an update says, writes the terms page, talks to the workers.
#include <stdio.h>

#include "sim.h"

#define LOOP_MAX 100000

static const char *const reply_names[] = {"ok", "busy", "unavailable", "denied", "unknown"};

static void new_identity(struct sim *sim, struct uuid *ret)
{
	uint32_t number = ++sim->identities;
	*ret = (struct uuid){{(uint8_t)(number >> 8), (uint8_t)number, 1}};
}

static void set_timer(struct node *n)
{
	int64_t deadline = election_deadline(&n->election);
	n->timer_at = deadline == ELECTION_NEVER ? NEVER : host_true(&n->host, deadline);
}

// ---- workers' connections ----

static void seat_step(
	struct sim *sim, struct node *n, enum election_event_type type, uint32_t lease, uint64_t term, int64_t value);

static void wait_for_seat(struct node *n, uint32_t lease, const struct link *link)
{
	if (n->waiting_count[lease] < COUNT_OF(n->waiting[lease]))
		n->waiting[lease][n->waiting_count[lease]++] = *link;
}

static void stop_waiting(struct node *n, uint32_t lease, uint32_t stamp)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < n->waiting_count[lease]; i++)
		if (n->waiting[lease][i].stamp != stamp)
			n->waiting[lease][kept++] = n->waiting[lease][i];
	n->waiting_count[lease] = kept;
}

static void join(struct sim *sim, struct node *n, uint32_t lease, const struct link *link, uint64_t term)
{
	struct link before = n->seats[lease];
	// What the step tells goes to the worker that is about to sit there.
	bool vacant = before.stamp == 0;
	if (vacant) {
		n->seats[lease] = *link;
		n->expelled[lease] = false;
	}
	seat_step(sim, n, ELECTION_JOIN, lease, term, sim->workers[link->worker].heartbeat_ns);
	if (!n->alive)
		return;
	enum election_answer answer = n->update.answer;
	if (answer != ANSWER_OK && vacant)
		n->seats[lease] = before;
	if (answer == ANSWER_BUSY)
		wait_for_seat(n, lease, link);
	if (answer == ANSWER_STALE)
		worker_tell(sim, link, TOLD_STALE, term, 0);
	if (answer == ANSWER_OK)
		worker_tell(sim, link, TOLD_WELCOME, term, 0);
	if (answer == ANSWER_OK && term != 0)
		judge_rejoined(sim, n, lease);
}

static void seat_vacant(struct sim *sim, struct node *n)
{
	while (n->alive && !n->carrying_out && n->vacant) {
		uint32_t lease = (uint32_t)__builtin_ctz(n->vacant);
		n->vacant &= n->vacant - 1;
		if (n->seats[lease].stamp != 0 || n->waiting_count[lease] == 0)
			continue;
		struct link next = n->waiting[lease][0];
		stop_waiting(n, lease, next.stamp);
		join(sim, n, lease, &next, 0);
	}
}

// ---- updates ----

static void page_write(struct node *n, const struct election_note *note)
{
	struct slot *slot = &n->page.slots[note->lease];
	bool started = slot->term == note->term && slot->started;
	*slot = (struct slot){
		.term = note->term,
		.deadline = note->deadline,
		.revoked = note->type == NOTE_REVOKED,
		.started = started,
	};
}

static void trace_note(struct sim *sim, const struct node *n, const struct election_note *note)
{
	static const char *const names[] = {"granted", "extended", "revoked", "started", "cleared", "state",
		"seat-vacant", "leader", "session", "store", "paused", "disputed", "operated", "incarnation"};
	long long left = note->deadline ? (note->deadline - n->election.now) / NS_PER_US : 0;
	if (note->type == NOTE_STATE)
		TRACE(sim, "node", n->index, "  lease=%u %s -> %s term=%llu reason=%s", note->lease,
			lease_state_name(note->from), lease_state_name(note->to), (unsigned long long)note->term,
			election_reason_name(note->reason));
	else if (note->type <= NOTE_CLEARED)
		TRACE(sim, "node", n->index, "  lease=%u %s term=%llu left_us=%lld reason=%s", note->lease,
			names[note->type], (unsigned long long)note->term, left, election_reason_name(note->reason));
	else if (note->type == NOTE_SESSION)
		TRACE(sim, "node", n->index, "  session %02x%02x %s", n->election.session.byte[0],
			n->election.session.byte[1], session_state_name(n->election.session_state));
	else if (note->type == NOTE_OPERATED)
		TRACE(sim, "node", n->index, "  lease=%u operated: result %d", note->lease, (int)note->result);
	else
		TRACE(sim, "node", n->index, "  lease=%u %s", note->lease, names[note->type]);
}

static bool interrupted(struct sim *sim, struct node *n)
{
	if (world_chance(sim, FAULT_CRASH_IN_STEP)) {
		agent_crash(sim, n, false);
		return true;
	}
	if (world_chance(sim, FAULT_PAUSE_IN_STEP)) {
		agent_pause(sim, n, random_scale(&sim->random, NS_PER_MS, sim->profile.longest_pause_ns));
		return true;
	}
	return false;
}

// First the judge and the terms page…
static void publish(struct sim *sim, struct node *n, const struct election_note *note)
{
	switch (note->type) {
	case NOTE_GRANTED:
		n->heard_at[note->lease] = sim->now;
		judge_granted(sim, n, note->lease, note);
		page_write(n, note);
		break;
	case NOTE_EXTENDED:
		judge_extended(sim, n, note->lease, note);
		page_write(n, note);
		break;
	case NOTE_REVOKED:
		judge_revoked(sim, n, note->lease, note);
		page_write(n, note);
		break;
	case NOTE_STARTED:
		n->page.slots[note->lease].started = true;
		break;
	case NOTE_CLEARED:
		n->page.slots[note->lease] = (struct slot){0};
		break;
	case NOTE_SEAT_VACANT:
		n->vacant |= 1U << note->lease;
		break;
	case NOTE_STATE:
		if (note->to == LEASE_DRAINING && note->reason == REASON_STALLED)
			judge_stalled(sim, n, note->lease);
		break;
	case NOTE_LEADER:
	case NOTE_SESSION:
	case NOTE_STORE:
	case NOTE_PAUSED:
	case NOTE_DISPUTED:
	case NOTE_OPERATED:
	case NOTE_INCARNATION:
	default:
		break;
	}
}

// … then the worker.
static void tell(struct sim *sim, struct node *n, const struct election_note *note)
{
	const struct link *link = &n->seats[note->lease];
	if (note->type == NOTE_GRANTED)
		judge_told(sim, n, note->lease, note->term);
	if (link->stamp == 0 || n->expelled[note->lease])
		return;
	if (note->type == NOTE_GRANTED)
		worker_tell(sim, link, TOLD_GRANTED, note->term, note->deadline);
	if (note->type == NOTE_REVOKED)
		worker_tell(sim, link, TOLD_REVOKED, note->term, note->deadline);
}

// The page shows the session that was answered last. One whose deletion is about to be sent is shown no more: that
// may be carried out after a restart, and a session that was resumed meanwhile would be gone under its leaders.
static void write_session(struct node *n)
{
	const struct election *e = &n->election;
	bool same = uuid_equal(&n->page.session, &e->session);
	bool live = e->session_state == SESSION_LIVE;
	bool over = e->session_state == SESSION_NONE || e->session_state == SESSION_CLOSING ||
		    e->session_state == SESSION_CLOSED;
	if (over || (!same && !live))
		n->page.session = (struct uuid){{0}};
	if (!live || e->renewed_at == 0)
		return;
	n->page.session = e->session;
	n->page.valid_until = e->renewed_at + e->timing.lease_ns;
}

static void exit_daemon(struct sim *sim, struct node *n)
{
	TRACE(sim, "node", n->index, "daemon has ended");
	agent_crash(sim, n, false);
}

// Goes on with the update from where it was left.
static void apply(struct sim *sim, struct node *n)
{
	n->carrying_out = true;
	while (n->note_next < n->update.note_count) {
		const struct election_note *note = &n->notes[n->note_next];
		if (!n->half_done) {
			if (sim->trace.on)
				trace_note(sim, n, note);
			publish(sim, n, note);
			n->half_done = true;
			if (note->type <= NOTE_CLEARED && interrupted(sim, n))
				return;
		}
		tell(sim, n, note);
		n->half_done = false;
		n->note_next++;
	}
	n->carrying_out = false;
	if (n->session_lost && !n->update.abort)
		judge_session_lost(sim, n);
	n->session_lost = false;
	if (n->update.abort)
		exchange_abort(sim, n);
	if (n->update.submit) {
		judge_request(sim, n, &n->update.request);
		exchange_submit(sim, n);
	}
	if (n->update.finished)
		exit_daemon(sim, n);
}

static void step(struct sim *sim, struct node *n, const struct election_event *event)
{
	assert(n->alive && !n->paused && !n->carrying_out);
	n->note_next = 0;
	election_step(&n->election, event, &n->update);
	if (election_wants_id(&n->election)) {
		struct uuid id;
		new_identity(sim, &id);
		election_supply_id(&n->election, &id);
	}
	write_session(n);
	apply(sim, n);
	if (n->alive && !n->paused)
		set_timer(n);
}

static void seat_step(
	struct sim *sim, struct node *n, enum election_event_type type, uint32_t lease, uint64_t term, int64_t value)
{
	struct election_event event = {
		.type = type,
		.now = host_clock(&n->host, sim->now),
		.lease = lease,
		.term = term,
		.heartbeat_ns = type == ELECTION_JOIN ? value : 0,
		.cooldown_ns = type == ELECTION_YIELD ? value : ELECTION_COOLDOWN_DEFAULT,
	};
	step(sim, n, &event);
}

static void plain_step(struct sim *sim, struct node *n, enum election_event_type type)
{
	seat_step(sim, n, type, 0, 0, 0);
}

// ---- what comes in ----

void agent_timer(struct sim *sim, struct node *n)
{
	plain_step(sim, n, ELECTION_TIME);
	seat_vacant(sim, n);
}

static void take_reply(struct sim *sim, struct node *n, struct exchange *x)
{
	const struct exchange_reply *reply = &x->reply;
	bool current = n->election.busy && reply->number == n->election.number;
	bool late = !current || x->aborted;
	TRACE(sim, "node", n->index, "hears #%llu: %s%s", (unsigned long long)reply->number,
		reply_names[reply->outcome], late ? ", too late" : "");
	if (current && (reply->outcome == EXCHANGE_UNKNOWN || reply->outcome == EXCHANGE_UNAVAILABLE))
		n->connected = false;
	n->session_lost =
		current && reply->outcome == EXCHANGE_OK && !reply->session_alive &&
		(x->request.session_op == EXCHANGE_SESSION_CREATE || x->request.session_op == EXCHANGE_SESSION_RENEW);
	struct election_event event = {.type = ELECTION_REPLY, .now = host_clock(&n->host, sim->now), .reply = reply};
	step(sim, n, &event);
	exchange_free(sim, x);
}

static void take_word(struct sim *sim, struct node *n, const struct event *event)
{
	static const enum election_event_type types[] = {
		[WORD_STARTED] = ELECTION_STARTED,
		[WORD_ALIVE] = ELECTION_ALIVE,
		[WORD_STOPPED] = ELECTION_STOPPED,
		[WORD_YIELD] = ELECTION_YIELD,
		[WORD_GONE] = ELECTION_GONE,
	};
	static const char *const names[] = {"join", "started", "alive", "stopped", "yield", "gone"};
	const struct worker *w = &sim->workers[event->index];
	struct link link = {.stamp = event->stamp, .worker = w->index};
	TRACE(sim, "node", n->index, "hears from worker %u (lease=%u): %s term=%llu", w->index, w->lease,
		names[event->word], (unsigned long long)event->term);
	bool seated = n->seats[w->lease].stamp == event->stamp;
	if (event->word == WORD_GONE && seated)
		n->seats[w->lease] = (struct link){0};
	if (event->word == WORD_JOIN)
		join(sim, n, w->lease, &link, event->term);
	else if (seated && (event->word == WORD_GONE || !n->expelled[w->lease]))
		seat_step(sim, n, types[event->word], w->lease, event->term, event->value);
	else if (event->word == WORD_GONE)
		stop_waiting(n, w->lease, event->stamp);
}

static void take_hint(struct sim *sim, struct node *n, int32_t leases)
{
	uint32_t freed[NAMES];
	struct election_event event = {.type = ELECTION_HINT, .now = host_clock(&n->host, sim->now), .freed = freed};
	for (uint32_t i = 0; i < n->election.lease_count; i++)
		if (leases & (1 << i))
			freed[event.freed_count++] = i;
	step(sim, n, &event);
}

static void take(struct sim *sim, struct node *n, const struct event *event)
{
	if (event->kind == EVENT_REPLY)
		take_reply(sim, n, &sim->exchanges[event->index]);
	else if (event->kind == EVENT_HINT)
		take_hint(sim, n, event->word);
	else
		take_word(sim, n, event);
	seat_vacant(sim, n);
}

static bool is_stale(struct sim *sim, const struct node *n, const struct event *event)
{
	if (!n->alive)
		return true;
	if (event->kind == EVENT_HINT)
		return event->stamp != n->life;
	if (event->kind == EVENT_WORD)
		return event->stamp <= n->first_link;
	const struct exchange *x = &sim->exchanges[event->index];
	bool thrown_away = x->aborted && x->index % 2;
	return x->life != n->life || world_is_cut(n, sim->now) || thrown_away;
}

static void note_heard(struct sim *sim, struct node *n, const struct event *event)
{
	uint32_t lease = sim->workers[event->index].lease;
	bool comes_back = event->word == WORD_JOIN && event->term != 0 && event->term == n->page.slots[lease].term;
	if (comes_back || event->stamp == n->seats[lease].stamp)
		n->heard_at[lease] = sim->now;
}

void agent_event(struct sim *sim, struct node *n, const struct event *event)
{
	if (is_stale(sim, n, event)) {
		if (event->kind == EVENT_REPLY)
			exchange_free(sim, &sim->exchanges[event->index]);
		return;
	}
	if (event->kind == EVENT_WORD)
		note_heard(sim, n, event);
	if (n->paused) {
		assert(n->inbox_count < INBOX_MAX);
		n->inbox[n->inbox_count++] = *event;
		return;
	}
	take(sim, n, event);
}

// ---- its life ----

static void drop_inbox(struct sim *sim, struct node *n)
{
	for (uint32_t i = 0; i < n->inbox_count; i++)
		if (n->inbox[i].kind == EVENT_REPLY)
			exchange_free(sim, &sim->exchanges[n->inbox[i].index]);
	n->inbox_count = 0;
}

static void resume(struct sim *sim, struct node *n, int64_t now)
{
	struct page *page = &n->page;
	if (uuid_is_none(&page->session) || now >= page->valid_until) {
		*page = (struct page){0};
		return;
	}
	sim->stats.resumes++;
	election_resume_session(&n->election, &page->session);
	for (uint32_t i = 0; i < sim->profile.names; i++) {
		struct slot *slot = &page->slots[i];
		if (slot->term == 0 || now >= slot->deadline) {
			*slot = (struct slot){0};
			continue;
		}
		struct election_token token = {slot->term, slot->deadline, slot->revoked, slot->started};
		if (!election_resume_term(&n->election, i, &token)) {
			*slot = (struct slot){0};
			continue;
		}
		sim->stats.resumed_terms++;
		TRACE(sim, "node", n->index, "resumes lease=%u term=%llu%s", i, (unsigned long long)slot->term,
			slot->revoked ? " revoked" : "");
	}
}

void agent_resign(struct sim *sim, struct node *n, uint32_t lease)
{
	if (!n->alive || n->paused)
		return;
	TRACE(sim, "node", n->index, "is asked to resign lease=%u", lease);
	world_expect_rest(sim, sim->now + n->timing.lease_ns + n->lease_timings[lease].cooldown_ns);
	seat_step(sim, n, ELECTION_RESIGN, lease, 0, 0);
	seat_vacant(sim, n);
}

void agent_operate(struct sim *sim, struct node *n, enum election_operation_kind kind, uint32_t lease, uint32_t target)
{
	static const char *const kinds[] = {"nothing", "pause", "resume", "resign", "transfer", "history"};
	struct election_operation operation = {.kind = kind, .lease = lease, .cooldown_ns = ELECTION_COOLDOWN_DEFAULT};
	if (!n->alive || n->paused || n->stopping)
		return;
	TRACE(sim, "node", n->index, "is asked for %s of lease=%u to node %u", kinds[kind], lease, target);
	snprintf(operation.node, sizeof operation.node, "%s", node_name(target));
	struct election_event event = {
		.type = ELECTION_OPERATE,
		.now = host_clock(&n->host, sim->now),
		.operation = &operation,
	};
	step(sim, n, &event);
	seat_vacant(sim, n);
}

static void configure(struct sim *sim, struct node *n, uint32_t lease)
{
	struct election_event event = {
		.type = ELECTION_CONFIGURE,
		.now = host_clock(&n->host, sim->now),
		.lease = lease,
		.timing = n->removed[lease] ? NULL : &n->lease_timings[lease],
	};
	step(sim, n, &event);
}

void agent_reload(struct sim *sim, struct node *n, uint32_t lease)
{
	if (n->alive && n->paused)
		return;
	n->removed[lease] = !n->removed[lease];
	TRACE(sim, "node", n->index, "%s lease=%u", n->removed[lease] ? "removes" : "adds", lease);
	n->lease_timings[lease] = profile_draw_lease_timing(sim, &n->timing);
	judge_graced(sim, n, lease);
	if (!n->alive || n->stopping)
		return; // it reads its configuration when it starts
	n->added_in[lease] = election_head(&n->election, lease)->held_term;
	configure(sim, n, lease);
	seat_vacant(sim, n);
}

static void configure_all(struct sim *sim, struct node *n)
{
	for (uint32_t i = 0; i < sim->profile.names; i++)
		if (n->removed[i] && n->alive && !n->paused)
			configure(sim, n, i);
}

void agent_start(struct sim *sim, struct node *n)
{
	if (n->alive)
		return;
	int64_t now = host_clock(&n->host, sim->now);
	n->alive = true;
	n->paused = false;
	n->stopping = false;
	n->carrying_out = false;
	n->half_done = false;
	n->life++;
	n->first_link = sim->links;
	n->awake_since = sim->now;
	n->connected = false;
	n->vacant = 0;
	memset(n->seats, 0, sizeof n->seats);
	memset(n->waiting_count, 0, sizeof n->waiting_count);
	n->update.notes = n->notes;
	TRACE(sim, "node", n->index, "daemon starts");
	struct election_room room = {n->leases, n->releases, n->claims, n->offers};
	election_init(&n->election, &n->timing, n->lease_timings, sim->profile.names, &room, now);
	for (uint32_t i = 1; i < sim->profile.grouped; i++)
		election_group(&n->election, i, 0);
	struct uuid id;
	new_identity(sim, &id);
	election_supply_id(&n->election, &id);
	resume(sim, n, now);
	for (uint32_t i = 0; i < sim->worker_count; i++)
		if (sim->workers[i].node == n->index)
			worker_find_daemon(sim, &sim->workers[i]);
	configure_all(sim, n);
	if (n->alive && !n->paused)
		plain_step(sim, n, ELECTION_TIME);
}

void agent_crash(struct sim *sim, struct node *n, bool amnesia)
{
	if (amnesia)
		n->page = (struct page){0};
	if (!n->alive)
		return;
	TRACE(sim, "node", n->index, "daemon is gone%s", amnesia ? ", and its terms page" : "");
	n->alive = false;
	n->paused = false;
	n->timer_at = NEVER;
	drop_inbox(sim, n);
	for (uint32_t i = 0; i < sim->worker_count; i++) {
		struct worker *w = &sim->workers[i];
		struct link link = {.stamp = w->link, .worker = i};
		if (w->node == n->index && w->alive && w->link != 0)
			worker_tell(sim, &link, TOLD_CLOSED, 0, 0);
	}
}

void agent_pause(struct sim *sim, struct node *n, int64_t for_ns)
{
	if (!n->alive || n->paused)
		return;
	n->paused = true;
	n->paused_at = sim->now;
	n->timer_at = NEVER;
	world_add(sim, sim->now + for_ns, EVENT_CONTINUE, n->index, n->life);
	TRACE(sim, "node", n->index, "daemon is stopped for %.3f s", UNSIGNED_SECONDS(for_ns));
}

void agent_continue(struct sim *sim, struct node *n)
{
	if (!n->alive || !n->paused)
		return;
	TRACE(sim, "node", n->index, "daemon goes on");
	n->paused = false;
	n->awake_since = sim->now;
	election_forgive(&n->election, host_clock(&n->host, sim->now) - host_clock(&n->host, n->paused_at), 0);
	if (n->carrying_out)
		apply(sim, n);
	uint32_t done = 0;
	for (; n->alive && !n->paused && done < n->inbox_count; done++) {
		struct event event = n->inbox[done];
		n->inbox[done].kind = EVENT_HINT; // nothing to free, should the daemon crash on it
		take(sim, n, &event);
	}
	if (!n->alive)
		return; // the rest of the inbox went with it
	n->inbox_count -= done;
	memmove(n->inbox, n->inbox + done, n->inbox_count * sizeof *n->inbox);
	if (!n->paused)
		plain_step(sim, n, ELECTION_TIME);
	seat_vacant(sim, n);
}

// The worker talks nonsense, or does not read. One without a term is as good as gone; one with a term may act on it.
void agent_expel(struct sim *sim, struct node *n, uint32_t lease)
{
	struct link link = n->seats[lease];
	if (!n->alive || n->paused || link.stamp == 0 || n->expelled[lease])
		return;
	TRACE(sim, "node", n->index, "hangs up on worker %u", link.worker);
	worker_tell(sim, &link, TOLD_CLOSED, 0, 0);
	bool acts = n->leases[lease].token.term != 0;
	n->expelled[lease] = acts;
	if (!acts)
		n->seats[lease] = (struct link){0};
	seat_step(sim, n, acts ? ELECTION_EXPEL : ELECTION_GONE, lease, 0, 0);
	seat_vacant(sim, n);
}

void agent_shut_down(struct sim *sim, struct node *n)
{
	if (!n->alive || n->paused || n->stopping)
		return;
	n->stopping = true;
	TRACE(sim, "node", n->index, "daemon is asked to end");
	world_add(sim, sim->now + 2 * n->timing.lease_ns, EVENT_FINISH, n->index, n->life);
	plain_step(sim, n, ELECTION_SHUTDOWN);
	seat_vacant(sim, n);
}
