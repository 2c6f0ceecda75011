// SPDX-License-Identifier: Apache-2.0
// The database, the way to it, and what happens to an exchange on that way.
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"

#define UNIX_EPOCH_S INT64_C(1700000000)

const char *node_name(uint32_t node)
{
	static const char *const names[NODES] = {"a", "b", "c", "d", "e"};
	return names[node];
}

// The statements of an exchange.
enum stage { STAGE_SESSION, STAGE_ADOPT, STAGE_MISSING, STAGE_CHANGE, STAGE_ASK, STAGE_REPORT, STAGES };
#define NO_STAGE STAGES

static void new_incarnation(struct sim *sim)
{
	struct database *db = &sim->database;
	db->epoch++;
	// The nodes of a cluster share one, and it outlives them all.
	snprintf(db->tables->server.text, sizeof db->tables->server.text, "server-%u", is_cluster(sim) ? 0 : db->epoch);
	// Servers' clocks agree to a fraction of a lease, or not at all; what is for people alone never does.
	db->skew_ns = random_between(&sim->random, 0, sim->profile.lease_ns / 5);
	if (sim->profile.wrong_clocks)
		db->skew_ns = random_between(&sim->random, -48, 48) * 3600 * NS_PER_S;
	db->skew_us = random_between(&sim->random, -3600, 3600) * NS_PER_MS;
}

static void make_tables(struct tables **ret)
{
	static const struct incarnation none;
	if (!*ret && tables_new(ret, NAMES, SESSIONS, &none) < 0)
		abort();
}

void database_init(struct sim *sim)
{
	struct database *db = &sim->database;
	make_tables(&db->tables);
	for (uint32_t i = 0; i < SNAPSHOTS; i++)
		make_tables(&db->snapshots[i]);
	struct tables *t = db->tables;
	memset(t->leases, 0, NAMES * sizeof *t->leases);
	memset(t->sessions, 0, SESSIONS * sizeof *t->sessions);
	t->session_capacity = SESSIONS_AT_FIRST;
	t->generation = 0;
	memset(t->paused, 0, sizeof t->paused);
	t->name_count = sim->profile.names;
	db->snapshot_count = 0;
	db->epoch = 0;
	db->outage = OUTAGE_NONE;
	memset(db->locks, 0, sizeof db->locks);
	new_incarnation(sim);
	t->believed = t->server;
	sim->exchange_count = 0;
	for (uint32_t i = 0; i < EXCHANGES; i++)
		sim->exchange_free[i] = i;
}

// ---- life of the server ----

static void free_locks(struct sim *sim)
{
	for (uint32_t i = 0; i < sim->profile.names; i++) {
		sim->database.tables->leases[i].locked = false;
		sim->database.locks[i]++;
	}
}

void database_restart(struct sim *sim)
{
	free_locks(sim);
	new_incarnation(sim);
	sim->stats.restarts++;
	TRACE(sim, "server", sim->database.epoch, "restarted, nothing lost");
}

void database_fail_over(struct sim *sim, int64_t lost_ns)
{
	struct database *db = &sim->database;
	uint32_t left = db->snapshot_count;
	uint32_t at = 0;
	while (left > 0) {
		at = (db->snapshot_next + SNAPSHOTS - 1) % SNAPSHOTS;
		if (db->snapshot_at[at] <= sim->now - lost_ns)
			break;
		db->snapshot_next = at;
		left--;
	}
	sim->stats.failovers++;
	sim->stats.stale_failovers += left > 0 && left < db->snapshot_count;
	if (left > 0) {
		struct incarnation server = db->tables->server;
		db->tables->session_capacity = db->snapshots[at]->session_capacity;
		tables_copy(db->tables, db->snapshots[at]);
		db->tables->server = server;
	}
	uint32_t lost = db->snapshot_count - left;
	db->snapshot_count = left;
	free_locks(sim);
	new_incarnation(sim);
	TRACE(sim, "server", db->epoch, "is a replica now that lost %.3f s, %u writes", UNSIGNED_SECONDS(lost_ns),
		lost);
}

static void commit(struct sim *sim)
{
	struct database *db = &sim->database;
	if (sim->profile.chance[FAULT_DB_FAILOVER] == 0 && !is_cluster(sim))
		return;
	struct tables *snapshot = db->snapshots[db->snapshot_next];
	snapshot->name_count = db->tables->name_count;
	snapshot->session_capacity = db->tables->session_capacity;
	tables_copy(snapshot, db->tables);
	db->snapshot_at[db->snapshot_next] = sim->now;
	db->snapshot_next = (db->snapshot_next + 1) % SNAPSHOTS;
	db->snapshot_count += db->snapshot_count < SNAPSHOTS;
}

