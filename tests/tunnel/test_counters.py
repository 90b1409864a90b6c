"""Counters: what a series holds, and that nobody outside can grow the tables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.tunnel import counters
from appliance.tunnel.counters import BUCKETS, MAX_WAITS, OVERFLOW_HOST, ControlCounters, HttpCounters


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [(0.0, 0), (0.001, 0), (0.0011, 1), (60.0, len(BUCKETS) - 1), (60.1, len(BUCKETS)), (1e9, len(BUCKETS))],
)
def test_a_bucket_includes_its_bound(seconds: float, bucket: int) -> None:
    http = HttpCounters()
    http.observe("example.com", "GET", 200, seconds)
    row = http.series["example.com", "GET", 200]
    assert row[bucket] == 1 and sum(row[:-1]) == 1 and row[-1] == seconds


def test_requests_add_up_in_their_own_series() -> None:
    http = HttpCounters()
    for host, method, code in [("a", "GET", 200), ("a", "GET", 200), ("a", "POST", 200), ("b", "GET", 502)]:
        http.observe(host, method, code, 0.5)
    assert {key: (sum(row[:-1]), row[-1]) for key, row in http.series.items()} == {
        ("a", "GET", 200): (2, 1.0),
        ("a", "POST", 200): (1, 0.5),
        ("b", "GET", 502): (1, 0.5),
    }


def test_the_default_host_is_a_star() -> None:
    http = HttpCounters()
    for _ in range(2):
        http.observe("", "GET", 200, 0.1)
    assert list(http.series) == [("*", "GET", 200)]
    assert sum(http.series["*", "GET", 200][:-1]) == 2


@given(st.lists(st.text(), max_size=50))
def test_unknown_methods_are_one(methods: list[str]) -> None:
    http = HttpCounters()
    for method in methods:
        http.observe("example.com", method, 200, 0.1)
    assert {method for _, method, _ in http.series} <= counters.METHODS | {"OTHER"}
    assert sum(sum(row[:-1]) for row in http.series.values()) == len(methods)


def test_the_edge_may_say_other_itself() -> None:
    http = HttpCounters()
    for method in ("OTHER", "BREW", "OTHER"):
        http.observe("unknown", method, 400, 0.0)
    assert list(http.series) == [("unknown", "OTHER", 400)]
    assert sum(http.series["unknown", "OTHER", 400][:-1]) == 3


def test_visitors_with_invented_methods_leave_nothing_behind() -> None:
    http = HttpCounters()
    for number in range(20_000):
        http.observe("example.com", f"M{number}", 200, 0.1)
    assert len(http.series) == 1
    assert len(http._rows) == 0


def test_series_have_a_limit_and_none_is_lost() -> None:
    http = HttpCounters()
    wanted = counters.MAX_SERIES * 2
    for number in range(wanted):
        http.observe(f"host-{number}.example.com", "GET", 100 + number % 900, 0.1)
    assert len(http.series) <= counters.MAX_SERIES + 10
    assert len(http._rows) <= wanted
    assert sum(sum(row[:-1]) for row in http.series.values()) == wanted
    assert {key for key in http.series if key[0] == counters.OVERFLOW_HOST} <= {
        ("overflow", "OTHER", hundred) for hundred in range(100, 1000, 100)
    }


def test_refusals_are_counted_by_reason() -> None:
    http = HttpCounters()
    for reason in ("no route", "bad request", "no route"):
        http.refuse(reason)
    assert http.refused == {"no route": 2, "bad request": 1}


def test_control_paths_that_are_not_ours_are_one() -> None:
    control = ControlCounters()
    for path in ("/status", "/status", "/wp-login.php", "/status/", "//status", "/connect"):
        control.count(path, 401)
    control.count("/status", 200)
    assert control.requests == {
        ("/status", 401): 2,
        ("other", 401): 3,
        ("/connect", 401): 1,
        ("/status", 200): 1,
    }


def test_how_long_answers_took_to_begin_is_kept_by_name() -> None:
    counters = HttpCounters()
    counters.observe("a.example", "GET", 200, 30.0, 0.002)
    counters.observe("a.example", "POST", 500, 0.2, 0.2)
    counters.observe("", "GET", 200, 0.1, 0.1)
    counters.observe("*", "GET", 200, 0.1, 0.1)
    counters.observe("unknown", "GET", 404, 0.1)
    assert counters.waits.keys() == {"a.example", "*"}
    row = counters.waits["a.example"]
    assert (sum(row[:-1]), row[-1]) == (2, pytest.approx(0.202))
    assert row[BUCKETS.index(0.0025)] == 1
    assert sum(counters.waits["*"][:-1]) == 2


def test_names_with_waits_have_a_limit_and_none_is_lost() -> None:
    counters = HttpCounters()
    for number in range(MAX_WAITS + 50):
        counters.observe(f"{number}.example", "GET", 200, 0.1, 0.1)
    assert len(counters.waits) == MAX_WAITS + 1
    assert sum(counters.waits[OVERFLOW_HOST][:-1]) == 50
    assert sum(sum(row[:-1]) for row in counters.waits.values()) == MAX_WAITS + 50
