// SPDX-License-Identifier: Apache-2.0
// The driver for PostgreSQL: an exchange is one round trip, each statement with its own commit (rule 13).
//
// All waiting is poll(2) here, never in libpq, so that the deadline and the store's abort are kept; only name
// resolution is out of reach. Nothing depends on the state of a server session, so a pooler may be in between.
//
// What is set after connecting are limits, statements that are parsed once, and LISTEN, which is a hint. They are set
// only where it is known that the server's process is ours alone: the one that answers is the one that greeted us. A
// pooler greets with a number of its own, or lets another process answer sooner or later, which every exchange looks
// at. A pooler that keeps one server for each client is not told apart: polling is always right.
#include "driver.h"

#include "clock.h"
#include "known.h"
#include "postgresql_error.h"
#include "postgresql_sql.h"
#include "postgresql_text.h"

#include <ctype.h>
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdlib.h>

#define SCHEMA_NAME_BYTES 63
#define MAX_OPTIONS 96
#define OPTION_TEXT_SIZE 32
#define MAX_PARAMETERS 9
// What one exchange trims: of that many components' histories that many rows each.
#define TRIM_COMPONENTS 64
#define TRIM_ROWS 1024
// To count a history is to read it: where it is longer than this, one exchange in so many does.
#define TRIM_COUNT 4096
// The most sessions whose offers are read.
#define CANDIDATE_SESSIONS 1000
#define INIT_TIMEOUT_NS (10 * NS_PER_S)
#define PATIENCE_MS 100
// So many exchanges wait for one server that has accepted a connection and is slow to greet.
#define GREETING_TIMEOUTS 5

// The statements of an exchange in their order, then those of a new connection.
enum statement {
	SESSION_CREATE,
	SESSION_RENEW,
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
	STRAYS,
	CANDIDATES,
	HISTORY,
	SETTINGS,
	LISTEN,
	LOOK,
	STATEMENTS
};

static const char *const statement_sql[STATEMENTS] = {
	[SESSION_CREATE] = sql_session_create,
	[SESSION_RENEW] = sql_session_renew,
	[SESSION_DELETE] = sql_session_delete,
	[ADOPT] = sql_adopt,
	[MISSING] = sql_missing,
	[RELEASE] = sql_release,
	[CHANGE] = sql_change,
	[TRIM] = sql_trim,
	[ASK] = sql_ask,
	[PAUSE] = sql_pause,
	[REPORT] = sql_report,
	[REPORT_CHANGED] = sql_report_changed,
	[STRAYS] = sql_strays,
	[CANDIDATES] = sql_candidates,
	[HISTORY] = sql_history,
	[SETTINGS] = sql_settings,
	[LISTEN] = sql_listen,
	[LOOK] = sql_look,
};

// The columns that the statements of an exchange start with, and all of LOOK's.
enum { SERVER, VERSION, BELIEVED, PROCESS, HEAD_COLUMNS };
// Those of a report before its rows.
enum { PAUSED = HEAD_COLUMNS, CLOCK, REPORT_COLUMNS };
// How many columns of an answer are read; 0: nothing is made of it.
static const int columns_read[STATEMENTS] = {
	[SESSION_CREATE] = HEAD_COLUMNS + 1,
	[SESSION_RENEW] = HEAD_COLUMNS + 1,
	[SESSION_DELETE] = HEAD_COLUMNS + 1,
	[ADOPT] = HEAD_COLUMNS,
	[MISSING] = HEAD_COLUMNS,
	[RELEASE] = HEAD_COLUMNS,
	[CHANGE] = HEAD_COLUMNS + 2,
	[ASK] = HEAD_COLUMNS + 1,
	[PAUSE] = HEAD_COLUMNS,
	[REPORT] = REPORT_COLUMNS + 11,
	[STRAYS] = HEAD_COLUMNS + 3,
	[CANDIDATES] = HEAD_COLUMNS + 6,
	[HISTORY] = HEAD_COLUMNS + 6,
	[LOOK] = HEAD_COLUMNS,
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
	bool keeps;                       // the server's process has our statements
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

// ---- errors ----

static const char *option_value(const PQconninfoOption *options, const char *keyword)
{
	for (; options && options->keyword; options++)
		if (strcmp(options->keyword, keyword) == 0)
			return options->val;
	return NULL;
}

// The first failure of an exchange is the one that is told.
static void fail(
	struct store_link *link, struct store_answer *answer, const struct pg_error *class, const char *message)
{
	link->broken |= class->drop;
	if (link->failed)
		return;
	link->failed = true;
	// What was answered before may have been a write.
	bool unsure = class->outcome == EXCHANGE_UNAVAILABLE && link->wrote;
	char *text = NULL;
	if (asprintf(&text, "PostgreSQL: %s%s%s", message, class->advice ? ": " : "",
		    class->advice ? class->advice : "") < 0)
		text = NULL;
	if (text) {
		pg_error_hide(text, link->config->password);
		pg_error_hide(text, option_value(link->options, "password"));
	}
	store_answer_fail(
		answer, unsure ? EXCHANGE_UNKNOWN : class->outcome, "%s", text ? text : "PostgreSQL: no memory");
	free(text);
}

static void fail_by_result(struct store_link *link, struct store_answer *answer, const PGresult *result)
{
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	static const struct pg_error lost = {"", EXCHANGE_UNKNOWN, true, NULL};
	link->read_only |= sqlstate && strcmp(sqlstate, PG_READ_ONLY) == 0;
	link->forgetful |= sqlstate && pg_error_is_of_kept(sqlstate);
	if (!sqlstate)
		fail(link, answer, &lost, "the connection was lost while the server was answering");
	else
		fail(link, answer, pg_error_classify(sqlstate), message ? message : sqlstate);
}

// ---- waiting ----

// False where the deadline passed or the exchange is given up.
static bool wait_for(struct store_link *link, int events)
{
	struct pollfd fds[] = {
		{.fd = PQsocket(link->connection), .events = (short)events},
		{.fd = link->call->abort_fd, .events = POLLIN},
	};
	for (;;) {
		int ready = poll(fds, COUNT_OF(fds), store_milliseconds_left(link->call->deadline_at));
		if (ready < 0 && errno == EINTR)
			continue;
		return ready > 0 && !fds[1].revents;
	}
}

// The next result as PQgetResult() gives it; false where it did not come in time.
static bool next_result(struct store_link *link, PGresult **ret)
{
	PGconn *connection = link->connection;
	while (PQisBusy(connection)) {
		int unsent = PQflush(connection);
		if (!wait_for(link, unsent > 0 ? POLLIN | POLLOUT : POLLIN))
			return false;
		if (!PQconsumeInput(connection))
			break; // what came before the end is still to be had
	}
	*ret = PQgetResult(connection);
	return true;
}

// ---- connecting ----

static void disconnect(struct store_link *link)
{
	PQfinish(link->connection);
	link->connection = NULL;
	link->connecting = false;
	link->ended = false;
	link->pooled = false;
	link->settled = false;
	link->keeps = false;
}

// What the server says unasked; its last words to a connection that nobody uses come this way, too.
static void take_notice(void *argument, const PGresult *result)
{
	struct store_link *link = argument;
	const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
	link->ended |= severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0);
}

