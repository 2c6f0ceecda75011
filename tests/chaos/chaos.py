#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Five daemons, a database and their workers, and everything that goes wrong, drawn by a seed. See checker.py."""

import argparse
import itertools
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "system"))

# pylint: disable=wrong-import-position
import databases
import faults
import network
import processes
from events import Stalls, now
from replica import until

BUILD = pathlib.Path(os.environ.get("TENURE_BUILD", HERE.parents[1] / "build"))
NODES = "abcde"
LEASES = {"alpha": ["alpha"], "beta": ["beta"], "gamma": ["gamma"], "pair": ["left", "right"]}
RUN = ("alpha", "gamma", "left")  # under `tenurectl run`; the others through libtenure
STOP_GRACE_MS = 200
COMPONENT = f"stop_grace = {STOP_GRACE_MS}ms\nstart_timeout = 5s\ncooldown = 1s\n"
TURN_S = 0.02
LOOK_S = 0.3  # between looks at what comes back by itself
RESTART_S = 0.3  # before what ended is started again
CALM_S = (1, 5)  # between one lot of faults and the next
LONG_CALM = (8, 15)  # every so many lots, and seconds: when nothing may be without a leader
START_S = 30
LEADERS = 0.8  # of what hits nodes and workers


class Seat:
    """A place for a worker of one component at one node, never empty for long."""

    def __init__(self, world, node, component, lease):
        self.node, self.component = node, component
        self.name = f"{component}.{node.name}"
        self.beats = world.results / "beats" / self.name
        words = [BUILD / "tests/chaos/chaos_worker", self.beats, component, lease, *world.database.client()]
        if component in RUN:
            words = [BUILD / "tenurectl", "run", component, "--", *words]
        self.command = words
        self.process = None

    def tend(self):
        if self.process and self.process.poll() is not None:
            if self.process.returncode not in (0, -signal.SIGKILL):  # it ended as it should, or was killed by us
                self.node.world.say_died(self.name, self.process.returncode)
            self.process = None
        if not self.process:
            self.process = self.node.spawn(f"{self.component}.log", self.command)

    def workers(self):
        """Of a seat under `tenurectl run` there is one only while it leads."""
        family = processes.whole(self.process.pid)
        return [pid for pid in family if processes.program(pid) == "chaos_worker"]

    def guardians(self):
        """Between `tenurectl run` and its command."""
        return [pid for pid in processes.descendants(self.process.pid) if processes.program(pid) == "tenurectl"]


class Node:
    """A daemon in its namespace, with its workers."""

    def __init__(self, world, name):
        self.name, self.world = name, world
        self.directory = world.directory / name
        self.directory.mkdir()
        self.disk = databases.Disk(self.directory / "run", "4m")
        self.clock = databases.Clock(self.directory / "clock")
        self.socket = self.disk.path / "tenured.sock"
        self.held = False  # a daemon that is gone stays away
        self.killed = False  # by us
        self.daemon = None
        self.gone_at = 0
        self.config = self.write_config("tenured.conf", "tenure")
        self.seats = [Seat(world, self, c, lease) for lease, members in LEASES.items() for c in members]

    def write_config(self, name, user):
        text = f"[tenure]\nnode = {self.name}\nruntime_dir = {self.disk.path}\n\n[store]\n"
        database = self.world.database
        text += f"{database.config(user)}lease = {database.lease_ms}ms\n{database.timing}"
        for lease, members in LEASES.items():
            for component in members:
                group = f"group = {lease}\n" if len(members) > 1 else ""
                text += f"\n[component:{component}]\n{group}{COMPONENT}"
        path = self.directory / name
        path.write_text(text)
        return path

    def spawn(self, log, command):
        environment = {**os.environ, "TENURE_SOCKET": str(self.socket), "CHAOS_WITNESS": str(self.world.witness)}
        with open(self.world.results / "logs" / f"{self.name}-{log}", "ab") as file:
            command = network.in_namespace(self.name, *command)
            return processes.spawn(command, stdout=file, stderr=file, env=environment)

    def kill(self):
        self.killed = True
        processes.send(self.daemon.pid, signal.SIGKILL)

    def tend(self):
        if not self.daemon or self.daemon.poll() is not None:
            if self.daemon and not self.gone_at and not self.killed:
                self.world.say_died(self.name, self.daemon.returncode)
            self.gone_at = self.gone_at or time.monotonic()
            if not self.held and time.monotonic() - self.gone_at >= (RESTART_S if self.daemon else 0):
                prefix = [] if databases.sanitized() else self.clock.prefix
                command = [*prefix, BUILD / "tenured", "-c", self.config]
                self.daemon = self.spawn("tenured.log", command)
                self.gone_at, self.killed = 0, False
        for seat in self.seats:
            seat.tend()


