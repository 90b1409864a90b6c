"""The command as a process: what it imports, how fast it answers, how it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.stage.process import PATIENCE_SECONDS, ROOT, SLUICE, Process, eventually

HELP_SECONDS = 0.3
# Heavy, or to be patched by gevent before anything else imports it.
LATE = {"gevent", "greenlet", "ssl", "flask", "werkzeug", "prometheus_client", "cryptography", "OpenSSL"}
# What a client must not carry on a small machine.
NOT_IN_CLIENT = {
    "flask",
    "werkzeug",
    "jinja2",
    "prometheus_client",
    "cryptography",
    "OpenSSL",
    "geventwebsocket",
}


def python(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=True,
    ).stdout


def imported_after(code: str) -> set[str]:
    """Top-level modules that are there after this code."""
    printed = python(f"{code}\nimport json, sys; print(json.dumps(sorted(sys.modules)))")
    return {name.split(".")[0] for name in json.loads(printed.splitlines()[-1])}


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["http", "server", "--help"], ["client", "--help"], ["doctor", "--help"], ["version"], ["frog"]],
)
def test_help_and_errors_import_nothing_heavy(arguments: list[str]) -> None:
    found = imported_after(f"from appliance.cli.main import run; run({arguments!r})")
    assert not found & LATE
    assert "click" in found


@pytest.mark.parametrize(
    ("redirection", "reason"), [(">/dev/full", "No space left on device"), (">&-", "Bad file descriptor")]
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_fails(redirection: str, reason: str, unbuffered: str) -> None:
    for command in ("version --json", "version", "status --help"):
        done = subprocess.run(
            ["sh", "-c", f'exec "$@" {redirection}', "sh", *SLUICE, *command.split()],
            cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (1, f"Error: standard output cannot be written to: {reason}\n")


def test_errors_without_a_place_for_them() -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *SLUICE, "status"], cwd=ROOT, timeout=PATIENCE_SECONDS, check=False
    )
    assert done.returncode == 2


@pytest.mark.alone
def test_help_comes_at_once() -> None:
    def seconds() -> float:
        started = time.perf_counter()
        subprocess.run([*SLUICE, "--help"], cwd=ROOT, stdout=subprocess.DEVNULL, timeout=20, check=True)
        return time.perf_counter() - started

    assert min(seconds() for _ in range(5)) < HELP_SECONDS  # the best of five: the machine may be busy


def test_importing_never_patches() -> None:
    modules = sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in (ROOT / "appliance").rglob("*.py")
    )
    modules.remove("appliance.__main__")
    code = "import importlib, gevent.monkey\n"
    code += f"for name in {modules!r}: importlib.import_module(name)\n"
    code += "print(gevent.monkey.saved)"
    assert python(code) == "{}\n"


def test_the_client_stays_small() -> None:
    found = imported_after(
        "import appliance.__main__, appliance.cli.compose\nimport appliance.client.agent, appliance.fileserver.service"
    )
    assert not found & NOT_IN_CLIENT
    assert "gevent" in found


def test_a_reader_that_goes_away() -> None:
    child = subprocess.Popen([*SLUICE, "--help"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None and child.stderr is not None
    child.stdout.close()
    with child.stderr:
        assert child.stderr.read() == b""
    assert child.wait(PATIENCE_SECONDS) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_peace(tmp_path: Path, number: signal.Signals) -> None:
    server = Process("fileserver", [*SLUICE, "fileserver", "--port", "0"], tmp_path)
    eventually(lambda: "http://127.0.0.1:" in server.output, "the file server listens", server)
    os.kill(server.pid, number)
    assert server.wait() == 0
    assert "Traceback" not in server.output
    server.stop()


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        server = Process("fileserver", [*SLUICE, "fileserver", f"--port={port}"], tmp_path)
        assert server.wait() == 2
    assert server.output.startswith(f"Error: cannot listen on 127.0.0.1:{port}: Address already in use")
    assert server.output.count("\n") == 1
    server.stop()
