"""TCP connections whose ends, clients or servers go; connections that are idle."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stage.process import PATIENCE_SECONDS, eventually, free_port
from tests.stage.tcp import (
    Target,
    closed,
    cut,
    exactly,
    has_ended,
    meanwhile,
    reaches,
    rest,
    turned_away,
    visit,
    was_cut,
)
from tests.stage.tunnel import Tunnel

MIB = 2**20
END_SECONDS = 3.0  # for an end to be noticed where nobody reads: two looks of half a second each, and reserve


@dataclasses.dataclass
class Stage:
    tunnel: Tunnel
    target: Target
    door: int

    @contextlib.contextmanager
    def connection(self) -> Iterator[tuple[socket.socket, socket.socket]]:
        """A visitor and the target's end of its connection, over which both have spoken."""
        with visit(self.door) as visitor, self.target.accept() as target:
            visitor.sendall(b"hello")
            assert exactly(target, 5) == b"hello"
            target.sendall(b"welcome")
            assert exactly(visitor, 7) == b"welcome"
            yield visitor, target


@contextlib.contextmanager
def staged(directory: Path, plain: bool) -> Iterator[Stage]:
    door = free_port()
    with (
        contextlib.closing(Target()) as target,
        contextlib.closing(Tunnel(directory, plain=plain, mode="tcp")) as tunnel,
    ):
        tunnel.add_client("client", f"{door}={target.address}")
        yield Stage(tunnel, target, door)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("faults"), plain=False) as stage:
        yield stage


