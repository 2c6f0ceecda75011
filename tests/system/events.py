# SPDX-License-Identifier: Apache-2.0
"""What workers heard and said, waiting for it, and whether two of them ever led at once."""

import collections
import dataclasses
import os
import pathlib
import subprocess
import sys
import threading
import time

import processes

# How many times as long a lease is, where programs are so slow that the usual one would not do.
SLOW = int(os.environ.get("TENURE_SLOW", "1"))
PATIENCE_S = 15.0 * SLOW


def now():
    """CLOCK_BOOTTIME in nanoseconds, the clock of the protocol's deadlines."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Stalls:
    """What the machine did to everybody, as stalls.py saw it, from start() on. No thread survives a fork."""

    LATE_NS = 5_000_000  # what is less is no news
    KEPT = 100_000

    def __init__(self):
        self.seen = []  # when one that slept went on too late, and how much
        self.slow = collections.deque(maxlen=self.KEPT)  # when, and how many times longer it took to compute
        self.seeing = threading.Event()

    def start(self):
        """Returns when it has seen something."""
        threading.Thread(target=self._run, daemon=True).start()
        if not self.seeing.wait(PATIENCE_S):
            raise AssertionError("nothing watches the machine")
        return self

    def _run(self):
        command = [sys.executable, "-S", pathlib.Path(__file__).with_name("stalls.py")]
        with processes.spawn(command, stdout=subprocess.PIPE, text=True) as probe:
            for line in probe.stdout:
                at, late, cpu, wall = map(int, line.split())
                self.slow.append((at, wall / cpu))
                self.seeing.set()
                if late > self.LATE_NS:
                    self.seen.append((at - late, late))

    def longest(self, since):
        return max((late for start, late in list(self.seen) if start + late >= since), default=0)

    def slowest(self, since):
        """How many times longer than its time on a processor it took to compute something, at most."""
        return max((times for at, times in list(self.slow) if at >= since), default=1.0)


def milliseconds(nanoseconds):
    return nanoseconds / 1e6


def unquote(value):
    text = value.encode()
    parts = text.split(b"%")
    return (parts[0] + b"".join(bytes([int(part[:2], 16)]) + part[2:] for part in parts[1:])).decode()


@dataclasses.dataclass(frozen=True)
class Event:
    at: int
    said: bool  # by the worker; else heard from the daemon
    word: str
    fields: dict

    @classmethod
    def parse(cls, at, said, line):
        word, *fields = line.split(" ")
        return cls(at, said, word, {key: unquote(value) for key, value in (item.split("=", 1) for item in fields)})

    def number(self, key):
        return int(self.fields[key])

    def __str__(self):
        fields = "".join(f" {key}={value}" for key, value in self.fields.items())
        return f"{self.at / 1e9:.6f} {'>' if self.said else '<'} {self.word}{fields}"


class Feed:
    """A list that grows in one thread while others wait for something in it."""

    def __init__(self, name):
        self.name = name
        self.scope = None  # the store that the workers' components are of
        self.items = []
        self.ended = False
        self.dead_at = None  # the process was killed, or the test gave the work up
        self.gone_at = None  # and no work after: the signal has come to a process that may have run until then
        self.changed = threading.Condition()

    def add(self, item):
        with self.changed:
            self.items.append(item)
            self.changed.notify_all()

    def end(self):
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def wait_end(self, timeout=PATIENCE_S):
        """All that there is to come has come."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.ended, timeout), f"{self.name}: no end within {timeout:g} s"

    def mark(self):
        """Where the feed is now; wait(after=…) looks at what comes after it."""
        return len(self.items)

    def find(self, wanted, after=0):
        return next((item for item in self.items[after:] if wanted(item)), None)

    def wait_for(self, wanted, what, timeout=PATIENCE_S, after=0):
        found = None

        def look():
            # Each item once: who reads a flood of lines must not fall behind, or the daemon leaves lines out.
            nonlocal found, after
            found = self.find(wanted, after)
            after = len(self.items)
            return found is not None or self.ended

        with self.changed:
            self.changed.wait_for(look, timeout)
        if found is None:
            tail = "\n  ".join(str(item) for item in self.items[-15:])
            raise AssertionError(f"{self.name}: no {what} within {timeout:g} s; the last of it:\n  {tail}")
        return found


class EventFeed(Feed):
    """The events of one worker."""

    def wait(self, word, timeout=PATIENCE_S, after=0, **fields):
        """The first event after the mark that is this word with these fields."""
        wanted = {key: str(value) for key, value in fields.items()}
        return self.wait_for(
            lambda event: event.word == word and wanted.items() <= event.fields.items(),
            f"{word} {wanted or ''}",
            timeout,
            after,
        )

    def all(self, word, after=0):
        return [event for event in self.items[after:] if event.word == word]

    def last(self, word):
        return next((event for event in reversed(list(self.items)) if event.word == word), None)


