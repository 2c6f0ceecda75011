# SPDX-License-Identifier: Apache-2.0
"""What an election costs the database while nothing happens, and the daemon, with one component and with thousands."""

import os
import subprocess
import sys
import threading
import time

import processes
from crash import RIVAL
from replica import BUILD, until
from results import Section, shown, verdict
from rivals import KINDS

COUNTS = (1, 100, 10_000)
WINDOW_S = int(os.environ.get("IDLE_S", "60"))  # Oban holds an election each 30 s
ELECTIONS = (1, 10)  # of a rival
LEASES = ", ".join(f"{kind.LEASE_S} s with {kind.NAME}" for kind in KINDS.values())
CROWD = BUILD / "tests/bench/crowd"
DEFAULTS = {"lease": "10s", "renew": "2s", "poll": "1s", "timeout": "2s"}
# The log is the whole server's: no vacuum of what came before is to be in it. A transaction may have many statements.
SERVER = {"autovacuum": "off", "pg_stat_statements.track": "top"}
COST = """
SELECT (SELECT sum(calls) FROM pg_stat_statements WHERE dbid = oid AND query !~ 'pg_stat_statements'),
pg_current_wal_insert_lsn() - '0/0', xact_rollback, extract(epoch FROM clock_timestamp())
FROM pg_stat_database JOIN pg_database ON oid = datid WHERE pg_database.datname = current_database()"""
# A worker that says that it is one, and no more.
MARK = ["sh", "-c", 'echo >> "$0"; exec sleep infinity']


def say(text):
    print(f"  {text}", file=sys.stderr, flush=True)


class Crowd:
    """Workers for many components at one replica, in a process that costs little."""

    def __init__(self, replica, count):
        self.granted = [(0, 0)]  # how many were until then, and when
        self.joined = threading.Event()
        self.process = processes.spawn([CROWD, replica.socket, "c", count], stdout=subprocess.PIPE, text=True)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()
        assert self.joined.wait(60), f"not all joined at {replica.name}"

    def _read(self):
        with self.process.stdout as lines:
            for line in lines:
                word, *numbers = line.split()
                if word == "joined":
                    self.joined.set()
                else:
                    self.granted.append(tuple(map(int, numbers)))

    def close(self):
        self.process.kill()
        self.process.wait()
        self.thread.join()


def at_rest(replicas):
    """Whether none of them took a tenth of a core for a second."""
    before = [replica.usage().cpu_s for replica in replicas]
    time.sleep(1)
    return all(replica.usage().cpu_s - spent < 0.1 for replica, spent in zip(replicas, before))


def fleet(case, count):
    """Three replicas that have all a worker for everything; the first leads it all, and each has heard that."""
    store = case.postgres()
    names = [f"c{number}" for number in range(count)]
    replicas = [
        case.replica(
            f"n{count}{letter}",
            store,
            components=names,
            timing=DEFAULTS,
            component={"stop_grace": "2s"},
            tenure={"log_level": "info"},
        ).start()
        for letter in "abc"
    ]
    crowds = []
    for replica in replicas:
        crowds.append(Crowd(replica, count))
        case.addCleanup(crowds[-1].close)
        until(lambda: crowds[0].granted[-1][0] == count, "all are led", timeout=60, every=0.1)
    until(lambda: at_rest(replicas), "nothing happens", timeout=60)
    return store, replicas, crowds


def cost(store):
    """Statements, bytes of the log that replicas get, and transactions that failed; and when."""
    return [float(figure) for figure in store.sql(COST).split("|")]


def rates(stores):
    """Of these for each: the first two a second, of the last how many."""
    for store in stores:
        store.sql("CREATE EXTENSION pg_stat_statements")
    time.sleep(3)  # backends tell what they did once a second
    before = [cost(store) for store in stores]
    time.sleep(WINDOW_S)
    changes = [[end - begin for begin, end in zip(*both)] for both in zip(before, map(cost, stores))]
    return [(statements / took_s, log / took_s, failed) for statements, log, failed, took_s in changes]


def measured(case, count, beside=()):
    """What was started, what it costs, and what these other stores have to do meanwhile."""
    store, replicas, crowds = fleet(case, count)
    before = [replica.usage().cpu_s for replica in replicas]
    found, *others = rates([store, *beside])
    cpu = max(replica.usage().cpu_s - spent for replica, spent in zip(replicas, before)) / (WINDOW_S + 3) * 100
    memory = max(replica.usage().resident_kb for replica in replicas) / 1024
    say(f"{count} components: {found}")
    return replicas, crowds, (*found, cpu, memory), others