// A fenced transaction of a worker (W6): it holds the row of its lease until it commits.
void database_lock(struct sim *sim, uint32_t lease, int64_t for_ns)
{
	struct database *db = &sim->database;
	struct tables_lease *row = &db->tables->leases[lease];
	if (!row->exists || row->locked)
		return;
	row->locked = true;
	db->locked_term[lease] = row->term;
	db->locks[lease]++;
	world_add(sim, sim->now + for_ns, EVENT_UNLOCK, lease, db->locks[lease]);
	world_expect_rest(sim, sim->now + for_ns);
	TRACE(sim, "server", db->epoch, "row of lease %u, term %llu, is locked", lease, (unsigned long long)row->term);
}

void database_unlock(struct sim *sim, uint32_t lease, uint32_t stamp)
{
	struct database *db = &sim->database;
	struct tables_lease *row = &db->tables->leases[lease];
	if (db->locks[lease] != stamp || !row->locked)
		return;
	row->locked = false;
	TRACE(sim, "server", db->epoch, "row of lease %u is free", lease);
	if (row->term != db->locked_term[lease])
		violate(sim, "W6", "lease %u went from term %llu to %llu under a fenced transaction", lease,
			(unsigned long long)db->locked_term[lease], (unsigned long long)row->term);
}

// ---- an exchange's fate ----

static struct exchange *exchange_new(struct sim *sim)
{
	assert(sim->exchange_count < EXCHANGES);
	uint32_t index = sim->exchange_free[sim->exchange_count++];
	sim->exchanges[index].index = index;
	return &sim->exchanges[index];
}

void exchange_free(struct sim *sim, struct exchange *x)
{
	sim->exchange_free[--sim->exchange_count] = x->index;
}

static void copy_request(struct exchange *x, const struct exchange_request *request)
{
	x->request = *request;
	x->request.releases = x->releases;
	x->request.claims = x->claims;
	x->request.sweeps = x->sweeps;
	x->request.offers = x->offers;
	for (size_t i = 0; i < request->release_count; i++)
		x->releases[i] = request->releases[i];
	for (size_t i = 0; i < request->claim_count; i++)
		x->claims[i] = request->claims[i];
	for (size_t i = 0; i < request->sweep_count; i++)
		x->sweeps[i] = request->sweeps[i];
	for (size_t i = 0; i < request->offer_count; i++)
		x->offers[i] = request->offers[i];
	if (request->ask) {
		x->ask = *request->ask;
		x->request.ask = &x->ask;
	}
}

static void connect_node(struct sim *sim, struct node *n)
{
	bool stale = n->epoch != sim->database.epoch && !sim->profile.pooler;
	if (n->connected && !stale && !world_chance(sim, FAULT_RECONNECT))
		return;
	// A driver may find out only by trying.
	if (n->connected && stale && random_below(&sim->random, 2))
		return;
	n->connected = true;
	n->connection++;
	n->epoch = sim->database.epoch;
	if (is_cluster(sim))
		cluster_connect(sim, n);
}

// Within the time-out as often as beyond it.
static int64_t late(struct sim *sim, const struct node *n)
{
	int64_t from = n->timing.timeout_ns / 8;
	if (random_below(&sim->random, 2))
		return random_between(&sim->random, from, n->timing.timeout_ns);
	return random_scale(&sim->random, from,
		sim->profile.longest_delay_ns > 2 * from ? sim->profile.longest_delay_ns : 2 * from);
}

static void lose_or_refuse(struct sim *sim, struct exchange *x, bool refuse)
{
	x->last_stage = 0;
	x->lose_reply = !refuse;
	x->outcome = EXCHANGE_UNAVAILABLE;
	(void)sim;
}

// One or two in a row, then at least one that arrives.
static void draw_light(struct sim *sim, struct node *n, struct exchange *x)
{
	if (n->losses_left == 0) {
		n->losses_left = random_below(&sim->random, 3) == 0 ? 2 + random_below(&sim->random, 2) : 1;
		return;
	}
	if (--n->losses_left == 0)
		return;
	sim->stats.faults[FAULT_LOSE_REQUEST]++;
	switch (random_below(&sim->random, 3)) {
	case 0:
		lose_or_refuse(sim, x, false);
		break;
	case 1:
		lose_or_refuse(sim, x, true);
		break;
	default:
		x->lose_reply = true;
	}
}

