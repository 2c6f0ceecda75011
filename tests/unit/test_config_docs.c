// SPDX-License-Identifier: Apache-2.0
// The sample files and the manual page say what the table of options says, and no more. Runs in the tree's top.
#include "config.h"
#include "config_files.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SAMPLE "conf/tenured.conf"
#define MANUAL "man/tenured.conf.5"
#define LINE_BYTES 512
#define OPTIONS_MAX 64

// An option as a document has it.
struct entry {
	char section[LINE_BYTES];
	char key[LINE_BYTES];
	char value[LINE_BYTES]; // the default in the manual; empty: none
	bool active;            // in the sample: not commented out
};

static struct entry entries[OPTIONS_MAX];
static size_t entry_count;

static struct entry *find_entry(const char *section, const char *key)
{
	for (size_t i = 0; i < entry_count; i++) {
		if (strcmp(entries[i].section, section) == 0 && strcmp(entries[i].key, key) == 0)
			return &entries[i];
	}
	return NULL;
}

static struct entry *add_entry(const char *section, const char *key)
{
	ck_assert_msg(find_entry(section, key) == NULL, "[%s] %s is there twice", section, key);
	ck_assert_uint_lt(entry_count, OPTIONS_MAX);
	struct entry *entry = &entries[entry_count++];
	*entry = (struct entry){0};
	snprintf(entry->section, sizeof entry->section, "%s", section);
	snprintf(entry->key, sizeof entry->key, "%s", key);
	return entry;
}

// "component" for "component:discovery" and "component:NAME".
static void take_section(char *section, const char *text)
{
	snprintf(section, LINE_BYTES, "%.*s", (int)strcspn(text, ":]\n"), text);
}

static void read_sample(void)
{
	char line[LINE_BYTES], section[LINE_BYTES] = "", key[LINE_BYTES];
	FILE *file = fopen(SAMPLE, "re");
	ck_assert_msg(file != NULL, SAMPLE " is not here");
	entry_count = 0;
	while (fgets(line, sizeof line, file) != NULL) {
		const char *start = line[0] == ';' ? line + 1 : line;
		int value = 0;
		if (line[0] == '[')
			take_section(section, line + 1);
		if (sscanf(start, "%511[a-z_] = %n", key, &value) != 1 || value == 0)
			continue;
		struct entry *entry = add_entry(section, key);
		entry->active = start == line;
		snprintf(entry->value, sizeof entry->value, "%.*s", (int)strcspn(start + value, "\n"), start + value);
	}
	fclose(file);
}

static void read_manual(void)
{
	char line[LINE_BYTES], section[LINE_BYTES] = "", key[LINE_BYTES];
	struct entry *entry = NULL;
	bool default_next = false;
	FILE *file = fopen(MANUAL, "re");
	ck_assert_msg(file != NULL, MANUAL " is not here");
	entry_count = 0;
	while (fgets(line, sizeof line, file) != NULL) {
		if (strncmp(line, ".Ss Section ", strlen(".Ss Section ")) == 0)
			take_section(section, line + strlen(".Ss Section "));
		else if (sscanf(line, ".It Cm %511[a-z_]", key) == 1)
			entry = add_entry(section, key);
		else if (default_next)
			ck_assert_int_eq(sscanf(line, ".Ql %511[^.,\n]", entry->value), 1);
		default_next = strcmp(line, "Default:\n") == 0;
	}
	fclose(file);
}

static void check_both_ways(const char *document)
{
	for (size_t i = 0; i < config_option_count(); i++) {
		const struct config_option_info info = config_option_info(i);
		ck_assert_msg(find_entry(info.section, info.key) != NULL, "%s lacks [%s] %s", document, info.section,
			info.key);
	}
	// As many, each once, and all of the table's: no others.
	ck_assert_msg(entry_count == config_option_count(), "%s has keys that the table lacks", document);
}

START_TEST(the_manual_has_every_key_and_no_other)
{
	read_manual();
	check_both_ways(MANUAL);
}
END_TEST

START_TEST(the_manual_has_every_default)
{
	read_manual();
	for (size_t i = 0; i < config_option_count(); i++) {
		const struct config_option_info info = config_option_info(i);
		const struct entry *entry = find_entry(info.section, info.key);
		ck_assert_ptr_nonnull(entry);
		char *value = strdup(entry->value);
		value[strcspn(value, "\n")] = '\0';
		size_t length = strlen(value);
		while (length > 0 && value[length - 1] == ' ')
			value[--length] = '\0';
		ck_assert_msg(strcmp(value, info.fallback != NULL ? info.fallback : "") == 0, "[%s] %s: %s",
			info.section, info.key, value);
		free(value);
	}
}
END_TEST

START_TEST(the_sample_has_every_key_and_no_other)
{
	read_sample();
	check_both_ways(SAMPLE);
}
END_TEST

static struct config *load_file(const char *path)
{
	struct config *config = NULL;
	struct config_errors errors = {0};
	ck_assert_msg(config_load(path, &test_env, &config, &errors) == 0, "%s", errors.text);
	return config;
}

static void expect_value(const char *dump, const char *key, const char *value)
{
	char line[2 * LINE_BYTES];
	snprintf(line, sizeof line, "\n%s = %s\n", key, value);
	ck_assert_msg(strstr(dump, line) != NULL, SAMPLE ":%sis not the default:\n%s", line, dump);
}

// What the sample shows behind ";" is what a file without the line comes to.
START_TEST(the_sample_shows_the_defaults)
{
	char *dump;
	size_t size;
	struct config *config = load_file(SAMPLE);
	FILE *stream = open_memstream(&dump, &size);
	ck_assert_int_eq(config_dump(config, stream), 0);
	fclose(stream);
	read_sample();
	for (size_t i = 0; i < config_option_count(); i++) {
		const struct config_option_info info = config_option_info(i);
		const struct entry *entry = find_entry(info.section, info.key);
		if (info.fallback == NULL)
			continue;
		ck_assert(!entry->active);
		expect_value(dump, info.key, strcmp(entry->value, "%H") == 0 ? test_env.host : entry->value);
	}
	free(dump);
	config_free(config);
}
END_TEST

// R17: the three components are configuration.
START_TEST(the_samples_load)
{
	static const char *const names[] = {"discovery", "engine", "counter"};
	static const char *const paths[] = {SAMPLE, "conf/sqlite.conf", "conf/postgresql.conf", "conf/mysql.conf"};
	setenv("CREDENTIALS_DIRECTORY", test_directory(), 1);
	char path[LINE_BYTES];
	snprintf(path, sizeof path, "%s/db-password", test_directory());
	write_file(path, "x\n", 2);
	ck_assert_int_eq(chmod(path, 0600), 0);
	for (size_t i = 0; i < COUNT_OF(paths); i++) {
		struct config *config = load_file(paths[i]);
		ck_assert_uint_eq(config->component_count, COUNT_OF(names));
		for (size_t j = 0; j < COUNT_OF(names); j++)
			ck_assert_str_eq(config->components[j].name, names[j]);
		config_free(config);
	}
	unlink(path);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("config-docs");
	TCase *tests = tcase_create("config-docs");
	tcase_add_checked_fixture(tests, make_test_directory, remove_test_directory);
	tcase_add_test(tests, the_manual_has_every_key_and_no_other);
	tcase_add_test(tests, the_manual_has_every_default);
	tcase_add_test(tests, the_sample_has_every_key_and_no_other);
	tcase_add_test(tests, the_sample_shows_the_defaults);
	tcase_add_test(tests, the_samples_load);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
