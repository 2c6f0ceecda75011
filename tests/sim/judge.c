// SPDX-License-Identifier: Apache-2.0
// What must hold. It is judged by what workers were last told and by what the terms page showed them, never by what
// an election answers about itself.
#include "sim.h"

// Timers are exact here; a message takes no more than this.
#define SLACK_NS NS_PER_MS

typedef unsigned long long llu;

void judge_init(struct sim *sim)
{
	memset(&sim->judge, 0, sizeof sim->judge);
}

static bool is_valid(const struct sim *sim, const struct token *t)
{
	const struct host *host = &sim->nodes[t->node].host;
	return t->term != 0 && !t->ended && host->boot == t->boot && host_clock(host, sim->now) < t->deadline;
}

static struct token *find(struct sim *sim, uint32_t lease, uint64_t term)
{
	for (uint32_t i = 0; term != 0 && i < TOKENS; i++)
		if (sim->judge.tokens[lease][i].term == term)
			return &sim->judge.tokens[lease][i];
	return NULL;
}

// NULL where the term is so long over that the judge has forgotten it.
static struct token *find_or_violate(struct sim *sim, const struct node *n, uint32_t lease, uint64_t term)
{
	struct token *t = find(sim, lease, term);
	if (!t && term > sim->judge.highest[lease])
		violate(sim, "W2", "node %u speaks of lease %u term %llu, which was never granted", n->index, lease,
			(llu)term);
	return t;
}

// W19: where two of a group lead, they lead on one replica, by one term.
static void check_together(struct sim *sim, uint32_t lease, const struct token *mine)
{
	for (uint32_t other = 0; other < sim->profile.grouped && lease < sim->profile.grouped; other++)
		for (uint32_t i = 0; i < TOKENS; i++) {
			const struct token *t = &sim->judge.tokens[other][i];
			if (t->term == 0 || t->term == mine->term || t->disturbed || mine->disturbed ||
				!is_valid(sim, t))
				continue;
			violate(sim, "W19", "lease %u: term %llu of node %u beside lease %u: term %llu of node %u",
				lease, (llu)mine->term, mine->node, other, (llu)t->term, t->node);
		}
}

// W19: each starts when those before it have, and all have a worker but those that came to the group in this term.
static void check_start(struct sim *sim, const struct node *n, uint32_t lease, uint64_t term)
{
	for (uint32_t i = 0; lease < sim->profile.grouped && i < sim->profile.grouped; i++) {
		if (n->removed[i])
			continue;
		const struct slot *slot = &n->page.slots[i];
		if (i < lease && (slot->term != term || !slot->started))
			violate(sim, "W19", "lease %u: term %llu is granted before lease %u has started", lease,
				(llu)term, i);
		if (i > lease && n->seats[i].stamp == 0 && n->added_in[i] != term)
			violate(sim, "W19", "lease %u: term %llu is granted while lease %u has no worker", lease,
				(llu)term, i);
	}
}

// W19: each stops when those after it have, or had their time.
static void check_stop(struct sim *sim, const struct node *n, uint32_t lease, const struct token *mine)
{
	for (uint32_t i = lease + 1; i < sim->profile.grouped; i++) {
		const struct token *t = find(sim, i, mine->term);
		if (t && t->told && !t->revoked && is_valid(sim, t) && t->life == n->life)
			violate(sim, "W19", "lease %u: term %llu is revoked before lease %u", lease, (llu)mine->term,
				i);
	}
}

// W3
static void check_alone(struct sim *sim, uint32_t lease, const struct token *mine)
{
	for (uint32_t i = 0; i < TOKENS; i++) {
		const struct token *t = &sim->judge.tokens[lease][i];
		if (t == mine || t->term == 0 || t->disturbed || mine->disturbed || !is_valid(sim, t))
			continue;
		violate(sim, "W3", "lease %u: term %llu of node %u and term %llu of node %u are valid at once", lease,
			(llu)t->term, t->node, (llu)mine->term, mine->node);
	}
}

static void watch(struct sim *sim, uint32_t lease, const struct token *t, int64_t at)
{
	struct event event = {.kind = EVENT_WATCH, .index = lease, .term = t->term};
	queue_add(&sim->queue, at > sim->now ? at : sim->now, &event);
}

