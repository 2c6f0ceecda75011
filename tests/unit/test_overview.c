// SPDX-License-Identifier: Apache-2.0
// The page for people: what it says of a past, a present and names that are not to be trusted.
#include "http_internal.h"
#include "loop.h"

#include <check.h>
#include <stdlib.h>

#define MINUTE_MS INT64_C(60000)
#define HOUR_MS (60 * MINUTE_MS)

static struct loop *loop;
static struct server *server;
static struct election election;
static struct election_lease leases[2];
static struct exchange_release releases[2];
static struct exchange_claim claims[2];
static struct exchange_offer offers[2];
static struct metrics metrics;
static struct history history;
static int64_t reported_at, answered_at;
static char store_text[EXCHANGE_TEXT_SIZE];
static struct http_setup setup;
static char *text;
static const int64_t now = 100 * 3600 * NS_PER_S;
static const int64_t wall_ms = 1700000000000;

static void set_up(void)
{
	static struct config_component components[] = {{.name = (char *)"engine"}, {.name = (char *)"other"}};
	static const struct config config = {.node = (char *)"a", .components = components, .component_count = 2};
	static const struct election_timing timing = {NS_PER_S, NS_PER_S / 5, NS_PER_S / 10, NS_PER_S / 5};
	static const struct election_lease_timing timings[2];
	static const int slots[2] = {0, 1};
	election_init(&election, &timing, timings, 2, &(struct election_room){leases, releases, claims, offers}, now);
	ck_assert_int_eq(loop_new(&loop), 0);
	ck_assert_int_eq(server_new(&server, &(struct server_setup){.loop = loop,
						     .config = &config,
						     .election = &election,
						     .slots = slots,
						     .store_text = store_text,
						     .reported_at = &reported_at}),
		0);
	ck_assert_int_eq(metrics_reserve(&metrics, 2, now), 0);
	answered_at = reported_at = now;
	setup = (struct http_setup){.election = &election,
		.server = server,
		.store_text = store_text,
		.metrics = &metrics,
		.history = &history,
		.answered_at = &answered_at};
}

static void tear_down(void)
{
	free(text);
	text = NULL;
	history_done(&history);
	metrics_done(&metrics);
	server_free(server);
	loop_free(loop);
}

static void show(void)
{
	size_t size;
	free(text);
	FILE *out = open_memstream(&text, &size);
	ck_assert_ptr_nonnull(out);
	http_overview(out, &setup, now, wall_ms);
	fclose(out);
}

static void assert_shown(const char *wanted, bool shown)
{
	if ((strstr(text, wanted) != NULL) != shown)
		ck_abort_msg("%s: %s", shown ? "missing" : "there", wanted);
}

static void remember(const struct exchange_past *past, size_t count)
{
	ck_assert_int_eq(history_take(&history, past, count, now), 0);
}

static void lead_elsewhere(uint32_t lease, const char *node)
{
	struct exchange_row *row = &leases[lease].row;
	*row = (struct exchange_row){.exists = true, .holder_alive = true, .holder.byte = {1}, .term = 7};
	snprintf(row->node, sizeof row->node, "%s", node);
	metrics.leases[lease].leaderless_since = 0;
}

START_TEST(a_past_becomes_bars)
{
	const struct exchange_past past[] = {
		{.lease = 0, .term = 7, .node = "c", .from_ms = wall_ms - HOUR_MS},
		{.lease = 1, .term = 10, .node = "d", .from_ms = wall_ms - 1},
		{.lease = 1,
			.term = 9,
			.node = "a",
			.from_ms = wall_ms - 70 * HOUR_MS,
			.to_ms = wall_ms - 60 * HOUR_MS},
		{.lease = 0,
			.term = 6,
			.node = "b",
			.from_ms = wall_ms - 6 * HOUR_MS,
			.to_ms = wall_ms - 2 * HOUR_MS,
			.reason = "worker-gone"},
		{.lease = 0,
			.term = 5,
			.node = "a",
			.from_ms = wall_ms - 40 * HOUR_MS,
			.to_ms = wall_ms - 6 * HOUR_MS - 200},
	};
	lead_elsewhere(0, "c");
	remember(past, COUNT_OF(past));
	show();
	assert_shown("<rect class=\"n2\" x=\"1380.0\" width=\"60.0\" height=\"12\"><title>c, term 7, since ", true);
	assert_shown("<rect class=\"n1\" x=\"1080.0\" width=\"240.0\" height=\"12\"><title>b, term 6, since ", true);
	assert_shown(", for 4 h 0 min: worker-gone</title>", true);
	assert_shown("<rect class=\"n0\" x=\"0.0\" width=\"1080.0\" height=\"12\"><title>a, term 5, since ", true);
	assert_shown("<rect class=\"off\" x=\"1320.0\" width=\"60.0\" height=\"12\"><title>nobody for 1 h 0 min", true);
	// One that just began can be seen.
	assert_shown("<rect class=\"n3\" x=\"1437.0\" width=\"3.0\" height=\"12\"><title>d, term 10, ", true);
	// A hand-over is no time without a leader, nor is what was before this day.
	assert_shown("nobody for 0.2 s", false);
	assert_shown("term 9", false);
}
END_TEST

