"""A server that poses as another: it has the name and the port, and TLS by an authority of its own."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from pathlib import Path

from tests.stage.control_plane import certificate

CA_PATH = b"/.well-known/ca.crt"


class Impostor:
    """`heard`: everything that it could decrypt. `shows`: what it gives as its authority; None for a 404."""

    def __init__(self, directory: Path, name: str, port: int) -> None:
        self._context, authority = certificate(directory, name)
        self.authority = authority.decode("ascii")
        self.shows: str | None = self.authority
        self.heard = b""
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        raw.settimeout(10)
        with raw, contextlib.suppress(OSError):
            try:
                with self._context.wrap_socket(raw, server_side=True) as sock:
                    self._answer(sock)
            finally:
                self.connections += 1

    def _answer(self, sock: ssl.SSLSocket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            data = sock.recv(65536)
            if not data:
                return
            head += data
            self.heard += data
        body, status = b"", b"401 Unauthorized"
        if head.split(b" ")[1] == CA_PATH:
            status = b"404 Not Found" if self.shows is None else b"200 OK"
            body = (self.shows or "").encode()
        sock.sendall(b"HTTP/1.1 %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (status, len(body), body))
