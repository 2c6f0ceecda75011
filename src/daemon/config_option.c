// SPDX-License-Identifier: Apache-2.0
// The table of options, and what it drives: looking up, printing, freeing.
#include "config_option.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

// Keys that differ in more are not taken for a slip of the pen.
#define SLIPS_MAX 2
#define KEY_BYTES 32

#define FIELD(member) offsetof(struct config, member)
#define COMPONENT_FIELD(member) offsetof(struct config_component, member)
#define MS(n) ((n)*NS_PER_MS)
#define MINUTES(n) ((n)*60 * NS_PER_S)
#define DAYS(n) MINUTES((n)*24 * 60)

// clang-format off
static const struct config_option options[] = {
	{CONFIG_TENURE, "node", &config_node, FIELD(node), .fallback = "%H"},
	{CONFIG_TENURE, "runtime_dir", &config_path, FIELD(runtime_dir), .fallback = "/run/tenure"},
	{CONFIG_TENURE, "socket_mode", &config_mode, FIELD(socket_mode), .fallback = "0660"},
	{CONFIG_TENURE, "socket_group", &config_group, FIELD(socket_group), .fallback = NULL},
	{CONFIG_TENURE, "admin_group", &config_group, FIELD(admin_group), .fallback = NULL},
	{CONFIG_TENURE, "log_level", &config_level, FIELD(log_level), .fallback = "info"},
	{CONFIG_TENURE, "urgent", &config_unless, FIELD(patient), .fallback = "no"},

	{CONFIG_STORE, "driver", &config_driver, FIELD(store.driver), .fallback = NULL},
	{CONFIG_STORE, "conninfo", &config_conninfo, FIELD(store.conninfo), .driver = "postgresql"},
	{CONFIG_STORE, "password_file", &config_path, FIELD(store.password_file), .driver = "postgresql or mysql"},
	{CONFIG_STORE, "schema", &config_schema, FIELD(store.schema), .driver = "postgresql or mysql"},
	{CONFIG_STORE, "path", &config_path, FIELD(store.path), .driver = "sqlite"},
	{CONFIG_STORE, "host", &config_text, FIELD(store.host), .driver = "mysql"},
	{CONFIG_STORE, "port", &config_text, FIELD(store.port), .driver = "mysql"},
	{CONFIG_STORE, "socket", &config_path, FIELD(store.socket), .driver = "mysql"},
	{CONFIG_STORE, "user", &config_text, FIELD(store.user), .driver = "mysql"},
	{CONFIG_STORE, "database", &config_text, FIELD(store.database), .driver = "mysql"},
	{CONFIG_STORE, "tls", &config_text, FIELD(store.tls), .driver = "mysql"},
	{CONFIG_STORE, "tls_ca", &config_path, FIELD(store.tls_ca), .driver = "mysql"},
	{CONFIG_STORE, "defaults_file", &config_path, FIELD(store.defaults_file), .driver = "mysql"},
	{CONFIG_STORE, "lease", &config_duration, FIELD(store.lease_ns), .fallback = "10s",
	 .low = MS(500), .high = MINUTES(10)},
	{CONFIG_STORE, "renew", &config_duration, FIELD(store.renew_ns), .fallback = "lease / 5",
	 .low = MS(10), .high = MINUTES(10), .base = FIELD(store.lease_ns), .divisor = 5},
	{CONFIG_STORE, "poll", &config_duration, FIELD(store.poll_ns), .fallback = "renew / 2",
	 .low = MS(50), .high = MINUTES(10), .base = FIELD(store.renew_ns), .divisor = 2},
	{CONFIG_STORE, "timeout", &config_duration, FIELD(store.timeout_ns), .fallback = "renew",
	 .low = MS(10), .high = MINUTES(10), .base = FIELD(store.renew_ns), .divisor = 1},
	{CONFIG_STORE, "history_count", &config_count, FIELD(store.history_count), .fallback = "1000",
	 .low = 0, .high = 1000000},
	{CONFIG_STORE, "history_age", &config_duration, FIELD(store.history_age_ns), .fallback = "30d",
	 .low = MINUTES(1), .high = DAYS(3650)},

	{CONFIG_HTTP, "listen", &config_listen, FIELD(http.listen), .fallback = NULL},

	{CONFIG_COMPONENT, "group", &config_name, COMPONENT_FIELD(group), .fallback = NULL},
	{CONFIG_COMPONENT, "stop_grace", &config_duration, COMPONENT_FIELD(stop_grace_ns), .fallback = "lease / 5",
	 .low = 0, .high = MINUTES(10), .base = FIELD(store.lease_ns), .divisor = 5},
	{CONFIG_COMPONENT, "start_timeout", &config_duration, COMPONENT_FIELD(start_timeout_ns), .fallback = "30s",
	 .low = MS(100), .high = MINUTES(60)},
	{CONFIG_COMPONENT, "cooldown", &config_duration, COMPONENT_FIELD(cooldown_ns), .fallback = "5s",
	 .low = 0, .high = MINUTES(60)},
	{CONFIG_COMPONENT, "candidate", &config_unless, COMPONENT_FIELD(observes), .fallback = "yes"},
	{CONFIG_COMPONENT, "priority", &config_number, COMPONENT_FIELD(priority), .fallback = "0",
	 .low = -1000000, .high = 1000000},
	{CONFIG_COMPONENT, "prefer_after", &config_duration, COMPONENT_FIELD(prefer_after_ns), .fallback = "0s",
	 .low = 0, .high = DAYS(1)},
	{CONFIG_COMPONENT, "users", &config_users, COMPONENT_FIELD(users), .fallback = NULL},
	{CONFIG_COMPONENT, "groups", &config_groups, COMPONENT_FIELD(groups), .fallback = NULL},
};
// clang-format on

