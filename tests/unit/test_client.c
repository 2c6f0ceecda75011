// SPDX-License-Identifier: Apache-2.0
// libtenure against a daemon that the test plays itself, line by line.
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "fake_daemon.h"
#include "tenure.h"
#include "tenure_private.h"

static struct tenure *t;

// Lets the client work until it has an event or `milliseconds` have passed.
static int step_for(struct tenure_event *event, int milliseconds)
{
	int64_t until = in_ms(milliseconds);
	for (;;) {
		int result = tenure_process(t, event);
		if (result != 0)
			return result;
		int64_t left = (until - clock_now_ns()) / NS_PER_MS;
		if (left <= 0)
			return 0;
		struct pollfd fds[] = {{.fd = tenure_fd(t), .events = POLLIN}};
		poll(fds, 1, (int)left);
	}
}

static struct tenure_event expect_event(enum tenure_event_type type)
{
	struct tenure_event event;
	ck_assert_int_eq(step_for(&event, PATIENCE_MS), 1);
	ck_assert_int_eq(event.type, type);
	return event;
}

static void expect_nothing_for(int milliseconds)
{
	struct tenure_event event;
	ck_assert_int_eq(step_for(&event, milliseconds), 0);
	ck_assert_int_eq(event.type, TENURE_NOTHING);
}

// Waits for `fd`, letting the client work meanwhile; it must have no event.
static void work_until_readable(int fd)
{
	int64_t until = in_ms(PATIENCE_MS);
	struct tenure_event event;
	for (;;) {
		ck_assert_int_eq(tenure_process(t, &event), 0);
		struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = tenure_fd(t), .events = POLLIN}};
		poll(fds, 2, 100);
		if (fds[0].revents)
			return;
		ck_assert_int_lt(clock_now_ns(), until);
	}
}

static void expect_line_of(const char *format, uint64_t number)
{
	char text[256];
	snprintf(text, sizeof text, "%s%llu", format, (unsigned long long)number);
	expect_line(text);
}

static void set_up(void)
{
	wait_for = work_until_readable;
	set_up_daemon();
}

static void tear_down(void)
{
	tenure_close(t);
	t = NULL;
	tear_down_daemon();
}

static void open_client(void)
{
	ck_assert_int_eq(tenure_open(&t, socket_path, "engine"), 0);
}

static void open_and_join(void)
{
	open_client();
	greet();
	expect_line(page ? "join component=engine extend=no" : "join component=engine");
	tell("ok component=engine slot=0\n");
}

static int64_t push_granted(uint64_t term, int64_t ttl_ms)
{
	int64_t deadline = in_ms(ttl_ms);
	set_term(term, deadline);
	tell("granted component=engine term=%llu deadline=%lld ttl_ms=%lld\n", (unsigned long long)term,
		(long long)deadline, (long long)ttl_ms);
	struct tenure_event event = expect_event(TENURE_GRANTED);
	ck_assert_uint_eq(event.term, term);
	ck_assert_int_eq(event.deadline, deadline);
	ck_assert(tenure_valid(t));
	ck_assert_uint_eq(tenure_term(t), term);
	return deadline;
}

static void push_revoked(uint64_t term, const char *reason)
{
	tell("revoked component=engine term=%llu reason=%s deadline=%lld\n", (unsigned long long)term, reason,
		(long long)in_ms(1000));
}

// With the terms page, and with extended lines.
static void maybe_page(int with)
{
	if (with)
		make_page();
}

