"""The client's end of a stream, spoken to frame by frame by a server that may be odd."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from gevent import socket
from gevent.event import Event

from appliance.client.upstream import Upstreams
from appliance.transport.connection import Connection
from appliance.transport.stream import Stream
from appliance.tunnel.carrier import Carrier
from appliance.wire.address import parse_upstreams
from tests.end_to_end.house import PATIENCE_SECONDS, Counts, Upstream, listener, until
from tests.end_to_end.peers import BINARY, CLOSE, PING, PONG, TEXT, Peer
from tests.stage.messages import Reader
from tests.stage.upstream import Exchange
from tests.stage.visitor import get

REQUEST = get("/", "a")


class Stage:
    """A carrier whose stream a test holds at the other end."""

    def __init__(self, carrier: Carrier, peer: Peer, upstream: Upstream) -> None:
        self.carrier = carrier
        self.peer = peer
        self.upstream = upstream
        self.running = gevent.spawn(carrier.serve)

    def open(self, data: bytes = REQUEST, target: str | None = None) -> None:
        self.peer.say("open", upstream=self.upstream.url if target is None else target, visitor="1.2.3.4:5")
        if data:
            self.peer.send(BINARY, data)

    def message(self, opcode: int = TEXT) -> Any:
        heard, payload = self.peer.hear()
        assert heard == opcode, payload
        return json.loads(payload) if opcode == TEXT else payload

    def answer(self) -> bytes:
        """The bytes of a whole answer with Content-Length."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.message(BINARY)
        head, _, body = data.partition(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(body) < size:
            body += self.message(BINARY)
        return body

    def ended(self) -> None:
        """The carrier is through, and has let go of its upstream."""
        self.running.get(timeout=PATIENCE_SECONDS)
        assert self.carrier.idle
        assert self.carrier._stream.connection.closed
        until(lambda: self.upstream.open_connections == 0, "the upstream's connection ends")


@pytest.fixture
def stage() -> Iterator[Stage]:
    gevent.get_hub().threadpool.apply(int)
    counts = Counts()
    upstream = Upstream()
    with listener() as there:
        far = socket.create_connection(there.getsockname(), PATIENCE_SECONDS)
        near, _ = there.accept()
    upstreams = Upstreams(parse_upstreams([upstream.url, "gone=http://127.0.0.1:1"]), no_directories, 5.0)
    carrier = Carrier(Stream(Connection(near, "server"), server=False, plain=True), upstreams.dial)
    stage = Stage(carrier, Peer(far, Reader(far), masked=False), upstream)
    yield stage
    far.close()
    stage.ended()
    upstream.close()
    counts.check()


def no_directories(path: str, browse: bool) -> Any:
    raise AssertionError(path)


def test_visitor_after_visitor(stage: Stage) -> None:
    for _ in range(3):
        assert stage.carrier.idle
        stage.open()
        assert stage.answer() == b"/"
        assert not stage.carrier.idle
        stage.peer.say("finish")
        assert stage.message() == {"kind": "finish", "delivered": len(REQUEST), "reset": False}
    assert stage.upstream.connections == 3


def test_the_upstream_s_connection_is_kept(stage: Stage) -> None:
    stage.open()
    assert stage.answer() == b"/"
    stage.peer.send(BINARY, REQUEST)
    assert stage.answer() == b"/"
    stage.upstream.drop_connections()
    assert stage.message() == {"kind": "finish", "delivered": 2 * len(REQUEST), "reset": False}
    stage.peer.say("finish")
    stage.open()
    assert stage.answer() == b"/"
    assert stage.upstream.connections == 2


def test_each_direction_ends_on_its_own(stage: Stage) -> None:
    received: list[bytes] = []

    def script(exchange: Exchange) -> None:
        exchange.keep = False
        exchange.sock.shutdown(1)
        received.append(exchange.reader.rest())

    stage.upstream.scripts["/"] = script
    stage.open()
    assert stage.message()["kind"] == "finish"
    for _ in range(3):
        stage.peer.send(BINARY, b"still heard, ")
    stage.peer.say("finish")
    until(lambda: received, "the upstream has heard the end")
    assert received == [b"still heard, " * 3]
    until(lambda: stage.carrier.idle, "it is idle")


def test_an_upstream_that_has_gone_when_the_visitor_ends(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.open()
    stage.answer()
    upstream: Any = stage.carrier._upstream

    def gone(self: Connection) -> None:
        raise ConnectionResetError

    with monkeypatch.context() as patch:
        patch.setattr(Connection, "shutdown_write", gone)
        stage.peer.say("finish")
        until(lambda: not stage.carrier._upward, "it has heard the end")
    stage.upstream.drop_connections()
    assert stage.message()["kind"] == "finish"
    assert upstream.closed


def test_the_other_direction_first(stage: Stage) -> None:
    def script(exchange: Exchange) -> None:
        exchange.keep = False
        exchange.send(exchange.reader.rest() + b" and good bye")

    stage.upstream.scripts["/"] = script
    stage.open()
    stage.peer.send(BINARY, b"last words")
    stage.peer.say("finish")
    assert stage.message(BINARY) == b"last words and good bye"
    assert stage.message() == {"kind": "finish", "delivered": len(REQUEST) + 10, "reset": False}


def test_an_upstream_that_resets(stage: Stage) -> None:
    """It must not look like an end; the stream itself is none the worse for it."""
    stage.upstream.scripts["/"] = lambda exchange: exchange.reset()
    stage.open()
    assert stage.message() == {"kind": "finish", "delivered": len(REQUEST), "reset": True}
    stage.peer.send(BINARY, b"into the void")
    stage.peer.say("finish")
    stage.open(get("/next", "a"))
    assert stage.answer() == b"/next"


@pytest.mark.parametrize("how", ["closes", "resets"])
def test_a_short_answer_and_its_end_go_together(stage: Stage, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Whether it ended well or not. One record less, and one wake-up at the other end."""
    ended, carried = Event(), []

    def script(exchange: Exchange) -> None:
        exchange.send(b"short")
        exchange.close() if how == "closes" else exchange.reset()
        ended.set()

    begin = Connection._readable

    def once_it_has_ended(self: Connection) -> None:
        if self.on_idle is None or ended.is_set():  # till then the loop comes back: the bytes are still there
            begin(self)

    def write(self: Stream, data: bytes) -> None:
        carried.append(bytes(data))

    monkeypatch.setattr(Connection, "_readable", once_it_has_ended)
    monkeypatch.setattr(Stream, "write", write)
    stage.upstream.scripts["/"] = script
    stage.open()
    assert stage.message(BINARY) == b"short"
    assert stage.message() == {"kind": "finish", "delivered": len(REQUEST), "reset": how == "resets"}
    assert carried == []
    stage.peer.say("finish")


def test_an_answer_that_does_not_end_at_once_does_not_wait(stage: Stage) -> None:
    more = Event()

    def script(exchange: Exchange) -> None:
        exchange.send(b"short")
        assert more.wait(PATIENCE_SECONDS)
        exchange.send(b", and more")
        exchange.close()

    stage.upstream.scripts["/"] = script
    stage.open()
    assert stage.message(BINARY) == b"short"
    more.set()
    assert stage.message(BINARY) == b", and more"
    assert stage.message()["kind"] == "finish"
    stage.peer.say("finish")


def test_an_upstream_that_takes_no_more(stage: Stage) -> None:
    def script(exchange: Exchange) -> None:
        exchange.answer(b"enough")
        exchange.close()

    stage.upstream.scripts["/"] = script
    stage.open()
    assert stage.answer() == b"enough"
    assert stage.message()["kind"] == "finish"
    for _ in range(50):
        stage.peer.send(BINARY, bytes(65536))
    stage.peer.say("finish")
    until(lambda: stage.carrier.idle, "it is idle")
    stage.open(get("/next", "a"))
    assert stage.answer() == b"/next"


@pytest.mark.parametrize(
    ("target", "reason"),
    [("http://127.0.0.1:1", "unreachable"), ("http://127.0.0.1:2", "not-allowed"), ("nonsense", "not-allowed")],
)
def test_refusals(stage: Stage, target: str, reason: str) -> None:
    for _ in range(2):
        stage.open(target=target)
        stage.peer.send(BINARY, b"more of it")
        assert stage.message() == {"kind": "refuse", "reason": reason, "detail": ""}
        assert stage.carrier.idle
        stage.peer.say("finish")
    stage.open()
    assert stage.answer() == b"/"


def test_bytes_for_nobody(stage: Stage) -> None:
    stage.peer.send(BINARY, b"what is this")
    stage.peer.say("finish")
    stage.open()
    assert stage.answer() == b"/"


def test_pings(stage: Stage) -> None:
    stage.peer.send(PING, b"1")
    assert stage.message(PONG) == b"1"
    stage.open(b"")
    stage.peer.send(PING, b"2")
    assert stage.message(PONG) == b"2"
    stage.peer.send(PONG, b"unasked")
    stage.peer.send(BINARY, REQUEST)
    assert stage.answer() == b"/"


ODD: dict[str, tuple[int, bytes, dict[str, Any], str]] = {
    "garbage": (TEXT, b"garbage", {}, "a message is not JSON"),
    "not UTF-8": (TEXT, b"\xff", {}, "a message is not UTF-8"),
    "a control message": (TEXT, b'{"kind":"grow","count":1}', {}, "a message is of an unknown kind"),
    "no upstream": (TEXT, b'{"kind":"open"}', {}, "open lacks upstream"),
    "too much": (TEXT, b"", {"length": 8193}, "a message is over 8192 bytes"),
    "an odd frame": (6, b"", {}, "a frame has an unknown opcode or uses reserved bits"),
}


@pytest.mark.parametrize("opened", [True, False], ids=["open", "idle"])
@pytest.mark.parametrize("name", ODD)
def test_a_server_that_breaks_the_protocol(
    stage: Stage, name: str, opened: bool, caplog: pytest.LogCaptureFixture
) -> None:
    opcode, payload, odd, reason = ODD[name]
    if opened:
        stage.open()
        stage.answer()
    stage.peer.send(opcode, payload, **odd)
    assert stage.peer.farewell() == (1009 if "over" in reason else 1002, reason)
    assert f"the peer broke the protocol on a stream: {reason}" in caplog.text
    stage.ended()


def test_opened_twice(stage: Stage) -> None:
    stage.open()
    stage.open()
    assert stage.peer.farewell() == (1002, "a stream was opened twice")


def test_a_masked_frame(stage: Stage) -> None:
    stage.peer._masked = True
    stage.open()
    assert stage.peer.farewell() == (1002, "a server's frame is masked")


@pytest.mark.parametrize("opened", [True, False], ids=["open", "idle"])
def test_a_server_that_closes(stage: Stage, opened: bool) -> None:
    if opened:
        stage.open()
        stage.answer()
    stage.peer.send(CLOSE, b"\x03\xe8")
    stage.ended()


def test_a_link_that_is_lost(stage: Stage) -> None:
    stage.open()
    stage.answer()
    stage.peer.close()
    stage.ended()


def test_closed_by_its_own_side(stage: Stage) -> None:
    stage.open()
    stage.answer()
    stage.carrier.close()
    stage.carrier.close()
    assert stage.peer.farewell() == (0, "")
    stage.ended()


def test_a_server_that_leaves_while_its_upstream_takes_nothing(stage: Stage) -> None:
    def script(exchange: Exchange) -> None:
        exchange.keep = False
        assert held.wait(PATIENCE_SECONDS)

    held = gevent.event.Event()
    stage.upstream.scripts["/"] = script
    stage.open()
    writing = gevent.spawn(stage.peer.send, BINARY, bytes(20_000_000))
    until(lambda: stage.carrier._upstream is not None and stage.carrier._upstream.writing, "all is full")
    writing.kill()
    stage.peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stage.peer.close()
    stage.running.get(timeout=3)
    held.set()


def test_a_server_that_leaves_while_its_upstream_is_dialled(stage: Stage) -> None:
    """The upstream gets nothing in the name of a visitor who has left."""
    dialled, go_on = gevent.event.Event(), gevent.event.Event()
    real = stage.carrier._dial

    def dial(target: str, visitor: str) -> Any:
        dialled.set()
        assert go_on.wait(PATIENCE_SECONDS)
        return real(target)

    stage.carrier._dial = dial
    stage.open()
    assert dialled.wait(PATIENCE_SECONDS)
    assert not stage.carrier.idle
    stage.peer.close()
    until(stage.carrier._stream.connection.peer_has_left, "the end has come")
    go_on.set()
    stage.ended()
    assert stage.upstream.recorded == []
