"""A stream that somebody listens to. One that nobody listens to is of the plain class, and pays nothing for it."""

from __future__ import annotations

import logging
from typing import Any, Protocol

from appliance.transport.stream import Stream
from appliance.wire import messages
from appliance.wire.frames import PONG

log = logging.getLogger("sluice.stream")


class Tap(Protocol):
    """What listens. It is told from the byte path: it must not wait or raise, and copies what it keeps."""

    def came(self, got: Any) -> None:
        """What `read` returned: pieces of bytes in a list, a message, or None."""

    def went(self, pieces: Any) -> None:
        """Pieces of bytes are about to be sent."""

    def said(self, message: messages.Message) -> None:
        """A message is about to be sent."""

    def echoed(self, payload: bytes) -> None:
        """The peer has answered a ping that had this payload."""

    def lost(self) -> None:
        """The stream is being closed by this side. Comes more than once."""


def _tell(stream: Stream, told: str, *what: Any) -> None:
    """A listener's crash must not be the visitor's. It may also have gone, while somebody waited in the stream or kept
    a method of it."""
    try:
        if stream.tap is not None:
            getattr(stream.tap, told)(*what)
    except Exception:
        log.exception("a listener crashed; please report this")
        untap(stream)


class TappedStream(Stream):
    """As a plain one in all else: same layout, so that a stream can become one and be plain again."""

    __slots__ = ()

    def read(self) -> list[Any] | Any | None:
        got = Stream.read(self)
        _tell(self, "came", got)
        return got

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == PONG:
            _tell(self, "echoed", payload)
        Stream._control(self, opcode, payload)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        _tell(self, "went", (data,))
        Stream.write(self, data)

    def write_pieces(self, pieces: list[Any]) -> None:
        if len(pieces) > 1 and not self._plain:  # else it goes through `write`
            _tell(self, "went", pieces)
        Stream.write_pieces(self, pieces)

    def open(self, message: messages.Open, data: bytes) -> None:
        _tell(self, "went", (data,))
        Stream.open(self, message, data)

    def send(self, message: messages.Message) -> None:
        _tell(self, "said", message)
        Stream.send(self, message)

    def end(self, data: bytes, message: messages.Finish) -> None:
        if data:
            _tell(self, "went", (data,))
        _tell(self, "said", message)
        Stream.end(self, data, message)

    def close(self) -> None:
        _tell(self, "lost")
        Stream.close(self)

    def abort(self) -> None:
        _tell(self, "lost")
        Stream.abort(self)

    def fail(self, error: Exception) -> None:
        _tell(self, "lost")
        Stream.fail(self, error)


def tap(stream: Stream, listener: Tap) -> None:
    """From now on `listener` hears what goes through."""
    stream.tap = listener
    stream.__class__ = TappedStream


def untap(stream: Stream) -> None:
    stream.__class__ = Stream
    stream.tap = None
