# SPDX-License-Identifier: Apache-2.0
"""Patroni as a rival: a worker where its PostgreSQL is the primary, elected through etcd."""

import json
import os
import pathlib
import pwd
import shutil
import urllib.request

import processes
from crash import BEAT, LEASE_S, RIVAL, TRIALS, WATCH_S, Pair, below, never_two, quiet, side_by_side, table, tenure
from etcd import Etcd
from postgres import USER, binaries, free_port, owner
from results import Section, output, verdict

LEAST_S = 20  # the shortest lease of later versions
# As a server comes, but for the memory; nothing is left in /dev/shm by one that was killed.
PARAMETERS = {"shared_buffers": "32MB", "dynamic_shared_memory_type": "mmap", "wal_log_hints": "on"}


def contained():
    """It begins as process 1, as in a container: its PostgreSQL is no child of it, but ends with it then."""
    command = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if os.getuid() != 0:
        return [*command, "--map-current-user"]
    return [*command, "setpriv", "--reuid", owner(), "--regid", str(pwd.getpwnam(owner()).pw_gid), "--clear-groups"]


class Patroni:
    def __init__(self, directory, scope, etcd, lease_s):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir()
        if os.getuid() == 0:
            shutil.chown(self.directory, owner())
        self.api = f"127.0.0.1:{free_port()}"
        self.url = f"http://{self.api}"
        self.config = self.directory / "patroni.yml"
        self.config.write_text(json.dumps(self.settings(scope, etcd, lease_s), indent=1), encoding="ascii")

    def settings(self, scope, etcd, lease_s):
        """JSON is YAML. A turn of the loop and two attempts fit into a lease, as its manual wants."""
        address = f"127.0.0.1:{free_port()}"
        timing = {"ttl": lease_s, "loop_wait": 1, "retry_timeout": (lease_s - 1) // 2}
        return {
            "scope": scope,
            "name": self.directory.name,
            "restapi": {"listen": self.api, "connect_address": self.api},
            "etcd3": {"host": etcd.url.removeprefix("http://")},
            "bootstrap": {"dcs": {**timing, "postgresql": {"use_pg_rewind": True, "parameters": PARAMETERS}}},
            "postgresql": {
                "listen": address,
                "connect_address": address,
                "data_dir": str(self.directory / "data"),
                "bin_dir": str(binaries()),
                "pgpass": str(self.directory / "pgpass"),
                "authentication": {role: {"username": USER} for role in ("superuser", "replication", "rewind")},
                "parameters": {"unix_socket_directories": str(self.directory)},
                "pg_hba": ["local all all trust", "host all,replication all 127.0.0.1/32 trust"],
            },
            "watchdog": {"mode": "off"},  # a Patroni that is killed must not restart the machine
        }

    def start(self):
        with open(self.directory / "log", "ab") as log:
            return processes.spawn([*contained(), "patroni", self.config], stdout=log, stderr=log)

    def is_replica(self):
        try:
            with urllib.request.urlopen(f"{self.url}/replica", timeout=1):
                return True
        except OSError:
            return False


def rival(case, etcd, lease_s, trials):
    servers = {}
    scope = f"s{lease_s}"

    def start(node):
        if node.name not in servers:
            servers[node.name] = Patroni(case.directory / node.name, scope, etcd, lease_s)
        server = servers[node.name]
        return [server.start(), quiet([RIVAL, "primary", server.url, lease_s, *BEAT, node.beats])]

    def waits(node):
        return servers[node.name].is_replica()

    return Pair(case, f"Patroni, {lease_s} s", start, lease_s, trials, waits=waits)


def patroni(case):
    leases = {LEASE_S: TRIALS, LEAST_S: max(1, TRIALS // 2)}
    with Etcd(case.directory / "etcd") as etcd:
        rivals = [rival(case, etcd, lease_s, trials) for lease_s, trials in leases.items()]
        ours = [
            tenure(case, f"Tenure on PostgreSQL, {lease_s} s", case.postgres(), BEAT, lease_s=lease_s, trials=trials)
            for lease_s, trials in leases.items()
        ]
        side_by_side(Pair.run, [*ours, *rivals])
    section = Section("patroni", "a whole replica of Patroni, with its PostgreSQL: ms without a worker, and with two")
    table(section, [*ours, *rivals])
    section.say(
        f"Mean below Patroni's at the same lease: {verdict(below(ours, rivals))}. Never two of ours at once, of a"
        " program under `tenurectl run` that does not look at its token, after all of its replica was frozen:"
        f" {never_two(ours)}. {output('patroni', '--version')} on etcd, which turns its loop each second; later"
        f" versions want a lease of {LEAST_S} s at least. The worker is the same, and follows what `/primary` answers"
        f" ten times a second; promoting PostgreSQL is in it. {TRIALS} trials of each, {leases[LEAST_S]} at {LEAST_S}"
        f" s, all side by side; watched for {WATCH_S:g} s after the frozen one goes on."
    )
    return section
