// SPDX-License-Identifier: Apache-2.0
// How tenurectl writes tables, JSON, times and candidates, and when it does so in colour.
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "args.h"
#include "screen.h"
#include "show.h"
#include "table.h"

#define LINE_SIZE 1024

static char text[LINE_SIZE];

START_TEST(test_durations)
{
	static const struct {
		int64_t ms;
		const char *text;
	} durations[] = {{0, "0.0s"}, {99, "0.0s"}, {100, "0.1s"}, {59999, "59.9s"}, {60000, "1m 00s"},
		{3599999, "59m 59s"}, {3600000, "1h 00m"}, {48 * 3600000 - 1, "47h 59m"}, {48 * 3600000, "2d 00h"},
		{INT64_MAX, "106751991167d 07h"}};
	for (size_t i = 0; i < COUNT_OF(durations); i++) {
		show_duration(text, durations[i].ms);
		ck_assert_str_eq(text, durations[i].text);
	}
}
END_TEST

START_TEST(test_dates)
{
	show_date(text, 0);
	ck_assert_str_eq(text, "1970-01-01T00:00:00.000Z");
	show_date(text, INT64_C(1769860800123));
	ck_assert_str_eq(text, "2026-01-31T12:00:00.123Z");
}
END_TEST

START_TEST(test_plain)
{
	char said[] = "a\033[2J\nb\177\xc3\xa9~";
	show_plainly(said);
	ck_assert_str_eq(said, "a [2J b \xc3\xa9~");
}
END_TEST

#define LONGEST "a234567890b234567890c234567890d234567890e234567890f234567890g234"
#define HUGE_LIST "x234567890x234567890x234567890x234567890x234567890x234567890x234567890x234567890x234567890x2345678"

static const struct {
	const char *list;
	const char *text;
	const char *json;
} lists[] = {
	{"", "-", "[]"},
	{"b:400:0", "b 0.4s", "[{\"node\":\"b\",\"seen_ms\":400,\"priority\":0}]"},
	{"b:400:0,c:1200:-7", "b 0.4s, c 1.2s",
		"[{\"node\":\"b\",\"seen_ms\":400,\"priority\":0},{\"node\":\"c\",\"seen_ms\":1200,\"priority\":-7}]"},
	// A node's name may hold colons.
	{"b:1:2:400:3", "b:1:2 0.4s", "[{\"node\":\"b:1:2\",\"seen_ms\":400,\"priority\":3}]"},
	{LONGEST ":90000:1000000", LONGEST " 1m 30s",
		"[{\"node\":\"" LONGEST "\",\"seen_ms\":90000,\"priority\":1000000}]"},
	// What is none is passed over.
	{",,b:1:0,", "b 0.0s", "[{\"node\":\"b\",\"seen_ms\":1,\"priority\":0}]"},
	{"b", "-", "[]"},
	{"b:1", "-", "[]"},
	{":1:1", "-", "[]"},
	{"b::1", "-", "[]"},
	{"b:1:", "-", "[]"},
	{"b:-1:0", "-", "[]"},
	{"b:1s:0", "-", "[]"},
	{"b:1:99999999999999999999", "-", "[]"},
	{"b\"c:1:0", "-", "[]"},
	{LONGEST "x:1:0", "-", "[]"},
	{HUGE_LIST HUGE_LIST ":1:0,c:2:0", "c 0.0s", "[{\"node\":\"c\",\"seen_ms\":2,\"priority\":0}]"},
};

START_TEST(test_candidates)
{
	char *said = candidates_text(lists[_i].list), *json = candidates_json(lists[_i].list);
	ck_assert_str_eq(said, lists[_i].text);
	ck_assert_str_eq(json, lists[_i].json);
	free(said);
	free(json);
}
END_TEST

static const struct {
	const char *term; // NULL: not set
	const char *no_color;
	const char *option;
	bool colors;
} colors[] = {
	{"xterm", NULL, "auto", false}, // standard output is no terminal here; see tests/system/test_terminal.py
	{"xterm", NULL, "always", true},
	{"dumb", "1", "always", true},
	{NULL, NULL, NULL, true},
	{"xterm", NULL, "never", false},
};

START_TEST(test_colors)
{
	enum ctl_color color = CTL_COLOR_AUTO;
	unsetenv("TERM");
	unsetenv("NO_COLOR");
	if (colors[_i].term)
		setenv("TERM", colors[_i].term, true);
	if (colors[_i].no_color)
		setenv("NO_COLOR", colors[_i].no_color, true);
	ck_assert_int_eq(args_color(colors[_i].option, &color), 0);
	int out = dup(STDOUT_FILENO), ends[2];
	ck_assert_int_eq(pipe(ends), 0);
	dup2(ends[1], STDOUT_FILENO);
	bool found = screen_has_colors(color);
	size_t width = screen_width();
	dup2(out, STDOUT_FILENO);
	close(out);
	close(ends[0]);
	close(ends[1]);
	ck_assert_int_eq(found, colors[_i].colors);
	ck_assert_uint_eq(width, 0);
	ck_assert_int_eq(args_color("Always", &color), -EINVAL);
	ck_assert_int_eq(args_color("", &color), -EINVAL);
}
END_TEST

