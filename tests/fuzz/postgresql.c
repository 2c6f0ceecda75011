// SPDX-License-Identifier: Apache-2.0
// In the place of libpq's connections: a server that keeps to the protocol and says anything in it. The results are
// libpq's own.
#include "hostile.h"

#include <libpq-fe.h>

#define QUEUE 64
#define COLUMNS 18 // of a report, which has the most
#define ROWS 4
#define PROCESS 7

// The connection.
static struct {
	bool sync[QUEUE]; // what was sent: a statement, or the end of a transaction
	size_t sent;
	size_t received; // of these
	bool answered;   // the statement that is being received
	bool aborted;    // until the next sync
	bool lost;
	char sqlstate[CELL_BYTES];
	char message[CELL_BYTES];
} server;

// ---- connecting ----

PGconn *PQconnectStartParams(const char *const *keywords, const char *const *values, int expand_dbname)
{
	(void)keywords;
	(void)values;
	(void)expand_dbname;
	memset(&server, 0, sizeof server);
	return (PGconn *)&server;
}

PostgresPollingStatusType PQconnectPoll(PGconn *conn)
{
	(void)conn;
	uint8_t choice = take(&hostile);
	if (choice < 240)
		return PGRES_POLLING_OK;
	if (choice < 248)
		return PGRES_POLLING_WRITING;
	if (choice < 250)
		stay_silent();
	return choice < 250 ? PGRES_POLLING_READING : PGRES_POLLING_FAILED;
}

ConnStatusType PQstatus(const PGconn *conn)
{
	(void)conn;
	return server.lost ? CONNECTION_BAD : CONNECTION_OK;
}

char *PQerrorMessage(const PGconn *conn)
{
	(void)conn;
	return server.message;
}

void PQfinish(PGconn *conn)
{
	(void)conn;
}

int PQsocket(const PGconn *conn)
{
	(void)conn;
	return hostile_socket();
}

char *PQhost(const PGconn *conn)
{
	(void)conn;
	static char host[] = "h";
	return host;
}

char *PQport(const PGconn *conn)
{
	(void)conn;
	static char port[] = "5432";
	return port;
}

int PQbackendPID(const PGconn *conn)
{
	(void)conn;
	return PROCESS;
}

PQnoticeReceiver PQsetNoticeReceiver(PGconn *conn, PQnoticeReceiver proc, void *arg)
{
	(void)conn;
	(void)proc;
	(void)arg;
	return NULL;
}

PGVerbosity PQsetErrorVerbosity(PGconn *conn, PGVerbosity verbosity)
{
	(void)conn;
	return verbosity;
}

int PQsetnonblocking(PGconn *conn, int arg)
{
	(void)conn;
	(void)arg;
	return 0;
}

int PQenterPipelineMode(PGconn *conn)
{
	(void)conn;
	return 1;
}

// ---- sending ----

static int queue(bool sync)
{
	if (take(&hostile) > 252)
		return 0;
	if (server.received == server.sent)
		server.received = server.sent = 0;
	MUST(server.sent < QUEUE);
	server.sync[server.sent++] = sync;
	return 1;
}

int PQsendQueryParams(PGconn *conn, const char *command, int nParams, const Oid *paramTypes,
	const char *const *paramValues, const int *paramLengths, const int *paramFormats, int resultFormat)
{
	(void)conn;
	(void)command;
	(void)nParams;
	(void)paramTypes;
	(void)paramValues;
	(void)paramLengths;
	(void)paramFormats;
	(void)resultFormat;
	return queue(false);
}

int PQsendQueryPrepared(PGconn *conn, const char *stmtName, int nParams, const char *const *paramValues,
	const int *paramLengths, const int *paramFormats, int resultFormat)
{
	return PQsendQueryParams(conn, stmtName, nParams, NULL, paramValues, paramLengths, paramFormats, resultFormat);
}

