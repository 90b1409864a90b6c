"""Many TCP connections at once and many in a row, in one process: afterwards everything is as it was before, to the
last descriptor, greenlet and object, once the pool has let go what it needs no more."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from gevent import socket
from gevent.pool import Pool as Greenlets

from appliance.certificates.material import Material
from appliance.transport.tls import server_context
from appliance.tunnel import pool as pool_module
from tests.end_to_end.house import descriptors, greenlets, until
from tests.end_to_end.ports import PortHouse, Target, a_port_house, exactly, reset, rest, visit
from tests.stage.process import free_port

MANY = 300
NAMES = ("Passage", "Member", "Connection", "TlsConnection", "Stream", "Carrier", "Taker", "Channel", "WebSocket")


def things() -> Counter[str]:
    """How many objects there are of each of our classes that come and go with connections and streams."""
    gc.collect()
    kinds = (type(thing) for thing in gc.get_objects())
    return Counter(kind.__name__ for kind in kinds if kind.__name__ in NAMES and "tests" not in kind.__module__)


@pytest.fixture(params=["plain", "tls"])
def busy(request: pytest.FixtureRequest, material: Material) -> Iterator[tuple[PortHouse, Target, int]]:
    """A house, a target, and the port that leads there."""
    tls: Any = {
        "context": server_context(str(material.certificate_file), str(material.key_file)),
        "ca_pem": material.ca_pem,
    }
    with a_port_house(**(tls if request.param == "tls" else {})) as house:
        target = house.target()
        yield house, target, house.tunnel(target)


def agreed(house: PortHouse, count: int | None = None) -> None:
    """Client and server have the same streams, all at rest; so many where that is given."""
    house.quiet()
    [session] = house.server.registry.sessions()
    attachment = house.agents[0][0]._attachment
    assert attachment is not None
    until(lambda: len(attachment._carriers) == len(session.pool._all), "both sides have the same streams")
    assert count is None or len(session.pool._all) == count


def shrink(house: PortHouse) -> None:
    """Let the pool think that a minute has passed, and that all streams have answered."""
    [session] = house.server.registry.sessions()
    pool = session.pool

    def shrunk() -> bool:
        for stream in pool._idle:
            stream.heard = stream.since
        pool._shrink(max(stream.since for stream in pool._idle) + 1)
        return len(pool._idle) == pool._warm

    until(shrunk, "the pool has shrunk")
    agreed(house, pool._warm)


def ends(number: int, visitor: Any, inside: Any) -> None:
    """One of all the ways in which a connection may end."""
    if number % 4 == 0:
        visitor.shutdown(socket.SHUT_WR)
        assert rest(inside) == b""
        inside.close()
        assert rest(visitor) == b""
    elif number % 4 == 1:
        inside.close()
        assert rest(visitor) == b""
    elif number % 4 == 2:
        reset(visitor)
    else:
        reset(inside)
    visitor.close()
    inside.close()


def test_many_connections_at_once(busy: tuple[PortHouse, Target, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "SPARE_SECONDS", 0.0)
    house, target, port = busy
    agreed(house)
    before = descriptors(), greenlets(), things()
    visitors = [visit(port) for _ in range(MANY)]
    for number, visitor in enumerate(visitors):
        visitor.sendall(b"%04d" % number)
    insides = {int(exactly(inside, 4)): inside for inside in (target.accept() for _ in visitors)}
    assert house.server.state.tcp.port(port).open == MANY
    assert house.server.registry.sessions()[0].streams_used == MANY
    for number, visitor in enumerate(visitors):
        insides[number].sendall(b"to %04d" % number)
        assert exactly(visitor, 7) == b"to %04d" % number
    for number, visitor in enumerate(visitors):
        ends(number, visitor, insides.pop(number))
    del visitors, visitor, insides
    house.quiet()
    shrink(house)
    series = house.server.state.tcp.port(port)
    assert (series.open, series.total, series.bytes_in, series.bytes_out) == (0, MANY, 4 * MANY, 7 * MANY)
    assert house.server.state.tcp.refused == {}
    until(lambda: descriptors() <= before[0], "descriptors are closed")
    until(lambda: greenlets() <= before[1], "greenlets have ended")
    until(lambda: not things() - before[2], "nothing of it is left in memory")


def test_many_connections_in_a_row(
    busy: tuple[PortHouse, Target, int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Some at once, and some to a target that is down: what is kept in lists and tables does not grow with them."""
    caplog.set_level("ERROR", "sluice")  # or the warnings that are logged would be kept, and all that they know
    monkeypatch.setattr(pool_module, "SPARE_SECONDS", 0.0)
    house, target, port = busy
    down = free_port()
    house.stop_client()
    house.client(f"{port}={target.address}", f"{down}=127.0.0.1:1")
    agreed(house)
    serving = gevent.spawn(echo, target)
    before = descriptors(), greenlets(), things()

    def come_and_go(number: int) -> None:
        visitor = socket.create_connection(("127.0.0.1", down if number % 5 == 0 else port), 10)
        with visitor:
            if number % 5 == 0:
                with pytest.raises(ConnectionResetError):
                    rest(visitor)
                return
            visitor.sendall(b"%04d" % number)
            assert exactly(visitor, 4) == b"%04d" % number
            if number % 5 == 1:
                reset(visitor)
                return
            visitor.shutdown(socket.SHUT_WR)
            assert rest(visitor) == b""

    for _ in Greenlets(16).imap_unordered(come_and_go, range(1000)):
        pass
    house.quiet()
    shrink(house)
    tcp = house.server.state.tcp
    assert (tcp.port(port).total, tcp.port(down).total) == (800, 200)
    assert tcp.refused == {"target not reached": 200}
    assert [member.open for door in house.doors._doors.values() for member in door.members] == [0, 0]
    until(lambda: descriptors() <= before[0], "descriptors are closed")
    until(lambda: greenlets() <= before[1], "greenlets have ended")
    until(lambda: not things() - before[2], "nothing of it is left in memory")
    serving.kill()


def echo(target: Target) -> None:
    """Say again what each connection says, until it ends."""

    def answer(sock: Any) -> None:
        with sock:
            try:
                while data := sock.recv(65536):
                    sock.sendall(data)
            except ConnectionError:
                pass

    while True:
        sock, _ = target._listener.accept()
        gevent.spawn(answer, sock)
