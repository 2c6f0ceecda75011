// SPDX-License-Identifier: Apache-2.0
// In the place of MariaDB's client library: a server that keeps to the protocol and says anything in it.
#include "hostile.h"

#include <mysql.h>

#define COLUMNS 11 // of a row of a report, which has the most
#define ROWS 4

// The connection: the packet that was sent, and what of it is being answered.
static struct {
	MYSQL handle;
	char *packet;
	const char *statement;
	const char *next; // NULL: this is the last one
	unsigned error;
	char message[CELL_BYTES];
	bool mariadb;
} server;

struct result {
	char **rows[ROWS];
	unsigned columns;
	size_t count;
	size_t fetched;
};

static int fail_call(void)
{
	static const unsigned short codes[] = {1205, 1213, 1290, 1142, 1146, 1047, 2013, 3024};
	uint8_t choice = take(&hostile);
	server.error = choice < 128 ? codes[choice % COUNT_OF(codes)] : 1000U + take(&hostile) * 16U + choice % 16;
	(void)take_text(server.message);
	return 1;
}

static bool is_bad_luck(void)
{
	return take(&hostile) > 252;
}

// ---- connecting ----

int STDCALL mysql_server_init(int argc, char **argv, char **groups)
{
	(void)argc;
	(void)argv;
	(void)groups;
	return 0;
}

void STDCALL mysql_thread_end(void)
{
}

MYSQL *STDCALL mysql_init(MYSQL *mysql)
{
	(void)mysql;
	memset(&server, 0, sizeof server);
	return &server.handle;
}

int STDCALL mysql_options(MYSQL *mysql, enum mysql_option option, const void *arg)
{
	(void)mysql;
	(void)option;
	(void)arg;
	return 0;
}

int mysql_options4(MYSQL *mysql, enum mysql_option option, const void *arg1, const void *arg2)
{
	(void)arg2;
	return mysql_options(mysql, option, arg1);
}

MYSQL *STDCALL mysql_real_connect(MYSQL *mysql, const char *host, const char *user, const char *passwd, const char *db,
	unsigned int port, const char *unix_socket, unsigned long clientflag)
{
	(void)host;
	(void)user;
	(void)passwd;
	(void)db;
	(void)port;
	(void)unix_socket;
	(void)clientflag;
	server.mariadb = take_bool(&hostile);
	if (is_bad_luck())
		fail_call();
	return server.error ? NULL : mysql;
}

void STDCALL mysql_close(MYSQL *sock)
{
	(void)sock;
	free(server.packet);
	server.packet = NULL;
}

my_socket STDCALL mysql_get_socket(MYSQL *mysql)
{
	(void)mysql;
	return hostile_socket();
}

unsigned long STDCALL mysql_get_server_version(MYSQL *mysql)
{
	(void)mysql;
	return is_bad_luck() ? 50000 : 100611;
}

char *STDCALL mysql_get_server_info(MYSQL *mysql)
{
	(void)mysql;
	static char mariadb[] = "10.6.11-MariaDB", other[] = "8.0.36";
	return server.mariadb ? mariadb : other;
}

unsigned long STDCALL mysql_thread_id(MYSQL *mysql)
{
	(void)mysql;
	return 7;
}

unsigned int STDCALL mysql_errno(MYSQL *mysql)
{
	(void)mysql;
	return server.error;
}

const char *STDCALL mysql_error(MYSQL *mysql)
{
	(void)mysql;
	return server.message;
}

// ---- sending ----

static bool is_of(const char *start)
{
	return strncmp(server.statement, start, strlen(start)) == 0;
}

static void begin_statement(const char *statement)
{
	server.statement = statement;
	server.next = strstr(statement, ";\n");
	server.next = server.next ? server.next + strlen(";\n") : NULL;
	bool inside = server.handle.server_status & SERVER_STATUS_IN_TRANS;
	inside = (inside || is_of("START TRANSACTION")) && !is_of("COMMIT") && !is_of("ROLLBACK");
	inside = inside && !is_bad_luck();
	server.handle.server_status = inside ? SERVER_STATUS_IN_TRANS : 0;
}

