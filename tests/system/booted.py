# SPDX-License-Identifier: Apache-2.0
"""A machine with a systemd of its own, on top of this one: see tests/system/boot."""

import json
import os
import pathlib
import shutil
import subprocess

import processes
from replica import MODE, make, until

HERE = pathlib.Path(__file__).resolve().parent
TARGET = "--unit=test.target"


def unavailable():
    """Why there can be no such machine here, or None."""
    if MODE not in ("release", "debug"):
        return "the units' sandbox forbids what sanitizers do"
    if os.getuid() != 0:
        return "only root can boot a systemd of its own"
    if not shutil.which("systemctl"):
        return "no systemd is installed"
    overlay = "mount -t overlay -o lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w o /mnt"
    probe = f"mount -t tmpfs t /mnt && mkdir /mnt/u /mnt/w && {overlay} && mount -t cgroup2 c /mnt"
    tried = subprocess.run(
        ["unshare", "--mount", "--pid", "--cgroup", "--uts", "--ipc", "--fork", "sh", "-c", probe],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"namespaces are not allowed here: {tried.stderr.strip()}" if tried.returncode != 0 else None


def install(directory):
    """The program, as a package would."""
    subprocess.run(make("PREFIX=/usr", f"DESTDIR={directory}", "install"), check=True, stdout=subprocess.DEVNULL)


class Machine:
    """Files are added before it boots, first of all those of `installed`; what it writes is gone with it."""

    def __init__(self, directory, installed):
        self.directory = directory
        self.add = directory / "add"
        shutil.copytree(installed, self.add, symlinks=True)
        for name in ("memory", "cgroup"):
            (directory / name).mkdir()
        self.process = None
        self.first = None

    def write(self, path, text, mode=0o644):
        if self.process:
            script = 'mkdir -p "${1%/*}" && cat >"$1" && chmod "$2" "$1"'
            self.run("sh", "-c", script, "-", path, f"{mode:o}", input=text)
            return
        target = self.add / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)

    def boot(self):
        log = self.directory / "console"
        with open(log, "wb") as console:
            self.process = processes.spawn(
                ["unshare", "--mount", HERE / "boot", self.directory],
                stdout=console,
                stderr=console,
            )
        self.first = until(self._find_first, f"a systemd: {log.read_text(errors='replace')}")
        until(lambda: self.run("systemctl", "is-system-running", check=False) == "running", "it runs", timeout=60)
        return self

    def _find_first(self):
        assert self.process.poll() is None, "it ended"
        for pid in processes.descendants(self.process.pid):
            try:
                if TARGET.encode() in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
                    return pid
            except OSError:
                pass
        return None

    def enter(self, *command):
        return ["nsenter", "-t", str(self.first), "-m", "-p", "-C", "-u", "-i", "--", *map(str, command)]

    def run(self, *command, check=True, **options):
        """What it printed."""
        result = subprocess.run(
            self.enter(*command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options
        )
        if check and result.returncode != 0:
            raise AssertionError(f"{' '.join(map(str, command))}: {result.returncode}: {result.stdout}")
        return result.stdout.strip()

    def show(self, unit, name):
        return self.run("systemctl", "show", "-P", name, unit)

    def read_journal(self, *options):
        self.run("journalctl", "--sync", check=False)
        return self.run("journalctl", "--no-pager", *options, check=False).splitlines()

    def journal(self, unit):
        """What the unit logged, a dictionary an entry."""
        return [json.loads(line) for line in self.read_journal("-o", "json", "-u", unit) if line.startswith("{")]

    # For a test that failed: what there is to show of it.
    name = "journal"

    @property
    def items(self):
        return self.read_journal() if self.first else []

    def halt(self):
        if not self.process:
            return
        self.process.kill()
        self.process.wait()
        mine = f"{self.directory}/cgroup/tenure-{self.process.pid}"
        script = 'mount -t cgroup2 cgroup2 "$1" && find "$2" -depth -type d -exec rmdir {} +'
        command = ["unshare", "--mount", "sh", "-c", script, "-", self.directory / "cgroup", mine]
        until(lambda: subprocess.run(command, check=False, capture_output=True).returncode == 0, "it is gone")
