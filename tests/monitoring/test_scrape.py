"""Debian's Prometheus with these files scrapes a real server over TLS, and answers what dashboard and rules ask."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import Block, blocks
from tests.monitoring.files import ALERTS, NOT_EXPOSED, PLACE, RUNBOOK, Query, load, metrics_of, queries, rules
from tests.stage.process import eventually, free_port, run
from tests.stage.prometheus import Prometheus
from tests.stage.tunnel import Tunnel
from tests.stage.upstream import Upstream
from tests.stage.visitor import Visitor, get, once, request

PAUSE_SECONDS = 0.05
VARIABLES = {"$__rate_interval": "10s", "$job": "sluice", "$instance": ".+", "$host": ".*", "$port": ".*"}


class Visitors:
    """A thread of them: by name, by a name that nobody has, to a port; rates need counters that grow."""

    def __init__(self, http: int, tcp: int) -> None:
        self._http, self._tcp = http, tcp
        self._enough = threading.Event()
        self._staying = Visitor(tcp)
        self._thread = threading.Thread(target=self._visit, daemon=True)
        self._thread.start()

    def _visit(self) -> None:
        while not self._enough.wait(PAUSE_SECONDS):
            assert once(self._http, get("/x", "metered.example")).status == 200
            assert once(self._http, get("/x", "nobody.example")).status == 404
            assert once(self._http, request("GET / HTTP/1.1")).status == 400
            assert once(self._tcp, get("/x", "a.example")).status == 200

    def leave(self) -> None:
        self._enough.set()
        self._thread.join(20)
        self._staying.sock.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("monitored")


@pytest.fixture(scope="module")
def tunnel(place: Path) -> Iterator[Tunnel]:
    """A server of both kinds with a client and visitors."""
    upstream = Upstream()
    tunnel = Tunnel(place, mode="")
    visitors = None
    try:
        door = free_port()
        names = f"metered.example=http://127.0.0.1:{upstream.port}"
        tunnel.add_client("client", names, f"{door}=127.0.0.1:{upstream.port}")
        visitors = Visitors(tunnel.port, door)
        yield tunnel
    finally:
        if visitors is not None:
            visitors.leave()
        tunnel.close()
        upstream.close()


@pytest.fixture(scope="module")
def prometheus(place: Path, tunnel: Tunnel) -> Iterator[Prometheus]:
    """With monitoring/prometheus.yml: in a hurry, and for the server of this test."""
    text = (PLACE / "prometheus.yml").read_text("utf-8")
    text = text.replace("15s", "200ms").replace("127.0.0.1:8123", f"127.0.0.1:{tunnel.control_port}")
    (place / "prometheus.yml").write_text(text)
    (place / "alerts.yml").write_bytes(ALERTS.read_bytes())
    (place / "sluice-token").write_bytes(tunnel.token_file.read_bytes())
    (place / "sluice-ca.crt").write_text(tunnel.authority)
    run("promtool", "check", "config", str(place / "prometheus.yml"))
    prometheus = Prometheus(place / "prometheus.yml")
    try:
        eventually(lambda: prometheus.query('up{job="sluice"} == 1'), "the server is scraped", prometheus.process)
        yield prometheus
    finally:
        prometheus.close()


@pytest.fixture(scope="module")
def exposed(tunnel: Tunnel) -> set[str]:
    _, _, body = tunnel.control("/metrics")
    # A family may be without a sample so far.
    return set(re.findall(r"^(?:# TYPE )?(\w+)", body.decode(), re.MULTILINE))


def numbers(samples: list[dict[str, Any]]) -> list[float]:
    """Those of an answer that a panel can show."""
    return [value for sample in samples if not math.isnan(value := float(sample["value"][1]))]


@pytest.mark.parametrize("query", queries(), ids=lambda query: query.panel)
def test_a_panel_is_answered_with_data(query: Query, prometheus: Prometheus) -> None:
    expression = query.expression
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression
    eventually(lambda: numbers(prometheus.query(expression)), expression, prometheus.process)


def test_the_answers_are_of_the_traffic(prometheus: Prometheus) -> None:
    by_host = prometheus.query("sum by (host) (rate(http_dataplane_requests_total[10s])) > 0")
    assert {sample["metric"]["host"] for sample in by_host} == {"metered.example", "unknown"}
    (open_now,) = numbers(prometheus.query("sum(tcp_dataplane_connections_gauge)"))
    assert open_now >= 1
    assert numbers(prometheus.query("sluice_clients and on (version) sluice_build_info")) == [1]
    routes = prometheus.query("sluice_route_clients == 1")
    assert {sample["metric"]["kind"] for sample in routes} == {"http", "tcp"}


def test_prometheus_evaluates_every_rule(prometheus: Prometheus) -> None:
    def evaluated() -> list[dict[str, Any]]:
        found = prometheus.rules()
        return found if found and all(rule["health"] != "unknown" for rule in found) else []

    found = eventually(evaluated, "all rules are evaluated", prometheus.process)
    assert len(found) == len(rules())
    assert [rule for rule in found if rule["health"] != "ok"] == []
    assert {rule["name"] for rule in found if rule.get("state") in ("pending", "firing")} == set()


@pytest.mark.parametrize("block", blocks(RUNBOOK, "promql"), ids=str)
def test_prometheus_understands_what_the_runbook_asks(block: Block, prometheus: Prometheus) -> None:
    for expression in block.text.strip().split("\n\n"):
        prometheus.query(expression)  # fails for what is no expression
        assert metrics_of(expression)


def test_keda_is_answered(prometheus: Prometheus) -> None:
    (trigger,) = load("kubernetes/scaledobject.yaml")["spec"]["triggers"]
    assert numbers(prometheus.query(trigger["metadata"]["query"])) == [1]


EXPRESSIONS = {
    **{query.panel: query.expression for query in queries()},
    **{rule.get("alert", "record"): rule["expr"] for rule in rules()},
    **{str(block): block.text for block in blocks(RUNBOOK, "promql")},
}


@pytest.mark.parametrize("where", EXPRESSIONS)
def test_metrics_that_are_named_exist(where: str, exposed: set[str]) -> None:
    named = metrics_of(EXPRESSIONS[where])
    assert named
    assert {name for name in named if not NOT_EXPOSED.fullmatch(name)} <= exposed
