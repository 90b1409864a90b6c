"""A visitor's connection: heads, one after another, and how it ends."""

from __future__ import annotations

from typing import Any

import gevent
import pytest

from appliance.server import visitor as visitor_module
from tests.end_to_end.house import House, until
from tests.stage.visitor import get, request


@pytest.fixture
def names(house: House) -> str:
    house.client(f"a.example={house.upstream().url}")
    return "a.example"


def test_ids_are_never_the_same(house: House, names: str) -> None:
    with house.visitor() as visitor:
        ids = {visitor.ask(get("/", "unknown.example")).one("x-request-id") for _ in range(5)}
        for _ in range(5):
            visitor.ask(get("/", names))
    ids |= {record.message.one("x-request-id") for record in house.upstreams[0].recorded}
    assert len(ids) == 10


@pytest.mark.parametrize("count", [1, 3])
def test_empty_lines_before_a_request(house: House, names: str, count: int) -> None:
    with house.visitor() as visitor:
        for _ in range(2):
            visitor.send(b"\r\n" * count + get("/x", names) + b"\r\n")
            assert visitor.answer().body == b"/x"


def test_a_head_in_pieces(house: House, names: str) -> None:
    with house.visitor() as visitor:
        data = b"\r\n" + get("/x", names, "X-Long: " + "x" * 3000) + get("/y", names)
        for start in range(0, len(data), 97):
            visitor.send(data[start : start + 97])
            gevent.sleep(0)
        assert [visitor.answer().body for _ in range(2)] == [b"/x", b"/y"]


def test_one_who_pipelines_keeps_nobody_waiting(house: House) -> None:
    """Answers of our own cost no wait: without a turn for others in between, thousands would be made in one go."""
    count = 1000
    with house.visitor() as greedy:
        greedy.send(get("/", "unknown.example") * count)
        series = house.server.state.http.series
        seen = {0}  # how many were answered when others had their turns
        while max(seen) < count:
            seen.add(sum(sum(row[:-1]) for row in series.values()))
            gevent.sleep(0)
        assert len(seen) > count / 10
        for _ in range(count):
            assert greedy.answer().status == 404


def test_a_refused_visitor_is_heard_out(house: House) -> None:
    """To close at once would reset the connection, and the answer with it."""
    with house.visitor() as visitor:
        sending = gevent.spawn(visitor.send, b"BAD\r\n\r\n" + bytes(5_000_000))
        assert visitor.answer().status == 400
        sending.get(timeout=5)
        visitor.finish()
        assert visitor.rest() == b""


@pytest.mark.parametrize("limit", ["LINGER_BYTES", "LINGER_SECONDS"])
def test_but_not_for_ever(house: House, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(visitor_module, limit, {"LINGER_BYTES": 100_000, "LINGER_SECONDS": 0.1}[limit])
    with house.visitor() as visitor:
        visitor.send(b"BAD\r\n\r\n")
        assert visitor.answer().status == 400
        sending = gevent.spawn(visitor.send, bytes(50_000_000) if limit == "LINGER_BYTES" else b"")
        until(lambda: house.server.state.http.connections_open == 0, "the connection ends")
        sending.get(timeout=5)


def test_a_refused_visitor_who_has_left(house: House, names: str) -> None:
    visitor = house.visitor()
    visitor.send(b"GET /" + b"x" * 70_000)
    visitor.reset()
    until(lambda: house.server.state.http.connections_total == 1, "it has come")
    until(lambda: house.server.state.http.connections_open == 0, "the connection ends")


def test_a_refused_visitor_who_leaves_meanwhile(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = house.visitor()

    def page(*_: Any, **__: Any) -> bytes:
        visitor.reset()
        return bytes(10_000_000)

    monkeypatch.setattr("appliance.server.pages.page", page)
    visitor.send(b"BAD\r\n\r\n")
    until(lambda: visitor.sock.fileno() < 0, "it has left")
    until(lambda: house.server.state.http.connections_open == 0, "the connection ends")


def test_an_answer_of_ours_that_nobody_takes(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.server.pages.WRITE_SECONDS", 0.1)
    visitor = house.visitor()
    sending = gevent.spawn(visitor.send, get("/", "unknown.example") * 200_000)
    until(lambda: house.server.state.http.refused.get("slow visitor"), "it is given up")
    sending.get(timeout=5)


@pytest.mark.parametrize(
    ("start", "lines", "connection"),
    [
        ("GET / HTTP/1.1", (), None),
        ("GET / HTTP/1.1", ("Connection: close",), "close"),
        ("GET / HTTP/1.0", (), "close"),
        ("GET / HTTP/1.0", ("Connection: keep-alive",), "keep-alive"),
    ],
)
def test_what_becomes_of_the_connection(
    house: House, names: str, start: str, lines: tuple[str, ...], connection: str | None
) -> None:
    with house.visitor() as visitor:
        answer: Any = visitor.ask(request(start, f"Host: {names}", *lines))
        assert (answer.status, answer.one("connection")) == (200, connection)
        if connection == "close":
            assert visitor.rest() == b""
        else:
            assert visitor.ask(get("/next", names)).body == b"/next"
