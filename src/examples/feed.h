// SPDX-License-Identifier: Apache-2.0
// Events for whoever connects to a Unix socket. It is there for one term: its end ends every subscription.
#ifndef FEED_H
#define FEED_H

#include <ev.h>

#define FEED_LINE_SIZE 320

struct subscriber;

struct feed {
	ev_io io;
	int fd;
	struct ev_loop *loop;
	const char *path;
	struct subscriber *subscribers;
};

/* 0 or a negative errno. */
int feed_start(struct feed *feed, struct ev_loop *loop, const char *path);
void feed_stop(struct feed *feed);

/* A subscriber that does not keep up is sent away, and begins again with what SQL says. */
void feed_send(struct feed *feed, const char *line);

/* Everything may have changed: all begin again. */
void feed_restart(struct feed *feed);

/* A stream socket that listens at the path, or is connected to it; or a negative errno. */
int feed_listen(const char *path);
int feed_connect(const char *path);

#endif
