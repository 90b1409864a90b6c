"""Upstreams: which may be dialled, and how."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterable
from typing import Any

from appliance.transport import reach
from appliance.transport.connection import Connection, TimedOut
from appliance.transport.tls import TlsConnection, client_context
from appliance.tunnel.carrier import NotReached
from appliance.wire.address import AddressError, Upstream, parse_target
from appliance.wire.messages import NOT_ALLOWED, TIMED_OUT, UNREACHABLE, UNTRUSTED

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
        self._declared = {upstream.target: upstream for upstream in declared}
        self._open_directory = open_directory
        self._seconds = seconds
        self._strict = strict
        self._insecure = insecure
        self._contexts: dict[bool, ssl.SSLContext] = {}

    def dial(self, target: str) -> Connection:
        """A connection to the upstream called `target`. Raises NotReached."""
        upstream = self._declared.get(target)
        if upstream is None:
            upstream = self._undeclared(target)
        try:
            return self._dial(upstream)
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
