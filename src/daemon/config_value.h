// SPDX-License-Identifier: Apache-2.0
// The kinds of values a configuration has: how each is read and printed.
#ifndef TENURE_CONFIG_VALUE_H
#define TENURE_CONFIG_VALUE_H

#include "config.h"

#define CONFIG_WHY_BYTES 256

struct config_kind {
	// Reads `text` into the field: 0, or -errno and in `why` what is wrong and what is allowed. The field must
	// have been zero.
	int (*parse)(const char *text, const struct config_env *env, void *field, char why[static CONFIG_WHY_BYTES]);
	// The field as text that parse() reads, for the caller to free, without secrets. 0 with NULL where it is not
	// set, or -errno.
	int (*print)(const void *field, char **ret_text);
	void (*clear)(void *field); // NULL: it owns nothing
	size_t size;                // of the field
};

extern const struct config_kind config_name;
extern const struct config_kind config_node;     // char *
extern const struct config_kind config_path;     // char *
extern const struct config_kind config_group;    // char *
extern const struct config_kind config_mode;     // mode_t
extern const struct config_kind config_level;    // enum log_level
extern const struct config_kind config_driver;   // char *
extern const struct config_kind config_conninfo; // char *
extern const struct config_kind config_schema;   // char *
extern const struct config_kind config_text;     // char *
extern const struct config_kind config_listen;   // char *
extern const struct config_kind config_duration; // int64_t
extern const struct config_kind config_count;    // int64_t
extern const struct config_kind config_number;   // int32_t
extern const struct config_kind config_unless;   // bool: true for no
extern const struct config_kind config_users;    // struct config_ids
extern const struct config_kind config_groups;   // struct config_ids

// The id of a group that is named or numbered; 0 or -ENOENT.
int config_find_group(const char *text, gid_t *ret) MUST_CHECK;

// Whether the field is within the limits, where its kind has any; else what they are.
bool config_in_range(const struct config_kind *kind, const void *field, int64_t low, int64_t high,
	char ret_limits[static CONFIG_WHY_BYTES]);

// 0 or -EINVAL. A bare number is refused.
int config_parse_duration(const char *text, int64_t *ret_ns, char why[static CONFIG_WHY_BYTES]) MUST_CHECK;
// In the largest unit that says it exactly; `ns` is a whole number of milliseconds.
#define CONFIG_DURATION_SIZE 24
void config_format_duration(int64_t ns, char ret_text[static CONFIG_DURATION_SIZE]);

// Writes a PostgreSQL connection string to `redacted`, unless that is NULL, with *** in the place of secrets. 1 where
// there are any, 0, or -EINVAL and why; that text names no part of the string.
int config_redact_conninfo(const char *text, FILE *redacted, char why[static CONFIG_WHY_BYTES]) MUST_CHECK;

// Reads a password from a file that nobody else can read. 0, or -errno and why.
int config_read_password(const char *path, char **ret, char why[static CONFIG_WHY_BYTES]) MUST_CHECK;

// 0, or negative where the option file of MySQL's client cannot be read, or holds a password and others can read it.
int config_check_defaults_file(const char *path, char why[static CONFIG_WHY_BYTES]) MUST_CHECK;

#endif
