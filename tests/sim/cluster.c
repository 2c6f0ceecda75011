// SPDX-License-Identifier: Apache-2.0
// A database of several nodes, as Galera is: a statement sees what its node knows, which may be old, and is carried out
// for all only if nobody changed the rows that it changes since. What it merely read is not looked at again.
#include <stdlib.h>

#include "sim.h"

static void copy(struct tables *to, const struct tables *from)
{
	to->name_count = from->name_count;
	to->session_capacity = from->session_capacity;
	tables_copy(to, from);
}

static void make_tables(struct sim *sim)
{
	static const struct incarnation none;
	struct database *db = &sim->database;
	if (!db->view && (tables_new(&db->view, NAMES, SESSIONS, &none) < 0 ||
				 tables_new(&db->changed, NAMES, SESSIONS, &none) < 0))
		abort();
}

void cluster_connect(struct sim *sim, struct node *n)
{
	make_tables(sim);
	n->lag_ns = 0;
	n->seen_to = 0;
	if (random_below(&sim->random, 3))
		n->lag_ns = random_scale(&sim->random, NS_PER_MS, sim->profile.lease_ns);
}

// The last state that was committed by `at`, or the oldest that is known.
static struct tables *state_at(const struct database *db, int64_t at)
{
	struct tables *state = db->tables;
	uint32_t index = db->snapshot_next;
	for (uint32_t i = 0; i < db->snapshot_count; i++) {
		index = (index + SNAPSHOTS - 1) % SNAPSHOTS;
		state = db->snapshots[index];
		if (db->snapshot_at[index] <= at)
			break;
	}
	return state;
}

struct tables *cluster_view(struct sim *sim, struct node *n, bool changes)
{
	struct database *db = &sim->database;
	int64_t at = sim->now - (sim->calm ? 0 : n->lag_ns);
	n->seen_to = at > n->seen_to ? at : n->seen_to;
	struct tables *state = n->seen_to == sim->now ? db->tables : state_at(db, n->seen_to);
	state->unix_time = db->tables->unix_time;
	state->now_us = db->tables->now_us;
	if (!changes)
		return state;
	copy(db->view, state);
	copy(db->changed, state);
	return db->changed;
}

static struct tables_session *find(const struct tables *t, const struct uuid *id)
{
	for (size_t i = 0; i < t->session_capacity; i++)
		if (uuid_equal(&t->sessions[i].id, id))
			return &t->sessions[i];
	return NULL;
}

static bool same_session(const struct tables_session *a, const struct tables_session *b)
{
	return uuid_equal(&a->id, &b->id) && a->seq == b->seq;
}

static bool same_lease(const struct tables_lease *a, const struct tables_lease *b)
{
	return a->exists == b->exists && uuid_equal(&a->session, &b->session) && a->term == b->term;
}

static bool same_store(const struct tables *a, const struct tables *b)
{
	return incarnation_equal(&a->believed, &b->believed) && a->generation == b->generation;
}

// Every row that the statement changed is as it saw it.
static bool is_current(const struct database *db)
{
	const struct tables *view = db->view, *changed = db->changed, *t = db->tables;
	for (size_t i = 0; i < view->name_count; i++)
		if (!same_lease(&changed->leases[i], &view->leases[i]) && !same_lease(&view->leases[i], &t->leases[i]))
			return false;
	for (size_t i = 0; i < view->session_capacity; i++) {
		const struct tables_session *before = &view->sessions[i];
		if (same_session(&changed->sessions[i], before) || uuid_is_none(&before->id))
			continue;
		const struct tables_session *now = find(t, &before->id);
		if (!now || !same_session(now, before))
			return false;
	}
	return same_store(changed, view) || same_store(view, t);
}

static void apply_session(struct tables *t, const struct tables_session *before, const struct tables_session *after)
{
	static const struct uuid none;
	struct tables_session *row = find(t, uuid_is_none(&before->id) ? &none : &before->id);
	assert(row);
	*row = *after;
}

bool cluster_certify(struct sim *sim, struct node *n)
{
	struct database *db = &sim->database;
	struct tables *t = db->tables;
	if (!is_current(db))
		return false;
	bool wrote = !same_store(db->changed, db->view);
	if (wrote) {
		t->believed = db->changed->believed;
		t->generation = db->changed->generation;
	}
	for (size_t i = 0; i < t->name_count; i++) {
		if (same_lease(&db->changed->leases[i], &db->view->leases[i]))
			continue;
		t->leases[i] = db->changed->leases[i];
		wrote = true;
	}
	for (size_t i = 0; i < db->view->session_capacity; i++) {
		if (same_session(&db->changed->sessions[i], &db->view->sessions[i]))
			continue;
		apply_session(t, &db->view->sessions[i], &db->changed->sessions[i]);
		wrote = true;
	}
	// All that was committed before is known where something is committed.
	if (wrote)
		n->seen_to = sim->now;
	return true;
}
