"""The targets of Sluice over TLS: what was measured beside what was wanted, and how to read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .rounds import Results
from .tables import BASELINE, Table, median, number

OURS = "sluice"
AT_ITS_BEST = "ssh-session"


@dataclass(frozen=True)
class Target:
    """What Sluice wants to reach; `value` gives None where the run did not measure it."""

    title: str
    limit: float
    unit: str
    at_least: bool
    value: Callable[[Results], float | None]


def _ours(measurement: str, metric: str) -> Callable[[Results], float | None]:
    return lambda results: median(results.of(measurement, OURS), metric)


def _against_ssh(measurement: str, metric: str) -> Callable[[Results], float | None]:
    return lambda results: ratio(results, measurement, metric, BASELINE)


def ratio(results: Results, measurement: str, metric: str, other: str) -> float | None:
    """Give our median divided by another contestant's."""
    value, divisor = (median(results.of(measurement, name), metric) for name in (OURS, other))
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
TARGETS = (
    Target("32 connections: CPU per request against ssh", 3.0, "×", False, _against_ssh("small-32", _CPU)),
    Target("32 connections: requests/s against ssh", 1.0, "×", True, _against_ssh("small-32", _RATE)),
    Target("download, 1 stream: CPU per GiB against ssh", 1.5, "×", False, _against_ssh("bulk-1", _BULK)),
    Target("download, 4 streams: CPU per GiB against ssh", 1.5, "×", False, _against_ssh("bulk-4", _BULK)),
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
        limit = f"{'at least' if target.at_least else 'at most'} {target.limit:,g} {target.unit}"
        measured = "-" if value is None else f"{number(value, digits)} {target.unit}"
        rows.append([target.title, limit, measured, verdict(target, value)])
    return Table("Targets of Sluice over TLS", ["", "target", "measured", "verdict"], rows)


def judged(target: Target, results: Results) -> dict[str, Any]:
    value = target.value(results)
    limits = {"limit": target.limit, "unit": target.unit, "at_least": target.at_least}
    return {"title": target.title, **limits, "value": value, "verdict": verdict(target, value)}


def notes(results: Results) -> list[str]:
    """What a reader of the figures has to know."""
    told = []
    if results.of("small-32", BASELINE):
        told.append(
            "With `-N`, sshd leaves Nagle's algorithm on, and small requests wait up to 40 ms for delayed"
            " acknowledgements: its requests/s and latencies are easy to beat."
            " The line `ssh -R, session`, with a session open, is ssh at its best."
        )
    at_its_best = ratio(results, "small-32", _RATE, AT_ITS_BEST)
    if at_its_best is not None:
        cpu = ratio(results, "small-32", _CPU, AT_ITS_BEST)
        told.append(
            f"Against ssh with a session, at 32 connections, Sluice over TLS does {at_its_best:.2f} times the"
            f" requests/s, for {number(cpu, 2)} times the CPU per request."
        )
    return told
