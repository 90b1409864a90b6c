"""What a line of the log looks like, on a terminal and in a pipe."""

import io
import logging
import re
import sys
import types
from collections.abc import Iterator

import pytest

from appliance.cli import logs


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored_root(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    hook = sys.unraisablehook
    yield
    sys.unraisablehook = hook
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_in_a_pipe() -> None:
    stream = io.StringIO()
    logs.set_up("info", stream)
    logging.getLogger("appliance.server.app").info("on port %d", 8000)
    logging.getLogger("sluice.client").debug("not shown")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d INFO    server\.app: on port 8000\n", stream.getvalue())


def test_level() -> None:
    stream = io.StringIO()
    logs.set_up("warning", stream)
    logging.getLogger("sluice.x").info("no")
    logging.getLogger("sluice.x").warning("yes")
    assert stream.getvalue().endswith("WARNING x: yes\n")


def test_set_up_again_replaces() -> None:
    first, second = io.StringIO(), io.StringIO()
    logs.set_up("info", first)
    logs.set_up("info", second)
    logging.getLogger("x").info("once")
    assert (first.getvalue(), second.getvalue().count("once")) == ("", 1)


def test_colour_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    logs.set_up("info", stream)
    logging.getLogger("x").error("red")
    assert "\033[31mERROR   x: red\033[0m" in stream.getvalue()
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            plain = Terminal()
            logs.set_up("info", plain)
            logging.getLogger("x").error("red")
            assert "\033" not in plain.getvalue()


def test_what_others_send_cannot_write_lines_or_move_the_cursor() -> None:
    stream = io.StringIO()
    logs.set_up("info", stream)
    logging.getLogger("x").info("host %s", "a\nINFO forged\033[2J\x9b1m")
    assert stream.getvalue().count("\n") == 1
    assert "a\\x0aINFO forged\\x1b[2J\\x9b1m\n" in stream.getvalue()


def test_tracebacks_stay_readable() -> None:
    stream = io.StringIO()
    logs.set_up("info", stream)
    try:
        raise ValueError("why")
    except ValueError:
        logging.getLogger("x").exception("crashed")
    assert "x: crashed\nTraceback (most recent call last):\n" in stream.getvalue()


class Failing:
    def __del__(self) -> None:
        raise KeyError("lost")


def test_what_nobody_can_catch_is_logged() -> None:
    """And what strangers can bring about, for which there is nobody to catch it, is no news."""
    stream = io.StringIO()
    logs.set_up("info", stream)
    thing: Failing | None = Failing()
    del thing
    assert "please report this\nTraceback" in stream.getvalue() and "KeyError: 'lost'" in stream.getvalue()
    stream.truncate(0)
    error = UnicodeDecodeError("ascii", b"a\xff", 1, 2, "ordinal not in range(128)")
    found = types.SimpleNamespace(exc_value=error, object=b"a\xff", err_msg=None)
    sys.unraisablehook(found)  # type: ignore[arg-type]
    assert stream.getvalue() == ""
    logs.set_up("debug", stream)
    sys.unraisablehook(found)  # type: ignore[arg-type]
    assert "a TLS client asks for the name b'a\\xff'" in stream.getvalue()
