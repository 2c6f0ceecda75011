#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`tenurectl status` and `watch` on a real terminal: every state, wide and narrow, with and without colour."""

import json
import re
import signal
import subprocess

import processes
from case import SystemTest, main
from events import now
from fake_daemon import FakeDaemon, row
from replica import TENURECTL, Feed, Replica, until
from terminal import PROMPT, Terminal

LONG = "a-name-that-is-as-long-as-a-name-may-be-and-there-is-no-more-of-x"[:64]
HEADING = r"^COMPONENT +ROLE +LEADER +TERM +SINCE +VALID WORKER +STORE"
RED = "\033[31m"

# What is told, and what the line looks like. Times stand still in a fake daemon.
STATES = {
    "idle": (row(leader="b", term=7, since_ms=61_000), r"^engine +idle +b +7 1m 01s +- none +ok +-$"),
    "standby": (
        row(role="standby", leader="b:1", term=7, since_ms=3_700_000, worker="joined"),
        r"^engine +standby +b:1 +7 1h 01m +- joined +ok +-$",
    ),
    "leader": (
        row(role="leader", leader="host-a", term=8, since_ms=5_500, ttl_ms=7_912, worker="working"),
        r"^engine +leader +host-a +8 +5\.5s +7\.9s working +ok +-$",
    ),
    "draining": (
        row(role="draining", leader="host-a", term=8, since_ms=200_000_000, ttl_ms=900, worker="stopping"),
        r"^engine +draining +host-a +8 2d 07h +0\.9s stopping +ok +-$",
    ),
    "leaderless": (row(term=8), r"^engine +idle +- +8 +- +- none +ok +-$"),
    "paused": (
        row(leader="b", term=8, since_ms=1000, paused="host-c"),
        r"^paused through host-c: leaders stay, nobody new is elected$(.|\n)*^engine +idle +b +8 +1\.0s",
    ),
    "store down": (
        row(term=8, store="unavailable", error="no route to\033[2J host"),
        r"^engine +idle +- +8 +- +- none +unavailable +-$",
    ),
    "candidates": (
        row(leader="b", term=8, since_ms=1000, candidates="b:2:400:0,c:0:1:-7,d:90000:2"),
        r"^engine +idle +b +8 +1\.0s +- none +ok +b:2 0\.4s, c:0 0\.0s, d 1m 30s$",
    ),
    "group": (row(leader="b", term=8, since_ms=1000, group="console"), r"^engine +idle .* ok +console +-$"),
    "message": (
        row(leader="host-a", term=8, message="höchstens 3\tof 10"),
        r"^engine +idle .*\n\nCOMPONENT MESSAGE\nengine +höchstens 3\\x09of 10$",
    ),
    "older daemon": (
        row(leader="b", term=8, group=None, paused=None, candidates=None, reason=None, message=None, more="x"),
        r"^engine +idle +b +8 +- +- none +ok +-$",
    ),
}


class TerminalTest(SystemTest):
    def terminal(self, *size):
        terminal = Terminal(self.directory, *size)
        self.addCleanup(terminal.close)
        return terminal

    def fake(self):
        daemon = FakeDaemon(self.directory / "fake.sock")
        self.addCleanup(daemon.close)
        return daemon

    def status(self, terminal, path, *words, environment=()):
        """The screen, cleared before, once the command has ended."""
        terminal.clear()
        terminal.type("env", *environment, TENURECTL, "--socket", path, "status", *words)
        return terminal.wait(HEADING, rf"^{PROMPT}$")


