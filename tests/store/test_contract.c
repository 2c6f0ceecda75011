// SPDX-License-Identifier: Apache-2.0
// What exchange.h says, statement by statement, against every driver.
#include "three.h"

#include "clock.h"

#include <check.h>
#include <poll.h>
#include <stdlib.h>

// The row's sequence as `peer` sees it; the session has to hold the engine.
static int64_t engine_seq(struct peer *peer)
{
	return peer_row(peer, ENGINE)->holder_seq;
}

static const struct exchange_stray *find_stray(struct peer *peer, const struct uuid *session)
{
	const struct exchange_reply *reply = peer_ok(peer, &(struct exchange_request){.strays = true});
	for (size_t i = 0; i < reply->stray_count; i++)
		if (uuid_equal(&reply->strays[i].session, session))
			return &reply->strays[i];
	return NULL;
}

// ---- a fresh schema ----

START_TEST(test_fresh)
{
	set_up((enum backend)_i);
	const struct exchange_reply *reply = peer_ok(&a, &(struct exchange_request){.report = true, .strays = true});
	ck_assert_uint_eq(reply->number, 1);
	ck_assert_uint_eq(reply->connection, 1);
	ck_assert(reply->server.text[0]);
	// The first election on a fresh schema does not wait for a lease (R2).
	ck_assert_str_eq(reply->believed.text, reply->server.text);
	ck_assert_uint_eq(reply->row_count, WORLD_LEASES);
	for (uint32_t i = 0; i < WORLD_LEASES; i++) {
		ck_assert_uint_eq(reply->rows[i].lease, i);
		ck_assert(!reply->rows[i].exists);
	}
	ck_assert_uint_eq(reply->stray_count, 0);
	ck_assert_uint_eq(reply->grant_count, 0);
	ck_assert(!reply->session_alive);
	tear_down();
}
END_TEST

START_TEST(test_only_what_was_asked)
{
	set_up((enum backend)_i);
	peer_session(&a, EXCHANGE_SESSION_CREATE);
	const struct exchange_reply *reply = peer_ok(&a, &(struct exchange_request){0});
	ck_assert_uint_eq(reply->row_count, 0);
	ck_assert_uint_eq(reply->stray_count, 0);
	ck_assert_str_eq(reply->believed.text, world.server.text);
	tear_down();
}
END_TEST

// ---- the session ----

START_TEST(test_session_life)
{
	set_up((enum backend)_i);
	ck_assert(peer_session(&a, EXCHANGE_SESSION_CREATE)->session_alive);
	ck_assert_int_eq(find_stray(&b, &a.session)->seq, 1);
	ck_assert(peer_session(&a, EXCHANGE_SESSION_RENEW)->session_alive);
	ck_assert_int_eq(find_stray(&b, &a.session)->seq, 2);
	ck_assert_int_eq(find_stray(&b, &a.session)->lease_ms, WORLD_LEASE_MS);
	ck_assert(peer_session(&a, EXCHANGE_SESSION_DELETE)->session_alive);
	ck_assert_ptr_null(find_stray(&b, &a.session));
	ck_assert(!peer_session(&a, EXCHANGE_SESSION_DELETE)->session_alive);
	tear_down();
}
END_TEST

// Rule 11: nothing but the insert makes a row, and that only once.
START_TEST(test_session_is_not_resurrected)
{
	set_up((enum backend)_i);
	ck_assert(!peer_session(&a, EXCHANGE_SESSION_RENEW)->session_alive);
	ck_assert_ptr_null(find_stray(&b, &a.session));
	peer_session(&a, EXCHANGE_SESSION_CREATE);
	peer_session(&a, EXCHANGE_SESSION_RENEW);
	ck_assert(!peer_session(&a, EXCHANGE_SESSION_CREATE)->session_alive);
	ck_assert_int_eq(find_stray(&b, &a.session)->seq, 2);
	tear_down();
}
END_TEST

START_TEST(test_renewal_touches_one_session)
{
	set_up_leader((enum backend)_i);
	int64_t seq = engine_seq(&b);
	ck_assert(is_alive(&b));
	ck_assert_int_eq(engine_seq(&b), seq);
	ck_assert(is_alive(&a));
	ck_assert_int_eq(engine_seq(&b), seq + 1);
	tear_down();
}
END_TEST

// ---- claims ----

