# SPDX-License-Identifier: Apache-2.0
"""The servers of `make chaos`: each on a small disk, reached over TCP, with what can go wrong with it."""

import itertools
import os
import shutil
import signal
import struct
import subprocess
import time

import failover
import galera
import mariadb
import network
import postgres
import processes
from network import DATABASE
from replica import BUILD, until

# Two starts within one second are the same to those who look at MariaDB: see tenured.conf(5).
APART_S = 2
MANY = 90  # connections
JOINED_S = 300  # at most, until a node is part of its cluster, which may have to copy all of it
# What a fenced transaction does while it holds the lease's row, a few milliseconds on either database. It does not
# sleep: where the wall clock is moved back meanwhile, the server would go on sleeping for as long, and nobody could
# claim.
ROWS, HASHES = 50_000, 10_000
# Of the terms before one, those that may still have had a worker.
BEFORE = "w.term BETWEEN {0} - 3 AND {0} - 1"


def sanitized():
    """The daemons have a sanitizer in them, which has to be the first library and takes much address space."""
    return os.environ.get("TENURE_MODE") in ("asan", "tsan")


class Clock:
    """A wall clock that can be moved, of what has this environment; the other clocks stay as they are."""

    def __init__(self, path):
        path.write_bytes(bytes(8))
        self.file = open(path, "r+b", buffering=0)
        self.environment = {"LD_PRELOAD": str(BUILD / "tests/chaos/clock.so"), "TENURE_CHAOS_CLOCK": str(path)}
        self.prefix = ["env", *(f"{name}={value}" for name, value in self.environment.items())]

    def move(self, hours):
        os.pwrite(self.file.fileno(), struct.pack("=q", hours * 3600), 0)


