// SPDX-License-Identifier: Apache-2.0
// A daemon that the test plays itself, one client at a time and line by line.
#ifndef FAKE_DAEMON_H
#define FAKE_DAEMON_H

#include <check.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "line.h"
#include "page.h"

#define PATIENCE_MS 10000

static char directory[64];
static char socket_path[96];
static char terms_path[96];
static char boot_id[BOOT_ID_SIZE];

static int listener = -1;
static int peer = -1;
static struct line_splitter input;
static struct page *page; // NULL: there is none
static uint32_t slot;

// Waits until `fd` is readable; a test whose client lives in the same process sets its own.
static inline void wait_readable(int fd)
{
	struct pollfd fds[] = {{.fd = fd, .events = POLLIN}};
	ck_assert_int_eq(poll(fds, 1, PATIENCE_MS), 1);
}
static void (*wait_for)(int fd) = wait_readable;

static inline int64_t in_ms(int64_t ms)
{
	return clock_now_ns() + ms * NS_PER_MS;
}

static inline void start_listening(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	memcpy(address.sun_path, socket_path, sizeof socket_path);
	unlink(socket_path);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(listener, (const struct sockaddr *)&address, sizeof address), 0);
	ck_assert_int_eq(listen(listener, 5), 0);
}

static inline void stop_listening(void)
{
	if (listener >= 0)
		close(listener);
	listener = -1;
	unlink(socket_path);
}

static inline void hang_up(void)
{
	if (peer >= 0)
		close(peer);
	peer = -1;
}

static inline void set_up_daemon(void)
{
	snprintf(directory, sizeof directory, "/tmp/tenure-unit-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(socket_path, sizeof socket_path, "%s/tenured.sock", directory);
	snprintf(terms_path, sizeof terms_path, "%s/terms", directory);
	ck_assert_int_eq(clock_boot_id(boot_id), 0);
	start_listening();
}

static inline void make_page(void)
{
	char why[PAGE_WHY_SIZE];
	ck_assert_int_ge(page_open(&page, terms_path, boot_id, 4, clock_now_ns(), why), 0);
	int found = page_slot(page, "engine");
	ck_assert_int_ge(found, 0);
	slot = (uint32_t)found;
}

static inline void tear_down_daemon(void)
{
	page_free(page);
	page = NULL;
	hang_up();
	stop_listening();
	unlink(terms_path);
	rmdir(directory);
}

static inline void set_term(uint64_t term, int64_t deadline)
{
	if (page)
		page_set(page, slot, &(struct page_term){term, deadline, 0});
}

static inline void accept_client(void)
{
	wait_for(listener);
	peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ge(peer, 0);
	line_splitter_init(&input);
}

static inline void expect_line(const char *expected)
{
	char *text, *room;
	size_t size;
	while (line_splitter_next(&input, &text, &size) == 0) {
		wait_for(peer);
		size_t fits = line_splitter_room(&input, &room);
		ssize_t got = read(peer, room, fits);
		ck_assert_msg(got > 0, "connection ended, expected: %s", expected);
		line_splitter_commit(&input, (size_t)got);
	}
	ck_assert_str_eq(text, expected);
}

static inline void expect_end(void)
{
	char byte;
	wait_for(peer);
	ck_assert_int_le(recv(peer, &byte, 1, MSG_DONTWAIT), 0);
	hang_up();
}

PRINTF_LIKE(1, 2) static inline void tell(const char *format, ...)
{
	char text[8192];
	va_list arguments;
	va_start(arguments, format);
	int size = vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	// The last answers come after the client has closed.
	ck_assert(send(peer, text, (size_t)size, MSG_NOSIGNAL) == size || errno == EPIPE);
}

static inline void greet(void)
{
	accept_client();
	expect_line("hello version=1");
	tell("ok version=1 server=fake node=host-a session=x boot=%s terms=%s\n", boot_id, terms_path);
}

static inline int run_suite(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
