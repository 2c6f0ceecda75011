#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An ordinary program, for `tenurectl run`: it knows nothing of leaders, and writes a line to FILE while it lives.

stubborn.py FILE [deaf] [child] [daemon] [ready]

A line is TIME PID TERM, the time on CLOCK_BOOTTIME, every few milliseconds. deaf: it ignores SIGTERM. child, daemon:
it starts one more like itself, in its process group, or twice forked in a session of its own. ready: it says READY=1.
"""

import os
import signal
import socket
import sys
import time

EVERY_S = 0.003


def fork_away():
    """The way programs become daemons: the parent of the rest ends, nothing ties it to where it came from."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() != 0:
            os._exit(0)
        return
    os.wait()


def main(path, *words):
    if "deaf" in words:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "child" in words:
        os.fork()
    if "daemon" in words:
        fork_away()
    if "ready" in words:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            address = os.environ["NOTIFY_SOCKET"]
            manager.sendto(b"READY=1", "\0" + address[1:] if address[0] == "@" else address)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    term = os.environ["TENURE_TERM"]
    while True:
        os.write(file, f"{time.clock_gettime_ns(time.CLOCK_BOOTTIME)} {os.getpid()} {term}\n".encode())
        time.sleep(EVERY_S)


if __name__ == "__main__":
    main(*sys.argv[1:])
