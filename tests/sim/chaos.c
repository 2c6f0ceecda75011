// SPDX-License-Identifier: Apache-2.0
// What goes wrong, and the script: a storm of faults, a calm in which everything has to recover, a few hand-overs.
#include "sim.h"

static int64_t scale(struct sim *sim, int64_t low, int64_t high)
{
	return random_scale(&sim->random, low, high > 2 * low ? high : 2 * low);
}

static struct node *any_node(struct sim *sim)
{
	return &sim->nodes[random_below(&sim->random, sim->profile.nodes)];
}

static struct worker *any_worker(struct sim *sim)
{
	return &sim->workers[random_below(&sim->random, sim->worker_count)];
}

// Half of the time somebody who leads.
static struct worker *telling_worker(struct sim *sim)
{
	struct worker *leader = judge_leader(sim, random_below(&sim->random, sim->profile.names));
	return leader && random_below(&sim->random, 2) ? leader : any_worker(sim);
}

static struct node *telling_node(struct sim *sim)
{
	struct worker *leader = judge_leader(sim, random_below(&sim->random, sim->profile.names));
	return leader && random_below(&sim->random, 2) ? &sim->nodes[leader->node] : any_node(sim);
}

static void start_later(struct sim *sim, const struct node *n)
{
	int64_t lease = sim->profile.lease_ns;
	world_add(sim, sim->now + scale(sim, lease / 1000, 2 * lease), EVENT_DAEMON_UP, n->index, n->life);
}

static void reboot(struct sim *sim, struct node *n)
{
	agent_crash(sim, n, true);
	int64_t down_ns = scale(sim, sim->profile.lease_ns / 100, 2 * sim->profile.lease_ns);
	for (uint32_t i = 0; i < sim->worker_count; i++)
		if (sim->workers[i].node == n->index)
			worker_crash(sim, &sim->workers[i], down_ns + world_delay(sim));
	TRACE(sim, "node", n->index, "reboots");
	host_boot(sim, n);
	world_add(sim, sim->now + down_ns, EVENT_DAEMON_UP, n->index, n->life);
}

static void cut(struct sim *sim, struct node *n)
{
	int64_t least = sim->profile.lease_ns / (sim->profile.kind == KIND_LATE ? 2 : 20);
	int64_t for_ns = scale(sim, least, sim->profile.lease_ns * 5 / 2);
	n->cut_from = sim->now;
	n->cut_until = sim->now + for_ns;
	n->cut_refuses = random_below(&sim->random, 2);
	TRACE(sim, "node", n->index, "cannot reach the database for %.3f s%s", UNSIGNED_SECONDS(for_ns),
		n->cut_refuses ? ", and knows" : "");
}

// Around a fail-over the network is bad: who sees the new server first, and who is away for about a lease, is luck.
static void cut_around(struct sim *sim, struct node *n)
{
	int64_t lease = n->timing.lease_ns;
	if (random_below(&sim->random, 3) == 0)
		return;
	n->cut_from = sim->now + random_between(&sim->random, 0, n->timing.renew_ns * 3 / 2);
	n->cut_until = sim->now + random_between(&sim->random, lease * 3 / 4, lease * 5 / 4);
	n->cut_refuses = random_below(&sim->random, 2);
	TRACE(sim, "node", n->index, "will not reach the database from %.3f s to %.3f s", UNSIGNED_SECONDS(n->cut_from),
		UNSIGNED_SECONDS(n->cut_until));
}

static void fail_over(struct sim *sim)
{
	int64_t most = sim->profile.lease_ns * 3 > 10 * NS_PER_S ? sim->profile.lease_ns * 3 : 10 * NS_PER_S;
	int64_t few = sim->nodes[0].timing.renew_ns * 5 / 2;
	bool stale = sim->profile.kind == KIND_STALE;
	database_fail_over(
		sim, stale && random_below(&sim->random, 2) ? scale(sim, few / 5, few) : scale(sim, NS_PER_MS, most));
	for (uint32_t i = 0; stale && i < sim->profile.nodes; i++)
		cut_around(sim, &sim->nodes[i]);
}

