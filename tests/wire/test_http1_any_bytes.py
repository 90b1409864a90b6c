"""Heads out of any bytes: values or HeadError, however cut; h11 reads what is written as it was meant."""

from __future__ import annotations

import h11
from hypothesis import example, given, settings
from hypothesis import strategies as st

from appliance.wire.forwarding import request_to_upstream, response_to_visitor
from appliance.wire.http1 import (
    CHUNKED,
    UNTIL_CLOSE,
    HeadError,
    RequestHead,
    ResponseHead,
    parse_request,
    parse_response,
)

Outcome = tuple[object, ...] | None


def described(head: RequestHead | ResponseHead) -> tuple[object, ...]:
    return tuple(tuple(value) if isinstance(value, list) else value for value in
                 (getattr(head, name) for name in head.__slots__))  # fmt: skip


def outcome(data: bytes) -> Outcome:
    """What parsing `data` whole gives: the head's values, the error, or None for `not complete`."""
    try:
        head = parse_request(data)
    except HeadError as error:
        return (error.status, error.reason)
    return head and described(head)


def by_byte(data: bytes) -> Outcome:
    """The same, as the bytes come one at a time."""
    for size in range(1, len(data) + 1):
        try:
            head = parse_request(data[:size], 0, size - 1)
        except HeadError as error:
            return (error.status, error.reason)
        if head is not None:
            return described(head)
    return None


def outcome_of_answer(data: bytes, method: bytes, sizes: range) -> Outcome:
    for size in sizes:
        try:
            head = parse_response(data[:size], method)
        except HeadError as error:
            return (error.status,)
        if head is not None:
            return described(head)
    return None


MORSELS = [
    b"GET", b"POST", b"OPTIONS", b"CONNECT", b" ", b"/", b"*", b"http://a", b"a", b"?", b"#",
    b" HTTP/1.1", b" HTTP/1.0",
    b" HTTP/2", b"\r\n", b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"\0", b"\t", b":", b": ", b",",
    b"Host: a", b"Host",
    b"Content-Length: 5", b"Content-Length: 0", b"Transfer-Encoding: chunked", b"chunked",
    b"Connection: ", b"close",
    b"keep-alive", b"Upgrade", b"Upgrade: websocket", b"Expect: 100-continue",
    b"X-Forwarded-For: 1", b"X", b"\xff",
    b"HTTP/1.1 200 OK", b"HTTP/1.0 204 No Content", b"HTTP/1.1 101 ", b"5",
]  # fmt: skip
some_morsels = st.lists(st.sampled_from(MORSELS), max_size=16).map(b"".join)
anything = st.one_of(
    st.binary(max_size=80),
    some_morsels,
    some_morsels.map(lambda some: b"GET / HTTP/1.1\r\nHost: a\r\n" + some),
    some_morsels.map(lambda some: b"HTTP/1.1 200 OK\r\n" + some),
)
FUZZ = settings(max_examples=400, deadline=None)


@FUZZ
@given(anything)
@example(b"GET / HTTP/1.1\r\nHost: a\r\n\nX\r\n\r\n")
@example(b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
@example(b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
def test_any_bytes_have_one_outcome_whole_and_byte_by_byte(data: bytes) -> None:
    assert outcome(data) == by_byte(data)


@FUZZ
@given(anything, st.sampled_from([b"GET", b"HEAD"]))
def test_any_bytes_from_an_upstream_have_one_outcome(data: bytes, method: bytes) -> None:
    assert outcome_of_answer(data, method, range(1, len(data) + 1)) == outcome_of_answer(
        data, method, range(len(data), len(data) + 1)
    )


# ---- what parses is written anew so that a second, stricter reader understands the same

tokens = st.text("!#$%&'*+.^_`|~09AZaz-", min_size=1, max_size=12).map(str.encode)
values = st.binary(max_size=20).map(
    lambda raw: bytes(byte for byte in raw if (byte >= 0x20 and byte != 0x7F) or byte == 9)
)
fields = st.one_of(
    st.tuples(tokens, values).map(b": ".join),
    st.sampled_from([
        b"Content-Length: 7", b"Content-Length: 007", b"Transfer-Encoding: chunked",
        b"Connection: close, x-a", b"X-A: 1",
        b"Connection: Upgrade", b"Upgrade: websocket", b"Expect: 100-continue",
        b"X-Forwarded-For: 6.6.6.6", b"TE: x",
        b"Content_Length: 9", b"Keep-Alive: 5", b"X-Request-Id: q",
    ]),
)  # fmt: skip
targets = st.text("/ab?=&%.~!*'();@,[]{}|\\^\"<>", max_size=12).map(lambda text: b"/" + text.encode())
versions = st.sampled_from([b"1.0", b"1.1", b"1.9"])
field_lists = st.lists(fields, max_size=8)


def joined(lines: list[bytes]) -> bytes:
    return b"".join(line + b"\r\n" for line in lines)


@FUZZ
@given(method=tokens, target=targets, version=versions, lines=field_lists)
def test_what_is_forwarded_reads_the_same_to_h11(
    method: bytes, target: bytes, version: bytes, lines: list[bytes]
) -> None:
    try:
        head = parse_request(b"%b %b HTTP/%b\r\nHost: a\r\n%b\r\n" % (method, target, version, joined(lines)))
    except HeadError:
        return
    assert head is not None
    written = request_to_upstream(head, b"up:1", b"192.0.2.1", b"http", b"id", False, b"us")
    reader = h11.Connection(h11.SERVER)
    reader.receive_data(written)
    event = reader.next_event()
    assert isinstance(event, h11.Request)
    assert (event.method, event.target, event.http_version) == (method, target, b"1.1")
    names = [name for name, _ in event.headers]
    assert names.count(b"host") == 1
    assert [value for name, value in event.headers if name == b"x-forwarded-for"] == [b"192.0.2.1"]
    assert [value for name, value in event.headers if name == b"x-request-id"] == [b"id"]
    framing = [(name, value) for name, value in event.headers if name in (b"content-length", b"transfer-encoding")]
    expected = (
        []
        if head.length is None
        else [(b"transfer-encoding", b"chunked")]
        if head.length == CHUNKED
        else [(b"content-length", b"%d" % head.length)]
    )
    assert framing == expected
    assert not set(names) & {b"te", b"keep-alive", b"content_length"}
    again = parse_request(written)
    assert again is not None
    assert (again.method, again.target, again.length, again.upgrade, again.end) == (
        head.method, head.target, head.length, head.upgrade, len(written),
    )  # fmt: skip
    assert [line for line in again.lines if line not in head.lines] == []


@FUZZ
@given(status=st.integers(200, 599), reason=values, lines=field_lists, method=st.sampled_from([b"GET", b"HEAD"]))
def test_what_is_answered_reads_the_same_to_h11(status: int, reason: bytes, lines: list[bytes], method: bytes) -> None:
    try:
        head = parse_response(b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, reason, joined(lines)), method)
    except HeadError:
        return
    assert head is not None
    keep_alive = head.keep_alive or head.length == UNTIL_CLOSE
    written = response_to_visitor(head, 1, keep_alive)
    reader = h11.Connection(h11.CLIENT)
    reader.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    reader.send(h11.EndOfMessage())
    reader.receive_data(written)
    event = reader.next_event()
    assert isinstance(event, h11.Response)
    assert event.status_code == status
    again = parse_response(written, method)
    assert again is not None
    assert again.length == (CHUNKED if head.length == UNTIL_CLOSE else head.length)
    assert again.keep_alive is keep_alive
    assert again.lines == head.lines and again.end == len(written)
