"""The server's parts, and the order in which they start and stop."""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable
from typing import Any

import gevent

from appliance.config.control_plane import ControlPlaneOptions
from appliance.config.http_server import HttpServerConfig
from appliance.config.options import ConfigError
from appliance.config.tcp_server import TcpServerConfig
from appliance.server.access import TokenGuard
from appliance.server.client_tokens import ClientTokens
from appliance.server.control import ControlServer, Reception, WsgiApp
from appliance.server.doors import STOPPING, Doors
from appliance.server.edge import Edge
from appliance.server.forwards import Forwards
from appliance.server.listening import check_address, listen_for
from appliance.server.offers import Offers
from appliance.server.registry import Registry
from appliance.server.replay import Replays
from appliance.server.returning import Returning
from appliance.server.secure import Secure
from appliance.server.state import ServerState
from appliance.transport import activation, descriptors
from appliance.transport.activation import Inherited
from appliance.transport.listener import Capacity
from appliance.tunnel.addresses import Admission
from appliance.tunnel.carrier import Dial
from appliance.tunnel.inspector.store import Inspector
from appliance.tunnel.router import Router
from appliance.wire.address import join_host_port
from appliance.wire.ports import LOOPBACK, ForwardRules

FAREWELL_SECONDS = 0.75  # for visitors between two requests to ask once more, and be told that it was the last
RESERVED_DESCRIPTORS = 128  # for listeners, files and the control plane

log = logging.getLogger("sluice.server")


