"""The admin page over a real server: what a person does there, in a real browser."""

from __future__ import annotations

import base64
import contextlib
import gzip
import http.client
import json
import re
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

from tests.browser.visit import Visit, visiting
from tests.stage.process import Process, eventually
from tests.stage.tunnel import TOKEN, Tunnel
from tests.stage.upstream import Upstream, say

NAME = "shop.example.com"
JSON = b'{"order": 7, "paid": true, "items": [1, 2, 3]}'


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    found = Upstream()
    head = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nSet-Cookie: sid=secret\r\n"
    found.scripts["/orders"] = say(head + b"Content-Length: %d\r\n\r\n" % len(JSON) + JSON)
    yield found
    found.close()


@pytest.fixture(scope="module")
def tunnel(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Tunnel]:
    found = Tunnel(tmp_path_factory.mktemp("page"), mode="")
    with contextlib.closing(found):
        found.add_client("client", f"{NAME}=http://127.0.0.1:{upstream.port}", mode="http")
        yield found


@pytest.fixture
def visit(chromium: Browser, tunnel: Tunnel) -> Iterator[Visit]:
    yield from visiting(chromium, f"https://127.0.0.1:{tunnel.control_port}/")


def ask(tunnel: Tunnel, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", tunnel.port, timeout=10)
    with contextlib.closing(connection):
        connection.request(method, path, body, {"Host": NAME, **headers})
        answer = connection.getresponse()
        answer.read()
        return answer.status


def record_all(page: Page) -> None:
    """By the page's own buttons."""
    page.get_by_role("button", name="All names…").or_(
        page.get_by_role("button", name="Record all names…")
    ).first.click()
    page.get_by_role("button", name="For 15 minutes").click()
    expect(page.get_by_text("all names", exact=False).first).to_be_visible()


def listed(page: Page) -> Locator:
    return page.get_by_role("listbox", name="Requests, newest first").get_by_role("option")


def test_refused_in_and_out(visit: Visit) -> None:
    visit.forgiven.append("status of 401 .*/login")
    page = visit.open().page
    token = page.get_by_label("Server's token")
    expect(token).to_be_focused()
    token.fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("not the server's")
    expect(token).to_be_focused()
    token.fill(TOKEN)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_text("You are logged out.")).to_be_visible()
    page.reload()
    expect(page.get_by_label("Server's token")).to_be_visible()


def test_a_session_that_has_ended(visit: Visit) -> None:
    visit.forgiven.append("status of 401")
    page = visit.log_in(TOKEN).page
    visit.context.clear_cookies()
    page.evaluate("location.hash = '#/settings'")
    expect(page.get_by_text("Your session has ended.", exact=False)).to_be_visible()
    page.get_by_label("Server's token").fill(TOKEN)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Settings")).to_be_visible()


def test_a_log_out_in_another_tab_is_noticed_at_once(visit: Visit) -> None:
    visit.forgiven.append("status of 401|net::ERR_")
    page = visit.log_in(TOKEN, "#/settings").page
    other = visit.context.new_page()
    other.goto(visit.url)
    other.get_by_role("button", name="Log out").click()
    expect(other.get_by_text("You are logged out.")).to_be_visible()
    lost = page.get_by_text("No connection to the server")
    expect(page.get_by_text("Your session has ended.", exact=False).or_(lost)).to_be_visible()
    assert not lost.is_visible(), "it is there, and says so"


def test_the_charts_move_while_requests_run(visit: Visit, tunnel: Tunnel) -> None:
    page = visit.log_in(TOKEN).page
    expect(page.locator("canvas")).to_have_count(4)
    picture = "document.querySelector('canvas').toDataURL()"
    before = page.evaluate(picture)
    rate = page.locator(".legend b").first

    def moved() -> bool:
        for _ in range(20):
            assert ask(tunnel, "/page") == 200
        page.wait_for_timeout(50)
        return rate.inner_text() not in ("0/s", "–", "") and page.evaluate(picture) != before

    eventually(moved, "the chart shows the requests")
    expect(page.get_by_role("img", name=re.compile("^Requests, last 5m"))).to_be_visible()
    for label in ("1 h", "6 h", "24 h"):
        page.get_by_label(label, exact=True).check()
        expect(page.get_by_role("img", name=re.compile(f"^Requests, last {label.replace(' ', '')}"))).to_be_visible()


def test_a_client_comes_and_goes(visit: Visit, tunnel: Tunnel, upstream: Upstream) -> None:
    page = visit.log_in(TOKEN, "#/clients").page
    table = page.get_by_role("table", name="Connected clients")
    expect(table.get_by_role("row")).to_have_count(2)
    client = tunnel.add_client("visitor", f"new.example.com=http://127.0.0.1:{upstream.port}", mode="http")
    expect(table).to_contain_text("new.example.com")
    table.get_by_role("row").filter(has_text="new.example.com").get_by_role("link").first.click()
    expect(page.get_by_role("heading", name="Upstreams")).to_be_visible()
    tunnel.remove_client(client)
    expect(page.get_by_text("This client is not connected")).to_be_visible()
    expect(page.locator(".events").last).to_contain_text("disconnected")
    page.keyboard.press("Escape")
    expect(table.get_by_role("row")).to_have_count(2)


