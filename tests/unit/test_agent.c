// SPDX-License-Identifier: Apache-2.0
// The agent with a loop, a page, the memory store and a socket: what is resumed (S5), in which order it tells, and
// when the watchdog is fed.
#include "agent_internal.h"
#include "clock.h"

#include <check.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LEASE_NS (10 * NS_PER_S)

static char directory[] = "/tmp/test_agent.XXXXXX";
static struct config_component components[] = {
	{.name = (char *)"engine", .stop_grace_ns = 2 * NS_PER_S, .start_timeout_ns = 30 * NS_PER_S},
	{.name = (char *)"counter", .stop_grace_ns = 2 * NS_PER_S, .start_timeout_ns = 30 * NS_PER_S},
};
static struct config config = {
	.node = (char *)"host-a",
	.components = components,
	.component_count = COUNT_OF(components),
	.store =
		{
			.lease_ns = LEASE_NS,
			.renew_ns = 2 * NS_PER_S,
			.poll_ns = NS_PER_S,
			.timeout_ns = 2 * NS_PER_S,
		},
};
static struct store_config store;
static struct loop *loop;
static struct runtime runtime;
static struct agent *agent;
static int peer;
static char heard[4096];

static void set_up(void)
{
	ck_assert_ptr_nonnull(mkdtemp(strcpy(directory, "/tmp/test_agent.XXXXXX")));
	store = (struct store_config){.node = config.node, .timeout_ns = config.store.timeout_ns};
	ck_assert_int_eq(loop_new(&loop), 0);
	ck_assert_int_eq(runtime_open(&runtime, directory, config.component_count), 0);
	ck_assert_int_eq(runtime_listen(&runtime, 0600, (gid_t)-1), 0);
	agent = NULL;
	peer = -1;
	heard[0] = '\0';
}

static int remove_one(const char *name, const struct stat *status, int type, struct FTW *where)
{
	(void)status;
	(void)type;
	(void)where;
	return remove(name);
}

