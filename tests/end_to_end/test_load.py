"""Much at once, and much in a row: afterwards everything is as it was before. Counts, not times."""

from __future__ import annotations

import gc
import hashlib
from collections import Counter
from collections.abc import Iterator

import gevent
import pytest
from gevent.event import Event
from gevent.pool import Pool as Greenlets

from appliance.tunnel import pool as pool_module
from tests.end_to_end.house import PATIENCE_SECONDS, House, a_house, descriptors, greenlets, until
from tests.stage.upstream import Exchange
from tests.stage.visitor import get, request

HOST = "load.example"
MANY = 300


def things() -> Counter[str]:
    """How many objects there are of each of our classes that come and go with requests and streams."""
    gc.collect()
    names = ("Exchange", "Answer", "Upload", "Visitor", "Connection", "Stream", "Carrier", "Taker", "WebSocket")
    kinds = (type(thing) for thing in gc.get_objects())
    return Counter(kind.__name__ for kind in kinds if kind.__name__ in names and "tests" not in kind.__module__)


def settled(house: House, client_id: str) -> None:
    """No stream is in use, and client and server agree on how many there are."""
    pool = house.pool(client_id)
    attachment = house.agents[0][0]._attachment
    assert attachment is not None
    until(lambda: pool.used == 0, "no stream is in use")
    until(lambda: len(attachment._carriers) == len(pool._all), "both sides have the same streams")


@pytest.fixture(params=["plain", "tls"])
def busy(request: pytest.FixtureRequest) -> Iterator[House]:
    yield request.getfixturevalue("house" if request.param == "plain" else "tls_house")


