// SPDX-License-Identifier: Apache-2.0
// libtenure: what a program needs to work only while it leads. See libtenure(3).
#ifndef TENURE_H
#define TENURE_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TENURE_API __attribute__((visibility("default")))

#define TENURE_REASON_SIZE 32

struct tenure;

enum tenure_event_type {
	TENURE_NOTHING,
	TENURE_GRANTED, /* start the work of `term`, then call tenure_started() */
	TENURE_REVOKED, /* end the work before `deadline`, then call tenure_stopped() */
	TENURE_LOST,    /* the term is over: end the work at once, then call tenure_stopped() */
};

/* Each GRANTED is followed by exactly one REVOKED or LOST of the same term, unless the work was given up before. */
struct tenure_event {
	enum tenure_event_type type;
	uint64_t term;
	int64_t deadline;                /* nanoseconds of CLOCK_BOOTTIME; of GRANTED and REVOKED */
	char reason[TENURE_REASON_SIZE]; /* of REVOKED and LOST */
};

/*
 * All return 0 or a negative errno. A handle is used by one thread at a time, but for tenure_valid() and
 * tenure_term(), which any thread may call; a child after fork() must not use it at all.
 */

/*
 * Joins as a worker for `component`. NULL as socket path: $TENURE_SOCKET, then /run/tenure/tenured.sock. Does not wait:
 * where no daemon runs yet, it goes on trying. What the daemon answers comes with tenure_process().
 */
TENURE_API int tenure_open(struct tenure **ret, const char *socket_path, const char *component);

/* One descriptor for the handle's life: readable when tenure_process() has something to do. */
TENURE_API int tenure_fd(const struct tenure *t);

/*
 * Never blocks. 1 and an event; 0 and TENURE_NOTHING. -ENOENT (the daemon knows no such component), -EACCES (this user
 * may not join) or -EPROTO (the daemon speaks another version) are told once each time the daemon says so; calling on
 * tries again in a while.
 */
TENURE_API int tenure_process(struct tenure *t, struct tenure_event *ret);

/* The work of the term that was granted is running. -ESTALE: that term has ended meanwhile. */
TENURE_API int tenure_started(struct tenure *t);

/* The work has ended. No term is granted before. Before a REVOKED or LOST it gives the term up. */
TENURE_API int tenure_stopped(struct tenure *t);

/*
 * The work has ended because it cannot go on here: another replica shall have its chance, this one not before the
 * cool-down (negative: the configured one). -ESTALE: there was no term. -ENOTCONN: done, but the daemon is away and
 * will not hear of the cool-down.
 */
TENURE_API int tenure_yield(struct tenure *t, int64_t cooldown_ms);

/*
 * True while nobody else can hold the term that was granted last, also after REVOKED, until its deadline or
 * tenure_stopped(). Tens of nanoseconds.
 */
TENURE_API bool tenure_valid(const struct tenure *t);

/* The term that was granted last, 0 where it was lost or its work has ended. */
TENURE_API uint64_t tenure_term(const struct tenure *t);

/*
 * The name of the lease, for tenure_fence(): the component's, or its group's once the daemon has said so, which it has
 * before GRANTED. Good until tenure_close().
 */
TENURE_API const char *tenure_lease(const struct tenure *t);

/* Ends the connection: the daemon takes it that the work has ended. Takes NULL. */
TENURE_API void tenure_close(struct tenure *t);

#ifdef __cplusplus
}
#endif

#endif
