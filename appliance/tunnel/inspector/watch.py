"""The edge's ear: one exchange, over one stream after another until one brings an answer."""

from __future__ import annotations

import time
from typing import Any

from appliance.transport.stream import Stream
from appliance.transport.tapped import tap, untap
from appliance.tunnel.inspector.dialogue import Dialogue, shown
from appliance.tunnel.inspector.record import BROKEN, DONE, LEFT, Part, Record
from appliance.tunnel.inspector.store import Inspector
from appliance.tunnel.router import Member
from appliance.wire.http1 import RequestHead
from appliance.wire.messages import Finish, Refuse

EARLY = "the answer came before all of the request"
MORE = "the upstream sent more than its answer"
ENOUGH = "the visitor left the stream of events"
_ECHO = b"inspector"  # told from the pool's pings, which have no payload


class Watch:
    """Made when the exchange begins; `end` must be called when it is over. `why`: what went wrong, once something did;
    `left`: that was the visitor's leaving. None of it raises or waits."""

    __slots__ = ("_asked_at", "_dialogue", "_inspector", "_reason", "_stream", "left", "record", "why")

    def __init__(self, inspector: Inspector, record: Record, request: RequestHead, visitor: bytes) -> None:
        self._inspector = inspector
        self.record = record
        self._dialogue: Dialogue | None = None
        self._stream: Stream | None = None
        self._asked_at = 0.0
        self._reason = ""  # why the present try is none
        self.why = ""
        self.left = False
        record.visitor = visitor.decode("ascii", "replace")
        record.method, record.path = shown(request.method), shown(request.target)
        inspector.changed(record)

    def attach(self, stream: Stream, member: Member) -> None:
        """A try begins: listen to this stream. A ping goes ahead of the request: the client answers it as soon as it
        comes, before anything else, and what the answer then takes longer is the upstream's."""
        record = self.record
        if self._dialogue is not None:
            self.detach()
            self._inspector.restart(record, f"{record.target}: {self._reason or 'no answer'}")
            self._reason = ""
        if record.dropped:
            return
        record.client_id = member.session.client_id
        record.client_name = member.session.name
        record.target = member.target
        record.link_seconds = None
        self._dialogue = Dialogue(self._inspector, record)
        self._stream = stream
        tap(stream, self)
        self._asked_at = time.monotonic()
        if self._inspector.may_measure(self._asked_at):
            stream.ping_now(_ECHO)

    def detach(self) -> None:
        """Listen no more. (A pool does so, too, before it gives a stream to somebody else.)"""
        stream, self._stream = self._stream, None
        if stream is not None and stream.tap is self:
            untap(stream)

    def answered(self, request: bytes, answer: bytes) -> None:
        """The edge answers for itself. `request`: its head and the body's beginning, for where it went nowhere;
        `answer`: head and body of what the visitor is told."""
        record, reason = self.record, self._reason
        self.detach()
        if not record.request.head:
            self._dialogue = Dialogue(self._inspector, record)
            self._dialogue.asks([request])
            record.sent_at = record.asked_at = None
        told, _, content = answer.partition(b"\r\n\r\n")
        part = record.response = Part(head=told + b"\r\n\r\n", complete=True)
        self._inspector.hold(record, len(part.head))
        self._inspector.keep(record, part, content)
        record.edge = True
        record.answered_at = None
        record.status = int(told[9:12])
        if self._dialogue is not None and self._dialogue.trouble:
            reason = f"not understood: {self._dialogue.trouble}"
        self._inspector.end(record, DONE, reason)

    def end(self) -> None:
        """The exchange is over."""
        self.detach()
        dialogue, record = self._dialogue, self.record
        why = self.why or self._reason
        if dialogue is None:
            self._inspector.end(record, BROKEN, why or "it ended before a client took it")
            return
        dialogue.end_messages()
        if dialogue.trouble:
            self._inspector.end(record, BROKEN, f"not understood: {dialogue.trouble}")
        elif dialogue.closing or (dialogue.answered and not why):
            self._inspector.end(record, DONE, MORE if dialogue.excess else "" if dialogue.asked else EARLY)
        elif self.left and record.is_of_events:
            self._inspector.end(record, DONE, ENOUGH)  # they have no other end
        elif self.left:
            self._inspector.end(record, LEFT, why)
        else:
            self._inspector.end(record, BROKEN, why or "it ended before its answer did")

    # What the stream tells

    def came(self, got: Any) -> None:
        dialogue = self._dialogue
        if self.record.dropped:
            self.detach()
        elif dialogue is None:
            return
        elif type(got) is list:
            dialogue.answers(got)
        elif isinstance(got, Refuse):
            self._reason = f"not reached ({got.reason})"
        elif isinstance(got, Finish):
            self._finished(got, dialogue)
        else:
            self._reason = "the client was lost"

    def _finished(self, message: Finish, dialogue: Dialogue) -> None:
        if message.reset:
            self._reason = "the upstream cut the connection off"
            return
        dialogue.answer_ended()
        if not dialogue.answered:
            self._reason = "the upstream ended before its answer did"

    def went(self, pieces: Any) -> None:
        if self._dialogue is not None:
            self._dialogue.asks(pieces)

    def echoed(self, payload: bytes) -> None:
        if payload == _ECHO and self.record.link_seconds is None:
            self.record.link_seconds = time.monotonic() - self._asked_at

    def said(self, message: Any) -> None:
        """What the edge says itself is the exchange's to tell."""

    def lost(self) -> None:
        """So is how it ends."""
