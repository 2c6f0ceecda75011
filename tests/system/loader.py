#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Clients of the worst kind, all at once: loader.py SOCKET IDLE CYCLES.

Says what it has done: `ready`, `watching`, `done`, with counts.

Clients that send a byte now and then and never end their line; that ask and never read; IDLE observers; and then CYCLES
connections that are opened and closed, a 4,097-byte line in every twentieth. All the others stay until standard input
ends.
"""

import contextlib
import resource
import socket
import sys
import time

TRICKLING = 100
DEAF = 20
LONG = b"x" * 4096 + b"\n"


def take_descriptors():
    """All that may be had."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def connect(path):
    """A connection; the daemon's backlog may be full for a moment."""
    peer = socket.socket(socket.AF_UNIX)
    peer.setblocking(True)
    peer.settimeout(30)
    peer.connect(path)
    return peer


def watch(path):
    """An observer, who is told of a component where nothing happens."""
    peer = connect(path)
    peer.sendall(b"watch component=c0\n")
    answer = peer.recv(4096)
    assert answer.startswith(b"ok"), answer
    return peer


def push(peer, data):
    """As much as it takes."""
    with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
        while peer.send(data) > 0 and len(data) > 1:
            pass


def is_open(peer):
    """The daemon has not ended it: there is nothing to read, or what it said."""
    peer.setblocking(False)
    try:
        return peer.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except ConnectionResetError:
        return False


def main():
    path, idle_count, cycles = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    take_descriptors()
    slow = [connect(path) for _ in range(TRICKLING)]
    deaf = [connect(path) for _ in range(DEAF)]
    for peer in slow + deaf:
        peer.setblocking(False)
    print("ready", flush=True)
    observers = [watch(path) for _ in range(idle_count)]
    print(f"watching served={len(observers)}", flush=True)
    start = time.monotonic()
    long_lines = 0
    for number in range(cycles):
        connect(path).close()
        push(slow[number % TRICKLING], b"x")
        if number % 10 == 0:
            push(deaf[number // 10 % DEAF], b"status\n" * 1000)
        if number % 20 == 0:
            with connect(path) as peer, contextlib.suppress(BrokenPipeError, ConnectionResetError):
                peer.sendall(LONG)
                long_lines += peer.recv(4096).startswith(b"error code=syntax")
    took = time.monotonic() - start
    stayed = sum(map(is_open, slow + observers))
    print(f"done long={long_lines} stayed={stayed} seconds={took:.1f}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
