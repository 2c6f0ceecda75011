#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Groups on PostgreSQL and on MariaDB: components that lead on one replica or not at all (W19)."""

import signal

import processes
from case import PostgresTest, main
from replica import TENURECTL, until
from test_mariadb_scenarios import OnMariaDB

GROUP = ("discovery", "engine", "counter")


class GroupsTest(PostgresTest):
    def consoles(self, names="abc", components=GROUP, grace="100ms", **options):
        store = self.database()
        options |= {"components": components, "component": {"stop_grace": grace}}
        made = [self.replica(name, store, **options) for name in names]
        for replica in made:
            replica.each = {name: {"group": "console"} for name in GROUP}
            replica.write_config()
            replica.start()
        return store, made

    def clients(self, replica, **options):
        return [self.client(replica, name, **options) for name in GROUP]

    def lead(self, replica):
        clients = self.clients(replica)
        return clients, [client.wait("granted") for client in clients]

    def test_one_replica(self):
        """W19: a group is led where it is whole, in order, by one term, and moves as one when a worker is killed"""
        store, (first, second, third) = self.consoles()
        self.client(third, "engine")  # a part of the group is no candidate
        workers = [self.worker(first, name) for name in GROUP]
        granted = [worker.wait("granted") for worker in workers]
        self.assertEqual({event.number("term") for event in granted}, {1})
        self.assertEqual(granted, sorted(granted, key=lambda event: event.at), "they start in order")
        started = [worker.wait("started") for worker in workers]
        for before, after in zip(started, granted[1:]):
            self.assertLess(before.at, after.at)
        standbys = self.clients(second)
        killed_at = workers[1].kill()
        moved = [client.wait("granted", term=2) for client in standbys]
        stopped = [workers[index].wait("revoked", reason="worker-gone") for index in (2, 0)]
        self.assertLess(stopped[0].at, stopped[1].at, "they stop in reverse order")
        self.figure(f"the whole group leads elsewhere {(moved[2].at - killed_at) / 1e6:.1f} ms after SIGKILL of one")
        until(lambda: all(third.status(name)["leader"] == second.name for name in GROUP), "all see it")
        self.assertEqual(store.sql("SELECT component, term FROM tenure_lease").split(), self.row("console", 2))

    row = staticmethod(lambda name, term: [f"{name}|{term}"])

    def test_order(self):
        """W19: each is granted when the one before it has started, revoked when the one after it has stopped"""
        # Nobody is asked to stop because another did not within its grace.
        timing = {"lease": "20s", "renew": "500ms", "timeout": "500ms"}
        _, (first,) = self.consoles("a", grace="4s", timing=timing)
        clients = self.clients(first, start=False, stop=False)
        granted = []
        for client in clients:
            granted.append(client.wait("granted"))
            client.reply("started", granted[-1])
        self.assertEqual(first.ctl("resign", "engine").returncode, 0)
        for client, event in reversed(list(zip(clients, granted))):
            client.wait("revoked", reason="resigned")
            for other in clients[: clients.index(client)]:
                self.assertFalse([e for e in other.items if e.word == "revoked"])
            client.reply("stopped", event)

    def test_restart(self):
        """W19, S5: killed and started again, the group goes on, and is extended when all are back"""
        _, (first,) = self.consoles("a")
        workers = [self.worker(first, name) for name in GROUP]
        for worker in workers:
            worker.wait("started")
        first.kill()
        marks = [worker.mark() for worker in workers]
        first.start()
        for worker, mark in zip(workers, marks):
            worker.wait("extended", after=mark, term=1)
        self.assertFalse([event for worker in workers for event in worker.items if event.word == "revoked"])

    def test_fence(self):
        """W6: a fenced transaction names the group's lease, which the worker is told"""
        store, (first,) = self.consoles("a")
        out = self.directory / "lease"
        command = ["sh", "-c", f"echo $TENURE_LEASE $TENURE_TERM > {out}; exec sleep 100"]
        others = [self.client(first, name) for name in GROUP[1:]]
        run = self.run_ctl(first, "discovery", command)
        for client in others:
            client.wait("granted")
        until(lambda: out.exists() and out.read_text() == "console 1\n", "the command knows its lease")
        run.send_signal(signal.SIGTERM)
        run.wait(10)
        until(lambda: store.sql("SELECT session IS NULL FROM tenure_lease").strip() in ("t", "1"), "the release")

    def run_ctl(self, replica, component, command):
        run = processes.spawn([TENURECTL, "--socket", replica.socket, "run", component, "--", *command])
        self.addCleanup(run.wait)
        self.addCleanup(run.kill)
        return run

    def disagree(self, names):
        """The first of the two leads; the second, which has other groups, is kept out while the first one lives."""
        store, made = self.consoles(sorted(names))
        made[1].stop()
        made[1].each = {}
        made[1].write_config()
        first, second = made if made[0].name == names[0] else reversed(made)
        made[0].stop()
        first.start()
        leaders, _ = self.lead(first)
        second.start()
        others = self.clients(second)
        for client in others:
            client.scope = "other leases"  # whose terms are their own
        second.wait_log("warning disputed", f"by={first.name}")
        until(lambda: "another group" in second.status("engine")["message"], "status says so")
        for client in leaders:
            client.wait("extended", after=client.mark())
        for client in leaders:
            client.close()
        held = "SELECT count(*) FROM tenure_lease WHERE session IS NOT NULL"
        until(lambda: int(store.sql(held)) == 0, "all is released")
        self.assertFalse([event for client in others for event in client.all("granted")])
        first.stop()
        for client in others:
            client.wait("granted", timeout=15)
        second.wait_log("dispute-ended")

    def test_disagreement(self):
        """W19, W3: in a group on one replica and not on the other: who comes second leads nothing of it, and says so"""
        self.disagree("ab")

    def test_disagreement_reversed(self):
        """W19, W3: the same where the one without the group leads"""
        self.disagree("dc")

    def test_reload(self):
        """S4, W19: a component that leaves its group ends the term, the rest goes on; another group takes a restart"""
        _, (first,) = self.consoles("a")
        clients, granted = self.lead(first)
        first.components = GROUP[:2]
        first.write_config()
        first.signal(signal.SIGHUP)
        for client in clients:
            client.wait("revoked", reason="removed")
        for client in clients[:2]:
            client.wait("granted", term=granted[0].number("term") + 1)
        first.each["engine"] = {"group": "other"}
        first.write_config()
        self.assertIn("engine.group", first.ctl("reload").stderr)
        first.each["engine"] = {"group": "counter"}
        first.write_config()
        refused = first.ctl("reload")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("takes a restart", refused.stderr)


class MariaGroupsTest(OnMariaDB, GroupsTest):
    row = staticmethod(lambda name, term: [name, str(term)])


if __name__ == "__main__":
    main()
