#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The commands of README.md: they run one after the other, and do what it says; its figures are those measured."""

import os
import pathlib
import re
import subprocess
import tempfile
import unittest

import processes
from case import PostgresTest, main
from replica import until

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("TENURE_BUILD", TOP / "build"))
README = (TOP / "README.md").read_text()
MIGRATION = "Coming from a `leader_leases` table in your process"
MARK = "-- block --"
RESULTS = (TOP / "tests/bench/RESULTS.md").read_text()
# A row of the comparison, and the one of RESULTS.md that it has its figures from.
MEASURED = {
    "**Tenure**, a worker that looks at its token": "Tenure on PostgreSQL",
    "**Tenure**, any program under `tenurectl run`": "Tenure on PostgreSQL, the rivals' worker",
    "**`etcdctl lock NAME COMMAND`**": "`etcdctl lock`",
    "**`etcdctl elect`**": "`etcdctl elect`",
    "**ZooKeeper** (kazoo's `Election`, Curator)": "ZooKeeper, kazoo",
    "**Patroni**": "Patroni, 5 s",
    "**JDBC lock tables** (Spring Integration, ShedLock)": "JDBC lock, Spring's cadence",
    "**a `leader_leases` table in your process**": "`leader_leases`",
}

# What is said of one in which two worked at once in some of all faults.
COUNTED = {
    "Tenure": "two workers that look at their token worked at once",
    "Tenure, the rivals' worker": "of programs under `tenurectl run` that do not look",
    "ZooKeeper, kazoo": "with ZooKeeper",
    "`etcdctl lock`": "with `etcdctl lock`",
    "`etcdctl elect`": "with `etcdctl elect`",
    "JDBC lock, Spring's cadence": "with a table of locks",
    "`leader_leases`": "with one of leases",
}


def blocks(section="Five minutes", language="sh"):
    """The commands of the section, a text each."""
    text = re.search(rf"^## {re.escape(section)}$(.*?)^## ", README, re.M | re.S).group(1)
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", text, re.M | re.S)
    return [re.sub(rf"^{indent}", "", block, flags=re.M) for indent, block in found]


def rows(text, section):
    """Of the tables in it, the cells of each."""
    text = re.search(rf"^## {section}$(.*?)(?:^## |\Z)", text, re.M | re.S).group(1)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


