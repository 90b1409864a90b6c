"""A list of certificates as text for people. Pure: what is now is an argument."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from appliance.cli.tables import shown, table

_HEADINGS = ("Plane", "From", "Expires", "Renews", "Issuer", "Names")
_WIDTHS = (7, 9, 20, 20, 16, 0)
_LATE_HEADINGS = ("Name", "In use until", "Tried", "Next try", "Why")
_LATE_WIDTHS = (12, 20, 8, 20, 0)


def render(
    authority: Mapping[str, Any] | None,
    certificates: Sequence[Mapping[str, Any]],
    late: Sequence[Mapping[str, Any]],
    now: datetime,
) -> str:
    """The whole text, without a newline at its end. ``authority``: the control plane's own, if it has one; ``late``:
    names that want a certificate and have not got it."""
    lines = []
    if authority is not None:
        lines += ["Authority of the control plane:", f"Fingerprint: sha256:{shown(authority.get('fingerprint'))}"]
        if authority.get("expires"):
            lines.append(f"Expires:     {_when(authority['expires'], now)}")
        lines.append("")
    lines.append("Certificates:")
    if certificates:
        lines += table(_HEADINGS, [_row(one, now) for one in certificates], _WIDTHS)
    else:
        lines.append("None yet.")
    if late:
        lines += ["", "Waiting for a new one:"]
        lines += table(_LATE_HEADINGS, [_late_row(one) for one in late], _LATE_WIDTHS)
    return "\n".join(lines)


def _row(one: Mapping[str, Any], now: datetime) -> tuple[str, ...]:
    names = one.get("names") or [one.get("name")]
    return (
        shown(one.get("plane")),
        shown(one.get("source")),
        _when(one.get("expires"), now),
        _when(one.get("renews"), None) if one.get("renews") else "-",
        shown(one.get("issuer")),
        ", ".join(map(shown, names)),
    )


def _late_row(one: Mapping[str, Any]) -> tuple[str, ...]:
    times = one.get("failures")
    tried = f"{times} times" if isinstance(times, int) and times > 1 else "once" if times else "not yet"
    return (
        shown(one.get("name")),
        _when(one["expires"], None) if one.get("expires") else "none yet",
        tried,
        _when(one["nextTry"], None) if one.get("nextTry") else "now",
        shown(one["reason"]) if one.get("reason") else "-",
    )


def _when(moment: Any, now: datetime | None) -> str:
    """ "2027-11-22 11:20 UTC"; of an end that has passed, that it has. ``now`` None: of what else there is no end."""
    try:
        time = datetime.fromisoformat(moment).astimezone(timezone.utc)
    except (TypeError, ValueError):
        return "unknown"
    text = time.strftime("%Y-%m-%d %H:%M UTC")
    return f"{text} (over)" if now is not None and time <= now else text
