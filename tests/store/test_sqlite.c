// SPDX-License-Identifier: Apache-2.0
// What can be wrong with a file.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#ifndef WITH_SQLITE
int main(void)
{
	printf("0 passed, 0 failed, 1 skipped\n");
	return EXIT_SUCCESS;
}
#else
#include "scratch.h"
#include "world.h"

#include "../sim/random.h"
#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sqlite3.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DISCOVERY, ENGINE, COUNTER };

#define SHORT_NS (200 * NS_PER_MS)
#define SLACK_NS (1000 * NS_PER_MS)
#define INITS 8
#define NOBODY 65534

static struct world world;
static struct peer a, b;

static void set_up(void)
{
	world_init(&world, SQLITE);
	peer_init(&a, &world);
	peer_init(&b, &world);
	peer_session(&a, EXCHANGE_SESSION_CREATE);
	ck_assert_uint_eq(peer_claim(&a, ENGINE), 1);
}

static void set_up_empty(void)
{
	world_init_empty(&world, SQLITE);
	peer_init(&a, &world);
	peer_init(&b, &world);
}

static void tear_down(void)
{
	peer_done(&a);
	peer_done(&b);
	world_done(&world);
}

static enum exchange_outcome renew(struct peer *peer)
{
	return peer_exchange(peer, &(struct exchange_request){.session_op = EXCHANGE_SESSION_RENEW});
}

static enum exchange_outcome look(struct peer *peer)
{
	return peer_exchange(peer, &(struct exchange_request){.report = true, .candidates = true});
}

// R3: the text says which file and what to do.
static void expect(struct peer *peer, enum exchange_outcome outcome, enum exchange_outcome expected, const char *text)
{
	const char *found = peer->reply.text;
	ck_assert_msg(outcome == expected && strstr(found, text) && strstr(found, world.path),
		"outcome %d: %s; expected %d: %s", outcome, found, expected, text);
	ck_assert_uint_eq(peer->reply.grant_count, 0);
}

