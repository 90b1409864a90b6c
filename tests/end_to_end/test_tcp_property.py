"""Random interleavings of writes, half-closes, resets and ends on both sides: through a tunnel they give the same
bytes and the same ends as on a direct connection."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import gevent
import pytest
from gevent import get_hub, socket
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.certificates.material import Material
from appliance.transport.reaper import reaper
from appliance.transport.tls import server_context
from tests.end_to_end.house import until
from tests.end_to_end.ports import PortHouse, Target, a_port_house, kept, reset, visit
from tests.stage.process import free_port

VISITOR, UPSTREAM = 0, 1
# Of what is sent just before a reset, all must find room in the receiver's window: the rest is lost on any connection.
SMALL, LARGE = 4000, 300_000

RESET_ERRORS = (errno.ECONNRESET, errno.EPIPE)


@dataclass(frozen=True)
class Write:
    side: int
    size: int


@dataclass(frozen=True)
class Finish:
    """End this direction."""

    side: int


@dataclass(frozen=True)
class Leave:
    """End both directions, having read all that came: by a reset (`cut`), or as `close` does. `last`: bytes before."""

    side: int
    cut: bool
    last: int


@dataclass(frozen=True)
class Script:
    """`early`: what the visitor does before its connection is accepted. After each round all that was sent is waited
    for. `afterwards`: how many bytes the one who stayed writes after a Leave, unheard."""

    early: tuple[Write | Finish, ...]
    rounds: tuple[tuple[Write | Finish, ...], ...]
    leave: Leave | None
    afterwards: int


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    finished: set[int] = set()

    def acts(sides: tuple[int, ...], most: int, size: int) -> tuple[Write | Finish, ...]:
        found: list[Write | Finish] = []
        for _ in range(draw(st.integers(0, most))):
            side = draw(st.sampled_from(sides))
            if side in finished:
                continue
            if draw(st.integers(0, 3)):
                found.append(Write(side, draw(st.one_of(st.integers(1, 200), st.integers(1, size)))))
            else:
                found.append(Finish(side))
                finished.add(side)
        return tuple(found)

    early = acts((VISITOR,), 3, LARGE)
    rounds = tuple(acts((VISITOR, UPSTREAM), 5, LARGE) for _ in range(draw(st.integers(0, 3))))
    leave = None
    afterwards = 0
    if draw(st.booleans()):
        side = draw(st.sampled_from((VISITOR, UPSTREAM)))
        last = draw(st.integers(0, SMALL)) if side not in finished and draw(st.booleans()) else 0
        leave = Leave(side, draw(st.booleans()), last)
        if 1 - side not in finished:
            afterwards = draw(st.integers(0, SMALL))
    return Script(early, rounds, leave, afterwards)


class Side:
    """One end, which always reads."""

    def __init__(self, sock: Any, seed: int) -> None:
        self.sock = sock
        self.seed = seed
        self.received = bytearray()
        self.ended = self.cut = self.gone = False
        self.sent = 0
        self.finished = False
        self._reading = gevent.spawn(self._read)

    def _read(self) -> None:
        try:
            while data := self.sock.recv(1 << 18):
                self.received += data
            self.ended = True
        except OSError as error:
            self._failed(error)

    def _failed(self, error: OSError) -> None:
        if not self.gone:
            assert error.errno in RESET_ERRORS, error
            self.cut = True

    def write(self, size: int) -> None:
        data = bytes((self.seed + index) & 255 for index in range(self.sent, self.sent + min(size, 256)))
        data = (data * (size // len(data) + 1))[:size]
        self.sent += size
        try:
            self.sock.sendall(data)
        except OSError as error:
            self._failed(error)

    def finish(self) -> None:
        self.finished = True
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            assert error.errno == errno.ENOTCONN  # it has been cut
            self.cut = True

    def leave(self, cut: bool) -> None:
        self.gone = True
        self._reading.kill()
        if cut:
            reset(self.sock)
        else:
            self.sock.close()

    def look(self) -> None:
        """A reset after the end of the other's direction is no event for a reader. (It is told once.)"""
        if self.ended and not self.gone and self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) in RESET_ERRORS:
            self.cut = True

    @property
    def result(self) -> tuple[bytes, bool, bool]:
        """What came; whether it ended in order; whether it has been cut off."""
        return bytes(self.received), self.ended and not self.cut, self.cut


