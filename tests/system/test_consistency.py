#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the election is for: the examples' tables while instances change and leaders die; and the same without it.

TENURE_CONSISTENCY_S: seconds of changes, 10 unless told; where it is told, the result is written down.
"""

import dataclasses
import itertools
import os
import pathlib
import random
import sys
import threading
import time

import processes
from case import PostgresTest, main
from replica import Postgres, until
from trio import COMPONENTS, Console, Trio

SECONDS = float(os.environ.get("TENURE_CONSISTENCY_S", "10"))
REPORT = "TENURE_CONSISTENCY_S" in os.environ
CHANGES_A_SECOND = 200
NAMES = 100
LEASE = "2s"
FROZEN_S = 2.5  # beyond the lease

# What each row's transaction claimed to be of, and when it was committed. The fence in `told` notes the term and calls
# the one of the replica's own schema.
STORY = """
CREATE TABLE story (nr BIGSERIAL PRIMARY KEY, source TEXT, name TEXT, version BIGINT, row_term BIGINT, term BIGINT);
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO story (source, name, version, row_term, term) VALUES (tg_table_name, coalesce(NEW.name, OLD.name),
    (to_jsonb(NEW)->>tg_argv[0])::bigint, NEW.term, nullif(current_setting('story.term', true), '')::bigint);
  RETURN NULL;
END $$;
CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON instances FOR EACH ROW EXECUTE FUNCTION tell('address');
CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON runtimes FOR EACH ROW EXECUTE FUNCTION tell('healthy');
CREATE SCHEMA told;
CREATE FUNCTION told.tenure_fence(lease text, of_term bigint) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
  EXECUTE format('SELECT %I.tenure_fence($1, $2)', current_setting('story.schema')) USING lease, of_term;
  PERFORM set_config('story.term', of_term::text, true);
END $$;
GRANT SELECT, INSERT ON story TO PUBLIC;
"""
COMMITTED = "(SELECT *, pg_xact_commit_timestamp(xmin) AS at FROM story) s"
WRITES = "SELECT count(*) FROM story WHERE row_term IS NOT NULL"
UNFENCED = "SELECT count(*) FROM story WHERE term IS NULL OR row_term <> term"
STALE = (
    "SELECT count(*) FROM (SELECT term, max(term) OVER (PARTITION BY source ORDER BY at, nr) AS newest"
    f" FROM {COMMITTED}) t WHERE term < newest"
)
BACK = (
    "SELECT count(*) FROM (SELECT version, max(version) OVER (PARTITION BY name ORDER BY at, nr) AS newest"
    f" FROM {COMMITTED} WHERE source = 'instances') t WHERE version < newest"
)
TERMS = "SELECT count(DISTINCT term) FROM story"


@dataclasses.dataclass
class Found:
    """What a run did to the tables."""

    changes: int
    trouble: dict  # what was done to leaders, and how often
    terms: int
    writes: int
    unfenced: int  # writes, deletions too, of no term or of another one than the row says
    stale: int  # of an older term, committed after one of a newer
    back: int  # rows older than what was there before
    failed: int  # transactions
    equal: bool  # tables and directories at rest
    counted: bool  # every counter that counts says what the directories do


class Changes(threading.Thread):
    """Creates, changes and deletes files, so many a second; an instance's text is the number of the change."""

    def __init__(self, console, chance):
        super().__init__()
        self.console, self.chance = console, chance
        self.made = 0
        self.ended = threading.Event()

    def run(self):
        begun = time.monotonic()
        for number in itertools.count(1):
            if self.ended.wait(max(0.0, begun + number / CHANGES_A_SECOND - time.monotonic())):
                return
            name = f"web-{self.chance.randrange(NAMES)}"
            directory = self.chance.choice((self.console.services, self.console.runtimes))
            if self.chance.random() < 0.2:
                (directory / name).unlink(missing_ok=True)
            elif directory is self.console.services:
                (directory / name).write_text(f"{number}\n")
            else:
                (directory / name).write_text(self.chance.choice(("running", "failed")) + "\n")
            self.made = number

    def stop(self):
        self.ended.set()
        self.join()


