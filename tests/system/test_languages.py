#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The workers of src/examples in Python and in Go: one list of scenarios, and what they wrote down as their work.

And the one in shell, which leaves all of it to `tenurectl run`.
"""

import os
import shutil
import signal
import struct
import subprocess
import sys
import types
import unittest

import processes
import test_pauses
import test_resume
from case import PostgresTest, SystemTest, main
from events import PATIENCE_S, milliseconds, now, read_tenures
from fake_daemon import FakeDaemon, line
from replica import BUILD, LEASE_NS, WORKER, until

GO = WORKER.parents[1] / "go/worker.go"
SOON_NS = LEASE_NS // 4
TERM_AT, DEADLINE_AT, SEQUENCE_AT = (test_resume.HEADER_SIZE + offset for offset in (8, 16, 0))


class HangsUp(FakeDaemon):
    """Grants one term until a deadline, has no terms page, and says nothing to who comes back with the term."""

    def __init__(self, path, deadline):
        self.deadline = deadline
        self.ends = []  # when connections ended on the other side
        super().__init__(path)

    def _answer(self, peer, word, fields):
        if word == "hello":
            return line("ok", version=1, terms="/nowhere")
        if word != "join" or "term" in fields:
            return ""
        seat = {"component": fields["component"]}
        return line("ok", **seat, slot=0) + line("granted", **seat, term=1, deadline=self.deadline)

    def _serve(self, peer):
        super()._serve(peer)
        self.ends.append(now())


class Scenarios:
    """What a worker goes through. All of a component write their work to one file."""

    patience = 3  # it runs beside other tests
    language, command = None, []

    def shortDescription(self):
        return f"{self.language}: {super().shortDescription()}"

    def worker(self, replica, component="engine", work=None, **options):
        work = work or self.directory / f"work-{component}"
        return super().worker(replica, component, command=["env", f"WORK={work}", *self.command], **options)

    def pieces(self, component="engine"):
        """When a worker found that it may work, and in which term; in that order."""
        path = self.directory / f"work-{component}"
        lines = path.read_text().splitlines() if path.exists() else []
        return sorted(tuple(map(int, text.split())) for text in lines)

    def wait_work(self, term, after=0):
        until(lambda: any(at > after and of == term for at, of in self.pieces()), f"work in term {term}")

    def end_daemons(self):
        super().end_daemons()
        for component in {feed.component for feed in self.feeds if hasattr(feed, "component")}:
            self.check_work(component)

    def check_work(self, component):
        """W3: nothing was done outside of a term, nor after anything was done in a later one."""
        pieces = self.pieces(component)
        for (_, term), (at, after) in zip(pieces, pieces[1:]):
            self.assertLessEqual(term, after, f"{component} at {at / 1e9:.6f}: work in a term that is over")
        for feed in self.feeds:
            for tenure in read_tenures(feed):
                times = [at for at, term in pieces if (component, term) == (tenure.component, tenure.term)]
                end = feed.gone_at if tenure.end == feed.dead_at else tenure.end
                if times:
                    self.assertGreater(times[0], tenure.begin, tenure)
                    self.assertLess(times[-1], end or now(), tenure)

    def tell_to_end(self, worker):
        told_at = now()
        worker.process.send_signal(signal.SIGTERM)
        self.assertEqual(worker.process.wait(PATIENCE_S), 0)
        self.assert_within(now() - told_at, SOON_NS, "its end")
        worker.wait_end()

    # Of other tests.

    lead = test_resume.ResumeTest.lead
    write = staticmethod(test_resume.ResumeTest.write)
    refused = test_resume.ResumeTest.refused
    test_killed_and_restarted = test_resume.ResumeTest.test_killed_and_restarted
    test_worker_dies_meanwhile = test_resume.ResumeTest.test_worker_dies_meanwhile
    test_killed_for_good = test_resume.ResumeTest.test_killed_for_good
    test_refused_other_boot = test_resume.ResumeTest.test_refused_other_boot
    test_refused_corrupt_header = test_resume.ResumeTest.test_refused_corrupt_header
    test_refused_truncated = test_resume.ResumeTest.test_refused_truncated
    test_refused_implausible_deadline = test_resume.ResumeTest.test_refused_implausible_deadline
    test_refused_other_node = test_resume.ResumeTest.test_refused_other_node
    test_refused_other_lease = test_resume.ResumeTest.test_refused_other_lease
    test_lapsed = test_resume.ResumeTest.test_lapsed
    test_session_killed_meanwhile = test_resume.ResumeTest.test_session_killed_meanwhile
    pair = test_pauses.PausesTest.pair
    test_frozen_daemon = test_pauses.PausesTest.test_frozen_daemon
    test_frozen_replica = test_pauses.PausesTest.test_frozen_replica

    # The beginning and the end of the work.

    def test_worker_killed(self):
        """W14, S2: killed, another leads; told to stop, it stops, and leads again"""
        _, (first, second) = self.pair()
        leader = self.worker(first)
        leader.wait("granted", term=1)
        standby = self.worker(second).wait_joined()
        self.wait_work(1)
        leader.kill()
        standby.wait("granted", term=2)
        self.wait_work(2)
        self.assertEqual(second.ctl("resign", "engine", "--cooldown", "1ms").returncode, 0)
        standby.wait("revoked", reason="resigned")
        standby.wait("stopped", term=2)
        standby.wait("granted", term=3)
        self.wait_work(3)

    def fails(self, work, reason):
        """A worker that cannot work at a, and one at b that can and leads."""
        _, (first, second) = self.pair()
        failing = self.worker(first, work=work)
        failing.wait("yield", term=1, reason=reason)
        other = self.worker(second)
        granted = other.wait("granted")
        self.wait_work(granted.number("term"))
        return failing, other

    def test_start_fails(self):
        """W15: a start that fails yields, and another replica leads; where it works again, it leads again"""
        place = self.directory / "place"
        failing, other = self.fails(place / "work", "start")
        self.assertEqual(failing.all("started"), [])
        place.mkdir()
        self.tell_to_end(other)
        failing.wait("started")
        until(lambda: (place / "work").read_text(), "work")

    def test_work_fails(self):
        """W15: work that fails in the middle of a term yields, and another replica leads"""
        failing, _ = self.fails("/dev/full", "work")
        failing.wait("started", term=1)

    def test_told_to_end(self):
        """W14: SIGTERM: the work ends, the worker leaves and exits with 0, and another leads at once"""
        _, (first, second) = self.pair()
        leader = self.worker(first)
        leader.wait("granted")
        standby = self.worker(second).wait_joined()
        self.wait_work(1)
        self.tell_to_end(leader)
        self.assertEqual(leader.items[-1].word, "leave")
        self.assert_within(standby.wait("granted", term=2).at - leader.items[-1].at, SOON_NS)

    def test_told_to_end_elsewhere(self):
        """SIGTERM to one that waits, to one whose daemon stands still, to a leader whose daemon is gone: as well"""
        _, (first, second) = self.pair()
        leader = self.worker(first)
        leader.wait("granted")
        waiting = self.worker(second).wait_joined()
        self.tell_to_end(waiting)
        self.assertEqual(waiting.items[-1].word, "leave")
        waiting = self.worker(second).wait_joined()
        processes.freeze(second.pid)
        self.tell_to_end(waiting)
        processes.thaw(second.pid)
        first.kill()
        self.wait_work(1, after=now())
        self.tell_to_end(leader)

    def test_refused(self):
        """A component that nobody configured: an exit status"""
        first = self.replica("a", self.database()).start()
        worker = self.worker(first, "nothing")
        worker.wait("error", code="unknown-component")
        self.assertEqual(worker.process.wait(PATIENCE_S), 1)

    # With a term, and without a daemon that says so.

    def test_works_on(self):
        """S5: SIGKILL to the leader's daemon, and a restart: the work goes on all the time, in the same term"""
        _, replica, (leader,), _ = self.lead(("engine",))
        begun_at, mark = now(), leader.mark()
        replica.kill()
        self.wait_work(1, after=now())
        replica.start()
        again = leader.wait("join", after=mark, term=1)
        extended = leader.wait("extended", after=leader.items.index(again), term=1)
        self.wait_work(1, after=extended.at)
        times = [at for at, _ in self.pieces() if at > begun_at]
        pause = max(after - before for before, after in zip(times, times[1:]))
        self.assert_within(pause, LEASE_NS // 10, "the longest pause")
        self.figure(f"the longest pause between two pieces of work: {milliseconds(pause):.1f} ms")

    def test_started_unheard(self):
        """S5: SIGKILL to the daemon before it heard that the work has started: the next one is told"""
        replica = self.replica("a", self.database()).start()
        leader = self.worker(replica)
        leader.wait("granted", term=1)
        sleeper = self.worker(replica).wait_joined()
        processes.freeze(sleeper.pid)
        leader.kill()
        until(lambda: replica.status()["term"] == "2", "the next term")
        replica.kill()
        processes.thaw(sleeper.pid)
        sleeper.wait("started", term=2)
        replica.start()
        until(lambda: replica.status()["worker"] == "working", "the daemon knows")
        self.assertEqual(sleeper.all("revoked"), [])

    def test_stale_term(self):
        """S5: the next daemon knows nothing of the term: the work ends when the worker hears it, and it joins anew"""
        replica = self.replica("a", self.database()).start()
        leader = self.worker(replica)
        leader.wait("extended")
        replica.kill()
        (replica.run_dir / "terms").unlink()
        replica.start()
        stale = leader.wait("error", code="stale")
        self.assert_within(leader.wait("over").at - stale.at, LEASE_NS // 20)
        leader.wait("granted", term=2)
        self.wait_work(2)

    def test_hung_up(self):
        """W3: the daemon hangs up: the worker works on, and until it has ended it keeps the connection"""
        daemon = HangsUp(self.directory / "sock", now() + LEASE_NS)
        self.addCleanup(daemon.close)
        place = types.SimpleNamespace(name="nowhere", socket=daemon.path, store=types.SimpleNamespace(scope=daemon))
        worker = self.worker(place)
        worker.wait("started")
        daemon.peers[0].shutdown(1)
        worker.wait("join", term=1)
        self.wait_work(1, after=now())
        over = worker.wait("over")
        self.assertGreater(until(lambda: daemon.ends, "the end of the connection")[0], over.at)

    def test_page_says_no(self):
        """W7, W1: another term on the page, a deadline that is past or that none can be, a page that is written"""
        replica = self.replica("a", self.database()).start()
        leader = self.worker(replica)
        past, never = (struct.pack("=q", deadline) for deadline in (1, 1 << 62))
        spoils = [(TERM_AT, struct.pack("=Q", 99)), (DEADLINE_AT, past), (DEADLINE_AT, never)]
        spoils.append((SEQUENCE_AT, b"\1\0\0\0"))
        for term, (offset, data) in enumerate(spoils, 1):
            leader.wait("granted", term=term)
            self.wait_work(term)
            deadline = leader.wait("extended", after=leader.mark()).number("deadline")
            processes.freeze(replica.pid)
            before = (replica.run_dir / "terms").read_bytes()[offset:][: len(data)]
            self.write(replica, offset, data)
            written_at = now()
            over = leader.wait("over", term=term)
            self.assertLess(over.at, deadline)
            self.assert_within(over.at - written_at, LEASE_NS // 10)
            self.write(replica, offset, before)
            processes.thaw(replica.pid)
            leader.wait("stopped", term=term)  # for the daemon takes it that the work goes on

    def test_page_replaced(self):
        """S5: the next daemon has another terms page: the worker looks at that one"""
        replica = self.replica("a", self.database()).start()
        leader = self.worker(replica)
        self.wait_work(1)
        replica.stop()
        (replica.run_dir / "terms").unlink()
        replica.start()
        leader.wait("extended", term=2)
        self.wait_work(2)

    def test_page_of_another_boot(self):
        """W7: a terms page of another boot is not looked at: by the deadline that it heard the worker stops"""
        replica = self.replica("a", self.database()).start()
        self.write(replica, test_resume.BOOT_ID_AT, b"0" * 8)
        leader = self.worker(replica)
        leader.wait("extended")
        processes.freeze(replica.pid)
        self.write(replica, TERM_AT, struct.pack("=Q", 99))
        self.wait_work(1, after=now())
        over = leader.wait("over")
        self.assert_within(over.at - leader.last("extended").number("deadline"), LEASE_NS // 100)
        processes.thaw(replica.pid)
        leader.wait("stopped")

    def test_woken_alone(self):
        """W7, W3: daemon and worker stopped beyond the lease, the worker woken first: it does nothing more"""
        _, (first, second) = self.pair()
        leader = self.worker(first)
        leader.wait("extended")
        self.worker(second).wait_joined()
        processes.freeze(leader.pid)
        processes.freeze(first.pid)
        self.wait_work(2)
        mark = leader.mark()
        processes.thaw(leader.pid)
        leader.wait("over", after=mark)
        processes.thaw(first.pid)
        leader.wait("stopped", after=mark)

    def test_granted_asleep(self):
        """W7: a term that was over before the worker heard of it is not begun, and the next one is"""
        _, (first, second) = self.pair()
        leader = self.worker(first)
        leader.wait("granted")
        sleeper = self.worker(second).wait_joined()
        processes.freeze(sleeper.pid)
        leader.kill()
        until(lambda: second.status()["role"] == "leader", "b leads")
        processes.freeze(second.pid)
        deadline = second.page_deadline()
        until(lambda: now() > deadline, "the deadline")
        processes.thaw(sleeper.pid)
        sleeper.wait("granted", term=2)
        processes.thaw(second.pid)
        sleeper.wait("started", term=3)
        self.assertEqual(len(sleeper.all("started")), 1)
        self.wait_work(3)


class PythonTest(Scenarios, PostgresTest):
    language = "Python"
    command = [sys.executable, "-S", WORKER]


@unittest.skipUnless(shutil.which("go"), "no Go is installed")
class GoTest(Scenarios, PostgresTest):
    language = "Go"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        directory = cls.class_directory()
        cls.command = [directory / "worker"]
        environment = {**os.environ, "GOCACHE": str(directory / "cache"), "GO111MODULE": "off"}
        subprocess.run(["go", "vet", GO], check=True, env=environment)
        subprocess.run(["go", "build", "-o", *cls.command, GO], check=True, env=environment)


class ShellTest(SystemTest):
    def start(self, replica):
        process = processes.spawn(
            [WORKER.parents[1] / "shell/worker.sh", "engine"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PATH": f"{BUILD}:{os.environ['PATH']}", "TENURE_SOCKET": str(replica.socket)},
        )
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        until(lambda: replica.status()["worker"] != "none", "it has joined")
        return process.stdout

    def test_line(self):
        """Shell: one line works where its replica leads, and where the next one does"""
        store = self.sqlite()
        replicas = [self.replica(name, store).start() for name in "ab"]
        first, second = [self.start(replica) for replica in replicas]
        self.assertEqual(first.readline(), "1\n")
        self.assertEqual(replicas[0].ctl("resign", "engine").returncode, 0)
        self.assertEqual(second.readline(), "2\n")


if __name__ == "__main__":
    main(at_once=4)
