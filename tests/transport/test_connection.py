"""Plain connections: waiting, bytes, ends, and every way in which a wait is broken off."""

from __future__ import annotations

import logging
import math
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import gevent
import gevent.socket
import pytest
from gevent import get_hub

from appliance.transport import connection as module
from appliance.transport.connection import (
    MAX_PARTS,
    Closed,
    Connection,
    PeerLeft,
    TimedOut,
    peer_name,
    tune,
)
from tests.transport.wires import (
    SMALL,
    Wires,
    fill,
    in_hub,
    raw_pair,
    read_all,
    read_at_least,
    reaper_at_rest,
    settle,
    tick,
    until,
)

KINDS = ["unix", "tcp"]


def reset(far: Any) -> None:
    """End the other side of a TCP connection as a crash would."""
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    far.close()


def receive_all(far: Any) -> bytes:
    data = b""
    while piece := far.recv(65536):
        data += piece
    return data


def waiting_reader(connection: Connection) -> gevent.Greenlet:
    reader = gevent.spawn(connection.read)
    until(lambda: connection._reader is not None)
    return reader


# Bytes


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_go_both_ways_and_each_direction_ends_on_its_own(wires: Wires, kind: str) -> None:
    near, far = wires.connections(kind=kind)
    near.write(b"question")
    assert bytes(far.read()) == b"question"
    near.shutdown_write()
    assert bytes(far.read()) == b""
    assert bytes(far.read()) == b""
    far.write(memoryview(bytearray(b"answer")))
    far.write_parts([b", ", bytearray(b"late "), memoryview(b"but whole")])
    far.write(b"")
    far.write_parts([])
    far.close()
    assert read_all(near) == b"answer, late but whole"


@pytest.mark.parametrize("pieces", [1, 2, MAX_PARTS, MAX_PARTS + 1, 3000])
def test_a_slow_reader_gets_all_although_what_was_given_changes_meanwhile(wires: Wires, pieces: int) -> None:
    near, far = wires.connections(buffer=SMALL)
    shared = bytearray(bytes(range(256)) * 4000)
    expected = bytes(shared)
    size = len(shared) // pieces
    view = memoryview(shared)
    parts = [view[size * index : size * (index + 1)] for index in range(pieces - 1)]
    parts.append(view[size * (pieces - 1) :])
    writer = gevent.spawn(near.write, parts[0]) if pieces == 1 else gevent.spawn(near.write_parts, parts)
    until(lambda: near.writing)
    shared[:] = bytes(len(shared))  # as another connection's read does with the shared buffer
    assert read_at_least(far, len(expected)) == expected
    writer.get()
    assert not near.writing


def test_what_is_read_is_a_view_of_one_buffer_shared_by_all(wires: Wires) -> None:
    near, far = wires.connection()
    far.sendall(b"first")
    view = near.read()
    assert view.obj is module._view.obj
    assert bytes(view) == b"first"
    assert len(module._view) == module.READ_BYTES


def test_a_full_read_buffer_is_not_the_end(wires: Wires) -> None:
    near, far = wires.connections()
    data = bytes(range(251)) * 4000
    writer = gevent.spawn(far.write, data)
    assert read_at_least(near, len(data)) == data
    writer.get()


def test_read_ready_never_waits(wires: Wires) -> None:
    near, far = wires.connection()
    assert near.read_ready() is None
    far.sendall(b"now")
    got = near.read_ready()
    assert got is not None
    assert bytes(got) == b"now"
    far.close()
    assert near.read_ready() == b""


@pytest.mark.parametrize("ready", [False, True])
def test_what_follows_a_refused_write_is_no_end(wires: Wires, ready: bool) -> None:
    near, far = wires.connection("tcp")
    reset(far)
    until(near.peer_has_left)
    with pytest.raises(ConnectionError):
        near.write(b"too late")
    with pytest.raises(ConnectionResetError):
        near.read_ready() if ready else near.read()


def test_a_wake_up_without_bytes_is_no_end(wires: Wires) -> None:
    near, far = wires.connection()
    reader = waiting_reader(near)
    in_hub(near._readable)
    settle()
    assert not reader.ready()
    far.sendall(b"real")
    assert bytes(reader.get()) == b"real"


def test_a_wake_up_without_room_is_no_failure(wires: Wires) -> None:
    near, far = wires.connections(buffer=SMALL)
    writer = fill(near)
    waiting = near._writer
    assert waiting is not None
    in_hub(waiting.switch)
    assert not writer.ready()
    assert len(read_at_least(far, 1 << 22)) == 1 << 22
    writer.get()