static int64_t draw_fate(struct sim *sim, struct node *n, struct exchange *x)
{
	int64_t request_ns = world_delay(sim);
	x->reply_ns = world_delay(sim);
	x->stage = 0;
	x->last_stage = STAGES;
	x->gap_stage = NO_STAGE;
	x->lose_reply = false;
	x->outcome = EXCHANGE_OK;
	if (sim->calm)
		return request_ns;
	if (sim->profile.kind == KIND_LIGHT) {
		draw_light(sim, n, x);
		return request_ns;
	}
	if (world_chance(sim, FAULT_LATE_REQUEST))
		request_ns = late(sim, n);
	if (world_chance(sim, FAULT_LATE_REPLY))
		x->reply_ns = late(sim, n);
	if (world_chance(sim, FAULT_GAP)) {
		x->gap_stage = 1 + random_below(&sim->random, STAGES - 1);
		x->gap_ns = late(sim, n);
	}
	if (world_chance(sim, FAULT_LOSE_REPLY))
		x->lose_reply = true;
	if (world_chance(sim, FAULT_UNAVAILABLE))
		lose_or_refuse(sim, x, true);
	if (world_chance(sim, FAULT_LOSE_REQUEST))
		lose_or_refuse(sim, x, false);
	static const enum fault half_way[] = {FAULT_BREAK, FAULT_BUSY, FAULT_DENIED};
	static const enum exchange_outcome outcomes[] = {EXCHANGE_UNKNOWN, EXCHANGE_BUSY, EXCHANGE_DENIED};
	for (size_t i = 0; i < COUNT_OF(half_way); i++) {
		if (!world_chance(sim, half_way[i]))
			continue;
		x->last_stage = random_below(&sim->random, STAGES);
		x->outcome = outcomes[i];
	}
	return request_ns;
}

static void trace_request(struct sim *sim, const struct node *n, const struct exchange *x)
{
	static const char *const ops[] = {"-", "create", "renew", "delete"};
	const struct exchange_request *r = &x->request;
	TRACE(sim, "node", n->index, "sends #%llu session=%s%s%s%s", (unsigned long long)r->number, ops[r->session_op],
		r->adopt ? " adopt" : "", r->report ? " report" : "", r->strays ? " strays" : "");
	if (r->candidates || r->publish)
		TRACE(sim, "node", n->index, "  %s%s%zu", r->candidates ? "candidates " : "",
			r->publish ? "offers " : "", r->offer_count);
	for (size_t i = 0; i < r->release_count; i++)
		TRACE(sim, "node", n->index, "  release lease=%u term=%llu", r->releases[i].lease,
			(unsigned long long)r->releases[i].term);
	for (size_t i = 0; i < r->claim_count; i++)
		TRACE(sim, "node", n->index, "  claim lease=%u holder=%02x%02x seq=%lld term=%llu%s",
			r->claims[i].lease, r->claims[i].holder.byte[0], r->claims[i].holder.byte[1],
			(long long)r->claims[i].holder_seq, (unsigned long long)r->claims[i].term,
			r->claims[i].missing ? " missing" : "");
	for (size_t i = 0; i < r->sweep_count; i++)
		TRACE(sim, "node", n->index, "  sweep session=%02x%02x", r->sweeps[i].session.byte[0],
			r->sweeps[i].session.byte[1]);
}

// A bit each: one without work is not sent, or changes nothing.
static uint32_t statements_of(const struct exchange_request *r)
{
	bool changes = r->claim_count + r->release_count + r->sweep_count > 0;
	bool asks = r->ask || r->pause != EXCHANGE_PAUSE_LEAVE;
	return 1U << STAGE_SESSION | 1U << STAGE_REPORT | (uint32_t)r->adopt << STAGE_ADOPT |
	       (uint32_t)(r->claim_count > 0) << STAGE_MISSING | (uint32_t)changes << STAGE_CHANGE |
	       (uint32_t)asks << STAGE_ASK;
}

