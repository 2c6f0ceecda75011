#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who may do what (S7), and what is written down of what happened (W26)."""

import os
import pathlib
import pwd
import re
import resource
import signal
import socket
import stat
import subprocess
import sys
import unittest

import http_client
import processes
from case import SystemTest, main
from replica import CLIENTS, LEASE_NS, TENURECTL, TENURED, WORKER, Memory, until

FIELD = re.compile(r' ([a-z_]+)=("(?:[^"\\]|\\.)*"|\S*)')


class AccessTest(SystemTest):
    def test_socket_mode_and_group(self):
        """S7: the socket is for the group that was asked for, and nobody else; the page may be read by all"""
        replica = self.replica("a", tenure={"socket_mode": "0660", "socket_group": "daemon"})
        if os.getuid() != 0:
            self.skipTest("only root gives files away")
        replica.start()
        status = replica.socket.stat()
        self.assertEqual(stat.S_IMODE(status.st_mode), 0o660)
        self.assertEqual(status.st_gid, pwd.getpwnam("daemon").pw_gid)
        self.assertEqual(stat.S_IMODE((replica.run_dir / "terms").stat().st_mode), 0o644)
        command = [TENURECTL, "--socket", replica.socket, "status"]
        for group, wanted in (("daemon", 0), ("adm", 3), (None, 3)):
            process = processes.spawn(
                command, user="nobody", group=group, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            self.assertEqual(process.wait(), wanted, group)

    @unittest.skipIf(os.getuid() != 0, "needs other users")
    def test_socket_refuses(self):
        """S7: whom the mode leaves out cannot connect, and is told so"""
        replica = self.replica("a").start()
        for words in (["status"], ["run", "engine", "--", "true"], ["wait", "engine"]):
            command = [TENURECTL, "--socket", replica.socket, *words]
            result = processes.spawn(command, user="nobody", stderr=subprocess.PIPE, text=True)
            message = result.communicate(timeout=10)[1]
            self.assertEqual(result.returncode, 3, words)
            self.assertIn("permission denied; does this user belong to the socket's group?", message)

    @unittest.skipIf(os.getuid() != 0, "needs other users")
    def test_managing(self):
        """S7: only root, the daemon's own user and members of admin_group may manage the fleet; all may look"""
        replica = self.replica("a", tenure={"socket_mode": "0666"}).start()
        leader = self.client(replica, "engine")
        leader.wait("granted")

        def ask(*words, group=None):
            command = [TENURECTL, "--socket", replica.socket, *words]
            pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
            result = processes.spawn(command, user="nobody", group=group, text=True, **pipes)
            message = result.communicate()[1]
            return result.returncode, message

        managing = (["resign", "engine"], ["transfer", "engine", "a"], ["pause"], ["resume"], ["reload"])
        for words in managing:
            for group in (None, "daemon"):
                status, message = ask(*words, group=group)
                self.assertEqual(status, 1)
                self.assertIn("refused (denied)", message)
            replica.wait_log("request-denied", f"request={words[0]}", f"uid={pwd.getpwnam('nobody').pw_uid}")
        self.assertEqual(ask("history")[0], 0)
        leader.wait("extended", after=leader.mark())
        self.assertEqual(leader.all("revoked"), [])
        # S4: reloaded with a group, its members may.
        replica.tenure["admin_group"] = "daemon"
        replica.write_config()
        self.assertEqual(replica.ask("reload").fields["restart"], "")
        for words in managing:
            self.assertIn("refused (denied)", ask(*words)[1])
        self.assertEqual(ask("reload", group="daemon"), (0, ""))
        self.assertIn("refused (unavailable)", ask("transfer", "engine", "a", group="daemon")[1])
        self.assertEqual(ask("pause", group="daemon"), (0, ""))
        self.assertEqual(ask("resign", "engine", group="daemon"), (0, ""))
        leader.wait("revoked", reason="resigned")
        self.assertEqual(ask("resume", group="daemon"), (0, ""))

    @unittest.skipIf(os.getuid() != 0, "needs other users")
    def test_users(self):
        """S7: only the users of a component and the members of its groups may join it, and others may look"""
        replica = self.replica(
            "a", tenure={"socket_mode": "0666"}, component={"users": "daemon", "groups": "adm"}
        ).start()
        answer = self.client(replica).ask("join component=engine")
        self.assertEqual((answer.word, answer.fields["code"]), ("error", "denied"))
        self.assertEqual(replica.ask("check component=engine").fields["valid"], "no")
        replica.wait_log("join-denied", "component=engine", f"uid={os.getuid()}")
        for user, group, joins in (
            ("nobody", None, False),
            ("nobody", "tty", False),
            ("nobody", "adm", True),
            ("daemon", None, True),
        ):
            worker = processes.spawn(
                # Its text, for others may not be allowed to read the file.
                [sys.executable, "-S", "-c", WORKER.read_text(), replica.socket, "engine"],
                user=user,
                group=group,
                stdout=subprocess.PIPE,
                text=True,
            )
            self.addCleanup(worker.stdout.close)
            self.addCleanup(worker.wait)
            self.addCleanup(worker.kill)
            worker.stdout.readline()
            self.assertEqual(" < ok" in worker.stdout.readline(), joins, (user, group))
            if group == "adm":
                worker.kill()
        until(lambda: worker.stdout.readline().split()[1:] == ["<", "ok"], "the worker that joined has started")
        # Reloaded with somebody else in it (S4): who works goes on, and who comes is judged by the new list.
        before = replica.status()["term"]
        replica.component["users"] = "root"
        replica.write_config()
        self.assertEqual(replica.ask("reload").fields["changed"], "1")
        self.assertEqual(self.client(replica).ask("join component=engine").word, "ok")
        self.assertEqual((replica.status()["term"], replica.status()["worker"]), (before, "working"))

    @unittest.skipIf(os.getuid() != 0, "needs other users")
    def test_ordinary_user(self):
        """The daemon needs no root: as another user, whom it obeys as it does root"""
        replica = self.replica("a", tenure={"socket_mode": "0666"})
        for path in (self.directory, replica.directory, replica.run_dir, *self.directory.glob("tenure.db*")):
            os.chown(path, pwd.getpwnam("daemon").pw_uid, -1)
        daemon = replica.start(user="daemon")
        self.client(daemon, "engine").wait("granted")
        reload = [TENURECTL, "--socket", replica.socket, "reload"]
        for user, status in (("daemon", 0), ("root", 0), ("nobody", 1)):
            process = processes.spawn(reload, user=user, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.assertEqual(process.wait(), status, user)

    def test_directory_of_others(self):
        """A runtime directory that others may write to is refused, with what to do"""
        replica = self.replica("a")
        replica.run_dir.chmod(0o777)
        result = replica.run_tenured()
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("chmod go-w", result.stderr)


def cmdline(pid):
    return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()


SECRET = "geheim-und-lang"
# Tries to find it in another process; prints what it could read.
SPY = """
import sys
pid, secret = sys.argv[1], sys.argv[2].encode()
for name in ("mem", "environ", "maps", "cmdline", "stat"):
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            if name == "mem":
                file.seek(int(open(f"/proc/{pid}/maps").readline().split("-")[0], 16))
            print(name, "told" if secret in file.read(65536) else "nothing")
    except OSError as error:
        print(name, type(error).__name__)
"""


@unittest.skipIf(os.getuid() != 0, "needs other users")
class SecretTest(SystemTest):
    """S7: a password in a file, in the daemon's environment and in its memory; nobody learns of it."""

    def setUp(self):
        super().setUp()
        self.replica_a = self.replica("a", init=False)
        file = self.replica_a.directory / "password"
        file.write_text(SECRET + "\n")
        file.chmod(0o600)
        uid = pwd.getpwnam("daemon").pw_uid
        for path in (file, self.replica_a.run_dir, self.replica_a.directory):
            os.chown(path, uid, -1)
        self.write_config("host=127.0.0.1 port=1")

    def write_config(self, where):
        directory = self.replica_a.directory
        text = self.replica_a.config.read_text().partition("[store]")[0]
        text += f"[store]\ndriver = postgresql\nconninfo = {where} dbname=postgres user=x\n"
        text += f"password_file = {directory}/password\n[http]\nlisten = {directory}/http\n[component:engine]\n"
        self.replica_a.config.write_text(text)

    def spy(self, user):
        command = [sys.executable, "-S", "-c", SPY, self.replica_a.pid, SECRET]
        found = processes.spawn(command, user=user, stdout=subprocess.PIPE, text=True).communicate()[0]
        return dict(line.split(" ") for line in found.splitlines())

    def test_other_processes(self):
        """S7: neither memory nor environment is read by others, not even by another process of the daemon's user"""
        self.replica_a.environment = {"PGPASSWORD": SECRET}
        self.replica_a.start(user="daemon")
        for user in ("nobody", "daemon"):
            found = self.spy(user)
            self.assertEqual((found["mem"], found["environ"]), ("PermissionError",) * 2, user)
            self.assertEqual((found["cmdline"], found["stat"]), ("nothing",) * 2, user)
        self.assertEqual(self.spy("root")["environ"], "told", "the spy is blind")

    def assert_silent(self, outcome, words):
        """Started, the daemon has that of its database, which it says in these words, and the password nowhere."""
        replica = self.replica_a
        replica.start(user="daemon")
        row = until(lambda: (row := replica.status())["store"] == outcome and row, outcome)
        dump = replica.run_tenured("--dump", user="daemon")
        self.assertEqual((dump.returncode, dump.stderr), (0, ""))
        texts = {"--dump": dump.stdout, "status": str(row), "the log": "\n".join(replica.log.items)}
        for path in ("/metrics", "/status", "/"):
            reply = http_client.ask(replica.directory / "http", path)
            self.assertEqual(reply.status, 200)
            texts[path] = reply.body
        for name, text in texts.items():
            self.assertIn("engine" if name in ("--dump", "/metrics") else words, text, name)
            self.assertNotIn(SECRET, text, name)

    def test_output(self):
        """S7: neither --dump nor the log at debug level, status, metrics or the page has it"""
        self.assert_silent("unavailable", "Connection refused")

    def test_refused(self):
        """S7: nor has any of them what a server was told that refuses the password"""
        server = self.make_server()
        rules = server.data / "pg_hba.conf"
        rules.write_text("host all x 127.0.0.1/32 scram-sha-256\n" + rules.read_text())
        server.start().sql("CREATE ROLE x LOGIN PASSWORD 'another'")
        self.write_config(f"host=127.0.0.1 port={server.port}")
        self.assert_silent("denied", "password authentication failed")

    def test_core_dump(self):
        """S7: a daemon that crashes leaves no core, whatever the limit was"""
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        if resource.getrlimit(resource.RLIMIT_CORE)[1] != resource.RLIM_INFINITY:
            self.skipTest("cores are not allowed here")
        self.addCleanup(resource.setrlimit, resource.RLIMIT_CORE, resource.getrlimit(resource.RLIMIT_CORE))
        resource.setrlimit(resource.RLIMIT_CORE, unlimited)
        replica = self.replica_a
        endings = []
        for command in (["sleep", "60"], [TENURED, "-c", replica.config]):
            # Where it may write one, as its user.
            victim = processes.spawn(command, user="daemon", cwd=replica.directory, stderr=subprocess.DEVNULL)
            until(lambda pid=victim.pid: b"setpriv" not in cmdline(pid), "the program itself")
            if command[0] == TENURED:
                until(replica.socket.exists, "its socket")
            victim.send_signal(signal.SIGABRT)
            endings.append(os.waitid(os.P_PID, victim.pid, os.WEXITED | os.WNOWAIT).si_code)
            victim.wait()
        if endings[0] != os.CLD_DUMPED:
            self.skipTest("cores of other programs are not written here either")
        self.assertEqual(endings[1], os.CLD_KILLED)

    def test_unsafe_files(self):
        """S7: a password file that is not the daemon's alone ends it, naming the mode or the owner"""
        file = self.replica_a.directory / "password"
        for mode in (0o640, 0o604, 0o620):
            file.chmod(mode)
            result = self.replica_a.run_tenured(user="daemon")
            self.assertEqual(result.returncode, 78)
            self.assertIn(f"mode {mode:04o} lets others at it", result.stderr)
        file.chmod(0o600)
        os.chown(file, pwd.getpwnam("nobody").pw_uid, -1)
        result = self.replica_a.run_tenured()
        self.assertEqual(result.returncode, 78)
        self.assertIn("belongs to another user", result.stderr)
        self.assertNotIn(SECRET, result.stderr)


# Takes every connection that it gets, and again whenever one is lost; tells how many it had when it got no more.
HOG = """
import resource, select, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
held, poll, growing = {}, select.poll(), True
while True:
    peer = socket.socket(socket.AF_UNIX)
    try:
        peer.connect(sys.argv[1])
        peer.sendall(b"check component=engine\\n")
        answer = peer.recv(4096)
    except OSError:
        answer = b""
    if answer.startswith(b"ok "):
        held[peer.fileno()], growing = peer, True
        poll.register(peer, select.POLLIN)
    elif answer and growing:
        print(len(held), answer.decode(), end="", flush=True)
        growing = False
    for fd, _ in poll.poll(0):
        poll.unregister(fd)
        held.pop(fd).close()
"""


@unittest.skipIf(os.getuid() != 0, "needs other users")
class HostileUserTest(SystemTest):
    """S7: what another user of this host may try, where the socket is open to all."""

    def as_nobody(self, text, *words):
        """Runs a program as nobody; what it printed."""
        command = [sys.executable, "-S", "-c", text, *words]
        result = processes.spawn(command, user="nobody", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return result.communicate()[0]

    def test_terms_page(self):
        """S7: the terms page is read by all; nobody else writes, replaces, removes or links it"""
        replica = self.replica("a").start()
        self.client(replica, "engine").wait("granted")
        text = """
import os, sys
run = sys.argv[1]
print(open(run + "/terms", "rb").read(8))
for what in (
    lambda: os.open(run + "/terms", os.O_RDWR),
    lambda: os.truncate(run + "/terms", 0),
    lambda: os.chmod(run + "/terms", 0o666),
    lambda: os.remove(run + "/terms"),
    lambda: os.rename(run + "/terms", run + "/old"),
    lambda: os.remove(run + "/tenured.sock"),
    lambda: os.open(run + "/lock", os.O_RDONLY),
    lambda: os.symlink("/dev/null", run + "/terms.new"),
    lambda: os.rename(run, run + "2"),
    lambda: os.kill(int(sys.argv[2]), 15),
):
    try:
        what()
        print("it can")
    except PermissionError:
        print("refused")
"""
        lines = self.as_nobody(text, replica.run_dir, replica.pid).splitlines()
        self.assertEqual(lines[0], repr((replica.run_dir / "terms").read_bytes()[:8]))
        self.assertEqual(lines[1:], ["refused"] * 10)
        self.assertEqual(replica.ask("check component=engine").fields["valid"], "yes")

    def test_speaks_for_the_leader(self):
        """S7: what another connection says of a leader's term is refused, and the leader leads on"""
        replica = self.replica("a", tenure={"socket_mode": "0666"}, component={"users": "root"}).start()
        leader = self.client(replica, "engine")
        term = leader.wait("granted").fields["term"]
        text = """
import socket, sys
peer = socket.socket(socket.AF_UNIX)
peer.connect(sys.argv[1])
stream = peer.makefile("rw")
for line in sys.argv[2:]:
    print(line, file=stream, flush=True)
    print(stream.readline(), end="")
"""
        words = [f"{word} component=engine term={term}" for word in ("started", "stopped", "yield")]
        words += ["leave component=engine", f"join component=engine term={term}", "resign component=engine"]
        answers = self.as_nobody(text, replica.socket, *words).splitlines()
        codes = [FIELD.search(answer).group(2) for answer in answers]
        self.assertEqual(codes, ["not-joined"] * 4 + ["denied"] * 2, answers)
        leader.wait("extended", after=leader.mark())
        self.assertEqual(leader.all("revoked"), [])

    def hog(self, replica):
        """Another user, who takes all connections that it gets."""
        hog = processes.spawn(
            [sys.executable, "-S", "-c", HOG, replica.socket], user="nobody", stdout=subprocess.PIPE, text=True
        )
        self.addCleanup(hog.stdout.close)
        self.addCleanup(hog.wait)
        self.addCleanup(hog.kill)
        return hog

    def assert_half_taken(self, hog, clients=CLIENTS):
        count, answer = hog.stdout.readline().split(" ", 1)
        self.assertIn(int(count), range(clients // 2 - 10, clients // 2 + 1))
        self.assertEqual(answer, "error code=too-many message=too%20many%20connections%20of%20this%20user\n")

    @unittest.skipIf(resource.getrlimit(resource.RLIMIT_NOFILE)[1] < CLIENTS + 200, "needs as many descriptors")
    def test_takes_all_connections(self):
        """S7, S5: one user takes all connections it gets: others join, and rejoin with their term after a restart"""
        replica = self.replica("a", tenure={"socket_mode": "0666"}, timing={"lease": "20s"}).start()
        hog = self.hog(replica)
        self.assert_half_taken(hog)
        leader = self.worker(replica)
        leader.wait("granted")
        told = [line for line in replica.log.items if "refuses more" in line]
        self.assertEqual(len(told), 1, told)
        self.assertIn(f" uid={pwd.getpwnam('nobody').pw_uid} ", told[0])
        # The leader comes back when the other one has taken all it gets.
        processes.freeze(leader.pid)
        replica.kill()
        replica.start()
        self.assert_half_taken(hog)
        mark = leader.mark()
        processes.thaw(leader.pid)
        again = leader.wait("join", after=mark, term=1)
        leader.wait("extended", after=leader.items.index(again), term=1)
        self.assertEqual(leader.all("revoked") + leader.all("over"), [])

    def test_takes_all_descriptors(self):
        """S7: the same where the daemon has few descriptors: half of them are for others"""
        for limit, clients in ((400, 400 - 128), (100, 50)):
            with self.subTest(limit=limit):
                replica = self.replica(f"r{limit}", Memory(), tenure={"socket_mode": "0666"})
                replica.prefix = ["prlimit", f"--nofile={limit}:{limit}"]
                replica.start()
                hog = self.hog(replica)
                self.assert_half_taken(hog, clients)
                self.worker(replica).wait("granted")
                self.assertFalse([line for line in replica.log.items if "open files" in line])
                hog.kill()  # two of them would leave the others no processor

    def test_planted(self):
        """S7: what somebody planted before the start is refused with what to do, and nothing is written through it"""
        precious = self.directory / "precious"
        nobody = pwd.getpwnam("nobody").pw_uid
        for number, (plant, words) in enumerate((
            (lambda run: (run / "lock").symlink_to(precious), "lock file"),
            (lambda run: (run / "terms").symlink_to(precious), "symbolic link; remove it"),
            (lambda run: (run / "lock").hardlink_to(precious), "no hard link"),
            (lambda run: (run / "terms").hardlink_to(precious), "(a hard link); remove it"),
            (lambda run: (run / "tenured.sock").mkdir(), "cannot remove the old socket"),
            (lambda run: os.chown(run, nobody, -1), "belongs to another user"),
            (lambda run: run.chmod(0o1777), "chmod go-w"),
            (lambda run: run.parent.chmod(0o777), "chmod go-w it, or make it sticky"),
            (lambda run: os.chown(run.parent, nobody, -1), "its owner could replace"),
            (lambda run: ((run / "lock").touch(0o600), os.chown(run / "lock", nobody, -1)), "others have a right"),
            (lambda run: ((run / "terms").touch(), os.chown(run / "terms", nobody, -1)), "belongs to another user"),
            (lambda run: (run.rmdir(), run.symlink_to(self.directory)), "a symbolic link is not followed"),
        )):
            with self.subTest(words):
                precious.write_text("precious")
                replica = self.replica(f"r{number}", Memory())
                plant(replica.run_dir)
                result = replica.run_tenured()
                self.assertEqual(result.returncode, 1, result.stderr)
                self.assertIn(words, result.stderr)
                self.assertEqual(precious.read_text(), "precious")


class DroppedTest(SystemTest):
    def test_over_long_line_of_a_leader(self):
        """W3, W12: the daemon hangs up on a leader: no release before its frozen deadline, as long as it may live"""
        store = self.sqlite()
        replicas = [self.replica(name, store).start() for name in "ab"]
        leader = self.client(replicas[0], "engine")
        leader.wait("granted")
        standby = self.client(replicas[1], "engine")
        leader.wait("extended")
        deadline = leader.last("extended").number("deadline")
        leader.send(b"x" * 5000 + b"\n")
        leader.wait("error")
        granted = standby.wait("granted")
        self.assertGreaterEqual(granted.at, deadline)
        self.assertLess(granted.at, deadline + LEASE_NS)

    def test_over_long_line_and_the_end(self):
        """W14: once it closes its own end as well, nobody waits for the deadline"""
        store = self.sqlite()
        replicas = [self.replica(name, store).start() for name in "ab"]
        leader = self.client(replicas[0], "engine")
        leader.wait("granted")
        standby = self.client(replicas[1], "engine")
        deadline = leader.wait("extended").number("deadline")
        leader.send(b"x" * 5000 + b"\n")
        leader.wait("error")
        leader.close()
        self.assertLess(standby.wait("granted").at, deadline)


class LogTest(SystemTest):
    def test_transitions(self):
        """W26: every transition of a lease is one line, with component, states, term and reason"""
        replica = self.replica("a", tenure={"log_level": "info"}).start()
        client = self.client(replica, "engine")
        event = client.wait("granted")
        client.reply("yield", event, cooldown_ms=0)
        client.wait("granted", term=2)
        replica.stop()
        lines = [line.split(" ", 3) for line in replica.log.items if " info lease " in line]
        fields = [{key: value.strip('"') for key, value in FIELD.findall(" " + rest)} for *_, rest in lines]
        for one in fields:
            self.assertLessEqual({"component", "from", "to", "term"}, one.keys(), one)
        seen = [(one["from"], one["to"], one["term"], one.get("reason")) for one in fields]
        for wanted in (
            ("claiming", "leading", "1", None),
            ("leading", "releasing", "1", "yielded"),
            ("claiming", "leading", "2", None),
            ("leading", "draining", "2", "shutdown"),
        ):
            self.assertEqual(seen.count(wanted), 1, (wanted, seen))
        # Each begins where the last one ended, but for what is only told at debug level.
        for one, other in zip(fields, fields[1:]):
            self.assertTrue(one["to"] == other["from"] or other["from"] == "claiming", (one, other))

    def test_under_systemd(self):
        """Where standard error is the journal's, lines carry priorities and no time of their own"""
        replica = self.replica("a")
        reading, writing = socket.socketpair()
        status = os.fstat(writing.fileno())
        daemon = processes.spawn(
            [TENURED, "-c", replica.config],
            stderr=writing,
            env={**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"},
        )
        writing.close()
        with reading, reading.makefile() as stream:
            lines = []
            for line in stream:
                lines.append(line)
                if "ready" in line:
                    daemon.terminate()
        self.assertEqual(daemon.wait(10), 0)
        self.assertTrue(all(re.match(r"<[0-7]>[a-z]", line) for line in lines), lines)


if __name__ == "__main__":
    main(at_once=3)
