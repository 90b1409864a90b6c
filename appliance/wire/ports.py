"""Specifications of TCP tunnels: sets of ports, what a client offers on which port, what may be forwarded to.

Grammar, in each flag: commas separate, spaces around pieces do not count, the flag may be given again.

    ports                443    1024-65535    *
    upstream             HOST    HOST:PORT    PORT=HOST:PORT    PORT=unix:/socket
    local forward        LPORT:HOST:PORT
    rule for forwards    HOST:PORTS    CIDR:PORTS    [IPv6 CIDR]:PORTS    PORTS (of the host before)
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from appliance.wire.address import AddressError, host_key, join_host_port, parse_target
from appliance.wire.messages import MAX_UPSTREAMS

_LAST = 65535
_HOST = r"\[[^\[\]]*\]|[^:\[\]]+"
_ports = re.compile(r"([0-9]+)(?:\s*-\s*([0-9]+))?").fullmatch
_host_port = re.compile(rf"({_HOST}):([0-9]+)").fullmatch
_local_forward = re.compile(rf"([0-9]+):({_HOST}):([0-9]+)").fullmatch
_rule = re.compile(rf"({_HOST}):([0-9*].*)").fullmatch
_port_prefix = re.compile(r"([^=/]*)=(.*)").fullmatch  # a socket's path may have an = of its own
# Neither netmasks nor zones, which `ipaddress` would take.
_network = re.compile(r"\[([0-9A-Fa-f:.]+(?:/[0-9]+)?)\]|([0-9.]+(?:/[0-9]+)?)").fullmatch
_bare_host = re.compile(r"[^\[\]:]+|\[.*\]|[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*").fullmatch

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class PortSet:
    """Ports, as ranges in order that neither overlap nor touch."""

    ranges: tuple[tuple[int, int], ...] = ()

    @classmethod
    def parse(cls, *texts: str) -> PortSet:
        """Of "1024-65535,443", or "*" for all. Raises AddressError."""
        found = cls._of([_port_range(piece) for piece in _pieces(texts)])
        if not found:
            raise AddressError("no port is given: write 443, 1024-65535, or * for all")
        return found

    @classmethod
    def _of(cls, given: Iterable[tuple[int, int]]) -> PortSet:
        merged: list[tuple[int, int]] = []
        for first, last in sorted(given):
            if merged and first <= merged[-1][1] + 1:
                merged[-1] = merged[-1][0], max(last, merged[-1][1])
            else:
                merged.append((first, last))
        return cls(tuple(merged))

    def without(self, ports: Iterable[int]) -> PortSet:
        """These ports but for some, such as the server's own."""
        ranges = list(self.ranges)
        for port in ports:
            ranges = [
                (first, last)
                for begin, end in ranges
                for first, last in ((begin, min(end, port - 1)), (max(begin, port + 1), end))
                if first <= last
            ]
        return PortSet(tuple(ranges))

    def __contains__(self, port: int) -> bool:
        return any(first <= port <= last for first, last in self.ranges)

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def __str__(self) -> str:
        if self.ranges == ((1, _LAST),):
            return "*"
        return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in self.ranges)


@dataclass(frozen=True, slots=True)
class PortOffer:
    """A port of the server, and the upstream that its visitors reach: ``host`` and ``target_port``, or the socket
    ``path``.
    """

    port: int
    host: str
    target_port: int
    path: str = ""

    @property
    def target(self) -> str:
        """The canonical text of what follows ``PORT=``."""
        return f"unix:{self.path}" if self.path else join_host_port(self.host, self.target_port)

    @property
    def label(self) -> str:
        """``localhost:8000``, with ``PORT=`` where visitors' port is another."""
        return self.target if self.port == self.target_port else f"{self.port}={self.target}"


