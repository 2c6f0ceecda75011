# SPDX-License-Identifier: Apache-2.0
"""A daemon that tells what a test wants: for what a real one does not show on purpose."""

import socket
import threading

from events import now

SAFE = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~:/@+,-"


def encode(value):
    return "".join(char if char in SAFE else "".join(f"%{byte:02X}" for byte in char.encode()) for char in str(value))


def line(word, **fields):
    return " ".join([word, *(f"{key}={encode(value)}" for key, value in fields.items())]) + "\n"


def row(component="engine", **fields):
    """What a daemon of this version says of a component; None: a field that an older one does not send."""
    usual = {
        "component": component,
        "role": "idle",
        "leader": "",
        "term": 0,
        "since_ms": 0,
        "ttl_ms": 0,
        "worker": "none",
        "workers": 0,
        "store": "ok",
        "error": "",
        "node": "host-a",
        "group": "",
        "paused": "",
        "candidates": "",
        "reason": "",
        "message": "",
    }
    return {key: value for key, value in {**usual, **fields}.items() if value is not None}


class FakeDaemon:
    def __init__(self, path):
        self.path = str(path)
        self.rows = [row()]
        self.lock = threading.Lock()
        self.watchers = []
        self.heard = 0  # requests, answered or not
        self.asked_at = []  # when somebody asked for the status
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        self.peers = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for peer in self.peers:
            peer.close()

    def show(self, *rows):
        """What is so from now on; who watches is told of the leaders."""
        with self.lock:
            self.rows = list(rows)
            for peer in self.watchers:
                self._send(peer, "".join(map(self._leader, self.rows)))

    @staticmethod
    def _leader(fields):
        return line("leader", component=fields["component"], node=fields["leader"], term=fields["term"])

    @staticmethod
    def _send(peer, text):
        try:
            peer.sendall(text.encode())
        except OSError:
            pass

    def _accept(self):
        while True:
            try:
                peer = self.listener.accept()[0]
            except OSError:
                return
            self.peers.append(peer)
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer):
        with peer.makefile() as lines:
            try:
                for request in lines:
                    word, *fields = request.split()
                    self.heard += 1
                    with self.lock:
                        self._send(peer, self._answer(peer, word, dict(field.split("=", 1) for field in fields)))
            except OSError:
                pass
        with self.lock:
            self.watchers = [watcher for watcher in self.watchers if watcher is not peer]

    def _answer(self, peer, word, fields):
        asked = [known for known in self.rows if fields.get("component") in (None, known["component"])]
        if word == "hello":
            return line("ok", version=1, node="host-a")
        if not asked:
            return line("error", code="unknown-component", message="not configured here")
        if word == "status":
            self.asked_at.append(now())
            return "".join(line("row", **known) for known in asked) + line("ok")
        self.watchers.append(peer)
        return line("ok") + "".join(map(self._leader, asked))