# Two at once


def test_two_readers_are_a_mistake_that_the_first_does_not_feel(wires: Wires) -> None:
    near, far = wires.connection()
    reader = waiting_reader(near)
    with pytest.raises(RuntimeError, match="two greenlets read"):
        near.read()
    far.sendall(b"mine")
    assert bytes(reader.get()) == b"mine"


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("write", [
    lambda connection: connection.write(b"second"),
    lambda connection: connection.write(b"s" * 100_000),
    lambda connection: connection.write_parts([b"sec", b"ond"]),
    lambda connection: connection.write_parts([b"x"] * (MAX_PARTS + 1)),
])  # fmt: skip
def test_two_writers_are_a_mistake_that_the_first_does_not_feel(
    wires: Wires, tls: bool, write: Callable[[Connection], None]
) -> None:
    near, far = wires.connections(tls, buffer=SMALL)
    writer = fill(near)
    with pytest.raises(RuntimeError, match="two greenlets write"):
        write(near)
    assert read_at_least(far, 1 << 22) == b"f" * (1 << 22)
    writer.get()
    near.write(b"third")
    assert bytes(far.read()) == b"third"


@pytest.mark.parametrize("tls", [False, True])
def test_one_reads_while_another_writes(wires: Wires, tls: bool) -> None:
    near, far = wires.connections(tls, buffer=SMALL)
    writer = fill(near)
    for _ in range(3):
        far.write(b"meanwhile")
        assert read_at_least(near, 9) == b"meanwhile"
        assert near.writing
    assert len(read_at_least(far, 1 << 22)) == 1 << 22
    writer.get()


# Writing where nothing may wait


def test_write_now(wires: Wires) -> None:
    near, far = wires.connection()
    in_hub(lambda: near.write_now(b"from the hub"))
    assert far.recv(100) == b"from the hub"


@pytest.mark.parametrize("tls", [False, True])
def test_write_now_cuts_off_who_takes_nothing(wires: Wires, tls: bool) -> None:
    near, far = wires.connections(tls, buffer=SMALL)
    in_hub(lambda: near.write_now(b"w" * (1 << 20)))
    assert near.closed
    far.close()


@pytest.mark.parametrize("tls", [False, True])
def test_write_now_within_another_write_cuts_off(wires: Wires, tls: bool) -> None:
    near, _ = wires.connections(tls, buffer=SMALL)
    writer = fill(near)
    in_hub(lambda: near.write_now(b"ping"))
    with pytest.raises(Closed):
        writer.get()
    assert near.closed


def test_write_now_to_who_has_left(wires: Wires) -> None:
    near, far = wires.connection()
    far.close()
    near.write_now(b"anybody?")
    assert near.closed
    near.write_now(b"nobody")


# Ends


def test_the_end_after_the_last_bytes(wires: Wires) -> None:
    near, far = wires.connection("tcp")
    far.sendall(b"last words")
    far.close()
    assert read_all(near) == b"last words"


def test_a_reset_while_waiting(wires: Wires) -> None:
    near, far = wires.connection("tcp")
    reader = waiting_reader(near)
    reset(far)
    with pytest.raises(ConnectionResetError):
        reader.get()


def test_what_was_said_before_a_failed_write_is_still_heard(wires: Wires) -> None:
    """An upstream that refuses an upload half-way has often said why."""
    near, far = wires.connection("tcp", SMALL)
    far.sendall(b"413 Too Large")
    near.write(b"begin")
    far.close()  # with unread bytes: a reset
    with pytest.raises(OSError):
        while True:
            near.write(b"more")
    assert not near.closed
    with pytest.raises(ConnectionResetError):
        assert read_all(near) == b"413 Too Large"


@pytest.mark.parametrize("write", [
    lambda connection: connection.write(b"more"),
    lambda connection: connection.write_parts([b"mo", b"re"]),
])  # fmt: skip
def test_a_write_that_failed_once_fails_again(wires: Wires, write: Callable[[Connection], None]) -> None:
    near, far = wires.connections(buffer=SMALL)
    writer = fill(near)
    far.close()
    with pytest.raises(ConnectionError):
        writer.get()
    for _ in range(2):
        with pytest.raises(OSError):
            write(near)
    assert not near.writing


