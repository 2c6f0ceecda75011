// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "line.h"
#include "words.h"

// The text of the line that was parsed last.
static char text[LINE_BYTES + 1];

static int parse(struct line *line, const char *from)
{
	snprintf(text, sizeof text, "%s", from);
	return line_parse(line, text, strlen(text));
}

START_TEST(test_parses_a_line)
{
	struct line line;
	const char *string;
	ck_assert_int_eq(parse(&line, "granted component=engine term=42 deadline=81234567890123 empty="), 0);
	ck_assert_str_eq(line.word, "granted");
	ck_assert_uint_eq(line.count, 4);
	ck_assert_int_eq(line_string(&line, "component", &string), 0);
	ck_assert_str_eq(string, "engine");
	ck_assert_str_eq(line_text(&line, "empty"), "");
	ck_assert_str_eq(line_text(&line, "absent"), "");
	ck_assert_int_eq(line_string(&line, "absent", &string), -ENOENT);
	ck_assert_int_eq(parse(&line, "ok"), 0);
	ck_assert_uint_eq(line.count, 0);
	ck_assert_int_eq(parse(&line, "unknown-request"), 0);
}
END_TEST

START_TEST(test_decodes_values)
{
	struct line line;
	ck_assert_int_eq(parse(&line, "error message=no%20such%0acomponent%3D%25%c3%A9 plain=aZ0._~:/@+,-"), 0);
	ck_assert_str_eq(line_text(&line, "message"), "no such\ncomponent=%\xc3\xa9");
	ck_assert_str_eq(line_text(&line, "plain"), "aZ0._~:/@+,-");
}
END_TEST

static const struct {
	const char *text;
	int error;
} bad_lines[] = {
	{"", -EINVAL},
	{" ok", -EINVAL},
	{"ok ", -EINVAL},
	{"ok  a=b", -EINVAL},
	{"OK", -EINVAL},
	{"1ok", -EINVAL},
	{"ok\r", -EINVAL},
	{"ok a", -EINVAL},
	{"ok =b", -EINVAL},
	{"ok A=b", -EINVAL},
	{"ok a.b=c", -EINVAL},
	{"ok a=b=c", -EILSEQ},
	{"ok a=b\tc", -EILSEQ},
	{"ok a=\xc3\xa9", -EILSEQ},
	{"ok a=%", -EILSEQ},
	{"ok a=%4", -EILSEQ},
	{"ok a=%4 b=c", -EILSEQ},
	{"ok a=%g0", -EILSEQ},
	{"ok a=%0g", -EILSEQ},
	{"ok a=%00", -EILSEQ},
	{"ok a=b\r", -EILSEQ},
	{"ok a=1 b=2 a=1", -EEXIST},
};

START_TEST(test_refuses_bad_lines)
{
	struct line line = {.word = "untouched"};
	ck_assert_int_eq(parse(&line, bad_lines[_i].text), bad_lines[_i].error);
	ck_assert_str_eq(line.word, "untouched");
	ck_assert_str_ne(line_problem(bad_lines[_i].error), line_problem(-EIO));
}
END_TEST

START_TEST(test_refuses_nul)
{
	struct line line;
	char nul[] = "ok a=b\0c d=e";
	ck_assert_int_eq(line_parse(&line, nul, sizeof nul - 1), -EILSEQ);
	char last[] = "ok\0";
	ck_assert_int_eq(line_parse(&line, last, sizeof last - 1), -EILSEQ);
}
END_TEST

START_TEST(test_limits_fields)
{
	struct line line;
	char many[LINE_BYTES] = "ok";
	size_t size = 2;
	for (int i = 0; i < LINE_FIELDS; i++)
		size += (size_t)snprintf(many + size, sizeof many - size, " f%d=%d", i, i);
	ck_assert_int_eq(parse(&line, many), 0);
	ck_assert_uint_eq(line.count, LINE_FIELDS);
	ck_assert_str_eq(line_text(&line, "f31"), "31");
	snprintf(many + size, sizeof many - size, " one=more");
	ck_assert_int_eq(parse(&line, many), -E2BIG);
}
END_TEST

static const struct {
	const char *text;
	int u64_error;
	uint64_t u64;
	int i64_error;
	int64_t i64;
} numbers[] = {
	{"0", 0, 0, 0, 0},
	{"42", 0, 42, 0, 42},
	{"9223372036854775807", 0, INT64_MAX, 0, INT64_MAX},
	{"9223372036854775808", 0, UINT64_C(1) << 63, -EINVAL, 0},
	{"18446744073709551615", 0, UINT64_MAX, -EINVAL, 0},
	{"18446744073709551616", -EINVAL, 0, -EINVAL, 0},
	{"99999999999999999999", -EINVAL, 0, -EINVAL, 0},
	{"-1", -EINVAL, 0, 0, -1},
	{"-9223372036854775808", -EINVAL, 0, 0, INT64_MIN},
	{"-9223372036854775809", -EINVAL, 0, -EINVAL, 0},
	{"", -EINVAL, 0, -EINVAL, 0},
	{"-", -EINVAL, 0, -EINVAL, 0},
	{"--1", -EINVAL, 0, -EINVAL, 0},
	{"+1", -EINVAL, 0, -EINVAL, 0},
	{"1s", -EINVAL, 0, -EINVAL, 0},
	{"0x10", -EINVAL, 0, -EINVAL, 0},
	{"%201", -EINVAL, 0, -EINVAL, 0},
};

