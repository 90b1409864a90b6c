"""The client's way out: what it asks, which answers it takes, and what it says of the others."""

from __future__ import annotations

import base64
import gzip
import hashlib
import ssl
from collections.abc import Callable, Iterator

import gevent
import pytest

from appliance.transport import dial
from appliance.transport.connection import Connection, TimedOut
from appliance.transport.dial import Dialer, Refused, Untrusted, fetch_ca
from appliance.transport.tls import TlsConnection, client_context
from appliance.wire.address import ServerUrl, parse_server_url
from tests.transport.conftest import Certificates
from tests.transport.servers import Serve, Server, hang, read_head, says
from tests.transport.wires import Wires

Serving = Callable[..., Server]

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def serving() -> Iterator[Serving]:
    made: list[Server] = []

    def make(serve: Serve, context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> Server:
        made.append(Server(serve, context, host))
        return made[-1]

    yield make
    for server in made:
        server.close()


def url_of(server: Server, host: str = "127.0.0.1", scheme: str = "ws") -> ServerUrl:
    return parse_server_url(f"{scheme}://{host}:{server.port}")


def dialer(server: Server) -> Dialer:
    return Dialer(url_of(server), "the-token", None)


def fields_of(head: bytes) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:-2])


def acceptance(head: bytes, protocol: str = "sluice.v1") -> bytes:
    key = fields_of(head)["Sec-WebSocket-Key"].encode()
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n"
    ).encode()


def accepts(behind: bytes = b"", before: bytes = b"") -> Serve:
    """Upgrade, with `behind` in the same piece, and stay."""

    def serve(connection: Connection) -> None:
        connection.write(before + acceptance(read_head(connection)) + behind)
        hang(connection)

    return serve


# Upgrades


def test_what_is_asked(serving: Serving) -> None:
    heads: list[bytes] = []

    def serve(connection: Connection) -> None:
        heads.append(read_head(connection))
        connection.write(acceptance(heads[-1]))
        hang(connection)

    server = serving(serve)
    for _ in range(2):
        connection, early = dialer(server).open("/stream", {"Sluice-Session": "abc"})
        assert early == b""
        assert connection.deadline == float("inf")
        connection.write(b"bytes")
        connection.close()
    first, second = map(fields_of, heads)
    assert heads[0].startswith(b"GET /stream HTTP/1.1\r\n")
    assert len(base64.b64decode(first.pop("Sec-WebSocket-Key"))) == 16
    assert first == {
        "Host": f"127.0.0.1:{server.port}",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": "sluice.v1",
        "Authorization": "Bearer the-token",
        "Sluice-Session": "abc",
    }
    assert second["Sec-WebSocket-Key"] not in heads[0].decode()


def test_bytes_behind_the_answer_are_handed_on(serving: Serving) -> None:
    connection, early = dialer(serving(accepts(b"\x81\x02{}"))).open("/connect")
    assert early == b"\x81\x02{}"
    connection.close()


