// SPDX-License-Identifier: Apache-2.0
#include "known.h"

#include "array.h"
#include "clock.h"

static int by_name(const void *a, const void *b, void *argument)
{
	const struct store_names *names = argument;
	return strcmp(names->name[*(const uint32_t *)a], names->name[*(const uint32_t *)b]);
}

int store_known_grow(struct store_known *known, const struct store_names *names)
{
	size_t room = names->count + 1;
	if (array_grow(&known->order, room, sizeof *known->order) < 0 ||
		array_grow(&known->rows, room, sizeof *known->rows) < 0 ||
		array_grow(&known->holder_of, room, sizeof *known->holder_of) < 0)
		return -ENOMEM;
	for (uint32_t i = 0; i < names->count; i++)
		known->order[i] = i;
	qsort_r(known->order, names->count, sizeof *known->order, by_name, (void *)names);
	known->names = names;
	known->count = names->count;
	known->server_us = 0;
	return 0;
}

void store_known_free(struct store_known *known)
{
	free(known->order);
	free(known->rows);
	free(known->holder_of);
	free(known->holders);
	*known = (struct store_known){.names = NULL};
}

bool store_known_find(const struct store_known *known, const char *name, uint32_t *ret)
{
	size_t low = 0, high = known->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int compared = strcmp(name, known->names->name[known->order[middle]]);
		if (compared == 0) {
			*ret = known->order[middle];
			return true;
		}
		if (compared < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return false;
}

static void forget(struct store_known *known)
{
	for (uint32_t i = 0; i < known->count; i++) {
		known->rows[i] = (struct exchange_row){.lease = i};
		known->holder_of[i] = STORE_NOBODY;
	}
	known->holder_count = 0;
}

void store_known_begin(struct store_known *known, int64_t lease_ms, uint64_t connection, int64_t *ret_since_us)
{
	int64_t now = clock_now_ns();
	known->partly =
		known->server_us != 0 && known->connection == connection && now < known->read_at + lease_ms * NS_PER_MS;
	// A change is seen once it is committed, and was written down before: by less than a lease, or it waits for
	// the next time that all rows are read.
	*ret_since_us = known->partly ? known->server_us - lease_ms * 1000 : 0;
	known->server_us = 0; // until the report has come
	known->connection = connection;
	if (!known->partly) {
		known->read_at = now;
		forget(known);
	}
	for (size_t i = 0; i < known->holder_count; i++)
		known->holders[i].alive = false;
}

// The index of the holder; -ENOMEM.
static int64_t keep_holder(struct store_known *known, const struct store_holder *holder)
{
	size_t i = 0;
	while (i < known->holder_count && !uuid_equal(&known->holders[i].id, &holder->id))
		i++;
	if (i == known->holder_room) {
		size_t room = 2 * known->holder_room + 8;
		if (array_grow(&known->holders, room, sizeof *known->holders) < 0)
			return -ENOMEM;
		known->holder_room = room;
	}
	known->holders[i] = *holder;
	if (i == known->holder_count)
		known->holder_count++;
	return (int64_t)i;
}

bool store_known_take(struct store_known *known, const struct exchange_row *row, const struct store_holder *holder)
{
	int64_t index = holder ? keep_holder(known, holder) : STORE_NOBODY;
	if (index < 0)
		return false;
	known->rows[row->lease] = *row;
	known->holder_of[row->lease] = (uint32_t)index;
	return true;
}

bool store_known_hold(struct store_known *known, const struct store_holder *holder)
{
	return keep_holder(known, holder) >= 0;
}

bool store_known_answer(struct store_known *known, struct store_answer *answer, int64_t server_us)
{
	if (known->partly && !incarnation_equal(&known->server, &answer->reply->server))
		return false;
	for (size_t i = 0; i < known->count; i++) {
		struct exchange_row *row = &answer->rows[i];
		*row = known->rows[i];
		bool past = row->since_ms > 0 && row->since_ms <= server_us / 1000;
		row->since_ms = past ? server_us / 1000 - row->since_ms : 0;
		if (known->holder_of[i] == STORE_NOBODY)
			continue;
		const struct store_holder *holder = &known->holders[known->holder_of[i]];
		row->holder = holder->id;
		row->holder_alive = holder->alive;
		row->holder_seq = holder->alive ? holder->seq : -1;
		row->holder_lease_ms = holder->alive ? holder->lease_ms : 0;
		row->holder_age_us = holder->alive ? holder->age_us : 0;
	}
	answer->reply->row_count = known->count;
	known->server = answer->reply->server;
	// A clock before 1970 is none.
	known->server_us = server_us > 0 ? server_us : 0;
	return true;
}
