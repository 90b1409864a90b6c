"""Counters added up, and what names did of late."""

from typing import Any

import pytest

from appliance.admin.readings import NO_BUCKETS, SNAPSHOT_SECONDS, NameReadings, Reading, quantile, read
from appliance.tunnel.counters import BUCKETS, HttpCounters


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_nothing_yet(state: Any) -> None:
    assert read(state) == Reading()


def test_sums(state: Any, session: Any) -> None:
    state.http.observe("a", "GET", 200, 0.004, 0.002)
    state.http.observe("b", "GET", 502, 0.2, 0.2)
    state.http.observe("b", "POST", 404, 100.0, 100.0)
    state.http.observe("b", "GET", 499, 200.0, 0.2)
    state.http.observe("unknown", "GET", 404, 0.2)
    state.http.bytes_in, state.http.bytes_out, state.http.connections_open = 10, 20, 3
    port = state.tcp.port(22)
    port.bytes_in, port.bytes_out, port.open = 1, 2, 4

    class Doors:
        open_ports = (22, 23)

        def under_way(self) -> tuple[int, int]:
            return 100, 200

    state.doors = Doors()
    state.connected = [session]
    reading = read(state)
    assert (reading.requests, reading.errors) == (5, 1), "what a visitor did wrong is no error"
    assert sum(reading.buckets) == 4 and reading.buckets[-1] == 1
    assert (reading.bytes_in, reading.bytes_out, reading.connections) == (111, 222, 7)
    assert (reading.clients, reading.ports, reading.streams_idle, reading.streams_used) == (1, 2, 8, 2)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.95, 1.0])
def test_a_quantile_lies_in_its_bucket(share: float) -> None:
    buckets = list(NO_BUCKETS)
    buckets[5] = 100
    found = quantile(share, buckets)
    assert found is not None and BUCKETS[4] < found <= BUCKETS[5]


def test_quantiles_of_a_mixture() -> None:
    buckets = list(NO_BUCKETS)
    buckets[0], buckets[6] = 90, 10
    median, p95 = quantile(0.5, buckets), quantile(0.95, buckets)
    assert median is not None and median <= BUCKETS[0]
    assert p95 is not None and BUCKETS[5] < p95 <= BUCKETS[6]
    assert quantile(0.5, NO_BUCKETS) is None
    assert quantile(0.5, [0.0] * len(BUCKETS) + [1]) == BUCKETS[-1]


def test_names_of_the_last_minute() -> None:
    http, clock = HttpCounters(), Clock()
    names = NameReadings(http, clock)
    for _ in range(30):
        http.observe("a.example.com", "GET", 200, 0.01)
    clock.now = 10
    assert names.by_name()["a.example.com"].per_second == pytest.approx(3)
    for _ in range(3):  # the first snapshot goes when there are two
        clock.now += SNAPSHOT_SECONDS
        names.note()
    found = names.by_name()["a.example.com"]
    assert (found.total, found.per_second, found.error_rate, found.p95_seconds) == (30, 0.0, None, None)
    http.observe("a.example.com", "GET", 200, 0.01, 0.01)
    http.observe("a.example.com", "GET", 500, 0.01, 0.01)
    http.observe("", "GET", 200, 0.01)
    found = names.by_name()["a.example.com"]
    assert found.total == 32 and found.error_rate == 0.5 and found.p95_seconds is not None
    assert names.by_name()["*"].total == 1
