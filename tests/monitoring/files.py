"""The files of monitoring/, taken apart."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any, NamedTuple

import yaml

from tests.stage.process import ROOT

PLACE = ROOT / "monitoring"
RUNBOOK = ROOT / "docs" / "alerts.md"
ALERTS = PLACE / "alerts.yml"
DASHBOARD = PLACE / "grafana" / "dashboards" / "sluice.json"
# What belongs to Prometheus itself, or to a recording rule.
NOT_EXPOSED = re.compile(r"up|ALERTS|sluice:\w+")

_metric = re.compile(
    r"\b(?:(?:http|tcp)_\w+plane_\w+|(?:sluice|certificate|process|python)_\w+|sluice:\w+|up|ALERTS)\b"
)


class Query(NamedTuple):
    """One of a panel's."""

    panel: str
    expression: str


@cache
def load(name: str) -> Any:
    return yaml.safe_load((PLACE / name).read_text("utf-8"))


@cache
def rules() -> tuple[dict[str, Any], ...]:
    return tuple(rule for group in load("alerts.yml")["groups"] for rule in group["rules"])


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


@cache
def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text("utf-8"))
    return found


def panels() -> list[dict[str, Any]]:
    return [panel for outer in dashboard()["panels"] for panel in (outer, *outer.get("panels", ()))]


def queries() -> list[Query]:
    return [
        Query(f"{panel['id']} {panel['title']} {target['refId']}", target["expr"])
        for panel in panels()
        for target in panel.get("targets", ())
    ]


def metrics_of(expression: str) -> set[str]:
    """The metrics that an expression names, without what is in quotation marks and label lists."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', "", expression)
    bare = re.sub(r"\b(?:by|on|without|ignoring) *\([^)]*\)", "", bare)
    return set(_metric.findall(bare))
