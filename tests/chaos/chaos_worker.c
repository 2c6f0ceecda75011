// SPDX-License-Identifier: Apache-2.0
// The worker of `make chaos`: chaos_worker FILE COMPONENT LEASE CLIENT...
//
// Under `tenurectl run`, which sets $TENURE_TERM, it works for that term; else it asks libtenure at $TENURE_SOCKET.
// Every few milliseconds it appends to FILE while its token is valid, and now and then it gives CLIENT, a program that
// runs SQL from its standard input, a fenced and an unfenced write. After the term's end that goes on for a while where
// the process lives, too late. That the process has ended says $CHAOS_WITNESS, a socket that it keeps open.
//
// Lines are `WORD NS TERM PID DEADLINE`, times on CLOCK_BOOTTIME. `start`: it was granted the term. `beat`: the token
// was valid at that instant, and until DEADLINE. `revoked`: the worker was told to stop. `over`: it has stopped.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "page.h"
#include "tenure.h"
#include "words.h"

#define BEAT_MS 10
#define WRITE_EVERY_NS (100 * NS_PER_MS)
#define STUCK_NS (5 * NS_PER_S)     // a client that takes nothing for so long is replaced
#define LINGER_NS (200 * NS_PER_MS) // at most so long a worker works on after it was told to stop
#define TOO_LATE_NS (3 * NS_PER_S)  // so long it writes to SQL after the term's end

static volatile sig_atomic_t terminated;

struct client {
	char **command;
	pid_t pid;
	int fd; // -1: none
	int64_t took_at;
};

struct worker {
	int fd;
	const char *component, *lease, *socket_path;
	struct page_view page;
	const struct page_slot *slot;
	struct tenure *tenure; // NULL: under `tenurectl run`
	uint64_t term;         // 0: does not lead
	int64_t stop_at;       // INT64_MAX: was not told to stop
	int64_t wrote_at;
	uint64_t old_term; // that it goes on writing for
	int64_t old_until;
	struct client client;
};

static void fail(const char *what, int error)
{
	fprintf(stderr, "chaos_worker: %s: %s\n", what, strerror(-error));
	exit(EXIT_FAILURE);
}

static void on_signal(int number)
{
	(void)number;
	terminated = 1;
}

static void append(const struct worker *w, const char *word, int64_t at, int64_t deadline)
{
	char line[128];
	int size = snprintf(line, sizeof line, "%s %" PRId64 " %" PRIu64 " %ld %" PRId64 "\n", word, at, w->term,
		(long)getpid(), deadline);
	if (write(w->fd, line, (size_t)size) != size)
		fail("cannot append", -errno);
}

// The end of this connection is the end of the process.
static void be_witnessed(void)
{
	const char *path = getenv("CHAOS_WITNESS");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = path ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
	if (!path)
		return;
	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) < 0)
		fail(path, -errno);
}

// ---- the SQL client ----

static void client_end(struct client *c)
{
	if (c->fd < 0)
		return;
	close(c->fd);
	kill(c->pid, SIGKILL);
	waitpid(c->pid, NULL, 0);
	c->fd = -1;
}

static void client_start(struct client *c, int64_t now)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		fail("pipe", -errno);
	c->pid = fork();
	if (c->pid < 0)
		fail("fork", -errno);
	if (c->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGPIPE, SIG_DFL);
		dup2(ends[0], STDIN_FILENO);
		execvp(c->command[0], c->command);
		_exit(127);
	}
	close(ends[0]);
	c->fd = ends[1];
	c->took_at = now;
	fcntl(c->fd, F_SETFL, O_NONBLOCK);
	fcntl(c->fd, F_SETPIPE_SZ, 4096); // what it does not take at once shall not wait for long
}

static void client_say(struct client *c, int64_t now, const char *text)
{
	if (c->fd < 0)
		client_start(c, now);
	if (write(c->fd, text, strlen(text)) > 0)
		c->took_at = now;
	else if (errno != EAGAIN || now - c->took_at > STUCK_NS)
		client_end(c);
}

static void write_sql(struct worker *w, int64_t now, uint64_t term)
{
	char text[512];
	snprintf(text, sizeof text,
		"CALL chaos_fenced('%s', '%s', %" PRIu64 ", %" PRId64 ");\n"
		"INSERT INTO chaos_write (component, term, at_ns, fenced) VALUES ('%s', %" PRIu64 ", %" PRId64
		", 0);\n",
		w->lease, w->component, term, now, w->component, term, now);
	client_say(&w->client, now, text);
	w->wrote_at = now;
}

// ---- the token ----