static void write_file(const char *text)
{
	FILE *file = fopen(world.path, "w");
	ck_assert(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

static int init(char ret_text[static EXCHANGE_TEXT_SIZE])
{
	ret_text[0] = '\0';
	return store_init_schema(world.driver, &world.config, ret_text);
}

// ---- files that are none ----

START_TEST(test_missing_file)
{
	set_up_empty();
	expect(&a, look(&a), EXCHANGE_DENIED, "does not exist: run tenurectl init");
	ck_assert_int_ne(access(world.path, F_OK), 0); // and is not made in passing
	tear_down();
}
END_TEST

START_TEST(test_directory)
{
	char text[EXCHANGE_TEXT_SIZE];
	set_up_empty();
	ck_assert_int_eq(mkdir(world.path, 0755), 0);
	expect(&a, look(&a), EXCHANGE_DENIED, "a directory");
	ck_assert_int_lt(init(text), 0);
	ck_assert_ptr_nonnull(strstr(text, "a directory"));
	rmdir(world.path);
	tear_down();
}
END_TEST

START_TEST(test_not_a_database)
{
	char text[EXCHANGE_TEXT_SIZE];
	set_up_empty();
	write_file("This is a letter and not a database, however long one looks at it. It goes on and on, for more "
		   "than the hundred bytes that make a header, so that nobody takes it for an empty one.");
	expect(&a, look(&a), EXCHANGE_DENIED, "not a database");
	ck_assert_int_lt(init(text), 0);
	ck_assert_ptr_nonnull(strstr(text, "not a database"));
	tear_down();
}
END_TEST

START_TEST(test_empty_file)
{
	char text[EXCHANGE_TEXT_SIZE];
	set_up_empty();
	write_file("");
	expect(&a, look(&a), EXCHANGE_DENIED, "run tenurectl init");
	ck_assert_int_eq(init(text), 0);
	ck_assert_uint_eq(look(&a), EXCHANGE_OK);
	tear_down();
}
END_TEST

START_TEST(test_foreign_tables)
{
	char text[EXCHANGE_TEXT_SIZE];
	set_up_empty();
	world_sql(&world, "CREATE TABLE customers (name TEXT)");
	expect(&a, look(&a), EXCHANGE_DENIED, "run tenurectl init");
	ck_assert_int_lt(init(text), 0);
	ck_assert_ptr_nonnull(strstr(text, "another program's tables"));
	tear_down();
}
END_TEST

START_TEST(test_wrong_version)
{
	char text[EXCHANGE_TEXT_SIZE];
	set_up();
	world_sql(&world, "UPDATE tenure_store SET schema_version = 9");
	expect(&a, look(&a), EXCHANGE_DENIED, "schema version 9 found, 3 needed: run the tenured");
	expect(&b, look(&b), EXCHANGE_DENIED, "schema version 9 found");
	ck_assert_int_lt(init(text), 0);
	ck_assert_ptr_nonnull(strstr(text, "schema version 9 is newer than 3"));
	world_sql(&world, "UPDATE tenure_store SET schema_version = 0");
	expect(&a, look(&a), EXCHANGE_DENIED, "schema version 0 found, 3 needed: run tenurectl init");
	ck_assert_msg(init(text) == 0, "%s", text);
	ck_assert_uint_eq(peer_row(&a, ENGINE)->term, 1);
	world_sql(&world, "DELETE FROM tenure_store");
	expect(&a, look(&a), EXCHANGE_DENIED, "run tenurectl init");
	tear_down();
}
END_TEST

START_TEST(test_missing_table)
{
	set_up();
	look(&b);
	world_sql(&world, "DROP TABLE tenure_lease");
	expect(&a, look(&a), EXCHANGE_DENIED, "run tenurectl init");
	expect(&b, look(&b), EXCHANGE_DENIED, "run tenurectl init");
	tear_down();
}
END_TEST

START_TEST(test_read_only)
{
	set_up();
	peer_done(&b);
	peer_init(&b, &world);
	ck_assert_int_eq(chmod(world.path, 0444), 0);
	if (fork() == 0) {
		if (getuid() == 0 && setuid(NOBODY) < 0)
			_exit(2);
		enum exchange_outcome outcome = look(&b);
		bool said = strstr(b.reply.text, "has to be able to write the file and its directory");
		_exit(outcome == EXCHANGE_DENIED && said ? 0 : 1);
	}
	int status;
	wait(&status);
	ck_assert_int_eq(status, 0);
	tear_down();
}
END_TEST

START_TEST(test_full_disk)
{
	char directory[SCRATCH_SIZE], path[SCRATCH_SIZE + 16], text[EXCHANGE_TEXT_SIZE];
	ck_assert(scratch_directory(directory, "full"));
	// A file system of this test's own, which only a privileged one gets.
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", "", MS_REC | MS_PRIVATE, NULL) < 0 ||
		mount("tenure", directory, "tmpfs", 0, "size=512k") < 0) {
		printf("not privileged: no file system to fill\n");
		rmdir(directory);
		return;
	}
	set_up_empty();
	snprintf(world.path, sizeof world.path, "%s/tenure.db", directory);
	ck_assert_msg(init(text) == 0, "%s", text);
	peer_session(&a, EXCHANGE_SESSION_CREATE);
	snprintf(path, sizeof path, "%s/ballast", directory);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	char block[4096] = {1};
	while (write(fd, block, sizeof block) > 0)
		;
	enum exchange_outcome outcome = EXCHANGE_OK;
	for (int i = 0; i < 1000 && outcome == EXCHANGE_OK; i++)
		outcome = renew(&a);
	expect(&a, outcome, EXCHANGE_DENIED, "make room");
	close(fd);
	unlink(path);
	ck_assert(peer_session(&a, EXCHANGE_SESSION_RENEW)->session_alive);
	tear_down();
	umount(directory);
	rmdir(directory);
}
END_TEST

// ---- files that change under us ----

// Another file is another database: nothing is written to the one that nobody else sees.
START_TEST(test_replaced_file)
{
	char text[EXCHANGE_TEXT_SIZE];
	set_up();
	uint64_t connection = peer_report(&a)->connection;
	ck_assert_int_eq(unlink(world.path), 0);
	expect(&a, renew(&a), EXCHANGE_DENIED, "does not exist");
	char other[sizeof world.path + 8];
	snprintf(other, sizeof other, "%s-wal", world.path);
	unlink(other);
	snprintf(other, sizeof other, "%s-shm", world.path);
	unlink(other);
	ck_assert_msg(init(text) == 0, "%s", text);
	ck_assert(!peer_session(&a, EXCHANGE_SESSION_RENEW)->session_alive);
	ck_assert_uint_ne(a.reply.connection, connection);
	ck_assert_str_ne(a.reply.server.text, world.server.text);
	tear_down();
}
END_TEST

// ---- locks ----

START_TEST(test_busy)
{
	set_up();
	uint64_t connection = peer_report(&a)->connection;
	a.timeout_ns = SHORT_NS;
	world_sql(&world, "BEGIN IMMEDIATE");
	int64_t start = clock_now_ns();
	expect(&a, renew(&a), EXCHANGE_BUSY, "lock");
	ck_assert_int_ge(clock_now_ns() - start, SHORT_NS - 10 * NS_PER_MS);
	ck_assert_int_lt(clock_now_ns() - start, SHORT_NS + SLACK_NS);
	// Reading waits for nobody.
	ck_assert_uint_eq(peer_row(&a, ENGINE)->term, 1);
	world_sql(&world, "ROLLBACK");
	ck_assert(peer_session(&a, EXCHANGE_SESSION_RENEW)->session_alive);
	ck_assert_uint_eq(a.reply.connection, connection);
	tear_down();
}
END_TEST

START_TEST(test_abort)
{
	set_up();
	a.abort_fd = eventfd(1, EFD_CLOEXEC);
	world_sql(&world, "BEGIN IMMEDIATE");
	int64_t start = clock_now_ns();
	expect(&a, renew(&a), EXCHANGE_BUSY, "lock");
	ck_assert_int_lt(clock_now_ns() - start, WORLD_TIMEOUT_NS / 2);
	world_sql(&world, "ROLLBACK");
	close(a.abort_fd);
	tear_down();
}
END_TEST

// R16: a waiting replica writes nothing, also while another one writes.
START_TEST(test_polls_only_read)
{
	set_up();
	char before[32];
	look(&b);
	snprintf(before, sizeof before, "%s", world_sql(&world, "PRAGMA data_version"));
	for (int i = 0; i < 100; i++)
		ck_assert_uint_eq(look(&b), EXCHANGE_OK);
	ck_assert_str_eq(world_sql(&world, "PRAGMA data_version"), before);
	renew(&a);
	ck_assert_str_ne(world_sql(&world, "PRAGMA data_version"), before);
	tear_down();
}
END_TEST

// A daemon that was killed leaves nothing that stops the others.
START_TEST(test_killed_daemon)
{
	set_up();
	world_sql(&world, "SELECT 1");
	sqlite3_close(world.sql);
	world.sql = NULL;
	for (int i = 0; i < 5; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			struct peer peer;
			peer_init(&peer, &world);
			peer_session(&peer, EXCHANGE_SESSION_CREATE);
			sqlite3 *db;
			sqlite3_open(world.path, &db);
			sqlite3_exec(db, "BEGIN IMMEDIATE; UPDATE tenure_lease SET term = 99", NULL, NULL, NULL);
			kill(getpid(), SIGKILL);
		}
		waitpid(pid, NULL, 0);
		ck_assert(peer_session(&a, EXCHANGE_SESSION_RENEW)->session_alive);
		ck_assert_uint_eq(peer_row(&a, ENGINE)->term, 1);
	}
	tear_down();
}
END_TEST

