// SPDX-License-Identifier: Apache-2.0
// HTTP, as far as it goes without a socket: any path, and any text that a database may have given to show.
#include "fuzz.h"

#include "http_internal.h"
#include "loop.h"

static const char *const names[] = {"engine", "counter", "discovery"};

static struct config_component components[COUNT_OF(names)];
static struct config config = {.components = components, .component_count = COUNT_OF(names)};
static struct election election;
static struct election_lease leases[COUNT_OF(names)];
static struct metrics metrics;
static struct server *server;
static char store_text[EXCHANGE_TEXT_SIZE];
static int64_t answered_at, reported_at;
static struct history history;

static const struct election_timing timing = {10 * SECOND, 2 * SECOND, SECOND, 2 * SECOND};
static const struct election_lease_timing timings[COUNT_OF(names)];
static const int slots[COUNT_OF(names)] = {0, 1, -1};

static void set_up(void)
{
	static struct loop *loop;
	static char node[] = "a";
	if (server)
		return;
	config.node = node;
	for (size_t i = 0; i < COUNT_OF(names); i++)
		components[i].name = strdup(names[i]);
	MUST(loop_new(&loop) == 0);
	MUST(metrics_reserve(&metrics, COUNT_OF(names), fuzz_now) == 0);
	election_init(
		&election, &timing, timings, COUNT_OF(names), &(struct election_room){.leases = leases}, fuzz_now);
	MUST(server_new(&server, &(struct server_setup){.loop = loop,
					 .config = &config,
					 .election = &election,
					 .slots = slots,
					 .store_text = store_text,
					 .reported_at = &reported_at}) == 0);
}

static void take_text(struct input *input, char *ret, size_t room)
{
	size_t size = take(input);
	size = size < room ? size : room - 1;
	for (size_t i = 0; i < size; i++)
		ret[i] = (char)take(input);
	ret[size] = '\0';
}

static void take_state(struct input *input)
{
	uint8_t flags = take(input);
	election.stopping = flags & 1;
	answered_at = flags & 2 ? fuzz_now - take(input) * SECOND : 0;
	election.answered = flags & 4;
	election.outcome = take_below(input, EXCHANGE_UNKNOWN + 1);
	take_text(input, store_text, sizeof store_text);
	for (uint32_t i = 0; i < COUNT_OF(names); i++) {
		struct election_lease *l = &leases[i];
		uint8_t choice = take(input);
		l->seen = choice & 1;
		l->state = (choice >> 1) % LEASE_STATES;
		l->row = (struct exchange_row){.lease = i, .exists = choice & 16, .holder_alive = choice & 32};
		l->row.holder.byte[0] = choice & 64;
		l->row.term = take(input);
		l->row.since_ms = choice & 128 ? take_odd(input) : 1;
		l->token = (struct election_token){.term = l->row.term, .deadline = fuzz_now + take(input) - 9};
		take_text(input, l->row.node, sizeof l->row.node);
	}
}

// As a hostile database orders and dates them.
static void take_past(struct input *input)
{
	struct exchange_past past[4];
	size_t count = take_below(input, COUNT_OF(past) + 1);
	for (size_t i = 0; i < count; i++) {
		struct exchange_past *p = &past[i];
		p->lease = take_below(input, COUNT_OF(names));
		p->term = take(input);
		p->from_ms = take_odd(input);
		p->to_ms = take_odd(input);
		take_text(input, p->node, sizeof p->node);
		take_text(input, p->reason, sizeof p->reason);
	}
	MUST(history_take(&history, past, count, take_bool(input) ? fuzz_now : 0) == 0);
}

// ---- what a reader of JSON sees ----

static const char *skip_string(const char *c)
{
	MUST(*c++ == '"');
	while (*c != '"') {
		MUST((unsigned char)*c >= ' ');
		if (*c++ != '\\')
			continue;
		MUST(*c == 'u' ? strspn(c + 1, "0123456789abcdef") >= 4 : *c == '"' || *c == '\\');
		c += *c == 'u' ? 5 : 1;
	}
	return c + 1;
}

static const char *skip_value(const char *c);

static const char *skip_blanks(const char *c)
{
	return c + strspn(c, " \n");
}

