#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who may do what (S7), and what is written down of what happened (W26)."""

import os
import pwd
import re
import socket
import stat
import subprocess
import sys
import unittest

import processes
from case import SystemTest, main
from replica import TENURECTL, TENURED, WORKER, until

LEASE_NS = 2_000_000_000
FIELD = re.compile(r' ([a-z_]+)=("(?:[^"\\]|\\.)*"|\S*)')


class AccessTest(SystemTest):
    def test_socket_mode_and_group(self):
        """S7: the socket has the mode and the group that were asked for; the page may be read by all"""
        replica = self.replica("a", tenure={"socket_mode": "0600", "socket_group": "daemon"})
        if os.getuid() != 0:
            self.skipTest("only root gives files away")
        replica.start()
        status = replica.socket.stat()
        self.assertEqual(stat.S_IMODE(status.st_mode), 0o600)
        self.assertEqual(status.st_gid, pwd.getpwnam("daemon").pw_gid)
        self.assertEqual(stat.S_IMODE((replica.run_dir / "terms").stat().st_mode), 0o644)

    @unittest.skipIf(os.getuid() != 0, "needs other users")
    def test_socket_refuses(self):
        """S7: whom the mode leaves out cannot connect, and is told so"""
        replica = self.replica("a").start()
        result = processes.spawn(
            [TENURECTL, "--socket", replica.socket, "status"], user="nobody", stderr=subprocess.PIPE, text=True
        )
        message = result.communicate()[1]
        self.assertEqual(result.returncode, 3)
        self.assertIn("permission denied", message.lower())

    @unittest.skipIf(os.getuid() != 0, "needs other users")
    def test_managing(self):
        """S7: only root, the daemon's own user and members of admin_group may manage the fleet; all may look"""
        replica = self.replica("a", tenure={"socket_mode": "0666"}).start()
        leader = self.client(replica, "engine")
        leader.wait("granted")

        def ask(*words, group=None):
            command = [TENURECTL, "--socket", replica.socket, *words]
            pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
            result = processes.spawn(command, user="nobody", group=group, text=True, **pipes)
            message = result.communicate()[1]
            return result.returncode, message

        managing = (["resign", "engine"], ["transfer", "engine", "a"], ["pause"], ["resume"], ["reload"])
        for words in managing:
            for group in (None, "daemon"):
                status, message = ask(*words, group=group)
                self.assertEqual(status, 1)
                self.assertIn("refused (denied)", message)
            replica.wait_log("request-denied", f"request={words[0]}", f"uid={pwd.getpwnam('nobody').pw_uid}")
        self.assertEqual(ask("history")[0], 0)
        leader.wait("extended", after=leader.mark())
        self.assertEqual(leader.all("revoked"), [])
        # S4: reloaded with a group, its members may.
        replica.tenure["admin_group"] = "daemon"
        replica.write_config()
        self.assertEqual(replica.ask("reload").fields["restart"], "")
        for words in managing:
            self.assertIn("refused (denied)", ask(*words)[1])
        self.assertEqual(ask("reload", group="daemon"), (0, ""))
        self.assertIn("refused (unavailable)", ask("transfer", "engine", "a", group="daemon")[1])
        self.assertEqual(ask("pause", group="daemon"), (0, ""))
        self.assertEqual(ask("resign", "engine", group="daemon"), (0, ""))
        leader.wait("revoked", reason="resigned")
        self.assertEqual(ask("resume", group="daemon"), (0, ""))

    @unittest.skipIf(os.getuid() != 0, "needs other users")
    def test_users(self):
        """S7: only the users of a component and the members of its groups may join it, and others may look"""
        replica = self.replica(
            "a", tenure={"socket_mode": "0666"}, component={"users": "daemon", "groups": "adm"}
        ).start()
        answer = self.client(replica).ask("join component=engine")
        self.assertEqual((answer.word, answer.fields["code"]), ("error", "denied"))
        self.assertEqual(replica.ask("check component=engine").fields["valid"], "no")
        replica.wait_log("join-denied", "component=engine", f"uid={os.getuid()}")
        for user, group, joins in (
            ("nobody", None, False),
            ("nobody", "tty", False),
            ("nobody", "adm", True),
            ("daemon", None, True),
        ):
            worker = processes.spawn(
                # Its text, for others may not be allowed to read the file.
                [sys.executable, "-S", "-c", WORKER.read_text(), replica.socket, "engine"],
                user=user,
                group=group,
                stdout=subprocess.PIPE,
                text=True,
            )
            self.addCleanup(worker.stdout.close)
            self.addCleanup(worker.wait)
            self.addCleanup(worker.kill)
            worker.stdout.readline()
            self.assertEqual(" < ok" in worker.stdout.readline(), joins, (user, group))
            if group == "adm":
                worker.kill()
        until(lambda: worker.stdout.readline().split()[1:] == ["<", "ok"], "the worker that joined has started")
        # Reloaded with somebody else in it (S4): who works goes on, and who comes is judged by the new list.
        before = replica.status()["term"]
        replica.component["users"] = "root"
        replica.write_config()
        self.assertEqual(replica.ask("reload").fields["changed"], "1")
        self.assertEqual(self.client(replica).ask("join component=engine").word, "ok")
        self.assertEqual((replica.status()["term"], replica.status()["worker"]), (before, "working"))

    @unittest.skipIf(os.getuid() != 0, "needs other users")
    def test_ordinary_user(self):
        """The daemon needs no root: as another user, with a directory of its own"""
        replica = self.replica("a")
        for path in (self.directory, replica.directory, replica.run_dir, *self.directory.glob("tenure.db*")):
            os.chown(path, pwd.getpwnam("daemon").pw_uid, -1)
        daemon = replica.start(user="daemon")
        self.client(daemon, "engine").wait("granted")

    def test_directory_of_others(self):
        """A runtime directory that others may write to is refused, with what to do"""
        replica = self.replica("a")
        replica.run_dir.chmod(0o777)
        result = replica.run_tenured()
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("chmod go-w", result.stderr)


