#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The database hangs, is cut off or loses the session: who is told what, by when."""

import threading

from case import PostgresTest, main
from events import milliseconds, now
from postgres import Proxy
from replica import LEASE_NS, TIMEOUT_NS, Client, until

RENEW_NS = 400_000_000
GRACE_NS = 400_000_000
LOOP_NS = 100_000_000


class Prober:
    """Asks for the status all the time and remembers how long each answer took."""

    def __init__(self, replica):
        self.client = Client(replica.socket, f"prober of {replica.name}")
        self.times = []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.stopping.wait(0.02):
            start = now()
            self.client.ask("status")
            self.times.append(now() - start)

    def stop(self):
        self.stopping.set()
        self.thread.join()
        self.client.close()
        return self.times


class OutageTest(PostgresTest):
    def lead(self, replicas):
        """A worker at each; the first one leads."""
        leader = self.worker(replicas[0])
        leader.wait("granted")
        return [leader] + [self.worker(replica).wait_joined() for replica in replicas[1:]]

    def hold_between_renewals(self, proxy, leader):
        """A renewal whose answer alone is swallowed counts in the database: the standby waits a lease from there."""
        while True:
            extended = leader.wait("extended", after=leader.mark())
            proxy.hold()
            if now() - extended.at < RENEW_NS // 2:
                return
            proxy.release()

    def assert_probes(self, probers):
        times = self.figure_times("status meanwhile", [time for prober in probers for time in prober.stop()])
        self.assert_within(int(times[-1] * 1e6), LOOP_NS)

    def test_short_freeze(self):
        """W9: the server stands still for 3 s of a 10 s lease: nothing revoked, no new term"""
        server = self.make_server().start()
        store = self.database(server=server)
        timing = {"lease": "10s", "renew": "2s", "poll": "1s", "timeout": "1s"}
        replicas = [self.replica(name, store, timing=timing, component={"stop_grace": "2s"}).start() for name in "ab"]
        leader, standby = self.lead(replicas)
        leader.wait("extended")
        probers = [Prober(replica) for replica in replicas]
        self.assertFalse(threading.Event().wait(1))
        server.freeze()  # with a renewal and its whole timeout in it
        self.assertFalse(threading.Event().wait(3))
        server.thaw()
        mark = leader.mark()
        leader.wait("extended", after=mark)
        self.assert_probes(probers)
        replicas[0].wait_log("store", "outcome=unknown")
        self.assertEqual(leader.all("revoked") + standby.all("granted"), [])
        self.assertEqual(store.sql("SELECT term FROM tenure_lease WHERE component = 'engine'"), "1")

    def test_long_freeze(self):
        """W8, W9: the server stands still beyond the lease: revoked at deadline - stop_grace, the loop answers on"""
        server = self.make_server().start()
        store = self.database(server=server)
        replicas = [self.replica(name, store).start() for name in "ab"]
        leader, standby = self.lead(replicas)
        leader.wait("extended")
        probers = [Prober(replica) for replica in replicas]
        server.freeze()
        revoked = leader.wait("revoked")
        due = revoked.number("deadline") - GRACE_NS
        self.assertEqual(revoked.fields["reason"], "expiring")
        self.assertGreaterEqual(revoked.at, due)
        self.assert_within(revoked.at - due, GRACE_NS // 4)
        self.figure(f"revoked {milliseconds(revoked.at - due):.1f} ms after deadline - stop_grace")
        # Long past the lease; the status says why.
        until(lambda: now() > revoked.number("deadline") + LEASE_NS / 2, "the end of the lease")
        row = replicas[1].status()
        self.assertEqual(row["role"], "standby")
        self.assertNotEqual(row["store"], "ok")
        self.assertIn("timeout", row["error"])
        marks = [leader.mark(), standby.mark()]
        server.thaw()
        thawed_at = now()
        until(lambda: leader.all("granted", marks[0]) or standby.all("granted", marks[1]), "the next leader")
        self.figure(f"next leader {milliseconds(now() - thawed_at):.0f} ms after the server goes on")
        self.assert_probes(probers)

    def test_black_hole(self):
        """W8, W3: traffic swallowed, nothing closed: revoked in time, another leads, and what was held comes late"""
        proxy = Proxy(self.server.port)
        self.addCleanup(proxy.close)
        store = self.database()
        standing_by = self.replica("b", store).start()
        replicas = [self.replica("a", store.through(proxy.port)).start(), standing_by]
        leader, standby = self.lead(replicas)
        prober = Prober(replicas[0])
        self.hold_between_renewals(proxy, leader)
        revoked = leader.wait("revoked")
        due = revoked.number("deadline") - GRACE_NS
        self.assert_within(revoked.at - due, GRACE_NS // 4)
        granted = standby.wait("granted")
        late = granted.at - revoked.number("deadline")
        self.assertGreaterEqual(late, 0)
        self.assert_within(late, 150_000_000)
        self.assert_probes([prober])
        mark = leader.mark()
        proxy.release()
        until(lambda: replicas[0].status()["store"] == "ok", "the store through the proxy again")
        row = until(lambda: replicas[0].status()["leader"] == "b" and replicas[0].status(), "b seen by a")
        self.assertEqual((row["role"], row["term"]), ("standby", "2"))
        standby.wait("extended", after=standby.mark())
        self.assertEqual(leader.all("granted", mark), [])
        self.figure(f"granted {milliseconds(late):.1f} ms after the deadline")

    def test_short_black_hole(self):
        """W9: one exchange swallowed: nothing revoked, the next renewal extends"""
        proxy = Proxy(self.server.port)
        self.addCleanup(proxy.close)
        replica = self.replica("a", self.database(port=proxy.port)).start()
        leader = self.lead([replica])[0]
        leader.wait("extended")
        mark = replica.log.mark()
        proxy.hold()
        replica.wait_log("store", "outcome=unknown", after=mark)
        proxy.release()
        mark = leader.mark()
        leader.wait("extended", after=mark)
        self.assertEqual(leader.all("revoked"), [])

    def test_connection_reset(self):
        """W9, R7: connections cut: a warning, connected again, nothing revoked"""
        proxy = Proxy(self.server.port)
        self.addCleanup(proxy.close)
        replica = self.replica("a", self.database(port=proxy.port)).start()
        leader = self.lead([replica])[0]
        for _ in range(5):
            leader.wait("extended", after=leader.mark())
            proxy.cut()
        leader.wait("extended", after=leader.mark())
        self.assertEqual(leader.all("revoked"), [])

    def test_server_restart(self):
        """W9, W4, rule 9: the server restarts under a leader: the term goes on; then nobody new for a lease"""
        server = self.make_server().start()
        store = self.database(server=server)
        # Far more than a start of the server takes on a busy machine.
        timing = {"lease": "6s", "renew": "600ms", "poll": "300ms", "timeout": "600ms"}
        replicas = [self.replica(name, store, timing=timing).start() for name in "ab"]
        leader, standby = self.lead(replicas)
        leader.wait("extended", after=leader.mark())
        server.stop()
        server.start()
        restarted_at = now()
        leader.wait("extended", after=leader.mark())
        self.assertEqual(leader.all("revoked"), [])
        # Its worker gone, the lease is free at once, but the server is not believed yet (rule 3).
        leader.kill()
        granted = standby.wait("granted")
        self.assertGreater(granted.at - restarted_at, 3_000_000_000)
        self.assertGreater(granted.number("term"), 1_500_000_000, "the first term of a new incarnation (rule 5)")

    def test_session_killed(self):
        """W10: the session is deleted: revoked with the next renewal, as lost, and a new term under a new session"""
        store = self.database()
        replica = self.replica("a", store).start()
        leader = self.lead([replica])[0]
        leader.wait("extended")
        store.sql("DELETE FROM tenure_session")
        deleted_at = now()
        revoked = leader.wait("revoked")
        self.assertEqual(revoked.fields["reason"], "lost")
        self.assertLessEqual(revoked.number("deadline"), revoked.at)
        self.assert_within(revoked.at - deleted_at, RENEW_NS + LOOP_NS)
        granted = leader.wait("granted", after=leader.items.index(revoked))
        self.assertEqual(granted.number("term"), 2)
        self.figure(f"granted again {milliseconds(granted.at - revoked.at):.1f} ms after revoked")


if __name__ == "__main__":
    main(at_once=3)
