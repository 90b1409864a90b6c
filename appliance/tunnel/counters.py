"""What is counted, as plain numbers: no locks (one thread), no metrics library. `admin.metrics` reads them.

Visitors choose methods, and upstreams choose status codes: neither may grow the tables without limit.
"""

from bisect import bisect_left
from dataclasses import dataclass, field

# Seconds: Prometheus' usual spread, finer at the start, where a tunnel is, and longer for slow upstreams.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

# RFC 9110 section 9.1 and RFC 5789.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
OTHER_METHOD = "OTHER"
DEFAULT_HOST = "*"
UNKNOWN_HOST = "unknown"  # names that no client offers: visitors make them up

# Each series is 19 lines of a scrape. Further ones are summed up under OVERFLOW_HOST by class of code.
MAX_SERIES = 2000
OVERFLOW_HOST = "overflow"

CONTROL_PATHS = frozenset(
    {"/", "/connect", "/stream", "/status", "/metrics", "/healthz", "/readyz", "/.well-known/ca.crt"}
)
OTHER_PATH = "other"

# Why visitors are turned away. Shown with 0 from the start: the first one must be seen as an increase.
ANY_REFUSALS = ("address not allowed", "malformed PROXY header", "forward not allowed")
HTTP_REFUSALS = ("unknown name", "malformed request", "slow visitor", "loop", "TLS not agreed on", "not TLS")
TCP_REFUSALS = ("no stream", "stream lost", "not offered", "not allowed", "target not reached", "visitor left", "loop")
# As (path, code); shown from the start for the same reason.
CONTROL_ADMISSIONS = (("/connect", 101), ("/connect", 401), ("/connect", 403), ("/stream", 101), ("/stream", 401))

# (host, method, code)
SeriesKey = tuple[str, str, int]
# How many requests fell into each of BUCKETS, how many took longer, and the sum of their seconds.
Series = list[float]
# Names whose answers' beginnings are told apart; those of further ones are summed up under OVERFLOW_HOST.
MAX_WAITS = 2000


class HttpCounters:
    """The data plane's requests and bytes. Requests go through `observe`, numbers are simply added to."""

    __slots__ = (
        "_rows",
        "_waits",
        "bytes_in",
        "bytes_out",
        "connections_open",
        "connections_total",
        "refused",
        "series",
        "waits",
    )

    def __init__(self) -> None:
        self.series: dict[SeriesKey, Series] = {}
        # The same lists, under what `observe` is called with as well: the default host comes as "".
        self._rows: dict[SeriesKey, Series] = {}
        # By host: how long answers took to begin. An event stream or a download lasts, and is not slow for that.
        self.waits: dict[str, Series] = {}
        self._waits: dict[str, Series] = {}
        self.bytes_in = 0  # from visitors to upstreams
        self.bytes_out = 0
        self.connections_open = 0
        self.connections_total = 0
        self.refused: dict[str, int] = {}

    def observe(self, host: str, method: str, code: int, seconds: float, wait: float | None = None) -> None:
        """Count one request. ``host`` is an advertised pattern ("" for the default one) or a fixed word; ``seconds``
        it took in all, ``wait`` until its answer began: None where no upstream was asked."""
        row = self._rows.get((host, method, code))
        if row is None:
            row = self._open(host, method, code)
        row[bisect_left(BUCKETS, seconds)] += 1
        row[-1] += seconds
        if wait is not None:
            row = self._waits.get(host)
            if row is None:
                row = self._open_wait(host)
            row[bisect_left(BUCKETS, wait)] += 1
            row[-1] += wait

    def refuse(self, reason: str) -> None:
        """Count one visitor turned away; ``reason`` is one of the edge's own few words."""
        self.refused[reason] = self.refused.get(reason, 0) + 1

    def _open_wait(self, host: str) -> Series:
        if host not in self.waits and len(self.waits) >= MAX_WAITS:
            return self.waits.setdefault(OVERFLOW_HOST, _new_series())
        row = self._waits[host] = self.waits.setdefault(host or DEFAULT_HOST, _new_series())
        return row

    def _open(self, host: str, method: str, code: int) -> Series:
        known = method in METHODS or method == OTHER_METHOD
        key = (host or DEFAULT_HOST, method if known else OTHER_METHOD, code)
        row = self.series.get(key)
        if row is None and len(self.series) >= MAX_SERIES:
            key = (OVERFLOW_HOST, OTHER_METHOD, code - code % 100)
            return self.series.setdefault(key, _new_series())
        if row is None:
            row = self.series[key] = _new_series()
        if known:
            self._rows[host, method, code] = row
        return row


def _new_series() -> Series:
    return [0] * (len(BUCKETS) + 1) + [0.0]


@dataclass(slots=True)
class PortSeries:
    """One port's connections and bytes: from visitors to upstreams and back."""

    open: int = 0
    total: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


class TcpCounters:
    """The TCP data plane. Ports are 65,535 at the most, and only those that clients were allowed to offer."""

    __slots__ = ("ports", "refused")

    def __init__(self) -> None:
        self.ports: dict[int, PortSeries] = {}
        self.refused: dict[str, int] = {}

    def port(self, number: int) -> PortSeries:
        series = self.ports.get(number)
        if series is None:
            series = self.ports[number] = PortSeries()
        return series

    def refuse(self, reason: str) -> None:
        """Count one visitor turned away; ``reason`` is one of the edge's own few words."""
        self.refused[reason] = self.refused.get(reason, 0) + 1


@dataclass(slots=True)
class ControlCounters:
    """The control plane's requests and reconnects. Denials are counted by `server.access.TokenGuard`."""

    requests: dict[tuple[str, int], int] = field(default_factory=dict)
    reconnects: int = 0

    def count(self, path: str, code: int) -> None:
        """Count one request by path and status code; paths that are not ours are one."""
        key = (path if path in CONTROL_PATHS else OTHER_PATH, code)
        self.requests[key] = self.requests.get(key, 0) + 1
