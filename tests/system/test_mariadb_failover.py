#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""MariaDB fails over to a replica that lost the last writes (W3, W4, W25; rules 3, 5, 7, 9)."""

import shutil
import subprocess
import time

import test_failover
from case import SystemTest, main
from events import milliseconds, now
from failover import ROWS
from mariadb import MariaDB, Maria
from postgres import Proxy
from replica import until

RENEW_NS = test_failover.RENEW_NS


class Server(MariaDB):
    """One that is a primary or a replica; its data begin as a copy of `template`, where there is one."""

    lives = 0

    def __init__(self, directory, template=None):
        self.template = template
        super().__init__(directory)

    def make(self):
        if self.template:
            subprocess.run(["cp", "-a", self.template, self.directory / "data"], check=True)
        else:
            super().make()

    def make_users(self):
        """Each for itself, or a replica would have them twice."""
        self.sql("SET sql_log_bin = 0; CREATE USER IF NOT EXISTS tenure@localhost, tenure@'%'")

    def start(self, *options):
        """What has the id of a replica is not applied there."""
        Server.lives += 1
        log = ("--log-bin=binlog", "--log-slave-updates", "--binlog-format=ROW", f"--server-id={Server.lives}")
        return super().start(*log, *options)

    def replicates(self):
        """Whether it receives, and has applied all that it received."""
        command = [word for word in self.client() if word != "-N"]
        text = subprocess.run(command, input="SHOW SLAVE STATUS\\G", capture_output=True, text=True, check=True).stdout
        status = {name.strip(): value for name, _, value in (line.partition(": ") for line in text.splitlines())}
        done = status["Read_Master_Log_Pos"] == status["Exec_Master_Log_Pos"]
        return status["Slave_IO_Running"] == "Yes", done and "has read all" in status["Slave_SQL_Running_State"]


class Pair:
    """A primary, and an asynchronous replica that gets what it writes through a proxy that can hold it back."""

    def __init__(self, test):
        self.proxy = Proxy(0)
        test.addCleanup(self.proxy.close)
        self.primary = Server(test.directory / "one")
        self.template = test.directory / "template"
        subprocess.run(["cp", "-a", self.primary.directory / "data", self.template], check=True)
        self.standby = Server(test.directory / "two", self.template)
        for server in (self.primary, self.standby):
            test.addCleanup(server.stop)
        self.primary.start()
        self.receives = False

    def begin_copy(self):
        """The other server begins anew, with all that was ever written: follows() says when it has it."""
        self.standby.template = self.template
        shutil.rmtree(self.standby.directory / "data")
        self.standby.make()
        self.standby.start("--read-only")
        self.proxy.target_port = self.primary.port
        self.standby.sql(
            f"CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {self.proxy.port}, MASTER_USER = 'copier',"
            " MASTER_CONNECT_RETRY = 1, MASTER_USE_GTID = slave_pos; START SLAVE"
        )

    def follows(self):
        return all(self.standby.replicates())

    def hold_back(self):
        """From now on the replica receives nothing."""
        self.proxy.hold()

    def fail(self):
        """The primary is killed; what it sent and the replica had not received is lost. Returns when."""
        killed_at = now()
        self.primary.stop()
        self.proxy.cut()
        self.proxy.release()
        return killed_at

    def rows(self, database):
        """What the replica has of the leases once it has applied all that it has: component, term, session there."""
        until(lambda: self.standby.replicates()[1], "the replica applying the last of it", every=0.02)
        lines = [line.split("\t") for line in self.standby.sql(ROWS, database).splitlines()]
        return {component: (int(term), there == "1") for component, term, there in lines}

    def promote(self):
        """The replica becomes the primary. Returns when that was asked for and when it was done."""
        asked_at = now()
        self.standby.sql("STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only = 0")
        self.primary, self.standby = self.standby, self.primary
        return asked_at, now()


def make(test):
    """The servers, and a store that is on both."""
    pair, database = Pair(test), "t" + str(time.monotonic_ns())
    pair.primary.sql(
        f"CREATE USER copier@'%'; GRANT REPLICATION SLAVE ON *.* TO copier@'%'; CREATE DATABASE {database}"
    )
    first = Maria(pair.primary, database)
    test.replica("init", first)
    test.replicas.clear()
    hosts = ",".join(f"127.0.0.1:{server.port}" for server in (pair.primary, pair.standby))
    return pair, first.but(socket=None, tls="off", host=hosts)


class OverAndOverTest(test_failover.OverAndOverTest):
    count = max(3, test_failover.OverAndOverTest.count * 2 // 5)

    def make(self):
        return make(self)


class ReadOnlyTest(SystemTest):
    def test_read_only_left(self):
        """W25, W9, R7: a server that became read-only is left at once for a writable one, and no term ends"""
        pair, store = make(self)
        replicas = [self.replica(name, store).start() for name in "ab"]
        leader = self.client(replicas[0], "engine")
        leader.wait("granted", term=1)
        self.client(replicas[1], "engine")
        pair.begin_copy()
        until(pair.follows, "the replica following")
        leader.wait("extended", after=leader.mark())
        marks = [(replica, replica.log.mark()) for replica in replicas]
        pair.primary.sql("SET GLOBAL read_only = 1")
        left_at = now()
        until(pair.follows, "the replica having all of it")
        pair.promote()
        for replica, mark in marks:
            replica.wait_log("incarnation", "claims nothing", after=mark)
        moved_at = now()
        leader.wait("extended", after=leader.mark(), term=1)
        self.assert_within(moved_at - left_at, RENEW_NS + 300_000_000)
        self.assertEqual(leader.all("revoked"), [])
        self.figure(f"both daemons moved within {milliseconds(moved_at - left_at):.0f} ms")


if __name__ == "__main__":
    main()
