#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The manual: its workers run, and it agrees with the programs."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

import processes
import replica
from case import SystemTest, main
from events import PATIENCE_S, now
from replica import until

TOP = pathlib.Path(__file__).resolve().parents[2]
PAGE = TOP / "man/tenure-protocol.7"


def example(language):
    """The program as a reader sees it."""
    text = re.search(rf"^\.Ss {language}\n.*?^\.Bd -literal[^\n]*\n(.*?)^\.Ed$", PAGE.read_text(), re.S | re.M).group(1)
    return text.replace("\\e", "\\")


class ManualTest(SystemTest):
    def write(self, name, language):
        path = self.directory / name
        path.write_text(example(language))
        path.chmod(0o755)
        return path

    def spawn(self, command, node):
        worker = processes.spawn(command, env={**os.environ, "TENURE_SOCKET": str(node.socket)})
        self.addCleanup(worker.wait)
        self.addCleanup(worker.kill)
        until(lambda: node.status()["worker"] == "working", "it works", every=0.02)
        return worker

    def check(self, command):
        """It hands over, ends with its daemon, and ends by its deadline under one that stands still."""
        store = self.sqlite()
        node, other = (self.replica(name, store).start() for name in "ab")
        worker = self.spawn(command(node), node)
        successor = self.client(other, "engine")
        ended_at = now()
        node.terminate()
        self.assert_within(successor.wait("granted", term=2).at - ended_at, 1_000_000_000)
        worker.wait(PATIENCE_S)
        successor.close()
        node.start()
        worker = self.spawn(command(node), node)
        successor = self.client(other, "engine")
        processes.freeze(node.pid)
        frozen_at = now()
        successor.wait("granted", term=4)
        worker.wait(PATIENCE_S)
        self.assertGreater(now() - frozen_at, 1_000_000_000)
        processes.thaw(node.pid)

    def test_python(self):
        """The worker in Python"""
        path = self.write("worker.py", "Python")
        self.check(lambda node: [sys.executable, path])

    @unittest.skipUnless(shutil.which("socat"), "no socat is installed")
    def test_shell(self):
        """The worker in shell"""
        path = self.write("worker", "Shell")
        self.check(lambda node: ["socat", f"UNIX-CONNECT:{node.socket}", f"EXEC:{path}"])

    def test_line_of_shell(self):
        """The worker in one line"""
        line = re.search(r"^\.Dl (tenurectl run .*)$", PAGE.read_text(), re.M).group(1).replace("\\(dq", '"')
        node = self.replica("a").start()
        path = f"{replica.BUILD}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "TENURE_SOCKET": str(node.socket)}
        worker = processes.spawn(["sh", "-c", line], stdout=subprocess.PIPE, text=True, env=environment)
        self.addCleanup(worker.stdout.close)
        self.addCleanup(worker.wait)
        self.addCleanup(worker.terminate)
        self.assertEqual(worker.stdout.readline(), "Term 1\n")

    @unittest.skipUnless(shutil.which("go"), "no Go is installed")
    def test_go(self):
        """The worker in Go"""
        path = self.write("worker.go", "Go")
        environment = {**os.environ, "GOCACHE": str(self.directory / "cache"), "GO111MODULE": "off"}
        subprocess.run(["go", "build", "-o", self.directory / "worker", path], check=True, env=environment)
        self.check(lambda node: [self.directory / "worker"])


class AgreementTest(unittest.TestCase):
    """What the code knows, the manual has, and the other way round."""

    def code(self, path, pattern):
        found = re.findall(pattern, (TOP / path).read_text())
        self.assertTrue(found, path)
        return set(found)

    def test_requests(self):
        """Requests, error codes and reasons: code and tenure-protocol(7)"""
        page = PAGE.read_text()
        names = dict(re.findall(r'\[(WIRE_\w+)\] = "([a-z-]+)"', (TOP / "src/wire/words.c").read_text()))
        handled = {names[word] for word in self.code("src/daemon/request.c", r"\[(WIRE_\w+)\] = (?:do|operate)_")}
        asked = page[page.index(".Ss Requests") : page.index(".Ss Answers")]
        described = re.findall(r"^\.It Ic ([a-z][a-z ,]*)", asked, re.M)
        self.assertEqual({word for line in described for word in re.findall("[a-z]+", line)}, handled)
        answers = page[page.index(".Ss Answers") : page.index(".Ss What the daemon sends")]
        listed = {word for line in re.findall(r"^\.It Cm (.*)", answers, re.M) for word in re.findall("[a-z-]+", line)}
        self.assertEqual(listed, {name for word, name in names.items() if word.startswith("WIRE_CODE_")})
        reasons = self.code("src/core/election.c", r'\[REASON_\w+\] = "([a-z-]+)"') - {"none"}
        model = (TOP / "man/tenure.7").read_text()
        runbook = model[model.index(".Sh WHY A TERM ENDS") : model.index(".Sh WHEN NOBODY LEADS")]
        entries = {entry.split("\n", 1)[0]: entry for entry in runbook.split("\n.It Cm ")[1:]}
        self.assertEqual(set(entries), reasons)
        self.assertEqual({reason for reason in reasons if "\n.Em To do:\n" not in entries[reason]}, set())
        self.assertEqual({reason for reason in reasons if reason not in page}, set())

    def test_commands(self):
        """Commands and options: --help and tenurectl(1), tenured(8)"""
        for program, name in ((replica.TENURECTL, "tenurectl.1"), (replica.TENURED, "tenured.8")):
            text = subprocess.run([program, "--help"], capture_output=True, text=True, check=True).stdout
            page = (TOP / "man" / name).read_text()
            options = set(re.findall(r"--([a-z][a-z-]+)", text.split("examples:")[0]))
            self.assertEqual(set(re.findall(r"Fl -([a-z][a-z-]+)", page)) - {"help"}, options - {"help"}, name)
            commands = set(re.findall(r"^  ([a-z]+)(?: |$)", text.split("examples:")[0], re.M)) - {"help"}
            self.assertEqual({word for word in commands if f".Ss {word}\n" not in page}, set(), name)


if __name__ == "__main__":
    main(at_once=2)
