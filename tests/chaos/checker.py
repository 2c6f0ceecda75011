#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Judges what a run of `make chaos` left behind.

checker.py DIRECTORY [--svg FILE]

DIRECTORY holds `run.json` (lease_ms, stop_grace_ms, begin, end, and `leases`: the components of each lease),
`faults.jsonl` (a line as a fault begins and as it ends), `stalls.tsv` (when, how long), `writes.tsv` (component, term,
fenced; in the order of their commits) and `beats/COMPONENT.NODE` (see chaos_worker.c). Times are nanoseconds of
CLOCK_BOOTTIME. Exit status 0 only if all holds.
"""

import argparse
import dataclasses
import json
import pathlib
import statistics
import sys

import timeline

MS = 1_000_000
UNEXPLAINED_MS = 500  # without a leader while nothing is wrong: a hand-over, and a busy machine
LATE_MS = 150  # from the daemon's timer to the worker's line
GAP_MS = 100
# Whoever these hit may hear of a revocation late.
DEAFENING = ("daemon", "worker", "tenurectl", "memory", "descriptors", "runtime disk")


@dataclasses.dataclass
class Run:
    """One worker process in one term. Times are nanoseconds of CLOCK_BOOTTIME; 0: not yet."""

    lease: str
    component: str
    node: str
    term: int
    pid: int
    first: int = 0
    last: int = 0
    revoked: int = 0
    deadline: int = 0  # as it stood when it was revoked

    def who(self):
        return f"{self.component} on {self.node} (term {self.term})"


@dataclasses.dataclass
class Fault:
    name: str
    where: str
    begin: int
    end: int
    recovery: int


@dataclasses.dataclass
class Gap:
    lease: str
    begin: int
    end: int

    def touches(self, fault):
        return fault.begin <= self.end and fault.end + fault.recovery >= self.begin


class History:
    def __init__(self, directory):
        directory = pathlib.Path(directory)
        about = json.loads((directory / "run.json").read_text())
        self.about = about
        self.begin, self.end = about["begin"], about["end"]
        self.leases = about["leases"]
        self.nodes = about["nodes"]
        self.runs, self.past_deadline = [], []
        for lease, components in self.leases.items():
            for component in components:
                for node in self.nodes:
                    self.read_beats(directory / "beats" / f"{component}.{node}", lease, component, node)
        self.runs.sort(key=lambda run: run.first)
        self.faults = self.read_faults(directory / "faults.jsonl")
        self.stalls = [[int(word) for word in line.split()] for line in self.lines(directory / "stalls.tsv")]
        self.writes = [line.split() for line in self.lines(directory / "writes.tsv")]

    @staticmethod
    def lines(path):
        """Without the last one where a killed worker did not finish it."""
        return path.read_text().split("\n")[:-1] if path.exists() else []

    def read_beats(self, path, lease, component, node):
        runs = {}
        for line in self.lines(path):
            word, *numbers = line.split()
            at, term, pid, deadline = map(int, numbers)
            run = runs.setdefault((term, pid), Run(lease, component, node, term, pid))
            if word == "beat":
                run.first = run.first or at
                run.last = at
                if deadline and at >= deadline:
                    self.past_deadline.append(f"{run.who()} beat {(at - deadline) / MS:.1f} ms past its deadline")
            elif word == "revoked":
                run.revoked, run.deadline = at, deadline
        self.runs += [run for run in runs.values() if run.first]

    def read_faults(self, path):
        faults = {}
        for line in self.lines(path):
            item = json.loads(line)
            if item["word"] == "begin":
                fault = Fault(item["name"], item["where"], item["at"], self.end, item["recovery_ms"] * MS)
                faults[item["id"]] = fault
            else:
                faults[item["id"]].end = item["at"]
        return list(faults.values())

    def of(self, lease):
        return [run for run in self.runs if run.lease == lease]

    def stalled(self, begin, end):
        return max((late for at, late in self.stalls if at <= end and at + late >= begin), default=0)

    def gaps(self, lease):
        """Of each component of the lease; the time before the first leader counts from the run's begin."""
        for component in self.leases[lease]:
            led_until = self.begin
            for run in (run for run in self.runs if run.component == component and run.first <= self.end):
                if run.first - led_until > GAP_MS * MS:
                    yield Gap(component, led_until, run.first)
                led_until = max(led_until, run.last)
            if self.end - led_until > GAP_MS * MS:
                yield Gap(component, led_until, self.end)


# ---- what has to hold: each yields sentences about what does not ----


def overlap_pairs(history):
    """Two that led at once: of a group's lease on two nodes, of a component as two processes."""
    for lease in history.leases:
        before = []
        for run in history.of(lease):
            before = [other for other in before if other.last >= run.first]
            for other in before:
                same = other.node == run.node and other.component != run.component
                if not same:
                    yield other, run, run.first, min(other.last, run.last)
            before.append(run)


def overlaps(history):
    """No two workers of a component lead at once"""
    for one, two, begin, end in overlap_pairs(history):
        yield f"{one.who()} and {two.who()} both led for {(end - begin) / MS:.3f} ms from {begin}"


def terms(history):
    """No term is given twice, none goes back"""
    for lease in history.leases:
        highest = None
        for run in history.of(lease):
            if highest and run.term < highest.term:
                yield f"{run.who()} came after {highest.who()}: the term goes back"
            elif highest and run.term == highest.term and (run.node != highest.node):
                yield f"{run.who()} repeats the term of {highest.who()}"
            elif highest and run.term == highest.term and run.component == highest.component and run.pid != highest.pid:
                yield f"{run.who()} repeats the term of another process, {highest.pid}"
            if not highest or run.term >= highest.term:
                highest = run


