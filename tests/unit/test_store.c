// SPDX-License-Identifier: Apache-2.0
// The store's thread and queue, with a driver that does as it is told.
#include "known.h"

#include "clock.h"

#include <check.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SOON_MS 5000
#define QUIET_MS 20
#define LATER (60 * NS_PER_S)
#define LOG_SIZE 16
#define CANDIDATES 100
#define HISTORY_MS (30 * 86400 * INT64_C(1000))

enum mode { ANSWER, HOLD, DEAF };

// What the driver is told, and what it did. Descriptors are events: nobody sleeps here.
static struct {
	_Atomic enum mode mode;
	int gate_fd;  // to let an exchange go on
	int begun_fd; // an exchange began
	int hint_fd;
	int closed_fd;
	_Atomic int hints;
	_Atomic size_t count;
	uint64_t numbers[LOG_SIZE]; // of the exchanges that began
	uint64_t first_term;        // of the last one's first release
	char reason[16];            // the same
	struct exchange_ask ask;    // of the last one; term 0: none
	char offers[64];            // as a text
	int64_t history_count;      // as configured
	int64_t history_ms;
	char node[NAME_BYTES + 1];
	char name[NAME_BYTES + 1];
	bool signals_blocked;
	struct exchange_row row; // what it says of the first lease
} fake;

struct store_link {
	const struct store_config *config;
	const struct store_names *names;
};

static bool wait_fd(int fd, int milliseconds)
{
	struct pollfd poller = {.fd = fd, .events = POLLIN};
	return poll(&poller, 1, milliseconds) == 1;
}

static void raise_fd(int fd)
{
	ck_assert_int_eq(eventfd_write(fd, 1), 0);
}

static void take_fd(int fd)
{
	eventfd_t count;
	ck_assert(wait_fd(fd, SOON_MS));
	ck_assert_int_eq(eventfd_read(fd, &count), 0);
}

// ---- the driver ----

static int fake_check(const struct store_config *config, char ret_text[static EXCHANGE_TEXT_SIZE])
{
	if (config->path)
		return 0;
	store_text(ret_text, "no path\n");
	return -EINVAL;
}

static int fake_init_schema(const struct store_config *config, char ret_text[static EXCHANGE_TEXT_SIZE])
{
	(void)config;
	store_text(ret_text, "no\tinit");
	return -EIO;
}

static int fake_print_schema(const struct store_config *config, FILE *out)
{
	return fputs(config->path, out) < 0 ? -EIO : 0;
}

static int fake_open(struct store_link **ret, const struct store_config *config, const struct store_names *names)
{
	*ret = malloc(sizeof **ret);
	**ret = (struct store_link){.config = config, .names = names};
	return 0;
}

static bool wait_as_told(const struct store_call *call)
{
	struct pollfd fds[] = {
		{.fd = fake.gate_fd, .events = POLLIN},
		{.fd = fake.mode == HOLD ? call->abort_fd : -1, .events = POLLIN},
	};
	ck_assert_int_gt(poll(fds, COUNT_OF(fds), -1), 0);
	eventfd_t count;
	return fds[0].revents && eventfd_read(fake.gate_fd, &count) == 0;
}

static void note_operators(struct store_link *link, const struct exchange_request *request, struct store_answer *answer)
{
	char *text = store_offers_text(request, link->names);
	ck_assert_ptr_nonnull(text);
	snprintf(fake.offers, sizeof fake.offers, "%s", text);
	fake.ask = request->ask ? *request->ask : (struct exchange_ask){0};
	fake.history_count = link->config->history_count;
	fake.history_ms = link->config->history_ms;
	// All the room there is.
	for (uint32_t i = 0; i < request->history_count; i++)
		answer->past[answer->reply->past_count++] = (struct exchange_past){.term = i + 1};
	for (uint32_t i = 0; request->candidates && i < CANDIDATES; i++) {
		struct exchange_offerer offerer = {.session = {{1}}, .seq = i, .lease_ms = i ? 7 : INT64_MAX};
		ck_assert(store_take_offers(answer, link->names, &offerer, text));
	}
	free(text);
}

