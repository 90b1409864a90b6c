"""The data plane in HTTP mode: its listeners, and the front that each one has."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from appliance.config.data_tls import OFF, REDIRECT
from appliance.config.http_server import HttpServerConfig
from appliance.config.options import ConfigError
from appliance.server.http_front import HttpFront
from appliance.server.listening import listen_for
from appliance.server.plain_front import PlainFront
from appliance.server.secure import Secure, SecureFront
from appliance.server.shared_port import SharedVisitor
from appliance.transport import activation
from appliance.transport.activation import Inherited
from appliance.transport.connection import Connection
from appliance.transport.listener import Capacity
from appliance.tunnel.counters import HttpCounters
from appliance.tunnel.router import Router
from appliance.wire.address import join_host_port

log = logging.getLogger("sluice.server")


class Edge:
    """`open` binds, `start` serves. Without `secure` there is one front; with it, that for HTTPS, and maybe a plain one
    beside it."""

    def __init__(
        self,
        config: HttpServerConfig,
        router: Router,
        counters: HttpCounters,
        capacity: Capacity,
        secure: Secure | None,
    ) -> None:
        self._config = config
        self._shared = (config, router, counters)
        self._capacity = capacity
        self._secure = secure
        self._passed: dict[str, list[str]] = {}  # where sockets that were passed on listen, by their scheme
        self.plain: HttpFront | None = None
        self.https: SecureFront | None = None

    @property
    def fronts(self) -> list[HttpFront]:
        return [front for front in (self.plain, self.https) if front is not None]

    @property
    def ports(self) -> tuple[int | None, int | None]:
        """For plain HTTP and for HTTPS; None where nothing listens."""
        return self.plain.port if self.plain else None, self.https.port if self.https else None

    @property
    def busy(self) -> int:
        return sum(front.busy for front in self.fronts)

    @property
    def visited(self) -> bool:
        """Whether a visitor is connected, with a request under way or without."""
        return any(front.visited for front in self.fronts)

    def open(self, inherited: Inherited | None = None) -> None:
        """Raises ConfigError for an address that cannot be listened on; then nothing is left open. `inherited`: sockets
        that listen already."""
        config, secure = self._config, self._secure
        if secure is None:
            sockets = self._listen("--port", config.port, activation.HTTP, inherited)
            self.plain = HttpFront(*self._shared, sockets, self._capacity)
            return
        sockets = self._listen("--https-port", config.https_port, activation.HTTPS, inherited)
        self.https = SecureFront(*self._shared, sockets, self._capacity, secure)
        try:
            plain = self._listen_plainly(inherited)
        except ConfigError:
            self.https.stop()
            raise
        if plain:
            front = self.plain = PlainFront(*self._shared, plain, self._capacity, secure.challenges)
            https = self.https
            front.redirects = config.plain_http == REDIRECT
            front.https_port = lambda: https.port

    def _listen(self, flag: str, port: int, name: str, inherited: Inherited | None) -> list[Any]:
        host = self._config.data_addr
        sockets = inherited.claim(name, host, port) if inherited is not None else []
        if sockets:
            self._passed[name] = [join_host_port(*sock.getsockname()[:2]) for sock in sockets]
        return sockets or listen_for(flag, host, port)

    def _listen_plainly(self, inherited: Inherited | None) -> list[Any]:
        config = self._config
        if config.plain_http == OFF:
            return []
        try:
            return self._listen("--port", config.port, activation.HTTP, inherited)
        except ConfigError as error:
            if config.port_given:
                raise
            log.warning(
                "%s; without it, http:// does not lead to https:// (--plain-http off keeps this quiet)",
                error,
            )
            return []

    def start(self) -> None:
        config = self._config
        for front in self.fronts:
            front.start()
            scheme = front.scheme.decode()
            places = self._passed.get(scheme) or [join_host_port(config.data_addr or "0.0.0.0", front.port)]
            leads = isinstance(front, PlainFront) and front.redirects
            for place in places:
                log.info("visitors: %s://%s%s", scheme, place, ", which leads to https" if leads else "")

    def share(self, lead_to_control: Callable[[Connection, bytes], None]) -> None:
        """Lead who asks for `--control-domain` to the control plane; not where all are led to https first."""
        for front in self.fronts:
            if not isinstance(front, PlainFront):
                front.lead_to_control = lead_to_control
                front.visitor_class = SharedVisitor
                log.info("clients:  %s, by the port %d of visitors, too", self._config.control_domain, front.port)

    def apply(self, config: HttpServerConfig) -> None:
        """From now on, serve as this says."""
        self._config = config
        for front in self.fronts:
            front.apply(config)

    def stop(self) -> None:
        """Stop accepting; open connections end after the request they are in."""
        for front in self.fronts:
            front.stop()

    def close(self) -> None:
        """End all connections now."""
        for front in self.fronts:
            front.close()
