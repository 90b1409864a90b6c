"""The control channel of a session, either end: messages, one writer at a time, a size limit, a heartbeat."""

from __future__ import annotations

import os
import time
from collections import deque
from typing import Any

from gevent.lock import BoundedSemaphore

from appliance.transport.connection import Connection
from appliance.wire import frames, messages
from appliance.wire.frames import CLOSE, PING, PONG, TEXT, FrameDecoder, frame_head

# A channel on which nothing was heard for this many heartbeats is dead,
PATIENCE = 2.5
# and for this many when the peer was asked out of turn.
PROBE_PATIENCE = 0.5


class ChannelClosed(ConnectionError):
    """The peer has closed the channel; the text is its reason."""


class Channel:
    """Messages over a connection. Nothing heard within PATIENCE heartbeats ends it with TimedOut."""

    def __init__(
        self, connection: Connection, server: bool, plain: bool, heartbeat_seconds: float, early: bytes = b""
    ) -> None:
        """`early`: bytes that came with the upgrade. Raises FrameError."""
        self._connection = connection
        self._mask = not server
        self._plain = plain and not server
        self._decoder = FrameDecoder(masked=server, max_message_bytes=messages.MAX_CONTROL_BYTES, binary=False)
        self._vocabulary = messages.TO_SERVER if server else messages.TO_CLIENT
        self._events: deque[frames.Event] = deque(self._decoder.feed(memoryview(early)))
        self._writing = BoundedSemaphore()
        self.heartbeat_seconds = heartbeat_seconds
        self.round_trip_seconds: float | None = None
        self._asked = False  # out of turn, and nothing was heard since
        self._extend()

    @property
    def peer(self) -> str:
        return self._connection.peer

    @property
    def stands(self) -> bool:
        """Whether the connection is there, as far as this machine knows."""
        return not self._connection.closed and not self._connection.peer_has_left()

    def expect(self, heartbeat_seconds: float) -> None:
        """From now on, this is how often the peer is heard."""
        self.heartbeat_seconds = heartbeat_seconds
        self._extend()

    def receive(self) -> Any:
        """The next message. Raises ChannelClosed, TimedOut or another OSError, FrameError or MessageError."""
        while True:
            while not self._events:
                data = self._connection.read()
                if not data:
                    raise ChannelClosed("the connection has ended")
                self._events.extend(self._decoder.feed(data))
                self._extend()
            opcode, payload = self._events.popleft()
            if opcode == TEXT:
                return messages.decode(bytes(payload), self._vocabulary)
            if opcode == PING:
                self._write(PONG, bytes(payload))
            elif opcode == PONG:
                self._note_pong(bytes(payload))
            elif opcode == CLOSE:
                code, reason = frames.close_reason(bytes(payload))
                raise ChannelClosed(reason or f"close code {code}")

    def send(self, message: messages.Message) -> None:
        self._write(TEXT, messages.encode(message))

    def send_now(self, message: messages.Message) -> None:
        """Without waiting: a last word to a peer that may be long gone. Unsaid while another message is on its way."""
        if not self._connection.closed and not self._connection.writing:
            self._connection.write_now(self._frame(TEXT, messages.encode(message)))

    def ping(self) -> None:
        self._write(PING, b"%d" % (time.monotonic_ns() // 1000))

    def probe(self) -> None:
        """Is the peer still there? Called in doubt, from the hub: it has less time than usual to be heard."""
        if self._asked or self._connection.closed or self._connection.writing:
            return
        self._asked = True
        limit = time.monotonic() + PROBE_PATIENCE * self.heartbeat_seconds
        self._connection.deadline = min(self._connection.deadline, limit)
        self._connection.write_now(self._frame(PING, b"%d" % (time.monotonic_ns() // 1000)))

    def close(self, code: int = frames.NORMAL, reason: str = "") -> None:
        """Say why, if the peer still takes it, and close."""
        if not self._connection.closed:
            if not self._connection.writing:
                self._connection.write_now(self._frame(CLOSE, frames.close_payload(code, reason)))
            self._connection.close()

    def _extend(self) -> None:
        self._asked = False
        self._connection.deadline = time.monotonic() + PATIENCE * self.heartbeat_seconds

    def _note_pong(self, payload: bytes) -> None:
        if payload.isdigit():
            self.round_trip_seconds = max(0.0, time.monotonic() - int(payload) / 1e6)

    def _frame(self, opcode: int, payload: bytes) -> bytes:
        if self._plain:
            return frames.masked_frame(opcode, payload, os.urandom(4))
        return frame_head(opcode, len(payload), self._mask) + payload

    def _write(self, opcode: int, payload: bytes) -> None:
        with self._writing:
            self._connection.write(self._frame(opcode, payload))