// R18: the grant says the term; no look afterwards is needed.
START_TEST(test_first_claim)
{
	set_up((enum backend)_i);
	peer_session(&a, EXCHANGE_SESSION_CREATE);
	struct exchange_claim claim = {.lease = ENGINE, .missing = true, .holder_seq = -1};
	const struct exchange_reply *reply = peer_ok(&a, &(struct exchange_request){
								 .session_op = EXCHANGE_SESSION_RENEW,
								 .incarnation = world.server,
								 .claims = &claim,
								 .claim_count = 1,
								 .report = true,
							 });
	ck_assert(reply->session_alive);
	ck_assert_uint_eq(reply->grant_count, 1);
	ck_assert_uint_eq(reply->grants[0].lease, ENGINE);
	ck_assert_uint_eq(reply->grants[0].term, 1);
	// The report comes after the changes.
	const struct exchange_row *row = &reply->rows[ENGINE];
	ck_assert(row->exists && row->holder_alive && uuid_equal(&row->holder, &a.session));
	ck_assert_str_eq(row->node, "host-a");
	ck_assert_uint_eq(row->term, 1);
	ck_assert_int_eq(row->holder_seq, 2);
	ck_assert_int_eq(row->holder_lease_ms, WORLD_LEASE_MS);
	ck_assert(!reply->rows[DISCOVERY].exists);
	tear_down();
}
END_TEST

START_TEST(test_claim_needs_a_row)
{
	set_up((enum backend)_i);
	peer_session(&a, EXCHANGE_SESSION_CREATE);
	ck_assert_uint_eq(peer_claim_row(&a, &(struct exchange_row){.lease = ENGINE, .exists = true}), 0);
	ck_assert(!peer_row(&a, ENGINE)->exists);
	tear_down();
}
END_TEST

START_TEST(test_claim_needs_a_session)
{
	set_up((enum backend)_i);
	ck_assert_uint_eq(peer_claim(&a, ENGINE), 0);
	const struct exchange_row *row = peer_row(&a, ENGINE);
	ck_assert(row->exists && uuid_is_none(&row->holder));
	ck_assert_uint_eq(row->term, 0);
	tear_down();
}
END_TEST

START_TEST(test_claim_missing_twice)
{
	set_up_leader((enum backend)_i);
	// The row came into being after `b` looked: it is left as it is.
	ck_assert_uint_eq(peer_claim_row(&b, &(struct exchange_row){.lease = ENGINE}), 0);
	ck_assert(uuid_equal(&peer_row(&b, ENGINE)->holder, &a.session));
	tear_down();
}
END_TEST

START_TEST(test_claim_free_row)
{
	set_up_leader((enum backend)_i);
	struct exchange_row before = *peer_row(&b, ENGINE);
	peer_release(&a, ENGINE, 1);
	ck_assert(uuid_is_none(&peer_row(&b, ENGINE)->holder));
	ck_assert_str_eq(peer_row(&b, ENGINE)->node, "host-a");
	ck_assert_uint_eq(peer_row(&b, ENGINE)->term, 1);
	// Whatever it was when it was looked at: a free row is free. And nobody was killed for it.
	before.holder_seq--;
	ck_assert_uint_eq(peer_claim_row(&b, &before), 2);
	ck_assert(is_alive(&a));
	tear_down();
}
END_TEST

START_TEST(test_claim_of_a_living_holder)
{
	set_up_leader((enum backend)_i);
	struct exchange_row row = *peer_row(&b, ENGINE);
	row.holder_seq--;
	ck_assert_uint_eq(peer_claim_row(&b, &row), 0);
	row.holder_alive = false; // makes holder_seq -1
	ck_assert_uint_eq(peer_claim_row(&b, &row), 0);
	row.holder = (struct uuid){0};
	ck_assert_uint_eq(peer_claim_row(&b, &row), 0);
	ck_assert(is_alive(&a));
	ck_assert_uint_eq(peer_row(&b, ENGINE)->term, 1);
	tear_down();
}
END_TEST

START_TEST(test_kill_and_claim)
{
	set_up_leader((enum backend)_i);
	ck_assert_uint_eq(peer_claim(&b, ENGINE), 2);
	const struct exchange_row *row = peer_row(&b, ENGINE);
	ck_assert(uuid_equal(&row->holder, &b.session) && row->holder_alive);
	// Rule 11: it finds out by its next renewal.
	ck_assert(!is_alive(&a));
	tear_down();
}
END_TEST

// Rule 4: a renewal that got in first makes the kill, and the claim with it, do nothing.
START_TEST(test_kill_is_compare_and_swap)
{
	set_up_leader((enum backend)_i);
	struct exchange_row row = *peer_row(&b, ENGINE);
	ck_assert(is_alive(&a));
	ck_assert_uint_eq(peer_claim_row(&b, &row), 0);
	ck_assert(is_alive(&a));
	ck_assert(uuid_equal(&peer_row(&b, ENGINE)->holder, &a.session));
	tear_down();
}
END_TEST

