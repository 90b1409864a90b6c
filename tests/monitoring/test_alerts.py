"""promtool plays each alert's cases; every alert has its section in the runbook."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.docs.pages import anchors, sections
from tests.monitoring.cases import CASES, SERVER, Case
from tests.monitoring.files import ALERTS, RUNBOOK, alerts
from tests.stage.process import ROOT, run

QUESTIONS = ("**Means:**", "**Look:**", "**Do:**")


def played(case: Case) -> dict[str, object]:
    """A test as promtool takes it."""
    rule = alerts()[case.alert]
    firing = [
        {
            "exp_labels": {**SERVER, **rule["labels"], **firing.labels},
            "exp_annotations": {**rule["annotations"], "summary": firing.summary},
        }
        for firing in case.firing
    ]
    return {
        "name": f"{case.alert}: {case.what}",
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in case.series().items()],
        "alert_rule_test": [{"eval_time": f"{case.at}m", "alertname": case.alert, "exp_alerts": firing}],
    }


def test_they_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    path = tmp_path / "tests.yml"
    tests = [played(case) for case in CASES]
    path.write_text(json.dumps({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": tests}))
    run("promtool", "test", "rules", str(path), seconds=60)


def test_promtool_finds_a_case_that_is_not_so(tmp_path: Path) -> None:
    """The test above can fail."""
    path = tmp_path / "tests.yml"
    fires = next(case for case in CASES if case.fires)
    wrong = played(fires._replace(firing=()))
    path.write_text(json.dumps({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": [wrong]}))
    run("promtool", "test", "rules", str(path), status=1)


@pytest.mark.parametrize("alert", alerts())
def test_each_has_cases_of_both_kinds(alert: str) -> None:
    assert {case.fires for case in CASES if case.alert == alert} == {True, False}


def test_promtool_takes_the_rules() -> None:
    assert b"SUCCESS" in run("promtool", "check", "rules", str(ALERTS))


@pytest.mark.parametrize("alert", alerts())
def test_each_has_a_section_in_the_runbook(alert: str) -> None:
    rule = alerts()[alert]
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert ROOT / page == RUNBOOK
    assert anchor in anchors(RUNBOOK)
    assert anchor == alert.lower()
    text = dict(sections(RUNBOOK))[alert]
    assert all(question in text for question in QUESTIONS), alert


def test_the_runbook_has_no_others() -> None:
    assert {heading for heading, _ in sections(RUNBOOK) if heading.startswith("Sluice")} == alerts().keys()
