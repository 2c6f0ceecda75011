#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tenurectl: any program becomes leader-only (S1), and what the other commands say and return."""

import collections
import json
import os
import signal
import subprocess
import sys

import processes
from case import SystemTest, main
from events import Feed, milliseconds, now
from replica import HERE, LEASE_NS, TENURECTL, until

GRACE_NS = 400_000_000

Beat = collections.namedtuple("Beat", "at pid term")


class RunTest(SystemTest):
    def setUp(self):
        super().setUp()
        self.file = self.directory / "beats"
        self.store = self.sqlite()
        self.runs = []

    def tearDown(self):
        for run in self.runs:
            processes.send(run.pid, signal.SIGCONT)
            processes.send(run.pid, signal.SIGTERM)
        for run in self.runs:
            run.wait(10)
        super().tearDown()
        self.check_beats()

    def check_beats(self):
        """Nothing of one term worked when something of the next one did (W3)."""
        spans = {}
        for beat in self.beats():
            first, last = spans.get(beat.term, (beat.at, beat.at))
            spans[beat.term] = (min(first, beat.at), max(last, beat.at))
        ordered = sorted(spans.items())
        for (term, (_, last)), (next_term, (first, _)) in zip(ordered, ordered[1:]):
            self.assertLess(last, first, f"terms {term} and {next_term} worked at once")

    def beats(self, term=None):
        if not self.file.exists():
            return []
        beats = [Beat(*map(int, line.split())) for line in self.file.read_text().splitlines() if line.count(" ") == 2]
        return [beat for beat in beats if term in (None, beat.term)]

    def wait_beat(self, term, count=1):
        """When the first of at least so many processes of the term worked."""

        def look():
            beats = self.beats(term)
            return beats[0].at if len({beat.pid for beat in beats}) >= count else 0

        return until(look, f"{count} at work in term {term}")

    def start(self, replica, *words, options=(), command=None):
        """tenurectl run, with its messages as a feed."""
        command = command or [sys.executable, "-S", HERE / "stubborn.py", self.file, *words]
        run = processes.spawn(
            [TENURECTL, "--socket", replica.socket, "run", *options, "engine", "--", *command],
            stderr=subprocess.PIPE,
            text=True,
        )
        run.messages = Feed(f"tenurectl run at {replica.name}")
        self.logs.append(run.messages)
        self.runs.append(run)
        replica.follow(run.stderr, run.messages)
        return run

    def deadline(self, replica):
        return int(replica.ask("check component=engine").fields["deadline"])

    def one(self, *words, **options):
        """One replica with a command at work."""
        replica = self.replica("a", self.store).start()
        run = self.start(replica, *words, **options)
        self.wait_beat(1, (1 + ("child" in words)) * (1 + ("daemon" in words)))
        return replica, run

    def pair(self, *words):
        """The same, and another replica that waits."""
        first, run = self.one(*words)
        second = self.replica("b", self.store).start()
        waiting = self.start(second, *words)
        until(lambda: (row := second.status())["worker"] == "joined" and row["leader"] == "a", "the other one waits")
        return first, run, second, waiting

    def assert_gone(self, pids):
        for pid in pids:
            self.assertFalse(processes.is_running(pid), f"process {pid} lives")

    def pids(self, term):
        return {beat.pid for beat in self.beats(term)}

    # S1

    def test_leader_only(self):
        """S1: an unchanged program runs where its node leads, and moves when it is stopped there"""
        _, run, _, _ = self.pair()
        self.assertEqual({beat.term for beat in self.beats()}, {1})
        asked_at = now()
        run.terminate()
        moved_at = self.wait_beat(2)
        self.assertEqual(run.wait(5), 0)
        self.figure(f"runs on the other replica {milliseconds(moved_at - asked_at):.0f} ms after SIGTERM")

    def test_environment(self):
        """S1: TENURE_COMPONENT, TENURE_TERM, TENURE_SOCKET"""
        replica = self.replica("a", self.store).start()
        out = self.directory / "environment"
        run = self.start(
            replica, options=["--once"], command=["sh", "-c", f"env | grep ^TENURE_ | sort > {out}; exit 7"]
        )
        self.assertEqual(run.wait(10), 7, "the command's status with --once")
        lines = [line for line in out.read_text().splitlines() if not line.startswith(("TENURE_BUILD", "TENURE_TEST"))]
        self.assertEqual(
            [line for line in lines if not line.startswith(("TENURE_MODE", "TENURE_SLOW"))],
            ["TENURE_COMPONENT=engine", "TENURE_LEASE=engine", f"TENURE_SOCKET={replica.socket}", "TENURE_TERM=1"],
        )

    def test_deaf_group_and_daemons(self):
        """S1: a program that ignores SIGTERM is killed before the deadline, with its group and its daemons"""
        first, _, _, _ = self.pair("deaf", "child", "daemon")
        pids = self.pids(1)
        self.assertGreaterEqual(len(pids), 3)
        self.assertIsNotNone(next((pid for pid in pids if os.getsid(pid) == pid), None) or pids)
        deadline = self.deadline(first)
        first.terminate()
        self.wait_beat(2)
        last = max(beat.at for beat in self.beats(1))
        self.assert_gone(pids)
        frozen = [int(word.split("=")[1]) for word in "".join(first.log.items).split() if word.startswith("deadline=")]
        self.assertLess(last, max([deadline + LEASE_NS // 5 + 50_000_000] + frozen))
        self.assertEqual(first.wait_exit(), 0)

    def test_killed_tenurectl(self):
        """S1: tenurectl is killed: the command does not outlive it, and another replica's runs"""
        _, run, _, _ = self.pair("deaf")
        pids = self.pids(1)
        killed_at = now()
        run.kill()
        moved_at = self.wait_beat(2)
        self.assert_gone(pids)
        self.figure(f"runs on the other replica {milliseconds(moved_at - killed_at):.0f} ms after SIGKILL")

    def test_killed_tenurectl_with_children(self):
        """S1, W12: tenurectl is killed: nothing that the command started outlives it, and then there is another term"""
        _, run, _, _ = self.pair("deaf", "child", "daemon")
        self.kill_with_children(run)

    def test_killed_tenurectl_after_restart(self):
        """S1, S5, W12: the same where the daemon was killed and started again before"""
        first, run, _, _ = self.pair("deaf", "child", "daemon")
        first.kill()
        first.start()
        run.messages.wait_for(lambda line: "is back" in line, "the daemon back")
        until(lambda: first.status()["worker"] == "working", "its worker")
        self.kill_with_children(run)

    def kill_with_children(self, run):
        pids = self.pids(1)
        self.assertGreaterEqual(len(pids), 3)
        killed_at = now()
        run.kill()
        moved_at = self.wait_beat(2)
        self.assert_gone(pids)
        last = max(beat.at for beat in self.beats(1))
        self.figure(f"the last one worked {milliseconds(last - killed_at):.1f} ms after SIGKILL")
        self.figure(f"runs on the other replica {milliseconds(moved_at - killed_at):.0f} ms after SIGKILL")

    def test_frozen_tenurectl(self):
        """S1, W3: tenurectl stands still while the term is revoked: all of the command is gone before the deadline"""
        first, run, _, _ = self.pair("deaf", "child", "daemon")
        pids = self.pids(1)
        processes.send(run.pid, signal.SIGSTOP)
        until(lambda: now() > self.beats()[0].at + LEASE_NS, "a lease")
        self.assertEqual(self.beats(2), [], "the lease goes on")
        first.terminate()
        first.wait_log("to=draining")
        deadline = first.page_deadline()
        self.wait_beat(2)
        last = max(beat.at for beat in self.beats(1))
        self.assert_gone(pids)
        self.assertLess(last, deadline)
        self.figure(f"killed {milliseconds(deadline - last):.0f} ms before the deadline")
        self.assertEqual(first.wait_exit(), 0)

    def test_killed_guardian(self):
        """S1, W15: the process between tenurectl and the command is killed: so is the command, and the term ends"""
        replica, run = self.one("deaf", "child", "daemon")
        pids = self.pids(1)
        guardians = [pid for pid in processes.descendants(run.pid) if pid not in pids]
        self.assertEqual(len(guardians), 1)
        processes.send(guardians[0], signal.SIGKILL)
        run.messages.wait_for(lambda line: "guardian was killed" in line, "the message")
        self.wait_beat(2, 3)
        self.assert_gone(pids)
        self.assertIsNone(run.poll())
        self.assertEqual(replica.status()["worker"], "working")

    def test_frozen_daemon(self):
        """S1, W1: the daemon stands still: the command is stopped before the deadline; it runs again after"""
        replica, run = self.one("deaf")
        until(lambda: now() > self.beats()[0].at + LEASE_NS // 4, "a renewal")
        replica.signal(signal.SIGSTOP)
        run.messages.wait_for(lambda line: "nobody extended" in line, "the message")
        run.messages.wait_for(lambda line: "ended with status" in line, "the end")
        ended_at = now()
        replica.signal(signal.SIGCONT)
        page = max(beat.at for beat in self.beats(1))
        again = self.wait_beat(2)
        self.assertLess(page, ended_at)
        self.assertGreater(again, ended_at)
        self.assertLess(page, self.beats()[0].at + 3 * LEASE_NS)

    def test_daemon_stopped_before_deadline(self):
        """S1: the last thing that a frozen daemon's deaf command does comes before the deadline on the page"""
        replica, _ = self.one("deaf")
        replica.signal(signal.SIGSTOP)
        deadline = replica.page_deadline()
        until(lambda: now() > deadline + 50_000_000, "the deadline")
        last = max(beat.at for beat in self.beats(1))
        self.assertLess(last, deadline)
        self.figure(f"killed {milliseconds(deadline - last):.0f} ms before the deadline")
        replica.signal(signal.SIGCONT)
        self.wait_beat(2)

    def test_daemon_restarted(self):
        """S1, S5: the daemon is killed and started again: the command is not disturbed"""
        replica, run = self.one()
        pids = self.pids(1)
        for _ in range(3):
            mark = run.messages.mark()
            replica.kill()
            replica.start()
            run.messages.wait_for(lambda line: "is back" in line, "the daemon back", after=mark)
            until(lambda: replica.status()["worker"] == "working", "its worker")
        end = now() + LEASE_NS
        until(lambda: now() > end, "a lease more")
        self.assertEqual(self.pids(1), pids)
        self.assertEqual(self.beats(2), [])
        times = [beat.at for beat in self.beats(1)]
        gap = max(b - a for a, b in zip(times, times[1:]))
        self.assert_within(gap, 250_000_000)
        self.figure(f"longest gap of its work {milliseconds(gap):.0f} ms")

    def test_daemon_appears_later(self):
        """S1: without a daemon it waits for one"""
        replica = self.replica("a", self.store)
        run = self.start(replica)
        run.messages.wait_for(lambda line: "waiting for it" in line, "the message")
        replica.start()
        self.wait_beat(1)

    def test_whole_replica_killed(self):
        """S1, W3: daemon and tenurectl killed together: the command dies with them, the other replica's runs"""
        first, run, _, _ = self.pair("deaf")
        pids = self.pids(1)
        first.signal(signal.SIGKILL)
        run.kill()
        first.kill()
        self.wait_beat(2)
        self.assert_gone(pids)

    def test_whole_replica_frozen(self):
        """S1, W3, W7: daemon, tenurectl and command stand still beyond the lease; woken, the command is gone at once"""
        first, run, _, _ = self.pair("deaf")
        victims = [first.pid, run.pid]
        for pid in victims:
            processes.freeze(pid)
        self.wait_beat(2)
        frozen_work = max(beat.at for beat in self.beats(1))
        # The command itself cannot be woken without a moment of work: it goes last.
        processes.send(first.pid, signal.SIGCONT)
        processes.send(run.pid, signal.SIGCONT)
        until(lambda: not any(processes.is_running(pid) for pid in self.pids(1)), "the old command's end")
        self.assertEqual(max(beat.at for beat in self.beats(1)), frozen_work)

    def test_command_ends(self):
        """S1, W15: a command that ends by itself gives the term up: after the cool-down there is another"""
        replica = self.replica("a", self.store, component={"cooldown": "500ms"}).start()
        begun_at = now()
        run = self.start(replica, command=["sh", "-c", "exit 3"])
        run.messages.wait_for(lambda line: "ended with status 3" in line, "the status")
        until(lambda: int(replica.status()["term"]) >= 2, "the next term")
        self.assertGreater(now() - begun_at, 500_000_000)

    def test_statuses_of_once(self):
        """--once: the command's status; 127 and 126 where it cannot be run; 128 + the signal"""
        replica = self.replica("a", self.store, component={"cooldown": "0ms"}).start()
        notes = self.directory / "notes.txt"
        notes.write_text("no program\n")
        for command, status in (
            (["true"], 0),
            (["sh", "-c", "exit 9"], 9),
            (["sh", "-c", "kill -KILL $$"], 137),
            ([self.directory / "nothing"], 127),
            ([notes], 126),
        ):
            run = self.start(replica, options=["--once"], command=command)
            self.assertEqual(run.wait(10), status, command)
        self.assertEqual(replica.status()["term"], "3", "what cannot be run wins no term")
        for command, status in ((self.directory / "nothing", 127), ("no-such-program", 127), (notes, 126)):
            result = replica.ctl("run", "engine", "--", command)
            self.assertEqual((result.returncode, result.stdout), (status, ""), command)
            self.assertIn(f"tenurectl: run: {command}: ", result.stderr)
        self.assertEqual(replica.status()["term"], "3")

    def test_stop_signal(self):
        """--stop-signal is what the command is told to end with"""
        replica = self.replica("a", self.store).start()
        text = "trap 'echo told; exit 0' USR1; trap '' TERM; echo ready; while :; do sleep 0.05; done"
        out = self.directory / "out"
        run = self.start(
            replica, options=["--once", "--stop-signal", "USR1"], command=["sh", "-c", f"exec >{out}; {text}"]
        )
        until(lambda: out.exists() and "ready" in out.read_text(), "the command")
        run.terminate()
        self.assertEqual(run.wait(10), 0)
        self.assertIn("told", out.read_text())

    def test_notify(self):
        """--notify: started is said at READY=1; a command that never says so is stalled (W16)"""
        replica = self.replica("a", self.store, component={"start_timeout": "2s", "cooldown": "100ms"}).start()
        run = self.start(replica, options=["--notify"])
        self.wait_beat(1)
        self.assertEqual(replica.status()["worker"], "starting")
        run.messages.wait_for(lambda line: "stalled" in line, "revoked")
        self.wait_beat(2)
        run.terminate()
        run.wait(10)
        self.runs.remove(run)
        before = int(replica.status()["term"])
        self.start(replica, "ready", options=["--notify"])
        until(lambda: replica.status()["worker"] == "working", "READY=1")
        self.wait_beat(before + 1)

    def test_status_text(self):
        """--notify: what the command says of itself is in the status, until its term is over (W20)"""
        replica = self.replica("a", self.store).start()
        go_on = self.directory / "go-on"
        os.mkfifo(go_on)
        program = (
            "import os, signal, socket\n"
            "to = '\\0' + os.environ['NOTIFY_SOCKET'][1:]\n"
            "say = lambda text: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(text.encode(), to)\n"
            "say('STATUS=loading 100 %')\n"
            f"open('{go_on}').read()\n"
            "say('READY=1\\nSTATUS=at work: \u00e4')\n"
            "signal.pause()\n"
        )
        run = self.start(replica, options=["--notify"], command=[sys.executable, "-c", program])
        until(lambda: replica.status()["message"] == "loading 100 %", "what it says before it has started")
        self.assertEqual(replica.status()["worker"], "starting")
        go_on.write_text("")
        until(lambda: replica.status()["message"] == "at work: \u00e4", "what it says then")
        self.assertEqual(replica.status()["worker"], "working")
        # A daemon that comes back is told again.
        replica.kill()
        replica.start()
        until(lambda: replica.status()["message"] == "at work: \u00e4", "what it says, at the next daemon")
        run.terminate()
        run.wait(10)
        until(lambda: replica.status()["message"] == "", "nothing is said of a term that is over")

    def test_wrong_usage(self):
        """Wrong usage is status 2, an unknown component 1, with a message on standard error and nothing on output"""
        replica = self.replica("a", self.store).start()
        for words, status in (
            ([], 2),
            (["bogus"], 2),
            (["check"], 2),
            (["check", "--term", "x", "engine"], 2),
            (["wait", "--for", "king", "engine"], 2),
            (["wait", "--timeout", "5", "engine"], 2),
            (["run", "engine"], 2),
            (["run", "--stop-signal", "NOPE", "engine", "--", "true"], 2),
            (["status", "-o", "xml"], 2),
            (["check", "nothing"], 1),
            (["run", "nothing", "--", "true"], 1),
        ):
            result = replica.ctl(*words)
            self.assertEqual(result.returncode, status, (words, result.stderr))
            self.assertEqual(result.stdout, "", words)
            self.assertNotEqual(result.stderr, "", words)

    # The other commands.

    def test_status(self):
        """W20: status as a table and as JSON, on the leader and beside it"""
        first, _, second, _ = self.pair()
        for replica, role, worker in ((first, "leader", "working"), (second, "standby", "joined")):
            result = replica.ctl("status", "-o", "json")
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            rows = json.loads(result.stdout)
            rows = rows if isinstance(rows, list) else next(iter(rows.values()))
            self.assertEqual(len(rows), 1)
            row = rows[0]
            wanted = {"component": "engine", "role": role, "leader": "a", "term": 1, "worker": worker}
            self.assertEqual({key: row.get(key) for key in wanted}, wanted)
            table = replica.ctl("status", "engine")
            self.assertEqual(table.returncode, 0)
            for word in ("engine", role, "a", "1"):
                self.assertIn(word, table.stdout)

    def test_check(self):
        """check: 0 here, 1 not, 3 without a daemon; silent with -q"""
        first, _, second, _ = self.pair()
        self.assertEqual(first.ctl("check", "engine").returncode, 0)
        self.assertEqual(first.ctl("check", "engine", "--term", "1").returncode, 0)
        self.assertEqual(first.ctl("check", "engine", "--term", "2").returncode, 1)
        self.assertEqual(second.ctl("check", "engine").returncode, 1)
        for replica, status in ((first, 0), (second, 1)):
            result = replica.ctl("check", "-q", "engine")
            self.assertEqual((result.returncode, result.stdout, result.stderr), (status, "", ""))
        second.stop()
        result = second.ctl("check", "engine")
        self.assertEqual(result.returncode, 3)
        self.assertIn("no daemon", result.stderr)

    def test_wait(self):
        """wait: 0 as soon as the role is there, 124 when the time is up"""
        first, run, second, _ = self.pair()
        self.assertEqual(first.ctl("wait", "engine").returncode, 0)
        self.assertEqual(second.ctl("wait", "engine", "--for", "standby").returncode, 0)
        start = now()
        self.assertEqual(second.ctl("wait", "engine", "--timeout", "300ms").returncode, 124)
        self.assertGreaterEqual(now() - start, 300_000_000)
        waiting = processes.spawn([TENURECTL, "--socket", second.socket, "wait", "engine", "--timeout", "10s"])
        run.terminate()
        self.assertEqual(waiting.wait(10), 0)
        self.assertEqual(second.status()["role"], "leader")

    def test_watch(self):
        """watch: the state first, then a line a change, as text and as JSON"""
        first, run, second, _ = self.pair()
        watches = []
        for options in ([], ["-o", "json"]):
            watch = processes.spawn(
                [TENURECTL, "--socket", second.socket, "watch", "--reconnect", "1s", *options],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            watch.lines = Feed("watch")
            second.follow(watch.stdout, watch.lines)
            watches.append(watch)
        text, objects = watches
        text.lines.wait_for(lambda line: "engine leader=a term=1" in line, "the present state")
        run.terminate()
        text.lines.wait_for(lambda line: "engine leader=b term=2" in line, "the change")
        objects.lines.wait_for(lambda line: json.loads(line).get("leader") == "b", "the change")
        for line in objects.lines.items:
            self.assertEqual(set(json.loads(line)), {"time", "component", "leader", "term"})
        second.stop()
        for watch in watches:
            self.assertEqual(watch.wait(10), 3, "the daemon ended")
        self.assertEqual(first.status()["component"], "engine")


if __name__ == "__main__":
    main(at_once=3)
