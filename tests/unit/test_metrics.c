// SPDX-License-Identifier: Apache-2.0
// What is counted, and how it is printed for Prometheus.
#include "metrics.h"

#include "loop.h"

#include <check.h>
#include <stdlib.h>

#define START_NS (100 * NS_PER_S)
#define ENGINE "{component=\"engine\"}"

static struct loop *loop;
static struct server *server;
static struct election election;
static struct election_lease leases[2];
static struct exchange_release releases[2];
static struct exchange_claim claims[2];
static struct exchange_offer offers[2];
static struct metrics metrics;
static int64_t reported_at;

static void set_up(void)
{
	static struct config_component components[] = {{.name = (char *)"engine"}, {.name = (char *)"other"}};
	static const struct config config = {.node = (char *)"a", .components = components, .component_count = 2};
	static const struct election_timing timing = {NS_PER_S, NS_PER_S / 5, NS_PER_S / 10, NS_PER_S / 5};
	static const struct election_lease_timing timings[2];
	static const int slots[2] = {0, 1};
	election_init(
		&election, &timing, timings, 2, &(struct election_room){leases, releases, claims, offers}, START_NS);
	ck_assert_int_eq(loop_new(&loop), 0);
	ck_assert_int_eq(server_new(&server, &(struct server_setup){.loop = loop,
						     .config = &config,
						     .election = &election,
						     .slots = slots,
						     .store_text = "",
						     .reported_at = &reported_at}),
		0);
	metrics = (struct metrics){.started_ms = 1234567};
	ck_assert_int_eq(metrics_reserve(&metrics, 2, START_NS), 0);
}

static void tear_down(void)
{
	metrics_done(&metrics);
	server_free(server);
	loop_free(loop);
}

// Whether the metrics have this as a line of their own.
static bool prints(const char *line, int64_t now)
{
	char *text, wanted[256];
	size_t size;
	snprintf(wanted, sizeof wanted, "\n%s\n", line);
	FILE *out = open_memstream(&text, &size);
	ck_assert_ptr_nonnull(out);
	metrics_print(&metrics, server, &election, now, out);
	fclose(out);
	bool found = strstr(text, wanted) != NULL;
	if (!found)
		fputs(text, stderr);
	free(text);
	return found;
}

static void note_state(enum lease_state from, enum lease_state to, enum election_reason reason)
{
	metrics_note(&metrics, &(struct election_note){.type = NOTE_STATE, .from = from, .to = to, .reason = reason});
}

START_TEST(terms_count_where_they_begin_and_end)
{
	note_state(LEASE_IDLE, LEASE_CANDIDATE, REASON_NONE);
	note_state(LEASE_CANDIDATE, LEASE_CLAIMING, REASON_NONE);
	ck_assert(prints("tenure_terms_begun_total" ENGINE " 0", START_NS));
	note_state(LEASE_CLAIMING, LEASE_LEADING, REASON_NONE);
	note_state(LEASE_LEADING, LEASE_DRAINING, REASON_EXPIRING);
	note_state(LEASE_DRAINING, LEASE_RELEASING, REASON_EXPIRING);
	note_state(LEASE_CLAIMING, LEASE_LEADING, REASON_NONE);
	note_state(LEASE_LEADING, LEASE_RELEASING, REASON_WORKER_GONE);
	ck_assert(prints("tenure_terms_begun_total" ENGINE " 2", START_NS));
	ck_assert(prints("tenure_terms_ended_total{component=\"engine\",reason=\"expiring\"} 1", START_NS));
	ck_assert(prints("tenure_terms_ended_total{component=\"engine\",reason=\"worker-gone\"} 1", START_NS));
	ck_assert(prints("tenure_terms_ended_total{component=\"engine\",reason=\"lost\"} 0", START_NS));
	ck_assert(prints("tenure_terms_begun_total{component=\"other\"} 0", START_NS));
}
END_TEST

START_TEST(time_without_a_leader_adds_up)
{
	const struct server_row here = {.valid = true, .leader = "a", .node = "a"}, over = {.leader = "a", .node = "a"},
				elsewhere = {.leader = "b", .node = "a"}, nobody = {.leader = "", .node = "a"};
	int64_t now = START_NS + 2 * NS_PER_S;
	metrics_row(&metrics, 0, &nobody, now);
	ck_assert(prints("tenure_leaderless_seconds_total" ENGINE " 2.000000000", now));
	metrics_row(&metrics, 0, &here, now);
	ck_assert(prints("tenure_leaderless_seconds_total" ENGINE " 2.000000000", now + NS_PER_S));
	// Its row is there, its time is over.
	metrics_row(&metrics, 0, &over, now + NS_PER_S);
	metrics_row(&metrics, 0, &over, now + NS_PER_S + 1);
	ck_assert(prints("tenure_leaderless_seconds_total" ENGINE " 3.000000000", now + 2 * NS_PER_S));
	metrics_row(&metrics, 0, &elsewhere, now + 2 * NS_PER_S);
	ck_assert(prints("tenure_leaderless_seconds_total" ENGINE " 3.000000000", now + 9 * NS_PER_S));
	ck_assert(prints("tenure_leaderless_seconds_total{component=\"other\"} 11.000000000", now + 9 * NS_PER_S));
}
END_TEST

