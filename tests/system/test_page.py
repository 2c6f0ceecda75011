#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The page at / in a real browser, on a desk and on a phone, light and dark; the photographs are in B/photographs."""

import base64
import contextlib
import datetime
import hashlib
import re
import sqlite3
import struct
import unittest

import browser
import replica
from case import SystemTest, main
from http_client import ask
from postgres import free_port
from replica import Memory, until

PHOTOGRAPHS = replica.BUILD / "photographs"
SCREENS = {"desk": (1280, 800), "phone": (390, 844)}
EVIL = "<img src=//192.0.2.1/x onerror=x()><script>x()</script>&amp;\"'"
# Texts that nobody can read: too small, too little contrast to what is behind them (WCAG AA), or cut off.
UNREADABLE = """
(() => {
    const channels = text => text.match(/[0-9.]+/g).map(Number);
    const luminance = rgb => rgb.slice(0, 3).map(value => value / 255)
        .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
        .reduce((sum, value, i) => sum + value * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = element => {
        for (; element; element = element.parentElement) {
            const colour = channels(getComputedStyle(element).backgroundColor);
            if (colour.length == 3 || colour[3] == 1) return colour;
        }
        return [255, 255, 255];
    };
    const unreadable = element => {
        const style = getComputedStyle(element);
        const pair = [luminance(channels(style.color)), luminance(behind(element))].sort((a, b) => b - a);
        const box = element.getBoundingClientRect();
        return parseFloat(style.fontSize) < 11.5 || (pair[0] + 0.05) / (pair[1] + 0.05) < 4.5
            || (box.width > 0 && (box.right > innerWidth || box.left < 0));
    };
    const texts = [...document.body.querySelectorAll('*')].filter(element => !element.closest('svg') &&
        [...element.childNodes].some(node => node.nodeType == 3 && node.data.trim()));
    return [texts.length, texts.filter(unreadable).map(element => element.outerHTML)];
})()
"""
ROWS = """
[...document.querySelectorAll('tbody tr')].map(row => Object.fromEntries(
    [...row.cells].map(cell => [cell.title, cell.innerText.trim()])))
"""


def size_of(png):
    return struct.unpack(">II", png[16:24])


