"""Names in the DNS: whether they are there, and whose addresses they have."""

import ipaddress
import socket
from collections.abc import Iterable

from appliance.cli.doctor.findings import ERROR, OK, WARNING, Finding, Findings
from appliance.cli.doctor.machine import has_route

_PLAIN_PROBE = "sluice-doctor"  # what stands for the star in a wildcard


def addresses_of(name: str) -> tuple[str, ...]:
    """In the order of the resolver, IPv4 and IPv6. Raises OSError."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise OSError(0, "not a host name") from None
    return tuple(dict.fromkeys(str(item[4][0]) for item in found))


def is_found(name: str) -> bool:
    try:
        return is_number(name) or bool(addresses_of(spelled(name)))
    except OSError:
        return False


def is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def spelled(pattern: str) -> str:
    """A name that can be looked up, of one that may be a wildcard."""
    return pattern.replace("*", _PLAIN_PROBE, 1)


def is_here(address: str) -> bool:
    """Whether this machine has the address: only then can something be bound to it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.bind((address, 0))
    except OSError:
        return False
    return True


def look_at_own(names: Iterable[str]) -> Findings:
    """Names under which this machine is to be reached."""
    for name in dict.fromkeys(names):
        yield _own(name)


def _own(name: str) -> Finding:
    try:
        found = addresses_of(spelled(name))
    except OSError as error:
        fix = "add an A record (and AAAA, for IPv6) with this server's public address where the domain's DNS is kept"
        return Finding("dns", ERROR, f"{name} has no address ({error.strerror or error})", fix)
    listed = ", ".join(found)
    if all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in found):
        fix = "look at /etc/hosts; others need the public address in the DNS"
        return Finding("dns", WARNING, f"{name} is {listed}: this machine alone understands that", fix)
    if any(":" in address for address in found) and not has_route(socket.AF_INET6):
        fix = "remove the AAAA record, or give this machine IPv6"
        return Finding("dns", WARNING, f"{name} is {listed}, and this machine has no IPv6", fix)
    if any(is_here(address) for address in found):
        return Finding("dns", OK, f"{name} is {listed}: this machine")
    return Finding("dns", OK, f"{name} is {listed}: a router, a load balancer or a cloud must lead that here")


def look_at_visitors(patterns: Iterable[str], server: tuple[str, ...], where: str) -> Findings:
    """Names that visitors use, of a client: they must lead to its server, which has these addresses."""
    for name in dict.fromkeys(patterns):
        try:
            found = addresses_of(spelled(name))
        except OSError as error:
            record = f"an A record with {server[0]}" if server else f"a CNAME record to {where}"
            text = f"{name} has no address ({error.strerror or error}): visitors do not find it"
            yield Finding("dns", WARNING, text, f"add {record} where the domain's DNS is kept")
            continue
        if set(found) & set(server):
            yield Finding("dns", OK, f"{name} leads to the server ({', '.join(found)})")
        else:
            text = f"{name} is {', '.join(found)}, and the server is {', '.join(server) or where}"
            yield Finding("dns", WARNING, text, "right if a CDN or proxy is in front; else change the name's records")
