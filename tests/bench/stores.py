# SPDX-License-Identifier: Apache-2.0
"""What goes wrong with all stores at once while the workers live: PostgreSQL, etcd and ZooKeeper."""

import contextlib
import dataclasses
import itertools
import os
import shutil
import subprocess
import time
import typing

import network
import processes
from crash import LEASE_S, WATCH_S, side_by_side
from databases import Clock, Disk
from etcd import Etcd
from events import now
from faults import COPIES, MANY, elections
from postgres import PostgreSQL
from replica import until
from results import Section
from watched import never_two, settled, started_anew, table
from zookeeper import ZooKeeper

DISK_SIZE = "1g"
FEW = 3  # descriptors; more it has open already


class Stores:
    """The servers, each with its data on a small disk and with a clock of its own; they end with the stack."""

    def __init__(self, case, stack):
        self.case, self.stack = case, stack
        self.all = []
        self.numbers = itertools.count()

    def add(self, make):
        name = self.case.directory / f"store{next(self.numbers)}"
        disk, clock = Disk(name, DISK_SIZE), Clock(name.with_suffix(".clock"))
        self.stack.callback(network.run, "umount", "--lazy", str(name))
        server = make(name / "of-it", clock.prefix)
        server.disk, server.clock, server.copy = disk, clock, name.with_suffix(".copy")
        self.all.append(server)
        return server

    def postgresql(self, settings):
        def make(path, prefix):
            server = PostgreSQL(path, **settings)
            server.prefix = prefix
            self.stack.callback(server.stop, processes.signal.SIGQUIT)
            return server.start()

        return self.add(make)

    def etcd(self):
        return self.add(lambda path, _: self.stack.enter_context(Etcd(path)))

    def zookeeper(self):
        return self.add(lambda path, prefix: self.stack.enter_context(ZooKeeper(path, prefix)))


# ---- what befalls them: begun and ended ----


def kill(servers):
    victims = [pid for server in servers for pid in processes.whole(server.process.pid)]
    for pid in victims:
        processes.send(pid, processes.signal.SIGKILL)
    for server in servers:
        server.process.wait()
    until(lambda: not any(map(processes.is_running, victims)), "the end of all of the servers")


def start(servers):
    for server in servers:
        server.start()


def killed(servers, *_):
    kill(servers)
    start(servers)


def restarted(servers, *_):
    for server in servers:
        server.stop()
        server.start()


def frozen(servers, _, lasts_s):
    for server in servers:
        processes.freeze(server.process.pid)
    time.sleep(lasts_s)
    for server in servers:
        processes.thaw(server.process.pid)


def came_back(servers, *_):
    kill(servers)
    for server in servers:
        shutil.rmtree(server.data)
        network.run("cp", "-a", str(server.copy), str(server.data))
        (server.data / "postmaster.pid").unlink(missing_ok=True)
    start(servers)


def before_coming_back(servers, watched):
    """A copy as of a power failure at this moment; then each has another leader, of whom the copy knows nothing."""
    for server in servers:
        processes.freeze(server.process.pid)
        shutil.rmtree(server.copy, ignore_errors=True)
        network.run("cp", "-a", str(server.data), str(server.copy))
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


def read_only(servers, _, lasts_s):
    able = [server for server in servers if hasattr(server, "read_only")]
    for server in able:
        server.read_only(True)
    time.sleep(lasts_s)
    for server in able:
        server.read_only(False)


