#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fenced writes (W6) on each database, by accounts that have what conf/grants-*.sql gives them (W23)."""

import pathlib
import shutil
import sqlite3
import time
import unittest

import processes
from case import PostgresTest, SystemTest, main
from events import milliseconds, now
from mariadb import MariaDB, Maria, Session
from replica import LEASE_NS, Sqlite, until

CONF = pathlib.Path(__file__).resolve().parents[2] / "conf"
COMPONENTS = ("engine", "counter")
SOON_NS = 100_000_000


class Fences:
    """The same for each database: store(), connect(), and what a fence is called and says."""

    refusal = "term 1 of", '"engine" is over'

    def fence(self, term):
        return f"{self.call} tenure_fence('engine', {term})"

    def pair(self):
        store = self.store()
        return store, [self.replica(name, store, components=COMPONENTS).start() for name in "ab"]

    def assert_refused(self, answer, *words):
        for word in ("ERROR", *words):
            self.assertIn(word, answer)

    def test_late_write(self):
        """W6: the late write of a paused ex-leader is rejected, the leader's is not"""
        store, (first, second) = self.pair()
        leader = self.worker(first)
        leader.wait("granted")
        standby = self.worker(second).wait_joined()
        late, other = self.connect(store), self.connect(store)
        self.assertNotIn("ERROR", late.ask(f"BEGIN; {self.fence(1)}; INSERT INTO work VALUES (1); COMMIT"))
        processes.freeze(leader.pid)
        processes.freeze(first.pid)
        standby.wait("granted", term=2)
        self.assertNotIn("ERROR", other.ask(f"BEGIN; {self.fence(2)}; INSERT INTO work VALUES (2); COMMIT"))
        self.assert_refused(late.ask(f"BEGIN; {self.fence(1)}"), *self.refusal)
        late.ask("ROLLBACK")
        self.assertEqual(store.sql("SELECT term FROM work ORDER BY term").split(), ["1", "2"])
        processes.thaw(first.pid)
        processes.thaw(leader.pid)


