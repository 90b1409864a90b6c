"""Connections for tests: real sockets, both ends in this process, all closed when the test ends."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import gevent
import gevent.socket
from gevent import get_hub
from gevent.event import Event

from appliance.transport.connection import Connection
from appliance.transport.reaper import reaper
from appliance.transport.stream import Stream
from appliance.transport.tls import TlsConnection

PATIENCE_SECONDS = 20.0
# Full after a few kilobytes, so that writers have to wait.
SMALL = 4608

_Value = TypeVar("_Value")
_pause = Event()  # never set: between two looks


def raw_pair(kind: str, buffer: int = 0) -> tuple[Any, Any]:
    """Two connected sockets of gevent's class; `kind`: unix or tcp."""
    if kind == "unix":
        near, far = gevent.socket.socketpair()
    else:
        with gevent.socket.socket() as listener:
            if buffer:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            far = gevent.socket.create_connection(listener.getsockname())
            near = listener.accept()[0]
    for sock in (near, far):
        sock.settimeout(PATIENCE_SECONDS)
        if buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    return near, far


class Wires:
    """Makes connections, and closes what it has made."""

    def __init__(self, server: ssl.SSLContext, client: ssl.SSLContext) -> None:
        self.server_context = server
        self.client_context = client
        self._made: list[Any] = []

    def keep(self, *things: Any) -> None:
        self._made += things

    def close(self) -> None:
        for thing in self._made:
            thing.close()

    def connection(self, kind: str = "unix", buffer: int = 0) -> tuple[Connection, Any]:
        """A connection, and the socket at its other end."""
        near, far = raw_pair(kind, buffer)
        connection = Connection(near, kind)
        self.keep(connection, far)
        return connection, far

    def connections(self, tls: bool = False, kind: str = "unix", buffer: int = 0) -> tuple[Connection, Connection]:
        """Both ends as connections: the server's and the client's, the handshake done."""
        near, far = raw_pair(kind, buffer)
        if not tls:
            plain = Connection(near, "client"), Connection(far, "server")
            self.keep(*plain)
            return plain
        server = TlsConnection(near, "client", self.server_context)
        client = TlsConnection(far, "server", self.client_context, server_name="localhost")
        self.keep(server, client)
        accepting = gevent.spawn(server.handshake)
        client.handshake()
        accepting.get()
        return server, client

    def streams(self, tls: bool = False, buffer: int = 0, kind: str = "unix") -> tuple[Stream, Stream]:
        """The server's end and the client's."""
        server, client = self.connections(tls, kind, buffer)
        return Stream(server, server=True, plain=not tls), Stream(client, server=False, plain=not tls)


def fill(connection: Connection) -> gevent.Greenlet:
    """Write until nothing more is taken: returns the greenlet that waits with the rest."""
    writer = gevent.spawn(connection.write, b"f" * (1 << 22))
    until(lambda: connection.writing)
    return writer


def until(look: Callable[[], _Value]) -> _Value:
    """The first true value that `look` gives, others running meanwhile."""
    with gevent.Timeout(PATIENCE_SECONDS, AssertionError("it did not happen in time")):
        while not (value := look()):
            _pause.wait(0.001)
    return value


def settle() -> None:
    """Let everything run that can run now."""
    for _ in range(5):
        gevent.idle()


def in_hub(function: Callable[[], _Value]) -> _Value:
    """Run it as a call-back of the hub, where nothing may wait."""
    results: list[_Value] = []
    get_hub().loop.run_callback(lambda: results.append(function()))
    until(lambda: results)
    return results[0]


def tick() -> None:
    """The reaper's look at everything, now."""
    in_hub(reaper._tick)


@contextlib.contextmanager
def reaper_at_rest() -> Iterator[None]:
    """It looks only when a test says so (`tick`), for connections that are open already."""
    reaper._timer.stop()
    try:
        yield
    finally:
        reaper._timer.start(reaper._tick)


def in_thread(function: Callable[[], _Value]) -> Any:
    """Run blocking code beside the hub; `get` waits for what it returns."""
    return get_hub().threadpool.spawn(function)


def read_all(connection: Connection) -> bytes:
    """What comes until the end."""
    data = bytearray()
    while piece := connection.read():
        data += piece
    return bytes(data)


def read_at_least(connection: Connection, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = connection.read()
        assert piece, f"the end came after {len(data)} of {size} bytes"
        data += piece
    return bytes(data)
