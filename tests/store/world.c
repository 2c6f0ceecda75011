// SPDX-License-Identifier: Apache-2.0
#include "world.h"

#include "clock.h"
#include "maria.h"
#include "pg.h"

#include <check.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#ifdef WITH_SQLITE
#include <sqlite3.h>
#endif

static const char *const lease_names[WORLD_LEASES] = {"discovery", "engine", "counter"};

static int never = -1;

static void close_never(void)
{
	close(never);
}

int never_fd(void)
{
	if (never < 0) {
		never = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		atexit(close_never);
	}
	return never;
}

static const char *driver_name(enum backend backend)
{
	switch (backend) {
#ifdef WITH_SQLITE
	case SQLITE:
		return "sqlite";
#endif
#ifdef WITH_PGSQL
	case POSTGRESQL:
		return "postgresql";
#endif
#ifdef WITH_MYSQL
	case MARIADB:
		return "mysql";
#endif
	case MEMORY:
	case BACKENDS:
	default:
		return "memory";
	}
}

void world_start_servers(void)
{
#ifdef WITH_PGSQL
	pg_start();
#endif
#ifdef WITH_MYSQL
	maria_start(NULL);
#endif
}

void world_stop_servers(void)
{
#ifdef WITH_PGSQL
	pg_stop();
#endif
#ifdef WITH_MYSQL
	maria_stop();
#endif
}

#ifdef WITH_SQLITE
// At the end, and before the beginning: a test that failed leaves its file, and process numbers come again.
static void remove_file(const struct world *world)
{
	static const char *const suffixes[] = {"", "-wal", "-shm", "-hint", "-journal"};
	for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
		char path[sizeof world->path + 16];
		snprintf(path, sizeof path, "%s%s", world->path, suffixes[i]);
		unlink(path);
	}
}
#endif

void world_init_empty(struct world *world, enum backend backend)
{
	*world = (struct world){
		.backend = backend,
		.driver = store_driver_find(driver_name(backend)),
		.names = {.name = lease_names, .count = WORLD_LEASES},
	};
	ck_assert_ptr_nonnull(world->driver);
	const char *directory = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
	snprintf(world->path, sizeof world->path, "%s/tenure-test-%d.db", directory, (int)getpid());
#ifdef WITH_PGSQL
	snprintf(world->conninfo, sizeof world->conninfo, "host=%s dbname=postgres user=" PG_SUPERUSER, pg_directory());
#endif
	snprintf(world->schema, sizeof world->schema, "test %d", (int)getpid());
	world->config = (struct store_config){
		.node = "host-a",
		.timeout_ns = WORLD_TIMEOUT_NS,
		.history_count = WORLD_HISTORY_COUNT,
		.history_ms = WORLD_HISTORY_MS,
		.conninfo = world->conninfo,
		.schema = world->schema,
		.path = world->path,
	};
#ifdef WITH_MYSQL
	world->config.socket = maria_socket();
	world->config.user = MARIA_SUPERUSER;
#endif
#ifdef WITH_SQLITE
	if (backend == SQLITE)
		remove_file(world);
#endif
}

void world_init_names(struct world *world, enum backend backend, const struct store_names *names)
{
	char text[EXCHANGE_TEXT_SIZE] = "";
	world_init_empty(world, backend);
	world->names = *names;
	ck_assert_msg(store_init_schema(world->driver, &world->config, text) == 0, "%s", text);
	if (backend == MEMORY)
		ck_assert_int_eq(world->driver->open(&world->shared, &world->config, &world->names), 0);
	struct peer peer;
	peer_init(&peer, world);
	world->server = peer_ok(&peer, &(struct exchange_request){0})->server;
	peer_done(&peer);
}

void world_init(struct world *world, enum backend backend)
{
	world_init_names(world, backend, &(struct store_names){.name = lease_names, .count = WORLD_LEASES});
}

