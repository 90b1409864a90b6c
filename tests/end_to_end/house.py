"""Server, clients, upstreams and visitors in one process, under gevent: ports are free ones, readiness is seen, not
waited for, and at the end nothing may be left of any of them."""

from __future__ import annotations

import contextlib
import gc
import os
import secrets
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import gevent
from gevent import socket
from greenlet import greenlet

from appliance.admin.app import create_app
from appliance.client.agent import Agent
from appliance.config.http_client import HttpClientConfig
from appliance.config.http_server import HttpServerConfig
from appliance.fileserver.service import open_directory
from appliance.server.app import Server
from appliance.server.secure import Secure
from appliance.transport import reaper as reaper_module
from appliance.transport import tasks
from appliance.transport.reaper import reaper
from appliance.transport.stream import Stream
from appliance.tunnel.inspector.store import Inspector
from appliance.tunnel.pool import Pool
from appliance.tunnel.session import Session
from appliance.wire.address import parse_server_url, parse_upstreams
from tests.stage import upstream as stage_upstream
from tests.stage import visitor as stage_visitor
from tests.stage.messages import Ended, Reader

TOKEN = "the-token-of-these-tests"
PATIENCE_SECONDS = 10.0  # bound of every wait; nothing takes nearly as long where all is well

_Value = TypeVar("_Value")

left_open: list[Any] = []  # sockets of peers made by hand, which a house closes at its end


def until(look: Callable[[], _Value], what: str, seconds: float = PATIENCE_SECONDS) -> _Value:
    """The first true value that `look` gives."""
    deadline = time.monotonic() + seconds
    while not (value := look()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} seconds"
        gevent.sleep(0.001)
    return value


def listener(address: Any = ("127.0.0.1", 0), family: int = socket.AF_INET) -> Any:
    """A listening socket. (gevent's `create_server` makes one that would block the hub.)"""
    sock = socket.socket(family)
    sock.bind(address)
    sock.listen(512)
    return sock


@contextlib.contextmanager
def hurrying() -> Iterator[None]:
    """Deadlines, and visitors who have left, are looked for more often: tests wait for many of them."""

    def look_every(seconds: float) -> None:
        reaper_module.TICK_SECONDS = seconds
        if reaper._timer is not None:
            reaper._timer.stop()
            reaper._timer = None  # the next connection makes it anew

    usual = reaper_module.TICK_SECONDS
    look_every(usual / 4)
    try:
        yield
    finally:
        look_every(usual)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def greenlets() -> int:
    """Those that have begun and not ended, but for the hub's and its threads', and those kept for the next task."""
    found = -len(tasks._resting)
    for thing in gc.get_objects():
        if issubclass(type(thing), greenlet) and thing and thing.parent is not None:
            found += not type(thing).__module__.startswith("gevent.threadpool")
    return found


class Counts:
    """What is there now, and whether it is again. (Greenlets are counted once for all tests: it takes its time.)"""

    def __init__(self) -> None:
        self.descriptors = descriptors()
        self.watched = len(reaper)
        self.crashes = tasks.crashes.count

    def check(self) -> None:
        """Everything that has come since is gone, and no greenlet has crashed."""
        assert tasks.crashes.count == self.crashes, "a greenlet has crashed: see the log"
        until(lambda: len(reaper) <= self.watched, "connections are closed")
        until(lambda: descriptors() <= self.descriptors, "descriptors are closed")


class House:
    """One server, and what is added to it. `close` ends all, and checks that it is gone."""

    def __init__(
        self,
        context: ssl.SSLContext | None = None,
        ca_pem: bytes | None = None,
        secure: Secure | None = None,
        **options: Any,
    ) -> None:
        """`secure`: the data plane's TLS; the options must say where its certificates come from."""
        gevent.get_hub().threadpool.apply(int)  # what the hub makes at its first use, it keeps
        self.counts = Counts()
        self._context = context
        self._ca_pem = ca_pem
        self._secure = secure
        self.https_port = 0
        self._options: dict[str, Any] = {"heartbeat": 5.0, "auto_tls": context is not None, **options}
        self.agents: list[tuple[Agent, Any]] = []
        self.upstreams: list[Upstream] = []
        self.visitors: list[Visitor] = []
        self.server = self._start(0, 0)

    def _start(self, port: int, control_port: int) -> Server:
        options = {"data_addr": "127.0.0.1", "control_addr": "127.0.0.1", **self._options}
        if self._secure is not None:
            options["https_port"] = self.https_port
        config = HttpServerConfig(port=port, control_port=control_port, **options)
        server = Server(config, TOKEN, self._context, create_app, self._secure)
        server.state.ca_pem = self._ca_pem
        server.start()
        self.port, self.control_port = server.ports[0] or 0, server.control_port
        self.https_port = server.ports[1] or 0
        return server

    def restart(self) -> None:
        """Stop the server, and start another one on its ports."""
        self.server.stop()
        self.server = self._start(self.port, self.control_port)

    @property
    def url(self) -> str:
        return f"{'ws' if self._context is None else 'wss'}://127.0.0.1:{self.control_port}"

    # Clients

    def client(self, *upstreams: str, wait: bool = True, inspector: Inspector | None = None, **options: Any) -> str:
        """Start a client; its id. `wait`: until the server knows it and its streams are there."""
        client_id = options.setdefault("client_id", secrets.token_hex(16))
        config = HttpClientConfig(url=options.pop("url", self.url), upstream=upstreams, **options)
        parsed = parse_upstreams(upstreams)
        agent = Agent(config, parse_server_url(config.url), TOKEN, parsed, open_directory, inspector=inspector)
        self.agents.append((agent, gevent.spawn(agent.run)))
        if wait:
            self.connected(client_id)
        return client_id

    def connected(self, client_id: str) -> Session:
        """The session of a client, once its warm streams are there."""

        def look() -> Session | None:
            session = self.session(client_id)
            enough = session is not None and session.streams_idle >= self._options.get("warm_streams", 8)
            return session if enough else None

        found = until(look, "the client is connected")
        assert found is not None
        return found

    def session(self, client_id: str) -> Session | None:
        found = [session for session in self.server.registry.sessions() if session.client_id == client_id]
        return found[0] if found else None

    def pool(self, client_id: str) -> Pool:
        session = self.session(client_id)
        assert session is not None
        return session.pool

    def starve(self, client_id: str) -> list[Stream]:
        """Take all streams of a client, which opens no more."""
        pool = self.pool(client_id)
        pool._ask = lambda count: None
        return [pool.take("", 0) for _ in range(pool.resting)]

    def stop_client(self, index: int = -1) -> None:
        agent, running = self.agents.pop(index)
        agent.stop()
        running.get(timeout=PATIENCE_SECONDS)

    # Others

    def upstream(self, **options: Any) -> Upstream:
        upstream = Upstream(**options)
        self.upstreams.append(upstream)
        return upstream

    def visitor(self) -> Visitor:
        visitor = Visitor(self.port)
        self.visitors.append(visitor)
        return visitor

    def ask(self, data: bytes) -> Any:
        """The final answer to one request on a connection of its own."""
        with Visitor(self.port) as visitor:
            return visitor.ask(data)

    def close(self) -> None:
        for visitor in self.visitors:
            visitor.sock.close()
        while left_open:
            left_open.pop().close()
        while self.agents:
            self.stop_client()
        self.server.stop()
        for upstream in self.upstreams:
            upstream.close()
        self.counts.check()
        assert not self.server.registry.sessions()


