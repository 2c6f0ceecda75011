// SPDX-License-Identifier: Apache-2.0
// What exchange.h says of offers, asks, the pause and the history, against every driver; and the way from schema 1.
#include "three.h"

#include "clock.h"

#include <check.h>
#include <poll.h>
#include <stdlib.h>

#define HINT_MS 1000
#define NO_HINT_MS 30
#define INITS 8
#define LONG_AGO "2001-02-03 04:05:06"

static const char *id_of(const struct peer *peer)
{
	static char text[UUID_TEXT_SIZE];
	uuid_format(&peer->session, text);
	return text;
}

// ---- what sessions offer ----

static const struct exchange_candidate *find_candidate(struct peer *peer, const struct uuid *session, uint32_t lease)
{
	const struct exchange_reply *reply = peer_ok(peer, &(struct exchange_request){.candidates = true});
	const struct exchange_candidate *found = NULL;
	for (size_t i = 0; i < reply->candidate_count; i++) {
		const struct exchange_candidate *candidate = &reply->candidates[i];
		if (!uuid_equal(&exchange_offerer_of(reply, candidate)->session, session) || candidate->lease != lease)
			continue;
		ck_assert_ptr_null(found); // once each
		found = candidate;
	}
	return found;
}

static int priority_of(struct peer *peer, const struct uuid *session, uint32_t lease)
{
	const struct exchange_candidate *candidate = find_candidate(peer, session, lease);
	ck_assert_ptr_nonnull(candidate);
	return candidate->priority;
}

START_TEST(test_offers)
{
	set_up((enum backend)_i);
	static const struct exchange_offer offers[] = {
		{.lease = COUNTER, .priority = -1000000}, {.lease = DISCOVERY, .priority = 1000000}};
	peer_offer(&a, EXCHANGE_SESSION_CREATE, offers, COUNT_OF(offers));
	peer_session(&b, EXCHANGE_SESSION_CREATE);
	is_alive(&a);
	poll(NULL, 0, 50);
	const struct exchange_candidate *candidate = find_candidate(&b, &a.session, COUNTER);
	ck_assert_ptr_nonnull(candidate);
	ck_assert_int_eq(candidate->priority, -1000000);
	const struct exchange_offerer *offerer = exchange_offerer_of(&b.reply, candidate);
	ck_assert_int_eq(offerer->seq, 2);
	ck_assert_int_eq(offerer->lease_ms, WORLD_LEASE_MS);
	ck_assert_str_eq(offerer->node, "host-a");
	ck_assert_int_ge(offerer->age_us, 45000);
	ck_assert_int_le(offerer->age_us, 10000000);
	candidate = find_candidate(&a, &a.session, DISCOVERY); // one's own as well
	ck_assert_ptr_nonnull(candidate);
	ck_assert_int_eq(candidate->priority, 1000000);
	ck_assert_uint_eq(a.reply.candidate_count, 2); // and `b` offers nothing
	tear_down();
}
END_TEST

START_TEST(test_offers_only_where_asked)
{
	set_up((enum backend)_i);
	static const struct exchange_offer offers[] = {{.lease = ENGINE, .priority = 5}};
	peer_offer(&a, EXCHANGE_SESSION_CREATE, offers, COUNT_OF(offers));
	ck_assert_uint_eq(peer_report(&b)->candidate_count, 0);
	ck_assert_uint_eq(peer_ok(&b, &(struct exchange_request){.strays = true})->candidate_count, 0);
	tear_down();
}
END_TEST

// A new session's row has what it offers, published or not; a renewal changes that only where it publishes.
START_TEST(test_publish)
{
	set_up((enum backend)_i);
	static const struct exchange_offer first[] = {{.lease = ENGINE, .priority = 5}};
	static const struct exchange_offer second[] = {{.lease = ENGINE, .priority = 6}, {.lease = COUNTER}};
	peer_ok(&a, &(struct exchange_request){
			    .session_op = EXCHANGE_SESSION_CREATE, .offers = first, .offer_count = COUNT_OF(first)});
	ck_assert_int_eq(priority_of(&b, &a.session, ENGINE), 5);
	peer_ok(&a, &(struct exchange_request){
			    .session_op = EXCHANGE_SESSION_RENEW, .offers = second, .offer_count = COUNT_OF(second)});
	ck_assert_int_eq(priority_of(&b, &a.session, ENGINE), 5);
	ck_assert_ptr_null(find_candidate(&b, &a.session, COUNTER));
	peer_offer(&a, EXCHANGE_SESSION_RENEW, second, COUNT_OF(second));
	ck_assert_int_eq(priority_of(&b, &a.session, ENGINE), 6);
	ck_assert_int_eq(b.reply.offerers[0].seq, 3);
	ck_assert_ptr_nonnull(find_candidate(&b, &a.session, COUNTER));
	peer_offer(&a, EXCHANGE_SESSION_RENEW, NULL, 0);
	ck_assert_ptr_null(find_candidate(&b, &a.session, ENGINE));
	tear_down();
}
END_TEST