START_TEST(test_claim_of_a_dead_holder)
{
	set_up_leader((enum backend)_i);
	peer_session(&a, EXCHANGE_SESSION_DELETE);
	struct exchange_row row = *peer_row(&b, ENGINE);
	ck_assert(!row.holder_alive && uuid_equal(&row.holder, &a.session));
	row.term = 2;
	ck_assert_uint_eq(peer_claim_row(&b, &row), 0);
	row.term = 1;
	row.holder = c.session;
	ck_assert_uint_eq(peer_claim_row(&b, &row), 0);
	row.holder = a.session;
	ck_assert_uint_eq(peer_claim_row(&b, &row), 2);
	tear_down();
}
END_TEST

// The kill stands by itself: a session that was not renewed is dead, whether or not its lease can be had.
START_TEST(test_kill_without_claim)
{
	set_up_leader((enum backend)_i);
	struct exchange_row row = *peer_row(&b, ENGINE);
	row.term = 7;
	ck_assert_uint_eq(peer_claim_row(&b, &row), 0);
	ck_assert(!peer_row(&b, ENGINE)->holder_alive);
	ck_assert(!is_alive(&a));
	tear_down();
}
END_TEST

START_TEST(test_kill_frees_every_lease)
{
	set_up_leader((enum backend)_i);
	ck_assert_uint_eq(peer_claim(&a, COUNTER), 1);
	struct exchange_row engine = *peer_row(&b, ENGINE), counter = *peer_row(&b, COUNTER);
	struct exchange_claim claims[] = {
		{.lease = ENGINE, .holder = a.session, .holder_seq = engine.holder_seq, .term = 1},
		{.lease = COUNTER, .holder = a.session, .holder_seq = counter.holder_seq, .term = 1},
		{.lease = DISCOVERY, .missing = true, .holder_seq = -1},
	};
	const struct exchange_reply *reply = peer_ok(&b, &(struct exchange_request){
								 .incarnation = world.server,
								 .claims = claims,
								 .claim_count = COUNT_OF(claims),
							 });
	ck_assert_uint_eq(reply->grant_count, 3);
	uint64_t terms[WORLD_LEASES] = {0};
	for (size_t i = 0; i < reply->grant_count; i++)
		terms[reply->grants[i].lease] = reply->grants[i].term;
	ck_assert_uint_eq(terms[DISCOVERY], 1);
	ck_assert_uint_eq(terms[ENGINE], 2);
	ck_assert_uint_eq(terms[COUNTER], 2);
	tear_down();
}
END_TEST

// Rule 7: a row that names my session is claimed again, with a new term, and I am not killed for it.
START_TEST(test_claim_of_my_own_row)
{
	set_up_leader((enum backend)_i);
	struct exchange_row row = *peer_row(&a, ENGINE);
	ck_assert_uint_eq(peer_claim_row(&a, &row), 2);
	ck_assert(is_alive(&a));
	ck_assert_uint_eq(peer_claim_row(&a, &row), 0); // its term is another one by now
	tear_down();
}
END_TEST

// ---- releases ----

// W13
START_TEST(test_release_is_exact)
{
	set_up_leader((enum backend)_i);
	peer_release(&b, ENGINE, 1);
	peer_release(&a, ENGINE, 2);
	peer_release(&a, DISCOVERY, 1);
	ck_assert(uuid_equal(&peer_row(&b, ENGINE)->holder, &a.session));
	peer_release(&a, ENGINE, 1);
	ck_assert(uuid_is_none(&peer_row(&b, ENGINE)->holder));
	ck_assert_uint_eq(peer_claim(&a, ENGINE), 2);
	peer_release(&a, ENGINE, 1); // late
	ck_assert(uuid_equal(&peer_row(&b, ENGINE)->holder, &a.session));
	tear_down();
}
END_TEST

START_TEST(test_release_needs_no_incarnation)
{
	set_up_leader((enum backend)_i);
	struct exchange_release release = {.lease = ENGINE, .term = 1, .reason = WORLD_REASON};
	peer_ok(&a, &(struct exchange_request){
			    .incarnation = {"another"},
			    .releases = &release,
			    .release_count = 1,
		    });
	ck_assert(uuid_is_none(&peer_row(&b, ENGINE)->holder));
	tear_down();
}
END_TEST

// ---- the incarnation ----

