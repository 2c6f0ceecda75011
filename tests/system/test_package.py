#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Debian packages under a real systemd: installed, started, upgraded, purged, and used as README.md says."""

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
from test_readme import blocks

TOP = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = ("tenure", "libtenure0", "libtenure-dev")
NEXT_VERSION = "0.1.0-1+next"
CONFIG = """[store]
driver = sqlite
path = /var/lib/tenure/tenure.db
[component:engine]
"""
# As the package of a server leaves it; the network is not this machine's own.
SERVER = """cd /usr/lib/postgresql && version=$(ls | tail -n 1)
[ -d /etc/postgresql/$version/main ] || pg_createcluster $version main
echo "listen_addresses = ''" >>/etc/postgresql/$version/main/postgresql.conf
systemctl start postgresql@$version-main"""
APT_GET = '#!/bin/sh\n[ "$1" = update ] || exec /usr/bin/apt-get "$@"\n'
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

    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory(prefix="t-")  # pylint: disable=consider-using-with
        cls.addClassCleanup(directory.cleanup)
        cls.packages = pathlib.Path(directory.name)
        build(cls.packages)

    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="t-")  # pylint: disable=consider-using-with
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        packages = self.directory / "added/packages"
        packages.mkdir(parents=True)
        for package in self.packages.glob("*.deb"):
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

    def test_readme(self):
        """README: the commands of the service, to the fail-over; PostgreSQL and apt's lists are there before"""
        self.sh(SERVER)
        self.machine.write("/usr/local/bin/apt-get", APT_GET, 0o755)
        said = [self.sh(f"cd /packages\n{block}") for block in blocks("A service on Debian 12, with PostgreSQL")]
        self.assertRegex(said[-2], r"\nengine +leader +a +1 .* working +ok +")
        self.assertRegex(said[-1], r"\nengine +leader +b +2 .* working +ok +")
        self.assertEqual(self.machine.show("tenured", "ActiveState"), "inactive")
        self.assertEqual(self.machine.run("systemctl", "--failed", "--plain", "--no-legend"), "")


if __name__ == "__main__":
    main()
