#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Round after round, and nothing is left behind (R5, R6, R10, R13, R15)."""

import os
import signal
import sqlite3
import subprocess
import threading

import processes
from case import PostgresTest, SystemTest, main
from events import Feed, milliseconds, now
from notify import Notify
from postgres import Proxy
from replica import TENURED, Memory, until

# A sanitizer's start takes as long as ten without.
CYCLES = 100 if os.environ.get("TENURE_MODE") == "asan" else 1000
FLAPS = 100
ROUNDS = 50
# What the allocator keeps and the kernel rounds.
GROWTH_KB = 400
# 1,000 of the smallest pieces that malloc hands out.
LEAST_LEAK_KB = 32


class CyclesTest(SystemTest):
    def cycle(self, replicas, count):
        """Starts and ends each of them `count` times, all at a time. The status of every end is 0."""
        notifiers = [Notify(replica.directory / "notify") for replica in replicas]
        for _ in range(count):
            daemons = [
                processes.spawn(
                    [TENURED, "-c", replica.config],
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env={**os.environ, **notify.environment},
                )
                for replica, notify in zip(replicas, notifiers)
            ]
            for daemon, notify in zip(daemons, notifiers):
                notify.wait_ready(10, lambda one=daemon: self.assertIsNone(one.poll()), keep=True)
                daemon.send_signal(signal.SIGTERM)
            for daemon in daemons:
                self.assertEqual(daemon.wait(10), 0)
        for notify in notifiers:
            notify.close()

    def files(self, replicas):
        return [sorted(path.name for path in replica.run_dir.iterdir()) for replica in replicas]

    def test_start_stop(self):
        """R10: many starts and stops, 1,000 or with a sanitizer 100: status 0, no file and no socket left"""
        replicas = [self.replica(f"r{number}", Memory()) for number in range(2)]
        self.cycle(replicas, 1)
        before = self.files(replicas)
        start = now()
        self.cycle(replicas, CYCLES // len(replicas))
        took = milliseconds(now() - start)
        self.assertEqual(self.files(replicas), before)
        self.assertEqual(before[0], ["lock", "terms"])
        self.figure(f"{took / CYCLES:.1f} ms each")

    def test_start_stop_sqlite(self):
        """R10: 100 starts and stops with a database: no session left in it, no lease held"""
        store = self.sqlite()
        replicas = [self.replica(name, store) for name in "ab"]
        self.cycle(replicas, 50)
        with sqlite3.connect(store.path) as database:
            self.assertEqual(database.execute("SELECT count(*) FROM tenure_session").fetchone(), (0,))
            held = database.execute("SELECT count(*) FROM tenure_lease WHERE session IS NOT NULL").fetchone()
            self.assertEqual(held, (0,))


class LeaksTest(PostgresTest):
    def assert_same(self, what, daemons, before, growth_kb=GROWTH_KB):
        """Descriptors and threads are what they were, memory nearly so."""

        def settled():
            return [(u.descriptors, u.threads) for u in (daemon.usage() for daemon in daemons)]

        wanted = [(usage.descriptors, usage.threads) for usage in before]
        try:
            until(lambda: settled() == wanted, "as before")
        except AssertionError:
            self.assertEqual(settled(), wanted, "descriptors and threads")
        growth = [daemon.usage().resident_kb - usage.resident_kb for daemon, usage in zip(daemons, before)]
        self.figure(f"{what}: {wanted[0][0]} descriptors, {wanted[0][1]} threads, {max(growth)} kB more")
        if os.environ.get("TENURE_MODE") not in ("asan", "tsan"):  # they keep what was freed, and see leaks themselves
            self.assertLess(max(growth), growth_kb)

    def backends(self, store):
        mine = "datname = current_database() AND usename = 'tenure'"
        return store.sql(f"SELECT count(*) FROM pg_stat_activity WHERE {mine}")

    def test_flaps(self):
        """R5, R6: 100 flaps of a component between two replicas: as many descriptors, threads, backends as before"""
        store = self.postgres()
        replicas = [self.replica(name, store).start() for name in "ab"]
        grants = Feed("all grants")

        def note(client, event):
            client.reply("started", event)
            grants.add((client, event))

        for replica in replicas:
            self.client(replica, "engine", react={"granted": note})

        def flap(first, count):
            for term in range(first, first + count):
                client, event = grants.wait_for(lambda grant, t=term: grant[1].number("term") == t, f"term {term}")
                client.reply("yield", event, cooldown_ms=100)

        flap(1, 20)
        grants.wait_for(lambda grant: grant[1].number("term") == 21, "term 21")
        before = [replica.usage() for replica in replicas]
        backends = self.backends(store)
        flap(21, FLAPS)
        grants.wait_for(lambda grant: grant[1].number("term") == FLAPS + 21, "the last term")
        self.assert_same(f"{FLAPS} flaps", replicas, before)
        self.assertEqual(self.backends(store), backends)
        self.assertEqual(store.sql("SELECT count(*) FROM tenure_session"), "2")
        self.assertEqual(store.sql("SELECT count(*), max(term) FROM tenure_lease"), f"1|{FLAPS + 21}")

    def test_lost_and_granted(self):
        """R13, R15: 50 times lost and acquired in one worker process: each begins and ends its work once"""
        store = self.postgres()
        timing = {"lease": "1s", "renew": "100ms", "poll": "50ms", "timeout": "200ms"}
        replica = self.replica("a", store, timing=timing, component={"stop_grace": "200ms"}).start()
        worker = self.worker(replica)
        worker.wait("granted")
        before = None
        for number in range(ROUNDS + 5):
            if number == 5:
                before = [replica.usage()], processes.usage(worker.pid)
            mark = worker.mark()
            store.sql("DELETE FROM tenure_session")
            worker.wait("revoked", after=mark, reason="lost")
            worker.wait("granted", after=mark)
        words = [event.word for event in worker.items if event.word in ("granted", "started", "revoked", "stopped")]
        self.assertEqual(words[:4] * (ROUNDS + 5), words[: 4 * (ROUNDS + 5)])
        self.assertEqual(words[:4], ["granted", "started", "revoked", "stopped"])
        self.assert_same(f"{ROUNDS} rounds", [replica], before[0])
        after = processes.usage(worker.pid)
        self.assertEqual((after.descriptors, after.threads), (before[1].descriptors, before[1].threads))

    def test_connections(self):
        """R10: 2,000 connections that ask, watch, join and go, and as many again: not a piece of memory for each"""
        replica = self.replica("a", self.postgres()).start()
        leader = self.client(replica, "engine")
        leader.wait("granted")

        def connect(count):
            for number in range(count):
                client = self.client(replica)
                self.feeds.pop()
                client.ask("hello version=1")
                client.ask("watch")
                if number % 2:
                    client.join("engine")
                client.close()

        connect(2000)
        before = [replica.usage()]
        connect(2000)
        self.assert_same("2,000 more connections", [replica], before, LEAST_LEAK_KB)

    def test_reconnects(self):
        """R10, R7: the database's connection cut 20 times: as many descriptors, threads and backends as before"""
        proxy = Proxy(self.server.port)
        self.addCleanup(proxy.close)
        store = self.postgres(port=proxy.port)
        replica = self.replica("a", store).start()
        leader = self.client(replica, "engine")
        leader.wait("granted")

        def cut(count):
            for _ in range(count):
                mark = leader.mark()
                proxy.cut()
                leader.wait("extended", after=mark)

        cut(5)
        leader.wait("extended", after=leader.mark())
        before = [replica.usage()]
        backends = self.backends(store)
        proxy.cut()
        cut(20)
        leader.wait("extended", after=leader.mark())
        self.assert_same("20 cuts", [replica], before)
        until(lambda: self.backends(store) == backends, "backends as before")
        self.assertEqual(leader.all("revoked"), [])

    def test_idle(self):
        """R10: an idle daemon sleeps"""
        replica = self.replica("a", self.postgres()).start()
        self.client(replica, "engine").wait("granted")
        before = replica.usage().cpu_s
        self.assertFalse(threading.Event().wait(3))
        spent = replica.usage().cpu_s - before
        self.figure(f"{spent / 3 * 100:.1f} % of a processor")
        self.assertLess(spent, 0.15)


if __name__ == "__main__":
    main()
