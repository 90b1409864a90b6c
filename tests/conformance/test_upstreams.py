"""Raw bytes from an upstream: what the visitor gets of them, and that nothing spoils the next request."""

from __future__ import annotations

import itertools

import pytest

from tests.conformance.answers import ANSWERS, Answer
from tests.conformance.cases import CLOSED
from tests.conformance.conftest import Stage
from tests.stage.messages import Ended, Message
from tests.stage.upstream import say
from tests.stage.visitor import Visitor, get, once, request

HOST = "a.python.example"
_numbers = itertools.count(1)


@pytest.mark.parametrize("name", ANSWERS)
def test_answer(stage: Stage, name: str) -> None:
    answer = ANSWERS[name]
    path = f"/a/{next(_numbers)}"
    stage.upstream.scripts[path] = say(answer.data, end=answer.end)
    probe = get(f"/probe{path}", HOST)
    with Visitor(stage.port) as visitor:
        visitor.send(request(f"{answer.method} {path} HTTP/{answer.version}", f"Host: {HOST}", *answer.fields))
        if answer.torn:
            check_torn(visitor, answer)
        else:
            check_whole(visitor, answer)
            if answer.then == CLOSED:
                assert visitor.rest() == b""
            else:
                assert visitor.ask(probe).body == f"/probe{path}".encode()
    for _ in range(2):
        after = once(stage.port, probe)
        assert (after.status, after.body) == (200, f"/probe{path}".encode())


def check_whole(visitor: Visitor, answer: Answer) -> None:
    for status in answer.interims:
        assert visitor.answer().status == status
    got = visitor.answer(answer.method)
    assert (got.status, got.trailers) == (answer.status, list(answer.trailers)), got.raw
    if answer.status != 502:
        assert got.body == answer.body
        assert ("close" in got.all("connection")) is (answer.then == CLOSED)
    check_head(got, answer)


def check_head(got: Message, answer: Answer) -> None:
    lines = got.raw.decode("latin-1")
    for line in answer.seen:
        assert f"\r\n{line}\r\n" in f"\r\n{lines}"
    for text in answer.unseen:
        assert text not in lines.lower()


def check_torn(visitor: Visitor, answer: Answer) -> None:
    """The visitor sees that the body is not whole: it must not take it for all there is."""
    with pytest.raises((Ended, ConnectionResetError)):
        while (got := visitor.answer(answer.method)).status < 200:
            pass
        assert got.status == 502, "the visitor takes a torn body for a whole one"
        raise Ended(got.raw)
