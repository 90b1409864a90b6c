"""The targets of Sluice over TLS: what was measured beside what was wanted, and how to read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .rounds import Results
from .tables import BASELINE, Table, median, number

OURS = "sluice"
OURS_TCP = "sluice-tcp"
AT_ITS_BEST = "ssh-session"


@dataclass(frozen=True)
class Target:
    """What Sluice wants to reach; `value` gives None where the run did not measure it.

    `at_best`: the same against ssh at its best, for the reader.
    """

    title: str
    limit: float
    unit: str
    at_least: bool
    value: Callable[[Results], float | None]
    at_best: Callable[[Results], float | None] = lambda _: None


def _ours(measurement: str, metric: str) -> Callable[[Results], float | None]:
    return lambda results: median(results.of(measurement, OURS), metric)


def _at_most(limit: float, title: str, ours: str, measurement: str, metric: str) -> Target:
    return _against_ssh(title, limit, False, ours, measurement, metric)


def _at_least(limit: float, title: str, ours: str, measurement: str, metric: str) -> Target:
    return _against_ssh(title, limit, True, ours, measurement, metric)


def _against_ssh(title: str, limit: float, at_least: bool, ours: str, measurement: str, metric: str) -> Target:
    def against(other: str) -> Callable[[Results], float | None]:
        return lambda results: ratio(results, measurement, metric, ours, other)

    return Target(f"{title} against ssh", limit, "×", at_least, against(BASELINE), against(AT_ITS_BEST))


def ratio(results: Results, measurement: str, metric: str, ours: str, other: str) -> float | None:
    """Give the median of ours divided by another contestant's."""
    value, divisor = (median(results.of(measurement, name), metric) for name in (ours, other))
    return None if value is None or not divisor else value / divisor


def memory_growth(results: Results) -> float | None:
    """MiB that the transfer added, in the server or the client, whichever grew more."""
    growths = []
    for role in ("server", "client"):
        moments = (f"{role}_{moment}_rss_mib" for moment in ("loaded", "transferred"))
        before, after = (median(results.of("memory", OURS), metric) for metric in moments)
        if before is not None and after is not None:
            growths.append(after - before)
    return max(growths, default=None)


_CPU, _RATE, _BULK = "cpu_us_per_request", "requests_per_second", "cpu_s_per_gib"
_NEW_RATE = "connections_per_second"
TARGETS = (
    _at_most(3.0, "32 connections: CPU per request", OURS, "small-32", _CPU),
    _at_least(1.0, "32 connections: requests/s", OURS, "small-32", _RATE),
    _at_most(1.5, "download, 1 stream: CPU per GiB", OURS, "bulk-1", _BULK),
    _at_most(1.5, "download, 4 streams: CPU per GiB", OURS, "bulk-4", _BULK),
    _at_most(2.5, "TCP, 32 connections: CPU per request", OURS_TCP, "small-32", _CPU),
    _at_most(1.5, "TCP, download, 1 stream: CPU per GiB", OURS_TCP, "bulk-1", _BULK),
    _at_most(1.5, "TCP, download, 4 streams: CPU per GiB", OURS_TCP, "bulk-4", _BULK),
    _at_least(1.5, "TCP: new connections/s", OURS_TCP, "connections", _NEW_RATE),
    Target("small requests beside a limited download", 8000, "/s", True, _ours("mixed", _RATE)),
    Target("server at rest", 60, "MiB", False, _ours("memory", "server_idle_rss_mib")),
    Target("client at rest", 32, "MiB", False, _ours("memory", "client_idle_rss_mib")),
    Target("memory added by the transfer", 10, "MiB", False, memory_growth),
    Target("`sluice --help`", 300, "ms", False, _ours("startup", "help_ms")),
)


def verdict(target: Target, value: float | None) -> str:
    if value is None:
        return "not measured"
    if (value >= target.limit) if target.at_least else (value <= target.limit):
        return "met"
    return f"missed by {abs(value - target.limit) / target.limit:.1%}"


def target_table(results: Results) -> Table:
    rows = []
    for target in TARGETS:
        value = target.value(results)
        digits = {"×": 2, "MiB": 1}.get(target.unit, 0)
        at_best = target.at_best(results)
        limit = f"{'at least' if target.at_least else 'at most'} {target.limit:,g} {target.unit}"
        measured = "-" if value is None else f"{number(value, digits)} {target.unit}"
        beside = "" if at_best is None else f"{number(at_best, digits)} {target.unit}"
        rows.append([target.title, limit, measured, verdict(target, value), beside])
    header = ["", "target", "measured", "verdict", "against ssh at its best"]
    if not any(row[-1] for row in rows):
        header, rows = header[:-1], [row[:-1] for row in rows]
    return Table("Targets of Sluice over TLS", header, rows)


def judged(target: Target, results: Results) -> dict[str, Any]:
    value = target.value(results)
    limits = {"limit": target.limit, "unit": target.unit, "at_least": target.at_least}
    found = {"value": value, "against_ssh_at_its_best": target.at_best(results), "verdict": verdict(target, value)}
    return {"title": target.title, **limits, **found}


def notes(results: Results) -> list[str]:
    """What a reader of the figures has to know."""
    told = []
    if results.of("small-32", BASELINE) or results.of("connections", BASELINE):
        told.append(
            "With `-N`, sshd leaves Nagle's algorithm on, and small requests wait up to 40 ms for delayed"
            " acknowledgements: its requests/s and latencies are easy to beat."
            " The line `ssh -R, session`, with a session open, is ssh at its best."
        )
    return told
