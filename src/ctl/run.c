// SPDX-License-Identifier: Apache-2.0
// run: a command that runs only while this node leads (S1).
//
// It is told to stop on revoked, or at deadline - grace where nobody extended the lease, and is killed, with all that
// it started, before the deadline. The daemon hears `stopped` only when nothing of it is left. Between us and the
// command stands a guardian that sees to this where we cannot: run_guard.h.
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "args.h"
#include "clock.h"
#include "dial.h"
#include "ready.h"
#include "run_guard.h"

// How much of the grace is kept for killing and for the end to be noticed.
#define GRACE_PARTS 10
#define NEVER INT64_MAX

enum phase {
	PHASE_WAITING, // for a term
	PHASE_RUNNING,
	PHASE_ENDING, // told to stop, or killed
	PHASE_DONE,
};

struct run {
	const char *component;
	const char *socket_path;
	char *const *command;
	int stop_signal;
	int64_t watchdog_ns;
	bool notify;
	bool once;

	struct tenure *tenure;
	struct ready ready;
	int signal_fd;
	int timer_fd;
	sigset_t command_signals;

	enum phase phase;
	struct guard guard;
	bool started;       // was said
	bool untold;        // what the command says of itself is not what the daemon knows
	const char *reason; // why it ends although nobody told it to, or NULL
	bool killing;
	int64_t kill_at;
	bool leaving; // we were told to end
	bool joined, joined_once;
	bool said_waiting;
	int64_t denied_since;
	int result;
};

// 0 where the term is over.
static int64_t deadline_of(const struct run *run)
{
	int64_t deadline = tenure_deadline(run->tenure);
	return deadline > 0 ? deadline : 0;
}

static int64_t margin_of(const struct run *run)
{
	return tenure_grace_ns(run->tenure) / GRACE_PARTS;
}

static void kill_all(struct run *run, int64_t now)
{
	run->killing = true;
	run->kill_at = now + JOB_KILL_AGAIN_NS;
	guard_signal(&run->guard, SIGKILL);
}

// Tells the command to stop, with time until `until`; may be called again with less.
static void end_command(struct run *run, int64_t until, int64_t now)
{
	if (run->phase == PHASE_ENDING) {
		if (!run->killing && until < run->kill_at)
			run->kill_at = until;
		return;
	}
	run->phase = PHASE_ENDING;
	run->killing = false;
	run->kill_at = until;
	if (now < until)
		guard_signal(&run->guard, run->stop_signal);
}

// The grace from now on, or what is left of it before the deadline.
static int64_t grace_end(const struct run *run, int64_t now)
{
	int64_t own = now + tenure_grace_ns(run->tenure);
	int64_t last = deadline_of(run) - margin_of(run);
	return own < last ? own : last;
}

static void start_command(struct run *run)
{
	struct guard_setup setup = {
		.job = {.command = run->command,
			.component = run->component,
			.lease = tenure_lease(run->tenure),
			.term = tenure_term(run->tenure),
			.socket_path = run->socket_path,
			.notify_socket = run->notify ? run->ready.address : NULL,
			.watchdog_us = run->watchdog_ns / NS_PER_US,
			.connection = tenure_connection(run->tenure),
			.signals = &run->command_signals},
		.tenure = run->tenure,
		.margin_ns = margin_of(run),
		.signal_fd = run->signal_fd,
	};
	// What the last command reported is not this one's.
	if (run->notify)
		(void)ready_receive(&run->ready, 0);
	run->ready.status[0] = '\0';
	run->untold = false;
	int error = guard_start(&run->guard, &setup);
	if (error < 0) {
		ctl_say("%s: cannot start a process: %s", run->component, strerror(-error));
		(void)!tenure_yield_because(run->tenure, -1, "not-started");
		return;
	}
	ctl_say("%s: leading, term %" PRIu64 ": %s", run->component, setup.job.term, run->command[0]);
	run->phase = PHASE_RUNNING;
	run->started = false;
	run->reason = NULL;
}

static void on_granted(struct run *run, int64_t now)
{
	// We were frozen so long that there is no time to work in.
	if (run->leaving || now >= deadline_of(run) - tenure_grace_ns(run->tenure)) {
		(void)!tenure_stopped(run->tenure);
		return;
	}
	start_command(run);
}

