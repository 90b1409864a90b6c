"""A client's inspector at work: it listens to the streams, and sends recorded requests again, straight to their
upstream."""

from __future__ import annotations

import time
from collections.abc import Callable

import gevent

from appliance.client.upstream import Upstreams
from appliance.transport import tasks
from appliance.transport.connection import Connection, TimedOut
from appliance.transport.stream import Stream
from appliance.transport.tapped import tap
from appliance.tunnel.carrier import NotReached
from appliance.tunnel.inspector.dialogue import Dialogue
from appliance.tunnel.inspector.edits import Edits, head_bytes, request_again
from appliance.tunnel.inspector.overhear import ENDED, Overhear, parted
from appliance.tunnel.inspector.record import BROKEN, DONE, Record
from appliance.tunnel.inspector.store import REPLAY_SECONDS, TOO_LONG, UNSENT, Inspector

SETTLE_SECONDS = 0.25


class Inspection:
    """`listen` to each stream as it comes; `stop` cuts off what is being sent again."""

    def __init__(self, inspector: Inspector, client_id: str, upstreams: Upstreams) -> None:
        self._inspector = inspector
        self._client_id = client_id
        self._upstreams = upstreams
        self._open: set[Connection] = set()
        inspector.send = self._send

    def listen(self, stream: Stream, linked: Callable[[], bool]) -> None:
        """`linked`: whether the session that the stream is of still stands."""
        connection = stream.connection

        def part(record: Record) -> None:
            moment = time.monotonic()
            if connection.closed or connection.peer_has_left():
                tasks.spawn("parting", self._part, record, linked, moment)
            else:
                parted(self._inspector, record, False, moment)

        tap(stream, Overhear(self._inspector, self._client_id, part))

    def _part(self, record: Record, linked: Callable[[], bool], moment: float) -> None:
        """The server ended the stream. If it goes away itself, the session ends as well, but not always first."""
        gevent.sleep(SETTLE_SECONDS)
        parted(self._inspector, record, linked(), moment)

    def stop(self) -> None:
        for connection in tuple(self._open):
            connection.abort()

    def _send(self, record: Record, original: Record, edits: Edits) -> None:
        """Raises ReplayError."""
        fields, method, target, body = request_again(original, edits)
        record.client_id, record.target, record.visitor = original.client_id, original.target, original.visitor
        tasks.spawn("replay", self._run, record, head_bytes(method, target, fields, body), body)

    def _run(self, record: Record, head: bytes, body: bytes) -> None:
        dialogue = Dialogue(self._inspector, record)
        try:
            connection = self._upstreams.dial(record.target)
        except NotReached as error:
            dialogue.asks([head, body])
            record.sent_at = record.asked_at = None
            self._inspector.end(record, BROKEN, str(error))
            return
        self._open.add(connection)
        connection.deadline = time.monotonic() + REPLAY_SECONDS
        dialogue.asks([head, body])
        sending = tasks.spawn("replay's request", _write, connection, head + body)
        try:
            why = _hear(connection, dialogue)
            self._inspector.end(record, BROKEN if why else DONE, why)
        finally:
            sending.kill()
            self._open.discard(connection)
            connection.close()
            self._inspector.end(record, BROKEN, UNSENT)


def _hear(connection: Connection, dialogue: Dialogue) -> str:
    """Read until the answer is whole; returns why it is not."""
    try:
        while not dialogue.answered and not dialogue.trouble:
            data = connection.read()
            if not data:
                dialogue.answer_ended()
                return "" if dialogue.answered else ENDED
            dialogue.answers([data])
    except TimedOut:
        return TOO_LONG
    except OSError as error:
        return f"the upstream was lost: {error.strerror or error}"
    return f"not understood: {dialogue.trouble}" if dialogue.trouble else ""


def _write(connection: Connection, data: bytes) -> None:
    try:
        connection.write(data)
    except OSError:
        pass  # who reads the answer sees the same