class World:
    def __init__(self, directory, results, store, seed):
        self.store, self.seed = store, seed
        self.random = random.Random(seed)
        self.directory, self.results = directory, results
        for name in ("beats", "logs"):
            (results / name).mkdir(parents=True)
        self.witness = directory / "witness"
        with open(results / "deaths.tsv", "wb") as file:
            processes.spawn([sys.executable, "-S", HERE / "witness.py", self.witness], stdout=file)
        until(self.witness.exists, "the witness listens")
        self.network = network.Network(NODES)
        self.database = databases.STORES[store](directory)
        self.database.start()
        self.database.create()
        self.nodes = [Node(self, name) for name in NODES]
        self.init()
        self.able = faults.available(self)
        self.deck = []
        self.active = []  # (fault, number, victim, ends at, what ends it; that returns what is left to do)
        self.numbers = itertools.count()
        self.journal = open(results / "faults.jsonl", "w", encoding="ascii")
        self.stalls = Stalls().start()

    def init(self):
        config = self.nodes[0].write_config("init.conf", "owner")
        subprocess.run([BUILD / "tenurectl", "init", "-c", config], check=True)
        self.database.permit()

    def tend(self):
        for node in self.nodes:
            node.tend()

    def say_died(self, where, status):
        self.journal.write(json.dumps({"word": "died", "where": where, "status": status, "at": now()}) + "\n")
        self.journal.flush()

    def say(self, word, number, fault, victim, **more):
        where = "db" if fault.victim == "db" else victim.name
        line = {"word": word, "id": number, "name": fault.name, "where": where, "at": now(), **more}
        self.journal.write(json.dumps(line) + "\n")
        self.journal.flush()
        print(f"  {time.monotonic() - self.begun:7.1f} s  {word:<6}{fault.name} at {victim.name}", flush=True)

    def leads(self, victim):
        """Whether a worker there has written just now."""
        seats = victim.seats if isinstance(victim, Node) else [victim]
        return any(seat.beats.exists() and time.time() - seat.beats.stat().st_mtime < 0.2 for seat in seats)

    def victims(self, kind):
        """Whom nothing has hit already."""
        taken = [victim for _, _, victim, _, _ in self.active]
        if kind == "db":
            free = not any(server in taken for server in self.database.servers) and self.database.whole()
            return self.database.servers if free else []
        seats = [seat for node in self.nodes for seat in node.seats]
        nodes = [n for n in self.nodes if n not in taken and n.daemon.poll() is None]
        if kind == "node":
            return nodes
        free = [seat for seat in seats if seat not in taken and seat.process.poll() is None and seat.workers()]
        return [seat for seat in free if kind == "seat" or seat.component in RUN]

    def draw(self):
        """Each as often as it weighs, in any order."""
        if not self.deck:
            self.deck = [fault for fault in self.able for _ in range(fault.weight)]
            self.random.shuffle(self.deck)
        return self.deck.pop()

    def inject(self):
        fault = self.draw()
        victims = self.victims(fault.victim)
        if not victims:
            return
        if fault.victim != "db" and self.random.random() < LEADERS:
            victims = [victim for victim in victims if self.leads(victim)] or victims
        victim = self.random.choice(victims)
        number = next(self.numbers)
        # Some are over before anybody notices, some last for leases.
        longest = 3 * self.database.lease_ms / 1000
        seconds = self.random.choice((self.random.uniform(0.05, 1), self.random.uniform(1, longest)))
        if fault.victim == "db":
            victim.settle()
        self.say("begin", number, fault, victim, recovery_ms=fault.recovery_ms(self.database))
        end = fault.begin(self, victim)
        if fault.victim == "db":
            end = self.database.and_recovers(end)
        self.active.append((fault, number, victim, time.monotonic() + (0 if fault.at_once else seconds), end))

    def heal(self, everything=False):
        for item in list(self.active):
            fault, number, victim, ends_at, end = item
            if everything or time.monotonic() >= ends_at:
                self.active.remove(item)
                rest = end()
                if rest:
                    self.active.append((fault, number, victim, time.monotonic() + LOOK_S, rest))
                else:
                    self.say("end", number, fault, victim)

    def calm(self, seconds, until_true=lambda: False):
        end = time.monotonic() + seconds
        while time.monotonic() < end and not until_true():
            self.tend()
            self.heal()
            time.sleep(TURN_S)

    def led(self):
        """Every component once."""
        led = {path.name.split(".")[0] for path in (self.results / "beats").iterdir() if path.stat().st_size}
        return len(led) == sum(map(len, LEASES.values()))

    def run(self, minutes):
        self.begun, load = time.monotonic(), os.getloadavg()[0]
        self.calm(START_S, self.led)
        begin = now()
        end = time.monotonic() + minutes * 60
        for lot in itertools.count(1):
            if time.monotonic() >= end:
                break
            for _ in range(self.random.choices((1, 2, 3), (6, 3, 1))[0]):
                self.inject()
                self.calm(self.random.uniform(0, 1.5))
            self.calm(60, lambda: not self.active)
            self.calm(self.random.uniform(*CALM_S) if lot % LONG_CALM[0] else LONG_CALM[1])
        self.heal(everything=True)
        self.calm(databases.JOINED_S, lambda: not self.active)
        self.calm(3 * self.database.lease_ms / 1000 + 2)
        self.save(begin=begin, end=now(), minutes=minutes, load=load)

    def save(self, **run):
        """Before anything ends, for that would be one more fault."""
        for node in self.nodes:
            for process in [node.daemon, *[seat.process for seat in node.seats]]:
                processes.freeze(process.pid)
        about = {"store": self.store, "seed": self.seed, "nodes": list(NODES), "leases": LEASES}
        about.update(lease_ms=self.database.lease_ms, stop_grace_ms=STOP_GRACE_MS, **run)
        about.update(faults=[fault.name for fault in self.able])
        (self.results / "run.json").write_text(json.dumps(about))
        (self.results / "writes.tsv").write_text(self.database.writes() + "\n")
        lines = [f"{at}\t{late}\n" for at, late in self.stalls.seen]
        (self.results / "stalls.tsv").write_text("".join(lines))


