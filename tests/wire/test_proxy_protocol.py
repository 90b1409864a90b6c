"""PROXY headers: the specification's examples, every way to get one wrong, any bytes, and haproxy as second opinion."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from appliance.wire.proxy_protocol import (
    MAX_V1_BYTES,
    MAX_V2_BYTES,
    Endpoint,
    Header,
    ProxyProtocolError,
    encode,
    parse,
)

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
IPV4 = bytes((192, 0, 2, 1, 198, 51, 100, 2)) + struct.pack("!HH", 56324, 443)
IPV6 = b"\x20\x01\x0d\xb8" + bytes(11) + b"\1" + bytes(15) + b"\1" + struct.pack("!HH", 65535, 0)


def v2(command: int, family: int, block: bytes, length: int | None = None) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(block) if length is None else length) + block


def tlv(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


FUZZ = settings(max_examples=300, deadline=None)

ENCODED = [
    ("v1", ("192.168.0.1", 56324), ("192.168.0.11", 443), b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"),
    ("v1", ("2001:db8::1", 65535), ("::1", 0), b"PROXY TCP6 2001:db8::1 ::1 65535 0\r\n"),
    ("v1", ("fe80::1%eth0", 1), ("fe80::2%eth0", 2), b"PROXY TCP6 fe80::1 fe80::2 1 2\r\n"),
    ("v1", ("::ffff:192.0.2.1", 1), ("::ffff:192.0.2.2", 2), b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"),
    ("v1", ("192.0.2.1", 1), ("2001:db8::1", 2), b"PROXY TCP6 ::ffff:c000:201 2001:db8::1 1 2\r\n"),
    ("v1", ("2001:db8::1", 1), ("::ffff:192.0.2.1", 2), b"PROXY TCP6 2001:db8::1 ::ffff:c000:201 1 2\r\n"),
    ("v1", None, ("192.0.2.1", 2), b"PROXY UNKNOWN\r\n"),
    ("v1", ("192.0.2.1", 2), None, b"PROXY UNKNOWN\r\n"),
    ("v1", ("unix", 0), ("192.0.2.1", 2), b"PROXY UNKNOWN\r\n"),
    ("v1", ("192.0.2.1", 2), ("", 0), b"PROXY UNKNOWN\r\n"),
    ("v2", ("192.0.2.1", 56324), ("198.51.100.2", 443), v2(0x21, 0x11, IPV4)),
    ("v2", ("::ffff:192.0.2.1", 56324), ("198.51.100.2", 443), v2(0x21, 0x11, IPV4)),
    ("v2", ("2001:db8::1", 65535), ("::1", 0), v2(0x21, 0x21, IPV6)),
    (
        "v2",
        ("192.0.2.1", 258),
        ("::1", 772),
        v2(0x21, 0x21, bytes(10) + b"\xff\xff\xc0\0\2\1" + bytes(15) + b"\1\1\2\3\4"),
    ),
    ("v2", None, None, v2(0x20, 0, b"")),
    ("v2", ("unix", 0), ("192.0.2.1", 2), v2(0x20, 0, b"")),
]


@pytest.mark.parametrize(("version", "source", "destination", "expected"), ENCODED)
def test_encode(version: str, source: Endpoint | None, destination: Endpoint | None, expected: bytes) -> None:
    assert encode(version, source, destination) == expected


@pytest.mark.parametrize("port", [-1, 65536])
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_port_out_of_range_is_a_mistake_of_the_caller(version: str, port: int) -> None:
    with pytest.raises(ValueError, match="two ports"):
        encode(version, ("192.0.2.1", 1), ("192.0.2.1", port))


@pytest.mark.parametrize("version", ["", "1", "V1", "v3"])
def test_other_versions_are_a_mistake_of_the_caller(version: str) -> None:
    for call in (lambda: encode(version, None, None), lambda: parse(b"", version)):
        with pytest.raises(ValueError, match="no version of the PROXY protocol") as caught:
            call()
        assert not isinstance(caught.value, ProxyProtocolError)


LONGEST_IPV6 = b"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
PARSED = [
    ("v1", b"PROXY TCP4 192.0.2.1 198.51.100.2 0 65535\r\n", ("192.0.2.1", 0), ("198.51.100.2", 65535)),
    ("v1", b"PROXY TCP4 0.0.0.0 255.255.255.255 65535 65535\r\n", ("0.0.0.0", 65535), ("255.255.255.255", 65535)),
    ("v1", b"PROXY TCP6 2001:DB8:0:0::0001 ::1 1 2\r\n", ("2001:db8::1", 1), ("::1", 2)),
    ("v1", b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:c000:202 1 2\r\n", ("192.0.2.1", 1), ("192.0.2.2", 2)),
    (
        "v1",
        b"PROXY TCP6 %b %b 1 2\r\n" % (LONGEST_IPV6, LONGEST_IPV6),
        (LONGEST_IPV6.decode(), 1),
        (LONGEST_IPV6.decode(), 2),
    ),
    ("v1", b"PROXY UNKNOWN\r\n", None, None),
    ("v1", b"PROXY UNKNOWN \r\n", None, None),
    ("v1", b"PROXY UNKNOWN \0\xff anything 1.2.3.4\r\n", None, None),
    ("v1", b"PROXY UNKNOWN %b %b 65535 65535\r\n" % (LONGEST_IPV6, LONGEST_IPV6), None, None),
    ("v2", v2(0x21, 0x11, IPV4), ("192.0.2.1", 56324), ("198.51.100.2", 443)),
    ("v2", v2(0x21, 0x21, IPV6), ("2001:db8::1", 65535), ("::1", 0)),
    ("v2", v2(0x21, 0x21, (bytes(10) + b"\xff\xff\xc0\0\2\1") * 2 + b"\0\1\0\2"), ("192.0.2.1", 1), ("192.0.2.1", 2)),
    ("v2", v2(0x21, 0x11, IPV4 + tlv(4, b"") + tlv(5, b"x" * 128)), ("192.0.2.1", 56324), ("198.51.100.2", 443)),
    ("v2", v2(0x21, 0x21, IPV6 + tlv(1, b"h2") + tlv(0x20, b"\1" * 9)), ("2001:db8::1", 65535), ("::1", 0)),
    ("v2", v2(0x21, 0x11, IPV4 + tlv(4, bytes(MAX_V2_BYTES - 31))), ("192.0.2.1", 56324), ("198.51.100.2", 443)),
    ("v2", v2(0x20, 0, b""), None, None),
    ("v2", v2(0x20, 0x11, IPV4), None, None),
    ("v2", v2(0x20, 0x11, b"short"), None, None),
    ("v2", v2(0x20, 0xFF, b"\1\2"), None, None),  # LOCAL: the family is ignored
    ("v2", v2(0x21, 0, b""), None, None),
    ("v2", v2(0x21, 0, b"what it may be"), None, None),
    ("v2", v2(0x21, 0x12, IPV4 + tlv(4, b"x")), None, None),  # UDP
    ("v2", v2(0x21, 0x22, IPV6), None, None),
    ("v2", v2(0x21, 0x31, bytes(216)), None, None),  # Unix
    ("v2", v2(0x21, 0x32, bytes(216) + tlv(4, b"")), None, None),
]


@pytest.mark.parametrize(("version", "data", "source", "destination"), PARSED)
def test_parse(version: str, data: bytes, source: Endpoint | None, destination: Endpoint | None) -> None:
    expected = Header(source, destination, len(data))
    assert parse(data, version) == expected
    assert parse(data + b"GET / HTTP/1.1\r\n\r\n", version) == expected
    assert parse(memoryview(bytearray(data)), version) == expected
    assert all(parse(data[:size], version) is None for size in range(len(data)))


def test_the_longest_v1_line_has_107_bytes() -> None:
    longest = b"PROXY UNKNOWN".ljust(MAX_V1_BYTES - 2) + b"\r\n"
    assert parse(longest, "v1") == Header(None, None, MAX_V1_BYTES)
    with pytest.raises(ProxyProtocolError, match="over 107 bytes"):
        parse(longest[:-2] + b" \r\n", "v1")


# Each with how many of its bytes it takes to see that it is wrong.
MALFORMED = [
    ("v1", b"GET / HTTP/1.1\r\n", 1, "does not begin with"),
    ("v1", b"\r\n", 1, "does not begin with"),
    ("v1", b"proxy TCP4", 1, "does not begin with"),
    ("v1", b"PROXY  TCP4", 7, "does not begin with"),
    ("v1", b"PROXY TCP5 ", 10, "does not begin with"),
    ("v1", b"PROXY UDP4 ", 8, "does not begin with"),
    ("v1", b"PROXY TCP4\t", 11, "does not begin with"),
    ("v1", b"PROXY UNKNOWN\n", 14, "does not begin with"),
    ("v1", b"PROXY UNKNOWNS\r\n", 14, "does not begin with"),
    ("v1", v2(0x21, 0x11, IPV4), 1, "does not begin with"),
    ("v1", b"PROXY UNKNOWN \n", 15, "carriage return and line feed"),
    ("v1", b"PROXY UNKNOWN a\rb\r\n", 17, "carriage return and line feed"),
    ("v1", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n", 35, "carriage return and line feed"),
    ("v1", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\r\n", 36, "carriage return and line feed"),
    ("v1", b"PROXY TCP6 " + b"f" * 200, 107, "over 107 bytes"),
    ("v1", b"PROXY UNKNOWN ".ljust(106) + b"\r\n", 107, "over 107 bytes"),
    ("v1", b"PROXY TCP4 \r\n", 13, "two addresses and two ports"),
    ("v1", b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", 34, "two addresses and two ports"),
    ("v1", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n", 37, "two addresses and two ports"),
    ("v1", b"PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n", 37, "two addresses and two ports"),
    ("v1", b"PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n", 37, "two addresses and two ports"),
    ("v1", b"PROXY TCP4 ::1 ::1 1 2\r\n", 24, "not IPv4"),
    ("v1", b"PROXY TCP4 192.0.2.1 ::1 1 2\r\n", 30, "not IPv4"),
    ("v1", b"PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n", 37, "not IPv4"),
    ("v1", b"PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n", 38, "not IPv4"),
    ("v1", b"PROXY TCP4 192.0.2 192.0.2.2 1 2\r\n", 34, "not IPv4"),
    ("v1", b"PROXY TCP4 host.example 192.0.2.2 1 2\r\n", 39, "not IPv4"),
    ("v1", b"PROXY TCP4 192.0.2.\xb2 192.0.2.2 1 2\r\n", 36, "not IPv4"),
    ("v1", b"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n", 36, "not IPv6"),
    ("v1", b"PROXY TCP6 ::1 192.0.2.2 1 2\r\n", 30, "not IPv6"),
    ("v1", b"PROXY TCP6 ::1%lo ::1 1 2\r\n", 27, "not IPv6"),
    ("v1", b"PROXY TCP6 [::1] [::1] 1 2\r\n", 28, "not IPv6"),
    ("v1", b"PROXY TCP6 1::2::3 ::1 1 2\r\n", 28, "not IPv6"),
    ("v1", b"PROXY TCP6 1:2:3:4:5:6:7:8:9 ::1 1 2\r\n", 38, "not IPv6"),
    ("v1", b"PROXY TCP6 00001::1 ::1 1 2\r\n", 29, "not IPv6"),
    ("v1", b"PROXY TCP6 ::ffff:192.0.2.01 ::1 1 2\r\n", 38, "not IPv6"),
    ("v1", b"PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n", 40, "port"),
    ("v1", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 123456\r\n", 41, "port"),
    ("v1", b"PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n", 37, "port"),
    ("v1", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 00\r\n", 37, "port"),
    ("v1", b"PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n", 37, "port"),
    ("v1", b"PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n", 37, "port"),
    ("v1", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 1_0\r\n", 38, "port"),
    ("v1", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\0\r\n", 37, "port"),
    ("v2", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", 1, "does not begin with"),
    ("v2", b"\r\n\r\n\r\n", 5, "does not begin with"),
    ("v2", SIGNATURE[:-1] + b"\r", 12, "does not begin with"),
    ("v2", v2(0x11, 0x11, IPV4), 13, "version or command"),
    ("v2", v2(0x31, 0x11, IPV4), 13, "version or command"),
    ("v2", v2(0x22, 0x11, IPV4), 13, "version or command"),
    ("v2", v2(0x2F, 0x11, IPV4), 13, "version or command"),
    ("v2", v2(0x21, 0x41, IPV4), 14, "family or transport"),
    ("v2", v2(0x21, 0xF0, IPV4), 14, "family or transport"),
    ("v2", v2(0x21, 0x13, IPV4), 14, "family or transport"),
    ("v2", v2(0x21, 0x03, b""), 14, "family or transport"),
    ("v2", v2(0x21, 0x11, IPV4[:-1]), 16, "too short"),
    ("v2", v2(0x21, 0x12, b""), 16, "too short"),
    ("v2", v2(0x21, 0x21, IPV6[:-1]), 16, "too short"),
    ("v2", v2(0x21, 0x21, IPV4), 16, "too short"),
    ("v2", v2(0x21, 0x31, bytes(215)), 16, "too short"),
    ("v2", v2(0x21, 0x11, IPV4, MAX_V2_BYTES - 15), 16, "over 4112 bytes"),
    ("v2", v2(0x20, 0, b"", 65535), 16, "over 4112 bytes"),
    ("v2", v2(0x21, 0x11, IPV4 + b"\4"), 29, "extension"),
    ("v2", v2(0x21, 0x11, IPV4 + b"\4\0"), 30, "extension"),
    ("v2", v2(0x21, 0x11, IPV4 + b"\4\0\1"), 31, "extension"),
    ("v2", v2(0x21, 0x21, IPV6 + tlv(4, b"x") + b"\4\xff\xff"), 59, "extension"),
    ("v2", v2(0x21, 0x31, bytes(216) + b"\4"), 233, "extension"),
]


@pytest.mark.parametrize(("version", "data", "seen_at", "reason"), MALFORMED)
def test_malformed(version: str, data: bytes, seen_at: int, reason: str) -> None:
    assert all(parse(data[:size], version) is None for size in range(seen_at))
    for size in range(seen_at, len(data) + 1):
        with pytest.raises(ProxyProtocolError, match=reason):
            parse(data[:size], version)
    with pytest.raises(ProxyProtocolError) as caught:
        parse(data + bytes(5000), version)
    assert reason in str(caught.value)
    assert str(caught.value).isprintable()


def outcome(data: bytes, version: str) -> Header | str | None:
    try:
        return parse(data, version)
    except ProxyProtocolError as error:
        return str(error)


MORSELS = [
    *(b"PROXY ", b"TCP4 ", b"TCP6 ", b"UNKNOWN", b" ", b"\r\n", b"\r", b"\n", b"192.0.2.1", b"::1", b"0", b"65535"),
    *(SIGNATURE, b"\x21", b"\x20", b"\x11", b"\0\x0c", b"\0\x0f", b"\0\0", IPV4, IPV6, tlv(4, b""), tlv(5, b"x")),
    *(
        b"PROXY TCP4 192.0.2.1 192.0.2.2 ",
        b"PROXY TCP6 ::1 ::2 ",
        SIGNATURE + b"\x21\x11",
        SIGNATURE + b"\x21\x21\0\x24",
    ),
]
any_bytes = st.lists(st.sampled_from(MORSELS) | st.binary(max_size=4), max_size=12).map(b"".join)


@FUZZ
@given(any_bytes, st.sampled_from(("v1", "v2")))
@example(b"PROXY TCP4 1\rx".ljust(MAX_V1_BYTES), "v1")
@example(b"PROXY TCP4 1".ljust(106) + b"\rx", "v1")
def test_any_bytes_whole_and_byte_by_byte(data: bytes, version: str) -> None:
    whole = outcome(data, version)
    sizes = (outcome(data[:size], version) for size in range(len(data) + 1))
    assert next((found for found in sizes if found is not None), None) == whole
    if whole is None:
        assert len(data) < {"v1": MAX_V1_BYTES, "v2": MAX_V2_BYTES}[version]
    if isinstance(whole, Header):
        assert 0 < whole.size <= len(data)
        again = encode(version, whole.source, whole.destination)
        assert parse(again, version) == Header(whole.source, whole.destination, len(again))


ports = st.integers(0, 65535)
endpoints = st.tuples(st.ip_addresses(), ports)


@FUZZ
@given(endpoints, endpoints, st.sampled_from(("v1", "v2")), st.binary(max_size=20))
def test_what_is_encoded_is_parsed(
    source: tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int],
    destination: tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int],
    version: str,
    after: bytes,
) -> None:
    header = encode(version, (str(source[0]), source[1]), (str(destination[0]), destination[1]))
    parsed = parse(header + after, version)
    assert parsed is not None
    assert parsed.size == len(header) <= MAX_V1_BYTES
    for given_ip, found in ((source, parsed.source), (destination, parsed.destination)):
        assert found is not None
        address, port = given_ip
        assert found[1] == port
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        assert ipaddress.ip_address(found[0]) == (mapped or address)


PATIENCE_SECONDS = 10  # bound of every wait; nothing takes nearly as long where all is well
HAPROXY = """
defaults
    mode tcp
    timeout connect {seconds}s
    timeout client {seconds}s
    timeout server {seconds}s
