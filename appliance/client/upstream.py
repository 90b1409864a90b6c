"""Upstreams: which may be dialled, and how."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakValueDictionary

from appliance.config.client_options import ClientOptions
from appliance.transport import reach
from appliance.transport.connection import Connection, TimedOut, peer_name
from appliance.transport.tls import TlsConnection, client_context
from appliance.tunnel.carrier import NotReached
from appliance.wire.address import AddressError, Upstream, parse_target
from appliance.wire.messages import NOT_ALLOWED, TIMED_OUT, UNREACHABLE, UNTRUSTED

FORMER_SECONDS = 30.0

OpenDirectory = Callable[[str, bool], Any]


class Upstreams:
    """Dials the upstreams that were declared; others only when not `strict`.

    `open_directory`: a socket at whose other end a directory is served; the flag says whether it may be listed.
    """

    def __init__(
        self,
        declared: Iterable[Upstream],
        open_directory: OpenDirectory,
        seconds: float,
        strict: bool = True,
        insecure: bool = False,
    ) -> None:
        self._declared: dict[str, Upstream] = {}
        self._former: dict[str, Upstream] = {}  # declared until a moment ago
        self._former_until = 0.0
        self._open_directory = open_directory
        self._seconds = seconds
        self._strict = strict
        self._insecure = insecure
        self._contexts: dict[bool, ssl.SSLContext] = {}
        # Targets at a port of the same number as the server's. Where server and client are on one machine, these may
        # lead back to the server: what was dialled there, by the address and port it comes from.
        self._suspicious: set[str] = set()
        self._suspects: WeakValueDictionary[str, Connection] = WeakValueDictionary()
        self._declare(tuple(declared))

    def _declare(self, upstreams: tuple[Upstream, ...]) -> None:
        self._declared = {upstream.target: upstream for upstream in upstreams}
        self._suspicious = {it.target for it in upstreams if it.port_offered == it.port != 0}

    def declare(self, upstreams: tuple[Upstream, ...], config: ClientOptions) -> None:
        """From now on, these are declared, and dialled as `config` says. Visitors whom the server has sent to others
        before it heard still reach those."""
        self._former, self._former_until = self._declared, time.monotonic() + FORMER_SECONDS
        self._declare(upstreams)
        self._seconds, self._strict = config.upstream_timeout, config.strict_forwarding
        self._insecure = getattr(config, "upstream_insecure", False)

    def dial(self, target: str, visitor: str = "") -> Connection:
        """A connection to the upstream called `target`, for `visitor`. Raises NotReached."""
        upstream = self._declared.get(target)
        if upstream is None and time.monotonic() < self._former_until:
            upstream = self._former.get(target)
        if upstream is None:
            upstream = self._undeclared(target)
        if visitor in self._suspects:
            raise NotReached(UNREACHABLE, f"{target} leads back to the server's own port: name another with --upstream")
        try:
            connection = self._dial(upstream)
            if target in self._suspicious:
                self._suspects[peer_name(connection.local)] = connection
            return connection
        except ssl.SSLCertVerificationError as error:
            raise NotReached(
                UNTRUSTED,
                f"the certificate of {target} is not trusted ({error.verify_message}): see --upstream-insecure",
            ) from None
        except (TimedOut, TimeoutError):
            raise NotReached(TIMED_OUT, f"{target} did not answer within {self._seconds:g} seconds") from None
        except OSError as error:
            raise NotReached(UNREACHABLE, f"{target} was not reached: {error.strerror or error}") from None

    def _undeclared(self, target: str) -> Upstream:
        if self._strict:
            raise NotReached(NOT_ALLOWED, f"{target} is not one of this client's upstreams (--strict-forwarding)")
        try:
            return parse_target(target)
        except AddressError as error:
            raise NotReached(NOT_ALLOWED, str(error)) from None

    def _dial(self, upstream: Upstream) -> Connection:
        if upstream.scheme == "directory":
            return Connection(self._open_directory(upstream.path, upstream.browse), "directory")
        if upstream.scheme == "unix":
            return reach.unix(upstream.path, self._seconds)
        connection = reach.tcp(upstream.host, upstream.port, self._seconds)
        if upstream.scheme != "https":
            return connection
        context = self._context(upstream.insecure or self._insecure)
        peer = connection.peer
        secured = TlsConnection(connection.detach(), peer, context, server_name=upstream.host)
        secured.deadline = time.monotonic() + self._seconds
        try:
            secured.handshake()
        except BaseException:
            secured.close()
            raise
        secured.deadline = float("inf")
        return secured

    def _context(self, insecure: bool) -> ssl.SSLContext:
        context = self._contexts.get(insecure)
        if context is None:
            context = self._contexts[insecure] = client_context(None, verify=not insecure)
        return context
