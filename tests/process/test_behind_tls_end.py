"""Behind nginx and haproxy that end TLS, with their default timeouts a tenth as long, and so the heartbeat.

A client on wss:// through them, on two ports or on one (`--control-domain`), and what is silent for longer than they
let it be: the control channel, streams at rest, a slow answer, a WebSocket.
"""

from __future__ import annotations

import contextlib
import http.client
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stage.process import SLUICE, Process, eventually, stopped_at_the_end
from tests.stage.tls_end import DEFAULT_SECONDS, TlsEnd
from tests.stage.tunnel import TOKEN, Tunnel
from tests.stage.upstream import Exchange, Upstream
from tests.stage.visitor import Visitor, get

SHARE = 0.1  # of the default timeouts, and of the heartbeat
HEARTBEAT_SECONDS = 20.0 * SHARE
SILENT_SECONDS = 2.2 * max(DEFAULT_SECONDS.values()) * SHARE
HOST = "app.example"
UPGRADE = ("Connection: Upgrade", "Upgrade: websocket")
KINDS = [(kind, ports) for kind in DEFAULT_SECONDS for ports in ("two ports", "one port")]
BIG = bytes(range(256)) * 65536


class Silence:
    """An upstream that says nothing for a while, in two ways."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.over = threading.Event()
        self.upstream = Upstream()
        self.upstream.scripts |= {"/slow": self._slow, "/socket": self._socket}

    def _wait(self) -> None:
        self.over.wait(self.seconds)

    def _slow(self, exchange: Exchange) -> None:
        self._wait()
        exchange.answer(b"late")

    def _socket(self, exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        exchange.close()
        exchange.sock.settimeout(None)
        while data := exchange.sock.recv(4096):
            exchange.send(data)


class Stage:
    """A server behind a proxy, a client that comes through the proxy, and visitors who say nothing."""

    def __init__(
        self, directory: Path, kind: str, ports: str, stack: contextlib.ExitStack, share: float = SHARE
    ) -> None:
        seconds = 2.2 * DEFAULT_SECONDS[kind] * share
        self.silence = Silence(seconds)
        stack.callback(self.silence.upstream.close)
        flags = ["--trusted-proxies=127.0.0.1", f"--heartbeat={20 * share}s", "--response-timeout=1h"]
        if ports == "one port":
            flags.append("--control-domain=localhost")
        self.tunnel = tunnel = Tunnel(directory, *flags, plain=True)
        stack.callback(tunnel.close)
        control_port = tunnel.port if ports == "one port" else tunnel.control_port
        self.proxy = TlsEnd(kind, directory, tunnel.port, control_port, DEFAULT_SECONDS[kind] * share)
        stack.callback(self.proxy.close)
        command = [*SLUICE, "http", "client", f"--url=wss://localhost:{self.proxy.port}"]
        command += [f"--tls-ca={self.proxy.authority}", f"--token-file={tunnel.token_file}"]
        command += [f"--upstream=http://127.0.0.1:{self.silence.upstream.port}"]
        self.client = Process("client", command, directory)
        stack.enter_context(stopped_at_the_end(self.client))
        eventually(tunnel.connected, "the client is connected", self.client, tunnel.server)
        self.session = tunnel.connected()
        # Straight to the server: what ends here is to be the proxy's on the client's way.
        self.slow = stack.enter_context(Visitor(tunnel.port))
        self.slow.sock.settimeout(seconds + 60)
        self.socket = stack.enter_context(Visitor(tunnel.port))
        self.slow.send(get("/slow", HOST))
        self.socket.send(get("/socket", HOST, *UPGRADE))
        assert self.socket.answer().status == 101
        self.ends = time.monotonic() + seconds

    def sit_out(self) -> None:
        self.silence.over.wait(max(0.0, self.ends - time.monotonic()))

    def ask(self, path: str) -> tuple[int, bytes]:
        """As a visitor who comes through the proxy."""
        context = ssl.create_default_context(cafile=str(self.proxy.authority))
        connection = http.client.HTTPSConnection("localhost", self.proxy.port, timeout=20, context=context)
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"Host": HOST})
            answer = connection.getresponse()
            return answer.status, answer.read()


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str], Stage]]:
    """All at once: what takes time is silence."""
    with contextlib.ExitStack() as stack:
        yield {(kind, ports): Stage(tmp_path_factory.mktemp(kind), kind, ports, stack) for kind, ports in KINDS}


@pytest.fixture(params=KINDS, ids=" with ".join)
def stage(request: pytest.FixtureRequest, stages: dict[tuple[str, str], Stage]) -> Stage:
    return stages[request.param]


def test_a_visitor_comes_through(stage: Stage) -> None:
    status, body = stage.ask("/hello")
    assert (status, body) == (200, b"/hello")
    (record,) = stage.silence.upstream.requests("/hello")
    assert record.message.one("x-forwarded-proto") == "https"
    assert record.message.one("x-forwarded-for").startswith("127.0.0.1")


def test_a_large_body_comes_through(stage: Stage) -> None:
    stage.silence.upstream.scripts["/big"] = lambda exchange: exchange.answer(BIG)
    assert stage.ask("/big") == (200, BIG)


def test_the_control_plane_has_its_own_name(stage: Stage) -> None:
    context = ssl.create_default_context(cafile=str(stage.proxy.authority))
    for host, token, expected in (("localhost", TOKEN, 200), ("localhost", "wrong", 401)):
        connection = http.client.HTTPSConnection(host, stage.proxy.port, timeout=20, context=context)
        with contextlib.closing(connection):
            connection.request("GET", "/status", headers={"Authorization": f"Bearer {token}"})
            assert connection.getresponse().status == expected


def test_what_is_silent_stays(stage: Stage) -> None:
    """A slow answer comes, a WebSocket still carries both ways, and the client never had to come again."""
    stage.sit_out()
    assert stage.slow.final_answer().body == b"late"
    stage.socket.send(b"are you there?")
    assert stage.socket.reader.exactly(14) == b"are you there?"
    assert stage.ask("/afterwards") == (200, b"/afterwards")
    assert stage.client.output.count("connected to ") == 1, stage.client.output
    assert stage.tunnel.connected() == stage.session
