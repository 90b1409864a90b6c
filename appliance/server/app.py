"""The server's parts, and the order in which they start and stop."""

from __future__ import annotations

import errno
import logging
import signal
import ssl
import time
from collections.abc import Callable
from typing import Any

import gevent
from gevent.event import Event

from appliance.config.control_plane import ControlPlaneOptions
from appliance.config.http_server import HttpServerConfig
from appliance.config.options import ConfigError
from appliance.config.tcp_server import TcpServerConfig
from appliance.server.access import TokenGuard
from appliance.server.control import ControlServer, Reception, WsgiApp
from appliance.server.doors import Doors
from appliance.server.forwards import Forwards
from appliance.server.http_front import HttpFront
from appliance.server.offers import Offers
from appliance.server.registry import Registry
from appliance.server.state import ServerState
from appliance.transport import descriptors, tasks
from appliance.transport.listener import Capacity, listen
from appliance.tunnel.addresses import Admission
from appliance.tunnel.router import Router
from appliance.wire.address import join_host_port
from appliance.wire.ports import LOOPBACK, ForwardRules

DAY_SECONDS = 86400.0
GRACE_SECONDS = 5.0  # for requests under way when the server stops
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
    ) -> None:
        self._config = config
        self._context = context
        most = descriptors.raise_limit()
        # A visitor takes two descriptors: its own and a stream's.
        limit = config.max_connections or max(64, (most - RESERVED_DESCRIPTORS) // 2)
        self._capacity = Capacity(limit)  # of all data planes
        self.guard = TokenGuard(token)
        self.state = ServerState(config.mode, self.guard, lambda: self.registry.sessions())
        self.router = Router() if isinstance(config, HttpServerConfig) else None
        self.doors: Doors | None = None
        if isinstance(config, TcpServerConfig):
            self.doors = Doors(config, self.state.tcp, self._own_ports, self._capacity)
        self.registry = Registry(
            config, Offers(self.router, self.doors), self.state.control, limit, plain=context is None
        )
        self._pages = make_pages(self.state)
        self._front: HttpFront | None = None
        self._controls: list[ControlServer] = []

    def start(self) -> None:
        """Raises ConfigError for an address that cannot be listened on."""
        config = self._config
        data: list[Any] = []
        if isinstance(config, HttpServerConfig):
            data = _listen(config.data_addr, config.port, "--port")
        else:
            _check_address(config.data_addr)
        try:
            control = _listen(config.control_addr, config.control_port, "--control-port")
        except ConfigError:
            for sock in data:
                sock.close()
            raise
        if isinstance(config, HttpServerConfig):
            assert self.router is not None
            self._front = HttpFront(config, self.router, self.state.http, data, self._capacity)
            self._front.start()
            log.info("visitors: http://%s", join_host_port(config.data_addr or "0.0.0.0", self._front.port))
        if isinstance(config, TcpServerConfig):
            log.info("visitors: ports that clients offer, of %s", ", ".join(config.allow_ports))
        reception = self._reception()
        self._controls = [ControlServer(_for_gevent(sock), reception) for sock in control]  # a name may be several
        for server in self._controls:
            server.start()
        self.state.ready = True
        scheme = "ws" if self._context is None else "wss"
        log.info("clients:  %s://%s", scheme, join_host_port(config.control_addr, self.control_port))

    def _reception(self) -> Reception:
        config = self._config
        forward = None
        if config.client_forwarding:
            rules = ForwardRules.parse(*config.allow_forward_to) if config.allow_forward_to else LOOPBACK
            forward = Forwards(rules, config.connect_timeout, self.state.tcp.refuse).dial
        return Reception(
            self.registry,
            self.guard,
            self.state.control,
            self._pages,
            self._context,
            Admission(config.allow_ips),
            forward,
        )

    def _own_ports(self) -> frozenset[int]:
        """Ports of the server itself, which no client gets."""
        return frozenset(({self.control_port} if self._controls else set()) | ({self.port} if self._front else set()))

    @property
    def port(self) -> int:
        assert self._front is not None
        return self._front.port

    @property
    def control_port(self) -> int:
        return int(self._controls[0].server_port)

    def stop(self) -> None:
        """Stop accepting, let what is under way end, end the sessions."""
        self.state.ready = False
        fronts = [front for front in (self._front, self.doors) if front is not None]
        for front in fronts:
            front.stop()
        deadline = time.monotonic() + GRACE_SECONDS
        while (self.registry.carrying or any(front.busy for front in fronts)) and time.monotonic() < deadline:
            gevent.sleep(0.05)
        for front in fronts:
            front.close()
        self.registry.close("the server is stopping")
        for server in self._controls:
            server.stop(timeout=1)


def run(server: Server, daily: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM; a second one ends at once. `daily`: what a long-running server looks after."""
    stopping = Event()

    def on_signal() -> None:
        if stopping.is_set():
            raise SystemExit(130)
        stopping.set()

    watchers = [gevent.signal_handler(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        server.start()
        looking_after = tasks.spawn("daily", _every_day, daily)
        stopping.wait()
        looking_after.kill()
        log.info("stopping: requests under way have %g seconds", GRACE_SECONDS)
        server.stop()
    finally:
        for watcher in watchers:
            watcher.cancel()


def _every_day(work: Callable[[], None]) -> None:
    while True:
        gevent.sleep(DAY_SECONDS)
        try:
            work()
        except (ConfigError, OSError) as error:
            log.error("the control plane's certificate could not be looked after: %s", error)


def _listen(host: str, port: int, flag: str) -> list[Any]:
    try:
        return listen(host, port)
    except OSError as error:
        where = join_host_port(host or "0.0.0.0", port)
        if error.errno == errno.EADDRINUSE:
            reason = f"{where} is in use by another program: choose another port with {flag}"
        elif error.errno == errno.EACCES:
            reason = f"ports below 1024 need a right that this user has not: choose another port with {flag}"
        else:
            reason = f"{where} cannot be listened on ({error.strerror or error}): see {flag} and its address"
        raise ConfigError(reason) from None


def _check_address(host: str) -> None:
    """Ports are opened later, for clients, whom it would not help to hear of this."""
    try:
        sockets = listen(host, 0)
    except OSError as error:
        raise ConfigError(
            f"{host or '0.0.0.0'} cannot be listened on ({error.strerror or error}): see --data-addr"
        ) from None
    for sock in sockets:
        sock.close()


def _for_gevent(sock: Any) -> Any:
    from gevent import socket as gevent_socket

    return gevent_socket.socket(sock.family, sock.type, sock.proto, fileno=sock.detach())
