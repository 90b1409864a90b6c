"""PROXY headers as they come over a connection: whole, in pieces, too late, cut off, or not at all."""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Iterator
from typing import Any

import gevent
import pytest

from appliance.server import greeting as module
from appliance.server.greeting import endpoint, read_header
from appliance.transport.connection import Connection
from appliance.wire.proxy_protocol import MAX_V1_BYTES, MAX_V2_BYTES, Header, ProxyProtocolError, encode
from tests.transport.wires import in_hub, raw_pair, settle, until

VISITOR, HERE = ("192.0.2.1", 56324), ("198.51.100.2", 443)
VISITOR6, HERE6 = ("2001:db8::1", 56324), ("2001:db8::2", 443)
BALANCER = "10.0.0.4:5000"


class Balancer:
    """The far end of a connection, and what the server makes of what it says."""

    def __init__(self) -> None:
        near, self.sock = raw_pair("unix")
        self.connection = Connection(near, BALANCER)

    def greet(self, version: str) -> gevent.Greenlet:
        reading = gevent.spawn(read_header, self.connection, version)
        settle()
        return reading

    def close(self) -> None:
        self.connection.close()
        self.sock.close()


@pytest.fixture
def balancer() -> Iterator[Balancer]:
    balancer = Balancer()
    yield balancer
    balancer.close()


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize(
    ("source", "destination", "peer"),
    [(VISITOR, HERE, "192.0.2.1:56324"), (VISITOR6, HERE6, "[2001:db8::1]:56324")],
)
@pytest.mark.parametrize("behind", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"\r\n\r\n\0"])
def test_a_header(balancer: Balancer, version: str, source: Any, destination: Any, peer: str, behind: bytes) -> None:
    """From then on the connection is known by the visitor's address; not a byte of the visitor's is lost."""
    header = encode(version, source, destination)
    balancer.sock.sendall(header + behind)
    assert read_header(balancer.connection, version) == (Header(source, destination, len(header)), behind)
    assert balancer.connection.peer == peer
    assert balancer.connection.deadline == math.inf
    assert endpoint(balancer.connection.peer) == source


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_header_byte_by_byte(balancer: Balancer, version: str) -> None:
    header = encode(version, VISITOR, HERE)
    reading = balancer.greet(version)
    for at in range(len(header)):
        assert not reading.ready()
        balancer.sock.sendall(header[at : at + 1])
        settle()
    assert reading.get() == (Header(VISITOR, HERE, len(header)), b"")
    balancer.sock.sendall(b"after it")
    assert bytes(balancer.connection.read()) == b"after it"


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_header_that_names_nobody(balancer: Balancer, version: str) -> None:
    """As of a balancer that connects on its own behalf."""
    header = encode(version, None, None)
    balancer.sock.sendall(header + b"bytes")
    assert read_header(balancer.connection, version) == (Header(None, None, len(header)), b"bytes")
    assert balancer.connection.peer == BALANCER


@pytest.mark.parametrize(
    ("version", "data"),
    [
        ("v1", b"SSH-2.0-OpenSSH\r\n"),
        ("v1", b"PROXY TCP4 192.0.2.1 198.51.100.2 1 65536\r\n"),
        ("v1", encode("v2", VISITOR, HERE)),
        ("v1", b"PROXY UNKNOWN " + b"x" * MAX_V1_BYTES),
        ("v2", encode("v1", VISITOR, HERE)),
        ("v2", encode("v2", VISITOR, HERE)[:14] + struct.pack("!H", MAX_V2_BYTES)),
    ],
)
def test_what_is_no_header_is_refused_at_once(balancer: Balancer, version: str, data: bytes) -> None:
    """Although more might come, and whatever comes behind."""
    balancer.sock.sendall(data)
    with pytest.raises(ProxyProtocolError):
        read_header(balancer.connection, version)
    assert balancer.connection.peer == BALANCER


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_header_that_is_cut_off(balancer: Balancer, version: str) -> None:
    balancer.sock.sendall(encode(version, VISITOR, HERE)[:-1])
    reading = balancer.greet(version)
    assert not reading.ready()
    balancer.sock.close()
    with pytest.raises(ProxyProtocolError, match="the connection ended within its header"):
        reading.get()


def test_one_that_only_looks_whether_somebody_listens(balancer: Balancer) -> None:
    """Balancers do, every few seconds: nothing to complain of."""
    balancer.sock.close()
    with pytest.raises(ConnectionResetError, match="ended before its header"):
        read_header(balancer.connection, "v1")


@pytest.mark.parametrize("said", [b"", b"PROXY TCP4 192.0.2.1 "])
def test_a_header_that_does_not_come(balancer: Balancer, said: bytes) -> None:
    """The limit is for the whole of it: bytes that come one by one do not put it off."""
    balancer.sock.sendall(said)
    began = time.monotonic()
    reading = balancer.greet("v1")
    limit = balancer.connection.deadline
    assert began <= limit - module.HEADER_SECONDS <= time.monotonic()
    balancer.sock.sendall(b"PROXY TCP4 192.0.2.1 198"[len(said) :][:1])
    settle()
    assert balancer.connection.deadline == limit
    in_hub(lambda: balancer.connection.check(limit - 0.1))
    settle()
    assert not reading.ready()
    in_hub(lambda: balancer.connection.check(limit + 0.1))
    with pytest.raises(ProxyProtocolError, match="no whole PROXY header came within 10 seconds"):
        reading.get()


def test_a_balancer_that_resets(balancer: Balancer) -> None:
    reading = balancer.greet("v1")
    balancer.connection.interrupt(ConnectionResetError("reset"))
    until(reading.ready)
    with pytest.raises(ConnectionResetError, match="^reset$"):
        reading.get()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1:5", ("192.0.2.1", 5)),
        ("[::1]:65535", ("::1", 65535)),
        ("[fe80::1%eth0]:5", ("fe80::1%eth0", 5)),
        ("unix", None),
        ("", None),
        ("192.0.2.1:", None),
        ("192.0.2.1:http", None),
    ],
)
def test_endpoints(text: str, expected: Any) -> None:
    assert endpoint(text) == expected
