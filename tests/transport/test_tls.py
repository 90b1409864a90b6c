"""TLS connections: against themselves, Python's SSLSocket and OpenSSL's own programs; however the bytes are cut."""

from __future__ import annotations

import os
import random
import select
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import gevent.socket
import pytest

from appliance.transport.connection import Closed, Connection, TimedOut
from appliance.transport.tls import (
    BATCH_BYTES,
    MAX_OWED_BYTES,
    RECORD_BYTES,
    NotTls,
    TlsConnection,
    choosing_context,
    client_context,
    context_of_pem,
    server_context,
)
from tests.transport.conftest import Certificates
from tests.transport.wires import (
    PATIENCE_SECONDS,
    SMALL,
    Wires,
    fill,
    in_hub,
    in_thread,
    raw_pair,
    read_all,
    read_at_least,
    settle,
    tick,
    until,
)

TLS_1_2, TLS_1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
VERSIONS = pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3], ids=["1.2", "1.3"])

DATA = bytes(range(251)) * 6000  # 1.5 MB, no period of which fits into records


def limit(context: ssl.SSLContext, version: ssl.TLSVersion) -> None:
    context.maximum_version = version


class Peer:
    """A client or server of TLS over a socket, in steps: what it encrypts is sent when a test wants it."""

    def __init__(self, sock: Any, context: ssl.SSLContext, server_name: str | None) -> None:
        self.sock = sock
        self._incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self.outgoing, server_name is None, server_name)

    def handshake(self, send_last: bool = True) -> None:
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.send()
                self._receive()
        if send_last:
            self.send()

    def send(self) -> None:
        self.sock.sendall(self.outgoing.read())

    def read(self) -> bytes:
        while True:
            try:
                return self.tls.read(65536)
            except ssl.SSLWantReadError:
                self._receive()

    def end(self) -> None:
        """Encrypt close_notify."""
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.unwrap()

    def _receive(self) -> None:
        data = self.sock.recv(65536)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()


def server_and_peer(wires: Wires) -> tuple[TlsConnection, Peer, gevent.Greenlet]:
    """A server whose handshake is under way, and a client in steps."""
    near, far = raw_pair("tcp")
    connection = TlsConnection(near, "peer", wires.server_context)
    wires.keep(connection, far)
    return connection, Peer(far, wires.client_context, "localhost"), gevent.spawn(connection.handshake)


def joined(wires: Wires) -> tuple[TlsConnection, Peer]:
    """A server and a client in steps, the handshake done and the server's tickets read."""
    connection, peer, accepting = server_and_peer(wires)
    peer.handshake()
    accepting.get()
    connection.write(b"welcome")
    assert peer.read() == b"welcome"
    return connection, peer


# Bytes


@VERSIONS
def test_bytes_go_both_ways(wires: Wires, version: ssl.TLSVersion) -> None:
    limit(wires.client_context, version)
    server, client = wires.connections(tls=True)
    client.write(b"question")
    assert bytes(server.read()) == b"question"
    server.write(memoryview(b"answer"))
    server.write_parts([b"", b" with", bytearray(b" more"), memoryview(b" parts"), b""])
    server.write(b"")
    server.write_parts([])
    in_hub(lambda: server.write_now(b" at once"))
    server.close()
    assert read_all(client) == b"answer with more parts at once"


@VERSIONS
@pytest.mark.parametrize("size", [1, RECORD_BYTES, RECORD_BYTES + 1, BATCH_BYTES, BATCH_BYTES + 1, len(DATA)])
def test_writes_of_all_sizes_to_a_slow_reader(wires: Wires, version: ssl.TLSVersion, size: int) -> None:
    limit(wires.client_context, version)
    server, client = wires.connections(tls=True, buffer=SMALL)
    shared = bytearray(DATA[:size])
    writer = gevent.spawn(server.write, memoryview(shared))
    settle()
    shared[:] = bytes(size)  # as another connection's read does with the shared buffer
    assert read_at_least(client, size) == DATA[:size]
    writer.get()


@pytest.mark.parametrize("sizes", [(3, 20000, 3), (14, 5), (100_000, 1, 2, 70_000), (9, 8192), (1,) * 500])
def test_parts_of_all_sizes_to_a_slow_reader(wires: Wires, sizes: tuple[int, ...]) -> None:
    server, client = wires.connections(tls=True, buffer=SMALL)
    shared = bytearray(DATA[: sum(sizes)])
    view, parts = memoryview(shared), []
    for size in sizes:
        parts.append(view[:size])
        view = view[size:]
    writer = gevent.spawn(server.write_parts, parts)
    settle()
    shared[:] = bytes(len(shared))
    assert read_at_least(client, sum(sizes)) == DATA[: sum(sizes)]
    writer.get()


