// SPDX-License-Identifier: Apache-2.0
// HTTP for probes and scrapers (S6), by libmicrohttpd in our loop: it only ever tells, and each answer is made from
// what the server knows (server_row()), which is what status and the terms page show.
#ifndef TENURE_HTTP_H
#define TENURE_HTTP_H

#include "config.h"
#include "election.h"
#include "history.h"
#include "loop.h"
#include "metrics.h"
#include "server.h"

// Limits on what a peer controls. A connection is for one request.
#define HTTP_CONNECTIONS 64
#define HTTP_HEADER_BYTES 8192          // of a request, its first line included; also room for the answer's
#define HTTP_LIFETIME_NS (5 * NS_PER_S) // of a connection, whatever it says or takes meanwhile

// What is pointed to outlives the HTTP server.
struct http_setup {
	struct loop *loop;
	const struct config *config; // only looked at by http_new()
	const char *config_path;     // for the log
	const struct election *election;
	const struct server *server;
	const char *store_text; // what is wrong with the store, or ""
	const struct metrics *metrics;
	struct history *history;    // what is wanted is asked for by the caller, after http_turn()
	const int64_t *answered_at; // when the store last said OK; 0: not yet
};

// Whether what serves HTTP is there, which is a module: 0, or -errno and a text.
int http_check(const struct config *config, char *ret_text, size_t size) MUST_CHECK;

struct http;

// Listens where [http] listen says. 0, or -errno after a line in the log. With nothing to listen on: 0 and NULL.
int http_new(struct http **ret, const struct http_setup *setup) MUST_CHECK;
// Takes NULL, as the next two do.
void http_free(struct http *http);

// To be called in each turn of the loop (loop_on_turn), after what is more urgent.
void http_turn(struct http *http);
// When there has to be a turn at the latest; INT64_MAX: nothing is to be done by itself.
int64_t http_deadline(const struct http *http);

#endif