class Disk:
    """A small one of its own."""

    def __init__(self, path, size):
        self.path = path
        path.mkdir()
        network.run("mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "none", str(path))

    def fill(self):
        with open(self.path / "filling", "wb", buffering=0) as file:
            for block in (1 << 20, 1 << 12, 1):
                try:
                    while True:
                        file.write(bytes(block))
                except OSError:
                    pass

    def clear(self):
        (self.path / "filling").unlink(missing_ok=True)


class Server:
    """What all have in common, each of which is a database by itself. `server`: what starts, stops and asks it."""

    name = "db"
    lease_ms = 2000
    timing = "renew = 400ms\npoll = 200ms\ntimeout = 400ms\n"
    doubted = True  # after a restart, for one lease
    without = ("database node cut off",)
    disk_size = "1g"

    def __init__(self, directory):
        self.disk = Disk(directory / "disk", self.disk_size)
        self.clock = Clock(directory / "database-clock")
        self.started = 0
        self.server = None
        self.servers = [self]

    def whole(self):
        return True

    def and_recovers(self, end):
        """What ends a fault and returns, where there is more to wait for, what to call next."""
        return end

    def lives(self):
        return bool(self.server.process) and self.server.process.poll() is None

    def start(self):
        self.launch()
        self.started = time.monotonic()

    def begin(self):
        """Again, unless it came back by itself."""
        if not self.lives():
            self.start()

    def settle(self):
        time.sleep(max(0, self.started + APART_S - time.monotonic()))

    def kill(self):
        if self.lives():
            failover.kill_server(self.server) if self.has_memory else self.server.stop()
        self.server.process = None

    def copy(self):
        """As a replica that receives nothing any more: all of it at one instant."""
        processes.freeze(self.server.process.pid)
        network.run("cp", "-a", str(self.server.data), str(self.replica()))
        processes.thaw(self.server.process.pid)

    def fail_over(self):
        """To that copy."""
        self.kill()
        shutil.rmtree(self.server.data)
        self.replica().rename(self.server.data)
        (self.server.data / "postmaster.pid").unlink(missing_ok=True)
        self.start()

    def replica(self):
        return self.server.data.with_name("replica")


class Postgresql(Server):
    has_memory = True  # shared memory that outlives it

    def __init__(self, directory):
        super().__init__(directory)
        self.server = postgres.PostgreSQL(self.disk.path / "pg", fsync="off", max_connections=str(MANY))
        self.server.address = DATABASE
        self.server.prefix = self.clock.prefix
        with open(self.server.data / "pg_hba.conf", "a", encoding="ascii") as access:
            access.write("host all all 10.77.0.0/24 trust\n")

    def launch(self):
        until(lambda: not self.is_attached(), "the end of what is left of the server")
        self.server.start()

    def is_attached(self):
        """Processes of a server that died by itself may outlive it for a moment; another one would not start."""
        try:
            shared = (self.server.data / "postmaster.pid").read_text(encoding="ascii").splitlines()[6].split()[1]
        except (FileNotFoundError, IndexError):
            return False
        with open("/proc/sysvipc/shm", encoding="ascii") as segments:
            return any(line.split()[1] == shared and line.split()[6] != "0" for line in segments)

    def config(self, user):
        if user == "owner":
            return f"driver = postgresql\nconninfo = {self.server.conninfo('tenure', 'postgres')}\n"
        return f"driver = postgresql\nconninfo = host={DATABASE} port={self.server.port} dbname=tenure user={user}\n"

    def sql(self, text):
        return self.server.sql("SET default_transaction_read_only = off;\n" + text, "tenure")

    def create(self):
        self.server.create("tenure")

    def permit(self):
        self.server.permit("tenure")
        self.sql(
            "CREATE TABLE chaos_write (id bigserial PRIMARY KEY, component text, term bigint,"
            " at_ns bigint, fenced int, held bigint);"
            "CREATE PROCEDURE chaos_fenced(lease text, component text, term bigint, at_ns bigint)"
            " LANGUAGE plpgsql AS $$"
            " BEGIN PERFORM tenure_fence(lease, term);"
            f" PERFORM count(*) FROM generate_series(1, ({ROWS} * random())::int);"
            " INSERT INTO chaos_write (component, term, at_ns, fenced, held) SELECT $2, $3, $4, 1, l.term"
            " FROM tenure_lease l WHERE l.component = $1; END $$;"
            "GRANT INSERT ON chaos_write TO tenure; GRANT USAGE ON SEQUENCE chaos_write_id_seq TO tenure"
        )

    def client(self):
        conninfo = f"host={DATABASE} port={self.server.port} dbname=tenure user=tenure connect_timeout=3"
        return ["psql", "-X", "-q", conninfo]

    def writes(self):
        return self.sql(
            "COPY (SELECT component, term, fenced, coalesce(held, 0), 0 FROM chaos_write ORDER BY id) TO STDOUT"
        )

    def restart(self):
        self.server.stop(signal.SIGINT)
        self.start()

    def disconnect(self):
        self.sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'tenure'")

    def read_only(self, on):
        self.server.read_only(on)

    def few_connections(self, on):
        self.sql(f"ALTER ROLE tenure CONNECTION LIMIT {2 if on else -1}")
        if on:
            self.disconnect()


class Mariadb(Server):
    has_memory = False
    look = "SELECT 0"  # what a fenced write notes besides, behind its fence

    def __init__(self, directory):
        super().__init__(directory)
        self.server = self.make()
        self.server.data = self.server.directory / "data"
        self.server.prefix = self.clock.prefix

    def make(self):
        return mariadb.MariaDB(self.disk.path / "db")

    def launch(self):
        self.server.start(f"--bind-address={DATABASE}", f"--max-user-connections={MANY}")

    def config(self, user):
        if user == "owner":
            return f"driver = mysql\nsocket = {self.server.socket}\nuser = root\ndatabase = tenure\n"
        return (
            f"driver = mysql\nhost = {DATABASE}\nport = {self.server.port}\nuser = {user}\n"
            "database = tenure\ntls = off\n"
        )

    def sql(self, text):
        return self.server.sql(text, "tenure")

    def create(self):
        self.server.sql("CREATE DATABASE tenure")

    def permit(self):
        self.sql(
            "CREATE TABLE chaos_write (id bigint PRIMARY KEY AUTO_INCREMENT, component varchar(64), term bigint,"
            " at_ns bigint, fenced int, held bigint, seen bigint, KEY (component, term));\nDELIMITER //\n"
            "CREATE PROCEDURE chaos_fenced(lease varchar(64), component varchar(64), term bigint, at_ns bigint)"
            # One that is refused lets go of the lease's row.
            " BEGIN DECLARE seen BIGINT;"
            " DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END;"
            f" START TRANSACTION; CALL tenure_fence(lease, term); {self.look} INTO seen;"
            f" DO BENCHMARK({HASHES} * RAND(), MD5(component));"
            " INSERT INTO chaos_write (component, term, at_ns, fenced, held, seen)"
            " SELECT component, term, at_ns, 1, l.term, seen FROM tenure_lease l"
            " WHERE l.component = lease; COMMIT; END //\nDELIMITER ;\n"
        )
        for user in ("tenure@localhost", "tenure@'%'"):
            self.sql(f"GRANT SELECT, INSERT, UPDATE, DELETE, EXECUTE ON tenure.* TO {user}")

    def client(self):
        where = [f"--host={DATABASE}", f"--port={self.server.port}", "--user=tenure", "--connect-timeout=3"]
        return ["mariadb", "--no-defaults", "--force", "--unbuffered", *where, "tenure"]

    def writes(self):
        return self.sql("SELECT component, term, fenced, coalesce(held, 0), 0 FROM chaos_write ORDER BY id")

    def restart(self):
        processes.send(self.server.process.pid, signal.SIGTERM)
        try:
            self.server.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
        self.server.process = None
        self.start()

    def disconnect(self):
        for number in self.sql("SELECT id FROM information_schema.processlist WHERE user = 'tenure'").split():
            try:
                self.sql(f"KILL {number}")
            except RuntimeError:
                pass  # gone already

    def read_only(self, on):
        self.sql(f"SET GLOBAL read_only = {int(on)}")

    def few_connections(self, on):
        self.sql(f"SET GLOBAL max_user_connections = {2 if on else MANY}")
        if on:
            self.disconnect()


class GaleraNode(galera.Node):
    def spawn(self, command):
        return super().spawn([*self.prefix, *command])


class GaleraServer(Mariadb):
    """One node of a cluster. It begins without being waited for: see joined()."""

    disk_size = "300m"
    # The order of ids is not that of the commits; that of WSREP_LAST_WRITTEN_GTID() is each node's own; and a counter's
    # row would make transactions conflict that have nothing but a fence in common. But who is behind the fence sees the
    # claim of its term, hence all that was committed before it: what of the terms before this does not show here came
    # after the claim, and a fence let it through.
    look = f"SELECT COUNT(*) FROM chaos_write w WHERE w.component = component AND w.fenced AND {BEFORE.format('term')}"

    def __init__(self, directory, number, nodes):
        self.name, self.number, self.nodes = f"db{number}", number, nodes
        self.leaving = False
        directory.mkdir()
        super().__init__(directory)
        nodes.append(self.server)

    def make(self):
        """To the node we are its cluster, which has a directory and nodes."""
        node = GaleraNode(self, self.number, True)
        network.run(*node.network.inside, "ip", "route", "add", "default", "via", galera.CLIENT_ADDRESS.format(254))
        return node

    @property
    def directory(self):
        return self.disk.path

    def launch(self, *options):
        self.leaving = False
        self.server.process = self.server.launch(f"--max-user-connections={MANY}", *options)

    def restart(self):
        """It is begun again once it has ended."""
        self.leaving = True
        processes.send(self.server.process.pid, signal.SIGTERM)

    def joined(self):
        """Whether it is part of the whole cluster. Begins it again where it has ended."""
        state = self.state()
        if "Disconnected" in state and not self.leaving:
            self.kill()  # it left for good, as one does that cannot write what the others can
        self.begin()
        return not self.leaving and state == f"{len(self.nodes)},Primary,ON"

    def state(self):
        """The size of its part of the cluster, what part that is, and whether it is used; or why it does not say."""
        names = "'wsrep_cluster_size', 'wsrep_cluster_status', 'wsrep_ready'"
        try:
            return self.server.sql(
                "SELECT GROUP_CONCAT(VARIABLE_VALUE ORDER BY VARIABLE_NAME) FROM information_schema.GLOBAL_STATUS"
                f" WHERE VARIABLE_NAME IN ({names})"
            )
        except RuntimeError as error:
            return str(error).strip()

    def read_only(self, on):
        """A server that ends by itself meanwhile is not any more, and is begun again as any other."""
        try:
            super().read_only(on)
        except RuntimeError as error:
            if on:
                raise
            self.server.process.wait(JOINED_S)  # it may be at it still; one that goes on would stay read-only
            print(f"{self.name} ended by itself: {error}\n{self.log()[-6000:]}", flush=True)

    def log(self):
        return (self.server.directory / "log.err").read_text(encoding="utf-8", errors="replace")


class Galera:
    """Three nodes of a cluster. One at a time is hit, until all are together again: two would be the end of it."""

    # While the others give a node up, which takes more than a second, nobody can write.
    lease_ms = 6000
    timing = "renew = 600ms\npoll = 300ms\ntimeout = 600ms\n"
    doubted = False  # it goes on
    without = ("database failed over to a stale copy",)  # a node that comes back copies the others

    def __init__(self, directory):
        links = {galera.CLUSTER_LINK: galera.CLUSTER_ADDRESS, galera.CLIENT_LINK: galera.CLIENT_ADDRESS}
        network.router({link: address.format(254) for link, address in links.items()})
        nodes = []
        numbers = range(1, galera.NODES + 1)
        self.servers = [GaleraServer(directory / f"database{number}", number, nodes) for number in numbers]
        self.first = itertools.cycle(range(galera.NODES))

    def start(self):
        for server in self.servers:
            server.launch(*(["--wsrep-new-cluster"] if server is self.servers[0] else []))
            until(server.server.is_up, f"{server.name} being part of the cluster", JOINED_S, 0.1)
        self.servers[0].server.make_users()

    def create(self):
        self.servers[0].create()

    def permit(self):
        self.servers[0].permit()

    def config(self, user):
        """Each daemon begins with another node."""
        if user == "owner":
            return self.servers[0].config(user)
        first = next(self.first)
        hosts = ",".join(server.server.host for server in self.servers[first:] + self.servers[:first])
        return f"driver = mysql\nhost = {hosts}\nuser = {user}\ndatabase = tenure\ntls = off\n"

    def client(self):
        """At any node, each time it is started."""
        nodes = [f"{server.server.address} {server.server.port}" for server in self.servers]
        command = 'set -- $(shuf -n 1 -e "$@") && exec mariadb --no-defaults --host=$1 --port=$2'
        command += " --user=tenure --connect-timeout=3 --force --unbuffered tenure"
        return ["sh", "-c", command, "sh", *nodes]

    def whole(self):
        """Whether all are one cluster. Each is asked, for each may have to be begun again."""
        joined = [server.joined() for server in self.servers]
        return all(joined)

    def and_recovers(self, end):
        def begin():
            end()
            return self.recovery()

        return begin

    def recovery(self):
        give_up_at = time.monotonic() + JOINED_S

        def look():
            if self.whole():
                return None
            if time.monotonic() > give_up_at:
                raise RuntimeError(self.broken())
            return look

        return look

    def broken(self):
        said = [f"{server.name}: {server.state()}\n{server.log()[-2000:]}\n" for server in self.servers]
        return "the cluster is not whole\n" + "\n".join(said)

    def writes(self):
        """In the order in which they were begun."""
        if not self.whole():
            raise RuntimeError(self.broken())
        before = f"SELECT SUM(w.n) FROM terms w WHERE w.component = c.component AND {BEFORE.format('c.term')}"
        return self.servers[0].sql(
            "SET wsrep_sync_wait = 1; WITH terms AS"
            " (SELECT component, term, COUNT(*) AS n FROM chaos_write WHERE fenced GROUP BY component, term)"
            " SELECT component, term, fenced, COALESCE(held, 0), COALESCE(COALESCE((" + before + "), 0) - seen, 0)"
            " FROM chaos_write c ORDER BY at_ns"
        )


STORES = {"postgresql": Postgresql, "mariadb": Mariadb, "galera": Galera}