static const char *const rotated_keywords[] = {"host", "hostaddr", "port"};

struct parameters {
	const char *keyword[MAX_OPTIONS + 1];
	const char *value[MAX_OPTIONS + 1];
	size_t count;
	char *rotated[COUNT_OF(rotated_keywords)];
};

static void parameter(struct parameters *parameters, const char *keyword, const char *value)
{
	if (!value || parameters->count == MAX_OPTIONS)
		return;
	parameters->keyword[parameters->count] = keyword;
	parameters->value[parameters->count++] = value;
}

// A later one replaces an earlier one: our defaults, what the user says, what safety asks for.
static void collect(struct store_link *link, struct parameters *parameters)
{
	*parameters = (struct parameters){.count = 0};
	parameter(parameters, "gssencmode", "disable"); // or keytabs are opened
	parameter(parameters, "fallback_application_name", "tenured");
	parameter(parameters, "client_encoding", "UTF8");
	parameter(parameters, "tcp_user_timeout", link->timeouts[TCP_USER_TIMEOUT]);
	parameter(parameters, "keepalives_idle", link->timeouts[KEEPALIVES_IDLE]);
	parameter(parameters, "keepalives_interval", "1");
	parameter(parameters, "keepalives_count", "3");
	for (const PQconninfoOption *option = link->options; option->keyword; option++)
		parameter(parameters, option->keyword, option->val);
	for (size_t i = 0; i < COUNT_OF(rotated_keywords); i++) {
		const char *list = option_value(link->options, rotated_keywords[i]);
		parameters->rotated[i] = list ? pg_rotate(list, link->first_host) : NULL;
		parameter(parameters, rotated_keywords[i], parameters->rotated[i]);
	}
	parameter(parameters, "password", link->config->password);
	parameter(parameters, "target_session_attrs", link->attributes);
}

static void fail_connecting(struct store_link *link, struct store_answer *answer)
{
	const struct pg_error *class = pg_error_of_connecting(PQerrorMessage(link->connection));
	char *message = strdup(PQerrorMessage(link->connection));
	if (message)
		pg_error_tidy(message);
	fail(link, answer, class, message ? message : "no connection");
	free(message);
}

// What waits goes on in the next exchange.
static const struct pg_error slow = {"", EXCHANGE_UNAVAILABLE, false, NULL};

// Begun anew each time, a server that takes longer than the timeout to start a process would never be reached, and be
// given more of them to start. Where there are others, they are tried.
static void fail_in_time(struct store_link *link, struct store_answer *answer)
{
	static const struct pg_error silent = {"", EXCHANGE_UNAVAILABLE, true, NULL};
	bool accepted = PQstatus(link->connection) != CONNECTION_STARTED;
	link->connecting = accepted && link->host_count == 1 && ++link->waited < GREETING_TIMEOUTS;
	if (!link->connecting)
		link->first_host++;
	fail(link, answer, link->connecting ? &slow : &silent, "no connection within the timeout");
}

static bool await_connection(struct store_link *link, struct store_answer *answer)
{
	while (link->polled == PGRES_POLLING_READING || link->polled == PGRES_POLLING_WRITING) {
		if (!wait_for(link, link->polled == PGRES_POLLING_READING ? POLLIN : POLLOUT)) {
			fail_in_time(link, answer);
			return false;
		}
		link->polled = PQconnectPoll(link->connection);
	}
	link->connecting = false;
	if (link->polled != PGRES_POLLING_OK) {
		fail_connecting(link, answer);
		return false;
	}
	// The first questions take a new process a while as well, and have the next exchange for it.
	if (link->waited == 0 || link->call->deadline_at - clock_now_ns() > link->config->timeout_ns / 2)
		return true;
	link->connecting = true;
	fail(link, answer, &slow, "connecting took the whole timeout");
	return false;
}

static bool start_connecting(struct store_link *link, struct store_answer *answer)
{
	static const struct pg_error no_memory = {"", EXCHANGE_UNAVAILABLE, true, NULL};
	struct parameters parameters;
	collect(link, &parameters);
	link->connection = PQconnectStartParams(parameters.keyword, parameters.value, 0);
	for (size_t i = 0; i < COUNT_OF(rotated_keywords); i++)
		free(parameters.rotated[i]);
	if (!link->connection) {
		fail(link, answer, &no_memory, "no memory for a connection");
		return false;
	}
	PQsetNoticeReceiver(link->connection, take_notice, link);
	PQsetErrorVerbosity(link->connection, PQERRORS_VERBOSE);
	if (PQstatus(link->connection) == CONNECTION_BAD) {
		fail_connecting(link, answer);
		return false;
	}
	link->polled = PGRES_POLLING_WRITING;
	link->waited = 0;
	return true;
}

static bool connect_server(struct store_link *link, struct store_answer *answer)
{
	if (!link->connecting && !start_connecting(link, answer))
		return false;
	if (!await_connection(link, answer))
		return false;
	PQsetnonblocking(link->connection, 1);
	link->connections++;
	return true;
}

// ---- sending ----

// What a hand-over waits for, and what is sent all the time, is parsed once for a connection.
static const enum statement kept[] = {SESSION_RENEW, RELEASE, CHANGE, REPORT_CHANGED};

static bool kept_name(const struct store_link *link, enum statement which, char ret[static OPTION_TEXT_SIZE])
{
	for (size_t i = 0; link->keeps && !link->pooled && i < COUNT_OF(kept); i++)
		if (kept[i] == which) {
			snprintf(ret, OPTION_TEXT_SIZE, "tenured_%d", (int)which);
			return true;
		}
	return false;
}

