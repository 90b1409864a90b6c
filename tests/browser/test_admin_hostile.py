"""What strangers send is shown and never run: in every view of a hostile made-up server, and through a real one."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Mock
from tests.browser.mock_server import TOKEN
from tests.browser.visit import VIEWS, Visit, visiting
from tests.stage.tunnel import TOKEN as REAL_TOKEN
from tests.stage.tunnel import Tunnel
from tests.stage.upstream import Upstream, say

MARK = "<img src=x onerror=\"window.attacked='real'\"><script>window.attacked='real'</script>"
SVG = f'<svg xmlns="http://www.w3.org/2000/svg" onload="window.attacked=1">{MARK}</svg>'
ATTACKED = "window.attacked ?? null"
FOREIGN = "[...document.querySelectorAll('script, iframe, object, embed, [onerror], [onload], [srcdoc]')].length"
ADDRESSES = "[...document.querySelectorAll('a[href]')].filter(a => !/^(https?:|blob:)/.test(a.href)).map(a => a.href)"


def untouched(visit: Visit) -> None:
    page = visit.page
    assert page.evaluate(ATTACKED) is None
    assert page.evaluate(FOREIGN) == 2, "the page's own two scripts, nothing else"
    assert page.evaluate(ADDRESSES) == []


@pytest.fixture
def visit(chromium: Browser, mock: Mock) -> Iterator[Visit]:
    yield from visiting(chromium, mock("--hostile"))


def test_every_view(visit: Visit) -> None:
    page = visit.log_in(TOKEN).page
    for view in (*VIEWS, *(f"requests/{number:08d}" for number in range(8)), "compare/00000000/00000001"):
        visit.go(view)
        if view.startswith("requests/"):
            for tab in page.get_by_role("tab").all():
                tab.click()
                for way in page.locator(".segmented input").all():
                    way.check()
                    untouched(visit)
        untouched(visit)
    visit.go("requests/00000000")
    expect(page.get_by_role("article")).to_contain_text("<script>window.attacked")
    visit.shot("hostile")


def test_names_that_are_markup_are_text(visit: Visit) -> None:
    page = visit.log_in(TOKEN, "#/routes").page
    expect(page.locator(".view")).to_contain_text("<img src=x onerror=")
    page.goto(visit.url + "#/clients/" + "%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E")
    expect(page.get_by_role("heading", level=1)).to_contain_text("<img src=x")
    untouched(visit)


def test_pictures_are_raster_only(visit: Visit) -> None:
    page = visit.log_in(TOKEN).page
    visit.go("requests/00000002")  # a PNG
    page.get_by_role("tab", name="Answer").click()
    image = page.locator(".preview img")
    expect(image).to_be_visible()
    shown = image.evaluate("image => image.decode().then(() => [image.naturalWidth, image.src.slice(0, 5)])")
    assert shown == [64, "blob:"]
    visit.go("requests/00000004")  # an SVG: it has no picture, whatever it says it is
    page.get_by_role("tab", name="Answer").click()
    expect(page.get_by_role("tabpanel")).to_contain_text("image/svg+xml")
    assert page.get_by_label("Picture").count() == 0


def test_through_a_real_server(chromium: Browser, tmp_path: Path) -> None:
    upstream = Upstream()
    answers = {
        "/page": ("text/html", MARK),
        "/drawing": ("image/svg+xml", SVG),
        "/json": ("application/json", f'["{MARK[:20]}"]'),
    }
    for path, (kind, body) in answers.items():
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nX-Attack: {MARK}\r\nContent-Length: {len(body)}\r\n\r\n"
        upstream.scripts[path] = say((head + body).encode())
    with contextlib.closing(upstream), contextlib.closing(Tunnel(tmp_path, "--inspect", "*", plain=True)) as tunnel:
        tunnel.add_client("client", f"*=http://127.0.0.1:{upstream.port}")
        for path in answers:
            connection = http.client.HTTPConnection("127.0.0.1", tunnel.port, timeout=10)
            with contextlib.closing(connection):
                connection.request("GET", f"{path}?q=%3Cscript%3E", headers={"Host": "x.example", "User-Agent": MARK})
                assert connection.getresponse().read()
        for visit in visiting(chromium, f"http://127.0.0.1:{tunnel.control_port}/"):
            page = visit.log_in(REAL_TOKEN, "#/requests").page
            rows = page.get_by_role("listbox").get_by_role("option")
            expect(rows).to_have_count(3)
            for path in answers:
                rows.filter(has_text=path).click()
                expect(page.get_by_role("article", name=path)).to_be_visible()
                expect(page.get_by_role("tabpanel")).to_contain_text("window.attacked='real'")
                for way in page.locator(".segmented input").all():
                    way.check()
                    untouched(visit)
