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

// Rule 14: a renewal does not depend on what is offered.
START_TEST(test_somebody_holds_the_offers)
{
	static const struct exchange_offer offers[] = {{.lease = ENGINE, .priority = 5}};
	set_up();
	maria_sql(other, "BEGIN");
	maria_sql(other, "SELECT COUNT(*) FROM (SELECT 1 FROM tenure_offer FOR UPDATE) locked");
	peer_offer(&a, EXCHANGE_SESSION_RENEW, offers, COUNT_OF(offers));
	maria_sql(other, "COMMIT");
	ck_assert_str_eq(maria_sql(other, "SELECT COUNT(*) FROM tenure_offer WHERE offers <> ''"), "0");
	peer_offer(&a, EXCHANGE_SESSION_RENEW, offers, COUNT_OF(offers));
	ck_assert_str_eq(maria_sql(other, "SELECT COUNT(*) FROM tenure_offer WHERE offers <> ''"), "1");
	tear_down();
}
END_TEST

// The same while it connects, when it tries whether it could write: the server is there.
START_TEST(test_busy_when_connecting)
{
	set_up();
	peer_done(&b);
	peer_init(&b, &world);
	maria_sql(other, "LOCK TABLES tenure_history WRITE");
	ck_assert_int_eq(look(&b), EXCHANGE_BUSY);
	maria_sql(other, "UNLOCK TABLES");
	ck_assert_int_eq(look(&b), EXCHANGE_OK);
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
	expect(&a, look(&a), EXCHANGE_DENIED, "schema version 9 found, 3 needed: run the tenured");
	maria_sql(other, "UPDATE tenure_store SET schema_version = 0");
	expect(&a, look(&a), EXCHANGE_DENIED, "schema version 0 found, 3 needed: run tenurectl init");
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

// ---- operators' tables: their privileges and their locks ----

static const char *sql_of_rights(const char *verb, const char *preposition, const char *rights, const char *table)
{
	static char sql[256];
	snprintf(sql, sizeof sql, "%s %s ON %s %s " MARIA_PLAIN_USER "@localhost", verb, rights, table, preposition);
	return sql;
}

static const struct {
	const char *table;
	const char *right;
} rights[] = {
	{"tenure_session", "SELECT"},
	{"tenure_session", "INSERT"},
	{"tenure_session", "UPDATE"},
	{"tenure_session", "DELETE"},
	{"tenure_offer", "SELECT"},
	{"tenure_offer", "INSERT"},
	{"tenure_offer", "UPDATE"},
	{"tenure_offer", "DELETE"},
	{"tenure_lease", "SELECT"},
	{"tenure_lease", "INSERT"},
	{"tenure_lease", "UPDATE"},
	{"tenure_store", "SELECT"},
	{"tenure_store", "UPDATE"},
	{"tenure_ask", "SELECT"},
	{"tenure_ask", "INSERT"},
	{"tenure_ask", "UPDATE"},
	{"tenure_history", "SELECT"},
	{"tenure_history", "INSERT"},
	{"tenure_history", "UPDATE"},
	{"tenure_history", "DELETE"},
};

static void replace_b(void)
{
	peer_done(&b);
	peer_init(&b, &world);
}

// W23: each right is missed before it is needed, and no other is.
START_TEST(test_missing_right)
{
	set_up();
	world.config.user = MARIA_PLAIN_USER;
	world.config.history_count = 1;
	for (size_t i = 0; i < COUNT_OF(rights); i++)
		maria_sql(other, "%s", sql_of_rights("GRANT", "TO", rights[i].right, rights[i].table));
	for (size_t i = 0; i < COUNT_OF(rights); i++) {
		maria_sql(other, "%s", sql_of_rights("REVOKE", "FROM", rights[i].right, rights[i].table));
		replace_b();
		expect(&b, renew(&b), EXCHANGE_DENIED, rights[i].table);
		expect(&b, renew(&b), EXCHANGE_DENIED, "grant SELECT, INSERT");
		maria_sql(other, "%s", sql_of_rights("GRANT", "TO", rights[i].right, rights[i].table));
	}
	replace_b();
	peer_session(&b, EXCHANGE_SESSION_CREATE);
	const struct exchange_ask ask = {.lease = ENGINE, .term = 1, .cooldown_ms = -1};
	ck_assert(peer_ok(&b, &(struct exchange_request){.ask = &ask})->asked);
	for (uint64_t term = 2; term <= 4; term++) {
		ck_assert_uint_eq(peer_claim(&b, ENGINE), term);
		peer_release(&b, ENGINE, term);
	}
	ck_assert_uint_eq(
		peer_ok(&b, &(struct exchange_request){.history_lease = ENGINE, .history_count = 9})->past_count, 1);
	peer_ok(&b, &(struct exchange_request){.pause = EXCHANGE_PAUSE_SET});
	ck_assert_str_eq(peer_report(&a)->paused, world.config.node);
	tear_down();
}
END_TEST

// So long that a wait for a lock would be told from a slow machine.
#define PATIENT_NS (40 * NS_PER_S)
#define LOCK_WAIT_NS (PATIENT_NS / 2)

static int64_t begun;

static void set_up_patient(void)
{
	set_up();
	world.config.timeout_ns = PATIENT_NS;
	replace_b();
	b.timeout_ns = PATIENT_NS;
	peer_session(&b, EXCHANGE_SESSION_CREATE);
	begun = clock_now_ns();
}

static void assert_no_wait(void)
{
	ck_assert_int_lt(clock_now_ns() - begun, LOCK_WAIT_NS);
}

static void assert_past(const struct exchange_past *past, uint64_t term, const char *reason)
{
	ck_assert_uint_eq(past->term, term);
	ck_assert_str_eq(past->reason, reason);
	ck_assert_int_eq(past->to_ms == 0, reason[0] == '\0');
}

// Rule 14: rows of the history, and the gaps between them, are waited for by nobody. It finds its way again.
START_TEST(test_locked_history)
{
	set_up_patient();
	const struct exchange_request look_back = {.history_lease = ENGINE, .history_count = 9};
	ck_assert_uint_eq(peer_claim(&b, COUNTER), 1);
	maria_sql(other, "BEGIN");
	maria_sql(other, "SELECT COUNT(*) FROM (SELECT 1 FROM tenure_history FOR UPDATE) locked");
	peer_release(&b, COUNTER, 1);
	ck_assert_ptr_nonnull(strstr(b.reply.text, "somebody holds rows of tenure_history"));
	ck_assert_uint_eq(peer_claim(&b, COUNTER), 2);
	ck_assert_uint_eq(peer_claim(&b, ENGINE), 2); // kills `a`
	ck_assert_uint_eq(peer_row(&b, ENGINE)->term, 2);
	ck_assert(uuid_equal(&b.rows[ENGINE].holder, &b.session) && uuid_equal(&b.rows[COUNTER].holder, &b.session));
	ck_assert_int_eq(renew(&b), EXCHANGE_OK);
	assert_no_wait();
	maria_sql(other, "COMMIT");
	peer_release(&b, ENGINE, 2);
	ck_assert_str_eq(b.reply.text, "");
	ck_assert_uint_eq(peer_ok(&b, &look_back)->past_count, 1);
	assert_past(&b.reply.past[0], 1, "");
	ck_assert_uint_eq(peer_claim(&b, ENGINE), 3);
	ck_assert_uint_eq(peer_ok(&b, &look_back)->past_count, 2);
	assert_past(&b.reply.past[0], 3, "");
	assert_past(&b.reply.past[1], 1, "lost");
	tear_down();
}
END_TEST

// An ask that cannot be written is to be made again; nobody waits for it, the renewal beside it neither.
START_TEST(test_locked_ask)
{
	set_up_patient();
	struct exchange_ask ask = {.lease = ENGINE, .term = 1, .cooldown_ms = -1};
	const struct exchange_request request = {.session_op = EXCHANGE_SESSION_RENEW, .ask = &ask};
	ck_assert(peer_ok(&b, &request)->asked);
	ck_assert_uint_eq(peer_claim(&a, COUNTER), 1);
	maria_sql(other, "BEGIN");
	maria_sql(other, "SELECT 1 FROM tenure_ask WHERE component = 'engine' FOR UPDATE");
	ck_assert_int_eq(peer_exchange(&b, &request), EXCHANGE_BUSY);
	ck_assert(peer_row(&b, ENGINE)->asked);
	ask.lease = COUNTER;
	ck_assert(peer_ok(&b, &request)->asked);
	assert_no_wait();
	maria_sql(other, "COMMIT");
	char id[UUID_TEXT_SIZE];
	uuid_format(&b.session, id);
	ck_assert_str_eq(maria_sql(other, "SELECT seq FROM tenure_session WHERE id = '%s'", id), "4"); // each renewal
	tear_down();
}
END_TEST

// While somebody changes tenure_store nobody claims, and the rest goes on.
START_TEST(test_locked_store)
{
	set_up_patient();
	maria_sql(other, "BEGIN");
	maria_sql(other, "UPDATE tenure_store SET paused = 'host-c'");
	peer_release(&a, ENGINE, 1);
	ck_assert_uint_eq(peer_claim(&b, ENGINE), 0);
	ck_assert_int_eq(renew(&b), EXCHANGE_OK);
	ck_assert_str_eq(peer_report(&b)->paused, "");
	maria_sql(other, "ROLLBACK");
	ck_assert_uint_eq(peer_claim(&b, ENGINE), 2);
	assert_no_wait();
	tear_down();
}
END_TEST

// S2: who was told that the fleet is paused sees no claim after it, one that is under way neither.
START_TEST(test_pause_waits_for_claims)
{
	set_up();
	const struct exchange_request pause = {.session_op = EXCHANGE_SESSION_RENEW, .pause = EXCHANGE_PAUSE_SET};
	peer_release(&a, ENGINE, 1);
	maria_sql(other, "BEGIN");
	maria_sql(other, "SELECT paused FROM tenure_store LOCK IN SHARE MODE"); // as a claim does
	ck_assert_int_eq(peer_exchange(&a, &pause), EXCHANGE_BUSY);
	ck_assert_uint_eq(peer_claim(&b, ENGINE), 2); // claims do not wait for each other
	maria_sql(other, "COMMIT");
	peer_release(&b, ENGINE, 2);
	peer_ok(&a, &pause);
	ck_assert_uint_eq(peer_claim(&b, ENGINE), 0);
	tear_down();
}
END_TEST

// Made by the server's own count.
static int64_t count_of(const char *what)
{
	return atoll(maria_sql(other,
		"SELECT SUM(VARIABLE_VALUE) FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME IN (%s)", what));
}

#define WRITES \
	"'COM_INSERT', 'COM_INSERT_SELECT', 'COM_REPLACE', 'COM_UPDATE', 'COM_DELETE', 'COM_DELETE_MULTI', " \
	"'COM_BEGIN'," \
	" 'COM_COMMIT', 'HANDLER_UPDATE', 'HANDLER_DELETE'"
#define POLLS 20

// R16: a poll of a waiting replica is a read of the rows and one of the rest; the history and others' offers one each.
START_TEST(test_poll_only_reads)
{
	set_up();
	peer_ok(&a, &(struct exchange_request){.pause = EXCHANGE_PAUSE_SET});
	peer_report(&b);
	int64_t writes = count_of(WRITES), reads = count_of("'COM_SELECT'");
	for (int i = 0; i < POLLS; i++)
		ck_assert_str_eq(peer_report(&b)->paused, world.config.node);
	ck_assert_int_eq(count_of(WRITES), writes);
	// Beside these counts, and waiters that are waking up.
	ck_assert_int_lt(count_of("'COM_SELECT'") - reads, 3 * POLLS);
	peer_ok(&b,
		&(struct exchange_request){
			.report = true, .candidates = true, .history_lease = EXCHANGE_EVERY_LEASE, .history_count = 5});
	ck_assert_int_eq(count_of(WRITES), writes);
	peer_session(&b, EXCHANGE_SESSION_RENEW);
	ck_assert_int_gt(count_of(WRITES), writes);
	tear_down();
}
END_TEST

// ---- init ----

static void downgrade(void)
{
	maria_sql(other, "DROP TABLE tenure_ask, tenure_history, tenure_offer");
	maria_sql(other, "ALTER TABLE tenure_store DROP COLUMN paused");
	maria_sql(other, "UPDATE tenure_store SET schema_version = 1");
}

static void assert_upgraded(void)
{
	ck_assert_str_eq(maria_sql(other, "SELECT schema_version FROM tenure_store"), "3");
	const struct exchange_row *row = peer_row(&b, ENGINE);
	ck_assert(uuid_equal(&row->holder, &a.session) && row->holder_alive);
	ck_assert_uint_eq(row->term, 1);
	ck_assert(peer_session(&a, EXCHANGE_SESSION_RENEW)->session_alive);
}

// Who waits for a table has everybody else wait: rather it is tried again.
START_TEST(test_upgrade_does_not_wait)
{
	char text[EXCHANGE_TEXT_SIZE] = "";
	set_up();
	downgrade();
	const char *fence = "SELECT CREATED FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE()";
	char created[64];
	snprintf(created, sizeof created, "%s", maria_sql(other, "%s", fence));
	struct maria *holder = maria_connect(NULL);
	maria_sql(holder, "USE `%s`", world.schema);
	maria_sql(holder, "BEGIN");
	maria_sql(holder, "SELECT COUNT(*) FROM tenure_store");
	ck_assert_int_lt(store_init_schema(world.driver, &world.config, text), 0);
	ck_assert_msg(strstr(text, "a transaction holds the tables: try again"), "%s", text);
	ck_assert_str_eq(maria_sql(other, "SELECT schema_version FROM tenure_store"), "1");
	maria_sql(holder, "COMMIT");
	maria_close(holder);
	// It goes on where it was interrupted.
	ck_assert_msg(store_init_schema(world.driver, &world.config, text) == 0, "%s", text);
	assert_upgraded();
	ck_assert_str_eq(maria_sql(other, "%s", fence), created); // workers call it all the time
	tear_down();
}
END_TEST

static void run_printed(void)
{
	char command[512];
	snprintf(command, sizeof command, "mariadb --no-defaults --user=" MARIA_SUPERUSER " --socket='%s'",
		maria_socket());
	FILE *client = popen(command, "w");
	ck_assert_ptr_nonnull(client);
	ck_assert_int_eq(world.driver->print_schema(&world.config, client), 0);
	ck_assert_int_eq(pclose(client), 0);
}

// The printed way is the same one, from nothing and from version 1.
START_TEST(test_printed_schema)
{
	char made[sizeof world.schema];
	set_up();
	const char *columns = "SELECT MD5(GROUP_CONCAT(TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE,"
			      " COALESCE(COLUMN_DEFAULT, '-') ORDER BY TABLE_NAME, COLUMN_NAME))"
			      " FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE()";
	snprintf(made, sizeof made, "%s", maria_sql(other, "%s", columns));
	downgrade();
	for (int i = 0; i < 2; i++) {
		run_printed();
		assert_upgraded();
		ck_assert_str_eq(maria_sql(other, "%s", columns), made);
	}
	maria_sql(other, "DROP DATABASE `%s`", world.schema);
	run_printed();
	maria_sql(other, "USE `%s`", world.schema);
	ck_assert_str_eq(maria_sql(other, "%s", columns), made);
	tear_down();
}
END_TEST

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
	ck_assert_str_eq(world_sql(&world, "SELECT count(*) FROM tenure_store WHERE schema_version = 3"), "1");
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
		test_number_after_a_write, test_somebody_holds_the_offers, test_lock_timeout, test_busy_when_connecting,
		test_locked_lease_is_skipped, test_read_only, test_missing_table, test_wrong_version,
		test_killed_while_idle, test_missing_right, test_locked_history, test_locked_ask, test_locked_store,
		test_pause_waits_for_claims, test_poll_only_reads, test_upgrade_does_not_wait, test_printed_schema,
		test_init_by_many, test_fence,
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
