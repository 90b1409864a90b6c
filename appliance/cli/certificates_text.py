"""A list of certificates as text for people. Pure: what is now is an argument."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from appliance.cli.tables import shown, table

_HEADINGS = ("Plane", "From", "Expires", "Renews", "Issuer", "Names")
_WIDTHS = (7, 9, 20, 20, 16, 0)


def render(authority: Mapping[str, Any] | None, certificates: Sequence[Mapping[str, Any]], now: datetime) -> str:
    """The whole text, without a newline at its end. ``authority``: the control plane's own, if it has one."""
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


def _when(moment: Any, now: datetime | None) -> str:
    """ "2027-11-22 11:20 UTC"; of an end that has passed, that it has. ``now`` None: of what else there is no end."""
    try:
        time = datetime.fromisoformat(moment).astimezone(timezone.utc)
    except (TypeError, ValueError):
        return "unknown"
    text = time.strftime("%Y-%m-%d %H:%M UTC")
    return f"{text} (over)" if now is not None and time <= now else text
