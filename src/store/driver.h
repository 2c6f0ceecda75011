// SPDX-License-Identifier: Apache-2.0
// What a driver is: plain blocking code with a deadline, called on the store's thread only.
#ifndef TENURE_STORE_DRIVER_H
#define TENURE_STORE_DRIVER_H

#include "beside.h"
#include "store.h"

#include <pthread.h>
#include <stdarg.h>

// Raised when the tables change; `init` upgrades from every lower version.
#define SCHEMA_VERSION 3

// The connection to one database; each driver has its own.
struct store_link;

struct store_names {
	const char *const *name;
	const struct store_home *home; // as many; NULL: not told
	size_t count;
};

// A driver returns soon after `deadline_at`, or after `abort_fd` became readable.
struct store_call {
	const struct exchange_request *request;
	int64_t deadline_at;
	int abort_fd;
};

// What a driver fills: all is zero, there is room for a grant of every claim and, for a report, a row of every name,
// and the reply points there. Outcome EXCHANGE_OK is the driver's to say.
struct store_answer {
	struct exchange_reply *reply;
	struct exchange_grant *grants;
	struct exchange_row *rows;
	struct exchange_past *past; // room for as many as the request wants
	// These grow as they must: see store_take_offers().
	struct exchange_candidate *candidates;
	size_t candidate_room;
	struct exchange_offerer *offerers;
	size_t offerer_room;
};

struct store_driver {
	const char *name;
	const char *version; // TENURE_VERSION; another one may have another layout behind it
	// These are store.h's.
	int (*check)(const struct store_config *config, char ret_text[static EXCHANGE_TEXT_SIZE]);
	int (*init_schema)(const struct store_config *config, char ret_text[static EXCHANGE_TEXT_SIZE]);
	int (*print_schema)(const struct store_config *config, FILE *out);
	// Does not connect; `config` passed the check, and it and `names` outlive the link.
	int (*open)(struct store_link **ret, const struct store_config *config, const struct store_names *names);
	// `names` have grown, those that were there are in their places. NULL: nothing of the link depends on that.
	// Where it fails, it is asked again before the next exchange.
	int (*grow)(struct store_link *link);
	void (*exchange)(struct store_link *link, const struct store_call *call, struct store_answer *answer);
	// Between exchanges: the descriptor to wait on, or -1, and what to do when it is readable. True: something
	// was announced by others, or the connection is gone.
	int (*hint_fd)(struct store_link *link);
	bool (*take_hint)(struct store_link *link, struct store_hint *hint); // adds to it
	void (*close)(struct store_link *link);
};

// Those of databases are found by name in a file of their own, or are linked in.
extern const struct store_driver store_postgresql MODULE;
extern const struct store_driver store_mysql MODULE;
extern const struct store_driver store_sqlite MODULE;
extern const struct store_driver store_memory;

// What was announced of a lease; the last word counts, and where there is no room it is looked at.
void store_hint_take(struct store_hint *hint, uint32_t lease, bool freed);

// Of the configuration: not NULL, and not empty.
static inline bool is_given(const char *text)
{
	return text && text[0];
}

// Writes a text of one line.
void store_text(char ret_text[static EXCHANGE_TEXT_SIZE], const char *format, ...) PRINTF_LIKE(2, 3);
void store_text_v(char ret_text[static EXCHANGE_TEXT_SIZE], const char *format, va_list arguments) PRINTF_LIKE(2, 0);
// Sets outcome and text.
void store_answer_fail(struct store_answer *answer, enum exchange_outcome outcome, const char *format, ...)
	PRINTF_LIKE(3, 4);
// What a session offers as its row holds it: "lease=priority" with spaces between them, and "component>lease" for each
// of its components; the caller frees it. NULL: no memory.
char *store_offers_text(const struct exchange_request *request, const struct store_names *names) MUST_CHECK;
// Adds the session, and a candidate for each name in the text that `names` have. One that `disputes` the lease is added
// where a component of it is led by another lease there. What is neither is skipped, for a newer daemon may have
// written it, and so is a session without identity. False: no memory.
bool store_take_offers(struct store_answer *answer, const struct store_names *names,
	const struct exchange_offerer *offerer, const char *text) MUST_CHECK;
void store_free_offers(struct store_answer *answer);
// Milliseconds from now until `deadline_at` for poll(2), rounded up: 0 where it passed.
int store_milliseconds_left(int64_t deadline_at);
// A thread that no signal interrupts; 0 or -errno.
int store_start_thread(pthread_t *ret, void *(*run_thread)(void *), void *argument) MUST_CHECK;

#endif