class DroppedTest(SystemTest):
    def test_over_long_line_of_a_leader(self):
        """W3, W12: the daemon hangs up on a leader: no release before its frozen deadline, as long as it may live"""
        store = self.sqlite()
        replicas = [self.replica(name, store).start() for name in "ab"]
        leader = self.client(replicas[0], "engine")
        leader.wait("granted")
        standby = self.client(replicas[1], "engine")
        leader.wait("extended")
        deadline = leader.last("extended").number("deadline")
        leader.send(b"x" * 5000 + b"\n")
        leader.wait("error")
        granted = standby.wait("granted")
        self.assertGreaterEqual(granted.at, deadline)
        self.assertLess(granted.at, deadline + LEASE_NS)

    def test_over_long_line_and_the_end(self):
        """W14: once it closes its own end as well, nobody waits for the deadline"""
        store = self.sqlite()
        replicas = [self.replica(name, store).start() for name in "ab"]
        leader = self.client(replicas[0], "engine")
        leader.wait("granted")
        standby = self.client(replicas[1], "engine")
        deadline = leader.wait("extended").number("deadline")
        leader.send(b"x" * 5000 + b"\n")
        leader.wait("error")
        leader.close()
        self.assertLess(standby.wait("granted").at, deadline)


class LogTest(SystemTest):
    def test_transitions(self):
        """W26: every transition of a lease is one line, with component, states, term and reason"""
        replica = self.replica("a", tenure={"log_level": "info"}).start()
        client = self.client(replica, "engine")
        event = client.wait("granted")
        client.reply("yield", event, cooldown_ms=0)
        client.wait("granted", term=2)
        replica.stop()
        lines = [line.split(" ", 3) for line in replica.log.items if " info lease " in line]
        fields = [{key: value.strip('"') for key, value in FIELD.findall(" " + rest)} for *_, rest in lines]
        for one in fields:
            self.assertLessEqual({"component", "from", "to", "term"}, one.keys(), one)
        seen = [(one["from"], one["to"], one["term"], one.get("reason")) for one in fields]
        for wanted in (
            ("claiming", "leading", "1", None),
            ("leading", "releasing", "1", "yielded"),
            ("claiming", "leading", "2", None),
            ("leading", "draining", "2", "shutdown"),
        ):
            self.assertEqual(seen.count(wanted), 1, (wanted, seen))
        # Each begins where the last one ended, but for what is only told at debug level.
        for one, other in zip(fields, fields[1:]):
            self.assertTrue(one["to"] == other["from"] or other["from"] == "claiming", (one, other))

    def test_under_systemd(self):
        """Where standard error is the journal's, lines carry priorities and no time of their own"""
        replica = self.replica("a")
        reading, writing = socket.socketpair()
        status = os.fstat(writing.fileno())
        daemon = processes.spawn(
            [TENURED, "-c", replica.config],
            stderr=writing,
            env={**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"},
        )
        writing.close()
        with reading, reading.makefile() as stream:
            lines = []
            for line in stream:
                lines.append(line)
                if "ready" in line:
                    daemon.terminate()
        self.assertEqual(daemon.wait(10), 0)
        self.assertTrue(all(re.match(r"<[0-7]>[a-z]", line) for line in lines), lines)


if __name__ == "__main__":
    main(at_once=3)
