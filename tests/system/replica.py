# SPDX-License-Identifier: Apache-2.0
"""A replica: one daemon with its configuration, the workers that sit at it, and what it says."""

import collections
import os
import pathlib
import select
import signal
import socket
import subprocess
import sys
import threading
import time

import processes
from events import PATIENCE_S, SLOW, Event, EventFeed, Feed, now
from notify import Notify

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("TENURE_BUILD", HERE.parents[1] / "build"))
WORKER = HERE.parents[1] / "src/examples/python/worker.py"
TENURED = BUILD / "tenured"
TENURECTL = BUILD / "tenurectl"
MODE = os.environ.get("TENURE_MODE", "release")
# What the tests use unless they say otherwise: quick, and with room for a busy machine.
LEASE_NS = SLOW * 2_000_000_000
TIMEOUT_NS = LEASE_NS // 5
FIFTH, TENTH = f"{SLOW * 400}ms", f"{SLOW * 200}ms"
TIMING = {"lease": f"{SLOW * 2}s", "renew": FIFTH, "poll": TENTH, "timeout": FIFTH}
CLIENTS = 16_384  # connections that a daemon serves at once, as tenured(8) says
COMPONENT = {"stop_grace": FIFTH, "start_timeout": "5s", "cooldown": "1s"}


def make(*words):
    """The command that makes it of what has been built, by the name that it was built with.

    Another name for the same place would make the programs anew, under tests that run them.
    """
    build = os.path.relpath(BUILD if MODE == "release" else BUILD.parent, HERE.parents[1])
    return ["make", "-C", HERE.parents[1], f"B={build}", f"MODE={MODE}", "PACKAGES=mine", *map(str, words)]


def section(name, values):
    return f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in values.items() if value is not None)


class Store:
    """A place for leases. `is_new`: without a schema yet."""

    def __init__(self):
        self.is_new = True
        self.scope = self

    def permit(self):
        """Gives the daemons' user what it needs, after `tenurectl init`."""


class Memory(Store):
    """No database: this daemon leads by itself."""

    def __init__(self):
        super().__init__()
        self.is_new = False

    def settings(self, _user):
        return {"driver": "memory"}


class Sqlite(Store):
    def __init__(self, path):
        super().__init__()
        self.path = path

    def settings(self, _user):
        return {"driver": "sqlite", "path": self.path}


class Postgres(Store):
    """One database of a server; `port`: reached over TCP, through a proxy perhaps; `hosts`: over several servers."""

    def __init__(self, server, database, port=None):
        super().__init__()
        self.server = server
        self.database = database
        self.port = port
        self.schema = None
        self.hosts = None

    def settings(self, user):
        return {
            "driver": "postgresql",
            "conninfo": self.conninfo(user or "tenure"),
            "schema": self.schema,
        }

    def conninfo(self, user):
        if not self.hosts:
            return self.server.conninfo(self.database, user, self.port)
        hosts = ",".join(str(server.sockets) for server in self.hosts)
        ports = ",".join(str(server.port) for server in self.hosts)
        return f"host={hosts} port={ports} dbname={self.database} user={user}"

    def permit(self):
        self.server.permit(self.database)

    def through(self, port):
        """The same, reached another way."""
        other = Postgres(self.server, self.database, port)
        other.is_new, other.scope = False, self.scope
        return other

    def sql(self, text, user="postgres"):
        return self.server.sql(text, self.database, user)