// Rule 3: what was decided about one server is not done to another.
START_TEST(test_incarnation_guards)
{
	set_up_leader((enum backend)_i);
	struct exchange_row row = *peer_row(&b, ENGINE);
	struct exchange_claim claims[] = {
		{.lease = ENGINE, .holder = a.session, .holder_seq = row.holder_seq, .term = 1},
		{.lease = COUNTER, .missing = true, .holder_seq = -1},
	};
	peer_session(&c, EXCHANGE_SESSION_CREATE);
	struct exchange_stray sweep = {.session = c.session, .seq = 1};
	const struct exchange_reply *reply = peer_ok(&b, &(struct exchange_request){
								 .adopt = true,
								 .incarnation = {"another"},
								 .claims = claims,
								 .claim_count = COUNT_OF(claims),
								 .sweeps = &sweep,
								 .sweep_count = 1,
							 });
	ck_assert_uint_eq(reply->grant_count, 0);
	ck_assert_str_eq(reply->believed.text, world.server.text);
	ck_assert(is_alive(&a));
	ck_assert(is_alive(&c));
	tear_down();
}
END_TEST

// Rule 3: believing is not enough, it has to be the server that answers.
START_TEST(test_claim_on_another_server)
{
	set_up_leader((enum backend)_i);
	peer_release(&a, ENGINE, 1);
	struct exchange_row row = *peer_row(&b, ENGINE);
	struct incarnation server = world.server;
	world_sql(&world, "UPDATE tenure_store SET incarnation = 'old'");
	world.server = (struct incarnation){"old"};
	ck_assert_uint_eq(peer_claim_row(&b, &row), 0);
	world.server = server;
	ck_assert_uint_eq(peer_claim_row(&b, &row), 0);
	world_sql(&world, "UPDATE tenure_store SET incarnation = '%s'", server.text);
	ck_assert_uint_eq(peer_claim_row(&b, &row), 2);
	tear_down();
}
END_TEST

static struct exchange_request adopting(void)
{
	return (struct exchange_request){.adopt = true, .incarnation = world.server, .leap = 1};
}

START_TEST(test_adopt)
{
	set_up_leader((enum backend)_i);
	world_sql(&world, "UPDATE tenure_store SET incarnation = 'old', generation = 5");
	struct exchange_row row = *peer_row(&b, ENGINE);
	ck_assert_str_eq(b.reply.believed.text, "old");
	// The kill goes by the server alone, the claim by what is believed as well.
	ck_assert_uint_eq(peer_claim_row(&b, &row), 0);
	ck_assert(!is_alive(&a));

	struct exchange_request adopt = adopting();
	uint64_t seconds = (uint64_t)clock_wall_ms() / 1000;
	ck_assert_str_eq(peer_ok(&b, &adopt)->believed.text, world.server.text);
	uint64_t generation = strtoull(world_sql(&world, "SELECT generation FROM tenure_store"), NULL, 10);
	ck_assert_uint_ge(generation, seconds * 1000000);
	ck_assert_uint_le(generation, (seconds + 10) * 1000000);
	// It is adopted once.
	peer_ok(&a, &adopt);
	ck_assert_uint_eq(strtoull(world_sql(&world, "SELECT generation FROM tenure_store"), NULL, 10), generation);

	// Rule 5: the first claim of a row in a generation.
	ck_assert_uint_eq(peer_claim(&b, ENGINE), generation);
	peer_release(&b, ENGINE, generation);
	ck_assert_uint_eq(peer_claim(&b, ENGINE), generation + 1);
	ck_assert_uint_eq(peer_claim(&b, COUNTER), generation);
	tear_down();
}
END_TEST

static uint64_t generation_now(void)
{
	return strtoull(world_sql(&world, "SELECT generation FROM tenure_store"), NULL, 10);
}

// Rule 5: where the time is behind, it is passed by what was there and what this daemon has seen.
START_TEST(test_adopt_passes_what_was_seen)
{
	set_up_leader((enum backend)_i);
	world_sql(&world, "UPDATE tenure_store SET incarnation = 'old'");
	struct exchange_request adopt = adopting();
	adopt.highest_term = 9000000000000000;
	adopt.leap = 70000;
	ck_assert_str_eq(peer_ok(&b, &adopt)->believed.text, world.server.text);
	ck_assert_uint_eq(generation_now(), 9000000000070000);
	// Who has seen no more changes nothing; who has, does.
	peer_ok(&b, &adopt);
	ck_assert_uint_eq(generation_now(), 9000000000070000);
	adopt.highest_term = 9000000000070001;
	peer_ok(&b, &adopt);
	ck_assert_uint_eq(generation_now(), 9000000000140001);
	struct exchange_row row = *peer_row(&b, ENGINE);
	ck_assert_uint_eq(peer_claim_row(&b, &row), 9000000000140001);
	tear_down();
}
END_TEST

