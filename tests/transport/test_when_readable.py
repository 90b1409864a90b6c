"""Greenlets that begin when there is something to read: once, for whom they were meant, and not when all is over."""

from __future__ import annotations

import logging

import gevent
import pytest

from appliance.transport.connection import Connection
from appliance.transport.tasks import crashes
from tests.transport.wires import Wires, in_hub, settle, until


class Reader:
    """What it was given when it began, and what it then found."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.begun: list[str] = []
        self.found: list[bytes | OSError | None] = []

    def __call__(self, word: str) -> None:
        self.begun.append(word)
        try:
            data = self.connection.read_ready()
        except OSError as error:
            self.found.append(error)
        else:
            self.found.append(None if data is None else bytes(data))


@pytest.mark.parametrize("tls", [False, True])
def test_it_begins_once(wires: Wires, tls: bool) -> None:
    near, far = wires.connections(tls)
    reader = Reader(near)
    near.when_readable("a reader", reader, "begun")
    settle()
    assert reader.begun == []
    far.write(b"first")
    until(lambda: reader.begun)
    assert reader.found == [b"first"]
    assert near.on_idle is None
    far.write(b"second")
    until(lambda: not near._armed)
    assert reader.begun == ["begun"]
    assert bytes(near.read()) == b"second"


def test_what_has_come_before_counts(wires: Wires) -> None:
    near, far = wires.connection()
    far.sendall(b"early")
    settle()
    reader = Reader(near)
    near.when_readable("a reader", reader, "begun")
    assert reader.begun == [], "not before its caller waits"
    until(lambda: reader.begun)
    assert reader.found == [b"early"]


def test_an_end_and_a_reset_count(wires: Wires) -> None:
    for end, expected in (("close", bytes), ("abort", ConnectionResetError)):
        near, far = wires.connections(kind="tcp")
        reader = Reader(near)
        near.when_readable("a reader", reader, "begun")
        getattr(far, end)()
        until(lambda reader=reader: reader.begun)
        assert isinstance(reader.found[0], expected)
        assert not reader.found[0] or end == "abort"


def test_the_later_one_takes_the_place_of_the_earlier(wires: Wires) -> None:
    near, far = wires.connection()
    earlier, later = Reader(near), Reader(near)
    near.when_readable("earlier", earlier, "begun")
    near.when_readable("later", later, "begun")
    far.sendall(b"x")
    until(lambda: later.begun)
    settle()
    assert (earlier.begun, later.begun) == ([], ["begun"])


def test_who_reads_already_comes_first(wires: Wires) -> None:
    near, far = wires.connection()
    reader = Reader(near)
    waiting = gevent.spawn(near.read)
    until(lambda: near._reader is not None)
    near.when_readable("a reader", reader, "begun")
    far.sendall(b"for who waits")
    assert bytes(waiting.get()) == b"for who waits"
    settle()
    assert reader.begun == []
    far.sendall(b"for the other")
    until(lambda: reader.begun)
    assert reader.found == [b"for the other"]


def test_it_may_wait_and_close(wires: Wires) -> None:
    near, far = wires.connection()
    read: list[bytes] = []

    def reader() -> None:
        read.append(bytes(near.read()))
        read.append(bytes(near.read()))
        near.close()

    near.when_readable("a reader", reader)
    far.sendall(b"one")
    until(lambda: read)
    far.sendall(b"two")
    until(lambda: near.closed)
    assert read == [b"one", b"two"]


def test_none_begins_on_a_connection_that_is_closed(wires: Wires) -> None:
    near, far = wires.connection()
    reader = Reader(near)
    near.when_readable("a reader", reader, "begun")
    far.sendall(b"too late")
    near.close()
    settle()
    near.when_readable("a reader", reader, "again")
    settle()
    assert reader.begun == []


def test_one_that_is_closed_in_the_same_turn_of_the_loop(wires: Wires) -> None:
    """The event is there already, and whoever closes is called first."""
    near, far = wires.connection()
    reader = Reader(near)
    near.when_readable("a reader", reader, "begun")

    def come_and_close() -> None:
        far.send(b"x")
        near.close()

    in_hub(come_and_close)
    settle()
    assert reader.begun == []


def test_one_that_crashes_leaves_connection_and_hub_alone(
    wires: Wires, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crashes, "count", 0)
    near, far = wires.connection()
    near.when_readable("a reader of these tests", lambda: 1 // 0)
    far.sendall(b"for the next")
    until(lambda: crashes.count == 1)
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith("a reader of these tests crashed")
    assert not near.closed
    assert bytes(near.read()) == b"for the next"
    monkeypatch.undo()
