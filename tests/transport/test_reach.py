"""Connecting: every kind of address, and every way in which it fails."""

from __future__ import annotations

import errno
import math
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import gevent.socket
import pytest
from gevent import get_hub
from gevent.event import Event

from appliance.transport import reach
from appliance.transport.connection import TimedOut
from tests.transport.wires import PATIENCE_SECONDS, until

Address = tuple[int, tuple[str, int]]


@pytest.fixture
def listener() -> Iterator[Any]:
    with gevent.socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock


@pytest.fixture
def silent() -> Iterator[Address]:
    """An address that answers no more: its queue is full."""
    with gevent.socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(0)
        waiting = []
        for _ in range(4):
            visitor = socket.socket()
            visitor.setblocking(False)
            visitor.connect_ex(sock.getsockname())
            waiting.append(visitor)
        yield socket.AF_INET, sock.getsockname()
        for visitor in waiting:
            visitor.close()


@pytest.fixture
def refusing() -> Iterator[Address]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield socket.AF_INET, sock.getsockname()


def answers(monkeypatch: pytest.MonkeyPatch, *addresses: Address) -> None:
    monkeypatch.setattr(reach, "resolve", lambda *args: list(addresses))


# TCP


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_by_number_and_by_name(listener: Any, host: str) -> None:
    port = listener.getsockname()[1]
    connection = reach.tcp(host, port, 10)
    far = listener.accept()[0]
    connection.write(b"hello")
    assert far.recv(10) == b"hello"
    assert connection.peer == f"127.0.0.1:{port}"
    assert connection.deadline == math.inf
    assert connection._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    connection.close()
    far.close()


def test_numbers_need_no_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(get_hub(), "resolver", None)
    assert reach.resolve("10.0.0.1", 80, 1) == [(socket.AF_INET, ("10.0.0.1", 80))]
    assert reach.resolve("::1", 80, 1) == [(socket.AF_INET6, ("::1", 80))]


def test_nobody_listens(refusing: Address) -> None:
    with pytest.raises(ConnectionRefusedError) as raised:
        reach.tcp("127.0.0.1", refusing[1][1], 10)
    assert raised.value.strerror == os.strerror(errno.ECONNREFUSED)


def test_no_way_leads_there() -> None:
    with pytest.raises(OSError):
        reach.tcp("255.255.255.255", 80, 10)  # refused before anything is sent


def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch, listener: Any, refusing: Address) -> None:
    answers(monkeypatch, refusing, (socket.AF_INET, listener.getsockname()), refusing)
    connection = reach.tcp("several.example", 0, 10)
    listener.accept()[0].close()
    connection.close()


def test_the_last_failure_counts(monkeypatch: pytest.MonkeyPatch, refusing: Address) -> None:
    answers(monkeypatch, (socket.AF_INET, ("255.255.255.255", 1)), refusing)
    with pytest.raises(ConnectionRefusedError):
        reach.tcp("several.example", 0, 10)


def test_a_silent_address_does_not_use_up_the_time_of_the_others(
    monkeypatch: pytest.MonkeyPatch, listener: Any, silent: Address
) -> None:
    answers(monkeypatch, silent, (socket.AF_INET, listener.getsockname()))
    began = time.monotonic()
    connection = reach.tcp("several.example", 0, 0.4)
    assert time.monotonic() - began < 5
    listener.accept()[0].close()
    connection.close()


def test_each_address_has_its_share_of_the_time_that_is_left(
    monkeypatch: pytest.MonkeyPatch, refusing: Address
) -> None:
    answers(monkeypatch, refusing, refusing, refusing)
    began, shares = time.monotonic(), []
    real = reach._connect

    def connect(family: int, address: Any, deadline: float) -> Any:
        shares.append(deadline - began)
        return real(family, address, deadline)

    monkeypatch.setattr(reach, "_connect", connect)
    with pytest.raises(ConnectionRefusedError):
        reach.tcp("several.example", 0, 12.0)
    assert shares == [pytest.approx(4, abs=1), pytest.approx(6, abs=1), pytest.approx(12, abs=1)]


