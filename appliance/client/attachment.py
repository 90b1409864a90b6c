"""One session as the client knows it: its control channel, and the streams that belong to it."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from gevent import Timeout
from gevent.event import Event
from gevent.lock import BoundedSemaphore

from appliance.client.forwards import LocalForwards
from appliance.client.upstream import Upstreams
from appliance.transport import tasks
from appliance.transport.channel import Channel
from appliance.transport.dial import Dialer, Refused
from appliance.transport.stream import Stream
from appliance.tunnel.carrier import Carrier
from appliance.tunnel.pool import Pool
from appliance.wire import frames
from appliance.wire.frames import FrameError
from appliance.wire.messages import Drain, Evicted, Grow, MessageError, Served, Update, Welcome

if TYPE_CHECKING:
    from appliance.client.inspection import Inspection

DIALS_AT_ONCE = 16
WELCOME_SECONDS = 15.0
WARM_FORWARDS = 2  # idle streams kept open for local forwards

log = logging.getLogger("sluice.client")


class Draining(ConnectionError):
    """The server is going away. The session goes on for what is under way: see `Attachment.see_out`."""


class Dismissed(ConnectionError):
    """The server has ended the session for good: coming back as it is will not help."""


class Attachment:
    """`quiet`: set while there are no streams that the server opens."""

    def __init__(
        self, channel: Channel, dialer: Dialer, upstreams: Upstreams, most: int, forwards: LocalForwards
    ) -> None:
        self._channel = channel
        self._dialer = dialer
        self._upstreams = upstreams
        self._most = most
        self._forwards = forwards
        # The streams that this side opens; the server's pool has those that it opens.
        self._pool = Pool(self._grow_forwards, self._fault, WARM_FORWARDS if forwards else 0, most, channel.probe)
        self._carriers: set[Carrier] = set()
        self._dialling = 0
        self._gate = BoundedSemaphore(DIALS_AT_ONCE)
        self._fields: dict[str, str] = {}
        self._refused: dict[str, str] = {}  # by the server: why it does not serve what was offered
        self._over = False
        self.inspection: Inspection | None = None
        self.over = Event()
        self.quiet = Event()
        self.quiet.set()

    def serve(self, welcomed: Callable[[], None]) -> NoReturn:
        """Do as the server asks until the channel ends, which raises what ended it; or Draining."""
        # Not the channel's deadline, which anything that is heard puts off.
        with Timeout(WELCOME_SECONDS, ConnectionError(errno.ETIMEDOUT, "the server did not say welcome in time")):
            message = self._channel.receive()
        if not isinstance(message, Welcome):
            raise MessageError("the server did not say welcome")
        self._fields = {"Sluice-Session": message.session, "Sluice-Secret": message.secret}
        self._channel.expect(message.heartbeat)
        self._grow(message.streams)
        if self._forwards:
            self._forwards.pool = self._pool
            self._pool.top_up()
            tasks.spawn("heartbeat", self._beat, message.heartbeat)
        welcomed()
        self._attend()

    def see_out(self) -> None:
        """After Draining: go on doing as the server asks. Raises what ends the channel."""
        while True:
            try:
                self._attend()
            except Draining:
                pass

    def _attend(self) -> NoReturn:
        while True:
            message = self._channel.receive()
            if isinstance(message, Grow):
                self._grow(message.count)
            elif isinstance(message, Served):
                self._told(message)
            elif isinstance(message, Evicted):
                ended = Dismissed if message.final else ConnectionError
                raise ended(f"the server has ended the session: {message.reason}")
            elif isinstance(message, Drain):
                raise Draining(message.reason)
            else:
                raise MessageError("welcome came twice")

    def _told(self, message: Served) -> None:
        """The server says what it does not serve, and again when that has changed."""
        refused = {refusal.offer: refusal.reason for refusal in message.refused}
        for offer, reason in refused.items():
            if self._refused.get(offer) != reason:
                log.error("the server does not serve %s: %s", offer, reason)
        for offer in self._refused.keys() - refused.keys():
            log.info("the server now serves %s", offer)
        self._refused = refused

    def update(self, message: Update) -> None:
        """Tell the server what is offered from now on; if the session is ending, the next one will."""
        try:
            self._channel.send(message)
        except OSError:
            pass

    def close(self, reason: str, gently: bool = False) -> None:
        """End the channel and idle streams; what carries a visitor goes on until the server ends it. `gently`: the
        server closes idle streams itself, as soon as it hears, for visitors may be on their way in them."""
        if self._over:
            return
        self._over = True
        self.over.set()
        self._pool.close()
        if self._forwards.pool is self._pool:
            self._forwards.pool = None
        self._channel.close(frames.GOING_AWAY, reason)
        if not gently:
            self.close_idle()

    def close_idle(self) -> None:
        for carrier in tuple(self._carriers):
            if carrier.idle:
                carrier.close()

    def cut_off(self) -> int:
        """End what still carries a visitor. Returns how many that were."""
        carriers = tuple(self._carriers)
        busy = sum(not carrier.idle for carrier in carriers)
        for carrier in carriers:
            carrier.close()
        return busy

    def _grow(self, count: int) -> None:
        count = min(count, self._most - len(self._carriers) - self._dialling)
        for _ in range(count):
            self._dialling += 1
            tasks.spawn("stream", self._stream)

    def _stream(self) -> None:
        try:
            with self._gate:
                if self._over:
                    return
                connection, early = self._dialer.open("/stream", self._fields)
        except OSError as error:
            if not self._over:
                # The server asks again for what it misses.
                log.warning("a stream was not opened: %s", error.strerror or error)
            return
        finally:
            self._dialling -= 1
        if self._over:
            connection.close()
            return
        try:
            stream = Stream(connection, server=False, plain=self._dialer.plain, early=early)
        except FrameError as error:
            log.warning("the server broke the protocol on a stream: %s", error)
            connection.close()
            return
        if self.inspection is not None:
            self.inspection.listen(stream, lambda: not self._over and self._channel.stands)
        carrier = Carrier(stream, self._upstreams.dial)
        self._carriers.add(carrier)
        self.quiet.clear()
        try:
            carrier.serve()
        finally:
            self._carriers.discard(carrier)
            if not self._carriers:
                self.quiet.set()

    # Local forwards

    def _grow_forwards(self, count: int) -> None:
        for _ in range(count):
            tasks.spawn("forward", self._forward_stream)

    def _forward_stream(self) -> None:
        try:
            with self._gate:
                if self._over:
                    return
                connection, early = self._dialer.open("/stream", self._fields | {"Sluice-Direction": "forward"})
        except OSError as error:
            if not self._pool.closed:
                log.error("no stream for local forwards: %s", error.strerror or error)
            if isinstance(error, Refused) and error.status == 403:
                self._pool.close()  # the server does not forward: nobody shall wait, or ask again
            return
        try:
            stream = Stream(connection, server=False, plain=self._dialer.plain, early=early, opener=True)
        except FrameError as error:
            self._fault(error)
            connection.close()
            return
        if not self._pool.add(stream):
            connection.close()

    def _fault(self, error: Exception) -> None:
        """The server broke the protocol on a stream that we opened: the session ends. Must not wait."""
        self._channel.close(frames.PROTOCOL_ERROR, str(error))

    def _beat(self, heartbeat_seconds: float) -> None:
        while not self.over.wait(heartbeat_seconds):
            self._pool.beat(heartbeat_seconds)
