// SPDX-License-Identifier: Apache-2.0
#include "tables.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "rules.h"

int tables_new(struct tables **ret, size_t name_count, size_t session_capacity, const struct incarnation *server)
{
	struct tables *tables = calloc(1, sizeof *tables);
	struct tables_lease *leases = calloc(name_count + 1, sizeof *leases);
	struct tables_session *sessions = calloc(session_capacity + 1, sizeof *sessions);
	if (!tables || !leases || !sessions) {
		free(tables);
		free(leases);
		free(sessions);
		return -ENOMEM;
	}
	*tables = (struct tables){
		.server = *server,
		.believed = *server,
		.name_count = name_count,
		.session_capacity = session_capacity,
		.leases = leases,
		.sessions = sessions,
	};
	*ret = tables;
	return 0;
}

int tables_grow(struct tables *tables, size_t name_count)
{
	assert(name_count >= tables->name_count);
	struct tables_lease *leases = realloc(tables->leases, (name_count + 1) * sizeof *leases);
	if (!leases)
		return -ENOMEM;
	memset(leases + tables->name_count, 0, (name_count + 1 - tables->name_count) * sizeof *leases);
	tables->leases = leases;
	tables->name_count = name_count;
	return 0;
}

void tables_free(struct tables *tables)
{
	if (!tables)
		return;
	free(tables->leases);
	free(tables->sessions);
	free(tables);
}

void tables_copy(struct tables *to, const struct tables *from)
{
	assert(to->name_count == from->name_count && to->session_capacity == from->session_capacity);
	struct tables_lease *leases = to->leases;
	struct tables_session *sessions = to->sessions;
	*to = *from;
	to->leases = leases;
	to->sessions = sessions;
	memcpy(leases, from->leases, from->name_count * sizeof *leases);
	memcpy(sessions, from->sessions, from->session_capacity * sizeof *sessions);
}

// The session's row, or NULL. The identity "none" finds an empty place.
static struct tables_session *session_find(const struct tables *tables, const struct uuid *id)
{
	for (size_t i = 0; i < tables->session_capacity; i++)
		if (uuid_equal(&tables->sessions[i].id, id))
			return &tables->sessions[i];
	return NULL;
}

static bool session_exists(const struct tables *tables, const struct uuid *id)
{
	return !uuid_is_none(id) && session_find(tables, id);
}

// Deletes by compare-and-swap (rule 4).
static bool session_delete(struct tables *tables, const struct uuid *id, int64_t seq)
{
	struct tables_session *row = uuid_is_none(id) ? NULL : session_find(tables, id);
	if (!row || (row->seq != seq && RULE(KILL_BY_SWAP)))
		return false;
	*row = (struct tables_session){0};
	return true;
}

static void publish(struct tables_session *row, const struct exchange_request *request)
{
	row->offer_count = 0;
	for (size_t i = 0; i < request->offer_count && row->offer_count < TABLES_OFFERS; i++)
		row->offers[row->offer_count++] = request->offers[i];
}

static bool session_create(struct tables *tables, const struct exchange_request *request, const char *node)
{
	static const struct uuid none;
	struct tables_session *row = session_find(tables, &none);
	if (session_exists(tables, &request->session) || !row)
		return false;
	*row = (struct tables_session){
		.id = request->session,
		.seq = 1,
		.lease_ms = request->lease_ms,
		.renewed_us = tables->now_us,
	};
	strncpy(row->node, node, sizeof row->node - 1);
	publish(row, request);
	return true;
}

static bool session_renew(struct tables *tables, const struct exchange_request *request)
{
	struct tables_session *row = session_find(tables, &request->session);
	if (!row)
		return false;
	row->seq++;
	row->renewed_us = tables->now_us;
	if (request->publish)
		publish(row, request);
	return true;
}

bool tables_session(struct tables *tables, const struct exchange_request *request, const char *node)
{
	if (request->session_op == EXCHANGE_SESSION_NONE)
		return false;
	assert(!uuid_is_none(&request->session));
	switch (request->session_op) {
	case EXCHANGE_SESSION_CREATE:
		return session_create(tables, request, node);
	case EXCHANGE_SESSION_RENEW:
		return session_renew(tables, request);
	case EXCHANGE_SESSION_DELETE: {
		struct tables_session *row = session_find(tables, &request->session);
		return row && session_delete(tables, &row->id, row->seq);
	}
	case EXCHANGE_SESSION_NONE:
	default:
		return false;
	}
}