START_TEST(exchanges_fall_into_buckets)
{
	metrics_exchange(&metrics, EXCHANGE_OK, 500 * NS_PER_US);
	metrics_exchange(&metrics, EXCHANGE_OK, 500 * NS_PER_US + 1);
	metrics_exchange(&metrics, EXCHANGE_BUSY, 2 * NS_PER_S);
	metrics_exchange(&metrics, EXCHANGE_UNKNOWN, 60 * NS_PER_S);
	ck_assert(prints("tenure_exchange_duration_seconds_bucket{le=\"0.0005\"} 1", START_NS));
	ck_assert(prints("tenure_exchange_duration_seconds_bucket{le=\"0.001\"} 2", START_NS));
	ck_assert(prints("tenure_exchange_duration_seconds_bucket{le=\"1\"} 2", START_NS));
	ck_assert(prints("tenure_exchange_duration_seconds_bucket{le=\"2.5\"} 3", START_NS));
	ck_assert(prints("tenure_exchange_duration_seconds_bucket{le=\"10\"} 3", START_NS));
	ck_assert(prints("tenure_exchange_duration_seconds_bucket{le=\"+Inf\"} 4", START_NS));
	ck_assert(prints("tenure_exchange_duration_seconds_sum 62.001000001", START_NS));
	ck_assert(prints("tenure_exchange_duration_seconds_count 4", START_NS));
	ck_assert(prints("tenure_exchanges_total{outcome=\"ok\"} 2", START_NS));
	ck_assert(prints("tenure_exchanges_total{outcome=\"unknown\"} 1", START_NS));
	ck_assert(prints("tenure_exchanges_total{outcome=\"denied\"} 0", START_NS));
}
END_TEST

START_TEST(the_first_server_is_no_change)
{
	const struct election_note note = {.type = NOTE_INCARNATION};
	ck_assert(prints("tenure_incarnation_changes_total 0", START_NS));
	metrics_note(&metrics, &note);
	ck_assert(prints("tenure_incarnation_changes_total 0", START_NS));
	metrics_note(&metrics, &note);
	ck_assert(prints("tenure_incarnation_changes_total 1", START_NS));
}
END_TEST

START_TEST(the_store_is_connected_while_it_answers)
{
	ck_assert(prints("tenure_store_connected 0", START_NS));
	election.answered = true;
	election.outcome = EXCHANGE_BUSY;
	ck_assert(prints("tenure_store_connected 1", START_NS));
	election.outcome = EXCHANGE_DENIED;
	ck_assert(prints("tenure_store_connected 0", START_NS));
}
END_TEST

START_TEST(the_fleet_is_paused)
{
	ck_assert(prints("tenure_paused 0", START_NS));
	election.paused = true;
	ck_assert(prints("tenure_paused 1", START_NS));
}
END_TEST

START_TEST(more_leases_keep_what_was_counted)
{
	note_state(LEASE_CLAIMING, LEASE_LEADING, REASON_NONE);
	ck_assert_int_eq(metrics_reserve(&metrics, 1000, START_NS + NS_PER_S), 0);
	ck_assert_int_eq(metrics_reserve(&metrics, 10, START_NS + NS_PER_S), 0);
	ck_assert_uint_eq(metrics.lease_count, 1000);
	ck_assert_uint_eq(metrics.leases[0].begun, 1);
	ck_assert_uint_eq(metrics.leases[999].begun, 0);
	ck_assert_int_eq(metrics.leases[999].leaderless_since, START_NS + NS_PER_S);
}
END_TEST

START_TEST(the_start_is_a_unix_time)
{
	ck_assert(prints("process_start_time_seconds 1234.567000000", START_NS));
	ck_assert(prints("tenure_build_info{version=\"" TENURE_VERSION "\"} 1", START_NS));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("metrics");
	TCase *tests = tcase_create("metrics");
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, terms_count_where_they_begin_and_end);
	tcase_add_test(tests, time_without_a_leader_adds_up);
	tcase_add_test(tests, exchanges_fall_into_buckets);
	tcase_add_test(tests, the_first_server_is_no_change);
	tcase_add_test(tests, the_store_is_connected_while_it_answers);
	tcase_add_test(tests, the_fleet_is_paused);
	tcase_add_test(tests, more_leases_keep_what_was_counted);
	tcase_add_test(tests, the_start_is_a_unix_time);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