def records(data: bytes) -> list[int]:
    """The lengths of the records in `data`."""
    found = []
    while data:
        length = int.from_bytes(data[3:5], "big")
        found.append(length)
        data = data[5 + length :]
    return found


@pytest.mark.parametrize(
    ("parts", "count"),
    [([b"5\r\n", b"hello", b"\r\n"], 1), ([b"h" * 14, b"d" * 9000], 2), ([b"d" * (BATCH_BYTES + 100)], 5)],
)
def test_no_more_records_than_needed(wires: Wires, parts: list[bytes], count: int) -> None:
    connection, peer = joined(wires)
    connection.write_parts(parts)
    connection.shutdown_write()
    raw = b""
    while piece := peer.sock.recv(1 << 20):
        raw += piece
        lengths = records(raw)
        if sum(lengths) + 5 * len(lengths) == len(raw) and lengths[-1] == 19:  # close_notify came
            break
    assert len(records(raw)) == count + 1


def trickle(source: Any, target: Any, seed: int) -> None:
    """Hand bytes on in pieces of every size, records' heads and bodies cut anywhere."""
    sizes = random.Random(seed)
    while data := source.recv(65536):
        while data:
            size = sizes.choice([1, 2, 4, 5, 6, 100, 5000, 40000])
            target.sendall(data[:size])
            data = data[size:]
            gevent.idle()
    target.shutdown(socket.SHUT_WR)


@VERSIONS
@pytest.mark.parametrize("seed", [1, 2])
def test_records_cut_anywhere(wires: Wires, version: ssl.TLSVersion, seed: int) -> None:
    limit(wires.client_context, version)
    server_near, server_far = raw_pair("unix")
    client_near, client_far = raw_pair("unix")
    server = TlsConnection(server_near, "client", wires.server_context)
    client = TlsConnection(client_near, "server", wires.client_context, server_name="localhost")
    wires.keep(server, client, server_far, client_far)
    carriers = [
        gevent.spawn(trickle, server_far, client_far, seed),
        gevent.spawn(trickle, client_far, server_far, -seed),
    ]
    accepting = gevent.spawn(server.handshake)
    client.handshake()
    accepting.get()
    data = DATA[:200_000]
    writers = [gevent.spawn(server.write, data), gevent.spawn(client.write_parts, [data[:7], data[7:]])]
    reader = gevent.spawn(read_at_least, server, len(data))
    assert read_at_least(client, len(data)) == data
    assert reader.get() == data
    gevent.joinall(writers, raise_error=True)
    server.close()
    client.close()
    gevent.joinall(carriers, timeout=PATIENCE_SECONDS)


class Watched:
    """A BIO, and the most that it has held."""

    def __init__(self, bio: ssl.MemoryBIO) -> None:
        self._bio = bio
        self.most = 0

    @property
    def pending(self) -> int:
        return self._bio.pending

    def write(self, data: Any) -> int:
        size = self._bio.write(data)
        self.most = max(self.most, self._bio.pending)
        return size

    def read(self) -> bytes:
        self.most = max(self.most, self._bio.pending)
        return self._bio.read()


def test_the_memory_of_bulk_is_not_kept(wires: Wires) -> None:
    """A BIO keeps what it once needed: no more than a few records' worth."""

    server, client = wires.connections(tls=True)
    server._outgoing = outgoing = Watched(server._outgoing)  # type: ignore[assignment]
    client._incoming = incoming = Watched(client._incoming)  # type: ignore[assignment]
    for _ in range(3):
        writer = gevent.spawn(server.write, DATA)
        assert read_at_least(client, len(DATA)) == DATA
        writer.get()
    for bio in (outgoing, incoming):
        assert RECORD_BYTES < bio.most < BATCH_BYTES + RECORD_BYTES


