# SPDX-License-Identifier: Apache-2.0
"""A whole replica is killed, or stands still beyond its lease and goes on: how long nobody works, and how long two do.

The same worker under each election, all elections at the same time, two replicas each.
"""

import collections
import concurrent.futures
import contextlib
import os
import random
import statistics
import subprocess
import sys
import time

import processes
from etcd import Etcd
from events import now
from replica import BUILD, TENURECTL, until
from results import HERE, Section, shown, spread, verdict
from zookeeper import ZooKeeper

TRIALS = int(os.environ.get("TRIALS", "10"))
LEASE_S = 5
ETCDCTL_ELECT_S = 60  # it has no option for it
WATCH_S = 2.0  # for two that work, after the one that stood still goes on
LATEST = 60_000  # beats that are kept, two minutes of them
FRESH_NS = 100_000_000  # a beat that is not older is of one who works
BEAT = [sys.executable, "-S", HERE / "beat.py"]
LOOKS = [BUILD / "tests/system/demo_worker"]  # the same, but that it looks at its token each time
RIVAL = HERE / "rival.py"
TIMING = {"lease": f"{LEASE_S}s", "renew": "1s", "poll": "500ms", "timeout": "1s"}


class Node:
    """One of two replicas: processes that are killed, stopped and woken together, and what its workers wrote."""

    def __init__(self, case, start, name):
        self.beats = case.directory / f"{name}.beats"
        self.beats.touch()
        self.file = open(self.beats, "rb", buffering=0)
        case.addCleanup(self.file.close)
        self.rest, self.seen = b"", collections.deque(maxlen=LATEST)
        self.name, self._start = name, start
        self.processes = []

    def start(self):
        self.processes = self._start(self)

    def whole(self):
        """The pids, parents first."""
        return [pid for process in self.processes for pid in [process.pid, *processes.descendants(process.pid)]]

    def kill(self):
        for pid in self.whole():
            processes.send(pid, processes.signal.SIGKILL)
        for process in self.processes:
            process.wait()

    def freeze(self):
        """All of it at once: one that goes on a while without the others is another story."""
        victims = self.whole()
        for pid in victims:
            processes.send(pid, processes.signal.SIGSTOP)
        for pid in victims:
            processes.freeze(pid)

    def thaw(self):
        for pid in self.whole():
            processes.send(pid, processes.signal.SIGCONT)

    def read(self):
        """(when, who) of each of the latest beats; only what is new is looked at."""
        self.rest += self.file.read()
        *lines, self.rest = self.rest.split(b"\n")
        for word, at, _, pid in map(bytes.split, lines):
            if word == b"beat":
                self.seen.append((int(at), int(pid)))
        return self.seen

    def last(self):
        return (self.read() or [(0, 0)])[-1]

    def works(self):
        return now() - self.last()[0] < FRESH_NS


class Pair:
    """Two nodes of one election, and what befell them."""

    def __init__(self, case, name, start, lease_s=LEASE_S, trials=TRIALS):
        self.name, self.lease_s, self.trials = name, lease_s, trials
        slug = "".join(filter(str.isalpha, name))
        self.nodes = [Node(case, start, f"{slug}-{letter}") for letter in "ab"]
        self.gaps = {"killed": [], "frozen": []}
        self.never = 0  # nobody else came
        self.overlaps = []

    def leader(self):
        """The one that works, once it is only one, and the other."""
        one, other = self.nodes
        until(lambda: one.works() != other.works(), f"one works: {self.name}", 2 * self.lease_s + 5, every=0.02)
        return (one, other) if one.works() else (other, one)

    def successor(self, other, since):
        """When the other's worker began, or None."""
        end = now() + int((2 * self.lease_s + 5) * 1e9)
        while now() < end:
            if other.last()[0] > since:
                return next(at for at, _ in other.read() if at > since)
            time.sleep(0.02)
        return None

    def strike(self, harm):
        """Somewhere between two renewals, when the other has long been waiting. The last beat, and the successor's."""
        leader, other = self.leader()
        time.sleep(1 + random.uniform(0, self.lease_s / 3))
        harm(leader)
        last, pid = leader.last()
        return leader, pid, last, self.successor(other, last)

    def killed(self):
        leader, _, last, first = self.strike(Node.kill)
        if not first:
            raise RuntimeError(f"{self.name}: nobody followed {leader.name}")
        self.gaps["killed"].append((first - last) / 1e6)
        leader.start()

    def frozen(self):
        leader, pid, last, first = self.strike(Node.freeze)
        woken_at = now()
        leader.thaw()
        if first:
            self.gaps["frozen"].append((first - last) / 1e6)
            time.sleep(WATCH_S)
            late = [at for at, who in leader.read() if who == pid and at > woken_at]
            self.overlaps.append((late[-1] - woken_at) / 1e6 if late else 0.0)
        else:
            self.never += 1
        leader.kill()
        leader.start()

    def run(self):
        for node in self.nodes:
            node.start()
        try:
            for _ in range(self.trials):
                self.killed()
                self.frozen()
                print(f"  {self.name}: {len(self.gaps['killed'])} of {self.trials}", file=sys.stderr, flush=True)
        finally:
            for node in self.nodes:
                node.kill()
        return self

    def row(self):
        frozen = spread(self.gaps["frozen"]) if self.gaps["frozen"] else ""
        if self.never:
            frozen += f" nobody in {self.never} of {self.trials}"
        most = max(self.overlaps, default=None)
        overlap = "" if most is None else shown(most) if most < WATCH_S * 990 else f"to the end of {WATCH_S:g} s"
        count = sum(overlap > 0 for overlap in self.overlaps)
        two = "" if most is None else f"{count} of {len(self.overlaps)}"
        return (self.name, f"{self.lease_s:g}", spread(self.gaps["killed"]), frozen.strip(), two, overlap)


