// SPDX-License-Identifier: Apache-2.0
#include "listwatch.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define CHANGES (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ONLYDIR)
#define BUFFER_SIZE 4096
#define NAMES_MAX (BUFFER_SIZE / (sizeof(struct inotify_event) + 1))

// A file that changed twice is looked at once.
static int add(const char *names[], int count, const char *name)
{
	for (int i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return count;
	names[count] = name;
	return count + 1;
}

static void on_readable(struct ev_loop *loop, ev_io *io, int events)
{
	struct watch *watch = io->data;
	_Alignas(struct inotify_event) char buffer[BUFFER_SIZE];
	const char *names[NAMES_MAX];
	bool lost = false;
	int count = 0;
	(void)loop;
	(void)events;

	ssize_t size = read(watch->fd, buffer, sizeof buffer);
	for (ssize_t at = 0; at < size;) {
		const struct inotify_event *event = (const void *)(buffer + at);
		// Too many changes at once, or the directory itself is gone: whoever lists it finds out.
		lost |= (event->mask & (IN_Q_OVERFLOW | IN_IGNORED)) != 0;
		if (event->len > 0 && event->name[0] != '.')
			count = add(names, count, event->name);
		at += (ssize_t)(sizeof *event + event->len);
	}
	if (lost)
		watch->changed(watch, names, 0);
	else if (count > 0)
		watch->changed(watch, names, count);
}

int watch_start(struct watch *watch, struct ev_loop *loop, const char *directory)
{
	watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (watch->fd < 0)
		return -errno;
	if (inotify_add_watch(watch->fd, directory, CHANGES) < 0) {
		int error = -errno;
		close(watch->fd);
		return error;
	}
	watch->loop = loop;
	ev_io_init(&watch->io, on_readable, watch->fd, EV_READ);
	watch->io.data = watch;
	ev_io_start(loop, &watch->io);
	return 0;
}

void watch_stop(struct watch *watch)
{
	ev_io_stop(watch->loop, &watch->io);
	close(watch->fd);
}
