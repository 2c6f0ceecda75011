// SPDX-License-Identifier: Apache-2.0
// The election on a database that answers anything: rows for leases nobody asked for, terms that go back, numbers that
// make no sense. It may cost the leader, but nobody is told two terms at once, or of one that is over.
#include "fuzz.h"

#include "told.h"

#include "election.h"

#define LEASES 3 // one alone, and a group of two
#define ROWS 8

struct world {
	struct election election;
	struct election_lease leases[LEASES];
	struct exchange_release releases[LEASES];
	struct exchange_claim claims[LEASES];
	struct exchange_offer offers[LEASES];
	struct election_note notes[LEASES * ELECTION_NOTES_PER_LEASE + ELECTION_NOTES_MORE];
	struct election_update update;
	struct told told[LEASES];
	bool seated[LEASES];
	bool shutdown;
	int64_t sent_at; // of the exchange that is out
	uint8_t ids;
};

static const struct election_timing timing = {10 * SECOND, 2 * SECOND, SECOND, 2 * SECOND};
static const struct election_lease_timing timings[LEASES] = {
	{.stop_grace_ns = 2 * SECOND,
		.start_timeout_ns = 30 * SECOND,
		.cooldown_ns = SECOND,
		.prefer_after_ns = SECOND},
	{.stop_grace_ns = SECOND, .start_timeout_ns = 3 * SECOND, .cooldown_ns = SECOND},
	{.stop_grace_ns = SECOND, .start_timeout_ns = 3 * SECOND, .priority = 5},
};

static void check_request(const struct world *w)
{
	const struct exchange_request *request = &w->update.request;
	MUST(request->release_count <= LEASES && request->claim_count <= LEASES && request->offer_count <= LEASES);
	MUST(request->sweep_count <= EXCHANGE_STRAYS && !uuid_is_none(&request->session));
	for (size_t i = 0; i < request->claim_count; i++)
		MUST(request->claims[i].lease < LEASES && w->leases[request->claims[i].lease].state == LEASE_CLAIMING);
	for (size_t i = 0; i < request->release_count; i++) {
		MUST(request->releases[i].lease < LEASES);
		MUST(w->told[request->releases[i].lease].term == 0); // W12
	}
	MUST(w->update.request_deadline > w->election.now);
}

static enum election_answer step(struct world *w, struct election_event event)
{
	struct uuid id = {{0xee, ++w->ids, 1}};
	event.now = fuzz_now;
	if (election_wants_id(&w->election))
		election_supply_id(&w->election, &id);
	bool answered = event.type == ELECTION_REPLY;
	election_step(&w->election, &event, &w->update);
	for (size_t i = 0; i < w->update.note_count; i++) {
		const struct election_note *note = &w->notes[i];
		MUST(note->lease < LEASES);
		told_note(w->told, note, &w->election);
		// Rule 1: a deadline counts from when its exchange was sent.
		if (note->type == NOTE_EXTENDED)
			MUST(answered && note->deadline <= w->sent_at + timing.lease_ns);
	}
	told_check(w->told, &w->election);
	if (w->update.submit) {
		check_request(w);
		w->sent_at = fuzz_now;
	}
	return w->update.answer;
}

// ---- what the database says ----

static struct uuid take_session(const struct world *w, struct input *input)
{
	static const struct uuid others[] = {{{1}}, {{2}}, {{3}}};
	uint8_t choice = take(input);
	if (choice % 8 == 0)
		return (struct uuid){{0}};
	return choice % 8 < 4 ? w->election.session : others[choice % COUNT_OF(others)];
}

static uint64_t take_term(const struct world *w, struct input *input)
{
	uint32_t lease = take_below(input, LEASES);
	uint64_t last = w->leases[lease].row.term;
	switch (take_below(input, 8)) {
	case 0:
		return w->told[lease].last_term;
	case 1:
		return last > 0 ? last - 1 : 0;
	case 2:
		return (uint64_t)take_odd(input);
	case 3:
		return w->leases[lease].held_term;
	default:
		return last + 1;
	}
}

