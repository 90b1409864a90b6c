"""What only a server's API has: numbers, clients, names and ports, settings, new clients."""

from __future__ import annotations

import dataclasses
import shlex
from typing import Any, cast

import pytest
from flask.testing import FlaskClient

from appliance.admin import health as health_module
from appliance.certificates.overdue import Overdue
from appliance.certificates.store import Store
from appliance.config.client import ClientConfig
from appliance.config.http_server import HttpServerConfig
from appliance.tunnel.inspector.edits import Edits, Malformed, ReplayError, request_again
from appliance.tunnel.router import Member
from appliance.tunnel.session import Health
from appliance.wire.address import parse_upstreams
from tests.admin.conftest import START, FakeSession, FakeState
from tests.admin.records import record
from tests.stage.material import material


def findings(client: FlaskClient) -> list[str]:
    return [finding["text"] for finding in client.get("/api/v1/overview").get_json()["health"]["findings"]]


def test_overview(state: FakeState, authorized: FlaskClient, session: FakeSession) -> None:
    state.connected = [session]
    found = authorized.get("/api/v1/overview").get_json()
    assert found["info"]["controlAddress"] == "0.0.0.0:8123" and found["info"]["dataAddress"] == "0.0.0.0:8000"
    assert found["info"]["uptimeSeconds"] > 0
    assert found["health"] == {"state": "ok", "findings": []}
    assert found["now"]["streamsIdle"] == 0, "of the last reading"


def test_what_is_wrong_is_said(state: FakeState, authorized: FlaskClient, session: FakeSession) -> None:
    assert state.router is not None and state.capacity is not None
    [nobody] = authorized.get("/api/v1/overview").get_json()["health"]["findings"]
    # Read in terminals, too, where there are no buttons.
    assert nobody["text"] == "No client is connected." and "The admin page has the command" in nobody["hint"]
    session.upstreams = parse_upstreams(["http://127.0.0.1:8080"])
    session.health = {"http://127.0.0.1:8080": Health(False, "refused", START), "http://gone": Health(False, "", START)}
    state.connected = [session]
    state.router.offer(session, [("a.example.com", Member(session, "http://127.0.0.1:8080", b""))])  # type: ignore[arg-type]
    state.router.withdraw(session)  # type: ignore[arg-type]
    state.capacity.used = 950
    state.ready = False
    state.in_use = [("data", dataclasses.replace(material("example.com"), expires=START))]
    for _ in range(20):
        state.http.observe("a", "GET", 502, 0.1)
    state.guard.denied += 20
    found = "\n".join(findings(authorized))
    for words in (
        "starting or stopping",
        "950 of 1000",
        "Nobody serves a.example.com",
        "did not reach: * (http://127.0.0.1:8080).",
        "certificate example.com expired",
        "20 of 20 requests",
        "20 requests to the control plane",
    ):
        assert words in found
    assert "gone" not in found, "it is offered no longer"
    assert authorized.get("/api/v1/overview").get_json()["health"]["state"] == health_module.ERROR


def test_names_that_wait_for_a_certificate(state: FakeState, authorized: FlaskClient, session: FakeSession) -> None:
    state.connected = [session]
    state.late = [
        Overdue("a.example.com", 0, "", None, None, None),
        Overdue("b.example.com", 3, "no address", START, START, None),
    ]
    [finding] = findings(authorized)
    assert finding.startswith("No new certificate for b.example.com, which has none: no address; next try ")
    state.late = [dataclasses.replace(state.late[1], expires=START)]
    assert "which uses one until" in findings(authorized)[0]
    when = START.isoformat(timespec="seconds")
    late = {
        "name": "b.example.com",
        "failures": 3,
        "reason": "no address",
        "since": when,
        "nextTry": when,
        "expires": when,
    }
    assert authorized.get("/api/v1/certificates").get_json() == {"certificates": [], "overdue": [late]}
    assert authorized.get("/status").get_json()["certificatesOverdue"] == [late]
    assert b'sluice_certificate_failed_orders{name="b.example.com"} 3.0' in authorized.get("/metrics").data


def test_few_errors_are_nothing(state: FakeState, authorized: FlaskClient, session: FakeSession) -> None:
    state.connected = [session]
    for code in [200] * 99 + [502]:
        state.http.observe("a", "GET", code, 0.1)
    assert findings(authorized) == []


def test_that_requests_are_recorded_is_said(state: FakeState, authorized: FlaskClient, session: FakeSession) -> None:
    state.connected = [session]
    assert state.inspector is not None
    state.inspector.switch("a.example.com", 10)
    found = authorized.get("/api/v1/overview").get_json()["health"]
    assert found["state"] == "ok" and found["findings"][0]["level"] == "info"


@pytest.mark.parametrize(("name", "status"), [("5m", 200), ("24h", 200), ("", 200), ("7d", 400)])
def test_history_has_ranges(authorized: FlaskClient, name: str, status: int) -> None:
    assert authorized.get(f"/api/v1/history?range={name}").status_code == status


