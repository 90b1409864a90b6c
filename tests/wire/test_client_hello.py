"""What clients of real TLS libraries say first, whole, in pieces and spoilt."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.wire.client_hello import MAX_HELLO_BYTES, ClientHello, HelloError, parse


def hello(name: str | None, *protocols: str, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.maximum_version = newest
    if protocols:
        context.set_alpn_protocols(list(protocols))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


HELLO = hello("a.example", "acme-tls/1")
EXPECTED = ClientHello("a.example", (b"acme-tls/1",))


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_hellos(newest: ssl.TLSVersion) -> None:
    assert parse(hello("A.example", "h2", "http/1.1", newest=newest)) == ClientHello("a.example", (b"h2", b"http/1.1"))
    assert parse(hello(None, newest=newest)) == ClientHello(None, ())
    assert parse(hello("b.example", newest=newest)) == ClientHello("b.example", ())


def test_what_comes_behind_does_not_matter() -> None:
    assert parse(HELLO + b"anything") == EXPECTED


def test_byte_by_byte() -> None:
    for size in range(len(HELLO)):
        assert parse(HELLO[:size]) is None
    assert parse(HELLO) == EXPECTED


@given(st.integers(1, len(HELLO) - 6))
def test_spread_over_records(size: int) -> None:
    """As clients do that hide from filters; RFC 8446 5.1 allows it."""
    message = HELLO[5:]
    pieces = [message[start : start + size] for start in range(0, len(message), size)]
    records = b"".join(HELLO[:3] + len(piece).to_bytes(2, "big") + piece for piece in pieces)
    assert parse(records) == EXPECTED
    assert parse(records[:-1]) is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "no TLS handshake"),
        (b"\x16\x03\x01\x00\x00", "impossible size"),
        (b"\x16\x03\x01\xff\xff", "impossible size"),
        (b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", "no ClientHello"),
        (b"\x16\x03\x01\x00\x04\x01\xff\xff\xff", "over 64 KiB"),
        (b"\x16\x03\x01\x00\x04\x01\x00\x00\x00", "beyond the end"),
        (b"\x16\x03\x01\x00\x02\x01\x00\x17", "no TLS handshake"),
    ],
)
def test_what_is_none(data: bytes, reason: str) -> None:
    with pytest.raises(HelloError, match=reason):
        parse(data)


@given(st.binary(max_size=600), st.integers(0, len(HELLO)), st.integers(0, 64))
def test_garbage_parses_or_is_refused(garbage: bytes, start: int, cut: int) -> None:
    for data in (garbage, HELLO[:start] + garbage + HELLO[start + cut :]):
        try:
            parse(data)
        except HelloError:
            pass


def test_a_client_cannot_make_us_read_for_ever() -> None:
    record = b"\x16\x03\x01\x40\x00" + b"\x01\x00\xff\xf0" + bytes(16380)
    more = b"\x16\x03\x01\x40\x00" + bytes(16384)
    data = record
    while parse(data) is None:
        data += more
        assert len(data) < 2 * MAX_HELLO_BYTES
