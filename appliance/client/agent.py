"""The client: connects, registers, keeps streams open as the server asks, and comes back whenever the link is lost."""

from __future__ import annotations

import errno
import logging
import random
import secrets
import signal
import ssl
import time
from collections.abc import Callable
from typing import Any, NoReturn

import gevent
from gevent import Timeout, get_hub
from gevent.event import Event
from gevent.lock import BoundedSemaphore
from greenlet import getcurrent

from appliance.client.forwards import LocalForwards
from appliance.client.upstream import OpenDirectory, Upstreams
from appliance.config.build import VERSION
from appliance.config.client_options import ClientOptions
from appliance.config.options import ConfigError
from appliance.transport import descriptors, tasks
from appliance.transport.channel import Channel
from appliance.transport.connection import Connection, TimedOut
from appliance.transport.dial import Dialer, Refused, Untrusted, fetch_ca
from appliance.transport.stream import Stream
from appliance.transport.tls import client_context
from appliance.tunnel.carrier import Carrier
from appliance.tunnel.pool import Pool
from appliance.wire import frames, messages
from appliance.wire.address import ServerUrl, Upstream
from appliance.wire.frames import FrameError
from appliance.wire.messages import Drain, Evicted, Grow, Hello, MessageError, Offer, OfferedPort, Served, Welcome
from appliance.wire.ports import LocalForward

FIRST_PAUSE_SECONDS = 0.5
MOST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 20.0  # a session that lasted this long was a good one: the next pause is short again
DIALS_AT_ONCE = 16
UNHEARD_SECONDS = 20.0  # until the server has said how often it is heard
WELCOME_SECONDS = 15.0
GRACE_SECONDS = 5.0  # for requests under way when the client stops
RESERVED_DESCRIPTORS = 64
WARM_FORWARDS = 2  # idle streams kept open for local forwards

log = logging.getLogger("sluice.client")


