#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus that scrapes three daemons, and its tools: metrics, alerts and dashboard are what it takes."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import unittest
import urllib.parse

import processes
from case import SystemTest, main
from events import Feed
from http_client import ask
from postgres import free_port
from replica import Replica, until

HERE = pathlib.Path(__file__).resolve().parent
CONF = HERE.parents[1] / "conf"
ALERTS = CONF / "prometheus-alerts.yml"
DASHBOARD = CONF / "grafana-dashboard.json"
PROMETHEUS = shutil.which("prometheus")
PROMTOOL = shutil.which("promtool")
NAME = re.compile(r"\b(?:tenure|process)_\w+")
CONFIG = """
global: {{scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}}
rule_files: [{alerts}]
scrape_configs:
  - job_name: tenure
    static_configs: [targets: {targets}]
"""


def alert_expressions():
    return re.findall(r"expr: (?:>-\n\s+)?(.*)", ALERTS.read_text())


def dashboard_expressions():
    """As Grafana sends them: with what stands for the reader's choices replaced."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]
    return [text.replace("$__rate_interval", "1m").replace("$component", ".*") for text in expressions]


def names_of(reply):
    """The metrics that a daemon has, without the parts of a histogram."""
    return set(re.findall(r"^# TYPE (\w+) ", reply.body, re.M))


def base(name):
    return re.sub(r"(?<=_duration_seconds)_(bucket|sum|count)$", "", name)


@unittest.skipUnless(PROMTOOL, "no promtool is installed (package prometheus)")
class PromtoolTest(SystemTest):
    def run_promtool(self, *words, **options):
        result = subprocess.run([PROMTOOL, *words], capture_output=True, text=True, check=False, timeout=60, **options)
        self.assertEqual((result.returncode, result.stderr), (0, ""), result.stdout)

    def test_metrics(self):
        """promtool check metrics: names, units, help"""
        one = self.replica(http=self.directory / "http").start()
        self.client(one, "engine").wait("granted")
        self.run_promtool("check", "metrics", input=ask(one.http, "/metrics").body)

    def test_alerts(self):
        """promtool test rules: each alert comes when it should, and none for a hand-over"""
        self.run_promtool("check", "rules", ALERTS)
        self.run_promtool("test", "rules", HERE / "alerts.yml")
        tested = set(re.findall(r"alertname: (\w+)\n\s+eval_time.*\n\s+exp_alerts", (HERE / "alerts.yml").read_text()))
        self.assertEqual(tested, set(re.findall(r"alert: (\w+)", ALERTS.read_text())), "each comes in a test")

    def test_names(self):
        """Alerts and dashboard name metrics that there are, and the dashboard has all that there are"""
        one = self.replica(http=self.directory / "http").start()
        names = names_of(ask(one.http, "/metrics"))
        alerts = {base(name) for text in alert_expressions() for name in NAME.findall(text)}
        dashboard = {base(name) for text in dashboard_expressions() for name in NAME.findall(text)}
        self.assertGreater(len(alerts), 4)
        self.assertLessEqual(alerts, names)
        self.assertEqual(dashboard, names)


@unittest.skipUnless(PROMETHEUS, "no prometheus is installed")
class PrometheusTest(SystemTest):
    def setUp(self):
        super().setUp()
        store = self.sqlite()
        self.fleet = {}
        for name in "abc":
            made = self.replica(name, store, components=("engine", "other"), http=f"127.0.0.1:{free_port()}")
            self.fleet[made.http] = made.start()
        self.start_prometheus()

    def start_prometheus(self):
        config = self.directory / "prometheus.yml"
        config.write_text(CONFIG.format(alerts=ALERTS, targets=json.dumps(list(self.fleet))))
        self.where = f"127.0.0.1:{free_port()}"
        process = processes.spawn(
            [
                PROMETHEUS,
                f"--config.file={config}",
                f"--storage.tsdb.path={self.directory / 'data'}",
                f"--web.listen-address={self.where}",
            ],
            cwd=self.directory,
            env={**os.environ, "GOMAXPROCS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        log = Feed("log of prometheus")
        self.logs.append(log)
        Replica.follow(process.stderr, log)
        log.wait_for(lambda line: "Server is ready" in line, "Prometheus is ready", 60)

    def get(self, path, **parameters):
        reply = ask(self.where, f"/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
        data = json.loads(reply.body)
        self.assertEqual((reply.status, data["status"]), (200, "success"), (parameters, data))
        return data["data"]

    def query(self, expression):
        """The samples that there are now, by their labels."""
        result = self.get("query", query=expression)["result"]
        return [(sample["metric"], float(sample["value"][1])) for sample in result]

    def leaders(self):
        """Where Prometheus sees them lead, by component."""
        found = self.query("tenure_leader == 1")
        return {labels["component"]: self.fleet[labels["instance"]].name for labels, _ in found}

    def test_scrape(self):
        """Every metric of three daemons; a hand-over; alerts and dashboard are evaluated; a daemon that is gone"""
        one, two, _ = self.fleet.values()
        leader = self.client(one, "engine")
        leader.wait("granted")
        until(lambda: self.leaders() == {"engine": "a"}, "a leads", every=0.1)
        until(lambda: len(self.query("up == 1")) == 3, "all are scraped", every=0.1)
        standby = self.client(two, "engine")
        leader.reply("yield", leader.last("granted"), reason="test")
        standby.wait("granted")
        leader.close()
        until(lambda: self.leaders() == {"engine": "b"}, "b leads", every=0.1)
        self.assert_metrics()
        self.assert_expressions()
        two.stop()
        until(lambda: self.leaders() == {} and len(self.query("up == 0")) == 1, "b is gone", every=0.1)

    def assert_metrics(self):
        """Each metric comes from each daemon; what was counted is what happened."""
        one = next(iter(self.fleet))
        names = names_of(ask(one, "/metrics"))
        self.assertGreater(len(names), 15)
        for name in sorted(names):
            suffix = "_bucket" if name.endswith("_duration_seconds") else ""
            instances = {labels["instance"] for labels, _ in self.query(f'{name}{suffix}{{job="tenure"}}')}
            self.assertEqual(instances, set(self.fleet), name)
        kinds = {name: entries[0]["type"] for name, entries in self.get("metadata").items() if name in names}
        for name, kind in kinds.items():
            wanted = "counter" if name.endswith("_total") else "histogram" if "_duration_" in name else "gauge"
            self.assertEqual(kind, wanted, name)
        self.assertEqual(set(kinds), names)
        begun = 'sum(tenure_terms_begun_total{component="engine"})'
        until(lambda: self.query(begun) == [({}, 2)], "two terms", every=0.1)
        ended = until(lambda: self.query('tenure_terms_ended_total{component="engine"} > 0'), "an end", every=0.1)
        self.assertEqual([(labels["instance"], labels["reason"]) for labels, _ in ended], [(one, "yielded")])

    def assert_expressions(self):
        """The alerts run without a fault; each panel of the dashboard has something to show."""
        rules = until(self.evaluated, "the alerts were evaluated", every=0.1)
        self.assertEqual({rule["health"] for rule in rules}, {"ok"}, rules)
        for expression in dashboard_expressions():
            until(lambda text=expression: self.query(text), f"samples of {expression}", every=0.1)

    def evaluated(self):
        rules = self.get("rules")["groups"][0]["rules"]
        return rules if all(rule["health"] != "unknown" for rule in rules) else None


if __name__ == "__main__":
    main()
