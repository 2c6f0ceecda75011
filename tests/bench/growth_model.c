// SPDX-License-Identifier: Apache-2.0
// Thousands of daemons on one database that takes its time: the elections are real, the database is so many cores that
// are shared by all that it has to do, with the tables in memory behind it. Says how much there is to do while nothing
// happens, and what becomes of it when all come at once.
//
//   growth_model DAEMONS CORES CONNECT_US RENEW_US POLL_US CHANGE_US
//
// The last four are what the database takes for a connection, and for an exchange's statements. Of each GROUP daemons
// one leads one component, at the default timing. Prints a word and a number a line.
#include "fleet.h"
#include "tables.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SESSIONS (4 * GROUP)
#define CANDIDATES (SESSIONS * TABLES_OFFERS)
#define WAY_NS (NS_PER_S / 10000)   // to the database, and back
#define DOWN_NS (5 * NS_PER_S)      // how long a fail-over takes
#define GREETING_NS (10 * NS_PER_S) // so long a driver waits for a server that has accepted its connection
#define WATCH_NS (60 * NS_PER_S)
#define APART_NS (20 * NS_PER_MS) // at least: daemons are started one after the other
#define UNIX_EPOCH_US INT64_C(1700000000000000)

enum what { WHAT_TIMER, WHAT_REPLY, WHAT_HINT, WHAT_CONNECTED, WHAT_DONE };

struct event {
	int64_t at; // of what the database does: how much of a core's time each has had then
	uint32_t node;
	enum what what;
	uint64_t number; // of the exchange, the connection or the timer
	int64_t best_at; // what the database does: when it would have been done on an idle one
};

struct heap {
	struct event *events;
	size_t count, room;
};

struct node {
	bool alive, connected, out;
	uint64_t timer;
	uint64_t connection;
	int64_t connecting_since; // 0: it is not
	struct tables *tables;    // of its group
	struct election election;
	struct room room;
	struct election_update update;
	struct exchange_request request;
	struct exchange_reply reply;
	struct exchange_grant grant;
	struct exchange_row row;
	struct exchange_candidate candidates[CANDIDATES];
	struct exchange_offerer offerers[CANDIDATES];
};

static struct heap coming, working;
static struct node *nodes;
static size_t node_count, cores;
static int64_t now = NS_PER_S, up_at, shared_ns, shared_at;
static int64_t connect_ns, renew_ns, poll_ns, change_ns;
static struct incarnation server;
// Since they were last reported.
static unsigned long exchanges, failed, in_second, worst_second;
static int64_t busy_ns, longest_wait_ns, second_at;

static void *must(void *memory)
{
	if (memory)
		return memory;
	fputs("growth_model: no memory\n", stderr);
	exit(EXIT_FAILURE);
}

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

// ---- what is going to happen ----

static void put(struct heap *heap, const struct event *event)
{
	if (heap->count == heap->room) {
		heap->room = 2 * heap->room + 1024;
		heap->events = must(reallocarray(heap->events, heap->room, sizeof *heap->events));
	}
	size_t i = heap->count++;
	for (; i > 0 && event->at < heap->events[(i - 1) / 2].at; i = (i - 1) / 2)
		heap->events[i] = heap->events[(i - 1) / 2];
	heap->events[i] = *event;
}

static struct event take(struct heap *heap)
{
	struct event *events = heap->events, first = events[0], last = events[--heap->count];
	size_t i = 0;
	for (size_t child = 1; child < heap->count; i = child, child = 2 * i + 1) {
		child += child + 1 < heap->count && events[child + 1].at < events[child].at;
		if (events[child].at >= last.at)
			break;
		events[i] = events[child];
	}
	events[i] = last;
	return first;
}

static void add(int64_t at, uint32_t node, enum what what, uint64_t number)
{
	put(&coming, &(struct event){.at = at, .node = node, .what = what, .number = number});
}

// ---- the database ----

static int64_t cost_of(const struct exchange_request *r)
{
	int64_t reads = r->report + r->strays + r->candidates;
	return (r->session_op != EXCHANGE_SESSION_NONE) * renew_ns + reads * poll_ns +
	       (r->claim_count + r->release_count + r->sweep_count > 0) * change_ns;
}

// All that the database works at gets the same of its cores, and at most one.
static double share(void)
{
	return working.count <= cores ? 1 : (double)cores / (double)working.count;
}

static void share_until(int64_t at)
{
	shared_ns += (int64_t)((double)(at - shared_at) * share());
	shared_at = at;
}

static int64_t next_done_at(void)
{
	if (working.count == 0)
		return INT64_MAX;
	int64_t left = working.events[0].at - shared_ns;
	return shared_at + (left > 0 ? (int64_t)((double)left / share()) + 1 : 0);
}