class Agent:
    """`run` serves until `stop`. `open_directory`: how directory upstreams are served. Raises ConfigError."""

    def __init__(
        self,
        config: ClientOptions,
        url: ServerUrl,
        token: str,
        upstreams: tuple[Upstream, ...],
        open_directory: OpenDirectory,
        local_forwards: tuple[LocalForward, ...] = (),
    ) -> None:
        self._config = config
        self._url = url
        self._token = token
        self._declared = upstreams
        self._host_header = getattr(config, "host_header", None) or ""
        self._upstreams = Upstreams(
            upstreams,
            open_directory,
            config.upstream_timeout,
            config.strict_forwarding,
            getattr(config, "upstream_insecure", False),
        )
        self._client_id = config.client_id or secrets.token_hex(16)
        if len(messages.encode(self._hello())) > messages.MAX_CONTROL_BYTES:
            raise ConfigError(f"--upstream: {len(upstreams)} are too many for one client: start a second one for some")
        self._most_streams = max(16, (descriptors.raise_limit() - RESERVED_DESCRIPTORS) // 2)
        self._forwards = LocalForwards(local_forwards, config.local_addr, self._most_streams)
        self._dialer: Dialer | None = None
        self._attachment: Attachment | None = None
        self._dialling: Any = None  # the greenlet that dials
        self._stopping = Event()

    def stop(self) -> None:
        """End the session and `run`; requests under way have GRACE_SECONDS."""
        self._stopping.set()
        if self._attachment is not None:
            self._attachment.close("the client is stopping")
        elif self._dialling is not None:
            get_hub().loop.run_callback(self._break_off, self._dialling)

    def _break_off(self, dialling: Any) -> None:
        if self._dialling is dialling:  # still there, and not further on meanwhile
            dialling.throw(ConnectionAbortedError("the client is stopping"))

    def run(self) -> None:
        """Connect, and again whenever the session ends, with growing, jittered pauses, for ever.

        Raises ConfigError for a local port that cannot be listened on.
        """
        self._forwards.start()
        try:
            self._run()
        finally:
            self._forwards.stop()

    def _run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            began = time.monotonic()
            reason = self._attempt()
            if self._stopping.is_set():
                return
            if time.monotonic() - began > STEADY_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            seconds = pause * random.uniform(0.5, 1.0)
            log.warning("%s; next try in %.1f s", reason, seconds)
            self._stopping.wait(seconds)
            pause = min(pause * 2, MOST_PAUSE_SECONDS)

    def _attempt(self) -> str:
        """One session from dial to end; returns why it ended."""
        try:
            self._dialling = getcurrent()
            try:
                dialer = self._dialer = self._dialer or self._new_dialer()
                connection, early = dialer.open("/connect")
            finally:
                self._dialling = None
            if self._stopping.is_set():
                connection.close()
                return "the client is stopping"
            return self._session(dialer, connection, early)
        except Untrusted as error:
            self._dialer = None  # its authority may have changed: ask again
            return f"{error}; its names come from --auto-tls-san or --tls-cert of the server"
        except Refused as error:
            if error.status == 401:
                return f"{self._url.authority} refuses the token: check --token-file"
            return f"{self._url.authority} refuses this client: {error}"
        except OSError as error:
            return f"no connection to {self._url.authority}: {error.strerror or error}"

    def _new_dialer(self) -> Dialer:
        url, config = self._url, self._config
        context: ssl.SSLContext | None = None
        if url.scheme == "wss":
            ca = None
            if config.auto_tls and not config.insecure and not url.public:
                ca = _authority_of(url)
            context = client_context(ca, verify=not config.insecure)
        return Dialer(url, self._token, context)

    def _session(self, dialer: Dialer, connection: Connection, early: bytes) -> str:
        try:
            channel = Channel(
                connection, server=False, plain=dialer.plain, heartbeat_seconds=UNHEARD_SECONDS, early=early
            )
        except FrameError as error:
            connection.close()
            return f"the server broke the protocol: {error}"
        attachment = self._attachment = Attachment(channel, dialer, self._upstreams, self._most_streams, self._forwards)
        try:
            channel.send(self._hello())
            attachment.serve(self._welcomed)
        except (FrameError, MessageError) as error:
            channel.close(frames.PROTOCOL_ERROR, str(error))
            return f"the server broke the protocol: {error}"
        except OSError as error:
            return f"the session has ended: {error.strerror or error}"
        finally:
            attachment.close("")
            dialer.forget()
            if self._stopping.is_set():
                gevent.wait((attachment.quiet, self._forwards.quiet), GRACE_SECONDS)
                attachment.cut_off()
            self._attachment = None

    def _hello(self) -> Hello:
        names = [Offer(it.pattern, it.target, self._host_header) for it in self._declared if not it.port_offered]
        ports = [OfferedPort(it.port_offered, it.target) for it in self._declared if it.port_offered]
        return Hello(self._client_id, VERSION, tuple(names), tuple(ports))

    def _welcomed(self) -> None:
        log.info("connected to %s as %s", self._url, self._client_id)
        for upstream in self._declared:
            offer = f"port {upstream.port_offered}" if upstream.port_offered else upstream.pattern or "any name"
            log.info("  %s -> %s", offer, upstream.target)


class Attachment:
    """One session as the client knows it: the control channel, and the streams that belong to it.

    `quiet`: set while there are no streams.
    """

    def __init__(
        self, channel: Channel, dialer: Dialer, upstreams: Upstreams, most: int, forwards: LocalForwards
    ) -> None:
        self._channel = channel
        self._dialer = dialer
        self._upstreams = upstreams
        self._most = most
        self._forwards = forwards
        # The streams that this side opens; the server's pool has those that it opens.
        self._pool = Pool(self._grow_forwards, self._fault, WARM_FORWARDS if forwards else 0, most)
        self._carriers: set[Carrier] = set()
        self._dialling = 0
        self._gate = BoundedSemaphore(DIALS_AT_ONCE)
        self._fields: dict[str, str] = {}
        self._over = False
        self.over = Event()
        self.quiet = Event()
        self.quiet.set()

    def serve(self, welcomed: Callable[[], None]) -> NoReturn:
        """Do as the server asks until the channel ends, which raises what ended it."""
        # Not the channel's deadline, which anything that is heard puts off.
        with Timeout(WELCOME_SECONDS, TimedOut(errno.ETIMEDOUT, "the server did not say welcome in time")):
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
        while True:
            message = self._channel.receive()
            if isinstance(message, Grow):
                self._grow(message.count)
            elif isinstance(message, Served):
                for refusal in message.refused:
                    log.error("the server does not serve %s: %s", refusal.offer, refusal.reason)
            elif isinstance(message, Evicted):
                raise ConnectionError(f"the server has ended the session: {message.reason}")
            elif isinstance(message, Drain):
                raise ConnectionError(f"the server is going away: {message.reason}")
            else:
                raise MessageError("welcome came twice")

    def close(self, reason: str) -> None:
        """End the channel and idle streams; what carries a visitor goes on until the server ends it."""
        self._over = True
        self.over.set()
        self._pool.close()
        if self._forwards.pool is self._pool:
            self._forwards.pool = None
        self._channel.close(frames.GOING_AWAY, reason)
        for carrier in tuple(self._carriers):
            if carrier.idle:
                carrier.close()

    def cut_off(self) -> None:
        """End what still carries a visitor."""
        for carrier in tuple(self._carriers):
            carrier.close()

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


def _authority_of(url: ServerUrl) -> str | None:
    """The server's own authority; None for one with a certificate that public authorities must vouch for."""
    try:
        return fetch_ca(url)
    except Refused as error:
        if error.status != 404:
            raise
        return None


def run(agent: Agent) -> None:
    """Serve until SIGINT or SIGTERM; a second one ends at once."""
    signalled = Event()

    def on_signal() -> None:
        if signalled.is_set():
            raise SystemExit(130)
        signalled.set()
        agent.stop()

    watchers = [gevent.signal_handler(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        agent.run()
    finally:
        for watcher in watchers:
            watcher.cancel()
