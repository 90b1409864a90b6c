"""Server-sent events: what happens is told to all open pages, and nobody waits for a slow one."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from gevent.event import Event

MOST_LISTENERS = 50
MOST_WAITING_BYTES = 1024 * 1024  # of one listener; it has fallen behind for good, and a page asks anew
HEARTBEAT_SECONDS = 15.0
RETRY_MS = 3000  # within which a browser connects again by itself


class Full(Exception):
    """There are MOST_LISTENERS already."""


class Listener:
    """One open page. `kinds`: of events that it wants; `valid`: asked now and then whether it may still listen."""

    __slots__ = ("_held", "_waiting", "_wake", "closed", "kinds", "valid")

    def __init__(self, kinds: frozenset[str], valid: Callable[[], bool]) -> None:
        self.kinds = kinds
        self.valid = valid
        self.closed = False
        self._waiting: deque[bytes] = deque()
        self._held = 0
        self._wake = Event()

    def tell(self, data: bytes) -> None:
        self._waiting.append(data)
        self._held += len(data)
        if self._held > MOST_WAITING_BYTES:
            self.close()
        self._wake.set()

    def close(self) -> None:
        """No more; what waits is forgotten."""
        self.closed = True
        self._waiting.clear()
        self._wake.set()

    def take(self, seconds: float) -> bytes:
        """What has happened; b"" where nothing has for that long."""
        self._wake.wait(seconds)
        self._wake.clear()
        data = b"".join(self._waiting)
        self._waiting.clear()
        self._held = 0
        return data


class Broadcast:
    """`on_first`: called when somebody listens who was the first to."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self.on_first: Callable[[], None] | None = None

    def __len__(self) -> int:
        return len(self._listeners)

    def wanted(self, kind: str) -> bool:
        """Whether anybody listens: what is told to nobody need not be put together."""
        return any(kind in listener.kinds for listener in self._listeners)

    def publish(self, kind: str, data: Any) -> None:
        """Tell all that want it. Never waits."""
        listeners = [listener for listener in self._listeners if kind in listener.kinds]
        if listeners:
            text = json.dumps(data, separators=(",", ":"), allow_nan=False)  # has no line breaks
            event = f"event: {kind}\ndata: {text}\n\n".encode()
            for listener in listeners:
                listener.tell(event)

    def listen(self, kinds: frozenset[str], valid: Callable[[], bool] = lambda: True) -> Listener:
        """Raises Full."""
        if len(self._listeners) >= MOST_LISTENERS:
            raise Full
        listener = Listener(kinds, valid)
        self._listeners.append(listener)
        if len(self._listeners) == 1 and self.on_first is not None:
            self.on_first()
        return listener

    def stream(self, listener: Listener) -> Iterator[bytes]:
        """The body of an answer that does not end by itself."""
        try:
            yield f"retry: {RETRY_MS}\n\n".encode()
            while not listener.closed and listener.valid():
                data = listener.take(HEARTBEAT_SECONDS)
                if listener.closed:
                    return
                yield data or b": still here\n\n"
        finally:
            self.leave(listener)

    def leave(self, listener: Listener) -> None:
        listener.closed = True
        if listener in self._listeners:
            self._listeners.remove(listener)

    def check(self) -> None:
        """End those that may listen no more, without waiting for their next event."""
        for listener in tuple(self._listeners):
            if not listener.valid():
                listener.close()

    def close(self) -> None:
        """End all."""
        for listener in tuple(self._listeners):
            listener.close()
