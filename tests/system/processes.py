# SPDX-License-Identifier: Apache-2.0
"""Processes of the tests: none outlives them, however they end."""

import ctypes
import dataclasses
import os
import pathlib
import pwd
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)


def prctl(option, value):
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def environment(user=None, given=None):
    """What a program of that user is started with: where coverage is counted, its counts go elsewhere."""
    others = os.environ.get("TENURE_COVERAGE_OF_OTHERS")
    counts = {"GCOV_PREFIX": f"{others}/{user}"} if user and others else {}
    return {**(given or os.environ), **counts}


def spawn(command, user=None, group=None, **options):
    """A process that dies with the thread that calls this: one that lives as long as the tests do.

    As `user`, in its group and in `group` besides.
    """
    guard = ["setpriv", "--pdeathsig", "KILL"]
    if user and os.getuid() == 0:
        guard += ["--reuid", user, "--regid", str(pwd.getpwnam(user).pw_gid)]
        guard += ["--groups", group] if group else ["--clear-groups"]
        options["env"] = environment(user, options.get("env"))
    options.setdefault("stdin", subprocess.DEVNULL)
    # pylint: disable-next=consider-using-with
    return subprocess.Popen([*guard, "--", *map(str, command)], **options)


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _stat(pid):
    """The fields of /proc/PID/stat from the state on, or None."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


def state(pid):
    """The state's letter of proc(5), or None where the process is gone."""
    fields = _stat(pid)
    return fields[0] if fields else None


def is_running(pid):
    return state(pid) not in (None, "Z", "X")


def descendants(pid):
    """Children, their children and so on."""
    children = {}
    for entry in os.listdir("/proc"):
        fields = _stat(entry) if entry.isdigit() else None
        if fields:
            children.setdefault(int(fields[1]), []).append(int(entry))
    found, queue = [], [pid]
    while queue:
        more = children.get(queue.pop(), [])
        found += more
        queue += more
    return found


def whole(pid):
    """The process and all below it, parents first."""
    return [pid, *descendants(pid)]


def program(pid):
    """The name of its file; empty where it has ended."""
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return ""


def arguments(pid):
    """Of its command; none where it has ended."""
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def freeze(pid):
    """Stops the process and all below it; whole when it returns."""
    for victim in whole(pid):
        send(victim, signal.SIGSTOP)
    for victim in whole(pid):
        send(victim, signal.SIGSTOP)
        while state(victim) not in (None, "T", "Z", "X"):
            os.sched_yield()


def thaw(pid):
    for victim in whole(pid):
        send(victim, signal.SIGCONT)


@dataclasses.dataclass(frozen=True)
class Usage:
    """What a process holds of what could leak."""

    descriptors: int
    threads: int
    resident_kb: int
    cpu_s: float


def usage(pid):
    fields = _stat(pid)
    try:
        descriptors = len(os.listdir(f"/proc/{pid}/fd"))
        # Counted there and then; what stat and status say may be off by some hundred kB.
        memory = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except PermissionError as error:
        raise unittest.SkipTest("only root sees what a daemon holds that keeps its memory private") from error
    tick = os.sysconf("SC_CLK_TCK")
    return Usage(
        descriptors=descriptors,
        threads=int(fields[17]),
        resident_kb=int(re.search(r"^Rss: +(\d+) kB", memory, re.MULTILINE).group(1)),
        cpu_s=(int(fields[11]) + int(fields[12])) / tick,
    )


def address_space(pid):
    """Its size in bytes."""
    pages = pathlib.Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[0]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _kill_below():
    """Everything that descends from us, also what is stopped or forks meanwhile."""
    while victims := [pid for pid in descendants(os.getpid()) if is_running(pid)]:
        for victim in victims:
            send(victim, signal.SIGKILL)
        try:
            while True:
                os.waitpid(-1, 0)
        except ChildProcessError:
            pass


def supervised(work):
    """Ends the program with what work() returns. Leaves no process and no file, also where we are killed ourselves.

    We watch a reaper, in a session of its own; the reaper watches us and adopts all orphans; below it work() runs.
    $TENURE_TEST_SHARED names a directory for all that the work needs.
    """
    alive_read, alive_write = os.pipe()
    reaper = os.fork()
    if reaper != 0:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
        os.close(alive_read)
        try:
            status = os.waitpid(reaper, 0)[1]
        except KeyboardInterrupt:
            os._exit(128 + signal.SIGINT)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)

    os.close(alive_write)
    os.setsid()
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    shared = tempfile.mkdtemp(prefix="tenure-")
    os.chmod(shared, 0o755)
    worker = os.fork()
    if worker == 0:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.close(alive_read)
        os.environ["TENURE_TEST_SHARED"] = shared
        sys.exit(work())
    child = os.pidfd_open(worker)
    poll = select.poll()
    poll.register(child, select.POLLIN)
    poll.register(alive_read, select.POLLIN)
    ready = dict(poll.poll())
    status = os.waitpid(worker, 0)[1] if child in ready else 1 << 8
    _kill_below()
    shutil.rmtree(shared, ignore_errors=True)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
