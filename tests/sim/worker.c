// SPDX-License-Identifier: Apache-2.0
// An honest worker: it acts on a term from `granted` until its deadline has passed on its host's clock, or until it
// has stopped. It may be slow, silent, stopped or dead, and it comes back to its daemon with the term it has.
#include "sim.h"

enum task { TASK_CONNECT, TASK_STARTED, TASK_STOPPED };

static struct node *node_of(struct sim *sim, const struct worker *w)
{
	return &sim->nodes[w->node];
}

static void say_on(struct sim *sim, struct worker *w, uint32_t link, enum word word, uint64_t term, int64_t value)
{
	if (link == 0)
		return;
	int64_t at = sim->now + world_delay(sim);
	w->sent_at = at > w->sent_at ? at : w->sent_at;
	struct event event = {.kind = EVENT_WORD,
		.index = w->index,
		.stamp = link,
		.word = (int32_t)word,
		.term = term,
		.value = value};
	queue_add(&sim->queue, w->sent_at, &event);
}

static void say(struct sim *sim, struct worker *w, enum word word, uint64_t term, int64_t value)
{
	say_on(sim, w, w->link, word, term, value);
}

void worker_tell(struct sim *sim, const struct link *link, enum told told, uint64_t term, int64_t deadline)
{
	struct worker *w = &sim->workers[link->worker];
	int64_t at = sim->now + world_delay(sim);
	w->told_at = at > w->told_at ? at : w->told_at;
	struct event event = {.kind = EVENT_TOLD,
		.index = w->index,
		.stamp = link->stamp,
		.word = (int32_t)told,
		.term = term,
		.value = deadline};
	queue_add(&sim->queue, w->told_at, &event);
}

static void set_task(struct sim *sim, struct worker *w, enum task task, int64_t in_ns)
{
	uint32_t stamp = task == TASK_CONNECT ? w->life : ++w->task;
	struct event event = {.kind = EVENT_TASK, .index = w->index, .stamp = stamp, .word = (int32_t)task};
	queue_add(&sim->queue, sim->now + in_ns, &event);
}

// ---- the connection ----

static bool has_lapsed(struct sim *sim, struct worker *w)
{
	const struct node *n = node_of(sim, w);
	const struct slot *slot = &n->page.slots[w->lease];
	if (slot->term == w->term && !slot->revoked && slot->deadline > w->deadline)
		w->deadline = slot->deadline;
	return host_clock(&n->host, sim->now) >= w->deadline;
}

// Work that has not ended belongs to its term, also when that has lapsed: a fresh start is only for the idle (W2).
static void join(struct sim *sim, struct worker *w)
{
	w->link_state = LINK_JOINING;
	say(sim, w, WORD_JOIN, w->term, 0);
}

// Where the daemon is not there, worker_find_daemon() comes when it is.
static void reconnect(struct sim *sim, struct worker *w)
{
	if (w->link != 0 || !node_of(sim, w)->alive)
		return;
	w->link = ++sim->links;
	join(sim, w);
}

// It tries every now and then, and finds that its daemon is back.
void worker_find_daemon(struct sim *sim, struct worker *w)
{
	int64_t lease = node_of(sim, w)->timing.lease_ns;
	if (w->alive && w->link == 0)
		set_task(sim, w, TASK_CONNECT, random_scale(&sim->random, lease / 1000, lease / 20));
}

// ---- its work ----

static void forget_term(struct sim *sim, struct worker *w)
{
	say_on(sim, w, w->old_link, WORD_GONE, 0, 0);
	w->old_link = 0;
	w->work = WORK_NONE;
	w->term = 0;
	w->task++;
}

static void begin_to_stop(struct sim *sim, struct worker *w)
{
	if (w->work == WORK_STOPPING)
		return;
	w->work = WORK_STOPPING;
	int64_t grace = node_of(sim, w)->lease_timings[w->lease].stop_grace_ns;
	int64_t in_ns = random_scale(&sim->random, NS_PER_US, grace / 2);
	if (world_chance(sim, FAULT_SLOW_STOP))
		in_ns = random_scale(&sim->random, grace / 2, sim->profile.lease_ns * 3 / 2);
	if (!sim->calm)
		world_expect_rest(sim, sim->now + in_ns);
	set_task(sim, w, TASK_STOPPED, in_ns);
}

