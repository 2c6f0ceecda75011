// SPDX-License-Identifier: Apache-2.0
// What a file leaves out, and what has to hold between its values (W24).
#include "config_option.h"
#include "words.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <sys/un.h>

// How many attempts at a renewal have to fit before the worker is told to stop (W9).
#define ATTEMPTS 3

static const struct config_section *find(const struct config_load *load, const char *name)
{
	const struct config_section *section;
	HASH_FIND_STR(load->sections, name, section);
	return section;
}

static unsigned line_of(const struct config_section *section, const char *key)
{
	if (section == NULL)
		return 0;
	const struct config_option *option = config_option_find(section->scope, key);
	const unsigned line = section->option_lines[config_option_index(option)];
	return line != 0 ? line : section->line;
}

// ---- defaults ----

// In whole milliseconds, so that it can be dumped exactly.
static int64_t share(const struct config *config, const struct config_option *option)
{
	const int64_t base = *(const int64_t *)((const char *)config + option->base);
	const int64_t part = base / option->divisor / NS_PER_MS * NS_PER_MS;
	return part > option->low ? part : option->low;
}

static void set_default(const struct config_load *load, const struct config_option *option, void *fields, unsigned line,
	const char *section)
{
	void *field = config_field(option, fields);
	if (option->divisor != 0) {
		*(int64_t *)field = share(load->config, option);
		return;
	}
	if (option->fallback == NULL)
		return;
	char why[CONFIG_WHY_BYTES];
	if (option->kind->parse(option->fallback, load->env, field, why) < 0)
		config_report(load, line, section, option->key, "is not there, and its default %s does not do: %s",
			option->fallback, why);
}

static void set_defaults(
	const struct config_load *load, enum config_scope scope, const struct config_section *section, void *fields)
{
	for (size_t i = 0; i < config_option_count(); i++) {
		const struct config_option *option = config_option_at(i);
		if (option->scope != scope || (section != NULL && section->option_lines[i] != 0))
			continue;
		set_default(load, option, fields, section != NULL ? section->line : 0, config_scope_name(scope));
	}
}

static size_t stop_grace_index(void)
{
	return config_option_index(config_option_find(CONFIG_COMPONENT, "stop_grace"));
}

static void set_all_defaults(const struct config_load *load)
{
	set_defaults(load, CONFIG_TENURE, find(load, "tenure"), load->config);
	set_defaults(load, CONFIG_STORE, find(load, "store"), load->config);
	set_defaults(load, CONFIG_HTTP, find(load, "http"), load->config);
	for (const struct config_section *section = load->sections; section != NULL; section = section->hh.next) {
		if (section->scope == CONFIG_COMPONENT)
			set_defaults(load, CONFIG_COMPONENT, section, config_section_fields(load, section));
	}
	for (const struct config_section *section = load->sections; section != NULL; section = section->hh.next) {
		if (section->scope == CONFIG_COMPONENT && section->option_lines[stop_grace_index()] == 0)
			config_share_grace(load->config, config_section_fields(load, section));
		if (section->scope == CONFIG_COMPONENT)
			config_share_preference(load, section);
	}
}

// ---- [tenure] ----

// Looked up again, for the id: the group may be gone by now.
static gid_t find_group(const struct config_load *load, const char *key, const char *name)
{
	gid_t gid = (gid_t)-1;
	if (name != NULL && config_find_group(name, &gid) < 0)
		config_report(
			load, line_of(find(load, "tenure"), key), "tenure", key, "the group is gone; an existing one");
	return gid;
}

static void check_tenure(const struct config_load *load)
{
	struct config *config = load->config;
	const struct config_section *section = find(load, "tenure");
	const size_t longest = sizeof((struct sockaddr_un *)NULL)->sun_path - sizeof "/" WIRE_SOCKET_NAME;
	config->socket_gid = find_group(load, "socket_group", config->socket_group);
	config->admin_gid = find_group(load, "admin_group", config->admin_group);
	if (config->runtime_dir != NULL && strlen(config->runtime_dir) > longest)
		config_report(load, line_of(section, "runtime_dir"), "tenure", "runtime_dir",
			"too long for the socket's path in it; at most %zu bytes", longest);
}

