"""Real programs through the tunnel: curl, nginx, a WebSocket library at both ends; files and other sockets."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import random
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import Server as WebSocketServer
from websockets.sync.server import ServerConnection, serve

from tests.stage.certificate import own_certificate
from tests.stage.nginx import Nginx
from tests.stage.process import PATIENCE_SECONDS
from tests.stage.tunnel import Tunnel
from tests.stage.upstream import Exchange, Upstream
from tests.stage.visitor import get, once

BIG = random.Random(1).randbytes(3 * 2**20)


@dataclasses.dataclass
class Stage:
    tunnel: Tunnel
    nginx: Nginx
    python: Upstream
    directory: Path


def chat(connection: ServerConnection) -> None:
    """Say everything back; close with 4001 on request."""
    try:
        for message in connection:
            if message == "close":
                connection.close(4001, "as you like")
            else:
                connection.send(message)
    except ConnectionClosed:
        pass


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    directory = tmp_path_factory.mktemp("through")
    share = directory / "share"
    share.mkdir()
    (share / "big.bin").write_bytes(BIG)
    python, sock_path = Upstream(), directory / "app.sock"
    unix, ipv6 = Upstream("unix", path=str(sock_path)), Upstream("ipv6", host="::1")
    secure = Upstream("secure", tls=own_certificate(directory))
    nginx = Nginx(directory)
    chatting: WebSocketServer = serve(chat, "127.0.0.1", 0, max_size=None)
    threading.Thread(target=chatting.serve_forever, daemon=True).start()
    tunnel = Tunnel(directory)
    try:
        tunnel.add_client(
            "client",
            f"python.example=http://127.0.0.1:{python.port}",
            f"nginx.example=http://127.0.0.1:{nginx.port}",
            f"chat.example=http://127.0.0.1:{chatting.socket.getsockname()[1]}",
            f"unix.example=unix:{sock_path}",
            f"ipv6.example=http://[::1]:{ipv6.port}",
            f"files.example={share}",
            f"doubted.example=https://127.0.0.1:{secure.port}",
            f"accepted.example=https://127.0.0.1:{secure.port}?insecure=true",
        )
        yield Stage(tunnel, nginx, python, directory)
    finally:
        tunnel.close()
        chatting.shutdown()
        nginx.close()
        for upstream in (python, unix, ipv6, secure):
            upstream.close()


# ---- curl


def curl(stage: Stage, host: str, path: str, *flags: str) -> bytes:
    """What curl prints; it resolves `host` to the edge."""
    port = stage.tunnel.port
    command = ["curl", "--silent", "--show-error", "--max-time", str(int(PATIENCE_SECONDS)), "--noproxy", "*",
               "--connect-to", f"{host}:80:127.0.0.1:{port}", *flags, f"http://{host}{path}"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE_SECONDS * 2, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


WRITE_OUT = "\\n%{http_code} %{http_version} %{num_connects}"


@pytest.mark.parametrize("version", ["--http1.0", "--http1.1"])
@pytest.mark.parametrize("host", ["python.example", "nginx.example"])
def test_curl_gets(stage: Stage, host: str, version: str) -> None:
    body, _, said = curl(stage, host, "/x", version, "--write-out", WRITE_OUT).rpartition(b"\n")
    assert body == (b"/x" if host == "python.example" else b"nginx")
    assert said == b"200 1.1 1"


def test_curl_keeps_its_connection(stage: Stage) -> None:
    url = "http://python.example/2"
    printed = curl(stage, "python.example", "/1", "--write-out", " %{num_connects} ", url)
    assert printed.split() == [b"/2", b"1", b"/1", b"0"]


@pytest.mark.parametrize(
    "flags",
    [(), ("--http1.0",), ("-H", "Transfer-Encoding: chunked"), ("-H", "Expect: 100-continue")],
    ids=["counted", "HTTP/1.0", "chunked", "100-continue"],
)
def test_curl_uploads_to_nginx(stage: Stage, flags: tuple[str, ...]) -> None:
    """What arrives is what was sent, and comes back the same."""
    source = stage.directory / "upload.bin"
    source.write_bytes(BIG)
    name = f"/files/{len(list((stage.directory / 'files').iterdir()))}.bin"
    said = curl(stage, "nginx.example", name, *flags, "--upload-file", str(source), "--write-out", WRITE_OUT)
    assert said.split()[-3] == b"201"
    assert (stage.directory / name[1:]).read_bytes() == BIG
    assert curl(stage, "nginx.example", name) == BIG


def test_curl_waits_for_100_continue(stage: Stage) -> None:
    """The body is sent after the upstream has said so, and not before."""

    def script(exchange: Exchange) -> None:
        assert not exchange.reader.buffer
        exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        exchange.answer(hashlib.sha256(exchange.read_body()).hexdigest().encode())

    stage.python.scripts["/continue"] = script
    source = stage.directory / "continue.bin"
    source.write_bytes(BIG)
    flags = ("--expect100-timeout", "15", "-H", "Expect: 100-continue", "--data-binary", f"@{source}")
    printed = curl(stage, "python.example", "/continue", *flags)
    assert printed.decode() == hashlib.sha256(BIG).hexdigest()


@pytest.mark.parametrize("host", ["nginx.example", "files.example"])
def test_curl_asks_for_ranges(stage: Stage, host: str) -> None:
    (stage.directory / "files" / "big.bin").write_bytes(BIG)
    path = "/files/big.bin" if host == "nginx.example" else "/big.bin"
    for flags, expected in {
        "0-99": BIG[:100],
        "1000000-2000000": BIG[1000000:2000001],
        "-5": BIG[-5:],
    }.items():
        assert curl(stage, host, path, "--range", flags) == expected
    head = curl(stage, host, path, "--range", "5-9", "--include").lower()
    assert head.startswith(b"http/1.1 206") and b"content-range: bytes 5-9/%d\r\n" % len(BIG) in head
    assert curl(stage, host, path) == BIG


def test_curl_upgrade_to_http2_is_passed_over(stage: Stage) -> None:
    printed = curl(stage, "python.example", "/x", "--http2", "--write-out", WRITE_OUT)
    assert printed == b"/x\n200 1.1 1"


@pytest.mark.parametrize("host", ["unix.example", "ipv6.example", "accepted.example"])
def test_other_ways_to_an_upstream(stage: Stage, host: str) -> None:
    for body in (b"hello", BIG):
        source = stage.directory / "posted.bin"
        source.write_bytes(body)
        assert curl(stage, host, "/x", "-H", "Expect:", "--data-binary", f"@{source}") == body


def test_an_upstream_whose_certificate_nobody_vouches_for(stage: Stage) -> None:
    answer = once(stage.tunnel.port, get("/x", "doubted.example"))
    assert answer.status == 502
    assert b"127.0.0.1" not in answer.body


# ---- WebSocket


def chatting(stage: Stage) -> ClientConnection:
    sock = socket.create_connection(("127.0.0.1", stage.tunnel.port), PATIENCE_SECONDS)
    return connect("ws://chat.example/room", sock=sock, max_size=None, open_timeout=PATIENCE_SECONDS)


def test_websocket_messages(stage: Stage) -> None:
    with chatting(stage) as connection:
        for message in ("hello", "", "\N{SNOWMAN}" * 1000, b"", BIG[: 2**20], b"\0"):
            connection.send(message)
            assert connection.recv(PATIENCE_SECONDS) == message


def test_websocket_ping(stage: Stage) -> None:
    with chatting(stage) as connection:
        assert connection.ping(b"are you there").wait(PATIENCE_SECONDS)


def test_websocket_close_codes(stage: Stage) -> None:
    with chatting(stage) as connection:
        connection.send("close")
        with pytest.raises(ConnectionClosed) as caught:
            connection.recv(PATIENCE_SECONDS)
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4001, "as you like")
    with chatting(stage) as connection:
        connection.close(4002, "enough")
    assert connection.close_code == 4002


def test_many_websockets_at_once(stage: Stage) -> None:
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(chatting(stage)) for _ in range(20)]
        for number, connection in enumerate(connections):
            connection.send(f"I am {number}")
        for number, connection in enumerate(connections):
            assert connection.recv(PATIENCE_SECONDS) == f"I am {number}"


def test_control_plane_is_tls_of_the_servers_own_authority(stage: Stage) -> None:
    context = ssl.create_default_context(cadata=stage.tunnel.authority)
    with (
        socket.create_connection(("127.0.0.1", stage.tunnel.control_port), PATIENCE_SECONDS) as sock,
        context.wrap_socket(sock, server_hostname="127.0.0.1") as secured,
    ):
        assert secured.version() in ("TLSv1.2", "TLSv1.3")


def test_statistics_count_what_was_carried(stage: Stage) -> None:
    name, labels = "http_dataplane_requests_total", '{code="200",host="python.example",method="GET"}'
    before = stage.tunnel.metrics(name).get(labels, 0)
    for _ in range(3):
        assert once(stage.tunnel.port, get("/x", "python.example")).status == 200
    assert stage.tunnel.metrics(name)[labels] == before + 3
