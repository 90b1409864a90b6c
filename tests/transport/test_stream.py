"""Streams: both ends, inside TLS and not, messages between bytes, and what a peer may not do."""

from __future__ import annotations

import random
import time
from typing import Any

import gevent
import pytest
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, SERVER, Protocol

from appliance.transport.connection import Closed
from appliance.transport.stream import JOIN_BYTES, Stream
from appliance.wire import frames, messages
from appliance.wire.frames import BINARY, CLOSE, PING, PONG, TEXT, FrameError, close_payload, frame_head, masked_frame
from appliance.wire.messages import Finish, MessageError, Open, Refuse
from tests.transport.wires import SMALL, Wires, fill, in_hub, settle, until

KEY = b"\x01\x02\x03\x04"
LAST = Finish(1 << 50)
SIZES = [1, 125, 126, JOIN_BYTES, JOIN_BYTES + 1, 70_000]


def from_server(opcode: int, payload: bytes) -> bytes:
    return frame_head(opcode, len(payload)) + payload


def message(value: messages.Message) -> bytes:
    return from_server(TEXT, messages.encode(value))


def client_end(wires: Wires) -> tuple[Stream, Any]:
    """The client's end of a plain stream, and the socket from which a test plays the server."""
    connection, far = wires.connection()
    return Stream(connection, server=False, plain=True), far


def server_end(wires: Wires) -> tuple[Stream, Any]:
    connection, far = wires.connection()
    return Stream(connection, server=True, plain=True), far


def take(stream: Stream, size: int) -> bytes:
    """Exactly so many bytes."""
    data = b""
    while len(data) < size:
        got = stream.read()
        assert type(got) is list, got
        assert all(got)
        data += b"".join(got)
    assert len(data) == size
    return data


def heard(far: Any, side: Any) -> list[tuple[int, bytes]]:
    """What the websockets library makes of all that has been sent."""
    theirs = Protocol(side, max_size=None)
    settle()
    far.setblocking(False)
    try:
        while True:
            theirs.receive_data(far.recv(65536))
    except BlockingIOError:
        pass
    assert theirs.parser_exc is None
    return [(int(frame.opcode), bytes(frame.data)) for frame in theirs.events_received() if isinstance(frame, Frame)]


# Both ends


@pytest.mark.parametrize("tls", [False, True])
def test_a_visit_and_the_next(wires: Wires, tls: bool) -> None:
    server, client = wires.streams(tls)
    for visitor in ("1.2.3.4:5", "[::1]:6"):
        server.open(Open("http://a", visitor), b"GET / HTTP/1.1\r\n\r\n")
        assert client.read() == Open("http://a", visitor)
        assert take(client, 18) == b"GET / HTTP/1.1\r\n\r\n"
        client.write(b"HTTP/1.1 200 OK\r\n\r\n")
        assert take(server, 19) == b"HTTP/1.1 200 OK\r\n\r\n"
        assert (server.sent, server.received) == (18, 19)
        server.send(Finish())
        assert client.read() == Finish()
        client.send(Finish(18))
        assert server.read() == Finish(18)
    client.close()
    assert server.read() is None
    with pytest.raises(Closed):
        client.read()


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("last", [b"", b"the last"])
def test_the_end_goes_with_the_last_bytes(wires: Wires, tls: bool, last: bytes) -> None:
    server, client = wires.streams(tls)
    client.write(b"first, ")
    client.end(last, LAST)
    assert take(server, 7 + len(last)) == b"first, " + last
    assert server.read() == LAST
    assert client.sent == server.received == 7 + len(last)


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_last_bytes_of_all_sizes_past_a_slow_reader(wires: Wires, tls: bool, size: int) -> None:
    last = bytes(index * 31 % 256 for index in range(size))
    for source, target in (wires.streams(tls, buffer=SMALL), reversed(wires.streams(tls, buffer=SMALL))):
        source.write(b"first")
        writer = gevent.spawn(source.end, last, LAST if not source.server else Finish())
        assert take(target, 5 + size) == b"first" + last
        assert isinstance(target.read(), Finish)
        writer.get()
        assert source.sent == target.received == 5 + size


