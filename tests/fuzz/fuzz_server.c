// SPDX-License-Identifier: Apache-2.0
// The server's state: several clients say anything to a real server and election, in memory, while the database comes
// and goes. What they hear is compared with a model of the protocol: an answer a request, in order; of each term one
// `granted` and one end.
#include "fuzz.h"

#include "told.h"

#include "log.h"
#include "server_internal.h"
#include "tables.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define NAMES 3 // "engine" alone, and a group of "counter" and "discovery"
#define PEERS 5
#define ASKED LINE_BYTES // as many as fit into what is said at once
#define OUTPUT_BYTES 2048
#define MOMENTS 256
#define CANDIDATES 16
// The last peer is another user: it may neither join the engine nor manage anything (S7).
#define STRANGER (PEERS - 1)
// A choice that was added; what is below is what it was, or the corpus would be worth nothing.
#define ADDED 240

enum kind {
	KIND_NONE,
	KIND_ANY,
	KIND_HELLO,
	KIND_JOIN,
	KIND_WORD,
	KIND_END,
	KIND_LEAVE,
	KIND_CHECK,
	KIND_STATUS,
	KIND_WATCH,
	KIND_HISTORY,
	KIND_MANAGE
};

struct asked {
	enum kind kind;
	uint32_t lease;
	uint64_t term; // 0: none
	size_t since;  // the moment in which it was asked
};

// What a `check` says of a lease, from then until the next one.
struct moment {
	int64_t now;
	uint64_t term;
	int64_t deadline;
};

// One of ours, and what it knows of each component.
struct peer {
	int fd; // -1: none
	bool strange;
	bool deaf;    // reads nothing
	bool leaving; // it will say no more
	bool doomed;  // it said what a server hangs up for
	bool partly;  // a line was begun
	size_t line;  // bytes of it
	bool hung_up;
	bool watches;
	bool wild; // it said what the model does not follow
	struct asked asked[ASKED];
	size_t asked_count;
	bool joined[NAMES];
	uint64_t term[NAMES]; // the last one granted
	bool open[NAMES];     // it has not ended
	bool revoked[NAMES];
	char heard[LINE_BYTES * 4];
	size_t heard_size;
};

struct world {
	struct loop *loop;
	struct loop_watch *kick;
	unsigned turns;
	struct config config;
	struct server *server;
	struct election election;
	struct election_lease leases[NAMES];
	struct exchange_release releases[NAMES];
	struct exchange_claim claims[NAMES];
	struct exchange_offer offers[NAMES];
	struct election_note notes[NAMES * ELECTION_NOTES_PER_LEASE + ELECTION_NOTES_MORE];
	struct election_update update;
	struct told told[NAMES];
	struct moment moments[NAMES][MOMENTS]; // the last ones
	size_t moment_count;
	uint8_t ids;
	struct peer peers[PEERS];
	// The database, and the exchange that is on its way.
	struct tables *tables;
	bool sent;
	struct exchange_request request;
	struct exchange_release sent_releases[NAMES];
	struct exchange_claim sent_claims[NAMES];
	struct exchange_offer sent_offers[NAMES];
	struct exchange_stray sent_sweeps[EXCHANGE_STRAYS];
	struct exchange_ask sent_ask;
	struct exchange_row rows[NAMES];
	struct exchange_grant grants[NAMES];
	struct exchange_candidate candidates[CANDIDATES];
	struct exchange_offerer offerers[CANDIDATES];
	struct exchange_past past[1];
	struct exchange_reply reply;
	uint64_t connection;
};

static const char *const names[NAMES] = {"engine", "counter", "discovery"};
static const struct election_timing timing = {10 * SECOND, 2 * SECOND, SECOND, 2 * SECOND};
static const struct election_lease_timing timings[NAMES] = {
	{.stop_grace_ns = 2 * SECOND, .start_timeout_ns = 30 * SECOND, .cooldown_ns = SECOND},
	{.stop_grace_ns = SECOND, .start_timeout_ns = 3 * SECOND, .cooldown_ns = SECOND},
	{.stop_grace_ns = SECOND, .start_timeout_ns = 3 * SECOND, .cooldown_ns = SECOND},
};
static struct world w;

