// SPDX-License-Identifier: Apache-2.0
// Many daemons at once, each with a connection and a thread of its own.
#include "world.h"

#include "clock.h"

#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#define CLAIMERS 16
#define ROUNDS 1000
#define FLAPPERS 4
#define FLAPS 300
#define KILLERS 4
#define KILL_ROUNDS 50
#define TEST_SECONDS 300

static struct world world;

struct daemon {
	pthread_t thread;
	struct peer peer;
};

static pthread_barrier_t barrier;

// `more` is how many others meet the daemons at the barrier.
static void start(struct daemon *daemons, size_t count, size_t more, void *(*run)(void *))
{
	pthread_barrier_init(&barrier, NULL, (unsigned)(count + more));
	for (size_t i = 0; i < count; i++) {
		peer_init(&daemons[i].peer, &world);
		daemons[i].peer.timeout_ns = 30 * NS_PER_S;
		peer_session(&daemons[i].peer, EXCHANGE_SESSION_CREATE);
	}
	for (size_t i = 0; i < count; i++)
		ck_assert_int_eq(pthread_create(&daemons[i].thread, NULL, run, &daemons[i]), 0);
}

static void finish(struct daemon *daemons, size_t count)
{
	for (size_t i = 0; i < count; i++)
		pthread_join(daemons[i].thread, NULL);
	for (size_t i = 0; i < count; i++)
		peer_done(&daemons[i].peer);
	pthread_barrier_destroy(&barrier);
}

// Contention may end as BUSY, where nothing was changed; it is asked again. Anything else is a fault.
static uint64_t claim(struct peer *peer, const struct exchange_claim *claim)
{
	const struct exchange_request request = {.incarnation = world.server, .claims = claim, .claim_count = 1};
	enum exchange_outcome outcome = peer_exchange(peer, &request);
	if (outcome != EXCHANGE_OK && outcome != EXCHANGE_BUSY) {
		fprintf(stderr, "outcome %d: %s\n", outcome, peer->reply.text);
		abort();
	}
	return outcome == EXCHANGE_OK && peer->reply.grant_count == 1 ? peer->reply.grants[0].term : 0;
}

// ---- R1: 16 claimers of one free row, 1,000 rounds: exactly one winner, term + 1 each ----

static _Atomic int winners;

static void *race_for_a_free_row(void *argument)
{
	struct daemon *daemon = argument;
	for (uint64_t round = 1; round <= ROUNDS; round++) {
		struct exchange_claim wanted = {.lease = 0, .missing = round == 1, .holder_seq = -1, .term = round - 1};
		pthread_barrier_wait(&barrier);
		uint64_t term = claim(&daemon->peer, &wanted);
		if (term) {
			winners++;
			ck_assert_uint_eq(term, round);
		}
		pthread_barrier_wait(&barrier);
		ck_assert_int_eq(winners, (int)round);
		if (term)
			peer_release(&daemon->peer, 0, term);
	}
	return NULL;
}

START_TEST(test_one_winner_each)
{
	static struct daemon daemons[CLAIMERS];
	world_init(&world, (enum backend)_i);
	winners = 0;
	int64_t begun = clock_now_ns();
	start(daemons, CLAIMERS, 0, race_for_a_free_row);
	finish(daemons, CLAIMERS);
	printf("%s: %d rounds of %d claimers in %.1f s\n", world.driver->name, ROUNDS, CLAIMERS,
		(double)(clock_now_ns() - begun) / 1e9);
	world_done(&world);
}
END_TEST

// ---- a row that flaps: a claim that finds it changed after its snapshot decides on what it is by then ----

static _Atomic uint64_t last_term;
static _Atomic int holders;

static bool is_mine(struct peer *peer, uint64_t term)
{
	const struct exchange_row *row = peer_row(peer, 0);
	return row->term == term && uuid_equal(&row->holder, &peer->session);
}

static void *flap(void *argument)
{
	struct daemon *daemon = argument;
	for (int i = 0; i < FLAPS;) {
		struct exchange_claim wanted = {.lease = 0, .missing = true, .holder_seq = -1};
		uint64_t term = claim(&daemon->peer, &wanted);
		if (!term)
			continue;
		ck_assert_int_eq(++holders, 1);
		ck_assert_uint_eq(term, last_term + 1);
		last_term = term;
		ck_assert_int_eq(--holders, 0);
		// A claim that is being refused holds the row for a moment, and a release goes around it (rule 14).
		do
			peer_release(&daemon->peer, 0, term);
		while (is_mine(&daemon->peer, term));
		i++;
	}
	return NULL;
}

START_TEST(test_flapping_row)
{
	static struct daemon daemons[FLAPPERS];
	world_init(&world, (enum backend)_i);
	last_term = 0;
	start(daemons, FLAPPERS, 0, flap);
	finish(daemons, FLAPPERS);
	ck_assert_uint_eq(last_term, FLAPPERS * FLAPS);
	world_done(&world);
}
END_TEST