// Rule 5: and max(term + 1, generation).
START_TEST(test_adopt_never_goes_back)
{
	static const char future[] = "9000000000000000";
	set_up_leader((enum backend)_i);
	world_sql(&world, "UPDATE tenure_store SET incarnation = 'old', generation = %s", future);
	world_sql(&world, "UPDATE tenure_lease SET term = 9000000000000007");
	struct exchange_request adopt = adopting();
	peer_ok(&b, &adopt);
	ck_assert_uint_eq(generation_now(), 9000000000000001);
	ck_assert_uint_eq(peer_claim(&b, ENGINE), 9000000000000008);
	tear_down();
}
END_TEST

// One exchange is enough to adopt and to claim.
START_TEST(test_adopt_and_claim_at_once)
{
	set_up_leader((enum backend)_i);
	world_sql(&world, "UPDATE tenure_store SET incarnation = 'old'");
	struct exchange_claim claim = {.lease = COUNTER, .missing = true, .holder_seq = -1};
	struct exchange_request adopt = adopting();
	adopt.claims = &claim;
	adopt.claim_count = 1;
	ck_assert_uint_eq(peer_ok(&b, &adopt)->grant_count, 1);
	tear_down();
}
END_TEST

// ---- strays ----

START_TEST(test_strays)
{
	set_up_leader((enum backend)_i);
	const struct exchange_reply *reply = peer_ok(&a, &(struct exchange_request){.strays = true});
	ck_assert_uint_eq(reply->stray_count, 1);
	ck_assert(uuid_equal(&reply->strays[0].session, &b.session));
	poll(NULL, 0, 3); // SQLite's times are in milliseconds
	peer_session(&c, EXCHANGE_SESSION_CREATE);
	poll(NULL, 0, 3);
	peer_session(&b, EXCHANGE_SESSION_RENEW);
	reply = peer_ok(&a, &(struct exchange_request){.strays = true});
	ck_assert_uint_eq(reply->stray_count, 2);
	ck_assert(uuid_equal(&reply->strays[0].session, &c.session)); // longest unrenewed first
	ck_assert(uuid_equal(&reply->strays[1].session, &b.session));
	ck_assert_int_eq(reply->strays[1].seq, 2);
	tear_down();
}
END_TEST

START_TEST(test_strays_are_limited)
{
	set_up((enum backend)_i);
	for (int i = 0; i < EXCHANGE_STRAYS + 3; i++) {
		ck_assert_int_eq(uuid_random(&a.session), 0);
		peer_session(&a, EXCHANGE_SESSION_CREATE);
	}
	ck_assert_uint_eq(peer_ok(&a, &(struct exchange_request){.strays = true})->stray_count, EXCHANGE_STRAYS);
	tear_down();
}
END_TEST

static void sweep(struct peer *peer, const struct uuid *session, int64_t seq)
{
	struct exchange_stray stray = {.session = *session, .seq = seq};
	peer_ok(peer, &(struct exchange_request){.incarnation = world.server, .sweeps = &stray, .sweep_count = 1});
}

START_TEST(test_sweep)
{
	set_up_leader((enum backend)_i);
	sweep(&a, &b.session, 2);
	ck_assert(is_alive(&b));
	sweep(&b, &a.session, engine_seq(&b)); // a leader is no stray
	ck_assert(is_alive(&a));
	sweep(&a, &b.session, 2);
	ck_assert(!is_alive(&b));
	tear_down();
}
END_TEST

// ---- ages ----

START_TEST(test_ages)
{
	set_up_leader((enum backend)_i);
	int64_t start = clock_now_ns();
	is_alive(&a);
	poll(NULL, 0, 50);
	const struct exchange_row *row = peer_row(&b, ENGINE);
	int64_t passed_us = (clock_now_ns() - start) / NS_PER_US;
	ck_assert_int_ge(row->holder_age_us, 45000);
	ck_assert_int_le(row->holder_age_us, passed_us + 2000);
	ck_assert_int_ge(row->since_ms, 45);
	ck_assert_int_le(row->since_ms, passed_us / 1000 + 1000);
	tear_down();
}
END_TEST

// ---- hints ----

#define HINT_MS 1000
#define NO_HINT_MS 30

