"""The time of day is written once a second."""

from __future__ import annotations

import pytest

from appliance.transport import clock


def test_date_now(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 784111777.2
    monkeypatch.setattr(clock.time, "time", lambda: now)
    first = clock.date_now()
    assert first == b"Sun, 06 Nov 1994 08:49:37 GMT"
    now += 0.7
    assert clock.date_now() is first
    now += 0.2
    assert clock.date_now() == b"Sun, 06 Nov 1994 08:49:38 GMT"
