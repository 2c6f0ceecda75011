// SPDX-License-Identifier: Apache-2.0
// Who sits in which seat, who waits for it, and what the one who sits there is told.
#include "server_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

static struct post *post_of(const struct member *member)
{
	return &member->client->server->posts[member->lease];
}

struct member *seats_find(const struct client *client, uint32_t lease)
{
	struct post *post = &client->server->posts[lease];
	struct member *member;
	if (post->seated && post->seated->client == client)
		return post->seated;
	DL_FOREACH2 (post->waiting, member, queue_next) {
		if (member->client == client)
			return member;
	}
	return NULL;
}

static void leave_queue(struct member *member)
{
	DL_DELETE2(post_of(member)->waiting, member, queue_prev, queue_next);
}

static void take_seat(struct member *member)
{
	assert(!post_of(member)->seated);
	post_of(member)->seated = member;
	member->seated = true;
	member->client->seats++;
	if (member->client->among) { // from here on among the workers
		client_deactivate(member->client);
		client_activate(member->client);
	}
}

static void remove_member(struct member *member)
{
	struct post *post = post_of(member);
	if (member->seated)
		post->seated = NULL;
	else
		leave_queue(member);
	post->workers--;
	member->client->seats -= member->seated;
	DL_DELETE(member->client->members, member);
	member->client->member_count--;
	free(member);
}

void seats_drop_all(struct client *client)
{
	while (client->members)
		remove_member(client->members);
}

void seats_step(struct client *client, const struct election_event *event)
{
	struct server *server = client->server;
	server->asking.client = client;
	server->setup.step(server->setup.userdata, event);
}

int seats_join(struct client *client, const struct election_event *event, bool extend)
{
	struct server *server = client->server;
	struct post *post = &server->posts[event->lease];
	struct member *member = calloc(1, sizeof *member);
	if (!member)
		return -ENOMEM;
	*member = (struct member){
		.client = client, .lease = event->lease, .extend = extend, .heartbeat_ns = event->heartbeat_ns};
	DL_APPEND(client->members, member);
	client->member_count++;
	DL_APPEND2(post->waiting, member, queue_prev, queue_next);
	post->workers++;
	server->asking.member = member;
	seats_step(client, event);
	return 0;
}

void seats_leave(struct member *member)
{
	struct client *client = member->client;
	struct election_event event = {.type = ELECTION_GONE, .lease = member->lease};
	bool seated = member->seated;
	remove_member(member);
	if (seated)
		seats_step(client, &event);
	else
		client_ok(client);
}

static void welcome(struct client *client, uint32_t lease)
{
	struct server *server = client->server;
	struct line_writer writer;
	line_begin(&writer, &client->output, wire_word_name(WIRE_OK));
	line_field(&writer, "component", server_component(server, lease));
	line_field_i64(&writer, "slot", server->setup.slots[lease]);
	if (server->setup.config->components[lease].group)
		line_field(&writer, "lease", server_lease(server, lease));
	client_end_line(client, &writer);
}

// One that finds the seat taken waits where it is: at the end of the queue if it just came, else at its head.
static void answer_join(struct member *member, enum election_answer answer, bool silent)
{
	struct client *client = member->client;
	uint32_t lease = member->lease;
	if (answer == ANSWER_OK) {
		leave_queue(member);
		take_seat(member);
	}
	if (silent)
		return;
	if (answer != ANSWER_STALE) {
		welcome(client, lease);
		return;
	}
	remove_member(member);
	client_error(client, WIRE_CODE_STALE, "that term is over; join without it");
}

void server_answer(struct server *server, enum election_answer answer)
{
	struct asking asking = server->asking;
	server->asking = (struct asking){0};
	if (asking.member)
		answer_join(asking.member, answer, asking.silent);
	else if (asking.operates)
		operate_answer(server, answer);
	else if (asking.client && answer == ANSWER_OK)
		client_ok(asking.client);
	else if (asking.client)
		client_error(asking.client, WIRE_CODE_STALE, "that term is over");
}

static void push_term(struct member *member, enum wire_word word, uint64_t term, int64_t deadline)
{
	struct client *client = member->client;
	struct server *server = client->server;
	const struct config_component *component = &server->setup.config->components[member->lease];
	struct line_writer writer;
	line_begin(&writer, &client->output, wire_word_name(word));
	line_field(&writer, "component", component->name);
	line_field_u64(&writer, "term", term);
	line_field_i64(&writer, "deadline", deadline);
	line_field_i64(&writer, "ttl_ms", whole_ms(deadline - server->setup.election->now));
	if (word == WIRE_GRANTED)
		line_field_i64(&writer, "grace_ms", whole_ms(component->stop_grace_ns));
	client_end_line(client, &writer);
}

void server_tell_granted(struct server *server, uint32_t lease, uint64_t term, int64_t deadline)
{
	struct member *member = server->posts[lease].seated;
	if (!member)
		return;
	member->message[0] = '\0'; // of the term before
	push_term(member, WIRE_GRANTED, term, deadline);
}

