"""Clients with tokens of their own, the whole way: made by a command, used, limited, kept over a restart, revoked."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stage.process import PATIENCE_SECONDS, SLUICE, Process, eventually, free_port, run
from tests.stage.tcp import Target, closed, exactly, reaches, visit, was_cut
from tests.stage.tunnel import TOKEN, Tunnel
from tests.stage.upstream import Upstream
from tests.stage.visitor import get, once


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with contextlib.closing(Upstream()) as upstream:
        yield upstream


@pytest.fixture
def target() -> Iterator[Target]:
    with contextlib.closing(Target()) as target:
        yield target


@pytest.fixture
def tunnel(tmp_path: Path) -> Iterator[Tunnel]:
    with contextlib.closing(Tunnel(tmp_path, "--client-forwarding", mode="")) as tunnel:
        yield tunnel


class Own:
    """A client that has its token from `sluice tokens add`."""

    def __init__(self, tunnel: Tunnel, name: str, *limits: str, status: int = 0) -> None:
        self.tunnel = tunnel
        self.name = name
        self.file = tunnel.directory / f"{name}.token"
        self.file.touch(0o600)
        self.said = self.tokens("add", name, *limits)
        self.file.write_text(self.said)
        self.processes: list[Process] = []

    def tokens(self, *words: str) -> str:
        return command(self.tunnel, "tokens", *words)

    def start(self, *flags: str, client_id: str = "ab" * 16) -> Process:
        words = [*SLUICE, "client", "--url", self.tunnel.url, "--token-file", str(self.file), "--client-id", client_id]
        process = Process(f"{self.name}-{len(self.processes)}", [*words, *flags], self.tunnel.directory)
        self.processes.append(process)
        return process

    def close(self) -> None:
        for process in self.processes:
            process.stop()
            assert "Traceback" not in process.output and self.said.strip() not in process.output


def command(tunnel: Tunnel, *words: str, status: int = 0, token_file: Path | None = None) -> str:
    file = str(token_file or tunnel.token_file)
    return run(*SLUICE, *words, "--url", tunnel.url, "--token-file", file, status=status).decode()


def client_of(tunnel: Tunnel) -> dict[str, object]:
    (client,) = tunnel.status()["clients"]
    return client  # type: ignore[no-any-return]


def test_the_whole_way(tunnel: Tunnel, upstream: Upstream, target: Target) -> None:
    door, forbidden = free_port(), free_port()
    with contextlib.closing(Own(tunnel, "pi", "--names", "*.home.example.com", "--ports", str(door))) as own:
        assert re.fullmatch(r"sluice_[\w-]{43}\n", own.said)
        web = f"http://127.0.0.1:{upstream.port}"
        client = own.start(
            "--name", "the Pi", f"--upstream=a.home.example.com={web}", f"--upstream=b.example.com={web}",
            f"--upstream={web}", f"--upstream={door}={target.address}", f"--upstream={forbidden}={target.address}",
        )  # fmt: skip
        eventually(tunnel.connected, "it is connected", client, tunnel.server)
        assert client_of(tunnel)["name"] == "the Pi"
        assert once(tunnel.port, get("/", "a.home.example.com")).status == 200
        assert once(tunnel.port, get("/", "b.example.com")).status == 404
        assert reaches(door, target) and closed(forbidden)
        for offer, why in (
            (f"b.example.com={web}", "*.home.example.com alone"), (f"\\*={web}", "*.home.example.com alone"),
            (str(forbidden), f"port {door} alone"),
        ):  # fmt: skip
            pattern = f"does not serve {offer}: this client's token allows {re.escape(why)}"
            eventually(lambda pattern=pattern: re.search(pattern, client.output), "it is told", client)  # type: ignore[misc]
        (listed,) = json.loads(own.tokens("list", "--json"))
        assert (listed["name"], listed["clients"], listed["forward"]) == ("pi", 1, False)

        with visit(door) as visitor, target.accept() as inside:
            visitor.sendall(b"hello")
            assert exactly(inside, 5) == b"hello"
            own.tokens("remove", "pi")
            assert tunnel.status()["clients"] == [] and was_cut(visitor)
        assert closed(door)
        eventually(lambda: "the token pi was removed" in client.output, "it is told", client)
        output = client.output
        assert "Traceback" not in tunnel.server.output and own.said.strip() not in tunnel.server.output + output


def test_it_opens_nothing_else(tunnel: Tunnel) -> None:
    with contextlib.closing(Own(tunnel, "pi")) as own:
        for words in (("status",), ("status", "--watch"), ("tokens", "list"), ("tokens", "add", "x")):
            done = subprocess.run(
                [*SLUICE, *words, "--url", tunnel.url, "--token-file", str(own.file)],
                capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
            )  # fmt: skip
            assert done.returncode == 3 and "this token lets a client connect, and nothing else" in done.stderr
        checked = json.loads(command(tunnel, "doctor", "--json", token_file=own.file, status=0))
        findings = {one["check"]: one["text"] for one in checked["findings"] if one["check"] in ("token", "websocket")}
        assert findings == {
            "token": "the server takes it, from clients alone",
            "websocket": "the server upgrades the connection",
        }
        assert tunnel.metrics("sluice_controlplane_denied_total") == {"": 0.0}


def test_local_forwards(tunnel: Tunnel, target: Target) -> None:
    """As the token says, whatever the server allows others."""
    here = free_port(), free_port()
    with (
        contextlib.closing(Own(tunnel, "no")) as no,
        contextlib.closing(Own(tunnel, "yes", "--forward")) as yes,
    ):
        for own, port, client_id in ((no, here[0], "01" * 16), (yes, here[1], "02" * 16)):
            own.start("--local", f"{port}:{target.address}", client_id=client_id)
        refused = no.processes[0]
        eventually(lambda: "this client's token allows no local forwards" in refused.output, "it is told", refused)
        eventually(lambda: "02" * 16 in tunnel.connected(), "it is connected", yes.processes[0], tunnel.server)
        assert reaches(here[1], target)


def test_it_lasts_over_a_restart_and_a_damaged_file_lets_nobody_in(tmp_path: Path, upstream: Upstream) -> None:
    with contextlib.closing(Tunnel(tmp_path, mode="")) as tunnel:
        own = Own(tunnel, "pi")
    kept = tmp_path / "authority" / "client-tokens.json"
    assert kept.stat().st_mode & 0o777 == 0o600 and own.said.strip() not in kept.read_text()
    with contextlib.closing(Tunnel(tmp_path, mode="")) as tunnel:
        own.tunnel = tunnel
        client = own.start(f"--upstream=http://127.0.0.1:{upstream.port}")
        eventually(tunnel.connected, "it is connected", client, tunnel.server)
        own.close()
    kept.write_text(kept.read_text()[:-9])
    with contextlib.closing(Tunnel(tmp_path, mode="")) as tunnel:
        own.tunnel = tunnel
        assert "client-tokens.json is damaged" in tunnel.server.output
        client = own.start(f"--upstream=http://127.0.0.1:{upstream.port}")
        eventually(lambda: "refuses the token" in client.output, "it is refused", client)
        own.close()
        assert tunnel.status()["clients"] == []  # the server's own opens all as ever
        assert tunnel.make_token("new")[0] == 409
        assert "Traceback" not in tunnel.server.output


def test_a_name_by_the_file_and_another_by_sighup(tunnel: Tunnel, upstream: Upstream, tmp_path: Path) -> None:
    config = tmp_path / "client.toml"
    text = f'url = "{tunnel.url}"\ntoken-file = "{tunnel.token_file}"\nupstream = "http://127.0.0.1:{upstream.port}"\n'
    config.write_text(f'{text}name = "attic"\n')
    client = Process("named", [*SLUICE, "http", "client", "--config", str(config)], tmp_path)
    try:
        eventually(tunnel.connected, "it is connected", client, tunnel.server)
        before = client_of(tunnel)
        assert before["name"] == "attic"
        config.write_text(f'{text}name = "cellar"\n')
        os.kill(client.pid, signal.SIGHUP)
        eventually(lambda: client_of(tunnel)["name"] == "cellar", "the server knows", client, tunnel.server)
        assert client_of(tunnel)["since"] == before["since"]
        assert "SIGHUP: changed: name" in client.output
        unit = run(*SLUICE, "http", "client", "--config", str(config), "--generate", "docker").decode()
        assert "--name=cellar" in unit
        unnamed = ("--url", tunnel.url, "--token-file", "/t", "--upstream", "http://127.0.0.1:1")
        assert "--name=" not in run(*SLUICE, "http", "client", *unnamed, "--generate", "docker").decode()
    finally:
        client.stop()


def test_the_machines_name_is_the_name(tunnel: Tunnel) -> None:
    tunnel.add_client("client", "a.example.com=http://127.0.0.1:1")
    assert client_of(tunnel)["name"] == os.uname().nodename
    assert TOKEN not in tunnel.server.output
