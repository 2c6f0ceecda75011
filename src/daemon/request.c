// SPDX-License-Identifier: Apache-2.0
// What a line asks for, and what it gets.
#include "server_internal.h"

#include "clock.h"
#include "log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef void request_fn(struct request *request);

void request_fail(const struct request *request, enum wire_code code, const char *message)
{
	client_error(request->client, code, message);
}

static int compare_names(const void *a, const void *b, void *userdata)
{
	const struct config *config = userdata;
	return strcmp(config->components[*(const uint32_t *)a].name, config->components[*(const uint32_t *)b].name);
}

void server_index_components(struct server *server)
{
	uint32_t count = server_component_count(server);
	for (uint32_t i = 0; i < count; i++)
		server->by_name[i] = i;
	qsort_r(server->by_name, count, sizeof *server->by_name, compare_names, (void *)server->setup.config);
}

int server_find_component(const struct server *server, const char *name, uint32_t *ret)
{
	uint32_t low = 0, high = server_component_count(server);
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int order = strcmp(name, server_component(server, server->by_name[middle]));
		if (order == 0) {
			*ret = server->by_name[middle];
			return 0;
		}
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return -ENOENT;
}

static bool take_component(struct request *request)
{
	const char *name;
	if (line_string(request->line, "component", &name) < 0) {
		request_fail(request, WIRE_CODE_SYNTAX, "component= is missing");
		return false;
	}
	if (server_find_component(request->server, name, &request->lease) < 0) {
		request_fail(request, WIRE_CODE_UNKNOWN_COMPONENT, "no such component is configured here");
		return false;
	}
	return true;
}

// One that is configured: what was removed keeps its name for the workers that it had.
bool request_take_component(struct request *request)
{
	if (!take_component(request))
		return false;
	if (server_shows(request->server, request->lease))
		return true;
	request_fail(request, WIRE_CODE_UNKNOWN_COMPONENT, "that component is configured here no more");
	return false;
}

// `ret` is left alone where there is no such field.
bool request_take_number(const struct request *request, const char *key, int64_t least, int64_t most, int64_t *ret)
{
	int64_t value;
	char message[128];
	int error = line_i64(request->line, key, &value);
	if (error == -ENOENT)
		return true;
	if (error < 0 || value < least || value > most) {
		snprintf(message, sizeof message, "%s= takes a number from %lld to %lld", key, (long long)least,
			(long long)most);
		request_fail(request, WIRE_CODE_SYNTAX, message);
		return false;
	}
	*ret = value;
	return true;
}

static bool take_term(const struct request *request, bool needed, uint64_t *ret)
{
	uint64_t term = 0;
	int error = line_u64(request->line, "term", &term);
	if (error == -ENOENT && !needed)
		return true;
	if (error < 0 || term == 0) {
		request_fail(request, WIRE_CODE_SYNTAX,
			error == -ENOENT ? "term= is missing" : "term= takes a positive number");
		return false;
	}
	*ret = term;
	return true;
}

static void do_hello(struct request *request)
{
	struct server *server = request->server;
	const struct election *election = server->setup.election;
	int64_t version = WIRE_VERSION;
	char session[UUID_TEXT_SIZE] = "";
	struct line_writer writer;
	if (!request_take_number(request, "version", 0, INT32_MAX, &version))
		return;
	if (version != WIRE_VERSION) {
		request_fail(request, WIRE_CODE_VERSION, "version 1 is spoken here");
		return;
	}
	if (!uuid_is_none(&election->session))
		uuid_format(&election->session, session);
	line_begin(&writer, &request->client->output, wire_word_name(WIRE_OK));
	line_field_i64(&writer, "version", WIRE_VERSION);
	line_field(&writer, "server", "tenured/" TENURE_VERSION);
	line_field(&writer, "node", server->setup.config->node);
	line_field(&writer, "session", session);
	line_field(&writer, "boot", server->setup.boot_id);
	line_field(&writer, "terms", server->setup.terms_path);
	client_end_line(request->client, &writer);
}

// S7: the peer is who the kernel says it is.
static bool may_join(const struct request *request)
{
	const struct config_component *component = &request->server->setup.config->components[request->lease];
	for (size_t i = 0; i < component->users.count; i++)
		if (component->users.items[i].id == request->client->peer.uid)
			return true;
	for (size_t i = 0; i < component->groups.count; i++)
		if (client_is_in_group(request->client, component->groups.items[i].id))
			return true;
	return component->users.count + component->groups.count == 0;
}

