// SPDX-License-Identifier: Apache-2.0
// tests/system/small_worker.py in C: what is measured between two of these is the hand-over and no interpreter.
//
//   line_worker SOCKET COMPONENT   prints "NANOSECONDS MARK LINE", of CLOCK_BOOTTIME, for each line that it hears
//                                  (mark <) or says (mark >)
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base.h"
#include "clock.h"

static const char *component;

static void die(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

static FILE *dial(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		die("line_worker: socket");
	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	if (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0)
		die("line_worker: connect");
	FILE *daemon = fdopen(fd, "r+");
	if (!daemon)
		die("line_worker: fdopen");
	return daemon;
}

static void note(char mark, const char *line)
{
	printf("%lld %c %s", (long long)clock_now_ns(), mark, line);
	fflush(stdout);
}

// Sent before it is printed: who hears of it there is not waited for.
static void say(FILE *daemon, const char *word, const char *term)
{
	char line[256];
	int64_t at = clock_now_ns();
	snprintf(line, sizeof line, "%s component=%s%s%.*s\n", word, component, *term ? " " : "",
		(int)strcspn(term, " \n"), term);
	if (write(fileno(daemon), line, strlen(line)) < 0)
		die("line_worker: write");
	printf("%lld > %s", (long long)at, line);
	fflush(stdout);
}

static int64_t number(const char *line, const char *key)
{
	const char *at = strstr(line, key);
	return at ? strtoll(at + strlen(key), NULL, 10) : 0;
}

// Nobody has to stop it: SIGALRM ends the process at the deadline.
static void work_until(int64_t deadline)
{
	int64_t left_ns = deadline - clock_now_ns();
	if (left_ns < NS_PER_US)
		left_ns = NS_PER_US;
	struct itimerval left = {.it_value = {left_ns / NS_PER_S, left_ns % NS_PER_S / NS_PER_US}};
	setitimer(ITIMER_REAL, &left, NULL);
}

int main(int argc, char **argv)
{
	char line[4096];
	if (argc != 3) {
		fputs("usage: line_worker SOCKET COMPONENT\n", stderr);
		return EXIT_FAILURE;
	}
	component = argv[2];
	FILE *daemon = dial(argv[1]);
	say(daemon, "join", "");
	while (fgets(line, sizeof line, daemon)) {
		const char *term = strstr(line, "term=");
		note('<', line);
		if (strncmp(line, "granted ", 8) == 0 || strncmp(line, "extended ", 9) == 0)
			work_until(number(line, "deadline="));
		if (term && strncmp(line, "granted ", 8) == 0)
			say(daemon, "started", term);
		if (term && strncmp(line, "revoked ", 8) == 0) {
			say(daemon, "stopped", term);
			setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
		}
	}
	return EXIT_SUCCESS;
}
