# SPDX-License-Identifier: Apache-2.0
"""The base of all system tests: a directory, replicas and workers that end with the test, and figures to print."""

import concurrent.futures
import faulthandler
import os
import pathlib
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
import unittest

import processes
from events import Stalls, check_tenures, milliseconds, now
from postgres import PostgreSQL
from replica import Client, Postgres, Replica, Sqlite, Worker

TEST_SECONDS = 120
STALLS = Stalls()


class SystemTest(unittest.TestCase):
    """After every test: no two workers led at once, terms grew, and each daemon left ends with status 0."""

    seconds = TEST_SECONDS  # that a test may take
    patience = 1  # times what a test allows: for tests that run beside others
    server = None  # a PostgreSQL, where the class wants one for all its tests: see with_postgresql

    @staticmethod
    def make_directory():
        directory = pathlib.Path(tempfile.mkdtemp(prefix="t-", dir=os.environ.get("TENURE_TEST_SHARED")))
        directory.chmod(0o755)
        return directory

    @classmethod
    def class_directory(cls):
        """For what all tests of the class have."""
        directory = cls.make_directory()
        cls.addClassCleanup(shutil.rmtree, directory, True)
        return directory

    def setUp(self):
        self.directory = self.make_directory()
        self.figures = []
        self.replicas = []
        self.feeds = []
        self.begun_at = now()
        self.logs = []  # what to show of a failed test, besides the replicas' logs

    def tearDown(self):
        try:
            for feed in self.feeds:
                feed.close()
            self.end_daemons()
            check_tenures(self.feeds)
        finally:
            for replica in self.replicas:
                if replica.process and replica.process.poll() is None:
                    replica.kill()
            shutil.rmtree(self.directory, ignore_errors=True)

    def end_daemons(self):
        """Also finds the daemon that died by itself, and what a sanitizer has to say at the end."""
        expected = [replica for replica in self.replicas if replica.expected_to_live]
        for replica in expected:
            self.assertIsNone(replica.process.poll(), f"{replica.name} ended by itself: {replica.log.items[-20:]}")
            replica.signal(signal.SIGCONT)
            replica.terminate()
        for replica in expected:
            tail = "\n".join(replica.log.items[-30:])
            self.assertEqual(replica.wait_exit(), 0, f"the end of {replica.name}:\n{tail}")

    def figure(self, text):
        """A measured number, printed below the test's line."""
        self.figures.append(text)

    def figure_times(self, what, times_ns):
        """Median, 99th percentile and largest of some times, which are returned in milliseconds."""
        times = sorted(milliseconds(t) for t in times_ns)
        p99 = times[min(len(times) - 1, int(len(times) * 0.99))]
        self.figure(
            f"{what}: median {statistics.median(times):.1f} ms, p99 {p99:.1f} ms, largest {times[-1]:.1f} ms"
            f" of {len(times)}"
        )
        return times

    def assert_within(self, took_ns, limit_ns, what="too late"):
        """It took less than the limit; on a machine that is busy, not longer beyond that than everything took on it."""
        self.assertTrue(STALLS.seeing.is_set(), "nothing watches the machine")
        late_ns, times = STALLS.longest(self.begun_at), STALLS.slowest(self.begun_at)
        most_ns = limit_ns * self.patience * times + late_ns
        took, limit, late = (milliseconds(ns) for ns in (took_ns, limit_ns, late_ns))
        text = f"{what}: {took:.1f} ms of {limit:.1f} ms; the machine: {late:.1f} ms late, {times:.1f} times slower"
        self.assertLess(took_ns, most_ns, text)

    # What a test is made of.

    def replica(self, name="a", store=None, init=None, **options):
        """A replica that is not started; the first one of a store creates the schema."""
        store = store or self.sqlite()
        replica = Replica(self.directory / name, store, **options)
        self.replicas.append(replica)
        if init is None:
            init = store.is_new
        if init:
            replica.init()
            store.is_new = False
        return replica

    def sqlite(self):
        return Sqlite(self.directory / "tenure.db")

    def postgres(self, port=None, server=None):
        """A database of this test's own."""
        server = server or self.server
        name = "t" + str(time.monotonic_ns())
        server.create(name)
        return Postgres(server, name, port)

    def database(self, **options):
        """The same on whatever the class's server is: tests that use it run on other databases as well."""
        return self.postgres(**options)

    def make_server(self, name="pg", **options):
        """A PostgreSQL of this test's own; not started."""
        server = PostgreSQL(self.directory / name, **options)
        self.addCleanup(server.stop, signal.SIGQUIT)
        return server

    def client(self, replica, component=None, name=None, **options):
        """A worker in this process, joined where a component is named."""
        client = Client(replica.socket, name or f"client at {replica.name}", **options)
        client.scope = replica.store.scope
        self.feeds.append(client)
        return client.join(component) if component else client

    def worker(self, replica, component="engine", name=None, **options):
        worker = Worker(replica.socket, name or f"worker at {replica.name}", component, **options)
        worker.scope = replica.store.scope
        self.feeds.append(worker)
        return worker

    def tenures(self):
        return check_tenures(self.feeds)


