// SPDX-License-Identifier: Apache-2.0
#include "postgresql_link.h"

#include "clock.h"
#include "postgresql_text.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#define MAX_OPTIONS 96
#define PATIENCE_MS 100
// So many exchanges wait for one server that has accepted a connection and is slow to greet.
#define GREETING_TIMEOUTS 5

// ---- errors ----

static const char *option_value(const PQconninfoOption *options, const char *keyword)
{
	for (; options && options->keyword; options++)
		if (strcmp(options->keyword, keyword) == 0)
			return options->val;
	return NULL;
}

void pg_fail(struct store_link *link, struct store_answer *answer, const struct pg_error *class, const char *message)
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

void pg_fail_by_result(struct store_link *link, struct store_answer *answer, const PGresult *result)
{
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	static const struct pg_error lost = {"", EXCHANGE_UNKNOWN, true, NULL};
	link->read_only |= sqlstate && strcmp(sqlstate, PG_READ_ONLY) == 0;
	link->forgetful |= sqlstate && pg_error_is_of_kept(sqlstate);
	if (!sqlstate)
		pg_fail(link, answer, &lost, "the connection was lost while the server was answering");
	else
		pg_fail(link, answer, pg_error_classify(sqlstate), message ? message : sqlstate);
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

bool pg_next_result(struct store_link *link, PGresult **ret)
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

void pg_disconnect(struct store_link *link)
{
	PQfinish(link->connection);
	link->connection = NULL;
	link->connecting = false;
	link->ended = false;
	link->pooled = false;
	link->settled = false;
	memset(link->kept, 0, sizeof link->kept);
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
	pg_fail(link, answer, class, message ? message : "no connection");
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
	pg_fail(link, answer, link->connecting ? &slow : &silent, "no connection within the timeout");
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
	pg_fail(link, answer, &slow, "connecting took the whole timeout");
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
		pg_fail(link, answer, &no_memory, "no memory for a connection");
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

bool pg_connect_server(struct store_link *link, struct store_answer *answer)
{
	if (!link->connecting && !start_connecting(link, answer))
		return false;
	if (!await_connection(link, answer))
		return false;
	PQsetnonblocking(link->connection, 1);
	link->connections++;
	return true;
}

bool pg_is_connected(const struct store_link *link)
{
	return link->connection && !link->connecting;
}

void pg_drop_if_dead(struct store_link *link)
{
	if (!pg_is_connected(link))
		return;
	bool alive = true;
	struct pollfd input = {.fd = PQsocket(link->connection), .events = POLLIN};
	// Last words are read before the end is.
	while (alive && poll(&input, 1, 0) > 0)
		alive = PQconsumeInput(link->connection);
	// PQisBusy() parses what was read.
	if (!alive || PQisBusy(link->connection) || link->ended)
		pg_disconnect(link);
}

// ---- what the configuration says ----

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

int pg_parse_conninfo(
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

size_t pg_count_hosts(const PQconninfoOption *options)
{
	const char *hosts = option_value(options, "host");
	const char *addresses = option_value(options, "hostaddr");
	size_t count = 1;
	for (const char *c = hosts ? hosts : addresses; c && *c; c++)
		count += *c == ',';
	return count;
}

void pg_set_timeouts(struct store_link *link)
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
		snprintf(link->timeouts[i], OPTION_TEXT_SIZE, "%lld", (long long)(values[i] ? values[i] : 1));
}
