"""The API of a real server: everything that OpenAPI's testers think of, a browser's way in, a new client's command."""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from tests.stage.process import SLUICE, Process, eventually, free_port
from tests.stage.tunnel import TOKEN, Tunnel
from tests.stage.upstream import Upstream
from tests.stage.visitor import get, once

MOST_RSS_KIB = 60 * 1024
FUZZING_SECONDS = 20


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    yield upstream
    upstream.close()


@pytest.fixture
def tunnel(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Tunnel]:
    tunnel = Tunnel(tmp_path, plain=getattr(request, "param", False), mode="")
    try:
        yield tunnel
    finally:
        tunnel.close()


def call(
    tunnel: Tunnel, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, Any, Any]:
    """Status, fields and what was answered: JSON read, else bytes. With the token, unless other headers are given."""
    with contextlib.closing(tunnel.control_connection()) as connection:
        fields = {"Authorization": f"Bearer {TOKEN}"} if headers is None else dict(headers)
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            fields["Content-Type"] = "application/json"
        connection.request(method, path, data, fields)
        response = connection.getresponse()
        content = response.read()
        is_json = "json" in (response.headers["Content-Type"] or "")
        return response.status, response.headers, json.loads(content) if is_json else content


@pytest.mark.parametrize("tunnel", [True], indirect=True, ids=["plain"])
def test_schemathesis_finds_nothing(tunnel: Tunnel, upstream: Upstream) -> None:
    tunnel.add_client("client", f"app.example.com=http://127.0.0.1:{upstream.port}")
    call(tunnel, "PUT", "/api/v1/inspect/*", {"seconds": 3600})
    assert once(tunnel.port, get("/?token=hush", "app.example.com")).status == 200
    command = [
        str(Path(sys.executable).parent / "schemathesis"), "run",
        f"http://127.0.0.1:{tunnel.control_port}/api/v1/openapi.json",
        "--header", f"Authorization: Bearer {TOKEN}", "--max-time", str(FUZZING_SECONDS), "--max-examples", "10",
        "--exclude-path", "/events",  # which has no end
        # Wrong tokens are slowed here, and tried elsewhere. What a schema cannot say, such as addresses, answers 400.
        "--exclude-checks", "ignored_auth,positive_data_acceptance", "--generation-with-security-parameters", "false",
        "--generation-database", "none", "--seed", "1", "--no-color",
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=tunnel.directory, capture_output=True, text=True, timeout=3 * FUZZING_SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "please report" not in tunnel.server.output and "Traceback" not in tunnel.server.output
    assert call(tunnel, "GET", "/api/v1/overview")[0] == 200


def test_a_browsers_way(tunnel: Tunnel) -> None:
    assert call(tunnel, "GET", "/", headers={"Accept": "text/html"})[1]["Content-Type"].startswith("text/html")
    assert call(tunnel, "GET", "/api/v1/session", headers={})[0] == HTTPStatus.UNAUTHORIZED
    assert call(tunnel, "POST", "/login", {"token": "wrong"}, {})[0] == HTTPStatus.UNAUTHORIZED
    status, fields, session = call(tunnel, "POST", "/login", {"token": TOKEN}, {})
    assert status == 200 and "Secure" in fields["Set-Cookie"]
    cookie = {"Cookie": fields["Set-Cookie"].partition(";")[0]}
    assert call(tunnel, "GET", "/api/v1/overview", headers=cookie)[2]["info"]["mode"] == "http+tcp"
    assert call(tunnel, "DELETE", "/api/v1/requests", headers=cookie)[0] == HTTPStatus.FORBIDDEN
    changing = cookie | {"X-CSRF-Token": session["csrfToken"]}
    assert call(tunnel, "DELETE", "/api/v1/requests", headers=changing)[0] == HTTPStatus.NO_CONTENT
    assert call(tunnel, "POST", "/logout", headers=changing)[0] == HTTPStatus.NO_CONTENT
    assert call(tunnel, "GET", "/api/v1/overview", headers=cookie)[0] == HTTPStatus.UNAUTHORIZED


def test_the_command_for_a_new_client_works(tunnel: Tunnel, upstream: Upstream) -> None:
    port = free_port()
    target = f"127.0.0.1:{upstream.port}"
    wanted = {"names": [{"name": "new.example.com", "target": target}], "ports": [{"port": port, "target": target}]}
    made = call(tunnel, "POST", "/api/v1/add-client", wanted)[2]
    assert made["notes"] == [] and made["fingerprint"]
    script = made["commands"]["shell"].replace("sluice ", f"exec {shlex.join(SLUICE)} ", 1)
    client = Process("new", ["sh", "-euc", script], tunnel.directory)
    try:

        def arrived() -> bool:
            return any(
                it["clientId"] == made["clientId"] for it in call(tunnel, "GET", "/api/v1/clients")[2]["clients"]
            )

        eventually(arrived, "the client is there", client, tunnel.server)
        assert once(tunnel.port, get("/", "new.example.com")).status == 200
        assert once(port, get("/", "x")).status == 200
        routes = call(tunnel, "GET", "/api/v1/routes")[2]
        assert routes["names"][0]["requestsTotal"] == 1 and routes["ports"][0]["port"] == port
        (found,) = call(tunnel, "GET", "/api/v1/clients")[2]["clients"]
        assert {it["state"] for it in found["upstreams"]} == {"up"}
    finally:
        client.stop()


def test_what_is_seen_of_a_client(tunnel: Tunnel) -> None:
    tunnel.add_client("client", f"gone.example.com=http://127.0.0.1:{free_port()}")
    (client_id,) = tunnel.clients
    assert once(tunnel.port, get("/", "gone.example.com")).status == 502
    (client,) = call(tunnel, "GET", "/api/v1/clients")[2]["clients"]
    assert client["upstreams"][0]["state"] == "failing"
    health = call(tunnel, "GET", "/api/v1/overview")[2]["health"]
    assert health["state"] == "warning" and "did not reach" in health["findings"][0]["text"]
    assert call(tunnel, "DELETE", f"/api/v1/clients/{client_id}")[0] == HTTPStatus.NO_CONTENT

    def came_back() -> bool:
        kinds = [event["kind"] for event in call(tunnel, "GET", "/api/v1/clients")[2]["events"]]
        return kinds == ["connected", "disconnected", "connected"]

    eventually(came_back, "the client is back", *tunnel.clients.values(), tunnel.server)


def test_settings_tell_where_they_come_from(tunnel: Tunnel) -> None:
    found = {it["flag"]: it for it in call(tunnel, "GET", "/api/v1/settings")[2]["settings"]}
    assert found["--control-port"]["source"] == "flag" and found["--control-port"]["value"] == tunnel.control_port
    assert found["--heartbeat"]["source"] == "default" and TOKEN not in json.dumps(found)


def test_it_stops_at_once_while_a_page_listens(tunnel: Tunnel) -> None:
    with contextlib.closing(tunnel.control_connection()) as connection:
        connection.request("GET", "/api/v1/events", headers={"Authorization": f"Bearer {TOKEN}"})
        response = connection.getresponse()
        assert response.readline().startswith(b"retry: ")
        while not response.readline().startswith(b"event: sample"):
            pass
        assert tunnel.server.stop() == 0
        assert response.read().endswith(b"\n")


def test_a_server_at_rest_is_small(tunnel: Tunnel) -> None:
    assert call(tunnel, "GET", "/healthz", headers={})[0] == 200
    status = Path(f"/proc/{tunnel.server.pid}/status").read_text()
    (rss,) = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")]
    assert rss < MOST_RSS_KIB


def test_a_clients_own_page(tunnel: Tunnel, upstream: Upstream) -> None:
    place = f"127.0.0.1:{free_port()}"
    client = tunnel.add_client(
        "client", f"app.example.com=http://127.0.0.1:{upstream.port}", flags=(f"--inspect={place}",), mode="http"
    )
    assert f"inspector: http://{place}" in client.output
    assert once(tunnel.port, get("/own?token=hush", "app.example.com")).status == 200
    base = f"http://{place}/api/v1"

    def ask(*arguments: str) -> Any:
        done = subprocess.run(
            ["curl", "--silent", "--show-error", "--fail", "--max-time", "10", *arguments],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return json.loads(done.stdout)

    eventually(lambda: ask(f"{base}/requests")["requests"][0]["state"] == "done", "recorded", client)
    (found,) = ask(f"{base}/requests")["requests"]
    assert found["path"] == "/own?token=•••• (4 characters)" and found["status"] == 200
    token = ask(f"{base}/session")["csrfToken"]
    again = ask(
        "-H", f"X-CSRF-Token: {token}", "-H", "Content-Type: application/json", "-d", "{}",
        f"{base}/requests/{found['id']}/replay",
    )  # fmt: skip
    eventually(lambda: ask(f"{base}/requests/{again['id']}")["state"] == "done", "replayed", client)
    assert [record.message.target for record in upstream.requests("/own")] == ["/own?token=hush"] * 2
    with pytest.raises(subprocess.CalledProcessError):
        ask("-H", "Host: evil.example.com", f"{base}/session")


@pytest.mark.parametrize("place", ["0.0.0.0:4040", "192.168.0.10:4040", "example.com:4040", "4040:x"])
def test_a_clients_page_is_for_this_machine_alone(tmp_path: Path, place: str) -> None:
    (tmp_path / "token").write_text(TOKEN)
    done = subprocess.run(
        [*SLUICE, "http", "client", "--url", "ws://127.0.0.1:1", "--token-file", str(tmp_path / "token"),
         "--upstream", "http://127.0.0.1:1", f"--inspect={place}"],
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and "--inspect" in done.stderr and done.stderr.count("\n") == 1
