// SPDX-License-Identifier: Apache-2.0
// What the parts of the server share: server.c (the socket and the turn), client.c (one connection), seats.c (who
// sits where), request.c (what is asked), operate.c (what operators ask), candidates.c (who else would lead) and
// listing.c (status and watch).
#ifndef TENURE_SERVER_INTERNAL_H
#define TENURE_SERVER_INTERNAL_H

#include "server.h"

#include "buffer.h"
#include "line.h"
#include "words.h"

#include <sys/socket.h>
#include <utlist.h>

// From here on a client's requests wait until it has taken more of its answers.
#define SERVER_OUTPUT_HIGH (64 * 1024)
// What it may have waiting where all together have too much.
#define SERVER_OUTPUT_LOW (4 * 1024)
// "NODE:SEEN_MS:PRIORITY", and what divides them.
#define CANDIDATES_TEXT_SIZE (SERVER_CANDIDATES * (NAME_BYTES + 36))

struct client;

// One worker of one component.
struct member {
	struct client *client;
	uint32_t lease;
	bool seated;   // else it waits
	bool expelled; // the election knows that it is not listened to
	bool extend;
	int64_t heartbeat_ns;
	char message[SERVER_MESSAGE_BYTES + 1]; // what it says of itself
	struct member *prev, *next;             // of its client
	struct member *queue_prev, *queue_next; // of those that wait for the seat
};

struct post {
	struct member *seated;
	struct member *waiting; // first come, first served
	uint32_t workers;
	uint32_t watchers;           // connections that are told who leads it
	bool vacant;                 // listed in server->vacant
	enum election_reason reason; // why the last term that was led here ended
};

// What was told last.
struct offers {
	struct server_other *others;         // the freshest first
	struct server_candidate *candidates; // by lease, the freshest first
	uint32_t *first;                     // of each lease, and where the last ones end
	uint32_t lease_count;
};

enum listing_kind {
	LISTING_NONE,
	LISTING_STATUS,
	LISTING_WATCH,
};

// An answer of many lines, written as the client takes them.
struct listing {
	enum listing_kind kind;
	uint32_t next;
	uint32_t end;
};

enum client_state {
	CLIENT_OPEN,
	CLIENT_CLOSING, // nothing is taken from it any more; what it has not taken yet is sent
	// We hang up on a worker that leads. It may live on with a valid token, so its term is revoked, and it is gone
	// only when its own end of the connection is closed (W3, W12).
	CLIENT_EXPELLED,
	CLIENT_DEAD,
};

// A user who is connected.
struct user {
	uid_t uid;
	size_t connections;
	struct user *prev, *next;
};

struct client {
	struct server *server;
	struct client *prev, *next;
	uint8_t *watching; // a bit for each post; NULL: none
	enum client_state state;
	int fd;
	struct ucred peer;
	struct user *user;
	struct loop_watch *watch;
	bool is_readable; // there may be something to receive
	bool has_work;    // there may be complete lines, or a listing goes on
	bool is_leaving;  // in server->leaving
	bool is_blocked;  // the socket takes no more for now
	bool waits;       // for its operation; what it says meanwhile is not read
	struct buffer output;
	size_t counted; // of the output, in the server's sum
	struct listing listing;
	bool watches_all; // also what is configured later
	struct member *members;
	size_t member_count;
	size_t seats;          // of these
	uint64_t turn;         // the last in which it had its share
	struct client **among; // those that are active, workers or others; NULL: it is not
	struct client *active_prev, *active_next;
	struct client *watching_prev, *watching_next;
	struct client *leaving_next;
	struct line_splitter input;
};

// Who is waiting for server_answer().
struct asking {
	struct client *client; // NULL: nobody
	struct member *member; // where it asks for a seat
	bool silent;           // it was answered long ago
	bool operates;
};

// What an operator asked for, and has not been told of.
struct operating {
	struct election_operation what; // OPERATION_NONE: nothing
	struct client *client;          // NULL: it is gone
	struct ucred peer;
	bool postponed; // until one of the daemon's own has come to its end
};

// A line that asks for something.
struct request {
	struct client *client;
	struct server *server;
	const struct line *line;
	uint32_t lease; // of the component that the line names
};

struct server {
	struct server_setup setup;
	int listen_fd;
	struct loop_watch *listen_watch;
	int spare_fd;         // given up to refuse a connection when there is no other
	int64_t paused_until; // accepting is given up until then; 0: it is not
	int64_t accepting_ns; // what it took of the next turn
	int again_fd;         // always readable
	struct loop_watch *again_watch;
	struct client *clients;
	struct client *watching; // of these, those that watch
	size_t client_count;
	struct user *users;
	size_t output_bytes;  // that all together have not taken
	bool has_refused;     // and the log says so
	int64_t logged_since; // what any user can bring about, and how often
	uint64_t logged;
	uint64_t turn;
	int64_t turn_until;            // its time is over then
	struct client *active_workers; // to be looked at in this turn, and before the others: who sits in a seat
	struct client *active_others;
	struct client *leaving; // their workers are gone, or expelled
	struct asking asking;
	struct operating operating;
	struct offers offers;
	struct post *posts; // one a component, and perhaps room for more
	size_t post_count;
	uint32_t *by_name; // leases, sorted by component name
	uint32_t *vacant;
	size_t vacant_count;
};

