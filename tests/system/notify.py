# SPDX-License-Identifier: Apache-2.0
"""The other end of sd_notify(3), to wait for a server instead of guessing."""

import os
import socket
import time


class Notify:
    def __init__(self, path):
        self.path = str(path)
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        os.chmod(self.path, 0o666)
        self.environment = {"NOTIFY_SOCKET": self.path}

    def wait_ready(self, timeout, still_there=lambda: True, keep=False):
        """Returns at READY=1, closed unless it is kept. still_there() raises where waiting makes no sense any more."""
        end = time.monotonic() + timeout
        self.socket.settimeout(0.1)
        try:
            while time.monotonic() < end:
                still_there()
                try:
                    if b"READY=1" in self.socket.recv(4096).split(b"\n"):
                        return
                except TimeoutError:
                    pass
            raise AssertionError(f"no READY=1 within {timeout} s")
        finally:
            if not keep:
                self.close()

    def close(self):
        self.socket.close()
        if os.path.exists(self.path):
            os.unlink(self.path)
