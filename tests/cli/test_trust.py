"""`sluice trust`: what it shows, what it asks, what it keeps."""

import hashlib
import json
import os
import ssl
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from appliance.certificates.known_servers import FILE, PUBLIC, KnownServers
from appliance.certificates.trust import CA_PATH
from appliance.cli.main import run
from appliance.transport import dial
from appliance.transport.tls import client_context
from tests.stage.control_plane import Server, certificate, serve

NAME = "tunnel.test"
MARK = "ab" * 32


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KnownServers:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    return KnownServers(tmp_path / "state" / FILE)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """With a certificate for NAME, which is found here."""
    context, ca_pem = certificate(tmp_path, NAME)
    server = Server(ca_pem=ca_pem)
    stop = serve(server, context)
    server.answers[CA_PATH] = (200, ca_pem)
    real = dial.reach.tcp
    monkeypatch.setattr(dial.reach, "tcp", lambda host, port, seconds: real("127.0.0.1", port, seconds))
    yield server
    stop()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], list[str]]:
    """At a terminal, where a question is answered so; the questions."""

    def answer(yes: bool) -> list[str]:
        questions: list[str] = []

        def confirm(text: str, default: bool, err: bool = False) -> bool:
            assert not default
            questions.append(text)
            return yes

        monkeypatch.setattr(click, "confirm", confirm)
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
        return questions

    return answer


def fingerprint_of(server: Server) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(server.ca_pem.decode())).hexdigest()


def trust(server: Server, *arguments: str) -> int:
    return run(["trust", "--url", f"wss://{NAME}:{server.port}", *arguments])


