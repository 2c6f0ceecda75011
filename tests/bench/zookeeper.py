# SPDX-License-Identifier: Apache-2.0
"""A ZooKeeper of our own, one server, with its data on the same disk."""

import socket
import subprocess
import time

import processes
from postgres import free_port

CLASSES = "/usr/share/java/zookeeper.jar"
MAIN = "org.apache.zookeeper.server.quorum.QuorumPeerMain"


# A session's end is rounded up to one. It lasts for two at least.
TICK_MS = 100
LONGEST_MS = 120_000  # by itself it would be for twenty at most


class ZooKeeper:
    def __init__(self, directory, prefix=()):
        self.data, self.prefix = directory, prefix
        self.port = free_port()
        self.where = f"127.0.0.1:{self.port}"
        self.process = None

    def __enter__(self):
        self.data.mkdir()
        config = self.data / "zoo.cfg"
        config.write_text(
            f"dataDir={self.data}\nclientPort={self.port}\nclientPortAddress=127.0.0.1\n"
            f"tickTime={TICK_MS}\nmaxSessionTimeout={LONGEST_MS}\nadmin.enableServer=false\n"
        )
        self.start()
        return self

    def start(self):
        command = [*self.prefix, "java", "-Xmx128m", "-cp", CLASSES, MAIN, self.data / "zoo.cfg"]
        self.process = processes.spawn(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while not self.is_up():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("ZooKeeper did not start")
            time.sleep(0.1)

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def use_up(self):
        """It has allocated what it writes for days."""

    def is_up(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False