// ---- the election and its database ----

static void send_request(const struct exchange_request *request)
{
	w.sent = true;
	w.request = *request;
	memcpy(w.sent_releases, request->releases, request->release_count * sizeof *request->releases);
	memcpy(w.sent_claims, request->claims, request->claim_count * sizeof *request->claims);
	memcpy(w.sent_offers, request->offers, request->offer_count * sizeof *request->offers);
	memcpy(w.sent_sweeps, request->sweeps, request->sweep_count * sizeof *request->sweeps);
	w.request.releases = w.sent_releases;
	w.request.claims = w.sent_claims;
	w.request.offers = w.sent_offers;
	w.request.sweeps = w.sent_sweeps;
	w.request.ask = request->ask ? &w.sent_ask : NULL;
	if (request->ask)
		w.sent_ask = *request->ask;
}

static void tell(const struct election_note *note, const struct exchange_reply *reply)
{
	told_note(w.told, note, &w.election);
	if (note->type == NOTE_GRANTED)
		server_tell_granted(w.server, note->lease, note->term, note->deadline);
	else if (note->type == NOTE_EXTENDED)
		server_tell_extended(w.server, note->lease, note->term, note->deadline);
	else if (note->type == NOTE_REVOKED)
		server_tell_revoked(w.server, note->lease, note->term, note->deadline, note->reason);
	else if (note->type == NOTE_LEADER)
		server_tell_leader(w.server, note->lease);
	else if (note->type == NOTE_SEAT_VACANT)
		server_tell_vacant(w.server, note->lease);
	else if (note->type == NOTE_OPERATED)
		server_tell_operated(w.server, note->result, reply);
}

static void note_moment(void)
{
	for (size_t i = 0; i < NAMES; i++)
		w.moments[i][w.moment_count % MOMENTS] = (struct moment){fuzz_now, w.told[i].term, w.told[i].deadline};
	w.moment_count++;
}

static void step(void *userdata, const struct election_event *event)
{
	struct election_event next = *event;
	(void)userdata;
	do {
		struct uuid id = {{0xee, ++w.ids, 1}};
		if (election_wants_id(&w.election))
			election_supply_id(&w.election, &id);
		next.now = fuzz_now;
		election_step(&w.election, &next, &w.update);
		server_answer(w.server, w.update.answer);
		for (size_t i = 0; i < w.update.note_count; i++)
			tell(&w.notes[i], next.type == ELECTION_REPLY ? next.reply : NULL);
		told_check(w.told, &w.election);
		note_moment();
		if (w.update.submit)
			send_request(&w.update.request);
	} while (server_next_event(w.server, &next));
}

static void carry_out(void)
{
	const struct exchange_request *request = &w.request;
	w.reply = (struct exchange_reply){.rows = w.rows, .grants = w.grants};
	w.tables->now_us = fuzz_now / NS_PER_US;
	w.tables->unix_time = fuzz_now / NS_PER_US;
	w.reply.session_alive = tables_session(w.tables, request, "a");
	tables_adopt(w.tables, request);
	tables_missing(w.tables, request);
	tables_change(w.tables, request, w.grants, &w.reply.grant_count);
	tables_ask(w.tables, request, "a", &w.reply);
	tables_report(w.tables, request, w.rows, &w.reply);
	tables_candidates(w.tables, request, w.candidates, w.offerers, CANDIDATES, &w.reply);
	w.past[0] = (struct exchange_past){.lease = w.ids % (NAMES + 1), .term = w.ids, .node = "b"};
	w.reply.past = w.past;
	w.reply.past_count = request->history_count > 0;
}

