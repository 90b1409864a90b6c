"""scripts/bench ends what it started: real processes, and events instead of waiting."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from benchmarks.process import Child, all_stats, stop_all


def running(pid: int) -> bool:
    stat = all_stats().get(pid)
    return stat is not None and stat.state != "Z"


def ended(pid: int) -> bool:
    """What is killed is gone a moment later: the kernel takes it down when it gets to it."""
    deadline = time.monotonic() + 10
    while running(pid) and time.monotonic() < deadline:
        os.sched_yield()
    return not running(pid)


def start(directory: Path, script: str) -> tuple[Child, int]:
    """Run a shell that tells a pid through a pipe when it is ready; give both."""
    directory.mkdir(exist_ok=True)
    pipe = directory / "pipe"
    os.mkfifo(pipe)
    child = Child(["sh", "-c", script, "sh", str(pipe)], directory / "log")
    return child, int(pipe.read_text())


def test_what_a_child_started_ends_with_it(tmp_path: Path) -> None:
    child, started = start(tmp_path, 'sleep 60 & echo $! > "$1"; wait')
    assert running(child.pid) and running(started)
    stop_all([child])
    assert ended(child.pid) and ended(started)


def test_what_does_not_heed_a_request_to_end_is_ended_too(tmp_path: Path) -> None:
    child, started = start(tmp_path, 'trap "" TERM; sleep 60 & trap - TERM; echo $! > "$1"; wait')
    stop_all([child])
    assert ended(started)


def test_what_belongs_to_a_later_child_is_known_before_the_first_ends(tmp_path: Path) -> None:
    """As with ssh: when the client ends, so does sshd's side of the session, and leaves its command."""
    end = tmp_path / "end"
    os.mkfifo(end)
    server, started = start(tmp_path / "server", f'sleep 60 & echo $! > "$1"; read line < {end}')
    client, _ = start(tmp_path / "client", f'trap "echo > {end}; exit" TERM; sleep 60 & echo $$ > "$1"; wait')
    stop_all([client, server])
    assert ended(started)


def test_the_end_of_the_log_is_told(tmp_path: Path) -> None:
    child = Child(["sh", "-c", "seq 100; echo failed >&2"], tmp_path / "log")
    child.wait()
    assert child.log_tail(2) == "100\nfailed"


def test_a_command_that_does_not_exist_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Child([str(tmp_path / "none")], tmp_path / "log")
