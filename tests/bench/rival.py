#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""rival.py KIND WHERE LEASE_S COMMAND...: runs a command where this process leads, as users of other elections do.

Each ends the command as soon as it hears that it may no longer lead, which is the best that a careful user makes of it.
Those of rivals/ resign at SIGUSR1 and are candidates again at the next one. $COMPONENTS: so many elections at once.
Debian's own Python, for its packages kazoo and psycopg2.
"""

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import rivals

KEY = "engine"


class Resigned(Exception):
    """We were asked to."""


class Work:
    """The command, which dies with the thread that started it."""

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
        command = ["etcdctl", f"--endpoints={where}", "elect", os.environ.get("ELECTION", "elected"), str(os.getpid())]
        with subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", *command], stdout=subprocess.PIPE) as elect:
            if elect.stdout.readline():
                work.start()
            elect.wait()
        work.kill()


def kazoo(where, lease_s, work):
    """kazoo's Election; the work ends with a suspended connection already."""
    # pylint: disable=import-outside-toplevel,import-error
    from kazoo.client import KazooClient
    from kazoo.exceptions import KazooException

    over = threading.Event()
    client = KazooClient(hosts=where, timeout=lease_s)
    client.add_listener(lambda state: over.set() if state != "CONNECTED" else None)
    client.start()

    def await_end(process):
        process.wait()
        over.set()

    def lead():
        over.clear()
        work.start()
        watching = threading.Thread(target=await_end, args=(work.process,), daemon=True)
        watching.start()
        over.wait()
        work.kill()
        watching.join()

    while True:
        try:
            client.Election(f"/{KEY}", str(os.getpid())).run(lead)
        except KazooException:
            time.sleep(0.1)


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
    "primary": primary,
}


def resigned(*_):
    """The next signal waits until it is waited for."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    raise Resigned


def by_rows(kind, where, lease_s, command, component):
    while True:
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
            rivals.KINDS[kind](where, lease_s, component).run(Work(command))
        except Resigned:
            signal.sigwait({signal.SIGUSR1})


def main(kind, where, lease_s, *command):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if kind in KINDS:
        KINDS[kind](where, float(lease_s), Work(command))
        return
    signal.signal(signal.SIGUSR1, resigned)
    for number in range(1, int(os.environ.get("COMPONENTS", "1"))):
        arguments = (kind, where, float(lease_s), command, f"{KEY}{number}")
        threading.Thread(target=by_rows, args=arguments, daemon=True).start()
    by_rows(kind, where, float(lease_s), command, KEY)


if __name__ == "__main__":
    main(*sys.argv[1:])
