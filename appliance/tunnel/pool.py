"""The streams of one session at rest: kept warm ahead of need, grown with demand, shrunk when idle.

    IDLE       bound to nothing: takes any visitor
    BOUND      its upstream connection is kept for the next request to the same upstream
    RELEASING  we have said `finish`; the client's `finish` makes it idle

While a stream rests, the hub reads it: an upstream's end, an answer to a ping, or the loss of the link is noticed
before a visitor is.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from gevent.event import Event

from appliance.transport.stream import Stream
from appliance.transport.tapped import untap
from appliance.wire.frames import FrameError
from appliance.wire.messages import Finish, MessageError

IN_USE, IDLE, BOUND, RELEASING = range(4)

BOUND_SECONDS = 20.0  # an upstream connection is kept this long; many servers close theirs after not much more
RELEASE_SECONDS = 10.0  # an upstream that does not end after we have is cut off
SPARE_SECONDS = 60.0  # more streams than are kept warm are closed after this long
ASK_SECONDS = 10.0  # streams asked for and not come by then are asked for again
SCARCE_SECONDS = 1.0  # one who waits for longer is worth another upstream's kept connection
MOST_UNASKED = 64  # idle streams beyond twice of what is warm or used: no client of ours opens as many unasked
DOUBT_SECONDS = 2.0  # a stream that has not answered its visitor by then makes us doubt that the client lives
PONG_BEATS = 2.5  # heartbeats within which a resting stream must have answered


class NoStream(ConnectionError):
    """No stream came in time, or the session ended while waiting."""


class Taker:
    """Who waits for a stream, and what it gets. `fresh`: none that is bound already."""

    __slots__ = ("fresh", "served", "stream", "target")

    def __init__(self, target: str, fresh: bool) -> None:
        self.target = target
        self.fresh = fresh
        self.stream: Stream | None = None
        self.served = Event()

    def serve(self, stream: Stream | None) -> None:
        """None: there will be none."""
        self.stream = stream
        self.served.set()


class Pool:
    """`ask`: called with how many more streams the client should open; `fault`: with what a client did that breaks
    the protocol; `doubt`: when it may be gone, for a visitor waits for it. None may wait.

    `warm`: idle streams to keep; `most`: streams at once.
    """

    def __init__(
        self,
        ask: Callable[[int], None],
        fault: Callable[[Exception], None],
        warm: int,
        most: int,
        doubt: Callable[[], None] | None = None,
    ) -> None:
        self._ask = ask
        self._fault = fault
        self._doubt = doubt
        self._warm = warm
        self._most = most
        self._idle: list[Stream] = []  # the last one given back is taken first: it is the warmest
        self._bound: dict[str, list[Stream]] = {}
        self._releasing: set[Stream] = set()
        self._waiting: deque[Taker] = deque()
        self._all: set[Stream] = set()
        self._asked = 0
        self._asked_at = 0.0
        self.closed = False

    @property
    def resting(self) -> int:
        """Streams at rest."""
        return len(self._idle) + sum(map(len, self._bound.values())) + len(self._releasing)

    @property
    def used(self) -> int:
        """Streams that carry a visitor's bytes now."""
        return len(self._all) - self.resting

    # Streams come and go

    def add(self, stream: Stream) -> bool:
        """A fresh stream from the client. False: there are enough, or the session is over."""
        if self.closed or len(self._all) >= self._most:
            return False
        if len(self._idle) > 2 * max(self._warm, self.used) + MOST_UNASKED:
            return False
        self._asked = max(0, self._asked - 1)
        self._all.add(stream)
        stream.connection.on_idle = lambda: self._heard(stream)
        stream.connection.on_doubt = self._doubt
        self._rest_idle(stream)
        return True

    def take(self, target: str, seconds: float, fresh: bool = False) -> Stream:
        """A stream for `target`; bound to it already if `stream.target` says so, which `fresh` rules out.

        Raises NoStream when none came within `seconds`.
        """
        if not fresh:
            bound = self._bound.get(target)
            if bound:
                stream = bound.pop()
                stream.state = IN_USE
                stream.connection.doubt_at = time.monotonic() + DOUBT_SECONDS
                return stream
        if self._idle:
            stream = self._idle.pop()
            stream.state = IN_USE
            stream.connection.doubt_at = time.monotonic() + DOUBT_SECONDS
            if len(self._idle) + self._asked < self._warm >> 1:
                self.top_up()
            return stream
        return self._wait(Taker(target, fresh), seconds)

    def _wait(self, taker: Taker, seconds: float) -> Stream:
        if self.closed:
            raise NoStream("the client has gone")
        self._waiting.append(taker)
        self.top_up()
        if len(self._all) >= self._most and len(self._releasing) < len(self._waiting):
            self._free_one()
        try:
            if not taker.served.wait(min(seconds, SCARCE_SECONDS)) and seconds > SCARCE_SECONDS:
                self._free_one()  # the client opens no more: it may be at a limit of its own,
                if self._doubt is not None:
                    self._doubt()  # or gone
                taker.served.wait(seconds - SCARCE_SECONDS)
        except BaseException:
            if taker.stream is not None:  # it came, and who waited is being ended
                self.discard(taker.stream)
            raise
        finally:
            if not taker.served.is_set():
                self._waiting.remove(taker)
        # What came in the moment in which time was up counts: nobody else would give it back.
        stream = taker.stream
        if stream is not None:
            return stream
        if taker.served.is_set():
            raise NoStream("the client has gone")
        raise NoStream(f"the client opened no stream within {seconds:g} seconds")

    def _free_one(self) -> None:
        """There can be no more streams, and somebody waits: the coldest of those bound to another upstream is freed."""
        bound = [stream for streams in self._bound.values() for stream in streams]
        if bound:
            self._unbind(min(bound, key=lambda stream: stream.since))

    def give_back(self, stream: Stream) -> None:
        """A stream whose upstream connection can carry the next request to the same upstream."""
        if stream.tap is not None:
            untap(stream)
        if self.closed:
            self.discard(stream)
            return
        if self._waiting and not stream.holding and self._serve_waiting(stream):
            return
        stream.state = BOUND
        stream.since = time.monotonic()
        bound = self._bound.get(stream.target)
        if bound is None:
            bound = self._bound[stream.target] = []
        bound.append(stream)
        stream.connection.arm()
        if stream.holding:
            self._heard(stream)
        elif self._waiting and len(self._all) >= self._most:
            self._unbind(stream)  # who waits wants another upstream, and there can be no more streams

    def _serve_waiting(self, stream: Stream) -> bool:
        """Give a stream that is bound to the first who waits for that; False: nobody does."""
        for taker in self._waiting:
            if taker.target == stream.target and not taker.fresh:
                self._waiting.remove(taker)
                taker.serve(stream)
                return True
        return False

    def release(self, stream: Stream, heard_finish: bool = False) -> None:
        """A stream whose upstream connection is of no more use: end our direction and wait for the client's end.

        `heard_finish`: the client's direction has ended already. Not from the hub.
        """
        if stream.tap is not None:
            untap(stream)
        try:
            stream.connection.deadline = time.monotonic() + RELEASE_SECONDS
            stream.send(Finish())
        except OSError:
            self.discard(stream)
            return
        if self.closed:
            self.discard(stream)
        elif heard_finish:
            self._rest_idle(stream)
        else:
            self._rest_releasing(stream)
            if stream.holding:
                self._heard(stream)

    def settle(self, stream: Stream) -> None:
        """A stream on which both directions have been ended."""
        self._rest_idle(stream)
        if stream.holding:
            self._heard(stream)

    def discard(self, stream: Stream) -> None:
        """Close a stream that must not be used again."""
        self._forget(stream)
        stream.close()

    def cut_off(self, stream: Stream) -> None:
        """As `discard`, in the middle of a visit that has been given up: what is still on its way is lost with it."""
        self._forget(stream)
        stream.abort()

    def fail(self, stream: Stream, error: Exception) -> None:
        """The client broke the protocol on this stream: close it, saying why, and let the session end."""
        self._forget(stream)
        stream.fail(error)
        self._fault(error)

    def close(self) -> None:
        """The session is over: close what rests; what is in use ends by itself."""
        self.closed = True
        for stream in tuple(self._all):
            if stream.state != IN_USE:
                self.discard(stream)
        for taker in self._waiting:
            taker.serve(None)
        self._waiting.clear()

    def cut_off_all(self) -> None:
        """The client has gone without a word: what is in use would wait for it for a long time."""
        self.close()
        for stream in tuple(self._all):
            self.cut_off(stream)

    # Resting

    def _rest_idle(self, stream: Stream) -> None:
        stream.target = ""
        if self._waiting:
            stream.state = IN_USE
            self._waiting.popleft().serve(stream)
            return
        stream.state = IDLE
        stream.since = stream.heard = time.monotonic()
        self._idle.append(stream)
        stream.connection.arm()

    def _rest_releasing(self, stream: Stream) -> None:
        stream.state = RELEASING
        stream.since = time.monotonic()
        self._releasing.add(stream)
        stream.connection.arm()

    def _unbind(self, stream: Stream) -> None:
        """A bound stream at rest: its upstream connection is not kept any longer."""
        self._bound[stream.target].remove(stream)
        self._rest_releasing(stream)
        stream.send_now(Finish())
        if stream.connection.closed:
            self.discard(stream)

    def _forget(self, stream: Stream) -> None:
        self._all.discard(stream)
        if stream.state == IDLE:
            self._idle.remove(stream)
        elif stream.state == BOUND:
            self._bound[stream.target].remove(stream)
        elif stream.state == RELEASING:
            self._releasing.discard(stream)
        stream.state = IN_USE

    def _heard(self, stream: Stream) -> bool:
        """From the hub: something came on a stream. False: it is in use, its reader will see."""
        if stream.state == IN_USE:
            return False
        try:
            while True:
                got = stream.read_ready()
                if got is None:
                    stream.heard = time.monotonic()
                    if stream.connection.closed:  # it takes no answer to its ping
                        self.discard(stream)
                elif isinstance(got, Finish):
                    self._finished(stream)
                elif type(got) is list and stream.state != IDLE:
                    self.discard(stream)  # an upstream that speaks unasked: it must not be heard by the next visitor
                else:
                    raise MessageError("the client sent what nobody asked for")
                # One read at a time: who sends without end must not keep the hub. What is held causes no event.
                if stream.state == IN_USE or not stream.holding:
                    return True
        except (FrameError, MessageError) as error:
            self.fail(stream, error)
        except (EOFError, OSError):
            self.discard(stream)
        return True

    def _finished(self, stream: Stream) -> None:
        """The client's direction has ended while at rest: its upstream closed a kept connection, or we released it."""
        if stream.state == IDLE:
            raise MessageError("the client ended what had not begun")
        if stream.state == BOUND:
            self._bound[stream.target].remove(stream)
            stream.send_now(Finish())
        else:
            self._releasing.discard(stream)
        stream.state = IN_USE
        if stream.connection.closed:
            self.discard(stream)
        else:
            self._rest_idle(stream)

    # Keeping house

    def top_up(self) -> None:
        """Ask the client for streams: enough for who waits, and some warm ones, more of them under load."""
        now = time.monotonic()
        if self._asked and now - self._asked_at > ASK_SECONDS:
            self._asked = 0
        wanted = max(self._warm, self.used >> 2) + len(self._waiting) - len(self._idle) - self._asked
        wanted = min(wanted, self._most - len(self._all) - self._asked)
        if wanted > 0 and not self.closed:
            self._asked += wanted
            self._asked_at = now
            self._ask(wanted)

    def beat(self, heartbeat_seconds: float) -> None:
        """Once a heartbeat: ping all, drop what rests and did not answer, let go what is kept too long."""
        now = time.monotonic()
        for stream in tuple(self._all):
            if stream.state == IN_USE:
                stream.stir_now()
                continue
            rested = now - stream.since
            if stream.state == RELEASING and rested > RELEASE_SECONDS:
                self.discard(stream)
            elif stream.state == BOUND and rested > BOUND_SECONDS:
                self._unbind(stream)
            elif stream.state != RELEASING:
                if now - max(stream.heard, stream.since) > PONG_BEATS * heartbeat_seconds:
                    self.discard(stream)
                else:
                    stream.ping_now()
                    if stream.connection.closed:
                        self.discard(stream)
        self._shrink(now)
        self.top_up()

    def _shrink(self, now: float) -> None:
        """Close spare streams, the coldest first, half of them a heartbeat: a load that comes back finds some left."""
        surplus = len(self._idle) - max(self._warm, self.used >> 2)
        for stream in self._idle[: (surplus + 1) >> 1] if surplus > 0 else ():
            if now - stream.since > SPARE_SECONDS:
                self.discard(stream)
        for target in [target for target, bound in self._bound.items() if not bound]:
            del self._bound[target]