def test_inspect_filter_replay_compare_and_save(visit: Visit, tunnel: Tunnel, upstream: Upstream) -> None:
    page = visit.log_in(TOKEN, "#/requests").page
    record_all(page)
    asked = ask(tunnel, "/orders?token=hunter2", "POST", b'{"amount": 3}', Authorization="Bearer hunter2",
                **{"Content-Type": "application/json"})  # fmt: skip
    assert asked == 201
    for number in range(3):
        ask(tunnel, f"/other/{number}")
    rows = listed(page)
    expect(rows).to_have_count(4)
    page.get_by_placeholder("Path contains").fill("orders")
    expect(rows).to_have_count(1)
    page.get_by_label("Status").select_option("5xx")
    expect(page.get_by_text("No request matches")).to_be_visible()
    page.get_by_role("button", name="Clear the filters").click()
    page.get_by_label("Method").select_option("POST")
    expect(rows).to_have_count(1)
    rows.first.click()

    detail = page.get_by_role("article")
    expect(detail).to_contain_text("order")
    expect(detail.get_by_text("•••• (", exact=False).first).to_be_visible()
    expect(detail).not_to_contain_text("hunter2")
    detail.get_by_role("tab", name="Request").click()
    page.get_by_role("button", name="Reveal secrets").click()
    expect(detail).to_contain_text("Bearer hunter2")
    page.get_by_role("button", name="Hide secrets").click()
    visit.shot("real-request")

    before = len(upstream.requests("/orders"))
    page.get_by_role("button", name="Edit and replay").click()
    page.get_by_role("textbox", name="Body").fill('{"amount": 4}')
    page.get_by_label("Path and query").fill("/orders?edited=1")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("A replay of an earlier request.")).to_be_visible()
    upstream.wait(lambda: len(upstream.requests("/orders")) > before, "the replay arrives")
    message = upstream.requests("/orders")[-1].message
    assert (message.target, message.body) == ("/orders?edited=1", b'{"amount": 4}')
    assert (b"Authorization", b"Bearer hunter2") in message.fields, "kept, though it was masked"

    page.get_by_role("link", name="Compare the two").click()
    expect(page.locator(".diff .new").first).to_contain_text("edited=1")
    expect(page.locator(".diff")).to_contain_text(["4"])
    visit.shot("real-compare")

    visit.go("requests")
    expect(rows).to_have_count(2)  # the filter still stands
    with page.expect_download() as download:
        page.get_by_role("button", name="HAR").click()
    archive = json.loads(Path(download.value.path()).read_bytes())
    urls = [entry["request"]["url"] for entry in archive["log"]["entries"]]
    assert len(urls) == 2, urls


def test_nothing_leaves_the_page_with_secrets_unless_they_are_revealed(visit: Visit, tunnel: Tunnel) -> None:
    visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = visit.log_in(TOKEN, "#/requests").page
    if page.get_by_text("Nothing is being recorded").count():
        record_all(page)
    body = gzip.compress(b'{"id": 1234567890123456789, "password": "hunter2"}')
    ask(tunnel, "/secret", "POST", body, **{"Content-Type": "application/json", "Content-Encoding": "gzip"})
    listed(page).filter(has_text="/secret").first.click()
    detail = page.get_by_role("article")
    detail.get_by_role("tab", name="Request").click()
    expect(detail.locator(".tree")).to_contain_text("1234567890123456789")

    def taken(link: str) -> bytes:
        with page.expect_download() as download:
            detail.get_by_role("link", name=link).click()
        return Path(download.value.path()).read_bytes()

    def command() -> str:
        page.evaluate("navigator.clipboard.writeText('')")
        page.get_by_role("button", name="Copy as curl").click()
        visit.until("navigator.clipboard.readText().then(text => text !== '')")
        return str(page.evaluate("navigator.clipboard.readText()"))

    detail.get_by_label("Bytes").check()
    expect(detail.get_by_label("Bytes of the body")).to_contain_text('ers)"}')
    expect(detail).to_contain_text("Reveal secrets to see the bytes as they went by")
    expect(detail).not_to_contain_text("hunter2")
    assert b"hunter2" not in taken("Save") and b"hunter2" not in taken("HAR") and "hunter2" not in command()

    page.get_by_role("button", name="Reveal secrets").click()
    expect(page.get_by_role("button", name="Hide secrets")).to_be_visible()
    detail.get_by_label("Bytes").check()
    expect(detail.get_by_label("Bytes of the body")).to_contain_text("1f 8b")
    assert taken("Save") == body and b"hunter2" in taken("HAR")
    assert base64.b64encode(body[-9:])[-8:].decode() in command().replace("\n", "")