static bool send_statement(struct store_link *link, enum statement which, int count, const char *const *values)
{
	char name[OPTION_TEXT_SIZE];
	if (kept_name(link, which, name))
		return PQsendQueryPrepared(link->connection, name, count, values, NULL, NULL, 0);
	return PQsendQueryParams(link->connection, link->sql[which], count, NULL, values, NULL, NULL, 0);
}

static void put_number(char ret[static OPTION_TEXT_SIZE], int64_t number)
{
	snprintf(ret, OPTION_TEXT_SIZE, "%lld", (long long)number);
}

static bool send_number(struct store_link *link, enum statement which, int64_t number)
{
	char text[OPTION_TEXT_SIZE];
	put_number(text, number);
	const char *value = text;
	return send_statement(link, which, 1, &value);
}

static bool send_session(struct store_link *link, const struct exchange_request *request, enum statement which)
{
	char id[UUID_TEXT_SIZE], lease_ms[OPTION_TEXT_SIZE];
	static const int counts[] = {[SESSION_CREATE] = 4, [SESSION_RENEW] = 2, [SESSION_DELETE] = 1};
	bool publish = which == SESSION_CREATE || (which == SESSION_RENEW && request->publish);
	char *offers = publish ? store_offers_text(request, link->names) : NULL;
	uuid_format(&request->session, id);
	put_number(lease_ms, request->lease_ms);
	const char *values[] = {id, offers, link->config->node, lease_ms};
	bool sent = (offers || !publish) && send_statement(link, which, counts[which], values);
	free(offers);
	return sent;
}

// `first` are the parameters before the arrays.
static bool send_arrays(struct store_link *link, const struct exchange_request *request, enum statement which,
	const char *const *first, size_t first_count, const enum pg_array *arrays, size_t array_count)
{
	const char *values[MAX_PARAMETERS];
	char *texts[MAX_PARAMETERS] = {NULL};
	bool sent = true;
	for (size_t i = 0; i < first_count; i++)
		values[i] = first[i];
	for (size_t i = 0; i < array_count; i++) {
		texts[i] = pg_array_text(arrays[i], request, link->names);
		values[first_count + i] = texts[i];
		sent &= texts[i] != NULL;
	}
	sent = sent && send_statement(link, which, (int)(first_count + array_count), values);
	for (size_t i = 0; i < array_count; i++)
		free(texts[i]);
	return sent;
}

static bool send_adopt(struct store_link *link, const struct exchange_request *request)
{
	char highest[OPTION_TEXT_SIZE], leap[OPTION_TEXT_SIZE];
	put_number(highest, (int64_t)request->highest_term);
	put_number(leap, (int64_t)request->leap);
	const char *values[] = {request->incarnation.text, highest, leap};
	return send_statement(link, ADOPT, COUNT_OF(values), values);
}

static bool send_missing(struct store_link *link, const struct exchange_request *request)
{
	static const enum pg_array arrays[] = {PG_CLAIM_NAMES, PG_CLAIM_MISSING};
	return send_arrays(link, request, MISSING, NULL, 0, arrays, COUNT_OF(arrays));
}

static bool send_release(struct store_link *link, const struct exchange_request *request)
{
	static const enum pg_array arrays[] = {PG_RELEASE_NAMES, PG_RELEASE_TERMS, PG_RELEASE_REASONS};
	char id[UUID_TEXT_SIZE];
	uuid_format(&request->session, id);
	const char *first[] = {id};
	return send_arrays(link, request, RELEASE, first, COUNT_OF(first), arrays, COUNT_OF(arrays));
}

static bool send_change(struct store_link *link, const struct exchange_request *request)
{
	static const enum pg_array arrays[] = {
		PG_CLAIM_NAMES,
		PG_CLAIM_HOLDERS,
		PG_CLAIM_SEQS,
		PG_CLAIM_TERMS,
		PG_SWEEP_SESSIONS,
		PG_SWEEP_SEQS,
	};
	char id[UUID_TEXT_SIZE], count[OPTION_TEXT_SIZE];
	uuid_format(&request->session, id);
	put_number(count, link->config->history_count);
	const char *first[] = {id, request->incarnation.text, count};
	return send_arrays(link, request, CHANGE, first, COUNT_OF(first), arrays, COUNT_OF(arrays));
}

static bool send_trim(struct store_link *link)
{
	char count[OPTION_TEXT_SIZE], milliseconds[OPTION_TEXT_SIZE], most[OPTION_TEXT_SIZE];
	char *names = pg_names_text(link->granted, link->granted_count, link->names);
	// Once: what stays is found after the next claim, and nobody is to be held up again and again.
	link->granted_count = 0;
	put_number(count, link->config->history_count);
	put_number(milliseconds, link->config->history_ms);
	put_number(most, TRIM_ROWS);
	const char *values[] = {count, milliseconds, most, names};
	bool sent = names && send_statement(link, TRIM, COUNT_OF(values), values);
	free(names);
	return sent;
}

static bool send_ask(struct store_link *link, const struct exchange_request *request)
{
	static const struct exchange_ask nothing; // no lease has this term and a session
	const struct exchange_ask *ask = request->ask ? request->ask : &nothing;
	const char *name = request->ask ? link->names->name[ask->lease] : "";
	char id[UUID_TEXT_SIZE], term[OPTION_TEXT_SIZE], target[UUID_TEXT_SIZE], cooldown_ms[OPTION_TEXT_SIZE];
	uuid_format(&request->session, id);
	uuid_format(&ask->target, target);
	put_number(term, (int64_t)ask->term);
	put_number(cooldown_ms, ask->cooldown_ms);
	const char *values[] = {id, name, term, uuid_is_none(&ask->target) ? NULL : target, cooldown_ms};
	return send_statement(link, ASK, COUNT_OF(values), values);
}

static bool send_pause(struct store_link *link, const struct exchange_request *request)
{
	char id[UUID_TEXT_SIZE];
	uuid_format(&request->session, id);
	const char *values[] = {
		id, request->pause == EXCHANGE_PAUSE_SET ? link->config->node : "", link->timeouts[PATIENCE]};
	return send_statement(link, PAUSE, COUNT_OF(values), values);
}

