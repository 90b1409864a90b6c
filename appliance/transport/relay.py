"""A stream and a connection joined, each direction ending on its own: the client's way to an upstream, and the
edge's after an upgrade."""

from __future__ import annotations

from typing import Any

from appliance.transport.connection import Connection
from appliance.transport.stream import Stream


def to_stream(connection: Connection, stream: Stream) -> None:
    """Carry bytes until the connection's direction ends. Saying so (`finish`) is the caller's."""
    read, write = connection.read, stream.write
    while True:
        data = read()
        if not data:
            return
        write(data)


def from_stream(stream: Stream, connection: Connection) -> Any:
    """Carry bytes until a message comes; returns it, or None when the stream is lost."""
    read = stream.read
    while True:
        got = read()
        if type(got) is not list:
            return got
        if len(got) == 1:
            connection.write(got[0])
        else:
            connection.write_parts(got)
