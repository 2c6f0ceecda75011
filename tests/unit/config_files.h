// SPDX-License-Identifier: Apache-2.0
// Configuration files for a test, in a directory of its own.
#ifndef TENURE_TEST_CONFIG_FILES_H
#define TENURE_TEST_CONFIG_FILES_H

#include "config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct config_env test_env = {
	.drivers = "postgresql, mysql, sqlite, memory",
	.host = "host-a",
	.machine_id = "0123abcd",
};

static char the_test_directory[] = "/tmp/tenure-config-XXXXXX";

static inline const char *test_directory(void)
{
	return the_test_directory;
}

static inline const char *test_config_path(void)
{
	static char path[sizeof the_test_directory + 16];
	snprintf(path, sizeof path, "%s/conf", the_test_directory);
	return path;
}

static inline const char *secret_path(void)
{
	static char path[sizeof the_test_directory + 16];
	snprintf(path, sizeof path, "%s/secret", the_test_directory);
	return path;
}

static inline void make_test_directory(void)
{
	memset(strrchr(the_test_directory, '-') + 1, 'X', 6);
	ck_assert_ptr_nonnull(mkdtemp(the_test_directory));
}

static inline void remove_test_directory(void)
{
	unlink(test_config_path());
	unlink(secret_path());
	ck_assert_int_eq(rmdir(the_test_directory), 0);
}

static inline void write_file(const char *path, const char *text, size_t size)
{
	unlink(path);
	FILE *file = fopen(path, "we");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fchmod(fileno(file), 0600), 0); // it may hold a secret
	ck_assert_uint_eq(fwrite(text, 1, size, file), size);
	ck_assert_int_eq(fclose(file), 0);
}

// The configuration that the text is, for the caller to free.
static inline struct config *load_good(const char *text)
{
	struct config *config = NULL;
	struct config_errors errors = {0};
	write_file(test_config_path(), text, strlen(text));
	const int result = config_load(test_config_path(), &test_env, &config, &errors);
	ck_assert_msg(result == 0, "%s", errors.text);
	ck_assert_uint_eq(errors.count, 0);
	return config;
}

#endif
