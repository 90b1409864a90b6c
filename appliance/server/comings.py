"""Which clients came and went of late, and who was refused: for the admin page to show, in memory only."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

MOST_EVENTS = 400
MOST_REFUSED = 100  # apart: a stranger that guesses must not push out what is known of the clients
SAME_SECONDS = 60.0  # one refusal in this time for the same address and reason
MOST_DETAIL = 300  # letters

CONNECTED, DISCONNECTED, REFUSED = "connected", "disconnected", "refused"


@dataclass(frozen=True, slots=True)
class Coming:
    """`kind`: one of CONNECTED, DISCONNECTED, REFUSED; `client_id`, `name`: "" where they are not known."""

    at: datetime
    kind: str
    client_id: str
    remote: str
    detail: str
    name: str = ""


class Comings:
    """The last ones. `on_coming`: called with each, must not wait."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._events: deque[Coming] = deque(maxlen=MOST_EVENTS)
        self._refused: deque[Coming] = deque(maxlen=MOST_REFUSED)
        self._last_refused: dict[tuple[str, str], float] = {}
        self.on_coming: list[Callable[[Coming], None]] = []

    def connected(self, client_id: str, remote: str, detail: str, name: str = "") -> None:
        self._note(self._events, CONNECTED, client_id, remote, detail, name)

    def disconnected(self, client_id: str, remote: str, detail: str, name: str = "") -> None:
        self._note(self._events, DISCONNECTED, client_id, remote, detail, name)

    def refused(self, client_id: str, remote: str, detail: str, name: str = "") -> None:
        """`remote` with a port or without: a host that tries again soon is not noted again."""
        now = self._clock()
        key = remote.rpartition(":")[0] or remote, detail
        if now - self._last_refused.get(key, -SAME_SECONDS) < SAME_SECONDS:
            return
        self._last_refused.pop(key, None)  # put back at the young end
        while len(self._last_refused) >= MOST_REFUSED:
            del self._last_refused[next(iter(self._last_refused))]
        self._last_refused[key] = now
        self._note(self._refused, REFUSED, client_id, remote, detail, name)

    def listing(self) -> list[Coming]:
        """All that is remembered, the newest first."""
        return sorted((*self._events, *self._refused), key=lambda coming: coming.at, reverse=True)

    def _note(self, events: deque[Coming], kind: str, client_id: str, remote: str, detail: str, name: str) -> None:
        coming = Coming(datetime.now().astimezone(), kind, client_id, remote, detail[:MOST_DETAIL], name)
        events.append(coming)
        for call in self.on_coming:
            call(coming)
