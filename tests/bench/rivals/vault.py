# SPDX-License-Identifier: Apache-2.0
"""Vault's lock in PostgreSQL, as of early 2025: physical/postgresql/postgresql.go, and vault/ha.go's look at who leads.

None of its times is an option. What a node writes about itself to Vault's own storage, once a term, is left out.
"""

import time
import uuid

from rivals.rows import Rows

TRY_S = 1
RENEW_S = 5
LOOK_S = 2.5  # a candidate asks who leads, to send requests there


class Vault(Rows):
    KIND, NAME = "vault", "Vault"
    LEASE_S, IS_FIXED, POLL_S = 15, True, TRY_S

    def __init__(self, *options):
        super().__init__(*options)
        self.changed(
            'CREATE TABLE IF NOT EXISTS vault_ha_locks (ha_key TEXT COLLATE "C" PRIMARY KEY,'
            ' ha_identity TEXT COLLATE "C" NOT NULL, ha_value TEXT COLLATE "C", valid_until TIMESTAMPTZ NOT NULL)'
        )

    def write(self):
        return self.changed(
            "INSERT INTO vault_ha_locks AS held (ha_key, ha_identity, ha_value, valid_until)"
            " VALUES (%s, %s, %s, now() + make_interval(secs => %s)) ON CONFLICT (ha_key) DO UPDATE"
            " SET ha_identity = excluded.ha_identity, ha_value = excluded.ha_value, valid_until = excluded.valid_until"
            " WHERE held.valid_until < now() OR held.ha_identity = excluded.ha_identity",
            *(self.component, self.me, self.me, self.lease_s),
        )

    def win(self):
        self.me = str(uuid.uuid4())  # each time anew
        looked_at = time.monotonic()
        time.sleep(TRY_S)
        while not self.write():
            if time.monotonic() >= looked_at + LOOK_S:
                looked_at += LOOK_S
                self.rows(
                    "SELECT ha_value FROM vault_ha_locks WHERE ha_key = %s AND valid_until >= now()", self.component
                )
            time.sleep(TRY_S)

    def keep(self):
        time.sleep(RENEW_S)
        while self.write():
            time.sleep(RENEW_S)

    def resign(self):
        self.changed("DELETE FROM vault_ha_locks WHERE ha_key = %s AND ha_identity = %s", self.component, self.me)