#ifdef WITH_SQLITE
static const char *sqlite_sql(struct world *world, const char *sql)
{
	static char value[256];
	sqlite3_stmt *statement;
	value[0] = '\0';
	if (!world->sql)
		ck_assert_int_eq(sqlite3_open(world->path, (sqlite3 **)&world->sql), SQLITE_OK);
	sqlite3_busy_timeout(world->sql, 1000);
	ck_assert_msg(sqlite3_prepare_v2(world->sql, sql, -1, &statement, NULL) == SQLITE_OK, "%s: %s", sql,
		sqlite3_errmsg(world->sql));
	int code = sqlite3_step(statement);
	if (code == SQLITE_ROW && sqlite3_column_text(statement, 0))
		snprintf(value, sizeof value, "%s", (const char *)sqlite3_column_text(statement, 0));
	ck_assert_msg(code == SQLITE_ROW || code == SQLITE_DONE, "%s: %s", sql, sqlite3_errmsg(world->sql));
	sqlite3_finalize(statement);
	return value;
}

static void sqlite_done(struct world *world)
{
	sqlite3_close(world->sql);
	remove_file(world);
}
#endif

#ifdef WITH_PGSQL
static const char *postgresql_sql(struct world *world, const char *sql)
{
	if (!world->sql) {
		world->sql = pg_connect(NULL);
		pg_sql(world->sql, "SET search_path = \"%s\"", world->schema);
	}
	return pg_sql(world->sql, "%s", sql);
}

static void postgresql_done(struct world *world)
{
	struct pg *pg = world->sql ? world->sql : pg_connect(NULL);
	// A peer that let go of its connection may have left a statement there, which locks tables in another order.
	pg_await(pg, "NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'client backend'"
		     " AND state = 'active' AND pid <> pg_backend_pid())");
	pg_sql(pg, "DROP SCHEMA IF EXISTS \"%s\" CASCADE", world->schema);
	pg_close(pg);
}
#endif

#ifdef WITH_MYSQL
static const char *mariadb_sql(struct world *world, const char *sql)
{
	if (!world->sql) {
		world->sql = maria_connect(NULL);
		maria_sql(world->sql, "USE `%s`", world->schema);
	}
	return maria_sql(world->sql, "%s", sql);
}

static void mariadb_done(struct world *world)
{
	struct maria *maria = world->sql ? world->sql : maria_connect(NULL);
	maria_sql(maria, "DROP DATABASE IF EXISTS `%s`", world->schema);
	maria_close(maria);
}
#endif

const char *world_sql(struct world *world, const char *format, ...)
{
	char sql[1024];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(sql, sizeof sql, format, arguments);
	va_end(arguments);
#ifdef WITH_SQLITE
	if (world->backend == SQLITE)
		return sqlite_sql(world, sql);
#endif
#ifdef WITH_PGSQL
	if (world->backend == POSTGRESQL)
		return postgresql_sql(world, sql);
#endif
#ifdef WITH_MYSQL
	if (world->backend == MARIADB)
		return mariadb_sql(world, sql);
#endif
	ck_abort_msg("%s has no SQL: %s", world->driver->name, sql);
}

void world_done(struct world *world)
{
	if (world->shared)
		world->driver->close(world->shared);
#ifdef WITH_SQLITE
	if (world->backend == SQLITE)
		sqlite_done(world);
#endif
#ifdef WITH_PGSQL
	if (world->backend == POSTGRESQL)
		postgresql_done(world);
#endif
#ifdef WITH_MYSQL
	if (world->backend == MARIADB)
		mariadb_done(world);
#endif
}

void peer_init(struct peer *peer, struct world *world)
{
	*peer = (struct peer){
		.world = world,
		.link = world->shared,
		.timeout_ns = WORLD_TIMEOUT_NS,
		.abort_fd = never_fd(),
		.grants = calloc(world->names.count, sizeof *peer->grants),
		.rows = calloc(world->names.count, sizeof *peer->rows),
	};
	ck_assert(peer->grants && peer->rows);
	ck_assert_int_eq(uuid_random(&peer->session), 0);
	if (!peer->link)
		ck_assert_int_eq(world->driver->open(&peer->link, &world->config, &world->names), 0);
}

void peer_done(struct peer *peer)
{
	if (!peer->world->shared)
		peer->world->driver->close(peer->link);
	free(peer->grants);
	free(peer->rows);
	free(peer->past);
	free(peer->candidates);
	free(peer->offerers);
}

