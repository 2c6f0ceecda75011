#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Through pgbouncer in transaction mode: server connections come and go behind one connection of ours (rule 13)."""

import os
import re
import shutil
import signal
import subprocess
import time

import processes
from case import PostgresTest, main
from events import milliseconds, now
from postgres import USER, free_port, owner
from replica import LEASE_NS, until

POLL_NS = 200_000_000
MOMENT_NS = 150_000_000
WARNING = "a pooler is in between"


class PgBouncer:
    """As Debian configures it, but for where it listens, whom it lets in, and the mode."""

    def __init__(self, directory, server, **settings):
        self.directory = directory
        self.port = free_port()
        self.settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.port,
            "unix_socket_dir": directory,
            "auth_type": "trust",
            "auth_file": directory / "users",
            "admin_users": USER,
            "pool_mode": "transaction",
            **settings,
        }
        directory.mkdir(mode=0o755)
        (directory / "users").write_text("".join(f'"{user}" ""\n' for user in (USER, "tenure", "tenure_b")))
        self.point_to(server)
        if os.getuid() == 0:
            shutil.chown(directory, owner())
        program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
        with open(directory / "log", "ab") as log:
            self.process = processes.spawn(
                [program, directory / "pgbouncer.ini"], user=owner(), stdout=log, stderr=log, cwd=directory
            )
        until(lambda: "process up" in self.log(), "pgbouncer")

    def point_to(self, server):
        """In its configuration; RELOAD makes it so."""
        text = f"[databases]\n* = host={server.sockets} port={server.port}\n[pgbouncer]\n"
        text += "".join(f"{key} = {value}\n" for key, value in self.settings.items())
        (self.directory / "pgbouncer.ini").write_text(text)

    def admin(self, command):
        """What its console answers."""
        where = f"host={self.directory} port={self.port} dbname=pgbouncer user={USER}"
        done = subprocess.run(
            ["psql", "-X", "-A", "-t", "-q", where, "-c", command], capture_output=True, text=True, check=True
        )
        return [line.split("|") for line in done.stdout.splitlines()]

    def clients(self):
        """The connections of daemons, by what pgbouncer calls them."""
        return sorted(row[13] for row in self.admin("SHOW CLIENTS") if row[1] == "tenure")

    def log(self):
        return (self.directory / "log").read_text(errors="replace")

    def stop(self):
        processes.send(self.process.pid, signal.SIGKILL)
        self.process.wait()


