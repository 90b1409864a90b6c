"""After an upgrade: a byte pipe, and nothing else."""

from __future__ import annotations

import threading

import pytest

from tests.conformance.conftest import Stage
from tests.conformance.dialogue import HOST, passed
from tests.stage.upstream import Exchange
from tests.stage.visitor import Visitor, get

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
