// SPDX-License-Identifier: Apache-2.0
// The past terms that HTTP's page shows (S8): read while somebody looks at it, and no more often than that is worth.
#ifndef TENURE_HISTORY_H
#define TENURE_HISTORY_H

#include "exchange.h"

#define HISTORY_TERMS 1000                       // of all components together
#define HISTORY_AGE_NS (10 * NS_PER_S)           // what is shown may be as old
#define HISTORY_AGAIN_NS (1 * NS_PER_S)          // between two attempts to read it
#define HISTORY_LAST_MS INT64_C(253402300799999) // a Unix time: the year 9999 ends

struct history {
	struct exchange_past *past; // the newest first
	size_t count;
	int64_t read_at;  // 0: not yet
	int64_t asked_at; // the store was, whatever it said
	bool wanted;      // somebody looked in this turn
	bool asking;      // the operation that is going on reads it
};

// Whether the store is to be asked now.
bool history_is_due(const struct history *history, int64_t now);
// Keeps what the store told, with times from 1970 to HISTORY_LAST_MS. 0 or -ENOMEM.
int history_take(struct history *history, const struct exchange_past *past, size_t count, int64_t now) MUST_CHECK;
void history_done(struct history *history);

#endif
