"""Recorded requests sent again from the edge's own door."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.certificates.store import Store
from appliance.server import replay
from appliance.tunnel.inspector.edits import Edits
from appliance.tunnel.inspector.record import BROKEN, DONE, OPEN, Record
from appliance.tunnel.inspector.store import ALL, TOO_LONG, Inspector
from tests.end_to_end.house import House, until
from tests.end_to_end.secured import SecureVisitor, a_secure_house, put, trusting
from tests.stage.authority import Authority
from tests.stage.upstream import Exchange
from tests.stage.visitor import get, request


def inspector_of(house: House) -> Inspector:
    inspector = house.server.state.inspector
    assert inspector is not None
    inspector.switch(ALL, None)
    return inspector


def again(inspector: Inspector, edits: Edits | None = None) -> Record:
    """The first request, once more."""
    record = inspector.get(inspector.replay(1, edits))
    assert record is not None
    until(lambda: record.state != OPEN, "the replay ends")
    return record


def test_the_visitors_host_is_asked_for_again_unless_it_was_changed(house: House) -> None:
    upstream = house.upstream()
    house.client(f"a.example={upstream.url}", f"b.example={upstream.url}", host_header="inner.example")
    inspector = inspector_of(house)
    house.ask(get("/x", "a.example"))
    shown = tuple(inspector.records()[0].request.fields)
    assert (b"Host", b"inner.example") in shown
    cases = {None: "a.example", b"inner.example": "a.example", b"b.example": "b.example"}
    for host, name in cases.items():
        kept = tuple(field for field in shown if field[0] != b"Host")
        edits = None if host is None else Edits(headers=((b"Host", host), *kept))
        assert (again(inspector, edits).name, upstream.recorded[-1].message.one("x-forwarded-host")) == (
            "a.example",
            name,
        )


def test_what_the_edge_says_of_the_visitor_is_said_once(house: House) -> None:
    """Also where a proxy in front had told us who it is: it is the same visitor, and no loop."""
    upstream = house.upstream()
    house.client(f"a.example={upstream.url}")
    inspector = inspector_of(house)
    house.ask(get("/x", "a.example", "X-Forwarded-For: 6.6.6.6"))
    inspector.records()[0].visitor, inspector.records()[0].scheme = "203.0.113.9", "https"
    record = again(inspector)
    assert (record.state, record.status) == (DONE, 200)
    sent = upstream.recorded[-1].message
    assert (sent.one("x-forwarded-for"), sent.one("x-forwarded-proto")) == ("203.0.113.9", "https")
    assert sent.one("x-request-id") != upstream.recorded[0].message.one("x-request-id")
    assert sent.one("cdn-loop") == upstream.recorded[0].message.one("cdn-loop")
    assert (record.visitor, record.scheme) == ("203.0.113.9", "https")


def test_by_https(tmp_path: Path) -> None:
    authority, store = Authority(tmp_path), Store()
    put(store, authority.issue("a.example"))
    with a_secure_house(store) as house:
        upstream = house.upstream()
        house.client(f"a.example={upstream.url}")
        inspector = inspector_of(house)
        visitor = SecureVisitor(house.https_port, trusting(authority), "a.example")
        house.visitors.append(visitor)
        assert visitor.ask(get("/x", "a.example")).status == 200
        assert inspector.records()[0].scheme == "https"
        assert again(inspector).status == 200
        assert upstream.recorded[-1].message.one("x-forwarded-proto") == "https"


def test_an_answer_without_end_is_given_up(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(exchange: Exchange) -> None:
        exchange.answer()
        exchange.head = exchange.reader.head()  # the replay comes on the same connection
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
        exchange.gone(30)
        exchange.keep = False

    monkeypatch.setattr(replay, "REPLAY_SECONDS", 0.3)
    upstream = house.upstream()
    upstream.scripts["/x"] = endless
    house.client(f"a.example={upstream.url}")
    inspector = inspector_of(house)
    house.ask(get("/x", "a.example"))
    record = again(inspector)
    assert (record.state, record.why, record.status) == (BROKEN, TOO_LONG, 200)


def test_an_upload_that_nobody_reads(house: House) -> None:
    """The answer comes all the same."""
    upstream = house.upstream()
    house.client(f"a.example={upstream.url}")
    inspector = inspector_of(house)
    body = bytes(900_000)
    house.ask(request("POST /x HTTP/1.1", "Host: a.example", f"Content-Length: {len(body)}") + body)

    def deaf(exchange: Exchange) -> None:
        exchange.answer(b"no", "413 Too Large")
        exchange.gone(30)
        exchange.keep = False

    upstream.scripts["/x"] = deaf
    record = again(inspector)
    assert (record.state, record.status) == (DONE, 413)
