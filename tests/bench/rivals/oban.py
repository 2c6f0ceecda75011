# SPDX-License-Identifier: Apache-2.0
"""Oban's peer by a table, as of 2.23.0: lib/oban/peers/database.ex, backoff.ex, notifiers/postgres.ex."""

import random

from rivals.rows import Rows, utc

BOOST = 2  # the leader holds its election so much more often
JITTER = 0.1  # at most by this part do elections come earlier


class Oban(Rows):
    KIND, NAME, LEASE_S = "oban", "Oban", 30

    def __init__(self, *options):
        super().__init__(*options)
        self.changed(
            "CREATE UNLOGGED TABLE IF NOT EXISTS oban_peers (name TEXT PRIMARY KEY, node TEXT NOT NULL,"
            " started_at TIMESTAMP NOT NULL, expires_at TIMESTAMP NOT NULL)"
        )
        self.changed('LISTEN "public.oban_leader"')

    def elect(self):
        now, until = utc(), utc(self.lease_s)
        self.changed("BEGIN")
        self.changed("DELETE FROM oban_peers WHERE name = %s AND expires_at < %s", self.component, now)
        leads = self.changed(
            "INSERT INTO oban_peers AS held (name, node, started_at, expires_at) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (name) DO UPDATE SET expires_at = %s WHERE held.node = %s",
            *(self.component, self.me, now, until, until, self.me),
        )
        self.changed("COMMIT")
        return leads

    def rest(self, interval_s):
        self.told(interval_s * random.uniform(1 - JITTER, 1))

    def win(self):
        while not self.elect():
            self.rest(self.lease_s)

    def keep(self):
        self.rest(self.lease_s / BOOST)
        while self.elect():
            self.rest(self.lease_s / BOOST)

    def resign(self):
        self.changed("BEGIN")
        if self.changed("DELETE FROM oban_peers WHERE name = %s AND node = %s", self.component, self.me):
            self.rows("SELECT pg_notify('public.oban_leader', json_build_object('down', %s)::text)", self.component)
        self.changed("COMMIT")
