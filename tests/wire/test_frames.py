"""Frames: RFC 6455's own examples, any bytes at any cutting, and the websockets library's opinion."""

from __future__ import annotations

import itertools
import sys
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, SERVER, Protocol

from appliance.wire import frames
from appliance.wire.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    FrameDecoder,
    FrameError,
    close_payload,
    close_reason,
    frame_head,
    masked_frame,
)

LIMIT = 1000
KEY = b"\x37\xfa\x21\x3d"

Events = list[tuple[int, bytes]]


def decoder(masked: bool = False, binary: bool = True, limit: int = LIMIT) -> FrameDecoder:
    return FrameDecoder(masked=masked, max_message_bytes=limit, binary=binary)


def joined(events: Events) -> Events:
    """Pieces of bytes that follow each other as one: where they were cut says nothing."""
    found: Events = []
    for opcode, payload in events:
        if opcode == BINARY and found and found[-1][0] == BINARY:
            payload = found.pop()[1] + payload
        found.append((opcode, payload))
    return found


def fed(target: FrameDecoder, pieces: list[bytes]) -> Events:
    """What the decoder makes of the pieces; each is overwritten once the decoder has had it."""
    events: Events = []
    for piece in pieces:
        buffer = bytearray(piece)
        got = [(opcode, bytes(payload)) for opcode, payload in target.feed(memoryview(buffer))]
        assert all(payload for opcode, payload in got if opcode == BINARY)  # an empty chunk would end a chunked body
        events += got
        buffer[:] = b"\xff" * len(buffer)
    return joined(events)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    marks = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[start:end] for start, end in itertools.pairwise(marks)]


def singles(data: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in data]


Outcome = tuple[str, int] | Events


def outcome(pieces: list[bytes], masked: bool, binary: bool) -> Outcome:
    """The events, or the error that ended them."""
    try:
        return fed(decoder(masked, binary), pieces)
    except FrameError as error:
        return str(error), error.code


# Examples


@pytest.mark.parametrize(
    ("data", "masked", "events"),
    [
        ("81 05 48 65 6c 6c 6f", False, [(TEXT, b"Hello")]),
        ("81 85 37 fa 21 3d 7f 9f 4d 51 58", True, [(TEXT, b"Hello")]),
        ("01 03 48 65 6c 80 02 6c 6f", False, [(TEXT, b"Hello")]),
        ("89 05 48 65 6c 6c 6f", False, [(PING, b"Hello")]),
        ("8a 85 37 fa 21 3d 7f 9f 4d 51 58", True, [(PONG, b"Hello")]),
        ("82 7e 01 00" + " 07" * 256, False, [(BINARY, b"\x07" * 256)]),
        ("82 7f 00 00 00 00 00 01 00 00" + " 07" * 65536, False, [(BINARY, b"\x07" * 65536)]),
        ("82 fe 00 07 37 fa 21 3d" + " 37 fa 21 3d 37 fa 21", True, [(BINARY, b"\0" * 7)]),
        ("82 fe 00 07 00 00 00 00" + " 61" * 7, True, [(BINARY, b"a" * 7)]),
        ("82 8b 00 00 00 00" + " 61" * 11, True, [(BINARY, b"a" * 11)]),
        ("82 80 01 02 03 04 82 00 00 00 00 00", True, ("a client's frame is not masked", 1002)),
        ("82 00 81 00 89 00", False, [(TEXT, b""), (PING, b"")]),
        ("02 01 61 89 01 70 00 00 00 01 62 80 01 63", False, [(BINARY, b"a"), (PING, b"p"), (BINARY, b"bc")]),
        ("01 01 61 8a 01 70 80 01 62", False, [(PONG, b"p"), (TEXT, b"ab")]),
        ("01 00 88 02 03 e8 80 00", False, [(CLOSE, b"\x03\xe8"), (TEXT, b"")]),
    ],
)  # fmt: skip
def test_examples(data: str, masked: bool, events: Outcome) -> None:
    raw = bytes.fromhex(data)
    assert outcome([raw], masked, True) == events
    if len(raw) < 1000:
        assert outcome(singles(raw), masked, True) == events


