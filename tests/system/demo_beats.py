# SPDX-License-Identifier: Apache-2.0
"""What the demo's workers wrote: who held which component, from when to when."""

import dataclasses


@dataclasses.dataclass
class Run:
    """One worker process in one term. Times are nanoseconds of CLOCK_BOOTTIME; 0: not yet."""

    component: str
    replica: str
    term: int
    pid: int
    first: int = 0
    last: int = 0
    beats: int = 0
    over: int = 0
    longest_pause: int = 0

    def beat(self, at):
        self.first = self.first or at
        self.longest_pause = max(self.longest_pause, at - (self.last or at))
        self.last = at
        self.beats += 1


class Beats:
    """Reads what is appended to the files `COMPONENT.REPLICA` of a directory."""

    def __init__(self, directory, components, replicas):
        self.files = {
            (component, replica): open(directory / f"{component}.{replica}", "a+b", buffering=0)
            for component in components
            for replica in replicas
        }
        self.rest = dict.fromkeys(self.files, b"")
        self.runs = {}
        for file in self.files.values():
            file.seek(0)

    def close(self):
        for file in self.files.values():
            file.close()

    def read(self):
        for key, file in self.files.items():
            *lines, self.rest[key] = (self.rest[key] + file.read()).split(b"\n")
            for line in lines:
                self.take(*key, line.decode())

    def take(self, component, replica, line):
        word, at, term, pid = line.split()
        key = component, replica, int(term), int(pid)
        run = self.runs.setdefault(key, Run(*key))
        if word == "beat":
            run.beat(int(at))
        elif word == "over":
            run.over = int(at)

    def of(self, component):
        """The component's runs that had a beat, in the order of their first."""
        runs = (run for run in self.runs.values() if run.component == component and run.beats)
        return sorted(runs, key=lambda run: run.first)

    def latest(self, component):
        return (self.of(component) or [None])[-1]

    def count(self):
        return sum(run.beats for run in self.runs.values())

    def faults(self, components):
        """Sentences; none where every component had one holder at a time and terms that grow."""
        for component in components:
            held = None
            for run in self.of(component):
                if held and run.first <= held.last:
                    yield (
                        f"{component}: {held.replica} (term {held.term}) and {run.replica} (term {run.term}) "
                        f"both held it for {(min(held.last, run.last) - run.first) / 1e6:.3f} ms"
                    )
                if held and run.term <= held.term:
                    yield f"{component}: term {run.term} on {run.replica} came after {held.term} on {held.replica}"
                if not held or run.last > held.last:
                    held = run
