"""The opener's side of a TCP connection through a tunnel: byte-exact, each direction ending on its own.

Towards a carrier that cannot reach its target nothing is lost: what the visitor sent is kept until the carrier says
`opened`, and goes to the next one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from typing import Any, Protocol

from gevent import get_hub
from gevent.event import Event
from greenlet import GreenletExit, getcurrent

from appliance.transport.connection import Connection
from appliance.transport.relay import from_stream
from appliance.transport.stream import Stream
from appliance.tunnel.pool import NoStream, Pool
from appliance.wire.frames import FrameError
from appliance.wire.messages import NOT_ALLOWED, Finish, MessageError, Open, Opened, Refuse

HELD_BYTES = 65536  # of the visitor's, until the target is reached; more of them wait in the kernel
OPEN_SECONDS = 30.0  # for a carrier to say whether it reaches its target; its own limit is shorter


class Way(Protocol):
    """A pool whose carrier knows a target."""

    @property
    def pool(self) -> Pool: ...
    @property
    def target(self) -> str: ...
    def reached(self) -> None:
        """Called when the carrier has reached it; must not wait."""


class Passage:
    """Carries `connection`. `preface`: bytes that go before the visitor's own; `early`: those of the visitor's that
    were read already; `idle_seconds`: without a byte either way after which it is ended, 0 for never.

    `sent`, `received`: bytes to the target and back. `way`: the one that was taken, once one was.
    """

    __slots__ = (
        "_connection",
        "_held",
        "_idle",
        "_live",
        "_opened",
        "_preface",
        "_stream",
        "_up",
        "_up_ended",
        "_up_over",
        "_visitor_lost",
        "received",
        "sent",
        "way",
    )

    def __init__(
        self, connection: Connection, preface: bytes = b"", early: bytes = b"", idle_seconds: float = 0.0
    ) -> None:
        connection.half_closes = True
        connection.patience = idle_seconds  # a slow visitor that takes bytes is not idle
        connection.allow_pauses()
        self._connection = connection
        self._preface = preface
        self._idle = idle_seconds
        self._held: bytearray | None = bytearray(early)  # None once the target is reached
        self._opened: Event | None = None  # set when the target is reached, for who waits for that
        self._stream: Stream | None = None  # the one in use
        self._live: Stream | None = None  # that, from when its target is reached until its bytes are counted
        self._up: Any = None  # the greenlet of the visitor's direction, while it runs
        self._up_over: Event | None = None  # set when that has ended, for who waits for that
        self._up_ended = False  # the visitor's direction has ended, and the carrier has been told
        self._visitor_lost = False
        self.sent = 0
        self.received = 0
        self.way: Way | None = None

    @property
    def so_far(self) -> tuple[int, int]:
        """Bytes to the target and back up to now, also while it runs."""
        stream = self._live
        if stream is None:
            return self.sent, self.received
        return self.sent + stream.sent - len(self._preface), self.received + stream.received

    def run(self, ways: Iterable[Way], seconds: float) -> str:
        """Carry the connection over the first of `ways` that reaches its target, until it ends; then it is closed.

        `seconds`: how long to wait for a stream. Returns why no way was found, "" when one was.
        """
        reason = "not offered"
        regular = False
        try:
            for way in ways:
                try:
                    reason = self._try(way, seconds)
                    regular = not reason
                except (OSError, FrameError, MessageError):
                    reason = "stream lost"
                if self.way is not None or self._visitor_lost or self._connection.closed:
                    break
        finally:
            self._stop_up()
            self._connection.dependant = None
            if regular:
                self._connection.close()
            else:
                self._connection.abort()  # what did not end of itself must not look as if it had
        return "" if self.way is not None or self._visitor_lost else reason

    def end(self) -> None:
        """Cut it off, at once, both ways. `run` returns soon."""
        self._connection.abort()
        if self._stream is not None:
            self._stream.abort()

    def _try(self, way: Way, seconds: float) -> str:
        self._hold_what_came()
        try:
            stream = way.pool.take(way.target, seconds, fresh=True)
        except NoStream:
            return "no stream"
        self._stream = stream
        try:
            return self._through(way, stream)
        except (FrameError, MessageError) as error:
            self._stop_up()
            way.pool.fail(stream, error)
            raise
        except BaseException:
            self._stop_up()
            way.pool.discard(stream)
            raise
        finally:
            self._stream = None

    def _through(self, way: Way, stream: Stream) -> str:
        """Use one stream; returns "" when both directions have ended, or why the target was not reached."""
        connection = self._connection
        stream.connection.allow_pauses()
        stream.connection.deadline = time.monotonic() + OPEN_SECONDS
        stream.open(Open(way.target, connection.peer, confirm=True), self._preface + bytes(self._held or b""))
        self._up_ended = False
        connection.when_readable("visitor's bytes", self._run_up, stream)
        got = stream.read()
        if isinstance(got, Refuse):
            self._stop_up()
            self._give_back(way.pool, stream)
            return "not allowed" if got.reason == NOT_ALLOWED else "target not reached"
        if not isinstance(got, Opened):
            raise ConnectionResetError("the stream was lost before its target was reached")
        self.way = way
        self._live = stream
        self._held = None
        way.reached()
        if self._opened is not None:
            self._opened.set()
        stream.connection.deadline = math.inf
        self._touch(stream)
        # Each side's hanging up must reach a greenlet that waits for the other.
        connection.dependant = stream.connection
        stream.connection.dependant = connection
        try:
            self._carry_down(way.pool, stream)
        finally:
            self._live = None
            self.sent += stream.sent - len(self._preface)
            self.received += stream.received
            stream.connection.dependant = None
        return ""

    def _carry_down(self, pool: Pool, stream: Stream) -> None:
        connection = self._connection
        try:
            ended = self._relay_down(stream)
        except OSError:
            if connection.refused:
                self._rest_up(stream)  # what the visitor has said before it cut itself off
            raise
        if not isinstance(ended, Finish):
            raise ConnectionResetError("the stream was lost")
        if ended.reset:
            self._stop_up()  # first: it would take our own cutting off for the visitor's
            connection.abort()
            self._give_back(pool, stream)
            return
        if self._up_ended:
            pool.settle(stream)
            return  # closing it ends this direction, too
        connection.shutdown_write()
        self._rest_up(stream)
        if not self._up_ended:
            raise ConnectionResetError("the visitor was cut off")
        pool.settle(stream)

    def _give_back(self, pool: Pool, stream: Stream) -> None:
        """A stream whose carrier has ended its direction, and hears of the end of ours if it has not yet."""
        if self._up_ended:
            pool.settle(stream)
        else:
            pool.release(stream, heard_finish=True)

    def _relay_down(self, stream: Stream) -> object:
        if not self._idle:
            return from_stream(stream, self._connection)
        while True:
            got = stream.read()
            if type(got) is not list:
                return got
            self._touch(stream)
            self._connection.write_parts(got)

    def _hold_what_came(self) -> None:
        """What the visitor has sent already goes with `open`."""
        assert self._held is not None
        if len(self._held) > HELD_BYTES:
            return
        try:
            data = self._connection.read_ready()
        except OSError:
            self._visitor_lost = True
            raise
        if data:
            self._held += data

    def _run_up(self, stream: Stream) -> None:
        self._up = getcurrent()
        try:
            self._carry_up(stream, at_once=True)
        finally:
            self._up = None
            if self._up_over is not None:
                self._up_over.set()

    def _carry_up(self, stream: Stream, at_once: bool = False) -> None:
        """`at_once`: something has come already."""
        connection = self._connection
        try:
            while True:
                try:
                    data = connection.read_ready() if at_once else connection.read()
                except OSError:
                    self._visitor_lost = True
                    raise
                at_once = False
                if data is None:
                    continue
                if not data:
                    break
                if self._held is not None:
                    kept = bytes(data)
                    self._held += kept  # before anything waits: another stream begins with what is held
                    if len(self._held) > HELD_BYTES:
                        self._opened = Event()
                        self._opened.wait()
                    stream.write(kept)
                else:
                    stream.write(data)
                    self._touch(stream)
            stream.send(Finish())
            self._up_ended = True
        except OSError:
            stream.close()  # the visitor was cut off, or the stream: whoever reads it is told by this

    def _touch(self, stream: Stream) -> None:
        """Something came: being idle begins anew."""
        if self._idle:
            self._connection.deadline = stream.connection.deadline = time.monotonic() + self._idle

    def _stop_up(self) -> None:
        self._connection.on_idle = None
        if self._up is not None:
            get_hub().loop.run_callback(self._cut_up, self._up)
            self._await_up()

    def _cut_up(self, up: Any) -> None:
        if self._up is up:  # not ended meanwhile, and the greenlet another's
            up.throw(GreenletExit)

    def _rest_up(self, stream: Stream) -> None:
        """The visitor's direction, until it has ended."""
        if self._connection.on_idle is not None:
            self._connection.on_idle = None
            self._carry_up(stream)  # nothing has come since `open`, so there is no greenlet for it
        else:
            self._await_up()

    def _await_up(self) -> None:
        if self._up is not None:
            self._up_over = Event()
            self._up_over.wait()
