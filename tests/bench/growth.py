# SPDX-License-Identifier: Apache-2.0
"""What becomes of one database as the daemons become more, by a model of it that is fed with what this one takes."""

import re
import statistics
import subprocess

import processes
from exchange import run
from replica import BUILD
from results import Section, shown

ROUNDS = 100
CONNECTIONS = 200
GROUP = 3
# Daemons, and the cores of their database.
SIZES = ((999, 2), (3_000, 2), (6_000, 2), (9_999, 16), (30_000, 64))


def connection_us(server):
    """To connect and to ask for nothing."""
    server.create("connecting")
    script = server.directory / "nothing.sql"
    script.write_text("SELECT 1;\n")
    script.chmod(0o644)
    where = ["-h", server.sockets, "-p", server.port, "-U", "postgres", "connecting"]
    command = ["pgbench", "-n", "-C", "-c", 1, "-t", CONNECTIONS, "-f", script, *where]
    said = processes.spawn(command, stdout=subprocess.PIPE, text=True).communicate()[0]
    return 1000 * float(re.search(r"average connection time = ([\d.]+) ms", said)[1])


def costs_us(server):
    """What the database takes for a connection, a renewal, a poll, and a claim, in microseconds; and the floor of them:
    a row that is changed, and committed."""
    server.create("growing")
    lines = run(BUILD / "tests/bench/time_exchange", server.conninfo("growing", "postgres"), 1, ROUNDS)
    took = [statistics.median(lines[word]) / 1000 for word in ("renew", "poll", "claim", "plain-one")]
    return [connection_us(server), *took[:3]], took[3]


def model(daemons, cores, costs):
    lines = run(BUILD / "tests/bench/growth_model", daemons, cores, *(round(cost) for cost in costs))
    return {word: numbers[0] for word, numbers in lines.items()}


def recovered(found, what):
    """Seconds until all lead again, of the minute that is watched."""
    return "not within 60" if found[f"{what}-led"] >= 60 else shown(found[f"{what}-led"])


def row(daemons, cores, costs):
    found = model(daemons, cores, costs)
    return (
        f"{daemons:,}",
        cores,
        shown(found["steady-exchanges"]),
        f"{100 * found['steady-busy']:.0f}",
        shown(found["steady-wait"]),
        shown(found["failover-worst"]),
        f"{100 * found['failover-revoked'] * GROUP / daemons:.0f}",
        recovered(found, "failover"),
        recovered(found, "death"),
    )


def growth(case):
    costs, floor = costs_us(case.server)
    section = Section("growth", "thousands of daemons on one database, by a model of it")
    section.table(
        (
            "daemons",
            "cores",
            "exchanges/s",
            "busy, %",
            "longest wait, ms",
            "fail-over: exchanges in the worst second",
            "terms that end, %",
            "all led again after, s",
            "a third of the daemons die: all led again after, s",
        ),
        [row(*size, costs) for size in SIZES],
    )
    section.say(
        f"The elections are real, of each {GROUP} daemons one leads, at the default timing; the database is so many"
        " cores that share what there is to do, and takes for each what this one took a moment ago: "
        f"{costs[0]:.0f} µs for a connection, {costs[1]:.0f} for a renewal, {costs[2]:.0f} for a poll and"
        f" {costs[3]:.0f} for a claim or a release; to change one row and commit takes it {floor:.0f}. It"
        " fails over for 5 s, and all connections end. What it means is in GROWTH.md."
    )
    return section
