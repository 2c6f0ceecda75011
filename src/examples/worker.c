// SPDX-License-Identifier: Apache-2.0
#include "worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tenure.h>

struct worker {
	struct tenure *tenure;
	struct work *work;
	const char *component;
	bool working;
	ev_io ready;
	ev_signal terminated, interrupted;
};

static void say(const struct worker *w, const char *what, uint64_t term, const char *why)
{
	fprintf(stderr, "%s: %s term=%llu %s\n", w->component, what, (unsigned long long)term, why);
}

static void end(struct worker *w)
{
	if (!w->working)
		return;
	w->working = false;
	w->work->stop(w->work);
}

static void begin(struct worker *w, uint64_t term)
{
	if (w->work->start(w->work, tenure_lease(w->tenure), term) < 0) {
		say(w, "yielded", term, "");
		(void)tenure_yield(w->tenure, -1); // however it went, we hold nothing any more
		return;
	}
	w->working = true;
	say(w, "started", term, "");
	(void)tenure_started(w->tenure); // -ESTALE: the event that ends it is next
}

static void take(struct worker *w, const struct tenure_event *event)
{
	if (event->type == TENURE_GRANTED) {
		begin(w, event->term);
		return;
	}
	end(w);
	(void)tenure_stopped(w->tenure);
	say(w, "stopped", event->term, event->reason);
}

static void on_ready(struct ev_loop *loop, ev_io *io, int events)
{
	struct worker *w = io->data;
	struct tenure_event event;
	int got;
	(void)loop;
	(void)events;
	while ((got = tenure_process(w->tenure, &event)) > 0)
		take(w, &event);
	if (got < 0) // the library tries again
		fprintf(stderr, "%s: %s\n", w->component, strerror(-got));
}

static void on_signal(struct ev_loop *loop, ev_signal *signal, int events)
{
	(void)signal;
	(void)events;
	ev_break(loop, EVBREAK_ALL);
}

bool worker_valid(const struct work *work)
{
	return tenure_valid(work->worker->tenure);
}

void worker_failed(struct work *work)
{
	struct worker *w = work->worker;
	uint64_t term = tenure_term(w->tenure);
	end(w);
	(void)tenure_yield(w->tenure, -1);
	say(w, "yielded", term, "");
}

static void listen_to(struct ev_loop *loop, ev_signal *signal, int number)
{
	ev_signal_init(signal, on_signal, number);
	ev_signal_start(loop, signal);
}

int worker_run(struct work *work, const char *component)
{
	struct worker *w = calloc(1, sizeof *w);
	int error = w ? tenure_open(&w->tenure, NULL, component) : -ENOMEM;
	if (error < 0) {
		fprintf(stderr, "%s: %s\n", component, strerror(-error));
		free(w);
		return EXIT_FAILURE;
	}
	w->work = work;
	w->component = component;
	work->worker = w;
	ev_io_init(&w->ready, on_ready, tenure_fd(w->tenure), EV_READ);
	w->ready.data = w;
	ev_io_start(work->loop, &w->ready);
	listen_to(work->loop, &w->terminated, SIGTERM);
	listen_to(work->loop, &w->interrupted, SIGINT);
	ev_run(work->loop, 0);
	end(w);
	tenure_close(w->tenure);
	free(w);
	ev_loop_destroy(work->loop);
	return EXIT_SUCCESS;
}