static bool send_history(struct store_link *link, const struct exchange_request *request)
{
	char name[NAME_BYTES + sizeof "{\"\"}"] = "", count[OPTION_TEXT_SIZE];
	bool every = request->history_lease == EXCHANGE_EVERY_LEASE;
	if (!every)
		snprintf(name, sizeof name, "{\"%s\"}", link->names->name[request->history_lease]);
	put_number(count, request->history_count);
	const char *values[] = {every ? link->names_array : name, count};
	return send_statement(link, HISTORY, COUNT_OF(values), values);
}

static bool send_report(struct store_link *link, const struct exchange_request *request)
{
	char since[OPTION_TEXT_SIZE];
	int64_t since_us = 0;
	if (request->report)
		store_known_begin(&link->known, request->lease_ms, link->connections, &since_us);
	if (!since_us) {
		const char *value = request->report ? link->names_array : "{}";
		return send_statement(link, REPORT, 1, &value);
	}
	put_number(since, since_us);
	char *holders = pg_holders_text(&link->known);
	const char *values[] = {since, holders};
	bool sent = holders && send_statement(link, REPORT_CHANGED, COUNT_OF(values), values);
	free(holders);
	return sent;
}

static bool send_one(struct store_link *link, const struct exchange_request *request, enum statement which)
{
	switch (which) {
	case SESSION_CREATE:
	case SESSION_RENEW:
	case SESSION_DELETE:
		return send_session(link, request, which);
	case ADOPT:
		return send_adopt(link, request);
	case MISSING:
		return send_missing(link, request);
	case RELEASE:
		return send_release(link, request);
	case CHANGE:
		return send_change(link, request);
	case TRIM:
		return send_trim(link);
	case ASK:
		return send_ask(link, request);
	case PAUSE:
		return send_pause(link, request);
	case REPORT:
		return send_report(link, request);
	case STRAYS:
		return send_number(link, which, EXCHANGE_STRAYS);
	case CANDIDATES:
		return send_number(link, which, CANDIDATE_SESSIONS);
	case HISTORY:
		return send_history(link, request);
	case SETTINGS: {
		const char *values[] = {link->timeouts[STATEMENT_TIMEOUT], link->timeouts[LOCK_TIMEOUT]};
		return send_statement(link, which, COUNT_OF(values), values);
	}
	case LISTEN:
	case LOOK:
	case REPORT_CHANGED:
	case STATEMENTS:
	default:
		return send_statement(link, which, 0, NULL);
	}
}

// ---- receiving ----

static int64_t number_at(const PGresult *result, int row, int column)
{
	return strtoll(PQgetvalue(result, row, column), NULL, 10);
}

static struct uuid uuid_at(const PGresult *result, int row, int column)
{
	struct uuid id;
	return uuid_parse(PQgetvalue(result, row, column), &id) < 0 ? (struct uuid){0} : id;
}

static void text_at(const PGresult *result, int row, int column, char *ret, size_t size)
{
	snprintf(ret, size, "%s", PQgetvalue(result, row, column));
}

static void take_incarnation(const PGresult *result, int column, struct incarnation *ret)
{
	text_at(result, 0, column, ret->text, sizeof ret->text);
}

// These are false where this server is not to be used.
static bool take_server(struct store_link *link, struct store_answer *answer, const PGresult *result)
{
	static const struct pg_error other_server = {"", EXCHANGE_UNKNOWN, true, NULL};
	struct exchange_reply *reply = answer->reply;
	struct incarnation server;
	char message[EXCHANGE_TEXT_SIZE];
	take_incarnation(result, SERVER, &server);
	if (!server.text[0]) {
		link->read_only = true;
		snprintf(message, sizeof message, "the server at %s, port %s, is read-only", PQhost(link->connection),
			PQport(link->connection));
		fail(link, answer, pg_error_classify(PG_READ_ONLY), message);
		return false;
	}
	if (reply->server.text[0] && !incarnation_equal(&reply->server, &server)) {
		fail(link, answer, &other_server, "the server changed during an exchange");
		return false;
	}
	reply->server = server;
	return true;
}

static void take_process(struct store_link *link, const PGresult *result)
{
	link->pooled |= number_at(result, 0, PROCESS) != PQbackendPID(link->connection);
	link->forgetful |= link->pooled && link->keeps;
}

static bool take_head(struct store_link *link, struct store_answer *answer, const PGresult *result)
{
	static const struct pg_error bad_version = {"", EXCHANGE_DENIED, true, NULL};
	char message[EXCHANGE_TEXT_SIZE];
	take_process(link, result);
	if (!take_server(link, answer, result))
		return false;
	take_incarnation(result, BELIEVED, &answer->reply->believed);
	int64_t version = number_at(result, 0, VERSION);
	if (version == SCHEMA_VERSION)
		return true;
	snprintf(message, sizeof message, "schema version %lld found, %d needed: run %s", (long long)version,
		SCHEMA_VERSION, version < SCHEMA_VERSION ? "tenurectl init" : "the tenured that goes with it");
	fail(link, answer, &bad_version, message);
	return false;
}

static void take_session(struct store_answer *answer, const PGresult *result)
{
	answer->reply->session_alive = number_at(result, 0, HEAD_COLUMNS) == 1;
}

// Their histories have grown. Trimming is left to the next exchange, since nobody waits for it then; of too many it is
// done for some, of a history that is too long to be counted every time now and then.
static void remember_grants(struct store_link *link, const struct exchange_reply *reply)
{
	uint64_t lot = (uint64_t)(clock_now_ns() / NS_PER_US);
	uint64_t lots = 1 + (uint64_t)link->config->history_count / TRIM_COUNT;
	if (reply->grant_count == 0 || lot % lots != 0)
		return;
	size_t count = reply->grant_count < TRIM_COMPONENTS ? reply->grant_count : TRIM_COMPONENTS;
	size_t first = (lot / lots) % (reply->grant_count - count + 1);
	for (size_t i = 0; i < count; i++)
		link->granted[i] = reply->grants[first + i].lease;
	link->granted_count = count;
}

