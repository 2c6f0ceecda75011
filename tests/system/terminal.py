# SPDX-License-Identifier: Apache-2.0
"""A real terminal, played by tmux: a shell in it, what is typed, and what the screen shows."""

import os
import re
import shlex
import subprocess

import processes
from replica import until

PROMPT = "ready>"


class Terminal:
    def __init__(self, directory, width=80, height=24):
        self.cleared = 0
        self.socket = directory / f"tmux-{len(list(directory.glob('tmux-*')))}"
        # Not the configuration of whoever runs this, of tmux or of the shell.
        settings = ("-e", f"PS1={PROMPT}", "-e", "LC_ALL=C.UTF-8")
        shell = ("bash", "--norc", "--noprofile", "--noediting")
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", width, "-y", height, *settings, *shell)
        self.wait(rf"\A{PROMPT}$")

    def tmux(self, *words):
        clean = {name: value for name, value in os.environ.items() if name not in ("TMUX", "NO_COLOR")}
        command = ["tmux", "-u", "-S", self.socket, *words]
        return subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True, env=clean).stdout

    def close(self):
        subprocess.run(["tmux", "-S", self.socket, "kill-server"], check=False, capture_output=True)

    def press(self, *keys):
        """Keys by tmux's names: q, Enter, C-c."""
        self.tmux("send-keys", *keys)

    def type(self, *command):
        """A command line; it is running, or has ended, when the screen says so."""
        self.type_text(" ".join(shlex.quote(str(word)) for word in command))

    def type_text(self, text):
        """Once the shell asks: what is typed before stands where its prompt is to be."""
        self.wait(rf"^{PROMPT}\Z")
        self.tmux("send-keys", "-l", "--", text)
        self.press("Enter")

    def clear(self):
        """Also of what is shown already: only a line that was not there before says that it is done."""
        self.cleared += 1
        self.type_text(f"clear; echo cleared {self.cleared}")
        self.wait(rf"\Acleared {self.cleared}\n{PROMPT}$")

    def resize(self, width, height):
        self.tmux("resize-window", "-x", width, "-y", height)

    def program(self):
        """The process that the shell runs."""
        return processes.descendants(int(self.tmux("display-message", "-p", "#{pane_pid}")))[-1]

    def screen(self, colors=False):
        """Its lines, the empty ones at the end left out; `colors`: with the escape sequences of tmux."""
        return self.tmux("capture-pane", "-p", *(["-e"] if colors else [])).rstrip("\n")

    def wait(self, *patterns, colors=False, without=()):
        """Until all the patterns are found on one screen, and none of the others; returns it."""
        shown = [""]

        def found():
            shown[0] = self.screen(colors)
            good = all(re.search(pattern, shown[0], re.M) for pattern in patterns)
            return good and not any(re.search(pattern, shown[0], re.M) for pattern in without)

        try:
            until(found, f"{patterns} on the screen", every=0.02)
        except AssertionError as error:
            raise AssertionError(f"{error}\nwithout {without}\n{shown[0]}") from None
        return shown[0]
