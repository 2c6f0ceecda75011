#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""rival.py KIND WHERE LEASE_S COMMAND...: runs a command where this process leads, as users of other elections do.

Each ends the command as soon as it hears that it may no longer lead, which is the best that a careful user makes of it.
Debian's own Python, for its packages kazoo and psycopg2.
"""

import datetime
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request

KEY = "engine"


class Work:
    """The command, which dies with the thread that started it: the main one."""

    def __init__(self, command):
        self.command = ["setpriv", "--pdeathsig", "KILL", "--", *command]
        self.process = None

    def start(self):
        self.process = subprocess.Popen(self.command)

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


def etcd_elect(where, _lease_s, work):
    """A script around `etcdctl elect`, which says when it leads and ends with its session; that one has 60 s."""
    while True:
        command = ["etcdctl", f"--endpoints={where}", "elect", "elected", str(os.getpid())]
        with subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", *command], stdout=subprocess.PIPE) as elect:
            if elect.stdout.readline():
                work.start()
            elect.wait()
        work.kill()


def kazoo(where, lease_s, work):
    """kazoo's Election; the work ends with a suspended connection already."""
    from kazoo.client import KazooClient  # pylint: disable=import-outside-toplevel,import-error

    over = threading.Event()
    client = KazooClient(hosts=where, timeout=lease_s)
    client.add_listener(lambda state: over.set() if state != "CONNECTED" else None)
    client.start()

    def lead():
        over.clear()
        work.start()
        over.wait()
        work.kill()

    while True:
        client.Election(f"/{KEY}", str(os.getpid())).run(lead)


def advisory(where, _lease_s, work):
    """pg_advisory_lock(), and a look at the connection twice a second."""
    import psycopg2  # pylint: disable=import-outside-toplevel,import-error

    while True:
        try:
            connection = psycopg2.connect(where)
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute("SELECT pg_advisory_lock(1)")
            work.start()
            while True:
                time.sleep(0.5)
                cursor.execute("SELECT 1")
        except psycopg2.Error:
            work.kill()
            time.sleep(0.1)


class Rows:
    """A lock in a table: who has it, and since when or until when by the client's clock."""

    def __init__(self, where):
        import psycopg2  # pylint: disable=import-outside-toplevel,import-error

        self.error = psycopg2.Error
        self.connection = psycopg2.connect(where)
        self.connection.autocommit = True
        self.cursor = self.connection.cursor()
        self.me = f"{os.uname().nodename}-{os.getpid()}"

    def changed(self, text, *values):
        try:
            self.cursor.execute(text, values)
            return self.cursor.rowcount == 1
        except self.error:
            return False


def utc(offset_s=0.0):
    return datetime.datetime.utcnow() + datetime.timedelta(seconds=offset_s)


def jdbc(where, lease_s, work):
    """As Spring Integration's JdbcLockRegistry and leader initiator: tried each 100 ms, renewed each 500 ms."""
    rows = Rows(where)
    rows.changed(
        "CREATE TABLE IF NOT EXISTS int_lock (lock_key TEXT PRIMARY KEY, client_id TEXT, created_date TIMESTAMP)"
    )

    def acquire():
        return rows.changed(
            "UPDATE int_lock SET client_id = %s, created_date = %s"
            " WHERE lock_key = %s AND (client_id = %s OR created_date < %s)",
            *(rows.me, utc(), KEY, rows.me, utc(-lease_s)),
        ) or rows.changed("INSERT INTO int_lock VALUES (%s, %s, %s) ON CONFLICT DO NOTHING", KEY, rows.me, utc())

    while True:
        while not acquire():
            time.sleep(0.1)
        work.start()
        while acquire():
            time.sleep(0.5)
        work.kill()


def leader_leases(where, lease_s, work):
    """A table of leases and a tick: an expiry by the client's clock, three ticks a lease; one that fails ends it."""
    rows = Rows(where)
    rows.changed(
        "CREATE TABLE IF NOT EXISTS leader_leases (component TEXT PRIMARY KEY, holder_id TEXT,"
        " expires_at TIMESTAMP, version BIGINT)"
    )

    def claim():
        return rows.changed(
            "UPDATE leader_leases SET holder_id = %s, expires_at = %s, version = version + 1"
            " WHERE component = %s AND (holder_id = %s OR expires_at < %s)",
            *(rows.me, utc(lease_s), KEY, rows.me, utc()),
        ) or rows.changed(
            "INSERT INTO leader_leases VALUES (%s, %s, %s, 1) ON CONFLICT DO NOTHING", KEY, rows.me, utc(lease_s)
        )

    while True:
        if not claim():
            work.kill()
        elif not work.process:
            work.start()
        time.sleep(lease_s / 3)


def primary(where, _lease_s, work):
    """What Patroni answers to a load balancer decides, asked ten times a second."""
    while True:
        try:
            with urllib.request.urlopen(f"{where}/primary", timeout=1):
                leads = True
        except OSError:
            leads = False
        if not leads:
            work.kill()
        elif not work.process:
            work.start()
        time.sleep(0.1)


KINDS = {
    "elect": etcd_elect,
    "kazoo": kazoo,
    "advisory": advisory,
    "jdbc": jdbc,
    "leader_leases": leader_leases,
    "primary": primary,
}

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    KINDS[sys.argv[1]](sys.argv[2], float(sys.argv[3]), Work(sys.argv[4:]))
