"""The server's numbers in Prometheus' words, read from its state at each scrape: nothing is kept here."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Generic, TypeVar, cast

import gevent
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

from appliance.admin import presence
from appliance.transport.tasks import crashes
from appliance.tunnel.counters import (
    ANY_REFUSALS,
    BUCKETS,
    CONTROL_ADMISSIONS,
    HTTP_REFUSALS,
    TCP_REFUSALS,
    HttpCounters,
    PortSeries,
    Series,
    SeriesKey,
    TcpCounters,
)

if TYPE_CHECKING:
    from appliance.certificates.material import Material
    from appliance.server.state import ServerState

# Writing out 2,000 series takes a tenth of a second: after so many, visitors get their turn.
SERIES_AT_ONCE = 50

_BOUNDS = [*map(floatToGoString, BUCKETS), "+Inf"]
_LABELS = ("code", "host", "method")

Key = TypeVar("Key")
Row = TypeVar("Row")


def create_registry(state: ServerState) -> CollectorRegistry:
    """A registry of this server's own, with the process, platform and garbage collectors."""
    registry = CollectorRegistry(auto_describe=True)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    registry.register(StateCollector(state))
    return registry


class StateCollector(Collector):
    """Names and labels are a contract with dashboards; ``sluice_`` leads those that are ours alone."""

    def __init__(self, state: ServerState) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        state = self._state
        build = {"version": state.version, "sha": state.sha, "mode": state.mode}
        yield InfoMetricFamily("sluice_build", "Which program this is.", value=build)
        yield from _control_plane(state)
        planes = _planes(state)
        if "http" in planes:
            yield from _requests(state.http)
        if "tcp" in planes:
            yield from _ports(state.tcp)
        yield from _data_plane(planes, state.http, state.tcp)
        if state.capacity is not None:
            yield GaugeMetricFamily(
                "sluice_dataplane_connections_limit",
                "Visitors' connections that there may be at once; further ones wait.",
                value=state.capacity.most or math.inf,
            )
        yield _counter("sluice_task_crashes", "Greenlets that ended unexpectedly.", crashes.count)
        yield from _certificates(state)


def _planes(state: ServerState) -> list[str]:
    """Which data planes there are: "http", "tcp", or both."""
    return state.mode.split("+")


def _control_plane(state: ServerState) -> Iterator[Metric]:
    sessions = state.sessions()
    for plane in _planes(state):  # one control plane, under the name that the dashboards of each kind know
        yield GaugeMetricFamily(f"{plane}_controlplane_connected_gauge", "Clients connected now.", value=len(sessions))
        requests = CounterMetricFamily(
            f"{plane}_controlplane_requests", "Requests to the control plane.", labels=["code", "path"]
        )
        counted = dict.fromkeys(CONTROL_ADMISSIONS, 0) | state.control.requests
        for (path, code), count in counted.items():
            requests.add_metric([str(code), path], count)
        yield requests
    yield _labelled(
        GaugeMetricFamily("sluice_streams", "Streams of all clients, by what they do.", labels=["state"]),
        [
            ("idle", sum(session.streams_idle for session in sessions)),
            ("used", sum(session.streams_used for session in sessions)),
        ],
    )
    yield presence.versions(sessions)
    yield presence.missed(sessions)
    clients = GaugeMetricFamily(
        "sluice_route_clients", "Clients that serve a name or port now.", labels=["kind", "route"]
    )
    clients.samples = _paced(presence.routes(state), presence.route_samples)
    yield clients
    yield _counter("sluice_reconnects", "Clients that came back.", state.control.reconnects)
    yield _counter("sluice_controlplane_denied", "Requests with a wrong token or none.", state.guard.denied)


def _refusals(planes: list[str], http: HttpCounters, tcp: TcpCounters) -> dict[str, int]:
    found = dict.fromkeys(ANY_REFUSALS, 0)
    for plane, known, counted in (("http", HTTP_REFUSALS, http.refused), ("tcp", TCP_REFUSALS, tcp.refused)):
        if plane in planes:
            for reason in {*known, *counted}:
                found[reason] = found.get(reason, 0) + counted.get(reason, 0)
    return found


def _data_plane(planes: list[str], http: HttpCounters, tcp: TcpCounters) -> Iterator[Metric]:
    """Of both kinds together."""
    ports = tcp.ports.values()
    yield _labelled(
        CounterMetricFamily("sluice_dataplane_bytes", "Bytes in from visitors, out to them.", labels=["direction"]),
        [
            ("in", http.bytes_in + sum(port.bytes_in for port in ports)),
            ("out", http.bytes_out + sum(port.bytes_out for port in ports)),
        ],
    )
    yield GaugeMetricFamily(
        "sluice_dataplane_connections_open",
        "Visitors connected now.",
        value=http.connections_open + sum(port.open for port in ports),
    )
    total = http.connections_total + sum(port.total for port in ports)
    yield _counter("sluice_dataplane_connections", "Visitors' connections accepted.", total)
    yield _labelled(
        CounterMetricFamily("sluice_dataplane_refused", "Visitors turned away.", labels=["reason"]),
        _refusals(planes, http, tcp).items(),
    )


