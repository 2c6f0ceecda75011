# SPDX-License-Identifier: Apache-2.0
"""What a thousand daemons cost one PostgreSQL, by how many they are, and whether their renewals keep time."""

import collections
import math
import os
import pathlib
import subprocess
import threading
import time

import processes
from replica import BUILD, Client, until
from results import Section, percentile, shown, verdict

COUNTS = [int(word) for word in os.environ.get("FLEET", "10 100 300 1000").split()]
WINDOW_S = int(os.environ.get("FLEET_S", "30"))
START_S = 120  # for each group to have a leader
GROUP = 3  # of which one leads
# tenured processes among them, where they are at most a third. Each has a worker here, and with it a thread and a
# process of PostgreSQL; a thousand of them would leave two cores little for what is measured.
REAL = int(os.environ.get("REAL", "99")) // GROUP * GROUP
DEFAULTS = {"lease": "10s", "renew": "2s", "poll": "1s", "timeout": "2s"}
LEASE_S, RENEW_NS, POLL_NS = 10, 2_000_000_000, 1_000_000_000
TICK_S = LEASE_S / 3
BASE, LINEAR = 100, 1.25  # what a daemon of more than so many may cost, as a multiple of one of so many
# The rival's own statements: of each group the first one holds the lease, the others try in vain.
TABLE = "CREATE TABLE leader_leases (component INT PRIMARY KEY, holder_id INT, expires_at TIMESTAMPTZ, version BIGINT)"
TICK = f"""
UPDATE leader_leases SET holder_id = :client_id, expires_at = now() + interval '{LEASE_S} s', version = version + 1 \
WHERE component = :client_id / {GROUP} AND (holder_id = :client_id OR expires_at < now());
"""


