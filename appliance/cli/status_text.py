"""The answer of ``GET /status`` as text for people. Pure: what is now is an argument."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from appliance.cli.tables import shown, table

_HEADINGS = ("Client ID", "Remote Address", "Connected", "Upstreams")
_WIDTHS = (32, 20, 10, 0)  # at least: columns stay where they are while clients come and go

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
# From this many seconds on, ages are counted in this unit. Weeks begin at two, months at sixty days.
_UNITS = (
    (730 * _DAY, 365 * _DAY, "year"),
    (60 * _DAY, 30 * _DAY, "month"),
    (14 * _DAY, 7 * _DAY, "week"),
    (_DAY, _DAY, "day"),
    (_HOUR, _HOUR, "hour"),
    (_MINUTE, _MINUTE, "minute"),
    (1, 1, "second"),
)


def render(answer: Mapping[str, Any], now: datetime) -> str:
    """The whole text, without a newline at its end. Missing fields show as "unknown"."""
    info, clients = answer["info"], answer["clients"]
    lines = [
        "Server info:",
        f"Hostname:       {shown(info.get('hostname'))}",
        f"Process uptime: {since(info.get('startTime'), now, ' ago')}",
        f"Mode:           {shown(info.get('mode'))}",
        f"Version:        {shown(info.get('version'))} {shown(info.get('sha'))}",
        "",
        "Connected clients:",
        *(
            table(_HEADINGS, [_row(client, now) for client in clients], _WIDTHS)
            if clients
            else ["No clients connected."]
        ),
    ]
    return "\n".join(lines)


def spoken_age(age: timedelta) -> str:
    """ "5 minutes", "1 day": the largest unit, rounded down."""
    seconds = age.total_seconds()
    for least, unit_seconds, unit in _UNITS:
        if seconds >= least:
            count = int(seconds // unit_seconds)
            return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    return "Less than a second"


def _row(client: Mapping[str, Any], now: datetime) -> tuple[str, ...]:
    upstreams = ", ".join(shown(upstream) for upstream in client.get("upstreams") or ())
    return (
        shown(client.get("clientID")),
        shown(client.get("remoteAddr")),
        since(client.get("since"), now),
        upstreams,
    )


def since(moment: Any, now: datetime, suffix: str = "") -> str:
    """How long ago that is; "unknown" for what is no time."""
    try:
        return spoken_age(now - datetime.fromisoformat(moment)) + suffix
    except (TypeError, ValueError):
        return "unknown"
