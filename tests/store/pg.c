// SPDX-License-Identifier: Apache-2.0
#include "pg.h"

#include "scratch.h"

#ifdef WITH_PGSQL
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <poll.h>
#include <postgresql/libpq-fe.h>
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

// The server, and that of before: a test may have one of its own while another one runs.
static char directory[PATH_SIZE], last_directory[PATH_SIZE];
static pid_t server, last_server;
static char binaries[PATH_SIZE];

static void die(const char *what)
{
	fprintf(stderr, "the test's PostgreSQL: %s; see %s/log\n", what, directory);
	exit(EXIT_FAILURE);
}

static void sleep_ms(int milliseconds)
{
	poll(NULL, 0, milliseconds);
}

// The newest version that is installed.
static void find_binaries(void)
{
	glob_t found;
	if (glob("/usr/lib/postgresql/*/bin/postgres", 0, NULL, &found) != 0)
		die("none is installed: apt-get install postgresql");
	const char *newest = found.gl_pathv[found.gl_pathc - 1];
	snprintf(binaries, sizeof binaries, "%.*s", (int)(strrchr(newest, '/') - newest), newest);
	globfree(&found);
}

// PostgreSQL does not run as root.
static void become_owner(void)
{
	const struct passwd *user = getuid() == 0 ? getpwnam("postgres") : NULL;
	if (user &&
		(initgroups(user->pw_name, user->pw_gid) < 0 || setgid(user->pw_gid) < 0 || setuid(user->pw_uid) < 0))
		_exit(127);
}

// arguments[0] is filled in: initdb looks for its companions where it was called.
static pid_t spawn(const char *program, char **arguments)
{
	char path[2 * PATH_SIZE];
	pid_t parent = getpid();
	snprintf(path, sizeof path, "%s/%s", binaries, program);
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	become_owner();
	prctl(PR_SET_PDEATHSIG, SIGQUIT);
	if (chdir(directory) < 0)
		_exit(127);
	int log = open("log", O_WRONLY | O_CREAT | O_APPEND, 0644);
	if (getppid() != parent || log < 0)
		_exit(127);
	dup2(log, STDOUT_FILENO);
	dup2(log, STDERR_FILENO);
	arguments[0] = path;
	execv(path, arguments);
	_exit(127);
}

static void make_cluster(void)
{
	char *arguments[] = {"initdb", "-D", "data", "-A", "trust", "-U", PG_SUPERUSER, "-E", "UTF8", "--locale=C",
		"--no-sync", NULL};
	int status;
	pid_t pid = spawn("initdb", arguments);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		die("initdb failed");
	char path[2 * PATH_SIZE];
	snprintf(path, sizeof path, "%s/data/pg_hba.conf", directory);
	FILE *rules = fopen(path, "w");
	if (!rules || fputs("local all " PG_SCRAM_USER " scram-sha-256\nlocal all all trust\n", rules) < 0 ||
		fclose(rules) != 0)
		die("pg_hba.conf cannot be written");
}

static void run_server(void)
{
	char *arguments[] = {"postgres", "-D", "data", "-k", directory, "-c", "listen_addresses=", "-c",
		"max_connections=60", "-c", "shared_buffers=16MB", "-c", "autovacuum=off", "-c",
		"deadlock_timeout=100ms", NULL};
	server = spawn("postgres", arguments);
	if (server < 0)
		die("it cannot be started");
}

static PGconn *connect_as(const char *user)
{
	char text[2 * PATH_SIZE];
	snprintf(text, sizeof text, "host=%s dbname=postgres user=%s options='-c client_min_messages=warning'",
		directory, user ? user : PG_SUPERUSER);
	return PQconnectdb(text);
}

