"""The log's last lines, as a handler of `logging` keeps them."""

import logging
from collections.abc import Iterator

import pytest

from appliance.admin.log_ring import MOST_LETTERS, MOST_LINES, Line, LogRing


@pytest.fixture
def ring() -> LogRing:
    return LogRing()


@pytest.fixture
def logger(ring: LogRing) -> Iterator[logging.Logger]:
    logger = logging.getLogger("sluice.ring-test")
    logger.setLevel(logging.DEBUG)
    logger.addHandler(ring)
    yield logger
    logger.removeHandler(ring)


def test_lines_have_what_is_needed(ring: LogRing, logger: logging.Logger) -> None:
    logger.warning("client %s is gone", "a")
    (line,) = ring.lines()
    assert (line.number, line.level, line.logger, line.text) == (1, "warning", "ring-test", "client a is gone")
    assert line.at.tzinfo is not None
    assert set(line.view()) == {"id", "at", "level", "logger", "text"}


def test_the_oldest_go(ring: LogRing, logger: logging.Logger) -> None:
    for number in range(MOST_LINES + 5):
        logger.info("%d", number)
    lines = ring.lines()
    assert len(lines) == MOST_LINES and lines[0].text == "5" and lines[-1].number == MOST_LINES + 5


def test_filters(ring: LogRing, logger: logging.Logger) -> None:
    for level, text in ((10, "detail"), (20, "One"), (30, "two"), (40, "three"), (50, "four")):
        logger.log(level, text)
    assert [line.text for line in ring.lines("warning")] == ["two", "three", "four"]
    assert [line.level for line in ring.lines("error")] == ["error", "error"]
    assert [line.text for line in ring.lines(contains="one")] == ["One"]
    assert len(ring.lines(contains="RING-TEST: t")) == 2
    assert [line.text for line in ring.lines(after=3)] == ["three", "four"]
    assert [line.text for line in ring.lines(limit=2)] == ["three", "four"], "the newest"


def test_long_lines_are_cut_and_tracebacks_are_not_shown(ring: LogRing, logger: logging.Logger) -> None:
    logger.info("x" * 10_000)
    try:
        raise RuntimeError("inner secret")
    except RuntimeError:
        logger.exception("it failed")
    first, second = ring.lines()
    assert len(first.text) == MOST_LETTERS
    assert second.text.startswith("it failed (RuntimeError") and "inner" not in second.text


def test_who_listens_is_told(ring: LogRing, logger: logging.Logger) -> None:
    heard: list[Line] = []
    ring.on_line.append(heard.append)
    logger.info("now")
    assert [line.text for line in heard] == ["now"]
