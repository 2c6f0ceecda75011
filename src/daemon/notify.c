// SPDX-License-Identifier: Apache-2.0
// What systemd is told.
#include "notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define NUMBER_DIGITS 18
// The first descriptor that sd_listen_fds(3) speaks of.
#define LISTEN_FDS_START 3

// 1, 0 where the variable is not set, or -errno.
static int find_socket(struct sockaddr_un *ret, socklen_t *ret_size)
{
	const char *path = getenv("NOTIFY_SOCKET");
	if (path == NULL || *path == '\0')
		return 0;
	const size_t length = strlen(path);
	if (*path != '/' && *path != '@')
		return -EAFNOSUPPORT;
	if (length >= sizeof ret->sun_path)
		return -ENAMETOOLONG;
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(ret->sun_path, path, length);
	// An abstract name, which is as long as it is said to be.
	if (*path == '@')
		ret->sun_path[0] = '\0';
	*ret_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (*path == '@' ? 0 : 1));
	return 1;
}

int notify_send(const char *state)
{
	struct sockaddr_un address;
	socklen_t size;
	const int found = find_socket(&address, &size);
	if (found <= 0)
		return found;
	const size_t length = strlen(state);
	if (length > NOTIFY_STATE_BYTES)
		return -EMSGSIZE;
	const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	const ssize_t sent = sendto(fd, state, length, MSG_NOSIGNAL, (const struct sockaddr *)&address, size);
	const int result = sent == (ssize_t)length ? 1 : -errno;
	close(fd);
	return result;
}

int notify_ready(void)
{
	return notify_send("READY=1");
}

int notify_reloading(void)
{
	return notify_send("RELOADING=1");
}

int notify_stopping(void)
{
	return notify_send("STOPPING=1");
}

int notify_watchdog(void)
{
	return notify_send("WATCHDOG=1");
}

// A line of its own in the datagram would be another variable.
static void keep_one_line(char *text)
{
	for (; *text != '\0'; text++) {
		if ((unsigned char)*text < ' ')
			*text = ' ';
	}
}

int notify_status(const char *format, ...)
{
	char state[NOTIFY_STATE_BYTES + 1] = "STATUS=";
	const size_t used = strlen(state);
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(state + used, sizeof state - used, format, arguments);
	va_end(arguments);
	keep_one_line(state + used);
	return notify_send(state);
}

// The variable's value where it is a plain number above zero, else 0.
static int64_t read_number(const char *variable)
{
	const char *text = getenv(variable);
	const size_t digits = text != NULL ? strspn(text, "0123456789") : 0;
	if (digits == 0 || digits > NUMBER_DIGITS || text[digits] != '\0')
		return 0;
	return strtoll(text, NULL, 10);
}

int notify_listen_fd(void)
{
	// Set for another process, perhaps the one that started us.
	if (read_number("LISTEN_PID") != getpid())
		return -ENOENT;
	const int64_t count = read_number("LISTEN_FDS");
	if (count == 0)
		return -ENOENT;
	return count == 1 ? LISTEN_FDS_START : -E2BIG;
}

int64_t notify_watchdog_interval_ns(void)
{
	const int64_t interval_us = read_number("WATCHDOG_USEC");
	// Set where the unit has one; it may be meant for another process of the unit.
	if (getenv("WATCHDOG_PID") != NULL && read_number("WATCHDOG_PID") != getpid())
		return INT64_MAX;
	if (interval_us == 0 || interval_us > INT64_MAX / NS_PER_US)
		return INT64_MAX;
	return interval_us * NS_PER_US / 2;
}
