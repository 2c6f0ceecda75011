// SPDX-License-Identifier: Apache-2.0
// W19: components that share one lease and one term start in order, stop in reverse order, and lead together or not at
// all.
#include "election_bench.h"

#define BOTH_GRACES (2 * GRACE)

static void open_group(void)
{
	open_bench();
	election_group(&a.election, 1, 0);
	election_group(&b.election, 1, 0);
}

static void join(struct daemon *d, uint32_t lease)
{
	if (d->exchanges == 0)
		tick(d);
	settle(d);
	ck_assert_int_eq(say(d, ELECTION_JOIN, lease, 0), ANSWER_OK);
	settle(d);
}

static void start_work(struct daemon *d, uint32_t lease)
{
	ck_assert_int_eq(say(d, ELECTION_STARTED, lease, d->leases[lease].told_term), ANSWER_OK);
}

static void lead_both(struct daemon *d)
{
	join(d, 0);
	join(d, 1);
	start_work(d, 0);
	start_work(d, 1);
	ck_assert_int_eq(d->leases[1].seat, SEAT_WORKING);
}

START_TEST(it_is_a_candidate_where_all_have_a_worker)
{
	join(&a, 1);
	pass(LEASE);
	ck_assert_int_eq(a.leases[0].state, LEASE_IDLE);
	join(&a, 0);
	ck_assert(leads(&a, 0));
	ck_assert(!db->leases[1].exists); // one row for both
}
END_TEST

START_TEST(they_start_in_order)
{
	join(&a, 0);
	join(&a, 1);
	ck_assert_int_eq(a.leases[0].seat, SEAT_STARTING);
	ck_assert_int_eq(a.leases[1].seat, SEAT_READY);
	pass(RENEW);
	start_work(&a, 0);
	const struct told *second = last_told(&a, NOTE_GRANTED, 1);
	ck_assert_ptr_nonnull(second);
	ck_assert_uint_eq(second->term, term_of(&a, 0));
	ck_assert_int_eq(second->deadline, deadline_of(&a, 0));
}
END_TEST

START_TEST(they_are_extended_together)
{
	lead_both(&a);
	pass(RENEW + MS);
	ck_assert_int_gt(deadline_of(&a, 1), START + LEASE);
	ck_assert_int_eq(deadline_of(&a, 0), deadline_of(&a, 1));
}
END_TEST

START_TEST(they_stop_in_reverse_order)
{
	lead_both(&a);
	say(&a, ELECTION_RESIGN, 1, 0);
	ck_assert_uint_eq(times_told(&a, NOTE_REVOKED, 1), 1);
	ck_assert_uint_eq(times_told(&a, NOTE_REVOKED, 0), 0);
	ck_assert_int_eq(say(&a, ELECTION_STOPPED, 1, 1), ANSWER_OK);
	ck_assert_int_eq(last_told(&a, NOTE_REVOKED, 0)->reason, REASON_RESIGNED);
	ck_assert_int_eq(a.leases[0].state, LEASE_DRAINING);
	ck_assert_int_eq(say(&a, ELECTION_STOPPED, 0, 1), ANSWER_OK);
	ck_assert_int_eq(a.leases[0].state, LEASE_RELEASING);
	settle(&a);
	ck_assert(uuid_is_none(&db->leases[0].session));
}
END_TEST

START_TEST(one_that_does_not_stop_delays_the_other_for_its_grace_only)
{
	lead_both(&a);
	int64_t resigned = now;
	say(&a, ELECTION_RESIGN, 0, 0);
	pass_until(resigned + GRACE - 1);
	ck_assert_uint_eq(times_told(&a, NOTE_REVOKED, 0), 0);
	pass(1);
	ck_assert_uint_eq(times_told(&a, NOTE_REVOKED, 0), 1);
}
END_TEST

START_TEST(w8_all_of_them_have_their_grace)
{
	lead_both(&a);
	a.silent = true;
	pass_until(START + LEASE - BOTH_GRACES - 1);
	ck_assert_uint_eq(times_told(&a, NOTE_REVOKED, 1), 0);
	pass(1);
	ck_assert_int_eq(last_told(&a, NOTE_REVOKED, 1)->reason, REASON_EXPIRING);
	pass_until(START + LEASE - GRACE);
	ck_assert_int_eq(last_told(&a, NOTE_REVOKED, 0)->reason, REASON_EXPIRING);
}
END_TEST

