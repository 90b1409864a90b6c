"""The time of day as HTTP writes it, made once a second."""

from __future__ import annotations

import time

from appliance.wire.dates import http_date

_this_second: tuple[int, bytes] = (0, b"")


def date_now() -> bytes:
    """The Date field's value."""
    global _this_second
    now = int(time.time())
    if _this_second[0] != now:
        _this_second = (now, http_date(now))
    return _this_second[1]