// ---- the hint file ----

static void hint_path(char *ret, size_t size)
{
	snprintf(ret, size, "%s-hint", world.path);
}

// Without it there are no hints, and everything else is as before.
START_TEST(test_lost_hint_file)
{
	char path[sizeof world.path + 8];
	set_up();
	look(&b);
	hint_path(path, sizeof path);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	while (peer_hint(&b, 100))
		;
	peer_release(&a, ENGINE, 1);
	ck_assert(uuid_is_none(&peer_row(&b, ENGINE)->holder));
	rmdir(path);
	tear_down();
}
END_TEST

START_TEST(test_new_hint_file)
{
	char path[sizeof world.path + 8];
	set_up();
	look(&b);
	hint_path(path, sizeof path);
	ck_assert_int_eq(unlink(path), 0);
	while (peer_hint(&b, 100) || peer_hint(&a, 100))
		;
	ck_assert_int_eq(access(path, F_OK), 0);
	peer_release(&a, ENGINE, 1);
	ck_assert(peer_hint(&b, 1000));
	tear_down();
}
END_TEST

// ---- init ----

START_TEST(test_init_by_many)
{
	pid_t pids[INITS];
	char text[EXCHANGE_TEXT_SIZE];
	set_up_empty();
	for (int i = 0; i < INITS; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			_exit(init(text) == 0 ? 0 : 1);
	}
	for (int i = 0; i < INITS; i++) {
		int status;
		ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
		ck_assert_int_eq(status, 0);
	}
	ck_assert_str_eq(world_sql(&world, "SELECT count(*) FROM tenure_store WHERE schema_version = 3"), "1");
	ck_assert_str_eq(world_sql(&world, "PRAGMA journal_mode"), "wal");
	tear_down();
}
END_TEST

