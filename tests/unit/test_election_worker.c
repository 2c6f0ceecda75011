// SPDX-License-Identifier: Apache-2.0
// What a worker can rely on (W), and a daemon that ends or comes back, one scenario or more each.
#include "election_bench.h"

// ---- W1, W2, W5 ----

START_TEST(w2_told_once_and_the_next_term_is_larger)
{
	lead(&a, 0);
	pass(30 * NS_PER_S);
	ck_assert_uint_eq(times_told(&a, NOTE_GRANTED, 0), 1);
	ck_assert_uint_eq(times_told(&a, NOTE_EXTENDED, 0), 15);
	for (size_t i = 1; i < a.told_count; i++)
		ck_assert_uint_eq(a.told[i].term, 1); // W5
	say(&a, ELECTION_STOPPED, 0, 1);
	pass(2 * COOLDOWN);
	ck_assert(leads(&a, 0));
	ck_assert_uint_eq(times_told(&a, NOTE_GRANTED, 0), 2);
	ck_assert_uint_eq(last_told(&a, NOTE_GRANTED, 0)->term, 2);
}
END_TEST

START_TEST(w2_revoked_once)
{
	lead(&a, 0);
	a.silent = true;
	pass(2 * LEASE);
	ck_assert_uint_eq(times_told(&a, NOTE_REVOKED, 0), 1);
	ck_assert_int_eq(last_told(&a, NOTE_REVOKED, 0)->reason, REASON_EXPIRING);
}
END_TEST

// W2: one that has not stopped is told no next term, however long it takes.
START_TEST(w2_no_next_term_before_the_work_has_ended)
{
	lead(&a, 0);
	a.silent = true;
	pass(LEASE);
	a.silent = false;
	pass(5 * LEASE);
	ck_assert_int_eq(a.leases[0].seat, SEAT_OVERDUE);
	ck_assert_uint_eq(times_told(&a, NOTE_GRANTED, 0), 1);
	ck_assert_int_eq(say(&a, ELECTION_STOPPED, 0, 1), ANSWER_OK);
	settle(&a);
	ck_assert(leads(&a, 0));
	ck_assert_uint_eq(times_told(&a, NOTE_GRANTED, 0), 2);
}
END_TEST

// ---- W8, W9, W10 ----

START_TEST(w8_revoked_in_time_while_the_database_hangs)
{
	lead(&a, 0);
	a.silent = true;
	pass_until(START + LEASE - GRACE - 1);
	ck_assert_ptr_null(last_told(&a, NOTE_REVOKED, 0));
	pass(1);
	ck_assert_ptr_nonnull(last_told(&a, NOTE_REVOKED, 0));
	ck_assert_int_eq(last_told(&a, NOTE_REVOKED, 0)->deadline, START + LEASE);
}
END_TEST

START_TEST(w9_two_failed_exchanges_cost_nothing)
{
	lead(&a, 0);
	for (int i = 0; i < 20; i++) {
		a.silent = true;
		pass(RENEW + 2 * TIMEOUT - 100 * MS); // two of them hang for all of their time
		a.silent = false;
		settle(&a);
		pass(200 * MS);
	}
	ck_assert_uint_eq(times_told(&a, NOTE_REVOKED, 0), 0);
	ck_assert_uint_eq(term_of(&a, 0), 1);
}
END_TEST

START_TEST(w10_a_killed_session_is_revoked_at_once)
{
	lead(&a, 0);
	memset(db->sessions, 0, db->session_capacity * sizeof *db->sessions);
	forget(&a);
	pass(RENEW);
	const struct told *revoked = last_told(&a, NOTE_REVOKED, 0);
	ck_assert_ptr_nonnull(revoked);
	ck_assert_int_eq(revoked->reason, REASON_LOST);
	ck_assert_int_le(revoked->deadline, START + RENEW);
	ck_assert_int_eq(a.leases[0].seat, SEAT_OVERDUE);
}
END_TEST

// ---- W12, W13 ----

static void let_it_be_revoked(void)
{
	lead(&a, 0);
	a.silent = true;
	pass_until(START + LEASE - GRACE);
	ck_assert_int_eq(a.leases[0].state, LEASE_DRAINING);
	if (a.out)
		refuse(&a, EXCHANGE_UNKNOWN);
	a.silent = false;
}

