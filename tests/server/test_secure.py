"""Visitors by HTTPS: which certificate they see, what comes before TLS, and what is no TLS."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from cryptography import x509

from appliance.certificates.challenges import Challenges, tls_answer
from appliance.certificates.store import Store
from appliance.server import secure as secure_module
from tests.end_to_end.house import PATIENCE_SECONDS, House, Visitor, until
from tests.end_to_end.secured import SecureVisitor, a_secure_house, put, trusting
from tests.stage.authority import Authority
from tests.stage.upstream import Exchange
from tests.stage.visitor import get, request

A, B, WILD = "a.example", "b.example", "x.wild.example"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def context(authority: Authority) -> ssl.SSLContext:
    return trusting(authority)


@pytest.fixture
def store(authority: Authority) -> Store:
    store = Store()
    for names in (("a.example", "127.0.0.1"), ("b.example",), ("*.wild.example",)):
        put(store, authority.issue(*names))
    return store


@pytest.fixture
def challenges() -> Challenges:
    return Challenges()


@pytest.fixture
def house(store: Store, challenges: Challenges) -> Iterator[House]:
    with a_secure_house(store, challenges) as house:
        yield house


def refused(house: House) -> dict[str, int]:
    return dict(house.server.state.http.refused)


# ---- which certificate


@pytest.mark.parametrize(
    ("name", "shown"),
    [(A, {A, "127.0.0.1"}), (B, {B}), (B.upper(), {B}), (WILD, {"*.wild.example"}), ("127.0.0.1", {A, "127.0.0.1"})],
)
def test_each_name_has_its_certificate(house: House, context: ssl.SSLContext, name: str, shown: set[str]) -> None:
    """Over IP addresses no name is asked for: the first certificate."""
    with SecureVisitor(house.https_port, context, name) as visitor:
        assert visitor.names == shown
        assert visitor.sock.selected_alpn_protocol() is None  # nothing was offered
        assert visitor.ask(get("/", name)).status == 404


@pytest.mark.parametrize("data_addr", ["127.0.0.1", ""])
def test_an_address_has_its_certificate(authority: Authority, context: ssl.SSLContext, data_addr: str) -> None:
    """Browsers ask for no name over one; the certificate for the address need not be the first."""
    store = Store()
    put(store, authority.issue(A))
    put(store, authority.issue("127.0.0.1"))
    with a_secure_house(store, data_addr=data_addr) as house:
        for name in ("127.0.0.1", A):
            with SecureVisitor(house.https_port, context, name) as visitor:
                assert visitor.names == {name}
        put(store, authority.issue("127.0.0.1", "c.example"))
        with SecureVisitor(house.https_port, context, "127.0.0.1") as visitor:
            assert "127.0.0.1" in visitor.names


def test_an_unknown_name_sees_the_first(house: House, context: ssl.SSLContext) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        SecureVisitor(house.https_port, context, "elsewhere.example")
    context.check_hostname = False
    with SecureVisitor(house.https_port, context, "elsewhere.example") as visitor:
        assert A in visitor.names


def test_no_certificate_at_all(context: ssl.SSLContext) -> None:
    """As before the first one has been issued."""
    with a_secure_house(Store()) as house:
        for name in (A, None):
            context.check_hostname = name is not None
            with pytest.raises(ssl.SSLError, match="unrecognized name"):
                SecureVisitor(house.https_port, context, name)
        until(lambda: refused(house) == {"TLS not agreed on": 2}, "they are counted")


def test_alpn(house: House, context: ssl.SSLContext) -> None:
    context.set_alpn_protocols(["h2", "http/1.1"])
    with SecureVisitor(house.https_port, context, B) as visitor:
        assert visitor.sock.selected_alpn_protocol() == "http/1.1"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_is_resumed_until_the_certificate_changes(
    house: House, store: Store, authority: Authority, context: ssl.SSLContext, version: ssl.TLSVersion
) -> None:
    context.maximum_version = version
    with SecureVisitor(house.https_port, context, B) as visitor:
        assert visitor.ask(get("/", B)).status == 404
        session = visitor.sock.session
    with SecureVisitor(house.https_port, context, B, session=session) as visitor:
        assert visitor.sock.session_reused
    put(store, authority.issue(B))
    with SecureVisitor(house.https_port, context, B, session=session) as visitor:
        assert not visitor.sock.session_reused


def test_a_new_certificate_for_new_connections(
    house: House, store: Store, authority: Authority, context: ssl.SSLContext
) -> None:
    with SecureVisitor(house.https_port, context, B) as open_before:
        assert open_before.ask(get("/", B)).status == 404
        put(store, authority.issue(B, "new.example"))
        with SecureVisitor(house.https_port, context, B) as fresh:
            assert fresh.names == {B, "new.example"}
        with SecureVisitor(house.https_port, context, "new.example"):
            pass
        assert open_before.ask(get("/", B)).status == 404


def test_files_that_change_under_our_hands(
    house: House, store: Store, authority: Authority, context: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    """What was looked at is not what is loaded a moment later: the one before stays."""
    files = authority.issue(B, "never.example", stem=B)
    before = files[1].read_bytes()

    def load_broken(*paths: str) -> Any:
        files[1].write_bytes(b"half a k")
        return real(*paths)

    real = secure_module.server_context
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(secure_module, "server_context", load_broken)
        put(store, files)
    files[1].write_bytes(before)
    assert "cannot be loaded" in caplog.text
    with SecureVisitor(house.https_port, context, B) as visitor:
        assert visitor.names == {B}


# ---- what upstreams and visitors are told


def test_upstreams_hear_of_https(house: House, context: ssl.SSLContext) -> None:
    upstream = house.upstream()
    house.client(f"{A}={upstream.url}")
    with SecureVisitor(house.https_port, context, A) as visitor:
        assert visitor.ask(get("/", A, "X-Forwarded-Proto: http")).status == 200
    assert upstream.recorded[0].message.one("x-forwarded-proto") == "https"


def test_hsts_is_on_every_answer_by_https(store: Store, context: ssl.SSLContext) -> None:
    def own_word(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nstrict-transport-security: max-age=1\r\nContent-Length: 0\r\n\r\n")

    with a_secure_house(store, hsts=86400.0, plain_http="serve") as house:
        upstream = house.upstream()
        upstream.scripts["/own"] = own_word
        house.client(f"{A}={upstream.url}")
        with SecureVisitor(house.https_port, context, A) as visitor:
            for host in (A, "nobody.example"):
                assert visitor.ask(get("/", host)).one("strict-transport-security") == "max-age=86400"
            assert visitor.ask(get("/own", A)).one("strict-transport-security") == "max-age=1"
            assert visitor.ask(request("GET")).one("strict-transport-security") == "max-age=86400"
        with Visitor(house.https_port) as plain:  # RFC 6797 7.2
            assert plain.ask(get("/", A)).one("strict-transport-security") is None
        assert house.ask(get("/", A)).one("strict-transport-security") is None
        assert house.ask(get("/", "nobody.example")).one("strict-transport-security") is None


# ---- before TLS


def test_plain_http_is_told_so(house: House) -> None:
    for data in (
        get("/", A),
        b"OPTIONS * HTTP/1.1\r\n\r\n",
        request("POST / HTTP/1.1", "Content-Length: 5", body=b"12345"),
    ):
        with Visitor(house.https_port) as visitor:
            answer = visitor.ask(data)
            assert (answer.status, answer.one("connection")) == (400, "close")
            assert b"write https:// in front of the address" in answer.body
    assert refused(house) == {"not TLS": 3}


@pytest.mark.parametrize("data", [b"SSH-2.0-OpenSSH\r\n", b"\0", b"\x80\x2e\x01\x00\x02", b"hello\n"])
def test_what_is_neither_gets_no_answer(house: House, data: bytes) -> None:
    with Visitor(house.https_port) as visitor:
        visitor.send(data)
        assert visitor.rest() == b""
    assert refused(house) == {"not TLS": 1}


def test_garbage_that_begins_like_tls(house: House) -> None:
    with Visitor(house.https_port) as visitor:
        visitor.send(b"\x16\x03\x01\x00\x05hello")
        assert visitor.rest()[:1] == b"\x15"  # an alert
    assert refused(house) == {"TLS not agreed on": 1}


def test_who_is_slow_to_agree_is_cut_off(store: Store, challenges: Challenges) -> None:
    with a_secure_house(store, challenges, head_timeout=0.3) as house:
        for pending in (False, True):
            if pending:
                challenges.tls[B] = b""
            with Visitor(house.https_port) as visitor:
                visitor.send(b"\x16\x03\x01")
                assert visitor.rest() == b""
        assert refused(house) == {"slow visitor": 2}


def test_slow_ones_keep_nobody_waiting_and_end_with_the_server(house: House, context: ssl.SSLContext) -> None:
    for _ in range(20):
        house.visitors.append(Visitor(house.https_port))
        house.visitors[-1].send(b"\x16\x03\x01")
    with SecureVisitor(house.https_port, context, B) as visitor:
        assert visitor.ask(get("/", B)).status == 404


def test_one_who_leaves_at_once(house: House, challenges: Challenges) -> None:
    for pending in (False, True):
        if pending:
            challenges.tls[B] = b""
        for data in (b"", b"\x16\x03"):
            with Visitor(house.https_port) as visitor:
                visitor.send(data)
                visitor.finish()
                assert visitor.rest() == b""
    assert not refused(house)


def test_addresses_that_are_not_let_in(store: Store, context: ssl.SSLContext) -> None:
    with a_secure_house(store, allow_ips=("192.0.2.1",)) as house:
        with SecureVisitor(house.https_port, context, A) as visitor:
            visitor.sock.settimeout(PATIENCE_SECONDS)
            assert visitor.answer().status == 403
        assert refused(house) == {"address not allowed": 1}


def test_the_proxy_header_comes_first(store: Store, context: ssl.SSLContext, challenges: Challenges) -> None:
    options: dict[str, Any] = {"trusted_proxies": ("127.0.0.1",), "lb_proxy_protocol": "v1"}
    with a_secure_house(store, challenges, allow_ips=("192.0.2.0/24", "127.0.0.1"), **options) as house:
        upstream = house.upstream()
        house.client(f"{A}={upstream.url}")
        for pending in (False, True):
            if pending:
                challenges.tls[B] = b""
            header = b"PROXY TCP4 192.0.2.7 127.0.0.1 5 443\r\n"
            with SecureVisitor(house.https_port, context, A, preface=header) as visitor:
                assert visitor.ask(get("/", A)).status == 200
        assert {record.message.one("x-forwarded-for") for record in upstream.recorded} == {"192.0.2.7"}
        with SecureVisitor(house.https_port, context, A, preface=header.replace(b".2.7", b".3.7")) as visitor:
            assert visitor.answer().status == 403
        with Visitor(house.https_port) as plain:
            assert plain.ask(header + get("/", A)).status == 400


def test_header_and_hello_in_one_piece(store: Store, authority: Authority) -> None:
    options: dict[str, Any] = {"trusted_proxies": ("127.0.0.1",), "lb_proxy_protocol": "v2"}
    with a_secure_house(store, **options) as house:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = ssl.create_default_context(cafile=str(authority.ca_file)).wrap_bio(incoming, outgoing, server_hostname=B)
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        local = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"  # "a health check": no addresses
        with Visitor(house.https_port) as visitor:
            visitor.send(local + outgoing.read())
            while True:
                incoming.write(visitor.sock.recv(65536))
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    continue
            assert tls.getpeercert() is not None


def test_ipv6(store: Store, context: ssl.SSLContext) -> None:
    with (
        a_secure_house(store, data_addr="::1") as house,
        SecureVisitor(house.https_port, context, B, host="::1") as visitor,
    ):
        assert visitor.ask(get("/", B)).status == 404


# ---- TLS-ALPN-01


def authority_looks(house: House, name: str, *protocols: str) -> tuple[x509.Certificate, str | None, bytes]:
    """What an ACME authority sees: the certificate, the protocol, and what follows."""
    context = trusting(None)
    context.set_alpn_protocols(list(protocols))
    with SecureVisitor(house.https_port, context, name) as visitor:
        certificate = x509.load_der_x509_certificate(visitor.sock.getpeercert(binary_form=True))
        if protocols == ("acme-tls/1",) and visitor.sock.selected_alpn_protocol():
            return certificate, visitor.sock.selected_alpn_protocol(), visitor.sock.recv(1)
        return certificate, visitor.sock.selected_alpn_protocol(), b""


def acme_identifiers(certificate: x509.Certificate) -> list[bytes]:
    return [
        one.value.value
        for one in certificate.extensions
        if isinstance(one.value, x509.UnrecognizedExtension) and one.oid.dotted_string == "1.3.6.1.5.5.7.1.31"
    ]


def test_a_pending_challenge_is_answered(house: House, challenges: Challenges, context: ssl.SSLContext) -> None:
    challenges.tls["new.example"] = tls_answer("new.example", b"authorization")
    certificate, protocol, rest = authority_looks(house, "NEW.example", "acme-tls/1")
    assert acme_identifiers(certificate) == [b"\x04\x20" + hashlib.sha256(b"authorization").digest()]
    assert (protocol, rest) == ("acme-tls/1", b"")
    # Everybody else sees what they always see.
    for name, protocols in (
        (B, ("acme-tls/1",)),
        ("new.example", ("http/1.1",)),
        ("new.example", ("acme-tls/1", "h2")),
    ):
        certificate, protocol, _ = authority_looks(house, name, *protocols)
        assert not acme_identifiers(certificate) and protocol != "acme-tls/1"
    with SecureVisitor(house.https_port, context, B) as visitor:
        assert visitor.ask(get("/", B)).status == 404
    with Visitor(house.https_port) as plain:
        assert plain.ask(get("/", A)).status == 400
    challenges.tls.clear()
    certificate, protocol, _ = authority_looks(house, "new.example", "acme-tls/1")
    assert not acme_identifiers(certificate) and protocol is None


def test_a_challenge_before_there_is_any_certificate(challenges: Challenges) -> None:
    challenges.tls[A] = tls_answer(A, b"authorization")
    with a_secure_house(Store(), challenges) as house:
        assert acme_identifiers(authority_looks(house, A, "acme-tls/1")[0])
        house.visitors.append(Visitor(house.https_port))
        house.visitors[-1].send(b"\x16\x03\x01")
        gevent.sleep(0)  # and the server ends while it waits for the rest