START_TEST(test_offers_end_with_the_session)
{
	set_up((enum backend)_i);
	static const struct exchange_offer offers[] = {{.lease = ENGINE, .priority = 5}};
	peer_offer(&a, EXCHANGE_SESSION_CREATE, offers, COUNT_OF(offers));
	peer_offer(&b, EXCHANGE_SESSION_CREATE, offers, COUNT_OF(offers));
	ck_assert_uint_eq(peer_ok(&c, &(struct exchange_request){.candidates = true})->candidate_count, 2);
	// Who leads offers it still.
	ck_assert_uint_eq(peer_claim(&a, ENGINE), 1);
	ck_assert_ptr_nonnull(find_candidate(&c, &a.session, ENGINE));
	peer_session(&a, EXCHANGE_SESSION_DELETE);
	ck_assert_ptr_null(find_candidate(&c, &a.session, ENGINE));
	ck_assert_ptr_nonnull(find_candidate(&c, &b.session, ENGINE));
	// The next one leaves nothing of it behind.
	a.session.byte[0] ^= 1;
	peer_offer(&a, EXCHANGE_SESSION_CREATE, offers, COUNT_OF(offers));
	ck_assert_str_eq(world_sql(&world, "SELECT count(*) FROM tenure_offer"), "2");
	tear_down();
}
END_TEST

// Of another daemon, with another configuration or of another version.
START_TEST(test_offers_of_unknown_components)
{
	set_up((enum backend)_i);
	static const struct exchange_offer offers[] = {{.lease = ENGINE, .priority = 5}};
	peer_offer(&a, EXCHANGE_SESSION_CREATE, offers, COUNT_OF(offers));
	world_sql(&world, "UPDATE tenure_offer SET offers = 'billing=7 engine=9 enginex=1 engin=1 nonsense counter=x'");
	ck_assert_int_eq(priority_of(&b, &a.session, ENGINE), 9);
	ck_assert_uint_eq(b.reply.candidate_count, 1);
	tear_down();
}
END_TEST

START_TEST(test_many_candidates)
{
	enum { SESSIONS = 50 };
	static const struct exchange_offer offers[] = {{.lease = DISCOVERY, .priority = 1},
		{.lease = ENGINE, .priority = 2}, {.lease = COUNTER, .priority = 3}};
	set_up((enum backend)_i);
	for (int i = 0; i < SESSIONS; i++) {
		ck_assert_int_eq(uuid_random(&a.session), 0);
		peer_offer(&a, EXCHANGE_SESSION_CREATE, offers, COUNT_OF(offers));
	}
	const struct exchange_reply *reply = peer_ok(&b, &(struct exchange_request){.candidates = true});
	ck_assert_uint_eq(reply->candidate_count, SESSIONS * COUNT_OF(offers));
	for (size_t i = 0; i < reply->candidate_count; i++)
		ck_assert_int_eq(reply->candidates[i].priority, (int)reply->candidates[i].lease + 1);
	tear_down();
}
END_TEST

// ---- asks ----

static bool ask(struct peer *peer, uint32_t lease, uint64_t term, const struct uuid *target, int64_t cooldown_ms)
{
	struct exchange_ask ask = {.lease = lease, .term = term, .cooldown_ms = cooldown_ms};
	if (target)
		ask.target = *target;
	return peer_ok(peer, &(struct exchange_request){.ask = &ask})->asked;
}

// S2: whoever asks, the leader finds it in its row.
START_TEST(test_ask)
{
	set_up_leader((enum backend)_i);
	ck_assert(!peer_row(&a, ENGINE)->asked);
	ck_assert(!a.reply.asked);
	ck_assert(ask(&c, ENGINE, 1, &b.session, 0));
	const struct exchange_row *row = peer_row(&a, ENGINE);
	ck_assert(row->asked && uuid_equal(&row->target, &b.session));
	ck_assert_int_eq(row->cooldown_ms, 0);
	ck_assert(!a.reply.asked); // that is about what was written
	// Whoever reads it reads the same.
	ck_assert(peer_row(&b, ENGINE)->asked);
	ck_assert_uint_eq(row->term, 1);
	ck_assert(uuid_equal(&row->holder, &a.session) && row->holder_alive);
	tear_down();
}
END_TEST

START_TEST(test_ask_is_replaced)
{
	set_up_leader((enum backend)_i);
	ck_assert(ask(&c, ENGINE, 1, &b.session, 0));
	ck_assert(ask(&b, ENGINE, 1, NULL, 86400000));
	const struct exchange_row *row = peer_row(&a, ENGINE);
	ck_assert(row->asked && uuid_is_none(&row->target));
	ck_assert_int_eq(row->cooldown_ms, 86400000);
	ck_assert(ask(&b, ENGINE, 1, NULL, -1));
	ck_assert_int_eq(peer_row(&a, ENGINE)->cooldown_ms, -1);
	ck_assert(ask(&b, ENGINE, 1, &c.session, 7));
	row = peer_row(&a, ENGINE);
	ck_assert(row->asked && uuid_equal(&row->target, &c.session));
	ck_assert_int_eq(row->cooldown_ms, 7);
	tear_down();
}
END_TEST

// It is about one term, which somebody holds.
START_TEST(test_ask_of_another_term)
{
	set_up_leader((enum backend)_i);
	ck_assert(!ask(&b, ENGINE, 2, NULL, -1));
	ck_assert(!ask(&b, ENGINE, 0, NULL, -1));
	ck_assert(!ask(&b, DISCOVERY, 0, NULL, -1)); // there is no row
	ck_assert(!peer_row(&a, ENGINE)->asked);
	ck_assert(!peer_row(&a, DISCOVERY)->exists);
	ck_assert(ask(&b, ENGINE, 1, &b.session, 3));
	ck_assert(!ask(&b, ENGINE, 2, NULL, -1)); // and the one before stays
	const struct exchange_row *row = peer_row(&a, ENGINE);
	ck_assert(row->asked && uuid_equal(&row->target, &b.session));
	ck_assert_int_eq(row->cooldown_ms, 3);
	tear_down();
}
END_TEST

