// SPDX-License-Identifier: Apache-2.0
// A hand-over over MariaDB with nothing around it: one commits and gives up a lock, the other waits for that and
// commits.
//
//   time_floor_mysql SOCKET DATABASE ROUNDS   prints "floor NANOSECONDS" for each, with a pause before it
#include "clock.h"

#include <mysql.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAUSE_US 100000

static void die(const char *what)
{
	fprintf(stderr, "time_floor_mysql: %s\n", what);
	exit(EXIT_FAILURE);
}

static MYSQL *dial(const char *path, const char *database)
{
	MYSQL *connection = mysql_init(NULL);
	if (!connection)
		die("no memory");
	if (!mysql_real_connect(connection, NULL, "root", NULL, database, 0, path, 0))
		die(mysql_error(connection));
	return connection;
}

static void begin(MYSQL *connection, const char *text)
{
	if (mysql_send_query(connection, text, (unsigned long)strlen(text)) != 0)
		die(mysql_error(connection));
}

static void end(MYSQL *connection)
{
	if (mysql_read_query_result(connection) != 0)
		die(mysql_error(connection));
	mysql_free_result(mysql_store_result(connection));
}

static void sql(MYSQL *connection, const char *text)
{
	begin(connection, text);
	end(connection);
}

static void change(MYSQL *connection, const char *text)
{
	sql(connection, text);
	if (mysql_affected_rows(connection) != 1)
		die("a row that did not change");
}

static int64_t hand_over(MYSQL *leader, MYSQL *waiting)
{
	begin(waiting, "SELECT GET_LOCK('floor', 10)");
	usleep(PAUSE_US);
	int64_t begun_at = clock_now_ns();
	change(leader, "UPDATE plain_lease SET holder = NULL WHERE name = 'engine'");
	sql(leader, "DO RELEASE_LOCK('floor')");
	end(waiting);
	change(waiting, "UPDATE plain_lease SET holder = 'other' WHERE name = 'engine' AND holder IS NULL");
	return clock_now_ns() - begun_at;
}

int main(int argc, char **argv)
{
	if (argc != 4)
		die("usage: time_floor_mysql SOCKET DATABASE ROUNDS");
	MYSQL *both[] = {dial(argv[1], argv[2]), dial(argv[1], argv[2])};
	sql(both[0], "CREATE TABLE IF NOT EXISTS plain_lease (name VARCHAR(63) PRIMARY KEY, holder VARCHAR(63))");
	sql(both[0], "INSERT IGNORE INTO plain_lease VALUES ('engine', 'one')");
	sql(both[0], "DO GET_LOCK('floor', 10)");
	unsigned long rounds = strtoul(argv[3], NULL, 10);
	for (unsigned long i = 0; i < rounds; i++)
		printf("floor %lld\n", (long long)hand_over(both[i % 2], both[(i + 1) % 2]));
	mysql_close(both[0]);
	mysql_close(both[1]);
	return EXIT_SUCCESS;
}
