"""The server's counters added up at one moment, and what single names did of late. Tables may have 2,000 rows."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.tunnel.counters import BUCKETS, HttpCounters, Series, SeriesKey

if TYPE_CHECKING:
    from appliance.server.state import ServerState

ERRORS_FROM = 500  # a visitor that left (499), or asked for nothing that is there, is no error of ours
SNAPSHOT_SECONDS = 30.0
NO_BUCKETS = (0.0,) * (len(BUCKETS) + 1)


@dataclass(frozen=True, slots=True)
class Reading:
    """Sums since the start, and what is there now. `buckets`: requests by how long their answers took to begin, as
    tunnel.counters has them."""

    requests: float = 0
    errors: float = 0
    bytes_in: float = 0
    bytes_out: float = 0
    buckets: tuple[float, ...] = NO_BUCKETS
    clients: int = 0
    names: int = 0
    ports: int = 0
    streams_idle: int = 0
    streams_used: int = 0
    connections: int = 0


def read(state: ServerState) -> Reading:
    http, tcp = state.http, state.tcp
    requests = _sums(http.series.values())
    errors = _sums([row for (_, _, code), row in http.series.items() if code >= ERRORS_FROM])
    sessions = state.sessions()
    doors, router = state.doors, state.router
    ports = tcp.ports.values()
    live_in, live_out = doors.under_way() if doors is not None else (0, 0)
    return Reading(
        requests=sum(requests),
        errors=sum(errors),
        bytes_in=http.bytes_in + sum(port.bytes_in for port in ports) + live_in,
        bytes_out=http.bytes_out + sum(port.bytes_out for port in ports) + live_out,
        buckets=_sums(http.waits.values()),
        clients=len(sessions),
        names=sum(1 for route in router.routes() if route.members) if router is not None else 0,
        ports=len(doors.open_ports) if doors is not None else 0,
        streams_idle=sum(session.streams_idle for session in sessions),
        streams_used=sum(session.streams_used for session in sessions),
        connections=http.connections_open + sum(port.open for port in ports),
    )


def _sums(rows: Iterable[Series]) -> tuple[float, ...]:
    """By bucket, of all rows."""
    columns = tuple(map(sum, zip(*rows, strict=True)))
    return columns[:-1] or NO_BUCKETS


def quantile(share: float, buckets: Sequence[float]) -> float | None:
    """Seconds that this share of requests took at the most, about: within a bucket they are taken to be spread evenly.
    None where there were none."""
    total = sum(buckets)
    if total <= 0:
        return None
    wanted, seen, lower = share * total, 0.0, 0.0
    for count, bound in zip(buckets, BUCKETS, strict=False):
        if count and seen + count >= wanted:
            return lower + (bound - lower) * (wanted - seen) / count
        seen += count
        lower = bound
    return BUCKETS[-1]  # longer than the last one ends


@dataclass(frozen=True, slots=True)
class NameReading:
    """`total`: requests since the start; the rest is of the last minute, None where there was no request.

    `p95_seconds`: until the answer began.
    """

    total: int
    per_second: float
    error_rate: float | None
    p95_seconds: float | None


NOTHING = NameReading(0, 0.0, None, None)


@dataclass(frozen=True, slots=True)
class _Kept:
    """`counts`, `waits`: as the counters had them at that time, by series and by host."""

    at: float
    counts: dict[SeriesKey, float]
    waits: dict[str, tuple[float, ...]]


class NameReadings:
    """`note` is to be called now and then: it keeps the table as it was half a minute to a minute ago."""

    def __init__(self, http: HttpCounters, clock: Callable[[], float] = time.monotonic) -> None:
        self._http = http
        self._clock = clock
        self._kept: deque[_Kept] = deque([_Kept(clock(), {}, {})], maxlen=2)

    def note(self) -> None:
        now = self._clock()
        if now - self._kept[-1].at >= SNAPSHOT_SECONDS:
            counts = {key: sum(row[:-1]) for key, row in self._http.series.items()}
            self._kept.append(_Kept(now, counts, {host: tuple(row) for host, row in self._http.waits.items()}))

    def by_name(self) -> dict[str, NameReading]:
        """By the name as it is shown."""
        kept = self._kept[0]
        seconds = max(1.0, self._clock() - kept.at)
        totals: dict[str, float] = defaultdict(float)
        recent: dict[str, float] = defaultdict(float)
        errors: dict[str, float] = defaultdict(float)
        for key, row in self._http.series.items():
            host, _, code = key
            count = sum(row[:-1])
            totals[host] += count
            count -= kept.counts.get(key, 0)
            recent[host] += count
            errors[host] += count if code >= ERRORS_FROM else 0
        return {
            host: _name_reading(total, recent[host], errors[host], self._recent_waits(host, kept), seconds)
            for host, total in totals.items()
        }

    def _recent_waits(self, host: str, kept: _Kept) -> list[float]:
        waits = self._http.waits.get(host)
        if waits is None:
            return []
        old = kept.waits.get(host)
        return waits[:-1] if old is None else [new - former for new, former in zip(waits[:-1], old, strict=False)]


def _name_reading(total: float, recent: float, errors: float, waits: list[float], seconds: float) -> NameReading:
    if not recent:
        return NameReading(int(total), 0.0, None, None)
    return NameReading(int(total), recent / seconds, errors / recent, quantile(0.95, waits))