@pytest.mark.parametrize("tls", [False, True])
def test_after_close_nothing_works_and_nothing_waits(wires: Wires, tls: bool) -> None:
    near, far = wires.connections(tls)
    near.close()
    near.close()
    near.abort()
    assert near.closed
    assert near.fileno() == -1
    for function in (near.read, near.wait_readable, near.wait_writable, near.read_ready, near.shutdown_write):
        with pytest.raises(OSError):
            function()
    for data in (b"x", b"x" * 100_000):
        with pytest.raises(OSError):
            near.write(data)
        with pytest.raises(OSError):
            near.write_parts([data, data])
    near.arm()
    near.write_now(b"x")
    assert read_all(far) == b""


@pytest.mark.parametrize("where", ["hub", "greenlet"])
@pytest.mark.parametrize("tls", [False, True])
def test_close_wakes_who_waits(wires: Wires, where: str, tls: bool) -> None:
    near, _ = wires.connections(tls, buffer=SMALL)
    reader, writer = waiting_reader(near), fill(near)
    if where == "hub":
        in_hub(near.close)
    else:
        near.close()
    for greenlet in (reader, writer):
        with pytest.raises(Closed):
            greenlet.get()


def test_abort_is_seen_as_a_reset(wires: Wires) -> None:
    near, far = wires.connection("tcp")
    near.write(b"half an ans")
    near.abort()
    assert near.closed
    with pytest.raises(ConnectionResetError):
        receive_all(far)


def test_abort_of_what_takes_no_options(wires: Wires) -> None:
    near, far = wires.connection()
    near._socket.close()
    near.abort()
    assert near.closed
    assert far.recv(1) == b""


def test_ending_the_direction_of_who_has_left() -> None:
    near, far = raw_pair("tcp")
    connection = Connection(near, "tcp")
    reset(far)
    until(lambda: connection.peer_has_left())
    connection.shutdown_write()  # there is nothing left to end
    connection.close()


# Breaking a wait off


@pytest.mark.parametrize("what", ["reader", "writer"])
def test_a_deadline_ends_a_wait(wires: Wires, what: str) -> None:
    near, _ = wires.connection(buffer=SMALL)
    waiting = waiting_reader(near) if what == "reader" else fill(near)
    tick()
    settle()
    assert not waiting.ready()
    near.deadline = time.monotonic() - 1
    tick()
    with pytest.raises(TimedOut, match="time limit"):
        waiting.get()


def test_a_read_may_be_tried_again_after_its_deadline(wires: Wires) -> None:
    near, far = wires.connection()
    reader = waiting_reader(near)
    near.deadline = 0.0
    tick()
    with pytest.raises(TimedOut):
        reader.get()
    near.deadline = math.inf
    far.sendall(b"late")
    assert bytes(near.read()) == b"late"


def test_a_write_past_its_deadline_closes_for_part_of_it_is_gone(wires: Wires) -> None:
    near, far = wires.connection("tcp", SMALL)
    writer = fill(near)
    near.deadline = 0.0
    tick()
    with pytest.raises(TimedOut):
        writer.get()
    assert near.closed
    with pytest.raises(ConnectionResetError):
        receive_all(far)


@pytest.mark.parametrize("tls", [False, True])
def test_a_write_that_makes_progress_puts_its_deadline_off(wires: Wires, tls: bool) -> None:
    near, far = wires.connections(tls, buffer=SMALL)
    near.patience = 60.0
    writer = fill(near)
    for _ in range(3):
        near.deadline = 0.0
        far.read()
        until(lambda: near.deadline > time.monotonic() + 30)
        tick()
    near.deadline = far_off = time.monotonic() + 1000
    read_at_least(far, 1 << 20)
    assert near.deadline == far_off  # never brought forward
    near.deadline = 0.0
    near.patience = 0.0
    tick()
    with pytest.raises(TimedOut):
        writer.get()


def test_a_deadline_means_nothing_to_who_does_not_wait(wires: Wires) -> None:
    near, far = wires.connection()
    near.deadline = 0.0
    tick()
    far.sendall(b"there already")
    assert bytes(near.read()) == b"there already"


def test_reader_and_writer_are_both_told(wires: Wires) -> None:
    near, _ = wires.connection(buffer=SMALL)
    reader, writer = waiting_reader(near), fill(near)
    near.deadline = 0.0
    tick()
    for greenlet in (reader, writer):
        with pytest.raises((TimedOut, Closed)):
            greenlet.get()


def test_an_interruption_that_comes_too_late_hits_nobody(wires: Wires) -> None:
    """The bytes come in the same turn of the loop: their reader has gone on, and must not be hit elsewhere."""
    near, far = wires.connection()
    other, other_far = wires.connection()
    reader = gevent.spawn(lambda: (bytes(near.read()), bytes(other.read())))
    until(lambda: near._reader is not None)
    far.sendall(b"first")
    get_hub().loop.run_callback(near._readable)
    near.interrupt(PeerLeft("for who has gone on"))
    until(lambda: other._reader is not None)
    settle()
    assert not reader.ready()
    other_far.sendall(b"second")
    assert reader.get() == (b"first", b"second")