static void fake_exchange(struct store_link *link, const struct store_call *call, struct store_answer *answer)
{
	const struct exchange_request *request = call->request;
	sigset_t blocked;
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	fake.signals_blocked = sigismember(&blocked, SIGTERM) == 1 && sigismember(&blocked, SIGCHLD) == 1;
	fake.numbers[fake.count++ % LOG_SIZE] = request->number;
	fake.first_term = request->release_count ? request->releases[0].term : 0;
	snprintf(fake.reason, sizeof fake.reason, "%s", request->release_count ? request->releases[0].reason : "");
	note_operators(link, request, answer);
	snprintf(fake.node, sizeof fake.node, "%s", link->config->node);
	snprintf(fake.name, sizeof fake.name, "%s", link->names->name[link->names->count - 1]);
	raise_fd(fake.begun_fd);
	if (fake.mode != ANSWER && !wait_as_told(call)) {
		store_answer_fail(answer, EXCHANGE_UNKNOWN, "given up");
		return;
	}
	for (size_t i = 0; i < request->claim_count; i++)
		answer->grants[answer->reply->grant_count++] =
			(struct exchange_grant){.lease = request->claims[i].lease, .term = request->claims[i].term + 1};
	if (request->report) {
		answer->reply->row_count = link->names->count;
		answer->rows[link->names->count - 1].lease = (uint32_t)link->names->count - 1;
		answer->rows[0] = fake.row;
	}
	if (request->strays)
		answer->reply->strays[answer->reply->stray_count++] = (struct exchange_stray){.lease_ms = -1};
	answer->reply->outcome = EXCHANGE_OK;
}

static int fake_hint_fd(struct store_link *link)
{
	(void)link;
	return fake.hint_fd;
}

static bool fake_take_hint(struct store_link *link, struct store_hint *hint)
{
	(void)link;
	eventfd_t count;
	if (eventfd_read(fake.hint_fd, &count) < 0)
		return false;
	fake.hints++;
	hint->freed[hint->freed_count++] = (uint32_t)fake.hints;
	return count == 1; // two at once are an echo
}

static void fake_close(struct store_link *link)
{
	free(link);
	raise_fd(fake.closed_fd);
}

static const struct store_driver driver = {
	.name = "fake",
	.check = fake_check,
	.init_schema = fake_init_schema,
	.print_schema = fake_print_schema,
	.open = fake_open,
	.exchange = fake_exchange,
	.hint_fd = fake_hint_fd,
	.take_hint = fake_take_hint,
	.close = fake_close,
};

// ---- the tests ----

static struct store *store;
static struct store_hint hint;

static void set_up(void)
{
	int *const fds[] = {&fake.gate_fd, &fake.begun_fd, &fake.hint_fd, &fake.closed_fd};
	memset(&fake, 0, sizeof fake);
	for (size_t i = 0; i < COUNT_OF(fds); i++)
		*fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	// Everything is copied: the caller's is gone at once.
	char node[] = "host-a", path[] = "/x", first[] = "discovery", last[] = "engine";
	const char *names[] = {first, last};
	struct store_config config = {
		.node = node,
		.path = path,
		.timeout_ns = NS_PER_S,
		.history_count = 1000,
		.history_ms = HISTORY_MS,
	};
	ck_assert_int_eq(store_new(&store, &driver, &config, names, NULL, COUNT_OF(names)), 0);
	memset(node, 'x', sizeof node - 1);
	memset(last, 'x', sizeof last - 1);
	names[0] = names[1] = NULL;
}

static void tear_down(void)
{
	store_free(store);
	close(fake.gate_fd);
	close(fake.begun_fd);
	close(fake.hint_fd);
	close(fake.closed_fd);
}

