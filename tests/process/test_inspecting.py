"""`--inspect` at both ends of the real program: what is seen, what is sent again, what it costs when it is off."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import http.client
import json
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

from appliance.tunnel.inspector.overhear import GIVEN_UP, LOST
from tests.stage.process import PATIENCE_SECONDS, SLUICE, Process, eventually, free_port, run
from tests.stage.tunnel import TOKEN, Tunnel
from tests.stage.upstream import Exchange, Upstream
from tests.stage.visitor import get, once, request

NAME = "app.example"
SECRET = "s3cr3t-of-a-visitor"


class Api:
    """The API of one end, as a program asks it."""

    def __init__(self, connect: Any, headers: dict[str, str]) -> None:
        self._connect = connect
        self.headers = headers

    def ask(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        with contextlib.closing(self._connect()) as connection:
            data = None if body is None else json.dumps(body).encode()
            connection.request(method, "/api/v1" + path, data, self.headers | {"Content-Type": "application/json"})
            answer = connection.getresponse()
            said = answer.read()
            assert answer.status == status, said
            return json.loads(said) if said else None

    def requests(self, query: str = "") -> list[dict[str, Any]]:
        """Newest first."""
        return list(self.ask("GET", "/requests" + query)["requests"])

    def ended(self, number: int) -> dict[str, Any]:
        """One record, once it is over."""

        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.ask("GET", f"/requests/{number}?reveal=1")
            return found if found["state"] != "open" else None

        found = eventually(look, f"record {number} ends")
        assert found is not None
        return found


@dataclasses.dataclass
class Stage:
    tunnel: Tunnel
    upstream: Upstream
    server: Api
    client: Api

    def ends(self) -> Iterator[tuple[str, Api]]:
        yield "server", self.server
        yield "client", self.client


def chat(connection: ServerConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        for message in connection:
            connection.send(message)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(contextlib.closing(Upstream()))
        sockets = stack.enter_context(serve(chat, "127.0.0.1", 0))
        threading.Thread(target=sockets.serve_forever, daemon=True).start()
        tunnel = Tunnel(tmp_path_factory.mktemp("inspecting"), "--inspect", f"{NAME},ws.example")
        stack.callback(tunnel.close)
        port = free_port()
        web_socket = f"ws.example=http://127.0.0.1:{sockets.socket.getsockname()[1]}"
        tunnel.add_client(
            "client",
            f"{NAME}=http://127.0.0.1:{upstream.port}",
            f"other.example=http://127.0.0.1:{upstream.port}",
            web_socket,
            flags=(f"--inspect=127.0.0.1:{port}",),
        )
        server = Api(tunnel.control_connection, {"Authorization": f"Bearer {TOKEN}"})
        client = Api(lambda: http.client.HTTPConnection("127.0.0.1", port, timeout=10), {})
        client.headers["X-CSRF-Token"] = client.ask("GET", "/session")["csrfToken"]
        yield Stage(tunnel, upstream, server, client)


@pytest.fixture(autouse=True)
def nothing_recorded(stage: Stage) -> None:
    for _, api in stage.ends():
        api.ask("DELETE", "/requests", status=204)


def test_a_request_is_seen_at_both_ends(stage: Stage) -> None:
    body = json.dumps({"what": "a body", "password": SECRET}).encode()
    stage.upstream.scripts["/json"] = lambda exchange: exchange.answer(
        gzip.compress(exchange.read_body()), "201 Created", "Content-Type: application/json", "Content-Encoding: gzip"
    )
    head = request(
        "POST /json?token=abc HTTP/1.1",
        f"Host: {NAME}",
        f"Authorization: Bearer {SECRET}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    )
    answer = once(stage.tunnel.port, head + body)
    assert (answer.status, gzip.decompress(answer.body)) == (201, body)
    for where, api in stage.ends():
        (summary,) = api.requests()
        assert (summary["method"], summary["name"], summary["status"]) == ("POST", NAME, 201), where
        found = api.ended(summary["id"])
        assert found["state"] == "done" and found["visitor"] == "127.0.0.1"
        assert json.loads(found["request"]["body"]["text"]) == json.loads(body)
        assert json.loads(found["response"]["body"]["text"]) == json.loads(body)
        assert SECRET in json.dumps(found["request"]["headers"])
        masked = api.ask("GET", f"/requests/{summary['id']}")
        assert SECRET not in json.dumps(masked["request"]["headers"])
    assert SECRET not in stage.tunnel.server.output


def test_only_what_is_inspected_is_seen(stage: Stage) -> None:
    once(stage.tunnel.port, get("/", "other.example"))
    assert stage.server.requests() == []
    assert len(stage.client.requests()) == 1
    stage.server.ask("PUT", "/inspect/other.example", {"seconds": 60})
    once(stage.tunnel.port, get("/now", "other.example"))
    stage.server.ask("DELETE", "/inspect/other.example", status=204)
    once(stage.tunnel.port, get("/later", "other.example"))
    assert [found["path"] for found in stage.server.requests()] == ["/now"]


@pytest.mark.parametrize("where", ["server", "client"])
def test_replay_as_it_was_and_edited(stage: Stage, where: str) -> None:
    api: Api = getattr(stage, where)
    path = f"/again-{where}"
    head = request(f"POST {path} HTTP/1.1", f"Host: {NAME}", f"Authorization: Bearer {SECRET}", "Content-Length: 3")
    assert once(stage.tunnel.port, head + b"old").body == b"old"
    (summary,) = api.requests()
    number = api.ask("POST", f"/requests/{summary['id']}/replay", {}, status=201)["id"]
    found = api.ended(number)
    assert (found["state"], found["status"], found["replayOf"]) == ("done", 200, summary["id"])
    shown = api.ask("GET", f"/requests/{summary['id']}")["request"]["headers"]  # with the token masked
    edits = {"method": "PUT", "path": path + "?edited", "headers": [*shown, ["X-New", "1"]], "body": {"text": "new"}}
    found = api.ended(api.ask("POST", f"/requests/{summary['id']}/replay", edits, status=201)["id"])
    assert (found["method"], found["path"], found["status"]) == ("PUT", path + "?edited", 200)
    assert found["response"]["body"]["text"] == "new"
    first, second, third = (recorded.message for recorded in stage.upstream.requests(path))
    assert (second.method, second.body, second.one("authorization")) == ("POST", b"old", f"Bearer {SECRET}")
    assert (third.method, third.body, third.one("x-new")) == ("PUT", b"new", "1")
    assert third.one("authorization") == f"Bearer {SECRET}" == first.one("authorization")
    assert third.one("content-length") == "3"


def test_websocket_messages_of_a_real_library(stage: Stage) -> None:
    long = "compress me, " * 3000
    there = socket.create_connection(("127.0.0.1", stage.tunnel.port))
    with connect("ws://ws.example/chat", sock=there, proxy=None) as ws:
        assert ws.response is not None and "permessage-deflate" in ws.response.headers["Sec-WebSocket-Extensions"]
        for message in ("hello", b"\x00\x01", long, "hello"):
            ws.send(message)
            assert ws.recv() == message
    for where, api in stage.ends():
        (summary,) = api.requests("?name=ws.example")
        found = api.ended(summary["id"])
        assert (found["kind"], found["state"], found["status"]) == ("websocket", "done", 101), where
        for direction in ("visitor", "upstream"):
            said = [it for it in found["messages"] if it["direction"] == direction]
            assert [it["kind"] for it in said] == ["text", "binary", "text", "text", "close"]
            assert [it["text"] for it in said if it["kind"] == "text"] == ["hello", long, "hello"]


def silent(exchange: Exchange) -> None:
    exchange.gone(PATIENCE_SECONDS)
    exchange.keep = False


def test_a_client_tells_a_visitor_that_left_from_a_server_that_is_gone(tmp_path: Path) -> None:
    upstream, port = Upstream(), free_port()
    upstream.scripts["/silent"] = silent
    tunnel = Tunnel(tmp_path)
    with contextlib.closing(upstream), contextlib.closing(tunnel):
        target = f"{NAME}=http://127.0.0.1:{upstream.port}"
        tunnel.add_client("client", target, flags=(f"--inspect=127.0.0.1:{port}",))
        client = Api(lambda: http.client.HTTPConnection("127.0.0.1", port, timeout=10), {})
        ends: list[tuple[str, str]] = []
        for end in ("the visitor", "the server"):
            with socket.create_connection(("127.0.0.1", tunnel.port)) as visitor:
                visitor.sendall(get("/silent", NAME))
                upstream.wait(lambda: len(upstream.recorded) > len(ends), "it is asked")
                if end == "the server":
                    tunnel.server.kill()
            found = client.ended(client.requests()[0]["id"])
            ends.append((found["state"], found["note"]))
    assert ends == [("left", GIVEN_UP), ("broken", LOST)]


def test_a_client_says_where_its_page_is_and_needs_its_port(stage: Stage, tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        for given in (f"--inspect=127.0.0.1:{port}", "--inspect=0.0.0.0:4040", "--inspect=nonsense"):
            command = [
                *SLUICE, "http", "client", "--url", stage.tunnel.url, "--token-file", str(stage.tunnel.token_file),
                "--upstream", "http://127.0.0.1:1", given,
            ]  # fmt: skip
            client = Process("refused", command, tmp_path)
            assert client.wait() == 2
            assert "--inspect" in client.output and len(client.output.strip().splitlines()) == 1, client.output


def test_without_it_a_client_loads_none_of_it() -> None:
    """It stays small, and the way of the bytes is the same: classes that listen are not even there."""
    code = (
        "import sys; from appliance.client import agent; "
        "print([name for name in sys.modules if 'flask' in name or 'inspect' in name.removeprefix('inspect')])"
    )
    assert run(sys.executable, "-c", code).strip() == b"[]"
