// SPDX-License-Identifier: Apache-2.0
// The worker of `make demo`: it appends to FILE each MS milliseconds, and looks at its token before each time.
//
// Lines are `WORD NS TERM PID`, the time on CLOCK_BOOTTIME. `start`: the worker runs. `beat`: the token was valid at
// that instant. `over`: it no longer is, and the worker ends.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "clock.h"
#include "page.h"
#include "words.h"

#define BEAT_MS 2

struct worker {
	int fd;
	const char *component;
	uint64_t term;
	const struct page_slot *slot;
};

static void fail(const char *what, int error)
{
	fprintf(stderr, "demo-worker: %s: %s\n", what, strerror(-error));
	exit(EXIT_FAILURE);
}

static const char *wanted_env(const char *name)
{
	const char *value = getenv(name);
	if (!value)
		fail(name, -EINVAL);
	return value;
}

static void append(const struct worker *w, const char *word, int64_t at)
{
	char line[96];
	int size = snprintf(line, sizeof line, "%s %lld %llu %ld\n", word, (long long)at, (unsigned long long)w->term,
		(long)getpid());
	if (write(w->fd, line, (size_t)size) != size)
		fail("cannot append", -errno);
}

// The terms page lies beside the socket.
static void find_slot(struct worker *w)
{
	const char *socket_path = wanted_env("TENURE_SOCKET");
	const char *slash = strrchr(socket_path, '/');
	char path[4096], boot_id[BOOT_ID_SIZE];
	struct page_view page;

	snprintf(path, sizeof path, "%.*s%s", slash ? (int)(slash - socket_path) + 1 : 0, socket_path, WIRE_TERMS_NAME);
	int error = clock_boot_id(boot_id);
	if (error < 0)
		fail("boot id", error);
	error = page_view_open(&page, path, boot_id);
	if (error < 0)
		fail(path, error);
	int slot = page_view_find(&page, w->component);
	if (slot < 0)
		fail(w->component, slot);
	w->slot = page.slots + slot;
}

// What is claimed is an instant before the look, and the clock is read again after it: a pause in between says no (W7).
static bool beat(const struct worker *w)
{
	int64_t at = clock_now_ns();
	int64_t deadline = page_slot_deadline(w->slot, w->term);
	if (clock_now_ns() >= deadline)
		return false;
	append(w, "beat", at);
	return true;
}

int main(int argc, char *argv[])
{
	struct worker w = {.fd = -1};
	int beat_ms = argc == 3 ? atoi(argv[1]) : BEAT_MS;
	if (argc < 2 || argc > 3 || beat_ms <= 0) {
		fprintf(stderr, "usage: tenurectl run COMPONENT -- demo-worker [MS] FILE\n");
		return 2;
	}
	w.component = wanted_env("TENURE_COMPONENT");
	w.term = strtoull(wanted_env("TENURE_TERM"), NULL, 10);
	w.fd = open(argv[argc - 1], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	if (w.fd < 0)
		fail(argv[argc - 1], -errno);
	append(&w, "start", clock_now_ns());
	find_slot(&w);
	while (beat(&w))
		poll(NULL, 0, beat_ms);
	append(&w, "over", clock_now_ns());
	return EXIT_SUCCESS;
}
