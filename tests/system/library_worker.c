// SPDX-License-Identifier: Apache-2.0
// worker.py once more, through libtenure: library_worker SOCKET COMPONENT
//
// It checks its token all the time. Lines are those of worker.py; and `valid` or `over`, with a time from before the
// check: the first check of a term, every change, and the first after a pause.
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base.h"
#include "clock.h"
#include "tenure.h"

#define PAUSE_NS (100 * NS_PER_MS)
#define CHECK_EVERY_MS 1

static const char *component;

static void fail(const char *what, int error)
{
	fprintf(stderr, "library_worker: %s: %s\n", what, strerror(-error));
	exit(EXIT_FAILURE);
}

static void say(int64_t at, const char *mark_and_word, uint64_t term, const char *more)
{
	printf("%" PRId64 " %s component=%s term=%" PRIu64 "%s\n", at, mark_and_word, component, term, more);
	fflush(stdout);
}

static void take(struct tenure *t, const struct tenure_event *event)
{
	char more[128];
	int error;
	switch (event->type) {
	case TENURE_GRANTED:
		snprintf(more, sizeof more, " deadline=%" PRId64, event->deadline);
		say(clock_now_ns(), "< granted", event->term, more);
		say(clock_now_ns(), "> started", event->term, "");
		error = tenure_started(t);
		if (error < 0 && error != -ESTALE)
			fail("started", error);
		break;
	case TENURE_REVOKED:
	case TENURE_LOST:
		snprintf(more, sizeof more, " reason=%s deadline=%" PRId64, event->reason,
			event->type == TENURE_REVOKED ? event->deadline : 0);
		say(clock_now_ns(), event->type == TENURE_LOST ? "< lost" : "< revoked", event->term, more);
		say(clock_now_ns(), "> stopped", event->term, "");
		error = tenure_stopped(t);
		if (error < 0)
			fail("stopped", error);
		break;
	case TENURE_NOTHING:
	default:
		break;
	}
}

static void check(const struct tenure *t)
{
	static int64_t last_at;
	static uint64_t shown; // the term last seen valid
	int64_t at = clock_now_ns();
	uint64_t term = tenure_term(t);
	bool valid = tenure_valid(t);
	if (!valid && shown != 0)
		say(at, "> over", shown, "");
	if (valid && (term != shown || at - last_at > PAUSE_NS))
		say(at, "> valid", term, "");
	shown = valid ? term : 0;
	last_at = at;
}

int main(int argc, char *argv[])
{
	struct tenure *t;
	struct tenure_event event;
	if (argc != 3)
		fail("usage: library_worker SOCKET COMPONENT", -EINVAL);
	component = argv[2];
	int error = tenure_open(&t, argv[1], component);
	if (error < 0)
		fail("open", error);
	say(clock_now_ns(), "> join", 0, "");
	for (;;) {
		check(t);
		error = tenure_process(t, &event);
		if (error < 0)
			fail("process", error);
		take(t, &event);
		struct pollfd ready = {.fd = tenure_fd(t), .events = POLLIN};
		if (event.type == TENURE_NOTHING)
			poll(&ready, 1, CHECK_EVERY_MS);
	}
}
