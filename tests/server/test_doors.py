"""Ports: which are opened and why others are not, when they close, and whose turn it is."""

from __future__ import annotations

import errno
import itertools
import os
from _socket import socket as NativeSocket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from gevent import socket

from appliance.config.tcp_server import TcpServerConfig
from appliance.server import doors as module
from appliance.server.doors import Door, Doors, Member
from appliance.transport.listener import Capacity
from appliance.tunnel.counters import PortSeries, TcpCounters
from appliance.tunnel.pool import Pool
from appliance.tunnel.session import Session
from appliance.wire.messages import OfferedPort
from tests.end_to_end.house import Counts, listener
from tests.stage.process import free_port
from tests.stage.tcp import closed


def session(name: str = "one") -> Session:
    return Session(name, "192.0.2.1:5", "test", Pool(lambda count: None, lambda error: None, 0, 10))


class Stage:
    """Doors, which nobody comes through. `own`: ports of the server itself."""

    def __init__(self, **options: Any) -> None:
        self.own: set[int] = set()
        self.counters = TcpCounters()
        config = TcpServerConfig(**{"data_addr": "127.0.0.1", **options})
        self.doors = Doors(config, self.counters, lambda: frozenset(self.own), Capacity(0))

    def offer(self, session: Session, *ports: int, target: str = "tcp://127.0.0.1:1") -> dict[str, str]:
        """What is refused, and why."""
        refused = self.doors.offer(session, tuple(OfferedPort(port, target) for port in ports))
        return {refusal.offer: refusal.reason for refusal in refused}

    def members(self, port: int) -> list[tuple[str, str]]:
        return [(member.session.client_id, member.target) for member in self.doors._doors[port].members]


@pytest.fixture
def stage() -> Iterator[Stage]:
    gevent.get_hub().threadpool.apply(int)
    counts = Counts()
    stage = Stage()
    yield stage
    stage.doors.stop()
    counts.check()


def open_and_closed(*ports: int) -> list[bool]:
    return [not closed(port) for port in ports]


# ---- what clients offer


