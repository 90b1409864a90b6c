"""Clients that break the rules: their session ends with a reason that both sides have, and others feel nothing."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from appliance.server import registry as registry_module
from tests.end_to_end.house import House, Upstream, a_house, left_open, until
from tests.end_to_end.peers import BINARY, CLOSE, PING, PONG, TEXT, Client, Peer, connect, offer
from tests.stage.messages import Ended
from tests.stage.visitor import get, request

HOST = "other.example"
POLICY, PROTOCOL_ERROR, TOO_BIG = 1008, 1002, 1009
ID = "0123456789abcdef" * 2


@pytest.fixture
def other(house: House) -> Iterator[Upstream]:
    """Somebody else's upstream, who feels nothing of what a test does."""
    upstream = house.upstream()
    client_id = house.client(f"{HOST}={upstream.url}")
    before = house.session(client_id)
    with_kept = house.visitor()
    assert with_kept.ask(get("/before", HOST)).body == b"/before"
    yield upstream
    for sock in left_open:
        sock.close()
    assert with_kept.ask(get("/after", HOST)).body == b"/after"
    assert house.session(client_id) is before
    until(lambda: len(house.server.registry.sessions()) == 1, "only the other client's session is left")


pytestmark = pytest.mark.usefixtures("other")


def hello(**other: Any) -> bytes:
    return json.dumps({"kind": "hello", "client_id": ID, "version": "1", "upstreams": [], **other}).encode()


def closing(upstreams: Any) -> tuple[int, bytes]:
    return TEXT, hello(upstreams=upstreams)


# ---- before there is a session

FIRST_WORDS: dict[str, tuple[tuple[int, bytes], dict[str, Any], int, str]] = {
    "not UTF-8": ((TEXT, b'{"kind": "\xff"}'), {}, POLICY, "a message is not UTF-8"),
    "not JSON": ((TEXT, b"hello"), {}, POLICY, "a message is not JSON"),
    "deeply nested": ((TEXT, b"[" * 30000), {}, POLICY, "a message is not JSON"),
    "not an object": ((TEXT, b"[]"), {}, POLICY, "a message is not an object"),
    "of an unknown kind": ((TEXT, b'{"kind": "hullo"}'), {}, POLICY, "a message is of an unknown kind"),
    "of the server's kind": ((TEXT, b'{"kind": "welcome"}'), {}, POLICY, "a message is of an unknown kind"),
    "a kind that is a list": ((TEXT, b'{"kind": []}'), {}, POLICY, "a message is of an unknown kind"),
    "an update": ((TEXT, b'{"kind": "update", "upstreams": []}'), {}, POLICY, "the first message is not hello"),
    "binary": ((BINARY, b"bytes"), {}, PROTOCOL_ERROR, "a binary frame came where only messages may"),
    "too large": ((TEXT, b""), {"length": 65537}, TOO_BIG, "a message is over 65536 bytes"),
    "impossibly large": ((TEXT, b""), {"length": 1 << 63}, TOO_BIG, "a frame claims an impossible length"),
    "of an unknown opcode": ((3, b"x"), {}, PROTOCOL_ERROR, "a frame has an unknown opcode or uses reserved bits"),
    "a large ping": ((PING, b""), {"length": 126}, PROTOCOL_ERROR, "a control frame is too long or fragmented"),
    "a fragment of nothing": ((0, b"x"), {}, PROTOCOL_ERROR, "a fragment is out of place"),
    "no client id": ((TEXT, b'{"kind": "hello"}'), {}, POLICY, "hello lacks client_id"),
    "a strange client id": (
        (TEXT, hello(client_id="me")),
        {},
        POLICY,
        "client_id is not 32 hexadecimal digits",
    ),
    "1,001 upstreams": (
        closing([{}] * 1001),
        {},
        POLICY,
        "upstreams is not a list of at most 1000",
    ),
    "upstreams that are none": (closing({"a": 1}), {}, POLICY, "upstreams is not a list of at most 1000"),
    "an upstream that is none": (closing(["a"]), {}, POLICY, "upstreams has an entry that is not an object"),
    "a pattern that is none": (closing([{"pattern": 7, "target": "x"}]), {}, POLICY, "pattern is not a short line"),
    "a name in capitals": (closing([offer("Example.com")]), {}, POLICY, "'Example.com' is not a name that can be"),
    "a name with a port": (closing([offer("a:80")]), {}, POLICY, "an upstream is not understood"),
    "a name with a path": (closing([offer("a/b")]), {}, POLICY, "an upstream is not understood"),
    "a name with a line end": (closing([offer("a\r\nb")]), {}, POLICY, "pattern is not a short line of text"),
    "a name with half a character": (closing([offer("a\ud800")]), {}, POLICY, "pattern is not a short line of text"),
    "a target that is none": (closing([offer("a", "ftp://b")]), {}, POLICY, "an upstream is not understood"),
    "a target, half a character": (closing([offer("a", "http://\ud800")]), {}, POLICY, "target is not a short line"),
    "a Host header with a blank": (closing([offer("a", host_header="b c")]), {}, POLICY, "'b c' is not a Host header"),
    "a Host, half a character": (closing([offer("a", host_header="\udfff")]), {}, POLICY, "host_header is not"),
    "a name twice": (closing([offer("a"), offer("a")]), {}, POLICY, "a is offered twice"),
    "the default twice": (closing([offer(""), offer("")]), {}, POLICY, "* is offered twice"),
}


