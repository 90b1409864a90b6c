"""Clients that share a port: who gets the next connection, and that nobody's bytes are lost on the way."""

from __future__ import annotations

import contextlib
import random
import select
import socket
from collections.abc import Iterator

import pytest

from tests.stage.process import Process, eventually, free_port
from tests.stage.tcp import Target, meanwhile, reaches, rest, visit
from tests.stage.tunnel import Tunnel

MIB = 2**20


@pytest.fixture(scope="module")
def tunnel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tunnel]:
    with contextlib.closing(Tunnel(tmp_path_factory.mktemp("sharing"), mode="tcp")) as tunnel:
        yield tunnel


@pytest.fixture
def shared(tunnel: Tunnel) -> Iterator[tuple[int, list[Target], list[Process]]]:
    """A port, and the targets of the two clients that offer it."""
    door, targets = free_port(), [Target(), Target()]
    clients = [tunnel.add_client(f"sharing {it.port}", f"{door}={it.address}") for it in targets]
    yield door, targets, clients
    for client in clients:
        tunnel.remove_client(client)
    for target in targets:
        target.close()


def test_the_client_with_the_fewest_connections_gets_the_next(
    shared: tuple[int, list[Target], list[Process]],
) -> None:
    door, (one, two), _ = shared
    with contextlib.ExitStack() as stack:

        def arrive() -> socket.socket:
            return stack.enter_context(visit(door))

        visitors = [arrive() for _ in range(10)]
        of_one, of_two = ([stack.enter_context(target.accept()) for _ in range(5)] for target in (one, two))
        assert not one.called() and not two.called()
        # Four of one client's end: the next four are its own.
        for sock in of_one[:4]:
            sock.shutdown(socket.SHUT_WR)
        for visitor in eventually(lambda: over(visitors, 4), "they end for their visitors"):
            visitor.close()
        for sock in of_one[:4]:
            assert rest(sock) == b""
            sock.close()
        visitors = [arrive() for _ in range(4)]
        for _ in visitors:
            stack.enter_context(one.accept())
        assert not two.called()
        assert len(of_two) == 5


def over(visitors: list[socket.socket], count: int) -> list[socket.socket]:
    """Those of visitors, to whom nothing is said, that can read their connection's end; none until they are `count`."""
    readable = select.select(visitors, [], [], 0)[0]
    return readable if len(readable) == count else []


@pytest.mark.parametrize("size", [5, 40_000, 3 * MIB])
def test_no_byte_is_lost_to_a_target_that_is_down(shared: tuple[int, list[Target], list[Process]], size: int) -> None:
    """Visitors speak first, and at once; half of them come to the client whose target is down before the other."""
    door, (one, two), clients = shared
    data = random.Random(size).randbytes(size)
    one.close()
    for _ in range(6):
        with visit(door) as visitor, meanwhile(speak, visitor, data), two.accept() as target:
            assert rest(target) == data
            target.sendall(b"I have it all")
            target.shutdown(socket.SHUT_WR)
            assert rest(visitor) == b"I have it all"
    assert "was not reached" in clients[0].output


def speak(sock: socket.socket, data: bytes) -> None:
    """Say all, and end the direction."""
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)


def test_a_client_that_is_gone_gets_no_connection(tunnel: Tunnel) -> None:
    door, targets = free_port(), [Target(), Target()]
    with contextlib.closing(targets[0]) as one, contextlib.closing(targets[1]) as two:
        leaving, staying = (tunnel.add_client(f"{it.port}", f"{door}={it.address}") for it in targets)
        tunnel.kill_client(leaving)
        eventually(lambda: len(tunnel.connected()) == 1, "the client is missed")
        for _ in range(4):
            assert reaches(door, two)
        assert not one.called()
        tunnel.remove_client(staying)