START_TEST(test_ask_of_a_free_lease)
{
	set_up_leader((enum backend)_i);
	peer_release(&a, ENGINE, 1);
	ck_assert(!ask(&b, ENGINE, 1, NULL, -1));
	ck_assert(!peer_row(&a, ENGINE)->asked);
	tear_down();
}
END_TEST

// Where somebody is named it has to be known until the lease is taken; then it is over.
START_TEST(test_ask_ends_with_the_next_term)
{
	set_up_leader((enum backend)_i);
	ck_assert(ask(&c, ENGINE, 1, &b.session, 9));
	peer_release(&a, ENGINE, 1);
	const struct exchange_row *row = peer_row(&b, ENGINE);
	ck_assert(row->asked && uuid_equal(&row->target, &b.session));
	ck_assert_int_eq(row->cooldown_ms, 9);
	ck_assert_uint_eq(peer_claim(&b, ENGINE), 2);
	row = peer_row(&a, ENGINE);
	ck_assert(!row->asked && uuid_is_none(&row->target));
	ck_assert_int_eq(row->cooldown_ms, 0);
	// The next is about the next.
	ck_assert(ask(&c, ENGINE, 2, NULL, -1));
	ck_assert(peer_row(&a, ENGINE)->asked);
	tear_down();
}
END_TEST

START_TEST(test_ask_of_each_lease)
{
	set_up_leader((enum backend)_i);
	ck_assert_uint_eq(peer_claim(&b, COUNTER), 1);
	ck_assert(ask(&c, COUNTER, 1, NULL, 4));
	ck_assert(!peer_row(&a, ENGINE)->asked);
	ck_assert(ask(&c, ENGINE, 1, &b.session, 5));
	const struct exchange_reply *reply = peer_report(&a);
	ck_assert(reply->rows[COUNTER].asked && uuid_is_none(&reply->rows[COUNTER].target));
	ck_assert_int_eq(reply->rows[COUNTER].cooldown_ms, 4);
	ck_assert(reply->rows[ENGINE].asked && uuid_equal(&reply->rows[ENGINE].target, &b.session));
	ck_assert_int_eq(reply->rows[ENGINE].cooldown_ms, 5);
	ck_assert(!reply->rows[DISCOVERY].asked);
	tear_down();
}
END_TEST

// It comes after what the same exchange changes, and before what it reports.
START_TEST(test_ask_in_its_place)
{
	set_up_leader((enum backend)_i);
	struct exchange_ask ask = {.lease = ENGINE, .term = 1, .cooldown_ms = 2};
	const struct exchange_reply *reply = peer_ok(&b, &(struct exchange_request){.ask = &ask, .report = true});
	ck_assert(reply->asked && reply->rows[ENGINE].asked);
	struct exchange_claim claim = {.lease = COUNTER, .missing = true, .holder_seq = -1};
	ask.lease = COUNTER;
	reply = peer_ok(&b, &(struct exchange_request){
				    .incarnation = world.server,
				    .claims = &claim,
				    .claim_count = 1,
				    .ask = &ask,
				    .report = true,
			    });
	ck_assert_uint_eq(reply->grant_count, 1);
	ck_assert(reply->asked && reply->rows[COUNTER].asked);
	struct exchange_release release = {.lease = COUNTER, .term = 1, .reason = WORLD_REASON};
	reply = peer_ok(&b, &(struct exchange_request){
				    .releases = &release,
				    .release_count = 1,
				    .ask = &ask,
				    .report = true,
			    });
	ck_assert(!reply->asked && uuid_is_none(&reply->rows[COUNTER].holder));
	tear_down();
}
END_TEST

// ---- the pause ----

static void set_pause(struct peer *peer, enum exchange_pause pause)
{
	peer_ok(peer, &(struct exchange_request){.pause = pause});
}

static const char *paused_by(struct peer *peer)
{
	return peer_report(peer)->paused;
}

START_TEST(test_pause)
{
	set_up_leader((enum backend)_i);
	ck_assert_str_eq(paused_by(&b), "");
	set_pause(&a, EXCHANGE_PAUSE_SET);
	ck_assert_str_eq(paused_by(&b), "host-a");
	ck_assert_str_eq(paused_by(&a), "host-a");
	is_alive(&a);
	ck_assert_str_eq(paused_by(&b), "host-a");
	set_pause(&b, EXCHANGE_PAUSE_CLEAR);
	ck_assert_str_eq(paused_by(&a), "");
	set_pause(&b, EXCHANGE_PAUSE_CLEAR);
	ck_assert_str_eq(paused_by(&a), "");
	tear_down();
}
END_TEST

START_TEST(test_pause_by_a_long_name)
{
	char node[NAME_BYTES + 1];
	memset(node, 'n', NAME_BYTES);
	node[NAME_BYTES] = '\0';
	world_init(&world, (enum backend)_i);
	world.config.node = node;
	peer_init(&a, &world);
	set_pause(&a, EXCHANGE_PAUSE_SET);
	ck_assert_str_eq(paused_by(&a), node);
	peer_done(&a);
	world_done(&world);
}
END_TEST

// S2: nobody new is elected.
START_TEST(test_nobody_claims_in_a_pause)
{
	set_up_leader((enum backend)_i);
	peer_release(&a, ENGINE, 1);
	set_pause(&a, EXCHANGE_PAUSE_SET);
	ck_assert_uint_eq(peer_claim(&b, ENGINE), 0);
	ck_assert_uint_eq(peer_claim(&a, ENGINE), 0);
	ck_assert_uint_eq(peer_claim(&b, COUNTER), 0); // a new row
	ck_assert(uuid_is_none(&peer_row(&b, ENGINE)->holder));
	ck_assert_uint_eq(peer_row(&b, ENGINE)->term, 1);
	set_pause(&b, EXCHANGE_PAUSE_CLEAR);
	ck_assert_uint_eq(peer_claim(&b, ENGINE), 2);
	ck_assert_uint_eq(peer_claim(&b, COUNTER), 1);
	tear_down();
}
END_TEST

