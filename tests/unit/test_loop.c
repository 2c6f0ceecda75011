// SPDX-License-Identifier: Apache-2.0
// The loop: readiness, reused descriptor numbers, the timer, signals, and nothing left behind (R10).
#include "clock.h"
#include "lingering.h"
#include "loop.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct loop *loop;

static void set_up(void)
{
	ck_assert_int_eq(loop_new(&loop), 0);
}

static void tear_down(void)
{
	loop_free(loop);
}

// By a program that was started with the signal blocked which hurries the kernel.
static void set_up_blocked(void)
{
	sigset_t nudges;
	sigemptyset(&nudges);
	sigaddset(&nudges, SIGRTMIN);
	ck_assert_int_eq(sigprocmask(SIG_BLOCK, &nudges, NULL), 0);
	set_up();
}

static void make_pair(int ret_fds[static 2])
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ret_fds), 0);
}

static void close_pair(const int fds[static 2])
{
	close(fds[0]);
	close(fds[1]);
}

static void stop(void *userdata)
{
	(void)userdata;
	loop_stop(loop);
}

// Runs until what is ready now was delivered.
static void run_ready(void)
{
	loop_on_timer(loop, stop, NULL);
	loop_arm(loop, clock_now_ns() + 20 * NS_PER_MS);
	ck_assert_int_eq(loop_run(loop), 0);
}

struct seen {
	int count;
	int fd;
	unsigned flags;
};

static void see(void *userdata, int fd, unsigned flags)
{
	struct seen *seen = userdata;
	seen->count++;
	seen->fd = fd;
	seen->flags = flags;
	loop_stop(loop);
}

static void read_byte(int fd)
{
	char byte;
	ck_assert_int_eq(read(fd, &byte, 1), 1);
}

START_TEST(readable_and_writable_are_told_apart)
{
	int fds[2];
	struct seen seen = {0};
	struct loop_watch *watch;
	make_pair(fds);
	ck_assert_int_eq(loop_watch_new(loop, fds[0], LOOP_READ, see, &seen, &watch), 0);
	run_ready();
	ck_assert_int_eq(seen.count, 0);

	ck_assert_int_eq(write(fds[1], "x", 1), 1);
	ck_assert_int_eq(loop_run(loop), 0);
	ck_assert_int_eq(seen.count, 1);
	ck_assert_int_eq(seen.fd, fds[0]);
	ck_assert_uint_eq(seen.flags, LOOP_READ);

	loop_watch_set(watch, LOOP_READ | LOOP_WRITE);
	ck_assert_int_eq(loop_run(loop), 0);
	ck_assert_uint_eq(seen.flags, LOOP_READ | LOOP_WRITE);

	read_byte(fds[0]);
	ck_assert_int_eq(loop_run(loop), 0);
	ck_assert_uint_eq(seen.flags, LOOP_WRITE);
	loop_watch_free(watch);
	close_pair(fds);
}
END_TEST

START_TEST(a_watch_for_nothing_hears_nothing_until_it_is_set)
{
	int fds[2];
	struct seen seen = {0};
	struct loop_watch *watch;
	make_pair(fds);
	ck_assert_int_eq(write(fds[1], "x", 1), 1);
	ck_assert_int_eq(loop_watch_new(loop, fds[0], 0, see, &seen, &watch), 0);
	run_ready();
	ck_assert_int_eq(seen.count, 0);
	loop_watch_set(watch, LOOP_READ);
	ck_assert_int_eq(loop_run(loop), 0);
	ck_assert_int_eq(seen.count, 1);
	loop_watch_set(watch, 0);
	loop_on_timer(loop, stop, NULL);
	run_ready();
	ck_assert_int_eq(seen.count, 1);
	loop_watch_free(watch);
	close_pair(fds);
}
END_TEST

// Two descriptors are ready in one turn; whichever is served first replaces the other by a fresh one of its number.
struct swap {
	int served;
	int sockets[2];
	int peers[2];
	struct loop_watch *watches[2];
	int fresh[2];
	struct loop_watch *fresh_watch;
	struct seen fresh_seen;
};