listen visitors
    bind fd@{descriptor} {bind}
    server upstream 127.0.0.1:{port} {send}
"""
FAMILIES = [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
SENT = [("v1", "send-proxy"), ("v2", "send-proxy-v2"), ("v2", "send-proxy-v2 proxy-v2-options crc32c")]


@contextlib.contextmanager
def through_haproxy(
    directory: Path, family: socket.AddressFamily, host: str, bind: str, send: str, first: bytes = b""
) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection to haproxy on which `first` was sent, and the one that haproxy makes of it."""
    with contextlib.ExitStack() as stack:
        # Both listen before haproxy runs, so that nobody has to wait until it does.
        front = stack.enter_context(socket.create_server((host, 0), family=family))
        upstream = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        upstream.settimeout(PATIENCE_SECONDS)
        configuration = directory / "haproxy.cfg"
        values = {"seconds": PATIENCE_SECONDS, "descriptor": front.fileno(), "port": upstream.getsockname()[1]}
        configuration.write_text(HAPROXY.format(bind=bind, send=send, **values))
        command = ["/usr/sbin/haproxy", "-db", "-q", "-f", str(configuration)]
        child = stack.enter_context(subprocess.Popen(command, pass_fds=[front.fileno()]))
        stack.callback(child.kill)
        visitor = stack.enter_context(socket.create_connection(front.getsockname()[:2], PATIENCE_SECONDS))
        visitor.sendall(first)
        received = stack.enter_context(upstream.accept()[0])
        received.settimeout(PATIENCE_SECONDS)
        yield visitor, received