@pytest.mark.parametrize("end", ["server", "client"])
@pytest.mark.parametrize("last", [b"", b"the last", b"l" * (JOIN_BYTES + 1)])
def test_the_end_is_frames_as_anybody_writes_them(wires: Wires, end: str, last: bytes) -> None:
    make, side = (server_end, CLIENT) if end == "server" else (client_end, SERVER)
    stream, far = make(wires)
    stream.end(last, Finish(3))
    assert heard(far, side) == [*([(BINARY, last)] if last else []), (TEXT, messages.encode(Finish(3)))]


def test_the_end_of_a_stream_that_is_lost(wires: Wires) -> None:
    stream, far = client_end(wires)
    far.close()
    with pytest.raises(ConnectionError):
        stream.end(b"last", Finish())
    stream.close()
    with pytest.raises(OSError):
        stream.end(b"", Finish())


def test_open_without_bytes(wires: Wires) -> None:
    server, client = wires.streams()
    server.open(Open("http://a"), b"")
    server.write(b"later")
    assert client.read() == Open("http://a")
    assert take(client, 5) == b"later"
    client.send(Refuse(messages.UNREACHABLE, "no"))
    assert server.read() == Refuse("unreachable", "no")


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_writes_of_all_sizes(wires: Wires, tls: bool, size: int) -> None:
    data = bytes(index * 31 % 256 for index in range(size))
    server, client = wires.streams(tls, buffer=SMALL)
    for source, target in ((server, client), (client, server)):
        writer = gevent.spawn(source.write, memoryview(bytearray(data)))
        assert take(target, size) == data
        writer.get()
        cut = size // 3
        writer = gevent.spawn(source.write_pieces, [data[:cut], memoryview(data)[cut:]] if cut else [data])
        assert take(target, size) == data
        writer.get()
        assert source.sent == target.received == 2 * size


@pytest.mark.parametrize("end", ["server", "client"])
@pytest.mark.parametrize("size", [1, 126, JOIN_BYTES + 1])
def test_what_is_sent_are_frames_as_anybody_writes_them(wires: Wires, end: str, size: int) -> None:
    make, side = (server_end, CLIENT) if end == "server" else (client_end, SERVER)
    stream, far = make(wires)
    data = bytes(index * 7 % 256 for index in range(size))
    stream.write(data)
    stream.write_pieces([data, memoryview(data)])
    stream.write_pieces([data])
    stream.send(Finish(3))
    stream.ping_now()
    assert heard(far, side) == [
        (BINARY, data),
        (BINARY, data + data),
        (BINARY, data),
        (TEXT, messages.encode(Finish(3))),
        (PING, b""),
    ]


