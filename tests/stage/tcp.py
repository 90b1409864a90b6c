"""Both ends of a TCP connection in a test's own hands: visitors, and a target that accepts when the test says so."""

from __future__ import annotations

import contextlib
import errno
import select
import selectors
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.stage.process import PATIENCE_SECONDS


class Target:
    """Listens from the beginning. `address`: how an upstream names it. Also a Unix socket, at `path`."""

    def __init__(self, host: str = "127.0.0.1", path: Path | None = None) -> None:
        self.port = 0
        if path is None:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._listener = socket.create_server((host, 0), family=family, backlog=128)
            self.port = self._listener.getsockname()[1]
            self.address = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        else:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(path))
            self._listener.listen(128)
            self.address = f"unix:{path}"

    def accept(self, seconds: float = PATIENCE_SECONDS) -> socket.socket:
        """The next connection."""
        self._listener.settimeout(seconds)
        sock, _ = self._listener.accept()
        sock.settimeout(PATIENCE_SECONDS)
        return sock

    def called(self) -> bool:
        """Whether a connection waits to be accepted now; it is ended."""
        try:
            self.accept(0).close()
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Stop listening: whoever comes is refused."""
        self._listener.close()


class Echo:
    """A target that says again what it hears, and ends each connection when its visitor does. A thread serves all."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self._listener.setblocking(False)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._stopping, self._stopped = socket.socketpair()
        self._selector.register(self._stopped, selectors.EVENT_READ)
        self.open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._serve, name="echo")
        self._thread.start()

    def close(self) -> None:
        self._stopping.close()
        self._thread.join(PATIENCE_SECONDS)
        for sock in (*self.open, self._listener, self._stopped):
            sock.close()
        self._selector.close()

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                sock = key.fileobj
                if sock is self._stopped:
                    return
                if sock is self._listener:
                    self._accept()
                else:
                    assert isinstance(sock, socket.socket)
                    self._answer(sock)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                sock, _ = self._listener.accept()
                sock.settimeout(PATIENCE_SECONDS)
                self._selector.register(sock, selectors.EVENT_READ)
                self.open.add(sock)

    def _answer(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(1 << 18)
            sock.sendall(data)
        except OSError:
            data = b""
        if not data:
            self._selector.unregister(sock)
            self.open.discard(sock)
            sock.close()


def visit(port: int, host: str = "127.0.0.1", source: str = "") -> socket.socket:
    """A connection whose waits are limited; from the address `source` where that is given."""
    return socket.create_connection((host, port), PATIENCE_SECONDS, (source, 0) if source else None)


def reaches(port: int, target: Target, host: str = "127.0.0.1", source: str = "") -> bool:
    """Whether a visitor of a port speaks with the target, both ways."""
    with visit(port, host, source) as visitor, target.accept() as inside:
        visitor.sendall(b"hello")
        assert exactly(inside, 5) == b"hello"
        inside.sendall(b"welcome")
        return exactly(visitor, 7) == b"welcome"


def closed(port: int, host: str = "127.0.0.1") -> bool:
    """Whether nobody listens there. Found out without a connection, which might still come through to somebody."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections from before do not count
        try:
            probe.bind((host, port))
        except OSError as error:
            assert error.errno == errno.EADDRINUSE
            return False
    return True


def rest(sock: socket.socket) -> bytes:
    """All that comes until the peer ends its direction. Raises ConnectionResetError."""
    pieces = []
    while piece := sock.recv(1 << 20):
        pieces.append(piece)
    return b"".join(pieces)


@contextlib.contextmanager
def meanwhile(act: Callable[..., object], *arguments: object) -> Iterator[None]:
    """Have something done beside what the block does; at the block's end it must have come to its own."""
    with ThreadPoolExecutor(1) as pool:
        doing = pool.submit(act, *arguments)
        yield
        doing.result(PATIENCE_SECONDS)


def exactly(sock: socket.socket, count: int) -> bytes:
    """The next `count` bytes; fewer where the stream ends before."""
    data = b""
    while len(data) < count and (piece := sock.recv(count - len(data))):
        data += piece
    return data


def cut(sock: socket.socket) -> None:
    """End both directions at once, with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def was_cut(sock: socket.socket) -> bool:
    """Whether the stream ends with a reset; False when it ends in order."""
    try:
        rest(sock)
    except ConnectionResetError:
        return True
    return False


def has_ended(sock: socket.socket, seconds: float) -> bool:
    """Whether the kernel finds the connection at its end within `seconds`, by a reset or by both sides' ends."""
    poll = select.poll()
    poll.register(sock, 0)  # hanging up and errors are always told
    return bool(poll.poll(seconds * 1000))


def turned_away(
    port: int, host: str = "127.0.0.1", source: str = "", data: bytes = b"", seconds: float = PATIENCE_SECONDS
) -> bool:
    """Whether a visitor who says `data` is let go without a byte, by a reset or in order, within `seconds`."""
    # A reset may come before `connect` has looked.
    with contextlib.suppress(ConnectionResetError, BrokenPipeError), visit(port, host, source) as visitor:
        visitor.settimeout(seconds)
        visitor.sendall(data)
        return not rest(visitor)
    return True