// W12: the row is held for as long as one of them may act.
START_TEST(it_is_released_when_the_last_token_is_void)
{
	lead_both(&a);
	a.silent = true;
	pass_until(START + LEASE - 1);
	say(&a, ELECTION_STOPPED, 1, 1);
	ck_assert_int_eq(a.leases[0].state, LEASE_DRAINING);
	pass(1);
	ck_assert_int_eq(a.leases[0].state, LEASE_RELEASING);
	ck_assert_int_eq(a.leases[0].seat, SEAT_OVERDUE);
}
END_TEST

static void one_ends_all(enum election_event_type event, enum election_reason reason)
{
	lead_both(&a);
	say(&a, event, 0, 1);
	ck_assert_int_eq(last_told(&a, NOTE_REVOKED, 1)->reason, reason);
	ck_assert_int_eq(a.leases[0].state, LEASE_DRAINING);
	say(&a, ELECTION_STOPPED, 1, 1);
	settle(&a);
	ck_assert(uuid_is_none(&db->leases[0].session));
}

START_TEST(one_that_is_gone_ends_all)
{
	one_ends_all(ELECTION_GONE, REASON_WORKER_GONE);
}
END_TEST

START_TEST(one_that_yields_ends_all)
{
	one_ends_all(ELECTION_YIELD, REASON_YIELDED);
	ck_assert_int_eq(a.leases[0].cooldown_until, now + COOLDOWN);
}
END_TEST

START_TEST(one_that_stalls_ends_all)
{
	join(&a, 0);
	join(&a, 1);
	start_work(&a, 0);
	pass(START_TIMEOUT);
	ck_assert_int_eq(last_told(&a, NOTE_REVOKED, 1)->reason, REASON_STALLED);
	say(&a, ELECTION_STOPPED, 1, 1);
	ck_assert_int_eq(last_told(&a, NOTE_REVOKED, 0)->reason, REASON_STALLED);
}
END_TEST

START_TEST(one_that_leaves_before_its_turn_ends_all)
{
	join(&a, 0);
	join(&a, 1);
	say(&a, ELECTION_GONE, 1, 0);
	ck_assert_int_eq(last_told(&a, NOTE_REVOKED, 0)->reason, REASON_WORKER_GONE);
}
END_TEST

START_TEST(w10_a_session_that_is_killed_ends_all_at_once)
{
	lead_both(&a);
	for (size_t i = 0; i < db->session_capacity; i++)
		db->sessions[i] = (struct tables_session){0};
	pass(RENEW + MS);
	ck_assert_int_eq(last_told(&a, NOTE_REVOKED, 0)->reason, REASON_LOST);
	ck_assert_int_eq(last_told(&a, NOTE_REVOKED, 1)->reason, REASON_LOST);
}
END_TEST

START_TEST(it_moves_as_one)
{
	lead_both(&a);
	join(&b, 0);
	join(&b, 1);
	say(&a, ELECTION_YIELD, 1, 1);
	say(&a, ELECTION_STOPPED, 0, 1);
	settle(&a);
	hint(&b);
	settle(&b);
	start_work(&b, 0);
	ck_assert_uint_eq(term_of(&b, 0), 2);
	ck_assert_uint_eq(term_of(&b, 1), 2);
}
END_TEST

// Killed between the tokens of the two: which of them was told is not known.
START_TEST(s5_one_that_does_not_come_back_whole_ends)
{
	struct election_token token = {.term = 1, .deadline = START + LEASE, .started = true};
	lead_both(&a);
	struct uuid session = a.election.session;
	start(&a, "a");
	election_group(&a.election, 1, 0);
	election_resume_session(&a.election, &session);
	ck_assert(election_resume_term(&a.election, 0, &token));
	tick(&a);
	ck_assert_int_eq(a.leases[0].state, LEASE_DRAINING);
}
END_TEST