def parse_tcp_upstreams(upstreams: Iterable[str], ports: Iterable[str | int] = ()) -> tuple[PortOffer, ...]:
    """What a client offers, of its ``--upstream`` and its ``--port`` and ``--ports``. Raises AddressError.

    ``PORT=HOST:PORT`` and ``HOST:PORT`` offer that port, ``HOST`` each of ``ports``, which are ports of 127.0.0.1
    where no upstream says otherwise. One port and one ``HOST:PORT`` (or socket) alone belong together.
    """
    listed = _listed(ports)
    texts = list(_pieces(upstreams))
    if len(texts) == len(listed) == 1 and not _port_prefix(texts[0]):
        return (parse_tcp_target(texts[0], listed[0]),)
    offers: list[PortOffer] = []
    hosts: list[str] = []
    unnumbered = ""
    for text in texts:
        _refuse_user(text)
        prefixed = _port_prefix(text)
        if prefixed:
            offers.append(parse_tcp_target(prefixed[2], _port(prefixed[1].strip(), text)))
            continue
        host, port, path = _target(text)
        if path:
            raise AddressError(f"{text!r} has no port of the server: write 2222={text}")
        if port:
            offers.append(PortOffer(port, host, port))
            unnumbered = text
        else:
            hosts.append(host)
    if hosts and not listed:
        raise AddressError(f"{hosts[0]!r} has no port: write {join_host_port(hosts[0], 22)}, or add --port 22")
    if not hosts:
        served = {offer.port for offer in offers}
        listed = [port for port in listed if port not in served]
        if listed and unnumbered:
            raise AddressError(f"port {listed[0]} has no upstream of its own: write {listed[0]}={unnumbered}")
    offers += [PortOffer(port, host, port) for host in hosts or ["127.0.0.1"] for port in listed]
    return _once_each(offers)


def parse_tcp_target(text: str, port: int) -> PortOffer:
    """What follows ``PORT=``: ``HOST:PORT``, ``HOST`` (the same port there), ``unix:/socket``. Raises AddressError."""
    host, target_port, path = _target(text.strip())
    _port(str(port), f"{port}={text}")
    return PortOffer(port, host, 0 if path else target_port or port, path)


def offers_a_port(text: str) -> bool:
    """Whether an upstream is ``PORT=...``, where clients offer host names, too."""
    return re.match(r"\s*[0-9]+\s*=", text) is not None


@dataclass(frozen=True, slots=True)
class LocalForward:
    """A port that the client opens, and the service of the server's network behind it."""

    local_port: int
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.local_port}:{join_host_port(self.host, self.port)}"


def parse_local_forwards(texts: Iterable[str]) -> tuple[LocalForward, ...]:
    """Of ``LPORT:HOST:PORT``, each local port once. Raises AddressError."""
    found: dict[int, LocalForward] = {}
    for text in _pieces(texts):
        matched = _local_forward(text)
        if matched is None:
            raise AddressError(f"{text!r} is not LPORT:HOST:PORT, like 5432:10.0.0.2:5432 (IPv6: [address])")
        forward = LocalForward(_port(matched[1], text), _host(matched[2], text), _port(matched[3], text))
        if found.setdefault(forward.local_port, forward) != forward:
            raise AddressError(f"local port {forward.local_port} leads to {found[forward.local_port]} and {forward}")
    return tuple(found.values())


@dataclass(frozen=True, slots=True)
class ForwardRule:
    """Ports of one host, by the name that clients ask for (``name``), or of the addresses in ``network``."""

    name: str
    network: Network | None
    ports: PortSet

    def __str__(self) -> str:
        host = self.name
        if self.network is not None:
            network = self.network
            host = str(network.network_address if network.prefixlen == network.max_prefixlen else network)
        return f"[{host}]:{self.ports}" if ":" in host else f"{host}:{self.ports}"


@dataclass(frozen=True, slots=True)
class ForwardRules:
    """Where in the server's network clients may have connections made to. LOOPBACK: where nothing else is said."""

    rules: tuple[ForwardRule, ...]

    @classmethod
    def parse(cls, *texts: str) -> ForwardRules:
        """Of "db.internal:5432,10.0.0.0/8:80,443,8000-8010,[fd00::/8]:*". Raises AddressError."""
        hosts: list[tuple[str, list[str]]] = []  # with the ports of each
        for piece in _pieces(texts):
            matched = _rule(piece)
            if matched is not None:
                hosts.append((matched[1], [matched[2]]))
            elif hosts and (piece == "*" or _ports(piece)):
                hosts[-1][1].append(piece)
            else:
                raise AddressError(
                    f"{piece!r} is neither HOST:PORTS nor CIDR:PORTS, like 10.0.0.0/8:80 or [fd00::/8]:*"
                )
        if not hosts:
            raise AddressError("no rule is given: write HOST:PORTS or CIDR:PORTS, like 10.0.0.0/8:5432")
        return cls(tuple(ForwardRule(*_rule_host(host), PortSet.parse(*of)) for host, of in hosts))

    def allows(self, host: str, resolved_ip: str, port: int) -> bool:
        """Whether a connection to ``resolved_ip`` may be made for a client that asked for ``host``.

        The caller dials this very address: a name that is resolved again may lead elsewhere.
        """
        try:
            address = ipaddress.ip_address(resolved_ip.partition("%")[0])
        except ValueError:
            return False
        if address.version == 6 and address.ipv4_mapped:
            address = address.ipv4_mapped
        name = host.lower().removesuffix(".")
        return any(
            port in rule.ports and (rule.name == name if rule.network is None else address in rule.network)
            for rule in self.rules
        )

    def __str__(self) -> str:
        return ",".join(map(str, self.rules))


