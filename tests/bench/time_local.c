// SPDX-License-Identifier: Apache-2.0
// What a daemon on this host is asked, and how fast: by the library, and over the socket.
//
//   time_local SOCKET COMPONENT OBSERVERS   prints "NAME VALUE" for each measurement
#include "base.h"
#include "clock.h"
#include "tenure.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 15
#define CALLS 1000000
#define CALLS_AT_ONCE 1000
#define TURNS 5000
#define PIPELINED 1000
#define PIPES 300
#define PATIENCE_MS 10000

static const char *component;
static struct sockaddr_un address = {.sun_family = AF_UNIX};

static void die(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

static int dial(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
		die("connect");
	return fd;
}

static void say(int fd, const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);
		if (sent <= 0)
			die("send");
		bytes += sent;
		size -= (size_t)sent;
	}
}

// Reads until that many lines came; how many came besides.
static int hear(int fd, int lines)
{
	static char bytes[1 << 18];
	while (lines > 0) {
		ssize_t got = recv(fd, bytes, sizeof bytes, 0);
		if (got <= 0)
			die("recv");
		for (ssize_t i = 0; i < got; i++)
			lines -= bytes[i] == '\n';
	}
	return -lines;
}

static struct tenure *lead(void)
{
	struct tenure *t;
	struct tenure_event event = {.type = TENURE_NOTHING};
	if (tenure_open(&t, address.sun_path, component) < 0)
		die("tenure_open");
	while (event.type != TENURE_GRANTED) {
		if (poll(&(struct pollfd){.fd = tenure_fd(t), .events = POLLIN}, 1, PATIENCE_MS) <= 0)
			die("poll");
		if (tenure_process(t, &event) < 0)
			die("tenure_process");
	}
	if (tenure_started(t) < 0)
		die("tenure_started");
	return t;
}

// By turns, so that whatever the machine does meanwhile it does to both.
static void time_valid(const struct tenure *t)
{
	unsigned valid = 0;
	long sum = 0;
	struct timespec at;
	for (int round = 0; round < ROUNDS; round++) {
		int64_t valid_ns = 0, clock_ns = 0, begun_at = clock_now_ns();
		for (int turn = 0; turn < CALLS / CALLS_AT_ONCE; turn++) {
			for (int i = 0; i < CALLS_AT_ONCE; i++)
				valid += tenure_valid(t);
			int64_t between = clock_now_ns();
			for (int i = 0; i < CALLS_AT_ONCE; i++) {
				clock_gettime(CLOCK_BOOTTIME, &at);
				sum ^= at.tv_nsec;
			}
			int64_t end = clock_now_ns();
			valid_ns += between - begun_at;
			clock_ns += end - between;
			begun_at = end;
		}
		printf("valid_ns %.2f\nclock_ns %.2f\n", (double)valid_ns / CALLS, (double)clock_ns / CALLS);
	}
	if (valid != ROUNDS * CALLS || sum == -1)
		die("the term ended");
}

static void time_turns(void)
{
	char request[128];
	int size = snprintf(request, sizeof request, "check component=%s\n", component);
	int fd = dial();
	for (int i = 0; i < TURNS; i++) {
		int64_t begun_at = clock_now_ns();
		say(fd, request, (size_t)size);
		hear(fd, 1);
		printf("turn_ns %lld\n", (long long)(clock_now_ns() - begun_at));
	}
	close(fd);
}

// The least that a server does: what it reads it looks through for lines, and answers as long as ours are.
static void answer_lines(int fd)
{
	static const char answer[] = "ok valid=yes term=1 deadline=1000000000000000 ttl_ms=10000\n";
	static char bytes[1 << 16], answers[sizeof bytes];
	const size_t room = sizeof answers / (sizeof answer - 1);
	for (size_t i = 0; i < room; i++)
		memcpy(answers + i * (sizeof answer - 1), answer, sizeof answer - 1);
	for (ssize_t got; (got = recv(fd, bytes, sizeof bytes, 0)) > 0;) {
		size_t lines = 0;
		for (const char *c = bytes; (c = memchr(c, '\n', (size_t)(bytes + got - c))); c++)
			lines++;
		for (; lines > 0; lines -= lines < room ? lines : room)
			say(fd, answers, (lines < room ? lines : room) * (sizeof answer - 1));
	}
}

// True in a process of its own, which has nothing of ours to print.
static bool is_other_process(void)
{
	fflush(stdout);
	pid_t pid = fork();
	if (pid < 0)
		die("fork");
	return pid == 0;
}

