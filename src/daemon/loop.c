// SPDX-License-Identifier: Apache-2.0
// The event loop, over libev.
#include "loop.h"

#include <assert.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

// In no header of glibc before 2.41.
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif
#define NUDGE_NS (NS_PER_MS / 4)

struct loop_watch {
	struct ev_loop *ev;
	ev_io io;
	loop_fd_fn *fn;
	void *userdata;
};

struct loop {
	struct ev_loop *ev;
	// libev's own timers stand still in suspend: one timerfd on CLOCK_BOOTTIME instead.
	int timer_fd;
	struct loop_watch *timer_watch;
	int64_t armed_at;
	loop_fn *timer_fn;
	void *timer_userdata;
	ev_prepare turn;
	loop_fn *turn_fn;
	void *turn_userdata;
	// A signalfd and not handlers: no blocking call of another thread is ever interrupted.
	int signal_fd;
	struct loop_watch *signal_watch;
	sigset_t signals;
	sigset_t mask_before;
	loop_signal_fn *signal_fn;
	void *signal_userdata;
	timer_t nudge; // between loop_hurry() and loop_calm()
	bool has_nudge;
};

static int to_ev(unsigned flags)
{
	return ((flags & LOOP_READ) != 0 ? EV_READ : 0) | ((flags & LOOP_WRITE) != 0 ? EV_WRITE : 0);
}

static void on_io(struct ev_loop *ev, ev_io *io, int events)
{
	(void)ev;
	struct loop_watch *watch = io->data;
	unsigned flags = 0;
	if ((events & EV_READ) != 0)
		flags |= LOOP_READ;
	if ((events & EV_WRITE) != 0)
		flags |= LOOP_WRITE;
	if ((events & EV_ERROR) != 0)
		flags |= LOOP_ERROR;
	watch->fn(watch->userdata, io->fd, flags);
}

static void start(struct loop_watch *watch)
{
	if (watch->io.events & (EV_READ | EV_WRITE))
		ev_io_start(watch->ev, &watch->io);
}

int loop_watch_new(struct loop *loop, int fd, unsigned flags, loop_fd_fn *fn, void *userdata, struct loop_watch **ret)
{
	// libev is built with assertions, and one of them is about this.
	if (fcntl(fd, F_GETFD) < 0)
		return -errno;
	struct loop_watch *watch = calloc(1, sizeof *watch);
	if (watch == NULL)
		return -ENOMEM;
	watch->ev = loop->ev;
	watch->fn = fn;
	watch->userdata = userdata;
	// Always a full ev_io_set(): it is what makes libev tell epoll anew about a reused descriptor number.
	ev_io_init(&watch->io, on_io, fd, to_ev(flags));
	watch->io.data = watch;
	start(watch);
	*ret = watch;
	return 0;
}

void loop_watch_set(struct loop_watch *watch, unsigned flags)
{
	const int events = to_ev(flags);
	if ((watch->io.events & (EV_READ | EV_WRITE)) == events)
		return;
	ev_io_stop(watch->ev, &watch->io);
	ev_io_set(&watch->io, watch->io.fd, events);
	start(watch);
}

void loop_watch_free(struct loop_watch *watch)
{
	if (watch == NULL)
		return;
	ev_io_stop(watch->ev, &watch->io); // drops what is pending for it as well
	free(watch);
}

void loop_arm(struct loop *loop, int64_t at_ns)
{
	if (at_ns == loop->armed_at)
		return;
	struct itimerspec when = {0};
	if (at_ns != INT64_MAX) {
		// All zero would disarm; what is past fires at once.
		const int64_t at = at_ns > 0 ? at_ns : 1;
		when.it_value.tv_sec = (time_t)(at / NS_PER_S);
		when.it_value.tv_nsec = (long)(at % NS_PER_S);
	}
	const int result = timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
	assert(result == 0); // only wrong arguments make it fail
	(void)result;
	loop->armed_at = at_ns;
}

static void on_timer_fd(void *userdata, int fd, unsigned flags)
{
	(void)flags;
	struct loop *loop = userdata;
	uint64_t expirations;
	// Nothing to read: armed anew since it fired.
	if (read(fd, &expirations, sizeof expirations) != sizeof expirations)
		return;
	loop->armed_at = INT64_MAX;
	if (loop->timer_fn != NULL)
		loop->timer_fn(loop->timer_userdata);
}

void loop_on_timer(struct loop *loop, loop_fn *fn, void *userdata)
{
	loop->timer_fn = fn;
	loop->timer_userdata = userdata;
}

