// SPDX-License-Identifier: Apache-2.0
// The command line of tenured: what each option means, and what is wrong usage.
#include "config.h"
#include "options.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>

#define WORDS_MAX 6

struct line {
	const char *words[WORDS_MAX];
	enum options_action action;
	const char *path;
	const char *complaint; // NULL: none
};

static const struct line lines[] = {
	{{NULL}, OPTIONS_RUN, CONFIG_DEFAULT_PATH, NULL},
	{{"-c", "/x", NULL}, OPTIONS_RUN, "/x", NULL},
	{{"-c/x", NULL}, OPTIONS_RUN, "/x", NULL},
	{{"--config=/x", NULL}, OPTIONS_RUN, "/x", NULL},
	{{"--check", "-c", "/x", NULL}, OPTIONS_CHECK, "/x", NULL},
	{{"-c", "/x", "--dump", NULL}, OPTIONS_DUMP, "/x", NULL},
	{{"--version", NULL}, OPTIONS_VERSION, CONFIG_DEFAULT_PATH, NULL},
	{{"-V", NULL}, OPTIONS_VERSION, CONFIG_DEFAULT_PATH, NULL},
	{{"--help", NULL}, OPTIONS_HELP, CONFIG_DEFAULT_PATH, NULL},
	{{"-h", NULL}, OPTIONS_HELP, CONFIG_DEFAULT_PATH, NULL},
	{{"--init-schema", NULL}, OPTIONS_INIT_SCHEMA, CONFIG_DEFAULT_PATH, NULL},
	{{"--init-schema", "--print", "-c", "/x", NULL}, OPTIONS_PRINT_SCHEMA, "/x", NULL},
	{{"--print", "--init-schema", NULL}, OPTIONS_PRINT_SCHEMA, CONFIG_DEFAULT_PATH, NULL},

	{{"-c", NULL}, OPTIONS_RUN, NULL, "no FILE after -c"},
	{{"--config", NULL}, OPTIONS_RUN, NULL, "no FILE after"},
	{{"--wrong", NULL}, OPTIONS_RUN, NULL, "--wrong"},
	{{"--check=1", NULL}, OPTIONS_RUN, NULL, "--check=1"},
	{{"-x", NULL}, OPTIONS_RUN, NULL, "-x"},
	{{"-Vx", NULL}, OPTIONS_RUN, NULL, "-x"},
	{{"/etc/tenure.conf", NULL}, OPTIONS_RUN, NULL, "no arguments, there is /etc/tenure.conf"},
	{{"--check", "x", NULL}, OPTIONS_RUN, NULL, "no arguments, there is x"},
	{{"--check", "--dump", NULL}, OPTIONS_RUN, NULL, "only one of"},
	{{"--print", NULL}, OPTIONS_RUN, NULL, "goes with --init-schema"},
	{{"--check", "--print", NULL}, OPTIONS_RUN, NULL, "goes with --init-schema"},
};

START_TEST(a_command_line_is_understood_or_refused)
{
	const struct line *line = &lines[_i];
	char *argv[WORDS_MAX + 2] = {strdup("tenured")};
	int argc = 1;
	for (; line->words[argc - 1] != NULL; argc++)
		argv[argc] = strdup(line->words[argc - 1]);

	char *complaint;
	size_t size;
	struct options options = {.config_path = "untouched"};
	FILE *stream = open_memstream(&complaint, &size);
	const int result = options_parse(argc, argv, stream, &options);
	fclose(stream);
	if (line->complaint == NULL) {
		ck_assert_int_eq(result, 0);
		ck_assert_int_eq(options.action, line->action);
		ck_assert_str_eq(options.config_path, line->path);
		ck_assert_str_eq(complaint, "");
	} else {
		ck_assert_int_eq(result, -EINVAL);
		ck_assert_str_eq(options.config_path, "untouched");
		ck_assert_msg(strstr(complaint, line->complaint) != NULL, "%s", complaint);
		ck_assert_ptr_eq(strchr(complaint, '\n'), complaint + size - 1);
	}
	free(complaint);
	for (int i = 0; i < argc; i++)
		free(argv[i]);
}
END_TEST

START_TEST(the_help_names_every_public_option)
{
	static const char *const names[] = {"-c", "--config", "--check", "--dump", "--version", "--help"};
	char *text;
	size_t size;
	FILE *stream = open_memstream(&text, &size);
	options_print_help(stream);
	options_print_version(stream);
	fclose(stream);
	for (size_t i = 0; i < COUNT_OF(names); i++)
		ck_assert_ptr_nonnull(strstr(text, names[i]));
	ck_assert_ptr_null(strstr(text, "--init-schema"));
	ck_assert_ptr_nonnull(strstr(text, "\ntenured " TENURE_VERSION "\n"));
	free(text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("options");
	TCase *tests = tcase_create("options");
	tcase_add_loop_test(tests, a_command_line_is_understood_or_refused, 0, COUNT_OF(lines));
	tcase_add_test(tests, the_help_names_every_public_option);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
