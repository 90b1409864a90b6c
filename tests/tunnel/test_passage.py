"""A visitor's connection, carriers in the test's own hands: its bytes, and the ends of either side."""

from __future__ import annotations

import math

import gevent
import pytest

from appliance.tunnel.pool import IDLE
from tests.transport.wires import Wires, until
from tests.tunnel.passages import SOME, Carrier, Stage, Stingy, Way, begun, look_often

# Bytes, and ends in order


def test_the_visitor_ends_first(wires: Wires, way: Way) -> None:
    stage, carrier = begun(wires, way)
    stage.visitor.sendall(b"question")
    assert carrier.heard(8) == b"question"
    stage.finish()
    carrier.heard_end()
    carrier.say(b"late ")
    carrier.say(b"answer")
    carrier.finish()
    assert stage.rest() == b"late answer"
    assert stage.over() == ""
    assert (stage.passage.sent, stage.passage.received) == (8, 11)
    assert not way.streams[0].connection.closed


@pytest.mark.parametrize("spoken", [True, False])
def test_the_target_ends_first(wires: Wires, way: Way, spoken: bool) -> None:
    stage, carrier = begun(wires, way)
    if spoken:
        stage.visitor.sendall(b"before, ")
        assert carrier.heard(8) == b"before, "
    carrier.say(b"enough")
    carrier.finish()
    assert stage.rest() == b"enough"
    for word in (b"still ", b"here"):
        stage.visitor.sendall(word)
        assert carrier.heard(len(word)) == word
    stage.finish()
    carrier.heard_end()
    assert stage.over() == ""
    assert not way.streams[0].connection.closed


def test_both_end_at_once_and_before_they_are_opened(wires: Wires, way: Way) -> None:
    stage = Stage(wires, way)
    stage.visitor.sendall(b"hello")
    stage.finish()
    carrier = way.carriers[0]
    carrier.opened()
    carrier.accept()
    carrier.say(b"good bye")
    carrier.finish()
    assert carrier.heard(5) == b"hello"
    carrier.heard_end()
    assert stage.rest() == b"good bye"
    assert stage.over() == ""


def test_nothing_at_all_is_said(wires: Wires, way: Way) -> None:
    stage, carrier = begun(wires, way)
    stage.finish()
    carrier.heard_end()
    carrier.finish()
    stage.heard_end()
    assert stage.over() == ""
    assert (stage.passage.sent, stage.passage.received) == (0, 0)


def test_what_goes_before(wires: Wires, way: Way) -> None:
    stage, carrier = begun(wires, way, preface=b"PROXY UNKNOWN\r\n", early=b"read already, ")
    stage.visitor.sendall(b"and not")
    expected = b"PROXY UNKNOWN\r\nread already, and not"
    assert carrier.heard(len(expected)) == expected
    stage.finish()
    carrier.heard_end()
    carrier.finish()
    assert stage.over() == ""
    assert stage.passage.sent == len(b"read already, and not")


def test_one_stream_carries_one_after_the_other(wires: Wires, way: Way) -> None:
    for idle_seconds in (600.0, 0.0, 600.0):
        stage, carrier = begun(wires, way, idle_seconds=idle_seconds)
        connection = way.streams[0].connection
        assert (connection.deadline < math.inf) == bool(idle_seconds)
        stage.visitor.sendall(b"x")
        assert carrier.heard(1) == b"x"
        carrier.finish()
        stage.heard_end()
        stage.finish()
        carrier.heard_end()
        assert stage.over() == ""
    assert not way.streams[0].connection.closed


def test_much_in_both_directions_at_once_past_slow_readers(wires: Wires) -> None:
    """What is read is in buffers that all share: it must not change while somebody waits to write it."""
    ways = [Way(wires, 1, tls=tls, buffer=SOME) for tls in (False, True, False, True)]
    stages = [begun(wires, way, buffer=SOME) for way in ways]
    size = 600_000

    def data(seed: int) -> bytes:
        return bytes((index * seed + (index >> 8)) & 255 for index in range(size))

    def send_up(stage: Stage, seed: int) -> None:
        stage.visitor.sendall(data(seed))
        stage.finish()

    def send_down(carrier: Carrier, seed: int) -> None:
        carrier.say(data(seed))
        carrier.finish()

    def receive(stage: Stage) -> bytes:
        pieces = []
        while piece := stage.visitor.recv(30_000):
            pieces.append(piece)
        return b"".join(pieces)

    sending, heard, received = [], [], []
    for seed, (stage, carrier) in enumerate(stages):
        sending += [gevent.spawn(send_up, stage, 3 + seed), gevent.spawn(send_down, carrier, 101 + seed)]
        heard.append(gevent.spawn(carrier.heard, size))
        received.append(gevent.spawn(receive, stage))
    for seed, (stage, carrier) in enumerate(stages):
        assert heard[seed].get() == data(3 + seed)
        assert received[seed].get() == data(101 + seed)
        carrier.heard_end()
        assert stage.over() == ""
    gevent.joinall(sending, raise_error=True)


