"""A thousand connections at once and twenty thousand in a row, over TLS: none fails, and nothing of them stays but
streams at rest. (A pool keeps those for a minute: that they go then is shown in `tests/end_to_end/test_tcp_load.py`.)
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import resource
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.stage.process import Process, eventually, free_port
from tests.stage.tcp import Echo, cut, exactly, rest, visit
from tests.stage.tunnel import Tunnel

AT_ONCE = 1000
IN_A_ROW = 20_000
VISITORS = 48
SOME = 2  # descriptors that come and go: of this test's own questions
MIB = 1024


@dataclasses.dataclass
class Held:
    """What a process has. `descriptors`: but for those of streams at rest. `memory`: KiB of its own."""

    descriptors: int
    threads: int
    memory: int


@dataclasses.dataclass
class Stage:
    tunnel: Tunnel
    client: Process
    echo: Echo
    door: int

    def streams(self, state: str) -> int:
        return int(self.tunnel.metrics("sluice_streams")[f'{{state="{state}"}}'])

    def held(self) -> tuple[Held, Held]:
        """By the server, and by the client."""
        resting = self.streams("idle")
        return held(self.tunnel.server, resting), held(self.client, resting)

    def over(self) -> bool:
        """Whether no connection is open any more, nor any stream in use."""
        gauge = self.tunnel.metrics("tcp_dataplane_connections_gauge")
        return not self.echo.open and set(gauge.values()) == {0} and not self.streams("used")

    def check(self, before: tuple[Held, Held]) -> None:
        """All is closed that was opened since."""
        eventually(self.over, "all connections have ended", self.tunnel.server, self.client)

        def closed() -> bool:
            pairs = list(zip(before, self.held(), strict=True))
            return all(
                now.descriptors <= then.descriptors + SOME and now.threads <= then.threads for then, now in pairs
            )

        eventually(closed, "descriptors are closed", self.tunnel.server, self.client)


def held(process: Process, resting: int) -> Held:
    proc = Path("/proc") / str(process.pid)
    threads = re.search(r"^Threads:\s+(\d+)", (proc / "status").read_text(), re.MULTILINE)
    private = re.findall(r"^Private_\w+:\s+(\d+) kB", (proc / "smaps_rollup").read_text(), re.MULTILINE)
    assert threads and private
    return Held(len(os.listdir(proc / "fd")) - resting, int(threads[1]), sum(map(int, private)))


@pytest.fixture
def enough_descriptors() -> Iterator[None]:
    """For both ends of all connections, which this process has."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(limits[1], 65536), limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.fixture
def stage(tmp_path: Path, enough_descriptors: None) -> Iterator[Stage]:
    door = free_port()
    with contextlib.closing(Echo()) as echo, contextlib.closing(Tunnel(tmp_path, mode="tcp")) as it:
        yield Stage(it, it.add_client("client", f"{door}={echo.address}"), echo, door)


def all_at_once(stage: Stage) -> tuple[Held, Held]:
    """As many as there are, open together, each heard twice; what server and client had then."""
    with contextlib.ExitStack() as stack:
        visitors = [stack.enter_context(visit(stage.door)) for _ in range(AT_ONCE)]
        for turn in range(2):
            words = [b"%d of visitor %d" % (turn, number) for number in range(AT_ONCE)]
            for visitor, word in zip(visitors, words, strict=True):
                visitor.sendall(word)
            for visitor, word in zip(visitors, words, strict=True):
                assert exactly(visitor, len(word)) == word
        assert len(stage.echo.open) == AT_ONCE
        most = stage.held()
        for visitor in visitors[::2]:
            visitor.shutdown(socket.SHUT_WR)
        for visitor in visitors[1::2]:
            cut(visitor)
        for visitor in visitors[::2]:
            assert rest(visitor) == b""
    return most


def short_connection(door: int, number: int) -> bool:
    word = b"visitor %d" % number
    with visit(door) as visitor:
        visitor.sendall(word)
        visitor.shutdown(socket.SHUT_WR)
        return rest(visitor) == word


@pytest.mark.alone  # what is at rest when memory is looked at depends on how long all of it took
def test_many_at_once_and_many_in_a_row(stage: Stage) -> None:
    before = stage.held()
    usual = []  # memory: what the first times make is kept, such as code, tables, and the allocator's arenas
    for _ in range(3):
        most = all_at_once(stage)
        assert all(held.descriptors > AT_ONCE for held in most)
        stage.check(before)
        usual.append([held.memory for held in stage.held()])
    with ThreadPoolExecutor(VISITORS) as threads:
        assert all(threads.map(lambda number: short_connection(stage.door, number), range(IN_A_ROW)))
    all_at_once(stage)
    stage.check(before)
    port = f'{{port="{stage.door}"}}'
    assert stage.tunnel.metrics("tcp_dataplane_connections_total") == {port: 4 * AT_ONCE + IN_A_ROW}
    assert not any(stage.tunnel.metrics("sluice_dataplane_refused_total").values())
    for *then, now in zip(*usual, (held.memory for held in stage.held()), strict=True):
        assert now < max(then) + 4 * MIB, "200 bytes of each connection, or 8 KiB of each stream, would be more"
