#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""HTTP: what it says is what the daemon knows, and nobody who asks disturbs an election."""

import contextlib
import json
import os
import resource
import select
import socket
import sqlite3
import stat
import threading

from case import SystemTest, main
from events import SLOW, milliseconds, now
from http_client import ask, connect, read_all
from postgres import free_port
from replica import TIMEOUT_NS, Memory, until

CONNECTIONS = 64
LIFETIME_NS = 5_000_000_000
HEADER_BYTES = 8192
# A renewal may be late: an exchange may take its whole time-out.
RENEW_NS = LATE_NS = TIMEOUT_NS
PROMPT_NS = 100_000_000


class HttpTest(SystemTest):
    def http_replica(self, name="a", http=None, **options):
        http = http or f"127.0.0.1:{free_port()}"
        return self.replica(name, http=http, **options).start()

    def leader_at(self, replica, **options):
        leader = self.client(replica, "engine", **options)
        leader.wait("granted")
        return leader

    def test_answers(self):
        """Two replicas, one on a port, one on a Unix socket: who leads, here or elsewhere, and the same status"""
        store = self.sqlite()
        one = self.http_replica("a", store=store, components=("engine", "other"))
        two = self.http_replica("b", store=store, components=("engine", "other"), http=self.directory / "http")
        self.leader_at(one)
        until(lambda: ask(two.http, "/leader/engine").body == "a\n", "the other replica knows the leader")
        self.assertEqual(ask(two.http, "/leader/engine").status, 503)
        self.assertEqual(ask(one.http, "/leader/engine")[0::2], (200, "a\n"))
        self.assertEqual(ask(one.http, "/leader/other")[0::2], (503, "\n"))
        for path in ("/leader/none", "/leader/", "/leader", "//", "/nothing", "/healthz/", "/LEADER/engine"):
            self.assertEqual(ask(one.http, path).status, 404, path)
        self.client(two, "engine")
        for replica in (one, two):
            until(lambda replica=replica: replica.status()["candidates"], "the other is a candidate")
        for replica in (one, two):
            for path in ("/healthz", "/readyz", "/healthz?verbose=1"):
                self.assertEqual(ask(replica.http, path)[0::2], (200, "ok\n"), path)
            candidates = self.assert_same_status(replica)[0]["candidates"]
            self.assertEqual([candidate["node"] for candidate in candidates], ["b" if replica is one else "a"])

    def assert_same_status(self, replica):
        reply = ask(replica.http, "/status")
        self.assertEqual(reply.headers["Content-Type"], "application/json")
        shown = json.loads(reply.body)["components"]
        told = json.loads(replica.ctl("status", "-o", "json").stdout)["components"]
        for row in shown + told:
            self.assertEqual(row.pop("ttl_ms") > 0, row["role"] == "leader")
            row.pop("since_ms")
            for candidate in row["candidates"]:
                candidate.pop("seen_ms")
        self.assertEqual(shown, told)
        self.assertEqual([list(row) for row in shown], [list(row) for row in told], "the same keys in the same order")
        return shown

    def test_methods(self):
        """GET and HEAD, and 405 for all else; a connection a request"""
        replica = self.http_replica(store=Memory())
        until(lambda: replica.status()["store"] == "ok", "a store, so that both are asked of the same state")
        for path in ("/healthz", "/status", "/leader/none"):
            get, head = ask(replica.http, path), ask(replica.http, path, "HEAD")
            self.assertEqual((head.status, head.body), (get.status, ""))
            self.assertEqual(head.headers["Content-Length"], str(len(get.body)))
            self.assertEqual((get.headers["Connection"], get.headers["Cache-Control"]), ("close", "no-store"))
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "get", "X"):
            reply = ask(replica.http, "/healthz", method)
            self.assertEqual((reply.status, reply.headers["Allow"]), (405, "GET, HEAD"), method)
        for bytes_sent in (b"\r\n\r\n", b"GET\r\n\r\n", b"\0" * 100 + b"\r\n\r\n", b"GET /healthz HTTP/9.9\r\n\r\n"):
            with connect(replica.http) as peer:
                peer.sendall(bytes_sent)
                peer.shutdown(socket.SHUT_WR)
                self.assertNotIn(b" 200 ", read_all(peer))

    def test_here_while_the_terms_page_says_so(self):
        """The database stands still: 200 up to the deadline of the terms page, 503 from there; not ready, and back"""
        replica = self.http_replica(store=self.sqlite())
        leader = self.leader_at(replica, stop=False)
        with contextlib.closing(sqlite3.connect(replica.store.path, isolation_level=None)) as database:
            database.execute("BEGIN EXCLUSIVE")
            answers = []
            until(lambda: self.note_leader(replica, answers) == 503, "503 for who does not lead any more")
            until(lambda: ask(replica.http, "/readyz").status == 503, "not ready")
            self.assertRegex(ask(replica.http, "/readyz").body, "^the store has not answered within a lease: .+\n$")
            self.assertEqual(ask(replica.http, "/healthz").status, 200)
            database.execute("ROLLBACK")
        leader.reply("stopped", leader.wait("revoked"))
        until(lambda: ask(replica.http, "/readyz").status == 200, "ready again")
        until(lambda: ask(replica.http, "/leader/engine").status == 200, "leader again")
        judged = 0
        for before, deadline, status, deadline_after, after in answers:
            if deadline == deadline_after and (after < deadline or before >= deadline):
                self.assertEqual(status, 200 if after < deadline else 503)
                judged += 1
        self.assertGreater(judged, 2)
        self.figure(f"{judged} of {len(answers)} answers held against the terms page")

    @staticmethod
    def note_leader(replica, answers):
        before, deadline = now(), replica.page_deadline()
        status = ask(replica.http, "/leader/engine").status
        answers.append((before, deadline, status, replica.page_deadline(), now()))
        return status

    def test_not_ready_before_the_store_answered(self):
        """A database that is not there: alive, and not ready, with the reason"""
        store = self.sqlite()
        replica = self.replica(store=store, http=f"127.0.0.1:{free_port()}")
        store.path.unlink()
        store.path.mkdir()
        replica.start()
        self.assertEqual(ask(replica.http, "/healthz").status, 200)
        reply = ask(replica.http, "/readyz")
        self.assertEqual(reply.status, 503)
        self.assertRegex(reply.body, "^the store has not answered yet")
        until(lambda: "yet: " in ask(replica.http, "/readyz").body, "the reason")

    def test_end(self):
        """A daemon that waits for its worker to stop is not ready any more"""
        replica = self.http_replica(store=self.sqlite(), component={"stop_grace": "400ms"})
        leader = self.leader_at(replica, stop=False)
        replica.terminate()
        revoked = leader.wait("revoked")
        self.assertEqual(ask(replica.http, "/readyz")[0::2], (503, "the daemon is about to end\n"))
        leader.reply("stopped", revoked)
        self.assertEqual(replica.wait_exit(), 0)

    # Where it listens.

    def test_port_in_use(self):
        """A place that is taken: a clear error, and it does not start"""
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        path = self.directory / "taken"
        unix = socket.socket(socket.AF_UNIX)
        self.addCleanup(unix.close)
        unix.bind(str(path))
        unix.listen()
        plain = self.directory / "plain"
        plain.write_text("mine")
        places = {
            f"127.0.0.1:{taken.getsockname()[1]}": "another process listens there",
            path: "another process listens there",
            plain: "cannot be replaced",
            self.directory / "none" / "http": "No such file",
            "192.0.2.1:9464": "cannot be listened on",
            "no.such.host.invalid:9464": "no address",
        }
        replica = self.replica(store=Memory())
        for place, problem in places.items():
            replica.http = place
            replica.write_config()
            result = replica.run_tenured()
            self.assertEqual(result.returncode, 1, place)
            for words in (str(replica.config), 'key="[http] listen"', f"value={place}", problem):
                self.assertIn(words, result.stderr)
        self.assertEqual(plain.read_text(), "mine")
        self.assertTrue(path.is_socket())

    def test_unix_socket(self):
        """Mode and group are those of the daemon's socket; what was left behind is replaced, and nothing is left"""
        path = self.directory / "http"
        left = socket.socket(socket.AF_UNIX)
        left.bind(str(path))
        left.close()
        options = {"socket_mode": "0606", "socket_group": str(os.getgid())}
        replica = self.http_replica(store=Memory(), http=path, tenure=options)
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o606)
        replica.kill()
        self.assertTrue(path.is_socket())
        replica.start()
        self.assertEqual(ask(path, "/healthz").status, 200)
        replica.stop()
        self.assertFalse(path.exists())

    def test_ipv6(self):
        """An address with colons"""
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError as error:
            self.skipTest(f"no IPv6 here: {error}")
        replica = self.http_replica(store=Memory(), http=f"[::1]:{free_port()}")
        self.assertEqual(ask(replica.http, "/healthz").status, 200)

    def test_reload(self):
        """Listening elsewhere takes a restart, and the answer says so"""
        replica = self.http_replica(store=Memory())
        before, replica.http = replica.http, self.directory / "other"
        replica.write_config()
        result = replica.ctl("reload")
        self.assertIn("listen", result.stdout + result.stderr)
        self.assertEqual(ask(before, "/healthz").status, 200)
        replica.components = ("engine", "added")
        replica.write_config()
        self.assertEqual(replica.ctl("reload").returncode, 0)
        self.assertEqual(ask(before, "/leader/added").status, 503)


