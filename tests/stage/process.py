"""Processes of a test: output kept in a file and shown on failure, ended by their own id."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).resolve().parents[2]
SLUICE = (sys.executable, "-m", "appliance")
PATIENCE_SECONDS = 20.0  # bound of every wait; nothing takes nearly as long where all is well
# Below the usual ephemeral range, so that no outgoing connection takes a port between choosing and listening.
PORTS = range(20000, 32000)
PORTS_EACH = 250  # of these, for one process of tests

running: list[Process] = []  # shown when a test fails

_Value = TypeVar("_Value")


class Process:
    """One child with stdout and stderr in one file."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        directory: Path,
        environ: Mapping[str, str] | None = None,
        descriptors: Sequence[int] = (),
        shell: bool = False,
    ) -> None:
        """`descriptors`: open ones that the child gets, too. `shell`: it is one, which starts others that must end with
        it: a shell that is told to end leaves them running."""
        self.name = name
        self._shell = shell
        self._log_path = directory / f"{name}.log"
        with self._log_path.open("wb") as log:
            self._child = subprocess.Popen(
                command,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=descriptors,
                start_new_session=shell,
                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **(environ or {})},
            )
        running.append(self)

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def output(self) -> str:
        return self._log_path.read_text("utf-8", "replace")

    @property
    def alive(self) -> bool:
        return self._child.poll() is None

    def wait(self) -> int:
        """The exit status, once it has ended by itself."""
        return self._child.wait(PATIENCE_SECONDS)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._child.kill()
        self._child.wait(PATIENCE_SECONDS)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it as a service manager would; its exit status."""
        if self.alive:
            if self._shell:
                os.killpg(self.pid, number)
            else:
                self._child.send_signal(number)
            try:
                self._child.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"{self.name} did not end on {number.name}:\n{self.output[-4000:]}") from None
        if self._shell:
            eventually(self._childless, f"what {self.name} started ends")
        if self in running:
            running.remove(self)
        return self._child.returncode

    def _childless(self) -> bool:
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return True
        return False


def run(*command: str, data: bytes = b"", status: int = 0, seconds: float = PATIENCE_SECONDS) -> bytes:
    """What a command prints, having `data` for its standard input, when it has ended with `status`."""
    done = subprocess.run(command, input=data, capture_output=True, timeout=seconds, check=False)
    said = (done.stderr + done.stdout)[-4000:].decode("utf-8", "replace")
    assert done.returncode == status, f"{' '.join(command)} ended with {done.returncode}: {said}"
    return done.stdout


def eventually(look: Callable[[], _Value], what: str, *processes: Process, seconds: float = PATIENCE_SECONDS) -> _Value:
    """The first true value that `look` gives; AssertionError when time is up or one of `processes` ends."""
    pause = threading.Event()
    deadline = time.monotonic() + seconds
    while not (value := look()):
        for process in processes:
            assert process.alive, f"{what}: {process.name} has ended:\n{process.output[-4000:]}"
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} seconds"
        pause.wait(0.02)
    return value


def _claimed_ports() -> tuple[socket.socket, range]:
    """Ports that no other process of tests chooses: they are this one's while it lives, and has the socket."""
    starts = list(PORTS[::PORTS_EACH])
    random.shuffle(starts)
    for start in starts:
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0sluice tests: ports from {start}")
        except OSError:
            claim.close()
        else:
            return claim, range(start, start + PORTS_EACH)
    raise AssertionError(f"there are {len(starts)} other processes of tests")


# At once, since tests count descriptors. Each port in its turn, so that none is given to two that do not listen yet.
_claim, _claimed = _claimed_ports()
_turns = itertools.cycle(_claimed)


def free_port(host: str = "127.0.0.1") -> int:
    for _ in range(PORTS_EACH):
        port = next(_turns)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with contextlib.suppress(OSError), socket.socket(family) as probe:
            probe.bind((host, port))
            return port
    raise AssertionError("no free port found")


def listening(port: int, host: str = "127.0.0.1") -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
        return True
    return False


@contextlib.contextmanager
def stopped_at_the_end(*processes: Process) -> Iterator[None]:
    """Stop all of them in this order, whatever happens."""
    with contextlib.ExitStack() as stack:
        for process in reversed(processes):
            stack.callback(process.stop)
        yield