void server_tell_extended(struct server *server, uint32_t lease, uint64_t term, int64_t deadline)
{
	struct member *member = server->posts[lease].seated;
	if (member && member->extend)
		push_term(member, WIRE_EXTENDED, term, deadline);
}

void server_tell_revoked(
	struct server *server, uint32_t lease, uint64_t term, int64_t deadline, enum election_reason reason)
{
	struct member *member = server->posts[lease].seated;
	struct line_writer writer;
	if (!member)
		return;
	line_begin(&writer, &member->client->output, wire_word_name(WIRE_REVOKED));
	line_field(&writer, "component", server_component(server, lease));
	line_field_u64(&writer, "term", term);
	line_field(&writer, "reason", election_reason_name(reason));
	line_field_i64(&writer, "deadline", deadline);
	client_end_line(member->client, &writer);
}

void server_tell_ended(struct server *server, uint32_t lease, enum election_reason reason)
{
	server->posts[lease].reason = reason;
}

// How many bytes of the text are one character that may be shown; 0: none are.
static size_t character_size(const char *text)
{
	const unsigned char *c = (const unsigned char *)text;
	if (c[0] < 0x80)
		return c[0] >= ' ' && c[0] != 0x7f;
	size_t size = c[0] >= 0xf0 ? 4 : c[0] >= 0xe0 ? 3 : 2;
	uint32_t value = c[0] & (0xffU >> (size + 1));
	if (c[0] < 0xc2 || c[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < size; i++) {
		if ((c[i] & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (c[i] & 0x3f);
	}
	static const uint32_t least[] = {[2] = 0xa0, [3] = 0x800, [4] = 0x10000};
	bool surrogate = value >= 0xd800 && value < 0xe000;
	return value >= least[size] && value <= 0x10ffff && !surrogate ? size : 0;
}

void seats_note(struct member *member, const char *text)
{
	size_t used = 0;
	while (*text != '\0') {
		size_t size = character_size(text);
		if (used + (size > 0 ? size : 1) > SERVER_MESSAGE_BYTES)
			break;
		if (size == 0)
			member->message[used++] = '?';
		for (size_t i = 0; i < size; i++)
			member->message[used++] = text[i];
		text += size > 0 ? size : 1;
	}
	member->message[used] = '\0';
}

void server_tell_vacant(struct server *server, uint32_t lease)
{
	if (server->posts[lease].vacant)
		return;
	server->posts[lease].vacant = true;
	server->vacant[server->vacant_count++] = lease;
}

static bool next_gone(struct client *client, struct election_event *ret)
{
	while (client->members) {
		struct member *member = client->members;
		uint32_t lease = member->lease;
		bool seated = member->seated;
		remove_member(member);
		if (!seated)
			continue;
		*ret = (struct election_event){.type = ELECTION_GONE, .lease = lease};
		return true;
	}
	return false;
}

// A worker without a token has nothing to act on: it is as good as gone.
static bool next_expelled(struct client *client, struct election_event *ret)
{
	const struct election *election = client->server->setup.election;
	struct member *member, *next;
	DL_FOREACH_SAFE (client->members, member, next) {
		if (!member->seated) {
			remove_member(member);
		} else if (election->leases[member->lease].token.term == 0) {
			*ret = (struct election_event){.type = ELECTION_GONE, .lease = member->lease};
			remove_member(member);
			return true;
		} else if (!member->expelled) {
			member->expelled = true;
			*ret = (struct election_event){.type = ELECTION_EXPEL, .lease = member->lease};
			return true;
		}
	}
	if (!client->members)
		client_drop(client, NULL);
	return false;
}

static bool next_leaving(struct server *server, struct election_event *ret)
{
	while (server->leaving) {
		struct client *client = server->leaving;
		if (client->state == CLIENT_EXPELLED ? next_expelled(client, ret) : next_gone(client, ret))
			return true;
		client->is_leaving = false;
		LL_DELETE2(server->leaving, client, leaving_next);
	}
	return false;
}

static bool next_waiting(struct server *server, struct election_event *ret)
{
	while (server->vacant_count > 0) {
		uint32_t lease = server->vacant[--server->vacant_count];
		struct post *post = &server->posts[lease];
		struct member *member = post->waiting;
		post->vacant = false;
		if (!member)
			continue;
		*ret = (struct election_event){
			.type = ELECTION_JOIN, .lease = lease, .heartbeat_ns = member->heartbeat_ns};
		server->asking = (struct asking){.client = member->client, .member = member, .silent = true};
		return true;
	}
	return false;
}

bool server_next_event(struct server *server, struct election_event *ret)
{
	// First who is gone: nobody of them is to be seated.
	return next_leaving(server, ret) || next_waiting(server, ret) || operate_next_event(server, ret);
}
