#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Judges what a run of `make chaos` left behind.

checker.py DIRECTORY [--svg FILE] [--report]

DIRECTORY holds `run.json` (store, seed, lease_ms, stop_grace_ms, begin, end, nodes, and `leases`: the components of
each lease), `faults.jsonl` (a line as a fault begins and as it ends), `stalls.tsv` (when, how long), `deaths.tsv`
(when a worker's process had ended, its pid), `writes.tsv`
(component, term, fenced, the term of the lease's row then, how many fenced ones of terms before came after it, where
their order does not tell; in the order of their commits) and `beats/COMPONENT.NODE`
(see chaos_worker.c). Times are nanoseconds of CLOCK_BOOTTIME. Exit status 0 only if all holds. The report goes into
tests/bench/RESULTS.md.
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
GAP_MS = 30  # what is shorter is a beat that came late
DEAF_MS = 500  # after what made a worker or its daemon deaf
LEAST_QUIET = 0.3
LONG_MINUTES = 10  # of a run in which everything has to have happened
# Whoever these hit may hear of a revocation late.
DEAFENING = ("daemon", "worker", "tenurectl", "guardian", "memory", "descriptors", "runtime disk")


@dataclasses.dataclass
class Run:
    """One worker process in one term. Times are nanoseconds of CLOCK_BOOTTIME; 0: not yet."""

    lease: str
    component: str
    node: str
    term: int
    pid: int
    granted: int
    first: int = 0
    last: int = 0
    valid_until: int = 0  # as the last beat knew
    revoked: int = 0
    deadline: int = 0  # as it stood when it was revoked
    over: int = 0
    lapses: list = dataclasses.field(default_factory=list)  # (valid until, next beat): silent for longer than valid

    def who(self):
        return f"{self.component} on {self.node} (term {self.term})"


@dataclasses.dataclass
class Fault:
    name: str
    where: str  # db, a node, or COMPONENT.NODE
    begin: int
    end: int
    recovery: int  # None: nothing may come of it

    def during(self, begin, end):
        return self.begin <= end and self.end + (self.recovery or 0) >= begin

    def at(self, run):
        return self.where in (run.node, f"{run.component}.{run.node}")


@dataclasses.dataclass
class Gap:
    """When a component had no leader. `nodes`: those that led before and after, or were granted a term meanwhile; None:
    some term is missing, which a node may have had that we did not hear of."""

    component: str
    members: list  # of its lease
    nodes: set
    begin: int
    end: int

    def concerns(self, fault):
        """Whether it happened where it could bear on this gap, and while it could."""
        component, _, node = fault.where.rpartition(".")
        here = node == "db" or self.nodes is None or node in self.nodes
        return here and component in ("", *self.members) and fault.during(self.begin, self.end)


class History:
    def __init__(self, directory):
        directory = pathlib.Path(directory)
        about = json.loads((directory / "run.json").read_text())
        self.about = about
        self.begin, self.end = about["begin"], about["end"]
        self.leases = about["leases"]
        self.nodes = about["nodes"]
        self.granted, self.past_deadline, self.died = [], [], []
        for lease, components in self.leases.items():
            for component in components:
                for node in self.nodes:
                    self.read_beats(directory / "beats" / f"{component}.{node}", lease, component, node)
        self.runs = [run for run in self.granted if run.first]
        self.runs.sort(key=lambda run: run.first)
        self.faults = self.read_faults(directory / "faults.jsonl")
        self.stalls = [[int(word) for word in line.split()] for line in self.lines(directory / "stalls.tsv")]
        self.deaths = {}
        for at, pid in (map(int, line.split()) for line in self.lines(directory / "deaths.tsv")):
            self.deaths.setdefault(pid, []).append(at)
        self.lease_of = {component: lease for lease, members in self.leases.items() for component in members}
        self.writes = [self.read_write(*line.split()) for line in self.lines(directory / "writes.tsv")]

    @staticmethod
    def read_write(component, term, fenced, held, after):
        return component, int(term), fenced == "1", int(held), int(after)

    @staticmethod
    def lines(path):
        """Without the last one where a killed worker did not finish it."""
        return path.read_text().split("\n")[:-1] if path.exists() else []

    def read_beats(self, path, lease, component, node):
        runs = {}
        for line in self.lines(path):
            word, *numbers = line.split()
            at, term, pid, deadline = map(int, numbers)
            run = runs.get((term, pid))
            if not run or (word == "start" and run.over):
                run = runs[term, pid] = Run(lease, component, node, term, pid, granted=at)
                self.granted.append(run)
            if word == "beat":
                if run.first and at > run.valid_until:
                    run.lapses.append((run.valid_until, at))
                run.first = run.first or at
                run.last, run.valid_until = at, deadline
                if at >= deadline:
                    self.past_deadline.append(f"{run.who()} beat {(at - deadline) / MS:.1f} ms past its deadline")
            elif word == "revoked":
                run.revoked, run.deadline = at, deadline
            elif word == "over":
                run.over = at

    def read_faults(self, path):
        faults = {}
        for line in self.lines(path):
            item = json.loads(line)
            if item["word"] == "begin":
                recovery = item["recovery_ms"]
                recovery = None if recovery is None else recovery * MS
                faults[item["id"]] = Fault(item["name"], item["where"], item["at"], self.end, recovery)
            elif item["word"] == "end":
                faults[item["id"]].end = item["at"]
            else:
                self.died.append(item)
        return list(faults.values())

    def of(self, lease):
        return [run for run in self.runs if run.lease == lease]

    def stalled(self, begin, end):
        return max((late for at, late in self.stalls if at <= end and at + late >= begin), default=0)

    def gaps(self, lease):
        """Of each component of the lease; the time before the first leader counts from the run's begin."""
        for component in self.leases[lease]:
            before, led_until = None, self.begin
            for run in (run for run in self.runs if run.component == component and run.first <= self.end):
                if run.first - led_until > GAP_MS * MS:
                    yield self.gap(lease, component, before, run, led_until)
                before, led_until = run, max(led_until, run.last)
            if self.end - led_until > GAP_MS * MS:
                yield self.gap(lease, component, before, None, led_until)

    def lapses(self, lease):
        """As gaps, within a term. Not in the table: the token of a worker that only stood still may have been valid."""
        for run in self.of(lease):
            for begin, end in run.lapses:
                yield Gap(run.component, self.leases[lease], {run.node}, begin, end)

    def gap(self, lease, component, before, after, begin):
        end = after.first if after else self.end
        between = [run for run in self.granted if run.lease == lease and begin <= run.granted <= end]
        known = [run for run in (before, *between, after) if run]
        terms = sorted({run.term for run in known})
        whole = before and after and terms[-1] - terms[0] == len(terms) - 1
        return Gap(component, self.leases[lease], {run.node for run in known} if whole else None, begin, end)


# ---- what has to hold: each yields sentences about what does not ----


def valid_until(history, run):
    """A worker that only stood still may go on as long as its token was valid; not one that has ended."""
    if run.over:
        return run.last
    died = min((at for at in history.deaths.get(run.pid, ()) if at >= run.last), default=run.valid_until)
    return max(run.last, min(run.valid_until, died))


def overlap_pairs(history):
    """Two that led at once: of a group's lease on two nodes or in two terms, of a component as two processes."""
    for lease in history.leases:
        before = []
        for run in history.of(lease):
            before = [other for other in before if valid_until(history, other) >= run.first]
            for other in before:
                same = (other.node, other.term) == (run.node, run.term) and other.component != run.component
                if not same:
                    yield other, run, run.first, min(valid_until(history, other), valid_until(history, run))
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
            if not highest or run.term >= highest.term:
                highest = run
    nodes, given = {}, {}  # also to those who were told and did nothing
    for run in history.granted:
        node = nodes.setdefault((run.lease, run.term), run.node)
        if node != run.node:
            yield f"{run.who()} was granted a term of {node}'s"
        first = given.setdefault((run.component, run.node, run.term), run)
        if first is not run:
            yield f"{run.who()} as process {run.pid} repeats the term of process {first.pid}"


def stale_writes(history):
    """No fenced write of a term commits after one of a newer term, or while the lease is at another"""
    newest = {}
    for component, term, fenced, held, after in history.writes:
        lease = history.lease_of[component]
        if fenced and term < newest.get(lease, 0):
            yield f"{component}: a fenced write of term {term} after one of term {newest[lease]}"
        elif fenced and term != held:
            yield f"{component}: a fenced write of term {term} while the lease is at term {held}"
        if after > 0:
            yield f"{component}: {after} fenced writes of terms before were committed after one of term {term} looked"
        elif after < 0:
            yield f"{component}: {-after} fenced writes that one of term {term} saw are gone"
        if fenced:
            newest[lease] = max(newest.get(lease, 0), term)


def stale_unfenced(history):
    """How many of these a fence would have refused."""
    newest, found = {}, 0
    for component, term, fenced, *_ in history.writes:
        lease = history.lease_of[component]
        found += not fenced and term < newest.get(lease, 0)
        newest[lease] = max(newest.get(lease, 0), term)
    return found


def is_deaf(history, run, begin, end):
    return any(
        fault.name.startswith(DEAFENING) and fault.at(run) and fault.begin <= end and fault.end + DEAF_MS * MS >= begin
        for fault in history.faults
    )


def late_revocations(history):
    """No worker beats past its deadline, none hears late that it has to stop, or not at all, while its daemon runs"""
    yield from history.past_deadline
    grace = history.about["stop_grace_ms"] * MS
    for run in history.runs:
        if run.deadline and run.last >= run.deadline:
            yield f"{run.who()} beat {(run.last - run.deadline) / MS:.1f} ms past the deadline of its revocation"
        due = (run.deadline if run.revoked else run.valid_until) - grace
        heard = run.revoked or run.last
        late = heard - due - LATE_MS * MS - history.stalled(due, heard)
        if late > 0 and not is_deaf(history, run, due, heard):
            how = f"heard {(heard - due) / MS:.1f} ms late" if run.revoked else "did not hear"
            yield f"{run.who()} {how} that it has to stop"


def outside(begin, end, faults):
    """How much of that time lies outside all these faults and what recovering from them may take."""
    left, at = 0, begin
    for fault in sorted((fault for fault in faults if fault.recovery is not None), key=lambda fault: fault.begin):
        if at >= end:
            break
        left += max(0, min(fault.begin, end) - at)
        at = max(at, fault.end + fault.recovery)
    return left + max(0, end - at)


def leaderless(history):
    """No component is without a leader for longer than the faults explain"""
    for lease in history.leases:
        for gap in (*history.gaps(lease), *history.lapses(lease)):
            left = outside(gap.begin, gap.end, [fault for fault in history.faults if gap.concerns(fault)])
            if left > UNEXPLAINED_MS * MS + history.stalled(gap.begin, gap.end):
                yield (
                    f"{gap.component}: no leader for {(gap.end - gap.begin) / MS:.0f} ms from {gap.begin}, "
                    f"{left / MS:.0f} ms of which nothing explains"
                )


def quiet(history):
    """The share of the time led in which no fault would have explained that nobody does."""
    led = sum(run.last - run.first for run in history.runs)
    judged = sum(
        outside(run.first, run.last, [f for f in history.faults if f.where == "db" or f.at(run)])
        for run in history.runs
    )
    return judged / max(led, 1)


def deaths(history):
    """Nothing ends but what was killed, or has done its work"""
    for item in history.died:
        yield f"{item['where']} ended with status {item['status']} at {item['at']}"


def alive(history):
    """Every component was led, and wrote with a fence and without; in a long run everything has happened"""
    written = {(component, fenced) for component, _, fenced, *_ in history.writes}
    for component in history.lease_of:
        if not any(run.component == component for run in history.runs):
            yield f"{component}: nobody ever led"
        for fenced in (True, False):
            if (component, fenced) not in written:
                yield f"{component}: no {'fenced' if fenced else 'unfenced'} write"
    if history.end - history.begin < LONG_MINUTES * 60_000 * MS:
        return
    for name in sorted(set(history.about["faults"]) - {fault.name for fault in history.faults}):
        yield f"{name}: did not happen"
    if stale_unfenced(history) == 0:
        yield "no unfenced write was stale: the fence had nothing to refuse"
    if quiet(history) < LEAST_QUIET:
        yield f"only {100 * quiet(history):.0f} % of the time led was without a fault"


INVARIANTS = (overlaps, terms, stale_writes, late_revocations, leaderless, deaths, alive)


# ---- the table ----


def causes(history, gap):
    """The faults that may have a part in it; those that none may come of, where there is no other."""
    faults = [fault for fault in history.faults if gap.concerns(fault)]
    return [fault for fault in faults if fault.recovery is not None] or faults


def hits_leader(history, fault):
    return fault.where == "db" or any(
        fault.at(run) and run.first <= fault.begin <= run.last + GAP_MS * MS for run in history.runs
    )


def rows(history):
    """Of each kind of fault: how many, how many of them where somebody led; of these the longest time that a component
    had no leader by each; overlaps meanwhile.

    Faults at the same time share what they did: it counts for each of them.
    """
    longest = {id(fault): 0 for fault in history.faults}
    for gap in (gap for lease in history.leases for gap in history.gaps(lease)):
        for fault in causes(history, gap):
            longest[id(fault)] = max(longest[id(fault)], (gap.end - gap.begin) / MS)
    pairs = list(overlap_pairs(history))
    for name in sorted({*history.about["faults"], *(fault.name for fault in history.faults)}):
        faults = [fault for fault in history.faults if fault.name == name]
        times = sorted(longest[id(fault)] for fault in faults if hits_leader(history, fault))
        during = sum(any(fault.during(begin, end) for fault in faults) for _, _, begin, end in pairs)
        yield name, len(faults), len(times), *spread(times), during


def spread(times):
    """Of sorted ones: the median, what 99 of 100 do not exceed, the largest."""
    if not times:
        return 0, 0, 0
    return statistics.median(times), times[(99 * len(times) - 1) // 100], times[-1]


HEAD = ("fault", "count", "of a leader", "leaderless ms: median", "p99", "max", "overlaps")


def table(history):
    yield "| " + " | ".join(HEAD) + " |"
    yield "|---" + "|--:" * (len(HEAD) - 1) + "|"
    for row in rows(history):
        yield "| " + " | ".join(cells(row)) + " |"


def cells(row):
    return [row[0], *(f"{number:,.0f}" for number in row[1:])]


def summary(history):
    led = sum(max(0, min(run.last, history.end) - max(run.first, history.begin)) for run in history.runs)
    fenced = sum(write[2] for write in history.writes)
    minutes = (history.end - history.begin) / MS / 60_000
    return (
        f"{minutes:.1f} minutes, {len(history.faults)} faults, {len({(r.lease, r.term) for r in history.runs})} terms, "
        f"led {100 * led / (history.end - history.begin) / len(history.lease_of):.1f} % of the time, "
        f"{100 * quiet(history):.0f} % of it without a fault; {fenced} fenced writes, "
        f"{len(history.writes) - fenced} unfenced, {stale_unfenced(history)} of these stale"
    )


def report(history, broken):
    """Into tests/bench/RESULTS.md."""
    sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "bench"))
    import results  # pylint: disable=import-outside-toplevel,import-error

    about = history.about
    section = results.Section(f"chaos on {about['store']}", "what went wrong, and what came of it")
    section.begun -= (history.end - history.begin) / MS / 1000
    section.load = about["load"]
    section.command = f"make chaos MINUTES={about['minutes']:g} STORE={about['store']} SEED={about['seed']} REPORT=yes"
    section.say(f"Five daemons, leases of {about['lease_ms'] / 1000:g} s. {summary(history)}.")
    section.table(HEAD, map(cells, rows(history)))
    section.say(" ".join(f"{rule.__doc__}: {'**broken**' if rule in broken else 'held'}." for rule in INVARIANTS))
    section.say("A time without a leader counts for each fault that may have had a part in it.")
    results.write([section], [])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("directory")
    parser.add_argument("--svg")
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    history = History(options.directory)
    if options.svg:
        pathlib.Path(options.svg).write_text(timeline.draw(history))
    print(summary(history), "", *table(history), "", sep="\n")
    broken = []
    for invariant in INVARIANTS:
        said = list(invariant(history))
        broken += [invariant] if said else []
        print(f"  {'FAILED' if said else 'ok':<7} {invariant.__doc__}")
        print(*(f"          {line}\n" for line in said), sep="", end="")
    print(f"{len(INVARIANTS) - len(broken)} passed, {len(broken)} failed", flush=True)
    if options.report:
        report(history, broken)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
