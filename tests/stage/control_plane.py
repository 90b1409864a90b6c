"""A control plane of the tests' own, for commands that ask one: it answers well or badly, as a test wants."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

from cryptography.hazmat.primitives import serialization

from appliance.certificates import issue

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
    bodies: list[bytes] = field(default_factory=list)
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
            if body.startswith(b'{"type": "about:blank"'):
                self.send_header("Content-Type", "application/problem+json")
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.do_GET()

        def do_DELETE(self) -> None:
            self.do_GET()

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
