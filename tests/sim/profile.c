// SPDX-License-Identifier: Apache-2.0
// What a run is like: how many nodes, which timing, what goes wrong and how often.
#include <stdio.h>

#include "sim.h"

#define MS NS_PER_MS
#define SHORTEST_LEASE_MS 500
#define USUAL_LEASE_MS 8000
#define LONGEST_LEASE_MS 30000
// In 2^-20ths, 1,990 millionths: two clocks may differ by twice this, and the margin of 0.4 % (rule 6) must bear it.
#define CLOCK_ERROR_MAX 2086

static const char *const fault_names[FAULTS] = {
	[FAULT_LOSE_REQUEST] = "lose-request",
	[FAULT_LOSE_REPLY] = "lose-reply",
	[FAULT_LATE_REQUEST] = "late-request",
	[FAULT_LATE_REPLY] = "late-reply",
	[FAULT_GAP] = "gap",
	[FAULT_BREAK] = "break",
	[FAULT_BUSY] = "busy",
	[FAULT_DENIED] = "denied",
	[FAULT_UNAVAILABLE] = "unavailable",
	[FAULT_RECONNECT] = "reconnect",
	[FAULT_LOSE_HINT] = "lose-hint",
	[FAULT_CRASH_IN_STEP] = "crash-in-step",
	[FAULT_PAUSE_IN_STEP] = "pause-in-step",
	[FAULT_SLOW_STOP] = "slow-stop",
	[FAULT_NEVER_STARTED] = "never-started",
	[FAULT_MUTE] = "mute",
	[FAULT_PAUSE] = "pause",
	[FAULT_CRASH] = "crash",
	[FAULT_CRASH_AMNESIA] = "crash-amnesia",
	[FAULT_REBOOT] = "reboot",
	[FAULT_SHUTDOWN] = "shutdown",
	[FAULT_CUT] = "cut",
	[FAULT_DB_RESTART] = "db-restart",
	[FAULT_DB_FAILOVER] = "db-failover",
	[FAULT_DB_OUTAGE] = "db-outage",
	[FAULT_LOCK] = "lock",
	[FAULT_DELETE_SESSION] = "delete-session",
	[FAULT_WORKER_CRASH] = "worker-crash",
	[FAULT_WORKER_PAUSE] = "worker-pause",
	[FAULT_WORKER_YIELD] = "worker-yield",
	[FAULT_EXPEL] = "expel",
	[FAULT_RESIGN] = "resign",
	[FAULT_OPERATE] = "operate",
	[FAULT_RELOAD] = "reload",
};

static const char *const kind_names[KINDS] = {
	[KIND_STORM] = "storm",
	[KIND_LIGHT] = "light",
	[KIND_PRECISE] = "precise",
	[KIND_STALE] = "stale",
	[KIND_LATE] = "late",
	[KIND_MIXED] = "mixed",
	[KIND_CLUSTER] = "cluster",
};

const char *fault_name(enum fault fault)
{
	return fault_names[fault];
}

const char *kind_name(enum kind kind)
{
	return kind_names[kind];
}

static enum kind draw_kind(struct random *random)
{
	static const enum kind draws[] = {
		KIND_STORM,
		KIND_STORM,
		KIND_STORM,
		KIND_STORM,
		KIND_LIGHT,
		KIND_STALE,
		KIND_STALE,
		KIND_PRECISE,
		KIND_LATE,
		KIND_MIXED,
		KIND_CLUSTER,
	};
	return draws[random_below(random, COUNT_OF(draws))];
}

static int64_t percent_of(struct random *random, int64_t whole, int64_t low, int64_t high)
{
	return random_between(random, whole * low / 100, whole * high / 100);
}