void exchange_submit(struct sim *sim, struct node *n)
{
	struct exchange *x = exchange_new(sim);
	connect_node(sim, n);
	x->node = n->index;
	x->life = n->life;
	x->connection = n->connection;
	x->epoch = n->epoch;
	x->aborted = false;
	x->doomed = false;
	copy_request(x, &n->update.request);
	x->statements = statements_of(&x->request);
	x->reply.asked = false;
	x->reply.grant_count = 0;
	x->reply.grants = x->grants;
	n->exchange = x->index;
	sim->stats.exchanges++;
	int64_t at = sim->now + draw_fate(sim, n, x);
	if (!sim->calm && world_is_cut(n, at))
		lose_or_refuse(sim, x, n->cut_refuses);
	int64_t rest = at + x->reply_ns + (x->gap_stage != NO_STAGE ? x->gap_ns : 0);
	if (!sim->calm)
		world_expect_rest(sim, rest);
	world_add(sim, at, EVENT_STATEMENT, x->index, 0);
	if (sim->trace.on)
		trace_request(sim, n, x);
}

// The core gave it up: the connection is shut down, what was sent may be carried out all the same.
void exchange_abort(struct sim *sim, struct node *n)
{
	struct exchange *x = &sim->exchanges[n->exchange];
	n->connected = false;
	TRACE(sim, "node", n->index, "gives up #%llu", (unsigned long long)n->update.abort_number);
	if (x->node != n->index || x->life != n->life || x->request.number != n->update.abort_number)
		return;
	x->aborted = true;
	x->doomed = random_below(&sim->random, 4) == 0;
}

// ---- the server carries it out ----

static bool is_meant(const struct sim *sim, const struct exchange_release *release)
{
	const struct exchange_ask *ask = &sim->database.tables->leases[release->lease].ask;
	return ask->term == release->term && !uuid_is_none(&ask->target);
}

// The leases of these releases that are for anybody; in a storm now and then of any, which is not to harm.
static int32_t announced_free(struct sim *sim, const struct exchange *x, uint32_t freed)
{
	int32_t leases = 0;
	for (size_t i = 0; i < x->request.release_count; i++)
		if (freed & (1U << i) && !is_meant(sim, &x->releases[i]))
			leases |= 1 << x->releases[i].lease;
	return sim->calm || random_below(&sim->random, 8) ? leases : (int32_t)random_below(&sim->random, 1 << NAMES);
}

// `freed` are releases of the exchange, a bit each.
static void announce(struct sim *sim, const struct exchange *x, uint32_t freed)
{
	if (!sim->profile.hints)
		return;
	int32_t leases = announced_free(sim, x, freed);
	for (uint32_t i = 0; i < sim->profile.nodes; i++) {
		const struct node *n = &sim->nodes[i];
		if (i == x->node || !n->alive || world_chance(sim, FAULT_LOSE_HINT))
			continue;
		struct event event = {.kind = EVENT_HINT, .index = i, .stamp = n->life, .word = leases};
		queue_add(&sim->queue, sim->now + world_delay(sim), &event);
	}
}

// Which of the rows that the exchange releases are taken: a bit each.
static uint32_t taken_rows(const struct sim *sim, const struct exchange *x)
{
	uint32_t taken = 0;
	for (size_t i = 0; i < x->request.release_count; i++)
		if (!uuid_is_none(&sim->database.tables->leases[x->releases[i].lease].session))
			taken |= 1U << i;
	return taken;
}

static void judge_releases(struct sim *sim, const struct exchange *x, uint32_t freed)
{
	for (size_t i = 0; i < x->request.release_count; i++) {
		uint32_t lease = x->releases[i].lease;
		if (freed & (1U << i))
			judge_released(sim, lease, sim->database.tables->leases[lease].term, x->releases[i].term);
	}
}

static void trace_change(struct sim *sim, const struct exchange *x)
{
	for (size_t i = 0; i < x->reply.grant_count; i++)
		TRACE(sim, "server", sim->database.epoch, "grants lease=%u term=%llu to node %u (#%llu)",
			x->grants[i].lease, (unsigned long long)x->grants[i].term, x->node,
			(unsigned long long)x->request.number);
	for (size_t i = 0; i < x->request.release_count; i++)
		TRACE(sim, "server", sim->database.epoch, "release by node %u leaves lease=%u %s (#%llu)", x->node,
			x->releases[i].lease,
			uuid_is_none(&sim->database.tables->leases[x->releases[i].lease].session) ? "free" : "taken",
			(unsigned long long)x->request.number);
}

static bool is_named(const struct tables *t, const struct uuid *session)
{
	for (size_t i = 0; i < t->name_count; i++)
		if (uuid_equal(&t->leases[i].session, session))
			return true;
	return false;
}

