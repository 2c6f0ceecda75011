#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a worker may do and has to expect: yields, stalls, slow ends, standbys, other components."""

import threading

from case import PostgresTest, main
from events import milliseconds, now
from postgres import Proxy
from replica import LEASE_NS, until

RENEW_NS = 400_000_000
MOMENT_NS = 200_000_000
HEARTBEAT_NS = 1_000_000_000


class SeatTest(PostgresTest):
    def pair(self, **options):
        store = self.postgres()
        return store, [self.replica(name, store, **options).start() for name in "ab"]

    def lead(self, replicas, component="engine", **options):
        """A client at each; the first one leads."""
        leader = self.client(replicas[0], component, **options)
        leader.wait("granted")
        return [leader] + [self.client(replica, component, **options) for replica in replicas[1:]]

    def test_yield_moves(self):
        """W15: a worker yields with a cool-down: the other replica leads, and this one not before its cool-down"""
        _, replicas = self.pair()
        leader, standby = self.lead(replicas)
        yielded_at = now()
        leader.reply("yield", leader.last("granted"), cooldown_ms=1000, reason="no%20database")
        granted = standby.wait("granted")
        self.assert_within(granted.at - yielded_at, MOMENT_NS)
        replicas[0].wait_log("yield", "no database")
        standby.reply("yield", granted, cooldown_ms=5000)
        back = leader.wait("granted", after=leader.items.index(leader.last("yield")))
        self.assertGreaterEqual(back.at - yielded_at, 1_000_000_000)
        self.assert_within(back.at - yielded_at, 1_000_000_000 + MOMENT_NS)

    def test_yield_alone(self):
        """W15: with nobody else there, it leads again after the cool-down"""
        store = self.postgres()
        replica = self.replica("a", store).start()
        leader = self.lead([replica])[0]
        yielded_at = now()
        leader.reply("yield", leader.last("granted"), cooldown_ms=700)
        again = leader.wait("granted", term=2)
        self.assertGreaterEqual(again.at - yielded_at, 700_000_000)
        self.assert_within(again.at - yielded_at, 700_000_000 + MOMENT_NS)

    def test_never_started(self):
        """W16: no started within start_timeout: revoked as stalled, the other replica gets its chance"""
        _, replicas = self.pair(component={"start_timeout": "500ms"})
        joined_at = now()
        leader = self.client(replicas[0], "engine", start=False)
        granted = leader.wait("granted")
        standby = self.client(replicas[1], "engine")
        revoked = leader.wait("revoked")
        self.assertEqual(revoked.fields["reason"], "stalled")
        self.assertGreaterEqual(revoked.at - joined_at, 500_000_000)
        self.assert_within(revoked.at - granted.at, 500_000_000 + MOMENT_NS)
        self.assert_within(standby.wait("granted").at - revoked.at, MOMENT_NS)

    def test_heartbeats_end(self):
        """W16: a worker that promised heartbeats and stops sending them is revoked as stalled; before that it is not"""
        _, replicas = self.pair()
        leader = self.client(replicas[0]).join("engine", heartbeat_ms=HEARTBEAT_NS // 1_000_000)
        granted = leader.wait("granted")
        standby = self.client(replicas[1], "engine")
        pause = threading.Event()
        while now() < granted.at + 3 * HEARTBEAT_NS:
            pause.wait(0.1)
            last_at = now()
            leader.reply("alive", granted)
        self.assertEqual(leader.all("revoked"), [])
        revoked = leader.wait("revoked")
        self.assertEqual(revoked.fields["reason"], "stalled")
        self.figure(f"revoked {milliseconds(revoked.at - last_at - HEARTBEAT_NS):.1f} ms after a heartbeat was due")
        self.assertGreaterEqual(revoked.at - last_at, HEARTBEAT_NS)
        self.assert_within(revoked.at - last_at, HEARTBEAT_NS + MOMENT_NS)
        self.assert_within(standby.wait("granted").at - revoked.at, MOMENT_NS)

    def test_silent_worker_frozen_deadline(self):
        """W12, W16: a stalled worker that does not even stop: no release before its frozen deadline"""
        _, replicas = self.pair()
        leader = self.client(replicas[0], stop=False).join("engine", heartbeat_ms=200)
        leader.wait("granted")
        standby = self.client(replicas[1], "engine")
        revoked = leader.wait("revoked")
        granted = standby.wait("granted")
        self.assertGreaterEqual(granted.at, revoked.number("deadline"))
        self.assert_within(granted.at - revoked.number("deadline"), MOMENT_NS)
        # It keeps its seat, and gets nothing, until it says that it stopped.
        row = until(lambda: (row := replicas[0].status())["role"] == "standby" and row, "the release heard of")
        self.assertEqual(row["worker"], "overdue")
        leader.reply("stopped", revoked)
        until(lambda: replicas[0].status()["worker"] == "joined", "its seat")

    def test_slow_stop_delays_nobody(self):
        """W17, R14: one worker takes its time to stop, the other components are handed over at once"""
        _, replicas = self.pair(components=("engine", "counter", "discovery"))
        slow, _ = self.lead(replicas, "engine", stop=False)
        counters = self.lead(replicas, "counter")
        discoveries = self.lead(replicas, "discovery")
        ended_at = now()
        replicas[0].terminate()
        for _, standby in (counters, discoveries):
            granted = standby.wait("granted")
            self.assert_within(granted.at - ended_at, MOMENT_NS)
        revoked = slow.wait("revoked")
        extended = counters[1].wait("extended", after=counters[1].mark())
        self.assert_within(extended.at - granted.at, RENEW_NS + MOMENT_NS)
        self.assertIsNone(replicas[0].process.poll(), "it waits for the slow one")
        slow.reply("stopped", revoked)
        self.assertEqual(replicas[0].wait_exit(), 0)

    def test_slow_start_delays_nobody(self):
        """W17: one worker takes its time to start, renewals and other components go on"""
        component = {"start_timeout": "60s"}
        replica = self.replica("a", self.postgres(), components=("engine", "counter"), component=component).start()
        slow = self.client(replica, "engine", start=False)
        quick = self.client(replica, "counter")
        slow.wait("granted")
        quick.wait("granted")
        for client in (slow, quick):
            times = [client.wait("extended", after=client.mark()).at for _ in range(4)]
            for one, other in zip(times, times[1:]):
                self.assert_within(other - one, RENEW_NS + MOMENT_NS)
        self.assertEqual(replica.status("engine")["worker"], "starting")
        self.assertEqual(replica.status("counter")["worker"], "working")

    def test_local_standbys(self):
        """A second and a third worker of one daemon wait in order, and take over when the one before is gone"""
        replica = self.replica("a", self.postgres()).start()
        workers = [self.client(replica, "engine", name=name) for name in ("first", "second", "third")]
        workers[0].wait("granted")
        times = []
        for term, (one, other) in enumerate(zip(workers, workers[1:]), 2):
            self.assertEqual(other.all("granted"), [])
            gone_at = now()
            one.close()
            granted = other.wait("granted")
            self.assertEqual(granted.number("term"), term)
            times.append(granted.at - gone_at)
        self.figure_times("connection's end to granted", times)
        self.assert_within(max(times), 50_000_000)

    def test_leave_and_join(self):
        """W15: leave implies stopped: the lease is free at once, also for the same worker joining again"""
        _, replicas = self.pair()
        leader, standby = self.lead(replicas)
        left_at = now()
        self.assertEqual(leader.ask("leave component=engine").word, "ok")
        self.assert_within(standby.wait("granted").at - left_at, MOMENT_NS)
        leader.join("engine")
        standby.ask("leave component=engine")
        leader.wait("granted", term=3)

    def test_late_release(self):
        """W13: a release that comes after the next term began frees nothing"""
        proxy = Proxy(self.server.port)
        self.addCleanup(proxy.close)
        store = self.postgres()
        second = self.replica("b", store)
        first = self.replica("a", store.through(proxy.port)).start()
        second.start()
        leader, standby = self.lead([first, second])
        leader.wait("extended")
        proxy.hold()
        leader.close()  # its release is on the way, and stays there
        first.wait_log("from=leading to=releasing")
        granted = standby.wait("granted", term=2)
        proxy.release()
        until(lambda: first.status()["store"] == "ok" and first.status()["leader"] == "b", "a is back")
        for _ in range(3):
            standby.wait("extended", after=standby.mark())
        self.assertEqual(standby.all("revoked"), [])
        row = store.sql("SELECT term, session IS NOT NULL FROM tenure_lease WHERE component = 'engine'")
        self.assertEqual(row, f"{granted.number('term')}|t")

    def test_late_release_of_the_same_session(self):
        """W13, rule 12: the same where the next term is the same session's, over another connection"""
        proxy = Proxy(self.server.port)
        self.addCleanup(proxy.close)
        store = self.postgres(port=proxy.port)
        replica = self.replica("a", store).start()
        leader = self.lead([replica])[0]
        leader.wait("extended")
        proxy.hold_present()
        leader.reply("yield", leader.last("granted"), cooldown_ms=0)
        leader.wait("granted", term=2)
        late = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'tenure'"
        backends = int(store.sql(late))
        proxy.release()
        until(lambda: int(store.sql(late)) < backends, "the old connection carried out and ended")
        for _ in range(3):
            leader.wait("extended", after=leader.mark())
        self.assertEqual(leader.all("revoked"), [])
        row = store.sql("SELECT term, session IS NOT NULL FROM tenure_lease WHERE component = 'engine'")
        self.assertEqual(row, "2|t")

    def test_locked_row_delays_its_component_only(self):
        """R14, rule 14: a locked row costs its component a leader, and no other, and no renewal"""
        store = self.postgres()
        replica = self.replica("a", store, components=("engine", "counter")).start()
        engine = self.lead([replica], "engine")[0]
        locker = self.server.session(store.database)
        self.addCleanup(locker.close)
        locker.ask("BEGIN")
        locker.ask("SELECT * FROM tenure_lease WHERE component = 'engine' FOR UPDATE")
        engine.wait("extended", after=engine.mark())
        engine.wait("extended", after=engine.mark())
        engine.reply("yield", engine.last("granted"), cooldown_ms=0)
        counter = self.client(replica, "counter")
        joined_at = now()
        self.assert_within(counter.wait("granted").at - joined_at, MOMENT_NS)
        counter.wait("extended", after=counter.mark())
        self.assertEqual(len(engine.all("granted")), 1)
        unlocked_at = now()
        locker.ask("ROLLBACK")
        again = engine.wait("granted", term=2)
        self.figure(f"granted {milliseconds(again.at - unlocked_at):.1f} ms after the row was unlocked")
        self.assert_within(again.at - unlocked_at, MOMENT_NS + RENEW_NS)

    def test_same_node_name(self):
        """W21: two daemons that call themselves the same are still two: one leads"""
        store = self.postgres()
        replicas = [self.replica(name, store, tenure={"node": "same"}).start() for name in "ab"]
        leader, standby = self.lead(replicas)
        leader.wait("extended", after=leader.mark())
        self.assertEqual(standby.all("granted"), [])
        self.assertNotEqual(*[replica.ask("hello").fields["session"] for replica in replicas])
        leader.close()
        standby.wait("granted", term=2)

    def test_words_of_the_past(self):
        """W13, W2: what is said about a term that is over is answered stale and changes nothing"""
        leader = self.lead([self.replica("a", self.postgres()).start()])[0]
        first = leader.last("granted")
        leader.reply("yield", first, cooldown_ms=0)
        second = leader.wait("granted", term=2)
        for word in ("started", "stopped", "alive", "yield"):
            answer = leader.answer_to(leader.reply(word, first))
            self.assertEqual((answer.word, answer.fields.get("code")), ("error", "stale"), word)
        leader.wait("extended", after=leader.mark(), term=second.fields["term"])


if __name__ == "__main__":
    main(at_once=4)
