// SPDX-License-Identifier: Apache-2.0
// Virtual time: whatever comes next, happens.
#include "sim.h"

// More events than this within a millisecond: something runs in circles.
#define EVENTS_PER_MS_MAX 20000

static int64_t shown_after(const struct host *host, int64_t passed)
{
	return passed + ((passed * host->error) >> 20);
}

int64_t host_clock(const struct host *host, int64_t now)
{
	return host->base + shown_after(host, now - host->origin);
}

int64_t host_true(const struct host *host, int64_t clock)
{
	int64_t shown = clock - host->base;
	int64_t passed = shown;
	for (int i = 0; i < 4; i++)
		passed += shown - shown_after(host, passed);
	while (shown_after(host, passed) < shown)
		passed++;
	while (shown_after(host, passed - 1) >= shown)
		passed--;
	return host->origin + passed;
}

void host_boot(struct sim *sim, struct node *n)
{
	int32_t error = sim->profile.clock_error;
	n->host = (struct host){
		.origin = sim->now,
		.base = random_scale(&sim->random, NS_PER_S, 1000000 * NS_PER_S),
		.error = (int32_t)random_between(&sim->random, -error, error),
		.boot = n->host.boot + 1,
	};
	// The largest error is the most telling one.
	if (random_below(&sim->random, 2))
		n->host.error = n->host.error < 0 ? -error : error;
}

int64_t world_delay(struct sim *sim)
{
	const struct profile *p = &sim->profile;
	return p->delay_min_ns == p->delay_max_ns ? p->delay_min_ns
						  : random_between(&sim->random, p->delay_min_ns, p->delay_max_ns);
}

void world_add(struct sim *sim, int64_t at, enum event_kind kind, uint32_t index, uint32_t stamp)
{
	struct event event = {.kind = kind, .index = index, .stamp = stamp};
	queue_add(&sim->queue, at, &event);
}

void world_expect_rest(struct sim *sim, int64_t at)
{
	if (at > sim->faults_until)
		sim->faults_until = at;
}

bool world_chance(struct sim *sim, enum fault fault)
{
	uint32_t chance = sim->profile.chance[fault];
	if (chance == 0 || sim->calm || !random_chance(&sim->random, chance))
		return false;
	sim->stats.faults[fault]++;
	return true;
}

static void daemon_up(struct sim *sim, struct node *n, const struct event *event)
{
	if (n->life != event->stamp)
		return;
	if (n->alive && n->stopping) // it is still about to end
		world_add(sim, sim->now + n->timing.lease_ns / 8, EVENT_DAEMON_UP, n->index, n->life);
	else
		agent_start(sim, n);
}

static void happen(struct sim *sim, const struct event *event)
{
	switch (event->kind) {
	case EVENT_STATEMENT:
		exchange_statement(sim, &sim->exchanges[event->index]);
		break;
	case EVENT_REPLY:
		agent_event(sim, &sim->nodes[sim->exchanges[event->index].node], event);
		break;
	case EVENT_HINT:
		agent_event(sim, &sim->nodes[event->index], event);
		break;
	case EVENT_WORD:
		agent_event(sim, &sim->nodes[sim->workers[event->index].node], event);
		break;
	case EVENT_TOLD:
	case EVENT_TASK:
	case EVENT_BEAT:
	case EVENT_LAPSE:
		worker_event(sim, &sim->workers[event->index], event);
		break;
	case EVENT_WORKER_UP:
		if (event->stamp == sim->workers[event->index].life)
			worker_start(sim, &sim->workers[event->index]);
		break;
	case EVENT_WAKE:
		if (event->stamp == sim->workers[event->index].life)
			worker_wake(sim, &sim->workers[event->index]);
		break;
	case EVENT_DAEMON_UP:
		daemon_up(sim, &sim->nodes[event->index], event);
		break;
	case EVENT_CONTINUE:
		if (event->stamp == sim->nodes[event->index].life)
			agent_continue(sim, &sim->nodes[event->index]);
		break;
	case EVENT_UNLOCK:
		database_unlock(sim, event->index, event->stamp);
		break;
	case EVENT_CHAOS:
		chaos_happen(sim);
		break;
	case EVENT_STAGE:
		script_next(sim);
		break;
	case EVENT_WATCH:
		judge_watch(sim, event);
		break;
	case EVENT_HURRY:
		judge_hurried(sim, event);
		break;
	case EVENT_FINISH:
		judge_finish(sim, event);
		break;
	default:
		assert(false && "an event of no kind");
	}
}