def test_reveal_says_what_it_is_where_nothing_is_hidden(visit: Visit, tunnel: Tunnel) -> None:
    page = visit.log_in(TOKEN, "#/requests").page
    if page.get_by_text("Nothing is being recorded").count():
        record_all(page)
    ask(tunnel, "/plain")
    listed(page).filter(has_text="/plain").first.click()
    page.get_by_role("button", name="Reveal secrets").click()
    page.get_by_role("button", name="Hide secrets").click()
    expect(page.get_by_role("button", name="Reveal secrets")).to_be_visible()


def test_copy_as_curl(visit: Visit, tunnel: Tunnel) -> None:
    visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = visit.log_in(TOKEN, "#/requests").page
    if page.get_by_text("Nothing is being recorded").count():
        record_all(page)
    ask(tunnel, "/with'quote?x=$(id)")
    listed(page).filter(has_text="quote").first.click()
    page.get_by_role("button", name="Copy as curl").click()
    expect(page.get_by_text("Command copied.")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()").startswith("curl ")


def test_messages_of_a_websocket(visit: Visit, tunnel: Tunnel) -> None:
    def answer(connection: ServerConnection) -> None:
        for message in connection:
            connection.send(f"you said {message!r}")

    with serve(answer, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.socket.getsockname()[1]
        client = tunnel.add_client("chat", f"chat.example.com=http://127.0.0.1:{port}", mode="http")
        page = visit.log_in(TOKEN, "#/requests").page
        if page.get_by_text("Nothing is being recorded").count():
            record_all(page)
        raw = socket.create_connection(("127.0.0.1", tunnel.port))
        with connect("ws://chat.example.com/talk", sock=raw, proxy=None) as chat:
            chat.send("hello")
            chat.send(bytes(range(4)))
            assert chat.recv() == "you said 'hello'"
            listed(page).filter(has_text="/talk").first.click()
            messages = page.get_by_role("tabpanel")
            expect(messages).to_contain_text("you said 'hello'")
            expect(messages).to_contain_text("00 01 02 03")
            chat.send("<b>again</b>")
            expect(messages).to_contain_text("<b>again</b>")
            visit.shot("real-websocket")
        expect(messages).to_contain_text("close")
        tunnel.remove_client(client)


def test_add_a_client_by_the_command_shown(visit: Visit, tunnel: Tunnel, upstream: Upstream, tmp_path: Path) -> None:
    page = visit.log_in(TOKEN, "#/add").page
    page.get_by_label("Name", exact=True).fill("added.example.com")
    page.get_by_label("Leads to").first.fill(f"http://127.0.0.1:{upstream.port}")
    page.get_by_label("The server's token").check()
    page.get_by_role("button", name="Make the command").click()
    expect(page.get_by_role("img", name="The server's address as a QR code")).to_be_visible()
    for way in ("systemd", "Docker", "Kubernetes"):
        page.get_by_role("tab", name=way).click()
        expect(page.get_by_label(f"Command for {way}")).to_contain_text("added.example.com")
    page.get_by_role("tab", name="Shell").click()
    command = page.get_by_label("Command for Shell").inner_text()
    assert TOKEN not in command
    expect(page.get_by_text("Waiting for the client…")).to_be_visible()

    program = tmp_path / "bin" / "sluice"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m appliance "$@"\n')
    program.chmod(0o755)
    (tmp_path / "token").write_text(TOKEN + "\n")
    environ = {"PATH": f"{program.parent}:/usr/bin:/bin"}
    client = Process("added", ["/bin/sh", "-ec", command], tmp_path, environ, shell=True)
    try:
        expect(page.get_by_text("The client has arrived.", exact=False)).to_be_visible()
        visit.shot("real-add-client")
        page.get_by_role("link", name="See it").first.click()
        expect(page.get_by_role("heading", name="Upstreams")).to_be_visible()
        expect(page.locator(".view")).to_contain_text("added.example.com")
    finally:
        client.stop()


def test_disconnect_is_asked_first_and_the_client_comes_back(visit: Visit, tunnel: Tunnel) -> None:
    page = visit.log_in(TOKEN, "#/clients").page
    page.get_by_role("button", name=re.compile("^Disconnect")).first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("connects again by itself")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)
    since = tunnel.status()["clients"][0]["since"]
    page.get_by_role("button", name=re.compile("^Disconnect")).first.click()
    dialog.get_by_role("button", name="Disconnect").click()
    expect(page.get_by_text("was disconnected")).to_be_visible()
    eventually(lambda: [c for c in tunnel.status()["clients"] if c["since"] != since], "it comes back", tunnel.server)
    expect(page.locator(".events")).to_contain_text("disconnected")


def test_every_view_of_a_real_server(visit: Visit) -> None:
    page = visit.log_in(TOKEN).page
    for view, words in (
        ("routes", NAME), ("certificates", "Fingerprint"), ("log", "visitors: http"), ("settings", "--token-file"),
    ):  # fmt: skip
        visit.go(view)
        expect(page.locator("main")).to_contain_text(words)
        visit.shot(f"real-{view}")
    assert TOKEN not in page.content()