_Static_assert(COUNT_OF(options) <= CONFIG_OPTIONS_MAX, "CONFIG_OPTIONS_MAX is too small for the table");

const char *config_scope_name(enum config_scope scope)
{
	static const char *const names[] = {
		[CONFIG_TENURE] = "tenure",
		[CONFIG_STORE] = "store",
		[CONFIG_HTTP] = "http",
		[CONFIG_COMPONENT] = "component",
	};
	assert((size_t)scope < COUNT_OF(names));
	return names[scope];
}

size_t config_option_count(void)
{
	return COUNT_OF(options);
}

const struct config_option *config_option_at(size_t index)
{
	return &options[index];
}

size_t config_option_index(const struct config_option *option)
{
	return (size_t)(option - options);
}

struct config_option_info config_option_info(size_t index)
{
	const struct config_option *option = &options[index];
	return (struct config_option_info){
		.section = config_scope_name(option->scope),
		.key = option->key,
		.fallback = option->fallback,
	};
}

const struct config_option *config_option_find(enum config_scope scope, const char *key)
{
	for (size_t i = 0; i < COUNT_OF(options); i++) {
		if (options[i].scope == scope && strcmp(options[i].key, key) == 0)
			return &options[i];
	}
	return NULL;
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

// How many bytes have to be put in, left out or replaced to make one of the other.
static size_t distance(const char *from, const char *to)
{
	size_t row[KEY_BYTES + 1];
	const size_t width = strlen(to);
	if (width > KEY_BYTES || strlen(from) > KEY_BYTES)
		return SIZE_MAX;
	for (size_t j = 0; j <= width; j++)
		row[j] = j;
	for (size_t i = 1; from[i - 1] != '\0'; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= width; j++) {
			const size_t replaced = diagonal + (from[i - 1] != to[j - 1]);
			diagonal = row[j];
			row[j] = least(replaced, least(row[j], row[j - 1]) + 1);
		}
	}
	return row[width];
}

static const char *closest(enum config_scope scope, const char *key)
{
	const char *found = NULL;
	size_t smallest = SLIPS_MAX;
	for (size_t i = 0; i < COUNT_OF(options); i++) {
		const size_t slips = options[i].scope == scope ? distance(key, options[i].key) : SIZE_MAX;
		if (slips > smallest)
			continue;
		smallest = slips;
		found = options[i].key;
	}
	return found;
}

