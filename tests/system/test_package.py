#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Debian packages under a real systemd: installed, started, upgraded, purged."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from booted import Machine, unavailable
from case import main
from replica import until

TOP = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = ("tenure", "libtenure0", "libtenure-dev")
NEXT_VERSION = "0.1.0-1+next"
CONFIG = """[store]
driver = sqlite
path = /var/lib/tenure/tenure.db
[component:engine]
"""
# What a package may leave, or the machine writes by itself.
NOT_OURS = ("/var/lib/dpkg", "/var/cache", "/var/log", "/var/lib/systemd", "/proc", "/sys", "/dev", "/tmp", "/packages")


def run(*command, **options):
    result = subprocess.run(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options
    )
    if result.returncode != 0:
        raise AssertionError(f"{command}: {result.stdout}")
    return result.stdout


def build(directory):
    """The packages, and the one with the service a second time, as its next version."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    variables = [f"B={directory}", "MODE=release", "PACKAGES=mine", "DEB_BUILD_OPTIONS=nocheck"]
    run("nice", "make", "-C", TOP, *variables, "deb", env=plain)  # others measure beside it
    tree = directory / "next"
    run("dpkg-deb", "-R", next(directory.glob("tenure_*.deb")), tree)
    control = tree / "DEBIAN/control"
    version = next(line for line in control.read_text().splitlines() if line.startswith("Version: "))
    control.write_text(control.read_text().replace(version, f"Version: {NEXT_VERSION}"))
    run("dpkg-deb", "--root-owner-group", "-b", tree, directory / "next.deb")


@unittest.skipIf(unavailable(), unavailable())
@unittest.skipUnless(shutil.which("dh") and shutil.which("lintian"), "no debhelper or no lintian is installed")
class PackageTest(unittest.TestCase):
    seconds = 400

    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="t-")  # pylint: disable=consider-using-with
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        build(self.directory / "build")
        packages = self.directory / "added/packages"
        packages.mkdir(parents=True)
        for package in (self.directory / "build").glob("*.deb"):
            shutil.copy(package, packages)
        self.machine = Machine(self.directory / "machine", self.directory / "added")
        self.addCleanup(self.machine.halt)
        self.machine.boot()
        # Where this machine starts no services, that one does.
        self.sh("rm -f /usr/sbin/policy-rc.d")

    def sh(self, script):
        return self.machine.run("sh", "-ec", f"export DEBIAN_FRONTEND=noninteractive LC_ALL=C\n{script}")

    def files(self):
        pruned = " -o ".join(f"-path {path}" for path in NOT_OURS)
        return set(self.sh(f"find / \\( {pruned} \\) -prune -o -print").splitlines())

    def led(self):
        rows = json.loads(self.machine.run("tenurectl", "status", "-o", "json"))["components"]
        return rows[0] if rows[0]["role"] == "leader" and rows[0]["worker"] == "working" else None

    def pid(self, unit):
        return self.machine.show(unit, "MainPID")

    def start(self):
        self.machine.write("/etc/tenure/tenured.conf", CONFIG)
        self.machine.write("/etc/tenure/run/engine.conf", "COMMAND=/usr/bin/sleep infinity\n")
        self.sh("runuser -u tenure -- tenurectl init -c /etc/tenure/tenured.conf")
        self.sh("systemctl start tenured tenure-run@engine")
        return until(self.led, "it leads", timeout=20, every=0.05)

    def test_life(self):
        """Packages: quiet until configured, leading over an upgrade, gone when purged"""
        before = self.files()
        self.sh("dpkg -i /packages/tenure_*.deb /packages/libtenure0_*.deb /packages/libtenure-dev_*.deb")
        self.assertEqual(self.machine.show("tenured", "ActiveState"), "inactive")
        self.assertEqual(self.machine.show("tenured", "UnitFileState"), "enabled")
        self.assertEqual(self.machine.run("systemctl", "--failed", "--plain", "--no-legend"), "")
        self.assertEqual(self.sh("pkg-config --modversion tenure"), "0.1.0")

        led = self.start()
        daemon, worker = self.pid("tenured"), self.pid("tenure-run@engine")
        self.sh("dpkg -i /packages/next.deb")
        after = until(self.led, "it leads on", timeout=20, every=0.05)
        self.assertNotEqual(self.pid("tenured"), daemon)
        self.assertEqual(self.pid("tenure-run@engine"), worker)
        self.assertEqual((after["term"], after["leader"]), (led["term"], led["leader"]))
        self.assertNotIn("revok", self.sh("journalctl --sync; journalctl -o cat -u tenured -u tenure-run@engine"))

        self.sh("dpkg --remove tenure")
        for unit in ("tenured", "tenure-run@engine"):
            self.assertEqual(self.machine.show(unit, "ActiveState"), "inactive", unit)
        self.assertTrue({"/etc/tenure/tenured.conf", "/var/lib/tenure/tenure.db"} <= self.files())
        self.sh(f"dpkg --purge {' '.join(PACKAGES)}")
        self.assertEqual({path for path in self.files() - before if "tenure" in path}, set())


if __name__ == "__main__":
    main()