// Anew for each term, and where the page is another one meanwhile, as a daemon that starts may make it.
static void find_slot(struct worker *w)
{
	const char *slash = strrchr(w->socket_path, '/');
	char path[4096], boot_id[BOOT_ID_SIZE];
	snprintf(path, sizeof path, "%.*s%s", slash ? (int)(slash - w->socket_path) + 1 : 0, w->socket_path,
		WIRE_TERMS_NAME);
	if (w->slot)
		page_view_close(&w->page);
	int error = clock_boot_id(boot_id);
	if (error < 0)
		fail("boot id", error);
	error = page_view_open(&w->page, path, boot_id);
	if (error < 0)
		fail(path, error);
	int slot = page_view_find(&w->page, w->component);
	if (slot < 0)
		fail(w->component, slot);
	w->slot = w->page.slots + slot;
}

// What is claimed is an instant before the look, and the clock is read again after it: a pause in between says no (W7).
static bool beat(struct worker *w)
{
	int64_t at = clock_now_ns();
	int64_t deadline = page_slot_deadline(w->slot, w->term);
	bool valid =
		w->tenure ? tenure_valid(w->tenure) && tenure_term(w->tenure) == w->term : clock_now_ns() < deadline;
	if (!valid || at >= w->stop_at)
		return false;
	if (at >= deadline && w->tenure) {
		find_slot(w);
		deadline = page_slot_deadline(w->slot, w->term);
	}
	append(w, "beat", at, deadline);
	if (at - w->wrote_at >= WRITE_EVERY_NS)
		write_sql(w, at, w->term);
	return true;
}

static void over(struct worker *w)
{
	int64_t now = clock_now_ns();
	append(w, "over", now, 0);
	write_sql(w, now, w->term);
}

static void write_too_late(struct worker *w)
{
	int64_t now = clock_now_ns();
	if (w->old_term != 0 && now < w->old_until && now - w->wrote_at >= WRITE_EVERY_NS)
		write_sql(w, now, w->old_term);
}

// It works on for a while, another one each term.
static void revoked(struct worker *w, int64_t deadline)
{
	int64_t now = clock_now_ns();
	append(w, "revoked", now, deadline);
	w->stop_at = now + (int64_t)(w->term * 37 % 100) * LINGER_NS / 100;
}

static int run_term(struct worker *w, const char *term)
{
	w->term = strtoull(term, NULL, 10);
	append(w, "start", clock_now_ns(), 0);
	while (beat(w)) {
		poll(NULL, 0, BEAT_MS);
		if (terminated && w->stop_at == INT64_MAX)
			revoked(w, page_slot_deadline(w->slot, w->term));
	}
	over(w);
	client_end(&w->client);
	return EXIT_SUCCESS;
}

static void end_term(struct worker *w)
{
	over(w);
	w->old_term = w->term;
	w->old_until = clock_now_ns() + TOO_LATE_NS;
	w->term = 0;
	w->stop_at = INT64_MAX;
	int error = tenure_stopped(w->tenure);
	if (error < 0 && error != -ESTALE)
		fail("stopped", error);
}

static void take(struct worker *w, const struct tenure_event *event)
{
	switch (event->type) {
	case TENURE_GRANTED:
		find_slot(w);
		w->term = event->term;
		w->old_term = 0;
		append(w, "start", clock_now_ns(), event->deadline);
		(void)!tenure_started(w->tenure);
		break;
	case TENURE_REVOKED:
		if (w->term != 0)
			revoked(w, event->deadline);
		break;
	case TENURE_LOST:
		if (w->term != 0)
			end_term(w);
		break;
	case TENURE_NOTHING:
	default:
		break;
	}
}

static int run_library(struct worker *w)
{
	struct tenure_event event;
	int error = tenure_open(&w->tenure, w->socket_path, w->component);
	if (error < 0)
		fail("open", error);
	while (!terminated) {
		error = tenure_process(w->tenure, &event);
		if (error < 0)
			fail("process", error);
		take(w, &event);
		write_too_late(w);
		// A term that is no longer valid is LOST in a moment; one that we were told to stop ends here.
		if (w->term != 0 && !beat(w) && w->stop_at != INT64_MAX)
			end_term(w);
		struct pollfd ready = {.fd = tenure_fd(w->tenure), .events = POLLIN};
		if (event.type == TENURE_NOTHING)
			poll(&ready, 1, BEAT_MS);
	}
	return EXIT_SUCCESS;
}

int main(int argc, char *argv[])
{
	const char *socket_path = getenv("TENURE_SOCKET"), *term = getenv("TENURE_TERM");
	if (argc < 5 || !socket_path) {
		fprintf(stderr, "usage: TENURE_SOCKET=PATH chaos_worker FILE COMPONENT LEASE CLIENT...\n");
		return 2;
	}
	struct worker w = {.component = argv[2], .lease = argv[3], .socket_path = socket_path, .stop_at = INT64_MAX};
	w.client = (struct client){.command = argv + 4, .fd = -1};
	signal(SIGTERM, on_signal);
	signal(SIGPIPE, SIG_IGN);
	w.fd = open(argv[1], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	if (w.fd < 0)
		fail(argv[1], -errno);
	be_witnessed();
	if (!term)
		return run_library(&w);
	find_slot(&w);
	return run_term(&w, term);
}