def read_header(connection: socket.socket, version: str) -> tuple[Header, bytes]:
    """The header that comes, and all that comes after it."""
    data = b""
    header = None
    while piece := connection.recv(65536):
        data += piece
        header = header or parse(data, version)
    assert header is not None, data
    return header, data[header.size :]


@pytest.mark.parametrize(("family", "host"), FAMILIES)
@pytest.mark.parametrize(("version", "send"), SENT)
def test_haproxys_headers_are_understood(
    tmp_path: Path, version: str, send: str, family: socket.AddressFamily, host: str
) -> None:
    with through_haproxy(tmp_path, family, host, "", send) as (visitor, received):
        visitor.sendall(b"\r\nhello")
        visitor.shutdown(socket.SHUT_WR)
        header, rest = read_header(received, version)
        assert (header.source, header.destination) == (visitor.getsockname()[:2], visitor.getpeername()[:2])
        assert rest == b"\r\nhello"


ENDS = [
    (("192.0.2.7", 65535), ("198.51.100.8", 1)),
    (("2001:db8::7", 7), ("2001:db8::8", 8)),
    (("2001:db8::7", 7), ("192.0.2.8", 8)),
    (("192.0.2.7", 7), ("2001:db8::8", 8)),
]


@pytest.mark.parametrize(("source", "destination"), ENDS)
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_haproxy_understands_our_headers(tmp_path: Path, version: str, source: Endpoint, destination: Endpoint) -> None:
    other, send = ("v2", "send-proxy-v2") if version == "v1" else ("v1", "send-proxy")
    ours = encode(version, source, destination) + b"hello"
    with through_haproxy(tmp_path, *FAMILIES[0], "accept-proxy", send, ours) as (visitor, received):
        visitor.shutdown(socket.SHUT_WR)
        header, rest = read_header(received, other)
        assert (header.source, header.destination, rest) == (source, destination, b"hello")