static void on_prepare(struct ev_loop *ev, ev_prepare *turn, int events)
{
	(void)ev;
	(void)events;
	struct loop *loop = turn->data;
	if (loop->turn_fn != NULL)
		loop->turn_fn(loop->turn_userdata);
}

void loop_on_turn(struct loop *loop, loop_fn *fn, void *userdata)
{
	loop->turn_fn = fn;
	loop->turn_userdata = userdata;
}

static void on_signal_fd(void *userdata, int fd, unsigned flags)
{
	(void)flags;
	struct loop *loop = userdata;
	struct signalfd_siginfo info;
	while (read(fd, &info, sizeof info) == sizeof info)
		loop->signal_fn(loop->signal_userdata, (int)info.ssi_signo);
}

static int open_signals(struct loop *loop)
{
	const int fd = signalfd(loop->signal_fd, &loop->signals, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (loop->signal_fd >= 0)
		return 0;
	const int result = loop_watch_new(loop, fd, LOOP_READ, on_signal_fd, loop, &loop->signal_watch);
	if (result < 0) {
		close(fd);
		return result;
	}
	loop->signal_fd = fd;
	return 0;
}

int loop_on_signal(struct loop *loop, int signal_number, loop_signal_fn *fn, void *userdata)
{
	if (sigaddset(&loop->signals, signal_number) != 0)
		return -errno;
	loop->signal_fn = fn;
	loop->signal_userdata = userdata;
	// Blocked first: one that comes in between waits for the descriptor.
	const int result = pthread_sigmask(SIG_BLOCK, &loop->signals, NULL);
	if (result != 0)
		return -result;
	return open_signals(loop);
}

static void on_nudge(int signal_number)
{
	(void)signal_number; // what it interrupted has ended
}

static void set_nudge(struct loop *loop, int64_t ns)
{
	const struct itimerspec every = {.it_value.tv_nsec = ns, .it_interval.tv_nsec = ns};
	timer_settime(loop->nudge, 0, &every, NULL);
}

void loop_hurry(struct loop *loop)
{
	set_nudge(loop, NUDGE_NS);
}

void loop_calm(struct loop *loop)
{
	set_nudge(loop, 0);
}

static int make_nudge(struct loop *loop)
{
	const struct sigaction action = {.sa_handler = on_nudge, .sa_flags = SA_RESTART};
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN};
	sigset_t nudges;
	event.sigev_notify_thread_id = gettid();
	if (sigaction(SIGRTMIN, &action, NULL) < 0 || timer_create(CLOCK_MONOTONIC, &event, &loop->nudge) < 0)
		return -errno;
	loop->has_nudge = true;
	// Blocked by whoever started this program, it would end nothing.
	sigemptyset(&nudges);
	sigaddset(&nudges, SIGRTMIN);
	pthread_sigmask(SIG_UNBLOCK, &nudges, NULL);
	return 0;
}

int loop_new(struct loop **ret)
{
	int result = -ENOMEM;
	struct loop *loop = calloc(1, sizeof *loop);
	if (loop == NULL)
		return result;
	loop->signal_fd = -1;
	loop->timer_fd = -1;
	loop->armed_at = INT64_MAX;
	sigemptyset(&loop->signals);
	pthread_sigmask(SIG_SETMASK, NULL, &loop->mask_before);
	signal(SIGPIPE, SIG_IGN);
	loop->ev = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
	if (loop->ev == NULL)
		goto fail;
	loop->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (loop->timer_fd < 0) {
		result = -errno;
		goto fail;
	}
	result = loop_watch_new(loop, loop->timer_fd, LOOP_READ, on_timer_fd, loop, &loop->timer_watch);
	if (result == 0)
		result = make_nudge(loop);
	if (result < 0)
		goto fail;
	ev_prepare_init(&loop->turn, on_prepare);
	loop->turn.data = loop;
	ev_prepare_start(loop->ev, &loop->turn);
	*ret = loop;
	return 0;

fail:
	loop_free(loop);
	return result;
}

void loop_free(struct loop *loop)
{
	if (loop == NULL)
		return;
	loop_watch_free(loop->timer_watch);
	loop_watch_free(loop->signal_watch);
	if (loop->timer_fd >= 0)
		close(loop->timer_fd);
	if (loop->signal_fd >= 0)
		close(loop->signal_fd);
	if (loop->ev != NULL)
		ev_loop_destroy(loop->ev);
	if (loop->has_nudge)
		timer_delete(loop->nudge);
	pthread_sigmask(SIG_SETMASK, &loop->mask_before, NULL);
	free(loop);
}

int loop_run(struct loop *loop)
{
	ev_run(loop->ev, 0);
	return 0;
}

void loop_stop(struct loop *loop)
{
	ev_break(loop->ev, EVBREAK_ALL);
}
