# SPDX-License-Identifier: Apache-2.0
"""What a thousand daemons cost one PostgreSQL, and whether their renewals keep time."""

import collections
import statistics
import subprocess

import processes
from replica import BUILD, Client, until
from results import Section, percentile, shown, spread, verdict

COUNTS = (100, 300, 1000)
WINDOW_S = 20
REAL = 30  # tenured processes beside them
GROUP = 3  # of which one leads
DEFAULTS = {"lease": "10s", "renew": "2s", "poll": "1s", "timeout": "2s"}
RENEW_NS = 2_000_000_000
POLL_NS = 1_000_000_000


def cpu_s(pid):
    return sum(processes.usage(each).cpu_s for each in [pid, *processes.descendants(pid)])


class Crew:
    """Real daemons, each with a worker that hears of every renewal."""

    def __init__(self, case, server):
        store = case.postgres(server=server)
        self.replicas = [
            case.replica(
                f"r{number}",
                store,
                components=[f"r{number // GROUP}"],
                timing=DEFAULTS,
                component={"stop_grace": "2s"},
                tenure={"log_level": "warning"},
            ).start()
            for number in range(REAL)
        ]
        self.clients = [Client(replica.socket, replica.name) for replica in self.replicas]
        for number, client in enumerate(self.clients):
            client.join(f"r{number // GROUP}")
        led = REAL // GROUP
        until(lambda: sum(len(client.all("granted")) for client in self.clients) == led, "each group has a leader")

    def end(self):
        """How much later than it should each renewal was heard of, in nanoseconds."""
        late, ended = [], []
        for client in self.clients:
            heard = [event.at for event in client.all("granted") + client.all("extended")]
            late += [after - before - RENEW_NS for before, after in zip(heard, heard[1:])]
            ended += client.all("revoked")
            client.close()
        for replica in self.replicas:
            replica.stop()
        return late, ended


def drive(server, count):
    """The driver's lines by word, and the processor time that the server took meanwhile, a second."""
    server.create(f"fleet{count}")
    command = [BUILD / "tests/bench/time_fleet", server.conninfo(f"fleet{count}", "postgres"), count, WINDOW_S]
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    found = collections.defaultdict(list)
    with processes.spawn(command, **options) as fleet:
        for line in fleet.stdout:
            word, number = line.split()
            found[word].append(int(number))
            if word in ("begin", "end"):
                found["cpu"].append(cpu_s(server.process.pid))
                fleet.stdin.write("\n")
                fleet.stdin.flush()
    assert fleet.returncode == 0, "time_fleet failed"
    return found, (found["cpu"][1] - found["cpu"][0]) / WINDOW_S


def fleet(case):
    server = case.make_server(max_connections=max(COUNTS) + 100, shared_preload_libraries="")
    server.start()
    rows, costs, late = [], {}, 0
    crew = Crew(case, server)
    for count in COUNTS:
        found, cpu = drive(server, count)
        costs[count] = cpu * 1000 / count
        late = max(late, *found["late"])
        rows.append(
            (
                f"{count:,}",
                shown(len(found["late"]) / WINDOW_S),
                spread([ns / 1e6 for ns in found["renew"]]),
                spread([ns / 1e6 for ns in found["poll"]]),
                f"{percentile(found['late'], 99) / 1e6:.1f}, {max(found['late']) / 1e6:.1f}",
                shown(cpu * 100),
                f"{costs[count]:.2f}",
            )
        )
    real, ended = crew.end()
    section = Section("fleet", "many daemons on one PostgreSQL")
    section.table(
        (
            "daemons",
            "exchanges/s",
            "renewal, ms",
            "poll, ms",
            "behind its time, p99, largest, ms",
            "of a core, %",
            "ms of it a second and daemon",
        ),
        rows,
    )
    worst = max([late, *real])
    spread_of_costs = max(costs.values()) / min(costs.values())
    section.say(
        f"No renewal late by more than a poll: {verdict(worst <= POLL_NS)}, {shown(worst / 1e6)} ms at most."
        f" Linear, within a quarter of each other a daemon: {verdict(spread_of_costs <= 1.25)}."
        f" Of each {GROUP} one leads; default timing. The exchanges are the driver's, over a connection for each"
        f" daemon, beside {REAL} real daemons, whose {len(real)} renewals came"
        f" {shown(statistics.median(real) / 1e6)} ms late in the median and {shown(max(real) / 1e6)} ms at most;"
        f" {len(ended)} of their terms ended."
        f" The processor time is the whole server's."
    )
    return section
