"""How long is waited, after what."""

from __future__ import annotations

import pytest

from appliance.certificates import backoff
from appliance.certificates.acme_files import Record
from appliance.certificates.acme_problems import Failed, Window

NOW = 1_800_000_000.0
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


def waits(count: int, failed: Failed, other_methods: int = 0) -> list[float]:
    """Seconds after each of so many failures in a row."""
    record, found = Record(), []
    for _ in range(count):
        backoff.put_off(record, failed, NOW, other_methods)
        found.append(record.until - NOW)
    return found


def test_longer_each_time_up_to_a_limit() -> None:
    for _ in range(50):
        for wait, expected in zip(
            waits(6, Failed("no")), (MINUTE, 10 * MINUTE, 100 * MINUTE, DAY / 2, DAY / 2, DAY / 2), strict=True
        ):
            assert expected * 0.8 <= wait <= expected * 1.2


def test_servers_do_not_come_back_together() -> None:
    assert len({waits(1, Failed("no"))[0] for _ in range(20)}) > 15


def test_the_other_challenge_is_tried_at_once() -> None:
    first, second, third = waits(3, Failed("no"), other_methods=1)
    assert first == backoff.OTHER_METHOD_SECONDS
    assert 0.8 * MINUTE <= second <= 1.2 * MINUTE
    assert third > 7 * MINUTE


def test_the_issuers_word_is_the_least() -> None:
    (wait,) = waits(1, Failed("no", retry_after=2 * HOUR), other_methods=1)
    assert 2 * HOUR <= wait <= 2.2 * HOUR
    assert waits(4, Failed("no", retry_after=5.0))[-1] >= 0.8 * DAY / 2  # a server that says so each time is spared
    assert waits(1, Failed("no", retry_after=1e9))[0] <= 1.1 * backoff.LONGEST_SECONDS


def test_a_limit_without_a_time_is_no_reason_to_try_the_other_challenge_at_once() -> None:
    assert waits(1, Failed("no", code="rateLimited"), other_methods=1)[0] >= 0.8 * MINUTE


def test_a_clock_set_back_ends_the_wait() -> None:
    record = Record()
    backoff.put_off(record, Failed("no"), NOW)
    assert backoff.held(record, NOW + 1)
    assert not backoff.held(record, NOW - 365 * DAY)
    assert not backoff.held(record, NOW + 365 * DAY)


def test_haste_shortens_what_was_put_off_but_not_what_the_issuer_said() -> None:
    long = Record(failures=5, since=NOW, until=NOW + DAY)
    assert backoff.hasten(long)
    assert long.until == NOW + backoff.HASTE_SECONDS
    assert not backoff.hasten(long)
    assert not backoff.hasten(Record(failures=1, since=NOW, until=NOW + MINUTE))
    assert not backoff.hasten(Record(failures=1, since=NOW, until=NOW + DAY, told=True))


def test_a_moment_is_chosen_once_for_each_window() -> None:
    record = Record()
    assert backoff.time_to_ask(record, NOW)
    backoff.choose(record, Window(NOW + DAY, NOW + 2 * DAY, 4 * HOUR, ""), NOW)
    assert NOW + DAY <= record.chosen <= NOW + 2 * DAY
    chosen = record.chosen
    assert not backoff.time_to_ask(record, NOW + 4 * HOUR - 1)
    assert backoff.time_to_ask(record, NOW + 4 * HOUR)
    assert backoff.time_to_ask(record, NOW - 365 * DAY)  # the clock was set back
    backoff.choose(record, Window(NOW + DAY, NOW + 2 * DAY, None, ""), NOW + 4 * HOUR)
    assert record.chosen == chosen
    assert record.ask_again == NOW + 4 * HOUR + backoff.WINDOW_SECONDS
    backoff.choose(record, None, NOW)
    assert record.chosen == chosen
    backoff.choose(record, Window(NOW - DAY, NOW - DAY + 1, None, ""), NOW)
    assert record.chosen < NOW


@pytest.mark.parametrize("seconds, taken", [(0.0, MINUTE), (1e12, DAY)])
def test_questions_come_neither_too_often_nor_too_seldom(seconds: float, taken: float) -> None:
    record = Record()
    backoff.choose(record, Window(NOW, NOW + 1, seconds, ""), NOW)
    assert record.ask_again == NOW + taken
