// SPDX-License-Identifier: Apache-2.0
// tenurectl: what its commands share.
//
//   commands.c global options, the table of commands, help
//   args.c     durations, signals, formats; complaints
//   dial.c     a connection that is waited for
//   status.c   status
//   watch.c    watch: lines; live.c: the same as a table that follows
//   components.c  what both show; table.c prints it, show.c says how times are written, screen.c knows the terminal
//   wait.c     check and wait
//   init.c     init
//   operate.c  resign, transfer, pause and resume
//   history.c  history
//   reload.c   reload
//   run.c      run: when to start and to end the command; run_guard.c and run_guardian.c: that it does end
//   job.c      the command and everything that it started
//   ready.c    what the command reports (READY=1, WATCHDOG=1, STOPPING=1, STATUS=)
#ifndef TENURE_CTL_H
#define TENURE_CTL_H

#include "base.h"

enum ctl_exit {
	CTL_OK = 0,
	CTL_NO = 1,
	CTL_USAGE = 2,
	CTL_NO_DAEMON = 3,
	CTL_TIMEOUT = 124,
	CTL_CANNOT_EXECUTE = 126,
	CTL_NOT_FOUND = 127,
};

enum ctl_format {
	CTL_TEXT,
	CTL_JSON,
};

enum ctl_color {
	CTL_COLOR_AUTO,
	CTL_COLOR_ALWAYS,
	CTL_COLOR_NEVER,
};

struct ctl {
	const char *socket_path;
};

// A command gets its own name as argv[0] and returns the exit status.
typedef int ctl_command_fn(const struct ctl *ctl, int argc, char *argv[]);

ctl_command_fn ctl_status, ctl_watch, ctl_check, ctl_wait, ctl_run, ctl_init, ctl_resign, ctl_transfer, ctl_pause,
	ctl_resume, ctl_history, ctl_reload;

// The whole program.
int ctl_main(int argc, char *argv[]);

#endif