START_TEST(test_init_again)
{
	char text[EXCHANGE_TEXT_SIZE];
	set_up();
	ck_assert_int_eq(init(text), 0);
	ck_assert_uint_eq(peer_row(&a, ENGINE)->term, 1);
	ck_assert_str_eq(a.reply.server.text, world.server.text);
	tear_down();
}
END_TEST

static char *print_schema(void)
{
	char *script;
	size_t size;
	FILE *out = open_memstream(&script, &size);
	ck_assert_int_eq(store_print_schema(world.driver, &world.config, out), 0);
	fclose(out);
	return script;
}

// As the database's own command line does: a statement that fails does not stop the next. How many said that the
// column is there; nothing else may be said.
static int run_script(const char *script)
{
	int duplicates = 0;
	sqlite3 *db;
	ck_assert_int_eq(sqlite3_open(world.path, &db), SQLITE_OK);
	while (*script) {
		sqlite3_stmt *statement;
		int code = sqlite3_prepare_v2(db, script, -1, &statement, &script);
		if (code != SQLITE_OK)
			script += strcspn(script, ";") + 1;
		while (code == SQLITE_OK && statement && sqlite3_step(statement) == SQLITE_ROW)
			;
		if (code == SQLITE_OK)
			code = sqlite3_finalize(statement);
		bool duplicate = strstr(sqlite3_errmsg(db), "duplicate column name");
		ck_assert_msg(code == SQLITE_OK || duplicate, "%s", sqlite3_errmsg(db));
		duplicates += code != SQLITE_OK;
	}
	ck_assert(sqlite3_get_autocommit(db));
	sqlite3_close(db);
	return duplicates;
}

START_TEST(test_print_schema)
{
	set_up_empty();
	char *script = print_schema();
	ck_assert_int_eq(run_script(script), 0);
	ck_assert_int_eq(run_script(script), 1);
	free(script);
	world.server = peer_ok(&a, &(struct exchange_request){0})->server;
	ck_assert_str_eq(a.reply.believed.text, world.server.text);
	peer_session(&a, EXCHANGE_SESSION_CREATE);
	ck_assert_uint_eq(peer_claim(&a, ENGINE), 1);
	ck_assert_str_eq(world_sql(&world, "SELECT version FROM leader_leases WHERE expires_at > acquired_at"), "1");
	tear_down();
}
END_TEST

// W23: what is printed upgrades as well, and takes nothing from a newer version.
START_TEST(test_print_schema_upgrades)
{
	set_up();
	world_sql(&world, "DROP TABLE tenure_ask");
	world_sql(&world, "DROP TABLE tenure_history");
	world_sql(&world, "DROP TABLE tenure_offer");
	world_sql(&world, "ALTER TABLE tenure_store DROP COLUMN paused");
	world_sql(&world, "UPDATE tenure_store SET schema_version = 1");
	char *script = print_schema();
	ck_assert_int_eq(run_script(script), 0);
	ck_assert(peer_session(&a, EXCHANGE_SESSION_RENEW)->session_alive);
	ck_assert_uint_eq(peer_row(&a, ENGINE)->term, 1);
	ck_assert_str_eq(a.reply.server.text, world.server.text);
	world_sql(&world, "UPDATE tenure_store SET schema_version = 9");
	run_script(script);
	ck_assert_str_eq(world_sql(&world, "SELECT schema_version FROM tenure_store"), "9");
	free(script);
	tear_down();
}
END_TEST

// ---- rows that nobody wrote like that ----

