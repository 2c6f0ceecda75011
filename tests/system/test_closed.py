#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What does not work grants nothing, and says what is wrong, where, and what to do (R3, R4, W24, W25)."""

import contextlib
import shutil
import sqlite3
import subprocess
import threading

from case import PostgresTest, SystemTest, main
from events import now
from postgres import owner
from replica import until

TENURE = "[tenure]\nnode = a\nruntime_dir = {run}\n"
STORE = "[store]\ndriver = memory\n"
COMPONENT = "[component:engine]\n"
GOOD = TENURE + STORE + COMPONENT
PG = "[store]\ndriver = postgresql\nconninfo = host=/nowhere\n"

# What is wrong, the file, the line that has it, and words of the message.
BAD = [
    ("unknown key", GOOD + "colour = red\n", 7, "colour: unknown key; allowed here: group, stop_grace"),
    ("slip of the pen", TENURE + STORE + "renw = 2s\n" + COMPONENT, 6, "did you mean renew?"),
    ("unknown section", GOOD + "[htttp]\n", 7, "unknown section [htttp]; allowed are [tenure]"),
    ("bare number", TENURE + STORE + "lease = 10\n" + COMPONENT, 6, "lease: 10 has no unit; write 10s"),
    ("unknown unit", TENURE + STORE + "lease = 10w\n" + COMPONENT, 6, "lease: \"10w\" is no duration"),
    ("negative", TENURE + STORE + "lease = -1s\n" + COMPONENT, 6, "lease: \"-1s\" is no duration"),
    ("fraction", TENURE + STORE + "lease = 1.5s\n" + COMPONENT, 6, "a whole number and ms, s, m, h or d"),
    ("empty value", TENURE + STORE + "lease =\n" + COMPONENT, 6, "lease: \"\" is no duration"),
    ("no value", TENURE + STORE + "lease\n" + COMPONENT, 6, "neither a [section] nor key = value"),
    ("key twice", TENURE + STORE + "lease = 9s\nlease = 9s\n" + COMPONENT, 7, "a second time, the first is at line 6"),
    ("section twice", GOOD + "[store]\nlease = 9s\n", 7, "a second time, the first is at line 4"),
    ("component twice", GOOD + COMPONENT, 7, "a second time, the first is at line 6"),
    ("renew >= lease", TENURE + STORE + "lease = 2s\nrenew = 2s\n" + COMPONENT, 7,
     "renew: 2s is not shorter than lease"),
    ("timeout", TENURE + STORE + "lease = 10s\ntimeout = 9s\n" + COMPONENT, 7, "renew + timeout = 2s + 9s"),
    ("stop_grace", GOOD + "stop_grace = 9s\n", 7, "renew + timeout + stop_grace = 2s + 2s + 9s"),
    ("short lease", TENURE + STORE + "lease = 100ms\n" + COMPONENT, 6, "lease: is out of range; 500ms to 10m"),
    ("long lease", TENURE + STORE + "lease = 11m\n" + COMPONENT, 6, "lease: is out of range; 500ms to 10m"),
    ("short poll", TENURE + STORE + "poll = 1ms\n" + COMPONENT, 6, "poll: is out of range; 50ms"),
    ("long poll", TENURE + STORE + "poll = 10m\n" + COMPONENT, 6, "poll: 10m is longer than lease"),
    ("unknown driver", TENURE + "[store]\ndriver = oracle\n" + COMPONENT, 5,
     "no driver \"oracle\" in this program; one of"),
    ("no driver", TENURE + "[store]\nlease = 10s\n" + COMPONENT, 4, "driver: is missing; one of"),
    ("no store", TENURE + COMPONENT, None, "a section [store] with driver = one of"),
    ("no component", TENURE + STORE, None, "add a section [component:NAME]"),
    ("nothing", "", None, "driver: is missing"),
    ("no path", TENURE + "[store]\ndriver = sqlite\n" + COMPONENT, 5, "path: is missing"),
    ("no conninfo", TENURE + "[store]\ndriver = postgresql\n" + COMPONENT, 5, "conninfo: is missing"),
    ("bad conninfo", TENURE + PG.replace("host", "hosd") + COMPONENT, 5, "key=value pairs of libpq"),
    ("another driver's key", TENURE + STORE + "path = /tmp/x\n" + COMPONENT, 6, "is a key of driver sqlite"),
    ("component's name", TENURE + STORE + "[component:a b]\n", 6, "is no name of a component"),
    ("long name", TENURE + STORE + f"[component:{'x' * 65}]\n", 6, "1 to 64 letters, digits"),
    ("node's name", "[tenure]\nnode = a b\n" + STORE + COMPONENT, 2, "\"a b\" is no name of a node"),
    ("percent", "[tenure]\nnode = %x\n" + STORE + COMPONENT, 2, "%H is the host name"),
    ("socket_mode", TENURE + "socket_mode = 999\n" + STORE + COMPONENT, 4, "an octal number"),
    ("socket_group", TENURE + "socket_group = nosuchgroup\n" + STORE + COMPONENT, 4,
     "there is no group \"nosuchgroup\""),
    ("log_level", TENURE + "log_level = loud\n" + STORE + COMPONENT, 4, "error, warning, info or debug"),
    ("users", GOOD + "users = nosuchuser\n", 7, "there is no user \"nosuchuser\""),
    ("relative path", "[tenure]\nnode = a\nruntime_dir = run\n" + STORE + COMPONENT, 3, "\"run\" is no absolute path"),
    ("leading blank", GOOD + "stop_grace = 1s\n cooldown = 1s\n", 8, "begins with a blank"),
    ("300 characters", GOOD + f"users = {'x' * 300}\n", 7, "there is no user"),
    ("5,000 characters", GOOD + f"users = {'x' * 5000}\n", 7, "the line is too long; at most 4096 bytes"),
    ("before a section", "lease = 10s\n" + GOOD, 1, "stands before the first section"),
    ("NUL", GOOD + "cooldown = 1\0s\n", 7, "a NUL byte"),
    ("no text", "\xff\xfe\n", 1, "neither a [section] nor key = value"),
    ("password file", TENURE + PG + "password_file = /nonexistent\n" + COMPONENT, 7, "cannot be opened"),
]


