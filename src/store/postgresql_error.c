// SPDX-License-Identifier: Apache-2.0
// What an error of PostgreSQL's means for an exchange: by its SQLSTATE, and where there is none by libpq's words.
#include "postgresql_error.h"

#include <stdio.h>

#define SQLSTATE_LENGTH 5
// A password of fewer characters would be found in any text.
#define SECRET_BYTES 4

#define NO_SUCH_STATEMENT "26000"
#define STATEMENT_IS_THERE "42P05"

#define ADVICE_INIT "run tenurectl init"
#define ADVICE_GRANT "grant SELECT, INSERT, UPDATE and DELETE on the tenure tables to the daemon's user"
#define ADVICE_LOGIN "check the user and the password in the configuration, and pg_hba.conf"
#define ADVICE_PRIMARY "name the writable primary in conninfo"

// The first that fits (R7).
static const struct pg_error errors[] = {
	{"40001", EXCHANGE_BUSY, false, NULL}, // serialization failure
	{"40P01", EXCHANGE_BUSY, false, NULL}, // deadlock
	{"55P03", EXCHANGE_BUSY, false, NULL}, // lock time-out
	{"57014", EXCHANGE_BUSY, false, NULL}, // statement time-out
	{"08", EXCHANGE_UNAVAILABLE, true, NULL},
	{"53300", EXCHANGE_UNAVAILABLE, true, "raise max_connections or lower the number of clients"},
	{"57P01", EXCHANGE_UNAVAILABLE, true, NULL}, // shut down by an administrator
	{"57P02", EXCHANGE_UNAVAILABLE, true, NULL}, // crashed
	{"57P03", EXCHANGE_UNAVAILABLE, true, NULL}, // starting up
	{"57P05", EXCHANGE_UNAVAILABLE, true, NULL}, // idle_session_timeout
	{"25P03", EXCHANGE_UNAVAILABLE, true, NULL}, // idle_in_transaction_session_timeout
	{PG_READ_ONLY, EXCHANGE_DENIED, true, ADVICE_PRIMARY},
	{"55000", EXCHANGE_DENIED, true, ADVICE_PRIMARY}, // recovery began between two looks
	{NO_SUCH_STATEMENT, EXCHANGE_UNKNOWN, true, NULL},
	{STATEMENT_IS_THERE, EXCHANGE_UNKNOWN, true, NULL},
	{"42501", EXCHANGE_DENIED, false, ADVICE_GRANT},
	{"42P01", EXCHANGE_DENIED, false, ADVICE_INIT}, // no such table
	{"42703", EXCHANGE_DENIED, false, ADVICE_INIT}, // no such column
	{"3F000", EXCHANGE_DENIED, false, ADVICE_INIT}, // no such schema
	{"28", EXCHANGE_DENIED, true, ADVICE_LOGIN},
	{"3D000", EXCHANGE_DENIED, true, "create the database, or name another one in conninfo"},
	{"53100", EXCHANGE_DENIED, true, "make room on the server's disk"},
};

const struct pg_error *pg_error_classify(const char *sqlstate)
{
	static const struct pg_error other = {
		"", EXCHANGE_DENIED, true, "this was not expected: look at the server's log"};
	for (size_t i = 0; i < COUNT_OF(errors); i++)
		if (strncmp(errors[i].sqlstate, sqlstate, strlen(errors[i].sqlstate)) == 0)
			return &errors[i];
	return &other;
}

void pg_error_tidy(char *message)
{
	char *end = message;
	for (char *line = message; *line;) {
		size_t length = strcspn(line, "\n");
		bool last = line[length] == '\0';
		if (length && strncmp(line, "LOCATION:", strlen("LOCATION:")) != 0) {
			if (end != message)
				*end++ = ' ';
			memmove(end, line, length);
			end += length;
		}
		line += length + !last;
	}
	*end = '\0';
}

// The last SQLSTATE in a verbose message, "FATAL:  28P01: …"; libpq has no other way to tell it.
static void find_sqlstate(char ret[static SQLSTATE_LENGTH + 1], const char *message)
{
	ret[0] = '\0';
	for (const char *found = strstr(message, ":  "); found; found = strstr(found + 1, ":  ")) {
		const char *state = found + strlen(":  ");
		size_t length = strspn(state, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ");
		if (length == SQLSTATE_LENGTH && state[length] == ':')
			snprintf(ret, SQLSTATE_LENGTH + 1, "%.*s", SQLSTATE_LENGTH, state);
	}
	if (strstr(message, "session is read-only") || strstr(message, "server is in hot standby mode"))
		snprintf(ret, SQLSTATE_LENGTH + 1, PG_READ_ONLY);
}

bool pg_error_is_of_kept(const char *sqlstate)
{
	return strcmp(sqlstate, NO_SUCH_STATEMENT) == 0 || strcmp(sqlstate, STATEMENT_IS_THERE) == 0;
}

const struct pg_error *pg_error_of_connecting(const char *message)
{
	static const struct pg_error unreachable = {"", EXCHANGE_UNAVAILABLE, true, NULL};
	static const struct pg_error untrusted = {
		"", EXCHANGE_DENIED, true, "check sslmode and sslrootcert in conninfo, and the server's certificate"};
	char sqlstate[SQLSTATE_LENGTH + 1];
	find_sqlstate(sqlstate, message);
	if (sqlstate[0])
		return pg_error_classify(sqlstate);
	// Trying again does not help, unlike with a connection that was cut in the middle of TLS.
	const bool tls = strstr(message, "certificate") || strstr(message, "does not support SSL");
	return tls ? &untrusted : &unreachable;
}

void pg_error_hide(char *text, const char *secret)
{
	if (!secret || strlen(secret) < SECRET_BYTES)
		return;
	for (char *found = strstr(text, secret); found; found = strstr(found, secret))
		memset(found, '*', strlen(secret));
}
