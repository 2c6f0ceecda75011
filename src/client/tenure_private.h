// SPDX-License-Identifier: Apache-2.0
// What tenurectl needs of the library and other programs do not; not exported.
#ifndef TENURE_PRIVATE_H
#define TENURE_PRIVATE_H

#include "base.h"
#include "tenure.h"

// Opens with a promise of heartbeats, at least one every `heartbeat_ms` from started on (W16); 0: none.
int tenure_open_alive(
	struct tenure **ret, const char *socket_path, const char *component, int64_t heartbeat_ms) MUST_CHECK;
// A heartbeat. -ESTALE: no term.
int tenure_alive(struct tenure *t) MUST_CHECK;
// A heartbeat that also tells what the worker says of itself, for people. -EAGAIN: not now.
int tenure_tell(struct tenure *t, const char *message) MUST_CHECK;
// tenure_yield() with a reason of its own.
int tenure_yield_because(struct tenure *t, int64_t cooldown_ms, const char *reason) MUST_CHECK;
// Tells the daemon that the worker goes for good; tenure_close() is to follow.
void tenure_leave(struct tenure *t);

// The connection at the moment, or -1.
int tenure_connection(const struct tenure *t);
// Why the last attempt to connect failed, or 0 where it did not.
int tenure_trouble(const struct tenure *t);
// True while joined over it.
bool tenure_is_joined(const struct tenure *t);
// The deadline of the term that was granted last, as far as it was extended by now; INT64_MIN where it is over.
int64_t tenure_deadline(const struct tenure *t);
// Where the deadline is looked up: a page that the kernel goes on sharing after fork(). NULL: the daemon sends it.
const void *tenure_page(const struct tenure *t);
// How long before the deadline the work has to begin to end.
int64_t tenure_grace_ns(const struct tenure *t);
// What the daemon said when it refused last; "" where it did not.
const char *tenure_refusal(const struct tenure *t);

#endif
