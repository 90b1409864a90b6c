"""Who leaves, at which moment, and that the others are told within a second and nothing stays behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from gevent.event import Event

from appliance.server import answer, exchange, upload
from tests.end_to_end.house import PATIENCE_SECONDS, House, Upstream, Visitor, a_house, until
from tests.stage.messages import Ended
from tests.stage.upstream import Exchange
from tests.stage.visitor import get, request

HOST = "leave.example"
SOON_SECONDS = 1.5  # "within a second", and some for a busy machine
HEAD = b"HTTP/1.1 200 OK\r\n"
SWITCHING = HEAD.replace(b"200 OK", b"101 Switching Protocols") + b"Connection: Upgrade\r\nUpgrade: tests\r\n\r\n"
UPGRADE = ("Connection: Upgrade", "Upgrade: tests")
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


def close(visitor: Visitor) -> None:
    visitor.sock.close()


def reset(visitor: Visitor) -> None:
    visitor.reset()


def passed(event: Event, what: str) -> None:
    assert event.wait(PATIENCE_SECONDS), what


class Waiting:
    """A script that says something, then waits until the other side is gone."""

    def __init__(self, said: bytes = b"", read: bool = False) -> None:
        self.said = said
        self.read = read
        self.begun, self.gone = Event(), Event()

    def __call__(self, exchange: Exchange) -> None:
        exchange.keep = False
        if self.read:
            exchange.read_body()
        exchange.send(self.said)
        self.begun.set()
        if exchange.gone():
            self.gone.set()


@pytest.fixture
def upstream(house: House) -> Upstream:
    upstream = house.upstream()
    house.client(f"{HOST}={upstream.url}")
    return upstream


@pytest.fixture
def visitor(house: House) -> Visitor:
    return house.visitor()


def check_gone(house: House, since: float) -> None:
    """The stream is no longer in use, and the visitor's connection is forgotten."""
    client_id = house.server.registry.sessions()[0].client_id
    until(lambda: house.pool(client_id).used == 0, "the stream is not in use")
    until(lambda: house.server.state.http.connections_open == 0, "the visitor is forgotten")
    assert time.monotonic() - since < SOON_SECONDS


# ---- visitors


STAGES = {
    "before the answer": b"",
    "after an interim answer": b"HTTP/1.1 103 Early Hints\r\n\r\n",
    "within a counted body": HEAD + b"Content-Length: 1000\r\n\r\nx",
    "within a chunked body": HEAD + CHUNKED + b"1\r\nx\r\n",
    "within a body until the end": HEAD + b"\r\nx",
    "after an upgrade": SWITCHING + b"x",
}


@pytest.mark.parametrize("leave", [close, reset])
@pytest.mark.parametrize("stage", STAGES)
def test_a_visitor_leaves(
    house: House, upstream: Upstream, visitor: Visitor, stage: str, leave: Callable[[Visitor], None]
) -> None:
    waiting = upstream.scripts["/"] = Waiting(STAGES[stage])
    visitor.send(get("/", HOST, *UPGRADE))
    if STAGES[stage].startswith(HEAD[:9]) and stage != "after an interim answer":
        visitor.reader.head()
    passed(waiting.begun, "the upstream has the request")
    left = time.monotonic()
    leave(visitor)
    passed(waiting.gone, "the upstream's request ends")
    check_gone(house, left)


@pytest.mark.parametrize("leave", [close, reset])
@pytest.mark.parametrize("framing", ["Transfer-Encoding: chunked", "Content-Length: 1000"])
@pytest.mark.parametrize("answered", [b"", STAGES["within a chunked body"]], ids=["unanswered", "answered"])
def test_a_visitor_leaves_within_its_upload(
    house: House,
    upstream: Upstream,
    visitor: Visitor,
    framing: str,
    answered: bytes,
    leave: Callable[[Visitor], None],
) -> None:
    waiting = upstream.scripts["/"] = Waiting(answered)
    visitor.send(request("POST / HTTP/1.1", f"Host: {HOST}", framing))
    passed(waiting.begun, "the upstream has the request")
    left = time.monotonic()
    leave(visitor)
    passed(waiting.gone, "the upstream's request ends")
    check_gone(house, left)
    assert not upstream.recorded[0].complete


