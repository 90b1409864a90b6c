"""The inspector itself: which names are inspected until when, the ring of records, who listens, and replay."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from appliance.tunnel.inspector.edits import Edits, ReplayError
from appliance.tunnel.inspector.record import Message, Part, Record, now
from appliance.tunnel.inspector.websocket import Allowances

MAX_RECORDS = 500
MAX_BODY_BYTES = 1024 * 1024  # kept of each body
MAX_BYTES = 64 * 1024 * 1024  # kept in all
MAX_MESSAGES = 1000  # kept of a WebSocket, the last ones, up to MAX_BODY_BYTES
MAX_SECONDS = 86400.0  # that a name is inspected for
MAX_NAMES = 1000
MAX_REPLAYS = 8  # at once
MEASURED_A_SECOND = 100  # round trips: each takes some 35 µs of CPU, which thousands of requests a second would feel
REPLAY_SECONDS = 300.0  # an answer without end is heard for so long

TOO_LONG = f"given up after {REPLAY_SECONDS:g} seconds"
UNSENT = "it was cut off before it was sent"

# What a record or message takes beyond its bytes, about.
RECORD_BYTES = 2048
MESSAGE_BYTES = 256

ALL = "*"

log = logging.getLogger("sluice.inspector")

Listener = Callable[[Record], object]
# Sends a new record's request again: (record to fill, the one it repeats, what is different). Must not wait.
Send = Callable[[Record, Record, Edits], None]


class Inspector:
    """Nothing is inspected until `switch` says so. All of it runs in one thread, and nothing waits.

    `max_records`, `max_body_bytes`, `max_bytes`: limits; the oldest records go first. `dropped`: how many have gone.
    `send`: how a request is sent again, set by the end that this is at; raises ReplayError.
    """

    def __init__(
        self, max_records: int = MAX_RECORDS, max_body_bytes: int = MAX_BODY_BYTES, max_bytes: int = MAX_BYTES
    ) -> None:
        self.max_records = max_records
        self.max_body_bytes = max_body_bytes
        self.max_bytes = max_bytes
        self.dropped = 0
        self.allowances = Allowances()
        self.send: Send | None = None
        self.on_switch: Callable[[], None] | None = None  # for who keeps a copy of what is inspected: the router
        self._names: dict[str, tuple[datetime | None, float]] = {}
        self._next_end = math.inf  # when the first of them is over
        self._ring: dict[int, Record] = {}  # oldest first
        self._last_id = 0
        self._held = 0
        self._listeners: list[Listener] = []
        self._replays: set[int] = set()
        self._measuring_since = 0.0
        self._measured = 0

    # Names

    def names(self) -> dict[str, datetime | None]:
        """Names that are inspected now, each with when that ends; None: when it is switched off. "*" is all names."""
        self._expire()
        return {name: until for name, (until, _) in self._names.items()}

    def switch(self, name: str, seconds: float | None) -> datetime | None:
        """Inspect `name` ("*": all) from now on, for that long; None: until it is switched off. Returns until when.

        Raises ValueError for a time that is not within a day, or too many names.
        """
        if seconds is not None and not 0 < seconds <= MAX_SECONDS:
            raise ValueError(f"a name is inspected for {MAX_SECONDS:g} seconds at most, and for more than none")
        self._expire()
        if name not in self._names and len(self._names) >= MAX_NAMES:
            raise ValueError(f"{MAX_NAMES} names are inspected already")
        until = None if seconds is None else now()[0] + timedelta(seconds=seconds)
        self._names[name.lower()] = until, math.inf if seconds is None else time.monotonic() + seconds
        self._switched()
        log.info("%s inspected%s", _spoken(name), f" for {seconds:g} seconds" if seconds is not None else "")
        return until

    def switch_off(self, name: str) -> None:
        """Inspect it no more. With "*", names that were switched on one by one go on. Records stay."""
        if self._names.pop(name.lower(), None) is not None:
            self._switched()
            log.info("%s inspected no more", _spoken(name))

    def inspects(self, name: str) -> bool:
        """Whether `name` is inspected now; "*": whether all are."""
        self._expire()
        return ALL in self._names or name in self._names

    def _expire(self) -> None:
        moment = time.monotonic()
        if moment < self._next_end:
            return
        self._names = {name: span for name, span in self._names.items() if span[1] > moment}
        self._switched()

    def _switched(self) -> None:
        self._next_end = min((ends for _, ends in self._names.values()), default=math.inf)
        if self.on_switch is not None:
            self.on_switch()

    # Looking

    @property
    def count(self) -> int:
        return len(self._ring)

    @property
    def held_bytes(self) -> int:
        """Bytes of memory that records take, about."""
        return self._held

    def get(self, number: int) -> Record | None:
        return self._ring.get(number)

    def records(
        self,
        name: str = "",
        path: str = "",
        method: str = "",
        status: str = "",
        min_seconds: float = 0.0,
        client: str = "",
        before: int = 0,
        limit: int = 100,
    ) -> list[Record]:
        """The newest first. `path`: in it; `status`: "404" or "4xx"; `client`: its id, or how that begins; `before`:
        older than this id; `min_seconds`: that took as long, or do so already."""
        moment = time.monotonic()
        found: list[Record] = []
        for record in reversed(self._ring.values()):
            if len(found) >= limit:
                break
            if (
                (not before or record.id < before)
                and (not name or record.name == name.lower())
                and (not path or path in record.path)
                and (not method or record.method == method.upper())
                and (not status or _has_status(record, status.lower()))
                and (not client or record.client_id.startswith(client) or client.lower() in record.client_name.lower())
                and (not min_seconds or (record.ended_at or moment) - record.began_at >= min_seconds)
            ):
                found.append(record)
        return found

    def clear(self) -> None:
        """Forget all records. Exchanges that are under way go on unseen."""
        for record in self._ring.values():
            self._release(record)
        self._ring.clear()
        self.dropped = 0

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with each record that begins, gets its answer's head, or ends. It must not wait. Returns what
        ends that."""
        self._listeners.append(listener)

        def unsubscribe() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return unsubscribe

    # Again

    def replay(self, number: int, edits: Edits | None = None) -> int:
        """Send a recorded request again; the answer becomes a record of its own, whose id is returned at once.

        Raises KeyError for a record that is not there (any more), ReplayError for one that cannot be sent.
        """
        original = self._ring[number]
        if self.send is None:
            raise ReplayError("requests cannot be sent again here")
        if len(self._replays) >= MAX_REPLAYS:
            raise ReplayError(f"{MAX_REPLAYS} requests are being sent again at this moment: wait for one to end")
        record = self._make(original.name)
        record.replay_of = number
        self.send(record, original, edits or Edits())  # raises before anything has begun
        self._replays.add(record.id)
        self._enter(record)
        self.changed(record)
        return record.id

    # For who records

    def begin(self, name: str) -> Record:
        """A new record, in the ring. Who fills it says so with `changed`."""
        record = self._make(name)
        self._enter(record)
        return record

    def _make(self, name: str) -> Record:
        self._last_id += 1
        at, began = now()
        return Record(self._last_id, at, began, name)

    def _enter(self, record: Record) -> None:
        self._ring[record.id] = record
        self.hold(record, RECORD_BYTES)
        while len(self._ring) > self.max_records:
            self._drop_oldest()

    def may_measure(self, moment: float) -> bool:
        """Whether one more round trip may be measured now."""
        if moment - self._measuring_since >= 1.0:
            self._measuring_since, self._measured = moment, 0
        self._measured += 1
        return self._measured <= MEASURED_A_SECOND

    def hold(self, record: Record, size: int) -> None:
        """`record` takes `size` more bytes (less than none: fewer). Old records go where that is too much."""
        if record.dropped:
            return
        record.held += size
        self._held += size
        while self._held > self.max_bytes and self._ring:
            self._drop_oldest()

    def keep(self, record: Record, part: Part, piece: bytes | memoryview) -> None:
        """A piece of a body has gone by."""
        part.size += len(piece)
        room = self.max_body_bytes - len(part.body)
        if room > 0 and not record.dropped:
            kept = piece[:room]
            part.body += kept
            self.hold(record, len(kept))

    def add_message(self, record: Record, message: Message) -> None:
        """A message has gone by."""
        record.messages_total += 1
        if record.dropped:
            return
        record.messages.append(message)
        self._count_message(record, len(message.data) + MESSAGE_BYTES)
        # None are left where it was the oldest record itself that had to go for this one.
        while record.messages and (len(record.messages) > MAX_MESSAGES or record.messages_bytes > self.max_body_bytes):
            self._count_message(record, -len(record.messages.popleft().data) - MESSAGE_BYTES)

    def _count_message(self, record: Record, size: int) -> None:
        record.messages_bytes += size
        self.hold(record, size)

    def restart(self, record: Record, why: str) -> None:
        """The request is sent once more, for it was not answered: `why`."""
        if len(record.tries) < 16:
            record.tries.append(why)
        self.hold(record, -record.held + RECORD_BYTES)
        record.request, record.response = Part(), None
        record.interim.clear()
        record.sent_at = record.asked_at = record.answered_at = None

    def end(self, record: Record, state: str, why: str = "", moment: float | None = None) -> None:
        """Over, since `moment` (by time.monotonic(); None: now); only the first time counts."""
        if record.ended_at is None:
            record.ended_at = time.monotonic() if moment is None else moment
            record.state = state
            record.why = record.why or why
            self._replays.discard(record.id)
            self.changed(record)

    def changed(self, record: Record) -> None:
        """Tell who listens."""
        if record.dropped:
            return
        for listener in tuple(self._listeners):
            try:
                listener(record)
            except Exception:
                log.exception("a listener of the inspector crashed; please report this")
                self._listeners.remove(listener)

    def _drop_oldest(self) -> None:
        self._release(self._ring.pop(next(iter(self._ring))))
        self.dropped += 1

    def _release(self, record: Record) -> None:
        """It has gone from the ring; who still records it goes on without keeping anything."""
        self._held -= record.held
        record.held = 0
        record.dropped = True
        if record.ended_at is None:  # else nobody but a reader has it
            record.forget()


def _has_status(record: Record, wanted: str) -> bool:
    status = str(record.status or "")
    return status == wanted or (wanted[1:] == "xx" and status[:1] == wanted[:1])


def _spoken(name: str) -> str:
    return "all names are" if name == ALL else f"{name} is"
