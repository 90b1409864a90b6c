"""The client's end of one stream: visitor after visitor, each with a connection to an upstream. A byte pipe."""

from __future__ import annotations

import logging
from typing import Any

from appliance.client.upstream import NotReached, Upstreams
from appliance.transport import tasks
from appliance.transport.connection import Connection, PeerLeft
from appliance.transport.stream import Stream
from appliance.wire.frames import FrameError
from appliance.wire.messages import Finish, MessageError, Open, Refuse

log = logging.getLogger("sluice.client")


class Carrier:
    """`serve` runs until the stream ends. This greenlet carries towards the upstream, a second one back."""

    __slots__ = ("_delivered", "_downward", "_stream", "_upstream", "_upstreams", "_upward")

    def __init__(self, stream: Stream, upstreams: Upstreams) -> None:
        self._stream = stream
        self._upstreams = upstreams
        self._upstream: Connection | None = None
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
            log.warning("the server broke the protocol on a stream: %s", error)
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
        try:
            upstream = self._upstreams.dial(message.upstream)
        except NotReached as error:
            self._upward = False
            log.warning("%s", error)
            self._stream.send(Refuse(error.reason))
            return
        self._upstream = upstream
        self._downward = True
        if self._stream.connection.peer_has_left():
            raise ConnectionResetError("the server gave the visitor up while its upstream was dialled")
        # A server that gives the visitor up must be heard also while this upstream takes no bytes.
        self._stream.connection.dependant = upstream
        tasks.spawn("upstream", self._carry_down, upstream)

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
                raise  # else it takes no more: what it still says, and its end, comes down the other direction

    def _finish(self) -> None:
        """The visitor's direction has ended."""
        upstream = self._upstream
        if upstream is None:
            return  # it was refused
        self._upward = False
        if not self._downward:
            self._part()
            return
        try:
            upstream.shutdown_write()
        except OSError:
            pass  # it has gone altogether; the other direction notices

    def _part(self) -> None:
        """Both directions have ended: the stream is idle."""
        upstream, self._upstream = self._upstream, None
        self._stream.connection.dependant = None
        if upstream is not None:
            upstream.close()

    def _carry_down(self, upstream: Connection) -> None:
        stream = self._stream
        read, write = upstream.read, stream.write
        reset = False
        try:
            while True:
                try:
                    data = read()
                except PeerLeft:
                    raise
                except OSError:
                    if upstream.closed:
                        raise
                    reset = True
                    break
                if not data:
                    break
                write(data)
            self._downward = False
            if not self._upward:
                self._part()  # before our `finish`, after which the stream may be opened anew
            stream.send(Finish(self._delivered, reset))
        except OSError:
            stream.close()  # the server has given the visitor up, or the link is gone