@pytest.mark.parametrize("name", FIRST_WORDS)
def test_first_words(house: House, caplog: pytest.LogCaptureFixture, name: str) -> None:
    (opcode, payload), odd, code, reason = FIRST_WORDS[name]
    peer = connect(house.control_port, "/connect")
    peer.send(opcode, payload, **odd)
    heard, said = peer.farewell()
    assert (heard, said[: len(reason)]) == (code, reason[:123])
    until(lambda: f" refused: {reason}" in caplog.text, "the server has logged it")


def test_a_frame_without_a_mask(house: House) -> None:
    peer = connect(house.control_port, "/connect")
    peer._masked = False
    peer.send(TEXT, hello())
    assert peer.farewell() == (PROTOCOL_ERROR, "a client's frame is not masked")


def test_a_hello_that_never_comes(
    house: House, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even for one who keeps talking about something else."""
    monkeypatch.setattr(registry_module, "HELLO_SECONDS", 0.2)
    silent, talking = (connect(house.control_port, "/connect") for _ in range(2))

    def talk() -> bool:
        with contextlib.suppress(OSError):
            talking.send(PING, b"x")
        return "no hello came in time" in caplog.text

    until(talk, "the server has had enough")
    assert silent.farewell() == (POLICY, "no hello came in time")


def test_one_who_leaves_before_it_said_hello(house: House, caplog: pytest.LogCaptureFixture) -> None:
    connect(house.control_port, "/connect").close()
    until(lambda: "left before it said hello: the connection has ended" in caplog.text, "the server knows")


# ---- later


@pytest.fixture
def client(house: House) -> Client:
    return Client(house.control_port, offer("bad.example"))


def again(peer: Peer) -> None:
    peer.send(TEXT, hello())


def bad_update(peer: Peer) -> None:
    peer.say("update", upstreams=[offer("a"), offer("a")])


def garbage(peer: Peer) -> None:
    peer.send(TEXT, b"garbage")


def binary(peer: Peer) -> None:
    peer.send(BINARY, b"bytes")


@pytest.mark.parametrize(
    ("say", "code", "reason"),
    [
        (again, POLICY, "hello came twice"),
        (bad_update, POLICY, "a is offered twice"),
        (garbage, POLICY, "a message is not JSON"),
        (binary, PROTOCOL_ERROR, "a binary frame came where only messages may"),
    ],
)
def test_later_words(
    house: House,
    client: Client,
    caplog: pytest.LogCaptureFixture,
    say: Callable[[Peer], None],
    code: int,
    reason: str,
) -> None:
    stream = client.stream()
    until(lambda: house.session(client.client_id) is not None, "it is known")
    say(client.control)
    assert client.control.farewell() == (code, reason)
    assert stream.farewell() == (0, "")  # its streams end with it
    until(lambda: house.session(client.client_id) is None, "its session is over")
    assert f"client {client.client_id} at 127.0.0.1:" in caplog.text
    assert f"is disconnected: {reason}" in caplog.text
    assert house.ask(get("/", "bad.example")).status == 503


def test_a_client_that_leaves(house: House, client: Client, caplog: pytest.LogCaptureFixture) -> None:
    client.control.send(CLOSE, b"\x03\xe9going home")
    until(lambda: f"client {client.client_id} disconnected" in caplog.text, "the server knows")
    assert "going home" in caplog.text
    last, first, *_ = house.server.state.comings.listing()
    assert (first.kind, last.kind) == ("connected", "disconnected") and "going home" in last.detail
    assert first.client_id == last.client_id == client.client_id and first.remote == last.remote


def test_a_client_that_is_disconnected_here(house: House, client: Client) -> None:
    """As by the admin page. Nothing is kept of it: it may come back."""
    disconnect = house.server.state.disconnect
    assert not disconnect("f" * 32)
    assert disconnect(client.client_id)
    assert client.control.farewell()[0] == 1001
    until(lambda: house.session(client.client_id) is None, "its session is over")
    assert not disconnect(client.client_id)
    again = Client(house.control_port, offer("a"), client_id=client.client_id)
    until(lambda: house.session(client.client_id) is not None, "it is back")
    again.close()


def test_a_client_that_says_nothing_any_more(caplog: pytest.LogCaptureFixture) -> None:
    with a_house(heartbeat=0.1) as house:
        client = Client(house.control_port, offer("a"))
        assert client.control.hear()[0] == PING
        until(lambda: not house.server.registry.sessions(), "its session is over", 3)
        assert "it is heard no more" in caplog.text


def test_a_client_that_answers_stays(house: House) -> None:
    with a_house(heartbeat=0.1) as house:
        client = Client(house.control_port, offer("a"))
        client.control.send(PING, b"anybody there?")
        pings = 0
        pongs = []
        while pings < 8:
            opcode, payload = client.control.hear()
            if opcode == PING:
                client.control.send(PONG, payload)
                pings += 1
            elif opcode == PONG:
                pongs.append(payload)
        assert pongs == [b"anybody there?"]
        session = house.session(client.client_id)
        assert session is not None
        until(lambda: session.round_trip_seconds is not None, "the round trip is known")
        client.close()


def test_offers_change_without_reconnecting(house: House, client: Client, caplog: pytest.LogCaptureFixture) -> None:
    assert house.ask(get("/", "unheard.example")).status == 404
    client.control.say("update", upstreams=[offer("unheard.example", "http://127.0.0.1:2", "host")])
    until(lambda: "now offers unheard.example=http://127.0.0.1:2" in caplog.text, "the server knows")
    session = house.session(client.client_id)
    assert session is not None
    assert [upstream.label for upstream in session.upstreams] == ["unheard.example=http://127.0.0.1:2"]
    members = {route.pattern: route.members for route in house.server.router.routes()}
    assert members["bad.example"] == []
    assert [(member.session, member.host_header) for member in members["unheard.example"]] == [(session, b"host")]


def test_names_are_told_apart_by_ids(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """Two clients may have one name; an update says all, the name too."""
    clients = [Client(house.control_port, name="attic <b>") for _ in range(2)]
    sessions = [house.session(client.client_id) for client in clients]
    assert [session.name for session in sessions if session is not None] == ["attic <b>"] * 2
    until(lambda: f"client {clients[1].client_id} (attic <b>) connected from" in caplog.text, "it is logged")
    clients[0].control.say("update", upstreams=[], name="cellar")
    until(lambda: f"client {clients[0].client_id} (attic <b>) is now called cellar" in caplog.text, "it is logged")
    for client in clients:
        client.close()
    until(lambda: f"client {clients[0].client_id} (cellar) disconnected" in caplog.text, "the server knows")
    events = house.server.state.comings.listing()
    assert {event.name for event in events if event.client_id == clients[0].client_id} == {"attic <b>", "cellar"}


def test_a_client_that_offers_nothing(house: House) -> None:
    client = Client(house.control_port)
    assert house.session(client.client_id) is not None
    client.close()


# ---- streams


@pytest.mark.parametrize(
    ("opcode", "payload", "code", "reason"),
    [
        (BINARY, b"bytes that nobody asked for", PROTOCOL_ERROR, "the client sent what nobody asked for"),
        (TEXT, b'{"kind": "finish"}', PROTOCOL_ERROR, "the client ended what had not begun"),
        (TEXT, b'{"kind": "refuse", "reason": "unreachable"}', PROTOCOL_ERROR, "the client sent what nobody asked for"),
        (TEXT, b'{"kind": "open", "upstream": "x"}', PROTOCOL_ERROR, "a message is of an unknown kind"),
        (TEXT, b'{"kind": "finish", "delivered": -1}', PROTOCOL_ERROR, "delivered is not a count"),
        (TEXT, b"\xff", PROTOCOL_ERROR, "a message is not UTF-8"),
        (TEXT, b"x" * 8193, TOO_BIG, "a message is over 8192 bytes"),
        (5, b"", PROTOCOL_ERROR, "a frame has an unknown opcode or uses reserved bits"),
    ],
)
def test_a_client_that_breaks_the_protocol_on_an_idle_stream(
    house: House,
    client: Client,
    caplog: pytest.LogCaptureFixture,
    opcode: int,
    payload: bytes,
    code: int,
    reason: str,
) -> None:
    stream = client.stream()
    stream.send(opcode, payload)
    assert stream.farewell() == (code, reason)
    assert client.control.farewell()[1] == reason
    until(lambda: f"it broke the protocol on a stream: {reason}" in caplog.text, "the server has logged it")


@pytest.mark.parametrize("answered", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"])
@pytest.mark.parametrize(
    ("opcode", "payload"), [(TEXT, b'{"kind": "finish", "delivered": -1}'), (TEXT, b"\xff"), (7, b"")]
)
def test_a_client_that_breaks_the_protocol_within_an_answer(
    house: House, client: Client, answered: bytes, opcode: int, payload: bytes
) -> None:
    stream = client.stream()
    visitor = house.visitor()
    visitor.send(get("/", "bad.example"))
    assert stream.heard("open")["upstream"] == "http://127.0.0.1:1"
    if answered:
        stream.send(BINARY, answered)
        assert visitor.reader.head().status == 200
    stream.send(opcode, payload)
    if answered:
        with pytest.raises((Ended, ConnectionResetError)):
            visitor.reader.exactly(9)
    else:
        assert visitor.answer().status == 502
    assert client.control.farewell()[0] in (POLICY, PROTOCOL_ERROR)


def test_a_client_that_breaks_the_protocol_within_an_upload_and_its_answer(house: House, client: Client) -> None:
    stream = client.stream()
    visitor = house.visitor()
    visitor.send(request("POST / HTTP/1.1", "Host: bad.example", "Content-Length: 9"))
    stream.heard("open")
    stream.send(BINARY, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
    assert visitor.reader.head().status == 200
    stream.send(TEXT, b"?")
    with pytest.raises((Ended, ConnectionResetError)):
        visitor.reader.exactly(1)


def test_a_heartbeat_that_cannot_be_sent(house: House, client: Client) -> None:
    """The channel's reader knows the same, and ends the session."""
    attendance = house.server.registry._by_client[client.client_id]
    attendance._channel._connection.close()
    attendance.ask(1)
    until(lambda: house.session(client.client_id) is None, "its session is over")


def test_a_client_that_closes_its_stream_within_an_answer(house: House, client: Client) -> None:
    stream = client.stream()
    visitor = house.visitor()
    visitor.send(request("POST / HTTP/1.1", "Host: bad.example", "Content-Length: 0"))
    stream.heard("open")
    stream.send(CLOSE, b"\x03\xe8")
    assert visitor.answer().status == 502
    assert house.session(client.client_id) is not None


def test_a_refusal_within_an_answer(house: House, client: Client) -> None:
    stream = client.stream()
    visitor = house.visitor()
    visitor.send(get("/", "bad.example"))
    stream.heard("open")
    stream.send(BINARY, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
    stream.say("refuse", reason="unreachable")
    assert visitor.reader.head().status == 200
    with pytest.raises((Ended, ConnectionResetError)):
        visitor.reader.exactly(9)


@pytest.mark.parametrize(("reason", "status"), [("timeout", 504), ("unreachable", 502), ("what?", 502)])
def test_refusals(house: House, client: Client, reason: str, status: int) -> None:
    """The stream that has brought one is used again."""
    stream = client.stream()
    visitor = house.visitor()
    for _ in range(3):
        visitor.send(get("/", "bad.example"))
        stream.heard("open")
        stream.hear()
        stream.say("refuse", reason=reason)
        assert visitor.answer().status == status
        stream.heard("finish")


@pytest.mark.parametrize("fields", [{"Sluice_Secret": "wrong"}, {"Sluice_Session": "wrong"}, {"Sluice_Secret": ""}])
def test_a_stream_that_belongs_to_no_session(house: House, client: Client, fields: dict[str, str]) -> None:
    with pytest.raises(Exception, match="409 Conflict"):
        client.stream(**fields)
    assert house.pool(client.client_id).resting == 0


def test_a_stream_of_a_session_that_is_over(house: House) -> None:
    client = Client(house.control_port, offer("a"))
    client.close()
    until(lambda: house.session(client.client_id) is None, "its session is over")
    with pytest.raises(Exception, match="409 Conflict"):
        client.stream()


def test_more_streams_than_there_may_be() -> None:
    with a_house(max_connections=3, warm_streams=1) as house:
        client = Client(house.control_port, offer("a"))
        streams = [client.stream() for _ in range(3)]
        assert house.pool(client.client_id).resting == 3
        extra = client.stream()
        assert extra.farewell() == (0, "")
        assert house.pool(client.client_id).resting == 3
        assert all(stream.sock.fileno() >= 0 for stream in streams)


def test_a_client_that_takes_nothing_from_the_server(house: House) -> None:
    """Its successor does not wait for it."""
    former = Client(house.control_port, offer("a"))
    session: Any = house.session(former.client_id)
    attendance = house.server.registry._by_client[former.client_id]
    connection = attendance._channel._connection
    connection._unsent = True  # as while a write waits for a peer that has stopped reading
    Client(house.control_port, offer("a"), client_id=former.client_id)
    until(lambda: house.session(former.client_id) not in (None, session), "the new session has taken over")
    assert session.pool.closed
