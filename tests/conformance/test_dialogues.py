"""What cannot be said in one row of bytes: visitor and upstream taking turns, and either of them leaving."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.conformance.conftest import Stage
from tests.stage.messages import Ended
from tests.stage.process import PATIENCE_SECONDS, eventually
from tests.stage.upstream import Exchange
from tests.stage.visitor import Visitor, get, once, request

HOST = "d.python.example"
SOON_SECONDS = 1.5  # "within a second", and some for a busy machine


def post(path: str, *lines: str, body: bytes = b"") -> bytes:
    return request(f"POST {path} HTTP/1.1", f"Host: {HOST}", *lines, body=body)


def passed(event: threading.Event, what: str) -> None:
    assert event.wait(PATIENCE_SECONDS), what


@pytest.fixture
def visitor(stage: Stage) -> Iterator[Visitor]:
    with Visitor(stage.port) as visitor:
        yield visitor


def test_100_continue_end_to_end(stage: Stage, visitor: Visitor) -> None:
    """RFC 9110 10.1.1: the upstream is asked, and nobody answers in its place."""
    asked, allowed = threading.Event(), threading.Event()

    def script(exchange: Exchange) -> None:
        assert exchange.head.one("expect") == "100-continue"
        asked.set()
        passed(allowed, "permission")
        exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        exchange.answer(exchange.read_body().upper())

    stage.upstream.scripts["/continue"] = script
    visitor.send(post("/continue", "Expect: 100-continue", "Content-Length: 5"))
    passed(asked, "the upstream gets the head before the body")
    allowed.set()
    assert visitor.answer().status == 100
    visitor.send(b"hello")
    assert visitor.answer().body == b"HELLO"
    assert visitor.ask(get("/", HOST)).status == 200


def test_100_continue_refused(stage: Stage, visitor: Visitor) -> None:
    """RFC 9110 10.1.1: a final answer instead of 100. Whether a body follows is unknown: it is the last."""

    def script(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 401 Unauthorized\r\nX-Upstream: python\r\nContent-Length: 2\r\n\r\nno")
        exchange.close()

    stage.upstream.scripts["/refused"] = script
    visitor.send(post("/refused", "Expect: 100-continue", "Content-Length: 500"))
    answer = visitor.answer()
    assert (answer.status, answer.body, answer.one("connection")) == (401, b"no", "close")
    visitor.finish()
    assert visitor.rest() == b""


def test_interim_answers_arrive_before_the_final_one(stage: Stage, visitor: Visitor) -> None:
    hinted = threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n")
        passed(hinted, "the visitor has the hints")
        exchange.answer(b"page")

    stage.upstream.scripts["/hints"] = script
    visitor.send(get("/hints", HOST))
    hints = visitor.answer()
    assert (hints.status, hints.one("link")) == (103, "</style.css>")
    hinted.set()
    assert visitor.answer().body == b"page"


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "until the end"])
def test_events_arrive_as_they_are_sent(stage: Stage, visitor: Visitor, chunked: bool) -> None:
    """Each event is sent only after the one before has arrived: whoever holds one back stops everything."""
    arrived = threading.Semaphore(0)

    def script(exchange: Exchange) -> None:
        framing = "Transfer-Encoding: chunked" if chunked else "X-Framing: none"
        exchange.send(f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{framing}\r\n\r\n".encode())
        for number in range(20):
            assert arrived.acquire(timeout=PATIENCE_SECONDS)
            event = b"data: %d\n\n" % number
            exchange.send(b"%x\r\n%b\r\n" % (len(event), event) if chunked else event)
        if chunked:
            exchange.send(b"0\r\n\r\n")
        else:
            exchange.close()

    stage.upstream.scripts["/events"] = script
    visitor.send(get("/events", HOST, "Accept: text/event-stream"))
    head = visitor.reader.head()
    assert (head.status, head.one("content-type")) == (200, "text/event-stream")
    for number in range(20):
        arrived.release()
        visitor.reader.until(b"data: %d\n\n\r\n" % number)
    assert visitor.reader.until(b"\r\n\r\n") == b"0\r\n\r\n"


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "counted"])
def test_both_directions_at_once(stage: Stage, visitor: Visitor, chunked: bool) -> None:
    """An answer that begins before the upload is finished, and goes along with it."""
    rounds = 20

    def script(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % (4 * rounds))
        for _ in range(rounds):
            if chunked:
                assert exchange.reader.until(b"\r\n") == b"4\r\n"
                exchange.send(exchange.reader.exactly(6)[:4].upper())
            else:
                exchange.send(exchange.reader.exactly(4).upper())
        if chunked:
            assert exchange.reader.until(b"\r\n\r\n") == b"0\r\n\r\n"
        exchange.close()

    stage.upstream.scripts["/both"] = script
    visitor.send(post("/both", "Transfer-Encoding: chunked" if chunked else f"Content-Length: {4 * rounds}"))
    assert visitor.reader.head().status == 200
    for number in range(rounds):
        piece = b"p%03d" % number
        visitor.send(b"4\r\n%b\r\n" % piece if chunked else piece)
        assert visitor.reader.exactly(4) == piece.upper()
    if chunked:
        visitor.send(b"0\r\n\r\n")
    assert once(stage.port, get("/", HOST)).status == 200


def test_an_answer_before_the_upload_is_finished(stage: Stage, visitor: Visitor) -> None:
    """The visitor gets it although it never stops to send, and although nobody reads."""

    def script(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
        exchange.close()

    stage.upstream.scripts["/large"] = script
    visitor.send(post("/large", "Content-Length: 8000000", body=b"x" * 8_000_000))
    answer = visitor.answer()
    assert (answer.status, answer.body, answer.one("connection")) == (413, b"big", "close")
    assert visitor.rest() == b""


@pytest.mark.parametrize("first_line", ["GET /long HTTP/1.0", "GET /long HTTP/1.1"])
def test_what_follows_the_last_request_does_not_cost_its_answer(
    stage: Stage, visitor: Visitor, first_line: str
) -> None:
    """RFC 9112 9.6: to close with bytes unread is to reset, and a reset may overtake what was sent."""
    long = b"0123456789abcdef" * 2**17
    stage.upstream.scripts["/long"] = lambda exchange: exchange.answer(long)
    visitor.send(request(first_line, f"Host: {HOST}", "Connection: close"))
    sender = threading.Thread(target=visitor.send, args=(b"x" * 2_000_000,))
    sender.start()
    answer = visitor.answer()
    assert answer.one("connection") == "close"
    assert answer.body == long
    visitor.finish()
    sender.join(PATIENCE_SECONDS)


def test_a_head_that_comes_byte_by_byte(stage: Stage, visitor: Visitor) -> None:
    data = post("/bytes", "Transfer-Encoding: chunked", body=b"5;x\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n") + get(
        "/next", HOST
    )
    for index in range(len(data)):
        visitor.send(data[index : index + 1])
    assert visitor.answer().body == b"hello"
    assert visitor.answer().body == b"/next"


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "counted"])
def test_an_upload_is_carried_as_it_comes(stage: Stage, visitor: Visitor, chunked: bool) -> None:
    first = threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.reader.until(b"first")
        first.set()
        exchange.reader.until(b"last\r\n0\r\n\r\n" if chunked else b"last")
        exchange.answer(b"thanks", "200 OK", "Connection: close")
        exchange.close()

    stage.upstream.scripts["/upload"] = script
    if chunked:
        visitor.send(post("/upload", "Transfer-Encoding: chunked", body=b"5\r\nfirst\r\n"))
    else:
        visitor.send(post("/upload", "Content-Length: 9", body=b"first"))
    passed(first, "the first part arrives before the last is sent")
    visitor.send(b"4\r\nlast\r\n0\r\n\r\n" if chunked else b"last")
    assert visitor.answer().body == b"thanks"


# ---- what is malformed or missing later


class Receiving:
    """Reads a whole body, if it comes. `started`: has the head; `ended`: whatever became of the body."""

    def __init__(self) -> None:
        self.started, self.ended = threading.Event(), threading.Event()
        self.exchanges: list[Exchange] = []

    def __call__(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        self.started.set()
        try:
            exchange.answer(exchange.read_body())
        finally:
            self.ended.set()

    def check_torn(self) -> None:
        """It began, and ended without being whole."""
        passed(self.ended, "the upstream's side ends")
        assert [exchange.record.complete for exchange in self.exchanges] == [False]


def test_a_chunk_that_is_malformed_later(stage: Stage, visitor: Visitor) -> None:
    receiving = stage.upstream.scripts["/later"] = Receiving()
    visitor.send(post("/later", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n"))
    passed(receiving.started, "the head is forwarded")
    visitor.send(b"-5\r\nhello\r\n0\r\n\r\n" + get("/smuggled", HOST))
    answer = visitor.answer()
    assert (answer.status, answer.one("connection")) == (400, "close")
    assert visitor.rest() == b""
    receiving.check_torn()
    assert once(stage.port, get("/", HOST)).status == 200
    assert not stage.upstream.requests("/smuggled")


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "counted"])
@pytest.mark.parametrize("leave", [Visitor.finish, Visitor.reset], ids=["end", "reset"])
def test_an_upload_that_breaks_off(
    stage: Stage, visitor: Visitor, chunked: bool, leave: Callable[[Visitor], None]
) -> None:
    """The upstream must not believe that the body is whole."""
    receiving = stage.upstream.scripts["/broken-off"] = Receiving()
    if chunked:
        visitor.send(post("/broken-off", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n"))
    else:
        visitor.send(post("/broken-off", "Content-Length: 10", body=b"hello"))
    passed(receiving.started, "the head is forwarded")
    leave(visitor)
    receiving.check_torn()
    assert once(stage.port, get("/", HOST)).status == 200


# ---- leaving


def test_a_visitor_who_leaves_before_the_answer(stage: Stage, visitor: Visitor) -> None:
    check_leaving(stage, visitor, b"")


def test_a_visitor_who_leaves_during_the_answer(stage: Stage, visitor: Visitor) -> None:
    check_leaving(stage, visitor, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")


def check_leaving(stage: Stage, visitor: Visitor, said: bytes) -> None:
    """The upstream's connection ends within a second after the visitor's."""
    waiting, ended = threading.Event(), threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.keep = False
        exchange.send(said)
        waiting.set()
        if exchange.gone():
            ended.set()

    stage.upstream.scripts["/leave"] = script
    visitor.send(get("/leave", HOST))
    passed(waiting, "the upstream has the request")
    if said:
        visitor.reader.until(b"x\r\n")
    left = time.monotonic()
    visitor.sock.close()
    passed(ended, "the upstream's request ends")
    assert time.monotonic() - left < SOON_SECONDS


def test_a_visitor_who_leaves_while_its_upload_is_stuck(stage: Stage, visitor: Visitor) -> None:
    """Nobody reads what it sent, all buffers are full; and yet the upstream hears of it."""
    waiting, left, ended = threading.Event(), threading.Event(), threading.Event()

    def script(exchange: Exchange) -> None:
        waiting.set()
        passed(left, "the visitor has left")
        try:
            exchange.reader.rest()
        except ConnectionResetError:
            pass
        ended.set()
        exchange.close()

    stage.upstream.scripts["/stuck"] = script
    visitor.send(post("/stuck", "Content-Length: 1000000000"))
    passed(waiting, "the upstream has the head")
    visitor.sock.settimeout(0.5)
    with pytest.raises(TimeoutError):
        for _ in range(1000):
            visitor.sock.sendall(bytes(2**20))
    visitor.sock.close()
    left.set()
    assert ended.wait(SOON_SECONDS)


def test_a_visitor_who_leaves_and_has_read_nothing(stage: Stage, visitor: Visitor) -> None:
    stuck, left, ended = threading.Event(), threading.Event(), threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.sock.settimeout(0.5)
        try:
            exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            while True:
                exchange.send(bytes(2**20))
        except TimeoutError:
            stuck.set()
        passed(left, "the visitor has left")
        exchange.close()
        if exchange.gone():
            ended.set()

    stage.upstream.scripts["/unread"] = script
    visitor.send(get("/unread", HOST))
    passed(stuck, "no buffer takes more")
    visitor.sock.close()
    left.set()
    assert ended.wait(SOON_SECONDS)


def test_an_upstream_that_dies_during_the_upload(stage: Stage, visitor: Visitor) -> None:
    stage.upstream.scripts["/dies-early"] = Exchange.reset
    died = time.monotonic()
    visitor.send(post("/dies-early", "Content-Length: 100", body=b"begun"))
    assert visitor.answer().status == 502
    assert time.monotonic() - died < SOON_SECONDS


def test_an_upstream_that_dies_during_the_answer(stage: Stage, visitor: Visitor) -> None:
    arrived = threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        passed(arrived, "the first bytes")
        exchange.reset()

    stage.upstream.scripts["/dies"] = script
    visitor.send(get("/dies", HOST))
    visitor.reader.until(b"hello\r\n")
    arrived.set()
    died = time.monotonic()
    with pytest.raises((Ended, ConnectionResetError)):
        visitor.reader.until(b"0\r\n\r\n")
    assert time.monotonic() - died < SOON_SECONDS


# ---- kept connections to the upstream


def test_upstream_connections_are_kept(stage: Stage, visitor: Visitor) -> None:
    for number in range(10):
        assert visitor.ask(get(f"/kept/{number}", HOST)).status == 200
    records = stage.upstream.requests("/kept/")
    assert len(records) == 10
    assert len({record.connection for record in records}) == 1


def test_bytes_that_nobody_asked_for_end_a_kept_connection(stage: Stage, visitor: Visitor) -> None:
    """Left there, they would be taken for the answer to the next request."""
    answered, ended = threading.Event(), threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.answer(b"mine")
        passed(answered, "the visitor has its answer")
        exchange.answer(b"poison")
        exchange.keep = False
        if exchange.gone():
            ended.set()

    stage.upstream.scripts["/unasked"] = script
    assert visitor.ask(get("/unasked", HOST)).body == b"mine"
    answered.set()
    passed(ended, "the kept connection is ended")
    assert visitor.ask(get("/next", HOST)).body == b"/next"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_kept_connection_that_has_ended_meanwhile(stage: Stage, visitor: Visitor, method: str) -> None:
    """What the upstream closed while nothing was under way costs nobody an answer."""
    assert visitor.ask(get("/kept", HOST)).status == 200
    open_before = stage.upstream.open_connections
    stage.upstream.drop_connections()
    stage.upstream.wait(lambda: stage.upstream.open_connections < open_before, "connections end")
    data = request(f"{method} /again HTTP/1.1", f"Host: {HOST}", "Content-Length: 5", body=b"hello")
    assert visitor.ask(data).body == b"hello"


@pytest.mark.parametrize(("method", "status", "tries"), [("GET", 200, 2), ("POST", 502, 1)])
def test_a_kept_connection_that_ends_with_the_request(
    stage: Stage, visitor: Visitor, method: str, status: int, tries: int
) -> None:
    """RFC 9110 9.2.2: what may safely be repeated is tried again; the rest may have been acted on."""
    path = f"/ends-{method}"

    def script(exchange: Exchange) -> None:
        first_there = exchange.record is stage.upstream.requests(path)[0]
        kept = sum(record.connection == exchange.record.connection for record in stage.upstream.recorded) > 1
        if first_there and kept:
            exchange.read_body()
            exchange.close()
        else:
            exchange.answer(b"fresh")

    stage.upstream.scripts[path] = script
    assert visitor.ask(get("/kept", HOST)).status == 200
    answer = visitor.ask(request(f"{method} {path} HTTP/1.1", f"Host: {HOST}", "Content-Length: 0"))
    assert answer.status == status
    assert len(stage.upstream.requests(path)) == tries


# ---- upgrades

UPGRADE = ("Connection: Upgrade", "Upgrade: tests")
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tests\r\nX-Seen: 1\r\n\r\n"


def test_an_upgrade_is_a_byte_pipe(stage: Stage, visitor: Visitor) -> None:
    """All bytes both ways, also such that came together with the heads; each direction ends on its own."""
    received: list[bytes] = []

    def script(exchange: Exchange) -> None:
        assert (exchange.head.one("upgrade"), exchange.head.one("connection")) == ("tests", "Upgrade")
        exchange.send(SWITCHING + b"\0\xffwelcome")
        received.append(exchange.reader.rest())
        exchange.send(b"parting words")
        exchange.close()

    stage.upstream.scripts["/pipe"] = script
    visitor.send(get("/pipe", HOST, *UPGRADE) + b"\x80early" + get("/inside", HOST))
    head = visitor.reader.head()
    assert (head.status, head.one("x-seen")) == (101, "1")
    assert (head.one("upgrade"), head.one("connection")) == ("tests", "Upgrade")
    assert visitor.reader.exactly(9) == b"\0\xffwelcome"
    visitor.send(b"late")
    visitor.finish()
    assert visitor.rest() == b"parting words"
    assert received == [b"\x80early" + get("/inside", HOST) + b"late"]
    assert not stage.upstream.requests("/inside")


def test_the_upstream_ends_an_upgrade_first(stage: Stage, visitor: Visitor) -> None:
    received: list[bytes] = []
    done = threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.send(SWITCHING)
        exchange.sock.shutdown(1)
        received.append(exchange.reader.rest())
        exchange.close()
        done.set()

    stage.upstream.scripts["/ends-first"] = script
    visitor.send(get("/ends-first", HOST, *UPGRADE))
    assert visitor.reader.head().status == 101
    assert visitor.reader.rest() == b""
    visitor.send(b"still heard")
    visitor.finish()
    passed(done, "the upstream hears the end")
    assert received == [b"still heard"]


@pytest.mark.parametrize("who", ["visitor", "upstream"])
def test_an_upgrade_ends_when_one_is_cut_off(stage: Stage, visitor: Visitor, who: str) -> None:
    switched, ended = threading.Event(), threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.send(SWITCHING)
        passed(switched, "the visitor has switched")
        if who == "upstream":
            exchange.reset()
        else:
            exchange.keep = False
            if exchange.gone():
                ended.set()

    stage.upstream.scripts["/cut"] = script
    visitor.send(get("/cut", HOST, *UPGRADE))
    assert visitor.reader.head().status == 101
    switched.set()
    if who == "upstream":
        assert visitor.rest() == b""
    else:
        visitor.reset()
        passed(ended, "the upstream's side ends")


@pytest.mark.parametrize("status", ["200 OK", "426 Upgrade Required"])
def test_an_upgrade_that_is_refused(stage: Stage, visitor: Visitor, status: str) -> None:
    stage.upstream.scripts["/no"] = lambda exchange: exchange.answer(b"no", status)
    answer = visitor.ask(get("/no", HOST, *UPGRADE))
    assert (answer.status, answer.body) == (int(status[:3]), b"no")
    assert visitor.ask(get("/", HOST)).status == 200


# ---- counting

COUNTED = "http_dataplane_requests_total"


def test_every_request_is_counted_once(stage: Stage) -> None:
    """Whatever becomes of it; names and methods that visitors make up are not told apart."""
    before = stage.tunnel.metrics(COUNTED)
    for data in (
        get("/", HOST),
        get("/", "made-up.example"),
        request("BREW / HTTP/1.1", f"Host: {HOST}"),
        request("GET / HTTP/1.1", f"Host: {HOST}", "X : y"),
        post("/", "Transfer-Encoding: chunked", body=b"malformed\r\n"),
    ):
        once(stage.port, data)
    receiving = stage.upstream.scripts["/counted"] = Receiving()
    with Visitor(stage.port) as visitor:
        visitor.send(post("/counted", "Transfer-Encoding: chunked", body=b"1\r\nx\r\n"))
        passed(receiving.started, "the head is forwarded")
        visitor.send(b"malformed\r\n")
        assert visitor.answer().status == 400
    with Visitor(stage.port) as visitor:
        receiving = stage.upstream.scripts["/counted"] = Receiving()
        visitor.send(post("/counted", "Content-Length: 5"))
        passed(receiving.started, "the head is forwarded")
        visitor.reset()
        passed(receiving.ended, "the upstream's side ends")

    eventually(lambda: added(stage, before).total() >= 7, "all are counted")
    found = added(stage, before)
    name = "*.python.example"
    assert (found["200", name, "GET"], found["200", name, "OTHER"], found["404", "unknown", "GET"]) == (1, 1, 1)
    codes: Counter[str] = Counter()
    for (code, _, _), count in found.items():
        codes[code] += count
    assert codes == {"200": 2, "404": 1, "400": 3, "499": 1}


def added(stage: Stage, before: dict[str, float]) -> Counter[tuple[str, str, str]]:
    """Requests counted since `before`, by code, host and method."""
    found: Counter[tuple[str, str, str]] = Counter()
    for labels, value in stage.tunnel.metrics(COUNTED).items():
        label = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        found[label["code"], label["host"], label["method"]] = int(value - before.get(labels, 0))
    return +found
