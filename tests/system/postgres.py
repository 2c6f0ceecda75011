# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL of the tests' own, and a proxy in front of it that can swallow what passes."""

import os
import pathlib
import pwd
import random
import re
import selectors
import shutil
import signal
import socket
import subprocess
import threading

import processes
from notify import Notify

USER = "postgres"
SETTINGS = {
    "fsync": "off",
    "max_connections": "60",
    "shared_buffers": "16MB",
    "log_min_messages": "error",  # which a server does not log at "log"
    "log_line_prefix": "%m [%p] %u: ",
    "log_min_error_statement": "error",
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.track": "all",
    "autovacuum": "off",
    "dynamic_shared_memory_type": "mmap",  # nothing is left in /dev/shm by a server that was killed
}


_template_lock = threading.Lock()


def binaries():
    versions = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
    return versions[-1].parent


def available():
    return bool(list(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres")))


def free_port():
    """One that nothing gets by chance before its server has it, or while its server is down: none of those that the
    kernel gives to connections as their own end."""
    lowest = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    for port in random.sample(range(lowest // 2, lowest), 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise RuntimeError("no free port")


def owner():
    """Whom the server runs as: not root."""
    return USER if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name


def _run_as_owner(command):
    result = processes.spawn(command, user=owner(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    output = result.communicate()[0]
    if result.returncode != 0:
        raise RuntimeError(f"{command[0]}: {output}")


def _make_template():
    """An empty cluster, made once for all test programs of a run."""
    shared = os.environ.get("TENURE_TEST_SHARED")
    if not shared:
        return None
    template = pathlib.Path(shared) / "cluster"
    with _template_lock:
        if not template.exists():
            _init(template)
    return template


def _init(data):
    data.mkdir()
    if os.getuid() == 0:
        shutil.chown(data, owner())
    initdb = [binaries() / "initdb", "--no-sync", "-A", "trust", "-U", USER, "-E", "UTF8", "--locale=C"]
    _run_as_owner([*initdb, "-D", data])


class PostgreSQL:
    """Starts with start(). Roles: postgres, the owner of everything; tenure, the daemons' DML rights; visitor, none."""

    def __init__(self, directory, standby_of=None, **settings):
        self.directory = pathlib.Path(directory)
        self.data = self.directory / "data"
        self.sockets = self.directory / "s"
        self.port = free_port()
        self.address = "127.0.0.1"
        self.prefix = []  # of its command
        self.settings = {**SETTINGS, **settings}
        self.process = None
        self.lock = threading.Lock()
        self.directory.mkdir(mode=0o755)
        self.sockets.mkdir()
        if os.getuid() == 0:
            shutil.chown(self.directory, owner())
            shutil.chown(self.sockets, owner())
        if standby_of:
            source = f"host={standby_of.sockets} port={standby_of.port} user={USER}"
            _run_as_owner([binaries() / "pg_basebackup", "-R", "-c", "fast", "-N", "-D", self.data, "-d", source])
            return
        template = _make_template()
        if template:
            subprocess.run(["cp", "-a", "--reflink=auto", template, self.data], check=True)
        else:
            _init(self.data)

    def start(self, wait=True):
        settings = {
            **self.settings,
            "port": self.port,
            "listen_addresses": self.address,
            "unix_socket_directories": self.sockets,
        }
        notify = Notify(self.directory / "notify")
        arguments = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        with open(self.directory / "log", "ab") as log:
            self.process = processes.spawn(
                [*self.prefix, binaries() / "postgres", "-D", self.data, *arguments],
                user=owner(),
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env={**os.environ, **notify.environment},
            )
        if wait:
            notify.wait_ready(30, lambda: self.process.poll() is None or self.fail())
        return self

    def fail(self):
        raise RuntimeError(f"PostgreSQL did not start: {self.log()[-2000:]}")

    def create(self, database):
        """A database, and the roles where they are missing."""
        with self.lock:
            self.sql(f"CREATE DATABASE {database}")
            for role in ("tenure", "tenure_b", "visitor"):
                self.sql(
                    f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN"
                    f" CREATE ROLE {role} LOGIN; END IF; END $$"
                )

    def permit(self, database):
        """Gives the daemons' roles what interface.md says they need, after `tenurectl init`."""
        self.sql(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO tenure, tenure_b",
            database,
        )

    def conninfo(self, database, user="tenure", port=None):
        """Over the Unix socket, or over TCP where a port is given."""
        where = f"host=127.0.0.1 port={port}" if port else f"host={self.sockets} port={self.port}"
        return f"{where} dbname={database} user={user}"

    def psql(self, database=USER, user=USER):
        return ["psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", self.conninfo(database, user)]

    def sql(self, text, database=USER, user=USER):
        """What psql prints for it."""
        result = subprocess.run(self.psql(database, user), input=text, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise RuntimeError(result.stderr)
        return result.stdout.strip()

    def read_only(self, on):
        self.sql(
            f"SET default_transaction_read_only = off;\nALTER SYSTEM SET default_transaction_read_only = {on};\n"
            "SELECT pg_reload_conf()"
        )

    def use_up(self):
        """All the space there is: one file of the log after the other, until one cannot be made."""
        try:
            for _ in range(1000):
                self.sql("SELECT txid_current();\nSELECT pg_switch_wal()")
        except RuntimeError:
            return
        raise AssertionError("PostgreSQL needs no space")

    def session(self, database=USER, user=USER):
        """A psql that stays, to keep a transaction open in."""
        return Psql(self.psql(database, user))

    def log(self):
        return (self.directory / "log").read_text(errors="replace")

    def errors(self):
        """What the server complained about."""
        return [line for line in self.log().splitlines() if re.search(r" (ERROR|FATAL|PANIC): ", line)]

    def freeze(self):
        processes.freeze(self.process.pid)

    def thaw(self):
        processes.thaw(self.process.pid)

    def stop(self, number=signal.SIGINT):
        """Fast by default: clients are disconnected."""
        if self.process:
            self.thaw()
            processes.send(self.process.pid, number)
            self.process.wait(30)
            self.process = None


class Psql:
    """An interactive session: ask() sends a statement and returns what came, an error's text included."""

    MARK = "-- that was all --"

    def __init__(self, command):
        command = [word for word in command if not word.startswith("ON_ERROR_STOP")]
        command.remove("-v")
        self.process = processes.spawn(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def ask(self, statement):
        self.process.stdin.write(f"{statement};\n\\echo {self.MARK}\n")
        self.process.stdin.flush()
        lines = []
        for line in self.process.stdout:
            if line.strip() == self.MARK:
                break
            lines.append(line)
        return "".join(lines).strip()

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


class Proxy:
    """Passes TCP connections on to a port; hold() makes it a black hole: nothing passes, nothing is closed."""

    def __init__(self, target_port):
        self.target_port = target_port
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.selector = selectors.DefaultSelector()
        self.wake_read, self.wake_write = socket.socketpair()
        self.peers = {}
        self.accepted = 0
        self.commands = []
        self.selector.register(self.wake_read, selectors.EVENT_READ)
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def hold(self):
        self._command(self._hold)

    def hold_present(self):
        """The same for the connections there are; new ones pass."""
        self._command(self._hold_present)

    def release(self):
        """What was held goes on its way, late."""
        self._command(self._release)

    def cut(self):
        """Resets every connection."""
        self._command(self._cut)

    def close(self):
        self._command(None)
        self.thread.join()

    def _command(self, command):
        done = threading.Event()
        self.commands.append((command, done))
        self.wake_write.send(b"!")
        done.wait()

    def _watched(self):
        return [self.listener, *self.peers]

    def _hold(self, ends=None):
        for end in ends or self._watched():
            if end in self.selector.get_map():
                self.selector.unregister(end)

    def _hold_present(self):
        self._hold(list(self.peers))

    def _release(self):
        for end in self._watched():
            if end not in self.selector.get_map():
                self.selector.register(end, selectors.EVENT_READ)

    def _cut(self):
        for end in list(self.peers):
            self._drop(end)

    def _drop(self, end):
        for one in (end, self.peers.get(end)):
            if one in self.peers:
                if one in self.selector.get_map():
                    self.selector.unregister(one)
                del self.peers[one]
                one.close()

    def _accept(self):
        client = self.listener.accept()[0]
        self.accepted += 1
        try:
            server = socket.create_connection(("127.0.0.1", self.target_port))
        except OSError:
            client.close()
            return
        self.peers[client], self.peers[server] = server, client
        self.selector.register(client, selectors.EVENT_READ)
        self.selector.register(server, selectors.EVENT_READ)

    def _pass_on(self, end):
        try:
            data = end.recv(65536)
            if data:
                self.peers[end].sendall(data)
                return
        except OSError:
            pass
        self._drop(end)

    def _run(self):
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is self.wake_read:
                    self.wake_read.recv(1)
                    command, done = self.commands.pop(0)
                    if command is None:
                        self._cut()
                        self.listener.close()
                        done.set()
                        return
                    command()
                    done.set()
                    break
                if key.fileobj is self.listener:
                    self._accept()
                elif key.fileobj in self.peers:
                    self._pass_on(key.fileobj)
