#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Processes that stand still for longer than the lease, and what they do when they go on."""

import signal

import processes
from case import PostgresTest, main
from events import milliseconds, now
from replica import BUILD, until

LEASE_NS = 2_000_000_000


class PausesTest(PostgresTest):
    def pair(self, **options):
        store = self.postgres()
        return store, [self.replica(name, store, **options).start() for name in "ab"]

    def test_library_check_after_pause(self):
        """W7, W3: daemon and worker stopped beyond the lease: the worker's first check after it says no"""
        _, (first, second) = self.pair()
        leader = self.worker(first, command=[BUILD / "tests/system/library_worker"])
        leader.wait("valid", term=1)
        standby = self.worker(second).wait_joined()
        deadline = int(first.ask("check component=engine").fields["deadline"])
        processes.freeze(leader.pid)
        processes.freeze(first.pid)
        granted = standby.wait("granted")
        self.assertGreaterEqual(granted.at, deadline)
        mark = leader.mark()
        processes.thaw(leader.pid)  # the daemon still stands: nobody tells it
        woken_at = now()
        over = leader.wait("over", after=mark)
        self.assertEqual(leader.items[mark].word, "over", "the first thing that it finds")
        self.figure(f"over {milliseconds(over.at - woken_at):.1f} ms after it was woken")
        processes.thaw(first.pid)
        leader.wait("stopped", after=mark)
        until(lambda: first.status()["leader"] == "b", "b leads")

    def test_worker_paused_alone(self):
        """W7: only the worker stands still, its daemon lives: the term goes on, and it is right to say yes"""
        _, (first, _) = self.pair()
        leader = self.worker(first, command=[BUILD / "tests/system/library_worker"])
        leader.wait("valid", term=1)
        processes.freeze(leader.pid)
        end = now() + LEASE_NS * 3 // 2
        until(lambda: now() > end, "more than a lease")
        mark = leader.mark()
        processes.thaw(leader.pid)
        self.assertEqual(leader.wait_for(lambda event: True, "a check", after=mark).word, "valid")
        self.assertEqual(first.status()["term"], "1")

    def test_check_command_after_pause(self):
        """W7: tenurectl check: yes while it is so, and never yes past the deadline, whatever the daemon does"""
        _, (first, _) = self.pair()
        leader = self.client(first, "engine")
        leader.wait("granted")
        self.assertEqual(first.ctl("check", "engine", "-q").returncode, 0)
        first.signal(signal.SIGSTOP)
        deadline = max(event.number("deadline") for event in leader.all("granted") + leader.all("extended"))
        until(lambda: now() > deadline + 50_000_000, "the deadline")
        self.assertIn(first.ctl("check", "engine", "-q").returncode, (1, 3))
        first.signal(signal.SIGCONT)

    def test_frozen_replica(self):
        """W3, W7: daemon and worker stopped beyond the lease and woken together: told, and never two leaders"""
        _, (first, second) = self.pair()
        leader = self.worker(first)
        leader.wait("granted")
        standby = self.worker(second).wait_joined()
        leader.wait("extended")
        for replica, frozen, other in ((first, leader, standby), (second, standby, leader)):
            mark = other.mark()
            processes.freeze(frozen.pid)
            processes.freeze(replica.pid)
            granted = other.wait("granted", after=mark)
            mark = frozen.mark()
            processes.thaw(replica.pid)
            processes.thaw(frozen.pid)
            woken_at = now()
            told = frozen.wait("revoked", after=mark, term=granted.number("term") - 1)
            self.figure(f"revoked {milliseconds(told.at - woken_at):.1f} ms after it was woken")
            frozen.wait("stopped", after=mark)
            until(lambda one=replica, term=granted.fields["term"]: one.status()["term"] == term, "the new leader seen")
            other.wait("extended", after=other.mark())

    def test_frozen_daemon(self):
        """W1, W3: only the daemon stands still: its worker stops by the deadline, another leads, no overlap"""
        _, (first, second) = self.pair()
        leader = self.worker(first)
        leader.wait("granted")
        standby = self.worker(second).wait_joined()
        leader.wait("extended")
        processes.freeze(first.pid)
        granted = standby.wait("granted")
        over = leader.wait("over")
        self.assertLessEqual(over.at, granted.at)
        processes.thaw(first.pid)
        leader.wait("revoked", term=1)

    def test_fence(self):
        """W6: the late write of a paused ex-leader is rejected, the leader's is not"""
        store, (first, second) = self.pair()
        store.sql("CREATE TABLE work (term bigint); GRANT INSERT ON work TO tenure")
        leader = self.worker(first)
        leader.wait("granted")
        standby = self.worker(second).wait_joined()

        def write(term):
            return f"BEGIN; SELECT tenure_fence('engine', {term}); INSERT INTO work VALUES ({term}); COMMIT;"

        store.sql(write(1), user="tenure")
        late = self.server.session(store.database, "tenure")
        self.addCleanup(late.close)
        late.ask("SELECT 1")
        processes.freeze(leader.pid)
        processes.freeze(first.pid)
        standby.wait("granted", term=2)
        store.sql(write(2), user="tenure")
        answer = late.ask(write(1).rstrip(";"))
        self.assertIn("ERROR", answer)
        self.assertIn("engine", answer)
        self.assertEqual(store.sql("SELECT term FROM work ORDER BY term").split(), ["1", "2"])
        processes.thaw(first.pid)
        processes.thaw(leader.pid)
        self.figure(f"told: {answer.splitlines()[0] if answer else ''}")

    def test_fence_open_transaction(self):
        """W6, rule 14, R14: no claim passes an open fenced transaction; other components are not held up"""
        store, (first, second) = self.pair(components=("engine", "counter"))
        leaders = [self.worker(first, name) for name in ("engine", "counter")]
        for leader in leaders:
            leader.wait("granted")
        standbys = [self.worker(second, name).wait_joined() for name in ("engine", "counter")]
        writer = self.server.session(store.database, "tenure")
        self.addCleanup(writer.close)
        writer.ask("BEGIN")
        self.assertNotIn("ERROR", writer.ask("SELECT tenure_fence('engine', 1)"))
        killed_at = leaders[0].kill()
        leaders[1].kill()
        counter = standbys[1].wait("granted")
        self.assert_within(counter.at - killed_at, 200_000_000)
        standbys[1].wait("extended", after=standbys[1].mark())
        standbys[1].wait("extended", after=standbys[1].mark())
        self.assertEqual(standbys[0].all("granted"), [])
        committed_at = now()
        writer.ask("COMMIT")
        late = standbys[0].wait("granted").at - committed_at
        self.assert_within(late, 500_000_000)
        self.figure(f"engine granted {milliseconds(late):.1f} ms after the commit, counter did not wait")


if __name__ == "__main__":
    main(at_once=3)
