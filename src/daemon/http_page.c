// SPDX-License-Identifier: Apache-2.0
// What HTTP tells: a page a question.
#include "http_internal.h"

#include "clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define LEADER_PREFIX "/leader/"
#define TEXT "text/plain; charset=utf-8"
#define JSON "application/json"
#define HTML "text/html; charset=utf-8"
#define PROMETHEUS "text/plain; version=0.0.4; charset=utf-8"

enum {
	FOUND = 200,
	NO_SUCH = 404,
	NOT_NOW = 503,
};

enum http_route http_route(const char *path)
{
	static const char *const paths[HTTP_SHARED] = {
		[HTTP_OVERVIEW] = "/",
		[HTTP_HEALTHZ] = "/healthz",
		[HTTP_READYZ] = "/readyz",
		[HTTP_STATUS] = "/status",
		[HTTP_METRICS] = "/metrics",
	};
	for (size_t i = 0; i < COUNT_OF(paths); i++)
		if (strcmp(path, paths[i]) == 0)
			return (enum http_route)i;
	return strncmp(path, LEADER_PREFIX, strlen(LEADER_PREFIX)) == 0 ? HTTP_LEADER : HTTP_NOT_FOUND;
}

// The loop runs, or nobody would be answered.
static unsigned tell_health(FILE *out)
{
	fputs("ok\n", out);
	return FOUND;
}

static unsigned refuse(FILE *out, const struct http_setup *setup, const char *what)
{
	const char *text = setup->store_text;
	fprintf(out, "%s%s%s\n", what, *text ? ": " : "", text);
	return NOT_NOW;
}

// A follower looks once a lease at the least, and its look may take the whole time-out.
static unsigned tell_readiness(FILE *out, const struct http_setup *setup)
{
	const struct election *election = setup->election;
	int64_t answered_at = *setup->answered_at;
	if (election->stopping) {
		fputs("the daemon is about to end\n", out);
		return NOT_NOW;
	}
	if (answered_at == 0)
		return refuse(out, setup, "the store has not answered yet");
	if (clock_now_ns() - answered_at > election->timing.lease_ns + election->timing.timeout_ns)
		return refuse(out, setup, "the store has not answered within a lease");
	fputs("ok\n", out);
	return FOUND;
}

// One body for all: the node that leads, or an empty line. Here or elsewhere is the status.
static unsigned tell_leader(FILE *out, const struct http_setup *setup, const char *path)
{
	struct server_row row;
	uint32_t lease;
	if (server_find_component(setup->server, path + strlen(LEADER_PREFIX), &lease) < 0 ||
		!server_row(setup->server, lease, &row)) {
		fputs("no such component\n", out);
		return NO_SUCH;
	}
	fprintf(out, "%s\n", row.leader);
	return row.valid ? FOUND : NOT_NOW;
}

// ---- status, as tenurectl's -o json has it ----

