// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "clock.h"
#include "run_guard.h"

struct guardian {
	const struct guard_setup *setup;
	struct job job;
	int channel;
	int timer_fd;
	int connection; // that was handed over; -1: none beside the inherited one
	int64_t told;   // the deadline, or 0: it is on the page, or as it was at the start
	bool alone;     // `run` is gone
	bool said;      // that the command has ended
};

// When to kill. The page is read-only memory that the kernel shares between daemon and guardian: `run` has no part.
static int64_t kill_time(const struct guardian *g)
{
	int64_t deadline = g->told ? g->told : tenure_deadline(g->setup->tenure);
	return (deadline > 0 ? deadline : 0) - g->setup->margin_ns;
}

static void keep_connection(struct guardian *g, struct msghdr *message)
{
	struct cmsghdr *control = CMSG_FIRSTHDR(message);
	if (!control || control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS)
		return;
	if (g->connection >= 0)
		close(g->connection);
	memcpy(&g->connection, CMSG_DATA(control), sizeof g->connection);
}

// False where there is none for now.
static bool take_order(struct guardian *g)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr aligned;
	} control;
	struct guard_order order = {0};
	struct iovec part = {.iov_base = &order, .iov_len = sizeof order};
	struct msghdr message = {.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof control.bytes};
	ssize_t size = recvmsg(g->channel, &message, MSG_CMSG_CLOEXEC);
	if (size != (ssize_t)sizeof order) {
		g->alone = size >= 0 || (errno != EAGAIN && errno != EINTR);
		return false;
	}
	keep_connection(g, &message);
	if (order.deadline > 0)
		g->told = order.deadline;
	if (order.signal > 0)
		job_signal(&g->job, order.signal);
	return true;
}

static void wait_for_something(const struct guardian *g, int64_t at)
{
	struct pollfd fds[] = {
		{.fd = g->alone ? -1 : g->channel, .events = POLLIN},
		{.fd = g->setup->signal_fd, .events = POLLIN},
		{.fd = g->timer_fd, .events = POLLIN},
	};
	struct itimerspec when = {.it_value = {.tv_sec = at / NS_PER_S, .tv_nsec = at % NS_PER_S}};
	struct signalfd_siginfo info;
	(void)timerfd_settime(g->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
	(void)poll(fds, COUNT_OF(fds), -1);
	// Whoever reads there reads his own. Other signals than SIGCHLD were meant for `run`.
	while (read(g->setup->signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
		continue;
}

static void guard_job(struct guardian *g)
{
	while (!job_reap(&g->job)) {
		while (!g->alone && take_order(g))
			continue;
		if (g->job.ended && !g->said)
			g->said = send(g->channel, "", 1, MSG_NOSIGNAL) > 0;
		int64_t at = kill_time(g); // before the clock
		int64_t now = clock_now_ns();
		if (g->alone || now >= at) {
			job_signal(&g->job, SIGKILL);
			at = now + JOB_KILL_AGAIN_NS;
		}
		wait_for_something(g, at);
	}
}

void guardian_main(const struct guard_setup *setup, int channel, int exec_fd)
{
	struct guardian g = {.setup = setup, .channel = channel, .connection = -1};
	// What is done to the group of `run`, or to all of its name, is not done to its guardian.
	setsid();
	(void)prctl(PR_SET_NAME, "tenure-guard");
	g.timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	int error = g.timer_fd < 0 ? -errno : job_prepare();
	if (error < 0)
		(void)!write(exec_fd, &error, sizeof error);
	else
		error = job_start(&g.job, &setup->job, exec_fd);
	close(exec_fd);
	if (error == 0)
		guard_job(&g);
	_exit(job_exit_status(&g.job));
}