static int64_t revoked_by(const struct sim *sim, const struct token *t)
{
	return host_true(&sim->nodes[t->node].host, t->deadline - t->grace_ns) + SLACK_NS;
}

// An unused place, or else that of the lowest term that is over.
static struct token *new_token(struct sim *sim, uint32_t lease)
{
	struct token *found = NULL;
	for (uint32_t i = 0; i < TOKENS; i++) {
		struct token *t = &sim->judge.tokens[lease][i];
		if (!is_valid(sim, t) && (!found || t->term < found->term))
			found = t;
	}
	if (!found)
		violate(sim, "W3", "lease %u has more valid terms than the judge can hold", lease);
	return found;
}

// A daemon that was stopped between its decision and its words says what is over already. Workers look at the clock.
static bool comes_too_late(const struct sim *sim, const struct node *n, const struct election_note *note)
{
	return host_clock(&n->host, sim->now) >= note->deadline;
}

static bool was_deleted(const struct judge *judge, const struct uuid *session)
{
	for (uint32_t i = 0; i < COUNT_OF(judge->deleted); i++)
		if (uuid_equal(&judge->deleted[i], session))
			return true;
	return false;
}

// Where servers lose terms and have wrong clocks, and whoever saw them is gone, another one is all that is promised.
static bool terms_grow(const struct sim *sim)
{
	return !sim->profile.wrong_clocks;
}

void judge_granted(struct sim *sim, struct node *n, uint32_t lease, const struct election_note *note)
{
	struct judge *judge = &sim->judge;
	sim->stats.grants++;
	if (find(sim, lease, note->term))
		violate(sim, "W2", "lease %u: term %llu is granted twice", lease, (llu)note->term);
	bool disturbed = was_deleted(judge, &n->election.session);
	if (note->term <= judge->highest[lease] && !disturbed && !comes_too_late(sim, n, note) && terms_grow(sim))
		violate(sim, "W4", "lease %u: term %llu is granted after term %llu", lease, (llu)note->term,
			(llu)judge->highest[lease]);
	if (judge->no_end && judge->highest[lease] != 0)
		violate(sim, judge->no_end, "lease %u: term %llu is granted, though term %llu should have gone on",
			lease, (llu)note->term, (llu)judge->highest[lease]);
	if (note->deadline <= n->election.now)
		violate(sim, "rule 1", "lease %u: term %llu is granted after its deadline", lease, (llu)note->term);
	if (note->term > judge->highest[lease] || !terms_grow(sim))
		judge->highest[lease] = note->term;
	struct token *t = new_token(sim, lease);
	const struct link *link = &n->seats[lease];
	*t = (struct token){
		.term = note->term,
		.node = n->index,
		.boot = n->host.boot,
		.worker = link->worker,
		.ended = sim->workers[link->worker].link != link->stamp, // the one to be told is dead
		.session = n->election.session,
		.deadline = note->deadline,
		.grace_ns = n->lease_timings[lease].stop_grace_ns,
		.life = n->life,
		.disturbed = disturbed,
	};
	if (!comes_too_late(sim, n, note)) {
		check_alone(sim, lease, t);
		check_together(sim, lease, t);
		check_start(sim, n, lease, note->term);
	}
	watch(sim, lease, t, revoked_by(sim, t));
}

// The worker is told now; the terms page has shown it since judge_granted().
void judge_told(struct sim *sim, struct node *n, uint32_t lease, uint64_t term)
{
	struct token *t = find(sim, lease, term);
	const struct link *link = &n->seats[lease];
	if (!t || link->stamp == 0)
		return;
	const struct worker *w = &sim->workers[link->worker];
	if (t->told)
		violate(sim, "W2", "lease %u: term %llu is told twice", lease, (llu)term);
	if (w->alive && w->link == link->stamp && w->work != WORK_NONE)
		violate(sim, "W2", "lease %u: worker %u is told term %llu while it has not stopped for term %llu",
			lease, w->index, (llu)term, (llu)w->term);
	t->told = true;
}