def test_read_ready_never_waits(wires: Wires) -> None:
    connection, peer = joined(wires)
    assert connection.read_ready() is None
    peer.tls.write(b"now")
    record = peer.outgoing.read()
    peer.sock.sendall(record[:10])
    until(lambda: select.select([connection], [], [], 0)[0])
    assert connection.read_ready() is None
    peer.sock.sendall(record[10:])
    until(lambda: select.select([connection], [], [], 0)[0])
    assert in_hub(lambda: bytes(connection.read_ready() or b"")) == b"now"
    peer.tls.write(b"last")
    peer.end()
    peer.send()
    until(lambda: select.select([connection], [], [], 0)[0])
    assert connection.read_ready() == b"last"
    assert connection.read_ready() == b""
    assert connection.read_ready() == b""


def test_read_ready_behind_answers_of_tls(wires: Wires) -> None:
    """A key update that wants one back, and nothing else: as if, for Python cannot ask for it."""
    server, client = wires.connections(tls=True)
    client.write(b"x")
    server._encrypt(b"as if")  # in the place where OpenSSL would put it
    until(lambda: select.select([server], [], [], 0)[0])
    assert in_hub(lambda: bytes(server.read_ready() or b"")) == b"x"
    assert read_at_least(client, 5) == b"as if"


def test_read_ready_at_the_end_of_the_connection(wires: Wires) -> None:
    connection, peer = joined(wires)
    peer.sock.close()
    until(lambda: select.select([connection], [], [], 0)[0])
    assert connection.read_ready() == b""


# What comes right behind the handshake


@VERSIONS
@pytest.mark.parametrize("how", ["read", "read_ready", "when_readable", "shutdown_write"])
def test_bytes_in_one_piece_with_the_end_of_the_handshake(wires: Wires, version: ssl.TLSVersion, how: str) -> None:
    limit(wires.server_context, TLS_1_3)
    limit(wires.client_context, version)
    near, far = raw_pair("tcp")
    if version is TLS_1_3:  # its client ends the handshake, and may go on at once
        connection = TlsConnection(near, "peer", wires.server_context)
        peer = Peer(far, wires.client_context, "localhost")
    else:
        connection = TlsConnection(near, "peer", wires.client_context, server_name="localhost")
        peer = Peer(far, wires.server_context, None)
    wires.keep(connection, far)
    shaking = gevent.spawn(connection.handshake)
    peer.handshake(send_last=False)
    peer.tls.write(b"early")
    peer.send()
    shaking.get()
    assert connection._early
    if how == "shutdown_write":
        connection.shutdown_write()
    if how == "read_ready":
        assert connection.read_ready() == b"early"
        assert connection.read_ready() is None
    elif how == "when_readable":
        came: list[bytes] = []
        connection.when_readable("a reader", lambda: came.append(bytes(connection.read_ready() or b"")))
        until(lambda: came == [b"early"])
        connection.when_readable("a reader", lambda: came.append(bytes(connection.read_ready() or b"")))
        settle()
        assert came == [b"early"]
        peer.tls.write(b"next")
        peer.send()
        until(lambda: came == [b"early", b"next"])
    else:
        assert bytes(connection.read()) == b"early"
    peer.tls.write(b"later")
    peer.send()
    assert bytes(connection.read()) == b"later"


# Ends


@VERSIONS
def test_the_end_that_comes_with_the_last_bytes_is_not_forgotten(wires: Wires, version: ssl.TLSVersion) -> None:
    """The connection below stays open: only close_notify tells."""
    limit(wires.client_context, version)
    connection, peer = joined(wires)
    peer.tls.write(b"last ")
    peer.tls.write(b"words")
    peer.end()
    peer.send()
    assert bytes(connection.read()) == b"last words"
    for _ in range(2):
        assert bytes(connection.read()) == b""
    connection.write(b"still here")
    assert peer.read() == b"still here"


def test_an_end_alone(wires: Wires) -> None:
    connection, peer = joined(wires)
    peer.end()
    peer.send()
    for _ in range(2):
        assert bytes(connection.read()) == b""


@pytest.mark.parametrize("words", [b"", b"last words"])
@pytest.mark.parametrize("how", ["read", "read_ready"])
def test_what_follows_the_end_is_not_heard(wires: Wires, words: bytes, how: str) -> None:
    connection, peer = joined(wires)
    if words:
        peer.tls.write(words)
    peer.end()
    peer.outgoing.write(b"\x17\x03\x03\x00\x20" + b"x" * 32)
    peer.send()
    until(lambda: select.select([connection], [], [], 0)[0])
    read = connection.read if how == "read" else connection.read_ready
    if words:
        assert read() == words
    for _ in range(2):
        assert read() == b""