static void work(int64_t cost, uint32_t node, enum what what, uint64_t number)
{
	share_until(now);
	put(&working, &(struct event){shared_ns + cost, node, what, number, now + cost});
	busy_ns += cost;
}

static void count_exchange(void)
{
	exchanges++;
	if (now - second_at >= NS_PER_S) {
		second_at = now;
		in_second = 0;
	}
	worst_second = ++in_second > worst_second ? in_second : worst_second;
}

static void send_statements(struct node *n)
{
	count_exchange();
	work(cost_of(&n->request), (uint32_t)(n - nodes), WHAT_DONE, n->request.number);
}

static void begin_connection(struct node *n)
{
	n->connecting_since = now;
	work(connect_ns, (uint32_t)(n - nodes), WHAT_CONNECTED, ++n->connection);
}

static void submit(struct node *n)
{
	n->request = n->update.request;
	n->out = true;
	n->reply = (struct exchange_reply){.number = n->request.number, .outcome = EXCHANGE_UNAVAILABLE};
	if (now < up_at)
		add(now + 2 * WAY_NS, (uint32_t)(n - nodes), WHAT_REPLY, n->request.number);
	else if (n->connected)
		send_statements(n);
	else if (n->connecting_since == 0 || now - n->connecting_since > GREETING_NS)
		begin_connection(n);
}

static void connected(struct node *n, uint64_t connection)
{
	if (connection != n->connection || n->connecting_since == 0)
		return;
	n->connecting_since = 0;
	n->connected = true;
	if (n->out)
		send_statements(n);
}

static void announce(const struct node *n)
{
	size_t first = (size_t)(n - nodes) / GROUP * GROUP;
	for (size_t i = first; i < first + GROUP; i++)
		if (&nodes[i] != n && nodes[i].alive)
			add(now + WAY_NS, (uint32_t)i, WHAT_HINT, 0);
}

static void carry_out(struct node *n)
{
	struct tables *t = n->tables;
	t->server = server;
	t->now_us = now / NS_PER_US;
	t->unix_time = UNIX_EPOCH_US + t->now_us;
	n->reply = (struct exchange_reply){
		.number = n->request.number, .outcome = EXCHANGE_OK, .connection = n->connection, .grants = &n->grant};
	n->reply.session_alive = tables_session(t, &n->request, "host");
	tables_adopt(t, &n->request);
	tables_missing(t, &n->request);
	if (tables_change(t, &n->request, &n->grant, &n->reply.grant_count))
		announce(n);
	tables_report(t, &n->request, &n->row, &n->reply);
	tables_candidates(t, &n->request, n->candidates, n->offerers, CANDIDATES, &n->reply);
	add(now + 2 * WAY_NS, (uint32_t)(n - nodes), WHAT_REPLY, n->request.number);
}

// ---- the daemons ----

static void supply_id(struct node *n)
{
	static uint64_t last;
	struct uuid id = {{0}};
	last++;
	memcpy(id.byte, &last, sizeof last);
	election_supply_id(&n->election, &id);
}

static void step(struct node *n, struct election_event event)
{
	for (bool more = true; more;) {
		if (election_wants_id(&n->election))
			supply_id(n);
		event.now = now;
		election_step(&n->election, &event, &n->update);
		if (n->update.abort)
			n->out = n->connected = false; // what is being connected goes on
		if (n->update.submit)
			submit(n);
		more = false;
		for (size_t i = 0; i < n->update.note_count; i++)
			more |= answer(&n->update.notes[i], &event);
	}
	int64_t at = election_deadline(&n->election);
	if (at != ELECTION_NEVER)
		add(at > now ? at : now, (uint32_t)(n - nodes), WHAT_TIMER, ++n->timer);
}

static void start(struct node *n)
{
	static const struct election_event first = {.type = ELECTION_TIME}, join = {.type = ELECTION_JOIN};
	n->alive = true;
	begin_election(&n->election, &n->update, &n->room, now);
	step(n, first);
	step(n, join);
}

static void happen(const struct event *event)
{
	struct node *n = &nodes[event->node];
	bool its_own = n->out && event->number == n->request.number;
	if (!n->alive)
		return;
	if (event->what == WHAT_TIMER && event->number == n->timer)
		step(n, (struct election_event){.type = ELECTION_TIME});
	else if (event->what == WHAT_HINT)
		step(n, (struct election_event){.type = ELECTION_HINT});
	else if (event->what == WHAT_CONNECTED)
		connected(n, event->number);
	else if (event->what == WHAT_DONE && its_own)
		carry_out(n);
	else if (event->what == WHAT_REPLY && its_own) {
		n->out = false;
		failed += n->reply.outcome != EXCHANGE_OK;
		step(n, (struct election_event){.type = ELECTION_REPLY, .reply = &n->reply});
	}
}

