"""Listening and accepting: every family, limits, and a descriptor table that is full."""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import gevent.socket
import pytest
from gevent.event import Event

from appliance.transport import listener as module
from appliance.transport.connection import Connection
from appliance.transport.listener import ACCEPT_AT_ONCE, Acceptor, listen
from tests.stage.process import ROOT
from tests.transport.wires import PATIENCE_SECONDS, in_hub, settle, until


def echo(sock: Any, address: Any) -> None:
    connection = Connection(sock, str(address))
    try:
        while data := connection.read():
            connection.write(data)
    finally:
        connection.close()


def connect(acceptor: Acceptor, host: str = "127.0.0.1") -> Any:
    return gevent.socket.create_connection((host, acceptor.port), PATIENCE_SECONDS)


@pytest.fixture
def accepting() -> Iterator[Callable[..., Acceptor]]:
    made: list[Acceptor] = []

    def make(serve: Callable[[Any, Any], None] = echo, limit: int = 0) -> Acceptor:
        acceptor = Acceptor("test", listen("127.0.0.1", 0), serve, limit)
        acceptor.start()
        made.append(acceptor)
        return acceptor

    yield make
    for acceptor in made:
        acceptor.stop()
        until(lambda acceptor=acceptor: acceptor.open == 0)


# Listening


def families(sockets: list[Any]) -> list[int]:
    return [sock.family for sock in sockets]


@pytest.fixture
def listening() -> Iterator[Callable[..., list[Any]]]:
    made: list[Any] = []

    def make(host: str, port: int = 0) -> list[Any]:
        sockets = listen(host, port)
        made.extend(sockets)
        return sockets

    yield make
    for sock in made:
        sock.close()


@pytest.mark.parametrize("host", ["", "::"])
def test_every_address(listening: Callable[..., list[Any]], host: str) -> None:
    [sock] = listening(host)
    host = "::1" if sock.family == socket.AF_INET6 else "127.0.0.1"
    for address in {"127.0.0.1", host}:
        socket.create_connection((address, sock.getsockname()[1]), PATIENCE_SECONDS).close()
    assert not sock.getblocking()
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)  # what is accepted inherits it


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])
def test_one_address(listening: Callable[..., list[Any]], host: str) -> None:
    sockets = listening(host)
    assert socket.AF_INET in families(sockets)
    assert len(set(families(sockets))) == len(sockets)


def no_family(missing: set[int], real: Callable[..., Any]) -> Callable[..., Any]:
    def bind(family: int, address: Any, both: bool = False) -> Any:
        if family in missing:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        return real(family, address, both)

    return bind


BOTH = [
    (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0)),
    (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
    (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0)),
]


def test_a_machine_without_one_family(listening: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.socket, "getaddrinfo", lambda *args, **more: BOTH)
    monkeypatch.setattr(module, "_bind", no_family({socket.AF_INET6}, module._bind))
    assert families(listening("")) == [socket.AF_INET]
    assert families(listening("both.example")) == [socket.AF_INET]


def test_a_machine_without_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.socket, "getaddrinfo", lambda *args, **more: BOTH)
    monkeypatch.setattr(module, "_bind", no_family({socket.AF_INET6, socket.AF_INET}, module._bind))
    for host in ("", "both.example"):
        with pytest.raises(OSError) as raised:
            listen(host, 0)
        assert raised.value.errno == errno.EAFNOSUPPORT
    monkeypatch.setattr(module.socket, "getaddrinfo", lambda *args, **more: [])
    with pytest.raises(OSError):
        listen("none.example", 0)


@pytest.mark.parametrize(("host", "code"), [("192.0.2.1", errno.EADDRNOTAVAIL), ("a" * 64 + ".example", errno.EINVAL)])
def test_addresses_that_cannot_be_had(host: str, code: int) -> None:
    with pytest.raises(OSError) as raised:
        listen(host, 0)
    assert raised.value.errno == code


