"""`sluice status` against servers that answer well, badly, late or not at all."""

import contextlib
import hashlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.certificates.trust import CA_PATH
from appliance.cli import asking
from appliance.cli.main import run
from tests.stage.control_plane import ANSWER, TOKEN, Server, certificate, serve


@pytest.fixture
def plain() -> Iterator[Server]:
    server = Server()
    stop = serve(server, None)
    yield server
    stop()


@pytest.fixture(params=["127.0.0.1"])
def tls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """With a certificate for the name in the parameter."""
    context, ca_pem = certificate(tmp_path, request.param)
    server = Server(ca_pem=ca_pem)
    stop = serve(server, context)
    server.answers[CA_PATH] = (200, ca_pem)
    yield server
    stop()


@pytest.fixture
def failing(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run `sluice status`, which must fail with this code; its one line."""

    def ask(code: int, url: str, *arguments: str) -> str:
        assert run(["status", "--url", url, "--token", TOKEN, *arguments]) == code
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith("Error: ") and printed.err.count("\n") == 1
        assert TOKEN not in printed.err
        return printed.err

    return ask


def test_plain(plain: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--url", plain.plain_url, "--token", TOKEN]) == 0
    printed = capsys.readouterr()
    assert "Process uptime: 15 minutes ago\n" in printed.out
    assert printed.out.endswith("No clients connected.\n")
    assert plain.seen == [("/status", f"Bearer {TOKEN}")]


def test_the_token_goes_only_to_a_server_that_is_trusted(tls: Server) -> None:
    assert run(["status", "--url", tls.tls_url, "--token", TOKEN]) == 0
    assert tls.seen == [(CA_PATH, None), ("/status", f"Bearer {TOKEN}")]


def test_json(plain: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--url", plain.plain_url, "--token", TOKEN, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == ANSWER


def test_refused_token(plain: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--url", plain.plain_url, "--token", "wrong"]) == 3
    assert capsys.readouterr().err.endswith("refuses the token: pass the server's with --token-file FILE\n")


def test_a_server_with_a_certificate_that_nobody_vouches_for(tls: Server, failing: Callable[..., str]) -> None:
    del tls.answers[CA_PATH]
    assert "cannot be trusted" in failing(1, tls.tls_url)
    assert "cannot be trusted" in failing(1, tls.tls_url, "--auto-tls=false")
    assert [path for path, _ in tls.seen] == [CA_PATH]


def test_insecure(tls: Server) -> None:
    del tls.answers[CA_PATH]
    assert run(["status", "--url", tls.tls_url, "--token", TOKEN, "--insecure"]) == 0


@pytest.mark.parametrize("tls", ["other.test"], indirect=True)
def test_a_certificate_for_another_name(tls: Server, failing: Callable[..., str]) -> None:
    line = failing(1, tls.tls_url)
    assert "IP address mismatch" in line and "--auto-tls-san" in line


def test_another_authority_than_the_server_has(tls: Server, failing: Callable[..., str], tmp_path: Path) -> None:
    tls.answers[CA_PATH] = (200, certificate(tmp_path, "127.0.0.1")[1])
    assert "cannot be trusted" in failing(1, tls.tls_url)
    assert ("/status", f"Bearer {TOKEN}") not in tls.seen


@pytest.mark.parametrize("pem", [b"", b"<html>", b"\xff"])
def test_something_else_in_place_of_the_authority(tls: Server, failing: Callable[..., str], pem: bytes) -> None:
    tls.answers[CA_PATH] = (200, pem)
    assert "has no certificate at" in failing(1, tls.tls_url)


@pytest.mark.parametrize(
    ("code", "body", "message"),
    [
        (404, b"", "answers 404 to /status"),
        (302, b"", "answers 302 to /status"),
        (400, b"", "most likely speaks TLS, so write wss:// in --url"),
        (200, b"<html>", "is it a Sluice server?"),
        (200, b"[]", "is it a Sluice server?"),
        (200, b'{"info": {}, "clients": {}}', "is it a Sluice server?"),
        (200, b'{"info": {}, "clients": [1]}', "is it a Sluice server?"),
        (200, b"\xff", "is it a Sluice server?"),
        (200, b"", "is it a Sluice server?"),
    ],
)
def test_other_answers(plain: Server, failing: Callable[..., str], code: int, body: bytes, message: str) -> None:
    plain.answers["/status"] = (code, body)
    assert message in failing(1, plain.plain_url)


def test_nobody_there(failing: Callable[..., str]) -> None:
    with socket.socket() as bound:  # bound and not listening: nobody else can be there
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        assert "cannot be reached: Connection refused" in failing(1, f"wss://127.0.0.1:{port}")


def test_no_such_host(failing: Callable[..., str]) -> None:
    assert "cannot be reached" in failing(1, "wss://name.invalid:8123")


def test_silence(monkeypatch: pytest.MonkeyPatch, failing: Callable[..., str]) -> None:
    monkeypatch.setattr(asking, "WAIT_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        for url in (f"ws://127.0.0.1:{port}", f"wss://127.0.0.1:{port}"):
            assert "does not answer within 0.1 seconds" in failing(1, url)


def test_tls_where_there_is_none(plain: Server, failing: Callable[..., str]) -> None:
    assert f"write ws://127.0.0.1:{plain.port}" in failing(1, f"wss://127.0.0.1:{plain.port}")


def test_no_tls_where_there_is(tls: Server, failing: Callable[..., str]) -> None:
    assert f"write wss://127.0.0.1:{tls.port}" in failing(1, f"ws://127.0.0.1:{tls.port}")


# Trust: the same as clients'. (More of it in tests/certificates/test_trust.py.)

NAME = "tunnel.test"


@pytest.fixture
def elsewhere(tls: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The URL of the server by a name that is not this machine's own; and a state directory for what is remembered."""
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *args: real("127.0.0.1", *args))
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    return f"wss://{NAME}:{tls.port}"


