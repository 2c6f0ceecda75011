# SPDX-License-Identifier: Apache-2.0
"""What an election costs the database while nothing happens, and the daemon, with one component and with thousands."""

import sys
import time

import processes
from crash import BEAT, RIVAL
from replica import Client, until
from results import Section, shown, verdict

COUNTS = (1, 100, 10_000)
WINDOW_S = 30
JOINS = 4000  # of one connection
DEFAULTS = {"lease": "10s", "renew": "2s", "poll": "1s", "timeout": "2s"}
JDBC_LEASE_S = 10  # Spring's default
LEASES_S = 15  # with a tick each 5 s
COST = (
    "SELECT sum(xact_commit + xact_rollback), pg_current_wal_insert_lsn() - '0/0'"
    " FROM pg_stat_database WHERE datname = current_database()"
)


def say(text):
    print(f"  {text}", file=sys.stderr, flush=True)


class Crowd:
    """Workers for many components at one replica, over a few connections."""

    def __init__(self, case, replica, names):
        self.clients = []
        for begin in range(0, len(names), JOINS):
            # Not one of the case's feeds: without `extended` it does not know its deadlines.
            client = Client(replica.socket, f"crowd at {replica.name}")
            case.addCleanup(client.close)
            self.clients.append(client)
            for name in names[begin : begin + JOINS]:
                number = client.say(f"join component={name} extend=no")
            client.answer_to(number, 60)

    def granted(self):
        return [event for client in self.clients for event in client.all("granted")]

    def close(self):
        for client in self.clients:
            client.close()


def fleet(case, count):
    """Three replicas that have all a worker for everything; the first leads it all."""
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
        crowds.append(Crowd(case, replica, names))
        until(lambda: len(crowds[0].granted()) == count, "all are led", timeout=60, every=0.1)
    return store, replicas, crowds


def cost(store):
    """Statements, and bytes of the log that replicas get."""
    statements, log = store.sql(COST).split("|")
    return int(statements), float(log)


def rates(store):
    """Of both, a second."""
    time.sleep(3)  # backends tell what they did once a second
    before = cost(store)
    time.sleep(WINDOW_S)
    return [(after - start) / WINDOW_S for start, after in zip(before, cost(store))]


def measured(case, count):
    store, replicas, crowds = fleet(case, count)
    before = [replica.usage().cpu_s for replica in replicas]
    found = rates(store)
    cpu = max(replica.usage().cpu_s - spent for replica, spent in zip(replicas, before)) / (WINDOW_S + 3) * 100
    memory = max(replica.usage().resident_kb for replica in replicas) / 1024
    say(f"{count} components: {found}")
    return (store, replicas, crowds), (*found, cpu, memory)


def take_over(replicas, crowds, count):
    """The leader of all is killed with its workers. Seconds from its leases' end to the last one that leads again."""
    replicas[0].kill()
    crowds[0].close()
    over = max(replicas[0].page_deadline(slot) for slot in (0, count - 1))
    until(
        lambda: sum(len(crowd.granted()) for crowd in crowds[1:]) == count, "all were taken over", timeout=60, every=0.2
    )
    times = sorted(event.at for crowd in crowds[1:] for event in crowd.granted())
    return (times[-1] - over) / 1e9, (times[-1] - times[0]) / 1e9


def end(replicas, crowds):
    for replica in replicas:
        if replica.expected_to_live:
            replica.stop()
    for crowd in crowds:
        crowd.close()


def rival(case, kind, lease_s):
    """Three processes for one component: each further component costs as much again."""
    store = case.postgres()
    where = store.conninfo("postgres")
    command = [RIVAL, kind, where, lease_s, *BEAT]
    nodes = [processes.spawn([*command, case.directory / f"{kind}{n}"]) for n in range(3)]
    try:
        return rates(store)
    finally:
        for node in nodes:
            for pid in [node.pid, *processes.descendants(node.pid)]:
                processes.send(pid, processes.signal.SIGKILL)
            node.wait()


def row(name, statements, log, cpu="", memory=""):
    return (name, shown(statements), shown(log), *(shown(value) if value else "" for value in (cpu, memory)))


def idle(case):
    # The log is the whole server's: no vacuum of what came before is to be in it.
    case.server = case.make_server(autovacuum="off", shared_preload_libraries="")
    case.server.start()
    rows, found = [], {}
    for count in COUNTS:
        (_, replicas, crowds), found[count] = measured(case, count)
        rows.append(row(f"Tenure, {count:,} components", *found[count]))
        if count == COUNTS[-1]:
            after, took = take_over(replicas, crowds, count)
        end(replicas, crowds)
    rows.append(row("JDBC lock, Spring's cadence, one", *rival(case, "jdbc", JDBC_LEASE_S)))
    rows.append(row("`leader_leases`, a tick each 5 s, one", *rival(case, "leader_leases", LEASES_S)))
    section = Section("idle", "three replicas while nothing happens, and many components")
    section.table(("", "statements/s", "WAL, bytes/s", "of a core, %", "RSS, MiB"), rows)
    least, most = found[COUNTS[0]], found[COUNTS[-1]]
    same = abs(most[1] / least[1] - 1) <= 0.1
    section.say(
        f"At most 1.5 statements/s: {verdict(most[0] <= 1.5)}; the same WAL ± 10 %: {verdict(same)},"
        f" {most[1] / least[1]:.2f} times as much. A daemon with {COUNTS[-1]:,} components in 24 MiB and 2 % of a core:"
        f" {verdict(most[3] <= 24 and most[2] <= 2)}. Killed: its last component led again {shown(after)} s after the"
        f" lease's end, {shown(took)} s after the first one; all within 1 s: {verdict(after <= 1)}."
        f" {WINDOW_S} s each; every replica has a worker for everything; the processor and the memory are the"
        " busiest daemon's."
    )
    return section
