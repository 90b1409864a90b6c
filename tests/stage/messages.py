"""A second reader of HTTP/1.1, written for tests: strict, blocking, and on purpose not the program's own."""

from __future__ import annotations

import dataclasses
import re
import socket

TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class Malformed(Exception):
    """What came is no HTTP/1.1 message."""


class Ended(Exception):
    """The connection ended in the middle of a message, or where one was expected. `seen`: what came of it."""

    def __init__(self, seen: bytes) -> None:
        super().__init__(f"connection ended after {seen[-200:]!r}")
        self.seen = seen


@dataclasses.dataclass
class Message:
    """A request or response as it came. `raw` is the head; `framed` the body's bytes with their framing."""

    raw: bytes
    first_line: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes = b""
    framed: bytes = b""
    trailers: list[tuple[bytes, bytes]] = dataclasses.field(default_factory=list)

    def all(self, name: str) -> list[str]:
        """The values of the fields called `name`, in any case."""
        return [value.decode("latin-1") for key, value in self.fields if key.lower() == name.lower().encode()]

    def one(self, name: str) -> str | None:
        """The value of the only field called `name`; None where there is none."""
        values = self.all(name)
        assert len(values) < 2, f"several {name}: {values}"
        return values[0] if values else None

    @property
    def names(self) -> list[str]:
        return [key.decode("latin-1").lower() for key, _ in self.fields]

    @property
    def method(self) -> str:
        return self.first_line.split(b" ")[0].decode("latin-1")

    @property
    def target(self) -> str:
        return self.first_line.split(b" ")[1].decode("latin-1")

    @property
    def status(self) -> int:
        return int(self.first_line.split(b" ")[1])


class Reader:
    """Reads messages from a socket, whose time-out bounds each wait."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.buffer = b""

    def more(self) -> bool:
        """Read once more; False at the end of the stream."""
        got = self.sock.recv(65536)
        self.buffer += got
        return bool(got)

    def until(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            if not self.more():
                raise Ended(self.take(len(self.buffer)))
        return self.take(self.buffer.index(mark) + len(mark))

    def exactly(self, count: int) -> bytes:
        while len(self.buffer) < count:
            if not self.more():
                raise Ended(self.take(len(self.buffer)))
        return self.take(count)

    def rest(self) -> bytes:
        """All that comes until the stream ends in order. Raises ConnectionResetError."""
        while self.more():
            pass
        return self.take(len(self.buffer))

    def take(self, count: int) -> bytes:
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def head(self) -> Message:
        raw = self.until(b"\r\n\r\n")
        first, *lines = raw[:-4].split(b"\r\n")
        if any(byte in first for byte in b"\0\r\n") or len(first.split(b" ")) < 3:
            raise Malformed(repr(raw[:500]))
        return Message(raw, first, [_field(line) for line in lines])

    def request(self) -> Message:
        message = self.head()
        if not re.fullmatch(rb"\S+ \S+ HTTP/1\.[01]", message.first_line):
            raise Malformed(repr(message.first_line))
        self.body(message)
        return message

    def body(self, message: Message) -> None:
        """The body of a request, or of a response that has one of announced length."""
        codings, lengths = message.all("transfer-encoding"), message.all("content-length")
        if len(codings) + len(lengths) > 1:
            raise Malformed(f"length given several times: {message.raw!r}")
        if codings:
            if codings != ["chunked"]:
                raise Malformed(f"unknown coding: {message.raw!r}")
            self._chunked(message)
        elif lengths:
            if not re.fullmatch("[0-9]+", lengths[0]):
                raise Malformed(f"bad length: {message.raw!r}")
            message.body = message.framed = self.exactly(int(lengths[0]))

    def response(self, method: str = "GET") -> Message:
        """The next response with its body, interim ones included."""
        message = self.head()
        if not re.fullmatch(rb"HTTP/1\.1 [1-9][0-9]{2} .*", message.first_line):
            raise Malformed(repr(message.first_line))
        if method == "HEAD" or message.status < 200 or message.status in (204, 304):
            return message
        if message.all("transfer-encoding") or message.all("content-length"):
            self.body(message)
        else:
            message.body = message.framed = self.rest()
        return message

    def _chunked(self, message: Message) -> None:
        while True:
            line = self.until(b"\r\n")
            message.framed += line
            if not re.fullmatch(rb"[0-9A-Fa-f]+\r\n", line):  # extensions stop at the edge
                raise Malformed(f"chunk size {line!r}")
            size = int(line, 16)
            if not size:
                break
            data = self.exactly(size + 2)
            message.framed += data
            if data[-2:] != b"\r\n":
                raise Malformed(f"chunk data ends with {data[-2:]!r}")
            message.body += data[:-2]
        while (line := self.until(b"\r\n")) != b"\r\n":
            message.framed += line
            message.trailers.append(_field(line[:-2]))
        message.framed += b"\r\n"


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    if not colon or not TOKEN.fullmatch(name) or any(byte in value for byte in b"\0\r\n"):
        raise Malformed(f"field {line!r}")
    return name, value.strip(b" \t")
