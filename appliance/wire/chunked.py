"""The chunked transfer coding (RFC 9112 7.1), decoded as the bytes come: pieces, never a whole chunk.

Chunk extensions are dropped; trailer fields are kept, but for those that no trailer may carry.
"""

from __future__ import annotations

import re

from appliance.wire.http1 import FIELD_LINES, TRAILER_REFUSED

# A size line with its extensions, and a trailer section. A line that grows without end is an attack.
MAX_SIZE_LINE_BYTES = 4096
MAX_TRAILER_BYTES = 16384

LAST_CHUNK = b"0\r\n\r\n"

_size_line = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?\r\n").match
_data_end = re.compile(rb"\r\n").match
_trailers = re.compile(rb"(" + FIELD_LINES + rb")\r\n").match
_trailers_end = re.compile(rb"(?:^|\n)\r?\n").search

_SIZE, _DATA, _DATA_END, _TRAILERS, _DONE = range(5)


class ChunkedError(ValueError):
    """The body's chunks are malformed: where it ends cannot be known."""


class ChunkedDecoder:
    """Feed it views of what came: it hands back views of the body's pieces. `done` once the end was seen."""

    __slots__ = ("_held", "_left", "_state", "trailers")

    def __init__(self) -> None:
        self._state = _SIZE
        self._left = 0  # bytes of the current chunk still to come
        self._held = b""  # the beginning of a line whose end has not come yet
        self.trailers: list[bytes] = []

    @property
    def done(self) -> bool:
        return self._state == _DONE

    def feed(self, data: memoryview) -> tuple[list[memoryview], int]:
        """Pieces of the body in `data`, and how many of its bytes are this message's. Raises ChunkedError."""
        pieces: list[memoryview] = []
        position = 0
        size = len(data)
        while position < size and self._state != _DONE:
            if self._state == _DATA:
                take = min(self._left, size - position)
                pieces.append(data[position : position + take])
                position += take
                self._left -= take
                if not self._left:
                    self._state = _DATA_END
            else:
                position = self._line(data, position)
        return pieces, position

    def _line(self, data: memoryview, position: int) -> int:
        """Take one line (or the trailer section) at `position`; returns the position behind what was used."""
        state = self._state
        limit = MAX_TRAILER_BYTES if state == _TRAILERS else MAX_SIZE_LINE_BYTES
        held = self._held
        if held:
            window = held + bytes(data[position : position + limit])
        else:
            window = bytes(data[position : position + limit + 1])
        if state == _TRAILERS:
            # Looked for the end first: a section that trickles in would be parsed anew for each byte.
            match = _trailers(window) if _trailers_end(window, max(0, len(held) - 3)) else None
        else:
            match = (_size_line if state == _SIZE else _data_end)(window)
        if match is None:
            return self._wait(window, limit, position + len(window) - len(held))
        if match.end() > limit:
            raise ChunkedError("a line of the chunked body is too long")
        self._held = b""
        if state == _SIZE:
            self._left = int(match.group(1), 16)
            self._state = _DATA if self._left else _TRAILERS
        elif state == _DATA_END:
            self._state = _SIZE
        else:
            self.trailers = [line for line in match.group(1).split(b"\r\n")[:-1] if _may_trail(line)]
            self._state = _DONE
        return position + match.end() - len(held)

    def _wait(self, window: bytes, limit: int, position: int) -> int:
        """Hold an unfinished line until more comes, unless it is wrong or too long already."""
        if self._state == _TRAILERS:
            broken = _trailers_end(window, max(0, len(self._held) - 3)) is not None
        elif self._state == _DATA_END:
            broken = window != b"\r"
        else:
            broken = b"\n" in window
        if broken or len(window) > limit:
            raise ChunkedError("the chunked body is malformed")
        self._held = window
        return position


def _may_trail(line: bytes) -> bool:
    return line[: line.index(b":")].lower() not in TRAILER_REFUSED


def last_chunk(trailers: list[bytes]) -> bytes:
    """The end of a chunked body, with its trailer fields."""
    if not trailers:
        return LAST_CHUNK
    return b"0\r\n" + b"".join(line + b"\r\n" for line in trailers) + b"\r\n"