static void break_down(struct sim *sim)
{
	struct database *db = &sim->database;
	static const char *const names[] = {"", "is silent", "refuses connections", "denies", "is busy"};
	db->outage = OUTAGE_SILENT + random_below(&sim->random, 4);
	db->outage_until = sim->now + scale(sim, sim->profile.lease_ns / 20, sim->profile.lease_ns * 2);
	TRACE(sim, "server", db->epoch, "%s for %.3f s", names[db->outage],
		UNSIGNED_SECONDS(db->outage_until - sim->now));
}

static void delete_session(struct sim *sim)
{
	struct tables *t = sim->database.tables;
	uint32_t count = (uint32_t)t->session_capacity;
	uint32_t from = random_below(&sim->random, count);
	for (uint32_t i = 0; i < count; i++) {
		struct tables_session *row = &t->sessions[(from + i) % count];
		if (uuid_is_none(&row->id))
			continue;
		TRACE(sim, "server", sim->database.epoch, "session %02x%02x is deleted by hand", row->id.byte[0],
			row->id.byte[1]);
		judge_disturbed(sim, &row->id);
		*row = (struct tables_session){0};
		return;
	}
}

static enum fault draw_fault(struct sim *sim)
{
	uint32_t at = random_below(&sim->random, sim->profile.weights);
	enum fault f = FAULTS_BY_CHANCE;
	for (; at >= sim->profile.chance[f]; f++)
		at -= sim->profile.chance[f];
	return f;
}

static void fault_in_daemon(struct sim *sim, enum fault fault)
{
	struct node *n = telling_node(sim);
	if (fault == FAULT_PAUSE)
		agent_pause(sim, n, scale(sim, NS_PER_MS, sim->profile.longest_pause_ns));
	if (fault == FAULT_SHUTDOWN)
		agent_shut_down(sim, n);
	if (fault == FAULT_CRASH || fault == FAULT_CRASH_AMNESIA)
		agent_crash(sim, n, fault == FAULT_CRASH_AMNESIA);
	if (fault == FAULT_REBOOT)
		reboot(sim, n);
	else if (fault != FAULT_PAUSE)
		start_later(sim, n);
}

// A pause is soon over, or there would be nothing to see.
static void operate(struct sim *sim, uint32_t lease)
{
	static const enum election_operation_kind kinds[] = {OPERATION_TRANSFER, OPERATION_TRANSFER, OPERATION_RESIGN,
		OPERATION_PAUSE, OPERATION_RESUME, OPERATION_RESUME};
	agent_operate(
		sim, any_node(sim), kinds[random_below(&sim->random, COUNT_OF(kinds))], lease, any_node(sim)->index);
}

static void fault_in_worker(struct sim *sim, enum fault fault)
{
	struct worker *w = telling_worker(sim);
	int64_t lease = sim->profile.lease_ns;
	if (fault == FAULT_WORKER_CRASH)
		worker_crash(sim, w, scale(sim, lease / 1000, 2 * lease));
	if (fault == FAULT_WORKER_PAUSE)
		worker_pause(sim, w, scale(sim, NS_PER_MS, sim->profile.longest_pause_ns));
	if (fault == FAULT_WORKER_YIELD)
		worker_yield(sim, w);
	if (fault == FAULT_EXPEL)
		agent_expel(sim, &sim->nodes[w->node], w->lease);
	if (fault == FAULT_OPERATE)
		operate(sim, w->lease);
	if (fault == FAULT_RESIGN)
		agent_resign(sim, &sim->nodes[w->node], w->lease);
	if (fault == FAULT_RELOAD)
		agent_reload(sim, &sim->nodes[w->node], w->lease);
}

