"""The whole of a terminal for as long as something is shown on it; afterwards it is as it was."""

import contextlib
import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Iterable
from types import FrameType, TracebackType
from typing import Any

from appliance.cli.terminal import wants_colour
from appliance.cli.watch_text import Line

_ENTER = "\033[?1049h\033[?25l"  # the alternate screen, no cursor
_LEAVE = "\033[?25h\033[?1049l"
_HOME, _REST_OF_LINE, _REST = "\033[H", "\033[K", "\033[J"
_ENDING = (signal.SIGTERM, signal.SIGHUP)


class Screen:
    """To be used in a `with`. Keys come one by one and are not echoed; Ctrl-C, SIGTERM and SIGHUP are a
    KeyboardInterrupt."""

    def __init__(self) -> None:
        self._out = sys.stdout
        self._in = sys.stdin.fileno() if sys.stdin.isatty() else None
        self._colour = wants_colour(self._out)
        self._before: list[Any] | None = None
        self._handlers: dict[signal.Signals, Any] = {}
        self._woken, self._waking = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def __enter__(self) -> "Screen":
        for number in _ENDING:
            self._handlers[number] = signal.signal(number, _interrupt)
        self._handlers[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, self._pause)
        self._handlers[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, lambda number, frame: None)
        signal.set_wakeup_fd(self._waking, warn_on_full_buffer=False)
        self._enter()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._leave()
        signal.set_wakeup_fd(-1)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        os.close(self._woken)
        os.close(self._waking)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows, as they are now."""
        found = os.get_terminal_size(self._out.fileno())
        return max(20, found.columns), max(5, found.lines)

    def draw(self, lines: Iterable[Line], footer: Line) -> None:
        """As many as there is room for, and one at the bottom."""
        columns, rows = self.size
        shown = [self._painted(line, columns) for line, _ in zip(lines, range(rows - 1), strict=False)]
        body = "".join(f"{line}{_REST_OF_LINE}\r\n" for line in shown)
        self._write(f"{_HOME}{body}{_REST}\033[{rows};1H{self._painted(footer, columns)}{_REST_OF_LINE}")

    def wait(self, seconds: float) -> str:
        """Keys that were pressed; "" after that time, or when the size has changed."""
        sources = [self._woken] if self._in is None else [self._woken, self._in]
        ready, _, _ = select.select(sources, [], [], max(0.0, seconds))
        if self._woken in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._woken, 512)
        if self._in is None or self._in not in ready:
            return ""
        pressed = os.read(self._in, 64)
        if not pressed:
            raise KeyboardInterrupt  # the terminal has gone
        return pressed.decode("utf-8", "replace")

    def _painted(self, line: Line, columns: int) -> str:
        text = line.text if len(line.text) <= columns else f"{line.text[: columns - 1]}…"
        return f"\033[{line.colour}m{text}\033[0m" if self._colour and line.colour else text

    def _enter(self) -> None:
        if self._in is not None:
            self._before = termios.tcgetattr(self._in)
            tty.setcbreak(self._in, termios.TCSADRAIN)
        self._write(_ENTER)

    def _leave(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # a terminal that has gone needs nothing
            self._write(_LEAVE)
        if self._in is not None and self._before is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._in, termios.TCSADRAIN, self._before)

    def _pause(self, number: int, frame: FrameType | None) -> None:
        """Ctrl-Z: the shell gets its terminal back, until `fg`."""
        self._leave()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._enter()

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