class PostgresTest(SystemTest):
    """With one server for all tests of the class."""

    settings = {}

    @classmethod
    def setUpClass(cls):
        directory = cls.class_directory()
        cls.server = PostgreSQL(directory / "pg", **cls.settings)
        cls.addClassCleanup(cls.server.stop, signal.SIGQUIT)
        cls.server.start()


def allowed_s(test):
    return getattr(test, "seconds", TEST_SECONDS)


class Result(unittest.TestResult):
    """A line a test, with what it measured. Tests may run at once: each keeps its own time and text."""

    def __init__(self):
        super().__init__()
        self.lock = threading.RLock()
        self.running = {}

    def startTest(self, test):
        with self.lock:
            super().startTest(test)
            self.running[test] = time.monotonic()

    def show(self, word, test, *more):
        whole = getattr(test, "test_case", test)
        took = time.monotonic() - self.running.get(whole, time.monotonic())
        text = str(test) if whole is not test else test.shortDescription() or str(test)
        print(f"  {word:<7}{took:6.1f} s  {text}", *more, sep="\n", flush=True)

    def stopTest(self, test):
        with self.lock:
            super().stopTest(test)
            self.running.pop(test, None)

    @staticmethod
    def figures(test):
        return [f"                   {figure}" for figure in getattr(test, "figures", [])]

    def addSuccess(self, test):
        with self.lock:
            super().addSuccess(test)
            self.show("ok", test, *self.figures(test))

    def addSkip(self, test, reason):
        with self.lock:
            super().addSkip(test, reason)
            self.show("skipped", test, f"                   {reason}")

    def show_failure(self, test, error):
        whole = getattr(test, "test_case", test)
        more = [self._exc_info_to_string(error, test)]
        for log in [replica.log for replica in getattr(whole, "replicas", [])[-4:]] + getattr(whole, "logs", []):
            more += [f"---- the end of the {log.name}:"] + [f"  {line}" for line in log.items[-25:]]
        self.show("FAILED", test, *self.figures(whole), *more)

    def addSubTest(self, test, subtest, err):
        with self.lock:
            super().addSubTest(test, subtest, err)
            if err:
                self.show_failure(subtest, err)

    def addFailure(self, test, err):
        with self.lock:
            super().addFailure(test, err)
            self.show_failure(test, err)

    def addError(self, test, err):
        with self.lock:
            super().addError(test, err)
            self.show_failure(test, err)

    def too_long(self):
        """The test that runs for longer than any may, or None."""
        with self.lock:
            now_s = time.monotonic()
            return next((test for test, start in self.running.items() if now_s - start > allowed_s(test)), None)


def run_class(tests, pool, result):
    """All tests of a class, as many at once as the pool has threads."""
    kind = type(tests[0])
    try:
        kind.setUpClass()
        pending = {pool.submit(test.run, result) for test in tests}
        while pending:
            pending = concurrent.futures.wait(pending, timeout=1).not_done
            late = result.too_long()
            if late:
                faulthandler.dump_traceback()
                print(f"  FAILED: longer than {allowed_s(late)} s: {late.shortDescription()}", flush=True)
                os._exit(1)
    finally:
        kind.tearDownClass()
        kind.doClassCleanups()


def flatten(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from flatten(item)
        else:
            yield item


def main(at_once=1):
    """Runs the tests of the program, or those whose names have one of its arguments in them.

    `at_once`: so many of a class may run at a time, where waiting is most of what they do.
    """

    def work():
        loader = unittest.TestLoader()
        loader.testNamePatterns = [f"*{word}*" for word in sys.argv[1:]] or None
        tests = list(flatten(loader.loadTestsFromModule(sys.modules["__main__"])))
        result = Result()
        STALLS.start()
        # The threads live to the end, for processes die with the thread that started them.
        with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
            for kind in dict.fromkeys(type(test) for test in tests):
                run_class([test for test in tests if type(test) is kind], pool, result)
        failed = len({str(getattr(test, "test_case", test)) for test, _ in result.failures + result.errors})
        skipped = f", {len(result.skipped)} skipped" if result.skipped else ""
        print(f"{result.testsRun - failed - len(result.skipped)} passed, {failed} failed{skipped}", flush=True)
        return 1 if failed else 0

    faulthandler.enable()
    if os.environ.get("TENURE_TEST_SHARED"):  # of the program that runs us
        sys.exit(work())
    processes.supervised(work)
