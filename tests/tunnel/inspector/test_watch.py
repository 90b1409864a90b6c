"""The edge's ear, with streams and clients that are none: what it makes of tries, answers and ends."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from appliance.transport.connection import Connection
from appliance.transport.stream import Stream
from appliance.transport.tapped import TappedStream, tap
from appliance.tunnel.inspector.record import BROKEN, DONE, LEFT, OPEN, Record
from appliance.tunnel.inspector.store import Inspector
from appliance.tunnel.inspector.watch import EARLY, MORE, Watch
from appliance.tunnel.pool import Pool
from appliance.tunnel.router import Member
from appliance.wire.http1 import parse_request
from appliance.wire.messages import Finish, Open, Refuse
from tests.transport.wires import Wires

GET = b"GET /x HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
UPGRADE = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCHING = b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
PAGE = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\n502\n"


class Scene:
    def __init__(self, wires: Wires) -> None:
        self._wires = wires
        self.inspector = Inspector()
        self.record: Record = self.inspector.begin("a.example")
        request = parse_request(GET)
        assert request is not None
        self.watch = Watch(self.inspector, self.record, request, b"9.9.9.9")

    def stream(self) -> Stream:
        connection: Connection = self._wires.connection()[0]
        return Stream(connection, server=True, plain=True)

    def pair(self) -> tuple[Stream, Stream]:
        return self._wires.streams(tls=False)

    @property
    def session(self) -> Any:
        return SimpleNamespace(client_id="c" * 32, name="")

    def attach(self, target: str = "http://a:1") -> Stream:
        stream = self.stream()
        self.watch.attach(stream, Member(self.session, target, b""))
        return stream

    def hear(self, *events: Any) -> Record:
        """As in the test of `overhear`: the edge's bytes are bytes, the upstream's are in a tuple."""
        self.attach()
        for event in events:
            if isinstance(event, bytes):
                self.watch.went([event])
            else:
                self.watch.came(list(event) if isinstance(event, tuple) else event)
        return self.record


@pytest.fixture
def scene(wires: Wires) -> Scene:
    return Scene(wires)


def test_what_is_known_before_anything_is_sent(scene: Scene) -> None:
    record = scene.record
    assert (record.method, record.path, record.visitor, record.state) == ("GET", "/x", "9.9.9.9", OPEN)
    scene.watch.end()
    assert record.state == BROKEN and record.why


def test_it_listens_to_one_stream_and_lets_go(scene: Scene) -> None:
    first = scene.attach()
    assert type(first) is TappedStream and first.tap is scene.watch
    second = scene.attach("http://b:1")
    assert type(first) is Stream and second.tap is scene.watch
    assert scene.record.tries == ["http://a:1: no answer"]
    assert (scene.record.target, scene.record.client_id, scene.record.link_seconds) == ("http://b:1", "c" * 32, None)
    scene.watch.end()
    assert type(second) is Stream and second.tap is None


def test_the_round_trip_is_measured_by_a_ping_ahead_of_the_request(scene: Scene) -> None:
    opener, carrier = scene.pair()
    scene.watch.attach(opener, Member(scene.session, "http://a:1", b""))
    opener.open(Open("http://a:1"), GET)
    assert carrier.read() == Open("http://a:1")  # and has answered what came before that
    assert scene.record.link_seconds is None
    carrier.read()
    carrier.write(OK)
    assert b"".join(map(bytes, opener.read() or ())) == OK
    link = scene.record.link_seconds
    assert link is not None and link > 0
    opener.ping_now()  # as a pool does
    carrier.ping_now()
    carrier.write(OK)
    assert opener.read() and carrier._later is not None
    assert scene.record.link_seconds == link


def test_another_listener_is_left_alone(scene: Scene) -> None:
    stream = scene.attach()
    stream.tap = other = object()  # it has come to somebody else meanwhile
    scene.watch.end()
    assert stream.tap is other


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([GET, (OK,)], (DONE, "")),
        ([GET, (OK, b"x")], (DONE, MORE)),
        ([POST, (OK,)], (DONE, EARLY)),
        ([GET, (OK[:-1],)], (BROKEN, "it ended before its answer did")),
        ([GET, (OK[:-1],), Finish()], (BROKEN, "the upstream ended before its answer did")),
        ([GET, (OK[:-1],), Finish(0, True)], (BROKEN, "the upstream cut the connection off")),
        ([GET, (OK[:-1],), None], (BROKEN, "the client was lost")),
        ([GET, (b"HTTP/1.1 200 OK\r\n\r\nall",), Finish()], (DONE, "")),
        ([GET, (b"nonsense\n\n",)], (BROKEN, "not understood: the upstream's answer is malformed")),
        ([UPGRADE, (SWITCHING,), Finish()], (DONE, "")),
        ([UPGRADE, (SWITCHING,), None], (BROKEN, "the client was lost")),
        ([UPGRADE, (SWITCHING, b"\x88\x00"), None], (DONE, "")),
    ],
)
def test_ends(scene: Scene, events: list[Any], state: tuple[str, str]) -> None:
    record = scene.hear(*events)
    scene.watch.end()
    assert (record.state, record.why) == state


@pytest.mark.parametrize(
    ("content_type", "left", "state"),
    [
        (b"text/event-stream; charset=utf-8", True, (DONE, "the visitor left the stream of events")),
        (b"text/event-stream", False, (BROKEN, "the client was lost")),
        (b"text/plain", True, (LEFT, "the visitor has left")),
        (b"text/plain", False, (BROKEN, "the client was lost")),
    ],
)
def test_a_stream_of_events_ends_by_leaving(
    scene: Scene, content_type: bytes, left: bool, state: tuple[str, str]
) -> None:
    scene.hear(GET, (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: " + content_type + b"\r\n\r\n",))
    scene.watch.why, scene.watch.left = "the visitor has left" if left else "the client was lost", left
    scene.watch.end()
    assert (scene.record.state, scene.record.why) == state


def test_the_visitor_leaves_although_the_answer_is_there(scene: Scene) -> None:
    record = scene.hear(GET, (OK,))
    scene.watch.why = "the visitor has left"
    scene.watch.end()
    assert (record.state, record.why) == (BROKEN, "the visitor has left")


@pytest.mark.parametrize("sent", [True, False])
def test_an_answer_of_the_edge_itself(scene: Scene, sent: bool) -> None:
    if sent:
        scene.hear(GET, Refuse("timeout"))
    scene.watch.answered(POST + b"ab", PAGE)
    scene.watch.end()
    record = scene.record
    assert (record.state, record.status, record.edge) == (DONE, 502, True)
    assert record.why == ("not reached (timeout)" if sent else "")
    assert record.request.head == (GET if sent else POST)
    assert record.request.size == (0 if sent else 2)
    assert (record.sent_at is None) is not sent
    assert record.response is not None and record.response.head + bytes(record.response.body) == PAGE
    assert record.response.complete and record.answered_at is None
    assert record.held == scene.inspector.held_bytes


def test_an_answer_in_place_of_one_that_was_not_understood(scene: Scene) -> None:
    record = scene.hear(GET, (b"nonsense\n\n",))
    scene.watch.answered(GET, PAGE)
    assert (record.state, record.why) == (DONE, "not understood: the upstream's answer is malformed")


def test_what_nobody_sees_any_more_is_not_listened_to(scene: Scene) -> None:
    stream = scene.attach()
    scene.inspector.clear()
    scene.watch.came([OK])
    assert type(stream) is Stream
    assert type(scene.attach()) is Stream
    scene.watch.end()
    assert scene.inspector.held_bytes == 0


@pytest.mark.parametrize("release", [False, True])
def test_a_pool_ends_the_listening(scene: Scene, release: bool) -> None:
    """Before it gives the stream to who waits for it."""
    stream = scene.attach()
    stream.target = "http://a:1"
    pool = Pool(lambda count: None, lambda error: None, 0, 10)
    stream.tap = None
    pool.add(stream)
    assert pool.take("http://a:1", 0) is stream
    tap(stream, scene.watch)
    if release:
        pool.release(stream, heard_finish=True)
    else:
        stream.target = "http://a:1"
        pool.give_back(stream)
    assert type(stream) is Stream and stream.tap is None
    assert pool.take("http://a:1", 0) is stream
    pool.discard(stream)