class ReadmeTest(unittest.TestCase):
    def run_tour(self, shell):
        """What each block printed. The build has been made already; the rest is as a reader would run it."""
        with tempfile.TemporaryDirectory(prefix="t-") as name:
            directory = pathlib.Path(name)
            (directory / "build").symlink_to(BUILD)
            script = "make() { :; }\nset -e\n" + f"echo '{MARK}'\n".join(blocks())
            tour = processes.spawn(
                [shell, "-c", script],
                cwd=directory,
                env={**os.environ, "TMPDIR": name},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            output = tour.communicate(timeout=90)[0]
            self.assertEqual(tour.returncode, 0, output)
            return output.split(MARK + "\n")

    def tour(self, shell):
        build, check, start, work, look, killed, stopped, _end = self.run_tour(shell)
        text = "\n---\n".join([build, check, start, work, look, killed, stopped])
        self.assertEqual(build, "")
        self.assertIn("a works in term 1\n", work, text)
        self.assertIn("\nvalid term=1 ", look, text)
        self.assertIn("\nnot valid\nexit status 1\n", look, text)
        self.assertIn("a works in term 1\n", killed, text)
        self.assertIn("b works in term 2\n", stopped, text)
        self.assertNotIn("a works", stopped.split("b works", 1)[1], text)

    def test_tour_in_bash(self):
        """The tour in bash"""
        self.tour("bash")

    def test_tour_in_sh(self):
        """The tour in sh"""
        self.tour("sh")

    def test_all_are_run(self):
        """Every block of commands is in a section that is tried: here, by test_package, by test_demo and .ci/run"""
        found = re.findall(r"^ *```(\w+)$", README, re.M)
        tried = [("Five minutes", "sh"), ("A service on Debian 12, with PostgreSQL", "sh"), ("Fenced writes", "sql")]
        tried += [(MIGRATION, "sql"), (MIGRATION, "ini")]
        first, *_ = re.findall(r"^```sh\n(.*?)^```$", README, re.M | re.S)
        self.assertEqual([line.split("#")[0].strip() for line in first.splitlines()], ["make demo", "make check"])
        self.assertEqual(len(found), 1 + sum(len(blocks(*section)) for section in tried))

    def test_figures(self):
        """The comparison's figures are those that were measured: without a worker, and with two"""
        cells = {row[0]: row for row in rows(README, "How it compares")}
        found = [row for section in ("crash", "patroni", "elect") for row in rows(RESULTS, f"{section}:[^\n]*")]
        measured = {row[0]: row for row in reversed(found)}  # the first of each
        for name, of in MEASURED.items():
            with self.subTest(name):
                _, _, killed, _, two, most = measured[of]
                most = most if most.startswith("to ") else f"{most} ms"
                self.assertEqual(re.match(r"[^];]*\]|[^; ]*", cells[name][-2])[0], killed)
                self.assertEqual(cells[name][-1], two if two.startswith("0 ") or not two else f"{two}, {most}")


    def test_faults(self):
        """So is in how many faults two worked at once"""
        found = [row for section in ("faults", "stores", "elect") for row in rows(RESULTS, f"{section}:[^\n]*")]

        def count(name):
            twos = [row[3] for row in found if row[0] == name and re.fullmatch(r"\d+ of \d+", row[3])]
            return f"{sum(not two.startswith('0 ') for two in twos)} of {len(twos)}"

        text = " ".join(README.split())
        for name, says in COUNTED.items():
            with self.subTest(name):
                self.assertIn(f"{says} in {count(name)}", text)

    def test_hand_overs(self):
        """So are those of hand-overs"""
        found = {row[0]: row[2].split()[0] for row in rows(RESULTS, "handover:[^\n]*") if len(row) > 2}
        cases = [found[f"PostgreSQL, {case}"] for case in ("resign", "worker killed", "daemon's SIGTERM")]
        said = "{} ms at the median where an operator asks, {} where a worker dies, and {} where a daemon is stopped"
        self.assertIn(said.format(*cases), " ".join(README.split()))


class MigrationTest(PostgresTest):
    patience = 3  # it runs beside other tests

    def test_leader_leases(self):
        """The steps from a table of one's own: the view takes its place, the group leads, the fence lets it write"""
        store = self.postgres()
        store.sql(
            "CREATE TABLE leader_leases (component text PRIMARY KEY, holder_id text, acquired_at timestamptz,"
            " expires_at timestamptz, version bigint);"
            "INSERT INTO leader_leases VALUES ('engine', 'old', now(), now(), 7)"
        )
        (rename,) = blocks(MIGRATION, "sql")
        (sections,) = blocks(MIGRATION, "ini")
        store.sql(rename)
        node = self.replica("a", store)
        top = node.config.read_text().split("[component:")[0]
        node.config.write_text(top + sections.replace("console\n", "console\nstop_grace = 100ms\n"))
        node.start()
        for component in ("discovery", "engine", "counter"):
            self.client(node, component)
        until(lambda: node.status("counter")["worker"] == "working", "the whole group works")
        view = "SELECT component, holder_id, acquired_at < expires_at, version FROM leader_leases"
        self.assertRegex(store.sql(view), r"^console\|a/[0-9a-f-]+\|t\|1$")
        (fence,) = blocks("Fenced writes", "sql")
        store.sql(fence.replace("'engine', 42", "'console', 1"))
        with self.assertRaisesRegex(RuntimeError, "term 42 of"):
            store.sql(fence)
        self.assertEqual(store.sql("SELECT version FROM leader_leases_before"), "7")


if __name__ == "__main__":
    main()
