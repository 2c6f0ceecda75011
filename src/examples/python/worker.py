#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The whole life of a worker in plain Python: works for COMPONENT while the daemon at SOCKET lets it lead.

worker.py SOCKET COMPONENT

The work is yours, where the comments have an ellipsis; before whatever only a leader may do it asks whether
now() < deadline. ../go/worker.go is the same in Go. Each line it hears (<) and says (>) goes to standard output, with
the time of CLOCK_BOOTTIME in nanoseconds.
"""
import socket
import sys
import time


def now():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def note(mark, text):
    print(f"{now()} {mark} {text}\n", end="", flush=True)


def lead(path, component, term, deadline):
    """One connection's life. `term` is what we hold, 0: nothing; it is ours until `deadline`, connected or not."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)

    def say(text):
        note(">", text)
        try:
            connection.sendall(text.encode() + b"\n")
        except OSError:
            pass  # the end, which recv() finds: until then there may be something to hear

    say(f"join component={component} term={term}" if term else f"join component={component}")
    if term:
        say(f"started component={component} term={term}")  # again: the daemon may have died before it heard that
    rest = b""
    while True:
        # Sockets' timers stand still in suspend and this clock does not, so it is looked at every second.
        connection.settimeout(min(max(deadline - now(), 1000) / 1e9, 1) if term else None)
        try:
            heard = connection.recv(4096)
        except TimeoutError:  # the daemon is stuck: our term is over all the same
            term = term if now() < deadline else end(component, term)
            continue
        except ConnectionResetError:
            heard = b""
        if not heard:
            return term, deadline
        *lines, rest = (rest + heard).split(b"\n")
        for line in lines:
            note("<", line.decode())
            word, *fields = line.decode().split(" ")
            value = dict(field.split("=", 1) for field in fields)
            if word == "granted":
                term, deadline = int(value["term"]), int(value["deadline"])
                say(f"started component={component} term={term}")  # …once the work runs
            elif word == "extended":
                deadline = int(value["deadline"])
            elif word == "revoked":
                say(f"stopped component={component} term={value['term']}")  # …once the work has ended
                term = 0
            elif value.get("code") == "stale" and term:  # what we came back with is over
                term = end(component, term)
                say(f"join component={component}")


def end(component, term):
    """The work ends without a word from the daemon: …at once."""
    note(">", f"over component={component} term={term}")
    return 0


def main(path, component):
    term, deadline = 0, 0
    while True:
        try:
            term, deadline = lead(path, component, term, deadline)
        except OSError:  # nobody there
            time.sleep(0.01)
        if term and now() >= deadline:
            term = end(component, term)


if __name__ == "__main__":
    main(*sys.argv[1:])
