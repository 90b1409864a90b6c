"""WebSocket messages out of one direction's frames, with permessage-deflate (RFC 6455, RFC 7692). Sans-IO.

What looks is not the peer: it keeps the beginning of each message only, works within an allowance, and gives up on a
direction rather than slow the bytes down.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterator
from typing import NamedTuple

MAX_MESSAGE_BYTES = 65536  # kept of one message
INFLATE_STEP_BYTES = 65536
INFLATER_BYTES = 45_000  # of memory: its window and tables
ANEW_COST_BYTES = 4096  # what beginning one costs, in inflated bytes

_KINDS = {1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}

_deflate = re.compile(rb"(?:^|,)[ \t]*permessage-deflate[ \t]*((?:;[^,]*)?)(?:,|$)", re.IGNORECASE).search


class NotUnderstood(ValueError):
    """These are no frames, or more than there is an allowance for. The reader is of no use afterwards."""


class Seen(NamedTuple):
    """A message: `size` of all of it, `data` its first bytes; `opaque`: compressed, and it could not be inflated."""

    kind: str
    size: int
    data: bytes
    opaque: bool


class Allowance:
    """So much a second, and `burst` at once. Shared by all that the inspector looks at: looking must stay cheap."""

    def __init__(self, per_second: float, burst: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._left = burst
        self._at = math.inf  # when it was last made up

    def take(self, amount: float, moment: float) -> bool:
        """False: it is used up."""
        if amount > self._left:
            self._left = min(self._burst, self._left + max(0.0, moment - self._at) * self._per_second)
            self._at = moment
            if amount > self._left:
                return False
        self._left -= amount
        return True


class Allowances:
    """Frames (10 us each to look at) and bytes out of the inflater (1 ns each, which 1,000 times fewer can cause)."""

    def __init__(self) -> None:
        self.frames = Allowance(10_000, 20_000)
        self.inflated = Allowance(32 * 1024 * 1024, 64 * 1024 * 1024)


def deflate_of(extensions: bytes | None, of_server: bool) -> bool | None:
    """What Sec-WebSocket-Extensions of the answer says of one side's messages: None where they are not compressed, else
    whether each begins anew (no context takeover)."""
    found = _deflate(extensions or b"")
    if found is None:
        return None
    wanted = b"server_no_context_takeover" if of_server else b"client_no_context_takeover"
    return wanted in found.group(1).lower()


class _Inflater:
    """Messages of one sender. `lost`: what follows cannot be inflated any more."""

    def __init__(self, anew: bool, allowance: Allowance) -> None:
        self._anew = anew
        self._allowance = allowance
        self._zlib = zlib.decompressobj(-zlib.MAX_WBITS)
        self.lost = False

    def feed(self, data: bytes, kept: bytearray, moment: float) -> int:
        """How many bytes come out; the first of the message go to `kept`."""
        size = 0
        try:
            while data and not self.lost:
                piece = self._zlib.decompress(data, INFLATE_STEP_BYTES)
                data = self._zlib.unconsumed_tail
                size += len(piece)
                kept += piece[: MAX_MESSAGE_BYTES - len(kept)]
                self.lost = not self._allowance.take(len(piece), moment)
                if self._zlib.eof:  # a final block is allowed (RFC 7692 7.2.3.4); another stream follows
                    data = self._zlib.unused_data
                    self._zlib = zlib.decompressobj(-zlib.MAX_WBITS)
                    self.lost = self.lost or not self._allowance.take(ANEW_COST_BYTES, moment)
        except zlib.error:
            self.lost = True
        return size

    def end(self, kept: bytearray, moment: float) -> int:
        """The message is over."""
        size = self.feed(b"\0\0\xff\xff", kept, moment)
        if self._anew:
            self._zlib = zlib.decompressobj(-zlib.MAX_WBITS)
            self.lost = False
        return size


class MessageReader:
    """`feed` it a direction's bytes. `deflate`: as `deflate_of` says it."""

    def __init__(self, allowances: Allowances, deflate: bool | None = None) -> None:
        self._frames = allowances.frames
        self._inflater = None if deflate is None else _Inflater(deflate, allowances.inflated)
        self._held = b""  # the beginning of a frame's head
        self._left = 0  # payload of the frame still to come
        self._key = b""
        self._turn = 0  # how far the key is
        self._control = 0  # opcode of the control frame that is under way
        self._control_data = bytearray()
        self._last = True  # the frame ends its message
        self._kind = ""  # of the message that is under way
        self._compressed = False
        self._size = 0
        self._travelled = 0
        self._data = bytearray()

    @property
    def held_bytes(self) -> int:
        """Memory that it takes, about."""
        return len(self._data) + (INFLATER_BYTES if self._inflater is not None else 0)

    def feed(self, data: bytes | memoryview, moment: float) -> Iterator[Seen]:
        """The messages that `data` completes, at `moment` (time.monotonic()). Raises NotUnderstood."""
        seen: list[Seen] = []
        position = 0
        size = len(data)
        while position < size:
            if not self._left:
                position = self._head(data, position, seen, moment)
            else:
                take = min(self._left, size - position)
                self._payload(data[position : position + take], moment)
                position += take
                self._left -= take
                if not self._left:
                    self._frame_over(seen, moment)
            yield from seen
            seen.clear()

    def _head(self, data: bytes | memoryview, position: int, seen: list[Seen], moment: float) -> int:
        """Read a frame's head; returns the position behind it."""
        before = len(self._held)
        head = self._held + bytes(data[position : position + 14 - before])
        used = 2
        length = head[1] & 0x7F if len(head) > 1 else 0
        used += {126: 2, 127: 8}.get(length, 0)
        masked = len(head) > 1 and head[1] >= 0x80
        if len(head) < used + 4 * masked:
            self._held = head
            return len(data)
        self._held = b""
        if length > 125:
            length = int.from_bytes(head[2:used], "big")
        self._key = head[used : used + 4] if masked else b""
        self._turn = 0
        if not self._frames.take(1, moment):
            raise NotUnderstood("it sends more messages than the inspector has time for")
        self._begin(head[0], length)
        self._left = length
        if not length:
            self._frame_over(seen, moment)
        return position + used + 4 * masked - before

    def _begin(self, first: int, length: int) -> None:
        opcode = first & 0x0F
        compressed = bool(first & 0x40)
        if first & 0x30 or length >> 63 or (opcode and opcode not in _KINDS):
            raise NotUnderstood("these are no WebSocket frames")
        if opcode >= 8:
            if length > 125 or not first & 0x80 or compressed:
                raise NotUnderstood("a control frame is malformed")
            self._control = opcode
            self._control_data.clear()
            return
        if bool(opcode) is bool(self._kind) or (compressed and (not opcode or self._inflater is None)):
            raise NotUnderstood("a frame is out of place")
        self._last = bool(first & 0x80)
        if opcode:
            self._kind = _KINDS[opcode]
            self._compressed = compressed
            self._size = self._travelled = 0
            self._data.clear()

    def _payload(self, piece: bytes | memoryview, moment: float) -> None:
        if self._control:
            self._control_data += self._unmasked(piece)
            return
        self._travelled += len(piece)
        if self._compressed and self._inflater is not None:
            if not self._inflater.lost:
                self._size += self._inflater.feed(self._unmasked(piece), self._data, moment)
            return
        self._size += len(piece)
        room = MAX_MESSAGE_BYTES - len(self._data)
        if room > 0:
            self._data += self._unmasked(piece[:room])

    def _unmasked(self, piece: bytes | memoryview) -> bytes:
        size = len(piece)
        if not self._key or not size:
            return bytes(piece)
        key = self._key[self._turn :] + self._key[: self._turn]
        self._turn = (self._turn + size) & 3
        stretched = (key * (size // 4 + 1))[:size]
        return (int.from_bytes(piece, "little") ^ int.from_bytes(stretched, "little")).to_bytes(size, "little")

    def _frame_over(self, seen: list[Seen], moment: float) -> None:
        if self._control:
            data = bytes(self._control_data)
            seen.append(Seen(_KINDS[self._control], len(data), data, False))
            self._control = 0
        elif self._last:
            seen.append(self._message(moment))
            self._kind = ""

    def _message(self, moment: float) -> Seen:
        if self._compressed and self._inflater is not None:
            if not self._inflater.lost:
                self._size += self._inflater.end(self._data, moment)
            if self._inflater.lost:
                self._inflater.end(self._data, moment)  # the next may begin anew
                self._data.clear()
                return Seen(self._kind, self._travelled, b"", True)
        data = bytes(self._data)
        self._data.clear()
        return Seen(self._kind, self._size, data, False)
