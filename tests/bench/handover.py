# SPDX-License-Identifier: Apache-2.0
"""From one leader to the next where the first one says so, or its worker dies: how long nobody leads."""

import os
import signal
import statistics
import sys
import time

import processes
from etcd import Etcd
from events import now
from local import run
from mariadb import Maria, MariaDB
from replica import BUILD, HERE, until
from results import Section, percentile, plot, shown, spread, verdict

ROUNDS = int(os.environ.get("ROUNDS", "200"))
SMALL = [sys.executable, "-S", HERE / "small_worker.py"]
# A hand-over does not wait for it, but the next one of the same component has to.
COOLDOWN_MS = 1000
RESIGNS = max(1, ROUNDS // 4)


def pair(case, store, name):
    return [case.replica(f"{name}-{node}", store, tenure={"log_level": "info"}).start() for node in "ab"]


def worker_killed(case, leading, waiting):
    """From SIGKILL to granted."""
    leader = case.worker(leading, command=SMALL)
    leader.wait("granted")
    for _ in range(ROUNDS):
        standby = case.worker(waiting, command=SMALL).wait_joined()
        killed_at = leader.kill()
        yield standby.wait("granted").at - killed_at
        leader, leading, waiting = standby, waiting, leading
    leader.close()


def resigned(case, leading, waiting):
    """From the worker's stopped to granted."""
    leader, standby = case.client(leading, "engine", stop=False), case.client(waiting, "engine", stop=False)
    until(lambda: leader.last("granted") or standby.last("granted"), "one of them leads")
    if standby.last("granted"):
        leader, standby, leading, waiting = standby, leader, waiting, leading
    term = leader.last("granted").number("term")
    for _ in range(RESIGNS):
        mark = standby.mark()
        assert leading.ctl("resign", "engine", "--cooldown", f"{COOLDOWN_MS}ms").returncode == 0
        revoked = leader.wait("revoked", term=term)
        stopped_at = now()
        leader.reply("stopped", revoked)
        granted = standby.wait("granted", after=mark)
        yield granted.at - stopped_at
        term = granted.number("term")
        time.sleep(1.1 * COOLDOWN_MS / 1000)
        leader, standby, leading, waiting = standby, leader, waiting, leading
    leader.close()
    standby.close()


def terminated(case, leading, waiting):
    """From the worker's stopped, after the daemon got SIGTERM, to granted elsewhere."""
    leader = case.client(leading, "engine", stop=False)
    leader.wait("granted")
    for _ in range(ROUNDS):
        standby = case.client(waiting, "engine", stop=False)
        leading.terminate()
        revoked = leader.wait("revoked")
        stopped_at = now()
        leader.reply("stopped", revoked)
        yield standby.wait("granted").at - stopped_at
        assert leading.wait_exit() == 0
        leader.close()
        leading.start()
        leader, leading, waiting = standby, waiting, leading
    leader.close()


CASES = {"worker killed": worker_killed, "resign": resigned, "daemon's SIGTERM": terminated}


def etcdctl_lock(case):
    """The command that `etcdctl lock` runs is killed: until the next one runs."""
    command = ["sh", "-c", "echo $$; exec sleep 1000"]
    with Etcd(case.directory / "etcd") as etcd:
        leader = etcd.lock("engine", *command)
        pid = int(leader.stdout.readline())
        for _ in range(ROUNDS):
            before = etcd.keys("engine")
            standby = etcd.lock("engine", *command)
            until(lambda count=before: etcd.keys("engine") > count, "it waits for the lock")
            killed_at = now()
            processes.send(pid, signal.SIGKILL)
            pid = int(standby.stdout.readline())
            yield now() - killed_at
            leader.wait()
            leader.stdout.close()
            leader = standby
        processes.send(pid, signal.SIGKILL)
        leader.wait()
        leader.stdout.close()


def databases(case):
    database = case.postgres()
    yield "PostgreSQL", database
    server = MariaDB(case.directory / "maria")
    server.start("--innodb-flush-log-at-trx-commit=1")
    case.addCleanup(server.stop)
    server.sql("CREATE DATABASE bench")
    yield "MariaDB", Maria(server, "bench")


def row(name, times, floor):
    ratio = f"{statistics.median(times) / floor:.1f}" if floor else ""
    return (name, len(times), spread(times), shown(percentile(times, 99)), ratio)


def handover(case):
    floor_store = case.postgres()
    floor = run(BUILD / "tests/bench/time_floor", floor_store.conninfo("postgres"), ROUNDS)["floor"]
    found = {"floor, PostgreSQL: two commits and a notification": [ns / 1e6 for ns in floor]}
    middle = statistics.median(floor) / 1e6
    for database, store in databases(case):
        for number, (name, measure) in enumerate(CASES.items()):
            replicas = pair(case, store, f"{database}{number}")
            found[f"{database}, {name}"] = [ns / 1e6 for ns in measure(case, *replicas)]
            for replica in replicas:
                replica.stop()
    found["`etcdctl lock`, its command killed"] = [ns / 1e6 for ns in etcdctl_lock(case)]
    section = Section("handover", "ms without a leader")
    section.table(
        ("", "times", "ms", "p99", "floors"),
        [row(name, times, middle if not name.startswith("MariaDB") else None) for name, times in found.items()],
    )
    ours = {name: [t for key, times in found.items() if key.startswith(name + ",") for t in times]
            for name in ("PostgreSQL", "MariaDB")}
    p50 = statistics.median(ours["PostgreSQL"])
    section.say(
        f"PostgreSQL p50 at most 3 floors: {verdict(p50 <= 3 * middle)}, {p50 / middle:.1f}; p99 at most 10 ms: "
        f"{verdict(percentile(ours['PostgreSQL'], 99) <= 10)}. MariaDB p99 at most 50 ms: "
        f"{verdict(percentile(ours['MariaDB'], 99) <= 50)}. The floor is for PostgreSQL; none was measured for MariaDB."
        " The daemon that takes over after a SIGTERM has been started a moment before: its first connection is in it."
    )
    plot("handover", "hand-over", "ms", [(name.replace("`", ""), times) for name, times in found.items()])
    section.say("![How many hand-overs took no longer than that](handover.svg)")
    return section
