// SPDX-License-Identifier: Apache-2.0
// The socket on which a command reports, the way it would to systemd.
#ifndef TENURE_READY_H
#define TENURE_READY_H

#include <sys/types.h>

#include "base.h"

#define READY_ADDRESS_SIZE 64
// The daemon takes less of it.
#define READY_STATUS_SIZE 256

enum ready_news {
	READY_STARTED = 1 << 0,  // READY=1
	READY_ALIVE = 1 << 1,    // WATCHDOG=1
	READY_STOPPING = 1 << 2, // STOPPING=1
	READY_STATUS = 1 << 3,   // STATUS=: the last is in `status`
};

struct ready {
	int fd;                           // -1: closed
	char address[READY_ADDRESS_SIZE]; // for $NOTIFY_SOCKET
	char status[READY_STATUS_SIZE];
};

// 0 or -errno.
int ready_open(struct ready *ready) MUST_CHECK;
void ready_close(struct ready *ready);
// Takes in all that has come from this user's processes or from those of `session`; returns enum ready_news.
unsigned ready_receive(struct ready *ready, pid_t session);

#endif
