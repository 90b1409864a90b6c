"""What the files say fits together: ids, variables, names of metrics' own, and the places that they name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from appliance.cli.generate import kubernetes, plan
from appliance.config.server import ServerConfig
from tests.monitoring.files import DASHBOARD, NOT_EXPOSED, dashboard, load, metrics_of, panels, queries, rules

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24  # of Grafana's grid
NEWEST_SCHEMA = 39  # of Grafana 10.3 and 10.4; newer ones read it, older ones warn
MONITORS = ("servicemonitor.yaml", "podmonitor.yaml")


# ---- the dashboard


def test_ids_are_unique() -> None:
    ids = [panel["id"] for panel in panels()]
    assert len(set(ids)) == len(ids)
    assert dashboard()["uid"] and dashboard()["id"] is None  # Grafana gives one
    assert dashboard()["schemaVersion"] <= NEWEST_SCHEMA


def test_panels_do_not_overlap() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in panels():
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= WIDTH
        for column in range(place["x"], place["x"] + place["w"]):
            for line in range(place["y"], place["y"] + place["h"]):
                former = taken.setdefault((column, line), panel["title"])
                assert former == panel["title"], f"{former} and {panel['title']}"


def test_every_kind_of_number_has_its_row() -> None:
    assert [panel["title"] for panel in panels() if panel["type"] == "row"] == [
        "Overview", "HTTP, by name", "TCP, by port", "Control plane", "Process", "Certificates",
    ]  # fmt: skip


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: f"{panel['id']} {panel['title']}")
def test_a_panel_asks_the_data_source_that_is_chosen(panel: dict[str, Any]) -> None:
    if panel["type"] == "row":
        return
    assert panel["datasource"] == DATASOURCE
    assert panel["targets"] and panel["fieldConfig"]["defaults"].keys() >= {"thresholds"}
    references = [target["refId"] for target in panel["targets"]]
    assert len(set(references)) == len(references)
    for target in panel["targets"]:
        assert target["datasource"] == DATASOURCE
        assert 'job=~"$job", instance=~"$instance"' in target["expr"]


def test_variables_are_those_that_are_used() -> None:
    defined = {variable["name"] for variable in dashboard()["templating"]["list"]}
    used = {
        name for found in re.findall(r"\$(?:(\w+)|{(\w+)})", DASHBOARD.read_text("utf-8")) for name in found if name
    }
    assert {name for name in used if not name.startswith("__")} == defined
    assert {name for name in used if name.startswith("__")} == {"__all", "__rate_interval"}
    variables = {variable["name"]: variable for variable in dashboard()["templating"]["list"]}
    for name in ("job", "instance"):  # all of them are those of Sluice, and not whatever else is scraped
        assert "sluice_build_info" in variables[name]["definition"] and "allValue" not in variables[name]
    first = dashboard()["templating"]["list"][0]
    assert (first["name"], first["type"], first["query"]) == ("datasource", "datasource", "prometheus")


def test_what_rules_record_is_what_is_asked_for() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    asked = {name for rule in rules() for name in metrics_of(rule["expr"]) if ":" in name}
    assert asked == recorded
    assert not any(":" in name for query in queries() for name in metrics_of(query.expression))  # works without rules
    assert all(NOT_EXPOSED.fullmatch(name) for name in recorded)


# ---- provisioning


def test_grafana_is_furnished_with_what_the_dashboard_wants() -> None:
    (source,) = load("grafana/provisioning/datasources/prometheus.yml")["datasources"]
    assert source["type"] == DATASOURCE["type"] and source["isDefault"]
    scraped_every = load("prometheus.yml")["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == scraped_every
    (provider,) = load("grafana/provisioning/dashboards/sluice.yml")["providers"]
    assert provider["type"] == "file" and provider["options"]["path"]


# ---- Kubernetes


def generated() -> Iterator[dict[str, Any]]:
    """What `sluice server --generate k8s_yaml` prints."""
    import yaml

    config = ServerConfig(token_file="/etc/sluice/token", allow_ports=("2222",), generate="k8s_yaml")
    yield from yaml.safe_load_all(kubernetes.generate(plan.make(config)))


def labelled(labels: dict[str, str], wanted: dict[str, str]) -> bool:
    return wanted.items() <= labels.items()


def test_monitors_find_what_is_generated() -> None:
    kinds = {document["kind"]: document for document in generated()}
    template = kinds["Deployment"]["spec"]["template"]
    service, pods = load("kubernetes/servicemonitor.yaml"), load("kubernetes/podmonitor.yaml")
    assert labelled(kinds["Service"]["metadata"]["labels"], service["spec"]["selector"]["matchLabels"])
    assert labelled(template["metadata"]["labels"], pods["spec"]["selector"]["matchLabels"])
    (container,) = template["spec"]["containers"]
    (endpoint,), (pod_endpoint,) = service["spec"]["endpoints"], pods["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] in {port["name"] for port in kinds["Service"]["spec"]["ports"]}
    assert pod_endpoint["port"] in {port["name"] for port in container["ports"]}
    secrets = {volume["secret"]["secretName"] for volume in template["spec"]["volumes"] if "secret" in volume}
    assert endpoint["authorization"]["credentials"]["name"] in secrets
    assert endpoint == pod_endpoint


@pytest.mark.parametrize("name", MONITORS)
def test_a_monitors_job_is_one_that_the_alerts_know(name: str) -> None:
    spec = load(f"kubernetes/{name}")["spec"]
    assert spec["jobLabel"] == "app.kubernetes.io/name"
    assert spec["selector"]["matchLabels"][spec["jobLabel"]].startswith("sluice")


def test_keda_scales_on_the_clients() -> None:
    (trigger,) = load("kubernetes/scaledobject.yaml")["spec"]["triggers"]
    assert trigger["type"] == "prometheus"
    assert metrics_of(trigger["metadata"]["query"]) == {"http_controlplane_connected_gauge"}
