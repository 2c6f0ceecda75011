// SPDX-License-Identifier: Apache-2.0
// Connections of HTTP, and how libmicrohttpd gets its turns.
//
// Its descriptor is watched by our loop, and it is run in the loop's turn, after the workers. What is shared by several
// requests of one turn is made once, so what a turn takes does not grow with their number.
#include "http_internal.h"

#include "clock.h"
#include "http_library.h"
#include "log.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

// One connection, the oldest first: all live for the same time.
struct peer {
	int fd;
	int64_t until;
	bool listed;
	struct peer *prev, *next;
};

struct answer {
	unsigned status;
	struct MHD_Response *response; // NULL: not made
};

struct http {
	struct http_setup setup;
	char *socket_path; // to be removed at the end; NULL: TCP
	struct MHD_Daemon *daemon;
	struct loop_watch *watch;
	struct peer *peers;
	bool is_ready;                     // its descriptor is
	int64_t run_at;                    // it wants to be run without waiting for its descriptor
	struct answer shared[HTTP_SHARED]; // of this turn
};

static const struct http_library *mhd; // once there is something to listen on

// ---- answers ----

static struct MHD_Response *make_response(const struct http_page *page)
{
	struct MHD_Response *response = mhd->create_response_from_buffer(page->size, page->body, MHD_RESPMEM_MUST_FREE);
	if (!response) {
		free(page->body);
		return NULL;
	}
	const struct {
		const char *name, *value;
	} headers[] = {
		{MHD_HTTP_HEADER_CONTENT_TYPE, page->type},
		{MHD_HTTP_HEADER_CACHE_CONTROL, "no-store"},
		// A connection is for one request: so there is nothing to be gained from holding it.
		{MHD_HTTP_HEADER_CONNECTION, "close"},
		{"Content-Security-Policy", page->policy},
		{"Referrer-Policy", "no-referrer"},
		{"X-Content-Type-Options", "nosniff"},
	};
	bool all = true;
	for (size_t i = 0; i < COUNT_OF(headers); i++)
		all = all && mhd->add_response_header(response, headers[i].name, headers[i].value) == MHD_YES;
	if (all)
		return response;
	mhd->destroy_response(response);
	return NULL;
}

static struct answer make_answer(const struct http *http, enum http_route route, const char *path)
{
	struct http_page page;
	if (http_page_make(&http->setup, route, path, &page) < 0)
		return (struct answer){0};
	return (struct answer){.status = page.status, .response = make_response(&page)};
}

static void drop_answer(struct answer *answer)
{
	if (answer->response)
		mhd->destroy_response(answer->response);
	answer->response = NULL;
}

static enum MHD_Result give_answer(struct http *http, struct MHD_Connection *connection, const char *path)
{
	enum http_route route = http_route(path);
	struct answer own = {0}, *answer = route < HTTP_SHARED ? &http->shared[route] : &own;
	if (!answer->response)
		*answer = make_answer(http, route, path);
	enum MHD_Result result =
		answer->response ? mhd->queue_response(connection, answer->status, answer->response) : MHD_NO;
	drop_answer(&own);
	return result;
}

static enum MHD_Result refuse_method(struct MHD_Connection *connection)
{
	struct http_page page = {
		.type = "text/plain; charset=utf-8",
		.policy = HTTP_POLICY_NOTHING,
		.body = strdup("GET and HEAD\n"),
	};
	page.size = page.body ? strlen(page.body) : 0;
	struct MHD_Response *response = page.body ? make_response(&page) : NULL;
	if (!response)
		return MHD_NO;
	enum MHD_Result result = mhd->add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	if (result == MHD_YES)
		result = mhd->queue_response(connection, MHD_HTTP_METHOD_NOT_ALLOWED, response);
	mhd->destroy_response(response);
	return result;
}

// libmicrohttpd's type for `size` and `state`.
// NOLINTNEXTLINE(readability-non-const-parameter)
static enum MHD_Result on_request(void *userdata, struct MHD_Connection *connection, const char *path,
	const char *method, const char *version, const char *body, size_t *size, void **state)
{
	(void)version;
	(void)body;
	(void)size;
	(void)state;
	bool reads = strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
	return reads ? give_answer(userdata, connection, path) : refuse_method(connection);
}

// ---- connections ----

static void unlist(struct http *http, struct peer *peer)
{
	if (peer->listed)
		DL_DELETE(http->peers, peer);
	peer->listed = false;
}

static void cut(int fd)
{
	if (shutdown(fd, SHUT_RDWR) < 0)
		log_debug("http-connection", log_errno("problem", errno));
}

