// SPDX-License-Identifier: Apache-2.0
// What only a real MariaDB can show: its errors, its locks, and its end.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#ifndef WITH_MYSQL
int main(void)
{
	printf("0 passed, 0 failed, 1 skipped\n");
	return EXIT_SUCCESS;
}
#else
#include "maria.h"
#include "world.h"

#include "clock.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DISCOVERY, ENGINE, COUNTER };

#define INITS 8

static struct world world;
static struct peer a, b;
static struct maria *other; // a plain connection

static void set_up(void)
{
	world_init(&world, MARIADB);
	peer_init(&a, &world);
	peer_init(&b, &world);
	peer_session(&a, EXCHANGE_SESSION_CREATE);
	peer_session(&b, EXCHANGE_SESSION_CREATE);
	ck_assert_uint_eq(peer_claim(&a, ENGINE), 1);
	other = maria_connect(NULL);
	maria_sql(other, "USE `%s`", world.schema);
}

static void tear_down(void)
{
	peer_done(&a);
	peer_done(&b);
	maria_close(other);
	world_done(&world);
}

static enum exchange_outcome renew(struct peer *peer)
{
	return peer_exchange(peer, &(struct exchange_request){.session_op = EXCHANGE_SESSION_RENEW});
}

static enum exchange_outcome look(struct peer *peer)
{
	return peer_exchange(peer, &(struct exchange_request){.report = true});
}

// R3: never a grant, and the text says why.
static void expect(struct peer *peer, enum exchange_outcome outcome, enum exchange_outcome expected, const char *text)
{
	ck_assert_msg(outcome == expected && strstr(peer->reply.text, text), "outcome %d: %s; expected %d: %s", outcome,
		peer->reply.text, expected, text);
}

// ---- R7: one test per class of errors ----

static const struct {
	unsigned code;
	enum exchange_outcome outcome;
	bool dropped;
} classes[] = {
	{1205, EXCHANGE_BUSY, false}, // lock time-out
	{1213, EXCHANGE_BUSY, false}, // deadlock
	{1020, EXCHANGE_BUSY, false},
	{1317, EXCHANGE_BUSY, false},
	{1969, EXCHANGE_BUSY, false},
	{3024, EXCHANGE_BUSY, false},
	{1142, EXCHANGE_DENIED, false}, // privileges
	{1143, EXCHANGE_DENIED, false},
	{1146, EXCHANGE_DENIED, false}, // no such table
	{1054, EXCHANGE_DENIED, false},
	{1114, EXCHANGE_DENIED, false}, // no room
	{1044, EXCHANGE_DENIED, true},
	{1045, EXCHANGE_DENIED, true},
	{1290, EXCHANGE_DENIED, true}, // read-only
	{1792, EXCHANGE_DENIED, true},
	{1836, EXCHANGE_DENIED, true},
	{1644, EXCHANGE_DENIED, true}, // any other
	{1040, EXCHANGE_UNAVAILABLE, true},
	{1047, EXCHANGE_UNAVAILABLE, true}, // a Galera node without its cluster
	{1053, EXCHANGE_UNAVAILABLE, true},
	{1927, EXCHANGE_UNAVAILABLE, true},
};

static void set_trap(const char *table, unsigned code)
{
	maria_sql(other,
		"CREATE TRIGGER trap BEFORE UPDATE ON %s FOR EACH ROW"
		" SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = %u, MESSAGE_TEXT = 'a trap'",
		table, code);
}

START_TEST(test_number)
{
	set_up();
	uint64_t connection = peer_report(&a)->connection;
	set_trap("tenure_session", classes[_i].code);
	expect(&a, renew(&a), classes[_i].outcome, "a trap");
	maria_sql(other, "DROP TRIGGER trap");
	ck_assert(peer_session(&a, EXCHANGE_SESSION_RENEW)->session_alive);
	ck_assert_int_eq(a.reply.connection != connection, classes[_i].dropped);
	tear_down();
}
END_TEST

