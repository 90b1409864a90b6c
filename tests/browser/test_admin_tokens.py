"""Tokens of clients on the admin page of a real server: made with a client, seen with it, revoked; names of clients."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.visit import NARROW, Visit, visiting
from tests.stage.process import Process, eventually
from tests.stage.tunnel import TOKEN, Tunnel
from tests.stage.upstream import Upstream

HOSTILE = '<img src=x onerror="window.attacked=1">'


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    found = Upstream()
    yield found
    found.close()


@pytest.fixture
def tunnel(tmp_path: Path) -> Iterator[Tunnel]:
    found = Tunnel(tmp_path, mode="")
    with contextlib.closing(found):
        yield found


@pytest.fixture
def visit(chromium: Browser, tunnel: Tunnel) -> Iterator[Visit]:
    yield from visiting(chromium, f"https://127.0.0.1:{tunnel.control_port}/")


@pytest.fixture
def program(tmp_path: Path) -> dict[str, str]:
    """An environment in which `sluice` is this program."""
    found = tmp_path / "bin" / "sluice"
    found.parent.mkdir()
    found.write_text(f'#!/bin/sh\nexec {sys.executable} -m appliance "$@"\n')
    found.chmod(0o755)
    return {"PATH": f"{found.parent}:/usr/bin:/bin"}


def test_a_client_with_a_token_of_its_own(
    visit: Visit, tunnel: Tunnel, upstream: Upstream, tmp_path: Path, program: dict[str, str]
) -> None:
    """From the empty state to the command, to the client, to its end when the token is revoked."""
    page = visit.log_in(TOKEN, "#/clients").page
    expect(page.get_by_text("No client has a token of its own")).to_be_visible()
    visit.shot("real-tokens-empty")
    page.get_by_role("link", name="Make one with its client").click()
    page.get_by_label("Name", exact=True).fill("own.example.com")
    page.get_by_label("Leads to").first.fill(f"http://127.0.0.1:{upstream.port}")
    page.get_by_label("What it is called").fill("the Pi, upstairs")
    expect(page.get_by_label("A token of its own")).to_be_checked()
    page.get_by_role("button", name="Make the command").click()

    keep = page.get_by_label("Command for the token's file").inner_text()
    start = page.get_by_label("Command for Shell").inner_text()
    (token,) = re.findall(r"sluice_[\w-]{43}", keep)
    assert token not in start and TOKEN not in keep + start
    for way in ("systemd", "Docker", "Kubernetes"):
        page.get_by_role("tab", name=way).click()
        expect(page.get_by_label(f"Command for {way}")).to_contain_text("the-Pi-upstairs.token")
        expect(page.get_by_label(f"Command for {way}")).not_to_contain_text(token)
    visit.shot("real-add-client-token")
    there = tmp_path / "there"
    there.mkdir()
    client = Process("own", ["/bin/sh", "-ec", keep + start], there, program, shell=True)
    try:
        expect(page.get_by_text("The client has arrived.", exact=False)).to_be_visible()
        assert (there / "the-Pi-upstairs.token").stat().st_mode & 0o777 == 0o600
        page.get_by_role("link", name="See it").first.click()
        expect(page.get_by_role("heading", name="the Pi, upstairs", level=1)).to_be_visible()
        expect(page.locator(".facts")).to_contain_text("its token the-Pi-upstairs")

        visit.go("clients")
        row = page.get_by_role("table", name="Connected clients").get_by_role("row").filter(has_text="own.example.com")
        expect(row).to_contain_text("the-Pi-upstairs")
        expect(page.locator(".events").first).to_contain_text("the Pi, upstairs")
        tokens = page.get_by_role("table", name="Tokens of clients")
        expect(tokens).to_contain_text("own.example.com")
        expect(tokens).not_to_contain_text("any name")
        visit.shot("real-tokens")
        page.get_by_role("button", name="Revoke the-Pi-upstairs").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("1 client connected by it: cut off at once")
        dialog.get_by_role("button", name="Cancel").click()
        assert tunnel.status()["clients"]
        page.get_by_role("button", name="Revoke the-Pi-upstairs").click()
        dialog.get_by_role("button", name="Revoke").click()
        expect(page.get_by_text("The token the-Pi-upstairs was revoked.")).to_be_visible()
        expect(page.get_by_role("heading", name="Tokens")).to_be_focused()
        expect(page.get_by_text("No client has a token of its own")).to_be_visible()
        assert tunnel.status()["clients"] == []
        eventually(lambda: "the token the-Pi-upstairs was removed" in client.output, "it is told", client)
        assert token not in tunnel.server.output + client.output
    finally:
        client.stop()


def test_two_clients_of_one_name_get_two_tokens(visit: Visit) -> None:
    page = visit.log_in(TOKEN, "#/add").page
    page.get_by_label("Public port").fill("22022")
    page.get_by_label("Leads to").last.fill("127.0.0.1:22")
    visit.forgiven.append("status of 409")
    files = []
    for _ in range(2):
        page.get_by_role("button", name="Make the command").click()
        files.append(page.get_by_label("Command for the token's file").inner_text())
        page.get_by_label("Command for Shell").wait_for()
        if len(files) == 1:
            page.reload()
            page.get_by_label("Public port").fill("22022")
            page.get_by_label("Leads to").last.fill("127.0.0.1:22")
    assert "cat > port-22022.token" in files[0] and "cat > port-22022-" in files[1]
    visit.go("clients")
    expect(page.get_by_role("table", name="Tokens of clients").get_by_role("row")).to_have_count(3)


def test_what_is_wrong_makes_no_token(visit: Visit) -> None:
    visit.forgiven.append("status of 400")
    page = visit.log_in(TOKEN, "#/add").page
    page.get_by_label("Name", exact=True).fill("own.example.com")
    page.get_by_label("Leads to").first.fill("ftp://x")
    page.get_by_role("button", name="Make the command").click()
    expect(page.get_by_role("alert")).to_contain_text("ftp")
    visit.go("clients")
    expect(page.get_by_text("No client has a token of its own")).to_be_visible()


def test_a_clients_token_does_not_log_in(visit: Visit, tunnel: Tunnel) -> None:
    visit.forgiven.append("status of 403 .*/login")
    status, token = tunnel.make_token("pi")
    assert status == 201
    page = visit.open().page
    page.get_by_label("Server's token").fill(token)
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("his token lets a client connect, and nothing else")


def test_names_that_are_hostile_are_shown(visit: Visit, tunnel: Tunnel) -> None:
    tunnel.add_client("client", "own.example.com=http://127.0.0.1:1", flags=("--name", HOSTILE), mode="http")
    page = visit.log_in(TOKEN, "#/clients").page
    expect(page.get_by_role("table", name="Connected clients")).to_contain_text(HOSTILE)
    expect(page.locator(".events").first).to_contain_text(HOSTILE)
    page.get_by_role("link", name=HOSTILE).first.click()
    expect(page.get_by_role("heading", name=HOSTILE, level=1)).to_be_visible()
    visit.go("routes")
    expect(page.locator("main")).to_contain_text(HOSTILE)
    assert page.evaluate("window.attacked") is None


def test_on_a_phone(chromium: Browser, tunnel: Tunnel) -> None:
    tunnel.make_token("a-token-with-a-name-that-is-as-long-as-names-of-tokens-may-be-00", names=["*.home.example.com"])
    tunnel.add_client("client", "own.example.com=http://127.0.0.1:1", flags=("--name", "x" * 64), mode="http")
    for visit in visiting(chromium, f"https://127.0.0.1:{tunnel.control_port}/", NARROW):
        visit.log_in(TOKEN, "#/clients")
        visit.go("clients")
        expect(visit.page.get_by_role("button", name="Revoke")).to_be_visible()
        assert visit.overflow() == []
        visit.shot("real-tokens-narrow")
        visit.go("add")
        assert visit.overflow() == []
