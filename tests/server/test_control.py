"""The control plane's listener against strangers: odd requests, odd upgrades, odd moments."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from gevent import socket

from appliance.certificates.material import Material
from appliance.server import control
from appliance.server.access import Strangers
from appliance.transport.reaper import reaper
from appliance.transport.tls import server_context
from tests.end_to_end.house import TOKEN, House, Visitor, a_house, until
from tests.end_to_end.peers import Client, connect, offer
from tests.stage.messages import Message
from tests.stage.visitor import request

UPGRADE = {
    "Host": "test",
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Protocol": "sluice.v1",
    "Authorization": f"Bearer {TOKEN}",
}


@pytest.fixture(autouse=True)
def no_traceback(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Whatever strangers send, nothing is printed."""
    yield
    assert capfd.readouterr().err == ""


@pytest.fixture
def stranger(house: House) -> Iterator[Visitor]:
    with Visitor(house.control_port) as stranger:
        yield stranger


def upgrade(start: str = "GET /connect HTTP/1.1", **other: str | None) -> bytes:
    fields = dict(UPGRADE)
    for name, value in other.items():
        if value is None:
            del fields[name.replace("_", "-")]
        else:
            fields[name.replace("_", "-")] = value
    return request(start, *(f"{name}: {value}" for name, value in fields.items()))


def said(house: House, data: bytes) -> Message:
    with Visitor(house.control_port) as stranger:
        stranger.send(data)
        message = stranger.reader.head()
        if message.status != 101:
            stranger.reader.body(message)
        return message


def counted(house: House) -> dict[tuple[str, int], int]:
    return house.server.state.control.requests


# ---- upgrades


def test_an_upgrade(house: House) -> None:
    answer = said(house, upgrade())
    assert (answer.status, answer.one("sec-websocket-protocol")) == (101, "sluice.v1")
    assert answer.one("sec-websocket-accept") == "ICX+Yqv66kxgM0FcWaLWlFLwTAI="  # RFC 6455 4.2.2, for this key
    assert counted(house) == {("/connect", 101): 1}


def test_several_protocols_are_offered(house: House) -> None:
    assert said(house, upgrade(Sec_WebSocket_Protocol="sluice.v2, sluice.v1")).status == 101


ODD_UPGRADES: dict[str, tuple[bytes, int, str]] = {
    "no token": (upgrade(Authorization=None), 401, "the token is missing or wrong"),
    "a wrong token": (upgrade(Authorization="Bearer wrong"), 401, "the token is missing or wrong"),
    "a token of another kind": (upgrade(Authorization=f"Basic {TOKEN}"), 401, "the token is missing or wrong"),
    "no upgrade": (upgrade(Upgrade=None, Connection=None), 426, "this address is for clients"),
    "no Connection": (upgrade(Connection="keep-alive"), 426, "this address is for clients"),
    "another upgrade": (upgrade(Upgrade="h2c"), 426, "this address is for clients"),
    "another method": (upgrade("POST /connect HTTP/1.1"), 426, "this address is for clients"),
    "HTTP/1.0": (upgrade("GET /connect HTTP/1.0"), 426, "this address is for clients"),
    "no version": (upgrade(Sec_WebSocket_Version=None), 426, "this address is for clients"),
    "an old version": (upgrade(Sec_WebSocket_Version="8"), 426, "this address is for clients"),
    "no key": (upgrade(Sec_WebSocket_Key=None), 400, "the Sec-WebSocket-Key is not 16 bytes in base64"),
    "a short key": (upgrade(Sec_WebSocket_Key="AAAA"), 400, "the Sec-WebSocket-Key is not 16 bytes in base64"),
    "a key that is none": (upgrade(Sec_WebSocket_Key="?"), 400, "the Sec-WebSocket-Key is not 16 bytes in base64"),
    "no protocol": (upgrade(Sec_WebSocket_Protocol=None), 400, "this server speaks sluice.v1"),
    "another protocol": (upgrade(Sec_WebSocket_Protocol="sluice.v2"), 400, "this server speaks sluice.v1"),
    "a body": (upgrade(Content_Length="5"), 400, "an upgrade has no body"),
    "a chunked body": (upgrade(Transfer_Encoding="chunked"), 400, "an upgrade has no body"),
    "a stream of nobody": (upgrade("GET /stream HTTP/1.1"), 409, "the session of this stream has ended"),
    "a stream without a token": (upgrade("GET /stream HTTP/1.1", Authorization=None), 401, "the token is missing"),
}


@pytest.mark.parametrize("name", ODD_UPGRADES)
def test_odd_upgrades(house: House, name: str) -> None:
    data, status, text = ODD_UPGRADES[name]
    answer = said(house, data)
    assert (answer.status, answer.body.decode()[: len(text)]) == (status, text)
    assert answer.one("connection") == "close"
    assert (answer.one("www-authenticate") is not None) == (status == 401)
    assert (answer.one("sec-websocket-version") == "13") == (status == 426)
    path = "/stream" if "stream" in name else "/connect"
    assert counted(house) == {(path, status): 1}
    assert house.server.guard.denied == (status == 401)
    assert not house.server.registry.sessions()