// The members of an object, or of an array where there is no name before them.
static const char *skip_members(const char *c, char end)
{
	c = skip_blanks(c + 1);
	bool more = *c != end;
	while (more) {
		if (end == '}') {
			c = skip_string(c);
			MUST(*c++ == ':');
		}
		c = skip_blanks(skip_value(c));
		more = *c == ',';
		MUST(more || *c == end);
		c = more ? skip_blanks(c + 1) : c;
	}
	return c + 1;
}

static const char *skip_value(const char *c)
{
	if (*c == '"')
		return skip_string(c);
	if (*c == '{' || *c == '[')
		return skip_members(c, *c == '{' ? '}' : ']');
	if (strncmp(c, "null", 4) == 0)
		return c + 4;
	size_t digits = strspn(c + (*c == '-'), "0123456789");
	MUST(digits > 0);
	return c + (*c == '-') + digits;
}

static void check_json(const char *body)
{
	static const char start[] = "{\"components\":[";
	MUST(strncmp(body, start, sizeof start - 1) == 0);
	MUST(strcmp(skip_value(body), "\n") == 0);
}

// Bytes of UTF-8, as JSON and Prometheus take nothing else.
static void check_text(const char *body)
{
	for (const unsigned char *c = (const unsigned char *)body; *c;) {
		int more = *c < 0x80 ? 0 : *c >= 0xc2 && *c < 0xe0 ? 1 : *c >= 0xe0 && *c < 0xf0 ? 2 : 3;
		MUST(*c < 0x80 || (*c >= 0xc2 && *c < 0xf5));
		for (c++; more > 0; more--)
			MUST((*c++ & 0xc0) == 0x80);
	}
}

// What a browser has to find the end of: a tag with its quotes.
static const char *skip_tag(const char *c)
{
	for (bool quoted = false; quoted || *c != '>'; c++) {
		MUST(*c != '\0' && *c != '<');
		quoted ^= *c == '"';
	}
	return c + 1;
}

// Every element is closed, in order, and no text from elsewhere opened one.
static void check_html(const char *body)
{
	static const char *const without_end[] = {"!", "meta", "link", "br"};
	const char *open[32];
	size_t depth = 0;
	for (const char *tag = strchr(body, '<'), *end; tag; tag = strchr(end, '<')) {
		const char *name = tag + 1 + (tag[1] == '/');
		size_t length = strcspn(name, " />\n");
		bool ends = false;
		end = skip_tag(name);
		for (size_t i = 0; i < COUNT_OF(without_end); i++)
			ends |= strncasecmp(name, without_end[i], strlen(without_end[i])) == 0;
		if (ends || end[-2] == '/')
			continue;
		if (tag[1] != '/') {
			MUST(depth < COUNT_OF(open));
			open[depth++] = name;
			continue;
		}
		MUST(depth > 0 && strncmp(open[--depth], name, length) == 0);
	}
	MUST(depth == 0);
}

// Comments, and NAME{LABELS} NUMBER.
static void check_metrics(const char *body)
{
	for (const char *line = body; *line != '\0';) {
		const char *end = strchr(line, '\n');
		MUST(end);
		const char *space = memrchr(line, ' ', (size_t)(end - line));
		MUST(space && (*line == '#' || strspn(space + 1, "0123456789.+-eInf") == (size_t)(end - space - 1)));
		line = end + 1;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[HTTP_PATH_BYTES];
	struct http_page page;
	struct input input = {data, size};
	set_up();
	take_text(&input, path, sizeof path);
	take_state(&input);
	take_past(&input);
	const struct http_setup setup = {
		.election = &election,
		.server = server,
		.store_text = store_text,
		.metrics = &metrics,
		.history = &history,
		.answered_at = &answered_at,
	};
	enum http_route route = http_route(path);
	MUST((unsigned)route <= HTTP_NOT_FOUND);
	MUST(http_page_make(&setup, route, path, &page) == 0);
	MUST(page.status == 200 || page.status == 404 || page.status == 503);
	MUST(page.body && page.size > 0 && strlen(page.body) == page.size && page.type);
	MUST((route == HTTP_NOT_FOUND) <= (page.status == 404));
	if (route == HTTP_STATUS)
		check_json(page.body);
	if (route == HTTP_METRICS)
		check_metrics(page.body);
	if (route == HTTP_OVERVIEW)
		check_html(page.body);
	if (route == HTTP_STATUS || route == HTTP_METRICS)
		check_text(page.body);
	free(page.body);
	return 0;
}
