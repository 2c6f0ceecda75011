# SPDX-License-Identifier: Apache-2.0
"""From one leader to the next where the first one says so, or its worker dies: how long nobody leads."""

import itertools
import os
import random
import signal
import statistics
import subprocess
import sys
import time

import processes
from case import STALLS
from crash import RIVAL, START_S, side_by_side
from etcd import Etcd
from events import now
from local import run
from mariadb import Maria, MariaDB
from replica import BUILD, TENURECTL, Client, until
from results import Section, missed_by, percentile, plot, shown, spread
from rivals import KINDS
from zookeeper import ZooKeeper

ROUNDS = int(os.environ.get("ROUNDS", "200"))
# In C, as the floor is.
WORKER = [BUILD / "tests/bench/line_worker"]
FEWER = max(1, ROUNDS // 4)  # of what others are compared with
# A hand-over does not wait for it, but the next one of the same component has to.
COOLDOWN_MS = 50
COMMAND = ["sh", "-c", "echo $$; exec sleep 1000"]
RIVALS_S = int(os.environ.get("RIVALS_S", "25"))  # as often as they can in that time
SETTLE_S = 0.5  # for one that connects to be a candidate
PAUSE_S = 0.15  # before each hand-over, when nothing is awake any more; a daemon that was started is one by then, too
KAZOO_LEASE_S = 5
CONNECTED = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


def pair(case, store, name):
    keys = {"tenure": {"log_level": "info"}, "component": {"cooldown": f"{COOLDOWN_MS}ms"}}
    return [case.replica(f"{name}-{node}", store, **keys).start() for node in "ab"]


def worker_killed(case, leading, waiting):
    """From SIGKILL to granted."""
    leader = case.worker(leading, command=WORKER)
    leader.wait("granted")
    for _ in range(ROUNDS):
        standby = case.worker(waiting, command=WORKER).wait_joined()
        time.sleep(PAUSE_S)
        killed_at = leader.kill()
        yield standby.wait("granted").at - killed_at
        leader, leading, waiting = standby, waiting, leading
    leader.close()


def resigned(case, leading, waiting):
    """From the worker's stopped to granted."""
    leader, standby = (case.worker(replica, command=WORKER) for replica in (leading, waiting))
    until(lambda: leader.last("granted") or standby.last("granted"), "one of them leads")
    if standby.last("granted"):
        leader, standby, leading, waiting = standby, leader, waiting, leading
    term = leader.last("granted").number("term")
    for _ in range(ROUNDS):
        time.sleep(PAUSE_S)
        mark = standby.mark()
        assert leading.ctl("resign", "engine", "--cooldown", f"{COOLDOWN_MS}ms").returncode == 0
        granted = standby.wait("granted", after=mark)
        yield granted.at - leader.wait("stopped", term=term).at
        term = granted.number("term")
        leader, standby, leading, waiting = standby, leader, waiting, leading
    leader.close()
    standby.close()


def terminated(case, leading, waiting):
    """From the worker's stopped, after the daemon got SIGTERM, to granted elsewhere."""
    leader = case.worker(leading, command=WORKER)
    leader.wait("granted")
    for _ in range(ROUNDS):
        standby = case.worker(waiting, command=WORKER).wait_joined()
        time.sleep(PAUSE_S)
        leading.terminate()
        yield standby.wait("granted").at - leader.wait("stopped").at
        assert leading.wait_exit() == 0
        leader.close()
        leading.start()
        leader, leading, waiting = standby, waiting, leading
    leader.close()


def commands(leading, waiting):
    """Two of `tenurectl run`, of which the first leads, and the pid of its command."""
    start = ["run", "engine", "--", *COMMAND]
    runs = []
    for replica in (leading, waiting):
        runs.append(processes.spawn([TENURECTL, "--socket", replica.socket, *start], stdout=subprocess.PIPE))
        if replica is leading:
            pid = int(runs[0].stdout.readline())
    until(lambda: waiting.status()["worker"] == "joined", "it waits")
    return runs, pid


def command_killed(_, leading, waiting):
    """From SIGKILL of the command under `tenurectl run` to the first word of the next one."""
    yield from killed(*commands(leading, waiting), FEWER)


def command_resigned(_, leading, waiting):
    """From the request to resign to the first word of the next command under `tenurectl run`."""
    runs, _ = commands(leading, waiting)
    askers = [Client(replica.socket, f"asking {replica.name}") for replica in (leading, waiting)]
    for _ in range(FEWER):
        time.sleep(PAUSE_S)
        told_at = now()
        askers[0].say(f"resign component=engine cooldown_ms={COOLDOWN_MS}")
        assert runs[1].stdout.readline()
        yield now() - told_at
        runs.reverse()
        askers.reverse()
    for asker in askers:
        asker.close()
    finish(runs)


def killed(runs, pid, count):
    """Of two processes, each of which starts its command when it leads: from the death of one to the other."""
    for _ in range(count):
        time.sleep(PAUSE_S)
        killed_at = now()
        processes.send(pid, signal.SIGKILL)
        pid = int(runs[1].stdout.readline())
        yield now() - killed_at
        runs.reverse()
    finish(runs)


def finish(runs):
    for process in runs:
        process.terminate()
        process.wait()
        process.stdout.close()


HOT = "the same, one right after the other"
SLOWEST, LINES = 3, 6  # hand-overs of a case that are told of, and lines of the log before each of them ended
COMPARED = "PostgreSQL"  # with the floor, and with others' commands
FLOORS = {
    "PostgreSQL": "two commits and a notification, 0.1 s apart",
    "MariaDB": "two commits and a lock, 0.1 s apart",
}
RUN, KILLED, RESIGN = "`tenurectl run`", "its command killed", "resign"
CASES = {
    "worker killed": worker_killed,
    RESIGN: resigned,
    "daemon's SIGTERM": terminated,
    f"{RUN}, {KILLED}": command_killed,
    f"{RUN}, {RESIGN}": command_resigned,
}
FLOORS_P50, POSTGRESQL_P99_MS, MARIADB_P99_MS = 3, 10, 50  # the targets


def kazoo(case):
    """The same of kazoo's Election."""
    with ZooKeeper(case.directory / "zookeeper") as keeper:
        command = [RIVAL, "kazoo", keeper.where, KAZOO_LEASE_S, *COMMAND]
        runs = [processes.spawn(command, stdout=subprocess.PIPE)]
        pid = int(runs[0].stdout.readline())
        runs.append(processes.spawn(command, stdout=subprocess.PIPE))
        time.sleep(START_S / 20)
        yield from killed(runs, pid, FEWER)


def etcdctl_lock(case):
    """The command that `etcdctl lock` runs is killed: until the next one runs."""
    with Etcd(case.directory / "etcd") as etcd:
        leader = etcd.lock("engine", *COMMAND)
        pid = int(leader.stdout.readline())
        for _ in range(FEWER):
            before = etcd.keys("engine")
            standby = etcd.lock("engine", *COMMAND)
            until(lambda count=before: etcd.keys("engine") > count, "it waits for the lock")
            time.sleep(PAUSE_S)
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


class Resigning:
    """Two processes of a rival by rows, one of which leads, and what it took from its being told to resign until the
    other one's command ran."""

    def __init__(self, case, kind):
        self.kind, self.times = kind, []
        self.store = case.postgres()

    def connected(self):
        """How many: one each."""
        return int(self.store.sql(CONNECTED))

    def candidate(self):
        work = ["sh", "-c", "echo; exec sleep infinity"]
        command = [RIVAL, self.kind.KIND, self.store.conninfo("postgres"), self.kind.LEASE_S, *work]
        return processes.spawn(command, stdout=subprocess.PIPE)

    def run(self):
        leader = self.candidate()
        assert leader.stdout.readline()
        standby = self.candidate()
        try:
            until(lambda: self.connected() == 2, "it is a candidate", START_S, every=SETTLE_S)
            self.resign(leader, standby)
        finally:
            for process in (leader, standby):
                process.kill()
                process.wait()
                process.stdout.close()

    def resign(self, leader, standby):
        end = now() + (RIVALS_S - self.kind.POLL_S) * 1e9
        while not self.times or (now() < end and len(self.times) < ROUNDS):
            time.sleep(SETTLE_S + random.uniform(0, self.kind.POLL_S))
            told_at = now()
            processes.send(leader.pid, signal.SIGUSR1)
            assert standby.stdout.readline()
            self.times.append((now() - told_at) / 1e6)
            processes.send(leader.pid, signal.SIGUSR1)
            leader, standby = standby, leader


def rivals(case):
    """Of those that poll seldom there are more pairs."""
    pairs = [Resigning(case, kind) for kind in KINDS.values() for _ in range(1 + int(kind.POLL_S * 0.4))]
    side_by_side(Resigning.run, pairs)
    for kind, group in itertools.groupby(pairs, lambda pair: pair.kind):
        yield f"{kind.NAME}, {RESIGN}", [ms for pair in group for ms in pair.times]


def floors(program, *where):
    found = run(BUILD / "tests/bench" / program, *where, ROUNDS)
    return {name: [ns / 1e6 for ns in times] for name, times in found.items()}


def databases(case):
    """Each with its floors; one server at a time is awake."""
    yield "PostgreSQL", case.postgres(), floors("time_floor", case.postgres().conninfo("postgres"))
    server = MariaDB(case.directory / "maria")
    server.start("--innodb-flush-log-at-trx-commit=1")
    case.addCleanup(server.stop)
    server.sql("CREATE DATABASE bench")
    yield "MariaDB", Maria(server, "bench"), floors("time_floor_mysql", server.socket, "bench")


def row(name, times, floor):
    return (name, len(times), spread(times), shown(p99(times)), shown(statistics.median(times) / floor))


# ---- what is said of the targets ----


def p99(times):
    return percentile(times, 99)


def within(cases, measure, limit_ms):
    """Whether each is within the limit by that measure, and which is not."""
    took = {name: measure(times) for name, times in cases.items()}
    return missed_by([f"{name}, {shown(ms)} ms" for name, ms in took.items() if ms > limit_ms])


def workers(found, database):
    """The cases on it, of workers that its daemons tell themselves; each is judged by itself."""
    prefix = f"{database}, "
    cases = {name.removeprefix(prefix): times for name, times in found.items() if name.startswith(prefix)}
    return {name: times for name, times in cases.items() if not name.startswith(RUN)}


def on_postgresql(found, floor_ms):
    """Whether each case is as soon as it should be, and those would be that are left out of it."""
    told, hot_ms = workers(found, COMPARED), statistics.median(found[HOT])
    begun = {name: found[f"{COMPARED}, {name}"] for name in CASES if name.startswith(RUN)}
    limit_ms = FLOORS_P50 * floor_ms
    return (
        f"{COMPARED} p50 at most {FLOORS_P50} floors, of {shown(floor_ms)} ms, in each case:"
        f" {within(told, statistics.median, limit_ms)}. Where one floor follows the other, in {shown(hot_ms)} ms:"
        f" {within(told, statistics.median, FLOORS_P50 * hot_ms)}. p99 at most {POSTGRESQL_P99_MS} ms in each case:"
        f" {within(told, p99, POSTGRESQL_P99_MS)}. Left out of these are the lines of {RUN}, where a command ends and"
        f" another begins besides: by the same measure p50 would be {within(begun, statistics.median, limit_ms)}, and"
        f" p99 {within(begun, p99, POSTGRESQL_P99_MS)}."
    )


def against_rivals(found):
    """Whether each rival's median is above that of our command in the same case, and whose is not."""
    sooner = []
    for case in (KILLED, RESIGN):
        ours_ms = statistics.median(found[f"{COMPARED}, {RUN}, {case}"])
        for name, times in found.items():
            theirs_ms = statistics.median(times)
            if name.endswith(f", {case}") and not name.startswith(tuple(FLOORS)) and theirs_ms <= ours_ms:
                sooner.append(f"{name}, {shown(theirs_ms)} to {shown(ours_ms)} ms")
    return f"Median below every rival's, each beside {RUN} in the same case: {missed_by(sooner)}."


def stood_still(since):
    """How often the machine held up one that only slept, and for how long."""
    late = [late for start, late in list(STALLS.seen) if start >= since] or [0]
    return f"One process that only sleeps went on too late {sum(map(bool, late))} times, by {shown(max(late) / 1e6)} ms"


def traced(name, rounds, replicas):
    """What each took, in milliseconds; what both daemons logged in the slowest goes to standard error."""
    found = [(took, [(replica.name, replica.log, replica.log.mark()) for replica in replicas]) for took in rounds]
    for took, marks in sorted(found, key=lambda one: one[0])[-SLOWEST:]:
        print(f"  {name}: {took / 1e6:.2f} ms", file=sys.stderr)
        for node, log, mark in marks:
            for line in log.items[max(0, mark - LINES) : mark + LINES // 2]:
                print(f"    {node}: {line}", file=sys.stderr, flush=True)
    return [took / 1e6 for took, _ in found]


def handover(case):
    found, middle, begun_at = {}, {}, now()
    for database, store, floor in databases(case):
        middle[database] = statistics.median(floor["floor"])
        found[f"floor of {database}: {FLOORS[database]}"] = floor["floor"]
        if "hot" in floor:
            found[HOT] = floor["hot"]
        for number, (name, measure) in enumerate(CASES.items()):
            if "tenurectl" in name and database != COMPARED:
                continue
            replicas = pair(case, store, f"{database}{number}")
            found[f"{database}, {name}"] = traced(f"{database}, {name}", measure(case, *replicas), replicas)
            for replica in replicas:
                replica.stop()
    found[f"`etcdctl lock`, {KILLED}"] = [ns / 1e6 for ns in etcdctl_lock(case)]
    found[f"ZooKeeper, kazoo, {KILLED}"] = [ns / 1e6 for ns in kazoo(case)]
    found.update(rivals(case))
    plot("handover", "hand-over", "ms", [(name.replace("`", ""), times) for name, times in found.items()])
    section = Section("handover", "ms without a leader")
    section.table(
        ("", "times", "ms", "p99", "floors"),
        [
            row(name, times, middle["MariaDB" if "MariaDB" in name else COMPARED])
            for name, times in found.items()
        ],
    )
    section.say(
        f"{on_postgresql(found, middle[COMPARED])} MariaDB p99 at most {MARIADB_P99_MS} ms in each case:"
        f" {within(workers(found, 'MariaDB'), p99, MARIADB_P99_MS)}. {against_rivals(found)}"
        " Floors are PostgreSQL's but for what is on MariaDB. The first three lines of ours are from the worker's"
        " death, or else from its word that it has stopped, to the word to the other that it leads. All others end with"
        " the first word of the next command, and begin with the death of the one before or, where it is to resign,"
        " with the request for that, which a rival gets as a signal: from River on, at any time between two polls, in"
        f" {RIVALS_S} s side by side. River and Oban notify, the others poll. Where all of a"
        " candidate is killed they wait for its lease to end, which is what `crash` is about."
        f" {stood_still(begun_at)} at most: that is the machine, and befalls all."
    )
    section.say("![How many hand-overs took no longer than that](handover.svg)")
    return section
