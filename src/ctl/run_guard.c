// SPDX-License-Identifier: Apache-2.0
#include "run_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl.h"

static void close_pair(const int fds[2])
{
	close(fds[0]);
	close(fds[1]);
}

int guard_start(struct guard *guard, const struct guard_setup *setup)
{
	int channel[2], exec[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, channel) < 0)
		return -errno;
	if (pipe2(exec, O_CLOEXEC | O_NONBLOCK) < 0) {
		int error = -errno;
		close_pair(channel);
		return error;
	}
	pid_t pid = fork();
	if (pid == 0) {
		close(channel[0]);
		close(exec[0]);
		guardian_main(setup, channel[1], exec[1]);
	}
	if (pid < 0) {
		int error = -errno;
		close_pair(channel);
		close_pair(exec);
		return error;
	}
	close(channel[1]);
	close(exec[1]);
	*guard = (struct guard){.pid = pid,
		.channel = channel[0],
		.exec_fd = exec[0],
		.page = tenure_page(setup->tenure),
		.connected = setup->job.connection >= 0};
	return 0;
}

static void close_once(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void take_exec(struct guard *guard)
{
	int number;
	ssize_t size;
	while ((size = read(guard->exec_fd, &number, sizeof number)) == (ssize_t)sizeof number) {
		if (number > 0)
			guard->command = number;
		else
			guard->exec_error = number;
	}
	if (size == 0)
		close_once(&guard->exec_fd);
}

void guard_take_news(struct guard *guard)
{
	char byte;
	if (guard->exec_fd >= 0)
		take_exec(guard);
	if (guard->channel < 0)
		return;
	ssize_t size = recv(guard->channel, &byte, sizeof byte, 0);
	if (size > 0)
		guard->ended = true;
	else if (size == 0 || errno != EAGAIN)
		close_once(&guard->channel);
}

// Whether it was sent. A guardian that does not read stands still, and is of no use anyway.
static bool tell(const struct guard *guard, struct guard_order order, int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr header;
	} control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
	struct iovec part = {.iov_base = &order, .iov_len = sizeof order};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	if (fd >= 0) {
		memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof control.bytes;
	}
	return sendmsg(guard->channel, &message, MSG_NOSIGNAL) > 0;
}

void guard_inform(struct guard *guard, const struct tenure *tenure)
{
	if (guard->pid == 0)
		return;
	int connection = tenure_connection(tenure);
	if (connection < 0)
		guard->connected = false;
	else if (!guard->connected)
		guard->connected = tell(guard, (struct guard_order){0}, connection);

	// Once told it goes by that.
	const void *page = tenure_page(tenure);
	int64_t deadline = tenure_deadline(tenure);
	bool sees = guard->told == 0 && page && page == guard->page;
	if (!sees && deadline > 0 && deadline != guard->told &&
		tell(guard, (struct guard_order){.deadline = deadline}, -1))
		guard->told = deadline;
}

void guard_signal(const struct guard *guard, int signal_number)
{
	if (guard->lost)
		job_signal(&guard->job, signal_number);
	if (guard->pid == 0)
		return;
	if (signal_number == SIGKILL)
		kill(guard->pid, SIGKILL);
	else
		(void)!tell(guard, (struct guard_order){.signal = signal_number}, -1);
}

static void take_end(struct guard *guard, int status)
{
	guard->pid = 0;
	guard_take_news(guard);
	close_once(&guard->channel);
	// It ends by itself only after all the others.
	guard->lost = WIFSIGNALED(status);
	if (guard->lost)
		job_adopt(&guard->job, guard->command);
	else
		guard->exit_status = WEXITSTATUS(status);
}

bool guard_reap(struct guard *guard)
{
	int status;
	if (guard->pid > 0 && waitpid(guard->pid, &status, WNOHANG) != guard->pid)
		return false;
	if (guard->pid > 0)
		take_end(guard, status);
	if (guard->lost && !job_reap(&guard->job))
		return false;
	// The last to write there is gone, too.
	if (guard->exec_fd >= 0)
		take_exec(guard);
	close_once(&guard->exec_fd);
	if (guard->lost)
		guard->exit_status = job_exit_status(&guard->job);
	if (guard->exec_error < 0)
		guard->exit_status = guard->exec_error == -ENOENT ? CTL_NOT_FOUND : CTL_CANNOT_EXECUTE;
	return true;
}
