# SPDX-License-Identifier: Apache-2.0
"""A whole replica is killed: how long nobody works, by the length of the lease."""

import contextlib
import statistics

from crash import LATE_MS, LOOKS, TRIALS, etcdctl_lock, in_time, rival, side_by_side, tenure
from etcd import Etcd
from results import Section, missed_by, shown, spread
from rivals import KINDS
from zookeeper import ZooKeeper

LEASES_S = (1, 2, 5, 10)
LEAST_ETCD_S = 2  # is what its server gives where one is asked for


def killed(pair):
    pair.dead = pair.led = 1  # there is time for any phase of who tries once a lease
    return pair.run(pair.killed)


def elections(case, etcd, keeper):
    """By name, a pair for each lease; each by rows has a table of its own, each of the others a key."""
    for lease_s in LEASES_S:
        how = {"lease_s": lease_s}
        yield "Tenure", tenure(case, f"Tenure, {lease_s} s", case.postgres(), LOOKS, **how)
        if lease_s >= LEAST_ETCD_S:
            yield "`etcdctl lock`", etcdctl_lock(case, etcd.url, f"`etcdctl lock`, {lease_s} s", **how)
        yield "ZooKeeper, kazoo", rival(case, f"kazoo, {lease_s} s", "kazoo", f"{keeper.where}/l{lease_s}", **how)
        for kind in KINDS.values():
            if not kind.IS_FIXED:
                where = case.postgres().conninfo("postgres")
                yield kind.NAME, rival(case, f"{kind.NAME}, {lease_s} s", kind.KIND, where, **how)


def below(ours, rivals):
    """Whether the mean is below each rival's, and of whom it is not."""
    mean = {lease_s: statistics.mean(gaps) for lease_s, gaps in ours.items()}
    sooner = [
        f"{name} at {lease_s} s, {shown(statistics.mean(gaps[lease_s]))} to {shown(mean[lease_s])}"
        for name, gaps in rivals.items()
        for lease_s in gaps
        if statistics.mean(gaps[lease_s]) <= mean[lease_s]
    ]
    return missed_by(sooner)


def leases(case):
    with contextlib.ExitStack() as stack:
        etcd = stack.enter_context(Etcd(case.directory / "etcd"))
        keeper = stack.enter_context(ZooKeeper(case.directory / "zookeeper"))
        found = list(elections(case, etcd, keeper))
        side_by_side(killed, [pair for _, pair in found])
    rows = {}
    for name, pair in found:
        rows.setdefault(name, {})[pair.lease_s] = pair.gaps["killed"]
    section = Section("leases", "a replica is killed: ms without a worker, by the lease")
    section.table(
        ("", *(f"{lease_s} s" for lease_s in LEASES_S)),
        [
            (name, *(spread(gaps[lease_s]) if lease_s in gaps else "" for lease_s in LEASES_S))
            for name, gaps in rows.items()
        ],
    )
    ours = rows.pop("Tenure")
    late = in_time([pair for name, pair in found if name == "Tenure"])
    section.say(
        f"At most {LATE_MS} ms after the lease that began with the last renewal: {late} Mean below every rival's at the"
        f" same lease: {below(ours, rows)}."
        f" {TRIALS} trials of each, at any time between two renewals and two tries, all elections side by side:"
        f" {len(found)} pairs of replicas. etcd gives {LEAST_ETCD_S} s at least; River, Vault and `etcdctl elect` have"
        " one lease, see crash."
    )
    return section