def _pieces(texts: Iterable[str]) -> Iterator[str]:
    return (piece for text in texts for piece in map(str.strip, text.split(",")) if piece)


def _port(text: str, whole: str) -> int:
    if not re.fullmatch(r"[0-9]+", text):
        raise AddressError(f"{whole!r}: {text!r} is not a port")
    if len(text) > 5 or not 0 < int(text) <= _LAST:
        raise AddressError(f"{whole!r}: a port is between 1 and {_LAST}")
    return int(text)


def _port_range(text: str) -> tuple[int, int]:
    if text == "*":
        return 1, _LAST
    found = _ports(text)
    if found is None:
        raise AddressError(f"{text!r} is neither a port nor a range of ports like 1024-65535")
    first = _port(found[1], text)
    last = _port(found[2], text) if found[2] else first
    if last < first:
        raise AddressError(f"{text!r} ends before it begins: write {last}-{first}")
    return first, last


def _listed(ports: Iterable[str | int]) -> list[int]:
    """The ports of ``--port`` and ``--ports``, each once, in the order given."""
    found: dict[int, None] = {}
    for piece in _pieces(map(str, ports)):
        first, last = _port_range(piece)
        _check_count(last - first + 1)
        found.update(dict.fromkeys(range(first, last + 1)))
    return list(found)


def _once_each(offers: list[PortOffer]) -> tuple[PortOffer, ...]:
    found: dict[int, PortOffer] = {}
    for offer in offers:
        former = found.setdefault(offer.port, offer)
        if former != offer:
            raise AddressError(f"port {offer.port} is given twice, for {former.target} and {offer.target}")
    _check_count(len(found))
    return tuple(found.values())


def _check_count(count: int) -> None:
    if count > MAX_UPSTREAMS:
        raise AddressError(f"{count} ports are too many: a client may offer {MAX_UPSTREAMS}")


def _target(text: str) -> tuple[str, int, str]:
    """Host and port (0 where there is none), or "", 0 and the path of a socket."""
    if not text:
        raise AddressError("an upstream has nothing after the =: write 2222=HOST:PORT")
    _refuse_user(text)
    if text.startswith("unix:"):
        return "", 0, parse_target(text).path
    if "://" in text:
        raise AddressError(f"upstream {text!r} is a URL: for TCP, write HOST:PORT")
    found = _host_port(text)
    if found is not None:
        return _host(found[1], text), _port(found[2], text), ""
    _refuse_ambiguous(text)
    return _host(text, text), 0, ""


def _refuse_ambiguous(text: str) -> None:
    """``::1:7004``: an address, or one with a port?"""
    address, _, last = text.rpartition(":")
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        return
    raise AddressError(f"{text!r} is ambiguous: write [{address}]:{last}, or [{text}] for an address without a port")


def _refuse_user(text: str) -> None:
    if "@" in text.partition("unix:")[0]:
        raise AddressError("a user name or password cannot be part of an upstream")  # nor of this message


def _host(text: str, whole: str) -> str:
    if not _bare_host(text):
        raise AddressError(f"{whole!r} is not HOST or HOST:PORT (IPv6: [address]:port)")
    if re.fullmatch(r"[0-9]+", text):
        raise AddressError(f"{whole!r}: {text} is a number, not a host; write 127.0.0.1:{text} for a port")
    if re.fullmatch(r"[0-9.]+", text):
        try:
            return str(ipaddress.IPv4Address(text))
        except ValueError:  # the C library would make some address of it
            raise AddressError(f"{whole!r}: {text!r} is not an IPv4 address") from None
    return host_key(text)


def _rule_host(text: str) -> tuple[str, Network | None]:
    """A rule's name, or "" and its network."""
    found = _network(text)
    if found is None:
        return host_key(text), None
    try:
        if found[2]:
            return "", ipaddress.IPv4Network(found[2], strict=False)
        network = ipaddress.IPv6Network(found[1], strict=False)
    except ValueError:
        raise AddressError(f"{text!r} is neither an address nor a CIDR block like 10.0.0.0/8 or [fd00::/8]") from None
    mapped = network.network_address.ipv4_mapped
    if mapped and network.prefixlen >= 96:
        return "", ipaddress.IPv4Network((mapped, network.prefixlen - 96))
    return "", network


LOOPBACK = ForwardRules.parse("127.0.0.0/8:*", "[::1]:*")