def stale_writes(history):
    """No fenced write of a term commits after one of a newer term"""
    lease_of = {component: lease for lease, components in history.leases.items() for component in components}
    newest = {}
    for component, term, fenced in history.writes:
        lease = lease_of[component]
        if fenced == "1" and int(term) < newest.get(lease, 0):
            yield f"{component}: a fenced write of term {term} after one of term {newest[lease]}"
        if fenced == "1":
            newest[lease] = max(newest.get(lease, 0), int(term))


def late_revocations(history):
    """No worker beats past its deadline, none hears late that it has to stop while its daemon runs"""
    yield from history.past_deadline
    grace = history.about["stop_grace_ms"] * MS
    for run in history.runs:
        if run.deadline and run.last >= run.deadline:
            yield f"{run.who()} beat {(run.last - run.deadline) / MS:.1f} ms past the deadline of its revocation"
        due = run.deadline - grace
        late = run.revoked - due - LATE_MS * MS - history.stalled(due, run.revoked)
        deaf = [
            fault
            for fault in history.faults
            if fault.where in (run.node, f"{run.component}.{run.node}")
            and fault.name.startswith(DEAFENING)
            and fault.begin <= run.revoked
            and fault.end + fault.recovery >= due
        ]
        if run.deadline and late > 0 and not deaf:
            yield f"{run.who()} heard {(run.revoked - due) / MS:.1f} ms late that it has to stop"


def unexplained(history, gap):
    """How much of the gap lies outside all faults and what recovering from them may take."""
    left, at = 0, gap.begin
    for begin, end in sorted((fault.begin, fault.end + fault.recovery) for fault in history.faults):
        if at >= gap.end:
            break
        left += max(0, min(begin, gap.end) - at)
        at = max(at, end)
    return left + max(0, gap.end - at)


def leaderless(history):
    """No component is without a leader for longer than the faults explain"""
    for lease in history.leases:
        for gap in history.gaps(lease):
            left = unexplained(history, gap)
            if left > UNEXPLAINED_MS * MS + history.stalled(gap.begin, gap.end):
                yield (
                    f"{gap.lease}: no leader for {(gap.end - gap.begin) / MS:.0f} ms from {gap.begin}, "
                    f"{left / MS:.0f} ms of which nothing explains"
                )


def alive(history):
    """Every component was led, and wrote with a fence and without"""
    for lease, components in history.leases.items():
        for component in components:
            if not any(run.component == component for run in history.of(lease)):
                yield f"{component}: nobody ever led"
            for fenced in ("1", "0"):
                if not any(write[0] == component and write[2] == fenced for write in history.writes):
                    yield f"{component}: no {'fenced' if fenced == '1' else 'unfenced'} write"


INVARIANTS = (overlaps, terms, stale_writes, late_revocations, leaderless, alive)


# ---- the table ----


def rows(history):
    """Of each kind of fault: how many, the longest time that a component had no leader by each, overlaps meanwhile.

    Faults at the same time share what they did: it counts for each of them.
    """
    gaps = [gap for lease in history.leases for gap in history.gaps(lease)]
    pairs = list(overlap_pairs(history))
    for name in sorted({fault.name for fault in history.faults}):
        faults = [fault for fault in history.faults if fault.name == name]
        times = sorted(
            max(((gap.end - gap.begin) / MS for gap in gaps if gap.touches(fault)), default=0) for fault in faults
        )
        during = sum(
            any(fault.begin <= end and fault.end + fault.recovery >= begin for fault in faults)
            for _, _, begin, end in pairs
        )
        p99 = times[min(len(times) - 1, int(len(times) * 0.99))]
        yield name, len(faults), statistics.median(times), p99, times[-1], during


def table(history):
    yield "| fault | count | leaderless ms: median | p99 | max | overlaps |"
    yield "|---|--:|--:|--:|--:|--:|"
    for name, count, *times, during in rows(history):
        yield f"| {name} | {count} | " + " | ".join(f"{time:.0f}" for time in times) + f" | {during} |"


def summary(history):
    led = sum(max(0, min(run.last, history.end) - max(run.first, history.begin)) for run in history.runs)
    components = sum(map(len, history.leases.values()))
    fenced = sum(write[2] == "1" for write in history.writes)
    refused = 0
    newest = {}
    for component, term, is_fenced in history.writes:
        refused += is_fenced == "0" and int(term) < newest.get(component, 0)
        newest[component] = max(newest.get(component, 0), int(term))
    minutes = (history.end - history.begin) / MS / 60_000
    return (
        f"{minutes:.1f} minutes, {len(history.faults)} faults, {len({(r.lease, r.term) for r in history.runs})} terms, "
        f"led {100 * led / (history.end - history.begin) / components:.1f} % of the time; {fenced} fenced writes, "
        f"{len(history.writes) - fenced} unfenced, {refused} of these stale"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("directory")
    parser.add_argument("--svg")
    options = parser.parse_args()
    history = History(options.directory)
    if options.svg:
        pathlib.Path(options.svg).write_text(timeline.draw(history))
    print(summary(history), "", *table(history), "", sep="\n")
    failed = 0
    for invariant in INVARIANTS:
        faults = list(invariant(history))
        failed += bool(faults)
        print(f"  {'FAILED' if faults else 'ok':<7} {invariant.__doc__}", *[f"          {f}" for f in faults], sep="\n")
    print(f"{len(INVARIANTS) - failed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
