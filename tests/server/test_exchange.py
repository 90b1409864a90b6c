"""What is measured of one request. What becomes of requests and answers: tests/end_to_end and tests/conformance."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from gevent.event import Event

from appliance.server import exchange, upload
from tests.end_to_end.house import House, Visitor, a_house, until
from tests.stage.upstream import Exchange
from tests.stage.visitor import get


def _long_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on, the edge's clock is a quarter of an hour ahead."""
    ahead = SimpleNamespace(monotonic=lambda: time.monotonic() + 1000)
    monkeypatch.setattr(exchange, "time", ahead)
    monkeypatch.setattr(upload, "time", ahead)


def _times(house: House) -> tuple[float, float]:
    """Seconds of the one request there was: in all, and until its answer began."""
    [whole], [wait] = house.server.state.http.series.values(), house.server.state.http.waits.values()
    assert sum(whole[:-1]) == sum(wait[:-1]) == 1
    return whole[-1], wait[-1]


def test_an_answer_that_lasts_is_not_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    with a_house() as house:
        upstream = house.upstream()
        house.client(f"a.example={upstream.url}")
        go_on = Event()

        def events(answer: Exchange) -> None:
            answer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n1")
            assert go_on.wait(10)
            answer.send(b"2")

        upstream.scripts["/"] = events
        with Visitor(house.port) as visitor:
            visitor.send(get("/", "a.example"))
            assert visitor.reader.head().status == 200
            _long_after(monkeypatch)
            go_on.set()
            until(lambda: house.server.state.http.series, "it is counted")
        whole, wait = _times(house)
        assert whole >= 1000 > wait


def test_an_upload_that_lasts_is_not_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    with a_house() as house:
        upstream = house.upstream()
        house.client(f"a.example={upstream.url}")
        with Visitor(house.port) as visitor:
            visitor.send(b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\n1")
            until(lambda: upstream.recorded, "the upload is under way")
            _long_after(monkeypatch)
            visitor.send(b"2")
            assert visitor.answer().status == 200
            until(lambda: house.server.state.http.series, "it is counted")
        whole, wait = _times(house)
        assert whole >= 1000 > wait