static void tear_down(void)
{
	if (peer >= 0)
		close(peer);
	agent_free(agent);
	loop_free(loop);
	runtime_close(&runtime);
	ck_assert_int_eq(nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static void make_agent(void)
{
	struct agent_setup setup = {
		.loop = loop,
		.config = &config,
		.runtime = &runtime,
		.driver = store_driver_find("memory"),
		.store = &store,
	};
	ck_assert_int_eq(agent_new(&agent, &setup), 0);
}

static struct page_session a_session(void)
{
	struct page_session session = {
		.id.byte = {1, 2, 3},
		.node = "host-a",
		.lease_ms = LEASE_NS / NS_PER_MS,
		.incarnation = "memory",
		.valid_until = clock_now_ns() + 5 * NS_PER_S,
	};
	return session;
}

static void leave_term(const char *component, uint64_t term, int64_t deadline, uint32_t flags)
{
	int slot = page_slot(runtime.page, component);
	ck_assert_int_ge(slot, 0);
	page_set(runtime.page, (uint32_t)slot, &(struct page_term){.term = term, .deadline = deadline, .flags = flags});
}

static uint64_t shown_term(const char *component)
{
	char why[PAGE_WHY_SIZE];
	const char *name;
	struct page_term term;
	int slot = page_slot(runtime.page, component);
	ck_assert_int_ge(slot, 0);
	ck_assert_int_eq(page_get(runtime.page, (uint32_t)slot, clock_now_ns(), &name, &term, why), 0);
	return term.term;
}

static void expect_nothing_resumed(void)
{
	char why[PAGE_WHY_SIZE];
	struct page_session session;
	make_agent();
	ck_assert_int_eq(agent->election.session_state, SESSION_NONE);
	for (size_t i = 0; i < COUNT_OF(components); i++) {
		ck_assert_int_eq(agent->leases[i].state, LEASE_IDLE);
		ck_assert_uint_eq(shown_term(components[i].name), 0);
	}
	ck_assert_int_lt(page_get_session(runtime.page, clock_now_ns(), &session, why), 0);
}

START_TEST(session_and_terms_go_on)
{
	struct page_session session = a_session();
	int64_t now = clock_now_ns();
	page_set_session(runtime.page, &session);
	leave_term("counter", 42, now + 5 * NS_PER_S, PAGE_STARTED);
	leave_term("engine", 7, now + 5 * NS_PER_S, PAGE_REVOKED);
	leave_term("lapsed", 9, now - 1, 0); // and of no component: it is over anyway
	make_agent();
	ck_assert_int_eq(agent->election.session_state, SESSION_UNSURE);
	ck_assert(uuid_equal(&agent->election.session, &session.id));
	ck_assert_int_eq(agent->leases[1].seat, SEAT_AWAY);
	ck_assert_uint_eq(agent->leases[1].token.term, 42);
	ck_assert_int_eq(agent->leases[1].token.deadline, now + 5 * NS_PER_S);
	ck_assert(agent->leases[1].token.started);
	ck_assert_int_eq(agent->leases[0].seat, SEAT_AWAY_REVOKED);
	ck_assert_uint_eq(shown_term("counter"), 42);
	ck_assert_uint_eq(shown_term("engine"), 7);
	ck_assert_uint_eq(shown_term("lapsed"), 0);
}
END_TEST

START_TEST(a_session_without_terms_goes_on)
{
	struct page_session session = a_session();
	page_set_session(runtime.page, &session);
	make_agent();
	ck_assert_int_eq(agent->election.session_state, SESSION_UNSURE);
	ck_assert_int_eq(agent->leases[0].state, LEASE_IDLE);
}
END_TEST

START_TEST(terms_without_a_session_do_not)
{
	leave_term("engine", 7, clock_now_ns() + 5 * NS_PER_S, 0);
	expect_nothing_resumed();
}
END_TEST

static struct page_session another(int which)
{
	struct page_session session = a_session();
	if (which == 0)
		strcpy(session.node, "host-b");
	else if (which == 1)
		session.lease_ms *= 2;
	else if (which == 2)
		session.valid_until = clock_now_ns() - 1;
	else
		session.valid_until = clock_now_ns() + 1000 * NS_PER_S;
	return session;
}

START_TEST(another_session_does_not)
{
	struct page_session session = another(_i);
	page_set_session(runtime.page, &session);
	leave_term("engine", 7, clock_now_ns() + 5 * NS_PER_S, 0);
	expect_nothing_resumed();
}
END_TEST

START_TEST(a_term_of_no_component_spoils_all)
{
	struct page_session session = a_session();
	page_set_session(runtime.page, &session);
	leave_term("engine", 7, clock_now_ns() + 5 * NS_PER_S, 0);
	leave_term("removed", 7, clock_now_ns() + 5 * NS_PER_S, 0);
	expect_nothing_resumed();
	ck_assert_uint_eq(shown_term("removed"), 0);
}
END_TEST

START_TEST(an_impossible_deadline_spoils_all)
{
	struct page_session session = a_session();
	page_set_session(runtime.page, &session);
	leave_term("engine", 7, clock_now_ns() + 5 * NS_PER_S, 0);
	leave_term("counter", 7, clock_now_ns() + 100000 * NS_PER_S, 0);
	expect_nothing_resumed();
}
END_TEST

// Our end of the socket, in the agent's own loop: `heard` is what came, and `seen` what the page showed then.

static struct loop_watch *peer_watch;
static const char *awaited;
static uint64_t seen_term;

static void on_peer(void *userdata, int fd, unsigned flags)
{
	size_t size = strlen(heard);
	(void)userdata;
	(void)flags;
	ssize_t got = recv(fd, heard + size, sizeof heard - 1 - size, MSG_DONTWAIT);
	ck_assert_int_gt(got, 0);
	heard[size + (size_t)got] = '\0';
	if (!strstr(heard, awaited))
		return;
	seen_term = shown_term("engine");
	loop_stop(loop);
}

static void start(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	ck_assert_int_eq(agent_start(agent), 0);
	peer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path, sizeof address.sun_path, "%s", runtime.socket_path);
	ck_assert_int_eq(connect(peer, (struct sockaddr *)&address, sizeof address), 0);
	ck_assert_int_eq(loop_watch_new(loop, peer, LOOP_READ, on_peer, NULL, &peer_watch), 0);
}

static void say(const char *text)
{
	ck_assert_int_eq(send(peer, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

// Runs until it was heard; the test's time-out is the end of our patience.
static void expect(const char *text)
{
	heard[0] = '\0';
	awaited = text;
	ck_assert_int_eq(loop_run(loop), 0);
	ck_assert_ptr_nonnull(strstr(heard, text));
}

static void hang_up(void)
{
	loop_watch_free(peer_watch);
	close(peer);
	peer = -1;
}

START_TEST(a_life)
{
	char why[PAGE_WHY_SIZE];
	struct page_session session;
	make_agent();
	start();
	say("join component=engine\n");
	expect("granted component=engine term=1 ");
	ck_assert_ptr_nonnull(strstr(heard, "ok component=engine slot="));
	ck_assert_uint_eq(seen_term, 1);
	ck_assert_int_eq(page_get_session(runtime.page, clock_now_ns(), &session, why), 0);
	ck_assert(uuid_equal(&session.id, &agent->election.session));
	ck_assert_str_eq(session.incarnation, agent->election.server.text);
	ck_assert_int_eq(session.valid_until, agent->election.renewed_at + LEASE_NS);
	say("started component=engine term=1\n");
	expect("ok\n");
	ck_assert(agent->leases[0].token.started);
	agent_shutdown(agent);
	expect("revoked component=engine term=1 reason=shutdown ");
	ck_assert_uint_eq(seen_term, 1); // valid until its frozen deadline
	ck_assert(!agent_is_finished(agent));
	say("stopped component=engine term=1\n");
	awaited = "nothing more";
	ck_assert_int_eq(loop_run(loop), 0);
	ck_assert(agent_is_finished(agent));
	ck_assert_uint_eq(shown_term("engine"), 0);
	ck_assert_int_lt(page_get_session(runtime.page, clock_now_ns(), &session, why), 0);
	hang_up();
}
END_TEST

START_TEST(w16_what_was_not_read_is_not_late)
{
	make_agent();
	start();
	say("join component=engine extend=no heartbeat_ms=300\n");
	expect("granted component=engine term=1 ");
	say("started component=engine term=1\n");
	expect("ok\n");
	say("alive component=engine term=1\n");
	nanosleep(&(struct timespec){.tv_nsec = 900 * NS_PER_MS}, NULL); // the loop stands still
	expect("\n");
	ck_assert_str_eq(heard, "ok\n");
	// Also where it would have been late only just now.
	say("alive component=engine term=1\n");
	expect("\n");
	agent_step(agent, &(struct election_event){.type = ELECTION_TIME});
	say("alive component=engine term=1\n");
	nanosleep(&(struct timespec){.tv_nsec = 302 * NS_PER_MS}, NULL);
	expect("\n");
	ck_assert_str_eq(heard, "ok\n");
	// Also where it stands still amid a turn.
	say("alive component=engine term=1\n");
	agent_step(agent, &(struct election_event){.type = ELECTION_TIME});
	nanosleep(&(struct timespec){.tv_nsec = 900 * NS_PER_MS}, NULL);
	agent_step(agent, &(struct election_event){.type = ELECTION_TIME});
	expect("\n");
	ck_assert_str_eq(heard, "ok\n");
	expect("revoked component=engine term=1 reason=stalled "); // it is silent from here on
	hang_up();
}
END_TEST

START_TEST(a_resumed_session_that_is_gone)
{
	struct page_session session = a_session();
	page_set_session(runtime.page, &session);
	leave_term("engine", 7, clock_now_ns() + 5 * NS_PER_S, 0);
	make_agent();
	start();
	say("watch component=engine\njoin component=engine\n");
	// The store never heard of it: the term is over, and the worker that waits gets a larger one; what the store
	// would give first is no next term to whom it was told the last (W2, rule 5).
	expect("granted component=engine term=");
	ck_assert_uint_gt(seen_term, 7);
	ck_assert(!uuid_equal(&agent->election.session, &session.id));
	hang_up();
}
END_TEST

START_TEST(the_watchers_see_the_leader)
{
	make_agent();
	start();
	say("watch component=engine\njoin component=engine\n");
	expect("leader component=engine node=host-a term=1\n");
	say("leave component=engine\n");
	expect("leader component=engine node= term=1\n");
	hang_up();
}
END_TEST

// S2: through the store and back; what waits behind it is answered after it.
START_TEST(operators_are_answered)
{
	make_agent();
	start();
	say("join component=engine\n");
	expect("granted component=engine term=1 ");
	say("history\npause\nstatus component=engine\n");
	expect(" paused=host-a ");
	ck_assert_ptr_eq(strstr(heard, "ok\nok\nrow component=engine "), heard);
	say("transfer component=engine node=host-b\n");
	expect("error code=unavailable message=the%20fleet%20is%20paused%20through%20host-a");
	say("resume\nstatus component=engine\n");
	expect(" paused= ");
	say("transfer component=engine node=host-b\n");
	expect("message=host-b%20is%20no%20live%20candidate");
	say("resign component=engine cooldown_ms=0\n");
	expect("revoked component=engine term=1 reason=resigned ");
	say("stopped component=engine term=1\n");
	expect("granted component=engine term=2 ");
	say("status component=engine\n");
	expect(" reason=resigned ");
	hang_up();
}
END_TEST

// The watchdog, which a socket of ours hears instead of systemd.

#define WATCHDOG_NS (200 * NS_PER_MS)

static int notified;
static int fed;
static int64_t begun_at;
static int64_t fed_at;
static struct loop_watch *notified_watch;

static int count_feeds(void)
{
	char text[2048];
	int count = 0;
	ssize_t size;
	while ((size = recv(notified, text, sizeof text - 1, MSG_DONTWAIT)) >= 0) {
		text[size] = '\0';
		count += strcmp(text, "WATCHDOG=1") == 0;
	}
	return count;
}

static void set_up_watchdog(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char usec[32];
	set_up();
	snprintf(address.sun_path, sizeof address.sun_path, "%s/notify", directory);
	notified = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(notified, (struct sockaddr *)&address, sizeof address), 0);
	snprintf(usec, sizeof usec, "%d", (int)(WATCHDOG_NS / NS_PER_US));
	setenv("NOTIFY_SOCKET", address.sun_path, 1);
	setenv("WATCHDOG_USEC", usec, 1);
	unsetenv("WATCHDOG_PID");
	fed = 0;
	make_agent();
	begun_at = clock_now_ns();
	ck_assert_int_eq(agent_start(agent), 0);
}

static void tear_down_watchdog(void)
{
	loop_watch_free(notified_watch);
	notified_watch = NULL;
	close(notified);
	tear_down();
}

static void on_feed(void *userdata, int fd, unsigned flags)
{
	(void)userdata;
	(void)fd;
	(void)flags;
	fed += count_feeds();
	fed_at = clock_now_ns();
	if (fed >= 5)
		loop_stop(loop);
}

START_TEST(a_loop_that_turns_feeds_the_watchdog)
{
	ck_assert_int_eq(loop_watch_new(loop, notified, LOOP_READ, on_feed, NULL, &notified_watch), 0);
	ck_assert_int_eq(loop_run(loop), 0);
	ck_assert_int_eq(fed, 5);
	// The first at once, and then one in half of systemd's interval, not one a turn.
	ck_assert_int_ge(fed_at - begun_at, 4 * (WATCHDOG_NS / 2));
}
END_TEST

// A turn that hangs for as long as systemd is patient, and longer.
static void on_hang(void *userdata, int fd, unsigned flags)
{
	struct pollfd waiting = {.fd = notified, .events = POLLIN};
	(void)userdata;
	(void)fd;
	(void)flags;
	count_feeds();
	ck_assert_int_eq(poll(&waiting, 1, (int)(2 * WATCHDOG_NS / NS_PER_MS)), 0);
	loop_stop(loop);
}

START_TEST(a_loop_that_hangs_does_not)
{
	struct loop_watch *watch;
	int ends[2];
	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(write(ends[1], "x", 1), 1);
	ck_assert_int_eq(loop_watch_new(loop, ends[0], LOOP_READ, on_hang, NULL, &watch), 0);
	ck_assert_int_eq(loop_run(loop), 0);
	loop_watch_free(watch);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

static int64_t due_at;

// In place of the agent's timer: the loop turns, and the election is not told of it.
static void on_lost_timer(void *userdata)
{
	int64_t now = clock_now_ns();
	(void)userdata;
	if (election_deadline(&agent->election) > now) {
		due_at = now;
		return;
	}
	if (due_at <= election_deadline(&agent->election)) {
		due_at = now;
		fed = count_feeds();
	}
	if (now > due_at + 2 * WATCHDOG_NS)
		loop_stop(loop);
}

START_TEST(a_loop_without_the_election_does_not)
{
	due_at = 0;
	loop_on_timer(loop, on_lost_timer, NULL);
	ck_assert_int_eq(loop_run(loop), 0);
	ck_assert_int_gt(fed, 0); // before its time had come
	ck_assert_int_eq(count_feeds(), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("agent");
	TCase *resume = tcase_create("resume");
	tcase_add_checked_fixture(resume, set_up, tear_down);
	tcase_add_test(resume, session_and_terms_go_on);
	tcase_add_test(resume, a_session_without_terms_goes_on);
	tcase_add_test(resume, terms_without_a_session_do_not);
	tcase_add_loop_test(resume, another_session_does_not, 0, 4);
	tcase_add_test(resume, a_term_of_no_component_spoils_all);
	tcase_add_test(resume, an_impossible_deadline_spoils_all);
	suite_add_tcase(suite, resume);
	TCase *life = tcase_create("life");
	tcase_add_checked_fixture(life, set_up, tear_down);
	tcase_add_test(life, a_life);
	tcase_add_test(life, w16_what_was_not_read_is_not_late);
	tcase_add_test(life, operators_are_answered);
	tcase_add_test(life, a_resumed_session_that_is_gone);
	tcase_add_test(life, the_watchers_see_the_leader);
	tcase_set_timeout(life, 15);
	suite_add_tcase(suite, life);
	TCase *watchdog = tcase_create("watchdog");
	tcase_add_checked_fixture(watchdog, set_up_watchdog, tear_down_watchdog);
	tcase_add_test(watchdog, a_loop_that_turns_feeds_the_watchdog);
	tcase_add_test(watchdog, a_loop_that_hangs_does_not);
	tcase_add_test(watchdog, a_loop_without_the_election_does_not);
	tcase_set_timeout(watchdog, 15);
	suite_add_tcase(suite, watchdog);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