class ConsistencyTest(PostgresTest):
    seconds = SECONDS + 120
    settings = {"max_connections": "100", "track_commit_timestamp": "on"}
    found = {}  # of the tests that have run

    def consoles(self, elected):
        """Three replicas with a trio each: of one election, or each of an election of its own, and so all leading."""
        database = self.database()
        console = Console(self.directory, database)
        console.execute(STORY)
        made = []
        for name in "abc":
            store = database
            if not elected:
                store = Postgres(self.server, database.database)
                store.schema, store.permit = f"of_{name}", lambda: None
            replica = self.replica(
                name,
                store,
                components=COMPONENTS,
                user="postgres",
                timing={"lease": LEASE if elected else "60s", "renew": "300ms", "poll": "100ms", "timeout": "300ms"},
                component={"group": "console", "stop_grace": "100ms", "cooldown": "200ms"},
            )
            schema = "public" if elected else store.schema
            options = f"-c search_path=told,public -c story.schema={schema}"
            made.append((replica.start(), f"{console.where} options='{options}'"))
        self.trios = []
        for replica, console.where in made:
            self.trios.append(Trio(replica, console))
            self.logs += self.trios[-1].logs.values()
            self.addCleanup(self.trios[-1].kill)
        return console

    def leaders(self):
        """Those whose counter says so; one that was killed a moment ago says nothing."""

        def leads(trio):
            try:
                return trio.answer().startswith("term=")
            except OSError:
                return False

        return [trio for trio in self.trios if leads(trio)]

    def kill(self, trio):
        """A worker of it, which comes back as under systemd."""
        self.end(trio, [self.chance.choice(COMPONENTS)])

    def crash(self, trio):
        """All of the replica at once, which comes back."""
        trio.replica.kill()
        self.end(trio, COMPONENTS, trio.replica)

    @staticmethod
    def end(trio, names, replica=None):
        for name in names:
            processes.send(trio.processes[name].pid, processes.signal.SIGKILL)
        for name in names:
            trio.processes[name].wait()
        if replica:
            replica.start()
        for name in names:
            trio.start(name)

    def freeze(self, trio):
        """The whole replica: it does not know, when it goes on, how long that was."""
        victims = [process.pid for process in trio.processes.values()] + [trio.replica.pid]
        for pid in victims:
            processes.freeze(pid)
        time.sleep(FROZEN_S)
        self.chance.shuffle(victims)
        for pid in victims:
            processes.thaw(pid)

    def move(self, trio):
        trio.replica.ctl("resign", "engine", "--cooldown", "200ms")

    def trouble(self, kinds):
        """Until the time is over and each was done; how often."""
        end, done = time.monotonic() + SECONDS, dict.fromkeys((kind.__name__ for kind in kinds), 0)
        for kind in itertools.cycle(kinds):
            if time.monotonic() > end and min(done.values()) > 0:
                return done
            kind(self.chance.choice(until(self.leaders, "a leader")))
            done[kind.__name__] += 1
            time.sleep(self.chance.uniform(0.2, 1))

    def settles(self, what):
        try:
            return bool(until(what, "rest", timeout=30, every=0.1))
        except AssertionError:
            return False

    def counted(self, console, elected):
        """All that should lead do, and what they say is what there is."""
        answers = [trio.answer() for trio in self.leaders()]
        return len(answers) == (1 if elected else 3) and all(
            answer.partition(" ")[2] == console.counts() for answer in answers
        )

    def story(self, elected, kinds):
        """Changes and trouble, then rest; what SQL says of it."""
        self.chance = random.Random(1)
        self.console = console = self.consoles(elected)
        until(lambda: len(self.leaders()) == (1 if elected else 3), "somebody leads")
        changes = Changes(console, random.Random(2))
        changes.start()
        try:
            trouble = self.trouble(kinds)
        finally:
            changes.stop()
        equal = self.settles(console.equal)
        counted = self.settles(lambda: self.counted(console, elected))
        counts = [int(console.execute(text)[0][0]) for text in (TERMS, WRITES, UNFENCED, STALE, BACK)]
        lines = itertools.chain(*(log.items for trio in self.trios for log in trio.logs.values()))
        failed = sum(line.startswith("sql: ERROR") for line in lines)
        self.found[elected] = found = Found(changes.made, trouble, *counts, failed, equal, counted)
        told = ", ".join(f"{name} {value}" for name, value in vars(found).items())
        self.figure(f"{'elected' if elected else 'not elected'}, {SECONDS:.0f} s: {told}")
        return found

    def test_elected(self):
        """R13, W6: instances change, leaders are killed, frozen, moved: nothing stale, tables and counts are right"""
        found = self.story(True, (self.kill, self.crash, self.freeze, self.move))
        self.assertEqual((found.unfenced, found.stale, found.back), (0, 0, 0))
        self.assertGreater(found.terms, 1)
        self.assertTrue(found.equal, "tables equal directories")
        self.assertTrue(found.counted, "counts equal rows")
        # A deletion that comes too late would have been seen.
        late = "SELECT set_config('story.term', '1', false); INSERT INTO instances VALUES ('late-1', '0', 1)"
        self.console.execute(f"{late}; DELETE FROM instances WHERE name = 'late-1'")
        self.assertEqual([self.console.execute(text) for text in (STALE, UNFENCED)], [[("2",)], [("0",)]])

    def test_not_elected(self):
        """The same where every replica works: they are in one another's way"""
        found = self.story(False, (self.kill, self.freeze))
        self.assertGreater(found.failed, 0, "what is the election for?")

    @classmethod
    def setUpClass(cls):
        cls.begun = time.monotonic(), os.getloadavg()[0]
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        if REPORT and len(cls.found) == 2:
            report(cls.found[True], cls.found[False], *cls.begun)


