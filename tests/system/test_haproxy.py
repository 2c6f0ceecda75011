#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""conf/haproxy.cfg with a real HAProxy: connections go to the leader, wherever it is."""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading

import processes
from case import SystemTest, main
from events import Feed, milliseconds, now
from http_client import read_all
from postgres import free_port
from replica import Replica, until

CONFIG = pathlib.Path(__file__).resolve().parents[2] / "conf" / "haproxy.cfg"
HAPROXY = shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin")
INTERVAL_NS = 500_000_000


class Service:
    """Says its name to whoever connects, and then holds the connection."""

    def __init__(self, name):
        self.name = name
        self.held = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            self.held.append(peer)
            with contextlib.suppress(ConnectionError):  # who only looked whether HAProxy listens is gone
                peer.sendall(self.name.encode())

    def close(self):
        self.listener.close()
        for peer in self.held:
            peer.close()


class HaproxyTest(SystemTest):
    def setUp(self):
        super().setUp()
        store = self.sqlite()
        self.hosts = {}
        for name in ("host-a", "host-b", "host-c"):
            http = f"127.0.0.1:{free_port()}"
            self.hosts[name] = self.replica(name, store=store, http=http).start(), Service(name)
            self.addCleanup(self.hosts[name][1].close)
        self.port = free_port()
        self.start_haproxy()

    def start_haproxy(self):
        """The file as it is, but for its addresses."""
        text = CONFIG.read_text()
        text, binds = re.subn(r"bind :8080", f"bind 127.0.0.1:{self.port}", text)
        self.assertEqual(binds, 1)
        for name, (replica, service) in self.hosts.items():
            http = replica.http.rpartition(":")[2]
            server = f"server {name} 127.0.0.1:{service.port} port {http}"
            text, servers = re.subn(rf"server {name} \S+$", server, text, flags=re.M)
            self.assertEqual(servers, 1)
        config = self.directory / "haproxy.cfg"
        config.write_text(text)
        process = processes.spawn(
            [HAPROXY, "-db", "-f", config], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.haproxy_log = Feed("haproxy")
        self.logs.append(self.haproxy_log)
        Replica.follow(process.stdout, self.haproxy_log)
        until(self.connects, "HAProxy listens")

    def connects(self):
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except ConnectionRefusedError:
            return False
        except ConnectionResetError:
            pass
        return True

    def connect(self):
        """A connection through HAProxy, and who answered it: nobody is an empty name."""
        peer = None
        try:
            peer = socket.create_connection(("127.0.0.1", self.port), 20)
            self.addCleanup(peer.close)
            return peer, peer.recv(64).decode()
        except ConnectionResetError:
            return peer, ""

    def until_routed(self, name):
        """Until a connection reaches the host; returns it and when."""
        found = until(lambda: (made := self.connect())[1] == name and made[0], f"a connection to {name}")
        return found, now()

    def assert_routed(self, name, granted):
        peer, at = self.until_routed(name)
        self.figure(f"{name} leads: routed {milliseconds(max(0, at - granted.at)):.0f} ms after it was granted")
        self.assert_within(at - granted.at, 2 * INTERVAL_NS, "from the grant to the route")
        for _ in range(20):
            self.assertEqual(self.connect()[1], name, "to the leader alone")
        return peer

    def assert_cut(self, peer, what):
        """Connections to the host that led are ended."""
        start = now()
        self.assertEqual(read_all(peer), b"")
        self.assert_within(now() - start, 4 * INTERVAL_NS, what)

    def test_follows_the_leader(self):
        """To the leader, to the next one when its worker dies, and when its daemon is stopped"""
        leaders = {}
        for name, (replica, _) in self.hosts.items():
            leaders[name] = self.client(replica, "engine")
            if len(leaders) == 1:
                granted = leaders[name].wait("granted")
        peer = self.assert_routed("host-a", granted)

        leaders["host-a"].close()
        name, granted = self.wait_next(leaders, "host-a")
        self.assert_cut(peer, "the connection to the host whose worker died")
        peer = self.assert_routed(name, granted)

        before, replica = name, self.hosts[name][0]
        replica.stop()
        name, granted = self.wait_next(leaders, before, "host-a")
        self.assert_cut(peer, "the connection to the host that was stopped")
        self.assert_routed(name, granted)

    def wait_next(self, leaders, *over):
        rest = {name: client for name, client in leaders.items() if name not in over}
        name = until(lambda: next((n for n, c in rest.items() if c.last("granted")), None), "the next leader")
        return name, rest[name].last("granted")

    def test_nobody(self):
        """Where nobody leads, nobody is reached; nor a daemon that does not answer"""
        for name in self.hosts:
            self.haproxy_log.wait_for(lambda line, name=name: f"/{name} is DOWN" in line, f"check of {name}")
        for _ in range(20):
            self.assertEqual(self.connect()[1], "")
        replica = self.hosts["host-b"][0]
        leader = self.client(replica, "engine")
        peer = self.assert_routed("host-b", leader.wait("granted"))
        replica.signal(signal.SIGSTOP)
        self.assert_cut(peer, "the connection to a host whose daemon stands still")
        self.assertEqual(self.connect()[1], "")
        replica.signal(signal.SIGCONT)
        self.until_routed("host-b")


if __name__ == "__main__":
    main()
