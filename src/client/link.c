// SPDX-License-Identifier: Apache-2.0
#include "link.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "words.h"

void link_init(struct link *link)
{
	link->fd = -1;
	line_splitter_init(&link->input);
	buffer_init(&link->output, LINK_OUTPUT_BYTES);
}

int link_connect(struct link *link, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t length = strlen(path);
	if (length == 0 || length >= sizeof address.sun_path)
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, length);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
		int error = -errno;
		close(fd);
		return error;
	}
	link->fd = fd;
	return 0;
}

void link_close(struct link *link)
{
	if (link->fd >= 0)
		close(link->fd);
	buffer_done(&link->output);
	link_init(link);
}

int link_flush(struct link *link)
{
	while (buffer_size(&link->output) > 0) {
		ssize_t sent = send(
			link->fd, buffer_bytes(&link->output), buffer_size(&link->output), MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && (errno == EAGAIN || errno == ENOBUFS))
			return 1;
		buffer_consume(&link->output, sent < 0 ? buffer_size(&link->output) : (size_t)sent);
	}
	return 0;
}

int link_receive(struct link *link)
{
	char *room;
	size_t size = line_splitter_room(&link->input, &room);
	if (size == 0)
		return 0;
	ssize_t received;
	do
		received = recv(link->fd, room, size, MSG_DONTWAIT);
	while (received < 0 && errno == EINTR);
	if (received < 0)
		return errno == EAGAIN ? 0 : -ECONNRESET;
	if (received == 0)
		return -ECONNRESET;
	line_splitter_commit(&link->input, (size_t)received);
	return 1;
}

int link_next(struct link *link, struct line *ret)
{
	char *text;
	size_t size;
	int found = line_splitter_next(&link->input, &text, &size);
	if (found <= 0)
		return found < 0 ? -EPROTO : 0;
	return line_parse(ret, text, size) < 0 ? -EPROTO : 1;
}

const char *link_default_path(void)
{
	const char *path = secure_getenv("TENURE_SOCKET");
	return path && *path ? path : WIRE_DEFAULT_SOCKET;
}
