# SPDX-License-Identifier: Apache-2.0
"""The shortest lease that is kept on a machine that is full: how often leaders lose it, each lease side by side."""

import contextlib
import os
import re
import statistics
import subprocess
import sys
import time

import processes
from crash import RIVAL, quiet
from etcd import Etcd
from replica import Client, until
from results import Section, verdict
from zookeeper import TICK_MS, ZooKeeper

STABLE_S = int(os.environ.get("STABLE_S", "300"))
SETTLE_S = 5  # under the load, before it counts
LEASES_S = (0.5, 0.75, 1, 2)
RIVAL_LEASES_S = (0.25, 0.5, 1, 2)
ETCD_TTLS_S = (2, 3, 5)  # its server gives two at least, where one is asked for as well
TARGET_S = 0.5
LOOPS = 2 * os.cpu_count()
BUSY = "while True: pass"
BLOCKS = 64  # of a MiB, of a file that is written over and over
WRITES = f"""
import os, sys
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
block = os.urandom(1 << 20)
while True:
    for place in range({BLOCKS}):
        os.pwrite(file, block, place << 20)
        os.fsync(file)
"""
# Who works says so once, and again after it was ended and may work again.
WORK = ["sh", "-c", 'echo >> "$0"; exec sleep infinity']


@contextlib.contextmanager
def load(directory):
    """Both cores twice over, and the disk that the databases are on."""
    python = [sys.executable, "-S", "-c"]
    commands = [[*python, BUSY]] * LOOPS + [[*python, WRITES, directory / "load"]]
    loops = [processes.spawn(command) for command in commands]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


class Commits:
    """One commit after the other, by `psql`: as long as the longest takes, nobody's lease is renewed."""

    EVERY_S = 0.1

    def __init__(self, case):
        where = case.postgres().conninfo("postgres")
        self.path = case.directory / "commits"
        script = (
            "\\timing on\n"
            "CREATE TABLE floor AS SELECT 0 AS n;\n"
            f"UPDATE floor SET n = n + 1 \\watch {self.EVERY_S}\n"
        )
        with open(self.path, "w", encoding="utf-8") as out:
            self.psql = processes.spawn(["psql", "-Xq", where], stdin=subprocess.PIPE, stdout=out, text=True)
        self.psql.stdin.write(script)
        self.psql.stdin.close()
        case.addCleanup(self.end)

    def end(self):
        """Milliseconds that each took."""
        self.psql.kill()
        self.psql.wait()
        return [float(time_ms) for time_ms in re.findall(r"^Time: ([\d.]+) ms", self.path.read_text(), re.M)]


class Ours:
    """Two replicas with a worker each; all but the lease is as it comes."""

    def __init__(self, case, lease_s, urgent):
        self.name = "Tenure, `urgent = yes`" if urgent else "Tenure"
        self.lease_s = lease_s
        store = case.postgres()
        keys = {
            "timing": {"lease": f"{lease_s * 1000:.0f}ms", "renew": None, "poll": None, "timeout": None},
            "component": {"stop_grace": None},
            "tenure": {"log_level": "warning", "urgent": "yes" if urgent else "no"},
        }
        slug = f"{'urgent' if urgent else 'plain'}{lease_s * 1000:.0f}"
        self.clients = []
        for letter in "ab":
            replica = case.replica(f"{slug}{letter}", store, **keys).start()
            client = Client(replica.socket, replica.name)
            case.addCleanup(client.close)
            client.say("join component=engine extend=no")
            self.clients.append(client)

    def leads(self):
        return any(client.all("granted") for client in self.clients)

    def ended(self):
        """How many terms were lost so far."""
        return sum(len(client.all("revoked")) for client in self.clients)


class Rival:
    """Two candidates, each with the same command for when it leads."""

    def __init__(self, case, name, lease_s, command):
        self.name, self.lease_s = name, lease_s
        self.starts = case.directory / f"{''.join(filter(str.isalnum, name))}{lease_s}"
        self.starts.touch()
        self.nodes = [quiet([*command, *WORK, self.starts]) for _ in "ab"]
        case.addCleanup(self.end)

    def leads(self):
        return self.starts.stat().st_size > 0

    def ended(self):
        """Whoever began after the first one did so because a term had ended: each wrote a line."""
        return self.starts.stat().st_size - 1

    def end(self):
        for node in self.nodes:
            for pid in processes.whole(node.pid):
                processes.send(pid, processes.signal.SIGKILL)
            node.wait()


