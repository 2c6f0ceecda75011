// SPDX-License-Identifier: Apache-2.0
// What operators ask of the election: transfer, resign from anywhere, pause, preference (S2, S3).
#include "election_bench.h"

static enum election_answer operate(struct daemon *d, enum election_operation_kind kind, const char *node)
{
	struct election_operation operation = {.kind = kind, .cooldown_ns = ELECTION_COOLDOWN_DEFAULT};
	snprintf(operation.node, sizeof operation.node, "%s", node);
	d->operated = false;
	return step(d, (struct election_event){.type = ELECTION_OPERATE, .operation = &operation});
}

// The operation's result, once all that is out is answered.
static enum election_result result_of(struct daemon *d, enum election_operation_kind kind, const char *node)
{
	ck_assert_int_eq(operate(d, kind, node), ANSWER_OK);
	settle(d);
	ck_assert(d->operated);
	return d->result;
}

static void configure(struct daemon *d, int32_t priority, int64_t prefer_after_ns, bool observes)
{
	struct election_lease_timing timing = {
		.stop_grace_ns = GRACE,
		.start_timeout_ns = START_TIMEOUT,
		.cooldown_ns = COOLDOWN,
		.priority = priority,
		.prefer_after_ns = prefer_after_ns,
		.observes = observes,
	};
	step(d, (struct election_event){.type = ELECTION_CONFIGURE, .timing = &timing});
	settle(d);
}

// The worker stops as it is told; both daemons hear of what was released.
static void stop_and_hear(struct daemon *from, struct daemon *to)
{
	say(from, ELECTION_STOPPED, 0, from->leases[0].told_term);
	settle(from);
	hint(to);
	settle(to);
}

// ---- transfer ----

static void transfer_works(struct daemon *asks)
{
	lead(&a, 0);
	follow(&b, 0);
	ck_assert_int_eq(result_of(asks, OPERATION_TRANSFER, "b"), RESULT_DONE);
	hint(&a);
	settle(&a);
	ck_assert_int_eq(last_told(&a, NOTE_REVOKED, 0)->reason, REASON_TRANSFERRED);
	ck_assert(!leads(&b, 0));
	stop_and_hear(&a, &b);
	ck_assert(!leads(&a, 0));
	ck_assert(leads(&b, 0));
	ck_assert_uint_eq(term_of(&b, 0), 2);
}

START_TEST(s2_transfer_asked_at_the_leader)
{
	transfer_works(&a);
}
END_TEST

START_TEST(s2_transfer_asked_elsewhere)
{
	transfer_works(&b);
}
END_TEST

START_TEST(s2_who_led_waits_for_whom_it_was_meant_and_then_no_more)
{
	lead(&a, 0);
	follow(&b, 0);
	ck_assert_int_eq(result_of(&a, OPERATION_TRANSFER, "b"), RESULT_DONE);
	b.silent = true;
	say(&a, ELECTION_STOPPED, 0, 1);
	settle(&a);
	int64_t freed_at = now;
	pass_until(freed_at + POLL + TIMEOUT - MS);
	ck_assert(!leads(&a, 0));
	pass_until(freed_at + POLL + TIMEOUT + 2 * POLL);
	ck_assert(leads(&a, 0));
	ck_assert_uint_eq(term_of(&a, 0), 2);
}
END_TEST

// However it was released: who knows for whom it is, or hears of it while the announcement comes, looks first.
START_TEST(s2_what_is_meant_for_another_is_not_claimed_unseen)
{
	lead(&a, 0);
	follow(&b, 0);
	db->leases[0].ask = (struct exchange_ask){.lease = 0, .term = 1, .target = {{77}}};
	hint(&b);
	carry_out(&b);
	hint_freed(&b, 0);
	hear(&b);
	ck_assert_uint_eq(b.request.claim_count, 0);
	settle(&b);
	hint_freed(&b, 0);
	ck_assert_uint_eq(b.request.claim_count, 0);
}
END_TEST

START_TEST(s3_what_a_better_node_waits_for_is_not_claimed_unseen)
{
	configure(&a, 100, 30 * NS_PER_S, false);
	configure(&b, 200, 30 * NS_PER_S, false);
	lead(&b, 0);
	follow(&a, 0);
	pass(LEASE + MS);
	hint_freed(&a, 0);
	ck_assert(a.out);
	ck_assert_uint_eq(a.request.claim_count, 0);
}
END_TEST