static uint32_t take_lease(struct input *input)
{
	uint8_t choice = take(input);
	return choice < 248 ? choice % (LEASES + 1) : UINT32_MAX - choice % 2;
}

static void take_node(struct input *input, char ret[static NAME_BYTES + 1])
{
	size_t size = take_below(input, NAME_BYTES + 1);
	for (size_t i = 0; i < size; i++)
		ret[i] = (char)(take(input) | 1);
	ret[size] = '\0';
}

static struct exchange_row take_row(const struct world *w, struct input *input, uint32_t place)
{
	uint8_t flags = take(input);
	struct exchange_row row = {
		.lease = flags & 1 ? take_lease(input) : place,
		.exists = !(flags & 2),
		.holder_alive = flags & 4,
		.holder = take_session(w, input),
		.term = flags & 8 ? take_term(w, input) : w->leases[place % LEASES].held_term,
		.holder_seq = flags & 16 ? take_odd(input) : 1,
		.holder_lease_ms = flags & 32 ? take_odd(input) : 10000,
		.holder_age_us = flags & 32 ? take_odd(input) : 0,
		.since_ms = flags & 32 ? take_odd(input) : 0,
	};
	if (flags & 64) {
		row.asked = true;
		row.target = take_session(w, input);
		row.cooldown_ms = take_odd(input);
	}
	if (flags & 128)
		take_node(input, row.node);
	return row;
}

// One of a session of its own each.
static void take_candidate(const struct world *w, struct input *input, uint32_t number,
	struct exchange_candidate *candidate, struct exchange_offerer *offerer)
{
	*candidate = (struct exchange_candidate){
		.lease = take_lease(input), .priority = (int32_t)take_odd(input), .offerer = number};
	*offerer = (struct exchange_offerer){
		.session = take_session(w, input),
		.seq = take_odd(input),
		.lease_ms = take_odd(input),
		.age_us = take_odd(input),
	};
	take_node(input, offerer->node);
}

static void answer(struct world *w, struct input *input)
{
	static struct exchange_grant grants[ROWS];
	static struct exchange_row rows[ROWS];
	static struct exchange_candidate candidates[ROWS];
	static struct exchange_offerer offerers[ROWS];
	static struct exchange_reply reply;
	uint8_t flags = take(input);
	reply = (struct exchange_reply){
		.number = w->election.number - (flags & 1),
		.outcome = flags & 2 ? take_below(input, EXCHANGE_UNKNOWN + 1) : EXCHANGE_OK,
		.connection = flags & 4 ? take(input) : 7,
		.session_alive = !(flags & 8),
		.deaf = flags & 16,
		.asked = flags & 16,
		.grants = grants,
		.rows = rows,
		.candidates = candidates,
		.offerers = offerers,
	};
	reply.server.text[0] = (char)('a' + (flags & 32 ? take_below(input, 3) : 0));
	reply.believed.text[0] = (char)('a' + (flags & 32 ? take_below(input, 3) : 0));
	reply.grant_count = take_below(input, ROWS);
	for (size_t i = 0; i < reply.grant_count; i++)
		grants[i] = (struct exchange_grant){take_lease(input), take_term(w, input)};
	reply.row_count = take_below(input, ROWS);
	for (uint32_t i = 0; i < reply.row_count; i++)
		rows[i] = take_row(w, input, i);
	reply.stray_count = flags & 64 ? take(input) : 0;
	for (size_t i = 0; i < reply.stray_count && i < EXCHANGE_STRAYS; i++)
		reply.strays[i] = (struct exchange_stray){take_session(w, input), take_odd(input), take_odd(input)};
	reply.candidate_count = reply.offerer_count = flags & 128 ? take_below(input, ROWS) : 0;
	for (uint32_t i = 0; i < reply.candidate_count; i++)
		take_candidate(w, input, i, &candidates[i], &offerers[i]);
	if (flags & 128)
		take_node(input, reply.paused);
	step(w, (struct election_event){.type = ELECTION_REPLY, .reply = &reply});
}

// ---- what else happens ----