START_TEST(w12_released_after_stopped)
{
	let_it_be_revoked();
	pass(NS_PER_S);
	ck_assert(!uuid_is_none(&db->leases[0].session)); // the database answers again, and nothing was released
	say(&a, ELECTION_STOPPED, 0, 1);
	ck_assert(a.out);
	ck_assert_uint_eq(a.request.release_count, 1);
	ck_assert_uint_eq(a.request.releases[0].term, 1);
	carry_out(&a);
	ck_assert(uuid_is_none(&db->leases[0].session));
}
END_TEST

START_TEST(w12_no_answer_no_release_before_the_frozen_deadline)
{
	let_it_be_revoked();
	forget(&a);
	pass_until(START + LEASE - 1);
	ck_assert_int_eq(a.election.session_state, SESSION_LIVE);
	ck_assert_int_gt(a.election.renewed_at, START); // renewed, and that moved nothing
	ck_assert_ptr_null(last_told(&a, NOTE_EXTENDED, 0));
	ck_assert_int_eq(deadline_of(&a, 0), START + LEASE);
	ck_assert(!uuid_is_none(&db->leases[0].session));
	pass(1);
	ck_assert(uuid_is_none(&db->leases[0].session));
	ck_assert_uint_eq(term_of(&a, 0), 0);
}
END_TEST

START_TEST(w13_a_release_names_its_term)
{
	lead(&a, 0);
	say(&a, ELECTION_GONE, 0, 0);
	ck_assert_uint_eq(a.request.release_count, 1);
	ck_assert_uint_eq(a.request.releases[0].term, 1);
	struct exchange_request late = a.request;
	struct exchange_release release = a.releases[0];
	late.releases = &release;
	refuse(&a, EXCHANGE_UNKNOWN);
	say(&a, ELECTION_JOIN, 0, 0);
	pass(2 * NS_PER_S);
	ck_assert(leads(&a, 0));
	ck_assert_uint_ge(term_of(&a, 0), 2);
	struct exchange_grant grants[NAMES];
	size_t count;
	tables_change(db, &late, grants, &count);
	ck_assert(!uuid_is_none(&db->leases[0].session));
}
END_TEST

// ---- W14, W15 ----

START_TEST(w14_a_workers_end_is_released_at_once)
{
	lead(&a, 0);
	follow(&b, 0);
	pass(500 * MS);
	say(&a, ELECTION_GONE, 0, 0);
	ck_assert(a.out);
	ck_assert_uint_eq(a.request.release_count, 1);
	settle(&a);
	hint(&b);
	settle(&b);
	ck_assert(leads(&b, 0));
}
END_TEST

// One that is released while an exchange is out goes with the next one, at once.
START_TEST(w14_a_release_waits_for_no_retry)
{
	lead(&a, 0);
	pass(500 * MS);
	hint(&a);
	ck_assert(a.out);
	carry_out(&a);
	now += MS;
	say(&a, ELECTION_GONE, 0, 0);
	hear(&a);
	ck_assert(a.out);
	ck_assert_uint_eq(a.request.release_count, 1);
}
END_TEST

START_TEST(w15_one_that_yields_lets_others_lead)
{
	lead(&a, 0);
	follow(&b, 0);
	say(&a, ELECTION_YIELD, 0, 1);
	settle(&a);
	hint(&b);
	settle(&b);
	ck_assert(leads(&b, 0));
	ck_assert(!leads(&a, 0));
}
END_TEST

START_TEST(w15_and_comes_back_after_the_cooldown)
{
	lead(&a, 0);
	say(&a, ELECTION_YIELD, 0, 1);
	pass(COOLDOWN - 1);
	ck_assert(!leads(&a, 0));
	pass(1);
	ck_assert(leads(&a, 0));
	step(&a, (struct election_event){.type = ELECTION_YIELD, .term = 2, .cooldown_ns = 20 * NS_PER_S});
	pass(20 * NS_PER_S - 1);
	ck_assert(!leads(&a, 0));
	pass(1);
	ck_assert(leads(&a, 0));
}
END_TEST

// ---- W16, W17 ----

START_TEST(w16_not_started_in_time_is_revoked)
{
	tick(&a);
	settle(&a);
	say(&a, ELECTION_JOIN, 0, 0);
	settle(&a);
	pass(START_TIMEOUT - 1);
	ck_assert(leads(&a, 0));
	pass(1);
	ck_assert_int_eq(last_told(&a, NOTE_REVOKED, 0)->reason, REASON_STALLED);
	say(&a, ELECTION_STOPPED, 0, 1);
	pass(COOLDOWN - MS);
	ck_assert(!leads(&a, 0)); // another replica gets its chance
	pass(MS);
	ck_assert(leads(&a, 0));
}
END_TEST