// Carried out or not, heard of or not.
static void answer(struct input *input)
{
	uint32_t choice = take_below(input, 8);
	if (!w.sent)
		return;
	w.sent = false;
	bool fails = choice == 5 || choice == 6;
	if (fails)
		w.reply = (struct exchange_reply){.outcome = EXCHANGE_BUSY + take_below(input, EXCHANGE_UNKNOWN)};
	else
		carry_out();
	if (choice == 7)
		return;
	w.connection += choice == 4;
	w.reply.number = w.request.number;
	w.reply.connection = w.connection;
	if (w.reply.outcome == EXCHANGE_OK && w.request.candidates)
		server_take_candidates(w.server, &w.reply);
	step(NULL, &(struct election_event){.type = ELECTION_REPLY, .reply = &w.reply});
}

// Another daemon, which would lead everything.
static void add_candidate(void)
{
	struct tables_session *session = &w.tables->sessions[w.tables->session_capacity - 1];
	*session = (struct tables_session){
		.id = {{7, ++w.ids}}, .node = "b", .seq = 1, .lease_ms = 10000, .renewed_us = w.tables->now_us};
	for (uint32_t i = 0; i < NAMES; i++)
		session->offers[session->offer_count++] = (struct exchange_offer){.lease = i, .priority = 1};
}

// What happens to the tables behind our back: a kill, another daemon that takes a lease or would, another server.
static void change_tables(struct input *input)
{
	struct tables_lease *row = &w.tables->leases[take_below(input, NAMES)];
	uint8_t drawn = take(input);
	uint32_t choice = drawn % 4;
	if (drawn >= ADDED) {
		add_candidate();
	} else if (choice == 0) {
		memset(w.tables->sessions, 0, w.tables->session_capacity * sizeof *w.tables->sessions);
	} else if (choice == 1) {
		row->exists = true;
		row->session = (struct uuid){{9}};
		row->term++;
		memset(w.tables->sessions, 0, w.tables->session_capacity * sizeof *w.tables->sessions);
	} else if (choice == 2) {
		w.tables->server.text[0] = (char)('a' + take_below(input, 5));
	} else {
		row->locked = !row->locked;
	}
	step(NULL, &(struct election_event){.type = ELECTION_HINT});
}

static void pass_time(struct input *input)
{
	static const int64_t steps_ms[] = {1, 20, 100, 500, 1000, 2000, 5000, 10041, 30000};
	int64_t at = election_deadline(&w.election);
	uint8_t choice = take(input);
	bool exact = choice >= 64 && at != ELECTION_NEVER && at >= fuzz_now;
	fuzz_now = exact ? at : fuzz_now + steps_ms[choice % COUNT_OF(steps_ms)] * NS_PER_MS;
	step(NULL, &(struct election_event){.type = ELECTION_TIME});
}

// ---- what a peer hears ----

// The value's place in the line, or NULL.
static const char *value_of(const char *line, const char *key)
{
	char pattern[32];
	snprintf(pattern, sizeof pattern, " %s=", key);
	const char *found = strstr(line, pattern);
	return found ? found + strlen(pattern) : NULL;
}

static bool has(const char *line, const char *key)
{
	return value_of(line, key) != NULL;
}

static uint32_t lease_of(const char *line)
{
	const char *value = value_of(line, "component");
	MUST(value);
	uint32_t i = 0;
	while (i < NAMES && (strncmp(value, names[i], strlen(names[i])) != 0 || value[strlen(names[i])] > ' '))
		i++;
	MUST(i < NAMES);
	return i;
}

static void hear_push(struct peer *peer, const char *word, const char *line)
{
	uint32_t lease = lease_of(line);
	const char *text = value_of(line, "term");
	MUST(text);
	uint64_t term = strtoull(text, NULL, 10);
	if (strcmp(word, "leader") == 0) {
		MUST(peer->watches || peer->wild);
	} else if (strcmp(word, "granted") == 0) {
		MUST(term > peer->term[lease]);
		MUST(!peer->strange || lease > 0);
		MUST(peer->wild || (peer->joined[lease] && !peer->open[lease]));
		peer->term[lease] = term;
		peer->open[lease] = true;
		peer->revoked[lease] = false;
	} else {
		MUST(strcmp(word, "extended") == 0 || strcmp(word, "revoked") == 0);
		MUST(term == peer->term[lease] && !peer->revoked[lease] && (peer->wild || peer->open[lease]));
		peer->revoked[lease] = strcmp(word, "revoked") == 0;
	}
}

