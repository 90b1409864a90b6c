"""What is said to a terminal alone: colour, and what takes its time. Pipes and files get plain text."""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import TextIO

COMPLETING = "_SLUICE_COMPLETE"  # set by the scripts of `sluice completion`: click makes it of the program's name
PATIENCE_SECONDS = 2.0  # what takes longer says what it is doing

BOLD, DIM, RED, GREEN, YELLOW = "1", "2", "31", "32", "33"
CLEAR_LINE = "\r\033[K"


def is_clever(stream: TextIO) -> bool:
    """Whether it is a terminal that knows escape sequences."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def wants_colour(stream: TextIO) -> bool:
    """By https://no-color.org, too."""
    return is_clever(stream) and not os.environ.get("NO_COLOR")


def paint(text: str, codes: str, stream: TextIO | None = None) -> str:
    """The text in a colour, if the stream (standard output) wants any."""
    if not codes or not text or not wants_colour(sys.stdout if stream is None else stream):
        return text
    return f"\033[{codes}m{text}\033[0m"


def headed(text: str) -> str:
    """The text with its headings in bold: lines that end with a colon and have a word alone, or two."""
    lines = (
        paint(line, BOLD) if line.endswith(":") and not line.startswith(" ") else line for line in text.split("\n")
    )
    return "\n".join(lines)


def interruptible() -> None:
    """Ctrl-C while gevent waits ends the wait as it ends any other: without a report of its own."""
    import gevent

    hub = gevent.get_hub()
    hub.NOT_ERROR = (*hub.NOT_ERROR, KeyboardInterrupt)


_saying = threading.Lock()  # held by whoever says what it does: there is one line for it


@contextlib.contextmanager
def doing(what: str) -> Iterator[None]:
    """On a terminal, say what is done within, if that takes its time, and take that back at the end. Within
    another one, say nothing."""
    if not is_clever(sys.stderr) or not _saying.acquire(blocking=False):
        yield
        return
    try:
        with _said_late(what, sys.stderr):
            yield
    finally:
        _saying.release()


@contextlib.contextmanager
def _said_late(what: str, stream: TextIO) -> Iterator[None]:
    said = threading.Event()
    ended = threading.Lock()

    def say() -> None:
        if ended.acquire(blocking=False):
            said.set()
            stream.write(f"{what} ...")
            stream.flush()
            ended.release()

    timer = threading.Timer(PATIENCE_SECONDS, say)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        ended.acquire()
        if said.is_set():
            stream.write(CLEAR_LINE)
            stream.flush()