static void take_grants(struct store_link *link, const struct exchange_request *request, struct store_answer *answer,
	const PGresult *result)
{
	enum { NR = HEAD_COLUMNS, TERM };
	struct exchange_reply *reply = answer->reply;
	for (int i = 0; i < PQntuples(result); i++) {
		size_t nr = (size_t)number_at(result, i, NR);
		if (nr < 1 || nr > request->claim_count || reply->grant_count == request->claim_count)
			continue; // no grant: the one row that is always there
		answer->grants[reply->grant_count++] = (struct exchange_grant){
			.lease = request->claims[nr - 1].lease,
			.term = (uint64_t)number_at(result, i, TERM),
		};
	}
	remember_grants(link, reply);
}

static bool take_row(struct store_link *link, const PGresult *result, int i)
{
	enum { COMPONENT = REPORT_COLUMNS, HOLDER, NODE, TERM, SEQ, LEASE_MS, AGE, ACQUIRED, ASKED, TARGET, COOLDOWN };
	struct exchange_row row = {.exists = true};
	struct store_holder holder = {
		.id = uuid_at(result, i, HOLDER),
		.alive = !PQgetisnull(result, i, SEQ),
		.seq = number_at(result, i, SEQ),
		.lease_ms = number_at(result, i, LEASE_MS),
		.age_us = number_at(result, i, AGE),
	};
	if (PQgetisnull(result, i, COMPONENT)) // a session that holds some, or the one row that is always there
		return uuid_is_none(&holder.id) || store_known_hold(&link->known, &holder);
	if (!store_known_find(&link->known, PQgetvalue(result, i, COMPONENT), &row.lease))
		return true;
	text_at(result, i, NODE, row.node, sizeof row.node);
	row.term = (uint64_t)number_at(result, i, TERM);
	row.since_ms = number_at(result, i, ACQUIRED);
	row.asked = *PQgetvalue(result, i, ASKED) == 't';
	row.target = uuid_at(result, i, TARGET);
	row.cooldown_ms = number_at(result, i, COOLDOWN);
	return store_known_take(&link->known, &row, uuid_is_none(&holder.id) ? NULL : &holder);
}

static void take_report(struct store_link *link, const struct exchange_request *request, struct store_answer *answer,
	const PGresult *result)
{
	static const struct pg_error no_memory = {"", EXCHANGE_UNAVAILABLE, false, NULL};
	if (!request->report)
		return;
	text_at(result, 0, PAUSED, answer->reply->paused, sizeof answer->reply->paused);
	for (int i = 0; i < PQntuples(result); i++)
		if (!take_row(link, result, i)) {
			fail(link, answer, &no_memory, "no memory for the rows");
			return;
		}
	link->reread = !store_known_answer(&link->known, answer, number_at(result, 0, CLOCK));
}

static void take_strays(struct store_answer *answer, const PGresult *result)
{
	enum { ID = HEAD_COLUMNS, SEQ, LEASE_MS };
	struct exchange_reply *reply = answer->reply;
	for (int i = 0; i < PQntuples(result) && reply->stray_count < EXCHANGE_STRAYS; i++)
		if (!PQgetisnull(result, i, ID))
			reply->strays[reply->stray_count++] = (struct exchange_stray){
				.session = uuid_at(result, i, ID),
				.seq = number_at(result, i, SEQ),
				.lease_ms = number_at(result, i, LEASE_MS),
			};
}

static void take_candidates(struct store_link *link, struct store_answer *answer, const PGresult *result)
{
	enum { ID = HEAD_COLUMNS, SEQ, LEASE_MS, AGE, NODE, OFFERS };
	static const struct pg_error no_memory = {"", EXCHANGE_UNAVAILABLE, false, NULL};
	for (int i = 0; i < PQntuples(result); i++) {
		struct exchange_candidate session = {
			.session = uuid_at(result, i, ID),
			.seq = number_at(result, i, SEQ),
			.lease_ms = number_at(result, i, LEASE_MS),
			.age_us = number_at(result, i, AGE),
		};
		text_at(result, i, NODE, session.node, sizeof session.node);
		if (!store_take_offers(answer, link->names, &session, PQgetvalue(result, i, OFFERS))) {
			fail(link, answer, &no_memory, "no memory for the candidates");
			return;
		}
	}
}

static void take_history(struct store_link *link, const struct exchange_request *request, struct store_answer *answer,
	const PGresult *result)
{
	enum { NR = HEAD_COLUMNS, TERM, NODE, FROM, TO, REASON };
	struct exchange_reply *reply = answer->reply;
	bool every = request->history_lease == EXCHANGE_EVERY_LEASE;
	for (int i = 0; i < PQntuples(result) && reply->past_count < request->history_count; i++) {
		size_t nr = (size_t)number_at(result, i, NR);
		if (nr < 1 || nr > link->names->count)
			continue; // the one row that is always there
		struct exchange_past *past = &answer->past[reply->past_count++];
		*past = (struct exchange_past){
			.lease = every ? (uint32_t)(nr - 1) : request->history_lease,
			.term = (uint64_t)number_at(result, i, TERM),
			.from_ms = number_at(result, i, FROM),
			.to_ms = number_at(result, i, TO),
		};
		text_at(result, i, NODE, past->node, sizeof past->node);
		text_at(result, i, REASON, past->reason, sizeof past->reason);
	}
}

static void take_result(struct store_link *link, const struct exchange_request *request, struct store_answer *answer,
	enum statement which, const PGresult *result)
{
	static const struct pg_error confused = {"", EXCHANGE_UNKNOWN, true, NULL};
	if (columns_read[which] == 0)
		return;
	if (PQntuples(result) == 0 || PQnfields(result) < columns_read[which]) {
		fail(link, answer, &confused, "the server answered something else than was asked");
		return;
	}
	if (which == LOOK) {
		take_process(link, result);
		(void)take_server(link, answer, result);
		return;
	}
	if (!take_head(link, answer, result))
		return;
	link->wrote |= which < REPORT;
	if (which <= SESSION_DELETE)
		take_session(answer, result);
	else if (which == CHANGE)
		take_grants(link, request, answer, result);
	else if (which == ASK)
		answer->reply->asked = number_at(result, 0, HEAD_COLUMNS) == 1;
	else if (which == REPORT)
		take_report(link, request, answer, result);
	else if (which == STRAYS)
		take_strays(answer, result);
	else if (which == CANDIDATES)
		take_candidates(link, answer, result);
	else if (which == HISTORY)
		take_history(link, request, answer, result);
}

