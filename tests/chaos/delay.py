#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""delay.py FROM TO SECONDS: frames that arrive at one interface leave by the other, later; nothing else takes them."""

import collections
import select
import socket
import sys
import time

ETH_P_ALL = 3
SOL_PACKET, PACKET_VNET_HDR = 263, 15  # each frame with its checksum's state, for it may not have one yet
PACKET_OUTGOING = 4


def packets(interface):
    one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    one.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    one.bind((interface, ETH_P_ALL))
    return one


def main():
    source, target, seconds = packets(sys.argv[1]), packets(sys.argv[2]), float(sys.argv[3])
    waiting = collections.deque()
    while True:
        timeout = max(0, waiting[0][0] - time.monotonic()) if waiting else None
        if select.select([source], [], [], timeout)[0]:
            frame, address = source.recvfrom(1 << 17)
            if address[2] != PACKET_OUTGOING:
                waiting.append((time.monotonic() + seconds, frame))
        while waiting and waiting[0][0] <= time.monotonic():
            target.send(waiting.popleft()[1])


if __name__ == "__main__":
    main()
