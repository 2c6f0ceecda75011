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
#include "world.h"

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
	return peer_exchange(peer, &(struct exchange_request){.report = true});
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
	expect(&a, look(&a), EXCHANGE_DENIED, "schema version 9 found, 2 needed: run the tenured");
	expect(&b, look(&b), EXCHANGE_DENIED, "schema version 9 found");
	ck_assert_int_lt(init(text), 0);
	ck_assert_ptr_nonnull(strstr(text, "schema version 9 is newer than 2"));
	world_sql(&world, "UPDATE tenure_store SET schema_version = 0");
	expect(&a, look(&a), EXCHANGE_DENIED, "schema version 0 found, 2 needed: run tenurectl init");
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
	char directory[] = "/tmp/tenure-full-XXXXXX", path[64], text[EXCHANGE_TEXT_SIZE];
	ck_assert_ptr_nonnull(mkdtemp(directory));
	// A file system of this test's own, which only a privileged one gets.
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
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
	ck_assert_str_eq(world_sql(&world, "SELECT count(*) FROM tenure_store WHERE schema_version = 2"), "1");
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

START_TEST(test_print_schema)
{
	char *script;
	size_t size;
	sqlite3 *db;
	set_up_empty();
	FILE *out = open_memstream(&script, &size);
	ck_assert_int_eq(store_print_schema(world.driver, &world.config, out), 0);
	fclose(out);
	ck_assert_int_eq(sqlite3_open(world.path, &db), SQLITE_OK);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(sqlite3_exec(db, script, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	free(script);
	world.server = peer_ok(&a, &(struct exchange_request){0})->server;
	ck_assert_str_eq(a.reply.believed.text, world.server.text);
	peer_session(&a, EXCHANGE_SESSION_CREATE);
	ck_assert_uint_eq(peer_claim(&a, ENGINE), 1);
	ck_assert_str_eq(world_sql(&world, "SELECT version FROM leader_leases WHERE expires_at > acquired_at"), "1");
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
