# SPDX-License-Identifier: Apache-2.0
"""A table of leases and a tick: an expiry by the client's clock, three ticks a lease; one that fails ends it."""

import time

from rivals.rows import Rows, utc


class LeaderLeases(Rows):
    KIND, NAME = "leader_leases", "`leader_leases`"
    LEASE_S, POLL_S = 15, 5

    def __init__(self, *options):
        super().__init__(*options)
        self.changed(
            "CREATE TABLE IF NOT EXISTS leader_leases (component TEXT PRIMARY KEY, holder_id TEXT,"
            " expires_at TIMESTAMP, version BIGINT)"
        )

    def claim(self):
        return self.changed(
            "UPDATE leader_leases SET holder_id = %s, expires_at = %s, version = version + 1"
            " WHERE component = %s AND (holder_id = %s OR expires_at < %s)",
            *(self.me, utc(self.lease_s), self.component, self.me, utc()),
        ) or self.changed(
            "INSERT INTO leader_leases VALUES (%s, %s, %s, 1) ON CONFLICT DO NOTHING",
            *(self.component, self.me, utc(self.lease_s)),
        )

    def tick(self):
        time.sleep(self.lease_s / 3)

    def win(self):
        while not self.claim():
            self.tick()

    def keep(self):
        self.tick()
        while self.claim():
            self.tick()

    def resign(self):
        self.changed(
            "UPDATE leader_leases SET expires_at = %s WHERE component = %s AND holder_id = %s",
            *(utc(), self.component, self.me),
        )