void config_option_hint(enum config_scope scope, const char *key, char ret_text[static CONFIG_HINT_BYTES])
{
	size_t used = 0;
	const char *meant = closest(scope, key);
	if (meant != NULL)
		used = (size_t)snprintf(ret_text, CONFIG_HINT_BYTES, "did you mean %s? ", meant);
	used += (size_t)snprintf(ret_text + used, CONFIG_HINT_BYTES - used, "allowed here:");
	const char *separator = " ";
	for (size_t i = 0; i < COUNT_OF(options); i++) {
		if (options[i].scope != scope || used >= CONFIG_HINT_BYTES)
			continue;
		used += (size_t)snprintf(ret_text + used, CONFIG_HINT_BYTES - used, "%s%s", separator, options[i].key);
		separator = ", ";
	}
}

// ---- printing ----

// Bare values end where " ;" begins a comment, and lose their blanks at both ends.
static bool wants_quotes(const char *text)
{
	if (*text == '\0' || strchr("\"; \t", *text) != NULL || strchr(" \t", text[strlen(text) - 1]) != NULL)
		return true;
	return strstr(text, " ;") != NULL || strstr(text, "\t;") != NULL;
}

static void print_value(const char *text, FILE *stream)
{
	if (!wants_quotes(text)) {
		fputs(text, stream);
		return;
	}
	fputc('"', stream);
	for (; *text != '\0'; text++)
		fputs(*text == '"' ? "\"\"" : (const char[]){*text, '\0'}, stream);
	fputc('"', stream);
}

static int print_fields(enum config_scope scope, const void *fields, FILE *stream)
{
	for (size_t i = 0; i < COUNT_OF(options); i++) {
		char *text;
		if (options[i].scope != scope)
			continue;
		const int result = options[i].kind->print((const char *)fields + options[i].offset, &text);
		if (result < 0)
			return result;
		if (text == NULL)
			continue;
		fprintf(stream, "%s = ", options[i].key);
		print_value(text, stream);
		fputc('\n', stream);
		free(text);
	}
	return 0;
}

int config_dump(const struct config *config, FILE *stream)
{
	fputs("[tenure]\n", stream);
	int result = print_fields(CONFIG_TENURE, config, stream);
	fputs("\n[store]\n", stream);
	if (result == 0)
		result = print_fields(CONFIG_STORE, config, stream);
	if (config->http.listen != NULL)
		fputs("\n[http]\n", stream);
	if (result == 0)
		result = print_fields(CONFIG_HTTP, config, stream);
	for (size_t i = 0; i < config->component_count && result == 0; i++) {
		fprintf(stream, "\n[component:%s]\n", config->components[i].name);
		result = print_fields(CONFIG_COMPONENT, &config->components[i], stream);
	}
	if (result == 0 && (fflush(stream) != 0 || ferror(stream)))
		result = -EIO;
	return result;
}

// ---- freeing ----

static void clear_fields(enum config_scope scope, void *fields)
{
	for (size_t i = 0; i < COUNT_OF(options); i++) {
		if (options[i].scope == scope && options[i].kind->clear != NULL)
			options[i].kind->clear(config_field(&options[i], fields));
	}
}

void config_component_done(struct config_component *component)
{
	clear_fields(CONFIG_COMPONENT, component);
	free(component->name);
	*component = (struct config_component){0};
}

void config_free(struct config *config)
{
	if (config == NULL)
		return;
	for (size_t i = 0; i < config->component_count; i++)
		config_component_done(&config->components[i]);
	free(config->components);
	clear_fields(CONFIG_TENURE, config);
	clear_fields(CONFIG_STORE, config);
	clear_fields(CONFIG_HTTP, config);
	if (config->store.password != NULL)
		explicit_bzero(config->store.password, strlen(config->store.password));
	free(config->store.password);
	free(config);
}
