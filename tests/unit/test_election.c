// SPDX-License-Identifier: Apache-2.0
// The rules of algorithm.md, one scenario or more each.
#include "election_bench.h"

// ---- beginning ----

// R2: the first attempt is made at once, not after a tick.
START_TEST(r2_granted_without_waiting)
{
	tick(&a);
	ck_assert(a.out);
	ck_assert_int_eq(a.request.session_op, EXCHANGE_SESSION_CREATE);
	ck_assert_int_eq(say(&a, ELECTION_JOIN, 0, 0), ANSWER_OK);
	settle(&a);
	ck_assert_int_eq(now, START);
	ck_assert(leads(&a, 0));
	ck_assert_uint_eq(term_of(&a, 0), 1);
	ck_assert_uint_eq(last_told(&a, NOTE_GRANTED, 0)->term, 1);
}
END_TEST

START_TEST(a_missing_row_is_inserted_with_the_claim)
{
	tick(&a);
	settle(&a);
	say(&a, ELECTION_JOIN, 0, 0);
	ck_assert_uint_eq(a.request.claim_count, 1);
	ck_assert(a.request.claims[0].missing);
	ck_assert_int_eq(a.request.session_op, EXCHANGE_SESSION_RENEW);
	settle(&a);
	ck_assert(leads(&a, 0));
}
END_TEST

// W1, R3: without a store there is no leader, and with one there is.
START_TEST(w1_nothing_is_granted_without_a_store)
{
	a.silent = true;
	pass(60 * NS_PER_S);
	ck_assert_int_eq(say(&a, ELECTION_JOIN, 0, 0), ANSWER_OK);
	pass(60 * NS_PER_S);
	ck_assert_uint_eq(a.told_count, 0);
	a.silent = false;
	pass(TIMEOUT + LEASE / 2);
	ck_assert(leads(&a, 0));
}
END_TEST

// ---- rule 1 ----

START_TEST(rule_1_a_grant_counts_from_the_send)
{
	tick(&a);
	settle(&a);
	say(&a, ELECTION_JOIN, 0, 0);
	int64_t sent = now;
	carry_out(&a);
	now += 1500 * MS;
	hear(&a);
	ck_assert_int_eq(last_told(&a, NOTE_GRANTED, 0)->deadline, sent + LEASE);
}
END_TEST

START_TEST(rule_1_an_extension_counts_from_the_send)
{
	lead(&a, 0);
	now += RENEW;
	tick(&a);
	ck_assert_int_eq(a.request.session_op, EXCHANGE_SESSION_RENEW);
	int64_t sent = now;
	carry_out(&a);
	now += 1900 * MS;
	hear(&a);
	ck_assert_int_eq(last_told(&a, NOTE_EXTENDED, 0)->deadline, sent + LEASE);
	ck_assert_int_eq(deadline_of(&a, 0), sent + LEASE);
}
END_TEST

// ---- rules 2 and 6 ----

START_TEST(rule_2_a_session_is_observed_for_a_whole_lease_and_the_margin)
{
	lead(&a, 0);
	follow(&b, 0);
	int64_t seen = now;
	kill_daemon(&a);
	pass_until(seen + LEASE + MARGIN - 1);
	ck_assert(!leads(&b, 0));
	pass_until(seen + LEASE + MARGIN);
	ck_assert(leads(&b, 0));
	ck_assert_uint_eq(term_of(&b, 0), 2);
}
END_TEST

START_TEST(rule_2_counts_from_when_the_reply_arrived)
{
	lead(&a, 0);
	tick(&b);
	settle(&b);
	now += POLL;
	tick(&b);
	carry_out(&b); // shows the session as it is now
	now += 500 * MS;
	hear(&b);
	follow(&b, 0);
	int64_t heard = b.leases[0].observed_at;
	ck_assert_int_le(heard, START); // the pair was the same at the first look
	pass(RENEW - POLL - 500 * MS);  // a renews: another pair
	now += POLL;
	tick(&b);
	carry_out(&b);
	now += 500 * MS;
	hear(&b);
	ck_assert_int_eq(b.leases[0].observed_at, now);
}
END_TEST

START_TEST(rule_2_a_renewal_begins_the_observation_anew)
{
	lead(&a, 0);
	follow(&b, 0);
	pass(60 * NS_PER_S);
	ck_assert(leads(&a, 0));
	ck_assert(!leads(&b, 0));
	int64_t renewed = a.election.renewed_at;
	kill_daemon(&a);
	pass_until(renewed + LEASE);
	ck_assert(!leads(&b, 0));
	pass_until(renewed + LEASE + MARGIN + 150 * MS);
	ck_assert(leads(&b, 0));
}
END_TEST

