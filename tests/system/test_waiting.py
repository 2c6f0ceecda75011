#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a replica that waits asks of the server, by the server's own statistics."""

import re
import threading

from case import PostgresTest, main

WINDOW_S = 60
# Longer than usual: other tests run beside this one.
LEASE_S = 4
RENEW_S = 0.8
TIMING = {"lease": "4s", "renew": "800ms", "poll": "400ms", "timeout": "800ms"}
STATEMENTS = """
SELECT calls, rows, query FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid
WHERE rolname = 'tenure_b' AND toplevel ORDER BY query"""
COUNTERS = """
SELECT xact_rollback, tup_inserted, tup_updated, tup_deleted, conflicts, deadlocks
FROM pg_stat_database WHERE datname = current_database()"""


class WaitingTest(PostgresTest):
    def test_waiting_replica(self):
        """R16: a replica that waits causes no failing statement and no write per poll"""
        store = self.postgres()
        store.sql("CREATE EXTENSION pg_stat_statements")
        leading = self.replica("a", store, timing=TIMING).start()
        waiting = self.replica("b", store, user="tenure_b", timing=TIMING).start()
        leader = self.client(leading, "engine")
        leader.wait("granted")
        standby = self.client(waiting, "engine")
        for _ in range(5):  # a backend reports its statistics up to a second late
            leader.wait("extended", after=leader.mark())
        store.sql("SELECT pg_stat_statements_reset()")
        before = [int(value) for value in store.sql(COUNTERS).split("|")]
        errors = len(self.server.errors())
        self.assertFalse(threading.Event().wait(WINDOW_S))
        lines = store.sql(STATEMENTS).splitlines()
        statements = [line.split("|", 2) for line in lines if re.match(r"\d+\|\d+\|", line)]
        after = [int(value) for value in store.sql(COUNTERS).split("|")]

        self.assertEqual(standby.all("granted"), [])
        self.assertEqual(self.server.errors()[errors:], [])
        rolled_back, inserted, updated, deleted, conflicts, deadlocks = (b - a for a, b in zip(before, after))
        self.assertEqual((rolled_back, inserted, deleted, conflicts, deadlocks), (0, 0, 0, 0, 0))

        is_write = re.compile(r"\b(INSERT|UPDATE|DELETE)\b", re.I)
        calls = sum(int(count) for count, _, _ in statements)
        writes = sum(int(count) for count, _, query in statements if is_write.search(query))
        polls = max(int(count) for count, _, query in statements if not is_write.search(query))
        self.figure(f"in {WINDOW_S} s: {calls} statements, of them {polls} polls and {writes} writes")
        # It keeps its session every third lease, or a quarter earlier where that saves an exchange.
        session = WINDOW_S / (LEASE_S * 3)
        self.assertLessEqual(writes, session * 4 / 3 + 2)
        self.assertGreater(writes, 0)
        # All that it reads at once is one statement.
        reads = [query for _, _, query in statements if not is_write.search(query)]
        self.assertEqual([query for query in reads if "paused" not in query], [])
        self.assertGreater(polls, WINDOW_S / RENEW_S / 2, "is it waiting at all?")
        # The leader's renewals are all the other writes there are.
        self.assertLessEqual(updated, writes + WINDOW_S / RENEW_S * 4 / 3 + 2)


if __name__ == "__main__":
    main()
