# SPDX-License-Identifier: Apache-2.0
"""`etcdctl elect`, which has a session of a minute, and ours with the same: all that befalls a replica or its store."""

import contextlib

import crash
from crash import ETCDCTL_ELECT_S, LOOKS, WATCH_S, rival, side_by_side, tenure
from faults import COPIES, LINKED, MANY
from results import Section
from stores import STRIKES, Stores, struck
from watched import Watched, never_two, started_anew, table

PAIRS = COPIES * MANY  # each with one trial


class Whole(Watched):
    """First all of a replica is killed, and frozen."""

    def trial(self):
        self.pair.struck()
        super().trial()


def as_one(watched, name):
    """All pairs of one election."""
    first, *others = [each.pair for each in watched if each.name == name]
    first.name = name
    for pair in others:
        first.trials += pair.trials
        first.never += pair.never
        first.overlaps += pair.overlaps
        for way, gaps in pair.gaps.items():
            first.gaps[way] += gaps
    return first


def pairs(case, etcd):
    """Of ours, and of `etcdctl elect`."""
    options = {"lease_s": ETCDCTL_ELECT_S, "trials": 1}
    for number in range(PAIRS):
        pair = tenure(case, f"Tenure, {number}", case.postgres(), LOOKS, target=case.server.port, **options)
        yield Whole(pair, LINKED)
        where = "http://127.0.0.1:PORT"
        pair = rival(case, f"`etcdctl elect`, {number}", "elect", where, target=etcd.client_port, **options)
        for node in pair.nodes:
            node.environment = {"ELECTION": str(number)}
        yield Whole(pair, LINKED)


def elect(case):
    with contextlib.ExitStack() as stack:
        servers = Stores(case, stack)
        case.server = servers.postgresql(case.server.settings)
        watched = list(pairs(case, servers.etcd()))
        side_by_side(Watched.run, watched)
        struck(servers.all, watched, 1, ETCDCTL_ELECT_S)
    section = Section("elect", "the same of a lease of a minute: ms without a worker, and with two")
    crash.table(section, [as_one(watched, name) for name in dict.fromkeys(each.name for each in watched)])
    for kind in LINKED:
        table(section, watched, kind.TITLE)
    for kind in STRIKES:
        table(section, watched, kind.title, ETCDCTL_ELECT_S + WATCH_S)
    section.say(
        f"{never_two(watched)} `etcdctl elect` has a session of {ETCDCTL_ELECT_S} s, which nobody can change. All as in"
        f" crash, faults and stores, {PAIRS} pairs of each side by side, with one trial of each kind."
        + started_anew(watched)
    )
    return section
