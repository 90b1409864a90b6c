"""`sluice doctor` as users run it: well, and with one thing wrong at a time."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs.proxy import ConnectProxy
from tests.stage.process import PATIENCE_SECONDS, ROOT, SLUICE, free_port
from tests.stage.tunnel import TOKEN, Tunnel
from tests.stage.upstream import Upstream

Doctor = Callable[..., list[dict[str, str]]]
# Of this very machine, which may lack them.
MACHINE = ("clock", "network", "descriptors")


@pytest.fixture(scope="module")
def tunnel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tunnel]:
    tunnel = Tunnel(tmp_path_factory.mktemp("doctor"))
    os.chmod(tunnel.token_file, 0o600)
    yield tunnel
    tunnel.close()


@pytest.fixture
def doctor(tmp_path: Path) -> Doctor:
    def ask(*flags: str, status: int | None = 0, **environ: str) -> list[dict[str, str]]:
        kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        done = subprocess.run(
            [*SLUICE, "doctor", "--json", *flags],
            cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS * 2, check=False,
            env={**kept, "STATE_DIRECTORY": str(tmp_path / "state"), **environ},
        )  # fmt: skip
        found: dict[str, Any] = json.loads(done.stdout)
        findings: list[dict[str, str]] = found["findings"]
        network = any(one["check"] in MACHINE and one["level"] == "error" for one in findings)
        assert status is None or network or done.returncode == status, done.stdout + done.stderr
        assert TOKEN not in done.stdout and "Traceback" not in done.stderr
        assert all(one["fix"] for one in findings if one["level"] != "ok")
        return findings

    return ask


def bad(findings: list[dict[str, str]]) -> set[tuple[str, str]]:
    return {(one["check"], one["level"]) for one in findings if one["level"] != "ok" and one["check"] not in MACHINE}


def pin(tunnel: Tunnel) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(tunnel.authority)).hexdigest()


def known(tunnel: Tunnel) -> tuple[str, ...]:
    return ("--url", tunnel.url, "--ca-fingerprint", pin(tunnel))


def told(findings: list[dict[str, str]], check: str) -> str:
    return "\n".join(one["text"] for one in findings if one["check"] == check)


def write(path: Path, **settings: object) -> str:
    path.write_text("".join(f"{key.replace('_', '-')} = {json.dumps(value)}\n" for key, value in settings.items()))
    return str(path)


# ---- by a URL


def test_a_server_that_is_well(tunnel: Tunnel, doctor: Doctor) -> None:
    found = doctor(*known(tunnel), "--token-file", str(tunnel.token_file))
    assert not bad(found)
    assert {"server", "tls", "token", "version", "websocket", "clock"} <= {one["check"] for one in found}
    assert "TLSv1.3" in told(found, "tls")


def test_without_a_token(tunnel: Tunnel, doctor: Doctor) -> None:
    assert bad(doctor(*known(tunnel))) == {("token", "warning")}


def test_a_server_that_is_not_known_yet(tunnel: Tunnel, doctor: Doctor, tmp_path: Path) -> None:
    """It is looked at, and neither remembered nor told the token."""
    (tmp_path / "token").write_text("a-token-that-nobody-has\n")
    (tmp_path / "token").chmod(0o600)
    found = doctor("--url", tunnel.url, "--token-file", str(tmp_path / "token"))
    assert bad(found) == {("trust", "warning")}  # it does not say that the token is wrong: nobody was asked
    assert f"is not known here yet: sha256:{pin(tunnel)}" in told(found, "trust")
    assert "the token was not sent" in told(found, "trust") and "websocket" not in {one["check"] for one in found}
    assert not (tmp_path / "state").exists()
    (fix,) = (one["fix"] for one in found if one["check"] == "trust")
    command = [*SLUICE, *fix.partition(": sluice ")[2].split()]
    environ = {**os.environ, "STATE_DIRECTORY": str(tmp_path / "state")}
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=PATIENCE_SECONDS, env=environ)
    found = doctor("--url", tunnel.url, "--token-file", str(tmp_path / "token"), status=1)
    assert bad(found) == {("token", "error")}
    found = doctor("--url", tunnel.url, "--token-file", str(tunnel.token_file))
    assert not bad(found) and "the server takes it" in told(found, "token")


def test_a_wrong_token(tunnel: Tunnel, doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a-token-that-nobody-has\n")
    os.chmod(tmp_path / "token", 0o644)
    found = doctor(*known(tunnel), "--token-file", str(tmp_path / "token"), status=1)
    assert bad(found) == {("token", "error"), ("token", "warning")}
    found = doctor(*known(tunnel), "--token-file", str(tmp_path / "missing"), status=1)
    assert bad(found) == {("token", "error")}


def test_another_server_than_expected(tunnel: Tunnel, doctor: Doctor) -> None:
    flags = ("--url", tunnel.url, "--token-file", str(tunnel.token_file), "--ca-fingerprint", "ab" * 32)
    found = doctor(*flags, status=1)
    assert bad(found) == {("server", "error")} and "is not trusted" in told(found, "server")
    (fix,) = (one["fix"] for one in found if one["check"] == "server")
    assert "`sluice certificates` on the server" in fix


def test_servers_that_are_none(doctor: Doctor, tunnel: Tunnel) -> None:
    found = doctor("--url", "ws://127.0.0.1:1", "--token", "x" * 20, status=1)
    assert "Connection refused" in told(found, "server")
    found = doctor("--url", f"ws://127.0.0.1:{tunnel.port}", "--token", "x" * 20, status=1)
    assert bad(found) == {("server", "error")} and "this is no control plane" in told(found, "server")
    found = doctor("--url", f"ws://127.0.0.1:{tunnel.control_port}", "--token", "x" * 20, status=1)
    assert bad(found) == {("server", "error")}
    assert [one["fix"] for one in found if one["level"] == "error"] == [
        f"it most likely speaks TLS: write wss://127.0.0.1:{tunnel.control_port} in --url"
    ]
    found = doctor("--url", "wss://nobody.invalid", "--token", "x" * 20, status=1)
    assert bad(found) == {("dns", "error")}


def test_through_a_proxy(tunnel: Tunnel, doctor: Doctor) -> None:
    proxy = ConnectProxy(lambda port: port)
    try:
        port = tunnel.control_port
        flags = ("--insecure", "--token-file", str(tunnel.token_file))
        proxied = {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}"}
        found = doctor("--url", f"wss://server.invalid:{port}", *flags, **proxied)
        assert bad(found) == {("tls", "warning")}
        assert "through the proxy" in told(found, "server") and "the proxy looks it up" in told(found, "dns")
        assert set(proxy.asked) == {f"server.invalid:{port}"}
    finally:
        proxy.close()


def test_a_proxy_that_is_dead(tunnel: Tunnel, doctor: Doctor) -> None:
    flags = ("--url", f"wss://server.invalid:{tunnel.control_port}", "--token", "x" * 20)
    found = doctor(*flags, HTTPS_PROXY="http://127.0.0.1:9", status=1)
    assert bad(found) == {("proxy", "error")}
    assert "the proxy 127.0.0.1:9 does not lead there: Connection refused" in told(found, "proxy")
    assert [one["fix"] for one in found if one["level"] == "error"] == [
        "check HTTPS_PROXY; NO_PROXY=server.invalid goes there without it"
    ]


# ---- by a file


def test_a_client_that_is_well_but_for_its_upstreams(tunnel: Tunnel, doctor: Doctor, tmp_path: Path) -> None:
    upstream = Upstream()
    try:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            path = write(
                tmp_path / "client.toml",
                command="client",
                url=tunnel.url,
                ca_fingerprint=pin(tunnel),
                token_file=str(tunnel.token_file),
                upstream=[
                    f"a.example.com=http://127.0.0.1:{upstream.port}", f"b.example.com={tmp_path}",
                    "c.example.com=http://127.0.0.1:1", f"d.example.com={tmp_path}/missing", "2222=unix:/missing",
                    f"e.example.com=https://127.0.0.1:{upstream.port}",
                    f"f.example.com=https://127.0.0.1:{tunnel.control_port}",
                ],
                local=[f"{taken.getsockname()[1]}:127.0.0.1:1", f"{free_port()}:127.0.0.1:1"],
            )  # fmt: skip
            found = doctor("--config", path, status=1)
    finally:
        upstream.close()
    levels = [one["level"] for one in found if one["check"] == "upstream"]
    assert levels == ["ok", "ok", "error", "error", "error", "ok", "error"]
    assert "takes connections, and does not speak TLS (" in told(found, "upstream")
    assert [one["level"] for one in found if one["check"] == "local"] == ["warning", "ok"]
    assert bad(found) == {("upstream", "error"), ("local", "warning")}


def server_file(tunnel: Tunnel, path: Path, **more: object) -> str:
    settings: dict[str, object] = {
        "command": "http server", "token_file": str(tunnel.token_file), "auto_tls_san": ["127.0.0.1"],
        "auto_tls_path": str(tunnel.directory / "authority"), "data_addr": "127.0.0.1", "control_addr": "127.0.0.1",
        "port": tunnel.port, "control_port": tunnel.control_port,
    }  # fmt: skip
    return write(path, **settings | more)


def test_a_server_that_runs(tunnel: Tunnel, doctor: Doctor, tmp_path: Path) -> None:
    found = doctor("--config", server_file(tunnel, tmp_path / "server.toml"))
    assert bad(found) <= {("firewall", "warning")}
    assert "this server runs" in told(found, "running") and "in use, and this server runs" in told(found, "port")
    assert told(found, "reach").count("leads here") == 2


def test_a_server_that_runs_with_another_token(tunnel: Tunnel, doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("another-token-of-the-same-server\n")
    os.chmod(tmp_path / "token", 0o600)
    path = server_file(tunnel, tmp_path / "server.toml", token_file=str(tmp_path / "token"))
    assert ("running", "error") in bad(doctor("--config", path, status=1))


def test_a_server_that_is_to_be_started(tunnel: Tunnel, doctor: Doctor, tmp_path: Path) -> None:
    ports = {"port": free_port(), "control_port": free_port(), "auto_tls_path": str(tmp_path / "new")}
    names = ["127.0.0.1", "nobody.invalid"]
    path = server_file(tunnel, tmp_path / "server.toml", auto_tls_san=names, **ports)
    found = doctor("--config", path, status=1)
    assert {("dns", "error")} == bad(found) - {("firewall", "warning")}
    assert told(found, "port").count("is free") == 2 and told(found, "reach").count("leads here") == 2
    assert "made at the first start" in told(found, "tls") and not (tmp_path / "new").exists()


def test_ports_that_others_have(tunnel: Tunnel, doctor: Doctor, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        path = server_file(tunnel, tmp_path / "server.toml", port=taken.getsockname()[1], control_port=free_port())
        found = doctor("--config", path, status=1)
    assert ("port", "error") in bad(found) and "in use by another program" in told(found, "port")


def test_a_server_that_says_nothing(tunnel: Tunnel, doctor: Doctor, tmp_path: Path) -> None:
    os.kill(tunnel.server.pid, signal.SIGSTOP)
    try:
        found = doctor("--config", server_file(tunnel, tmp_path / "server.toml"), status=1)
    finally:
        os.kill(tunnel.server.pid, signal.SIGCONT)
    assert ("port", "error") in bad(found)


def test_certificates_that_are_missing(tunnel: Tunnel, doctor: Doctor, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.pem")
    more = {"data_cert": [missing], "data_key": [missing], "data_cert_dir": [missing], "https_port": free_port()}
    path = server_file(tunnel, tmp_path / "server.toml", **more)
    found = doctor("--config", path, status=1)
    assert [one["level"] for one in found if one["check"] == "certificate"] == ["error", "error"]


def test_files_that_are_wrong(doctor: Doctor, tmp_path: Path) -> None:
    assert bad(doctor("--config", str(tmp_path / "missing.toml"), status=1)) == {("file", "error")}
    (tmp_path / "bad.toml").write_text("frog = 1\n")
    assert "bad.toml:1: unknown key frog" in told(doctor("--config", str(tmp_path / "bad.toml"), status=1), "file")


# ---- as people read it


def test_as_text(tunnel: Tunnel, tmp_path: Path) -> None:
    done = subprocess.run(
        [*SLUICE, "doctor", *known(tunnel), "--token", "x" * 20],
        cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
        env={**os.environ, "STATE_DIRECTORY": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0] == "this machine" and tunnel.url in lines
    assert "  error   token        " in done.stdout and "-> copy the server's token file to here" in done.stdout
    assert "\033" not in done.stdout and " error" in lines[-1]


def test_flags_that_exclude_each_other() -> None:
    for flags, message in (
        (["--url", "wss://a", "--config", "b"], "--config says what to look at, and so does --url"),
        (["--token", "x"], "a token is for --url"),
    ):
        done = subprocess.run([*SLUICE, "doctor", *flags], cwd=ROOT, capture_output=True, text=True, timeout=20)
        assert done.returncode == 2 and message in done.stderr
