"""Requests to servers that do not behave, and what is said about them."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.certificates import acme_client
from appliance.certificates.acme_client import Client
from appliance.certificates.acme_problems import Failed
from appliance.certificates.issue import issue_server, new_authority, parse_name

PROBLEM = {"Content-Type": "application/problem+json"}


class Server:
    """Answers each path with what stands in `answers`: a list is used up, its last entry stays."""

    def __init__(self, directory: Path, now: datetime) -> None:
        self.answers: dict[str, list[tuple[int, dict[str, str], bytes]]] = {}
        self.asked: list[tuple[str, str]] = []
        authority = new_authority(now)
        pair = issue_server(authority, [parse_name("127.0.0.1")], now)
        pem = serialization.Encoding.PEM
        self.ca, own = directory / "ca.pem", directory / "own.pem"
        self.ca.write_bytes(authority.certificate.public_bytes(pem))
        key = pair.key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        own.write_bytes(key + pair.certificate.public_bytes(pem))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"server_of": self}))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(own)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that do not trust us
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.url = f"https://127.0.0.1:{self._server.server_address[1]}"
        self.says("/dir", 200, {"newNonce": f"{self.url}/nonce", "newOrder": f"{self.url}/order"})
        self.says("/nonce", 200, {})

    def says(self, path: str, status: int, content: object, headers: dict[str, str] | None = None) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.answers.setdefault(path, []).append((status, headers or {}, body))

    def client(self, ca: Path | None = None) -> Client:
        return Client(f"{self.url}/dir", ec.generate_private_key(ec.SECP256R1()), str(ca or self.ca))

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server_of: Server

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server_of.asked.append((self.command, self.path))
        answers = self.server_of.answers[self.path]
        status, headers, body = answers.pop(0) if len(answers) > 1 else answers[0]
        self.send_response(status)
        nonce = f"bm9uY2U{len(self.server_of.asked):05d}"
        for name, value in {"Replay-Nonce": nonce, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = _answer

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path, datetime.now(timezone.utc))
    yield server
    server.close()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    client = server.client()
    yield client
    client.close()


def failure(client: Client, path: str = "/order") -> Failed:
    with pytest.raises(Failed) as caught:
        client.ask(client.url("newNonce").removesuffix("/nonce") + path, {})
    return caught.value


def test_bad_nonces_are_met_with_others(server: Server, client: Client) -> None:
    for _ in range(15):
        server.says("/order", 400, {"type": "urn:ietf:params:acme:error:badNonce", "detail": "no"}, PROBLEM)
    server.says("/order", 201, {"status": "pending"})
    assert client.ask(f"{server.url}/order", {}) == {"status": "pending"}


def test_but_not_for_ever(server: Server, client: Client) -> None:
    server.says("/order", 400, {"type": "urn:ietf:params:acme:error:badNonce", "detail": "no"}, PROBLEM)
    failed = failure(client)
    assert failed.whole
    assert server.asked.count(("POST", "/order")) == 2 * acme_client.NONCE_TRIES


def test_a_limit_has_its_time(server: Server, client: Client) -> None:
    problem = {"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many"}
    server.says("/order", 429, problem, {**PROBLEM, "Retry-After": "7200"})
    failed = failure(client)
    assert (failed.code, failed.retry_after, failed.whole) == ("rateLimited", 7200.0, False)
    assert "says: too many (rateLimited)" in str(failed)


def test_a_busy_server_is_busy_for_all_names(server: Server, client: Client) -> None:
    problem = {"type": "urn:ietf:params:acme:error:rateLimited", "detail": "busy"}
    server.says("/order", 503, problem, {**PROBLEM, "Retry-After": "60"})
    assert failure(client).whole


@pytest.mark.parametrize(
    "status, content",
    [(502, b"<html>Bad gateway"), (200, b"<html>Welcome"), (200, b"[]"), (200, b""), (500, b""), (500, b'{"a": 1}')],
)
def test_what_is_no_acme_server(server: Server, client: Client, status: int, content: bytes) -> None:
    server.says("/order", status, content)
    failed = failure(client)
    assert failed.whole
    assert "\n" not in str(failed) and "<" not in str(failed)


def test_a_directory_that_is_none(server: Server) -> None:
    server.answers["/dir"] = []
    server.says("/dir", 200, {"hello": "world"})
    with pytest.raises(Failed, match=r"/dir is no ACME directory: it has no newAccount"):
        server.client().url("newAccount")
    server.answers["/dir"] = [(404, {}, b"nothing here")]
    with pytest.raises(Failed, match=r"does not answer as an ACME server does \(status 404\)"):
        server.client().url("newAccount")


def test_a_server_that_nobody_vouches_for(server: Server, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(new_authority(datetime.now(timezone.utc)).certificate.public_bytes(serialization.Encoding.PEM))
    with pytest.raises(Failed, match="is not trusted: .*name its authority with --letsencrypt-ca") as caught:
        server.client(other).url("newOrder")
    assert caught.value.whole


def test_a_server_of_another_time(tmp_path: Path) -> None:
    server = Server(tmp_path, datetime.now(timezone.utc) - timedelta(days=500))
    try:
        with pytest.raises(Failed, match="certificate has expired: look at this machine's clock"):
            server.client().url("newOrder")
    finally:
        server.close()


def test_nobody_there(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    client = Client(f"https://127.0.0.1:{port}/dir", ec.generate_private_key(ec.SECP256R1()), str(server.ca))
    with pytest.raises(Failed, match=f"127.0.0.1:{port} cannot be reached: .*[Cc]onnection refused") as caught:
        client.url("newOrder")
    assert caught.value.whole
    assert "0x" not in str(caught.value)


def test_somebody_silent(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acme_client, "REQUEST_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/dir"
        client = Client(url, ec.generate_private_key(ec.SECP256R1()), str(server.ca))
        with pytest.raises(Failed, match="has not answered within 0.2 seconds"):
            client.url("newOrder")


def test_a_decision_is_awaited_for_so_long(server: Server, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acme_client, "MIN_PAUSE_SECONDS", 0.01)
    for _ in range(3):
        server.says("/order", 200, {"status": "pending"})
    server.says("/order", 200, {"status": "valid"})
    assert client.await_status(f"{server.url}/order", ("pending",), 10.0)["status"] == "valid"
    server.answers["/order"] = []
    server.says("/order", 200, {"status": "pending"}, {"Retry-After": "30"})
    before = len(server.asked)
    with pytest.raises(Failed, match="has not decided within 5 seconds"):
        client.await_status(f"{server.url}/order", ("pending",), 5.0)
    assert len(server.asked) == before + 1  # it asks for more time than there is