int STDCALL mysql_real_query(MYSQL *mysql, const char *q, unsigned long length)
{
	(void)mysql;
	server.error = 0;
	if (is_bad_luck())
		return fail_call();
	free(server.packet);
	server.packet = strndup(q, length);
	MUST(server.packet);
	begin_statement(server.packet);
	return 0;
}

int STDCALL mysql_query(MYSQL *mysql, const char *q)
{
	return mysql_real_query(mysql, q, strlen(q));
}

int STDCALL mysql_send_query(MYSQL *mysql, const char *q, unsigned long length)
{
	return mysql_real_query(mysql, q, length);
}

// ---- receiving ----

my_bool STDCALL mysql_read_query_result(MYSQL *mysql)
{
	(void)mysql;
	return (my_bool)(is_bad_luck() ? fail_call() : 0);
}

int STDCALL mysql_next_result(MYSQL *mysql)
{
	(void)mysql;
	if (is_bad_luck())
		return fail_call();
	if (!server.next)
		return -1;
	begin_statement(server.next);
	return 0;
}

// Memory of its size alone, so that a sanitizer sees who reads past its end.
static char **take_row(unsigned columns)
{
	static const char *const head[] = {NULL, "0", "1", "2", NULL, "3"};
	bool is_head = is_of("SELECT g.incarnation");
	uint8_t odd = is_head ? take(&hostile) : UINT8_MAX;
	char **row = calloc(columns, sizeof *row), text[CELL_BYTES];
	MUST(row);
	for (unsigned i = 0; i < columns; i++) {
		size_t size = i < COUNT_OF(head) && is_head ? take_cell_like(head[i], odd, text) : take_cell(text);
		row[i] = size == CELL_NULL ? NULL : strndup(text, size);
	}
	return row;
}

static struct result *rows(size_t count, unsigned columns)
{
	struct result *result = calloc(1, sizeof *result);
	MUST(result);
	result->columns = columns;
	result->count = count;
	for (size_t i = 0; i < count; i++)
		result->rows[i] = take_row(columns);
	return result;
}

MYSQL_RES *STDCALL mysql_store_result(MYSQL *mysql)
{
	(void)mysql;
	uint8_t choice = take(&hostile);
	bool tells = is_of("SELECT") != (choice > 252);
	server.error = 0;
	if (choice > 244 && choice <= 252)
		fail_call();
	if (server.error || !tells)
		return NULL;
	if (choice > 236)
		return (MYSQL_RES *)rows(take_below(&hostile, ROWS), 1 + take_below(&hostile, COLUMNS - 1));
	return (MYSQL_RES *)rows(is_of("SELECT g.") ? 1 : choice % ROWS, COLUMNS);
}

my_ulonglong STDCALL mysql_num_rows(MYSQL_RES *res)
{
	return ((struct result *)res)->count;
}

unsigned int STDCALL mysql_num_fields(MYSQL_RES *res)
{
	return ((struct result *)res)->columns;
}

MYSQL_ROW STDCALL mysql_fetch_row(MYSQL_RES *result)
{
	struct result *r = (struct result *)result;
	return r->fetched < r->count ? r->rows[r->fetched++] : NULL;
}

void STDCALL mysql_free_result(MYSQL_RES *result)
{
	struct result *r = (struct result *)result;
	for (size_t i = 0; r && i < r->count; i++) {
		for (unsigned column = 0; column < r->columns; column++)
			free(r->rows[i][column]);
		free(r->rows[i]);
	}
	free(r);
}

my_ulonglong STDCALL mysql_affected_rows(MYSQL *mysql)
{
	(void)mysql;
	uint8_t choice = take(&hostile);
	return choice < 240 ? 1 : choice < 248 ? choice - 240U : UINT64_MAX;
}
