"""The greenlet in which certificates are ordered and renewed, beside all that serves."""

from __future__ import annotations

import gevent
from gevent.event import Event

from appliance.certificates.overdue import Overdue
from appliance.certificates.renewals import Renewals
from appliance.transport import tasks


class Renewing:
    """`start` once the ports are open: issuers come to look at once."""

    def __init__(self, renewals: Renewals) -> None:
        self._renewals = renewals
        self._wanted = Event()  # somebody asks for another try
        self._task: gevent.Greenlet | None = None

    def start(self) -> None:
        self._task = tasks.spawn("certificates", self._run)

    def overdue(self) -> list[Overdue]:
        """The names that want a certificate and have not got it so far."""
        return self._renewals.overdue()

    def retry(self) -> None:
        """Try soon what was put off."""
        self._wanted.set()

    def stop(self) -> None:
        """An order under way is gone on with after the next start."""
        if self._task is not None:
            self._task.kill()
            self._task = None

    def _run(self) -> None:
        while True:
            if self._wanted.is_set():
                self._wanted.clear()
                self._renewals.retry_soon()
            self._wanted.wait(self._renewals.look())
