#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The units under a real systemd: install, start, elect, reload, restart, upgrade, watchdog, stop."""

import json
import os
import pathlib
import re
import select
import signal
import tempfile
import time
import unittest

import postgres
import processes
from booted import Machine, install, unavailable
from case import main
from replica import until

RESTARTS, KILLS, UPGRADES = 50, 10, 5
COMPONENTS = ("discovery", "engine", "counter")
MOST_EXPOSED = 1.5
SECRET = "geheimnis-4711"
DATABASE = """[Unit]
Description=PostgreSQL
[Service]
Type=notify
User=postgres
RuntimeDirectory=db
StateDirectory=db
ExecStartPre={bin}/initdb --no-sync -A trust -U postgres -E UTF8 --locale=C -D /var/lib/db/data
ExecStartPre=sed -i 's|127.0.0.1/32 *trust|127.0.0.1/32 scram-sha-256|' /var/lib/db/data/pg_hba.conf
ExecStart={bin}/postgres -D /var/lib/db/data -c port={port} -c fsync=off -c unix_socket_directories=/run/db \
-c listen_addresses=127.0.0.1 -c dynamic_shared_memory_type=mmap
KillSignal=SIGINT
"""
CONFIG = """[tenure]
node = {node}
runtime_dir = /run/{directory}
[store]
driver = postgresql
conninfo = {conninfo} dbname=tenure user=tenure
{password}
lease = {lease}
"""
WORKER = """#!/bin/sh
echo "leads $TENURE_COMPONENT $TENURE_TERM"
exec sleep infinity
"""


