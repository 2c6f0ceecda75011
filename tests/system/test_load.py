#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ten thousand observers and every misbehaviour at once: memory stays bounded, and workers are told in time (S7, W17).

With TENURE_LOAD=full in the environment, 100,000 connections are opened and closed instead of some.
"""

import contextlib
import os
import pathlib
import resource
import select
import socket
import sqlite3
import subprocess
import sys

import processes
from case import SystemTest, main
from events import now
from replica import HERE, Memory

COMPONENTS = 1000
IDLE = 10_000
CYCLES = 100_000 if os.environ.get("TENURE_LOAD") == "full" else 5000
SERVED = 4096  # connections at a time, as tenured(8) says
PROMPT_NS = 10_000_000
# 4 kB for a line and as much for the rest of a connection; what is not read, up to two listings' worth for each.
GROWTH_KB = SERVED * 8 + 20 * 256
PROBES = 300
ROWS = 20_000


def waited_ns(pid):
    """How long the daemon's threads and this one were ready to run while other programs had the processors."""
    try:
        tasks = [*pathlib.Path(f"/proc/{pid}/task").iterdir(), "/proc/thread-self"]
        return sum(int(pathlib.Path(task, "schedstat").read_text(encoding="ascii").split()[1]) for task in tasks)
    except FileNotFoundError:  # a kernel that does not count it
        return 0


class Prober:
    """A worker that yields and is granted the next term, again and again, and how long each grant took."""

    def __init__(self, path, pid):
        self.pid = pid
        self.peer = socket.socket(socket.AF_UNIX)
        self.peer.connect(str(path))
        self.peer.settimeout(30)
        self.stream = self.peer.makefile("rb")
        self.peer.sendall(b"join component=engine\n")
        self.term = self.wait_granted()

    def wait_granted(self):
        for line in self.stream:
            if line.startswith(b"granted "):
                return next(word[5:] for word in line.split() if word.startswith(b"term="))
        raise AssertionError("the daemon hung up on a worker")

    def once(self):
        waited = waited_ns(self.pid)
        start = now()
        self.peer.sendall(b"yield component=engine term=%s cooldown_ms=0\n" % self.term)
        self.term = self.wait_granted()
        return max(0, now() - start - (waited_ns(self.pid) - waited))

    def close(self):
        self.stream.close()
        self.peer.close()


class LoadTest(SystemTest):
    seconds = 900 if CYCLES == 100_000 else 120

    def setUp(self):
        super().setUp()
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        if hard < SERVED + 200:
            self.skipTest(f"only {hard} descriptors here")

    def probe(self, prober, begun_at, what, loader=None, least=PROBES):
        """Grants until the loader says its next line, and no fewer than that; the 99th percentile, and that line."""
        times = []
        self.begun_at = begun_at
        while len(times) < least or (loader and not select.select([loader.stdout], [], [], 0)[0]):
            times.append(prober.once())
        self.figure_times(what, times)
        return sorted(times)[int(len(times) * 0.99)], loader.stdout.readline() if loader else None

    def test_everything_at_once(self):
        """W17, R10: 1,000 components, 10,000 observers and each misbehaviour: memory bounded, p99 of grants < 10 ms"""
        names = ["engine", *(f"c{number}" for number in range(COMPONENTS - 1))]
        replica = self.replica("a", Memory(), components=names, tenure={"log_level": "warning"}).start()
        prober = Prober(replica.socket, replica.pid)
        self.addCleanup(prober.close)
        quiet, _ = self.probe(prober, now(), "undisturbed")
        before = replica.usage()
        loader = processes.spawn(
            [sys.executable, "-S", HERE / "loader.py", replica.socket, IDLE, CYCLES],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.addCleanup(loader.wait)
        self.addCleanup(loader.stdin.close)
        self.addCleanup(loader.stdout.close)
        self.assertEqual(loader.stdout.readline(), b"ready\n")
        for what in ("while 10,000 observers come", f"while {CYCLES} connections come and go, and all the others stay"):
            p99, line = self.probe(prober, now(), what, loader)
            self.figure(line.decode().strip())
            if os.environ.get("TENURE_MODE") not in ("asan", "tsan"):
                self.assert_within(p99, PROMPT_NS + quiet, what)
        counts = dict(word.split("=") for word in line.decode().split()[1:])
        # Where the end of a connection comes first, its peer does not hear why.
        self.assertGreater(int(counts["long"]), CYCLES // 40, "over-long lines that were answered with an error")
        full = replica.usage()
        growth = full.resident_kb - before.resident_kb
        self.figure(f"{before.resident_kb} kB resident before, {growth} kB more with {full.descriptors} descriptors")
        if os.environ.get("TENURE_MODE") not in ("asan", "tsan"):
            self.assertLess(growth, GROWTH_KB)

    def test_rows_of_others(self):
        """R10: a database full of leases and offers that nobody here asked for costs neither memory nor the lease"""
        replica = self.replica("a").start()
        leader = self.client(replica, "engine")
        leader.wait("granted")
        leader.wait("extended", after=leader.mark())
        before = replica.usage()
        with contextlib.closing(sqlite3.connect(replica.store.path, timeout=10)) as database, database:
            offers = " ".join(f"stranger{number}=1" for number in range(ROWS))
            columns = [row[1] for row in database.execute("PRAGMA table_info(tenure_session)")]
            row = dict(zip(columns, database.execute("SELECT * FROM tenure_session").fetchone()))
            row.update({"id": "0" * 8 + row["id"][8:], "node": "stranger", "offers": offers})
            marks = ", ".join("?" * len(columns))
            database.execute(f"INSERT INTO tenure_session VALUES ({marks})", list(row.values()))
            database.executemany(
                "INSERT INTO tenure_lease (component, node, term, generation) VALUES (?, '', 1, 1)",
                [(f"stranger{number}",) for number in range(ROWS)],
            )
        for _ in range(3):
            leader.wait("extended", after=leader.mark())
        growth = replica.usage().resident_kb - before.resident_kb
        self.figure(f"{ROWS} leases and as many offers of others: {growth} kB more")
        self.assertEqual([row.fields["component"] for row in replica.ask("status").rows], ["engine"])
        self.assertEqual(replica.ask("check component=engine").fields["valid"], "yes")
        self.assertEqual(leader.all("revoked"), [])
        if os.environ.get("TENURE_MODE") not in ("asan", "tsan"):
            self.assertLess(growth, 4096)


if __name__ == "__main__":
    main()