static void submit(uint64_t number, int64_t in_ns)
{
	struct exchange_request request = {.number = number};
	ck_assert_int_eq(store_submit(store, &request, clock_now_ns() + in_ns), 0);
}

static enum exchange_outcome take_reply(uint64_t number)
{
	struct exchange_reply *reply;
	ck_assert(wait_fd(store_fd(store), SOON_MS));
	ck_assert(store_next_reply(store, &reply));
	ck_assert_uint_eq(reply->number, number);
	enum exchange_outcome outcome = reply->outcome;
	store_reply_free(reply);
	return outcome;
}

static bool is_quiet(void)
{
	struct exchange_reply *reply;
	return !wait_fd(store_fd(store), 0) && !store_next_reply(store, &reply);
}

START_TEST(test_round_trip)
{
	struct exchange_release release = {.lease = 1, .term = 41};
	struct exchange_claim claims[] = {{.lease = 0, .term = 6}, {.lease = 1, .term = 7}};
	struct exchange_request request = {
		.number = 5,
		.report = true,
		.releases = &release,
		.release_count = 1,
		.claims = claims,
		.claim_count = COUNT_OF(claims),
	};
	fake.mode = HOLD;
	ck_assert_int_eq(store_submit(store, &request, clock_now_ns() + LATER), 0);
	release.term = 0;
	memset(claims, 0, sizeof claims);
	raise_fd(fake.gate_fd);

	struct exchange_reply *reply;
	ck_assert(wait_fd(store_fd(store), SOON_MS));
	ck_assert(store_next_reply(store, &reply));
	ck_assert_uint_eq(reply->number, 5);
	ck_assert_uint_eq(reply->outcome, EXCHANGE_OK);
	ck_assert_uint_eq(reply->grant_count, 2);
	ck_assert_uint_eq(reply->grants[1].term, 8);
	ck_assert_uint_eq(reply->row_count, 2);
	ck_assert_uint_eq(reply->rows[1].lease, 1);
	store_reply_free(reply);
	ck_assert_uint_eq(fake.first_term, 41);
	ck_assert_str_eq(fake.node, "host-a");
	ck_assert_str_eq(fake.name, "engine");
	ck_assert(fake.signals_blocked);
	ck_assert(is_quiet());
}
END_TEST

static struct exchange_reply *take_whole_reply(void)
{
	struct exchange_reply *reply;
	ck_assert(wait_fd(store_fd(store), SOON_MS));
	ck_assert(store_next_reply(store, &reply));
	ck_assert_uint_eq(reply->outcome, EXCHANGE_OK);
	return reply;
}

