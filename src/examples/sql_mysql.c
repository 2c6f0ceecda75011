// SPDX-License-Identifier: Apache-2.0
#include <mysql.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sql.h"

#define VALUES_MAX 8

struct mysql {
	struct sql sql;
	MYSQL connection;
};

static void disconnect(struct sql *sql)
{
	struct mysql *m = (struct mysql *)sql;
	mysql_close(&m->connection);
	free(m);
}

static struct sql *open_connection(const char *option_file)
{
	unsigned seconds = 1;
	struct mysql *m = calloc(1, sizeof *m);
	if (!m)
		return NULL;
	m->sql.driver = &sql_mysql;
	mysql_init(&m->connection);
	mysql_options(&m->connection, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
	mysql_options(&m->connection, MYSQL_OPT_READ_TIMEOUT, &seconds);
	mysql_options(&m->connection, MYSQL_OPT_WRITE_TIMEOUT, &seconds);
	mysql_options(&m->connection, MYSQL_READ_DEFAULT_FILE, option_file);
	// Host, user, password and database are those of the file's group [client].
	if (mysql_real_connect(&m->connection, NULL, NULL, NULL, NULL, 0, NULL, 0))
		return &m->sql;
	fprintf(stderr, "sql: %s\n", mysql_error(&m->connection));
	disconnect(&m->sql);
	return NULL;
}

static int query(MYSQL *connection, const char *text, sql_row *row, void *data)
{
	MYSQL_ROW columns;
	if (mysql_query(connection, text) != 0)
		return -1;
	MYSQL_RES *result = mysql_store_result(connection);
	if (!result)
		return mysql_field_count(connection) == 0 ? 0 : -1;
	while ((columns = mysql_fetch_row(result)))
		if (row)
			row(data, columns[0]);
	mysql_free_result(result);
	return 0;
}

static int execute(MYSQL_STMT *statement, const char *text, const char *const values[], int count)
{
	MYSQL_BIND binds[VALUES_MAX] = {0};
	for (int i = 0; i < count && i < VALUES_MAX; i++) {
		binds[i].buffer_type = MYSQL_TYPE_STRING;
		binds[i].buffer = (void *)(uintptr_t)values[i];
		binds[i].buffer_length = strlen(values[i]);
	}
	if (mysql_stmt_prepare(statement, text, strlen(text)) || mysql_stmt_bind_param(statement, binds) ||
		mysql_stmt_execute(statement))
		return -1;
	while (mysql_stmt_next_result(statement) == 0) // a procedure's end is a result, too
		;
	return 0;
}

static int run(struct sql *sql, const char *text, const char *const values[], int count, sql_row *row, void *data)
{
	struct mysql *m = (struct mysql *)sql;
	if (count == 0) {
		int status = query(&m->connection, text, row, data);
		if (status < 0)
			fprintf(stderr, "sql: %s\n", mysql_error(&m->connection));
		return status;
	}
	MYSQL_STMT *statement = mysql_stmt_init(&m->connection);
	if (!statement)
		return -1;
	int status = execute(statement, text, values, count);
	if (status < 0)
		fprintf(stderr, "sql: %s\n", mysql_stmt_error(statement));
	mysql_stmt_close(statement);
	return status;
}

const struct sql_driver sql_mysql = {
	.name = "mysql",
	.begin = "START TRANSACTION",
	.fence = "CALL tenure_fence(?, ?)",
	.open = open_connection,
	.run = run,
	.close = disconnect,
};
