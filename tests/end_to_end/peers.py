"""Clients and servers that say whatever a test wants, frame by frame. The frames are made here, by hand."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import struct
from collections.abc import Callable
from typing import Any

import gevent
from gevent import socket

from tests.end_to_end.house import PATIENCE_SECONDS, TOKEN, left_open, listener, until
from tests.stage.messages import Ended, Message, Reader

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
PROTOCOL = "sluice.v1"
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def frame(opcode: int, payload: bytes, masked: bool, fin: bool = True, length: int | None = None) -> bytes:
    """`length`: what the frame claims to hold."""
    size = len(payload) if length is None else length
    mask = 0x80 if masked else 0
    if size < 126:
        head = struct.pack("!BB", opcode | (0x80 if fin else 0), mask | size)
    elif size < 65536:
        head = struct.pack("!BBH", opcode | (0x80 if fin else 0), mask | 126, size)
    else:
        head = struct.pack("!BBQ", opcode | (0x80 if fin else 0), mask | 127, size)
    if not masked:
        return head + payload
    key = os.urandom(4)
    return head + key + bytes(byte ^ key[index & 3] for index, byte in enumerate(payload))


class Peer:
    """One end of a WebSocket connection. `masked`: it is a client's."""

    def __init__(self, sock: Any, reader: Reader, masked: bool) -> None:
        self.sock = sock
        self.reader = reader
        self._masked = masked
        left_open.append(sock)

    def send(self, opcode: int, payload: bytes = b"", **odd: Any) -> None:
        self.sock.sendall(frame(opcode, payload, self._masked, **odd))

    def say(self, kind: str, **fields: Any) -> None:
        self.send(TEXT, json.dumps({"kind": kind, **fields}).encode())

    def hear(self) -> tuple[int, bytes]:
        """The next frame; Ended at the end."""
        first, second = self.reader.exactly(2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", self.reader.exactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self.reader.exactly(8))
        key = self.reader.exactly(4) if second & 0x80 else bytes(4)
        return first & 0x0F, bytes(byte ^ key[index & 3] for index, byte in enumerate(self.reader.exactly(size)))

    def heard(self, kind: str) -> dict[str, Any]:
        """The next message of a kind; what comes before is passed over."""
        while True:
            opcode, payload = self.hear()
            if opcode == CLOSE:
                raise AssertionError(f"closed: {payload[2:].decode()}")
            message = json.loads(payload) if opcode == TEXT else {}
            if message.get("kind") == kind:
                return message  # type: ignore[no-any-return]

    def farewell(self) -> tuple[int, str]:
        """Code and reason with which the other side closes; (0, "") when it only ends."""
        try:
            while True:
                opcode, payload = self.hear()
                if opcode == CLOSE:
                    return int.from_bytes(payload[:2], "big"), payload[2:].decode()
        except (Ended, OSError):
            return 0, ""

    def close(self) -> None:
        self.sock.close()


class Refused(Exception):
    def __init__(self, answer: Message) -> None:
        super().__init__(answer.raw)
        self.answer = answer


def connect(port: int, path: str, *lines: str, token: str | None = TOKEN, early: bytes = b"") -> Peer:
    """A connection upgraded at `path`, `early` sent along with the request. Raises Refused."""
    sock = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
    reader = Reader(sock)
    fields = [
        f"GET {path} HTTP/1.1",
        "Host: test",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: " + base64.b64encode(os.urandom(16)).decode(),
        f"Sec-WebSocket-Protocol: {PROTOCOL}",
        *([] if token is None else [f"Authorization: Bearer {token}"]),
        *lines,
    ]
    sock.sendall("\r\n".join([*fields, "", ""]).encode("latin-1") + early)
    answer = reader.head()
    if answer.status != 101:
        reader.body(answer)
        sock.close()
        raise Refused(answer)
    return Peer(sock, reader, masked=True)


class Client:
    """A client by hand: says hello, hears welcome, and opens streams as the test wants."""

    def __init__(
        self,
        port: int,
        *offers: dict[str, str],
        ports: dict[int, str] | None = None,
        client_id: str | None = None,
        token: str = TOKEN,
        **more: Any,
    ) -> None:
        """`ports`: the targets that are offered on ports of the server; `more`: of hello."""
        self.port = port
        self.client_id = client_id or secrets.token_hex(16)
        self.control = connect(port, "/connect", token=token)
        on_ports = [{"port": number, "target": target} for number, target in (ports or {}).items()]
        self.control.say(
            "hello", client_id=self.client_id, version="test", upstreams=list(offers), ports=on_ports, **more
        )
        self.welcome = self.control.heard("welcome")

    def stream(self, **other: str) -> Peer:
        fields = {"Sluice-Session": self.welcome["session"], "Sluice-Secret": self.welcome["secret"]}
        fields.update({name.replace("_", "-"): value for name, value in other.items()})
        return connect(self.port, "/stream", *(f"{name}: {value}" for name, value in fields.items()))

    def close(self) -> None:
        self.control.close()


def offer(pattern: str, target: str = "http://127.0.0.1:1", host_header: str = "") -> dict[str, str]:
    return {"pattern": pattern, "target": target, "host_header": host_header}


class FakeServer:
    """Upgrades every connection that comes, and hands it to `script(path, peer)` in a greenlet of its own.

    `answer`: sent in place of a 101; `behind`: sent in the same breath behind it.
    """

    def __init__(self, script: Callable[[str, Peer], object], answer: bytes = b"", behind: bytes = b"") -> None:
        self._script = script
        self._answer = answer
        self._behind = behind
        self.seen: list[str] = []
        self.sockets: list[Any] = []
        self._listener = listener()
        self.url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}"
        self._greenlets = [gevent.spawn(self._accept)]

    def wait(self, count: int) -> None:
        """Until so many connections have come."""
        until(lambda: len(self.seen) >= count, f"{count} connections have come")

    def close(self) -> None:
        gevent.killall(self._greenlets)
        self._listener.close()
        for sock in self.sockets:
            sock.close()

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            self.sockets.append(sock)
            self._greenlets.append(gevent.spawn(self._serve, sock))

    def _serve(self, sock: Any) -> None:
        try:
            reader = Reader(sock)
            head = reader.head()
            self.seen.append(head.target)
            key = (head.one("sec-websocket-key") or "").encode()
            accept = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
            upgraded = (
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                f"Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {PROTOCOL}\r\n\r\n"
            ).encode()
            sock.sendall((self._answer or upgraded) + self._behind)
            if not self._answer:
                self._script(head.target, Peer(sock, reader, masked=False))
        except (OSError, Ended):
            pass
        finally:
            sock.close()
