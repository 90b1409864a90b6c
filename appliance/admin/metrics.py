"""The server's numbers in Prometheus' words, read from its state at each scrape: nothing is kept here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, cast

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

from appliance.transport.tasks import crashes
from appliance.tunnel.counters import BUCKETS, HttpCounters, Series, SeriesKey

if TYPE_CHECKING:
    from appliance.server.state import ServerState

# Writing out 2,000 series takes a tenth of a second: after so many, visitors get their turn.
SERIES_AT_ONCE = 50

_BOUNDS = [*map(floatToGoString, BUCKETS), "+Inf"]
_LABELS = ("code", "host", "method")

SamplesOf = Callable[[SeriesKey, Series], Iterable[Sample]]


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
        if state.mode == "http":
            yield from _requests(state.http)
        yield from _data_plane(state.http)
        yield _counter("sluice_task_crashes", "Greenlets that ended unexpectedly.", crashes.count)
        yield _labelled(
            GaugeMetricFamily(
                "sluice_certificate_expiry_timestamp_seconds",
                "When a certificate ends, in Unix time.",
                labels=["certificate"],
            ),
            state.certificate_expiry.items(),
        )


def _control_plane(state: ServerState) -> Iterator[Metric]:
    sessions = state.sessions()
    yield GaugeMetricFamily(f"{state.mode}_controlplane_connected_gauge", "Clients connected now.", value=len(sessions))
    requests = CounterMetricFamily(
        f"{state.mode}_controlplane_requests", "Requests to the control plane.", labels=["code", "path"]
    )
    for (path, code), count in state.control.requests.items():
        requests.add_metric([str(code), path], count)
    yield requests
    yield _labelled(
        GaugeMetricFamily("sluice_streams", "Streams of all clients, by what they do.", labels=["state"]),
        [
            ("idle", sum(session.streams_idle for session in sessions)),
            ("used", sum(session.streams_used for session in sessions)),
        ],
    )
    yield _counter("sluice_reconnects", "Clients that came back.", state.control.reconnects)
    yield _counter("sluice_controlplane_denied", "Requests with a wrong token or none.", state.guard.denied)


def _data_plane(http: HttpCounters) -> Iterator[Metric]:
    yield _labelled(
        CounterMetricFamily("sluice_dataplane_bytes", "Bytes in from visitors, out to them.", labels=["direction"]),
        [("in", http.bytes_in), ("out", http.bytes_out)],
    )
    yield GaugeMetricFamily("sluice_dataplane_connections_open", "Visitors connected now.", value=http.connections_open)
    yield _counter("sluice_dataplane_connections", "Visitors' connections accepted.", http.connections_total)
    yield _labelled(
        CounterMetricFamily("sluice_dataplane_refused", "Visitors turned away.", labels=["reason"]),
        http.refused.items(),
    )


def _requests(http: HttpCounters) -> Iterator[Metric]:
    total = CounterMetricFamily("http_dataplane_requests", "Visitors' requests answered.", labels=_LABELS)
    total.samples = _paced(http, _count_samples)
    yield total
    seconds = HistogramMetricFamily(
        "http_dataplane_request_duration_seconds",
        "How long visitors' requests took.",
        labels=_LABELS,
    )
    seconds.samples = _paced(http, _duration_samples)
    yield seconds


class _PacedSamples:
    """Samples made one series at a time while they are written out, with pauses in which others run."""

    def __init__(self, http: HttpCounters, samples_of: SamplesOf) -> None:
        self._http = http
        self._samples_of = samples_of

    def __iter__(self) -> Iterator[Sample]:
        for done, (key, row) in enumerate(list(self._http.series.items()), 1):
            yield from self._samples_of(key, row)
            if done % SERIES_AT_ONCE == 0:
                gevent.sleep(0)


def _paced(http: HttpCounters, samples_of: SamplesOf) -> list[Sample]:
    # The families are declared to hold a list, and are only ever iterated over.
    return cast("list[Sample]", _PacedSamples(http, samples_of))


def _count_samples(key: SeriesKey, row: Series) -> Iterator[Sample]:
    yield Sample("http_dataplane_requests_total", _labels(key), sum(row[:-1]))


def _duration_samples(key: SeriesKey, row: Series) -> Iterator[Sample]:
    name, labels = "http_dataplane_request_duration_seconds", _labels(key)
    # Copied first: the row must not grow between its buckets and its count.
    *counts, seconds = row
    totals = list(accumulate(counts))
    for bound, count in zip(_BOUNDS, totals, strict=True):
        yield Sample(name + "_bucket", {**labels, "le": bound}, count)
    yield Sample(name + "_count", labels, totals[-1])
    yield Sample(name + "_sum", labels, seconds)


def _labels(key: SeriesKey) -> dict[str, str]:
    host, method, code = key
    return {"code": str(code), "host": host, "method": method}


def _counter(name: str, help_text: str, value: float) -> Metric:
    return CounterMetricFamily(name, help_text, value=value)


def _labelled(family: CounterMetricFamily | GaugeMetricFamily, values: Iterable[tuple[str, float]]) -> Metric:
    for label, value in values:
        family.add_metric([label], value)
    return family
