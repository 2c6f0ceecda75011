#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The election on three nodes of a Galera cluster, while nodes die, are cut off and come back."""

import time

import galera
from case import SystemTest, main
from events import milliseconds, now
from mariadb import Maria
from mariadb import Session
from replica import LEASE_NS, until

# For who goes on at another node: the rest of the cluster takes more than a second to give a node up, and nobody can
# write until then.
LONGER_NS = 6_000_000_000
LONGER = {"lease": "6s", "renew": "600ms", "poll": "300ms", "timeout": "600ms"}
FENCED = 200
PRIVATE = False  # every node has a network of its own


class GaleraTest(SystemTest):
    """One cluster, whole at the begin of each test."""

    @classmethod
    def setUpClass(cls):
        directory = cls.class_directory()
        cls.cluster = galera.Cluster(directory, PRIVATE)
        cls.addClassCleanup(cls.cluster.stop)
        cls.cluster.start()

    def setUp(self):
        super().setUp()
        self.nodes = self.cluster.nodes
        self.database = "t" + str(time.monotonic_ns())
        self.nodes[0].sql(f"CREATE DATABASE {self.database}")
        self.stores = [Maria(node, self.database) for node in self.nodes]
        for store in self.stores:
            store.scope = self.stores[0]
            store.is_new = store is self.stores[0]
        self.replica("init", self.stores[0])
        self.stores[0].permit()

    def tearDown(self):
        try:
            super().tearDown()
        finally:
            for node in self.nodes:
                if node.process is None:
                    node.start()
                node.reunite()
            self.cluster.wait_whole()

    def everywhere(self, first):
        """Over TCP, to each of the nodes, one after the other from that one on."""
        nodes = self.nodes[first:] + self.nodes[:first]
        return self.stores[0].but(socket=None, tls="off", host=",".join(node.host for node in nodes))

    def spread(self, stores=None, **options):
        replicas = [self.replica(name, store, **options).start() for name, store in zip("abc", stores or self.stores)]
        clients = [self.client(replicas[0], "engine")]
        clients[0].wait("granted")
        clients += [self.client(replica, "engine") for replica in replicas[1:]]
        return replicas, clients

    def test_hand_over(self):
        """Daemons at three nodes hand a lease round: one leader at a time, a term more each time"""
        timing = {"poll": "50ms"}
        _, clients = self.spread(timing=timing)
        leader, times = clients[0], []
        for term in range(2, 32):
            marks = [client.mark() for client in clients]
            yielded_at = now()
            leader.reply("yield", leader.last("granted"), cooldown_ms=60)

            def next_one(marks=marks, term=term):
                found = [one for one, mark in zip(clients, marks) if one.find(is_grant(term), mark)]
                return found and found[0]

            leader = until(next_one, f"a leader with term {term}", every=0.001)
            times.append(leader.last("granted").at - yielded_at)
        self.figure_times("to another node's daemon, by its poll of 50 ms", times)

    def test_node_killed(self):
        """A node is killed: the leader at it goes on with its term at another, and no term ends"""
        replicas, clients = self.spread([self.everywhere(first) for first in (1, 2, 0)], timing=LONGER)
        for replica in replicas:
            replica.wait_log("incarnation")
        others = [replica.log.mark() for replica in replicas]
        killed_at, mark = now(), clients[0].mark()
        self.nodes[1].stop()
        moved = clients[0].wait("extended", after=mark, term=1)
        while moved.at < killed_at + LONGER_NS:
            moved = clients[0].wait("extended", after=clients[0].mark())
        self.assertEqual([event for client in clients for event in client.all("revoked")], [])
        for replica, mark in zip(replicas, others):
            self.assertFalse([line for line in replica.log.items[mark:] if "incarnation" in line], replica.log.items)
        self.nodes[1].start()
        self.cluster.wait_whole()
        self.hand_over_to(clients[0], clients[1:])

    def hand_over_to(self, leader, others):
        """Another one leads within a lease: the server is not in doubt."""
        term = leader.last("granted").number("term") + 1
        yielded_at = now()
        leader.reply("yield", leader.last("granted"), cooldown_ms=1000)
        event = until(lambda: next(filter(None, (one.find(is_grant(term)) for one in others)), None), "the next leader")
        self.assert_within(event.at - yielded_at, LONGER_NS // 2)
        return event

    def test_node_isolated(self):
        """A node is cut off: its daemon's term ends, the others elect, and when it is back so is its daemon"""
        replicas, clients = self.spread()
        cut_at = now()
        self.nodes[0].isolate()
        revoked = clients[0].wait("revoked")
        granted = until(lambda: clients[1].last("granted") or clients[2].last("granted"), "the next leader")
        self.assertEqual(granted.number("term"), 2)
        self.figure(f"cut off: revoked after {milliseconds(revoked.at - cut_at):.0f} ms,"
                    f" led at another node after {milliseconds(granted.at - cut_at):.0f} ms")
        self.assert_within(granted.at - cut_at, 2 * LEASE_NS)
        row = until(lambda: replicas[0].status()["store"] != "ok" and replicas[0].status(), "the node being left")
        self.assertIn(row["store"], ("unavailable", "unknown"), row)
        mark, back_at = replicas[0].log.mark(), now()
        self.nodes[0].reunite()
        until(lambda: replicas[0].status()["store"] == "ok", "the node being used again")
        self.figure(f"used again {milliseconds(now() - back_at):.0f} ms after it is connected")
        self.assertFalse([line for line in replicas[0].log.items[mark:] if "incarnation" in line])
        self.assertEqual(len(clients[0].all("granted")), 1)

    def test_isolated_node_left(self):
        """A daemon with several hosts leaves the node that is cut off at once, with its term"""
        replicas, clients = self.spread([self.everywhere(first) for first in (0, 1, 2)], timing=LONGER)
        self.nodes[0].isolate()
        until(lambda: self.nodes[0].state("wsrep_ready") == "OFF", "the node finding itself alone", every=0.02)
        found_at = now()
        extended = clients[0].wait("extended", after=clients[0].mark(), term=1)
        self.assert_within(extended.at - found_at, LONGER_NS // 2)
        took = milliseconds(extended.at - found_at)
        self.figure(f"extended at another node {took:.0f} ms after it knew itself alone")
        self.assertEqual([event for client in clients for event in client.all("revoked")], [])
        self.assertEqual(replicas[0].status()["store"], "ok")

    def test_bootstrapped_from_the_past(self):
        """Rules 3 and 5: a cluster that was told that it lost writes is not believed for a lease; terms leap"""
        replica = self.replica("a", self.stores[0]).start()
        leader = self.client(replica, "engine")
        leader.wait("granted", term=1)
        replica.stop()
        leader.close()
        self.nodes[0].sql("UPDATE tenure_store SET incarnation = ''", self.database)
        replica = self.replica("b", self.stores[1]).start()
        begun_at = now()
        granted = self.client(replica, "engine").wait("granted")
        self.assertGreater(granted.at - begun_at, LEASE_NS * 9 // 10)
        self.assertGreater(granted.number("term"), 10**15)

    def test_fence(self):
        """W6: a paused ex-leader's transaction at one node fails once its component is claimed at another"""
        replicas, clients = self.spread()
        worker, _ = self.workers()
        worker.ask("BEGIN; CALL tenure_fence('engine', 1); INSERT INTO work VALUES (1, 1)")
        self.assertEqual(worker.ask("COMMIT"), "")
        worker.ask("BEGIN; CALL tenure_fence('engine', 1); INSERT INTO work VALUES (2, 1)")
        killed_at = now()
        replicas[0].kill()
        granted = until(lambda: clients[1].last("granted") or clients[2].last("granted"), "the next leader")
        self.assert_within(granted.at - killed_at, LEASE_NS * 5 // 4)
        self.assertIn("1213", worker.ask("COMMIT"))
        self.assertIn("is over", worker.ask("BEGIN; CALL tenure_fence('engine', 1)"))
        self.assertEqual(self.nodes[1].sql("SELECT GROUP_CONCAT(id) FROM work", self.database), "1")

    def workers(self):
        """A table for work, and connections to two nodes."""
        self.nodes[0].sql("CREATE TABLE work (id INT PRIMARY KEY, term BIGINT) ENGINE = InnoDB", self.database)
        sessions = [Session(node, self.database) for node in self.nodes[:2]]
        for session in sessions:
            self.addCleanup(session.close)
        return sessions

    def test_fence_at_once(self):
        """W6: a fenced transaction and a claim, committed at two nodes at once: never both"""
        worker, claimer = self.workers()
        row = "INSERT INTO tenure_lease VALUES ('engine', UUID(), 'a', 1, 0, NOW(6), NOW(6))"
        newest = "SET wsrep_sync_wait = 15; SELECT 1 FROM tenure_lease; SET wsrep_sync_wait = 0"
        self.nodes[0].sql(row, self.database)
        counts, term = {"work": 0, "claim": 0}, 1
        for number in range(FENCED):
            worker.ask(newest)
            claimer.ask(newest)
            work = f"CALL tenure_fence('engine', {term}); INSERT INTO work VALUES ({number}, {term})"
            fenced = worker.ask(f"BEGIN; {work}")
            claimed = claimer.ask(f"BEGIN; UPDATE tenure_lease SET term = {term + 1} WHERE component = 'engine'")
            said = {worker: fenced, claimer: claimed}
            order = (worker, claimer) if number % 2 else (claimer, worker)
            for session in order:
                session.send("COMMIT")
                if number % 4 < 2:  # one after the other
                    said[session] += session.receive()
            for session in order if number % 4 >= 2 else ():
                said[session] += session.receive()
            worked, claimed = "ERROR" not in said[worker], "ERROR" not in said[claimer]
            self.assertNotEqual(worked, claimed, f"round {number}: {'both' if worked else 'neither'}")
            counts["work" if worked else "claim"] += 1
            term += claimed
        self.figure(f"{FENCED} rounds: {counts['work']} transactions of the worker, {counts['claim']} claims")
        self.assertGreater(min(counts.values()), 0)


def is_grant(term):
    return lambda event: event.word == "granted" and event.number("term") == term


if __name__ == "__main__":
    PRIVATE = galera.leave_network()
    main()