def test_an_interim_answer_is_passed_over(serving: Serving) -> None:
    server = serving(accepts(before=b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"))
    connection, early = dialer(server).open("/connect")
    assert early == b""
    connection.close()


def test_an_answer_in_pieces(serving: Serving) -> None:
    def serve(connection: Connection) -> None:
        for byte in acceptance(read_head(connection)) + b"e":
            connection.write(bytes([byte]))
            gevent.sleep(0)
        hang(connection)

    connection, early = dialer(serving(serve)).open("/connect")
    assert early in (b"", b"e")
    connection.close()


# Refusals


@pytest.mark.parametrize(
    ("answer", "status", "text"),
    [
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 9\r\n\r\nno token\n", 401, "no token"),
        (b"HTTP/1.1 401 Unauthorized\r\n\r\nuntil close", 401, "until close"),
        (b"HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n", 409, "HTTP status 409"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 15\r\n\r\n<html>404</html>", 404, "HTTP status 404"),
        (b"HTTP/1.1 502 B\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbad \r\n3\r\ngw!\r\n0\r\n\r\n", 502, "bad gw!"),
        (b"HTTP/1.1 502 Bad\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n", 502, "HTTP status 502"),
        (b"HTTP/1.1 400 Bad\r\nContent-Length: 90\r\n\r\n  one\r\ntwo\r\n" + b" " * 79, 400, "one"),
        (b"HTTP/1.1 400 Bad\r\n\r\nred \x1b[31mtext\x00\xff", 400, "red [31mtext\ufffd"),
        (b"HTTP/1.1 400 Bad\r\n\r\n" + b"x" * 100_000, 400, "x" * 200),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"", mtime=0), 200, ""),
        (b"HTTP/1.1 302 Found\r\nLocation: https://login.example\r\nContent-Length: 0\r\n\r\n", 302, "HTTP status 302"),
    ],
)  # fmt: skip
def test_a_refusal_says_why(serving: Serving, answer: bytes, status: int, text: str) -> None:
    with pytest.raises(Refused) as raised:
        dialer(serving(says(answer))).open("/connect")
    assert raised.value.status == status
    if text:
        assert str(raised.value) == text
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
        b"HTTP/1.1 404 Not Found\r\n\r\nshort",
    ],
)
def test_a_refusal_whose_text_does_not_end(serving: Serving, monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    monkeypatch.setattr(dial, "REASON_SECONDS", 0.01)

    def serve(connection: Connection) -> None:
        says(answer)(connection)
        hang(connection)

    with pytest.raises(Refused, match="HTTP status 404") as raised:
        dialer(serving(serve)).open("/connect")
    assert raised.value.status == 404


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ((b"Sec-WebSocket-Accept", b"X-Accept"), "not a WebSocket server"),
        ((b"Sec-WebSocket-Accept: ", b"Sec-WebSocket-Accept: x"), "not a WebSocket server"),
        ((b"Sec-WebSocket-Protocol", b"X-Protocol"), "does not speak sluice.v1"),
        ((b"sluice.v1", b"sluice.v9"), "does not speak sluice.v1"),
    ],
)
def test_a_101_of_somebody_else(serving: Serving, change: tuple[bytes, bytes], reason: str) -> None:
    def serve(connection: Connection) -> None:
        connection.write(acceptance(read_head(connection)).replace(*change))
        hang(connection)

    with pytest.raises(Refused, match=reason) as raised:
        dialer(serving(serve)).open("/connect")
    assert raised.value.status == 101


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH_9.2p1\r\n", b"\x15\x03\x01\x00\x02\x02\x46", b"HTTP/9 200\r\n\r\n"]
)
def test_what_does_not_speak_http(serving: Serving, answer: bytes) -> None:
    """It is not waited for, either: the rest of SSH's banner comes when we have sent ours."""

    def serve(connection: Connection) -> None:
        says(answer)(connection)
        hang(connection)

    with pytest.raises(Refused, match="does not speak HTTP"):
        dialer(serving(serve)).open("/connect")


def test_a_head_without_end(serving: Serving) -> None:
    def serve(connection: Connection) -> None:
        read_head(connection)
        connection.write(b"HTTP/1.1 401 No\r\n")
        while True:
            connection.write(b"X: " + b"y" * 1000 + b"\r\n")

    with pytest.raises(Refused, match="does not speak HTTP"):
        dialer(serving(serve)).open("/connect")


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 101 Switching"])
def test_a_server_that_hangs_up(serving: Serving, answer: bytes) -> None:
    with pytest.raises(ConnectionResetError, match="ended before the server answered"):
        dialer(serving(says(answer))).open("/connect")


def test_a_server_that_hangs(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dial, "UPGRADE_SECONDS", 0.01)
    with pytest.raises(TimedOut):
        dialer(serving(hang)).open("/connect")


