// SPDX-License-Identifier: Apache-2.0
// The socket server with real sockets; in the election's place a test that says what the answers are.
#ifndef SERVER_BENCH_H
#define SERVER_BENCH_H

#include "buffer.h"
#include "clock.h"
#include "loop.h"
#include "server.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_NS (10 * NS_PER_S)
#define EVENTS 4096

// A peer: our end of a connection, and what was heard on it.
struct peer {
	int fd;
	struct loop_watch *watch;
	struct buffer heard;
	bool ended;
	bool deaf; // reads nothing
};

static struct loop *loop;
static struct config config;
static struct election election;
static struct server_setup setup;
static struct server *server;
static int *slots;
static int64_t reported_at;
static char store_text[64];
static struct sockaddr_un address;
static socklen_t address_size;
static int listen_fd;
// What the election was told, and what it answers.
static struct election_event events[EVENTS];
static struct election_operation operations[EVENTS]; // of those that are one
static size_t event_count;
static enum election_answer answer;
static void (*on_event)(const struct election_event *event);
// What the loop runs for.
static struct peer *awaited;
static size_t awaited_size;
static size_t awaited_events;
static bool too_late;
static unsigned turns;

static inline void step(void *userdata, const struct election_event *event)
{
	struct election_event next = *event;
	(void)userdata;
	do {
		ck_assert_uint_lt(event_count, EVENTS);
		if (next.operation)
			operations[event_count] = *next.operation;
		events[event_count++] = next;
		server_answer(server, answer);
		if (on_event)
			on_event(&next);
	} while (server_next_event(server, &next));
}

static inline bool is_there(void)
{
	if (awaited && !awaited->ended && buffer_size(&awaited->heard) < awaited_size)
		return false;
	return event_count >= awaited_events;
}

static inline void on_turn(void *userdata)
{
	(void)userdata;
	turns++;
	server_turn(server);
	if (is_there())
		loop_stop(loop);
}

static inline void on_late(void *userdata)
{
	(void)userdata;
	too_late = true;
	loop_stop(loop);
}

static inline void run(void)
{
	too_late = false;
	loop_arm(loop, clock_now_ns() + PATIENCE_NS);
	ck_assert_int_eq(loop_run(loop), 0);
}

static inline void run_for(int64_t ns)
{
	awaited = NULL;
	awaited_events = SIZE_MAX;
	loop_arm(loop, clock_now_ns() + ns);
	ck_assert_int_eq(loop_run(loop), 0);
	awaited_events = 0;
}

static inline void wait_events(size_t count)
{
	awaited_events = count;
	awaited = NULL;
	run();
	ck_assert_msg(!too_late, "%zu events, not %zu", event_count, count);
	awaited_events = 0;
}

static inline void on_peer(void *userdata, int fd, unsigned flags)
{
	struct peer *peer = userdata;
	char *room;
	(void)flags;
	if (buffer_reserve(&peer->heard, 65536, &room) < 0)
		ck_abort_msg("no memory"); // a check that holds allocates, and what allocates is counted
	ssize_t got = recv(fd, room, 65536, MSG_DONTWAIT);
	if (got > 0)
		buffer_commit(&peer->heard, (size_t)got);
	else if (got == 0 || errno != EAGAIN)
		peer->ended = true;
	if (peer->ended)
		loop_watch_set(peer->watch, 0);
}

static inline struct peer *new_peer(void)
{
	struct peer *peer = calloc(1, sizeof *peer);
	peer->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(peer->fd, 0);
	ck_assert_int_eq(connect(peer->fd, (struct sockaddr *)&address, address_size), 0);
	buffer_init(&peer->heard, 64 * 1024 * 1024);
	ck_assert_int_eq(loop_watch_new(loop, peer->fd, LOOP_READ, on_peer, peer, &peer->watch), 0);
	return peer;
}

static inline void free_peer(struct peer *peer)
{
	loop_watch_free(peer->watch);
	if (peer->fd >= 0)
		close(peer->fd);
	buffer_done(&peer->heard);
	free(peer);
}

static inline void hang_up(struct peer *peer)
{
	loop_watch_free(peer->watch);
	peer->watch = NULL;
	close(peer->fd);
	peer->fd = -1;
}

static inline void say(struct peer *peer, const char *text)
{
	size_t size = strlen(text);
	ck_assert_int_eq(send(peer->fd, text, size, MSG_NOSIGNAL), (ssize_t)size);
}

static inline void wait_bytes(struct peer *peer, size_t size)
{
	awaited = peer;
	awaited_size = size;
	if (!is_there())
		run();
	awaited = NULL;
}