static uint64_t number_of(const char *line, const char *key)
{
	const char *value = value_of(line, key);
	MUST(value);
	return strtoull(value, NULL, 10);
}

static bool is_said_of(const struct moment *moment, const struct asked *asked, const char *line)
{
	bool valid = moment->term != 0 && moment->now < moment->deadline &&
		     (asked->term == 0 || asked->term == moment->term);
	if (strncmp(value_of(line, "valid"), "yes", 3) != 0)
		return !valid;
	return valid && number_of(line, "term") == moment->term &&
	       (int64_t)number_of(line, "deadline") == moment->deadline &&
	       (int64_t)number_of(line, "ttl_ms") <= (moment->deadline - moment->now) / NS_PER_MS;
}

// It was so in some moment since it was asked, unless that is too long ago.
static void hear_check(const struct asked *asked, const char *line)
{
	MUST(has(line, "valid"));
	bool was = w.moment_count - asked->since > MOMENTS;
	for (size_t i = asked->since; !was && i < w.moment_count; i++)
		was = is_said_of(&w.moments[asked->lease][i % MOMENTS], asked, line);
	MUST(was);
}

static void hear_ok(struct peer *peer, const struct asked *asked, const char *line)
{
	switch (asked->kind) {
	case KIND_HELLO:
		MUST(has(line, "version") && has(line, "node"));
		break;
	case KIND_JOIN:
		MUST(lease_of(line) == asked->lease && has(line, "slot"));
		MUST(peer->wild || !peer->joined[asked->lease]);
		MUST(!peer->strange || asked->lease > 0);
		peer->joined[asked->lease] = true;
		break;
	case KIND_CHECK:
		hear_check(asked, line);
		break;
	case KIND_END:
	case KIND_LEAVE:
		MUST(line[0] == '\0' && (peer->wild || peer->joined[asked->lease]));
		peer->open[asked->lease] = false;
		peer->joined[asked->lease] &= asked->kind == KIND_END;
		break;
	case KIND_WATCH:
	case KIND_WORD:
	case KIND_STATUS:
	case KIND_HISTORY:
		MUST(line[0] == '\0');
		break;
	case KIND_MANAGE:
		MUST(line[0] == '\0' && !peer->strange);
		break;
	case KIND_ANY:
	case KIND_NONE:
	default:
		break;
	}
}

static void hear_answer(struct peer *peer, const char *word, const char *line)
{
	MUST(peer->asked_count > 0);
	struct asked asked = peer->asked[0];
	peer->asked_count--;
	memmove(peer->asked, peer->asked + 1, peer->asked_count * sizeof *peer->asked);
	if (strcmp(word, "ok") == 0)
		hear_ok(peer, &asked, line);
	else
		MUST(strcmp(word, "error") == 0 && has(line, "code") && has(line, "message"));
}

static void hear_line(struct peer *peer, char *line)
{
	char *rest = strchrnul(line, ' ');
	char word[16];
	MUST(rest - line < (ptrdiff_t)sizeof word);
	snprintf(word, sizeof word, "%.*s", (int)(rest - line), line);
	enum kind kind = peer->asked_count > 0 ? peer->asked[0].kind : KIND_NONE;
	if (strcmp(word, "row") == 0)
		MUST(kind == KIND_STATUS || kind == KIND_ANY);
	else if (strcmp(word, "past") == 0)
		MUST(kind == KIND_HISTORY || kind == KIND_ANY);
	else if (strcmp(word, "ok") == 0 || strcmp(word, "error") == 0)
		hear_answer(peer, word, rest);
	else
		hear_push(peer, word, rest);
}