START_TEST(s2_transfer_is_refused)
{
	ck_assert_int_eq(result_of(&a, OPERATION_TRANSFER, "b"), RESULT_NOBODY_LEADS);
	lead(&a, 0);
	ck_assert_int_eq(result_of(&a, OPERATION_TRANSFER, "b"), RESULT_NO_CANDIDATE); // no worker there
	ck_assert_int_eq(result_of(&a, OPERATION_TRANSFER, "nobody"), RESULT_NO_CANDIDATE);
	ck_assert_int_eq(result_of(&a, OPERATION_TRANSFER, "a"), RESULT_LEADS_ALREADY);
	follow(&b, 0);
	ck_assert_int_eq(result_of(&b, OPERATION_PAUSE, ""), RESULT_DONE);
	ck_assert_int_eq(result_of(&a, OPERATION_TRANSFER, "b"), RESULT_PAUSED);
	ck_assert_int_eq(result_of(&b, OPERATION_RESUME, ""), RESULT_DONE);
	step(&b, (struct election_event){.type = ELECTION_GONE});
	settle(&b);
	ck_assert_int_eq(result_of(&a, OPERATION_TRANSFER, "b"), RESULT_NO_CANDIDATE);
	ck_assert(leads(&a, 0));
}
END_TEST

START_TEST(s2_a_session_that_is_not_renewed_is_no_live_candidate)
{
	lead(&a, 0);
	follow(&b, 0);
	kill_daemon(&b);
	pass(5 * LEASE);
	ck_assert_int_eq(result_of(&a, OPERATION_TRANSFER, "b"), RESULT_NO_CANDIDATE);
}
END_TEST

// Killed without its page, and back: both of its sessions are there.
START_TEST(s2_transfer_finds_the_session_that_lives)
{
	lead(&a, 0);
	follow(&b, 0);
	pass(NS_PER_S);
	start(&b, "b");
	follow(&b, 0);
	ck_assert_int_eq(result_of(&a, OPERATION_TRANSFER, "b"), RESULT_DONE);
	ck_assert(uuid_equal(&db->leases[0].ask.target, &b.election.session));
}
END_TEST

START_TEST(one_operation_at_a_time)
{
	lead(&a, 0);
	ck_assert_int_eq(operate(&a, OPERATION_PAUSE, ""), ANSWER_OK);
	ck_assert_int_eq(operate(&a, OPERATION_RESUME, ""), ANSWER_BUSY);
	settle(&a);
	ck_assert(a.operated);
	ck_assert(a.election.paused);
}
END_TEST

START_TEST(an_operation_ends_where_the_store_does_not_answer)
{
	lead(&a, 0);
	ck_assert_int_eq(operate(&a, OPERATION_PAUSE, ""), ANSWER_OK);
	refuse(&a, EXCHANGE_UNAVAILABLE);
	ck_assert(a.operated);
	ck_assert_int_eq(a.result, RESULT_UNAVAILABLE);
}
END_TEST

START_TEST(an_operation_ends_with_the_daemon)
{
	tick(&a);
	settle(&a);
	ck_assert_int_eq(operate(&a, OPERATION_HISTORY, ""), ANSWER_OK);
	say(&a, ELECTION_SHUTDOWN, 0, 0);
	ck_assert(a.operated);
	ck_assert_int_eq(a.result, RESULT_UNAVAILABLE);
	ck_assert_int_eq(operate(&a, OPERATION_HISTORY, ""), ANSWER_OK);
	ck_assert(a.operated);
}
END_TEST

// The term that was asked for is over by the time that the ask gets there.
START_TEST(s2_an_ask_that_comes_late_asks_nothing)
{
	lead(&a, 0);
	follow(&b, 0);
	operate(&b, OPERATION_TRANSFER, "b");
	answer(&b); // it looked
	ck_assert(b.out);
	say(&a, ELECTION_YIELD, 0, 1);
	settle(&a);
	settle(&b);
	ck_assert(b.operated);
	ck_assert_int_eq(b.result, RESULT_OVERTAKEN);
}
END_TEST

