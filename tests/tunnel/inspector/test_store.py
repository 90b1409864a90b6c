"""Names and their times, the ring and its limits, who listens."""

from __future__ import annotations

import gc
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.tunnel.inspector import store as module
from appliance.tunnel.inspector.edits import Edits, ReplayError
from appliance.tunnel.inspector.record import BROKEN, DONE, OPEN, UPSTREAM, Message, Part, Record, now
from appliance.tunnel.inspector.store import ALL, MESSAGE_BYTES, RECORD_BYTES, Inspector


class Clock:
    def __init__(self) -> None:
        self.moment = 1000.0

    def monotonic(self) -> float:
        return self.moment


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_names_are_on_for_a_while(clock: Clock) -> None:
    inspector = Inspector()
    told = []
    inspector.on_switch = lambda: told.append(sorted(inspector._names))
    assert not inspector.inspects("a.example") and inspector.names() == {}
    until = inspector.switch("A.example", 900)
    assert until is not None and abs(until - now()[0] - timedelta(seconds=900)) < timedelta(seconds=60)
    inspector.switch("b.example", None)
    assert inspector.inspects("a.example") and inspector.inspects("b.example") and not inspector.inspects(ALL)
    assert inspector.names() == {"a.example": until, "b.example": None}
    clock.moment += 901
    assert not inspector.inspects("a.example") and inspector.inspects("b.example")
    inspector.switch_off("b.example")
    inspector.switch_off("b.example")
    assert told == [["a.example"], ["a.example", "b.example"], ["b.example"], []]


def test_all_names(clock: Clock) -> None:
    inspector = Inspector()
    inspector.switch(ALL, 60)
    inspector.switch("a.example", 120)
    assert inspector.inspects("whatever") and inspector.inspects(ALL)
    clock.moment += 61
    assert not inspector.inspects("whatever") and inspector.inspects("a.example")


@pytest.mark.parametrize("seconds", [0, -1, 86401, float("inf"), float("nan")])
def test_times_that_are_none(seconds: float) -> None:
    with pytest.raises(ValueError):
        Inspector().switch("a", seconds)


def test_names_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_NAMES", 2)
    inspector = Inspector()
    inspector.switch("a", 1)
    inspector.switch("b", 1)
    inspector.switch("b", 2)
    with pytest.raises(ValueError):
        inspector.switch("c", 1)


# The ring


def test_the_oldest_go_first() -> None:
    inspector = Inspector(max_records=3)
    records = [inspector.begin("a") for _ in range(5)]
    assert inspector.records() == records[:1:-1]
    assert inspector.dropped == 2 and inspector.get(1) is None and inspector.get(5) is records[4]
    assert inspector.held_bytes == 3 * RECORD_BYTES


def test_memory_is_limited() -> None:
    inspector = Inspector(max_bytes=100_000, max_body_bytes=30_000)
    for _ in range(20):
        record = inspector.begin("a")
        inspector.keep(record, record.request, bytes(50_000))
        assert len(record.request.body) == 30_000 and record.request.size == 50_000 and record.request.truncated
        assert inspector.held_bytes <= 100_000
    assert inspector.count == 3
    inspector.clear()
    assert (inspector.held_bytes, inspector.count, inspector.dropped) == (0, 0, 0)
    assert record.dropped
    inspector.keep(record, record.request, b"more")  # it goes on unseen
    assert inspector.held_bytes == 0 and record.request.size == 50_004 and not record.request.body


def test_a_record_larger_than_all_is_dropped_itself() -> None:
    inspector = Inspector(max_bytes=5000)
    record = inspector.begin("a")
    inspector.keep(record, record.request, bytes(10_000))
    assert record.dropped and inspector.count == 0 and inspector.held_bytes == 0


def message(size: int, data: bytes = b"") -> Message:
    return Message(now()[0], UPSTREAM, "text", size, data)


def test_the_last_messages_are_kept() -> None:
    inspector = Inspector(max_body_bytes=100_000)
    record = inspector.begin("a")
    for n in range(1200):
        inspector.add_message(record, message(n))
    assert len(record.messages) * MESSAGE_BYTES <= 100_000
    assert record.messages[-1].size == 1199 and record.messages_total == 1200
    assert record.messages_dropped == 1200 - len(record.messages)
    inspector.max_body_bytes = 1 << 20
    for n in range(1200):
        inspector.add_message(record, message(n))
    assert len(record.messages) == 1000
    for _ in range(100):
        inspector.add_message(record, message(60_000, bytes(60_000)))
    assert record.held == inspector.held_bytes < (1 << 20) + RECORD_BYTES + 1
    assert len(record.messages) == 17


