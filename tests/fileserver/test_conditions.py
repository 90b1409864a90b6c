"""Conditional requests, as tables."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.fileserver.conditions import Validators, precondition, range_applies
from appliance.wire.dates import http_date

MODIFIED = 784111777
SAME, BEFORE, AFTER = (http_date(MODIFIED + shift).decode() for shift in (0, -1, 1))
FILE = Validators('"tag"', MODIFIED)
NOW = MODIFIED + 1000.0


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, 200),
        ({"if-none-match": '"tag"'}, 304),
        ({"if-none-match": 'W/"tag"'}, 304),
        ({"if-none-match": '"x", "tag"'}, 304),
        ({"if-none-match": '"x","tag","y"'}, 304),
        ({"if-none-match": ',"x",, "tag" ,'}, 304),
        ({"if-none-match": "*"}, 304),
        ({"if-none-match": '"x"'}, 200),
        ({"if-none-match": "tag"}, 200),
        ({"if-none-match": '"tag" "x"'}, 200),
        ({"if-none-match": '"x, "tag"'}, 200),
        ({"if-none-match": ""}, 200),
        ({"if-modified-since": SAME}, 304),
        ({"if-modified-since": AFTER}, 304),
        ({"if-modified-since": BEFORE}, 200),
        ({"if-modified-since": "nonsense"}, 200),
        # If-None-Match silences If-Modified-Since
        ({"if-none-match": '"x"', "if-modified-since": AFTER}, 200),
        ({"if-none-match": '"tag"', "if-modified-since": BEFORE}, 304),
        ({"if-match": '"tag"'}, 200),
        ({"if-match": '"x", "tag"'}, 200),
        ({"if-match": "*"}, 200),
        ({"if-match": '"x"'}, 412),
        ({"if-match": 'W/"tag"'}, 412),  # strong comparison
        ({"if-match": "nonsense"}, 412),
        ({"if-unmodified-since": SAME}, 200),
        ({"if-unmodified-since": AFTER}, 200),
        ({"if-unmodified-since": BEFORE}, 412),
        ({"if-unmodified-since": "nonsense"}, 200),
        # If-Match silences If-Unmodified-Since
        ({"if-match": '"tag"', "if-unmodified-since": BEFORE}, 200),
        ({"if-match": '"x"', "if-unmodified-since": AFTER}, 412),
        # a failed condition comes before a copy that would do
        ({"if-match": '"x"', "if-none-match": '"tag"'}, 412),
        ({"if-match": '"tag"', "if-none-match": '"tag"'}, 304),
        ({"if-unmodified-since": BEFORE, "if-modified-since": AFTER}, 412),
    ],
)
def test_preconditions(fields: dict[str, str], status: int) -> None:
    assert precondition(fields, FILE) == status


@pytest.mark.parametrize(
    ("condition", "applies"),
    [
        (None, True),
        ('"tag"', True),
        ('W/"tag"', False),
        ('"x"', False),
        ('"tag", "x"', False),
        (SAME, True),
        (BEFORE, False),
        (AFTER, False),
        ("nonsense", False),
        ("*", False),
    ],
)
def test_if_range(condition: str | None, applies: bool) -> None:
    fields = {} if condition is None else {"if-range": condition}
    assert range_applies(fields, FILE, NOW) is applies


def test_a_date_of_this_very_second_proves_nothing() -> None:
    assert not range_applies({"if-range": SAME}, FILE, MODIFIED + 0.5)
    assert range_applies({"if-range": '"tag"'}, FILE, MODIFIED + 0.5)


def test_validators_change_with_the_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    os.utime(path, ns=(1, 5_000_000_001))
    first = Validators.of(path.stat())
    assert first.modified == 5
    assert first.last_modified == http_date(5)
    os.utime(path, ns=(1, 5_000_000_002))
    assert Validators.of(path.stat()).tag != first.tag
    path.write_bytes(b"two!")
    os.utime(path, ns=(1, 5_000_000_001))
    assert Validators.of(path.stat()).tag != first.tag
    (tmp_path / "other").write_bytes(b"two")
    os.utime(tmp_path / "other", ns=(1, 5_000_000_001))
    os.replace(tmp_path / "other", path)
    assert Validators.of(path.stat()).tag != first.tag


def test_a_file_from_the_future_is_dated_now() -> None:
    future = Validators('"tag"', int(time.time()) + 10_000)
    assert future.last_modified in {http_date(int(time.time()) - back) for back in (0, 1, 2)}


@given(st.text(max_size=30))
def test_any_text_is_a_verdict(value: str) -> None:
    for name in ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since"):
        assert precondition({name: value}, FILE) in (200, 304, 412)
