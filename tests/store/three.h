// SPDX-License-Identifier: Apache-2.0
// Three daemons on one fresh database: what the suites against every driver begin with.
#ifndef TENURE_TESTS_STORE_THREE_H
#define TENURE_TESTS_STORE_THREE_H

#include "world.h"

#include <check.h>

enum { DISCOVERY, ENGINE, COUNTER };

static struct world world;
static struct peer a, b, c;

static void set_up(enum backend backend)
{
	world_init(&world, backend);
	peer_init(&a, &world);
	peer_init(&b, &world);
	peer_init(&c, &world);
}

static void tear_down(void)
{
	peer_done(&a);
	peer_done(&b);
	peer_done(&c);
	world_done(&world);
}

// Both sessions live, `a` leads the engine with term 1.
static void set_up_leader(enum backend backend)
{
	set_up(backend);
	peer_session(&a, EXCHANGE_SESSION_CREATE);
	peer_session(&b, EXCHANGE_SESSION_CREATE);
	ck_assert_uint_eq(peer_claim(&a, ENGINE), 1);
}

static bool is_alive(struct peer *peer)
{
	return peer_session(peer, EXCHANGE_SESSION_RENEW)->session_alive;
}

#endif
