# SPDX-License-Identifier: Apache-2.0
"""Tables of measured figures: to the terminal, and into RESULTS.md, whose other sections stay as they are."""

import os
import pathlib
import platform
import re
import statistics
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
RESULTS = HERE / "RESULTS.md"
PACKAGES = ["libpq5", "etcd-server", "zookeeper", "python3-kazoo", "patroni"]  # of what else is measured
HEAD = """\
# Results

Measured by `make bench`, each section by `make bench ONLY=` its name; "consistency" and "load" by the targets of those
names, and chaos by `make chaos REPORT=yes STORE=` the name of the store. A figure is a median with the smallest and the
largest in brackets, and stands beside a rival or a floor that was measured in the same run. Sections of different
processors are not to be compared; the oldest do not name theirs, and some not their commit.
"""


def shown(number):
    """Three digits that matter."""
    if number >= 100:
        return f"{number:,.0f}"
    return f"{number:.2g}" if number < 0.1 else f"{number:.1f}" if number >= 10 else f"{number:.2f}"


def percentile(values, percent):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * percent / 100))]


def spread(values):
    """The median of some figures, with the smallest and the largest."""
    median = statistics.median(values)
    return shown(median) if len(values) == 1 else f"{shown(median)} [{shown(min(values))} – {shown(max(values))}]"


def verdict(held):
    return "met" if held else "**missed**"


def missed_by(names):
    """Met where there are none; they may have commas in them."""
    return verdict(not names) + (f" by {'; '.join(names)}" if names else "")


class Section:
    """What a benchmark found: a title, tables, remarks."""

    def __init__(self, name, title):
        self.name = name
        self.blocks = [f"## {name}: {title}"]
        self.begun = time.monotonic()  # both are the benchmark's, once it has ended
        self.load = os.getloadavg()[0]
        self.command = None  # by which it is made again: whoever writes it says that, too

    def table(self, head, rows):
        cells = [[str(cell) for cell in row] for row in [head, *rows]]
        widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
        lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in cells]
        lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
        self.blocks.append("\n".join(lines))

    def say(self, text):
        self.blocks.append(text)

    def draw(self, about, across):
        """Shows the first table as a picture, too."""
        curves(self.name, across, "\n\n".join(self.blocks))
        self.say(f"![{about}]({self.name}.svg)")

    def text(self):
        assert self.command, f"{self.name}: by which command?"
        took = time.monotonic() - self.begun
        busy = f"load average {self.load:.1f} before and {os.getloadavg()[0]:.1f} after"
        made = f"{time.strftime('%Y-%m-%d')}, {COMMIT}, {took:.0f} s, {processor()}, {busy}"
        return "\n\n".join([*self.blocks, f"`{self.command}`. {made}."]) + "\n"


def output(*command):
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "absent"
    return (result.stdout or result.stderr).strip().splitlines()[0]


# Of what is measured, before that is written here; `-dirty` where files of it were changed.
COMMIT = output("git", "-C", str(HERE), "describe", "--always", "--dirty")


def processor():
    info = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = re.search(r"model name\s*: (.*)", info)
    return f"{os.cpu_count()} cores ({model[1] if model else platform.machine()})"


def machine():
    """What the last of all was measured on, in general terms."""
    memory = int(re.search(r"MemTotal:\s*(\d+)", pathlib.Path("/proc/meminfo").read_text(encoding="ascii"))[1])
    versions = {
        "compiler": output("gcc", "--version"),
        "PostgreSQL": output("psql", "--version"),
        "MariaDB": output("mariadb", "--version"),
        "packages": output("dpkg-query", "-W", "-f", "${Package} ${Version}; ", *PACKAGES).rstrip(";"),
    }
    return (
        "## Machine\n\n"
        f"{processor()}, {memory / 2**20:.1f} GiB of memory, Linux {platform.release()}.\n\n"
        + "\n".join(f"- {name}: {version}" for name, version in versions.items())
        + "\n"
    )


def read_sections():
    """Titles and texts in the order they are in."""
    text = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else ""
    parts = re.split(r"^(?=## )", text, flags=re.M)
    return {key(part): part.strip() + "\n" for part in parts if part.startswith("## ")}


def key(part):
    return re.match(r"## ([^:\n]*)", part)[1]


def write(sections, order):
    """Puts these sections in the place of their older ones; what is not ours goes last, as it was."""
    present = {**read_sections(), "Machine": machine(), **{section.name: section.text() for section in sections}}
    names = ["Machine", *(name for name in order if name in present)]
    names += [name for name in present if name not in names]
    RESULTS.write_text("\n".join([HEAD, *(present[name] for name in names)]), encoding="utf-8")


def plot(name, title, unit, series):
    """An SVG with a curve for each (label, values): how many per cent took no longer than that."""
    script = [
        f"set title '{title}'",
        f"set xlabel '{unit}'",
        "set ylabel 'per cent done by then'",
        "set logscale x",
        "plot " + ", ".join(f"'-' with steps {style(i)} title \"{label}\"" for i, (label, _) in enumerate(series)),
    ]
    for _, values in series:
        values = sorted(values)
        script += [f"{value} {100 * (i + 1) / len(values)}" for i, value in enumerate(values)] + ["e"]
    draw(name, script, len(series))


def curves(name, across, part):
    """An SVG of the first table of a section's text, a curve for each row: medians with the smallest and the largest,
    by the numbers that its columns begin with."""
    title = re.match(r"## [^:]*: (.*)", part)[1]
    lines = [line.strip("|").split("|") for line in part.split("\n\n")[1].splitlines()]
    head, _, *rows = [[cell.strip() for cell in line] for line in lines]
    places = [numbers(cell)[0] for cell in head[1:]]
    names = [row[0].replace("`", "") for row in rows]
    script = [
        f'set title "{title}"',
        f"set xlabel '{across}'",
        "set ylabel 'ms'",
        "set logscale xy",
        "set xtics (" + ", ".join(f"'{place:,g}' {place:g}" for place in places) + ")",
        "set offsets graph 0.05, graph 0.05, 0, 0",
        "plot " + ", ".join(f"'-' with yerrorlines {style(i)} title \"{label}\"" for i, label in enumerate(names)),
    ]
    for row in rows:
        found = [(place, numbers(cell)) for place, cell in zip(places, row[1:]) if cell]
        # Of a single figure there is only the median.
        script += [f"{place} {times[0]} {min(times)} {max(times)}" for place, times in found] + ["e"]
    draw(name, script, len(rows))


def numbers(cell):
    return [float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*\.?\d*", cell)]


def style(number):
    """Colours come again after eight curves: dashed then."""
    return f"dashtype {1 + number // 8}"


def draw(name, script, count):
    """The names of so many curves are below them."""
    picture = HERE / f"{name}.svg"
    script = [
        f"set terminal svg noenhanced size 960,{360 + 19 * count} background 'white'",
        f"set output '{picture}'",
        "set key outside bottom center horizontal maxcols 2 reverse Left",
        "set grid",
        *script,
    ]
    subprocess.run(["gnuplot"], input="\n".join(script) + "\n", text=True, check=True)
    picture.write_text(re.sub(r"[ \t]+$", "", picture.read_text(encoding="utf-8"), flags=re.M), encoding="utf-8")