def take_over(replicas, crowds, count):
    """The leader of all is killed with its workers. Seconds from its leases' end to the last one that leads again."""
    replicas[0].kill()
    crowds[0].close()
    over = max(replicas[0].page_deadline(slot) for slot in (0, count - 1))
    heirs = crowds[1:]
    until(lambda: sum(heir.granted[-1][0] for heir in heirs) == count, "all were taken over", timeout=60, every=0.1)
    times = [at for heir in heirs for _, at in heir.granted[1:]]
    return (max(times) - over) / 1e9, (max(times) - min(times)) / 1e9


def end(replicas, crowds):
    for replica in replicas:
        if replica.expected_to_live:
            replica.stop()
    for crowd in crowds:
        crowd.close()


class Rival:
    """Three processes, each a candidate in so many elections, on a server of their own."""

    def __init__(self, case, kind, count):
        server = case.make_server(f"{kind.KIND}{count}", **SERVER)
        server.start()
        self.name, self.count = f"{kind.NAME}, {count}", count
        self.store = case.postgres(server=server)
        self.marks = case.directory / f"{kind.KIND}{count}.marks"
        command = [RIVAL, kind.KIND, self.store.conninfo("postgres"), kind.LEASE_S, *MARK, self.marks]
        environment = {**os.environ, "COMPONENTS": str(count)}
        self.nodes = [processes.spawn(command, env=environment) for _ in range(3)]

    def all_led(self):
        return self.marks.exists() and self.marks.stat().st_size >= self.count

    def end(self):
        for node in self.nodes:
            for pid in processes.whole(node.pid):
                processes.send(pid, processes.signal.SIGKILL)
            node.wait()


def rivals(case):
    """All at the same time."""
    found = [Rival(case, kind, count) for kind in KINDS.values() for count in ELECTIONS]
    for each in found:
        until(each.all_led, f"all is led: {each.name}", timeout=60, every=0.1)
    return found


def growth(rows):
    """How many times the statements of one election the rivals need for ten: the least and the most."""
    ratios = [most[1] / least[1] for least, most in zip(rows[::2], rows[1::2])]
    return f"{shown(min(ratios))} – {shown(max(ratios))}"


def cheaper(ours, rows):
    """Whether each rival sends more statements than ours, by how many elections it has, and who does not."""
    for number, count in enumerate(ELECTIONS):
        fewer = [name.rpartition(", ")[0] for name, statements, *_ in rows[number::2] if statements <= ours]
        yield f"with {count} {verdict(not fewer)}{' by ' if fewer else ''}{' and '.join(fewer)}"


def row(name, statements, log, failed, *usage):
    return (name, shown(statements), f"{failed:.0f}", shown(log), *(map(shown, usage) if usage else ("", "")))


def idle(case):
    case.server = case.make_server(**SERVER)
    case.server.start()
    rows, found, theirs = [], {}, rivals(case)
    for count in COUNTS:
        replicas, crowds, found[count], figures = measured(case, count, [each.store for each in theirs])
        rows.append(row(f"Tenure, {count:,} components", *found[count]))
        if count == COUNTS[0]:
            others = [(each.name, *one) for each, one in zip(theirs, figures)]
            while theirs:
                theirs.pop().end()
        if count == COUNTS[-1]:
            after, took = take_over(replicas, crowds, count)
        end(replicas, crowds)
    rows += [row(*other) for other in others]
    section = Section("idle", "three replicas while nothing happens, and many components")
    section.table(("", "statements/s", "failed", "WAL, bytes/s", "of a core, %", "RSS, MiB"), rows)
    sent = max(figures[0] for figures in found.values())
    least, most = found[COUNTS[0]], found[COUNTS[-1]]
    none = not any(figures[2] for figures in found.values())
    same = abs(most[1] / least[1] - 1) <= 0.1
    section.say(
        f"At most 1.5 statements/s, for any number of components: {verdict(sent <= 1.5)}; the same WAL ± 10 %:"
        f" {verdict(same)}, {most[1] / least[1]:.2f} times as much; none failed: {verdict(none)}. A daemon with"
        f" {COUNTS[-1]:,} components in 24 MiB and 2 % of a core: {verdict(most[4] <= 24 and most[3] <= 2)}."
        f" Killed: its last component led again {shown(after)} s after the lease's end, {shown(took)} s after the first"
        f" one; all within 1 s: {verdict(after <= 1)}. {WINDOW_S} s each, the rivals beside the first; every"
        " replica has a worker for everything; the processor and the memory are the busiest daemon's."
        f" The rivals have an election for each component, {ELECTIONS[0]} or {ELECTIONS[1]}, which is"
        f" {growth(others)} times the statements. Each sends more than ours does for any number:"
        f" {'; '.join(cheaper(sent, others))}; each with its own times. The lease is 10 s with ours, and by default"
        f" {LEASES}. River's and Oban's tables are unlogged: a database that crashes forgets who leads."
    )
    return section
