# SPDX-License-Identifier: Apache-2.0
"""A whole replica is killed, or stands still beyond its lease and goes on: how long nobody works, and how long two do.

The same worker under each election, all elections at the same time, two replicas each.
"""

import collections
import concurrent.futures
import contextlib
import os
import queue
import random
import statistics
import subprocess
import sys
import threading
import time

import processes
from etcd import Etcd
from events import now
from postgres import Proxy
from replica import BUILD, TENURECTL, until
from results import HERE, Section, missed_by, shown, spread, verdict
from rivals import KINDS
from zookeeper import ZooKeeper

TRIALS = int(os.environ.get("TRIALS", "8"))
LEASE_S = 5
FIXED_S = 15  # River and Vault have no option for it
SOME = max(1, TRIALS // 2)  # trials of what has a lease as long as that
ETCDCTL_ELECT_S = 60  # nor has it: see elect.py
LATE_MS = 100  # after the lease that began with the last renewal
START_S = 60  # for the first leader, and for one that was killed to be a candidate again
WATCH_S = 2.0  # for two that work, after the one that stood still goes on
LATEST = 60_000  # beats that are kept, two minutes of them
FRESH_NS = 100_000_000  # a beat that is not older is of one who works
BEAT_MS = 10
BEAT = [BUILD / "tests/bench/beat"]
LOOKS = [BUILD / "tests/system/demo_worker", BEAT_MS]  # the same, but that it looks at its token each time
RIVAL = HERE / "rival.py"


class Wire(Proxy):
    """A node's own way to its store, and how often something passed; with `delay_s`, so much later."""

    passed = 0
    delay_s = 0

    def __init__(self, target_port):
        self.late = queue.Queue()
        threading.Thread(target=self._send_late, daemon=True).start()
        super().__init__(target_port)

    def _pass_on(self, end):
        self.passed += 1
        if not self.delay_s and not self.late.unfinished_tasks:
            super()._pass_on(end)
            return
        try:
            data = end.recv(65536)
        except OSError:
            data = b""
        if data:
            self.late.put((time.monotonic() + self.delay_s, self.peers[end], data))
        else:
            self._drop(end)

    def _send_late(self):
        while True:
            due, end, data = self.late.get()
            time.sleep(max(0, due - time.monotonic()))
            with contextlib.suppress(OSError):
                end.sendall(data)
            self.late.task_done()


class Node:
    """One of two replicas: processes that are killed, stopped and woken together, and what its workers wrote."""

    def __init__(self, case, start, name, target):
        self.wire = Wire(target) if target else None
        if self.wire:
            case.addCleanup(self.wire.close)
        self.beats = case.directory / f"{name}.beats"
        self.beats.touch()
        self.file = open(self.beats, "rb", buffering=0)
        case.addCleanup(self.file.close)
        self.rest, self.seen = b"", collections.deque(maxlen=LATEST)
        self.name, self._start = name, start
        self.environment = {}  # of all that it starts but its worker's tenurectl
        self.replica = None  # of ours
        self.processes, self.started_at = [], 0

    def start(self):
        self.started_at = now()  # what was killed does not seem to work
        self.processes = self._start(self)

    def whole(self):
        """The pids, parents first."""
        return [pid for process in self.processes for pid in processes.whole(process.pid)]

    def workers(self):
        """Also those whom what elected them has left behind."""
        return [pid for pid in {pid for _, pid in self.read()} if str(self.beats) in processes.arguments(pid)]

    def kill(self):
        victims = self.whole() + self.workers()
        for pid in victims:
            processes.send(pid, processes.signal.SIGKILL)
        for process in self.processes:
            process.wait()
        until(lambda: not any(map(processes.is_running, victims)), f"all of {self.name} is dead")

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
        for words in map(bytes.split, lines):
            # Who is killed where a page of the file ends leaves half a line, and the next one's is longer by that.
            if len(words) == 4 and words[0] == b"beat":
                self.seen.append((int(words[1]), int(words[3])))
        return self.seen

    def last(self):
        return (self.read() or [(0, 0)])[-1]

    def works(self):
        return self.last()[0] > max(self.started_at, now() - FRESH_NS)


class Pair:
    """Two nodes of one election, and what befell them.

    `target`: the port of their store, to which each has a wire; `waits`: whether a node could lead.
    """

    # At most such parts of a lease: until what was killed starts again, and from then on until the next one is struck.
    # Who tries at ticks of its own would have the same phase each time if both followed at once.
    dead, led = 1 / 3, 1 / 2

    def __init__(self, case, name, start, lease_s=LEASE_S, trials=TRIALS, target=None, waits=lambda _: True):
        self.name, self.lease_s, self.trials, self.waits = name, lease_s, trials, waits
        slug = "".join(filter(str.isalnum, name))
        self.nodes = [Node(case, start, f"{slug}-{letter}", target) for letter in "ab"]
        self.gaps = {"killed": [], "frozen": []}
        self.never = 0  # nobody else came
        self.overlaps = []
        self.late = []  # of ours that were killed: beyond the lease that began with the last renewal

    def leader(self):
        """The one that works, once it is only one, and the other."""
        one, other = self.nodes
        until(lambda: one.works() != other.works(), f"one works: {self.name}", 2 * self.lease_s + START_S, every=0.02)
        return (one, other) if one.works() else (other, one)

    def settled(self):
        """The same somewhere between two renewals, when the other has long been waiting."""
        for _ in range(10):
            leader, other = self.leader()
            until(lambda node=other: self.waits(node), f"{other.name} waits", START_S, every=0.1)
            time.sleep(1 + random.uniform(0, self.led * self.lease_s))
            if self.leader() == (leader, other):
                return leader, other
        raise RuntimeError(f"{self.name}: the leaders do not stay")

    def successor(self, other, since):
        """When the other's worker began, or None."""
        end = now() + int((2 * self.lease_s + 5) * 1e9)
        while now() < end:
            if other.last()[0] > since:
                return next(at for at, _ in other.read() if at > since)
            time.sleep(0.02)
        return None

    def strike(self, harm):
        """Whom it struck, its worker's pid and last beat, and the successor's first one."""
        leader, other = self.settled()
        harm(leader)
        last, pid = leader.last()
        return leader, pid, last, self.successor(other, last)

    def killed(self):
        leader, _, last, first = self.strike(Node.kill)
        if not first:
            raise RuntimeError(f"{self.name}: nobody followed {leader.name}")
        self.gaps["killed"].append((first - last) / 1e6)
        if leader.replica:
            self.late.append((first - leader.replica.page_deadline()) / 1e6)
        self.start_again(leader)

    def start_again(self, node):
        time.sleep(random.uniform(0, self.dead * self.lease_s))
        node.start()

    def frozen(self):
        leader, pid, last, first = self.strike(Node.freeze)
        assert leader.last() == (last, pid), f"{leader.name} does not stand still"
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
        self.start_again(leader)

    def struck(self):
        self.killed()
        self.frozen()

    def start(self):
        for node in self.nodes:
            node.start()

    def kill(self):
        for node in self.nodes:
            node.kill()

    def run(self, trial=None):
        try:
            self.start()
            for number in range(self.trials):
                (trial or self.struck)()
                print(f"  {self.name}: {number + 1} of {self.trials}", file=sys.stderr, flush=True)
        finally:
            self.kill()
        return self

    def row(self):
        frozen = spread(self.gaps["frozen"]) if self.gaps["frozen"] else ""
        if self.never:
            frozen += f" nobody in {self.never} of {self.trials}"
        most = max(self.overlaps, default=None)
        overlap = "" if most is None else shown(most) if most < WATCH_S * 990 else f"to the end of {WATCH_S:g} s"
        two = "" if most is None else self.two_at_once()
        return (self.name, f"{self.lease_s:g}", spread(self.gaps["killed"]), frozen.strip(), two, overlap)

    def two_at_once(self):
        """After one of them was frozen."""
        return f"{sum(overlap > 0 for overlap in self.overlaps)} of {len(self.overlaps)}"


def tenure(case, name, store, worker, **options):
    """All but the lease is as it comes: renewed five times in it."""
    lease_s = options.get("lease_s", LEASE_S)
    keys = {
        "timing": {"lease": f"{lease_s}s", "renew": None, "poll": None, "timeout": None},
        "component": {"stop_grace": f"{min(100 * lease_s, 500)}ms"},
        "tenure": {"log_level": "info"},
    }
    replicas = {}

    def start(node):
        if node.name not in replicas:
            way = store.through(node.wire.port) if node.wire else store
            replicas[node.name] = case.replica(node.name, way, init=not replicas, **keys)
        node.replica = replica = replicas[node.name]
        replica.environment = node.environment
        replica.start()
        replica.expected_to_live = False  # it is killed
        run = [TENURECTL, "--socket", replica.socket, "run", "engine", "--", *worker, node.beats]
        return [replica.process, processes.spawn(run, stderr=subprocess.DEVNULL)]

    return Pair(case, name, start, **options)


def quiet(command, **environment):
    quietly = {"stderr": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    return processes.spawn(command, env={**os.environ, **environment}, **quietly)


def placed(where, node):
    """Where the store is; `PORT` in it is that of the node's wire."""
    return where.replace("PORT", str(node.wire.port)) if node.wire else where


def rival(case, name, kind, where, **options):
    lease_s = options.get("lease_s", LEASE_S)

    def start(node):
        command = [RIVAL, kind, placed(where, node), lease_s, *BEAT, node.beats]
        return [quiet(command, **node.environment)]

    return Pair(case, name, start, **options)


def by_rows(case, where):
    for kind in KINDS.values():
        options = {"lease_s": FIXED_S, "trials": SOME} if kind.IS_FIXED else {}
        yield rival(case, kind.NAME, kind.KIND, where, **options)


def etcdctl_lock(case, url, name="`etcdctl lock`", **options):
    lease_s = options.get("lease_s", LEASE_S)

    def start(node):
        at = f"--endpoints={placed(url, node)}"
        return [quiet(["etcdctl", at, "lock", f"--ttl={lease_s}", f"engine{lease_s}", "--", *BEAT, node.beats])]

    return Pair(case, name, start, **options)


def side_by_side(work, pairs, *more):
    with concurrent.futures.ThreadPoolExecutor(len(pairs)) as pool:
        return list(pool.map(work, pairs, *more))


def table(section, pairs):
    section.table(
        ("", "lease, s", "killed: nobody works", "frozen: nobody works", "two at once", "for at most"),
        [pair.row() for pair in pairs],
    )


def in_time(ours):
    """Whether somebody worked again soon enough after the lease, where one of ours was killed, and how late at most."""
    most, last = max((late, pair.name) for pair in ours for late in pair.late)
    return (
        f"{verdict(most <= LATE_MS)}, {shown(most)} ms at most ({last}). That lease is what the terms page of the"
        " killed daemon says; a renewal of which it did not hear before it died counts as none."
    )


def below(ours, pairs):
    """Whether nobody works for less time at the mean, against each rival of the same lease."""
    mean = {pair.lease_s: statistics.mean(pair.gaps["killed"]) for pair in ours}
    return all(mean[pair.lease_s] < statistics.mean(pair.gaps["killed"]) for pair in pairs)


def never_two(ours):
    """Whether the one that stood still never worked beside the other, and of which pairs it did."""
    return missed_by([f"{pair.name}, {pair.two_at_once()}" for pair in ours if any(pair.overlaps)])


def crash(case):
    with contextlib.ExitStack() as stack:
        etcd = stack.enter_context(Etcd(case.directory / "etcd"))
        keeper = stack.enter_context(ZooKeeper(case.directory / "zookeeper"))
        postgres = case.postgres().conninfo("postgres")
        fixed = {"lease_s": FIXED_S, "trials": SOME}
        ours = [
            tenure(case, "Tenure on PostgreSQL", case.postgres(), LOOKS),
            tenure(case, "Tenure on SQLite", case.sqlite(), LOOKS),
            tenure(case, "Tenure on PostgreSQL, the rivals' worker", case.postgres(), BEAT),
            tenure(case, f"Tenure on PostgreSQL, {FIXED_S} s", case.postgres(), LOOKS, **fixed),
        ]
        advisory = rival(case, "`pg_advisory_lock()`", "advisory", postgres)
        rivals = [
            etcdctl_lock(case, etcd.url),
            rival(case, "ZooKeeper, kazoo", "kazoo", keeper.where),
            *by_rows(case, postgres),
        ]
        side_by_side(Pair.run, [*ours, *rivals, advisory])
    section = Section("crash", "a replica is killed, or stands still and goes on: ms without a worker, and with two")
    table(section, [*ours, *rivals, advisory])
    limited = [ours[0], *ours[3:]]
    blind = ours[2]
    section.say(
        f"Killed, somebody works at most {LATE_MS} ms after the lease that began with the last renewal, in each row of"
        f" ours: {in_time(ours)} Mean below every rival's that needs a lease, at the same lease:"
        f" {verdict(below(limited, rivals))}. Never two at once:"
        f" {never_two(pair for pair in ours if pair is not blind)}, but for a program under `tenurectl run` that does"
        f" not look at its token, and goes on for a moment after all of its replica was frozen: {never_two([blind])}."
        f" {TRIALS} trials of each, {SOME} at {FIXED_S} s, which is what River and Vault have, and nobody can change;"
        " all elections side by side, struck at any time; `etcdctl elect`, which has a minute, is in elect. Watched for"
        f" {WATCH_S:g} s after the frozen one goes on. The kernel frees an advisory lock of a process that died at"
        " once, and never that of one that stands still."
    )
    return section
