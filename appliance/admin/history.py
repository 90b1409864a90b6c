"""The last minutes and hours as rings of numbers, in memory, of one size for ever."""

from __future__ import annotations

import math
import time
from array import array
from collections import deque
from collections.abc import Callable

from appliance.admin.readings import NO_BUCKETS, Reading, quantile

# The page's ranges: seconds of one step, and how many steps.
RANGES = {"5m": (1, 300), "1h": (10, 360), "6h": (60, 360), "24h": (300, 288)}
SERIES = ("requests", "errors", "p50", "p95", "bytesIn", "bytesOut", "clients", "streams", "connections")
QUANTILE_SECONDS = 10.0  # of a step shorter than this the requests are too few to say anything of their durations

Values = tuple[float, ...]


class Ring:
    """Steps of one length. What nobody looked at is NaN."""

    def __init__(self, step_seconds: int, size: int) -> None:
        self.step_seconds = step_seconds
        self.size = size
        self._columns = [array("d", [math.nan]) * size for _ in SERIES]
        self._next = 0

    def push(self, values: Values, count: int = 1) -> None:
        """The next steps, `count` of them alike."""
        for _ in range(min(count, self.size)):
            for column, value in zip(self._columns, values, strict=True):
                column[self._next] = value
            self._next = (self._next + 1) % self.size

    def columns(self) -> list[list[float | None]]:
        """The oldest first; None where nothing is known."""
        turned = (column[self._next :] + column[: self._next] for column in self._columns)
        return [[None if math.isnan(value) else round(value, 6) for value in column] for column in turned]


class History:
    """`sample` takes a reading; how often is for who calls it: steps that were missed get what was on average in them.

    `clock` is for intervals, `wall` for what is shown.
    """

    def __init__(
        self,
        read: Callable[[], Reading],
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._read = read
        self._clock = clock
        self._wall = wall
        self._began = clock()
        self.last = read()
        self._rings = {name: Ring(*measures) for name, measures in RANGES.items()}
        # Of each ring: how many steps it has, and the reading and time with which its present step began.
        self._marks = dict.fromkeys(RANGES, (0, self.last, self._began))
        self._recent: deque[tuple[float, Reading]] = deque([(self._began, self.last)])
        self._rates: Values = (0.0,) * len(SERIES)
        self.looked_at = -math.inf

    def sample(self) -> None:
        now = self._clock()
        reading = self.last = self._read()
        self._recent.append((now, reading))
        while len(self._recent) > 2 and self._recent[1][0] <= now - QUANTILE_SECONDS:
            self._recent.popleft()
        for name, ring in self._rings.items():
            done, before, since = self._marks[name]
            whole = int((now - self._began) / ring.step_seconds)
            if whole > done:
                values = self._values(before, reading, now - since, ring.step_seconds)
                ring.push(values, whole - done)
                self._marks[name] = whole, reading, now
                if ring.step_seconds == 1:
                    self._rates = values

    def refresh(self) -> None:
        """Somebody looks: nothing that is shown is older than a second."""
        self.looked_at = now = self._clock()
        if now - self._recent[-1][0] >= 1.0:
            self.sample()

    def _values(self, before: Reading, after: Reading, seconds: float, step_seconds: int) -> Values:
        buckets = self._recent[0][1].buckets if step_seconds < QUANTILE_SECONDS else before.buckets
        passed = [new - old for new, old in zip(after.buckets, buckets or NO_BUCKETS, strict=True)]
        return (
            (after.requests - before.requests) / seconds,
            (after.errors - before.errors) / seconds,
            _or_nan(quantile(0.5, passed)),
            _or_nan(quantile(0.95, passed)),
            max(0.0, after.bytes_in - before.bytes_in) / seconds,
            max(0.0, after.bytes_out - before.bytes_out) / seconds,
            after.clients,
            after.streams_used,
            after.connections,
        )

    def now(self) -> dict[str, float | None]:
        """The overview's numbers: rates of the last second or so, durations of the last ten."""
        requests, errors, p50, p95, bytes_in, bytes_out, *_ = self._rates
        last = self.last
        return {
            "clients": last.clients,
            "names": last.names,
            "ports": last.ports,
            "requestsPerSecond": round(requests, 3),
            "errorsPerSecond": round(errors, 3),
            "p50Seconds": _or_none(p50),
            "p95Seconds": _or_none(p95),
            "bytesInPerSecond": round(bytes_in, 1),
            "bytesOutPerSecond": round(bytes_out, 1),
            "streamsIdle": last.streams_idle,
            "streamsUsed": last.streams_used,
            "connections": last.connections,
        }

    def series(self, name: str) -> dict[str, object]:
        """A range for a chart. The last step is the one that ended last."""
        ring = self._rings[name]
        done, _, _ = self._marks[name]
        ended = self._wall() - (self._clock() - self._began - done * ring.step_seconds)
        first = ended - (ring.size - 1) * ring.step_seconds
        return {
            "stepSeconds": ring.step_seconds,
            "times": [round(first + number * ring.step_seconds, 1) for number in range(ring.size)],
            "series": dict(zip(SERIES, ring.columns(), strict=True)),
        }


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)