def test_a_killed_reader_leaves_the_connection_as_it_was(wires: Wires) -> None:
    near, far = wires.connection()
    waiting_reader(near).kill()
    far.sendall(b"for the next")
    assert bytes(near.read()) == b"for the next"


@pytest.mark.parametrize("tls", [False, True])
def test_a_killed_writer_cuts_the_connection_off(wires: Wires, tls: bool) -> None:
    near, _ = wires.connections(tls, buffer=SMALL)
    fill(near).kill()
    assert near.closed


# Who depends on a peer


@pytest.mark.parametrize("kind", KINDS)
def test_a_wait_on_behalf_of_a_visitor_ends_when_the_visitor_has_left(wires: Wires, kind: str) -> None:
    visitor, browser = wires.connection(kind)
    stream, _ = wires.connection()
    visitor.dependant = stream
    waiting = waiting_reader(stream)
    with reaper_at_rest():
        tick()
        browser.close()
        tick()
        settle()
        assert not waiting.ready()  # one look of grace
        tick()
        with pytest.raises(PeerLeft):
            waiting.get()


def test_a_visitor_who_left_behind_more_requests_has_left(wires: Wires) -> None:
    visitor, browser = wires.connection("tcp")
    stream, _ = wires.connection()
    browser.sendall(b"GET /1")
    assert bytes(visitor.read()) == b"GET /1"
    visitor.dependant = stream
    waiting = waiting_reader(stream)
    browser.sendall(b"GET /2")
    reset(browser)
    until(lambda: visitor.peer_has_left())
    settle()
    tick()
    tick()
    with pytest.raises(PeerLeft):
        waiting.get()


@pytest.mark.parametrize("kind", KINDS)
def test_a_visitor_who_only_sends_more_has_not_left(wires: Wires, kind: str) -> None:
    visitor, browser = wires.connection(kind)
    stream, _ = wires.connection()
    visitor.dependant = stream
    waiting = waiting_reader(stream)
    browser.sendall(b"pipelined")
    for _ in range(3):
        tick()
    settle()
    assert not waiting.ready()
    assert not visitor.peer_has_left()
    assert bytes(visitor.read()) == b"pipelined"


def test_a_peer_s_leaving_is_found_although_the_watcher_was_on(wires: Wires) -> None:
    visitor, browser = wires.connection("tcp")
    stream, _ = wires.connection()
    reader = waiting_reader(visitor)
    browser.sendall(b"GET /")
    reader.get()
    visitor.dependant = stream
    waiting = waiting_reader(stream)
    browser.shutdown(socket.SHUT_WR)
    until(lambda: not visitor._armed)
    tick()
    tick()
    with pytest.raises(PeerLeft):
        waiting.get()


def test_peer_has_left_on_a_socket_that_is_gone(wires: Wires) -> None:
    near, _ = wires.connection("tcp")
    near.close()
    assert near.peer_has_left()


# At rest


def test_nobody_reads_and_nothing_is_asked(wires: Wires) -> None:
    near, far = wires.connection()
    near.arm()
    far.sendall(b"unasked")
    until(lambda: not near._armed)
    assert bytes(near.read()) == b"unasked"


@pytest.mark.parametrize("end", [False, True])
def test_a_reader_that_begins_when_there_is_something_to_read(wires: Wires, end: bool) -> None:
    near, far = wires.connection()
    came: list[object] = []

    def read(word: str) -> None:
        came.append(word)
        came.append(near.read_ready())
        while came[-1]:
            came[-1] = bytes(came[-1])  # type: ignore[call-overload]
            came.append(near.read())

    near.when_readable("a reader", read, "begun")
    settle()
    assert not came
    if not end:
        far.sendall(b"one")
        until(lambda: came == ["begun", b"one"])
        far.sendall(b"two")
        until(lambda: came == ["begun", b"one", b"two"])
    far.close()
    until(lambda: came == (["begun", b""] if end else ["begun", b"one", b"two", b""]))


def test_a_reader_that_is_not_to_begin_any_more(wires: Wires) -> None:
    near, far = wires.connection()
    near.when_readable("a reader", pytest.fail, "it has begun")
    near.on_idle = None
    far.sendall(b"for another")
    until(lambda: not near._armed)
    assert bytes(near.read()) == b"for another"


