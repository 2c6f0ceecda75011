#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The database fails over to a replica that lost the last writes (W3, W4, W25; rules 3, 5, 7, 9)."""

import collections
import dataclasses
import os
import random
import signal
import statistics

from case import PostgresTest, main
from events import milliseconds, now
from failover import CALM, COMPONENTS, Fleet, Pair
from postgres import Proxy
from replica import COMPONENT, LEASE_NS, TIMING, until

TERMS_LOST = 3
RENEW_NS = 400_000_000
GRACE_NS = 400_000_000
REACH_NS = 500_000_000  # a daemon has found the new primary by then
GAPS = (0.3, 0.8, 0.02)  # so many seconds are lost
HARM_NS = 1_000_000_000  # what we did to a daemon may still show so long after
MANY_ROUNDS = 20


class FailoverTest(PostgresTest):
    @classmethod
    def setUpClass(cls):
        """Servers of their own for each test."""

    def servers(self):
        """A primary, a standby that follows it, a store behind an address that leads to the primary."""
        primary = self.make_server("primary").start()
        proxy = Proxy(primary.port)
        self.addCleanup(proxy.close)
        store = self.postgres(server=primary, port=proxy.port)
        self.replica("init", store)
        self.replicas.clear()
        standby = self.make_server("standby", standby_of=primary).start()
        return primary, standby, proxy, store

    def follow(self, primary, standby):
        """Waits until the standby has all that the primary wrote."""
        at = primary.sql("SELECT pg_current_wal_lsn()")
        until(lambda: standby.sql(f"SELECT pg_last_wal_replay_lsn() >= '{at}'") == "t", "the standby following")

    def fail_over(self, primary, standby, proxy):
        """The standby was cut off a while ago; now the primary dies and it takes over under the same address."""
        primary.stop(signal.SIGQUIT)
        proxy.target_port = standby.port
        standby.start()
        standby.sql("SELECT pg_promote()")
        proxy.cut()
        return now()

    def test_stale_standby(self):
        """W3, W4: terms that the promoted standby never saw: no two leaders, and terms go on growing"""
        primary, standby, proxy, store = self.servers()
        replicas = [self.replica(name, store).start() for name in "ab"]
        clients = [self.client(replica, "engine") for replica in replicas]
        leader = until(lambda: next((client for client in clients if client.last("granted")), None), "a leader")
        self.follow(primary, standby)
        standby.stop()
        for _ in range(TERMS_LOST):
            marks = [client.mark() for client in clients]
            leader.reply("yield", leader.last("granted"), cooldown_ms=100)
            # The other, unless that one still stays away itself, and who yielded is back first.
            leader = until(
                lambda: next((client for client, mark in zip(clients, marks) if client.all("granted", mark)), None),
                "the next leader",
            )
        last = leader.last("granted").number("term")
        marks = [client.mark() for client in clients]
        promoted_at = self.fail_over(primary, standby, proxy)
        # Its row is another's there: what it holds is over, whoever the row names.
        self.assertIn(leader.wait("revoked", after=marks[clients.index(leader)]).fields["reason"], ("lost", "expiring"))
        granted = until(
            lambda: [event for client, mark in zip(clients, marks) for event in client.all("granted", mark)],
            "the next leader",
        )[0]
        self.assertGreater(granted.number("term"), last)
        self.assertGreater(granted.at - promoted_at, LEASE_NS / 2, "the new server was believed at once (rule 3)")
        self.figure(f"leads {milliseconds(granted.at - promoted_at):.0f} ms after the promotion, term"
                    f" {granted.number('term')} after {last}")

    def test_row_of_one_that_stands_back(self):
        """W4: the lost write brings a row back to a node that leads something else and stands back: it lets go of it"""
        pair = Pair(self)
        store = self.postgres(server=pair.primary)
        store.hosts = (pair.primary, pair.standby)
        first, second = (
            self.replica(name, store, components=("engine", "counter"), timing=TIMING).start() for name in "ab"
        )
        engine, counter = self.client(first, "engine"), self.client(first, "counter")
        engine.wait("granted")
        counter.wait("granted")
        other = self.client(second, "engine")
        pair.begin_copy()
        until(pair.follows, "the standby following")
        counter.wait("extended", after=counter.mark())
        pair.hold_back()
        engine.reply("yield", engine.last("granted"), cooldown_ms=3 * LEASE_NS // 1_000_000)
        other.wait("granted")
        pair.fail()
        _, promoted_at = pair.promote()
        mark = other.mark()
        granted = other.wait("granted", after=mark)
        self.assert_within(granted.at - promoted_at, 2 * LEASE_NS, "a leader again")
        self.figure(f"led again {milliseconds(granted.at - promoted_at):.0f} ms after the promotion")

    def test_current_standby(self):
        """W3, W9: the promoted standby lost nothing: the leader leads on with its term"""
        primary, standby, proxy, store = self.servers()
        timing = {"lease": "4s", "renew": "500ms", "poll": "250ms", "timeout": "500ms"}
        replica = self.replica("a", store, timing=timing).start()
        leader = self.client(replica, "engine")
        leader.wait("granted")
        self.follow(primary, standby)
        leader.wait("extended")
        # The standby stays connected: what the primary acknowledged right before its end may be lost, not more.
        primary.stop(signal.SIGINT)
        proxy.target_port = standby.port
        standby.sql("SELECT pg_promote()")
        proxy.cut()
        mark = leader.mark()
        leader.wait("extended", after=mark, term=1)
        self.assertEqual(leader.all("revoked"), [])

    def test_several_hosts(self):
        """W25: of several hosts the writable one is used, also when it is not the first, and after a fail-over"""
        primary, standby, _, store = self.servers()
        both = type(store)(primary, store.database)
        both.is_new, both.scope = False, store.scope
        both.hosts = (standby, primary)
        replica = self.replica("a", both).start()
        leader = self.client(replica, "engine")
        leader.wait("granted", term=1)
        mark = replica.log.mark()
        primary.stop()
        standby.sql("SELECT pg_promote()")
        replica.wait_log("incarnation", after=mark)
        until(lambda: replica.status()["store"] == "ok" and replica.status()["role"] == "leader", "leads again")

    def test_read_only_left(self):
        """W25, W9, R7: a server that became read-only is left at once for a writable one, and no term ends"""
        primary, standby, _, store = self.servers()
        both = type(store)(primary, store.database)
        both.is_new, both.scope = False, store.scope
        both.hosts = (primary, standby)
        # Time enough to connect anew, to one after the other, on a machine where servers start processes slowly.
        timing = {"lease": "8s", "renew": "400ms", "poll": "200ms", "timeout": "2s"}
        replicas = [self.replica(name, both, timing=timing).start() for name in "ab"]
        leader = self.client(replicas[0], "engine")
        leader.wait("granted", term=1)
        self.client(replicas[1], "engine")
        self.follow(primary, standby)
        marks = [(replica, replica.log.mark()) for replica in replicas]
        standby.sql("SELECT pg_promote()")
        connect_ns = self.connect_ns(primary, standby)
        primary.sql("ALTER SYSTEM SET default_transaction_read_only = on")
        left_at = now()
        primary.sql("SELECT pg_reload_conf()")
        for replica, mark in marks:
            replica.wait_log("incarnation", "claims nothing", after=mark)
        moved_at = now()
        leader.wait("extended", after=leader.mark(), term=1)
        self.assert_within(moved_at - left_at, RENEW_NS + 200_000_000 + 2 * connect_ns, "with the next exchange")
        self.assertEqual(leader.all("revoked"), [])
        self.figure(f"both daemons moved within {milliseconds(moved_at - left_at):.0f} ms; to connect to both with"
                    f" psql takes {milliseconds(connect_ns):.0f} ms")

    def connect_ns(self, *servers):
        """What it takes to ask one after the other, each for the first time, at most of three times."""

        def ask():
            start = now()
            for server in servers:
                server.sql("SELECT 1")
            return now() - start

        return max(ask() for _ in range(3))

    def test_restart_immediate(self):
        """W9, rules 3 and 9: a restart without a checkpoint: the terms held go on, and nobody claims for a lease"""
        server = self.make_server().start()
        store = self.postgres(server=server)
        components = ("engine", "counter")
        # Far more than a start of the server takes on a busy machine.
        timing = {"lease": "5s", "renew": "500ms", "poll": "250ms", "timeout": "500ms"}
        replicas = [self.replica(name, store, components=components, timing=timing).start() for name in "ab"]
        leader, yielder = self.client(replicas[0], "engine"), self.client(replicas[0], "counter")
        for client in (leader, yielder):
            client.wait("granted", term=1)
        others = [self.client(replicas[1], component) for component in components]
        leader.wait("extended", after=leader.mark())
        server.stop(signal.SIGQUIT)
        mark, started_at = leader.mark(), now()
        server.start()
        yielder.reply("yield", yielder.last("granted"), cooldown_ms=100)
        leader.wait("extended", after=mark, term=1)
        granted = until(lambda: others[1].last("granted") or yielder.all("granted")[1:], "the next leader")
        granted = granted[0] if isinstance(granted, list) else granted
        self.assertGreater(granted.at - started_at, 5_000_000_000)
        self.assert_within(granted.at - started_at, 10_000_000_000)
        self.assertEqual(leader.all("revoked") + others[0].all("granted"), [])
        self.figure(f"the free one is led {milliseconds(granted.at - started_at):.0f} ms after the start")


@dataclasses.dataclass
class Round:
    """One fail-over."""

    killed_at: int
    asked_at: int  # for the promotion
    promoted_at: int
    kept: list  # sitting leaders that the promoted standby knew: seat, feed, tenure
    lost: list  # and those that it did not know

    @property
    def spared(self):
        return next((seat for seat, *_ in self.kept + self.lost if seat.component == CALM), None)


class OverAndOverTest(PostgresTest):
    count = int(os.environ.get("TENURE_FAILOVERS") or 6)
    seconds = 60 + 15 * count

    @classmethod
    def setUpClass(cls):
        """Servers of its own."""

    def make(self):
        """The servers, and a store that is on both."""
        pair = Pair(self)
        store = self.postgres(server=pair.primary)
        store.hosts = (pair.primary, pair.standby)
        return pair, store

    def fail_over(self, pair, fleet, database, gap):
        """To a standby that misses what happened last, which may be renewals or whole terms."""
        pair.hold_back()
        fleet.run(gap, every=0.08)
        killed_at = pair.fail()
        sitting = [(seat, seat.feed, seat.sitting(killed_at)) for seat in fleet.seats]
        sitting = [one for one in sitting if one[2]]
        spared = next((seat for seat, *_ in sitting if seat.component == CALM), None)
        fleet.run(0.1, every=0.1, spared=spared)
        rows = pair.rows(database)
        asked_at, promoted_at = pair.promote()
        kept = [one for one in sitting if rows.get(one[0].component) == (one[2].term, True)]
        lost = [one for one in sitting if rows.get(one[0].component, (0,))[0] != one[2].term]
        return Round(killed_at, asked_at, promoted_at, kept, lost)

    def check_sitting(self, fleet, this, counts):
        """Rule 9: who did not lose the write of its claim leads on, where the new primary was there in time."""
        for seat, feed, tenure in this.kept:
            in_time = this.promoted_at + REACH_NS < tenure.deadline - GRACE_NS
            if self.extended(feed, tenure, this.promoted_at):
                counts["kept"] += 1
            elif fleet.harmed(seat, this.killed_at - HARM_NS):
                counts["harmed"] += 1
            elif not in_time:
                counts["late"] += 1
            else:
                self.fail(f"its row was there, and it did not lead on: {tenure}\n{this}\n{feed.items[-9:]}")
        for _, feed, tenure in this.lost:
            counts["lost"] += 1
            self.assertFalse(self.extended(feed, tenure, this.promoted_at), "extended, and its row was not there")

    @staticmethod
    def extended(feed, tenure, since):
        return any(event.at > since and event.number("term") == tenure.term for event in feed.all("extended"))

    def settled(self, pair, fleet, this):
        """Whether all that is to be seen of the fail-over was seen, and the next standby is there."""
        if not fleet.all_lead(this.promoted_at) or not pair.follows():
            return False
        return now() > this.promoted_at + REACH_NS + RENEW_NS

    def check_doubt(self, this):
        """Rule 3: nobody gets a term before the new primary was there for a lease."""
        for feed in self.feeds:
            for event in feed.all("granted"):
                early = this.asked_at < event.at < this.asked_at + LEASE_NS
                self.assertFalse(early, f"{feed.name}: claimed from a server that is not believed: {event}")

    @staticmethod
    def longest_gap(tenures, rounds, faults=()):
        """Without a leader of one component; without a primary it does not count, and a fault begins it anew."""
        longest, reach = 0, None
        ended = {this.promoted_at for this in rounds}
        cuts = sorted([this.killed_at for this in rounds] + list(ended) + list(faults))
        for tenure in sorted(tenures, key=lambda tenure: tenure.begin):
            if reach is not None and tenure.begin > reach:
                edges = [reach, *[at for at in cuts if reach < at < tenure.begin], tenure.begin]
                pieces = [end - start for start, end in zip(edges, edges[1:]) if end not in ended]
                longest = max(longest, *pieces, 0)
            reach = max(reach or 0, tenure.ends())
        return longest

    def figure_gaps(self, fleet, tenures, rounds):
        """The session of a daemon that is killed as well has to be waited for once more."""
        by_component = [[tenure for tenure in tenures if tenure.component == name] for name in COMPONENTS]
        daemons = [harm.at for harm in fleet.harm if harm.component is None]
        overall = max(self.longest_gap(some, rounds) for some in by_component)
        gap = max(self.longest_gap(some, rounds, daemons) for some in by_component)
        self.figure(
            f"longest without a leader {milliseconds(overall):.0f} ms, {milliseconds(gap):.0f} ms"
            f" from the last end of a daemon in it, of a lease of {milliseconds(LEASE_NS):.0f} ms"
        )
        self.assertLess(gap, 2 * LEASE_NS)

    def test_stale_over_and_over(self):
        """W3, W4, rules 3, 5, 9, 10: fail-over after fail-over to a stale standby, and elections go on"""
        seed = int(os.environ.get("TENURE_SEED") or random.randrange(10**6))
        self.figure(f"seed {seed}")
        pair, store = self.make()
        fleet = Fleet(self, store, TIMING, COMPONENT, seed)
        rounds, counts = [], collections.Counter()
        pair.begin_copy()
        self.assertTrue(fleet.run(30, 0.2, lambda: pair.follows() and fleet.all_lead(0)), "no leaders")
        for number in range(self.count):
            this = self.fail_over(pair, fleet, store.database, GAPS[number % len(GAPS)])
            rounds.append(this)
            pair.begin_copy()
            settled = fleet.run(30, 0.2, lambda now=this: self.settled(pair, fleet, now), this.spared)
            self.assertTrue(settled, f"not all have a leader: {this}")
            self.check_sitting(fleet, this, counts)
            self.check_doubt(this)
        tenures = self.tenures()
        outages = [milliseconds(this.promoted_at - this.killed_at) for this in rounds]
        median = statistics.median(outages)
        self.figure(f"{self.count} fail-overs, {median:.0f} ms from the end to the promotion's (median)")
        self.figure(f"{len(tenures)} terms, none twice; {', '.join(f'{n} {what}' for what, n in fleet.counts.items())}")
        self.figure(f"sitting leaders: {counts['kept']} led on, {counts['lost']} had lost their term's row,"
                    f" {counts['harmed']} ended by the test, {counts['late']} too late")
        self.figure_gaps(fleet, tenures, rounds)
        # Chance has its way with a few rounds; `make failover` has many.
        if self.count >= MANY_ROUNDS:
            self.assertGreater(counts["kept"], self.count / 3)
            self.assertGreater(counts["lost"], 0)


if __name__ == "__main__":
    main(at_once=2)
