"""A client's inspector, whose replays go straight to the upstream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from appliance.client import inspection
from appliance.client.inspection import Inspection
from appliance.client.upstream import Upstreams
from appliance.tunnel.inspector.overhear import ENDED
from appliance.tunnel.inspector.record import BROKEN, DONE, OPEN, Record
from appliance.tunnel.inspector.store import TOO_LONG, Inspector
from appliance.wire.address import parse_upstreams
from tests.end_to_end.house import Counts, Upstream, until
from tests.stage.upstream import Exchange, say

HEAD = b"POST /x HTTP/1.1\r\nHost: a.example\r\nX-Request-Id: 1\r\nContent-Length: 4\r\n\r\n"


def no_directories(path: str, browse: bool) -> Any:
    raise AssertionError("no directory is served here")


class Scene:
    def __init__(self) -> None:
        self.counts = Counts()
        self.upstream = Upstream()
        self.inspector = Inspector()
        declared = parse_upstreams([self.upstream.url])
        self.inspection = Inspection(self.inspector, "c" * 32, Upstreams(declared, no_directories, 5.0))

    def recorded(self) -> Record:
        """A request as if it had come through the tunnel."""
        record = self.inspector.begin("a.example")
        record.target, record.client_id = self.upstream.url, "c" * 32
        record.request.head, record.request.complete = HEAD, True
        self.inspector.keep(record, record.request, b"body")
        self.inspector.end(record, DONE)
        return record

    def begin(self) -> Record:
        again = self.inspector.get(self.inspector.replay(self.recorded().id))
        assert again is not None
        return again

    def again(self) -> Record:
        again = self.begin()
        until(lambda: again.state != OPEN, "the replay ends")
        return again


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    scene.inspection.stop()
    until(lambda: not scene.inspection._open, "all is closed")
    scene.upstream.close()
    scene.counts.check()


def test_the_request_is_sent_as_it_was(scene: Scene) -> None:
    record = scene.again()
    assert (record.state, record.status, record.client_id) == (DONE, 200, "c" * 32)
    sent = scene.upstream.recorded[0].message
    assert sent.raw == HEAD and sent.body == b"body"
    assert record.response is not None and bytes(record.response.body) == b"body"
    assert record.wait_seconds is not None and record.upstream_seconds is not None


@pytest.mark.parametrize(
    ("answer", "end", "state", "why"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nall", "close", DONE, ""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "close", BROKEN, ENDED),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "reset", BROKEN, "the upstream was lost"),
        (b"rubbish\r\n\r\n", "close", BROKEN, "not understood"),
        (b"", "close", BROKEN, ENDED),
    ],
)
def test_what_comes_back(scene: Scene, answer: bytes, end: str, state: str, why: str) -> None:
    scene.upstream.scripts["/x"] = say(answer, end=end)
    record = scene.again()
    assert record.state == state and record.why.startswith(why) and bool(record.why) is bool(why)


def test_an_upstream_that_is_not_there(scene: Scene) -> None:
    scene.upstream.close()
    record = scene.again()
    assert record.state == BROKEN and f"{scene.upstream.url} was not reached" in record.why
    assert (record.method, record.path, record.wait_seconds) == ("POST", "/x", None)


def silent(exchange: Exchange) -> None:
    exchange.gone(30)
    exchange.keep = False


def test_an_answer_that_does_not_come(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "REPLAY_SECONDS", 0.1)
    scene.upstream.scripts["/x"] = silent
    assert scene.again().why == TOO_LONG


def test_the_client_stops(scene: Scene) -> None:
    scene.upstream.scripts["/x"] = silent
    record = scene.begin()
    until(lambda: scene.upstream.recorded, "the upstream is asked")
    scene.inspection.stop()
    until(lambda: record.state != OPEN, "it is cut off")
    assert record.state == BROKEN
