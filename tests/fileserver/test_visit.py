"""Connections as dialogues: pipelining, bodies nobody wants, limits, and how each connection ends."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import gevent.socket
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.fileserver import visit as visit_module
from appliance.fileserver.service import FileService
from appliance.fileserver.visit import MAX_DROPPED_BYTES
from appliance.transport.connection import Connection

GET = b"GET /hello.txt HTTP/1.1\r\nHost: x\r\n\r\n"
Connect = Callable[[FileService], Any]


@pytest.fixture
def service(site: Path) -> FileService:
    return FileService(str(site))


def test_one_connection_many_requests(service: FileService, visit: Connect) -> None:
    visitor = visit(service)
    for _ in range(3):
        visitor.send(GET)
        reply = visitor.read_reply()
        assert (reply.status, len(reply.body)) == (200, 36)
        assert "connection" not in reply.fields


def test_pipelined_requests_are_answered_in_order(service: FileService, visit: Connect) -> None:
    visitor = visit(service)
    visitor.send(b"".join(GET.replace(b"/hello.txt", b"/%d" % n) + GET for n in range(50)))
    visitor.socket.shutdown(1)
    for _ in range(50):
        assert visitor.read_reply().status == 404
        assert visitor.read_reply().status == 200
    assert visitor.read_all() == b""


def test_a_head_byte_by_byte(service: FileService, visit: Connect) -> None:
    visitor = visit(service)
    for byte in b"\r\n\r\n" + GET + GET:
        visitor.send(bytes([byte]))
        gevent.sleep(0)
    assert [visitor.read_reply().status for _ in range(2)] == [200, 200]


@pytest.mark.parametrize(
    ("version", "fields", "stays", "said"),
    [
        (b"1.1", b"", True, None),
        (b"1.1", b"Connection: close\r\n", False, "close"),
        (b"1.1", b"Connection: keep-alive, close\r\n", False, "close"),
        (b"1.0", b"", False, "close"),
        (b"1.0", b"Connection: keep-alive\r\n", True, "keep-alive"),
    ],
)
def test_who_ends_the_connection(
    service: FileService, visit: Connect, version: bytes, fields: bytes, stays: bool, said: str | None
) -> None:
    visitor = visit(service)
    visitor.send(b"GET /hello.txt HTTP/%b\r\nHost: x\r\n%b\r\n" % (version, fields))
    assert visitor.read_reply().fields.get("connection") == said
    if stays:
        visitor.send(GET)
        assert visitor.read_reply().status == 200
    else:
        assert visitor.read_all() == b""


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 5\r\n\r\nhello",
        b"Content-Length: 0\r\n\r\n",
        b"Content-Length: %d\r\n\r\n" % MAX_DROPPED_BYTES + b"G" * MAX_DROPPED_BYTES,
        b"Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nTrailer: x\r\n\r\n",
    ],
)
def test_a_small_body_is_dropped(service: FileService, visit: Connect, body: bytes) -> None:
    for method, status in ((b"GET", 200), (b"POST", 405)):
        visitor = visit(service)
        visitor.send(method + b" /hello.txt HTTP/1.1\r\nHost: x\r\n" + body + GET)
        assert [visitor.read_reply().status for _ in range(2)] == [status, 200]


def test_a_body_in_pieces_is_dropped(service: FileService, visit: Connect) -> None:
    for body in (
        b"Content-Length: 12\r\n\r\nhello, world",
        b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n0\r\n\r\n",
    ):
        visitor = visit(service)
        for byte in b"PUT /hello.txt HTTP/1.1\r\nHost: x\r\n" + body + GET:
            visitor.send(bytes([byte]))
            gevent.sleep(0)
        assert [visitor.read_reply().status for _ in range(2)] == [405, 200]


@pytest.mark.parametrize(
    "start",
    [
        b"Content-Length: 10000000\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n989680\r\n",
        b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n",
    ],
)
def test_a_large_body_ends_the_connection_after_the_answer(service: FileService, visit: Connect, start: bytes) -> None:
    visitor = visit(service)
    visitor.send(b"POST /hello.txt HTTP/1.1\r\nHost: x\r\n" + start)
    if b"Expect" not in start:
        visitor.send(b"x" * (MAX_DROPPED_BYTES + 1000))
    reply = visitor.read_reply()
    assert (reply.status, reply.fields["connection"]) == (405, "close")
    assert visitor.read_all() == b""


def test_an_answer_is_not_lost_to_a_reset(service: FileService) -> None:
    """What the visitor still sends is read for a moment: closing at once would reset the connection."""
    listener = gevent.socket.create_server(("127.0.0.1", 0))
    near = gevent.socket.create_connection(listener.getsockname())
    far, _ = listener.accept()
    serving = gevent.spawn(service.serve, Connection(far, "test"))
    near.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n")
    near.sendall(b"x" * 500_000)
    assert near.recv(4096).startswith(b"HTTP/1.1 405 ")
    near.close()
    listener.close()
    serving.join()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /hello.txt HTTP/1.1\r\n\r\n", 400),
        (
            b"GET /hello.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        (b"GET /hello.txt HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET /hello.txt HTTP/2.0\r\nHost: x\r\n\r\n", 505),
        (b"GET /hello.txt HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 70000 + b"\r\n\r\n", 431),
        (b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"GET /hello.txt HTTP/1.1\r\nHost: x\r\nExpect: tea\r\n\r\n", 417),
    ],
)
def test_what_is_not_understood_ends_the_connection(
    service: FileService, visit: Connect, head: bytes, status: int
) -> None:
    visitor = visit(service)
    visitor.send(head)
    reply = visitor.read_reply()
    assert (reply.status, reply.fields["connection"]) == (status, "close")
    assert reply.fields["content-type"] == "text/plain; charset=utf-8"
    assert visitor.read_all() == b""


@pytest.mark.parametrize("sent", [b"", b"GET /hello.txt HTTP/1.1\r\nHost:", b"\r\n"])
def test_a_visitor_who_leaves_early(service: FileService, visit: Connect, sent: bytes) -> None:
    visitor = visit(service)
    visitor.send(sent)
    visitor.socket.shutdown(1)
    assert visitor.read_all() == b""
    visitor.serving.get()


@pytest.mark.parametrize(
    ("limit", "sent"),
    [
        ("IDLE_SECONDS", b""),
        ("IDLE_SECONDS", GET),
        ("HEAD_SECONDS", b"GET /hello"),
        ("HEAD_SECONDS", GET + b"GET /hello"),
        ("HEAD_SECONDS", b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabc"),
        ("LINGER_SECONDS", b"nonsense\r\n\r\n"),
    ],
)
def test_time_limits(
    service: FileService, visit: Connect, monkeypatch: pytest.MonkeyPatch, limit: str, sent: bytes
) -> None:
    monkeypatch.setattr(visit_module, limit, 0.05)
    visitor = visit(service)
    visitor.send(sent)
    with gevent.Timeout(5):
        visitor.serving.join()
    assert visitor.serving.successful()


def test_a_crowd_of_requests_lets_others_in_between(service: FileService, visit: Connect) -> None:
    crowd = visit(service)
    crowd.send(GET * 1000)
    crowd.socket.shutdown(1)
    other = visit(service)
    reading = gevent.spawn(crowd.read_all)
    other.send(GET)
    assert other.read_reply().status == 200
    assert not reading.ready()
    assert reading.get().count(b"HTTP/1.1 200 OK") == 1000


def test_a_file_that_shrinks_ends_the_connection(
    service: FileService, site: Path, visit: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    (site / "big").write_bytes(b"x" * 3_000_000)
    visitor = visit(service)
    visitor.send(GET.replace(b"/hello.txt", b"/big"))
    visitor.read_exactly(1000)
    os.truncate(site / "big", 1_000_000)
    assert len(visitor.read_all()) < 1_001_000
    assert "became shorter" in caplog.text


def test_leaving_at_the_end(service: FileService, site: Path, visit: Connect) -> None:
    """An idle connection ends at once, a busy one with its answer."""
    (site / "big").write_bytes(b"x" * 3_000_000)
    idle, busy = visit(service), visit(service)
    busy.send(GET.replace(b"/hello.txt", b"/big"))
    head = busy.read_exactly(20)
    for one in tuple(service.visits):
        one.end_when_idle()
    assert idle.read_all() == b""
    assert len(head + busy.read_all()) > 3_000_000
    late = visit(service)
    late.send(GET)
    gevent.sleep(0)
    for one in tuple(service.visits):
        one.leaving = True
    assert late.read_reply().status == 200


def test_requests_are_logged_for_who_wants_it(
    service: FileService, visit: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "sluice.fileserver"):
        visitor = visit(service)
        visitor.send(GET)
        visitor.read_reply()
    assert "192.0.2.7:5555 b'GET /hello.txt' 200" in caplog.text


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            st.sampled_from([GET, b"GET ", b"/", b"..", b" HTTP/1.1\r\n", b"Host: x\r\n", b"\r\n", b"\0", b"%2e"]),
            st.sampled_from([b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Range: bytes=0-,-1\r\n"]),
            st.binary(max_size=10),
        ),
        max_size=12,
    )
)
def test_any_bytes_are_answered_or_the_connection_ends(service: FileService, pieces: list[bytes]) -> None:
    near, far = gevent.socket.socketpair()
    serving = gevent.spawn(service.serve, Connection(far, "fuzz"))
    with near:
        near.sendall(b"".join(pieces))
        near.shutdown(1)
        got = b""
        while piece := near.recv(65536):
            got += piece
    assert got == b"" or got.startswith(b"HTTP/1.1 ")
    serving.get()
