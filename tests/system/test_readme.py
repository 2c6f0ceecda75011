#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The tour of README.md: its commands run one after the other, and do what it says."""

import os
import pathlib
import re
import subprocess
import tempfile
import unittest

import processes
from case import main

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("TENURE_BUILD", TOP / "build"))
MARK = "-- block --"


def blocks():
    """The shell commands of the section, a text each."""
    section = re.search(r"^## Five minutes$(.*?)^## ", (TOP / "README.md").read_text(), re.M | re.S)
    return re.findall(r"^```sh\n(.*?)^```$", section.group(1), re.M | re.S)


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


if __name__ == "__main__":
    main()