@contextlib.contextmanager
def a_house(**options: Any) -> Iterator[House]:
    with hurrying():
        house = House(**options)
        try:
            yield house
        except BaseException:
            with contextlib.suppress(Exception):  # what failed first is what matters
                house.close()
            raise
        house.close()


class Upstream:
    """As the stage's, which has threads, with greenlets; over TLS with a context."""

    def __init__(
        self,
        name: str = "python",
        host: str = "127.0.0.1",
        path: str | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.name = name
        self._context = context
        if path is not None:
            self._listener = listener(path, socket.AF_UNIX)
        else:
            self._listener = listener((host, 0), socket.AF_INET6 if ":" in host else socket.AF_INET)
            self.port = self._listener.getsockname()[1]
        self.scripts: dict[str, Callable[[Any], None]] = {}
        self.recorded: list[stage_upstream.Recorded] = []
        self.connections = 0
        self._sockets: set[Any] = set()
        self._greenlets: list[Any] = [gevent.spawn(self._accept)]

    @property
    def url(self) -> str:
        return f"{'http' if self._context is None else 'https'}://127.0.0.1:{self.port}"

    @property
    def open_connections(self) -> int:
        return len({sock.fileno() for sock in self._sockets})

    def requests(self, prefix: str = "/") -> list[stage_upstream.Recorded]:
        """What was recorded for targets that begin so."""
        return [record for record in self.recorded if record.message.target.startswith(prefix)]

    def close(self) -> None:
        """Stop listening, and drop all connections."""
        gevent.killall(self._greenlets)
        self._listener.close()
        for sock in tuple(self._sockets):  # of greenlets that had not begun
            sock.close()

    def drop_connections(self) -> None:
        for sock in tuple(self._sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def changed(self) -> None:
        """Those who wait look themselves."""

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            self.connections += 1
            self._sockets.add(sock)
            self._greenlets = [one for one in self._greenlets if not one.ready()]
            self._greenlets.append(gevent.spawn(self._serve, sock, self.connections))

    def _serve(self, sock: Any, number: int) -> None:
        raw = sock
        try:
            if self._context is not None:
                sock = self._context.wrap_socket(raw, server_side=True)
                self._sockets.add(sock)
            reader = Reader(sock)
            while self._exchange(sock, reader, number):
                pass
        except (OSError, Ended):
            pass
        finally:
            for one in (sock, raw):
                one.close()
                self._sockets.discard(one)

    def _exchange(self, sock: Any, reader: Reader, number: int) -> bool:
        head = reader.head()
        record = stage_upstream.Recorded(head, number, complete=False)
        self.recorded.append(record)
        exchange = stage_upstream.Exchange(sock, reader, record, self)  # type: ignore[arg-type]
        script = self.scripts.get(head.target.partition("?")[0], stage_upstream.echo)
        script(exchange)
        if exchange.keep:
            exchange.read_body()
        return exchange.keep


class Visitor(stage_visitor.Visitor):
    """As on the stage, waiting in the hub."""

    def __init__(self, port: int, host: str = "127.0.0.1", source: str = "") -> None:
        self.sock: Any = socket.create_connection((host, port), PATIENCE_SECONDS, (source, 0) if source else None)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = Reader(self.sock)


def directory_with(directory: Path, **files: bytes) -> Path:
    directory.mkdir(exist_ok=True)
    for name, content in files.items():
        (directory / name.replace("_", ".")).write_bytes(content)
    return directory
