"""The one timer behind all waits."""

from __future__ import annotations

import logging
import subprocess
import sys
import time

import pytest

from appliance.transport.connection import TimedOut
from appliance.transport.reaper import TICK_SECONDS, Reaper
from tests.stage.process import ROOT
from tests.transport.wires import Wires, in_hub, until


class Watched:
    deadline = 0.0

    def __init__(self, error: Exception | None = None) -> None:
        self.looks: list[float] = []
        self._error = error

    def check(self, now: float) -> None:
        self.looks.append(now)
        if self._error is not None:
            raise self._error


def test_it_looks_at_all_again_and_again_until_they_are_discarded() -> None:
    reaper = Reaper()
    first, second = Watched(), Watched()
    reaper.add(first)
    reaper.add(second)
    reaper.add(second)
    assert len(reaper) == 2
    until(lambda: len(second.looks) == 2)
    assert len(first.looks) == 2
    assert second.looks[1] - second.looks[0] == pytest.approx(TICK_SECONDS, abs=0.3)
    assert second.looks[1] <= time.monotonic()
    reaper.discard(second)
    reaper.discard(second)
    in_hub(reaper._tick)
    assert (len(first.looks), len(second.looks)) == (3, 2)
    reaper._timer.stop()


def test_one_that_cannot_be_looked_at_does_not_keep_it_from_the_others(caplog: pytest.LogCaptureFixture) -> None:
    reaper = Reaper()
    watched = [Watched(ValueError("broken")), Watched(), Watched()]
    for each in watched:
        reaper.add(each)
    reaper._timer.stop()
    in_hub(reaper._tick)
    assert [len(each.looks) for each in watched] == [1, 1, 1]
    [record] = caplog.records
    assert record.levelno == logging.ERROR


def test_a_deadline_is_kept_to_within_a_tick(wires: Wires) -> None:
    near, _ = wires.connection()
    began = time.monotonic()
    near.deadline = began + 0.1
    with pytest.raises(TimedOut):
        near.read()
    assert 0.1 < time.monotonic() - began < 0.1 + 2 * TICK_SECONDS + 0.5


def test_it_keeps_no_process_running() -> None:
    program = (
        "import socket, gevent\n"
        "from appliance.transport.connection import Connection\n"
        "near, far = socket.socketpair()\n"
        "connection = Connection(near, 'unix')\n"
        "gevent.get_hub().join(timeout=None)\n"
        "print('ended')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout == "ended\n"