def test_an_end_without_saying_so(wires: Wires) -> None:
    connection, peer = joined(wires)
    peer.tls.write(b"abrupt")
    peer.send()
    peer.sock.close()
    assert read_all(connection) == b"abrupt"


@VERSIONS
def test_one_direction_ends_and_the_other_goes_on(wires: Wires, version: ssl.TLSVersion) -> None:
    limit(wires.client_context, version)
    server, client = wires.connections(tls=True)
    client.write(b"all I have to say")
    client.shutdown_write()
    assert read_all(server) == b"all I have to say"
    writer = gevent.spawn(server.write, DATA)
    assert read_at_least(client, len(DATA)) == DATA
    writer.get()
    with pytest.raises(OSError):
        client.write(b"one thing more")
    client.write_now(b"one thing more")
    assert client.closed


@VERSIONS
def test_close_says_so_and_abort_does_not(wires: Wires, version: ssl.TLSVersion) -> None:
    limit(wires.client_context, version)
    connection, peer = joined(wires)
    connection.write(b"whole")
    connection.close()
    assert peer.read() == b"whole"
    assert peer.read() == b""  # and not an SSLEOFError
    connection, peer = joined(wires)
    connection.write(b"half")
    connection.abort()
    with pytest.raises(ConnectionResetError):
        while True:
            peer.read()


def test_close_waits_for_nobody(wires: Wires) -> None:
    server, client = wires.connections(tls=True, buffer=SMALL)
    writer = fill(server)
    in_hub(server.close)
    with pytest.raises(Closed):
        writer.get()
    early, _ = unshaken(wires, wires.server_context, wires.client_context)
    in_hub(early.close)
    assert early.closed
    client.close()


def test_bytes_that_are_no_record(wires: Wires) -> None:
    connection, peer = joined(wires)
    peer.tls.write(b"good")
    peer.outgoing.write(b"\x17\x03\x03\x00\x20" + b"x" * 32)
    peer.send()
    with pytest.raises(ssl.SSLError):
        read_all(connection)
    connection.close()
    with pytest.raises(ssl.SSLError, match="(?i)alert bad record mac|decryption failed"):
        while True:
            peer.read()


# Handshakes that fail


def shake(connection: TlsConnection) -> gevent.Greenlet:
    return gevent.spawn(connection.handshake)


def unshaken(
    wires: Wires, server: ssl.SSLContext, client: ssl.SSLContext, name: str = "localhost"
) -> tuple[TlsConnection, TlsConnection]:
    near, far = raw_pair("tcp")
    pair = TlsConnection(near, "client", server), TlsConnection(far, "server", client, server_name=name)
    wires.keep(*pair)
    return pair


@VERSIONS
@pytest.mark.parametrize("why", ["authority", "name"])
def test_a_certificate_that_is_not_trusted(wires: Wires, version: ssl.TLSVersion, why: str) -> None:
    context = wires.client_context if why == "name" else client_context(None)
    limit(context, version)
    server, client = unshaken(
        wires, wires.server_context, context, "elsewhere.example" if why == "name" else "localhost"
    )
    accepting = shake(server)
    with pytest.raises(ssl.SSLCertVerificationError):
        client.handshake()
    with pytest.raises(ssl.SSLError, match="(?i)alert (unknown ca|bad certificate)"):
        accepting.get()
        server.read()


def test_verification_can_be_left_out(wires: Wires) -> None:
    server, client = unshaken(wires, wires.server_context, client_context(None, verify=False), "elsewhere.example")
    accepting = shake(server)
    client.handshake()
    accepting.get()


@pytest.mark.parametrize("name", ["127.0.0.1", "tunnel.test", "LOCALHOST"])
def test_names_and_addresses_of_the_certificate(wires: Wires, name: str) -> None:
    server, client = unshaken(wires, wires.server_context, wires.client_context, name)
    accepting = shake(server)
    client.handshake()
    accepting.get()


def test_old_versions_are_refused(wires: Wires) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname = False
    old.verify_mode = ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    connection, _, accepting = server_and_peer(wires)
    accepting.kill()
    connection.close()
    near, far = raw_pair("tcp")
    connection = TlsConnection(near, "peer", wires.server_context)
    wires.keep(connection, far)
    accepting = shake(connection)
    with pytest.raises(ssl.SSLError, match="(?i)version"):
        Peer(far, old, "localhost").handshake()
    with pytest.raises(ssl.SSLError, match="(?i)protocol"):
        accepting.get()


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\0" * 300, b"SSH-2.0-OpenSSH_9.2\r\n" * 20])
def test_a_peer_that_speaks_no_tls(wires: Wires, data: bytes) -> None:
    near, far = raw_pair("tcp")
    connection = TlsConnection(near, "peer", wires.server_context)
    wires.keep(connection, far)
    far.sendall(data)
    with pytest.raises(ssl.SSLError):
        connection.handshake()


