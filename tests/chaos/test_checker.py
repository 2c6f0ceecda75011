#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The checker of `make chaos` finds each kind of bad history, and only that."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest
import xml.dom.minidom

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "system"))

# pylint: disable=wrong-import-position
import checker
import faults

MS = checker.MS
START = 5_000_000 * MS
SECONDS = 30
NAMES = [invariant.__name__ for invariant in checker.INVARIANTS]


class Story:
    """A good history: node a leads for ten seconds, is killed, and b follows; what a test adds makes it bad."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        (self.directory / "beats").mkdir()
        self.faults, self.stalls, self.writes, self.deaths = [], [], [], []
        self.beats = {}
        self.about = {
            "lease_ms": 2000,
            "stop_grace_ms": 400,
            "begin": START,
            "end": START + SECONDS * 1000 * MS,
            "nodes": ["a", "b"],
            "faults": ["daemon killed"],
            "leases": {"engine": ["engine"], "pair": ["left", "right"]},
        }
        self.lead("engine", "a", 1, 0, 10_000)
        self.fault("daemon killed", "a", 10_000, 10_100, recovery_ms=3000)
        self.lead("engine", "b", 2, 12_000, 30_000)
        for component in ("left", "right"):
            self.lead(component, "a", 1, 0, 30_000)
        for component, term in (("engine", 1), ("engine", 2), ("left", 1), ("right", 1)):
            for fenced in (1, 0):
                self.write(component, term, fenced)

    def say(self, component, node, word, at_ms, term, pid, deadline_ms=0):
        deadline = START + int((deadline_ms or at_ms + 1500) * MS)
        line = f"{word} {START + int(at_ms * MS)} {term} {pid} {deadline}\n"
        self.beats.setdefault(f"{component}.{node}", []).append(line)

    def lead(self, component, node, term, begin_ms, end_ms, pid=None, over=True, step_ms=10):
        pid = pid or 100 + term
        self.say(component, node, "start", begin_ms, term, pid)
        for at in range(begin_ms, end_ms, step_ms):
            self.say(component, node, "beat", at, term, pid)
        if over:
            self.say(component, node, "over", end_ms - 5, term, pid)

    def fault(self, name, where, begin_ms, end_ms, recovery_ms):
        common = {"id": len(self.faults), "name": name, "where": where}
        self.faults.append({"word": "begin", **common, "at": START + begin_ms * MS, "recovery_ms": recovery_ms})
        self.faults.append({"word": "end", **common, "at": START + end_ms * MS})

    def stall(self, at_ms, late_ms):
        self.stalls[:] = [f"{START + at_ms * MS}\t{late_ms * MS}\n"]

    def death(self, at_ms, pid):
        self.deaths.append(f"{START + at_ms * MS}\t{pid}\n")

    def write(self, component, term, fenced, held=None, after=0):
        self.writes.append(f"{component}\t{term}\t{fenced}\t{held or term}\t{after}\n")

    def save(self):
        (self.directory / "run.json").write_text(json.dumps(self.about))
        (self.directory / "faults.jsonl").write_text("".join(json.dumps(fault) + "\n" for fault in self.faults))
        (self.directory / "stalls.tsv").write_text("".join(self.stalls))
        (self.directory / "writes.tsv").write_text("".join(self.writes))
        (self.directory / "deaths.tsv").write_text("".join(self.deaths))
        for name, lines in self.beats.items():
            (self.directory / "beats" / name).write_text("".join(lines))
        return checker.History(self.directory)


class CheckerTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.story = Story(directory.name)

    def expect(self, *broken, words=(), rows=()):
        """Exactly these invariants are broken, all words are in what is said about it, and all rows in the table."""
        history = self.story.save()
        said = {invariant.__name__: list(invariant(history)) for invariant in checker.INVARIANTS}
        self.assertEqual([name for name in NAMES if said[name]], sorted(broken, key=NAMES.index), said)
        text = "\n".join(line for lines in said.values() for line in lines)
        for word in words:
            self.assertIn(word, text)
        table = list(checker.table(history))
        for row in rows:
            self.assertIn(row, table)
        return history

    def test_good(self):
        """a good history has no fault, and its table the fault with its leaderless time"""
        self.expect(rows=["| daemon killed | 1 | 1 | 2,010 | 2,010 | 2,010 | 0 |"])

    def test_overlap(self):
        """two nodes that led at once, if only for two beats"""
        self.story.lead("engine", "a", 3, 29_980, 30_000)
        self.expect("overlaps", words=("engine on b (term 2) and engine on a (term 3)", "10.000 ms"))

    def test_overlap_of_processes(self):
        """two processes of one node in one term"""
        self.story.lead("engine", "b", 2, 20_000, 20_050, pid=999)
        self.expect("overlaps", "terms", words=("as process 999 repeats the term of process 102",))

    def test_overlap_of_group(self):
        """a group's components on two nodes at once"""
        self.story.beats.pop("right.a")
        self.story.lead("right", "b", 2, 0, 30_000)
        self.expect("overlaps", words=("left on a (term 1)", "right on b (term 2)"))
        self.story.beats.pop("right.b")
        self.story.lead("right", "b", 1, 0, 30_000)
        self.expect("overlaps", "terms", words=("left on a (term 1)", "right on b (term 1)"))

    def test_overlap_of_group_terms(self):
        """a group's components on one node, each in a term of its own"""
        self.story.beats.pop("right.a")
        self.story.lead("right", "a", 2, 0, 30_000)
        self.expect("overlaps", words=("left on a (term 1)", "right on a (term 2)"))

    def test_overlap_with_one_that_stood_still(self):
        """a successor that begins while the token of a stopped worker is valid; not where that has ended before"""
        self.story.beats.pop("engine.a")
        self.story.lead("engine", "a", 1, 0, 10_800, over=False)
        self.story.fault("worker stopped", "engine.a", 10_800, 13_000, recovery_ms=3000)
        self.expect("overlaps", words=("both led for 290.000 ms",))
        self.story.death(5_000, 101)  # of an earlier process
        self.story.death(11_999, 102)  # of another one
        self.expect("overlaps", words=("both led for 290.000 ms",))
        self.story.death(12_001, 101)
        self.expect("overlaps", words=("both led for 1.000 ms",))
        self.story.death(11_999, 101)
        self.expect()

    def test_one_that_stood_still_for_longer(self):
        """a successor that begins when the token of a stopped worker is valid no more, and which ends later still"""
        for node in "ab":
            self.story.beats.pop(f"engine.{node}")
        self.story.lead("engine", "a", 1, 0, 10_800, over=False)
        self.story.lead("engine", "b", 2, 12_291, 30_000)
        self.story.fault("worker stopped", "engine.a", 10_800, 13_000, recovery_ms=3000)
        self.story.death(12_400, 101)
        self.expect()

    def test_term_repeats(self):
        """a term that two nodes had one after the other"""
        self.story.beats.pop("engine.b")
        self.story.lead("engine", "b", 1, 12_000, 30_000)
        self.expect("terms", words=("repeats the term",))

    def test_term_repeats_without_work(self):
        """a term that another node was granted, whose worker never began"""
        self.story.say("engine", "a", "start", 12_100, 2, pid=500)
        self.expect("terms", words=("was granted a term of a's",))

    def test_term_repeats_in_a_process(self):
        """a term that a process was granted again after it had ended"""
        self.story.beats.pop("engine.b")
        self.story.lead("engine", "b", 2, 12_000, 20_000)
        self.story.lead("engine", "b", 2, 20_010, 30_000)
        self.expect("terms", words=("repeats the term",))

    def test_term_repeats_in_a_group(self):
        """a term that a component was granted again while another one of its group led on, if only to do nothing"""
        self.story.beats.pop("left.a")
        self.story.lead("left", "a", 1, 0, 29_000)
        self.story.say("left", "a", "start", 29_010, 1, 500)
        self.story.fault("worker killed", "left.a", 29_000, 29_000, recovery_ms=1000)
        self.expect("terms", words=("left on a (term 1) as process 500 repeats the term of process 101",))
        self.story.lead("left", "a", 1, 29_020, 30_000, pid=500)
        self.expect("terms", words=("left on a (term 1) as process 500 repeats the term of process 101",))

    def test_term_goes_back(self):
        """a term that is lower than one before"""
        self.story.beats.pop("engine.b")
        self.story.lead("engine", "b", 5, 12_000, 29_000)
        self.story.lead("engine", "a", 4, 29_100, 30_000)
        self.expect("terms", words=("the term goes back",))

    def test_stale_write(self):
        """a fenced write of an older term after one of a newer; one without a fence is only counted"""
        self.story.write("engine", 1, 0)
        self.assertIn("1 of these stale", checker.summary(self.expect()))
        self.story.write("engine", 1, 1)
        history = self.expect("stale_writes", words=("engine: a fenced write of term 1 after one of term 2",))
        self.assertIn("1 of these stale", checker.summary(history))

    def test_write_after_an_unfenced_one(self):
        """what has no fence may commit before its time, and makes no other one stale"""
        self.story.write("engine", 3, 0)
        self.story.write("engine", 2, 1)
        self.expect()

    def test_stale_write_before_the_new_term_writes(self):
        """a fenced write that commits when the lease is at a newer term already, or not yet at that one"""
        for term, held in ((2, 3), (3, 2)):
            with self.subTest(term):
                self.story.write("engine", term, 1, held=held)
                self.expect("stale_writes", words=(f"a fenced write of term {term} while the lease is at term {held}",))
                self.story.writes.pop()

    def test_stale_write_of_another_node(self):
        """a fenced write behind a newer term's that did not see it, and one that it saw and that is gone"""
        self.story.write("engine", 2, 1, after=1)
        self.expect("stale_writes", words=("1 fenced writes of terms before were committed after one of term 2",))
        self.story.writes.pop()
        self.story.write("engine", 2, 1, after=-1)
        self.expect("stale_writes", words=("1 fenced writes that one of term 2 saw are gone",))

    def test_stale_write_of_group(self):
        """the components of a group share their fence"""
        self.story.write("right", 2, 1)
        self.story.write("left", 1, 1)
        self.expect("stale_writes")

    def test_beat_past_deadline(self):
        """a beat at the deadline it shows, or later"""
        for deadline_ms, late in ((29_995, "0.0 ms"), (29_994, "1.0 ms")):
            with self.subTest(late):
                self.story.say("engine", "b", "beat", 29_995, 2, 102, deadline_ms=deadline_ms)
                self.expect("late_revocations", words=(f"{late} past its deadline",))
                self.story.beats["engine.b"].pop()

    def test_beat_past_frozen_deadline(self):
        """a beat at the deadline of the revocation before it, or later"""
        for deadline_ms, late in ((29_990, "0.0 ms"), (29_989, "1.0 ms")):
            with self.subTest(late):
                self.story.say("engine", "b", "revoked", 25_000, 2, 102, deadline_ms=deadline_ms)
                self.expect("late_revocations", words=(f"{late} past the deadline of its revocation",))
                self.story.beats["engine.b"].pop()

    def revoke(self, at_ms):
        self.story.beats.pop("engine.b")
        self.story.lead("engine", "b", 2, 12_000, 25_000)
        self.story.say("engine", "b", "revoked", at_ms, 2, 102, deadline_ms=25_600)
        self.story.fault("database killed", "db", 24_000, 29_000, recovery_ms=5000)

    def test_revoked_in_time(self):
        """a revocation at the grace before the deadline, and what a busy machine may take"""
        self.revoke(25_350)
        self.expect()

    def test_revoked_late(self):
        """a revocation that took longer"""
        self.revoke(25_351)
        self.expect("late_revocations", words=("151.0 ms late",))

    def test_not_revoked(self):
        """a term that ended by its deadline, without a word"""
        self.story.beats.pop("engine.a")
        self.story.lead("engine", "a", 1, 0, 9_990, over=False)
        self.story.say("engine", "a", "beat", 10_000, 1, 101, deadline_ms=10_020)
        self.story.faults.clear()
        self.story.fault("database killed", "db", 8_000, 10_100, recovery_ms=3000)
        self.expect("late_revocations", words=("engine on a (term 1) did not hear",))

    def test_revoked_late_by_a_fault(self):
        """only what was wrong there, until half a second before the revocation was due, makes it late"""
        self.revoke(25_500)
        for where, begin_ms, end_ms, late in (
            ("b", 24_900, 25_450, False),
            ("engine.b", 24_900, 25_450, False),
            ("a", 24_900, 25_450, True),
            ("engine.a", 24_900, 25_450, True),
            ("left.b", 24_900, 25_450, True),
            ("b", 24_000, 24_700, False),
            ("b", 24_000, 24_699, True),
            ("b", 25_501, 25_600, True),
        ):
            with self.subTest(where, begin_ms=begin_ms, end_ms=end_ms):
                self.story.fault("daemon stopped", where, begin_ms, end_ms, recovery_ms=1000)
                self.expect(*(["late_revocations"] if late else []))
                self.story.faults[-2:] = []

    def test_revoked_late_by_name(self):
        """what is wrong with the wires, the database or a clock makes no worker hear late"""
        self.revoke(25_500)
        deaf = set()
        for fault in faults.TABLE:
            self.story.fault(fault.name, "b", 24_900, 25_450, recovery_ms=1000)
            if not list(checker.late_revocations(self.story.save())):
                deaf.add(fault.name)
            self.story.faults[-2:] = []
        processes = ("daemon", "tenurectl", "guardian", "worker")
        hit = {f"{process} {what}" for process in processes for what in ("killed", "stopped")}
        self.assertEqual(deaf, {*hit, "descriptors exhausted", "memory exhausted", "runtime disk full"})

    def test_revoked_late_by_a_stall(self):
        """the same while the machine stood still for as long, and not where it did so before"""
        self.revoke(25_500)
        for at_ms, late_ms, late in ((25_300, 150, False), (25_300, 149, True), (24_000, 1_199, True)):
            with self.subTest(at_ms, late_ms=late_ms):
                self.story.stall(at_ms, late_ms)
                self.expect(*(["late_revocations"] if late else []))

    def test_leaderless(self):
        """longer without a leader than the fault and recovering from it take"""
        self.story.beats.pop("engine.b")
        self.story.lead("engine", "b", 2, 14_000, 30_000)  # until 13.1 s are explained
        self.expect("leaderless", words=("no leader for 4010 ms", "910 ms of which"))

    def test_leaderless_while_recovering(self):
        """a fault that is over explains what recovering from it takes"""
        for recovery_ms, broken in ((2_000, False), (1_999, True)):
            with self.subTest(recovery_ms):
                self.story.faults.clear()
                self.story.fault("daemon killed", "a", 9_000, 9_500, recovery_ms)
                words = ["no leader for 2010 ms", "501 ms of which"] if broken else []
                self.expect(*(["leaderless"] if broken else []), words=words)

    def test_leaderless_at_the_end(self):
        """nobody leads any more, unless by a fault that does not end"""
        self.story.beats.pop("engine.b")
        self.story.lead("engine", "b", 2, 12_000, 29_000)
        self.expect("leaderless", words=("1010 ms of which",))
        self.story.fault("database stopped", "db", 29_000, 29_000, recovery_ms=0)
        self.story.faults.pop()
        self.expect()

    def test_after_the_end(self):
        """what happens once the run is over, when all is stopped, is no time without a leader"""
        self.story.lead("engine", "a", 3, 32_000, 32_500)
        self.expect()

    def test_leaderless_without_fault(self):
        """a hand-over may take half a second, and no more, but for a time in which the machine stood still"""
        for first_ms, stall, broken in (
            (10_490, (0, 0), False),
            (10_491, (0, 0), True),
            (12_090, (10_100, 1_600), False),
            (12_091, (10_100, 1_600), True),
            (12_090, (8_000, 1_989), True),
            (12_090, (12_091, 1_600), True),
        ):
            with self.subTest(first_ms, stall=stall):
                self.story.beats.pop("engine.b")
                self.story.lead("engine", "b", 2, first_ms, 30_000)
                self.story.faults.clear()
                self.story.stall(*stall)
                words = [f"no leader for {first_ms - 9_990} ms"] if broken else []
                self.expect(*(["leaderless"] if broken else []), words=words)

    def test_leaderless_within_a_term(self):
        """a worker that is silent for longer than its token was valid, and goes on, unless a fault explains that"""
        self.story.beats.pop("engine.b")
        self.story.lead("engine", "b", 2, 12_000, 20_010, over=False)  # valid until 21.5 s
        self.story.lead("engine", "b", 2, 22_001, 30_000)
        self.expect("leaderless", words=("engine: no leader for 501 ms", "501 ms of which"))
        for where, broken in (("b", False), ("engine.b", False), ("a", True)):
            with self.subTest(where):
                self.story.fault("worker stopped", where, 20_000, 22_000, recovery_ms=0)
                self.expect(*(["leaderless"] if broken else []))
                self.story.faults[-2:] = []

    def hand_over(self, name, where, term=2, recovery_ms=3000):
        """From node a to node b in two seconds, beside that fault."""
        self.story.beats.pop("engine.b")
        self.story.lead("engine", "b", term, 12_000, 30_000)
        self.story.faults.clear()
        self.story.fault(name, where, 10_000, 10_100, recovery_ms)

    def test_leaderless_elsewhere(self):
        """a fault at neither of the nodes that hand over explains nothing, nor does one of another component"""
        for where, broken in (("a", ()), ("b", ()), ("engine.a", ()), ("db", ()), ("c", True), ("left.a", True)):
            with self.subTest(where):
                self.hand_over("daemon stopped", where)
                self.expect(*(["leaderless"] if broken else []))

    def test_leaderless_by_one_unseen(self):
        """a node that was granted a term meanwhile may be where the fault was, and any where a term is missing"""
        self.hand_over("daemon stopped", "c", term=3)
        self.expect()
        self.story.about["nodes"] = ["a", "b", "c"]
        self.story.say("engine", "b", "start", 10_500, 2, 77)
        self.expect("leaderless")
        self.story.beats["engine.c"] = self.story.beats["engine.b"][-1:]
        self.story.beats["engine.b"].pop()
        self.expect()

    def test_leaderless_by_a_clock(self):
        """a wall clock that is moved is no reason"""
        self.hand_over("wall clock moved", "a", recovery_ms=None)
        self.story.faults[-1]["at"] = START + 12_000 * MS
        rows = ["| wall clock moved | 1 | 1 | 2,010 | 2,010 | 2,010 | 0 |"]
        self.expect("leaderless", words=("2010 ms of which nothing explains",), rows=rows)

    def test_table_names_the_cause(self):
        """of two faults at the same time, what one of them did does not count for the other"""
        self.story.fault("wall clock moved", "a", 9_000, 11_000, recovery_ms=None)
        self.story.fault("worker killed", "left.a", 10_000, 10_000, recovery_ms=3000)
        self.expect(rows=["| wall clock moved | 1 | 1 | 0 | 0 | 0 | 0 |", "| worker killed | 1 | 1 | 0 | 0 | 0 | 0 |"])

    def test_table_has_the_longest(self):
        """of what one fault did to several components"""
        for component in ("left", "right"):
            self.story.beats.pop(f"{component}.a")
            self.story.lead(component, "a", 1, 0, 10_000)
            self.story.lead(component, "a", 2, 10_300, 30_000)
        self.expect(rows=["| daemon killed | 1 | 1 | 2,010 | 2,010 | 2,010 | 0 |"])

    def test_table_counts_overlaps(self):
        """an overlap counts for what was wrong meanwhile, and for nothing else"""
        self.story.lead("engine", "a", 3, 20_000, 20_020)
        self.story.fault("black hole", "b", 19_000, 20_005, recovery_ms=0)
        rows = ["| black hole | 1 | 1 | 0 | 0 | 0 | 1 |", "| daemon killed | 1 | 1 | 2,010 | 2,010 | 2,010 | 0 |"]
        self.expect("overlaps", rows=rows)

    def test_table_of_short_times(self):
        """30 ms without a leader are a beat that came late, what is more is in the table"""
        for first_ms, ms in ((10_020, 0), (10_021, 31), (10_300, 310)):
            with self.subTest(first_ms):
                self.story.beats.pop("engine.b")
                self.story.lead("engine", "b", 2, first_ms, 30_000)
                self.expect(rows=[f"| daemon killed | 1 | 1 | {ms} | {ms} | {ms} | 0 |"])

    def test_table_spreads(self):
        """of 100 times the median, what 99 do not exceed, and the largest; not of what hit nobody who led"""
        self.story.beats = {}
        self.story.about["end"] = START + 101_000 * MS
        for i in range(101):
            begin_ms, end_ms = 1000 * i, 1000 * i + 900 - (7 * i % 100) ** 2 // 20
            self.story.lead("engine", "a", i + 1, begin_ms, end_ms, step_ms=end_ms - begin_ms - 1)
            if i < 100:
                self.story.fault("worker killed", "engine.a", end_ms, end_ms, recovery_ms=0)
        self.story.fault("worker killed", "engine.a", 931, 931, recovery_ms=0)
        table = list(checker.table(self.story.save()))
        self.assertIn("| worker killed | 101 | 100 | 224 | 581 | 591 | 0 |", table)

    def test_never_led(self):
        """a component that had no leader proves nothing"""
        self.story.beats.pop("engine.a")
        self.story.beats.pop("engine.b")
        self.expect("leaderless", "alive", words=("engine: nobody ever led",))

    def test_never_wrote(self):
        """each component writes with a fence and without"""
        for fenced, name in ((1, "fenced"), (0, "unfenced")):
            with self.subTest(name):
                writes = self.story.writes
                self.story.writes = [line for line in writes if not line.startswith(f"left\t1\t{fenced}")]
                self.expect("alive", words=(f"left: no {name} write",))
                self.story.writes = writes

    def test_died(self):
        """a process that ended by itself"""
        self.story.faults.append({"word": "died", "where": "a", "status": -6, "at": START})
        self.expect("deaths", words=("a ended with status -6",))

    def test_long_run(self):
        """in a long run everything has happened, the fence had something to refuse, and there was time without fault"""
        self.story.about["end"] = START + 11 * 60_000 * MS
        for name in list(self.story.beats):
            component, node = name.split(".")
            if node == "a" and component != "engine":
                self.story.lead(component, node, 1, 30_000, 660_000, step_ms=1000)
        self.story.lead("engine", "b", 2, 30_000, 660_000, step_ms=1000)
        self.story.beats["engine.b"] = [line for line in self.story.beats["engine.b"] if not line.startswith("over")]
        self.story.about["faults"].append("disk full")
        said = list(checker.alive(self.story.save()))
        self.assertEqual(
            said, ["disk full: did not happen", "no unfenced write was stale: the fence had nothing to refuse"]
        )
        self.story.about["faults"].pop()
        self.story.write("engine", 1, 0)
        self.assertEqual(list(checker.alive(self.story.save())), [])
        for places in (["db"], ["a", "b"]):
            for where in places:
                self.story.fault("daemon stopped", where, 31_000, 650_000, recovery_ms=1000)
            said = list(checker.alive(self.story.save()))
            self.assertEqual(said, ["only 6 % of the time led was without a fault"])
            self.story.faults[2:] = []

    def test_unfinished_line(self):
        """the half line of a killed worker is not read"""
        self.story.beats["engine.b"].append("beat 50000")
        self.expect()

    def run_checker(self):
        self.story.save()
        svg = self.story.directory / "out.svg"
        command = [sys.executable, HERE / "checker.py", self.story.directory, "--svg", svg]
        return subprocess.run(command, capture_output=True, text=True, check=False), svg.read_text()

    def test_program(self):
        """exit status 0 where all holds, and a picture with a bar for every term"""
        result, svg = self.run_checker()
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertTrue(result.stdout.endswith("7 passed, 0 failed\n"), result.stdout)
        titles = [node.firstChild.data for node in xml.dom.minidom.parseString(svg).getElementsByTagName("title")]
        self.assertIn("engine on b (term 2), 17990 ms", titles)
        self.assertIn("daemon killed at a, 100 ms", titles)

    def test_program_fails(self):
        """exit status 1 where something does not hold"""
        self.story.lead("engine", "a", 3, 29_900, 30_000)
        result, _ = self.run_checker()
        self.assertEqual(result.returncode, 1)
        self.assertTrue(result.stdout.endswith("6 passed, 1 failed\n"), result.stdout)


class Database:
    def __init__(self, doubted):
        self.doubted, self.lease_ms = doubted, 2000


class FaultsTest(unittest.TestCase):
    def test_recovery(self):
        """a worker that was killed excuses no lease, and a cluster that is believed at once not two"""
        wanted = {"worker killed": (1000, 1000), "daemon killed": (3500, 3500), "database killed": (7000, 3500)}
        for fault in faults.TABLE:
            if fault.name in wanted:
                found = tuple(fault.recovery_ms(Database(doubted)) for doubted in (True, False))
                self.assertEqual(found, wanted.pop(fault.name), fault.name)
        self.assertEqual(wanted, {})


def main():
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=1).run(
        unittest.TestLoader().loadTestsFromModule(sys.modules[__name__])
    )
    failed = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
