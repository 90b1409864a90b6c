"""The visitor's real address across proxies: PROXY headers to nginx, from haproxy in front, and from strangers."""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import socket
import struct
from collections.abc import Iterator

import pytest

from tests.stage.haproxy import SOURCE, Haproxy
from tests.stage.nginx import Nginx
from tests.stage.process import free_port
from tests.stage.tcp import Target, exactly, rest, turned_away, visit
from tests.stage.tunnel import Tunnel
from tests.stage.upstream import Upstream

VISITOR = "127.0.0.42"
HOSTS = {"IPv4": ("127.0.0.1", VISITOR), "IPv6": ("::1", "::1")}  # where to, and from where
REQUEST = b"GET /%s HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-For: 198.51.100.1\r\nConnection: close\r\n\r\n"
MALFORMED = {
    "v1": [
        b"PROXY TCP4 127.0.0.1\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
        b"PROXY " + b"x" * 200,
        b"\r\n\r\n\0",
    ],
    "v2": [b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n", b"SSH-2.0-x\r\n"],
}


@dataclasses.dataclass
class Stage:
    """A server that speaks `version` to both sides, with haproxy in front of its doors and its HTTP port."""

    version: str
    tunnel: Tunnel
    nginx: Nginx
    python: Upstream
    target: Target
    greeted: int
    plain: int
    haproxy: Haproxy


@pytest.fixture(scope="module", params=["v1", "v2"])
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    version: str = request.param
    directory = tmp_path_factory.mktemp("proxies")
    greeted, plain = free_port(), free_port()
    with contextlib.ExitStack() as stack:
        nginx, python, target = (
            stack.enter_context(contextlib.closing(it)) for it in (Nginx(directory), Upstream(), Target())
        )
        flags = (
            "--data-addr",
            "",
            "--proxy-protocol",
            version,
            "--lb-proxy-protocol",
            version,
            "--trusted-proxies",
            SOURCE,
        )
        tunnel = stack.enter_context(contextlib.closing(Tunnel(directory, *flags, mode="")))
        servers = {"greeted": greeted, "plain": plain, "http": tunnel.port}
        haproxy = Haproxy(directory, servers, {"v1": "send-proxy", "v2": "send-proxy-v2"}[version])
        stack.enter_context(contextlib.closing(haproxy))
        tunnel.add_client(
            "client",
            f"{greeted}=127.0.0.1:{nginx.greeted_port}",
            f"{plain}={target.address}",
            f"a.example=http://127.0.0.1:{python.port}",
        )
        yield Stage(version, tunnel, nginx, python, target, greeted, plain, haproxy)


def header(version: str, source: tuple[str, int], destination: tuple[str, int]) -> bytes:
    """What is said of a connection over TCP, by the specification's sections 2.1 and 2.2."""
    addresses = [ipaddress.ip_address(host) for host, _ in (source, destination)]
    in_ipv4 = addresses[0].version == 4
    if version == "v1":
        line = f"PROXY TCP{4 if in_ipv4 else 6} {addresses[0]} {addresses[1]} {source[1]} {destination[1]}\r\n"
        return line.encode("ascii")
    block = b"".join(address.packed for address in addresses) + struct.pack("!HH", source[1], destination[1])
    return b"\r\n\r\n\0\r\nQUIT\n" + struct.pack("!BBH", 0x21, 0x11 if in_ipv4 else 0x21, len(block)) + block


def asked(port: int, family: str) -> tuple[str, str, int]:
    """What nginx says of a visitor, and the visitor's own address and port."""
    host, source = HOSTS[family]
    with visit(port, host, source) as visitor:
        visitor.sendall(REQUEST % b"")
        answer = rest(visitor)
        return answer.partition(b"\r\n\r\n")[2].decode("ascii"), *visitor.getsockname()[:2]


# ---- towards the upstream


@pytest.mark.parametrize("family", HOSTS)
def test_nginx_learns_the_visitor(stage: Stage, family: str) -> None:
    said, host, port = asked(stage.greeted, family)
    assert said == f"{host} {port} {HOSTS[family][0]} {stage.greeted}"
    assert stage.nginx.greeted()[-1] == f"{host} {port}"


@pytest.mark.parametrize("family", HOSTS)
def test_the_header_comes_first_and_once(stage: Stage, family: str) -> None:
    """To the byte as the specification has it, before anything is said by either side."""
    host, source = HOSTS[family]
    with visit(stage.plain, host, source) as visitor, stage.target.accept() as target:
        expected = header(stage.version, visitor.getsockname()[:2], (host, stage.plain))
        assert exactly(target, len(expected)) == expected
        target.sendall(b"welcome")
        assert exactly(visitor, 7) == b"welcome"
        visitor.sendall(b"hello")
        visitor.shutdown(socket.SHUT_WR)
        assert rest(target) == b"hello"


# ---- from haproxy in front


@pytest.mark.parametrize("family", HOSTS)
def test_the_visitor_of_haproxy_is_known_to_nginx(stage: Stage, family: str) -> None:
    """By address and port both; where it went is haproxy's own address."""
    port = stage.haproxy.ports["greeted"]
    said, host, visitors_port = asked(port, family)
    assert said == f"{host} {visitors_port} {HOSTS[family][0]} {port}"
    assert stage.nginx.greeted()[-1] == f"{host} {visitors_port}"


@pytest.mark.parametrize("family", HOSTS)
def test_the_visitor_of_haproxy_is_known_in_http(stage: Stage, family: str) -> None:
    """haproxy's own address is no part of it, and what the visitor itself says is not believed."""
    host, source = HOSTS[family]
    with visit(stage.haproxy.ports["http"], host, source) as visitor:
        visitor.sendall(REQUEST % b"in-front")
        assert rest(visitor).startswith(b"HTTP/1.1 200")
    message = stage.python.requests("/in-front")[-1].message
    assert message.one("x-forwarded-for") == source


def test_a_header_in_pieces(stage: Stage) -> None:
    """With the visitor's bytes in the last of them."""
    said = header(stage.version, ("203.0.113.9", 4711), ("198.51.100.1", 22))
    with visit(stage.plain, source=SOURCE) as balancer:
        balancer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for place in range(len(said) - 1):
            balancer.sendall(said[place : place + 1])
        balancer.sendall(said[-1:] + b"hello")
        with stage.target.accept() as target:
            assert exactly(target, len(said) + 5) == said + b"hello"


def test_a_balancers_own_connection(stage: Stage) -> None:
    """As it makes to see whether we live: nothing is known of a visitor, and nothing is made up."""
    own = b"PROXY UNKNOWN\r\n" if stage.version == "v1" else b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"
    with visit(stage.plain, source=SOURCE) as balancer:
        balancer.sendall(own + b"ping")
        expected = header(stage.version, balancer.getsockname()[:2], ("127.0.0.1", stage.plain))
        with stage.target.accept() as target:
            assert exactly(target, len(expected) + 4) == expected + b"ping"


# ---- from strangers, and from balancers that say something else


def test_a_strangers_header_is_not_believed(stage: Stage) -> None:
    """Over TCP it is bytes like any other; to HTTP it is no request."""
    claimed = header(stage.version, ("203.0.113.9", 4711), ("127.0.0.1", stage.plain))
    with visit(stage.plain, source=VISITOR) as stranger, stage.target.accept() as target:
        stranger.sendall(claimed)
        stranger.shutdown(socket.SHUT_WR)
        assert rest(target) == header(stage.version, stranger.getsockname()[:2], ("127.0.0.1", stage.plain)) + claimed
    with visit(stage.tunnel.port, source=VISITOR) as stranger:
        stranger.sendall(claimed + REQUEST % b"stranger")
        assert rest(stranger).startswith(b"HTTP/1.1 400 ")
    assert not stage.python.requests("/stranger")


def test_a_malformed_header_ends_the_connection(stage: Stage) -> None:
    """Without an answer, and before the target or a client hears of it."""
    for said in MALFORMED[stage.version]:
        assert turned_away(stage.plain, source=SOURCE, data=said)
        assert turned_away(stage.tunnel.port, source=SOURCE, data=said)
    assert turned_away(stage.tunnel.port, source=SOURCE, data=REQUEST % b"no-header")
    assert not stage.target.called()
    assert not stage.python.requests("/no-header")


def test_a_header_that_does_not_end(stage: Stage) -> None:
    """The balancer leaves in the middle of it."""
    said = header(stage.version, ("203.0.113.9", 4711), ("198.51.100.1", 22))
    with visit(stage.plain, source=SOURCE) as balancer:
        balancer.sendall(said[:-1])
        balancer.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            assert rest(balancer) == b""
    assert not stage.target.called()
