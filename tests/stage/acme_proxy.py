"""Stands in front of an ACME server: watches, refuses, holds up, and adds renewal information (RFC 9773)."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tests.stage.process import PATIENCE_SECONDS, free_port


class Asked(NamedTuple):
    """A request that has come; `payload`: what was signed, decoded as far as it goes."""

    moment: float
    method: str
    path: str
    body: bytes


class AcmeProxy:
    """`limits`: by part of a path, the answers to give instead of asking the server. `holding`: parts of paths whose
    answers are kept back until `release`. `window`: the renewal window that is suggested for every certificate.
    """

    def __init__(self, url: str, directory: Any) -> None:
        self._target = urlsplit(url)
        self.port = free_port()
        self.asked: list[Asked] = []
        self.refusals: dict[str, tuple[int, Mapping[str, str], Mapping[str, Any]]] = {}
        self.holding: set[str] = set()
        self.held = threading.Event()  # an answer is being kept back
        self.release = threading.Event()
        self.window: tuple[str, str] | None = None
        self._context = ssl.create_default_context(cafile=str(directory / "ca.pem"))
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), handler)
        self._server.daemon_threads = True
        own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        own.load_cert_chain(directory / "cert.pem", directory / "key.pem")
        self._server.socket = own.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}{self._target.path}"

    def limit(self, part: str, seconds: int, status: int = 429) -> None:
        """Refuse requests whose path has this part, as an issuer does of whom too much was asked."""
        problem = {"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too much was asked", "status": status}
        self.refusals[part] = (status, {"Retry-After": str(seconds)}, problem)

    def count(self, part: str) -> int:
        """How many requests have come to such paths."""
        return sum(part in asked.path for asked in self.asked)

    def close(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._thread.join(PATIENCE_SECONDS)
        self._server.server_close()

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> _Answer:
        self.asked.append(Asked(time.time(), method, path, body))
        for part, (status, fields, problem) in self.refusals.items():
            if part in path:
                return _Answer(status, {**fields, "Content-Type": "application/problem+json"}, _json(problem))
        if path.startswith("/renewal-info/") and self.window is not None:
            start, end = self.window
            content = {"suggestedWindow": {"start": start, "end": end}}
            return _Answer(200, {"Content-Type": "application/json", "Retry-After": "60"}, _json(content))
        answer = self._forward(method, path, headers, body)
        if path == self._target.path and self.window is not None:
            content = {**json.loads(answer.body), "renewalInfo": f"https://127.0.0.1:{self.port}/renewal-info"}
            answer = answer._replace(body=_json(content))
        if any(part in path for part in self.holding):
            self.held.set()
            self.release.wait(PATIENCE_SECONDS)
        return answer

    def _forward(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> _Answer:
        """Host stays as it came: pebble makes its URLs, and checks those that are signed, by it."""
        host, port = self._target.hostname or "", self._target.port
        with contextlib.closing(http.client.HTTPSConnection(host, port, timeout=10, context=self._context)) as there:
            there.request(method, path, body or None, dict(headers))
            response = there.getresponse()
            kept = ("replay-nonce", "location", "content-type", "link", "retry-after")
            fields = {name: value for name, value in response.getheaders() if name.lower() in kept}
            return _Answer(response.status, fields, response.read())


class _Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class _Handler(BaseHTTPRequestHandler):
    proxy: AcmeProxy
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kept = ("host", "content-type", "accept", "user-agent")
        fields = {name: value for name, value in self.headers.items() if name.lower() in kept}
        answer = self.proxy.answer(self.command, self.path, fields, body)
        with contextlib.suppress(OSError):  # the client may have been killed
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

    do_GET = do_HEAD = do_POST = _answer

    def log_message(self, *_: object) -> None:
        """Not on the test's output."""


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content).encode()
