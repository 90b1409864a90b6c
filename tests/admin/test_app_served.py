"""The same pages over a real socket, by the server and handler that the control plane uses."""

import http.client
import io
import json
from collections.abc import Iterator
from typing import Any

import gevent
import gevent.socket
import pytest
from gevent.pywsgi import WSGIServer
from geventwebsocket.handler import WebSocketHandler

from appliance.admin.app import create_app
from appliance.server import access

Answer = tuple[int, http.client.HTTPMessage, bytes]


@pytest.fixture
def address(state: Any) -> Iterator[tuple[str, int]]:
    server = WSGIServer(("127.0.0.1", 0), create_app(state), handler_class=WebSocketHandler, log=None)
    server.start()
    yield server.address
    server.stop(timeout=1)


class Canned:
    """What HTTPResponse wants of a socket."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self.data)


def send(address: tuple[str, int], data: bytes) -> bytes:
    with gevent.Timeout(10), gevent.socket.create_connection(address) as connection:
        connection.sendall(data)
        pieces = []
        while piece := connection.recv(65536):
            pieces.append(piece)
    return b"".join(pieces)


def ask(address: tuple[str, int], path: str, headers: dict[str, str], method: str = "GET") -> Answer:
    lines = [f"{method} {path} HTTP/1.1", "Host: tunnel.example.com:8123", "Connection: close"]
    lines += [f"{name}: {text}" for name, text in headers.items()]
    data = send(address, ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
    answer = http.client.HTTPResponse(Canned(data), method=method)  # type: ignore[arg-type]
    answer.begin()
    return answer.status, answer.headers, answer.read()


def test_pages_answer(address: tuple[str, int], token_headers: dict[str, str], state: Any) -> None:
    assert ask(address, "/healthz", {})[::2] == (200, b"ok\n")
    assert ask(address, "/.well-known/ca.crt", {})[::2] == (200, state.ca_pem)
    assert ask(address, "/status", {})[0] == 401
    code, headers, body = ask(address, "/status", token_headers)
    assert code == 200 and headers["Content-Type"] == "application/json"
    assert json.loads(body)["info"]["hostname"] == "am1.local"
    code, headers, body = ask(address, "/metrics", token_headers)
    assert code == 200 and b"http_controlplane_connected_gauge 0.0" in body
    assert len(body) == int(headers["Content-Length"])


def test_head_has_the_length_and_no_body(address: tuple[str, int], token_headers: dict[str, str]) -> None:
    code, headers, body = ask(address, "/status", token_headers, method="HEAD")
    assert code == 200 and int(headers["Content-Length"]) > 0 and body == b""


@pytest.mark.parametrize(
    "path",
    ["/%ff%fe", "/status%00", "/..%2f..%2fetc", "/?a=%zz", "/status?x=%ff", "*", "//", "//status", "/é"],
)
def test_odd_paths_get_a_plain_answer(address: tuple[str, int], token_headers: dict[str, str], path: str) -> None:
    code, headers, body = ask(address, path, token_headers)
    assert code in (200, 404) and b"Traceback" not in body
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("host", ["", "a b", "[::1", "x" * 5000, "a\x00b", "\xff\xfe", "host:99999999"])
def test_odd_hosts_get_a_plain_answer(address: tuple[str, int], token_headers: dict[str, str], host: str) -> None:
    request = f"GET /status HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
    request += f"Authorization: {token_headers['Authorization']}\r\n\r\n"
    answer = send(address, request.encode("latin-1"))
    assert answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 400 ")) and b"Traceback" not in answer


def test_guessing_is_slowed_down_and_the_token_is_not(
    address: tuple[str, int], token_headers: dict[str, str], state: Any
) -> None:
    opened, began, held = gevent.event.Event(), gevent.event.Event(), []

    def sleep(seconds: float) -> None:
        held.append(seconds)
        began.set()
        assert opened.wait(10)

    state.guard._sleep = sleep
    wrong = {"Authorization": "Bearer guess"}
    for _ in range(access.FREE_REFUSALS):
        assert ask(address, "/status", wrong)[0] == 401
    guess = gevent.spawn(ask, address, "/status", wrong)
    assert began.wait(10)
    assert ask(address, "/status", token_headers)[0] == 200
    assert not guess.ready() and held == [1.0]
    opened.set()
    assert guess.get(timeout=10)[0] == 401
    assert state.guard.denied == access.FREE_REFUSALS + 1


def test_a_body_that_nobody_wants_does_no_harm(address: tuple[str, int], token_headers: dict[str, str]) -> None:
    head = f"POST /status HTTP/1.1\r\nHost: h\r\nAuthorization: {token_headers['Authorization']}\r\n"
    body = b"x" * 100_000
    first = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    second = b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    answers = send(address, first + second)
    assert answers.startswith(b"HTTP/1.1 405 ") and answers.endswith(b"\r\n\r\nok\n")
