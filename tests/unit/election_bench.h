// SPDX-License-Identifier: Apache-2.0
// Two daemons and one database on a bench: time passes only where a test says so, and what is out is answered at once,
// by the store's model of its tables, unless a test wants it otherwise.
#ifndef TENURE_ELECTION_BENCH_H
#define TENURE_ELECTION_BENCH_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "election.h"
#include "tables.h"

#define BENCH __attribute__((unused)) static

#define MS NS_PER_MS
#define LEASE (10 * NS_PER_S)
#define RENEW (2 * NS_PER_S)
#define POLL NS_PER_S
#define TIMEOUT (2 * NS_PER_S)
#define GRACE (2 * NS_PER_S)
#define START_TIMEOUT (30 * NS_PER_S)
#define COOLDOWN (5 * NS_PER_S)
#define MARGIN (LEASE / 250)
#define START (1000 * NS_PER_S)
#ifndef NAMES
#define NAMES 2
#endif
#define TOLD_MAX (256 * NAMES)
#define CANDIDATES 16

struct told {
	enum election_note_type type;
	uint32_t lease;
	uint64_t term;
	int64_t deadline;
	enum election_reason reason;
};

struct daemon {
	const char *name;
	struct election election;
	struct election_lease leases[NAMES];
	struct exchange_release room_for_releases[NAMES];
	struct exchange_claim room_for_claims[NAMES];
	struct exchange_offer room_for_offers[NAMES];
	struct election_note notes[NAMES * ELECTION_NOTES_PER_LEASE + ELECTION_NOTES_MORE];
	struct election_update update;
	// The exchange that is out.
	bool out;
	bool silent;   // nothing is answered
	bool disputed; // the others have its components in other leases
	struct exchange_request request;
	struct exchange_release releases[NAMES];
	struct exchange_claim claims[NAMES];
	struct exchange_offer offers[NAMES];
	struct exchange_ask ask;
	struct exchange_candidate candidates[CANDIDATES];
	struct exchange_offerer offerers[CANDIDATES];
	struct exchange_stray sweeps[EXCHANGE_STRAYS];
	uint64_t connection;
	struct exchange_reply reply;
	struct exchange_grant grants[NAMES];
	struct exchange_row rows[NAMES];
	// What was said since forget().
	struct told told[TOLD_MAX]; // granted, extended, revoked, cleared
	size_t told_count;
	unsigned exchanges;
	unsigned writes;
	unsigned reports;
	bool operated;
	enum election_result result; // of the last operation
};

static int64_t now;
static struct tables *db;
static struct daemon a, b;

BENCH void new_server(const char *text)
{
	snprintf(db->server.text, sizeof db->server.text, "%s", text);
}

BENCH struct uuid new_id(void)
{
	static uint8_t last;
	return (struct uuid){{++last, 1}};
}

BENCH void start(struct daemon *d, const char *name)
{
	static const struct election_timing timing = {LEASE, RENEW, POLL, TIMEOUT};
	struct election_lease_timing timings[NAMES];
	uint64_t connection = d->connection;
	for (size_t i = 0; i < NAMES; i++)
		timings[i] = (struct election_lease_timing){
			.stop_grace_ns = GRACE, .start_timeout_ns = START_TIMEOUT, .cooldown_ns = COOLDOWN};
	memset(d, 0, sizeof *d);
	d->name = name;
	d->connection = connection + 1;
	d->update.notes = d->notes;
	struct election_room room = {d->leases, d->room_for_releases, d->room_for_claims, d->room_for_offers};
	election_init(&d->election, &timing, timings, NAMES, &room, now);
	struct uuid id = new_id();
	election_supply_id(&d->election, &id);
}

BENCH void open_bench(void)
{
	static const struct incarnation first = {"server-1"};
	now = START;
	ck_assert_int_eq(tables_new(&db, NAMES, 40, &first), 0);
	start(&a, "a");
	start(&b, "b");
}

BENCH void close_bench(void)
{
	tables_free(db);
}

// ---- steps ----

