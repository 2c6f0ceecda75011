# SPDX-License-Identifier: Apache-2.0
"""A bridge in a namespace of its own, and what can go wrong on its wires.

All of it lives in one mount namespace and is gone with it: inside() makes that, and the namespace `db` to stay in.
"""

import itertools
import os
import pathlib
import subprocess
import sys

import processes

HERE = pathlib.Path(__file__).resolve().parent
DATABASE = "10.77.0.1"
SERVERS = "10.77.0.0/16"  # that one, or those behind it
ENTERED = "TENURE_CHAOS_INSIDE"
SETUP = """mount -t tmpfs none /run/netns && ip netns add db && ip -n db link set lo up &&
exec nsenter --net=/run/netns/db "$@"
"""


def allowed():
    """Why there can be no namespaces here, or None."""
    if os.getuid() != 0:
        return "network namespaces are for root"
    os.makedirs("/run/netns", exist_ok=True)
    result = subprocess.run(enter("true"), capture_output=True, text=True, check=False)
    return None if result.returncode == 0 else f"no network namespaces here: {result.stderr.strip()}"


def enter(*command):
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", SETUP, "sh", *command]


def inside():
    """Goes on in the namespace of the database. Only what is started from there sees the others."""
    if not os.environ.get(ENTERED):
        os.environ[ENTERED] = "1"
        os.execvp("unshare", enter(sys.executable, "-u", *sys.argv))


def run(*words, **options):
    subprocess.run(words, check=True, capture_output=True, text=True, **options)


def in_namespace(name, *command):
    return ["nsenter", f"--net=/run/netns/{name}", *command]


_numbers = itertools.count()


def filtered(namespace, family, hook, *rules):
    """Adds rules; what is returned takes them away."""
    name = f"f{next(_numbers)}"
    text = f"table {family} {name} {{ chain c {{ type filter hook {hook} priority 0; {'; '.join(rules)}; }}; }}\n"
    nft = in_namespace(namespace, "nft")
    run(*nft, "-f", "-", input=text)
    return lambda: run(*nft, "delete", "table", family, name)


def router(links):
    """Makes of the namespace that we are in a router between the nodes and these bridges: names and addresses."""
    pathlib.Path("/proc/sys/net/ipv4/ip_forward").write_text("1", encoding="ascii")
    for link, address in links.items():
        run("ip", "link", "add", link, "type", "bridge")
        run("ip", "address", "add", f"{address}/24", "dev", link)
        run("ip", "link", "set", link, "up")


class Network:
    def __init__(self, nodes):
        run("ip", "netns", "add", "hub")
        run("ip", "-n", "hub", "link", "add", "br0", "type", "bridge")
        run("ip", "-n", "hub", "link", "set", "br0", "up")
        self.plug("db", DATABASE)
        for number, node in enumerate(nodes):
            run("ip", "netns", "add", node)
            run("ip", "-n", node, "link", "set", "lo", "up")
            self.plug(node, f"10.77.0.{11 + number}")
            run("ip", "-n", node, "route", "add", "default", "via", DATABASE)

    @staticmethod
    def plug(name, address):
        port = f"p-{name}"
        run("ip", "-n", "hub", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "-n", "hub", "link", "set", port, "master", "br0", "up")
        run("ip", "-n", name, "address", "add", f"{address}/24", "dev", "eth0")
        run("ip", "-n", name, "link", "set", "eth0", "up")

    @staticmethod
    def on_wire(*rules):
        return filtered("hub", "bridge", "forward", *rules)

    def black_hole(self, node):
        return self.on_wire(f"iifname p-{node} drop", f"oifname p-{node} drop")

    def cut_requests(self, node):
        return self.on_wire(f"iifname p-{node} drop")

    def cut_replies(self, node):
        return self.on_wire(f"oifname p-{node} drop")

    def loss(self, node):
        some = "numgen random mod 100 < 20 drop"
        return self.on_wire(f"iifname p-{node} {some}", f"oifname p-{node} {some}")

    @staticmethod
    def resets(node):
        return filtered(node, "ip", "output", f"ip daddr {SERVERS} meta l4proto tcp reject with tcp reset")

    def delay(self, node):
        """netem is not in every kernel: a program takes what the node sends off the wire and puts it back later."""
        undrop = self.on_wire(f"iifname p-{node} oifname p-db drop")
        program = [sys.executable, HERE / "delay.py", f"p-{node}", "p-db", "2"]
        process = processes.spawn(in_namespace("hub", *program))

        def heal():
            process.kill()
            process.wait()
            undrop()

        return heal
