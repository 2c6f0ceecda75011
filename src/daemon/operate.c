// SPDX-License-Identifier: Apache-2.0
// What operators ask for (S2, S8), at any daemon of the fleet. It takes the store an exchange or two: meanwhile the
// client that asked waits, and so does what it said after it.
#include "server_internal.h"

#include "log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define HISTORY_COUNT 20
#define HISTORY_COUNT_MAX 1000
#define MESSAGE_BYTES (EXCHANGE_TEXT_SIZE + 128)

static const char *const names[] = {
	[OPERATION_NONE] = "none",
	[OPERATION_PAUSE] = "pause",
	[OPERATION_RESUME] = "resume",
	[OPERATION_RESIGN] = "resign",
	[OPERATION_TRANSFER] = "transfer",
	[OPERATION_HISTORY] = "history",
};

static const char *const results[RESULT_COUNT] = {
	[RESULT_DONE] = "done",
	[RESULT_UNAVAILABLE] = "unavailable",
	[RESULT_NOBODY_LEADS] = "nobody-leads",
	[RESULT_LEADS_ALREADY] = "leads-already",
	[RESULT_NO_CANDIDATE] = "no-candidate",
	[RESULT_PAUSED] = "paused",
	[RESULT_OVERTAKEN] = "overtaken",
};

static void begin(struct request *request, const struct election_operation *operation)
{
	struct server *server = request->server;
	struct client *client = request->client;
	if (server->operating.what.kind != OPERATION_NONE) {
		request_fail(request, WIRE_CODE_BUSY, "another operation is going on at this daemon; ask again");
		return;
	}
	server->operating = (struct operating){.what = *operation, .client = client, .peer = client->peer};
	client->waits = true;
	server->asking.operates = true;
	seats_step(client, &(struct election_event){.type = ELECTION_OPERATE, .operation = operation});
}

void operate_answer(struct server *server, enum election_answer answer)
{
	// If it is OK, server_tell_operated() follows; else one of the daemon's own is going on.
	server->operating.postponed = answer == ANSWER_BUSY;
}

bool operate_next_event(struct server *server, struct election_event *ret)
{
	struct operating *operating = &server->operating;
	if (!operating->postponed || server->setup.election->operation.kind != OPERATION_NONE)
		return false;
	operating->postponed = false;
	if (!operating->client) {
		*operating = (struct operating){0};
		return false;
	}
	server->asking = (struct asking){.client = operating->client, .operates = true};
	*ret = (struct election_event){.type = ELECTION_OPERATE, .operation = &operating->what};
	return true;
}

// ---- the requests ----

void operate_pause(struct request *request)
{
	if (request_may_manage(request))
		begin(request, &(struct election_operation){.kind = OPERATION_PAUSE});
}

void operate_resume(struct request *request)
{
	if (request_may_manage(request))
		begin(request, &(struct election_operation){.kind = OPERATION_RESUME});
}

void operate_transfer(struct request *request)
{
	struct election_operation operation = {.kind = OPERATION_TRANSFER};
	const char *node = line_text(request->line, "node");
	if (!request_may_manage(request) || !request_take_component(request))
		return;
	if (!name_is_valid(node)) {
		request_fail(request, WIRE_CODE_SYNTAX,
			*node == '\0' ? "node= is missing" : "node= takes the name of a node");
		return;
	}
	operation.lease = request->lease;
	snprintf(operation.node, sizeof operation.node, "%s", node);
	begin(request, &operation);
}

// The leader here needs no database to hear of it.
static void resign_here(struct request *request, int64_t cooldown_ns)
{
	const struct client *client = request->client;
	const struct election_lease *head = election_head(request->server->setup.election, request->lease);
	log_info("resign", log_text("component", server_component(request->server, request->lease)),
		log_uint("term", head->held_term), log_int("pid", client->peer.pid), log_int("uid", client->peer.uid));
	seats_step(request->client,
		&(struct election_event){.type = ELECTION_RESIGN, .lease = request->lease, .cooldown_ns = cooldown_ns});
}