void judge_extended(struct sim *sim, struct node *n, uint32_t lease, const struct election_note *note)
{
	struct token *t = find_or_violate(sim, n, lease, note->term);
	sim->stats.extensions++;
	if (!t && comes_too_late(sim, n, note))
		return; // so many terms ago that it is forgotten
	if (!t) {
		violate(sim, "rule 8", "lease %u: term %llu is extended long after it was over", lease,
			(llu)note->term);
	}
	// cppcheck-suppress nullPointerRedundantCheck ; violate() does not return
	if (t->revoked)
		violate(sim, "W12", "lease %u: term %llu is extended after it was revoked", lease, (llu)note->term);
	if (note->deadline < t->deadline)
		violate(sim, "W5", "lease %u: the deadline of term %llu goes back", lease, (llu)note->term);
	if (n->election.now >= t->deadline)
		violate(sim, "rule 8", "lease %u: term %llu is extended after its deadline", lease, (llu)note->term);
	t->deadline = note->deadline;
	if (comes_too_late(sim, n, note))
		return;
	if (note->term < sim->judge.highest[lease] && !t->disturbed && terms_grow(sim))
		violate(sim, "W4", "lease %u: term %llu is extended after term %llu was granted", lease,
			(llu)note->term, (llu)sim->judge.highest[lease]);
	check_alone(sim, lease, t);
}

void judge_revoked(struct sim *sim, struct node *n, uint32_t lease, const struct election_note *note)
{
	struct token *t = find_or_violate(sim, n, lease, note->term);
	sim->stats.revocations++;
	if (!t)
		return;
	if (t->revoked && t->life == n->life)
		violate(sim, "W2", "lease %u: term %llu is revoked twice", lease, (llu)note->term);
	if (note->deadline > t->deadline)
		violate(sim, "W12", "lease %u: the deadline of term %llu grows as it is revoked", lease,
			(llu)note->term);
	if (sim->judge.no_end)
		violate(sim, sim->judge.no_end, "lease %u: term %llu is revoked, reason %s", lease, (llu)note->term,
			election_reason_name(note->reason));
	check_stop(sim, n, lease, t);
	t->revoked = true;
	t->life = n->life;
}

static bool is_silent(const struct sim *sim, const struct node *n, uint32_t lease)
{
	int64_t allowed = n->lease_timings[lease].start_timeout_ns;
	for (uint32_t i = 0; i < sim->worker_count; i++) {
		const struct worker *w = &sim->workers[i];
		if (w->node == n->index && w->lease == lease && w->heartbeat_ns > 0 && w->heartbeat_ns < allowed)
			allowed = w->heartbeat_ns;
	}
	// Clocks may be wrong by less than a hundredth.
	return n->expelled[lease] || sim->now - n->heard_at[lease] >= allowed - allowed / 100;
}

// Some worker of the group did not speak in time (W16): what a daemon that stood still had not read was said.
void judge_stalled(struct sim *sim, const struct node *n, uint32_t lease)
{
	bool silent = false;
	for (uint32_t i = 0; i < sim->profile.names; i++)
		silent |= head_of(sim, i) == head_of(sim, lease) && is_silent(sim, n, i);
	if (!silent)
		violate(sim, "W16", "lease %u: revoked as stalled, though a worker spoke in time", lease);
}

// A deadline that was moved back counts from when the worker heard so.
void judge_heard_revoked(struct sim *sim, const struct worker *w, int64_t deadline)
{
	struct token *t = find(sim, w->lease, w->term);
	if (t && deadline < t->deadline)
		t->deadline = deadline;
}

void judge_graced(struct sim *sim, const struct node *n, uint32_t lease)
{
	for (uint32_t i = 0; i < TOKENS; i++) {
		struct token *t = &sim->judge.tokens[lease][i];
		if (t->term != 0 && t->node == n->index)
			t->grace_ns = n->lease_timings[lease].stop_grace_ns;
	}
}

// From now on the daemon has somebody to tell that the term ends.
void judge_rejoined(struct sim *sim, struct node *n, uint32_t lease)
{
	struct token *t = find(sim, lease, n->leases[lease].token.term);
	if (!t || t->revoked)
		return;
	t->told = true;
	t->life = n->life;
	watch(sim, lease, t, revoked_by(sim, t));
}

void judge_ended(struct sim *sim, const struct worker *w)
{
	for (uint32_t i = 0; i < TOKENS; i++) {
		struct token *t = &sim->judge.tokens[w->lease][i];
		if (t->term != 0 && t->worker == w->index)
			t->ended = true;
	}
}

