// SPDX-License-Identifier: Apache-2.0
#include "history.h"

#include <errno.h>
#include <stdlib.h>

bool history_is_due(const struct history *history, int64_t now)
{
	bool old = history->read_at == 0 || now - history->read_at >= HISTORY_AGE_NS;
	return history->wanted && old && (history->asked_at == 0 || now - history->asked_at >= HISTORY_AGAIN_NS);
}

// As a database tells them that anybody may have written to: those who show them can reckon with what comes out.
static int64_t sane(int64_t unix_ms)
{
	return unix_ms < 0 ? 0 : unix_ms > HISTORY_LAST_MS ? HISTORY_LAST_MS : unix_ms;
}

int history_take(struct history *history, const struct exchange_past *past, size_t count, int64_t now)
{
	struct exchange_past *copy = calloc(count + 1, sizeof *copy);
	if (!copy)
		return -ENOMEM;
	if (count > 0)
		memcpy(copy, past, count * sizeof *copy);
	for (size_t i = 0; i < count; i++) {
		copy[i].from_ms = sane(past[i].from_ms);
		copy[i].to_ms = sane(past[i].to_ms);
	}
	free(history->past);
	history->past = copy;
	history->count = count;
	history->read_at = now;
	return 0;
}

void history_done(struct history *history)
{
	free(history->past);
	*history = (struct history){0};
}