@pytest.mark.parametrize(
    ("data", "http"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", True),
        (b"OPTIONS * HTTP/1.0\r\n\r\n", True),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", True),
        (b"SSH-2.0-OpenSSH_9.2\r\n", False),
        (b"hello\n", False),
        (b"\0", False),
    ],
)
@pytest.mark.parametrize("early", [False, True])
def test_a_server_that_hears_no_tls(wires: Wires, data: bytes, http: bool, early: bool) -> None:
    """Nothing has been said to the peer: whoever gets the socket can."""
    near, far = raw_pair("tcp")
    if not early:
        far.sendall(data)
    server = TlsConnection(near, "peer", wires.server_context, early=data if early else b"")
    wires.keep(server, far)
    with pytest.raises(NotTls) as caught:
        server.handshake()
    assert caught.value.http is http
    plain = Connection(server.detach(), "peer")
    wires.keep(plain)
    plain.write(b"400")
    server.close()
    assert far.recv(10) == b"400"


def test_what_was_read_before_counts(wires: Wires) -> None:
    """The ClientHello, whole or in part, from who had to look at it first."""
    for size in (1, 100, 5000):
        near, far = raw_pair("tcp")
        client = TlsConnection(far, "server", wires.client_context, server_name="localhost")
        shaking = shake(client)
        hello = near.recv(size)
        server = TlsConnection(near, "peer", wires.server_context, early=hello)
        wires.keep(server, client)
        server.handshake()
        shaking.get(timeout=PATIENCE_SECONDS)
        server.write(b"hello")
        assert read_at_least(client, 5) == b"hello"


# ---- several certificates


def test_the_certificate_is_chosen_by_name(wires: Wires, certificates: Certificates) -> None:
    asked: list[str | None] = []

    def choose(name: str | None) -> ssl.SSLContext | None:
        asked.append(name)
        return wires.server_context if name == "tunnel.test" else None

    context = choosing_context(choose)
    for name, chosen in (("tunnel.test", True), ("127.0.0.1", False), ("localhost", False)):
        near, far = raw_pair("tcp")
        server = TlsConnection(near, "peer", context)
        client = TlsConnection(far, "server", wires.client_context, server_name=name)
        wires.keep(server, client)
        shaking = shake(client)
        if chosen:
            server.handshake()
            shaking.get(timeout=PATIENCE_SECONDS)
            assert server.protocol == client.protocol == "http/1.1"
        else:
            with pytest.raises(ssl.SSLError):
                server.handshake()
            with pytest.raises(ssl.SSLError, match="unrecognized name"):
                shaking.get(timeout=PATIENCE_SECONDS)
    assert asked == ["tunnel.test", None, "localhost"]


def test_a_certificate_in_no_file(wires: Wires, certificates: Certificates) -> None:
    with open(certificates.certificate_file, "rb") as file:
        pem = file.read()
    before = os.listdir("/proc/self/fd")
    context = context_of_pem(pem, "acme-tls/1")
    assert len(os.listdir("/proc/self/fd")) == len(before)
    near, far = raw_pair("tcp")
    wires.client_context.set_alpn_protocols(["acme-tls/1"])
    server = TlsConnection(near, "peer", context)
    client = TlsConnection(far, "server", wires.client_context, server_name="localhost")
    wires.keep(server, client)
    shaking = shake(client)
    server.handshake()
    shaking.get(timeout=PATIENCE_SECONDS)
    assert server.protocol == "acme-tls/1"
    with pytest.raises(ssl.SSLError):
        context_of_pem(b"", "acme-tls/1")


def test_a_peer_that_leaves_within_the_handshake(wires: Wires) -> None:
    connection, peer, accepting = server_and_peer(wires)
    with pytest.raises(ssl.SSLWantReadError):
        peer.tls.do_handshake()
    peer.sock.sendall(peer.outgoing.read()[:50])
    peer.sock.shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionResetError, match="within the TLS handshake"):
        accepting.get()
    assert not connection.closed