START_TEST(test_nonsense_in_a_term)
{
	static const char *const terms[] = {"-5", "-9223372036854775808", "9223372036854775807"};
	set_up();
	ck_assert_uint_eq(peer_claim(&a, COUNTER), 1);
	peer_session(&b, EXCHANGE_SESSION_CREATE);
	for (size_t i = 0; i < COUNT_OF(terms); i++) {
		world_sql(&world, "UPDATE tenure_lease SET session = NULL, term = %s WHERE component = 'engine'",
			terms[i]);
		ck_assert_uint_eq(peer_row(&b, ENGINE)->term, terms[i][0] == '-' ? 0 : INT64_MAX);
		// The others go on.
		struct exchange_row counter = *peer_row(&b, COUNTER);
		struct exchange_claim claims[] = {
			{.lease = ENGINE, .holder_seq = -1, .term = b.reply.rows[ENGINE].term},
			{.lease = COUNTER,
				.holder = counter.holder,
				.holder_seq = counter.holder_alive ? counter.holder_seq : -1,
				.term = counter.term},
		};
		const struct exchange_request request = {
			.incarnation = world.server, .claims = claims, .claim_count = COUNT_OF(claims)};
		ck_assert_uint_eq(peer_ok(&b, &request)->grant_count, 1);
		ck_assert_uint_eq(b.reply.grants[0].lease, COUNTER);
	}
	tear_down();
}
END_TEST

START_TEST(test_nonsense_in_a_holder)
{
	set_up();
	peer_session(&b, EXCHANGE_SESSION_CREATE);
	world_sql(&world, "UPDATE tenure_lease SET session = 'nobody', node = '%0300d'", 0);
	ck_assert_uint_eq(strlen(peer_row(&b, ENGINE)->node), NAME_BYTES);
	ck_assert_uint_eq(peer_claim(&b, ENGINE), 0);
	tear_down();
}
END_TEST

START_TEST(test_nonsense_in_an_ask)
{
	static const char *const targets[] = {"", "somebody", "00000000-0000-0000-0000-00000000000", "%s%n"};
	set_up();
	const struct exchange_ask ask = {.lease = ENGINE, .term = 1, .target = b.session};
	for (size_t i = 0; i < COUNT_OF(targets); i++) {
		ck_assert(peer_ok(&b, &(struct exchange_request){.ask = &ask})->asked);
		ck_assert(peer_row(&a, ENGINE)->asked);
		world_sql(&world, "UPDATE tenure_ask SET target = '%s'", targets[i]);
		ck_assert(!peer_row(&a, ENGINE)->asked);
	}
	world_sql(&world, "UPDATE tenure_ask SET target = NULL, term = -1");
	ck_assert(!peer_row(&a, ENGINE)->asked);
	tear_down();
}
END_TEST

START_TEST(test_nonsense_in_a_pause)
{
	set_up();
	peer_session(&b, EXCHANGE_SESSION_CREATE);
	world_sql(&world, "UPDATE tenure_store SET paused = '%0300d'", 0);
	ck_assert_uint_eq(strlen(peer_report(&b)->paused), NAME_BYTES);
	ck_assert_uint_eq(peer_claim(&b, ENGINE), 0);
	tear_down();
}
END_TEST

START_TEST(test_nonsense_in_the_history)
{
	set_up();
	world_sql(&world, "UPDATE tenure_history SET term = -3, node = '%0300d', reason = '%0300d', began_at = 'once'",
		0, 0);
	const struct exchange_request request = {.history_lease = EXCHANGE_EVERY_LEASE, .history_count = 2};
	const struct exchange_reply *reply = peer_ok(&a, &request);
	ck_assert_uint_eq(reply->past_count, 1);
	ck_assert_uint_eq(reply->past[0].term, 0);
	ck_assert_uint_eq(strlen(reply->past[0].node), NAME_BYTES);
	ck_assert_uint_eq(strlen(reply->past[0].reason), EXCHANGE_REASON_SIZE - 1);
	ck_assert_int_eq(reply->past[0].from_ms, 0);
	tear_down();
}
END_TEST

// A text of any bytes, in hexadecimal.
static void random_text(struct random *random, char ret[static 128])
{
	static const char likely[] = "=- 0:engine9";
	uint32_t size = random_below(random, 60);
	ret[0] = '\0';
	for (uint32_t i = 0; i < size; i++) {
		uint32_t byte = random_below(random, 256);
		if (random_below(random, 3) > 0)
			byte = (unsigned char)likely[random_below(random, sizeof likely - 1)];
		snprintf(ret + (size_t)2 * i, 3, "%02x", byte);
	}
}

static void assert_ends(const char *text, size_t size)
{
	ck_assert_uint_lt(strnlen(text, size), size);
}

