// SPDX-License-Identifier: Apache-2.0
// What goes into PostgreSQL's statements as text. What is returned is the caller's to free; NULL: no memory.
#ifndef TENURE_STORE_POSTGRESQL_TEXT_H
#define TENURE_STORE_POSTGRESQL_TEXT_H

#include "known.h"

// A column of a request's lists, and the names.
enum pg_array {
	PG_RELEASE_NAMES,
	PG_RELEASE_TERMS,
	PG_RELEASE_REASONS,
	PG_CLAIM_NAMES,
	PG_CLAIM_MISSING,
	PG_CLAIM_HOLDERS,
	PG_CLAIM_SEQS,
	PG_CLAIM_TERMS,
	PG_SWEEP_SESSIONS,
	PG_SWEEP_SEQS,
	PG_EVERY_NAME,
};

char *pg_array_text(
	enum pg_array which, const struct exchange_request *request, const struct store_names *names) MUST_CHECK;

char *pg_names_text(const uint32_t *leases, size_t count, const struct store_names *names) MUST_CHECK;

// The sessions that hold what is known.
char *pg_holders_text(const struct store_known *known) MUST_CHECK;

// `list` with its items rotated, so that another host than the one that is silent is tried first.
char *pg_rotate(const char *list, size_t by) MUST_CHECK;

// A quoted identifier.
void pg_write_identifier(FILE *out, const char *name);
// `sql` with the schema in place of every @.
char *pg_with_schema(const char *sql, const char *schema) MUST_CHECK;

#endif
