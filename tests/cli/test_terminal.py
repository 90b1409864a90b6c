"""What is said to terminals, and not to pipes."""

import io
import sys
import threading

import pytest

from appliance.cli import terminal
from appliance.cli.terminal import BOLD, doing, headed, is_clever, paint, wants_colour


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def environ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_colour_is_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    assert wants_colour(Tty()) and not wants_colour(io.StringIO())
    assert paint("x", "31", Tty()) == "\033[31mx\033[0m"
    assert paint("x", "31", io.StringIO()) == paint("x", "", Tty()) == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert not wants_colour(Tty()) and is_clever(Tty())
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not wants_colour(Tty()) and not is_clever(Tty())


def test_headings_are_bold(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Server info:\nMode:  http\n  indented:\n"
    assert headed(text) == text
    monkeypatch.setattr(sys, "stdout", Tty())
    assert headed(text) == f"\033[{BOLD}mServer info:\033[0m\nMode:  http\n  indented:\n"


def test_what_takes_its_time_is_said_and_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Tty()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(terminal, "PATIENCE_SECONDS", 0.0)
    said = threading.Event()
    monkeypatch.setattr(stream, "flush", said.set)
    with doing("asking"):
        assert said.wait(10)
    assert stream.getvalue() == "asking ...\r\033[K"


def test_there_is_one_line_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Tty()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(terminal, "PATIENCE_SECONDS", 0.0)
    said = threading.Event()
    monkeypatch.setattr(stream, "flush", said.set)
    with doing("looking"):
        assert said.wait(10)
        said.clear()
        with doing("asking"):
            assert not said.wait(0.1)
    with doing("asking again"):
        assert said.wait(10)
    assert stream.getvalue() == "looking ...\r\033[Kasking again ...\r\033[K"


def test_what_is_quick_is_not_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in (Tty(), io.StringIO()):
        monkeypatch.setattr(sys, "stderr", stream)
        with pytest.raises(KeyError), doing("asking"):
            raise KeyError
        assert stream.getvalue() == ""