START_TEST(rule_2_waits_for_the_length_of_that_sessions_lease)
{
	lead(&a, 0);
	for (size_t i = 0; i < db->session_capacity; i++)
		db->sessions[i].lease_ms = 40000;
	follow(&b, 0);
	int64_t seen = now;
	kill_daemon(&a);
	pass_until(seen + 40 * NS_PER_S + 4 * MARGIN - 1);
	ck_assert(!leads(&b, 0));
	pass(1);
	ck_assert(leads(&b, 0));
}
END_TEST

// A timer is armed for the very moment at which a kill becomes legal.
START_TEST(rule_2_the_kill_is_due_at_its_moment)
{
	lead(&a, 0);
	follow(&b, 0);
	int64_t legal = now + LEASE + MARGIN;
	kill_daemon(&a);
	pass_until(legal - 1);
	ck_assert(!b.out);
	ck_assert_int_eq(election_deadline(&b.election), legal);
}
END_TEST

// ---- rule 3 ----

START_TEST(rule_3_a_new_incarnation_is_not_believed_for_a_lease)
{
	tick(&a);
	settle(&a);
	new_server("server-2");
	say(&a, ELECTION_JOIN, 0, 0);
	settle(&a);
	ck_assert(!leads(&a, 0));
	int64_t seen = now;
	pass_until(seen + LEASE + MARGIN - 1);
	ck_assert(!leads(&a, 0));
	ck_assert_str_eq(db->believed.text, "server-1");
	pass_until(seen + LEASE + MARGIN);
	ck_assert(leads(&a, 0));
	ck_assert(a.told_count > 0);
	ck_assert_str_eq(db->believed.text, "server-2");
}
END_TEST

START_TEST(rule_3_sitting_leaders_go_on)
{
	lead(&a, 0);
	forget(&a);
	new_server("server-2");
	pass(30 * NS_PER_S);
	ck_assert(leads(&a, 0));
	ck_assert_uint_eq(times_told(&a, NOTE_REVOKED, 0), 0);
	ck_assert_int_ge(deadline_of(&a, 0), now + LEASE - RENEW);
}
END_TEST

START_TEST(rule_3_one_that_was_adopted_is_believed)
{
	new_server("server-2");
	db->believed = db->server;
	lead(&a, 0);
	ck_assert_int_eq(now, START);
}
END_TEST

// ---- rule 4 ----

START_TEST(rule_4_a_claim_names_the_pair_that_was_observed)
{
	lead(&a, 0);
	follow(&b, 0);
	kill_daemon(&a);
	pass(LEASE + MARGIN - 1);
	now++;
	tick(&b);
	ck_assert_uint_eq(b.request.claim_count, 1);
	const struct exchange_claim *claim = &b.request.claims[0];
	ck_assert(uuid_equal(&claim->holder, &a.election.session));
	ck_assert_int_eq(claim->holder_seq, 2); // inserted, and renewed with the claim
	ck_assert_uint_eq(claim->term, 1);
}
END_TEST

START_TEST(rule_4_a_renewal_that_got_in_first_wins)
{
	lead(&a, 0);
	follow(&b, 0);
	a.silent = true;
	pass(LEASE + MARGIN - 1);
	now++;
	tick(&b);
	ck_assert_uint_eq(b.request.claim_count, 1);
	ck_assert(a.out);
	carry_out(&a); // a's renewal was only slow
	settle(&b);
	ck_assert(!leads(&b, 0));
	ck_assert_int_eq(b.leases[0].state, LEASE_CANDIDATE);
	ck_assert_int_eq(b.leases[0].observed_at, now);
}
END_TEST

// ---- rule 5 ----

START_TEST(rule_5_terms_survive_writes_that_were_lost)
{
	lead(&a, 0);
	kill_daemon(&a);
	// A replica that has seen nothing of it.
	memset(db->sessions, 0, db->session_capacity * sizeof *db->sessions);
	memset(db->leases, 0, NAMES * sizeof *db->leases);
	new_server("server-2");
	follow(&b, 0);
	pass(LEASE + MARGIN);
	ck_assert(leads(&b, 0));
	ck_assert_uint_gt(term_of(&b, 0), 1);
	ck_assert_uint_ge(term_of(&b, 0), (uint64_t)db->unix_time);
	uint64_t first = term_of(&b, 0);
	say(&b, ELECTION_STOPPED, 0, first);
	pass(2 * COOLDOWN);
	ck_assert_uint_eq(term_of(&b, 0), first + 1);
}
END_TEST

