# SPDX-License-Identifier: Apache-2.0
"""The workers of src/examples beside a replica, and the directories and tables that they keep alike."""

import os
import pathlib
import re
import signal
import socket
import sqlite3
import subprocess

import processes
from events import Feed
from replica import BUILD, Postgres, Replica, until

TABLES = pathlib.Path(__file__).resolve().parents[2] / "src/examples/tables.sql"
COMPONENTS = ("discovery", "engine", "counter")


class Console:
    """What the trios of all replicas look at: two directories, and a database with the examples' tables."""

    def __init__(self, directory, store):
        self.store = store
        self.services, self.runtimes = directory / "services", directory / "runtimes"
        self.services.mkdir()
        self.runtimes.mkdir()
        self.where = self.place(directory)
        self.execute(TABLES.read_text())

    def place(self, directory):
        if isinstance(self.store, Postgres):
            return f"postgresql:{self.store.conninfo('postgres')}"
        if hasattr(self.store, "path"):
            return f"sqlite:{self.store.path}"
        path = directory / "client.cnf"
        path.write_text(f"[client]\nsocket={self.store.server.socket}\nuser=root\ndatabase={self.store.database}\n")
        return f"mysql:{path}"

    def execute(self, text):
        """Rows as the tuples of text."""
        if not hasattr(self.store, "path"):
            return [tuple(re.split(r"[|\t]", line)) for line in self.store.sql(text).splitlines()]
        with sqlite3.connect(self.store.path, timeout=5) as connection:
            if text.count(";") > 1:
                return connection.executescript(text).fetchall()
            rows = [tuple(map(str, row)) for row in connection.execute(text)]
        connection.close()
        return rows

    @staticmethod
    def files(directory):
        return {path.name: path.read_text().split("\n")[0] for path in directory.iterdir()}

    def equal(self):
        """Both tables say what the directories do."""
        instances = dict(self.execute("SELECT name, address FROM instances"))
        runtimes = set(self.execute("SELECT name, service, healthy FROM runtimes"))
        expected = {
            (name, name.rpartition("-")[0], "1" if state == "running" else "0")
            for name, state in self.files(self.runtimes).items()
        }
        return instances == self.files(self.services) and runtimes == expected

    def terms(self):
        return {int(row[0]) for row in self.execute("SELECT term FROM instances UNION SELECT term FROM runtimes")}

    def counts(self):
        return f"instances={len(self.files(self.services))} runtimes={len(self.files(self.runtimes))}"


class Trio:
    """A discovery, an engine and a counter at one replica."""

    def __init__(self, replica: Replica, console, components=COMPONENTS, broken=None):
        self.replica = replica
        self.counter = replica.directory / "counter.sock"
        self.logs = {}
        self.processes = {}
        self.arguments = {
            "discovery": [console.where, console.services, replica.directory],
            "engine": [console.where, console.runtimes, replica.directory],
            "counter": [console.where, replica.directory],
        }
        if broken:
            self.arguments[broken][-2] = "/nowhere"  # a directory, or the counter's database
        for name in components:
            self.logs[name] = Feed(f"log of the {name} at {self.replica.name}")
            self.start(name)

    def start(self, name):
        process = processes.spawn(
            [BUILD / "examples" / name, *self.arguments[name]],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TENURE_SOCKET": str(self.replica.socket)},
        )
        self.processes[name] = process
        Replica.follow(process.stderr, self.logs[name])

    def wait(self, name, what, term=None, after=0):
        wanted = re.compile(rf"{name}: {what} term={term or ''}" + (r"\b" if term else ""))
        return self.logs[name].wait_for(wanted.match, wanted.pattern, after=after)

    def answer(self):
        """What the counter says."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(self.counter))
            return connection.makefile().read().strip()

    def descriptors(self):
        return {name: processes.usage(process.pid).descriptors for name, process in self.processes.items()}

    def kill(self):
        for process in self.processes.values():
            processes.send(process.pid, signal.SIGKILL)
            process.wait()

    def stop(self):
        """SIGTERM; the exit statuses."""
        for process in self.processes.values():
            processes.send(process.pid, signal.SIGCONT)
            processes.send(process.pid, signal.SIGTERM)
        return [process.wait(10) for process in self.processes.values()]

    def until_counts(self, text):
        until(lambda: self.answer().partition(" ")[2] == text, f"the counter says {text}", every=0.02)
