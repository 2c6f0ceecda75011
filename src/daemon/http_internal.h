// SPDX-License-Identifier: Apache-2.0
// What the parts of HTTP share: http.c (connections), http_page.c (what is told) and http_listen.c (the socket).
#ifndef TENURE_HTTP_INTERNAL_H
#define TENURE_HTTP_INTERNAL_H

#include "http.h"

#define HTTP_PATH_BYTES 512 // of which as many are looked at

enum http_route {
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
	char *body; // the caller's to free
	size_t size;
};

// http_page.c
enum http_route http_route(const char *path);
// 0 or -errno.
int http_page_make(
	const struct http_setup *setup, enum http_route route, const char *path, struct http_page *ret) MUST_CHECK;

// http_listen.c: the socket, or -errno and in `ret_why` what stands in the way and what to do.
#define HTTP_WHY_BYTES 256
int http_listen(const char *where, mode_t mode, gid_t gid, char ret_why[static HTTP_WHY_BYTES]) MUST_CHECK;

#endif
