"""The PROXY protocol (haproxy's `proxy-protocol.txt`), versions 1 and 2: a visitor's address ahead of its bytes.

One version is configured and that one alone is accepted: guessing would let visitors claim any address
(the specification, section 2). Not here: whose header is believed, and how long to wait for it.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from dataclasses import dataclass

V1, V2 = "v1", "v2"

MAX_V1_BYTES = 107  # section 2.1
MAX_V2_BYTES = 16 + 4096  # ours: the addresses take 216 bytes at most, the rest is for certificate names and the like

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_V1_BEGINNINGS = (b"PROXY TCP4 ", b"PROXY TCP6 ", b"PROXY UNKNOWN\r", b"PROXY UNKNOWN ")
_v1_address = re.compile(rb"[0-9A-Fa-f:.]{2,45}").fullmatch  # no zones, which `ipaddress` would take
_v1_ending = re.compile(rb"[\r\n]").search
_v1_port = re.compile(rb"0|[1-9][0-9]{0,4}").fullmatch

_MAPPED = bytes(10) + b"\xff\xff"  # what makes IPv6 of an IPv4 address (RFC 4291, section 2.5.5.2)

_LOCAL, _PROXY = 0x20, 0x21
_TCP4, _TCP6 = 0x11, 0x21
_ADDRESS_BYTES = {0: 0, 1: 12, 2: 36, 3: 216}  # by address family: none, IPv4, IPv6, Unix
_LAST_TRANSPORT = 2  # none, stream, datagram
_v2_head = struct.Struct("!12sBBH").pack
_tlv_length = struct.Struct("!xH").unpack_from

Endpoint = tuple[str, int]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class ProxyProtocolError(ValueError):
    """The connection does not begin with a header of the configured version, whole and in order."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a header says: (IP address as text, port) of both ends, and how many bytes it takes.

    Both are None where the sender names no TCP connection over IP (UNKNOWN, LOCAL): the connection's own addresses
    hold. IPv4 addresses mapped into IPv6 are given as IPv4, so that lists of addresses see one spelling.
    """

    source: Endpoint | None
    destination: Endpoint | None
    size: int


def encode(version: str, source: Endpoint | None, destination: Endpoint | None) -> bytes:
    """The header for a connection from `source` to `destination`, each an IP address and a port.

    Where either is not known, or no IP address ("unix"), the header says so: UNKNOWN in v1, LOCAL in v2, which every
    receiver must accept. Of two families, the IPv4 address is mapped into IPv6.
    """
    if version not in (V1, V2):
        raise ValueError(f"{version!r} is no version of the PROXY protocol")
    source_ip, destination_ip = source and _address(source[0]), destination and _address(destination[0])
    if not source or not destination or not source_ip or not destination_ip:
        return b"PROXY UNKNOWN\r\n" if version == V1 else _v2_head(_SIGNATURE, _LOCAL, 0, 0)
    ports = source[1], destination[1]
    if min(ports) < 0 or max(ports) > 65535:
        raise ValueError(f"{ports} are not two ports")
    in_ipv4 = source_ip.version == destination_ip.version == 4
    addresses = [ip.packed if in_ipv4 or ip.version == 6 else _MAPPED + ip.packed for ip in (source_ip, destination_ip)]
    if version == V1:
        hosts = b" ".join(map(_v1_text, addresses))
        return b"PROXY TCP%d %b %d %d\r\n" % (4 if in_ipv4 else 6, hosts, *ports)
    block = b"".join(addresses) + struct.pack("!HH", *ports)
    return _v2_head(_SIGNATURE, _PROXY, _TCP4 if in_ipv4 else _TCP6, len(block)) + block


def parse(data: bytes | bytearray | memoryview, version: str) -> Header | None:
    """The header at the beginning of `data`; None where more bytes are needed, which are never more than MAX_V1_BYTES
    or MAX_V2_BYTES in all. Raises ProxyProtocolError, at the first byte that no header has at its place.
    """
    if version == V1:
        return _parse_v1(bytes(data[:MAX_V1_BYTES]))
    if version == V2:
        return _parse_v2(bytes(data[:MAX_V2_BYTES]))
    raise ValueError(f"{version!r} is no version of the PROXY protocol")


def _parse_v1(line: bytes) -> Header | None:
    if not any(line.startswith(beginning) or beginning.startswith(line) for beginning in _V1_BEGINNINGS):
        raise ProxyProtocolError("the connection does not begin with a PROXY v1 header")
    ending = _v1_ending(line)
    end = ending.start() if ending else len(line)
    if line[end : end + 2] != b"\r\n":
        if line[end:] not in (b"", b"\r"):
            raise ProxyProtocolError("a PROXY v1 header does not end with carriage return and line feed, both")
        if len(line) == MAX_V1_BYTES:
            raise ProxyProtocolError(f"a PROXY v1 header is over {MAX_V1_BYTES} bytes")
        return None
    size = end + 2
    if line.startswith(b"PROXY UNKNOWN"):  # what may follow it must be ignored
        return Header(None, None, size)
    fields = line[len("PROXY TCP4 ") : end].split(b" ")
    if len(fields) != 4:
        raise ProxyProtocolError("a PROXY v1 header has not two addresses and two ports, one space between")
    family = 4 if line.startswith(b"PROXY TCP4") else 6
    source, destination = (_v1_host(text, family) for text in fields[:2])
    source_port, destination_port = map(_v1_port_number, fields[2:])
    return Header((source, source_port), (destination, destination_port), size)


def _v1_host(text: bytes, family: int) -> str:
    if _v1_address(text):
        try:
            if family == 4:
                return str(ipaddress.IPv4Address(text.decode()))  # refuses leading zeros
            return str(_unmapped(ipaddress.IPv6Address(text.decode())))
        except ValueError:
            pass
    raise ProxyProtocolError(f"a PROXY v1 header has an address that is not IPv{family}")


def _v1_port_number(text: bytes) -> int:
    if not _v1_port(text) or int(text) > 65535:
        raise ProxyProtocolError("a PROXY v1 header has a port that is no number from 0 to 65535")
    return int(text)


def _parse_v2(data: bytes) -> Header | None:
    if data[:12] != _SIGNATURE[: len(data)]:
        raise ProxyProtocolError("the connection does not begin with a PROXY v2 header")
    if len(data) < 13:
        return None
    command = data[12]
    if command not in (_LOCAL, _PROXY):
        raise ProxyProtocolError("a PROXY v2 header has a version or command that is not defined")
    if len(data) < 14:
        return None
    family, transport = data[13] >> 4, data[13] & 0x0F
    if command == _PROXY and (family not in _ADDRESS_BYTES or transport > _LAST_TRANSPORT):
        raise ProxyProtocolError("a PROXY v2 header has an address family or transport that is not defined")
    if len(data) < 16:
        return None
    size = 16 + int.from_bytes(data[14:16], "big")
    if size > MAX_V2_BYTES:
        raise ProxyProtocolError(f"a PROXY v2 header is over {MAX_V2_BYTES} bytes")
    address_bytes = _ADDRESS_BYTES.get(family, 0)
    if command == _PROXY and size < 16 + address_bytes:
        raise ProxyProtocolError("a PROXY v2 header is too short for its addresses")
    if len(data) < size:
        return None
    if command == _LOCAL or not family or not transport:
        return Header(None, None, size)  # what it holds has no known form: section 2.2 says to skip it
    _check_tlvs(data, 16 + address_bytes, size)
    if data[13] not in (_TCP4, _TCP6):
        return Header(None, None, size)  # a connection that is not TCP over IP, as good as unknown
    width = (address_bytes - 4) // 2
    hosts = [str(_unmapped(ipaddress.ip_address(data[at : at + width]))) for at in (16, 16 + width)]
    source_port, destination_port = struct.unpack_from("!HH", data, 16 + 2 * width)
    return Header((hosts[0], source_port), (hosts[1], destination_port), size)


def _check_tlvs(data: bytes, position: int, size: int) -> None:
    """Types and values are nothing to us, but what does not add up to the header's end is no header."""
    while position <= size - 3:
        position += 3 + int(_tlv_length(data, position)[0])
    if position != size:
        raise ProxyProtocolError("a PROXY v2 header has an extension that ends outside of it")


def _address(host: str) -> Address | None:
    """The IP address in `host`, IPv4 where it is one in IPv6's clothes; None where there is none."""
    try:
        return _unmapped(ipaddress.ip_address(host))
    except ValueError:
        return None


def _unmapped(address: Address) -> Address:
    return (address.ipv4_mapped or address) if address.version == 6 else address


def _v1_text(packed: bytes) -> bytes:
    """An address of 4 or 16 bytes in v1's grammar, which has no dots in IPv6 (Python 3.13 would write them)."""
    if packed.startswith(_MAPPED):
        return b"::ffff:%x:%x" % struct.unpack("!HH", packed[12:])
    return str(ipaddress.ip_address(packed)).encode()