static void lead_with_heartbeats(int64_t heartbeat_ns)
{
	tick(&a);
	settle(&a);
	step(&a, (struct election_event){.type = ELECTION_JOIN, .heartbeat_ns = heartbeat_ns});
	settle(&a);
	say(&a, ELECTION_STARTED, 0, 1);
}

START_TEST(w16_promised_heartbeats_that_end_are_revoked)
{
	lead_with_heartbeats(3 * NS_PER_S);
	for (int i = 0; i < 10; i++) {
		pass(3 * NS_PER_S - 1);
		ck_assert_int_eq(say(&a, ELECTION_ALIVE, 0, 1), ANSWER_OK);
	}
	ck_assert(leads(&a, 0));
	pass(3 * NS_PER_S);
	ck_assert_int_eq(last_told(&a, NOTE_REVOKED, 0)->reason, REASON_STALLED);
}
END_TEST

// The time to read is given once for each silence, and again after a word.
START_TEST(w16_a_daemon_that_stood_still_waits_longer_and_not_for_ever)
{
	lead_with_heartbeats(NS_PER_S);
	for (int i = 0; i < 2; i++) {
		say(&a, ELECTION_ALIVE, 0, 1);
		election_forgive(&a.election, 300 * MS, 100 * MS);
		election_forgive(&a.election, 200 * MS, 100 * MS);
		pass(NS_PER_S + 600 * MS - 1);
		ck_assert(leads(&a, 0));
	}
	pass(1);
	ck_assert_int_eq(last_told(&a, NOTE_REVOKED, 0)->reason, REASON_STALLED);
}
END_TEST

START_TEST(w16_one_that_is_not_listened_to_is_revoked_and_not_gone)
{
	lead(&a, 0);
	say(&a, ELECTION_EXPEL, 0, 0);
	ck_assert_int_eq(last_told(&a, NOTE_REVOKED, 0)->reason, REASON_STALLED);
	pass_until(START + LEASE - 1);
	ck_assert(!uuid_is_none(&db->leases[0].session));
	pass(1);
	ck_assert(uuid_is_none(&db->leases[0].session));
}
END_TEST

// S2: the next one leads once the work has ended, and this one stands back from then on.
START_TEST(s2_resigned)
{
	lead(&a, 0);
	say(&b, ELECTION_JOIN, 0, 0);
	settle(&b);
	ck_assert_int_eq(say(&b, ELECTION_RESIGN, 0, 0), ANSWER_STALE);
	ck_assert_int_eq(say(&a, ELECTION_RESIGN, 0, 0), ANSWER_OK);
	ck_assert_int_eq(last_told(&a, NOTE_REVOKED, 0)->reason, REASON_RESIGNED);
	ck_assert_int_eq(say(&a, ELECTION_RESIGN, 0, 0), ANSWER_STALE);
	pass(GRACE);
	ck_assert_uint_eq(times_told(&b, NOTE_GRANTED, 0), 0);
	ck_assert_int_eq(say(&a, ELECTION_STOPPED, 0, 1), ANSWER_OK);
	ck_assert_int_eq(a.leases[0].cooldown_until, now + COOLDOWN);
	pass(RENEW + POLL);
	ck_assert(leads(&b, 0));
	ck_assert_uint_eq(b.leases[0].token.term, 2);
}
END_TEST

START_TEST(w17_a_slow_stop_delays_nobody_else)
{
	lead_with_heartbeats(3 * NS_PER_S);
	lead(&a, 1);
	forget(&a);
	pass(60 * NS_PER_S); // lease 0 stalls, and its worker says nothing for ever
	ck_assert_int_eq(a.leases[0].seat, SEAT_OVERDUE);
	ck_assert(leads(&a, 1));
	ck_assert_uint_ge(times_told(&a, NOTE_EXTENDED, 1), 28);
}
END_TEST

// ---- the seat ----

START_TEST(a_second_worker_waits_for_the_seat)
{
	lead(&a, 0);
	ck_assert_int_eq(say(&a, ELECTION_JOIN, 0, 0), ANSWER_BUSY);
	say(&a, ELECTION_GONE, 0, 0);
	bool vacant = false;
	for (size_t i = 0; i < a.update.note_count; i++)
		vacant |= a.notes[i].type == NOTE_SEAT_VACANT && a.notes[i].lease == 0;
	ck_assert(vacant);
	ck_assert_int_eq(say(&a, ELECTION_JOIN, 0, 0), ANSWER_OK);
	settle(&a);
	ck_assert(leads(&a, 0));
	ck_assert_uint_eq(term_of(&a, 0), 2);
}
END_TEST

