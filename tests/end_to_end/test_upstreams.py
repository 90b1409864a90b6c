"""Every kind of upstream, and the names under which they are reached."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from gevent import socket, ssl

from tests.end_to_end.house import House, Upstream, Visitor, until
from tests.stage.visitor import get, request


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that vouches for itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "upstream")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("upstream") / "upstream.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def secure(house: House, pem: Path) -> Upstream:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return house.upstream(context=context)


def check_carries(house: House, host: str) -> None:
    """Small and large, both ways, and several on one connection."""
    visitor = house.visitor()
    large = os.urandom(700_000)
    for _ in range(3):
        assert visitor.ask(get("/hello", host)).body == b"/hello"
        head = request("POST / HTTP/1.1", f"Host: {host}", f"Content-Length: {len(large)}")
        assert visitor.ask(head + large).body == large


def test_plain(house: House) -> None:
    house.client(f"a.example={house.upstream().url}")
    check_carries(house, "a.example")


def test_ipv6(house: House) -> None:
    upstream = house.upstream(host="::1")
    house.client(f"a.example=http://[::1]:{upstream.port}")
    check_carries(house, "a.example")


def test_a_name_is_looked_up(house: House) -> None:
    house.client(f"a.example=http://localhost:{house.upstream().port}")
    check_carries(house, "a.example")


def test_a_unix_socket(house: House, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    house.upstream(path=path)
    house.client(f"a.example=unix:{path}")
    check_carries(house, "a.example")


def test_tls_that_is_not_checked(house: House, secure: Upstream) -> None:
    house.client(f"a.example=https://127.0.0.1:{secure.port}?insecure=true")
    check_carries(house, "a.example")
    house.stop_client()
    house.client(f"b.example=https://127.0.0.1:{secure.port}", upstream_insecure=True)
    check_carries(house, "b.example")


def test_tls_that_is_checked(
    house: House, secure: Upstream, pem: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))  # an authority of the system, to the client
    house.client(
        f"good.example=https://localhost:{secure.port}",
        f"wrong-name.example=https://127.0.0.1:{secure.port}",
        f"unchecked.example=https://127.0.0.1:{secure.port}?insecure=true",
        f"plain.example=https://127.0.0.1:{house.upstream().port}",
        upstream_timeout=0.5,
    )
    check_carries(house, "good.example")
    for host, status in (("wrong-name.example", 502), ("plain.example", 504)):
        answer = house.ask(get("/", host))
        assert (answer.status, b"127.0.0.1" in answer.body) == (status, False)
    assert house.ask(get("/", "unchecked.example")).status == 200
    assert "is not trusted (IP address mismatch" in caplog.text
    assert "see --upstream-insecure" in caplog.text


def test_tls_by_an_authority_that_nobody_knows(
    house: House, secure: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    house.client(f"a.example=https://localhost:{secure.port}")
    assert house.ask(get("/", "a.example")).status == 502
    assert "self-signed certificate" in caplog.text


def test_a_directory(house: House, tmp_path: Path) -> None:
    (tmp_path / "a file.txt").write_bytes(b"content")
    (tmp_path / "large").write_bytes(bytes(1_000_000))
    house.client(f"files.example={tmp_path}", f"listed.example={tmp_path}?browse=true")
    visitor = house.visitor()
    assert visitor.ask(get("/a%20file.txt", "files.example")).body == b"content"
    assert visitor.ask(get("/large", "files.example")).body == bytes(1_000_000)
    answer = visitor.ask(get("/large", "files.example", "Range: bytes=10-19"))
    assert (answer.status, len(answer.body)) == (206, 10)
    assert visitor.ask(get("/", "files.example")).status == 404
    assert b"a file.txt" in visitor.ask(get("/", "listed.example")).body
    assert visitor.ask(get("/../../etc/passwd", "files.example")).status in (400, 404)


def test_a_directory_that_is_none(house: House, tmp_path: Path) -> None:
    house.client(f"files.example={tmp_path}/missing")
    assert house.ask(get("/", "files.example")).status == 502


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:1",
        "unix:/nowhere/socket",
        "unix:/" + "x" * 200,
        "http://nowhere.invalid:81",
        f"http://{'x' * 64}.invalid:81",  # more than a resolver can even ask for
        "https://127.0.0.1:1",
    ],
)
def test_an_upstream_that_is_not_reached(house: House, target: str, caplog: pytest.LogCaptureFixture) -> None:
    house.client(f"a.example={target}")
    visitor = house.visitor()
    for _ in range(2):
        answer = visitor.ask(request("POST / HTTP/1.1", "Host: a.example", "Content-Length: 3", body=b"abc"))
        assert (answer.status, answer.one("connection")) == (502, None)
        assert target.partition(":")[2].encode() not in answer.body
    assert f"{target} was not reached" in caplog.text
    until(lambda: house.server.registry.sessions()[0].streams_used == 0, "no stream is in use")


def test_an_upstream_that_does_not_answer_the_dial(house: House) -> None:
    """A listener whose queue is full lets nobody in."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        queued = []
        for _ in range(4):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
            queued.append(sock)
        house.client(f"a.example=http://127.0.0.1:{port}", upstream_timeout=0.3)
        assert house.ask(get("/", "a.example")).status == 504
        for sock in queued:
            sock.close()


