# SPDX-License-Identifier: Apache-2.0
"""A Galera cluster of MariaDB servers, each with a network of its own where we may make one."""

import ctypes
import os
import pathlib
import subprocess
import sys

import processes
from mariadb import TOOL, MariaDB, owner
from postgres import free_port
from replica import until

CLONE_NEWNET = 0x40000000
NODES = 3
# The link between the nodes, and the one to their clients.
CLUSTER_LINK, CLIENT_LINK = "cluster", "clients"
CLUSTER_ADDRESS, CLIENT_ADDRESS = "10.77.1.{}", "10.77.2.{}"
PROVIDER = {
    "evs.keepalive_period": "PT0.2S",
    "evs.inactive_check_period": "PT0.1S",
    "evs.suspect_timeout": "PT1S",
    "evs.inactive_timeout": "PT2S",
    "evs.install_timeout": "PT2S",
    "evs.join_retrans_period": "PT0.2S",
    "evs.delay_margin": "PT0.5S",
    "gmcast.peer_timeout": "PT1S",
    "gcache.size": "16M",
}

_libc = ctypes.CDLL(None, use_errno=True)


def leave_network():
    """This process and all it starts get a network of their own; False where that is not allowed.

    To be called before there is a second thread.
    """
    if os.getuid() != 0 or _libc.unshare(CLONE_NEWNET) != 0:
        return False
    lines = ["link set lo up"]
    for link, address in ((CLUSTER_LINK, CLUSTER_ADDRESS), (CLIENT_LINK, CLIENT_ADDRESS)):
        lines.append(f"link add {link} type bridge")
        lines += [f"addr add {address.format(254)}/24 dev {link}", f"link set {link} up"]
    _ip(lines)
    return True


def _ip(lines, inside=()):
    subprocess.run([*inside, "ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)


class Network:
    """A node's: two links, of which the one to the other nodes can be cut."""

    def __init__(self, number):
        self.number = number
        self.holder = processes.spawn(["unshare", "--net", "sleep", "infinity"])
        own = os.readlink("/proc/self/ns/net")
        until(lambda: os.readlink(f"/proc/{self.holder.pid}/ns/net") != own, "the node's network")
        self.inside = ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net", "--"]
        for link, address in ((CLUSTER_LINK, CLUSTER_ADDRESS), (CLIENT_LINK, CLIENT_ADDRESS)):
            end = f"{link}{number}"
            _ip([f"link add {end} type veth peer name {link} netns {self.holder.pid}"])
            _ip([f"link set {end} master {link} up"])
            _ip([f"addr add {address.format(number)}/24 dev {link}", f"link set {link} up"], self.inside)
        _ip(["link set lo up"], self.inside)

    def set(self, link, state):
        _ip([f"link set {link}{self.number} {state}"])


class Node(MariaDB):
    """One of a cluster; `address`: for clients."""

    def __init__(self, cluster, number, private):
        self.cluster = cluster
        self.number = number
        self.network = Network(number) if private else None
        self.address = CLIENT_ADDRESS.format(number) if private else "127.0.0.1"
        self.inner_address = CLUSTER_ADDRESS.format(number) if private else "127.0.0.1"
        self.group_port, self.state_port, self.copy_port = free_port(), free_port(), free_port()
        super().__init__(cluster.directory / f"node{number}")

    def make(self):
        """The others get their data from the first."""
        if self.number == 1:
            super().make()
        else:
            (self.directory / "data").mkdir()
            if os.getuid() == 0:
                os.chown(self.directory / "data", self.directory.stat().st_uid, -1)

    @property
    def host(self):
        return f"{self.address}:{self.port}"

    @property
    def group_address(self):
        return f"{self.inner_address}:{self.group_port}"

    def options(self):
        provider = {
            **PROVIDER,
            "base_host": self.inner_address,
            "base_port": self.group_port,
            "gmcast.listen_addr": f"tcp://{self.group_address}",
            "ist.recv_addr": f"{self.inner_address}:{self.state_port}",
        }
        others = ",".join(node.group_address for node in self.cluster.nodes)
        return [
            *("--wsrep-on=ON", "--wsrep-provider=/usr/lib/galera/libgalera_smm.so", "--binlog-format=ROW"),
            *("--innodb-autoinc-lock-mode=2", "--innodb-flush-log-at-trx-commit=0", "--wsrep-slave-threads=2"),
            *("--wsrep-cluster-name=tests", f"--wsrep-node-name=node{self.number}"),
            *(f"--wsrep-cluster-address=gcomm://{others}", f"--wsrep-node-address={self.inner_address}"),
            *("--wsrep-sst-method=rsync", f"--wsrep-sst-receive-address={self.inner_address}:{self.copy_port}"),
            *("--wsrep-provider-options=" + ";".join(f"{key}={value}" for key, value in provider.items()),),
        ]

    def launch(self, *options):
        return self.spawn([*TOOL, "run", self.directory, *self.networking(self.address), *self.options(), *options])

    def spawn(self, command):
        if not self.network:
            return super().spawn(command)
        guard = ["setpriv", "--pdeathsig", "KILL", "--reuid", owner(), "--regid", owner(), "--clear-groups", "--"]
        nowhere = subprocess.DEVNULL
        return processes.spawn([*self.network.inside, *guard, *command], stdout=nowhere, stderr=nowhere)

    def isolate(self):
        """Nothing comes from the other nodes or gets there any more; clients do."""
        if self.network:
            self.network.set(CLUSTER_LINK, "down")
        else:
            self.sql("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=1'")

    def reunite(self):
        if self.network:
            self.network.set(CLUSTER_LINK, "up")
        else:
            self.sql("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=0'")

    def state(self, name):
        return self.sql(f"SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = '{name}'")

    def is_up(self):
        return super().is_up() and self.state("wsrep_ready") == "ON"

    def is_ready(self, size):
        return self.state("wsrep_ready") == "ON" and self.state("wsrep_cluster_size") == str(size)

    def stop(self):
        if self.process:
            for victim in processes.descendants(self.process.pid):
                processes.send(victim, 9)
        super().stop()


class Cluster:
    """Three nodes; the first makes it, the others copy it."""

    def __init__(self, directory, private):
        self.directory = directory
        self.nodes = []
        self.nodes += [Node(self, number, private) for number in range(1, NODES + 1)]

    def start(self):
        for node in self.nodes:
            node.start(*(["--wsrep-new-cluster"] if node.number == 1 else []))
        self.wait_whole()
        return self

    def wait_whole(self):
        size = sum(node.process is not None for node in self.nodes)
        for node in self.nodes:
            if node.process:
                until(lambda one=node: one.is_ready(size), f"node {node.number} being part of {size}", 60, 0.05)

    def stop(self):
        for node in self.nodes:
            node.stop()


def serve():
    """On loopback, for others: prints the nodes' sockets, and ends with its input."""
    cluster = Cluster(pathlib.Path(os.environ["TENURE_TEST_SHARED"]), False).start()
    print(*[node.socket for node in cluster.nodes], sep="\n", flush=True)
    sys.stdin.read()
    cluster.stop()
    return 0


if __name__ == "__main__":
    processes.supervised(serve)