static const struct table_column columns[] = {
	{"component", "COMPONENT", TABLE_TEXT, TABLE_CUT},
	{"term", "TERM", TABLE_NUMBER, 0},
	{"from_ms", "FROM", TABLE_DATE, 0},
	{"group", "GROUP", TABLE_TEXT, TABLE_OPTIONAL},
	{"secret", NULL, TABLE_NUMBER, 0},
	{"reason", "REASON", TABLE_TEXT, TABLE_CUT},
};

static struct table *new_table(enum ctl_format format, bool colored)
{
	struct table *table;
	struct table_setup setup = {"terms", columns, COUNT_OF(columns), format, colored};
	ck_assert_int_eq(table_new(&table, &setup), 0);
	return table;
}

static void add(struct table *table, const char *said, const char *color)
{
	char copy[LINE_SIZE];
	struct line line;
	snprintf(copy, sizeof copy, "%s", said);
	ck_assert_int_eq(line_parse(&line, copy, strlen(copy)), 0);
	ck_assert_int_eq(table_add(table, &line, color), 0);
}

static const char *print(struct table *table, size_t width)
{
	FILE *out = fmemopen(text, sizeof text, "w");
	ck_assert_ptr_nonnull(out);
	ck_assert_int_eq(table_print(table, out, width), 0);
	fclose(out);
	return text;
}

START_TEST(test_table)
{
	struct table *table = new_table(CTL_TEXT, true);
	add(table, "past component=engine term=42 from_ms=1769860800123 reason=lost", NULL);
	add(table, "past component=a-longer-one term=x", "red");
	ck_assert_str_eq(print(table, 0), "COMPONENT    TERM                     FROM REASON\n"
					  "engine         42 2026-01-31T12:00:00.123Z lost\n"
					  "\033[31ma-longer-one    0                        - -\033[0m\n");
	add(table, "past component=engine term=7 group=crew reason=transferred", NULL);
	ck_assert_str_eq(print(table, 0), "COMPONENT    TERM                     FROM GROUP REASON\n"
					  "engine         42 2026-01-31T12:00:00.123Z -     lost\n"
					  "\033[31ma-longer-one    0                        - -     -\033[0m\n"
					  "engine          7                        - crew  transferred\n");
	table_free(table);
	table_free(NULL);
}
END_TEST

// From the whole down to what a column needs, and then without those that find no room.
START_TEST(test_widths)
{
	struct table *table = new_table(CTL_TEXT, false);
	add(table, "past component=a-longer-one term=42 reason=one-that-is-longer-still", NULL);
	static const struct {
		size_t width;
		const char *text;
	} widths[] = {
		{80, "COMPONENT    TERM FROM REASON\na-longer-one   42    - one-that-is-longer-still\n"},
		{40, "COMPONENT    TERM FROM REASON\na-longer-one   42    - one-that-is-longe\n"},
		{36, "COMPONENT    TERM FROM REASON\na-longer-one   42    - one-that-is-l\n"},
		{33, "COMPONENT   TERM FROM REASON\na-longer-on   42    - one-that-is\n"},
		{26, "COMPONENT TERM FROM REASON\na-longer-   42    - one-th\n"},
		{25, "COMPONENT    TERM FROM\na-longer-one   42    -\n"},
		{5, "COMPONENT\na-longer-\n"},
	};
	for (size_t i = 0; i < COUNT_OF(widths); i++)
		ck_assert_str_eq(print(table, widths[i].width), widths[i].text);
	table_free(table);
}
END_TEST

START_TEST(test_json)
{
	struct table *table = new_table(CTL_JSON, true);
	add(table, "past component=engine term=42 from_ms=1769860800123 secret=7", "red");
	ck_assert_str_eq(print(table, 0), "{\n   \"terms\": [\n      {\n"
					  "         \"component\": \"engine\",\n"
					  "         \"term\": 42,\n"
					  "         \"from_ms\": 1769860800123,\n"
					  "         \"group\": null,\n"
					  "         \"secret\": 7,\n"
					  "         \"reason\": null\n"
					  "      }\n   ]\n}\n");
	table_free(table);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("table");
	TCase *cases = tcase_create("table");
	tcase_add_test(cases, test_durations);
	tcase_add_test(cases, test_dates);
	tcase_add_test(cases, test_plain);
	tcase_add_loop_test(cases, test_candidates, 0, COUNT_OF(lists));
	tcase_add_loop_test(cases, test_colors, 0, COUNT_OF(colors));
	tcase_add_test(cases, test_table);
	tcase_add_test(cases, test_widths);
	tcase_add_test(cases, test_json);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
