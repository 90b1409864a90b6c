"""What `sluice status --watch` shows, as lines. Pure: two looks at a server in, text out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from appliance.cli.status_text import spoken_age
from appliance.cli.tables import shown, table
from appliance.cli.terminal import BOLD, DIM, GREEN, RED, YELLOW

COLOURS = {"ok": GREEN, "warning": YELLOW, "error": RED}
_NAME_LETTERS = 24  # of a client's name
_CLIENT_WIDTHS = (12, 12, 21, 7, 9, 9, 7, 0)
_LEAST_ROWS = 2  # of each table, however small the terminal is
_SIZES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))

Things = Sequence[Mapping[str, Any]]


class Line(NamedTuple):
    text: str
    colour: str = ""


@dataclass(frozen=True)
class Look:
    """What the server has answered, and when by our own clock, in seconds."""

    at: float
    overview: Mapping[str, Any]
    clients: Things
    names: Things
    ports: Things


def lines(look: Look, before: Look | None, clock: str, rows: int) -> list[Line]:
    """`before`: the look that rates are counted from; `clock`: the time, as text; `rows`: that there are."""
    passed = look.at - before.at if before is not None else 0.0
    top = [*_head(look, clock), Line(""), *_sums(look), Line("")]
    tables = [found for found in (_names(look, before, passed), _ports(look, before, passed)) if found]
    tables.append(_clients(look, before, passed))
    share = _shares([len(one) - 1 for one in tables], rows - len(top) - 2 * len(tables))
    for one, most in zip(tables, share, strict=True):
        top += [*_cut(one, most), Line("")]
    return top[:-1]


def _head(look: Look, clock: str) -> list[Line]:
    info, health = _part(look.overview, "info"), _part(look.overview, "health")
    up = spoken_age(timedelta(seconds=_number(info.get("uptimeSeconds"))))
    words = (info.get("hostname"), info.get("mode"), info.get("version"), info.get("sha"))
    found = [Line(f"{'  '.join(map(shown, words))}  up {up}  {clock}", BOLD)]
    findings = [one for one in health.get("findings") or () if isinstance(one, Mapping)]
    for one in findings[:3]:
        level = shown(one.get("level"))
        found.append(Line(f"{level}: {shown(one.get('text'))} {shown(one.get('hint'))}", COLOURS.get(level, "")))
    if not findings:
        state = shown(health.get("state"))
        found.append(Line(state, COLOURS.get(state, "")))
    return found


def _sums(look: Look) -> list[Line]:
    now = _part(look.overview, "now")
    first = (
        f"requests {_rate(now.get('requestsPerSecond'))}/s",
        f"errors {_rate(now.get('errorsPerSecond'))}/s",
        f"p50 {_seconds(now.get('p50Seconds'))}",
        f"p95 {_seconds(now.get('p95Seconds'))}",
        f"in {_size(now.get('bytesInPerSecond'))}/s",
        f"out {_size(now.get('bytesOutPerSecond'))}/s",
    )
    second = (
        *(f"{name} {_number(now.get(name)):.0f}" for name in ("clients", "names", "ports", "connections")),
        f"streams {_number(now.get('streamsUsed')):.0f} used, {_number(now.get('streamsIdle')):.0f} idle",
    )
    return [Line("   ".join(first)), Line("   ".join(second))]


def _names(look: Look, before: Look | None, passed: float) -> list[Line]:
    old = {one.get("name"): one for one in before.names} if before is not None else {}
    rows = []
    for one in look.names:
        rate = _change(one, old.get(one.get("name")), "requestsTotal", passed)
        errors = _number(one.get("errorRate"))
        gone = not one.get("clients")
        colour = RED if gone else YELLOW if errors else ""
        cells = (
            shown(one.get("name")),
            _rate(one.get("requestsPerSecond") if rate is None else rate),
            f"{errors:.1%}",
            _seconds(one.get("p95Seconds")),
            f"{_number(one.get('requestsTotal')):.0f}",
            "none" if gone else str(len(one["clients"])),
        )
        rows.append((-(rate or 0.0), cells, colour))
    rows.sort(key=lambda row: row[:2])
    headings = ("Name", "Requests/s", "Errors", "p95", "Total", "Clients")
    return _table(headings, [row[1:] for row in rows], (24, 10, 7, 8, 9, 0))


def _ports(look: Look, before: Look | None, passed: float) -> list[Line]:
    old = {one.get("port"): one for one in before.ports} if before is not None else {}
    rows = []
    for one in look.ports:
        known = old.get(one.get("port"))
        cells = (
            shown(one.get("port")),
            f"{_number(one.get('connectionsOpen')):.0f}",
            f"{_number(one.get('connectionsTotal')):.0f}",
            f"{_size(_change(one, known, 'bytesIn', passed))}/s",
            f"{_size(_change(one, known, 'bytesOut', passed))}/s",
            str(len(one.get("clients") or ())),
        )
        rows.append((cells, "" if one.get("clients") else RED))
    return _table(("Port", "Open", "Total", "In", "Out", "Clients"), rows, (24, 10, 7, 11, 11, 0))


def _clients(look: Look, before: Look | None, passed: float) -> list[Line]:
    if not look.clients:
        return [Line("No clients connected.", YELLOW)]
    old = {one.get("clientId"): one for one in before.clients} if before is not None else {}
    rows = []
    for one in look.clients:
        known = old.get(one.get("clientId"))
        upstreams = [part for part in one.get("upstreams") or () if isinstance(part, Mapping)]
        failing = any(part.get("state") == "failing" for part in upstreams)
        cells = (
            shown(one.get("clientId"))[:12],
            shown(one.get("name") or "-")[:_NAME_LETTERS],
            shown(one.get("remoteAddr")),
            _seconds(one.get("roundTripSeconds")),
            f"{_size(_change(one, known, 'bytesIn', passed))}/s",
            f"{_size(_change(one, known, 'bytesOut', passed))}/s",
            f"{_number(one.get('streamsUsed')):.0f}+{_number(one.get('streamsIdle')):.0f}",
            ", ".join(f"{shown(part.get('offer'))}={shown(part.get('target'))}{_mark(part)}" for part in upstreams),
        )
        rows.append((cells, YELLOW if failing else ""))
    return _table(("Client", "Name", "Address", "RTT", "In", "Out", "Streams", "Upstreams"), rows, _CLIENT_WIDTHS)


def _mark(upstream: Mapping[str, Any]) -> str:
    return " (fails)" if upstream.get("state") == "failing" else ""


def _table(headings: Sequence[str], rows: Sequence[tuple[Sequence[str], str]], least: Sequence[int]) -> list[Line]:
    """Its headings first; nothing where there are no rows."""
    if not rows:
        return []
    first, *others = table(headings, [cells for cells, _ in rows], least)
    return [Line(first, BOLD), *(Line(text, colour) for text, (_, colour) in zip(others, rows, strict=True))]


def _shares(wanted: Sequence[int], rows: int) -> list[int]:
    """How many rows each table has of those that there are: what one does not need is the others'."""
    shares = [0] * len(wanted)
    for done, number in enumerate(sorted(range(len(wanted)), key=lambda number: wanted[number])):
        share = max(_LEAST_ROWS, (rows - sum(shares)) // (len(wanted) - done))
        shares[number] = min(wanted[number], share)
    return shares


def _cut(one: list[Line], most: int) -> list[Line]:
    if len(one) - 1 <= most:
        return one
    return [*one[:most], Line(f"... and {len(one) - most} more", DIM)]


def _part(answer: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = answer.get(name)
    return part if isinstance(part, Mapping) else {}


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _change(now: Mapping[str, Any], before: Mapping[str, Any] | None, name: str, passed: float) -> float | None:
    """A counter's change in a second; None where there is nothing to compare it with."""
    if before is None or passed <= 0:
        return None
    return max(0.0, _number(now.get(name)) - _number(before.get(name))) / passed


def _rate(value: Any) -> str:
    return f"{_number(value):.1f}"


def _seconds(value: Any) -> str:
    if not isinstance(value, int | float):
        return "-"
    return f"{value:.1f} s" if value >= 1 else f"{value * 1000:.0f} ms"


def _size(value: Any) -> str:
    number = _number(value)
    for least, unit in _SIZES:
        if number >= least:
            return f"{number / least:.1f} {unit}"
    return f"{number:.0f} B"


def time_of(moment: datetime) -> str:
    return moment.strftime("%H:%M:%S")
