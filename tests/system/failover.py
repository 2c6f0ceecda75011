# SPDX-License-Identifier: Apache-2.0
"""Two servers that take turns as primary, and a fleet of replicas whose elections never stop."""

import ctypes
import dataclasses
import pathlib
import random
import shutil
import subprocess
import time

import processes
from events import now, read_tenures
from postgres import USER, Proxy, binaries, owner
from replica import Client, Worker, until

COMPONENTS = ("discovery", "engine", "counter")
CALM = COMPONENTS[0]  # nobody yields it; its workers are processes, which come back to their daemon with their term
FOREVER = 2**63
IPC_RMID = 0
ROWS = (
    "SELECT l.component, l.term, s.id IS NOT NULL FROM tenure_lease l LEFT JOIN tenure_session s ON s.id = l.session"
)

_libc = ctypes.CDLL(None, use_errno=True)


def kill_server(server):
    """As a machine's end: no process of it does anything any more, or has its port. Returns when."""
    processes.freeze(server.process.pid)  # what it forks meanwhile would be missed
    victims = processes.whole(server.process.pid)
    killed_at = now()
    for victim in victims:
        processes.send(victim, processes.signal.SIGKILL)
    server.process.wait()
    server.process = None
    until(lambda: not any(map(processes.is_running, victims)), "the end of all of the server", every=0.001)
    # What keeps two servers out of one directory outlives them.
    shared = pathlib.Path(server.data / "postmaster.pid").read_text(encoding="ascii").splitlines()[6].split()
    _libc.shmctl(int(shared[1]), IPC_RMID, None)
    return killed_at


class Pair:
    """A primary, and an asynchronous standby that gets what the primary writes through a proxy that can hold it back.

    What the fail-over loses is what the standby had not received; fsync is off, for no machine crashes here.
    """

    def __init__(self, test):
        self.proxy = Proxy(0)
        test.addCleanup(self.proxy.close)
        settings = {
            "primary_conninfo": f"host=127.0.0.1 port={self.proxy.port} user={USER}",
            "wal_keep_size": "64MB",
            "wal_retrieve_retry_interval": "100ms",
        }
        self.primary = test.make_server("one", **settings)
        self.standby = test.make_server("two", **settings)
        self.primary.start()
        self.copying = None

    def begin_copy(self):
        """The standby becomes a copy of the primary: follows() says when."""
        shutil.rmtree(self.standby.data)
        self.proxy.target_port = self.primary.port
        source = f"host={self.primary.sockets} port={self.primary.port} user={USER}"
        command = [binaries() / "pg_basebackup", "-R", "-c", "fast", "-N", "-D", self.standby.data, "-d", source]
        self.copying = processes.spawn(command, user=owner(), stderr=subprocess.DEVNULL)

    def follows(self):
        """Whether the standby is up and receives."""
        if self.copying and self.copying.poll() is None:
            return False
        if self.copying:
            assert self.copying.returncode == 0, "pg_basebackup failed"
            self.copying = None
            self.standby.start()
            receives = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
            until(lambda: self.primary.sql(receives) == "1", "the standby receiving", every=0.05)
        return True

    def hold_back(self):
        """From now on the standby receives nothing."""
        self.proxy.hold()

    def fail(self):
        """The primary is killed; what it sent and the standby had not received is lost. Returns when."""
        killed_at = kill_server(self.primary)
        self.proxy.cut()
        self.proxy.release()
        return killed_at

    def rows(self, database):
        """What the standby has of the leases once it has applied all that it has: component, term, session there."""
        seen = []

        def still():
            seen.append(self.standby.sql("SELECT pg_last_wal_replay_lsn()"))
            return len(seen) > 1 and seen[-1] == seen[-2]

        until(still, "the standby applying the last of it", every=0.02)
        lines = [line.split("|") for line in self.standby.sql(ROWS, database).splitlines()]
        return {component: (int(term), there == "t") for component, term, there in lines}

    def promote(self):
        """The standby becomes the primary. Returns when that was asked for and when it was done."""
        asked_at = now()
        self.standby.sql("SELECT pg_promote()")
        self.primary, self.standby = self.standby, self.primary
        return asked_at, now()