static bool take_extend(const struct request *request, bool *ret)
{
	const char *text = line_text(request->line, "extend");
	if (*text != '\0' && strcmp(text, "yes") != 0 && strcmp(text, "no") != 0) {
		request_fail(request, WIRE_CODE_SYNTAX, "extend= takes yes or no");
		return false;
	}
	*ret = strcmp(text, "no") != 0;
	return true;
}

static void do_join(struct request *request)
{
	struct election_event event = {.type = ELECTION_JOIN};
	int64_t heartbeat_ms = 0;
	bool extend = true;
	if (!request_take_component(request) || !take_extend(request, &extend) ||
		!take_term(request, false, &event.term) ||
		!request_take_number(
			request, "heartbeat_ms", SERVER_HEARTBEAT_MS_MIN, SERVER_HEARTBEAT_MS_MAX, &heartbeat_ms))
		return;
	event.lease = request->lease;
	event.heartbeat_ns = heartbeat_ms * NS_PER_MS;
	if (!may_join(request)) {
		if (server_may_log(request->server))
			log_warning("join-denied",
				log_text("component", server_component(request->server, request->lease)),
				log_int("pid", request->client->peer.pid), log_int("uid", request->client->peer.uid));
		request_fail(
			request, WIRE_CODE_DENIED, "this user may not join; see users= and groups= of the component");
	} else if (request->server->setup.slots[request->lease] < 0) {
		// A term that the page does not show would be released by the next daemon while it is valid (W3).
		request_fail(request, WIRE_CODE_TOO_MANY, "the terms page has no slot left; stop and start tenured");
	} else if (seats_find(request->client, request->lease)) {
		request_fail(request, WIRE_CODE_BUSY, "this connection has joined already");
	} else if (request->client->member_count >= request->server->setup.limits.joins) {
		request_fail(request, WIRE_CODE_TOO_MANY, "too many components on one connection");
	} else if (seats_join(request->client, &event, extend) < 0) {
		request_fail(request, WIRE_CODE_UNAVAILABLE, "out of memory");
	}
}

// What only the worker in the seat may say: whether it was one.
static bool step_word(struct request *request, struct election_event *event)
{
	if (!take_component(request) || !take_term(request, true, &event->term))
		return false;
	struct member *member = seats_find(request->client, request->lease);
	if (!member || !member->seated) {
		request_fail(request, WIRE_CODE_NOT_JOINED, "another worker, or none, has this seat");
		return false;
	}
	event->lease = request->lease;
	const char *message;
	if (line_string(request->line, "message", &message) == 0 &&
		event->term == request->server->setup.election->leases[event->lease].token.term)
		seats_note(member, message);
	seats_step(request->client, event);
	return true;
}

static void do_started(struct request *request)
{
	step_word(request, &(struct election_event){.type = ELECTION_STARTED});
}

static void do_alive(struct request *request)
{
	step_word(request, &(struct election_event){.type = ELECTION_ALIVE});
}

static void do_stopped(struct request *request)
{
	step_word(
		request, &(struct election_event){.type = ELECTION_STOPPED, .cooldown_ns = ELECTION_COOLDOWN_DEFAULT});
}

bool request_take_cooldown(const struct request *request, int64_t *ret_ns)
{
	int64_t cooldown_ms = -1;
	if (!request_take_number(request, "cooldown_ms", 0, SERVER_COOLDOWN_MS_MAX, &cooldown_ms))
		return false;
	*ret_ns = cooldown_ms >= 0 ? cooldown_ms * NS_PER_MS : ELECTION_COOLDOWN_DEFAULT;
	return true;
}

static void do_yield(struct request *request)
{
	const char *reason = line_text(request->line, "reason");
	struct election_event event = {.type = ELECTION_YIELD};
	if (request_take_cooldown(request, &event.cooldown_ns) && step_word(request, &event) && *reason != '\0')
		log_info("yield", log_text("component", server_component(request->server, request->lease)),
			log_uint("term", event.term), log_text("reason", reason));
}

static void do_leave(struct request *request)
{
	if (!take_component(request))
		return;
	struct member *member = seats_find(request->client, request->lease);
	if (member)
		seats_leave(member);
	else
		request_fail(request, WIRE_CODE_NOT_JOINED, "this connection has not joined");
}

