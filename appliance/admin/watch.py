"""The one greenlet that looks at the counters: each second while somebody watches, else now and then."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gevent.event import Event

from appliance.admin.broadcast import Broadcast
from appliance.admin.health import Rates
from appliance.admin.history import History
from appliance.admin.readings import NameReadings, read
from appliance.transport import tasks

if TYPE_CHECKING:
    from appliance.server.state import ServerState

WATCHED_SECONDS = 1.0
UNWATCHED_SECONDS = 5.0
LOOKED_SECONDS = 30.0  # so long after a request for numbers somebody is taken to watch


class Watch:
    """What the pages know of the past. Works without `start`, from the requests for it alone."""

    def __init__(self, state: ServerState, broadcast: Broadcast) -> None:
        self.history = History(lambda: read(state))
        self.names = NameReadings(state.http)
        self.rates = Rates(state)
        self._broadcast = broadcast
        self._wake = Event()
        self._stopped = False
        broadcast.on_first = self._wake.set

    def start(self) -> None:
        tasks.spawn("watch", self._run)

    def stop(self) -> None:
        """And let no page listen any longer: its connection would keep the server from ending."""
        self._stopped = True
        self._wake.set()
        self._broadcast.close()

    def look(self) -> None:
        """As one round of the greenlet does."""
        self.history.sample()
        self.names.note()
        self.rates.note()
        if self._broadcast.wanted("sample"):
            self._broadcast.publish("sample", self.history.now())

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stopped:
            self.look()
            watched = len(self._broadcast) or time.monotonic() - self.history.looked_at < LOOKED_SECONDS
            due = max(time.monotonic(), due + (WATCHED_SECONDS if watched else UNWATCHED_SECONDS))
            self._wake.wait(max(0.05, due - time.monotonic()))
            if self._wake.is_set():
                self._wake.clear()
                due = time.monotonic()
