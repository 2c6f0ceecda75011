// SPDX-License-Identifier: Apache-2.0
// A PostgreSQL server of the test program's own, in a temporary directory, on a Unix socket. It dies with the program.
#ifndef TENURE_TESTS_STORE_PG_H
#define TENURE_TESTS_STORE_PG_H

#include <stdbool.h>

#define PG_SUPERUSER "postgres"
// A role without a superuser's rights, and one that has to give a password.
#define PG_PLAIN_USER "plain"
#define PG_SCRAM_USER "scram"
#define PG_SCRAM_PASSWORD "correct-horse"

// Once, before Check forks; exits with a message where there is no server to be had.
void pg_start(void);
void pg_stop(void);
// The directory of its socket.
const char *pg_directory(void);
// Stops it, or lets it go on: the postmaster and every process of it.
void pg_signal_all(int signal);
// Ends it at once and starts it again; only in the process that started it.
void pg_restart(void);

// A plain connection, beside the driver, as soon as the server takes it. NULL `user`: the superuser.
struct pg;
struct pg *pg_connect(const char *user);
void pg_close(struct pg *pg);
// The first value of the answer, "" where there is none; valid until the next call. The test fails on an error.
const char *pg_sql(struct pg *pg, const char *format, ...) __attribute__((format(printf, 2, 3)));
// The SQLSTATE of a statement that fails; "" where it does not.
const char *pg_sqlstate(struct pg *pg, const char *format, ...) __attribute__((format(printf, 2, 3)));
// The message that came with it.
const char *pg_message(struct pg *pg);
// Returns when the condition, an SQL expression, is true; the test fails where it never is.
void pg_await(struct pg *pg, const char *condition);

#endif
