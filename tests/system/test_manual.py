#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The manual: every display of its pages is run, or compared with what is real, and it agrees with the programs."""

import functools
import os
import pathlib
import re
import shlex
import shutil
import socket
import sqlite3
import subprocess
import sys
import typing
import unittest
import unittest.mock

import processes
import replica
import test_systemd
from case import PostgresTest, SystemTest, main
from events import PATIENCE_S, now
from mariadb import MariaDB, Maria
from replica import Sqlite, until

TOP = pathlib.Path(__file__).resolve().parents[2]
MODE = os.environ.get("TENURE_MODE", "release")
MARIADB = shutil.which("mariadbd") and (replica.BUILD / "modules/mysql.so").exists()
DISPLAY = re.compile(r"^\.(?:D[1l] (.*)|(?:Bd|EX|nf)\b.*\n((?:.*\n)*?)\.(?:Ed|EE|fi)$)", re.M)
ESCAPE = re.compile(r"\\(\(..|.)")
ESCAPES = {"e": "\\", "(dq": '"', "(->": "->", "(<-": "<-"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
WORK = r"""
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <tenure.h>

static void start_work(uint64_t term)
{
	printf("begins %" PRIu64 "\n", term);
	fflush(stdout);
}

static void stop_work(void)
{
	puts("ends");
	fflush(stdout);
}

int main(void)
{
"""


class Block(typing.NamedTuple):
    page: str
    line: int
    text: str

    def __str__(self):
        return f"man/{self.page}:{self.line}"


def blocks():
    """Every display of every page, as a reader sees it."""
    for path in sorted((TOP / "man").glob("*.[1-8]")):
        page = path.read_text()
        for found in DISPLAY.finditer(page):
            text = ESCAPE.sub(lambda escape: ESCAPES[escape[1]], found[1] or found[2])
            yield Block(path.name, page.count("\n", 0, found.start()) + 1, text)


KNOWN = set()  # the displays that have a test: the page, and how it begins


def shows(page, start):
    """The test is handed the page's display that begins so."""

    def decorate(test):
        KNOWN.add((page, start))

        @functools.wraps(test)
        def run(self):
            found = [block for block in blocks() if block.page == page and block.text.startswith(start)]
            self.assertEqual(len(found), 1, f"displays of {page} that begin with {start}")
            self.figure(str(found[0]))
            test(self, found[0].text)

        return run

    return decorate


class CompletenessTest(unittest.TestCase):
    def test_displays(self):
        """Every display of the manual is known to a test"""
        for block in blocks():
            with self.subTest(str(block)):
                known = [start for page, start in KNOWN if page == block.page and block.text.startswith(start)]
                self.assertEqual(len(known), 1, f"no test, or more than one, is for:\n{block.text}")


class File(Sqlite):
    def sql(self, text):
        connection = sqlite3.connect(self.path)
        try:
            connection.executescript(text)
        finally:
            connection.close()


class PageTest(SystemTest):
    def sqlite(self):
        return File(self.directory / "tenure.db")

    def start_nodes(self, names, store=None, **terms):
        """Replicas that have these components; the first terms will be those that the page has."""
        store = store or self.sqlite()
        nodes = [self.replica(name, store, components=tuple(terms)) for name in names]
        for component, term in terms.items():
            values = f"'{component}', '', {term - 1}, 0"
            store.sql(f"INSERT INTO tenure_lease (component, node, term, generation) VALUES ({values})")
        for node in nodes:
            node.start()
        return nodes

    def write(self, name, text):
        path = self.directory / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def spawn(self, command, node):
        """With our programs in the path, and those that the test wrote."""
        path = f"{self.directory}:{replica.BUILD}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "TENURE_SOCKET": str(node.socket)}
        process = processes.spawn(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=self.directory)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def type(self, line, node):
        """At that replica's host."""
        return self.spawn(["bash", "-c", line.removeprefix("$ ")], node)


class ProtocolTest(PageTest):
    def check(self, command):
        """A worker hands over, ends with its daemon, and ends by its deadline under one that stands still."""
        node, other = self.start_nodes("ab", engine=1)
        worker = self.spawn(command(node), node)
        until(lambda: node.status()["worker"] == "working", "it works", every=0.02)
        successor = self.client(other, "engine")
        ended_at = now()
        node.terminate()
        self.assert_within(successor.wait("granted", term=2).at - ended_at, 1_000_000_000)
        worker.wait(PATIENCE_S)
        successor.close()
        node.start()
        worker = self.spawn(command(node), node)
        until(lambda: node.status()["worker"] == "working", "it works again", every=0.02)
        successor = self.client(other, "engine")
        processes.freeze(node.pid)
        frozen_at = now()
        successor.wait("granted", term=4)
        worker.wait(PATIENCE_S)
        self.assertGreater(now() - frozen_at, 1_000_000_000)
        processes.thaw(node.pid)

    @shows("tenure-protocol.7", "import os, signal")
    def test_python(self, text):
        """The worker in Python"""
        path = self.write("worker.py", text)
        self.check(lambda node: [sys.executable, path])

    @unittest.skipUnless(shutil.which("socat"), "no socat is installed")
    @shows("tenure-protocol.7", "#!/bin/bash")
    def test_shell(self, text):
        """The worker in shell, under socat as the page calls it"""
        self.write("worker", text)
        page = (TOP / "man/tenure-protocol.7").read_text()
        call = re.search(r"^\.Ql (socat .*) ;$", page, re.M).group(1)
        self.check(lambda node: shlex.split(call.replace("/run/tenure/tenured.sock", str(node.socket))))

    @unittest.skipUnless(shutil.which("go"), "no Go is installed")
    @shows("tenure-protocol.7", "package main")
    def test_go(self, text):
        """The worker in Go"""
        path = self.write("worker.go", text)
        environment = {**os.environ, "GOCACHE": str(self.directory / "cache"), "GO111MODULE": "off"}
        subprocess.run(["go", "build", "-o", self.directory / "worker", path], check=True, env=environment)
        self.check(lambda node: [self.directory / "worker"])

    @shows("tenure-protocol.7", "tenurectl run")
    def test_line_of_shell(self, text):
        """The worker in one line"""
        (node,) = self.start_nodes("a", engine=1)
        worker = self.type(text, node)
        self.assertEqual(worker.stdout.readline(), "Term 1\n")
        worker.terminate()

    @shows("tenure-protocol.7", "-> hello")
    def test_session(self, text):
        """The session, line by line: what is sent is sent, and the answers are like those of the page"""
        (node,) = self.start_nodes(["host-a"], engine=42)

        def alike(line):
            return re.sub(r" (server|session|boot|terms|slot|deadline|ttl_ms|grace_ms)=\S+", r" \1", line.strip())

        with socket.socket(socket.AF_UNIX) as daemon:
            daemon.connect(str(node.socket))
            daemon.settimeout(PATIENCE_S)
            lines = daemon.makefile("rw")
            for way, line in re.findall("^(->|<-) (.*)$", text, re.M):
                if way == "->":
                    print(line, file=lines, flush=True)
                    continue
                if line.startswith("revoked"):
                    node.terminate()
                heard = lines.readline()
                while heard.startswith("extended") and not line.startswith("extended"):
                    heard = lines.readline()
                self.assertEqual(alike(heard), alike(line))
        self.assertEqual(node.wait_exit(), 0)


@unittest.skipUnless(MODE in ("release", "debug"), f"others do not link a library that is built with MODE={MODE}")
class LibraryTest(PageTest):
    @shows("libtenure.3", "struct tenure_event {")
    def test_event(self, text):
        """The structure is that of tenure.h, but for the comments"""

        def plain(declarations):
            return " ".join(re.sub(r"/\*.*?\*/", "", declarations, flags=re.S).split())

        self.assertIn(plain(text), plain((TOP / "src/client/tenure.h").read_text()))

    def compile(self, text):
        source = self.write("worker.c", WORK + text + "}\n")
        library = [f"-I{TOP}/src/client", f"-L{replica.BUILD}", f"-Wl,-rpath,{replica.BUILD}"]
        command = [os.environ.get("CC", "cc"), "-Wall", "-Wextra", "-Werror", source, "-o", self.directory / "worker"]
        subprocess.run([*command, *library, "-ltenure"], check=True)
        return self.directory / "worker"

    @shows("libtenure.3", "struct tenure *t;")
    def test_example(self, text):
        """The worker in C: compiled without a warning, granted, revoked, granted again, and at last without a daemon"""
        node, other = self.start_nodes("ab", engine=1)
        worker = self.spawn([self.compile(text)], node)
        self.assertEqual(worker.stdout.readline(), "begins 1\n")
        until(lambda: node.status()["worker"] == "working", "it works", every=0.02)
        successor = self.client(other, "engine")
        self.assertEqual(node.ctl("resign", "engine").returncode, 0)
        self.assertEqual(worker.stdout.readline(), "ends\n")
        successor.wait("granted", term=2)
        successor.close()
        self.assertEqual(worker.stdout.readline(), "begins 3\n")
        node.kill()
        self.assertEqual(worker.stdout.readline(), "ends\n")


class CommandTest(PageTest):
    """What tenurectl(1) has."""

    def pair(self):
        """host-a, where a worker leads the engine, and host-b, where one waits."""
        nodes = self.start_nodes(["host-a", "host-b"], engine=42, counter=7)
        leader, waiting = nodes[0], nodes[1]
        self.client(leader, "engine").wait("granted", term=42)
        self.client(waiting, "engine")
        return leader, waiting

    @shows("tenurectl.1", "$ tenurectl run")
    def test_run(self, text):
        """The example of run; another program takes the place of /usr/bin/engine"""
        engine = self.write("engine", '#!/bin/sh\necho "$TENURE_COMPONENT $TENURE_TERM $*"\nexec sleep infinity\n')
        (node,) = self.start_nodes("a", engine=42)
        command = self.type(text.replace("/usr/bin/engine", str(engine)), node)
        self.assertEqual(command.stdout.readline(), "engine 42 --verbose\n")
        until(lambda: node.status()["worker"] == "working", "it works", every=0.02)
        command.terminate()

    @shows("tenurectl.1", "$ tenurectl check")
    def test_check(self, text):
        """The example of check: only where the engine is, the report runs"""
        self.write("run-the-report", "#!/bin/sh\necho reported\n")
        for node, said, status in zip(self.pair(), ("reported\n", ""), (0, 1)):
            command = self.type(text, node)
            self.assertEqual((command.communicate()[0], command.returncode), (said, status), node.name)

    @shows("tenurectl.1", "$ tenurectl wait")
    def test_wait(self, text):
        """The example of wait: it ends when this replica leads"""
        (node,) = self.start_nodes("a", engine=42)
        command = self.type(text, node)
        self.client(node, "engine")
        self.assertEqual(command.wait(PATIENCE_S), 0)
        self.assertEqual(node.status()["role"], "leader")

    @shows("tenurectl.1", "$ tenurectl transfer")
    def test_transfer(self, text):
        """The example of transfer: host-b leads next"""
        leader, waiting = self.pair()
        until(lambda: "host-b" in leader.status()["candidates"], "host-b is a candidate", every=0.02)
        self.assertEqual(self.type(text, leader).wait(PATIENCE_S), 0)
        self.feeds[1].wait("granted", term=43)
        until(lambda: leader.status()["leader"] == waiting.name, "all know of it")

    @unittest.skipUnless(shutil.which("jq"), "no jq is installed")
    @shows("tenurectl.1", "$ tenurectl status")
    def test_json(self, text):
        """The example of status: it lists what this replica leads"""
        leader, waiting = self.pair()
        self.client(waiting, "counter").wait("granted")
        self.assertEqual(self.type(text, leader).communicate()[0], "engine\n")
        self.assertEqual(self.type(text, waiting).communicate()[0], "counter\n")

    @shows("tenurectl.1", "COMPONENT ROLE")
    def test_status(self, text):
        """The table of status, compared with that of three replicas in this state, but for the times"""
        nodes = self.start_nodes("abc", engine=42, counter=7, archive=4)
        self.client(nodes[0], "engine").wait("granted", term=42)
        self.client(nodes[1], "counter").wait("granted", term=7)
        for node, component in ((nodes[1], "engine"), (nodes[2], "engine"), (nodes[0], "counter")):
            self.client(node, component)

        def alike(table):
            table = re.sub(r"\b[0-9.]+[smhd]( [0-9]+[smh])?\b", "TIME", table)
            rows = [row.split() for row in table.replace(",", "").splitlines()]
            return [row[:8] + sorted(row[8:]) for row in rows]

        def candidates(component):
            return re.findall(r"(\w):\d+:", nodes[0].status(component)["candidates"] or "")

        until(lambda: len(candidates("engine") + candidates("counter")) == 3, "all are known", every=0.02)
        self.assertEqual(alike(nodes[0].ctl("status").stdout), alike(text))

    @shows("tenurectl.1", "2026-01-31T")
    def test_watch(self, text):
        """The line of watch, compared with a real one, but for the time"""
        leader, _ = self.pair()
        command = self.type("tenurectl watch engine", leader)
        self.assertEqual(TIME.sub("TIME", command.stdout.readline()), TIME.sub("TIME", text))


class DaemonTest(PageTest):
    """What tenured(8) has."""

    @shows("tenured.8", "2026-01-31T")
    def test_log(self, text):
        """The line of the log, compared with a real one, but for the time"""
        (node,) = self.start_nodes("a", engine=42)
        self.client(node, "engine")
        self.assertEqual(TIME.sub("TIME", node.wait_log("to=leading")), TIME.sub("TIME", text.strip()))

    @shows("tenured.8", "systemd-run")
    def test_credential(self, text):
        """The command that reads the credential is the one that test_systemd.py runs under a systemd"""
        test = unittest.mock.MagicMock()
        test_systemd.SystemdTest.boot(test)
        run = [list(call.args) for call in test.machine.boot().run.call_args_list if call.args[0] == "systemd-run"]
        self.write("systemd-run", "#!/bin/sh\nprintf '%s\\n' systemd-run --quiet \"$@\"\n")
        self.assertEqual(run, [self.type(text, self.replica()).communicate()[0].splitlines()])


class ConfigurationTest(PageTest):
    """Configurations, which `tenured --check` accepts; fragments within a whole one."""

    def dump(self, text):
        """What is in effect with it."""
        path = self.write("tenured.conf", text)
        secret = self.directory / "db-password"
        secret.write_text("secret\n")
        secret.chmod(0o600)
        environment = {**os.environ, "CREDENTIALS_DIRECTORY": str(self.directory)}
        command = [replica.TENURED, "-c", path]
        checked = subprocess.run([*command, "--check"], capture_output=True, text=True, check=False, env=environment)
        self.assertEqual((checked.returncode, checked.stderr), (0, ""))
        return subprocess.run(
            [*command, "--dump"], stdout=subprocess.PIPE, text=True, check=True, env=environment
        ).stdout.splitlines()

    @shows("tenured.conf.5", "; a comment")
    def test_comments(self, text):
        """The first example; a comment is none of the value"""
        self.assertIn("path = /var/lib/tenure/tenure.db", self.dump(text))

    @shows("tenured.conf.5", "conninfo")
    def test_quotes(self, text):
        """The value in quotes keeps its semicolon"""
        lines = self.dump(f"[store]\ndriver = postgresql\n{text}[component:engine]\n")
        self.assertIn(text.strip(), lines)

    @shows("tenured.conf.5", "[tenure]")
    def test_whole(self, text):
        """The example at the end; every system has a user and a group daemon, which take the place of console's"""
        lines = self.dump(text.replace("console", "daemon"))
        self.assertIn("users = daemon", lines)
        self.assertIn(f"password_file = {self.directory}/db-password", lines)

    @shows("tenured.8", "password_file")
    def test_password(self, text):
        """The password from systemd's credentials"""
        store = f"driver = postgresql\nconninfo = dbname=tenure\n{text}\n"
        self.assertIn(
            f"password_file = {self.directory}/db-password", self.dump(f"[store]\n{store}[component:engine]\n")
        )


class FenceTest(PageTest, PostgresTest):
    """The fenced transaction of tenure(7), by the line for each database: it commits in its term, and not after it."""

    def check(self, text, database, store):
        lines = {line.rpartition("-- ")[2]: line for line in text.splitlines()}
        self.assertEqual(set(lines), {"PostgreSQL", "MariaDB", "SQLite"})
        (node,) = self.start_nodes("a", store, engine=42)
        leader = self.client(node, "engine")
        leader.wait("granted", term=42)
        store.sql("CREATE TABLE work (term BIGINT)")
        transaction = f"BEGIN; {lines[database]}\nINSERT INTO work VALUES (42); COMMIT;"
        store.sql(transaction)
        self.assertEqual(node.ctl("resign", "--cooldown", "1ms", "engine").returncode, 0)
        leader.wait("granted", term=43)
        with self.assertRaisesRegex((RuntimeError, sqlite3.Error), "is over"):
            store.sql(transaction)

    @shows("tenure.7", "SELECT tenure_fence")
    def test_postgresql(self, text):
        """W6: the fenced transaction on PostgreSQL"""
        self.check(text, "PostgreSQL", self.postgres())

    @shows("tenure.7", "SELECT tenure_fence")
    def test_sqlite(self, text):
        """W6: the fenced transaction on SQLite"""
        self.check(text, "SQLite", self.sqlite())

    @unittest.skipUnless(MARIADB, "no MariaDB is installed, or tenured has no driver for it")
    @shows("tenure.7", "SELECT tenure_fence")
    def test_mariadb(self, text):
        """W6: the fenced transaction on MariaDB"""
        server = MariaDB(self.directory / "maria")
        self.addCleanup(server.stop)
        server.start().sql("CREATE DATABASE tenure")
        self.check(text, "MariaDB", Maria(server, "tenure"))


class AgreementTest(unittest.TestCase):
    """What the code knows, the manual has, and the other way round."""

    def code(self, path, pattern):
        found = re.findall(pattern, (TOP / path).read_text())
        self.assertTrue(found, path)
        return set(found)

    def test_requests(self):
        """Requests, error codes and reasons: code and tenure-protocol(7)"""
        page = (TOP / "man/tenure-protocol.7").read_text()
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
    main(at_once=3)