static void fault_in_database(struct sim *sim, enum fault fault)
{
	if (fault == FAULT_DB_RESTART)
		database_restart(sim);
	if (fault == FAULT_DB_FAILOVER)
		fail_over(sim);
	if (fault == FAULT_DB_OUTAGE)
		break_down(sim);
	if (fault == FAULT_LOCK)
		database_lock(sim, random_below(&sim->random, sim->profile.names),
			scale(sim, NS_PER_MS, sim->profile.lease_ns));
	if (fault == FAULT_DELETE_SESSION)
		delete_session(sim);
}

void chaos_happen(struct sim *sim)
{
	if (sim->calm)
		return;
	enum fault fault = draw_fault(sim);
	sim->stats.faults[fault]++;
	if (fault == FAULT_CUT)
		cut(sim, telling_node(sim));
	else if (fault < FAULT_CUT)
		fault_in_daemon(sim, fault);
	else if (fault < FAULT_WORKER_CRASH)
		fault_in_database(sim, fault);
	else
		fault_in_worker(sim, fault);
	chaos_next(sim);
}

void chaos_next(struct sim *sim)
{
	if (sim->profile.weights == 0)
		return;
	world_add(sim, sim->now + scale(sim, sim->profile.chaos_ns / 8, sim->profile.chaos_ns * 4), EVENT_CHAOS, 0, 0);
}

void chaos_end(struct sim *sim)
{
	TRACE(sim, "world", 0, "calm");
	sim->calm = true;
	sim->database.outage_until = 0;
	memset(sim->database.tables->paused, 0, sizeof sim->database.tables->paused);
	for (uint32_t i = 0; i < sim->profile.names; i++)
		database_unlock(sim, i, sim->database.locks[i]);
	for (uint32_t i = 0; i < sim->worker_count; i++) {
		struct worker *w = &sim->workers[i];
		worker_wake(sim, w);
		if (!w->alive)
			world_add(sim, sim->now + world_delay(sim), EVENT_WORKER_UP, i, w->life);
	}
	for (uint32_t i = 0; i < sim->profile.nodes; i++) {
		struct node *n = &sim->nodes[i];
		n->cut_until = 0;
		agent_continue(sim, n);
		for (uint32_t lease = 0; lease < sim->profile.names; lease++)
			if (n->removed[lease])
				agent_reload(sim, n, lease);
		if (n->alive && n->stopping)
			world_expect_rest(sim, sim->now + 2 * n->timing.lease_ns);
		else
			world_add(sim, sim->now + world_delay(sim), EVENT_DAEMON_UP, i, n->life);
	}
}

// ---- the script ----

enum stage { STAGE_STORM, STAGE_CALM, STAGE_STEADY, STAGE_HURRY, STAGE_AFTER };

static void next_stage(struct sim *sim, enum stage stage, int64_t at)
{
	sim->stage = stage;
	world_add(sim, at, EVENT_STAGE, 0, 0);
}

static int64_t with_margin(int64_t lease_ns)
{
	return lease_ns + lease_ns / 125;
}

// Two leases, one more where the server is not believed yet (rule 3), and the exchanges in between.
static int64_t leaders_by(const struct sim *sim)
{
	int64_t lease = with_margin(sim->profile.lease_ns);
	int64_t from = sim->faults_until > sim->now ? sim->faults_until : sim->now;
	const struct tables *t = sim->database.tables;
	int64_t slowest = 0;
	for (uint32_t i = 0; i < sim->profile.nodes; i++) {
		const struct election_timing *timing = &sim->nodes[i].timing;
		int64_t sum = timing->timeout_ns + timing->renew_ns + timing->poll_ns;
		slowest = sum > slowest ? sum : slowest;
	}
	return from + (sim->profile.grouped ? 4 : 2) * lease +
	       (incarnation_equal(&t->server, &t->believed) ? 0 : lease) + slowest + 10 * sim->profile.delay_max_ns;
}