START_TEST(words_about_another_term_are_stale)
{
	lead(&a, 0);
	ck_assert_int_eq(say(&a, ELECTION_STARTED, 0, 7), ANSWER_STALE);
	ck_assert_int_eq(say(&a, ELECTION_ALIVE, 0, 7), ANSWER_STALE);
	ck_assert_int_eq(say(&a, ELECTION_STOPPED, 0, 7), ANSWER_STALE);
	ck_assert_int_eq(say(&a, ELECTION_YIELD, 0, 7), ANSWER_STALE);
	ck_assert_int_eq(say(&a, ELECTION_JOIN, 0, 7), ANSWER_STALE);
	ck_assert(leads(&a, 0));
	say(&a, ELECTION_STOPPED, 0, 1);
	ck_assert_int_eq(say(&a, ELECTION_STOPPED, 0, 1), ANSWER_STALE);
}
END_TEST

START_TEST(the_page_shows_that_the_work_has_started)
{
	lead(&a, 0);
	ck_assert(a.leases[0].token.started);
	ck_assert(election_token_valid(&a.leases[0].token, now));
	ck_assert(!election_token_valid(&a.leases[0].token, START + LEASE));
}
END_TEST

// ---- resuming (S5) ----

// a dies and is back after `ns`, with what its terms page shows.
static void come_back(int64_t ns)
{
	struct uuid session = a.election.session;
	struct election_token tokens[NAMES];
	for (uint32_t i = 0; i < NAMES; i++)
		tokens[i] = a.leases[i].token;
	kill_daemon(&a);
	pass(ns);
	start(&a, "a");
	election_resume_session(&a.election, &session);
	for (uint32_t i = 0; i < NAMES; i++)
		if (election_token_valid(&tokens[i], now))
			election_resume_term(&a.election, i, &tokens[i]);
	tick(&a);
}

START_TEST(s5_a_resumed_term_goes_on)
{
	lead(&a, 0);
	pass(2 * LEASE + NS_PER_S);
	int64_t deadline = deadline_of(&a, 0);
	come_back(NS_PER_S);
	ck_assert_int_eq(a.request.session_op, EXCHANGE_SESSION_RENEW);
	settle(&a);
	pass(NS_PER_S);
	ck_assert_int_eq(deadline_of(&a, 0), deadline); // its worker may be dead
	ck_assert_int_eq(say(&a, ELECTION_JOIN, 0, 1), ANSWER_OK);
	settle(&a);
	ck_assert_int_eq(deadline_of(&a, 0), now + LEASE);
	ck_assert_int_eq(a.leases[0].seat, SEAT_WORKING);
	ck_assert_uint_eq(times_told(&a, NOTE_GRANTED, 0), 0);
	ck_assert_uint_eq(times_told(&a, NOTE_REVOKED, 0), 0);
}
END_TEST

START_TEST(s5_one_that_had_not_started_has_its_time_again)
{
	tick(&a);
	settle(&a);
	say(&a, ELECTION_JOIN, 0, 0);
	settle(&a);
	come_back(NS_PER_S);
	settle(&a);
	say(&a, ELECTION_JOIN, 0, 1);
	settle(&a);
	ck_assert_int_eq(a.leases[0].seat, SEAT_STARTING);
	pass(START_TIMEOUT - 1);
	ck_assert(leads(&a, 0));
	pass(1);
	ck_assert_int_eq(last_told(&a, NOTE_REVOKED, 0)->reason, REASON_STALLED);
}
END_TEST

START_TEST(s5_a_worker_that_does_not_come_back_loses_its_term)
{
	lead(&a, 0);
	come_back(NS_PER_S);
	settle(&a);
	ck_assert_int_eq(say(&a, ELECTION_JOIN, 0, 0), ANSWER_BUSY); // another one
	pass_until(START + LEASE - 1);
	ck_assert(!uuid_is_none(&db->leases[0].session));
	pass(1);
	ck_assert(uuid_is_none(&db->leases[0].session));
	ck_assert_int_eq(a.leases[0].seat, SEAT_VACANT);
	ck_assert_int_eq(say(&a, ELECTION_JOIN, 0, 0), ANSWER_OK);
	settle(&a);
	ck_assert_uint_eq(term_of(&a, 0), 2);
}
END_TEST