START_TEST(test_reads_numbers)
{
	struct line line;
	char from[64];
	uint64_t u64 = 7;
	int64_t i64 = 7;
	snprintf(from, sizeof from, "ok n=%s", numbers[_i].text);
	ck_assert_int_eq(parse(&line, from), 0);
	ck_assert_int_eq(line_u64(&line, "n", &u64), numbers[_i].u64_error);
	ck_assert_uint_eq(u64, numbers[_i].u64_error ? 7 : numbers[_i].u64);
	ck_assert_int_eq(line_i64(&line, "n", &i64), numbers[_i].i64_error);
	ck_assert_int_eq(i64, numbers[_i].i64_error ? 7 : numbers[_i].i64);
	ck_assert_int_eq(line_u64(&line, "m", &u64), -ENOENT);
	ck_assert_int_eq(line_i64(&line, "m", &i64), -ENOENT);
}
END_TEST

START_TEST(test_writes_lines)
{
	struct buffer buffer;
	struct line_writer writer;
	buffer_init(&buffer, 1000);
	line_begin(&writer, &buffer, "granted");
	line_field(&writer, "component", "a b=%\n\x01\xc3\xa9~");
	line_field_u64(&writer, "term", UINT64_MAX);
	line_field_i64(&writer, "deadline", INT64_MIN);
	line_field(&writer, "node", "");
	ck_assert_int_eq(line_end(&writer), 0);
	line_begin(&writer, &buffer, "ok");
	ck_assert_int_eq(line_end(&writer), 0);
	const char expected[] = "granted component=a%20b%3D%25%0A%01%C3%A9~ term=18446744073709551615 "
				"deadline=-9223372036854775808 node=\nok\n";
	ck_assert_uint_eq(buffer_size(&buffer), sizeof expected - 1);
	ck_assert_mem_eq(buffer_bytes(&buffer), expected, sizeof expected - 1);
	buffer_done(&buffer);
}
END_TEST

START_TEST(test_writes_whole_lines_or_nothing)
{
	struct buffer buffer;
	struct line_writer writer;
	char value[LINE_BYTES];
	buffer_init(&buffer, 5000);
	line_begin(&writer, &buffer, "ok");
	ck_assert_int_eq(line_end(&writer), 0);

	// "ok a=" and the newline: 6 bytes.
	memset(value, 'x', sizeof value);
	value[LINE_BYTES - 6] = '\0';
	line_begin(&writer, &buffer, "ok");
	line_field(&writer, "a", value);
	ck_assert_int_eq(line_end(&writer), 0);
	ck_assert_uint_eq(buffer_size(&buffer), 3 + LINE_BYTES);
	buffer_truncate(&buffer, 3);

	value[LINE_BYTES - 6] = 'x';
	value[LINE_BYTES - 5] = '\0';
	line_begin(&writer, &buffer, "ok");
	line_field(&writer, "a", value);
	ck_assert_int_eq(line_end(&writer), -EMSGSIZE);
	ck_assert_uint_eq(buffer_size(&buffer), 3);

	line_begin(&writer, &buffer, "ok");
	line_field(&writer, "a", value);
	line_field(&writer, "b", value);
	line_field_u64(&writer, "c", 1);
	ck_assert_int_eq(line_end(&writer), -ENOBUFS);
	ck_assert_uint_eq(buffer_size(&buffer), 3);
	buffer_done(&buffer);
}
END_TEST

// Every byte but NUL comes back.
START_TEST(test_round_trip)
{
	struct buffer buffer;
	struct line_writer writer;
	struct line line;
	char all[256];
	for (int i = 0; i < 255; i++)
		all[i] = (char)(i + 1);
	all[255] = '\0';
	buffer_init(&buffer, LINE_BYTES);
	line_begin(&writer, &buffer, "ok");
	line_field(&writer, "all", all);
	ck_assert_int_eq(line_end(&writer), 0);
	size_t size = buffer_size(&buffer);
	memcpy(text, buffer_bytes(&buffer), size);
	ck_assert_ptr_eq(memchr(text, '\n', size), text + size - 1);
	ck_assert_int_eq(line_parse(&line, text, size - 1), 0);
	ck_assert_str_eq(line_text(&line, "all"), all);
	buffer_done(&buffer);
}
END_TEST