// W1, W2: a term from its grant to its end.
START_TEST(test_a_term)
{
	maybe_page(_i);
	open_and_join();
	expect_nothing_for(10);
	ck_assert(!tenure_valid(t)); // W1
	ck_assert_uint_eq(tenure_term(t), 0);
	ck_assert_int_eq(tenure_started(t), -ESTALE);
	ck_assert_int_eq(tenure_yield(t, -1), -ESTALE);
	ck_assert_int_eq(tenure_stopped(t), 0);

	push_granted(42, 5000);
	ck_assert_int_eq(tenure_started(t), 0);
	expect_line("started component=engine term=42");
	tell("ok\n");
	push_revoked(42, "shutdown");
	struct tenure_event event = expect_event(TENURE_REVOKED);
	ck_assert_uint_eq(event.term, 42);
	ck_assert_str_eq(event.reason, "shutdown");
	ck_assert_int_gt(event.deadline, clock_now_ns());
	ck_assert(tenure_valid(t)); // until the frozen deadline, or stopped
	ck_assert_int_eq(tenure_started(t), -ESTALE);
	ck_assert_int_eq(tenure_stopped(t), 0);
	ck_assert(!tenure_valid(t));
	ck_assert_uint_eq(tenure_term(t), 0);
	expect_line("stopped component=engine term=42");
	tell("ok\n");
	push_revoked(42, "shutdown"); // once is enough
	set_term(0, 0);
	push_granted(43, 5000);
}
END_TEST

START_TEST(test_several_lines_in_one_message)
{
	open_and_join();
	long long deadline = in_ms(60000);
	tell("granted component=engine term=1 deadline=%lld ttl_ms=60000\n"
	     "revoked component=engine term=1 reason=lost deadline=%lld\nok",
		deadline, deadline);
	expect_event(TENURE_GRANTED);
	// Nothing more comes over the socket: the descriptor has to become readable by itself.
	struct pollfd fds[] = {{.fd = tenure_fd(t), .events = POLLIN}};
	ck_assert_int_eq(poll(fds, 1, PATIENCE_MS), 1);
	struct tenure_event event;
	ck_assert_int_eq(tenure_process(t, &event), 1);
	ck_assert_int_eq(event.type, TENURE_REVOKED);
	// The half line that is left does not keep it busy.
	ck_assert_int_eq(tenure_process(t, &event), 0);
	ck_assert_int_eq(poll(fds, 1, 50), 0);
}
END_TEST

// W5, W7: the page alone extends a term, without a line and without tenure_process().
START_TEST(test_page_extends)
{
	make_page();
	open_and_join();
	push_granted(42, 500);
	int64_t first = in_ms(500);
	set_term(42, in_ms(2000));
	while (clock_now_ns() < first)
		usleep(1000);
	ck_assert(tenure_valid(t));
	ck_assert_uint_eq(tenure_term(t), 42);
	expect_nothing_for(50); // the timer of the first deadline finds the second
	struct tenure_event event = expect_event(TENURE_LOST);
	ck_assert_uint_eq(event.term, 42);
	ck_assert_str_eq(event.reason, "expired");
	ck_assert(!tenure_valid(t));
	set_term(42, in_ms(60000)); // rule 8: expired is lost
	ck_assert(!tenure_valid(t));
	expect_nothing_for(10);
}
END_TEST

START_TEST(test_lines_extend)
{
	open_and_join();
	push_granted(42, 500);
	int64_t deadline = in_ms(2000);
	tell("extended component=engine term=42 deadline=%lld ttl_ms=2000\n", (long long)deadline);
	tell("extended component=engine term=41 deadline=%lld ttl_ms=60000\n", (long long)in_ms(60000));
	expect_nothing_for(600);
	ck_assert(tenure_valid(t));
	expect_event(TENURE_LOST);
	ck_assert_int_ge(clock_now_ns(), deadline);
	ck_assert_int_lt(clock_now_ns(), deadline + 5000 * NS_PER_MS); // the other term's was not taken for it
	ck_assert(!tenure_valid(t));
	tell("extended component=engine term=42 deadline=%lld ttl_ms=60000\n", (long long)in_ms(60000));
	expect_nothing_for(20);
	ck_assert(!tenure_valid(t));
}
END_TEST

START_TEST(test_yield)
{
	open_and_join();
	push_granted(42, 5000);
	ck_assert_int_eq(tenure_yield(t, 1500), 0);
	ck_assert(!tenure_valid(t));
	expect_line("yield component=engine term=42 cooldown_ms=1500");
	tell("ok\n");
	push_granted(43, 5000);
	ck_assert_int_eq(tenure_yield(t, -1), 0);
	expect_line("yield component=engine term=43");
}
END_TEST