def test_a_failed_handshake_s_alert_is_tried_once(wires: Wires) -> None:
    """The peer has gone: what counts is why the handshake failed, not that nobody was told."""
    server, client = unshaken(wires, wires.server_context, client_context(None))
    accepting = shake(server)
    shaking = shake(client)
    real = client._socket

    class Gone:
        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

        def send(self, data: bytes) -> int:
            if data[0] == 22:
                return real.send(data)
            raise BrokenPipeError

    client._socket = Gone()  # type: ignore[assignment]
    with pytest.raises(ssl.SSLCertVerificationError):
        shaking.get()
    client.close()
    with pytest.raises(OSError):
        accepting.get()
        server.read()


def test_a_handshake_has_its_deadline(wires: Wires) -> None:
    near, far = raw_pair("tcp")
    connection = TlsConnection(near, "peer", wires.client_context, server_name="localhost")
    wires.keep(connection, far)
    connection.deadline = time.monotonic() - 1
    shaking = shake(connection)
    until(lambda: connection._reader is not None)
    tick()
    with pytest.raises(TimedOut):
        shaking.get()


@pytest.mark.parametrize("name", ["", ".example.com", "a" * 64 + ".com", "a\0b"])
def test_a_name_that_cannot_be_one(wires: Wires, name: str) -> None:
    near, far = raw_pair("unix")
    with pytest.raises(ConnectionError, match="cannot be the name"):
        TlsConnection(near, "peer", wires.client_context, server_name=name)
    assert far.recv(1) == b""
    far.close()


# TLS's own messages


def test_an_answer_goes_out_with_what_is_written_next(wires: Wires) -> None:
    """The socket is full and nobody waits for room, as in the hub: the answer stays in its place."""
    server, client = wires.connections(tls=True, buffer=SMALL)
    real = server._socket

    class Full:
        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

        def send(self, data: bytes) -> int:
            raise BlockingIOError

    server._encrypt(b"as if ")
    server._socket = Full()  # type: ignore[assignment]
    in_hub(server._answer)
    assert server._outgoing.pending
    server._socket = real
    server.write(b"an answer")
    assert read_at_least(client, 15) == b"as if an answer"


def test_answers_to_who_takes_none_have_an_end(wires: Wires) -> None:
    server, _ = wires.connections(tls=True, buffer=SMALL)
    writer = fill(server)
    assert not server._outgoing.pending
    server._outgoing.write(b"a" * MAX_OWED_BYTES)
    in_hub(server._answer)
    assert not server.closed
    server._outgoing.write(b"a")
    in_hub(server._answer)
    assert server.closed
    with pytest.raises(Closed):
        writer.get()


# Sessions


@VERSIONS
def test_a_session_is_resumed(wires: Wires, version: ssl.TLSVersion) -> None:
    limit(wires.client_context, version)
    session = None
    for reused in (False, True):
        near, far = raw_pair("unix")
        server = TlsConnection(near, "client", wires.server_context)
        client = TlsConnection(far, "server", wires.client_context, server_name="localhost", session=session)
        wires.keep(server, client)
        accepting = shake(server)
        client.handshake()
        accepting.get()
        server.write(b"x")
        client.read()
        session = client.session
        assert session is not None
        assert client._tls.session_reused is reused


# Other programs


@contextmanager
def serving(wires: Wires, serve: Callable[[TlsConnection], None]) -> Iterator[int]:
    """A port where each connection is given to `serve` once its handshake is done."""
    listener = gevent.socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()

    def accept() -> None:
        connection = TlsConnection(listener.accept()[0], "client", wires.server_context)
        try:
            connection.handshake()
            serve(connection)
        finally:
            connection.close()

    accepting = gevent.spawn(accept)
    yield listener.getsockname()[1]
    accepting.join(PATIENCE_SECONDS)
    listener.close()
    accepting.get()


def refused_echo(connection: TlsConnection) -> None:
    with pytest.raises(ssl.SSLError, match="(?i)alert"):
        echo(connection)


def echo(connection: TlsConnection) -> None:
    while data := connection.read():
        connection.write(data)


