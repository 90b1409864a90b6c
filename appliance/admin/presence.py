"""Who is connected, in Prometheus' words: clients by version, routes with the clients that serve them, missed targets.

Clients choose what is told here, so all of it has limits: the token lets them in, but not into a scraper's memory.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.samples import Sample

if TYPE_CHECKING:
    from appliance.server.state import ServerState
    from appliance.tunnel.session import Session

MOST_VERSIONS = 20
OTHER_VERSION = "other"
MOST_ROUTES = 2000  # as many as there are label sets of requests
HTTP, TCP = "http", "tcp"

_version = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]{0,31}").fullmatch


def versions(sessions: Iterable[Session]) -> Metric:
    """Those that most clients have by themselves; the rest, and what is no version, together."""
    counts = Counter(session.version if _version(session.version) else OTHER_VERSION for session in sessions)
    shown = Counter(dict(counts.most_common(MOST_VERSIONS)))
    rest = counts.total() - shown.total()
    if rest:
        shown[OTHER_VERSION] += rest
    family = GaugeMetricFamily("sluice_clients", "Clients connected now, by their version.", labels=["version"])
    for version, count in shown.items():
        family.add_metric([version], count)
    return family


def missed(sessions: Iterable[Session]) -> Metric:
    """Of the targets that are still offered: what a client offers no more is nobody's trouble."""
    count = 0
    for session in sessions:
        failing = {target for target, health in tuple(session.health.items()) if not health.up}
        count += len(failing.intersection(upstream.target for upstream in session.upstreams))
    return GaugeMetricFamily(
        "sluice_upstreams_missed", "Upstreams that clients did not reach when they last dialled them.", value=count
    )


def routes(state: ServerState) -> dict[tuple[str, str], int]:
    """How many clients serve each name and port; 0 where those that did have gone. Of too many, these are left out."""
    found = dict(_routes(state))
    if len(found) > MOST_ROUTES:
        served_first = sorted(found.items(), key=lambda item: not item[1])
        found = dict(islice(served_first, MOST_ROUTES))
    return found


def _routes(state: ServerState) -> Iterator[tuple[tuple[str, str], int]]:
    if state.router is not None:
        for route in state.router.routes():
            yield (HTTP, route.label), len({member.session for member in route.members})
    if state.doors is not None:
        for port in tuple(state.tcp.ports):
            yield (TCP, str(port)), 0
        for port, members in state.doors.listing():
            yield (TCP, str(port)), len(members)


def route_samples(key: tuple[str, str], clients: int) -> Iterator[Sample]:
    kind, route = key
    yield Sample("sluice_route_clients", {"kind": kind, "route": route}, clients)
