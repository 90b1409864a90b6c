"""Frames of any kind, in pieces of any size, to messages; and what a hostile peer may try."""

from __future__ import annotations

import os
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.tunnel.inspector.websocket import (
    MAX_MESSAGE_BYTES,
    Allowance,
    Allowances,
    MessageReader,
    NotUnderstood,
    Seen,
    deflate_of,
)


def frame(first: int, payload: bytes, key: bytes = b"") -> bytes:
    size = len(payload)
    bit = 0x80 if key else 0
    if size < 126:
        head = bytes((first, bit | size))
    elif size < 65536:
        head = bytes((first, bit | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, bit | 127)) + size.to_bytes(8, "big")
    if not key:
        return head + payload
    return head + key + bytes(byte ^ key[n & 3] for n, byte in enumerate(payload))


def read(
    data: bytes, sizes: Any = None, deflate: bool | None = None, reader: MessageReader | None = None
) -> list[Seen]:
    """What comes out when `data` is fed in pieces of these sizes, over and over."""
    reader = reader or MessageReader(Allowances(), deflate)
    seen: list[Seen] = []
    position, turn = 0, 0
    while position < len(data):
        size = sizes[turn % len(sizes)] if sizes else len(data)
        seen += reader.feed(memoryview(data)[position : position + size], 0.0)
        position += size
        turn += 1
    return seen


class Deflate:
    """A sender's compressor. `anew`: without context takeover."""

    def __init__(self, anew: bool = False) -> None:
        self._anew = anew
        self._zlib = zlib.compressobj(wbits=-15)

    def __call__(self, data: bytes) -> bytes:
        packed = self._zlib.compress(data) + self._zlib.flush(zlib.Z_SYNC_FLUSH)
        if self._anew:
            self._zlib = zlib.compressobj(wbits=-15)
        return packed[:-4]


messages = st.lists(
    st.tuples(
        st.sampled_from(["text", "binary"]),
        st.lists(st.binary(max_size=300), min_size=1, max_size=3),  # its fragments
        st.booleans(),  # compressed
        st.sampled_from([b"", b"abcd", b"\0\0\0\0"]),
        st.none() | st.binary(max_size=125),  # a ping between its fragments
    ),
    max_size=6,
)


@settings(deadline=None)
@given(messages=messages, sizes=st.lists(st.integers(1, 400), min_size=1, max_size=4), anew=st.booleans())
def test_any_messages_in_any_pieces(messages: list[Any], sizes: list[int], anew: bool) -> None:
    data, expected = b"", []
    deflate = Deflate(anew)
    for kind, fragments, compressed, key, ping in messages:
        whole = b"".join(fragments)
        payloads = fragments
        if compressed:
            packed = deflate(whole)
            cut = len(packed) // 2
            payloads = [packed[:cut], packed[cut:]]
        for n, payload in enumerate(payloads):
            opcode = {"text": 1, "binary": 2}[kind] if n == 0 else 0
            last = 0x80 if n == len(payloads) - 1 else 0
            data += frame(last | opcode | (0x40 if compressed and n == 0 else 0), payload, key)
            if ping is not None and not last:
                data += frame(0x89, ping, key)
                expected.append(Seen("ping", len(ping), ping, False))
        expected.append(Seen(kind, len(whole), whole, False))
    assert read(data, sizes, anew) == expected
    assert read(data, [1], anew) == expected


def test_a_long_message_is_kept_in_part() -> None:
    data = os.urandom(200_000)
    for key in (b"", b"wxyz"):
        (seen,) = read(frame(0x82, data, key), [1000, 70_000, 3])
        assert (seen.size, seen.data) == (200_000, data[:MAX_MESSAGE_BYTES])
    reader = MessageReader(Allowances())
    assert read(frame(0x82, data)[:-1], reader=reader) == []
    assert reader.held_bytes == MAX_MESSAGE_BYTES


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff" + bytes(12),
        b"\x83\x00",  # an opcode that nobody has
        b"\x80\x00",  # a continuation of nothing
        b"\x01\x00\x01\x00",  # a message within a message
        b"\xc1\x01a",  # compressed, though nobody has agreed to that
        b"\x89\x7e\x00\x80" + bytes(128),  # a long ping
        b"\x09\x00",  # half a ping
        b"\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff",
    ],
)
def test_what_is_no_frame(data: bytes) -> None:
    for sizes in (None, [1]):
        with pytest.raises(NotUnderstood):
            read(b"\x81\x02ok" + data, sizes)


