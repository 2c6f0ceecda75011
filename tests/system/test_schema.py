#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tenurectl init: the schema, from many at once and under a leader (W23)."""

import subprocess

import processes
from case import PostgresTest, main
from replica import TENURECTL

AT_ONCE = 8


class SchemaTest(PostgresTest):
    def init_at_once(self, store):
        replicas = [self.replica(f"r{number}", store, init=False, user="postgres") for number in range(AT_ONCE)]
        inits = [
            processes.spawn(
                [TENURECTL, "init", "-c", replica.config], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            for replica in replicas
        ]
        for init in inits:
            output = init.communicate()[0]
            self.assertEqual(init.returncode, 0, output)
        return replicas

    def test_at_once_postgresql(self):
        """W23: 8 at once create the schema on PostgreSQL, all of them successfully; a daemon then runs on it"""
        store = self.postgres()
        for _ in range(2):
            replicas = self.init_at_once(store)
            self.replicas.clear()
            for replica in replicas:
                replica.config.unlink()
                replica.run_dir.rmdir()
                replica.directory.rmdir()
        self.assertEqual(store.sql("SELECT count(*) FROM tenure_store"), "1")
        self.assertEqual(self.server.errors(), [])
        store.is_new = False
        self.server.permit(store.database)
        replica = self.replica("a", store).start()
        self.client(replica, "engine").wait("granted")

    def test_at_once_sqlite(self):
        """W23: 8 at once create the schema in one SQLite file, all of them successfully"""
        replica = self.init_at_once(self.sqlite())[0].start()
        self.client(replica, "engine").wait("granted")

    def test_says_who_it_is(self):
        """What tenurectl init says is said by tenurectl, also where tenured does it"""
        replica = self.replica("a", self.sqlite(), init=False)
        command = [TENURECTL, "init", "-c", replica.config]

        def said(*words, **options):
            return subprocess.run([*command, *words], stderr=subprocess.PIPE, text=True, check=False, **options).stderr

        self.assertEqual(said(), "tenurectl: sqlite: the schema is in place\n")
        with open("/dev/full", "w", encoding="ascii") as full:
            self.assertEqual(said("--print", stdout=full), "tenurectl: cannot print: No space left on device\n")
        replica.store.path.unlink()
        replica.store.path.mkdir()
        self.assertRegex(said(), "^tenurectl: sqlite: .*\n$")
        replica.store.path.rmdir()

    def test_under_a_leader(self):
        """W23: init again disturbs no leader and no term"""
        store = self.postgres()
        replica = self.replica("a", store).start()
        leader = self.client(replica, "engine")
        leader.wait("granted")
        replica.init()
        for _ in range(2):
            leader.wait("extended", after=leader.mark())
        self.assertEqual(leader.all("revoked"), [])

    def test_printed(self):
        """W23: what init --print writes does the same, for psql"""
        store = self.postgres()
        replica = self.replica("a", store, init=False)
        result = subprocess.run(
            [TENURECTL, "init", "-c", replica.config, "--print"], capture_output=True, text=True, check=False
        )
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        store.sql(result.stdout)
        self.server.permit(store.database)
        replica.start()
        self.client(replica, "engine").wait("granted")

    def test_rights(self):
        """W23: the daemon's role may not create anything; the view shows the leases in their classical shape"""
        store = self.postgres()
        replica = self.replica("a", store).start()
        self.client(replica, "engine").wait("granted")
        with self.assertRaises(RuntimeError):
            store.sql("CREATE TABLE x (y int)", user="tenure")
        row = store.sql("SELECT component, holder_id, expires_at > now(), version FROM leader_leases").split("|")
        self.assertEqual((row[0], row[2]), ("engine", "t"))
        self.assertIn("1", row[3])

    def test_own_schema(self):
        """schema=: the tables are where the configuration says, and two schemas are two fleets"""
        server = self.server
        store = self.postgres()
        replicas = []
        for name in ("one", "two"):
            store.sql(f"CREATE SCHEMA {name}")
            other = type(store)(server, store.database)
            other.schema = name
            replica = self.replica(name, other)
            store.sql(
                f"GRANT USAGE ON SCHEMA {name} TO tenure;"
                f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {name} TO tenure"
            )
            replicas.append(replica.start())
        for replica in replicas:
            self.assertEqual(self.client(replica, "engine").wait("granted").number("term"), 1)


if __name__ == "__main__":
    main(at_once=2)
