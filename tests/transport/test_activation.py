"""Sockets that were passed on: which is for whom."""

from __future__ import annotations

import os
import socket
from _socket import socket as NativeSocket
from collections.abc import Iterator

import pytest

from appliance.config.options import ConfigError
from appliance.transport import activation
from appliance.transport.activation import Inherited, Passed, inherit

ME = str(os.getpid())


class Stage:
    """Sockets that listen, and are closed at the end."""

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []

    def passed(self, name: str, host: str = "127.0.0.1") -> Passed:
        sock = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.sockets.append(sock)
        return Passed(name, NativeSocket(fileno=os.dup(sock.fileno())))


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    for sock in stage.sockets:
        sock.close()


def ports(sockets: list[NativeSocket]) -> list[int]:
    """Of sockets that are of no more use then."""
    found = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return found


def test_by_name(stage: Stage) -> None:
    http, control, more = stage.passed("http"), stage.passed("control"), stage.passed("http", "::1")
    wanted = [http.address[1], more.address[1]]
    inherited = Inherited([http, control, more])
    assert ports(inherited.claim("http", "127.0.0.1", 1)) == wanted
    assert inherited.claim("http", "", 1) == []
    assert inherited.left() == [f"127.0.0.1:{stage.sockets[1].getsockname()[1]} (control)"]
    assert inherited.left() == []


@pytest.mark.parametrize("name", ["", "unknown", "sluice-server.socket"])
@pytest.mark.parametrize(
    ("bound", "host", "fits"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "", True),
        ("127.0.0.1", "0.0.0.0", True),
        ("0.0.0.0", "127.0.0.1", True),
        ("::", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
    ],
)
def test_by_port(stage: Stage, name: str, bound: str, host: str, fits: bool) -> None:
    passed = stage.passed(name, bound)
    port = passed.address[1]
    inherited = Inherited([passed])
    assert inherited.claim("http", host, port - 1) == []
    assert ports(inherited.claim("http", host, port)) == [port] * fits
    inherited.left()


def test_a_name_that_says_more_goes_before_the_port(stage: Stage) -> None:
    passed = stage.passed("https")
    inherited = Inherited([passed])
    assert inherited.claim("http", "", passed.address[1]) == []
    assert len(inherited.left()) == 1


def test_doors(stage: Stage) -> None:
    """Those by name, and what nobody else has claimed by its port."""
    by_name, by_port, other = stage.passed("tcp-2222"), stage.passed(""), stage.passed("https")
    port = by_port.address[1]
    inherited = Inherited([by_name, by_port, other])
    doors = inherited.claim_doors()
    assert set(doors) == {2222, port}
    for sockets in doors.values():
        ports(sockets)
    assert len(inherited.left()) == 1
    assert inherited.claim_doors() == {}


@pytest.fixture
def descriptors(monkeypatch: pytest.MonkeyPatch, stage: Stage) -> list[int]:
    """Two that are passed on, one after the other."""
    first = 150
    monkeypatch.setattr(activation, "FIRST_DESCRIPTOR", first)
    for number in range(2):
        passed = stage.passed("")
        os.dup2(passed.sock.fileno(), first + number)
        passed.sock.close()
    return [first, first + 1]


def test_what_is_passed_on(descriptors: list[int], stage: Stage) -> None:
    environ = {"LISTEN_PID": ME, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "control:tcp-22", "HOME": "/"}
    inherited = inherit(environ)
    assert environ == {"HOME": "/"}
    (control,) = inherited.claim("control", "", 0)
    ((door,),) = inherited.claim_doors().values()
    assert [control.fileno(), door.fileno()] == descriptors
    assert not os.get_inheritable(control.fileno())
    assert control.gettimeout() == 0.0
    assert ports([control, door]) == [sock.getsockname()[1] for sock in stage.sockets]


@pytest.mark.parametrize("environ", [{}, {"LISTEN_PID": "1", "LISTEN_FDS": "2"}, {"LISTEN_PID": ME, "LISTEN_FDS": "x"}])
def test_nothing_is_passed_on(environ: dict[str, str]) -> None:
    """To us, that is."""
    assert inherit(environ).left() == []
    assert environ == {}


@pytest.mark.usefixtures("descriptors")
def test_fewer_names_than_sockets(stage: Stage) -> None:
    inherited = inherit({"LISTEN_PID": ME, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "http"})
    (first,) = inherited.claim("http", "", 0)
    first.close()
    assert inherited.left() == [f"127.0.0.1:{stage.sockets[1].getsockname()[1]}"]


def test_what_is_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    near, far = socket.socketpair()
    unbound = socket.socket()
    try:
        for descriptor, reason in (
            (reader, r"cannot be used \(Socket operation on non-socket\)"),
            (os.dup(near.fileno()), "is no TCP socket that listens"),
            (os.dup(unbound.fileno()), "is no TCP socket that listens"),
        ):
            monkeypatch.setattr(activation, "FIRST_DESCRIPTOR", descriptor)
            with pytest.raises(ConfigError, match=rf"^LISTEN_FDS: descriptor \d+ \(http\) {reason}"):
                inherit({"LISTEN_PID": ME, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "http"})
    finally:
        for sock in (near, far, unbound):
            sock.close()
        os.close(reader)
        os.close(writer)