// Timings that a daemon would accept (W24): three attempts fit before deadline - stop_grace.
void profile_draw_timing(struct sim *sim, struct node *node)
{
	struct random *random = &sim->random;
	int64_t lease = sim->profile.lease_ns;
	if (sim->profile.kind == KIND_MIXED) {
		lease = random_between(random, lease / 3 / MS, lease / MS) * MS;
		if (lease < SHORTEST_LEASE_MS * MS)
			lease = SHORTEST_LEASE_MS * MS;
	} else if (node->index > 0) {
		node->timing = sim->nodes[0].timing;
		memcpy(node->lease_timings, sim->nodes[0].lease_timings, sizeof node->lease_timings);
		for (uint32_t i = 0; i < sim->profile.names; i++)
			node->lease_timings[i].priority = 100 * (int32_t)random_below(random, 3);
		return;
	}
	int64_t renew = percent_of(random, lease, 14, 22);
	int64_t grace = percent_of(random, lease, 5, 25);
	int64_t room = lease - grace - renew - lease / 20;
	int64_t poll = percent_of(random, renew, 60, 100);
	node->timing = (struct election_timing){
		.lease_ns = lease,
		.renew_ns = renew,
		.poll_ns = poll > 50 * MS ? poll : 50 * MS,
		.timeout_ns = percent_of(random, room, 25, 50),
	};
	for (uint32_t i = 0; i < sim->profile.names; i++) {
		node->lease_timings[i] = profile_draw_lease_timing(sim, &node->timing);
		node->lease_timings[i].stop_grace_ns = i % 2 ? grace : grace / 2;
		if (i < sim->profile.grouped)
			node->lease_timings[i].stop_grace_ns = grace / sim->profile.grouped;
	}
}

// Any grace that leaves the attempts their room.
struct election_lease_timing profile_draw_lease_timing(struct sim *sim, const struct election_timing *timing)
{
	struct random *random = &sim->random;
	int64_t lease = timing->lease_ns;
	static const int32_t priorities[] = {0, 100, 200};
	return (struct election_lease_timing){
		.priority = priorities[random_below(random, COUNT_OF(priorities))],
		.prefer_after_ns = sim->profile.prefers ? percent_of(random, lease, 50, 300) : 0,
		.stop_grace_ns = percent_of(random, lease, 3, 5) / (sim->profile.grouped ? sim->profile.grouped : 1),
		.start_timeout_ns = percent_of(random, lease, 30, 150),
		.cooldown_ns = percent_of(random, lease, 0, 50),
	};
}

static void draw_chances(struct sim *sim, enum fault first, enum fault last, uint32_t on_in_ten)
{
	for (enum fault f = first; f <= last; f++)
		if (random_below(&sim->random, 10) < on_in_ten)
			sim->profile.chance[f] = (uint32_t)random_scale(&sim->random, 1000, MILLION / 8);
}

static void draw_weights(struct sim *sim, enum fault first, enum fault last, uint32_t on_in_ten)
{
	for (enum fault f = first; f <= last; f++)
		if (random_below(&sim->random, 10) < on_in_ten)
			sim->profile.chance[f] = (uint32_t)random_scale(&sim->random, 1, 16);
}

static void draw_storm(struct sim *sim)
{
	draw_chances(sim, FAULT_LOSE_REQUEST, FAULT_LOSE_HINT, 4);
	draw_chances(sim, FAULT_SLOW_STOP, FAULT_MUTE, 5);
	draw_weights(sim, FAULT_PAUSE, FAULT_RELOAD, 4);
	for (enum fault f = FAULT_CRASH_IN_STEP; f <= FAULT_PAUSE_IN_STEP; f++)
		sim->profile.chance[f] = (uint32_t)random_scale(&sim->random, 10, 5000);
}

static void draw_precise(struct sim *sim)
{
	uint32_t *chance = sim->profile.chance;
	sim->profile.clock_error = CLOCK_ERROR_MAX;
	sim->profile.hints = true;
	chance[FAULT_SLOW_STOP] = MILLION * 3 / 4;
	chance[FAULT_CUT] = 8;
	chance[FAULT_WORKER_CRASH] = 2;
	chance[FAULT_PAUSE] = 1;
	chance[FAULT_CRASH] = 2;
}

