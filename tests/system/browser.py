# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium: what it shows, asks for and complains of, by its debugging protocol over a pipe."""

import base64
import fcntl
import itertools
import json
import os
import re
import shutil
import subprocess
import threading

import processes
from events import Feed
from replica import until

PROGRAM = shutil.which("chromium")
OPTIONS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars --remote-debugging-pipe"
).split()


class Browser:
    """One window of it."""

    def __init__(self, directory):
        theirs, self.requests = self.pipe()
        self.replies, answers = self.pipe()
        # The protocol is on descriptors 3 and 4.
        command = ["bash", "-c", 'exec 3<&"$1" 4>&"$2"; shift 2; exec "$@"', "bash", theirs, answers, PROGRAM, *OPTIONS]
        home = {"HOME": str(directory), "XDG_RUNTIME_DIR": str(directory)}
        self.process = processes.spawn(
            [*command, f"--user-data-dir={directory / 'profile'}", "about:blank"],
            env={**os.environ, **home},
            pass_fds=(theirs, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs)
        os.close(answers)
        self.numbers = itertools.count(1)
        self.messages = Feed("browser")
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()
        target = self.call("Target.createTarget", session=None, url="about:blank")["targetId"]
        self.begun = 0
        self.session = self.call("Target.attachToTarget", session=None, targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(domain + ".enable")

    @staticmethod
    def pipe():
        """Both ends, out of the way of the descriptors that are wanted."""
        ends = os.pipe()
        moved = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 20) for end in ends]
        for end in ends:
            os.close(end)
        return moved

    def _read(self):
        data = b""
        while chunk := os.read(self.replies, 1 << 20):
            *messages, data = (data + chunk).split(b"\0")
            for message in messages:
                self.messages.add(json.loads(message))
        self.messages.end()

    def ask(self, method, session="", **parameters):
        number = next(self.numbers)
        request = {"id": number, "method": method, "params": parameters}
        if session is not None:
            request["sessionId"] = session or self.session
        after = self.messages.mark()
        data = json.dumps(request).encode() + b"\0"
        while data:
            data = data[os.write(self.requests, data) :]
        return self.messages.wait_for(lambda m: m.get("id") == number, f"answer to {method}", 30, after)

    def call(self, method, session="", **parameters):
        reply = self.ask(method, session, **parameters)
        assert "error" not in reply, (method, reply)
        return reply["result"]

    def begin(self):
        """What happened before is no more looked at."""
        self.call("Page.navigate", url="about:blank")
        self.begun = self.messages.mark()

    def events(self, method):
        messages = list(self.messages.items)[self.begun :]
        return [message["params"] for message in messages if message.get("method") == method]

    def wait_loaded(self, after):
        return self.messages.wait_for(lambda m: m.get("method") == "Page.loadEventFired", "page", 30, after)

    def open(self, url):
        after = self.messages.mark()
        self.call("Page.navigate", url=url)
        self.wait_loaded(after)

    def look(self, width, height, scheme):
        """As on a screen of that size, with light or dark."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=scheme)

    def run(self, expression):
        """The value of an expression in the page: in all of it, also where it is just being replaced by the next."""
        whole = f"document.readyState == 'complete' ? [({expression})] : []"
        return until(lambda: self.evaluate(whole), f"value of {expression}")[0]

    def evaluate(self, expression):
        reply = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        if re.search("context|navigated", reply.get("error", {}).get("message", "")):
            return None
        assert "error" not in reply and "exceptionDetails" not in reply["result"], reply
        return reply["result"]["result"]["value"]

    def photograph(self, path):
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return data

    def complaints(self):
        """What the console has, and what did not run."""
        entries = [params["entry"] for params in self.events("Log.entryAdded")]
        return entries + self.events("Runtime.consoleAPICalled") + self.events("Runtime.exceptionThrown")

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.requests)
        self.thread.join()
        os.close(self.replies)