// How many bytes the character there takes; 0: it is not UTF-8. What a database says may be in any encoding.
static size_t utf8_size(const char *text)
{
	static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned char first = (unsigned char)*text;
	size_t size = first < 0x80 ? 1 : first < 0xc0 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
	unsigned code = size > 1 ? first & (0x7fU >> size) : first;
	if (first >= 0xf8)
		return 0;
	for (size_t i = 1; i < size; i++) {
		if (((unsigned char)text[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | ((unsigned char)text[i] & 0x3f);
	}
	bool is_character = size > 0 && code >= least[size] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
	return is_character ? size : 0;
}

static void put_character(FILE *out, const char *text, size_t size)
{
	if (size == 0)
		fputs("\\ufffd", out);
	else if (*text == '"' || *text == '\\')
		fprintf(out, "\\%c", *text);
	else if ((unsigned char)*text < ' ')
		fprintf(out, "\\u%04x", (unsigned)*text);
	else
		fwrite(text, 1, size, out);
}

static void put_text(FILE *out, const char *key, const char *value)
{
	fprintf(out, ",\"%s\":", key);
	if (*value == '\0') {
		fputs("null", out);
		return;
	}
	fputc('"', out);
	while (*value != '\0') {
		size_t size = utf8_size(value);
		put_character(out, value, size);
		value += size > 0 ? size : 1;
	}
	fputc('"', out);
}

static void put_candidates(FILE *out, const struct server *server, uint32_t lease)
{
	size_t count;
	const struct server_candidate *candidates = server_candidates(server, lease, &count);
	int64_t now = clock_now_ns();
	fputs(",\"candidates\":[", out);
	// A node's name needs no quoting, and only what is one got this far.
	for (size_t i = 0; i < count; i++)
		fprintf(out, "%s{\"node\":\"%s\",\"seen_ms\":%" PRId64 ",\"priority\":%" PRId32 "}", i > 0 ? "," : "",
			candidates[i].other->node, (now - candidates[i].other->seen_at) / NS_PER_MS,
			candidates[i].priority);
	fputc(']', out);
}

static void put_row(FILE *out, const struct server *server, uint32_t lease, const struct server_row *row)
{
	fprintf(out, "{\"component\":\"%s\"", row->component);
	put_text(out, "role", row->role);
	put_text(out, "leader", row->leader);
	fprintf(out, ",\"term\":%" PRIu64 ",\"since_ms\":%" PRId64 ",\"ttl_ms\":%" PRId64, row->term, row->since_ms,
		row->ttl_ns / NS_PER_MS);
	put_text(out, "worker", row->worker);
	fprintf(out, ",\"workers\":%" PRIu32, row->workers);
	put_text(out, "store", row->store);
	put_text(out, "error", row->error);
	put_text(out, "node", row->node);
	put_text(out, "group", row->group);
	put_text(out, "paused", row->paused);
	put_candidates(out, server, lease);
	put_text(out, "reason", row->reason);
	put_text(out, "message", row->message);
	fputc('}', out);
}

static unsigned tell_status(FILE *out, const struct http_setup *setup)
{
	struct server_row row;
	const char *separator = "\n";
	fputs("{\"components\":[", out);
	for (uint32_t i = 0; i < setup->election->lease_count; i++) {
		if (!server_row(setup->server, i, &row))
			continue;
		fputs(separator, out);
		put_row(out, setup->server, i, &row);
		separator = ",\n";
	}
	fputs("\n]}\n", out);
	return FOUND;
}

static unsigned tell(FILE *out, const struct http_setup *setup, enum http_route route, const char *path)
{
	switch (route) {
	case HTTP_OVERVIEW:
		http_overview(out, setup, clock_now_ns(), clock_wall_ms());
		return FOUND;
	case HTTP_HEALTHZ:
		return tell_health(out);
	case HTTP_READYZ:
		return tell_readiness(out, setup);
	case HTTP_STATUS:
		return tell_status(out, setup);
	case HTTP_METRICS:
		metrics_print(setup->metrics, setup->server, setup->election, clock_now_ns(), out);
		return FOUND;
	case HTTP_LEADER:
		return tell_leader(out, setup, path);
	case HTTP_NOT_FOUND:
	default:
		fputs("there are /, /healthz, /readyz, /status, /metrics and /leader/COMPONENT\n", out);
		return NO_SUCH;
	}
}

static const char *type_of(enum http_route route)
{
	if (route == HTTP_OVERVIEW)
		return HTML;
	if (route == HTTP_STATUS)
		return JSON;
	return route == HTTP_METRICS ? PROMETHEUS : TEXT;
}

int http_page_make(const struct http_setup *setup, enum http_route route, const char *path, struct http_page *ret)
{
	*ret = (struct http_page){
		.type = type_of(route),
		.policy = route == HTTP_OVERVIEW ? http_overview_policy : HTTP_POLICY_NOTHING,
	};
	FILE *out = open_memstream(&ret->body, &ret->size);
	if (!out)
		return -ENOMEM;
	ret->status = tell(out, setup, route, path);
	bool failed = ferror(out) != 0;
	if (fclose(out) == 0 && !failed)
		return 0;
	free(ret->body);
	return -ENOMEM;
}
