"""`sluice status` against servers that answer well, badly, late or not at all."""

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from cryptography.hazmat.primitives import serialization

from appliance.certificates import issue
from appliance.cli import status
from appliance.cli.main import run
from appliance.cli.status import CA_PATH

TOKEN = "secret"
ANSWER = {
    "info": {
        "version": "0.1.0",
        "sha": "3f2a9c1",
        "mode": "http",
        "startTime": "2001-01-01T00:00:00+00:00",
        "hostname": "pine",
    },
    "clients": [],
}


@dataclass
class Server:
    """A control plane of this test's making; `answers` maps a path to its code and body."""

    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    seen: list[tuple[str, str | None]] = field(default_factory=list)
    port: int = 0
    ca_pem: bytes = b""

    @property
    def plain_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def tls_url(self) -> str:
        return f"wss://127.0.0.1:{self.port}"


def serve(server: Server, context: ssl.SSLContext | None) -> Callable[[], None]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version: ClassVar[str] = "HTTP/1.1"
        timeout = 5

        def do_GET(self) -> None:
            token = self.headers["Authorization"]
            server.seen.append((self.path, token))
            code, body = server.answers.get(self.path, (404, b""))
            if self.path == "/status" and token != f"Bearer {TOKEN}":
                code = 401
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return "Mon, 01 Jan 2001 00:15:20 GMT"  # the server's clock, not ours, tells ages

        def log_message(self, format: str, *args: object) -> None:
            pass

    class QuietServer(HTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that goes away, as some here do

    http_server = QuietServer(("127.0.0.1", 0), Handler)
    if context is not None:
        http_server.socket = context.wrap_socket(http_server.socket, server_side=True)
    server.port = http_server.server_port
    server.answers["/status"] = (200, json.dumps(ANSWER).encode())
    thread = threading.Thread(target=http_server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def stop() -> None:
        http_server.shutdown()
        thread.join(5)
        http_server.server_close()

    return stop


@pytest.fixture
def plain() -> Iterator[Server]:
    server = Server()
    stop = serve(server, None)
    yield server
    stop()


def certificate(directory: Path, name: str) -> tuple[ssl.SSLContext, bytes]:
    now = datetime.now(timezone.utc)
    authority = issue.new_authority(now)
    pair = issue.issue_server(authority, [issue.parse_name(name)], now)
    path = directory / "server.pem"
    path.write_bytes(
        pair.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + pair.certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context, authority.certificate.public_bytes(serialization.Encoding.PEM)


@pytest.fixture(params=["127.0.0.1"])
def tls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """With a certificate for the name in the parameter."""
    context, ca_pem = certificate(tmp_path, request.param)
    server = Server(ca_pem=ca_pem)
    stop = serve(server, context)
    server.answers[CA_PATH] = (200, ca_pem)
    yield server
    stop()


@pytest.fixture
def failing(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run `sluice status`, which must fail with this code; its one line."""

    def ask(code: int, url: str, *arguments: str) -> str:
        assert run(["status", "--url", url, "--token", TOKEN, *arguments]) == code
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith("Error: ") and printed.err.count("\n") == 1
        assert TOKEN not in printed.err
        return printed.err

    return ask


def test_plain(plain: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--url", plain.plain_url, "--token", TOKEN]) == 0
    printed = capsys.readouterr()
    assert "Process uptime: 15 minutes ago\n" in printed.out
    assert printed.out.endswith("No clients connected.\n")
    assert plain.seen == [("/status", f"Bearer {TOKEN}")]


def test_the_token_goes_only_to_a_server_that_is_trusted(tls: Server) -> None:
    assert run(["status", "--url", tls.tls_url, "--token", TOKEN]) == 0
    assert tls.seen == [(CA_PATH, None), ("/status", f"Bearer {TOKEN}")]


def test_json(plain: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--url", plain.plain_url, "--token", TOKEN, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == ANSWER


def test_refused_token(plain: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--url", plain.plain_url, "--token", "wrong"]) == 3
    assert capsys.readouterr().err.endswith("refuses the token: pass the server's with --token-file FILE\n")


def test_a_server_with_a_certificate_that_nobody_vouches_for(tls: Server, failing: Callable[..., str]) -> None:
    del tls.answers[CA_PATH]
    assert "cannot be trusted" in failing(1, tls.tls_url)
    assert "cannot be trusted" in failing(1, tls.tls_url, "--auto-tls=false")
    assert [path for path, _ in tls.seen] == [CA_PATH]


def test_insecure(tls: Server) -> None:
    del tls.answers[CA_PATH]
    assert run(["status", "--url", tls.tls_url, "--token", TOKEN, "--insecure"]) == 0


@pytest.mark.parametrize("tls", ["other.test"], indirect=True)
def test_a_certificate_for_another_name(tls: Server, failing: Callable[..., str]) -> None:
    line = failing(1, tls.tls_url)
    assert "IP address mismatch" in line and "--auto-tls-san" in line


def test_another_authority_than_the_server_has(tls: Server, failing: Callable[..., str], tmp_path: Path) -> None:
    tls.answers[CA_PATH] = (200, certificate(tmp_path, "127.0.0.1")[1])
    assert "cannot be trusted" in failing(1, tls.tls_url)
    assert ("/status", f"Bearer {TOKEN}") not in tls.seen


@pytest.mark.parametrize("pem", [b"", b"<html>", b"\xff"])
def test_something_else_in_place_of_the_authority(tls: Server, failing: Callable[..., str], pem: bytes) -> None:
    tls.answers[CA_PATH] = (200, pem)
    assert "has no certificate at" in failing(1, tls.tls_url)


@pytest.mark.parametrize(
    ("code", "body", "message"),
    [
        (404, b"", "answers 404 to /status"),
        (302, b"", "answers 302 to /status"),
        (200, b"<html>", "is it a Sluice server?"),
        (200, b"[]", "is it a Sluice server?"),
        (200, b'{"info": {}, "clients": {}}', "is it a Sluice server?"),
        (200, b'{"info": {}, "clients": [1]}', "is it a Sluice server?"),
        (200, b"\xff", "is it a Sluice server?"),
        (200, b"", "is it a Sluice server?"),
    ],
)
def test_other_answers(plain: Server, failing: Callable[..., str], code: int, body: bytes, message: str) -> None:
    plain.answers["/status"] = (code, body)
    assert message in failing(1, plain.plain_url)


def test_nobody_there(failing: Callable[..., str]) -> None:
    with socket.socket() as bound:  # bound and not listening: nobody else can be there
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        assert "cannot be reached: Connection refused" in failing(1, f"wss://127.0.0.1:{port}")


def test_no_such_host(failing: Callable[..., str]) -> None:
    assert "cannot be reached" in failing(1, "wss://name.invalid:8123")


def test_silence(monkeypatch: pytest.MonkeyPatch, failing: Callable[..., str]) -> None:
    monkeypatch.setattr(status, "WAIT_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        for url in (f"ws://127.0.0.1:{port}", f"wss://127.0.0.1:{port}"):
            assert "does not answer within 0.1 seconds" in failing(1, url)


def test_tls_where_there_is_none(plain: Server, failing: Callable[..., str]) -> None:
    assert f"write ws://127.0.0.1:{plain.port}" in failing(1, f"wss://127.0.0.1:{plain.port}")


def test_no_tls_where_there_is(tls: Server, failing: Callable[..., str]) -> None:
    assert f"write wss://127.0.0.1:{tls.port}" in failing(1, f"ws://127.0.0.1:{tls.port}")