void tables_adopt(struct tables *tables, const struct exchange_request *request)
{
	if (!request->adopt || !incarnation_equal(&tables->server, &request->incarnation) ||
		(incarnation_equal(&tables->believed, &request->incarnation) &&
			tables->generation >= request->highest_term))
		return;
	uint64_t now = tables->unix_time > 0 ? (uint64_t)tables->unix_time : 0;
	uint64_t last = tables->generation > request->highest_term ? tables->generation : request->highest_term;
	tables->believed = request->incarnation;
	tables->generation = now > last ? now : last + request->leap;
}

void tables_missing(struct tables *tables, const struct exchange_request *request)
{
	for (size_t i = 0; i < request->claim_count; i++)
		if (request->claims[i].missing)
			tables->leases[request->claims[i].lease].exists = true;
}

static bool release(struct tables *tables, const struct uuid *session, const struct exchange_release *wanted)
{
	struct tables_lease *row = &tables->leases[wanted->lease];
	if (!row->exists || row->locked || !uuid_equal(&row->session, session))
		return false;
	if (row->term != wanted->term && RULE(EXACT_RELEASE))
		return false;
	row->session = (struct uuid){0};
	return true;
}

static bool is_named(const struct tables *tables, const struct uuid *session)
{
	for (size_t i = 0; i < tables->name_count; i++)
		if (tables->leases[i].exists && uuid_equal(&tables->leases[i].session, session))
			return true;
	return false;
}

// Whether the row is the claim's to take, after the kills of the statement.
static bool is_claimable(const struct tables *tables, const struct uuid *session, const struct exchange_claim *claim)
{
	const struct tables_lease *row = &tables->leases[claim->lease];
	if (!row->exists || row->locked)
		return false;
	if (uuid_is_none(&row->session))
		return true;
	if (!uuid_equal(&row->session, &claim->holder) || row->term != claim->term)
		return false;
	return uuid_equal(&claim->holder, session) || !session_exists(tables, &claim->holder);
}

static uint64_t next_term(const struct tables *tables, const struct tables_lease *row)
{
	uint64_t next = row->term + 1;
	bool first = row->generation != tables->generation && RULE(TERMS_SURVIVE);
	return first && tables->generation > next ? tables->generation : next;
}

static void take(struct tables *tables, struct tables_lease *row, const struct tables_session *session)
{
	row->term = next_term(tables, row);
	row->generation = tables->generation;
	row->session = session->id;
	row->acquired_us = tables->now_us;
	memcpy(row->node, session->node, sizeof row->node);
}

bool tables_change(struct tables *tables, const struct exchange_request *request, struct exchange_grant *ret_grants,
	size_t *ret_grant_count)
{
	bool announce = false;
	*ret_grant_count = 0;
	for (size_t i = 0; i < request->release_count; i++)
		announce |= release(tables, &request->session, &request->releases[i]);

	if (!incarnation_equal(&tables->server, &request->incarnation))
		return announce;
	for (size_t i = 0; i < request->sweep_count; i++)
		if (!is_named(tables, &request->sweeps[i].session))
			session_delete(tables, &request->sweeps[i].session, request->sweeps[i].seq);
	for (size_t i = 0; i < request->claim_count; i++)
		if (!uuid_equal(&request->claims[i].holder, &request->session))
			announce |= session_delete(tables, &request->claims[i].holder, request->claims[i].holder_seq);

	const struct tables_session *session =
		uuid_is_none(&request->session) ? NULL : session_find(tables, &request->session);
	bool paused = tables->paused[0] != '\0' && RULE(PAUSE_HOLDS);
	if (!session || paused || !incarnation_equal(&tables->believed, &request->incarnation))
		return announce;
	for (size_t i = 0; i < request->claim_count; i++) {
		const struct exchange_claim *claim = &request->claims[i];
		if (!is_claimable(tables, &request->session, claim))
			continue;
		struct tables_lease *row = &tables->leases[claim->lease];
		take(tables, row, session);
		ret_grants[(*ret_grant_count)++] = (struct exchange_grant){.lease = claim->lease, .term = row->term};
		announce = true;
	}
	return announce;
}

static bool ask(struct tables *tables, const struct exchange_ask *ask)
{
	struct tables_lease *row = &tables->leases[ask->lease];
	if (!row->exists || row->term != ask->term || uuid_is_none(&row->session))
		return false;
	row->ask = *ask;
	return true;
}