def test_a_port_that_is_taken(listening: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    [sock] = listening("127.0.0.1")
    port = sock.getsockname()[1]
    with pytest.raises(OSError) as raised:
        listen("127.0.0.1", port)
    assert raised.value.errno == errno.EADDRINUSE
    with pytest.raises(OSError):
        listen("", port)
    # Of several, the first that was bound is given back.
    taken = [(socket.AF_INET6, 1, 6, "", ("::1", port, 0, 0)), (socket.AF_INET, 1, 6, "", ("127.0.0.1", 0))]
    real = module._bind

    def bind(family: int, address: Any) -> Any:
        if family == socket.AF_INET6:
            raise OSError(errno.EADDRINUSE, "taken")
        return real(family, address)

    monkeypatch.setattr(module, "_bind", bind)
    monkeypatch.setattr(module.socket, "getaddrinfo", lambda *args, **more: taken)
    with pytest.raises(OSError, match="taken"):
        listen("both.example", port)


# Accepting


def test_connections_are_served_and_counted(accepting: Callable[..., Acceptor]) -> None:
    acceptor = accepting()
    visitors = [connect(acceptor) for _ in range(3)]
    for number, visitor in enumerate(visitors):
        visitor.sendall(b"%d" % number)
        assert visitor.recv(10) == b"%d" % number
    assert (acceptor.open, acceptor.total, acceptor.failures) == (3, 3, 0)
    for visitor in visitors:
        visitor.close()
    until(lambda: acceptor.open == 0)
    assert acceptor.total == 3


def test_the_address_is_the_visitor_s(accepting: Callable[..., Acceptor]) -> None:
    seen: list[Any] = []

    def serve(sock: Any, address: Any) -> None:
        seen.append(address)
        sock.close()

    acceptor = accepting(serve)
    with connect(acceptor) as visitor:
        assert visitor.recv(1) == b""
        assert seen == [visitor.getsockname()]


def test_more_than_are_accepted_at_once(accepting: Callable[..., Acceptor]) -> None:
    acceptor = accepting()
    visitors = []
    for _ in range(ACCEPT_AT_ONCE + 10):
        visitor = gevent.socket.socket()
        visitor.setblocking(False)
        visitor.connect_ex(("127.0.0.1", acceptor.port))
        visitors.append(visitor)
    until(lambda: acceptor.total == ACCEPT_AT_ONCE + 10)
    for visitor in visitors:
        visitor.close()


def test_a_crash_is_not_counted_as_open(
    accepting: Callable[..., Acceptor], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from appliance.transport import tasks

    monkeypatch.setattr(tasks, "crashes", tasks.Crashes())

    def serve(sock: Any, address: Any) -> None:
        sock.close()
        raise ValueError("broken")

    acceptor = accepting(serve)
    for _ in range(2):
        with connect(acceptor) as visitor:
            assert visitor.recv(1) == b""
    assert (acceptor.open, acceptor.total) == (0, 2)
    assert tasks.crashes.count == 2
    assert len(caplog.records) == 2


def test_above_the_limit_they_wait(
    accepting: Callable[..., Acceptor], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.01)
    acceptor = accepting(limit=2)
    visitors = [connect(acceptor) for _ in range(4)]
    for visitor in visitors:
        visitor.sendall(b"hello")
    assert visitors[0].recv(10) == visitors[1].recv(10) == b"hello"
    pauses: list[int] = []
    real = acceptor._continue
    monkeypatch.setattr(acceptor, "_continue", lambda: (pauses.append(1), real()))
    until(lambda: len(pauses) > 2)
    assert acceptor.total == 2
    visitors[0].close()
    assert visitors[2].recv(10) == b"hello"
    assert acceptor.open == 2
    for visitor in visitors[1:]:
        visitor.close()
    until(lambda: acceptor.total == 4)
    [record] = caplog.records  # one for all the pauses
    assert record.levelno == logging.WARNING
    assert "2 connections are open" in record.getMessage()


def test_stop_ends_listening_and_nothing_else(accepting: Callable[..., Acceptor]) -> None:
    acceptor = accepting()
    port = acceptor.port
    visitor = connect(acceptor)
    until(lambda: acceptor.open == 1)
    acceptor.stop()
    acceptor.stop()
    with pytest.raises(ConnectionRefusedError):
        gevent.socket.create_connection(("127.0.0.1", port))
    visitor.sendall(b"still here")
    assert visitor.recv(100) == b"still here"
    visitor.close()


def test_stop_within_a_pause(accepting: Callable[..., Acceptor], monkeypatch: pytest.MonkeyPatch) -> None:
    acceptor = accepting(limit=1)
    visitors = [connect(acceptor) for _ in range(2)]
    until(lambda: acceptor._resume is not None)
    acceptor.stop()
    in_hub(acceptor._continue)
    for visitor in visitors:
        visitor.close()


class Odd:
    """A listening socket on which accepting fails in turn as told; then it blocks."""

    def __init__(self, errors: list[int]) -> None:
        self._real = listen("127.0.0.1", 0)[0]
        self.errors = errors
        self.family, self.type, self.proto = self._real.family, self._real.type, self._real.proto
        self.fileno, self.getsockname, self.close = self._real.fileno, self._real.getsockname, self._real.close

    def _accept(self) -> Any:
        if self.errors:
            code = self.errors.pop(0)
            raise OSError(code, os.strerror(code))
        return self._real._accept()  # type: ignore[attr-defined]


def test_who_has_gone_before_being_accepted_is_passed_over() -> None:
    odd = Odd([errno.ECONNABORTED, errno.EPERM])
    acceptor = Acceptor("test", [odd], echo)  # type: ignore[list-item]
    acceptor.start()
    with connect(acceptor) as visitor:
        visitor.sendall(b"hello")
        assert visitor.recv(10) == b"hello"
    assert (acceptor.total, acceptor.failures) == (1, 0)
    until(lambda: acceptor.open == 0)
    acceptor.stop()


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_what_is_exhausted_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.01)
    odd = Odd([code] * 3)
    acceptor = Acceptor("test", [odd], echo)  # type: ignore[list-item]
    pauses: list[int] = []
    real = acceptor._continue
    monkeypatch.setattr(acceptor, "_continue", lambda: (pauses.append(1), real()))
    acceptor.start()
    with connect(acceptor) as visitor:
        visitor.sendall(b"hello")
        assert visitor.recv(10) == b"hello"
    assert (acceptor.total, acceptor.failures) == (1, 3)
    assert len(pauses) == 3  # once a pause, not once a turn of the loop
    [record] = caplog.records
    assert os.strerror(code) in record.getMessage()
    until(lambda: acceptor.open == 0)
    acceptor.stop()


def test_a_greenlet_that_waits_keeps_nobody_from_being_accepted(accepting: Callable[..., Acceptor]) -> None:
    go = Event()

    def serve(sock: Any, address: Any) -> None:
        assert go.wait(PATIENCE_SECONDS)
        sock.close()

    acceptor = accepting(serve)
    visitors = [connect(acceptor) for _ in range(3)]
    until(lambda: acceptor.open == 3)
    go.set()
    settle()
    for visitor in visitors:
        assert visitor.recv(1) == b""
        visitor.close()


# With a descriptor table that is full for real

PROGRAM = """
import resource, sys, gevent
from appliance.transport.connection import Connection
from appliance.transport.listener import Acceptor, listen

def echo(sock, address):
    connection = Connection(sock, "visitor")
    try:
        while data := connection.read():
            connection.write(data)
    finally:
        connection.close()

acceptor = Acceptor("test", listen("127.0.0.1", 0), echo)
acceptor.start()
gevent.get_hub().threadpool  # before there is no descriptor for it
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
print(acceptor.port, flush=True)
gevent.get_hub().threadpool.apply(sys.stdin.readline)
print(acceptor.open, acceptor.total, acceptor.failures, resource.getrusage(resource.RUSAGE_SELF).ru_utime, flush=True)
"""


def test_a_full_table_is_survived() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        port = int(child.stdout.readline())
        visitors = [socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) for _ in range(60)]
        for visitor in visitors:
            visitor.sendall(b"hello")
        for visitor in visitors[:10]:
            assert visitor.recv(10) == b"hello"
        assert not select.select([visitors[-1]], [], [], 0)[0]  # no descriptor is left for this one
        for visitor in visitors[:50]:
            visitor.close()
        for visitor in visitors[50:]:
            assert visitor.recv(10) == b"hello"
            visitor.close()
        with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as visitor:
            visitor.sendall(b"afterwards")
            assert visitor.recv(20) == b"afterwards"
        child.stdin.write("\n")
        child.stdin.flush()
        found = child.stdout.readline().split()
        assert child.wait(PATIENCE_SECONDS) == 0
    assert int(found[1]) == 61
    assert int(found[2]) > 0
    assert float(found[3]) < 5  # it has not turned in circles