int PQsendPrepare(PGconn *conn, const char *stmtName, const char *query, int nParams, const Oid *paramTypes)
{
	(void)query;
	return PQsendQueryParams(conn, stmtName, nParams, paramTypes, NULL, NULL, NULL, 0);
}

int PQpipelineSync(PGconn *conn)
{
	(void)conn;
	return queue(true);
}

int PQflush(PGconn *conn)
{
	(void)conn;
	return 0;
}

// ---- receiving ----

int PQisBusy(PGconn *conn)
{
	(void)conn;
	if (take(&hostile) < 255)
		return 0;
	stay_silent();
	return 1;
}

int PQconsumeInput(PGconn *conn)
{
	(void)conn;
	return !server.lost;
}

PGnotify *PQnotifies(PGconn *conn)
{
	(void)conn;
	char text[CELL_BYTES];
	if (take(&hostile) < 128)
		return NULL;
	(void)take_text(text);
	PGnotify *notice = calloc(1, sizeof *notice + CELL_BYTES);
	MUST(notice);
	notice->extra = (char *)(notice + 1);
	memcpy(notice->extra, text, CELL_BYTES);
	return notice;
}

static void set_row(PGresult *result, int row, int columns)
{
	static const char *const head[] = {NULL, "2", NULL, "7"};
	char text[CELL_BYTES];
	uint8_t odd = take(&hostile);
	for (int i = 0; i < columns; i++) {
		size_t size = (size_t)i < COUNT_OF(head) ? take_cell_like(head[i], odd, text) : take_cell(text);
		MUST(PQsetvalue(result, row, i, text, size == CELL_NULL ? -1 : (int)size));
	}
}

static PGresult *rows(int count, int columns)
{
	static char column_name[] = "c";
	PGresAttDesc columns_of[COLUMNS + 1];
	PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	for (size_t i = 0; i < COUNT_OF(columns_of); i++)
		columns_of[i] = (PGresAttDesc){.name = column_name};
	MUST(result && PQsetResultAttrs(result, columns, columns_of));
	for (int i = 0; i < count && columns > 0; i++)
		set_row(result, i, columns);
	return result;
}

static PGresult *fail_statement(void)
{
	static const char *const states[] = {"40001", "25006", "26000", "57P01", "42P01", "55P03"};
	uint8_t choice = take(&hostile);
	if (choice < 128)
		snprintf(server.sqlstate, sizeof server.sqlstate, "%s", states[choice % COUNT_OF(states)]);
	else
		(void)take_text(server.sqlstate);
	(void)take_text(server.message);
	server.aborted = true;
	return PQmakeEmptyPGresult(NULL, PGRES_FATAL_ERROR);
}

static PGresult *answer(void)
{
	uint8_t choice = take(&hostile);
	if (server.aborted)
		return PQmakeEmptyPGresult(NULL, PGRES_PIPELINE_ABORTED);
	if (choice < 216)
		return rows(1 + choice % ROWS, COLUMNS);
	if (choice < 240)
		return rows((int)take_below(&hostile, ROWS), (int)take_below(&hostile, COLUMNS + 2));
	if (choice < 244)
		return PQmakeEmptyPGresult(NULL, PGRES_COMMAND_OK);
	if (choice < 252)
		return fail_statement();
	server.lost = true;
	return NULL;
}

PGresult *PQgetResult(PGconn *conn)
{
	(void)conn;
	if (server.lost || server.received == server.sent)
		return NULL;
	if (server.sync[server.received]) {
		server.received++;
		server.aborted = false;
		return PQmakeEmptyPGresult(NULL, PGRES_PIPELINE_SYNC);
	}
	server.answered = !server.answered;
	if (server.answered)
		return answer();
	server.received++;
	return NULL;
}

char *PQresultErrorField(const PGresult *res, int fieldcode)
{
	(void)res;
	char *text = fieldcode == PG_DIAG_SQLSTATE ? server.sqlstate : server.message;
	return text[0] ? text : NULL;
}
