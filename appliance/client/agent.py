"""The client: connects, registers, keeps streams open as the server asks, and comes back whenever the link is lost."""

from __future__ import annotations

import logging
import math
import os
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import gevent
from gevent import get_hub
from gevent.event import Event
from greenlet import getcurrent

from appliance.certificates.trust import Distrusted, Trust
from appliance.client.attachment import Attachment, Dismissed, Draining
from appliance.client.forwards import LocalForwards
from appliance.client.upstream import OpenDirectory, Upstreams
from appliance.config.build import VERSION
from appliance.config.client_options import ClientOptions
from appliance.config.options import ConfigError
from appliance.transport import descriptors, tasks
from appliance.transport.channel import Channel
from appliance.transport.connection import Connection, TimedOut
from appliance.transport.dial import Dialer, Refused, Untrusted, find_ca
from appliance.transport.tls import client_context
from appliance.wire import frames, messages
from appliance.wire.address import ServerUrl, Upstream
from appliance.wire.frames import FrameError
from appliance.wire.messages import Hello, MessageError, Offer, OfferedPort, Update
from appliance.wire.ports import LocalForward

if TYPE_CHECKING:
    from appliance.client.inspection import Inspection
    from appliance.tunnel.inspector.store import Inspector

FIRST_PAUSE_SECONDS = 0.5
MOST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 20.0  # a session that lasted this long was a good one: the next pause is short again
UNHEARD_SECONDS = 20.0  # until the server has said how often it is heard
AT_ONCE_SECONDS = 0.1  # within which clients come back when their server has said that it goes away
PARTING_SECONDS = 1.0  # that a server has to close the idle streams of a client that stops
RESERVED_DESCRIPTORS = 64

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
        inspector: Inspector | None = None,
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
        self._client_id = config.client_id or os.urandom(16).hex()
        self._name = config.called
        self._inspection: Inspection | None = None
        if inspector is not None:
            from appliance.client.inspection import Inspection  # here, for most clients have none

            self._inspection = Inspection(inspector, self._client_id, self._upstreams)
        self._check_size()
        self._most_streams = max(16, (descriptors.raise_limit() - RESERVED_DESCRIPTORS) // 2)
        self._forwards = LocalForwards(local_forwards, config.local_addr, self._most_streams)
        self._trust = Trust(config, url, os.environ, log.log) if url.scheme == "wss" else None
        self._dialer: Dialer | None = None
        self._attachment: Attachment | None = None
        self._dialling: Any = None  # the greenlet that dials
        self._attachments: WeakSet[Attachment] = WeakSet()  # also of sessions that are over, while streams are left
        self._stopping = Event()
        self._hurry = False  # the server has said that it goes away: it may be back at once
        self._hurried = -math.inf  # when, last
        self._dismissed = False  # for good: only another token or id helps, and that may take a while
        self._woken = Event()  # there is a reason to try again now
        self.status = "starting"

    @property
    def grace(self) -> float:
        """Seconds that what is under way has when the client stops."""
        return self._config.grace

    def stop(self) -> None:
        """End the session and `run`; what is under way has `grace` seconds."""
        self._stopping.set()
        self._woken.set()
        self._forwards.close()
        for attachment in tuple(self._attachments):
            attachment.close("the client is stopping", gently=True)
        if self._dialling is not None:
            get_hub().loop.run_callback(self._break_off, self._dialling)

    def _break_off(self, dialling: Any) -> None:
        if self._dialling is dialling:  # still there, and not further on meanwhile
            dialling.throw(ConnectionAbortedError("the client is stopping"))

    def run(self, *started: Callable[[], None]) -> None:
        """Connect, and again whenever the session ends, with growing, jittered pauses, for ever.

        `started`: called once local ports are open. Raises ConfigError for one that cannot be listened on.
        """
        self._forwards.start()
        try:
            for call in started:
                call()
            self._run()
            self._part()
        finally:
            self._forwards.stop()
            if self._inspection is not None:
                self._inspection.stop()

    def _run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            began = time.monotonic()
            self._hurry = self._dismissed = False
            self._woken.clear()
            reason = self._attempt()
            if self._stopping.is_set():
                return
            self.status = f"not connected: {reason}"
            if self._hurry and time.monotonic() - self._hurried > STEADY_SECONDS:  # not again and again
                self._hurried, pause = time.monotonic(), FIRST_PAUSE_SECONDS
                log.info("%s; connecting again", reason)
                self._stopping.wait(random.uniform(0.0, AT_ONCE_SECONDS))
                continue
            if self._dismissed:
                pause = MOST_PAUSE_SECONDS
            elif time.monotonic() - began > STEADY_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            seconds = pause * random.uniform(0.5, 1.0)
            log.warning("%s; next try in %.1f s", reason, seconds)
            if self._woken.wait(seconds):
                pause = FIRST_PAUSE_SECONDS
            else:
                pause = min(pause * 2, MOST_PAUSE_SECONDS)

    def _part(self) -> None:
        """Let what is under way end, within limits."""
        attachments = tuple(self._attachments)
        quiet = [self._forwards.quiet, *(attachment.quiet for attachment in attachments)]
        began = time.monotonic()
        gevent.wait(quiet, min(PARTING_SECONDS, self.grace))
        for attachment in attachments:
            attachment.close_idle()  # the server has gone, or has not heard
        gevent.wait(quiet, max(0.0, began + self.grace - time.monotonic()))
        cut_off = sum([attachment.cut_off() for attachment in attachments])
        if cut_off:
            visitors = "visitor" if cut_off == 1 else "visitors"
            log.warning("cut off after %g seconds (--grace): %d %s", self.grace, cut_off, visitors)

    def _attempt(self) -> str:
        """One session from dial to end; returns why it ended."""
        try:
            self._dialling = getcurrent()
            try:
                dialer, connection, early = self._connect()
            finally:
                self._dialling = None
            if self._stopping.is_set():
                connection.close()
                return "the client is stopping"
            return self._session(dialer, connection, early)
        except Untrusted as error:
            return f"{error}; {self._trust.advice(error.code)}" if self._trust else str(error)
        except Distrusted as error:
            return str(error)
        except Refused as error:
            if error.status == 401:
                return f"{self._url.authority} refuses the token: check --token-file"
            if error.status == 503:
                return f"{self._url.authority}: {error}"
            if error.status == 404:
                return (
                    f"{self._url.authority}: {error}; no control plane answers there for the host "
                    f"{self._url.host_field}: check --url, and where a proxy in front leads that name"
                )
            return f"{self._url.authority} refuses this client: {error}"
        except OSError as error:
            return f"no connection to {self._url.authority}: {error.strerror or error}"

    def _connect(self) -> tuple[Dialer, Connection, bytes]:
        """The control channel's connection. Whom to trust is found out anew where what was trusted before is gone."""
        before = self._dialer
        dialer = self._dialer = before or self._new_dialer()
        try:
            connection, early = dialer.open("/connect")
        except (Untrusted, Distrusted):
            self._dialer = None
            if before is None:
                raise
            return self._connect()
        return dialer, connection, early

    def _new_dialer(self) -> Dialer:
        trust = self._trust
        if trust is None:
            return Dialer(self._url, self._token, None)
        authorities = trust.decide(find_ca(self._url) if trust.asks else None)
        context = client_context(authorities, verify=trust.verifies)
        return Dialer(self._url, self._token, context, trust.remember)

    def _session(self, dialer: Dialer, connection: Connection, early: bytes) -> str:
        try:
            channel = Channel(
                connection, server=False, plain=dialer.plain, heartbeat_seconds=UNHEARD_SECONDS, early=early
            )
        except FrameError as error:
            connection.close()
            return f"the server broke the protocol: {error}"
        attachment = self._attachment = Attachment(channel, dialer, self._upstreams, self._most_streams, self._forwards)
        attachment.inspection = self._inspection
        self._attachments.add(attachment)
        draining = False
        try:
            channel.send(self._hello())
            attachment.serve(self._welcomed)
        except Draining as error:
            draining = self._hurry = True
            tasks.spawn("leaving session", self._see_out, attachment, dialer)
            return f"the server is going away ({error})"
        except Dismissed as error:
            self._dismissed = True
            return str(error)
        except (FrameError, MessageError) as error:
            channel.close(frames.PROTOCOL_ERROR, str(error))
            return f"the server broke the protocol: {error}"
        except TimedOut:
            attachment.cut_off()  # else its visitors' upstreams would wait for bytes for a long time
            return "the session has ended: the server is heard no more"
        except OSError as error:
            return f"the session has ended: {error.strerror or error}"
        finally:
            if not draining:
                attachment.close("")
            dialer.forget()
            self._attachment = None

    def _see_out(self, attachment: Attachment, dialer: Dialer) -> None:
        """A session whose server goes away: what is under way ends in it, while another one is looked for."""
        try:
            attachment.see_out()
        except TimedOut:
            attachment.cut_off()
        except (OSError, FrameError, MessageError) as error:
            log.debug("the session that was left has ended: %s", error)
        finally:
            attachment.close("")
            dialer.forget()
            if self._attachment is None:
                self._woken.set()  # the server has gone, so the next one may be there

    # Changes while it runs

    def offer(self, upstreams: tuple[Upstream, ...], config: ClientOptions) -> None:
        """From now on, offer these, and deal with them as `config` says. Raises ConfigError, and changes nothing."""
        former = self._declared, self._host_header, self._name
        self._declared, self._host_header = upstreams, getattr(config, "host_header", None) or ""
        self._name = config.called
        try:
            self._check_size()
        except ConfigError:
            self._declared, self._host_header, self._name = former
            raise
        self._upstreams.declare(upstreams, config)
        if self._attachment is not None and former != (self._declared, self._host_header, self._name):
            self._attachment.update(Update(*self._offers(), self._name))
            self._say_offers()

    def use(self, config: ClientOptions, token: str) -> None:
        """From now on, connect with this token; `config` differs in what can change while the client runs."""
        self._config = config
        if token != self._token:
            self._token = token
            if self._dialer is not None:
                self._dialer.use_token(token)
        if self._attachment is None:
            self._woken.set()  # what kept us from connecting may have been just that

    def _check_size(self) -> None:
        if len(messages.encode(self._hello())) > messages.MAX_CONTROL_BYTES:
            raise ConfigError(
                f"--upstream: {len(self._declared)} are too many for one client: start a second one for some"
            )

    def _offers(self) -> tuple[tuple[Offer, ...], tuple[OfferedPort, ...]]:
        names = [Offer(it.pattern, it.target, self._host_header) for it in self._declared if not it.port_offered]
        ports = [OfferedPort(it.port_offered, it.target) for it in self._declared if it.port_offered]
        return tuple(names), tuple(ports)

    def _hello(self) -> Hello:
        return Hello(self._client_id, VERSION, *self._offers(), self._name)

    def _welcomed(self) -> None:
        log.info("connected to %s as %s (%s)", self._url, self._client_id, self._name)
        self.status = f"connected to {self._url}"
        self._say_offers()

    def _say_offers(self) -> None:
        for upstream in self._declared:
            offer = f"port {upstream.port_offered}" if upstream.port_offered else upstream.pattern or "any name"
            log.info("  %s -> %s", offer, upstream.target)