static void on_event(struct run *run, const struct tenure_event *event)
{
	int64_t now = clock_now_ns();
	if (event->type == TENURE_GRANTED) {
		on_granted(run, now);
		return;
	}
	ctl_say("%s: term %" PRIu64 " %s (%s)", run->component, event->term,
		event->type == TENURE_REVOKED ? "revoked" : "lost", event->reason);
	if (event->type == TENURE_REVOKED)
		end_command(run, event->deadline - margin_of(run), now);
	else
		end_command(run, now, now);
}

static void on_refused(struct run *run, int error)
{
	const char *why = tenure_refusal(run->tenure);
	ctl_say("%s: the daemon refuses: %s", run->component, *why ? why : strerror(-error));
	// Wrong from the start is a mistake; later it is a configuration that may come back.
	if (run->joined_once)
		return;
	run->leaving = true;
	run->result = CTL_NO;
}

static void follow_connection(struct run *run)
{
	bool joined = tenure_is_joined(run->tenure);
	if (joined == run->joined)
		return;
	if (run->joined_once && run->phase != PHASE_DONE)
		ctl_say("%s: %s", run->component, joined ? "the daemon is back" : "the daemon is away");
	run->joined = joined;
	run->joined_once = true;
	run->untold = run->ready.status[0] != '\0'; // another daemon knows nothing of it
}

// Wrong from the start is a mistake here, too; later it is a daemon's that may be mended, and the command has its term.
static void follow_attempts(struct run *run)
{
	int trouble = tenure_trouble(run->tenure);
	if (run->joined_once)
		return;
	if (dial_is_denied(trouble, &run->denied_since)) {
		run->leaving = true;
		run->result = dial_denied(run->socket_path);
	} else if (trouble < 0 && trouble != -EACCES && !run->said_waiting) {
		ctl_say("%s: no daemon answers at %s; waiting for it", run->component, run->socket_path);
		run->said_waiting = true;
	}
}

static void take_events(struct run *run)
{
	struct tenure_event event;
	int result;
	do {
		result = tenure_process(run->tenure, &event);
		if (result < 0)
			on_refused(run, result);
		else if (result > 0)
			on_event(run, &event);
	} while (result > 0);
	follow_connection(run);
	follow_attempts(run);
}