def hours_ago(hours):
    """As the database has it."""
    return (datetime.datetime.utcnow() - datetime.timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class DaemonTest(SystemTest):
    def test_policy(self):
        """A browser may load nothing for it and run nothing in it but its style, which the policy names by its hash"""
        one = self.replica(store=Memory(), http=self.directory / "http").start()
        reply = ask(one.http, "/")
        self.assertEqual((reply.status, reply.headers["Content-Type"]), (200, "text/html; charset=utf-8"))
        style = re.search("<style>(.*)</style>", reply.body, re.S).group(1)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        self.assertEqual(
            reply.headers["Content-Security-Policy"],
            f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'",
        )
        self.assertNotRegex(reply.body, r"<script|<link|<img|<iframe| style=| on\w+=|://")
        for path in ("/status", "/leader/engine", "/nothing"):
            policy = ask(one.http, path).headers["Content-Security-Policy"]
            self.assertEqual(policy, "default-src 'none'; frame-ancestors 'none'")
        head = ask(one.http, "/", "HEAD")
        self.assertEqual((head.status, head.body), (200, ""))


    def test_operators_come_next(self):
        """Who pauses the fleet while the history is being read for the page waits for that, and is not refused"""
        one = self.replica(http=self.directory / "http").start()
        with contextlib.closing(sqlite3.connect(one.store.path, isolation_level=None)) as database:
            database.execute("BEGIN EXCLUSIVE")
            ask(one.http, "/")
            operator = self.client(one)
            request = operator.say("pause")
            self.assertEqual(one.ask("check component=engine").word, "ok")  # the pause was taken before
            database.execute("ROLLBACK")
        self.assertEqual(operator.answer_to(request).word, "ok")
        self.assertEqual(one.status()["paused"], one.name)


@unittest.skipUnless(browser.PROGRAM, "no chromium is installed")
class PageTest(SystemTest):
    @classmethod
    def setUpClass(cls):
        directory = cls.class_directory()
        cls.browser = browser.Browser(directory)
        cls.addClassCleanup(cls.browser.close)

    def setUp(self):
        super().setUp()
        self.browser.begin()
        self.store = self.sqlite()
        self.replicas_by_name = {}
        for name in ("host-a", "host-b", "host-c"):
            http = f"127.0.0.1:{free_port()}"
            made = self.replica(name, self.store, components=("discovery", "engine", "counter"), http=http)
            self.replicas_by_name[name] = made.start()
        self.one = self.replicas_by_name["host-a"]

    def lead(self, host, *components):
        for component in components:
            self.client(self.replicas_by_name[host], component).wait("granted")

    def rows(self):
        return {row["Component"]: row for row in self.browser.run(ROWS)}

    def until_shown(self, component, **cells):
        """The page brings it by itself."""
        cells = cells.items()
        return until(lambda: cells <= self.rows().get(component, {}).items(), f"{component}: {cells}", every=0.1)

    def test_photographs(self):
        """Who leads, who does not, in red; readable on each screen; it renews itself, and asks nobody else"""
        self.lead("host-a", "engine")
        self.lead("host-b", "discovery")
        self.browser.look(*SCREENS["desk"], "light")
        self.browser.open(f"http://{self.one.http}/")
        self.until_shown("engine", Leader="host-a", Term="1")
        self.until_shown("discovery", Leader="host-b", Term="1", Here="idle\nworker none")
        self.until_shown("counter", Leader="nobody", **{"Last 24 hours": "no history"})
        self.assertRegex(self.rows()["engine"]["Here"], r"^leader, valid for [12]\.\d s\nworker working$")
        self.assertRegex(self.rows()["engine"]["Since"], r"^\d+\.\d s$")
        self.assertEqual(self.browser.run("document.title"), "1 without a leader: Tenure at host-a")
        backgrounds = {self.photograph(screen, scheme) for screen in SCREENS for scheme in ("light", "dark")}
        self.assertEqual(len(backgrounds), 2, "light and dark are not the same")
        self.assert_quiet()

        self.lead("host-c", "counter")
        self.until_shown("counter", Leader="host-c")
        self.assertEqual(self.browser.run("document.querySelectorAll('.gone, .alarm').length"), 0)
        self.assertEqual(self.browser.run("document.title"), "Tenure at host-a")

    def photograph(self, screen, scheme):
        """Returns the colour of the page."""
        self.browser.look(*SCREENS[screen], scheme)
        data = self.browser.photograph(PHOTOGRAPHS / f"{screen}-{scheme}.png")
        self.assertEqual(size_of(data), SCREENS[screen])
        texts, unreadable = self.browser.run(UNREADABLE)
        self.assertGreater(texts, 20)
        self.assertEqual(unreadable, [], (screen, scheme))
        self.assertLessEqual(self.browser.run("document.documentElement.scrollWidth"), SCREENS[screen][0])
        self.assert_red("counter", True)
        self.assert_red("engine", False)
        return self.browser.run("getComputedStyle(document.body).backgroundColor")

    def assert_red(self, component, red):
        """More red than green and blue together, on its way from there to white or to black."""
        colour = self.browser.run(
            f"[...document.querySelectorAll('tbody tr')].filter(row => row.cells[0].innerText == '{component}')"
            ".map(row => getComputedStyle(row.cells[1]).color)[0]"
        )
        values = [int(value) for value in re.findall(r"\d+", colour)]
        self.assertEqual(values[0] > 1.5 * max(values[1:]), red, (component, colour))

    def assert_quiet(self):
        """Nothing on the console, and nothing asked for but the page."""
        self.assertEqual(self.browser.complaints(), [])
        urls = {params["request"]["url"] for params in self.browser.events("Network.requestWillBeSent")}
        self.assertEqual(urls, {f"http://{self.one.http}/"})

    def database(self):
        database = sqlite3.connect(self.store.path, timeout=10, isolation_level=None)
        return contextlib.closing(database)

    def test_history(self):
        """The last day as bars, a gap in red; what somebody wrote into the database is text and nothing else"""
        self.lead("host-a", "engine")
        past = [("discovery", 1, "host-b", 30, 8, "yielded"), ("discovery", 2, EVIL, 7, 2, EVIL[:20])]
        with self.database() as database:
            for component, term, node, began, ended, reason in past:
                database.execute(
                    "INSERT INTO tenure_history (component, term, node, began_at, ended_at, reason)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    (component, term, node, hours_ago(began), hours_ago(ended), reason),
                )
        self.client(self.replicas_by_name["host-c"], "engine")
        self.assertEqual(self.replicas_by_name["host-b"].ctl("pause").returncode, 0)
        self.browser.look(*SCREENS["desk"], "dark")
        self.browser.open(f"http://{self.one.http}/")
        until(lambda: self.browser.run("document.querySelectorAll('svg').length") == 2, "two timelines", every=0.1)
        widths = self.browser.run(
            "[...document.querySelectorAll('tbody tr')[0].querySelectorAll('rect')]"
            ".map(bar => [bar.getAttribute('class'), Math.round(bar.getAttribute('width') / 60)])"
        )
        self.assertEqual(sorted(widths), [["n0", 5], ["n2", 16], ["off", 1], ["off", 2]])
        self.assertIn(EVIL, self.browser.run("document.querySelector('footer').innerText"))
        self.assertEqual(self.browser.run("document.querySelectorAll('img, script').length"), 0)
        seen = until(lambda: self.rows()["engine"]["Candidates"] != "none elsewhere" and self.rows(), "it", every=0.1)
        self.assertRegex(seen["engine"]["Candidates"], r"^host-c\nseen \d+\.\d s ago$")
        notes = self.browser.run("[...document.querySelectorAll('.note')].map(note => note.innerText)")
        self.assertIn("The fleet is paused, by host-b: leaders stay, nobody new is elected", notes)
        self.browser.photograph(PHOTOGRAPHS / "history.png")
        _, unreadable = self.browser.run(UNREADABLE)
        self.assertEqual(unreadable, [])
        self.assert_quiet()


if __name__ == "__main__":
    main()
