// SPDX-License-Identifier: Apache-2.0
// What systemd is told: the datagrams, where they go, and that nothing blocks or fails without it.
#include "notify.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char directory[] = "/tmp/tenure-notify-XXXXXX";
static struct sockaddr_un address;
static int receiver;

static void set_up(void)
{
	memset(strrchr(directory, '-') + 1, 'X', 6);
	ck_assert_ptr_nonnull(mkdtemp(directory));
	address = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof address.sun_path, "%s/notify", directory);
	receiver = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ck_assert_int_ge(receiver, 0);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

static void tear_down(void)
{
	close(receiver);
	unlink(address.sun_path);
	ck_assert_int_eq(rmdir(directory), 0);
}

static void listen_here(void)
{
	ck_assert_int_eq(bind(receiver, (struct sockaddr *)&address, sizeof address), 0);
	setenv("NOTIFY_SOCKET", address.sun_path, 1);
}

static const char *receive(void)
{
	static char text[2 * NOTIFY_STATE_BYTES];
	const ssize_t length = recv(receiver, text, sizeof text - 1, 0);
	ck_assert_int_ge(length, 0);
	text[length] = '\0';
	return text;
}

START_TEST(each_state_is_a_datagram)
{
	listen_here();
	ck_assert_int_eq(notify_ready(), 1);
	ck_assert_str_eq(receive(), "READY=1");
	ck_assert_int_eq(notify_reloading(), 1);
	ck_assert_str_eq(receive(), "RELOADING=1");
	ck_assert_int_eq(notify_stopping(), 1);
	ck_assert_str_eq(receive(), "STOPPING=1");
	ck_assert_int_eq(notify_watchdog(), 1);
	ck_assert_str_eq(receive(), "WATCHDOG=1");
	ck_assert_int_eq(notify_send("READY=1\nSTATUS=both"), 1);
	ck_assert_str_eq(receive(), "READY=1\nSTATUS=both");
	ck_assert_int_eq(notify_status("leads %d of %s", 2, "3"), 1);
	ck_assert_str_eq(receive(), "STATUS=leads 2 of 3");
}
END_TEST

START_TEST(a_status_is_one_line_of_bounded_length)
{
	char text[3 * NOTIFY_STATE_BYTES];
	listen_here();
	ck_assert_int_eq(notify_status("%s", "down\nREADY=1"), 1);
	ck_assert_str_eq(receive(), "STATUS=down READY=1");
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	ck_assert_int_eq(notify_status("%s", text), 1);
	ck_assert_uint_eq(strlen(receive()), NOTIFY_STATE_BYTES);
	ck_assert_int_eq(notify_send(text), -EMSGSIZE);
}
END_TEST

START_TEST(an_abstract_socket_is_found)
{
	char name[64];
	const int length = snprintf(name, sizeof name, "@tenure-notify-%d", (int)getpid());
	struct sockaddr_un abstract = {.sun_family = AF_UNIX};
	memcpy(abstract.sun_path + 1, name + 1, (size_t)length - 1);
	const socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)length);
	ck_assert_int_eq(bind(receiver, (struct sockaddr *)&abstract, size), 0);
	setenv("NOTIFY_SOCKET", name, 1);
	ck_assert_int_eq(notify_ready(), 1);
	ck_assert_str_eq(receive(), "READY=1");
}
END_TEST

START_TEST(without_systemd_nothing_happens)
{
	ck_assert_int_eq(notify_ready(), 0);
	setenv("NOTIFY_SOCKET", "", 1);
	ck_assert_int_eq(notify_ready(), 0);
}
END_TEST

START_TEST(a_socket_that_does_not_do_is_an_error)
{
	char path[256];
	setenv("NOTIFY_SOCKET", address.sun_path, 1);
	ck_assert_int_eq(notify_ready(), -ENOENT);
	setenv("NOTIFY_SOCKET", "relative", 1);
	ck_assert_int_eq(notify_ready(), -EAFNOSUPPORT);
	memset(path, '/', sizeof path - 1);
	path[sizeof path - 1] = '\0';
	setenv("NOTIFY_SOCKET", path, 1);
	ck_assert_int_eq(notify_ready(), -ENAMETOOLONG);
}
END_TEST

START_TEST(a_reader_that_is_behind_does_not_block)
{
	listen_here();
	int sent = 1;
	for (int i = 0; i < 100000 && sent == 1; i++)
		sent = notify_ready();
	ck_assert_int_eq(sent, -EAGAIN);
}
END_TEST

START_TEST(the_watchdog_is_ours_or_not)
{
	char text[32];
	ck_assert_int_eq(notify_watchdog_interval_ns(), INT64_MAX);
	setenv("WATCHDOG_USEC", "30000000", 1);
	ck_assert_int_eq(notify_watchdog_interval_ns(), 15 * NS_PER_S);
	snprintf(text, sizeof text, "%d", (int)getpid());
	setenv("WATCHDOG_PID", text, 1);
	ck_assert_int_eq(notify_watchdog_interval_ns(), 15 * NS_PER_S);
	setenv("WATCHDOG_PID", "1", 1);
	ck_assert_int_eq(notify_watchdog_interval_ns(), INT64_MAX);
	unsetenv("WATCHDOG_PID");
	static const char *const wrong[] = {"", "0", "x", "-5", "5s", "99999999999999999999", "999999999999999999"};
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		setenv("WATCHDOG_USEC", wrong[i], 1);
		ck_assert_int_eq(notify_watchdog_interval_ns(), INT64_MAX);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("notify");
	TCase *tests = tcase_create("notify");
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, each_state_is_a_datagram);
	tcase_add_test(tests, a_status_is_one_line_of_bounded_length);
	tcase_add_test(tests, an_abstract_socket_is_found);
	tcase_add_test(tests, without_systemd_nothing_happens);
	tcase_add_test(tests, a_socket_that_does_not_do_is_an_error);
	tcase_add_test(tests, a_reader_that_is_behind_does_not_block);
	tcase_add_test(tests, the_watchdog_is_ours_or_not);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