def rivals(case, etcd, keeper):
    def postgres():
        return case.postgres().conninfo("postgres")

    lock = ["etcdctl", f"--endpoints={etcd.url}", "lock"]
    found = [Rival(case, "`etcdctl lock`", ttl, [*lock, f"--ttl={ttl}", f"l{ttl}", "--"]) for ttl in ETCD_TTLS_S]
    for lease_s in RIVAL_LEASES_S:
        found += [
            # A place of its own for each pair.
            Rival(case, "ZooKeeper, kazoo", lease_s, [RIVAL, "kazoo", f"{keeper.where}/l{lease_s}", lease_s]),
            Rival(case, "JDBC lock, Spring's cadence", lease_s, [RIVAL, "jdbc", postgres(), lease_s]),
            Rival(case, "`leader_leases`", lease_s, [RIVAL, "leader_leases", postgres(), lease_s]),
        ]
    return found


def counted(case, pairs):
    """How many terms each lost within the time, and what a commit took."""
    for pair in pairs:
        until(pair.leads, f"{pair.name} leads, {pair.lease_s} s", timeout=60, every=0.1)
    with load(case.directory):
        time.sleep(SETTLE_S)
        commits = Commits(case)
        before = [pair.ended() for pair in pairs]
        time.sleep(STABLE_S)
        return [pair.ended() - start for pair, start in zip(pairs, before)], commits.end()


def shortest(losses):
    """The shortest lease that lost nothing, as no longer one did; None where the longest one did."""
    kept = None
    for lease_s in sorted(losses, reverse=True):
        if losses[lease_s]:
            break
        kept = lease_s
    return kept


def row(name, losses):
    kept = shortest(losses)
    lost = ", ".join(f"{lease_s:g} s: {count}" for lease_s, count in sorted(losses.items()))
    return (name, f"{kept:g}" if kept else "none of them", lost)


def stable(case):
    with contextlib.ExitStack() as stack:
        etcd = stack.enter_context(Etcd(case.directory / "etcd"))
        keeper = stack.enter_context(ZooKeeper(case.directory / "zookeeper"))
        pairs = [Ours(case, lease_s, urgent) for urgent in (True, False) for lease_s in LEASES_S]
        pairs += rivals(case, etcd, keeper)
        losses = {}
        counts, commits_ms = counted(case, pairs)
        for pair, count in zip(pairs, counts):
            losses.setdefault(pair.name, {})[pair.lease_s] = count
        for pair in pairs:
            if isinstance(pair, Rival):
                pair.end()
    section = Section("stable", f"terms lost in {STABLE_S} s on a machine that is full")
    section.table(
        ("", "shortest lease that lost none, s", "terms lost, by lease"),
        [row(name, found) for name, found in losses.items()],
    )
    section.table(
        ("floor", "commits", "median, ms", "longest, ms", "over 100 ms"),
        [
            (
                "one after the other by `psql`, a tenth of a second between them",
                len(commits_ms),
                statistics.median(commits_ms),
                max(commits_ms),
                sum(ms > 100 for ms in commits_ms),
            )
        ],
    )
    ours = shortest(losses[pairs[0].name])
    theirs = min((shortest(losses[pair.name]) or 60 for pair in pairs if isinstance(pair, Rival)))
    section.say(
        f"{TARGET_S:g} s with `urgent`: {verdict(ours == TARGET_S)}."
        f" No rival keeps a shorter one: {verdict(bool(ours) and ours <= theirs)}."
        f" {LOOPS} endless loops on {os.cpu_count()} cores, and one that writes a MiB and waits for `fsync()`, over a"
        f" file of {BLOCKS} MiB on the disk of all the databases; {len(pairs)} pairs of candidates side by side."
        f" Half a second is the shortest lease that `tenured` takes; renew, poll, timeout and stop_grace follow from"
        f" it. etcd gives two seconds at least, and ZooKeeper, with ticks of {TICK_MS} ms, {2 * TICK_MS} ms;"
        " all servers run as everything else does. A term of ours is lost where the worker is told to stop;"
        " a rival's, where another command begins: that it went on working beyond its lease, and nobody took it, is not"
        " seen. `etcdctl lock` does not end its command when it loses the lock, and so loses two at most."
    )
    return section