class ServerFences(Fences):
    def test_open_transaction(self):
        """W6, rule 14, R14: a fenced transaction is open for three leases: only its own component waits, for its end"""
        store, (first, second) = self.pair()
        leaders = [self.worker(first, name) for name in COMPONENTS]
        for leader in leaders:
            leader.wait("granted")
        standbys = [self.worker(second, name).wait_joined() for name in COMPONENTS]
        writer = self.connect(store)
        self.assertNotIn("ERROR", writer.ask(f"BEGIN; {self.fence(1)}"))
        killed_at = leaders[0].kill()
        leaders[1].kill()
        counter = standbys[1].wait("granted")
        self.assert_within(counter.at - killed_at, 2 * SOON_NS, "the other component")
        until(lambda: now() > killed_at + 3 * LEASE_NS, "three leases", every=0.02)
        self.assertEqual(standbys[0].all("granted"), [])
        self.assertEqual(standbys[1].all("revoked"), [])
        extended = [event.at for event in standbys[1].all("extended")]
        gaps = [b - a for a, b in zip(extended, extended[1:])]
        self.assert_within(max(gaps), LEASE_NS // 2, "the longest time between two renewals")
        committed_at = now()
        self.assertNotIn("ERROR", writer.ask("INSERT INTO work VALUES (1); COMMIT"))
        late_ns = standbys[0].wait("granted").at - committed_at
        self.assert_within(late_ns, SOON_NS, "its own component")
        self.figure(f"its own component granted {milliseconds(late_ns):.1f} ms after the end of the transaction")

    def test_grants(self):
        """W23: the daemon elects with the sample's grants alone; a worker may fence and look, and nothing else"""
        store = self.store()
        first, second = (self.replica(name, store).start() for name in "ab")
        leader = self.client(first, "engine")
        leader.wait("granted")
        standby = self.client(second, "engine")
        leader.close()
        standby.wait("granted", term=2)
        second.stop()
        first.stop()
        worker = self.connect(store)
        self.assertIn("engine", worker.ask("SELECT component FROM leader_leases"))
        for statement in (
            "SELECT * FROM tenure_session",
            "SELECT * FROM tenure_lease",
            "UPDATE tenure_lease SET term = term + 1",
            "DELETE FROM tenure_lease",
            "UPDATE leader_leases SET component = 'x'",
            "DELETE FROM tenure_session",
            "UPDATE tenure_store SET generation = 1",
            "DROP TABLE tenure_lease",
        ):
            with self.subTest(statement):
                self.assert_refused(worker.ask(statement))
        daemon = self.connect(store, "tenure")
        for statement in ("DELETE FROM tenure_lease", "DELETE FROM tenure_store", "DROP TABLE tenure_lease"):
            with self.subTest(statement):
                self.assert_refused(daemon.ask(statement))


class PostgresFence(ServerFences, PostgresTest):
    call = "SELECT"

    def store(self):
        store = self.postgres()
        self.replica("init", store)
        self.replicas.clear()
        store.sql(
            "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM tenure, tenure_b;"
            "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'worker') THEN"
            " CREATE ROLE worker LOGIN; END IF; END $$;"
            "CREATE TABLE work (term bigint); GRANT INSERT ON work TO worker"
        )
        store.sql((CONF / "grants-postgresql.sql").read_text())
        return store

    def connect(self, store, user="worker"):
        session = self.server.session(store.database, user)
        self.addCleanup(session.close)
        return session


@unittest.skipUnless(shutil.which("mariadbd"), "no MariaDB is installed")
class MariaFence(ServerFences, PostgresTest):
    call = "CALL"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        directory = cls.class_directory()
        cls.maria = MariaDB(directory / "maria")
        cls.addClassCleanup(cls.maria.stop)
        cls.maria.start()
        # The sample's accounts are those of any host, and there must be none that is closer.
        cls.maria.sql("DROP USER tenure@localhost; CREATE USER worker@'%'")

    def store(self):
        name = "t" + str(time.monotonic_ns())
        self.maria.sql(f"CREATE DATABASE {name}")
        store = Maria(self.maria, name)
        store.permit = lambda: None
        self.replica("init", store)
        self.replicas.clear()
        store.sql("CREATE TABLE work (term BIGINT); GRANT INSERT ON work TO worker@'%'")
        store.sql((CONF / "grants-mysql.sql").read_text())
        return store

    def connect(self, store, user="worker"):
        session = Session(self.maria, store.database, user)
        self.addCleanup(session.close)
        return session


class File(Sqlite):
    def __init__(self, path):
        super().__init__(path)
        self.connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)

    def sql(self, text):
        return "\n".join(str(row[0]) for row in self.connection.execute(text))

    def ask(self, statements):
        """What psql would say of it: an error's text, or nothing."""
        try:
            for statement in statements.split(";"):
                self.connection.execute(statement)
        except sqlite3.Error as error:
            return f"ERROR: {error}"
        return ""


class SqliteFence(Fences, SystemTest):
    refusal = ("this term is over",)

    def fence(self, term):
        return f"INSERT INTO tenure_fence VALUES ('engine', {term})"

    def store(self):
        path = self.directory / "tenure.db"
        self.replica("init", Sqlite(path))
        self.replicas.clear()
        store = File(path)
        store.is_new = False
        self.addCleanup(store.connection.close)
        store.sql("CREATE TABLE work (term INTEGER)")
        return store

    def connect(self, store):
        connection = File(store.path)
        self.addCleanup(connection.connection.close)
        return connection

    def test_nobody_claims_meanwhile(self):
        """W6: a fenced transaction that has written nothing yet holds the file, and a claim comes after its end"""
        store, (first, second) = self.pair()
        leader = self.worker(first)
        leader.wait("granted")
        standby = self.worker(second).wait_joined()
        writer, other = self.connect(store), self.connect(store)
        other.ask("PRAGMA busy_timeout = 0")
        self.assertEqual(writer.ask(f"BEGIN; {self.fence(1)}"), "")
        self.assert_refused(other.ask("BEGIN IMMEDIATE"), "locked")
        leader.kill()
        until(lambda: second.status()["store"] != "ok" or first.status()["store"] != "ok", "an exchange that waits")
        self.assertEqual(standby.all("granted"), [])
        self.assertEqual(writer.ask("INSERT INTO work VALUES (1); COMMIT"), "")
        standby.wait("granted", term=2)


if __name__ == "__main__":
    main(at_once=2)