// What was written before the connection ended cannot be told any more: unknown, not unavailable.
START_TEST(test_number_after_a_write)
{
	set_up();
	set_trap("tenure_lease", 1927);
	struct exchange_release release = {.lease = ENGINE, .term = 1, .reason = WORLD_REASON};
	const struct exchange_request request = {
		.session_op = EXCHANGE_SESSION_RENEW, .releases = &release, .release_count = 1};
	expect(&a, peer_exchange(&a, &request), EXCHANGE_UNKNOWN, "a trap");
	tear_down();
}
END_TEST

// An answer is better than none: the server ends the wait before the exchange's deadline.
START_TEST(test_lock_timeout)
{
	set_up();
	uint64_t connection = peer_report(&a)->connection;
	maria_sql(other, "BEGIN");
	maria_sql(other, "SELECT 1 FROM tenure_session FOR UPDATE");
	int64_t start = clock_now_ns();
	ck_assert_int_eq(renew(&a), EXCHANGE_BUSY);
	ck_assert_int_lt(clock_now_ns() - start, WORLD_TIMEOUT_NS);
	maria_sql(other, "ROLLBACK");
	ck_assert_uint_eq(peer_session(&a, EXCHANGE_SESSION_RENEW)->connection, connection);
	tear_down();
}
END_TEST

// Rule 14: the row that somebody holds delays its own claim and nothing else.
START_TEST(test_locked_lease_is_skipped)
{
	set_up();
	peer_release(&a, ENGINE, 1);
	maria_sql(other, "BEGIN");
	maria_sql(other, "SELECT 1 FROM tenure_lease WHERE component = 'engine' LOCK IN SHARE MODE");
	ck_assert_uint_eq(peer_claim(&b, ENGINE), 0);
	ck_assert_uint_eq(peer_claim(&b, COUNTER), 1);
	maria_sql(other, "COMMIT");
	ck_assert_uint_eq(peer_claim(&b, ENGINE), 2);
	tear_down();
}
END_TEST

// W25: by an account that read_only is meant for.
START_TEST(test_read_only)
{
	set_up();
	world.config.user = MARIA_DAEMON_USER;
	peer_done(&b);
	peer_init(&b, &world);
	peer_session(&b, EXCHANGE_SESSION_CREATE);
	maria_sql(other, "SET GLOBAL read_only = 1");
	expect(&b, renew(&b), EXCHANGE_DENIED, "read-only");
	expect(&b, look(&b), EXCHANGE_DENIED, "read-only");
	maria_sql(other, "SET GLOBAL read_only = 0");
	ck_assert(peer_session(&b, EXCHANGE_SESSION_RENEW)->session_alive);
	tear_down();
}
END_TEST

START_TEST(test_missing_table)
{
	set_up();
	maria_sql(other, "RENAME TABLE tenure_session TO elsewhere");
	expect(&a, renew(&a), EXCHANGE_DENIED, "run tenurectl init");
	maria_sql(other, "RENAME TABLE elsewhere TO tenure_session");
	ck_assert(peer_session(&a, EXCHANGE_SESSION_RENEW)->session_alive);
	tear_down();
}
END_TEST

START_TEST(test_wrong_version)
{
	set_up();
	maria_sql(other, "UPDATE tenure_store SET schema_version = 9");
	expect(&a, look(&a), EXCHANGE_DENIED, "schema version 9 found, 2 needed: run the tenured");
	maria_sql(other, "UPDATE tenure_store SET schema_version = 0");
	expect(&a, look(&a), EXCHANGE_DENIED, "schema version 0 found, 2 needed: run tenurectl init");
	tear_down();
}
END_TEST

// An administrator ends the connection in between: the next exchange goes over another one.
START_TEST(test_killed_while_idle)
{
	set_up();
	uint64_t connection = peer_report(&a)->connection;
	const char *all = "SELECT GROUP_CONCAT(CONCAT('KILL ', ID) SEPARATOR ';') FROM information_schema.PROCESSLIST"
			  " WHERE ID <> CONNECTION_ID() AND USER = '" MARIA_SUPERUSER "'";
	char kills[1024];
	snprintf(kills, sizeof kills, "%s", maria_sql(other, "%s", all));
	for (char *kill = strtok(kills, ";"); kill; kill = strtok(NULL, ";"))
		maria_error(other, "%s", kill);
	while (renew(&a) != EXCHANGE_OK)
		ck_assert_int_ne(a.reply.outcome, EXCHANGE_DENIED);
	ck_assert(a.reply.session_alive);
	ck_assert_uint_ne(a.reply.connection, connection);
	tear_down();
}
END_TEST

