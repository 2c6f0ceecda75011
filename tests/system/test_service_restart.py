#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The planned restart (S5): a signal with which the daemon leaves its terms to the next one. Socket activation."""

import signal
import socket
import sys
import unittest.mock

import replica
from case import PostgresTest, main
from events import milliseconds, now
from replica import until

COMPONENTS = ("discovery", "engine", "counter")
RESTARTS = 10
# Brings the socket at the path of its first argument as systemd would, and becomes the daemon.
ACTIVATE = """#!{python} -S
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
if os.path.exists({path!r}):
    os.unlink({path!r})
listener.bind({path!r})
listener.listen()
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv({tenured!r}, sys.argv)
"""


class RestartTest(PostgresTest):
    def leave(self, node):
        """Returns how long the daemon took to leave."""
        node.expected_to_live = False
        start = now()
        node.signal(signal.SIGUSR1)
        self.assertEqual(node.wait_exit(), 0)
        return now() - start

    def test_restarted_under_leaders(self):
        """S5: planned restarts under three leaders: no revocation, no new term, the same session"""
        store = self.postgres()
        node = self.replica("a", store, components=COMPONENTS).start()
        leaders = [self.worker(node, name) for name in COMPONENTS]
        for leader in leaders:
            leader.wait("granted")
        other = self.replica("b", store, components=COMPONENTS).start()
        standbys = [self.worker(other, name).wait_joined() for name in COMPONENTS]
        session = node.ask("hello").fields["session"]
        left, back = [], []
        for _ in range(RESTARTS):
            marks = [leader.mark() for leader in leaders]
            left.append(self.leave(node))
            node.wait_log("stopped", "left to the next")
            node.start()
            back += [leader.wait("extended", after=mark, term=1).at for leader, mark in zip(leaders, marks)]
            back[-3:] = [at - node.started_at for at in back[-3:]]
        end = now() + 2_000_000_000
        until(lambda: now() > end, "a whole lease more")
        for leader, standby in zip(leaders, standbys):
            self.assertEqual(len(leader.all("granted")), 1)
            self.assertEqual(leader.all("revoked") + leader.all("over") + standby.all("granted"), [])
        self.assertEqual(node.ask("hello").fields["session"], session)
        self.figure_times("signal to exit", left)
        self.figure_times("start of the daemon to extended", back)

    def test_while_the_database_hangs(self):
        """S5: an exchange is out and is not answered: the daemon leaves at once, and the next goes on"""
        server = self.make_server("hung")
        server.start()
        node = self.replica("a", self.postgres(server=server), timing={"timeout": "1s", "lease": "6s"}).start()
        leader = self.worker(node)
        leader.wait("extended")
        server.freeze()
        try:
            end = now() + 500_000_000
            until(lambda: now() > end, "a renewal that hangs")
            took = self.leave(node)
        finally:
            server.thaw()
        mark = leader.mark()
        node.start()
        leader.wait("extended", after=mark, term=1)
        self.assertEqual(leader.all("revoked") + leader.all("over"), [])
        self.assert_within(took, 500_000_000)
        self.figure(f"left after {milliseconds(took):.0f} ms")

    def test_unanswered_claim(self):
        """S5, rule 7: what the one claimed and did not hear of, the next claims anew, with another term"""
        store = self.postgres()
        node = self.replica("a", store).start()
        worker = self.client(node, "engine")
        worker.wait("granted", term=1)
        # As if the answer to a claim of term 5 had been on its way.
        worker.ask("leave component=engine")
        until(lambda: store.sql("SELECT session IS NULL FROM tenure_lease") in ("t", [("t",)]), "the release")
        self.leave(node)
        store.sql("UPDATE tenure_lease SET term = 5, session = (SELECT id FROM tenure_session)")
        node.start()
        again = self.client(node, "engine")
        self.assertEqual(again.wait("granted").number("term"), 6)

    def test_leave_while_stopping(self):
        """S5, W12: a planned restart in the middle of an orderly end: revoked stays revoked"""
        node = self.replica("a", self.postgres()).start()
        worker = self.client(node, "engine", stop=False)
        worker.wait("granted")
        node.terminate()
        revoked = worker.wait("revoked")
        self.leave(node)
        node.start()
        again = self.client(node, stop=False)
        worker.dead_at = now()
        self.assertEqual(again.ask("join component=engine term=1").word, "ok")
        self.assertEqual(again.wait("revoked").number("deadline"), revoked.number("deadline"))
        again.reply("stopped", revoked)
        self.assertEqual(again.wait("granted").number("term"), 2)

    def activated(self, node, path):
        script = self.directory / "activate"
        script.write_text(ACTIVATE.format(python=sys.executable, path=str(path), tenured=str(replica.TENURED)))
        script.chmod(0o755)
        with unittest.mock.patch.object(replica, "TENURED", script):
            node.start(wait=path == node.socket)

    def test_inherited_socket(self):
        """A socket that systemd brings is served, and stays when the daemon ends"""
        node = self.replica("a", self.postgres())
        self.activated(node, node.socket)
        self.client(node, "engine").wait("granted")
        node.stop()
        self.assertTrue(node.socket.is_socket())

    def test_other_socket_inherited(self):
        """A socket unit with another path: the daemon says so and ends"""
        node = self.replica("a", self.postgres())
        self.activated(node, self.directory / "other.sock")
        self.assertEqual(node.wait_exit(), 1)
        node.wait_log("ListenStream", str(node.socket))
        with socket.socket(socket.AF_UNIX) as probe:
            self.assertRaises(OSError, probe.connect, str(node.socket))


if __name__ == "__main__":
    main()
