"""The page of a client: this machine's alone, changed by itself alone."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any, cast
from urllib.request import Request, urlopen

import gevent
import pytest
from flask import Flask
from flask.testing import FlaskClient
from gevent.threadpool import ThreadPool

from appliance.admin.client_page import ClientPage, create_app
from appliance.admin.context import Context
from appliance.admin.log_ring import LogRing
from appliance.config.options import ConfigError
from appliance.tunnel.inspector.store import Inspector
from tests.admin.records import record

TOKEN = "a csrf token"
CSRF = {"X-CSRF-Token": TOKEN}


@pytest.fixture
def inspector() -> Inspector:
    inspector = Inspector()
    record(inspector, "POST", "/x?token=hush", [("Content-Type", "application/json")], b"{}")
    return inspector


@pytest.fixture
def app(inspector: Inspector) -> Flask:
    about = {"mode": "http", "version": "0.1.0", "hostname": "pi"}
    return create_app(Context("client", about, inspector, lines=LogRing(), csrf_token=TOKEN))


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:4040", "[::1]:4040", "LOCALHOST:1", "localhost."])
def test_this_machine_is_let_in(client: FlaskClient, host: str) -> None:
    answer = client.get("/api/v1/session", headers={"Host": host})
    assert answer.status_code == 200
    assert answer.get_json() == {
        "csrfToken": TOKEN, "role": "client", "mode": "http", "version": "0.1.0", "hostname": "pi", "inspect": True
    }  # fmt: skip


@pytest.mark.parametrize(
    "host", ["evil.example.com", "127.0.0.1.evil.com", "localhost.evil.com", "evil.com:4040", "", "10.0.0.1", "0.0.0.0",
             "127.0.0.2", "localhost@evil.com", "[::2]", "a b"]
)  # fmt: skip
def test_names_that_were_made_to_lead_here_are_not(app: Flask, client: FlaskClient, host: str) -> None:
    for rule in app.url_map.iter_rules():
        values = {"number": 1, "side": "request", "name": "x", "path": "index.html"}
        built = rule.build({name: values[name] for name in rule.arguments})
        assert built is not None
        for method in rule.methods or ():
            answer = client.open(built[1], method=method, headers={"Host": host} | CSRF)
            assert answer.status_code == 403, (rule, host)


def test_changes_need_the_token_of_this_page(client: FlaskClient, inspector: Inspector) -> None:
    for method, path in (
        ("DELETE", "/api/v1/requests"), ("POST", "/api/v1/requests/1/replay"), ("PUT", "/api/v1/inspect/x"),
        ("DELETE", "/api/v1/inspect/x"),
    ):  # fmt: skip
        for headers in ({}, {"X-CSRF-Token": "x"}, {"X-CSRF-Token": ""}):
            answer = client.open(path, method=method, headers=headers, json={})
            assert answer.status_code == 403 and inspector.count == 1
    assert client.delete("/api/v1/requests", headers=CSRF).status_code == 204
    assert inspector.count == 0


def test_it_has_the_inspector_and_nothing_of_a_server(client: FlaskClient) -> None:
    assert client.get("/api/v1/requests").get_json()["requests"][0]["path"] == "/x?token=•••• (4 characters)"
    assert client.get("/api/v1/requests/1").status_code == 200
    assert client.get("/api/v1/requests/1/curl").mimetype == "text/plain"
    assert client.get("/api/v1/log").get_json() == {"lines": []}
    for path in ("overview", "clients", "routes", "settings", "add-client", "openapi.json"):
        answer = client.get(f"/api/v1/{path}")
        assert answer.status_code == 404 and answer.mimetype == "application/problem+json"
    for path in ("/status", "/metrics", "/login", "/connect"):
        assert client.get(path).status_code == 404


def test_the_shell(client: FlaskClient) -> None:
    answer = client.get("/", headers={"Accept": "text/html"})
    assert answer.mimetype == "text/html" and "script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert client.get("/").text.startswith("sluice http client ")
    assert client.get("/assets/index.html").status_code == 200
    for answer in (client.get("/"), client.get("/nothing"), client.get("/api/v1/log")):
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


class TestServed:
    @pytest.fixture
    def page(self) -> Iterator[ClientPage]:
        page = ClientPage(Inspector(), LogRing())
        page.start("127.0.0.1", 0)
        yield page
        page.stop()

    def test_it_answers_and_inspects_from_the_start(self, page: ClientPage) -> None:
        def ask() -> Any:
            with urlopen(Request(f"http://127.0.0.1:{page.port}/api/v1/inspect"), timeout=10) as answer:
                return answer.read()

        with gevent.Timeout(10):
            assert b'"name":"*"' in cast(bytes, ThreadPool(1).apply(ask))
        assert page.inspector.inspects("anything")

    def test_an_address_that_is_taken(self, page: ClientPage) -> None:
        with pytest.raises(ConfigError, match=r"--inspect 127\.0\.0\.1:\d+: .*choose another port"):
            ClientPage(Inspector(), LogRing()).start("127.0.0.1", page.port)

    def test_garbage_makes_no_traceback(self, page: ClientPage, capfd: pytest.CaptureFixture[str]) -> None:
        def send() -> bytes:
            with socket.create_connection(("127.0.0.1", page.port), timeout=10) as sock:
                sock.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
                return sock.recv(1000)

        with gevent.Timeout(10):
            assert ThreadPool(1).apply(send).startswith(b"HTTP/1.1 400")
        assert "Traceback" not in capfd.readouterr().err
