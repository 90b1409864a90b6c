"""Targets that are not reached, streams that are lost, carriers that break the protocol: who gets the visitor then."""

from __future__ import annotations

from typing import Any

import gevent
import pytest

from appliance.tunnel.passage import HELD_BYTES
from appliance.wire.messages import NOT_ALLOWED, UNREACHABLE, Finish, Open, Opened, Refuse
from tests.end_to_end.ports import exactly
from tests.transport.wires import Wires, settle, until
from tests.tunnel.passages import SOME, Carrier, Stage, Way, begun, late, look_often

# Targets that are not reached


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("ended", [True, False])
def test_what_was_said_goes_to_the_next(wires: Wires, count: int, ended: bool) -> None:
    ways = [Way(wires, 1, tls=bool(number & 1)) for number in range(count + 1)]
    stage = Stage(wires, *ways, preface=b"preface ", early=b"early ")
    said = b""
    for number, way in enumerate(ways[:-1]):
        carrier = way.carriers[0]
        carrier.opened()
        word = b"word %d " % number
        stage.visitor.sendall(word)
        said += word
        assert carrier.heard(len(b"preface early " + said)) == b"preface early " + said
        if ended and number == count - 1:
            stage.finish()
            carrier.heard_end()
        carrier.stream.send(Refuse(UNREACHABLE))
        if not (ended and number == count - 1):
            carrier.heard_end()
    carrier = ways[-1].carriers[0]
    carrier.opened()
    assert carrier.heard(len(b"preface early " + said)) == b"preface early " + said
    carrier.accept()
    carrier.say(b"welcome")
    assert exactly(stage.visitor, 7) == b"welcome"
    if not ended:
        stage.finish()
    carrier.heard_end()
    carrier.finish()
    assert stage.over() == ""
    assert stage.passage.way is ways[-1]
    assert stage.passage.sent == len(b"early " + said)
    assert not any(way.streams[0].connection.closed for way in ways)


def test_nobody_reaches_it(wires: Wires) -> None:
    ways = [Way(wires, 1), Way(wires, 1)]
    stage = Stage(wires, *ways)
    for way, reason in zip(ways, (UNREACHABLE, NOT_ALLOWED), strict=True):
        carrier = way.carriers[0]
        carrier.opened()
        carrier.stream.send(Refuse(reason))
        carrier.heard_end()
    assert stage.was_cut() == b""
    assert stage.over() == "not allowed"
    assert stage.passage.way is None
    assert stage.passage.sent == 0


def test_one_refusal(wires: Wires, way: Way) -> None:
    stage = Stage(wires, way)
    way.carriers[0].opened()
    way.carriers[0].stream.send(Refuse(UNREACHABLE))
    way.carriers[0].heard_end()
    assert stage.over() == "target not reached"


def test_no_way_at_all(wires: Wires) -> None:
    stage = Stage(wires)
    assert stage.was_cut() == b""
    assert stage.over() == "not offered"


def test_no_stream(wires: Wires) -> None:
    stage = Stage(wires, Way(wires, 0), seconds=0.02)
    assert stage.was_cut() == b""
    assert stage.over() == "no stream"


def test_a_session_that_ends_while_its_stream_is_waited_for(wires: Wires) -> None:
    first, second = Way(wires, 0), Way(wires, 1)
    stage = Stage(wires, first, second)
    until(lambda: first.pool._waiting)
    first.pool.close()
    second.carriers[0].opened()
    second.carriers[0].accept()
    stage.finish()
    second.carriers[0].heard_end()
    second.carriers[0].finish()
    assert stage.over() == ""


@pytest.mark.parametrize("how", ["close", "bytes", "silence"])
def test_a_stream_that_is_lost_before_the_target_is_reached(wires: Wires, how: str) -> None:
    first, second = Way(wires, 1), Way(wires, 1)
    stage = Stage(wires, first, second)
    first.carriers[0].opened()
    stage.visitor.sendall(b"hello")
    assert first.carriers[0].heard(5) == b"hello"
    if how == "close":
        first.carriers[0].stream.close()
    elif how == "bytes":
        first.carriers[0].say(b"not opened yet")
    else:
        late(stage.connection, first.streams[0].connection)
    second.carriers[0].opened()
    assert second.carriers[0].heard(5) == b"hello"
    second.carriers[0].accept()
    stage.visitor.sendall(b"more")
    assert second.carriers[0].heard(4) == b"more"
    stage.finish()
    second.carriers[0].heard_end()
    second.carriers[0].finish()
    assert stage.over() == ""
    assert first.streams[0].connection.closed
    assert not first.faults


