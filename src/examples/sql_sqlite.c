// SPDX-License-Identifier: Apache-2.0
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "sql.h"

#define WAIT_MS 1000

struct sqlite {
	struct sql sql;
	sqlite3 *db;
};

static void close_file(struct sql *sql)
{
	struct sqlite *s = (struct sqlite *)sql;
	sqlite3_close(s->db);
	free(s);
}

static struct sql *open_file(const char *path)
{
	struct sqlite *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	s->sql.driver = &sql_sqlite;
	if (sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
		sqlite3_busy_timeout(s->db, WAIT_MS) == SQLITE_OK)
		return &s->sql;
	fprintf(stderr, "sql: %s: %s\n", path, sqlite3_errmsg(s->db));
	close_file(&s->sql);
	return NULL;
}

static int run(struct sql *sql, const char *text, const char *const values[], int count, sql_row *row, void *data)
{
	struct sqlite *s = (struct sqlite *)sql;
	sqlite3_stmt *statement = NULL;
	int status = sqlite3_prepare_v2(s->db, text, -1, &statement, NULL);
	for (int i = 0; status == SQLITE_OK && i < count; i++)
		status = sqlite3_bind_text(statement, i + 1, values[i], -1, SQLITE_STATIC);
	while (status == SQLITE_OK || status == SQLITE_ROW) {
		status = sqlite3_step(statement);
		if (status == SQLITE_ROW && row)
			row(data, (const char *)sqlite3_column_text(statement, 0));
	}
	if (status != SQLITE_DONE)
		fprintf(stderr, "sql: %s\n", sqlite3_errmsg(s->db));
	sqlite3_finalize(statement);
	return status == SQLITE_DONE ? 0 : -1;
}

// Keep it short: while a transaction is open here, no daemon renews.
const struct sql_driver sql_sqlite = {
	.name = "sqlite",
	.begin = "BEGIN IMMEDIATE",
	.fence = "INSERT INTO tenure_fence VALUES (?, CAST(? AS INTEGER))",
	.open = open_file,
	.run = run,
	.close = close_file,
};
