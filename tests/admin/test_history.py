"""Rings of numbers: rates between readings, gaps filled, sizes that stay."""

import dataclasses
import itertools

import pytest

from appliance.admin.history import RANGES, SERIES, History, Ring
from appliance.admin.readings import NO_BUCKETS, Reading


class Stage:
    """A clock and a reading, both to be set."""

    def __init__(self) -> None:
        self.now = 100.0
        self.reading = Reading()
        self.history = History(lambda: self.reading, lambda: self.now, lambda: 1_000_000 + self.now)

    def after(self, seconds: float, **changes: float) -> None:
        self.now += seconds
        self.reading = dataclasses.replace(self.reading, **changes)  # type: ignore[arg-type]
        self.history.sample()

    def column(self, name: str, ring: str = "5m") -> list[float | None]:
        series = self.history.series(ring)["series"]
        assert isinstance(series, dict)
        found: list[float | None] = series[name]
        return found


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_ring_turns() -> None:
    ring = Ring(1, 3)
    assert ring.columns()[0] == [None, None, None]
    for number in range(5):
        ring.push((float(number),) * len(SERIES))
    assert ring.columns()[0] == [2, 3, 4]
    ring.push((9.0,) * len(SERIES), 1000)
    assert ring.columns()[0] == [9, 9, 9]


def test_rates_of_each_second(stage: Stage) -> None:
    stage.after(1, requests=10, errors=1, bytes_in=1000, clients=2, streams_used=3, connections=4)
    stage.after(1, requests=10, clients=5)
    assert stage.column("requests")[-3:] == [None, 10, 0]
    assert stage.column("errors")[-2:] == [1, 0] and stage.column("bytesIn")[-2:] == [1000, 0]
    assert stage.column("clients")[-2:] == [2, 5]
    assert stage.column("streams")[-1] == 3 and stage.column("connections")[-1] == 4
    assert stage.history.now()["requestsPerSecond"] == 0 and stage.history.now()["clients"] == 5


def test_what_was_missed_is_filled_with_the_average(stage: Stage) -> None:
    stage.after(5, requests=50)
    assert stage.column("requests")[-6:] == [None, 10, 10, 10, 10, 10]
    stage.after(0.4, requests=54)
    stage.after(0.6, requests=60)
    assert stage.column("requests")[-1] == pytest.approx(10), "a sample between two steps makes none"


def test_longer_steps_are_their_own_averages(stage: Stage) -> None:
    for number in range(1, 31):
        stage.after(1, requests=number * 2 if number <= 20 else 40)
    assert stage.column("requests", "1h")[-4:] == [None, 2, 2, 0]
    assert stage.column("requests", "6h")[-1] is None


def test_quantiles_of_the_last_seconds(stage: Stage) -> None:
    slow = list(NO_BUCKETS)
    slow[8] = 4
    stage.after(1, requests=4, buckets=tuple(slow))  # type: ignore[arg-type]
    assert stage.history.now()["p50Seconds"] is not None
    for _ in range(9):
        stage.after(1)
    assert stage.column("p95")[-1] is not None, "nine seconds ago is lately"
    for _ in range(3):
        stage.after(1)
    assert stage.column("p95")[-1] is None and stage.history.now()["p95Seconds"] is None


@pytest.mark.parametrize("name", RANGES)
def test_times_fit_the_steps(stage: Stage, name: str) -> None:
    stage.after(1000, requests=1)
    found = stage.history.series(name)
    step, times = found["stepSeconds"], found["times"]
    assert isinstance(step, int) and isinstance(times, list)
    assert len(times) == RANGES[name][1] == len(stage.column("requests", name))
    assert {round(after - before, 3) for before, after in itertools.pairwise(times)} == {float(step)}
    assert 0 <= 1_000_000 + stage.now - times[-1] < step


def test_a_long_sleep_does_no_harm(stage: Stage) -> None:
    stage.after(7 * 86400, requests=700_000)
    assert len(set(stage.column("requests"))) == 1


def test_who_looks_sees_nothing_old(stage: Stage) -> None:
    stage.reading = dataclasses.replace(stage.reading, clients=7)
    stage.history.refresh()
    assert stage.history.now()["clients"] == 0, "it is of this second"
    stage.now += 1.5
    stage.history.refresh()
    assert stage.history.now()["clients"] == 7 and stage.history.looked_at == stage.now