START_TEST(test_hints)
{
	set_up_leader((enum backend)_i);
	peer_report(&c);
	while (peer_hint(&b, NO_HINT_MS) || peer_hint(&c, NO_HINT_MS))
		;
	// A release, a claim, a kill: those that changed something.
	peer_release(&a, ENGINE, 1);
	ck_assert(peer_hint(&b, HINT_MS));
	ck_assert(peer_hint(&c, HINT_MS));
	ck_assert(!peer_hint(&a, NO_HINT_MS)); // not one's own
	ck_assert_uint_eq(peer_claim(&b, ENGINE), 2);
	ck_assert(peer_hint(&a, HINT_MS));
	ck_assert(peer_hint(&c, HINT_MS));
	struct exchange_row row = *peer_row(&a, ENGINE);
	row.term = 9;
	ck_assert_uint_eq(peer_claim_row(&a, &row), 0); // but `b` is dead
	ck_assert(peer_hint(&b, HINT_MS));
	ck_assert(peer_hint(&c, HINT_MS));
	// Neither renewals nor what came to nothing.
	is_alive(&a);
	peer_release(&a, ENGINE, 1);
	peer_claim_row(&a, &row);
	ck_assert(!peer_hint(&c, NO_HINT_MS));
	tear_down();
}
END_TEST

// What is announced while an exchange runs is known after it, by its report or by a hint.
START_TEST(test_hint_after_an_exchange)
{
	set_up_leader((enum backend)_i);
	peer_report(&b);
	while (peer_hint(&b, NO_HINT_MS))
		;
	peer_release(&a, ENGINE, 1);
	const struct exchange_row *row = peer_row(&b, ENGINE);
	ck_assert(uuid_is_none(&row->holder) || peer_hint(&b, HINT_MS));
	tear_down();
}
END_TEST

// ---- all together ----

START_TEST(test_everything_in_one_exchange)
{
	set_up_leader((enum backend)_i);
	peer_session(&c, EXCHANGE_SESSION_CREATE);
	ck_assert_uint_eq(peer_claim(&b, COUNTER), 1);
	struct exchange_row counter = *peer_row(&a, COUNTER);
	struct exchange_release release = {.lease = ENGINE, .term = 1, .reason = WORLD_REASON};
	struct exchange_claim claims[] = {
		{.lease = DISCOVERY, .missing = true, .holder_seq = -1},
		{.lease = COUNTER, .holder = b.session, .holder_seq = counter.holder_seq, .term = 1},
	};
	struct exchange_stray stray = {.session = c.session, .seq = 1};
	const struct exchange_reply *reply = peer_ok(&a, &(struct exchange_request){
								 .session_op = EXCHANGE_SESSION_RENEW,
								 .adopt = true,
								 .report = true,
								 .strays = true,
								 .incarnation = world.server,
								 .releases = &release,
								 .release_count = 1,
								 .claims = claims,
								 .claim_count = COUNT_OF(claims),
								 .sweeps = &stray,
								 .sweep_count = 1,
							 });
	ck_assert(reply->session_alive);
	ck_assert_uint_eq(reply->grant_count, 2);
	ck_assert(uuid_is_none(&reply->rows[ENGINE].holder));
	ck_assert(uuid_equal(&reply->rows[DISCOVERY].holder, &a.session));
	ck_assert(uuid_equal(&reply->rows[COUNTER].holder, &a.session));
	ck_assert_uint_eq(reply->rows[COUNTER].term, 2);
	ck_assert_uint_eq(reply->stray_count, 0);
	tear_down();
}
END_TEST

#define MANY 10000

// A fleet's worth of names in one exchange.
START_TEST(test_many_leases)
{
	static char texts[MANY][32];
	static const char *names[MANY];
	static struct exchange_claim claims[MANY];
	for (uint32_t i = 0; i < MANY; i++) {
		snprintf(texts[i], sizeof texts[i], "component-number-%u", i);
		names[i] = texts[i];
		claims[i] = (struct exchange_claim){.lease = i, .missing = true, .holder_seq = -1};
	}
	world_init_names(&world, (enum backend)_i, &(struct store_names){.name = names, .count = MANY});
	peer_init(&a, &world);
	a.timeout_ns = 30 * NS_PER_S;
	peer_session(&a, EXCHANGE_SESSION_CREATE);
	const struct exchange_reply *reply = peer_ok(&a, &(struct exchange_request){
								 .incarnation = world.server,
								 .claims = claims,
								 .claim_count = MANY,
								 .report = true,
							 });
	ck_assert_uint_eq(reply->grant_count, MANY);
	ck_assert_uint_eq(reply->row_count, MANY);
	for (uint32_t i = 0; i < MANY; i++) {
		ck_assert_uint_eq(reply->rows[i].lease, i);
		ck_assert_uint_eq(reply->rows[i].term, 1);
	}
	int64_t start = clock_now_ns();
	peer_report(&a);
	ck_assert_int_lt(clock_now_ns() - start, 2 * NS_PER_S);
	peer_done(&a);
	world_done(&world);
}
END_TEST