// Tries until the server takes it: it may be starting, or recovering from a crash that a test wanted.
static PGconn *connect_soon(const char *user)
{
	for (int i = 0; i < WAIT_TIMES; i++) {
		PGconn *connection = connect_as(user);
		if (PQstatus(connection) == CONNECTION_OK)
			return connection;
		PQfinish(connection);
		if (waitpid(server, NULL, WNOHANG) == server)
			die("it ended");
		sleep_ms(WAIT_MS);
	}
	die("it does not take connections");
	return NULL;
}

void pg_start(void)
{
	find_binaries();
	const struct passwd *user = getuid() == 0 ? getpwnam("postgres") : NULL;
	last_server = server;
	memcpy(last_directory, directory, sizeof directory);
	if (!scratch_directory(directory, "pg") || chmod(directory, 0755) < 0)
		die("no temporary directory");
	if (user && chown(directory, user->pw_uid, user->pw_gid) < 0)
		die("chown failed");
	make_cluster();
	run_server();
	PQfinish(connect_soon(NULL));
	struct pg *pg = pg_connect(NULL);
	pg_sql(pg, "CREATE ROLE " PG_PLAIN_USER " LOGIN");
	pg_sql(pg, "CREATE ROLE " PG_SCRAM_USER " LOGIN PASSWORD '" PG_SCRAM_PASSWORD "'");
	pg_close(pg);
}

void pg_restart(void)
{
	kill(server, SIGQUIT);
	waitpid(server, NULL, 0);
	run_server();
	PQfinish(connect_soon(NULL));
}

void pg_stop(void)
{
	char command[2 * PATH_SIZE];
	pg_signal_all(SIGCONT);
	kill(server, SIGQUIT);
	waitpid(server, NULL, 0);
	snprintf(command, sizeof command, "rm -rf '%s'", directory);
	if (system(command) != 0)
		fprintf(stderr, "%s is left behind\n", directory);
	server = last_server;
	memcpy(directory, last_directory, sizeof directory);
}

const char *pg_directory(void)
{
	return directory;
}

void pg_signal_all(int signal)
{
	char path[PATH_SIZE], text[PATH_SIZE];
	snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)server, (int)server);
	FILE *children = fopen(path, "r");
	kill(server, signal);
	while (children && fscanf(children, "%255s", text) == 1)
		kill((pid_t)atoi(text), signal);
	if (children)
		fclose(children);
}

// ---- plain connections ----

struct pg {
	PGconn *connection;
	PGresult *result;
};

struct pg *pg_connect(const char *user)
{
	struct pg *pg = calloc(1, sizeof *pg);
	pg->connection = connect_soon(user);
	return pg;
}

void pg_close(struct pg *pg)
{
	PQclear(pg->result);
	PQfinish(pg->connection);
	free(pg);
}

static void run(struct pg *pg, const char *format, va_list arguments)
{
	char *sql;
	if (vasprintf(&sql, format, arguments) < 0)
		abort();
	PQclear(pg->result);
	pg->result = PQexec(pg->connection, sql);
	free(sql);
}

const char *pg_sql(struct pg *pg, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	run(pg, format, arguments);
	va_end(arguments);
	ExecStatusType status = PQresultStatus(pg->result);
	if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
		fprintf(stderr, "%s: %s", format, PQresultErrorMessage(pg->result));
		abort();
	}
	return PQntuples(pg->result) > 0 ? PQgetvalue(pg->result, 0, 0) : "";
}

const char *pg_sqlstate(struct pg *pg, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	run(pg, format, arguments);
	va_end(arguments);
	const char *sqlstate = PQresultErrorField(pg->result, PG_DIAG_SQLSTATE);
	return sqlstate ? sqlstate : "";
}

const char *pg_message(struct pg *pg)
{
	return PQresultErrorMessage(pg->result);
}

void pg_await(struct pg *pg, const char *condition)
{
	for (int i = 0; i < WAIT_TIMES; i++) {
		if (strcmp(pg_sql(pg, "SELECT %s", condition), "t") == 0)
			return;
		sleep_ms(WAIT_MS);
	}
	ck_abort_msg("it never happened: %s", condition);
}
#endif
