"""A program in a terminal: keys go in, and the screen is what a person would see (pyte draws it)."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyte

from tests.stage.process import PATIENCE_SECONDS, ROOT, eventually

COLUMNS, ROWS = 100, 30


class Terminal:
    """`written`: all bytes that came, escape sequences too."""

    def __init__(
        self, command: Sequence[str], directory: Path, environ: Mapping[str, str] | None = None, rows: int = ROWS
    ) -> None:
        self._screen = pyte.Screen(COLUMNS, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self.written = b""
        self._ours, theirs = pty.openpty()
        self.resize(COLUMNS, rows)
        self.attributes = termios.tcgetattr(self._ours)  # as they are to be again
        kept = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        self._child = subprocess.Popen(
            command,
            cwd=directory,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={**kept, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT), **(environ or {})},
        )
        os.close(theirs)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def lines(self) -> list[str]:
        with self._lock:
            return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.lines).rstrip()

    def type(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def shows(self, *texts: str) -> None:
        """Wait until all of them are on the screen."""
        self.until(lambda: all(text in self.text for text in texts), f"{texts} on the screen")

    def until(self, look: Callable[[], bool], what: str) -> None:
        try:
            eventually(look, what)
        except AssertionError as error:
            raise AssertionError(f"{error}; the screen is\n{self.text}") from None

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        with self._lock:
            self._screen.resize(rows, columns)

    def signal(self, number: signal.Signals) -> None:
        self._child.send_signal(number)

    def is_as_before(self) -> bool:
        """Whether keys mean again what they did, and are echoed."""
        return termios.tcgetattr(self._ours) == self.attributes

    def wait(self) -> int:
        """The exit status; all that was written has been read then."""
        status = self._child.wait(PATIENCE_SECONDS)
        self._reader.join(PATIENCE_SECONDS)
        return status

    def close(self) -> None:
        if self._child.poll() is None:
            self._child.kill()
            self._child.wait(PATIENCE_SECONDS)
        self._reader.join(PATIENCE_SECONDS)
        os.close(self._ours)

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # EIO: nobody has the other end open
            while data := os.read(self._ours, 65536):
                with self._lock:
                    self.written += data
                    self._stream.feed(data)
