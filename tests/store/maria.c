// SPDX-License-Identifier: Apache-2.0
#include "maria.h"

#include "scratch.h"

#ifdef WITH_MYSQL
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <mysql.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATH_SIZE 256
#define WAIT_MS 10
#define WAIT_TIMES 3000
#define OPTIONS_MAX 16
#define TOOL "tests/tools/mariadb-server"

static char directory[PATH_SIZE];
static char socket_path[PATH_SIZE + 16];
static char tool[PATH_SIZE];
static const char *const *extra;
static pid_t server;

static void die(const char *what)
{
	fprintf(stderr, "the test's MariaDB: %s; see %s/log\n", what, directory);
	exit(EXIT_FAILURE);
}

static void sleep_ms(int milliseconds)
{
	poll(NULL, 0, milliseconds);
}

// MariaDB does not run as root.
static void become_owner(void)
{
	const struct passwd *user = getuid() == 0 ? getpwnam("mysql") : NULL;
	if (user &&
		(initgroups(user->pw_name, user->pw_gid) < 0 || setgid(user->pw_gid) < 0 || setuid(user->pw_uid) < 0))
		_exit(127);
}

static pid_t spawn(char *command, const char *const *options)
{
	char shell[] = "sh", script[PATH_SIZE];
	char *arguments[OPTIONS_MAX + 5] = {shell, script, command, directory};
	pid_t parent = getpid();
	for (size_t i = 0; options && options[i] && i < OPTIONS_MAX; i++)
		arguments[4 + i] = (char *)options[i];
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	// Opened before, for the server's user may not be allowed to find it.
	int source = open(tool, O_RDONLY);
	snprintf(script, sizeof script, "/dev/fd/%d", source);
	become_owner();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	int null = open("/dev/null", O_RDWR);
	if (getppid() != parent || source < 0 || null < 0)
		_exit(127);
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	execvp(shell, arguments);
	_exit(127);
}

static void run_server(void)
{
	char command[] = "run";
	server = spawn(command, extra);
	if (server < 0)
		die("it cannot be started");
	maria_wait();
}

static MYSQL *connect_as(const char *user)
{
	MYSQL *connection = mysql_init(NULL);
	if (!connection)
		die("no memory");
	mysql_real_connect(connection, NULL, user ? user : MARIA_SUPERUSER, NULL, NULL, 0, socket_path, 0);
	return connection;
}

void maria_wait(void)
{
	for (int i = 0; i < WAIT_TIMES; i++) {
		MYSQL *connection = connect_as(NULL);
		bool up = mysql_errno(connection) == 0;
		mysql_close(connection);
		if (up)
			return;
		if (waitpid(server, NULL, WNOHANG) == server)
			die("it ended");
		sleep_ms(WAIT_MS);
	}
	die("it does not take connections");
}

static void make_users(void)
{
	struct maria *maria = maria_connect(NULL);
	maria_sql(maria, "CREATE USER " MARIA_DAEMON_USER "@localhost");
	maria_sql(maria, "CREATE USER " MARIA_PLAIN_USER "@localhost");
	maria_sql(maria, "CREATE USER " MARIA_PASSWORD_USER "@localhost IDENTIFIED BY '" MARIA_PASSWORD "'");
	maria_sql(maria, "GRANT SELECT, INSERT, UPDATE, DELETE ON *.* TO " MARIA_DAEMON_USER "@localhost");
	maria_close(maria);
}

void maria_start(const char *const *options)
{
	char here[PATH_SIZE - sizeof TOOL], command[] = "init";
	int status;
	extra = options;
	const struct passwd *user = getuid() == 0 ? getpwnam("mysql") : NULL;
	if (!getcwd(here, sizeof here) || !scratch_directory(directory, "my") || chmod(directory, 0755) < 0)
		die("no temporary directory");
	if (user && chown(directory, user->pw_uid, user->pw_gid) < 0)
		die("chown failed");
	snprintf(tool, sizeof tool, "%s/" TOOL, here);
	snprintf(socket_path, sizeof socket_path, "%s/socket", directory);
	pid_t pid = spawn(command, NULL);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		die("mariadb-install-db failed; is mariadb-server installed?");
	run_server();
	make_users();
}

void maria_stop(void)
{
	char command[2 * PATH_SIZE];
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	snprintf(command, sizeof command, "rm -rf '%s'", directory);
	if (system(command) != 0)
		fprintf(stderr, "%s is left behind\n", directory);
}

void maria_restart(int signal)
{
	kill(server, signal);
	waitpid(server, NULL, 0);
	run_server();
}

const char *maria_directory(void)
{
	return directory;
}

const char *maria_socket(void)
{
	return socket_path;
}

pid_t maria_pid(void)
{
	return server;
}

// ---- plain connections ----

struct maria {
	MYSQL *connection;
	char value[256];
};

struct maria *maria_connect(const char *user)
{
	struct maria *maria = calloc(1, sizeof *maria);
	maria->connection = connect_as(user);
	if (mysql_errno(maria->connection) != 0) {
		fprintf(stderr, "%s\n", mysql_error(maria->connection));
		abort();
	}
	return maria;
}

void maria_close(struct maria *maria)
{
	mysql_close(maria->connection);
	free(maria);
}

static unsigned take(struct maria *maria)
{
	maria->value[0] = '\0';
	MYSQL_RES *result = mysql_store_result(maria->connection);
	MYSQL_ROW row = result ? mysql_fetch_row(result) : NULL;
	if (row && row[0])
		snprintf(maria->value, sizeof maria->value, "%s", row[0]);
	mysql_free_result(result);
	return mysql_errno(maria->connection);
}

static unsigned run(struct maria *maria, const char *format, va_list arguments)
{
	char *sql;
	if (vasprintf(&sql, format, arguments) < 0)
		abort();
	unsigned error = mysql_query(maria->connection, sql) ? mysql_errno(maria->connection) : take(maria);
	free(sql);
	return error;
}

const char *maria_sql(struct maria *maria, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	unsigned error = run(maria, format, arguments);
	va_end(arguments);
	if (error) {
		fprintf(stderr, "%s: %s\n", format, maria_message(maria));
		abort();
	}
	return maria->value;
}

unsigned maria_error(struct maria *maria, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	unsigned error = run(maria, format, arguments);
	va_end(arguments);
	return error;
}

const char *maria_message(struct maria *maria)
{
	return mysql_error(maria->connection);
}

void maria_send(struct maria *maria, const char *sql)
{
	ck_assert_int_eq(mysql_send_query(maria->connection, sql, strlen(sql)), 0);
}

unsigned maria_receive(struct maria *maria)
{
	return mysql_read_query_result(maria->connection) ? mysql_errno(maria->connection) : take(maria);
}

void maria_await(struct maria *maria, const char *condition)
{
	for (int i = 0; i < WAIT_TIMES; i++) {
		if (strcmp(maria_sql(maria, "SELECT %s", condition), "1") == 0)
			return;
		sleep_ms(WAIT_MS);
	}
	ck_abort_msg("it never happened: %s", condition);
}
#endif