@pytest.fixture(scope="module", params=["TLS", "plain"])
def either(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A tunnel with and without TLS: a direction's end is a message in both."""
    with staged(tmp_path_factory.mktemp("ends"), plain=request.param == "plain") as stage:
        yield stage


# ---- ends


def test_half_closes(either: Stage) -> None:
    """Whoever ends first goes on being heard."""
    data = random.Random(1).randbytes(MIB)
    for first in (0, 1):
        with either.connection() as ends:
            ended, other = ends[first], ends[1 - first]
            ended.sendall(b"that is all")
            ended.shutdown(socket.SHUT_WR)
            assert rest(other) == b"that is all"
            with meanwhile(other.sendall, data):
                assert exactly(ended, len(data)) == data
            other.shutdown(socket.SHUT_WR)
            assert rest(ended) == b""


@pytest.mark.parametrize("who", ["visitor", "target"])
class TestResets:
    """Each is felt at the other end as on a direct connection."""

    def test_while_nobody_speaks(self, either: Stage, who: str) -> None:
        with either.connection() as ends:
            cutter, other = ends if who == "visitor" else reversed(ends)
            cut(cutter)
            assert was_cut(other)

    def test_while_the_other_speaks(self, either: Stage, who: str) -> None:
        """It is busy writing, and nobody takes what it writes."""
        with either.connection() as ends:
            cutter, other = ends if who == "visitor" else reversed(ends)
            with contextlib.suppress(TimeoutError):
                other.settimeout(0.5)
                while True:
                    other.sendall(bytes(MIB))
            cut(cutter)
            assert has_ended(other, END_SECONDS)
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                other.sendall(b"x")

    def test_after_the_other_has_ended_its_direction(self, either: Stage, who: str) -> None:
        with either.connection() as ends:
            cutter, other = ends if who == "visitor" else reversed(ends)
            other.shutdown(socket.SHUT_WR)
            assert rest(cutter) == b""
            cut(cutter)
            assert was_cut(other)

    def test_after_its_own_direction_has_ended(self, either: Stage, who: str) -> None:
        """The other has read its end already: only writing fails, and the kernel knows."""
        with either.connection() as ends:
            cutter, other = ends if who == "visitor" else reversed(ends)
            cutter.shutdown(socket.SHUT_WR)
            assert rest(other) == b""
            cut(cutter)
            assert has_ended(other, END_SECONDS)
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                other.sendall(b"x")


def test_nobody_reaches_the_target(stage: Stage) -> None:
    """The visitor is told at once, and the reason is in the client's words."""
    door, nobody = free_port(), free_port()
    client = stage.tunnel.add_client("unlucky", f"{door}=127.0.0.1:{nobody}")
    assert turned_away(door, data=b"hello")
    eventually(lambda: f"127.0.0.1:{nobody} was not reached" in client.output, "the client says so", client)
    stage.tunnel.remove_client(client)


def test_a_port_that_leads_to_itself(tmp_path: Path, stage: Stage) -> None:
    """Server and client on one machine, and nothing else listens there: noticed, and nothing is left of it."""
    door, itself = free_port(), free_port()
    with contextlib.closing(Tunnel(tmp_path, "--max-connections", "50", mode="tcp")) as tunnel:
        client = tunnel.add_client(
            "client",
            f"{door}={stage.target.address}",
            f"{itself}=127.0.0.1:{itself}",
            f"{free_port()}=localhost:{itself}",
        )
        for _ in range(3):
            assert turned_away(itself, data=b"hello")
            assert reaches(door, stage.target)
        said = f"127.0.0.1:{itself} leads back to the server's own port"
        eventually(lambda: said in client.output, "the client says so", client)
        eventually(lambda: sum(tunnel.metrics("tcp_dataplane_connections_gauge").values()) == 0, "all have ended")


# ---- clients


def test_the_port_closes_with_its_last_client_and_opens_again(stage: Stage) -> None:
    door = free_port()
    offer = f"{door}={stage.target.address}"
    first, second = (stage.tunnel.add_client(name, offer) for name in ("first", "second"))
    stage.tunnel.remove_client(first)
    with visit(door) as visitor, stage.target.accept() as target:
        stage.tunnel.kill_client(second)
        eventually(lambda: closed(door), "the port is closed", stage.tunnel.server, seconds=END_SECONDS)
        assert was_cut(visitor)  # it can tell that what it got may not be all
        with contextlib.suppress(ConnectionResetError):  # the kernel's choice
            assert rest(target) == b""
    third = stage.tunnel.add_client("third", offer)
    assert reaches(door, stage.target)
    stage.tunnel.remove_client(third)
    assert closed(door)


def test_a_killed_server_looks_like_no_regular_end(tmp_path: Path, stage: Stage) -> None:
    door = free_port()
    with contextlib.closing(Tunnel(tmp_path, mode="tcp")) as tunnel:
        tunnel.add_client("client", f"{door}={stage.target.address}")
        with visit(door) as visitor, stage.target.accept() as target:
            visitor.sendall(b"half of")
            assert exactly(target, 7) == b"half of"
            tunnel.server.kill()
            assert was_cut(target)


def test_a_client_that_stands_still(tmp_path: Path) -> None:
    """Its machine is off, or its link is cut: the kernel does not tell. A visitor that waits for it makes the server
    ask, long before it would by itself; the visitor goes to another client, and what the first carried is cut off."""
    door = free_port()
    with (
        # Its own: when the frozen one goes on, it still dials for the visitor that it kept waiting.
        contextlib.closing(Target()) as own,
        contextlib.closing(Tunnel(tmp_path, "--heartbeat", "10s", mode="tcp")) as tunnel,
    ):
        offer = f"{door}={own.address}"
        frozen = tunnel.add_client("frozen", offer)
        with visit(door) as carried, own.accept() as target:
            carried.sendall(b"hello")
            assert exactly(target, 5) == b"hello"
            second = tunnel.add_client("second", offer)
            os.kill(frozen.pid, signal.SIGSTOP)
            try:
                began = time.monotonic()
                with contextlib.ExitStack() as stack:
                    # The second has fewer open ones, then as many, then more: the last of these asks the first.
                    visitors = [stack.enter_context(visit(door)) for _ in range(3)]
                    for visitor in visitors:
                        visitor.sendall(b"x")
                    for _ in visitors:
                        assert exactly(stack.enter_context(own.accept()), 1) == b"x"
                    assert was_cut(carried)
                    assert time.monotonic() - began < 20  # by itself it would find out after 25 s
                assert len(tunnel.connected()) == 1
            finally:
                os.kill(frozen.pid, signal.SIGCONT)
        tunnel.remove_client(second)


def test_a_server_that_stands_still(tmp_path: Path, stage: Stage) -> None:
    """The client gives it up, and what it carried."""
    door = free_port()
    with contextlib.closing(Tunnel(tmp_path, "--heartbeat", "1s", mode="tcp")) as tunnel:
        client = tunnel.add_client("client", f"{door}={stage.target.address}")
        with visit(door) as visitor, stage.target.accept() as target:
            visitor.sendall(b"hello")
            assert exactly(target, 5) == b"hello"
            os.kill(tunnel.server.pid, signal.SIGSTOP)
            try:
                assert was_cut(target)
                eventually(lambda: "the server is heard no more" in client.output, "the client says so", client)
            finally:
                os.kill(tunnel.server.pid, signal.SIGCONT)
            assert was_cut(visitor)
        # The server may show the old session for a moment; the client says when it has another.
        eventually(lambda: client.output.count("client: connected to ") > 1, "the client is back", client)
        eventually(lambda: tunnel.connected() == set(tunnel.clients), "the server has it", client, tunnel.server)
        assert reaches(door, stage.target)


def test_a_client_that_ends_lets_its_connections_end(stage: Stage) -> None:
    """They have a few seconds."""
    door = free_port()
    client = stage.tunnel.add_client("ending", f"{door}={stage.target.address}")
    with visit(door) as visitor, stage.target.accept() as target:
        visitor.sendall(b"hello")
        assert exactly(target, 5) == b"hello"
        with meanwhile(stage.tunnel.remove_client, client):
            eventually(lambda: closed(door), "the port is closed", stage.tunnel.server)
            visitor.sendall(b"goodbye")
            visitor.shutdown(socket.SHUT_WR)
            assert rest(target) == b"goodbye"
            target.sendall(b"farewell")
            target.shutdown(socket.SHUT_WR)
            assert rest(visitor) == b"farewell"


# ---- idle connections


def test_idle_connections_end(tmp_path: Path, stage: Stage) -> None:
    """A byte now and then, either way, keeps one; the ends of those that are given up are no regular ones."""
    door = free_port()
    with contextlib.closing(Tunnel(tmp_path, "--idle-timeout", "2s", mode="tcp")) as tunnel:
        tunnel.add_client("client", f"{door}={stage.target.address}")
        idle = Stage(tunnel, stage.target, door)
        with idle.connection() as silent, idle.connection() as lively, idle.connection() as answering:
            began = time.monotonic()
            # Often, so that none is late on a busy machine; and for longer than an idle one would last.
            while not (all(has_ended(end, 0) for end in silent) and time.monotonic() - began > 3):
                assert time.monotonic() - began < PATIENCE_SECONDS
                assert not has_ended(lively[0], 0.05)
                lively[0].sendall(b"x")
                assert exactly(lively[1], 1) == b"x"
                answering[1].sendall(b"x")
                assert exactly(answering[0], 1) == b"x"
            for end in silent:
                end.settimeout(0)
                assert was_cut(end)
            for end in (*lively, *answering):
                assert was_cut(end)


def test_idle_connections_stay_where_nothing_is_said(stage: Stage) -> None:
    with stage.connection() as (visitor, target):
        assert not has_ended(visitor, 1.5)
        visitor.sendall(b"still here")
        assert exactly(target, 10) == b"still here"
