// SPDX-License-Identifier: Apache-2.0
// What the files of the driver for PostgreSQL share; see postgresql.c.
#ifndef TENURE_STORE_POSTGRESQL_LINK_H
#define TENURE_STORE_POSTGRESQL_LINK_H

#include "known.h"
#include "postgresql_error.h"

#include <libpq-fe.h>

#define OPTION_TEXT_SIZE 32
// The most components whose history one exchange trims.
#define TRIM_COMPONENTS 64

// The statements of an exchange in their order, between those of a new connection.
enum statement {
	SETTINGS,
	SESSION_CREATE,
	SESSION_RENEW,
	SESSION_PUBLISH,
	SESSION_DELETE,
	ADOPT,
	MISSING,
	RELEASE,
	CHANGE,
	ASK,
	PAUSE,
	TRIM,
	REPORT,
	REPORT_CHANGED,
	REPORT_CHANGED_AND_IDLE,
	HISTORY,
	LISTEN,
	LOOK,
	STATEMENTS
};

// What depends on the timeout.
enum { TCP_USER_TIMEOUT, KEEPALIVES_IDLE, STATEMENT_TIMEOUT, LOCK_TIMEOUT, PATIENCE, TIMEOUT_TEXTS };

struct store_link {
	const struct store_config *config;
	const struct store_names *names;
	char *sql[STATEMENTS]; // with the schema
	char *names_array;
	PQconninfoOption *options; // what the user's conninfo says
	char timeouts[TIMEOUT_TEXTS][OPTION_TEXT_SIZE];
	PGconn *connection;               // NULL: not connected
	bool connecting;                  // not yet: the next exchange goes on with it
	PostgresPollingStatusType polled; // what it waits for meanwhile
	size_t waited;                    // exchanges that it took
	bool ended;                       // the server said so
	bool read_only;                   // the server, or it was when last looked
	bool pooled;                      // something in between lets several server processes answer
	bool settled;                     // an exchange went well
	bool kept[STATEMENTS];            // what the server's process has parsed for us
	bool forgetful;                   // or another one answered: there is a pooler that is not told apart at once
	bool warned;                      // of that
	uint64_t connections;
	uint32_t granted[TRIM_COMPONENTS]; // leases whose history is to be trimmed by the next exchange
	size_t granted_count;
	size_t first_host;      // where to start in a list of hosts
	size_t host_count;      // 1 where there is no list
	const char *attributes; // what libpq has to find out about a server
	struct uuid announced;  // what an announcement of our own says
	struct store_known known;
	// Of the exchange that runs.
	const struct store_call *call;
	bool wrote;  // a statement that writes was answered
	bool failed; // the answer has its outcome
	bool broken; // the connection is to be dropped
	bool reread; // another server answers than the one whose rows are known
};

// ---- postgresql_link.c: errors, and the connection ----

// The first failure of an exchange is the one that is told.
void pg_fail(struct store_link *link, struct store_answer *answer, const struct pg_error *class, const char *message);
void pg_fail_by_result(struct store_link *link, struct store_answer *answer, const PGresult *result);
// The next result as PQgetResult() gives it; false where it did not come in time.
bool pg_next_result(struct store_link *link, PGresult **ret);

bool pg_connect_server(struct store_link *link, struct store_answer *answer);
void pg_disconnect(struct store_link *link);
bool pg_is_connected(const struct store_link *link);
// So that a connection that ended while nobody looked costs a reconnection and not an exchange.
void pg_drop_if_dead(struct store_link *link);

// -EINVAL and a text where it is none.
int pg_parse_conninfo(
	const struct store_config *config, PQconninfoOption **ret, char ret_text[static EXCHANGE_TEXT_SIZE]);
size_t pg_count_hosts(const PQconninfoOption *options);
// Limits that end a statement on the server before the exchange's deadline: an answer is better than none.
void pg_set_timeouts(struct store_link *link);

// ---- postgresql_statement.c: statements, sent and answered ----

extern const char *const pg_statement_sql[STATEMENTS];

// Sends what is wanted, and takes what is answered.
bool pg_round_trip(struct store_link *link, const struct exchange_request *request, struct store_answer *answer,
	const bool wanted[static STATEMENTS]);
// What a new connection needs, once it is known whether a pooler is in between: limits, privileges, LISTEN.
bool pg_settle(struct store_link *link, struct store_answer *answer);
// With the first renewal that nobody waits for, as to connect takes long enough: has the server parse and plan the rest
// of what is sent all the time.
bool pg_keep_statements(struct store_link *link, struct store_answer *answer);

// ---- postgresql_init.c: the schema ----

int pg_init_schema(const struct store_config *config, char ret_text[static EXCHANGE_TEXT_SIZE]);
int pg_print_schema(const struct store_config *config, FILE *out);

// ---- postgresql.c ----

int pg_link_open(struct store_link **ret, const struct store_config *config, const struct store_names *names);
void pg_link_close(struct store_link *link);

#endif