// What operators ask for is copied like the rest, and there is room for what they want to know.
START_TEST(test_operators)
{
	struct exchange_offer offers[] = {{.lease = 1, .priority = -3}, {.lease = 0, .priority = 4}};
	struct exchange_ask ask = {.lease = 1, .term = 41, .target = {{9}}, .cooldown_ms = -1};
	struct exchange_release release = {.lease = 0, .term = 3, .reason = "yielded"};
	struct exchange_request request = {
		.number = 5,
		.candidates = true,
		.history_lease = EXCHANGE_EVERY_LEASE,
		.history_count = 3,
		.releases = &release,
		.release_count = 1,
		.offers = offers,
		.offer_count = COUNT_OF(offers),
		.ask = &ask,
	};
	fake.mode = HOLD;
	submit(4, LATER);
	take_fd(fake.begun_fd);
	ck_assert_int_eq(store_submit(store, &request, clock_now_ns() + LATER), 0);
	memset(offers, 0, sizeof offers);
	memset(&ask, 0, sizeof ask);
	memset(&release, 0, sizeof release);
	fake.mode = ANSWER;
	raise_fd(fake.gate_fd);
	ck_assert_uint_eq(take_reply(4), EXCHANGE_OK);

	struct exchange_reply *reply = take_whole_reply();
	ck_assert_str_eq(fake.offers, "engine=-3 discovery=4");
	ck_assert_uint_eq(fake.ask.term, 41);
	ck_assert_uint_eq(fake.ask.lease, 1);
	ck_assert_uint_eq(fake.ask.target.byte[0], 9);
	ck_assert_int_eq(fake.ask.cooldown_ms, -1);
	ck_assert_str_eq(fake.reason, "yielded");
	ck_assert_int_eq(fake.history_count, 1000);
	ck_assert_int_eq(fake.history_ms, HISTORY_MS);
	ck_assert_uint_eq(reply->past_count, 3);
	ck_assert_uint_eq(reply->past[2].term, 3);
	ck_assert_uint_eq(reply->candidate_count, CANDIDATES * COUNT_OF(offers));
	for (size_t i = 0; i < reply->candidate_count; i++) {
		ck_assert_int_eq(exchange_offerer_of(reply, &reply->candidates[i])->seq, (int64_t)i / 2);
		ck_assert_uint_eq(reply->candidates[i].lease, 1 - i % 2);
		ck_assert_int_eq(reply->candidates[i].priority, i % 2 ? 4 : -3);
	}
	store_reply_free(reply);
	// Without an ask there is none, and none of the last one's.
	submit(6, LATER);
	ck_assert_uint_eq(take_reply(6), EXCHANGE_OK);
	ck_assert_uint_eq(fake.ask.term, 0);
	ck_assert_str_eq(fake.offers, "");
	// Of a reply that nobody takes all is freed as well.
	request.offers = (struct exchange_offer[]){{.lease = 1}};
	request.offer_count = 1;
	request.ask = NULL;
	request.release_count = 0;
	ck_assert_int_eq(store_submit(store, &request, clock_now_ns() + LATER), 0);
	ck_assert(wait_fd(store_fd(store), SOON_MS));
}
END_TEST

// Rows that nobody wrote like that: nobody is killed too soon for it, and nothing overflows.
START_TEST(test_nonsense)
{
	static const struct {
		int64_t lease_ms, cooldown_ms;
		int64_t sane_lease_ms, sane_cooldown_ms;
	} cases[] = {
		{-1, -2, 600000, -1},
		{0, INT64_MAX, 600000, -1},
		{INT64_MAX, INT64_MIN, 600000, -1},
		{INT64_MIN, 86400001, 600000, -1},
		{600000, 86400000, 600000, 86400000},
		{1, 0, 1, 0},
	};
	struct exchange_offer offer = {.lease = 1};
	struct exchange_request request = {
		.report = true, .strays = true, .candidates = true, .offers = &offer, .offer_count = 1};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		fake.row = (struct exchange_row){
			.holder_alive = true,
			.holder_lease_ms = cases[i].lease_ms,
			.cooldown_ms = cases[i].cooldown_ms,
		};
		ck_assert_int_eq(store_submit(store, &request, clock_now_ns() + LATER), 0);
		struct exchange_reply *reply = take_whole_reply();
		ck_assert_int_eq(reply->rows[0].holder_lease_ms, cases[i].sane_lease_ms);
		ck_assert_int_eq(reply->rows[0].cooldown_ms, cases[i].sane_cooldown_ms);
		ck_assert_int_eq(reply->strays[0].lease_ms, 600000);
		ck_assert_int_eq(reply->offerers[0].lease_ms, 600000);
		ck_assert_int_eq(reply->offerers[1].lease_ms, 7);
		store_reply_free(reply);
	}
}
END_TEST

