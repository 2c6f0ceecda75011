#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the election is for: the examples' tables while instances change and leaders die; and the same without it.

TENURE_CONSISTENCY_S: seconds of changes, 10 unless told; `make consistency MINUTES=5` says more.
"""

import itertools
import os
import random
import threading
import time

import processes
from case import PostgresTest, main
from replica import Postgres, until
from trio import COMPONENTS, Console, Trio

SECONDS = float(os.environ.get("TENURE_CONSISTENCY_S", "10"))
CHANGES_A_SECOND = 200
NAMES = 100
LEASE = "2s"
FROZEN_S = 2.5  # beyond the lease

# Each row as it is written, in this order: writers of one name wait for one another.
STORY = """
CREATE TABLE story (nr BIGSERIAL PRIMARY KEY, source TEXT, name TEXT, version BIGINT, term BIGINT);
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO story (source, name, version, term)
    VALUES (tg_table_name, NEW.name, (to_jsonb(NEW)->>tg_argv[0])::bigint, NEW.term);
  RETURN NULL;
END $$;
CREATE TRIGGER tell AFTER INSERT ON instances FOR EACH ROW EXECUTE FUNCTION tell('address');
CREATE TRIGGER tell AFTER INSERT ON runtimes FOR EACH ROW EXECUTE FUNCTION tell('healthy');
"""
WRITES = "SELECT count(*) FROM story"
STALE = (
    "SELECT count(*) FROM (SELECT term, max(term) OVER (PARTITION BY source ORDER BY nr) AS newest FROM story) s"
    " WHERE term < newest"
)
BACK = (
    "SELECT count(*) FROM (SELECT version, max(version) OVER (PARTITION BY name ORDER BY nr) AS newest FROM story"
    " WHERE source = 'instances') s WHERE version < newest"
)
TERMS = "SELECT count(DISTINCT term) FROM story"


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
    settings = {"max_connections": "100"}

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
            place = console.where + ("" if elected else f" options='-c search_path={store.schema},public'")
            made.append((replica.start(), place))
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
        name = self.chance.choice(COMPONENTS)
        processes.send(trio.processes[name].pid, processes.signal.SIGKILL)
        trio.processes[name].wait()
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
        """Until the time is over; a line of what happened."""
        end, done = time.monotonic() + SECONDS, dict.fromkeys(kinds, 0)
        for kind in itertools.cycle(kinds):
            if time.monotonic() > end:
                return ", ".join(f"{done[kind]} × {kind.__name__}" for kind in kinds)
            leaders = self.leaders()
            if leaders:
                kind(self.chance.choice(leaders))
                done[kind] += 1
            time.sleep(self.chance.uniform(0.2, 1))

    def story(self, elected, kinds):
        """Changes and trouble, then rest; what SQL says of it."""
        self.chance = random.Random(1)
        console = self.consoles(elected)
        until(lambda: len(self.leaders()) == (1 if elected else 3), "somebody leads")
        changes = Changes(console, random.Random(2))
        changes.start()
        try:
            trouble = self.trouble(kinds)
        finally:
            changes.stop()
        until(console.equal, "tables and directories are equal at rest", timeout=30, every=0.1)
        writes, stale, back, terms = (int(console.execute(text)[0][0]) for text in (WRITES, STALE, BACK, TERMS))
        lines = itertools.chain(*(log.items for trio in self.trios for log in trio.logs.values()))
        refused = [line for line in lines if line.startswith("sql: ERROR")]
        self.figure(
            f"{'elected' if elected else 'not elected'}: {changes.made} changes in {SECONDS:.0f} s; {trouble}: "
            f"{terms} terms, {writes / changes.made:.2f} rows written a change, "
            f"{back} of them older than what was there, {len(refused)} transactions failed"
            + (f", {stale} rows after one of a newer term" if elected else "")
        )
        return console, stale, back, refused

    def test_elected(self):
        """R13, W6: instances change, leaders are killed, frozen, moved: nothing stale, tables and counts are right"""
        console, stale, back, _ = self.story(True, (self.kill, self.freeze, self.move))
        self.assertEqual((stale, back), (0, 0))
        until(lambda: len(self.leaders()) == 1, "one leads")
        (leader,) = self.leaders()
        leader.until_counts(console.counts())

    def test_not_elected(self):
        """The same where every replica works: they are in one another's way"""
        _, _, _, refused = self.story(False, (self.kill, self.freeze))
        self.assertGreater(len(refused), 0, "what is the election for?")


if __name__ == "__main__":
    main()
