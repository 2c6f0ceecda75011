// SPDX-License-Identifier: Apache-2.0
// The drivers on a server that answers anything: texts where numbers belong, rows and columns too few or too many,
// errors, silence. What comes out is as exchange.h and driver.h say, whatever went in.
#include "hostile.h"

#include "known.h"

#include <pthread.h>
#include <sys/eventfd.h>

#define NAMES 3 // "engine" alone, and a group of "counter" and "discovery"
#define SWEEPS 2
#define HISTORY 3
#define EXCHANGES 16
#define LEASE_MS 10000

// A text that ends within its array.
#define ENDS(text) (memchr(text, '\0', sizeof(text)) != NULL)

struct input hostile;
const char *hostile_life;

static const char *const name[NAMES] = {"engine", "counter", "discovery"};
static const struct store_home home[NAMES] = {
	{.component = "engine", .lease = "engine"},
	{.component = "counter", .lease = "counter"},
	{.component = "discovery", .lease = "counter"},
};

struct question {
	struct exchange_request request;
	struct exchange_release releases[NAMES];
	struct exchange_claim claims[NAMES];
	struct exchange_stray sweeps[SWEEPS];
	struct exchange_offer offers[NAMES];
	struct exchange_ask ask;
};

int hostile_socket(void)
{
	static int fd = -1;
	if (fd < 0)
		fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return fd;
}

static void *do_nothing(void *argument)
{
	return argument;
}

// In the place of store.c's: a driver's helpers keep real time and wait for real servers, and have nothing to do here.
int store_start_thread(pthread_t *ret, void *(*run_thread)(void *), void *argument)
{
	(void)run_thread;
	return -pthread_create(ret, NULL, do_nothing, argument);
}

// ---- what must hold of an answer ----

static void check_rows(const struct exchange_reply *reply, size_t count)
{
	MUST(reply->row_count == count);
	for (size_t i = 0; i < count; i++) {
		const struct exchange_row *row = &reply->rows[i];
		MUST(row->lease == i && ENDS(row->node));
		MUST(!row->holder_alive || !uuid_is_none(&row->holder));
		MUST(row->holder_alive || uuid_is_none(&row->holder) || row->holder_seq == -1);
		MUST(row->since_ms >= 0);
	}
}

static void check_candidates(const struct exchange_reply *reply, size_t count)
{
	for (size_t i = 0; i < reply->candidate_count; i++) {
		const struct exchange_candidate *candidate = &reply->candidates[i];
		MUST(candidate->lease < count && candidate->offerer < reply->offerer_count);
		MUST(!candidate->disputes || candidate->priority == 0);
	}
	for (size_t i = 0; i < reply->offerer_count; i++)
		MUST(ENDS(reply->offerers[i].node) && !uuid_is_none(&reply->offerers[i].session));
}

static bool is_claimed(const struct exchange_request *request, uint32_t lease)
{
	for (size_t i = 0; i < request->claim_count; i++)
		if (request->claims[i].lease == lease)
			return true;
	return false;
}

static void check_done(const struct exchange_request *request, const struct exchange_reply *reply, size_t count)
{
	MUST(reply->server.text[0] && ENDS(reply->server.text) && ENDS(reply->believed.text) && ENDS(reply->paused));
	MUST(reply->grant_count <= request->claim_count);
	for (size_t i = 0; i < reply->grant_count; i++)
		MUST(is_claimed(request, reply->grants[i].lease));
	check_rows(reply, request->report ? count : 0);
	MUST(reply->stray_count <= EXCHANGE_STRAYS && (request->strays || reply->stray_count == 0));
	MUST(request->candidates || reply->offerer_count == 0);
	check_candidates(reply, count);
	MUST(reply->past_count <= request->history_count);
	for (size_t i = 0; i < reply->past_count; i++)
		MUST(reply->past[i].lease < count && ENDS(reply->past[i].node) && ENDS(reply->past[i].reason));
}

static void check_reply(const struct exchange_request *request, const struct exchange_reply *reply, size_t count)
{
	MUST(ENDS(reply->text) && !strpbrk(reply->text, "\n\r\t") && !strstr(reply->text, PASSWORD));
	MUST(reply->outcome <= EXCHANGE_UNKNOWN);
	if (reply->outcome == EXCHANGE_OK)
		check_done(request, reply, count);
	else
		MUST(reply->text[0]);
}

