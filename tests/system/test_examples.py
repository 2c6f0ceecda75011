#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The workers of src/examples on SQLite, PostgreSQL and MariaDB: discovery, engine and counter."""

import os
import pathlib
import shutil
import unittest

import processes
from case import PostgresTest, SystemTest, main
from replica import until
from test_mariadb_scenarios import OnMariaDB
from trio import COMPONENTS, Console, Trio

TERMS = 50
QUEUED = int(pathlib.Path("/proc/sys/fs/inotify/max_queued_events").read_text())


class Examples:
    def console(self, names="ab", group="console"):
        """Replicas, a trio each, and what they work on."""
        store = self.database()
        times = {"cooldown": "100ms", "stop_grace": "100ms"}
        made = [self.replica(name, store, components=COMPONENTS, component=times) for name in names]
        for replica in made:
            replica.each = {name: {"group": group} for name in COMPONENTS} if group else {}
            replica.write_config()
            replica.start()
        self.work = Console(self.directory, store)
        self.put(self.work.services, **{f"web-{n}": f"10.0.0.{n}:80" for n in range(5)})
        self.put(self.work.runtimes, **{"web-1": "running", "web-2": "failed"})
        return made

    def trio(self, replica, **options):
        trio = Trio(replica, self.work, **options)
        self.logs += trio.logs.values()
        self.addCleanup(trio.kill)
        return trio

    @staticmethod
    def put(directory, **files):
        for name, text in files.items():
            (directory / name).write_text(text + "\n")

    def until_equal(self, what):
        until(self.work.equal, f"tables and directories are equal {what}", every=0.02)

    def test_group(self):
        """R13, R15, W19: as a group: tables follow the directories, counts follow the tables, a standby says so"""
        first, second = self.console()
        leading = self.trio(first)
        leading.wait("counter", "started", 1)
        waiting = self.trio(second)
        self.assertTrue(self.work.equal())
        self.assertEqual(leading.answer(), "term=1 instances=5 runtimes=2")
        until(lambda: second.status("counter")["worker"] == "joined", "it waits")
        self.assertEqual(waiting.answer(), "standby")
        self.put(self.work.services, **{"db-1": "10.0.1.1:5432", "web-1": "10.0.9.9:80"})
        self.put(self.work.runtimes, **{"web-2": "running", "db-1": "starting", "it's-1": "running"})
        (self.work.services / "web-3").unlink()
        (self.work.services / "web-4").rename(self.work.services / "web-9")
        leading.until_counts("instances=5 runtimes=4")
        self.until_equal("in the first term")
        leading.processes["engine"].kill()
        waiting.wait("counter", "started", 2)
        self.until_equal("in the second term")
        self.assertEqual(self.work.terms(), {2}, "every row is of the new term")
        self.assertEqual(waiting.answer(), "term=2 " + self.work.counts())
        self.assertEqual(leading.answer(), "standby")
        leading.processes.pop("engine").wait()
        self.assertEqual(leading.stop() + waiting.stop(), [0] * 5)

    def test_apart(self):
        """R17: a lease each: the counter counts also where others are the discovery and the engine"""
        first, second = self.console(group=None)
        near = self.trio(first, components=("discovery",))
        far = self.trio(second, components=("engine", "counter"))
        near.wait("discovery", "started")
        far.wait("counter", "started")
        far.until_counts("instances=5 runtimes=2")
        self.put(self.work.services, **{"db-1": "10.0.1.1:5432"})
        far.until_counts("instances=6 runtimes=2")
        self.until_equal("apart")

    def test_not_yet_accepted(self):
        """R13: a change that the discovery finds together with its new subscriber is counted"""
        (replica,) = self.console("a", group=None)
        trio = self.trio(replica, components=("discovery", "engine"))
        for name in ("discovery", "engine"):
            trio.wait(name, "started")
        for name in ("discovery", "engine"):
            processes.freeze(trio.processes[name].pid)
        counter = self.trio(replica, components=("counter",))
        counter.wait("counter", "started")
        counter.until_counts("instances=5 runtimes=2")
        self.put(self.work.services, **{"db-1": "10.0.1.1:5432"})
        self.put(self.work.runtimes, **{"db-1": "running"})
        for name in ("discovery", "engine"):
            processes.thaw(trio.processes[name].pid)
        counter.until_counts("instances=6 runtimes=3")

    def descriptors(self, trio, mark):
        """Once the counter has heard a change from both others: their subscriptions are there on both sides."""
        trio.until_counts(self.work.counts())
        self.put(self.work.services, **{f"mark-{mark}": "10.2.0.1:80"})
        self.put(self.work.runtimes, **{f"mark-{mark}": "running"})
        trio.until_counts(self.work.counts())
        return trio.descriptors()

    def terms(self, group, resigned):
        """50 terms of each in one process: what is open in the first is what is open in the last."""
        (replica,) = self.console("a", group=group)
        trio = self.trio(replica)
        for term in range(1, TERMS + 1):
            for name in COMPONENTS:
                trio.wait(name, "started", term)
            trio.until_counts(self.work.counts())
            if term == 1:
                before = self.descriptors(trio, 1)
            self.put(self.work.services, **{f"term-{term % 7}": f"10.1.0.{term}:80"})
            for name in resigned:
                result = replica.ctl("resign", name, "--cooldown", "1ms")
                self.assertEqual(result.returncode, 0, result.stderr)
        for name in COMPONENTS:
            trio.wait(name, "started", TERMS + 1)
        self.assertEqual(self.descriptors(trio, 2), before)
        self.until_equal("after all terms")
        for name in COMPONENTS:
            words = [line.split()[1] for line in trio.logs[name].items]
            self.assertEqual(words, ["started", "stopped"] * TERMS + ["started"], name)

    def test_terms(self):
        """R13, R15: 50 terms in one process: no watch, subscription or descriptor is left of them"""
        self.terms("console", ["engine"])

    def test_terms_apart(self):
        """R13, R15: the same with a lease each: subscribers outlive those they follow, and find them again"""
        self.terms(None, COMPONENTS)

    def test_failed_start(self):
        """W15: a start that fails yields, whichever it is, and another replica leads; work that fails does so, too"""
        first, second = self.console()
        for name in COMPONENTS:
            mark = first.log.mark()
            broken = self.trio(first, broken=name)
            broken.wait(name, "yielded")
            first.wait_log("reason=yield", after=mark)
            broken.kill()
        broken = self.trio(first, broken="discovery")
        broken.wait("discovery", "yielded")
        trio = self.trio(second)
        trio.wait("counter", "started")
        trio.until_counts("instances=5 runtimes=2")
        broken.kill()
        shutil.rmtree(self.work.services)
        trio.wait("discovery", "yielded")
        self.work.services.mkdir()
        trio.wait("counter", "started", after=trio.logs["counter"].mark())
        trio.until_counts("instances=0 runtimes=2")

    def test_names(self):
        """R13: files whose names no table or no line could hold are left out, and disturb nobody"""
        (replica,) = self.console("a")
        trio = self.trio(replica)
        trio.wait("counter", "started", 1)
        for name in ("Web-1", "web-1 ", "n" * 255, "a\nput b", "\u00e9-1"):
            self.put(self.work.services, **{name: "10.0.0.8:80"})
        self.put(self.work.services, **{"last-1": "10.0.0.9:80"})
        trio.until_counts("instances=6 runtimes=2")
        names = {row[0] for row in self.work.execute("SELECT name FROM instances")}
        self.assertEqual(names, {"last-1", *(f"web-{n}" for n in range(5))})
        self.assertEqual(self.work.terms(), {1})

    def test_overflow(self):
        """R13: more changes than the kernel keeps: everything is listed again, in the same term"""
        (replica,) = self.console("a")
        trio = self.trio(replica)
        trio.wait("counter", "started", 1)
        discovery = trio.processes["discovery"].pid
        processes.freeze(discovery)
        for _ in range(QUEUED // 2 + 1):
            for name in ("web-1", "web-2"):
                os.close(os.open(self.work.services / name, os.O_WRONLY))
        self.put(self.work.services, late="10.0.0.7:80")
        processes.thaw(discovery)
        self.until_equal("after an overflow")
        trio.until_counts("instances=6 runtimes=2")
        self.assertEqual(self.work.terms(), {1})


class SqliteExamples(Examples, SystemTest):
    database = SystemTest.sqlite


class PostgresExamples(Examples, PostgresTest):
    pass


@unittest.skipUnless(shutil.which("mariadbd"), "no MariaDB is installed")
class MariaExamples(OnMariaDB, Examples, PostgresTest):
    pass


if __name__ == "__main__":
    main(at_once=2)