class ConfigurationTest(SystemTest):
    def assert_refused(self, replica, words, line):
        where = f"{replica.config}:{line}: " if line else f"{replica.config}: "
        for arguments in (["--check"], []):
            result = replica.run_tenured(*arguments)
            self.assertEqual(result.returncode, 78, result.stderr)
            self.assertIn(words, result.stderr)
            good = [text for text in result.stderr.splitlines() if text.startswith(where) and words in text]
            self.assertEqual(len(good), 1, result.stderr)
            self.assertEqual(result.stdout, "")
        self.assertEqual(list(replica.run_dir.iterdir()), [], "it began to run")

    def test_bad_configurations(self):
        """R3, R4, W24: bad configurations end the program, naming file, line, key and what is allowed"""
        replica = self.replica("a", init=False)
        for name, text, line, words in BAD:
            with self.subTest(name):
                replica.config.write_bytes(text.format(run=replica.run_dir).encode("latin-1"))
                self.assert_refused(replica, words, line)
        self.figure(f"{len(BAD)} files")

    def test_not_a_file(self):
        """R3: a directory, or nothing, in place of the file"""
        replica = self.replica("a", init=False)
        replica.config = replica.directory
        self.assert_refused(replica, "Is a directory", None)
        replica.config = replica.directory / "nothing"
        self.assert_refused(replica, "No such file", None)

    def test_good_configuration(self):
        """The file that the bad ones were made of is accepted, and says nothing"""
        replica = self.replica("a", init=False)
        replica.config.write_text(GOOD.format(run=replica.run_dir))
        result = replica.run_tenured("--check")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))

    def test_many_errors(self):
        """All errors of a file are told at once"""
        replica = self.replica("a", init=False)
        replica.config.write_text(GOOD.format(run=replica.run_dir) + "a = 1\nb = 2\nstop_grace = 1\n")
        lines = replica.run_tenured("--check").stderr.splitlines()
        self.assertEqual(len(lines), 3, lines)

    def test_no_secret_is_told(self):
        """A password in the configuration is in no message, no dump and no log"""
        replica = self.replica("a", init=False)
        conninfo = "conninfo = host=/nowhere password=geheim connect_timeout=x\n"
        store = PG.replace("conninfo = host=/nowhere\n", conninfo)
        replica.config.write_text(TENURE.format(run=replica.run_dir) + store)
        replica.config.chmod(0o600)
        result = replica.run_tenured("--check")
        self.assertNotEqual(result.returncode, 0)
        self.assertNotIn("geheim", result.stderr)
        replica.config.write_text(
            TENURE.format(run=replica.run_dir)
            + PG.replace("/nowhere", "/nowhere password=geheim")
            + COMPONENT
        )
        result = replica.run_tenured("--dump")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertNotIn("geheim", result.stdout + result.stderr)
        self.assertIn("/nowhere", result.stdout)
        replica.start()
        until(lambda: replica.status()["store"] == "unavailable", "an attempt")
        self.assertNotIn("geheim", str(replica.status()) + "\n".join(replica.log.items))


