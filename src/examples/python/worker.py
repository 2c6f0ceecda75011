#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The whole life of a worker in plain Python: works for COMPONENT while the daemon at SOCKET lets it lead.

worker.py SOCKET COMPONENT

The work is yours: class Work, whose functions return soon. Here a piece of it adds the time and the term to the file
that $WORK names. SIGTERM ends it. ../go/worker.go is the same in Go. Each line it hears (<) and says (>) of the
component goes to standard output, with the time of CLOCK_BOOTTIME in nanoseconds.
"""
import mmap
import os
import select
import signal
import socket
import struct
import sys
import time
import urllib.parse

HORIZON_NS = 600 * 10**9  # no daemon writes a deadline that is further away
PIECE_S = 0.02  # from one piece of work, or attempt to connect, to the next


def now():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def note(mark, text):
    print(f"{now()} {mark} {text}\n", end="", flush=True)


class Work:
    """An OSError says that it cannot be done here: another replica gets its chance."""

    file = None

    def start(self):
        if "WORK" in os.environ:
            self.file = open(os.environ["WORK"], "ab", buffering=0)

    def piece(self, at, term):
        if self.file:
            self.file.write(f"{at} {term}\n".encode())

    def stop(self):
        """Nothing of the work is left when it returns."""
        if self.file:
            self.file.close()


class Page:
    """What the terms page says of a slot; see tenure-protocol(7)."""

    def __init__(self, path, slot):
        with open(path, "rb") as file:
            self.memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        magic, version, header, size, _, boot = struct.unpack_from("=8s4I36s", self.memory)
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:
            if (magic, version, boot) != (b"tenure\r\n", 1, file.read(36)):
                raise OSError("no terms page of this boot")
        self.slot = header + slot * size

    def look(self):
        """Term and deadline. Two looks alike, for Python has no barriers: fields are read one after the other."""
        for _ in range(32):
            sequence, *there = struct.unpack_from("@I4xQq", self.memory, self.slot)
            if sequence % 2 == 0 and [sequence, *there] == [*struct.unpack_from("@I4xQq", self.memory, self.slot)]:
                return there
        return 0, 0


class Worker:
    def __init__(self, path, component):
        self.path, self.component = path, component
        self.work = Work()
        self.term, self.deadline = 0, 0  # what we hold, 0: nothing; ours until the deadline, connected or not
        self.page, self.terms = None, ""  # and where the daemon says that it is
        self.daemon, self.joined, self.rest = None, False, b""
        self.held = None  # the connection before, while we work

    def until(self):
        """When our term is over, by the terms page; by what we heard where there is none."""
        if not self.page:
            return self.deadline
        term, deadline = self.page.look()
        return deadline if term == self.term and deadline <= now() + HORIZON_NS else 0

    def say(self, word, **fields):
        text = f"{word} component={self.component}" + "".join(f" {key}={value}" for key, value in fields.items())
        note(">", text)
        self.send(text)

    def send(self, text):
        try:
            if self.daemon:
                self.daemon.sendall(text.encode() + b"\n")
        except OSError:
            pass  # the end, which recv() finds: until then there may be something to hear

    # The work.

    def begin(self, term, deadline):
        self.term, self.deadline = term, deadline
        if now() >= self.until():  # we slept: that it is revoked is still to come
            self.term = 0
            return
        try:
            self.work.start()
        except OSError:
            self.term = 0
            self.say("yield", term=term, reason="start")
            return
        self.say("started", term=term)

    def go_on(self):
        until = self.until()
        at = now()  # last, so that a pause before it counts
        if at >= until:
            self.over()
            return
        try:
            self.work.piece(at, self.term)
        except OSError:
            term = self.term
            self.end()
            self.say("yield", term=term, reason="work")

    def over(self):
        """The work ends without a word from the daemon."""
        if self.term:
            note(">", f"over component={self.component} term={self.term}")
        self.end()

    def end(self):
        if self.term:
            self.work.stop()
            self.term = 0
        self.let_go()

    # The daemon.

    def connect(self):
        daemon = socket.socket(socket.AF_UNIX)
        daemon.setblocking(False)
        try:
            daemon.connect(self.path)
        except OSError:  # nobody there
            daemon.close()
            return
        self.daemon, self.joined, self.rest = daemon, False, b""
        self.send("hello version=1")
        self.join()

    def join(self):
        if self.term:
            self.say("join", term=self.term)
        else:
            self.say("join")

    def on_joined(self, slot):
        self.joined = True
        self.let_go()
        try:
            self.page = Page(self.terms, slot)  # again: another daemon may have another
        except OSError:
            self.page = None
        if self.term:
            self.say("started", term=self.term)  # again: the daemon may have died before it heard that

    def on_refused(self, code):
        self.over()  # what we came back with
        if code != "stale":
            sys.exit(1)
        self.join()

    def take(self, line):
        word, *fields = line.split(" ")
        value = dict(field.split("=", 1) for field in fields)
        if "terms" in value:  # to hello
            self.terms = urllib.parse.unquote(value["terms"])
            return
        note("<", line)
        if word == "granted":
            self.begin(int(value["term"]), int(value["deadline"]))
        elif word == "extended" and int(value["term"]) == self.term:
            self.deadline = int(value["deadline"])
        elif word in ("extended", "revoked"):  # or it is extended in vain: our work has ended already
            self.end()
            self.say("stopped", term=value["term"])
        elif "slot" in value:
            self.on_joined(int(value["slot"]))
        elif word == "error" and not self.joined:
            self.on_refused(value["code"])

    def hear(self):
        try:
            heard = self.daemon.recv(4096)
        except ConnectionResetError:
            heard = b""
        *lines, self.rest = (self.rest + heard).split(b"\n")
        for line in lines:
            self.take(line.decode())
        if not heard:
            self.hung_up()

    def hung_up(self):
        if self.term and not self.held:
            self.held = self.daemon  # stays open: its end would say that our work has ended
        else:
            self.daemon.close()
        self.daemon = None

    def let_go(self):
        if self.held:
            self.held.close()
        self.held = None

    def patience(self):
        """Timers stand still in suspend, and CLOCK_BOOTTIME does not: hence no long ones."""
        if self.term:
            return min(PIECE_S, max(self.until() - now(), 0) / 1e9)
        return None if self.daemon else PIECE_S

    def run(self, told):
        """Until something can be read from `told`."""
        while True:
            if not self.daemon:
                self.connect()
            watched = [told, self.daemon] if self.daemon else [told]
            ready = select.select(watched, [], [], self.patience())[0]
            if told in ready:
                break
            if ready:
                self.hear()
            if self.term:
                self.go_on()
        self.end()
        if self.daemon:
            self.say("leave")


def main(path, component):
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    Worker(path, component).run(told)


if __name__ == "__main__":
    main(*sys.argv[1:])