def test_the_host_header(house: House) -> None:
    upstream = house.upstream()
    house.client(f"sent.example={upstream.url}")
    house.client(f"set.example={upstream.url}", host_header="localhost:3000")
    visitor = house.visitor()
    visitor.ask(get("/as-sent", "SENT.example:8000"))
    visitor.ask(get("/set", "set.example"))
    assert [record.message.one("host") for record in upstream.recorded] == ["SENT.example:8000", "localhost:3000"]
    assert [record.message.one("x-forwarded-host") for record in upstream.recorded] == [
        "SENT.example:8000",
        "set.example",
    ]


def test_the_host_of_who_names_none(house: House) -> None:
    """HTTP/1.0 needs no Host, but HTTP/1.1 does: the default upstream gets its own."""
    upstream = house.upstream()
    house.client(upstream.url)
    visitor = house.visitor()
    visitor.send(b"GET /old HTTP/1.0\r\n\r\n")
    assert visitor.answer().body == b"/old"
    assert upstream.recorded[0].message.one("host") == f"127.0.0.1:{upstream.port}"


@pytest.fixture
def visitor(house: House) -> Iterator[Visitor]:
    yield house.visitor()


def test_many_names_of_many_clients(house: House, visitor: Visitor) -> None:
    first, second = house.upstream(name="first"), house.upstream(name="second")
    house.client(f"*.example={first.url}", f"a.b.example={first.url}")
    house.client(f"*.b.example={second.url}", second.url)
    expected = {
        "x.example": "first",
        "b.example": "first",
        "a.b.example": "first",
        "c.b.example": "second",
        "d.c.b.example": "second",
        "elsewhere": "second",
    }
    for host, name in expected.items():
        assert visitor.ask(get("/", host)).one("x-upstream") == name


def test_nobody_knows_the_name(house: House, visitor: Visitor) -> None:
    house.client(f"a.example={house.upstream().url}")
    answer = visitor.ask(get("/", "b.example"))
    assert (answer.status, answer.body) == (404, b"404 No service is known under this name.\n")
    page = visitor.ask(get("/", "b.example", "Accept: text/html,*/*"))
    assert (page.status, page.one("content-type")) == (404, "text/html; charset=utf-8")
    assert visitor.ask(get("/", "a.example")).status == 200
    assert house.server.state.http.refused == {"unknown name": 2}


def test_its_client_has_gone(house: House, visitor: Visitor) -> None:
    house.client(f"a.example={house.upstream().url}")
    house.stop_client()
    until(lambda: not house.server.registry.sessions(), "the server knows")
    answer = visitor.ask(get("/", "a.example"))
    assert (answer.status, answer.one("retry-after")) == (503, "5")
    house.client(f"a.example={house.upstreams[0].url}")
    assert visitor.ask(get("/", "a.example")).status == 200


def test_undeclared_upstreams(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """What a server that is not to be trusted asks for: only what was declared is dialled, unless told otherwise."""
    declared, inner = house.upstream(), house.upstream(name="inner")
    ids = [house.client(f"{name}.example={declared.url}", strict_forwarding=name == "a") for name in ("a", "b")]
    for client_id in ids:
        session = house.session(client_id)
        assert session is not None
        for route in house.server.router.routes():
            for index, member in enumerate(route.members):
                if member.session is session:
                    route.members[index] = type(member)(session, inner.url, b"")
    assert house.ask(get("/", "a.example")).status == 502
    assert f"{inner.url} is not one of this client's upstreams (--strict-forwarding)" in caplog.text
    assert house.ask(get("/", "b.example")).one("x-upstream") == "inner"
    assert [len(upstream.recorded) for upstream in (declared, inner)] == [0, 1]