static void serve_and_swap(void *userdata, int fd, unsigned flags)
{
	(void)flags;
	struct swap *swap = userdata;
	ck_assert_int_eq(swap->served++, 0);
	const int other = fd == swap->sockets[0] ? 1 : 0;
	const int number = swap->sockets[other];
	loop_watch_free(swap->watches[0]);
	loop_watch_free(swap->watches[1]);
	close(number);
	make_pair(swap->fresh);
	ck_assert_int_eq(swap->fresh[0], number);
	ck_assert_int_eq(loop_watch_new(loop, number, LOOP_READ, see, &swap->fresh_seen, &swap->fresh_watch), 0);
}

START_TEST(a_reused_number_gets_no_stale_event_and_is_alive)
{
	struct swap swap = {0};
	for (int i = 0; i < 2; i++) {
		int fds[2];
		make_pair(fds);
		swap.sockets[i] = fds[0];
		swap.peers[i] = fds[1];
		ck_assert_int_eq(write(fds[1], "x", 1), 1);
		ck_assert_int_eq(loop_watch_new(loop, fds[0], LOOP_READ, serve_and_swap, &swap, &swap.watches[i]), 0);
	}
	run_ready();
	ck_assert_int_eq(swap.served, 1);
	ck_assert_int_eq(swap.fresh_seen.count, 0);

	ck_assert_int_eq(write(swap.fresh[1], "y", 1), 1);
	ck_assert_int_eq(loop_run(loop), 0);
	ck_assert_int_eq(swap.fresh_seen.count, 1);
	ck_assert_uint_eq(swap.fresh_seen.flags, LOOP_READ);

	loop_watch_free(swap.fresh_watch);
	close_pair(swap.fresh);
	close_pair(swap.peers);
	const int left = swap.sockets[0] == swap.fresh[0] ? swap.sockets[1] : swap.sockets[0];
	close(left);
}
END_TEST

START_TEST(a_reused_number_between_turns_is_alive)
{
	for (int i = 0; i < 3; i++) {
		int fds[2];
		struct seen seen = {0};
		struct loop_watch *watch;
		make_pair(fds);
		ck_assert_int_eq(loop_watch_new(loop, fds[0], LOOP_READ, see, &seen, &watch), 0);
		run_ready();
		ck_assert_int_eq(seen.count, 0);
		ck_assert_int_eq(write(fds[1], "x", 1), 1);
		ck_assert_int_eq(loop_run(loop), 0);
		ck_assert_int_eq(seen.count, 1);
		loop_watch_free(watch);
		close_pair(fds);
	}
}
END_TEST

START_TEST(a_bad_descriptor_is_refused)
{
	int fds[2];
	struct loop_watch *watch = NULL;
	make_pair(fds);
	close_pair(fds);
	ck_assert_int_eq(loop_watch_new(loop, -1, LOOP_READ, see, NULL, &watch), -EBADF);
	ck_assert_int_eq(loop_watch_new(loop, fds[0], LOOP_READ, see, NULL, &watch), -EBADF);
	ck_assert_ptr_null(watch);
}
END_TEST

struct late {
	int64_t at;
	int count;
};

static void note_time(void *userdata)
{
	struct late *late = userdata;
	late->count++;
	ck_assert_int_ge(clock_now_ns(), late->at);
	loop_stop(loop);
}

START_TEST(the_timer_fires_once_and_never_early)
{
	struct late late = {.at = clock_now_ns() + 5 * NS_PER_MS};
	loop_on_timer(loop, note_time, &late);
	loop_arm(loop, late.at);
	ck_assert_int_eq(loop_run(loop), 0);
	ck_assert_int_eq(late.count, 1);

	// The same time again: it has fired, so arming it is not "the same as before".
	loop_arm(loop, late.at);
	ck_assert_int_eq(loop_run(loop), 0);
	ck_assert_int_eq(late.count, 2);
}
END_TEST