// client.c
int client_new(struct server *server, int fd);
void client_free(struct client *client);
// By the group that the peer had, and by its other ones (S7).
bool client_is_in_group(const struct client *client, gid_t gid);
void client_activate(struct client *client);
void client_deactivate(struct client *client);
// Receives, and handles what was received, as far as one turn goes.
void client_work(struct client *client);
void client_flush(struct client *client);
// Waits for what is to be waited for; false where the client has to be looked at again in the next turn.
bool client_rest(struct client *client);
// The end, after what is left was sent.
void client_close(struct client *client);
// The end, at once. `why` is for the log; NULL: not worth a line.
void client_drop(struct client *client, const char *why);
// The end for a fault of its own. Where a worker of it sits in a seat, nothing more is said or heard until it closes.
void client_expel(struct client *client, const char *why);
// Ends a line that was begun in the client's output; for one that does not fit the client is expelled.
void client_end_line(struct client *client, struct line_writer *writer);
// A line that was written before, of which any number may come, asked for or not: where all together have too much,
// who does not take it is dropped.
void client_put_line(struct client *client, const struct buffer *line);
void client_ok(struct client *client);
void client_error(struct client *client, enum wire_code code, const char *message);

// seats.c
struct member *seats_find(const struct client *client, uint32_t lease);
// The event's answer takes the seat, queues or refuses.
int seats_join(struct client *client, const struct election_event *event, bool extend);
// Steps an event of the worker in the seat.
void seats_step(struct client *client, const struct election_event *event);
void seats_leave(struct member *member);
void seats_drop_all(struct client *client);

// What the worker says of its term: control characters and what is no UTF-8 are replaced, what is too long is cut off.
void seats_note(struct member *member, const char *text);

// request.c
void request_handle(struct client *client, char *text, size_t size);
void request_fail(const struct request *request, enum wire_code code, const char *message);
// These say no themselves. Who may manage the fleet (S7); a component that is configured; a number, `ret` left alone
// where there is none; a cool-down.
bool request_may_manage(const struct request *request);
bool request_take_component(struct request *request);
bool request_take_number(const struct request *request, const char *key, int64_t least, int64_t most, int64_t *ret);
bool request_take_cooldown(const struct request *request, int64_t *ret_ns);

// operate.c
void operate_transfer(struct request *request);
void operate_resign(struct request *request);
void operate_pause(struct request *request);
void operate_resume(struct request *request);
void operate_history(struct request *request);
// The election's answer to it.
void operate_answer(struct server *server, enum election_answer answer);
bool operate_next_event(struct server *server, struct election_event *ret);
void operate_forget(const struct client *client);

// candidates.c
void offers_free(struct offers *offers);
void candidates_format(const struct server *server, uint32_t lease, char ret_text[static CANDIDATES_TEXT_SIZE]);

// server.c
// A connection's socket: what nobody has taken from it goes, too.
void server_close(struct server *server, int fd);
// Whether a line more is for the log that any user can bring about, as often as they like.
bool server_may_log(struct server *server);

void server_index_components(struct server *server);

// listing.c
void listing_begin(struct client *client, enum listing_kind kind, uint32_t first, uint32_t end);
// Of a connection that ends: nothing is told to it any more.
void listing_forget(struct client *client);
// What it takes of that now; true at its end.
bool listing_go_on(struct client *client);
// The client's marks of what it watches, for as many posts.
int listing_reserve(struct client *client, size_t post_count) MUST_CHECK;
// Components from `first` to `end` are new.
void listing_add(struct client *client, uint32_t first, uint32_t end);

static inline const char *server_component(const struct server *server, uint32_t lease)
{
	return server->setup.config->components[lease].name;
}

// What its lease is called in the database (W19).
static inline const char *server_lease(const struct server *server, uint32_t lease)
{
	return config_lease_name(server->setup.config, server->setup.election->leases[lease].head);
}

static inline uint32_t server_component_count(const struct server *server)
{
	return (uint32_t)server->setup.config->component_count;
}

// One that is configured no more is not to be seen, but while a term of it ends.
static inline bool server_shows(const struct server *server, uint32_t lease)
{
	return !server->setup.config->components[lease].removed ||
	       election_head(server->setup.election, lease)->state == LEASE_DRAINING;
}

static inline bool server_output_is_high(const struct server *server)
{
	return server->output_bytes >= server->setup.limits.all_output_bytes;
}

static inline bool client_output_is_high(const struct client *client)
{
	size_t limit = client->output.limit / 2, size = buffer_size(&client->output);
	// A worker says more than it is told, and must not wait for others who take nothing.
	size_t crowd = client->seats > 0 ? SERVER_OUTPUT_LOW : 1;
	return size >= (limit < SERVER_OUTPUT_HIGH ? limit : SERVER_OUTPUT_HIGH) ||
	       (size >= crowd && server_output_is_high(client->server));
}

static inline int64_t whole_ms(int64_t ns)
{
	return ns > 0 ? ns / NS_PER_MS : 0;
}

#endif
