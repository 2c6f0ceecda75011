# SPDX-License-Identifier: Apache-2.0
"""An election by rows of PostgreSQL: a connection, and what every candidate does."""

import datetime
import os
import select
import time


class Rows:
    """A client with one connection, and another when that one ends. What fails found nothing and changed nothing."""

    # For those who measure:
    KIND = NAME = None  # its word, and its name in tables
    LEASE_S = None  # its default
    IS_FIXED = False  # there is no other
    POLL_S = 0  # between a candidate's tries, where nobody tells it of a resignation

    def __init__(self, where, lease_s, component):
        import psycopg2  # pylint: disable=import-outside-toplevel,import-error

        self.error = psycopg2.Error
        self.reach = lambda: psycopg2.connect(where)
        self.connect()
        self.lease_s, self.component = lease_s, component
        self.me = f"{os.uname().nodename}-{os.getpid()}"

    def connect(self):
        self.connection = self.reach()
        self.connection.autocommit = True
        self.cursor = self.connection.cursor()

    def execute(self, text, values):
        if self.connection.closed:
            self.connect()
        self.cursor.execute(text, values)

    def rows(self, text, *values):
        try:
            self.execute(text, values)
            return self.cursor.fetchall()
        except self.error:
            return []

    def changed(self, text, *values):
        try:
            self.execute(text, values)
            return self.cursor.rowcount == 1
        except self.error:
            return False

    def told(self, timeout_s):
        """Waits for that long, or until another one notifies us."""
        end = time.monotonic() + timeout_s
        while True:
            said = [notice for notice in self.connection.notifies if notice.pid != self.connection.info.backend_pid]
            self.connection.notifies.clear()
            left_s = end - time.monotonic()
            if said or left_s <= 0:
                return bool(said)
            select.select([self.connection], [], [], left_s)
            self.connection.poll()

    def win(self):
        """Returns as the leader."""
        raise NotImplementedError

    def keep(self):
        """Returns once it may no longer lead."""
        raise NotImplementedError

    def resign(self):
        """Lets the others have what is still ours."""
        raise NotImplementedError

    def run(self, work):
        """However the leadership ends, the work ends first."""
        while True:
            self.win()
            try:
                work.start()
                self.keep()
            finally:
                work.kill()
                self.resign()


def utc(offset_s=0.0):
    return datetime.datetime.utcnow() + datetime.timedelta(seconds=offset_s)