class Seat:
    """A place for a worker of one component at one replica, never empty for long."""

    def __init__(self, test, replica, component):
        self.test, self.replica, self.component = test, replica, component
        self.feed = None

    def tend(self):
        """A worker that is gone is replaced, and one whose daemon is gone looks for it."""
        if self.component == CALM:
            if not self.feed or self.feed.dead_at:
                self.feed = self.test.worker(self.replica, self.component)
            return
        if self.feed and not self.feed.ended:
            return
        if self.feed and self.feed.dead_at is None:
            self.feed.dead_at = FOREVER  # what it held it may act on until the deadline
            self.feed.close()
        try:
            self.feed = self.test.client(self.replica)
        except OSError:
            return
        self.feed.say(f"join component={self.component}")

    def kill(self):
        if isinstance(self.feed, Worker):
            self.feed.kill()
        elif self.feed:
            self.feed.close()

    def leads(self):
        """The event that granted what it may act on, or None."""
        events = self.feed.items if self.feed and self.feed.dead_at is None else []
        for event in reversed(events):
            if event.word in ("revoked", "yield", "over"):
                return None
            if event.word == "granted":
                return event
        return None

    def heard(self, since, term=None):
        """Whether it was granted its term, or one, or that was extended since then."""
        words = ("granted", "extended") if term is None else ("extended",)
        return any(
            event.at > since and event.word in words and term in (None, event.number("term"))
            for event in reversed(self.feed.items[-20:])
        )

    def give_up(self, cooldown_ms):
        """The worker yields; False where it has nothing to."""
        if not isinstance(self.feed, Client) or self.feed.ended:
            return False
        with self.feed.changed:
            granted = self.leads()
            if granted:
                self.feed.reply("yield", granted, cooldown_ms=cooldown_ms)
        return bool(granted)

    def sitting(self, at):
        """The tenure that its worker has at that time, or None."""
        tenures = read_tenures(self.feed) if self.feed else []
        holds = [tenure for tenure in tenures if tenure.begin <= at < tenure.ends() and not tenure.revoked]
        return holds[-1] if holds else None


@dataclasses.dataclass
class Harm:
    """What we did ourselves; component None: to all of the replica."""

    at: int
    what: str
    replica: object
    component: str = None


class Fleet:
    """Replicas with workers for every component, and everything that happens to them."""

    def __init__(self, test, store, timing, component, seed):
        self.random = random.Random(seed)
        options = {"components": COMPONENTS, "timing": timing, "component": component}
        self.replicas = [test.replica(name, store, **options).start() for name in "abc"]
        self.seats = [Seat(test, replica, name) for replica in self.replicas for name in COMPONENTS]
        self.harm = []
        self.down = None  # a replica whose daemon is not there, and when it comes back
        self.counts = {"yields": 0, "workers killed": 0, "daemons killed": 0, "daemons restarted": 0}

    def tend(self):
        if self.down and now() >= self.down[1]:
            self.down[0].start()
            self.harm.append(Harm(now(), "start", self.down[0]))
            self.down = None
        for seat in self.seats:
            seat.tend()

    def stir(self, spared=None):
        """Something happens, but not to the worker and the daemon of a seat that is spared."""
        what = self.random.random()
        if what < 0.6:
            self.count("yields", self.someone_yields())
        elif what < 0.85:
            self.count("workers killed", self.kill_worker(spared))
        elif what < 0.95:
            self.count("daemons killed", self.end_daemon(spared, Fleet.kill_daemon))
        else:
            self.count("daemons restarted", self.end_daemon(spared, Fleet.stop_daemon))

    def count(self, what, happened):
        self.counts[what] += bool(happened)

    def someone_yields(self):
        for seat in self.random.sample(self.seats, len(self.seats)):
            if seat.give_up(self.random.choice((50, 100, 300))):
                self.harm.append(Harm(now(), "yield", seat.replica, seat.component))
                return True
        return False

    def kill_worker(self, spared):
        seat = self.random.choice([seat for seat in self.seats if seat is not spared])
        self.harm.append(Harm(now(), "kill worker", seat.replica, seat.component))
        seat.kill()
        return True

    def end_daemon(self, spared, end):
        able = [replica for replica in self.replicas if not spared or replica is not spared.replica]
        if self.down or not able:
            return False
        replica = self.random.choice(able)
        self.harm.append(Harm(now(), end.__name__, replica))
        end(replica)
        self.down = (replica, now() + int(self.random.uniform(0, 0.5) * 1e9))
        return True

    @staticmethod
    def kill_daemon(replica):
        replica.kill()

    @staticmethod
    def stop_daemon(replica):
        replica.terminate()
        assert replica.wait_exit() == 0

    def run(self, seconds, every, until_true=None, spared=None):
        """Elections with something happening now and then, for so long, or at most so long until something is true."""
        end = time.monotonic() + seconds
        next_at = time.monotonic() + self.random.uniform(0, 2 * every)
        while time.monotonic() < end:
            self.tend()
            if until_true and until_true():
                return True
            if time.monotonic() >= next_at:
                self.stir(spared)
                next_at = time.monotonic() + self.random.uniform(0, 2 * every)
            time.sleep(0.01)
        return False

    def harmed(self, seat, since):
        return any(
            harm.at >= since and harm.replica is seat.replica and harm.component in (None, seat.component)
            for harm in self.harm
        )

    def all_lead(self, since):
        """Every component has a leader that has heard so since then."""
        return {seat.component for seat in self.seats if seat.leads() and seat.heard(since)} == set(COMPONENTS)
