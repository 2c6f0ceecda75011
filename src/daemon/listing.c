// SPDX-License-Identifier: Apache-2.0
// Answers of a line a component, written as the client takes them: status and watch.
#include "server_internal.h"

#include "clock.h"

#include <errno.h>
#include <stdlib.h>

// Of one connection. Where thousands ask, as many as fit into its output would have workers wait twice as long.
#define ROWS_PER_TURN 64

static bool is_ours(const struct election_lease *head)
{
	return head->state == LEASE_LEADING || head->state == LEASE_DRAINING;
}

static const char *leader_of(const struct server *server, const struct election_lease *head)
{
	if (is_ours(head))
		return server->setup.config->node;
	return head->row.holder_alive && !uuid_is_none(&head->row.holder) ? head->row.node : "";
}

static uint64_t term_of(const struct election_lease *head)
{
	return is_ours(head) ? head->held_term : head->row.term;
}

static const char *role_of(const struct election_lease *head, enum seat_state seat)
{
	if (head->state == LEASE_LEADING)
		return "leader";
	if (head->state == LEASE_DRAINING)
		return "draining";
	return seat == SEAT_VACANT ? "idle" : "standby";
}

// Since the row was acquired, by the server's clock up to the last report and by ours from there.
static int64_t since_ms(const struct server *server, const struct election_lease *head, int64_t now)
{
	if (!head->row.exists || uuid_is_none(&head->row.holder))
		return 0;
	int64_t since;
	bool odd = __builtin_add_overflow(head->row.since_ms, whole_ms(now - *server->setup.reported_at), &since);
	return odd ? 0 : since;
}

// What the worker says of itself; before that, why nobody here can lead.
static const char *message_of(const struct election_lease *head, const struct post *post)
{
	if (head->disputed_by[0] != '\0')
		return "not claimed here: another replica has a component of it in another group, see the log";
	return post->seated ? post->seated->message : "";
}

bool server_row(const struct server *server, uint32_t index, struct server_row *ret)
{
	const struct election *election = server->setup.election;
	const struct election_lease *lease = &election->leases[index], *head = election_head(election, index);
	if (!server_shows(server, index))
		return false;
	const struct post *post = &server->posts[index];
	const char *group = server->setup.config->components[index].group;
	int64_t now = clock_now_ns();
	bool valid = election_token_valid(&lease->token, now);
	*ret = (struct server_row){
		.component = server_component(server, index),
		.role = role_of(head, lease->seat),
		.leader = leader_of(server, head),
		.term = term_of(head),
		.since_ms = since_ms(server, head, now),
		.valid = valid,
		.ttl_ns = valid ? lease->token.deadline - now : 0,
		.worker = seat_state_name(lease->seat),
		.workers = post->workers,
		.store = election->answered ? server_outcome_name(election->outcome) : "starting",
		.error = server->setup.store_text,
		.node = server->setup.config->node,
		.group = group ? group : "",
		.paused = election->paused_by,
		.reason = post->reason == REASON_NONE ? "" : election_reason_name(post->reason),
		.message = message_of(head, post),
	};
	return true;
}

// W20
static void put_row(struct client *client, uint32_t index)
{
	struct server_row row;
	struct line_writer writer;
	char candidates[CANDIDATES_TEXT_SIZE];
	if (!server_row(client->server, index, &row))
		return;
	candidates_format(client->server, index, candidates);
	line_begin(&writer, &client->output, wire_word_name(WIRE_ROW));
	line_field(&writer, "component", row.component);
	line_field(&writer, "role", row.role);
	line_field(&writer, "leader", row.leader);
	line_field_u64(&writer, "term", row.term);
	line_field_i64(&writer, "since_ms", row.since_ms);
	line_field_i64(&writer, "ttl_ms", whole_ms(row.ttl_ns));
	line_field(&writer, "worker", row.worker);
	line_field_u64(&writer, "workers", row.workers);
	line_field(&writer, "store", row.store);
	line_field(&writer, "error", row.error);
	line_field(&writer, "node", row.node);
	line_field(&writer, "group", row.group);
	line_field(&writer, "paused", row.paused);
	line_field(&writer, "candidates", candidates);
	line_field(&writer, "reason", row.reason);
	line_field(&writer, "message", row.message);
	client_end_line(client, &writer);
}

