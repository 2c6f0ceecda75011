// SPDX-License-Identifier: Apache-2.0
// tenurectl in a process of its own, its output caught.
#ifndef FAKE_SHELL_H
#define FAKE_SHELL_H

#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "ctl.h"
#include "fake_daemon.h"

#define ARGUMENTS_MAX 16
#define OUTPUT_SIZE 8192

static pid_t shell_pid;
static int shell_out = -1, shell_err = -1;
static char out_text[OUTPUT_SIZE], err_text[OUTPUT_SIZE];

// Starts `tenurectl --socket SOCKET ARGUMENTS…`, the last one NULL.
static inline void start_ctl(const char *const arguments[])
{
	int out[2], err[2];
	char *argv[ARGUMENTS_MAX + 4] = {(char[]){"tenurectl"}, (char[]){"--socket"}, socket_path};
	int argc = 3;
	while (*arguments) {
		ck_assert_int_lt(argc, ARGUMENTS_MAX);
		argv[argc++] = (char *)(uintptr_t)*arguments++;
	}
	hang_up();
	ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(err, O_CLOEXEC), 0);
	shell_pid = fork();
	ck_assert_int_ge(shell_pid, 0);
	if (shell_pid == 0) {
		dup2(out[1], STDOUT_FILENO);
		dup2(err[1], STDERR_FILENO);
		close(listener);
		exit(ctl_main(argc, argv));
	}
	close(out[1]);
	close(err[1]);
	shell_out = out[0];
	shell_err = err[0];
}

static inline void read_all(int *fd, char text[OUTPUT_SIZE])
{
	size_t size = 0;
	ssize_t got;
	while (size < OUTPUT_SIZE - 1 && (got = read(*fd, text + size, OUTPUT_SIZE - 1 - size)) > 0)
		size += (size_t)got;
	text[size] = '\0';
	close(*fd);
	*fd = -1;
}

// From here on root, too, is denied what modes deny to a file's owner.
static inline void obey_modes(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};
	ck_assert_int_eq((int)syscall(SYS_capset, &header, none), 0);
}

static inline void deny(bool denied)
{
	ck_assert_int_eq(chmod(socket_path, denied ? 0 : 0600), 0);
}

// Waits for its end; its exit status, or minus the signal that ended it.
static inline int end_ctl(void)
{
	int status;
	read_all(&shell_out, out_text);
	read_all(&shell_err, err_text);
	ck_assert_int_eq(waitpid(shell_pid, &status, 0), shell_pid);
	shell_pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static inline int run_ctl(const char *const arguments[])
{
	start_ctl(arguments);
	return end_ctl();
}

static inline void tear_down_ctl(void)
{
	if (shell_pid > 0)
		kill(shell_pid, SIGKILL);
	tear_down_daemon();
}

static inline void expect_text(const char *text, const char *part)
{
	ck_assert_msg(strstr(text, part) != NULL, "\"%s\" is not in: %s", part, text);
}

// start_ctl() and run_ctl() take LIST("status", "engine").
#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

#endif
