"""Both directions' bytes, whole and byte by byte, to one record; any bytes at all to one, too."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.tunnel.inspector import dialogue as module
from appliance.tunnel.inspector.dialogue import Dialogue
from appliance.tunnel.inspector.record import WEBSOCKET, Record
from appliance.tunnel.inspector.store import Inspector
from appliance.tunnel.inspector.websocket import MessageReader

GET = b"GET /x HTTP/1.1\r\nHost: a.example:80\r\nX-Forwarded-For: 1.2.3.4\r\nX-Request-Id: id\r\n\r\n"
UPGRADE = GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n"


def talk(
    asks: bytes, answers: bytes, size: int = 0, inspector: Inspector | None = None, ended: bool = False
) -> tuple[Dialogue, Record]:
    """Feed a request and its answer in pieces of `size` (0: whole)."""
    inspector = inspector or Inspector()
    record = inspector.begin("")
    dialogue = Dialogue(inspector, record)
    for feed, data in ((dialogue.asks, asks), (dialogue.answers, answers)):
        step = size or max(1, len(data))
        for n in range(0, len(data), step):
            feed([memoryview(data)[n : n + step]])
    if ended:
        dialogue.answer_ended()
    return dialogue, record


def known(record: Record) -> Any:
    """What must be the same however it was fed."""
    parts = [(p.head, bytes(p.body), p.size, p.complete, p.trailers) for p in (record.request, record.response) if p]
    messages = [(m.sender, m.kind, m.size, m.data, m.opaque) for m in record.messages]
    return record.method, record.path, record.name, record.status, record.kind, record.interim, parts, messages


@pytest.mark.parametrize("size", [0, 1, 7])
def test_what_a_list_shows(size: int) -> None:
    dialogue, record = talk(GET, b"HTTP/1.1 204 No Content\r\n\r\n", size)
    assert (record.method, record.path, record.name, record.host) == ("GET", "/x", "a.example", b"a.example:80")
    assert (record.visitor, record.request_id, record.scheme) == ("1.2.3.4", "id", "http")
    assert dialogue.asked and dialogue.answered and not dialogue.excess
    assert record.request.fields[0] == (b"Host", b"a.example:80")
    assert record.request.line == b"GET /x HTTP/1.1"
    assert record.request.field(b"x-request-id") == b"id"
    assert record.request.field(b"none") is None


def test_what_the_edge_says_of_the_visitor() -> None:
    head = GET[:-2] + b"X-Forwarded-Proto: https\r\nX-Forwarded-Host: Public.example\r\n\r\n"
    _, record = talk(head.replace(b"1.2.3.4", b"9.9.9.9, 1.2.3.4"), b"")
    assert (record.visitor, record.scheme, record.name) == ("9.9.9.9", "https", "public.example")


LENGTHS: list[tuple[bytes, bytes, bool]] = [
    (b"Content-Length: 5\r\n\r\nhello", b"hello", True),
    (b"Content-Length: 9\r\n\r\nhello", b"hello", False),
    (b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", b"hello", True),
    (b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nll", b"hell", False),
    (b"\r\n", b"", True),
]


@pytest.mark.parametrize("size", [0, 1, 3])
@pytest.mark.parametrize(("framed", "body", "complete"), LENGTHS)
def test_bodies_both_ways(framed: bytes, body: bytes, complete: bool, size: int) -> None:
    answer = b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\n" + (
        framed if framed != b"\r\n" else b"Content-Length: 0\r\n\r\n"
    )
    dialogue, record = talk(GET.replace(b"GET", b"POST")[:-2] + framed, answer, size)
    assert not dialogue.trouble
    assert (dialogue.asked, dialogue.answered) == (complete, complete)
    assert record.interim == [103]
    for part in (record.request, record.response):
        assert part is not None
        assert (bytes(part.body), part.size, part.complete) == (body, len(body), complete)


def test_a_body_until_the_end() -> None:
    answer = b"HTTP/1.1 200 OK\r\n\r\nuntil the end"
    assert not talk(GET, answer)[0].answered
    dialogue, record = talk(GET, answer, ended=True)
    assert dialogue.answered and record.response is not None and record.response.size == 13
    assert not talk(GET, b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf", ended=True)[0].answered


def test_the_answer_to_head() -> None:
    dialogue, record = talk(GET.replace(b"GET", b"HEAD"), b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n")
    assert dialogue.answered and record.response is not None and record.response.size == 0


def test_more_than_the_answer() -> None:
    dialogue, _ = talk(GET, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxyz")
    assert dialogue.answered and dialogue.excess


@pytest.mark.parametrize(
    ("asks", "answers"),
    [
        (b"\x16\x03\x01 TLS", b""),
        (GET.replace(b"Host", b"Ho st"), b""),
        (GET, b"HTTP/1.1 OK\r\n\r\n"),
        (GET, b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n"),
        (GET, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        (GET, SWITCHING),
        (b"", b"HTTP/1.1 200 OK\r\n\r\n"),
        (GET, b"x" * 70_000),
        (b"GET /" + b"x" * 70_000, b""),
    ],
)
def test_trouble_is_said_and_ends_it(asks: bytes, answers: bytes) -> None:
    for size in (0, 997):
        dialogue, record = talk(asks, answers, size)
        assert dialogue.trouble
        before = known(record)
        dialogue.answers([b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"])
        dialogue.asks([b"more"])
        assert known(record) == before


def test_a_fault_of_ours_is_trouble(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(module, "parse_request", lambda *_: 1 // 0)
    assert talk(GET, b"")[0].trouble == "the inspector crashed"
    assert "please report this" in caplog.text


@pytest.mark.parametrize("size", [0, 1, 5])
def test_an_upgrade(size: int) -> None:
    dialogue, record = talk(UPGRADE, SWITCHING + b"\x81\x05hello", size)
    assert dialogue.upgraded and record.kind == WEBSOCKET and record.status == 101
    dialogue.asks([b"\x88\x82abcd", b"\x62\x8a"])
    assert [(m.sender, m.kind, m.data) for m in record.messages] == [
        ("upstream", "text", b"hello"),
        ("visitor", "close", b"\x03\xe8"),
    ]
    assert dialogue.closing
    assert record.request.size == 8


def test_an_upgrade_to_something_else() -> None:
    head = UPGRADE.replace(b"websocket", b"other")
    dialogue, record = talk(head, SWITCHING.replace(b"WebSocket", b"other") + b"\x81\x05hello")
    assert dialogue.upgraded and record.kind == "http" and not record.messages
    assert record.response is not None and record.response.size == 7


def test_frames_that_are_none_leave_the_connection_alone() -> None:
    dialogue, record = talk(UPGRADE, SWITCHING + b"\x81\x02ok" + b"\xff" * 50)
    dialogue.asks([b"\x81\x02hi"])
    assert not dialogue.trouble and "messages of the upstream were not understood" in record.why
    assert [m.data for m in record.messages] == [b"ok", b"hi"]
    assert record.response is not None and record.response.size == 54


def test_memory_is_given_back() -> None:
    inspector = Inspector()
    deflate = SWITCHING[:-2] + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    dialogue, record = talk(
        UPGRADE, deflate + b"\x82\x7f" + (1 << 40).to_bytes(8, "big") + bytes(100_000), 0, inspector
    )
    assert 65536 + 90_000 < record.held == inspector.held_bytes < 170_000
    dialogue.end_messages()
    assert record.held == inspector.held_bytes < 10_000


def test_a_fault_of_ours_after_an_upgrade_gives_memory_back(monkeypatch: pytest.MonkeyPatch) -> None:
    inspector = Inspector()
    dialogue, record = talk(UPGRADE, SWITCHING + b"\x82\x7e\xff\xff" + bytes(60_000), 0, inspector)
    assert record.held > 60_000
    monkeypatch.setattr(MessageReader, "feed", lambda *_: 1 // 0)
    dialogue.answers([b"x"])
    assert dialogue.trouble and record.held == inspector.held_bytes < 10_000


def test_one_that_is_forgotten_goes_on() -> None:
    inspector = Inspector(max_records=1)
    first = inspector.begin("")
    dialogue = Dialogue(inspector, first)
    dialogue.asks([GET.replace(b"GET", b"PUT")[:-2] + b"Content-Length: 9\r\n\r\nabc"])
    talk(GET, b"", inspector=inspector)
    assert first.dropped and not first.request.body and not first.request.head
    dialogue.asks([b"defghi"])
    dialogue.answers([b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"])
    assert dialogue.asked and dialogue.answered and not first.request.body
    assert inspector.held_bytes == sum(record.held for record in inspector.records())


PIECES = st.lists(
    st.sampled_from(
        [
            GET,
            UPGRADE,
            SWITCHING,
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"Content-Length: 3\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"\r\n",
            b"3\r\nabc\r\n",
            b"0\r\n\r\n",
            b"abc",
            b"\x81\x02hi",
            b"\x00",
            b"\n",
        ]
    )
    | st.binary(max_size=20),
    max_size=8,
).map(b"".join)


@settings(deadline=None)
@given(asks=PIECES, answers=PIECES, size=st.integers(1, 9), begun=st.sampled_from([b"", GET, UPGRADE]))
def test_any_bytes_however_fed(asks: bytes, answers: bytes, size: int, begun: bytes) -> None:
    whole, first = talk(begun + asks, answers)
    pieces, second = talk(begun + asks, answers, size)
    assert bool(whole.trouble) == bool(pieces.trouble)
    if not whole.trouble:
        assert known(first) == known(second)
        assert (whole.excess, whole.closing, whole.note) == (pieces.excess, pieces.closing, pieces.note)