// Everything of a statement, and the sync that ends its transaction. Unless the connection is broken, the next
// statement can be read then.
static void receive_statement(struct store_link *link, const struct exchange_request *request,
	struct store_answer *answer, enum statement which, bool commits)
{
	static const struct pg_error late = {"", EXCHANGE_UNKNOWN, true, NULL};
	for (;;) {
		PGresult *result = NULL;
		if (!next_result(link, &result)) {
			fail(link, answer, &late, "no answer within the timeout");
			return;
		}
		ExecStatusType status = PQresultStatus(result);
		if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
			take_result(link, request, answer, which, result);
		else if (result && status != PGRES_PIPELINE_SYNC && status != PGRES_PIPELINE_ABORTED)
			fail_by_result(link, answer, result);
		PQclear(result);
		if (!result && PQstatus(link->connection) == CONNECTION_BAD)
			fail(link, answer, &late, "the connection was lost");
		if (status == PGRES_PIPELINE_SYNC || (!result && !commits) || link->broken)
			return;
	}
}

// ---- the exchange ----

// A change is one transaction; of everything else each statement is.
static bool commits(enum statement which, const bool wanted[static STATEMENTS])
{
	return which != RELEASE || !wanted[CHANGE];
}

static bool round_trip(struct store_link *link, const struct exchange_request *request, struct store_answer *answer,
	const bool wanted[static STATEMENTS])
{
	static const struct pg_error unsent = {"", EXCHANGE_UNAVAILABLE, true, NULL};
	static const struct pg_error partly_sent = {"", EXCHANGE_UNKNOWN, true, NULL};
	bool any = false;
	for (enum statement which = 0; which < STATEMENTS; which++) {
		if (!wanted[which])
			continue;
		bool sent =
			send_one(link, request, which) && (!commits(which, wanted) || PQpipelineSync(link->connection));
		if (!sent) {
			fail(link, answer, any ? &partly_sent : &unsent, "the connection was lost");
			return false;
		}
		any = true;
	}
	for (enum statement which = 0; which < STATEMENTS && !link->broken; which++)
		if (wanted[which])
			receive_statement(link, request, answer, which, commits(which, wanted));
	return !link->failed;
}

// With the first renewal that nobody waits for: to connect takes long enough, and so does a look at what was announced.
static bool keep_statements(struct store_link *link, struct store_answer *answer)
{
	static const struct pg_error unsent = {"", EXCHANGE_UNAVAILABLE, true, NULL};
	static const struct exchange_request nothing;
	const struct exchange_request *request = link->call->request;
	bool awaited = request->session_op != EXCHANGE_SESSION_RENEW || request->claim_count || request->release_count;
	if (link->keeps || link->pooled || link->forgetful || !link->settled || awaited)
		return true;
	char name[OPTION_TEXT_SIZE];
	bool sent = link->keeps = true;
	for (size_t i = 0; i < COUNT_OF(kept); i++)
		sent = sent && kept_name(link, kept[i], name) &&
		       PQsendPrepare(link->connection, name, link->sql[kept[i]], 0, NULL);
	if (!sent || !PQpipelineSync(link->connection)) {
		fail(link, answer, &unsent, "the connection was lost");
		return false;
	}
	// Nothing is made of their answers, as of those of LISTEN.
	for (size_t i = 0; i < COUNT_OF(kept) && !link->broken; i++)
		receive_statement(link, &nothing, answer, LISTEN, i + 1 == COUNT_OF(kept));
	link->broken |= link->failed; // some may be there
	return !link->failed;
}

// The look comes first: a read-only server is not asked for more, which would be an error in its log (R16).
static bool try_server(struct store_link *link, struct store_answer *answer)
{
	// An empty change and ask tell whether the privileges are there, before they are needed (W23), and have the
	// server load what it needs for one, which takes longer than the change itself.
	static const bool look[STATEMENTS] = {[LOOK] = true};
	static const bool settle[STATEMENTS] = {
		[CHANGE] = true, [TRIM] = true, [ASK] = true, [SETTINGS] = true, [LISTEN] = true};
	static const bool settle_pooled[STATEMENTS] = {[CHANGE] = true, [TRIM] = true, [ASK] = true};
	static const struct exchange_request nothing;
	static const struct pg_error no_pipeline = {"", EXCHANGE_UNAVAILABLE, true, NULL};
	link->read_only = false;
	if (!connect_server(link, answer))
		return false;
	if (!PQenterPipelineMode(link->connection)) {
		fail(link, answer, &no_pipeline, "the connection was lost");
		return false;
	}
	return round_trip(link, &nothing, answer, look) &&
	       round_trip(link, &nothing, answer, link->pooled ? settle_pooled : settle);
}

// For the next host, with what it answered.
static void leave_server(struct store_link *link, struct store_answer *answer)
{
	struct exchange_reply *reply = answer->reply;
	disconnect(link);
	link->first_host++;
	link->read_only = false;
	link->failed = false;
	link->broken = false;
	reply->text[0] = '\0';
	reply->server.text[0] = '\0';
	reply->grant_count = 0;
	reply->stray_count = 0;
	reply->candidate_count = 0;
	reply->past_count = 0;
}

// W25. libpq's target_session_attrs would ask a pooler, which may answer with what its server once was.
static bool connect_and_look(struct store_link *link, struct store_answer *answer)
{
	bool found = try_server(link, answer);
	for (size_t tried = 1; !found && link->read_only && tried < link->host_count; tried++) {
		leave_server(link, answer);
		found = try_server(link, answer);
	}
	if (found) {
		link->wrote = false;
		return true;
	}
	// Nothing of the exchange was sent.
	if (answer->reply->outcome == EXCHANGE_UNKNOWN)
		answer->reply->outcome = EXCHANGE_UNAVAILABLE;
	link->broken = !link->connecting;
	return false;
}

static bool is_connected(const struct store_link *link)
{
	return link->connection && !link->connecting;
}

// The last moment to leave it.
static bool is_in_time(struct store_link *link, struct store_answer *answer)
{
	static const struct pg_error late = {"", EXCHANGE_UNAVAILABLE, false, NULL};
	struct pollfd abort = {.fd = link->call->abort_fd, .events = POLLIN};
	if (poll(&abort, 1, 0) == 0 && clock_now_ns() < link->call->deadline_at)
		return true;
	fail(link, answer, &late, "connecting took the whole timeout");
	return false;
}

