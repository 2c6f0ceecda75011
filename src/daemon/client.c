// SPDX-License-Identifier: Apache-2.0
// One connection: bytes in, bytes out, and its end.
#include "server_internal.h"

#include "clock.h"
#include "log.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

// As recv(): what was sent along is closed with it, so that is looked for first, and nothing taken that was not seen.
static ssize_t take(struct client *client, char *room, size_t size)
{
	struct iovec bytes = {.iov_base = room, .iov_len = size};
	struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};
	ssize_t seen = recvmsg(client->fd, &message, MSG_DONTWAIT | MSG_PEEK);
	if (seen <= 0)
		return seen;
	if (!(message.msg_flags & MSG_CTRUNC))
		return recv(client->fd, room, (size_t)seen, MSG_DONTWAIT);
	loop_hurry(client->server->setup.loop);
	ssize_t got = recv(client->fd, room, (size_t)seen, MSG_DONTWAIT);
	loop_calm(client->server->setup.loop);
	return got;
}

static void receive(struct client *client)
{
	char *room;
	size_t size = line_splitter_room(&client->input, &room);
	ssize_t got = take(client, room, size);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got < 0) {
		client_drop(client, errno == ECONNRESET ? NULL : strerror(errno)); // a peer that has ended is no news
		return;
	}
	// Nothing is read before what came earlier was carried out, so what was said before the end still counts.
	if (got == 0) {
		client_close(client);
		return;
	}
	line_splitter_commit(&client->input, (size_t)got);
	client->has_work = true;
}

// Only its end is waited for.
static void receive_end(struct client *client)
{
	char rest[4096];
	ssize_t got = take(client, rest, sizeof rest);
	if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	client_drop(client, NULL);
}

static void on_client(void *userdata, int fd, unsigned flags)
{
	struct client *client = userdata;
	(void)fd;
	client->is_blocked = client->is_blocked && !(flags & LOOP_WRITE);
	client->is_readable = client->is_readable || (flags & LOOP_READ);
	client_activate(client);
	if (flags & LOOP_ERROR)
		client_drop(client, "the descriptor is unusable");
}

// One connection more of the user. NULL: no memory.
static struct user *count_user(struct server *server, uid_t uid)
{
	struct user *user;
	DL_SEARCH_SCALAR(server->users, user, uid, uid);
	if (!user) {
		user = calloc(1, sizeof *user);
		if (!user)
			return NULL;
		user->uid = uid;
		DL_PREPEND(server->users, user);
	}
	user->connections++;
	return user;
}

static void discount_user(struct server *server, struct user *user)
{
	if (--user->connections > 0)
		return;
	DL_DELETE(server->users, user);
	free(user);
}

int client_new(struct server *server, int fd)
{
	struct client *client = calloc(1, sizeof *client);
	if (!client)
		return -ENOMEM;
	socklen_t size = sizeof client->peer;
	int error = 0;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &client->peer, &size) < 0)
		error = -errno;
	else if (!(client->user = count_user(server, client->peer.uid)))
		error = -ENOMEM;
	else if ((error = loop_watch_new(server->setup.loop, fd, LOOP_READ, on_client, client, &client->watch)) < 0)
		discount_user(server, client->user);
	if (error < 0) {
		free(client);
		return error;
	}
	// More would be the host's memory, and nobody's limit; with less than this it works as well.
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &(int){SERVER_KERNEL_BYTES}, sizeof(int));
	// What is sent out of band is not passed over: take() would not see it, nor what was sent along with it.
	(void)setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &(int){1}, sizeof(int));
	client->server = server;
	client->fd = fd;
	line_splitter_init(&client->input);
	buffer_init(&client->output, server->setup.limits.output_bytes);
	DL_APPEND(server->clients, client);
	server->client_count++;
	return 0;
}

