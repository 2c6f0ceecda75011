// SPDX-License-Identifier: Apache-2.0
// What an error of PostgreSQL's means for an exchange.
#ifndef TENURE_STORE_POSTGRESQL_ERROR_H
#define TENURE_STORE_POSTGRESQL_ERROR_H

#include "exchange.h"

#define PG_READ_ONLY "25006"

struct pg_error {
	const char *sqlstate; // or its first two characters
	enum exchange_outcome outcome;
	bool drop;          // the connection
	const char *advice; // NULL: none
};

const struct pg_error *pg_error_classify(const char *sqlstate);
// Whether a statement that is kept is missing where it should be, or is there where it should not: another process
// answers than the one that it was sent to.
bool pg_error_is_of_kept(const char *sqlstate);
// Of a connection that did not come about: by libpq's message with PQERRORS_VERBOSE, which is all there is.
const struct pg_error *pg_error_of_connecting(const char *message);
// Takes out the lines that say where in the server's source it happened, and joins the others.
void pg_error_tidy(char *message);
// Overwrites a secret, NULL where there is none, wherever it is in the text.
void pg_error_hide(char *text, const char *secret);

#endif