def test_a_port_is_open_while_a_client_offers_it(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    first, second = free_port(), free_port()
    one = session()
    assert stage.offer(one, first, second) == {}
    assert open_and_closed(first, second) == [True, True]
    assert stage.doors.open_ports == [first, second]
    assert stage.members(first) == [("one", "tcp://127.0.0.1:1")]
    assert f"port {first} is open" in caplog.text
    stage.doors.withdraw(one)
    assert open_and_closed(first, second) == [False, False]
    assert stage.doors.open_ports == []
    assert f"port {first} is closed: nobody offers it any more" in caplog.text
    stage.doors.withdraw(one)


def test_its_counts_begin_with_nothing(stage: Stage) -> None:
    """And stay when it closes."""
    port, one = free_port(), session()
    stage.offer(one, port)
    assert stage.counters.ports == {port: PortSeries()}
    stage.counters.port(port).total = 7
    stage.doors.withdraw(one)
    stage.offer(one, port)
    assert stage.counters.ports == {port: PortSeries(total=7)}


def test_it_closes_with_the_last_that_offers_it(stage: Stage) -> None:
    port, one, two = free_port(), session("one"), session("two")
    stage.offer(one, port)
    acceptor = stage.doors._doors[port].acceptor
    stage.offer(two, port, target="tcp://127.0.0.1:2")
    assert stage.members(port) == [("one", "tcp://127.0.0.1:1"), ("two", "tcp://127.0.0.1:2")]
    stage.doors.withdraw(one)
    assert open_and_closed(port) == [True]
    assert stage.members(port) == [("two", "tcp://127.0.0.1:2")]
    assert stage.doors._doors[port].acceptor is acceptor, "it was open all the time"
    stage.doors.withdraw(two)
    assert open_and_closed(port) == [False]


def test_a_new_offer_takes_the_place_of_the_one_before(stage: Stage) -> None:
    """What stays, stays open, with its connections' counts, and has its new target."""
    gone, stays, new = free_port(), free_port(), free_port()
    one = session()
    stage.offer(one, gone, stays)
    door = stage.doors._doors[stays]
    door.members[0].open = 3
    stage.offer(one, stays, new, target="unix:/run/app.sock")
    assert open_and_closed(gone, stays, new) == [False, True, True]
    assert stage.doors._doors[stays] is door
    assert door.members == [door.members[0]]
    assert (door.members[0].target, door.members[0].open) == ("unix:/run/app.sock", 3)
    stage.offer(one)
    assert stage.doors.open_ports == []


@pytest.mark.parametrize("data_addr", ["127.0.0.1", "::1", ""])
def test_where_it_listens(data_addr: str) -> None:
    stage, port, one = Stage(data_addr=data_addr), free_port(), session()
    one.pool.close()  # nobody who comes is to wait for a stream
    assert stage.offer(one, port) == {}
    listens = {host for host in ("127.0.0.1", "127.0.0.2", "::1") if connects(port, host)}
    assert listens == ({data_addr} if data_addr else {"127.0.0.1", "127.0.0.2", "::1"})
    stage.doors.stop()


def connects(port: int, host: str) -> bool:
    try:
        socket.create_connection((host, port), 5).close()
    except ConnectionRefusedError:
        return False
    return True


# ---- what is refused


def test_the_rest_is_served(stage: Stage) -> None:
    with listener() as other:
        taken, own, free = other.getsockname()[1], free_port(), free_port()
        stage.own = {own}
        assert stage.offer(session(), 22, taken, own, free) == {
            "22": "the server allows ports 80,443,1024-65535 (--allow-ports)",
            str(
                taken
            ): f"port {taken} is in use by another program of the server; it is tried again every now and then",
            str(own): f"port {own} is the server's own",
        }
        assert stage.doors.open_ports == [free]
        assert list(stage.counters.ports) == [free]


def test_the_server_s_own_ports_come_before_what_is_allowed() -> None:
    port = free_port()
    stage = Stage(allow_ports=(str(port),))
    stage.own = {port}
    assert stage.offer(session(), port) == {str(port): f"port {port} is the server's own"}
    assert stage.offer(session(), port + 1) == {str(port + 1): f"the server allows ports {port} (--allow-ports)"}


def test_a_long_list_of_what_is_allowed_is_not_told_in_full() -> None:
    ports = ",".join(str(port) for port in range(1024, 3000, 2))
    reason = Stage(allow_ports=(ports,)).offer(session(), 1)["1"]
    told, others = reason.removeprefix("the server allows ports ").split(" and ")
    assert others == "others (--allow-ports)"
    assert ports.startswith(told + ",")
    assert module.SHOWN_PORTS - 10 < len(told) <= module.SHOWN_PORTS


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (errno.EACCES, "port 80 needs a right that the server has not: CAP_NET_BIND_SERVICE, for ports below 1024"),
        (errno.EADDRINUSE, "port 80 is in use by another program of the server; it is tried again every now and then"),
        (errno.EADDRNOTAVAIL, "port 80 cannot be opened: Cannot assign requested address"),
        (errno.EMFILE, "port 80 cannot be opened: Too many open files"),
    ],
)
@pytest.mark.parametrize("text", [True, False])
def test_what_the_system_refuses(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, error: int, reason: str, text: bool
) -> None:
    def listen(host: str, port: int) -> Any:
        assert (host, port) == ("127.0.0.1", 80)
        raise OSError(error, os.strerror(error) if text else None)

    monkeypatch.setattr(module, "listen", listen)
    assert stage.offer(session(), 80) == {"80": reason}
    assert stage.doors.open_ports == []


def test_a_port_that_was_served_and_is_refused_now(stage: Stage) -> None:
    port, one = free_port(), session()
    stage.offer(one, port)
    stage.own = {port}
    assert list(stage.offer(one, port)) == [str(port)]
    assert open_and_closed(port) == [False]


