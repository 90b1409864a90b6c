"""A request's body on its way to the upstream."""

from __future__ import annotations

from typing import Any

import gevent
import pytest
from gevent.event import Event

from appliance.server import upload
from tests.end_to_end.house import PATIENCE_SECONDS, House, Upstream, Visitor, until
from tests.stage.upstream import Exchange
from tests.stage.visitor import get, request

HOST = "a.example"


@pytest.fixture
def upstream(house: House) -> Upstream:
    upstream = house.upstream()
    house.client(f"{HOST}={upstream.url}")
    return upstream


@pytest.fixture
def visitor(house: House, upstream: Upstream) -> Visitor:
    return house.visitor()


def post(*lines: str, body: bytes = b"", path: str = "/") -> bytes:
    return request(f"POST {path} HTTP/1.1", f"Host: {HOST}", *lines, body=body)


CHUNKED = "Transfer-Encoding: chunked"


def begun(upstream: Upstream, count: int = 1) -> None:
    until(lambda: len(upstream.recorded) == count, "the upstream has the head")


@pytest.mark.parametrize("framing", ["chunked", "counted"])
def test_the_next_request_comes_with_the_end_of_a_body(upstream: Upstream, visitor: Visitor, framing: str) -> None:
    """Read together, and not lost."""
    for number in range(3):
        if framing == "chunked":
            visitor.send(post(CHUNKED, body=b"2;x=y\r\nab\r\n"))
            begun(upstream, 2 * number + 1)
            visitor.send(b"1\r\nc\r\n0\r\nX-Sum: 1\r\n\r\n" + get("/next", HOST))
        else:
            visitor.send(post("Content-Length: 3", body=b"ab"))
            begun(upstream, 2 * number + 1)
            visitor.send(b"c" + get("/next", HOST))
        assert visitor.answer().body == b"abc"
        assert visitor.answer().body == b"/next"


def test_a_chunk_in_the_smallest_pieces(upstream: Upstream, visitor: Visitor) -> None:
    visitor.send(post(CHUNKED))
    begun(upstream)
    for byte in b"5\r\nhello\r\n0\r\n\r\n":
        visitor.send(bytes([byte]))
        gevent.sleep(0)
    assert visitor.answer().body == b"hello"


def test_chunks_that_are_malformed_from_the_start(upstream: Upstream, visitor: Visitor) -> None:
    visitor.send(post(CHUNKED, body=b"-1\r\n"))
    answer = visitor.answer()
    assert (answer.status, answer.one("connection")) == (400, "close")
    assert not upstream.recorded


def test_chunks_that_are_malformed_later(house: House, upstream: Upstream, visitor: Visitor) -> None:
    visitor.send(post(CHUNKED, body=b"1\r\na\r\n"))
    begun(upstream)
    visitor.send(b"1\r\nbc\r\n")
    answer = visitor.answer()
    assert (answer.status, answer.one("connection")) == (400, "close")
    assert not upstream.recorded[0].complete
    counted = house.server.state.http.series
    assert {key[2]: sum(row[:-1]) for key, row in counted.items()} == {400: 1}


def test_chunks_that_are_malformed_within_the_answer(upstream: Upstream, visitor: Visitor) -> None:
    def script(exchange: Exchange) -> None:
        exchange.keep = False
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        exchange.gone()

    upstream.scripts["/"] = script
    visitor.send(post(CHUNKED))
    assert visitor.reader.head().status == 200
    visitor.send(b"what?\r\n")
    assert len(visitor.rest()) <= 4


def test_an_answer_before_the_end_of_the_upload(house: House, upstream: Upstream, visitor: Visitor) -> None:
    """It is passed on, and the connection ends, for the rest belongs to nobody."""
    upstream.scripts["/"] = lambda exchange: (exchange.answer(b"enough"), exchange.close())  # type: ignore[assignment]
    visitor.send(post("Content-Length: 100000"))
    assert visitor.answer().body == b"enough"
    visitor.send(bytes(50000))
    visitor.finish()
    assert visitor.rest() == b""
    (session,) = house.server.registry.sessions()
    until(lambda: session.streams_used == 0, "no stream is in use")


@pytest.mark.parametrize("status", ["413 Content Too Large", "200 OK"])
def test_who_is_refused_is_told_so_at_once(upstream: Upstream, visitor: Visitor, status: str) -> None:
    upstream.scripts["/"] = lambda exchange: (exchange.answer(b"", status), exchange.close())  # type: ignore[assignment]
    visitor.send(post("Content-Length: 100000"))
    assert visitor.answer().one("connection") == ("close" if status[0] == "4" else None)


def test_an_answer_that_goes_on_while_the_upload_does(upstream: Upstream, visitor: Visitor) -> None:
    """Each waits for the other: whoever took turns for them would stand still."""

    def script(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        for _ in range(10):
            exchange.send(exchange.reader.exactly(1).upper())
        exchange._body_read = True

    upstream.scripts["/"] = script
    visitor.send(post("Content-Length: 10"))
    visitor.reader.head()
    for byte in b"abcdefghij":
        visitor.send(bytes([byte]))
        assert visitor.reader.exactly(1) == bytes([byte]).upper()
    assert visitor.ask(get("/next", HOST)).body == b"/next"


def test_an_upstream_that_stops_reading(house: House, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its time for an answer runs from the last byte that it could have had."""
    held = Event()

    def script(exchange: Exchange) -> None:
        exchange.keep = False
        assert held.wait(PATIENCE_SECONDS)

    upstream.scripts["/"] = script
    assert house.server.edge is not None
    front: Any = house.server.edge.plain
    monkeypatch.setattr(front, "config", _with(front.config, response_timeout=0.3))
    visitor = house.visitor()
    visitor.send(post("Content-Length: 50000000"))
    sending = gevent.spawn(visitor.send, bytes(50_000_000))
    answer = visitor.answer()
    assert (answer.status, answer.one("connection")) == (504, "close")
    visitor.reset()
    with pytest.raises(OSError):
        sending.get(timeout=PATIENCE_SECONDS)
        raise OSError
    held.set()


def _with(config: Any, **changes: Any) -> Any:
    import dataclasses

    return dataclasses.replace(config, **changes)


def test_only_little_is_kept_for_a_second_try(house: House, upstream: Upstream, visitor: Visitor) -> None:
    held, go_on = Event(), Event()

    def script(exchange: Exchange) -> None:
        held.set()
        assert go_on.wait(PATIENCE_SECONDS)
        exchange.answer(b"%d" % len(exchange.read_body()))

    upstream.scripts["/"] = script
    size = upload.KEPT_BYTES
    visitor.send(post(f"Content-Length: {size + 1}"))
    assert held.wait(PATIENCE_SECONDS)
    kept: Any = next(thing for thing in _all(upload.Upload) if thing._left == size + 1)  # not an earlier test's
    visitor.send(bytes(size))
    until(lambda: len(kept.first) == size, "all of it is kept")
    assert kept.repeatable
    visitor.send(b"x")
    until(lambda: not kept.repeatable, "that was too much")
    assert (kept.first, kept.complete) == (b"", True)
    go_on.set()
    assert visitor.answer().body == b"%d" % (size + 1)


def _all(kind: type) -> list[Any]:
    import gc

    return [thing for thing in gc.get_objects() if type(thing) is kind]
