"""The last lines of the log, kept in memory for the admin page."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

MOST_LINES = 2000
MOST_LETTERS = 2000  # of one line


class Line(NamedTuple):
    """`number` grows from 1; `level`: "debug", "info", "warning" or "error"."""

    number: int
    at: datetime
    level: str
    logger: str
    text: str

    def view(self) -> dict[str, object]:
        return {
            "id": self.number,
            "at": self.at.isoformat(timespec="milliseconds"),
            "level": self.level,
            "logger": self.logger,
            "text": self.text,
        }


LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class LogRing(logging.Handler):
    """A handler of `logging`. `on_line`: called with each line; must neither wait nor log."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: deque[Line] = deque(maxlen=MOST_LINES)
        self._last = 0
        self.on_line: list[Callable[[Line], None]] = []

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()[:MOST_LETTERS]
        except Exception:
            self.handleError(record)
            return
        if record.exc_info and record.exc_info[0] is not None:
            text += f" ({record.exc_info[0].__name__}; standard error has the traceback)"
        self._last += 1
        at = datetime.fromtimestamp(record.created).astimezone()
        name = record.name.removeprefix("appliance.").removeprefix("sluice.")
        line = Line(self._last, at, _level(record.levelno), name, text)
        self._lines.append(line)
        for call in self.on_line:
            call(line)

    def lines(self, level: str = "debug", contains: str = "", after: int = 0, limit: int = MOST_LINES) -> list[Line]:
        """The newest, oldest first: of that level at least, with that text in any case, after that number."""
        least, wanted = LEVELS[level], contains.lower()
        found: list[Line] = []
        for line in reversed(self._lines):
            if line.number <= after or len(found) >= limit:
                break
            if LEVELS[line.level] >= least and (not wanted or wanted in f"{line.logger}: {line.text}".lower()):
                found.append(line)
        return found[::-1]


def _level(number: int) -> str:
    return next((name for name, least in reversed(LEVELS.items()) if number >= least), "debug")