START_TEST(s5_one_that_comes_back_late_is_told_revoked)
{
	lead(&a, 0);
	come_back(NS_PER_S);
	settle(&a);
	pass_until(START + LEASE - GRACE + MS);
	ck_assert_int_eq(a.leases[0].seat, SEAT_AWAY_REVOKED);
	ck_assert_int_eq(say(&a, ELECTION_JOIN, 0, 1), ANSWER_OK);
	ck_assert_int_eq(last_told(&a, NOTE_REVOKED, 0)->deadline, START + LEASE);
	say(&a, ELECTION_STOPPED, 0, 1);
	settle(&a);
	ck_assert(leads(&a, 0));
	ck_assert_uint_eq(term_of(&a, 0), 2);
}
END_TEST

START_TEST(s5_a_revoked_term_is_resumed_as_revoked)
{
	lead(&a, 0);
	step(&a, (struct election_event){.type = ELECTION_SHUTDOWN});
	come_back(NS_PER_S);
	settle(&a);
	ck_assert_int_eq(a.leases[0].state, LEASE_DRAINING);
	ck_assert_int_eq(say(&a, ELECTION_JOIN, 0, 1), ANSWER_OK);
	ck_assert_ptr_nonnull(last_told(&a, NOTE_REVOKED, 0));
	ck_assert_ptr_null(last_told(&a, NOTE_EXTENDED, 0));
}
END_TEST

START_TEST(s5_a_session_that_is_gone_takes_its_terms_along)
{
	lead(&a, 0);
	memset(db->sessions, 0, db->session_capacity * sizeof *db->sessions);
	come_back(NS_PER_S);
	settle(&a);
	ck_assert_uint_eq(term_of(&a, 0), 0);
	ck_assert_int_eq(say(&a, ELECTION_JOIN, 0, 1), ANSWER_STALE);
}
END_TEST

// Rule 9 after a restart: the daemon does not know which server it was.
START_TEST(s5_a_resumed_term_is_verified)
{
	lead(&a, 0);
	db->leases[0].term = 9;
	come_back(NS_PER_S);
	say(&a, ELECTION_JOIN, 0, 1);
	settle(&a);
	ck_assert_ptr_null(last_told(&a, NOTE_EXTENDED, 0));
	ck_assert_int_eq(last_told(&a, NOTE_REVOKED, 0)->reason, REASON_LOST);
}
END_TEST

// ---- the end ----

static void shut_down(struct daemon *d)
{
	step(d, (struct election_event){.type = ELECTION_SHUTDOWN});
}

START_TEST(w12_shutdown_revokes_waits_and_releases)
{
	lead(&a, 0);
	lead(&a, 1);
	shut_down(&a);
	ck_assert_int_eq(last_told(&a, NOTE_REVOKED, 0)->reason, REASON_SHUTDOWN);
	ck_assert_int_eq(last_told(&a, NOTE_REVOKED, 1)->reason, REASON_SHUTDOWN);
	ck_assert(!a.update.finished);
	say(&a, ELECTION_STOPPED, 0, 1);
	settle(&a);
	ck_assert(uuid_is_none(&db->leases[0].session));
	ck_assert(!a.update.finished);
	say(&a, ELECTION_STOPPED, 1, 1);
	ck_assert_int_eq(a.request.session_op, EXCHANGE_SESSION_DELETE);
	ck_assert_uint_eq(a.request.release_count, 1);
	settle(&a);
	ck_assert(a.update.finished);
	ck_assert(uuid_is_none(&db->leases[1].session));
	ck_assert(uuid_is_none(&db->sessions[0].id));
}
END_TEST

// A release that became due while another exchange was out is not left out of the last one (W14).
START_TEST(w14_the_last_exchange_releases_what_is_left)
{
	lead(&a, 0);
	lead(&a, 1);
	shut_down(&a);
	say(&a, ELECTION_STOPPED, 0, 1);
	carry_out(&a);
	now += MS;
	say(&a, ELECTION_STOPPED, 1, 1);
	hear(&a);
	ck_assert_int_eq(a.request.session_op, EXCHANGE_SESSION_DELETE);
	ck_assert_uint_eq(a.request.release_count, 1);
	ck_assert_uint_eq(a.request.releases[0].lease, 1);
}
END_TEST

