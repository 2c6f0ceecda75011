// SPDX-License-Identifier: Apache-2.0
// The listening socket, and the turn: what all connections get of it.
#include "server_internal.h"

#include "array.h"
#include "clock.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

// Connections taken in one turn; the rest stays in the backlog.
#define ACCEPTS_PER_TURN 16
// Lines in the log of what any user can bring about.
#define LOGGED_PER_S 20
// How long accepting rests where not even the spare descriptor helps.
#define ACCEPT_PAUSE_NS (200 * NS_PER_MS)

const char *server_outcome_name(enum exchange_outcome outcome)
{
	switch (outcome) {
	case EXCHANGE_OK:
		return "ok";
	case EXCHANGE_BUSY:
		return "busy";
	case EXCHANGE_UNAVAILABLE:
		return "unavailable";
	case EXCHANGE_DENIED:
		return "denied";
	case EXCHANGE_UNKNOWN:
	default:
		return "unknown";
	}
}

bool server_may_log(struct server *server)
{
	int64_t now = clock_now_ns();
	if (now - server->logged_since >= NS_PER_S) {
		if (server->logged > LOGGED_PER_S)
			log_warning("clients", log_uint("more", server->logged - LOGGED_PER_S),
				log_text("does", "leaves what else they were refused out of the log"));
		server->logged_since = now;
		server->logged = 0;
	}
	return server->logged++ < LOGGED_PER_S;
}

