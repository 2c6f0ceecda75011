// SPDX-License-Identifier: Apache-2.0
// A database for one test, and daemons that speak to it through a driver, without the thread.
#ifndef TENURE_TESTS_STORE_WORLD_H
#define TENURE_TESTS_STORE_WORLD_H

#include "driver.h"

enum backend {
	MEMORY,
#ifdef WITH_SQLITE
	SQLITE,
#endif
#ifdef WITH_PGSQL
	POSTGRESQL,
#endif
#ifdef WITH_MYSQL
	MARIADB,
#endif
	BACKENDS
};
// The first backend that several processes can share, and so can be changed by plain SQL.
#define SHARED 1

#define WORLD_LEASES 3
#define WORLD_LEASE_MS 10000
#define WORLD_TIMEOUT_NS (2 * NS_PER_S)
#define WORLD_HISTORY_COUNT 100
#define WORLD_HISTORY_MS 86400000
#define WORLD_REASON "resigned"

struct world {
	enum backend backend;
	const struct store_driver *driver;
	struct store_config config;
	struct store_names names;
	struct incarnation server;
	char path[256];     // sqlite
	char conninfo[320]; // postgresql
	char schema[64];
	struct store_link *shared; // memory: all daemons in one
	void *sql;                 // the plain connection
};

// The servers of all backends: once, before Check forks, and at the end.
void world_start_servers(void);
void world_stop_servers(void);
// Fresh tables, made by init, for the leases "discovery", "engine" and "counter".
void world_init(struct world *world, enum backend backend);
// For many leases.
void world_init_names(struct world *world, enum backend backend, const struct store_names *names);
// A place without tables.
void world_init_empty(struct world *world, enum backend backend);
void world_done(struct world *world);
// Runs a plain statement in the world's schema; its first value, "" where there is none. The test fails on an error.
const char *world_sql(struct world *world, const char *format, ...) PRINTF_LIKE(2, 3);
// Another file descriptor that is never readable, and one that is: for a call's abort_fd.
int never_fd(void);

struct peer {
	struct world *world;
	struct store_link *link;
	struct uuid session;
	uint64_t number;
	int64_t timeout_ns;
	int abort_fd;
	struct exchange_reply reply; // of the last exchange
	struct store_hint hint;      // the last one
	struct exchange_grant *grants;
	struct exchange_row *rows;
	struct exchange_past *past;
	struct exchange_candidate *candidates;
	struct exchange_offerer *offerers;
};

// A daemon with a session id; its session has no row yet.
void peer_init(struct peer *peer, struct world *world);
void peer_done(struct peer *peer);
// Fills in number, session and lease_ms (where 0) and carries it out.
enum exchange_outcome peer_exchange(struct peer *peer, const struct exchange_request *request);
// The same, and the outcome has to be EXCHANGE_OK.
const struct exchange_reply *peer_ok(struct peer *peer, const struct exchange_request *request);
const struct exchange_reply *peer_session(struct peer *peer, enum exchange_session_op op);
// Created or renewed, with what it offers.
void peer_offer(struct peer *peer, enum exchange_session_op op, const struct exchange_offer *offers, size_t count);
const struct exchange_reply *peer_report(struct peer *peer);
const struct exchange_row *peer_row(struct peer *peer, uint32_t lease);
// The claim of what was seen last, kills included; the term, or 0.
uint64_t peer_claim_row(struct peer *peer, const struct exchange_row *row);
// Looks at the row and claims it, `missing` and all; the term, or 0.
uint64_t peer_claim(struct peer *peer, uint32_t lease);
// Whether a hint comes within that time.
bool peer_hint(struct peer *peer, int milliseconds);
// For WORLD_REASON.
void peer_release(struct peer *peer, uint32_t lease, uint64_t term);

#endif