// ---- [store] ----

static void check_drivers_keys(const struct config_load *load, const struct config_section *section)
{
	const char *driver = load->config->store.driver;
	for (size_t i = 0; i < config_option_count(); i++) {
		const struct config_option *option = config_option_at(i);
		if (section->option_lines[i] == 0 || option->driver == NULL || strstr(option->driver, driver) != NULL)
			continue;
		config_report(load, section->option_lines[i], "store", option->key,
			"is a key of driver %s, but driver = %s; leave one of them out", option->driver, driver);
	}
}

static void require(const struct config_load *load, const struct config_section *section, const char *driver,
	const char *key, const char *value, const char *example)
{
	if (value != NULL || strcmp(load->config->store.driver, driver) != 0)
		return;
	// An error in the value itself was reported already.
	if (section->option_lines[config_option_index(config_option_find(CONFIG_STORE, key))] == 0)
		config_report(load, line_of(section, "driver"), "store", key,
			"is missing; driver %s needs one, such as %s", driver, example);
}

// S7: a file that holds a secret is for its owner, and at most a group.
static void check_password(const struct config_load *load, const struct config_section *section)
{
	struct config_store *store = &load->config->store;
	char why[CONFIG_WHY_BYTES];
	const bool in_conninfo = store->conninfo != NULL && config_redact_conninfo(store->conninfo, NULL, why) == 1;
	if (in_conninfo && (load->mode & S_IRWXO) != 0)
		config_report(load, line_of(section, "conninfo"), "store", "conninfo",
			"holds a password, and mode %04o lets others at this file; chmod o-rwx it, or put the password "
			"into a password_file",
			load->mode & 07777);
	if (store->defaults_file != NULL && config_check_defaults_file(store->defaults_file, why) < 0)
		config_report(load, line_of(section, "defaults_file"), "store", "defaults_file", "%s", why);
	if (store->password_file == NULL)
		return;
	if (in_conninfo)
		config_report(load, line_of(section, "password_file"), "store", "password_file",
			"conninfo at line %u holds a password as well; leave one of them out",
			line_of(section, "conninfo"));
	if (config_read_password(store->password_file, &store->password, why) < 0)
		config_report(load, line_of(section, "password_file"), "store", "password_file", "%s", why);
}

static void check_store(const struct config_load *load)
{
	const struct config_store *store = &load->config->store;
	const struct config_section *section = find(load, "store");
	if (section == NULL) {
		config_report(load, 0, "store", "driver", "is missing; a section [store] with driver = one of %s",
			load->env->drivers);
		return;
	}
	if (store->driver == NULL) {
		if (section->option_lines[config_option_index(config_option_find(CONFIG_STORE, "driver"))] == 0)
			config_report(
				load, section->line, "store", "driver", "is missing; one of %s", load->env->drivers);
		return;
	}
	check_drivers_keys(load, section);
	require(load, section, "postgresql", "conninfo", store->conninfo, "host=db1 dbname=tenure user=tenure");
	require(load, section, "sqlite", "path", store->path, "/var/lib/tenure/tenure.db");
	check_password(load, section);
}

// What is loaded for it has its own say.
static void ask(const struct config_load *load, config_ask *check, const char *section, const char *key)
{
	char text[CONFIG_WHY_BYTES * 2] = "";
	if (check != NULL && check(load->config, text, sizeof text) < 0)
		config_report(load, line_of(find(load, section), key), section, key, "%s", text);
}

// ---- time ----

static const char *show(int64_t ns, char text[static CONFIG_DURATION_SIZE])
{
	config_format_duration(ns, text);
	return text;
}

static bool is_poll_good(const struct config_load *load)
{
	const struct config_store *store = &load->config->store;
	char poll[CONFIG_DURATION_SIZE], lease[CONFIG_DURATION_SIZE];
	if (store->poll_ns <= store->lease_ns)
		return true;
	config_report(load, line_of(find(load, "store"), "poll"), "store", "poll",
		"%s is longer than lease = %s; at most the lease", show(store->poll_ns, poll),
		show(store->lease_ns, lease));
	return false;
}

