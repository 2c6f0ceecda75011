#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make install: what it installs works from there, others build against it, and make uninstall leaves nothing."""

import os
import pathlib
import re
import shlex
import subprocess
import unittest
import unittest.mock

import replica
from case import SystemTest, main

TOP = pathlib.Path(__file__).resolve().parents[2]
COMPLETION = TOP / "conf/completion"
PROGRAM = r"""
#include <poll.h>
#include <stdio.h>
#include <tenure.h>

int main(int argc, char *argv[])
{
	struct tenure *t;
	struct tenure_event event = {.type = TENURE_NOTHING};
	if (argc != 2 || tenure_open(&t, argv[1], "engine") < 0)
		return 1;
	while (event.type != TENURE_GRANTED) {
		struct pollfd fd = {.fd = tenure_fd(t), .events = POLLIN};
		if (poll(&fd, 1, 10000) != 1 || tenure_process(t, &event) < 0)
			return 2;
	}
	printf("term %d, valid %d\n", (int)event.term, tenure_valid(t));
	tenure_close(t);
	return 0;
}
"""


def run(*command, **options):
    """What it printed."""
    result = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, timeout=100, **options
    )
    assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
    return result.stdout


def replace(path, old, new):
    """In a file of its own: a daemon has the old one in memory."""
    content = path.read_bytes()
    assert content.count(old) == 1 and len(old) == len(new)
    path.unlink()
    path.write_bytes(content.replace(old, new))


@unittest.skipUnless(replica.MODE in ("release", "debug"), f"what is installed is not built with {replica.MODE}")
class InstallTest(SystemTest):
    def make(self, target, *variables):
        run(*replica.make(f"DESTDIR={self.root}", *variables, target))

    def files(self):
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*") if not path.is_dir())

    def setUp(self):
        super().setUp()
        self.root = self.directory / "root"
        self.root.mkdir()

    def compile(self):
        """A program that somebody wrote for what was installed."""
        source, program = self.directory / "program.c", self.directory / "program"
        source.write_text(PROGRAM)
        found = {
            "PKG_CONFIG_PATH": str(self.root / "usr/local/lib/pkgconfig"),
            "PKG_CONFIG_SYSROOT_DIR": str(self.root),
        }
        flags = shlex.split(run("pkg-config", "--cflags", "--libs", "tenure", env={**os.environ, **found}))
        run(os.environ.get("CC", "cc"), source, "-o", program, *flags)
        return program

    def refused(self, done, status, *said):
        self.assertEqual(done.returncode, status, done.stderr)
        for words in said:
            self.assertIn(words, done.stderr)

    def foreign_modules(self, modules, node):
        """Those of another version are refused, and those that are not there."""
        version = run(replica.TENURED, "--version").split()[-1]
        other = len(version) * "9"
        driver, http = modules / "sqlite.so", modules / "http.so"
        web = self.replica("web", http=self.directory / "http")
        replace(http, version.encode() + b"\0", other.encode() + b"\0")
        self.refused(web.run_tenured("--check"), 78, f"HTTP is of version {other} and this program of {version}")
        http.unlink()
        self.refused(web.run_tenured("--check"), 78, "HTTP cannot be loaded", "lib/tenure/http.so")
        replace(driver, version.encode() + b"\0", other.encode() + b"\0")
        self.refused(node.run_tenured("--check"), 78, f"driver is of version {other} and this program of {version}")
        driver.unlink()
        self.refused(node.run_tenured("--check"), 78, "driver cannot be loaded", "lib/tenure/sqlite.so")

    def test_installed(self):
        """Installed into a directory: it elects from there, a program is built against it; uninstalled: no file left"""
        self.make("install")
        prefix = self.root / "usr/local"
        with unittest.mock.patch.multiple(
            replica, TENURED=prefix / "sbin/tenured", TENURECTL=prefix / "bin/tenurectl"
        ):
            node = self.replica("a").start()
            found = {**os.environ, "LD_LIBRARY_PATH": str(prefix / "lib")}
            self.assertEqual(run(self.compile(), node.socket, env=found), "term 1, valid 1\n")
            done = node.ctl("run", "--once", "engine", "--", "sh", "-c", "exit 7")
            self.assertEqual(done.returncode, 7, done.stderr)
            self.foreign_modules(prefix / "lib/tenure", node)
        self.assertIn("usr/local/lib/libtenure.so.0", self.files())
        self.make("uninstall")
        self.assertEqual(self.files(), [])
        self.assertEqual([path for path in self.root.rglob("*tenure*")], [])

    def test_directories(self):
        """The usual directory variables decide where everything goes"""
        variables = ("PREFIX=/opt/t", "libdir=/opt/t/lib64", "mandir=/m", "sbindir=/opt/t/bin")
        self.make("install", *variables)
        files = self.files()
        for path in ("opt/t/bin/tenured", "opt/t/lib64/libtenure.so", "m/man8/tenured.8", "opt/t/include/tenure.h"):
            self.assertIn(path, files)
        self.assertEqual([path for path in files if not path.startswith(("opt/t/", "m/"))], [])
        self.assertIn("\nlibdir=/opt/t/lib64\n", (self.root / "opt/t/lib64/pkgconfig/tenure.pc").read_text())
        self.make("uninstall", *variables)
        self.assertEqual(self.files(), [])

    @unittest.skipUnless((TOP / ".git").exists(), "make dist packs what is committed, and this is no repository")
    def test_dist(self):
        """make dist packs all that is committed, and what is unpacked from it knows what to build"""
        build = self.directory / "build"
        run("make", "-C", TOP, f"B={build}", "PACKAGES=mine", "dist")
        (archive,) = build.glob("tenure-*.tar.gz")
        run("tar", "-xf", archive, "-C", self.root)
        tree = self.root / archive.name.removesuffix(".tar.gz")
        committed = run("git", "-c", "safe.directory=*", "-C", TOP, "ls-tree", "-r", "--name-only", "HEAD").splitlines()
        packed = [str(path.relative_to(tree)) for path in tree.rglob("*") if not path.is_dir() or path.is_symlink()]
        self.assertEqual(sorted(packed), sorted(committed))
        self.assertIn("tenured", run("make", "-n", "-C", tree, "PACKAGES=mine", "all"))


