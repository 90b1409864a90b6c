"""Control channels: messages both ways, heartbeats, several writers, limits, ends."""

from __future__ import annotations

import time
from typing import Any

import gevent
import pytest
from websockets.frames import Frame
from websockets.protocol import CLIENT, Protocol

from appliance.transport.channel import PATIENCE, PROBE_PATIENCE, Channel, ChannelClosed
from appliance.transport.connection import Closed, Connection, TimedOut
from appliance.wire import frames, messages
from appliance.wire.frames import BINARY, CLOSE, PING, PONG, TEXT, FrameError, close_payload, frame_head, masked_frame
from appliance.wire.messages import Drain, Evicted, Grow, Hello, MessageError, Offer, Update
from tests.transport.wires import SMALL, Wires, fill, in_hub, settle, tick, until

HEARTBEAT = 20.0
KEY = b"\x09\x08\x07\x06"


def pair(wires: Wires, tls: bool = False, buffer: int = 0) -> tuple[Channel, Channel]:
    """The server's end and the client's."""
    server, client = wires.connections(tls, buffer=buffer)
    return (
        Channel(server, server=True, plain=not tls, heartbeat_seconds=HEARTBEAT),
        Channel(client, server=False, plain=not tls, heartbeat_seconds=HEARTBEAT),
    )


def server_end(wires: Wires) -> tuple[Channel, Connection, Any]:
    """The server's end, its connection, and a socket from which a test plays the client."""
    connection, far = wires.connection()
    return Channel(connection, server=True, plain=True, heartbeat_seconds=HEARTBEAT), connection, far


def from_client(opcode: int, payload: bytes) -> bytes:
    return masked_frame(opcode, payload, KEY)


def sent_to_client(far: Any) -> list[tuple[int, bytes]]:
    """What has come until the connection ended."""
    theirs = Protocol(CLIENT)
    while data := far.recv(65536):
        theirs.receive_data(data)
    return [(int(frame.opcode), bytes(frame.data)) for frame in theirs.events_received() if isinstance(frame, Frame)]


@pytest.mark.parametrize("tls", [False, True])
def test_messages_go_both_ways(wires: Wires, tls: bool) -> None:
    server, client = pair(wires, tls)
    hello = Hello("a" * 32, "0.1.0", tuple(Offer(f"{number}.example", "http://[::1]:80") for number in range(500)))
    sender = gevent.spawn(client.send, hello)
    assert server.receive() == hello
    sender.get()
    server.send(Grow(3))
    server.send(Drain("restart"))
    assert client.receive() == Grow(3)
    assert client.receive() == Drain("restart")
    assert server.peer
    in_hub(lambda: server.send_now(Evicted("elsewhere")))
    assert client.receive() == Evicted("elsewhere")


def test_early_messages_come_first(wires: Wires) -> None:
    connection, far = wires.connection()
    text = messages.encode(Grow(1))
    early = frame_head(TEXT, len(text)) + text
    channel = Channel(connection, server=False, plain=True, heartbeat_seconds=HEARTBEAT, early=early + early[:5])
    far.sendall(early[5:])
    assert channel.receive() == Grow(1)
    assert channel.receive() == Grow(1)
    with pytest.raises(FrameError):
        Channel(connection, server=False, plain=True, heartbeat_seconds=HEARTBEAT, early=b"\x82\x00")


@pytest.mark.parametrize(
    ("data", "error", "reason", "code"),
    [
        (from_client(TEXT, b"{"), MessageError, "not JSON", None),
        (from_client(TEXT, messages.encode(Grow(1))), MessageError, "unknown kind", None),
        (from_client(TEXT, b"x" * (messages.MAX_CONTROL_BYTES + 1))[:14], FrameError, "over 65536", frames.TOO_BIG),
        (from_client(BINARY, b"x"), FrameError, "binary frame", frames.PROTOCOL_ERROR),
        (frame_head(TEXT, 2) + b"{}", FrameError, "not masked", frames.PROTOCOL_ERROR),
        (from_client(CLOSE, close_payload(1001, "bye")), ChannelClosed, "bye", None),
        (from_client(CLOSE, close_payload(1001)), ChannelClosed, "close code 1001", None),
        (from_client(CLOSE, b""), ChannelClosed, "close code 1005", None),
        (b"", ChannelClosed, "connection has ended", None),
    ],
)
def test_what_ends_a_channel(wires: Wires, data: bytes, error: type[Exception], reason: str, code: int | None) -> None:
    channel, _, far = server_end(wires)
    far.sendall(data)
    if not data:
        far.close()
    with pytest.raises(error, match=reason) as raised:
        channel.receive()
    if code is not None:
        assert isinstance(raised.value, FrameError)
        assert raised.value.code == code


def test_a_message_of_the_largest_size(wires: Wires) -> None:
    channel, _, far = server_end(wires)
    text = messages.encode(Update((Offer("a.example", "http://b"),)))
    text += b" " * (messages.MAX_CONTROL_BYTES - len(text))
    sender = gevent.spawn(far.sendall, from_client(TEXT, text))
    assert isinstance(channel.receive(), Update)
    sender.get()


# Heartbeats


@pytest.mark.parametrize("tls", [False, True])
def test_a_ping_measures_the_round_trip(wires: Wires, tls: bool) -> None:
    server, client = pair(wires, tls)
    assert server.round_trip_seconds is None
    readers = [gevent.spawn(server.receive), gevent.spawn(client.receive)]
    server.ping()
    found = until(lambda: server.round_trip_seconds)
    assert found is not None
    assert 0 < found < 10
    gevent.killall(readers)