static void hear_lines(struct peer *peer)
{
	char *newline;
	while ((newline = memchr(peer->heard, '\n', peer->heard_size))) {
		*newline = '\0';
		hear_line(peer, peer->heard);
		peer->heard_size -= (size_t)(newline + 1 - peer->heard);
		memmove(peer->heard, newline + 1, peer->heard_size);
	}
}

static void hear(struct peer *peer)
{
	while (peer->fd >= 0 && !peer->deaf && !peer->hung_up) {
		ssize_t got = recv(
			peer->fd, peer->heard + peer->heard_size, sizeof peer->heard - peer->heard_size, MSG_DONTWAIT);
		if (got < 0 && errno == EAGAIN)
			return;
		peer->hung_up = got <= 0;
		// Nobody is hung up on without a reason.
		if (peer->hung_up) {
			MUST(peer->leaving || peer->doomed);
			MUST(peer->doomed || (peer->asked_count == 0 && peer->heard_size == 0));
			return;
		}
		peer->heard_size += (size_t)got;
		hear_lines(peer);
	}
}

// ---- turns ----

static void on_turn(void *userdata)
{
	(void)userdata;
	server_turn(w.server);
	if (++w.turns % 2 == 0) // the first comes before any event
		loop_stop(w.loop);
}

static void on_kick(void *userdata, int fd, unsigned flags)
{
	(void)userdata;
	(void)fd;
	(void)flags;
}

// It was told of a term, has heard of all that it said since, and neither ended the term nor went away.
static bool is_working(const struct peer *peer, uint32_t lease)
{
	bool heard = peer->fd >= 0 && !peer->deaf && !peer->doomed && !peer->wild && !peer->leaving && !peer->hung_up;
	return heard && peer->asked_count == 0 && peer->open[lease];
}

static void turn(void)
{
	MUST(loop_run(w.loop) == 0);
	for (size_t i = 0; i < PEERS; i++)
		hear(&w.peers[i]);
	for (uint32_t lease = 0; lease < NAMES; lease++) {
		size_t working = 0;
		for (size_t i = 0; i < PEERS; i++)
			working += is_working(&w.peers[i], lease);
		MUST(working <= 1); // W2
	}
}

// ---- what a peer does ----

static void connect_peer(struct peer *peer)
{
	int fds[2];
	const int small = 1;
	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
	MUST(setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof small) == 0);
	MUST(client_new(w.server, fds[1]) == 0);
	*peer = (struct peer){.fd = fds[0], .strange = peer == &w.peers[STRANGER]};
	if (peer->strange)
		w.server->clients->prev->peer.uid = geteuid() + 1; // the last one
}

static void hang_up(struct peer *peer)
{
	if (peer->fd >= 0)
		close(peer->fd);
	*peer = (struct peer){.fd = -1};
}

static void note_line(struct peer *peer, struct asked asked)
{
	asked.since = w.moment_count - 1;
	peer->asked[peer->asked_count++] = asked;
}

// It is told so before its line ends, and then hung up on.
static void say_too_much(struct peer *peer)
{
	if (peer->line != LINE_BYTES)
		return;
	note_line(peer, (struct asked){.kind = KIND_ANY});
	peer->doomed = true;
}

// A line that was begun before makes another one of it.
static void say(struct peer *peer, const char *text, size_t size, struct asked asked)
{
	if (peer->fd < 0 || peer->leaving || peer->hung_up || peer->asked_count + size > ASKED)
		return;
	ssize_t sent = send(peer->fd, text, size, MSG_NOSIGNAL | MSG_DONTWAIT);
	for (ssize_t i = 0; i < sent; i++) {
		peer->line++;
		if (text[i] != '\n') {
			say_too_much(peer);
			continue;
		}
		bool whole = !peer->partly && (size_t)sent == size && i == sent - 1 && peer->line == size;
		note_line(peer, whole ? asked : (struct asked){.kind = KIND_ANY});
		peer->line = 0;
		peer->partly = false;
	}
	peer->partly = peer->line > 0;
	peer->watches |= asked.kind == KIND_WATCH;
	peer->wild |= asked.kind == KIND_ANY || peer->partly;
}