void judge_disturbed(struct sim *sim, const struct uuid *session)
{
	struct judge *judge = &sim->judge;
	judge->deleted[judge->deleted_next++ % COUNT_OF(judge->deleted)] = *session;
	for (uint32_t lease = 0; lease < sim->profile.names; lease++)
		for (uint32_t i = 0; i < TOKENS; i++)
			if (uuid_equal(&sim->judge.tokens[lease][i].session, session))
				sim->judge.tokens[lease][i].disturbed = true;
}

// A release was carried out for `wanted`, and the row said `term`.
void judge_released(struct sim *sim, uint32_t head, uint64_t term, uint64_t wanted)
{
	for (uint32_t lease = 0; lease < sim->profile.names; lease++) {
		const struct token *t = find(sim, lease, term);
		if (head_of(sim, lease) != head || !t || t->disturbed || !is_valid(sim, t))
			continue;
		if (term != wanted)
			violate(sim, "W13", "lease %u: the release of term %llu freed term %llu", lease, (llu)wanted,
				(llu)term);
		violate(sim, "W12", "lease %u: term %llu was released while its worker may act on it", lease,
			(llu)term);
	}
}

static struct first_offer *find_offer(struct sim *sim, const struct uuid *session, uint32_t lease)
{
	for (uint32_t i = 0; i < OFFERS; i++) {
		struct first_offer *o = &sim->judge.offers[i];
		if (o->lease == lease && uuid_equal(&o->session, session))
			return o;
	}
	return NULL;
}

// S3: one that has only just come has not lasted. (It may have been away between two looks.)
static void judge_preferred(struct sim *sim, const struct node *n, const struct exchange_ask *ask)
{
	const struct first_offer *o = find_offer(sim, &ask->target, ask->lease);
	int64_t lasts = n->leases[ask->lease].timing.prefer_after_ns * 99 / 100;
	if (o && sim->now < o->at + lasts)
		violate(sim, "S3", "lease %u: node %u prefers one that is there for %.3f s only", ask->lease, n->index,
			UNSIGNED_SECONDS(sim->now - o->at));
}

// W12: nor is the session deleted.
void judge_request(struct sim *sim, const struct node *n, const struct exchange_request *request)
{
	if (request->ask && n->election.operation.kind == OPERATION_NONE)
		judge_preferred(sim, n, request->ask);
	if (request->session_op != EXCHANGE_SESSION_DELETE)
		return;
	for (uint32_t lease = 0; lease < sim->profile.names; lease++)
		for (uint32_t i = 0; i < TOKENS; i++) {
			const struct token *t = &sim->judge.tokens[lease][i];
			if (t->term != 0 && uuid_equal(&t->session, &request->session) && is_valid(sim, t))
				violate(sim, "W12", "node %u deletes its session while lease %u term %llu is valid",
					n->index, lease, (llu)t->term);
		}
}

// W10
void judge_session_lost(struct sim *sim, const struct node *n)
{
	for (uint32_t lease = 0; lease < sim->profile.names; lease++)
		for (uint32_t i = 0; i < TOKENS; i++) {
			const struct token *t = &sim->judge.tokens[lease][i];
			if (t->term != 0 && t->node == n->index && t->told && !t->revoked && t->life == n->life &&
				is_valid(sim, t))
				violate(sim, "W10", "node %u lost its session, and lease %u term %llu was not revoked",
					n->index, lease, (llu)t->term);
		}
}

// W8
void judge_watch(struct sim *sim, const struct event *event)
{
	uint32_t lease = event->index;
	const struct token *t = find(sim, lease, event->term);
	if (!t || t->revoked || t->ended)
		return;
	const struct node *n = &sim->nodes[t->node];
	if (n->host.boot != t->boot)
		return;
	int64_t at = revoked_by(sim, t);
	if (sim->now >= at && (!n->alive || n->paused))
		at = sim->now + n->timing.lease_ns / 4;
	else if (sim->now >= at)
		at = n->awake_since + SLACK_NS;
	if (sim->now < at) {
		watch(sim, lease, t, at);
		return;
	}
	const struct link *link = &n->seats[lease];
	if (link->stamp != 0 && link->worker == t->worker && t->told && t->life == n->life)
		violate(sim, "W8", "lease %u: term %llu was not revoked by deadline - stop_grace", lease, (llu)t->term);
}

