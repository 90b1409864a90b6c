"""The health check of containers, without one. scripts/test-image runs it in them."""

from __future__ import annotations

import contextlib
import importlib.machinery
import importlib.util
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.stage.process import ROOT, eventually, free_port
from tests.stage.tunnel import Tunnel
from tests.stage.upstream import Upstream


@pytest.fixture(scope="module")
def check() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("healthcheck", str(ROOT / "scripts" / "healthcheck"))
    spec = importlib.util.spec_from_loader("healthcheck", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture(params=[(), ("--auto-tls=false",), ("--allow-ips=203.0.113.0/24",)], ids=str)
def tunnel(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tunnel]:
    with contextlib.closing(Tunnel(tmp_path, *request.param, ready=False)) as tunnel:
        yield tunnel


def test_a_server_answers(check: ModuleType, tunnel: Tunnel) -> None:
    """With TLS, without, and to who may not connect."""
    eventually(lambda: check.answers(tunnel.control_port), "it is well", tunnel.server)
    assert {tunnel.port, tunnel.control_port} <= {check.port(row[1]) for row in check.rows(check.LISTENING)}


def health_of(check: ModuleType, monkeypatch: pytest.MonkeyPatch, pid: int) -> int:
    """As if it were process 1."""
    monkeypatch.setattr(check, "PROCESS", f"/proc/{pid}")
    result: int = check.main()
    return result


def test_a_client_is_connected(check: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with contextlib.closing(Tunnel(tmp_path)) as tunnel:
        client = tunnel.add_client("client", "a.example=http://127.0.0.1:1")
        assert health_of(check, monkeypatch, client.pid) == 0
        assert health_of(check, monkeypatch, tunnel.server.pid) == 0
        tunnel.server.stop()
        eventually(lambda: health_of(check, monkeypatch, client.pid) == 1, "it is alone", client)


@pytest.mark.parametrize("words", [("--url={url}",), ("--url", "{url}"), ("--config={file}",), ("--config", "{file}")])
def test_a_client_without_its_server(
    check: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """Although it has a connection, and other programs on the machine have many."""
    url, file = f"ws://127.0.0.1:{free_port()}", tmp_path / "client.toml"
    file.write_text(f'url = "{url}"\nupstream = "http://127.0.0.1:1"\ntoken = "x"\n')
    flags = [] if "config" in words[0] else ["--token", "x", "--upstream", "http://127.0.0.1:1"]
    flags += [word.format(url=url, file=file) for word in words]
    with contextlib.closing(Upstream()) as upstream, socket.create_connection(("127.0.0.1", upstream.port)) as other:
        program = "import sys, time; sys.stdin.read()"
        command = [sys.executable, "-c", program, "http", "client", *flags]
        with subprocess.Popen(command, stdin=other.fileno()) as process:
            eventually(lambda: b"client" in Path(f"/proc/{process.pid}/cmdline").read_bytes(), "it runs")
            assert health_of(check, monkeypatch, process.pid) == 1
            process.kill()


def test_the_way_out_by_a_proxy(check: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "environ").write_bytes(b"A=1\0HTTPS_PROXY=http://proxy:3128\0ALL_PROXY=socks5://proxy\0no_proxy=x\0")
    monkeypatch.setattr(check, "PROCESS", str(tmp_path))
    assert check.ways_out(["sluice", "client", "--url=wss://a.example"]) == {443, 3128, 1080}
    assert check.ways_out(["sluice", "client", "--url", "a.example:8123"]) == {8123, 3128, 1080}
    assert check.ways_out(["sluice", "client"]) == set()


def test_what_is_no_server(check: ModuleType) -> None:
    assert not check.answers(free_port())
    with contextlib.closing(Upstream()) as upstream:
        assert not check.answers(upstream.port)  # it answers, with something else