// ---- what is asked of a driver ----

static struct uuid take_session(void)
{
	return (struct uuid){{(uint8_t)take_below(&hostile, 4)}};
}

static void take_lease(struct question *question, uint32_t lease)
{
	struct exchange_request *request = &question->request;
	uint8_t choice = take(&hostile);
	if (choice & 1)
		question->offers[request->offer_count++] = (struct exchange_offer){lease, choice};
	if ((choice & 6) == 2)
		question->releases[request->release_count++] = (struct exchange_release){lease, 1, "stopped"};
	if (choice & 4)
		question->claims[request->claim_count++] = (struct exchange_claim){
			.lease = lease,
			.missing = choice & 8,
			.holder = take_session(),
			.holder_seq = choice & 16 ? -1 : 2,
			.term = choice & 32 ? 0 : 7,
		};
}

static void take_question(struct question *question, size_t count)
{
	uint8_t flags = take(&hostile), more = take(&hostile);
	*question = (struct question){.ask = {.term = 7, .target = {{more & 1}}}};
	question->request = (struct exchange_request){
		.session = {{1}},
		.lease_ms = LEASE_MS,
		.session_op = flags & 3,
		.adopt = flags & 4,
		.report = !(flags & 8),
		.strays = flags & 16,
		.candidates = flags & 32,
		.publish = flags & 64,
		.pause = more & 4 ? 1 + (more & 1) : EXCHANGE_PAUSE_LEAVE,
		.history_lease = more & 8 ? EXCHANGE_EVERY_LEASE : 1,
		.history_count = more & 16 ? HISTORY : 0,
		.releases = question->releases,
		.claims = question->claims,
		.sweeps = question->sweeps,
		.sweep_count = more & 32 ? SWEEPS : 0,
		.offers = question->offers,
		.ask = more & 64 ? &question->ask : NULL,
	};
	snprintf(question->request.incarnation.text, INCARNATION_SIZE, "%s", hostile_life);
	for (size_t i = 0; i < question->request.sweep_count; i++)
		question->sweeps[i] = (struct exchange_stray){.session = {{2}}, .seq = 1};
	for (uint32_t lease = 0; flags & 128 && lease < count; lease++)
		take_lease(question, lease);
}

static void exchange(const struct store_driver *driver, struct store_link *link, size_t count)
{
	struct question question;
	take_question(&question, count);
	struct exchange_request *request = &question.request;
	struct exchange_reply reply = {.outcome = EXCHANGE_OK};
	struct store_answer answer = {
		.reply = &reply,
		.grants = calloc(request->claim_count, sizeof *answer.grants),
		.rows = calloc(count, sizeof *answer.rows),
		.past = calloc(request->history_count, sizeof *answer.past),
	};
	struct store_call call = {.request = request, .deadline_at = fuzz_now + SECOND, .abort_fd = -1};
	MUST(answer.grants && answer.rows && answer.past);
	reply.grants = answer.grants;
	reply.rows = answer.rows;
	reply.past = answer.past;
	driver->exchange(link, &call, &answer);
	check_reply(request, &reply, count);
	free(answer.grants);
	free(answer.rows);
	free(answer.past);
	store_free_offers(&answer);
}

// Some exchanges on a link, which remembers what it heard; the names grow meanwhile.
static void try_driver(const char *driver_name)
{
	const struct store_driver *driver = store_driver_find(driver_name);
	bool one = take_bool(&hostile);
	const struct store_config config = {
		.node = "a",
		.timeout_ns = SECOND,
		.history_count = take_below(&hostile, 2),
		.history_ms = 1000,
		.conninfo = one ? "host=one" : "host=one,two",
		.host = one ? "one" : "one,two",
		.database = "d",
		.password = PASSWORD,
	};
	struct store_names names = {.name = name, .home = home, .count = NAMES - 1};
	struct store_link *link;
	hostile_life = take_bool(&hostile) ? "galera/a" : "a"; // MariaDB's driver knows a cluster by that
	if (!driver)                                           // it was left out
		return;
	MUST(driver->open(&link, &config, &names) == 0);
	for (size_t i = 0; i < EXCHANGES && hostile.left > 0; i++) {
		if (i == EXCHANGES / 4) {
			names.count = NAMES;
			MUST(!driver->grow || driver->grow(link) == 0);
		}
		exchange(driver, link, names.count);
		struct store_hint hint = {.freed_count = 0};
		(void)driver->take_hint(link, &hint);
		MUST(hint.freed_count <= STORE_FREED);
		for (size_t j = 0; j < hint.freed_count; j++)
			MUST(hint.freed[j] < names.count);
		fuzz_now += take(&hostile) * 100 * NS_PER_MS;
	}
	driver->close(link);
}

