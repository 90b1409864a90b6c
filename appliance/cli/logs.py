"""Logging for people: one line per event on standard error, coloured on a terminal."""

import logging
import os
import sys
from typing import TextIO

_COLOURS = {"DEBUG": "\033[2m", "WARNING": "\033[33m", "ERROR": "\033[31m", "CRITICAL": "\033[1;31m"}
_RESET = "\033[0m"
# What visitors and clients send may stand in a message: it must not write lines or move the cursor.
_ESCAPED = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


def set_up(level: str, stream: TextIO | None = None) -> None:
    """Log to the stream (standard error) from this level on, in place of what was set up before."""
    stream = sys.stderr if stream is None else stream
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter(colour=_wants_colour(stream)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


class LineFormatter(logging.Formatter):
    """``2026-01-31 12:23:17 INFO    server: message``; a traceback in lines of its own."""

    def __init__(self, colour: bool) -> None:
        super().__init__("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S")
        self._colour = colour

    def formatMessage(self, record: logging.LogRecord) -> str:
        name = record.name.removeprefix("appliance.").removeprefix("sluice.")
        line = f"{record.levelname:7} {name}: {record.message.translate(_ESCAPED)}"
        if self._colour and record.levelname in _COLOURS:
            line = f"{_COLOURS[record.levelname]}{line}{_RESET}"
        return f"{record.asctime} {line}"


def _wants_colour(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