def test_a_second_try_begins_anew() -> None:
    inspector = Inspector()
    record = inspector.begin("a")
    inspector.keep(record, record.request, bytes(1000))
    record.response, record.sent_at = Part(), 1.0
    inspector.restart(record, "the first did not answer")
    assert (record.request.size, record.response, record.sent_at) == (0, None, None)
    assert record.tries == ["the first did not answer"] and inspector.held_bytes == RECORD_BYTES
    for _ in range(100):
        inspector.restart(record, "nor did that")
    assert len(record.tries) < 20


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["begin", "keep", "message", "restart", "end", "clear"]),
            st.integers(0, 7),
            st.integers(0, 40_000),
        ),
        max_size=60,
    )
)
def test_what_is_held_is_the_sum_and_within_the_limit(steps: list[tuple[str, int, int]]) -> None:
    inspector = Inspector(max_records=5, max_body_bytes=20_000, max_bytes=60_000)
    records = [inspector.begin("a")]
    for step, which, size in steps:
        record = records[which % len(records)]
        if step == "begin":
            records.append(inspector.begin("a"))
        elif step == "keep":
            inspector.keep(record, record.request, bytes(size))
        elif step == "message":
            inspector.add_message(record, message(size, bytes(size)))
        elif step == "restart":
            inspector.restart(record, "again")
        elif step == "end":
            inspector.end(record, DONE)
        else:
            inspector.clear()
        assert inspector.held_bytes == sum(record.held for record in inspector.records()) <= 60_000
        assert inspector.count <= 5
    for record in records:
        assert not record.dropped or record.ended_at is not None or not record.request.body


def test_a_message_for_which_its_own_record_has_to_go() -> None:
    inspector = Inspector(max_records=5, max_body_bytes=20_000, max_bytes=60_000)
    record = inspector.begin("a")
    inspector.keep(record, record.request, bytes(17_000))
    inspector.add_message(record, message(0, bytes(45_000)))
    assert record.dropped and not record.messages and inspector.held_bytes == 0


# Looking


def test_filters() -> None:
    inspector = Inspector()

    def add(name: str, method: str, path: str, status: int | None, client: str, seconds: float) -> int:
        record = inspector.begin(name)
        record.method, record.path, record.status, record.client_id = method, path, status, client
        if status is not None:
            inspector.end(record, DONE)
            record.ended_at = record.began_at + seconds
        return record.id

    one = add("a.example", "GET", "/one", 200, "aa11", 0.1)
    two = add("a.example", "POST", "/two", 404, "aa22", 3.0)
    three = add("b.example", "GET", "/two/more", None, "bb", 0.0)
    inspector.get(three).began_at -= 9  # type: ignore[union-attr]
    cases: list[tuple[dict[str, Any], list[int]]] = [
        ({}, [three, two, one]),
        ({"name": "A.example"}, [two, one]),
        ({"path": "/two"}, [three, two]),
        ({"method": "get"}, [three, one]),
        ({"status": "404"}, [two]),
        ({"status": "2xx"}, [one]),
        ({"status": "4XX"}, [two]),
        ({"client": "aa"}, [two, one]),
        ({"min_seconds": 1.0}, [three, two]),
        ({"before": two}, [one]),
        ({"limit": 2}, [three, two]),
        ({"name": "a.example", "status": "5xx"}, []),
    ]
    for wanted, found in cases:
        assert [record.id for record in inspector.records(**wanted)] == found, wanted


def test_who_listens() -> None:
    inspector = Inspector()
    heard: list[tuple[int, str]] = []
    stop = inspector.subscribe(lambda record: heard.append((record.id, record.state)))
    inspector.subscribe(lambda record: 1 // 0)  # is dropped, and disturbs nobody
    record = inspector.begin("a")
    inspector.changed(record)
    inspector.end(record, BROKEN, "why")
    inspector.end(record, DONE)
    assert heard == [(1, OPEN), (1, BROKEN)] and record.why == "why"
    assert len(inspector._listeners) == 1
    stop()
    stop()
    inspector.changed(record)
    assert len(heard) == 2


# Again


def test_replay_without_a_way_to_send() -> None:
    inspector = Inspector()
    with pytest.raises(KeyError):
        inspector.replay(1)
    inspector.begin("a")
    with pytest.raises(ReplayError):
        inspector.replay(1)


def test_replays_at_once_are_limited() -> None:
    inspector = Inspector()
    sent: list[tuple[Record, Record, Edits]] = []
    inspector.send = lambda *it: sent.append(it)
    original = inspector.begin("a")
    ids = [inspector.replay(original.id) for _ in range(8)]
    assert [record.id for record, _, _ in sent] == ids and all(it[1] is original for it in sent)
    with pytest.raises(ReplayError):
        inspector.replay(original.id)
    inspector.end(sent[0][0], DONE)
    assert inspector.replay(original.id)


def test_a_replay_that_cannot_be_sent_leaves_nothing() -> None:
    inspector = Inspector()

    def refuse(*_: object) -> None:
        raise ReplayError("no")

    inspector.send = refuse
    original = inspector.begin("a")
    for _ in range(20):
        with pytest.raises(ReplayError):
            inspector.replay(original.id)
    assert inspector.count == 1


def test_nothing_refers_to_what_has_gone() -> None:
    inspector = Inspector(max_records=1)
    record = inspector.begin("a")
    inspector.begin("b")
    assert gc.get_referrers(record) == [] or all(not isinstance(it, dict | list) for it in gc.get_referrers(record))


def test_not_more_round_trips_are_measured_than_the_edge_can_bear() -> None:
    inspector = Inspector()
    assert sum(inspector.may_measure(5.0 + number / 1000) for number in range(900)) == module.MEASURED_A_SECOND
    assert inspector.may_measure(6.0)
