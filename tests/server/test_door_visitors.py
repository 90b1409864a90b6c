"""Those who come through a door: carried, counted, turned away, and gone when the server ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from gevent import socket

from appliance.server import greeting
from appliance.transport.reaper import reaper
from appliance.tunnel.counters import PortSeries
from appliance.wire.proxy_protocol import encode
from tests.end_to_end.house import until
from tests.end_to_end.peers import TEXT, Client
from tests.end_to_end.ports import PortHouse, Target, a_port_house, exactly, kept, reset, rest, visit, was_reset
from tests.stage.process import free_port

NOBODY = "127.0.0.1:1"


@pytest.fixture
def house() -> Iterator[PortHouse]:
    with a_port_house() as house:
        yield house


@pytest.fixture
def opened(house: PortHouse) -> tuple[PortHouse, Target, int]:
    """A house, a target, and the port that leads there."""
    target = house.target()
    return house, target, house.tunnel(target)


def refused(house: PortHouse) -> dict[str, int]:
    house.quiet()
    return house.server.state.tcp.refused


# ---- counts


def test_connections_and_bytes_are_counted(opened: tuple[PortHouse, Target, int]) -> None:
    house, target, port = opened
    series = house.server.state.tcp.port(port)
    assert series == PortSeries()
    visitors = [visit(port) for _ in range(3)]
    insides = [target.accept() for _ in visitors]
    until(lambda: series.open == 3, "all are open")
    for visitor, inside in zip(visitors, insides, strict=True):
        visitor.sendall(b"question")
        visitor.shutdown(socket.SHUT_WR)
        inside.sendall(b"long answer")
        inside.close()
        assert rest(visitor) == b"long answer"
    house.quiet()
    assert series == PortSeries(open=0, total=3, bytes_in=24, bytes_out=33)
    session = house.server.registry.sessions()[0]
    assert (session.bytes_in, session.bytes_out) == (24, 33)
    assert refused(house) == {}


def test_what_was_carried_before_a_reset_counts(opened: tuple[PortHouse, Target, int]) -> None:
    house, target, port = opened
    visitor = visit(port)
    inside = target.accept()
    visitor.sendall(b"four")
    assert exactly(inside, 4) == b"four"
    inside.sendall(b"five!")
    assert exactly(visitor, 5) == b"five!"
    reset(visitor)
    assert was_reset(inside)
    house.quiet()
    assert house.server.state.tcp.port(port) == PortSeries(open=0, total=1, bytes_in=4, bytes_out=5)
    assert refused(house) == {}, "it was not turned away: it came through"


def test_what_is_open_shows_before_it_counts(opened: tuple[PortHouse, Target, int]) -> None:
    house, target, port = opened
    doors = house.server.doors
    assert doors is not None and doors.under_way() == (0, 0)
    visitor = visit(port)
    inside = target.accept()
    visitor.sendall(b"four")
    inside.sendall(b"five!")
    assert exactly(inside, 4) + exactly(visitor, 5) == b"fourfive!"
    until(lambda: doors.under_way() == (4, 5), "its bytes show")
    ((listed, (member,)),) = doors.listing()
    assert (listed, member.open) == (port, 1)
    assert member.session.health[member.target].up, "it is known to be reached while it lasts"
    assert house.server.state.tcp.port(port).bytes_in == 0
    visitor.close()
    inside.close()
    house.quiet()
    assert doors.under_way() == (0, 0) and house.server.state.tcp.port(port).bytes_in == 4


# ---- turned away


def test_a_target_that_is_not_reached(house: PortHouse) -> None:
    port = free_port()
    house.client(f"{port}={NOBODY}")
    assert was_reset(visit(port))
    assert refused(house) == {"target not reached": 1}
    assert house.server.state.tcp.port(port) == PortSeries(open=0, total=1)


def test_a_client_that_has_no_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    with a_port_house(connect_timeout=0.1) as house:
        port = house.tunnel(house.target())
        taken = house.starve(house.server.registry.sessions()[0].client_id)
        assert was_reset(visit(port))
        until(lambda: not house.doors.busy, "it has ended")
        assert house.server.state.tcp.refused == {"no stream": 1}
        for stream in taken:
            stream.close()


@pytest.mark.parametrize("spoken", [True, False])
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ('{"kind": "refuse", "reason": "unreachable"}', "target not reached"),
        ('{"kind": "refuse", "reason": "timeout"}', "target not reached"),
        ('{"kind": "refuse", "reason": "not-allowed"}', "not allowed"),
        ('{"kind": "finish"}', "stream lost"),
        ("nonsense", "stream lost"),
        (None, "stream lost"),
    ],
)
def test_a_client_that_does_not_reach_its_target(
    house: PortHouse, answer: str | None, reason: str, spoken: bool
) -> None:
    port = free_port()
    client = Client(house.control_port, ports={port: "tcp://127.0.0.1:22"})
    stream = client.stream()
    until(lambda: house.doors.open_ports, "its port is open")
    visitor = visit(port)
    if spoken:
        visitor.sendall(b"hello")
    opening = stream.heard("open")
    assert (opening["upstream"], opening["confirm"]) == ("tcp://127.0.0.1:22", True)
    assert opening["visitor"] == f"127.0.0.1:{visitor.getsockname()[1]}"
    if answer is None:
        stream.close()
    else:
        stream.send(TEXT, answer.encode())
    assert was_reset(visitor)
    until(lambda: not house.doors.busy, "it has ended")
    assert house.server.state.tcp.refused == {reason: 1}


def test_the_next_client_gets_what_the_first_could_not_deliver(house: PortHouse) -> None:
    port, target = free_port(), house.target()
    first = house.client(f"{port}={NOBODY}")
    second = house.client(f"{port}={target.address}")
    for _ in range(4):  # either is tried first
        visitor = visit(port)
        visitor.sendall(b"hello")
        inside = target.accept()
        assert exactly(inside, 5) == b"hello"
        inside.close()
        visitor.close()
        house.quiet()
    sessions = {session.client_id: session.bytes_in for session in house.server.registry.sessions()}
    assert sessions == {first: 0, second: 20}
    assert refused(house) == {}


def test_a_client_that_has_gone_when_its_turn_comes(opened: tuple[PortHouse, Target, int]) -> None:
    house, _, port = opened
    door = house.doors._doors[port]
    door.members.clear()
    assert was_reset(visit(port))
    assert refused(house) == {"not offered": 1}


def test_a_client_that_comes_back_serves_who_waits(house: PortHouse) -> None:
    """Its port stays open, and a visitor who had no stream is carried by the new session."""
    target = house.target()
    port, client_id = free_port(), "a" * 32
    former = Client(house.control_port, ports={port: "tcp://gone:1"}, client_id=client_id)
    until(lambda: house.doors.open_ports, "its port is open")
    visitor = visit(port)
    visitor.sendall(b"hello")
    until(lambda: house.pool(client_id)._waiting, "it waits for a stream")
    house.client(f"{port}={target.address}", client_id=client_id)
    inside = target.accept()
    assert exactly(inside, 5) == b"hello"
    former.close()
    inside.close()
    visitor.close()
    assert refused(house) == {}


# ---- who may come


def test_addresses_that_are_not_listed() -> None:
    with a_port_house(allow_ips=("127.0.0.1", "127.0.0.8/30"), data_addr="") as house:
        target = house.target()
        port = house.tunnel(target)
        for host in ("127.0.0.1", "127.0.0.10"):
            visitor = visit_from(port, host)
            target.accept().close()
            assert rest(visitor) == b""
            visitor.close()
        for host in ("127.0.0.2", "127.0.0.12", "::1"):
            assert was_reset(visit_from(port, host))
        assert refused(house) == {"address not allowed": 3}
        assert house.server.state.tcp.port(port).total == 5


def visit_from(port: int, source: str) -> Any:
    host = "::1" if ":" in source else "127.0.0.1"
    return kept(socket.create_connection((host, port), 5, (source, 0)))


# ---- PROXY headers


def carried(house: PortHouse, target: Target, port: int, said: bytes, source: str) -> tuple[bytes, Any]:
    """What the target is given for a connection that ends after `said`, and from where that came."""
    visitor = visit_from(port, source)
    where = visitor.getsockname()
    visitor.sendall(said)
    visitor.shutdown(socket.SHUT_WR)
    inside = target.accept()
    got = rest(inside)
    inside.close()
    assert rest(visitor) == b""
    house.quiet()
    return got, where


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_header_for_the_upstream(version: str) -> None:
    with a_port_house(proxy_protocol=version) as house:
        target = house.target()
        port = house.tunnel(target)
        visitor = visit(port)
        visitor.sendall(b"hello")
        inside = target.accept()
        expected = encode(version, visitor.getsockname(), ("127.0.0.1", port)) + b"hello"
        assert exactly(inside, len(expected)) == expected
        inside.close()
        visitor.close()
        house.quiet()
        assert house.server.state.tcp.port(port).bytes_in == 5, "the header is not the visitor's"


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("to_upstream", ["", "v1", "v2"])
def test_a_header_from_a_balancer(version: str, to_upstream: str) -> None:
    options: Any = {"lb_proxy_protocol": version, "trusted_proxies": ("127.0.0.9",), "proxy_protocol": to_upstream}
    visitor, there = ("192.0.2.1", 5000), ("198.51.100.2", 443)
    greeting = encode(version, visitor, there)
    with a_port_house(**options, allow_ips=("192.0.2.0/24", "127.0.0.1", "127.0.0.9")) as house:
        target = house.target()
        port = house.tunnel(target)

        def sent_on(source: Any, destination: Any) -> bytes:
            return encode(to_upstream, source, destination) if to_upstream else b""

        got, _ = carried(house, target, port, greeting + b"hello", "127.0.0.9")
        assert got == sent_on(visitor, there) + b"hello"
        # A header that names nobody: the balancer's own address holds.
        got, where = carried(house, target, port, encode(version, None, None) + b"hello", "127.0.0.9")
        assert got == sent_on(where, ("127.0.0.1", port)) + b"hello"
        # From anybody else it is none.
        got, where = carried(house, target, port, greeting + b"hello", "127.0.0.1")
        assert got == sent_on(where, ("127.0.0.1", port)) + greeting + b"hello"
        assert refused(house) == {}
        # The visitor's address decides, and not the balancer's.
        stranger = visit_from(port, "127.0.0.9")
        stranger.sendall(encode(version, ("203.0.113.1", 1), there))
        assert was_reset(stranger)
        assert refused(house) == {"address not allowed": 1}


def test_a_malformed_header(caplog: pytest.LogCaptureFixture) -> None:
    with a_port_house(lb_proxy_protocol="v1", trusted_proxies=("127.0.0.1",)) as house:
        target = house.target()
        port = house.tunnel(target)
        visitor = visit(port)
        visitor.sendall(b"SSH-2.0-OpenSSH\r\n")
        assert was_reset(visitor)
        assert refused(house) == {"malformed PROXY header": 1}
        assert f"on port {port} is cut off: the connection does not begin with a PROXY v1 header" in caplog.text
        visit(port).close()  # as a balancer that looks whether somebody listens
        until(lambda: house.server.state.tcp.port(port).total == 2, "it has come")
        assert refused(house) == {"malformed PROXY header": 1, "visitor left": 1}
        assert caplog.text.count("is cut off") == 1


def test_a_header_that_does_not_come() -> None:
    with a_port_house(lb_proxy_protocol="v1", trusted_proxies=("127.0.0.1",)) as house:
        port = house.tunnel(house.target())
        visitor = visit(port)
        visitor.sendall(b"PROXY TCP4")
        until(lambda: house.doors.busy, "it has come")
        [connection] = house.doors._connections
        assert connection in reaper._watched
        connection.deadline -= greeting.HEADER_SECONDS + 1
        assert was_reset(visitor)
        assert refused(house) == {"malformed PROXY header": 1}


# ---- limits and ends


def test_no_more_at_once_than_there_may_be() -> None:
    """Of all ports together; who comes too early waits."""
    with a_port_house(max_connections=2, warm_streams=2) as house:
        targets = [house.target(), house.target()]
        ports = [free_port(), free_port()]
        house.client(*(f"{port}={target.address}" for port, target in zip(ports, targets, strict=True)))
        first, second = visit(ports[0]), visit(ports[1])
        insides = targets[0].accept(), targets[1].accept()
        third = visit(ports[0])
        third.sendall(b"patience")
        gevent.idle()
        assert house.server._capacity.used == 2
        assert house.server.state.tcp.port(ports[0]).total == 1
        insides[1].close()
        second.close()
        inside = targets[0].accept()
        assert exactly(inside, 8) == b"patience"
        for sock in (first, third, insides[0], inside):
            sock.close()
        house.quiet()
        assert house.server._capacity.used == 0


def test_one_that_is_idle_is_ended() -> None:
    with a_port_house(idle_timeout=600.0) as house:
        target = house.target()
        port = house.tunnel(target)
        visitor = visit(port)
        inside = target.accept()
        until(lambda: next(iter(house.doors._connections)).deadline < float("inf"), "its time is running")
        [(connection, passage)] = house.doors._connections.items()
        assert passage is not None and passage._stream is not None
        passage._stream.connection.deadline = connection.deadline = 0.0
        assert was_reset(visitor)
        assert was_reset(inside)
        house.quiet()


def test_what_is_open_stays_so_when_its_port_closes(opened: tuple[PortHouse, Target, int]) -> None:
    house, target, port = opened
    visitor = visit(port)
    inside = target.accept()
    session = house.server.registry.sessions()[0]
    house.doors.withdraw(session)
    assert house.doors.open_ports == []
    assert house.doors.busy
    visitor.sendall(b"still here")
    assert exactly(inside, 10) == b"still here"
    inside.close()
    assert rest(visitor) == b""
    visitor.close()
    house.quiet()


def test_stop_and_close(opened: tuple[PortHouse, Target, int]) -> None:
    house, target, port = opened
    visitor = visit(port)
    inside = target.accept()
    visitor.sendall(b"x")
    assert exactly(inside, 1) == b"x"
    house.doors.stop()
    with pytest.raises(ConnectionRefusedError):
        visit(port)
    inside.sendall(b"still here")
    assert exactly(visitor, 10) == b"still here"
    house.doors.close()
    assert was_reset(visitor)
    assert was_reset(inside)
    until(lambda: not house.doors.busy, "all is over")


def test_close_also_ends_who_is_not_carried_yet() -> None:
    """One whose header is awaited, and one for whom there is no stream."""
    balancer: Any = {"lb_proxy_protocol": "v1", "trusted_proxies": ("127.0.0.9",)}
    with a_port_house(**balancer) as house:
        port = house.tunnel(house.target())
        client_id = house.server.registry.sessions()[0].client_id
        taken = house.starve(client_id)
        ungreeted, waiting = visit_from(port, "127.0.0.9"), visit_from(port, "127.0.0.1")
        until(lambda: house.pool(client_id)._waiting and len(house.doors._connections) == 2, "both have come")
        house.doors.close()
        assert was_reset(ungreeted)
        assert was_reset(waiting)
        for stream in taken:
            stream.close()
        house.pool(client_id).close()
        until(lambda: not house.doors.busy, "all is over")