static void take_signals(struct run *run)
{
	struct signalfd_siginfo info;
	while (read(run->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
		if (info.ssi_signo == SIGCHLD)
			continue;
		int64_t now = clock_now_ns();
		if (run->leaving && run->phase == PHASE_ENDING)
			kill_all(run, now); // asked twice
		if (run->phase == PHASE_RUNNING)
			end_command(run, grace_end(run, now), now);
		run->leaving = true;
	}
}

static bool has_command(const struct run *run)
{
	return run->phase == PHASE_RUNNING || run->phase == PHASE_ENDING;
}

// What the command says of itself goes along with its heartbeats: where it promised some, nothing else is one.
static void tell_alive(struct run *run, bool alive)
{
	bool may_tell = alive || run->watchdog_ns == 0 || !run->started;
	if (run->untold && may_tell && tenure_tell(run->tenure, run->ready.status) == 0)
		run->untold = false;
	else if (alive)
		(void)!tenure_alive(run->tenure);
}

// The command ends by itself, and has said so: it has as long for it as if it had been told to.
static void await_end(struct run *run)
{
	int64_t now = clock_now_ns();
	run->reason = "stopping";
	run->phase = PHASE_ENDING;
	run->killing = false;
	run->kill_at = grace_end(run, now);
}

static void take_news(struct run *run)
{
	// First whose report it will be.
	if (has_command(run))
		guard_take_news(&run->guard);
	unsigned news = run->notify ? ready_receive(&run->ready, run->guard.command) : 0;
	if (!has_command(run))
		return;
	bool executed = run->guard.exec_fd < 0 && run->guard.exec_error == 0;
	bool ready = run->notify ? (news & READY_STARTED) != 0 : executed;
	if (run->phase == PHASE_RUNNING && !run->started && ready) {
		run->started = true;
		(void)!tenure_started(run->tenure);
	}
	run->untold |= (news & READY_STATUS) != 0;
	tell_alive(run, (news & READY_ALIVE) && run->watchdog_ns > 0);
	if (run->phase == PHASE_RUNNING && (news & READY_STOPPING))
		await_end(run);
}

static void say_end(const struct run *run)
{
	const struct guard *guard = &run->guard;
	if (guard->exec_error < 0)
		ctl_say("%s: %s: %s", run->component, run->command[0], strerror(-guard->exec_error));
	else
		ctl_say("%s: %s ended with status %d", run->component, run->command[0], guard->exit_status);
}

// Nothing of the command is left.
static void finish(struct run *run)
{
	if (run->guard.exec_error < 0 && run->reason)
		run->reason = "not-executed";
	// Where we leave, that says it all, and without a cool-down for whoever comes back.
	if (run->reason)
		(void)!tenure_yield_because(run->tenure, -1, run->reason);
	else if (!run->leaving)
		(void)!tenure_stopped(run->tenure);
	say_end(run); // others may wait for that, and nobody for this
	run->phase = PHASE_WAITING;
	if (!run->once)
		return;
	run->result = run->guard.exit_status;
	run->leaving = true;
}

// The command may go on only before deadline - grace, with a guardian, and while it has not ended itself.
static void check_command(struct run *run, bool gone)
{
	int64_t deadline = deadline_of(run);
	int64_t now = clock_now_ns();
	// The daemon would have said so, were it not frozen or dead.
	if (now >= deadline - tenure_grace_ns(run->tenure)) {
		ctl_say("%s: nobody extended term %" PRIu64, run->component, tenure_term(run->tenure));
		end_command(run, deadline - margin_of(run), now);
	} else if (run->guard.lost) {
		ctl_say("%s: the command's guardian was killed", run->component);
		run->reason = "unguarded";
		end_command(run, now, now);
	} else if (run->guard.ended || gone) {
		run->reason = "exited";
		end_command(run, grace_end(run, now), now); // what it left behind
	}
}

static void look_after_command(struct run *run)
{
	if (!has_command(run))
		return;
	bool gone = guard_reap(&run->guard);
	if (run->phase == PHASE_RUNNING)
		check_command(run, gone);
	if (gone) {
		finish(run);
		return;
	}
	guard_inform(&run->guard, run->tenure);
	int64_t now = clock_now_ns();
	if (run->phase == PHASE_ENDING && (run->killing || now >= run->kill_at))
		kill_all(run, now);
}

static void arm(const struct run *run)
{
	int64_t at = NEVER;
	if (run->phase == PHASE_RUNNING)
		at = deadline_of(run) - tenure_grace_ns(run->tenure);
	else if (run->phase == PHASE_ENDING)
		at = run->kill_at;
	if (at < 1)
		at = 1;
	struct itimerspec when = {.it_value = {.tv_sec = at / NS_PER_S, .tv_nsec = at % NS_PER_S}};
	if (at == NEVER)
		when = (struct itimerspec){0};
	(void)timerfd_settime(run->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static void wait_for_something(const struct run *run)
{
	struct pollfd fds[] = {
		{.fd = tenure_fd(run->tenure), .events = POLLIN},
		{.fd = run->signal_fd, .events = POLLIN},
		{.fd = run->timer_fd, .events = POLLIN},
		{.fd = run->ready.fd, .events = POLLIN},
		{.fd = has_command(run) ? run->guard.exec_fd : -1, .events = POLLIN},
		{.fd = has_command(run) ? run->guard.channel : -1, .events = POLLIN},
	};
	uint64_t expirations;
	(void)poll(fds, COUNT_OF(fds), -1);
	(void)!read(run->timer_fd, &expirations, sizeof expirations);
}

static int main_loop(struct run *run)
{
	while (run->phase != PHASE_DONE) {
		take_signals(run);
		take_events(run);
		take_news(run);
		look_after_command(run);
		if (run->leaving && run->phase == PHASE_WAITING) {
			run->phase = PHASE_DONE;
			continue;
		}
		arm(run);
		wait_for_something(run);
	}
	tenure_leave(run->tenure);
	return run->result;
}

static int open_signals(struct run *run)
{
	static const int taken[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT};
	sigset_t signals;
	sigemptyset(&signals);
	for (size_t i = 0; i < COUNT_OF(taken); i++)
		sigaddset(&signals, taken[i]);
	sigprocmask(SIG_BLOCK, &signals, &run->command_signals);
	// A guard that a terminal stops, or that dies of a message, is no guard.
	for (size_t i = 0; i < COUNT_OF(job_default_signals); i++)
		signal(job_default_signals[i], SIG_IGN);
	run->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	return run->signal_fd < 0 ? -errno : 0;
}

static int open_all(struct run *run)
{
	int error = job_prepare();
	if (error < 0) {
		ctl_say("run needs /proc/thread-self/children to find what the command started: %s", strerror(-error));
		return error;
	}
	error = open_signals(run);
	run->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (error == 0 && run->timer_fd < 0)
		error = -errno;
	if (error == 0 && run->notify)
		error = ready_open(&run->ready);
	if (error == 0)
		error = tenure_open_alive(&run->tenure, run->socket_path, run->component, run->watchdog_ns / NS_PER_MS);
	if (error < 0)
		ctl_say("run: %s: %s", run->socket_path, strerror(-error));
	return error;
}

static void close_all(struct run *run)
{
	tenure_close(run->tenure);
	ready_close(&run->ready);
	if (run->timer_fd >= 0)
		close(run->timer_fd);
	if (run->signal_fd >= 0)
		close(run->signal_fd);
}

static int take_option(struct run *run, int option)
{
	if (option == 'n')
		run->notify = true;
	else if (option == '1')
		run->once = true;
	else if (option == 's' && args_signal(optarg, &run->stop_signal) < 0)
		return ctl_misuse("run: --stop-signal takes a signal's name, such as TERM, or its number");
	else if (option == 'w' && (args_duration(optarg, &run->watchdog_ns) < 0 || run->watchdog_ns < 10 * NS_PER_MS))
		return ctl_misuse("run: --watchdog takes a duration of 10ms or more, such as 5s");
	return option == '?' ? CTL_USAGE : CTL_OK;
}

// A command that is not there would win a term and give it up, again and again. CTL_OK, or the exit status.
static int look_up_command(const char *command)
{
	int error = job_look_up(command);
	if (error == 0)
		return CTL_OK;
	if (error != -ENOENT) {
		ctl_say("run: %s: cannot be executed: %s", command, strerror(-error));
		return CTL_CANNOT_EXECUTE;
	}
	ctl_say("run: %s: not found%s", command, strchr(command, '/') ? "" : " in PATH");
	return CTL_NOT_FOUND;
}

// COMPONENT stands among the options; the command begins after them. CTL_OK, or the exit status.
static int take_arguments(struct run *run, int argc, char *argv[])
{
	static const struct option long_options[] = {{"notify", no_argument, NULL, 'n'},
		{"once", no_argument, NULL, '1'}, {"stop-signal", required_argument, NULL, 's'},
		{"watchdog", required_argument, NULL, 'w'}, {0}};
	for (;;) {
		int option = args_next(argc, argv, "+:", long_options);
		if (option == -1 && !run->component && optind < argc)
			run->component = argv[optind++];
		else if (option == -1)
			break;
		else if (take_option(run, option) != CTL_OK)
			return CTL_USAGE;
	}
	if (!run->component || optind >= argc)
		return ctl_misuse("run takes COMPONENT -- COMMAND...");
	if (run->watchdog_ns > 0 && !run->notify)
		return ctl_misuse("run: --watchdog needs --notify");
	run->command = argv + optind;
	if (args_components(1, (char *[]){(char *)run->component}) != CTL_OK)
		return CTL_USAGE;
	return look_up_command(run->command[0]);
}

int ctl_run(const struct ctl *ctl, int argc, char *argv[])
{
	struct run run = {
		.socket_path = ctl->socket_path,
		.stop_signal = SIGTERM,
		.ready = {.fd = -1},
		.signal_fd = -1,
		.timer_fd = -1,
		.result = CTL_OK,
	};
	int result = take_arguments(&run, argc, argv);
	if (result != CTL_OK)
		return result;
	result = open_all(&run) < 0 ? CTL_NO : main_loop(&run);
	close_all(&run);
	return result;
}