void operate_resign(struct request *request)
{
	struct election_operation operation = {.kind = OPERATION_RESIGN};
	if (!request_may_manage(request) || !request_take_component(request) ||
		!request_take_cooldown(request, &operation.cooldown_ns))
		return;
	operation.lease = request->lease;
	enum lease_state state = election_head(request->server->setup.election, request->lease)->state;
	if (state == LEASE_LEADING)
		resign_here(request, operation.cooldown_ns);
	else if (state == LEASE_DRAINING || state == LEASE_RELEASING)
		request_fail(request, WIRE_CODE_UNAVAILABLE, "the term that was led here is about to end already");
	else
		begin(request, &operation);
}

void operate_history(struct request *request)
{
	struct election_operation operation = {.kind = OPERATION_HISTORY, .lease = EXCHANGE_EVERY_LEASE};
	const char *component;
	int64_t count = HISTORY_COUNT;
	bool one = line_string(request->line, "component", &component) == 0;
	if ((one && !request_take_component(request)) ||
		!request_take_number(request, "count", 1, HISTORY_COUNT_MAX, &count))
		return;
	if (one)
		operation.lease = request->lease;
	operation.count = (uint32_t)count;
	begin(request, &operation);
}

// ---- what comes of them ----

static void log_end(const struct server *server, const struct operating *operating, enum election_result result)
{
	const struct election_operation *what = &operating->what;
	bool about = what->kind == OPERATION_RESIGN || what->kind == OPERATION_TRANSFER;
	log_write(what->kind == OPERATION_HISTORY ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, "operation",
		LOG_FIELDS(log_text("what", names[what->kind]),
			log_text("component", about ? server_component(server, what->lease) : NULL),
			log_text("node", what->node[0] ? what->node : NULL), log_text("result", results[result]),
			log_int("pid", operating->peer.pid), log_int("uid", operating->peer.uid)));
}

static void put_past(struct client *client, const struct exchange_reply *reply)
{
	const struct server *server = client->server;
	for (size_t i = 0; reply && i < reply->past_count; i++) {
		const struct exchange_past *past = &reply->past[i];
		struct line_writer writer;
		if (past->lease >= server_component_count(server))
			continue;
		line_begin(&writer, &client->output, wire_word_name(WIRE_PAST));
		line_field(&writer, "component", server_lease(server, past->lease));
		line_field_u64(&writer, "term", past->term);
		line_field(&writer, "node", past->node);
		line_field_i64(&writer, "from_ms", past->from_ms);
		line_field_i64(&writer, "to_ms", past->to_ms);
		line_field(&writer, "reason", past->reason);
		client_end_line(client, &writer);
	}
}

static void refuse(struct client *client, const struct election_operation *what, enum election_result result)
{
	const struct server *server = client->server;
	const struct election *election = server->setup.election;
	const char *text = server->setup.store_text;
	char message[MESSAGE_BYTES];
	switch (result) {
	case RESULT_NOBODY_LEADS:
		snprintf(message, sizeof message, "nobody leads it");
		break;
	case RESULT_LEADS_ALREADY:
		snprintf(message, sizeof message, "%s leads it already", what->node);
		break;
	case RESULT_NO_CANDIDATE:
		snprintf(message, sizeof message, "%s is no live candidate; status shows those that are", what->node);
		break;
	case RESULT_PAUSED:
		snprintf(message, sizeof message, "the fleet is paused through %s, and nobody would take over",
			election->paused_by);
		break;
	case RESULT_OVERTAKEN:
		snprintf(message, sizeof message, "the term has ended meanwhile");
		break;
	case RESULT_UNAVAILABLE:
	case RESULT_DONE:
	case RESULT_COUNT:
	default:
		snprintf(message, sizeof message, "%s%s%s",
			election->stopping ? "the daemon is about to end" : "the store does not answer",
			*text ? ": " : "", text);
		break;
	}
	client_error(client, WIRE_CODE_UNAVAILABLE, message);
}

void server_tell_operated(struct server *server, enum election_result result, const struct exchange_reply *reply)
{
	struct operating operating = server->operating;
	struct client *client = operating.client;
	server->operating = (struct operating){0};
	log_end(server, &operating, result);
	if (!client)
		return;
	client->waits = false;
	client_activate(client);
	if (result != RESULT_DONE) {
		refuse(client, &operating.what, result);
		return;
	}
	if (operating.what.kind == OPERATION_HISTORY)
		put_past(client, reply);
	client_ok(client);
}

void operate_forget(const struct client *client)
{
	struct server *server = client->server;
	if (server->operating.client == client)
		server->operating.client = NULL;
}
