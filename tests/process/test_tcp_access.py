"""Who may open which port, who may come, and what clients reach in the server's network."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import ssl
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path

import pytest

from tests.stage.process import PATIENCE_SECONDS, SLUICE, Process, eventually, free_port, listening
from tests.stage.tcp import Target, closed, cut, exactly, reaches, rest, turned_away, visit, was_cut
from tests.stage.tunnel import TOKEN, Tunnel
from tests.stage.upstream import Upstream
from tests.stage.visitor import get, once

ELSEWHERE = "192.0.2.1:80"  # an address for documentation (RFC 5737): nobody is there


@pytest.fixture
def target() -> Iterator[Target]:
    with contextlib.closing(Target()) as target:
        yield target


# ---- which ports


def test_refused_ports_are_told_with_the_reason_and_the_rest_works(tmp_path: Path, target: Target) -> None:
    allowed, forbidden = free_port(), free_port()
    rules = ("--allow-ports", f"{allowed}", "--allow-ports", "1-1023,64000-65535")
    with contextlib.closing(Tunnel(tmp_path, *rules, mode="tcp")) as tunnel:
        client = tunnel.add_client("client", *(f"{port}={target.address}" for port in (forbidden, allowed)))
        told(
            client, f"does not serve {forbidden}: the server allows ports 1-1023,{allowed},64000-65535 (--allow-ports)"
        )
        assert reaches(allowed, target)
        assert closed(forbidden)
        status = tunnel.status()
        assert status["info"]["mode"] == "tcp"
        assert status["clients"][0]["upstreams"] == [f"{allowed}={target.address}"]


def test_the_servers_own_ports(tmp_path: Path, target: Target) -> None:
    """No client gets them, whatever is allowed; both planes go on."""
    door = free_port()
    with contextlib.closing(Tunnel(tmp_path, "--allow-ports", "*", mode="")) as tunnel:
        own = (tunnel.port, tunnel.control_port)
        client = tunnel.add_client("client", *(f"{port}={target.address}" for port in (*own, door)))
        for port in own:
            told(client, f"does not serve {port}: port {port} is the server's own")
        assert reaches(door, target)
        assert once(tunnel.port, get("/", "a.example")).status == 404
        assert tunnel.status()["info"]["mode"] == "http+tcp"


def test_a_taken_port_is_no_matter_to_who_holds_it(tmp_path: Path, target: Target) -> None:
    """Its own program still answers there."""
    with contextlib.closing(Target()) as holder, contextlib.closing(Tunnel(tmp_path, mode="tcp")) as tunnel:
        client = tunnel.add_client("client", f"{holder.port}={target.address}")
        told(client, f"port {holder.port} is in use by another program")
        assert reaches(holder.port, holder)
        assert tunnel.status()["clients"][0]["upstreams"] == []


def test_a_taken_port_is_tried_again(tmp_path: Path, target: Target) -> None:
    """Once its holder has gone, without anybody's doing; nothing is said twice."""
    with contextlib.closing(Tunnel(tmp_path, "--heartbeat", "1s", mode="tcp")) as tunnel:
        other = free_port()
        with contextlib.closing(Target()) as holder:
            port = holder.port
            client = tunnel.add_client("client", f"{port}={target.address}", f"{other}={target.address}")
            told(client, f"port {port} is in use by another program")
            assert reaches(other, target)
        told(client, f"the server now serves {port}")
        assert reaches(port, target)
        assert reaches(other, target)
        assert tunnel.status()["clients"][0]["upstreams"] == [f"{port}={target.address}", f"{other}={target.address}"]
        assert client.output.count("is in use by another program") == 1


def test_a_privileged_port_without_the_right(tmp_path: Path, target: Target) -> None:
    """Where the system keeps low ports to those with the right, a server without it says so."""
    first_free = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    low, high = max(1, first_free - 1), free_port()
    drop = tuple(f"--{kind}=-net_bind_service" for kind in ("ambient-caps", "inh-caps", "bounding-set"))
    under = ("setpriv", *drop, "--") if os.geteuid() == 0 else ()
    with contextlib.closing(Tunnel(tmp_path, "--allow-ports", "*", mode="tcp", under=under)) as tunnel:
        client = tunnel.add_client("client", f"{low}={target.address}", f"{high}={target.address}")
        if first_free > 1:
            told(client, f"does not serve {low}: port {low} needs a right that the server has not")
        else:
            assert reaches(low, target)
        assert reaches(high, target)