// W1: the daemon dies: valid until the deadline, LOST then, once, and not joined again before the work has ended.
START_TEST(test_daemon_dies)
{
	maybe_page(_i);
	open_and_join();
	int64_t deadline = push_granted(42, 1000);
	hang_up();
	stop_listening();
	expect_nothing_for(100);
	ck_assert(tenure_valid(t));
	struct tenure_event event = expect_event(TENURE_LOST);
	ck_assert_uint_eq(event.term, 42);
	ck_assert_int_ge(clock_now_ns(), deadline);
	ck_assert(!tenure_valid(t));
	start_listening();
	greet();
	expect_nothing_for(100);
	ck_assert_int_eq(tenure_stopped(t), 0);
	expect_line(page ? "join component=engine extend=no" : "join component=engine");
	tell("ok component=engine slot=0\n");
	set_term(0, 0);
	push_granted(43, 5000);
}
END_TEST

// S5: a daemon that comes back goes on with the term, and the worker never notices.
START_TEST(test_daemon_restarts)
{
	maybe_page(_i);
	open_and_join();
	push_granted(42, 5000);
	ck_assert_int_eq(tenure_started(t), 0);
	expect_line("started component=engine term=42");
	tell("ok\n");
	hang_up();
	greet();
	expect_line(page ? "join component=engine extend=no term=42" : "join component=engine term=42");
	tell("ok component=engine slot=0\n");
	expect_line("started component=engine term=42");
	tell("ok\n");
	expect_nothing_for(20);
	ck_assert(tenure_valid(t));
	ck_assert_uint_eq(tenure_term(t), 42);
	push_revoked(42, "resigned");
	expect_event(TENURE_REVOKED);
}
END_TEST

START_TEST(test_stale_after_restart)
{
	maybe_page(_i);
	open_and_join();
	push_granted(42, 5000);
	hang_up();
	greet();
	expect_line(page ? "join component=engine extend=no term=42" : "join component=engine term=42");
	tell("error code=stale message=over\n");
	struct tenure_event event = expect_event(TENURE_LOST);
	ck_assert_uint_eq(event.term, 42);
	ck_assert_str_eq(event.reason, "stale");
	ck_assert(!tenure_valid(t));
	expect_nothing_for(20);
	ck_assert_int_eq(tenure_stopped(t), 0);
	expect_line(page ? "join component=engine extend=no" : "join component=engine");
	tell("ok component=engine slot=0\n");
	set_term(0, 0);
	push_granted(43, 5000);
}
END_TEST

// W12: a daemon that hangs up on a leader sees it as gone only when its work has ended.
START_TEST(test_hung_up_on)
{
	char byte;
	open_and_join();
	push_granted(42, 5000);
	int first = peer;
	shutdown(first, SHUT_WR);
	greet();
	expect_line("join component=engine term=42");
	tell("error code=stale message=over\n");
	expect_event(TENURE_LOST);
	expect_nothing_for(20);
	ck_assert_int_eq(recv(first, &byte, 1, MSG_DONTWAIT), -1);
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_int_eq(tenure_stopped(t), 0);
	ck_assert_int_eq(recv(first, &byte, 1, 0), 0);
	close(first);
}
END_TEST

// W2: a term that was revoked is not revoked again by the next daemon.
START_TEST(test_restart_while_revoked)
{
	open_and_join();
	push_granted(42, 5000);
	push_revoked(42, "shutdown");
	expect_event(TENURE_REVOKED);
	hang_up();
	greet();
	expect_line("join component=engine term=42");
	tell("ok component=engine slot=0\n");
	push_revoked(42, "lost");
	expect_nothing_for(20);
	ck_assert_int_eq(tenure_stopped(t), 0);
	expect_line("stopped component=engine term=42");
}
END_TEST

START_TEST(test_stops_while_rejoining)
{
	open_and_join();
	push_granted(42, 5000);
	hang_up();
	greet();
	expect_line("join component=engine term=42");
	ck_assert_int_eq(tenure_stopped(t), 0);
	tell("ok component=engine slot=0\n");
	expect_line("stopped component=engine term=42");
	tell("ok\n");
	push_granted(43, 5000);
}
END_TEST

