# SPDX-License-Identifier: Apache-2.0
"""What goes wrong around a worker that lives: with what elected it, and with its way to the store."""

import contextlib
import os
import pathlib
import resource

import network
import processes
from crash import BEAT, LEASE_S, LOOKS, START_S, TRIALS, WATCH_S, etcdctl_lock, rival, side_by_side, tenure
from databases import Clock
from etcd import Etcd
from replica import until
from results import Section
from watched import Watched, never_two, started_anew, table
from zookeeper import ZooKeeper

COPIES = 3  # of each election, each with a third of the trials: they need no processor, but time
MANY = max(1, TRIALS // COPIES)
LATE_S = 2


# ---- what befalls a replica; the constructor begins it ----


class Fault:
    FOLLOWED = True  # the other has to lead; where nobody has to, it lasts for two leases
    HARMS = True  # whom it befell has to be started anew


class Elector(Fault):
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


def connected(pids, port):
    """Those who have a connection to that port of ours."""
    lines = pathlib.Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    ends = {f"socket:[{fields[9]}]" for fields in map(str.split, lines) if fields[2].endswith(f":{port:04X}")}
    return [pid for pid in pids if ends & set(descriptors(pid))]


def descriptors(pid):
    """What they refer to, of those that it does not close meanwhile."""
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            yield os.readlink(f"/proc/{pid}/fd/{name}")


class Limited(Elector):
    """Who has connections to the store loses them, and gets no more of what another takes."""

    FOLLOWED = False

    def __init__(self, leader, *arguments):
        super().__init__(leader, *arguments)
        self.before = {pid: resource.prlimit(pid, self.KIND) for pid in connected(self.victims, leader.wire.port)}
        assert self.before, f"{leader.name} has no connection"
        for pid, (_, most) in self.before.items():
            resource.prlimit(pid, self.KIND, (self.had(pid), most))
        leader.wire.cut()

    def end(self):
        for pid, limits in self.before.items():
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, self.KIND, limits)


class OutOfDescriptors(Limited):
    TITLE = "what elected it can open nothing more, and loses its connections"
    KIND = resource.RLIMIT_NOFILE

    @staticmethod
    def had(_):
        return 3  # nothing that it closes makes room


class OutOfMemory(Limited):
    TITLE = "what elected it gets no more memory, and loses its connections"
    KIND = resource.RLIMIT_AS

    had = staticmethod(processes.address_space)


class Cut(Fault):
    TITLE = "cut off from the store; what was sent meanwhile arrives afterwards"

    def __init__(self, leader, *_):
        self.wire = leader.wire
        assert self.wire.peers, f"{leader.name} has no connection"
        self.wire.hold()
        self.passed = self.wire.passed

    def end(self):
        assert self.wire.peers and self.wire.passed == self.passed
        self.wire.release()


class Filtered(Fault):
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


class Bearable(Fault):
    FOLLOWED = HARMS = False


class Loss(Bearable, Filtered):
    TITLE = "a fifth of all packets is lost"
    RULES = tuple(f"tcp {end} {{port}} numgen random mod 100 < 20 drop" for end in ("dport", "sport"))


class Delay(Bearable):
    TITLE = f"what is sent takes {LATE_S} s"

    def __init__(self, leader, *_):
        self.wire = leader.wire
        self.wire.delay_s = LATE_S

    def end(self):
        self.wire.delay_s = 0


class Ahead(Bearable):
    TITLE = "the other's wall clock is an hour ahead"

    def __init__(self, _, other, *__):
        self.clock = other.clock
        self.clock.move(1)

    def end(self):
        self.clock.move(0)


ELECTORS = (Frozen, Killed)
EVERY = (*ELECTORS, OutOfDescriptors, OutOfMemory, Cut, RequestsCut, RepliesCut, Resets, Loss, Delay, Ahead)
# A program that is linked to no libc asks the kernel for the time, where nothing moves it for one process.
LINKED = tuple(kind for kind in EVERY if kind is not Ahead)


def elections(case, copy, etcd, keeper, kinds):
    """What each of these befalls, where it can. Each node has a wire of its own to its store."""
    server, url, where = case.server, "http://127.0.0.1:PORT", "127.0.0.1:PORT"
    wired = {"target": server.port, "trials": MANY}
    conninfo = server.conninfo(case.postgres().database, "postgres", "PORT")

    def theirs(name, kind, place, **options):
        return Watched(rival(case, f"{name}, {copy}", kind, place, **{**wired, **options}), kinds)

    lock = etcdctl_lock(case, url, name=f"`etcdctl lock`, {copy}", target=etcd.client_port, trials=MANY)
    return [
        ours(case, copy, "", LOOKS, kinds),
        ours(case, copy, ", the rivals' worker", BEAT, kinds),
        Watched(lock, [kind for kind in kinds if kind in LINKED]),
        theirs("ZooKeeper, kazoo", "kazoo", where, target=keeper.port),
        theirs("JDBC lock, Spring's cadence", "jdbc", conninfo),
        theirs("`leader_leases`", "leader_leases", conninfo),
    ]


def ours(case, copy, name, worker, kinds, spared=0):
    options = {"target": case.server.port, "trials": MANY}
    return Watched(tenure(case, f"Tenure{name}, {copy}", case.postgres(), worker, **options), kinds, spared)


def faults(case):
    watched = []
    with contextlib.ExitStack() as stack:
        for copy in range(COPIES):
            etcd = stack.enter_context(Etcd(case.directory / f"etcd{copy}"))
            keeper = stack.enter_context(ZooKeeper(case.directory / f"zookeeper{copy}"))
            watched += elections(case, copy, etcd, keeper, EVERY)
            watched.append(ours(case, copy, ", the rivals' worker, guardian spared", BEAT, ELECTORS, spared=1))
            watched.append(ours(case, copy, ", the rivals' worker, only the daemon", BEAT, ELECTORS, spared=2))
        for number, node in enumerate(node for each in watched for node in each.pair.nodes):
            node.clock = Clock(case.directory / f"clock{number}")
            node.environment = node.clock.environment
        side_by_side(Watched.run, watched)
    section = Section("faults", "the worker lives, and what is around it fails: ms without a worker, and with two")
    for kind in EVERY:
        table(section, watched, kind.TITLE)
    section.say(
        f"{never_two(watched)} A fault ends {WATCH_S:g} s after the other began to work, or, where nobody has to, after"
        f" two leases; it is watched for {WATCH_S:g} s more."
        f" {MANY * COPIES} trials of each; all elections side by side, those of one kind on the same store. Without a"
        " fault a worker writes each 10 ms. The worker of what was killed is killed at the fault's end, for nobody else"
        " does. `etcdctl` is linked to no libc, so that nothing moves its clock. What elected it has no file on a disk"
        " but for Tenure, whose disk is full in chaos." + started_anew(watched)
    )
    return section
