# SPDX-License-Identifier: Apache-2.0
"""What one host does by itself: validity, the socket, the start, the simulator."""

import collections
import os
import pathlib
import re
import statistics
import subprocess
import time

from etcd import Etcd
from events import now
from replica import BUILD, Memory, Sqlite
from results import Section, percentile, spread, verdict

TIME_LOCAL = BUILD / "tests/bench/time_local"
OBSERVERS = 1000
READS = 300
STARTS = 10
SIM_RUNS = 400


def run(*command):
    """Its lines "NAME NUMBER" as lists by name."""
    result = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True, check=True)
    found = collections.defaultdict(list)
    for line in result.stdout.splitlines():
        name, number = line.split()
        found[name].append(float(number))
    return found


def measure_local(case):
    """Both sections, as they come of one daemon."""
    replica = case.replica("local", Memory(), tenure={"log_level": "warning"}).start()
    before = replica.usage()
    found = run(TIME_LOCAL, replica.socket, "engine", OBSERVERS)
    return found, before


def check(case):
    found, _ = measure_local(case)
    with Etcd(case.directory / "etcd") as etcd:
        etcd.put("leader", "host-a")
        reads = [etcd.timed_read("leader") for _ in range(READS)]
    turn = statistics.median(found["turn_ns"])
    valid, clock = (statistics.median(found[name]) for name in ("valid_ns", "clock_ns"))
    read = statistics.median(reads)
    section = Section("check", "am I still the leader?")
    section.table(
        ("", "ns", "times `tenure_valid()`"),
        [
            ("`tenure_valid()`", spread(found["valid_ns"]), "1"),
            ("`clock_gettime(CLOCK_BOOTTIME)`", spread(found["clock_ns"]), f"{clock / valid:.2f}"),
            ("`check` over the socket", spread(found["turn_ns"]), f"{turn / valid:,.0f}"),
            ("etcd, a linearizable read on one connection", spread(reads), f"{read / valid:,.0f}"),
        ],
    )
    section.say(
        f"At most 1.5 clock readings: {verdict(valid <= 1.5 * clock)}, {valid / clock:.2f}. "
        f"1,000 times cheaper than the read: {verdict(read >= 1000 * valid)}."
    )
    return section


def socket(case):
    found, _ = measure_local(case)
    floor = statistics.median(found["floor_per_s"])
    last, writes = ([ns / 1e6 for ns in found[name]] for name in ("observers_ns", "writes_ns"))
    section = Section("socket", "requests and observers")
    section.table(
        ("", "measured", "of the floor", "target"),
        [
            ("floor: lines counted and answered, pipelined, requests/s", spread(found["floor_per_s"]), "1", ""),
            *(
                (
                    f"`{word}`{of}, pipelined, requests/s",
                    spread(found[f"{word}_per_s"]),
                    f"{statistics.median(found[f'{word}_per_s']) / floor:.2f}",
                    target,
                )
                for word, of, target in (("check", "", "300,000"), ("status", " of a component", ""))
            ),
            (f"floor: a line written to {OBSERVERS:,} sockets, ms", spread(writes), "1", ""),
            (
                f"the last of {OBSERVERS:,} observers heard of a term, ms",
                spread(last),
                f"{statistics.median(last) / statistics.median(writes):.1f}",
                "20",
            ),
        ],
    )
    checks = statistics.median(found["check_per_s"])
    section.say(
        f"300,000 checks/s: {verdict(checks >= 300000)}. 20 ms: {verdict(statistics.median(last) <= 20)}. "
        f"One by one a `check` takes {percentile(found['turn_ns'], 50) / 1000:.1f} µs there and back. "
        "An observer's term begins with a worker that joins, and a claim."
    )
    return section


def resident_kib(pid):
    return int(re.search(r"VmRSS:\s*(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii"))[1])


def start_once(case, number, store):
    """Milliseconds from exec to granted, and KiB of memory then."""
    names = ("engine", "counter", "discovery")
    replica = case.replica(f"start{number}", store, components=names, tenure={"log_level": "warning"})
    begun = now()
    replica.start(wait=False)
    client = None
    while not client:
        try:
            client = case.client(replica, "engine")
        except (FileNotFoundError, ConnectionRefusedError):
            os.sched_yield()
    took = (client.wait("granted").at - begun) / 1e6
    memory = resident_kib(replica.pid) / 1024
    client.close()
    replica.stop()
    return took, memory


def exec_floor():
    begun = time.monotonic_ns()
    subprocess.run(["/bin/true"], check=True)
    return (time.monotonic_ns() - begun) / 1e6


def start(case):
    section = Section("start", "from exec to granted, three components")
    rows, held = [("/bin/true, started and ended", spread([exec_floor() for _ in range(STARTS)]), "")], True
    stores = (
        ("memory", lambda i: Memory()),
        ("SQLite", lambda i: Sqlite(case.directory / f"{i}.db")),
        ("PostgreSQL", lambda i: case.postgres()),
    )
    for name, make in stores:
        found = [start_once(case, f"{name}{i}", make(f"{name}{i}")) for i in range(STARTS)]
        times, memory = zip(*found)
        held = held and statistics.median(times) <= 50 and statistics.median(memory) <= 8
        rows.append((f"tenured on {name}", spread(times), spread(memory)))
    section.table(("", "ms", "RSS, MiB"), rows)
    section.say(f"50 ms and 8 MiB: {verdict(held)}. A database with its schema is there before; its rows are not.")
    return section


def sim(_case):
    rates = []
    for seed in range(1, 4):
        result = subprocess.run(
            [BUILD / "tests/sim/sim", "--seed", str(seed), "--runs", str(SIM_RUNS)],
            capture_output=True,
            text=True,
            check=True,
        )
        rates.append(float(re.search(r"\((\d+) a second\)", result.stdout)[1]))
    section = Section("sim", "the simulator")
    rows = [("`make sim`, a process on each core", spread(rates)), ("target", "500")]
    section.table(("", "simulated hours per second"), rows)
    section.say(f"500: {verdict(statistics.median(rates) >= 500)}. Real time, which is the floor, is 1/3,600.")
    return section