# Resets


def test_a_visitor_that_resets(wires: Wires, way: Way) -> None:
    stage, carrier = begun(wires, way)
    stage.visitor.sendall(b"last words")
    stage.cut()
    assert carrier.lost() == b"last words"
    assert stage.over() == ""


def test_a_visitor_that_resets_while_it_is_written_to(wires: Wires, way: Way) -> None:
    """Its last words are delivered although it is the writing that finds out."""
    stage, carrier = begun(wires, way)
    stage.visitor.sendall(b"last words")
    stage.cut()
    carrier.say(b"into the void")
    assert carrier.lost() == b"last words"
    assert stage.over() == ""


def test_a_visitor_that_resets_before_the_target_is_reached(wires: Wires, way: Way) -> None:
    other = Way(wires, 1)
    stage = Stage(wires, way, other)
    carrier = way.carriers[0]
    carrier.opened()
    stage.cut()
    assert carrier.lost() == b""
    assert stage.over() == ""
    assert stage.passage.way is None
    assert other.streams[0].state == IDLE, "nobody else was asked"


def test_a_visitor_that_resets_before_a_stream_is_there(wires: Wires) -> None:
    nobody, other = Way(wires, 0), Way(wires, 1)
    stage = Stage(wires, nobody, other, seconds=0.05)
    stage.visitor.sendall(b"hello")
    stage.cut()
    assert stage.over() == ""
    assert other.streams[0].state == IDLE, "it was not even asked"


def test_a_visitor_that_resets_after_its_end(wires: Wires, way: Way) -> None:
    stage, carrier = begun(wires, way)
    stage.finish()
    carrier.heard_end()
    stage.cut()
    looking = look_often()
    assert carrier.lost() == b""
    assert stage.over() == ""
    looking.kill()


def test_a_visitor_that_resets_after_the_target_s_end(wires: Wires, way: Way) -> None:
    stage, carrier = begun(wires, way)
    carrier.finish()
    stage.heard_end()
    stage.cut()
    assert carrier.lost() == b""
    assert stage.over() == ""


def test_a_visitor_that_resets_while_the_carrier_takes_nothing(wires: Wires, way: Way) -> None:
    stage, carrier = begun(wires, way)
    Stingy(way.streams[0].connection, 1000)
    stage.visitor.sendall(bytes(5000))
    until(lambda: way.streams[0].connection.writing)
    stage.cut()
    looking = look_often()
    assert stage.over() == ""
    looking.kill()
    assert way.streams[0].connection.closed
    carrier.stream.close()


@pytest.mark.parametrize("ended", [True, False])
def test_a_target_that_resets(wires: Wires, way: Way, ended: bool) -> None:
    stage, carrier = begun(wires, way)
    stage.visitor.sendall(b"x")
    assert carrier.heard(1) == b"x"
    if ended:
        stage.finish()
        carrier.heard_end()
    carrier.say(b"that is a")
    carrier.finish(reset=True)
    assert stage.was_cut() == b"that is a"
    if not ended:
        carrier.heard_end()
    assert stage.over() == ""
    assert not way.streams[0].connection.closed, "the stream is none the worse for it"


def test_a_target_that_resets_while_the_visitor_speaks(wires: Wires, way: Way) -> None:
    """Of a frame that was cut off nothing sensible can follow."""
    stage, carrier = begun(wires, way)
    Stingy(way.streams[0].connection, 1000)
    stage.visitor.sendall(bytes(5000))
    until(lambda: way.streams[0].connection.writing)
    carrier.finish(reset=True)
    assert stage.was_cut() == b""
    assert stage.over() == ""
    assert way.streams[0].connection.closed
    carrier.stream.close()
