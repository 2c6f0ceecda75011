# SPDX-License-Identifier: Apache-2.0
"""What goes wrong around a worker that lives: with what elected it, with its way to the store, and with the store."""

import collections
import contextlib
import itertools
import os
import shutil
import time

import network
import processes
import crash
from crash import BEAT, ETCDCTL_ELECT_S, LEASE_S, LOOKS, START_S, TRIALS, WATCH_S, etcdctl_lock, rival, side_by_side
from crash import tenure
from databases import Clock
from etcd import Etcd
from events import now
from replica import until
from results import Section, shown, spread
from zookeeper import ZooKeeper

COPIES = 3  # of each election, each with a third of the trials: they need no processor, but time
MANY = max(1, TRIALS // COPIES)
PAIRS = COPIES * MANY  # of what takes a minute, each with one trial
LATE_S = 2


# ---- what befalls a replica; the constructor begins it ----


class Elector:
    """All of a replica but its worker, and those of its ancestors that are spared."""

    def __init__(self, leader, _, worker, spared):
        family = [pid for pid in leader.whole() if processes.is_running(pid)]
        above = [pid for pid in family if worker in processes.descendants(pid)]
        assert len(above) >= spared
        kept = {worker, *above[len(above) - spared :]}
        self.victims, self.worker = [pid for pid in family if pid not in kept], worker
        assert self.victims


class Frozen(Elector):
    TITLE = "what elected it is frozen"

    def __init__(self, leader, *arguments):
        super().__init__(leader, *arguments)
        for pid in self.victims:
            processes.send(pid, processes.signal.SIGSTOP)
        until(lambda: all(map(self.rests, self.victims)), f"all of {leader.name} stands still", START_S)
        self.victims = [pid for pid in self.victims if processes.is_running(pid)]  # without who was ending
        assert self.victims

    @staticmethod
    def rests(pid):
        return not processes.is_running(pid) or processes.state(pid) == "T"

    def end(self):
        assert all(processes.state(pid) == "T" for pid in self.victims) and processes.state(self.worker) != "T"
        for pid in self.victims:
            processes.send(pid, processes.signal.SIGCONT)


class Killed(Elector):
    TITLE = "what elected it is killed"

    def __init__(self, leader, *arguments):
        super().__init__(leader, *arguments)
        for pid in self.victims:
            processes.send(pid, processes.signal.SIGKILL)

    def end(self):
        """Nobody else does."""
        processes.send(self.worker, processes.signal.SIGKILL)


class Cut:
    TITLE = "cut off from the store; what was sent meanwhile arrives afterwards"

    def __init__(self, leader, *_):
        self.wire = leader.wire
        assert self.wire.peers, f"{leader.name} has no connection"
        self.wire.hold()
        self.passed = self.wire.passed

    def end(self):
        assert self.wire.peers and self.wire.passed == self.passed
        self.wire.release()


class Filtered:
    """On its way to the store, in the network that we have for ourselves."""

    def __init__(self, leader, *_):
        assert os.environ.get(network.ENTERED)
        port = leader.wire.port
        self.end = network.filtered("db", "ip", "input", *(rule.format(port=port) for rule in self.RULES))


class RequestsCut(Filtered):
    TITLE = "requests to the store are lost"
    RULES = ("tcp dport {port} drop",)


class RepliesCut(Filtered):
    TITLE = "replies of the store are lost"
    RULES = ("tcp sport {port} drop",)


class Resets(Filtered):
    TITLE = "connections to the store are reset, and refused"
    RULES = ("tcp dport {port} reject with tcp reset",)


class Loss(Filtered):
    TITLE = "a fifth of all packets is lost"
    RULES = tuple(f"tcp {end} {{port}} numgen random mod 100 < 20 drop" for end in ("dport", "sport"))


class Delay:
    TITLE = f"what is sent takes {LATE_S} s"

    def __init__(self, leader, *_):
        self.wire = leader.wire
        self.wire.delay_s = LATE_S

    def end(self):
        self.wire.delay_s = 0


class Ahead:
    TITLE = "the other's wall clock is an hour ahead"

    def __init__(self, _, other, *__):
        self.clock = other.clock
        self.clock.move(1)

    def end(self):
        self.clock.move(0)


ELECTORS = (Frozen, Killed)
WIRES = (Cut, RequestsCut, RepliesCut, Resets)
BEARABLE = (Loss, Delay, Ahead)  # for as long as two leases; nobody has to follow
EVERY = ELECTORS + WIRES + BEARABLE
# A program that is linked to no libc asks the kernel for the time, where nothing moves it for one process.
LINKED = tuple(kind for kind in EVERY if kind is not Ahead)


# ---- what befalls all stores at once ----


def pids(server):
    return [server.process.pid, *processes.descendants(server.process.pid)]


def killed(servers):
    for server in servers:
        for pid in pids(server):
            processes.send(pid, processes.signal.SIGKILL)
        server.process.wait()


def started(servers):
    for server in servers:
        server.start()


def stores_killed(servers, _):
    killed(servers)
    started(servers)


def stores_frozen(servers, _):
    for server in servers:
        processes.freeze(server.process.pid)
    time.sleep(2 * LEASE_S)
    for server in servers:
        processes.thaw(server.process.pid)


def copy_of(server):
    return server.data.with_name(server.data.name + ".copy")


def stores_gone_back(servers, _):
    killed(servers)
    for server in servers:
        shutil.rmtree(server.data)
        copy_of(server).rename(server.data)
    started(servers)


def before_going_back(servers, watched):
    """A copy as of a power failure at this moment; then each has another leader, of whom the copy knows nothing."""
    for server in servers:
        processes.freeze(server.process.pid)
        shutil.rmtree(copy_of(server), ignore_errors=True)
        network.run("cp", "-a", str(server.data), str(copy_of(server)))
        processes.thaw(server.process.pid)
    pairs, since = settled(watched), now()
    for leader, _ in pairs:
        leader.kill()
    followed = side_by_side(lambda each, pair: each.pair.successor(pair[1], since), watched, pairs)
    for each, (leader, _), at in zip(watched, pairs, followed):
        leader.start()
        if not at:
            each.start_anew("nobody followed")
    settled(watched)


STORES = {
    "the store is killed, and started again": (stores_killed, None),
    f"the store is frozen for {2 * LEASE_S} s": (stores_frozen, None),
    "the store comes back as it was before its leader led": (stores_gone_back, before_going_back),
}


def settled(watched):
    """Of each its leader and the other. What is started here is, unlike the threads, there as long as we are."""
    pairs = side_by_side(Watched.found_settled, watched)
    for each, pair in zip(watched, pairs):
        if not pair:
            each.start_anew("it does not settle")
    return [pair or each.pair.settled() for each, pair in zip(watched, pairs)]


# ---- what comes of it ----


class Watched:
    """A pair, and what came of each fault, in ms: how long nobody worked, and two, and two after the fault."""

    def __init__(self, pair, kinds, spared=0):
        self.pair, self.kinds, self.spared = pair, kinds, spared
        self.name = pair.name.rpartition(", ")[0]
        self.found = {}
        self.never = collections.Counter()  # nobody else came
        self.stuck = 0  # how often two went on working, or nobody worked again

    def note(self, title, begun_at, ended_at):
        until_at = now()
        beats = sorted(beat for node in self.pair.nodes for beat in node.read() if begun_at <= beat[0] <= until_at)
        times = [begun_at, *(at for at, _ in beats), until_at]
        spans = {}
        for at, pid in beats:
            spans[pid] = (spans.get(pid, (at, at))[0], at)
        both = [(max(a[0], b[0]), min(a[1], b[1])) for a, b in itertools.combinations(spans.values(), 2)]
        gap = max(later - at for at, later in itertools.pairwise(times))
        overlap = max((last - first for first, last in both), default=0)
        after = max((last - max(first, ended_at) for first, last in both), default=0)
        self.found.setdefault(title, []).append(tuple(max(0, ns) / 1e6 for ns in (gap, overlap, after)))

    def found_settled(self):
        """The leader and the other, or None."""
        try:
            return self.pair.settled()
        except (AssertionError, RuntimeError) as stuck:
            print(f"  {stuck}", flush=True)
            return None

    def settled(self):
        pair = self.found_settled()
        if not pair:
            self.start_anew("it does not settle")
        return pair or self.pair.settled()

    def start_anew(self, why):
        """A rival that does not come back by itself; of ours none has to be helped."""
        print(f"  {self.name}: {why}", flush=True)
        assert not self.name.startswith("Tenure"), why
        self.stuck += 1
        self.pair.kill()
        self.pair.start()

    def suffer(self, kind):
        leader, other = self.settled()
        worker, begun_at = leader.last()[1], now()
        fault = kind(leader, other, worker, self.spared)
        if kind in BEARABLE:
            time.sleep(2 * self.pair.lease_s)
        else:
            self.never[kind.TITLE] += not self.pair.successor(other, begun_at)
            time.sleep(WATCH_S)
        ended_at = now()
        fault.end()
        time.sleep(WATCH_S)
        self.note(kind.TITLE, begun_at, ended_at)
        if kind in BEARABLE:
            self.mend()
        else:
            leader.kill()
            leader.start()

    def trial(self):
        for kind in self.kinds:
            self.suffer(kind)

    def run(self):
        self.pair.run(self.trial)

    def mend(self):
        """Two that go on working, or nobody who does, would stay like that."""
        if sum(node.works() for node in self.pair.nodes) != 1:
            self.pair.kill()
            self.pair.start()


def struck(servers, watched, trials, lease_s):
    """All of them, by what befalls their stores; from one thread, with which the servers would die."""
    for each in watched:
        each.pair.start()
    for number in range(trials):
        for title, (strike, prepare) in STORES.items():
            settled(watched)
            if prepare:
                prepare(servers, watched)
            begun_at = now()
            strike(servers, watched)
            ended_at = now()
            time.sleep(lease_s + WATCH_S)
            for each in watched:
                each.note(title, begun_at, ended_at)
                each.mend()
        print(f"  the stores: {number + 1} of {trials}", flush=True)
    for each in watched:
        each.pair.kill()


def started_anew(watched):
    stuck = collections.Counter()
    for each in watched:
        stuck[each.name] += each.stuck
    counts = ", ".join(f"{name} {count} times" for name, count in (+stuck).items())
    return f" Started anew, for two went on working, or nobody worked any more: {counts or 'none'}."


def elections(case, copy, etcd, keeper):
    """Each node has a wire of its own to its store."""
    server, url, where = case.server, "http://127.0.0.1:PORT", "127.0.0.1:PORT"
    wired = {"target": server.port, "trials": MANY}
    conninfo = server.conninfo(case.postgres().database, "postgres", "PORT")

    def ours(name, worker, kinds, spared=0, **options):
        pair = tenure(case, f"Tenure{name}, {copy}", case.postgres(), worker, **{**wired, **options})
        return Watched(pair, kinds, spared)

    def theirs(name, kind, place, kinds=EVERY, **options):
        return Watched(rival(case, f"{name}, {copy}", kind, place, **{**wired, **options}), kinds)

    lock = etcdctl_lock(case, url, name=f"`etcdctl lock`, {copy}", target=etcd.client_port, trials=MANY)
    return [
        ours("", LOOKS, EVERY),
        ours(", the rivals' worker", BEAT, EVERY),
        Watched(lock, LINKED),
        theirs("ZooKeeper, kazoo", "kazoo", where, target=keeper.port),
        theirs("JDBC lock, Spring's cadence", "jdbc", conninfo),
        theirs("`leader_leases`", "leader_leases", conninfo),
    ], [
        ours(", the rivals' worker, guardian spared", BEAT, ELECTORS, spared=1),
        ours(", the rivals' worker, only the daemon", BEAT, ELECTORS, spared=2),
    ]


def table(section, watched, title):
    rows = {}
    for each in watched:
        rows.setdefault((each.name, f"{each.pair.lease_s:g}"), []).extend(each.found.get(title, []))
    lines = []
    for row, found in rows.items():
        if found:
            gaps, overlaps, after = zip(*found)
            most = f"to the end of {WATCH_S:g} s" if max(after) > WATCH_S * 990 else shown(max(after))
            never = sum(each.never[title] for each in watched if each.name == row[0])
            alone = f"; nobody else came in {never}" if never else ""
            two = f"{sum(overlap > 0 for overlap in overlaps)} of {len(overlaps)}"
            lines.append((*row, spread(gaps) + alone, two, shown(max(overlaps)), most))
    section.table((title, "lease, s", "nobody works", "two at once", "for at most", "of it after the fault"), lines)


def faults(case):
    with contextlib.ExitStack() as stack:
        servers, all_faults, ours = [case.server], [], []
        for copy in range(COPIES):
            etcd = stack.enter_context(Etcd(case.directory / f"etcd{copy}"))
            keeper = stack.enter_context(ZooKeeper(case.directory / f"zookeeper{copy}"))
            servers += [etcd, keeper]
            those, others = elections(case, copy, etcd, keeper)
            all_faults, ours = all_faults + those, ours + others
        for number, node in enumerate(node for each in all_faults for node in each.pair.nodes):
            node.clock = Clock(case.directory / f"clock{number}")
            node.environment = node.clock.environment
        side_by_side(Watched.run, all_faults + ours)
        section = Section("faults", "the worker lives, and what is around it fails: ms without a worker, and with two")
        for kind in EVERY:
            table(section, all_faults + ours, kind.TITLE)
        print(section.text(), flush=True)  # should what follows not come to its end
        struck(servers, all_faults, MANY, LEASE_S)
    for title in STORES:
        table(section, all_faults, title)
    section.say(
        f"A fault ends {WATCH_S:g} s after the other began to work, or, where nobody has to, after two leases; it is"
        f" watched for {WATCH_S:g} s more, the stores' for a lease more."
        f" {MANY * COPIES} trials of each; all elections side by side, those of one kind on the same store. Without a"
        " fault a worker writes each 10 ms. The worker of what was killed is killed at the fault's end, for nobody else"
        " does. `etcdctl` is linked to no libc, so that nothing moves its clock. What a store forgets is what was"
        " committed since its leader before."
        + started_anew(all_faults + ours)
    )
    return section


# ---- what has a session of a minute ----


class Whole(Watched):
    """First all of a replica is killed, and frozen."""

    def trial(self):
        self.pair.struck()
        super().trial()


def as_one(watched, name):
    """All pairs of one election."""
    first, *others = [each.pair for each in watched if each.name == name]
    first.name = name
    for pair in others:
        first.trials += pair.trials
        first.never += pair.never
        first.overlaps += pair.overlaps
        for way, gaps in pair.gaps.items():
            first.gaps[way] += gaps
    return first


def minutes(case, etcd):
    """Pairs of ours, and of `etcdctl elect`."""
    options = {"lease_s": ETCDCTL_ELECT_S, "trials": 1}
    for number in range(PAIRS):
        pair = tenure(case, f"Tenure, {number}", case.postgres(), LOOKS, target=case.server.port, **options)
        yield Whole(pair, LINKED)
        where = "http://127.0.0.1:PORT"
        pair = rival(case, f"`etcdctl elect`, {number}", "elect", where, target=etcd.client_port, **options)
        for node in pair.nodes:
            node.environment = {"ELECTION": str(number)}
        yield Whole(pair, LINKED)


def elect(case):
    with Etcd(case.directory / "etcd") as etcd:
        watched = list(minutes(case, etcd))
        side_by_side(Watched.run, watched)
        struck([case.server, etcd], watched, 1, ETCDCTL_ELECT_S)
    section = Section("elect", "the same of a lease of a minute: ms without a worker, and with two")
    crash.table(section, [as_one(watched, name) for name in dict.fromkeys(each.name for each in watched)])
    for title in [kind.TITLE for kind in LINKED] + list(STORES):
        table(section, watched, title)
    section.say(
        f"`etcdctl elect` has a session of {ETCDCTL_ELECT_S} s, which nobody can change. All as in crash and in faults,"
        f" {PAIRS} pairs of each side by side, with one trial of each kind." + started_anew(watched)
    )
    return section
