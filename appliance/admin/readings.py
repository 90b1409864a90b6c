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
    """Sums since the start, and what is there now. `buckets`: requests by duration, as tunnel.counters has them."""

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
    buckets = _sums(http.series.values())
    errors = _sums([row for (_, _, code), row in http.series.items() if code >= ERRORS_FROM])
    sessions = state.sessions()
    doors, router = state.doors, state.router
    ports = tcp.ports.values()
    live_in, live_out = doors.under_way() if doors is not None else (0, 0)
    return Reading(
        requests=sum(buckets),
        errors=sum(errors),
        bytes_in=http.bytes_in + sum(port.bytes_in for port in ports) + live_in,
        bytes_out=http.bytes_out + sum(port.bytes_out for port in ports) + live_out,
        buckets=buckets,
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
    """`total`: requests since the start; the rest is of the last minute, None where there was no request."""

    total: int
    per_second: float
    error_rate: float | None
    p95_seconds: float | None


NOTHING = NameReading(0, 0.0, None, None)


class NameReadings:
    """`note` is to be called now and then: it keeps the table as it was half a minute to a minute ago."""

    def __init__(self, http: HttpCounters, clock: Callable[[], float] = time.monotonic) -> None:
        self._http = http
        self._clock = clock
        self._kept: deque[tuple[float, dict[SeriesKey, tuple[float, ...]]]] = deque([(clock(), {})], maxlen=2)

    def note(self) -> None:
        now = self._clock()
        if now - self._kept[-1][0] >= SNAPSHOT_SECONDS:
            self._kept.append((now, {key: tuple(row) for key, row in self._http.series.items()}))

    def by_name(self) -> dict[str, NameReading]:
        """By the name as it is shown."""
        began, before = self._kept[0]
        seconds = max(1.0, self._clock() - began)
        totals: dict[str, float] = defaultdict(float)
        errors: dict[str, float] = defaultdict(float)
        recent: dict[str, list[float]] = {}
        for key, row in self._http.series.items():
            host, _, code = key
            old = before.get(key)
            counts = row[:-1]
            totals[host] += sum(counts)
            if old is not None:
                counts = [new - former for new, former in zip(counts, old, strict=False)]
            count = sum(counts)
            if count:
                sums = recent.get(host)
                recent[host] = counts if sums is None else [a + b for a, b in zip(sums, counts, strict=True)]
                errors[host] += count if code >= ERRORS_FROM else 0
        return {host: _name_reading(total, recent.get(host), errors[host], seconds) for host, total in totals.items()}


def _name_reading(total: float, recent: list[float] | None, errors: float, seconds: float) -> NameReading:
    if recent is None:
        return NameReading(int(total), 0.0, None, None)
    count = sum(recent)
    return NameReading(int(total), count / seconds, errors / count, quantile(0.95, recent))
