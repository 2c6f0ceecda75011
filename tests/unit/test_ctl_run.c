// SPDX-License-Identifier: Apache-2.0
// S1: tenurectl run against a daemon that the test plays. Whatever belongs to the command holds the writing end of a
// FIFO: when the test reads its end, nothing of the command is left.
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "fake_shell.h"

#define GRACE_MS 1500
#define MOMENT_NS (5 * NS_PER_MS)
// Opens the FIFO, for the shell and all that it starts.
#define ALIVE "exec 9>\"$ALIVE\"; "
#define UP "echo up >&9; "

static char fifo_path[96];
static char command_path[96]; // for a test that makes one
static int alive = -1;
static char said[512]; // what the command wrote there
static size_t said_size;

// How much later than it should a process that sleeps for a moment went on at most: what a busy machine does to all.
static _Atomic int64_t *stalled_ns;
static pid_t sleeper;

static void measure_stalls(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		int64_t due = clock_now_ns() + MOMENT_NS;
		usleep(MOMENT_NS / NS_PER_US);
		int64_t late = clock_now_ns() - due;
		if (late > *stalled_ns)
			*stalled_ns = late;
	}
}

static void start_measuring(void)
{
	// cppcheck-suppress invalidFunctionArg ; there is no file to name
	stalled_ns = mmap(NULL, sizeof *stalled_ns, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert(stalled_ns != MAP_FAILED);
	sleeper = fork();
	ck_assert_int_ge(sleeper, 0);
	if (sleeper == 0)
		measure_stalls();
}

static void stop_measuring(void)
{
	kill(sleeper, SIGKILL);
	waitpid(sleeper, NULL, 0);
	munmap((void *)stalled_ns, sizeof *stalled_ns);
}

// Now is before that time; or later, but not by more than who ends it, what is ended and we were kept waiting.
static void expect_before(int64_t deadline, const char *what)
{
	int64_t late = clock_now_ns() - deadline, stalled = *stalled_ns;
	ck_assert_msg(late < 3 * stalled, "%s: %lld us late; the machine stood still for %lld us", what,
		(long long)(late / NS_PER_US), (long long)(stalled / NS_PER_US));
}

static void set_up(void)
{
	start_measuring();
	set_up_daemon();
	snprintf(fifo_path, sizeof fifo_path, "%s/alive", directory);
	snprintf(command_path, sizeof command_path, "%s/command", directory);
	ck_assert_int_eq(mkfifo(fifo_path, 0600), 0);
	ck_assert_int_eq(setenv("ALIVE", fifo_path, 1), 0);
	alive = open(fifo_path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ck_assert_int_ge(alive, 0);
}

static void tear_down(void)
{
	close(alive);
	unlink(fifo_path);
	unlink(command_path);
	tear_down_ctl();
	stop_measuring();
}

static void join(const char *more)
{
	char line[128];
	greet();
	snprintf(line, sizeof line, "join component=engine%s%s", page ? " extend=no" : "", more);
	expect_line(line);
	tell("ok component=engine slot=0\n");
}

static int64_t push_granted(uint64_t term, int64_t ttl_ms)
{
	int64_t deadline = in_ms(ttl_ms);
	set_term(term, deadline);
	tell("granted component=engine term=%llu deadline=%lld ttl_ms=%lld grace_ms=%d\n", (unsigned long long)term,
		(long long)deadline, (long long)ttl_ms, GRACE_MS);
	return deadline;
}

static void push_revoked_at(uint64_t term, int64_t deadline)
{
	tell("revoked component=engine term=%llu reason=resigned deadline=%lld\n", (unsigned long long)term,
		(long long)deadline);
}

static int64_t push_revoked(uint64_t term, int64_t ttl_ms)
{
	int64_t deadline = in_ms(ttl_ms);
	push_revoked_at(term, deadline);
	return deadline;
}

// 1: something was read; 0: the end.
static int read_said(void)
{
	said_size = said_size < sizeof said - 1 ? said_size : 0;
	ssize_t got = read(alive, said + said_size, sizeof said - 1 - said_size);
	ck_assert_int_ge(got, 0);
	said_size += (size_t)got;
	said[said_size] = '\0';
	return got > 0;
}

// Waits until the command has written `word`.
static void expect_said(const char *word)
{
	int64_t until = in_ms(PATIENCE_MS);
	while (!strstr(said, word)) {
		struct pollfd fds[] = {{.fd = alive, .events = POLLIN}};
		ck_assert_msg(clock_now_ns() < until, "expected \"%s\", got \"%s\"", word, said);
		// The end is the last command's, or is before the first one's beginning.
		if (poll(fds, 1, 100) == 1 && read_said() == 0)
			usleep(1000);
	}
}

// True where nothing of the command is left by then.
static bool is_gone(int milliseconds)
{
	struct pollfd fds[] = {{.fd = alive, .events = POLLIN}};
	while (poll(fds, 1, milliseconds) == 1)
		if (read_said() == 0)
			return true;
	return false;
}

static void expect_started(uint64_t term)
{
	char line[64];
	snprintf(line, sizeof line, "started component=engine term=%llu", (unsigned long long)term);
	expect_line(line);
	tell("ok\n");
}

// W12: nothing of the work is left when the daemon hears of it.
static void expect_ended(const char *line)
{
	expect_line(line);
	ck_assert(is_gone(0));
	tell("ok\n");
}

static void expect_leave(int status)
{
	expect_line("leave component=engine");
	ck_assert_int_eq(end_ctl(), status);
}

static void start_shell(const char *script)
{
	start_ctl(LIST("run", "engine", "--", "sh", "-c", script));
}

START_TEST(test_runs_while_leading)
{
	char environment[256];
	make_page();
	start_shell(ALIVE "echo \"$TENURE_COMPONENT $TENURE_TERM $TENURE_SOCKET.\" >&9; exec sleep 100");
	join("");
	ck_assert(!is_gone(100)); // not before it leads
	push_granted(42, 5000);
	expect_started(42);
	snprintf(environment, sizeof environment, "engine 42 %s.\n", socket_path);
	expect_said(environment);
	push_revoked(42, 1000);
	expect_ended("stopped component=engine term=42");
	set_term(0, 0);
	push_granted(43, 5000); // again at the next term
	expect_started(43);
	expect_said("engine 43 ");
	kill(shell_pid, SIGTERM);
	expect_line("leave component=engine");
	ck_assert(is_gone(0));
	ck_assert_int_eq(end_ctl(), CTL_OK);
}
END_TEST

// Each writes "up" when all of it is there.
static const struct {
	const char *name;
	const char *script;
} families[] = {
	{"a command", "echo up >&9; exec sleep 100"},
	{"a group", "sleep 100 & sleep 100 & echo up >&9; wait"},
	{"a group that ignores it", "trap '' TERM; sleep 100 & sleep 100 & echo up >&9; wait; sleep 100"},
	{"a child in another session", "trap '' TERM; setsid sleep 100 & echo up >&9; wait; sleep 100"},
	{"an orphan in another session", "trap '' TERM; (setsid sleep 100 &); echo up >&9; sleep 100"},
	{"an orphan's child", "trap '' TERM; (setsid sh -c \"$CHILD & wait; :\" &); sleep 100"},
	{"a stopped process", "sleep 100 & kill -STOP $!; echo up >&9; wait"},
	{"a command that stops itself", "(sleep 0.1; echo up >&9) & kill -STOP $$; wait; sleep 100"},
};

START_TEST(test_ends_a_family)
{
	char script[256];
	ck_assert_int_eq(setenv("CHILD", "setsid sh -c 'echo up >&9; sleep 100; :'", 1), 0);
	snprintf(script, sizeof script, "%s%s", ALIVE, families[_i].script);
	start_ctl(LIST("run", "--once", "engine", "sh", "-c", script));
	join("");
	push_granted(42, 5000);
	expect_started(42);
	expect_said("up");
	int64_t deadline = push_revoked(42, GRACE_MS);
	expect_line("stopped component=engine term=42");
	expect_before(deadline, families[_i].name);
	ck_assert_msg(is_gone(0), "%s", families[_i].name);
	tell("ok\n");
	expect_line("leave component=engine");
	ck_assert_int_ge(end_ctl(), 128);
}
END_TEST

START_TEST(test_stop_signal)
{
	const char *script =
		ALIVE "trap 'echo told >&9; exit 0' USR1; trap '' TERM; " UP "while :; do sleep 0.01; done";
	start_ctl(LIST("run", "engine", "--stop-signal", "USR1", "--", "sh", "-c", script));
	join("");
	push_granted(42, 5000);
	expect_started(42);
	expect_said("up");
	push_revoked(42, 5000);
	expect_said("told");
	expect_ended("stopped component=engine term=42");
}
END_TEST

// A stopped process is woken up to hear of it.
START_TEST(test_stopped_command)
{
	start_shell(ALIVE "trap 'echo told >&9; exit 0' TERM; (sleep 0.1; " UP ") & kill -STOP $$; sleep 100");
	join("");
	push_granted(42, 60000);
	expect_started(42);
	expect_said("up");
	push_revoked(42, 30000);
	expect_said("told");
	expect_ended("stopped component=engine term=42");
}
END_TEST

// W15
START_TEST(test_command_ends_by_itself)
{
	start_shell(ALIVE "exit 3");
	join("");
	for (uint64_t term = 1; term <= 3; term++) {
		char line[96];
		push_granted(term, 5000);
		expect_started(term);
		snprintf(line, sizeof line, "yield component=engine term=%llu reason=exited", (unsigned long long)term);
		expect_ended(line);
	}
	kill(shell_pid, SIGINT);
	expect_leave(CTL_OK);
	expect_text(err_text, "sh ended with status 3");
}
END_TEST

// What a command leaves behind has no part in the next term.
START_TEST(test_command_leaves_something_behind)
{
	start_shell(ALIVE "trap '' TERM; (setsid sleep 100 &); sleep 100 & exit 0");
	join("");
	push_granted(42, 5000);
	expect_started(42);
	expect_ended("yield component=engine term=42 reason=exited");
}
END_TEST

static const struct {
	const char *script;
	int status;
} ends[] = {{"exit 0", 0}, {"exit 7", 7}, {"kill -9 $$", 128 + SIGKILL}};

START_TEST(test_once)
{
	start_ctl(LIST("run", "engine", "--once", "--", "sh", "-c", ends[_i].script));
	join("");
	push_granted(42, 5000);
	expect_started(42);
	expect_line("yield component=engine term=42 reason=exited");
	expect_leave(ends[_i].status);
}
END_TEST

// A command that was there when `run` began, and is not, or is no program any more, when there is a term.
static void start_vanishing(const char *option)
{
	ck_assert_int_eq(symlink("/bin/true", command_path), 0);
	start_ctl(LIST("run", "engine", option, command_path));
	join("");
	ck_assert_int_eq(unlink(command_path), 0);
}

START_TEST(test_cannot_execute)
{
	start_vanishing("--once");
	if (_i)
		ck_assert_int_eq(mkdir(command_path, 0700), 0);
	push_granted(42, 5000);
	expect_line("yield component=engine term=42 reason=not-executed");
	expect_leave(_i ? CTL_CANNOT_EXECUTE : CTL_NOT_FOUND);
	expect_text(err_text, command_path);
	if (_i)
		ck_assert_int_eq(rmdir(command_path), 0);
	hang_up();

	start_vanishing("--"); // tries again at the next term
	push_granted(43, 5000);
	expect_line("yield component=engine term=43 reason=not-executed");
	push_granted(44, 5000);
	expect_line("yield component=engine term=44 reason=not-executed");
}
END_TEST

static const struct {
	const char *command;
	const char *path; // $PATH, or NULL: none
	int status;
	const char *message;
} commands[] = {
	{"/nonexistent/command", "/bin", CTL_NOT_FOUND, "run: /nonexistent/command: not found\n"},
	{"./nonexistent", "/bin", CTL_NOT_FOUND, "run: ./nonexistent: not found\n"},
	{"nonexistent", "/bin:/nonexistent:/usr/bin", CTL_NOT_FOUND, "run: nonexistent: not found in PATH\n"},
	{"nonexistent", NULL, CTL_NOT_FOUND, "run: nonexistent: not found in PATH\n"},
	{"nonexistent", "", CTL_NOT_FOUND, "run: nonexistent: not found in PATH\n"},
	{"", "/bin", CTL_NOT_FOUND, "run: : not found in PATH\n"},
	{"true", "/nonexistent", CTL_NOT_FOUND, "run: true: not found in PATH\n"},
	{"./notes", "/bin", CTL_CANNOT_EXECUTE, "run: ./notes: cannot be executed: Permission denied\n"},
	{"./notes/command", "/bin", CTL_CANNOT_EXECUTE, "run: ./notes/command: cannot be executed: Not a directory\n"},
	{".", "/bin", CTL_CANNOT_EXECUTE, "run: .: cannot be executed: Permission denied\n"},
	{"notes", "/bin:.:/nonexistent", CTL_CANNOT_EXECUTE, "run: notes: cannot be executed: Permission denied\n"},
	{"notes", "/nonexistent:", CTL_CANNOT_EXECUTE, "run: notes: cannot be executed: Permission denied\n"},
	{"true", "/nonexistent:/bin", CTL_OK, ""}, {"true", NULL, CTL_OK, ""}, {"/bin/true", "", CTL_OK, ""},
	{"./command", "", CTL_OK, ""}, {"command", "/bin:", CTL_OK, ""},
	{"true", ".:/bin", CTL_OK, ""}, // where there is one that may not be executed
};

// As execvp() would, and before it joins.
START_TEST(test_looks_command_up)
{
	ck_assert_int_eq(chdir(directory), 0);
	close(open("notes", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	close(open("true", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	ck_assert_int_eq(symlink("/bin/true", "command"), 0);
	if (commands[_i].path)
		ck_assert_int_eq(setenv("PATH", commands[_i].path, 1), 0);
	else
		ck_assert_int_eq(unsetenv("PATH"), 0);
	start_ctl(LIST("run", "engine", "--once", "--", commands[_i].command));
	if (commands[_i].status == CTL_OK) {
		join("");
		push_granted(42, 5000);
		expect_started(42);
		expect_line("yield component=engine term=42 reason=exited");
		expect_leave(CTL_OK);
	} else {
		ck_assert_int_eq(end_ctl(), commands[_i].status);
		struct pollfd fd = {.fd = listener, .events = POLLIN};
		ck_assert_int_eq(poll(&fd, 1, 0), 0); // nobody had come
	}
	expect_text(err_text, commands[_i].message);
	unlink("notes");
	unlink("true");
}
END_TEST

// The daemon is frozen: told to stop at deadline - grace, gone before the deadline.
START_TEST(test_nobody_extends)
{
	if (_i)
		make_page();
	start_shell(ALIVE "trap 'echo told >&9' TERM; " UP "while :; do sleep 0.01; done");
	join("");
	int64_t deadline = push_granted(42, GRACE_MS + 700);
	expect_started(42);
	expect_said("up");
	ck_assert(!is_gone((int)((deadline - GRACE_MS * NS_PER_MS - clock_now_ns()) / NS_PER_MS) - 50));
	ck_assert_ptr_null(strstr(said, "told"));
	expect_said("told");
	ck_assert_int_ge(clock_now_ns(), deadline - GRACE_MS * NS_PER_MS);
	ck_assert(is_gone(PATIENCE_MS));
	expect_before(deadline, "the end");
	expect_line("stopped component=engine term=42");
}
END_TEST

START_TEST(test_extended)
{
	if (_i)
		make_page();
	start_shell(ALIVE UP "exec sleep 100");
	join("");
	push_granted(42, GRACE_MS + 200);
	expect_started(42);
	expect_said("up");
	int64_t deadline = in_ms(GRACE_MS + 1000);
	set_term(42, deadline);
	if (!page)
		tell("extended component=engine term=42 deadline=%lld ttl_ms=%d\n", (long long)deadline,
			GRACE_MS + 1000);
	ck_assert(!is_gone(500));
	ck_assert(is_gone(PATIENCE_MS));
	expect_before(deadline, "the end");
}
END_TEST

// S5: another daemon, the same term: the command does not notice.
START_TEST(test_daemon_restarts)
{
	start_shell(ALIVE "trap 'echo told >&9; exit' TERM; " UP "while :; do sleep 0.01; done");
	join("");
	push_granted(42, 5000);
	expect_started(42);
	expect_said("up");
	hang_up();
	join(" term=42");
	expect_started(42);
	ck_assert(!is_gone(100));
	ck_assert_str_eq(said, "up\n");
	push_revoked(42, 5000);
	expect_said("told");
	expect_ended("stopped component=engine term=42");
}
END_TEST

START_TEST(test_daemon_says_stale)
{
	start_shell(ALIVE "trap '' TERM; " UP "sleep 100; sleep 100");
	join("");
	push_granted(42, 60000);
	expect_started(42);
	expect_said("up");
	hang_up();
	greet();
	expect_line("join component=engine term=42");
	tell("error code=stale\n");
	ck_assert(is_gone(PATIENCE_MS)); // killed, long before the deadline
	expect_line("join component=engine");
}
END_TEST

START_TEST(test_daemon_dies_for_good)
{
	start_shell(ALIVE "trap '' TERM; " UP "sleep 100; sleep 100");
	join("");
	int64_t deadline = push_granted(42, GRACE_MS + 500);
	expect_started(42);
	expect_said("up");
	hang_up();
	stop_listening();
	ck_assert(is_gone(PATIENCE_MS));
	expect_before(deadline, "the end");
	kill(shell_pid, SIGTERM);
	ck_assert_int_eq(end_ctl(), CTL_OK);
}
END_TEST

// The processes whose parent is `pid`; how many there are.
static size_t children_of(pid_t pid, pid_t ret[2])
{
	char path[64], text[64];
	snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
	FILE *file = fopen(path, "re");
	ck_assert_ptr_nonnull(file);
	text[fread(text, 1, sizeof text - 1, file)] = '\0';
	fclose(file);
	int count = sscanf(text, "%d %d", &ret[0], &ret[1]);
	return count > 0 ? (size_t)count : 0;
}

static pid_t guardian_pid(void)
{
	pid_t pids[2];
	ck_assert_uint_eq(children_of(shell_pid, pids), 1);
	return pids[0];
}

static void expect_process_end(int pidfd)
{
	wait_for(pidfd);
	close(pidfd);
}

static int64_t start_family(const char *script, int64_t ttl_ms)
{
	char text[256];
	ck_assert_int_eq(setenv("CHILD", "setsid sh -c 'echo up >&9; sleep 100; :'", 1), 0);
	snprintf(text, sizeof text, "%s%s", ALIVE, script);
	start_shell(text);
	join("");
	int64_t deadline = push_granted(42, ttl_ms);
	expect_started(42);
	expect_said("up");
	return deadline;
}

#define DEAF "trap '' TERM; (setsid sleep 100 &); setsid sleep 100 & sleep 100 & " UP "wait; sleep 100"

// W7: all but the command was frozen beyond the deadline; then one of the two wakes up.
START_TEST(test_both_frozen)
{
	int64_t deadline = start_family(DEAF, GRACE_MS + 200);
	pid_t guardian = guardian_pid();
	kill(guardian, SIGSTOP);
	kill(shell_pid, SIGSTOP);
	while (clock_now_ns() < deadline)
		usleep(1000);
	ck_assert(!is_gone(0));
	kill(_i ? shell_pid : guardian, SIGCONT);
	ck_assert(is_gone(PATIENCE_MS));
	ck_assert_int_lt(clock_now_ns(), deadline + 1000 * NS_PER_MS);
	kill(shell_pid, SIGCONT);
	expect_line("stopped component=engine term=42");
}
END_TEST

// S1: nothing outlives tenurectl, and the connection ends after all of it (W12).
START_TEST(test_tenurectl_is_killed)
{
	(void)start_family(families[_i].script, 60000);
	int guardian = (int)syscall(SYS_pidfd_open, guardian_pid(), 0);
	kill(shell_pid, SIGKILL);
	expect_end();
	ck_assert_msg(is_gone(0), "%s", families[_i].name);
	expect_process_end(guardian);
	ck_assert_int_eq(end_ctl(), -SIGKILL);
}
END_TEST

// S1, S5: also where the command's copy of the connection is one to a daemon that is no more.
START_TEST(test_tenurectl_is_killed_after_restart)
{
	(void)start_family(DEAF, 60000);
	pid_t guardian = guardian_pid();
	hang_up();
	join(" term=42");
	expect_started(42);
	kill(guardian, SIGSTOP);
	kill(shell_pid, SIGKILL);
	ck_assert_int_eq(waitpid(shell_pid, NULL, 0), shell_pid);
	shell_pid = 0;
	struct pollfd fds[] = {{.fd = peer, .events = POLLIN}};
	ck_assert_int_eq(poll(fds, 1, 200), 0);
	ck_assert(!is_gone(0));
	kill(guardian, SIGCONT);
	expect_end();
	ck_assert(is_gone(0));
}
END_TEST

// S1: tenurectl stands still while the term is revoked: all is gone before the deadline.
START_TEST(test_tenurectl_is_frozen)
{
	if (_i)
		make_page();
	int64_t deadline = start_family(DEAF, GRACE_MS + 700);
	kill(shell_pid, SIGSTOP);
	// What tenurectl does not read, its guardian reads on the page.
	if (page) {
		int64_t before = deadline;
		deadline = in_ms(GRACE_MS + 1500);
		set_term(42, deadline);
		ck_assert(!is_gone((int)((before - clock_now_ns()) / NS_PER_MS) + 100));
	}
	ck_assert(!is_gone(100));
	ck_assert(is_gone(PATIENCE_MS));
	expect_before(deadline, "the end");
	push_revoked_at(42, deadline);
	kill(shell_pid, SIGCONT);
	expect_line("stopped component=engine term=42");
}
END_TEST

// The guardian goes by what it was told last, also where it saw a page at first.
START_TEST(test_tenurectl_is_frozen_after_restart)
{
	if (_i)
		make_page();
	const char *script = "trap 'echo told >&9' TERM; " UP "while :; do sleep 0.01; done";
	int64_t before = start_family(script, GRACE_MS + 700);
	hang_up();
	unlink(terms_path);
	greet();
	expect_line("join component=engine term=42");
	tell("ok component=engine\n");
	expect_started(42);
	int64_t deadline = in_ms(GRACE_MS + 1500);
	tell("extended component=engine term=42 deadline=%lld ttl_ms=%d\n", (long long)deadline, GRACE_MS + 1500);
	push_revoked_at(42, deadline); // an answer to it says that all was read
	expect_said("told");
	kill(shell_pid, SIGSTOP);
	ck_assert(!is_gone((int)((before - clock_now_ns()) / NS_PER_MS) + 100));
	ck_assert(is_gone(PATIENCE_MS));
	expect_before(deadline, "the end");
}
END_TEST

// S1: the guardian's end is the command's, and that of the term, and not ours.
START_TEST(test_guardian_is_killed)
{
	(void)start_family(families[_i].script, 60000);
	kill(guardian_pid(), SIGKILL);
	expect_ended("yield component=engine term=42 reason=unguarded");
	said_size = 0;
	said[0] = '\0';
	push_granted(43, 60000);
	expect_started(43);
	expect_said("up");
	kill(guardian_pid(), SIGKILL);
	expect_ended("yield component=engine term=43 reason=unguarded");
	pid_t pids[2];
	ck_assert_uint_eq(children_of(shell_pid, pids), 0);
}
END_TEST

START_TEST(test_guardian_is_frozen)
{
	(void)start_family(families[_i].script, 60000);
	kill(guardian_pid(), SIGSTOP);
	int64_t deadline = push_revoked(42, 300);
	expect_line("stopped component=engine term=42");
	expect_before(deadline, "the end");
	ck_assert_msg(is_gone(0), "%s", families[_i].name);
}
END_TEST

// Where guardian and tenurectl are killed both, the connection does not end before the last process that has a copy.
START_TEST(test_connection_is_inherited)
{
	start_shell(ALIVE "setsid sh -c 'echo pid $$ >&9; exec sleep 100' & wait");
	join("");
	push_granted(42, 60000);
	expect_started(42);
	expect_said("pid ");
	expect_said("\n");
	pid_t survivor = (pid_t)strtol(strstr(said, "pid ") + 4, NULL, 10);
	ck_assert_int_gt(survivor, 1);
	pid_t guardian = guardian_pid();
	kill(guardian, SIGSTOP);
	kill(shell_pid, SIGKILL);
	ck_assert_int_eq(waitpid(shell_pid, NULL, 0), shell_pid);
	shell_pid = 0;
	kill(guardian, SIGKILL);
	struct pollfd fds[] = {{.fd = peer, .events = POLLIN}};
	ck_assert_int_eq(poll(fds, 1, 200), 0);
	ck_assert(!is_gone(0));
	kill(survivor, SIGKILL);
	ck_assert(is_gone(PATIENCE_MS));
	expect_end();
}
END_TEST

START_TEST(test_told_to_end)
{
	start_shell(ALIVE "trap 'echo told >&9' TERM; " UP "while :; do sleep 0.01; done");
	join("");
	push_granted(42, 60000);
	expect_started(42);
	expect_said("up");
	int64_t before = clock_now_ns();
	kill(shell_pid, SIGTERM);
	expect_said("told");
	if (_i)
		kill(shell_pid, SIGTERM);      // at once, then
	expect_line("leave component=engine"); // no cool-down for a worker that is restarted
	int64_t took = clock_now_ns() - before;
	ck_assert(is_gone(0));
	ck_assert_int_lt(took, (GRACE_MS + 1000) * NS_PER_MS);
	if (!_i)
		ck_assert_int_ge(took, GRACE_MS * NS_PER_MS);
	ck_assert_int_eq(end_ctl(), CTL_OK);
}
END_TEST

START_TEST(test_told_to_end_while_waiting)
{
	start_ctl(LIST("run", "engine", "true"));
	join("");
	kill(shell_pid, SIGHUP);
	expect_leave(CTL_OK);
	hang_up();
	stop_listening();
	start_ctl(LIST("run", "engine", "true"));
	char message[64];
	wait_for(shell_err);
	ck_assert_int_gt(read(shell_err, message, sizeof message), 0);
	kill(shell_pid, SIGTERM);
	ck_assert_int_eq(end_ctl(), CTL_OK);
}
END_TEST

START_TEST(test_granted_too_late)
{
	start_ctl(LIST("run", "engine", "true"));
	join("");
	push_granted(42, GRACE_MS);
	expect_line("stopped component=engine term=42");
}
END_TEST

START_TEST(test_refused)
{
	start_ctl(LIST("run", "engine", "true"));
	greet();
	expect_line("join component=engine");
	tell("error code=unknown-component message=no%%20such%%20component\n");
	ck_assert_int_eq(end_ctl(), CTL_NO);
	expect_text(err_text, "no such component");
}
END_TEST

// S7: nothing to wait for.
START_TEST(test_denied)
{
	char message[256];
	obey_modes();
	deny(true);
	start_ctl(LIST("run", "engine", "true"));
	ck_assert_int_eq(end_ctl(), CTL_NO_DAEMON);
	snprintf(message, sizeof message,
		"tenurectl: %s: permission denied; does this user belong to the socket's group?\n", socket_path);
	ck_assert_str_eq(err_text, message);
	// Nor where the daemon came later.
	stop_listening();
	start_ctl(LIST("run", "engine", "true"));
	wait_for(shell_err);
	start_listening();
	deny(true);
	ck_assert_int_eq(end_ctl(), CTL_NO_DAEMON);
	expect_text(err_text, "waiting for it\n");
	expect_text(err_text, message);
}
END_TEST

// A daemon that starts makes its socket, and then opens it to others.
START_TEST(test_denied_for_a_moment)
{
	obey_modes();
	deny(true);
	start_ctl(LIST("run", "engine", "true"));
	usleep(200000);
	deny(false);
	join("");
	kill(shell_pid, SIGTERM);
	expect_leave(CTL_OK);
	ck_assert_str_eq(err_text, "");
}
END_TEST

// The next daemon's socket is for others: the term goes on, as without a daemon, and so does the command.
START_TEST(test_denied_later)
{
	obey_modes();
	start_shell(ALIVE UP "exec sleep 100");
	join("");
	push_granted(42, 60000);
	expect_started(42);
	expect_said("up");
	deny(true);
	hang_up();
	ck_assert(!is_gone(2000));
	ck_assert_int_eq(waitpid(shell_pid, NULL, WNOHANG), 0);
	deny(false);
	join(" term=42");
	expect_started(42);
	kill(shell_pid, SIGTERM);
	expect_leave(CTL_OK);
}
END_TEST

// W16
START_TEST(test_notify)
{
	start_ctl(LIST("run", "engine", "--notify", "--watchdog", "2s", "--", "/proc/self/exe", "reports"));
	join(" heartbeat_ms=2000");
	push_granted(42, 5000);
	expect_line("started component=engine term=42");
	expect_line("alive component=engine term=42");
	expect_line("alive component=engine term=42");
	tell("ok\nok\nok\n");
	push_revoked(42, 1000);
	expect_line("stopped component=engine term=42");
}
END_TEST

// Lets the command go on that waits for it in wait_to_go_on().
static void let_go_on(int step)
{
	char path[128];
	snprintf(path, sizeof path, "%s.%d", fifo_path, step);
	close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

static void wait_to_go_on(int step)
{
	char path[128];
	snprintf(path, sizeof path, "%s.%d", getenv("ALIVE"), step);
	while (access(path, F_OK) < 0)
		usleep(1000);
	unlink(path);
}

// W20: what it says of itself is told, and told again to a daemon that is back; with a watchdog by heartbeats only.
START_TEST(test_status_of_a_command)
{
	if (_i == 0)
		start_ctl(LIST("run", "engine", "--notify", "--", "/proc/self/exe", "tells"));
	else
		start_ctl(LIST("run", "engine", "--notify", "--watchdog", "2s", "--", "/proc/self/exe", "tells"));
	join(_i == 0 ? "" : " heartbeat_ms=2000");
	push_granted(42, 60000);
	expect_line("alive component=engine term=42 message=READY%3D1");
	tell("ok\n");
	let_go_on(1);
	expect_line("started component=engine term=42");
	tell("ok\n");
	let_go_on(2);
	if (_i == 1) {
		// Nothing before the next heartbeat.
		struct pollfd fd = {.fd = peer, .events = POLLIN};
		ck_assert_int_eq(poll(&fd, 1, 100), 0);
		let_go_on(3);
	}
	expect_line(_i == 0 ? "alive component=engine term=42 message=at%20work"
			    : "alive component=engine term=42 message=still%20at%20work");
	tell("ok\n");
	hang_up();
	greet();
	expect_line(_i == 0 ? "join component=engine term=42" : "join component=engine heartbeat_ms=2000 term=42");
	tell("ok component=engine slot=0\n");
	expect_line("started component=engine term=42");
	tell("ok\n");
	if (_i == 0)
		expect_line("alive component=engine term=42 message=at%20work");
	tell("ok\n");
	kill(shell_pid, SIGTERM);
	ck_assert_int_eq(end_ctl(), CTL_OK);
}
END_TEST

// STOPPING=1: it ends by itself, is not told to, and has its grace.
START_TEST(test_command_says_that_it_stops)
{
	start_ctl(LIST("run", "engine", "--notify", "--", "/proc/self/exe", "stops"));
	join("");
	push_granted(42, 60000);
	expect_line("started component=engine term=42");
	tell("ok\n");
	int64_t begun = clock_now_ns();
	expect_line("yield component=engine term=42 reason=stopping");
	ck_assert_int_ge(clock_now_ns() - begun, (GRACE_MS - 200) * NS_PER_MS);
	tell("ok\n");
	kill(shell_pid, SIGTERM);
	ck_assert_int_eq(end_ctl(), CTL_OK);
	expect_text(err_text, "ended with status 137");
}
END_TEST

static void report(const char *message)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *name = getenv("NOTIFY_SOCKET");
	if (!name)
		_exit(1);
	size_t length = strlen(name);
	memcpy(address.sun_path, name, length);
	address.sun_path[0] = '\0'; // '@'
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sendto(fd, message, strlen(message), 0, (const struct sockaddr *)&address,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) < 0)
		_exit(1);
	close(fd);
}

// This program as a command of `run`: not ready at first, then ready, then alive.
static int be_a_command(void)
{
	const char *watchdog = getenv("WATCHDOG_USEC");
	if (!watchdog || strcmp(watchdog, "2000000") != 0 || getenv("WATCHDOG_PID"))
		return 1;
	report("READY=10\nSTOPPING=10\nXSTOPPING=1");
	report("READY=1\n");
	report("WATCHDOG=1");
	usleep(50000);
	report("WATCHDOG=1\nBARRIER=1");
	pause();
	return 0;
}

static int tell_of_itself(void)
{
	bool watched = getenv("WATCHDOG_USEC");
	report("STATUS=READY=1");
	wait_to_go_on(1);
	report("READY=1");
	wait_to_go_on(2);
	report("STATUS=at work");
	if (watched) {
		wait_to_go_on(3);
		report("STATUS=still at work\nWATCHDOG=1");
	}
	pause();
	return 0;
}

_Noreturn static void say_that_it_stops(void)
{
	// What it is not told it cannot die of.
	signal(SIGTERM, SIG_DFL);
	report("READY=1");
	report("STOPPING=1");
	for (;;)
		pause();
}

static int open_descriptors(void)
{
	int count = 0;
	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void expect_few_descriptors(void)
{
	char path[64];
	int count = 0;
	for (int fd = 0; fd < 1024; fd++) {
		snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)shell_pid, fd);
		count += access(path, F_OK) == 0;
	}
	ck_assert_int_le(count, open_descriptors() + 8);
}

// R6: a hundred terms leave nothing behind.
START_TEST(test_hundred_terms)
{
	start_ctl(LIST("run", "engine", "true"));
	join("");
	for (uint64_t term = 1; term <= 100; term++) {
		char line[96];
		push_granted(term, 60000);
		expect_started(term);
		snprintf(line, sizeof line, "yield component=engine term=%llu reason=exited", (unsigned long long)term);
		expect_line(line);
		tell("ok\n");
	}
	expect_few_descriptors();
	pid_t pids[2];
	ck_assert_uint_eq(children_of(shell_pid, pids), 0);
	kill(shell_pid, SIGTERM);
	expect_leave(CTL_OK);
}
END_TEST

int main(int argc, char *argv[])
{
	if (argc > 1 && strcmp(argv[1], "reports") == 0)
		return be_a_command();
	if (argc > 1 && strcmp(argv[1], "tells") == 0)
		return tell_of_itself();
	if (argc > 1 && strcmp(argv[1], "stops") == 0)
		say_that_it_stops();
	Suite *suite = suite_create("ctl_run");
	TCase *cases = tcase_create("ctl_run");
	tcase_add_checked_fixture(cases, set_up, tear_down);
	tcase_set_timeout(cases, 60);
	tcase_add_test(cases, test_runs_while_leading);
	tcase_add_loop_test(cases, test_ends_a_family, 0, COUNT_OF(families));
	tcase_add_test(cases, test_stop_signal);
	tcase_add_test(cases, test_stopped_command);
	tcase_add_test(cases, test_command_ends_by_itself);
	tcase_add_test(cases, test_command_leaves_something_behind);
	tcase_add_loop_test(cases, test_once, 0, COUNT_OF(ends));
	tcase_add_loop_test(cases, test_cannot_execute, 0, 2);
	tcase_add_loop_test(cases, test_looks_command_up, 0, COUNT_OF(commands));
	tcase_add_loop_test(cases, test_nobody_extends, 0, 2);
	tcase_add_loop_test(cases, test_extended, 0, 2);
	tcase_add_test(cases, test_daemon_restarts);
	tcase_add_test(cases, test_daemon_says_stale);
	tcase_add_test(cases, test_daemon_dies_for_good);
	tcase_add_loop_test(cases, test_both_frozen, 0, 2);
	tcase_add_loop_test(cases, test_tenurectl_is_killed, 0, COUNT_OF(families));
	tcase_add_test(cases, test_tenurectl_is_killed_after_restart);
	tcase_add_loop_test(cases, test_tenurectl_is_frozen, 0, 2);
	tcase_add_loop_test(cases, test_tenurectl_is_frozen_after_restart, 0, 2);
	tcase_add_loop_test(cases, test_guardian_is_killed, 0, COUNT_OF(families));
	tcase_add_loop_test(cases, test_guardian_is_frozen, 0, COUNT_OF(families));
	tcase_add_test(cases, test_connection_is_inherited);
	tcase_add_loop_test(cases, test_told_to_end, 0, 2);
	tcase_add_test(cases, test_told_to_end_while_waiting);
	tcase_add_test(cases, test_granted_too_late);
	tcase_add_test(cases, test_refused);
	tcase_add_test(cases, test_denied);
	tcase_add_test(cases, test_denied_for_a_moment);
	tcase_add_test(cases, test_denied_later);
	tcase_add_test(cases, test_notify);
	tcase_add_loop_test(cases, test_status_of_a_command, 0, 2);
	tcase_add_test(cases, test_command_says_that_it_stops);
	tcase_add_test(cases, test_hundred_terms);
	suite_add_tcase(suite, cases);
	return run_suite(suite);
}