@unittest.skipIf(unavailable(), unavailable())
@unittest.skipUnless(postgres.available(), "no PostgreSQL is installed")
class SystemdTest(unittest.TestCase):
    """Two instances on one machine: a, as installed and with a password, and b, over the database's socket."""

    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory(prefix="t-")  # pylint: disable=consider-using-with
        cls.addClassCleanup(directory.cleanup)
        cls.installed = pathlib.Path(directory.name) / "installed"
        install(cls.installed)

    def setUp(self):
        self.figures = []
        directory = tempfile.TemporaryDirectory(prefix="t-")  # pylint: disable=consider-using-with
        self.addCleanup(directory.cleanup)
        self.machine = Machine(pathlib.Path(directory.name) / "machine", self.installed)
        self.addCleanup(self.machine.halt)
        self.logs = [self.machine]
        self.port = postgres.free_port()
        self.lease = "10s"
        self.configure("a", *COMPONENTS)
        self.configure("b", *COMPONENTS)
        self.machine.write("/etc/credstore/tenure.db-password", SECRET + "\n", 0o600)
        self.machine.write("/usr/local/bin/leader", WORKER, 0o755)
        self.machine.write(
            "/etc/systemd/system/db.service", DATABASE.format(bin=postgres.binaries(), port=self.port)
        )
        for component in (*COMPONENTS, "fourth"):
            self.machine.write(f"/etc/tenure/run/{component}.conf", "COMMAND=/usr/local/bin/leader for-ever\n")
        self.second_instance()

    def configure(self, node, *components):
        password = "password_file = ${CREDENTIALS_DIRECTORY}/db-password" if node == "a" else ""
        where = f"host=127.0.0.1 port={self.port}" if node == "a" else f"host=/run/db port={self.port}"
        text = CONFIG.format(
            node=node,
            directory="tenure" if node == "a" else "tenure-b",
            conninfo=where,
            password=password,
            lease=self.lease,
        )
        sections = "".join(f"[component:{name}]\n" for name in components)
        name = "tenured.conf" if node == "a" else "tenured-b.conf"
        self.machine.write(f"/etc/tenure/{name}", text + sections)

    def second_instance(self):
        """What an administrator would write for one."""
        units = self.machine.add / "usr/lib/systemd/system"
        daemon = (units / "tenured.service").read_text()
        daemon = daemon.replace("tenured.conf\n", "tenured-b.conf\n")
        daemon = daemon.replace("RuntimeDirectory=tenure\n", "RuntimeDirectory=tenure-b\n")
        self.machine.write("/etc/systemd/system/tenured-b.service", daemon)
        run = (units / "tenure-run@.service").read_text().replace("tenured.service", "tenured-b.service")
        run = run.replace("[Service]\n", "[Service]\nEnvironment=TENURE_SOCKET=/run/tenure-b/tenured.sock\n")
        self.machine.write("/etc/systemd/system/tenure-run-b@.service", run)

    def boot(self):
        """As far as a database with the schema."""
        machine = self.machine.boot()
        machine.run("systemctl", "start", "db")
        psql = ["psql", "-X", "-q", "-h", "/run/db", "-p", str(self.port), "-U", "postgres"]
        machine.run(*psql, "-c", f"CREATE ROLE tenure LOGIN PASSWORD '{SECRET}'")
        machine.run(*psql, "-c", "CREATE DATABASE tenure OWNER tenure")
        # With the service's credential, as tenured(8) says.
        as_service = ("-p", "User=tenure", "-p", "LoadCredential=db-password:tenure.db-password")
        init = ("tenurectl", "init", "-c", "/etc/tenure/tenured.conf")
        machine.run("systemd-run", "--quiet", "--pipe", "--wait", *as_service, *init)
        return machine

    def status(self, node="a"):
        """By component."""
        socket = f"/run/tenure{'' if node == 'a' else '-b'}/tenured.sock"
        rows = json.loads(self.machine.run("tenurectl", "--socket", socket, "status", "-o", "json"))["components"]
        return {row["component"]: row for row in rows}

    def wait_led(self, by, *components):
        def led():
            status = self.status("b" if by == "b" else "a")
            return all(status[name]["leader"] == by for name in components) and status

        return until(led, f"{by} leads {components}", every=0.05)

    def workers(self, which="tenure-run@"):
        """How the commands were started, in order: (component, term)."""
        lines = self.machine.read_journal("-o", "cat", "-u", f"{which}*")
        return [tuple(line.split()[1:]) for line in lines if line.startswith("leads ")]

    def wait_workers(self, wanted, which="tenure-run@"):
        """A command says what it leads a moment after it was granted."""
        return until(lambda: wanted <= set(found := self.workers(which)) and found, f"{which} has {wanted}", every=0.05)

    def start(self, *components):
        self.machine.run("systemctl", "start", "tenured", *(f"tenure-run@{name}" for name in components))
        return self.wait_led("a", *components)

    def messages(self, unit="tenured"):
        return [entry["MESSAGE"] for entry in self.machine.journal(unit)]

    def test_election(self):
        """Two instances: one leads; stop revokes and releases, the other leads; the journal has it all by priority"""
        machine = self.boot()
        machine.run("systemctl", "enable", "--now", "tenured.socket")
        self.assertEqual(machine.show("tenured", "ActiveState"), "inactive")
        # Whoever connects starts the daemon.
        self.assertEqual(set(self.status()), set(COMPONENTS))
        self.assertEqual(machine.show("tenured", "ActiveState"), "active")
        self.start(*COMPONENTS)
        machine.run("systemctl", "start", "tenured-b", *(f"tenure-run-b@{name}" for name in COMPONENTS))
        self.wait_led("a", *COMPONENTS)
        self.assertIn("leading 3 of 3", machine.show("tenured", "StatusText"))
        machine.run("systemctl", "stop", "tenured.socket", "tenured")
        self.wait_led("b", *COMPONENTS)
        self.wait_workers({(name, "2") for name in COMPONENTS}, "tenure-run-b@")
        self.assertEqual(machine.show("tenured", "Result"), "success")
        journal = machine.journal("tenured")
        first = re.compile(r"lease component=engine .*to=leading term=1")
        moves = [entry for entry in journal if first.search(entry["MESSAGE"])]
        self.assertEqual([entry["PRIORITY"] for entry in moves], ["6"])
        self.assertTrue(any("reason=shutdown" in entry["MESSAGE"] for entry in journal))
        self.assertFalse([entry for entry in journal if entry["PRIORITY"] < "5"])
        self.assertNotIn(SECRET, json.dumps(journal) + machine.run("systemctl", "show", "tenured"))

    def test_restart(self):
        """S5: restarts, kills and upgrades under three leaders: nothing revoked, no new term, no command disturbed"""
        machine = self.boot()
        before = self.start(*COMPONENTS)
        started = self.wait_workers({(name, "1") for name in COMPONENTS})
        pids = {machine.show("tenured", "MainPID")}

        def again(what, *command):
            machine.run(*command)

            def back():
                new = machine.show("tenured", "MainPID") not in pids | {"0"}
                return new and machine.show("tenured", "ActiveState") == "active"

            until(back, f"another daemon after {what}", every=0.02)
            pids.add(machine.show("tenured", "MainPID"))
            status = until(
                lambda: all(row["worker"] == "working" for row in self.status().values()) and self.status(),
                "the workers are back",
                every=0.02,
            )
            self.assertEqual({name: row["term"] for name, row in status.items()}, dict.fromkeys(COMPONENTS, 1), what)

        for _ in range(RESTARTS):
            again("a restart", "systemctl", "restart", "tenured")
        for _ in range(KILLS):
            again("a kill", "systemctl", "kill", "-s", "KILL", "tenured")
        for _ in range(UPGRADES):
            # Another file under the same name, with other bytes, as a package puts it there.
            machine.run("sh", "-c", "cd /usr/sbin && cp -p tenured new && echo upgrade >>new && mv new tenured")
            again("an upgrade", "systemctl", "restart", "tenured")
        self.figures.append(f"{RESTARTS} restarts, {KILLS} kills, {UPGRADES} upgrades: 0 revocations, 0 new terms")
        self.assertEqual(len(pids), 1 + RESTARTS + KILLS + UPGRADES)
        self.assertEqual(self.workers(), started)
        self.assertEqual({row["term"] for row in before.values()}, {1})
        self.assertEqual([line for line in self.messages() if "to=draining" in line or "not-resumed" in line], [])

    def test_reload(self):
        """S4: reload adds and removes a component; a broken file is refused whole, and systemctl says so"""
        machine = self.boot()
        self.start(*COMPONENTS)
        self.configure("a", "engine", "counter", "fourth")
        machine.run("systemctl", "reload", "tenured")
        until(lambda: set(self.status()) == {"engine", "counter", "fourth"}, "discovery is released", every=0.02)
        self.assertTrue(any("reason=removed" in line for line in self.messages()))
        self.start("engine", "counter", "fourth")
        self.configure("a", "engine", "nonsense = 1")
        with self.assertRaises(AssertionError):
            machine.run("systemctl", "reload", "tenured")
        self.assertTrue(any("reload-refused" in line for line in self.messages()))
        self.assertEqual(machine.show("tenured", "ActiveState"), "active")
        self.assertEqual(set(self.status()), {"engine", "counter", "fourth"})
        self.assertEqual({row["term"] for row in self.status().values()}, {1})

    def watch_command(self):
        """A descriptor that is readable once the one command that runs is dead."""

        def find():
            for pid in processes.descendants(self.machine.process.pid):
                try:
                    if pathlib.Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\0infinity\0":
                        return os.pidfd_open(pid)
                except OSError:
                    pass
            return None

        descriptor = until(find, "the command runs", every=0.02)
        self.addCleanup(os.close, descriptor)
        return descriptor

    def stop_daemon(self):
        """It stands still; returns its process as systemd knows it."""
        before = self.machine.show("tenured", "MainPID")
        self.machine.run("systemctl", "kill", "--kill-whom=main", "-s", str(int(signal.SIGSTOP)), "tenured")
        return before

    def wait_replaced(self, before):
        """By another daemon, which the watchdog brought about."""
        machine = self.machine
        until(lambda: machine.show("tenured", "MainPID") not in (before, "0"), "systemd replaces it", 30, every=0.05)
        until(lambda: machine.show("tenured", "ActiveState") == "active", "it is ready", every=0.05)
        self.assertTrue(any("Watchdog timeout" in line for line in self.messages()))

    def test_watchdog(self):
        """A daemon that is stopped: its command is dead before the next term is granted, and systemd replaces it"""
        self.lease = "2s"
        self.configure("a", "engine")
        self.configure("b", "engine")
        machine = self.boot()
        self.start("engine")
        command = self.watch_command()
        machine.run("systemctl", "start", "tenured-b", "tenure-run-b@engine")
        until(lambda: self.status("b")["engine"]["worker"] == "joined", "b waits", every=0.05)
        before = self.stop_daemon()
        self.assertTrue(select.select([command], [], [], 10)[0], "the command of term 1 lives on")
        dead_ms = time.monotonic_ns() / 1e6
        self.wait_led("b", "engine")
        leads = [
            int(entry["__MONOTONIC_TIMESTAMP"]) / 1e3
            for entry in machine.journal("tenured-b")
            if re.search(r"lease component=engine .*to=leading term=2", entry["MESSAGE"])
        ]
        self.assertEqual(len(leads), 1)
        self.figures.append(f"the command of term 1 dead {leads[0] - dead_ms:.0f} ms before term 2 was granted")
        self.assertLess(dead_ms, leads[0])
        self.wait_replaced(before)
        # It is ready before it has asked the database.
        until(lambda: self.status()["engine"]["leader"] == "b", "the new one knows who leads", every=0.05)
        self.assertEqual(self.workers(), [("engine", "1")])
        self.assertEqual(self.wait_workers({("engine", "2")}, "tenure-run-b@"), [("engine", "2")])

    def test_watchdog_within_lease(self):
        """A daemon that is stopped, with the lease as it is by default: systemd replaces it, and the term goes on"""
        self.configure("a", "engine")
        machine = self.boot()
        self.start("engine")
        command = self.watch_command()
        self.wait_replaced(self.stop_daemon())
        until(lambda: self.status()["engine"]["worker"] == "working", "its worker is back", every=0.05)
        self.assertEqual(self.status()["engine"]["term"], 1)
        self.assertFalse(select.select([command], [], [], 0)[0], "the command died")
        self.assertEqual(self.workers(), [("engine", "1")])
        self.assertEqual(sum("session-resumed" in line for line in self.messages()), 1)

    def test_unit(self):
        """The sandbox: systemd-analyze is content, and its measure of exposure is small"""
        machine = self.boot()
        units = ["tenured.service", "tenured.socket", "tenure-run@engine.service"]
        self.assertEqual(machine.run("systemd-analyze", "verify", "--man=no", *units), "")
        text = machine.run("systemd-analyze", "security", "--no-pager", "tenured.service")
        exposure = re.search(r"Overall exposure level for tenured.service: ([0-9.]+)", text).group(1)
        self.figures.append(f"systemd-analyze security: {exposure}")
        self.assertLessEqual(float(exposure), MOST_EXPOSED)
        # A group of the administrator's for the socket, and a file at fault, which is not tried again and again.
        machine.run("groupadd", "console")
        machine.write("/etc/systemd/system/tenured.service.d/group.conf", "[Service]\nSupplementaryGroups=console\n")
        machine.run("sed", "-i", "s/^node = a/&\\nsocket_group = console/", "/etc/tenure/tenured.conf")
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "start", "tenured")
        self.assertEqual(machine.run("stat", "-c", "%G %a", "/run/tenure/tenured.sock"), "console 660")
        machine.run("systemctl", "stop", "tenured")
        machine.run("sed", "-i", "s/^lease = .*/lease = soon/", "/etc/tenure/tenured.conf")
        with self.assertRaises(AssertionError):
            machine.run("systemctl", "start", "tenured")
        self.assertEqual(machine.show("tenured", "NRestarts"), "0")
        self.assertIn("tenured.service", machine.run("systemctl", "--failed", "--plain", "--no-legend"))
        machine.run("systemctl", "reset-failed")
        # Not configured is not failed.
        machine.run("rm", "/etc/tenure/tenured.conf")
        machine.run("systemctl", "start", "tenured")
        self.assertEqual(machine.show("tenured", "ConditionResult"), "no")
        self.assertEqual(machine.run("systemctl", "--failed", "--plain", "--no-legend"), "")


if __name__ == "__main__":
    main(at_once=2)
