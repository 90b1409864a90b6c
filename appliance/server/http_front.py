"""The edge in HTTP mode: accepts visitors, and what all their connections share."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from appliance.config.http_server import HttpServerConfig
from appliance.server.greeting import read_header
from appliance.server.upload import STALL_SECONDS
from appliance.server.visitor import Visitor
from appliance.transport.connection import Connection, peer_name
from appliance.transport.listener import Acceptor, Capacity
from appliance.tunnel.addresses import AddressList, Admission
from appliance.tunnel.counters import HttpCounters
from appliance.tunnel.router import Router
from appliance.wire.proxy_protocol import ProxyProtocolError

log = logging.getLogger("sluice.edge")


class HttpFront:
    """Serves visitors on `sockets`, as `router` says, counting in `counters`.

    `scheme`: what visitors speak here; `stamp`: a field line that all our answers have, or empty; `lead_to_control`:
    takes a connection for the control plane, with what has come on it already.
    """

    scheme = b"http"
    stamp = b""
    visitor_class = Visitor

    def __init__(
        self, config: HttpServerConfig, router: Router, counters: HttpCounters, sockets: list[Any], capacity: Capacity
    ) -> None:
        self.apply(config)
        self.router = router
        self.counters = counters
        self.stopping = False
        self.lead_to_control: Callable[[Connection, bytes], None] | None = None
        self._acceptor = Acceptor("visitor", sockets, self._serve, capacity)
        self._visitors: set[Visitor] = set()

    def apply(self, config: HttpServerConfig) -> None:
        """From now on, serve as this says; requests under way go on as they began."""
        self.config = config
        self._proxies = AddressList(config.trusted_proxies)
        self._admission = Admission(config.allow_ips)

    @property
    def port(self) -> int:
        return self._acceptor.port

    @property
    def busy(self) -> int:
        """How many requests are under way."""
        return sum(visitor.busy for visitor in self._visitors)

    @property
    def visited(self) -> bool:
        """Whether a visitor is connected."""
        return bool(self._visitors)

    def start(self) -> None:
        self._acceptor.start()

    def stop(self) -> None:
        """Stop accepting; open connections end after the request they are in."""
        self.stopping = True
        self._acceptor.stop()

    def close(self) -> None:
        """End all connections now."""
        for visitor in tuple(self._visitors):
            visitor.end()

    def _serve(self, sock: Any, address: Any) -> None:
        connection = Connection(sock, peer_name(address))
        connection.patience = STALL_SECONDS
        self.counters.connections_open += 1
        self.counters.connections_total += 1
        try:
            self._greet(connection)
        except ProxyProtocolError as error:
            self.counters.refuse("malformed PROXY header")
            log.warning("%s is cut off: %s", connection.peer, error)
        except OSError:
            pass  # it has gone already
        finally:
            connection.close()
            self.counters.connections_open -= 1

    def _greet(self, connection: Connection) -> None:
        """Find out who the visitor is."""
        host = _host(connection)
        early = b""
        if self.config.lb_proxy_protocol and host in self._proxies:
            _, early = read_header(connection, self.config.lb_proxy_protocol)
            host = _host(connection)
        self._admit(connection, host, early)

    def _admit(self, connection: Connection, host: str, early: bytes) -> None:
        """Serve the visitor at `host`, if it is let in. `early`: what it has sent already."""
        kind = self._visitor_class(host)
        visitor = (kind or self.visitor_class)(self, connection, host.encode(), host in self._proxies)
        visitor.buffer = early
        if kind is None:
            self.refuse(visitor)
            return
        self.attend(visitor)

    def attend(self, visitor: Visitor) -> None:
        """Answer the visitor until either side has had enough."""
        self._visitors.add(visitor)
        try:
            visitor.serve()
        finally:
            self._visitors.discard(visitor)

    def _visitor_class(self, host: str) -> type[Visitor] | None:
        """None: whoever comes from this address is not let in."""
        return self.visitor_class if self._admission.admits(host) else None

    def refuse(self, visitor: Visitor) -> None:
        self.counters.refuse("address not allowed")
        visitor.turn_away(403, "This address is not let in here.")


def _host(connection: Connection) -> str:
    return connection.peer.rpartition(":")[0].strip("[]")
