"""The greenlet that orders certificates."""

from __future__ import annotations

from typing import Any, cast

import gevent
from gevent.event import Event

from appliance.certificates.renewals import Renewals
from appliance.server.renewing import Renewing

LIMIT = 10.0  # seconds


class Looks:
    """Stands in for the renewals: notes what is asked of it."""

    def __init__(self, pause: float) -> None:
        self.pause = pause
        self.noted: list[str] = []
        self.looked = Event()

    def look(self) -> float:
        self.noted.append("look")
        self.looked.set()
        return self.pause

    def retry_soon(self) -> None:
        self.noted.append("retry")


def renewing(looks: Any) -> Renewing:
    return Renewing(cast(Renewals, looks))


def wait(looks: Looks) -> None:
    with gevent.Timeout(LIMIT):
        looks.looked.wait()
    looks.looked.clear()


def test_it_looks_when_it_said_it_would() -> None:
    looks = Looks(0.001)
    part = renewing(looks)
    part.start()
    for _ in range(3):
        wait(looks)
    part.stop()
    part.stop()
    seen = len(looks.noted)
    gevent.sleep(0.01)
    assert len(looks.noted) == seen


def test_somebody_may_ask_for_another_try() -> None:
    looks = Looks(3600.0)
    part = renewing(looks)
    part.start()
    wait(looks)
    part.retry()
    wait(looks)
    part.stop()
    assert looks.noted == ["look", "retry", "look"]


def test_one_that_was_never_started_can_be_stopped() -> None:
    renewing(Looks(1.0)).stop()