@pytest.mark.parametrize(
    ("data", "masked", "binary", "code"),
    [
        ("83 00", False, True, 1002),  # opcodes that nobody has given a meaning
        ("8b 00", False, True, 1002),
        ("c2 00", False, True, 1002),  # reserved bits
        ("92 00", False, True, 1002),
        ("82 81 00 00 00 00 61", False, True, 1002),  # a server's must not be masked,
        ("82 01 61 00 00 00 00 00 00", True, True, 1002),  # a client's must
        ("09 00", False, True, 1002),  # a ping in fragments
        ("89 7e", False, True, 1002),  # a ping that is too long, by its first length alone
        ("89 7e 00 01 61", False, True, 1002),
        ("89 7f 00 00 00 00 00 00 00 01 61", False, True, 1002),
        ("82 7f 80", False, True, None),  # not known yet,
        ("82 7f 80 00 00 00 00 00 00 00", False, True, 1009),  # now it is
        ("82 7f ff ff ff ff ff ff ff ff", False, True, 1009),
        ("82 7f 7f ff ff ff ff ff ff ff", False, True, None),  # absurd, but never held
        ("82 01", False, False, 1002),  # bytes where messages belong
        ("82 7f ff ff ff ff ff ff ff ff", False, False, 1002),
        ("80 00", False, True, 1002),  # a continuation of nothing
        ("01 00 81 00", False, True, 1002),  # a message within another
        ("02 00 81 00", False, True, 1002),
        ("81 7e 03 e9", False, True, 1009),  # 1001 bytes of text: refused by its head
        ("81 7e 03 e8", False, True, None),
        ("01 7e 03 e8" + " 61" * 1000 + " 80 01", False, True, 1009),  # fragments that are too long together
        ("01 7e 03 e8" + " 61" * 1000 + " 00 00", False, True, None),
    ],
)
def test_refused(data: str, masked: bool, binary: bool, code: int | None) -> None:
    raw = bytes.fromhex(data)
    whole = outcome([raw], masked, binary)
    assert outcome(singles(raw), masked, binary) == whole
    assert (whole[1] if isinstance(whole, tuple) else None) == code


def test_a_payload_is_handed_on_before_its_frame_is_whole() -> None:
    target = decoder()
    assert fed(target, [bytes.fromhex("82 7f 00 00 00 10 00 00 00 00") + b"first"]) == [(BINARY, b"first")]
    assert fed(target, [b"second"]) == [(BINARY, b"second")]


def test_whole_binary_frames_are_views_of_what_was_fed() -> None:
    data = memoryview(frame_head(BINARY, 9) + b"no copies")
    [(opcode, payload)] = decoder().feed(data)
    assert opcode == BINARY
    assert isinstance(payload, memoryview)
    assert payload.obj is data.obj


