"""Visitor or upstream leaves, or an upstream's kept connection ends: the other hears of it, nobody else does."""

from __future__ import annotations

import threading
import time

import pytest

from tests.conformance.conftest import Stage
from tests.conformance.dialogue import HOST, SOON_SECONDS, passed, post
from tests.stage.messages import Ended
from tests.stage.upstream import Exchange
from tests.stage.visitor import Visitor, get, request

pytestmark = pytest.mark.alone  # how soon the other hears of it is measured


def test_a_visitor_who_leaves_before_the_answer(stage: Stage, visitor: Visitor) -> None:
    check_leaving(stage, visitor, b"")


def test_a_visitor_who_leaves_during_the_answer(stage: Stage, visitor: Visitor) -> None:
    check_leaving(stage, visitor, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")


def check_leaving(stage: Stage, visitor: Visitor, said: bytes) -> None:
    """The upstream's connection ends within a second after the visitor's."""
    waiting, ended = threading.Event(), threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.keep = False
        exchange.send(said)
        waiting.set()
        if exchange.gone():
            ended.set()

    stage.upstream.scripts["/leave"] = script
    visitor.send(get("/leave", HOST))
    passed(waiting, "the upstream has the request")
    if said:
        visitor.reader.until(b"x\r\n")
    left = time.monotonic()
    visitor.sock.close()
    passed(ended, "the upstream's request ends")
    assert time.monotonic() - left < SOON_SECONDS


def test_a_visitor_who_leaves_while_its_upload_is_stuck(stage: Stage, visitor: Visitor) -> None:
    """Nobody reads what it sent, all buffers are full; and yet the upstream hears of it."""
    waiting, left, ended = threading.Event(), threading.Event(), threading.Event()

    def script(exchange: Exchange) -> None:
        waiting.set()
        passed(left, "the visitor has left")
        try:
            exchange.reader.rest()
        except ConnectionResetError:
            pass
        ended.set()
        exchange.close()

    stage.upstream.scripts["/stuck"] = script
    visitor.send(post("/stuck", "Content-Length: 1000000000"))
    passed(waiting, "the upstream has the head")
    visitor.sock.settimeout(0.5)
    with pytest.raises(TimeoutError):
        for _ in range(1000):
            visitor.sock.sendall(bytes(2**20))
    visitor.sock.close()
    left.set()
    assert ended.wait(SOON_SECONDS)


def test_a_visitor_who_leaves_and_has_read_nothing(stage: Stage, visitor: Visitor) -> None:
    stuck, left, ended = threading.Event(), threading.Event(), threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.sock.settimeout(0.5)
        try:
            exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            while True:
                exchange.send(bytes(2**20))
        except TimeoutError:
            stuck.set()
        passed(left, "the visitor has left")
        exchange.close()
        if exchange.gone():
            ended.set()

    stage.upstream.scripts["/unread"] = script
    visitor.send(get("/unread", HOST))
    passed(stuck, "no buffer takes more")
    visitor.sock.close()
    left.set()
    assert ended.wait(SOON_SECONDS)


def test_an_upstream_that_dies_during_the_upload(stage: Stage, visitor: Visitor) -> None:
    stage.upstream.scripts["/dies-early"] = Exchange.reset
    died = time.monotonic()
    visitor.send(post("/dies-early", "Content-Length: 100", body=b"begun"))
    assert visitor.answer().status == 502
    assert time.monotonic() - died < SOON_SECONDS


def test_an_upstream_that_dies_during_the_answer(stage: Stage, visitor: Visitor) -> None:
    arrived = threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        passed(arrived, "the first bytes")
        exchange.reset()

    stage.upstream.scripts["/dies"] = script
    visitor.send(get("/dies", HOST))
    visitor.reader.until(b"hello\r\n")
    arrived.set()
    died = time.monotonic()
    with pytest.raises((Ended, ConnectionResetError)):
        visitor.reader.until(b"0\r\n\r\n")
    assert time.monotonic() - died < SOON_SECONDS


def test_upstream_connections_are_kept(stage: Stage, visitor: Visitor) -> None:
    for number in range(10):
        assert visitor.ask(get(f"/kept/{number}", HOST)).status == 200
    records = stage.upstream.requests("/kept/")
    assert len(records) == 10
    assert len({record.connection for record in records}) == 1


def test_bytes_that_nobody_asked_for_end_a_kept_connection(stage: Stage, visitor: Visitor) -> None:
    """Left there, they would be taken for the answer to the next request."""
    answered, ended = threading.Event(), threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.answer(b"mine")
        passed(answered, "the visitor has its answer")
        exchange.answer(b"poison")
        exchange.keep = False
        if exchange.gone():
            ended.set()

    stage.upstream.scripts["/unasked"] = script
    assert visitor.ask(get("/unasked", HOST)).body == b"mine"
    answered.set()
    passed(ended, "the kept connection is ended")
    assert visitor.ask(get("/next", HOST)).body == b"/next"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_kept_connection_that_has_ended_meanwhile(stage: Stage, visitor: Visitor, method: str) -> None:
    """What the upstream closed while nothing was under way costs nobody an answer."""
    assert visitor.ask(get("/kept", HOST)).status == 200
    open_before = stage.upstream.open_connections
    stage.upstream.drop_connections()
    stage.upstream.wait(lambda: stage.upstream.open_connections < open_before, "connections end")
    data = request(f"{method} /again HTTP/1.1", f"Host: {HOST}", "Content-Length: 5", body=b"hello")
    assert visitor.ask(data).body == b"hello"


@pytest.mark.parametrize(("method", "status", "tries"), [("GET", 200, 2), ("POST", 502, 1)])
def test_a_kept_connection_that_ends_with_the_request(
    stage: Stage, visitor: Visitor, method: str, status: int, tries: int
) -> None:
    """RFC 9110 9.2.2: what may safely be repeated is tried again; the rest may have been acted on."""
    path = f"/ends-{method}"

    def script(exchange: Exchange) -> None:
        first_there = exchange.record is stage.upstream.requests(path)[0]
        kept = sum(record.connection == exchange.record.connection for record in stage.upstream.recorded) > 1
        if first_there and kept:
            exchange.read_body()
            exchange.close()
        else:
            exchange.answer(b"fresh")

    stage.upstream.scripts[path] = script
    assert visitor.ask(get("/kept", HOST)).status == 200
    answer = visitor.ask(request(f"{method} {path} HTTP/1.1", f"Host: {HOST}", "Content-Length: 0"))
    assert answer.status == status
    assert len(stage.upstream.requests(path)) == tries