class StatusTest(TerminalTest):
    def test_states(self):
        """W20: every state as a fake daemon tells it, at 80 and 200 columns, with colour and without"""
        daemon = self.fake()
        for width, environment in ((80, ""), (200, ""), (80, "NO_COLOR=1"), (200, "TERM=dumb")):
            terminal = self.terminal(width, 24)
            for name, (told, pattern) in STATES.items():
                with self.subTest(state=name, width=width, environment=environment):
                    daemon.show(told)
                    screen = self.status(terminal, daemon.path, environment=environment.split())
                    self.assertRegex(screen, re.compile(pattern, re.M))
                    self.assertEqual("tenurectl: store unavailable: no route to" in screen, name == "store down")
                    colored = RED in terminal.screen(colors=True)
                    self.assertEqual(colored, not environment and told["leader"] == "")


    def test_color(self):
        """--color decides where it is given: on a terminal, into a pipe, against NO_COLOR"""
        daemon = self.fake()
        daemon.show(row(term=8), row("other", leader="b", term=7))
        terminal = self.terminal(100, 24)
        for words, environment, colored in (
            ((), "", True),
            ((), "NO_COLOR=1", False),
            (("--color=never",), "", False),
            (("--color=always",), "NO_COLOR=1", True),
            (("--color",), "TERM=dumb", True),
            (("--color=auto",), "NO_COLOR=", True),
        ):
            self.status(terminal, daemon.path, *words, environment=environment.split())
            lines = terminal.screen(colors=True).splitlines()
            self.assertEqual([line[: len(RED)] == RED for line in lines if "idle" in line], [colored, False], words)
        piped = self.ctl(daemon, "status").stdout
        self.assertEqual((RED in piped, "engine" in piped), (False, True))
        self.assertIn(RED + "engine", self.ctl(daemon, "status", "--color=always").stdout)
        self.assertNotIn(RED, self.ctl(daemon, "status", "--color=always", "-o", "json").stdout)

    def ctl(self, daemon, *words):
        command = [TENURECTL, "--socket", daemon.path, *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)

    def test_long_names(self):
        """What is too wide is cut at the terminal's width, a column that does not fit is left out, a pipe gets all"""
        daemon = self.fake()
        candidates = ",".join(f"{LONG[:-1]}{digit}:{digit}00:0" for digit in range(9))
        daemon.show(row(LONG, leader=LONG, group=LONG, term=10**16, worker="working", candidates=candidates))
        screens = {}
        for width in (40, 80, 200):
            terminal = self.terminal(width, 24)
            terminal.type(TENURECTL, "--socket", daemon.path, "status")
            screens[width] = terminal.wait(r"^COMPONENT", rf"^{PROMPT}$")
            heading, line = screens[width].split("\n")[-3:-1]
            self.assertLessEqual(max(len(heading), len(line)), width)
            self.assertRegex(line, rf"^{LONG[:9]}\S* +idle +{LONG[:6]}\S* +{10**16}")
        self.assertRegex(screens[200], rf"GROUP +CANDIDATES *\n.* {LONG[:12]}\S+ +{LONG[:12]}\S+")
        self.assertNotIn("CANDIDATES", screens[80])
        piped = self.ctl(daemon, "status").stdout.split("\n")[1].split(maxsplit=9)
        self.assertEqual(piped[0::8], [LONG, LONG])
        self.assertEqual(piped[9], ", ".join(f"{LONG[:-1]}{digit} 0.{digit}s" for digit in range(9)))

    def test_json(self):
        """-o json: numbers are numbers, candidates an array, and the keys are there whatever the daemon tells"""
        daemon = self.fake()
        daemon.show(
            row(leader="b", term=8, candidates="b:2:400:0,c:0:1:-7,nonsense,d::1,e:1:", message="3 \"of\" 10"),
            {"component": "old"},
        )
        told, old = json.loads(self.ctl(daemon, "status", "-o", "json").stdout)["components"]
        self.assertEqual(
            told["candidates"],
            [{"node": "b:2", "seen_ms": 400, "priority": 0}, {"node": "c:0", "seen_ms": 1, "priority": -7}],
        )
        self.assertEqual((told["term"], told["message"], told["group"], told["paused"]), (8, '3 "of" 10', None, None))
        self.assertEqual((list(old), old["candidates"], old["term"], old["group"]), (list(told), [], 0, None))

    def test_real_daemons(self):
        """W20: what two real daemons say: leader, standby, idle, leaderless, draining"""
        store = self.sqlite()
        first, second = (self.replica(name, store, components=("engine", "other")).start() for name in "ab")
        slow = self.client(first, "engine", stop=False)
        slow.wait("granted")
        self.client(second, "engine")
        until(lambda: second.status()["leader"] == "a", "b sees a lead")
        terminal = self.terminal(80, 24)
        leads, waits = r"leader +a +1 +\d\.\ds +\d\.\ds working", r"standby +a +1 +\S+ +- joined"
        for replica, engine in ((first, leads), (second, waits)):
            screen = self.status(terminal, replica.socket)
            self.assertRegex(screen, re.compile(rf"^engine +{engine} +ok ", re.M))
            self.assertRegex(screen, re.compile(r"^other +idle +- +0 +- +- none +ok ", re.M))
            self.assertIn(RED + "other", terminal.screen(colors=True))
        first.terminate()
        revoked = slow.wait("revoked")
        screen = self.status(terminal, first.socket)
        self.assertRegex(screen, re.compile(r"^engine +draining +a +1 +\d\.\ds +(-|\d\.\ds) stopping ", re.M))
        slow.reply("stopped", revoked)


