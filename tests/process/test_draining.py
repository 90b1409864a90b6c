"""Server and client end as service managers end them: what is under way has its time, what is new goes elsewhere."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stage.activation import Notified
from tests.stage.messages import Ended
from tests.stage.process import PATIENCE_SECONDS, SLUICE, Process, eventually, free_port
from tests.stage.tcp import Echo, exactly, visit
from tests.stage.tunnel import TOKEN, Tunnel
from tests.stage.upstream import Exchange, Upstream
from tests.stage.visitor import Visitor, get, once

HOST = "a.example"
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tests\r\n\r\n"


class Download:
    """An upstream's answer in two halves; the second when the test says so."""

    def __init__(self, upstream: Upstream) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()
        upstream.scripts["/download"] = self._send

    def _send(self, exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
        self.begun.set()
        if self.go_on.wait(PATIENCE_SECONDS):
            exchange.send(b"done")

    def visitor(self, port: int) -> Visitor:
        """One who has the first half."""
        visitor = Visitor(port)
        visitor.send(get("/download", HOST))
        assert visitor.reader.head().status == 200
        assert visitor.reader.exactly(4) == b"half"
        assert self.begun.wait(PATIENCE_SECONDS)
        return visitor


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    yield upstream
    upstream.close()


@pytest.fixture
def download(upstream: Upstream) -> Download:
    return Download(upstream)


@pytest.fixture
def tunnel(tmp_path: Path, upstream: Upstream) -> Iterator[Tunnel]:
    tunnel = Tunnel(tmp_path, plain=True)
    try:
        tunnel.add_client("client", f"{HOST}=http://127.0.0.1:{upstream.port}")
        yield tunnel
    finally:
        tunnel.close()


def is_stopping(process: Process) -> None:
    os.kill(process.pid, signal.SIGTERM)
    eventually(lambda: "stopping: what is under way has" in process.output, "it is stopping", process)


def test_a_download_ends_in_its_own_time(tunnel: Tunnel, download: Download, tmp_path: Path) -> None:
    """Meanwhile: who asks whether it is ready hears that it is not, and new clients are told to come back."""
    (client,) = tunnel.clients.values()
    with download.visitor(tunnel.port) as visitor:
        is_stopping(tunnel.server)
        eventually(lambda: "the server is going away" in client.output, "the client knows", client, tunnel.server)
        status, _, body = tunnel.control("/readyz", token=None)
        assert (status, body) == (503, b"not ready: starting or stopping\n")
        command = [
            *SLUICE,
            "http",
            "client",
            f"--url={tunnel.url}",
            f"--token={TOKEN}",
            "--upstream=http://127.0.0.1:1",
        ]
        another = Process("another", command, tmp_path)
        text = f"127.0.0.1:{tunnel.control_port}: the server is stopping: connect again in a moment; next try in"
        eventually(lambda: text in another.output, "it is told", another, tunnel.server)
        assert another.stop() == 0
        with pytest.raises(ConnectionRefusedError):
            Visitor(tunnel.port)
        download.go_on.set()
        assert visitor.reader.exactly(4) == b"done"
    assert tunnel.server.wait() == 0
    assert client.alive


def test_what_does_not_end_is_cut_off_when_grace_is_over(tmp_path: Path, upstream: Upstream) -> None:
    """A download, a TCP connection, an upgraded one: each is waited for as long as the flag says."""
    download, echo, port = Download(upstream), Echo(), free_port()

    def switch(exchange: Exchange) -> None:
        exchange.keep = False
        exchange.send(SWITCHING)
        exchange.gone()

    upstream.scripts["/switch"] = switch
    tunnel = Tunnel(tmp_path, "--grace=1.5s", plain=True, mode="")
    try:
        tunnel.add_client("client", f"{HOST}=http://127.0.0.1:{upstream.port}", f"{port}={echo.address}")
        with download.visitor(tunnel.port) as loading, visit(port) as by_tcp, Visitor(tunnel.port) as switched:
            by_tcp.sendall(b"hello")
            assert exactly(by_tcp, 5) == b"hello"
            switched.send(get("/switch", HOST, "Connection: Upgrade", "Upgrade: tests"))
            assert switched.reader.head().status == 101
            began = time.monotonic()
            is_stopping(tunnel.server)
            by_tcp.sendall(b"still")
            assert exactly(by_tcp, 5) == b"still"
            assert tunnel.server.wait() == 0
            assert time.monotonic() - began >= 1.5
            assert "cut off after 1.5 seconds (--grace): 2 requests, 1 TCP connection" in tunnel.server.output
            with pytest.raises((Ended, ConnectionResetError)):
                loading.reader.exactly(4)
    finally:
        download.go_on.set()
        tunnel.close()
        echo.close()


def test_a_tcp_connection_alone_is_waited_for(tmp_path: Path) -> None:
    echo, port = Echo(), free_port()
    tunnel = Tunnel(tmp_path, plain=True, mode="tcp")
    try:
        tunnel.add_client("client", f"{port}={echo.address}")
        with visit(port) as visitor:
            visitor.sendall(b"hello")
            assert exactly(visitor, 5) == b"hello"
            is_stopping(tunnel.server)
            visitor.sendall(b"again")
            assert exactly(visitor, 5) == b"again"
            assert tunnel.server.alive
        assert tunnel.server.wait() == 0
    finally:
        tunnel.close()
        echo.close()


def test_a_client_lets_its_visitors_end(tunnel: Tunnel, download: Download) -> None:
    """It takes no new ones from then on; those that another client could take are not lost."""
    (client,) = tunnel.clients.values()
    with download.visitor(tunnel.port) as visitor:
        is_stopping(client)
        eventually(lambda: not tunnel.connected(), "the server knows", tunnel.server)
        assert once(tunnel.port, get("/", HOST)).status == 503
        download.go_on.set()
        assert visitor.reader.exactly(4) == b"done"
    assert client.wait() == 0


def test_a_client_says_what_it_cuts_off(tmp_path: Path, download: Download, upstream: Upstream) -> None:
    tunnel = Tunnel(tmp_path, plain=True)
    try:
        client = tunnel.add_client("client", f"{HOST}=http://127.0.0.1:{upstream.port}", flags=("--grace=0.2s",))
        with download.visitor(tunnel.port):
            is_stopping(client)
            assert client.wait() == 0
        assert "cut off after 0.2 seconds (--grace): 1 visitor" in client.output
        assert "stopped at once" not in tunnel.server.output
    finally:
        download.go_on.set()
        tunnel.close()


def test_a_server_that_is_asked_twice_says_what_it_cuts_off(tunnel: Tunnel, download: Download) -> None:
    with download.visitor(tunnel.port):
        is_stopping(tunnel.server)
        os.kill(tunnel.server.pid, signal.SIGTERM)
        assert tunnel.server.wait() == 130
    assert "stopped at once, as asked: 1 request cut off" in tunnel.server.output
    download.go_on.set()


def test_a_client_that_is_asked_twice_ends_at_once(tunnel: Tunnel, download: Download) -> None:
    (client,) = tunnel.clients.values()
    with download.visitor(tunnel.port):
        is_stopping(client)
        os.kill(client.pid, signal.SIGTERM)
        assert client.wait() == 130
    download.go_on.set()


# ---- what a service manager hears


def test_a_server_s_signs_of_life(tmp_path: Path, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    notified = Notified(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", str(notified.path))
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    tunnel = Tunnel(tmp_path, plain=True, ready=False)
    try:
        notified.wait("READY=1", tunnel.server)
        monkeypatch.delenv("NOTIFY_SOCKET")
        eventually(tunnel._ready, "it is, indeed", tunnel.server)
        tunnel.add_client("client", f"{HOST}=http://127.0.0.1:{upstream.port}")
        notified.wait("STATUS=1 client, 1 name", tunnel.server)
        eventually(lambda: notified.hear().count("WATCHDOG=1") > 3, "it lives", tunnel.server)
        os.kill(tunnel.server.pid, signal.SIGHUP)
        notified.wait("RELOADING=1", tunnel.server)
        notified.wait("MONOTONIC_USEC=", tunnel.server)
        eventually(lambda: notified.hear().count("READY=1") == 2, "it has reloaded", tunnel.server)
        assert tunnel.server.stop() == 0
        assert "STOPPING=1" in notified.hear()
    finally:
        tunnel.close()
        notified.close()


def test_a_hub_that_is_stuck_gives_no_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is what the watchdog is for. Here it is stuck for all: by SIGSTOP."""
    notified = Notified(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", str(notified.path))
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    tunnel = Tunnel(tmp_path, plain=True)
    try:
        notified.wait("WATCHDOG=1", tunnel.server)
        os.kill(tunnel.server.pid, signal.SIGSTOP)
        count = len(notified.hear())
        threading.Event().wait(0.5)
        assert len(notified.hear()) <= count + 1
        os.kill(tunnel.server.pid, signal.SIGCONT)
        eventually(lambda: len(notified.hear()) > count + 1, "it lives again", tunnel.server)
    finally:
        tunnel.close()
        notified.close()


def test_a_client_is_ready_whatever_its_server_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would be given up where the server is away for longer than a start may take."""
    notified = Notified(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", str(notified.path))
    command = [*SLUICE, "http", "client", f"--url=ws://127.0.0.1:{free_port()}", "--token=t"]
    client = Process("client", [*command, "--upstream=http://127.0.0.1:1"], tmp_path)
    try:
        notified.wait("READY=1", client)
        notified.wait("STATUS=not connected: no connection to 127.0.0.1", client)
        assert client.stop() == 0
        assert "STOPPING=1" in notified.hear()
    finally:
        client.stop()
        notified.close()