@pytest.mark.parametrize("mode", ["http", "tcp"])
def test_a_server_for_one_of_both(tmp_path: Path, target: Target, mode: str) -> None:
    """A client that offers both is told, and what the server does serve works."""
    door = free_port()
    with contextlib.closing(Tunnel(tmp_path, mode=mode)) as tunnel, contextlib.closing(Upstream()) as python:
        names = f"a.example=http://127.0.0.1:{python.port}"
        client = tunnel.add_client("both", f"{door}={target.address}", names, mode="")
        if mode == "http":
            told(client, f"does not serve {door}: this server serves HTTP alone")
            assert once(tunnel.port, get("/x", "a.example")).body == b"/x"
            assert closed(door)
        else:
            told(client, f"does not serve {names}: this server serves TCP alone")
            assert reaches(door, target)


def told(process: Process, *texts: str) -> None:
    """Wait until a process has said all of `texts`."""
    eventually(lambda: all(text in process.output for text in texts), f"{process.name} says {texts}", process)


# ---- which addresses


def test_allow_ips(tmp_path: Path, target: Target) -> None:
    """On both planes. The server listens on IPv6 as well, where IPv4 visitors come with a mapped address."""
    door, planes = free_port(), ("--data-addr", "", "--control-addr", "")
    with (
        contextlib.closing(Tunnel(tmp_path, *planes, "--allow-ips", "127.0.0.1,127.0.0.8/30", mode="")) as tunnel,
        contextlib.closing(Upstream()) as python,
    ):
        tunnel.add_client("client", f"{door}={target.address}", f"http://127.0.0.1:{python.port}")
        assert reaches(door, target)
        assert reaches(door, target, source="127.0.0.10")
        for host, source in (("127.0.0.1", "127.0.0.2"), ("::1", "::1")):
            assert turned_away(door, host, source, b"hello")
            assert status(HTTPConnection(host, tunnel.port, PATIENCE_SECONDS, (source, 0)), "/") == 403
            for path in ("/status", "/healthz", "/connect", "/.well-known/ca.crt"):
                context = ssl._create_unverified_context()
                control = HTTPSConnection(
                    host, tunnel.control_port, timeout=PATIENCE_SECONDS, source_address=(source, 0), context=context
                )
                assert status(control, path) == 403
        assert status(HTTPConnection("127.0.0.1", tunnel.port, PATIENCE_SECONDS), "/") == 200
        assert not target.called()
        assert len(python.recorded) == 1


def test_who_is_turned_away_by_allow_ips_is_told(tmp_path: Path) -> None:
    with contextlib.closing(Tunnel(tmp_path, "--allow-ips", "192.0.2.1", mode="tcp", ready=False)) as tunnel:
        eventually(lambda: listening(tunnel.control_port), "the server listens", tunnel.server)
        words = ["--url", tunnel.url, "--token", TOKEN]
        asking = Process("status", [*SLUICE, "status", *words], tmp_path)
        assert asking.wait() == 1
        assert "does not let this address in; see --allow-ips of the server" in asking.output
        asking.stop()
        client = Process("client", [*SLUICE, "tcp", "client", *words, "--upstream", "2222=127.0.0.1:22"], tmp_path)
        told(client, "refuses this client: this address may not connect (--allow-ips of the server)")
        client.stop()


def status(connection: HTTPConnection, path: str) -> int:
    """The status that the control plane or the edge answers."""
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
        return connection.getresponse().status


# ---- services of the server's network


@dataclasses.dataclass
class Forwarding:
    """A server that forwards to one target and not to another. `local`: the client's ports, by where they lead."""

    tunnel: Tunnel
    client: Process
    allowed: Target
    forbidden: Target
    local: dict[str, int]