def test_an_upgrade_elsewhere_is_none(house: House) -> None:
    assert said(house, upgrade("GET /status HTTP/1.1")).status == 400
    assert said(house, upgrade("GET / HTTP/1.1", Authorization=None)).status == 401


def test_a_client_that_speaks_before_it_is_answered(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """What it says there would be lost on the way from one reader to the next: it is not let in half heard."""
    for early in (b"\x81", bytes(100_000)):
        peer = connect(house.control_port, "/connect", early=early)
        assert peer.farewell() == (0, "")
    assert caplog.text.count("spoke before its upgrade was answered") == 2
    assert not house.server.registry.sessions()


def test_a_server_that_stops_waits_for_no_hello(house: House) -> None:
    peer = connect(house.control_port, "/connect")
    until(lambda: house.server.registry._unheard, "it is awaited")
    house.server.stop()
    assert peer.farewell() == (1001, "the server is stopping")


# ---- what is no request

GARBAGE = {
    "garbage": b"garbage\r\n\r\n",
    "binary": bytes(range(256)) + b"\r\n\r\n",
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "a strange version": b"GET / HTTP/1\r\n\r\n",
    "another version": b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
    "a strange length": b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
    "a negative length": b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    "many fields": b"GET / HTTP/1.1\r\n" + b"X: 1\r\n" * 200 + b"\r\n",
    "a long line": b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n",
    "a long field": b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_what_is_no_request(house: House, stranger: Visitor, name: str) -> None:
    stranger.send(GARBAGE[name])
    assert stranger.rest()[:10] in (b"HTTP/1.1 4", b"HTTP/1.0 4", b"")
    assert said(house, request("GET /healthz HTTP/1.1", "Host: a")).status == 200


@pytest.mark.parametrize("leave", [Visitor.finish, Visitor.reset])
@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost:", upgrade()])
def test_strangers_who_leave(house: House, stranger: Visitor, sent: bytes, leave: Any) -> None:
    stranger.send(sent)
    leave(stranger)
    if leave is Visitor.finish:
        stranger.rest()
    assert said(house, request("GET /healthz HTTP/1.1", "Host: a")).status == 200


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost:"])
def test_strangers_who_wait(house: House, stranger: Visitor, sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "REQUEST_SECONDS", 0.2)
    with Visitor(house.control_port) as slow:
        slow.send(sent)
        assert slow.rest() == b""


def test_too_many_strangers(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """More of one address are turned away, and said so once; others and connected clients do not feel it."""
    with_streams = house.client("a.example=http://127.0.0.1:1")
    (server,) = house.server._controls
    until(lambda: server._strangers._open == 0, "clients are known")
    strangers = server._strangers = Strangers(4)
    silent = [Visitor(house.control_port) for _ in range(2)]
    until(lambda: strangers._open == 2, "they are there")
    for _ in range(3):
        with Visitor(house.control_port) as another:
            assert another.rest() == b""
    assert caplog.text.count("2 connections of nobody we know are open, 2 of them from 127.0.0.1: more are") == 1
    with Visitor(house.control_port, source="127.0.0.2") as another:
        assert another.ask(request("GET /healthz HTTP/1.1", "Host: a")).status == 200
    for one in silent:
        one.sock.close()
    until(lambda: strangers._open == 0, "they have left")
    assert said(house, request("GET /healthz HTTP/1.1", "Host: a")).status == 200
    until(lambda: not strangers._of, "nobody is remembered")
    assert house.session(with_streams) is not None


def test_a_kept_connection_is_not_kept_for_ever(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "REQUEST_SECONDS", 0.3)
    with Visitor(house.control_port) as stranger:
        assert stranger.ask(request("GET /healthz HTTP/1.1", "Host: a")).status == 200
        assert stranger.ask(request("GET /healthz HTTP/1.1", "Host: a")).status == 200
        assert stranger.rest() == b""


def test_an_answer_that_nobody_takes(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given up after a while, and nothing printed."""

    def pages(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [bytes(50_000_000)]

    (server,) = house.server._controls
    server.application._pages = pages
    monkeypatch.setattr(control, "REQUEST_SECONDS", 0.2)
    before = len(reaper)
    with Visitor(house.control_port) as stranger:
        stranger.send(request("GET /status HTTP/1.1", "Host: a"))
        until(lambda: len(reaper) > before, "it is there")
        until(lambda: len(reaper) == before, "it is given up")


def test_pages_that_crash(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """Logged, answered, and nothing printed."""

    def pages(environ: Any, start_response: Any) -> list[bytes]:
        raise ZeroDivisionError

    (server,) = house.server._controls
    server.application._pages = pages
    assert said(house, request("GET /status HTTP/1.1", "Host: a")).status == 500
    assert "'GET /status HTTP/1.1' failed; please report this" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_a_stranger_who_leaves_before_its_answer(house: House, stranger: Visitor) -> None:
    def pages(environ: Any, start_response: Any) -> list[bytes]:
        stranger.reset()
        gevent.sleep(0.01)
        start_response("200 OK", [])
        return [bytes(100_000)] * 20

    (server,) = house.server._controls
    server.application._pages = pages
    stranger.send(request("GET /status HTTP/1.1", "Host: a"))
    until(lambda: stranger.sock.fileno() < 0, "it has left")


def test_plain_http_on_a_port_for_tls(tls_house: House) -> None:
    """A browser or a client that was told ws:// hears what to change."""
    answer = said(tls_house, upgrade())
    assert (answer.status, answer.one("connection")) == (400, "close")
    assert answer.body == b"400 This port speaks TLS: write https://, or wss:// for clients.\n"
    with Visitor(tls_house.control_port) as stranger:
        stranger.send(b"SSH-2.0-OpenSSH\r\n")
        assert stranger.rest() == b""


def test_another_context_for_new_connections(tls_house: House, material: Material) -> None:
    """Clients that are connected stay so, and open their next streams with it."""
    client_id = tls_house.client("a.example=http://127.0.0.1:9")
    session = tls_house.session(client_id)
    tls_house.server.use_control_context(server_context(str(material.certificate_file), str(material.key_file)))
    tls_house.pool(client_id)._ask(2)
    until(lambda: session is not None and session.streams_idle >= 10, "streams are opened")
    assert tls_house.session(client_id) is session


def test_tls_garbage(tls_house: House) -> None:
    """On a port that speaks TLS: plain HTTP, nothing, half a handshake."""
    for sent in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"", b"\x16\x03\x01"):
        with Visitor(tls_house.control_port) as stranger:
            stranger.send(sent)
            stranger.finish()
            stranger.rest()
    with Visitor(tls_house.control_port) as stranger:
        stranger.send(b"\x16\x03\x01\x02\x00")
        stranger.reset()
    tls_house.client("a.example=http://127.0.0.1:1")
    assert tls_house.url.startswith("wss://")


# ---- the listener


def test_a_name_may_stand_for_several_addresses() -> None:
    """As localhost does: all of them are listened on, none is left to queue for nobody."""
    with a_house() as house:
        house.server.stop()
        options = {**house._options, "port": 0, "control_port": house.control_port, "token": TOKEN}
        from appliance.admin.app import create_app
        from appliance.config.http_server import HttpServerConfig
        from appliance.server.app import Server

        config = HttpServerConfig(data_addr="127.0.0.1", control_addr="localhost", **options)
        house.server = Server(config, TOKEN, None, create_app)
        house.server.start()
        for address in {item[4][0] for item in socket.getaddrinfo("localhost", None, type=socket.SOCK_STREAM)}:
            with Visitor(house.control_port, address) as stranger:
                assert stranger.ask(request("GET /healthz HTTP/1.1", "Host: a")).status == 200


def test_sessions_outlive_their_upgrade(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time for a request does not count for what an upgraded connection does afterwards."""
    monkeypatch.setattr(control, "REQUEST_SECONDS", 0.1)
    client = Client(house.control_port, offer("a.example"))
    stream = client.stream()
    began = time.monotonic()
    until(lambda: time.monotonic() - began > 1.0, "much more than that has passed")
    visitor = house.visitor()
    visitor.send(request("GET / HTTP/1.1", "Host: a.example"))
    assert stream.heard("open")["upstream"] == "http://127.0.0.1:1"


def test_who_is_refused_is_remembered(house: House) -> None:
    """Once, with why; who only looks for a page is not."""
    for _ in range(3):
        assert said(house, upgrade(Authorization="Bearer wrong")).status == 401
    assert said(house, upgrade("GET /stream HTTP/1.1", Authorization="Bearer wrong")).status == 401
    assert said(house, upgrade(Sec_WebSocket_Protocol="sluice.v0")).status == 400
    other, wrong = house.server.state.comings.listing()
    assert (wrong.kind, wrong.client_id) == ("refused", "") and "token" in wrong.detail
    assert wrong.remote.startswith("127.0.0.1:") and "sluice.v1" in other.detail


# ---- a server that is stopping


def test_new_clients_are_told_to_come_back(house: House) -> None:
    """Those with a token: others hear nothing of it."""
    house.server.registry.drain("stopping")
    answer = said(house, upgrade())
    assert (answer.status, answer.body) == (503, b"the server is stopping: connect again in a moment\n")
    assert answer.one("retry-after") == "1"
    assert said(house, upgrade(Authorization=None)).status == 401


def test_who_is_there_is_told(house: House) -> None:
    client = Client(house.control_port, offer("a.example"))
    house.server.registry.drain("stopping")
    assert client.control.heard("drain")["reason"] == "stopping"
    client.stream().close()  # for what is under way
    client.close()
