"""The data plane over TLS: certificates become contexts, one is chosen by the name that a visitor asks for (SNI)."""

from __future__ import annotations

import logging
import ssl
import time
from typing import Any

from appliance.certificates.challenges import ALPN_PROTOCOL, Challenges
from appliance.certificates.material import Material
from appliance.certificates.store import Store
from appliance.config.http_server import HttpServerConfig
from appliance.server.http_front import HttpFront
from appliance.server.visitor import Visitor
from appliance.transport.connection import Connection, TimedOut
from appliance.transport.listener import Capacity
from appliance.transport.tls import NotTls, TlsConnection, choosing_context, context_of_pem, server_context
from appliance.tunnel.counters import HttpCounters
from appliance.tunnel.router import Router
from appliance.wire.client_hello import HelloError, parse

PLAIN_TO_TLS = "A plain HTTP request was sent to the HTTPS port: write https:// in front of the address."

log = logging.getLogger("sluice.tls")


class Secure:
    """`store`: the certificates; `challenges`: those of TLS-ALPN-01 that are pending; `context`: for new visitors."""

    def __init__(self, store: Store, challenges: Challenges) -> None:
        self.store = store
        self.challenges = challenges
        self._contexts: dict[Material, ssl.SSLContext] = {}
        self._last: dict[str, ssl.SSLContext] = {}
        self.context = choosing_context(self._choose)
        self._at_address: dict[str, ssl.SSLContext] = {}
        self._follow()
        store.on_change.append(self._follow)

    def renew_keys(self) -> None:
        """Visitors can resume no session from before: the keys of such tickets must not grow old, and who comes again
        after a change must see the new certificate."""
        self.context = choosing_context(self._choose)
        self._at_address.clear()

    def context_at(self, address: str) -> ssl.SSLContext:
        """For a visitor who has come to this address of ours: browsers ask for no name where the user has written an
        address, and get the certificate for that, if there is one."""
        if not self.store.covers(address):
            return self.context
        context = self._at_address.get(address)
        if context is None:
            context = choosing_context(lambda name: self._choose(name or address))
            self._at_address[address] = context
        return context

    def _follow(self) -> None:
        """The store has changed."""
        contexts: dict[Material, ssl.SSLContext] = {}
        last: dict[str, ssl.SSLContext] = {}
        for key, material in self.store.items():
            context = self._contexts.get(material) or _load(material) or self._last.get(key)
            if context is not None:
                contexts[material] = last[key] = context
        self._contexts, self._last = contexts, last
        self.renew_keys()

    def _choose(self, name: str | None) -> ssl.SSLContext | None:
        material = self.store.find(name)
        return self._contexts.get(material) if material is not None else None


def _load(material: Material) -> ssl.SSLContext | None:
    try:
        return server_context(str(material.certificate_file), str(material.key_file))
    except OSError as error:  # the files were good a moment ago: they are being replaced
        log.error("%s cannot be loaded (%s): what was there before is used", material.certificate_file, error)
        return None


class SecureFront(HttpFront):
    """Visitors by HTTPS."""

    scheme = b"https"

    def __init__(
        self,
        config: HttpServerConfig,
        router: Router,
        counters: HttpCounters,
        sockets: list[Any],
        capacity: Capacity,
        secure: Secure,
    ) -> None:
        super().__init__(config, router, counters, sockets, capacity)
        self._secure = secure
        self._arriving: set[Connection] = set()

    def apply(self, config: HttpServerConfig) -> None:
        super().apply(config)
        self.stamp = b"Strict-Transport-Security: max-age=%d" % config.hsts if config.hsts else b""

    @property
    def visited(self) -> bool:
        return bool(self._arriving) or super().visited

    def close(self) -> None:
        super().close()
        for connection in tuple(self._arriving):
            connection.close()

    def _admit(self, connection: Connection, host: str, early: bytes) -> None:
        """TLS comes first: whoever is not let in is told so, too."""
        connection.deadline = time.monotonic() + self.config.head_timeout
        self._arriving.add(connection)
        try:
            secured = self._secured(connection, early)
        except TimedOut:
            self.counters.refuse("slow visitor")
            return
        except ssl.SSLError as error:
            self.counters.refuse("TLS not agreed on")
            log.debug("%s: no TLS: %s", connection.peer, error)
            return
        finally:
            self._arriving.discard(connection)
        if secured is None:
            return
        try:
            if secured.protocol != ALPN_PROTOCOL:  # else all is said (RFC 8737 3)
                super()._admit(secured, host, b"")
        finally:
            secured.close()

    def _secured(self, connection: Connection, early: bytes) -> TlsConnection | None:
        """The connection under TLS; None: something else came. Raises ssl.SSLError or an OSError of the connection."""
        local = connection.local
        context = self._secure.context_at(local[0].removeprefix("::ffff:")) if local else self._secure.context
        if self._secure.challenges.tls:
            context, early = self._look(connection, context, early)
        deadline = connection.deadline
        secured = TlsConnection(connection.detach(), connection.peer, context, early=early)
        secured.patience, secured.deadline = connection.patience, deadline
        self._arriving.add(secured)
        try:
            secured.handshake()
        except NotTls as error:
            self.counters.refuse("not TLS")
            plain = Connection(secured.detach(), secured.peer)
            if error.http:  # who speaks anything else would not understand an answer
                Visitor(self, plain, b"", trusted=False).turn_away(400, PLAIN_TO_TLS, stamp=b"")  # RFC 6797 7.2
            plain.close()
            return None
        except BaseException:
            secured.close()
            raise
        finally:
            self._arriving.discard(secured)
        return secured

    def _look(self, connection: Connection, context: ssl.SSLContext, early: bytes) -> tuple[ssl.SSLContext, bytes]:
        """While a challenge is pending: is this who comes to see the answer? `ssl` does not tell what is asked for by
        ALPN before a certificate has to be chosen, so the ClientHello is read before it."""
        try:
            while (hello := parse(early)) is None:
                data = connection.read()
                if not data:
                    raise ConnectionResetError("the connection ended within the TLS handshake")
                early += data
        except HelloError:
            return context, early  # OpenSSL says what is wrong with it
        answer = None
        if hello.protocols == (ALPN_PROTOCOL.encode(),) and hello.server_name is not None:
            answer = self._secure.challenges.tls.get(hello.server_name)
        if answer is None:
            return context, early
        log.info("%s looks at the answer to the challenge for %s", connection.peer, hello.server_name)
        return context_of_pem(answer, ALPN_PROTOCOL), early
