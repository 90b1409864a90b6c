"""The text of `sluice status`, to the character."""

from datetime import datetime, timedelta, timezone

import pytest

from appliance.cli.status_text import render, spoken_age

NOW = datetime(2026, 2, 1, 12, 30, tzinfo=timezone.utc)
INFO = {
    "version": "0.1.0",
    "sha": "3f2a9c1",
    "mode": "http",
    "startTime": "2026-01-31T12:23:17.321388+01:00",
    "hostname": "creative-pine6",
}
CLIENT = {
    "clientID": "4e35edf5c6a646b79cc580984eac4ea9",
    "remoteAddr": "192.168.0.19:34988",
    "since": "2026-02-01T13:24:10.722860+01:00",
    "upstreams": ["example.com=http://localhost:8000", "prometheus.example.com=http://localhost:9090"],
}


def test_a_client() -> None:
    text = render({"info": INFO, "clients": [CLIENT]}, NOW)
    upstreams = "example.com=http://localhost:8000, prometheus.example.com=http://localhost:9090"
    assert text.splitlines() == [
        "Server info:",
        "Hostname:       creative-pine6",
        "Process uptime: 1 day ago",
        "Mode:           http",
        "Version:        0.1.0 3f2a9c1",
        "",
        "Connected clients:",
        "Client ID                        Remote Address       Connected  Upstreams",
        f"4e35edf5c6a646b79cc580984eac4ea9 192.168.0.19:34988   5 minutes  {upstreams}",
    ]


def test_no_clients() -> None:
    text = render({"info": INFO, "clients": []}, NOW)
    assert text.splitlines()[-2:] == ["Connected clients:", "No clients connected."]


def test_long_addresses_widen_their_column() -> None:
    address = "[2001:db8:1234:5678:9abc:def0:1234:5678]:63671"
    text = render({"info": INFO, "clients": [CLIENT, CLIENT | {"remoteAddr": address}]}, NOW)
    heading, first, second = text.splitlines()[-3:]
    assert heading.index("Connected") == first.index("5 minutes") == second.index("5 minutes")
    assert f"{address} 5 minutes" in second


def test_what_is_missing_or_odd_is_unknown() -> None:
    text = render({"info": {"startTime": "noon"}, "clients": [{"since": None, "remoteAddr": ""}]}, NOW)
    assert "Hostname:       unknown" in text
    assert "Process uptime: unknown" in text
    assert text.splitlines()[-1].split() == ["unknown"] * 3


def test_a_time_without_zone_is_unknown() -> None:
    assert "uptime: unknown" in render({"info": INFO | {"startTime": "2026-01-31T12:23:17"}, "clients": []}, NOW)


def test_nothing_moves_the_cursor() -> None:
    client = CLIENT | {"upstreams": ["x=http://a\033[2J\n"]}
    assert render({"info": INFO, "clients": [client]}, NOW).endswith("x=http://a?[2J?")


@pytest.mark.parametrize(
    ("age", "text"),
    [
        (timedelta(seconds=-5), "Less than a second"),
        (timedelta(0), "Less than a second"),
        (timedelta(milliseconds=999), "Less than a second"),
        (timedelta(seconds=1), "1 second"),
        (timedelta(seconds=59.9), "59 seconds"),
        (timedelta(minutes=1), "1 minute"),
        (timedelta(minutes=15, seconds=40), "15 minutes"),
        (timedelta(minutes=59, seconds=59), "59 minutes"),
        (timedelta(hours=1), "1 hour"),
        (timedelta(hours=23, minutes=59), "23 hours"),
        (timedelta(days=1), "1 day"),
        (timedelta(days=13, hours=23), "13 days"),
        (timedelta(days=14), "2 weeks"),
        (timedelta(days=59), "8 weeks"),
        (timedelta(days=60), "2 months"),
        (timedelta(days=729), "24 months"),
        (timedelta(days=730), "2 years"),
    ],
)
def test_ages(age: timedelta, text: str) -> None:
    assert spoken_age(age) == text
