// SPDX-License-Identifier: Apache-2.0
// Claims of one row at different nodes of a Galera cluster: what a node does not know yet, certification does.
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

#ifdef WITH_MYSQL
#include "clock.h"

#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#define CLUSTER "tests/system/galera.py"
#define NODES 3
#define CLAIMERS 6
#define ROUNDS 500
#define TEST_SECONDS 300

static const char *const lease_names[] = {"engine"};
static char sockets[NODES][256];
static struct world nodes[NODES];
static pid_t cluster;
static int cluster_input;

// ---- the cluster: it ends with its input, and so with us ----

static void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", CLUSTER, what);
	exit(EXIT_FAILURE);
}

static void start_cluster(void)
{
	int input[2], output[2];
	if (pipe2(input, O_CLOEXEC) < 0 || pipe2(output, O_CLOEXEC) < 0)
		die("no pipe");
	cluster = fork();
	if (cluster == 0) {
		dup2(input[0], STDIN_FILENO);
		dup2(output[1], STDOUT_FILENO);
		execlp("python3", "python3", CLUSTER, NULL);
		_exit(127);
	}
	close(input[0]);
	close(output[1]);
	cluster_input = input[1];
	FILE *lines = fdopen(output[0], "r");
	for (size_t i = 0; i < NODES; i++) {
		if (cluster < 0 || !lines || !fgets(sockets[i], sizeof sockets[i], lines))
			die("it did not start");
		sockets[i][strcspn(sockets[i], "\n")] = '\0';
	}
	fclose(lines);
}

static int stop_cluster(void)
{
	int status = -1;
	close(cluster_input);
	return waitpid(cluster, &status, 0) == cluster ? status : -1;
}

static void open_nodes(void)
{
	char text[EXCHANGE_TEXT_SIZE] = "";
	for (size_t i = 0; i < NODES; i++)
		nodes[i] = (struct world){
			.backend = MARIADB,
			.driver = store_driver_find("mysql"),
			.names = {.name = lease_names, .count = COUNT_OF(lease_names)},
			.config =
				{
					.node = "host",
					.timeout_ns = 10 * NS_PER_S,
					.history_count = WORLD_HISTORY_COUNT,
					.history_ms = WORLD_HISTORY_MS,
					.schema = "races",
					.socket = sockets[i],
					.user = "root",
				},
		};
	ck_assert_msg(store_init_schema(nodes[0].driver, &nodes[0].config, text) == 0, "%s", text);
}

// ---- who claims ----

struct daemon {
	pthread_t thread;
	struct peer peer;
	struct incarnation server;
	unsigned busy;
	unsigned late; // claims of a row that was not free any more, or not yet, at that node
};

static pthread_barrier_t barrier;
static _Atomic uint64_t winners;

static uint64_t claim(struct daemon *daemon, bool missing)
{
	const struct exchange_claim wanted = {.lease = 0, .missing = missing, .holder_seq = -1};
	const struct exchange_request request = {.incarnation = daemon->server,
		.claims = &wanted,
		.claim_count = 1,
		.session_op = EXCHANGE_SESSION_RENEW};
	enum exchange_outcome outcome = peer_exchange(&daemon->peer, &request);
	ck_assert_msg(outcome == EXCHANGE_OK || outcome == EXCHANGE_BUSY, "%d: %s", outcome, daemon->peer.reply.text);
	daemon->busy += outcome == EXCHANGE_BUSY;
	daemon->late += outcome == EXCHANGE_OK && daemon->peer.reply.grant_count == 0;
	return outcome == EXCHANGE_OK && daemon->peer.reply.grant_count == 1 ? daemon->peer.reply.grants[0].term : 0;
}

// Begins a session, once the tables have come to the peer's node: their coming ends what is under way there.
static struct incarnation begin(struct peer *peer)
{
	enum exchange_outcome outcome = EXCHANGE_DENIED;
	while (outcome == EXCHANGE_DENIED || outcome == EXCHANGE_BUSY)
		outcome = peer_exchange(peer, &(struct exchange_request){.session_op = EXCHANGE_SESSION_CREATE});
	ck_assert_msg(peer->reply.outcome == EXCHANGE_OK, "%s", peer->reply.text);
	return peer->reply.server;
}

static void release(struct peer *peer, uint64_t term)
{
	const struct exchange_release wanted = {.lease = 0, .term = term, .reason = WORLD_REASON};
	const struct exchange_request request = {.releases = &wanted, .release_count = 1, .report = true};
	// What comes from another node ends what is under way here.
	while (peer_exchange(peer, &request) != EXCHANGE_OK || !uuid_is_none(&peer->rows[0].holder))
		ck_assert_int_ne(peer->reply.outcome, EXCHANGE_UNAVAILABLE);
}

static void *race(void *argument)
{
	struct daemon *daemon = argument;
	for (uint64_t round = 1; round <= ROUNDS; round++) {
		uint64_t term = 0;
		pthread_barrier_wait(&barrier);
		while (!term && winners < round)
			term = claim(daemon, round == 1);
		if (term) {
			winners++;
			ck_assert_uint_eq(term, round);
		}
		pthread_barrier_wait(&barrier);
		ck_assert_uint_eq(winners, round);
		if (term)
			release(&daemon->peer, term);
	}
	return NULL;
}

START_TEST(test_one_winner_each)
{
	static struct daemon daemons[CLAIMERS];
	unsigned busy = 0, late = 0;
	open_nodes();
	pthread_barrier_init(&barrier, NULL, CLAIMERS);
	for (size_t i = 0; i < CLAIMERS; i++) {
		peer_init(&daemons[i].peer, &nodes[i % NODES]);
		daemons[i].peer.timeout_ns = 10 * NS_PER_S;
		daemons[i].server = begin(&daemons[i].peer);
		ck_assert(incarnation_equal(&daemons[i].server, &daemons[0].server));
	}
	int64_t begun = clock_now_ns();
	for (size_t i = 0; i < CLAIMERS; i++)
		ck_assert_int_eq(pthread_create(&daemons[i].thread, NULL, race, &daemons[i]), 0);
	for (size_t i = 0; i < CLAIMERS; i++)
		pthread_join(daemons[i].thread, NULL);
	for (size_t i = 0; i < CLAIMERS; i++) {
		busy += daemons[i].busy;
		late += daemons[i].late;
		peer_done(&daemons[i].peer);
	}
	printf("Galera: %d rounds of %d claimers at %d nodes in %.1f s: one winner each; %u conflicts, %u too late\n",
		ROUNDS, CLAIMERS, NODES, (double)(clock_now_ns() - begun) / 1e9, busy, late);
	ck_assert_uint_gt(busy, 0);
}
END_TEST

int main(void)
{
	start_cluster();
	Suite *suite = suite_create("galera");
	TCase *all = tcase_create("galera");
	tcase_set_timeout(all, TEST_SECONDS);
	tcase_add_test(all, test_one_winner_each);
	suite_add_tcase(suite, all);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return stop_cluster() == 0 && failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
#else

int main(void)
{
	printf("0 passed, 0 failed, 1 skipped\n");
	return EXIT_SUCCESS;
}
#endif