def test_a_visitor_is_cut_off_while_the_upstream_takes_no_more_of_its_upload(
    house: House, upstream: Upstream, visitor: Visitor
) -> None:
    """All buffers on the way are full: the news must pass them. (An orderly end would wait in the visitor's own.)"""
    begun, go_on, gone = Event(), Event(), Event()

    def script(exchange: Exchange) -> None:
        exchange.keep = False
        begun.set()
        passed(go_on, "the visitor has left")
        try:
            while exchange.reader.more():
                exchange.reader.buffer = b""
        except OSError:
            pass
        gone.set()

    upstream.scripts["/"] = script
    visitor.send(request("POST / HTTP/1.1", f"Host: {HOST}", "Content-Length: 1000000000"))
    passed(begun, "the upstream has the request")
    visitor.sock.settimeout(0)
    sent = 0
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < 0.3:
        try:
            sent += visitor.sock.send(bytes(65536))
            quiet_since = time.monotonic()
        except BlockingIOError:
            gevent.sleep(0.005)
    left = time.monotonic()
    visitor.reset()
    check_gone(house, left)
    client = house.agents[0][0]
    until(lambda: all(carrier.idle for carrier in client._attachment._carriers), "the client has let go")
    assert time.monotonic() - left < SOON_SECONDS + 0.5
    go_on.set()
    passed(gone, "the upstream's connection ends")


def test_a_visitor_leaves_after_an_upload_that_nobody_has_read(
    house: House, upstream: Upstream, visitor: Visitor
) -> None:
    """All of it has left the server, and fills the buffers behind: the news must pass them."""
    begun, go_on = Event(), Event()

    def script(exchange: Exchange) -> None:
        exchange.keep = False
        begun.set()
        passed(go_on, "the visitor has left")

    upstream.scripts["/"] = script
    size = 4_000_000
    visitor.send(stage_post(f"Content-Length: {size}"))
    passed(begun, "the upstream has the request")
    sending = gevent.spawn(visitor.send, bytes(size))
    (session,) = house.server.registry.sessions()
    until(lambda: session.pool.used, "it is under way")
    (stream,) = (stream for stream in session.pool._all if stream.state == 0)
    until(lambda: stream.sent > 3_000_000 or stream.connection.writing, "much of it is on its way")
    sending.kill()
    left = time.monotonic()
    visitor.reset()
    check_gone(house, left)
    client: Any = house.agents[0][0]
    until(lambda: all(carrier.idle for carrier in client._attachment._carriers), "the client has let go")
    assert time.monotonic() - left < SOON_SECONDS + 0.5
    go_on.set()