class Server:
    """`start` binds and serves, `stop` ends it. `make_pages`: the control plane's WSGI application for a state.

    Which data planes there are, is the config's: an HttpServerConfig, a TcpServerConfig, or both in a ServerConfig.
    """

    def __init__(
        self,
        config: ControlPlaneOptions,
        token: str,
        context: ssl.SSLContext | None,
        make_pages: Callable[[ServerState], WsgiApp],
        secure: Secure | None = None,
        inherited: Inherited | None = None,
        returning: Returning | None = None,
        tokens: ClientTokens | None = None,
    ) -> None:
        """`context`: the control plane's TLS, None for plain; `secure`: that of the data plane in HTTP mode;
        `inherited`: sockets that listen already; `returning`: the names of the last run; `tokens`: those of
        clients."""
        self._config = config
        self._context = context
        self._inherited = inherited or Inherited()
        self._returning = returning or Returning(None)
        most = descriptors.raise_limit()
        # A visitor takes two descriptors: its own and a stream's.
        self._most = max(64, (most - RESERVED_DESCRIPTORS) // 2)
        limit = config.max_connections or self._most
        self._capacity = Capacity(limit)  # of all data planes
        self.guard = TokenGuard(token, clients=tokens)
        self.state = ServerState(config.mode, self.guard, lambda: self.registry.sessions())
        self.state.store = secure.store if secure is not None else None
        self.router = None
        self.edge: Edge | None = None
        if isinstance(config, HttpServerConfig):
            self.router = Router()
            self.edge = Edge(config, self.router, self.state.http, self._capacity, secure)
            self._inspect(config.inspect, self.router, self.edge)
        self.doors: Doors | None = None
        if isinstance(config, TcpServerConfig):
            self.doors = Doors(config, self.state.tcp, self._own_ports, self._capacity)
        offers = Offers(self.router, self.doors, getattr(config, "control_domain", None))
        self.registry = Registry(config, offers, self.state.control, limit, context is None, self.guard.clients)
        self._describe()
        self._pages = make_pages(self.state)
        self._reception: Reception | None = None
        self._controls: list[ControlServer] = []

    def _inspect(self, names: tuple[str, ...], router: Router, edge: Edge) -> None:
        inspector = self.state.inspector = Inspector()
        inspector.send = Replays(edge, inspector).send
        router.use(inspector)
        for name in names:
            inspector.switch(name, None)

    def _describe(self) -> None:
        """For the pages: what there is."""
        state = self.state
        state.config = self._config
        state.router, state.doors, state.capacity = self.router, self.doors, self._capacity
        state.comings, state.disconnect = self.registry.comings, self.registry.disconnect
        state.control_port, state.data_ports = lambda: self.control_port, lambda: self.ports

    def start(self) -> None:
        """Raises ConfigError for an address that cannot be listened on."""
        config = self._config
        if self.edge is not None:
            self.edge.open(self._inherited)
        else:
            check_address(config.data_addr)
        try:
            control = listen_for(
                "--control-port", config.control_addr, config.control_port, activation.CONTROL, self._inherited
            )
        except ConfigError:
            if self.edge is not None:
                self.edge.stop()
            raise
        if self.router is not None:
            self.router.expect(self._returning.take(), config.connect_timeout)
            self._returning.start(self.router.served)
        if self.edge is not None:
            self.edge.start()
        if isinstance(config, TcpServerConfig):
            log.info("visitors: ports that clients offer, of %s", ", ".join(config.allow_ports))
        reception = self._reception = self._receive()
        self._controls = [ControlServer(_for_gevent(sock), reception) for sock in control]  # a name may be several
        for server in self._controls:
            server.start()
        if self.doors is not None:
            self.doors.open_held(self._inherited.claim_doors())
        for text in self._inherited.left():
            log.warning("the socket %s was passed on, and nothing listens there: see FileDescriptorName=", text)
        if self.edge is not None and isinstance(config, HttpServerConfig) and config.control_domain:
            self.edge.share(self._controls[0].lead)
        self.state.ready = True
        scheme = "ws" if self._context is None else "wss"
        log.info("clients:  %s://%s", scheme, join_host_port(config.control_addr, self.control_port))

    @property
    def config(self) -> ControlPlaneOptions:
        """What is in force."""
        return self._config

    def apply(self, config: ControlPlaneOptions) -> None:
        """From now on, serve as this says, which differs only in what can change while a server runs."""
        self._config = self.state.config = config
        self._capacity.most = config.max_connections or self._most
        if self.edge is not None and isinstance(config, HttpServerConfig):
            self.edge.apply(config)
        if self.doors is not None and isinstance(config, TcpServerConfig):
            self.doors.apply(config)
        if self._reception is not None:
            self._reception.admission, self._reception.forward = Admission(config.allow_ips), self._forward()
        self.registry.apply(config, self._capacity.most)

    def use_control_context(self, context: ssl.SSLContext) -> None:
        """From now on, new connections to the control plane get this one."""
        self._context = context
        if self._reception is not None:
            self._reception.context = context

    def _receive(self) -> Reception:
        return Reception(
            self.registry,
            self.guard,
            self.state.control,
            self._pages,
            self._context,
            Admission(self._config.allow_ips),
            self._forward(),
        )

    def _forward(self) -> Dial | None:
        config = self._config
        if not config.client_forwarding:
            return None
        rules = ForwardRules.parse(*config.allow_forward_to) if config.allow_forward_to else LOOPBACK
        return Forwards(rules, config.connect_timeout, self.state.tcp.refuse).dial

    def _own_ports(self) -> frozenset[int]:
        """Ports of the server itself, which no client gets."""
        ports = {self.control_port} if self._controls else set()
        return frozenset(ports.union(port for port in self.ports if port is not None))

    @property
    def ports(self) -> tuple[int | None, int | None]:
        """Those for visitors by plain HTTP and by HTTPS; None where there is none."""
        return self.edge.ports if self.edge is not None else (None, None)

    @property
    def port(self) -> int:
        port = self.ports[0]
        assert port is not None
        return port

    @property
    def https_port(self) -> int:
        port = self.ports[1]
        assert port is not None
        return port

    @property
    def control_port(self) -> int:
        return int(self._controls[0].server_port)

    @property
    def grace(self) -> float:
        """Seconds that what is under way has when the server stops."""
        return self._config.grace

    def stop(self) -> None:
        """Stop accepting, let what is under way end, end the sessions."""
        self._returning.stop()
        self.state.ready = False
        fronts = [front for front in (self.edge, self.doors) if front is not None]
        for front in fronts:
            front.stop()
        self.registry.drain(STOPPING)
        began = time.monotonic()
        while time.monotonic() - began < self.grace and self._holds_up(began):
            gevent.sleep(0.05)
        if under_way := self.under_way():
            log.warning("cut off after %g seconds (--grace): %s", self.grace, under_way)
        for front in fronts:
            front.close()
        for server in self._controls:
            server.close()  # before clients hear of the end: who comes back at once is for who listens next
        self.registry.close(STOPPING)
        for server in self._controls:
            server.stop(timeout=1)

    def under_way(self) -> str:
        """What a server that stops cuts off, in words; empty where there is nothing."""
        counted = (
            (self.edge.busy if self.edge is not None else 0, "request", "requests"),
            (self.doors.busy if self.doors is not None else 0, "TCP connection", "TCP connections"),
            (self.registry.carrying, "local forward of a client", "local forwards of clients"),
        )
        return ", ".join(f"{count} {one if count == 1 else several}" for count, one, several in counted if count)

    def _holds_up(self, began: float) -> bool:
        """Whether something is under way that a server waits for which has been stopping since then."""
        fronts = [front for front in (self.edge, self.doors) if front is not None]
        if self.registry.carrying or any(front.busy for front in fronts):
            return True
        return self.edge is not None and self.edge.visited and time.monotonic() - began < FAREWELL_SECONDS


def _for_gevent(sock: Any) -> Any:
    from gevent import socket as gevent_socket

    return gevent_socket.socket(sock.family, sock.type, sock.proto, fileno=sock.detach())