// A session that was not renewed is dead all the same; its lease waits for the end of the pause.
START_TEST(test_kill_in_a_pause)
{
	set_up_leader((enum backend)_i);
	set_pause(&b, EXCHANGE_PAUSE_SET);
	ck_assert_uint_eq(peer_claim(&b, ENGINE), 0);
	ck_assert(!is_alive(&a));
	struct exchange_row row = *peer_row(&b, ENGINE);
	ck_assert(!row.holder_alive && uuid_equal(&row.holder, &a.session));
	ck_assert_uint_eq(row.term, 1);
	ck_assert_uint_eq(peer_claim_row(&b, &row), 0);
	set_pause(&b, EXCHANGE_PAUSE_CLEAR);
	ck_assert_uint_eq(peer_claim_row(&b, &row), 2);
	tear_down();
}
END_TEST

// Rule 7's claim is one as well.
START_TEST(test_claim_of_my_own_row_in_a_pause)
{
	set_up_leader((enum backend)_i);
	set_pause(&b, EXCHANGE_PAUSE_SET);
	ck_assert_uint_eq(peer_claim(&a, ENGINE), 0);
	ck_assert_uint_eq(peer_row(&a, ENGINE)->term, 1);
	ck_assert(is_alive(&a));
	tear_down();
}
END_TEST

// S2: sitting leaders stay, and may go.
START_TEST(test_leader_in_a_pause)
{
	set_up_leader((enum backend)_i);
	int64_t seq = peer_row(&b, ENGINE)->holder_seq;
	set_pause(&b, EXCHANGE_PAUSE_SET);
	ck_assert(is_alive(&a));
	const struct exchange_row *row = peer_row(&b, ENGINE);
	ck_assert(row->holder_alive && uuid_equal(&row->holder, &a.session));
	ck_assert_int_eq(row->holder_seq, seq + 1);
	ck_assert(ask(&b, ENGINE, 1, NULL, -1));
	peer_release(&a, ENGINE, 1);
	ck_assert(uuid_is_none(&peer_row(&b, ENGINE)->holder));
	// Daemons come and go.
	ck_assert(peer_session(&c, EXCHANGE_SESSION_CREATE)->session_alive);
	ck_assert(peer_session(&c, EXCHANGE_SESSION_DELETE)->session_alive);
	tear_down();
}
END_TEST

// It comes after the claims of the same exchange, and before the report.
START_TEST(test_pause_in_its_place)
{
	set_up_leader((enum backend)_i);
	struct exchange_claim claim = {.lease = COUNTER, .missing = true, .holder_seq = -1};
	struct exchange_request request = {
		.incarnation = world.server,
		.claims = &claim,
		.claim_count = 1,
		.pause = EXCHANGE_PAUSE_SET,
		.report = true,
	};
	const struct exchange_reply *reply = peer_ok(&b, &request);
	ck_assert_uint_eq(reply->grant_count, 1);
	ck_assert_str_eq(reply->paused, "host-a");
	claim.lease = DISCOVERY;
	request.pause = EXCHANGE_PAUSE_CLEAR;
	reply = peer_ok(&b, &request);
	ck_assert_uint_eq(reply->grant_count, 0);
	ck_assert_str_eq(reply->paused, "");
	tear_down();
}
END_TEST

// ---- announcements ----

static void be_quiet(void)
{
	struct peer *const peers[] = {&a, &b, &c};
	for (size_t i = 0; i < COUNT_OF(peers); i++) {
		peer_report(peers[i]);
		while (peer_hint(peers[i], NO_HINT_MS))
			;
	}
}

START_TEST(test_asks_are_announced)
{
	set_up_leader((enum backend)_i);
	be_quiet();
	ck_assert(ask(&b, ENGINE, 1, NULL, -1));
	ck_assert(peer_hint(&a, HINT_MS));
	ck_assert(peer_hint(&c, HINT_MS));
	ck_assert(!peer_hint(&b, NO_HINT_MS)); // not one's own
	be_quiet();
	ck_assert(!ask(&b, ENGINE, 2, NULL, -1));
	ck_assert(!peer_hint(&a, NO_HINT_MS));
	tear_down();
}
END_TEST

START_TEST(test_pauses_are_announced)
{
	set_up_leader((enum backend)_i);
	for (enum exchange_pause pause = EXCHANGE_PAUSE_SET; pause <= EXCHANGE_PAUSE_CLEAR; pause++) {
		be_quiet();
		set_pause(&b, pause);
		ck_assert(peer_hint(&a, HINT_MS));
		ck_assert(peer_hint(&c, HINT_MS));
		ck_assert(!peer_hint(&b, NO_HINT_MS));
	}
	tear_down();
}
END_TEST

// ---- history ----

static const struct exchange_reply *history(struct peer *peer, uint32_t lease, uint32_t count)
{
	return peer_ok(peer, &(struct exchange_request){.history_lease = lease, .history_count = count});
}

// One term of `peer`, begun and ended.
static void serve(struct peer *peer, uint32_t lease)
{
	uint64_t term = peer_claim(peer, lease);
	ck_assert_uint_gt(term, 0);
	poll(NULL, 0, 3); // SQLite's times are in milliseconds
	peer_release(peer, lease, term);
}