class Processor:
    """Seconds of it that a server's processes took; to the nanosecond, for a tick is more than each of many takes."""

    def __init__(self, server):
        self.pid = server.process.pid
        self.begun, self.spent = time.monotonic(), self.total()

    def total(self):
        return sum(self.of(pid) for pid in processes.whole(self.pid))

    @staticmethod
    def of(pid):
        try:
            return int(pathlib.Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9
        except (FileNotFoundError, ProcessLookupError):
            return 0

    def rate(self):
        """A second, since it began."""
        return (self.total() - self.spent) / (time.monotonic() - self.begun)


class Crew:
    """Real daemons, each with a worker that hears of every renewal."""

    def __init__(self, case, store, count):
        self.replicas = [
            case.replica(
                f"{store.database}r{number}",
                store,
                components=[f"r{number // GROUP}"],
                timing=DEFAULTS,
                component={"stop_grace": "2s"},
                tenure={"log_level": "warning"},
            ).start()
            for number in range(count)
        ]
        self.clients = [Client(replica.socket, replica.name) for replica in self.replicas]
        for client, replica in zip(self.clients, self.replicas):
            client.say(f"join component={replica.components[0]}")
        led = count // GROUP
        until(lambda: sum(len(each.all("granted")) for each in self.clients) == led, "each group is led", timeout=60)

    def end(self):
        """How much later than it should each renewal was heard of, and how many terms ended."""
        late, ended = [], 0
        for client in self.clients:
            heard = [event.at for event in client.all("granted") + client.all("extended")]
            late += [after - before - RENEW_NS for before, after in zip(heard, heard[1:])]
            ended += len(client.all("revoked"))
            client.close()
        for replica in self.replicas:
            replica.kill()
        return late, ended


def drive(server, store, count):
    """The driver's numbers by word, and the server's processor time a second; none where it did not come to that."""
    command = [BUILD / "tests/bench/time_fleet", store.conninfo("postgres"), count, WINDOW_S]
    found, cpu = collections.defaultdict(list), None
    with processes.spawn(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as driver:
        limit = threading.Timer(START_S, driver.kill)
        limit.start()
        for line in driver.stdout:
            word, number = line.split()
            found[word].append(int(number))
            if word == "start":
                limit.cancel()
            elif word == "begin":
                cpu = Processor(server)
            elif word == "end":
                found["cpu"] = [cpu.rate()]
                driver.stdin.close()
        limit.cancel()
    return found


class Fleet:
    """So many daemons on a database of their own, and what they did."""

    def __init__(self, case, server, count):
        real = min(REAL, count // 3 // GROUP * GROUP)
        store = case.postgres(server=server)
        self.count, self.driven = count, count - real
        crew = Crew(case, store, real)
        self.found = drive(server, store, self.driven)
        self.late, self.ended = crew.end()
        self.late += self.found["late"]
        self.ended += sum(self.found["start-revoked"] + self.found["begin-revoked"] + self.found["end-revoked"])
        self.led = bool(self.found["end"])

    def cost(self):
        """Milliseconds of the processor a second and daemon."""
        return self.found["cpu"][0] * 1000 / self.count

    def row(self, rival):
        found, more = self.found, f"more than {START_S:,}"
        started = shown(found["started"][0] / 1e9) if found["started"] else more
        told = f"{found['start-hints'][0] / self.driven:.1f}" if found["start-hints"] else ""
        if not self.led:
            return (f"{self.count:,}", started, told, *[""] * 5, f"{rival:.2f}")
        times = [sorted(ns / 1e6 for ns in found[word]) for word in ("renew", "poll")]
        return (
            f"{self.count:,}",
            started,
            told,
            shown(found["end-exchanges"][0] / WINDOW_S * self.count / self.driven),
            *(f"{percentile(each, 50):.1f}, {percentile(each, 99):.1f}" for each in times),
            f"{percentile(self.late, 99) / 1e6:.0f}, {max(self.late) / 1e6:.0f}",
            f"{self.cost():.2f}",
            f"{rival:.2f}",
        )


def leader_leases(server, count):
    """What as many of the rival cost the same server, three ticks a lease each: milliseconds a second and process."""
    database = f"leases{count}"
    server.create(database)
    server.sql(TABLE, database)
    rows = f"SELECT n, n * {GROUP}, now(), 1 FROM generate_series(0, {count}) n"
    server.sql(f"INSERT INTO leader_leases {rows}", database)
    script = server.directory / "tick.sql"
    script.write_text(TICK)
    script.chmod(0o644)
    where = ["-h", server.sockets, "-p", server.port, "-U", "postgres", database]
    pace = ["-c", count, "-R", f"{count / TICK_S:.3f}", "-T", START_S + WINDOW_S, "-j", 2]
    ticks = processes.spawn(["pgbench", "-n", *pace, "-f", script, *where], stdout=subprocess.DEVNULL)
    query = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}'"
    until(lambda: int(server.sql(query)) == count, "all are connected", timeout=START_S, every=0.5)
    time.sleep(TICK_S)
    cpu = Processor(server)
    time.sleep(WINDOW_S)
    rate = cpu.rate()
    ticks.kill()
    ticks.wait()
    return rate * 1000 / count


def fleet(case):
    # What a killed client leaves goes away by and by.
    server = case.make_server(**{**case.server.settings, "max_connections": 2 * sum(COUNTS) + 100})
    server.start()
    rows, fleets, theirs = [], [], []
    for count in COUNTS:
        fleets.append(Fleet(case, server, count))
        theirs.append(leader_leases(server, count))
        rows.append(fleets[-1].row(theirs[-1]))
    section = Section("fleet", "many daemons on one PostgreSQL")
    section.table(
        (
            "daemons",
            "all groups led after, s",
            "wake-ups of each until then",
            "exchanges/s",
            "renewal, ms, p50, p99",
            "poll, ms, p50, p99",
            "renewal late by, ms, p99, most",
            "server's ms a second and daemon",
            "`leader_leases`",
        ),
        rows,
    )
    worst = max((max(each.late, default=0) for each in fleets), default=0)
    costs = {each.count: each.cost() for each in fleets if each.led}
    linear = all(costs.get(count, math.inf) <= LINEAR * costs.get(BASE, 0) for count in COUNTS if count > BASE)
    ratios = [each.cost() / rival for each, rival in zip(fleets, theirs) if each.led] or [math.inf]
    section.say(
        f"No renewal late by more than a poll: {verdict(worst <= POLL_NS and all(each.led for each in fleets))},"
        f" {shown(worst / 1e6)} ms at most. Linear, at most {LINEAR:g} times the cost of one of {BASE}:"
        f" {verdict(linear)}. It costs {shown(min(ratios))} – {shown(max(ratios))} times what `leader_leases` does, of"
        f" which PROFILES.md says why. {sum(each.ended for each in fleets)} terms ended."
        f" Default timing; of each {GROUP} daemons one leads; {WINDOW_S} s each, a lease after the last group was led."
        f" At most {REAL} are `tenured`, the others elections and stores of its own in one process, with a connection"
        " and a thread each, started 20 ms apart. A renewal is late by what its answer comes after a renewal's interval"
        " since the one before was sent, and at a `tenured`, which is there before the others start, by what its worker"
        " hears. The rival's are three ticks a lease of one update each, by pgbench, over as many connections. The"
        " processor time is the whole server's."
    )
    return section
