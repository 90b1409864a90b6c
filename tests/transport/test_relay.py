"""Relays: whatever is sent into one end comes out of the other, however many share the buffers."""

from __future__ import annotations

import hashlib
import random
import socket
from typing import Any

import gevent
import pytest

from appliance.transport.connection import Connection
from appliance.transport.relay import from_stream, to_stream
from appliance.transport.stream import Stream
from appliance.wire.messages import Finish, Open
from tests.transport.wires import SMALL, Wires, read_all

CHAINS = 10
BYTES = 500_000


def forward(connection: Connection, stream: Stream) -> None:
    to_stream(connection, stream)
    stream.send(Finish())


def backward(stream: Stream, connection: Connection) -> None:
    assert from_stream(stream, connection) == Finish()
    connection.shutdown_write()


def speak(sock: Any, data: bytes, choice: random.Random) -> None:
    """Send all in pieces of all sizes, letting others run in between."""
    while data:
        size = choice.choice([1, 7, 300, 4000, 20_000, 100_000])
        sock.sendall(data[:size])
        data = data[size:]
        gevent.sleep(0)
    sock.shutdown(socket.SHUT_WR)


def listen(sock: Any, choice: random.Random) -> bytes:
    digest = hashlib.sha256()
    while piece := sock.recv(choice.choice([1, 50, 3000, 65536])):
        digest.update(piece)
        if choice.random() < 0.3:
            gevent.sleep(0)
    return digest.digest()


@pytest.mark.parametrize("seed", range(3))
def test_many_relays_share_the_buffers_and_no_byte_is_another_s(wires: Wires, seed: int) -> None:
    choice = random.Random(seed)
    carriers, expected, heard = [], [], []
    for index in range(CHAINS):
        buffer = choice.choice([SMALL, 3 * SMALL, 0])
        visitor, near = wires.connection(buffer=buffer)
        upstream, far = wires.connection(buffer=buffer)
        server, client = wires.streams(tls=index % 2 == 0, buffer=choice.choice([SMALL, 0]))
        carriers += [
            gevent.spawn(forward, visitor, server),
            gevent.spawn(backward, client, upstream),
            gevent.spawn(forward, upstream, client),
            gevent.spawn(backward, server, visitor),
        ]
        for source, target in ((near, far), (far, near)):
            data = choice.randbytes(choice.randrange(BYTES))
            expected.append(hashlib.sha256(data).digest())
            carriers.append(gevent.spawn(speak, source, data, random.Random(choice.random())))
            heard.append(gevent.spawn(listen, target, random.Random(choice.random())))
    gevent.joinall(carriers, raise_error=True)
    assert [each.get() for each in heard] == expected


def test_a_message_ends_it_and_so_does_a_lost_stream(wires: Wires) -> None:
    server, client = wires.streams()
    connection, far = wires.connection()
    server.open(Open("x"), b"one ")
    server.write_pieces([b"two ", b"three"])
    server.send(Finish())
    assert client.read() == Open("x")
    assert from_stream(client, connection) == Finish()
    assert far.recv(100) == b"one two three"
    server.close()
    assert from_stream(client, connection) is None


def test_an_error_of_either_side_ends_it(wires: Wires) -> None:
    server, client = wires.streams()
    connection, far = wires.connection()
    far.close()
    server.write(b"for nobody")
    with pytest.raises(ConnectionError):
        from_stream(client, connection)
    source, source_far = wires.connection()
    client.close()
    source_far.sendall(b"to nowhere")
    with pytest.raises(OSError):
        to_stream(source, client)


def test_the_other_direction_is_left_alone(wires: Wires) -> None:
    server, client = wires.streams()
    connection, far = wires.connection()
    far.sendall(b"last words")
    far.shutdown(socket.SHUT_WR)
    to_stream(connection, client)
    assert server.read() == [b"last words"]
    server.write(b"an answer")
    server.send(Finish())
    assert from_stream(client, connection) == Finish()
    connection.shutdown_write()
    assert far.recv(100) == b"an answer"
    assert read_all(connection) == b""
