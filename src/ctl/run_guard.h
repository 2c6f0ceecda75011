// SPDX-License-Identifier: Apache-2.0
// The guardian: a process between `run` and its command that outlives neither (S1).
//
// It kills all that the command started as soon as `run` is gone, and before the term's deadline whatever `run` does.
// Where the guardian is killed instead, all of it comes to `run`, which kills it. That is also how `run` kills: the
// guardian first, for it may stand still.
//
// The daemon hears of the worker's end only when every copy of the connection is closed. The guardian has one, and
// gets another when `run` connects again: after a restart of the daemon the command's own copy is worth nothing.
#ifndef TENURE_RUN_GUARD_H
#define TENURE_RUN_GUARD_H

#include "job.h"
#include "tenure_private.h"

struct guard_setup {
	struct job_setup job;
	const struct tenure *tenure; // the guardian reads its page, if it has one
	int64_t margin_ns;           // how long before the deadline to kill
	int signal_fd;               // with SIGCHLD
};

struct guard {
	pid_t pid;       // of the guardian; 0: it is gone
	bool lost;       // it was killed, and the job is ours
	int channel;     // to the guardian; readable when there is news
	int exec_fd;     // tells the command's pid and whether it could be executed; -1: that is known
	int exec_error;  // 0 or -errno
	pid_t command;   // its pid, and the one of its session; 0: not known yet
	bool ended;      // the command has; what it started may live
	int exit_status; // of the command, as a shell would give it; good when nothing is left
	struct job job;

	// What the guardian knows.
	const void *page;
	bool connected;
	int64_t told;
};

// `run`'s side. No guard is there, or nothing of the last one is left. 0 or -errno.
int guard_start(struct guard *guard, const struct guard_setup *setup) MUST_CHECK;
// To be called when channel or exec_fd are readable.
void guard_take_news(struct guard *guard);
// To be called when something may have changed: tells the deadline where it is not on the guardian's page, and hands
// over a new connection.
void guard_inform(struct guard *guard, const struct tenure *tenure);
// To all of the job.
void guard_signal(const struct guard *guard, int signal_number);
// Takes in who has ended. True once nothing is left.
bool guard_reap(struct guard *guard) MUST_CHECK;

// Between the two.
struct guard_order {
	int signal;       // for the job; 0: none
	int64_t deadline; // 0: as before
};

// The guardian itself, after fork(); `channel` ends when `run` does.
_Noreturn void guardian_main(const struct guard_setup *setup, int channel, int exec_fd);

#endif
