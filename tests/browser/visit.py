"""A person at the admin page, in a real Chromium: what they do, and what must never happen meanwhile."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

from tests.stage.chromium import QUIET
from tests.stage.process import ROOT

CHROMIUM = shutil.which("chromium") or "chromium"
FLAGS = [flag for flag in QUIET if flag != "--headless"]  # Playwright's own
SHOTS = Path(os.environ.get("SLUICE_SCREENSHOTS") or ROOT / ".artifacts" / "screenshots")
PATIENCE_MS = 20000
WIDE, NARROW = (1440, 900), (360, 780)
VIEWS = ("overview", "clients", "routes", "requests", "add", "certificates", "log", "settings")


class Visit:
    """One browser of one person; `end` tells what went wrong behind their back."""

    def __init__(self, browser: Browser, url: str, size: tuple[int, int] = WIDE, **more: Any) -> None:
        self.url = url
        self.size = size
        self.problems: list[str] = []
        self.forgiven: list[str] = []  # patterns of console messages that a test provokes
        self.context: BrowserContext = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            ignore_https_errors=True,
            timezone_id="Europe/Amsterdam",
            locale="en-GB",
            **more,
        )
        self.context.set_default_timeout(PATIENCE_MS)
        self.page: Page = self.context.new_page()
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.problems.append(f"script failed: {error}"))
        self.page.on("request", self._request)
        self.page.on("dialog", lambda dialog: (self.problems.append(f"dialog: {dialog.message}"), dialog.dismiss()))

    def _console(self, message: ConsoleMessage) -> None:
        text = f"{message.type}: {message.text} {message.location.get('url', '')}"
        if message.type in ("error", "warning") and not any(re.search(known, text) for known in self.forgiven):
            self.problems.append(text)

    def _request(self, request: Request) -> None:
        if request.url.startswith(("blob:", "data:")):
            return
        if urlsplit(request.url).netloc != urlsplit(self.url).netloc:
            self.problems.append(f"asked another host: {request.url}")

    def open(self, fragment: str = "") -> Visit:
        self.page.goto(self.url + fragment)
        return self

    def log_in(self, token: str, fragment: str = "") -> Visit:
        self.open(fragment)
        self.page.get_by_label("Server's token").fill(token)
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector(".view h1")
        return self

    def go(self, view: str) -> Page:
        """To a view by its address, and until it is there."""
        self.page.evaluate("fragment => { location.hash = fragment }", f"#/{view}")
        name = re.split(r"[/?]", view)[0]
        self.page.wait_for_selector(f'[data-view="{name}"] h1', state="attached")
        self.until("!document.querySelector('.view > .loading, .detail-pane > .loading')")
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return self.page

    def until(self, expression: str) -> None:
        """Waits until it is true in the page. (Playwright's own way needs eval, which the page's policy forbids.)"""
        deadline = time.monotonic() + PATIENCE_MS / 1000
        while not self.page.evaluate(expression):
            assert time.monotonic() < deadline, f"never true: {expression}"
            self.page.wait_for_timeout(40)

    def shot(self, name: str) -> None:
        """A picture for people, in a folder that git ignores."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{name}.png")

    def overflow(self) -> list[str]:
        """What stands out over the right edge; nothing where the page does not scroll sideways."""
        found: list[str] = self.page.evaluate(
            """() => document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll('*')]
               .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
               .map(e => `${e.tagName}.${e.className}`).concat(['the page scrolls sideways'])"""
        )
        return found

    def end(self) -> list[str]:
        problems, self.problems = self.problems, []
        self.context.close()
        return problems


def visiting(browser: Browser, url: str, size: tuple[int, int] = WIDE, **more: Any) -> Iterator[Visit]:
    """For fixtures: the visit, and at its end the proof that nothing went wrong unseen."""
    visit = Visit(browser, url, size, **more)
    try:
        yield visit
    finally:
        problems = visit.end()
    assert not problems, problems
