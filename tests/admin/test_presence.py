"""Clients, routes and missed targets as metrics, and that no client can make many of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from prometheus_client.core import Metric

from appliance.admin import presence
from appliance.transport.listener import Capacity
from appliance.tunnel.router import Member, Router
from appliance.tunnel.session import Health
from appliance.wire.address import parse_upstreams
from tests.admin.conftest import START, FakeSession
from tests.admin.test_metrics import samples, value


class Sessions(Router):
    """A router that is told of sessions as tests have them."""

    def serve(self, session: object, *patterns: str) -> None:
        self.offer(session, [(pattern, Member(session, "127.0.0.1:1", b"")) for pattern in patterns])


@dataclass
class FakeDoors:
    ports: dict[int, int]

    def listing(self) -> Iterator[tuple[int, list[object]]]:
        for port, count in self.ports.items():
            yield port, [object()] * count

    def under_way(self) -> tuple[int, int]:
        return 0, 0

    @property
    def open_ports(self) -> list[int]:
        return list(self.ports)


def by_version(metric: Metric) -> dict[str, float]:
    return {sample.labels["version"]: sample.value for sample in metric.samples}


def of_versions(*found: str) -> dict[str, float]:
    return by_version(presence.versions([FakeSession(version=version) for version in found]))


def test_clients_are_counted_by_version() -> None:
    assert of_versions("0.2.0", "0.1.0", "0.2.0") == {"0.2.0": 2, "0.1.0": 1}
    assert of_versions() == {}


@pytest.mark.parametrize("made_up", ["", "x" * 33, "1.0 beta", 'v"1"', "sluice/1", "ä"])
def test_what_is_no_version_is_other(made_up: str) -> None:
    assert of_versions(made_up, "0.1.0") == {"other": 1, "0.1.0": 1}


def test_clients_cannot_make_many_labels() -> None:
    found = of_versions("0.1.0", "0.1.0", "other", *(f"1.0.{number}" for number in range(100)))
    assert len(found) <= presence.MOST_VERSIONS + 1
    assert found["0.1.0"] == 2
    assert sum(found.values()) == 103


def test_a_target_counts_as_missed_while_it_is_offered() -> None:
    up, down = Health(True, "", START), Health(False, "refused", START)
    session = FakeSession(upstreams=parse_upstreams(["http://127.0.0.1:1", "a.example=http://127.0.0.1:2"]))
    targets = [upstream.target for upstream in session.upstreams]
    session.health = {targets[0]: down, targets[1]: up, "http://127.0.0.1:9": down}
    assert [sample.value for sample in presence.missed([session]).samples] == [1]
    assert [sample.value for sample in presence.missed([]).samples] == [0]


@pytest.fixture
def served(state: Any) -> Any:
    """Of three names one is served twice, one once, one no more; of two ports one."""
    router = state.router = Sessions()
    one, other = object(), object()
    router.serve(one, "a.example", "gone.example")
    router.serve(one, "a.example")
    router.serve(other, "a.example", "")
    state.mode = "http+tcp"
    state.tcp.port(2222)
    state.tcp.port(5432)
    state.doors = FakeDoors({2222: 1})
    state.capacity = Capacity(100)
    return state


def test_routes_come_out_with_their_clients(served: Any, authorized: Any) -> None:
    found = samples(authorized)
    name = "sluice_route_clients"
    assert value(found, name, kind="http", route="a.example") == 2
    assert value(found, name, kind="http", route="*") == 1
    assert value(found, name, kind="http", route="gone.example") == 0
    assert value(found, name, kind="tcp", route="2222") == 1
    assert value(found, name, kind="tcp", route="5432") == 0
    assert value(found, "sluice_upstreams_missed") == 0
    assert value(found, "sluice_dataplane_connections_limit") == 100


def test_of_too_many_routes_those_without_clients_are_left_out(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "MOST_ROUTES", 3)
    assert presence.routes(served) == {("http", "a.example"): 2, ("http", "*"): 1, ("tcp", "2222"): 1}


def test_a_client_with_the_same_name_twice_is_one(state: Any) -> None:
    router = state.router = Sessions()
    router.serve(object(), "a.example", "a.example")
    assert presence.routes(state) == {("http", "a.example"): 1}


def test_no_limit_is_an_endless_one(served: Any, authorized: Any) -> None:
    served.capacity = Capacity(0)
    assert value(samples(authorized), "sluice_dataplane_connections_limit") == float("inf")
