"""Chunked bodies: decoded at any cutting, refused where their end could be read in two ways."""

from __future__ import annotations

from collections.abc import Iterable

import h11
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from appliance.wire.chunked import (
    LAST_CHUNK,
    MAX_SIZE_LINE_BYTES,
    MAX_TRAILER_BYTES,
    ChunkedDecoder,
    ChunkedError,
    last_chunk,
)

FUZZ = settings(max_examples=300, deadline=None)


def decoded(pieces: Iterable[bytes]) -> tuple[bytes, list[bytes], bool, int]:
    """Body, trailers, whether the end was seen, and how many bytes belong to the message."""
    decoder = ChunkedDecoder()
    body = b""
    used = 0
    for piece in pieces:
        views, taken = decoder.feed(memoryview(piece))
        body += b"".join(views)
        used += taken
        if decoder.done:
            break
        assert taken == len(piece)
    return body, decoder.trailers, decoder.done, used


def by_byte(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


WELL_FORMED: list[tuple[bytes, bytes, list[bytes]]] = [
    (b"0\r\n\r\n", b"", []),
    (b"000\r\n\r\n", b"", []),
    (b"5\r\nhello\r\n0\r\n\r\n", b"hello", []),
    (b"000000000000005\r\nhello\r\n0\r\n\r\n", b"hello", []),
    (b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2, []),
    (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n", []),
    # extensions are dropped, also such that look like the end (RFC 9112 7.1.1)
    (b'5;a\r\nhello\r\n0;b="x;y"\r\n\r\n', b"hello", []),
    (b"5 \t; a = b ;c\r\nhello\r\n0\r\n\r\n", b"hello", []),
    (b"5;\xff\r\nhello\r\n0\r\n\r\n", b"hello", []),
    # trailers are kept, but for those that frame, route or authenticate (RFC 9110 6.5.1)
    (b"0\r\nX-Sum: 1\r\nServer-Timing: a\r\n\r\n", b"", [b"X-Sum: 1", b"Server-Timing: a"]),
    (b"0\r\nContent-Length: 5\r\nX: 1\r\nHost: b\r\ntransfer-encoding: x\r\n\r\n", b"", [b"X: 1"]),
    (b"0\r\nX-Forwarded-For: 6.6.6.6\r\nX_Forwarded_For: 6\r\nx-request-id: q\r\n\r\n", b"", []),
    (b"0\r\nAuthorization: Basic x\r\nSet-Cookie: a\r\nCookie: b\r\nConnection: close\r\n\r\n", b"", []),
    (b"0\r\nContent-Type: x\r\nContent-Encoding: x\r\nContent-Range: x\r\nTrailer: x\r\n\r\n", b"", []),
]


@pytest.mark.parametrize(("data", "body", "trailers"), WELL_FORMED)
def test_well_formed(data: bytes, body: bytes, trailers: list[bytes]) -> None:
    expected = (body, trailers, True, len(data))
    assert decoded([data]) == expected
    assert decoded(by_byte(data)) == expected
    assert decoded([data + b"GET / HTTP/1.1\r\n"]) == expected  # what follows belongs to the next message


MALFORMED = {
    "no size": b"\r\nhello\r\n",
    "size with 0x": b"0x5\r\nhello\r\n",
    "signed size": b"+5\r\nhello\r\n",
    "negative size": b"-5\r\nhello\r\n",
    "size is not hexadecimal": b"g\r\nhello\r\n",
    "space before the size": b" 5\r\nhello\r\n",
    "space behind the size": b"5 \r\nhello\r\n",
    "underscore in the size": b"1_0\r\n" + b"a" * 16 + b"\r\n",
    "size of 16 digits": b"0000000000000005\r\nhello\r\n",
    "size over 64 bits": b"10000000000000005\r\nhello\r\n",
    "comma in the size": b"5,5\r\nhello\r\n",
    "extension without semicolon": b"5 a\r\nhello\r\n",
    "bare LF behind the size": b"5\nhello\r\n",
    "bare LF in an extension": b"5;a\nb\r\nhello\r\n",
    "bare CR in an extension": b"5;a\rb\r\nhello\r\n",
    "NUL in an extension": b"5;\0\r\nhello\r\n",
    "chunk longer than its size": b"4\r\nhello\r\n",
    "chunk shorter than its size": b"6\r\nhello\r\n0\r\n\r\n",
    "bare LF behind the data": b"5\r\nhello\n0\r\n\r\n",
    "bare CR behind the data": b"5\r\nhello\r0\r\n\r\n",
    "nothing behind the data": b"5\r\nhello0\r\n\r\n",
    "bare LF at the end": b"0\r\n\n",
    "bare LF for the last chunk": b"0\n\n",
    "trailer folded": b"0\r\nX: a\r\n b\r\n\r\n",
    "trailer with space before the colon": b"0\r\nX : a\r\n\r\n",
    "trailer without colon": b"0\r\nX\r\n\r\n",
    "trailer with bare LF": b"0\r\nX: a\nY: b\r\n\r\n",
    "trailer with NUL": b"0\r\nX: \0\r\n\r\n",
    "trailer that is a request": b"0\r\nGET / HTTP/1.1\r\n\r\n",
    "size line too long": b"5;" + b"a" * MAX_SIZE_LINE_BYTES + b"\r\nhello\r\n",
    "size line without end": b"5;" + b"a" * MAX_SIZE_LINE_BYTES,
    "trailers too long": b"0\r\nX: " + b"a" * MAX_TRAILER_BYTES + b"\r\n\r\n",
    "trailers without end": b"0\r\n" + b"X: a\r\n" * (MAX_TRAILER_BYTES // 6 + 1),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(name: str) -> None:
    data = MALFORMED[name]
    with pytest.raises(ChunkedError):
        decoded([data])
    with pytest.raises(ChunkedError):
        decoded(by_byte(data))
    with pytest.raises(ChunkedError):
        decoded([data[:3], data[3:]])


@pytest.mark.parametrize(
    ("before", "filling", "after", "limit"),
    [
        (b"5;", b"a", b"\r\nhello\r\n0\r\n\r\n", MAX_SIZE_LINE_BYTES - len(b"5;\r\n")),
        (b"0\r\nX: ", b"a", b"\r\n\r\n", MAX_TRAILER_BYTES - len(b"X: \r\n\r\n")),
    ],
)
def test_limits_are_met_exactly(before: bytes, filling: bytes, after: bytes, limit: int) -> None:
    for cut in (lambda data: [data], by_byte):
        assert decoded(cut(before + filling * limit + after))[2]
        with pytest.raises(ChunkedError):
            decoded(cut(before + filling * (limit + 1) + after))


def test_pieces_are_handed_on_before_a_chunk_is_whole() -> None:
    decoder = ChunkedDecoder()
    pieces, used = decoder.feed(memoryview(b"FFFFFFFFFFFFFFF\r\nhel"))
    assert (b"".join(pieces), used) == (b"hel", 20)
    pieces, used = decoder.feed(memoryview(b"lo"))
    assert (b"".join(pieces), used, decoder.done) == (b"lo", 2, False)


def test_nothing_is_taken_after_the_end() -> None:
    decoder = ChunkedDecoder()
    decoder.feed(memoryview(LAST_CHUNK))
    assert decoder.feed(memoryview(b"more")) == ([], 0)


def test_last_chunk() -> None:
    assert last_chunk([]) == LAST_CHUNK
    assert last_chunk([b"A: 1", b"B: 2"]) == b"0\r\nA: 1\r\nB: 2\r\n\r\n"


# ---- any bytes, any cutting


@st.composite
def cut(draw: st.DrawFn, source: st.SearchStrategy[bytes]) -> list[bytes]:
    data = draw(source)
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    return [data[i:j] for i, j in zip([0, *places], [*places, len(data)], strict=True)]


MORSELS = [
    b"5",
    b"0",
    b"a",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b";",
    b" ",
    b"hello",
    b"X: 1",
    b":",
    b"\0",
    b"0\r\n",
]
anything = st.one_of(st.binary(max_size=60), st.lists(st.sampled_from(MORSELS), max_size=20).map(b"".join))


def outcome(pieces: Iterable[bytes]) -> tuple[bytes, list[bytes], bool, int] | None:
    try:
        return decoded(pieces)
    except ChunkedError:
        return None


@FUZZ
@given(cut(anything))
@example([b"5\r\nhello\r", b"\n0\r\n\r\n"])
@example([b"0\r\nX: 1\r\n\r", b"\n"])
@example([b"0\r\n", b"\n"])
def test_any_bytes_have_one_outcome_at_any_cutting(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    whole = outcome([data])
    assert outcome(pieces) == whole
    assert outcome(by_byte(data)) == whole


@FUZZ
@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.booleans(), st.data())
def test_round_trip_at_any_cutting(chunks: list[bytes], trailed: bool, data: st.DataObject) -> None:
    trailers = [b"X-Sum: 1"] if trailed else []
    sent = b"".join(b"%X\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + last_chunk(trailers)
    pieces = data.draw(cut(st.just(sent + b"next")))
    assert decoded(pieces) == (b"".join(chunks), trailers, True, len(sent))


@FUZZ
@given(anything)
def test_h11_reads_no_other_body(data: bytes) -> None:
    """Where both readers come to an end they agree on it: nobody finds a second message in the first."""
    ours = outcome([data])
    if ours is None or not ours[2]:
        return
    reader = h11.Connection(h11.SERVER)
    reader.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + data)
    assert isinstance(reader.next_event(), h11.Request)
    body = b""
    while isinstance(event := reader.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert body == ours[0]
    assert reader.trailing_data[0] == data[ours[3] :]