static void do_check(struct request *request)
{
	uint64_t term = 0;
	if (!take_component(request) || !take_term(request, false, &term))
		return;
	const struct election_token *token = &request->server->setup.election->leases[request->lease].token;
	int64_t now = clock_now_ns();
	bool valid = election_token_valid(token, now) && (term == 0 || term == token->term);
	struct line_writer writer;
	line_begin(&writer, &request->client->output, wire_word_name(WIRE_OK));
	line_field(&writer, "valid", valid ? "yes" : "no");
	if (valid) {
		line_field_u64(&writer, "term", token->term);
		line_field_i64(&writer, "deadline", token->deadline);
		line_field_i64(&writer, "ttl_ms", whole_ms(token->deadline - now));
	}
	client_end_line(request->client, &writer);
}

static void begin_listing(struct request *request, enum listing_kind kind)
{
	const char *name;
	bool all = line_string(request->line, "component", &name) < 0;
	request->client->watches_all |= all && kind == LISTING_WATCH;
	if (all)
		listing_begin(request->client, kind, 0, server_component_count(request->server));
	else if (request_take_component(request))
		listing_begin(request->client, kind, request->lease, request->lease + 1);
}

static void do_status(struct request *request)
{
	begin_listing(request, LISTING_STATUS);
}

static void do_watch(struct request *request)
{
	begin_listing(request, LISTING_WATCH);
}

// The daemon's own user, root, and the members of admin_group (S7).
bool request_may_manage(const struct request *request)
{
	uid_t uid = request->client->peer.uid;
	gid_t admins = request->server->setup.config->admin_gid;
	bool is_admin = admins != (gid_t)-1 && client_is_in_group(request->client, admins);
	if (uid == 0 || uid == geteuid() || is_admin)
		return true;
	if (server_may_log(request->server))
		log_warning("request-denied", log_text("request", request->line->word),
			log_int("pid", request->client->peer.pid), log_int("uid", uid));
	request_fail(request, WIRE_CODE_DENIED,
		"only root, the daemon's own user and members of admin_group may ask for that");
	return false;
}

static void do_reload(struct request *request)
{
	const struct server_setup *setup = &request->server->setup;
	struct reload_report report = {0};
	struct line_writer writer;
	if (!request_may_manage(request))
		return;
	if (!setup->reload) {
		request_fail(request, WIRE_CODE_UNAVAILABLE, "nothing to reload");
		return;
	}
	if (setup->reload(setup->reload_userdata, &report) < 0) {
		request_fail(request, WIRE_CODE_UNAVAILABLE, report.error);
		return;
	}
	line_begin(&writer, &request->client->output, wire_word_name(WIRE_OK));
	line_field_u64(&writer, "added", report.added);
	line_field_u64(&writer, "removed", report.removed);
	line_field_u64(&writer, "changed", report.changed);
	line_field(&writer, "restart", report.restart);
	client_end_line(request->client, &writer);
}

static request_fn *find_request(const char *name)
{
	static request_fn *const requests[WIRE_WORDS] = {
		[WIRE_HELLO] = do_hello,
		[WIRE_JOIN] = do_join,
		[WIRE_STARTED] = do_started,
		[WIRE_STOPPED] = do_stopped,
		[WIRE_ALIVE] = do_alive,
		[WIRE_YIELD] = do_yield,
		[WIRE_LEAVE] = do_leave,
		[WIRE_CHECK] = do_check,
		[WIRE_STATUS] = do_status,
		[WIRE_WATCH] = do_watch,
		[WIRE_RELOAD] = do_reload,
		[WIRE_RESIGN] = operate_resign,
		[WIRE_TRANSFER] = operate_transfer,
		[WIRE_PAUSE] = operate_pause,
		[WIRE_RESUME] = operate_resume,
		[WIRE_HISTORY] = operate_history,
	};
	enum wire_word word;
	return wire_word_find(name, &word) < 0 ? NULL : requests[word];
}

void request_handle(struct client *client, char *text, size_t size)
{
	struct line line;
	int error = line_parse(&line, text, size);
	if (error < 0) {
		client_error(client, WIRE_CODE_SYNTAX, line_problem(error));
		return;
	}
	request_fn *fn = find_request(line.word);
	if (fn)
		fn(&(struct request){.client = client, .server = client->server, .line = &line});
	else
		client_error(client, WIRE_CODE_UNKNOWN_REQUEST, "no such request in version 1");
}