// ---- all kill the same session at once, while it renews: it dies once or not at all, and its leases go once ----

static struct peer victim;
static struct exchange_row seen[WORLD_LEASES];
static _Atomic int taken[WORLD_LEASES];
static _Atomic bool killed;
static _Atomic int begun; // killers, to kill

static void *kill_the_victim(void *argument)
{
	struct daemon *daemon = argument;
	for (int round = 0; round < KILL_ROUNDS; round++) {
		struct exchange_claim claims[WORLD_LEASES];
		pthread_barrier_wait(&barrier); // the victim is ready
		for (uint32_t i = 0; i < WORLD_LEASES; i++)
			claims[i] = (struct exchange_claim){
				.lease = i,
				.holder = seen[i].holder,
				.holder_seq = seen[i].holder_seq,
				.term = seen[i].term,
			};
		const struct exchange_request request = {
			.incarnation = world.server, .claims = claims, .claim_count = WORLD_LEASES};
		begun++;
		enum exchange_outcome outcome = peer_exchange(&daemon->peer, &request);
		ck_assert(outcome == EXCHANGE_OK || outcome == EXCHANGE_BUSY);
		for (size_t i = 0; outcome == EXCHANGE_OK && i < daemon->peer.reply.grant_count; i++) {
			const struct exchange_grant *grant = &daemon->peer.reply.grants[i];
			killed = true;
			taken[grant->lease]++;
			ck_assert_uint_eq(grant->term, seen[grant->lease].term + 1);
		}
		pthread_barrier_wait(&barrier); // all have tried
		struct exchange_release releases[WORLD_LEASES];
		for (uint32_t i = 0; i < WORLD_LEASES; i++)
			releases[i] =
				(struct exchange_release){.lease = i, .term = seen[i].term + 1, .reason = WORLD_REASON};
		peer_ok(&daemon->peer, &(struct exchange_request){.releases = releases, .release_count = WORLD_LEASES});
		pthread_barrier_wait(&barrier); // all is free again
	}
	return NULL;
}

static void prepare_victim(void)
{
	ck_assert_int_eq(uuid_random(&victim.session), 0);
	peer_session(&victim, EXCHANGE_SESSION_CREATE);
	for (uint32_t i = 0; i < WORLD_LEASES; i++)
		ck_assert_uint_gt(peer_claim(&victim, i), 0);
	const struct exchange_reply *reply = peer_report(&victim);
	memcpy(seen, reply->rows, sizeof seen);
	memset((void *)taken, 0, sizeof taken);
	killed = false;
	begun = 0;
}

// What this thread does between the killers' barriers.
static void run_victim(int *ret_deaths)
{
	for (int round = 0; round < KILL_ROUNDS; round++) {
		prepare_victim();
		pthread_barrier_wait(&barrier);
		// Who comes last to a barrier is the first to leave it: it would always renew in time.
		while (begun < round % (KILLERS + 1))
			sched_yield();
		bool alive = peer_session(&victim, EXCHANGE_SESSION_RENEW)->session_alive;
		pthread_barrier_wait(&barrier);
		// Rule 4: either the renewal was first and nobody got anything, or it is dead and each lease went once.
		if (!alive)
			(*ret_deaths)++;
		ck_assert(!alive || !killed);
		for (uint32_t i = 0; i < WORLD_LEASES; i++)
			ck_assert_int_le(taken[i], 1);
		pthread_barrier_wait(&barrier);
		// What nobody took is the victim's still.
		peer_session(&victim, EXCHANGE_SESSION_DELETE);
	}
}

START_TEST(test_kill_by_many)
{
	static struct daemon daemons[KILLERS];
	int deaths = 0;
	world_init(&world, (enum backend)_i);
	peer_init(&victim, &world);
	victim.timeout_ns = 30 * NS_PER_S;
	start(daemons, KILLERS, 1, kill_the_victim);
	run_victim(&deaths);
	finish(daemons, KILLERS);
	peer_done(&victim);
	printf("%s: the victim died in %d of %d rounds\n", world.driver->name, deaths, KILL_ROUNDS);
	ck_assert_int_gt(deaths, 0);
	world_done(&world);
}
END_TEST

static Suite *races_suite(void)
{
	Suite *suite = suite_create("races");
	TCase *all = tcase_create("races");
	tcase_set_timeout(all, TEST_SECONDS);
	tcase_add_loop_test(all, test_one_winner_each, SHARED, BACKENDS);
	tcase_add_loop_test(all, test_flapping_row, SHARED, BACKENDS);
	tcase_add_loop_test(all, test_kill_by_many, SHARED, BACKENDS);
	suite_add_tcase(suite, all);
	return suite;
}

int main(void)
{
	if (BACKENDS <= SHARED) {
		printf("0 passed, 0 failed, 1 skipped\n");
		return EXIT_SUCCESS;
	}
	world_start_servers();
	SRunner *runner = srunner_create(races_suite());
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	world_stop_servers();
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
