#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""/metrics: what is counted in real elections."""

import contextlib
import re
import sqlite3
import time

from case import SystemTest, main
from events import milliseconds, now
from http_client import ask
from postgres import free_port
from replica import LEASE_NS, until

SAMPLE = re.compile(r"(\w+(?:\{.*\})?) (\S+)")
ENGINE = '{component="engine"}'


def scrape(replica):
    """All samples of a daemon."""
    reply = ask(replica.http, "/metrics")
    assert reply.status == 200, reply
    assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8", reply.headers
    lines = [line for line in reply.body.splitlines() if not line.startswith("#")]
    samples = {}
    for line in lines:
        name, value = SAMPLE.fullmatch(line).groups()
        assert name not in samples, line
        samples[name] = float(value)
    return samples


def ended(samples):
    """Terms that ended, by the reasons that there were."""
    pattern = re.compile(r'tenure_terms_ended_total\{component="engine",reason="(.*)"\}')
    return {pattern.fullmatch(name)[1]: value for name, value in samples.items() if value and pattern.fullmatch(name)}


class MetricsTest(SystemTest):
    def pair(self):
        store = self.sqlite()
        return [
            self.replica(name, store=store, http=f"127.0.0.1:{free_port()}", components=("engine", "other")).start()
            for name in "ab"
        ]

    def until_metric(self, replica, name, value):
        return until(lambda: (samples := scrape(replica))[name] == value and samples, f"{name} {value}")

    def test_leaders(self):
        """Who leads, the term and its time; a worker that yields, one that dies; terms and reasons add up"""
        one, two = self.pair()
        leader = self.client(one, "engine")
        granted = leader.wait("granted")
        samples = self.until_metric(two, "tenure_leader_known" + ENGINE, 1)
        self.assertEqual(samples["tenure_leader" + ENGINE], 0)
        self.assertEqual(samples["tenure_valid_seconds" + ENGINE], 0)
        self.assertEqual(samples["tenure_term" + ENGINE], granted.number("term"))
        samples = scrape(one)
        self.assertEqual(samples["tenure_leader" + ENGINE], 1)
        self.assertEqual(samples["tenure_term" + ENGINE], granted.number("term"))
        self.assertTrue(0 < samples["tenure_valid_seconds" + ENGINE] <= LEASE_NS / 1e9, samples)
        self.assertEqual((samples["tenure_workers" + ENGINE], samples["tenure_clients"]), (1, 1))
        self.assertEqual(samples['tenure_workers{component="other"}'], 0)
        mark = leader.mark()
        leader.reply("yield", granted, cooldown_ms=1000)
        samples = self.until_metric(one, "tenure_leader" + ENGINE, 0)
        self.assertEqual(ended(samples), {"yielded": 1})
        leader.wait("granted", after=mark)
        self.assertEqual(scrape(one)["tenure_terms_begun_total" + ENGINE], 2)
        leader.close()
        samples = self.until_metric(one, "tenure_leader" + ENGINE, 0)
        self.assertEqual(ended(samples), {"yielded": 1, "worker-gone": 1})
        self.assertEqual((samples["tenure_workers" + ENGINE], samples["tenure_clients"]), (0, 0))

    def test_leaderless(self):
        """Time without a leader grows while there is none, as fast as the clock, and stands still while there is one"""
        one, two = self.pair()
        before = {replica: (now(), scrape(replica)) for replica in (one, two)}
        leader = self.client(one, "engine")
        leader.wait("granted")
        self.until_metric(two, "tenure_leader_known" + ENGINE, 1)
        for replica, (_, first) in before.items():
            led = scrape(replica)
            leader.wait("extended", after=leader.mark())
            self.assertAlmostEqual(self.leaderless(scrape(replica)), self.leaderless(led))
            self.assertGreaterEqual(self.leaderless(led), self.leaderless(first))
        leader.close()
        for replica in before:
            self.until_metric(replica, "tenure_leader_known" + ENGINE, 0)
            before[replica] = self.timed(replica)
        time.sleep(0.5)  # the measure itself: that the figure grows as fast as the clock
        for replica, (asked, first, told) in before.items():
            asked_again, last, told_again = self.timed(replica)
            grown_ms = (self.leaderless(last) - self.leaderless(first)) * 1000
            self.assertGreater(grown_ms, milliseconds(asked_again - told) - 2)
            self.assertLess(grown_ms, milliseconds(told_again - asked) + 2)

    @staticmethod
    def leaderless(samples):
        return samples["tenure_leaderless_seconds_total" + ENGINE]

    @staticmethod
    def timed(replica):
        """A scrape between two times."""
        return now(), scrape(replica), now()

    def test_store(self):
        """Exchanges by outcome and time; a database that stands still: not connected, and leaderless once it is over"""
        one, _ = self.pair()
        leader = self.client(one, "engine")
        leader.wait("granted")
        first = scrape(one)
        leader.wait("extended", after=leader.mark())
        leader.wait("extended", after=leader.mark())
        second = scrape(one)
        self.assertGreaterEqual(second["tenure_renewals_total"] - first["tenure_renewals_total"], 2)
        self.assertEqual(second["tenure_store_connected"], 1)
        with contextlib.closing(sqlite3.connect(one.store.path, isolation_level=None)) as database:
            database.execute("BEGIN EXCLUSIVE")
            self.until_metric(one, "tenure_store_connected", 0)
            self.until_metric(one, "tenure_leader_known" + ENGINE, 0)
            database.execute("ROLLBACK")
        third = self.until_metric(one, "tenure_store_connected", 1)
        unknown = 'tenure_exchanges_total{outcome="unknown"}'
        self.assertGreater(third[unknown], second[unknown])
        self.assertEqual(ended(third), {"expiring": 1})
        self.assertEqual(third["tenure_incarnation_changes_total"], 0)
        self.assert_histogram(third)
        # Each of those that were given up took the whole time-out.
        slow = third["tenure_exchange_duration_seconds_sum"] - second["tenure_exchange_duration_seconds_sum"]
        self.assertGreater(slow, 0.3 * (third[unknown] - second[unknown]))
        for name in third:
            if name.partition("{")[0].endswith(("_total", "_bucket", "_count", "_sum")):
                self.assertGreaterEqual(third[name], second[name], name)

    def assert_histogram(self, samples):
        name = "tenure_exchange_duration_seconds"
        buckets = [value for key, value in samples.items() if key.startswith(name + "_bucket")]
        count = samples[name + "_count"]
        self.assertEqual(buckets, sorted(buckets))
        self.assertEqual(buckets[-1], count)
        outcomes = [value for key, value in samples.items() if key.startswith("tenure_exchanges_total")]
        self.assertEqual(sum(outcomes), count)

    def test_start_time(self):
        """The start is what the system's clock says"""
        one, _ = self.pair()
        self.assertAlmostEqual(scrape(one)["process_start_time_seconds"], time.time(), delta=10)


if __name__ == "__main__":
    main()
