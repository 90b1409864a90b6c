"""What a carrier's stream tells, in the order in which it does, and the records that this makes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.tunnel.inspector.overhear import CUT_OFF, ENDED, GIVEN_UP, LOST, Overhear, parted
from appliance.tunnel.inspector.record import BROKEN, DONE, LEFT, OPEN, Record
from appliance.tunnel.inspector.store import Inspector
from appliance.tunnel.inspector.watch import EARLY, ENOUGH, MORE
from appliance.wire.messages import Finish, Open, Refuse

TARGET = Open("http://127.0.0.1:3000", "[2001:db8::1]:5")
GET = b"GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n"
POST = b"POST /y HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ENDLESS = b"HTTP/1.1 200 OK\r\n\r\nall"
UPGRADE = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCHING = b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


class Stage:
    def __init__(self) -> None:
        self.inspector = Inspector()
        self.given_up = False
        self.ear = Overhear(self.inspector, "c" * 32, self.part)

    def part(self, record: Record) -> None:
        parted(self.inspector, record, self.given_up, record.began_at + 7)

    def hear(self, *events: Any) -> list[Record]:
        """Bytes to the upstream are bytes, those from it are in a tuple; messages of ours are in a list."""
        for event in events:
            if isinstance(event, bytes):
                self.ear.came([event])
            elif isinstance(event, tuple):
                self.ear.went(event)
            elif isinstance(event, list):
                self.ear.said(event[0])
            else:
                self.ear.came(event)
        return self.inspector.records()[::-1]


@pytest.fixture
def stage() -> Stage:
    return Stage()


def states(records: list[Record]) -> list[tuple[str, str]]:
    return [(record.state, record.why) for record in records]


def test_exchange_after_exchange(stage: Stage) -> None:
    records = stage.hear(TARGET, GET, (OK,), POST, b"abc", (OK[:20],), (OK[20:],), GET[:9], GET[9:], (OK,))
    assert states(records) == [(DONE, "")] * 3
    assert [record.path for record in records] == ["/x", "/y", "/x"]
    first = records[0]
    assert (first.visitor, first.target, first.client_id, first.name) == (
        "2001:db8::1",
        TARGET.upstream,
        "c" * 32,
        "a.example",
    )
    assert bytes(records[1].request.body) == b"abc"
    stage.ear.lost()  # the stream ends at rest
    assert states(records) == [(DONE, "")] * 3


def test_to_reach_the_upstream_is_what_it_waits_for(stage: Stage) -> None:
    (record,) = stage.hear(TARGET, GET, (OK,))
    assert record.wait_seconds is not None and record.wait_seconds >= 0
    assert record.began_at <= record.sent_at  # type: ignore[operator]


CASES: list[tuple[list[Any], tuple[str, str]]] = [
    ([GET], (OPEN, "")),
    ([GET, None], (BROKEN, LOST)),
    ([GET, (OK[:-1],), None], (BROKEN, LOST)),
    ([GET, [Finish()]], (BROKEN, ENDED)),
    ([GET, (OK[:-1],), [Finish(5)]], (BROKEN, ENDED)),
    ([GET, (OK[:-1],), [Finish(5, True)]], (BROKEN, CUT_OFF)),
    ([GET, (ENDLESS,), [Finish(5)]], (DONE, "")),
    ([GET, (ENDLESS,), [Finish(5, True)]], (BROKEN, CUT_OFF)),
    ([GET, (OK + b"x",)], (DONE, MORE)),
    ([POST, (OK,)], (DONE, EARLY)),
    ([POST, (OK,), b"abc", Finish()], (DONE, EARLY)),
    ([[Refuse("unreachable")], GET], (BROKEN, "the upstream was not reached (unreachable)")),
    ([GET + GET], (BROKEN, "not understood: more came behind the request before it was answered")),
    ([b"\x00\x01"], (BROKEN, "not understood: this is not HTTP")),
    ([GET, (b"nonsense\r\n\r\n",)], (BROKEN, "not understood: the upstream's answer is malformed")),
    ([UPGRADE, (SWITCHING,)], (OPEN, "")),
    ([UPGRADE, (SWITCHING,), None], (BROKEN, LOST)),
    ([UPGRADE, (SWITCHING + b"\x88\x00",), None], (DONE, "")),
    ([UPGRADE, (SWITCHING,), [Finish()], None], (DONE, "")),
    ([UPGRADE, (SWITCHING,), [Finish(0, True)]], (BROKEN, CUT_OFF)),
]


@pytest.mark.parametrize(("events", "state"), CASES)
def test_ends(stage: Stage, events: list[Any], state: tuple[str, str]) -> None:
    assert states(stage.hear(TARGET, *events)) == [state]


@pytest.mark.parametrize(("events", "state"), CASES)
def test_after_any_end_a_stream_opened_anew_is_heard(stage: Stage, events: list[Any], state: tuple[str, str]) -> None:
    records = stage.hear(TARGET, *events, TARGET, GET, (OK,))
    assert states(records)[1:] == [(DONE, "")]
    assert records[0].state != OPEN


EVENTS_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([GET, None], (LEFT, GIVEN_UP)),
        ([GET, (OK[:-1],), None], (LEFT, GIVEN_UP)),
        ([GET, (EVENTS_HEAD,), None], (DONE, ENOUGH)),
        ([UPGRADE, (SWITCHING,), None], (LEFT, GIVEN_UP)),
        ([UPGRADE, (SWITCHING + b"\x88\x00",), None], (DONE, "")),
        ([GET, (OK[:-1],), [Finish(5, True)], None], (BROKEN, CUT_OFF)),
        ([GET, (OK,), None], (DONE, "")),
    ],
)
def test_a_visitor_that_leaves_is_told_from_a_tunnel_that_is_lost(
    stage: Stage, events: list[Any], state: tuple[str, str]
) -> None:
    stage.given_up = True
    assert states(stage.hear(TARGET, *events)) == [state]


def test_after_an_early_answer_the_rest_is_still_the_same_request(stage: Stage) -> None:
    records = stage.hear(TARGET, POST + b"a", (OK,), b"bc", GET, (OK,))
    assert states(records) == [(DONE, EARLY), (DONE, "")]
    assert records[0].request.complete


def test_connections_of_tcp_mode_are_not_listened_to(stage: Stage) -> None:
    assert stage.hear(Open("tcp://127.0.0.1:22", "", confirm=True), b"SSH-2.0", (b"SSH-2.0",), [Finish()], None) == []


def test_bytes_without_an_open(stage: Stage) -> None:
    assert stage.hear(b"abc", (b"abc",), [Finish()], Finish(), None) == []


TOLD: list[Any] = [TARGET, GET, POST, b"abc", UPGRADE, b"\x81\x80abcd", Finish(), None]
TOLD += [(OK,), (ENDLESS,), (SWITCHING,), (b"x",), (b"\x88\x00",), (b"HTTP/1.1 100 C\r\n\r\n",)]
TOLD += [[Finish()], [Finish(0, True)], [Refuse("timeout")]]
EVENTS = st.lists(st.sampled_from(TOLD), max_size=15)


@settings(deadline=None)
@given(EVENTS)
def test_whatever_is_told_in_whatever_order(events: list[Any]) -> None:
    stage = Stage()
    stage.hear(TARGET, *events)
    stage.ear.lost()
    records = stage.inspector.records()
    assert all(record.state != OPEN for record in records)
    assert stage.inspector.held_bytes == sum(record.held for record in records)
