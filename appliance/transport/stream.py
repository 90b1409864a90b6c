"""A stream: one WebSocket connection of a session, carrying one visitor's bytes at a time, and used again.

Either end. The opener (the server, for its visitors) says `open`, both send binary frames, each says `finish` when its
direction ends; after both the stream is idle. After any abort it is closed, never reused.
"""

from __future__ import annotations

import os
import time
from collections import deque
from typing import Any

from appliance.transport.connection import Connection
from appliance.wire import frames, messages
from appliance.wire.frames import BINARY, CLOSE, PING, PONG, TEXT, FrameDecoder, FrameError, frame_head

# Below this a frame is joined with its head; above, copying would cost more than a second record.
JOIN_BYTES = 8192
FEW_BYTES = 4096  # with no more than these waiting in the kernel, it takes some more at once

_MESSAGES = (TEXT, CLOSE)


class Stream:
    """Frames over a connection.

    `server`: this is the server's end. `plain`: not inside TLS, so a client must mask for real.
    `sent`, `received`: payload bytes since the last `open`.
    """

    __slots__ = (
        "_decoder",
        "_later",
        "_mask",
        "_plain",
        "_vocabulary",
        "connection",
        "heard",
        "received",
        "sent",
        "server",
        "since",
        "state",
        "tap",
        "target",
    )

    def __init__(
        self, connection: Connection, server: bool, plain: bool, early: bytes = b"", opener: bool | None = None
    ) -> None:
        """`early`: bytes that came with the upgrade; `opener`: this end opens (None: as the server does).

        Raises FrameError.
        """
        self.connection = connection
        self.server = server
        self._mask = not server
        self._plain = plain and not server
        self._decoder = FrameDecoder(masked=server, max_message_bytes=messages.MAX_STREAM_BYTES)
        self._vocabulary = (
            messages.STREAM_TO_OPENER if (server if opener is None else opener) else messages.STREAM_TO_CARRIER
        )
        self._later: deque[frames.Event] = deque(self._decoder.feed(memoryview(early)))
        self.sent = 0
        self.received = 0
        # For the pool that holds it: what it is bound to, in which state, since when, and when it last answered.
        self.target = ""
        self.state = 0
        self.since = 0.0
        self.heard = 0.0
        self.tap: Any = None  # who listens: see `tapped.py`

    # Reading

    @property
    def holding(self) -> bool:
        """Whether something has come that nobody has asked for yet: no event of the socket will tell of it."""
        return bool(self._later)

    def read(self) -> list[Any] | Any | None:
        """What came next: pieces of bytes in a list (good until the next wait), a message, or None at the end.

        Raises FrameError, MessageError or an OSError of the connection.
        """
        while True:
            if self._later:
                got = self._next(self._later)
            else:
                data = self.connection.read()
                if not data:
                    return None
                events = self._decoder.feed(data)
                if len(events) == 1 and events[0][0] == BINARY:
                    payload = events[0][1]
                    self.received += len(payload)
                    return [payload]
                got = self._sort(events)
            if got is not None:
                return got

    def read_ready(self) -> list[Any] | Any | None:
        """As `read`, without waiting: None where nothing is there. Raises EOFError at the end."""
        if self._later:
            return self._next(self._later)
        data = self.connection.read_ready()
        if data is None:
            return None
        if not data:
            raise EOFError("the stream has ended")
        return self._sort(self._decoder.feed(data))

    def _sort(self, events: list[frames.Event]) -> list[Any] | Any | None:
        """The first run of bytes or the first message of `events`; what follows is kept (copied) for later."""
        queue = deque(events)
        got = self._next(queue)
        if queue:
            self._later = deque((opcode, bytes(payload)) for opcode, payload in queue)
        return got

    def _next(self, events: deque[frames.Event]) -> list[Any] | Any | None:
        """Take the first run of bytes or the first message from `events`."""
        pieces: list[Any] = []
        while events:
            opcode, payload = events[0]
            if opcode == BINARY:
                pieces.append(payload)
                self.received += len(payload)
            elif opcode in _MESSAGES:
                if pieces:
                    break
                events.popleft()
                return self._message(opcode, bytes(payload))
            else:
                self._control(opcode, bytes(payload))
            events.popleft()
        return pieces or None

    def _message(self, opcode: int, payload: bytes) -> Any:
        if opcode == CLOSE:
            raise ConnectionResetError(f"the peer closed the stream ({frames.close_reason(payload)[1]})")
        return messages.decode(payload, self._vocabulary)

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            # What is being written, or waits to be taken, shows that we live; a peer that takes nothing may be paused.
            if not self.connection.writing and self.connection.queued < FEW_BYTES:
                self.connection.write_now(self._frame(PONG, payload))
        elif opcode == PONG:
            self.heard = time.monotonic()

    # Writing

    def _frame(self, opcode: int, payload: bytes) -> bytes:
        if self._plain:
            return frames.masked_frame(opcode, payload, os.urandom(4))
        return frame_head(opcode, len(payload), self._mask) + payload

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes of the visitor or upstream as one frame."""
        size = len(data)
        self.sent += size
        if self._plain:
            self.connection.write(frames.masked_frame(BINARY, data, os.urandom(4)))
        elif size <= JOIN_BYTES:
            self.connection.write(frame_head(BINARY, size, self._mask) + data)
        else:
            self.connection.write_parts([frame_head(BINARY, size, self._mask), data])

    def write_pieces(self, pieces: list[Any]) -> None:
        """Send several pieces as one frame."""
        if len(pieces) == 1:
            self.write(pieces[0])
        elif self._plain:
            self.write(b"".join(pieces))
        else:
            size = sum(map(len, pieces))
            self.sent += size
            self.connection.write_parts([frame_head(BINARY, size, self._mask), *pieces])

    def open(self, message: messages.Open, data: bytes) -> None:
        """Send `open` and the first bytes together."""
        self.sent = len(data)
        self.received = 0
        first = self._frame(BINARY, data) if data else b""
        self.connection.write(self._frame(TEXT, messages.encode(message)) + first)

    def send(self, message: messages.Message) -> None:
        self.connection.write(self._frame(TEXT, messages.encode(message)))

    def end(self, data: bytes, message: messages.Finish) -> None:
        """Send the last bytes and `finish` together."""
        self.sent += len(data)
        last = self._frame(BINARY, data) if data else b""
        self.connection.write(last + self._frame(TEXT, messages.encode(message)))

    def send_now(self, message: messages.Message) -> None:
        """From the hub."""
        self.connection.write_now(self._frame(TEXT, messages.encode(message)))

    def ping_now(self, payload: bytes = b"") -> None:
        self.connection.write_now(self._frame(PING, payload))

    def stir_now(self) -> None:
        """Let something pass on a stream in use that may be silent: proxies on the way end what is for a minute. The
        peer may be paused and take no bytes, so none are added to those that wait for it."""
        connection = self.connection
        if not connection.closed and not connection.writing and not connection.queued:
            self.ping_now()

    def close(self) -> None:
        self.connection.close()

    def abort(self) -> None:
        """Cut the stream off: the peer hears of it at once, and not only behind what it has not read yet."""
        self.connection.abort()

    def fail(self, error: Exception) -> None:
        """End a stream whose peer broke the protocol, saying why."""
        code = error.code if isinstance(error, FrameError) else frames.PROTOCOL_ERROR
        if not self.connection.closed and not self.connection.writing:
            self.connection.write_now(self._frame(CLOSE, frames.close_payload(code, str(error))))
        self.connection.close()