def test_clients(state: FakeState, authorized: FlaskClient, session: FakeSession) -> None:
    session.health = {"http://127.0.0.1:8080": Health(False, "connection refused", START)}
    state.connected = [session]
    state.comings.connected(session.client_id, session.remote, "one", "attic")
    state.comings.disconnected(session.client_id, session.remote, "two")
    found = authorized.get("/api/v1/clients").get_json()
    assert [(event["detail"], event["name"]) for event in found["events"]] == [("two", ""), ("one", "attic")]
    (client,) = found["clients"]
    assert client["name"] == "attic"
    assert client["upstreams"] == [
        {
            "offer": "*",
            "target": "http://127.0.0.1:8080",
            "state": "failing",
            "detail": "connection refused",
            "since": "2026-01-31T12:23:17.321+01:00",
        }
    ]
    assert client["roundTripSeconds"] == 0.025


def test_disconnecting(state: FakeState, authorized: FlaskClient, session: FakeSession) -> None:
    state.connected = [session]
    assert authorized.delete(f"/api/v1/clients/{session.client_id}").status_code == 204
    assert state.disconnected == [session.client_id]
    for wrong in ("f" * 32, "x", session.client_id.upper()):
        assert authorized.delete(f"/api/v1/clients/{wrong}").status_code == 404


def test_names(state: FakeState, authorized: FlaskClient, session: FakeSession) -> None:
    assert state.router is not None and state.inspector is not None
    other = FakeSession(client_id="f" * 32)
    for each in (session, other):
        members = [(name, Member(each, "http://t", b"")) for name in ("b.example.com", "*.x.example.com", "")]  # type: ignore[arg-type]
        state.router.offer(each, members)  # type: ignore[arg-type]
    state.http.observe("b.example.com", "GET", 200, 0.01)
    state.inspector.switch("b.example.com", 60)
    names = authorized.get("/api/v1/routes").get_json()["names"]
    assert [name["name"] for name in names] == ["*", "*.x.example.com", "b.example.com"]
    assert [name["url"] for name in names] == [None, None, "http://b.example.com:8000/"]
    assert names[2]["requestsTotal"] == 1 and names[2]["errorRate"] == 0
    assert [name["inspect"]["on"] for name in names] == [False, False, True] and names[2]["inspect"]["until"]
    state.inspector.switch("*", None)
    names = authorized.get("/api/v1/routes").get_json()["names"]
    assert [name["inspect"]["on"] for name in names] == [True, True, True]
    for _ in range(4):  # whoever is said to be next, is
        (found,) = [name for name in authorized.get("/api/v1/routes").get_json()["names"] if name["name"] == "*"]
        (following,) = [client["clientId"] for client in found["clients"] if client["next"]]
        route = state.router.find(b"anything")
        assert route is not None and route.in_turn()[0].session.client_id == following


def test_names_with_certificates(state: FakeState, authorized: FlaskClient, session: FakeSession) -> None:
    state.config = HttpServerConfig(data_cert=("c",), data_key=("k",), port=80, https_port=443)
    state.store = Store()
    state.store.put("x", material("*.example.com"))
    state.data_ports = lambda: (80, 443)  # type: ignore[method-assign]
    assert state.router is not None
    names = ("a.example.com", "other.org")
    state.router.offer(session, [(name, Member(session, "http://t", b"")) for name in names])  # type: ignore[arg-type]
    found = authorized.get("/api/v1/routes").get_json()["names"]
    assert [name["url"] for name in found] == ["https://a.example.com/", "https://other.org/"]
    assert [name["certificate"] and name["certificate"]["name"] for name in found] == ["*.example.com", None]


def test_settings_say_where_they_come_from(state: FakeState, make_client: Any) -> None:
    state.config = HttpServerConfig(token="hush", port=8080, allow_ips=("10.0.0.0/8",))
    answer = make_client(state, {"port": "flag", "allow_ips": "file", "token": "flag"}).get("/api/v1/settings")
    assert "hush" not in answer.text
    found = {setting["flag"]: setting for setting in answer.get_json()["settings"]}
    assert found["--token"]["value"] == "set" and found["--token-file"]["value"] is None
    assert (found["--port"]["value"], found["--port"]["source"], found["--port"]["isDefault"]) == (8080, "flag", False)
    assert found["--allow-ips"]["value"] == ["10.0.0.0/8"] and found["--allow-ips"]["source"] == "file"
    assert found["--heartbeat"]["source"] == "default" and found["--heartbeat"]["unit"] == "seconds"
    assert "--license" not in found


