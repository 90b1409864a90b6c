"""Raw bytes against the edge: what visitors are answered, and whether edge and upstream counted alike."""

from __future__ import annotations

import itertools

import pytest

from tests.conformance.cases import CASES, CLOSED, OPEN, Case
from tests.conformance.conftest import Stage
from tests.conformance.witnesses import NginxWitness, Witness
from tests.stage.messages import Message
from tests.stage.process import eventually
from tests.stage.tunnel import TOKEN
from tests.stage.upstream import MARK
from tests.stage.visitor import Visitor, get, once

_numbers = itertools.count(1)


def visit(stage: Stage, case: Case, sent: bytes, statuses: tuple[int, ...], probe: bytes) -> list[Message]:
    """Send the bytes of a case; gives the answers, having seen what became of the connection."""
    with Visitor(stage.port) as visitor:
        visitor.send(sent)
        methods = itertools.chain(case.methods, itertools.repeat("GET"))
        answers = [visitor.final_answer(method) for method, _ in zip(methods, statuses, strict=False)]
        assert tuple(answer.status for answer in answers) == statuses, [answer.raw for answer in answers]
        if case.then == CLOSED:
            assert visitor.rest() == b""
            assert answers[-1].one("connection") == "close"
        elif case.then == OPEN:
            assert visitor.ask(probe).status == 200
    return answers


@pytest.mark.parametrize("witness", ["python", "nginx"])
@pytest.mark.parametrize("name", CASES)
def test_case(stage: Stage, name: str, witness: str) -> None:
    case = CASES[name]
    upstream: Witness = getattr(stage, witness)
    label = f"c{next(_numbers)}."
    host = f"{label}{witness}.example"
    sent = case.sent.replace(b"{HOST}", host.upper().encode()).replace(b"HOST", host.encode())
    sent = sent.replace(b"OTHER", b"other.example").replace(b"TOKEN", TOKEN.encode())
    statuses = case.nginx if case.nginx and witness == "nginx" else case.statuses
    probe = get(f"/probe/{label}", f"probe.{witness}.example")
    strays = upstream.strays()

    answers = visit(stage, case, sent, statuses, probe)

    # whatever may still be on its way to the upstream would spoil the next request there
    after = once(stage.port, probe)
    assert (after.status, after.one(MARK)) == (200, witness)
    forwarded = case.statuses.count(200) if case.forwarded is None else case.forwarded
    marked = [answer for answer in answers if answer.one(MARK) == witness]
    assert len(marked) == forwarded
    if witness == "nginx":
        check_log(stage.nginx, label, strays, marked, case.torn)
    else:
        assert upstream.whole(label) == forwarded
        assert upstream.begun(label) <= case.torn
        assert upstream.strays() == strays
        check_what_was_seen(case, stage.python.requests(label), host)


def check_log(nginx: NginxWitness, label: str, strays: int, marked: list[Message], torn: int) -> None:
    """nginx has logged what it answered and nothing else. What it calls malformed, it logs without a name."""
    refused = [answer for answer in marked if answer.status == 400]

    def logged() -> int:
        return nginx.whole(label) + nginx.strays() - strays

    eventually(lambda: logged() >= len(marked), "nginx writes its log", seconds=5)  # it answers before
    assert logged() <= len(marked) + torn
    assert nginx.strays() - strays <= len(refused)


def check_what_was_seen(case: Case, requests: list[Message], host: str) -> None:
    """What the recording upstream got, against the row of the table."""
    if case.bodies is not None:
        assert tuple(request.body for request in requests) == case.bodies
    for request in requests:
        check_forwarding_fields(request, host)
    assert len({request.one("x-request-id") for request in requests}) == len(requests)
    if not requests:
        assert not case.seen and not case.unseen and not case.trailers
        return
    raw = requests[0].raw.decode("latin-1")
    for line in case.seen:
        expected = line.replace("{HOST}", host.upper()).replace("HOST", host).replace("TOKEN", TOKEN)
        assert f"\r\n{expected}\r\n" in f"\r\n{raw}"
    for text in case.unseen:
        assert text not in raw.lower().replace(host.lower(), "")  # its name says nothing about the request
    assert tuple(requests[0].trailers) == case.trailers


def check_forwarding_fields(request: Message, host: str) -> None:
    """Every request is one of HTTP/1.1, and has the edge's own fields once."""
    assert request.first_line.endswith(b" HTTP/1.1")
    assert request.one("x-forwarded-for") == "127.0.0.1"
    assert request.one("x-forwarded-proto") == "http"
    assert (request.one("x-forwarded-host") or "").lower().startswith(host)
    assert request.one("x-request-id")


def test_the_table_covers_what_was_promised() -> None:
    assert len(CASES) >= 80
    assert len({case.sent for case in CASES.values()}) >= len(CASES) - 6  # and says little twice
