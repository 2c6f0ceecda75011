#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The daemon's main job in a few seconds: SQLite, real daemons, workers that come, go and come back."""

import signal

from case import SystemTest, main
from events import now
from replica import until

SOON_NS = 1_000_000_000  # long before the end of a lease


class SmokeTest(SystemTest):
    def pair(self):
        """A replica that leads with its worker, and one that waits."""
        store = self.sqlite()
        replicas = [self.replica(name, store).start() for name in "ab"]
        leading = self.client(replicas[0], "engine")
        leading.wait("granted")
        waiting = self.client(replicas[1], "engine")
        until(lambda: replicas[1].status()["leader"] == "a", "b sees a lead")
        return replicas, leading, waiting

    def test_worker_gone(self):
        """W14: the worker's connection ends, the other replica's worker leads"""
        _, leading, waiting = self.pair()
        gone_at = now()
        leading.close()
        granted = waiting.wait("granted")
        self.assertEqual(granted.number("term"), 2)
        self.assert_within(granted.at - gone_at, SOON_NS)

    def test_local_standby(self):
        """A second worker of the same daemon waits, and takes the seat of the first"""
        replica = self.replica("a").start()
        first = self.client(replica, "engine")
        first.wait("granted", term=1)
        second = self.client(replica, "engine")
        self.assertEqual(replica.status()["workers"], "2")
        gone_at = now()
        first.close()
        self.assert_within(second.wait("granted").at - gone_at, SOON_NS)
        self.assertEqual(replica.status()["workers"], "1")

    def test_orderly_end(self):
        """W12: SIGTERM: revoked, and released only once the worker has said stopped"""
        replicas, _, waiting = self.pair()
        slow = self.feeds[0]
        slow.stop = False
        replicas[0].terminate()
        revoked = slow.wait("revoked", reason="shutdown")
        self.assertIsNone(waiting.find(lambda event: event.word == "granted"))
        self.assertEqual(replicas[0].status()["role"], "draining")
        said = slow.reply("stopped", revoked)
        self.assertEqual(slow.answer_to(said).word, "ok")
        granted = waiting.wait("granted")
        self.assertLess(slow.last("stopped").at, granted.at)
        self.assert_within(granted.at - slow.last("stopped").at, SOON_NS)
        self.assertEqual(replicas[0].wait_exit(), 0)

    def test_silent_worker(self):
        """W12: a worker that does not answer revoked: no release before its frozen deadline"""
        replicas, leading, waiting = self.pair()
        leading.stop = False
        replicas[0].terminate()
        deadline = leading.wait("revoked").number("deadline")
        self.assertGreaterEqual(waiting.wait("granted").at, deadline)
        self.assertEqual(replicas[0].wait_exit(), 0)

    def test_resume(self):
        """S5: the daemon is killed and comes back: the term goes on, its worker comes back with it"""
        replicas, leading, waiting = self.pair()
        session = replicas[0].ask("hello").fields["session"]
        replicas[0].kill()
        replicas[0].start()
        self.assertEqual(replicas[0].ask("hello").fields["session"], session)
        self.assertEqual(replicas[0].status()["worker"], "away")
        answer = replicas[0].ask("join component=engine term=7")
        self.assertEqual((answer.word, answer.fields.get("code")), ("error", "stale"))
        back = self.client(replicas[0]).join("engine", term=1)
        self.assertEqual(replicas[0].status()["worker"], "working")
        extended = back.wait("extended", term=1)
        back.wait("extended", term=1, after=back.items.index(extended) + 1)
        self.assertGreater(extended.number("deadline"), leading.last("granted").number("deadline"))
        self.assertIsNone(back.find(lambda event: event.word in ("granted", "revoked")))
        self.assertIsNone(waiting.find(lambda event: event.word == "granted"))

    def test_resume_without_worker(self):
        """A resumed term whose worker does not come back is over by its deadline, and the next worker is served"""
        replicas, leading, _ = self.pair()
        deadline = max(event.number("deadline") for event in leading.all("granted") + leading.all("extended"))
        replicas[0].kill()
        replicas[0].start()
        later = self.client(replicas[0], "engine")
        self.assertEqual(replicas[0].status()["worker"], "away")
        until(lambda: replicas[0].status()["worker"] not in ("away", "away-revoked"), "the seat is vacant again")
        self.assertGreaterEqual(now(), deadline)
        self.assertIsNone(later.find(lambda event: event.word == "revoked"))

    def test_removed_while_away(self):
        """S5: a component that went from the file under a dead daemon is revoked and released, the others go on"""
        store = self.sqlite()
        replica = self.replica("a", store, components=("engine", "counter")).start()
        self.client(replica, "counter").wait("granted")
        self.client(replica, "engine").wait("granted")
        waiting = self.client(self.replica("b", store).start(), "engine")
        replica.kill()
        replica.components = ("counter",)
        replica.write_config()
        deadline = replica.page_deadline(0)
        replica.start()
        replica.wait_log("removed", "component=engine")
        counter = self.client(replica)
        counter.join("counter", term=1)
        counter.wait("extended", term=1)
        self.assertEqual(waiting.wait("granted").number("term"), 2)
        self.assertGreaterEqual(now(), deadline)
        self.assertEqual([row.fields["component"] for row in replica.ask("status").rows], ["counter"])
        self.assertEqual(counter.all("revoked"), [])

    def test_hangup(self):
        """SIGHUP does no harm"""
        replica = self.replica("a").start()
        client = self.client(replica, "engine")
        client.wait("granted")
        replica.signal(signal.SIGHUP)
        client.wait("extended", after=client.mark())
        self.assertEqual(client.all("revoked"), [])


if __name__ == "__main__":
    main()