// ---- reports that read what changed ----

static void assert_same_rows(const struct exchange_reply *reply, const struct exchange_reply *expected)
{
	ck_assert_uint_eq(reply->row_count, expected->row_count);
	for (size_t i = 0; i < reply->row_count; i++) {
		const struct exchange_row *row = &reply->rows[i], *same = &expected->rows[i];
		ck_assert_uint_eq(row->lease, same->lease);
		ck_assert_int_eq(row->exists, same->exists);
		ck_assert_int_eq(row->holder_alive, same->holder_alive);
		ck_assert(uuid_equal(&row->holder, &same->holder));
		ck_assert_str_eq(row->node, same->node);
		ck_assert_uint_eq(row->term, same->term);
		ck_assert_int_eq(row->holder_seq, same->holder_seq);
		ck_assert_int_eq(row->holder_lease_ms, same->holder_lease_ms);
		ck_assert_int_eq(row->asked, same->asked);
		ck_assert(uuid_equal(&row->target, &same->target));
		ck_assert_int_eq(row->cooldown_ms, same->cooldown_ms);
		ck_assert_int_le(llabs(row->since_ms - same->since_ms), 5000);
	}
}

static void do_something(struct peer *peer, uint32_t lease)
{
	const struct exchange_row *row = peer_row(peer, lease);
	struct exchange_ask ask = {.lease = lease, .term = row->term, .target = b.session, .cooldown_ms = random() % 9};
	switch (random() % 5) {
	case 0:
		peer_session(peer, EXCHANGE_SESSION_RENEW);
		return;
	case 1:
		peer_ok(peer, &(struct exchange_request){.ask = &ask});
		return;
	case 2:
		if (uuid_equal(&row->holder, &peer->session))
			peer_release(peer, lease, row->term);
		return;
	case 3: // the end of whoever holds it
		peer_claim(peer, lease);
		return;
	default:
		if (uuid_is_none(&row->holder))
			peer_claim(peer, lease);
		return;
	}
}

// Who looks all the time sees the same as who comes and reads everything.
START_TEST(test_reports_follow)
{
	set_up((enum backend)_i);
	srandom(1);
	peer_session(&b, EXCHANGE_SESSION_CREATE);
	peer_session(&c, EXCHANGE_SESSION_CREATE);
	for (int i = 0; i < 150; i++) {
		struct peer *peer = random() % 2 ? &b : &c;
		if (!is_alive(peer)) {
			peer->session.byte[15]++;
			peer_session(peer, EXCHANGE_SESSION_CREATE);
		}
		do_something(peer, (uint32_t)random() % WORLD_LEASES);
		struct peer fresh;
		peer_init(&fresh, &world);
		assert_same_rows(peer_report(&a), peer_report(&fresh));
		peer_done(&fresh);
	}
	tear_down();
}
END_TEST

static bool reads_what_changed(void)
{
	return strcmp(world.driver->name, "postgresql") == 0 || strcmp(world.driver->name, "mysql") == 0;
}

// A change that carries no time, or a time long past, is found when all rows are read again: after a lease.
START_TEST(test_unnoticed_change)
{
	set_up_leader((enum backend)_i);
	const struct exchange_request look = {.report = true, .lease_ms = 200};
	ck_assert(peer_ok(&b, &look)->rows[ENGINE].holder_alive);
	int64_t start = clock_now_ns();
	world_sql(&world, "UPDATE tenure_lease SET session = NULL, changed_at = NULL");
	bool seen = uuid_is_none(&peer_ok(&b, &look)->rows[ENGINE].holder);
	if (clock_now_ns() - start < look.lease_ms * NS_PER_MS / 2)
		ck_assert_int_eq(seen, !reads_what_changed());
	while (!uuid_is_none(&peer_ok(&b, &look)->rows[ENGINE].holder))
		ck_assert_int_lt(clock_now_ns() - start, 10 * NS_PER_S);
	tear_down();
}
END_TEST

// What the sessions say is always read: one that is gone is gone.
START_TEST(test_holder_is_always_read)
{
	set_up_leader((enum backend)_i);
	int64_t seq = peer_row(&b, ENGINE)->holder_seq;
	peer_session(&a, EXCHANGE_SESSION_RENEW);
	ck_assert_int_eq(peer_row(&b, ENGINE)->holder_seq, seq + 1);
	world_sql(&world, "DELETE FROM tenure_session");
	const struct exchange_row *row = peer_row(&b, ENGINE);
	ck_assert(uuid_equal(&row->holder, &a.session));
	ck_assert(!row->holder_alive);
	ck_assert_int_eq(row->holder_seq, -1);
	tear_down();
}
END_TEST