static inline void hear(struct peer *peer, const char *expected)
{
	size_t size = strlen(expected);
	wait_bytes(peer, size);
	ck_assert_msg(buffer_size(&peer->heard) >= size && strncmp(buffer_bytes(&peer->heard), expected, size) == 0,
		"heard: %.*s\nnot:   %s", (int)buffer_size(&peer->heard), buffer_bytes(&peer->heard), expected);
	buffer_consume(&peer->heard, size);
}

static inline void hear_end(struct peer *peer)
{
	wait_bytes(peer, SIZE_MAX);
	ck_assert(peer->ended);
	ck_assert_msg(buffer_size(&peer->heard) == 0, "heard: %.*s", (int)buffer_size(&peer->heard),
		buffer_bytes(&peer->heard));
}

static inline void hear_line(struct peer *peer, const char *start)
{
	hear(peer, start);
	const char *newline;
	while (!(newline = memchr(buffer_bytes(&peer->heard), '\n', buffer_size(&peer->heard))) && !peer->ended)
		wait_bytes(peer, buffer_size(&peer->heard) + 1);
	ck_assert_ptr_nonnull(newline);
	buffer_consume(&peer->heard, (size_t)(newline - buffer_bytes(&peer->heard)) + 1);
}

static inline void ask(struct peer *peer, const char *request, const char *expected)
{
	say(peer, request);
	hear(peer, expected);
}

static inline struct peer *joined(const char *component)
{
	char request[256], expected[256];
	struct peer *peer = new_peer();
	snprintf(request, sizeof request, "join component=%s\n", component);
	snprintf(expected, sizeof expected, "ok component=%s", component);
	say(peer, request);
	hear_line(peer, expected);
	return peer;
}

static inline void expect_event(size_t index, enum election_event_type type, uint32_t lease, uint64_t term)
{
	ck_assert_uint_lt(index, event_count);
	ck_assert_int_eq(events[index].type, type);
	ck_assert_uint_eq(events[index].lease, lease);
	ck_assert_uint_eq(events[index].term, term);
}

static inline void listen_there(void)
{
	// The kernel finds a name, and no file is left behind by a test that fails.
	address = (struct sockaddr_un){.sun_family = AF_UNIX};
	listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ck_assert_int_ge(listen_fd, 0);
	ck_assert_int_eq(bind(listen_fd, (struct sockaddr *)&address, sizeof address.sun_family), 0);
	address_size = sizeof address;
	ck_assert_int_eq(getsockname(listen_fd, (struct sockaddr *)&address, &address_size), 0);
	ck_assert_int_eq(listen(listen_fd, 128), 0);
}

static inline void start_with(size_t component_count, struct server_limits limits)
{
	static const char *const names[] = {"engine", "counter", "discovery"};
	config = (struct config){.node = "host-a"};
	config.components = calloc(component_count, sizeof *config.components);
	config.component_count = component_count;
	slots = calloc(component_count, sizeof *slots);
	election = (struct election){.lease_count = (uint32_t)component_count};
	election.leases = calloc(component_count, sizeof *election.leases);
	for (uint32_t i = 0; i < component_count; i++) {
		election.leases[i].head = i;
		election.leases[i].next = ELECTION_NO_LEASE;
	}
	for (size_t i = 0; i < component_count; i++) {
		char name[32];
		snprintf(name, sizeof name, "c%zu", i);
		config.components[i].name = strdup(i < COUNT_OF(names) ? names[i] : name);
		config.components[i].stop_grace_ns = 2 * NS_PER_S;
		slots[i] = (int)i + 3;
	}
	store_text[0] = '\0';
	event_count = 0;
	answer = ANSWER_OK;
	on_event = NULL;
	turns = 0;
	ck_assert_int_eq(loop_new(&loop), 0);
	listen_there();
	setup = (struct server_setup){
		.loop = loop,
		.config = &config,
		.election = &election,
		.slots = slots,
		.terms_path = "/run/tenure/terms",
		.boot_id = "1b9d",
		.store_text = store_text,
		.reported_at = &reported_at,
		.step = step,
		.limits = limits,
	};
	ck_assert_int_eq(server_new(&server, &setup), 0);
	ck_assert_int_eq(server_listen(server, listen_fd), 0);
	loop_on_turn(loop, on_turn, NULL);
	loop_on_timer(loop, on_late, NULL);
}

static inline void start(void)
{
	start_with(3, (struct server_limits){0});
}

static inline void stop(void)
{
	server_free(server);
	loop_free(loop);
	close(listen_fd);
	for (size_t i = 0; i < config.component_count; i++)
		free(config.components[i].name);
	free(config.components);
	free(election.leases);
	free(slots);
}

#endif
