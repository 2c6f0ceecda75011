// SPDX-License-Identifier: Apache-2.0
// A MariaDB server of the test program's own, in a temporary directory, on a Unix socket. It dies with the program.
#ifndef TENURE_TESTS_STORE_MARIA_H
#define TENURE_TESTS_STORE_MARIA_H

#include <stdbool.h>
#include <sys/types.h>

#define MARIA_SUPERUSER "root"
// One with the rights of a daemon on every database, one without any, and one that has to give a password.
#define MARIA_DAEMON_USER "tenure"
#define MARIA_PLAIN_USER "plain"
#define MARIA_PASSWORD_USER "guarded"
#define MARIA_PASSWORD "correct-horse"

// Once, before Check forks; exits with a message where there is no server to be had. `options` are words for the
// server, up to a NULL, or NULL.
void maria_start(const char *const *options);
void maria_stop(void);
const char *maria_directory(void);
const char *maria_socket(void);
pid_t maria_pid(void);
// Ends the server with this signal and starts it again.
void maria_restart(int signal);
// Returns when it takes connections.
void maria_wait(void);

// A plain connection, beside the driver; NULL `user` means the superuser.
struct maria;
struct maria *maria_connect(const char *user);
void maria_close(struct maria *maria);
// The first value of the answer, "" where there is none; valid until the next call. The test fails on an error.
const char *maria_sql(struct maria *maria, const char *format, ...) __attribute__((format(printf, 2, 3)));
// The number of the error of a statement that fails; 0 where it does not.
unsigned maria_error(struct maria *maria, const char *format, ...) __attribute__((format(printf, 2, 3)));
// The message that came with it.
const char *maria_message(struct maria *maria);
// Sends without waiting, and waits for what was sent.
void maria_send(struct maria *maria, const char *sql);
unsigned maria_receive(struct maria *maria);
// Returns when the condition, an SQL expression, is true; the test fails where it never is.
void maria_await(struct maria *maria, const char *condition);

#endif