@settings(deadline=None)
@given(st.binary(max_size=300), st.sampled_from([None, False, True]))
def test_any_bytes(data: bytes, deflate: bool | None) -> None:
    """No other error, and the same however it is fed."""
    outcomes = []
    for sizes in (None, [1]):
        reader = MessageReader(Allowances(), deflate)
        seen: list[Seen] = []
        try:
            for n in range(0, len(data), 1 if sizes else max(1, len(data))):
                seen.extend(reader.feed(data[n : n + 1] if sizes else data, 0.0))
            outcomes.append((seen, ""))
        except NotUnderstood as error:
            outcomes.append((seen, str(error)))
    assert outcomes[0] == outcomes[1]


# Compressed


@pytest.mark.parametrize("junk", [b"\xff\xff\xff", b"\x07", os.urandom(50)], ids=["ones", "seven", "any"])
def test_what_cannot_be_inflated(junk: bytes) -> None:
    """What follows is not lost where each message begins anew."""
    good = Deflate(anew=True)(b"hello")
    data = frame(0xC1, junk) + frame(0xC1, good) + frame(0x81, b"plain")
    first, second, third = read(data, deflate=True)
    assert first == Seen("text", len(junk), b"", True) or not first.opaque  # random bytes may be deflated ones
    assert second.data == b"hello" and third.data == b"plain"
    if first.opaque:
        after = read(data, deflate=False)
        assert after[1:] == [Seen("text", len(good), b"", True), Seen("text", 5, b"plain", False)]


def test_a_long_compressed_message_is_kept_in_part() -> None:
    data = os.urandom(200_000)
    (seen,) = read(frame(0xC2, Deflate()(data)), [1000, 70_000], deflate=False)
    assert (seen.size, seen.data) == (200_000, data[:MAX_MESSAGE_BYTES])


def test_final_blocks() -> None:
    """A sender may end its stream with each message (RFC 7692 7.2.3.4)."""
    packer = zlib.compressobj(wbits=-15)
    final = packer.compress(b"one") + packer.flush() + b"\0"
    assert [seen.data for seen in read(frame(0xC1, final) * 3, deflate=False)] == [b"one"] * 3


def test_a_bomb_is_given_up() -> None:
    """A gigabyte in a megabyte: what comes out is bounded, and so is the time."""
    allowances = Allowances()
    bomb = zlib.compressobj(9, wbits=-15)
    packed = b"".join(bomb.compress(bytes(1 << 20)) for _ in range(256)) + bomb.flush(zlib.Z_SYNC_FLUSH)
    reader = MessageReader(allowances, False)
    (seen,) = read(frame(0xC2, packed[:-4]), [65536], reader=reader)
    assert seen == Seen("binary", len(packed) - 4, b"", True)
    assert reader.held_bytes < 2 * MAX_MESSAGE_BYTES
    assert read(frame(0xC2, b"x"), reader=reader)[0].opaque
    # Plain messages, and others', are read all the same.
    assert read(frame(0x81, b"plain"), reader=reader)[0].data == b"plain"
    assert allowances.inflated.take(1, 10.0)


def test_many_tiny_streams_in_a_message_cost_their_making() -> None:
    allowances = Allowances()
    allowances.inflated = Allowance(0, 100 * 4096)
    (seen,) = read(frame(0xC2, b"\x03\x00" * 1000), reader=MessageReader(allowances, True))
    assert seen.opaque


def test_a_flood_of_frames_is_given_up() -> None:
    allowances = Allowances()
    allowances.frames = Allowance(10, 100)
    reader = MessageReader(allowances)
    seen = []
    with pytest.raises(NotUnderstood, match="time"):
        for one in reader.feed(b"\x82\x00" * 1000, 5.0):
            seen.append(one)
    assert len(seen) == 100
    assert len(list(MessageReader(allowances).feed(b"\x82\x00" * 10, 6.0))) == 10  # a second later


def test_allowance() -> None:
    allowance = Allowance(10, 5)
    assert [allowance.take(2, 100.0) for _ in range(3)] == [True, True, False]
    assert allowance.take(5, 100.4)
    assert not allowance.take(6, 1000.0)


@pytest.mark.parametrize(
    ("extensions", "server", "visitor"),
    [
        (None, None, None),
        (b"", None, None),
        (b"x-webkit-deflate-frame", None, None),
        (b"permessage-deflate", False, False),
        (b"other, Permessage-Deflate; client_max_window_bits=12", False, False),
        (b"permessage-deflate; server_no_context_takeover", True, False),
        (b"permessage-deflate;client_no_context_takeover; server_no_context_takeover", True, True),
        (b"permessage-deflated", None, None),
    ],
)
def test_what_was_agreed_on(extensions: bytes | None, server: bool | None, visitor: bool | None) -> None:
    assert deflate_of(extensions, of_server=True) is server
    assert deflate_of(extensions, of_server=False) is visitor
