"""A web proxy of the tests' own that knows CONNECT alone, and leads to this machine whatever it is asked for."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

from tests.stage.process import PATIENCE_SECONDS

_Port = Callable[[int], int]


class ConnectProxy:
    """`asked`: the targets of the requests so far. `port_for`: the port here for a port that is asked for."""

    def __init__(self, port_for: _Port) -> None:
        self._port_for = port_for
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.asked: list[str] = []
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

    def _serve(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                head += sock.recv(1)
            method, target, _ = head.decode("ascii").split(" ", 2)
            assert method == "CONNECT"
            self.asked.append(target)
            port = self._port_for(int(target.rpartition(":")[2]))
            with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as onward:
                onward.settimeout(None)
                sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                back = threading.Thread(target=_copy, args=(onward, sock), daemon=True)
                back.start()
                _copy(sock, onward)
                back.join()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    """Bytes from one to the other, until either has ended."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for sock in (source, sink):
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
