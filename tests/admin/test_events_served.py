"""Server-sent events over real sockets, by the server that the control plane uses: live, bounded, ended."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any, cast

import gevent
import gevent.socket
import pytest
from flask import Flask
from gevent.event import Event
from gevent.pywsgi import WSGIServer
from geventwebsocket.handler import WebSocketHandler

from appliance.admin import broadcast as broadcast_module
from appliance.admin.app import create_app
from appliance.admin.broadcast import MOST_LISTENERS, MOST_WAITING_BYTES, Broadcast
from appliance.admin.context import context_of
from appliance.admin.log_ring import LogRing
from tests.admin.conftest import TOKEN, FakeState
from tests.admin.records import record

SECONDS = 10


@pytest.fixture
def app(state: FakeState) -> Flask:
    return create_app(cast(Any, state), LogRing())


@pytest.fixture
def opened(address: tuple[str, int]) -> Iterator[Callable[..., Page]]:
    """Opens a page, and closes it in the end."""
    pages: list[Page] = []

    def open_page(query: str = "", receive_buffer: int = 0) -> Page:
        pages.append(Page(address, query, receive_buffer))
        return pages[-1]

    yield open_page
    for page in pages:
        page.close()


@pytest.fixture
def address(app: Flask) -> Iterator[tuple[str, int]]:
    server = WSGIServer(("127.0.0.1", 0), app, handler_class=WebSocketHandler, log=None)
    server.start()
    yield server.address
    context_of(app).broadcast.close()
    server.stop(timeout=1)


class Page:
    """An open page, as far as its events go."""

    def __init__(self, address: tuple[str, int], query: str = "", receive_buffer: int = 0) -> None:
        sock = self.socket = gevent.socket.socket()
        if receive_buffer:
            sock.setsockopt(gevent.socket.SOL_SOCKET, gevent.socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(SECONDS)
        sock.connect(address)
        sock.sendall(f"GET /api/v1/events{query} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
        self.data = b""

    def until(self, text: bytes) -> bytes:
        """All that has come, when this is part of it."""
        while text not in self.data:
            piece = self.socket.recv(65536)
            assert piece, f"ended without {text!r}: {self.data!r}"
            self.data += piece
        return self.data

    def ended(self) -> bool:
        """Whether the server has ended the answer."""
        while piece := self.socket.recv(65536):
            self.data += piece
            if self.data.endswith(b"\r\n0\r\n\r\n"):
                return True
        return True

    def close(self) -> None:
        self.socket.close()


def settled(broadcast: Broadcast, count: int) -> None:
    with gevent.Timeout(SECONDS):
        while len(broadcast) != count:
            gevent.sleep(0.005)


def test_events_come_as_they_happen(app: Flask, state: FakeState, opened: Callable[..., Page]) -> None:
    broadcast, page = context_of(app).broadcast, opened("?log=1")
    head = page.until(b"retry: ")
    assert b"Content-Type: text/event-stream" in head and b"Transfer-Encoding: chunked" in head
    watch = context_of(app).watch
    assert watch is not None and state.inspector is not None
    watch.look()
    assert json.loads(page.until(b"event: sample").rpartition(b"data: ")[2].split(b"\n")[0])["clients"] == 0
    state.comings.connected("0" * 32, "127.0.0.1:1", "<script>")
    page.until(b'"kind":"connected"')
    record(state.inspector, path="/?token=hush")
    assert b"hush" not in page.until(b'"state":"done"')
    context_of(app).lines.emit(logging.makeLogRecord({"name": "x", "msg": "a line", "levelno": 20}))
    page.until(b"a line")
    page.close()
    broadcast.publish("sample", 1)
    gevent.sleep(0)
    broadcast.publish("sample", 2)  # the first one only brought the reset
    settled(broadcast, 0)


def test_the_log_is_for_who_asks(app: Flask, opened: Callable[..., Page]) -> None:
    page = opened()
    page.until(b"retry: ")
    context_of(app).lines.emit(logging.makeLogRecord({"name": "x", "msg": "a line", "levelno": 20}))
    context_of(app).broadcast.publish("sample", "last")
    assert b"a line" not in page.until(b"last")


def test_a_slow_page_is_dropped_and_hinders_nobody(app: Flask, opened: Callable[..., Page]) -> None:
    broadcast = context_of(app).broadcast
    slow, quick = opened(receive_buffer=4096), opened()
    slow.until(b"retry: ")
    quick.until(b"retry: ")
    piece = "x" * 200_000
    for number in range(MOST_WAITING_BYTES // len(piece) * 8):
        broadcast.publish("sample", f"{piece}{number}")
        quick.data = b""
        quick.until(f"{number}".encode() + b'"\n\n')
        if broadcast.wanted("sample") and any(listener.closed for listener in broadcast._listeners):
            break
    else:
        pytest.fail("the slow one was never dropped")
    slow.close()
    settled(broadcast, 1)


def test_there_is_room_for_so_many(app: Flask, opened: Callable[..., Page]) -> None:
    pages = [opened() for _ in range(MOST_LISTENERS)]
    for page in pages:
        page.until(b"retry: ")
    refused = opened()
    assert b" 503 " in refused.until(b"}\n") and b"Retry-After" in refused.data
    assert b"application/problem+json" in refused.data
    pages[0].close()
    context_of(app).broadcast.publish("sample", 1)
    gevent.sleep(0)
    context_of(app).broadcast.publish("sample", 2)
    settled(context_of(app).broadcast, MOST_LISTENERS - 1)
    again = opened()
    again.until(b"retry: ")


def test_silence_is_noticed(app: Flask, opened: Callable[..., Page], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcast_module, "HEARTBEAT_SECONDS", 0.02)
    page = opened()
    page.until(b": still here")
    page.close()
    settled(context_of(app).broadcast, 0)


def test_the_server_can_stop(app: Flask, opened: Callable[..., Page]) -> None:
    page = opened()
    page.until(b"retry: ")
    context_of(app).broadcast.close()
    assert page.ended() and len(context_of(app).broadcast) == 0


def test_a_head_request_listens_to_nothing(app: Flask, address: tuple[str, int]) -> None:
    sock = gevent.socket.create_connection(address, timeout=SECONDS)
    sock.sendall(f"HEAD /api/v1/events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
    assert sock.recv(1000).startswith(b"HTTP/1.1 200")
    assert len(context_of(app).broadcast) == 0
    sock.close()


def test_the_watch_looks_each_second_while_somebody_does(
    app: Flask, opened: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = context_of(app).watch
    assert watch is not None
    looked, asked = [], Event()
    original = watch.look

    def look() -> None:
        original()
        looked.append(len(context_of(app).broadcast))
        asked.set()

    monkeypatch.setattr(watch, "look", look)
    watch.start()
    assert asked.wait(SECONDS) and looked == [0]
    page = opened()
    page.until(b"event: sample")
    assert looked[-1] == 1, "at once, not when the next look would have been due"
    page.data = b""
    page.until(b"event: sample")
    watch.stop()
    assert page.ended()