static bool is_owned(const struct sim *sim, const struct uuid *session)
{
	for (uint32_t i = 0; i < sim->profile.nodes; i++)
		if (uuid_equal(&sim->nodes[i].election.session, session) ||
			uuid_equal(&sim->nodes[i].page.session, session))
			return true;
	return false;
}

// Daemons that die faster than their sessions are swept leave more of them than the model has room for.
static void drop_stray(struct sim *sim)
{
	struct tables *t = sim->database.tables;
	for (size_t i = 0; i < t->session_capacity; i++) {
		struct tables_session *row = &t->sessions[i];
		if (is_named(t, &row->id) || is_owned(sim, &row->id))
			continue;
		*row = (struct tables_session){0};
		return;
	}
	assert(false && "every session is somebody's");
}

// The table grows as it must; a small one is searched faster.
static void make_room(struct sim *sim)
{
	struct tables *t = sim->database.tables;
	for (size_t i = 0; i < t->session_capacity; i++)
		if (uuid_is_none(&t->sessions[i].id))
			return;
	if (t->session_capacity == SESSIONS)
		drop_stray(sim);
	else
		t->sessions[t->session_capacity++] = (struct tables_session){0};
}

// What a statement did to `t` becomes true for all, and may become what a replica knows. False: another node of the
// cluster was quicker, and it did nothing.
static bool finish(struct sim *sim, struct exchange *x)
{
	if (is_cluster(sim) && !cluster_certify(sim, &sim->nodes[x->node])) {
		TRACE(sim, "server", sim->database.epoch, "conflict (#%llu)", (unsigned long long)x->request.number);
		return false;
	}
	commit(sim);
	return true;
}

static bool carry_out_session(struct sim *sim, struct exchange *x, struct tables *t)
{
	x->first_seen = t->server;
	x->reply.session_alive = tables_session(t, &x->request, node_name(x->node));
	if (x->request.session_op == EXCHANGE_SESSION_NONE)
		return true;
	if (!finish(sim, x))
		return false;
	if (x->reply.session_alive)
		judge_offers(sim, &x->request);
	sim->nodes[x->node].writes++;
	TRACE(sim, "server", sim->database.epoch, "session %02x%02x of node %u: %s (#%llu)", x->request.session.byte[0],
		x->request.session.byte[1], x->node, x->reply.session_alive ? "written" : "no row",
		(unsigned long long)x->request.number);
	return true;
}

static uint32_t count_sessions(const struct tables *t)
{
	uint32_t count = 0;
	for (size_t i = 0; i < t->session_capacity; i++)
		count += !uuid_is_none(&t->sessions[i].id);
	return count;
}

static bool carry_out_change(struct sim *sim, struct exchange *x, struct tables *t)
{
	const struct exchange_request *r = &x->request;
	uint32_t taken = taken_rows(sim, x);
	uint32_t sessions = r->sweep_count ? count_sessions(t) : 0;
	bool changed = tables_change(t, r, x->grants, &x->reply.grant_count);
	if (x->reply.grant_count > 0 && t->paused[0] != '\0')
		violate(sim, "S2", "node %u was granted lease %u while the fleet is paused", x->node,
			x->grants[0].lease);
	bool swept = r->sweep_count && sessions != count_sessions(t);
	if (!finish(sim, x))
		return false;
	uint32_t freed = taken & ~taken_rows(sim, x);
	if (changed)
		announce(sim, x, freed);
	if (changed || swept)
		sim->nodes[x->node].writes++;
	if (sim->trace.on)
		trace_change(sim, x);
	judge_releases(sim, x, freed);
	return true;
}

static bool carry_out_ask(struct sim *sim, struct exchange *x, struct tables *t)
{
	const struct exchange_request *r = &x->request;
	bool changed = tables_ask(t, r, node_name(x->node), &x->reply);
	if (sim->calm) // who resumes has the last word
		memset(t->paused, 0, sizeof t->paused);
	if (!finish(sim, x))
		return false;
	if (changed)
		announce(sim, x, 0);
	if (r->ask)
		TRACE(sim, "server", sim->database.epoch, "ask of lease %u, term %llu: %s (#%llu)", r->ask->lease,
			(unsigned long long)r->ask->term, x->reply.asked ? "written" : "no",
			(unsigned long long)r->number);
	if (r->pause != EXCHANGE_PAUSE_LEAVE)
		TRACE(sim, "server", sim->database.epoch, "%s (#%llu)", t->paused[0] ? "paused" : "not paused",
			(unsigned long long)r->number);
	return true;
}

