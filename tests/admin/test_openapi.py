"""The OpenAPI document: well-formed, whole, and true of the routes and of real answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, cast

import pytest
from flask import Flask
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from appliance.admin.app import create_app
from appliance.admin.openapi import document
from appliance.tunnel.inspector.record import Message, now
from tests.admin.conftest import AUTHORIZED, FakeSession, FakeState
from tests.admin.records import record
from tests.stage.material import material

PREFIX = "/api/v1"
DOCUMENT = document("0.1.0")
# As the routes call what the document calls otherwise.
NAMES = {"client_id": "clientId", "number": "id"}


@pytest.fixture
def app(state: FakeState) -> Flask:
    return create_app(cast(Any, state))


def test_it_is_openapi() -> None:
    validate(DOCUMENT)


def test_it_has_every_route_and_no_others(app: Flask) -> None:
    routed = {
        (_templated(rule.rule.removeprefix(PREFIX)), method)
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith(PREFIX)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    described = {(path, method.upper()) for path, operations in DOCUMENT["paths"].items() for method in operations}
    assert described == routed and len(routed) > 20


def _templated(rule: str) -> str:
    """``/requests/<int:number>`` -> ``/requests/{id}``."""
    return re.sub(r"<(?:[^:>]*:)?(\w+)>", lambda found: f"{{{NAMES.get(found[1], found[1])}}}", rule)


def test_parameters_of_paths_are_described() -> None:
    ids = []
    for path, operations in DOCUMENT["paths"].items():
        for operation in operations.values():
            named = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path)), path
            assert "default" in operation["responses"]
            ids.append(operation["operationId"])
    assert len(set(ids)) == len(ids)


def test_parameters_of_queries_are_described_and_no_others_taken(app: Flask) -> None:
    found = app.test_client()
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            address = PREFIX + re.sub(r"{\w+}", "1", path.replace("{side}", "request"))
            described = {one["name"] for one in operation["parameters"] if one["in"] == "query"}
            answer = found.open(address + "?bogus=1", method=method.upper(), headers=AUTHORIZED)
            assert answer.status_code == 400 and answer.mimetype == "application/problem+json", address
            detail = answer.get_json()["detail"]
            named = re.findall(r"\w+", detail.partition("may have ")[2].partition(" and nothing")[0])
            assert set(named) == described, detail


def readable() -> Iterator[tuple[str, Any]]:
    """Paths that answer a GET with JSON, and the schema of that."""
    for path, operations in DOCUMENT["paths"].items():
        if "get" in operations:
            content = operations["get"]["responses"]["200"]["content"]
            if "application/json" in content:
                yield path, content["application/json"]["schema"]


@pytest.mark.parametrize(("path", "schema"), list(readable()))
def test_answers_are_as_described(app: Flask, state: FakeState, path: str, schema: dict[str, Any]) -> None:
    """With something in every list."""
    furnish(state)
    answer = app.test_client().get(PREFIX + path.replace("{id}", "1"), headers=AUTHORIZED)
    assert answer.status_code == 200
    whole = schema | {"components": DOCUMENT["components"]}
    Draft202012Validator(whole).validate(answer.get_json())


def furnish(state: FakeState) -> None:
    state.connected = [FakeSession()]
    state.comings.connected("0" * 32, "127.0.0.1:1", "a")
    state.in_use = [("control", material("vm"))]
    state.ready = False
    assert state.inspector is not None
    state.inspector.switch("a", 10)
    state.inspector.switch("b", None)
    kept = record(state.inspector, "POST", "/?a=1", [("Content-Type", "application/json")], b'{"a":1}')
    kept.messages_total = 1
    kept.messages.append(Message(now()[0], "visitor", "text", 1, b"x"))


def test_what_is_sent_is_as_described() -> None:
    """The schemas of bodies take what the page sends, and not what the API refuses."""
    for name, good, bad in (
        ("AddClient", {"names": [{"name": "a", "target": "b"}], "ports": [{"port": 1, "target": "b"}]}, {"x": 1}),
        ("AddClient", {}, {"ports": [{"port": 0, "target": "b"}]}),
        ("Inspect", {"seconds": 1.5}, {"seconds": 0}),
        ("Replay", {"headers": [["a", "b"]], "body": {"text": ""}}, {"body": {"text": "", "base64": ""}}),
    ):
        check = Draft202012Validator(DOCUMENT["components"]["schemas"][name])
        assert check.is_valid(good) and not check.is_valid(bad), name
