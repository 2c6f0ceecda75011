// SPDX-License-Identifier: Apache-2.0
#include "lease.h"

#include <assert.h>

#define NEVER LEASE_STATES

// clang-format off
static const enum lease_state table[LEASE_STATES][LEASE_EVENTS] = {
	[LEASE_IDLE] = {
		[LEASE_WORKER_READY] = LEASE_CANDIDATE,
		[LEASE_WORKER_LEFT] = LEASE_IDLE,
		[LEASE_CLAIM] = NEVER,
		[LEASE_GRANTED] = NEVER,
		[LEASE_UNWANTED] = NEVER,
		[LEASE_REFUSED] = NEVER,
		[LEASE_STRAY] = LEASE_RELEASING,
		[LEASE_REVOKE] = NEVER,
		[LEASE_ENDED] = NEVER,
		[LEASE_VOID] = NEVER,
		[LEASE_RELEASED] = NEVER,
	},
	[LEASE_CANDIDATE] = {
		[LEASE_WORKER_READY] = LEASE_CANDIDATE,
		[LEASE_WORKER_LEFT] = LEASE_IDLE,
		[LEASE_CLAIM] = LEASE_CLAIMING,
		[LEASE_GRANTED] = NEVER,
		[LEASE_UNWANTED] = NEVER,
		[LEASE_REFUSED] = NEVER,
		[LEASE_STRAY] = LEASE_RELEASING,
		[LEASE_REVOKE] = NEVER,
		[LEASE_ENDED] = NEVER,
		[LEASE_VOID] = NEVER,
		[LEASE_RELEASED] = NEVER,
	},
	[LEASE_CLAIMING] = {
		[LEASE_WORKER_READY] = LEASE_CLAIMING,
		[LEASE_WORKER_LEFT] = LEASE_CLAIMING,
		[LEASE_CLAIM] = NEVER,
		[LEASE_GRANTED] = LEASE_LEADING,
		[LEASE_UNWANTED] = LEASE_RELEASING,
		[LEASE_REFUSED] = LEASE_CANDIDATE,
		[LEASE_STRAY] = NEVER,
		[LEASE_REVOKE] = NEVER,
		[LEASE_ENDED] = NEVER,
		[LEASE_VOID] = NEVER,
		[LEASE_RELEASED] = NEVER,
	},
	[LEASE_LEADING] = {
		[LEASE_WORKER_READY] = NEVER,
		[LEASE_WORKER_LEFT] = NEVER,
		[LEASE_CLAIM] = NEVER,
		[LEASE_GRANTED] = NEVER,
		[LEASE_UNWANTED] = NEVER,
		[LEASE_REFUSED] = NEVER,
		[LEASE_STRAY] = NEVER,
		[LEASE_REVOKE] = LEASE_DRAINING,
		[LEASE_ENDED] = LEASE_RELEASING,
		[LEASE_VOID] = NEVER,
		[LEASE_RELEASED] = NEVER,
	},
	[LEASE_DRAINING] = {
		[LEASE_WORKER_READY] = NEVER,
		[LEASE_WORKER_LEFT] = NEVER,
		[LEASE_CLAIM] = NEVER,
		[LEASE_GRANTED] = NEVER,
		[LEASE_UNWANTED] = NEVER,
		[LEASE_REFUSED] = NEVER,
		[LEASE_STRAY] = NEVER,
		[LEASE_REVOKE] = LEASE_DRAINING,
		[LEASE_ENDED] = LEASE_RELEASING,
		[LEASE_VOID] = LEASE_RELEASING,
		[LEASE_RELEASED] = NEVER,
	},
	[LEASE_RELEASING] = {
		[LEASE_WORKER_READY] = LEASE_RELEASING,
		[LEASE_WORKER_LEFT] = LEASE_RELEASING,
		[LEASE_CLAIM] = NEVER,
		[LEASE_GRANTED] = NEVER,
		[LEASE_UNWANTED] = NEVER,
		[LEASE_REFUSED] = NEVER,
		[LEASE_STRAY] = NEVER,
		[LEASE_REVOKE] = NEVER,
		[LEASE_ENDED] = NEVER,
		[LEASE_VOID] = NEVER,
		[LEASE_RELEASED] = LEASE_IDLE,
	},
};
// clang-format on

enum lease_state lease_next(enum lease_state state, enum lease_event event)
{
	assert((unsigned)state < LEASE_STATES && (unsigned)event < LEASE_EVENTS);
	return table[state][event];
}

const char *lease_state_name(enum lease_state state)
{
	static const char *const names[LEASE_STATES] = {
		[LEASE_IDLE] = "idle",
		[LEASE_CANDIDATE] = "candidate",
		[LEASE_CLAIMING] = "claiming",
		[LEASE_LEADING] = "leading",
		[LEASE_DRAINING] = "draining",
		[LEASE_RELEASING] = "releasing",
	};
	assert((unsigned)state < LEASE_STATES);
	return names[state];
}

const char *lease_event_name(enum lease_event event)
{
	static const char *const names[LEASE_EVENTS] = {
		[LEASE_WORKER_READY] = "worker-ready",
		[LEASE_WORKER_LEFT] = "worker-left",
		[LEASE_CLAIM] = "claim",
		[LEASE_GRANTED] = "granted",
		[LEASE_UNWANTED] = "unwanted",
		[LEASE_REFUSED] = "refused",
		[LEASE_STRAY] = "stray",
		[LEASE_REVOKE] = "revoke",
		[LEASE_ENDED] = "ended",
		[LEASE_VOID] = "void",
		[LEASE_RELEASED] = "released",
	};
	assert((unsigned)event < LEASE_EVENTS);
	return names[event];
}
