"""Times and sizes of a record."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from appliance.tunnel.inspector.record import DONE, Message, Part, Record, now


@pytest.fixture
def record() -> Record:
    at, began = now()
    return Record(1, at, began, "a.example")


def test_nothing_is_known_at_first(record: Record) -> None:
    for seconds in ("seconds", "wait", "tunnel", "upstream", "answer", "transfer"):
        assert getattr(record, seconds if seconds == "seconds" else f"{seconds}_seconds") is None


def test_stages_add_up(record: Record) -> None:
    record.sent_at, record.asked_at = record.began_at + 1, record.began_at + 3
    record.answered_at, record.ended_at = record.began_at + 8, record.began_at + 9
    record.link_seconds = 0.5
    stages = record.wait_seconds, record.tunnel_seconds, record.upstream_seconds, record.transfer_seconds
    assert stages == pytest.approx((1, 0.5, 4.5, 3))
    assert record.seconds == 9


@pytest.mark.parametrize(
    ("link", "stages"),
    [
        (0.0, (None, 5.0, 5.0)),  # on a client
        (None, (None, None, 5.0)),  # the ping had no echo before the answer
        (5.5, (None, None, 5.0)),  # it had been slower than a request that follows it
        (5.0, (5.0, 0.0, 5.0)),
    ],
)
def test_the_tunnel_and_the_upstream_are_told_apart_only_where_that_is_known(
    record: Record, link: float | None, stages: tuple[float | None, ...]
) -> None:
    record.sent_at = record.asked_at = record.began_at
    record.answered_at, record.link_seconds = record.began_at + 5, link
    assert (record.tunnel_seconds, record.upstream_seconds, record.answer_seconds) == stages


def test_times_of_day(record: Record) -> None:
    assert record.at_of(record.began_at + 2) - record.at == timedelta(seconds=2)


def test_the_summary_is_json(record: Record) -> None:
    record.state, record.status, record.response = DONE, 200, Part(size=7)
    summary = json.loads(json.dumps(record.summary()))
    assert summary["at"].startswith(str(record.at.year)) and summary["at"][-6] in "+-"
    assert (summary["status"], summary["responseBytes"], summary["replayOf"]) == (200, 7, None)


def test_parts() -> None:
    part = Part(head=b"HTTP/1.1 200 OK\r\nA: b\r\nX:\t c \r\n\r\n", body=bytearray(b"ab"), size=3)
    assert part.line == b"HTTP/1.1 200 OK"
    assert part.fields == [(b"A", b"b"), (b"X", b"c")]
    assert part.truncated
    assert Part().fields == [] and not Part().truncated
    assert Message(now()[0], "visitor", "text", 3, b"ab").truncated
