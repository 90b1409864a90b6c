"""Servers for tests of whatever connects: each connection is given to a function, which plays the other side."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import gevent
import gevent.socket

from appliance.transport.connection import Connection
from appliance.transport.tls import TlsConnection

Serve = Callable[[Connection], None]


class Server:
    """Listens on a port of `host` until closed; under TLS with a `context`."""

    def __init__(self, serve: Serve, context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self._serve = serve
        self._context = context
        self._listener = gevent.socket.socket()
        self._listener.bind((host, 0))
        self._listener.listen()
        self.port: int = self._listener.getsockname()[1]
        self.accepted = 0
        self.connections: list[Connection] = []
        self._accepting = gevent.spawn(self._accept)

    def close(self) -> None:
        self._accepting.kill()
        self._listener.close()
        for connection in self.connections:
            connection.close()

    def _accept(self) -> None:
        while True:
            sock = self._listener.accept()[0]
            self.accepted += 1
            gevent.spawn(self._run, sock)

    def _run(self, sock: gevent.socket.socket) -> None:
        if self._context is None:
            connection = Connection(sock, "client")
        else:
            connection = TlsConnection(sock, "client", self._context)
        self.connections.append(connection)
        try:
            if isinstance(connection, TlsConnection):
                connection.handshake()
            self._serve(connection)
        except OSError:
            pass  # the test looks at the other side
        finally:
            connection.close()


def read_head(connection: Connection) -> bytes:
    """Up to the empty line; nothing may follow it yet."""
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        piece = bytes(connection.read())
        assert piece, "the connection ended within a head"
        data += piece
    return data


def hang(connection: Connection) -> None:
    """Say nothing until the other side has had enough."""
    while connection.read():
        pass


def says(data: bytes) -> Serve:
    """Read a head, answer this, and hang up."""

    def serve(connection: Connection) -> None:
        read_head(connection)
        connection.write(data)

    return serve