// So that a connection that ended while nobody looked costs a reconnection and not an exchange.
static void drop_if_dead(struct store_link *link)
{
	if (!is_connected(link))
		return;
	bool alive = true;
	struct pollfd input = {.fd = PQsocket(link->connection), .events = POLLIN};
	// Last words are read before the end is.
	while (alive && poll(&input, 1, 0) > 0)
		alive = PQconsumeInput(link->connection);
	// PQisBusy() parses what was read.
	if (!alive || PQisBusy(link->connection) || link->ended)
		disconnect(link);
}

static void choose(
	const struct store_link *link, const struct exchange_request *request, bool ret_wanted[static STATEMENTS])
{
	ret_wanted[SESSION_CREATE] = request->session_op == EXCHANGE_SESSION_CREATE;
	ret_wanted[SESSION_RENEW] = request->session_op == EXCHANGE_SESSION_RENEW;
	ret_wanted[SESSION_DELETE] = request->session_op == EXCHANGE_SESSION_DELETE;
	ret_wanted[ADOPT] = request->adopt;
	for (size_t i = 0; i < request->claim_count; i++)
		ret_wanted[MISSING] |= request->claims[i].missing;
	ret_wanted[RELEASE] = request->release_count;
	ret_wanted[CHANGE] = request->claim_count || request->sweep_count;
	ret_wanted[TRIM] = link->granted_count > 0;
	ret_wanted[ASK] = request->ask;
	ret_wanted[PAUSE] = request->pause != EXCHANGE_PAUSE_LEAVE;
	// The last statement has to look at the incarnation, and at the one that is believed by then.
	bool looks = false;
	for (enum statement which = 0; which < REPORT; which++)
		looks = ret_wanted[which] ? which != ADOPT && which != TRIM : looks;
	ret_wanted[REPORT] = request->report || !looks;
	ret_wanted[STRAYS] = request->strays;
	ret_wanted[CANDIDATES] = request->candidates;
	ret_wanted[HISTORY] = request->history_count > 0;
}

static void warn_of_pooler(struct store_link *link, struct store_answer *answer)
{
	if (!link->pooled || link->warned)
		return;
	link->warned = true;
	store_text(answer->reply->text,
		"PostgreSQL: a pooler is in between, through which LISTEN is of no use: polling "
		"instead, so that a hand-over takes up to a poll: for faster ones name the "
		"server itself in conninfo");
}

static bool carry_out(struct store_link *link, struct store_answer *answer, const bool wanted[static STATEMENTS])
{
	return (is_connected(link) || connect_and_look(link, answer)) && keep_statements(link, answer) &&
	       is_in_time(link, answer) && round_trip(link, link->call->request, answer, wanted);
}

static void postgresql_exchange(struct store_link *link, const struct store_call *call, struct store_answer *answer)
{
	static const bool report[STATEMENTS] = {[REPORT] = true};
	bool wanted[STATEMENTS] = {false};
	link->call = call;
	link->reread = false;
	link->wrote = false;
	link->failed = false;
	link->broken = false;
	link->read_only = false;
	link->announced = call->request->session;
	choose(link, call->request, wanted);
	drop_if_dead(link);
	bool connected = is_connected(link);
	bool done = carry_out(link, answer, wanted);
	if (done && link->reread)
		done = round_trip(link, call->request, answer, report);
	// Nothing of it was executed: another server may take it at once.
	if (!done && connected && link->read_only && !link->wrote) {
		leave_server(link, answer);
		done = carry_out(link, answer, wanted);
	}
	if (done) {
		link->settled = true;
		answer->reply->outcome = EXCHANGE_OK;
		answer->reply->connection = link->connections;
		answer->reply->deaf = link->pooled;
		warn_of_pooler(link, answer);
	}
	if (link->broken)
		disconnect(link);
	link->call = NULL;
}

// ---- hints ----

static int postgresql_hint_fd(struct store_link *link)
{
	return is_connected(link) ? PQsocket(link->connection) : -1;
}

// Whether somebody else says that, of a lease that we follow or of any.
static bool concerns(const struct store_link *link, const char *announced, const char *own)
{
	const char *name = strchr(announced, ' ');
	if (strncmp(announced, own, strlen(own)) == 0)
		return false;
	if (!name)
		return true;
	for (uint32_t lease; name; name = strchr(name, ' ')) {
		char text[NAME_BYTES + 1];
		size_t size = strcspn(++name, " ");
		snprintf(text, sizeof text, "%.*s", (int)(size < sizeof text ? size : sizeof text), name);
		if (store_known_find(&link->known, text, &lease))
			return true;
	}
	return false;
}

static bool postgresql_take_hint(struct store_link *link)
{
	drop_if_dead(link);
	if (!is_connected(link))
		return true;
	char own[UUID_TEXT_SIZE];
	uuid_format(&link->announced, own);
	bool hint = false;
	for (PGnotify *notice = PQnotifies(link->connection); notice; notice = PQnotifies(link->connection)) {
		hint |= concerns(link, notice->extra, own);
		PQfreemem(notice);
	}
	return hint;
}

// ---- opening and closing ----

static bool is_given(const char *text)
{
	return text && text[0];
}

static int check_options(const PQconninfoOption *options, char ret_text[static EXCHANGE_TEXT_SIZE])
{
	static const char *const keywords[] = {"host", "hostaddr"};
	for (size_t i = 0; i < COUNT_OF(keywords); i++) {
		const char *host = option_value(options, keywords[i]);
		// The rest of a password in a URI would be a host's name, and be told when it cannot be reached.
		if (host && strchr(host[0] == '@' ? host + 1 : host, '@')) {
			store_text(ret_text, "conninfo: a host name has an @: write an @ in a password as %%40");
			return -EINVAL;
		}
	}
	return 0;
}

static int parse_conninfo(
	const struct store_config *config, PQconninfoOption **ret, char ret_text[static EXCHANGE_TEXT_SIZE])
{
	// libpq's own message repeats parts of the string, and so of a password.
	PQconninfoOption *options = config->conninfo ? PQconninfoParse(config->conninfo, NULL) : NULL;
	if (!options) {
		store_text(ret_text,
			"driver postgresql needs conninfo: key=value pairs of libpq, with values in single "
			"quotes where they have blanks, or a postgresql:// URI");
		return -EINVAL;
	}
	int error = check_options(options, ret_text);
	if (error < 0) {
		PQconninfoFree(options);
		return error;
	}
	*ret = options;
	return 0;
}