@pytest.mark.parametrize("payload", [b"", b"soon", b"-5", b"9" * 100, b"\xb2"])
def test_a_pong_that_answers_no_ping_of_ours(wires: Wires, payload: bytes) -> None:
    channel, _, far = server_end(wires)
    far.sendall(from_client(PONG, payload) + from_client(TEXT, messages.encode(Update(()))))
    assert channel.receive() == Update(())
    assert channel.round_trip_seconds in (None, 0.0)


def test_a_ping_is_answered_with_its_payload(wires: Wires) -> None:
    channel, _, far = server_end(wires)
    far.sendall(from_client(PING, b"well?") + from_client(TEXT, messages.encode(Update(()))))
    channel.receive()
    channel.close()
    assert sent_to_client(far) == [(PONG, b"well?"), (CLOSE, close_payload(1000))]


def test_silence_ends_a_channel_and_any_byte_is_a_sign_of_life(wires: Wires) -> None:
    channel, connection, far = server_end(wires)
    assert connection.deadline == pytest.approx(time.monotonic() + PATIENCE * HEARTBEAT, abs=5)
    receiver = gevent.spawn(channel.receive)
    until(lambda: connection._reader is not None)
    channel.heartbeat_seconds = 1000.0
    far.sendall(b"\x81")
    until(lambda: connection.deadline > time.monotonic() + 2000)
    connection.deadline = 0.0
    tick()
    with pytest.raises(TimedOut):
        receiver.get()


def test_a_heartbeat_may_change(wires: Wires) -> None:
    channel, connection, _ = server_end(wires)
    channel.expect(1000.0)
    assert channel.heartbeat_seconds == 1000.0
    assert connection.deadline == pytest.approx(time.monotonic() + PATIENCE * 1000, abs=5)


# Several writers


@pytest.mark.parametrize("tls", [False, True])
def test_writers_take_turns(wires: Wires, tls: bool) -> None:
    server, client = pair(wires, tls, SMALL)
    reasons = [f"{number}" * 700 for number in range(12)]
    senders = [gevent.spawn(server.send, Drain(reason)) for reason in reasons]
    senders.append(gevent.spawn(server.ping))
    until(lambda: server._connection.writing)
    in_hub(lambda: server.send_now(Drain("unsaid")))  # another message is on its way
    assert [client.receive().reason for _ in reasons] == reasons
    gevent.joinall(senders, raise_error=True)


def test_when_one_writer_fails_the_next_are_told_the_same(wires: Wires) -> None:
    server, client = pair(wires, buffer=SMALL)
    senders = [gevent.spawn(server.send, Drain("x" * 2000)) for _ in range(8)]
    until(lambda: server._connection.writing)
    settle()
    client.close()
    failed = 0
    for sender in senders:
        try:
            sender.get()
        except OSError:
            failed += 1
    assert failed > 1
    for _ in range(2):
        with pytest.raises(OSError):
            server.ping()


# Doubts


def test_a_probe_gives_less_time(wires: Wires) -> None:
    channel, connection, far = server_end(wires)
    for _ in range(2):
        in_hub(channel.probe)
        assert connection.deadline <= time.monotonic() + PROBE_PATIENCE * HEARTBEAT
    theirs = Protocol(CLIENT)
    theirs.receive_data(far.recv(65536))
    [ping] = [frame for frame in theirs.events_received() if isinstance(frame, Frame)]  # one, though asked twice
    assert ping.opcode == PING
    far.sendall(from_client(PONG, bytes(ping.data)))
    far.sendall(from_client(TEXT, messages.encode(Update())))
    assert channel.receive() == Update()
    assert connection.deadline > time.monotonic() + (PATIENCE - 1) * HEARTBEAT
    assert channel.round_trip_seconds is not None
    in_hub(channel.probe)
    assert connection.deadline <= time.monotonic() + PROBE_PATIENCE * HEARTBEAT


def test_who_does_not_answer_a_probe_is_gone(wires: Wires) -> None:
    connection, _ = wires.connection()
    channel = Channel(connection, server=True, plain=True, heartbeat_seconds=0.1)
    channel.heartbeat_seconds = 60.0
    channel.expect(60.0)
    receiver = gevent.spawn(channel.receive)
    settle()
    channel.heartbeat_seconds = 0.02
    in_hub(channel.probe)
    time.sleep(0.02)
    tick()
    with pytest.raises(TimedOut):
        receiver.get()


def test_no_probe_for_who_is_being_written_to_or_has_gone(wires: Wires) -> None:
    server, _ = pair(wires, buffer=SMALL)
    writer = fill(server._connection)
    deadline = server._connection.deadline
    in_hub(server.probe)
    assert server._connection.deadline == deadline
    server.close()
    in_hub(server.probe)
    with pytest.raises(Closed):
        writer.get()


# Ends


def test_close_says_why(wires: Wires) -> None:
    channel, connection, far = server_end(wires)
    in_hub(lambda: channel.close(frames.POLICY, "nonsense \ud800"))
    assert connection.closed
    assert sent_to_client(far) == [(CLOSE, close_payload(1008, "nonsense ?"))]
    channel.close()
    channel.send_now(Drain())
    with pytest.raises(Closed):
        channel.receive()
    with pytest.raises(OSError):
        channel.send(Drain())


def test_close_within_a_write(wires: Wires) -> None:
    server, _ = pair(wires, buffer=SMALL)
    writer = fill(server._connection)
    in_hub(server.close)
    with pytest.raises(Closed):
        writer.get()


def test_close_ends_who_receives(wires: Wires) -> None:
    server, _ = pair(wires)
    receiver = gevent.spawn(server.receive)
    until(lambda: server._connection._reader is not None)
    server.close()
    with pytest.raises(Closed):
        receiver.get()
