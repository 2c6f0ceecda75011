#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Processes that stand still for longer than the lease, and what they do when they go on."""

import signal

import processes
from case import PostgresTest, main
from events import milliseconds, now
from replica import BUILD, LEASE_NS, until



class PausesTest(PostgresTest):
    def pair(self, **options):
        store = self.database()
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


if __name__ == "__main__":
    main(at_once=3)