class ClosedTest(PostgresTest):
    """Each has a worker that waits for longer than a lease."""

    def assert_closed(self, replicas, outcome, *words):
        """None of them grants for a lease and more, and status and log say why."""
        # Each attempt is a connection, for which a busy machine needs its time.
        timing = {"lease": "1500ms", "renew": "300ms", "poll": "150ms", "timeout": "300ms"}
        clients = []
        for replica in replicas:
            replica.timing.update(timing)
            replica.component["stop_grace"] = "300ms"
            replica.write_config()
            replica.start()
            clients.append(self.client(replica, "engine"))
        end = now() + 4_500_000_000
        for replica in replicas:
            # An attempt that the machine was too busy for says so, and is not the one.
            replica.wait_log(f"outcome={outcome}", *words)
            row = until(lambda one=replica: (row := one.status())["store"] == outcome and row, outcome)
            for word in words:
                self.assertIn(word, row["error"])
            self.assertEqual((row["role"], row["ttl_ms"], row["worker"]), ("standby", "0", "joined"))
        self.assertFalse(threading.Event().wait((end - now()) / 1e9))
        for client, replica in zip(clients, replicas):
            self.assertEqual(client.all("granted"), [])
            self.assertEqual(replica.ask("check component=engine").fields, {"valid": "no"})
            told = [line.partition(" outcome=")[2] for line in replica.log.items if " store outcome=" in line]
            self.assertFalse(any(one == other for one, other in zip(told, told[1:])), "told at every attempt")
        return clients

    def test_missing_table(self):
        """R3: PostgreSQL without the tables: no grant, and what to do; heals without a restart"""
        store = self.postgres()
        replica = self.replica("a", store, init=False)
        client = self.assert_closed([replica], "denied", "tenurectl init")[0]
        replica.init()
        client.wait("granted")
        self.assertEqual(replica.status()["error"], "")

    def test_wrong_schema_version(self):
        """R3, W23: tables of another schema version: no grant"""
        store = self.postgres()
        replica = self.replica("a", store)
        store.sql("UPDATE tenure_store SET schema_version = 99")
        client = self.assert_closed([replica], "denied", "99")[0]
        store.sql("UPDATE tenure_store SET schema_version = 3")
        client.wait("granted")

    def test_schema_sqlite(self):
        """R3, W23: a SQLite file without the tables, and one of another version: no grant; heals without a restart"""
        store = self.sqlite()
        replica = self.replica("a", store, init=False)
        client = self.assert_closed([replica], "denied", "tenurectl init")[0]
        replica.init()
        client.wait("granted")
        with contextlib.closing(sqlite3.connect(store.path)) as database, database:
            database.execute("UPDATE tenure_store SET schema_version = 99")
        other = self.replica("b", store, init=False)
        waiting = self.assert_closed([other], "denied", "99")[0]
        with contextlib.closing(sqlite3.connect(store.path)) as database, database:
            database.execute("UPDATE tenure_store SET schema_version = 3")
        client.close()
        waiting.wait("granted")

    def test_read_only_database(self):
        """R3, W25: a database that is read-only by default: no grant"""
        store = self.postgres()
        replica = self.replica("a", store)
        store.sql(f"ALTER DATABASE {store.database} SET default_transaction_read_only = on")
        self.assert_closed([replica], "denied", "read-only", "name the writable primary")

    def test_standby_server(self):
        """R3, W25: a standby server: no grant until it is promoted, and then only after a lease of doubt"""
        primary = self.make_server("primary").start()
        store = self.postgres(server=primary)
        self.replica("init", store)
        standby = self.make_server("standby", standby_of=primary).start()
        read_only = type(store)(standby, store.database)
        read_only.is_new = False
        replica = self.replica("a", read_only)
        client = self.assert_closed([replica], "denied", "read-only")[0]
        primary.stop()
        asked_at = now()  # it is seen to be writable before pg_promote() returns
        standby.sql("SELECT pg_promote()")
        granted = client.wait("granted")
        self.assertGreater(granted.at - asked_at, 500_000_000)
        self.assertGreater(granted.number("term"), 1_500_000_000, "a term of the new incarnation (rule 5)")

    def test_no_privilege(self):
        """R3, R7: a role without rights on the tables: no grant, an error that names what is missing"""
        store = self.postgres()
        replica = self.replica("a", store, user="visitor")
        self.assert_closed([replica], "denied", "permission denied")

    def test_no_privilege_on_one(self):
        """R3, R7: a privilege is missing on one table: no grant, and the table is named"""
        for table in ("tenure_store", "tenure_session", "tenure_lease"):
            with self.subTest(table):
                store = self.postgres()
                replica = self.replica(table, store)
                store.sql(f"REVOKE ALL ON {table} FROM tenure")
                self.assert_closed([replica], "denied", f"permission denied for table {table}", "grant")

    def test_not_let_in(self):
        """R3, R7: TLS refused, certificate not trusted, wrong password: no grant, one message each"""
        plain = self.replica("plain", self.reached("sslmode=require"))
        self.assert_closed([plain], "denied", "does not support SSL", "sslmode")
        server = self.make_server("tls", ssl="on")
        self.make_certificate(server.data)
        rules = server.data / "pg_hba.conf"
        rules.write_text("host all tenure 127.0.0.1/32 scram-sha-256\n" + rules.read_text())
        server.start()
        trusted = self.reached("sslmode=verify-full", server)
        self.assert_closed([self.replica("untrusted", trusted, init=False)], "denied", "root.crt", "sslrootcert")
        server.sql("ALTER ROLE tenure PASSWORD 'another'")
        guarded = self.reached("sslmode=require password=geheim", server)
        replica = self.replica("password", guarded, init=False)
        self.assert_closed([replica], "denied", "password authentication failed")
        self.assertNotIn("geheim", str(replica.status()) + "\n".join(replica.log.items))

    def reached(self, words, server=None):
        """A database of that server, over TCP, with more in its connection string."""
        server = server or self.server
        store = self.postgres(port=server.port, server=server)
        plain = store.conninfo
        store.conninfo = lambda user: plain(user) + (" " + words if user == "tenure" else "")
        return store

    @staticmethod
    def make_certificate(directory):
        certificate, key = directory / "server.crt", directory / "server.key"
        request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=other"]
        subprocess.run([*request, "-keyout", key, "-out", certificate], check=True, capture_output=True)
        for path in (certificate, key):
            shutil.chown(path, owner())
        key.chmod(0o600)

    def test_no_such_database(self):
        """R3, R7: no such database, no such role: no grant"""
        store = self.postgres()
        self.replica("init", store)
        nowhere = type(store)(self.server, "nowhere")
        nowhere.is_new = False
        self.assert_closed([self.replica("a", nowhere)], "denied", "nowhere")

    def test_sqlite_missing(self):
        """R3: no SQLite file, or a file that is something else: no grant, and none is made"""
        store = self.sqlite()
        missing = self.replica("missing", store, init=False)
        self.assert_closed([missing], "denied", "tenurectl init")
        self.assertFalse(store.path.exists())
        missing.stop()
        store.path.write_text("This is not a database. " * 100)
        self.assert_closed([self.replica("text", store, init=False)], "denied", "not a database")


if __name__ == "__main__":
    main(at_once=4)
