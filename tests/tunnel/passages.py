"""Passages under way: a visitor and the carriers, both in a test's own hands, and what must be left of them."""

from __future__ import annotations

import socket
import struct
import time
from typing import Any

import gevent
import pytest

from appliance.transport.connection import Connection, tune
from appliance.transport.stream import Stream
from appliance.tunnel.passage import Passage
from appliance.tunnel.pool import IDLE, Pool
from appliance.wire.messages import Finish, Open, Opened
from tests.transport.wires import Wires, in_hub, raw_pair, tick, until

SECONDS = 5.0
SOME = 32768  # a buffer that is soon full, without the kernel waiting long before it tells of room


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
        self.known = False  # that the target is reached
        self.streams: list[Stream] = []
        self.carriers: list[Carrier] = []  # in the order in which they are taken
        for _ in range(count):
            near, far = wires.streams(tls, buffer=buffer, kind="tcp")
            tune(near.connection._socket)
            self.pool.add(near)
            self.streams.insert(0, near)
            self.carriers.insert(0, Carrier(far))

    def reached(self) -> None:
        self.known = True

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


class Stingy:
    """A connection's socket that takes `left` bytes more, whatever room the kernel has. (Of which that tells again
    and again: the hub is never idle meanwhile.)"""

    def __init__(self, connection: Connection, left: int) -> None:
        self.left = left
        self._socket: Any = connection._socket
        connection._socket = self  # type: ignore[assignment]

    def send(self, data: Any) -> int:
        if not self.left:
            raise BlockingIOError
        sent: int = self._socket.send(memoryview(data)[: self.left])
        self.left -= sent
        return sent

    def sendmsg(self, parts: list[Any]) -> int:
        return self.send(b"".join(parts))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


def look_often(seconds: float = SECONDS) -> gevent.Greenlet:
    """The reaper looks again and again, at once."""

    def run() -> None:
        while True:
            tick()

    return gevent.spawn(run)


def late(*connections: Connection) -> None:
    """Deadlines that have passed are noticed now; in an hour nothing else has."""
    now = time.monotonic() + 3600
    for connection in connections:
        in_hub(lambda connection=connection: connection.check(now))  # type: ignore[misc]


def begun(wires: Wires, way: Way, **options: Any) -> tuple[Stage, Carrier]:
    """A passage whose target is reached."""
    stage = Stage(wires, way, **options)
    carrier = way.carriers[0]
    carrier.opened()
    carrier.accept()
    until(lambda: stage.passage.way is way)
    return stage, carrier
