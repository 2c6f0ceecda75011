// SPDX-License-Identifier: Apache-2.0
#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl.h"

// Where the command finds its copy of the connection: out of the way of scripts that number descriptors themselves.
#define CONNECTION_FD_MIN 200
#define SIGNALED 128
// Where execvp() looks without PATH.
#define PATH_OF_NONE "/bin:/usr/bin"

#define CHILDREN_PATH "/proc/thread-self/children"
// How many are looked at in one pass; whoever kills makes passes until none is left.
#define CHILDREN_MAX 1024
#define PID_TEXT_SIZE 8 // seven digits at most, and a blank

int job_prepare(void)
{
	if (access(CHILDREN_PATH, R_OK) < 0)
		return -errno;
	return prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 ? -errno : 0;
}

static int look_at(const char *path)
{
	struct stat status;
	if (stat(path, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode))
		return -EACCES;
	return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? -errno : 0;
}

// One that may not be executed does not hide another that may, farther on.
static int look_up_in(const char *directories, const char *name)
{
	int result = -ENOENT;
	for (;;) {
		char path[PATH_MAX];
		size_t size = strcspn(directories, ":");
		int length = snprintf(path, sizeof path, "%.*s%s%s", (int)size, directories, size > 0 ? "/" : "", name);
		int error = length < (int)sizeof path ? look_at(path) : -ENAMETOOLONG;
		if (error == 0)
			return 0;
		if (error == -EACCES)
			result = error;
		else if (error != -ENOENT && error != -ENOTDIR && error != -ENAMETOOLONG)
			return error; // as execvp() does
		if (directories[size] == '\0')
			return result;
		directories += size + 1;
	}
}

int job_look_up(const char *command)
{
	const char *directories = getenv("PATH");
	if (*command == '\0')
		return -ENOENT;
	if (strchr(command, '/'))
		return look_at(command);
	return look_up_in(directories ? directories : PATH_OF_NONE, command);
}

static void set_number(const char *name, uint64_t number)
{
	char text[24];
	snprintf(text, sizeof text, "%" PRIu64, number);
	setenv(name, text, 1);
}

static void set_environment(const struct job_setup *setup)
{
	setenv("TENURE_COMPONENT", setup->component, 1);
	setenv("TENURE_LEASE", setup->lease, 1);
	setenv("TENURE_SOCKET", setup->socket_path, 1);
	set_number("TENURE_TERM", setup->term);
	if (setup->notify_socket)
		setenv("NOTIFY_SOCKET", setup->notify_socket, 1);
	if (setup->watchdog_us == 0)
		return;
	set_number("WATCHDOG_USEC", (uint64_t)setup->watchdog_us);
	unsetenv("WATCHDOG_PID");
}

// The kernel tells the daemon of the connection's end only when this copy is closed too.
static void inherit(int connection)
{
	if (connection >= 0 && fcntl(connection, F_DUPFD, CONNECTION_FD_MIN) < 0)
		(void)fcntl(connection, F_SETFD, 0);
}

// In the child. Returns only where the command cannot be executed.
static void become(const struct job_setup *setup, pid_t parent)
{
	setsid();
	// Neither does the command outlive its guard (S1); it may have died just now.
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		return;
	for (size_t i = 0; i < COUNT_OF(job_default_signals); i++)
		signal(job_default_signals[i], SIG_DFL);
	sigprocmask(SIG_SETMASK, setup->signals, NULL);
	set_environment(setup);
	inherit(setup->connection);
	execvp(setup->command[0], setup->command);
}

static void tell(int exec_fd, int number)
{
	(void)!write(exec_fd, &number, sizeof number);
}

int job_start(struct job *job, const struct job_setup *setup, int exec_fd)
{
	pid_t parent = getpid();
	pid_t pid = fork();
	if (pid == 0) {
		// Said before whatever the command reports itself.
		tell(exec_fd, getpid());
		become(setup, parent);
		tell(exec_fd, -errno);
		_exit(CTL_NOT_FOUND);
	}
	if (pid < 0) {
		int error = -errno;
		tell(exec_fd, error);
		return error;
	}
	*job = (struct job){.pid = pid};
	return 0;
}

void job_adopt(struct job *job, pid_t pid)
{
	siginfo_t info;
	*job = (struct job){.pid = pid, .status = SIGKILL};
	// It is no child of ours where the guardian had taken in its end already.
	if (pid == 0 || waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
		job->ended = job->group_freed = true;
}

// This process's children, as many as fit; -1 after the last.
static void list_children(pid_t ret[CHILDREN_MAX + 1])
{
	char text[CHILDREN_MAX * PID_TEXT_SIZE + 1];
	size_t count = 0, size = 0;
	FILE *file = fopen(CHILDREN_PATH, "re");
	if (file) {
		size = fread(text, 1, sizeof text - 1, file);
		fclose(file);
	}
	text[size] = '\0';
	char *rest = text, *end;
	for (long pid = strtol(rest, &end, 10); end != rest && count < CHILDREN_MAX; pid = strtol(rest, &end, 10)) {
		ret[count++] = (pid_t)pid;
		rest = end;
	}
	ret[count] = -1;
}

static bool is_command(const struct job *job, pid_t child)
{
	return !job->group_freed && child == job->pid;
}

static void signal_pid(pid_t pid, int signal_number)
{
	kill(pid, signal_number);
	if (signal_number != SIGKILL)
		kill(pid, SIGCONT);
}

void job_signal(const struct job *job, int signal_number)
{
	pid_t children[CHILDREN_MAX + 1];
	if (!job->group_freed)
		signal_pid(-job->pid, signal_number);
	// Those that left the group. They are our children, so their pids are their own.
	list_children(children);
	for (size_t i = 0; children[i] > 0; i++)
		if (job->group_freed || getpgid(children[i]) != job->pid)
			signal_pid(children[i], signal_number);
}

// True where some beside the command are left.
static bool reap_strays(const struct job *job)
{
	pid_t children[CHILDREN_MAX + 1];
	bool left = false;
	list_children(children);
	for (size_t i = 0; children[i] > 0; i++)
		if (!is_command(job, children[i]) && waitpid(children[i], NULL, WNOHANG) != children[i])
			left = true;
	return left;
}

bool job_reap(struct job *job)
{
	siginfo_t info = {.si_pid = 0};
	if (!job->ended && waitid(P_PID, (id_t)job->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0)
		job->ended = info.si_pid != 0;
	if (reap_strays(job) || !job->ended)
		return false;
	// The command itself is reaped last: until then its pid, and so the group's, cannot become another's.
	if (!job->group_freed)
		(void)waitpid(job->pid, &job->status, 0);
	job->group_freed = true;
	// The list of children is a hint, for it may miss one while others end; this is the proof.
	if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD)
		return false;
	return true;
}

int job_exit_status(const struct job *job)
{
	return WIFSIGNALED(job->status) ? SIGNALED + WTERMSIG(job->status) : WEXITSTATUS(job->status);
}
