// SPDX-License-Identifier: Apache-2.0
// Ends the blocking calls of a client library in time: shuts its socket down when a deadline passes or a descriptor
// becomes readable. It has a thread of its own.
#ifndef TENURE_WATCH_H
#define TENURE_WATCH_H

#include "base.h"

struct watch;

// 0 or -errno.
int watch_new(struct watch **ret) MUST_CHECK;
void watch_free(struct watch *watch);

// Until watch_end(), which says whether it was time meanwhile.
void watch_begin(struct watch *watch, int64_t deadline_at, int abort_fd);
bool watch_end(struct watch *watch);
// What to shut down from now on; -1, before it is closed: nothing. True where it was time already.
bool watch_socket(struct watch *watch, int fd);

#endif
