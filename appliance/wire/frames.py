"""RFC 6455 frames: encoding, and a decoder that hands on payload before its frame is whole.

Not here: the upgrade (gevent-websocket on the server, `transport/dial.py` on the client).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_KNOWN = frozenset((CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG))

ZERO_KEY = b"\0\0\0\0"

# Close codes (RFC 6455 7.4.1).
NORMAL, GOING_AWAY, PROTOCOL_ERROR, NOT_UTF8, POLICY, TOO_BIG = 1000, 1001, 1002, 1007, 1008, 1009

_medium = struct.Struct("!BBH").pack
_large = struct.Struct("!BBQ").pack
_short_heads = {
    (opcode, masked): [
        bytes((0x80 | opcode, (0x80 if masked else 0) | n)) + (ZERO_KEY if masked else b"") for n in range(126)
    ]
    for opcode in (TEXT, BINARY, CLOSE, PING, PONG)
    for masked in (False, True)
}

Event = tuple[int, "memoryview | bytes"]


class FrameError(ValueError):
    """The peer broke the framing; `code` is the close code that says how."""

    def __init__(self, reason: str, code: int = PROTOCOL_ERROR) -> None:
        super().__init__(reason)
        self.code = code


def frame_head(opcode: int, length: int, masked: bool = False) -> bytes:
    """The head of a final frame with `length` bytes of payload; `masked` adds the all-zero masking key.

    The zero key is for clients inside TLS, where masking protects nothing: a valid frame at no cost.
    """
    if length < 126:
        return _short_heads[opcode, masked][length]
    mask_bit = 0x80 if masked else 0
    if length < 65536:
        head = _medium(0x80 | opcode, mask_bit | 126, length)
    else:
        head = _large(0x80 | opcode, mask_bit | 127, length)
    return head + ZERO_KEY if masked else head


def masked_frame(opcode: int, payload: bytes | bytearray | memoryview, key: bytes) -> bytes:
    """A whole frame masked with `key` (4 random bytes): what a client sends over `ws://` (RFC 6455 5.3)."""
    head = frame_head(opcode, len(payload), masked=True)
    return head[:-4] + key + _apply_mask()(payload, key)


@cache
def _apply_mask() -> Callable[..., bytes]:
    """The routine in C; not loaded where all is inside TLS, for its package costs a small client four megabytes."""
    try:
        # Not by way of websockets.utils: its own is in Python, 4 s/GiB instead of 0.05.
        from websockets.speedups import apply_mask
    except ImportError:  # a build without its C extension
        from websockets.utils import apply_mask

    return apply_mask


def close_payload(code: int, reason: str = "") -> bytes:
    """The payload of a close frame; the reason is cut to what a control frame holds."""
    return struct.pack("!H", code) + reason.encode("utf-8", "replace")[:123].decode("utf-8", "ignore").encode()


def close_reason(payload: bytes) -> tuple[int, str]:
    """Close code and reason of a close frame's payload; (1005, "") where it has none (RFC 6455 7.1.5)."""
    if len(payload) < 2:
        return 1005, ""
    return int.from_bytes(payload[:2], "big"), payload[2:].decode("utf-8", "replace")


