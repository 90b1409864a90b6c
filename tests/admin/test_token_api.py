"""Tokens of clients over the API: made, told once, listed without what they are, removed."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from appliance.server.access import TokenGuard
from appliance.server.client_tokens import ClientTokens
from appliance.server.limits import Limits
from tests.admin.conftest import AUTHORIZED, TOKEN, FakeSession, FakeState

PATH = "/api/v1/tokens"
FOR_CLIENTS = "this token lets a client connect, and nothing else: here the server's own token is needed"


def test_made_listed_and_removed(state: FakeState, authorized: FlaskClient, session: FakeSession) -> None:
    answer = authorized.post(PATH, json={"name": "pi", "names": ["*.Home.example"], "ports": ["22", "1-3"]})
    made = answer.get_json()
    assert answer.status_code == 201 and answer.headers["Cache-Control"] == "no-store"
    token = made.pop("token")
    assert (made["names"], made["ports"], made["forward"], made["clients"]) == (
        ["*.home.example"],
        ["1-3", "22"],
        False,
        0,
    )
    bearer = state.guard.bearer(f"Bearer {token}")
    assert bearer is not None and bearer.called == "pi" and not bearer.limits.forward
    state.connected = [dataclasses.replace(session, token="pi"), session]
    answer = authorized.get(PATH)
    assert answer.get_json() == {"tokens": [{**made, "clients": 1}], "problem": None}
    kept = state.tokens.listing()[0]
    assert token not in answer.text and kept.digest not in answer.text
    (first, second) = authorized.get("/api/v1/clients").get_json()["clients"]
    assert (first["token"], second["token"]) == ("pi", None)
    assert authorized.delete(f"{PATH}/pi").status_code == 204
    assert state.guard.bearer(f"Bearer {token}") is None
    assert authorized.delete(f"{PATH}/pi").status_code == 404


def test_without_limits(state: FakeState, authorized: FlaskClient) -> None:
    made = authorized.post(PATH, json={"name": "pi", "forward": True}).get_json()
    assert (made["names"], made["ports"], made["forward"]) == ([], [], True)
    assert state.tokens.listing()[0].limits == Limits(forward=True)


@pytest.mark.parametrize(
    ("wanted", "detail"),
    [
        ({}, "name: text is needed"),
        ({"name": ""}, "name: 1 to 64 letters"),
        ({"name": "a b"}, "name: 1 to 64 letters"),
        ({"name": "x" * 65}, "name: 1 to 64 letters"),
        ({"name": "pi", "names": "a"}, "names: a list of texts"),
        ({"name": "pi", "names": [1]}, "names: a list of texts"),
        ({"name": "pi", "names": None}, "names: a list of texts"),
        ({"name": "pi", "names": ["a"] * 101}, "names: 100 at most"),
        ({"name": "pi", "names": ["a" * 301]}, "names: 100 at most, of 300 letters"),
        ({"name": "pi", "names": [""]}, "a name is empty"),
        ({"name": "pi", "names": ["a/b"]}, "is not a host name"),
        ({"name": "pi", "ports": [22]}, "ports: a list of texts"),
        ({"name": "pi", "ports": ["0"]}, "0"),
        ({"name": "pi", "ports": [" "]}, "a port is empty"),
        ({"name": "pi", "forward": "yes"}, "forward: true or false"),
        ({"name": "pi", "token": "chosen"}, "the body may have name, names, ports, forward and nothing else"),
    ],
)
def test_what_is_wrong_is_said(state: FakeState, authorized: FlaskClient, wanted: Any, detail: str) -> None:
    answer = authorized.post(PATH, json=wanted)
    assert answer.status_code == 400 and detail in answer.get_json()["detail"]
    assert state.tokens.listing() == []


def test_twice_and_damaged(tmp_path: Path, make_client: Any) -> None:
    path = tmp_path / "client-tokens.json"
    state = FakeState(guard=TokenGuard(TOKEN, clients=ClientTokens(path)))
    client = make_client(state)
    assert client.post(PATH, json={"name": "pi"}).status_code == 201
    answer = client.post(PATH, json={"name": "pi"})
    assert answer.status_code == 409 and "there is a token pi already" in answer.get_json()["detail"]
    path.write_text("{")
    found = client.get(PATH).get_json()
    assert found["tokens"] == [] and "is damaged" in found["problem"]
    for answer in (client.post(PATH, json={"name": "nas"}), client.delete(f"{PATH}/pi")):
        assert answer.status_code == 409 and "is damaged" in answer.get_json()["detail"]
    findings = client.get("/api/v1/overview").get_json()["health"]["findings"]
    assert any("is damaged" in finding["text"] and finding["level"] == "error" for finding in findings)


@pytest.mark.parametrize("path", ["/status", "/metrics", "/api/v1/tokens", "/api/v1/log", "/", "/nothing"])
def test_a_clients_token_opens_none_of_it(state: FakeState, client: FlaskClient, path: str) -> None:
    token, _ = state.tokens.add("pi", Limits())
    answer = client.get(path, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 403 and FOR_CLIENTS in answer.text
    assert (answer.mimetype == "application/problem+json") == path.startswith("/api/")
    assert state.guard.denied == 0


@pytest.mark.parametrize("way", ["json", "data"])
def test_nor_does_it_log_in(state: FakeState, client: FlaskClient, way: str) -> None:
    token, _ = state.tokens.add("pi", Limits())
    answer = client.post("/login", **{way: {"token": f" {token} "}})  # type: ignore[arg-type]
    assert answer.status_code == 403 and answer.get_json()["detail"] == FOR_CLIENTS
    assert "Set-Cookie" not in answer.headers and state.guard.denied == 0


def test_changes_by_a_cookie_need_the_csrf_token(state: FakeState, client: FlaskClient) -> None:
    session = client.post("/login", json={"token": TOKEN}).get_json()
    assert client.post(PATH, json={"name": "pi"}).status_code == 403
    changing = {"X-CSRF-Token": session["csrfToken"]}
    assert client.post(PATH, json={"name": "pi"}, headers=changing).status_code == 201
    assert client.delete(f"{PATH}/pi").status_code == 403
    assert client.delete(f"{PATH}/pi", headers=changing).status_code == 204


def test_a_client_that_is_to_have_one(state: FakeState, client: FlaskClient) -> None:
    """Its command names a file of its own; what the token does not allow is said before it is tried."""
    state.tokens.add("pi", Limits.parse(["a.example"], []))
    wanted = {"names": [{"name": name, "target": "http://x:1"} for name in ("a.example", "*")], "name": "the Pi's"}
    made = client.post("/api/v1/add-client", json=wanted | {"tokenName": "pi"}, headers=AUTHORIZED).get_json()
    assert made["tokenFile"] == "pi.token"
    assert made["notes"][-1] == "Name * will be refused: this client's token allows a.example alone."
    for way, word in (("shell", "--token-file pi.token"), ("docker", "pi.token:/run/secrets/token:ro"),
                      ("systemd", "LoadCredential=token:/etc/sluice/pi.token"),
                      ("kubernetes", "--from-file=token=pi.token")):  # fmt: skip
        assert word in made["commands"][way] and "server's token" not in made["commands"][way]
    assert "--name 'the Pi'\"'\"'s'" in made["commands"]["shell"]
    made = client.post("/api/v1/add-client", json=wanted, headers=AUTHORIZED).get_json()
    assert made["tokenFile"] == "token" and "the server's token" in made["commands"]["shell"]
    for wrong in ({"tokenName": "a/b"}, {"name": "x" * 65}, {"name": "a\n"}, {"tokenName": 7}, {"token": "pi"}):
        answer = client.post("/api/v1/add-client", json=wanted | wrong, headers=AUTHORIZED)
        assert answer.status_code == 400, wrong
