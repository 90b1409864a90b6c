"""Bytes pass through a TCP tunnel untouched, each direction to its own end: nc, the target's own TLS, Unix sockets."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import random
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.stage.certificate import CERTIFICATE, own_certificate
from tests.stage.process import PATIENCE_SECONDS, Process, eventually, free_port, run
from tests.stage.tcp import Target, exactly, meanwhile, rest, visit
from tests.stage.tunnel import Tunnel
from tests.stage.upstream import Upstream

MIB = 2**20
NC = ("nc.openbsd", "-n", "-N", "127.0.0.1")  # -N: end the direction when standard input has ended
NC_LISTENS = 'exec nc.openbsd -n -v -N -l 127.0.0.1 "$0" <"$1" >"$2"'


@dataclasses.dataclass
class Stage:
    """`doors`: the server's ports, by what is behind them. `nc`: where the nc of a test listens."""

    tunnel: Tunnel
    target: Target
    unix: Target
    nc: int
    doors: dict[str, int]
    certificate: Path


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    directory, nc = tmp_path_factory.mktemp("relay"), free_port()
    with contextlib.ExitStack() as stack:
        secure, target, unix = (
            stack.enter_context(contextlib.closing(it))
            for it in (
                Upstream("secure", tls=own_certificate(directory)),
                Target(),
                Target(path=directory / "target.sock"),
            )
        )
        addresses = {
            "secure": f"127.0.0.1:{secure.port}",
            "nc": f"127.0.0.1:{nc}",
            "target": target.address,
            "unix": unix.address,
        }
        doors = {name: free_port() for name in addresses}
        tunnel = stack.enter_context(contextlib.closing(Tunnel(directory, mode="tcp")))
        tunnel.add_client("client", *(f"{doors[name]}={address}" for name, address in addresses.items()))
        yield Stage(tunnel, target, unix, nc, doors, directory / CERTIFICATE)


# ---- nc: each direction ends on its own


def test_nc_ends_its_direction_and_is_answered(stage: Stage) -> None:
    """The target answers only what is whole, after the end of it."""
    data = random.Random(1).randbytes(3 * MIB)
    with nc(stage.doors["target"]) as (child, stdin, stdout):
        with meanwhile(speak, stdin, data), stage.target.accept() as target:
            received = rest(target)
            target.sendall(hashlib.sha256(received).digest())
        assert stdout.read() == hashlib.sha256(data).digest()
        assert child.wait(PATIENCE_SECONDS) == 0


def test_nc_goes_on_after_the_target_has_ended_its_direction(stage: Stage) -> None:
    data = random.Random(2).randbytes(3 * MIB)
    with nc(stage.doors["target"]) as (child, stdin, stdout), stage.target.accept() as target:
        target.sendall(b"that is all")
        target.shutdown(socket.SHUT_WR)
        assert stdout.read(len(b"that is all")) == b"that is all"
        stdin.write(b"I go on")
        stdin.flush()
        assert exactly(target, 7) == b"I go on"
        with meanwhile(speak, stdin, data):
            assert rest(target) == data
        assert stdout.read() == b""
        assert child.wait(PATIENCE_SECONDS) == 0


def speak(stdin: IO[bytes], data: bytes) -> None:
    """Say all, and end the direction."""
    stdin.write(data)
    stdin.close()


@contextlib.contextmanager
def nc(port: int) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes], IO[bytes]]]:
    """nc connected to a port, its standard input and output."""
    with subprocess.Popen([*NC, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None and child.stdout is not None
        try:
            yield child, child.stdin, child.stdout
        finally:
            child.kill()


def test_nc_at_both_ends(stage: Stage, tmp_path: Path) -> None:
    """Both speak at once and end when they have said all; each hears the other out."""
    chance = random.Random(4)
    said_here, said_there, heard_there = tmp_path / "here", tmp_path / "there", tmp_path / "heard"
    said_here.write_bytes(chance.randbytes(5 * MIB))
    said_there.write_bytes(chance.randbytes(2 * MIB))
    words = (str(stage.nc), str(said_there), str(heard_there))
    listener = Process("nc", ["sh", "-c", NC_LISTENS, *words], tmp_path)
    try:
        eventually(lambda: "Listening" in listener.output, "nc listens", listener)
        heard_here = run(*NC, str(stage.doors["nc"]), data=said_here.read_bytes())
        assert listener.wait() == 0
    finally:
        listener.stop()
    assert heard_here == said_there.read_bytes()
    assert heard_there.read_bytes() == said_here.read_bytes()


# ---- TLS of the target's own, and Unix sockets


def test_tls_passes_through_untouched(stage: Stage) -> None:
    """Visitors see the target's certificate, and nobody else's key could have answered."""
    context = ssl.create_default_context(cafile=str(stage.certificate))
    with (
        visit(stage.doors["secure"]) as sock,
        context.wrap_socket(sock, server_hostname="127.0.0.1") as secured,
    ):
        shown = secured.getpeercert(binary_form=True)
        assert shown == ssl.PEM_cert_to_DER_cert(stage.certificate.read_text())
        secured.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
        assert exactly(secured, 15) == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_trusts_the_targets_certificate(stage: Stage, version: str) -> None:
    where = ("-connect", f"127.0.0.1:{stage.doors['secure']}", "-verify_ip", "127.0.0.1")
    said = run("openssl", "s_client", *where, "-CAfile", str(stage.certificate), "-verify_return_error", version)
    assert b"Verify return code: 0 (ok)" in said
    assert stage.certificate.read_bytes().strip() in said


def test_curl_of_a_target_with_tls(stage: Stage) -> None:
    url = f"https://127.0.0.1:{stage.doors['secure']}/x"
    trust = ("--cacert", str(stage.certificate), "--noproxy", "*")
    assert run("curl", "--silent", "--show-error", *trust, url) == b"/x"


def test_a_unix_socket_is_a_target(stage: Stage) -> None:
    data = random.Random(5).randbytes(MIB)
    with visit(stage.doors["unix"]) as visitor, stage.unix.accept() as target:
        visitor.sendall(data[:1000])
        visitor.shutdown(socket.SHUT_WR)
        assert rest(target) == data[:1000]
        with meanwhile(target.sendall, data):
            assert exactly(visitor, len(data)) == data
        target.shutdown(socket.SHUT_WR)
        assert rest(visitor) == b""


def test_status_lists_what_is_offered(stage: Stage) -> None:
    status = stage.tunnel.status()
    assert status["info"]["mode"] == "tcp"
    offered = status["clients"][0]["upstreams"]
    assert f"{stage.doors['target']}={stage.target.address}" in offered
    assert f"{stage.doors['unix']}={stage.unix.address}" in offered