def descriptor_limit(server, limit=None):
    """How many it may have. Asked as whom it runs as, who may in any container."""
    pid, owner = server.process.pid, os.stat(f"/proc/{server.process.pid}")
    command = ["setpriv", f"--reuid={owner.st_uid}", f"--regid={owner.st_gid}", "--clear-groups", "--", "prlimit"]
    command += [f"--pid={pid}", f"--nofile={limit}:" if limit else "--nofile", "--output=SOFT", "--noheadings"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def refusing(servers, watched, lasts_s):
    """What they would accept connections with is used up."""
    before = [descriptor_limit(server) for server in servers]
    for server in servers:
        descriptor_limit(server, FEW)
    for node in (node for each in watched for node in each.pair.nodes):
        node.wire.cut()
    time.sleep(lasts_s)
    for server, limit in zip(servers, before):
        if server.process.poll() is None:
            descriptor_limit(server, limit)
        else:
            server.start()


def full(servers, _, lasts_s):
    """They get to feel it: what they have allocated beforehand would do for hours."""
    for server in servers:
        server.disk.fill()
    for server in servers:
        server.use_up()
    time.sleep(lasts_s)
    for server in servers:
        server.disk.clear()
    start(server for server in servers if server.process.poll() is not None)


def ahead(servers, _, lasts_s):
    for server in servers:
        server.clock.move(1)
    time.sleep(lasts_s)
    for server in servers:
        server.clock.move(0)


@dataclasses.dataclass(frozen=True)
class Strike:
    title: str
    strike: typing.Callable  # (servers, watched, how long); returns when it is over
    prepare: typing.Callable | None = None
    spares: tuple = ()  # whose store it does not befall


NO_MODE = ("ZooKeeper, kazoo",)
NO_LIBC = ("`etcdctl lock`", "`etcdctl elect`")
STRIKES = (
    Strike("the store is killed, and started again", killed),
    Strike("the store is stopped in order, and started again", restarted),
    Strike("the store is frozen", frozen),
    Strike("the store comes back as it was before its leader led", came_back, before_coming_back),
    Strike("the store is read-only", read_only, spares=NO_MODE),
    Strike("the store loses its connections, and accepts none", refusing),
    Strike("the store's disk is full", full),
    Strike("the store's wall clock is an hour ahead", ahead, spares=NO_LIBC),
)


def struck(servers, watched, trials, lease_s):
    """All of them, by what befalls their stores; from one thread, with which the servers would die."""
    for each in watched:
        each.pair.start()
    for number in range(trials):
        for kind in STRIKES:
            settled(watched)
            if kind.prepare:
                kind.prepare(servers, watched)
            begun_at = now()
            kind.strike(servers, watched, 2 * lease_s)
            ended_at = now()
            time.sleep(lease_s + WATCH_S)
            for each in watched:
                if each.name not in kind.spares:
                    each.note(kind.title, begun_at, ended_at)
            for each in watched:
                each.look_after()
        print(f"  the stores: {number + 1} of {trials}", flush=True)
    settled(watched)
    for each in watched:
        each.pair.kill()


ABOUT = (
    f"What lasts, lasts for two leases; watched for a lease and {WATCH_S:g} s more. All elections side by side, those"
    " of one kind on the same store, which is on a small disk in memory. What a store forgets is what was committed"
    " since its leader before. Where the disk is full, PostgreSQL has to begin another file of its log, and etcd gets"
    " large values, until one fails; ZooKeeper goes on in what it has allocated. A single ZooKeeper has no way to be"
    " read-only; etcd is so by its alarm for space, and renews leases all the same. etcd's clock is not moved, for it"
    " is linked to no libc; the tables here go by their clients' clocks, which faults moves."
)


def stores(case):
    with contextlib.ExitStack() as stack:
        servers = Stores(case, stack)
        case.server = servers.postgresql(case.server.settings)
        watched = []
        for copy in range(COPIES):
            watched += elections(case, copy, servers.etcd(), servers.zookeeper(), ())
        struck(servers.all, watched, MANY, LEASE_S)
    section = Section("stores", "the worker lives, and its store fails: ms without a worker, and with two")
    for kind in STRIKES:
        table(section, watched, kind.title, LEASE_S + WATCH_S)
    section.say(f"{never_two(watched)} {ABOUT} {MANY * COPIES} trials of each.{started_anew(watched)}")
    return section
