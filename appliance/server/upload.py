"""A request's body on its way to the upstream: what came with the head, and a greenlet for what is still to come."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from appliance.transport import tasks
from appliance.transport.connection import Closed
from appliance.transport.stream import Stream
from appliance.wire.chunked import ChunkedDecoder, ChunkedError, last_chunk
from appliance.wire.http1 import CHUNKED, HeadError, RequestHead

if TYPE_CHECKING:
    from appliance.server.visitor import Visitor

KEPT_BYTES = 65536  # of a body that comes after its head, so that a refused request can be sent again elsewhere
STALL_SECONDS = 60.0  # a visitor that announced a body and sends nothing for this long is given up


class Upload:
    """The body of `request`, which has one.

    `first`: what is there already, framed for the upstream: it goes with the head. `complete`: all has been read from
    the visitor (and sent, once started). `repeatable`: `first` is all that was taken from the visitor; it grows until
    that would be too much. `ended_at`: when the last byte was sent, of a body that did not come with its head (by
    time.monotonic(), else 0). `broken`: the visitor left before its end; `malformed`: what was wrong with its chunks.
    """

    __slots__ = (
        "_decoder",
        "_greenlet",
        "_left",
        "_patience",
        "_visitor",
        "broken",
        "complete",
        "ended_at",
        "first",
        "malformed",
        "repeatable",
    )

    def __init__(self, visitor: Visitor, request: RequestHead) -> None:
        """Takes its part of the visitor's buffer. Raises HeadError for chunks that are malformed."""
        self._visitor = visitor
        self._greenlet: Any = None
        self._decoder: ChunkedDecoder | None = None
        self._left = 0
        self._patience = 0.0  # seconds for the answer to begin, from the last byte that was sent; 0: it has begun
        self.repeatable = True
        self.broken = False
        self.malformed = ""
        self.first = b""
        self.ended_at = 0.0
        buffer = visitor.buffer
        if request.length == CHUNKED:
            self._decoder = ChunkedDecoder()
            try:
                parts, used = self._decode(memoryview(buffer))
            except ChunkedError as error:
                raise HeadError(400, str(error)) from None
            self.first = b"".join(parts)
            self.complete = self._decoder.done
        else:
            assert request.length is not None
            used = min(len(buffer), request.length)
            self.first = buffer[:used]
            self._left = request.length - used
            self.complete = not self._left
        visitor.buffer = buffer[used:]

    def start(self, stream: Stream, patience_seconds: float) -> None:
        """Carry the rest to the stream, in a greenlet of its own. While it goes on, the answer may take its time."""
        self._patience = patience_seconds
        self._greenlet = tasks.spawn("upload", self._run, stream)

    def answered(self) -> None:
        """The answer has begun: how long it takes from now on is its own affair."""
        self._patience = 0.0

    def stop(self) -> None:
        """End the greenlet, where there is one."""
        if self._greenlet is not None:
            self._greenlet.kill()
            self._greenlet = None

    def _run(self, stream: Stream) -> None:
        """A visitor that leaves or breaks the framing takes the stream with it: the upstream must not believe that
        the body is whole."""
        try:
            if self._decoder is None:
                self._carry_counted(stream)
            else:
                self._carry_chunks(stream)
            self.complete = True
            self.ended_at = time.monotonic()
            self._extend(stream)
        except ChunkedError as error:
            self.malformed = str(error)
            stream.abort()  # whoever reads the answer is told by this
        except OSError:
            stream.abort()

    def _extend(self, stream: Stream) -> None:
        if self._patience:
            stream.connection.deadline = time.monotonic() + self._patience

    def _next(self, stream: Stream) -> memoryview:
        connection = self._visitor.connection
        self._extend(stream)
        connection.deadline = time.monotonic() + STALL_SECONDS if self._patience else math.inf
        try:
            data = connection.read()
        except OSError:
            self.broken = True
            raise
        if not data:
            self.broken = True
            raise Closed("the visitor has left within its upload")
        return data

    def _keep(self, parts: list[Any]) -> None:
        """Remember what is sent next, as long as it is little."""
        if len(self.first) + sum(map(len, parts)) > KEPT_BYTES:
            self.repeatable = False
            self.first = b""
        else:
            self.first = b"".join((self.first, *parts))

    def _carry_counted(self, stream: Stream) -> None:
        while self._left:
            data = self._next(stream)
            size = len(data)
            if size > self._left:
                self._visitor.buffer = bytes(data[self._left :])
                data = data[: self._left]
                size = self._left
            self._left -= size
            if self.repeatable:
                self._keep([data])
            stream.write(data)

    def _carry_chunks(self, stream: Stream) -> None:
        decoder = self._decoder
        assert decoder is not None
        while not decoder.done:
            data = self._next(stream)
            parts, used = self._decode(data)
            if used < len(data):
                self._visitor.buffer = bytes(data[used:])
            if parts:
                if self.repeatable:
                    self._keep(parts)
                stream.write_pieces(parts)

    def _decode(self, data: memoryview) -> tuple[list[Any], int]:
        """The body's pieces in `data` as one new chunk, with the end where it has come."""
        decoder = self._decoder
        assert decoder is not None
        pieces, used = decoder.feed(data)
        parts: list[Any] = []
        if pieces:
            parts = [b"%x\r\n" % sum(map(len, pieces)), *pieces, b"\r\n"]
        if decoder.done:
            parts.append(last_chunk(decoder.trailers))
        return parts, used
