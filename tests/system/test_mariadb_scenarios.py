#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is tested of hand-overs, outages, pauses and restarts on PostgreSQL, on MariaDB."""

import time

import test_outage
import test_pauses
import test_resume
import test_takeover
from case import main
from mariadb import MariaDB, Maria


class OnMariaDB:
    """In front of a test's class: its server, and those that it makes, are of MariaDB."""

    patience = 3  # it runs beside other tests; test_mariadb measures, with nothing beside it

    @classmethod
    def setUpClass(cls):
        directory = cls.class_directory()
        cls.server = MariaDB(directory / "maria")
        cls.addClassCleanup(cls.server.stop)
        cls.server.start()

    def make_server(self, name="maria"):
        server = MariaDB(self.directory / name)
        self.addCleanup(server.stop)
        return server

    def database(self, port=None, server=None):
        server = server or self.server
        name = "t" + str(time.monotonic_ns())
        server.sql(f"CREATE DATABASE {name}")
        store = Maria(server, name)
        if port:
            store = store.through(port)
            store.is_new = True
        return store


class TakeoverTest(OnMariaDB, test_takeover.TakeoverTest):
    rounds = 200
    test_transferred = None  # in test_mariadb, with nothing beside it


class OutageTest(OnMariaDB, test_outage.OutageTest):
    pass


class PausesTest(OnMariaDB, test_pauses.PausesTest):
    pass


class ResumeTest(OnMariaDB, test_resume.ResumeTest):
    pass


if __name__ == "__main__":
    main(at_once=3)
