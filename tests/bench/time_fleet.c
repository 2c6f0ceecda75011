// SPDX-License-Identifier: Apache-2.0
// Many daemons in one process, on one PostgreSQL: each has its own election and its own store, as tenured has them, and
// in place of a worker one that starts and stops at once. Of each GROUP one leads, at the default timing.
//
//   time_fleet CONNINFO DAEMONS SECONDS
//
// prints "start 0" once each group has a leader, "begin 0" a lease later and "end 0" SECONDS after that, each behind
// what happened until then, and ends when its input does. From "begin" on it prints, for every exchange, "renew NS" or
// "poll NS" for what it took, and "late NS" for how long after its time a leader's renewal was answered.
#include "clock.h"
#include "driver.h"
#include "fleet.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define EVENTS 256
// Daemons of a fleet are started one after the other: a server with a core or two takes a hundred connections a second.
#define APART_NS (20 * NS_PER_MS)

struct node {
	char name[32];
	char component[32];
	struct store *store;
	struct election election;
	struct room room;
	struct election_update update;
};

static struct node *nodes;
static size_t node_count, started_count;
static int epoll_fd;
static bool measuring;
static struct {
	unsigned long exchanges, hints, failed;
} counted;

static void die(const char *what)
{
	fprintf(stderr, "time_fleet: %s\n", what);
	exit(EXIT_FAILURE);
}

static void step_once(struct node *node, struct election_event event)
{
	struct uuid id;
	if (election_wants_id(&node->election)) {
		if (uuid_random(&id) < 0)
			die("no random bytes");
		election_supply_id(&node->election, &id);
	}
	event.now = clock_now_ns();
	election_step(&node->election, &event, &node->update);
	if (node->update.abort)
		store_abort(node->store, node->update.abort_number);
	if (node->update.submit && store_submit(node->store, &node->update.request, node->update.request_deadline) < 0)
		die("no memory");
}

static void step(struct node *node, struct election_event event)
{
	for (bool more = true; more;) {
		step_once(node, event);
		more = false;
		for (size_t i = 0; i < node->update.note_count; i++)
			more |= answer(&node->update.notes[i], &event);
	}
}

static void open_node(struct node *node, size_t i, const char *conninfo)
{
	snprintf(node->name, sizeof node->name, "host-%zu", i);
	snprintf(node->component, sizeof node->component, "component-%zu", i / GROUP);
	const char *names[] = {node->component};
	const struct store_config config = {.node = node->name,
		.timeout_ns = timing.timeout_ns,
		.history_count = 1000,
		.history_ms = INT64_C(30) * 86400 * 1000,
		.conninfo = conninfo};
	if (store_new(&node->store, &store_postgresql, &config, names, NULL, 1) < 0)
		die("no store");
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = node};
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, store_fd(node->store), &event) < 0)
		die("epoll");
	begin_election(&node->election, &node->update, &node->room, clock_now_ns());
	step(node, (struct election_event){.type = ELECTION_TIME});
	step(node, (struct election_event){.type = ELECTION_JOIN});
}

// A renewal is in time where its answer is there a renewal's interval after the one before was sent.
static void report(const struct node *node, const struct exchange_reply *reply)
{
	const struct election *election = &node->election;
	int64_t now = clock_now_ns();
	bool renews = election->sent_op == EXCHANGE_SESSION_RENEW;
	counted.exchanges++;
	counted.failed += reply->outcome != EXCHANGE_OK;
	if (!measuring || reply->outcome != EXCHANGE_OK || !election->busy || reply->number != election->number)
		return;
	printf("%s %lld\n", renews ? "renew" : "poll", (long long)(now - election->sent_at));
	if (renews && node->room.lease.state == LEASE_LEADING)
		printf("late %lld\n", (long long)(now - election->renewed_at - timing.renew_ns));
}

static void hear(struct node *node)
{
	struct exchange_reply *reply;
	while (store_next_reply(node->store, &reply)) {
		report(node, reply);
		step(node, (struct election_event){.type = ELECTION_REPLY, .reply = reply});
		store_reply_free(reply);
	}
	struct store_hint hint;
	if (store_take_hint(node->store, &hint)) {
		counted.hints++;
		step(node, (struct election_event){
				   .type = ELECTION_HINT, .freed = hint.freed, .freed_count = hint.freed_count});
	}
}

static int64_t pass_time(int64_t until)
{
	for (size_t i = 0; i < started_count; i++) {
		if (election_deadline(&nodes[i].election) <= clock_now_ns())
			step(&nodes[i], (struct election_event){.type = ELECTION_TIME});
		int64_t next = election_deadline(&nodes[i].election);
		until = next < until ? next : until;
	}
	return until;
}

static void run_until(int64_t end)
{
	while (clock_now_ns() < end) {
		struct epoll_event events[EVENTS];
		int count = epoll_wait(epoll_fd, events, EVENTS, store_milliseconds_left(pass_time(end)));
		for (int i = 0; i < count; i++)
			hear(events[i].data.ptr);
	}
}

static void start_all(const char *conninfo)
{
	int64_t begun_at = clock_now_ns();
	size_t groups = (node_count + GROUP - 1) / GROUP;
	for (; started_count < node_count; started_count++) {
		open_node(&nodes[started_count], started_count, conninfo);
		run_until(begun_at + (int64_t)(started_count + 1) * APART_NS);
	}
	while (leading_count < groups)
		run_until(clock_now_ns() + NS_PER_S / 10);
	printf("started %lld\n", (long long)(clock_now_ns() - begun_at));
}

// What happened so far, from the start or since the last time.
static void report_all(const char *word)
{
	printf("%s-exchanges %lu\n%s-hints %lu\n%s-failed %lu\n%s-revoked %lu\n%s 0\n", word, counted.exchanges, word,
		counted.hints, word, counted.failed, word, revoked_count, word);
	memset(&counted, 0, sizeof counted);
	revoked_count = 0;
	fflush(stdout);
}

// Each store has a few descriptors and a connection.
static void allow_files(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		die("no limit");
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		die("no limit");
}

int main(int argc, char **argv)
{
	if (argc != 4)
		die("usage: time_fleet CONNINFO DAEMONS SECONDS");
	node_count = strtoul(argv[2], NULL, 10);
	nodes = calloc(node_count, sizeof *nodes);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (!nodes || epoll_fd < 0)
		die("no room");
	allow_files();
	start_all(argv[1]);
	report_all("start");
	run_until(clock_now_ns() + timing.lease_ns);
	report_all("begin");
	measuring = true;
	run_until(clock_now_ns() + strtol(argv[3], NULL, 10) * NS_PER_S);
	report_all("end");
	(void)getchar();     // while they live, the server's processes can be looked at
	_exit(EXIT_SUCCESS); // as daemons end that are killed
}
