"""500 clients, 2,000 names and 300 requests/s: the page stays fluid. Over a made-up server, by Chromium's own trace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import Mock
from tests.browser.mock_server import TOKEN
from tests.browser.visit import Visit, visiting

pytestmark = pytest.mark.alone

LONGEST_MS = 100
CROWD = ("--clients", "500", "--names", "2000", "--rate", "300")


@pytest.fixture
def visit(chromium: Browser, mock: Mock) -> Iterator[Visit]:
    yield from visiting(chromium, mock(*CROWD))


def longest_task_ms(trace: bytes) -> float:
    """Of the page's main thread, in its own CPU time: what other programs of the machine take is not counted."""
    events = json.loads(trace)["traceEvents"]
    mains = {(e["pid"], e["tid"]) for e in events if e.get("args", {}).get("name") == "CrRendererMain"}
    tasks = [
        e.get("tdur", e["dur"]) / 1000
        for e in events
        if e["name"].endswith("RunTask") and e.get("ph") == "X" and (e["pid"], e["tid"]) in mains
    ]
    assert len(tasks) > 100, "the trace has no tasks"
    return max(tasks)


@pytest.mark.parametrize("view", ["overview", "clients", "routes", "requests"])
def test_no_task_takes_long(visit: Visit, chromium: Browser, view: str, tmp_path: Path) -> None:
    page = visit.log_in(TOKEN, "#/settings").page
    chromium.start_tracing(page=page, path=tmp_path / "trace.json", categories=["toplevel", "devtools.timeline"])
    visit.go(view)
    if view == "requests":
        rows = page.locator(".vlist-row:visible")
        visit.until("+document.querySelector('.vlist-row')?.getAttribute('aria-setsize') > 900")
        page.mouse.move(700, 500)
        page.mouse.wheel(0, 4000)
        page.get_by_placeholder("Path contains").fill("orders")
        visit.until("+document.querySelector('.vlist-row')?.getAttribute('aria-setsize') < 600")
        assert 5 < rows.count() < 60
    elif view == "overview":
        visit.until("document.querySelectorAll('canvas').length === 4")
        page.wait_for_timeout(2500)  # two or three samples
    else:
        search = page.get_by_role("searchbox").first
        search.fill("shop1")
        visit.until("document.querySelector('.tally').textContent.includes(' of ')")
        search.fill("")
        visit.until("document.querySelectorAll('tbody')[0].rows.length === 100")
        page.get_by_role("button", name="Show 100 more").first.click()
        visit.until("document.querySelectorAll('tbody')[0].rows.length === 200")
    longest = longest_task_ms(chromium.stop_tracing())
    print(f"{view}: longest task {longest:.0f} ms")
    assert longest < LONGEST_MS
