"""After a peer has cut the connection off: a write says so, and what the peer had said before can still be read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from appliance.transport.connection import MAX_PARTS, Closed, Connection, TimedOut
from tests.transport.wires import SMALL, Wires, fill, in_hub, tick, until

Write = Callable[[Connection], None]
WRITES: dict[str, Write] = {
    "write": lambda connection: connection.write(b"too late"),
    "write_parts": lambda connection: connection.write_parts([b"too ", b"late"]),
    "write_parts of many": lambda connection: connection.write_parts([b"x"] * (MAX_PARTS + 1)),
}


def cut(wires: Wires, tls: bool, said: bytes = b"") -> Connection:
    """A connection whose peer has reset it, having said something."""
    near, far = wires.connections(tls, kind="tcp")
    if said:
        far.write(said)
    far.abort()
    until(near.peer_has_left)
    return near


@pytest.mark.parametrize("ready", [True, False], ids=["read_ready", "read"])
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("how", WRITES)
def test_what_was_said_is_read_and_then_the_reset(wires: Wires, how: str, tls: bool, ready: bool) -> None:
    """The write takes the socket's error away: without a word the reset would look like a regular end."""
    near = cut(wires, tls, b"last words")
    assert not near.refused
    with pytest.raises(ConnectionError):
        WRITES[how](near)
    assert near.refused
    assert not near.closed
    assert not near.writing
    read: Callable[[], Any] = near.read_ready if ready else near.read
    assert bytes(read()) == b"last words"
    for _ in range(2):
        with pytest.raises(ConnectionResetError):
            read()


@pytest.mark.parametrize("tls", [False, True])
def test_a_write_that_waited(wires: Wires, tls: bool) -> None:
    near, far = wires.connections(tls, kind="tcp", buffer=SMALL)
    far.write(b"enough of that")
    writer = fill(near)
    assert not near.refused
    far.abort()
    with pytest.raises(ConnectionError):
        writer.get()
    assert near.refused
    assert not near.closed
    assert not near.writing
    assert bytes(near.read()) == b"enough of that"
    with pytest.raises(ConnectionResetError):
        near.read()


@pytest.mark.parametrize("again", WRITES)
def test_each_further_write_is_refused(wires: Wires, again: str) -> None:
    near = cut(wires, tls=False)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            WRITES[again](near)
    assert near.refused


def test_the_end_of_a_direction_comes_before(wires: Wires) -> None:
    """A peer that has said all in order, and then goes: the end that was read was one, what follows is none."""
    near, far = wires.connections(kind="tcp")
    far.shutdown_write()
    assert bytes(near.read()) == b""
    near.write(b"still heard")
    assert bytes(far.read()) == b"still heard"
    far.abort()
    until(near.peer_has_left)
    near.half_closes = True
    until(near.peer_has_left)
    with pytest.raises(ConnectionError):
        near.write(b"not any more")
    with pytest.raises(ConnectionResetError):
        near.read()


def test_one_who_gave_up_was_not_refused(wires: Wires) -> None:
    """It is closed: part of what it wrote is gone."""
    for tls in (False, True):
        near, _ = wires.connections(tls, kind="tcp", buffer=SMALL)
        writer = fill(near)
        near.deadline = 0.0
        tick()
        with pytest.raises(TimedOut):
            writer.get()
        assert near.closed
        assert not near.refused


def test_one_who_closed_was_not_refused(wires: Wires) -> None:
    near, _ = wires.connections(kind="tcp", buffer=SMALL)
    writer = fill(near)
    near.close()
    with pytest.raises(Closed):
        writer.get()
    assert not near.refused


@pytest.mark.parametrize("end", ["close", "abort"])
def test_it_can_be_ended(wires: Wires, end: str) -> None:
    near = cut(wires, tls=False)
    with pytest.raises(ConnectionError):
        near.write(b"x")
    getattr(near, end)()
    assert near.closed
    with pytest.raises(OSError):
        near.read()


def test_from_the_hub_there_is_nobody_who_could_read_on(wires: Wires) -> None:
    near = cut(wires, tls=False, said=b"unheard")
    in_hub(lambda: near.write_now(b"x"))
    assert near.closed
