"""Several clients for one name, kept connections that end, refusals: what is tried again, and what never is
(RFC 9110 9.2.2)."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from gevent.event import Event

from tests.end_to_end.house import PATIENCE_SECONDS, House, Upstream, Visitor, until
from tests.stage.messages import Ended
from tests.stage.upstream import Exchange
from tests.stage.visitor import get, request

HOST = "turns.example"
NOWHERE = "http://127.0.0.1:1"


def post(path: str = "/", *lines: str, body: bytes = b"") -> bytes:
    return request(f"POST {path} HTTP/1.1", f"Host: {HOST}", *(lines or (f"Content-Length: {len(body)}",)), body=body)


def who(answer: Any) -> str | None:
    return answer.one("x-upstream")  # type: ignore[no-any-return]


@pytest.fixture
def upstream(house: House) -> Upstream:
    return house.upstream(name="good")


@pytest.fixture
def visitor(house: House) -> Visitor:
    return house.visitor()


# ---- turns


def test_clients_of_one_name_take_turns(house: House, visitor: Visitor) -> None:
    for name in ("a", "b", "c"):
        house.client(f"{HOST}={house.upstream(name=name).url}")
    names = [who(visitor.ask(get("/", HOST))) for _ in range(9)]
    assert sorted(names[:3]) == ["a", "b", "c"]  # type: ignore[type-var]
    assert names == names[:3] * 3


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_refused_request_goes_to_the_next_client(
    house: House, upstream: Upstream, visitor: Visitor, method: str
) -> None:
    house.client(f"{HOST}={NOWHERE}")
    house.client(f"{HOST}={upstream.url}")
    for number in range(6):
        data = request(f"{method} /{number} HTTP/1.1", f"Host: {HOST}", "Content-Length: 5", body=b"hello")
        assert visitor.ask(data).body == b"hello"
    assert [record.message.target for record in upstream.recorded] == [f"/{number}" for number in range(6)]


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "counted"])
def test_so_does_one_whose_body_comes_after_its_head(
    house: House, upstream: Upstream, visitor: Visitor, chunked: bool
) -> None:
    """Most programs send head and body apart: the body is on its way while the first client dials."""
    refused: list[Event] = []

    class Slow:
        """Dials take until the test says so."""

        def __init__(self, real: Any) -> None:
            self.real = real

        def dial(self, target: str, visitor: str) -> Any:
            refused.append(Event())
            assert refused[-1].wait(PATIENCE_SECONDS)
            return self.real.dial(target, visitor)

    house.client(f"{HOST}={upstream.url}")
    client_id = house.client(f"{HOST}={NOWHERE}", wait=False)
    agent: Any = house.agents[-1][0]
    agent._upstreams = Slow(agent._upstreams)
    pool: Any = house.connected(client_id).pool
    for count in range(2):
        visitor.send(post("/", "Transfer-Encoding: chunked" if chunked else "Content-Length: 10"))
        until(lambda before=count: refused or len(upstream.recorded) > before, "somebody has the head")  # type: ignore[misc]
        sent = sum(stream.sent for stream in pool._all)
        visitor.send(b"5\r\nhello\r\n" if chunked else b"hello")
        if refused:
            until(lambda before=sent: sum(s.sent for s in pool._all) > before, "it is on its way")  # type: ignore[misc]
            refused.pop().set()
        visitor.send(b"5\r\nworld\r\n0\r\n\r\n" if chunked else b"world")
        assert visitor.answer().body == b"helloworld"
    assert len(upstream.recorded) == 2


def test_a_large_body_cannot_be_sent_again(house: House, upstream: Upstream, visitor: Visitor) -> None:
    """What was taken from the visitor and not kept is gone: an honest 502 instead."""
    asked, told = Event(), Event()

    def open_late(path: str, browse: bool) -> Any:
        asked.set()
        assert told.wait(PATIENCE_SECONDS)
        raise FileNotFoundError

    house.client(f"{HOST}=/nowhere")
    agent: Any = house.agents[0][0]
    agent._upstreams._open_directory = open_late
    size = 300_000
    visitor.send(post("/", f"Content-Length: {size}"))
    assert asked.wait(PATIENCE_SECONDS)
    house.client(f"{HOST}={upstream.url}")
    visitor.send(bytes(size))
    pool = house.server.registry.sessions()[0].pool
    until(lambda: any(stream.sent > 200_000 for stream in pool._all), "more than is kept has been sent")
    told.set()
    assert visitor.answer().status == 502
    assert not upstream.recorded


def test_all_refuse(house: House, visitor: Visitor) -> None:
    for _ in range(3):
        house.client(f"{HOST}={NOWHERE}")
    answer = visitor.ask(post(body=b"hello"))
    assert (answer.status, answer.one("connection")) == (502, None)


# ---- what has begun is repeated only where the method allows it


@pytest.mark.parametrize(
    ("method", "tries"),
    [("GET", 2), ("HEAD", 2), ("PUT", 2), ("DELETE", 2), ("OPTIONS", 2), ("POST", 1), ("PATCH", 1), ("WHAT", 1)],
)
@pytest.mark.parametrize("end", ["close", "reset", "half a head"])
def test_an_upstream_that_takes_a_request_and_dies(
    house: House, upstream: Upstream, visitor: Visitor, method: str, tries: int, end: str
) -> None:
    bad = house.upstream(name="bad")

    def die(exchange: Exchange) -> None:
        exchange.read_body()
        if end == "half a head":
            exchange.send(b"HTTP/1.1 200")
        if end == "reset":
            exchange.reset()
        exchange.close()

    bad.scripts["/"] = die
    house.client(f"{HOST}={upstream.url}")
    house.client(f"{HOST}={bad.url}")
    answer = visitor.ask(request(f"{method} / HTTP/1.1", f"Host: {HOST}", "Content-Length: 0"))
    assert len(bad.recorded) == 1
    assert (answer.status, len(upstream.recorded)) == ((200, 1) if tries == 2 else (502, 0))


def test_an_answer_that_has_begun_is_never_begun_again(house: House, upstream: Upstream, visitor: Visitor) -> None:
    bad = house.upstream(name="bad")

    def die(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        exchange.close()

    bad.scripts["/"] = die
    house.client(f"{HOST}={upstream.url}")
    house.client(f"{HOST}={bad.url}")
    visitor.send(get("/", HOST))
    assert visitor.reader.head().status == 200
    with pytest.raises((Ended, ConnectionResetError)):
        visitor.reader.exactly(10)
    assert not upstream.recorded


def test_an_answer_that_is_not_understood_is_not_asked_for_again(
    house: House, upstream: Upstream, visitor: Visitor
) -> None:
    bad = house.upstream(name="bad")
    bad.scripts["/"] = lambda exchange: exchange.send(b"SSH-2.0\r\n\r\n")
    house.client(f"{HOST}={upstream.url}")
    house.client(f"{HOST}={bad.url}")
    assert visitor.ask(get("/", HOST)).status == 502
    assert not upstream.recorded


def test_a_client_that_is_cut_off(house: House, upstream: Upstream, visitor: Visitor) -> None:
    """Whether its upstream was given the request is not known."""
    other = house.upstream(name="other")
    house.client(f"{HOST}={other.url}")
    agent: Any = house.agents[0][0]

    def cut(exchange: Exchange) -> None:
        exchange.read_body()
        for carrier in tuple(agent._attachment._carriers):
            carrier._stream.connection.abort()

    other.scripts["/"] = cut
    assert visitor.ask(post()).status == 502
    house.client(f"{HOST}={upstream.url}")
    answers = [visitor.ask(get("/", HOST)) for _ in range(2)]
    assert [(answer.status, who(answer)) for answer in answers] == [(200, "good"), (200, "good")]


# ---- kept connections


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "counted"])
def test_a_kept_connection_whose_end_crosses_the_request(
    house: House, upstream: Upstream, visitor: Visitor, chunked: bool
) -> None:
    """The upstream had closed before a byte of it arrived: it may be sent again, whatever its method, its body too."""
    client_id = house.client(f"{HOST}={upstream.url}")
    assert visitor.ask(get("/first", HOST)).status == 200
    pool: Any = house.pool(client_id)
    (stream,) = next(iter(pool._bound.values()))
    on_idle, stream.connection.on_idle = stream.connection.on_idle, None  # the end will not be noticed
    upstream.drop_connections()
    agent: Any = house.agents[0][0]
    until(lambda: any(c._upward and not c._downward for c in agent._attachment._carriers), "the client knows")
    visitor.send(post("/second", "Transfer-Encoding: chunked" if chunked else "Content-Length: 10"))
    visitor.send(b"5\r\nhello\r\n" if chunked else b"hello")
    stream.connection.on_idle = on_idle
    visitor.send(b"5\r\nworld\r\n0\r\n\r\n" if chunked else b"world")
    assert visitor.answer().body == b"helloworld"
    assert [record.message.target for record in upstream.recorded] == ["/first", "/second"]
    until(lambda: pool.used == 0, "no stream is in use")


def test_a_closing_upstream_costs_no_streams(house: House, upstream: Upstream, visitor: Visitor) -> None:
    """Answers with Connection: close, hundreds of them: their streams are soon idle again."""

    def script(exchange: Exchange) -> None:
        exchange.answer(b"bye", "200 OK", "Connection: close")
        exchange.close()

    upstream.scripts["/"] = script
    client_id = house.client(f"{HOST}={upstream.url}")
    for _ in range(200):
        answer = visitor.ask(get("/", HOST))
        assert (answer.body, answer.one("connection")) == (b"bye", None)
    assert upstream.connections == 200
    pool: Any = house.pool(client_id)
    assert len(pool._all) < 30
    until(lambda: len(pool._idle) == len(pool._all), "all are idle")


# ---- takeovers


def test_a_client_takes_over_from_its_ghost(
    house: House, upstream: Upstream, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    """Requests under way go on to their end on the former session; new ones go to the new one at once."""
    finish = Event()

    def slow(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha")
        assert finish.wait(PATIENCE_SECONDS)
        exchange.send(b"lf")

    upstream.scripts["/slow"] = slow
    client_id = house.client(f"{HOST}={upstream.url}")
    former = house.session(client_id)
    assert former is not None
    visitor.send(get("/slow", HOST))
    assert visitor.reader.head().status == 200
    house.agents[0][0]._stopping.set()  # or it would take over in its turn
    house.client(f"{HOST}={upstream.url}", client_id=client_id)
    until(lambda: house.session(client_id) not in (None, former), "the new session has taken over")
    assert len(house.server.registry.sessions()) == 1
    assert house.server.state.control.reconnects == 1
    assert former.pool.closed
    assert former.pool.resting == 0
    assert house.ask(get("/fast", HOST)).body == b"/fast"
    finish.set()
    assert visitor.reader.exactly(4) == b"half"
    until(lambda: former.pool.used == 0, "the former session's last stream is closed")
    assert visitor.ask(get("/again", HOST)).status == 200
    assert "the same client id has connected again" in caplog.text


def test_who_waits_for_the_former_session_is_served_by_the_new_one(
    house: House, upstream: Upstream, visitor: Visitor
) -> None:
    client_id = house.client(f"{HOST}={upstream.url}")
    pool, taken = house.pool(client_id), house.starve(client_id)
    visitor.send(post(body=b"hello"))
    until(lambda: pool._waiting, "the request waits")
    house.agents[0][0]._stopping.set()
    house.client(f"{HOST}={upstream.url}", client_id=client_id, wait=False)
    assert visitor.answer().body == b"hello"
    for stream in taken:
        pool.discard(stream)


def test_but_not_for_ever(house: House, upstream: Upstream, visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that come and go would keep a visitor waiting without end."""
    monkeypatch.setattr("appliance.server.exchange.RETURN_SECONDS", 0.0)
    client_id = house.client(f"{HOST}={upstream.url}")
    pool, taken = house.pool(client_id), house.starve(client_id)
    visitor.send(post(body=b"hello"))
    until(lambda: pool._waiting, "the request waits")
    house.agents[0][0]._stopping.set()
    house.client(f"{HOST}={upstream.url}", client_id=client_id, wait=False)
    assert visitor.answer().status == 503
    for stream in taken:
        pool.discard(stream)


