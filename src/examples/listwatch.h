// SPDX-License-Identifier: Apache-2.0
// List-watch of a directory: all files first, then what changes; all again where changes were lost.
#ifndef LISTWATCH_H
#define LISTWATCH_H

#include <ev.h>

struct watch {
	ev_io io;
	int fd;
	struct ev_loop *loop;
	/* These files changed, appeared or are gone; none named: list them all. Not called after watch_stop(). */
	void (*changed)(struct watch *watch, const char *const names[], int count);
};

/* From here on nothing is missed: the caller lists the directory after it. 0 or a negative errno. */
int watch_start(struct watch *watch, struct ev_loop *loop, const char *directory);
void watch_stop(struct watch *watch);

#endif