// ---- resign ----

START_TEST(s2_resign_asked_elsewhere)
{
	lead(&a, 0);
	follow(&b, 0);
	ck_assert_int_eq(result_of(&b, OPERATION_RESIGN, ""), RESULT_DONE);
	hint(&a);
	settle(&a);
	ck_assert_int_eq(last_told(&a, NOTE_REVOKED, 0)->reason, REASON_RESIGNED);
	stop_and_hear(&a, &b);
	ck_assert(leads(&b, 0));
	ck_assert_int_eq(a.leases[0].cooldown_until, now + COOLDOWN);
}
END_TEST

// ---- pause ----

START_TEST(s2_while_paused_who_leads_stays_and_nobody_is_elected)
{
	lead(&a, 0);
	follow(&b, 0);
	ck_assert_int_eq(result_of(&b, OPERATION_PAUSE, ""), RESULT_DONE);
	ck_assert_str_eq(b.election.paused_by, "b");
	pass(3 * LEASE);
	ck_assert(a.election.paused);
	ck_assert(leads(&a, 0));
	ck_assert_uint_eq(term_of(&a, 0), 1);
	step(&a, (struct election_event){.type = ELECTION_GONE});
	settle(&a);
	pass(3 * LEASE);
	ck_assert(!leads(&b, 0));
	ck_assert_int_eq(result_of(&a, OPERATION_RESUME, ""), RESULT_DONE);
	hint(&b);
	settle(&b);
	ck_assert(leads(&b, 0));
}
END_TEST

START_TEST(s2_a_claim_that_was_on_its_way_finds_the_pause)
{
	tick(&b);
	settle(&b);
	say(&b, ELECTION_JOIN, 0, 0);
	ck_assert(b.out);
	ck_assert_uint_eq(b.request.claim_count, 1);
	snprintf(db->paused, sizeof db->paused, "a");
	settle(&b);
	ck_assert(!leads(&b, 0));
	ck_assert(uuid_is_none(&db->leases[0].session));
}
END_TEST

// ---- preference ----

START_TEST(s3_a_better_node_gets_it_when_it_has_lasted)
{
	configure(&a, 100, 30 * NS_PER_S, false);
	configure(&b, 200, 30 * NS_PER_S, false);
	lead(&a, 0);
	follow(&b, 0);
	int64_t since = now;
	pass_until(since + 30 * NS_PER_S - MS);
	ck_assert(leads(&a, 0));
	pass_until(since + 30 * NS_PER_S + LEASE + MS);
	ck_assert_int_eq(last_told(&a, NOTE_REVOKED, 0)->reason, REASON_TRANSFERRED);
	stop_and_hear(&a, &b);
	ck_assert(leads(&b, 0));
	say(&b, ELECTION_STARTED, 0, 2);
	pass(5 * LEASE);
	ck_assert(leads(&b, 0)); // and keeps it
}
END_TEST

START_TEST(s3_a_better_node_that_comes_and_goes_does_not)
{
	configure(&a, 100, 30 * NS_PER_S, false);
	configure(&b, 200, 30 * NS_PER_S, false);
	lead(&a, 0);
	for (int i = 0; i < 10; i++) {
		follow(&b, 0);
		pass(20 * NS_PER_S);
		step(&b, (struct election_event){.type = ELECTION_GONE});
		settle(&b);
		pass(LEASE + NS_PER_S); // as often as is looked
	}
	ck_assert_uint_eq(times_told(&a, NOTE_REVOKED, 0), 0);
	ck_assert(leads(&a, 0));
}
END_TEST

