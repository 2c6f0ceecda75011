# SPDX-License-Identifier: Apache-2.0
"""The table of what goes wrong: each with its weight, how to begin and end it, and how long recovering may take."""

import dataclasses
import os
import resource
import subprocess
import threading
import typing

import databases
import processes
from processes import signal

# From the end of a fault until there has to be a leader: a session that nobody renews has to be seen for a lease, and
# a database that restarted is not believed for another one; each with what connecting, polls and a start take.
NO_LEASE, ONE_LEASE, TWO_LEASES = 0.0, 1.25, 3.0
SLACK_MS = 1000
RESETS_S = 1.0  # longer than from one poll to the next
NOTHING = None  # may come of it


@dataclasses.dataclass(frozen=True)
class Fault:
    name: str
    weight: int
    begin: typing.Callable  # (world, victim) -> what ends it
    victim: str  # node, run, seat, or db: a server of the database
    leases: float | None = ONE_LEASE
    at_once: bool = False  # over when it has begun

    def recovery_ms(self, database):
        if self.leases is NOTHING:
            return None
        leases = self.leases if database.doubted else min(self.leases, ONE_LEASE)
        return int(leases * database.lease_ms) + SLACK_MS


# ---- processes ----


def daemon_killed(_, node):
    node.held = True
    node.kill()
    node.daemon.wait()

    def end():
        node.held = False

    return end


def stopped(pids):
    for pid in pids:
        processes.send(pid, signal.SIGSTOP)

    def end():
        for pid in pids:
            processes.send(pid, signal.SIGCONT)

    return end


def daemon_stopped(_, node):
    return stopped([node.daemon.pid])


def killed(pids):
    for pid in pids:
        processes.send(pid, signal.SIGKILL)
    return lambda: None


def tenurectl_killed(_, seat):
    return killed([seat.process.pid])


def tenurectl_stopped(_, seat):
    return stopped([seat.process.pid])


def guardian_killed(_, seat):
    return killed(seat.guardians())


def guardian_stopped(_, seat):
    return stopped(seat.guardians())


def worker_killed(_, seat):
    return killed(seat.workers())


def worker_stopped(_, seat):
    return stopped(seat.workers())


# ---- what a daemon needs ----


def limited(kind, amount):
    def begin(world, node):
        pid = node.daemon.pid
        soft, hard = resource.prlimit(pid, kind)
        resource.prlimit(pid, kind, (amount(pid), hard))
        # What is connected is so no more, and it may connect again, if it can.
        resets = threading.Timer(RESETS_S, world.network.resets(node.name))
        resets.start()

        def end():
            if resets.is_alive():
                return end
            try:
                resource.prlimit(pid, kind, (soft, hard))
            except ProcessLookupError:
                pass
            return None

        return end

    return begin


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd")) - 1


def runtime_disk_full(_, node):
    """A daemon that starts there has to do without."""
    node.disk.fill()
    node.kill()
    return node.disk.clear


def moved(clock, world):
    clock.move(world.random.choice((-1, 1)) * world.random.randint(1, 48))
    return lambda: clock.move(0)


def clock_moved(world, node):
    return moved(node.clock, world)


# ---- the wires ----


def wire(what):
    return lambda world, node: getattr(world.network, what)(node.name)


# ---- the database ----


def db_killed(_, db):
    db.kill()
    return db.begin


def db_restarted(_, db):
    db.restart()
    return lambda: None


def db_stopped(_, db):
    processes.freeze(db.server.process.pid)
    return lambda: processes.thaw(db.server.process.pid)


def db_failed_over(_, db):
    db.copy()
    return db.fail_over


def db_cut_off(_, db):
    """From the other nodes; clients reach it."""
    db.server.isolate()
    return db.server.reunite


def db_read_only(_, db):
    db.read_only(True)
    return lambda: db.read_only(False)


def db_out_of_connections(_, db):
    db.few_connections(True)
    return lambda: db.few_connections(False)


def db_disk_full(_, db):
    db.disk.fill()

    def end():
        db.disk.clear()
        db.begin()

    return end


def db_clock_moved(world, db):
    return moved(db.clock, world)


TABLE = (
    Fault("daemon killed", 4, daemon_killed, "node"),
    Fault("daemon stopped", 4, daemon_stopped, "node"),
    Fault("tenurectl killed", 3, tenurectl_killed, "run", NO_LEASE, True),
    Fault("tenurectl stopped", 3, tenurectl_stopped, "run"),
    Fault("guardian killed", 2, guardian_killed, "run", NO_LEASE, True),
    Fault("guardian stopped", 2, guardian_stopped, "run"),
    Fault("worker killed", 4, worker_killed, "seat", NO_LEASE, True),
    Fault("worker stopped", 3, worker_stopped, "seat"),
    Fault("black hole", 3, wire("black_hole"), "node"),
    Fault("TCP resets", 3, wire("resets"), "node"),
    Fault("20 % loss", 3, wire("loss"), "node"),
    Fault("2 s delay", 3, wire("delay"), "node"),
    Fault("requests cut", 3, wire("cut_requests"), "node"),
    Fault("replies cut", 3, wire("cut_replies"), "node"),
    Fault("wall clock moved", 3, clock_moved, "node", NOTHING),
    Fault("descriptors exhausted", 2, limited(resource.RLIMIT_NOFILE, descriptors), "node"),
    Fault("memory exhausted", 2, limited(resource.RLIMIT_AS, processes.address_space), "node"),
    Fault("runtime disk full", 2, runtime_disk_full, "node"),
    Fault("database killed", 2, db_killed, "db", TWO_LEASES),
    Fault("database restarted", 2, db_restarted, "db", TWO_LEASES, True),
    Fault("database stopped", 3, db_stopped, "db", TWO_LEASES),
    Fault("database failed over to a stale copy", 3, db_failed_over, "db", TWO_LEASES),
    Fault("database read-only", 2, db_read_only, "db", TWO_LEASES),
    Fault("database out of connections", 2, db_out_of_connections, "db", TWO_LEASES),
    Fault("database disk full", 2, db_disk_full, "db", TWO_LEASES),
    Fault("database clock moved", 2, db_clock_moved, "db", NOTHING),
    Fault("database node cut off", 4, db_cut_off, "db"),
)


def available(world):
    """The faults that this machine can have; says which it cannot, and why."""
    able, why = [], {}
    try:
        world.network.on_wire("ether type 0x9999 numgen random mod 100 < 20 drop")()
    except (OSError, subprocess.CalledProcessError) as error:
        why.update(dict.fromkeys(("black hole", "20 % loss", "2 s delay", "requests cut", "replies cut"), error))
    if databases.sanitized():
        why.update(dict.fromkeys(("wall clock moved", "memory exhausted"), "the daemon has a sanitizer in it"))
    for fault in TABLE:
        if fault.name in world.database.without:
            continue
        if fault.name in why:
            print(f"  left out: {fault.name}: {why[fault.name]}", flush=True)
        else:
            able.append(fault)
    return able