START_TEST(a_time_in_the_past_fires_at_once)
{
	static const int64_t past[] = {1, 0, -5, INT64_MIN};
	for (size_t i = 0; i < COUNT_OF(past); i++) {
		struct late late = {0};
		loop_on_timer(loop, note_time, &late);
		loop_arm(loop, past[i]);
		ck_assert_int_eq(loop_run(loop), 0);
		ck_assert_int_eq(late.count, 1);
	}
}
END_TEST

static void disarm(void *userdata, int fd, unsigned flags)
{
	(void)flags;
	bool *disarmed = userdata;
	read_byte(fd);
	loop_arm(loop, INT64_MAX);
	*disarmed = true;
	loop_stop(loop);
}

static void must_be_armed(void *userdata)
{
	const bool *disarmed = userdata;
	ck_assert(!*disarmed);
}

// Both are ready in one turn, the timer first; libev serves the later one first.
START_TEST(a_timer_disarmed_while_it_is_pending_stays_silent)
{
	int fds[2];
	bool disarmed = false;
	struct loop_watch *watch;
	make_pair(fds);
	ck_assert_int_eq(loop_watch_new(loop, fds[0], LOOP_READ, disarm, &disarmed, &watch), 0);
	run_ready();
	loop_on_timer(loop, must_be_armed, &disarmed);
	loop_arm(loop, 1);
	ck_assert_int_eq(write(fds[1], "x", 1), 1);
	ck_assert_int_eq(loop_run(loop), 0);
	ck_assert(disarmed);
	loop_watch_free(watch);
	close_pair(fds);
}
END_TEST

START_TEST(a_disarmed_timer_stays_silent)
{
	int fds[2];
	struct seen seen = {0};
	struct loop_watch *watch;
	bool disarmed = true;
	make_pair(fds);
	loop_on_timer(loop, must_be_armed, &disarmed);
	loop_arm(loop, 1);
	loop_arm(loop, INT64_MAX);
	ck_assert_int_eq(loop_watch_new(loop, fds[0], LOOP_READ, see, &seen, &watch), 0);
	ck_assert_int_eq(write(fds[1], "x", 1), 1);
	ck_assert_int_eq(loop_run(loop), 0);
	loop_watch_free(watch);
	close_pair(fds);
}
END_TEST

struct rearm {
	int fired;
	int wanted;
};

static void fire_again(void *userdata)
{
	struct rearm *rearm = userdata;
	if (++rearm->fired == rearm->wanted)
		loop_stop(loop);
	else
		loop_arm(loop, clock_now_ns() + 100 * NS_PER_US);
}

START_TEST(the_timer_can_be_armed_in_its_own_callback)
{
	struct rearm rearm = {.wanted = 50};
	loop_on_timer(loop, fire_again, &rearm);
	loop_arm(loop, 1);
	ck_assert_int_eq(loop_run(loop), 0);
	ck_assert_int_eq(rearm.fired, 50);
}
END_TEST

struct signals {
	int count[NSIG];
	int wanted;
};

static void note_signal(void *userdata, int number)
{
	struct signals *signals = userdata;
	signals->count[number]++;
	if (--signals->wanted == 0)
		loop_stop(loop);
}

START_TEST(signals_arrive_in_the_loop)
{
	struct signals signals = {.wanted = 2};
	ck_assert_int_eq(loop_on_signal(loop, SIGHUP, note_signal, &signals), 0);
	ck_assert_int_eq(loop_on_signal(loop, SIGTERM, note_signal, &signals), 0);
	raise(SIGTERM);
	raise(SIGHUP);
	ck_assert_int_eq(loop_run(loop), 0);
	ck_assert_int_eq(signals.count[SIGHUP], 1);
	ck_assert_int_eq(signals.count[SIGTERM], 1);
}
END_TEST

START_TEST(sigpipe_is_ignored_and_the_mask_comes_back)
{
	int fds[2];
	struct signals signals = {.wanted = 1};
	make_pair(fds);
	close(fds[1]);
	ck_assert_int_eq(write(fds[0], "x", 1), -1);
	close(fds[0]);

	ck_assert_int_eq(loop_on_signal(loop, SIGUSR1, note_signal, &signals), 0);
	loop_free(loop);
	loop = NULL;
	sigset_t mask;
	sigprocmask(SIG_SETMASK, NULL, &mask);
	ck_assert_int_eq(sigismember(&mask, SIGUSR1), 0);
}
END_TEST

