"""Which names want a certificate, and what is told of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.certificates.acme_files import Record
from appliance.certificates.acme_problems import Failed
from appliance.certificates.overdue import overdue_in, told
from tests.certificates.test_renewals import DAY, HOUR, START, A, B, Life


@pytest.fixture
def life(tmp_path: Path) -> Life:
    return Life(tmp_path / "state")


def test_a_name_that_nobody_has_tried_yet(life: Life) -> None:
    [late] = life.renewals.overdue()
    assert (late.name, late.failures, late.reason) == (A, 0, "")
    assert (late.since, late.next_try, late.expires) == (None, None, None)


def test_a_name_that_has_what_it_wants(life: Life) -> None:
    life.look()
    assert life.renewals.overdue() == []


def test_a_name_that_fails(life: Life, tmp_path: Path) -> None:
    life.start(A, B)
    life.issuer.failures[B] = Failed("no such name")
    life.look()
    [late] = life.renewals.overdue()
    assert (late.name, late.failures, late.reason, late.expires) == (B, 1, "no such name", None)
    assert late.since is not None and late.since.timestamp() == START
    assert late.next_try is not None and late.next_try.timestamp() > START
    assert overdue_in(tmp_path / "state", START) == [late], "who only looks sees the same"
    told_of = told(late)
    assert (told_of["name"], told_of["expires"]) == (B, None)
    assert str(told_of["nextTry"]).startswith("2026-06-01T00:0")


def test_a_renewal_that_fails(life: Life) -> None:
    life.look()
    expires = life.expires(A)
    life.issuer.failures[A] = Failed("no proof")
    life.pass_time(75 * DAY)
    [late] = life.renewals.overdue()
    assert late.expires is not None and late.expires.timestamp() == expires
    assert late.failures > 2
    del life.issuer.failures[A]
    life.pass_time(DAY)
    assert life.renewals.overdue() == []


def test_an_issuer_that_turns_all_away(life: Life) -> None:
    life.start(A, B)
    life.issuer.failures[A] = life.issuer.failures[B] = Failed("we are closed", whole=True, retry_after=4 * HOUR)
    life.look()
    for late in life.renewals.overdue():
        assert (late.reason, late.failures) == ("we are closed", 1)
        assert late.next_try is not None and late.next_try.timestamp() >= START + 4 * HOUR


def test_a_start_tells_what_was_put_off(life: Life, caplog: pytest.LogCaptureFixture) -> None:
    life.issuer.failures[A] = Failed("no such name")
    life.look()
    caplog.clear()
    life.start(A)
    assert [record.getMessage().partition(";")[0] for record in caplog.records] == [
        f"{A}: no certificate at the last try: no such name"
    ]


def test_a_name_that_is_not_wanted_any_more(life: Life, tmp_path: Path) -> None:
    life.files.keep_record(B, Record(failures=3, reason="gone", wanted=False))
    assert [late.name for late in overdue_in(tmp_path / "state", START)] == [A]


def test_a_directory_without_issuers(tmp_path: Path) -> None:
    assert overdue_in(tmp_path, START) == []
