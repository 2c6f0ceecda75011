// SPDX-License-Identifier: Apache-2.0
// As much SQL as the examples need, on the database that the leases are in: sql_DATABASE.c has one each.
#ifndef SQL_H
#define SQL_H

#include <stdint.h>

struct sql;

/* Text in the first column of a row. */
typedef void sql_row(void *data, const char *text);

/* Each of these says on standard error why it failed. */
struct sql_driver {
	const char *name;
	const char *begin, *fence;
	struct sql *(*open)(const char *where);
	/* `?` in the text stand for the values; rows come only of a text without values. 0 or -1. */
	int (*run)(struct sql *sql, const char *text, const char *const values[], int count, sql_row *row, void *data);
	void (*close)(struct sql *sql);
};

extern const struct sql_driver sql_sqlite, sql_postgresql, sql_mysql;

/* What a driver's own begins with. */
struct sql {
	const struct sql_driver *driver;
};

/* sqlite:FILE, postgresql:CONNINFO or mysql:OPTION-FILE. What the server can end, it ends within two seconds;
   one that itself stands still is waited for, and ends nothing: a worker that has to be sure runs under
   `tenurectl run`, which kills it before the deadline. */
struct sql *sql_open(const char *where);
int sql_do(struct sql *sql, const char *text, const char *const values[], int count);
int sql_query(struct sql *sql, const char *text, sql_row *row, void *data);
/* Begins a transaction that can only commit while the term holds the lease. */
int sql_begin(struct sql *sql, const char *lease, uint64_t term);
int sql_commit(struct sql *sql);
/* What was not committed is rolled back. */
void sql_close(struct sql *sql);

#endif
