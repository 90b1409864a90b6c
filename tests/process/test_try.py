"""`scripts/try`, as a stranger runs it: shows a request, and leaves nothing running behind."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stage.process import ROOT, Process, eventually

# The first run makes a virtual environment, by the network.
PATIENCE_SECONDS = 180.0
SCRIPT = str(ROOT / "scripts" / "try")


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Process]:
    script = Process("try", [SCRIPT], tmp_path)
    eventually(lambda: "Ctrl-C ends it" in script.output, "the tunnel", script, seconds=PATIENCE_SECONDS)
    yield script
    script.stop()


def children(script: Process) -> dict[str, int]:
    """What the script started, by the sluice command that each runs."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            command = (path / "cmdline").read_text().split("\0")
        except OSError:
            continue  # it has just ended
        if parent == script.pid and "appliance" in command:
            found[" ".join(word for word in command[3:5] if word[:1] != "-")] = int(path.name)
    return found


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def state_directory(script: Process) -> Path:
    found = re.search(r"--token-file (\S+)/token", script.output)
    assert found is not None
    return Path(found[1])


def test_once(tmp_path: Path) -> None:
    script = Process("try", [SCRIPT, "--once"], tmp_path, {"STATE_DIRECTORY": str(tmp_path / "state")})
    eventually(lambda: not script.alive, "scripts/try --once", seconds=PATIENCE_SECONDS)
    assert script.wait() == 0, script.output
    assert "HTTP/1.1 200 OK" in script.output
    assert "This page came through the tunnel." in script.output
    for address in (
        r"Tunnel:\s+http://127",
        r"Admin:\s+https://127\S+/\n",
        r"Status:\s+https://127\S+/status",
        r"Metrics:\s+https://127\S+/metrics",
        r"--ca-fingerprint [0-9a-f]{64}\n",
    ):
        assert re.search(address, script.output)
    assert not (tmp_path / "state").exists()  # its client trusts one server, and remembers none
    assert not state_directory(script).exists()
    script.stop()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_of_it(started: Process, number: signal.Signals) -> None:
    pids = children(started)
    assert pids.keys() == {"http server", "http client", "fileserver"}
    assert (state_directory(started) / "token").stat().st_mode & 0o777 == 0o600
    os.kill(started.pid, number)
    assert started.wait() == 0
    assert all(gone(pid) for pid in pids.values())
    assert not state_directory(started).exists()


def test_one_that_dies_is_noticed(started: Process) -> None:
    pids = children(started)
    os.kill(pids["fileserver"], signal.SIGKILL)
    assert started.wait() == 1
    assert "serving " in started.output  # its log
    assert started.output.rstrip().endswith("Error: the fileserver has ended; above is what it said")
    assert all(gone(pid) for pid in pids.values())


def test_other_arguments_are_refused(tmp_path: Path) -> None:
    script = Process("try", [SCRIPT, "--fast"], tmp_path)
    assert script.wait() == 1
    assert script.output == "Error: scripts/try takes --once or nothing, not --fast\n"
    script.stop()
