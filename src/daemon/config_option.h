// SPDX-License-Identifier: Apache-2.0
// The table of options, and what is read from a file before it is a configuration.
#ifndef TENURE_CONFIG_OPTION_H
#define TENURE_CONFIG_OPTION_H

#include "config_value.h"

#include <sys/types.h>
#include <uthash.h>

#define CONFIG_OPTIONS_MAX 40
#define CONFIG_SECTION_BYTES (sizeof("component:") - 1 + NAME_BYTES)

// Which struct an option's field is in.
enum config_scope {
	CONFIG_TENURE,
	CONFIG_STORE,
	CONFIG_HTTP,
	CONFIG_COMPONENT,
	CONFIG_SCOPES,
};

struct config_option {
	enum config_scope scope;
	const char *key;
	const struct config_kind *kind;
	size_t offset;        // in struct config, or in struct config_component
	const char *fallback; // read like a value; where `divisor`: only what the manual says
	const char *driver;   // whose key it is, with "or" between two; NULL: any
	// Durations and numbers: what is allowed, and where the default is a part of the one at `base` in struct
	// config, which.
	int64_t low;
	int64_t high;
	size_t base;
	int64_t divisor; // 0: none
};

// The fields of one section.
static inline void *config_field(const struct config_option *option, void *fields)
{
	return (char *)fields + option->offset;
}

// "tenure", "store", "http", "component".
const char *config_scope_name(enum config_scope scope);
size_t config_option_index(const struct config_option *option);
const struct config_option *config_option_at(size_t index);
// NULL: there is none.
const struct config_option *config_option_find(enum config_scope scope, const char *key);
// For messages: what was probably meant, and what there is.
#define CONFIG_HINT_BYTES 256
void config_option_hint(enum config_scope scope, const char *key, char ret_text[static CONFIG_HINT_BYTES]);

// A section of the file that is being read; its number is its place in the file.
struct config_section {
	char name[CONFIG_SECTION_BYTES + 1];
	enum config_scope scope;
	size_t component;
	unsigned line;
	unsigned option_lines[CONFIG_OPTIONS_MAX]; // 0: not in the file
	UT_hash_handle hh;
};

struct config_load {
	const char *path;
	mode_t mode; // of the file
	const struct config_env *env;
	struct config *config;
	struct config_errors *errors;
	struct config_section *sections; // by name
};

// struct config, or the section's component in it.
void *config_section_fields(const struct config_load *load, const struct config_section *section);

// Adds an error. `section` and `key` may be NULL, `line` 0.
void config_report(const struct config_load *load, unsigned line, const char *section, const char *key,
	const char *format, ...) PRINTF_LIKE(5, 6);

// config_group.c: what a group's components leave out, they have from each other; its name has to be nobody else's, and
// they have to agree on who is to lead it.
void config_share_grace(const struct config *config, struct config_component *component);
void config_share_preference(const struct config_load *load, const struct config_section *section);
void config_check_group(const struct config_load *load, const struct config_section *section);

// Gives what is not in the file its default, and holds all of it against each other (W24).
void config_complete(const struct config_load *load);

#endif
