"""The control plane's pages, without a socket."""

import dataclasses
import logging
import re
from datetime import datetime, timezone
from typing import Any

import pytest
from flask.testing import FlaskClient

from appliance.wire.address import parse_upstreams
from tests.stage.material import material

OPEN = ["/healthz", "/readyz", "/.well-known/ca.crt"]
CLOSED = ["/", "/status", "/metrics", "/connect", "/stream", "/no/such/path"]


def test_status_has_the_shape_that_scripts_rely_on(state: Any, authorized: FlaskClient, session: Any) -> None:
    state.connected = [session]
    answer = authorized.get("/status")
    assert answer.status_code == 200 and answer.mimetype == "application/json"
    body = answer.get_json()
    assert body["info"] == {
        "version": "0.1.0",
        "sha": "3f2a9c1",
        "mode": "http",
        "startTime": "2026-01-31T12:23:17.321388+01:00",
        "hostname": "am1.local",
    }
    (client,) = body["clients"]
    assert {name: client[name] for name in ("clientID", "remoteAddr", "since", "upstreams")} == {
        "clientID": "0c5f2a1ca0174ee3a177c3be7cd6d950",
        "remoteAddr": "[::1]:63671",
        "since": "2026-01-31T12:23:19.321388+01:00",
        "upstreams": ["*=http://127.0.0.1:8080"],
    }
    assert client["streams"] == {"idle": 8, "used": 2}
    assert (client["bytesIn"], client["bytesOut"], client["version"]) == (100, 2000, "0.1.0")


def test_status_lists_the_certificates(state: Any, authorized: FlaskClient) -> None:
    """Names and times are what `sluice certificates` shows."""
    assert authorized.get("/status").get_json()["certificates"] == []
    renews = datetime(2026, 12, 1, 12, 30, 15, 999, timezone.utc)
    state.in_use = [
        ("control", material("vm", "127.0.0.1", source="automatic", renews=renews)),
        ("data", material("*.example.com", "example.com")),
    ]
    control, data = authorized.get("/status").get_json()["certificates"]
    assert control == {
        "name": "vm",
        "names": ["vm", "127.0.0.1"],
        "issuer": "Let's Encrypt E7",
        "expires": "2027-01-15T08:00:00+00:00",
        "source": "automatic",
        "renews": "2026-12-01T12:30:15+00:00",
        "plane": "control",
        "fingerprint": "ab" * 32,
    }
    assert (data["name"], data["plane"], data["source"], data["renews"]) == ("*.example.com", "data", "own", None)


def test_status_without_clients_is_an_empty_list(authorized: FlaskClient) -> None:
    assert authorized.get("/status").get_json()["clients"] == []


def test_times_have_microseconds_and_an_offset_even_where_these_are_zero(state: Any, authorized: FlaskClient) -> None:
    state.start_time = datetime(2026, 1, 31, tzinfo=timezone.utc)
    assert authorized.get("/status").get_json()["info"]["startTime"] == "2026-01-31T00:00:00.000000+00:00"


def test_clients_and_upstreams_keep_their_order(state: Any, authorized: FlaskClient, session: Any) -> None:
    names = ["b.example.com=http://localhost:1", "a.example.com=http://localhost:2"]
    first = dataclasses.replace(session, upstreams=parse_upstreams(names))
    second = dataclasses.replace(session, client_id="f" * 32)
    state.connected = [second, first]
    clients = authorized.get("/status").get_json()["clients"]
    assert [client["clientID"] for client in clients] == [second.client_id, first.client_id]
    assert clients[1]["upstreams"] == names and clients[1]["name"] == "attic"


@pytest.mark.parametrize("path", CLOSED)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "DELETE"])
def test_without_the_token_every_path_answers_the_same(client: FlaskClient, path: str, method: str) -> None:
    answer = client.open(path, method=method)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    assert answer.mimetype == "text/plain"
    if method != "HEAD":
        assert re.fullmatch(r"[^\n]*a token is needed[^\n]*\n", answer.text)


def test_a_wrong_token_is_told_from_none(state: Any, client: FlaskClient) -> None:
    answer = client.get("/status", headers={"Authorization": "Bearer wrong"})
    assert answer.status_code == 401 and "this token is refused" in answer.text
    assert "wrong" not in answer.text
    assert state.guard.denied == 1


