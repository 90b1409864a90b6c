"""One port for both planes: what asks for the control plane's name, and who else comes."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.certificates.store import Store
from tests.end_to_end.house import TOKEN, House, Upstream, Visitor, a_house, until
from tests.end_to_end.secured import SecureVisitor, a_secure_house, put, trusting
from tests.stage.authority import Authority
from tests.stage.messages import Message
from tests.stage.visitor import get, request

NAME, HOST = "control.example", "a.example"
BEARER = f"Authorization: Bearer {TOKEN}"


@pytest.fixture
def house() -> Iterator[House]:
    with a_house(control_domain=NAME, trusted_proxies=("127.0.0.1",)) as house:
        yield house


@pytest.fixture
def upstream(house: House) -> Upstream:
    upstream = house.upstream()
    house.client(f"*={upstream.url}")
    return upstream


def upgrade(path: str, *lines: str) -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    return request(
        f"GET {path} HTTP/1.1", f"Host: {NAME}:443", "Connection: Upgrade", "Upgrade: websocket",
        "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Protocol: sluice.v1", *lines,
    )  # fmt: skip


@pytest.mark.parametrize("host", [NAME, f"{NAME}:8000", "Control.EXAMPLE."])
def test_the_control_plane_by_its_name(house: House, upstream: Upstream, host: str) -> None:
    """Also before clients who offer every name; and nothing of it under another one."""
    answer = house.ask(get("/status", host, BEARER))
    assert answer.status == 200 and b'"clients"' in answer.body
    assert house.ask(get("/status", host)).status == 401
    assert house.ask(get("/status", HOST, BEARER)).body == b"/status"
    assert not upstream.requests("/healthz")


def test_one_request_then_the_connection_ends(house: House, upstream: Upstream) -> None:
    """A proxy in front may use it for another name next, which must not come to the control plane."""
    visitor = house.visitor()
    visitor.send(get("/", HOST) + get("/healthz", NAME) + get("/status", HOST))
    assert visitor.answer().status == 200
    answer = visitor.answer()
    assert (answer.body, answer.all("connection")) == (b"ok\n", ["close"])
    assert visitor.rest() == b""
    assert not upstream.requests("/status")


def test_a_client_connects(house: House) -> None:
    """And counts as a visitor no more."""
    visitor = house.visitor()
    visitor.send(upgrade("/connect", BEARER))
    assert visitor.answer().status == 101
    assert house.visitor().ask(upgrade("/connect", "Authorization: Bearer wrong")).status == 401
    until(lambda: house.server.state.http.connections_open == 0, "none is left")
    visitor.sock.close()


def carries(house: House, url: str, visit: Callable[[], Visitor], **options: Any) -> None:
    upstream = house.upstream()
    house.client(f"{HOST}={upstream.url}", url=url, **options)
    for _ in range(3):
        visitor = visit()
        assert visitor.ask(get("/x", HOST)).body == b"/x"
        visitor.sock.close()
    until(lambda: house.server.state.http.connections_open == 0, "no client's connection counts as a visitor's")


def test_a_whole_client() -> None:
    """Its channel and streams, by the port of visitors."""
    with a_house(control_domain="localhost") as house:
        carries(house, f"ws://localhost:{house.port}", house.visitor)


def test_a_whole_client_inside_tls(tmp_path: Path) -> None:
    """TLS, with what it has read already, moves along."""
    authority = Authority(tmp_path)
    store = Store()
    put(store, authority.issue("localhost"))
    with a_secure_house(store, control_domain="localhost", plain_http="off") as house:
        port = house.https_port
        visit = lambda: SecureVisitor(port, trusting(authority), "localhost")  # noqa: E731
        carries(house, f"wss://localhost:{port}", visit, tls_ca=str(authority.ca_file))


def test_who_guesses_is_known_behind_a_proxy(house: House) -> None:
    """By the address that the proxy of ours tells, and no other field of theirs."""
    guard = house.server.guard
    for value in ("203.0.113.9", "198.51.100.1, 203.0.113.9", "nonsense", "2001:db8::1"):
        answer: Message = house.ask(get("/status", NAME, f"X-Forwarded-For: {value}"))
        assert answer.status == 401
    assert {"203.0.113.9", "127.0.0.1", "2001:db8::/64"} <= set(guard._addresses)
    assert guard._addresses["203.0.113.9"].count == 2


def test_what_it_does_not_do_unasked() -> None:
    with a_house() as house:
        assert house.ask(get("/healthz", NAME)).status == 404