static void stop(struct sim *sim, struct worker *w)
{
	TRACE(sim, "worker", w->index, "has stopped, term=%llu", (unsigned long long)w->term);
	judge_ended(sim, w);
	say(sim, w, WORD_STOPPED, w->term, 0);
	forget_term(sim, w);
	if (w->link != 0 && w->link_state == LINK_NONE) // the term was refused
		join(sim, w);
}

static void look_later(struct sim *sim, const struct worker *w)
{
	int64_t at = host_true(&node_of(sim, w)->host, w->deadline);
	struct event event = {.kind = EVENT_LAPSE, .index = w->index, .stamp = w->life, .term = w->term};
	queue_add(&sim->queue, at > sim->now ? at : sim->now, &event);
}

static void look_at_deadline(struct sim *sim, struct worker *w, uint64_t term)
{
	if (w->term != term || w->work == WORK_NONE || w->work == WORK_STOPPING)
		return;
	if (has_lapsed(sim, w))
		begin_to_stop(sim, w);
	else
		look_later(sim, w);
}

static void take_granted(struct sim *sim, struct worker *w, const struct event *event)
{
	int64_t start_timeout = node_of(sim, w)->lease_timings[w->lease].start_timeout_ns;
	w->work = WORK_STARTING;
	w->term = event->term;
	w->deadline = event->value;
	w->mute = false;
	w->task++;
	look_later(sim, w);
	if (!world_chance(sim, FAULT_NEVER_STARTED))
		set_task(sim, w, TASK_STARTED, random_scale(&sim->random, NS_PER_US, start_timeout / 4));
	else
		world_expect_rest(sim, sim->now + start_timeout + sim->profile.lease_ns);
}

static void say_started(struct sim *sim, struct worker *w)
{
	w->work = WORK_WORKING;
	say(sim, w, WORD_STARTED, w->term, 0);
	if (w->heartbeat_ns == 0)
		return;
	w->mute = world_chance(sim, FAULT_MUTE);
	if (w->mute)
		world_expect_rest(sim, sim->now + w->heartbeat_ns + sim->profile.lease_ns);
	struct event event = {.kind = EVENT_BEAT, .index = w->index, .stamp = w->task};
	queue_add(&sim->queue, sim->now + w->heartbeat_ns / 3, &event);
}

static void beat(struct sim *sim, struct worker *w, const struct event *event)
{
	if (w->task != event->stamp || w->work != WORK_WORKING || w->mute)
		return;
	say(sim, w, WORD_ALIVE, w->term, 0);
	queue_add(&sim->queue, sim->now + w->heartbeat_ns / 3, event);
}

static void do_task(struct sim *sim, struct worker *w, const struct event *event)
{
	switch ((enum task)event->word) {
	case TASK_CONNECT:
		if (event->stamp == w->life)
			reconnect(sim, w);
		break;
	case TASK_STARTED:
		if (event->stamp == w->task)
			say_started(sim, w);
		break;
	case TASK_STOPPED:
	default:
		if (event->stamp == w->task)
			stop(sim, w);
	}
}

// ---- what it is told ----

static void take_stale(struct sim *sim, struct worker *w)
{
	w->link_state = LINK_NONE;
	if (w->work == WORK_NONE)
		join(sim, w);
	else
		begin_to_stop(sim, w);
}

static void take_closed(struct sim *sim, struct worker *w)
{
	if (w->work == WORK_NONE)
		say(sim, w, WORD_GONE, 0, 0);
	else if (w->old_link <= node_of(sim, w)->first_link) // none, or to a daemon that is no more
		w->old_link = w->link;
	w->link = 0;
	w->link_state = LINK_NONE;
	reconnect(sim, w);
}