// A server may hold leases of other fleets, and tells of all that changed: none of them is taken for one of ours.
START_TEST(test_rows_of_others)
{
	static const char *const others[] = {"", "a", "engin", "engine2", "zebra"};
	set_up_leader((enum backend)_i);
	peer_report(&b); // from here on it reads what changed, and `c` reads all
	peer_ok(&a, &(struct exchange_request){.ask = &(struct exchange_ask){.lease = ENGINE, .term = 1}});
	for (size_t i = 0; i < COUNT_OF(others); i++) {
		world_sql(&world,
			"INSERT INTO tenure_lease (component, session, node, term, generation, acquired_at, changed_at)"
			" SELECT '%s', session, 'elsewhere', 99, generation, acquired_at, changed_at FROM tenure_lease"
			" WHERE component = 'engine'",
			others[i]);
		world_sql(&world,
			"INSERT INTO tenure_ask (component, term, target, cooldown_ms, asked_at)"
			" SELECT '%s', 99, target, 77, asked_at FROM tenure_ask WHERE component = 'engine'",
			others[i]);
	}
	struct peer *peers[] = {&b, &c};
	for (size_t i = 0; i < COUNT_OF(peers); i++) {
		const struct exchange_reply *reply = peer_report(peers[i]);
		ck_assert_uint_eq(reply->row_count, WORLD_LEASES);
		ck_assert(!reply->rows[DISCOVERY].exists && !reply->rows[COUNTER].exists);
		const struct exchange_row *row = &reply->rows[ENGINE];
		ck_assert_str_eq(row->node, "host-a");
		ck_assert_uint_eq(row->term, 1);
		ck_assert(row->asked && row->cooldown_ms == 0);
	}
	// Nor is one claimed or released.
	ck_assert_uint_eq(peer_claim(&b, COUNTER), 1);
	peer_release(&a, ENGINE, 1);
	ck_assert_str_eq(
		world_sql(&world, "SELECT count(*) FROM tenure_lease WHERE term = 99 AND session IS NOT NULL"), "5");
	tear_down();
}
END_TEST

static Suite *contract_suite(void)
{
	const struct {
		const TTest *test;
		int first_backend; // from here on
	} tests[] = {
		{test_fresh, MEMORY},
		{test_only_what_was_asked, MEMORY},
		{test_session_life, MEMORY},
		{test_session_is_not_resurrected, MEMORY},
		{test_renewal_touches_one_session, MEMORY},
		{test_first_claim, MEMORY},
		{test_claim_needs_a_row, MEMORY},
		{test_claim_needs_a_session, MEMORY},
		{test_claim_missing_twice, MEMORY},
		{test_claim_free_row, MEMORY},
		{test_claim_of_a_living_holder, MEMORY},
		{test_kill_and_claim, MEMORY},
		{test_kill_is_compare_and_swap, MEMORY},
		{test_claim_of_a_dead_holder, MEMORY},
		{test_kill_without_claim, MEMORY},
		{test_kill_frees_every_lease, MEMORY},
		{test_claim_of_my_own_row, MEMORY},
		{test_release_is_exact, MEMORY},
		{test_release_needs_no_incarnation, MEMORY},
		{test_incarnation_guards, MEMORY},
		{test_claim_on_another_server, SHARED},
		{test_adopt, SHARED},
		{test_adopt_passes_what_was_seen, SHARED},
		{test_adopt_never_goes_back, SHARED},
		{test_adopt_and_claim_at_once, SHARED},
		{test_strays, MEMORY},
		{test_strays_are_limited, MEMORY},
		{test_sweep, MEMORY},
		{test_ages, MEMORY},
		{test_hints, SHARED},
		{test_hint_after_an_exchange, SHARED},
		{test_everything_in_one_exchange, MEMORY},
		{test_many_leases, MEMORY},
		{test_reports_follow, MEMORY},
		{test_unnoticed_change, SHARED},
		{test_holder_is_always_read, SHARED},
		{test_rows_of_others, SHARED},
	};
	Suite *suite = suite_create("contract");
	TCase *all = tcase_create("statements");
	tcase_set_timeout(all, 60);
	for (size_t i = 0; i < COUNT_OF(tests); i++)
		tcase_add_loop_test(all, tests[i].test, tests[i].first_backend, BACKENDS);
	suite_add_tcase(suite, all);
	return suite;
}

int main(void)
{
	world_start_servers();
	SRunner *runner = srunner_create(contract_suite());
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	world_stop_servers();
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