static int postgresql_check(const struct store_config *config, char ret_text[static EXCHANGE_TEXT_SIZE])
{
	PQconninfoOption *options;
	int error = parse_conninfo(config, &options, ret_text);
	if (error < 0)
		return error;
	PQconninfoFree(options);
	if (is_given(config->schema) && strlen(config->schema) > SCHEMA_NAME_BYTES) {
		store_text(ret_text, "schema: %d bytes at most", SCHEMA_NAME_BYTES);
		return -EINVAL;
	}
	return 0;
}

static void postgresql_close(struct store_link *link)
{
	disconnect(link);
	PQconninfoFree(link->options);
	for (size_t i = 0; i < STATEMENTS; i++)
		free(link->sql[i]);
	free(link->names_array);
	store_known_free(&link->known);
	free(link);
}

// Limits that end a statement on the server before the exchange's deadline: an answer is better than none.
static void set_timeouts(struct store_link *link)
{
	int64_t timeout_ms = link->config->timeout_ns / NS_PER_MS;
	const int64_t values[TIMEOUT_TEXTS] = {
		[TCP_USER_TIMEOUT] = timeout_ms,
		[KEEPALIVES_IDLE] = (timeout_ms + 999) / 1000,
		[STATEMENT_TIMEOUT] = timeout_ms * 3 / 4,
		[LOCK_TIMEOUT] = timeout_ms / 2,
		[PATIENCE] = timeout_ms / 2 < PATIENCE_MS ? timeout_ms / 2 : PATIENCE_MS,
	};
	for (size_t i = 0; i < TIMEOUT_TEXTS; i++)
		put_number(link->timeouts[i], values[i] ? values[i] : 1);
}

static size_t count_hosts(const PQconninfoOption *options)
{
	const char *hosts = option_value(options, "host");
	const char *addresses = option_value(options, "hostaddr");
	size_t count = 1;
	for (const char *c = hosts ? hosts : addresses; c && *c; c++)
		count += *c == ',';
	return count;
}

static int postgresql_grow(struct store_link *link)
{
	char *names_array = pg_array_text(PG_EVERY_NAME, NULL, link->names);
	if (!names_array)
		return -ENOMEM;
	free(link->names_array);
	link->names_array = names_array;
	return store_known_grow(&link->known, link->names);
}

static int postgresql_open(struct store_link **ret, const struct store_config *config, const struct store_names *names)
{
	char text[EXCHANGE_TEXT_SIZE];
	struct store_link *link = calloc(1, sizeof *link);
	if (!link)
		return -ENOMEM;
	link->config = config;
	link->names = names;
	set_timeouts(link);
	int error = parse_conninfo(config, &link->options, text);
	if (error < 0)
		goto fail;
	link->host_count = count_hosts(link->options);
	link->attributes = "any";
	error = -ENOMEM;
	for (size_t i = 0; i < STATEMENTS; i++) {
		link->sql[i] = pg_with_schema(statement_sql[i], config->schema);
		if (!link->sql[i])
			goto fail;
	}
	error = postgresql_grow(link);
	if (error < 0)
		goto fail;
	*ret = link;
	return 0;
fail:
	postgresql_close(link);
	return error;
}

// ---- init ----

static int postgresql_print_schema(const struct store_config *config, FILE *out)
{
	fputs("BEGIN;\n", out);
	if (is_given(config->schema)) {
		fputs("SET LOCAL search_path = ", out);
		pg_write_identifier(out, config->schema);
		fputs(";\n", out);
	}
	fputs("SET LOCAL client_min_messages = warning;\nDO $tenure$\n", out);
	fputs(sql_init, out);
	fputs(sql_init_2, out);
	fputs("$tenure$;\nCOMMIT;\n", out);
	return ferror(out) ? -EIO : 0;
}

static char *init_script(const struct store_config *config)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		return NULL;
	bool failed = postgresql_print_schema(config, out) < 0;
	if (fclose(out) != 0 || failed) {
		free(text);
		return NULL;
	}
	return text;
}

static void run_script(struct store_link *link, struct store_answer *answer, const char *script)
{
	static const struct pg_error lost = {"", EXCHANGE_UNKNOWN, true, NULL};
	PGresult *result = NULL;
	if (!PQsendQuery(link->connection, script)) {
		fail(link, answer, &lost, "the connection was lost");
		return;
	}
	do {
		PQclear(result);
		if (!next_result(link, &result)) {
			fail(link, answer, &lost, "no answer within the timeout");
			return;
		}
		if (result && PQresultStatus(result) != PGRES_COMMAND_OK)
			fail_by_result(link, answer, result);
	} while (result);
}

static int postgresql_init_schema(const struct store_config *config, char ret_text[static EXCHANGE_TEXT_SIZE])
{
	static const struct store_names no_names = {.count = 0};
	struct exchange_reply reply = {.outcome = EXCHANGE_OK};
	struct store_answer answer = {.reply = &reply};
	struct store_link *link;
	int error = postgresql_open(&link, config, &no_names);
	if (error < 0) {
		store_text(ret_text, "PostgreSQL: %s", strerror(-error));
		return error;
	}
	const struct store_call call = {.deadline_at = clock_now_ns() + INIT_TIMEOUT_NS, .abort_fd = -1};
	link->call = &call;
	link->attributes = "read-write"; // W25: without tables there is nothing to look at
	char *script = init_script(config);
	if (script && connect_server(link, &answer))
		run_script(link, &answer, script);
	if (!script)
		store_text(reply.text, "PostgreSQL: no memory");
	error = link->failed || !script ? -EIO : 0;
	if (error < 0)
		memcpy(ret_text, reply.text, EXCHANGE_TEXT_SIZE);
	free(script);
	postgresql_close(link);
	return error;
}

const struct store_driver store_postgresql = {
	.name = "postgresql",
	.check = postgresql_check,
	.init_schema = postgresql_init_schema,
	.print_schema = postgresql_print_schema,
	.open = postgresql_open,
	.grow = postgresql_grow,
	.exchange = postgresql_exchange,
	.hint_fd = postgresql_hint_fd,
	.take_hint = postgresql_take_hint,
	.close = postgresql_close,
};
