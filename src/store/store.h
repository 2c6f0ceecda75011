// SPDX-License-Identifier: Apache-2.0
// The store: exchanges with a database, carried out by a thread so that the loop never waits for them.
//
// One request is out at a time. A request that is submitted while the thread is still stuck in an earlier one waits;
// a later one replaces it, and one whose deadline has passed when the thread gets to it is dropped: neither is ever
// executed, and neither has a reply. Every request that was begun has exactly one reply, however late.
#ifndef TENURE_STORE_H
#define TENURE_STORE_H

#include "exchange.h"

#include <stdio.h>

// What all drivers need, then each driver's own. NULL: not given.
struct store_config {
	const char *node;      // goes into the session's row
	int64_t timeout_ns;    // of an exchange
	int64_t history_count; // of a component, the terms that are remembered; 0: none
	int64_t history_ms;    // for how long
	const char *conninfo;  // postgresql
	const char *password;  // postgresql, mysql: already read from its file
	const char *schema;    // postgresql, mysql; NULL or empty: wherever the connection leads
	const char *path;      // sqlite
	// mysql
	const char *defaults_file; // the client library's own, group [tenure]
	const char *host;          // hosts with commas between them, each with its port or without
	const char *port;
	const char *socket;
	const char *user;
	const char *database;
	const char *tls; // "verify" or "off"
	const char *tls_ca;
};

// A kind of database; see driver.h.
struct store_driver;

// The driver of that name, for as long as the program runs; from its file, where it is not linked in (R4). -ENOENT
// where there is none, -EINVAL where it is of another version, and then `ret_text` says what is wrong.
int store_driver_load(
	const char *name, const struct store_driver **ret, char ret_text[static EXCHANGE_TEXT_SIZE]) MUST_CHECK;
// The same, or NULL.
const struct store_driver *store_driver_find(const char *name);
// Those that it was built for, for a message: "postgresql, sqlite, memory".
const char *store_driver_names(void);

// These answer 0 or -errno, and then in `ret_text` what is wrong and what to do, without secrets.
// Checks the configuration as far as that goes without the database.
int store_check(const struct store_driver *driver, const struct store_config *config,
	char ret_text[static EXCHANGE_TEXT_SIZE]) MUST_CHECK;
// Creates or upgrades the schema; may take config->timeout_ns for each of its steps. Safe when many do it at once.
int store_init_schema(const struct store_driver *driver, const struct store_config *config,
	char ret_text[static EXCHANGE_TEXT_SIZE]) MUST_CHECK;
// Writes SQL that does the same, for the database's own command line. 0 or -errno.
int store_print_schema(const struct store_driver *driver, const struct store_config *config, FILE *out) MUST_CHECK;

struct store;

// Which lease a component is led by: its own, or its group's (W19). It goes into the session's row, so that a daemon
// which is configured otherwise can tell.
struct store_home {
	const char *component; // NULL: it is not configured any more
	const char *lease;
};

// Copies what it is given and starts the thread; connects only with the first request. `names` are valid names, and
// a request's leases are indexes of them; `homes`, as many, may be NULL. 0 or -errno; a configuration that
// store_check() refuses is -EINVAL.
int store_new(struct store **ret, const struct store_driver *driver, const struct store_config *config,
	const char *const *names, const struct store_home *homes, size_t name_count) MUST_CHECK;
// Gives up what is out and ends the thread. A thread that the client library holds in name resolution, which nothing
// can interrupt, is left behind after STORE_FREE_WAIT_MS and frees the store itself when it comes back.
void store_free(struct store *store);
#define STORE_FREE_WAIT_MS 2000

// From the next request on these are the names: those that there were, in their places, and more behind them. What is
// out is carried out with the names of its time. Never blocks. 0 or -ENOMEM.
int store_set_names(
	struct store *store, const char *const *names, const struct store_home *homes, size_t name_count) MUST_CHECK;

// Copies the request; never blocks. No lease may be in both its releases and its claims. 0 or -ENOMEM.
int store_submit(struct store *store, const struct exchange_request *request, int64_t deadline_at) MUST_CHECK;
// Gives up the request of that number, if it is still waiting or out; never blocks. One that is out is soon answered.
void store_abort(struct store *store, uint64_t number);

// Readable when there is a reply to take, or a hint.
int store_fd(const struct store *store);
// Takes the next reply, the caller's until store_reply_free(); false where there is none.
bool store_next_reply(struct store *store, struct exchange_reply **ret);
void store_reply_free(struct exchange_reply *reply);

// More are announced than there is room for: those are looked at.
#define STORE_FREED 16

// That another daemon changed a lease, or the connection ended: a reason to look, never a proof.
struct store_hint {
	uint32_t freed[STORE_FREED]; // leases that were released, for anybody to take
	size_t freed_count;
};

// Whether something was announced since the last call.
bool store_take_hint(struct store *store, struct store_hint *ret);

#endif
