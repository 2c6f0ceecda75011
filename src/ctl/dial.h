// SPDX-License-Identifier: Apache-2.0
// A connection to the daemon on which a command asks and waits for the answer.
#ifndef TENURE_DIAL_H
#define TENURE_DIAL_H

#include "base.h"
#include "link.h"
#include "words.h"

// How long the daemon may take to answer.
#define DIAL_ANSWER_NS (5 * NS_PER_S)
// The same where it has to ask the database first, which may not answer for the time-outs of a few exchanges.
#define DIAL_OPERATION_NS (60 * NS_PER_S)
#define DIAL_FOREVER INT64_MAX
// A daemon that starts opens its socket to others a moment after it made it: who waits for one is denied permission
// only where it has been for so long.
#define DIAL_DENIED_NS (1 * NS_PER_S)

struct dial {
	struct link link;
	char node[NAME_BYTES + 1]; // this daemon's
};

// Connects and greets. 0 or -errno, without a message.
int dial_open(struct dial *dial, const char *path) MUST_CHECK;
// The same with a message, why and what to do.
int dial_open_or_say(struct dial *dial, const char *path) MUST_CHECK;
void dial_close(struct dial *dial);

// Asks `hello`, on a link that was connected otherwise.
int dial_greet(struct dial *dial) MUST_CHECK;
// Asks `word`, for one component or (NULL) for all.
int dial_ask(struct dial *dial, enum wire_word word, const char *component) MUST_CHECK;
// Waits for a line, until `deadline` or DIAL_FOREVER. 0; -ETIMEDOUT, -ECONNRESET, -EPROTO.
int dial_wait(struct dial *dial, int64_t deadline, enum wire_word *ret_word, struct line *ret) MUST_CHECK;

// Whether a first connection, that is waited for, is denied: `error` is that of the last attempt, `*since` 0 at first.
bool dial_is_denied(int error, int64_t *since) MUST_CHECK;
// Says so; returns CTL_NO_DAEMON.
int dial_denied(const char *path);
// Says what such an error means; returns CTL_NO_DAEMON.
int dial_failed(int error);
// Says what the daemon refused, for one component or (NULL) at all; returns CTL_NO.
int dial_refused(const char *component, const struct line *line);

#endif
