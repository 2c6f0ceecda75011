# SPDX-License-Identifier: Apache-2.0
"""The worker lives, and what elected it stands still or is cut off from its store beyond the lease, then goes on."""

import contextlib
import time

import processes
from crash import BEAT, ETCDCTL_ELECT_S, FEW, LOOKS, START_S, TRIALS, WATCH_S, etcdctl_lock, rival, side_by_side, tenure
from etcd import Etcd
from events import now
from replica import until
from results import Section, shown, spread
from zookeeper import ZooKeeper


def running(node):
    return [pid for pid in node.whole() if processes.is_running(pid)]


class Frozen:
    """All of a replica stands still but its worker, and those of its ancestors that are spared."""

    def __init__(self, node, worker, ancestors):
        family = running(node)
        above = [pid for pid in family if worker in processes.descendants(pid)]
        assert len(above) >= ancestors
        kept = {worker, *above[len(above) - ancestors :]}
        self.victims, self.worker = [pid for pid in family if pid not in kept], worker
        for pid in self.victims:
            processes.send(pid, processes.signal.SIGSTOP)
        until(self.holds, f"all of {node.name} stands still", START_S)

    def holds(self):
        return self.victims and all(processes.state(pid) == "T" for pid in self.victims)

    def end(self):
        assert self.holds() and processes.state(self.worker) != "T"
        for pid in self.victims:
            processes.send(pid, processes.signal.SIGCONT)


class Cut:
    """Nothing passes between a replica and its store, and no connection ends; then all of it arrives."""

    def __init__(self, node, *_):
        self.wire = node.wire
        assert self.wire.peers, f"{node.name} has no connection"
        self.wire.hold()
        self.passed = self.wire.passed

    def end(self):
        assert self.wire.peers and self.wire.passed == self.passed
        self.wire.release()


class Faults:
    """What a pair makes of each fault, in ms: how long nobody worked, and two; `after`: the latter after its end."""

    def __init__(self, pair, kinds=(Frozen, Cut), spared=0):
        self.pair, self.kinds, self.spared = pair, kinds, spared
        self.gaps, self.overlaps, self.after = ({kind: [] for kind in kinds} for _ in range(3))

    def suffer(self, kind):
        pair = self.pair
        leader, other = pair.settled()
        worker, begun_at = leader.last()[1], now()
        fault = kind(leader, worker, self.spared)
        first = pair.successor(other, begun_at)
        if not first:
            raise RuntimeError(f"{pair.name}, {kind.__name__}: nobody followed {leader.name}")
        time.sleep(WATCH_S)
        ended_at = now()
        fault.end()
        time.sleep(WATCH_S)
        last = [at for at, who in leader.read() if who == worker][-1]
        self.gaps[kind].append(max(0, first - last) / 1e6)
        both = min(last, other.last()[0])
        self.overlaps[kind].append(max(0, both - first) / 1e6)
        self.after[kind].append(max(0, both - ended_at) / 1e6)
        leader.kill()
        leader.start()

    def trial(self):
        for kind in self.kinds:
            self.suffer(kind)

    def run(self):
        self.pair.run(self.trial)

    def row(self, kind):
        overlaps, after = self.overlaps[kind], self.after[kind]
        count = f"{sum(overlap > 0 for overlap in overlaps)} of {len(overlaps)}"
        most = f"to the end of {WATCH_S:g} s" if max(after) > WATCH_S * 990 else shown(max(after))
        gaps = spread(self.gaps[kind])
        return (self.pair.name, f"{self.pair.lease_s:g}", gaps, count, shown(max(overlaps)), most)


def elections(case, etcd, keeper):
    """Each node has a wire of its own to its store."""
    server, url, where = case.server, "http://127.0.0.1:PORT", "127.0.0.1:PORT"
    wired = {"target": server.port}
    conninfo = server.conninfo(case.postgres().database, "postgres", "PORT")
    long = {"lease_s": ETCDCTL_ELECT_S, "trials": FEW}

    def ours(name, worker, **options):
        return tenure(case, f"Tenure{name}", case.postgres(), worker, **wired, **options)

    yield Faults(ours("", LOOKS))
    yield Faults(ours(f", {ETCDCTL_ELECT_S} s", LOOKS, **long))
    yield Faults(ours(", the rivals' worker", BEAT))
    yield Faults(ours(", the rivals' worker, guardian spared", BEAT), [Frozen], spared=1)
    yield Faults(ours(", the rivals' worker, only the daemon", BEAT), [Frozen], spared=2)
    yield Faults(etcdctl_lock(case, url, target=etcd.client_port))
    yield Faults(rival(case, "`etcdctl elect`", "elect", url, target=etcd.client_port, **long))
    yield Faults(rival(case, "ZooKeeper, kazoo", "kazoo", where, target=keeper.port))
    yield Faults(rival(case, "JDBC lock, Spring's cadence", "jdbc", conninfo, **wired))
    yield Faults(rival(case, "`leader_leases`", "leader_leases", conninfo, **wired))


def faults(case):
    with contextlib.ExitStack() as stack:
        etcd = stack.enter_context(Etcd(case.directory / "etcd"))
        keeper = stack.enter_context(ZooKeeper(case.directory / "zookeeper"))
        found = list(elections(case, etcd, keeper))
        side_by_side(Faults.run, found)
    section = Section("faults", "only the worker goes on: ms without a worker, and with two")
    for kind, title in ((Frozen, "all but the worker frozen"), (Cut, "cut off from the store")):
        section.table(
            (title, "lease, s", "nobody works", "two at once", "for at most", "of it after the fault"),
            [each.row(kind) for each in found if kind in each.kinds],
        )
    section.say(
        f"The fault ends {WATCH_S:g} s after the other began to work, and it is watched for {WATCH_S:g} s more."
        f" {TRIALS} trials of each fault, {FEW} at {ETCDCTL_ELECT_S} s; all elections side by side. Cut off: what was"
        " sent meanwhile arrives afterwards, and no connection is closed."
    )
    return section
