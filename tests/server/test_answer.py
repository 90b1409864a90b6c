"""An upstream's answer on its way to the visitor."""

from __future__ import annotations

from typing import Any

import gevent
import pytest
from gevent.event import Event

from appliance.server import answer as answer_module
from tests.end_to_end.house import PATIENCE_SECONDS, House, Upstream, Visitor, until
from tests.end_to_end.peers import BINARY, TEXT, Client, frame, offer
from tests.stage.messages import Ended
from tests.stage.upstream import Exchange, say
from tests.stage.visitor import get, request

HOST = "a.example"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tests\r\n\r\n"
UPGRADE = ("Connection: Upgrade", "Upgrade: tests")


@pytest.fixture
def upstream(house: House) -> Upstream:
    upstream = house.upstream()
    house.client(f"{HOST}={upstream.url}")
    return upstream


@pytest.fixture
def visitor(house: House, upstream: Upstream) -> Visitor:
    return house.visitor()


class ByHand:
    """A client by hand with one stream: a test decides which bytes come together."""

    def __init__(self, house: House) -> None:
        self.client = Client(house.control_port, offer("hand.example"))
        self.stream = self.client.stream()
        self.visitor = house.visitor()
        self.pool = house.pool(self.client.client_id)

    def ask(self, *pieces: bytes, finish: bool = False) -> None:
        """A request, and an answer in frames of these pieces, which arrive all together."""
        assert self.pool.resting == 1
        self.visitor.send(get("/", "hand.example"))
        while self.stream.hear()[0] != BINARY:
            pass
        data = b"".join(frame(BINARY, piece, True) for piece in pieces)
        if finish:
            data += frame(TEXT, b'{"kind":"finish","delivered":1}', True)
        self.stream.sock.sendall(data)


@pytest.fixture
def by_hand(house: House) -> ByHand:
    return ByHand(house)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"


@pytest.mark.parametrize(
    "pieces",
    [
        (HEAD + b"abcdef",),
        (HEAD, b"abcdef"),
        (HEAD + b"ab", b"cd", b"ef"),
        (HEAD[:10], HEAD[10:] + b"a", b"bcdef"),
        (CHUNKED + b"6\r\nabcdef\r\n0\r\n\r\n",),
        (CHUNKED, b"6\r\nabc", b"def\r\n0\r\n\r\n"),
        (CHUNKED, b"3\r\nabc\r\n", b"3\r\ndef\r\n", b"0\r\n\r\n"),
    ],
)
def test_pieces_that_come_together(by_hand: ByHand, pieces: tuple[bytes, ...]) -> None:
    for _ in range(3):
        by_hand.ask(*pieces)
        assert by_hand.visitor.answer().body == b"abcdef"
        until(lambda: by_hand.pool.resting == 1, "the stream is back")


@pytest.mark.parametrize(
    "pieces",
    [
        (HEAD + b"abcdef!",),
        (HEAD, b"abcdef!"),
        (HEAD, b"abc", b"def!", b"?"),
        (CHUNKED + b"6\r\nabcdef\r\n0\r\n\r\n!",),
        (CHUNKED, b"6\r\nabcdef\r\n0\r\n\r\n", b"!"),
        (CHUNKED, b"6\r\nabcdef\r\n", b"0\r\n\r\n!"),
    ],
)
def test_more_than_was_announced(by_hand: ByHand, pieces: tuple[bytes, ...]) -> None:
    """It reaches nobody, and the stream is not used again."""
    by_hand.ask(*pieces)
    assert by_hand.visitor.answer().body == b"abcdef"
    assert by_hand.stream.farewell() == (0, "")
    assert by_hand.pool.resting == 0


def test_more_than_was_announced_comes_later(by_hand: ByHand) -> None:
    by_hand.ask(HEAD + b"ab")
    assert by_hand.visitor.reader.head().status == 200
    assert by_hand.visitor.reader.exactly(2) == b"ab"
    by_hand.stream.send(BINARY, b"cdef!")
    assert by_hand.visitor.reader.exactly(4) == b"cdef"
    assert by_hand.stream.farewell() == (0, "")