static struct node *first_timer(struct sim *sim)
{
	struct node *first = &sim->nodes[0];
	for (uint32_t i = 1; i < sim->profile.nodes; i++)
		if (sim->nodes[i].timer_at < first->timer_at)
			first = &sim->nodes[i];
	return first;
}

static void turn(struct sim *sim)
{
	struct node *n = first_timer(sim);
	int64_t at = queue_at(&sim->queue);
	sim->stats.events++;
	if (n->timer_at <= at) {
		sim->now = n->timer_at > sim->now ? n->timer_at : sim->now;
		agent_timer(sim, n);
		return;
	}
	struct event event = queue_take(&sim->queue);
	sim->now = at;
	happen(sim, &event);
}

static void make_nodes(struct sim *sim)
{
	for (uint32_t i = 0; i < sim->profile.nodes; i++) {
		struct node *n = &sim->nodes[i];
		memset(n, 0, offsetof(struct node, inbox));
		n->index = i;
		n->timer_at = NEVER;
		profile_draw_timing(sim, n);
		host_boot(sim, n);
		world_add(sim, sim->now + world_delay(sim), EVENT_DAEMON_UP, i, 0);
	}
}

static void make_worker(struct sim *sim, uint32_t node, uint32_t lease)
{
	struct worker *w = &sim->workers[sim->worker_count];
	memset(w, 0, offsetof(struct worker, inbox));
	w->index = sim->worker_count++;
	w->node = node;
	w->lease = lease;
	world_add(sim, sim->now + world_delay(sim), EVENT_WORKER_UP, w->index, 0);
}

// Most components have a worker on every node, some have two there, some have one in the whole world. A group is whole
// on one node at least.
static void make_workers(struct sim *sim)
{
	struct random *random = &sim->random;
	sim->worker_count = 0;
	uint32_t first_home = 0;
	for (uint32_t lease = 0; lease < sim->profile.names; lease++) {
		uint32_t home = random_below(random, sim->profile.nodes);
		if (lease > 0 && lease < sim->profile.grouped)
			home = first_home;
		first_home = lease == 0 ? home : first_home;
		bool lonely = random_below(random, 8) == 0;
		for (uint32_t node = 0; node < sim->profile.nodes; node++) {
			bool absent = lonely || random_below(random, 12) == 0;
			uint32_t count = sim->profile.standbys ? 1 + random_below(random, 2) : 1;
			if (absent && node != home)
				continue;
			for (uint32_t i = 0; i < count; i++)
				make_worker(sim, node, lease);
		}
	}
}

static void make_world(struct sim *sim, uint64_t seed)
{
	sim->seed = seed;
	struct random scatter = {seed};
	sim->random = (struct random){random_next(&scatter)};
	sim->now = NS_PER_S;
	sim->links = 0;
	sim->identities = 0;
	sim->calm = false;
	sim->ended = false;
	sim->faults_until = 0;
	sim->trace.count = 0;
	queue_init(&sim->queue);
	profile_draw(sim);
	judge_init(sim);
	database_init(sim);
	make_nodes(sim);
	make_workers(sim);
	script_start(sim);
}

bool world_run(struct sim *sim, uint64_t seed)
{
	sim->stats.runs++;
	if (setjmp(sim->out) != 0) {
		sim->stats.simulated_ns += (uint64_t)sim->now;
		return false;
	}
	make_world(sim, seed);
	int64_t millisecond = 0;
	uint32_t events = 0;
	while (!sim->ended) {
		turn(sim);
		if (sim->now - millisecond > NS_PER_MS) {
			millisecond = sim->now;
			events = 0;
		}
		if (++events > EVENTS_PER_MS_MAX)
			violate(sim, "livelock", "%u events within a millisecond", events);
	}
	sim->stats.simulated_ns += (uint64_t)sim->now;
	return true;
}