def test_a_stream_that_was_given_back_gets_nothing_more(wires: Wires) -> None:
    first, second = Way(wires, 1), Way(wires, 0)
    stage = Stage(wires, first, second)
    first.carriers[0].opened()
    first.carriers[0].stream.send(Refuse(UNREACHABLE))
    first.carriers[0].heard_end()
    until(lambda: second.pool._waiting)
    stage.visitor.sendall(b"too late for the first")
    settle()
    first.streams[0].ping_now()
    near, far = wires.streams(kind="tcp")
    second.streams.append(near)
    second.pool.add(near)
    carrier = Carrier(far)
    carrier.opened()
    carrier.accept()
    assert carrier.heard(22) == b"too late for the first"
    stage.finish()
    carrier.heard_end()
    carrier.finish()
    assert stage.over() == ""
    first.pool.discard(first.streams[0])
    assert first.carriers[0].hear() is None, "neither bytes nor a message"


def test_more_than_is_held_waits_in_the_kernel(wires: Wires) -> None:
    """Until the target is reached; and all of it goes to the next where it is not."""
    first, second = Way(wires, 1), Way(wires, 1)
    stage = Stage(wires, first, second, buffer=SOME)
    data = bytes(range(256)) * 20_000
    sending = gevent.spawn(stage.visitor.sendall, data)
    first.carriers[0].opened()
    until(lambda: stage.passage._opened is not None)
    held = len(stage.passage._held or b"")
    assert HELD_BYTES < held < HELD_BYTES + 300_000
    assert not sending.ready()
    first.carriers[0].stream.send(Refuse(UNREACHABLE))
    second.carriers[0].opened()
    second.carriers[0].accept()
    assert second.carriers[0].heard(len(data)) == data
    sending.get()
    assert stage.passage._held is None
    stage.finish()
    second.carriers[0].heard_end()
    second.carriers[0].finish()
    while first.carriers[0].hear() != Finish():
        pass
    assert stage.over() == ""
    assert stage.passage.sent == len(data)


# Streams that are lost, and carriers that break the protocol


@pytest.mark.parametrize("when", ["both", "visitor ended", "target ended"])
def test_a_stream_that_is_lost(wires: Wires, way: Way, when: str) -> None:
    """What did not end of itself must not look as if it had."""
    stage, carrier = begun(wires, way)
    if when == "visitor ended":
        stage.finish()
        carrier.heard_end()
    elif when == "target ended":
        carrier.finish()
        stage.heard_end()
    carrier.stream.close()
    looking = look_often()
    assert stage.over() == ""
    looking.kill()
    if when == "target ended":  # the end has been read: what follows it is told by the next write
        with pytest.raises(OSError):
            stage.visitor.sendall(b"x")
    else:
        stage.was_cut()
    assert not way.faults


@pytest.mark.parametrize("opened", [True, False])
def test_a_carrier_that_breaks_the_protocol(wires: Wires, way: Way, opened: bool) -> None:
    stage = Stage(wires, way)
    carrier = way.carriers[0]
    carrier.opened()
    if opened:
        carrier.accept()
    carrier.stream.send(Open("what", "is this"))
    assert stage.was_cut() == b""
    assert stage.over() == ("" if opened else "stream lost")
    assert way.faults == ["a message is of an unknown kind"]


@pytest.mark.parametrize("message", [Opened(), Refuse(UNREACHABLE)])
def test_a_carrier_that_says_odd_things(wires: Wires, way: Way, message: Any) -> None:
    stage, carrier = begun(wires, way)
    carrier.stream.send(message)
    assert stage.was_cut() == b""
    assert stage.over() == ""
    assert way.streams[0].connection.closed


def test_a_carrier_that_ends_before_it_has_begun(wires: Wires, way: Way) -> None:
    stage = Stage(wires, way)
    way.carriers[0].opened()
    way.carriers[0].finish()
    assert stage.was_cut() == b""
    assert stage.over() == "stream lost"