static struct line_writer write_leader(const struct server *server, uint32_t index, struct buffer *output)
{
	const struct election_lease *head = election_head(server->setup.election, index);
	struct line_writer writer;
	line_begin(&writer, output, wire_word_name(WIRE_LEADER));
	line_field(&writer, "component", server_component(server, index));
	line_field(&writer, "node", leader_of(server, head));
	line_field_u64(&writer, "term", term_of(head));
	return writer;
}

static void put_leader(struct client *client, uint32_t index)
{
	struct line_writer writer = write_leader(client->server, index, &client->output);
	client_end_line(client, &writer);
}

static bool is_watching(const struct client *client, uint32_t index)
{
	return client->watching && (client->watching[index / 8] & 1U << index % 8);
}

// From here on it is told of every change; what it is shown now is what it would miss.
static void watch(struct client *client, uint32_t index)
{
	client->server->posts[index].watchers += !is_watching(client, index);
	client->watching[index / 8] |= (uint8_t)(1U << index % 8);
}

static bool start_watching(struct client *client)
{
	if (client->watching)
		return true;
	client->watching = calloc(client->server->post_count / 8 + 1, 1);
	if (!client->watching)
		return false;
	DL_APPEND2(client->server->watching, client, watching_prev, watching_next);
	return true;
}

void listing_forget(struct client *client)
{
	struct server *server = client->server;
	if (!client->watching)
		return;
	for (uint32_t i = 0; i < server->post_count; i++) {
		if (client->watching[i / 8] == 0)
			i |= 7; // few of many are watched
		else
			server->posts[i].watchers -= is_watching(client, i);
	}
	DL_DELETE2(server->watching, client, watching_prev, watching_next);
	free(client->watching);
}

void listing_begin(struct client *client, enum listing_kind kind, uint32_t first, uint32_t end)
{
	if (kind == LISTING_WATCH && !start_watching(client)) {
		client_error(client, WIRE_CODE_UNAVAILABLE, "out of memory");
		return;
	}
	client->listing = (struct listing){.kind = kind, .next = first, .end = end};
	if (kind == LISTING_WATCH)
		client_ok(client);
}

int listing_reserve(struct client *client, size_t post_count)
{
	size_t before = client->server->post_count / 8 + 1, size = post_count / 8 + 1;
	if (size == before)
		return 0;
	uint8_t *watching = realloc(client->watching, size);
	if (!watching)
		return -ENOMEM;
	memset(watching + before, 0, size - before);
	client->watching = watching;
	return 0;
}

void listing_add(struct client *client, uint32_t first, uint32_t end)
{
	struct listing *listing = &client->listing;
	if (!client->watches_all || first == end)
		return;
	if (listing->kind == LISTING_WATCH && listing->end == first) {
		listing->end = end;
		return;
	}
	// Nobody leads it yet as far as is known here: what is there to tell comes as a change.
	for (uint32_t i = first; i < end; i++)
		watch(client, i);
}

bool listing_go_on(struct client *client)
{
	struct listing *listing = &client->listing;
	for (int left = ROWS_PER_TURN; listing->next < listing->end; left--) {
		if (left == 0 || client->state != CLIENT_OPEN || client_output_is_high(client))
			return false;
		uint32_t index = listing->next++;
		if (listing->kind == LISTING_WATCH)
			watch(client, index);
		if (!server_shows(client->server, index))
			continue;
		if (listing->kind == LISTING_STATUS) {
			put_row(client, index);
			continue;
		}
		put_leader(client, index);
	}
	if (listing->kind == LISTING_STATUS)
		client_ok(client);
	listing->kind = LISTING_NONE;
	return true;
}

// Thousands may watch, while others wait: the line is written once, and where nobody watches nobody is asked.
void server_tell_leader(struct server *server, uint32_t lease)
{
	struct client *client;
	struct buffer line;
	if (server->posts[lease].watchers == 0)
		return;
	buffer_init(&line, LINE_BYTES);
	struct line_writer writer = write_leader(server, lease, &line);
	bool written = line_end(&writer) == 0;
	DL_FOREACH2 (server->watching, client, watching_next) {
		if (client->state != CLIENT_OPEN || !is_watching(client, lease))
			continue;
		if (written)
			client_put_line(client, &line);
		else
			put_leader(client, lease); // who has no room is expelled
	}
	buffer_done(&line);
}
