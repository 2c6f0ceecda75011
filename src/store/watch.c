// SPDX-License-Identifier: Apache-2.0
#include "watch.h"

#include "clock.h"
#include "driver.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

struct watch {
	pthread_t thread;
	int wake_fd; // to the thread: look at the rest
	pthread_mutex_t lock;
	// Under the lock:
	int fd;
	int abort_fd;
	int64_t deadline_at;
	bool armed;
	bool fired;
	bool closing;
};

static void wake(const struct watch *watch)
{
	// It fails only where the counter is full, and then it is readable as well.
	(void)eventfd_write(watch->wake_fd, 1);
}

static void fire_when_due(struct watch *watch)
{
	struct pollfd abort = {.fd = watch->abort_fd, .events = POLLIN};
	if (!watch->armed || (clock_now_ns() < watch->deadline_at && poll(&abort, 1, 0) <= 0))
		return;
	watch->armed = false;
	watch->fired = true;
	if (watch->fd >= 0)
		shutdown(watch->fd, SHUT_RDWR);
}

static void *run(void *argument)
{
	struct watch *watch = argument;
	pthread_mutex_lock(&watch->lock);
	while (!watch->closing) {
		fire_when_due(watch);
		struct pollfd fds[] = {
			{.fd = watch->wake_fd, .events = POLLIN},
			{.fd = watch->armed ? watch->abort_fd : -1, .events = POLLIN},
		};
		int wait_ms = watch->armed ? store_milliseconds_left(watch->deadline_at) : -1;
		pthread_mutex_unlock(&watch->lock);
		eventfd_t count;
		if (poll(fds, COUNT_OF(fds), wait_ms) > 0 && fds[0].revents)
			(void)eventfd_read(watch->wake_fd, &count);
		pthread_mutex_lock(&watch->lock);
	}
	pthread_mutex_unlock(&watch->lock);
	return NULL;
}

int watch_new(struct watch **ret)
{
	struct watch *watch = calloc(1, sizeof *watch);
	if (!watch)
		return -ENOMEM;
	watch->fd = -1;
	watch->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int error = watch->wake_fd < 0 ? -errno : 0;
	if (error < 0)
		goto fail;
	pthread_mutex_init(&watch->lock, NULL);
	error = store_start_thread(&watch->thread, run, watch);
	if (error < 0)
		goto fail_lock;
	*ret = watch;
	return 0;
fail_lock:
	pthread_mutex_destroy(&watch->lock);
	close(watch->wake_fd);
fail:
	free(watch);
	return error;
}

void watch_free(struct watch *watch)
{
	if (!watch)
		return;
	pthread_mutex_lock(&watch->lock);
	watch->closing = true;
	pthread_mutex_unlock(&watch->lock);
	wake(watch);
	pthread_join(watch->thread, NULL);
	pthread_mutex_destroy(&watch->lock);
	close(watch->wake_fd);
	free(watch);
}

void watch_begin(struct watch *watch, int64_t deadline_at, int abort_fd)
{
	pthread_mutex_lock(&watch->lock);
	watch->deadline_at = deadline_at;
	watch->abort_fd = abort_fd;
	watch->armed = true;
	watch->fired = false;
	pthread_mutex_unlock(&watch->lock);
	wake(watch);
}

bool watch_end(struct watch *watch)
{
	pthread_mutex_lock(&watch->lock);
	bool fired = watch->fired;
	watch->armed = false;
	pthread_mutex_unlock(&watch->lock);
	return fired;
}

bool watch_socket(struct watch *watch, int fd)
{
	pthread_mutex_lock(&watch->lock);
	watch->fd = fd;
	bool fired = watch->fired;
	if (fired && fd >= 0)
		shutdown(fd, SHUT_RDWR);
	pthread_mutex_unlock(&watch->lock);
	return fired;
}
