# SPDX-License-Identifier: Apache-2.0
"""HTTP as a probe speaks it, to a port or to a Unix socket."""

import collections
import http.client
import socket

Reply = collections.namedtuple("Reply", "status headers body")


def connect(where, timeout=10):
    """A stream to HOST:PORT or to the path of a Unix socket."""
    where = str(where)
    if not where.startswith("/"):
        host, _, port = where.rpartition(":")
        return socket.create_connection((host.strip("[]"), int(port)), timeout)
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(timeout)
    try:
        peer.connect(where)
    except OSError:
        peer.close()
        raise
    return peer


def ask(where, path, method="GET", timeout=10):
    connection = http.client.HTTPConnection("tenured")
    connection.sock = connect(where, timeout)
    try:
        connection.request(method, path)
        reply = connection.getresponse()
        return Reply(reply.status, dict(reply.getheaders()), reply.read().decode())
    finally:
        connection.close()


def read_all(peer):
    """What comes until the end of the connection."""
    data = b""
    try:
        while chunk := peer.recv(65536):
            data += chunk
    except ConnectionResetError:
        pass
    return data
