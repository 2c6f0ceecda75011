// SPDX-License-Identifier: Apache-2.0
#include "feed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct subscriber {
	ev_io io;
	struct subscriber *next;
};

static void end_subscription(struct feed *feed, struct subscriber **at)
{
	struct subscriber *gone = *at;
	*at = gone->next;
	ev_io_stop(feed->loop, &gone->io);
	close(gone->io.fd);
	free(gone);
}

// Subscribers have nothing to say: this is their end.
static void on_heard(struct ev_loop *loop, ev_io *io, int events)
{
	struct feed *feed = io->data;
	(void)loop;
	(void)events;
	for (struct subscriber **at = &feed->subscribers; *at; at = &(*at)->next)
		if (&(*at)->io == io) {
			end_subscription(feed, at);
			return;
		}
}

static void accept_all(struct feed *feed)
{
	int fd;
	while ((fd = accept4(feed->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct subscriber *s = calloc(1, sizeof *s);
		if (!s) {
			close(fd);
			return;
		}
		ev_io_init(&s->io, on_heard, fd, EV_READ);
		s->io.data = feed;
		s->next = feed->subscribers;
		feed->subscribers = s;
		ev_io_start(feed->loop, &s->io);
	}
}

static void on_subscriber(struct ev_loop *loop, ev_io *io, int events)
{
	(void)loop;
	(void)events;
	accept_all(io->data);
}

// Who has connected has looked at SQL, perhaps before what is told here was written: it is a subscriber already.
void feed_send(struct feed *feed, const char *line)
{
	size_t size = strlen(line);
	accept_all(feed);
	for (struct subscriber **at = &feed->subscribers; *at;)
		if (send((*at)->io.fd, line, size, MSG_NOSIGNAL) == (ssize_t)size)
			at = &(*at)->next;
		else
			end_subscription(feed, at);
}

void feed_restart(struct feed *feed)
{
	accept_all(feed);
	while (feed->subscribers)
		end_subscription(feed, &feed->subscribers);
}

// Calls bind() or connect() for the path.
static int open_at(const char *path, int (*call)(int, const struct sockaddr *, socklen_t))
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof address.sun_path)
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path));
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (call(fd, (const struct sockaddr *)&address, sizeof address) == 0)
		return fd;
	int error = -errno;
	close(fd);
	return error;
}

int feed_listen(const char *path)
{
	unlink(path); // of a process before us that was killed
	int fd = open_at(path, bind);
	if (fd < 0 || listen(fd, SOMAXCONN) == 0)
		return fd;
	int error = -errno;
	close(fd);
	return error;
}

int feed_connect(const char *path)
{
	return open_at(path, connect);
}

int feed_start(struct feed *feed, struct ev_loop *loop, const char *path)
{
	feed->fd = feed_listen(path);
	if (feed->fd < 0)
		return feed->fd;
	feed->loop = loop;
	feed->path = path;
	feed->subscribers = NULL;
	ev_io_init(&feed->io, on_subscriber, feed->fd, EV_READ);
	feed->io.data = feed;
	ev_io_start(loop, &feed->io);
	return 0;
}

void feed_stop(struct feed *feed)
{
	feed_restart(feed);
	ev_io_stop(feed->loop, &feed->io);
	close(feed->fd);
	unlink(feed->path);
}