static void count_turn(void *userdata)
{
	int *turns = userdata;
	(*turns)++;
}

START_TEST(each_turn_is_announced)
{
	int turns = 0;
	struct rearm rearm = {.wanted = 3};
	loop_on_turn(loop, count_turn, &turns);
	loop_on_timer(loop, fire_again, &rearm);
	loop_arm(loop, 1);
	ck_assert_int_eq(loop_run(loop), 0);
	ck_assert_int_eq(turns, 3);
}
END_TEST

static int count_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	ck_assert_ptr_nonnull(directory);
	int count = 0;
	while (readdir(directory) != NULL)
		count++;
	closedir(directory);
	return count;
}

static void take(void *userdata, int fd, unsigned flags)
{
	char byte;
	(void)flags;
	loop_hurry(loop);
	(void)recv(fd, &byte, 1, MSG_DONTWAIT);
	loop_calm(loop);
	++*(int *)userdata;
	loop_stop(loop);
}

// S7: what is closed with what another user sends, here by taking it and by closing the socket.
START_TEST(what_lingers_is_not_waited_for)
{
	struct loop_watch *watch;
	int fds[2], peers[2], taken = 0;
	make_pair(fds);
	for (int i = 0; i < 2; i++)
		send_away(fds[0], make_lingering(20, &peers[i]));
	ck_assert_int_eq(loop_watch_new(loop, fds[1], LOOP_READ, take, &taken, &watch), 0);
	int64_t begun_at = clock_now_ns();
	ck_assert_int_eq(loop_run(loop), 0);
	loop_watch_free(watch);
	loop_hurry(loop);
	close_pair(fds);
	loop_calm(loop);
	ck_assert_int_eq(taken, 1);
	ck_assert_int_lt(clock_now_ns() - begun_at, 2 * NS_PER_S);
	close_pair(peers);
}
END_TEST

START_TEST(a_thousand_loops_leave_no_descriptor)
{
	const int before = count_descriptors();
	for (int i = 0; i < 1000; i++) {
		struct loop *another;
		struct signals signals = {.wanted = 1};
		ck_assert_int_eq(loop_new(&another), 0);
		ck_assert_int_eq(loop_on_signal(another, SIGHUP, note_signal, &signals), 0);
		loop_free(another);
	}
	ck_assert_int_eq(count_descriptors(), before);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("loop");
	TCase *tests = tcase_create("loop");
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, readable_and_writable_are_told_apart);
	tcase_add_test(tests, a_watch_for_nothing_hears_nothing_until_it_is_set);
	tcase_add_test(tests, a_reused_number_gets_no_stale_event_and_is_alive);
	tcase_add_test(tests, a_reused_number_between_turns_is_alive);
	tcase_add_test(tests, a_bad_descriptor_is_refused);
	tcase_add_test(tests, the_timer_fires_once_and_never_early);
	tcase_add_test(tests, a_time_in_the_past_fires_at_once);
	tcase_add_test(tests, a_timer_disarmed_while_it_is_pending_stays_silent);
	tcase_add_test(tests, a_disarmed_timer_stays_silent);
	tcase_add_test(tests, the_timer_can_be_armed_in_its_own_callback);
	tcase_add_test(tests, signals_arrive_in_the_loop);
	tcase_add_test(tests, sigpipe_is_ignored_and_the_mask_comes_back);
	tcase_add_test(tests, each_turn_is_announced);
	tcase_add_test(tests, a_thousand_loops_leave_no_descriptor);
	suite_add_tcase(suite, tests);
	TCase *native = tcase_create("native"); // valgrind lets no signal end a close
	tcase_add_checked_fixture(native, set_up_blocked, tear_down);
	tcase_set_tags(native, "native");
	tcase_add_test(native, what_lingers_is_not_waited_for);
	suite_add_tcase(suite, native);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