class WatchTest(TerminalTest):
    def watch(self, terminal, path, *words, environment=()):
        terminal.type("env", *environment, TENURECTL, "--socket", path, "watch", *words)

    def test_states(self):
        """Every state in the live table, as it comes, at 80 and 200 columns, with colour and without"""
        daemon = self.fake()
        terminals = [
            (self.terminal(width, 24), environment)
            for width, environment in ((80, ""), (200, ""), (80, "NO_COLOR=1"), (200, "NO_COLOR=1"))
        ]
        for terminal, environment in terminals:
            self.watch(terminal, daemon.path, environment=environment.split())
        for name, (told, pattern) in STATES.items():
            daemon.show(told)
            leaderless = not told["leader"]
            first = r"\Ahost-a  \S+Z  1 component" + (", 1 without a leader" if leaderless else "") + "  .q quits"
            notice = r"^the store: no route to \[2J host$" if name == "store down" else ""
            for terminal, environment in terminals:
                with self.subTest(state=name, environment=environment):
                    terminal.wait(first, HEADING, pattern, notice, without=[] if notice else ["the store"])
                    if leaderless and not environment:
                        terminal.wait(re.escape(RED) + "engine", colors=True)
                    else:
                        self.assertNotIn(RED, terminal.screen(colors=True))

    def test_at_every_change(self):
        """A change is shown at once, and once a second what only time changes"""
        daemon = self.fake()
        terminal = self.terminal(80, 24)
        daemon.show(row(leader="b", term=1))
        self.watch(terminal, daemon.path, "engine")
        terminal.wait(r"^engine +idle +b +1 ")
        delays = []
        for term in range(2, 13):
            asked, at = len(daemon.asked_at), now()
            daemon.show(row(leader="b", term=term))
            terminal.wait(rf"^engine +idle +b +{term} ")
            delays.append(daemon.asked_at[asked] - at)
        self.assertLess(self.figure_times("asked after a change", delays)[5], 500)
        daemon.rows = [row(leader="b", term=12, since_ms=5000)]  # and nobody is told
        terminal.wait(r"^engine +idle +b +12 +5\.0s ")

    def test_resize(self):
        """The table has the terminal's size, whatever that becomes, and nothing of the old one is left"""
        daemon = self.fake()
        names = [f"engine-{number:02}" for number in range(40)]
        daemon.show(*(row(name, leader=LONG, term=8, candidates=f"{LONG}:1:0") for name in names))
        terminal = self.terminal(200, 50)
        self.watch(terminal, daemon.path)
        for width, height in ((200, 50), (80, 24), (30, 5), (120, 60), (200, 10)):
            terminal.resize(width, height)
            # Rows that do not fit are not there, and the others are as wide as they can be.
            rows = "\n".join(f"{name} .*" for name in names[: height - 2])
            whole = rf"^engine-00 .* {LONG} 0\.0s$"
            terminal.wait(
                rf"\Ahost-a.*\nCOMPONENT.*\n{rows}\Z",
                whole if width == 200 else "",
                without=[] if width == 200 else [whole],
            )
        terminal.press("q")
        terminal.wait(rf"^{PROMPT}$")

    def test_leaves(self):
        """q, Ctrl-C and SIGTERM leave the terminal as it was; Ctrl-Z lends it to the shell"""
        daemon = self.fake()
        terminal = self.terminal(80, 24)
        terminal.type_text(f"clear; echo before; stty -a >{self.directory}/before")
        terminal.wait("^before$")
        for leave, status in (("q", 0), ("C-c", 130), ("TERM", 143), ("HUP", 129)):
            self.watch(terminal, daemon.path)
            screen = terminal.wait(r"^engine +idle", without=["before"])
            self.assertNotIn(PROMPT, screen)
            if leave in ("TERM", "HUP"):
                processes.send(terminal.program(), getattr(signal, f"SIG{leave}"))
            else:
                terminal.press(leave)
            terminal.wait("^before$", rf"^{PROMPT}$", without=["engine", "COMPONENT"])
            self.check_left(terminal, status)
        self.watch(terminal, daemon.path)
        terminal.wait(r"^engine +idle")
        # What it asked for before comes while it is stopped: not to be shown on the shell's screen.
        with daemon.lock:
            heard = daemon.heard
            until(lambda: daemon.heard > heard, "a round")
            terminal.press("C-z")
            terminal.wait("^before$", "Stopped", without=["COMPONENT"])
        terminal.type_text("fg")
        terminal.wait(r"\Ahost-a", r"^engine +idle", without=["before"])
        terminal.press("q")
        terminal.wait("^before$", rf"^{PROMPT}$", without=["COMPONENT"])
        self.check_left(terminal, 0)

    def check_left(self, terminal, status):
        terminal.type_text(f'echo "status $?"; stty -a | diff {self.directory}/before - && echo same')
        terminal.wait(rf"^status {status}\nsame$")
        terminal.type_text("clear; echo before")
        terminal.wait("^before$", without=["same"])

    def test_daemon_goes_away(self):
        """S5: a daemon that is killed, frozen or restarted: the table says so, and goes on by itself"""
        replica = self.replica("a").start()
        self.client(replica, "engine").wait("granted")
        terminal = self.terminal(80, 24)
        self.watch(terminal, replica.socket)
        terminal.wait(r"^engine +leader +a +1 ")
        replica.kill()
        terminal.wait(r"^the daemon has ended; connecting again$", without=["engine"])
        self.assertIn(RED + "the daemon", terminal.screen(colors=True))
        replica.start()
        terminal.wait(r"\Aa  ", r"^engine +leader +a +1 .* away ", without=["connecting"])
        self.client(replica).join("engine", term=1)
        terminal.wait(r"^engine +leader +a +1 .* working ")
        replica.signal(signal.SIGSTOP)
        terminal.wait(r"^the daemon does not answer; connecting again$", without=["engine"])
        replica.signal(signal.SIGCONT)
        terminal.wait(r"^engine +\w+ +a +", without=["connecting"])
        terminal.press("q")
        terminal.wait(rf"^{PROMPT}$")

    def test_refused(self):
        """A component that is not there ends it with a message on the screen that was there before"""
        daemon = self.fake()
        terminal = self.terminal(80, 24)
        self.watch(terminal, daemon.path, "engine", "none")
        terminal.wait(r"^tenurectl: refused \(unknown-component\): not configured here$", rf"^{PROMPT}$")

    def test_lines(self):
        """S5: lines go on after a restart, which is said once on standard error, and end where no daemon comes back"""
        replica = self.replica("a").start()
        self.client(replica, "engine").wait("granted")
        lines, said = Feed("lines"), Feed("said")
        command = [TENURECTL, "--socket", replica.socket, "watch", "--reconnect", "2s", "engine"]
        watch = processes.spawn(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(watch.kill)
        Replica.follow(watch.stdout, lines)
        Replica.follow(watch.stderr, said)
        first = lines.wait_for(lambda line: line.endswith(" engine leader=a term=1"), "the leader")
        replica.kill()
        said.wait_for(lambda line: line == "tenurectl: the daemon has ended; connecting again", "the end")
        mark = lines.mark()
        replica.start()
        again = lines.wait_for(lambda line: line.endswith(" engine leader=a term=1"), "the leader", after=mark)
        self.assertLess(first, again)
        self.assertEqual(len(said.items), 1)
        self.client(replica).join("engine", term=1)
        replica.stop()
        self.assertEqual(watch.wait(10), 3)
        said.wait_for(lambda line: line == "tenurectl: the daemon has ended", "the last word")
        self.assertEqual(len(said.items), 3)


if __name__ == "__main__":
    main(at_once=2)
