# SPDX-License-Identifier: Apache-2.0
"""Spring Integration's JdbcLockRegistry under its LockRegistryLeaderInitiator, with their defaults."""

import time

from rivals.rows import Rows, utc

TRY_S = 0.1  # the registry's idle time between tries
RENEW_S = 0.5  # the initiator's heartbeat


class Jdbc(Rows):
    KIND, NAME = "jdbc", "JDBC lock, Spring's cadence"
    LEASE_S, POLL_S = 10, TRY_S

    def __init__(self, *options):
        super().__init__(*options)
        self.changed(
            "CREATE TABLE IF NOT EXISTS int_lock (lock_key TEXT PRIMARY KEY, client_id TEXT, created_date TIMESTAMP)"
        )

    def acquire(self):
        return self.changed(
            "UPDATE int_lock SET client_id = %s, created_date = %s"
            " WHERE lock_key = %s AND (client_id = %s OR created_date < %s)",
            *(self.me, utc(), self.component, self.me, utc(-self.lease_s)),
        ) or self.changed(
            "INSERT INTO int_lock VALUES (%s, %s, %s) ON CONFLICT DO NOTHING", self.component, self.me, utc()
        )

    def win(self):
        while not self.acquire():
            time.sleep(TRY_S)

    def keep(self):
        while self.acquire():
            time.sleep(RENEW_S)

    def resign(self):
        self.changed("DELETE FROM int_lock WHERE lock_key = %s AND client_id = %s", self.component, self.me)
