// SPDX-License-Identifier: Apache-2.0
// A command that runs in a session of its own, and everything that it started, wherever it went: what loses its parent
// becomes a child of this process, so all of it has ended when no child is left.
//
// This process is the guardian, or `run` itself once the guardian was killed: then all of it came here.
#ifndef TENURE_JOB_H
#define TENURE_JOB_H

#include <signal.h>
#include <sys/types.h>

#include "base.h"

// What a process that is killed leaves behind becomes ours a moment later; then it is to be killed, too.
#define JOB_KILL_AGAIN_NS (10 * NS_PER_MS)

// What the guard ignores and the command does not.
static const int job_default_signals[] = {SIGPIPE, SIGTSTP, SIGTTIN, SIGTTOU};

struct job {
	pid_t pid;        // of the command and of its process group; 0: none
	bool ended;       // the command itself has ended, with
	int status;       // (of waitpid())
	bool group_freed; // the command's pid, and with it the group's, may be somebody else's by now
};

struct job_setup {
	char *const *command;
	const char *component;
	const char *lease;
	uint64_t term;
	const char *socket_path;
	const char *notify_socket; // NULL: none
	int64_t watchdog_us;       // 0: none
	int connection;            // the command gets a copy; -1: none
	const sigset_t *signals;   // to be blocked in the command
};

// Makes this process the one that orphans go to.
int job_prepare(void) MUST_CHECK;

// What execvp() would make of the command's name, by kind and mode of the file: 0 or -errno. -ENOENT: there is none.
int job_look_up(const char *command) MUST_CHECK;

// No job is there. The command writes its pid to `exec_fd`, and what errno says where it cannot be executed, negative;
// so does this function where it fails.
int job_start(struct job *job, const struct job_setup *setup, int exec_fd) MUST_CHECK;
// Takes over the job whose guardian was killed; `pid` is 0 where it had not come so far.
void job_adopt(struct job *job, pid_t pid);

// To all of it. A signal other than SIGKILL is followed by SIGCONT, or a stopped process would not see it.
void job_signal(const struct job *job, int signal_number);

// Takes in who has ended. True once nothing is left.
bool job_reap(struct job *job) MUST_CHECK;

// The exit status that a shell would give.
int job_exit_status(const struct job *job);

#endif