def test_at_a_terminal(
    server: Server,
    state: KnownServers,
    asked: Callable[[bool], list[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert asked(False) == [] and trust(server) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        f"Server:  wss://{NAME}:{server.port}",
        f"Shows:   sha256:{fingerprint_of(server)}",
        "Before:  not known",
        "Compare it with what `sluice certificates` shows on the server.",
    ]
    assert printed.err == f"Error: {NAME}:{server.port}: nothing has been changed\n"
    assert state.find(f"{NAME}:{server.port}") is None
    questions = asked(True)
    assert trust(server) == 0
    assert questions == ["Trust it?"]
    assert f"It is trusted from now on, by {state.path}." in capsys.readouterr().out
    found = state.find(f"{NAME}:{server.port}")
    assert found is not None and found.mark == fingerprint_of(server)
    assert trust(server) == 0
    assert capsys.readouterr().out.endswith("It is trusted already.\n")
    assert len(questions) == 1


def test_nobody_to_be_asked(server: Server, state: KnownServers, capsys: pytest.CaptureFixture[str]) -> None:
    assert trust(server) == 1
    line = capsys.readouterr().err
    assert line.startswith("Error: nobody is here to be asked: ")
    assert line.endswith(f"repeat this with --ca-fingerprint {fingerprint_of(server)}\n")
    assert trust(server, "--ca-fingerprint", fingerprint_of(server).upper()) == 0
    assert state.find(f"{NAME}:{server.port}") is not None


def test_another_than_before(server: Server, state: KnownServers, capsys: pytest.CaptureFixture[str]) -> None:
    state.put(f"{NAME}:{server.port}", MARK)
    assert trust(server) == 1
    assert f"Before:  sha256:{MARK}, since 20" in capsys.readouterr().out
    assert trust(server, "--ca-fingerprint", MARK) == 1
    assert f"does not show sha256:{MARK}: nothing has been changed" in capsys.readouterr().err
    found = state.find(f"{NAME}:{server.port}")
    assert found is not None and found.mark == MARK
    assert trust(server, "--ca-fingerprint", fingerprint_of(server)) == 0
    found = state.find(f"{NAME}:{server.port}")
    assert found is not None and found.mark == fingerprint_of(server)


def test_a_public_certificate(
    server: Server,
    state: KnownServers,
    asked: Callable[[bool], list[str]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.answers[CA_PATH] = (404, b"")
    assert trust(server) == 1
    assert f"the certificate of {NAME}:{server.port} is not trusted" in capsys.readouterr().err
    real = client_context
    monkeypatch.setattr("appliance.transport.tls.client_context", lambda ca_pem: real(ca_pem or server.ca_pem.decode()))
    assert trust(server) == 1
    printed = capsys.readouterr()
    assert "Shows:   no authority of its own: public ones vouch for it" in printed.out
    assert "--forget makes the next client" in printed.err
    asked(True)
    assert trust(server) == 0
    found = state.find(f"{NAME}:{server.port}")
    assert found is not None and found.mark == PUBLIC


def test_list(state: KnownServers, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["trust", "--list"]) == 0
    assert capsys.readouterr().out == f"No servers are known in {state.path}.\n"
    one, two = state.put("203.0.113.7:8123", MARK), state.put("tunnel.example.com:8123", PUBLIC)
    assert run(["trust", "--list"]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["Server", "Authority", "Since"],
        ["203.0.113.7:8123", f"sha256:{MARK}", one.since],
        ["tunnel.example.com:8123", "public", two.since],
    ]
    assert state.path is not None
    with Path(state.path).open("a") as file:
        file.write("\x1b[31mx\n")
    assert run(["trust", "--list"]) == 1
    printed = capsys.readouterr()
    assert "tunnel.example.com:8123" in printed.out
    assert printed.err == f"Error: not understood in {state.path}: line 5; correct or delete that\n"


def test_forget(state: KnownServers, capsys: pytest.CaptureFixture[str]) -> None:
    state.put("203.0.113.7:8123", MARK)
    assert run(["trust", "--url", "wss://203.0.113.7:8123/connect", "--forget"]) == 0
    assert capsys.readouterr().out.startswith("203.0.113.7:8123 is forgotten: ")
    assert state.listing() == ([], [])
    assert run(["trust", "--url", "wss://203.0.113.7:8123", "--forget"]) == 1
    assert "203.0.113.7:8123 is not known" in capsys.readouterr().err


def test_a_damaged_list(server: Server, state: KnownServers, capsys: pytest.CaptureFixture[str]) -> None:
    """Which is no obstacle, where a line can be added."""
    assert state.path is not None
    Path(state.path).parent.mkdir()
    Path(state.path).write_text("garbage\n")
    Path(state.path).chmod(0o600)
    assert trust(server, "--ca-fingerprint", fingerprint_of(server)) == 0
    assert "Before:  not readable: line 1 of" in capsys.readouterr().out
    assert state.find(f"{NAME}:{server.port}") is not None
    Path(state.path).chmod(0o666)
    assert run(["trust", "--list"]) == 1
    assert "others may write to" in capsys.readouterr().err


def test_where_nothing_can_be_kept(server: Server, state: KnownServers, capsys: pytest.CaptureFixture[str]) -> None:
    assert state.path is not None
    Path(state.path).parent.mkdir()
    os.chmod(Path(state.path).parent, 0o777)
    assert trust(server, "--ca-fingerprint", fingerprint_of(server)) == 1
    line = capsys.readouterr().err
    assert line.startswith("Error: no servers can be remembered (others may write to ")
    assert line.endswith("give clients --ca-fingerprint instead\n")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((500, b""), "offers no authority of its own: --url must name the control plane"),
        ((403, b"not allowed"), "does not let us in: not allowed"),
        ((200, b"<html>"), "offers no authority of its own: --url must name the control plane"),
        ((200, b"BEGIN CERTIFICATE"), "has no certificate at /.well-known/ca.crt but something else"),
    ],
)
def test_what_is_no_server(
    server: Server, capsys: pytest.CaptureFixture[str], answer: tuple[int, bytes], message: str
) -> None:
    server.answers[CA_PATH] = answer
    assert trust(server) == 1
    assert message in capsys.readouterr().err


def test_nobody_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["trust", "--url", "wss://127.0.0.1:1"]) == 1
    assert capsys.readouterr().err == (
        "Error: 127.0.0.1:1: Connection refused; check --url and whether the server runs\n"
    )


def test_as_json(server: Server, state: KnownServers, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["trust", "--list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": str(state.path), "servers": [], "damagedLines": []}
    url, mark = f"wss://{NAME}:{server.port}", fingerprint_of(server)
    for changed, before in ((True, None), (False, f"sha256:{mark}")):
        assert run(["trust", "--url", url, "--ca-fingerprint", mark, "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {
            "server": f"{NAME}:{server.port}",
            "shows": f"sha256:{mark}",
            "before": before,
            "trusted": True,
            "changed": changed,
        }
    assert run(["trust", "--list", "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)["servers"]
    assert listed["authority"] == f"sha256:{mark}"
    assert run(["trust", "--url", url, "--forget", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"server": f"{NAME}:{server.port}", "forgotten": True}