def tenure(case, name, store, worker):
    replicas = {}

    def start(node):
        if node.name not in replicas:
            replicas[node.name] = case.replica(
                node.name, store, timing=TIMING, component={"stop_grace": "500ms"}, tenure={"log_level": "info"}
            )
        replica = replicas[node.name]
        replica.start()
        replica.expected_to_live = False  # it is killed
        run = [TENURECTL, "--socket", replica.socket, "run", "engine", "--", *worker, node.beats]
        return [replica.process, processes.spawn(run, stderr=subprocess.DEVNULL)]

    return Pair(case, name, start)


def rival(case, name, kind, where, **options):
    lease_s = options.get("lease_s", LEASE_S)

    def start(node):
        command = [RIVAL, kind, where, lease_s, *BEAT, node.beats]
        return [processes.spawn(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)]

    return Pair(case, name, start, **options)


def etcdctl_lock(case, url):
    def start(node):
        command = ["etcdctl", f"--endpoints={url}", "lock", f"--ttl={LEASE_S}", "engine", "--", *BEAT, node.beats]
        return [processes.spawn(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)]

    return Pair(case, "`etcdctl lock`", start)


def crash(case):
    with contextlib.ExitStack() as stack:
        etcd = stack.enter_context(Etcd(case.directory / "etcd"))
        keeper = stack.enter_context(ZooKeeper(case.directory / "zookeeper"))
        postgres = case.postgres().conninfo("postgres")
        few = max(1, TRIALS // 10)
        pairs = [
            tenure(case, "Tenure on PostgreSQL", case.postgres(), LOOKS),
            tenure(case, "Tenure on SQLite", case.sqlite(), LOOKS),
            tenure(case, "Tenure on PostgreSQL, the rivals' worker", case.postgres(), BEAT),
            etcdctl_lock(case, etcd.url),
            rival(case, "`etcdctl elect`", "elect", etcd.url, lease_s=ETCDCTL_ELECT_S, trials=few),
            rival(case, "ZooKeeper, kazoo", "kazoo", keeper.where),
            rival(case, "`pg_advisory_lock()`", "advisory", postgres),
            rival(case, "JDBC lock, Spring's cadence", "jdbc", postgres),
            rival(case, "`leader_leases`", "leader_leases", postgres),
        ]
        with concurrent.futures.ThreadPoolExecutor(len(pairs)) as pool:
            pairs = list(pool.map(Pair.run, pairs))
    section = Section("crash", "a replica is killed, or stands still and goes on: ms without a worker, and with two")
    section.table(
        ("", "lease, s", "killed: nobody works", "frozen: nobody works", "two at once", "for at most"),
        [pair.row() for pair in pairs],
    )
    ours = pairs[0]
    limit = LEASE_S * 1000 + 100
    equal = [pair for pair in pairs[3:] if pair.lease_s == LEASE_S and pair.name != "`pg_advisory_lock()`"]
    mean = statistics.mean(ours.gaps["killed"])
    below = all(mean < statistics.mean(pair.gaps["killed"]) for pair in equal)
    section.say(
        f"At most lease + 100 ms: {verdict(max(ours.gaps['killed']) <= limit)}. Mean below every rival's that needs a"
        f" lease: {verdict(below)}. Never two at once: {verdict(not any(pairs[0].overlaps + pairs[1].overlaps))}."
        f" {TRIALS} trials of each, all elections side by side; watched for {WATCH_S:g} s after the frozen one goes on."
        " The kernel frees an advisory lock of a process that died at once, and never that of one that stands still."
    )
    return section