static int open_spare(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static const char too_many[] = "error code=too-many message=too%20many%20connections\n";
static const char too_many_of_one[] = "error code=too-many message=too%20many%20connections%20of%20this%20user\n";

void server_close(struct server *server, int fd)
{
	loop_hurry(server->setup.loop);
	close(fd);
	loop_calm(server->setup.loop);
}

static void refuse(struct server *server, int fd, const char *line)
{
	if (send(fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_debug("connection-refused", log_errno("problem", errno));
	server_close(server, fd);
}

static void pause_accepting(struct server *server, int error)
{
	log_warning("accept", log_errno("problem", error), log_text("does", "waits for a connection to end"));
	server->paused_until = clock_now_ns() + ACCEPT_PAUSE_NS;
	loop_watch_set(server->listen_watch, 0);
}

static void resume_accepting(struct server *server)
{
	if (server->paused_until == 0 || clock_now_ns() < server->paused_until)
		return;
	if (server->spare_fd < 0)
		server->spare_fd = open_spare();
	server->paused_until = 0;
	loop_watch_set(server->listen_watch, LOOP_READ);
}

// Out of descriptors: the spare one takes the connection, tells it so and closes it; else the loop would spin.
static void refuse_next(struct server *server, int error)
{
	if (server->spare_fd >= 0)
		close(server->spare_fd);
	int fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		refuse(server, fd, too_many);
	server->spare_fd = open_spare();
	if (fd < 0 || server->spare_fd < 0)
		pause_accepting(server, error);
}

// As many connections as one user has are kept free for others (S7), so no user has more than half; root and the
// daemon's own may.
static bool has_its_share(const struct server *server, uid_t uid, size_t left)
{
	const struct user *user;
	if (uid == 0 || uid == geteuid() || server->client_count < left)
		return false;
	DL_SEARCH_SCALAR(server->users, user, uid, uid);
	return user && user->connections >= left;
}

// The line to refuse the peer with, or NULL.
static const char *find_refusal(struct server *server, int fd)
{
	size_t left = server->setup.limits.clients - server->client_count;
	const char *line = NULL;
	struct ucred peer;
	socklen_t size = sizeof peer;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return too_many;
	if (left == 0)
		line = too_many;
	else if (has_its_share(server, peer.uid, left))
		line = too_many_of_one;
	if (line && !server->has_refused)
		log_warning("clients", log_uint("connected", server->client_count), log_int("uid", peer.uid),
			log_text("does", left == 0 ? "refuses more" : "refuses more of this user"));
	// Told again only after there was room for all: nobody fills the log by coming and going.
	server->has_refused = line || (server->has_refused && server->client_count >= left);
	return line;
}

// 0 where there may be more to accept.
static int accept_one(struct server *server)
{
	int fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
		refuse_next(server, errno);
		return -EMFILE;
	}
	if (fd < 0)
		return errno == ECONNABORTED || errno == EINTR ? 0 : -errno;
	const char *line = find_refusal(server, fd);
	if (!line && client_new(server, fd) < 0)
		line = too_many;
	if (line)
		refuse(server, fd, line);
	return 0;
}

static void on_listen(void *userdata, int fd, unsigned flags)
{
	struct server *server = userdata;
	int64_t from = clock_now_ns();
	(void)fd;
	(void)flags;
	int left = ACCEPTS_PER_TURN;
	// One at least; to refuse one may take a while: see loop_hurry().
	while (accept_one(server) == 0 && --left > 0 && clock_now_ns() < from + server->setup.limits.turn_ns / 2) {
	}
	server->accepting_ns = clock_now_ns() - from;
}

// Nothing to do: that the loop did not wait is all that it is for.
static void on_again(void *userdata, int fd, unsigned flags)
{
	(void)userdata;
	(void)fd;
	(void)flags;
}

// As many as there are descriptors for beside what else needs one, or no user's share would be safe from another (S7).
static size_t clients_served(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= SERVER_CLIENTS + SERVER_OTHER_DESCRIPTORS)
		return SERVER_CLIENTS;
	if (limit.rlim_cur < 2 * SERVER_OTHER_DESCRIPTORS)
		return limit.rlim_cur / 2;
	return limit.rlim_cur - SERVER_OTHER_DESCRIPTORS;
}

static void take_limits(struct server_limits *limits)
{
	if (limits->clients == 0)
		limits->clients = clients_served();
	if (limits->joins == 0)
		limits->joins = SERVER_JOINS;
	if (limits->output_bytes == 0)
		limits->output_bytes = SERVER_OUTPUT_BYTES;
	if (limits->all_output_bytes == 0)
		limits->all_output_bytes = SERVER_ALL_OUTPUT_BYTES;
	if (limits->requests == 0)
		limits->requests = SERVER_REQUESTS;
	if (limits->turn_ns == 0)
		limits->turn_ns = SERVER_TURN_NS;
}

// What does not fit leaves everything as it was, but larger in places.
int server_reserve(struct server *server, size_t count)
{
	struct client *client;
	if (count <= server->post_count)
		return 0;
	if (array_grow(&server->posts, count, sizeof *server->posts) < 0 ||
		array_grow(&server->by_name, count, sizeof *server->by_name) < 0 ||
		array_grow(&server->vacant, count, sizeof *server->vacant) < 0)
		return -ENOMEM;
	DL_FOREACH2 (server->watching, client, watching_next) {
		if (listing_reserve(client, count) < 0)
			return -ENOMEM;
	}
	memset(server->posts + server->post_count, 0, (count - server->post_count) * sizeof *server->posts);
	server->post_count = count;
	return 0;
}

void server_configure(struct server *server, const struct config *config, const int *slots)
{
	struct client *client;
	uint32_t known = server_component_count(server);
	server->setup.config = config;
	server->setup.slots = slots;
	server_index_components(server);
	DL_FOREACH2 (server->watching, client, watching_next) {
		listing_add(client, known, server_component_count(server));
	}
}

int server_new(struct server **ret, const struct server_setup *setup)
{
	struct server *server = calloc(1, sizeof *server);
	if (!server)
		return -ENOMEM;
	int error = -ENOMEM;
	server->setup = *setup;
	server->listen_fd = -1;
	take_limits(&server->setup.limits);
	server->spare_fd = open_spare();
	server->again_fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	if (server_reserve(server, setup->config->component_count) < 0)
		goto fail;
	server_index_components(server);
	error = -EMFILE;
	if (server->again_fd < 0)
		goto fail;
	error = loop_watch_new(setup->loop, server->again_fd, 0, on_again, server, &server->again_watch);
	if (error < 0)
		goto fail;
	*ret = server;
	return 0;
fail:
	server_free(server);
	return error;
}

void server_free(struct server *server)
{
	if (!server)
		return;
	while (server->clients)
		client_free(server->clients);
	loop_watch_free(server->listen_watch);
	loop_watch_free(server->again_watch);
	if (server->spare_fd >= 0)
		close(server->spare_fd);
	if (server->again_fd >= 0)
		close(server->again_fd);
	offers_free(&server->offers);
	free(server->posts);
	free(server->by_name);
	free(server->vacant);
	free(server);
}

size_t server_client_count(const struct server *server)
{
	return server->client_count;
}

int server_listen(struct server *server, int fd)
{
	server->listen_fd = fd;
	return loop_watch_new(server->setup.loop, fd, LOOP_READ, on_listen, server, &server->listen_watch);
}

// Connections that ended outside of a step.
static void settle(struct server *server)
{
	struct election_event event;
	while (server_next_event(server, &event))
		server->setup.step(server->setup.userdata, &event);
}

// Its share of the turn. What it says and hears comes about at once.
static void serve(struct server *server, struct client *client)
{
	client->turn = server->turn;
	client_work(client);
	settle(server);
	client_flush(client);
	settle(server);
	if (client->state == CLIENT_DEAD && !client->members && !client->is_leaving) {
		client_free(client);
		return;
	}
	client_deactivate(client);
	if (!client_rest(client))
		client_activate(client);
}

// The one that waits longest. False where all had their share.
static bool serve_next(struct server *server, struct client *next)
{
	if (!next || next->turn == server->turn)
		return false;
	serve(server, next);
	return true;
}

// Each once, as far as the turn's time goes: whoever had its share goes to the end, so the next turn begins with those
// that had none. Workers come first always; they may ask without end, so one of the others is served all the same, and
// one worker where accepting took all of the time. Leases come before requests (W17).
void server_turn(struct server *server)
{
	server->turn_until = clock_now_ns() + server->setup.limits.turn_ns - server->accepting_ns;
	server->accepting_ns = 0;
	server->turn++;
	settle(server);
	while (serve_next(server, server->active_workers) && clock_now_ns() < server->turn_until) {
	}
	while (serve_next(server, server->active_others) && clock_now_ns() < server->turn_until) {
	}
	if (server->listen_watch)
		resume_accepting(server);
	loop_watch_set(server->again_watch, server->active_workers || server->active_others ? LOOP_READ : 0);
}

void server_flush(struct server *server)
{
	struct client *client;
	DL_FOREACH2 (server->active_workers, client, active_next)
		client_flush(client);
	DL_FOREACH2 (server->active_others, client, active_next)
		client_flush(client);
}
