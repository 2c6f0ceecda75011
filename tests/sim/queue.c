// SPDX-License-Identifier: Apache-2.0
#include "queue.h"

#include <assert.h>
#include <stdbool.h>

static bool is_before(const struct queue_entry *a, const struct queue_entry *b)
{
	return a->at != b->at ? a->at < b->at : (int32_t)(a->order - b->order) < 0;
}

void queue_init(struct queue *queue)
{
	queue->count = 0;
	queue->order = 0;
	for (uint32_t i = 0; i < QUEUE_MAX; i++)
		queue->free[i] = i;
}

void queue_add(struct queue *queue, int64_t at, const struct event *event)
{
	assert(queue->count < QUEUE_MAX);
	struct queue_entry entry = {.at = at, .order = queue->order++, .slot = queue->free[queue->count]};
	queue->events[entry.slot] = *event;
	size_t i = queue->count++;
	for (; i > 0 && is_before(&entry, &queue->heap[(i - 1) / 2]); i = (i - 1) / 2)
		queue->heap[i] = queue->heap[(i - 1) / 2];
	queue->heap[i] = entry;
}

struct event queue_take(struct queue *queue)
{
	assert(queue->count > 0);
	uint32_t slot = queue->heap[0].slot;
	struct queue_entry last = queue->heap[--queue->count];
	queue->free[queue->count] = slot;
	size_t i = 0;
	for (size_t child = 1; child < queue->count; i = child, child = 2 * i + 1) {
		if (child + 1 < queue->count && is_before(&queue->heap[child + 1], &queue->heap[child]))
			child++;
		if (!is_before(&queue->heap[child], &last))
			break;
		queue->heap[i] = queue->heap[child];
	}
	queue->heap[i] = last;
	return queue->events[slot];
}
