"""What the inspectors at both ends say of what went through, against what did."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest

from appliance.transport.stream import Stream
from appliance.tunnel.inspector.edits import Edits, ReplayError
from appliance.tunnel.inspector.record import BROKEN, DONE, HTTP, LEFT, OPEN, UPSTREAM, VISITOR, WEBSOCKET, Record
from appliance.tunnel.inspector.store import ALL, Inspector
from appliance.wire.frames import masked_frame
from tests.end_to_end.house import House, Upstream, until
from tests.stage.upstream import Exchange, say
from tests.stage.visitor import get, request

NAME = "a.example"
SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
)
UPGRADE = get("/ws", NAME, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")


class Scene:
    """A house with one client, and inspectors at both ends. `ends`: of "server" and "client", those that a test
    looks at."""

    def __init__(self, house: House) -> None:
        self.house = house
        assert house.server.state.inspector is not None
        self.server: Inspector = house.server.state.inspector
        self.client = Inspector()
        self.server.switch(ALL, None)
        self.client.switch(ALL, None)
        self.upstream: Upstream = house.upstream()
        self.client_id = house.client(f"{NAME}={self.upstream.url}", inspector=self.client)

    def ended(self, count: int = 1) -> list[tuple[str, list[Record]]]:
        """For each end, its records in order, once so many have ended."""
        found = []
        for where, inspector in (("server", self.server), ("client", self.client)):
            until(lambda: sum(r.state != OPEN for r in inspector.records()) >= count, f"records of the {where}")  # noqa: B023
            found.append((where, inspector.records()[::-1]))
        return found

    def one(self) -> list[tuple[str, Record]]:
        """For each end, the only record."""
        found = self.ended()
        assert [len(records) for _, records in found] == [1, 1]
        return [(where, records[0]) for where, records in found]


@pytest.fixture
def scene(house: House) -> Iterator[Scene]:
    scene = Scene(house)
    yield scene
    for inspector in (scene.server, scene.client):
        held = sum(record.held for record in inspector.records(limit=1000))
        assert inspector.held_bytes == held, "memory is counted right"


def test_a_request_and_its_answer(scene: Scene) -> None:
    body = os.urandom(3000)
    head = request("POST /a?b=c HTTP/1.1", f"Host: {NAME}", "X-Mine: 1", f"Content-Length: {len(body)}")
    answer = scene.house.ask(head + body)
    sent = scene.upstream.recorded[0].message
    for where, record in scene.one():
        assert (record.state, record.why, record.kind) == (DONE, "", HTTP), where
        assert (record.method, record.path, record.name, record.status) == ("POST", "/a?b=c", NAME, 200)
        assert (record.client_id, record.target) == (scene.client_id, scene.upstream.url)
        assert (record.visitor, record.scheme) == ("127.0.0.1", "http")
        assert record.request_id and record.request_id.encode() in sent.raw
        assert record.request.head == sent.raw
        assert bytes(record.request.body) == body
        assert record.request.complete and not record.request.truncated
        assert record.response is not None
        assert bytes(record.response.body) == answer.body == body
        assert record.response.head.startswith(b"HTTP/1.1 200 OK\r\n")
        stages = (record.wait_seconds, record.answer_seconds, record.transfer_seconds)
        assert record.seconds is not None
        assert sum(stage for stage in stages if stage is not None) == pytest.approx(record.seconds, abs=0.05)
        assert all(stage is not None and 0 <= stage <= record.seconds for stage in stages)
        assert (record.link_seconds == 0) == (where == "client"), "an answer comes behind the echo of the ping"
        assert record.link_seconds is not None
        summary = record.summary()
        assert (summary["requestBytes"], summary["responseBytes"], summary["state"]) == (3000, 3000, DONE)


def test_many_on_one_connection_and_pipelined(scene: Scene) -> None:
    visitor = scene.house.visitor()
    visitor.send(b"".join(get(f"/{n}", NAME) for n in range(10)))
    for n in range(10):
        assert visitor.answer().body == b"/%d" % n
    for where, records in scene.ended(10):
        assert [record.path for record in records] == [f"/{n}" for n in range(10)], where
        assert {record.state for record in records} == {DONE}
    assert all(stream.tap is None and type(stream) is Stream for stream in scene.house.pool(scene.client_id)._all)


def test_a_large_body_is_kept_in_part(scene: Scene) -> None:
    body = os.urandom(3_000_000)
    scene.house.ask(request("POST / HTTP/1.1", f"Host: {NAME}", f"Content-Length: {len(body)}") + body)
    for _, record in scene.one():
        assert record.state == DONE
        for part in (record.request, record.response):
            assert part is not None
            assert part.size == 3_000_000 and part.truncated and part.complete
            assert bytes(part.body) == body[: scene.server.max_body_bytes]
        with pytest.raises(ReplayError):
            scene.client.replay(scene.client.records()[0].id)


def test_chunks_with_trailers_and_extensions(scene: Scene) -> None:
    scene.upstream.scripts["/chunks"] = say(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3;x=y\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\nX-Sum: 1\r\n\r\n"
    )
    sent = request("POST /chunks HTTP/1.1", f"Host: {NAME}", "Transfer-Encoding: chunked")
    scene.house.ask(sent + b"1\r\nx\r\n2;e\r\nyz\r\n0\r\nX-Own: 2\r\n\r\n")
    for _, record in scene.one():
        assert record.state == DONE
        assert bytes(record.request.body) == b"xyz" and record.request.trailers == (b"X-Own: 2",)
        assert record.response is not None
        assert bytes(record.response.body) == b"abc0123456789abcdef"
        assert record.response.trailers == (b"X-Sum: 1",)


@pytest.mark.parametrize(
    ("first", "answer", "size"),
    [
        ("HEAD / HTTP/1.1", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", 0),
        ("GET / HTTP/1.1", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", 0),
        ("GET / HTTP/1.1", b"HTTP/1.1 204 No Content\r\n\r\n", 0),
        ("GET / HTTP/1.1", b"HTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 2),
        ("GET / HTTP/1.1", b"HTTP/1.1 200 OK\r\n\r\nuntil the end", 13),
        ("GET / HTTP/1.0", b"HTTP/1.0 200 OK\r\n\r\nold", 3),
    ],
)
def test_kinds_of_answers(scene: Scene, first: str, answer: bytes, size: int) -> None:
    scene.upstream.scripts["/"] = say(answer, end="close")
    got = scene.house.ask(request(first, f"Host: {NAME}"))
    for where, record in scene.one():
        assert (record.state, record.why) == (DONE, ""), where
        assert record.status == got.status
        assert record.response is not None and record.response.size == size
        assert record.interim == ([103] if b" 103 " in answer else [])


def test_expect_100_continue(scene: Scene) -> None:
    def asked(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        exchange.answer(exchange.read_body())

    scene.upstream.scripts["/"] = asked
    visitor = scene.house.visitor()
    visitor.send(request("PUT / HTTP/1.1", f"Host: {NAME}", "Expect: 100-continue", "Content-Length: 4"))
    assert visitor.answer().status == 100
    visitor.send(b"body")
    assert visitor.answer().body == b"body"
    for _, record in scene.one():
        assert (record.state, record.interim, bytes(record.request.body)) == (DONE, [100], b"body")


def test_an_answer_before_the_upload_is_whole(scene: Scene) -> None:
    scene.upstream.scripts["/"] = say(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n", read=False, end="close")
    visitor = scene.house.visitor()
    visitor.send(request("POST / HTTP/1.1", f"Host: {NAME}", "Content-Length: 100000") + bytes(1000))
    assert visitor.answer().status == 413
    visitor.sock.close()
    for where, record in scene.one():
        assert (record.state, record.status) == (DONE, 413), where
        assert "before all of the request" in record.why
        assert record.request.size == 1000 and not record.request.complete


# What goes wrong


def test_the_visitor_leaves(scene: Scene) -> None:
    scene.upstream.scripts["/slow"] = lambda exchange: exchange.gone() and None
    visitor = scene.house.visitor()
    visitor.send(get("/slow", NAME))
    until(lambda: scene.upstream.recorded, "the upstream is asked")
    visitor.reset()
    for where, record in scene.one():
        assert record.state == LEFT and "visitor" in record.why and record.status is None, where


def test_the_visitor_leaves_within_its_upload(scene: Scene) -> None:
    visitor = scene.house.visitor()
    visitor.send(request("POST / HTTP/1.1", f"Host: {NAME}", "Content-Length: 100000") + bytes(1000))
    until(lambda: scene.upstream.recorded, "the upstream is asked")
    visitor.reset()
    for where, record in scene.one():
        assert record.state == LEFT and "visitor" in record.why, where
        assert record.request.size == 1000 and not record.request.complete


@pytest.mark.parametrize("end", ["close", "reset"])
def test_the_upstream_breaks_off(scene: Scene, end: str) -> None:
    scene.upstream.scripts["/"] = say(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", end=end)
    visitor = scene.house.visitor()
    visitor.send(get("/", NAME))
    visitor.rest()
    for where, record in scene.one():
        assert record.state == BROKEN and "upstream" in record.why, (where, record.why)
        assert record.status == 200
        assert record.response is not None and bytes(record.response.body) == b"half"


def test_an_answer_that_is_not_understood(scene: Scene) -> None:
    scene.upstream.scripts["/"] = say(b"HTTP/9 rubbish\r\n\r\n", end="close")
    assert scene.house.ask(get("/", NAME)).status == 502
    (_, ours), (_, theirs) = scene.one()
    assert (ours.state, ours.status, ours.edge) == (DONE, 502, True)
    assert "malformed" in ours.why and "not understood" in ours.why
    assert (theirs.state, theirs.status) == (BROKEN, None)
    assert theirs.why.startswith("not understood: ")


def test_malformed_chunks(scene: Scene) -> None:
    scene.upstream.scripts["/"] = say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", end="close")
    visitor = scene.house.visitor()
    visitor.send(get("/", NAME))
    visitor.rest()
    for where, record in scene.one():
        assert record.state == BROKEN and "chunk" in record.why, where


def test_an_upstream_that_is_not_there(scene: Scene) -> None:
    scene.upstream.close()
    answer = scene.house.ask(get("/x", NAME))
    assert answer.status == 502
    (_, ours), (_, theirs) = scene.one()
    assert (ours.state, ours.status, ours.edge) == (DONE, 502, True)
    assert ours.why == "not reached (unreachable)"
    assert ours.response is not None and ours.response.head + bytes(ours.response.body) == answer.raw + answer.body
    assert (theirs.state, theirs.why) == (BROKEN, "the upstream was not reached (unreachable)")
    assert theirs.path == "/x"


def test_names_without_a_client(scene: Scene) -> None:
    assert scene.house.ask(get("/", "unknown.example")).status == 404
    scene.house.stop_client()
    assert scene.house.ask(request("POST /gone HTTP/1.1", f"Host: {NAME}", "Content-Length: 2") + b"hi").status == 503
    unknown, gone = scene.server.records()[::-1]
    assert (unknown.name, unknown.status, unknown.edge, unknown.state) == ("unknown.example", 404, True, DONE)
    assert (gone.name, gone.status, gone.target, gone.client_id) == (NAME, 503, "", "")
    assert bytes(gone.request.body) == b"hi" and gone.request.field(b"x-forwarded-for") == b"127.0.0.1"
    assert gone.wait_seconds is None and gone.seconds is not None


def test_a_request_that_is_tried_again(scene: Scene) -> None:
    """The first client's upstream is not there; the second's is."""
    dead = scene.house.upstream()
    dead.close()
    scene.house.client(f"b.example={dead.url}")
    second = scene.house.client(f"b.example={scene.upstream.url}", inspector=scene.client)
    body = b"x" * 5000
    for _ in range(2):  # turns are taken: one of them begins with the dead one
        head = request("POST /b HTTP/1.1", "Host: b.example", f"Content-Length: {len(body)}")
        assert scene.house.ask(head + body).body == body
    records = scene.server.records(name="b.example")
    assert [record.state for record in records] == [DONE, DONE]
    assert sorted(len(record.tries) for record in records) == [0, 1]
    retried = next(record for record in records if record.tries)
    assert retried.tries == [f"{dead.url}: not reached (unreachable)"]
    assert (retried.client_id, retried.target) == (second, scene.upstream.url)
    assert bytes(retried.request.body) == body


# After an upgrade


def socket_script(frames: bytes, end: bool = False) -> Callable[[Exchange], None]:
    def script(exchange: Exchange) -> None:
        exchange.send(SWITCHING + frames)
        exchange.keep = False
        if not end:
            exchange.reader.rest()

    return script


def text_frame(data: bytes, first: int = 0x81) -> bytes:
    return (
        bytes((first, len(data))) + data
        if len(data) < 126
        else b"%c%c%b%b"
        % (
            first,
            126,
            len(data).to_bytes(2, "big"),
            data,
        )
    )


def test_websocket_messages(scene: Scene) -> None:
    packer = zlib.compressobj(wbits=-15)
    packed = (packer.compress(b"squeezed " * 50) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
    scene.upstream.scripts["/ws"] = socket_script(
        text_frame(b"hello")
        + text_frame(packed, 0xC1)
        + text_frame(b"par", 0x01)
        + b"\x89\x01p"
        + text_frame(b"ts", 0x80)
    )
    visitor = scene.house.visitor()
    visitor.send(UPGRADE)
    assert visitor.answer().status == 101
    visitor.send(masked_frame(1, b"from the visitor", b"abcd"))
    visitor.send(masked_frame(8, b"\x03\xe8bye", b"wxyz"))
    for inspector in (scene.server, scene.client):
        until(lambda: len(inspector.records()[0].messages) == 6, "messages")  # noqa: B023
        assert inspector.records()[0].state == OPEN
    visitor.sock.close()
    for where, record in scene.one():
        assert (record.kind, record.state, record.status) == (WEBSOCKET, DONE, 101), (where, record.why)
        theirs = [(m.kind, m.data) for m in record.messages if m.sender == UPSTREAM]
        assert theirs == [("text", b"hello"), ("text", b"squeezed " * 50), ("ping", b"p"), ("text", b"parts")]
        ours = [(m.kind, m.data) for m in record.messages if m.sender == VISITOR]
        assert ours == [("text", b"from the visitor"), ("close", b"\x03\xe8bye")]
        assert record.messages_dropped == 0


def test_a_websocket_that_speaks_no_websocket(scene: Scene) -> None:
    scene.upstream.scripts["/ws"] = socket_script(b"\xff" * 1000, end=True)
    visitor = scene.house.visitor()
    visitor.send(UPGRADE)
    assert visitor.answer().status == 101
    assert visitor.rest() == b"\xff" * 1000  # the visitor gets it all the same
    visitor.sock.close()
    for where, record in scene.one():
        assert record.kind == WEBSOCKET and "messages of the upstream were not understood" in record.why, where
        assert record.response is not None and record.response.size == 1000


# Again


def replayed(inspector: Inspector, number: int, edits: Edits | None = None) -> Record:
    again = inspector.get(inspector.replay(number, edits))
    assert again is not None and again.replay_of == number
    until(lambda: again.state != OPEN, "the replay ends")
    return again


@pytest.mark.parametrize("where", ["server", "client"])
def test_replay_as_it_was(scene: Scene, where: str) -> None:
    body = os.urandom(20_000)
    scene.house.ask(request("POST /x?y HTTP/1.1", f"Host: {NAME}", "X-A: b", f"Content-Length: {len(body)}") + body)
    scene.ended()
    inspector: Inspector = getattr(scene, where)
    original = inspector.records()[0]
    again = replayed(inspector, original.id)
    assert (again.state, again.why, again.status, again.path) == (DONE, "", 200, "/x?y")
    assert bytes(again.request.body) == body
    assert again.response is not None and bytes(again.response.body) == body
    first, second = (recorded.message for recorded in scene.upstream.requests("/x"))
    changing = {"x-request-id", "content-length"}
    fields = [{n.lower(): v for n, v in m.fields if n.decode().lower() not in changing} for m in (first, second)]
    assert fields[0] == fields[1]
    assert second.body == body


@pytest.mark.parametrize("where", ["server", "client"])
def test_replay_edited(scene: Scene, where: str) -> None:
    scene.house.ask(get("/x", NAME, "X-A: b"))
    scene.ended()
    inspector: Inspector = getattr(scene, where)
    inspector.switch_off(ALL)  # a replay is recorded all the same
    headers = ((b"Host", NAME.encode()), (b"X-A", b"other"), (b"Content-Length", b"999"))
    edits = Edits(method=b"PUT", path=b"/changed?q", headers=headers, body=b"new")
    again = replayed(inspector, inspector.records()[0].id, edits)
    assert (again.state, again.method, again.path) == (DONE, "PUT", "/changed?q")
    sent = scene.upstream.requests("/changed")[0].message
    assert (sent.method, sent.body, sent.one("x-a"), sent.one("content-length")) == ("PUT", b"new", "other", "3")
    assert again.response is not None and bytes(again.response.body) == b"new"


@pytest.mark.parametrize("where", ["server", "client"])
def test_replay_to_nobody(scene: Scene, where: str) -> None:
    scene.house.ask(get("/x", NAME))
    scene.ended()
    scene.upstream.close()
    inspector: Inspector = getattr(scene, where)
    again = replayed(inspector, 1)
    assert again.path == "/x"
    assert (again.state, again.status) == ((DONE, 502) if where == "server" else (BROKEN, None))
    assert "unreachable" in again.why or "not reached" in again.why


def test_replay_of_an_answer_that_breaks_off(scene: Scene) -> None:
    def endless(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
        exchange.gone(30)
        exchange.keep = False

    scene.upstream.scripts["/"] = endless
    visitor = scene.house.visitor()
    visitor.send(get("/", NAME))
    replays = []
    for inspector in (scene.server, scene.client):
        until(lambda: inspector.records() and inspector.records()[0].status == 200, "the answer begins")  # noqa: B023
        again = inspector.get(inspector.replay(inspector.records()[0].id))
        assert again is not None
        until(lambda: again.response is not None and again.response.size == 1, "it is sent again")  # noqa: B023
        replays.append(again)
    scene.upstream.drop_connections()
    for again in replays:
        until(lambda: again.state != OPEN, "it ends")  # noqa: B023
        assert again.state == BROKEN and "upstream" in again.why


# On and off


def test_only_what_is_switched_on_is_recorded(house: House) -> None:
    inspector = house.server.state.inspector
    assert inspector is not None
    upstream = house.upstream()
    house.client(f"a.example={upstream.url}", f"b.example={upstream.url}")
    house.ask(get("/1", "a.example"))
    inspector.switch("a.example", 900)
    house.ask(get("/2", "a.example"))
    house.ask(get("/3", "b.example"))
    house.client(f"c.example={upstream.url}")  # routes that come later, too
    inspector.switch("c.example", 900)
    house.ask(get("/4", "c.example"))
    inspector.switch_off("a.example")
    house.ask(get("/5", "a.example"))
    assert [record.path for record in inspector.records()] == ["/4", "/2"]
    inspector._names["c.example"] = (None, 0.0)  # its time is over
    inspector._next_end = 0.0
    house.ask(get("/6", "c.example"))
    assert inspector.count == 2 and inspector.names() == {}
    assert not any(route.inspected for route in house.server.router.routes())  # type: ignore[union-attr]


def test_nothing_that_listens_disturbs_the_visitor(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: Any) -> None:
        raise RuntimeError("as a fault of ours would")

    monkeypatch.setattr("appliance.tunnel.inspector.dialogue.parse_response", crash)
    scene.server.subscribe(crash)
    for n in range(3):
        assert scene.house.ask(get(f"/{n}", NAME)).body == b"/%d" % n
    assert {record.why for record in scene.server.records()} == {"not understood: the inspector crashed"}


def test_hundreds_of_open_uploads_stay_within_the_memory(house: House) -> None:
    inspector = house.server.state.inspector
    assert inspector is not None
    inspector.max_bytes, inspector.max_records = 2_000_000, 50
    inspector.switch(ALL, None)
    upstream = house.upstream()
    house.client(f"a.example={upstream.url}")
    visitors = [house.visitor() for _ in range(100)]
    for visitor in visitors:
        visitor.send(request("POST / HTTP/1.1", "Host: a.example", "Transfer-Encoding: chunked"))
    until(lambda: len(upstream.recorded) == 100, "all are under way")
    for visitor in visitors:
        visitor.send(b"186a0\r\n" + bytes(100_000) + b"\r\n")
    gevent.sleep(0)
    until(lambda: inspector.dropped >= 80, "the oldest have gone")
    assert inspector.held_bytes <= inspector.max_bytes
    assert inspector.count <= 50
    for visitor in visitors:
        visitor.send(b"0\r\n\r\n")
        assert len(visitor.answer().body) == 100_000
    held = sum(record.held for record in inspector.records(limit=1000))
    assert held == inspector.held_bytes