def test_a_visitor_leaves_while_it_waits_for_a_stream(
    house: House, upstream: Upstream, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is asked in the name of somebody who has left."""
    monkeypatch.setattr(exchange, "PATIENT_SECONDS", 0.0)
    client_id = house.server.registry.sessions()[0].client_id
    pool = house.pool(client_id)
    taken = house.starve(client_id)
    visitor.send(stage_post("Content-Length: 0"))
    until(lambda: pool._waiting, "the request waits")
    visitor.sock.close()
    assert house.server.edge is not None
    front = house.server.edge.plain
    assert front is not None
    (waiting,) = front._visitors
    until(waiting.connection.peer_has_left, "the end has come")
    pool.release(taken.pop(), heard_finish=True)
    until(lambda: house.server.state.http.connections_open == 0, "the visitor is forgotten")
    assert not upstream.recorded
    for stream in taken:
        pool.discard(stream)
    assert pool.used == 0


def test_a_visitor_who_leaves_takes_nobody_along(house: House) -> None:
    """Refused by one client, its first stream serves somebody else while it waits for a second client's."""
    upstream = house.upstream()
    first = house.client("leave.example=http://127.0.0.1:1", f"other.example={upstream.url}")
    second = house.client(f"{HOST}={upstream.url}")
    taken = house.starve(second)
    starved = house.starve(first)
    house.pool(first).release(starved.pop(), heard_finish=True)  # the one that both will use
    leaving = [house.visitor(), house.visitor()]  # whoever's turn it is
    for visitor in leaving:
        visitor.send(get("/", HOST))
    until(lambda: len(house.pool(second)._waiting) == 2, "both wait for the second client")
    waiting = upstream.scripts["/slow"] = Waiting(b"HTTP/1.1 103 Early Hints\r\n\r\n")
    staying = house.visitor()
    staying.send(get("/slow", "other.example"))
    assert staying.answer().status == 103
    for visitor in leaving:
        visitor.sock.close()
    reading = gevent.spawn(staying.answer)
    with pytest.raises(gevent.Timeout):
        reading.get(timeout=1.2)
    assert not waiting.gone.is_set()
    reading.kill()
    for client_id, streams in ((second, taken), (first, starved)):
        for stream in streams:
            house.pool(client_id).discard(stream)


# ---- upstreams


DEATHS = {
    "before the answer": (b"", 502),
    "within its head": (HEAD + b"X: ", 502),
    "with a head that is none": (b"nonsense\r\n\r\n", 502),
    "with two lengths": (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nx", 502),
    "switching unasked": (SWITCHING, 502),
    "within a counted body": (HEAD + b"Content-Length: 10\r\n\r\nx", None),
    "within a chunked body": (HEAD + CHUNKED + b"5\r\nx", None),
    "between two chunks": (HEAD + CHUNKED + b"1\r\nx\r\n", None),
    "with a chunk that is none": (HEAD + CHUNKED + b"-1\r\nx\r\n", None),
}


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("death", DEATHS)
def test_an_upstream_dies(house: House, upstream: Upstream, visitor: Visitor, death: str, end: str) -> None:
    said, status = DEATHS[death]

    def script(exchange: Exchange) -> None:
        exchange.send(said)
        getattr(exchange, end)()

    upstream.scripts["/"] = script
    if status is not None:
        answer = visitor.ask(request("POST / HTTP/1.1", f"Host: {HOST}", "Content-Length: 0"))
        assert (answer.status, answer.one("connection")) == (status, None)
        assert b"127.0.0.1" not in answer.body
        assert visitor.ask(get("/next", HOST)).body == b"/next"
    else:
        visitor.send(get("/", HOST))
        with pytest.raises((Ended, ConnectionResetError)):
            visitor.final_answer()
        visitor.sock.close()
    assert house.ask(get("/next", HOST)).body == b"/next"
    until(lambda: house.server.registry.sessions()[0].streams_used == 0, "no stream is in use")


def test_a_reset_is_no_end_of_a_body_until_the_end(upstream: Upstream, visitor: Visitor) -> None:
    def script(exchange: Exchange) -> None:
        exchange.send(HEAD + b"\r\nhalf")
        exchange.reset()

    upstream.scripts["/"] = script
    visitor.send(get("/", HOST))
    with pytest.raises((Ended, ConnectionResetError)):
        visitor.final_answer()


@pytest.mark.parametrize("end", ["close", "reset"])
def test_an_upstream_dies_within_an_upload(upstream: Upstream, visitor: Visitor, end: str) -> None:
    def script(exchange: Exchange) -> None:
        exchange.reader.exactly(5)
        getattr(exchange, end)()

    upstream.scripts["/"] = script
    visitor.send(request("POST / HTTP/1.1", f"Host: {HOST}", "Content-Length: 100000", body=b"hello"))
    answer = visitor.answer()
    assert (answer.status, answer.one("connection")) == (502, "close")


@pytest.mark.parametrize("end", ["close", "reset"])
def test_an_upstream_dies_after_an_upgrade(upstream: Upstream, visitor: Visitor, end: str) -> None:
    switched = Event()

    def script(exchange: Exchange) -> None:
        exchange.send(SWITCHING + b"x")
        passed(switched, "the visitor has switched")
        getattr(exchange, end)()

    upstream.scripts["/"] = script
    visitor.send(get("/", HOST, *UPGRADE))
    assert visitor.reader.head().status == 101
    assert visitor.reader.exactly(1) == b"x"
    switched.set()
    if end == "close":
        assert visitor.reader.rest() == b""
    else:
        with pytest.raises(ConnectionResetError):
            visitor.reader.rest()


def test_an_upstream_answers_too_late() -> None:
    with a_house(response_timeout=0.3) as house:
        upstream, visitor = house.upstream(), house.visitor()
        house.client(f"{HOST}={upstream.url}")
        waiting = upstream.scripts["/"] = Waiting()
        answer = visitor.ask(get("/", HOST))
        assert (answer.status, len(upstream.recorded)) == (504, 1)
        passed(waiting.gone, "the upstream's request ends")
        assert visitor.ask(get("/next", HOST)).status == 200


def test_a_long_upload_is_no_late_answer() -> None:
    """The time for an answer begins anew with each byte that the visitor sends."""
    count = 30  # often, so that none is late on a busy machine
    with a_house(response_timeout=1.2) as house:
        upstream, visitor = house.upstream(), house.visitor()
        house.client(f"{HOST}={upstream.url}")
        visitor.send(stage_post(f"Content-Length: {count}"))
        began = time.monotonic()
        for _ in range(count):
            sent = time.monotonic()
            visitor.send(b"x")
            until(lambda since=sent: time.monotonic() - since > 0.05, "a while has passed")  # type: ignore[misc]
        assert time.monotonic() - began > 1.4
        assert visitor.answer().body == b"x" * count


def stage_post(*lines: str, body: bytes = b"") -> bytes:
    return request("POST / HTTP/1.1", f"Host: {HOST}", *lines, body=body)


# ---- who is slow


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """Everything that visitors have time for is over at once."""
    monkeypatch.setattr(upload, "STALL_SECONDS", 0.2)
    monkeypatch.setattr(answer, "WRITE_SECONDS", 0.2)
    with a_house(head_timeout=0.3, keepalive_timeout=0.3) as house:
        upstream = house.upstream()
        house.client(f"{HOST}={upstream.url}")
        yield house


def refused(house: House) -> dict[str, int]:
    return house.server.state.http.refused


def test_a_head_that_does_not_come(hasty: House) -> None:
    visitor = hasty.visitor()
    visitor.send(b"GET / HTTP/1.1\r\nHo")
    assert visitor.rest() == b""
    assert refused(hasty) == {"slow visitor": 1}


def test_empty_lines_buy_no_time(hasty: House) -> None:
    visitor = hasty.visitor()
    ended = gevent.spawn(visitor.rest)
    began = time.monotonic()

    def trickle() -> bool:
        visitor.send(b"\r\n")
        return ended.ready()

    until(trickle, "the connection ends")
    assert time.monotonic() - began < 2
    assert refused(hasty) == {"slow visitor": 1}


def test_megabytes_of_empty_lines_cost_little(house: House) -> None:
    visitor = house.visitor()
    began = time.monotonic()
    visitor.send(b"\r\n" * 500_000 + get("/", "unknown.example"))
    assert visitor.answer().status == 404
    assert time.monotonic() - began < 3


def test_an_idle_connection_ends_and_nobody_was_turned_away(hasty: House) -> None:
    fresh, kept = hasty.visitor(), hasty.visitor()
    assert kept.ask(get("/", HOST)).status == 200
    assert (fresh.rest(), kept.rest()) == (b"", b"")
    assert refused(hasty) == {}


def test_an_upload_that_stalls(hasty: House) -> None:
    visitor = hasty.visitor()
    visitor.send(stage_post("Content-Length: 5", body=b"x"))
    assert visitor.rest() == b""
    until(lambda: hasty.upstreams[0].open_connections == 0, "the upstream's request ends")


def test_a_visitor_who_reads_nothing(hasty: House) -> None:
    ended = Event()

    def script(exchange: Exchange) -> None:
        exchange.keep = False
        exchange.send(HEAD + b"Content-Length: 1000000000\r\n\r\n")
        try:
            while True:
                exchange.send(bytes(65536))
        except OSError:
            ended.set()

    hasty.upstreams[0].scripts["/"] = script
    visitor = hasty.visitor()
    visitor.send(get("/", HOST))
    passed(ended, "the upstream's request ends")


def test_a_visitor_who_reads_no_interim_answers(hasty: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.server.pages.WRITE_SECONDS", 0.2)
    ended = Event()

    def script(exchange: Exchange) -> None:
        exchange.keep = False
        try:
            while True:
                exchange.send(b"HTTP/1.1 103 Early Hints\r\nX: %b\r\n\r\n" % (b"x" * 30000))
        except OSError:
            ended.set()

    hasty.upstreams[0].scripts["/"] = script
    visitor = hasty.visitor()
    visitor.send(get("/", HOST))
    passed(ended, "the upstream's request ends")
