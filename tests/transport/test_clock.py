"""The time of day as HTTP writes it."""

from __future__ import annotations

import time

from appliance.transport.clock import date_now
from appliance.wire.dates import parse_http_date


def test_now() -> None:
    seconds = parse_http_date(date_now().decode(), time.gmtime().tm_year)
    assert seconds is not None
    assert abs(seconds - time.time()) < 5
