"""Every view in both themes, on a phone and a wide screen: nothing stands out, axe-core finds nothing serious."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Mock
from tests.browser.mock_server import TOKEN
from tests.browser.visit import NARROW, VIEWS, WIDE, Visit, visiting
from tests.stage.process import ROOT

AXE = ROOT / ".cache" / "npm" / "axe-core-4.14.1" / "package" / "axe.min.js"  # scripts/test puts it there
MORE = ("requests/00000009", "requests/00000023", "compare/00000009/00000017")
ALL = (*VIEWS, *MORE)


@cache
def axe() -> str:
    assert AXE.exists(), "axe-core is missing: run scripts/test once"
    return AXE.read_text("utf-8")


def faults(page: Page, *rules: str) -> list[str]:
    """What axe-core calls serious or critical; with `rules` only those are looked at."""
    if not page.evaluate("typeof axe === 'object'"):
        page.evaluate(axe())
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if rules:
        options["runOnly"] = {"type": "rule", "values": rules}
    found = page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{fault['id']}: {node['html'][:160]} {node.get('failureSummary', '')[:200]}"
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]


@pytest.fixture(params=[WIDE, NARROW], ids=["1440", "360"])
def visit(chromium: Browser, mock: Mock, request: pytest.FixtureRequest) -> Iterator[Visit]:
    yield from visiting(chromium, mock(), request.param, color_scheme="light")


def look(visit: Visit, name: str) -> None:
    """In both themes. Colours are of the theme; all else is the same in both."""
    page = visit.page
    for theme, rules in (("light", ()), ("dark", ("color-contrast", "link-in-text-block"))):
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")  # type: ignore[arg-type]
        page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        assert faults(page, *rules) == [], (name, theme)
        visit.shot(f"{name.replace('/', '-')}-{theme}-{visit.size[0]}")
    page.emulate_media(color_scheme="light")


def test_every_view(visit: Visit) -> None:
    page = visit.open().page
    expect(page.get_by_label("Server's token")).to_be_visible()
    look(visit, "login")
    visit.log_in(TOKEN)
    for view in ALL:
        visit.go(view)
        if view == "overview":
            expect(page.locator("canvas")).to_have_count(4)
        assert visit.overflow() == [], view
        look(visit, view)


def test_a_theme_of_ones_own(chromium: Browser, mock: Mock) -> None:
    for visit in visiting(chromium, mock(), color_scheme="light"):
        page = visit.log_in(TOKEN).page
        ground = "getComputedStyle(document.body).backgroundColor"
        light = page.evaluate(ground)
        page.get_by_role("button", name="Theme: as the system has it").click()
        assert page.evaluate(ground) == light
        page.get_by_role("button", name="Theme: light").click()
        dark = page.evaluate(ground)
        assert dark != light
        page.reload()
        expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
        assert page.evaluate(ground) == dark


def test_empty_states_say_what_to_do(chromium: Browser, mock: Mock) -> None:
    for visit in visiting(chromium, mock("--clients", "0"), NARROW, color_scheme="light"):
        page = visit.log_in(TOKEN).page
        expect(page.get_by_text("No client is connected.")).to_be_visible()
        for view, title, action in (
            ("clients", "No client is connected", "Add a client"),
            ("routes", "No name is served yet", "Add a client"),
            ("requests", "Nothing is being recorded", "Record all names…"),
        ):
            visit.go(view)
            expect(page.get_by_role("heading", name=title)).to_be_visible()
            expect(page.locator(".empty").get_by_text(action).first).to_be_visible()
            assert faults(page) == [], view
            visit.shot(f"empty-{view}-360")


def test_what_is_opened_by_its_address_is_in_sight(chromium: Browser, mock: Mock) -> None:
    for visit in visiting(chromium, mock()):
        visit.log_in(TOKEN)
        page = visit.go("requests/00000001")  # the last but one of the list
        row = page.locator(".vlist-row[aria-selected=true]")
        expect(row).to_be_in_viewport()
        assert page.evaluate("document.querySelector('.vlist').scrollTop") > 0


def test_times_in_the_readers_zone(chromium: Browser, mock: Mock) -> None:
    for visit in visiting(chromium, mock()):
        page = visit.log_in(TOKEN, "#/clients").page
        moment = page.locator("tbody time").first
        expect(moment).to_contain_text("ago")
        assert "CET" in (moment.get_attribute("title") or "")
        assert "T" in (moment.get_attribute("datetime") or "")