@pytest.mark.parametrize("size", [1, 6, 7, 125, 126, 300, 65535, 65536])
@pytest.mark.parametrize("excess", [-1, 0, 1])
@pytest.mark.parametrize("key", [None, b"\0\0\0\0", KEY])
def test_one_frame_in_one_piece_more_or_less(size: int, excess: int, key: bytes | None) -> None:
    payload = bytes(range(256)) * (size // 256 + 1)
    frame = Frame(Opcode.BINARY, payload[:size]).serialize(mask=False)
    if key is not None:
        frame = masked_frame(BINARY, payload[:size], key)
    after = frame_head(TEXT, 1, masked=key is not None) + b"t"
    target = decoder(masked=key is not None)
    events = fed(target, [(frame + after)[: len(frame) + excess]])
    assert events == ([(BINARY, payload[: size + min(excess, 0)])] if size + excess else [])
    rest = fed(target, [(frame + after)[len(frame) + excess :]])
    assert rest == ([(BINARY, payload[size - 1 : size])] if excess < 0 else []) + [(TEXT, b"t")]


# Any bytes

# Bytes that look like frames far enough to get into the decoder.
looks_like_frames = st.lists(
    st.one_of(
        st.sampled_from([bytes.fromhex(text) for text in (
            "82 7e", "82 7f 00 00 00 00 00", "81 03", "01 02", "80 01", "00 00", "89 00", "8a 7d", "88 02 03 e8",
            "82 fe 00 02 00 00 00 00", "82 82 01 02 03 04", "81 80 00 00 00 00", "01 81 05 06 07 08", "82 7f 80",
        )]),
        st.binary(max_size=12),
    ),
    max_size=8,
).map(b"".join)  # fmt: skip


@given(
    data=looks_like_frames, places=st.lists(st.integers(0, 200), max_size=5), masked=st.booleans(), binary=st.booleans()
)
@example(data=bytes.fromhex("82 7f 80 00 00 00 00 00 00 00"), places=[], masked=False, binary=False)
@example(data=bytes.fromhex("89 7e 00 05 61 61 61 61 61"), places=[], masked=False, binary=True)
@settings(max_examples=400, deadline=None)
def test_any_bytes_at_any_cutting(data: bytes, places: list[int], masked: bool, binary: bool) -> None:
    whole = outcome([data], masked, binary)
    assert outcome(singles(data), masked, binary) == whole
    assert outcome(cut(data, places), masked, binary) == whole


@given(data=looks_like_frames, masked=st.booleans())
@settings(max_examples=400, deadline=None)
def test_any_bytes_are_judged_as_by_the_websockets_library(data: bytes, masked: bool) -> None:
    theirs = Protocol(SERVER if masked else CLIENT, max_size=None)
    theirs.receive_data(data)
    found = outcome([data], masked, True)
    if isinstance(found, tuple):
        return  # ours refuses by the head, theirs once the frame is whole
    events = until_close(found)
    if events == found:
        assert theirs.parser_exc is None
        assert their_messages(theirs)[: len(whole_messages(events))] == whole_messages(events)


def until_close(events: Events) -> Events:
    """What comes before a close frame: behind it, theirs stops."""
    return list(itertools.takewhile(lambda event: event[0] != CLOSE, events))


def whole_messages(events: Events) -> Events:
    return [event for event in events if event[0] != BINARY]


def their_messages(theirs: Protocol) -> Events:
    """Messages but binary ones, fragments joined."""
    found: Events = []
    current: tuple[int, bytes] | None = None
    for frame in theirs.events_received():
        assert isinstance(frame, Frame)
        if frame.opcode >= CLOSE:
            found.append((int(frame.opcode), bytes(frame.data)))
            continue
        opcode, before = current if frame.opcode == CONTINUATION and current else (int(frame.opcode), b"")
        current = (opcode, before + bytes(frame.data))
        if frame.fin:
            if opcode != BINARY:
                found.append(current)
            current = None
    return found


# Round trips


@dataclass(frozen=True)
class Sent:
    """A message in fragments, with control frames between them."""

    opcode: int
    fragments: tuple[bytes, ...]
    between: tuple[int, bytes] | None


payloads = st.one_of(st.binary(max_size=20), st.sampled_from([125, 126, 127, 300]).map(lambda size: b"p" * size))
sent_messages = st.builds(
    Sent,
    opcode=st.sampled_from((TEXT, BINARY)),
    fragments=st.lists(payloads, min_size=1, max_size=3).map(tuple),
    between=st.one_of(st.none(), st.tuples(st.sampled_from((PING, PONG)), st.binary(max_size=125))),
)


def encoded(message: Sent, masked: bool) -> tuple[bytes, Events]:
    """By the websockets library; and the events that this must give."""
    data, events = b"", []
    last = len(message.fragments) - 1
    for index, payload in enumerate(message.fragments):
        opcode = Opcode(message.opcode if index == 0 else CONTINUATION)
        data += Frame(opcode, payload, fin=index == last).serialize(mask=masked)
        if message.opcode == BINARY and payload:
            events.append((BINARY, payload))
        if message.between is not None and index != last:
            kind, text = message.between
            data += Frame(Opcode(kind), text).serialize(mask=masked)
            events.append((kind, text))
    if message.opcode == TEXT:
        events.append((TEXT, b"".join(message.fragments)))
    return data, events


@given(
    sent=st.lists(sent_messages, max_size=5), masked=st.booleans(), places=st.lists(st.integers(0, 3000), max_size=8)
)
@settings(max_examples=300, deadline=None)
def test_what_the_websockets_library_writes_is_read_at_any_cutting(
    sent: list[Sent], masked: bool, places: list[int]
) -> None:
    data, events = b"", []
    for message in sent:
        more, found = encoded(message, masked)
        data += more
        events += found
    assert fed(decoder(masked), cut(data, places)) == joined(events)
    assert fed(decoder(masked), singles(data)) == joined(events)


@given(
    opcode=st.sampled_from((TEXT, BINARY, PING, PONG)),
    size=st.one_of(st.sampled_from([0, 1, 125, 126, 127, 65535, 65536, 70000]), st.integers(0, 500)),
    masked=st.booleans(),
    key=st.binary(min_size=4, max_size=4),
)
@settings(max_examples=150, deadline=None)
def test_what_is_written_is_read_by_the_websockets_library(opcode: int, size: int, masked: bool, key: bytes) -> None:
    if opcode >= CLOSE:
        size %= 126
    payload = bytes(index * 7 % 256 for index in range(size))
    forms = [frame_head(opcode, size, masked) + payload]
    if masked:
        forms.append(masked_frame(opcode, payload, key))
    for data in forms:
        theirs = Protocol(SERVER if masked else CLIENT, max_size=None)
        theirs.receive_data(data)
        [frame] = theirs.events_received()
        assert isinstance(frame, Frame)
        assert (frame.opcode, frame.fin, bytes(frame.data)) == (opcode, True, payload)
        assert fed(decoder(masked, limit=size), [data]) == ([(opcode, payload)] if size or opcode != BINARY else [])


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_masked_frame_of_any_kind_of_bytes(kind: type) -> None:
    assert masked_frame(TEXT, kind(b"Hello"), KEY).hex(" ") == "81 85 37 fa 21 3d 7f 9f 4d 51 58"


# Closing


@pytest.mark.parametrize(
    ("code", "reason", "payload"),
    [
        (1000, "", b"\x03\xe8"),
        (1008, "no", b"\x03\xf0no"),
        (1002, "x" * 200, b"\x03\xea" + b"x" * 123),
        (1002, "x" * 122 + "é", b"\x03\xea" + b"x" * 122),  # no half of a character
        (1002, "lone \ud800", b"\x03\xealone ?"),
    ],
)
def test_close_payload(code: int, reason: str, payload: bytes) -> None:
    assert close_payload(code, reason) == payload
    assert len(frame_head(CLOSE, len(payload)) + payload) <= 127
    assert close_reason(payload)[0] == code


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        (b"", (1005, "")),
        (b"\x03", (1005, "")),
        (b"\x03\xe8", (1000, "")),
        (b"\x03\xe9going", (1001, "going")),
        (b"\x03\xe9\xff", (1001, "\ufffd")),
    ],
)
def test_close_reason(payload: bytes, found: tuple[int, str]) -> None:
    assert close_reason(payload) == found


def test_close_codes_are_those_of_the_rfc() -> None:
    assert (frames.NORMAL, frames.GOING_AWAY, frames.PROTOCOL_ERROR) == (1000, 1001, 1002)
    assert (frames.NOT_UTF8, frames.POLICY, frames.TOO_BIG) == (1007, 1008, 1009)


def test_masking_without_the_library_s_part_in_c(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "websockets.speedups", None)
    slow = frames._apply_mask.__wrapped__()
    assert slow(b"Hello", KEY) == frames._apply_mask()(b"Hello", KEY)
