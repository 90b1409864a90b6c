"""A visitor's connection, carriers in the test's own hands: every end of it, and what becomes of the streams."""

from __future__ import annotations

import math
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import gevent
import pytest
from gevent.event import Event

from appliance.transport.connection import Connection, tune
from appliance.transport.stream import Stream
from appliance.tunnel import passage as module
from appliance.tunnel.passage import HELD_BYTES, Passage
from appliance.tunnel.pool import IDLE, Pool
from appliance.wire.messages import NOT_ALLOWED, UNREACHABLE, Finish, Open, Opened, Refuse
from tests.end_to_end.ports import exactly
from tests.transport.wires import SMALL, Wires, in_hub, raw_pair, settle, tick, until

SECONDS = 5.0
SOME = 32768  # soon full, without the kernel waiting long before it tells of room


class Carrier:
    """The carrier's end of one stream."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.finishes = 0
        self._bytes = b""

    def hear(self) -> Any:
        """Bytes, a message, or None at the end, as also by a reset."""
        try:
            got = self.stream.read()
        except ConnectionResetError:
            return None
        return b"".join(map(bytes, got)) if type(got) is list else got

    def opened(self, target: str = "tcp://target:1") -> None:
        """`open` has come."""
        got = self.hear()
        assert isinstance(got, Open)
        assert (got.upstream, got.visitor, got.confirm) == (target, "192.0.2.1:5", True)

    def heard(self, count: int) -> bytes:
        """The next so many bytes."""
        while len(self._bytes) < count:
            got = self.hear()
            assert isinstance(got, bytes), got
            self._bytes += got
        found, self._bytes = self._bytes[:count], self._bytes[count:]
        return found

    def heard_end(self) -> None:
        """The opener's direction ends here."""
        assert not self._bytes
        assert self.hear() == Finish()

    def lost(self) -> bytes:
        """What comes until the stream is cut off."""
        data = self._bytes
        while (got := self.hear()) is not None:
            assert isinstance(got, bytes), got
            data += got
        self.stream.close()
        return data

    def accept(self) -> None:
        self.stream.send(Opened())

    def say(self, data: bytes) -> None:
        self.stream.write(data)

    def finish(self, reset: bool = False) -> None:
        self.stream.send(Finish(0, reset))


class Way:
    """A pool, all of whose streams end in the test's hands. It asks for none."""

    def __init__(self, wires: Wires, count: int, tls: bool = False, buffer: int = 0) -> None:
        self.faults: list[str] = []
        self.pool = Pool(lambda count: None, lambda error: self.faults.append(str(error)), 0, 100)
        self.target = "tcp://target:1"
        self.streams: list[Stream] = []
        self.carriers: list[Carrier] = []  # in the order in which they are taken
        for _ in range(count):
            near, far = wires.streams(tls, buffer=buffer, kind="tcp")
            tune(near.connection._socket)
            self.pool.add(near)
            self.streams.insert(0, near)
            self.carriers.insert(0, Carrier(far))

    def check(self) -> None:
        """Each stream rests, and is as good as new, or is closed and forgotten."""
        pool: Any = self.pool
        assert self.pool.used == 0
        for stream in self.streams:
            assert stream.connection.dependant is None
            if stream.connection.closed:
                assert stream not in pool._all
            else:
                assert stream.state == IDLE
                assert stream in pool._idle
                assert not stream.holding
                assert not stream.connection.writing


class Stage:
    """A passage under way."""

    def __init__(self, wires: Wires, *ways: Way, seconds: float = SECONDS, buffer: int = 0, **options: Any) -> None:
        near, self.visitor = raw_pair("tcp", buffer)
        tune(near)
        self.connection = Connection(near, "192.0.2.1:5")
        wires.keep(self.connection, self.visitor)
        self.ways = ways
        self.passage = Passage(self.connection, **options)
        self.running = gevent.spawn(self.passage.run, ways, seconds)

    def cut(self) -> None:
        """The visitor ends with a reset."""
        self.visitor.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.visitor.close()

    def finish(self) -> None:
        self.visitor.shutdown(socket.SHUT_WR)

    def over(self) -> str:
        reason: str = self.running.get(timeout=SECONDS)
        assert self.connection.closed
        assert self.connection.dependant is None
        assert self.passage._up is None
        for way in self.ways:
            way.check()
        return reason

    def was_cut(self) -> bytes:
        """What the visitor gets until it is cut off; not until its end."""
        data = b""
        with pytest.raises(ConnectionResetError):
            while True:
                piece = self.visitor.recv(65536)
                assert piece, "it has ended in order"
                data += piece
        return data

    def rest(self) -> bytes:
        """What the visitor gets until the end, which comes in order."""
        data = b""
        while piece := self.visitor.recv(65536):
            data += piece
        return data

    def heard_end(self) -> None:
        assert self.rest() == b""