static void begin_storm(struct sim *sim)
{
	sim->storms_left--;
	sim->calm = false;
	sim->judge.no_end = sim->profile.kind == KIND_LIGHT ? "W9" : NULL;
	TRACE(sim, "world", 0, "storm");
	chaos_next(sim);
	next_stage(sim, STAGE_CALM, sim->now + scale(sim, sim->profile.storm_ns / 4, sim->profile.storm_ns));
}

static void begin_steady(struct sim *sim)
{
	judge_leaders(sim);
	for (uint32_t i = 0; i < sim->profile.nodes; i++)
		sim->writes_before[i] = sim->nodes[i].writes;
	sim->grants_before = sim->stats.grants;
	next_stage(sim, STAGE_HURRY, sim->now + 3 * sim->profile.lease_ns);
	sim->hurries_left = random_below(&sim->random, 4);
}

// R16: one that only waits writes its session every third lease, a sweep now and then, and nothing per poll. (Among
// leases of different lengths, a slow one kills in vain what it has not looked at for the length of a short one; and
// who gives a lease to a better node led until then.)
static void end_steady(struct sim *sim)
{
	for (uint32_t i = 0; i < sim->profile.nodes && sim->profile.kind != KIND_MIXED && !sim->profile.prefers; i++) {
		const struct node *n = &sim->nodes[i];
		uint32_t writes = n->writes - sim->writes_before[i];
		uint32_t allowed = (uint32_t)(3 * sim->profile.lease_ns / (2 * n->timing.lease_ns)) + 4;
		if (writes > allowed && !judge_leads_any(sim, n) && sim->grants_before == sim->stats.grants)
			violate(sim, "R16", "node %u leads nothing and wrote %u times within three leases", i, writes);
	}
}

// The node has a worker of every component that leads together with this one.
static bool is_whole(const struct sim *sim, uint32_t node, uint32_t lease)
{
	uint32_t missing = 0;
	for (uint32_t i = 0; i < sim->profile.names; i++)
		missing |= head_of(sim, i) == head_of(sim, lease) ? 1U << i : 0;
	for (uint32_t i = 0; i < sim->worker_count; i++)
		if (sim->workers[i].node == node && sim->workers[i].alive)
			missing &= ~(1U << sim->workers[i].lease);
	return missing == 0;
}

static bool has_other_candidate(const struct sim *sim, const struct worker *leader)
{
	for (uint32_t i = 0; i < sim->worker_count; i++) {
		const struct worker *w = &sim->workers[i];
		if (w->lease == leader->lease && w->node != leader->node && w->alive &&
			is_whole(sim, w->node, w->lease))
			return true;
	}
	return false;
}

// A release, a hint, a claim, whatever exchange was out before each of them, the head start of a better node, and a
// group's way to stop and start one after the other.
static int64_t hand_over_ns(const struct sim *sim)
{
	int64_t chain_ns = sim->profile.grouped ? sim->profile.lease_ns * 8 / 5 : 0;
	return 14 * sim->profile.delay_max_ns + 205 * NS_PER_MS + chain_ns;
}

static void hurry_worker(struct sim *sim, struct worker *leader)
{
	judge_hurry(sim, leader->lease, hand_over_ns(sim));
	if (random_below(&sim->random, 2))
		worker_crash(sim, leader, 2 * hand_over_ns(sim));
	else
		worker_yield(sim, leader);
}

static void hurry_shutdown(struct sim *sim, struct node *n)
{
	for (uint32_t i = 0; i < sim->profile.names; i++) {
		const struct worker *leader = judge_leader(sim, i);
		if (leader && leader->node == n->index && has_other_candidate(sim, leader))
			judge_hurry(sim, i, n->lease_timings[i].stop_grace_ns / 2 + hand_over_ns(sim));
	}
	agent_shut_down(sim, n);
	world_add(sim, sim->now + sim->profile.lease_ns, EVENT_DAEMON_UP, n->index, n->life);
}