START_TEST(s5_it_is_resumed_and_extended_when_all_are_back)
{
	struct election_token token = {.term = 1, .deadline = START + LEASE, .started = true};
	lead_both(&a);
	struct uuid session = a.election.session;
	start(&a, "a");
	election_group(&a.election, 1, 0);
	election_resume_session(&a.election, &session);
	ck_assert(election_resume_term(&a.election, 0, &token));
	ck_assert(election_resume_term(&a.election, 1, &token));
	token.term = 2;
	ck_assert(!election_resume_term(&a.election, 1, &token));
	pass(NS_PER_S);
	say(&a, ELECTION_JOIN, 0, 1);
	settle(&a);
	ck_assert_int_eq(deadline_of(&a, 0), START + LEASE);
	say(&a, ELECTION_JOIN, 1, 1);
	settle(&a);
	ck_assert_int_eq(deadline_of(&a, 0), now + LEASE);
	ck_assert_int_eq(deadline_of(&a, 1), now + LEASE);
}
END_TEST

START_TEST(s4_one_that_is_removed_ends_the_term_and_the_rest_goes_on_without_it)
{
	lead_both(&a);
	step(&a, (struct election_event){.type = ELECTION_CONFIGURE, .lease = 0});
	ck_assert_int_eq(last_told(&a, NOTE_REVOKED, 1)->reason, REASON_REMOVED);
	say(&a, ELECTION_STOPPED, 1, 1);
	say(&a, ELECTION_STOPPED, 0, 1);
	settle(&a);
	pass(POLL);
	ck_assert_uint_eq(term_of(&a, 1), 2);
	ck_assert_uint_eq(term_of(&a, 0), 0);
}
END_TEST

// Of who is told next, while the one before it stops.
START_TEST(w8_a_longer_grace_counts_while_they_stop)
{
	lead_both(&a);
	a.silent = true;
	int64_t deadline = deadline_of(&a, 0);
	struct election_lease_timing longer = a.leases[0].timing;
	longer.stop_grace_ns = GRACE + GRACE / 2;
	pass_until(deadline - BOTH_GRACES);
	ck_assert_uint_eq(times_told(&a, NOTE_REVOKED, 1), 1);
	step(&a, (struct election_event){.type = ELECTION_CONFIGURE, .timing = &longer});
	pass_until(deadline - longer.stop_grace_ns - MS);
	ck_assert_uint_eq(times_told(&a, NOTE_REVOKED, 0), 0);
	pass_until(deadline - longer.stop_grace_ns);
	ck_assert_uint_eq(times_told(&a, NOTE_REVOKED, 0), 1);
}
END_TEST

START_TEST(s4_one_that_was_removed_needs_no_time_to_stop)
{
	struct election_lease_timing timing = {.stop_grace_ns = LEASE - RENEW, .start_timeout_ns = START_TIMEOUT};
	step(&a, (struct election_event){.type = ELECTION_CONFIGURE, .lease = 1, .timing = &timing});
	step(&a, (struct election_event){.type = ELECTION_CONFIGURE, .lease = 1});
	settle(&a);
	join(&a, 0);
	ck_assert(leads(&a, 0));
	a.silent = true;
	pass_until(START + LEASE - GRACE - 1);
	ck_assert_uint_eq(times_told(&a, NOTE_REVOKED, 0), 0);
}
END_TEST

int main(void)
{
	const TTest *tests[] = {
		it_is_a_candidate_where_all_have_a_worker,
		they_start_in_order,
		they_are_extended_together,
		they_stop_in_reverse_order,
		one_that_does_not_stop_delays_the_other_for_its_grace_only,
		w8_all_of_them_have_their_grace,
		it_is_released_when_the_last_token_is_void,
		one_that_is_gone_ends_all,
		one_that_yields_ends_all,
		one_that_stalls_ends_all,
		one_that_leaves_before_its_turn_ends_all,
		w10_a_session_that_is_killed_ends_all_at_once,
		it_moves_as_one,
		s5_one_that_does_not_come_back_whole_ends,
		s5_it_is_resumed_and_extended_when_all_are_back,
		s4_one_that_is_removed_ends_the_term_and_the_rest_goes_on_without_it,
		w8_a_longer_grace_counts_while_they_stop,
		s4_one_that_was_removed_needs_no_time_to_stop,
	};
	return run_suite_with("election-group", open_group, tests, COUNT_OF(tests));
}