// The tables as the server sees them that this exchange goes to.
static struct tables *look(struct sim *sim, const struct exchange *x)
{
	if (x->stage == STAGE_SESSION && x->request.session_op == EXCHANGE_SESSION_CREATE)
		make_room(sim);
	struct tables *t = sim->database.tables;
	int64_t unix_ns = UNIX_EPOCH_S * NS_PER_S + sim->now + sim->database.skew_ns;
	t->unix_time = unix_ns / NS_PER_US;
	t->now_us = unix_ns / NS_PER_US + sim->database.skew_us;
	bool changes = x->stage != STAGE_REPORT &&
		       (x->stage != STAGE_SESSION || x->request.session_op != EXCHANGE_SESSION_NONE);
	return is_cluster(sim) ? cluster_view(sim, &sim->nodes[x->node], changes) : t;
}

// False where the statement did nothing: another was quicker.
static bool carry_out(struct sim *sim, struct exchange *x)
{
	struct tables *t = look(sim, x);
	switch ((enum stage)x->stage) {
	case STAGE_SESSION:
		return carry_out_session(sim, x, t);
	case STAGE_ADOPT:
		tables_adopt(t, &x->request);
		return finish(sim, x);
	case STAGE_MISSING:
		tables_missing(t, &x->request);
		return finish(sim, x);
	case STAGE_CHANGE:
		return carry_out_change(sim, x, t);
	case STAGE_ASK:
		return carry_out_ask(sim, x, t);
	case STAGE_REPORT:
		x->reply.deaf = !sim->profile.hints;
		tables_report(t, &x->request, x->rows, &x->reply);
		tables_candidates(t, &x->request, x->candidates, x->offerers, CANDIDATES, &x->reply);
		if (!incarnation_equal(&x->first_seen, &t->server))
			x->outcome = EXCHANGE_UNKNOWN;
		return true;
	case STAGES:
	default:
		return true;
	}
}

static void reply(struct sim *sim, struct exchange *x)
{
	if (x->lose_reply) {
		exchange_free(sim, x);
		return;
	}
	x->reply.number = x->request.number;
	x->reply.connection = x->connection;
	x->reply.outcome = x->outcome;
	world_add(sim, sim->now + x->reply_ns, EVENT_REPLY, x->index, 0);
}

static void end_early(struct sim *sim, struct exchange *x, enum exchange_outcome outcome)
{
	x->last_stage = x->stage;
	x->outcome = outcome;
	reply(sim, x);
}

// True where the exchange goes no further now.
static bool meets_trouble(struct sim *sim, struct exchange *x)
{
	struct database *db = &sim->database;
	enum exchange_outcome broken = x->stage == 0 ? EXCHANGE_UNAVAILABLE : EXCHANGE_UNKNOWN;
	if (x->doomed || (x->epoch != db->epoch && !sim->profile.pooler)) {
		end_early(sim, x, broken);
		return true;
	}
	if (sim->now >= db->outage_until)
		return false;
	switch (db->outage) {
	case OUTAGE_SILENT: // a stopped server carries out later what it received
		if (x->index % 2) {
			x->lose_reply = true;
			end_early(sim, x, EXCHANGE_UNKNOWN);
		} else {
			world_expect_rest(sim, db->outage_until + NS_PER_S);
			world_add(sim, db->outage_until + world_delay(sim), EVENT_STATEMENT, x->index, 0);
		}
		return true;
	case OUTAGE_REFUSED:
		end_early(sim, x, broken);
		return true;
	case OUTAGE_DENIED:
		end_early(sim, x, EXCHANGE_DENIED);
		return true;
	case OUTAGE_BUSY:
		end_early(sim, x, EXCHANGE_BUSY);
		return true;
	case OUTAGE_NONE:
	default:
		return false;
	}
}

// Until time has to pass: the server is the same for all statements before that.
void exchange_statement(struct sim *sim, struct exchange *x)
{
	if (x->stage < x->last_stage && x->gap_stage != x->stage && meets_trouble(sim, x))
		return;
	for (; x->stage < x->last_stage; x->stage++) {
		if (x->gap_stage == x->stage) {
			x->gap_stage = NO_STAGE;
			world_add(sim, sim->now + x->gap_ns, EVENT_STATEMENT, x->index, 0);
			return;
		}
		if (x->statements & 1U << x->stage && !carry_out(sim, x)) {
			end_early(sim, x, EXCHANGE_BUSY);
			return;
		}
	}
	reply(sim, x);
}