// ---- what all drivers share ----

static void try_offers(void)
{
	const struct store_names names = {.name = name, .home = home, .count = NAMES};
	const struct exchange_offerer offerer = {.session = {{1}}, .node = "b"};
	struct exchange_reply reply = {.outcome = EXCHANGE_OK};
	struct store_answer answer = {.reply = &reply};
	char *text = strndup((const char *)hostile.data, hostile.left);
	MUST(text && store_take_offers(&answer, &names, &offerer, text));
	check_candidates(&reply, NAMES);
	free(text);
	store_free_offers(&answer);
}

// What was told last is what is known, until all rows are told again.
static void take_known(struct store_known *known, struct exchange_row model[static NAMES])
{
	struct store_holder holder = {.id = take_session(), .alive = true, .seq = take_odd(&hostile)};
	struct exchange_row row = {.exists = true, .term = take(&hostile), .since_ms = take_odd(&hostile)};
	bool held = !uuid_is_none(&holder.id);
	row.node[0] = (char)('a' + row.term % 3);
	row.asked = row.term & 8;
	row.target = holder.id;
	row.cooldown_ms = (int64_t)row.term;
	if (take_bool(&hostile)) {
		MUST(!held || store_known_hold(known, &holder));
		return;
	}
	MUST(store_known_find(known, name[take_below(&hostile, NAMES)], &row.lease));
	MUST(store_known_take(known, &row, held ? &holder : NULL));
	model[row.lease] = row;
	model[row.lease].holder = holder.id;
}

static void check_known(const struct exchange_reply *reply, const struct exchange_row model[static NAMES])
{
	check_rows(reply, NAMES);
	for (size_t i = 0; i < NAMES; i++) {
		const struct exchange_row *row = &reply->rows[i];
		MUST(row->exists == model[i].exists && row->term == model[i].term);
		MUST(strcmp(row->node, model[i].node) == 0 && row->asked == model[i].asked);
		MUST(uuid_equal(&row->target, &model[i].target) && row->cooldown_ms == model[i].cooldown_ms);
		MUST(uuid_equal(&row->holder, &model[i].holder));
	}
}

static void try_known(void)
{
	const struct store_names names = {.name = name, .count = NAMES};
	struct exchange_row rows[NAMES], model[NAMES] = {{0}};
	struct exchange_reply reply = {.rows = rows};
	struct store_answer answer = {.reply = &reply, .rows = rows};
	struct store_known known = {.names = NULL};
	MUST(store_known_grow(&known, &names) == 0);
	while (hostile.left > 0) {
		int64_t since_us;
		store_known_begin(&known, LEASE_MS, take_below(&hostile, 2), &since_us);
		MUST(known.partly || since_us == 0);
		if (!known.partly)
			memset(model, 0, sizeof model);
		for (uint32_t left = take_below(&hostile, NAMES + 2); left > 0; left--)
			take_known(&known, model);
		reply.server.text[0] = (char)('a' + take_below(&hostile, 2));
		bool answered = store_known_answer(&known, &answer, take_odd(&hostile));
		MUST(answered || (known.partly && known.server_us == 0));
		if (answered)
			check_known(&reply, model);
		fuzz_now += take(&hostile) * 100 * NS_PER_MS;
	}
	store_known_free(&known);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	hostile = (struct input){data, size};
	fuzz_now = 1000 * SECOND;
	switch (take_below(&hostile, 4)) {
	case 0:
		try_offers();
		break;
	case 1:
		try_known();
		break;
	case 2:
		try_driver("postgresql");
		break;
	default:
		try_driver("mysql");
		break;
	}
	return 0;
}