def check(results, *options):
    command = [sys.executable, HERE / "checker.py", results, "--svg", results / "timeline.svg", *options]
    return subprocess.run(command, check=False).returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--store", choices=databases.STORES, default="postgresql")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--results", type=pathlib.Path, default=BUILD / "logs" / "chaos")
    parser.add_argument("--check", action="store_true", help="skipped where it cannot be")
    parser.add_argument("--report", action="store_true", help="into tests/bench/RESULTS.md")
    options = parser.parse_args()
    why = None if os.environ.get(network.ENTERED) else network.allowed()
    if why:
        print(f"  skipped: {why}\n0 passed, 0 failed, 1 skipped")
        return 0 if options.check else 1
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    network.inside()
    print(f"chaos: {options.minutes:g} minutes on {options.store}, SEED={seed}", flush=True)

    def work():
        shutil.rmtree(options.results, ignore_errors=True)
        options.results.mkdir(parents=True)
        directory = pathlib.Path(os.environ["TENURE_TEST_SHARED"]) / "chaos"
        directory.mkdir()
        World(directory, options.results.resolve(), options.store, seed).run(options.minutes)
        return check(options.results, *(["--report"] if options.report else []))

    processes.supervised(work)
    return 0


if __name__ == "__main__":
    sys.exit(main())
