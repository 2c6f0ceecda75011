// SPDX-License-Identifier: Apache-2.0
// What the database last said of the leases, so that a report reads only the rows that changed since, and the sessions
// that hold the others: a poll costs what happens, not what there is.
//
// That a row changed is told by the server's clock, which is believed as little as any other: all rows are read again
// after a lease and from another connection, and of another incarnation nothing is taken that an earlier one said. What
// is not noticed until then costs a claim that is refused or comes late, never a second leader: rows decide about
// claims and releases by themselves (rule 4), and what a session says is always read.
#ifndef TENURE_STORE_KNOWN_H
#define TENURE_STORE_KNOWN_H

#include "driver.h"

struct store_holder {
	struct uuid id;
	bool alive; // it has a row
	int64_t seq;
	int64_t lease_ms;
	int64_t age_us;
};

// What is kept of a row: few bytes, as there may be many, of few holders and nodes.
struct store_row {
	uint32_t holder; // the index of its holder, or STORE_NOBODY
	uint32_t node;   // the index of its node's name, STORE_NOBODY where there is no row
	bool exists;
	bool asked;
	struct uuid target;
	int64_t cooldown_ms;
	uint64_t term;
	int64_t acquired_ms; // by the server's clock
};

struct store_known {
	const struct store_names *names;
	uint32_t *order; // the names' numbers, by name
	struct store_row *rows;
	size_t count; // of these two
	struct store_holder *holders;
	size_t holder_count;
	size_t holder_room;
	char (*nodes)[NAME_BYTES + 1];
	size_t node_count;
	size_t node_room;
	struct incarnation server;
	uint64_t connection;
	int64_t server_us; // the server's clock when it last reported; 0: nothing is known
	int64_t read_at;   // when all rows were read
	bool partly;       // the report that comes is of what changed
};

#define STORE_NOBODY UINT32_MAX

// Follows the names, which may have grown. 0 or -ENOMEM, and then it knows as much as before.
int store_known_grow(struct store_known *known, const struct store_names *names) MUST_CHECK;
void store_known_free(struct store_known *known);

// Begins a report: `ret_since_us` is from when on, by the server's clock, changes are wanted, or 0 for all rows.
void store_known_begin(struct store_known *known, int64_t lease_ms, uint64_t connection, int64_t *ret_since_us);
// The number of a lease, false where we do not follow it.
bool store_known_find(const struct store_known *known, const char *name, uint32_t *ret);
// The row of a lease but for what its holder says, and `since_ms` is when, by the server's clock; `holder` says the
// rest, NULL where the lease is free. False: no memory.
bool store_known_take(
	struct store_known *known, const struct exchange_row *row, const struct store_holder *holder) MUST_CHECK;
// What a session says that holds rows which did not change.
bool store_known_hold(struct store_known *known, const struct store_holder *holder) MUST_CHECK;
// Ends it, and fills the answer's rows. False: what was known was of another server, and nothing is known now.
bool store_known_answer(struct store_known *known, struct store_answer *answer, int64_t server_us) MUST_CHECK;

#endif
