"""A server that is started anew under load, on sockets that outlive it."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import ssl
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.stage.activation import Held
from tests.stage.certificate import CERTIFICATE, own_certificate
from tests.stage.load import SteadyLoad
from tests.stage.process import PATIENCE_SECONDS, SLUICE, Process, eventually, free_port
from tests.stage.tcp import Echo, exactly, turned_away, visit
from tests.stage.tunnel import TOKEN
from tests.stage.upstream import Upstream
from tests.stage.visitor import get, once

HOST = "a.example"


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    yield upstream
    upstream.close()


class Service:
    """A server on held sockets, and a client of it."""

    def __init__(self, directory: Path, *names: str, mode: str = "http", flags: tuple[str, ...] = ()) -> None:
        self.directory = directory
        self.held = Held(*names)
        (directory / "token").write_text(TOKEN)
        self._command = [
            *SLUICE, *filter(None, [mode]), "server", "--token-file=token", f"--auto-tls-path={directory / 'state'}",
            "--auto-tls-san=127.0.0.1", "--data-addr=127.0.0.1", "--control-addr=127.0.0.1", *flags,
        ]  # fmt: skip
        self._environ = {"STATE_DIRECTORY": str(directory / "client-state")}
        self._count = 0
        self.server = self.start()
        self.client: Process | None = None

    def start(self) -> Process:
        self._count += 1
        server = self.held.start(f"server-{self._count}", self._command, self.directory)
        eventually(lambda: "clients:  " in server.output, "the server listens", server)
        return server

    def restart(self) -> None:
        """As `systemctl restart`: one after the other."""
        os.kill(self.server.pid, signal.SIGTERM)
        assert self.server.wait() == 0, self.server.output
        self.server.stop()
        self.server = self.start()

    def add_client(self, *upstreams: str, mode: str = "http") -> None:
        command = [*SLUICE, *filter(None, [mode]), "client", f"--url=wss://127.0.0.1:{self.held.port('control')}"]
        command += ["--token-file=token", *(f"--upstream={upstream}" for upstream in upstreams)]
        self.client = Process("client", command, self.directory, self._environ)
        eventually(lambda: " connected from " in self.server.output, "the client is there", self.client, self.server)

    def close(self) -> None:
        try:
            if self.client is not None:
                self.client.stop()
            self.server.stop()
        finally:
            self.held.close()


def asked(port: int, authority: str) -> int:
    """The status of a request by HTTPS."""
    context = ssl.create_default_context(cafile=authority)
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
    with contextlib.closing(connection):
        connection.request("GET", "/", headers={"Host": HOST})
        return connection.getresponse().status


def test_no_request_is_refused(tmp_path: Path, upstream: Upstream) -> None:
    """Two restarts under 300 requests a second: every one is answered, and by the upstream."""
    service = Service(tmp_path, "http", "control")
    try:
        service.add_client(f"{HOST}=http://127.0.0.1:{upstream.port}")
        load = SteadyLoad(service.held.port("http"), HOST)
        load.start()
        try:
            for _ in range(2):
                service.restart()
                load.go_on()
        finally:
            load.end()
        print(f"{load.answered} answered, the slowest within {load.slowest:.2f} s", file=sys.stderr)
        assert not load.failures
    finally:
        service.close()


def test_a_server_that_is_killed(tmp_path: Path, upstream: Upstream) -> None:
    """Who comes before its clients are back waits for them, as after a regular restart."""
    service = Service(tmp_path, "http", "control")
    try:
        service.add_client(f"{HOST}=http://127.0.0.1:{upstream.port}")
        eventually(lambda: HOST in "".join(map(Path.read_text, tmp_path.rglob("returning-*"))), "its names are kept")
        os.kill(service.server.pid, signal.SIGKILL)
        service.server.wait()
        service.server.stop()
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(once, service.held.port("http"), get("/", HOST))
            service.server = service.start()
            assert waiting.result(PATIENCE_SECONDS).status == 200
    finally:
        service.close()


def test_all_listeners_are_passed_on(tmp_path: Path, upstream: Upstream) -> None:
    """HTTPS and a TCP port, too. What waits while there is no server is served by the next one."""
    own_certificate(tmp_path)
    certificate = str(tmp_path / CERTIFICATE)
    flags = (f"--data-cert={certificate}", f"--data-key={tmp_path / 'own.key'}", "--allow-ports=1024-65535")
    service = Service(tmp_path, "http", "https", "control", f"tcp-{(port := free_port())}", mode="", flags=flags)
    door = service.held.port(service.held.names[-1])
    echo = Echo()
    try:
        service.add_client(f"{HOST}=http://127.0.0.1:{upstream.port}", f"{port}={echo.address}", mode="")
        assert asked(service.held.port("https"), certificate) == 200
        assert once(service.held.port("http"), get("/", HOST)).status == 301
        with visit(door) as visitor:
            visitor.sendall(b"before")
            assert exactly(visitor, 6) == b"before"
        os.kill(service.server.pid, signal.SIGTERM)
        assert service.server.wait() == 0
        service.server.stop()
        with visit(door) as early, ThreadPoolExecutor(1) as pool:
            early.sendall(b"meanwhile")
            waiting = pool.submit(asked, service.held.port("https"), certificate)
            service.server = service.start()
            assert waiting.result(PATIENCE_SECONDS) == 200
            assert exactly(early, 9) == b"meanwhile"
        assert "passed on" not in service.server.output
    finally:
        service.close()
        echo.close()


def test_a_port_that_was_passed_on_and_is_not_offered(tmp_path: Path) -> None:
    """Its visitors wait for a client for a while, and are then let go."""
    service = Service(tmp_path, "control", "tcp-24680", mode="tcp", flags=("--connect-timeout=0.2s",))
    try:
        assert turned_away(service.held.port("tcp-24680"))
        assert service.server.alive
    finally:
        service.close()


def test_a_socket_that_nobody_wants(tmp_path: Path) -> None:
    service = Service(tmp_path, "http", "control", "https")
    try:
        place = f"127.0.0.1:{service.held.port('https')} (https)"
        eventually(
            lambda: f"the socket {place} was passed on, and nothing listens there" in service.server.output, "said"
        )
    finally:
        service.close()


@pytest.mark.parametrize("names", [("", ""), ("sluice.socket", "sluice.socket")])
def test_sockets_without_names_are_known_by_their_ports(
    tmp_path: Path, upstream: Upstream, names: tuple[str, ...]
) -> None:
    first, second = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    held = Held.of(dict(zip("ab", (first, second), strict=True)), names)
    ports = [sock.getsockname()[1] for sock in (second, first)]  # in another order than they are passed on
    command = [
        *SLUICE, "http", "server", "--token=t", "--auto-tls=false", "--data-addr=127.0.0.1", "--control-addr=127.0.0.1",
        f"--port={ports[0]}", f"--control-port={ports[1]}",
    ]  # fmt: skip
    server = held.start("server", command, tmp_path)
    try:
        eventually(lambda: "clients:  " in server.output, "it listens", server)
        assert once(ports[0], get("/", HOST)).status == 404
        assert once(ports[1], get("/readyz", "localhost", "Connection: close")).status == 200
        assert "WARNING" not in server.output
    finally:
        assert server.stop() == 0
        held.close()


def test_started_by_systemd(tmp_path: Path) -> None:
    """By its own tool for that: the first who connects has the program started."""
    port, control_port = free_port(), free_port()
    activate = ["systemd-socket-activate", f"--listen=127.0.0.1:{port}", f"--listen=127.0.0.1:{control_port}"]
    flags = ["--token=t", "--auto-tls=false", "--data-addr=127.0.0.1", "--control-addr=127.0.0.1"]
    state = tmp_path / "state"  # named here, for it hands on no other variable, and root has a directory of its own
    environ = ["--fdname=http:control", "--setenv=PATH", "--setenv=PYTHONPATH", f"--setenv=STATE_DIRECTORY={state}"]
    server = Process("server", [*activate, *environ, *SLUICE, "http", "server", *flags], tmp_path)
    try:
        eventually(lambda: "Listening on" in server.output, "it listens", server)
        assert once(port, get("/", HOST)).status == 404
        assert f"visitors: http://127.0.0.1:{port}" in server.output
    finally:
        assert server.stop() == 0
    assert [path.name for path in state.iterdir()] == ["returning-8123.json"]
