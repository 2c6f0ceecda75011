# SPDX-License-Identifier: Apache-2.0
"""The demo's replicas: a daemon and a `tenurectl run` a component, each replica with a runtime directory of its own."""

import os
import signal
import socket
import subprocess
import time
import types

import postgres
import processes
import replica


def now():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def become_subreaper():
    """Whatever loses its parent becomes ours, so that kill_descendants() finds it."""
    processes.prctl(processes.PR_SET_CHILD_SUBREAPER, 1)


def kill_descendants():
    while True:
        for pid in processes.descendants(os.getpid()):
            processes.send(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def is_writing(pid):
    """In the middle of a write to a SQLite file: whoever stops there holds up all others, nobody leads meanwhile."""
    with open("/proc/locks", encoding="ascii") as locks:
        return any(line.split()[1:5] == ["POSIX", "ADVISORY", "WRITE", str(pid)] for line in locks)


class Sqlite:
    name = "SQLite"
    what = "one SQLite file"

    def __init__(self, directory):
        self.path = directory / "tenure.db"

    def start(self):
        pass

    def config(self, _user):
        return f"driver = sqlite\npath = {self.path}\n"

    def permit(self):
        pass

    def tables(self):
        """For those who look into it."""
        return replica.Sqlite(self.path)

    def stop(self):
        pass


class Postgresql:
    name = "PostgreSQL"
    what = "a temporary PostgreSQL server"

    def __init__(self, directory):
        directory.chmod(0o711)  # the server is another user than root
        self.server = postgres.PostgreSQL(directory / "postgresql")

    def start(self):
        self.server.start()
        self.server.create("tenure")

    def config(self, user):
        return f"driver = postgresql\nconninfo = {self.server.conninfo('tenure', user)}\n"

    def permit(self):
        self.server.permit("tenure")

    def tables(self):
        return replica.Postgres(self.server, "tenure")

    def stop(self):
        self.server.stop()


STORES = {"sqlite": Sqlite, "postgresql": Postgresql}


class Replica:
    def __init__(self, name, directory, components, store, timing):
        self.name = name
        self.directory = directory
        self.components = components
        self.store = store
        self.timing = timing
        self.runtime = directory / name
        self.socket = self.runtime / "tenured.sock"
        self.config = self.write_config(f"{name}.conf", "tenure")
        self.daemon = None
        self.runs = {}
        self.runtime.mkdir()

    def write_config(self, name, user):
        path = self.directory / name
        text = f"[tenure]\nnode = {self.name}\nruntime_dir = {self.runtime}\n"
        text += f"\n[store]\n{self.store.config(user)}{self.timing['store']}"
        for component in self.components:
            text += f"\n[component:{component}]\n{self.timing['component']}"
        path.write_text(text, encoding="utf-8")
        return path

    def init(self):
        """Creates the tables, as their owner."""
        command = [replica.TENURECTL, "init", "-c", self.write_config("init.conf", "postgres")]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if answer.returncode != 0:
            raise OSError(f"tenurectl init: {answer.stderr.strip()}")
        self.store.permit()

    def ctl(self, *words):
        return [replica.TENURECTL, "--socket", self.socket, *words]

    def spawn(self, log_name, command):
        """Out of the reach of the terminal's Ctrl-C, which is ours."""
        with open(self.directory / f"{self.name}-{log_name}.log", "ab") as log:
            return processes.spawn(command, stdout=log, stderr=log, start_new_session=True)

    def start_daemon(self):
        """Returns when it was started."""
        at = now()
        self.daemon = self.spawn("tenured", [replica.TENURED, "-c", self.config])
        return at

    def start_workers(self):
        worker = replica.BUILD / "tests/system/demo_worker"
        for component in self.components:
            words = self.ctl("run", component, "--", worker, self.directory / f"{component}.{self.name}")
            self.runs[component] = self.spawn(component, words)

    def end_workers(self):
        for run in self.runs.values():
            run.terminate()
        while self.runs:
            self.runs.popitem()[1].wait()

    def place(self):
        """Where workers of their own find this replica."""
        return types.SimpleNamespace(name=self.name, directory=self.runtime, socket=self.socket)

    def ask(self, request):
        """The words of each line that the daemon answers, up to its `ok`; none where it does not answer."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
            stream.settimeout(1)
            try:
                stream.connect(str(self.socket))
                stream.sendall(request.encode() + b"\n")
                with stream.makefile(encoding="ascii") as lines:
                    answer = []
                    for line in lines:
                        answer.append(line.split())
                        if answer[-1][0] in ("ok", "error"):
                            return answer
            except OSError:
                pass
        return []

    def answers(self):
        return bool(self.ask("hello version=1"))

    def is_ready(self):
        """True where every component has a worker that leads or could."""
        rows = [dict(word.split("=", 1) for word in row[1:]) for row in self.ask("status") if row[0] == "row"]
        return bool(rows) and all(row["worker"] in ("joined", "working") for row in rows)

    def ended(self):
        """How the daemon ended; empty while it runs."""
        status = self.daemon.poll()
        return "" if status is None else f"exit status {status}" if status >= 0 else f"signal {-status}"

    def own(self):
        return [self.daemon, *self.runs.values()]

    def kill(self):
        """Everything at once, the daemon first, as when a machine loses power."""
        below = [pid for process in self.own() for pid in processes.descendants(process.pid)]
        for pid in [process.pid for process in self.own()] + below:
            processes.send(pid, signal.SIGKILL)
        for process in self.own():
            process.wait()

    def freeze(self):
        processes.freeze(self.daemon.pid)
        while is_writing(self.daemon.pid):
            processes.thaw(self.daemon.pid)
            time.sleep(0.001)
            processes.freeze(self.daemon.pid)
        for run in self.runs.values():
            processes.freeze(run.pid)

    def thaw(self):
        for process in self.own():
            processes.thaw(process.pid)
