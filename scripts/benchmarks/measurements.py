"""The measurements: each takes a running contestant and gives a sample, numbers by name and unit."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from .contestants.base import Contestant
from .contestants.sluice import Sluice
from .load import Download, Visitors, download, wrk
from .process import LabError, cpu_seconds, memory

Sample = dict[str, float]
GIB = 1 << 30
CLOSE_SECONDS = 4
SETTLE_SECONDS = 1.0
MEMORY_DOWNLOADS = 4
HELP_RUNS = 5


@dataclass(frozen=True)
class Settings:
    """How long, how often, how much."""

    duration_seconds: int = 5
    repeat: int = 3
    bulk_bytes: int = GIB
    limited_bytes_per_second: float = 50e6
    in_flight: int = 1000


class CpuMeter:
    """CPU seconds that a contestant's processes used since the meter was made."""

    def __init__(self, contestant: Contestant) -> None:
        self._contestant = contestant
        self._before = self._now()

    def used(self) -> tuple[float, float]:
        """Give (server, client)."""
        self._contestant.check()
        server, client = self._now()
        return server - self._before[0], client - self._before[1]

    def _now(self) -> tuple[float, float]:
        return cpu_seconds(self._contestant.server_pids()), cpu_seconds(self._contestant.client_pids())


def requests(contestant: Contestant, settings: Settings, connections: int) -> Sample:
    """Small requests as fast as they are answered."""
    return _with_wrk(contestant, connections, settings.duration_seconds, "request")


def connections(contestant: Contestant, settings: Settings) -> Sample:
    """A new connection for each small request."""
    # Each leaves a pair of ports in TIME_WAIT, of which there are some 28,000: so not for long.
    return _with_wrk(contestant, 32, min(settings.duration_seconds, CLOSE_SECONDS), "connection")


def _with_wrk(contestant: Contestant, connections: int, seconds: int, unit: str) -> Sample:
    """`unit`: what is counted, "request" or "connection"."""
    meter = CpuMeter(contestant)
    program = contestant.lab.places.programs["wrk"]
    result = wrk(program, contestant.port, connections, seconds, close=unit == "connection")
    sample: Sample = {
        f"{unit}s_per_second": result.requests_per_second,
        "p50_ms": result.p50_ms,
        "p99_ms": result.p99_ms,
        "errors": result.errors,
    }
    return {**sample, **_cpu_figures(contestant, meter.used(), 1e6 / result.requests, f"cpu_us_per_{unit}")}


def _cpu_figures(contestant: Contestant, used: tuple[float, float], factor: float, metric: str) -> Sample:
    """Give the sum and, where there are two, the parts of server and client. Nothing for no tunnel."""
    server, client = used
    sample: Sample = {}
    if contestant.server is not None:
        sample[metric] = (server + client) * factor
        sample[f"server_{metric}"] = server * factor
    if contestant.client is not None:
        sample[f"client_{metric}"] = client * factor
    return sample


def bulk(contestant: Contestant, settings: Settings, streams: int) -> Sample:
    """The big file, in `streams` parts at once."""
    meter = CpuMeter(contestant)
    seconds = download(contestant.port, settings.bulk_bytes, streams)
    figures = _cpu_figures(contestant, meter.used(), GIB / settings.bulk_bytes, "cpu_s_per_gib")
    return {"mb_per_second": settings.bulk_bytes / seconds / 1e6, **figures}


def mixed(contestant: Contestant, settings: Settings) -> Sample:
    """Small requests at 32 connections while a download runs that its visitor limits."""
    bulk_download = Download(contestant.port, 0, settings.bulk_bytes - 1, settings.limited_bytes_per_second)
    bulk_download.start()
    try:
        time.sleep(0.3)
        before, started = bulk_download.received, time.monotonic()
        sample = requests(contestant, settings, 32)
        seconds = time.monotonic() - started
        received = bulk_download.received - before
    finally:
        bulk_download.stop()
    if bulk_download.error is not None:
        raise LabError(f"the download beside the requests failed: {bulk_download.error}")
    # CPU was used for both: neither per request nor per byte would it mean anything.
    kept = {name: value for name, value in sample.items() if "cpu" not in name}
    return {**kept, "bulk_mb_per_second": received / seconds / 1e6}


def resident(contestant: Contestant, settings: Settings) -> Sample:
    """Memory at rest, after load, after four times the big file, and with many requests in flight."""
    sample: Sample = {}
    program = contestant.lab.places.programs["wrk"]
    _record_memory(sample, contestant, "idle")
    wrk(program, contestant.port, 32, settings.duration_seconds)
    _record_memory(sample, contestant, "loaded")
    for _ in range(MEMORY_DOWNLOADS):
        download(contestant.port, settings.bulk_bytes, 1)
    _record_memory(sample, contestant, "transferred")
    visitors = Visitors(contestant.port, contestant.lab.holder)
    try:
        visitors.arrive(settings.in_flight)
        _record_memory(sample, contestant, "in_flight")
        visitors.answer_all()
    finally:
        visitors.leave()
    return sample


def _record_memory(sample: Sample, contestant: Contestant, moment: str) -> None:
    time.sleep(SETTLE_SECONDS)
    contestant.check()
    for role, pids in (("server", contestant.server_pids()), ("client", contestant.client_pids())):
        if pids:
            now = memory(pids)
            sample[f"{role}_{moment}_rss_mib"] = now.rss / (1 << 20)
            if now.pss is not None:
                sample[f"{role}_{moment}_pss_mib"] = now.pss / (1 << 20)


def startup(contestant: Contestant, settings: Settings) -> Sample:
    """From the command until it serves; the contestant comes unstarted."""
    times = contestant.start()
    sample: Sample = {"server_ready_ms": times.server_seconds * 1000}
    if times.client_seconds is not None:
        sample["client_first_answer_ms"] = times.client_seconds * 1000
    if isinstance(contestant, Sluice):
        sample["help_ms"] = statistics.median(contestant.help_seconds() for _ in range(HELP_RUNS)) * 1000
    return sample


@dataclass(frozen=True)
class Measurement:
    """One measurement and its place in the round.

    `fresh`: on a contestant of its own, alone on the machine; else on one that runs through the whole round.
    """

    name: str
    group: str
    title: str
    run: Callable[[Contestant, Settings], Sample]
    fresh: bool = False
    starts_itself: bool = False
    repeated: bool = True


MEASUREMENTS = (
    Measurement("small-1", "small", "Small requests, 1 connection", lambda c, s: requests(c, s, 1)),
    Measurement("small-32", "small", "Small requests, 32 connections", lambda c, s: requests(c, s, 32)),
    Measurement("connections", "connections", "New connections, one for each small request, 32 at a time", connections),
    Measurement("bulk-1", "bulk", "Download, 1 stream", lambda c, s: bulk(c, s, 1)),
    Measurement("bulk-4", "bulk", "Download, 4 streams at once", lambda c, s: bulk(c, s, 4)),
    Measurement("mixed", "mixed", "Small requests, 32 connections, beside a download limited to 50 MB/s", mixed),
    Measurement("startup", "startup", "Start-up", startup, fresh=True, starts_itself=True),
    Measurement("memory", "memory", "Memory", resident, fresh=True, repeated=False),
)
