"""What cannot be said in one row of bytes: visitor and upstream taking turns."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable

import pytest

from tests.conformance.conftest import Stage
from tests.conformance.dialogue import HOST, Receiving, passed, post
from tests.stage.process import PATIENCE_SECONDS, eventually
from tests.stage.upstream import Exchange
from tests.stage.visitor import Visitor, get, once, request


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
    visitor.send(post("/large", "Content-Length: 1000000000000", body=b"x" * 8_000_000))
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
