"""The admin page without a mouse: log in, move, search, open, close. Against a made-up server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Mock
from tests.browser.mock_server import TOKEN
from tests.browser.visit import NARROW, Visit, visiting

FOCUSED = "document.activeElement"


@pytest.fixture
def visit(chromium: Browser, mock: Mock) -> Iterator[Visit]:
    yield from visiting(chromium, mock())


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def test_from_log_in_to_a_request(visit: Visit) -> None:
    page = visit.open().page
    expect(page.get_by_label("Server's token")).to_be_focused()
    page.keyboard.type(TOKEN)
    press(page, "Enter")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    press(page, "g", "r")
    expect(page.get_by_role("heading", name="Requests")).to_be_focused()
    press(page, "/")
    page.keyboard.type("orders")
    listbox = page.get_by_role("listbox", name="Requests, newest first")
    expect(listbox.get_by_role("option")).to_have_count(6)
    press(page, "Escape")
    for _ in range(12):
        press(page, "Tab")
        if page.evaluate(f"{FOCUSED}.matches('.vlist')"):
            break
    expect(listbox).to_be_focused()
    press(page, "ArrowDown", "ArrowDown", "End", "Home", "ArrowDown")
    active = listbox.get_attribute("aria-activedescendant")
    assert active
    assert page.evaluate("id => document.getElementById(id).getAttribute('aria-posinset')", active) == "2"
    press(page, "Enter")
    expect(page.get_by_role("article")).to_be_visible()
    assert page.evaluate(f"{FOCUSED}.closest('.detail') !== null"), "the focus is at what was opened"
    press(page, "e")
    expect(page.get_by_role("dialog")).to_be_visible()
    press(page, "Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    press(page, "Escape")
    expect(listbox).to_be_focused()
    press(page, "p")
    expect(page.get_by_role("button", name="Go on")).to_be_visible()


def test_every_stop_is_seen_and_none_holds(visit: Visit) -> None:
    page = visit.log_in(TOKEN, "#/clients").page
    page.evaluate(f"{FOCUSED}.blur()")
    press(page, "Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    seen = []
    for _ in range(40):
        press(page, "Tab")
        place = page.evaluate(
            f"""() => {{ const e = {FOCUSED}, s = getComputedStyle(e), n = e.nextElementSibling;
            const ringed = x => x && (x.boxShadow !== 'none' || x.outlineStyle !== 'none');
            const ring = ringed(s) || ringed(n && getComputedStyle(n));
            return [e.tagName, (e.textContent || e.ariaLabel || '').slice(0, 30), ring] }}"""
        )
        if place[0] == "BODY":
            break
        seen.append(place)
    assert len(seen) > 20
    assert [place for place in seen if not place[2]] == []


def test_the_skip_link_and_the_shortcuts(visit: Visit) -> None:
    page = visit.log_in(TOKEN, "#/routes").page
    page.evaluate(f"{FOCUSED}.blur()")
    press(page, "Tab", "Enter")
    assert page.evaluate(f"{FOCUSED}.id") == "main"
    press(page, "?")
    dialog = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(dialog).to_contain_text("Overview")
    dialog.get_by_label("Single-letter shortcuts on").uncheck()
    press(page, "Escape", "g", "l")
    assert page.evaluate("location.hash") == "#/routes", "they are off now"


def test_tabs_go_by_arrow_keys(visit: Visit) -> None:
    page = visit.log_in(TOKEN).page
    visit.go("requests/00000009")
    answer = page.get_by_role("tab", name="Answer")
    expect(answer).to_have_attribute("aria-selected", "true")
    answer.focus()
    press(page, "ArrowLeft")
    expect(page.get_by_role("tab", name="Request")).to_be_focused()
    expect(page.get_by_role("tabpanel")).to_contain_text("Authorization")


def test_the_menu_of_a_phone(chromium: Browser, mock: Mock) -> None:
    for visit in visiting(chromium, mock(), NARROW):
        page = visit.log_in(TOKEN).page
        menu = page.get_by_role("button", name="Menu")
        menu.focus()
        press(page, "Enter")
        expect(menu).to_have_attribute("aria-expanded", "true")
        visit.shot("menu-360")
        press(page, "Escape")
        expect(page.get_by_role("link", name="Log", exact=True)).to_be_hidden()
        press(page, "Enter")
        page.get_by_role("link", name="Log", exact=True).focus()
        press(page, "Enter")
        expect(page.get_by_role("heading", name="Log")).to_be_visible()
        expect(menu).to_have_attribute("aria-expanded", "false")