// Answered by another process.
static int dial_floor(void)
{
	int fds[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		die("socketpair");
	if (is_other_process()) {
		close(fds[0]);
		answer_lines(fds[1]);
		_exit(EXIT_SUCCESS);
	}
	close(fds[1]);
	return fds[0];
}

static void time_pipe(int fd, const char *name, const char *word, int lines)
{
	char request[128];
	int size = snprintf(request, sizeof request, "%s component=%s\n", word, component);
	char *requests = malloc(PIPELINED * (size_t)size);
	if (!requests)
		die("malloc");
	for (int i = 0; i < PIPELINED; i++)
		memcpy(requests + i * size, request, (size_t)size);
	for (int round = 0; round < ROUNDS; round++) {
		int64_t begun_at = clock_now_ns();
		// One batch is answered while the next is on its way.
		int ahead = 0;
		say(fd, requests, PIPELINED * (size_t)size);
		for (int i = 1; i < PIPES / ROUNDS; i++) {
			say(fd, requests, PIPELINED * (size_t)size);
			ahead = hear(fd, PIPELINED * lines - ahead);
		}
		if (hear(fd, PIPELINED * lines - ahead) != 0)
			die("more answers than requests");
		double seconds = (double)(clock_now_ns() - begun_at) / NS_PER_S;
		const int answered = PIPELINED * (PIPES / ROUNDS);
		printf("%s_per_s %.0f\n", name, answered / seconds);
	}
	close(fd);
	free(requests);
}

// One line to each of so many sockets, written one after the other by another process, when it is told.
static void time_writes(unsigned count)
{
	static const char line[] = "leader component=engine node=host-a session=x term=1 mine=yes\n";
	int *fds = calloc(count, sizeof *fds), *ends = calloc(count, sizeof *ends), go[2];
	if (!fds || !ends || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, go) < 0)
		die("time_writes");
	for (unsigned i = 0; i < count; i++) {
		int pair[2];
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
			die("socketpair");
		fds[i] = pair[0];
		ends[i] = pair[1];
	}
	if (is_other_process()) {
		close(go[0]);
		while (recv(go[1], &(char){0}, 1, 0) == 1)
			for (unsigned i = 0; i < count; i++)
				say(ends[i], line, sizeof line - 1);
		_exit(EXIT_SUCCESS);
	}
	for (int round = 0; round < ROUNDS; round++) {
		int64_t begun_at = clock_now_ns();
		say(go[0], "", 1);
		for (unsigned i = 0; i < count; i++)
			hear(fds[i], 1);
		printf("writes_ns %lld\n", (long long)(clock_now_ns() - begun_at));
	}
	close(go[0]);
	for (unsigned i = 0; i < count; i++) {
		close(fds[i]);
		close(ends[i]);
	}
	free(fds);
	free(ends);
}

// A term begins: until the last observer has heard of it.
static void time_observers(unsigned count)
{
	char request[128];
	int size = snprintf(request, sizeof request, "watch component=%s\n", component);
	int *fds = calloc(count, sizeof *fds);
	if (!fds)
		die("calloc");
	for (unsigned i = 0; i < count; i++) {
		fds[i] = dial();
		say(fds[i], request, (size_t)size);
		hear(fds[i], 2);
	}
	for (int round = 0; round < ROUNDS; round++) {
		int64_t begun_at = clock_now_ns();
		struct tenure *t = lead();
		int64_t granted_at = clock_now_ns();
		for (unsigned i = 0; i < count; i++)
			hear(fds[i], 1);
		printf("join_ns %lld\nobservers_ns %lld\n", (long long)(granted_at - begun_at),
			(long long)(clock_now_ns() - begun_at));
		tenure_close(t);
		for (unsigned i = 0; i < count; i++)
			hear(fds[i], 1);
	}
	for (unsigned i = 0; i < count; i++)
		close(fds[i]);
	free(fds);
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fputs("usage: time_local SOCKET COMPONENT OBSERVERS\n", stderr);
		return EXIT_FAILURE;
	}
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	snprintf(address.sun_path, sizeof address.sun_path, "%s", argv[1]);
	component = argv[2];
	struct tenure *t = lead();
	time_valid(t);
	time_turns();
	time_pipe(dial_floor(), "floor", "check", 1);
	time_pipe(dial(), "check", "check", 1);
	time_pipe(dial(), "status", "status", 2);
	tenure_close(t);
	time_writes((unsigned)strtoul(argv[3], NULL, 10));
	time_observers((unsigned)strtoul(argv[3], NULL, 10));
	return EXIT_SUCCESS;
}
