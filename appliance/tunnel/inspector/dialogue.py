"""The bytes of one exchange, both ways, become a record. Sans-IO: fed in pieces of any size, it never raises and never
waits; what it does not understand it says in `trouble`, and listens no more.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from appliance.tunnel.inspector.record import UPSTREAM, VISITOR, WEBSOCKET, Message, Part, Record
from appliance.tunnel.inspector.store import Inspector
from appliance.tunnel.inspector.websocket import MessageReader, NotUnderstood, deflate_of
from appliance.wire.address import AddressError, host_key
from appliance.wire.chunked import ChunkedDecoder, ChunkedError
from appliance.wire.http1 import CHUNKED, UNTIL_CLOSE, HeadError, RequestHead, parse_request, parse_response

MAX_INTERIM = 16  # 1xx answers whose status is kept
MAX_TEXT = 2048  # letters of what is shown in a list

_HEAD, _BODY, _OVER, _UPGRADED = range(4)

log = logging.getLogger("sluice.inspector")


class Direction:
    """Where in its part one direction is."""

    __slots__ = ("chunks", "held", "left", "messages", "part", "stage")

    def __init__(self, part: Part) -> None:
        self.part = part
        self.stage = _HEAD
        self.held = b""  # of a head that is not whole
        self.left = 0  # of a body of known length, or UNTIL_CLOSE
        self.chunks: ChunkedDecoder | None = None
        self.messages: MessageReader | None = None

    def frame(self, length: int | None) -> None:
        """A body of that length, in terms of `wire.http1`, comes next."""
        self.chunks = ChunkedDecoder() if length == CHUNKED else None
        self.left = length or 0
        self.stage = _BODY
        if not length:
            self.over()

    def over(self) -> None:
        self.stage = _OVER
        self.part.complete = True


class Dialogue:
    """Feed `asks` and `answers`. `trouble`: why it does not understand, or ""; `closing`: a side has said that the
    WebSocket ends; `excess`: bytes that belong to nothing have come; `note`: what is odd about an upgraded connection,
    which is carried as well as any."""

    __slots__ = (
        "_answer",
        "_asking",
        "_inspector",
        "_request",
        "closing",
        "excess",
        "note",
        "record",
        "trouble",
    )

    def __init__(self, inspector: Inspector, record: Record) -> None:
        self._inspector = inspector
        self.record = record
        self._asking = Direction(record.request)
        self._answer = Direction(Part())
        self._request: RequestHead | None = None
        self.trouble = ""
        self.note = ""
        self.excess = False
        self.closing = False

    @property
    def asked(self) -> bool:
        """Whether all of the request has gone by."""
        return self._asking.stage >= _OVER

    @property
    def answered(self) -> bool:
        """Whether all of the final answer has gone by; what follows an upgrade does not count."""
        return self._answer.stage >= _OVER

    @property
    def upgraded(self) -> bool:
        return self._answer.stage == _UPGRADED

    def asks(self, pieces: Any) -> None:
        """Pieces of bytes towards the upstream."""
        record = self.record
        moment = time.monotonic()
        if record.sent_at is None:
            record.sent_at = moment
        if record.answered_at is None:
            record.asked_at = moment
        self._feed(self._asking, pieces, moment)

    def answers(self, pieces: Any) -> None:
        """Pieces of bytes from the upstream."""
        fresh = self.record.answered_at is None
        self._feed(self._answer, pieces, time.monotonic())
        if fresh and self.record.answered_at is not None and (not self.answered or self.upgraded):
            self._inspector.changed(self.record)

    def answer_ended(self) -> None:
        """The upstream has ended its direction in order."""
        if self._answer.stage == _BODY and self._answer.left == UNTIL_CLOSE:
            self._answer.over()

    def _feed(self, direction: Direction, pieces: Any, moment: float) -> None:
        if self.trouble:
            return
        try:
            for piece in pieces:
                self._piece(direction, piece, moment)
        except (HeadError, ChunkedError, NotUnderstood) as error:
            self._give_up(str(error))
        except Exception:
            log.exception("the inspector crashed; please report this")
            self._give_up("the inspector crashed")

    def _give_up(self, why: str) -> None:
        self.trouble = why
        self.end_messages()
        for direction in (self._asking, self._answer):
            direction.held = b""
            direction.chunks = None

    def _piece(self, direction: Direction, piece: Any, moment: float) -> None:
        if direction.stage == _HEAD:
            data = direction.held + bytes(piece)
            if direction is self._asking:
                piece = self._request_head(data)
            else:
                piece = self._answer_head(data, len(direction.held), moment)
            if direction.stage == _HEAD:
                return
        if direction.stage == _BODY:
            piece = self._body(direction, piece)
        if len(piece):
            if direction.stage == _UPGRADED:
                self._messages(direction, piece, moment)
            else:
                self.excess = True

    # Heads

    def _request_head(self, data: bytes) -> bytes:
        """Returns what follows the head."""
        asking, record = self._asking, self.record
        request = parse_request(data, 0, len(asking.held))
        if request is None:
            asking.held = data
            return b""
        asking.held = b""
        self._request = request
        asking.part.head = data[: request.end].lstrip(b"\r\n")
        self._inspector.hold(record, request.end)
        known = record.method
        describe(record, request)
        if not known:
            self._inspector.changed(record)
        asking.frame(request.length)
        return data[request.end :]

    def _answer_head(self, data: bytes, searched: int, moment: float) -> bytes:
        """Returns what follows the final head."""
        answer, record, request = self._answer, self.record, self._request
        if request is None:
            raise NotUnderstood("an answer came before its request")
        while data:
            response = None
            if data.find(b"\n", searched) >= 0 or len(data) > MAX_TEXT:
                response = parse_response(data, request.method)
            if response is None:
                break
            head, data = data[: response.end], data[response.end :]
            searched = 0
            if response.status >= 200 or response.status == 101:
                answer.held = b""
                answer.part.head = head
                self._inspector.hold(record, len(head))
                record.response = answer.part
                record.status = response.status
                record.answered_at = moment
                answer.frame(response.length)
                if response.status == 101:
                    self._switch(request, response.upgrade)
                return data
            if len(record.interim) < MAX_INTERIM:
                record.interim.append(response.status)
        answer.held = data
        return b""

    def _switch(self, request: RequestHead, upgrade: bytes) -> None:
        """101: what follows is no HTTP any more."""
        if not request.upgrade or self._asking.stage != _OVER:
            raise NotUnderstood("the upstream switches protocols unasked")
        directions = self._asking, self._answer
        if upgrade.lower() == b"websocket":
            self.record.kind = WEBSOCKET
            extensions = self._answer.part.field(b"sec-websocket-extensions")
            for direction in directions:
                of_server = direction is self._answer
                direction.messages = MessageReader(self._inspector.allowances, deflate_of(extensions, of_server))
                self._inspector.hold(self.record, direction.messages.held_bytes)
        for direction in directions:
            direction.stage = _UPGRADED

    # Bodies

    def _body(self, direction: Direction, piece: Any) -> Any:
        """Take the body's bytes from `piece`; returns what is left of it."""
        part, left = direction.part, direction.left
        if direction.chunks is not None:
            found, used = direction.chunks.feed(memoryview(piece))
            for one in found:
                self._inspector.keep(self.record, part, one)
            if direction.chunks.done:
                part.trailers = tuple(direction.chunks.trailers)
                self._inspector.hold(self.record, sum(map(len, part.trailers)))
                direction.over()
            return piece[used:]
        if left == UNTIL_CLOSE:
            self._inspector.keep(self.record, part, piece)
            return b""
        if len(piece) <= left:
            self._inspector.keep(self.record, part, piece)
            direction.left = left - len(piece)
            rest: Any = b""
        else:
            self._inspector.keep(self.record, part, piece[:left])
            direction.left = 0
            rest = piece[left:]
        if not direction.left:
            direction.over()
        return rest

    def _messages(self, direction: Direction, piece: Any, moment: float) -> None:
        record, part = self.record, direction.part
        part.size += len(piece)
        reader = direction.messages
        if reader is None:
            return
        if record.dropped:
            direction.messages = None  # nobody will see them
            return
        before = reader.held_bytes
        sender = VISITOR if direction is self._asking else UPSTREAM
        at = record.at_of(moment)
        try:
            for seen in reader.feed(piece, moment):
                self._inspector.add_message(record, Message(at, sender, *seen))
                self.closing = self.closing or seen.kind == "close"
            self._inspector.hold(record, reader.held_bytes - before)
        except NotUnderstood as error:
            self._inspector.hold(record, -before)
            direction.messages = None
            self.note = f"messages of the {sender} were not understood: {error}"
            record.why = self.note  # now: it may go on for days
            self._inspector.changed(record)

    def end_messages(self) -> None:
        """The readers of messages are of no more use: their memory counts no longer."""
        for direction in (self._asking, self._answer):
            if direction.messages is not None:
                self._inspector.hold(self.record, -direction.messages.held_bytes)
                direction.messages = None


def describe(record: Record, request: RequestHead) -> None:
    """What a list shows of a request, from a head as the edge writes it: the forwarding fields are the edge's own."""
    claims: dict[bytes, bytes] = {}
    for name, value in request.forwarded:
        claims.setdefault(name, value)
    record.method = shown(request.method)
    record.path = shown(request.target)
    host = (claims.get(b"x-forwarded-host") or request.host or b"")[:MAX_TEXT]
    record.host = host
    record.name = record.name or _name(host)
    record.scheme = "https" if claims.get(b"x-forwarded-proto") == b"https" else "http"
    record.visitor = shown(claims.get(b"x-forwarded-for", b"").split(b",")[0].strip()) or record.visitor
    record.request_id = shown(claims.get(b"x-request-id", b""))


def _name(host: bytes) -> str:
    text = host.decode("ascii", "replace")
    try:
        return host_key(text)
    except AddressError:
        return text


def shown(text: bytes) -> str:
    """As a list shows it: not too long."""
    return text[:MAX_TEXT].decode("utf-8", "replace")
