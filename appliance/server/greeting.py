"""What a load balancer in front says of a connection before its first byte: the PROXY protocol, from trusted ones."""

from __future__ import annotations

import math
import time

from appliance.transport.connection import Connection, TimedOut
from appliance.wire import proxy_protocol
from appliance.wire.address import join_host_port
from appliance.wire.proxy_protocol import Endpoint, Header, ProxyProtocolError

HEADER_SECONDS = 10.0


def read_header(connection: Connection, version: str) -> tuple[Header, bytes]:
    """The header, and the bytes that came behind it. The connection is from then on known by the visitor's address.

    Raises ProxyProtocolError or OSError, which is also for a balancer that only looks whether somebody listens.
    """
    data = b""
    connection.deadline = time.monotonic() + HEADER_SECONDS
    try:
        while (header := proxy_protocol.parse(data, version)) is None:
            more = connection.read()
            if not more:
                if data:
                    raise ProxyProtocolError("the connection ended within its header")
                raise ConnectionResetError("the connection ended before its header")
            data += more
    except TimedOut:
        raise ProxyProtocolError(f"no whole PROXY header came within {HEADER_SECONDS:g} seconds") from None
    connection.deadline = math.inf
    if header.source is not None:
        connection.peer = join_host_port(*header.source)
    return header, data[header.size :]


def endpoint(text: str) -> Endpoint | None:
    """(host, port) of "1.2.3.4:5" or "[::1]:5"; None for what has no address."""
    host, colon, port = text.rpartition(":")
    return (host.strip("[]"), int(port)) if colon and port.isdigit() else None
