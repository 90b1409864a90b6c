"""A recorded request sent again, from the edge's own door: it goes the way of any visitor's."""

from __future__ import annotations

import socket
import time

from appliance.server.edge import Edge
from appliance.server.exchange import Exchange
from appliance.server.visitor import Visitor
from appliance.transport import tasks
from appliance.transport.connection import Connection, TimedOut
from appliance.tunnel.inspector.edits import Edits, ReplayError, head_bytes, request_again
from appliance.tunnel.inspector.record import BROKEN, Record
from appliance.tunnel.inspector.store import REPLAY_SECONDS, TOO_LONG, UNSENT, Inspector
from appliance.tunnel.inspector.watch import Watch
from appliance.wire.address import join_host_port
from appliance.wire.http1 import CDN_LOOP, RequestHead


class Again(Visitor):
    """Asks what somebody has asked before, in that one's name."""

    __slots__ = ("inspector", "record")

    inspector: Inspector
    record: Record

    def exchange(self, request: RequestHead) -> bool:
        exchange = Exchange(self, request)
        exchange.watch = Watch(self.inspector, self.record, request, self.address)
        exchange.run()
        return False


class Replays:
    """`send` is what an Inspector sends with."""

    def __init__(self, edge: Edge, inspector: Inspector) -> None:
        self._edge = edge
        self._inspector = inspector

    def send(self, record: Record, original: Record, edits: Edits) -> None:
        """Raises ReplayError."""
        fields, method, target, body = request_again(original, edits)
        if not self._edge.fronts:
            raise ReplayError("the server is not serving yet")
        ours = [(b"Host", _host(original, fields, edits)), (b"Connection", b"close")]
        # A visitor may not say these itself, or must not say them twice; the edge writes its own.
        kept = [(name, value) for name, value in fields if name.lower() not in (b"host", CDN_LOOP)]
        head = head_bytes(method, target, ours + kept, body)
        near, far = socket.socketpair()
        address = original.visitor or "127.0.0.1"
        connection = Connection(near, join_host_port(address, 0))
        visitor = Again(self._edge.fronts[-1], connection, address.encode("ascii", "replace"), trusted=False)
        visitor.scheme = original.scheme.encode()
        visitor.inspector, visitor.record = self._inspector, record
        tasks.spawn("replay", self._serve, visitor)
        tasks.spawn("replay's visitor", self._visit, Connection(far, "replay"), head + body, record)

    def _serve(self, visitor: Again) -> None:
        try:
            visitor.front.attend(visitor)
        finally:
            self._inspector.end(visitor.record, BROKEN, UNSENT)

    def _visit(self, connection: Connection, data: bytes, record: Record) -> None:
        """The visitor's part: to send the request, and to take the answer, which the record has."""
        connection.deadline = time.monotonic() + REPLAY_SECONDS
        sending = tasks.spawn("replay's request", _send, connection, data)
        try:
            while connection.read():
                pass
        except TimedOut:
            self._inspector.end(record, BROKEN, TOO_LONG)
        except OSError:
            pass  # the edge ended it, and has said why
        finally:
            sending.kill()
            connection.close()


def _send(connection: Connection, data: bytes) -> None:
    try:
        connection.write(data)
    except OSError:
        pass  # who reads the answer sees the same


def _host(original: Record, fields: list[tuple[bytes, bytes]], edits: Edits) -> bytes:
    """The visitor's Host, which the upstream may have been told otherwise; unless the editor has changed it."""
    given = next((value for name, value in fields if name.lower() == b"host"), b"")
    if edits.headers is not None and given and given != original.request.field(b"host"):
        return given
    return original.host
