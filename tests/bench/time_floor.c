// SPDX-License-Identifier: Apache-2.0
// The least that a hand-over over PostgreSQL can take: one commits and notifies, the other hears of it and commits.
//
//   time_floor CONNINFO ROUNDS   prints "floor NANOSECONDS" for each, with a pause before it, and "hot NANOSECONDS" for
//                                as many without
#include "clock.h"

#include <poll.h>
#include <postgresql/libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PATIENCE_MS 10000
// About what lies between two hand-overs that are measured: what the processors have forgotten meanwhile is in both.
#define PAUSE_US 100000

static void die(const char *what)
{
	fprintf(stderr, "time_floor: %s\n", what);
	exit(EXIT_FAILURE);
}

static PGconn *dial(const char *conninfo)
{
	PGconn *connection = PQconnectdb(conninfo);
	if (PQstatus(connection) != CONNECTION_OK)
		die(PQerrorMessage(connection));
	return connection;
}

static void sql(PGconn *connection, const char *text)
{
	PGresult *result = PQexec(connection, text);
	ExecStatusType status = PQresultStatus(result);
	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		die(PQerrorMessage(connection));
	PQclear(result);
}

static void wait_notified(PGconn *connection)
{
	for (;;) {
		if (PQconsumeInput(connection) == 0)
			die(PQerrorMessage(connection));
		PGnotify *notify = PQnotifies(connection);
		PQfreemem(notify);
		if (notify)
			return;
		if (poll(&(struct pollfd){.fd = PQsocket(connection), .events = POLLIN}, 1, PATIENCE_MS) <= 0)
			die("no notification");
	}
}

static int64_t hand_over(PGconn *one, PGconn *other)
{
	int64_t begun_at = clock_now_ns();
	sql(one, "WITH freed AS (UPDATE plain_lease SET holder = NULL WHERE name = 'engine' RETURNING 1)"
		 " SELECT pg_notify('floor', '') FROM freed");
	wait_notified(other);
	sql(other, "UPDATE plain_lease SET holder = 'other' WHERE name = 'engine' AND holder IS NULL");
	return clock_now_ns() - begun_at;
}

int main(int argc, char **argv)
{
	if (argc != 3)
		die("usage: time_floor CONNINFO ROUNDS");
	PGconn *one = dial(argv[1]), *other = dial(argv[1]);
	sql(one, "CREATE TABLE IF NOT EXISTS plain_lease (name text PRIMARY KEY, holder text)");
	sql(one, "INSERT INTO plain_lease VALUES ('engine', 'one')");
	sql(other, "LISTEN floor");
	unsigned long rounds = strtoul(argv[2], NULL, 10);
	for (unsigned long i = 0; i < rounds; i++)
		printf("hot %lld\n", (long long)hand_over(one, other));
	for (unsigned long i = 0; i < rounds; i++) {
		usleep(PAUSE_US);
		printf("floor %lld\n", (long long)hand_over(one, other));
	}
	PQfinish(one);
	PQfinish(other);
	return EXIT_SUCCESS;
}