static void feed(struct line_splitter *splitter, const char *bytes, size_t size)
{
	char *room;
	ck_assert_uint_ge(line_splitter_room(splitter, &room), size);
	memcpy(room, bytes, size);
	line_splitter_commit(splitter, size);
}

START_TEST(test_splits_however_it_comes)
{
	static const char stream[] = "hello version=1\n\njoin component=engine\nlea";
	static const char *const expected[] = {"hello version=1", "", "join component=engine"};
	size_t step = (size_t)_i + 1;
	struct line_splitter *splitter = calloc(1, sizeof *splitter);
	char *line;
	size_t size, lines = 0;
	line_splitter_init(splitter);
	for (size_t at = 0; at < sizeof stream - 1; at += step) {
		size_t left = sizeof stream - 1 - at;
		feed(splitter, stream + at, left < step ? left : step);
		while (line_splitter_next(splitter, &line, &size) == 1) {
			ck_assert_uint_lt(lines, COUNT_OF(expected));
			ck_assert_str_eq(line, expected[lines]);
			ck_assert_uint_eq(size, strlen(expected[lines]));
			lines++;
		}
	}
	ck_assert_uint_eq(lines, COUNT_OF(expected));
	ck_assert_int_eq(line_splitter_next(splitter, &line, &size), 0);
	feed(splitter, "ve\n", 3);
	ck_assert_int_eq(line_splitter_next(splitter, &line, &size), 1);
	ck_assert_str_eq(line, "leave");
	free(splitter);
}
END_TEST

START_TEST(test_splitter_limits_a_line)
{
	struct line_splitter *splitter = calloc(1, sizeof *splitter);
	char longest[LINE_BYTES];
	char *line, *room;
	size_t size;
	memset(longest, 'x', sizeof longest);
	line_splitter_init(splitter);

	longest[LINE_BYTES - 1] = '\n';
	feed(splitter, "ok\n", 3);
	ck_assert_int_eq(line_splitter_next(splitter, &line, &size), 1);
	feed(splitter, longest, LINE_BYTES);
	ck_assert_int_eq(line_splitter_next(splitter, &line, &size), 1);
	ck_assert_uint_eq(size, LINE_BYTES - 1);
	ck_assert_int_eq(line_splitter_next(splitter, &line, &size), 0);

	// One byte too many, behind a line that is fine.
	longest[LINE_BYTES - 1] = 'x';
	feed(splitter, "ok\n", 3);
	feed(splitter, longest, LINE_BYTES - 3);
	ck_assert_int_eq(line_splitter_next(splitter, &line, &size), 1);
	ck_assert_str_eq(line, "ok");
	ck_assert_int_eq(line_splitter_next(splitter, &line, &size), 0);
	feed(splitter, longest, 3);
	ck_assert_int_eq(line_splitter_next(splitter, &line, &size), -EMSGSIZE);
	ck_assert_uint_eq(line_splitter_room(splitter, &room), 0);
	ck_assert_int_eq(line_splitter_next(splitter, &line, &size), -EMSGSIZE);
	free(splitter);
}
END_TEST

START_TEST(test_words_have_names)
{
	enum wire_word word;
	enum wire_code code;
	for (unsigned i = 0; i < WIRE_WORDS; i++) {
		ck_assert_int_eq(wire_word_find(wire_word_name((enum wire_word)i), &word), 0);
		ck_assert_uint_eq(word, i);
	}
	for (unsigned i = 0; i < WIRE_CODES; i++) {
		ck_assert_int_eq(wire_code_find(wire_code_name((enum wire_code)i), &code), 0);
		ck_assert_uint_eq(code, i);
	}
	ck_assert_int_eq(wire_word_find("granted!", &word), -ENOENT);
	ck_assert_int_eq(wire_code_find("", &code), -ENOENT);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("line");
	TCase *cases = tcase_create("line");
	tcase_add_test(cases, test_parses_a_line);
	tcase_add_test(cases, test_decodes_values);
	tcase_add_loop_test(cases, test_refuses_bad_lines, 0, COUNT_OF(bad_lines));
	tcase_add_test(cases, test_refuses_nul);
	tcase_add_test(cases, test_limits_fields);
	tcase_add_loop_test(cases, test_reads_numbers, 0, COUNT_OF(numbers));
	tcase_add_test(cases, test_writes_lines);
	tcase_add_test(cases, test_writes_whole_lines_or_nothing);
	tcase_add_test(cases, test_round_trip);
	tcase_add_loop_test(cases, test_splits_however_it_comes, 0, 45);
	tcase_add_test(cases, test_splitter_limits_a_line);
	tcase_add_test(cases, test_words_have_names);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