class PoolerTest(PostgresTest):
    def bouncer(self, server=None, **settings):
        pooler = PgBouncer(self.directory / "bouncer", server or self.server, **settings)
        self.addCleanup(pooler.stop)
        return pooler

    def pair(self, pooler, server=None, **options):
        """Two replicas that reach the database through the pooler, each with a client; which of them leads is first."""
        store = self.postgres(server=server)
        self.replica("init", store)
        self.replicas.clear()
        store = store.through(pooler.port)
        replicas = [self.replica(name, store, **options).start() for name in "ab"]
        clients = [self.client(replica, "engine") for replica in replicas]
        until(lambda: any(client.last("granted") for client in clients), "a leader")
        until(lambda: all(replica.status()["store"] == "ok" for replica in replicas), "both are connected")
        return store, replicas, sorted(clients, key=lambda client: client.last("granted") is None)

    def hand_over(self, leader, other):
        """How long it takes until the other one leads."""
        mark = other.mark()
        yielded_at = now()
        leader.reply("yield", leader.last("granted"), cooldown_ms=500)
        return other.wait("granted", after=mark).at - yielded_at

    def assert_quiet(self, replicas, server):
        """One warning, and nothing that failed."""
        for replica in replicas:
            lines = [line for line in replica.log.items if re.search(r" (warning|error) ", line)]
            self.assertEqual(len(lines), 1, lines)
            self.assertIn(WARNING, lines[0])
        self.assertEqual([line for line in server.errors() if "tenure" in line], [])

    def test_default(self):
        """Rule 13: pgbouncer's own settings: elections by polling, one warning, no LISTEN, nothing set, no error"""
        pooler = self.bouncer()
        store, replicas, (leader, other) = self.pair(pooler)
        store.sql("CREATE EXTENSION pg_stat_statements")
        times = []
        for _ in range(10):
            time.sleep(0.5)  # the cool-down
            times.append(self.hand_over(leader, other))
            leader, other = other, leader
        self.figure_times("hand-over", times)
        self.assert_within(max(times), POLL_NS + MOMENT_NS)
        self.assert_quiet(replicas, self.server)
        said = store.sql("SELECT query FROM pg_stat_statements JOIN pg_database d ON d.oid = dbid"
                         " WHERE d.datname = current_database()")
        self.assertIn("tenure_session", said)
        self.assertNotRegex(said, "LISTEN|statement_timeout")

    def test_recycled(self):
        """Rule 13: every server connection is reset after each transaction and replaced each second: no difference"""
        pooler = self.bouncer(
            server_lifetime=1, server_reset_query="DISCARD ALL", server_reset_query_always=1, server_check_delay=0
        )
        _, replicas, (leader, other) = self.pair(pooler)
        clients = pooler.clients()
        sitting = leader.mark()
        time.sleep(2 * LEASE_NS / 1e9)
        self.assertEqual(leader.all("revoked") + other.all("granted"), [])
        self.assertGreater(len(leader.all("extended", sitting)), 5)
        for _ in range(10):
            time.sleep(0.5)  # the cool-down
            self.hand_over(leader, other)
            leader, other = other, leader
        replaced = pooler.log().count("server lifetime over")
        self.assertGreater(replaced, 5)
        self.figure(f"{replaced} server connections were replaced")
        self.assertEqual(pooler.clients(), clients, "a daemon had to connect again")
        self.assert_quiet(replicas, self.server)

    def standby(self, primary):
        standby = self.make_server("standby", standby_of=primary).start()
        at = primary.sql("SELECT pg_current_wal_lsn()")
        until(lambda: standby.sql(f"SELECT pg_last_wal_replay_lsn() >= '{at}'") == "t", "the standby following")
        return standby

    def test_switched(self):
        """W3, W4, rules 3, 9: a stale standby takes over behind connections that stay: noticed all the same"""
        primary = self.make_server("primary").start()
        pooler = self.bouncer(primary)
        # Time enough for the pooler to connect to the next server.
        timing = {"lease": "6s", "renew": "400ms", "poll": "200ms", "timeout": "1500ms"}
        _, replicas, (leader, other) = self.pair(pooler, primary, timing=timing)
        standby = self.standby(primary)
        # Cut off from its primary; then terms come and go that it knows nothing of.
        standby.sql("ALTER SYSTEM SET primary_conninfo = ''")
        standby.sql("SELECT pg_reload_conf()")
        until(lambda: primary.sql("SELECT count(*) FROM pg_stat_replication") == "0", "the standby cut off")
        for _ in range(3):
            time.sleep(0.5)  # the cool-down
            self.hand_over(leader, other)
            leader, other = other, leader
        last = leader.last("granted").number("term")
        leader.wait("extended", after=leader.mark())
        clients = pooler.clients()
        marks = [(client, client.mark()) for client in (leader, other)]
        logs = [(replica, replica.log.mark()) for replica in replicas]
        standby.sql("SELECT pg_promote()")
        pooler.point_to(standby)
        pooler.admin("PAUSE")
        switched_at = now()
        primary.stop(signal.SIGQUIT)
        pooler.admin("RELOAD")
        pooler.admin("RESUME")
        for replica, mark in logs:
            replica.wait_log("incarnation", "claims nothing", after=mark)
        self.assertEqual(leader.wait("revoked", after=marks[0][1]).fields["reason"], "lost")
        granted = until(lambda: [event for client, mark in marks for event in client.all("granted", mark)], "a leader")
        self.assertGreater(granted[0].number("term"), last)
        self.assertGreater(granted[0].at - switched_at, 3 * LEASE_NS)
        self.figure(f"leads {milliseconds(granted[0].at - switched_at):.0f} ms after the switch")
        self.assertEqual(pooler.clients(), clients, "a daemon connected again: it was to be noticed without")

    def test_killed(self):
        """W9: the server dies behind the pooler, which is pointed to another one: the leader leads on with its term"""
        primary = self.make_server("primary").start()
        pooler = self.bouncer(primary, server_login_retry=0.2)
        timing = {"lease": "4s", "renew": "500ms", "poll": "250ms", "timeout": "500ms"}
        _, _, (leader, other) = self.pair(pooler, primary, timing=timing)
        standby = self.standby(primary)
        leader.wait("extended", after=leader.mark())
        primary.stop(signal.SIGQUIT)
        standby.sql("SELECT pg_promote()")
        pooler.point_to(standby)
        pooler.admin("RELOAD")
        promoted_at = now()
        extended = leader.wait("extended", after=leader.mark(), term=1)
        self.assertEqual(leader.all("revoked") + other.all("granted"), [])
        self.figure(f"extended {milliseconds(extended.at - promoted_at):.0f} ms after the pooler was told")

    def test_promoted_in_place(self):
        """W25: what the pooler remembers of a server that was a standby when it first connected keeps nobody away"""
        primary = self.make_server("primary").start()
        store = self.postgres(server=primary)
        self.replica("init", store)
        self.replicas.clear()
        standby = self.standby(primary)
        pooler = self.bouncer(standby)
        store = store.through(pooler.port)
        replica = self.replica("a", store).start()
        client = self.client(replica, "engine")
        replica.wait_log("store", "outcome=denied", "read-only")
        self.assertEqual(client.all("granted"), [])
        primary.stop()
        standby.sql("SELECT pg_promote()")
        promoted_at = now()
        granted = client.wait("granted")
        self.assert_within(granted.at - promoted_at, LEASE_NS + POLL_NS + 3 * MOMENT_NS)
        self.figure(f"leads {milliseconds(granted.at - promoted_at):.0f} ms after the promotion")


if __name__ == "__main__":
    main()
