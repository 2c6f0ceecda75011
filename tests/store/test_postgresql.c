// SPDX-License-Identifier: Apache-2.0
// What only a real PostgreSQL can show: its errors, its locks, its privileges, and its end.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#ifndef WITH_PGSQL
int main(void)
{
	printf("0 passed, 0 failed, 1 skipped\n");
	return EXIT_SUCCESS;
}
#else
#include "pg.h"
#include "scratch.h"
#include "world.h"

#include "clock.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DISCOVERY, ENGINE, COUNTER };

#define SHORT_NS (400 * NS_PER_MS)
#define SLACK_NS (1500 * NS_PER_MS)
#define SECRET "swordfish-and-chips"
#define INITS 8

static struct world world;
static struct peer a, b;
static struct pg *other; // a plain connection

static void set_up(void)
{
	world_init(&world, POSTGRESQL);
	peer_init(&a, &world);
	peer_init(&b, &world);
	peer_session(&a, EXCHANGE_SESSION_CREATE);
	peer_session(&b, EXCHANGE_SESSION_CREATE);
	ck_assert_uint_eq(peer_claim(&a, ENGINE), 1);
	other = pg_connect(NULL);
	pg_sql(other, "SET search_path = \"%s\"", world.schema);
}

static void tear_down(void)
{
	peer_done(&a);
	peer_done(&b);
	pg_close(other);
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

// A daemon with another connection string, as that role.
static void as_user(struct peer *peer, const char *user, const char *more)
{
	peer_done(peer);
	snprintf(world.conninfo, sizeof world.conninfo, "host=%s dbname=postgres user=%s %s", pg_directory(), user,
		more);
	peer_init(peer, &world);
}

// ---- R7: one test per class of errors ----

static const struct {
	const char *sqlstate;
	enum exchange_outcome outcome;
	bool dropped;
} classes[] = {
	{"40001", EXCHANGE_BUSY, false},
	{"40P01", EXCHANGE_BUSY, false},
	{"55P03", EXCHANGE_BUSY, false},
	{"57014", EXCHANGE_BUSY, false},
	{"42501", EXCHANGE_DENIED, false},
	{"42P01", EXCHANGE_DENIED, false},
	{"42703", EXCHANGE_DENIED, false},
	{"3F000", EXCHANGE_DENIED, false},
	{"28000", EXCHANGE_DENIED, true},
	{"3D000", EXCHANGE_DENIED, true},
	{"25006", EXCHANGE_DENIED, true},
	{"53100", EXCHANGE_DENIED, true},
	{"23514", EXCHANGE_DENIED, true}, // any other
	{"08006", EXCHANGE_UNAVAILABLE, true},
	{"53300", EXCHANGE_UNAVAILABLE, true},
	{"57P01", EXCHANGE_UNAVAILABLE, true},
	{"57P02", EXCHANGE_UNAVAILABLE, true},
	{"57P03", EXCHANGE_UNAVAILABLE, true},
};

static void set_trap(const char *table, const char *body)
{
	pg_sql(other,
		"CREATE FUNCTION trap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN %s; RETURN new; END $$;"
		" CREATE TRIGGER trap BEFORE UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION trap()",
		body, table);
}

START_TEST(test_sqlstate)
{
	char body[128];
	set_up();
	uint64_t connection = peer_report(&a)->connection;
	snprintf(body, sizeof body, "RAISE EXCEPTION 'a trap' USING ERRCODE = '%s'", classes[_i].sqlstate);
	set_trap("tenure_session", body);
	expect(&a, renew(&a), classes[_i].outcome, "a trap");
	pg_sql(other, "DROP TRIGGER trap ON tenure_session");
	ck_assert(peer_session(&a, EXCHANGE_SESSION_RENEW)->session_alive);
	ck_assert_int_eq(a.reply.connection != connection, classes[_i].dropped);
	tear_down();
}
END_TEST

// What was written before the connection ended cannot be told any more: unknown, not unavailable.
START_TEST(test_sqlstate_after_a_write)
{
	set_up();
	set_trap("tenure_lease", "RAISE EXCEPTION 'a trap' USING ERRCODE = '57P01'");
	struct exchange_release release = {.lease = ENGINE, .term = 1, .reason = WORLD_REASON};
	const struct exchange_request request = {
		.session_op = EXCHANGE_SESSION_RENEW, .releases = &release, .release_count = 1};
	expect(&a, peer_exchange(&a, &request), EXCHANGE_UNKNOWN, "a trap");
	tear_down();
}
END_TEST

// The limits on the server end a statement before the exchange's deadline: an answer is better than none.
START_TEST(test_lock_timeout)
{
	set_up();
	uint64_t connection = peer_report(&a)->connection;
	pg_sql(other, "BEGIN; SELECT 1 FROM tenure_session FOR UPDATE");
	int64_t start = clock_now_ns();
	expect(&a, renew(&a), EXCHANGE_BUSY, "lock timeout");
	ck_assert_int_lt(clock_now_ns() - start, WORLD_TIMEOUT_NS);
	pg_sql(other, "ROLLBACK");
	ck_assert_uint_eq(peer_session(&a, EXCHANGE_SESSION_RENEW)->connection, connection);
	tear_down();
}
END_TEST

START_TEST(test_statement_timeout)
{
	set_up();
	set_trap("tenure_session", "PERFORM pg_sleep(60)");
	int64_t start = clock_now_ns();
	expect(&a, renew(&a), EXCHANGE_BUSY, "statement timeout");
	ck_assert_int_lt(clock_now_ns() - start, WORLD_TIMEOUT_NS);
	tear_down();
}
END_TEST

// ---- rule 14: locked rows ----

START_TEST(test_locked_lease_is_skipped)
{
	set_up();
	ck_assert_uint_eq(peer_claim(&a, COUNTER), 1);
	struct exchange_row engine = *peer_row(&b, ENGINE), counter = *peer_row(&b, COUNTER);
	pg_sql(other, "BEGIN; SELECT 1 FROM tenure_lease WHERE component = 'engine' FOR SHARE");
	// A release goes around it, and so does a claim; the other component is not held up, nor is the kill.
	peer_release(&a, ENGINE, 1);
	ck_assert(uuid_equal(&peer_row(&b, ENGINE)->holder, &a.session));
	struct exchange_claim claims[] = {
		{.lease = ENGINE, .holder = engine.holder, .holder_seq = engine.holder_seq, .term = 1},
		{.lease = COUNTER, .holder = counter.holder, .holder_seq = counter.holder_seq, .term = 1},
	};
	const struct exchange_request request = {
		.session_op = EXCHANGE_SESSION_RENEW, .incarnation = world.server, .claims = claims, .claim_count = 2};
	int64_t start = clock_now_ns();
	ck_assert_uint_eq(peer_ok(&b, &request)->grant_count, 1);
	ck_assert_uint_eq(b.reply.grants[0].lease, COUNTER);
	ck_assert(b.reply.session_alive);
	ck_assert_int_lt(clock_now_ns() - start, WORLD_TIMEOUT_NS / 2);
	ck_assert(!peer_session(&a, EXCHANGE_SESSION_RENEW)->session_alive);
	pg_sql(other, "ROLLBACK");
	ck_assert_uint_eq(peer_claim(&b, ENGINE), 2);
	tear_down();
}
END_TEST

// Nobody waits for the session of another, which is being renewed and so alive.
START_TEST(test_locked_session_is_not_killed)
{
	set_up();
	struct exchange_row row = *peer_row(&b, ENGINE);
	pg_sql(other, "BEGIN; UPDATE tenure_session SET seq = seq + 1 WHERE id = '%s'",
		pg_sql(world.sql ? world.sql : other, "SELECT session FROM tenure_lease WHERE component = 'engine'"));
	int64_t start = clock_now_ns();
	ck_assert_uint_eq(peer_claim_row(&b, &row), 0);
	ck_assert_int_lt(clock_now_ns() - start, WORLD_TIMEOUT_NS / 2);
	pg_sql(other, "COMMIT");
	ck_assert_uint_eq(peer_claim_row(&b, &row), 0); // rule 4
	ck_assert_uint_eq(peer_claim(&b, ENGINE), 2);
	tear_down();
}
END_TEST

// A claim whose session is being deleted does not come through: its lease would have no session.
START_TEST(test_claim_while_being_killed)
{
	char id[UUID_TEXT_SIZE];
	set_up();
	uuid_format(&b.session, id);
	pg_sql(other, "BEGIN; DELETE FROM tenure_session WHERE id = '%s'", id);
	ck_assert_uint_eq(peer_claim(&b, COUNTER), 0);
	pg_sql(other, "ROLLBACK");
	ck_assert_uint_eq(peer_claim(&b, COUNTER), 1);
	tear_down();
}
END_TEST

// Who claims has to know whether the fleet is paused, and who pauses it has to be sure: both come to nothing soon.
// Renewals, releases and reports go on.
START_TEST(test_locked_store)
{
	set_up();
	peer_report(&b);
	pg_sql(other, "BEGIN; SELECT 1 FROM tenure_store FOR UPDATE");
	int64_t start = clock_now_ns();
	ck_assert(peer_session(&a, EXCHANGE_SESSION_RENEW)->session_alive);
	peer_release(&a, ENGINE, 1);
	ck_assert(uuid_is_none(&peer_row(&b, ENGINE)->holder));
	ck_assert_uint_eq(peer_claim(&b, ENGINE), 0);
	expect(&b, peer_exchange(&b, &(struct exchange_request){.pause = EXCHANGE_PAUSE_SET}), EXCHANGE_BUSY, "lock");
	ck_assert_int_lt(clock_now_ns() - start, WORLD_TIMEOUT_NS / 2);
	pg_sql(other, "ROLLBACK");
	ck_assert_str_eq(peer_report(&b)->paused, "");
	ck_assert_uint_eq(peer_claim(&b, ENGINE), 2);
	tear_down();
}
END_TEST

// Another claim has the row locked this way, too.
START_TEST(test_shared_store)
{
	set_up();
	pg_sql(other, "BEGIN; SELECT 1 FROM tenure_store FOR SHARE");
	ck_assert_uint_eq(peer_claim(&b, COUNTER), 1);
	pg_sql(other, "ROLLBACK");
	tear_down();
}
END_TEST

static bool ask(struct peer *peer, uint32_t lease)
{
	struct exchange_ask ask = {.lease = lease, .term = 1, .cooldown_ms = -1};
	return peer_ok(peer, &(struct exchange_request){.session_op = EXCHANGE_SESSION_RENEW, .ask = &ask})->asked;
}

START_TEST(test_locked_ask)
{
	set_up();
	ck_assert_uint_eq(peer_claim(&a, COUNTER), 1);
	ck_assert(ask(&b, ENGINE));
	pg_sql(other, "BEGIN; SELECT 1 FROM tenure_ask FOR UPDATE");
	int64_t start = clock_now_ns();
	ck_assert(!ask(&b, ENGINE));
	ck_assert(b.reply.session_alive);
	ck_assert(ask(&b, COUNTER));
	ck_assert(peer_row(&a, ENGINE)->asked);
	peer_release(&a, ENGINE, 1);
	ck_assert_uint_eq(peer_claim(&b, ENGINE), 2);
	ck_assert_int_lt(clock_now_ns() - start, WORLD_TIMEOUT_NS / 2);
	pg_sql(other, "ROLLBACK");
	tear_down();
}
END_TEST

// It is for people: who leads does not depend on it, and it is made good with the next claim.
START_TEST(test_locked_history)
{
	set_up();
	pg_sql(other, "BEGIN; SELECT 1 FROM tenure_history FOR UPDATE");
	int64_t start = clock_now_ns();
	peer_release(&a, ENGINE, 1);
	ck_assert(uuid_is_none(&peer_row(&b, ENGINE)->holder));
	pg_sql(other, "COMMIT; BEGIN; SELECT 1 FROM tenure_history FOR UPDATE");
	world.config.history_count = 1;
	ck_assert_uint_eq(peer_claim(&b, ENGINE), 2);
	ck_assert(peer_session(&b, EXCHANGE_SESSION_RENEW)->session_alive); // trims
	ck_assert_int_lt(clock_now_ns() - start, WORLD_TIMEOUT_NS / 2);
	ck_assert_str_eq(
		pg_sql(other, "SELECT string_agg(term || reason, ' ' ORDER BY term) FROM tenure_history"), "1 2");
	pg_sql(other, "COMMIT");
	peer_release(&b, ENGINE, 2);
	ck_assert_uint_eq(peer_claim(&b, ENGINE), 3);
	peer_session(&b, EXCHANGE_SESSION_RENEW);
	ck_assert_str_eq(pg_sql(other, "SELECT string_agg(term || reason, ' ') FROM tenure_history"), "3");
	tear_down();
}
END_TEST

// ---- a pause and a claim at once ----

// Exchanges of another process that come to a gate, an advisory lock that `other` holds, where that role's claims look
// at a session or, `late`, after they changed a lease.
static void set_gate(bool late)
{
	pg_sql(other, "GRANT ALL ON ALL TABLES IN SCHEMA \"%s\" TO " PG_PLAIN_USER, world.schema);
	pg_sql(other, "GRANT USAGE ON SCHEMA \"%s\" TO " PG_PLAIN_USER, world.schema);
	pg_sql(other, "CREATE FUNCTION gate() RETURNS boolean LANGUAGE plpgsql AS"
		      " $$ BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN true; END $$;"
		      " CREATE FUNCTION late_gate() RETURNS trigger LANGUAGE plpgsql AS"
		      " $$ BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN new; END $$");
	if (late)
		pg_sql(other,
			"CREATE TRIGGER gate AFTER UPDATE ON tenure_lease FOR EACH ROW EXECUTE FUNCTION"
			" \"%s\".late_gate()",
			world.schema);
	else
		pg_sql(other,
			"ALTER TABLE tenure_session ENABLE ROW LEVEL SECURITY;"
			" CREATE POLICY gate ON tenure_session USING (\"%s\".gate())",
			world.schema);
}

// Begins a claim of the counter that waits at the gate; what it granted is the process's exit status.
static pid_t claim_at_gate(void)
{
	world.config.timeout_ns = 60 * NS_PER_S;
	as_user(&b, PG_PLAIN_USER, "");
	b.timeout_ns = 60 * NS_PER_S;
	peer_session(&b, EXCHANGE_SESSION_CREATE);
	pg_sql(other, "SELECT pg_advisory_lock(7)");
	pid_t pid = fork();
	if (pid == 0) {
		struct exchange_claim claim = {.lease = COUNTER, .holder_seq = -1};
		const struct exchange_reply *reply = peer_ok(&b,
			&(struct exchange_request){.incarnation = world.server, .claims = &claim, .claim_count = 1});
		_exit((int)reply->grant_count);
	}
	pg_await(other, "EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'advisory')");
	return pid;
}

static int open_gate(pid_t pid)
{
	int status;
	pg_sql(other, "SELECT pg_advisory_unlock(7)");
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

// S2: its look at the database is older than the pause, and yet it sees it.
START_TEST(test_pause_before_a_claim_ends)
{
	set_up();
	peer_claim(&a, COUNTER);
	peer_release(&a, COUNTER, 1);
	set_gate(false);
	pid_t pid = claim_at_gate();
	peer_ok(&a, &(struct exchange_request){.pause = EXCHANGE_PAUSE_SET});
	ck_assert_int_eq(open_gate(pid), 0);
	ck_assert(uuid_is_none(&peer_row(&a, COUNTER)->holder));
	tear_down();
}
END_TEST

// S2: who is told that the fleet is paused sees no claim after that. One that is being made is waited for, a little.
START_TEST(test_pause_after_a_claim_began)
{
	set_up();
	peer_claim(&a, COUNTER);
	peer_release(&a, COUNTER, 1);
	set_gate(true);
	pid_t pid = claim_at_gate();
	const struct exchange_request pause = {.pause = EXCHANGE_PAUSE_SET};
	expect(&a, peer_exchange(&a, &pause), EXCHANGE_BUSY, "lock");
	ck_assert_int_eq(open_gate(pid), 1);
	peer_ok(&a, &pause);
	ck_assert(!uuid_is_none(&peer_row(&a, COUNTER)->holder));
	tear_down();
}
END_TEST

// ---- a server that hangs, ends, crashes, restarts ----

START_TEST(test_stopped_server)
{
	set_up();
	a.timeout_ns = b.timeout_ns = SHORT_NS;
	uint64_t connection = peer_report(&a)->connection;
	pg_signal_all(SIGSTOP);
	int64_t start = clock_now_ns();
	expect(&a, renew(&a), EXCHANGE_UNKNOWN, "no answer within the timeout");
	ck_assert_int_lt(clock_now_ns() - start, SHORT_NS + SLACK_NS);
	// The next one has to connect first, and nothing was sent.
	start = clock_now_ns();
	expect(&a, renew(&a), EXCHANGE_UNAVAILABLE, "no connection within the timeout");
	ck_assert_int_lt(clock_now_ns() - start, SHORT_NS + SLACK_NS);
	pg_signal_all(SIGCONT);
	a.timeout_ns = WORLD_TIMEOUT_NS;
	ck_assert(peer_session(&a, EXCHANGE_SESSION_RENEW)->session_alive);
	ck_assert_uint_ne(a.reply.connection, connection); // rule 10
	tear_down();
}
END_TEST

static struct exchange_reply *wait_reply(struct store *store, int milliseconds)
{
	struct exchange_reply *reply;
	struct store_hint hint;
	int64_t give_up_at = clock_now_ns() + milliseconds * NS_PER_MS;
	while (!store_next_reply(store, &reply)) {
		struct pollfd poller = {.fd = store_fd(store), .events = POLLIN};
		ck_assert_int_gt(poll(&poller, 1, store_milliseconds_left(give_up_at)), 0);
		store_take_hint(store, &hint);
	}
	return reply;
}

static void submit(struct store *store, const struct exchange_request *request)
{
	ck_assert_int_eq(store_submit(store, request, clock_now_ns() + 60 * NS_PER_S), 0);
}

// W8: the thread is unblocked, whatever it waits for, and the store ends in bounded time.
START_TEST(test_abort)
{
	struct store *store;
	set_up();
	world.config.timeout_ns = 60 * NS_PER_S; // nothing on the server ends it
	ck_assert_int_eq(store_new(&store, world.driver, &world.config, world.names.name, NULL, world.names.count), 0);
	struct exchange_request request = {
		.number = 1, .session = a.session, .session_op = EXCHANGE_SESSION_RENEW, .report = true};
	submit(store, &request);
	struct exchange_reply *reply = wait_reply(store, 10000);
	ck_assert_uint_eq(reply->outcome, EXCHANGE_OK);
	store_reply_free(reply);

	pg_sql(other, "BEGIN; SELECT 1 FROM tenure_session FOR UPDATE");
	request.number = 2;
	submit(store, &request);
	pg_await(other, "EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock')");
	store_abort(store, 2);
	reply = wait_reply(store, 1000);
	ck_assert_uint_eq(reply->number, 2);
	ck_assert_uint_eq(reply->outcome, EXCHANGE_UNKNOWN);
	store_reply_free(reply);
	pg_sql(other, "ROLLBACK");

	pg_signal_all(SIGSTOP);
	request.number = 3;
	submit(store, &request); // hangs in connecting
	int64_t start = clock_now_ns();
	store_free(store);
	ck_assert_int_lt(clock_now_ns() - start, STORE_FREE_WAIT_MS * NS_PER_MS);
	pg_signal_all(SIGCONT);
	tear_down();
}
END_TEST

static void terminate_daemons(void)
{
	pg_sql(other,
		"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'tenured'");
}

// A connection that ended while nobody used it costs a reconnection, not an exchange.
START_TEST(test_terminated_while_idle)
{
	set_up();
	uint64_t connection = peer_report(&a)->connection;
	while (peer_hint(&a, 30))
		;
	terminate_daemons();
	ck_assert(peer_hint(&a, 1000)); // worth a look
	ck_assert_int_eq(world.driver->hint_fd(a.link), -1);
	ck_assert(peer_session(&a, EXCHANGE_SESSION_RENEW)->session_alive);
	ck_assert_uint_ne(a.reply.connection, connection);
	ck_assert(peer_session(&b, EXCHANGE_SESSION_RENEW)->session_alive);
	tear_down();
}
END_TEST

// Rule 14: a report that has to wait does not hold up the renewal before it.
START_TEST(test_renewal_does_not_wait_for_the_report)
{
	set_up();
	char before[32];
	ck_assert_int_eq(renew(&a), EXCHANGE_OK); // from here on its statements are prepared
	snprintf(before, sizeof before, "%s", world_sql(&world, "SELECT sum(seq) FROM tenure_session"));
	pg_sql(other, "BEGIN");
	pg_sql(other, "LOCK TABLE tenure_lease IN ACCESS EXCLUSIVE MODE");
	a.timeout_ns = 300 * NS_PER_MS;
	const struct exchange_request poll = {.session_op = EXCHANGE_SESSION_RENEW, .report = true};
	ck_assert_int_ne(peer_exchange(&a, &poll), EXCHANGE_OK);
	ck_assert_str_ne(world_sql(&world, "SELECT sum(seq) FROM tenure_session"), before);
	pg_sql(other, "ROLLBACK");
	tear_down();
}
END_TEST

// In a large fleet nearly everything that happens is none of one's business.
START_TEST(test_announcements_name_leases)
{
	set_up();
	struct world few = world;
	struct peer c;
	few.names.count = DISCOVERY + 1;
	peer_init(&c, &few);
	peer_session(&c, EXCHANGE_SESSION_CREATE);
	uint64_t term = peer_claim(&b, COUNTER);
	peer_report(&c);
	while (peer_hint(&a, 100) || peer_hint(&c, 100))
		;
	peer_release(&b, COUNTER, term);
	ck_assert(peer_hint(&a, 1000));
	ck_assert_uint_eq(a.hint.freed_count, 1);
	ck_assert_uint_eq(a.hint.freed[0], COUNTER);
	// S2: somebody is named who is to lead next.
	term = peer_claim(&b, COUNTER);
	struct exchange_ask ask = {.lease = COUNTER, .term = term, .target = a.session};
	peer_ok(&a, &(struct exchange_request){.ask = &ask});
	while (peer_hint(&a, 100))
		;
	peer_release(&b, COUNTER, term);
	ck_assert(peer_hint(&a, 1000));
	ck_assert_uint_eq(a.hint.freed_count, 0);
	while (peer_hint(&c, 100))
		;
	ck_assert(!peer_hint(&c, 100));
	ck_assert_uint_ne(peer_claim(&b, DISCOVERY), 0);
	ck_assert(peer_hint(&a, 1000));
	ck_assert_uint_eq(a.hint.freed_count, 0);
	ck_assert(peer_hint(&c, 1000));
	// Who is killed may have held anything.
	ck_assert_uint_eq(peer_claim_row(&b, peer_row(&b, ENGINE)), 2);
	ck_assert(peer_hint(&c, 1000));
	peer_done(&c);
	tear_down();
}
END_TEST

// In a process beside the test: what happens to the server while an exchange waits for a lock.
static pid_t when_it_waits(const char *what)
{
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	struct pg *pg = pg_connect(NULL);
	pg_await(pg, "EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock')");
	const char *found = pg_sql(pg, "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'");
	kill((pid_t)atoi(found), strcmp(what, "crash") == 0 ? SIGKILL : SIGTERM);
	_exit(0);
}

START_TEST(test_terminated_while_waiting)
{
	set_up();
	pg_sql(other, "BEGIN; SELECT 1 FROM tenure_session FOR UPDATE");
	pid_t pid = when_it_waits("terminate");
	expect(&a, renew(&a), EXCHANGE_UNAVAILABLE, "terminating connection");
	waitpid(pid, NULL, 0);
	pg_sql(other, "ROLLBACK");
	ck_assert(peer_session(&a, EXCHANGE_SESSION_RENEW)->session_alive);
	tear_down();
}
END_TEST

// Rule 12: no answer, so nobody knows.
START_TEST(test_crash_while_waiting)
{
	set_up();
	pg_sql(other, "BEGIN; SELECT 1 FROM tenure_session FOR UPDATE");
	pid_t pid = when_it_waits("crash");
	expect(&a, renew(&a), EXCHANGE_UNKNOWN, "lost");
	waitpid(pid, NULL, 0);
	pg_close(other);
	other = pg_connect(NULL);
	if (world.sql)
		pg_close(world.sql);
	world.sql = NULL;
	for (int i = 0; i < 1000 && renew(&a) == EXCHANGE_UNAVAILABLE; i++)
		poll(NULL, 0, 10); // until the server has recovered
	ck_assert(peer_session(&a, EXCHANGE_SESSION_RENEW)->session_alive);
	tear_down();
}
END_TEST

// Rule 3: another start is another incarnation, and what was believed stays until it is adopted.
START_TEST(test_restarted_server)
{
	pg_start(); // one of this test's own
	set_up();
	struct exchange_row row = *peer_row(&b, ENGINE);
	pg_close(other);
	if (world.sql)
		pg_close(world.sql);
	world.sql = NULL;
	pg_restart();
	other = pg_connect(NULL);
	const struct exchange_reply *reply = peer_report(&b);
	ck_assert_str_ne(reply->server.text, world.server.text);
	ck_assert_str_eq(reply->believed.text, world.server.text);
	ck_assert_uint_eq(peer_claim_row(&b, &row), 0); // decided about the old one
	ck_assert(peer_session(&a, EXCHANGE_SESSION_RENEW)->session_alive);
	struct exchange_request adopt = {.adopt = true, .incarnation = reply->server};
	world.server = reply->server;
	ck_assert_str_eq(peer_ok(&b, &adopt)->believed.text, world.server.text);
	ck_assert_uint_gt(peer_claim(&b, ENGINE), 1000000000);
	tear_down();
	pg_stop();
}
END_TEST

// ---- the wrong schema, and none ----

START_TEST(test_missing_table)
{
	set_up();
	peer_report(&a);
	pg_sql(other, "DROP TABLE tenure_session CASCADE");
	expect(&a, renew(&a), EXCHANGE_DENIED, "tenurectl init");
	peer_done(&a);
	peer_init(&a, &world);
	expect(&a, look(&a), EXCHANGE_DENIED, "tenurectl init");
	tear_down();
}
END_TEST

START_TEST(test_no_schema)
{
	struct peer peer;
	world_init_empty(&world, POSTGRESQL);
	peer_init(&peer, &world);
	expect(&peer, look(&peer), EXCHANGE_DENIED, "tenurectl init");
	peer_done(&peer);
	world_done(&world);
}
END_TEST

START_TEST(test_wrong_version)
{
	set_up();
	peer_report(&a);
	pg_sql(other, "UPDATE tenure_store SET schema_version = 9");
	expect(&a, look(&a), EXCHANGE_DENIED, "schema version 9 found, 3 needed: run the tenured");
	expect(&b, look(&b), EXCHANGE_DENIED, "schema version 9 found");
	ck_assert_uint_eq(a.reply.grant_count, 0);
	pg_sql(other, "UPDATE tenure_store SET schema_version = 0");
	expect(&a, look(&a), EXCHANGE_DENIED, "schema version 0 found, 3 needed: run tenurectl init");
	pg_sql(other, "DELETE FROM tenure_store");
	expect(&a, look(&a), EXCHANGE_DENIED, "run tenurectl init");
	tear_down();
}
END_TEST

// ---- privileges ----

static void grant_dml(const char *privileges)
{
	pg_sql(other, "GRANT USAGE ON SCHEMA \"%s\" TO " PG_PLAIN_USER, world.schema);
	pg_sql(other,
		"GRANT %s ON tenure_store, tenure_session, tenure_lease, tenure_ask, tenure_history, tenure_offer"
		" TO " PG_PLAIN_USER,
		privileges);
}

// W23
START_TEST(test_dml_rights_are_enough)
{
	char text[EXCHANGE_TEXT_SIZE] = "";
	set_up();
	grant_dml("SELECT, INSERT, UPDATE, DELETE");
	as_user(&b, PG_PLAIN_USER, "");
	pg_sql(other, "UPDATE tenure_store SET incarnation = 'old'");
	peer_session(&b, EXCHANGE_SESSION_CREATE);
	peer_ok(&b, &(struct exchange_request){.adopt = true, .incarnation = world.server});
	ck_assert_uint_gt(peer_claim(&b, ENGINE), 1);
	ck_assert_uint_gt(peer_claim(&b, COUNTER), 1);
	peer_release(&b, ENGINE, peer_row(&b, ENGINE)->term);
	peer_ok(&b, &(struct exchange_request){.strays = true});
	peer_session(&b, EXCHANGE_SESSION_DELETE);
	// And init finds nothing to do.
	ck_assert_msg(store_init_schema(world.driver, &world.config, text) == 0, "%s", text);
	tear_down();
}
END_TEST

START_TEST(test_no_rights)
{
	set_up();
	as_user(&b, PG_PLAIN_USER, "");
	expect(&b, look(&b), EXCHANGE_DENIED, "permission denied");
	tear_down();
}
END_TEST

// Found out before a worker waits for it.
START_TEST(test_missing_right)
{
	set_up();
	grant_dml("SELECT, INSERT, UPDATE");
	as_user(&b, PG_PLAIN_USER, "");
	expect(&b, look(&b), EXCHANGE_DENIED, "grant SELECT, INSERT, UPDATE and DELETE");
	tear_down();
}
END_TEST

static const struct {
	const char *table;
	const char *privilege;
} operators_rights[] = {
	{"tenure_ask", "SELECT"},
	{"tenure_ask", "INSERT"},
	{"tenure_ask", "UPDATE"},
	{"tenure_history", "SELECT"},
	{"tenure_history", "INSERT"},
	{"tenure_history", "UPDATE"},
	{"tenure_history", "DELETE"},
	{"tenure_offer", "SELECT"},
	{"tenure_offer", "INSERT"},
	{"tenure_offer", "UPDATE"},
};

// W23: as after an upgrade, where the new tables were granted to nobody. It is told which table it is about.
START_TEST(test_missing_right_of_operators)
{
	char text[64];
	set_up();
	grant_dml("SELECT, INSERT, UPDATE, DELETE");
	as_user(&b, PG_PLAIN_USER, "");
	peer_report(&b);
	pg_sql(other, "REVOKE %s ON %s FROM " PG_PLAIN_USER, operators_rights[_i].privilege,
		operators_rights[_i].table);
	as_user(&b, PG_PLAIN_USER, "");
	snprintf(text, sizeof text, "permission denied for table %s: grant", operators_rights[_i].table);
	expect(&b, look(&b), EXCHANGE_DENIED, text);
	tear_down();
}
END_TEST

// W25
START_TEST(test_read_only)
{
	set_up();
	grant_dml("SELECT, INSERT, UPDATE, DELETE");
	pg_sql(other, "ALTER ROLE " PG_PLAIN_USER " SET default_transaction_read_only = on");
	as_user(&b, PG_PLAIN_USER, "");
	enum exchange_outcome outcome = look(&b);
	pg_sql(other, "ALTER ROLE " PG_PLAIN_USER " RESET default_transaction_read_only");
	expect(&b, outcome, EXCHANGE_DENIED, "read-only");
	tear_down();
}
END_TEST

START_TEST(test_read_only_database)
{
	set_up();
	peer_report(&a);
	pg_sql(other, "ALTER DATABASE postgres SET default_transaction_read_only = on");
	terminate_daemons();
	enum exchange_outcome outcome = renew(&a);
	pg_sql(other, "BEGIN READ WRITE; ALTER DATABASE postgres RESET default_transaction_read_only; COMMIT");
	expect(&a, outcome, EXCHANGE_DENIED, "read-only");
	tear_down();
}
END_TEST

START_TEST(test_refused_logins)
{
	set_up();
	as_user(&b, "nobody-of-that-name", "");
	expect(&b, look(&b), EXCHANGE_DENIED, "nobody-of-that-name");
	as_user(&b, PG_SCRAM_USER, "password=" SECRET);
	expect(&b, look(&b), EXCHANGE_DENIED, "password authentication failed");
	ck_assert_ptr_null(strstr(b.reply.text, SECRET));
	as_user(&b, PG_SUPERUSER, "dbname=nowhere");
	expect(&b, look(&b), EXCHANGE_DENIED, "nowhere");
	as_user(&b, PG_SUPERUSER, "host=/nowhere");
	expect(&b, look(&b), EXCHANGE_UNAVAILABLE, "/nowhere");
	pg_sql(other, "ALTER ROLE " PG_PLAIN_USER " CONNECTION LIMIT 0");
	as_user(&b, PG_PLAIN_USER, "");
	enum exchange_outcome outcome = look(&b);
	pg_sql(other, "ALTER ROLE " PG_PLAIN_USER " CONNECTION LIMIT -1");
	expect(&b, outcome, EXCHANGE_UNAVAILABLE, "too many connections");
	tear_down();
}
END_TEST

// ---- secrets ----

START_TEST(test_password)
{
	set_up();
	pg_sql(other, "GRANT USAGE ON SCHEMA \"%s\" TO " PG_SCRAM_USER, world.schema);
	pg_sql(other, "GRANT ALL ON ALL TABLES IN SCHEMA \"%s\" TO " PG_SCRAM_USER, world.schema);
	world.config.password = PG_SCRAM_PASSWORD;
	as_user(&b, PG_SCRAM_USER, "password=" SECRET); // the file's counts
	peer_report(&b);
	world.config.password = SECRET;
	as_user(&b, PG_SCRAM_USER, "");
	expect(&b, look(&b), EXCHANGE_DENIED, "password authentication failed");
	ck_assert_ptr_null(strstr(b.reply.text, SECRET));
	// Even where it is another thing's name as well.
	as_user(&b, PG_SUPERUSER, "dbname=" SECRET);
	expect(&b, look(&b), EXCHANGE_DENIED, "does not exist");
	ck_assert_ptr_null(strstr(b.reply.text, SECRET));
	tear_down();
}
END_TEST

START_TEST(test_bad_configuration)
{
	static const char *const bad[] = {
		"host=/tmp password=" SECRET " " SECRET,
		"host=/tmp passwort=" SECRET,
		"password='" SECRET,
		"postgresql://user:x@" SECRET "@host/db",
		"postgresql://[" SECRET,
		SECRET,
	};
	struct store_config config = {.node = "a", .timeout_ns = NS_PER_S};
	char text[EXCHANGE_TEXT_SIZE];
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct store *store;
		config.conninfo = bad[i];
		text[0] = '\0';
		ck_assert_int_eq(store_check(&store_postgresql, &config, text), -EINVAL);
		ck_assert_msg(strstr(text, "conninfo") && !strstr(text, SECRET), "%s: %s", bad[i], text);
		ck_assert_int_eq(store_new(&store, &store_postgresql, &config, NULL, NULL, 0), -EINVAL);
	}
	config.conninfo = NULL;
	ck_assert_int_eq(store_check(&store_postgresql, &config, text), -EINVAL);
	config.conninfo = "host=@abstract";
	ck_assert_int_eq(store_check(&store_postgresql, &config, text), 0);
	config.schema = "a-name-that-is-longer-than-what-postgresql-takes-for-an-identifier";
	ck_assert_int_eq(store_check(&store_postgresql, &config, text), -EINVAL);
}
END_TEST

// ---- several hosts ----

START_TEST(test_several_hosts)
{
	set_up();
	peer_done(&b);
	snprintf(world.conninfo, sizeof world.conninfo, "host=/nowhere,%s dbname=postgres user=" PG_SUPERUSER,
		pg_directory());
	peer_init(&b, &world);
	peer_report(&b);
	tear_down();
}
END_TEST

// W25: of several hosts the one that takes writes.
START_TEST(test_primary_among_hosts)
{
	char first[256], text[EXCHANGE_TEXT_SIZE] = "";
	set_up();
	peer_done(&b);
	snprintf(first, sizeof first, "%s", pg_directory());
	world_sql(&world, "SELECT 1");
	pg_start(); // one of this test's own
	snprintf(world.conninfo, sizeof world.conninfo, "host=%s dbname=postgres user=" PG_SUPERUSER, pg_directory());
	ck_assert_msg(store_init_schema(world.driver, &world.config, text) == 0, "%s", text);
	struct pg *pg = pg_connect(NULL);
	pg_sql(pg, "ALTER SYSTEM SET default_transaction_read_only = on");
	pg_sql(pg, "SELECT pg_reload_conf()");
	pg_await(pg, "(SELECT setting = 'on' FROM pg_settings WHERE name = 'default_transaction_read_only')");
	pg_close(pg);
	snprintf(world.conninfo, sizeof world.conninfo, "host=%s,%s dbname=postgres user=" PG_SUPERUSER, pg_directory(),
		first);
	peer_init(&b, &world);
	ck_assert_str_eq(peer_report(&b)->server.text, world.server.text);
	pg_stop();
	tear_down();
}
END_TEST

// A host that takes the connection and says nothing costs one exchange.
START_TEST(test_silent_host)
{
	char directory[SCRATCH_SIZE];
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	set_up();
	peer_done(&b);
	ck_assert(scratch_directory(directory, "silent"));
	snprintf(address.sun_path, sizeof address.sun_path, "%s/.s.PGSQL.5432", directory);
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
	ck_assert_int_eq(listen(listener, 10), 0);

	snprintf(world.conninfo, sizeof world.conninfo, "host=%s,%s dbname=postgres user=" PG_SUPERUSER, directory,
		pg_directory());
	peer_init(&b, &world);
	b.timeout_ns = SHORT_NS;
	expect(&b, look(&b), EXCHANGE_UNAVAILABLE, "no connection within the timeout");
	b.timeout_ns = WORLD_TIMEOUT_NS;
	peer_report(&b);
	close(listener);
	unlink(address.sun_path);
	rmdir(directory);
	tear_down();
}
END_TEST

// ---- init ----

START_TEST(test_init_by_many)
{
	pid_t pids[INITS];
	char text[EXCHANGE_TEXT_SIZE] = "";
	world_init_empty(&world, POSTGRESQL);
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

START_TEST(test_init_again)
{
	char text[EXCHANGE_TEXT_SIZE] = "";
	set_up();
	ck_assert_int_eq(store_init_schema(world.driver, &world.config, text), 0);
	ck_assert_uint_eq(peer_row(&a, ENGINE)->term, 1);
	ck_assert(peer_session(&a, EXCHANGE_SESSION_RENEW)->session_alive);
	// From an older version: what is there stays.
	pg_sql(other, "UPDATE tenure_store SET schema_version = 0; DROP VIEW leader_leases");
	ck_assert_msg(store_init_schema(world.driver, &world.config, text) == 0, "%s", text);
	ck_assert_uint_eq(peer_row(&a, ENGINE)->term, 1);
	ck_assert_str_eq(pg_sql(other, "SELECT version FROM leader_leases"), "1");
	// Not from a newer one.
	pg_sql(other, "UPDATE tenure_store SET schema_version = 9");
	ck_assert_int_lt(store_init_schema(world.driver, &world.config, text), 0);
	ck_assert_msg(strstr(text, "schema version 9 is newer than 3"), "%s", text);
	tear_down();
}
END_TEST

// Somebody reads all tables for long, as pg_dump does: the leaders renew while the upgrade waits for it.
START_TEST(test_upgrade_waits_for_a_reader)
{
	char text[EXCHANGE_TEXT_SIZE] = "";
	set_up();
	pg_sql(other, "DROP TABLE tenure_offer; UPDATE tenure_store SET schema_version = 1");
	pg_sql(other, "BEGIN; SELECT 1 FROM tenure_store");
	pid_t pid = fork();
	if (pid == 0)
		_exit(store_init_schema(world.driver, &world.config, text) == 0 ? 0 : 1);
	struct pg *leader = pg_connect(NULL);
	pg_await(leader, "EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock')");
	pg_sql(leader,
		"SET search_path = \"%s\"; SET lock_timeout = '1s'; UPDATE tenure_session SET seq = seq + 1"
		" WHERE EXISTS (SELECT FROM tenure_store)",
		world.schema);
	int status;
	pg_sql(other, "COMMIT");
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert(peer_session(&a, EXCHANGE_SESSION_RENEW)->session_alive);
	ck_assert_uint_eq(peer_row(&b, ENGINE)->term, 1);
	pg_close(leader);
	tear_down();
}
END_TEST

START_TEST(test_init_without_rights)
{
	char text[EXCHANGE_TEXT_SIZE] = "";
	world_init_empty(&world, POSTGRESQL);
	snprintf(world.conninfo, sizeof world.conninfo, "host=%s dbname=postgres user=" PG_PLAIN_USER, pg_directory());
	ck_assert_int_lt(store_init_schema(world.driver, &world.config, text), 0);
	ck_assert_msg(strstr(text, "permission denied"), "%s", text);
	world_done(&world);
}
END_TEST

START_TEST(test_print_schema)
{
	struct peer peer;
	char command[512];
	world_init_empty(&world, POSTGRESQL);
	snprintf(command, sizeof command, "psql -X -q -v ON_ERROR_STOP=1 -h %s -U " PG_SUPERUSER " postgres",
		pg_directory());
	for (int i = 0; i < 2; i++) {
		FILE *psql = popen(command, "w");
		ck_assert_ptr_nonnull(psql);
		ck_assert_int_eq(store_print_schema(world.driver, &world.config, psql), 0);
		ck_assert_int_eq(pclose(psql), 0);
	}
	peer_init(&peer, &world);
	world.server = peer_report(&peer)->server;
	ck_assert_str_eq(peer.reply.believed.text, world.server.text);
	peer_session(&peer, EXCHANGE_SESSION_CREATE);
	ck_assert_uint_eq(peer_claim(&peer, ENGINE), 1);
	peer_done(&peer);
	world_done(&world);
}
END_TEST

// A name that would be SQL.
START_TEST(test_schema_name)
{
	struct peer peer;
	char text[EXCHANGE_TEXT_SIZE] = "";
	world_init_empty(&world, POSTGRESQL);
	world.config.schema = "a\"; DROP TABLE x; -- $tenure$ %s '";
	ck_assert_msg(store_init_schema(world.driver, &world.config, text) == 0, "%s", text);
	peer_init(&peer, &world);
	peer_report(&peer);
	peer_done(&peer);
	struct pg *pg = pg_connect(NULL);
	pg_sql(pg, "DROP SCHEMA \"a\"\"; DROP TABLE x; -- $tenure$ %%s '\" CASCADE");
	pg_close(pg);
	world_done(&world);
}
END_TEST

// ---- W6: fenced writes ----

START_TEST(test_fence)
{
	set_up();
	pg_sql(other, "GRANT USAGE ON SCHEMA \"%s\" TO " PG_PLAIN_USER, world.schema);
	struct pg *worker = pg_connect(PG_PLAIN_USER);
	pg_sql(worker, "SET search_path = \"%s\"", world.schema);
	ck_assert_str_eq(pg_sqlstate(worker, "SELECT tenure_fence('engine', 1)"), "");
	ck_assert_str_eq(pg_sqlstate(worker, "SELECT tenure_fence('engine', 2)"), "TEN01");
	ck_assert_ptr_nonnull(strstr(pg_message(worker), "term 2 of component \"engine\" is over"));
	ck_assert_str_eq(pg_sqlstate(worker, "SELECT tenure_fence('counter', 1)"), "TEN01");
	// Not even for a moment can the next leader come while the transaction is open.
	struct exchange_row row = *peer_row(&b, ENGINE);
	pg_sql(worker, "BEGIN; SELECT tenure_fence('engine', 1)");
	ck_assert_uint_eq(peer_claim_row(&b, &row), 0);
	pg_sql(worker, "COMMIT");
	ck_assert_uint_eq(peer_claim(&b, ENGINE), 2);
	ck_assert_str_eq(pg_sqlstate(worker, "SELECT tenure_fence('engine', 1)"), "TEN01");
	peer_release(&b, ENGINE, 2);
	ck_assert_str_eq(pg_sqlstate(worker, "SELECT tenure_fence('engine', 2)"), "TEN01");
	pg_close(worker);
	tear_down();
}
END_TEST

// ---- R16: a waiting replica writes nothing and fails at nothing ----

START_TEST(test_polls_only_read)
{
	static const char rollbacks[] = "SELECT xact_rollback FROM pg_stat_database WHERE datname = 'postgres'";
	static const char transactions[] = "SELECT pg_snapshot_xmax(pg_current_snapshot())"; // those that write
	char written[64], before[64];
	set_up();
	peer_report(&b);
	snprintf(before, sizeof before, "%s", pg_sql(other, rollbacks));
	snprintf(written, sizeof written, "%s", pg_sql(other, transactions));
	for (int i = 0; i < 100; i++)
		peer_ok(&b, &(struct exchange_request){.report = true, .strays = i % 10 == 0});
	ck_assert_str_eq(pg_sql(other, transactions), written);
	peer_done(&b); // which hands its statistics in
	pg_await(other, "(SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tenured') = 1");
	ck_assert_str_eq(pg_sql(other, rollbacks), before);
	peer_init(&b, &world);
	tear_down();
}
END_TEST

// ---- plans outlive the tables that they were made for ----

#define MANY 2000

static int64_t claim_all(struct peer *peer, bool missing)
{
	static struct exchange_claim claims[MANY];
	for (uint32_t i = 0; i < MANY; i++)
		claims[i] = (struct exchange_claim){.lease = i, .missing = missing, .holder_seq = -1};
	int64_t start = clock_now_ns();
	const struct exchange_reply *reply = peer_ok(peer, &(struct exchange_request){
								   .incarnation = world.server,
								   .claims = claims,
								   .claim_count = MANY,
							   });
	ck_assert_uint_eq(reply->grant_count, MANY);
	return clock_now_ns() - start;
}

static int64_t release_all(struct peer *peer, uint64_t term)
{
	static struct exchange_release releases[MANY];
	for (uint32_t i = 0; i < MANY; i++)
		releases[i] = (struct exchange_release){.lease = i, .term = term, .reason = WORLD_REASON};
	int64_t start = clock_now_ns();
	peer_ok(peer, &(struct exchange_request){.releases = releases, .release_count = MANY});
	int64_t took = clock_now_ns() - start;
	ck_assert_str_eq(world_sql(&world, "SELECT count(*) = %d FROM tenure_lease WHERE session IS NULL", MANY), "t");
	return took;
}

// On a database that is new, and on one whose statistics are of the time when nobody held anything: neither makes the
// server read all leases for each of them.
START_TEST(test_plans_of_other_times)
{
	static char texts[MANY][32];
	static const char *names[MANY];
	for (uint32_t i = 0; i < MANY; i++) {
		snprintf(texts[i], sizeof texts[i], "component-number-%u", i);
		names[i] = texts[i];
	}
	world_init_names(&world, POSTGRESQL, &(struct store_names){.name = names, .count = MANY});
	peer_init(&a, &world);
	a.timeout_ns = 30 * NS_PER_S;
	peer_session(&a, EXCHANGE_SESSION_CREATE);
	peer_session(&a, EXCHANGE_SESSION_RENEW); // all plans are made by now
	int64_t first_claim = claim_all(&a, true), first_release = release_all(&a, 1);
	world_sql(&world, "ANALYZE");
	int64_t second_claim = claim_all(&a, false), second_release = release_all(&a, 2);
	printf("%d leases: claimed in %.0f ms and in %.0f, released in %.0f and in %.0f\n", MANY,
		(double)first_claim / NS_PER_MS, (double)second_claim / NS_PER_MS, (double)first_release / NS_PER_MS,
		(double)second_release / NS_PER_MS);
	ck_assert_int_lt(first_claim, 5 * second_claim);
	ck_assert_int_lt(first_release, 5 * second_claim);
	ck_assert_int_lt(second_release, 5 * second_claim);
	peer_done(&a);
	world_done(&world);
}
END_TEST

// An acknowledged claim survives a crash, whatever the database's default, and so does a release. The end of the
// session, which goes before it, is not waited for.
START_TEST(test_commits_are_durable)
{
	set_up();
	pg_sql(other, "ALTER ROLE " PG_SUPERUSER " SET synchronous_commit = off");
	pg_sql(other,
		"CREATE TABLE seen (setting text);"
		" CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
		" INSERT INTO \"%s\".seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;"
		" CREATE CONSTRAINT TRIGGER note AFTER UPDATE OR DELETE ON tenure_session DEFERRABLE INITIALLY DEFERRED"
		" FOR EACH ROW EXECUTE FUNCTION note();"
		" CREATE CONSTRAINT TRIGGER note AFTER UPDATE ON tenure_lease DEFERRABLE INITIALLY DEFERRED"
		" FOR EACH ROW EXECUTE FUNCTION note()",
		world.schema);
	as_user(&b, PG_SUPERUSER, "");
	peer_session(&b, EXCHANGE_SESSION_CREATE);
	peer_session(&b, EXCHANGE_SESSION_RENEW);
	uint64_t term = peer_claim(&b, COUNTER);
	struct exchange_release release = {.lease = COUNTER, .term = term, .reason = "shutdown"};
	struct exchange_request end = {.session_op = EXCHANGE_SESSION_DELETE, .releases = &release, .release_count = 1};
	peer_ok(&b, &end);
	pg_sql(other, "ALTER ROLE " PG_SUPERUSER " RESET synchronous_commit");
	ck_assert_uint_eq(term, 1);
	ck_assert_str_eq(pg_sql(other, "SELECT string_agg(setting, ' ') FROM seen"), "local local off local");
	tear_down();
}
END_TEST

static bool renews_with_the_claim(bool holds)
{
	uint64_t term = peer_claim(&b, COUNTER);
	peer_release(&b, COUNTER, term);
	struct exchange_claim claim = {.lease = COUNTER, .holder_seq = -1, .term = term};
	struct exchange_request request = {
		.session_op = EXCHANGE_SESSION_RENEW,
		.holds = holds,
		.incarnation = world.server,
		.claims = &claim,
		.claim_count = 1,
	};
	const struct exchange_reply *reply = peer_ok(&b, &request);
	ck_assert(reply->session_alive);
	ck_assert_uint_eq(reply->grant_count, 1);
	const char *one = pg_sql(other,
		"SELECT s.xmin = l.xmin FROM tenure_session s JOIN tenure_lease l ON l.session = s.id"
		" WHERE l.term = %d",
		(int)reply->grants[0].term);
	bool together = strcmp(one, "t") == 0;
	peer_release(&b, COUNTER, reply->grants[0].term);
	return together;
}

// Others wait for the claim of who leads nothing, and it is one commit. A leader's renewal depends on nothing.
START_TEST(test_renewal_with_a_claim)
{
	set_up();
	peer_session(&b, EXCHANGE_SESSION_CREATE);
	ck_assert(renews_with_the_claim(false));
	ck_assert(!renews_with_the_claim(true));
	tear_down();
}
END_TEST

// What is offered, of thousands of leases, is no part of the row that is renewed, and what is the same is not written.
START_TEST(test_offers_are_written_once)
{
	static const struct exchange_offer offers[] = {{.lease = ENGINE, .priority = 5}};
	char written[32];
	set_up();
	const char *when = "SELECT o.xmin FROM tenure_offer o JOIN tenure_session s ON s.id = o.session"
			   " WHERE s.seq > 1";
	peer_offer(&a, EXCHANGE_SESSION_RENEW, offers, COUNT_OF(offers));
	snprintf(written, sizeof written, "%s", pg_sql(other, "%s", when));
	peer_offer(&a, EXCHANGE_SESSION_RENEW, offers, COUNT_OF(offers));
	ck_assert_str_eq(pg_sql(other, "%s", when), written);
	peer_offer(&a, EXCHANGE_SESSION_RENEW, NULL, 0);
	ck_assert_str_ne(pg_sql(other, "%s", when), written);
	tear_down();
}
END_TEST

// Rule 14: a renewal does not depend on it.
START_TEST(test_somebody_holds_the_offers)
{
	static const struct exchange_offer offers[] = {{.lease = ENGINE, .priority = 5}};
	set_up();
	pg_sql(other, "BEGIN; SELECT 1 FROM tenure_offer FOR UPDATE");
	peer_offer(&a, EXCHANGE_SESSION_RENEW, offers, COUNT_OF(offers));
	pg_sql(other, "COMMIT");
	ck_assert_str_eq(pg_sql(other, "SELECT count(*) FROM tenure_offer WHERE offers <> ''"), "0");
	peer_offer(&a, EXCHANGE_SESSION_RENEW, offers, COUNT_OF(offers));
	ck_assert_str_eq(pg_sql(other, "SELECT count(*) FROM tenure_offer WHERE offers <> ''"), "1");
	tear_down();
}
END_TEST

static Suite *postgresql_suite(void)
{
	const TTest *const tests[] = {
		test_offers_are_written_once,
		test_somebody_holds_the_offers,
		test_renewal_with_a_claim,
		test_sqlstate_after_a_write,
		test_lock_timeout,
		test_statement_timeout,
		test_locked_lease_is_skipped,
		test_locked_session_is_not_killed,
		test_claim_while_being_killed,
		test_locked_store,
		test_shared_store,
		test_locked_ask,
		test_locked_history,
		test_pause_before_a_claim_ends,
		test_pause_after_a_claim_began,
		test_stopped_server,
		test_abort,
		test_terminated_while_idle,
		test_renewal_does_not_wait_for_the_report,
		test_announcements_name_leases,
		test_terminated_while_waiting,
		test_crash_while_waiting,
		test_restarted_server,
		test_missing_table,
		test_no_schema,
		test_wrong_version,
		test_dml_rights_are_enough,
		test_no_rights,
		test_missing_right,
		test_read_only,
		test_read_only_database,
		test_refused_logins,
		test_password,
		test_bad_configuration,
		test_several_hosts,
		test_primary_among_hosts,
		test_silent_host,
		test_init_by_many,
		test_init_again,
		test_upgrade_waits_for_a_reader,
		test_init_without_rights,
		test_print_schema,
		test_schema_name,
		test_fence,
		test_polls_only_read,
		test_plans_of_other_times,
		test_commits_are_durable,
	};
	Suite *suite = suite_create("postgresql");
	TCase *all = tcase_create("postgresql");
	tcase_set_timeout(all, 120);
	tcase_add_loop_test(all, test_sqlstate, 0, (int)COUNT_OF(classes));
	tcase_add_loop_test(all, test_missing_right_of_operators, 0, (int)COUNT_OF(operators_rights));
	for (size_t i = 0; i < COUNT_OF(tests); i++)
		tcase_add_test(all, tests[i]);
	suite_add_tcase(suite, all);
	return suite;
}

int main(void)
{
	pg_start();
	SRunner *runner = srunner_create(postgresql_suite());
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	pg_stop();
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
#endif