START_TEST(nobody_leads)
{
	const struct exchange_past past[] = {
		{.lease = 0, .term = 7, .node = "b", .from_ms = wall_ms - 2 * HOUR_MS},
		{.lease = 1, .term = 3, .node = "b", .from_ms = wall_ms - 3 * HOUR_MS, .to_ms = wall_ms - 2 * HOUR_MS},
	};
	metrics.leases[0].leaderless_since = now - HOUR_MS * NS_PER_MS;
	lead_elsewhere(1, "a\"<script>&'");
	remember(past, COUNT_OF(past));
	show();
	// The history has no end of that term: it ended when this daemon saw nobody any more.
	assert_shown("<rect class=\"n1\" x=\"1320.0\" width=\"60.0\"", true);
	assert_shown("<rect class=\"off\" x=\"1380.0\" width=\"60.0\"", true);
	assert_shown("<tr class=\"gone\"><td class=\"name\" title=\"Component\">engine</td>", true);
	assert_shown("<p class=\"note alarm\">1 of 2 without a leader</p>", true);
	assert_shown("<title>1 without a leader: Tenure at a</title>", true);
	// Somebody leads, and the history that was read before does not know: no time without a leader.
	assert_shown("<rect class=\"n1\" x=\"1260.0\" width=\"60.0\"", true);
	assert_shown("<rect class=\"off\" x=\"1320.0\"", false);
	// From the database, where anybody may have written it.
	assert_shown("<script", false);
	assert_shown("a&quot;&lt;script&gt;&amp;&#39;", true);
}
END_TEST

// Whoever can write to the database chooses these.
START_TEST(times_that_no_calendar_has)
{
	const struct exchange_past past[] = {
		{.lease = 0, .term = 2, .node = "b", .from_ms = INT64_MIN},
		{.lease = 0, .term = 1, .node = "a", .from_ms = INT64_MAX, .to_ms = INT64_MAX},
	};
	remember(past, COUNT_OF(past));
	show();
	assert_shown("<rect class=\"n1\" x=\"0.0\" width=\"1440.0\" height=\"12\"><title>b, term 2, since 1970-01-01 ",
		true);
	assert_shown("<title>a, term 1, since 9999-12-31 23:59:59 UTC, for 0.0 s", true);
}
END_TEST

START_TEST(history_is_read_for_those_who_look)
{
	int64_t start = now;
	ck_assert(!history_is_due(&history, start));
	show();
	assert_shown("the history is being read", true);
	assert_shown("<meta http-equiv=\"refresh\" content=\"1\">", true);
	ck_assert(history_is_due(&history, start));
	history.asked_at = start;
	ck_assert(!history_is_due(&history, start + HISTORY_AGAIN_NS - 1));
	ck_assert(history_is_due(&history, start + HISTORY_AGAIN_NS));
	remember(NULL, 0);
	ck_assert(!history_is_due(&history, history.read_at + HISTORY_AGE_NS - 1));
	ck_assert(history_is_due(&history, history.read_at + HISTORY_AGE_NS));
	history.wanted = false;
	ck_assert(!history_is_due(&history, history.read_at + HISTORY_AGE_NS));
	show();
	assert_shown("no history", true);
	assert_shown("<meta http-equiv=\"refresh\" content=\"5\">", true);
}
END_TEST

START_TEST(what_is_wrong_is_said)
{
	answered_at = 0;
	show();
	assert_shown("<p class=\"note alarm\">The store has not answered yet</p>", true);
	answered_at = now - 90 * NS_PER_S;
	snprintf(store_text, sizeof store_text, "<b>gone</b>");
	election.paused = true;
	snprintf(election.paused_by, sizeof election.paused_by, "b&c");
	show();
	assert_shown("The store last answered 1 min 30 s ago: &lt;b&gt;gone&lt;/b&gt;</p>", true);
	assert_shown("The fleet is paused, by b&amp;c: ", true);
}
END_TEST

// Eight nodes have colours, by their names: who comes and goes changes as few of them as can be.
START_TEST(nodes_have_colours)
{
	struct exchange_past past[20] = {0};
	for (size_t i = 0; i < COUNT_OF(past); i++) {
		past[i] = (struct exchange_past){.term = i, .from_ms = wall_ms - HOUR_MS, .to_ms = wall_ms};
		snprintf(past[i].node, sizeof past[i].node, "node-%02zu", i * 7 % COUNT_OF(past));
	}
	remember(past, COUNT_OF(past));
	lead_elsewhere(0, "node-00");
	show();
	assert_shown("<i class=\"n0\"></i>node-00</span><span><i class=\"n1\"></i>node-01</span>", true);
	assert_shown("<i class=\"n7\"></i>node-07</span><span><i class=\"nx\"></i>other nodes</span>", true);
	assert_shown("height=\"12\"><title>node-19, ", true);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("overview");
	TCase *tests = tcase_create("overview");
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, a_past_becomes_bars);
	tcase_add_test(tests, nobody_leads);
	tcase_add_test(tests, times_that_no_calendar_has);
	tcase_add_test(tests, history_is_read_for_those_who_look);
	tcase_add_test(tests, what_is_wrong_is_said);
	tcase_add_test(tests, nodes_have_colours);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
