// SPDX-License-Identifier: Apache-2.0
// What the parts of HTTP share: http.c (connections), http_page.c (what is told), http_overview.c (what people
// are told) and http_listen.c (the socket).
#ifndef TENURE_HTTP_INTERNAL_H
#define TENURE_HTTP_INTERNAL_H

#include "http.h"

#define HTTP_POLICY_NOTHING "default-src 'none'; frame-ancestors 'none'"
#define HTTP_PATH_BYTES 512 // of which as many are looked at

enum http_route {
	HTTP_OVERVIEW,
	HTTP_HEALTHZ,
	HTTP_READYZ,
	HTTP_STATUS,
	HTTP_METRICS,
	HTTP_SHARED, // from here on each request gets an answer of its own
	HTTP_LEADER = HTTP_SHARED,
	HTTP_NOT_FOUND,
};

struct http_page {
	unsigned status;
	const char *type;
	const char *policy; // what a browser may load and run for it
	char *body;         // the caller's to free
	size_t size;
};

// http_page.c
enum http_route http_route(const char *path);
// 0 or -errno.
int http_page_make(
	const struct http_setup *setup, enum http_route route, const char *path, struct http_page *ret) MUST_CHECK;

// http_overview.c
// `now` is CLOCK_BOOTTIME, and `wall_ms` what people call it.
void http_overview(FILE *out, const struct http_setup *setup, int64_t now, int64_t wall_ms);
// Of the only thing that it brings along, its style.
extern const char http_overview_policy[];

// http_listen.c: the socket, or -errno and in `ret_why` what stands in the way and what to do.
#define HTTP_WHY_BYTES 256
int http_listen(const char *where, mode_t mode, gid_t gid, char ret_why[static HTTP_WHY_BYTES]) MUST_CHECK;

#endif