START_TEST(test_gives_up_while_the_daemon_is_away)
{
	open_and_join();
	push_granted(42, 5000);
	hang_up();
	accept_client();
	ck_assert_int_eq(tenure_yield(t, 100), -ENOTCONN);
	ck_assert(!tenure_valid(t));
	expect_line("hello version=1");
	tell("ok version=1\n");
	expect_line("join component=engine");
}
END_TEST

// A page that another daemon made anew: the old term is over, the next one is read from the new page.
START_TEST(test_another_page)
{
	make_page();
	open_and_join();
	push_granted(42, 5000);
	hang_up();
	page_free(page);
	unlink(terms_path);
	make_page();
	page_set(page, slot, &(struct page_term){9, in_ms(5000), 0});
	greet();
	expect_line("join component=engine extend=no term=42");
	tell("error code=stale\n");
	expect_event(TENURE_LOST);
	ck_assert_int_eq(tenure_stopped(t), 0);
	expect_line("join component=engine extend=no");
	tell("ok component=engine slot=0\n");
	push_granted(43, 5000);
	set_term(0, 0);
	ck_assert(!tenure_valid(t));
}
END_TEST

START_TEST(test_no_daemon_at_first)
{
	stop_listening();
	open_client();
	expect_nothing_for(50);
	start_listening();
	greet();
	expect_line("join component=engine");
	tell("ok component=engine slot=0\n");
	push_granted(1, 5000);
}
END_TEST

static const struct {
	const char *answer;
	int error;
} refusals[] = {
	{"error code=unknown-component message=no%20such%20component", -ENOENT},
	{"error code=denied message=not%20you", -EACCES},
	{"error code=version", -EPROTO},
	{"error code=syntax", -EPROTO},
	{"error code=unavailable", 0},
	{"error code=busy", 0},
	{"error code=too-many", 0},
	{"error code=something-new", 0},
	{"error", 0},
};

START_TEST(test_refusals)
{
	struct tenure_event event;
	open_client();
	greet();
	expect_line("join component=engine");
	tell("%s\n", refusals[_i].answer);
	if (refusals[_i].error < 0)
		ck_assert_int_eq(step_for(&event, PATIENCE_MS), refusals[_i].error);
	// It tries again, on another connection.
	expect_end();
	greet();
	expect_line("join component=engine");
	tell("ok component=engine\n");
	push_granted(1, 5000);
}
END_TEST

static const char *const nonsense[] = {
	"hm",
	"OK",
	"ok a=1 a=2",
	"ok", // nothing was asked
	"row component=engine",
	"granted component=counter term=50 deadline=1 ttl_ms=1",
	"granted component=engine term=0 deadline=1 ttl_ms=1",
	"granted component=engine term=x deadline=1 ttl_ms=1",
	"granted component=engine term=41 deadline=1 ttl_ms=1",
	"granted component=engine term=50 deadline=1 ttl_ms=1", // before the end of 42
	"extended component=engine term=42",
	"extended component=engine term=42 deadline=soon",
	"revoked component=engine deadline=1",
	"revoked",
};

// The worker stops, but its connection stays: its end would tell the daemon that the work has ended.
static void expect_broken(void)
{
	char byte;
	struct tenure_event event = expect_event(TENURE_LOST);
	ck_assert_str_eq(event.reason, "protocol");
	ck_assert(!tenure_valid(t));
	expect_nothing_for(20);
	ck_assert_int_lt(recv(peer, &byte, 1, MSG_DONTWAIT), 0);
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_int_eq(tenure_stopped(t), 0);
	expect_end();
	greet();
	expect_line("join component=engine");
}

START_TEST(test_nonsense)
{
	open_and_join();
	push_granted(42, 5000);
	tell("%s\n", nonsense[_i]);
	expect_broken();
}
END_TEST

START_TEST(test_nonsense_without_work)
{
	open_and_join();
	tell("%s\n", nonsense[0]);
	expect_end();
	greet();
	expect_line("join component=engine");
}
END_TEST

START_TEST(test_over_long_line)
{
	char longer[LINE_BYTES + 1];
	memset(longer, 'x', LINE_BYTES);
	longer[LINE_BYTES] = '\0';
	open_and_join();
	push_granted(42, 5000);
	tell("%s", longer);
	expect_broken();
}
END_TEST