static void assert_past(const struct exchange_past *past, uint32_t lease, uint64_t term, const char *reason)
{
	ck_assert_uint_eq(past->lease, lease);
	ck_assert_uint_eq(past->term, term);
	ck_assert_str_eq(past->reason, reason);
	ck_assert_int_gt(past->from_ms, clock_wall_ms() - 60000);
	ck_assert_int_le(past->from_ms, clock_wall_ms() + 1000);
	if (past->to_ms == 0)
		return;
	ck_assert_int_ge(past->to_ms, past->from_ms);
	ck_assert_int_le(past->to_ms, clock_wall_ms() + 1000);
}

// S8
START_TEST(test_history)
{
	set_up_leader((enum backend)_i);
	const struct exchange_reply *reply = history(&b, ENGINE, 10);
	ck_assert_uint_eq(reply->past_count, 1);
	assert_past(&reply->past[0], ENGINE, 1, "");
	ck_assert_int_eq(reply->past[0].to_ms, 0);
	ck_assert_str_eq(reply->past[0].node, "host-a");

	// The node is the session's.
	world_sql(&world, "UPDATE tenure_session SET node = 'host-b' WHERE id = '%s'", id_of(&b));
	poll(NULL, 0, 3);
	struct exchange_release release = {.lease = ENGINE, .term = 1, .reason = "worker-gone"};
	peer_ok(&a, &(struct exchange_request){.releases = &release, .release_count = 1});
	reply = history(&b, ENGINE, 10);
	ck_assert_uint_eq(reply->past_count, 1);
	assert_past(&reply->past[0], ENGINE, 1, "worker-gone");
	ck_assert_int_gt(reply->past[0].to_ms, reply->past[0].from_ms);

	ck_assert_uint_eq(peer_claim(&b, ENGINE), 2);
	reply = history(&a, ENGINE, 10);
	ck_assert_uint_eq(reply->past_count, 2);
	assert_past(&reply->past[0], ENGINE, 2, "");
	ck_assert_int_eq(reply->past[0].to_ms, 0);
	ck_assert_str_eq(reply->past[0].node, "host-b");
	assert_past(&reply->past[1], ENGINE, 1, "worker-gone"); // how it ended stays
	ck_assert_int_gt(reply->past[1].to_ms, 0);
	ck_assert_str_eq(reply->past[1].node, "host-a");
	tear_down();
}
END_TEST

START_TEST(test_history_only_where_asked)
{
	set_up_leader((enum backend)_i);
	ck_assert_uint_eq(peer_report(&b)->past_count, 0);
	ck_assert_uint_eq(history(&b, ENGINE, 0)->past_count, 0);
	ck_assert_uint_eq(history(&b, COUNTER, 10)->past_count, 0);
	tear_down();
}
END_TEST

// A release that frees nothing ends nothing.
START_TEST(test_history_of_no_release)
{
	set_up_leader((enum backend)_i);
	peer_release(&b, ENGINE, 1);
	peer_release(&a, ENGINE, 2);
	ck_assert_int_eq(history(&b, ENGINE, 1)->past[0].to_ms, 0);
	ck_assert_str_eq(b.reply.past[0].reason, "");
	struct exchange_release late = {.lease = ENGINE, .term = 1, .reason = "shutdown"};
	peer_release(&a, ENGINE, 1);
	int64_t to_ms = history(&b, ENGINE, 1)->past[0].to_ms;
	peer_ok(&a, &(struct exchange_request){.releases = &late, .release_count = 1});
	ck_assert_int_eq(history(&b, ENGINE, 1)->past[0].to_ms, to_ms);
	ck_assert_str_eq(b.reply.past[0].reason, WORLD_REASON);
	tear_down();
}
END_TEST

static void assert_lost(struct peer *peer)
{
	const struct exchange_reply *reply = history(peer, ENGINE, 10);
	ck_assert_uint_eq(reply->past_count, 2);
	assert_past(&reply->past[0], ENGINE, 2, "");
	ck_assert_int_eq(reply->past[0].to_ms, 0);
	assert_past(&reply->past[1], ENGINE, 1, "lost");
	ck_assert_int_gt(reply->past[1].to_ms, 0);
}

START_TEST(test_history_of_a_killed_holder)
{
	set_up_leader((enum backend)_i);
	ck_assert_uint_eq(peer_claim(&a, COUNTER), 1);
	ck_assert_uint_eq(peer_claim(&b, ENGINE), 2);
	assert_lost(&b);
	// Its other lease is nobody's yet.
	ck_assert_int_eq(history(&b, COUNTER, 1)->past[0].to_ms, 0);
	tear_down();
}
END_TEST

START_TEST(test_history_of_a_dead_holder)
{
	set_up_leader((enum backend)_i);
	peer_session(&a, EXCHANGE_SESSION_DELETE);
	ck_assert_uint_eq(peer_claim(&b, ENGINE), 2);
	assert_lost(&b);
	tear_down();
}
END_TEST

START_TEST(test_history_of_my_own_row)
{
	set_up_leader((enum backend)_i);
	ck_assert_uint_eq(peer_claim(&a, ENGINE), 2);
	assert_lost(&b);
	tear_down();
}
END_TEST

// A claim that came to nothing is no history.
START_TEST(test_history_of_no_claim)
{
	set_up_leader((enum backend)_i);
	struct exchange_row row = *peer_row(&b, ENGINE);
	is_alive(&a);
	ck_assert_uint_eq(peer_claim_row(&b, &row), 0);
	ck_assert_uint_eq(history(&b, ENGINE, 10)->past_count, 1);
	ck_assert_int_eq(b.reply.past[0].to_ms, 0);
	set_pause(&b, EXCHANGE_PAUSE_SET);
	ck_assert_uint_eq(peer_claim(&b, ENGINE), 0);
	ck_assert_uint_eq(history(&b, ENGINE, 10)->past_count, 1);
	ck_assert_int_eq(b.reply.past[0].to_ms, 0);
	tear_down();
}
END_TEST

