"""The first message of a TLS client, as far as an ACME authority's can be told from a visitor's (RFC 8446 4.1.2).

Only looked at: whoever answers the client reads it again.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_HELLO_BYTES = 65536  # real ones are under 4 KiB
_MAX_RECORD_BYTES = 16384

_HANDSHAKE, _CLIENT_HELLO = 22, 1  # kinds of record and of message
_SERVER_NAME, _ALPN = 0, 16  # kinds of extension (RFC 6066 3, RFC 7301 3.1)
_HOST_NAME = 0


class HelloError(ValueError):
    """No ClientHello, or none that can be understood."""


@dataclass(frozen=True)
class ClientHello:
    """`server_name`: in lower case, None where none is asked for; `protocols`: those of ALPN, best first."""

    server_name: str | None
    protocols: tuple[bytes, ...]


def parse(data: bytes) -> ClientHello | None:
    """The ClientHello that `data` begins with; None while it is not whole. Raises HelloError."""
    message = _message(data)
    if message is None:
        return None
    fields = _Fields(message)
    fields.take(2 + 32)  # version, random
    fields.vector(1)  # session
    fields.vector(2)  # suites
    fields.vector(1)  # compression
    name: str | None = None
    protocols: tuple[bytes, ...] = ()
    extensions = _Fields(fields.vector(2) if fields.left else b"")
    while extensions.left:
        kind = extensions.number(2)
        content = _Fields(extensions.vector(2))
        if kind == _SERVER_NAME:
            names = _Fields(content.vector(2))
            while names.left:
                name_kind, value = names.number(1), names.vector(2)
                if name_kind == _HOST_NAME:
                    name = value.decode("ascii", "replace").lower()
        elif kind == _ALPN:
            offered = _Fields(content.vector(2))
            found = []
            while offered.left:
                found.append(offered.vector(1))
            protocols = tuple(found)
    return ClientHello(name, protocols)


def _message(data: bytes) -> bytes | None:
    """The first handshake message, which may be spread over several records."""
    message = b""
    position = 0
    while True:
        if data[position : position + 1] not in (b"", bytes([_HANDSHAKE])):
            raise HelloError("no TLS handshake")
        header = data[position : position + 5]
        if len(header) < 5:
            return None
        size = int.from_bytes(header[3:], "big")
        if not 0 < size <= _MAX_RECORD_BYTES:
            raise HelloError("a record of an impossible size")
        position += 5
        message += data[position : position + size]
        if message[0:1] not in (b"", bytes([_CLIENT_HELLO])):
            raise HelloError("no ClientHello")
        if len(message) >= 4:
            whole = 4 + int.from_bytes(message[1:4], "big")
            if whole > MAX_HELLO_BYTES:
                raise HelloError("a ClientHello over 64 KiB")
            if len(message) >= whole:
                return message[4:whole]
        position += size
        if position > len(data):
            return None


class _Fields:
    """Numbers and vectors, one after the other (RFC 8446 3)."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._position

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise HelloError("a field beyond the end")
        self._position += size
        return self._data[self._position - size : self._position]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> bytes:
        """What a length of `size` bytes stands before."""
        return self.take(self.number(size))
