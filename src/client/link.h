// SPDX-License-Identifier: Apache-2.0
// A connection to the daemon that carries lines and never blocks.
#ifndef TENURE_LINK_H
#define TENURE_LINK_H

#include "buffer.h"
#include "line.h"

// The most bytes that wait to be sent.
#define LINK_OUTPUT_BYTES 16384

struct link {
	int fd; // -1: closed
	struct line_splitter input;
	struct buffer output; // line_begin() and so on write here; link_flush() sends
};

void link_init(struct link *link);
// 0, or -errno: -ENOENT and -ECONNREFUSED where no daemon listens, -ENAMETOOLONG.
int link_connect(struct link *link, const char *path) MUST_CHECK;
// Closes; the link can be connected again.
void link_close(struct link *link);

// Sends what can be sent at once: 0 all, 1 some is left. A broken connection shows when it is read.
int link_flush(struct link *link);
// 1: got some bytes; 0: none for now; -ECONNRESET: the end, however it came.
int link_receive(struct link *link) MUST_CHECK;
// 1 and a line, good until the next link_receive(); 0: none complete; -EPROTO: what came is no line.
int link_next(struct link *link, struct line *ret) MUST_CHECK;

// $TENURE_SOCKET, or the usual place.
const char *link_default_path(void);

#endif