def test_what_comes_behind_the_last_chunk_in_a_frame_of_its_own(by_hand: ByHand) -> None:
    by_hand.ask(CHUNKED)
    assert by_hand.visitor.reader.head().status == 200
    by_hand.stream.sock.sendall(frame(BINARY, b"0\r\n\r\n", True) + frame(BINARY, b"!", True))
    assert by_hand.visitor.reader.until(b"0\r\n\r\n") == b"0\r\n\r\n"
    assert by_hand.stream.farewell() == (0, "")


@pytest.mark.parametrize("keep", ["keep-alive", "close"])
def test_a_kept_connection_that_ends_with_its_answer(by_hand: ByHand, keep: str) -> None:
    for _ in range(3):
        by_hand.ask(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: %b\r\n\r\nab" % keep.encode(), finish=True)
        assert by_hand.visitor.answer().body == b"ab"
        until(lambda: len(by_hand.pool._idle) == 1, "the stream is idle")


def test_a_body_until_the_end_and_its_end_in_one_piece(by_hand: ByHand) -> None:
    for _ in range(3):
        by_hand.ask(b"HTTP/1.1 200 OK\r\n\r\nabc", b"def", finish=True)
        assert by_hand.visitor.answer().body == b"abcdef"
        until(lambda: len(by_hand.pool._idle) == 1, "the stream is idle")


@pytest.mark.parametrize(
    "pieces", [(CHUNKED, b"x\r\n"), (CHUNKED + b"1\r\nabc\r\n",), (CHUNKED, b"1\r\na\r\n", b"??\r\n")]
)
def test_chunks_that_are_malformed(by_hand: ByHand, pieces: tuple[bytes, ...]) -> None:
    by_hand.ask(*pieces)
    with pytest.raises((Ended, ConnectionResetError)):
        by_hand.visitor.answer()
    assert by_hand.stream.farewell() == (0, "")


# ---- to HTTP/1.0


def test_to_http_1_0(upstream: Upstream, visitor: Visitor) -> None:
    """No chunks, no interim answers; the end of the connection is the end of the body."""
    upstream.scripts["/"] = say(
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + CHUNKED + b"3\r\nabc\r\n3\r\ndef\r\n0\r\nX: y\r\n\r\n"
    )
    visitor.send(f"GET / HTTP/1.0\r\nHost: {HOST}\r\nConnection: keep-alive\r\n\r\n".encode())
    assert visitor.rest().partition(b"\r\n\r\n")[2] == b"abcdef"


def test_an_end_that_was_none_to_http_1_0(upstream: Upstream, visitor: Visitor) -> None:
    upstream.scripts["/"] = say(CHUNKED + b"3\r\nabc\r\n", end="close")
    visitor.send(f"GET / HTTP/1.0\r\nHost: {HOST}\r\n\r\n".encode())
    with pytest.raises(ConnectionResetError):
        visitor.reader.rest()


# ---- upgrades


def test_bytes_that_come_with_both_heads(upstream: Upstream, visitor: Visitor) -> None:
    seen: list[bytes] = []

    def script(exchange: Exchange) -> None:
        exchange.keep = False
        exchange.send(SWITCHING + b"welcome")
        seen.append(exchange.reader.rest())
        exchange.send(b"bye")

    upstream.scripts["/"] = script
    visitor.send(get("/", HOST, *UPGRADE) + b"early")
    assert visitor.reader.head().status == 101
    visitor.send(b" and late")
    visitor.finish()
    assert visitor.rest() == b"welcomebye"
    assert seen == [b"early and late"]


def test_what_has_switched_may_be_silent(
    house: House, upstream: Upstream, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit for writing its head ends with its head."""
    monkeypatch.setattr(answer_module, "WRITE_SECONDS", 0.3)

    def script(exchange: Exchange) -> None:
        exchange.keep = False
        exchange.send(SWITCHING)
        gevent.sleep(1.5)  # some looks of the reaper
        exchange.send(b"at last")
        exchange.reader.rest()

    upstream.scripts["/"] = script
    visitor.send(get("/", HOST, *UPGRADE))
    assert visitor.reader.head().status == 101
    assert visitor.reader.exactly(7) == b"at last"


@pytest.mark.parametrize("first", ["visitor", "upstream"])
def test_who_does_not_end_after_the_other_is_cut_off(
    house: House, upstream: Upstream, visitor: Visitor, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_module, "PARTING_SECONDS", 0.2)
    gone = Event()

    def script(exchange: Exchange) -> None:
        exchange.keep = False
        exchange.send(SWITCHING)
        if first == "upstream":
            exchange.sock.shutdown(1)
        else:
            assert exchange.reader.rest() == b""
        try:
            while exchange.sock.recv(1000) or first == "visitor":
                exchange.send(b"still there")
                gevent.sleep(0.01)
        except OSError:
            pass
        gone.set()

    upstream.scripts["/"] = script
    visitor.send(get("/", HOST, *UPGRADE))
    assert visitor.reader.head().status == 101
    if first == "visitor":
        visitor.finish()
    visitor.rest()
    assert gone.wait(PATIENCE_SECONDS)
    (session,) = house.server.registry.sessions()
    until(lambda: session.streams_used == 0, "no stream is in use")


def test_a_visitor_who_leaves_the_moment_it_switches(house: House, upstream: Upstream) -> None:
    def script(exchange: Exchange) -> None:
        exchange.keep = False
        leaving.reset()
        exchange.send(SWITCHING + bytes(1_000_000))
        exchange.gone()

    upstream.scripts["/"] = script
    leaving = house.visitor()
    leaving.send(get("/", HOST, *UPGRADE))
    until(lambda: leaving.sock.fileno() < 0, "it has left")
    until(lambda: house.server.state.http.connections_open == 0, "it is forgotten")
    until(lambda: upstream.open_connections == 0, "the upstream's connection ends")


def test_a_visitor_who_leaves_the_moment_it_is_answered(house: House, upstream: Upstream) -> None:
    def script(exchange: Exchange) -> None:
        leaving.reset()
        exchange.answer(bytes(1_000_000))

    upstream.scripts["/"] = script
    leaving = house.visitor()
    leaving.send(get("/", HOST))
    until(lambda: leaving.sock.fileno() < 0, "it has left")
    until(lambda: house.server.state.http.connections_open == 0, "it is forgotten")
    (session,) = house.server.registry.sessions()
    until(lambda: session.streams_used == 0, "no stream is in use")


def test_a_switched_visitor_who_reads_nothing_holds_nobody_up(house: House, upstream: Upstream) -> None:
    def script(exchange: Exchange) -> None:
        exchange.keep = False
        exchange.send(SWITCHING)
        try:
            while True:
                exchange.send(bytes(65536))
        except OSError:
            pass

    upstream.scripts["/"] = script
    lazy = house.visitor()
    lazy.send(get("/", HOST, *UPGRADE))
    assert lazy.reader.head().status == 101
    assert house.ask(get("/next", HOST)).body == b"/next"


# ---- when something unexpected happens


def test_a_crash_leaks_no_stream(house: House, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows which; it must not take streams and visitors along."""

    def crash(*_: Any) -> bytes:
        raise ZeroDivisionError

    (session,) = house.server.registry.sessions()
    for name in ("appliance.server.answer.response_to_visitor", "appliance.server.exchange.parse_response"):
        with monkeypatch.context() as patch:
            patch.setattr(name, crash)
            visitor = house.visitor()
            visitor.send(request("POST / HTTP/1.1", f"Host: {HOST}", "Content-Length: 10", body=b"x"))
            visitor.send(b"123456789")
            assert visitor.rest() == b""
        until(lambda: session.streams_used == 0, "no stream is in use")
        until(lambda: house.server.state.http.connections_open == 0, "the visitor is forgotten")
        house.counts.crashes += 1
    assert house.ask(get("/next", HOST)).body == b"/next"
