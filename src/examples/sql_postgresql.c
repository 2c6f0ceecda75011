// SPDX-License-Identifier: Apache-2.0
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

#include "sql.h"

// Before what the user says, which may say otherwise: a later keyword wins. A server that is out of reach is noticed
// by TCP; a worker that is, leaves nothing locked behind.
#define LIMITS \
	"connect_timeout=2 tcp_user_timeout=1000 keepalives_idle=1 keepalives_interval=1 keepalives_count=1 " \
	"gssencmode=disable options='-c statement_timeout=1000 -c idle_in_transaction_session_timeout=2000' "

struct postgresql {
	struct sql sql;
	PGconn *connection;
};

static void disconnect(struct sql *sql)
{
	struct postgresql *p = (struct postgresql *)sql;
	PQfinish(p->connection);
	free(p);
}

static struct sql *open_connection(const char *conninfo)
{
	char *text;
	struct postgresql *p = calloc(1, sizeof *p);
	if (!p)
		return NULL;
	if (asprintf(&text, LIMITS "%s", conninfo) < 0) {
		free(p);
		return NULL;
	}
	p->sql.driver = &sql_postgresql;
	p->connection = PQconnectdb(text);
	free(text);
	if (PQstatus(p->connection) == CONNECTION_OK)
		return &p->sql;
	fprintf(stderr, "sql: %s", PQerrorMessage(p->connection));
	disconnect(&p->sql);
	return NULL;
}

// `?` become $1, $2 and so on.
static void number(char *numbered, size_t size, const char *text)
{
	size_t at = 0;
	for (int n = 0; *text && at + 4 < size; text++)
		if (*text == '?')
			at += (size_t)snprintf(numbered + at, size - at, "$%d", ++n);
		else
			numbered[at++] = *text;
	numbered[at] = '\0';
}

static int run(struct sql *sql, const char *text, const char *const values[], int count, sql_row *row, void *data)
{
	struct postgresql *p = (struct postgresql *)sql;
	char numbered[512];
	number(numbered, sizeof numbered, text);
	PGresult *result = PQexecParams(p->connection, numbered, count, NULL, values, NULL, NULL, 0);
	ExecStatusType status = PQresultStatus(result);
	int failed = status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK;
	if (failed)
		fprintf(stderr, "sql: %s", PQerrorMessage(p->connection));
	for (int i = 0; !failed && row && i < PQntuples(result); i++)
		row(data, PQgetvalue(result, i, 0));
	PQclear(result);
	return failed ? -1 : 0;
}

const struct sql_driver sql_postgresql = {
	.name = "postgresql",
	.begin = "BEGIN",
	.fence = "SELECT tenure_fence(?, ?)",
	.open = open_connection,
	.run = run,
	.close = disconnect,
};