static void note_told(struct daemon *d)
{
	for (size_t i = 0; i < d->update.note_count; i++) {
		const struct election_note *note = &d->update.notes[i];
		if (note->type == NOTE_OPERATED) {
			d->operated = true;
			d->result = note->result;
		}
		if (note->type != NOTE_GRANTED && note->type != NOTE_EXTENDED && note->type != NOTE_REVOKED &&
			note->type != NOTE_CLEARED)
			continue;
		ck_assert_uint_lt(d->told_count, TOLD_MAX);
		d->told[d->told_count++] =
			(struct told){note->type, note->lease, note->term, note->deadline, note->reason};
	}
}

static void take_request(struct daemon *d)
{
	const struct exchange_request *r = &d->update.request;
	if (d->update.abort)
		d->out = false;
	if (!d->update.submit)
		return;
	ck_assert(!d->out);
	d->out = true;
	d->exchanges++;
	d->reports += r->report;
	d->writes += r->session_op != EXCHANGE_SESSION_NONE || r->claim_count + r->release_count + r->sweep_count > 0;
	d->request = *r;
	memcpy(d->releases, r->releases, r->release_count * sizeof *r->releases);
	memcpy(d->claims, r->claims, r->claim_count * sizeof *r->claims);
	memcpy(d->sweeps, r->sweeps, r->sweep_count * sizeof *r->sweeps);
	d->request.releases = d->releases;
	d->request.claims = d->claims;
	memcpy(d->offers, r->offers, r->offer_count * sizeof *r->offers);
	d->request.offers = d->offers;
	if (r->ask) {
		d->ask = *r->ask;
		d->request.ask = &d->ask;
	}
	d->request.sweeps = d->sweeps;
}

BENCH enum election_answer take_update(struct daemon *d)
{
	note_told(d);
	take_request(d);
	if (election_wants_id(&d->election)) {
		struct uuid id = new_id();
		election_supply_id(&d->election, &id);
	}
	return d->update.answer;
}

BENCH enum election_answer step(struct daemon *d, struct election_event event)
{
	event.now = now;
	election_step(&d->election, &event, &d->update);
	return take_update(d);
}

BENCH void tick(struct daemon *d)
{
	step(d, (struct election_event){.type = ELECTION_TIME});
}

BENCH void hint(struct daemon *d)
{
	step(d, (struct election_event){.type = ELECTION_HINT});
}

// That it is free, whether it is or not.
BENCH void hint_freed(struct daemon *d, uint32_t lease)
{
	step(d, (struct election_event){.type = ELECTION_HINT, .freed = &lease, .freed_count = 1});
}

BENCH enum election_answer say(struct daemon *d, enum election_event_type type, uint32_t lease, uint64_t term)
{
	return step(d, (struct election_event){
			       .type = type, .lease = lease, .term = term, .cooldown_ns = ELECTION_COOLDOWN_DEFAULT});
}

// ---- exchanges ----

// The database carries out what is out; the reply is on its way.
BENCH void carry_out(struct daemon *d)
{
	ck_assert(d->out);
	db->now_us = now / NS_PER_US;
	db->unix_time = 1700000000 * INT64_C(1000000) + now / NS_PER_US;
	d->reply = (struct exchange_reply){.number = d->request.number, .connection = d->connection};
	d->reply.session_alive = tables_session(db, &d->request, d->name);
	tables_adopt(db, &d->request);
	tables_missing(db, &d->request);
	tables_change(db, &d->request, d->grants, &d->reply.grant_count);
	d->reply.grants = d->grants;
	tables_ask(db, &d->request, d->name, &d->reply);
	tables_report(db, &d->request, d->rows, &d->reply);
	tables_candidates(db, &d->request, d->candidates, d->offerers, CANDIDATES, &d->reply);
	for (size_t i = 0; i < d->reply.candidate_count; i++) {
		const struct exchange_offerer *offerer = exchange_offerer_of(&d->reply, &d->candidates[i]);
		d->candidates[i].disputes = d->disputed && !uuid_equal(&offerer->session, &d->request.session);
	}
}

BENCH void hear(struct daemon *d)
{
	d->out = false;
	step(d, (struct election_event){.type = ELECTION_REPLY, .reply = &d->reply});
}

