#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The worker of src/examples in Go goes through what the one in Python does in these and all other tests."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import test_pauses
import test_resume
from case import PostgresTest, main
from replica import WORKER

GO = WORKER.parents[1] / "go/worker.go"


@unittest.skipUnless(shutil.which("go"), "no Go is installed")
class GoTest(PostgresTest):
    patience = 3  # it runs beside other tests

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        directory = pathlib.Path(tempfile.mkdtemp(prefix="g-", dir=os.environ.get("TENURE_TEST_SHARED")))
        cls.addClassCleanup(shutil.rmtree, directory, True)
        cls.program = directory / "worker"
        environment = {**os.environ, "GOCACHE": str(directory / "cache"), "GO111MODULE": "off"}
        subprocess.run(["go", "vet", GO], check=True, env=environment)
        subprocess.run(["go", "build", "-o", cls.program, GO], check=True, env=environment)

    def worker(self, *words, **options):
        return super().worker(*words, **{"command": [self.program], **options})

    lead = test_resume.ResumeTest.lead
    pair = test_pauses.PausesTest.pair
    test_killed_and_restarted = test_resume.ResumeTest.test_killed_and_restarted
    test_killed_for_good = test_resume.ResumeTest.test_killed_for_good
    test_frozen_daemon = test_pauses.PausesTest.test_frozen_daemon
    test_frozen_replica = test_pauses.PausesTest.test_frozen_replica

    def test_worker_killed(self):
        """W14, S2: killed, another leads; told to end, it stops, and leads again"""
        _, (first, second) = self.pair()
        leader = self.worker(first)
        leader.wait("granted", term=1)
        standby = self.worker(second).wait_joined()
        leader.kill()
        standby.wait("granted", term=2)
        self.assertEqual(second.ctl("resign", "engine", "--cooldown", "1ms").returncode, 0)
        standby.wait("revoked", reason="resigned")
        standby.wait("stopped", term=2)
        standby.wait("granted", term=3)


if __name__ == "__main__":
    main(at_once=3)
