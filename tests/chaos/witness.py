# SPDX-License-Identifier: Apache-2.0
"""witness.py SOCKET: a line `AT PID` as a process ends that had connected there, in nanoseconds of CLOCK_BOOTTIME.

It is the kernel that closes what a killed process had open, so this is what may be known of its death from outside.
"""

import os
import select
import socket
import struct
import sys
import time

try:  # before everybody else, or a successor would be seen first
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
except PermissionError:
    pass
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen(128)
poll = select.epoll()
poll.register(listener, select.EPOLLIN)
alive = {}
while True:
    for fd, _ in poll.poll():
        if fd == listener.fileno():
            connection, _ = listener.accept()
            pid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
            alive[connection.fileno()] = connection, pid
            poll.register(connection, select.EPOLLHUP)
        else:
            at = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            connection, pid = alive.pop(fd)
            connection.close()
            print(at, pid, flush=True)
