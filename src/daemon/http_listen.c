// SPDX-License-Identifier: Apache-2.0
// The socket that HTTP listens on: TCP, or a Unix socket with the mode and the group of the daemon's own.
#include "http_internal.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SAY(why, ...) snprintf(why, HTTP_WHY_BYTES, __VA_ARGS__)

static int fail(int fd, int error, const char *what, char *why)
{
	if (fd >= 0)
		close(fd);
	if (error == -EADDRINUSE)
		SAY(why, "another process listens there; end it, or choose another place");
	else
		SAY(why, "%s: %s", what, strerror(-error));
	return error;
}

// What a daemon that was killed left behind is taken away, what somebody listens on is not.
static int remove_old(const struct sockaddr_un *address)
{
	struct stat status;
	if (lstat(address->sun_path, &status) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(status.st_mode))
		return -EEXIST;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	int result = connect(fd, (const struct sockaddr *)address, sizeof *address);
	bool gone = result < 0 && errno == ECONNREFUSED;
	close(fd);
	if (!gone)
		return -EADDRINUSE;
	return unlink(address->sun_path) == 0 || errno == ENOENT ? 0 : -errno;
}

// Nobody can connect before it listens, and then it has its group and mode.
static int listen_unix(const char *path, mode_t mode, gid_t gid, char *why)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	int error = remove_old(&address);
	if (error < 0)
		return fail(-1, error, "what is there cannot be replaced", why);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fail(fd, -errno, "no socket can be made", why);
	if (bind(fd, (const struct sockaddr *)&address, sizeof address) < 0)
		return fail(fd, -errno, "no socket can be made there", why);
	if (gid != (gid_t)-1 && lchown(path, (uid_t)-1, gid) < 0)
		error = fail(fd, -errno, "it cannot be given to socket_group", why);
	else if (chmod(path, mode) < 0)
		error = fail(fd, -errno, "it cannot be given socket_mode", why);
	else if (listen(fd, HTTP_CONNECTIONS) < 0)
		error = fail(fd, -errno, "it cannot be listened on", why);
	if (error < 0)
		unlink(path);
	return error < 0 ? error : fd;
}

static int listen_at(const struct addrinfo *address)
{
	static const int on = 1;
	int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
		bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, HTTP_CONNECTIONS) == 0)
		return fd;
	int error = -errno;
	close(fd);
	return error;
}

// The first of the host's addresses that there is here.
static int listen_tcp(const char *where, char *why)
{
	static const struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV | AI_ADDRCONFIG};
	const char *port = strrchr(where, ':') + 1;
	const int bracketed = where[0] == '[';
	char host[HTTP_PATH_BYTES];
	snprintf(host, sizeof host, "%.*s", (int)(port - 1 - where) - 2 * bracketed, where + bracketed);
	struct addrinfo *found;
	int result = getaddrinfo(host, port, &hints, &found);
	if (result != 0) {
		SAY(why, "the host has no address here: %s", gai_strerror(result));
		return -EADDRNOTAVAIL;
	}
	int fd = -EADDRNOTAVAIL;
	for (const struct addrinfo *address = found; address && fd < 0; address = address->ai_next)
		fd = listen_at(address);
	freeaddrinfo(found);
	return fd < 0 ? fail(-1, fd, "it cannot be listened on", why) : fd;
}

int http_listen(const char *where, mode_t mode, gid_t gid, char ret_why[static HTTP_WHY_BYTES])
{
	return where[0] == '/' ? listen_unix(where, mode, gid, ret_why) : listen_tcp(where, ret_why);
}