def test_a_port_that_another_client_opens_meanwhile(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """--data-addr may be a name, which takes its time to be looked up."""
    port, usual = free_port(), module.listen

    def listen(host: str, number: int) -> Any:
        monkeypatch.setattr(module, "listen", usual)
        assert stage.offer(session("quicker"), number) == {}
        return usual(host, number)

    monkeypatch.setattr(module, "listen", listen)
    assert stage.offer(session("slower"), port) == {}
    assert [name for name, _ in stage.members(port)] == ["quicker", "slower"]


def test_nothing_is_opened_once_the_server_stops(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = free_port(), free_port(), free_port()
    one, usual = session(), module.listen
    assert stage.offer(one, first) == {}

    def listen(host: str, number: int) -> Any:
        stage.doors.stop()  # while a name is looked up
        return usual(host, number)

    monkeypatch.setattr(module, "listen", listen)
    assert stage.offer(one, second) == {str(second): "the server is stopping"}
    assert stage.offer(one, third) == {str(third): "the server is stopping"}
    assert open_and_closed(first, second, third) == [False, False, False]
    stage.doors.withdraw(one)
    stage.doors.stop()


# ---- whose turn it is


def door(*open_connections: int) -> Door:
    door = Door(2222)
    door.members = [Member(session(str(index)), "tcp://x:1", count) for index, count in enumerate(open_connections)]
    return door


def names(ways: Any) -> list[int]:
    return [int(member.session.client_id) for member in ways]


def test_the_fewest_open_first() -> None:
    assert names(door(3, 1, 2, 0).ways()) == [3, 1, 2, 0]


def test_ties_by_turn() -> None:
    even = door(0, 0, 0)
    first = [names(even.ways()) for _ in range(6)]
    assert sorted(order[0] for order in first) == [0, 0, 1, 1, 2, 2]
    assert all(sorted(order) == [0, 1, 2] for order in first)
    assert [order[0] for order in first[:3]] == [order[0] for order in first[3:]]


def test_each_counts_as_open_until_the_next_is_asked_for() -> None:
    some = door(0, 0)
    ways = some.ways()
    one = next(ways)
    assert [member.open for member in some.members].count(1) == 1 == one.open
    two = next(ways)
    assert (one.open, two.open) == (0, 1)
    ways.close()
    assert [member.open for member in some.members] == [0, 0]
    ways = some.ways()
    names(ways)
    assert [member.open for member in some.members] == [0, 0]


def test_connections_that_stay_open_are_shared_evenly() -> None:
    some = door(0, 0, 0)
    taken = [some.ways() for _ in range(9)]
    for ways in taken:
        next(ways)
    assert [member.open for member in some.members] == [3, 3, 3]
    for ways in taken[:4]:
        ways.close()
    assert sum(member.open for member in some.members) == 5


def test_one_that_has_just_failed_is_asked_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no open connections, so it would else be asked first, and every visitor would wait for it."""
    now = 1000.0
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now))  # seconds
    some = door(0, 4)
    ways = some.ways()
    assert [next(ways).open, next(ways).open] == [1, 5]  # the second carries it
    ways.close()
    for _ in range(3):
        assert names(itertools.islice(some.ways(), 1)) == [1]
    now += module.AVOID_SECONDS
    assert names(some.ways()) == [0, 1]
    assert names(some.ways()) == [0, 1]  # both have failed
    assert names(door(0).ways()) == [0]


def test_one_that_comes_meanwhile_is_tried_and_one_that_goes_is_not() -> None:
    """A client that has come back is another member."""
    some = door(0, 1, 2)
    ways = some.ways()
    assert next(ways).session.client_id == "0"
    back = Member(session("0"), "tcp://x:1", 5)
    some.members = [*some.members[2:], back]
    assert list(ways) == [some.members[0], back]


def test_nobody_is_left() -> None:
    nobody = door()
    assert list(nobody.ways()) == []
    some = door(0, 0)
    ways = some.ways()
    next(ways)
    some.members = []
    assert list(ways) == []


def test_a_member_s_pool_is_its_session_s() -> None:
    one = session()
    assert Member(one, "tcp://x:1").pool is one.pool


# ---- sockets that were passed on


def test_a_port_that_was_passed_on_stays_open(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever offers it, or nobody: somebody else listens, too."""
    with listener() as other:
        port = other.getsockname()[1]
        stage.doors.open_held({port: [NativeSocket(fileno=os.dup(other.fileno()))]})
        assert stage.doors.listing() == [(port, [])]
        one = session()
        assert stage.offer(one, port) == {}
        assert stage.members(port) == [("one", "tcp://127.0.0.1:1")]
        stage.doors.withdraw(one)
        assert stage.doors.open_ports == [port]
        assert "is closed" not in caplog.text
        stage.doors.stop()
        assert open_and_closed(port) == [True]


def test_its_visitors_wait_for_who_offers_it() -> None:
    door = Door(1, held=True)
    assert list(door.ways(0.01)) == []
    way = gevent.spawn(lambda: next(door.ways(10.0)))
    gevent.sleep(0)
    assert not way.ready()
    member = Member(session(), "tcp://127.0.0.1:1")
    door.members.append(member)
    door.offered.set()
    assert way.get(timeout=5) is member


def test_one_that_no_client_may_open(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    with listener() as other:
        stage.doors.open_held({22: [NativeSocket(fileno=os.dup(other.fileno()))]})
    assert "port 22 was passed on, and no client may offer it: see --allow-ports" in caplog.text


def test_one_that_cannot_be(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    with listener() as other:
        sock = NativeSocket(fileno=os.dup(other.fileno()))
        stage.doors.open_held({99999: [sock]})
    assert "the socket tcp-99999 was passed on, and there is no such port" in caplog.text
    assert not stage.doors.open_ports and sock.fileno() == -1