// What an earlier life of it drew may have been lost by the server, and the session is the same.
START_TEST(rule_5_a_daemon_that_comes_back_leaps_elsewhere)
{
	uint64_t leaps[3];
	tick(&a);
	settle(&a);
	struct uuid session = a.election.session;
	for (size_t i = 0; i < COUNT_OF(leaps); i++) {
		start(&a, "a");
		election_resume_session(&a.election, &session);
		tick(&a);
		ck_assert(a.out && a.request.number == 1 && uuid_equal(&a.request.session, &session));
		leaps[i] = a.request.leap;
		ck_assert_uint_ge(leaps[i], EXCHANGE_LEAP_LEAST);
		ck_assert(i == 0 || leaps[i] != leaps[i - 1]);
	}
}
END_TEST

// ---- rule 7 ----

START_TEST(rule_7_a_claim_whose_reply_was_lost_is_claimed_again)
{
	tick(&a);
	settle(&a);
	say(&a, ELECTION_JOIN, 0, 0);
	carry_out(&a);
	ck_assert_uint_eq(db->leases[0].term, 1);
	refuse(&a, EXCHANGE_UNKNOWN);
	pass(NS_PER_S);
	ck_assert(leads(&a, 0));
	ck_assert_uint_eq(term_of(&a, 0), 2);
	ck_assert_uint_eq(times_told(&a, NOTE_GRANTED, 0), 1);
}
END_TEST

START_TEST(rule_7_and_released_where_nobody_wants_it_any_more)
{
	tick(&a);
	settle(&a);
	say(&a, ELECTION_JOIN, 0, 0);
	carry_out(&a);
	refuse(&a, EXCHANGE_UNKNOWN);
	say(&a, ELECTION_GONE, 0, 0);
	pass(NS_PER_S);
	ck_assert(uuid_is_none(&db->leases[0].session));
	ck_assert_uint_eq(a.told_count, 0);
}
END_TEST

// The worker left while the claim was out: the term is not told to anybody, and given back.
START_TEST(a_grant_that_nobody_waits_for_is_given_back)
{
	tick(&a);
	settle(&a);
	say(&a, ELECTION_JOIN, 0, 0);
	say(&a, ELECTION_GONE, 0, 0);
	carry_out(&a);
	now += MS;
	hear(&a);
	settle(&a);
	ck_assert_uint_eq(a.told_count, 0);
	ck_assert_uint_eq(db->leases[0].term, 1);
	ck_assert(uuid_is_none(&db->leases[0].session));
	ck_assert_int_eq(a.leases[0].state, LEASE_IDLE);
}
END_TEST

// ---- rule 8 ----

// The daemon was stopped for longer than the lease, and nobody took the session from it.
START_TEST(rule_8_what_expired_is_lost_even_if_a_renewal_succeeds)
{
	lead(&a, 0);
	now += RENEW;
	tick(&a);
	carry_out(&a);
	now = START + LEASE;
	forget(&a);
	hear(&a);
	settle(&a);
	ck_assert_int_eq(a.election.session_state, SESSION_LIVE);
	ck_assert_ptr_null(last_told(&a, NOTE_EXTENDED, 0));
	ck_assert_ptr_nonnull(last_told(&a, NOTE_REVOKED, 0));
	ck_assert_uint_eq(term_of(&a, 0), 0);
}
END_TEST

// ---- rule 9 ----

START_TEST(rule_9_a_term_is_verified_before_it_is_extended)
{
	lead(&a, 0);
	lead(&a, 1);
	new_server("server-2");
	pass(RENEW - 1);
	forget(&a);
	now++;
	tick(&a);
	carry_out(&a);
	a.reply.row_count = 0; // a renewal alone proves nothing now
	hear(&a);
	ck_assert_ptr_null(last_told(&a, NOTE_EXTENDED, 0));
	ck_assert(a.out); // so the row is asked for at once
	ck_assert(a.request.report);
	settle(&a);
	pass(RENEW);
	ck_assert_ptr_nonnull(last_told(&a, NOTE_EXTENDED, 0));
}
END_TEST

START_TEST(rule_9_a_claim_that_the_replica_lost_is_revoked)
{
	lead(&a, 0);
	new_server("server-2");
	db->leases[0].session = (struct uuid){{0}};
	db->leases[0].term = 0;
	forget(&a);
	pass(RENEW);
	const struct told *revoked = last_told(&a, NOTE_REVOKED, 0);
	ck_assert_ptr_nonnull(revoked);
	ck_assert_int_eq(revoked->reason, REASON_LOST);
	ck_assert_ptr_null(last_told(&a, NOTE_EXTENDED, 0));
	// Nobody else may lead before this is over: the frozen deadline stands.
	ck_assert_int_eq(revoked->deadline, START + LEASE);
}
END_TEST

