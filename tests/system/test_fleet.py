#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Three daemons, seen by operators, on PostgreSQL and on MariaDB: stalled workers, --notify, status, watch, HTTP."""

import re
import subprocess
import sys

import processes
from case import PostgresTest, main
from http_client import ask
from postgres import free_port
from replica import TENURECTL, until
from terminal import PROMPT, Terminal
from test_mariadb_scenarios import OnMariaDB

RED = "\033[31m"
READY = (
    "import os, signal, socket\n"
    "to = '\\0' + os.environ['NOTIFY_SOCKET'][1:]\n"
    "say = lambda text: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(text.encode(), to)\n"
    "say('READY=1\\nSTATUS=at work')\n"
    "signal.pause()\n"
)


class FleetTest(PostgresTest):
    def fleet(self, **options):
        store = self.database()
        return store, [
            self.replica(name, store, http=f"127.0.0.1:{free_port()}", **options).start() for name in "abc"
        ]

    def show(self, terminal, replica, command, *patterns):
        """The screen with all of the patterns, and whether there is red on it."""
        terminal.clear()
        terminal.type(TENURECTL, "--socket", replica.socket, command)
        screen = terminal.wait(*patterns, *([rf"^{PROMPT}$"] if command == "status" else []))
        colored = RED in terminal.screen(colors=True)
        if command == "watch":
            terminal.press("q")
            terminal.wait(rf"^{PROMPT}$")
        return screen, colored

    def test_stalled(self):
        """W16: who does not start, and who stops sending heartbeats, is revoked as stalled, and the next one leads"""
        _, (one, two, three) = self.fleet(component={"start_timeout": "500ms", "cooldown": "20s"})
        first = self.client(one, "engine", start=False)
        first.wait("granted", term=1)
        second = self.client(two).join("engine", heartbeat_ms=1000)
        first.wait("revoked", term=1, reason="stalled")
        second.wait("granted", term=2)
        third = self.client(three, "engine")
        second.wait("revoked", term=2, reason="stalled")
        third.wait("granted", term=3)
        past = one.ctl("history", "engine").stdout
        self.assertEqual(re.findall(r"stalled|lost", past), ["stalled", "stalled"])

    def test_notify(self):
        """W16, W20: under run --notify, READY=1 is a start, and STATUS= is told by status, on a terminal as well"""
        _, (one, _, _) = self.fleet()
        run = processes.spawn(
            [TENURECTL, "--socket", one.socket, "run", "--notify", "engine", "--", sys.executable, "-S", "-c", READY],
            stderr=subprocess.DEVNULL,
        )
        self.addCleanup(run.wait)
        self.addCleanup(run.kill)
        until(lambda: (row := one.status())["worker"] == "working" and row["message"] == "at work", "it is at work")
        terminal = Terminal(self.directory, 80, 24)
        self.addCleanup(terminal.close)
        self.show(terminal, one, "status", r"^engine +leader +a ", r"^COMPONENT MESSAGE\nengine +at work$")
        run.terminate()
        run.wait(10)

    def test_seen(self):
        """W20, S6: leader, group, candidates, pause and no leader: in status, watch and over HTTP, at each replica"""
        _, replicas = self.fleet()
        for replica in replicas:
            replica.stop()
            replica.each = {"engine": {"group": "console"}}
            replica.write_config()
            replica.start()
        clients = [self.client(replica, "engine") for replica in replicas[:1]]
        clients[0].wait("granted")
        clients += [self.client(replica, "engine") for replica in replicas[1:]]
        until(lambda: replicas[2].status()["candidates"].count(":") == 4, "all are seen", timeout=20)
        until(lambda: replicas[0].status()["candidates"].count(":") == 4, "all are seen", timeout=20)
        terminals = [Terminal(self.directory, width, 24) for width in (80, 200)]
        for terminal in terminals:
            self.addCleanup(terminal.close)
        for replica, role, code in zip(replicas, ("leader", "standby", "standby"), (200, 503, 503)):
            self.assertEqual(ask(replica.http, "/leader/engine")[0::2], (code, "a\n"))
            self.assertIn(f'tenure_leader{{component="engine"}} {int(code == 200)}', ask(replica.http, "/metrics").body)
            self.assertIn("console", ask(replica.http, "/status").body)
        for terminal in terminals:
            for command in ("status", "watch"):
                line = r"^engine +leader +a +1 .* ok +console +[bc] \d+\.\ds, [bc] "
                _, colored = self.show(terminal, replicas[0], command, line)
                self.assertFalse(colored)
        self.assertEqual(replicas[1].ctl("pause").returncode, 0)
        clients[0].close()
        until(lambda: (row := replicas[2].status())["paused"] == "b" and not row["leader"], "paused, nobody leads")
        for terminal in terminals:
            for command in ("status", "watch"):
                _, colored = self.show(terminal, replicas[2], command, r"^paused through b: ", r"^engine +standby +- ")
                self.assertTrue(colored)
        self.assertIn("tenure_paused 1", ask(replicas[2].http, "/metrics").body)
        self.assertEqual(replicas[0].ctl("resume").returncode, 0)
        until(lambda: replicas[0].status()["leader"] in ("b", "c"), "one of them leads")

    def test_store_away(self):
        """W20, S6: a daemon whose database does not answer says so on a terminal and is not ready"""
        store = self.database()
        self.replica("a", store).start()
        away = self.replica("z", store.through(free_port()), http=f"127.0.0.1:{free_port()}").start()
        until(lambda: away.status()["store"] == "unavailable", "it does not answer")
        self.assertEqual(ask(away.http, "/readyz").status, 503)
        for width in (80, 200):
            terminal = Terminal(self.directory, width, 24)
            self.addCleanup(terminal.close)
            told = r"^tenurectl: store unavailable: "
            self.show(terminal, away, "status", r"^engine +idle +- .* unavailable", told)
            self.show(terminal, away, "watch", r"^engine +idle +- .* unavailable", r"^the store: ")


class MariaFleetTest(OnMariaDB, FleetTest):
    pass


if __name__ == "__main__":
    main(at_once=3)
