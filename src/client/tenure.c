// SPDX-License-Identifier: Apache-2.0
#include "tenure.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "handle.h"

#define NEVER INT64_MAX

static int open_descriptors(struct tenure *t)
{
	t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (t->epoll_fd < 0)
		return -errno;
	t->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (t->timer_fd < 0)
		return -errno;
	struct epoll_event event = {.events = EPOLLIN};
	return epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, t->timer_fd, &event) < 0 ? -errno : 0;
}

// `at` 0: at once.
static void arm(struct tenure *t, int64_t at)
{
	struct itimerspec when = {0};
	if (at != NEVER) {
		int64_t not_zero = at > 0 ? at : 1;
		when.it_value.tv_sec = not_zero / NS_PER_S;
		when.it_value.tv_nsec = not_zero % NS_PER_S;
	}
	(void)timerfd_settime(t->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static void arm_next(struct tenure *t)
{
	int64_t at = NEVER;
	if (t->stage == STAGE_DOWN)
		at = t->retry_at;
	if (t->work != 0 && !t->over && tenure_deadline(t) < at)
		at = tenure_deadline(t);
	// Lines that were read already do not make the socket readable again.
	if (t->more)
		at = 0;
	arm(t, at);
}

// Whether there is a connection that nothing was read from yet.
static bool try_to_connect(struct tenure *t, int64_t now)
{
	if (t->stage != STAGE_DOWN || now < t->retry_at)
		return false;
	bool connected = protocol_connect(t) == 0;
	if (!connected)
		protocol_disconnect(t, now);
	return connected;
}

int tenure_open_alive(struct tenure **ret, const char *socket_path, const char *component, int64_t heartbeat_ms)
{
	if (!name_is_valid(component))
		return -EINVAL;
	struct tenure *t = calloc(1, sizeof *t);
	if (!t)
		return -ENOMEM;
	link_init(&t->link);
	t->held_fd = -1;
	t->epoll_fd = -1;
	t->timer_fd = -1;
	t->heartbeat_ms = heartbeat_ms;
	t->retry_ns = HANDLE_RETRY_FIRST_NS;
	snprintf(t->component, sizeof t->component, "%s", component);
	snprintf(t->lease, sizeof t->lease, "%s", component);
	t->socket_path = strdup(socket_path ? socket_path : link_default_path());
	int error = t->socket_path ? open_descriptors(t) : -ENOMEM;
	if (error < 0)
		goto fail;
	error = protocol_connect(t);
	if (error == -ENAMETOOLONG || error == -EMFILE || error == -ENFILE || error == -ENOMEM)
		goto fail;
	if (error < 0)
		protocol_disconnect(t, clock_now_ns());
	arm_next(t);
	*ret = t;
	return 0;
fail:
	tenure_close(t);
	return error;
}

int tenure_open(struct tenure **ret, const char *socket_path, const char *component)
{
	return tenure_open_alive(ret, socket_path, component, 0);
}

const char *tenure_lease(const struct tenure *t)
{
	return t->lease;
}

void tenure_close(struct tenure *t)
{
	if (!t)
		return;
	terms_end(t);
	link_close(&t->link);
	protocol_let_go(t);
	if (t->timer_fd >= 0)
		close(t->timer_fd);
	if (t->epoll_fd >= 0)
		close(t->epoll_fd);
	terms_done(t);
	free(t->socket_path);
	free(t);
}

int tenure_fd(const struct tenure *t)
{
	return t->epoll_fd;
}

static void run(struct tenure *t)
{
	int64_t now = clock_now_ns();
	// A new connection is read from the next time: `run` gives its guardian a copy before it is the worker's, or it
	// could be killed in between and its end would say that there is no work.
	bool fresh = try_to_connect(t, now);
	if (!fresh && t->stage != STAGE_DOWN && t->stage != STAGE_BROKEN)
		protocol_read(t, now);
	// What the daemon said comes first: it may be an extension.
	bool quiet = t->event.type == TENURE_NOTHING && t->refused == 0;
	if (quiet && t->work != 0 && !t->over && clock_now_ns() >= tenure_deadline(t))
		protocol_lost(t, "expired");
}

int tenure_process(struct tenure *t, struct tenure_event *ret)
{
	uint64_t expirations;
	(void)!read(t->timer_fd, &expirations, sizeof expirations);
	t->event = (struct tenure_event){.type = TENURE_NOTHING};
	t->more = false;
	t->refused = 0;
	run(t);
	arm_next(t);
	*ret = t->event;
	return t->refused < 0 ? t->refused : t->event.type != TENURE_NOTHING;
}

int tenure_started(struct tenure *t)
{
	if (t->work == 0 || t->over)
		return -ESTALE;
	t->started = true;
	return t->stage == STAGE_JOINED ? protocol_say(t, WIRE_STARTED) : 0;
}

// While the daemon does not read, one more heartbeat is of no use.
static bool takes_heartbeats(const struct tenure *t)
{
	return t->stage == STAGE_JOINED && buffer_size(&t->link.output) == 0 && t->asked_count < HANDLE_ASKED / 2;
}

int tenure_alive(struct tenure *t)
{
	if (t->work == 0 || t->over)
		return -ESTALE;
	return takes_heartbeats(t) ? protocol_alive(t, NULL) : 0;
}

int tenure_tell(struct tenure *t, const char *message)
{
	if (t->work == 0 || t->over)
		return -ESTALE;
	return takes_heartbeats(t) ? protocol_alive(t, message) : -EAGAIN;
}

// The work has ended, and the daemon knows it if it can. Another term may come.
static int forget_work(struct tenure *t)
{
	enum stage stage = t->stage;
	t->work = 0;
	t->over = false;
	t->started = false;
	protocol_let_go(t);
	if (stage == STAGE_BROKEN)
		protocol_disconnect(t, clock_now_ns());
	int error = stage == STAGE_IDLE ? protocol_join(t) : 0;
	arm_next(t);
	return error;
}

int tenure_stopped(struct tenure *t)
{
	if (t->work == 0)
		return 0;
	terms_end(t);
	int said = t->stage == STAGE_JOINED ? protocol_say(t, WIRE_STOPPED) : 0;
	int error = forget_work(t);
	return said < 0 ? said : error;
}

int tenure_yield_because(struct tenure *t, int64_t cooldown_ms, const char *reason)
{
	if (t->work == 0)
		return -ESTALE;
	terms_end(t);
	int said = t->stage == STAGE_JOINED ? protocol_yield(t, cooldown_ms, reason) : -ENOTCONN;
	int error = forget_work(t);
	return said < 0 ? said : error;
}

int tenure_yield(struct tenure *t, int64_t cooldown_ms)
{
	return tenure_yield_because(t, cooldown_ms, NULL);
}

void tenure_leave(struct tenure *t)
{
	terms_end(t);
	if (t->stage == STAGE_JOINED)
		(void)!protocol_say(t, WIRE_LEAVE);
	t->work = 0;
}

int tenure_connection(const struct tenure *t)
{
	return t->link.fd;
}

int tenure_trouble(const struct tenure *t)
{
	return t->trouble;
}

bool tenure_is_joined(const struct tenure *t)
{
	return t->stage == STAGE_JOINED;
}

int64_t tenure_grace_ns(const struct tenure *t)
{
	return t->grace_ns;
}

const char *tenure_refusal(const struct tenure *t)
{
	return t->refusal;
}
