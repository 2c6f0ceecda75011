#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The daemon dies under its leaders and comes back (S5), or does not (W1)."""

import os
import struct

from case import PostgresTest, main
from events import milliseconds, now
from replica import LEASE_NS, until

COMPONENTS = ("discovery", "engine", "counter")
# Where things are on the terms page; see src/wire/page.h.
BOOT_ID_AT = 24
HEADER_SIZE = 512
SLOT_DEADLINE_AT = 16


class ResumeTest(PostgresTest):
    def lead(self, components=COMPONENTS):
        """Replica a leads all, with worker processes; b waits."""
        store = self.database()
        first = self.replica("a", store, components=components).start()
        leaders = [self.worker(first, name) for name in components]
        for leader in leaders:
            leader.wait("granted")
        second = self.replica("b", store, components=components).start()
        standbys = [self.worker(second, name).wait_joined() for name in components]
        for leader in leaders:
            leader.wait("extended")
        # Freshly: what follows reads the deadline and kills the daemon long before the next renewal.
        leaders[0].wait("extended", after=leaders[0].mark())
        return store, first, leaders, standbys

    def test_killed_and_restarted(self):
        """S5: SIGKILL under three leaders and a restart: no revocation, no new term, the same session"""
        store, replica, leaders, standbys = self.lead()
        session = replica.ask("hello").fields["session"]
        before = store.sql("SELECT id FROM tenure_session WHERE node = 'a'")
        times = []
        for _ in range(3):
            marks = [leader.mark() for leader in leaders]
            replica.kill()
            replica.start()
            for leader, mark in zip(leaders, marks):
                # One that the killed daemon sent may still be on its way: it counts from the new connection.
                again = leader.wait("join", after=mark, term=1)
                extended = leader.wait("extended", after=leader.items.index(again), term=1)
                times.append(extended.at - replica.started_at)
            for name in COMPONENTS:
                row = replica.status(name)
                self.assertEqual((row["role"], row["term"], row["worker"]), ("leader", "1", "working"))
        end = now() + LEASE_NS
        until(lambda: now() > end, "a whole lease more")
        for leader, standby in zip(leaders, standbys):
            self.assertEqual(len(leader.all("granted")), 1)
            self.assertEqual(leader.all("revoked") + leader.all("over") + standby.all("granted"), [])
        self.assertEqual(replica.ask("hello").fields["session"], session)
        self.assertEqual(store.sql("SELECT id FROM tenure_session WHERE node = 'a'"), before)
        self.figure_times("start of the daemon to extended", times)

    def test_worker_dies_meanwhile(self):
        """S5: the worker died while the daemon was away: the term is not extended, and another leads after it"""
        _, replica, leaders, standbys = self.lead(("engine",))
        replica.kill()
        leaders[0].kill()
        deadline = replica.page_deadline()
        replica.start()
        replica.wait_log("resumed", "engine")
        granted = standbys[0].wait("granted")
        self.assertGreaterEqual(granted.at, deadline)
        self.assert_within(granted.at - deadline, 150_000_000)

    def test_killed_for_good(self):
        """W1, W14: the daemon does not come back: its worker stops by the deadline, another leads then"""
        _, replica, leaders, standbys = self.lead(("engine",))
        replica.kill()
        over = leaders[0].wait("over")
        deadline = leaders[0].last("extended").number("deadline")
        late = over.at - deadline
        self.assertGreater(late, -20_000_000)
        self.assert_within(late, 20_000_000)
        granted = standbys[0].wait("granted")
        self.assertGreaterEqual(granted.at, deadline)
        self.figure(f"worker stopped {milliseconds(late):.1f} ms, next granted"
                    f" {milliseconds(granted.at - deadline):.1f} ms after the deadline")

    def refused(self, spoil, *words):
        """Kills the daemon, spoils something, starts it again: nothing is resumed, and the log says why."""
        store, replica, leaders, standbys = self.lead(("engine",))
        session = replica.ask("hello").fields["session"]
        deadline = leaders[0].last("extended").number("deadline")
        mark = leaders[0].mark()
        replica.kill()
        spoil(replica, store)
        replica.start()
        replica.wait_log(*words)
        self.assertEqual([line for line in replica.log.items if "session-resumed" in line], [])
        # Its worker's term is over; another one begins when every clock says so.
        leaders[0].wait("over")
        granted = until(lambda: leaders[0].all("granted", mark) + standbys[0].all("granted"), "the next term")[0]
        self.assertGreaterEqual(granted.at, deadline)
        self.assertNotEqual(replica.ask("hello").fields["session"], session)

    @staticmethod
    def write(replica, offset, data):
        with open(replica.run_dir / "terms", "r+b") as page:
            page.seek(offset)
            page.write(data)

    def test_refused_other_boot(self):
        """S5: a page of another boot is not resumed from"""
        self.refused(lambda replica, _: self.write(replica, BOOT_ID_AT, b"0" * 8), "terms-page", "boot")

    def test_refused_corrupt_header(self):
        """S5: a page that is something else is not resumed from"""
        self.refused(lambda replica, _: self.write(replica, 0, b"garbage!"), "terms-page")

    def test_refused_truncated(self):
        """S5: a page that was cut off is not resumed from"""
        self.refused(lambda replica, _: os.truncate(replica.run_dir / "terms", 700), "terms-page")

    def test_refused_implausible_deadline(self):
        """S5: a deadline that no lease can have is not resumed"""
        far = struct.pack("<q", 1 << 62)
        self.refused(
            lambda replica, _: self.write(replica, HEADER_SIZE + SLOT_DEADLINE_AT, far), "not-resumed", "engine"
        )

    def test_refused_other_node(self):
        """S5: the page of a node of another name is not resumed from"""

        def rename(replica, _):
            replica.tenure["node"] = "c"
            replica.write_config()

        self.refused(rename, "not-resumed", "it was node a")

    def test_refused_other_lease(self):
        """S5: with another lease in the configuration nothing is resumed"""

        def change(replica, _):
            replica.timing["lease"] = "7s"
            replica.write_config()

        self.refused(change, "not-resumed", f"its lease was {LEASE_NS // 1_000_000} ms")

    def test_lapsed(self):
        """S5, W4: the daemon comes back after the lease: nothing is resumed, the other replica leads on"""
        _, replica, leaders, standbys = self.lead(("engine",))
        replica.kill()
        standbys[0].wait("granted", term=2)
        replica.start()
        replica.wait_log("not-resumed")
        mark = leaders[0].mark()
        leaders[0].wait("join", after=mark - 3)
        until(lambda: replica.status()["leader"] == "b", "b leads")
        self.assertEqual(leaders[0].all("granted", mark), [])

    def test_session_killed_meanwhile(self):
        """S5, W10: the session was killed while the daemon was away: its worker is told at once"""
        # Nobody else may claim: a session that is deleted before its lease is over frees what its worker still holds.
        store = self.database()
        replica = self.replica("a", store).start()
        leader = self.worker(replica)
        leader.wait("extended")
        mark = leader.mark()
        replica.kill()
        store.sql("DELETE FROM tenure_session WHERE node = 'a'")
        replica.start()
        replica.wait_log("session-resumed")
        # What comes first: an answer to its join, or its own look at the terms page.
        words = ("revoked", "error", "over")
        lost = leader.wait_for(lambda event: event.word in words, "end of its term", after=mark)
        self.assert_within(lost.at - replica.started_at, LEASE_NS // 2)
        self.figure(f"told {milliseconds(lost.at - replica.started_at):.0f} ms after the daemon's start: {lost.word}")

    def test_shutdown_meanwhile_revoked(self):
        """S5, W12: killed in the middle of an orderly end: the revoked term stays revoked, its deadline frozen"""
        store = self.database()
        replica = self.replica("a", store).start()
        leader = self.client(replica, "engine", stop=False)
        leader.wait("granted")
        replica.terminate()
        revoked = leader.wait("revoked")
        replica.kill()
        replica.start()
        back = self.client(replica, stop=False)
        leader.dead_at = now()  # from here on it is the same worker on another connection
        self.assertEqual(back.ask("join component=engine term=1").word, "ok")
        again = back.wait("revoked")
        self.assertEqual(again.number("deadline"), revoked.number("deadline"))
        back.reply("stopped", again)
        granted = back.wait("granted")
        self.assertEqual(granted.number("term"), 2)


if __name__ == "__main__":
    main(at_once=4)
