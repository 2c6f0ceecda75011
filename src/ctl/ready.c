// SPDX-License-Identifier: Apache-2.0
#include "ready.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define MESSAGE_SIZE 4096

static int bind_address(struct ready *ready)
{
	struct uuid id;
	char text[UUID_TEXT_SIZE];
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int on = 1;
	int error = uuid_random(&id);
	if (error < 0)
		return error;
	uuid_format(&id, text);
	int length = snprintf(ready->address, sizeof ready->address, "@tenurectl/%s", text);
	// In the abstract namespace, so that there is no file to be left behind.
	memcpy(address.sun_path + 1, ready->address + 1, (size_t)length - 1);
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)length);
	if (setsockopt(ready->fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0)
		return -errno;
	return bind(ready->fd, (const struct sockaddr *)&address, size) < 0 ? -errno : 0;
}

int ready_open(struct ready *ready)
{
	ready->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (ready->fd < 0)
		return -errno;
	int error = bind_address(ready);
	if (error < 0)
		ready_close(ready);
	return error;
}

void ready_close(struct ready *ready)
{
	if (ready->fd >= 0)
		close(ready->fd);
	ready->fd = -1;
}

static unsigned parse(struct ready *ready, char *message)
{
	unsigned news = 0;
	char *rest = NULL;
	for (char *word = strtok_r(message, "\n", &rest); word; word = strtok_r(NULL, "\n", &rest)) {
		if (strcmp(word, "READY=1") == 0)
			news |= READY_STARTED;
		else if (strcmp(word, "WATCHDOG=1") == 0)
			news |= READY_ALIVE;
		else if (strcmp(word, "STOPPING=1") == 0)
			news |= READY_STOPPING;
		else if (strncmp(word, "STATUS=", strlen("STATUS=")) == 0) {
			snprintf(ready->status, sizeof ready->status, "%s", word + strlen("STATUS="));
			news |= READY_STATUS;
		}
	}
	return news;
}

// The sender's, by the kernel; none where it did not come.
static struct ucred sender_of(struct msghdr *header)
{
	struct ucred sender = {.pid = -1, .uid = (uid_t)-1};
	for (struct cmsghdr *control = CMSG_FIRSTHDR(header); control; control = CMSG_NXTHDR(header, control))
		if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SCM_CREDENTIALS)
			memcpy(&sender, CMSG_DATA(control), sizeof sender);
	return sender;
}

unsigned ready_receive(struct ready *ready, pid_t session)
{
	unsigned news = 0;
	for (;;) {
		char message[MESSAGE_SIZE + 1];
		// No room for descriptors: the kernel closes what is sent along.
		union {
			char bytes[CMSG_SPACE(sizeof(struct ucred))];
			struct cmsghdr aligned;
		} control;
		struct iovec part = {.iov_base = message, .iov_len = MESSAGE_SIZE};
		struct msghdr header = {.msg_iov = &part,
			.msg_iovlen = 1,
			.msg_control = control.bytes,
			.msg_controllen = sizeof control.bytes};
		ssize_t size = recvmsg(ready->fd, &header, MSG_CMSG_CLOEXEC);
		if (size < 0 && errno == EINTR)
			continue;
		if (size < 0)
			return news;
		message[size] = '\0';
		struct ucred sender = sender_of(&header);
		if (sender.uid == geteuid() || (session > 0 && sender.pid > 0 && getsid(sender.pid) == session))
			news |= parse(ready, message);
	}
}
