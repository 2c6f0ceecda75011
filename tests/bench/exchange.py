# SPDX-License-Identifier: Apache-2.0
"""One exchange of the PostgreSQL driver, by how many components it is about."""

import statistics

from local import run
from replica import BUILD
from results import Section, spread

SIZES = {1: 40, 1000: 15, 10000: 5}
WORDS = {
    "renew": "renew",
    "poll": "poll: nothing changed within a lease",
    "poll-new": "poll: all changed a moment ago",
    "release": "release of all",
    "claim": "claim of all, free",
    "takeover": "claim of all from one that is dead",
    "plain-one": "floor: one row updated",
    "plain-select": "floor: all rows read",
    "plain-update": "floor: all rows updated, no history",
}


def exchange(case):
    found = {}
    for size, rounds in SIZES.items():
        database = f"exchange{size}"
        case.server.create(database)
        conninfo = case.server.conninfo(database, "postgres")
        lines = run(BUILD / "tests/bench/time_exchange", conninfo, size, rounds)
        found[size] = {name: [ns / 1e6 for ns in values] for name, values in lines.items()}
    section = Section("exchange", "one exchange with PostgreSQL, ms")
    section.table(
        ("", *(f"{size:,} components" for size in SIZES)),
        [(text, *(spread(found[size][word]) for size in SIZES)) for word, text in WORDS.items()],
    )
    most = found[max(SIZES)]
    floor = statistics.median(most["plain-update"])
    ratios = [f"{word} {statistics.median(most[word]) / floor:.1f}" for word in ("release", "claim", "takeover")]
    section.say(f"Times the floor of as many rows, at {max(SIZES):,} components: {', '.join(ratios)}.")
    section.draw("What each takes, by how many components it is about", "components")
    return section