START_TEST(test_history_of_every_lease)
{
	set_up_leader((enum backend)_i);
	poll(NULL, 0, 3);
	serve(&b, COUNTER);
	poll(NULL, 0, 3);
	serve(&b, DISCOVERY);
	poll(NULL, 0, 3);
	serve(&b, COUNTER);
	const struct exchange_reply *reply = history(&a, EXCHANGE_EVERY_LEASE, 10);
	ck_assert_uint_eq(reply->past_count, 4);
	assert_past(&reply->past[0], COUNTER, 2, WORLD_REASON); // the newest first
	assert_past(&reply->past[1], DISCOVERY, 1, WORLD_REASON);
	assert_past(&reply->past[2], COUNTER, 1, WORLD_REASON);
	assert_past(&reply->past[3], ENGINE, 1, "");
	reply = history(&a, EXCHANGE_EVERY_LEASE, 3);
	ck_assert_uint_eq(reply->past_count, 3);
	assert_past(&reply->past[2], COUNTER, 1, WORLD_REASON);
	reply = history(&a, COUNTER, 1);
	ck_assert_uint_eq(reply->past_count, 1);
	assert_past(&reply->past[0], COUNTER, 2, WORLD_REASON);
	tear_down();
}
END_TEST

// Other daemons may lead what this one was not told of; that takes no place from what it knows.
START_TEST(test_history_of_unknown_components)
{
	set_up_leader((enum backend)_i);
	poll(NULL, 0, 3);
	serve(&b, DISCOVERY);
	serve(&b, COUNTER);
	world_sql(&world, "UPDATE tenure_history SET component = 'billing' WHERE component = 'counter'");
	const struct exchange_reply *reply = history(&a, EXCHANGE_EVERY_LEASE, 2);
	ck_assert_uint_eq(reply->past_count, 2);
	assert_past(&reply->past[0], DISCOVERY, 1, WORLD_REASON);
	assert_past(&reply->past[1], ENGINE, 1, "");
	tear_down();
}
END_TEST

// In one exchange: what is changed is in what is told of it.
START_TEST(test_history_in_its_place)
{
	set_up_leader((enum backend)_i);
	struct exchange_release release = {.lease = ENGINE, .term = 1, .reason = "yielded"};
	struct exchange_claim claim = {.lease = COUNTER, .missing = true, .holder_seq = -1};
	const struct exchange_reply *reply = peer_ok(&a, &(struct exchange_request){
								 .incarnation = world.server,
								 .releases = &release,
								 .release_count = 1,
								 .claims = &claim,
								 .claim_count = 1,
								 .history_lease = EXCHANGE_EVERY_LEASE,
								 .history_count = 5,
								 .report = true,
								 .candidates = true,
							 });
	ck_assert_uint_eq(reply->past_count, 2);
	ck_assert_uint_eq(reply->row_count, WORLD_LEASES);
	for (size_t i = 0; i < reply->past_count; i++)
		assert_past(&reply->past[i], reply->past[i].lease, 1, reply->past[i].lease == ENGINE ? "yielded" : "");
	tear_down();
}
END_TEST

static int history_rows(const char *condition)
{
	return atoi(world_sql(&world, "SELECT count(*) FROM tenure_history WHERE %s", condition));
}

START_TEST(test_history_is_trimmed_by_count)
{
	set_up((enum backend)_i);
	world.config.history_count = 3;
	peer_done(&a);
	peer_init(&a, &world);
	peer_session(&a, EXCHANGE_SESSION_CREATE);
	serve(&a, COUNTER);
	for (int i = 0; i < 5; i++)
		serve(&a, ENGINE);
	ck_assert_int_eq(history_rows("component = 'engine'"), 3);
	ck_assert_uint_eq(peer_claim(&a, ENGINE), 6);
	const struct exchange_reply *reply = history(&a, ENGINE, 10);
	ck_assert_uint_eq(reply->past_count, 3);
	for (uint64_t i = 0; i < 3; i++)
		assert_past(&reply->past[i], ENGINE, 6 - i, i == 0 ? "" : WORLD_REASON);
	ck_assert_int_eq(history_rows("component = 'counter'"), 1); // of each component
	tear_down();
}
END_TEST

// What ended long ago is forgotten, and what began long ago and ended just now is not.
START_TEST(test_history_is_trimmed_by_age)
{
	set_up((enum backend)_i);
	peer_session(&a, EXCHANGE_SESSION_CREATE);
	serve(&a, ENGINE);
	serve(&a, ENGINE);
	serve(&a, COUNTER);
	world_sql(&world, "UPDATE tenure_history SET began_at = '" LONG_AGO "'");
	world_sql(&world, "UPDATE tenure_history SET ended_at = '" LONG_AGO "' WHERE term = 1");
	ck_assert_uint_eq(history(&a, ENGINE, 10)->past_count, 2);
	ck_assert_int_gt(a.reply.past[1].from_ms, 981000000000);
	ck_assert_int_lt(a.reply.past[1].from_ms, 981400000000);
	ck_assert_uint_eq(peer_claim(&a, ENGINE), 3);
	const struct exchange_reply *reply = history(&a, ENGINE, 10);
	ck_assert_uint_eq(reply->past_count, 2);
	ck_assert_uint_eq(reply->past[0].term, 3);
	ck_assert_uint_eq(reply->past[1].term, 2);
	ck_assert_int_eq(history_rows("component = 'counter'"), 1); // with its next claim
	tear_down();
}
END_TEST