def look_often(seconds: float = SECONDS) -> gevent.Greenlet:
    """The reaper looks again and again, at once."""

    def run() -> None:
        while True:
            tick()

    return gevent.spawn(run)


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def way(request: pytest.FixtureRequest, wires: Wires) -> Way:
    return Way(wires, 1, tls=request.param)


def begun(wires: Wires, way: Way, **options: Any) -> tuple[Stage, Carrier]:
    """A passage whose target is reached."""
    stage = Stage(wires, way, **options)
    carrier = way.carriers[0]
    carrier.opened()
    carrier.accept()
    until(lambda: stage.passage.way is way)
    return stage, carrier


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
    for idle_seconds in (0.05, 0.0, 0.05):
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


def test_a_visitor_that_resets_while_the_carrier_takes_nothing(wires: Wires) -> None:
    way = Way(wires, 1, buffer=SMALL)
    stage, carrier = begun(wires, way)
    sending = gevent.spawn(stage.visitor.sendall, bytes(20_000_000))
    until(lambda: way.streams[0].connection.writing)
    sending.kill()
    stage.cut()
    looking = look_often()
    assert stage.over() == ""
    looking.kill()
    carrier.lost()


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


def test_a_target_that_resets_while_the_visitor_speaks(wires: Wires) -> None:
    """Of a frame that was cut off nothing sensible can follow."""
    way = Way(wires, 1, buffer=SMALL)
    stage, carrier = begun(wires, way)
    sending = gevent.spawn(stage.visitor.sendall, bytes(20_000_000))
    until(lambda: way.streams[0].connection.writing)
    carrier.finish(reset=True)
    assert stage.over() == ""
    with pytest.raises(OSError):
        sending.get()
    assert way.streams[0].connection.closed
    carrier.lost()


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
def test_a_stream_that_is_lost_before_the_target_is_reached(
    wires: Wires, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OPEN_SECONDS", 0.05)
    first, second = Way(wires, 1), Way(wires, 1)
    stage = Stage(wires, first, second)
    first.carriers[0].opened()
    stage.visitor.sendall(b"hello")
    assert first.carriers[0].heard(5) == b"hello"
    if how == "close":
        first.carriers[0].stream.close()
    elif how == "bytes":
        first.carriers[0].say(b"not opened yet")
    looking = look_often()
    monkeypatch.setattr(module, "OPEN_SECONDS", SECONDS)
    second.carriers[0].opened()
    assert second.carriers[0].heard(5) == b"hello"
    looking.kill()
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
    stage = Stage(wires, first, second)
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


# Time


def late(*connections: Connection) -> None:
    """Deadlines that have passed are noticed now; in an hour nothing else has."""
    now = time.monotonic() + 3600
    for connection in connections:
        in_hub(lambda connection=connection: connection.check(now))  # type: ignore[misc]


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


def test_a_slow_visitor_is_not_idle(wires: Wires) -> None:
    way = Way(wires, 1)
    stage, carrier = begun(wires, way, buffer=SMALL, idle_seconds=600.0)
    carrier.say(bytes(200_000))
    until(lambda: stage.connection.writing)
    stream = way.streams[0]
    before, carried = stage.connection.deadline, stream.received
    while stage.connection.deadline <= before:
        stage.visitor.recv(2000)
    assert stage.connection.writing
    assert stream.received == carried, "all this was within one piece"
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
        gevent.spawn(stage.visitor.sendall, bytes(10_000_000))
        gevent.spawn(carrier.say, bytes(10_000_000))
        stream = stage.ways[0].streams[0]
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
    gevent.idle()
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