// A stale replica may bring it back, and as long as this session lives nobody else gets it.
START_TEST(rule_7_what_may_not_be_claimed_for_a_while_is_given_back)
{
	lead(&a, 0);
	struct uuid mine = db->leases[0].session;
	say(&a, ELECTION_STOPPED, 0, 1);
	settle(&a);
	ck_assert(uuid_is_none(&db->leases[0].session));
	db->leases[0].session = mine;
	pass(2 * POLL);
	ck_assert(uuid_is_none(&db->leases[0].session));
	ck_assert_uint_eq(times_told(&a, NOTE_GRANTED, 0), 1);
	pass(COOLDOWN);
	ck_assert(leads(&a, 0));
	ck_assert_uint_eq(a.leases[0].token.term, 2);
}
END_TEST

START_TEST(rule_9_another_term_of_mine_is_not_this_one)
{
	lead(&a, 0);
	new_server("server-2");
	db->leases[0].term = 7;
	forget(&a);
	pass(RENEW);
	ck_assert_ptr_nonnull(last_told(&a, NOTE_REVOKED, 0));
}
END_TEST

// ---- rule 10 ----

static void observe_half_a_lease(void)
{
	lead(&a, 0);
	follow(&b, 0);
	kill_daemon(&a);
	pass(LEASE / 2);
}

START_TEST(rule_10_another_connection_begins_the_observation_anew)
{
	observe_half_a_lease();
	b.connection++;
	pass(2 * POLL);
	int64_t again = b.leases[0].observed_at;
	ck_assert_int_gt(again, START + LEASE / 2);
	pass_until(again + LEASE + MARGIN - 1);
	ck_assert(!leads(&b, 0));
	pass(1);
	ck_assert(leads(&b, 0));
}
END_TEST

START_TEST(rule_10_so_does_a_new_incarnation)
{
	observe_half_a_lease();
	new_server("server-2");
	pass(2 * POLL);
	ck_assert_int_gt(b.leases[0].observed_at, START + LEASE / 2);
}
END_TEST

START_TEST(rule_10_so_does_an_exchange_that_failed)
{
	observe_half_a_lease();
	b.silent = true;
	pass(POLL + TIMEOUT);
	b.silent = false;
	pass(2 * TIMEOUT);
	ck_assert_int_gt(b.leases[0].observed_at, START + LEASE / 2);
	pass_until(START + LEASE + MARGIN);
	ck_assert(!leads(&b, 0));
}
END_TEST

// Contention is normal, and no reason to doubt what was seen.
START_TEST(rule_10_a_busy_database_does_not)
{
	observe_half_a_lease();
	b.silent = true;
	pass(POLL);
	ck_assert(b.out);
	refuse(&b, EXCHANGE_BUSY);
	b.silent = false;
	pass_until(START + LEASE + MARGIN);
	ck_assert(leads(&b, 0));
}
END_TEST

// ---- rules 11 and 12 ----

START_TEST(rule_11_no_row_ends_every_term_at_once)
{
	lead(&a, 0);
	lead(&a, 1);
	struct uuid before = a.election.session;
	memset(db->sessions, 0, db->session_capacity * sizeof *db->sessions);
	forget(&a);
	now += RENEW;
	tick(&a);
	answer(&a);
	for (uint32_t lease = 0; lease < NAMES; lease++) {
		ck_assert_int_eq(last_told(&a, NOTE_REVOKED, lease)->reason, REASON_LOST); // W10
		ck_assert_int_le(last_told(&a, NOTE_REVOKED, lease)->deadline, now);
		ck_assert_uint_eq(term_of(&a, lease), 0);
	}
	ck_assert(!uuid_equal(&a.election.session, &before));
	ck_assert_int_eq(a.request.session_op, EXCHANGE_SESSION_CREATE);
}
END_TEST

START_TEST(rule_11_a_session_is_never_inserted_twice)
{
	tick(&a);
	struct uuid id = a.request.session;
	carry_out(&a);
	refuse(&a, EXCHANGE_UNKNOWN);
	pass(NS_PER_S);
	ck_assert(uuid_equal(&a.election.session, &id));
	ck_assert_int_eq(a.request.session_op, EXCHANGE_SESSION_RENEW);
	ck_assert_int_eq(a.election.session_state, SESSION_LIVE);
}
END_TEST