def test_the_guard_is_told_the_address(state: Any, client: FlaskClient) -> None:
    seen: list[tuple[str, str | None]] = []

    class Guard:
        def admit(self, address: str, authorization: str | None) -> bool:
            seen.append((address, authorization))
            return False

    state.guard = Guard()
    client.get("/status", environ_base={"REMOTE_ADDR": "2001:db8::1"}, headers={"Authorization": "x"})
    assert seen == [("2001:db8::1", "x")]


@pytest.mark.parametrize("path", OPEN)
def test_these_need_no_token(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code == 200
    assert client.head(path).status_code == 200


def test_healthz_says_ok(client: FlaskClient) -> None:
    assert client.get("/healthz").text == "ok\n"


def test_readyz_follows_the_state(state: Any, client: FlaskClient) -> None:
    assert client.get("/readyz").status_code == 200
    state.ready = False
    answer = client.get("/readyz")
    assert answer.status_code == 503 and answer.text.startswith("not ready")
    assert client.get("/healthz").status_code == 200


def test_the_authority_is_handed_out(state: Any, client: FlaskClient) -> None:
    answer = client.get("/.well-known/ca.crt")
    assert answer.data == state.ca_pem and answer.mimetype == "application/x-pem-file"


def test_own_certificates_have_no_authority_to_hand_out(state: Any, client: FlaskClient) -> None:
    state.ca_pem = None
    answer = client.get("/.well-known/ca.crt")
    assert answer.status_code == 404 and answer.mimetype == "text/plain"


def test_the_first_page_says_what_this_is(authorized: FlaskClient) -> None:
    assert authorized.get("/").text == "sluice http server 0.1.0 on am1.local: see /status and /metrics\n"


@pytest.mark.parametrize("path", ["/connect", "/stream"])
def test_a_browser_at_a_clients_path_is_told_so(authorized: FlaskClient, path: str) -> None:
    answer = authorized.get(path)
    assert answer.status_code == 426 and answer.headers["Upgrade"] == "websocket"


@pytest.mark.parametrize("path", ["/no/such/path", "/status/", "/static/x", "/%00"])
def test_a_path_that_is_not_there(authorized: FlaskClient, path: str) -> None:
    answer = authorized.get(path)
    assert (answer.status_code, answer.text, answer.mimetype) == (404, "404 Not Found\n", "text/plain")


def test_a_method_that_is_not_there(authorized: FlaskClient) -> None:
    answer = authorized.post("/status")
    assert (answer.status_code, answer.text) == (405, "405 Method Not Allowed\n")
    assert set(answer.headers["Allow"].replace(" ", "").split(",")) == {"GET", "HEAD", "OPTIONS"}


@pytest.mark.parametrize("path", [*OPEN, *CLOSED])
@pytest.mark.parametrize("with_token", [True, False])
def test_every_answer_has_the_security_headers(
    client: FlaskClient, state: Any, path: str, with_token: bool, token_headers: dict[str, str]
) -> None:
    answer = client.get(path, headers=token_headers if with_token else {})
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "Set-Cookie" not in answer.headers


def test_a_failure_shows_nothing_and_is_logged(
    state: Any, authorized: FlaskClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise RuntimeError("an inner secret")

    monkeypatch.setattr(state, "sessions", fail)
    with caplog.at_level(logging.ERROR):
        answer = authorized.get("/status")
    assert answer.status_code == 500 and answer.mimetype == "text/plain"
    assert answer.text.count("\n") == 1 and "secret" not in answer.text
    assert "an inner secret" in caplog.text
    assert state.control.requests == {("/status", 500): 1}


def test_every_request_is_counted_by_path_and_code(
    state: Any, client: FlaskClient, token_headers: dict[str, str]
) -> None:
    client.get("/status")
    client.get("/status", headers=token_headers)
    client.get("/status", headers=token_headers)
    client.get("/nowhere", headers=token_headers)
    client.post("/healthz", headers=token_headers)
    client.get("/healthz")
    assert state.control.requests == {
        ("/status", 401): 1,
        ("/status", 200): 2,
        ("other", 404): 1,
        ("/healthz", 405): 1,
        ("/healthz", 200): 1,
    }


def test_two_servers_in_one_process_do_not_mix(state: Any, client: FlaskClient, make_client: Any) -> None:
    other_state = dataclasses.replace(state, hostname="other", control=type(state.control)())
    other = make_client(other_state)
    assert "on other:" in other.get("/").text
    assert state.control.requests == {}
