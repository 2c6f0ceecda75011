# SPDX-License-Identifier: Apache-2.0
"""A MariaDB of the tests' own."""

import os
import pathlib
import pwd
import shutil
import subprocess
import time

import processes
from postgres import free_port
from replica import Store

SCRIPT = pathlib.Path(__file__).resolve().parents[1] / "tools" / "mariadb-server"
# By its text, for the server's user may not be allowed to read the file.
TOOL = ["sh", "-c", SCRIPT.read_text(), SCRIPT]
# What interface.md says the daemons need, on each table.
DML = "SELECT, INSERT, UPDATE, DELETE"
TABLES = ("tenure_store", "tenure_session", "tenure_lease", "tenure_ask", "tenure_history", "tenure_offer")


def owner():
    """Whom the server runs as: not root."""
    return "mysql" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name


class MariaDB:
    """Starts with start(). Users: root, who may do everything; tenure, the daemons'; both without a password."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.socket = self.directory / "socket"
        self.port = free_port()
        self.process = None
        self.started_s = 0
        self.prefix = []  # of its command
        self.directory.mkdir(mode=0o755)
        if os.getuid() == 0:
            shutil.chown(self.directory, owner())
        self.make()

    def make(self):
        made = processes.spawn([*TOOL, "init", self.directory], user=owner(), stderr=subprocess.PIPE, text=True)
        output = made.communicate()[1]
        if made.returncode != 0:
            raise RuntimeError(output)

    def networking(self, address="127.0.0.1"):
        return ["--skip-networking=0", f"--bind-address={address}", f"--port={self.port}"]

    def spawn(self, command):
        return processes.spawn(command, user=owner(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def launch(self, *options):
        return self.spawn([*self.prefix, *TOOL, "run", self.directory, *self.networking(), *options])

    def start(self, *options):
        self.process = self.launch(*options)
        end = time.monotonic() + 30
        while not self.is_up():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("MariaDB did not start: " + (self.directory / "log.err").read_text()[-2000:])
            time.sleep(0.02)
        self.started_s = int(time.time())
        self.make_users()
        return self

    def make_users(self):
        self.sql("CREATE USER IF NOT EXISTS tenure@localhost, tenure@'%'")

    def is_up(self):
        return subprocess.run(self.client(), input="", capture_output=True, text=True, check=False).returncode == 0

    def client(self, database=""):
        return ["mariadb", "--no-defaults", "-N", f"--socket={self.socket}", "--user=root", database]

    def sql(self, text, database=""):
        result = subprocess.run(self.client(database), input=text, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise RuntimeError(result.stderr)
        return result.stdout.strip()

    def session(self, database="", user="root"):
        """A client that stays, and goes on after an error; what it says comes as it is said."""
        options = ["--force", "--unbuffered", "--silent", f"--user={user}"]
        command = [*self.client()[:-1], *options, *filter(None, [database])]
        pipe = subprocess.PIPE
        return processes.spawn(command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True)

    def freeze(self):
        processes.freeze(self.process.pid)

    def thaw(self):
        processes.thaw(self.process.pid)

    def stop(self):
        if self.process:
            # Two starts within one second are the same to those who look at the server: see tenured.conf(5).
            time.sleep(max(0, self.started_s + 2 - time.time()))
            processes.send(self.process.pid, 9)
            self.process.wait()
            self.process = None


class Session:
    """A connection that stays: ask() returns what came of it, an error's text included."""

    def __init__(self, node, database, user="root"):
        self.process = node.session(database, user)

    def ask(self, statements):
        self.send(statements)
        return self.receive()

    def send(self, statements):
        self.process.stdin.write(f"{statements};\nSELECT 'that was all';\n")
        self.process.stdin.flush()

    def receive(self):
        lines = []
        for line in self.process.stdout:
            if line.strip() == "that was all":
                return "".join(lines).strip()
            lines.append(line)
        return "".join(lines)

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


class Maria(Store):
    """One database of a server; `settings`: more keys of [store], or None in the place of a key."""

    def __init__(self, server, database, **settings):
        super().__init__()
        self.server = server
        self.database = database
        self.more = settings

    def settings(self, user):
        if user == "postgres":  # the owner of everything, who makes the schema
            return {"driver": "mysql", "socket": self.server.socket, "user": "root", "database": self.database}
        return {
            "driver": "mysql",
            "socket": self.server.socket,
            "user": user or "tenure",
            "database": self.database,
            **self.more,
        }

    def but(self, **settings):
        """The same, with other keys."""
        other = Maria(self.server, self.database)
        other.more = settings
        other.is_new, other.scope = False, self.scope
        return other

    def through(self, port):
        """The same, reached over TCP."""
        return self.but(socket=None, host="127.0.0.1", port=port, tls="off")

    def sql(self, text):
        return self.server.sql(text, self.database)

    def permit(self, *without):
        """Gives the daemons' user what it needs, and takes away the writing of the tables named."""
        for user in ("tenure@localhost", "tenure@'%'"):
            for table in TABLES:
                self.sql(f"GRANT {DML} ON {table} TO {user}")
            for table in without:
                self.sql(f"REVOKE INSERT, UPDATE, DELETE ON {table} FROM {user}")
