#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What another user may try who can reach the socket: hostile.py SOCKET SECONDS.

Takes all connections that it gets, asks for everything on each and reads nothing of it (`asked`, and of how many), and
then connects again and again for so many seconds (`refused`, and how often). For as long it sends along what takes a
minute to close: on connections that are closed at once, and on those that it has (`sent`, and how many). It stays until
standard input ends.
"""

import array
import errno
import socket
import struct
import sys
import time

from loader import connect, take_descriptors


def take(path):
    """All that it gets."""
    held = []
    while True:
        peer = connect(path)
        peer.sendall(b"check component=engine\n")
        if not peer.recv(4096).startswith(b"ok "):
            return held
        held.append(peer)


class Lingering:
    """Connections whose last close waits for a minute, or until their peer takes what they have to send."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        self.peers = []

    def new(self):
        found = socket.socket()
        found.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 60))
        found.connect(self.listener.getsockname())
        self.peers.append(self.listener.accept()[0])
        if len(self.peers) > 500:
            self.peers.pop(0).close()
        found.setblocking(False)
        try:
            while True:
                found.send(bytes(4096))
        except BlockingIOError:
            return found

    def send(self, peer):
        """Only the other side has it then. How many were sent."""
        with self.new() as found:
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [found.fileno()]))
            try:
                peer.sendmsg([b"x"], [rights])
            except OSError as error:
                # It was refused already, or too many are under way that nobody takes; ours would linger here.
                if error.errno not in (errno.EPIPE, errno.ECONNRESET, errno.ETOOMANYREFS):
                    raise
                found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return 0
        return 1


def main():
    path, seconds = sys.argv[1], float(sys.argv[2])
    take_descriptors()
    held = take(path)
    for peer in held:
        peer.sendall(b"status\n" * 8)
    print(f"asked {len(held)}", flush=True)
    count, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(path)
        count += 1
    print(f"refused {count}", flush=True)
    lingering, end = Lingering(), time.monotonic() + seconds
    sent = 0
    while time.monotonic() < end:
        sent += lingering.send(held[sent % len(held)])
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(path)
            sent += lingering.send(peer)
    print(f"sent {sent}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
