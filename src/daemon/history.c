// SPDX-License-Identifier: Apache-2.0
#include "history.h"

#include <errno.h>
#include <stdlib.h>

bool history_is_due(const struct history *history, int64_t now)
{
	bool old = history->read_at == 0 || now - history->read_at >= HISTORY_AGE_NS;
	return history->wanted && old && (history->asked_at == 0 || now - history->asked_at >= HISTORY_AGAIN_NS);
}

int history_take(struct history *history, const struct exchange_past *past, size_t count, int64_t now)
{
	struct exchange_past *copy = calloc(count + 1, sizeof *copy);
	if (!copy)
		return -ENOMEM;
	if (count > 0)
		memcpy(copy, past, count * sizeof *copy);
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