bool tables_ask(
	struct tables *tables, const struct exchange_request *request, const char *node, struct exchange_reply *reply)
{
	reply->asked = request->ask && ask(tables, request->ask);
	if (request->pause != EXCHANGE_PAUSE_LEAVE) {
		memset(tables->paused, 0, sizeof tables->paused);
		if (request->pause == EXCHANGE_PAUSE_SET)
			strncpy(tables->paused, node, sizeof tables->paused - 1);
	}
	return reply->asked || request->pause != EXCHANGE_PAUSE_LEAVE;
}

static void row_report(const struct tables *tables, uint32_t lease, struct exchange_row *report)
{
	const struct tables_lease *row = &tables->leases[lease];
	*report = (struct exchange_row){.lease = lease, .exists = row->exists};
	if (!row->exists)
		return;
	report->holder = row->session;
	report->term = row->term;
	report->since_ms = row->term ? (tables->now_us - row->acquired_us) / 1000 : 0;
	report->asked = row->ask.term != 0 && row->ask.term == row->term;
	report->target = report->asked ? row->ask.target : (struct uuid){0};
	report->cooldown_ms = report->asked ? row->ask.cooldown_ms : 0;
	memcpy(report->node, row->node, sizeof report->node);

	const struct tables_session *holder = uuid_is_none(&row->session) ? NULL : session_find(tables, &row->session);
	report->holder_seq = -1;
	if (!holder)
		return;
	report->holder_alive = true;
	report->holder_seq = holder->seq;
	report->holder_lease_ms = holder->lease_ms;
	report->holder_age_us = tables->now_us - holder->renewed_us;
}

// The next session without a lease in the order of their last renewal, after `last`; NULL at the end.
static const struct tables_session *next_stray(const struct tables *tables, const struct tables_session *last)
{
	const struct tables_session *next = NULL;
	for (const struct tables_session *s = tables->sessions; s < tables->sessions + tables->session_capacity; s++) {
		bool after =
			!last || s->renewed_us > last->renewed_us || (s->renewed_us == last->renewed_us && s > last);
		bool nearer = after && (!next || s->renewed_us < next->renewed_us);
		if (nearer && !uuid_is_none(&s->id) && !is_named(tables, &s->id))
			next = s;
	}
	return next;
}

void tables_report(const struct tables *tables, const struct exchange_request *request, struct exchange_row *rows,
	struct exchange_reply *reply)
{
	reply->server = tables->server;
	reply->believed = tables->believed;
	memcpy(reply->paused, tables->paused, sizeof reply->paused);
	reply->rows = rows;
	reply->row_count = request->report ? tables->name_count : 0;
	for (size_t i = 0; i < reply->row_count; i++)
		row_report(tables, (uint32_t)i, &rows[i]);

	reply->stray_count = 0;
	const struct tables_session *stray = request->strays ? next_stray(tables, NULL) : NULL;
	for (; stray && reply->stray_count < EXCHANGE_STRAYS; stray = next_stray(tables, stray))
		reply->strays[reply->stray_count++] =
			(struct exchange_stray){.session = stray->id, .seq = stray->seq, .lease_ms = stray->lease_ms};
}

void tables_candidates(const struct tables *tables, const struct exchange_request *request,
	struct exchange_candidate *candidates, struct exchange_offerer *offerers, size_t room,
	struct exchange_reply *reply)
{
	reply->candidates = candidates;
	reply->offerers = offerers;
	reply->candidate_count = reply->offerer_count = 0;
	for (size_t i = 0; request->candidates && i < tables->session_capacity && reply->offerer_count < room; i++) {
		const struct tables_session *s = &tables->sessions[i];
		if (uuid_is_none(&s->id))
			continue;
		uint32_t number = (uint32_t)reply->offerer_count++;
		struct exchange_offerer *offerer = &offerers[number];
		offerer->session = s->id;
		offerer->seq = s->seq;
		offerer->lease_ms = s->lease_ms;
		offerer->age_us = tables->now_us - s->renewed_us;
		memcpy(offerer->node, s->node, sizeof s->node);
		for (uint32_t j = 0; j < s->offer_count && reply->candidate_count < room; j++)
			candidates[reply->candidate_count++] = (struct exchange_candidate){
				.lease = s->offers[j].lease, .priority = s->offers[j].priority, .offerer = number};
	}
}
