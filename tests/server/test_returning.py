"""The names of one run of the server, for the next."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

import pytest

from appliance.server.returning import MOST_NAMES, Returning


def test_from_one_run_to_the_next(tmp_path: Path) -> None:
    path = tmp_path / "state" / "returning.json"
    Returning(path).keep(["a.example", "*.b.example", ""])
    assert path.stat().st_mode & 0o777 == 0o600
    assert Returning(path).take() == ["a.example", "*.b.example", ""]
    assert Returning(path).take() == []  # a run that crashes is followed by one that knows nothing
    assert not path.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"", b"[]", b"{}", b"[" * 100_000, b"\xff", b'{"at": "x", "names": ["a"]}', b'{"at": 1.5, "names": ["a"]}',
        json.dumps({"at": time.time() - 301, "names": ["a"]}).encode(),
        json.dumps({"at": time.time() + 86400, "names": ["a"]}).encode(),
        json.dumps({"at": time.time(), "names": 5}).encode(),
    ],
)  # fmt: skip
def test_what_is_not_of_the_last_run(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "returning.json"
    path.write_bytes(content)
    assert Returning(path).take() == []


def test_odd_names_and_many(tmp_path: Path) -> None:
    path = tmp_path / "returning.json"
    path.write_text(json.dumps({"at": time.time(), "names": [1, "a", None]}))
    assert Returning(path).take() == ["a"]
    Returning(path).keep(f"{number}.example" for number in range(MOST_NAMES + 1))
    assert len(Returning(path).take()) == MOST_NAMES


def test_a_place_that_cannot_be_written(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    Returning(Path("/proc/none/returning.json")).keep(["a"])
    assert "/proc/none/returning.json cannot be written: " in caplog.text


def test_no_place() -> None:
    returning = Returning(None)
    returning.keep(["a"])
    assert returning.take() == []
