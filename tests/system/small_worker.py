#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The least that a worker has to do: small_worker.py SOCKET COMPONENT. It dies with its term, and the kernel tells."""
import signal
import socket
import sys
import time

daemon = socket.socket(socket.AF_UNIX)
daemon.connect(sys.argv[1])
lines = daemon.makefile("rw")


def note(mark, text):
    print(time.clock_gettime_ns(time.CLOCK_BOOTTIME), mark, text, flush=True)


def say(text):
    note(">", text)
    print(text, file=lines, flush=True)


say(f"join component={sys.argv[2]}")
for line in lines:
    note("<", line.rstrip("\n"))
    word, *fields = line.split()
    value = dict(field.split("=", 1) for field in fields)
    if word in ("granted", "extended"):  # nobody has to stop us: SIGALRM ends the process at the deadline
        left_ns = int(value["deadline"]) - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        signal.setitimer(signal.ITIMER_REAL, max(left_ns / 1e9, 1e-6))
    if word == "granted":
        say(f"started component={value['component']} term={value['term']}")  # …and the work begins
    elif word == "revoked":
        say(f"stopped component={value['component']} term={value['term']}")  # …once the work has ended
        signal.setitimer(signal.ITIMER_REAL, 0)