class MisuseTest(SystemTest):
    """A leader sits beside each of these: its lease goes on being extended in time."""

    def setUp(self):
        super().setUp()
        self.one = self.replica("a", http=f"127.0.0.1:{free_port()}").start()
        self.leader = self.client(self.one, "engine")
        self.leader.wait("extended")

    def tearDown(self):
        extended = [event.at for event in self.leader.all("extended")]
        try:
            self.assertEqual(self.leader.all("revoked"), [], "the leader was disturbed")
            gaps = [after - before for before, after in zip(extended, extended[1:])]
            self.figure(f"renewals: {len(extended)}, {milliseconds(max(gaps, default=0)):.0f} ms apart at most")
            self.assert_within(max(gaps, default=0), RENEW_NS + LATE_NS, "between two renewals")
        finally:
            super().tearDown()

    def peer(self):
        peer = connect(self.one.http)
        self.addCleanup(peer.close)
        return peer

    def wait_cut(self, peer, since, what):
        """The connection ends when its time is over, not much before and not much after."""
        peer.settimeout(20)
        data = read_all(peer)
        took = now() - since
        self.assertGreater(took, LIFETIME_NS * 9 // 10, what)
        self.assert_within(took, LIFETIME_NS + 500_000_000, what)
        return data

    def test_slow(self):
        """One that says nothing and one that says a byte now and then: cut in time"""
        silent, slow = self.peer(), self.peer()
        start = now()
        threading.Thread(target=self.drip, args=(slow,), daemon=True).start()
        self.assertEqual(self.wait_cut(slow, start, "a slow client"), b"")
        self.assertEqual(self.wait_cut(silent, start, "a silent client"), b"")
        self.leader.wait("extended", after=self.leader.mark())

    @staticmethod
    def drip(peer):
        event = threading.Event()
        with contextlib.suppress(OSError):
            peer.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
            while not event.wait(0.1):
                peer.sendall(b"x")

    def test_slow_reader(self):
        """One that does not take a large answer: cut in time, while others get theirs"""
        names = [f"component-{number:04}" for number in range(4000)]
        large = self.replica("b", store=Memory(), components=names, http=self.directory / "http").start()
        with connect(large.http) as peer:
            start = now()
            peer.sendall(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
            asked = now()
            body = ask(large.http, "/status").body
            self.figure(f"/status of {len(names)} components, {len(body)} bytes: {milliseconds(now() - asked):.0f} ms")
            self.assertEqual(len(json.loads(body)["components"]), len(names))
            ended = select.poll()
            ended.register(peer, select.POLLRDHUP)
            self.assertTrue(ended.poll(20_000), "the end of the connection")
            self.assert_within(now() - start, LIFETIME_NS + 500_000_000, "one that takes nothing")
            self.assertLess(len(read_all(peer)), len(body))

    def test_headers(self):
        """A head within the limit is taken, one above it is refused, and one of 100 kB, wherever it is that large"""
        fits = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n" % (b"x" * (HEADER_BYTES // 2))
        over = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n" % (b"x" * HEADER_BYTES)
        first = b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n" % (b"x" * 100_000)
        later = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n" % (b"x" * 100_000)
        many = b"GET /healthz HTTP/1.1\r\nHost: x\r\n%s\r\n" % (b"X: x\r\n" * 15_000)
        heads = {fits: b" 200 ", over: b" 431 ", first: b" 414 ", later: b" 431 ", many: b" 431 "}
        for head, wanted in heads.items():
            with self.peer() as peer:
                with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                    peer.sendall(head)
                status = read_all(peer).split(b"\r\n")[0]
                # What it has not read when it hangs up can cost us the answer.
                self.assertTrue(wanted in status or (wanted != b" 200 " and status == b""), (head[:40], status))
        self.leader.wait("extended", after=self.leader.mark())
        self.assertEqual(ask(self.one.http, "/healthz").status, 200)

    def test_connections(self):
        """1,000 connections that say nothing: some are served, none for long, and then the next is answered"""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 4096), hard), hard))
        before = self.one.usage().descriptors
        host, _, port = self.one.http.rpartition(":")
        start = now()
        for _ in range(1000):
            peer = socket.socket()
            self.addCleanup(peer.close)
            peer.setblocking(False)
            peer.connect_ex((host, int(port)))
        until(lambda: self.one.usage().descriptors >= before + CONNECTIONS, "as many as are served")
        self.assertLessEqual(self.one.usage().descriptors, before + CONNECTIONS)
        self.assertEqual(self.one.ask("check component=engine").fields["valid"], "yes")
        # The backlog holds as many again, which are served and cut after the first.
        self.assertEqual(ask(self.one.http, "/healthz", timeout=60).status, 200)
        took = now() - start
        self.figure(f"answered {milliseconds(took) / 1000:.1f} s after the first of 1,000 connections that say nothing")
        self.leader.wait("extended", after=self.leader.mark())

    def test_full(self):
        """As many connections as there may be: the next is answered as soon as one of them ends"""
        before = self.one.usage().descriptors
        peers = [self.peer() for _ in range(CONNECTIONS)]
        until(lambda: self.one.usage().descriptors == before + CONNECTIONS, "all of them are served")
        with self.peer() as waiting:
            waiting.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertEqual(select.select([waiting], [], [], 0.3)[0], [])
            start = now()
            peers[0].close()
            self.assertIn(b" 200 ", read_all(waiting))
            self.assert_within(now() - start, PROMPT_NS, "the one that waited")
        self.leader.wait("extended", after=self.leader.mark())

    def test_storm(self):
        """As many requests as two processors take for two seconds: answered, with the renewals in time"""
        until_ns, counts = now() + 2_000_000_000, []

        def storm():
            count = 0
            while now() < until_ns:
                self.assertEqual(ask(self.one.http, "/" if count % 2 else "/status").status, 200)
                count += 1
            counts.append(count)

        threads = [threading.Thread(target=storm) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(counts), len(threads), "each had all of its answers")
        self.figure(f"{sum(counts) / 2:.0f} requests a second")


class IdleTest(SystemTest):
    def test_quiet(self):
        """Nobody asks, one asked, one is cut: the loop rests in between"""
        timing = {"lease": "10s", "renew": "2s", "poll": "10s", "timeout": "2s"}
        component = {"stop_grace": "1s"}
        http = f"127.0.0.1:{free_port()}"
        replica = self.replica(store=self.sqlite(), http=http, timing=timing, component=component).start()
        with connect(replica.http) as peer:
            before = replica.usage().cpu_s
            self.assertEqual(ask(replica.http, "/healthz").status, 200)
            self.assertEqual(read_all(peer), b"")
            self.assertEqual(select.select([peer], [], [], 0)[0], [peer])
        used = replica.usage().cpu_s - before
        self.figure(f"{used * 1000:.0f} ms of processor time in {LIFETIME_NS / 1e9:.0f} s")
        if SLOW == 1:
            self.assertLess(used, 0.1)


if __name__ == "__main__":
    main()
