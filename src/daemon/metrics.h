// SPDX-License-Identifier: Apache-2.0
// What is counted, for Prometheus (W26).
#ifndef TENURE_METRICS_H
#define TENURE_METRICS_H

#include "election.h"
#include "server.h"

#include <stdio.h>

#define METRICS_BUCKETS 14

struct metrics_lease {
	uint64_t begun;
	uint64_t ended[REASON_COUNT];
	int64_t leaderless_ns;    // up to `leaderless_since`
	int64_t leaderless_since; // 0: there is a leader, as far as is known
};

struct metrics {
	int64_t started_ms; // since 1970
	struct metrics_lease *leases;
	size_t lease_count;
	uint64_t buckets[METRICS_BUCKETS]; // of how long exchanges took, each without those below
	uint64_t exchanges[EXCHANGE_UNKNOWN + 1];
	int64_t exchange_ns;
	uint64_t renewals;
	uint64_t incarnations; // seen, the first included
};

// Room for more leases, of which none has a leader. 0 or -ENOMEM. Begins with all zero but `started_ms`.
int metrics_reserve(struct metrics *metrics, size_t lease_count, int64_t now) MUST_CHECK;
void metrics_done(struct metrics *metrics);

void metrics_note(struct metrics *metrics, const struct election_note *note);
// What the row of a lease says after a step.
void metrics_row(struct metrics *metrics, uint32_t lease, const struct server_row *row, int64_t now);
void metrics_exchange(struct metrics *metrics, enum exchange_outcome outcome, int64_t took_ns);

// In Prometheus' text format.
void metrics_print(const struct metrics *metrics, const struct server *server, const struct election *election,
	int64_t now, FILE *out);

#endif
