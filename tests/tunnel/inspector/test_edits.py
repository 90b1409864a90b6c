"""A request again, changed or not, and what cannot be sent."""

from __future__ import annotations

import pytest

from appliance.tunnel.inspector.edits import Edits, ReplayError, head_bytes, request_again
from appliance.tunnel.inspector.record import Part, Record, now
from appliance.wire.http1 import parse_request

HEAD = (
    b"POST /a?b HTTP/1.1\r\nHost: a.example\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n"
    b"Connection: close\r\nTE: trailers\r\nExpect: 100-continue\r\n\r\n"
)


def recorded(head: bytes = HEAD, body: bytes = b"body", size: int = 4, complete: bool = True) -> Record:
    at, began = now()
    return Record(1, at, began, "a.example", request=Part(head, bytearray(body), size, complete))


def test_as_it_was() -> None:
    assert request_again(recorded(), Edits()) == (
        [(b"Host", b"a.example"), (b"X-A", b"1")],
        b"POST",
        b"/a?b",
        b"body",
    )


def test_changed() -> None:
    edits = Edits(b"PUT", b"/c", ((b"Host", b"b"), (b"content-length", b"7")), b"")
    assert request_again(recorded(), edits) == ([(b"Host", b"b")], b"PUT", b"/c", b"")
    # A body in place of one that was not kept.
    assert request_again(recorded(size=5), Edits(body=b"x"))[3] == b"x"


@pytest.mark.parametrize(
    "edits",
    [
        Edits(method=b"GE T"),
        Edits(method=b""),
        Edits(method=b"CONNECT"),
        Edits(path=b"a"),
        Edits(path=b"/a b"),
        Edits(path=b"/a\r\nX: y"),
        Edits(path=b"/a#b"),
        Edits(path=b"http://other/"),
        Edits(headers=((b"A B", b"c"),)),
        Edits(headers=((b"A", b"b\r\nC: d"),)),
        Edits(headers=((b"A", b"\0"),)),
        Edits(headers=((b"A", b"x" * 66_000),)),
        Edits(headers=((b"A", b"b"),) * 300),
        Edits(headers=((b"Host", b"a.example"), (b"host", b"a.example"))),
    ],
)
def test_what_cannot_be_sent(edits: Edits) -> None:
    with pytest.raises(ReplayError):
        request_again(recorded(), edits)


@pytest.mark.parametrize(
    "record",
    [
        recorded(head=b""),
        recorded(size=5),
        recorded(complete=False),
        recorded(head=b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
    ],
)
def test_what_was_not_kept_whole(record: Record) -> None:
    with pytest.raises(ReplayError):
        request_again(record, Edits())


@pytest.mark.parametrize(("method", "body", "length"), [(b"GET", b"", None), (b"POST", b"", 0), (b"GET", b"abc", 3)])
def test_the_head_is_one(method: bytes, body: bytes, length: int | None) -> None:
    head = parse_request(head_bytes(method, b"/", [(b"Host", b"a")], body))
    assert head is not None and head.length == length and head.method == method
