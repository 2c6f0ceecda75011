// SPDX-License-Identifier: Apache-2.0
// How many instances and runtimes there are, for whoever connects to SOCKETS/counter.sock.
//
// counter DATABASE SOCKETS: a term's counts begin with what SQL says and go on with the events of the discovery and the
// engine beside it. Where one of these does not lead here, SQL is asked again and again. Without a term the answer is
// `standby`, for a count that nobody keeps is not 0.
#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "feed.h"
#include "sql.h"
#include "worker.h"

#define RETRY_S 0.2

struct counter;

// One table: names, so that an event that SQL knew already counts nothing twice.
struct source {
	struct counter *counter;
	const char *query;
	char events[108];
	void *names;
	int count;
	int fd; // of the subscription, -1: none
	ev_io heard;
	ev_timer retry;
	char line[FEED_LINE_SIZE];
	size_t size;
};

struct counter {
	struct work work;
	const char *database;
	struct sql *sql;
	struct source sources[2];
	uint64_t term; // 0: none
	int fd;
	ev_io asked;
};

static int compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void add(void *data, const char *name)
{
	struct source *s = data;
	if (tfind(name, &s->names, compare))
		return;
	char *copy = strdup(name);
	if (!copy || !tsearch(copy, &s->names, compare))
		abort();
	s->count++;
}

static void drop(struct source *s, const char *name)
{
	void *const *node = tfind(name, &s->names, compare);
	if (!node)
		return;
	char *copy = *node;
	tdelete(name, &s->names, compare);
	free(copy);
	s->count--;
}

static void unsubscribe(struct source *s)
{
	if (s->fd < 0)
		return;
	ev_io_stop(s->counter->work.loop, &s->heard);
	close(s->fd);
	s->fd = -1;
}

static void forget(struct source *s)
{
	tdestroy(s->names, free);
	s->names = NULL;
	s->count = 0;
	s->size = 0;
}

// The subscription comes before the look at SQL: what changes meanwhile is heard of.
static int begin(struct source *s)
{
	struct ev_loop *loop = s->counter->work.loop;
	forget(s);
	s->fd = feed_connect(s->events);
	if (s->fd < 0) {
		s->fd = -1;
		ev_timer_set(&s->retry, RETRY_S, 0);
		ev_timer_start(loop, &s->retry);
	} else {
		ev_io_set(&s->heard, s->fd, EV_READ);
		ev_io_start(loop, &s->heard);
	}
	return sql_query(s->counter->sql, s->query, add, s);
}

static void begin_again(struct source *s)
{
	unsubscribe(s);
	if (begin(s) < 0)
		worker_failed(&s->counter->work);
}

static void take(struct source *s, char *line)
{
	char *name = strchr(line, ' ');
	if (!name)
		return;
	*name++ = '\0';
	if (strcmp(line, "put") == 0)
		add(s, name);
	else
		drop(s, name);
}

static void on_heard(struct ev_loop *loop, ev_io *io, int events)
{
	struct source *s = io->data;
	char *end;
	(void)loop;
	(void)events;
	ssize_t size = read(s->fd, s->line + s->size, sizeof s->line - s->size);
	if (size < 0 && errno == EAGAIN)
		return;
	if (size <= 0) { // the end of a term over there, or we were too slow
		begin_again(s);
		return;
	}
	s->size += (size_t)size;
	while ((end = memchr(s->line, '\n', s->size))) {
		*end++ = '\0';
		take(s, s->line);
		s->size -= (size_t)(end - s->line);
		memmove(s->line, end, s->size);
	}
}

static void on_retry(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	begin_again(timer->data);
}

static void stop(struct work *work)
{
	struct counter *c = (struct counter *)work;
	for (int i = 0; i < 2; i++) {
		unsubscribe(&c->sources[i]);
		ev_timer_stop(work->loop, &c->sources[i].retry);
		forget(&c->sources[i]);
	}
	sql_close(c->sql);
	c->term = 0;
}

static int start(struct work *work, const char *lease, uint64_t term)
{
	struct counter *c = (struct counter *)work;
	(void)lease; // it writes nothing
	c->sql = sql_open(c->database);
	if (!c->sql)
		return -1;
	c->term = term;
	if (begin(&c->sources[0]) == 0 && begin(&c->sources[1]) == 0)
		return 0;
	stop(work);
	return -1;
}

static void on_asked(struct ev_loop *loop, ev_io *io, int events)
{
	const struct counter *c = io->data;
	char answer[128] = "standby\n";
	(void)loop;
	(void)events;
	int fd = accept4(c->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return;
	if (c->term != 0 && worker_valid(&c->work))
		snprintf(answer, sizeof answer, "term=%llu instances=%d runtimes=%d\n", (unsigned long long)c->term,
			c->sources[0].count, c->sources[1].count);
	(void)send(fd, answer, strlen(answer), MSG_NOSIGNAL); // who has gone needs none
	close(fd);
}

static int prepare(struct counter *c, const char *sockets)
{
	static const char *const of[] = {"discovery", "engine"};
	char path[108];
	if (snprintf(path, sizeof path, "%s/counter.sock", sockets) >= (int)sizeof path - 8)
		return -ENAMETOOLONG;
	c->fd = feed_listen(path);
	if (c->fd < 0)
		return c->fd;
	ev_io_init(&c->asked, on_asked, c->fd, EV_READ);
	c->asked.data = c;
	ev_io_start(c->work.loop, &c->asked);
	for (int i = 0; i < 2; i++) {
		struct source *s = &c->sources[i];
		s->counter = c;
		s->fd = -1;
		snprintf(s->events, sizeof s->events, "%s/%s.events", sockets, of[i]);
		ev_init(&s->heard, on_heard);
		ev_init(&s->retry, on_retry);
		s->heard.data = s->retry.data = s;
	}
	return 0;
}

int main(int argc, char *argv[])
{
	struct counter counter = {
		.work = {.start = start, .stop = stop},
		.sources = {{.query = "SELECT name FROM instances"}, {.query = "SELECT name FROM runtimes"}},
	};
	if (argc != 3) {
		fprintf(stderr, "usage: counter DATABASE SOCKETS\n");
		return 2;
	}
	counter.database = argv[1];
	counter.work.loop = ev_default_loop(0);
	int error = prepare(&counter, argv[2]);
	if (error < 0) {
		fprintf(stderr, "counter: %s: %s\n", argv[2], strerror(-error));
		return EXIT_FAILURE;
	}
	return worker_run(&counter.work, "counter");
}