START_TEST(rule_11_one_that_was_not_inserted_gets_another_id)
{
	tick(&a);
	struct uuid id = a.request.session;
	refuse(&a, EXCHANGE_UNKNOWN);
	pass(NS_PER_S);
	ck_assert_int_eq(a.election.session_state, SESSION_LIVE);
	ck_assert(!uuid_equal(&a.election.session, &id));
}
END_TEST

START_TEST(rule_12_after_an_unknown_outcome_nothing_is_claimed_unseen)
{
	tick(&a);
	settle(&a);
	say(&a, ELECTION_JOIN, 0, 0);
	ck_assert_uint_eq(a.request.claim_count, 1);
	refuse(&a, EXCHANGE_UNKNOWN);
	a.silent = true;
	pass(NS_PER_S);
	ck_assert(a.out);
	ck_assert_uint_eq(a.request.claim_count, 0);
	ck_assert(a.request.report);
}
END_TEST

START_TEST(rule_12_an_answer_that_comes_too_late_is_no_answer)
{
	lead(&a, 0);
	now += RENEW;
	tick(&a);
	carry_out(&a);
	struct exchange_reply late = a.reply;
	now += TIMEOUT;
	tick(&a);
	ck_assert(a.update.abort);
	ck_assert_uint_eq(a.update.abort_number, late.number);
	ck_assert(a.out); // and the next one is out already
	forget(&a);
	step(&a, (struct election_event){.type = ELECTION_REPLY, .reply = &late});
	ck_assert_uint_eq(a.told_count, 0);
	ck_assert_int_eq(a.election.renewed_at, START);
}
END_TEST

// ---- rule 14 ----

START_TEST(rule_14_a_locked_row_delays_its_own_claim_only)
{
	tick(&a);
	settle(&a);
	db->leases[0].exists = true;
	db->leases[0].locked = true;
	say(&a, ELECTION_JOIN, 0, 0);
	say(&a, ELECTION_JOIN, 1, 0);
	settle(&a);
	ck_assert(!leads(&a, 0));
	pass(100 * MS);
	ck_assert(leads(&a, 1));
	ck_assert(!leads(&a, 0));
	db->leases[0].locked = false;
	pass(200 * MS);
	ck_assert(leads(&a, 0));
}
END_TEST

START_TEST(rule_14_a_locked_row_is_released_when_it_is_free)
{
	lead(&a, 0);
	db->leases[0].locked = true;
	say(&a, ELECTION_GONE, 0, 0);
	settle(&a);
	ck_assert(!uuid_is_none(&db->leases[0].session));
	ck_assert_int_eq(a.leases[0].state, LEASE_RELEASING);
	db->leases[0].locked = false;
	pass(200 * MS);
	ck_assert(uuid_is_none(&db->leases[0].session));
	ck_assert_int_eq(a.leases[0].state, LEASE_IDLE);
}
END_TEST

// ---- when to ask ----

// R16
START_TEST(r16_a_waiting_replica_does_not_write_per_poll)
{
	lead(&a, 0);
	lead(&a, 1);
	follow(&b, 0);
	pass(LEASE);
	forget(&b);
	pass(60 * NS_PER_S);
	ck_assert_uint_ge(b.exchanges, 25); // it looks
	ck_assert_uint_le(b.exchanges, 70);
	ck_assert_uint_le(b.writes, 3); // and keeps its session seen
}
END_TEST

// Only what others may ask of it (S2), once a lease.
START_TEST(a_leader_of_everything_renews_and_hardly_reads)
{
	lead(&a, 0);
	lead(&a, 1);
	forget(&a);
	pass(60 * NS_PER_S);
	ck_assert_uint_eq(a.exchanges, 30);
	ck_assert_uint_le(a.reports, 6);
}
END_TEST

// Phase-locked: a follower looks right after the renewal that it expects.
START_TEST(a_follower_looks_right_after_a_renewal)
{
	lead(&a, 0);
	lead(&a, 1);
	follow(&b, 0);
	pass(LEASE);
	int64_t renewed = a.election.renewed_at;
	pass_until(renewed + RENEW + 100 * MS);
	ck_assert_int_gt(b.election.sent_at, renewed + RENEW);
	ck_assert_int_gt(b.leases[0].observed_at, renewed + RENEW);
}
END_TEST

START_TEST(a_hint_is_worth_a_look)
{
	lead(&a, 0);
	follow(&b, 0);
	pass(RENEW + 100 * MS);
	ck_assert(!b.out);
	hint_freed(&b, UINT32_MAX); // the store knows its name already
	ck_assert(b.out);
	ck_assert(b.request.report);
	ck_assert_uint_eq(b.request.claim_count, 0);
}
END_TEST

