// SPDX-License-Identifier: Apache-2.0
// Many daemons' exchanges with one PostgreSQL, by the driver itself: of each three one renews and two follow it, each
// over a connection of its own, at the default timing and as evenly spread as many daemons come to be.
//
//   time_fleet CONNINFO DAEMONS SECONDS   prints "late NS" (behind its time), "renew NS" and "poll NS" for each, and
//                                         "begin" and "end" around them, after which it waits for a line each
#include "clock.h"
#include "driver.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>

#define LEASE_MS 10000
#define INTERVAL_NS (2 * NS_PER_S)
#define TIMEOUT_NS (10 * NS_PER_S)
#define GROUP 3
#define THREADS 4

struct node {
	char name[32];
	char component[32];
	const char *names[1];
	struct store_names store_names;
	struct store_config config;
	struct store_link *link;
	struct uuid session;
	bool leads;
};

struct span {
	struct node *first;
	size_t count, step; // every step-th node
	int64_t begun_at;
	int64_t end_at;
};

static struct incarnation server;
static int never;

static void die(const char *what)
{
	fprintf(stderr, "time_fleet: %s\n", what);
	exit(EXIT_FAILURE);
}

static void exchange(struct node *node, struct exchange_request request)
{
	struct exchange_grant grant;
	struct exchange_row row;
	struct exchange_reply reply = {.outcome = EXCHANGE_UNKNOWN, .grants = &grant, .rows = &row};
	struct store_answer answer = {.reply = &reply, .grants = &grant, .rows = &row};
	request.session = node->session;
	request.lease_ms = LEASE_MS;
	request.incarnation = server;
	struct store_call call = {&request, clock_now_ns() + TIMEOUT_NS, never};
	store_postgresql.exchange(node->link, &call, &answer);
	free(answer.candidates);
	if (reply.outcome != EXCHANGE_OK)
		die(reply.text);
	if (request.claim_count && reply.grant_count != 1)
		die("a free lease was not granted");
	if (!server.text[0])
		server = reply.server;
}

static void open_node(struct node *node, size_t i, const char *conninfo)
{
	snprintf(node->name, sizeof node->name, "host-%zu", i);
	snprintf(node->component, sizeof node->component, "component-%zu", i / GROUP);
	node->leads = i % GROUP == 0;
	node->names[0] = node->component;
	node->store_names = (struct store_names){.name = node->names, .count = 1};
	node->config = (struct store_config){.node = node->name, .timeout_ns = TIMEOUT_NS, .conninfo = conninfo};
	if (store_postgresql.open(&node->link, &node->config, &node->store_names) < 0 ||
		uuid_random(&node->session) < 0)
		die("no link");
	exchange(node, (struct exchange_request){.session_op = EXCHANGE_SESSION_CREATE, .report = true});
	struct exchange_claim claim = {.missing = true, .holder_seq = -1};
	if (node->leads)
		exchange(node, (struct exchange_request){.claims = &claim, .claim_count = 1});
}

static void sleep_until(int64_t at)
{
	struct timespec time = {.tv_sec = at / NS_PER_S, .tv_nsec = at % NS_PER_S};
	while (clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &time, NULL) == EINTR)
		;
}

static void take_turn(struct node *node, int64_t due)
{
	static const struct exchange_request renewal = {.session_op = EXCHANGE_SESSION_RENEW};
	static const struct exchange_request look = {.report = true};
	sleep_until(due);
	int64_t begun_at = clock_now_ns();
	exchange(node, node->leads ? renewal : look);
	int64_t took = clock_now_ns() - begun_at;
	printf("late %lld\n%s %lld\n", (long long)(begun_at - due), node->leads ? "renew" : "poll", (long long)took);
}

static void *run(void *argument)
{
	const struct span *span = argument;
	for (int64_t round = span->begun_at; round < span->end_at; round += INTERVAL_NS)
		for (size_t i = 0; i < span->count; i += span->step)
			take_turn(&span->first[i], round + (int64_t)i * INTERVAL_NS / (int64_t)span->count);
	return NULL;
}

static void pause_at(const char *word)
{
	char line[8];
	printf("%s 0\n", word);
	fflush(stdout);
	if (!fgets(line, sizeof line, stdin))
		exit(EXIT_SUCCESS);
}

static void run_all(struct node *nodes, size_t count, int64_t seconds)
{
	pthread_t threads[THREADS];
	struct span spans[THREADS];
	int64_t begun_at = clock_now_ns() + NS_PER_S / 10;
	for (size_t i = 0; i < THREADS; i++) {
		spans[i] = (struct span){nodes + i, count - i, THREADS, begun_at, begun_at + seconds * NS_PER_S};
		if (pthread_create(&threads[i], NULL, run, &spans[i]) != 0)
			die("no thread");
	}
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

int main(int argc, char **argv)
{
	if (argc != 4)
		die("usage: time_fleet CONNINFO DAEMONS SECONDS");
	size_t count = strtoul(argv[2], NULL, 10);
	struct node *nodes = calloc(count, sizeof *nodes);
	never = eventfd(0, EFD_CLOEXEC);
	if (!nodes || never < 0 || count < THREADS)
		die("no room");
	char text[EXCHANGE_TEXT_SIZE];
	const struct store_config config = {.node = "init", .timeout_ns = TIMEOUT_NS, .conninfo = argv[1]};
	if (store_postgresql.init_schema(&config, text) < 0)
		die(text);
	for (size_t i = 0; i < count; i++)
		open_node(&nodes[i], i, argv[1]);
	pause_at("begin");
	run_all(nodes, count, strtol(argv[3], NULL, 10));
	pause_at("end");
	for (size_t i = 0; i < count; i++)
		store_postgresql.close(nodes[i].link);
	free(nodes);
	return EXIT_SUCCESS;
}