// The kernel remembers who the peer was when it connected: no database of users is asked, which could take long.
bool client_is_in_group(const struct client *client, gid_t gid)
{
	gid_t few[64], *groups = few;
	socklen_t size = sizeof few;
	if (client->peer.gid == gid)
		return true;
	int result = getsockopt(client->fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size);
	if (result < 0 && errno == ERANGE && (groups = malloc(size)))
		result = getsockopt(client->fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size);
	bool found = false;
	for (size_t i = 0; result == 0 && i < size / sizeof *groups; i++)
		found |= groups[i] == gid;
	if (groups != few)
		free(groups);
	return found;
}

static void count_output(struct client *client)
{
	size_t size = buffer_size(&client->output);
	client->server->output_bytes += size - client->counted;
	client->counted = size;
}

static void forget_output(struct client *client)
{
	buffer_done(&client->output);
	count_output(client);
}

void client_free(struct client *client)
{
	struct server *server = client->server;
	client_deactivate(client);
	seats_drop_all(client);
	operate_forget(client);
	DL_DELETE(server->clients, client);
	server->client_count--;
	loop_watch_free(client->watch);
	server_close(server, client->fd);
	forget_output(client);
	listing_forget(client);
	discount_user(server, client->user);
	free(client);
	// There is a descriptor again.
	if (server->paused_until != 0)
		server->paused_until = 1;
}

void client_activate(struct client *client)
{
	if (client->among)
		return;
	client->among = client->seats > 0 ? &client->server->active_workers : &client->server->active_others;
	DL_APPEND2(*client->among, client, active_prev, active_next);
}

void client_deactivate(struct client *client)
{
	if (!client->among)
		return;
	DL_DELETE2(*client->among, client, active_prev, active_next);
	client->among = NULL;
}

static void say_too_long(struct client *client, int error)
{
	client_error(client, WIRE_CODE_SYNTAX, line_problem(error));
	client_flush(client);
	client_expel(client, line_problem(error));
}

// One may take as long as a thousand others: where many wait for a seat, say, and it is about one of them.
static bool has_had_its_share(const struct client *client, unsigned done)
{
	const struct server *server = client->server;
	return done >= server->setup.limits.requests || (done > 0 && clock_now_ns() >= server->turn_until);
}

// That may take a while: see loop_hurry().
static void take_input(struct client *client)
{
	bool reads = client->is_readable;
	client->is_readable = false;
	if (reads && client->state == CLIENT_EXPELLED)
		receive_end(client);
	else if (reads && client->state == CLIENT_OPEN && !client->has_work)
		receive(client);
}

void client_work(struct client *client)
{
	unsigned done = 0;
	take_input(client);
	while (client->has_work && client->state == CLIENT_OPEN && !client->waits && !client_output_is_high(client)) {
		char *text;
		size_t size;
		if (client->listing.kind != LISTING_NONE) {
			if (!listing_go_on(client))
				return;
			continue;
		}
		if (has_had_its_share(client, done++))
			return;
		int result = line_splitter_next(&client->input, &text, &size);
		if (result > 0)
			request_handle(client, text, size);
		else if (result < 0)
			say_too_long(client, result);
		else
			client->has_work = false;
	}
}

// Only reading says whether the peer has ended: what it said before that still counts, and one that merely stopped
// listening may work on.
static void fail_to_send(struct client *client, int error)
{
	char byte;
	forget_output(client);
	ssize_t got = recv(client->fd, &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT);
	if (got < 0 && errno == EAGAIN)
		client_expel(client, strerror(error));
	else if (got <= 0)
		client_drop(client, NULL);
}