def test_on_idle_takes_what_comes_at_rest(wires: Wires) -> None:
    near, far = wires.connection()
    heard: list[bytes] = []

    def on_idle() -> bool:
        data = bytes(near.read_ready() or b"")
        heard.append(data)
        if not data:
            near.close()
        return True

    near.on_idle = on_idle
    near.arm()
    far.sendall(b"one")
    until(lambda: heard == [b"one"])
    far.sendall(b"two")
    until(lambda: heard == [b"one", b"two"])
    assert near._armed
    far.close()
    until(lambda: near.closed)
    assert heard[-1] == b""
    assert near.on_idle is None


def test_on_idle_that_declines_is_not_asked_again(wires: Wires) -> None:
    near, far = wires.connection()
    asked: list[int] = []

    def on_idle() -> bool:
        asked.append(1)
        return False

    near.on_idle = on_idle
    near.arm()
    far.sendall(b"for a reader")
    until(lambda: asked)
    settle()
    assert asked == [1]
    assert bytes(near.read()) == b"for a reader"


def test_on_idle_is_not_asked_while_somebody_reads(wires: Wires) -> None:
    near, far = wires.connection()
    near.on_idle = lambda: pytest.fail("asked")
    reader = waiting_reader(near)
    far.sendall(b"mine")
    assert bytes(reader.get()) == b"mine"


def test_on_idle_that_crashes_ends_its_connection_and_not_the_hub(
    wires: Wires, caplog: pytest.LogCaptureFixture
) -> None:
    near, far = wires.connection()
    near.on_idle = lambda: bool(1 // 0)
    near.arm()
    far.sendall(b"x")
    until(lambda: near.closed)
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info


def test_on_idle_may_close(wires: Wires) -> None:
    near, far = wires.connection()

    def on_idle() -> bool:
        near.close()
        return True

    near.on_idle = on_idle
    near.arm()
    far.sendall(b"x")
    until(lambda: near.closed)


# Sockets and names


def test_every_kind_of_socket_is_taken_over() -> None:
    for make in (socket.socketpair, gevent.socket.socketpair):
        near, far = make()
        near.settimeout(5)
        connection = Connection(near, "unix")
        assert near.fileno() == -1
        assert connection.peer == "unix"
        far.send(b"hello")
        assert bytes(connection.read()) == b"hello"
        connection.close()
        assert far.recv(1) == b""
        far.close()


def test_detach_hands_the_socket_on(wires: Wires) -> None:
    near, far = wires.connection()
    far.sendall(b"kept")
    second = Connection(near.detach(), "again")
    assert near.closed
    near.close()
    assert bytes(second.read()) == b"kept"
    second.close()
    assert far.recv(1) == b""


def test_doubt_comes_once_to_who_still_waits(wires: Wires) -> None:
    near, far = wires.connection()
    doubts: list[str] = []
    near.on_doubt = lambda: doubts.append("?")
    near.doubt_at = 0.0
    tick()
    assert not doubts  # nobody waits
    reader = waiting_reader(near)
    tick()
    tick()
    assert doubts == ["?"]
    near.doubt_at = time.monotonic() + 60
    tick()
    assert doubts == ["?"]
    far.sendall(b"answer")
    assert reader.get() is not None


def test_tune() -> None:
    near, far = raw_pair("tcp")
    tune(near)
    assert near.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert near.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert near.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 120_000
    near.close()
    far.close()
    near, far = raw_pair("tcp")
    tune(near, here=True)
    assert near.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert not near.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    near.close()
    far.close()
    near, far = raw_pair("unix")
    tune(near)
    near.close()
    far.close()


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (("1.2.3.4", 5), "1.2.3.4:5"),
        (("::1", 5, 0, 0), "[::1]:5"),
        (("::ffff:1.2.3.4", 5, 0, 0), "1.2.3.4:5"),
        (("::ffff:1", 5, 0, 0), "[::ffff:1]:5"),
        (("fe80::1%eth0", 5, 0, 2), "[fe80::1%eth0]:5"),
        ("", "unix"),
        ("/run/app.sock", "unix"),
        (b"\0abstract", "unix"),
        (None, "unix"),
        ((), "unix"),
    ],
)
def test_peer_name(address: object, name: str) -> None:
    assert peer_name(address) == name


def test_errors_are_of_the_kinds_that_callers_expect() -> None:
    assert issubclass(TimedOut, OSError)
    assert issubclass(PeerLeft, ConnectionError)
    assert issubclass(Closed, ConnectionError)
