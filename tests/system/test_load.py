#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Thousands of observers, every misbehaviour and a hostile user at once: memory bounded, workers in time (S7, W17).

With TENURE_LOAD=full in the environment, as `make load` has it, 100,000 connections are opened and closed, and the
figures go to tests/bench/RESULTS.md.
"""

import contextlib
import getpass
import os
import pathlib
import resource
import select
import socket
import sqlite3
import subprocess
import sys
import time

import hostile
import loader
import processes
from case import SystemTest, main
from events import milliseconds, now
from replica import CLIENTS, Memory

COMPONENTS = 1000
IDLE = 10_000
FULL = os.environ.get("TENURE_LOAD") == "full"
CYCLES = 100_000 if FULL else 5000
PROMPT_NS = 10_000_000
CONNECTIONS = 1 + loader.TRICKLING + loader.DEAF + IDLE
# 4 kB for a line and as much for the rest of a connection; what is not read is 32 MiB of all, with room to grow.
GROWTH_KB = CLIENTS * 8 + 2 * 32 * 1024
HOSTILE_S = 10 if FULL else 2
PROBES = 300
ROWS = 20_000


def waited_ns(pid):
    """How long the daemon's loop was ready to run while other programs had the processors."""
    try:
        return int(pathlib.Path(f"/proc/{pid}/task/{pid}/schedstat").read_text(encoding="ascii").split()[1])
    except FileNotFoundError:  # a kernel that does not count it
        return 0


class Prober:
    """A worker that yields and is granted the next term, again and again: how long each grant took."""

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
        """How long it took, and for how much of that the daemon's loop had no processor."""
        waited = waited_ns(self.pid)
        start = now()
        self.peer.sendall(b"yield component=engine term=%s cooldown_ms=0\n" % self.term)
        self.term = self.wait_granted()
        return now() - start, waited_ns(self.pid) - waited

    def close(self):
        self.stream.close()
        self.peer.close()


class LoadTest(SystemTest):
    seconds = 900 if FULL else 120

    def setUp(self):
        super().setUp()
        self.begun, self.rows = (time.monotonic(), os.getloadavg()[0]), []
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        if hard < CONNECTIONS + 200:
            self.skipTest(f"only {hard} descriptors here")

    def probe(self, prober, what, process=None):
        """Grants until the loader says its next line, which is returned, and no fewer than some."""
        times = []
        self.begun_at = now()
        while len(times) < PROBES or (process and not select.select([process.stdout], [], [], 0)[0]):
            times.append(prober.once())
        found = self.figure_times(what, [took for took, _ in times])
        p99 = sorted(took - waited for took, waited in times)[int(len(times) * 0.99)]
        self.figure(f"    p99 {milliseconds(p99):.1f} ms without what the loop waited for a processor")
        slow = found[int(len(found) * 0.99)]
        told = found[len(found) // 2], slow, milliseconds(p99)
        self.rows.append((what, len(found), *(f"{ms:.2f}" for ms in told)))
        if os.environ.get("TENURE_MODE") not in ("asan", "tsan"):
            self.assert_within(p99, PROMPT_NS, what)
        return process.stdout.readline().decode().strip() if process else None

    def start(self, program, *words, **options):
        process = processes.spawn(
            [sys.executable, "-S", program.__file__, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.stdin.close)
        self.addCleanup(process.stdout.close)
        return process

    def be_hostile(self, replica, prober):
        """Of the connections that are left another user takes half, each of which asks for more than it reads."""
        if os.getuid() != 0:
            self.figure("left out, for it needs another user: what such a one may try")
            return
        process = self.start(hostile, replica.socket, HOSTILE_S, user="nobody")
        line = self.probe(prober, "while another user takes all connections that it gets", process)
        self.assertAlmostEqual(int(line.split()[1]), (CLIENTS - CONNECTIONS) / 2, delta=10)
        self.figure(line)
        for what, did in (
            ("while these ask and do not read, and it connects again and again", "refused"),
            ("while it sends along what takes a minute to close", "sent"),
        ):
            line = self.probe(prober, what, process)
            self.assertRegex(line, f"^{did} [1-9][0-9]{{2}}", "so many at least")
            self.figure(line)

    def test_everything_at_once(self):
        """S7, W17, R10: 10,000 observers, each misbehaviour, another user's: memory bounded, p99 < 10 ms"""
        names = ["engine", *(f"c{number}" for number in range(COMPONENTS - 1))]
        open_to_all = {"log_level": "warning", "socket_mode": "0666"}
        ours = {"users": getpass.getuser()}
        replica = self.replica("a", Memory(), components=names, tenure=open_to_all, component=ours).start()
        prober = Prober(replica.socket, replica.pid)
        self.addCleanup(prober.close)
        self.probe(prober, "undisturbed")
        before = replica.usage()
        process = self.start(loader, replica.socket, IDLE, CYCLES)
        self.assertEqual(process.stdout.readline(), b"ready\n")
        line = self.probe(prober, "while 10,000 observers come", process)
        self.assertEqual(line, f"watching served={IDLE}")
        self.figure(line)
        line = self.probe(prober, f"while {CYCLES} connections come and go, and all the others stay", process)
        self.figure(line)
        counts = dict(word.split("=") for word in line.split()[1:])
        self.assertEqual(int(counts["stayed"]), loader.TRICKLING + IDLE)
        # Where the end of a connection comes first, its peer does not hear why.
        self.assertGreater(int(counts["long"]), CYCLES // 40, "over-long lines that were answered with an error")
        self.be_hostile(replica, prober)
        full = replica.usage()
        growth = full.resident_kb - before.resident_kb
        self.figure(f"{before.resident_kb} kB resident before, {growth} kB more with {full.descriptors} descriptors")
        if os.environ.get("TENURE_MODE") not in ("asan", "tsan"):
            self.assertLess(growth, GROWTH_KB)
        if FULL:
            memory = f"{before.resident_kb:,} kB resident before, {growth:,} kB more, of {GROWTH_KB:,} at most"
            self.report(f"{memory}, with {full.descriptors:,} descriptors.")

    def report(self, memory):
        """Into tests/bench/RESULTS.md."""
        sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "bench"))
        import results  # pylint: disable=import-outside-toplevel,import-error

        section = results.Section("load", "every misbehaviour at once, and how soon a worker is told")
        section.begun, section.load = self.begun
        section.command = "make load"
        section.say(
            f"From a worker's yield to the grant of its next term, of a daemon with {COMPONENTS:,}"
            f" components, ms. Beside {IDLE:,} observers stay {loader.TRICKLING} who send a byte now and then, and"
            f" {loader.DEAF} who never read; of those who come and go every twentieth sends a line that is too long."
            " The other user may join nothing."
        )
        head = ("", "times", "median", "p99", "p99 without waits for a processor")
        section.table(head, self.rows)
        section.say(memory)
        results.write([section], [])

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
            row.update({"id": "0" * 8 + row["id"][8:], "node": "stranger"})
            marks = ", ".join("?" * len(columns))
            database.execute(f"INSERT INTO tenure_session VALUES ({marks})", list(row.values()))
            database.execute("INSERT INTO tenure_offer VALUES (?, ?)", (row["id"], offers))
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