START_TEST(what_is_announced_to_be_free_is_claimed)
{
	lead(&a, 0);
	follow(&b, 0);
	pass(RENEW + 100 * MS);
	say(&a, ELECTION_YIELD, 0, 1);
	settle(&a);
	hint_freed(&b, 0);
	ck_assert_uint_eq(b.request.claim_count, 1);
	ck_assert(uuid_is_none(&b.request.claims[0].holder));
	ck_assert(!b.request.report && !b.request.holds); // others wait for nothing but the claim
	carry_out(&b);
	hear(&b);
	ck_assert(leads(&b, 0));
	ck_assert_uint_eq(term_of(&b, 0), 2);
	ck_assert(b.out && b.request.report && b.request.holds);
}
END_TEST

// And what is not free is not taken, nor is its holder killed sooner, or later, than it may be.
START_TEST(what_is_not_free_stays)
{
	lead(&a, 0);
	follow(&b, 0);
	pass(RENEW + 100 * MS);
	int64_t observed_at = b.leases[0].observed_at;
	hint_freed(&b, 0);
	ck_assert_uint_eq(b.request.claim_count, 1);
	settle(&b);
	ck_assert(leads(&a, 0) && !leads(&b, 0));
	ck_assert_int_eq(b.leases[0].observed_at, observed_at);
	a.silent = true;
	tick(&a);
	pass(2 * LEASE);
	ck_assert(leads(&b, 0));
}
END_TEST

// What the answer shows that was out when it was announced is not older by much, but may be another leader.
START_TEST(what_was_announced_is_forgotten_with_the_next_leader)
{
	lead(&a, 0);
	follow(&b, 0);
	pass(RENEW + 100 * MS);
	hint(&b);
	db->leases[0].term = 7;
	carry_out(&b);
	hint_freed(&b, 0);
	hear(&b);
	ck_assert(b.out); // it looks
	ck_assert_uint_eq(b.request.claim_count, 0);
}
END_TEST

// A worker that nobody hears of is killed as ever, whatever is announced all the time.
START_TEST(rule_4_what_is_announced_keeps_no_dead_leader)
{
	lead(&a, 0);
	follow(&b, 0);
	pass(100 * MS);
	hint_freed(&b, 0);
	for (int64_t until = now + 2 * LEASE; now < until && !leads(&b, 0); now += 50 * MS) {
		carry_out(&b);
		hint_freed(&b, 0);
		hear(&b);
		if (!b.out)
			hint_freed(&b, 0);
	}
	ck_assert(leads(&b, 0));
}
END_TEST

START_TEST(s2_a_hint_makes_a_leader_look)
{
	lead(&a, 0);
	lead(&a, 1);
	pass(100 * MS);
	hint(&a);
	ck_assert(a.out);
	ck_assert(a.request.report);
}
END_TEST

START_TEST(a_hint_while_an_exchange_is_out_is_kept)
{
	lead(&a, 0);
	follow(&b, 0);
	pass(RENEW + 100 * MS);
	hint(&b);
	carry_out(&b);
	hint(&b);
	hear(&b);
	ck_assert(b.out);
}
END_TEST

// A standby waits for it: what this daemon has to say of itself comes after.
START_TEST(a_release_goes_first)
{
	lead(&a, 0);
	lead(&a, 1);
	pass(RENEW - 100 * MS); // a renewal is due soon
	say(&a, ELECTION_GONE, 0, 0);
	ck_assert_uint_eq(a.request.release_count, 1);
	ck_assert_int_eq(a.request.session_op, EXCHANGE_SESSION_NONE);
	ck_assert(!a.request.publish);
	carry_out(&a);
	hear(&a);
	ck_assert(!a.out);
	now = next_deadline(&a, now + 200 * MS);
	tick(&a);
	ck_assert(a.out);
	ck_assert_int_eq(a.request.session_op, EXCHANGE_SESSION_RENEW);
	ck_assert(a.request.publish);
	ck_assert_uint_eq(a.request.offer_count, 1);
}
END_TEST

