#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What operators ask of three daemons, on PostgreSQL and on MariaDB: transfer, resign, pause, preference, history."""

import itertools
import json
import signal
import time

import processes
from case import PostgresTest, main
from events import milliseconds, now
from postgres import free_port
from replica import LEASE_NS, until
from test_mariadb_scenarios import OnMariaDB

# Each node after each other one.
WAYS = "bcacba"
QUICK = {"lease": "1s", "renew": "200ms", "poll": "100ms", "timeout": "200ms"}
POLL_AND_TIMEOUT_NS = LEASE_NS * 3 // 10


class OperatorsTest(PostgresTest):
    def fleet(self, names="abc", store=None, **options):
        self.store = store or self.database()
        return [self.replica(name, self.store, **options).start() for name in names]

    def offered(self, count, component="engine"):
        """So many sessions' rows say that they would lead the component."""
        sql = f"SELECT count(*) FROM tenure_offer WHERE offers LIKE '%{component}=%'"
        until(lambda: int(self.store.sql(sql)) == count, f"{count} sessions offer {component}")

    def workers(self, replicas, component="engine", **options):
        """A worker at each, the first of which leads."""
        clients = {replicas[0].name: self.client(replicas[0], component, **options)}
        clients[replicas[0].name].wait("granted")
        for replica in replicas[1:]:
            clients[replica.name] = self.client(replica, component, **options)
        self.offered(len(replicas), component)
        return clients

    def done(self, replica, *words):
        result = replica.ctl(*words)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""), words)

    def refused(self, replica, reason, *words):
        result = replica.ctl(*words)
        self.assertEqual((result.returncode, result.stdout), (1, ""), words)
        self.assertIn(reason, result.stderr)

    def history(self, replica, *words):
        result = replica.ctl("history", "-o", "json", *words)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return json.loads(result.stdout)["terms"]

    # ---- transfer ----

    def test_transfer(self):
        """S2: to a named node in every direction, asked anywhere: revoked once, and the next term is there"""
        replicas = self.fleet()
        clients = self.workers(replicas)
        leader, term = "a", 1
        for replica, target in itertools.product(replicas, WAYS):
            mark, told = clients[target].mark(), len(clients[leader].all("revoked"))
            self.done(replica, "transfer", "engine", target)
            granted = clients[target].wait("granted", after=mark)
            revoked = clients[leader].all("revoked")[told:]
            self.assertEqual([(e.number("term"), e.fields["reason"]) for e in revoked], [(term, "transferred")])
            self.assertGreater(granted.number("term"), term)
            leader, term = target, granted.number("term")
        ended = {past["reason"] for past in self.history(replicas[0])[1:]}
        self.assertEqual(ended, {"transferred"})

    def test_transfer_refused(self):
        """S2: to nobody, to a node without a worker, to the leader, of nothing: exit status 1 and the reason"""
        replicas = self.fleet(components=("engine", "counter"))
        clients = self.workers(replicas[:2])
        for replica in replicas:
            self.refused(replica, "zz is no live candidate", "transfer", "engine", "zz")
            self.refused(replica, "c is no live candidate", "transfer", "engine", "c")
            self.refused(replica, "a leads it already", "transfer", "engine", "a")
            self.refused(replica, "nobody leads it", "transfer", "counter", "a")
            self.refused(replica, "unknown-component", "transfer", "nosuch", "a")
        # A node that is dead for longer than a live one may be silent is none either: its session is there still.
        replicas[1].kill()
        clients["b"].close()
        longer = 4.5 * LEASE_NS / 1e9
        self.store.sql(
            f"UPDATE tenure_session SET renewed_at = renewed_at - INTERVAL '{longer:g}' SECOND WHERE node = 'b'"
        )
        self.refused(replicas[2], "b is no live candidate", "transfer", "engine", "b")
        clients["a"].wait("extended", after=clients["a"].mark())
        self.assertEqual(clients["a"].all("revoked"), [])

    def test_transfer_undone(self):
        """S2: a target that does not claim in time: another leads, the one that was asked to stop included"""
        replicas = self.fleet("ab")
        clients = self.workers(replicas)
        processes.freeze(replicas[1].pid)
        self.done(replicas[0], "transfer", "engine", "b")
        stopped = clients["a"].wait("revoked", reason="transferred")
        granted = clients["a"].wait("granted", term=2)
        took = granted.at - stopped.at
        self.figure(f"the target is silent: {milliseconds(took):.0f} ms without a leader")
        self.assertGreaterEqual(took, POLL_AND_TIMEOUT_NS)
        self.assert_within(took, POLL_AND_TIMEOUT_NS + 300_000_000, "the old leader leads again")
        processes.thaw(replicas[1].pid)
        clients["a"].wait("extended", after=clients["a"].mark())
        self.assertEqual(len(clients["b"].all("granted")), 0)

    # ---- resign ----

    def test_resign_elsewhere(self):
        """S2: resign, asked at a replica that only waits, and at one without a worker"""
        replicas = self.fleet()
        clients = self.workers(replicas[:2])
        self.done(replicas[2], "resign", "engine", "--cooldown", "1s")
        clients["a"].wait("revoked", term=1, reason="resigned")
        clients["b"].wait("granted", term=2)
        self.offered(2)  # its cool-down is over
        self.done(replicas[0], "resign", "engine")
        clients["b"].wait("revoked", term=2, reason="resigned")
        clients["a"].wait("granted", term=3)
        until(lambda: replicas[1].status()["reason"] == "resigned", "b's status says why")
        self.assertEqual(replicas[2].status()["reason"], "")

    # ---- pause ----

    def test_pause(self):
        """S2: leaders stay, a dead one has no successor until resume, all status says so, across restarts of all"""
        replicas = self.fleet(components=("engine", "counter"))
        clients = self.workers(replicas)
        counter = self.client(replicas[1], "counter")
        counter.wait("granted")
        self.done(replicas[1], "pause")
        for replica in replicas:
            until(lambda r=replica: r.status()["paused"] == "b", f"{replica.name} knows of the pause")
            replica.wait_log("warning paused", "through=b")
        self.refused(replicas[2], "paused through b", "transfer", "engine", "b")
        clients["a"].close()
        until(lambda: replicas[2].status()["leader"] == "", "nobody leads")
        marks = [counter.mark(), clients["b"].mark(), clients["c"].mark()]
        counter.wait("extended", after=marks[0], timeout=3)
        counter.wait("extended", after=counter.mark(), timeout=3)
        self.assertEqual([clients[name].all("granted") for name in "bc"], [[], []])
        # All daemons go and come back: it is the database that knows.
        for replica in replicas:
            replica.stop()
        for replica in replicas:
            replica.start()
        back = [self.client(replica, "engine") for replica in replicas]
        for replica in replicas:
            until(lambda r=replica: r.status()["paused"] == "b", f"{replica.name} knows of the pause")
        self.offered(3)
        time.sleep(0.5)  # some polls: there is no event of nothing
        self.assertEqual([client.all("granted") for client in back], [[], [], []])
        self.done(replicas[2], "resume")
        until(lambda: sum(len(client.all("granted")) for client in back) == 1, "one of them leads")
        for replica in replicas:
            until(lambda r=replica: r.status()["paused"] == "", f"{replica.name} knows of the end of the pause")

    # ---- preference ----

    def test_better_node(self):
        """S3: the better node gets the lease back by a clean transfer, once it has been there for prefer_after"""
        store = self.database()
        (worse,) = self.fleet("a", store, component={"prefer_after": "1s"})
        better = self.replica("b", store, component={"prefer_after": "1s", "priority": "10"}).start()
        leader = self.client(worse, "engine")
        leader.wait("granted")
        since = now()
        for term in (2, 4):
            mark = leader.mark()
            best = self.client(better, "engine")
            # It has to be seen renewing, which it does every third lease, by who looks once a lease.
            leader.wait("revoked", after=mark, reason="transferred")
            granted = best.wait("granted", term=term)
            self.assertGreater(granted.at - since, 1_000_000_000)
            stopped = leader.last("stopped")
            self.figure(
                f"the better node leads {milliseconds(granted.at - since):.0f} ms after its worker could join,"
                f" {milliseconds(granted.at - stopped.at):.1f} ms after the other's has stopped"
            )
            # The other leads after this, and may have for a while before it says so here.
            since = now()
            best.close()
            leader.wait("granted", term=term + 1)
        leader.wait("extended", after=leader.mark())

    def test_no_candidate(self):
        """S3: candidate = no never leads; reloaded it may, and a leader that is reloaded into one stops"""
        first, second = self.fleet("ab")
        second.each["engine"] = {"candidate": "no"}
        second.write_config()
        self.assertEqual(second.ctl("reload").returncode, 0)
        leader, observer = self.client(first, "engine"), self.client(second, "engine")
        leader.wait("granted")
        self.refused(first, "b is no live candidate", "transfer", "engine", "b")
        self.done(first, "resign", "engine", "--cooldown", "1s")
        leader.wait("granted", term=2)  # after its cool-down: nobody else
        self.assertEqual(second.status()["role"], "standby")
        self.assertEqual(observer.all("granted"), [])
        for replica, candidate in ((second, "yes"), (first, "no")):
            replica.each["engine"] = {"candidate": candidate}
            replica.write_config()
            replica.signal(signal.SIGHUP)
        leader.wait("revoked", term=2, reason="removed")
        observer.wait("granted", term=3)

    # ---- history and status ----

    def test_history(self):
        """S8: every term with its node, its times and why it ended; newest first, at any replica"""
        replicas = self.fleet()
        clients = self.workers(replicas)
        clients["a"].close()  # 1: worker-gone
        first = until(lambda: next((n for n in "bc" if clients[n].all("granted")), None), "b or c leads")
        other = "c" if first == "b" else "b"
        event = clients[first].last("granted")
        clients[first].reply("yield", event, cooldown_ms=1000)  # 2: yielded
        clients[other].wait("granted", term=3)
        self.offered(1)  # neither of who is gone nor of who stays away
        self.offered(2)
        self.done(replicas[0], "transfer", "engine", first)  # 3: transferred
        clients[first].wait("granted", term=4)
        self.done(replicas[0], "resign", "engine", "--cooldown", "1s")  # 4: resigned
        clients[other].wait("granted", term=5)
        self.offered(2)
        by_name = {replica.name: replica for replica in replicas}
        by_name[other].stop()  # 5: shutdown
        clients[first].wait("granted", term=6)
        by_name[first].kill()  # 6: lost
        clients[first].close()
        last = self.client(replicas[0], "engine")
        last.wait("granted", term=7)
        terms = self.history(replicas[0], "engine")
        self.assertEqual(
            [(past["term"], past["node"], past["reason"]) for past in terms],
            [
                (7, "a", None),
                (6, first, "lost"),
                (5, other, "shutdown"),
                (4, first, "resigned"),
                (3, other, "transferred"),
                (2, first, "yielded"),
                (1, "a", "worker-gone"),
            ],
        )
        self.assertIsNone(terms[0]["to_ms"])
        for newer, older in zip(terms, terms[1:]):
            self.assertLess(older["from_ms"], older["to_ms"])
            self.assertGreaterEqual(newer["from_ms"], older["to_ms"])
        self.assertLess(abs(terms[0]["from_ms"] / 1000 - time.time()), 60)
        text = replicas[0].ctl("history", "-n", "2").stdout.splitlines()
        self.assertEqual(len(text), 3)
        self.assertRegex(text[2], rf"^engine +6 +{first} +\S+Z +\S+Z +lost$")

    def test_candidates(self):
        """W20: the status of each replica tells of the candidates on the others, and when they were last seen"""
        replicas = self.fleet(timing=QUICK, component={"stop_grace": "200ms"})
        self.workers(replicas[:2])
        expected = {"a": {"b"}, "b": {"a"}, "c": {"a", "b"}}
        for replica in replicas:

            def seen(replica=replica):
                found = [one.rsplit(":", 2) for one in replica.status()["candidates"].split(",") if one]
                self.assertTrue(all(0 <= int(ms) < 20000 and priority == "0" for _, ms, priority in found), found)
                return {node for node, _, _ in found} == expected[replica.name]

            until(seen, f"{replica.name} sees {expected[replica.name]}")

    def test_store_away(self):
        """S2: where the database does not answer, that is said, and the daemon goes on"""
        self.fleet("a")
        cut_off = self.replica("z", self.store.through(free_port())).start()
        for words in (["pause"], ["history"], ["transfer", "engine", "a"], ["resign", "engine"]):
            self.refused(cut_off, "does not answer", *words)
        self.assertEqual(cut_off.status()["store"], "unavailable")


class MariaOperatorsTest(OnMariaDB, OperatorsTest):
    pass


if __name__ == "__main__":
    main(at_once=3)
