"""One exchange as the inspector keeps it: plain data, raw as it went by. Decoding, masking and export are the admin's.

Bodies are kept up to a limit (`Part.size` is the true size), messages up to a number: the last ones.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

# States. OPEN: still under way; DONE: the answer came to its end (an answer of the edge's own is one);
# LEFT: the visitor went before that, which is its right; BROKEN: it did not, and `why` says why.
OPEN, DONE, LEFT, BROKEN = "open", "done", "left", "broken"

# Kinds.
HTTP, WEBSOCKET = "http", "websocket"

# Who sent a message.
VISITOR, UPSTREAM = "visitor", "upstream"


@dataclass(slots=True, eq=False)
class Part:
    """A request or an answer.

    `head`: as it was sent, empty line included; b"" while it is not whole. `body`: the first bytes of the body, without
    transfer coding, with content coding; `size`: how many there were. `complete`: its end was seen.
    """

    head: bytes = b""
    body: bytearray = field(default_factory=bytearray)
    size: int = 0
    complete: bool = False
    trailers: tuple[bytes, ...] = ()

    @property
    def truncated(self) -> bool:
        """Whether less was kept than went by."""
        return self.size > len(self.body)

    @property
    def line(self) -> bytes:
        """The request line or status line."""
        return self.head.partition(b"\r\n")[0]

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """Names and values of the head's fields, in order, as they were sent."""
        lines = self.head.split(b"\r\n")[1:-2]
        split = [line.partition(b":") for line in lines]
        return [(name, value.strip(b" \t")) for name, _, value in split]

    def field(self, name: bytes) -> bytes | None:
        """The value of the first field of that name (in lower case)."""
        return next((value for found, value in self.fields if found.lower() == name), None)


@dataclass(slots=True, eq=False)
class Message:
    """A WebSocket message, or control frame.

    `sender`: VISITOR or UPSTREAM; `kind`: text, binary, close, ping or pong. `size`: bytes of the message, inflated
    where it was compressed. `data`: its first bytes. `opaque`: it was compressed and could not be inflated, so `data`
    is empty and `size` is what travelled.
    """

    at: datetime
    sender: str
    kind: str
    size: int
    data: bytes
    opaque: bool = False

    @property
    def truncated(self) -> bool:
        return self.size > len(self.data)


@dataclass(slots=True, eq=False)
class Record:
    """`id`: grows from 1; `name`: under which it was asked for (on a client: the Host that the visitor sent).

    `visitor`: its IP address, as a trusted proxy tells it; `target`: the upstream. `status`: of the final answer.
    `interim`: statuses of 1xx answers before it. `edge`: the answer is the edge's own (404, 502, 503, 504 and so on).
    `why`: what is odd about it, a sentence or nothing. `tries`: what became of tries before the one that is shown.
    `replay_of`: the id of the record that this one repeats. `dropped`: it had to go from the ring.
    Times ending in `_at` are of time.monotonic(); None: it has not come to that.
    """

    id: int
    at: datetime
    began_at: float
    name: str
    method: str = ""
    path: str = ""
    host: bytes = b""
    scheme: str = "http"
    client_id: str = ""
    client_name: str = ""
    target: str = ""
    visitor: str = ""
    request_id: str = ""
    replay_of: int | None = None
    kind: str = HTTP
    state: str = OPEN
    why: str = ""
    status: int | None = None
    edge: bool = False
    interim: list[int] = field(default_factory=list)
    tries: list[str] = field(default_factory=list)
    request: Part = field(default_factory=Part)
    response: Part | None = None
    messages: deque[Message] = field(default_factory=deque)
    messages_total: int = 0
    messages_bytes: int = 0  # of memory, about, for those that are kept
    sent_at: float | None = None  # the request began to go out on a stream,
    asked_at: float | None = None  # its last byte before the answer did,
    answered_at: float | None = None  # the final answer's head was there,
    ended_at: float | None = None
    link_seconds: float | None = 0.0  # the tunnel's round trip, measured ahead of the request; 0: there is no tunnel
    held: int = 0  # bytes of memory, about; the store's own
    dropped: bool = False

    @property
    def seconds(self) -> float | None:
        """From the request's arrival to the end; None while it is open."""
        return None if self.ended_at is None else self.ended_at - self.began_at

    @property
    def wait_seconds(self) -> float | None:
        """Until a stream was there, tries before the one that is shown included."""
        return None if self.sent_at is None else self.sent_at - self.began_at

    @property
    def tunnel_seconds(self) -> float | None:
        """The tunnel's share of the time to the answer: the link's round trip. None on a client, and where the two
        cannot be told apart: it was not measured, or is longer than both."""
        link, answer = self.link_seconds, self.answer_seconds
        return None if answer is None or not link or link > answer else link

    @property
    def upstream_seconds(self) -> float | None:
        """The rest: what the client and its upstream took. None where the tunnel's share is not known."""
        answer, tunnel = self.answer_seconds, self.tunnel_seconds
        if answer is None or self.link_seconds == 0:
            return answer
        return None if tunnel is None else answer - tunnel

    @property
    def transfer_seconds(self) -> float | None:
        """What bodies took: the request's, as far as it went out before the answer began, and the answer's."""
        sending, receiving = self.sending_seconds, self.receiving_seconds
        return None if sending is None or receiving is None else sending + receiving

    @property
    def sending_seconds(self) -> float | None:
        return None if self.asked_at is None or self.sent_at is None else self.asked_at - self.sent_at

    @property
    def receiving_seconds(self) -> float | None:
        return None if self.answered_at is None or self.ended_at is None else max(0.0, self.ended_at - self.answered_at)

    @property
    def answer_seconds(self) -> float | None:
        """From the request's last byte to the answer's head: the tunnel's share and the upstream's."""
        if self.answered_at is None or self.asked_at is None:
            return None
        return self.answered_at - self.asked_at

    @property
    def is_of_events(self) -> bool:
        """Whether the answer is a stream of events, which has no end but by somebody's leaving."""
        content_type = (self.response.field(b"content-type") or b"") if self.response is not None else b""
        return content_type.lower().startswith(b"text/event-stream")

    @property
    def messages_dropped(self) -> int:
        """Messages that went by and are kept no longer."""
        return self.messages_total - len(self.messages)

    def forget(self) -> None:
        """Let go of all that takes much memory."""
        for part in (self.request, self.response):
            if part is not None:
                part.head, part.body, part.trailers = b"", bytearray(), ()
        self.messages.clear()

    def at_of(self, moment: float) -> datetime:
        """The time of day of a time.monotonic() value of this record."""
        return datetime.fromtimestamp(self.at.timestamp() + moment - self.began_at, self.at.tzinfo)

    def summary(self) -> dict[str, Any]:
        """What a list shows, ready for JSON."""
        return {
            "id": self.id,
            "at": self.at.isoformat(timespec="milliseconds"),
            "name": self.name,
            "method": self.method,
            "path": self.path,
            "status": self.status,
            "seconds": self.seconds,
            "clientId": self.client_id,
            "clientName": self.client_name,
            "visitor": self.visitor,
            "requestBytes": self.request.size,
            "responseBytes": self.response.size if self.response is not None else 0,
            "kind": self.kind,
            "state": self.state,
            "replayOf": self.replay_of,
        }


def now() -> tuple[datetime, float]:
    """The time of day with its zone, and time.monotonic()."""
    return datetime.now().astimezone(), time.monotonic()