# ---- nothing is mixed


def test_pipelined_requests_with_bodies_to_several_names(house: House, visitor: Visitor) -> None:
    names = ("a", "b", "c")
    for name in names:
        house.client(f"{name}.example={house.upstream(name=name).url}")
    order = list(itertools.islice(itertools.cycle((*names, "unknown")), 40))
    data = b""
    for number, name in enumerate(order):
        body = b"%d" % number
        if number % 3:
            data += request("PUT / HTTP/1.1", f"Host: {name}.example", f"Content-Length: {len(body)}", body=body)
        else:
            framed = b"%x;x=y\r\n%b\r\n0\r\n\r\n" % (len(body), body)
            data += request("PUT / HTTP/1.1", f"Host: {name}.example", "Transfer-Encoding: chunked", body=framed)
    visitor.send(data)
    for number, name in enumerate(order):
        answer = visitor.answer()
        if name == "unknown":
            assert answer.status == 404
        else:
            assert (who(answer), answer.body) == (name, b"%d" % number)


def test_more_than_the_announced_body_reaches_nobody(house: House, upstream: Upstream, visitor: Visitor) -> None:
    poison = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
    answers = {
        "/counted": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "/chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "/none": b"HTTP/1.1 204 No Content\r\n\r\n",
    }
    for path, said in answers.items():
        upstream.scripts[path] = lambda exchange, said=said: exchange.send(said + poison)  # type: ignore[misc]
    house.client(f"{HOST}={upstream.url}")
    for path in answers:
        visitor.send(get(path, HOST))
        assert visitor.answer().body in (b"ok", b"")
        assert visitor.ask(get("/next", HOST)).body == b"/next"


def test_a_head_with_a_body_is_no_next_answer(house: House, upstream: Upstream, visitor: Visitor) -> None:
    upstream.scripts["/"] = lambda exchange: exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
    house.client(f"{HOST}={upstream.url}")
    visitor.send(request("HEAD / HTTP/1.1", f"Host: {HOST}"))
    assert visitor.answer("HEAD").one("content-length") == "6"
    assert visitor.ask(get("/next", HOST)).body == b"/next"
