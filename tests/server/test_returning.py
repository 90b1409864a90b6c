"""The names of one run of the server, for the next."""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path

import gevent
import pytest

from appliance.server import returning as module
from appliance.server.returning import MOST_NAMES, TOUCH_SECONDS, Returning

NAMES = ["a.example", "*.b.example", ""]


def kept(path: Path, names: list[str]) -> Path:
    """As a run leaves it that served these."""
    run = Returning(path)
    run.start(lambda: names)
    run.stop()
    return path


def test_from_one_run_to_the_next(tmp_path: Path) -> None:
    path = kept(tmp_path / "state" / "returning.json", NAMES)
    assert path.stat().st_mode & 0o777 == 0o600
    assert Returning(path).take() == NAMES
    assert Returning(path).take() == NAMES, "a run that is killed at once leaves them to the next"


def test_a_run_that_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it served is kept while it runs, and only written anew when that changes."""
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    path = tmp_path / "returning.json"
    names = ["a.example"]
    run = Returning(path)
    run.start(lambda: list(names))
    while Returning(path).take() != names:
        gevent.sleep(0.01)
    written = path.stat().st_ino
    run.look()
    assert path.stat().st_ino == written
    names.append("b.example")
    while Returning(path).take() != names:
        gevent.sleep(0.01)
    run.stop()


def test_names_stay_fresh_while_they_are_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "returning.json"
    run = Returning(path)
    run.start(lambda: NAMES)
    run.look()
    aged(path, 1000)
    run.look()
    assert Returning(path).take() == [], "it was seen to be right just now, and is not touched yet"
    run._kept_at -= TOUCH_SECONDS
    run.look()
    assert Returning(path).take() == NAMES
    run.stop()


def aged(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


@pytest.mark.parametrize("seconds", [301, 1e9, -86400])
def test_what_is_not_of_the_last_run(tmp_path: Path, seconds: float) -> None:
    path = kept(tmp_path / "returning.json", NAMES)
    aged(path, seconds)
    assert Returning(path).take() == []


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"[" * 100_000, b"\xff", b'{"names": 5}'])
def test_what_is_damaged(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "returning.json"
    path.write_bytes(content)
    assert Returning(path).take() == []


def test_odd_names_and_many(tmp_path: Path) -> None:
    path = tmp_path / "returning.json"
    path.write_text(json.dumps({"names": [1, "a", None]}))
    assert Returning(path).take() == ["a"]
    kept(path, [f"{number}.example" for number in range(MOST_NAMES + 1)])
    assert len(Returning(path).take()) == MOST_NAMES


def test_a_place_that_cannot_be_written(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    kept(Path("/proc/none/returning.json"), ["a"])
    assert "/proc/none/returning.json cannot be written: " in caplog.text


def test_no_place() -> None:
    run = Returning(None)
    run.start(lambda: ["a"])
    run.stop()
    assert run.take() == []