class Replica:
    def __init__(
        self, directory, store, components=("engine",), user=None, tenure=None, timing=None, component=None, http=None
    ):
        self.directory = pathlib.Path(directory)
        self.name = self.directory.name
        self.directory.mkdir()
        self.run_dir = self.directory / "run"
        self.run_dir.mkdir()
        self.socket = self.run_dir / "tenured.sock"
        self.config = self.directory / "tenured.conf"
        self.store = store
        self.components = components
        self.process = None
        self.notify = None
        self.log = Feed(f"log of {self.name}")
        self.started_at = None
        self.expected_to_live = False
        self.environment = {}
        self.prefix = []  # of its command
        self.tenure = {"node": self.name, "runtime_dir": self.run_dir, "log_level": "debug", **(tenure or {})}
        self.component = {**COMPONENT, **(component or {})}
        self.timing = {**TIMING, **(timing or {})}
        self.user = user
        self.http = http  # where it listens
        self.each = {}  # what one component has besides, by its name
        self.write_config()

    def write_config(self):
        text = section("tenure", self.tenure)
        text += section("store", {**self.store.settings(self.user), **self.timing})
        if self.http:
            text += section("http", {"listen": self.http})
        for name in self.components:
            text += section(f"component:{name}", {**self.component, **self.each.get(name, {})})
        self.config.write_text(text)
        self.config.chmod(0o600 if "password=" in text else 0o644)

    def init(self):
        """The schema, as the owner of the database."""
        config = self.directory / "init.conf"
        user, self.user, keep = self.user, "postgres", self.config
        self.config = config
        self.write_config()
        self.user, self.config = user, keep
        command = [TENURECTL, "init"] if TENURECTL.exists() else [TENURED, "--init-schema"]
        result = subprocess.run([*command, "-c", config], capture_output=True, text=True, check=False)
        assert result.returncode == 0, f"tenurectl init: {result.stderr}"
        self.store.permit()
        return self

    # The daemon's life.

    def start(self, wait=True, user=None):
        self.log = Feed(f"log of {self.name}")
        self.notify = Notify(self.directory / "notify")
        self.started_at = now()
        self.process = processes.spawn(
            [*self.prefix, TENURED, "-c", self.config],
            user=user,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**os.environ, **self.notify.environment, **self.environment},
        )
        self.expected_to_live = True
        self.follow(self.process.stderr, self.log)
        if wait:
            self.wait_ready()
        return self

    @staticmethod
    def follow(stream, feed):
        """Lines of a process go into a feed, as they come."""

        def read():
            with stream:
                for line in stream:
                    feed.add(line.rstrip("\n"))
            feed.end()

        threading.Thread(target=read, daemon=True).start()

    def wait_ready(self):
        def still_there():
            assert self.process.poll() is None, f"{self.name} ended: " + "\n".join(self.log.items[-10:])

        self.notify.wait_ready(PATIENCE_S, still_there)

    def wait_log(self, *words, timeout=PATIENCE_S, after=0):
        """The first line of the log that has all these words."""
        return self.log.wait_for(lambda line: all(word in line for word in words), f"line with {words}", timeout, after)

    @property
    def pid(self):
        return self.process.pid

    def signal(self, number):
        processes.send(self.pid, number)

    def terminate(self):
        self.expected_to_live = False
        self.signal(signal.SIGTERM)

    def wait_exit(self, timeout=PATIENCE_S):
        self.expected_to_live = False
        status = self.process.wait(timeout)
        self.log.wait_end()
        return status

    def stop(self):
        """SIGTERM, and whether it ended the way it should."""
        self.terminate()
        status = self.wait_exit()
        assert status == 0, f"{self.name}: exit status {status}:\n" + "\n".join(self.log.items[-20:])

    def kill(self):
        self.expected_to_live = False
        self.signal(signal.SIGKILL)
        self.process.wait()
        self.log.wait_end()

    def usage(self):
        return processes.usage(self.pid)

    def run_tenured(self, *words, timeout=PATIENCE_S, **options):
        """Runs tenured with the configuration until it ends by itself; stdout and stderr as text."""
        return subprocess.run(
            [TENURED, "-c", self.config, *words],
            env=processes.environment(options.get("user"), options.pop("env", None)),
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            **options,
        )

    # Talking to it.

    def ask(self, text, timeout=5):
        """One request over a connection of its own."""
        with Client(self.socket, f"asking {self.name}") as client:
            return client.ask(text, timeout)

    def status(self, component="engine"):
        rows = self.ask(f"status component={component}").rows
        assert len(rows) == 1, rows
        return rows[0].fields

    def page_deadline(self, slot=0):
        """What the terms page says, which also a dead daemon leaves; see src/wire/page.h."""
        with open(self.run_dir / "terms", "rb") as page:
            page.seek(512 + 128 * slot + 16)
            return int.from_bytes(page.read(8), "little", signed=True)

    def ctl(self, *words, timeout=PATIENCE_S, **options):
        """tenurectl with its result; stdout and stderr as text."""
        return subprocess.run(
            [TENURECTL, "--socket", self.socket, *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            **options,
        )


Answer = collections.namedtuple("Answer", "at word fields rows")


class Client(EventFeed):
    """A worker or observer inside of the test. Says `started` and `stopped` by itself, unless told not to.

    `react`: what to do instead, by word, in the thread that hears it: called with this client and the event.
    """

    def __init__(self, path, name, start=True, stop=True, react=None):
        super().__init__(name)
        self.react = react or {}
        self.asked = 0
        self.answers = []
        self.rows = []
        self.start, self.stop = start, stop
        self.unsent = b""
        self.wake_read, self.wake_write = socket.socketpair()
        self.socket = socket.socket(socket.AF_UNIX)
        try:
            self.socket.connect(str(path))
        except OSError:
            self.socket.close()
            raise
        self.socket.setblocking(False)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Every work is over before the connection is."""
        if self.dead_at is None:
            self.dead_at = now()
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.thread.join()
        for end in (self.socket, self.wake_read, self.wake_write):
            end.close()

    def say(self, text):
        """Sends without waiting; what it does to the work is noted before it is sent. Returns its number."""
        with self.changed:
            self.add(Event.parse(now(), True, text))
            self.send(text.encode() + b"\n")
            self.asked += 1
            return self.asked

    def send(self, data=b""):
        """What the socket does not take now, the reader sends: waiting here, both sides could wait for each other."""
        with self.changed:
            first = not self.unsent
            self.unsent += data
            try:
                self.unsent = self.unsent[self.socket.send(self.unsent) :]
            except BlockingIOError:
                pass
            except OSError:  # the connection's end, which the reader finds
                return
            if first and self.unsent:
                self.wake_write.send(b"!")

    def answer_to(self, number, timeout=5):
        with self.changed:
            self.changed.wait_for(lambda: len(self.answers) >= number or self.ended, timeout)
            if len(self.answers) < number:
                raise AssertionError(f"{self.name}: no answer to request {number} within {timeout} s")
            return self.answers[number - 1]

    def ask(self, text, timeout=5):
        return self.answer_to(self.say(text), timeout)

    def join(self, component="engine", **fields):
        extra = "".join(f" {key}={value}" for key, value in fields.items())
        answer = self.ask(f"join component={component}{extra}")
        assert answer.word == "ok", answer
        return self

    def _read(self):
        rest = b""
        while (data := self._receive()) != b"":
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._take(Event.parse(now(), False, line.decode()))
        self.end()

    def _receive(self):
        """The next bytes; none at the connection's end."""
        try:
            while True:
                readable, writable, _ = select.select(
                    [self.socket, self.wake_read], [self.socket] if self.unsent else [], []
                )
                if self.wake_read in readable:
                    self.wake_read.recv(4096)
                if writable:
                    self.send()
                if self.socket in readable:
                    return self.socket.recv(65536)
        except OSError:
            return b""

    def _take(self, event):
        self.add(event)
        if event.word == "row":
            self.rows.append(event)
        elif event.word in ("ok", "error"):
            with self.changed:
                self.answers.append(Answer(event.at, event.word, event.fields, self.rows))
                self.rows = []
                self.changed.notify_all()
        elif event.word in self.react:
            self.react[event.word](self, event)
        elif event.word == "granted" and self.start:
            self.reply("started", event)
        elif event.word == "revoked" and self.stop:
            self.reply("stopped", event)

    def reply(self, word, event, **fields):
        """Says something about the term of the event."""
        extra = "".join(f" {key}={value}" for key, value in fields.items())
        return self.say(f"{word} component={event.fields['component']} term={event.fields['term']}{extra}")


class Worker(EventFeed):
    """A process, worker.py or one that prints the same."""

    def __init__(self, path, name, component="engine", command=None):
        super().__init__(name)
        self.component = component
        command = command or [sys.executable, "-S", WORKER]
        self.process = processes.spawn([*command, path, component], stdout=subprocess.PIPE, text=True)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        with self.process.stdout as stream:
            for line in stream:
                if not line.endswith("\n"):
                    break  # killed in the middle of it
                at, mark, text = line.rstrip("\n").split(" ", 2)
                self.add(Event.parse(int(at), mark == ">", text))
        self.end()

    @property
    def pid(self):
        return self.process.pid

    def kill(self):
        """Returns when the signal was sent, on the clock of the events."""
        if self.dead_at is None:
            self.dead_at = now()
            processes.send(self.pid, signal.SIGKILL)
            self.process.wait()
            self.gone_at = now()
        return self.dead_at

    def close(self):
        self.kill()
        self.thread.join()

    def wait_joined(self):
        self.wait("ok")
        return self


def until(condition, what, timeout=PATIENCE_S, every=0.005):
    """For what sends no event: asks again and again."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(every)
