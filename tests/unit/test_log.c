// SPDX-License-Identifier: Apache-2.0
// The log's lines: their form, what is escaped, what is cut, and what happens when nobody reads (W26).
#include "log.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int saved_stderr;
static int reader;

// What is written to standard error from here on can be read from `reader`.
static void capture(int fds[static 2])
{
	reader = fds[0];
	ck_assert_int_ge(dup2(fds[1], STDERR_FILENO), 0);
	close(fds[1]);
}

static void set_up(void)
{
	int fds[2];
	saved_stderr = dup(STDERR_FILENO);
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	capture(fds);
	unsetenv("JOURNAL_STREAM");
	unsetenv("INVOCATION_ID");
	log_init();
	log_set_level(LOG_LEVEL_INFO);
}

static void tear_down(void)
{
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	close(reader);
}

static char *read_text(void)
{
	static char text[4 * LOG_LINE_BYTES];
	ck_assert_int_eq(fcntl(reader, F_SETFL, O_NONBLOCK), 0);
	const ssize_t length = read(reader, text, sizeof text - 1);
	text[length > 0 ? length : 0] = '\0';
	return text;
}

// The line without its time.
static const char *read_line(void)
{
	const char *text = read_text();
	const char *blank = strchr(text, ' ');
	ck_assert_ptr_nonnull(blank);
	return blank + 1;
}

START_TEST(a_line_is_a_time_a_level_a_word_and_fields)
{
	log_info("granted", log_text("component", "engine"), log_uint("term", UINT64_MAX), log_int("delta", -3),
		log_ms("took_ms", 1234567), log_errno("error", -ENOENT), log_text("none", NULL));
	const char *text = read_text();
	// 2025-01-31T12:00:00.123Z
	const size_t length = strcspn(text, " ") + 1;
	ck_assert_uint_eq(length, 25);
	ck_assert_uint_eq(strspn(text, "0123456789-T:.Z"), 24);
	ck_assert(text[4] == '-' && text[10] == 'T' && text[19] == '.' && text[23] == 'Z');
	ck_assert_int_ge(strtol(text, NULL, 10), 2024);
	ck_assert_str_eq(text + length,
		"info granted component=engine term=18446744073709551615 delta=-3 took_ms=1.235 "
		"error=\"No such file or directory\"\n");
}
END_TEST

START_TEST(a_line_may_have_no_fields)
{
	log_event(LOG_LEVEL_WARNING, "odd");
	ck_assert_str_eq(read_line(), "warning odd\n");
}
END_TEST

START_TEST(a_value_cannot_forge_a_line)
{
	static const struct {
		const char *value;
		const char *written;
	} cases[] = {
		{"plain-1.0:/x", "plain-1.0:/x"},
		{"", "\"\""},
		{"two words", "\"two words\""},
		{"a=b", "\"a=b\""},
		{"say \"hi\"", "\"say \\\"hi\\\"\""},
		{"back\\slash", "\"back\\\\slash\""},
		{"line\nINFO forged", "\"line\\nINFO forged\""},
		{"\x1b[31m\r\t\x7f", "\"\\x1b[31m\\x0d\\x09\\x7f\""},
		{"caf\xc3\xa9", "\"caf\\xc3\\xa9\""},
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char expected[128];
		snprintf(expected, sizeof expected, "info word key=%s\n", cases[i].written);
		log_info("word", log_text("key", cases[i].value));
		ck_assert_str_eq(read_line(), expected);
	}
}
END_TEST

START_TEST(a_long_line_is_cut_and_says_so)
{
	// Around the limit every length must come out as one whole line.
	for (size_t length = LOG_LINE_BYTES - 100; length < LOG_LINE_BYTES + 100; length++) {
		char value[LOG_LINE_BYTES + 101];
		memset(value, length % 2 == 0 ? '"' : 'x', length);
		value[length] = '\0';
		log_info("word", log_text("key", value), log_text("next", "x y"));
		const char *text = read_text();
		const size_t written = strlen(text);
		ck_assert_uint_le(written, LOG_LINE_BYTES);
		ck_assert(text[written - 1] == '\n');
		ck_assert_ptr_eq(strchr(text, '\n'), text + written - 1);
		if (length >= LOG_LINE_BYTES)
			ck_assert_str_eq(text + written - strlen(" cut=yes\n"), " cut=yes\n");
	}
}
END_TEST

START_TEST(a_quoted_value_that_is_cut_is_closed)
{
	char value[2 * LOG_LINE_BYTES];
	memset(value, '\n', sizeof value - 1);
	value[sizeof value - 1] = '\0';
	log_info("word", log_text("key", value));
	const char *text = read_text();
	ck_assert_str_eq(text + strlen(text) - strlen("\\n\" cut=yes\n"), "\\n\" cut=yes\n");
}
END_TEST