def test_many_requests_at_once(busy: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool grows to what is needed, and shrinks again when it is not."""
    monkeypatch.setattr(pool_module, "SPARE_SECONDS", 0.0)
    upstream = busy.upstream()
    all_there = Event()

    def script(exchange: Exchange) -> None:
        if len(upstream.requests("/many")) == MANY:
            all_there.set()
        assert all_there.wait(PATIENCE_SECONDS)
        exchange.answer(exchange.head.target.encode(), "200 OK", "Connection: close")
        exchange.close()

    client_id = busy.client(f"{HOST}={upstream.url}")
    pool = busy.pool(client_id)
    settled(busy, client_id)
    before = (len(pool._all), descriptors(), greenlets(), things())
    for number in range(MANY):
        upstream.scripts[f"/many/{number}"] = script
    asking = [gevent.spawn(busy.ask, get(f"/many/{number}", HOST, "Connection: close")) for number in range(MANY)]
    assert all_there.wait(PATIENCE_SECONDS)
    assert pool.used == MANY
    bodies = [one.get(timeout=PATIENCE_SECONDS).body for one in asking]
    assert bodies == [f"/many/{number}".encode() for number in range(MANY)]
    del asking
    until(lambda: pool.used == 0, "no stream is in use")

    def shrink() -> bool:
        for stream in pool._idle:
            stream.heard = stream.since  # they have all answered
        pool._shrink(stream.since + 1)
        return len(pool._idle) == before[0]

    until(shrink, "the pool has shrunk")
    until(lambda: len(pool._all) == before[0], "the rest has gone, too")
    until(lambda: descriptors() <= before[1], "descriptors are closed")
    until(lambda: greenlets() <= before[2], "greenlets have ended")
    until(lambda: not things() - before[3], "nothing of it is left in memory")
    assert busy.ask(get("/", HOST)).status == 200


def test_many_requests_in_a_row(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """Of all kinds, by some visitors at once: whatever is kept in lists and tables does not grow with them."""
    caplog.set_level("ERROR", "sluice")  # or the errors that are logged would be kept, and all that they know
    upstream = house.upstream()
    upstream.scripts["/close"] = lambda exchange: (
        exchange.answer(b"x", "200 OK", "Connection: close"),
        exchange.close(),
    )  # type: ignore[assignment]
    upstream.scripts["/die"] = lambda exchange: exchange.reset()
    client_id = house.client(f"{HOST}={upstream.url}", "nobody.example=http://127.0.0.1:1")
    kinds = [
        get("/", HOST),
        get("/close", HOST),
        get("/die", HOST),
        get("/", "unknown.example"),
        get("/", "nobody.example"),
        request("POST / HTTP/1.1", f"Host: {HOST}", "Content-Length: 3", body=b"abc"),
        request("POST / HTTP/1.1", f"Host: {HOST}", "Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\n\r\n"),
        request("HEAD / HTTP/1.1", f"Host: {HOST}"),
        b"nonsense\r\n\r\n",
    ]
    expected = [200, 200, 502, 404, 502, 200, 200, 200, 400]

    def visit(_: int) -> None:
        visitor = house.visitor()
        house.visitors.remove(visitor)
        with visitor:
            assert [visitor.ask(data).status for data in kinds] == expected

    greenlets_at_once = Greenlets(8)
    for _ in greenlets_at_once.imap_unordered(visit, range(20)):
        pass
    pool = house.pool(client_id)
    settled(house, client_id)
    before = things()
    series = len(house.server.state.http.series)
    for _ in greenlets_at_once.imap_unordered(visit, range(150)):
        pass
    settled(house, client_id)
    until(lambda: house.server.state.http.connections_open == 0, "visitors are forgotten")
    until(lambda: sum((things() - before).values()) < 60, "nothing of it is left in memory")  # a stream or two more
    assert len(pool._all) < 40
    assert len(pool._waiting) == 0
    assert len(house.server.router._found) < 10
    assert len(house.server.state.http.series) == series
    assert len(house.server.edge.plain._visitors) == 0  # type: ignore[union-attr]


def resident_bytes() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096


@pytest.mark.parametrize("kind", ["counted", "chunked"])
def test_large_bodies_in_flat_memory(busy: House, kind: str) -> None:
    """Both ways, byte for byte."""
    block = bytes(range(256)) * 256
    blocks = 400  # 26 MB
    size = len(block) * blocks

    def frame(data: bytes) -> bytes:
        return data if kind == "counted" else b"%x\r\n%b\r\n" % (len(data), data)

    framing = f"Content-Length: {size}" if kind == "counted" else "Transfer-Encoding: chunked"
    seen: list[str] = []

    def take(exchange: Exchange) -> None:
        digest = hashlib.sha256()
        if kind == "counted":
            left = size
            while left:
                exchange.reader.more()
                piece = exchange.reader.take(left)
                left -= len(piece)
                digest.update(piece)
        else:
            while (length := int(exchange.reader.until(b"\r\n"), 16)) > 0:
                digest.update(exchange.reader.exactly(length + 2)[:-2])
            exchange.reader.until(b"\r\n")
        seen.append(digest.hexdigest())
        exchange._body_read = True
        exchange.send(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n".encode())
        for _ in range(blocks):
            exchange.send(frame(block))
        if kind == "chunked":
            exchange.send(b"0\r\n\r\n")

    upstream = busy.upstream()
    upstream.scripts["/"] = take
    busy.client(f"{HOST}={upstream.url}")
    expected = hashlib.sha256(block * blocks).hexdigest()

    def once() -> None:
        with busy.visitor() as visitor:
            visitor.send(request("POST / HTTP/1.1", f"Host: {HOST}", framing))
            for _ in range(blocks):
                visitor.send(frame(block))
            if kind == "chunked":
                visitor.send(b"0\r\n\r\n")
            assert visitor.reader.head().status == 200
            digest, left = hashlib.sha256(), size
            while left:
                if kind == "chunked":
                    length = int(visitor.reader.until(b"\r\n"), 16)
                    piece = visitor.reader.exactly(length + 2)[:-2]
                else:
                    visitor.reader.more()
                    piece = visitor.reader.take(left)
                left -= len(piece)
                digest.update(piece)
            assert digest.hexdigest() == seen[-1] == expected

    once()
    before = resident_bytes()
    once()
    assert resident_bytes() - before < 10_000_000


def test_a_slow_download_and_quick_requests(house: House) -> None:
    """One visitor who takes his time keeps nobody waiting."""
    upstream = house.upstream()

    def endless(exchange: Exchange) -> None:
        exchange.keep = False
        exchange.send(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                exchange.send(bytes(65536))
        except OSError:
            pass

    upstream.scripts["/endless"] = endless
    house.client(f"{HOST}={upstream.url}")
    slow = house.visitor()
    slow.send(get("/endless", HOST))
    assert slow.reader.head().status == 200
    quick = house.visitor()
    for number in range(50):
        assert quick.ask(get(f"/{number}", HOST)).body == f"/{number}".encode()


def test_more_visitors_than_there_may_be() -> None:
    """They wait until somebody leaves."""
    with a_house(max_connections=2, warm_streams=2) as house:
        house.client(f"{HOST}={house.upstream().url}")
        first, second = house.visitor(), house.visitor()
        assert [visitor.ask(get("/", HOST)).status for visitor in (first, second)] == [200, 200]
        third = house.visitor()
        third.send(get("/3", HOST))
        assert second.ask(get("/2", HOST)).body == b"/2"
        first.sock.close()
        assert third.answer().body == b"/3"