static void run_until(int64_t end)
{
	for (;;) {
		int64_t done_at = next_done_at(), at = coming.count ? coming.events[0].at : INT64_MAX;
		if (done_at > end && at > end)
			break;
		bool done = done_at <= at;
		now = later(now, done ? done_at : at);
		share_until(now);
		struct event event = take(done ? &working : &coming);
		if (done)
			longest_wait_ns = later(longest_wait_ns, now - event.best_at);
		happen(&event);
	}
	now = end;
}

// ---- what they go through ----

static void forget(void)
{
	exchanges = failed = revoked_count = in_second = worst_second = 0;
	busy_ns = longest_wait_ns = 0;
	second_at = now;
}

static void say(const char *word, const char *what, double number)
{
	printf("%s-%s %.6g\n", word, what, number);
}

static void report(const char *word, int64_t since)
{
	double seconds = (double)(now - since) / NS_PER_S;
	say(word, "exchanges", (double)exchanges / seconds);
	say(word, "worst", (double)worst_second);
	say(word, "busy", (double)busy_ns / (double)NS_PER_S / seconds / (double)cores);
	say(word, "wait", (double)longest_wait_ns / NS_PER_MS);
	say(word, "failed", (double)failed);
	say(word, "revoked", (double)revoked_count);
	forget();
}

static size_t groups(void)
{
	return node_count / GROUP;
}

// Watches for so long from now on. Seconds until every group had a leader, for good.
static double watch(int64_t span)
{
	int64_t begin = now, missing_at = begin;
	while (now < begin + span) {
		run_until(now + 10 * NS_PER_MS);
		missing_at = leading_count < groups() ? now : missing_at;
	}
	return (double)(missing_at - begin) / NS_PER_S;
}

static void start_all(void)
{
	for (size_t i = 0; i < node_count; i++) {
		static const struct incarnation none;
		if (i % GROUP == 0 && tables_new(&nodes[i].tables, 1, SESSIONS, &none) < 0)
			must(NULL);
		nodes[i].tables = nodes[i / GROUP * GROUP].tables;
		nodes[i].tables->believed = server;
		start(&nodes[i]);
		run_until(now + later(APART_NS, 2 * connect_ns / (int64_t)cores));
	}
	run_until(now + 2 * timing.lease_ns);
	forget();
}

// Every connection is gone; where the same server comes back nothing is lost.
static void fail_over(const char *text)
{
	up_at = now + DOWN_NS;
	snprintf(server.text, sizeof server.text, "%s", text);
	share_until(now);
	working.count = 0;
	for (size_t i = 0; i < node_count; i++) {
		struct node *n = &nodes[i];
		n->connected = false;
		n->connecting_since = 0;
		if (!n->alive || !n->out)
			continue;
		n->reply = (struct exchange_reply){.number = n->request.number, .outcome = EXCHANGE_UNKNOWN};
		add(now + WAY_NS, (uint32_t)i, WHAT_REPLY, n->request.number);
	}
}

// The first of each group, a third of all.
static void kill_a_third(void)
{
	for (size_t i = 0; i < node_count; i += GROUP) {
		leading_count -= nodes[i].room.lease.state == LEASE_LEADING;
		nodes[i].alive = false;
	}
}

static int64_t argument(const char *text)
{
	return strtoll(text, NULL, 10);
}

int main(int argc, char **argv)
{
	if (argc != 7) {
		fputs("usage: growth_model DAEMONS CORES CONNECT_US RENEW_US POLL_US CHANGE_US\n", stderr);
		return EXIT_FAILURE;
	}
	node_count = (size_t)(argument(argv[1]) + GROUP - 1) / GROUP * GROUP;
	cores = (size_t)argument(argv[2]);
	connect_ns = argument(argv[3]) * NS_PER_US;
	renew_ns = argument(argv[4]) * NS_PER_US;
	poll_ns = argument(argv[5]) * NS_PER_US;
	change_ns = argument(argv[6]) * NS_PER_US;
	nodes = must(calloc(node_count, sizeof *nodes));
	snprintf(server.text, sizeof server.text, "server-1");
	start_all();
	int64_t since = now;
	run_until(now + WATCH_NS);
	report("steady", since);

	since = now;
	fail_over("server-2");
	say("failover", "led", watch(WATCH_NS));
	report("failover", since);

	since = now;
	kill_a_third();
	say("death", "led", watch(WATCH_NS));
	report("death", since);
	return EXIT_SUCCESS;
}
