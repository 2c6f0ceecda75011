// SPDX-License-Identifier: Apache-2.0
// What is going to happen, by time: a binary heap. Events of one instant come in the order in which they were added.
#ifndef TENURE_SIM_QUEUE_H
#define TENURE_SIM_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#define QUEUE_MAX 8192

enum event_kind {
	EVENT_STATEMENT, // the server carries out the next statement of exchange `index`
	EVENT_REPLY,     // the reply of exchange `index` reaches its daemon
	EVENT_HINT,      // something announced reaches daemon `index`
	EVENT_WORD,      // something that worker `index` said, or its end, reaches its daemon
	EVENT_TOLD,      // something that its daemon said reaches worker `index`
	EVENT_TASK,      // worker `index` does what it set out to do
	EVENT_BEAT,      // worker `index` sends a heartbeat, and others until it loses the term
	EVENT_LAPSE,     // worker `index` looks whether its term has lapsed
	EVENT_WORKER_UP, // worker `index` starts
	EVENT_WAKE,      // worker `index` goes on after a pause
	EVENT_DAEMON_UP, // the daemon of node `index` starts
	EVENT_CONTINUE,  // the daemon of node `index` goes on after a pause
	EVENT_UNLOCK,    // the transaction that holds the row of lease `index` ends
	EVENT_CHAOS,     // something goes wrong
	EVENT_STAGE,     // the next part of the script
	EVENT_WATCH,     // the judge looks at a token
	EVENT_HURRY,     // the judge looks whether lease `index` found a new leader
	EVENT_FINISH,    // the judge looks whether the daemon of node `index` has ended
};

struct event {
	enum event_kind kind;
	uint32_t index;
	uint32_t stamp; // of whom it concerns: an event for somebody who is gone is dropped
	int32_t word;
	uint64_t term;
	int64_t value;
};

struct queue_entry {
	int64_t at;
	uint32_t order;
	uint32_t slot;
};

struct queue {
	size_t count;
	uint32_t order;
	struct queue_entry heap[QUEUE_MAX];
	struct event events[QUEUE_MAX];
	uint32_t free[QUEUE_MAX];
};

void queue_init(struct queue *queue);
void queue_add(struct queue *queue, int64_t at, const struct event *event);

// INT64_MAX: nothing is going to happen.
static inline int64_t queue_at(const struct queue *queue)
{
	return queue->count ? queue->heap[0].at : INT64_MAX;
}

// The queue must not be empty.
struct event queue_take(struct queue *queue);

#endif