struct worker *judge_leader(struct sim *sim, uint32_t lease)
{
	for (uint32_t i = 0; i < sim->worker_count; i++) {
		struct worker *w = &sim->workers[i];
		if (w->lease != lease || !w->alive || (w->work != WORK_STARTING && w->work != WORK_WORKING))
			continue;
		const struct token *t = find(sim, lease, w->term);
		if (t && !t->revoked && is_valid(sim, t))
			return w;
	}
	return NULL;
}

bool judge_leads_any(struct sim *sim, const struct node *n)
{
	for (uint32_t lease = 0; lease < sim->profile.names; lease++)
		for (uint32_t i = 0; i < TOKENS; i++)
			if (sim->judge.tokens[lease][i].node == n->index && is_valid(sim, &sim->judge.tokens[lease][i]))
				return true;
	return false;
}

// A better node is about to get it, or got it and is about to hear so.
static bool is_handed_over(struct sim *sim, uint32_t lease)
{
	const struct token *last = find(sim, lease, sim->judge.highest[lease]);
	const struct tables_lease *row = &sim->database.tables->leases[head_of(sim, lease)];
	bool asked = row->ask.term == row->term && !uuid_is_none(&row->ask.target);
	bool told = last && is_valid(sim, last);
	return sim->profile.prefers && (asked || told || row->term > sim->judge.highest[lease]);
}

// Every component with a worker has a leader.
void judge_leaders(struct sim *sim)
{
	sim->stats.calms++;
	for (uint32_t i = 0; i < sim->worker_count; i++)
		if (sim->workers[i].alive && !judge_leader(sim, sim->workers[i].lease) &&
			!is_handed_over(sim, sim->workers[i].lease))
			violate(sim, "liveness", "lease %u has no leader after two leases without a fault",
				sim->workers[i].lease);
}

void judge_offers(struct sim *sim, const struct exchange_request *request)
{
	for (size_t i = 0; sim->profile.prefers && i < request->offer_count; i++) {
		uint32_t lease = request->offers[i].lease;
		if (find_offer(sim, &request->session, lease))
			continue;
		sim->judge.offers[sim->judge.offers_next++ % OFFERS] =
			(struct first_offer){.session = request->session, .lease = lease, .at = sim->now};
	}
}

void judge_transfer(struct sim *sim, uint32_t lease, uint32_t node, int64_t within_ns)
{
	judge_hurry(sim, lease, within_ns);
	sim->judge.hurry_node[lease] = node;
}

void judge_hurry(struct sim *sim, uint32_t lease, int64_t within_ns)
{
	const struct worker *w = judge_leader(sim, lease);
	sim->judge.hurry_node[lease] = NODES;
	sim->judge.hurry_from[lease] = w ? w->term : 0;
	struct event event = {.kind = EVENT_HURRY, .index = lease, .value = within_ns};
	queue_add(&sim->queue, sim->now + within_ns, &event);
}

// W14
void judge_hurried(struct sim *sim, const struct event *event)
{
	uint32_t lease = event->index;
	sim->stats.hurries++;
	const struct worker *w = judge_leader(sim, lease);
	if (!w || w->term == sim->judge.hurry_from[lease])
		violate(sim, "W14", "lease %u was not handed over within %.3f ms", lease,
			(double)event->value / (double)NS_PER_MS);
	// cppcheck-suppress nullPointerRedundantCheck ; violate() does not return
	uint32_t node = sim->judge.hurry_node[lease];
	if (node != NODES && w->node != node)
		violate(sim, "S2", "lease %u was to go to node %u, and went to node %u", lease, node, w->node);
}

void judge_finish(struct sim *sim, const struct event *event)
{
	const struct node *n = &sim->nodes[event->index];
	if (!n->alive || n->life != event->stamp)
		return;
	int64_t by = n->awake_since + 2 * n->timing.lease_ns;
	if (n->paused)
		by = sim->now + n->timing.lease_ns;
	if (sim->now < by) {
		queue_add(&sim->queue, by, event);
		return;
	}
	violate(sim, "W14", "node %u was asked to end and has not ended within two leases", n->index);
}
