#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`make demo`: it ends well, says what README.md shows, leaves nothing behind, and would notice what did not hold."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import postgres
import processes
from case import main
from demo_beats import Beats
from replica import BUILD, HERE, make

SECONDS = 30  # that it may take
# It beats whether it may or not, and ends for nobody.
CARELESS_WORKER = f"""#!{sys.executable} -S
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
out = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
while True:
    at = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    os.write(out, b"beat %d %d %d\\n" % (at, int(os.environ["TENURE_TERM"]), os.getpid()))
    time.sleep(0.002)
"""


def figureless(text):
    return [re.sub(r"[\d.,]*\d", "#", line) for line in text.splitlines()]


class DemoTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="t-")  # pylint: disable=consider-using-with
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.directory.chmod(0o755)
        self.figures = []

    def start(self, *command, build=BUILD):
        environment = {**os.environ, "TMPDIR": str(self.directory), "TENURE_BUILD": str(build)}
        command = command or [HERE / "demo"]
        return processes.spawn(command, env=environment, stdout=subprocess.PIPE, text=True)

    def left_behind(self):
        """Processes that were started by the demo: all of them have our directory as TMPDIR."""
        mark = f"TMPDIR={self.directory}".encode()
        found = []
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if mark in (entry / "environ").read_bytes():
                    found.append((entry / "cmdline").read_bytes())
            except OSError:
                pass
        return found + list(self.directory.glob("tenure-demo-*"))

    def play(self, *words):
        """What it said."""
        begun_s = time.monotonic()
        with self.start(*make("--silent", *words, "demo")) as demo:
            text = demo.communicate(timeout=120)[0]
        took_s = time.monotonic() - begun_s
        self.assertEqual(demo.returncode, 0, text)
        self.figures.append(f"{took_s:.1f} s")
        self.assertLess(took_s, SECONDS)
        self.assertIn("at no time did two hold one component", text)
        self.assertNotIn("\033", text)
        self.assertEqual(self.left_behind(), [])
        return text

    def test_sqlite(self):
        """The demo ends well on SQLite, and says line by line what README.md shows, but for the figures"""
        said = iter(figureless(self.play()))
        section = (HERE.parents[1] / "README.md").read_text().split("## What the demo shows")[1]
        shown = [line for line in figureless(section.split("```")[1]) if line not in ("", "…")]
        self.assertGreater(len(shown), 10)
        for line in shown:
            self.assertIn(line, said)  # after the one before

    @unittest.skipUnless(postgres.available(), "no PostgreSQL is installed")
    def test_postgresql(self):
        """The demo ends well on PostgreSQL"""
        self.play("STORE=postgresql")

    def test_interrupted(self):
        """Ctrl-C ends all of it and leaves nothing behind"""
        with self.start() as demo:
            for line in demo.stdout:
                if "A worker is killed" in line:
                    break
            self.assertNotEqual(self.left_behind(), [])
            demo.send_signal(signal.SIGINT)
            rest = demo.communicate(timeout=30)[0]
        self.assertEqual(demo.returncode, 130, rest)
        self.assertEqual(self.left_behind(), [])

    def test_careless_worker(self):
        """A worker that does not look at its token makes the demo fail, and the logs stay"""
        build = self.directory / "build"
        worker = build / "tests/system/demo_worker"
        worker.parent.mkdir(parents=True)
        worker.write_text(CARELESS_WORKER)
        worker.chmod(0o755)
        for name in ("tenured", "tenurectl"):
            (build / name).symlink_to(BUILD / name)
        with self.start(build=build) as demo:
            text = demo.communicate(timeout=120)[0]
        self.assertEqual(demo.returncode, 1, text)
        self.assertIn("a woken worker did not stop", text)
        (kept,) = self.left_behind()
        self.assertIn(str(kept), text)
        self.assertTrue(list(kept.glob("*.log")))


class BeatsTest(unittest.TestCase):
    def faults(self, **files):
        """Of the beats `TIME/TERM …` that each file has."""
        with tempfile.TemporaryDirectory(prefix="t-") as name:
            directory = pathlib.Path(name)
            beats = Beats(directory, ["engine"], sorted(files))
            for pid, (replica, text) in enumerate(sorted(files.items()), 1):
                lines = (f"beat {word.replace('/', ' ')} {pid}\n" for word in text.split())
                (directory / f"engine.{replica}").write_text("".join(lines))
            beats.read()
            beats.close()
            return list(beats.faults(["engine"]))

    def test_one_after_the_other(self):
        """Holders that follow one another are no fault"""
        self.assertEqual(self.faults(a="1/1 2/1 7/3 9/3", b="3/2 6/2"), [])

    def test_two_at_once(self):
        """W3: two that hold one component, even for an instant, are found"""
        self.assertEqual(len(self.faults(a="1/1 3/1", b="3/2 6/2")), 1)
        self.assertEqual(len(self.faults(a="1/1 9/1", b="3/2 6/2")), 1)

    def test_a_third(self):
        """W3: so is one that overlaps with the last but one"""
        self.assertEqual(len(self.faults(a="1/1 20/1", b="3/2 4/2", c="10/3 11/3")), 2)

    def test_terms_grow(self):
        """W4: a term that is not larger than the one before is found"""
        self.assertEqual(len(self.faults(a="1/2 2/2", b="3/2 6/2")), 1)
        self.assertEqual(len(self.faults(a="1/2 2/2", b="3/1 6/1")), 1)


if __name__ == "__main__":
    main()
