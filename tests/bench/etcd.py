# SPDX-License-Identifier: Apache-2.0
"""An etcd of our own, with its data on the same disk, and what a user would do with it."""

import base64
import http.client
import json
import subprocess
import time

import processes
from postgres import free_port


class Etcd:
    def __init__(self, directory):
        self.data = directory
        self.client_port, peer_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.client_port}"
        self.peer = f"http://127.0.0.1:{peer_port}"
        self.process = self.connection = None
        self.start()

    def start(self):
        self.process = processes.spawn(
            ["etcd", "--data-dir", self.data, "--listen-client-urls", self.url, "--advertise-client-urls", self.url]
            + ["--listen-peer-urls", self.peer, "--initial-advertise-peer-urls", self.peer]
            + ["--initial-cluster", f"default={self.peer}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.connection = None
        self.wait_up()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.connection:
            self.connection.close()
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def read_only(self, on):
        """As one that has used up its space; leases are renewed all the same."""
        self.call("maintenance/alarm", {"action": "ACTIVATE" if on else "DEACTIVATE", "alarm": "NOSPACE"})

    def use_up(self):
        """All the space there is: large values, until one fails."""
        try:
            for number in range(1000):
                self.put(f"large{number}", "x" * 1_000_000)
        except (OSError, http.client.HTTPException, RuntimeError):
            self.connection = None
            return
        raise AssertionError("etcd needs no space")

    def wait_up(self):
        end = time.monotonic() + 20
        while True:
            try:
                self.put("up", "yes")
                return
            except (OSError, http.client.HTTPException, RuntimeError):
                self.connection = None
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def call(self, path, body):
        if not self.connection:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.client_port, timeout=5)
        self.connection.request("POST", f"/v3/{path}", json.dumps(body))
        response = self.connection.getresponse()
        text = response.read()
        if response.status != 200:
            raise RuntimeError(text.decode())
        return text

    @staticmethod
    def encode(text):
        return base64.b64encode(text.encode()).decode()

    def put(self, key, value):
        self.call("kv/put", {"key": self.encode(key), "value": self.encode(value)})

    def keys(self, prefix):
        """How many keys begin like that: those who hold a lock or wait for it have one each."""
        query = {"key": self.encode(prefix + "/"), "range_end": self.encode(prefix + "0"), "count_only": True}
        return int(json.loads(self.call("kv/range", query)).get("count", 0))

    def timed_read(self, key):
        """Nanoseconds of a linearizable read, which is what it does unless told otherwise."""
        begun = time.monotonic_ns()
        self.call("kv/range", {"key": self.encode(key)})
        return time.monotonic_ns() - begun

    def lock(self, name, *command):
        """`etcdctl lock NAME COMMAND`, which ends with the command."""
        return processes.spawn(
            ["etcdctl", f"--endpoints={self.url}", "lock", "--", name, *command], stdout=subprocess.PIPE, text=True
        )
