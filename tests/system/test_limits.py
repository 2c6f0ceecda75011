#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Peers that misbehave: each limit is run into, and the leader beside it notices nothing."""

import os
import resource
import select
import socket
import time

import processes
from case import SystemTest, main
from events import milliseconds, now
from replica import CLIENTS, Memory, until

LINE_BYTES = 4096
OUTPUT_BYTES = 1024 * 1024
PROMPT_NS = 100_000_000


class LimitsTest(SystemTest):
    def setUp(self):
        super().setUp()
        self.replica_a = self.replica("a").start()
        self.leader = self.client(self.replica_a, "engine")
        self.leader.wait("granted")

    def tearDown(self):
        self.addCleanup(setattr, self, "leader", None)
        super().tearDown()
        self.assertEqual(self.leader.all("revoked"), [], "the leader was disturbed")

    def connect(self):
        peer = socket.socket(socket.AF_UNIX)
        self.addCleanup(peer.close)
        peer.connect(str(self.replica_a.socket))
        peer.settimeout(10)
        return peer

    def assert_prompt(self, observer):
        """An observer is answered in time; returns how long it took."""
        start = now()
        self.assertEqual(observer.ask("check component=engine").fields["valid"], "yes")
        took = now() - start
        self.assert_within(took, PROMPT_NS)
        return took

    @staticmethod
    def read_all(peer):
        """What comes until the end of the connection."""
        data = b""
        try:
            while chunk := peer.recv(65536):
                data += chunk
        except ConnectionResetError:
            pass
        return data

    def test_longest_line(self):
        """The longest line that is allowed is answered, one byte more is an error and the end"""
        peer = self.connect()
        text = b"check component=engine filler="
        line = text + b"x" * (LINE_BYTES - len(text) - 1) + b"\n"
        self.assertEqual(len(line), LINE_BYTES)
        peer.sendall(line)
        self.assertTrue(peer.recv(4096).startswith(b"ok valid=yes"))
        peer.sendall(line[:-1] + b"x\n")
        self.assertTrue(self.read_all(peer).startswith(b"error code=syntax"))

    def test_line_without_end(self):
        """Bytes without a newline are not collected for ever: an error, the end, and no memory"""
        before = self.replica_a.usage()
        peer = self.connect()
        with self.assertRaises((BrokenPipeError, ConnectionResetError)):
            for _ in range(100):
                peer.sendall(b"x" * 65536)
        self.assertTrue(self.read_all(peer).startswith(b"error code=syntax"))
        self.assert_prompt(self.client(self.replica_a))
        growth = self.replica_a.usage().resident_kb - before.resident_kb
        self.assertLess(growth, OUTPUT_BYTES // 1024)
        self.figure(f"{growth} kB more")

    def test_rubbish(self):
        """What is no line is answered with syntax or unknown-request, and the connection lives on"""
        peer = self.client(self.replica_a)
        for text, code in (
            ("bogus", "unknown-request"),
            ("join", "syntax"),
            ("join component=nothing", "unknown-component"),
            ("join component=engine term=x", "syntax"),
            ("join component=engine heartbeat_ms=1", "syntax"),
            ("started component=engine term=1", "not-joined"),
            ("leave component=engine", "not-joined"),
            ("hello version=7", "version"),
            ("join  component=engine", "syntax"),
            ("join component=%zz", "syntax"),
            ("", "syntax"),
        ):
            peer.send(text.encode() + b"\n")
            peer.asked += 1
            answer = peer.answer_to(peer.asked)
            self.assertEqual((answer.word, answer.fields.get("code")), ("error", code), text)
        self.assert_prompt(peer)

    def test_flood(self):
        """A flood of pipelined requests by one client delays nobody else"""
        flood = self.connect()
        flood.setblocking(False)
        observer = self.client(self.replica_a)
        times, sent, got = [], 0, 0
        data = b"status\n" * 10000
        end = time.monotonic() + 2
        while time.monotonic() < end:
            readable, writable, _ = select.select([flood], [flood], [], 0.001)
            if readable:
                got += len(flood.recv(1 << 20))
            if writable:
                sent += flood.send(data[sent % 7 :])
            if len(times) * 0.02 < 2 - (end - time.monotonic()):
                times.append(self.assert_prompt(observer))
        self.assertGreater(got, 1_000_000)
        self.figure_times(f"check beside {sent // 7} pipelined requests", times)

    def test_never_reads(self):
        """A client that asks and never reads is stopped from asking, costs no memory, and delays nobody"""
        before = self.replica_a.usage()
        deaf = self.connect()
        deaf.setblocking(False)
        sent = 0
        data = b"status\n" * 10000
        while select.select([], [deaf], [], 0.5)[1]:
            sent += deaf.send(data[sent % 7 :])
            self.assertLess(sent, 100_000_000, "it takes everything")
        self.assert_prompt(self.client(self.replica_a))
        growth = self.replica_a.usage().resident_kb - before.resident_kb
        self.assertLess(growth, 4 * OUTPUT_BYTES // 1024)
        self.figure(f"{sent} bytes taken, {growth} kB more")

    def test_watcher_never_reads(self):
        """A watcher that never reads is dropped once its output is full, and told about in the log"""
        names = [f"{number:064}" for number in range(100)]
        busy = self.replica("busy", Memory(), components=names, tenure={"node": "n" * 64, "log_level": "info"}).start()
        deaf = socket.socket(socket.AF_UNIX)
        self.addCleanup(deaf.close)
        deaf.connect(str(busy.socket))
        deaf.sendall(b"watch\n")
        worker = self.client(busy, react={"granted": lambda client, event: client.reply("yield", event, cooldown_ms=0)})
        for name in names:
            worker.say(f"join component={name}")
        line = busy.wait_log("client-dropped", "it does not take what it is told", timeout=30)
        self.assertIn(f"pid={os.getpid()}", line)
        self.figure(f"dropped after {len(worker.all('granted'))} changes of leader")

    def test_too_many_clients(self):
        """The 16,385th connection is refused with too-many; when one ends there is room again"""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < CLIENTS + 200:
            self.skipTest(f"only {hard} descriptors here")
        resource.setrlimit(resource.RLIMIT_NOFILE, (CLIENTS + 200, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        start = now()
        peers = [self.connect() for _ in range(CLIENTS - 1)]
        peers[-1].sendall(b"check component=engine\n")
        self.assertTrue(peers[-1].recv(4096).startswith(b"ok"))
        took = now() - start
        refused = self.connect()
        self.assertIn(b"code=too-many", self.read_all(refused))
        peers.pop().close()
        until(self.is_served, "room again")
        self.leader.wait("extended", after=self.leader.mark())
        usage = self.replica_a.usage()
        self.figure(f"{CLIENTS} connections in {milliseconds(took):.0f} ms, {usage.resident_kb} kB resident")
        for peer in peers:
            peer.close()
        until(lambda: self.replica_a.usage().descriptors < 100, "their descriptors closed")

    def is_served(self):
        peer = self.connect()
        try:
            peer.sendall(b"check component=engine\n")
            return peer.recv(4096).startswith(b"ok")
        except OSError:
            return False

    def test_out_of_descriptors(self):
        """EMFILE: connections are refused, the loop does not spin, the leader leads on; then it recovers"""
        usage = self.replica_a.usage()
        highest = usage.descriptors + 5
        resource.prlimit(self.replica_a.pid, resource.RLIMIT_NOFILE, (highest, highest))
        peers = [self.connect() for _ in range(40)]
        before = self.replica_a.usage().cpu_s
        self.leader.wait("extended", after=self.leader.mark())
        self.leader.wait("extended", after=self.leader.mark())
        spent = self.replica_a.usage().cpu_s - before
        self.assertLess(spent, 0.3, "the loop spins")
        self.assertGreater(sum(b"too-many" in self.read_some(peer) for peer in peers), 10)
        for peer in peers:
            peer.close()
        until(self.is_served, "served again")
        self.figure(f"{spent:.2f} s of CPU meanwhile")

    @staticmethod
    def read_some(peer):
        if not select.select([peer], [], [], 0)[0]:
            return b""
        try:
            return peer.recv(4096)
        except OSError:
            return b""

    def test_half_closed(self):
        """A client that shuts down its writing side gets its answers, then the end"""
        peer = self.connect()
        peer.sendall(b"check component=engine\nstatus\n")
        peer.shutdown(socket.SHUT_WR)
        answer = self.read_all(peer).split(b"\n")
        self.assertTrue(answer[0].startswith(b"ok valid=yes"))
        self.assertEqual(answer[2], b"ok")

    def test_inherited_connection(self):
        """The worker is gone only when every copy of its connection is closed"""
        self.leader.ask("leave component=engine")
        peer = self.connect()
        peer.sendall(b"join component=engine\n")
        heard = b""
        while b"granted" not in heard:
            heard += peer.recv(4096)
        child = processes.spawn(["sleep", "60"], pass_fds=[peer.fileno()])
        peer.close()
        term = self.replica_a.status()["term"]
        until(lambda: int(self.replica_a.status()["since_ms"]) > 500, "half a second")
        row = self.replica_a.status()
        self.assertEqual((row["role"], row["term"]), ("leader", term))
        child.kill()
        child.wait()
        until(lambda: self.replica_a.status()["role"] == "idle", "the worker gone")


if __name__ == "__main__":
    main()