class CompletionTest(unittest.TestCase):
    """What the programs' own summaries name, every shell completes."""

    def words(self, program):
        text = run(program, "--help")
        commands = re.findall(r"^  ([a-z]+)(?: |$)", text.split("examples:")[0], re.M)
        return set(commands), set(re.findall(r"--([a-z][a-z-]+)", text.split("examples:")[0]))

    def check(self, program, *names):
        commands, options = self.words(program)
        for name in names:
            text = (COMPLETION / name).read_text()
            known = set(re.findall(r"[a-z-]+", text))
            self.assertEqual({word for word in commands if word not in known}, set(), name)
            spelled = "-l {}" if name.endswith(".fish") else "--{}"
            missing = {o for o in options if not re.search(re.escape(spelled.format(o)) + r"\b", text)}
            self.assertEqual(missing, set(), name)
        return commands, options

    def test_tenurectl(self):
        """Completions know tenurectl's commands and options"""
        commands, options = self.check(replica.TENURECTL, "tenurectl.bash", "tenure.zsh", "tenurectl.fish")
        self.assertTrue({"status", "run", "init"} <= commands and {"once", "timeout"} <= options)

    def test_tenured(self):
        """Completions know tenured's options"""
        _, options = self.check(replica.TENURED, "tenured.bash", "tenure.zsh", "tenured.fish")
        self.assertIn("check", options)

    def complete(self, *words):
        script = (
            f'. {COMPLETION}/tenurectl.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _tenurectl;'
            ' printf "%s\\n" "${COMPREPLY[@]}"'
        )
        return run("bash", "-c", script, "bash", *words).split()

    def test_bash(self):
        """bash completes commands, options, values, and the command that is run"""
        self.assertEqual(self.complete("tenurectl", "sta"), ["status"])
        self.assertEqual(self.complete("tenurectl", "--socket", "/nowhere", "wait", "--ti"), ["--timeout"])
        self.assertEqual(self.complete("tenurectl", "wait", "--for", "s"), ["standby"])
        self.assertIn("true", self.complete("tenurectl", "run", "engine", "--", "tru"))
        self.assertEqual(self.complete("tenurectl", "init", "-"), ["-c", "--config", "--print"])


if __name__ == "__main__":
    main()