// Room for just what is wanted, so that a sanitizer sees what is written beyond it.
static struct store_answer make_room(struct peer *peer, const struct exchange_request *request)
{
	free(peer->candidates);
	free(peer->offerers);
	free(peer->past);
	peer->candidates = NULL;
	peer->offerers = NULL;
	peer->past = calloc(request->history_count + 1, sizeof *peer->past);
	ck_assert_ptr_nonnull(peer->past);
	memset(peer->grants, 0, peer->world->names.count * sizeof *peer->grants);
	memset(peer->rows, 0, peer->world->names.count * sizeof *peer->rows);
	peer->reply = (struct exchange_reply){
		.number = request->number,
		.outcome = EXCHANGE_UNKNOWN,
		.grants = peer->grants,
		.rows = peer->rows,
		.past = peer->past,
	};
	return (struct store_answer){
		.reply = &peer->reply,
		.grants = peer->grants,
		.rows = peer->rows,
		.past = peer->past,
	};
}

enum exchange_outcome peer_exchange(struct peer *peer, const struct exchange_request *request)
{
	struct exchange_request filled = *request;
	filled.number = ++peer->number;
	filled.session = peer->session;
	filled.lease_ms = request->lease_ms ? request->lease_ms : WORLD_LEASE_MS;
	const struct store_call call = {
		.request = &filled,
		.deadline_at = clock_now_ns() + peer->timeout_ns,
		.abort_fd = peer->abort_fd,
	};
	struct store_answer answer = make_room(peer, &filled);
	peer->world->driver->exchange(peer->link, &call, &answer);
	peer->candidates = answer.candidates;
	peer->offerers = answer.offerers;
	return peer->reply.outcome;
}

const struct exchange_reply *peer_ok(struct peer *peer, const struct exchange_request *request)
{
	enum exchange_outcome outcome = peer_exchange(peer, request);
	ck_assert_msg(outcome == EXCHANGE_OK, "outcome %d: %s", outcome, peer->reply.text);
	return &peer->reply;
}

void peer_offer(struct peer *peer, enum exchange_session_op op, const struct exchange_offer *offers, size_t count)
{
	const struct exchange_request request = {
		.session_op = op, .publish = true, .offers = offers, .offer_count = count};
	ck_assert(peer_ok(peer, &request)->session_alive);
}

const struct exchange_reply *peer_session(struct peer *peer, enum exchange_session_op op)
{
	return peer_ok(peer, &(struct exchange_request){.session_op = op});
}

const struct exchange_reply *peer_report(struct peer *peer)
{
	return peer_ok(peer, &(struct exchange_request){.report = true});
}

const struct exchange_row *peer_row(struct peer *peer, uint32_t lease)
{
	return &peer_report(peer)->rows[lease];
}

uint64_t peer_claim_row(struct peer *peer, const struct exchange_row *row)
{
	struct exchange_claim claim = {
		.lease = row->lease,
		.missing = !row->exists,
		.holder = row->holder,
		.holder_seq = row->holder_alive ? row->holder_seq : -1,
		.term = row->term,
	};
	const struct exchange_reply *reply = peer_ok(peer, &(struct exchange_request){
								   .incarnation = peer->world->server,
								   .claims = &claim,
								   .claim_count = 1,
							   });
	ck_assert_uint_le(reply->grant_count, 1);
	if (reply->grant_count == 0)
		return 0;
	ck_assert_uint_eq(reply->grants[0].lease, claim.lease);
	return reply->grants[0].term;
}

uint64_t peer_claim(struct peer *peer, uint32_t lease)
{
	struct exchange_row row = *peer_row(peer, lease);
	return peer_claim_row(peer, &row);
}

void peer_release(struct peer *peer, uint32_t lease, uint64_t term)
{
	struct exchange_release release = {.lease = lease, .term = term, .reason = WORLD_REASON};
	peer_ok(peer, &(struct exchange_request){.releases = &release, .release_count = 1});
}

bool peer_hint(struct peer *peer, int milliseconds)
{
	const struct store_driver *driver = peer->world->driver;
	int64_t give_up_at = clock_now_ns() + milliseconds * NS_PER_MS;
	peer->hint.freed_count = 0;
	for (;;) {
		struct pollfd poller = {.fd = driver->hint_fd(peer->link), .events = POLLIN};
		if (poll(&poller, 1, store_milliseconds_left(give_up_at)) <= 0)
			return false;
		if (driver->take_hint(peer->link, &peer->hint))
			return true;
	}
}
