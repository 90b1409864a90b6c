"""`sluice status --watch` in a terminal, and into a pipe."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stage.process import PATIENCE_SECONDS, ROOT, SLUICE
from tests.stage.terminal import Terminal
from tests.stage.tunnel import Tunnel
from tests.stage.upstream import Upstream
from tests.stage.visitor import get, once

ENTER, LEAVE, CURSOR = b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?25h"


@pytest.fixture(scope="module")
def tunnel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tunnel]:
    upstream = Upstream()
    tunnel = Tunnel(tmp_path_factory.mktemp("watching"))
    try:
        tunnel.add_client("client", *(f"n{number}.example=http://127.0.0.1:{upstream.port}" for number in range(20)))
        yield tunnel
    finally:
        tunnel.close()
        upstream.close()


def command(tunnel: Tunnel, *flags: str) -> list[str]:
    return [*SLUICE, "status", "--watch", "--url", tunnel.url, "--token-file", str(tunnel.token_file), *flags]


@contextlib.contextmanager
def watching(tunnel: Tunnel, *flags: str, **environ: str) -> Iterator[Terminal]:
    terminal = Terminal(command(tunnel, "--interval=300ms", *flags), tunnel.directory, environ)
    try:
        terminal.shows("q ends this")
        yield terminal
    finally:
        terminal.close()


def test_it_is_live(tunnel: Tunnel) -> None:
    with watching(tunnel) as terminal:
        terminal.shows("clients 1   names 20", "n0.example")
        before = re.search(r"n0\.example .* (\d+) +1$", terminal.text, re.MULTILINE)
        assert before is not None
        assert once(tunnel.port, get("/", "n0.example")).status == 200
        terminal.until(
            lambda: re.search(rf"n0\.example .* {int(before[1]) + 1} +1$", terminal.text, re.MULTILINE) is not None,
            "one request more",
        )
        assert b"\x1b[1m" in terminal.written
        terminal.type("q")
        assert terminal.wait() == 0
        assert terminal.is_as_before()
        assert terminal.written.startswith(ENTER) and terminal.written.endswith(CURSOR + LEAVE)


@pytest.mark.parametrize("end", ["\x03", signal.SIGTERM, signal.SIGHUP])
def test_it_leaves_the_terminal_as_it_was(tunnel: Tunnel, end: str | signal.Signals) -> None:
    with watching(tunnel) as terminal:
        assert not terminal.is_as_before()
        if isinstance(end, signal.Signals):
            terminal.signal(end)
        else:
            terminal.type(end)
        assert terminal.wait() == 0
        assert terminal.is_as_before()
        assert terminal.written.endswith(CURSOR + LEAVE)


def test_it_fits_into_what_there_is(tunnel: Tunnel) -> None:
    with watching(tunnel) as terminal:
        terminal.resize(60, 16)
        terminal.signal(signal.SIGWINCH)
        terminal.until(
            lambda: (
                terminal.lines[15] == "q ends this"
                and any(line.startswith("... and") for line in terminal.lines)
                and any(line.endswith("…") for line in terminal.lines)
                and " up " in terminal.lines[0]
            ),
            "a smaller picture",
        )
        terminal.resize(120, 40)
        terminal.signal(signal.SIGWINCH)
        terminal.until(lambda: terminal.lines[39] == "q ends this" and " more" not in terminal.text, "a larger one")


def test_no_colour(tunnel: Tunnel) -> None:
    with watching(tunnel, NO_COLOR="1") as terminal:
        assert not re.search(rb"\x1b\[\d+m", terminal.written)


def test_a_server_that_goes_away_and_comes_back(tunnel: Tunnel) -> None:
    with watching(tunnel) as terminal:
        os.kill(tunnel.server.pid, signal.SIGSTOP)
        try:
            terminal.shows("does not answer within 3 seconds", "trying again")
        finally:
            os.kill(tunnel.server.pid, signal.SIGCONT)
        terminal.until(lambda: terminal.lines[-1] == "q ends this", "it is back")


def test_into_a_pipe(tunnel: Tunnel) -> None:
    with plain(tunnel) as output:
        found = [output.readline() for _ in range(60)]
    assert sum(line.startswith("Name ") for line in found) >= 2
    assert "\x1b" not in "".join(found)


def test_as_json(tunnel: Tunnel) -> None:
    with plain(tunnel, "--json") as output:
        looks = [json.loads(output.readline()) for _ in range(3)]
    assert [len(look["names"]) for look in looks] == [20] * 3
    assert looks[0]["at"] < looks[1]["at"] and looks[0]["info"]["mode"] == "http"


@contextlib.contextmanager
def plain(tunnel: Tunnel, *flags: str) -> Iterator[object]:
    child = subprocess.Popen(
        command(tunnel, "--interval=200ms", *flags), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None and child.stderr is not None
    with child.stdout, child.stderr:
        yield child.stdout
        child.send_signal(signal.SIGINT)
        assert child.wait(PATIENCE_SECONDS) == 0
        assert child.stderr.read() == ""


def test_one_connection_is_enough(tunnel: Tunnel) -> None:
    with watching(tunnel) as terminal:
        first = ports(tunnel.control_port, terminal.pid)
        clock = terminal.lines[0]
        terminal.until(lambda: terminal.lines[0] != clock, "another look")
        assert ports(tunnel.control_port, terminal.pid) == first and len(first) == 1


def ports(to: int, pid: int) -> set[str]:
    """The local ports of a process's connections to a port, as /proc has them."""
    sockets = set()
    for entry in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            sockets.add(os.readlink(f"/proc/{pid}/fd/{entry}"))
    lines = (line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:])
    return {line[1] for line in lines if int(line[2].rpartition(":")[2], 16) == to and f"socket:[{line[9]}]" in sockets}


def test_what_is_no_server(tmp_path: Path) -> None:
    done = subprocess.run(
        [*SLUICE, "status", "--watch", "--url", "ws://127.0.0.1:1", "--token", "x"],
        cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and done.stderr.startswith("Error: ws://127.0.0.1:1 cannot be reached")


def test_an_interval_without_watching() -> None:
    done = subprocess.run(
        [*SLUICE, "status", "--interval", "5s"], cwd=ROOT, capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 2 and "--interval is for --watch" in done.stderr