static const char *take_term(const struct peer *peer, uint32_t lease, struct input *input, char ret[static 32])
{
	uint64_t term = peer->term[lease];
	switch (take_below(input, 8)) {
	case 0:
		return "";
	case 1:
		return " term=0";
	case 2:
		return " term=18446744073709551615";
	case 3:
		term++;
		break;
	default:
		break;
	}
	snprintf(ret, 32, " term=%llu", (unsigned long long)term);
	return ret;
}

static void ask(struct peer *peer, struct input *input)
{
	static const struct {
		const char *word, *more;
		enum kind kind;
		bool term;
	} requests[] = {
		{"hello", " version=1", KIND_HELLO, false},
		{"join", "", KIND_JOIN, false},
		{"join", " extend=no", KIND_JOIN, false},
		{"join", " heartbeat_ms=500", KIND_JOIN, true},
		{"started", "", KIND_WORD, true},
		{"alive", "", KIND_WORD, true},
		{"stopped", "", KIND_END, true},
		{"yield", " cooldown_ms=100 reason=x", KIND_END, true},
		{"leave", "", KIND_LEAVE, false},
		{"check", "", KIND_CHECK, true},
		{"status", "", KIND_STATUS, false},
		{"watch", "", KIND_WATCH, false},
		{"resign", "", KIND_MANAGE, false},
		{"reload", "", KIND_WORD, false},
		{"dance", "", KIND_WORD, false},
		{"transfer", " node=a", KIND_MANAGE, false},
		{"transfer", " node=b", KIND_MANAGE, false},
		{"pause", "", KIND_MANAGE, false},
		{"resume", "", KIND_MANAGE, false},
		{"history", " count=1", KIND_HISTORY, false},
	};
	enum { FIRST_ADDED = 15, ALL_ADDED = COUNT_OF(requests) - FIRST_ADDED };
	char line[256], text[32];
	uint8_t drawn = take(input);
	uint32_t choice = drawn >= ADDED ? FIRST_ADDED + drawn % ALL_ADDED : drawn % FIRST_ADDED;
	uint32_t lease = take_below(input, NAMES);
	const char *term = requests[choice].term ? take_term(peer, lease, input, text) : "";
	int size = snprintf(line, sizeof line, "%s component=%s%s%s\n", requests[choice].word, names[lease],
		requests[choice].more, term);
	say(peer, line, (size_t)size,
		(struct asked){
			.kind = requests[choice].kind,
			.lease = lease,
			.term = *term ? number_of(term, "term") : 0,
		});
}

// Anything, over and over.
static void babble(struct peer *peer, struct input *input)
{
	char bytes[256] = {0}, line[LINE_BYTES] = {0};
	size_t size = take(input), times = take_bool(input) ? 1 : 16, used = 0;
	for (size_t i = 0; i < size; i++)
		bytes[i] = (char)take(input);
	for (; times > 0 && used + size <= sizeof line; times--, used += size)
		memcpy(line + used, bytes, size);
	say(peer, line, used, (struct asked){.kind = KIND_ANY});
}

static void happen(struct input *input)
{
	uint8_t choice = take(input);
	struct peer *peer = &w.peers[choice / 16 % PEERS];
	choice %= 16;
	if (peer->fd < 0 && choice < 10)
		connect_peer(peer);
	if (choice < 8) {
		ask(peer, input);
	} else if (choice == 8) {
		babble(peer, input);
	} else if (choice == 9) {
		peer->deaf = take_bool(input);
		peer->doomed |= peer->deaf;
	} else if (choice == 10) {
		hang_up(peer);
	} else if (choice == 11 && peer->fd >= 0) {
		peer->leaving = true;
		shutdown(peer->fd, SHUT_WR);
	} else if (choice == 12) {
		pass_time(input);
	} else if (choice == 13) {
		change_tables(input);
	} else {
		answer(input);
	}
	turn();
}

