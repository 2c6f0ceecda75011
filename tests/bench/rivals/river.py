# SPDX-License-Identifier: Apache-2.0
"""River's elector, as of 0.43.0: internal/leadership/elector.go, river_leader.sql of riverdriver/riverpgxv5.

The interval is no option of its client, hence the lease is 15 s for everybody. Its notifier, which serves the jobs too,
asks its connection each 5 s besides whether it is alive; that is not counted here.
"""

import random
import time

from rivals.rows import Rows

PADDING_S = 10  # of the lease beyond the interval
JITTER_S = 1  # at most so much later does a candidate try again
MARGIN_S = 1  # so much earlier does the leader itself give up
STAMPEDE_S = 0.05  # at most so long do those wait who were told that the leader resigned


class River(Rows):
    KIND, NAME = "river", "River"
    LEASE_S, IS_FIXED = 15, True

    def __init__(self, *options):
        super().__init__(*options)
        self.interval_s = self.lease_s - PADDING_S
        self.elected_at, self.trusted_until = None, 0
        # There is one election in a schema.
        self.changed(f"CREATE SCHEMA IF NOT EXISTS {self.component}")
        self.changed(f"SET search_path = {self.component}")
        self.changed(
            "CREATE UNLOGGED TABLE IF NOT EXISTS river_leader (elected_at TIMESTAMPTZ NOT NULL,"
            " expires_at TIMESTAMPTZ NOT NULL, leader_id TEXT NOT NULL, name TEXT PRIMARY KEY DEFAULT 'default')"
        )
        self.changed(f'LISTEN "{self.component}.river_leadership"')

    def elected(self, begun, found):
        if found:
            self.elected_at = found[0][0]
            self.trusted_until = begun + self.lease_s - MARGIN_S
        return bool(found)

    def elect(self):
        begun = time.monotonic()
        self.changed("BEGIN")
        self.changed("DELETE FROM river_leader WHERE expires_at < now()")
        found = self.rows(
            "INSERT INTO river_leader (elected_at, expires_at, leader_id)"
            " VALUES (now(), now() + make_interval(secs => %s), %s) ON CONFLICT (name) DO NOTHING RETURNING elected_at",
            *(self.lease_s, self.me),
        )
        self.changed("COMMIT")
        return self.elected(begun, found)

    def reelect(self):
        begun = time.monotonic()
        return begun < self.trusted_until and self.elected(
            begun,
            self.rows(
                "UPDATE river_leader SET expires_at = now() + make_interval(secs => %s)"
                " WHERE leader_id = %s AND elected_at = %s AND expires_at >= now() RETURNING elected_at",
                *(self.lease_s, self.me, self.elected_at),
            ),
        )

    def win(self):
        while not self.elect():
            if self.told(random.uniform(self.interval_s, self.interval_s + JITTER_S)):
                time.sleep(random.uniform(0, STAMPEDE_S))

    def keep(self):
        time.sleep(self.interval_s)
        while self.reelect():
            time.sleep(self.interval_s)

    def resign(self):
        self.changed(
            "WITH mine AS (DELETE FROM river_leader WHERE leader_id = %s AND elected_at = %s RETURNING leader_id)"
            " SELECT pg_notify(current_schema() || '.river_leadership',"
            " json_build_object('action', 'resigned', 'leader_id', leader_id)::text) FROM mine",
            *(self.me, self.elected_at),
        )
