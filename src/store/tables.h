// SPDX-License-Identifier: Apache-2.0
// The tables in memory, all but the history, with one function for each statement of an exchange: what exchange.h says,
// as code.
//
// The memory driver runs it, and the simulator runs it statement by statement with faults in between. A replica that
// lost its last writes is an older copy. Nothing here reads a clock: the owner sets `server`, `unix_time` and `now_us`.
#ifndef TENURE_STORE_TABLES_H
#define TENURE_STORE_TABLES_H

#include "exchange.h"

// A session's offers that are remembered: more would be for other daemons, and the memory driver has none.
#define TABLES_OFFERS 5

struct tables_session {
	struct uuid id; // none: an empty place
	char node[NAME_BYTES + 1];
	int64_t seq;
	int64_t lease_ms;
	int64_t renewed_us;
	uint32_t offer_count;
	struct exchange_offer offers[TABLES_OFFERS];
};

struct tables_lease {
	bool exists;
	bool locked; // somebody holds the row: the change statement goes around it (rule 14)
	struct uuid session;
	char node[NAME_BYTES + 1];
	uint64_t term;
	uint64_t generation;
	int64_t acquired_us;
	struct exchange_ask ask; // tenure_ask's row; term 0: none
};

struct tables {
	// The owner's to set: which server this is, and its clock.
	struct incarnation server;
	int64_t unix_time; // in the unit of generations (rule 5)
	int64_t now_us;
	// tenure_store.
	struct incarnation believed;
	uint64_t generation;
	char paused[NAME_BYTES + 1];
	// tenure_lease and tenure_session.
	size_t name_count;
	size_t session_capacity;
	struct tables_lease *leases;
	struct tables_session *sessions;
};

// No rows, generation 0, and `believed` is `server`, as after `tenurectl init`. 0 or -ENOMEM.
int tables_new(
	struct tables **ret, size_t name_count, size_t session_capacity, const struct incarnation *server) MUST_CHECK;
// Room for more names. 0 or -ENOMEM.
int tables_grow(struct tables *tables, size_t name_count) MUST_CHECK;
void tables_free(struct tables *tables);
// Everything, the owner's part as well; both were made for the same numbers.
void tables_copy(struct tables *to, const struct tables *from);

// The statements, in the order of an exchange. True: the session statement changed exactly one row. A session for
// which there is no room is not inserted.
bool tables_session(struct tables *tables, const struct exchange_request *request, const char *node);
void tables_adopt(struct tables *tables, const struct exchange_request *request);
void tables_missing(struct tables *tables, const struct exchange_request *request);
// Writes at most request->claim_count grants. True where there is something to announce.
bool tables_change(struct tables *tables, const struct exchange_request *request, struct exchange_grant *ret_grants,
	size_t *ret_grant_count);
// True where there is something to announce; sets `asked` of the reply.
bool tables_ask(
	struct tables *tables, const struct exchange_request *request, const char *node, struct exchange_reply *reply);
// Sets server, believed and paused of the reply, and rows, row_count, strays and stray_count as the request asks for
// them; `rows` has room for name_count.
void tables_report(const struct tables *tables, const struct exchange_request *request, struct exchange_row *rows,
	struct exchange_reply *reply);
// What the sessions offer, where the request asks for it: sets candidates and offerers of the reply, and their counts;
// there is `room` for as many of either.
void tables_candidates(const struct tables *tables, const struct exchange_request *request,
	struct exchange_candidate *candidates, struct exchange_offerer *offerers, size_t room,
	struct exchange_reply *reply);

#endif