// Though it was seen all the time by who looks once a lease.
START_TEST(s3_a_better_node_that_gave_it_up_has_to_last_again)
{
	configure(&a, 100, 30 * NS_PER_S, false);
	configure(&b, 200, 30 * NS_PER_S, false);
	lead(&b, 0);
	follow(&a, 0);
	pass(5 * LEASE);
	pass_until(a.election.strays_at + MS);
	int64_t next_look = a.election.strays_at;
	step(&b, (struct election_event){.type = ELECTION_GONE});
	carry_out(&b); // the release, before it takes its offer back
	b.silent = true;
	hint(&a);
	settle(&a);
	pass(POLL);
	ck_assert(leads(&a, 0));
	b.silent = false;
	hear(&b);
	settle(&b);
	say(&a, ELECTION_STARTED, 0, 2);
	int64_t since = now;
	follow(&b, 0);
	ck_assert_int_lt(now, next_look);
	pass_until(since + 30 * NS_PER_S - 2 * POLL - MS);
	ck_assert(leads(&a, 0));
	pass_until(since + 30 * NS_PER_S + LEASE + MS);
	ck_assert_int_eq(last_told(&a, NOTE_REVOKED, 0)->reason, REASON_TRANSFERRED);
}
END_TEST

START_TEST(s3_a_free_lease_waits_for_the_better_node)
{
	configure(&a, 100, 0, false);
	configure(&b, 200, 0, false);
	lead(&a, 0);
	follow(&b, 0);
	pass(LEASE);
	say(&a, ELECTION_YIELD, 0, 1);
	settle(&a);
	pass(2 * POLL);
	ck_assert(leads(&b, 0));
}
END_TEST

START_TEST(w19_what_is_disputed_is_not_claimed)
{
	b.disputed = true;
	lead(&a, 0);
	follow(&b, 0);
	pass(2 * LEASE);
	ck_assert_str_eq(b.leases[0].disputed_by, "a");
	say(&a, ELECTION_YIELD, 0, 1);
	settle(&a);
	pass(2 * POLL);
	ck_assert(!leads(&b, 0));
	b.disputed = false;
	pass(2 * LEASE);
	ck_assert_str_eq(b.leases[0].disputed_by, "");
}
END_TEST

START_TEST(s3_who_only_observes_never_leads)
{
	configure(&a, 100, 0, true);
	tick(&a);
	settle(&a);
	say(&a, ELECTION_JOIN, 0, 0);
	pass(3 * LEASE);
	ck_assert_int_eq(a.leases[0].state, LEASE_IDLE);
	configure(&a, 100, 0, false);
	ck_assert(leads(&a, 0));
	configure(&a, 100, 0, true);
	ck_assert_int_eq(last_told(&a, NOTE_REVOKED, 0)->reason, REASON_REMOVED);
}
END_TEST

// ---- history ----

START_TEST(s8_a_release_says_why)
{
	lead(&a, 0);
	say(&a, ELECTION_YIELD, 0, 1);
	ck_assert_uint_eq(a.request.release_count, 1);
	ck_assert_str_eq(a.releases[0].reason, "yielded");
	settle(&a);
	pass(COOLDOWN + POLL);
	ck_assert(leads(&a, 0));
	step(&a, (struct election_event){.type = ELECTION_GONE});
	ck_assert_str_eq(a.releases[0].reason, "worker-gone");
}
END_TEST

int main(void)
{
	const TTest *tests[] = {
		s2_transfer_asked_at_the_leader,
		s2_transfer_asked_elsewhere,
		s2_who_led_waits_for_whom_it_was_meant_and_then_no_more,
		s2_what_is_meant_for_another_is_not_claimed_unseen,
		s3_what_a_better_node_waits_for_is_not_claimed_unseen,
		s2_transfer_is_refused,
		s2_a_session_that_is_not_renewed_is_no_live_candidate,
		s2_transfer_finds_the_session_that_lives,
		one_operation_at_a_time,
		an_operation_ends_where_the_store_does_not_answer,
		an_operation_ends_with_the_daemon,
		s2_an_ask_that_comes_late_asks_nothing,
		s2_resign_asked_elsewhere,
		s2_while_paused_who_leads_stays_and_nobody_is_elected,
		s2_a_claim_that_was_on_its_way_finds_the_pause,
		s3_a_better_node_gets_it_when_it_has_lasted,
		s3_a_better_node_that_comes_and_goes_does_not,
		s3_a_better_node_that_gave_it_up_has_to_last_again,
		s3_a_free_lease_waits_for_the_better_node,
		w19_what_is_disputed_is_not_claimed,
		s3_who_only_observes_never_leads,
		s8_a_release_says_why,
	};
	return run_suite("election-operators", tests, COUNT_OF(tests));
}
