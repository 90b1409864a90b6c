"""An upstream of the tests' own: records exactly the requests it got, and answers as the test has written."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

from tests.stage.messages import Ended, Malformed, Message, Reader
from tests.stage.process import PATIENCE_SECONDS

MARK = "X-Upstream"


@dataclasses.dataclass
class Recorded:
    """A request as it came, on which connection, and whether it came to its end."""

    message: Message
    connection: int
    complete: bool = True


class Exchange:
    """One request being answered. `head` has been read, its body only after `read_body`."""

    def __init__(self, sock: socket.socket, reader: Reader, record: Recorded, upstream: Upstream) -> None:
        self.sock = sock
        self.reader = reader
        self.record = record
        self.head = record.message
        self.name = upstream.name
        self.keep = True  # whether the connection takes another request afterwards
        self._changed = upstream.changed
        self._body_read = False

    def read_body(self) -> bytes:
        """The request's body; Ended or ConnectionError when the visitor's end is not reached."""
        if not self._body_read:
            self._body_read = True
            self.reader.body(self.head)
            self.record.complete = True
            self._changed()
        return self.head.body

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def close(self) -> None:
        self.keep = False

    def reset(self) -> None:
        """End with a RST instead of a FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.keep = False

    def answer(self, body: bytes = b"", status: str = "200 OK", *lines: str) -> None:
        """A plain response with its length."""
        head = [f"HTTP/1.1 {status}", f"{MARK}: {self.name}", f"Content-Length: {len(body)}", *lines, "", ""]
        self.send("\r\n".join(head).encode("latin-1") + (body if self.head.method != "HEAD" else b""))

    def gone(self, seconds: float = PATIENCE_SECONDS) -> bool:
        """Wait until the other side ends the connection; False when bytes come instead, or time runs out."""
        self.sock.settimeout(seconds)
        try:
            return not self.sock.recv(1)
        except TimeoutError:
            return False
        except OSError:
            return True


Script = Callable[[Exchange], None]


def echo(exchange: Exchange) -> None:
    """What is said where no test has written anything else: the target, or the body that came."""
    exchange.answer(exchange.read_body() or exchange.head.target.encode("latin-1"))


def say(data: bytes, *, end: str = "keep", read: bool = True) -> Script:
    """Answer with exactly these bytes, then `keep`, `close` or `reset` the connection."""

    def script(exchange: Exchange) -> None:
        if read:
            exchange.read_body()
        exchange.send(data)
        if end == "close":
            exchange.close()
        elif end == "reset":
            exchange.reset()

    return script


class Upstream:
    """Listens on a port of its own; a thread a connection. `scripts`: what to do for a target's path."""

    def __init__(
        self,
        name: str = "python",
        host: str = "127.0.0.1",
        path: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.name = name  # with which it marks its answers
        if path is not None:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(path)
            self._listener.listen(64)
        else:
            self._listener = socket.create_server(
                (host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=64
            )
            self.port: int = self._listener.getsockname()[1]
        self._tls = tls
        self.scripts: dict[str, Script] = {}
        self.recorded: list[Recorded] = []
        self.malformed: list[str] = []
        self.connections = 0
        self.open_connections = 0
        self._changes = threading.Condition()
        self._sockets: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop listening and drop all connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop_connections()

    def drop_connections(self) -> None:
        for sock in tuple(self._sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def requests(self, prefix: str = "/") -> list[Recorded]:
        """What was recorded for targets that begin so."""
        return [record for record in tuple(self.recorded) if record.message.target.startswith(prefix)]

    def wait(self, condition: Callable[[], object], what: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until something recorded makes `condition` true."""
        with self._changes:
            assert self._changes.wait_for(condition, seconds), f"upstream: {what} not within {seconds:g} seconds"

    def changed(self) -> None:
        with self._changes:
            self._changes.notify_all()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(sock, self.connections), daemon=True).start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        self._sockets.add(sock)
        self.open_connections += 1
        self.changed()
        try:
            with sock if self._tls is None else self._tls.wrap_socket(sock, server_side=True) as sock:
                sock.settimeout(PATIENCE_SECONDS * 3)
                if sock.family != socket.AF_UNIX:
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                reader = Reader(sock)
                while self._exchange(sock, reader, number):
                    pass
        except (OSError, Ended):
            pass
        finally:
            self._sockets.discard(sock)
            self.open_connections -= 1
            self.changed()

    def _exchange(self, sock: socket.socket, reader: Reader, number: int) -> bool:
        """One request and its answer; whether another may follow."""
        try:
            head = reader.head()
        except Malformed as error:
            self.malformed.append(str(error))
            self.changed()
            sock.sendall(f"HTTP/1.1 400 Bad Request\r\n{MARK}: {self.name}\r\nContent-Length: 0\r\n\r\n".encode())
            return False
        except Ended as ended:
            if ended.seen:
                self.malformed.append(str(ended))
            return False
        record = Recorded(head, number, complete=False)
        self.recorded.append(record)
        self.changed()
        exchange = Exchange(sock, reader, record, self)
        script = self.scripts.get(urlsplit(head.target).path if head.target != "*" else "*", echo)
        try:
            script(exchange)
            if exchange.keep:
                exchange.read_body()
        except Malformed as error:
            self.malformed.append(str(error))
            return False
        return exchange.keep