@VERSIONS
def test_python_s_own_client(wires: Wires, version: ssl.TLSVersion, certificates: Certificates) -> None:
    context = client_context(certificates.authority)
    limit(context, version)

    def client(port: int) -> bytes:
        plain = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
        with context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False) as tls:
            received = b""
            for start in range(0, len(DATA), 30_000):
                piece = DATA[start : start + 30_000]
                tls.sendall(piece)
                while len(received) < start + len(piece):
                    received += tls.recv(65536)
            tls.unwrap().close()  # both ends say so
            return received

    with serving(wires, echo) as port:
        assert in_thread(lambda: client(port)).get() == DATA


@VERSIONS
def test_python_s_own_server(wires: Wires, version: ssl.TLSVersion, certificates: Certificates) -> None:
    context = server_context(certificates.certificate_file, certificates.key_file)
    limit(context, version)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(PATIENCE_SECONDS)

    def server() -> bytes:
        plain = listener.accept()[0]
        plain.settimeout(PATIENCE_SECONDS)
        with context.wrap_socket(plain, server_side=True, suppress_ragged_eofs=False) as tls:
            received = b""
            while piece := tls.recv(65536):
                received += piece
            tls.sendall(received[::-1])
            tls.unwrap()
            return received

    serving_thread = in_thread(server)
    sock = gevent.socket.create_connection(listener.getsockname())
    client = TlsConnection(sock, "server", wires.client_context, server_name="localhost")
    wires.keep(client)
    client.handshake()
    client.write(DATA)
    client.shutdown_write()
    assert read_all(client) == DATA[::-1]
    assert serving_thread.get() == DATA
    listener.close()


def dialogue(port: int, authority: str, flag: str, lines: list[tuple[bytes, bytes]]) -> bytes:
    """Type lines into `openssl s_client`, each once the answer to the one before has been seen; returns its output."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "localhost", flag]
    command += ["-CAfile", authority, "-verify_return_error", "-verify_hostname", "localhost"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        output = b""
        seen = 0
        for line, answer in lines:
            if line:
                process.stdin.write(line)
                process.stdin.flush()
            while answer not in output[seen:]:
                assert select.select([process.stdout], [], [], PATIENCE_SECONDS)[0], output.decode()
                more = os.read(process.stdout.fileno(), 65536)
                assert more, output.decode()
                output += more
            seen = output.index(answer, seen) + len(answer)
        process.stdin.close()
        output += process.stdout.read()
        process.wait(PATIENCE_SECONDS)
        return output


@pytest.fixture
def authority_file(certificates: Certificates, tmp_path: Any) -> str:
    path = tmp_path / "authority.pem"
    path.write_text(certificates.authority)
    return str(path)


@pytest.mark.parametrize("flag", ["-tls1_2", "-tls1_3"])
def test_openssl_s_client(wires: Wires, authority_file: str, flag: str) -> None:
    with serving(wires, echo) as port:
        lines = [(b"hello\n", b"hello\n"), (b"x" * 9000 + b"\n", b"xxx\n")]
        output = in_thread(lambda: dialogue(port, authority_file, flag, lines)).get()
    assert b"Verify return code: 0 (ok)" in output


def test_key_updates_that_want_one_back(wires: Wires, authority_file: str) -> None:
    with serving(wires, echo) as port:
        lines = [(b"before\n", b"before\n"), *[(b"K\n", b"KEYUPDATE\n"), (b"after\n", b"after\n")] * 3]
        lines += [(b"k\n", b"KEYUPDATE\n"), (b"at last\n", b"at last\n")]
        in_thread(lambda: dialogue(port, authority_file, "-tls1_3", lines)).get()


def test_renegotiation_is_refused(wires: Wires, authority_file: str) -> None:
    with serving(wires, refused_echo) as port:
        lines = [(b"before\n", b"before\n"), (b"R\n", b"RENEGOTIATING\n"), (b"", b"no renegotiation")]
        in_thread(lambda: dialogue(port, authority_file, "-tls1_2", lines)).get()


def test_files_that_do_not_fit(certificates: Certificates, tmp_path: Any) -> None:
    with pytest.raises(OSError):
        server_context(str(tmp_path / "missing.pem"), certificates.key_file)
    (tmp_path / "empty.pem").write_text("")
    with pytest.raises(ssl.SSLError):
        server_context(str(tmp_path / "empty.pem"), certificates.key_file)
    with pytest.raises(ssl.SSLError):
        client_context("no certificate")


def test_it_is_a_connection(wires: Wires) -> None:
    server, _ = wires.connections(tls=True)
    assert isinstance(server, Connection)
    assert server.peer == "client"
    assert server.fileno() > 0