START_TEST(w12_shutdown_waits_for_the_frozen_deadline_of_a_silent_worker)
{
	lead(&a, 0);
	shut_down(&a);
	pass_until(START + LEASE - 1);
	ck_assert(!a.update.finished);
	ck_assert(!uuid_is_none(&db->leases[0].session));
	pass(MS);
	ck_assert(a.update.finished);
	ck_assert(uuid_is_none(&db->leases[0].session));
}
END_TEST

START_TEST(shutdown_does_not_wait_for_a_database_that_is_away)
{
	lead(&a, 0);
	a.silent = true;
	pass(RENEW + TIMEOUT);
	shut_down(&a);
	say(&a, ELECTION_STOPPED, 0, 1);
	pass(TIMEOUT);
	ck_assert(a.update.finished);
}
END_TEST

START_TEST(shutdown_ends_though_its_last_exchange_fails)
{
	lead(&a, 0);
	shut_down(&a);
	say(&a, ELECTION_STOPPED, 0, 1);
	ck_assert_int_eq(a.request.session_op, EXCHANGE_SESSION_DELETE);
	refuse(&a, EXCHANGE_UNKNOWN);
	ck_assert(a.update.finished);
}
END_TEST

START_TEST(shutdown_of_one_that_leads_nothing_is_immediate)
{
	tick(&a);
	settle(&a);
	shut_down(&a);
	settle(&a);
	ck_assert(a.update.finished);
}
END_TEST

// Granted while it was asked to end: nobody is told, and the row is given back.
START_TEST(shutdown_while_a_claim_is_out)
{
	tick(&a);
	settle(&a);
	say(&a, ELECTION_JOIN, 0, 0);
	shut_down(&a);
	ck_assert(!a.update.finished);
	settle(&a);
	ck_assert(a.update.finished);
	ck_assert_uint_eq(a.told_count, 0);
	ck_assert(uuid_is_none(&db->leases[0].session));
}
END_TEST

START_TEST(one_that_is_ending_claims_nothing)
{
	lead(&a, 0);
	say(&a, ELECTION_JOIN, 1, 0);
	refuse(&a, EXCHANGE_UNKNOWN);
	shut_down(&a);
	pass(LEASE - NS_PER_S);
	ck_assert(!leads(&a, 1));
	ck_assert_uint_eq(times_told(&a, NOTE_GRANTED, 1), 0);
}
END_TEST

int main(void)
{
	const TTest *tests[] = {
		w2_told_once_and_the_next_term_is_larger,
		w2_revoked_once,
		w2_no_next_term_before_the_work_has_ended,
		w8_revoked_in_time_while_the_database_hangs,
		w9_two_failed_exchanges_cost_nothing,
		w10_a_killed_session_is_revoked_at_once,
		w12_released_after_stopped,
		w12_no_answer_no_release_before_the_frozen_deadline,
		w13_a_release_names_its_term,
		w14_a_workers_end_is_released_at_once,
		w14_a_release_waits_for_no_retry,
		w15_one_that_yields_lets_others_lead,
		w15_and_comes_back_after_the_cooldown,
		w16_not_started_in_time_is_revoked,
		w16_promised_heartbeats_that_end_are_revoked,
		w16_a_daemon_that_stood_still_waits_longer_and_not_for_ever,
		w16_one_that_is_not_listened_to_is_revoked_and_not_gone,
		s2_resigned,
		w17_a_slow_stop_delays_nobody_else,
		a_second_worker_waits_for_the_seat,
		words_about_another_term_are_stale,
		the_page_shows_that_the_work_has_started,
		s5_a_resumed_term_goes_on,
		s5_one_that_had_not_started_has_its_time_again,
		s5_a_worker_that_does_not_come_back_loses_its_term,
		s5_one_that_comes_back_late_is_told_revoked,
		s5_a_revoked_term_is_resumed_as_revoked,
		s5_a_session_that_is_gone_takes_its_terms_along,
		s5_a_resumed_term_is_verified,
		w12_shutdown_revokes_waits_and_releases,
		w14_the_last_exchange_releases_what_is_left,
		w12_shutdown_waits_for_the_frozen_deadline_of_a_silent_worker,
		shutdown_does_not_wait_for_a_database_that_is_away,
		shutdown_ends_though_its_last_exchange_fails,
		shutdown_of_one_that_leads_nothing_is_immediate,
		shutdown_while_a_claim_is_out,
		one_that_is_ending_claims_nothing,
	};
	return run_suite("election-worker", tests, COUNT_OF(tests));
}