START_TEST(levels_filter)
{
	log_set_level(LOG_LEVEL_WARNING);
	log_info("quiet", log_int("n", 1));
	log_debug("quiet", log_int("n", 2));
	ck_assert(!log_is_on(LOG_LEVEL_INFO));
	log_warning("loud", log_int("n", 3));
	ck_assert_str_eq(read_line(), "warning loud n=3\n");
	log_set_level(LOG_LEVEL_DEBUG);
	log_debug("loud", log_int("n", 4));
	ck_assert_str_eq(read_line(), "debug loud n=4\n");
}
END_TEST

START_TEST(levels_have_names)
{
	for (enum log_level level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++) {
		enum log_level parsed = LOG_LEVEL_DEBUG;
		ck_assert_int_eq(log_level_parse(log_level_name(level), &parsed), 0);
		ck_assert_int_eq(parsed, level);
	}
	enum log_level untouched = LOG_LEVEL_WARNING;
	ck_assert_int_eq(log_level_parse("loud", &untouched), -EINVAL);
	ck_assert_int_eq(untouched, LOG_LEVEL_WARNING);
}
END_TEST

START_TEST(the_journal_gets_priorities)
{
	static const char *const starts[] = {"<3>word", "<4>word", "<6>word", "<7>word"};
	struct stat status;
	char stream[64];
	ck_assert_int_eq(fstat(STDERR_FILENO, &status), 0);
	snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_init();
	log_set_level(LOG_LEVEL_DEBUG);
	for (enum log_level level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++) {
		char expected[64];
		snprintf(expected, sizeof expected, "%s n=1\n", starts[level]);
		log_write(level, "word", LOG_FIELDS(log_int("n", 1)));
		ck_assert_str_eq(read_text(), expected);
	}

	// Standard error was redirected since: the variable is another file's.
	setenv("JOURNAL_STREAM", "1:1", 1);
	log_init();
	log_event(LOG_LEVEL_INFO, "word");
	ck_assert(read_text()[0] != '<');
}
END_TEST

START_TEST(the_socket_of_a_unit_is_the_journal)
{
	int fds[2];
	setenv("INVOCATION_ID", "6a2e6a0c9d5c4a0f8a5b0c9f2d1e3f40", 1);
	log_init();
	log_event(LOG_LEVEL_INFO, "word");
	ck_assert(read_text()[0] != '<');

	close(reader);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	capture(fds);
	log_init();
	log_event(LOG_LEVEL_INFO, "word");
	ck_assert_str_eq(read_text(), "<6>word\n");
}
END_TEST

START_TEST(a_full_pipe_loses_lines_and_they_are_counted)
{
	char filling[1024] = {0};
	ck_assert_int_eq(fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK), 0);
	while (write(STDERR_FILENO, filling, sizeof filling) > 0)
		;
	// Blocking, as the daemon finds it; a write would never return.
	ck_assert_int_eq(fcntl(STDERR_FILENO, F_SETFL, 0), 0);
	errno = EXDEV;
	for (int i = 0; i < 500; i++)
		log_info("nobody-reads", log_int("n", i));
	ck_assert_int_eq(errno, EXDEV);

	ck_assert_int_eq(fcntl(reader, F_SETFL, O_NONBLOCK), 0);
	while (read(reader, filling, sizeof filling) > 0)
		;
	log_info("back", log_int("n", 1));
	char *text = read_text();
	char *second = strchr(text, '\n');
	ck_assert_ptr_nonnull(second);
	*second++ = '\0';
	ck_assert_str_eq(strchr(text, ' '), " warning log-lost lines=500");
	ck_assert_str_eq(strchr(second, ' '), " info back n=1\n");

	log_info("back", log_int("n", 2));
	ck_assert_str_eq(read_line(), "info back n=2\n");
}
END_TEST

START_TEST(a_closed_standard_error_is_survived)
{
	close(STDERR_FILENO);
	log_info("word", log_int("n", 1));
	ck_assert_int_ge(dup2(saved_stderr, STDERR_FILENO), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("log");
	TCase *tests = tcase_create("log");
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, a_line_is_a_time_a_level_a_word_and_fields);
	tcase_add_test(tests, a_line_may_have_no_fields);
	tcase_add_test(tests, a_value_cannot_forge_a_line);
	tcase_add_test(tests, a_long_line_is_cut_and_says_so);
	tcase_add_test(tests, a_quoted_value_that_is_cut_is_closed);
	tcase_add_test(tests, levels_filter);
	tcase_add_test(tests, levels_have_names);
	tcase_add_test(tests, the_journal_gets_priorities);
	tcase_add_test(tests, the_socket_of_a_unit_is_the_journal);
	tcase_add_test(tests, a_full_pipe_loses_lines_and_they_are_counted);
	tcase_add_test(tests, a_closed_standard_error_is_survived);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
