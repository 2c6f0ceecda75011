// SPDX-License-Identifier: Apache-2.0
// The driver for PostgreSQL: an exchange is one round trip, each statement but the change's with its own
// commit (rule 13).
//
// All waiting is poll(2) here, never in libpq, so that the deadline and the store's abort are kept; only name
// resolution is out of reach. Nothing depends on the state of a server session, so a pooler may be in between.
//
// What is set after connecting are limits, statements that are parsed and planned once, and LISTEN, which is a hint.
// They are set only where it is known that the server's process is ours alone: the one that answers is the one that
// greeted us. A pooler greets with a number of its own, or lets another process answer sooner or later, which every
// exchange looks at. A pooler that keeps one server for each client is not told apart: polling is always right.
#include "postgresql_link.h"

#include "clock.h"
#include "postgresql_sql.h"
#include "postgresql_text.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#define SCHEMA_NAME_BYTES 63

// The look comes first: a read-only server is not asked for more, which would be an error in its log (R16).
static bool try_server(struct store_link *link, struct store_answer *answer)
{
	static const bool look[STATEMENTS] = {[LOOK] = true};
	static const struct exchange_request nothing;
	static const struct pg_error no_pipeline = {"", EXCHANGE_UNAVAILABLE, true, NULL};
	link->read_only = false;
	if (!pg_connect_server(link, answer))
		return false;
	if (!PQenterPipelineMode(link->connection)) {
		pg_fail(link, answer, &no_pipeline, "the connection was lost");
		return false;
	}
	return pg_round_trip(link, &nothing, answer, look) && pg_settle(link, answer);
}

static void forget_sessions(struct exchange_reply *reply)
{
	reply->stray_count = 0;
	reply->candidate_count = 0;
	reply->offerer_count = 0;
}

// For the next host, with what it answered.
static void leave_server(struct store_link *link, struct store_answer *answer)
{
	struct exchange_reply *reply = answer->reply;
	pg_disconnect(link);
	link->first_host++;
	link->read_only = false;
	link->failed = false;
	link->broken = false;
	reply->text[0] = '\0';
	reply->server.text[0] = '\0';
	reply->grant_count = 0;
	reply->past_count = 0;
	forget_sessions(reply);
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

// The last moment to leave it.
static bool is_in_time(struct store_link *link, struct store_answer *answer)
{
	static const struct pg_error late = {"", EXCHANGE_UNAVAILABLE, false, NULL};
	struct pollfd abort = {.fd = link->call->abort_fd, .events = POLLIN};
	if (poll(&abort, 1, 0) == 0 && clock_now_ns() < link->call->deadline_at)
		return true;
	pg_fail(link, answer, &late, "connecting took the whole timeout");
	return false;
}

static void choose(
	const struct store_link *link, const struct exchange_request *request, bool ret_wanted[static STATEMENTS])
{
	ret_wanted[SESSION_CREATE] = request->session_op == EXCHANGE_SESSION_CREATE;
	ret_wanted[request->publish ? SESSION_PUBLISH : SESSION_RENEW] = request->session_op == EXCHANGE_SESSION_RENEW;
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
	ret_wanted[REPORT] = request->report || request->strays || request->candidates || !looks;
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
	return (pg_is_connected(link) || connect_and_look(link, answer)) && pg_keep_statements(link, answer) &&
	       is_in_time(link, answer) && pg_round_trip(link, link->call->request, answer, wanted);
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
	pg_drop_if_dead(link);
	bool connected = pg_is_connected(link);
	bool done = carry_out(link, answer, wanted);
	if (done && link->reread) {
		forget_sessions(answer->reply);
		done = pg_round_trip(link, call->request, answer, report);
	}
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
		pg_disconnect(link);
	link->call = NULL;
}

// ---- hints ----

static int postgresql_hint_fd(struct store_link *link)
{
	return pg_is_connected(link) ? PQsocket(link->connection) : -1;
}

// Whether somebody else says that, of a lease that we follow or of any.
static bool concerns(const struct store_link *link, const char *announced, const char *own, struct store_hint *hint)
{
	const char *name = strchr(announced, ' ');
	if (strncmp(announced, own, strlen(own)) == 0)
		return false;
	bool any = !name;
	for (uint32_t lease; name; name = strchr(name, ' ')) {
		char text[NAME_BYTES + 1];
		bool freed = *++name == *ANNOUNCED_FREE;
		name += freed;
		size_t size = strcspn(name, " ");
		snprintf(text, sizeof text, "%.*s", (int)(size < sizeof text ? size : sizeof text), name);
		if (!store_known_find(&link->known, text, &lease))
			continue;
		any = true;
		store_hint_take(hint, lease, freed);
	}
	return any;
}

static bool postgresql_take_hint(struct store_link *link, struct store_hint *hint)
{
	pg_drop_if_dead(link);
	if (!pg_is_connected(link))
		return true;
	char own[UUID_TEXT_SIZE];
	uuid_format(&link->announced, own);
	bool any = false;
	for (PGnotify *notice = PQnotifies(link->connection); notice; notice = PQnotifies(link->connection)) {
		any |= concerns(link, notice->extra, own, hint);
		PQfreemem(notice);
	}
	return any;
}

// ---- opening and closing ----

static int postgresql_check(const struct store_config *config, char ret_text[static EXCHANGE_TEXT_SIZE])
{
	PQconninfoOption *options;
	int error = pg_parse_conninfo(config, &options, ret_text);
	if (error < 0)
		return error;
	PQconninfoFree(options);
	if (is_given(config->schema) && strlen(config->schema) > SCHEMA_NAME_BYTES) {
		store_text(ret_text, "schema: %d bytes at most", SCHEMA_NAME_BYTES);
		return -EINVAL;
	}
	return 0;
}

void pg_link_close(struct store_link *link)
{
	pg_disconnect(link);
	PQconninfoFree(link->options);
	for (size_t i = 0; i < STATEMENTS; i++)
		free(link->sql[i]);
	free(link->names_array);
	store_known_free(&link->known);
	free(link);
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

int pg_link_open(struct store_link **ret, const struct store_config *config, const struct store_names *names)
{
	char text[EXCHANGE_TEXT_SIZE];
	struct store_link *link = calloc(1, sizeof *link);
	if (!link)
		return -ENOMEM;
	link->config = config;
	link->names = names;
	pg_set_timeouts(link);
	int error = pg_parse_conninfo(config, &link->options, text);
	if (error < 0)
		goto fail;
	link->host_count = pg_count_hosts(link->options);
	link->attributes = "any";
	error = -ENOMEM;
	for (size_t i = 0; i < STATEMENTS; i++) {
		link->sql[i] = pg_with_schema(pg_statement_sql[i], config->schema);
		if (!link->sql[i])
			goto fail;
	}
	error = postgresql_grow(link);
	if (error < 0)
		goto fail;
	*ret = link;
	return 0;
fail:
	pg_link_close(link);
	return error;
}

const struct store_driver store_postgresql = {
	.name = "postgresql",
	.version = TENURE_VERSION,
	.check = postgresql_check,
	.init_schema = pg_init_schema,
	.print_schema = pg_print_schema,
	.open = pg_link_open,
	.grow = postgresql_grow,
	.exchange = postgresql_exchange,
	.hint_fd = postgresql_hint_fd,
	.take_hint = postgresql_take_hint,
	.close = pg_link_close,
};