@pytest.fixture(scope="module")
def forwarding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forwarding]:
    directory = tmp_path_factory.mktemp("forwarding")
    with contextlib.closing(Target()) as allowed, contextlib.closing(Target()) as forbidden:
        rules = ("--client-forwarding", "--allow-forward-to", f"127.0.0.1:{allowed.port}")
        with contextlib.closing(Tunnel(directory, *rules, mode="tcp")) as tunnel:
            ways = {
                "allowed": allowed.address,
                "named": f"localhost:{allowed.port}",
                "forbidden": forbidden.address,
                "elsewhere": ELSEWHERE,
            }
            local = {way: free_port() for way in ways}
            flags = tuple(f"--local={local[way]}:{address}" for way, address in ways.items())
            client = tunnel.add_client("client", flags=flags)
            yield Forwarding(tunnel, client, allowed, forbidden, local)


@pytest.mark.parametrize("way", ["allowed", "named"])
def test_a_local_forward(forwarding: Forwarding, way: str) -> None:
    assert reaches(forwarding.local[way], forwarding.allowed)


def test_half_closes_and_resets_of_local_forwards(forwarding: Forwarding) -> None:
    port, target, answer = forwarding.local["allowed"], forwarding.allowed, b"answer" * 100_000
    with visit(port) as visitor, target.accept() as inside:
        visitor.sendall(b"question")
        visitor.shutdown(socket.SHUT_WR)
        assert rest(inside) == b"question"
        inside.sendall(answer)
        inside.shutdown(socket.SHUT_WR)
        assert rest(visitor) == answer
    with visit(port) as visitor, target.accept() as inside:
        visitor.sendall(b"x")
        assert exactly(inside, 1) == b"x"
        cut(visitor)
        assert was_cut(inside)
    with visit(port) as visitor, target.accept() as inside:
        cut(inside)
        assert was_cut(visitor)


@pytest.mark.parametrize("way", ["forbidden", "elsewhere"])
def test_what_may_not_be_reached(forwarding: Forwarding, way: str) -> None:
    assert turned_away(forwarding.local[way], data=b"hello")
    where = ELSEWHERE if way == "elsewhere" else forwarding.forbidden.address
    told(forwarding.client, f"a connection to {where} was turned away: not allowed")
    told(forwarding.tunnel.server, f"{where} may not be reached for clients: see --allow-forward-to")
    assert not forwarding.forbidden.called()
    assert reaches(forwarding.local["allowed"], forwarding.allowed)


def test_loopback_alone_is_the_default(tmp_path: Path, target: Target) -> None:
    inside, outside = free_port(), free_port()
    with contextlib.closing(Tunnel(tmp_path, "--client-forwarding", mode="tcp")) as tunnel:
        client = tunnel.add_client(
            "client", flags=(f"--local={inside}:{target.address}", f"--local={outside}:{ELSEWHERE}")
        )
        assert reaches(inside, target)
        assert turned_away(outside)
        told(client, f"a connection to {ELSEWHERE} was turned away: not allowed")


def test_a_server_that_does_not_forward(tmp_path: Path, target: Target) -> None:
    """The client is told once, its visitors do not wait, and what else it offers works."""
    local, door = free_port(), free_port()
    with contextlib.closing(Tunnel(tmp_path, "--heartbeat", "1s", mode="tcp")) as tunnel:
        client = tunnel.add_client("client", f"{door}={target.address}", flags=(f"--local={local}:{target.address}",))
        told(client, "--client-forwarding")
        for _ in range(3):
            assert turned_away(local, seconds=2)
        assert not target.called()
        assert reaches(door, target)
        assert client.output.count("--client-forwarding") == 1


def test_a_local_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        words = ["tcp", "client", "--url", "wss://127.0.0.1:1", "--token", TOKEN, "--local", f"{port}:127.0.0.1:80"]
        client = Process("client", [*SLUICE, *words], tmp_path)
        assert client.wait() == 2
        client.stop()
    said = client.output.splitlines()
    assert said[-1].endswith(f"127.0.0.1:{port} is in use by another program: choose another local port with --local")
    assert "Traceback" not in client.output
