"""Local ports of a client: who is served when, what is said of who is not, and how they end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from gevent import socket

from appliance.client import forwards as module
from appliance.client.forwards import LocalForwards
from appliance.config.options import ConfigError
from appliance.transport.tasks import crashes
from appliance.tunnel.pool import NoStream, Pool
from appliance.wire.ports import parse_local_forwards
from tests.end_to_end.house import PATIENCE_SECONDS, Counts, left_open, until
from tests.end_to_end.ports import (
    PortHouse,
    Target,
    a_port_house,
    exactly,
    listener,
    reset,
    rest,
    visit,
    was_reset,
)
from tests.stage.process import free_port


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    gevent.get_hub().threadpool.apply(int)
    counts = Counts()
    yield
    while left_open:
        left_open.pop().close()
    counts.check()


def local(*texts: str, address: str = "127.0.0.1", most: int = 10) -> LocalForwards:
    return LocalForwards(parse_local_forwards(texts), address, most)


# ---- listening


def test_nothing_to_forward() -> None:
    nothing = local()
    assert not nothing
    nothing.start()
    nothing.stop()
    assert nothing.quiet.is_set()
    assert local("5432:10.0.0.2:5432")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", ""])
def test_its_ports_are_open_from_start_to_stop(address: str, caplog: pytest.LogCaptureFixture) -> None:
    ports = free_port(), free_port()
    forwards = local(f"{ports[0]}:10.0.0.2:5432", f"{ports[1]}:[fd00::7]:22", address=address)
    hosts = [address] if address else ["127.0.0.1", "::1"]
    for host in hosts:
        assert not listens(ports[0], host)
    forwards.start()
    for port in ports:
        for host in hosts:
            assert listens(port, host)
    forwards.stop()
    forwards.stop()
    for port in ports:
        for host in hosts:
            assert not listens(port, host)
    if address == "::1":
        assert f"[::1]:{ports[1]} leads to [fd00::7]:22 in the server's network" in caplog.text


def listens(port: int, host: str) -> bool:
    try:
        socket.create_connection((host, port), PATIENCE_SECONDS).close()
    except ConnectionRefusedError:
        return False
    return True


def test_a_port_that_is_taken() -> None:
    """None stays open of those before it."""
    with listener() as taken:
        first, second = free_port(), taken.getsockname()[1]
        forwards = local(f"{first}:10.0.0.2:1", f"{second}:10.0.0.2:2")
        with pytest.raises(ConfigError) as caught:
            forwards.start()
        assert str(caught.value) == (
            f"127.0.0.1:{second} is in use by another program: choose another local port with --local"
        )
        assert not listens(first, "127.0.0.1")


def test_an_address_of_somebody_else() -> None:
    port = free_port()
    with pytest.raises(ConfigError) as caught:
        local(f"{port}:10.0.0.2:1", address="192.0.2.1").start()
    assert str(caught.value).startswith(f"192.0.2.1:{port} cannot be listened on (Cannot assign requested address)")


# ---- those who are turned away


class Nobody:
    """A session whose streams never come."""

    def __init__(self, error: Exception | None = None) -> None:
        self.asked: list[tuple[str, float, bool]] = []
        self._error = error or NoStream("none")

    def take(self, target: str, seconds: float, fresh: bool) -> Any:
        self.asked.append((target, seconds, fresh))
        raise self._error


@pytest.fixture
def forwards() -> Iterator[LocalForwards]:
    """Of a port that leads to [fd00::7]:22. `port` is where it listens."""
    made = local(f"{free_port()}:[fd00::7]:22", most=1)
    made.start()
    yield made
    made.stop()


def port_of(forwards: LocalForwards) -> int:
    return forwards._forwards[0].local_port


def test_while_there_is_no_session(forwards: LocalForwards, caplog: pytest.LogCaptureFixture) -> None:
    assert was_reset(visit(port_of(forwards)))
    until(forwards.quiet.is_set, "it is quiet")
    assert "a connection to [fd00::7]:22 was turned away: not connected to the server" in caplog.text


def test_while_no_stream_comes(forwards: LocalForwards, caplog: pytest.LogCaptureFixture) -> None:
    nobody: Any = Nobody()
    forwards.pool = nobody
    assert was_reset(visit(port_of(forwards)))
    until(forwards.quiet.is_set, "it is quiet")
    assert nobody.asked == [("tcp://[fd00::7]:22", module.STREAM_SECONDS, True)]
    assert "a connection to [fd00::7]:22 was turned away: no stream" in caplog.text


def test_after_the_session_has_ended(forwards: LocalForwards, caplog: pytest.LogCaptureFixture) -> None:
    """One that waited for a stream is not kept waiting."""
    pool = forwards.pool = Pool(lambda count: None, lambda error: None, 0, 10)
    visitor = visit(port_of(forwards))
    until(lambda: pool._waiting, "it waits for a stream")
    assert not forwards.quiet.is_set()
    pool.close()
    assert was_reset(visitor)
    until(forwards.quiet.is_set, "it is quiet")
    assert "was turned away: no stream" in caplog.text


def test_one_that_crashes_is_forgotten(
    forwards: LocalForwards, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crashes, "count", 0)
    broken: Any = Nobody(ZeroDivisionError("a mistake of ours"))
    forwards.pool = broken
    assert was_reset(visit(port_of(forwards)))
    until(forwards.quiet.is_set, "it is quiet")
    assert "a mistake of ours" in caplog.text
    assert forwards._capacity.used == 0
    assert crashes.count == 1
    monkeypatch.undo()


def test_no_more_at_once_than_there_may_be(forwards: LocalForwards) -> None:
    """The rest wait in the kernel; they are not turned away."""
    pool = forwards.pool = Pool(lambda count: None, lambda error: None, 0, 10)
    port = port_of(forwards)
    first = visit(port)
    until(lambda: len(pool._waiting) == 1, "the first waits for a stream")
    second = visit(port)
    gevent.idle()
    assert forwards._capacity.used == 1
    first.close()
    pool.close()
    nobody: Any = Nobody()
    forwards.pool = nobody
    assert was_reset(second)
    assert len(nobody.asked) == 1
    until(forwards.quiet.is_set, "it is quiet")


def test_stop_cuts_off_who_waits_for_a_stream(forwards: LocalForwards) -> None:
    pool = forwards.pool = Pool(lambda count: None, lambda error: None, 0, 10)
    visitor = visit(port_of(forwards))
    until(lambda: pool._waiting, "it waits for a stream")
    forwards.stop()
    assert was_reset(visitor)
    pool.close()
    until(forwards.quiet.is_set, "it is quiet")


# ---- with a server


@pytest.fixture
def house() -> Iterator[PortHouse]:
    with a_port_house(client_forwarding=True) as house:
        yield house


def forwarded(house: PortHouse) -> tuple[Target, int, LocalForwards]:
    """A target in the server's network, the local port that leads there, and the client's part."""
    target, port = house.target(), free_port()
    house.client(local=(f"{port}:{target.address}",))
    forwards = house.agents[-1][0]._forwards
    until(lambda: forwards.pool is not None and forwards.pool.resting == 2, "its streams are there")
    return target, port, forwards


def test_several_at_once(house: PortHouse) -> None:
    """More of them than streams are kept warm; each ends on its own."""
    target, port, forwards = forwarded(house)
    visitors = [visit(port) for _ in range(6)]
    for number, visitor in enumerate(visitors):
        visitor.sendall(b"%d" % number)
    found = {}
    for _ in visitors:
        inside = target.accept()
        found[int(exactly(inside, 1))] = inside
    assert not forwards.quiet.is_set()
    for number, visitor in enumerate(visitors):
        found[number].sendall(b"to %d" % number)
        found[number].close()
        assert rest(visitor) == b"to %d" % number
        visitor.close()
    until(forwards.quiet.is_set, "it is quiet")
    house.quiet()


@pytest.mark.parametrize("who", ["visitor", "target"])
def test_resets_arrive_as_resets(house: PortHouse, who: str) -> None:
    target, port, forwards = forwarded(house)
    visitor = visit(port)
    inside = target.accept()
    visitor.sendall(b"x")
    assert exactly(inside, 1) == b"x"
    cutter, other = (visitor, inside) if who == "visitor" else (inside, visitor)
    reset(cutter)
    assert was_reset(other)
    until(forwards.quiet.is_set, "it is quiet")
    house.quiet()


def test_a_target_that_is_down(house: PortHouse, caplog: pytest.LogCaptureFixture) -> None:
    target, port, forwards = forwarded(house)
    target.close()
    assert was_reset(visit(port))
    until(forwards.quiet.is_set, "it is quiet")
    assert f"a connection to {target.address} was turned away: target not reached" in caplog.text
    house.quiet()


def test_stop_cuts_off_what_is_open(house: PortHouse) -> None:
    target, port, forwards = forwarded(house)
    visitor = visit(port)
    inside = target.accept()
    forwards.stop()
    assert was_reset(visitor)
    assert was_reset(inside)
    until(forwards.quiet.is_set, "it is quiet")


def test_the_next_session_serves_the_same_port(house: PortHouse) -> None:
    target, port, forwards = forwarded(house)
    former = forwards.pool
    house.restart()
    until(lambda: forwards.pool is not former and forwards.pool is not None, "the client has come back")
    visitor = visit(port)
    inside = target.accept()
    visitor.sendall(b"hello")
    assert exactly(inside, 5) == b"hello"
    inside.close()
    visitor.close()
    house.quiet()


def test_a_client_that_stops_lets_them_end(house: PortHouse) -> None:
    target, port, _ = forwarded(house)
    visitor = visit(port)
    inside = target.accept()
    agent, running = house.agents.pop()
    agent.stop()
    until(lambda: not house.server.registry.sessions(), "the server has let it go")
    inside.sendall(b"last words")
    assert exactly(visitor, 10) == b"last words"
    inside.close()
    assert rest(visitor) == b""
    visitor.close()
    running.get(timeout=3)  # and not the whole grace
    assert not listens(port, "127.0.0.1")
