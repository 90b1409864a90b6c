"""One timer for every wait: ends waits past their deadline, and those whose other side has hung up.

A timer per read would cost more than the read. Deadlines are looked at every TICK_SECONDS, so they are kept to
within that.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Protocol

from gevent import get_hub

TICK_SECONDS = 0.4

log = logging.getLogger("sluice.reaper")


class Waiting(Protocol):
    """What the reaper looks at."""

    deadline: float

    def check(self, now: float) -> None:
        """End this connection's wait if it is due; called from the hub, so it must not wait."""


class Reaper:
    """Looks at every connection that is open in this hub."""

    def __init__(self) -> None:
        self._watched: set[Waiting] = set()
        self._timer: Any = None

    def add(self, connection: Waiting) -> None:
        self._watched.add(connection)
        if self._timer is None:
            # Not a reason to keep a process running that has nothing else to wait for.
            self._timer = get_hub().loop.timer(TICK_SECONDS, TICK_SECONDS, ref=False)
            self._timer.start(self._tick)

    def discard(self, connection: Waiting) -> None:
        self._watched.discard(connection)

    def __len__(self) -> int:
        return len(self._watched)

    def _tick(self) -> None:
        now = time.monotonic()
        for connection in tuple(self._watched):
            try:
                connection.check(now)
            except Exception:
                log.exception("a connection could not be checked")


reaper = Reaper()