static void assert_sane(const struct exchange_reply *reply)
{
	assert_ends(reply->paused, sizeof reply->paused);
	ck_assert_uint_eq(reply->row_count, WORLD_LEASES);
	for (size_t i = 0; i < reply->row_count; i++)
		assert_ends(reply->rows[i].node, sizeof reply->rows[i].node);
	for (size_t i = 0; i < reply->candidate_count; i++) {
		ck_assert_uint_lt(reply->candidates[i].lease, WORLD_LEASES);
		ck_assert_uint_lt(reply->candidates[i].offerer, reply->offerer_count);
	}
	for (size_t i = 0; i < reply->offerer_count; i++) {
		ck_assert(!uuid_is_none(&reply->offerers[i].session));
		assert_ends(reply->offerers[i].node, sizeof reply->offerers[i].node);
	}
	for (size_t i = 0; i < reply->past_count; i++) {
		ck_assert_uint_lt(reply->past[i].lease, WORLD_LEASES);
		assert_ends(reply->past[i].node, sizeof reply->past[i].node);
		assert_ends(reply->past[i].reason, sizeof reply->past[i].reason);
	}
}

START_TEST(test_nonsense_everywhere)
{
	static const char *const columns[][2] = {
		{"tenure_session", "node"},
		{"tenure_session", "renewed_at"},
		{"tenure_offer", "offers"},
		{"tenure_session", "id"},
		{"tenure_lease", "session"},
		{"tenure_lease", "node"},
		{"tenure_lease", "acquired_at"},
		{"tenure_ask", "target"},
		{"tenure_history", "node"},
		{"tenure_history", "began_at"},
		{"tenure_history", "ended_at"},
		{"tenure_history", "reason"},
		{"tenure_store", "paused"},
	};
	const struct exchange_ask ask = {.lease = ENGINE, .term = 1};
	const struct exchange_request everything = {
		.report = true,
		.strays = true,
		.candidates = true,
		.history_lease = EXCHANGE_EVERY_LEASE,
		.history_count = 5,
	};
	char text[128];
	struct random random = {1};
	set_up();
	ck_assert(peer_ok(&b, &(struct exchange_request){.ask = &ask})->asked);
	world_sql(&world, "PRAGMA synchronous = OFF");
	for (int i = 0; i < 400; i++) {
		const char *const *column = columns[random_below(&random, COUNT_OF(columns))];
		random_text(&random, text);
		world_sql(&world, "UPDATE %s SET %s = CAST(x'%s' AS TEXT)", column[0], column[1], text);
		assert_sane(peer_ok(&b, &everything));
	}
	tear_down();
}
END_TEST

START_TEST(test_bad_configuration)
{
	char text[EXCHANGE_TEXT_SIZE];
	struct store_config config = {.node = "a", .timeout_ns = NS_PER_S};
	ck_assert_int_eq(store_check(&store_sqlite, &config, text), -EINVAL);
	config.path = "";
	ck_assert_int_eq(store_check(&store_sqlite, &config, text), -EINVAL);
	config.path = "tenure.db";
	ck_assert_int_eq(store_check(&store_sqlite, &config, text), -EINVAL);
	ck_assert_ptr_nonnull(strstr(text, "absolute path"));
}
END_TEST

static Suite *sqlite_suite(void)
{
	const TTest *const tests[] = {
		test_missing_file,
		test_directory,
		test_not_a_database,
		test_empty_file,
		test_foreign_tables,
		test_wrong_version,
		test_missing_table,
		test_read_only,
		test_full_disk,
		test_replaced_file,
		test_busy,
		test_abort,
		test_polls_only_read,
		test_killed_daemon,
		test_lost_hint_file,
		test_new_hint_file,
		test_init_by_many,
		test_init_again,
		test_print_schema,
		test_print_schema_upgrades,
		test_nonsense_in_a_term,
		test_nonsense_in_a_holder,
		test_nonsense_in_an_ask,
		test_nonsense_in_a_pause,
		test_nonsense_in_the_history,
		test_nonsense_everywhere,
		test_bad_configuration,
	};
	Suite *suite = suite_create("sqlite");
	TCase *all = tcase_create("sqlite");
	tcase_set_timeout(all, 60);
	for (size_t i = 0; i < COUNT_OF(tests); i++)
		tcase_add_test(all, tests[i]);
	suite_add_tcase(suite, all);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(sqlite_suite());
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
#endif