static void add_peer(struct http *http, int fd, void **state)
{
	struct peer *peer = malloc(sizeof *peer);
	*state = peer;
	if (!peer) {
		cut(fd);
		return;
	}
	*peer = (struct peer){.fd = fd, .until = clock_now_ns() + HTTP_LIFETIME_NS, .listed = true};
	DL_APPEND(http->peers, peer);
}

static void on_connection(
	void *userdata, struct MHD_Connection *connection, void **state, enum MHD_ConnectionNotificationCode code)
{
	struct http *http = userdata;
	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		add_peer(http, mhd->get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd,
			state);
		return;
	}
	if (*state)
		unlist(http, *state);
	free(*state);
	*state = NULL;
	http->run_at = 0; // it accepts again only when it is run again
}

// ---- turns ----

static void on_readable(void *userdata, int fd, unsigned flags)
{
	struct http *http = userdata;
	(void)fd;
	(void)flags;
	http->is_ready = true;
}

// libmicrohttpd finds out by itself that they ended.
static void cut_late(struct http *http, int64_t now)
{
	while (http->peers && http->peers->until <= now) {
		cut(http->peers->fd);
		unlist(http, http->peers);
	}
}

void http_turn(struct http *http)
{
	MHD_UNSIGNED_LONG_LONG wait_ms;
	if (!http)
		return;
	int64_t now = clock_now_ns();
	cut_late(http, now);
	if (!http->is_ready && now < http->run_at)
		return;
	http->is_ready = false;
	http->run_at = INT64_MAX;
	mhd->run(http->daemon);
	for (size_t i = 0; i < COUNT_OF(http->shared); i++)
		drop_answer(&http->shared[i]);
	if (mhd->get_timeout(http->daemon, &wait_ms) == MHD_YES && http->run_at == INT64_MAX)
		http->run_at = now + (int64_t)wait_ms * NS_PER_MS;
}

int64_t http_deadline(const struct http *http)
{
	if (!http)
		return INT64_MAX;
	int64_t cut_at = http->peers ? http->peers->until : INT64_MAX;
	return cut_at < http->run_at ? cut_at : http->run_at;
}

// ---- begin and end ----

static int start(struct http *http, int fd)
{
	http->daemon = mhd->start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, http, MHD_OPTION_LISTEN_SOCKET, fd,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_CONNECTIONS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)HTTP_HEADER_BYTES, MHD_OPTION_NOTIFY_CONNECTION, on_connection, http, MHD_OPTION_END);
	if (!http->daemon) {
		close(fd);
		return -ENOMEM;
	}
	int epoll_fd = mhd->get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
	return loop_watch_new(http->setup.loop, epoll_fd, LOOP_READ, on_readable, http, &http->watch);
}

int http_check(const struct config *config, char *ret_text, size_t size)
{
	(void)config;
	mhd = &http_library ? &http_library : module_load("http", "http_library");
	if (!mhd)
		snprintf(ret_text, size, "the module for HTTP cannot be loaded: %s", dlerror());
	else if (strcmp(mhd->version, TENURE_VERSION) != 0)
		snprintf(ret_text, size, "the module for HTTP is of version %s and this program of " TENURE_VERSION,
			mhd->version);
	else
		return 0;
	return -ENOENT;
}

static int open_http(struct http *http, const char *where, char *why)
{
	const struct config *config = http->setup.config;
	int error = http_check(config, why, HTTP_WHY_BYTES);
	if (error < 0)
		return error;
	char *path = strdup(where);
	int fd = path ? http_listen(where, config->socket_mode, config->socket_gid, why) : -ENOMEM;
	if (fd < 0) {
		free(path);
		return fd;
	}
	if (where[0] == '/')
		http->socket_path = path;
	else
		free(path);
	error = start(http, fd);
	if (error < 0)
		snprintf(why, HTTP_WHY_BYTES, "cannot set it up: %s", strerror(-error));
	return error;
}

int http_new(struct http **ret, const struct http_setup *setup)
{
	const char *where = setup->config->http.listen;
	*ret = NULL;
	if (!where)
		return 0;
	char why[HTTP_WHY_BYTES] = "out of memory";
	struct http *http = calloc(1, sizeof *http);
	int error = http ? 0 : -ENOMEM;
	if (http) {
		http->setup = *setup;
		error = open_http(http, where, why);
	}
	if (error < 0) {
		log_error("http", log_text("file", setup->config_path), log_text("key", "[http] listen"),
			log_text("value", where), log_text("problem", why));
		http_free(http);
		return error;
	}
	*ret = http;
	return 0;
}

void http_free(struct http *http)
{
	if (!http)
		return;
	loop_watch_free(http->watch);
	if (http->socket_path)
		unlink(http->socket_path);
	if (http->daemon)
		mhd->stop_daemon(http->daemon);
	free(http->socket_path);
	free(http);
}
