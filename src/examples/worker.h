// SPDX-License-Identifier: Apache-2.0
// The worker's side of libtenure in a libev loop: work that is started for a term and stopped at its end.
#ifndef WORKER_H
#define WORKER_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

struct worker;

struct work {
	/* Below 0: it cannot be done here, and another replica gets its chance. `lease` lives as long as the worker. */
	int (*start)(struct work *work, const char *lease, uint64_t term);
	/* Once for every start() that returned 0: when it returns nothing of that term is left. */
	void (*stop)(struct work *work);
	struct worker *worker;
	struct ev_loop *loop;
};

/* Works for the component until SIGTERM or SIGINT; an exit status. */
int worker_run(struct work *work, const char *component);

/* To be asked immediately before anything that only a leader may do. */
bool worker_valid(const struct work *work);

/* The work failed in the middle of a term: stops it, and lets another replica try. */
void worker_failed(struct work *work);

#endif
