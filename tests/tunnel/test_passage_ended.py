"""Connections that are silent, slow or idle, and those that their own side ends, at any time, to the last greenlet."""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Callable

import gevent
import pytest
from gevent.event import Event

from appliance.tunnel import passage as module
from appliance.tunnel.passage import HELD_BYTES
from appliance.tunnel.pool import IDLE
from appliance.wire.messages import UNREACHABLE, Refuse
from tests.end_to_end.ports import exactly
from tests.transport.wires import SMALL, Wires, tick, until
from tests.tunnel.passages import SECONDS, Carrier, Stage, Stingy, Way, begun, late

# Time


def test_there_is_no_limit_of_time(wires: Wires, way: Way) -> None:
    stage, carrier = begun(wires, way)
    stage.visitor.sendall(b"x")
    assert carrier.heard(1) == b"x"
    late(stage.connection, way.streams[0].connection)
    stage.visitor.sendall(b"y")
    assert carrier.heard(1) == b"y"
    carrier.finish()
    stage.heard_end()
    late(stage.connection, way.streams[0].connection)
    stage.visitor.sendall(b"z")
    assert carrier.heard(1) == b"z"
    stage.finish()
    carrier.heard_end()
    assert stage.over() == ""


def test_a_visitor_that_only_listens_has_not_left(wires: Wires, way: Way) -> None:
    stage, carrier = begun(wires, way)
    stage.finish()
    carrier.heard_end()
    for _ in range(5):
        tick()
        late(stage.connection, way.streams[0].connection)
        carrier.say(b"x")
        assert exactly(stage.visitor, 1) == b"x"
    carrier.finish()
    stage.heard_end()
    assert stage.over() == ""


@pytest.mark.parametrize("when", ["at once", "later", "visitor ended", "target ended"])
def test_one_that_is_idle_ends(wires: Wires, way: Way, when: str) -> None:
    stage, carrier = begun(wires, way, idle_seconds=600.0)
    if when == "later":
        stage.visitor.sendall(b"x")
        assert carrier.heard(1) == b"x"
        carrier.say(b"y")
        assert exactly(stage.visitor, 1) == b"y"
    elif when == "visitor ended":
        stage.finish()
        carrier.heard_end()
    elif when == "target ended":
        carrier.finish()
        stage.heard_end()
    late(stage.connection, way.streams[0].connection)
    assert stage.over() == ""
    assert carrier.lost() == b""


@pytest.mark.parametrize("side", ["visitor", "carrier"])
def test_bytes_of_either_side_put_it_off(wires: Wires, way: Way, side: str) -> None:
    stage, carrier = begun(wires, way, idle_seconds=600.0)
    stream = way.streams[0].connection
    before = stage.connection.deadline
    assert before == stream.deadline
    until(lambda: time.monotonic() + 600 > before + 0.01)
    if side == "visitor":
        stage.visitor.sendall(b"x")
        assert carrier.heard(1) == b"x"
    else:
        carrier.say(b"x")
        assert exactly(stage.visitor, 1) == b"x"
    until(lambda: stage.connection.deadline > before)
    assert stage.connection.deadline == stream.deadline
    stage.passage.end()
    assert stage.over() == ""
    carrier.lost()


def test_being_idle_begins_when_the_target_is_reached(wires: Wires, way: Way) -> None:
    """Bytes that come before change nothing about the time that a carrier has."""
    stage = Stage(wires, way, idle_seconds=1e6)
    carrier = way.carriers[0]
    carrier.opened()
    stage.visitor.sendall(b"hello")
    assert carrier.heard(5) == b"hello"
    assert way.streams[0].connection.deadline < time.monotonic() + module.OPEN_SECONDS
    assert stage.connection.deadline == math.inf
    late(way.streams[0].connection)
    assert stage.over() == "stream lost"
    carrier.lost()


def test_a_slow_visitor_is_not_idle(wires: Wires, way: Way) -> None:
    """What it takes counts, also of a piece that came long ago."""
    stage, carrier = begun(wires, way, idle_seconds=600.0)
    visitor = Stingy(stage.connection, 1000)
    carrier.say(bytes(5000))
    until(lambda: stage.connection.writing)
    carried = way.streams[0].received
    for _ in range(3):
        visitor.left, before = 1000, stage.connection.deadline
        until(lambda before=before: stage.connection.deadline > before)  # type: ignore[misc]
    assert stage.connection.writing
    assert way.streams[0].received == carried == 5000, "nothing else came"
    stage.passage.end()
    assert stage.over() == ""
    carrier.lost()