START_TEST(test_history_of_nothing)
{
	set_up_leader((enum backend)_i);
	peer_release(&a, ENGINE, 1);
	ck_assert_int_eq(history_rows("component = 'engine'"), 1);
	world.config.history_count = 0;
	peer_done(&b);
	peer_init(&b, &world);
	peer_session(&b, EXCHANGE_SESSION_CREATE);
	serve(&b, ENGINE);
	ck_assert_uint_eq(peer_claim(&b, ENGINE), 3);
	ck_assert_int_eq(history_rows("component = 'engine'"), 0);
	ck_assert_uint_eq(history(&b, ENGINE, 10)->past_count, 0);
	tear_down();
}
END_TEST

// It is for people: nothing in it keeps anybody from leading.
START_TEST(test_history_stops_no_claim)
{
	set_up_leader((enum backend)_i);
	peer_release(&a, ENGINE, 1);
	world_sql(&world, "UPDATE tenure_history SET term = 2");
	ck_assert_uint_eq(peer_claim(&b, ENGINE), 2);
	const struct exchange_reply *reply = history(&b, ENGINE, 10);
	ck_assert_uint_eq(reply->past_count, 1);
	assert_past(&reply->past[0], ENGINE, 2, "");
	ck_assert_int_eq(reply->past[0].to_ms, 0);
	world_sql(&world, "DELETE FROM tenure_history");
	peer_release(&b, ENGINE, 2);
	ck_assert(uuid_is_none(&peer_row(&b, ENGINE)->holder));
	tear_down();
}
END_TEST

// W22: with one daemon there is nobody to tell.
START_TEST(test_memory_keeps_none)
{
	set_up(MEMORY);
	static const struct exchange_offer offers[] = {{.lease = ENGINE, .priority = 5}};
	peer_offer(&a, EXCHANGE_SESSION_CREATE, offers, COUNT_OF(offers));
	serve(&a, ENGINE);
	ck_assert_uint_eq(history(&a, EXCHANGE_EVERY_LEASE, 10)->past_count, 0);
	ck_assert_uint_eq(peer_ok(&a, &(struct exchange_request){.candidates = true})->candidate_count, 0);
	tear_down();
}
END_TEST

// ---- from schema version 1 ----

// Takes away what later versions have: what is left is version 1's.
static void downgrade(void)
{
	world_sql(&world, "DROP TABLE tenure_ask");
	world_sql(&world, "DROP TABLE tenure_history");
	world_sql(&world, "DROP TABLE tenure_offer");
	world_sql(&world, "ALTER TABLE tenure_store DROP COLUMN paused");
	world_sql(&world, "UPDATE tenure_store SET schema_version = 1");
}

static void expect_denied(struct peer *peer, const char *text)
{
	enum exchange_outcome outcome = peer_exchange(peer, &(struct exchange_request){.report = true});
	ck_assert_msg(outcome == EXCHANGE_DENIED && strstr(peer->reply.text, text), "outcome %d: %s", outcome,
		peer->reply.text);
	ck_assert_uint_eq(peer->reply.row_count, 0);
}

static void *run_init(void *argument)
{
	char *text = argument;
	int error = store_init_schema(world.driver, &world.config, text);
	if (error == 0)
		text[0] = '\0';
	else if (text[0] == '\0')
		store_text(text, "error %d", error);
	return NULL;
}

static void init_by_many(void)
{
	pthread_t threads[INITS];
	char texts[INITS][EXCHANGE_TEXT_SIZE] = {""};
	for (int i = 0; i < INITS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, run_init, texts[i]), 0);
	for (int i = 0; i < INITS; i++) {
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
		ck_assert_str_eq(texts[i], "");
	}
}

// W23: under sitting leaders, by all daemons' hosts at once; nothing is lost.
START_TEST(test_upgrade)
{
	set_up_leader((enum backend)_i);
	ck_assert_uint_eq(peer_claim(&b, COUNTER), 1);
	int64_t seq = peer_row(&c, ENGINE)->holder_seq;
	downgrade();
	expect_denied(&a, "run tenurectl init");
	expect_denied(&c, "run tenurectl init");
	init_by_many();
	ck_assert_str_eq(world_sql(&world, "SELECT schema_version FROM tenure_store"), "3");

	ck_assert(is_alive(&a));
	const struct exchange_reply *reply = peer_report(&c);
	ck_assert_str_eq(reply->server.text, world.server.text);
	ck_assert_str_eq(reply->believed.text, world.server.text);
	ck_assert_str_eq(reply->paused, "");
	ck_assert(uuid_equal(&reply->rows[ENGINE].holder, &a.session) && reply->rows[ENGINE].holder_alive);
	ck_assert_int_eq(reply->rows[ENGINE].holder_seq, seq + 1);
	ck_assert_uint_eq(reply->rows[ENGINE].term, 1);
	ck_assert(!reply->rows[ENGINE].asked);
	ck_assert(uuid_equal(&reply->rows[COUNTER].holder, &b.session));
	ck_assert(!reply->rows[DISCOVERY].exists);
	ck_assert_uint_eq(peer_ok(&c, &(struct exchange_request){.candidates = true})->candidate_count, 0);
	ck_assert_uint_eq(history(&c, EXCHANGE_EVERY_LEASE, 10)->past_count, 0);
	// What began before it is no history, and the next term is.
	peer_release(&a, ENGINE, 1);
	ck_assert_uint_eq(peer_claim(&b, ENGINE), 2);
	ck_assert_uint_eq(history(&c, EXCHANGE_EVERY_LEASE, 10)->past_count, 1);
	tear_down();
}
END_TEST