static void pass_time(struct world *w, struct input *input)
{
	static const int64_t steps_ms[] = {0, 1, 20, 100, 500, 1000, 2000, 2500, 5000, 10000, 10041, 30000, 100000};
	int64_t at = election_deadline(&w->election);
	uint8_t choice = take(input);
	if (choice >= 128 && at != ELECTION_NEVER && at >= fuzz_now)
		fuzz_now = at;
	else
		fuzz_now += steps_ms[choice % COUNT_OF(steps_ms)] * NS_PER_MS;
	step(w, (struct election_event){.type = ELECTION_TIME});
}

// As the server does: only who sits there is heard.
static void hear_worker(struct world *w, struct input *input)
{
	static const enum election_event_type words[] = {
		ELECTION_STARTED, ELECTION_ALIVE, ELECTION_STOPPED, ELECTION_YIELD, ELECTION_GONE, ELECTION_EXPEL};
	uint32_t lease = take_below(input, LEASES);
	struct election_event event = {.lease = lease, .term = w->leases[lease].told_term};
	uint8_t choice = take(input);
	if (choice & 128)
		event.term = take_term(w, input);
	if (!w->seated[lease]) {
		event.type = ELECTION_JOIN;
		event.term = choice & 1 ? 0 : event.term;
		event.heartbeat_ns = choice & 2 ? SECOND : 0;
		w->seated[lease] = step(w, event) == ANSWER_OK;
		return;
	}
	event.type = words[choice % COUNT_OF(words)];
	event.cooldown_ns = choice & 64 ? SECOND : ELECTION_COOLDOWN_DEFAULT;
	if (event.type == ELECTION_GONE)
		w->seated[lease] = false;
	step(w, event);
}

static void hear_operator(struct world *w, struct input *input)
{
	struct election_operation operation = {
		.kind = 1 + take_below(input, OPERATION_HISTORY),
		.lease = take_below(input, LEASES),
		.count = take(input),
		.cooldown_ns = take_bool(input) ? SECOND : ELECTION_COOLDOWN_DEFAULT,
		.node = "b",
	};
	step(w, (struct election_event){.type = ELECTION_OPERATE, .operation = &operation});
}

static void configure(struct world *w, struct input *input)
{
	uint32_t lease = take_below(input, LEASES);
	struct election_lease_timing now = timings[lease];
	uint32_t choice = take_below(input, 4);
	now.observes = choice == 1;
	now.priority = choice == 2 ? 100 : now.priority;
	step(w, (struct election_event){
			.type = ELECTION_CONFIGURE, .lease = lease, .timing = choice == 0 ? NULL : &now});
}

// Whatever is so, one of them is free, or none.
static void announce(struct world *w, uint32_t lease)
{
	step(w, (struct election_event){.type = ELECTION_HINT, .freed = &lease, .freed_count = lease < LEASES});
}

static void happen(struct world *w, struct input *input)
{
	uint32_t choice = take_below(input, 32);
	if (choice < 12)
		answer(w, input);
	else if (choice < 20)
		pass_time(w, input);
	else if (choice < 27)
		hear_worker(w, input);
	else if (choice == 27)
		announce(w, take_below(input, LEASES + 1));
	else if (choice == 28)
		hear_operator(w, input);
	else if (choice == 29)
		configure(w, input);
	else if (choice == 30)
		step(w, (struct election_event){.type = ELECTION_RESIGN,
				.lease = take_below(input, LEASES),
				.cooldown_ns = ELECTION_COOLDOWN_DEFAULT});
	else if (!w->shutdown && (w->shutdown = take_below(input, 8) == 1))
		step(w, (struct election_event){.type = ELECTION_SHUTDOWN});
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world w;
	struct input input = {data, size};
	w = (struct world){.update = {.notes = w.notes}};
	fuzz_now = 1000 * SECOND;
	election_init(&w.election, &timing, timings, LEASES,
		&(struct election_room){w.leases, w.releases, w.claims, w.offers}, fuzz_now);
	election_group(&w.election, 2, 1);
	step(&w, (struct election_event){.type = ELECTION_TIME});
	while (input.left > 0)
		happen(&w, &input);
	return 0;
}
