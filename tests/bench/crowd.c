// SPDX-License-Identifier: Apache-2.0
// Workers for many components at one daemon, over a few connections, that cost next to nothing themselves.
//
//   crowd SOCKET PREFIX COUNT   joins PREFIX0, PREFIX1 and so on, and prints "joined"; whenever terms were granted, how
//                               many there were until then, and when: "granted N NS" (CLOCK_BOOTTIME)
#include "base.h"
#include "clock.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define JOINS 4000 // of one connection
#define CONNECTIONS 8
#define ROOM (1 << 16)
#define LINE_ROOM 128

struct connection {
	int fd;
	char in[ROOM];
	size_t in_size;
	char *out; // as much as may be said at once, and will be
	size_t out_size, out_sent, out_room;
};

static struct connection connections[CONNECTIONS];
static struct pollfd fds[CONNECTIONS];
static unsigned long granted, joined;

static void die(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

static void say(struct connection *c, const char *text)
{
	size_t size = strlen(text);
	if (c->out_sent == c->out_size)
		c->out_size = c->out_sent = 0;
	if (c->out_size + size > c->out_room) {
		c->out_room = 2 * (c->out_size + size);
		c->out = realloc(c->out, c->out_room);
		if (!c->out)
			die("realloc");
	}
	memcpy(c->out + c->out_size, text, size);
	c->out_size += size;
}

static void send_rest(struct connection *c)
{
	ssize_t sent = send(c->fd, c->out + c->out_sent, c->out_size - c->out_sent, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent < 0 && errno != EAGAIN)
		die("send");
	c->out_sent += sent > 0 ? (size_t)sent : 0;
}

static void take_line(struct connection *c, const char *line)
{
	char component[NAME_BYTES + 1], text[LINE_ROOM];
	uint64_t term;
	if (strncmp(line, "error ", 6) == 0) {
		fprintf(stderr, "crowd: %s\n", line);
		exit(EXIT_FAILURE);
	}
	joined += strncmp(line, "ok component=", 13) == 0;
	bool leads = sscanf(line, "granted component=%64s term=%" SCNu64, component, &term) == 2;
	if (!leads && sscanf(line, "revoked component=%64s term=%" SCNu64, component, &term) != 2)
		return;
	granted += leads;
	snprintf(text, sizeof text, "%s component=%s term=%" PRIu64 "\n", leads ? "started" : "stopped", component,
		term);
	say(c, text);
}

static void take(struct connection *c)
{
	ssize_t got = recv(c->fd, c->in + c->in_size, sizeof c->in - c->in_size, MSG_DONTWAIT);
	if (got == 0 || (got < 0 && errno != EAGAIN))
		exit(EXIT_SUCCESS); // the daemon ended
	c->in_size += got > 0 ? (size_t)got : 0;
	char *line = c->in, *end;
	while ((end = memchr(line, '\n', c->in_size - (size_t)(line - c->in)))) {
		*end = '\0';
		take_line(c, line);
		line = end + 1;
	}
	c->in_size -= (size_t)(line - c->in);
	memmove(c->in, line, c->in_size);
}

static void turn(size_t count)
{
	unsigned long before = granted;
	for (size_t i = 0; i < count; i++) {
		bool unsent = connections[i].out_sent < connections[i].out_size;
		fds[i] = (struct pollfd){.fd = connections[i].fd, .events = POLLIN | (unsent ? POLLOUT : 0)};
	}
	if (poll(fds, count, -1) < 0)
		die("poll");
	for (size_t i = 0; i < count; i++) {
		if (fds[i].revents & POLLOUT)
			send_rest(&connections[i]);
		if (fds[i].revents & ~POLLOUT)
			take(&connections[i]);
	}
	if (granted != before)
		printf("granted %lu %" PRId64 "\n", granted, clock_now_ns());
}

int main(int argc, char *argv[])
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	unsigned long wanted = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
	size_t count = (wanted + JOINS - 1) / JOINS;
	if (wanted == 0 || count > CONNECTIONS || strlen(argv[1]) >= sizeof address.sun_path)
		return EXIT_FAILURE;
	snprintf(address.sun_path, sizeof address.sun_path, "%s", argv[1]);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < count; i++) {
		connections[i].fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (connect(connections[i].fd, (struct sockaddr *)&address, sizeof address) < 0)
			die(argv[1]);
	}
	for (unsigned long i = 0; i < wanted; i++) {
		char text[LINE_ROOM];
		snprintf(text, sizeof text, "join component=%.64s%lu extend=no\n", argv[2], i);
		say(&connections[i / JOINS], text);
	}
	while (joined < wanted)
		turn(count);
	puts("joined");
	for (;;)
		turn(count);
}
