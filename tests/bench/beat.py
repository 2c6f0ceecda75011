# SPDX-License-Identifier: Apache-2.0
"""beat.py FILE: a worker that appends `beat NS 0 PID` each 10 ms, as long as it lives; the time is CLOCK_BOOTTIME's."""

import os
import sys
import time

with open(sys.argv[1], "ab", buffering=0) as beats:
    while True:
        beats.write(b"beat %d 0 %d\n" % (time.clock_gettime_ns(time.CLOCK_BOOTTIME), os.getpid()))
        time.sleep(0.01)
