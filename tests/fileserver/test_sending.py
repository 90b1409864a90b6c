"""Bodies over real sockets: by the kernel and without it, slow readers, files that change under way."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import gevent.socket
import pytest

from appliance.fileserver import sending
from appliance.fileserver.answers import Answer
from appliance.fileserver.ranges import Extent
from appliance.fileserver.sending import PIECE_BYTES, SMALL_BYTES, FileShrank, send_answer, send_file
from appliance.transport.connection import Connection, TimedOut

CONTENT = os.urandom(3 * PIECE_BYTES + 12345)
Pair = tuple[Connection, gevent.socket.socket]


class Wrapped(Connection):
    """What TLS is to the file server: a connection whose descriptor must not be written to."""

    __slots__ = ()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        super().write(bytes(byte ^ 1 for byte in data))


@pytest.fixture
def pair() -> Iterator[Pair]:
    near, far = gevent.socket.socketpair()
    near.settimeout(20)
    connection = Connection(far, "unix")
    yield connection, near
    near.close()
    connection.close()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    path = tmp_path / "content"
    path.write_bytes(CONTENT)
    descriptor = os.open(path, os.O_RDONLY)
    yield path, descriptor
    os.close(descriptor)


def received(sock: gevent.socket.socket, sending_: Callable[[], None], close: Callable[[], None]) -> bytes:
    """What comes out while `sending_` runs in a greenlet of its own, which must end well."""

    def send() -> None:
        try:
            sending_()
        finally:
            close()

    sender = gevent.spawn(send)
    pieces = []
    while piece := sock.recv(1 << 20):
        pieces.append(piece)
    sender.get()
    return b"".join(pieces)


@pytest.mark.parametrize(
    ("start", "length"), [(0, len(CONTENT)), (1, PIECE_BYTES), (7, PIECE_BYTES + 1), (len(CONTENT) - 1, 1)]
)
def test_a_piece_of_a_file(pair: Pair, opened: tuple[Path, int], start: int, length: int) -> None:
    connection, sock = pair
    got = received(sock, lambda: send_file(connection, opened[1], Extent(start, length)), connection.close)
    assert got == CONTENT[start : start + length]


def test_the_file_position_is_of_no_account(pair: Pair, opened: tuple[Path, int]) -> None:
    connection, sock = pair
    os.lseek(opened[1], 500, os.SEEK_SET)
    got = received(sock, lambda: send_file(connection, opened[1], Extent(0, 100_000)), connection.close)
    assert got == CONTENT[:100_000]


def test_past_other_connections_nothing_is_written_to_the_socket(opened: tuple[Path, int]) -> None:
    near, far = gevent.socket.socketpair()
    connection = Wrapped(far, "unix")
    with near:
        got = received(near, lambda: send_file(connection, opened[1], Extent(0, 300_000)), connection.close)
    assert bytes(byte ^ 1 for byte in got) == CONTENT[:300_000]


@pytest.mark.parametrize("error", [errno.EINVAL, errno.ENOSYS])
def test_file_systems_without_sendfile(
    pair: Pair, opened: tuple[Path, int], monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    def unable(*arguments: object) -> int:
        raise OSError(error, "not here")

    monkeypatch.setattr(os, "sendfile", unable)
    connection, sock = pair
    got = received(sock, lambda: send_file(connection, opened[1], Extent(0, len(CONTENT))), connection.close)
    assert got == CONTENT


def test_pieces_of_an_answer_come_in_order(pair: Pair, opened: tuple[Path, int]) -> None:
    connection, sock = pair
    pieces = (
        b"<1>",
        Extent(10, 5),
        b"<2>",
        Extent(0, SMALL_BYTES + 1),
        b"<3>",
        Extent(20, SMALL_BYTES),
        b"<4>",
    )
    answer = Answer(206, [], pieces, opened[1])
    got = received(sock, lambda: send_answer(connection, answer, b"head:", False), connection.close)
    body = b"<1>" + CONTENT[10:15] + b"<2>" + CONTENT[: SMALL_BYTES + 1] + b"<3>"
    assert got == b"head:" + body + CONTENT[20 : 20 + SMALL_BYTES] + b"<4>"
    assert len(got) == answer.length + 5


def test_a_head_without_its_body(pair: Pair, opened: tuple[Path, int]) -> None:
    connection, sock = pair
    answer = Answer(200, [], (Extent(0, len(CONTENT)),), opened[1])
    assert received(sock, lambda: send_answer(connection, answer, b"head", True), connection.close) == b"head"


def test_a_file_that_shrinks_ends_the_answer(pair: Pair, opened: tuple[Path, int]) -> None:
    connection, sock = pair
    path, descriptor = opened

    def send() -> None:
        try:
            send_file(connection, descriptor, Extent(0, len(CONTENT)))
        finally:
            connection.close()

    sender = gevent.spawn(send)
    got = len(sock.recv(1000))
    os.truncate(path, 700_000)
    while piece := sock.recv(1 << 20):
        got += len(piece)
    with pytest.raises(FileShrank):
        sender.get()
    assert got == 700_000


def test_a_small_file_that_shrank_is_not_sent_at_all(pair: Pair, opened: tuple[Path, int]) -> None:
    connection, sock = pair
    path, descriptor = opened
    os.truncate(path, 10)
    with pytest.raises(FileShrank):
        send_answer(connection, Answer(200, [], (Extent(0, 11),), descriptor), b"head", False)
    connection.close()
    assert sock.recv(100) == b""


def test_a_visitor_who_takes_nothing_is_given_up(
    pair: Pair, opened: tuple[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "PIECE_SECONDS", 0.05)
    with pytest.raises(TimedOut):
        send_file(pair[0], opened[1], Extent(0, len(CONTENT)))


def test_a_visitor_who_leaves_ends_the_sending(pair: Pair, opened: tuple[Path, int]) -> None:
    connection, sock = pair
    sender = gevent.spawn(send_file, connection, opened[1], Extent(0, len(CONTENT)))
    sock.recv(1000)
    sock.close()
    with pytest.raises(ConnectionError):
        sender.get()


def test_others_run_while_a_fast_visitor_takes_all(opened: tuple[Path, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that never blocks must not keep the hub for as long as the file lasts."""
    turns = 0

    def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            gevent.sleep(0)

    monkeypatch.setattr(os, "sendfile", lambda out, descriptor, offset, count: count)
    near, far = socket.socketpair()
    connection = Connection(far, "unix")
    counter = gevent.spawn(count)
    with near:
        send_file(connection, opened[1], Extent(0, 20 * PIECE_BYTES))
    counter.kill()
    connection.close()
    assert turns >= 10
