"""Server and client as processes: how they end, how they come back, and what they say of a bad configuration."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.certificates import authority
from tests.stage.messages import Ended, Malformed
from tests.stage.process import PATIENCE_SECONDS, SLUICE, Process, eventually, free_port
from tests.stage.tunnel import TOKEN, Tunnel
from tests.stage.upstream import Exchange, Upstream
from tests.stage.visitor import Visitor, get, once

HOST = "a.example"
GRACE = "--grace=2s"  # what is held on to would take all of it
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tests\r\n\r\n"


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    yield upstream
    upstream.close()


@pytest.fixture
def tunnel(tmp_path: Path, upstream: Upstream) -> Iterator[Tunnel]:
    tunnel = Tunnel(tmp_path, GRACE, plain=True)
    try:
        tunnel.add_client("client", f"{HOST}=http://127.0.0.1:{upstream.port}", flags=(GRACE,))
        yield tunnel
    finally:
        tunnel.close()


def the_client(tunnel: Tunnel) -> Process:
    return next(iter(tunnel.clients.values()))


class Load:
    """Visitors who ask without end; with `held`, one who waits for an answer, and one who has switched protocols."""

    def __init__(self, tunnel: Tunnel, upstream: Upstream, held: bool) -> None:
        self._port = tunnel.port
        self._over = threading.Event()
        self.answered = 0
        self.held = threading.Event()
        upstream.scripts["/slow"] = self._slow
        upstream.scripts["/switch"] = self._switch
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(4)]
        for thread in self._threads:
            thread.start()
        self._visitors: list[Visitor] = []
        if held:
            self._hold()
        eventually(lambda: self.answered > 50, "requests are answered")

    def _hold(self) -> None:
        waiting, switched = self._visitors = [Visitor(self._port) for _ in range(2)]
        waiting.send(get("/slow", HOST))
        switched.send(get("/switch", HOST, "Connection: Upgrade", "Upgrade: tests"))
        assert switched.reader.head().status == 101
        assert self.held.wait(PATIENCE_SECONDS)

    def _slow(self, exchange: Exchange) -> None:
        self.held.set()
        exchange.keep = False
        exchange.gone()

    def _switch(self, exchange: Exchange) -> None:
        exchange.keep = False
        exchange.send(SWITCHING)
        exchange.gone()

    def _ask(self) -> None:
        while not self._over.is_set():
            try:
                with Visitor(self._port) as visitor:
                    while not self._over.is_set():
                        visitor.ask(get("/", HOST))
                        self.answered += 1
            except (OSError, Ended, Malformed):
                self._over.wait(0.02)

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)
        for visitor in self._visitors:
            visitor.sock.close()


def check_peaceful(*processes: Process) -> None:
    for process in processes:
        assert "Traceback" not in process.output, process.output
        assert "please report" not in process.output, process.output
        assert "Exception ignored" not in process.output, process.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_within_load(tunnel: Tunnel, upstream: Upstream, number: signal.Signals) -> None:
    """First the client ends, then the server; what can be answered meanwhile is."""
    client = the_client(tunnel)
    load = Load(tunnel, upstream, held=number == signal.SIGTERM)
    try:
        os.kill(client.pid, number)
        assert client.wait() == 0
        eventually(lambda: not tunnel.connected(), "the server knows", tunnel.server)
        tunnel.add_client("another", f"{HOST}=http://127.0.0.1:{upstream.port}", flags=(GRACE,))
        os.kill(tunnel.server.pid, number)
        assert tunnel.server.wait() == 0
    finally:
        load.end()
    check_peaceful(client, tunnel.server, *tunnel.clients.values())


@pytest.mark.alone
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_peace(tunnel: Tunnel, number: signal.Signals) -> None:
    assert once(tunnel.port, get("/", HOST)).status == 200
    for process in (tunnel.server, the_client(tunnel)):
        began = time.monotonic()
        os.kill(process.pid, number)
        assert process.wait() == 0
        assert time.monotonic() - began < 3
    check_peaceful(tunnel.server, the_client(tunnel))


@pytest.mark.alone
def test_a_second_signal_ends_it_at_once(tunnel: Tunnel, upstream: Upstream) -> None:
    held = threading.Event()

    def slow(exchange: Exchange) -> None:
        held.set()
        exchange.keep = False
        exchange.gone()

    upstream.scripts["/slow"] = slow
    with Visitor(tunnel.port) as visitor:
        visitor.send(get("/slow", HOST))
        assert held.wait(PATIENCE_SECONDS)
        os.kill(tunnel.server.pid, signal.SIGTERM)
        eventually(lambda: "stopping: " in tunnel.server.output, "it is stopping", tunnel.server)
        began = time.monotonic()
        os.kill(tunnel.server.pid, signal.SIGTERM)
        assert tunnel.server.wait() == 130
        assert time.monotonic() - began < 2
    check_peaceful(tunnel.server)


def test_a_signal_while_the_server_is_away(tmp_path: Path) -> None:
    url = f"ws://127.0.0.1:{free_port()}"
    command = [*SLUICE, "http", "client", f"--url={url}", "--token=t", "--upstream=http://127.0.0.1:1"]
    client = Process("client", command, tmp_path)
    eventually(lambda: "next try in" in client.output, "it tries", client)
    assert client.stop() == 0
    check_peaceful(client)


@pytest.mark.alone
def test_a_signal_while_it_dials(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}"
        command = [*SLUICE, "http", "client", f"--url={url}", "--token=t", "--upstream=http://127.0.0.1:1"]
        client = Process("client", command, tmp_path)
        silent.settimeout(PATIENCE_SECONDS)
        sock, _ = silent.accept()
        with sock:
            began = time.monotonic()
            assert client.stop() == 0
            assert time.monotonic() - began < 3
    check_peaceful(client)


# ---- as a power cut would


@pytest.mark.alone
def test_a_server_that_dies_and_is_restarted(tunnel: Tunnel) -> None:
    client = the_client(tunnel)
    command = tunnel.server._child.args
    assert isinstance(command, list)
    tunnel.server.kill()
    tunnel.server = Process("server-again", command, tunnel.directory)
    eventually(tunnel._ready, "the server is ready", tunnel.server)
    eventually(lambda: tunnel.connected() == set(tunnel.clients), "the client is back", client, tunnel.server)
    eventually(lambda: once(tunnel.port, get("/", HOST)).status == 200, "its name is served", seconds=5)
    check_peaceful(client, tunnel.server)


@pytest.mark.alone
def test_a_client_that_dies(tunnel: Tunnel) -> None:
    with Visitor(tunnel.port) as visitor:
        assert visitor.ask(get("/", HOST)).status == 200
        the_client(tunnel).kill()
        eventually(lambda: not tunnel.connected(), "the server knows", tunnel.server, seconds=3)
        answer = visitor.ask(get("/", HOST))
        assert (answer.status, answer.one("retry-after")) == (503, "5")
    check_peaceful(tunnel.server)


# ---- what is wrong with the configuration


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two certificates with their keys, each pair in one file."""
    first, second = (
        authority.ensure(tmp_path_factory.mktemp(name), ["127.0.0.1"], "localhost").certificate_file
        for name in ("first", "second")
    )
    return first, second