@dataclasses.dataclass
class Tenure:
    """From when until when a worker believed that it led."""

    holder: str
    component: str
    term: int
    begin: int
    deadline: int
    end: int = None
    revoked: Event = None
    resumed: bool = False  # came back with the term

    def ends(self):
        return min(self.deadline, self.end if self.end is not None else self.deadline)


class _Reader:
    """Follows one worker's events for one component and objects to what the protocol rules out."""

    def __init__(self, feed):
        self.feed = feed
        self.current = {}
        self.tenures = []
        self.last_term = {}
        self.joining = {}

    def object(self, event, text):
        raise AssertionError(f"{self.feed.name}: {text}: {event}")

    def take(self, event):
        component = event.fields.get("component")
        take = getattr(self, "take_" + event.word, None)
        if take and component:
            take(event, component)

    def take_join(self, event, component):
        self.joining[component] = event

    def resume(self, event, component):
        """The first thing that it hears of a term it came back with."""
        join = self.joining.get(component)
        if join and join.fields.get("term") == event.fields["term"]:
            self.last_term[component] = event.number("term")
            deadline = event.number("deadline")
            tenure = Tenure(self.feed.name, component, event.number("term"), join.at, deadline, resumed=True)
            self.current[component] = tenure
            self.tenures.append(tenure)
            del self.joining[component]

    def take_granted(self, event, component):
        term = event.number("term")
        if component in self.current:
            self.object(event, "granted while it leads (W2)")
        if term <= self.last_term.get(component, 0):
            self.object(event, "a term that is not larger than the last (W2)")
        self.last_term[component] = term
        self.current[component] = Tenure(self.feed.name, component, term, event.at, event.number("deadline"))
        self.tenures.append(self.current[component])

    def take_extended(self, event, component):
        tenure = self.current.get(component)
        if not tenure:
            self.resume(event, component)  # or it crossed what we said
            return
        if tenure.term != event.number("term"):
            self.object(event, "another term in an extension (W5)")
        if tenure.revoked:
            self.object(event, "extended after revoked")
        if event.number("deadline") < tenure.deadline:
            self.object(event, "the deadline went back")
        tenure.deadline = event.number("deadline")

    def take_revoked(self, event, component):
        tenure = self.current.get(component)
        if not tenure:
            return  # it crossed what we said
        if tenure.revoked or tenure.term != event.number("term"):
            self.object(event, "revoked twice, or another term (W2)")
        if event.number("deadline") > tenure.deadline:
            self.object(event, "a revoked term got a later deadline (W12)")
        tenure.deadline = event.number("deadline")
        tenure.revoked = event

    def take_end(self, event, component):
        tenure = self.current.pop(component, None)
        if tenure:
            tenure.end = event.at

    def take_valid(self, event, component):
        """It checked, and may work on."""
        tenure = self.current.get(component)
        if not tenure or tenure.term != event.number("term"):
            self.object(event, "valid without a term")
        tenure.deadline = max(tenure.deadline, event.at)

    def take_over(self, event, component):
        self.take_end(event, component)

    def take_stopped(self, event, component):
        self.take_end(event, component)

    def take_yield(self, event, component):
        self.take_end(event, component)

    def take_leave(self, event, component):
        self.take_end(event, component)


def read_tenures(feed):
    """The tenures of one worker, in order (W2, W5, W12)."""
    reader = _Reader(feed)
    for event in list(feed.items):
        reader.take(event)
    for tenure in reader.tenures:
        if feed.dead_at is not None and (tenure.end is None or tenure.end > feed.dead_at):
            tenure.end = feed.dead_at
    return reader.tenures


def check_tenures(feeds):
    """All tenures by component and time, after checking that none overlap and terms grow (W3, W4)."""
    leases = {}
    for feed in feeds:
        for tenure in read_tenures(feed):
            leases.setdefault((id(feed.scope), tenure.component), []).append(tenure)
    for tenures in leases.values():
        check_lease(tenures)
    return [tenure for tenures in leases.values() for tenure in tenures]


def check_lease(tenures):
    """Sorts the tenures of one lease and checks them."""
    tenures.sort(key=lambda tenure: tenure.begin)
    for one, next_one in zip(tenures, tenures[1:]):
        if next_one.resumed and (one.holder, one.term) == (next_one.holder, next_one.term):
            continue
        if one.ends() > next_one.begin:
            raise AssertionError(f"two leaders at once (W3):\n  {one}\n  {next_one}")
        if one.term >= next_one.term:
            raise AssertionError(f"terms do not grow (W4):\n  {one}\n  {next_one}")