START_TEST(test_offers_text)
{
	static const char *const texts[] = {"", " ", "=", "engine", "engine=", "engine=x", "engine=1x", "engine=+",
		"engine= 1", "engin=1", "enginee=1", "Engine=1", "=1", "engine=2147483648", "engine=-2147483649",
		"engine=99999999999999999999", "engine=1=1", "engine,1", "engine=\xff", "other=1 another=2"};
	static const char *const names[] = {"discovery", "engine"};
	const struct store_names known = {.name = names, .count = COUNT_OF(names)}, none = {.name = names};
	struct exchange_reply reply = {0};
	struct store_answer answer = {.reply = &reply};
	struct exchange_offerer offerer = {.session = {{1}}};
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		ck_assert(store_take_offers(&answer, &known, &offerer, texts[i]));
		ck_assert_msg(reply.candidate_count == 0, "\"%s\"", texts[i]);
	}
	ck_assert(store_take_offers(&answer, &none, &offerer, "engine=1"));
	offerer.session = (struct uuid){0};
	ck_assert(store_take_offers(&answer, &known, &offerer, "engine=1"));
	ck_assert_uint_eq(reply.candidate_count, 0);
	offerer.session.byte[0] = 1;
	ck_assert(store_take_offers(&answer, &known, &offerer, "  engine=2147483647   x discovery=-2147483648 "));
	ck_assert_uint_eq(reply.candidate_count, 2);
	ck_assert_int_eq(reply.candidates[0].priority, INT32_MAX);
	ck_assert_int_eq(reply.candidates[1].priority, INT32_MIN);
	store_free_offers(&answer);
}
END_TEST

// A server's clock that goes back, or is none: no time is negative, and nothing overflows.
START_TEST(test_times_of_a_mad_clock)
{
	static const char *const names[] = {"engine"};
	static const struct {
		int64_t acquired_ms, server_us, since_ms;
	} cases[] = {
		{1000, 3000000, 2000},
		{0, 3000000, 0},
		{3001, 3000000, 0},
		{INT64_MIN, INT64_MAX, 0},
		{INT64_MAX, INT64_MIN, 0},
		{-1, INT64_MIN, 0},
	};
	const struct store_names all = {.name = names, .count = COUNT_OF(names)};
	struct exchange_row row;
	struct exchange_reply reply = {0};
	struct store_answer answer = {.reply = &reply, .rows = &row};
	struct store_known known = {0};
	int64_t since_us;
	ck_assert_int_eq(store_known_grow(&known, &all), 0);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct exchange_row told = {.exists = true, .since_ms = cases[i].acquired_ms};
		store_known_begin(&known, 10000, 1, &since_us);
		ck_assert(store_known_take(&known, &told, NULL));
		ck_assert(store_known_answer(&known, &answer, cases[i].server_us));
		ck_assert_int_eq(row.since_ms, cases[i].since_ms);
	}
	store_known_begin(&known, 10000, 1, &since_us);
	ck_assert_int_eq(since_us, 0); // all rows are wanted
	store_known_free(&known);
}
END_TEST

START_TEST(test_a_later_request_replaces_the_waiting_one)
{
	fake.mode = HOLD;
	submit(1, LATER);
	take_fd(fake.begun_fd);
	submit(2, LATER);
	submit(3, LATER);
	fake.mode = ANSWER;
	raise_fd(fake.gate_fd);
	ck_assert_uint_eq(take_reply(1), EXCHANGE_OK);
	ck_assert_uint_eq(take_reply(3), EXCHANGE_OK);
	ck_assert_uint_eq(fake.count, 2);
	ck_assert(is_quiet());
}
END_TEST

// Rule 1 counts from the send: what is sent too late would only confuse others.
START_TEST(test_a_late_request_is_never_executed)
{
	fake.mode = HOLD;
	submit(1, LATER);
	take_fd(fake.begun_fd);
	submit(2, NS_PER_MS);
	int64_t deadline = clock_now_ns() + NS_PER_MS;
	while (clock_now_ns() < deadline)
		poll(NULL, 0, 1);
	fake.mode = ANSWER;
	raise_fd(fake.gate_fd);
	ck_assert_uint_eq(take_reply(1), EXCHANGE_OK);
	ck_assert(!wait_fd(fake.begun_fd, QUIET_MS));
	submit(3, LATER);
	ck_assert_uint_eq(take_reply(3), EXCHANGE_OK);
	ck_assert_uint_eq(fake.count, 2);
	ck_assert_uint_eq(fake.numbers[1], 3);
}
END_TEST