@pytest.fixture(scope="module")
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


SERVER = ("http", "server", "--data-addr=127.0.0.1", "--control-addr=127.0.0.1", "--auto-tls=false", "--token=t")
CLIENT = ("http", "client", "--token=t")
UPSTREAM = "--upstream=http://127.0.0.1:1"
Arguments = Callable[[int, tuple[Path, Path]], tuple[str, ...]]

FAULTS: dict[str, tuple[Arguments, str]] = {
    "the port is taken": (
        lambda taken, _: (*SERVER, f"--port={taken}", "--control-port=0"),
        "is in use by another program: choose another port with --port",
    ),
    "the control port is taken": (
        lambda taken, _: (*SERVER, "--port=0", f"--control-port={taken}"),
        "is in use by another program: choose another port with --control-port",
    ),
    "an address that is not this machine's": (
        lambda *_: (*SERVER, "--port=0", "--control-port=0", "--control-addr=192.0.2.1"),
        "192.0.2.1:0 cannot be listened on (Cannot assign requested address): see --control-port and its address",
    ),
    "no token": (lambda *_: SERVER[:-1], "--token-file token"),
    "no token of the client": (lambda *_: (*CLIENT[:-1], "--url=ws://a", UPSTREAM), "--token-file"),
    "no token file": (lambda *_: (*SERVER[:-1], "--token-file=missing"), "--token-file"),
    "a directory for a token file": (lambda *_: (*SERVER[:-1], "--token-file=/"), "--token-file"),
    "a bad URL": (lambda *_: (*CLIENT, "--url=ftp://a", UPSTREAM), "--url: "),
    "a URL with a path": (lambda *_: (*CLIENT, "--url=wss://a/b", UPSTREAM), "--url: "),
    "a bad upstream": (lambda *_: (*CLIENT, "--url=ws://a", "--upstream=http://a/b"), "--upstream: "),
    "a certificate of another key": (
        lambda _, both: (*SERVER, f"--tls-cert={both[0]}", f"--tls-key={both[1]}"),
        "--tls-key",
    ),
    "a certificate that is none": (
        lambda _, both: (*SERVER, f"--tls-cert={__file__}", f"--tls-key={both[1]}"),
        "--tls-cert",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_said_in_one_line(name: str, tmp_path: Path, taken: int, certificates: tuple[Path, Path]) -> None:
    arguments, text = FAULTS[name]
    process = Process("faulty", [*SLUICE, *arguments(taken, certificates)], tmp_path)
    assert process.wait() == 2
    assert process.output.startswith("Error: ")
    assert process.output.count("\n") == 1
    assert text in process.output
    process.stop()


def test_a_wrong_token(tunnel: Tunnel, tmp_path: Path) -> None:
    """Said, tried again, and never shown."""
    command = [*SLUICE, "http", "client", f"--url={tunnel.url}", "--token=not-this-one", UPSTREAM]
    client = Process("intruder", command, tmp_path)
    line = eventually(lambda: re.search(r".*next try in.*", client.output), "it is refused", client)
    assert f"127.0.0.1:{tunnel.control_port} refuses the token: check --token-file" in line[0]
    assert "not-this-one" not in client.output + tunnel.server.output
    assert TOKEN not in tunnel.server.output
    assert client.stop() == 0