@pytest.mark.parametrize("at", ["visitor", "stream"])
def test_a_peer_that_pauses_is_not_given_up(wires: Wires, way: Way, at: str) -> None:
    """The kernel's own limit for bytes that are not taken is lifted."""
    limit = socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT
    assert way.streams[0].connection._socket.getsockopt(*limit)
    stage, carrier = begun(wires, way)
    connection = stage.connection if at == "visitor" else way.streams[0].connection
    assert connection._socket.getsockopt(*limit) == 0
    stage.passage.end()
    assert stage.over() == ""
    carrier.lost()


# Ended by its own side


def stages_of_one() -> dict[str, Callable[[Stage, Carrier], None]]:
    def opening(stage: Stage, carrier: Carrier) -> None:
        carrier.opened()

    def held(stage: Stage, carrier: Carrier) -> None:
        carrier.opened()
        gevent.spawn(stage.visitor.sendall, bytes(10_000_000))
        until(lambda: stage.passage._opened is not None)

    def carrying(stage: Stage, carrier: Carrier) -> None:
        carrier.opened()
        carrier.accept()
        until(lambda: stage.passage.way is not None)

    def full(stage: Stage, carrier: Carrier) -> None:
        carrying(stage, carrier)
        stream = stage.ways[0].streams[0]
        Stingy(stream.connection, 1000)
        Stingy(stage.connection, 1000)
        stage.visitor.sendall(bytes(5000))
        carrier.say(bytes(5000))
        until(lambda: stream.connection.writing and stage.connection.writing)

    def visitor_ended(stage: Stage, carrier: Carrier) -> None:
        carrying(stage, carrier)
        stage.finish()
        carrier.heard_end()

    def target_ended(stage: Stage, carrier: Carrier) -> None:
        carrying(stage, carrier)
        carrier.finish()
        stage.heard_end()

    return {one.__name__.replace("_", " "): one for one in (opening, held, carrying, full, visitor_ended, target_ended)}


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "ended"])
@pytest.mark.parametrize("when", stages_of_one())
def test_it_can_be_ended_at_any_time(wires: Wires, when: str, killed: bool) -> None:
    way = Way(wires, 1)
    stage = Stage(wires, way)
    stages_of_one()[when](stage, way.carriers[0])
    gevent.sleep(0)
    if killed:
        stage.running.kill()
    else:
        stage.passage.end()
        stage.running.get(timeout=SECONDS)
    assert stage.connection.closed
    assert stage.passage._up is None
    way.check()
    assert way.streams[0].connection.closed
    stage.visitor.close()
    way.carriers[0].stream.close()


def test_one_that_is_ended_before_it_has_a_stream(wires: Wires) -> None:
    first, second = Way(wires, 0), Way(wires, 1)
    stage = Stage(wires, first, second)
    until(lambda: first.pool._waiting)
    stage.passage.end()
    first.pool.close()
    assert stage.over() == "no stream"
    assert second.streams[0].state == IDLE


def test_the_visitor_s_greenlet_is_cut_at_any_point(wires: Wires) -> None:
    """A refusal that comes wherever the visitor's bytes are: none is lost, none comes twice."""
    data = bytes(range(256)) * 1500
    for size in (0, 1, 1000, HELD_BYTES - 1, HELD_BYTES + 1, len(data)):
        for yields in range(4):
            first, second = Way(wires, 1, buffer=SMALL), Way(wires, 1)
            stage = Stage(wires, first, second)
            first.carriers[0].opened()
            sending = gevent.spawn(stage.visitor.sendall, data[:size])
            for _ in range(yields):
                gevent.sleep(0)
            first.carriers[0].stream.send(Refuse(UNREACHABLE))
            second.carriers[0].opened()
            second.carriers[0].accept()
            sending.get()
            stage.finish()
            assert second.carriers[0].heard(size) == data[:size]
            second.carriers[0].heard_end()
            second.carriers[0].finish()
            first.carriers[0].stream.close()
            stage.running.get(timeout=SECONDS)
            second.check()
            assert stage.passage.sent == size


def test_nobody_is_left_waiting_for_what_will_not_come(wires: Wires, way: Way) -> None:
    """A stream that goes back is at once another's, who waits for it."""
    stage, carrier = begun(wires, way)
    taken = Event()

    def take() -> None:
        stream = way.pool.take("tcp://other:1", SECONDS, fresh=True)
        assert stream is way.streams[0]
        taken.set()
        assert stream.connection.dependant is None
        way.pool.discard(stream)

    taking = gevent.spawn(take)
    until(lambda: way.pool._waiting)
    stage.finish()
    carrier.heard_end()
    carrier.finish()
    stage.running.get(timeout=SECONDS)
    assert taken.wait(SECONDS)
    taking.get()