START_TEST(test_abort)
{
	fake.mode = HOLD;
	submit(7, LATER);
	take_fd(fake.begun_fd);
	store_abort(store, 6);
	submit(8, LATER);
	store_abort(store, 8); // still waiting: dropped
	ck_assert(!wait_fd(store_fd(store), QUIET_MS));
	store_abort(store, 7);
	ck_assert_uint_eq(take_reply(7), EXCHANGE_UNKNOWN);
	// An abort that comes too late does not hit the next one.
	store_abort(store, 7);
	submit(9, LATER);
	take_fd(fake.begun_fd);
	store_abort(store, 7);
	ck_assert(!wait_fd(store_fd(store), QUIET_MS));
	raise_fd(fake.gate_fd);
	ck_assert_uint_eq(take_reply(9), EXCHANGE_OK);
	ck_assert_uint_eq(fake.count, 2);
}
END_TEST

START_TEST(test_hints)
{
	ck_assert(!store_take_hint(store, &hint));
	raise_fd(fake.hint_fd);
	ck_assert(wait_fd(store_fd(store), SOON_MS));
	ck_assert(store_take_hint(store, &hint));
	ck_assert_uint_eq(hint.freed_count, 1);
	ck_assert_uint_eq(hint.freed[0], 1);
	ck_assert(!store_take_hint(store, &hint));
	ck_assert_uint_eq(hint.freed_count, 0);
	ck_assert(is_quiet());
}
END_TEST

// Of each lease the last word counts; of those for which there is no room nothing is said.
START_TEST(test_hints_of_leases)
{
	hint = (struct store_hint){.freed_count = 0};
	store_hint_take(&hint, 7, true);
	store_hint_take(&hint, 7, true);
	store_hint_take(&hint, 8, true);
	ck_assert_uint_eq(hint.freed_count, 2);
	store_hint_take(&hint, 7, false);
	store_hint_take(&hint, 9, false);
	ck_assert_uint_eq(hint.freed_count, 1);
	ck_assert_uint_eq(hint.freed[0], 8);
	for (uint32_t lease = 0; lease < 2 * STORE_FREED; lease++)
		store_hint_take(&hint, lease, true);
	ck_assert_uint_eq(hint.freed_count, STORE_FREED);
}
END_TEST

// An announcement that was read together with an answer is not lost.
START_TEST(test_hint_during_an_exchange)
{
	fake.mode = HOLD;
	submit(1, LATER);
	take_fd(fake.begun_fd);
	raise_fd(fake.hint_fd);
	raise_fd(fake.gate_fd);
	ck_assert_uint_eq(take_reply(1), EXCHANGE_OK);
	ck_assert(wait_fd(store_fd(store), SOON_MS));
	ck_assert(store_take_hint(store, &hint));
}
END_TEST

START_TEST(test_replies_wait_for_the_loop)
{
	for (uint64_t number = 1; number <= 3; number++) {
		submit(number, LATER);
		take_fd(fake.begun_fd);
	}
	for (uint64_t number = 1; number <= 3; number++)
		ck_assert_uint_eq(take_reply(number), EXCHANGE_OK);
	ck_assert(is_quiet());
	submit(4, LATER); // left untaken: freed with the store
	ck_assert(wait_fd(store_fd(store), SOON_MS));
}
END_TEST

START_TEST(test_free_while_out)
{
	fake.mode = HOLD;
	submit(1, LATER);
	take_fd(fake.begun_fd);
	submit(2, LATER);
	int64_t start = clock_now_ns();
	store_free(store);
	store = NULL;
	ck_assert_int_lt(clock_now_ns() - start, STORE_FREE_WAIT_MS * NS_PER_MS);
	ck_assert_uint_eq(fake.count, 1);
}
END_TEST

