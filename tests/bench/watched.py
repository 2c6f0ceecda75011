# SPDX-License-Identifier: Apache-2.0
"""Pairs of replicas around which something goes wrong while their workers live, and what comes of it."""

import collections
import itertools
import time

from crash import WATCH_S, side_by_side
from events import now
from results import shown, spread, verdict

# Nothing is left that could end a worker that does not look itself: its name, and what befell it.
EXCEPTED = ("Tenure, the rivals' worker", "what elected it is frozen")


class Watched:
    """A pair, and what came of each fault, in ms: how long nobody worked, and two, and two after the fault."""

    def __init__(self, pair, kinds, spared=0):
        self.pair, self.kinds, self.spared = pair, kinds, spared
        self.name = pair.name.rpartition(", ")[0]
        self.is_ours = self.name.startswith("Tenure")
        self.found = {}
        self.never = collections.Counter()  # nobody else came
        self.stuck = 0  # how often two went on working, or nobody worked again

    def note(self, title, begun_at, ended_at):
        until_at = now()
        beats = sorted(beat for node in self.pair.nodes for beat in node.read() if begun_at <= beat[0] <= until_at)
        times = [begun_at, *(at for at, _ in beats), until_at]
        spans = {}
        for at, pid in beats:
            spans[pid] = (spans.get(pid, (at, at))[0], at)
        both = [(max(a[0], b[0]), min(a[1], b[1])) for a, b in itertools.combinations(spans.values(), 2)]
        gap = max(later - at for at, later in itertools.pairwise(times))
        both = [(first, last + 1) for first, last in both if first <= last]  # one beat among another's is one, too
        overlap = max((last - first for first, last in both), default=0)
        after = max((last - max(first, ended_at) for first, last in both), default=0)
        self.found.setdefault(title, []).append(tuple(max(0, ns) / 1e6 for ns in (gap, overlap, after)))

    def found_settled(self):
        """The leader and the other, or None."""
        try:
            return self.pair.settled()
        except (AssertionError, RuntimeError) as stuck:
            print(f"  {stuck}", flush=True)
            return None

    def settled(self):
        pair = self.found_settled()
        if not pair:
            self.start_anew("it does not settle")
        return pair or self.pair.settled()

    def start_anew(self, why):
        """A rival that does not come back by itself; of ours none has to be helped."""
        print(f"  {self.name}: {why}", flush=True)
        assert not self.is_ours, why
        self.mend()

    def suffer(self, kind):
        leader, other = self.settled()
        worker, begun_at = leader.last()[1], now()
        fault = kind(leader, other, worker, self.spared)
        if kind.FOLLOWED:
            self.never[kind.TITLE] += not self.pair.successor(other, begun_at)
            time.sleep(WATCH_S)
        else:
            time.sleep(2 * self.pair.lease_s)
        ended_at = now()
        fault.end()
        time.sleep(WATCH_S)
        self.note(kind.TITLE, begun_at, ended_at)
        if kind.HARMS:
            leader.kill()
            self.pair.start_again(leader)
        else:
            self.look_after()

    def trial(self):
        for kind in self.kinds:
            self.suffer(kind)
        self.settled()

    def run(self):
        self.pair.run(self.trial)

    def mend(self):
        self.stuck += 1
        self.pair.kill()
        self.pair.start()

    def look_after(self):
        """Two rivals that go on working, or nobody who does, would stay like that."""
        if not self.is_ours and sum(node.works() for node in self.pair.nodes) != 1:
            self.mend()


def settled(watched):
    """Of each its leader and the other. What is started here is, unlike the threads, there as long as we are."""
    pairs = side_by_side(Watched.found_settled, watched)
    for each, pair in zip(watched, pairs):
        if not pair:
            each.start_anew("it does not settle")
    return [pair or each.pair.settled() for each, pair in zip(watched, pairs)]


def started_anew(watched):
    stuck = collections.Counter()
    for each in watched:
        stuck[each.name] += each.stuck
    counts = ", ".join(f"{name} {count} times" for name, count in (+stuck).items())
    return f" Started anew, for two went on working, or nobody worked any more: {counts or 'none'}."


def never_two(watched):
    """Whether no two of ours worked at once, and whether they did where nothing of ours can end the first one."""
    judged, excepted = [], []
    for each in watched:
        if not each.is_ours:
            continue
        judged += each.pair.overlaps  # of those that were frozen whole
        for title, found in each.found.items():
            overlaps = excepted if (each.name, title) == EXCEPTED else judged
            overlaps += [overlap for _, overlap, _ in found]
    text = f"Never two of ours at once: {verdict(not any(judged))}"
    if excepted:
        text += (
            f', but for "{EXCEPTED[0]}", under `tenurectl run`, that does not look at its token, where all of'
            f" {EXCEPTED[1]}: {verdict(not any(excepted))}"
        )
    return text + "."


def table(section, watched, title, watch_s=WATCH_S):
    """What came of that fault, after which each was watched for so long."""
    rows = {}
    for each in watched:
        rows.setdefault((each.name, f"{each.pair.lease_s:g}"), []).extend(each.found.get(title, []))
    lines = []
    for row, found in rows.items():
        if found:
            gaps, overlaps, after = zip(*found)
            most = f"to the end of {watch_s:g} s" if max(after) > watch_s * 990 else shown(max(after))
            never = sum(each.never[title] for each in watched if each.name == row[0])
            alone = f"; nobody else came in {never}" if never else ""
            two = f"{sum(overlap > 0 for overlap in overlaps)} of {len(overlaps)}"
            lines.append((*row, spread(gaps) + alone, two, shown(max(overlaps)), most))
    section.table((title, "lease, s", "nobody works", "two at once", "for at most", "of it after the fault"), lines)
