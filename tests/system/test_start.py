#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The daemon's start: no waiting for a tick, and none for the database."""

import collections
import os
import pathlib
import re
import shutil
import unittest

from case import PostgresTest, main
from events import milliseconds, now
from postgres import Proxy
from replica import LEASE_NS, MODE, TIMEOUT_NS, Memory, until

STARTS = 7
GRANTED_WITHIN_NS = 200_000_000


def keepalives_s(port):
    """Until when the server asks whether anybody is there, by the kernel, of each connection; 0: it waits for less."""
    with open("/proc/net/tcp", encoding="ascii") as table:
        lines = [line.split() for line in table if f":{port:04X} " in line]
    ours = [line[5].split(":") for line in lines if line[1].endswith(f":{port:04X}") and line[3] == "01"]
    assert ours, "no connection"
    return [int(when, 16) / os.sysconf("SC_CLK_TCK") * (kind == "02") for kind, when in ours]


class StartTest(PostgresTest):
    def first_grants(self, make_store):
        times = []
        for number in range(STARTS):
            replica = self.replica(f"r{number}", make_store()).start()
            granted = self.client(replica, "engine").wait("granted")
            self.assertEqual(granted.number("term"), 1)
            times.append(granted.at - replica.started_at)
            self.assert_within(times[-1], GRANTED_WITHIN_NS, "the first grant")
            self.feeds[-1].close()
            replica.stop()
        self.figure_times("start of the daemon to granted", times)

    def test_first_grant_sqlite(self):
        """R2: empty SQLite database: granted within 200 ms of the daemon's start"""

        def fresh():
            (self.directory / "tenure.db").unlink(missing_ok=True)
            return self.sqlite()

        self.first_grants(fresh)

    def test_first_grant_postgresql(self):
        """R2: empty PostgreSQL database: granted within 200 ms of the daemon's start"""
        self.first_grants(self.postgres)

    def test_server_appears_later(self):
        """R12, R3: the server is not there: ready, a follower, status says why; elects when it appears"""
        server = self.make_server().start()
        store = self.postgres(server=server)
        replica = self.replica("a", store)
        server.stop()
        replica.start()
        ready = milliseconds(now() - replica.started_at)
        client = self.client(replica, "engine")
        row = until(lambda: replica.status()["store"] == "unavailable" and replica.status(), "an outcome")
        self.assertEqual((row["role"], row["leader"], row["ttl_ms"]), ("standby", "", "0"))
        self.assertIn(str(server.sockets), row["error"])
        self.assertIn("No such file", row["error"])
        self.assertEqual(client.all("granted"), [])
        replica.wait_log("outcome=unavailable", "No such file")

        server.start()
        appeared = now()
        granted = client.wait("granted")
        # Another start of the server than the one believed: one lease of doubt (rule 3).
        self.assertGreater(granted.at - appeared, LEASE_NS // 2)
        self.assert_within(granted.at - appeared, LEASE_NS * 3 // 2)
        self.assertEqual(replica.status()["error"], "")
        self.figure(f"ready after {ready:.0f} ms, leads {milliseconds(granted.at - appeared):.0f} ms after the server")

    def test_parsed_once(self):
        """R2: the statement that claims is parsed once for a connection, and before it is needed"""
        server = self.make_server(log_min_duration_statement="0").start()
        replica = self.replica("a", self.postgres(server=server)).start()
        client = self.client(replica, "engine")
        for term in (1, 2, 3):
            client.reply("yield", client.wait("granted", term=term), cooldown="0ms")
        client.wait("granted", term=4)
        logged = r"^.* \[(\d+)\] tenure: LOG: .* ms  (\w+) ([^:/]+).*: (.*(?:\n\t.*)*)"
        steps = [
            (pid, step, name)
            for pid, step, name, sql in re.findall(logged, server.log(), re.M)
            if re.search("UPDATE \\S*tenure_lease .*acquired_at = ", sql)
        ]
        pids, names = ({step[place] for step in steps} for place in (0, 2))
        self.assertEqual((len(pids), len(names)), (1, 1))
        self.assertEqual(steps[0][1], "parse")
        count = collections.Counter(step for _, step, _ in steps)
        self.assertEqual(count["parse"], 1)
        self.assertGreaterEqual(count["execute"], 5)  # once on nothing

    def test_slow_greeting(self):
        """R7, R12: a server that takes longer than the timeout to greet is waited for, not begun with anew"""
        proxy = Proxy(self.server.port)
        self.addCleanup(proxy.close)
        store = self.database()
        self.replica("init", store)
        proxy.hold()  # the kernel accepts
        replica = self.replica("a", store.through(proxy.port)).start()
        client = self.client(replica, "engine")
        replica.wait_log("within the timeout")
        until(lambda: now() > replica.started_at + 3 * TIMEOUT_NS, "more timeouts than one")
        proxy.release()
        client.wait("granted")
        self.assertEqual(proxy.accepted, 1)

    def urgent(self, user=None):
        """Of a daemon that is to be urgent and leads: the nice values of its threads, and what it has locked."""
        replica = self.replica("a", Memory(), tenure={"urgent": "yes", "socket_mode": "0666"})
        if user:
            shutil.chown(replica.run_dir, user)
            shutil.chown(replica.directory, user)
        replica.start(user=user)
        self.client(replica, "engine").wait("granted")
        tasks = (pathlib.Path("/proc") / str(replica.pid) / "task").iterdir()
        nice = {int((task / "stat").read_text().rpartition(")")[2].split()[16]) for task in tasks}
        status = (pathlib.Path("/proc") / str(replica.pid) / "status").read_text()
        return replica, nice, int(re.search(r"^VmLck:\s*(\d+) kB", status, re.M)[1])

    def test_keepalives(self):
        """A server that hears no more of a daemon gives up, and what it had locked, in seconds and not in hours"""
        port, store = self.server.port, self.postgres()
        self.replica("b", store)  # makes the schema
        replica = self.replica("a", store.through(port)).start()
        self.client(replica, "engine").wait("granted")
        until(lambda: all(0 < left < 5 for left in keepalives_s(port)), "the server is about to ask")

    @unittest.skipUnless(os.getuid() == 0, "only root may")
    def test_urgent(self):
        """W8: urgent = yes: no thread of it gives way, and its memory is locked"""
        replica, nice, locked_kb = self.urgent()
        self.assertEqual(nice, {-20})
        if MODE not in ("asan", "tsan"):  # they forbid locking
            self.assertGreater(locked_kb, 1000)
        self.assertFalse([line for line in replica.log.items if " urgent " in line])

    @unittest.skipUnless(os.getuid() == 0, "only root can be another user")
    def test_urgent_forbidden(self):
        """W8: where the system does not allow it, that is logged, and it leads without"""
        replica, nice, locked_kb = self.urgent("nobody")
        self.assertEqual((nice, locked_kb), ({os.nice(0)}, 0))
        replica.wait_log("warning urgent", "LimitNICE=-20")
        if MODE not in ("asan", "tsan"):
            replica.wait_log("warning urgent", "LimitMEMLOCK=infinity")

    def test_two_starts_on_one_directory(self):
        """One daemon per runtime directory: the second says so and leaves the first alone"""
        store = self.sqlite()
        replica = self.replica("a", store).start()
        client = self.client(replica, "engine")
        client.wait("granted")
        first = replica.process
        result = replica.run_tenured()
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("another tenured has this runtime_dir", result.stderr)
        self.assertIn(str(first.pid), result.stderr)
        self.assertEqual(replica.status()["role"], "leader")


if __name__ == "__main__":
    main()