def test_a_client_masks_for_real_where_nobody_else_hides_its_bytes(wires: Wires) -> None:
    stream, far = client_end(wires)
    stream.write(b"GET http://poisoned.example/ HTTP/1.1")
    stream.write(b"GET http://poisoned.example/ HTTP/1.1")
    raw = far.recv(1000)
    assert b"poisoned" not in raw
    assert raw[2:6] != raw[len(raw) // 2 + 2 : len(raw) // 2 + 6]  # a key of its own for each


def test_a_client_inside_tls_masks_with_zeroes(wires: Wires) -> None:
    connection, far = wires.connection()
    stream = Stream(connection, server=False, plain=False)
    stream.write(b"payload")
    assert far.recv(100) == b"\x82\x87\0\0\0\0payload"
    stream.write_pieces([b"payload", b"payload"])
    assert far.recv(100) == b"\x82\x8e\0\0\0\0payloadpayload"


# Reading


def test_bytes_and_messages_in_one_piece_keep_their_order(wires: Wires) -> None:
    stream, far = client_end(wires)
    far.sendall(
        from_server(BINARY, b"a")
        + from_server(PONG, b"")
        + from_server(BINARY, b"b")
        + message(Finish(1))
        + message(Open("x"))
        + from_server(BINARY, b"c")
        + message(Finish(2))
    )
    assert not stream.holding
    assert stream.read() == [b"a", b"b"]
    assert stream.received == 2
    assert stream.holding
    assert stream.read() == Finish(1)
    assert stream.read() == Open("x")
    assert stream.read() == [b"c"]
    assert stream.received == 3
    assert stream.read() == Finish(2)
    assert not stream.holding
    far.close()
    assert stream.read() is None


def test_what_is_held_does_not_change_when_others_read(wires: Wires) -> None:
    stream, far = client_end(wires)
    other, other_far = wires.connection()
    far.sendall(message(Open("x")) + from_server(BINARY, b"held bytes"))
    assert stream.read() == Open("x")
    other_far.sendall(b"\xff" * 5000)
    other.read()
    assert stream.read() == [b"held bytes"]


def test_a_frame_in_pieces(wires: Wires) -> None:
    stream, far = client_end(wires)
    data = from_server(BINARY, b"first" + b"second") + message(Finish(5))
    reads = []

    def read() -> None:
        while (got := stream.read()) is not None:
            reads.append([bytes(piece) for piece in got] if type(got) is list else got)

    reader = gevent.spawn(read)
    for start, end in ((0, 1), (1, 7), (7, 13), (13, 20), (20, len(data))):
        settle()
        far.sendall(data[start:end])
    far.close()
    reader.get()
    assert reads == [[b"first"], [b"second"], Finish(5)]


def test_many_messages_at_once_take_no_longer_each(wires: Wires) -> None:
    """Quadratic work would be ten seconds and more of everybody's time."""
    stream, far = client_end(wires)
    count = 10_000
    sender = gevent.spawn(far.sendall, message(Finish()) * count + from_server(BINARY, b"done"))
    began = time.process_time()
    for _ in range(count):
        assert isinstance(stream.read(), Finish)
    assert stream.read() == [b"done"]
    assert time.process_time() - began < 5
    sender.get()


def test_early_bytes_are_read_first(wires: Wires) -> None:
    connection, far = wires.connection()
    early = from_server(BINARY, b"ear") + message(Open("x")) + from_server(BINARY, b"ly")
    far.sendall(message(Finish()))
    stream = Stream(connection, server=False, plain=True, early=early + from_server(BINARY, b"cut")[:3])
    assert stream.holding
    assert stream.read() == [b"ear"]
    assert stream.read() == Open("x")
    assert stream.read() == [b"ly", b"c"]
    with pytest.raises(FrameError):
        Stream(connection, server=False, plain=True, early=b"\xff\xff")


def test_read_ready(wires: Wires) -> None:
    stream, far = client_end(wires)
    assert stream.read_ready() is None
    far.sendall(from_server(BINARY, b"bytes") + message(Finish(1)) + message(Finish(2)) + from_server(PONG, b""))
    assert in_hub(lambda: [bytes(piece) for piece in stream.read_ready() or []]) == [b"bytes"]
    assert in_hub(stream.read_ready) == Finish(1)
    assert in_hub(stream.read_ready) == Finish(2)
    assert in_hub(stream.read_ready) is None
    assert not stream.holding
    far.sendall(b"\x82\x05by")
    assert in_hub(lambda: [bytes(piece) for piece in stream.read_ready() or []]) == [b"by"]
    far.sendall(b"t")
    assert in_hub(lambda: [bytes(piece) for piece in stream.read_ready() or []]) == [b"t"]
    far.close()
    with pytest.raises(EOFError):
        stream.read_ready()


@pytest.mark.parametrize(
    ("data", "error", "reason"),
    [
        (from_server(TEXT, b"{}"), MessageError, "unknown kind"),
        (from_server(TEXT, b"\xff"), MessageError, "not UTF-8"),
        (message(Refuse("x")), MessageError, "unknown kind"),  # only a client's
        (from_server(TEXT, b"x" * (messages.MAX_STREAM_BYTES + 1)), FrameError, "over 8192 bytes"),
        (masked_frame(BINARY, b"x", KEY), FrameError, "server's frame is masked"),
        (b"\x83\x00", FrameError, "unknown opcode"),
        (from_server(CLOSE, close_payload(1001, "restarting")), ConnectionResetError, "restarting"),
        (from_server(CLOSE, b""), ConnectionResetError, "closed the stream"),
    ],
)
def test_what_ends_a_stream(wires: Wires, data: bytes, error: type[Exception], reason: str) -> None:
    stream, far = client_end(wires)
    far.sendall(data)
    with pytest.raises(error, match=reason):
        stream.read()


@pytest.mark.parametrize("value", [Open("x"), messages.Grow(1)])
def test_a_client_cannot_say_what_only_servers_say(wires: Wires, value: messages.Message) -> None:
    stream, far = server_end(wires)
    far.sendall(masked_frame(TEXT, messages.encode(value), KEY))
    with pytest.raises(MessageError):
        stream.read()


# Pings


@pytest.mark.parametrize("tls", [False, True])
def test_pings_are_answered_by_who_reads(wires: Wires, tls: bool) -> None:
    server, client = wires.streams(tls)
    assert server.heard == 0.0
    in_hub(server.ping_now)
    reader = gevent.spawn(client.read)
    until(lambda: in_hub(server.read_ready) is None and server.heard)
    assert server.heard == pytest.approx(time.monotonic(), abs=10)
    reader.kill()


def test_an_answer_has_the_ping_s_payload(wires: Wires) -> None:
    stream, far = client_end(wires)
    far.sendall(from_server(BINARY, b"x") + from_server(PING, b"which") + from_server(PING, b""))
    assert stream.read() == [b"x"]
    assert heard(far, SERVER) == [(PONG, b"which"), (PONG, b"")]


def test_no_answer_within_a_write(wires: Wires) -> None:
    server, client = wires.streams(buffer=SMALL)
    writer = gevent.spawn(client.write, b"w" * 100_000)
    until(lambda: client.connection.writing)
    in_hub(server.ping_now)
    server.send(Finish())
    assert client.read() == Finish()
    assert take(server, 100_000) == b"w" * 100_000
    writer.get()


# Ends


@pytest.mark.parametrize(
    ("error", "payload"),
    [
        (FrameError("too big", frames.TOO_BIG), close_payload(1009, "too big")),
        (FrameError("odd"), close_payload(1002, "odd")),
        (MessageError("nonsense \ud800"), close_payload(1002, "nonsense ?")),
    ],
)
def test_fail_says_why(wires: Wires, error: Exception, payload: bytes) -> None:
    stream, far = server_end(wires)
    in_hub(lambda: stream.fail(error))
    assert heard_until_end(far) == [(CLOSE, payload)]
    assert stream.connection.closed
    stream.fail(error)


def heard_until_end(far: Any) -> list[tuple[int, bytes]]:
    data = b""
    while piece := far.recv(65536):
        data += piece
    theirs = Protocol(CLIENT)
    theirs.receive_data(data)
    return [(int(frame.opcode), bytes(frame.data)) for frame in theirs.events_received() if isinstance(frame, Frame)]


def test_abort_is_heard_before_what_was_not_read(wires: Wires) -> None:
    server, client = wires.streams(kind="tcp")
    server.write(b"unread")
    server.abort()
    assert server.connection.closed
    with pytest.raises(ConnectionResetError):
        until(lambda: client.read() is None)


def test_fail_within_a_write(wires: Wires) -> None:
    server, _ = wires.streams(buffer=SMALL)
    writer = fill(server.connection)
    server.fail(FrameError("odd"))
    with pytest.raises(Closed):
        writer.get()


def test_a_message_from_the_hub(wires: Wires) -> None:
    server, client = wires.streams()
    in_hub(lambda: server.send_now(Finish(4)))
    assert client.read() == Finish(4)


def test_frames_of_the_websockets_library_are_understood(wires: Wires) -> None:
    stream, far = server_end(wires)
    far.sendall(
        Frame(Opcode.BINARY, b"frag", fin=False).serialize(mask=True)
        + Frame(Opcode.PING, b"").serialize(mask=True)
        + Frame(Opcode.CONT, b"ments").serialize(mask=True)
        + Frame(Opcode.TEXT, messages.encode(Finish(9))).serialize(mask=True)
    )
    assert b"".join(stream.read()) == b"fragments"  # type: ignore[arg-type]
    assert stream.read() == Finish(9)


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_bytes_and_messages_both_ways_at_once(wires: Wires, tls: bool, seed: int) -> None:
    choice = random.Random(seed)
    pairs = [wires.streams(tls, buffer=choice.choice([SMALL, 0])) for _ in range(6)]
    greenlets, expected = [], []
    for server, client in pairs:
        for source, target in ((server, client), (client, server)):
            script = [written(choice) for _ in range(40)] + [LAST]
            greenlets += [gevent.spawn(speak, source, script), gevent.spawn(listen, target)]
            expected += [None, [joined(item) for item in joined_neighbours(script)]]
    gevent.joinall(greenlets, raise_error=True)
    assert [each.value for each in greenlets] == expected


def written(choice: random.Random) -> Any:
    """A message, or pieces of bytes."""
    if choice.random() < 0.3:
        return Finish(choice.randrange(1 << 40))
    sizes = choice.choice([(1,), (200,), (9000,), (70_000,), (3, 5), (4000, 9000, 2)])
    return [choice.randbytes(size) for size in sizes]


def joined(item: Any) -> Any:
    return b"".join(item) if type(item) is list else item


def joined_neighbours(script: list[Any]) -> list[Any]:
    """Where bytes follow bytes, frames say nothing about where the one write ended and the next began."""
    found: list[Any] = []
    for item in script:
        if type(item) is list and found and type(found[-1]) is list:
            found[-1] = found[-1] + item
        else:
            found.append(item)
    return found


def speak(stream: Stream, script: list[Any]) -> None:
    for item in script:
        if type(item) is list:
            stream.write_pieces(item)
        else:
            stream.send(item)
        gevent.sleep(0)


def listen(stream: Stream) -> list[Any]:
    """All that comes, the last message included."""
    found: list[Any] = []
    while not found or found[-1] != LAST:
        got = stream.read()
        if type(got) is not list:
            found.append(got)
        elif found and type(found[-1]) is bytes:
            found[-1] += b"".join(got)
        else:
            found.append(b"".join(got))
    return found


@pytest.mark.parametrize("tls", [False, True])
def test_a_stream_in_use_is_stirred(wires: Wires, tls: bool) -> None:
    """Something passes both ways, and neither side's readers notice."""
    server, client = wires.streams(tls=tls, kind="tcp")
    reading = [gevent.spawn(stream.read) for stream in (server, client)]
    until(lambda: not server.connection.queued)  # what follows a handshake is confirmed
    in_hub(server.stir_now)
    until(lambda: server.heard)
    assert not any(greenlet.ready() for greenlet in reading)
    client.connection.close()
    gevent.joinall(reading)


@pytest.mark.parametrize("tls", [False, True])
def test_a_paused_peer_is_left_alone(wires: Wires, tls: bool) -> None:
    """What waits to be taken does for a sign of life, and one more byte might not be taken."""
    server, client = wires.streams(tls=tls, kind="tcp", buffer=SMALL)
    writer = fill(server.connection)
    in_hub(server.stir_now)
    assert not server.connection.closed and server.connection.queued
    writer.kill(block=True)  # which leaves it cut off
    in_hub(server.stir_now)
    client.close()


def test_a_ping_finds_a_peer_that_takes_nothing(wires: Wires) -> None:
    """All that was written is on its way, and no more can be: that is no reason to cut the stream off."""
    _server, client = wires.streams(kind="tcp", buffer=SMALL)
    while True:  # until the kernel is full, with nothing left over
        try:
            client.connection._socket.send(b"x")
        except BlockingIOError:
            break
    assert not client.connection.writing
    client._control(PING, b"")
    assert not client.connection.closed