def test_all_are_silent(monkeypatch: pytest.MonkeyPatch, silent: Address) -> None:
    answers(monkeypatch, silent)
    began = time.monotonic()
    with pytest.raises(TimedOut):
        reach.tcp("silent.example", 0, 0.05)
    assert time.monotonic() - began < 5


def test_a_killed_attempt_leaves_nothing(monkeypatch: pytest.MonkeyPatch, silent: Address) -> None:
    answers(monkeypatch, silent)
    attempt = gevent.spawn(reach.tcp, "silent.example", 0, 30)
    gevent.idle()
    attempt.kill()
    assert isinstance(attempt.value, gevent.GreenletExit)


def test_who_is_to_end_does_not_try_on(monkeypatch: pytest.MonkeyPatch, listener: Any, silent: Address) -> None:
    answers(monkeypatch, silent, (socket.AF_INET, listener.getsockname()))
    attempt = gevent.spawn(reach.tcp, "silent.example", 0, 30)
    gevent.idle()
    attempt.kill(ConnectionAbortedError("stopping"))
    assert isinstance(attempt.exception, ConnectionAbortedError)


# Names


class Resolver:
    """Stands in for the network's."""

    def __init__(self, found: list[Any] | OSError | None) -> None:
        self._found = found

    def getaddrinfo(self, host: str, port: int, **more: Any) -> list[Any]:
        if self._found is None:
            Event().wait(PATIENCE_SECONDS)
        if isinstance(self._found, OSError):
            raise self._found
        return self._found or []


def test_a_name_without_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(get_hub(), "resolver", Resolver([]))
    with pytest.raises(ConnectionError, match="nothing.example has no address"):
        reach.tcp("nothing.example", 80, 1)


def test_a_name_that_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(get_hub(), "resolver", Resolver(socket.gaierror(socket.EAI_NONAME, "Name not known")))
    with pytest.raises(OSError, match="Name not known"):
        reach.tcp("unknown.example", 80, 1)


def test_a_resolver_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(get_hub(), "resolver", Resolver(None))
    with pytest.raises(TimedOut, match="looking up the name slow.example"):
        reach.tcp("slow.example", 80, 0.02)


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..example", "\ud800"])
def test_what_is_no_name_at_all(host: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OSError) as raised:
        reach.tcp(host, 80, 1)
    assert raised.value.errno == errno.EINVAL
    assert capfd.readouterr().err == ""  # as the resolver's thread would write


def test_all_addresses_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 80, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80)),
    ]
    monkeypatch.setattr(get_hub(), "resolver", Resolver(found))
    assert reach.resolve("both.example", 80, 1) == [
        (socket.AF_INET6, ("::1", 80, 0, 0)),
        (socket.AF_INET, ("127.0.0.1", 80)),
    ]


# Unix sockets


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "app.sock")


def test_a_unix_socket(path: str) -> None:
    with gevent.socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        connection = reach.unix(path, 10)
        far = listener.accept()[0]
        far.sendall(b"hello")
        assert bytes(connection.read()) == b"hello"
        assert connection.peer == "unix"
        connection.close()
        far.close()


def test_a_full_queue_is_waited_for(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[Any] = []
    real = reach._connect
    monkeypatch.setattr(reach, "_connect", lambda *args: attempts.append(args) or real(*args))
    with gevent.socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)
        first = reach.unix(path, 10)
        second = gevent.spawn(reach.unix, path, 10)
        until(lambda: len(attempts) > 3)
        assert not second.ready()
        accepted = [listener.accept()[0]]
        connection = second.get()
        accepted.append(listener.accept()[0])
        accepted[1].sendall(b"connected for real")
        assert bytes(connection.read()) == b"connected for real"
        for each in (first, connection, *accepted):
            each.close()


def test_a_queue_that_stays_full(path: str) -> None:
    with gevent.socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)
        first = reach.unix(path, 10)
        with pytest.raises(TimedOut, match="accepts no connections"):
            reach.unix(path, 0.01)
        first.close()


def test_no_unix_socket(path: str) -> None:
    with pytest.raises(FileNotFoundError):
        reach.unix(path, 1)
    Path(path).write_text("a file")
    with pytest.raises(ConnectionRefusedError):
        reach.unix(path, 1)
    with pytest.raises(OSError):
        reach.unix("/" + "x" * 200, 1)