class TestAddingAClient:
    NAME = ({"name": "a.example.com", "target": "http://127.0.0.1:3000"},)

    def add(self, client: FlaskClient, **wanted: Any) -> Any:
        return client.post("/api/v1/add-client", json=wanted, base_url="https://tunnel.example.com:8123")

    def test_commands(self, state: FakeState, authorized: FlaskClient) -> None:
        state.control_certificate = material("tunnel.example.com")
        found = self.add(authorized, names=list(self.NAME)).get_json()
        assert found["url"] == "wss://tunnel.example.com:8123" and found["fingerprint"] == "ab" * 32
        assert found["notes"] == []
        words = shlex.split(found["commands"]["shell"], comments=True)
        assert words[:3] == ["sluice", "http", "client"] and found["clientId"] in words
        assert set(found["commands"]) == {"shell", "systemd", "docker", "kubernetes"}
        ClientConfig(
            url=found["url"], client_id=found["clientId"], ca_fingerprint=found["fingerprint"], upstream=("x",)
        )
        again = self.add(authorized, names=list(self.NAME)).get_json()
        assert again["clientId"] != found["clientId"]

    def test_what_has_to_be_done_first_is_said(self, state: FakeState, authorized: FlaskClient) -> None:
        state.control_certificate = material("vm")
        found = self.add(authorized, names=list(self.NAME)).get_json()
        assert "--auto-tls-san" in found["notes"][0]
        state.ca_pem = None
        found = self.add(authorized, names=list(self.NAME)).get_json()
        assert found["fingerprint"] is None and "--tls-cert" in found["notes"][0]
        found = self.add(authorized, names=list(self.NAME), url="ws://10.0.0.1:8123").get_json()
        assert "in the clear" in found["notes"][0] and found["fingerprint"] is None

    @pytest.mark.parametrize(
        "wanted",
        [
            {},
            {"names": "x"},
            {"names": [1]},
            {"names": [{"name": "a"}]},
            {"names": [{"name": "a b", "target": "http://x:1"}]},
            {"names": [{"name": "a", "target": "ftp://x"}]},
            {"names": [{"name": "a", "target": "http://x:1,b=http://y:1"}]},
            {"names": [{"name": "a", "target": "http://x:1", "more": 1}]},
            {"names": list(NAME) * 2},
            {"names": [{"name": f"n{number}", "target": "http://x:1"} for number in range(101)]},
            {"ports": [{"port": 22, "target": "x:22"}]},  # of a server for HTTP
            {"names": list(NAME), "url": "ftp://x"},
            {"names": list(NAME), "url": "wss://user:secret@x"},
            {"names": list(NAME), "token": "x"},
        ],
    )
    def test_what_cannot_be(self, authorized: FlaskClient, wanted: Any) -> None:
        answer = self.add(authorized, **wanted)
        assert answer.status_code == 400 and answer.mimetype == "application/problem+json"
        assert len(answer.get_json()["detail"]) > 10

    @pytest.mark.parametrize("port", [0, 65536, 1.5, "22", True, None])
    def test_ports_that_are_none(self, state: FakeState, authorized: FlaskClient, port: Any) -> None:
        state.mode = "tcp"
        assert self.add(authorized, ports=[{"port": port, "target": "x:22"}]).status_code == 400


def test_what_the_server_would_refuse_is_noted(state: FakeState, authorized: FlaskClient, session: FakeSession) -> None:
    class Refusing:
        def objection(self, port: int) -> str:
            return "the server allows ports 1024-65535 (--allow-ports)" if port < 1024 else ""

    assert state.router is not None
    state.mode, state.doors = "http+tcp", cast(Any, Refusing())
    state.router.offer(session, [("a.example.com", Member(session, "http://127.0.0.1:8080", b""))])  # type: ignore[arg-type]
    wanted = {
        "url": "wss://203.0.113.7:8123",
        "names": [{"name": "a.example.com", "target": "http://x:1"}, {"name": "b.example.com", "target": "http://x:1"}],
        "ports": [{"port": 22, "target": "x:22"}, {"port": 2222, "target": "x:22"}],
    }
    answer = authorized.post("/api/v1/add-client", json=wanted).get_json()
    assert answer["notes"] == [
        "Another client serves a.example.com already: they will take turns.",
        "Port 22 will be refused: the server allows ports 1024-65535 (--allow-ports).",
    ]


def test_a_replay_that_is_no_request_is_the_askers_fault(
    state: FakeState, authorized: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert state.inspector is not None
    kept = record(state.inspector)
    for error, status in ((Malformed("the method is odd"), 400), (ReplayError("not kept whole"), 409)):

        def refuse(number: int, wanted: Edits, error: ReplayError = error) -> int:
            request_again(kept, wanted)
            raise error

        monkeypatch.setattr(state.inspector, "replay", refuse, raising=False)
        answer = authorized.post(f"/api/v1/requests/{kept.id}/replay", json={})
        assert answer.status_code == status and answer.get_json()["detail"] == str(error)
    for odd in ({"method": "G ET"}, {"path": "nope"}, {"headers": [["X", "a\r\nb"]]}):
        assert authorized.post(f"/api/v1/requests/{kept.id}/replay", json=odd).status_code == 400