// S5: killed, and back under its leaders.
static void hurry_resume(struct sim *sim, struct node *n)
{
	sim->judge.no_end = "S5";
	agent_crash(sim, n, false);
	world_add(sim, sim->now + scale(sim, n->timing.lease_ns / 1000, n->timing.lease_ns / 10), EVENT_DAEMON_UP,
		n->index, n->life);
}

// The sessions of a node that was killed may be there for a while, and which of them is meant is told by the server's
// clock, which is any clock here. And what was given up long ago may have written what the session offered then.
static bool is_known(const struct sim *sim, uint32_t node, uint32_t lease)
{
	const struct tables *t = sim->database.tables;
	uint32_t sessions = 0, offers = 0;
	for (size_t i = 0; i < t->session_capacity; i++) {
		const struct tables_session *s = &t->sessions[i];
		if (uuid_is_none(&s->id) || strcmp(s->node, node_name(node)) != 0)
			continue;
		sessions++;
		for (uint32_t j = 0; j < s->offer_count; j++)
			offers += s->offers[j].lease == head_of(sim, lease);
	}
	return sessions == 1 && offers == 1;
}

static const struct worker *other_candidate(const struct sim *sim, const struct worker *leader)
{
	for (uint32_t i = 0; i < sim->worker_count; i++) {
		const struct worker *w = &sim->workers[i];
		if (w->lease == leader->lease && w->node != leader->node && w->alive && w->link_state == LINK_JOINED &&
			is_known(sim, w->node, w->lease) && is_whole(sim, w->node, w->lease))
			return w;
	}
	return NULL;
}

// S2
static void hurry_transfer(struct sim *sim, const struct worker *leader)
{
	const struct worker *to = other_candidate(sim, leader);
	if (!to)
		return;
	const struct node *n = &sim->nodes[leader->node];
	judge_transfer(sim, leader->lease, to->node,
		n->lease_timings[leader->lease].stop_grace_ns / 2 + hand_over_ns(sim) + 14 * sim->profile.delay_max_ns);
	agent_operate(sim, any_node(sim), OPERATION_TRANSFER, leader->lease, to->node);
}

static void hurry(struct sim *sim)
{
	struct worker *leader = judge_leader(sim, random_below(&sim->random, sim->profile.names));
	uint32_t what = random_below(&sim->random, 5);
	next_stage(sim, STAGE_AFTER, sim->now + (sim->profile.grouped ? 6 : 2) * sim->profile.lease_ns);
	if (!leader || sim->profile.prefers)
		return;
	if (what == 0)
		hurry_resume(sim, &sim->nodes[leader->node]);
	else if (!sim->profile.hints || !has_other_candidate(sim, leader))
		return;
	else if (what == 1)
		hurry_shutdown(sim, &sim->nodes[leader->node]);
	else if (what == 2)
		hurry_transfer(sim, leader);
	else
		hurry_worker(sim, leader);
}

static void after_hurry(struct sim *sim)
{
	sim->judge.no_end = NULL;
	judge_leaders(sim);
	if (sim->hurries_left-- > 0)
		hurry(sim);
	else if (sim->storms_left > 0)
		begin_storm(sim);
	else
		sim->ended = true;
}

void script_start(struct sim *sim)
{
	sim->storms_left = sim->profile.storms;
	begin_storm(sim);
}

void script_next(struct sim *sim)
{
	switch ((enum stage)sim->stage) {
	case STAGE_CALM:
		chaos_end(sim);
		sim->judge.no_end = NULL;
		next_stage(sim, STAGE_STEADY, leaders_by(sim));
		break;
	case STAGE_STEADY:
		begin_steady(sim);
		break;
	case STAGE_HURRY:
		end_steady(sim);
		after_hurry(sim);
		break;
	case STAGE_AFTER:
		after_hurry(sim);
		break;
	case STAGE_STORM:
	default:
		break;
	}
}
