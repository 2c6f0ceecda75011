#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reload (S4): components come, change and go, and the others never notice."""

import os
import signal

from case import PostgresTest, main
from events import now
from replica import until

COMPONENTS = ("discovery", "engine")


class ReloadTest(PostgresTest):
    def start(self, **options):
        self.node = self.replica("a", self.postgres(), components=COMPONENTS, **options).start()
        self.others = [self.worker(self.node, name) for name in COMPONENTS]
        for other in self.others:
            other.wait("granted")
        return self.node

    def configure(self, *components, **changes):
        """Writes another configuration and has it reloaded; what the daemon says to that."""
        self.node.components = components
        self.node.component = {**self.node.component, **changes}
        self.node.write_config()
        return self.node.ask("reload")

    def assert_untouched(self, workers=None):
        """Two leases later they still lead, in their first term."""
        marks = [(worker, worker.mark()) for worker in workers or self.others]
        end = now() + 4_000_000_000
        until(lambda: now() > end, "two leases")
        for worker, mark in marks:
            worker.wait("extended", after=mark, term=1)
            self.assertEqual(len(worker.all("granted")), 1)
            self.assertEqual(worker.all("revoked") + worker.all("over"), [])

    def test_added(self):
        """S4: a component is added: it is elected within 200 ms of its worker's join, the others go on"""
        self.start()
        with self.assertRaises(AssertionError):
            self.client(self.node, "counter")
        watcher = self.client(self.node)
        watcher.ask("watch")
        answer = self.configure(*COMPONENTS, "counter")
        self.assertEqual((answer.word, answer.fields["added"]), ("ok", "1"))
        start = now()
        granted = self.client(self.node, "counter").wait("granted", term=1)
        self.assert_within(granted.at - start, 200_000_000)
        self.assertEqual(watcher.wait("leader", component="counter", node="a").number("term"), 1)
        self.assert_untouched()

    def test_no_slot_left(self):
        """W3: without a slot in the terms page nobody leads: the next daemon would release a term it cannot see"""
        self.start()
        more = [f"more-{i}" for i in range(300)]
        self.assertEqual(self.configure(*COMPONENTS, *more).word, "ok")
        self.assertEqual(self.node.ask(f"join component={more[0]}").word, "ok")
        refused = self.node.ask(f"join component={more[-1]}")
        self.assertEqual((refused.word, refused.fields.get("code")), ("error", "too-many"))
        self.assertIn("terms page", refused.fields["message"])
        self.assert_untouched()

    def test_removed_and_back(self):
        """S4, W12: a removed component is revoked, drained, released and left alone; it comes back with another term"""
        self.start()
        extra = self.configure(*COMPONENTS, "counter")
        self.assertEqual(extra.word, "ok")
        worker = self.client(self.node, "counter", stop=False)
        granted = worker.wait("granted")
        self.assertEqual(self.configure(*COMPONENTS).fields["removed"], "1")
        revoked = worker.wait("revoked", reason="removed", term=1)
        held = "SELECT count(*) FROM tenure_lease WHERE component = 'counter' AND session IS NOT NULL"
        self.assertIn("1", str(self.node.store.sql(held)))
        self.assertEqual(worker.reply("stopped", revoked) and self.node.ask("status component=counter").word, "error")
        until(lambda: "0" in str(self.node.store.sql(held)), "the release")
        self.assertEqual(self.node.ask("join component=counter").fields["code"], "unknown-component")
        self.assert_untouched()
        mark = worker.mark()
        self.assertEqual(self.configure(*COMPONENTS, "counter").fields["added"], "1")
        worker.wait("granted", after=mark, term=2)
        self.assertGreater(granted.number("deadline"), 0)

    def test_changed(self):
        """S4: timings change under a leader; the log level does as well"""
        self.start(tenure={"log_level": "info"})
        self.node.tenure["log_level"] = "debug"
        answer = self.configure(*COMPONENTS, cooldown="5s", stop_grace="300ms")
        self.assertEqual(answer.fields["changed"], "2")
        self.assertEqual(answer.fields["restart"], "")
        self.node.wait_log("reloaded", "changed=2")
        grown = self.configure(*COMPONENTS, "counter")
        self.assertEqual(grown.fields["changed"], "0")
        worker = self.client(self.node, "counter")
        self.assertEqual(worker.wait("granted").number("grace_ms"), 300)
        self.assert_untouched()

    def test_broken(self):
        """S4, R3: a broken file is refused whole; every fault is in the log and with who asked"""
        self.start()
        self.node.components = ("other",)
        self.node.write_config()
        with open(self.node.config, "a", encoding="utf-8") as config:
            config.write("bad = 1\ncooldown = 7\n")
        result = self.node.ctl("reload")
        self.assertEqual(result.returncode, 1)
        self.assertIn("bad: unknown key", result.stderr)
        self.node.wait_log("reload-refused", "cooldown")
        self.assertEqual(self.node.ask("status component=other").fields["code"], "unknown-component")
        os.unlink(self.node.config)
        self.node.signal(signal.SIGHUP)
        self.node.wait_log("reload-refused", "No such file")
        self.assert_untouched()

    def test_restart_needed(self):
        """S4: what takes a restart is named and not applied, the rest is"""
        self.start()
        self.node.tenure["node"] = "elsewhere"
        self.node.timing["lease"] = "14s"
        self.node.components = (*COMPONENTS, "counter")
        self.node.write_config()
        result = self.node.ctl("reload")
        self.assertEqual((result.returncode, result.stdout), (0, "components: 1 added, 0 removed, 0 changed\n"))
        self.assertIn("node,lease", result.stderr)
        self.node.wait_log("takes_a_restart", "node,lease")
        self.assertEqual(self.node.ask("hello").fields["node"], "a")
        self.client(self.node, "counter").wait("granted")
        self.assert_untouched()

    def test_signal(self):
        """S4: SIGHUP reloads"""
        self.start()
        self.node.components = (*COMPONENTS, "counter")
        self.node.write_config()
        self.node.signal(signal.SIGHUP)
        self.node.wait_log("reloaded", "added=1")
        self.client(self.node, "counter").wait("granted")

    def test_restart_after_reload(self):
        """S4, S5: a planned restart after components came and went: the rest is resumed"""
        self.start()
        self.configure("engine", "counter")
        counter = self.worker(self.node, "counter")
        counter.wait("extended")  # from here on it has nothing to say that could be lost
        until(lambda: self.others[0].all("revoked"), "discovery's revocation")
        marks = [worker.mark() for worker in (self.others[1], counter)]
        self.node.expected_to_live = False
        self.node.signal(signal.SIGUSR1)
        self.assertEqual(self.node.wait_exit(), 0)
        self.node.start()
        for worker, mark in zip((self.others[1], counter), marks):
            worker.wait("extended", after=mark, term=1)
        self.assert_untouched((self.others[1], counter))


if __name__ == "__main__":
    main()