// ---- the beginning and the end ----

static void begin(void)
{
	static const struct incarnation server = {"a"};
	static const int slots[NAMES] = {0, 1, 2};
	static struct config_component components[NAMES];
	static struct config_id us;
	static char node[] = "a", group[] = "pair", texts[NAMES][16];
	static int64_t reported_at;
	w = (struct world){.update = {.notes = w.notes}, .connection = 1};
	fuzz_now = 1000 * SECOND;
	log_set_level(LOG_LEVEL_ERROR);
	for (size_t i = 0; i < NAMES; i++) {
		snprintf(texts[i], sizeof texts[i], "%s", names[i]);
		components[i] = (struct config_component){.name = texts[i], .group = i > 0 ? group : NULL};
	}
	us = (struct config_id){.id = geteuid()};
	components[0].users = (struct config_ids){.items = &us, .count = 1};
	for (size_t i = 0; i < PEERS; i++)
		w.peers[i].fd = -1;
	w.config = (struct config){
		.node = node, .components = components, .component_count = NAMES, .admin_gid = (gid_t)-1};
	MUST(tables_new(&w.tables, NAMES, 4, &server) == 0);
	MUST(loop_new(&w.loop) == 0);
	loop_on_turn(w.loop, on_turn, NULL);
	election_init(&w.election, &timing, timings, NAMES,
		&(struct election_room){w.leases, w.releases, w.claims, w.offers}, fuzz_now);
	election_group(&w.election, 2, 1);
	MUST(server_new(&w.server, &(struct server_setup){.loop = w.loop,
					   .config = &w.config,
					   .election = &w.election,
					   .slots = slots,
					   .terms_path = "/terms",
					   .boot_id = "b",
					   .store_text = "",
					   .reported_at = &reported_at,
					   .step = step,
					   .limits = {.output_bytes = OUTPUT_BYTES, .requests = 2}}) == 0);
}

static bool is_settled(void)
{
	for (size_t i = 0; i < PEERS; i++) {
		const struct peer *peer = &w.peers[i];
		bool waits = peer->asked_count > 0 || peer->leaving;
		if (peer->fd >= 0 && !peer->doomed && !peer->hung_up && waits)
			return false;
	}
	return true;
}

// An operator is answered when the database is.
static void go_on(void)
{
	static const uint8_t exactly = UINT8_MAX;
	answer(&(struct input){NULL, 0});
	pass_time(&(struct input){&exactly, 1});
	turn();
}

// Everybody gets what is owed, and nothing is left of those who go.
static void end(void)
{
	for (int i = 0; i < ASKED && !is_settled(); i++)
		go_on();
	MUST(is_settled());
	for (size_t i = 0; i < PEERS; i++)
		hang_up(&w.peers[i]);
	for (int i = 0; i < ASKED && server_client_count(w.server) > 0; i++)
		go_on();
	MUST(server_client_count(w.server) == 0);
	for (size_t i = 0; i < NAMES; i++)
		MUST(!w.server->posts[i].seated && !w.server->posts[i].waiting && w.server->posts[i].workers == 0 &&
			w.server->posts[i].watchers == 0);
	MUST(!w.server->users && w.server->output_bytes == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size < 2048 ? size : 2048};
	begin();
	int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	MUST(fd >= 0 && loop_watch_new(w.loop, fd, LOOP_READ, on_kick, NULL, &w.kick) == 0);
	step(NULL, &(struct election_event){.type = ELECTION_TIME});
	while (input.left > 0)
		happen(&input);
	end();
	server_free(w.server);
	loop_watch_free(w.kick);
	close(fd);
	loop_free(w.loop);
	tables_free(w.tables);
	return 0;
}
