"""The carrier's end of one stream: visitor after visitor, each with a connection to an upstream. A byte pipe.

The client carries for the server's visitors, the server for a client's local forwards.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from appliance.transport.connection import Connection, PeerLeft
from appliance.transport.stream import Stream
from appliance.wire.frames import FrameError
from appliance.wire.messages import Finish, MessageError, Open, Opened, Refuse

SHORT_BYTES = 8192  # of a first answer that waits to see whether its end has come as well

log = logging.getLogger("sluice.upstream")

Dial = Callable[[str, str], Connection]  # of an upstream, for a visitor with this address and port


class NotReached(ConnectionError):
    """The upstream cannot be had; `reason` is one of the wire's."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Carrier:
    """`serve` runs until the stream ends. This greenlet carries towards the upstream, a second one back.

    `dial`: a connection to what `open` names; it raises NotReached.
    """

    __slots__ = ("_confirmed", "_delivered", "_dial", "_downward", "_stream", "_upstream", "_upward")

    def __init__(self, stream: Stream, dial: Dial) -> None:
        self._stream = stream
        self._dial = dial
        self._upstream: Connection | None = None
        self._confirmed = False  # the opener was told that its target is reached: TCP, where resets count
        self._delivered = 0  # bytes that the upstream was given since `open`
        self._downward = False  # whether the upstream's direction still runs,
        self._upward = False  # and the visitor's

    @property
    def idle(self) -> bool:
        """Whether it carries nothing, and does not dial for it either."""
        return self._upstream is None and not self._upward

    def serve(self) -> None:
        stream = self._stream
        read = stream.read
        try:
            while True:
                got = read()
                if type(got) is list:
                    if self._upstream is not None:
                        self._deliver(got)
                elif got is None:
                    return
                elif isinstance(got, Open):
                    self._open(got)
                else:
                    self._finish()
        except (FrameError, MessageError) as error:
            log.warning("the peer broke the protocol on a stream: %s", error)
            stream.fail(error)
        except OSError:
            pass  # the link is gone; the control channel notices, too, and says so once
        finally:
            self.close()

    def close(self) -> None:
        """End the stream, and what it carries, at once."""
        self._stream.close()
        self._upward = False
        if self._upstream is not None:
            self._upstream.abort()
            self._upstream = None

    def _open(self, message: Open) -> None:
        if self._upstream is not None:
            raise MessageError("a stream was opened twice")
        self._delivered = 0
        self._stream.sent = 0
        self._upward = True
        self._confirmed = message.confirm
        try:
            upstream = self._dial(message.upstream, message.visitor)
        except NotReached as error:
            self._upward = False
            log.warning("%s", error)
            self._stream.send(Refuse(error.reason))
            return
        self._upstream = upstream
        self._downward = True
        if self._stream.connection.peer_has_left():
            raise ConnectionResetError("the peer gave the visitor up while its upstream was dialled")
        if message.confirm:
            upstream.allow_pauses()
            self._stream.connection.allow_pauses()
            self._stream.send(Opened())
        # A peer that gives the visitor up must be heard also while this upstream takes no bytes.
        self._stream.connection.dependant = upstream
        upstream.when_readable("upstream", self._carry_down, upstream)

    def _deliver(self, pieces: list[Any]) -> None:
        upstream = self._upstream
        assert upstream is not None
        try:
            # Counted before it is written: of a write that breaks off, some may have arrived.
            if len(pieces) == 1:
                self._delivered += len(pieces[0])
                upstream.write(pieces[0])
            else:
                self._delivered += sum(map(len, pieces))
                upstream.write_parts(pieces)
        except OSError:
            if self._stream.connection.closed:
                raise
            over = self._confirmed and not self._downward and not self._stream.connection.writing
            if self._upstream is upstream and (over or upstream.closed):
                raise  # with both directions gone, who still sends must be told as directly: by a reset
            # Else it takes no more: what it still says, and its end, comes down the other direction.

    def _finish(self) -> None:
        """The visitor's direction has ended."""
        self._upward = False
        upstream = self._upstream
        if upstream is None:
            return  # it was refused, or has been cut off
        if not self._downward:
            self._part()
            return
        try:
            upstream.shutdown_write()
        except OSError:
            pass  # it has gone altogether; the other direction notices

    def _part(self) -> None:
        """The upstream is of no more use: both directions have ended, or it was reset."""
        upstream, self._upstream = self._upstream, None
        self._stream.connection.dependant = None
        if upstream is not None:
            upstream.close()

    def _carry_down(self, upstream: Connection) -> None:
        stream = self._stream
        read, write = upstream.read, stream.write
        reset = False
        kept = b""  # a short first answer: its end has often come with it, and can go with it
        at_once = True  # for this runs because something has come
        try:
            while True:
                try:
                    data = upstream.read_ready() if at_once else read()
                except PeerLeft:
                    raise
                except OSError:
                    if upstream.closed:
                        raise
                    reset = True
                    break
                if data is not None and not data:
                    break
                if at_once:
                    if data and not kept and len(data) <= SHORT_BYTES:
                        kept = bytes(data)
                        continue
                    at_once = False
                    if kept:
                        stream.write_pieces([kept, data] if data else [kept])
                        kept = b""
                        continue
                if data:
                    write(data)
            self._downward = False
            if reset or not self._upward:
                self._part()  # before our `finish`, after which the stream may be opened anew
            stream.end(kept, Finish(self._delivered, reset))
            if self._confirmed and self._upstream is upstream:
                # Nobody reads from it any more: a reset that follows must reach who waits for the visitor's bytes.
                upstream.half_closes = True
                upstream.dependant = stream.connection
        except OSError:
            stream.close()  # the peer has given the visitor up, or the link is gone
