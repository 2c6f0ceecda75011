# SPDX-License-Identifier: Apache-2.0
"""pglock (cirello.io/pglock), as of June 2026, 1.16.1 and later: client.go.

No clock is compared: a candidate takes the lock when its number is the same as a whole lease ago.
"""

import time

from rivals.rows import Rows

BEATS = 4  # in a lease, by its defaults of 5 s and 20 s


class PgLock(Rows):
    KIND, NAME = "pglock", "pglock"
    LEASE_S = POLL_S = 20

    def __init__(self, *options):
        super().__init__(*options)
        self.number = 0
        self.changed(
            "CREATE TABLE IF NOT EXISTS locks (name VARCHAR(255) PRIMARY KEY, record_version_number BIGINT,"
            " data BYTEA, owner VARCHAR(255))"
        )
        self.changed("CREATE SEQUENCE IF NOT EXISTS locks_rvn CYCLE OWNED BY locks.record_version_number")

    def next(self):
        return self.rows("SELECT nextval('locks_rvn')")[0][0]

    def acquire(self):
        """Writes the row in any case, as it was where the lock is another's."""
        number = self.next()
        self.number = self.rows(
            "INSERT INTO locks AS held (name, record_version_number, owner) VALUES (%s, %s, %s)"
            " ON CONFLICT (name) DO UPDATE SET (record_version_number, owner) ="
            " (SELECT CASE WHEN free THEN excluded.record_version_number ELSE held.record_version_number END,"
            " CASE WHEN free THEN excluded.owner ELSE held.owner END"
            " FROM (SELECT held.record_version_number IS NULL OR held.record_version_number = %s) AS it (free))"
            " RETURNING record_version_number",
            *(self.component, number, self.me, self.number),
        )[0][0]
        return self.number == number

    def beat(self):
        before, self.number = self.number, self.next()
        return self.changed(
            "UPDATE locks SET record_version_number = %s WHERE name = %s AND record_version_number = %s",
            *(self.number, self.component, before),
        )

    def win(self):
        while not self.acquire():
            time.sleep(self.lease_s)

    def keep(self):
        while self.beat():
            time.sleep(self.lease_s / BEATS)

    def resign(self):
        self.changed(
            "DELETE FROM locks WHERE name = %s AND record_version_number = %s", self.component, self.number
        )