static void take_told(struct sim *sim, struct worker *w, const struct event *event)
{
	if (event->stamp != w->link)
		return;
	switch ((enum told)event->word) {
	case TOLD_WELCOME:
		w->link_state = LINK_JOINED;
		// The daemon may have died before it heard so.
		if (w->work == WORK_WORKING)
			say(sim, w, WORD_STARTED, w->term, 0);
		break;
	case TOLD_STALE:
		take_stale(sim, w);
		break;
	case TOLD_GRANTED:
		take_granted(sim, w, event);
		break;
	case TOLD_REVOKED:
		if (event->term != w->term || w->work == WORK_NONE)
			break;
		judge_heard_revoked(sim, w, event->value);
		if (event->value < w->deadline)
			w->deadline = event->value;
		begin_to_stop(sim, w);
		break;
	case TOLD_CLOSED:
	default:
		take_closed(sim, w);
	}
}

void worker_event(struct sim *sim, struct worker *w, const struct event *event)
{
	if (!w->alive)
		return;
	if (w->paused) {
		assert(w->inbox_count < COUNT_OF(w->inbox));
		w->inbox[w->inbox_count++] = *event;
		return;
	}
	if (event->kind == EVENT_TOLD)
		take_told(sim, w, event);
	else if (event->kind == EVENT_TASK)
		do_task(sim, w, event);
	else if (event->kind == EVENT_BEAT)
		beat(sim, w, event);
	else if (event->stamp == w->life)
		look_at_deadline(sim, w, event->term);
}

// ---- its life ----

void worker_start(struct sim *sim, struct worker *w)
{
	if (w->alive)
		return;
	TRACE(sim, "worker", w->index, "starts on node %u for lease=%u", w->node, w->lease);
	int64_t lease = node_of(sim, w)->timing.lease_ns;
	w->alive = true;
	w->paused = false;
	w->life++;
	w->link = 0;
	w->link_state = LINK_NONE;
	w->inbox_count = 0;
	w->heartbeat_ns = sim->profile.heartbeats ? random_between(&sim->random, lease / 4, lease) : 0;
	forget_term(sim, w);
	reconnect(sim, w);
}

void worker_crash(struct sim *sim, struct worker *w, int64_t down_ns)
{
	if (!w->alive)
		return;
	TRACE(sim, "worker", w->index, "of lease=%u is killed, term=%llu", w->lease, (unsigned long long)w->term);
	judge_ended(sim, w);
	say(sim, w, WORD_GONE, 0, 0);
	w->alive = false;
	w->paused = false;
	w->link = 0;
	w->life++;
	forget_term(sim, w);
	world_add(sim, sim->now + down_ns, EVENT_WORKER_UP, w->index, w->life);
}

void worker_pause(struct sim *sim, struct worker *w, int64_t for_ns)
{
	if (!w->alive || w->paused)
		return;
	TRACE(sim, "worker", w->index, "is stopped for %.3f s", UNSIGNED_SECONDS(for_ns));
	w->paused = true;
	world_add(sim, sim->now + for_ns, EVENT_WAKE, w->index, w->life);
}

void worker_wake(struct sim *sim, struct worker *w)
{
	if (!w->alive || !w->paused)
		return;
	TRACE(sim, "worker", w->index, "goes on");
	w->paused = false;
	uint32_t count = w->inbox_count;
	w->inbox_count = 0;
	for (uint32_t i = 0; i < count; i++)
		worker_event(sim, w, &w->inbox[i]);
}

// It gives its term up: its own dependency is down, say (W15).
void worker_yield(struct sim *sim, struct worker *w)
{
	if (!w->alive || w->paused || (w->work != WORK_STARTING && w->work != WORK_WORKING))
		return;
	TRACE(sim, "worker", w->index, "yields lease=%u term=%llu", w->lease, (unsigned long long)w->term);
	judge_ended(sim, w);
	say(sim, w, WORD_YIELD, w->term, ELECTION_COOLDOWN_DEFAULT);
	if (!sim->calm)
		world_expect_rest(sim, sim->now + node_of(sim, w)->lease_timings[w->lease].cooldown_ns);
	forget_term(sim, w);
}
