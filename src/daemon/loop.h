// SPDX-License-Identifier: Apache-2.0
// The event loop: descriptors, one absolute timer on CLOCK_BOOTTIME, signals. The only file that knows libev.
#ifndef TENURE_LOOP_H
#define TENURE_LOOP_H

#include "base.h"

struct loop;
struct loop_watch;

enum loop_flags {
	LOOP_READ = 1,
	LOOP_WRITE = 2,
	// Only in callbacks: the descriptor is unusable and is no longer watched; READ and WRITE are set as well, so
	// that whoever just reads or writes sees the error there. The watch is still to be freed by its owner.
	LOOP_ERROR = 4,
};

typedef void loop_fd_fn(void *userdata, int fd, unsigned flags);
typedef void loop_signal_fn(void *userdata, int signal_number);
typedef void loop_fn(void *userdata);

// Ignores SIGPIPE for the process. One loop belongs to one thread.
int loop_new(struct loop **ret) MUST_CHECK;
// Watches must have been freed before. Takes NULL. The signal mask becomes what it was.
void loop_free(struct loop *loop);

// Returns once loop_stop() was called, after what is pending in that turn was delivered.
int loop_run(struct loop *loop) MUST_CHECK;
void loop_stop(struct loop *loop);

// `flags` are what to wait for: LOOP_READ, LOOP_WRITE, both, or 0 for nothing yet. The descriptor stays the caller's:
// free its watch BEFORE closing it. A watch may be freed in any callback, its own included; an event that was
// pending for it is not delivered, nor is it to a new watch on the same descriptor number.
int loop_watch_new(
	struct loop *loop, int fd, unsigned flags, loop_fd_fn *fn, void *userdata, struct loop_watch **ret) MUST_CHECK;
void loop_watch_set(struct loop_watch *watch, unsigned flags);
void loop_watch_free(struct loop_watch *watch);

// The timer: `fn` is called once `at` (CLOCK_BOOTTIME, ns) is reached; INT64_MAX disarms. Arming replaces what was
// armed before, in a callback too, and costs nothing where `at` is the same.
void loop_on_timer(struct loop *loop, loop_fn *fn, void *userdata);
void loop_arm(struct loop *loop, int64_t at_ns);

// Called after the events of each turn and before the loop waits, the first time before any event.
void loop_on_turn(struct loop *loop, loop_fn *fn, void *userdata);

// In between, what this thread waits for in the kernel ends after a quarter of a millisecond, where a signal can end
// it. For taking what was sent along with bytes on a Unix socket, and for closing one: either closes the descriptors
// that are there, and the last close of a TCP connection that lingers takes as long as its sender likes, while no lease
// is renewed (S7).
void loop_hurry(struct loop *loop);
void loop_calm(struct loop *loop);

// Blocks the signal for this thread and for those that it starts from here on, and delivers it in the loop's turn:
// call it before starting threads. One function serves all signals.
int loop_on_signal(struct loop *loop, int signal_number, loop_signal_fn *fn, void *userdata) MUST_CHECK;

#endif