// R7: contention is tried again soon, a refusal at the pace of a poll, a lost connection with growing patience.
START_TEST(r7_every_outcome_has_its_own_patience)
{
	static const struct {
		enum exchange_outcome outcome;
		int64_t least, most;
	} cases[] = {
		{EXCHANGE_BUSY, 10 * MS, 200 * MS},
		{EXCHANGE_DENIED, POLL, POLL},
		{EXCHANGE_UNAVAILABLE, 10 * MS, 500 * MS},
		{EXCHANGE_UNKNOWN, 10 * MS, 500 * MS},
	};
	tick(&a);
	settle(&a);
	say(&a, ELECTION_JOIN, 0, 0);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		refuse(&a, cases[i].outcome);
		ck_assert(!a.out);
		int64_t wait = election_deadline(&a.election) - now;
		ck_assert_int_ge(wait, cases[i].least);
		ck_assert_int_le(wait, cases[i].most);
		now += wait;
		tick(&a);
		ck_assert(a.out);
	}
	settle(&a);
	pass(NS_PER_S);
	ck_assert(leads(&a, 0));
}
END_TEST

START_TEST(a_lost_connection_is_not_hammered)
{
	tick(&a);
	settle(&a);
	now += POLL;
	tick(&a);
	int64_t from = now;
	unsigned failures = 0;
	for (; now < from + 10 * NS_PER_S; failures++) {
		refuse(&a, EXCHANGE_UNAVAILABLE);
		now = election_deadline(&a.election);
		tick(&a);
	}
	ck_assert_uint_ge(failures, 10);
	ck_assert_uint_le(failures, 30);
}
END_TEST

// Where many come back at once, those who hold nothing let a slow server catch up; a leader tries as long as it can.
START_TEST(a_slow_server_is_given_time_by_who_holds_nothing)
{
	lead(&a, 0);
	follow(&b, 0);
	a.silent = b.silent = true;
	forget(&a);
	forget(&b);
	pass(LEASE - GRACE);
	ck_assert_uint_ge(a.exchanges, 3);
	pass(LEASE);
	forget(&a);
	forget(&b);
	pass(20 * LEASE);
	struct daemon *const both[] = {&a, &b};
	for (size_t i = 0; i < COUNT_OF(both); i++) {
		ck_assert_uint_ge(both[i]->exchanges, 20 * LEASE / (TIMEOUT + LEASE / 2) - 1);
		ck_assert_uint_le(both[i]->exchanges, 20 * LEASE / (TIMEOUT + LEASE / 4) + 1);
	}
	ck_assert_int_ne(a.election.sent_at, b.election.sent_at); // not in step
}
END_TEST

// ---- sweeping ----

static size_t count_sessions(void)
{
	size_t count = 0;
	for (size_t i = 0; i < db->session_capacity; i++)
		count += !uuid_is_none(&db->sessions[i].id);
	return count;
}

START_TEST(a_session_that_nobody_renews_is_swept_after_ten_leases)
{
	tick(&a);
	settle(&a);
	kill_daemon(&a);
	tick(&b);
	settle(&b);
	ck_assert_uint_eq(count_sessions(), 2);
	pass_until(START + 10 * LEASE);
	ck_assert_uint_eq(count_sessions(), 2);
	pass(3 * LEASE);
	ck_assert_uint_eq(count_sessions(), 1);
}
END_TEST

START_TEST(a_live_candidate_is_not_swept)
{
	lead(&a, 0);
	follow(&b, 0);
	pass(40 * LEASE);
	ck_assert_uint_eq(count_sessions(), 2);
	ck_assert_int_eq(b.election.session_state, SESSION_LIVE);
}
END_TEST

// A leader of everything reads no rows, and must not send one sweep for ever.
START_TEST(a_sweep_is_sent_once)
{
	tick(&b);
	settle(&b);
	kill_daemon(&b);
	lead(&a, 0);
	pass(2 * LEASE); // it has seen the stray
	lead(&a, 1);
	unsigned sweeps = 0;
	for (int i = 0; i < 200; i++) {
		uint64_t before = a.election.number;
		pass(NS_PER_S);
		sweeps += a.election.number != before && a.request.sweep_count > 0;
	}
	ck_assert_uint_eq(sweeps, 1);
	ck_assert_uint_eq(count_sessions(), 1);
}
END_TEST

// ---- several components ----

// One exchange per tick for all of them together.
START_TEST(components_share_one_exchange)
{
	lead(&a, 0);
	lead(&a, 1);
	forget(&a);
	now += RENEW;
	tick(&a);
	answer(&a);
	ck_assert_uint_eq(a.exchanges, 1);
	ck_assert_uint_eq(times_told(&a, NOTE_EXTENDED, 0), 1);
	ck_assert_uint_eq(times_told(&a, NOTE_EXTENDED, 1), 1);
}
END_TEST