def report(elected, every, begun, load):
    """Into tests/bench/RESULTS.md."""
    sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "bench"))
    import results  # pylint: disable=import-outside-toplevel,import-error

    section = results.Section("consistency", "what the election is for")
    section.begun, section.load = begun, load
    section.command = f"make consistency MINUTES={SECONDS / 60:g}"
    section.say(
        f"Three replicas of the examples' workers on PostgreSQL, {CHANGES_A_SECOND} changes a second; order is that"
        " of the commits. Where every replica works, terms of different replicas have nothing to do with one another."
    )
    rows = [
        ("changes", lambda found: f"{found.changes:,}"),
        ("leading workers killed", lambda found: found.trouble["kill"]),
        ("leading replicas killed", lambda found: found.trouble.get("crash", "")),
        ("leading replicas frozen beyond the lease", lambda found: found.trouble["freeze"]),
        ("moved by an operator", lambda found: found.trouble.get("move", "")),
        ("terms", lambda found: f"{found.terms:,}"),
        ("rows written a change", lambda found: f"{found.writes / found.changes:.2f}"),
        ("transactions that failed", lambda found: f"{found.failed:,}"),
        ("writes and deletions of no term, or of another than the row's", lambda found: found.unfenced),
        ("of an older term after one of a newer", lambda found: found.stale if found is elected else ""),
        ("rows older than what was there", lambda found: f"{found.back:,}"),
        ("tables equal directories at rest", lambda found: "yes" if found.equal else "**no**"),
        ("counts equal rows at rest", lambda found: "yes" if found.counted else "**no**"),
    ]
    section.table(["", "elected", "every replica works"], [[name, of(elected), of(every)] for name, of in rows])
    results.write([section], [])


if __name__ == "__main__":
    main()
