#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What another user may try who can reach the socket: hostile.py SOCKET SECONDS.

Takes all connections that it gets, asks for everything on each and reads nothing of it (`asked`, and of how many), and
then connects again and again for so many seconds (`refused`, and how often). It stays until standard input ends.
"""

import socket
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
    sys.stdin.read()


if __name__ == "__main__":
    main()
