// SPDX-License-Identifier: Apache-2.0
#include "sql.h"

#include <stdio.h>
#include <string.h>

static const struct sql_driver *const drivers[] = {
#ifdef WITH_SQLITE
	&sql_sqlite,
#endif
#ifdef WITH_PGSQL
	&sql_postgresql,
#endif
#ifdef WITH_MYSQL
	&sql_mysql,
#endif
	NULL,
};

struct sql *sql_open(const char *where)
{
	for (const struct sql_driver *const *driver = drivers; *driver; driver++) {
		size_t size = strlen((*driver)->name);
		if (strncmp(where, (*driver)->name, size) == 0 && where[size] == ':')
			return (*driver)->open(where + size + 1);
	}
	fprintf(stderr, "sql: no such database: %.*s\n", (int)strcspn(where, ":"), where);
	return NULL;
}

int sql_do(struct sql *sql, const char *text, const char *const values[], int count)
{
	return sql->driver->run(sql, text, values, count, NULL, NULL);
}

int sql_query(struct sql *sql, const char *text, sql_row *row, void *data)
{
	return sql->driver->run(sql, text, NULL, 0, row, data);
}

int sql_begin(struct sql *sql, const char *lease, uint64_t term)
{
	char number[24];
	const char *values[] = {lease, number};
	snprintf(number, sizeof number, "%llu", (unsigned long long)term);
	if (sql_do(sql, sql->driver->begin, NULL, 0) < 0)
		return -1;
	return sql_do(sql, sql->driver->fence, values, 2);
}

int sql_commit(struct sql *sql)
{
	return sql_do(sql, "COMMIT", NULL, 0);
}

void sql_close(struct sql *sql)
{
	if (sql)
		sql->driver->close(sql);
}