def _certificates(state: ServerState) -> Iterator[Metric]:
    """By the first name of each; of several for the same name the one that is good for longest, for that is in use."""
    ends = GaugeMetricFamily(
        "certificate_expiry_timestamp_seconds", "When a certificate ends, in Unix time.", labels=["name", "plane"]
    )
    lives = GaugeMetricFamily(
        "sluice_certificate_lifetime_seconds",
        "How long a certificate is good for from first to last.",
        labels=["name", "plane"],
    )
    in_use: dict[tuple[str, str], Material] = {}
    for plane, material in state.certificates():
        key = material.name, plane
        if key not in in_use or material.expires > in_use[key].expires:
            in_use[key] = material
    for labels, material in in_use.items():
        ends.add_metric(list(labels), material.expires.timestamp())
        lives.add_metric(list(labels), (material.expires - material.begins).total_seconds())
    yield ends
    yield lives
    yield _labelled(
        GaugeMetricFamily(
            "sluice_certificate_failed_orders",
            "Orders in a row that brought no new certificate, of names that want one.",
            labels=["name"],
        ),
        [(late.name, late.failures) for late in state.overdue()],
    )


def _requests(http: HttpCounters) -> Iterator[Metric]:
    total = CounterMetricFamily("http_dataplane_requests", "Visitors' requests answered.", labels=_LABELS)
    total.samples = _paced(http.series, _count_samples)
    yield total
    seconds = HistogramMetricFamily(
        "http_dataplane_request_duration_seconds",
        "How long visitors' requests took.",
        labels=_LABELS,
    )
    seconds.samples = _paced(http.series, _duration_samples)
    yield seconds
    waits = HistogramMetricFamily(
        "sluice_http_first_byte_seconds",
        "How long answers took to begin, from the end of the request.",
        labels=["host"],
    )
    waits.samples = _paced(http.waits, _wait_samples)
    yield waits


def _ports(tcp: TcpCounters) -> Iterator[Metric]:
    gauge = GaugeMetricFamily("tcp_dataplane_connections_gauge", "Connections open now, by port.", labels=["port"])
    gauge.samples = _paced(tcp.ports, _open_samples)
    yield gauge
    total = CounterMetricFamily("tcp_dataplane_connections", "Connections accepted, by port.", labels=["port"])
    total.samples = _paced(tcp.ports, _total_samples)
    yield total
    carried = CounterMetricFamily(
        "sluice_tcp_bytes", "Bytes of connections that have ended, by port.", labels=["direction", "port"]
    )
    carried.samples = _paced(tcp.ports, _byte_samples)
    yield carried


class _PacedSamples(Generic[Key, Row]):
    """Samples made one series at a time while they are written out, with pauses in which others run."""

    def __init__(self, table: dict[Key, Row], samples_of: Callable[[Key, Row], Iterable[Sample]]) -> None:
        self._table = table
        self._samples_of = samples_of

    def __iter__(self) -> Iterator[Sample]:
        for done, (key, row) in enumerate(list(self._table.items()), 1):
            yield from self._samples_of(key, row)
            if done % SERIES_AT_ONCE == 0:
                gevent.sleep(0)


def _paced(table: dict[Key, Row], samples_of: Callable[[Key, Row], Iterable[Sample]]) -> list[Sample]:
    # The families are declared to hold a list, and are only ever iterated over.
    return cast("list[Sample]", _PacedSamples(table, samples_of))


def _count_samples(key: SeriesKey, row: Series) -> Iterator[Sample]:
    yield Sample("http_dataplane_requests_total", _labels(key), sum(row[:-1]))


def _duration_samples(key: SeriesKey, row: Series) -> Iterator[Sample]:
    return _histogram("http_dataplane_request_duration_seconds", _labels(key), row)


def _wait_samples(host: str, row: Series) -> Iterator[Sample]:
    return _histogram("sluice_http_first_byte_seconds", {"host": host}, row)


def _histogram(name: str, labels: dict[str, str], row: Series) -> Iterator[Sample]:
    # Copied first: the row must not grow between its buckets and its count.
    *counts, seconds = row
    totals = list(accumulate(counts))
    for bound, count in zip(_BOUNDS, totals, strict=True):
        yield Sample(name + "_bucket", {**labels, "le": bound}, count)
    yield Sample(name + "_count", labels, totals[-1])
    yield Sample(name + "_sum", labels, seconds)


def _open_samples(port: int, row: PortSeries) -> Iterator[Sample]:
    yield Sample("tcp_dataplane_connections_gauge", {"port": str(port)}, row.open)


def _total_samples(port: int, row: PortSeries) -> Iterator[Sample]:
    yield Sample("tcp_dataplane_connections_total", {"port": str(port)}, row.total)


def _byte_samples(port: int, row: PortSeries) -> Iterator[Sample]:
    for direction, count in (("in", row.bytes_in), ("out", row.bytes_out)):
        yield Sample("sluice_tcp_bytes_total", {"direction": direction, "port": str(port)}, count)


def _labels(key: SeriesKey) -> dict[str, str]:
    host, method, code = key
    return {"code": str(code), "host": host, "method": method}


def _counter(name: str, help_text: str, value: float) -> Metric:
    return CounterMetricFamily(name, help_text, value=value)


def _labelled(family: CounterMetricFamily | GaugeMetricFamily, values: Iterable[tuple[str, float]]) -> Metric:
    for label, value in values:
        family.add_metric([label], value)
    return family
