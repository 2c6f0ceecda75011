# SPDX-License-Identifier: Apache-2.0
"""Says what a busy machine does to everybody: a line `AT LATE CPU WALL`, in nanoseconds, each tenth of a second.

LATE: how much too late one who sleeps a moment went on, at most. WALL: how long one took to compute for CPU.
"""

import sys
import time

MOMENT_S = 0.005
MOMENTS = 20
COMPUTED_NS = 4_000_000  # more than a turn on a processor that others want as well


def now():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def sleep():
    start = now()
    time.sleep(MOMENT_S)
    return now() - start - int(MOMENT_S * 1e9)


def compute():
    start, cpu = now(), time.thread_time_ns()
    while time.thread_time_ns() - cpu < COMPUTED_NS:
        pass
    return time.thread_time_ns() - cpu, now() - start


while True:
    late = max(sleep() for _ in range(MOMENTS))
    sys.stdout.write(f"{now()} {late} {' '.join(map(str, compute()))}\n")
    sys.stdout.flush()
