"""HTTP dates (RFC 9110 5.6.7): written in the one form, read in all three. English whatever the locale is."""

from __future__ import annotations

import re
from datetime import datetime, timezone

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_clock = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_month = "(?P<month>" + "|".join(_MONTHS) + ")"
_forms = (
    re.compile(rf"(?:{'|'.join(_DAYS)}), (?P<day>\d\d) {_month} (?P<year>\d{{4}}) {_clock} GMT", re.ASCII),
    re.compile(rf"[MTWFS][a-z]{{5,8}}, (?P<day>\d\d)-{_month}-(?P<year>\d\d) {_clock} GMT", re.ASCII),
    re.compile(rf"(?:{'|'.join(_DAYS)}) {_month} (?P<day>[ \d]\d) {_clock} (?P<year>\d{{4}})", re.ASCII),
)


def http_date(seconds: int) -> bytes:
    """`Sun, 06 Nov 1994 08:49:37 GMT` for a Unix time."""
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return b"%b, %02d %b %04d %02d:%02d:%02d GMT" % (
        _DAYS[moment.weekday()].encode(),
        moment.day,
        _MONTHS[moment.month - 1].encode(),
        moment.year,
        moment.hour,
        moment.minute,
        moment.second,
    )


def parse_http_date(text: str, this_year: int) -> int | None:
    """Unix time of a date in any of the three forms; None for anything else. `this_year` places two-digit years."""
    for form in _forms:
        match = form.fullmatch(text)
        if match is not None:
            break
    else:
        return None
    year = int(match["year"])
    if len(match["year"]) == 2:
        # RFC 9110 5.6.7: over 50 years ahead means the past century.
        year += this_year - this_year % 100
        if year > this_year + 50:
            year -= 100
    day, hour, minute, second = (int(match[name]) for name in ("day", "hour", "minute", "second"))
    month = _MONTHS.index(match["month"]) + 1
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc)
    except ValueError:
        return None
    return int(moment.timestamp())
