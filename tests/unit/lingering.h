// SPDX-License-Identifier: Apache-2.0
// What takes long to close, sent along on a Unix socket (S7).
#ifndef LINGERING_H
#define LINGERING_H

#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// A connection whose last close takes `seconds`: nobody takes what it has to send.
static inline int make_lingering(int seconds, int *ret_peer)
{
	char bytes[4096] = "";
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct linger linger = {.l_onoff = 1, .l_linger = seconds};
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
	    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &(socklen_t){sizeof address}), 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
	*ret_peer = accept(listener, NULL, NULL);
	close(listener);
	while (send(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0)
		continue;
	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
	return fd;
}

// The text that the descriptor is sent along with, and flags of sendmsg(). False where there are no such flags.
static inline bool send_away_with(int socket, int fd, const char *text, int flags)
{
	char control[CMSG_SPACE(sizeof fd)] = "";
	struct iovec bytes = {.iov_base = (char *)text, .iov_len = strlen(text)};
	struct msghdr message = {
		.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	*CMSG_FIRSTHDR(&message) =
		(struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
	memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), &fd, sizeof fd);
	ssize_t sent = sendmsg(socket, &message, MSG_NOSIGNAL | flags);
	ck_assert(sent == (ssize_t)strlen(text) || (flags != 0 && errno == EOPNOTSUPP));
	close(fd);
	return sent > 0;
}

static inline void send_away(int socket, int fd)
{
	(void)send_away_with(socket, fd, "x", 0);
}

#endif