static void draw_stale(struct sim *sim)
{
	uint32_t *chance = sim->profile.chance;
	chance[FAULT_DB_FAILOVER] = 8;
	chance[FAULT_CUT] = (uint32_t)random_scale(&sim->random, 1, 16);
	chance[FAULT_SLOW_STOP] = MILLION / 2;
	draw_chances(sim, FAULT_LOSE_REQUEST, FAULT_LATE_REPLY, 3);
	draw_chances(sim, FAULT_RECONNECT, FAULT_LOSE_HINT, 3);
	draw_weights(sim, FAULT_PAUSE, FAULT_SHUTDOWN, 3);
	draw_weights(sim, FAULT_WORKER_CRASH, FAULT_RELOAD, 7);
}

static void draw_late(struct sim *sim)
{
	uint32_t *chance = sim->profile.chance;
	chance[FAULT_LATE_REQUEST] = MILLION / 5;
	chance[FAULT_LATE_REPLY] = MILLION / 3;
	chance[FAULT_GAP] = MILLION / 10;
	draw_chances(sim, FAULT_SLOW_STOP, FAULT_MUTE, 5);
	chance[FAULT_SLOW_STOP] += MILLION / 2;
	chance[FAULT_CUT] = 8;
	draw_weights(sim, FAULT_WORKER_CRASH, FAULT_RELOAD, 8);
	chance[FAULT_WORKER_CRASH] += 4;
	draw_weights(sim, FAULT_SHUTDOWN, FAULT_LOCK, 4);
}

static void draw_faults(struct sim *sim)
{
	uint32_t *chance = sim->profile.chance;
	switch (sim->profile.kind) {
	case KIND_LIGHT:
		break;
	case KIND_PRECISE:
		draw_precise(sim);
		break;
	case KIND_STALE:
		draw_stale(sim);
		break;
	case KIND_LATE:
		draw_late(sim);
		break;
	case KIND_MIXED:
		draw_storm(sim);
		chance[FAULT_DB_FAILOVER] = 0;
		break;
	case KIND_CLUSTER:
		draw_storm(sim);
		// Whoever is certified loses nothing, and a row that is held there is held on one node only.
		chance[FAULT_DB_FAILOVER] = 0;
		chance[FAULT_LOCK] = 0;
		chance[FAULT_RECONNECT] = MILLION / 16;
		break;
	case KIND_STORM:
	case KINDS:
	default:
		draw_storm(sim);
	}
	for (enum fault f = FAULTS_BY_CHANCE; f < FAULTS; f++)
		sim->profile.weights += chance[f];
}

static void draw_delays(struct sim *sim)
{
	struct profile *p = &sim->profile;
	int64_t slowest = p->lease_ns / (p->kind == KIND_MIXED ? 300 : 100);
	p->delay_min_ns = NS_PER_US;
	p->delay_max_ns = NS_PER_US;
	if (p->kind == KIND_PRECISE || random_below(&sim->random, 4) == 0)
		return;
	p->delay_min_ns = random_scale(&sim->random, 50 * NS_PER_US, slowest / 4);
	p->delay_max_ns = random_scale(&sim->random, p->delay_min_ns, slowest);
}

static void draw_times(struct sim *sim)
{
	struct random *random = &sim->random;
	struct profile *p = &sim->profile;
	p->longest_delay_ns = random_scale(random, p->lease_ns / 4, p->lease_ns * 2);
	if (p->longest_delay_ns < 9 * NS_PER_S && random_below(random, 2))
		p->longest_delay_ns = 9 * NS_PER_S;
	p->longest_pause_ns = random_scale(random, p->lease_ns / 4, p->lease_ns * 3);
	p->chaos_ns = random_scale(random, p->lease_ns / 8, p->lease_ns * 16);
	if ((p->kind == KIND_STORM || p->kind == KIND_STALE) && random_below(random, 8) == 0)
		p->chaos_ns = random_scale(random, p->lease_ns / 128, p->lease_ns / 8);
	if (p->kind == KIND_LATE)
		p->chaos_ns = random_scale(random, p->lease_ns / 2, p->lease_ns * 4);
	p->storm_ns = random_scale(random, p->lease_ns * 5, p->lease_ns * 60);
}