// As while a name is being resolved.
START_TEST(test_free_of_a_deaf_driver)
{
	fake.mode = DEAF;
	submit(1, LATER);
	take_fd(fake.begun_fd);
	int64_t start = clock_now_ns();
	store_free(store);
	store = NULL;
	int64_t took_ms = (clock_now_ns() - start) / NS_PER_MS;
	ck_assert_int_ge(took_ms, STORE_FREE_WAIT_MS);
	ck_assert_int_lt(took_ms, 2 * STORE_FREE_WAIT_MS);
	raise_fd(fake.gate_fd);
	take_fd(fake.closed_fd);
}
END_TEST

START_TEST(test_many_stores)
{
	const char *names[] = {"engine"};
	struct store_config config = {.node = "a", .path = "/x", .timeout_ns = NS_PER_S};
	for (int i = 0; i < 1000; i++) {
		struct store *other;
		ck_assert_int_eq(store_new(&other, &driver, &config, names, NULL, 1), 0);
		ck_assert_int_eq(
			store_submit(other, &(struct exchange_request){.number = 1}, clock_now_ns() + LATER), 0);
		store_free(other);
	}
	// R10: as many descriptors as before.
	int fd = eventfd(0, 0);
	ck_assert_int_lt(fd, 64);
	close(fd);
}
END_TEST

START_TEST(test_configuration)
{
	char text[EXCHANGE_TEXT_SIZE] = "";
	struct store *other = NULL;
	const struct store_config bad = {.node = "a"};
	ck_assert_int_eq(store_check(&driver, &bad, text), -EINVAL);
	ck_assert_str_eq(text, "no path");
	ck_assert_int_eq(store_new(&other, &driver, &bad, NULL, NULL, 0), -EINVAL);
	ck_assert_ptr_null(other);
	ck_assert_int_eq(store_init_schema(&driver, &bad, text), -EINVAL);
	const struct store_config good = {.node = "a", .path = "/x"};
	ck_assert_int_eq(store_init_schema(&driver, &good, text), -EIO);
	ck_assert_str_eq(text, "no init");
}
END_TEST

// R4
START_TEST(test_drivers)
{
	ck_assert_ptr_null(store_driver_find("oracle"));
	ck_assert_ptr_null(store_driver_find(""));
	char names[128];
	snprintf(names, sizeof names, "%s", store_driver_names());
	for (char *rest, *name = strtok_r(names, ", ", &rest); name; name = strtok_r(NULL, ", ", &rest)) {
		ck_assert_ptr_nonnull(store_driver_find(name));
		ck_assert_str_eq(store_driver_find(name)->name, name);
	}
	ck_assert_ptr_eq(store_driver_find("memory"), &store_memory);
}
END_TEST

static Suite *store_suite(void)
{
	Suite *suite = suite_create("store");
	TCase *thread = tcase_create("thread");
	tcase_add_checked_fixture(thread, set_up, tear_down);
	tcase_set_timeout(thread, 60);
	tcase_add_test(thread, test_round_trip);
	tcase_add_test(thread, test_operators);
	tcase_add_test(thread, test_nonsense);
	tcase_add_test(thread, test_a_later_request_replaces_the_waiting_one);
	tcase_add_test(thread, test_a_late_request_is_never_executed);
	tcase_add_test(thread, test_abort);
	tcase_add_test(thread, test_hints);
	tcase_add_test(thread, test_hints_of_leases);
	tcase_add_test(thread, test_hint_during_an_exchange);
	tcase_add_test(thread, test_replies_wait_for_the_loop);
	tcase_add_test(thread, test_free_while_out);
	tcase_add_test(thread, test_free_of_a_deaf_driver);
	tcase_add_test(thread, test_many_stores);
	suite_add_tcase(suite, thread);
	TCase *plain = tcase_create("configuration");
	tcase_add_test(plain, test_configuration);
	tcase_add_test(plain, test_drivers);
	tcase_add_test(plain, test_offers_text);
	tcase_add_test(plain, test_times_of_a_mad_clock);
	suite_add_tcase(suite, plain);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(store_suite());
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
