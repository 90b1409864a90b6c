"""Logging for people: one line per event on standard error, coloured on a terminal."""

import logging
import sys
from typing import TextIO

from appliance.cli.terminal import wants_colour

_COLOURS = {"DEBUG": "\033[2m", "WARNING": "\033[33m", "ERROR": "\033[31m", "CRITICAL": "\033[1;31m"}
_RESET = "\033[0m"
_log = logging.getLogger(__name__)
# What visitors and clients send may stand in a message: it must not write lines or move the cursor.
_ESCAPED = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


def set_up(level: str, stream: TextIO | None = None) -> None:
    """Log to the stream (standard error) from this level on, in place of what was set up before."""
    stream = sys.stderr if stream is None else stream
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter(colour=wants_colour(stream)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    sys.unraisablehook = _unraisable


def _unraisable(found: "sys.UnraisableHookArgs") -> None:
    """What is raised where nobody can catch it: in call-backs of C code, and when objects are destroyed."""
    if isinstance(found.exc_value, UnicodeDecodeError) and isinstance(found.object, bytes):
        # `ssl`, of a name that a stranger asks for in bytes that are no name. It refuses the connection.
        _log.debug("a TLS client asks for the name %r", found.object)
    else:
        _log.error("%s; please report this", found.err_msg or "an error was ignored", exc_info=found.exc_value)


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
