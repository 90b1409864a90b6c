"""A site to serve, and visitors' connections to it: real sockets, one process, no waiting without a limit."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import gevent.socket
import pytest

from appliance.fileserver.service import FileService
from appliance.transport import tasks
from appliance.transport.connection import Connection

LONG_AGO = 1_600_000_000  # Sun, 13 Sep 2020 12:26:40 GMT
TEXT = b"0123456789abcdefghijklmnopqrstuvwxyz"


class Reply:
    """One answer as it came: `status`, `fields` by lower-case name, `body`."""

    def __init__(self, raw: bytes) -> None:
        head, separator, self.body = raw.partition(b"\r\n\r\n")
        assert separator, f"no head in {raw[:200]!r}"
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split(" ")[1])
        self.fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


class Visitor:
    """The other end of a served connection."""

    def __init__(self, sock: gevent.socket.socket, serving: gevent.Greenlet) -> None:
        self.socket = sock
        self.serving = serving

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read_all(self) -> bytes:
        pieces = []
        while piece := self.socket.recv(65536):
            pieces.append(piece)
        return b"".join(pieces)

    def read_exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            assert piece, f"the connection ended after {len(data)} of {count} bytes"
            data += piece
        return data

    def read_reply(self) -> Reply:
        """One answer with a Content-Length, and not a byte more."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.read_exactly(1)
        reply = Reply(head)
        reply.body = self.read_exactly(int(reply.fields.get("content-length", "0")))
        return reply


@pytest.fixture(autouse=True)
def time_limit() -> Iterator[None]:
    with gevent.Timeout(30):
        yield


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A web root, with things outside of it that nobody may see."""
    root = tmp_path / "site"
    (root / "docs").mkdir(parents=True)
    (root / "page").mkdir()
    (root / ".git").mkdir()
    (root / ".well-known").mkdir()
    files = {
        "hello.txt": TEXT,
        "empty.txt": b"",
        "page/index.html": b"<h1>page</h1>",
        "docs/read me.md": b"# read",
        ".env": b"SECRET=1",
        ".git/config": b"secret",
        ".well-known/security.txt": b"Contact: us",
    }
    for name, content in files.items():
        (root / name).write_bytes(content)
        os.utime(root / name, (LONG_AGO, LONG_AGO))
    (tmp_path / "secret.txt").write_bytes(b"outside")
    return root


@pytest.fixture
def visit() -> Iterator[Callable[[FileService], Visitor]]:
    """Connects to a service: `visit(service)`."""
    visitors: list[Visitor] = []

    def connect(service: FileService) -> Visitor:
        near, far = gevent.socket.socketpair()
        near.settimeout(20)
        visitor = Visitor(near, tasks.spawn("test visit", service.serve, Connection(far, "192.0.2.7:5555")))
        visitors.append(visitor)
        return visitor

    yield connect
    for visitor in visitors:
        visitor.socket.close()
        visitor.serving.join(10)
        assert visitor.serving.ready(), "the service did not notice that its visitor has left"


@pytest.fixture
def ask(visit: Callable[[FileService], Visitor]) -> Callable[..., Reply]:
    """One request on a connection of its own: `ask(service, "/path", "Range: bytes=0-1", method="GET")`."""

    def once(service: FileService, target: str, *fields: str, method: str = "GET") -> Reply:
        visitor = visit(service)
        lines = [f"{method} {target} HTTP/1.1", "Host: files.example", "Connection: close", *fields]
        visitor.send("\r\n".join([*lines, "", ""]).encode("latin-1"))
        return Reply(visitor.read_all())

    return once


@pytest.fixture(autouse=True)
def no_descriptor_leaks() -> Iterator[None]:
    """Whatever a test served, no file of it stays open."""
    yield
    held = []
    for number in os.listdir("/proc/self/fd"):
        try:
            path = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if "/site" in path:
            held.append(path)
    assert not held
