"""A house whose clients open ports, and both ends of the connections that go through them."""

from __future__ import annotations

import contextlib
import secrets
import struct
from collections.abc import Iterator
from typing import Any

import gevent
from gevent import socket

from appliance.admin.app import create_app
from appliance.cli.addresses import offers_of
from appliance.client.agent import Agent
from appliance.config.client import ClientConfig
from appliance.config.server import ServerConfig
from appliance.config.tcp_server import TcpServerConfig
from appliance.fileserver.service import open_directory
from appliance.server.app import Server
from appliance.server.doors import Doors
from appliance.wire.address import parse_server_url
from tests.end_to_end.house import PATIENCE_SECONDS, TOKEN, House, left_open, listener, until
from tests.stage.process import free_port


class PortHouse(House):
    """`both`: it serves HTTP, too."""

    def __init__(self, both: bool = False, **options: Any) -> None:
        self._both = both
        self.targets: list[Target] = []
        super().__init__(**options)

    def _start(self, port: int, control_port: int) -> Server:
        options = {"control_port": control_port, "data_addr": "127.0.0.1", "control_addr": "127.0.0.1"} | self._options
        config = ServerConfig(port=port, **options) if self._both else TcpServerConfig(**options)
        server = Server(config, TOKEN, self._context, create_app)
        server.state.ca_pem = self._ca_pem
        server.start()
        self.port = server.port if self._both else 0
        self.control_port = server.control_port
        return server

    @property
    def doors(self) -> Doors:
        assert self.server.doors is not None
        return self.server.doors

    def client(self, *upstreams: str, wait: bool = True, local: tuple[str, ...] = (), **options: Any) -> str:
        client_id = options.setdefault("client_id", secrets.token_hex(16))
        config = ClientConfig(url=options.pop("url", self.url), upstream=upstreams, local=local, **options)
        offers = offers_of(config)
        url = parse_server_url(config.url)
        agent = Agent(config, url, TOKEN, offers.upstreams, open_directory, local_forwards=offers.local)
        self.agents.append((agent, gevent.spawn(agent.run)))
        if wait:
            self.connected(client_id)
        return client_id

    def target(self, **options: Any) -> Target:
        target = Target(**options)
        self.targets.append(target)
        return target

    def tunnel(self, target: Target, **options: Any) -> int:
        """A port that leads to a target, by a client of its own."""
        port = free_port()
        self.client(f"{port}={target.address}", **options)
        return port

    def quiet(self) -> None:
        """Until nothing is carried any more, and each stream is at rest or gone."""
        until(lambda: not self.doors.busy, "all connections have ended")
        until(lambda: not self.server.registry.carrying, "all local forwards have ended")
        for session in self.server.registry.sessions():
            until(lambda session=session: session.streams_used == 0, "all streams are at rest")  # type: ignore[misc]
        for agent, _ in self.agents:
            assert agent._attachment is not None
            carriers = agent._attachment._carriers
            until(lambda carriers=carriers: all(one.idle for one in carriers), "all carriers are idle")  # type: ignore[misc]

    def close(self) -> None:
        for target in self.targets:
            target.close()
        super().close()


@contextlib.contextmanager
def a_port_house(**options: Any) -> Iterator[PortHouse]:
    house = PortHouse(**options)
    try:
        yield house
    except BaseException:
        with contextlib.suppress(Exception):  # what failed first is what matters
            house.close()
        raise
    house.close()


class Target:
    """Listens; `address` is how an upstream names it."""

    def __init__(self, host: str = "127.0.0.1", path: str | None = None) -> None:
        if path is not None:
            self._listener = listener(path, socket.AF_UNIX)
            self.port, self.address = 0, f"unix:{path}"
        else:
            self._listener = listener((host, 0), socket.AF_INET6 if ":" in host else socket.AF_INET)
            self.port = self._listener.getsockname()[1]
            self.address = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    def accept(self) -> Any:
        with gevent.Timeout(PATIENCE_SECONDS, AssertionError("nobody came")):
            sock, _ = self._listener.accept()
        return kept(sock)

    def close(self) -> None:
        self._listener.close()


def visit(port: int, host: str = "127.0.0.1") -> Any:
    """A visitor's connection."""
    return kept(socket.create_connection((host, port), PATIENCE_SECONDS))


def kept(sock: Any) -> Any:
    """A socket whose waits are bounded, and which is closed at the end of its house at the latest."""
    sock.settimeout(PATIENCE_SECONDS)
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    left_open.append(sock)
    return sock


def exactly(sock: Any, count: int) -> bytes:
    """The next `count` bytes; fewer where the stream ends before."""
    data = b""
    while len(data) < count and (piece := sock.recv(count - len(data))):
        data += piece
    return data


def rest(sock: Any) -> bytes:
    """All that comes until the peer ends its direction. Raises ConnectionResetError."""
    pieces = []
    while piece := sock.recv(1 << 18):
        pieces.append(piece)
    return b"".join(pieces)


def reset(sock: Any) -> None:
    """End both directions at once."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def was_reset(sock: Any) -> bool:
    """Whether what comes ends with a reset; False when it ends in order."""
    try:
        rest(sock)
    except ConnectionResetError:
        return True
    return False