// All of the newest version is there after it.
START_TEST(test_upgraded_schema)
{
	static const struct exchange_offer offers[] = {{.lease = ENGINE, .priority = 5}};
	set_up_leader((enum backend)_i);
	downgrade();
	init_by_many();
	peer_offer(&a, EXCHANGE_SESSION_RENEW, offers, COUNT_OF(offers));
	ck_assert_ptr_nonnull(find_candidate(&c, &a.session, ENGINE));
	ck_assert(ask(&c, ENGINE, 1, &b.session, 1));
	ck_assert(peer_row(&a, ENGINE)->asked);
	set_pause(&c, EXCHANGE_PAUSE_SET);
	ck_assert_str_eq(paused_by(&a), "host-a");
	init_by_many(); // again: it changes nothing
	ck_assert_str_eq(paused_by(&a), "host-a");
	ck_assert(peer_row(&a, ENGINE)->asked);
	tear_down();
}
END_TEST

// Where what a session offers was in its own row.
START_TEST(test_upgrade_from_2)
{
	static const struct exchange_offer offers[] = {{.lease = ENGINE, .priority = 5}};
	set_up_leader((enum backend)_i);
	world_sql(&world, "DROP TABLE tenure_offer");
	world_sql(&world, "ALTER TABLE tenure_session ADD COLUMN offers TEXT NOT NULL DEFAULT ''");
	world_sql(&world, "UPDATE tenure_session SET offers = 'engine=9'");
	world_sql(&world, "UPDATE tenure_store SET schema_version = 2");
	expect_denied(&a, "run tenurectl init");
	init_by_many();
	ck_assert_uint_eq(peer_row(&c, ENGINE)->term, 1);
	ck_assert_ptr_null(find_candidate(&c, &a.session, ENGINE)); // before it says so anew
	peer_offer(&a, EXCHANGE_SESSION_RENEW, offers, COUNT_OF(offers));
	ck_assert_int_eq(priority_of(&c, &a.session, ENGINE), 5);
	tear_down();
}
END_TEST

START_TEST(test_newer_version)
{
	char text[EXCHANGE_TEXT_SIZE] = "";
	set_up_leader((enum backend)_i);
	world_sql(&world, "UPDATE tenure_store SET schema_version = %d", SCHEMA_VERSION + 1);
	expect_denied(&a, "schema version 4 found, 3 needed: run the tenured that goes with it");
	ck_assert_int_lt(store_init_schema(world.driver, &world.config, text), 0);
	ck_assert_msg(strstr(text, "schema version 4 is newer than 3"), "%s", text);
	ck_assert_str_eq(world_sql(&world, "SELECT schema_version FROM tenure_store"), "4");
	tear_down();
}
END_TEST

static const char no_others[] = "there are no other candidates";
static const char no_history[] = "no history is kept";
static const char no_sql[] = "there are no tables to change by SQL";
static const char one_node[] = "the one daemon has its name already";
static const char no_hints[] = "there is nobody to tell";

static Suite *operators_suite(void)
{
	const struct {
		const TTest *test;
		const char *not_in_memory; // why
	} tests[] = {
		{test_offers, no_others},
		{test_offers_only_where_asked, NULL},
		{test_publish, no_others},
		{test_offers_end_with_the_session, no_others},
		{test_offers_of_unknown_components, no_others},
		{test_many_candidates, no_others},
		{test_ask, NULL},
		{test_ask_is_replaced, NULL},
		{test_ask_of_another_term, NULL},
		{test_ask_of_a_free_lease, NULL},
		{test_ask_ends_with_the_next_term, NULL},
		{test_ask_of_each_lease, NULL},
		{test_ask_in_its_place, NULL},
		{test_pause, NULL},
		{test_pause_by_a_long_name, one_node},
		{test_nobody_claims_in_a_pause, NULL},
		{test_kill_in_a_pause, NULL},
		{test_claim_of_my_own_row_in_a_pause, NULL},
		{test_leader_in_a_pause, NULL},
		{test_pause_in_its_place, NULL},
		{test_asks_are_announced, no_hints},
		{test_pauses_are_announced, no_hints},
		{test_history, no_history},
		{test_history_only_where_asked, no_history},
		{test_history_of_no_release, no_history},
		{test_history_of_a_killed_holder, no_history},
		{test_history_of_a_dead_holder, no_history},
		{test_history_of_my_own_row, no_history},
		{test_history_of_no_claim, no_history},
		{test_history_of_every_lease, no_history},
		{test_history_of_unknown_components, no_history},
		{test_history_in_its_place, no_history},
		{test_history_is_trimmed_by_count, no_history},
		{test_history_is_trimmed_by_age, no_history},
		{test_history_of_nothing, no_history},
		{test_history_stops_no_claim, no_history},
		{test_upgrade, no_sql},
		{test_upgraded_schema, no_sql},
		{test_upgrade_from_2, no_sql},
		{test_newer_version, no_sql},
	};
	Suite *suite = suite_create("operators");
	TCase *all = tcase_create("statements");
	tcase_set_timeout(all, 60);
	for (size_t i = 0; i < COUNT_OF(tests); i++) {
		if (tests[i].not_in_memory)
			printf("memory: not %s: %s\n", tests[i].test->name, tests[i].not_in_memory);
		tcase_add_loop_test(all, tests[i].test, tests[i].not_in_memory ? SHARED : MEMORY, BACKENDS);
	}
	tcase_add_test(all, test_memory_keeps_none);
	suite_add_tcase(suite, all);
	return suite;
}

int main(void)
{
	world_start_servers();
	SRunner *runner = srunner_create(operators_suite());
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	world_stop_servers();
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