def test_nobody_is_there(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serving(hang)
    server.close()
    with pytest.raises(ConnectionRefusedError):
        dialer(server).open("/connect")

    def tcp(*args: object) -> Connection:
        raise TimedOut("too late")

    monkeypatch.setattr(dial.reach, "tcp", tcp)
    with pytest.raises(ConnectionError, match=f"127.0.0.1:{server.port} did not answer within 10 seconds"):
        dialer(server).open("/connect")


# TLS


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_under_tls_and_the_second_time_cheaper(serving: Serving, wires: Wires, version: ssl.TLSVersion) -> None:
    wires.client_context.maximum_version = version
    server = serving(accepts(b"early"), wires.server_context)
    secure = Dialer(url_of(server, scheme="wss"), "t", wires.client_context)
    assert not secure.plain
    reused = []
    for attempt in range(3):
        if attempt == 2:
            secure.forget()
        connection, early = secure.open("/stream")
        assert early == b"early"
        assert isinstance(connection, TlsConnection)
        reused.append(connection._tls.session_reused)
        connection.close()
    assert reused == [False, True, False]


def test_bytes_that_come_with_the_answer_in_other_records(serving: Serving, wires: Wires) -> None:
    def serve(connection: Connection) -> None:
        connection.write_parts([acceptance(read_head(connection)), b"be", b"x" * 20_000])
        hang(connection)

    server = serving(serve, wires.server_context)
    connection, early = Dialer(url_of(server, scheme="wss"), "t", wires.client_context).open("/connect")
    data = early
    while len(data) < 20_002:
        data += bytes(connection.read())
    assert data == b"be" + b"x" * 20_000
    connection.close()


def test_a_certificate_that_is_not_trusted(serving: Serving, wires: Wires) -> None:
    server = serving(hang, wires.server_context)
    with pytest.raises(Untrusted, match=f"the certificate of 127.0.0.1:{server.port} is not trusted: "):
        Dialer(url_of(server, scheme="wss"), "t", client_context(None)).open("/connect")
    server = serving(hang, wires.server_context, "127.0.0.2")
    with pytest.raises(Untrusted, match=r"the certificate of 127.0.0.2:.*mismatch"):
        dial.connect(parse_server_url(f"wss://127.0.0.2:{server.port}"), wires.client_context)


def test_what_is_called_before_the_token_is_sent(serving: Serving, wires: Wires) -> None:
    """After the certificate has proved to be good; and if it raises, there is no token."""
    heads: list[bytes] = []
    called: list[int] = []

    def serve(connection: Connection) -> None:
        heads.append(read_head(connection))
        connection.write(acceptance(heads[-1]))
        hang(connection)

    server = serving(serve, wires.server_context)
    url = url_of(server, scheme="wss")

    def before_token() -> None:
        called.append(len(heads))
        if len(called) == 2:
            raise ConnectionError("not this one")

    secure = Dialer(url, "t", wires.client_context, before_token)
    secure.open("/connect")[0].close()
    with pytest.raises(ConnectionError, match="not this one"):
        secure.open("/connect")
    assert called == [0, 1]
    with pytest.raises(Untrusted) as raised:
        Dialer(url, "t", client_context(None), lambda: pytest.fail("not trusted")).open("/connect")
    assert raised.value.code in (18, 19, 20)  # self-signed, alone or in the chain; no issuer
    assert len(heads) == 1


def test_a_server_without_tls(serving: Serving, wires: Wires) -> None:
    def serve(connection: Connection) -> None:
        connection.read()
        connection.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with pytest.raises(ConnectionResetError, match="does not speak TLS as expected"):
        Dialer(url_of(serving(serve)), "t", wires.client_context).open("/connect")


def test_a_handshake_that_hangs(serving: Serving, wires: Wires, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dial, "CONNECT_SECONDS", 0.2)
    with pytest.raises(TimedOut):
        Dialer(url_of(serving(hang)), "t", wires.client_context).open("/connect")


# The server's authority


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_fetch_ca(serving: Serving, wires: Wires, certificates: Certificates, framing: str) -> None:
    body = certificates.authority.encode()
    asked: list[bytes] = []
    if framing == "length":
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    elif framing == "chunked":
        cut = b"5\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (body[:5], len(body) - 5, body[5:])
        answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + cut
    else:
        answer = b"HTTP/1.1 200 OK\r\n\r\n" + body

    def serve(connection: Connection) -> None:
        asked.append(read_head(connection))
        for start in range(0, len(answer), 100):
            connection.write(answer[start : start + 100])
            gevent.sleep(0)

    server = serving(serve, wires.server_context)
    assert fetch_ca(url_of(server, scheme="wss")) == certificates.authority
    assert asked[0].startswith(b"GET /.well-known/ca.crt HTTP/1.1\r\n")
    assert b"Authorization" not in asked[0]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "offers no authority"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "offers no authority"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 200_000, "offers no authority"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "does not speak HTTP"),
        (b"hello", "does not speak HTTP"),
    ],
)
def test_no_authority(serving: Serving, wires: Wires, answer: bytes, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        fetch_ca(url_of(serving(says(answer), wires.server_context), scheme="wss"))


# All of it


def test_through_a_proxy_to_a_name_that_only_the_proxy_knows(
    serving: Serving, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serving(accepts(b"early"), wires.server_context)
    asked: list[bytes] = []

    def forward(connection: Connection) -> None:
        asked.append(read_head(connection).split(b"\r\n")[0])
        onward = dial.reach.tcp("127.0.0.1", server.port, 10)
        connection.write(b"HTTP/1.1 200 OK\r\n\r\n")
        back = gevent.spawn(carry, onward, connection)
        carry(connection, onward)
        back.join()
        onward.close()

    relay = serving(forward)
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{relay.port}")
    url = parse_server_url("wss://tunnel.test:8123")
    connection, early = Dialer(url, "t", wires.client_context).open("/connect")
    assert early == b"early"
    connection.close()
    assert asked == [b"CONNECT tunnel.test:8123 HTTP/1.1"]
    monkeypatch.setenv("NO_PROXY", "tunnel.test")
    monkeypatch.setattr(dial.reach, "tcp", lambda *args: pytest.fail("straight there"))
    with pytest.raises(pytest.fail.Exception, match="straight there"):
        dial.connect(url, None)


def carry(source: Connection, target: Connection) -> None:
    try:
        while data := source.read():
            target.write(data)
        target.shutdown_write()
    except OSError:
        target.close()


def test_fetch_ca_where_strangers_are_turned_away(serving: Serving, wires: Wires) -> None:
    """It says nothing of authorities."""
    answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 28\r\n\r\nthis address may not connect"
    with pytest.raises(Refused, match="^this address may not connect$") as caught:
        fetch_ca(url_of(serving(says(answer), wires.server_context), scheme="wss"))
    assert caught.value.status == 403