START_TEST(a_dead_leaders_components_are_taken_together)
{
	lead(&a, 0);
	lead(&a, 1);
	follow(&b, 0);
	follow(&b, 1);
	kill_daemon(&a);
	pass(LEASE + MARGIN);
	ck_assert(leads(&b, 0));
	ck_assert(leads(&b, 1));
}
END_TEST

// A refused claim is put off, but not where the row was freed in the meantime.
START_TEST(a_row_that_is_freed_is_claimed_at_once)
{
	lead(&a, 0);
	follow(&b, 0);
	a.silent = true;
	pass(LEASE + MARGIN - 1);
	now++;
	tick(&b);
	carry_out(&a);
	settle(&b); // refused
	ck_assert(!leads(&b, 0));
	db->leases[0].session = (struct uuid){{0}};
	hint(&b);
	settle(&b);
	ck_assert(leads(&b, 0));
}
END_TEST

START_TEST(outcomes_and_reasons_have_names)
{
	for (int i = 0; i < REASON_COUNT; i++)
		for (int j = 0; j < i; j++)
			ck_assert_str_ne(election_reason_name((enum election_reason)i),
				election_reason_name((enum election_reason)j));
	ck_assert_str_eq(election_reason_name(REASON_WORKER_GONE), "worker-gone");
}
END_TEST

int main(void)
{
	const TTest *tests[] = {
		r2_granted_without_waiting,
		a_missing_row_is_inserted_with_the_claim,
		w1_nothing_is_granted_without_a_store,
		rule_1_a_grant_counts_from_the_send,
		rule_1_an_extension_counts_from_the_send,
		rule_2_a_session_is_observed_for_a_whole_lease_and_the_margin,
		rule_2_counts_from_when_the_reply_arrived,
		rule_2_a_renewal_begins_the_observation_anew,
		rule_2_waits_for_the_length_of_that_sessions_lease,
		rule_2_the_kill_is_due_at_its_moment,
		rule_3_a_new_incarnation_is_not_believed_for_a_lease,
		rule_3_sitting_leaders_go_on,
		rule_3_one_that_was_adopted_is_believed,
		rule_4_a_claim_names_the_pair_that_was_observed,
		rule_4_a_renewal_that_got_in_first_wins,
		rule_5_terms_survive_writes_that_were_lost,
		rule_5_a_daemon_that_comes_back_leaps_elsewhere,
		rule_7_a_claim_whose_reply_was_lost_is_claimed_again,
		rule_7_and_released_where_nobody_wants_it_any_more,
		a_grant_that_nobody_waits_for_is_given_back,
		rule_8_what_expired_is_lost_even_if_a_renewal_succeeds,
		rule_9_a_term_is_verified_before_it_is_extended,
		rule_9_a_claim_that_the_replica_lost_is_revoked,
		rule_7_what_may_not_be_claimed_for_a_while_is_given_back,
		rule_9_another_term_of_mine_is_not_this_one,
		rule_10_another_connection_begins_the_observation_anew,
		rule_10_so_does_a_new_incarnation,
		rule_10_so_does_an_exchange_that_failed,
		rule_10_a_busy_database_does_not,
		rule_11_no_row_ends_every_term_at_once,
		rule_11_a_session_is_never_inserted_twice,
		rule_11_one_that_was_not_inserted_gets_another_id,
		rule_12_after_an_unknown_outcome_nothing_is_claimed_unseen,
		rule_12_an_answer_that_comes_too_late_is_no_answer,
		rule_14_a_locked_row_delays_its_own_claim_only,
		rule_14_a_locked_row_is_released_when_it_is_free,
		r16_a_waiting_replica_does_not_write_per_poll,
		a_leader_of_everything_renews_and_hardly_reads,
		a_follower_looks_right_after_a_renewal,
		a_hint_is_worth_a_look,
		what_is_announced_to_be_free_is_claimed,
		what_is_not_free_stays,
		what_was_announced_is_forgotten_with_the_next_leader,
		rule_4_what_is_announced_keeps_no_dead_leader,
		s2_a_hint_makes_a_leader_look,
		a_hint_while_an_exchange_is_out_is_kept,
		a_release_goes_first,
		r7_every_outcome_has_its_own_patience,
		a_lost_connection_is_not_hammered,
		a_slow_server_is_given_time_by_who_holds_nothing,
		a_session_that_nobody_renews_is_swept_after_ten_leases,
		a_live_candidate_is_not_swept,
		a_sweep_is_sent_once,
		components_share_one_exchange,
		a_dead_leaders_components_are_taken_together,
		a_row_that_is_freed_is_claimed_at_once,
		outcomes_and_reasons_have_names,
	};
	return run_suite("election", tests, COUNT_OF(tests));
}