// W2: no term comes twice.
START_TEST(test_term_goes_back)
{
	open_and_join();
	push_granted(42, 5000);
	ck_assert_int_eq(tenure_stopped(t), 0);
	expect_line("stopped component=engine term=42");
	tell("ok\n");
	tell("granted component=engine term=42 deadline=%lld ttl_ms=5000\n", (long long)in_ms(5000));
	int first = peer;
	accept_client();
	close(first);
	ck_assert(!tenure_valid(t));
}
END_TEST

// W3: a deadline that is further away than its ttl comes from another clock.
START_TEST(test_another_clock)
{
	open_and_join();
	tell("granted component=engine term=42 deadline=%lld ttl_ms=5000\n", (long long)in_ms(5100));
	int first = peer;
	accept_client();
	close(first);
	ck_assert(!tenure_valid(t));
}
END_TEST

START_TEST(test_unknown_fields_are_ignored)
{
	open_client();
	accept_client();
	expect_line("hello version=1");
	tell("ok new=1 boot=%s terms=%s\n", boot_id, "/nonexistent");
	expect_line("join component=engine");
	tell("ok component=engine slot=77 more=x\n");
	tell("granted colour=red component=engine term=7 ttl_ms=5000 deadline=%lld\n", (long long)in_ms(5000));
	expect_event(TENURE_GRANTED);
	ck_assert(tenure_valid(t));
}
END_TEST

START_TEST(test_heartbeats_and_grace)
{
	ck_assert_int_eq(tenure_open_alive(&t, socket_path, "engine", 700), 0);
	greet();
	expect_line("join component=engine heartbeat_ms=700");
	tell("ok component=engine\n");
	expect_nothing_for(10);
	ck_assert(tenure_is_joined(t));
	ck_assert_int_eq(tenure_alive(t), -ESTALE);
	push_granted(3, 5000);
	ck_assert_int_eq(tenure_grace_ns(t), 1000 * NS_PER_MS);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(tenure_alive(t), 0); // a daemon that does not answer gets no flood
	ck_assert_int_eq(tenure_yield_because(t, 0, "exit status 1"), 0);
	for (int i = 0; i < 8; i++)
		expect_line_of("alive component=engine term=", 3);
	expect_line("yield component=engine term=3 cooldown_ms=0 reason=exit%20status%201");
	for (int i = 0; i < 9; i++)
		tell("ok\n");
	tell("granted component=engine term=4 deadline=%lld ttl_ms=5000 grace_ms=123\n", (long long)in_ms(5000));
	expect_event(TENURE_GRANTED);
	ck_assert_int_eq(tenure_grace_ns(t), 123 * NS_PER_MS);
	tenure_leave(t);
	ck_assert(!tenure_valid(t));
	expect_line("leave component=engine");
}
END_TEST

START_TEST(test_bad_arguments)
{
	char longer[200];
	memset(longer, 'x', sizeof longer - 1);
	longer[sizeof longer - 1] = '\0';
	ck_assert_int_eq(tenure_open(&t, socket_path, ""), -EINVAL);
	ck_assert_int_eq(tenure_open(&t, socket_path, "a b"), -EINVAL);
	ck_assert_int_eq(tenure_open(&t, longer, "engine"), -ENAMETOOLONG);
	ck_assert_ptr_null(t);
	tenure_close(NULL);
	ck_assert_int_eq(setenv("TENURE_SOCKET", socket_path, 1), 0);
	ck_assert_int_eq(tenure_open(&t, NULL, "engine"), 0);
	greet();
}
END_TEST

// W7: frozen beyond the deadline, the very first check says no.
START_TEST(test_frozen_beyond_the_deadline)
{
	maybe_page(_i);
	open_and_join();
	int64_t deadline = in_ms(1500);
	set_term(42, deadline);
	tell("granted component=engine term=42 deadline=%lld ttl_ms=1500\n", (long long)deadline);
	expect_event(TENURE_GRANTED);
	pid_t child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		// A copy of the handle that only checks; it stands for the worker that is stopped.
		if (!tenure_valid(t))
			_exit(2);
		raise(SIGSTOP);
		_exit(tenure_valid(t) ? 1 : 0);
	}
	int status;
	ck_assert_int_eq(waitpid(child, &status, WUNTRACED), child);
	ck_assert(WIFSTOPPED(status));
	while (clock_now_ns() < deadline)
		usleep(1000);
	kill(child, SIGCONT);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