// Rule 3: another start is another incarnation; nothing is claimed for the one that was believed.
START_TEST(test_restarted_server)
{
	set_up();
	struct exchange_row row = *peer_row(&b, ENGINE);
	maria_close(other);
	if (world.sql)
		maria_close(world.sql);
	world.sql = NULL;
	maria_restart(SIGKILL);
	other = maria_connect(NULL);
	maria_sql(other, "USE `%s`", world.schema);
	while (look(&b) != EXCHANGE_OK)
		ck_assert_int_ne(b.reply.outcome, EXCHANGE_DENIED);
	struct incarnation server = b.reply.server;
	ck_assert_str_ne(server.text, world.server.text);
	ck_assert_str_eq(b.reply.believed.text, world.server.text);
	ck_assert_uint_eq(peer_claim_row(&b, &row), 0); // decided about the old one
	world.server = server;
	struct exchange_request adopt = {.adopt = true, .incarnation = server};
	ck_assert_str_eq(peer_ok(&b, &adopt)->believed.text, server.text);
	ck_assert_uint_gt(peer_claim(&b, ENGINE), 1000000000);
	tear_down();
}
END_TEST

// ---- init ----

START_TEST(test_init_by_many)
{
	pid_t pids[INITS];
	char text[EXCHANGE_TEXT_SIZE] = "";
	world_init_empty(&world, MARIADB);
	for (int i = 0; i < INITS; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			_exit(store_init_schema(world.driver, &world.config, text) == 0 ? 0 : 1);
	}
	for (int i = 0; i < INITS; i++) {
		int status;
		ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
		ck_assert_int_eq(status, 0);
	}
	ck_assert_str_eq(world_sql(&world, "SELECT count(*) FROM tenure_store WHERE schema_version = 2"), "1");
	world_done(&world);
}
END_TEST

// ---- W6: fenced writes ----

START_TEST(test_fence)
{
	set_up();
	struct maria *worker = maria_connect(NULL);
	maria_sql(worker, "USE `%s`", world.schema);
	maria_sql(worker, "BEGIN");
	maria_sql(worker, "CALL tenure_fence('engine', 1)");
	peer_release(&a, ENGINE, 1);
	ck_assert_uint_eq(peer_claim(&b, ENGINE), 0);
	maria_sql(worker, "COMMIT");
	peer_release(&a, ENGINE, 1);
	ck_assert_uint_eq(maria_error(worker, "CALL tenure_fence('engine', 1)"), 1644); // free
	ck_assert_uint_eq(peer_claim(&b, ENGINE), 2);
	ck_assert_uint_eq(maria_error(worker, "CALL tenure_fence('engine', 1)"), 1644);
	ck_assert_ptr_nonnull(strstr(maria_message(worker), "term 1 of \"engine\" is over"));
	ck_assert_uint_eq(maria_error(worker, "CALL tenure_fence('engine', 2)"), 0);
	ck_assert_uint_eq(maria_error(worker, "CALL tenure_fence('nothing', 2)"), 1644);
	ck_assert_uint_eq(maria_error(worker, "CALL tenure_fence(NULL, NULL)"), 1644);
	maria_close(worker);
	tear_down();
}
END_TEST

static Suite *mysql_suite(void)
{
	const TTest *const tests[] = {
		test_number_after_a_write, test_lock_timeout, test_locked_lease_is_skipped, test_read_only,
		test_missing_table, test_wrong_version, test_killed_while_idle, test_init_by_many, test_fence,
		test_restarted_server, // last: the server is another one then
	};
	Suite *suite = suite_create("mysql");
	TCase *all = tcase_create("mysql");
	tcase_set_timeout(all, 120);
	tcase_add_loop_test(all, test_number, 0, (int)COUNT_OF(classes));
	for (size_t i = 0; i < COUNT_OF(tests); i++)
		tcase_add_test(all, tests[i]);
	suite_add_tcase(suite, all);
	return suite;
}

int main(void)
{
	maria_start(NULL);
	SRunner *runner = srunner_create(mysql_suite());
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	maria_stop();
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
#endif
