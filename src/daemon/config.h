// SPDX-License-Identifier: Apache-2.0
// The configuration file: read, checked against itself, printed. One table of options drives all of it.
#ifndef TENURE_CONFIG_H
#define TENURE_CONFIG_H

#include "base.h"
#include "log.h"

#include <stdio.h>
#include <sys/types.h>

#define CONFIG_DEFAULT_PATH "/etc/tenure/tenured.conf"

// Limits on what a file may hold.
#define CONFIG_FILE_BYTES 16777216
#define CONFIG_LINE_BYTES 4096
#define CONFIG_COMPONENTS_MAX 16384
#define CONFIG_USERS_MAX 64
#define CONFIG_PASSWORD_BYTES 1024
#define CONFIG_ERRORS_MAX 20
#define CONFIG_ERRORS_BYTES 16384

// A user or a group.
struct config_id {
	char *name;
	id_t id;
};

struct config_ids {
	struct config_id *items;
	size_t count;
};

struct config_store {
	char *driver;   // one of config_env's
	char *conninfo; // postgresql; may hold a password: never to be logged
	char *path;     // sqlite
	char *host;     // this and the next: mysql; see store.h
	char *port;
	char *socket;
	char *user;
	char *database;
	char *tls;
	char *tls_ca;
	char *defaults_file;
	char *password_file; // NULL: none
	char *password;      // read from password_file; NULL: none
	char *schema;        // NULL: the server's default
	int64_t lease_ns;
	int64_t renew_ns;
	int64_t poll_ns;
	int64_t timeout_ns;
	int64_t history_count; // of a component, the terms that are remembered; 0: none
	int64_t history_age_ns;
};

struct config_http {
	char *listen; // HOST:PORT or an absolute path; NULL: no HTTP
};

struct config_component {
	char *name;
	char *group; // whose lease it shares (W19); NULL: it has its own
	int64_t stop_grace_ns;
	int64_t start_timeout_ns;
	int64_t cooldown_ns;
	bool observes; // candidate = no: it never leads here
	int32_t priority;
	int64_t prefer_after_ns;
	// Who may join: those of either; without both whoever can open the socket.
	struct config_ids users;
	struct config_ids groups;
	bool removed; // it is in the file no more, and keeps its place; see reload.h
};

// Strings are the configuration's own.
struct config {
	char *node;
	char *runtime_dir;
	mode_t socket_mode;
	char *socket_group; // NULL: the daemon's own
	gid_t socket_gid;   // (gid_t)-1 where socket_group is NULL
	char *admin_group;  // who may manage the fleet besides root and the daemon's own user; NULL: nobody
	gid_t admin_gid;    // (gid_t)-1 where admin_group is NULL
	enum log_level log_level;
	bool patient; // not "urgent": others of this host may go first
	struct config_store store;
	struct config_http http;
	struct config_component *components; // in the file's order
	size_t component_count;              // at least one
};

// What is loaded for a part of the configuration says of it: 0, or -errno with a text without secrets.
typedef int config_ask(const struct config *config, char *ret_text, size_t size);

// What the configuration depends on and config.c does not look up itself.
struct config_env {
	const char *drivers;     // the store's drivers that were compiled in, as store_driver_names() gives them
	const char *host;        // what %H stands for; NULL: gethostname()
	const char *machine_id;  // what %m stands for; NULL: /etc/machine-id
	config_ask *check_store; // the driver; NULL: nobody is asked
	config_ask *check_http;  // what serves HTTP, where [http] listen is there; NULL: nobody is
};

// One a line, `FILE:LINE: [section] key: what is wrong; what is allowed`. No secret is in it.
struct config_errors {
	unsigned count; // all of them; the text has the first CONFIG_ERRORS_MAX
	size_t used;
	char text[CONFIG_ERRORS_BYTES];
};

// 0, or -errno with `errors` telling why (-EINVAL: the file's content). An empty `errors` is the caller's to bring.
int config_load(
	const char *path, const struct config_env *env, struct config **ret, struct config_errors *errors) MUST_CHECK;
void config_free(struct config *config);
// Frees what the component owns, but not itself.
void config_component_done(struct config_component *component);
// Whether the election is told the same of both.
bool config_same_timing(const struct config_component *a, const struct config_component *b);
// The longest stop_grace with which enough renewals fit before a worker is told to stop (W24).
int64_t config_grace_longest(const struct config_store *store);
// What the component takes to be stopped, with all of its group: they stop one after the other (W19).
int64_t config_group_grace(const struct config *config, const struct config_component *component);
// The first component of the same group: whose lease the component at `index` shares. Itself where it is alone.
size_t config_group_head(const struct config *config, size_t index);
// The lease's name in the database: the group's for its head, else the component's own.
const char *config_lease_name(const struct config *config, size_t index);

// Prints a file that config_load() reads as the same configuration, but for secrets, which are left out. 0 or -errno.
int config_dump(const struct config *config, FILE *stream) MUST_CHECK;

// The table, for the checks of the sample file and the manual page.
struct config_option_info {
	const char *section; // "tenure", "store", "http"; "component:NAME" is "component"
	const char *key;
	const char *fallback; // as the manual states it; NULL: none
};

size_t config_option_count(void);
struct config_option_info config_option_info(size_t index);

#endif
