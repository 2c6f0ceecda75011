# SPDX-License-Identifier: Apache-2.0
"""The picture of a run: a row a component, bars where a node led, and below when what was wrong."""

import html

MS = 1_000_000
LEFT, WIDTH, ROW, BAR = 220, 1200, 26, 18
STYLE = """
svg { background: #ffffff; color: #1d2733; font: 12px sans-serif; }
text { fill: currentColor; } .axis { stroke: #9aa5b1; stroke-width: 1; }
.n0 { fill: #2f6fde; } .n1 { fill: #d9822b; } .n2 { fill: #2a9d62; } .n3 { fill: #8e5bd0; } .n4 { fill: #c2415b; }
.f { fill: #6b7785; } .shade { fill: #6b7785; opacity: 0.12; }
@media (prefers-color-scheme: dark) {
  svg { background: #14181d; color: #e3e8ee; }
  .n0 { fill: #6ea0ff; } .n1 { fill: #f0a95b; } .n2 { fill: #58c98f; } .n3 { fill: #b792f0; } .n4 { fill: #ee7c92; }
  .f { fill: #a6b0bb; } .shade { fill: #a6b0bb; opacity: 0.16; }
}
"""


class Picture:
    def __init__(self, begin, end):
        self.begin, self.span = begin, max(end - begin, 1)
        self.items = []
        self.y = 40

    def x(self, at):
        return LEFT + WIDTH * min(max(at - self.begin, 0), self.span) / self.span

    def text(self, x, y, words, anchor="start"):
        self.items.append(f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}">{html.escape(words)}</text>')

    def bar(self, kind, begin, end, title, height=BAR, y=None):
        x = self.x(begin)
        self.items.append(
            f'<rect class="{kind}" x="{x:.1f}" y="{self.y if y is None else y}" height="{height}" '
            f'width="{max(self.x(end) - x, 0.7):.1f}"><title>{html.escape(title)}</title></rect>'
        )

    def row(self, name):
        self.text(LEFT - 8, self.y + 13, name, "end")


def legend(picture, nodes):
    for index, node in enumerate(nodes):
        picture.items.append(f'<rect class="n{index % 5}" x="{LEFT + 70 * index}" y="12" width="14" height="14"/>')
        picture.text(LEFT + 70 * index + 20, 24, f"node {node}")


def axis(picture, top):
    """A line a minute, or every ten seconds of a short run."""
    seconds = picture.span / MS / 1000
    step = next((step for step in (10, 60, 300, 600) if seconds / step <= 14), 3600)
    for mark in range(0, int(seconds) + 1, step):
        x = picture.x(picture.begin + mark * 1000 * MS)
        ends = f'x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{picture.y}"'
        picture.items.append(f'<line class="axis" {ends} opacity="0.5"/>')
        picture.text(x, picture.y + 16, f"{mark // 60}:{mark % 60:02d}", "middle")


def draw(history):
    """An SVG for light and for dark pages."""
    picture = Picture(history.begin, history.end)
    legend(picture, history.nodes)
    top = picture.y
    names = sorted({fault.name for fault in history.faults})
    components = [component for members in history.leases.values() for component in members]
    for fault in history.faults:
        picture.bar("shade", fault.begin, fault.end, fault.name, ROW * len(components))
    for component in components:
        picture.row(component)
        for run in (run for run in history.runs if run.component == component):
            kind = f"n{history.nodes.index(run.node) % 5}"
            picture.bar(kind, run.first, run.last, f"{run.who()}, {(run.last - run.first) / MS:.0f} ms")
        picture.y += ROW
    picture.y += 10
    for name in names:
        picture.row(name)
        for fault in (fault for fault in history.faults if fault.name == name):
            about = f"{name} at {fault.where}, {(fault.end - fault.begin) / MS:.0f} ms"
            picture.bar("f", fault.begin, fault.end, about, 8, picture.y + 5)
        picture.y += ROW - 8
    axis(picture, top)
    size = f"{LEFT + WIDTH + 30} {picture.y + 30}"
    return "\n".join(
        [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}">', f"<style>{STYLE}</style>"]
        + [*picture.items, "</svg>", ""]
    )