// One send a turn: a peer that reads as fast as we write keeps nobody waiting.
void client_flush(struct client *client)
{
	size_t size = buffer_size(&client->output);
	if (client->state == CLIENT_DEAD || client->state == CLIENT_EXPELLED || client->is_blocked)
		return;
	if (size > 0) {
		ssize_t sent = send(client->fd, buffer_bytes(&client->output), size, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0 && errno != EAGAIN && errno != EINTR) {
			fail_to_send(client, errno);
			return;
		}
		buffer_consume(&client->output, sent > 0 ? (size_t)sent : 0);
		count_output(client);
		if (client->counted == 0 && client->output.capacity > SERVER_OUTPUT_LOW)
			buffer_done(&client->output); // a long listing is rare, and connections are many
	}
	client->is_blocked = buffer_size(&client->output) > 0;
	if (client->state == CLIENT_CLOSING && !client->is_blocked)
		client_drop(client, NULL);
}

bool client_rest(struct client *client)
{
	bool works =
		client->has_work && client->state == CLIENT_OPEN && !client->waits && !client_output_is_high(client);
	bool sends = buffer_size(&client->output) > 0;
	bool reads = (client->state == CLIENT_OPEN && !client->has_work) || client->state == CLIENT_EXPELLED;
	if (client->state == CLIENT_DEAD || works)
		return false;
	loop_watch_set(client->watch, (reads ? LOOP_READ : 0) | (sends ? LOOP_WRITE : 0));
	return !sends || client->is_blocked;
}

static void end(struct client *client, enum client_state state)
{
	client->state = state;
	client->listing.kind = LISTING_NONE;
	client_activate(client);
	if (!client->members || client->is_leaving)
		return;
	client->is_leaving = true;
	LL_APPEND2(client->server->leaving, client, leaving_next);
}

void client_close(struct client *client)
{
	if (client->state == CLIENT_OPEN)
		end(client, CLIENT_CLOSING);
}

void client_drop(struct client *client, const char *why)
{
	if (client->state == CLIENT_DEAD)
		return;
	if (why && server_may_log(client->server))
		log_info("client-dropped", log_int("pid", client->peer.pid), log_int("uid", client->peer.uid),
			log_text("reason", why));
	loop_watch_set(client->watch, 0);
	end(client, CLIENT_DEAD);
}

void client_expel(struct client *client, const char *why)
{
	if (client->state == CLIENT_DEAD || client->state == CLIENT_EXPELLED)
		return;
	if (client->seats == 0) {
		client_drop(client, why);
		return;
	}
	if (server_may_log(client->server))
		log_warning("client-expelled", log_int("pid", client->peer.pid), log_int("uid", client->peer.uid),
			log_text("reason", why));
	forget_output(client);
	shutdown(client->fd, SHUT_WR);
	end(client, CLIENT_EXPELLED);
}

// After something was put into its output, or could not be.
static void end_output(struct client *client, int error)
{
	if (client->state == CLIENT_EXPELLED)
		forget_output(client);
	else if (error == -ENOBUFS)
		client_expel(client, "it does not take what it is told");
	else if (error < 0)
		client_expel(client, strerror(-error));
	else
		client_activate(client);
	count_output(client);
}

void client_end_line(struct client *client, struct line_writer *writer)
{
	end_output(client, line_end(writer));
}

// Nobody's silence is a reason to hang up on a worker.
static bool crowds(const struct client *client)
{
	return client->seats == 0 && buffer_size(&client->output) > SERVER_OUTPUT_LOW &&
	       server_output_is_high(client->server);
}

void client_put_line(struct client *client, const struct buffer *line)
{
	end_output(client, buffer_append(&client->output, buffer_bytes(line), buffer_size(line)));
	if (crowds(client))
		client_flush(client); // much may change at once: who would take it is no reason for the crowd
	if (crowds(client))
		client_expel(client, "it does not take what it is told");
}

void client_ok(struct client *client)
{
	struct line_writer writer;
	line_begin(&writer, &client->output, wire_word_name(WIRE_OK));
	client_end_line(client, &writer);
}

void client_error(struct client *client, enum wire_code code, const char *message)
{
	struct line_writer writer;
	line_begin(&writer, &client->output, wire_word_name(WIRE_ERROR));
	line_field(&writer, "code", wire_code_name(code));
	line_field(&writer, "message", message);
	client_end_line(client, &writer);
}