Result = tuple[tuple[bytes, bool, bool], ...]


def play(script: Script, target: Target, visitor: Any, over: Callable[[], None]) -> Result:
    """What both sides have seen at the end. `over`: waits until nothing more can come."""
    sides = [Side(visitor, 7)]

    def act(acts: tuple[Write | Finish, ...]) -> None:
        for step in acts:
            if isinstance(step, Write):
                sides[step.side].write(step.size)
            else:
                sides[step.side].finish()

    def heard() -> bool:
        return all(
            len(one.received) == other.sent and one.ended == other.finished for one, other in (sides, reversed(sides))
        )

    doing = gevent.spawn(act, script.early)  # more than the buffers hold may be among it
    sides.append(Side(kept(target.accept()), 101))
    doing.get()
    until(heard, "what was said early is heard")
    for acts in script.rounds:
        act(acts)
        until(heard, "what was said is heard")
    leave = script.leave
    if leave is not None:
        leaving = sides[leave.side]
        if leave.last:
            leaving.write(leave.last)
        leaving.leave(leave.cut)
        stays = sides[1 - leave.side]
        for size in {script.afterwards // 2, script.afterwards - script.afterwards // 2} - {0}:
            stays.write(size)
        if script.afterwards if not leave.cut else not (leaving.finished and stays.finished):
            # On the wire it is one way from the one to the other, through a tunnel some more.
            until(lambda: stays.look() or stays.cut, "the one who stayed hears that the other has gone")
    for side in sides:
        if not side.gone and not side.finished:
            side.finish()
    over()

    def settled() -> bool:
        for side in sides:
            side.look()
        return all(side._reading.ready() for side in sides)

    until(settled, "both have heard the end")
    for side in sides:
        side._reading.kill()
        side.sock.close()
    return tuple(side.result for side in sides)


@dataclass
class Ways:
    """The same target, directly and through a tunnel: in by a port of the server, or out by one of the client."""

    house: PortHouse
    target: Target
    ports: dict[str, int]


@pytest.fixture(scope="module")
def hasty() -> Iterator[None]:
    """The reaper looks more often: what it notices is the same, sooner."""
    timer = get_hub().loop.timer(0.003, 0.003)
    timer.start(reaper._tick)
    yield
    timer.stop()
    timer.close()


@pytest.fixture(scope="module", params=["plain", "tls"])
def ways(request: pytest.FixtureRequest, material: Material, hasty: None) -> Iterator[Ways]:
    options: dict[str, Any] = {"client_forwarding": True}
    if request.param == "tls":
        context = server_context(str(material.certificate_file), str(material.key_file))
        options |= {"context": context, "ca_pem": material.ca_pem}
    with ExitStack() as stack:
        house = stack.enter_context(a_port_house(**options))
        target = house.target()
        inward, outward = free_port(), free_port()
        house.client(f"{inward}={target.address}", local=(f"{outward}:{target.address}",))
        yield Ways(house, target, {"inward": inward, "outward": outward})


@given(scripts())
@settings(max_examples=60, deadline=None)
def test_inward(ways: Ways, script: Script) -> None:
    check(ways, "inward", script)


@given(scripts())
@settings(max_examples=30, deadline=None)
def test_outward(ways: Ways, script: Script) -> None:
    check(ways, "outward", script)


def check(ways: Ways, way: str, script: Script) -> None:
    direct = play(script, ways.target, visit(ways.target.port), lambda: None)
    tunnelled = play(script, ways.target, visit(ways.ports[way]), ways.house.quiet)
    assert tunnelled == direct