static _Atomic bool checking;
static _Atomic uint64_t found_valid;

static void *keep_checking(void *data)
{
	(void)data;
	while (atomic_load(&checking)) {
		uint64_t term = tenure_term(t);
		if (tenure_valid(t) && term != 0)
			atomic_fetch_add(&found_valid, 1);
	}
	return NULL;
}

// R13: fifty terms in one process, another thread checking all the while, with both ways of extending.
START_TEST(test_fifty_terms_and_a_thread)
{
	pthread_t thread;
	maybe_page(_i);
	open_and_join();
	atomic_store(&checking, true);
	atomic_store(&found_valid, 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, keep_checking, NULL), 0);
	for (uint64_t term = 1; term <= 50; term++) {
		push_granted(term, 5000);
		while (term == 1 && atomic_load(&found_valid) == 0)
			usleep(1000);
		if (term % 10 == 0) {
			hang_up();
			greet();
			expect_line_of(
				page ? "join component=engine extend=no term=" : "join component=engine term=", term);
			tell("ok component=engine slot=0\n");
		}
		push_revoked(term, "resigned");
		expect_event(TENURE_REVOKED);
		ck_assert_int_eq(tenure_stopped(t), 0);
		expect_line_of("stopped component=engine term=", term);
		set_term(0, 0);
		tell("ok\n");
	}
	atomic_store(&checking, false);
	pthread_join(thread, NULL);
}
END_TEST

static int open_descriptors(void)
{
	int count = 0;
	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

// R10: nothing is left behind.
START_TEST(test_leaves_no_descriptor)
{
	make_page();
	int before = open_descriptors();
	for (int i = 0; i < 100; i++) {
		open_and_join();
		expect_nothing_for(0);
		tenure_close(t);
		t = NULL;
		hang_up();
		ck_assert_int_eq(open_descriptors(), before);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client");
	TCase *cases = tcase_create("client");
	tcase_add_checked_fixture(cases, set_up, tear_down);
	tcase_set_timeout(cases, 30);
	tcase_add_loop_test(cases, test_a_term, 0, 2);
	tcase_add_test(cases, test_several_lines_in_one_message);
	tcase_add_test(cases, test_page_extends);
	tcase_add_test(cases, test_lines_extend);
	tcase_add_test(cases, test_yield);
	tcase_add_loop_test(cases, test_daemon_dies, 0, 2);
	tcase_add_loop_test(cases, test_daemon_restarts, 0, 2);
	tcase_add_loop_test(cases, test_stale_after_restart, 0, 2);
	tcase_add_test(cases, test_hung_up_on);
	tcase_add_test(cases, test_restart_while_revoked);
	tcase_add_test(cases, test_stops_while_rejoining);
	tcase_add_test(cases, test_gives_up_while_the_daemon_is_away);
	tcase_add_test(cases, test_another_page);
	tcase_add_test(cases, test_no_daemon_at_first);
	tcase_add_loop_test(cases, test_refusals, 0, COUNT_OF(refusals));
	tcase_add_loop_test(cases, test_nonsense, 0, COUNT_OF(nonsense));
	tcase_add_test(cases, test_nonsense_without_work);
	tcase_add_test(cases, test_over_long_line);
	tcase_add_test(cases, test_term_goes_back);
	tcase_add_test(cases, test_another_clock);
	tcase_add_test(cases, test_unknown_fields_are_ignored);
	tcase_add_test(cases, test_heartbeats_and_grace);
	tcase_add_test(cases, test_bad_arguments);
	tcase_add_loop_test(cases, test_frozen_beyond_the_deadline, 0, 2);
	tcase_add_loop_test(cases, test_fifty_terms_and_a_thread, 0, 2);
	tcase_add_test(cases, test_leaves_no_descriptor);
	suite_add_tcase(suite, cases);
	return run_suite(suite);
}