BENCH void answer(struct daemon *d)
{
	carry_out(d);
	hear(d);
}

BENCH void refuse(struct daemon *d, enum exchange_outcome outcome)
{
	ck_assert(d->out);
	d->reply = (struct exchange_reply){.number = d->request.number, .outcome = outcome};
	hear(d);
}

// Until nothing is out, without any time passing.
BENCH void settle(struct daemon *d)
{
	for (int i = 0; d->out; i++) {
		ck_assert_int_lt(i, 20);
		answer(d);
	}
}

static void do_what_is_due(struct daemon *d)
{
	if (d->election.lease_count == 0)
		return;
	for (int i = 0; election_deadline(&d->election) <= now; i++) {
		ck_assert_int_lt(i, 50);
		tick(d);
		if (!d->silent)
			settle(d);
	}
}

static int64_t next_deadline(const struct daemon *d, int64_t until)
{
	int64_t at = d->election.lease_count ? election_deadline(&d->election) : ELECTION_NEVER;
	return at < until ? at : until;
}

// Time passes, and both daemons do what is due.
BENCH void pass_until(int64_t until)
{
	for (;;) {
		do_what_is_due(&a);
		do_what_is_due(&b);
		if (now >= until)
			return;
		now = next_deadline(&a, next_deadline(&b, until));
	}
}

BENCH void pass(int64_t ns)
{
	pass_until(now + ns);
}

// The daemon is no more; its rows are.
BENCH void kill_daemon(struct daemon *d)
{
	d->election.lease_count = 0;
	d->out = false;
}

// ---- what was said ----

BENCH void forget(struct daemon *d)
{
	d->told_count = 0;
	d->exchanges = 0;
	d->reports = 0;
	d->writes = 0;
}

BENCH const struct told *last_told(const struct daemon *d, enum election_note_type type, uint32_t lease)
{
	for (size_t i = d->told_count; i-- > 0;)
		if (d->told[i].type == type && d->told[i].lease == lease)
			return &d->told[i];
	return NULL;
}

BENCH unsigned times_told(const struct daemon *d, enum election_note_type type, uint32_t lease)
{
	unsigned count = 0;
	for (size_t i = 0; i < d->told_count; i++)
		count += d->told[i].type == type && d->told[i].lease == lease;
	return count;
}

BENCH bool leads(const struct daemon *d, uint32_t lease)
{
	return d->leases[lease].state == LEASE_LEADING;
}

BENCH uint64_t term_of(const struct daemon *d, uint32_t lease)
{
	return d->leases[lease].token.term;
}

BENCH int64_t deadline_of(const struct daemon *d, uint32_t lease)
{
	return d->leases[lease].token.deadline;
}

// ---- where most tests begin ----

// The daemon's worker joins and is granted the lease at once.
BENCH void lead(struct daemon *d, uint32_t lease)
{
	if (d->exchanges == 0)
		tick(d);
	settle(d);
	ck_assert_int_eq(say(d, ELECTION_JOIN, lease, 0), ANSWER_OK);
	settle(d);
	ck_assert(leads(d, lease));
	ck_assert_int_eq(say(d, ELECTION_STARTED, lease, term_of(d, lease)), ANSWER_OK);
}

// The daemon's worker joins and waits for another one's lease.
BENCH void follow(struct daemon *d, uint32_t lease)
{
	if (d->exchanges == 0)
		tick(d);
	settle(d);
	ck_assert_int_eq(say(d, ELECTION_JOIN, lease, 0), ANSWER_OK);
	settle(d);
	ck_assert(!leads(d, lease));
}

BENCH int run_suite_with(const char *name, void (*open)(void), const TTest *const *tests, size_t count)
{
	Suite *suite = suite_create(name);
	TCase *tcase = tcase_create(name);
	tcase_add_checked_fixture(tcase, open, close_bench);
	for (size_t i = 0; i < count; i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

BENCH int run_suite(const char *name, const TTest *const *tests, size_t count)
{
	return run_suite_with(name, open_bench, tests, count);
}

#endif