def fingerprint_of(pem: bytes) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.decode())).hexdigest()


@pytest.mark.parametrize("tls", [NAME], indirect=True)
def test_a_server_is_remembered(
    tls: Server, elsewhere: str, capsys: pytest.CaptureFixture[str], failing: Callable[..., str], tmp_path: Path
) -> None:
    assert run(["status", "--url", elsewhere, "--token", TOKEN]) == 0
    printed = capsys.readouterr()
    assert printed.err.startswith(f"first use of {NAME}:{tls.port}: its authority is sha256:")
    assert printed.err.count("\n") == 1 and "Connected clients" in printed.out
    assert run(["status", "--url", elsewhere, "--token", TOKEN]) == 0
    assert not capsys.readouterr().err
    before = len(tls.seen)
    tls.answers[CA_PATH] = (200, certificate(tmp_path, NAME)[1])
    line = failing(1, elsewhere)
    assert f"it was sha256:{fingerprint_of(tls.ca_pem)}" in line and "sluice trust --url" in line
    tls.answers[CA_PATH] = (404, b"")
    assert "it shows no authority of its own" in failing(1, elsewhere)
    assert tls.seen[before:] == [(CA_PATH, None)] * 2


@pytest.mark.parametrize("tls", [NAME], indirect=True)
def test_pinned(tls: Server, elsewhere: str, failing: Callable[..., str], tmp_path: Path) -> None:
    assert "--ca-fingerprint is sha256:abab" in failing(1, elsewhere, "--ca-fingerprint", "AB" * 32)
    assert tls.seen == [(CA_PATH, None)]
    assert run(["status", "--url", elsewhere, "--token", TOKEN, "--ca-fingerprint", fingerprint_of(tls.ca_pem)]) == 0
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("tls", [NAME], indirect=True)
def test_own_authorities(tls: Server, elsewhere: str, failing: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(tls.ca_pem)
    (tmp_path / "other.pem").write_bytes(certificate(tmp_path, NAME)[1])
    line = failing(1, elsewhere, "--tls-ca", str(tmp_path / "other.pem"))
    assert "cannot be trusted" in line and "--tls-ca must hold the authority that issued it" in line
    assert run(["status", "--url", elsewhere, "--token", TOKEN, "--tls-ca", str(tmp_path / "ca.pem")]) == 0
    assert tls.seen == [("/status", f"Bearer {TOKEN}")]


def test_an_authority_that_cannot_be_had(tls: Server, failing: Callable[..., str]) -> None:
    tls.answers[CA_PATH] = (503, b"")
    assert f"answers 503 to {CA_PATH}" in failing(1, tls.tls_url)


def test_this_machine_may_change(tls: Server, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    known = tmp_path / "known_servers"
    known.write_text(f"127.0.0.1:{tls.port} sha256:{'ab' * 32} 2026-01-31T12:23:17Z\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STATE_DIRECTORY", str(tmp_path))
        assert run(["status", "--url", tls.tls_url, "--token", TOKEN]) == 0
    printed = capsys.readouterr()
    assert printed.err.startswith("Warning: 127.0.0.1:") and "before it was sha256:abab" in printed.err
    assert fingerprint_of(tls.ca_pem) in known.read_text()


def test_an_answer_that_drips_is_given_up(failing: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time, and the end never would."""
    monkeypatch.setattr(asking, "ANSWER_SECONDS", 0.3)
    over = threading.Event()

    def drip() -> None:
        listener.settimeout(10)
        sock, _ = listener.accept()
        with sock, contextlib.suppress(OSError):
            sock.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            while not over.wait(0.02):
                sock.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            failing(1, f"ws://127.0.0.1:{listener.getsockname()[1]}")
        finally:
            over.set()
            dripping.join(10)
