"""The edge in HTTP mode: accepts visitors, and what all their connections share."""

from __future__ import annotations

import ipaddress
import logging
from typing import Any

from appliance.config.http_server import HttpServerConfig
from appliance.server.upload import STALL_SECONDS
from appliance.server.visitor import Visitor
from appliance.transport.connection import Connection, peer_name
from appliance.transport.listener import Acceptor
from appliance.tunnel.counters import HttpCounters
from appliance.tunnel.router import Router

log = logging.getLogger("sluice.edge")


class HttpFront:
    """Serves visitors on `sockets`, as `router` says, counting in `counters`."""

    def __init__(
        self, config: HttpServerConfig, router: Router, counters: HttpCounters, sockets: list[Any], limit: int
    ) -> None:
        self.config = config
        self.router = router
        self.counters = counters
        self.stopping = False
        self._trusted = [ipaddress.ip_network(text, strict=False) for text in config.trusted_proxies]
        self._acceptor = Acceptor("visitor", sockets, self._serve, limit)
        self._visitors: set[Visitor] = set()

    @property
    def port(self) -> int:
        return self._acceptor.port

    @property
    def busy(self) -> bool:
        """Whether a request is under way."""
        return any(visitor.busy for visitor in self._visitors)

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
        peer = peer_name(address)
        host = peer.rpartition(":")[0].strip("[]")
        connection = Connection(sock, peer)
        connection.patience = STALL_SECONDS
        visitor = Visitor(self, connection, host.encode(), self._is_trusted(host))
        self.counters.connections_open += 1
        self.counters.connections_total += 1
        self._visitors.add(visitor)
        try:
            visitor.serve()
        finally:
            self._visitors.discard(visitor)
            self.counters.connections_open -= 1

    def _is_trusted(self, host: str) -> bool:
        if not self._trusted:
            return False
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False
        return any(address in network for network in self._trusted)