class FrameDecoder:
    """Frames of one direction of one connection.

    `masked`: the peer is a client, so every frame must be masked (RFC 6455 5.1); else none may be.
    `max_message_bytes`: the largest text message; binary frames may have any length, for they are never held.
    """

    __slots__ = ("_binary", "_control", "_fragmented", "_held", "_key", "_left", "_masked", "_max", "_opcode", "_text")

    def __init__(self, masked: bool, max_message_bytes: int, binary: bool = True) -> None:
        self._masked = masked
        self._max = max_message_bytes
        self._binary = binary  # whether binary frames are allowed at all
        self._held = b""  # the beginning of a frame's head
        self._left = 0  # payload bytes of the current frame still to come
        self._key = b""  # masking key, rotated to the next payload byte; empty where there is nothing to undo
        self._opcode = BINARY  # of the current frame; a continuation has the opcode of what it continues
        self._fragmented = CONTINUATION  # opcode of the message that is to be continued; CONTINUATION: none
        self._control = bytearray()  # payload so far of a control frame,
        self._text = bytearray()  # and of a text message, between whose fragments control frames may come

    def feed(self, data: memoryview) -> list[Event]:
        """What `data` completes: (BINARY, a piece of payload), or another opcode with its whole payload as bytes.

        Pieces may be views of `data`. Raises FrameError; the decoder is of no use afterwards.
        """
        size = len(data)
        if size > 8 and data[0] == 0x82 and not (self._left or self._held or self._fragmented):
            payload = self._only_frame(data, size)
            if payload is not None:
                return [(BINARY, payload)]
        events: list[Event] = []
        position = 0
        while position < size:
            if not self._left:
                position = self._head(data, position, events)
                continue
            take = min(self._left, size - position)
            piece: memoryview | bytes = data[position : position + take]
            position += take
            self._left -= take
            if self._key:
                piece = _apply_mask()(piece, self._key)
                turn = take & 3
                self._key = self._key[turn:] + self._key[:turn]
            if self._opcode == BINARY:
                events.append((BINARY, piece))
            else:
                buffer = self._text if self._opcode == TEXT else self._control
                buffer += piece
                if not self._left:
                    self._whole(events)
        return events

    def _only_frame(self, data: memoryview, size: int) -> memoryview | None:
        """The payload where `data` is one whole binary frame under 64 KiB, as for most requests; else None."""
        second = data[1]
        masked = second >= 0x80
        if masked is not self._masked or not self._binary:
            return None
        length = second & 0x7F
        used = 2
        if length > 125:
            if length == 127:
                return None
            length = data[2] << 8 | data[3]
            used = 4
        if masked:
            if data[used : used + 4] != ZERO_KEY:
                return None
            used += 4
        return data[used:] if length and used + length == size else None

    def _head(self, data: memoryview, position: int, events: list[Event]) -> int:
        """Parse a frame's head at `position`; returns the position behind what was used."""
        held = len(self._held)
        head = self._held + bytes(data[position : position + 14 - held])
        if len(head) < 2:
            self._held = head
            return len(data)
        second = head[1]
        length = second & 0x7F
        used = 2
        if length == 126:
            length = int.from_bytes(head[2:4], "big")
            used = 4
        elif length == 127:
            length = int.from_bytes(head[2:10], "big")
            used = 10
        key = ZERO_KEY
        if second & 0x80:
            key = head[used : used + 4]
            used += 4
        if len(head) < used:
            self._check(head[0], second, second & 0x7F)
            self._held = head
            return len(data)
        self._check(head[0], second, length)
        self._held = b""
        self._key = b"" if key == ZERO_KEY else key
        self._begin(head[0], length, events)
        return position + used - held

    def _check(self, first: int, second: int, length: int) -> None:
        """Refuse what no frame of ours has, as soon as its first bytes are known."""
        opcode = first & 0x0F
        if opcode not in _KNOWN or first & 0x70:
            raise FrameError("a frame has an unknown opcode or uses reserved bits")
        if (second >= 0x80) is not self._masked:
            raise FrameError("a client's frame is not masked" if self._masked else "a server's frame is masked")
        if opcode >= CLOSE and (second & 0x7F > 125 or not first & 0x80):
            raise FrameError("a control frame is too long or fragmented")
        if opcode == BINARY and not self._binary:
            raise FrameError("a binary frame came where only messages may")
        if length >> 63:
            raise FrameError("a frame claims an impossible length", TOO_BIG)

    def _begin(self, first: int, length: int, events: list[Event]) -> None:
        """Enter a frame whose head is whole and checked."""
        opcode = first & 0x0F
        if opcode < CLOSE:
            if (opcode == CONTINUATION) is (self._fragmented == CONTINUATION):
                raise FrameError("a fragment is out of place")
            if opcode == CONTINUATION:
                opcode = self._fragmented
            self._fragmented = CONTINUATION if first & 0x80 else opcode
            if opcode == TEXT and len(self._text) + length > self._max:
                raise FrameError(f"a message is over {self._max} bytes", TOO_BIG)
        self._opcode = opcode
        self._left = length
        if not length and opcode != BINARY:
            self._whole(events)

    def _whole(self, events: list[Event]) -> None:
        """A control frame, or a fragment of a text message, is complete."""
        if self._opcode != TEXT:
            events.append((self._opcode, bytes(self._control)))
            self._control.clear()
        elif self._fragmented != TEXT:
            events.append((TEXT, bytes(self._text)))
            self._text.clear()