// Each attempt may take its whole time-out; the next begins when it is due and the one before has ended.
static int64_t attempts_ns(const struct config_store *store)
{
	const int64_t step = store->renew_ns > store->timeout_ns ? store->renew_ns : store->timeout_ns;
	return store->renew_ns + (ATTEMPTS - 1) * step + store->timeout_ns;
}

int64_t config_grace_longest(const struct config_store *store)
{
	return store->lease_ns - attempts_ns(store);
}

bool config_same_timing(const struct config_component *a, const struct config_component *b)
{
	return a->stop_grace_ns == b->stop_grace_ns && a->start_timeout_ns == b->start_timeout_ns &&
	       a->cooldown_ns == b->cooldown_ns && a->observes == b->observes && a->priority == b->priority &&
	       a->prefer_after_ns == b->prefer_after_ns;
}

static bool is_store_good(const struct config_load *load)
{
	const struct config_store *store = &load->config->store;
	const struct config_section *section = find(load, "store");
	char renew[CONFIG_DURATION_SIZE], timeout[CONFIG_DURATION_SIZE], lease[CONFIG_DURATION_SIZE];
	if (store->renew_ns >= store->lease_ns) {
		config_report(load, line_of(section, "renew"), "store", "renew",
			"%s is not shorter than lease = %s; a fifth of it is usual", show(store->renew_ns, renew),
			show(store->lease_ns, lease));
		return false;
	}
	if (store->renew_ns + store->timeout_ns >= store->lease_ns) {
		config_report(load, line_of(section, "timeout"), "store", "timeout",
			"renew + timeout = %s + %s is not shorter than lease = %s; shorten renew or timeout",
			show(store->renew_ns, renew), show(store->timeout_ns, timeout), show(store->lease_ns, lease));
		return false;
	}
	return is_poll_good(load);
}

static void check_component(const struct config_load *load, const struct config_section *section)
{
	const struct config_store *store = &load->config->store;
	const struct config_component *component = config_section_fields(load, section);
	int64_t grace_ns = config_group_grace(load->config, component);
	char renew[CONFIG_DURATION_SIZE], timeout[CONFIG_DURATION_SIZE], grace[CONFIG_DURATION_SIZE],
		lease[CONFIG_DURATION_SIZE];
	show(store->renew_ns, renew);
	show(store->timeout_ns, timeout);
	show(grace_ns, grace);
	show(store->lease_ns, lease);
	const unsigned line = line_of(section, "stop_grace");
	const char *whose = component->group ? "stop_grace of its whole group" : "stop_grace";
	if (store->renew_ns + store->timeout_ns + grace_ns >= store->lease_ns)
		config_report(load, line, section->name, "stop_grace",
			"renew + timeout + %s = %s + %s + %s is not shorter than lease = %s; shorten one or "
			"lengthen the lease",
			whose, renew, timeout, grace, lease);
	else if (grace_ns > config_grace_longest(store))
		config_report(load, line, section->name, "stop_grace",
			"%d renewals with renew = %s and timeout = %s do not fit into lease - %s = %s - %s; "
			"shorten one or lengthen the lease",
			ATTEMPTS, renew, timeout, whose, lease, grace);
}

static void check_components(const struct config_load *load)
{
	if (load->config->component_count == 0 && load->errors->count == 0)
		config_report(
			load, 0, NULL, NULL, "there is nothing to elect a leader for; add a section [component:NAME]");
}

static void check_times(const struct config_load *load)
{
	if (!is_store_good(load))
		return;
	for (const struct config_section *section = load->sections; section != NULL; section = section->hh.next) {
		if (section->scope == CONFIG_COMPONENT) {
			config_check_group(load, section);
			check_component(load, section);
		}
	}
}

void config_complete(const struct config_load *load)
{
	set_all_defaults(load);
	check_tenure(load);
	check_store(load);
	check_components(load);
	// Where single values are wrong, what they would mean together is noise.
	if (load->errors->count == 0)
		check_times(load);
	if (load->errors->count == 0)
		ask(load, load->env->check_store, "store", "driver");
	if (load->errors->count == 0 && load->config->http.listen != NULL)
		ask(load, load->env->check_http, "http", "listen");
}