// Short ones cost more time to simulate than long ones.
static int64_t draw_lease(struct random *random)
{
	if (random_below(random, 4) == 0)
		return random_scale(random, SHORTEST_LEASE_MS, USUAL_LEASE_MS) * MS;
	return random_between(random, USUAL_LEASE_MS, LONGEST_LEASE_MS) * MS;
}

void profile_draw(struct sim *sim)
{
	struct random *random = &sim->random;
	struct profile *p = &sim->profile;
	*p = (struct profile){
		.kind = draw_kind(random),
		.nodes = 2 + random_below(random, 2) + (random_below(random, 4) == 0) + (random_below(random, 8) == 0),
		.names = 1 + random_below(random, 3) + (random_below(random, 6) == 0) + (random_below(random, 6) == 0),
		.lease_ns = draw_lease(random),
		.hints = random_below(random, 4) != 0,
		.pooler = random_below(random, 4) == 0,
		.standbys = random_below(random, 4) == 0,
		.heartbeats = random_below(random, 4) == 0,
		.storms = 3 + random_below(random, 6),
	};
	static const int32_t errors[] = {0, 100, 1000, CLOCK_ERROR_MAX};
	p->clock_error = errors[random_below(random, 4)];
	p->grouped = p->names > 1 && random_below(random, 3) == 0 ? 2 + random_below(random, 2) : 0;
	p->grouped = p->grouped > p->names ? p->names : p->grouped;
	p->prefers = p->kind == KIND_STORM && random_below(random, 4) == 0;
	p->hints &= p->kind != KIND_CLUSTER; // a wait is local to a node
	p->wrong_clocks = random_below(random, 4) == 0;
	draw_faults(sim);
	draw_times(sim);
	draw_delays(sim);
}

void profile_print(const struct sim *sim)
{
	const struct profile *p = &sim->profile;
	printf("kind=%s nodes=%u names=%u lease_ms=%lld delay_us=%lld..%lld late_ms=%lld pause_ms=%lld chaos_ms=%lld\n",
		kind_name(p->kind), p->nodes, p->names, (long long)(p->lease_ns / MS),
		(long long)(p->delay_min_ns / NS_PER_US), (long long)(p->delay_max_ns / NS_PER_US),
		(long long)(p->longest_delay_ns / MS), (long long)(p->longest_pause_ns / MS),
		(long long)(p->chaos_ns / MS));
	printf("storm_ms=%lld storms=%u hints=%d pooler=%d standbys=%d heartbeats=%d prefers=%d grouped=%u "
	       "clock_error=%d wrong_clocks=%d\n",
		(long long)(p->storm_ns / MS), p->storms, p->hints, p->pooler, p->standbys, p->heartbeats, p->prefers,
		p->grouped, p->clock_error, p->wrong_clocks);
	for (uint32_t i = 0; i < p->nodes; i++) {
		const struct node *n = &sim->nodes[i];
		printf("node %u: lease_ms=%lld renew_ms=%lld poll_ms=%lld timeout_ms=%lld stop_grace_ms=%lld "
		       "clock_error=%d\n",
			i, (long long)(n->timing.lease_ns / MS), (long long)(n->timing.renew_ns / MS),
			(long long)(n->timing.poll_ns / MS), (long long)(n->timing.timeout_ns / MS),
			(long long)(n->lease_timings[0].stop_grace_ns / MS), n->host.error);
	}
	printf("faults:");
	for (enum fault f = 0; f < FAULTS; f++)
		if (p->chance[f])
			printf(" %s=%u", fault_names[f], p->chance[f]);
	printf("\n");
}
