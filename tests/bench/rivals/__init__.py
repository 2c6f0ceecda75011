# SPDX-License-Identifier: Apache-2.0
"""Elections by rows of PostgreSQL: their own statements at their own cadence, written anew."""

from rivals.jdbc import Jdbc
from rivals.leader_leases import LeaderLeases
from rivals.oban import Oban
from rivals.pglock import PgLock
from rivals.river import River
from rivals.vault import Vault

KINDS = {each.KIND: each for each in (River, Oban, PgLock, Vault, Jdbc, LeaderLeases)}
