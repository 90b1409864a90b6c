"""A visitor who sends exactly the bytes that a test says."""

from __future__ import annotations

import contextlib
import socket
import struct

from tests.stage.messages import Message, Reader

SECONDS = 10.0


class Visitor:
    """One connection to the data plane."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.sock = socket.create_connection((host, port), SECONDS)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = Reader(self.sock)

    def __enter__(self) -> Visitor:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        """Send all, or as much as the edge takes before it ends the connection."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.sock.sendall(data)

    def finish(self) -> None:
        """End our direction."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Leave as a crashed browser does."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def answer(self, method: str = "GET") -> Message:
        """The next response; interim ones count."""
        return self.reader.response(method)

    def final_answer(self, method: str = "GET") -> Message:
        while True:
            message = self.answer(method)
            if message.status >= 200:
                return message

    def rest(self) -> bytes:
        """What comes until the edge ends the connection, in order or by a reset."""
        try:
            return self.reader.rest()
        except ConnectionResetError:
            return self.reader.take(len(self.reader.buffer))

    def ask(self, data: bytes) -> Message:
        """Send a request and read its final answer."""
        self.send(data)
        return self.final_answer(data.split(b" ", 1)[0].decode("latin-1"))


def request(first_line: str, *lines: str, body: bytes = b"") -> bytes:
    """The bytes of a request."""
    return "\r\n".join([first_line, *lines, "", ""]).encode("latin-1") + body


def get(target: str, host: str, *lines: str) -> bytes:
    return request(f"GET {target} HTTP/1.1", f"Host: {host}", *lines)


def once(port: int, data: bytes) -> Message:
    """The final answer to one request on a connection of its own."""
    with Visitor(port) as visitor:
        return visitor.ask(data)
