"""The same page as the client's own inspector: no log-in, requests and log alone. Over a real client."""

from __future__ import annotations

import contextlib
import http.client
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.visit import Visit, visiting
from tests.stage.process import eventually, free_port
from tests.stage.tunnel import Tunnel
from tests.stage.upstream import Upstream


@pytest.fixture
def visit(chromium: Browser, tmp_path: Path) -> Iterator[Visit]:
    upstream = Upstream()
    with contextlib.closing(upstream), contextlib.closing(Tunnel(tmp_path)) as tunnel:
        port = free_port()
        target = f"dev.example.com=http://127.0.0.1:{upstream.port}"
        client = tunnel.add_client("client", target, flags=(f"--inspect=127.0.0.1:{port}",))
        eventually(lambda: re.search(r"inspector: +http://", client.output), "the inspector listens", client)
        for path in ("/first", "/second"):
            connection = http.client.HTTPConnection("127.0.0.1", tunnel.port, timeout=10)
            with contextlib.closing(connection):
                connection.request("GET", path, headers={"Host": "dev.example.com"})
                assert connection.getresponse().read()
        yield from visiting(chromium, f"http://127.0.0.1:{port}/")


def test_what_comes_through_is_seen_and_sent_again(visit: Visit) -> None:
    page = visit.open().page
    rows = page.get_by_role("listbox").get_by_role("option")
    expect(rows).to_have_count(2)
    for name in ("Overview", "Clients", "Settings", "Log out"):
        assert page.get_by_text(name, exact=True).count() == 0
    rows.first.click()
    expect(page.get_by_role("article")).to_contain_text("/second")
    page.get_by_role("button", name="Replay", exact=True).click()
    expect(page.get_by_text("A replay of an earlier request.")).to_be_visible()
    expect(rows).to_have_count(3)
    visit.shot("client-page")
    visit.go("log")
    expect(page.get_by_role("log")).to_contain_text("dev.example.com")
