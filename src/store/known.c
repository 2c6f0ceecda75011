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
		array_grow(&known->rows, room, sizeof *known->rows) < 0)
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
	free(known->holders);
	free(known->nodes);
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
	for (uint32_t i = 0; i < known->count; i++)
		known->rows[i] = (struct store_row){.holder = STORE_NOBODY, .node = STORE_NOBODY};
	known->holder_count = 0;
	known->node_count = 0;
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

// Room for one more.
static int make_room(void *array, size_t count, size_t *room, size_t size)
{
	if (count < *room)
		return 0;
	int error = array_grow(array, 2 * *room + 8, size);
	if (error == 0)
		*room = 2 * *room + 8;
	return error;
}

// The index of the holder; -ENOMEM.
static int64_t keep_holder(struct store_known *known, const struct store_holder *holder)
{
	size_t i = 0;
	while (i < known->holder_count && !uuid_equal(&known->holders[i].id, &holder->id))
		i++;
	if (make_room(&known->holders, i, &known->holder_room, sizeof *known->holders) < 0)
		return -ENOMEM;
	known->holders[i] = *holder;
	if (i == known->holder_count)
		known->holder_count++;
	return (int64_t)i;
}

// The index of the node's name; -ENOMEM. The last ones are the likeliest.
static int64_t keep_node(struct store_known *known, const char name[static NAME_BYTES + 1])
{
	size_t count = known->node_count;
	for (size_t i = count; i-- > 0;)
		if (strcmp(known->nodes[i], name) == 0)
			return (int64_t)i;
	if (make_room(&known->nodes, count, &known->node_room, sizeof *known->nodes) < 0)
		return -ENOMEM;
	memcpy(known->nodes[count], name, sizeof known->nodes[count]);
	known->node_count++;
	return (int64_t)count;
}

bool store_known_take(struct store_known *known, const struct exchange_row *row, const struct store_holder *holder)
{
	int64_t holder_index = holder ? keep_holder(known, holder) : STORE_NOBODY;
	int64_t node_index = keep_node(known, row->node);
	if (holder_index < 0 || node_index < 0)
		return false;
	known->rows[row->lease] = (struct store_row){
		.holder = (uint32_t)holder_index,
		.node = (uint32_t)node_index,
		.exists = row->exists,
		.asked = row->asked,
		.target = row->target,
		.cooldown_ms = row->cooldown_ms,
		.term = row->term,
		.acquired_ms = row->since_ms,
	};
	return true;
}

bool store_known_hold(struct store_known *known, const struct store_holder *holder)
{
	return keep_holder(known, holder) >= 0;
}

static struct exchange_row row_told(const struct store_known *known, uint32_t lease, int64_t server_ms)
{
	const struct store_row *row = &known->rows[lease];
	const struct store_holder *holder = row->holder == STORE_NOBODY ? NULL : &known->holders[row->holder];
	bool past = row->acquired_ms > 0 && row->acquired_ms <= server_ms;
	struct exchange_row told = {
		.lease = lease,
		.exists = row->exists,
		.asked = row->asked,
		.target = row->target,
		.cooldown_ms = row->cooldown_ms,
		.term = row->term,
		.since_ms = past ? server_ms - row->acquired_ms : 0,
	};
	if (row->node != STORE_NOBODY)
		memcpy(told.node, known->nodes[row->node], sizeof told.node);
	if (!holder)
		return told;
	told.holder = holder->id;
	told.holder_alive = holder->alive;
	told.holder_seq = holder->alive ? holder->seq : -1;
	told.holder_lease_ms = holder->alive ? holder->lease_ms : 0;
	told.holder_age_us = holder->alive ? holder->age_us : 0;
	return told;
}

bool store_known_answer(struct store_known *known, struct store_answer *answer, int64_t server_us)
{
	if (known->partly && !incarnation_equal(&known->server, &answer->reply->server))
		return false;
	for (uint32_t i = 0; i < known->count; i++)
		answer->rows[i] = row_told(known, i, server_us / 1000);
	answer->reply->row_count = known->count;
	known->server = answer->reply->server;
	// A clock before 1970 is none.
	known->server_us = server_us > 0 ? server_us : 0;
	return true;
}
