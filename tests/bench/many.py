# SPDX-License-Identifier: Apache-2.0
"""Ten thousand components in one daemon: what it costs to lead them, and how soon they are led again when it dies."""

import os
import statistics
import time

from idle import end, fleet, take_over
from local import run
from replica import BUILD
from results import Section, shown, verdict

COUNT = int(os.environ.get("MANY", "10000"))
WINDOW_S = 20
LIMIT_S, LIMIT_MIB, LIMIT_PERCENT = 1, 24, 2
ONES, WHOLES = 40, 3  # rounds of the exchanges
# By the server's clock, and each to the disk, as its own algorithm has it.
LEASES = """
CREATE TABLE leader_leases (component TEXT PRIMARY KEY, holder_id TEXT, expires_at TIMESTAMPTZ, version BIGINT);
INSERT INTO leader_leases SELECT 'c' || n, 'dead', now() - interval '1 s', 1 FROM generate_series(0, {last}) n;
"""
CLAIM = (
    "UPDATE leader_leases SET holder_id = 'heir', expires_at = now() + interval '10 s', version = version + 1"
    " WHERE component = 'c{}' AND (holder_id = 'heir' OR expires_at < now());\n"
)


def idle_cost(replicas):
    """Of the busiest daemon: per cent of a core, and MiB."""
    before = [replica.usage() for replica in replicas]
    time.sleep(WINDOW_S)
    after = [replica.usage() for replica in replicas]
    spent = max(then.cpu_s - first.cpu_s for first, then in zip(before, after))
    return spent / WINDOW_S * 100, max(usage.resident_kb for usage in after) / 1024


def one_by_one(case):
    """Seconds for an heir that claims each of a dead holder's leases in a statement of its own."""
    store = case.postgres()
    store.sql(LEASES.format(last=COUNT - 1))
    begun = time.monotonic()
    store.sql("".join(map(CLAIM.format, range(COUNT))))
    took = time.monotonic() - begun
    assert int(store.sql("SELECT count(*) FROM leader_leases WHERE holder_id = 'heir'")) == COUNT
    return took


def exchanges(case, size, rounds):
    """Seconds of single exchanges about so many components, the median of each kind."""
    conninfo = case.postgres().conninfo("postgres")
    lines = run(BUILD / "tests/bench/time_exchange", conninfo, size, rounds)
    return {word: statistics.median(values) / 1e9 for word, values in lines.items()}


def many(case):
    _, replicas, crowds = fleet(case, COUNT)
    cpu, memory = idle_cost(replicas)
    after, took = take_over(replicas, crowds, COUNT)
    end(replicas, crowds)
    one, whole = exchanges(case, 1, ONES), exchanges(case, COUNT, WHOLES)
    rivals = {
        "`leader_leases`, one claim at a time": one_by_one(case),
        f"Tenure's own claim, one at a time: {COUNT:,} times the median of {ONES}": one["takeover"] * COUNT,
    }
    section = Section("many", f"{COUNT:,} components in one daemon, which dies")
    section.table(
        ("all are taken over", "s"),
        [
            ("Tenure, from the lease's end to the last one that leads", shown(after)),
            ("Tenure, from the first one that leads to the last", shown(took)),
            ("Tenure, the one exchange that claims them", shown(whole["takeover"])),
            *((name, shown(seconds)) for name, seconds in rivals.items()),
            ("floor: one statement that updates as many rows", shown(whole["plain-update"])),
        ],
    )
    section.table(
        ("a daemon with a worker for each, while nothing happens", "measured", "target"),
        [("of a core, %", shown(cpu), LIMIT_PERCENT), ("RSS, MiB", shown(memory), LIMIT_MIB)],
    )
    section.say(
        f"All within {LIMIT_S} s: {verdict(after <= LIMIT_S)};"
        f" {shown(min(rivals.values()) / after)} times sooner than the soonest that claims one at a time."
        f" At most {LIMIT_PERCENT} % of a core: {verdict(cpu <= LIMIT_PERCENT)};"
        f" {LIMIT_MIB} MiB: {verdict(memory <= LIMIT_MIB)}."
        f" Three replicas on PostgreSQL, each with a worker for everything; both are the busiest daemon's, the"
        f" processor over {WINDOW_S} s. Each claim of the rival is a statement and a commit on the disk, over one"
        " connection, sent when the one before was answered."
    )
    return section
