"""When certificates are ordered, and what a failure touches: with a clock of the test's own, and nobody to ask."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from appliance.certificates import backoff, renewals
from appliance.certificates.acme_files import AcmeFiles, Record, prepare
from appliance.certificates.acme_problems import Failed, Window
from appliance.certificates.renewals import BUSY_SECONDS, Renewals
from appliance.certificates.store import Store
from tests.certificates.issuing import StandIn, issue

START = datetime(2026, 6, 1, tzinfo=timezone.utc).timestamp()
HOUR, DAY = 3600.0, 86400.0
LOOK_SECONDS = 8 * HOUR
A, B, C = "a.example", "b.example", "c.example"
BOTH = ("http-01", "tls-alpn-01")


class Life:
    """A server's life, as far as its certificates see it."""

    def __init__(self, state: Path) -> None:
        self.files: AcmeFiles = prepare(state, "https://ca.example/dir")
        self.issuer = StandIn(START)
        self.start(A)

    def start(self, *names: str, methods: tuple[str, ...] = BOTH) -> None:
        self.store = Store()
        self.renewals = Renewals(
            names, self.files, self.store, self.issuer.connect, lambda: methods, now=lambda: self.issuer.now
        )
        self.renewals.load()

    def look(self) -> float:
        pause = self.renewals.look()
        assert 0.0 < pause <= LOOK_SECONDS
        assert self.issuer.open == 0
        return pause

    def pass_time(self, seconds: float, most: int = 10_000) -> None:
        """As the server's greenlet does: look, wait, look again."""
        end = self.issuer.now + seconds
        for _ in range(most):
            self.issuer.now += min(self.look(), end - self.issuer.now)
            if self.issuer.now >= end:
                return
        raise AssertionError("it looks too often")

    def expires(self, name: str) -> float:
        material = self.store.get(f"acme:{name}")
        assert material is not None
        return material.expires.timestamp()


@pytest.fixture
def life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Life:
    monkeypatch.setattr(renewals, "LOOK_SECONDS", LOOK_SECONDS)  # months pass faster
    return Life(tmp_path / "state")


def test_what_is_missing_is_ordered_and_then_left_alone(life: Life) -> None:
    life.start(A, B)
    life.look()
    assert life.issuer.ordered == [(A, "http-01"), (B, "http-01")]
    assert life.issuer.rounds == 1
    life.pass_time(55 * DAY)
    assert len(life.issuer.ordered) == 2
    assert [material.names for material in life.store.listing()] == [(A,), (B,)]


def test_renewed_at_two_thirds_of_the_life(life: Life) -> None:
    life.look()
    first = life.expires(A)
    material = life.store.get(f"acme:{A}")
    assert material is not None and material.renews is not None
    assert 55 * DAY < material.renews.timestamp() - START <= 60 * DAY
    life.pass_time(61 * DAY)
    assert len(life.issuer.ordered) == 2
    assert life.expires(A) > first
    replaced = life.issuer.replaced[1]
    assert replaced is not None
    assert replaced.not_valid_after_utc.timestamp() == first


def test_a_restart_orders_nothing(life: Life) -> None:
    life.look()
    life.start(A)
    assert life.store.find(A) is not None  # before anybody is asked
    life.look()
    assert len(life.issuer.ordered) == 1


def test_a_failing_name_touches_no_other(life: Life) -> None:
    life.start(A, B, C)
    life.issuer.failures[B] = Failed("no such name")
    life.look()
    assert {name for name, _ in life.issuer.ordered} == {A, B, C}
    assert [material.name for material in life.store.listing()] == [A, C]
    life.pass_time(DAY)
    del life.issuer.failures[B]
    life.pass_time(DAY)
    assert life.store.covers(B)


def test_a_failed_renewal_leaves_the_certificate(life: Life, caplog: pytest.LogCaptureFixture) -> None:
    life.look()
    first = life.expires(A)
    life.issuer.failures[A] = Failed("no luck")
    life.pass_time(90 * DAY)
    asked = life.issuer.asked
    life.pass_time(10 * DAY)
    assert life.issuer.asked == asked  # about what has ended nothing is asked (RFC 9773 4.3)
    assert life.expires(A) == first  # past its end, too: visitors then see what is wrong
    assert (
        "a.example: no new certificate (the one in use ends 2026-08-30 00:00 UTC): no luck; next try at" in caplog.text
    )
    assert len(life.issuer.ordered) < 150


def test_the_other_challenge_is_tried_then_one_in_turn(life: Life) -> None:
    life.issuer.failures[A] = Failed("not found")
    life.pass_time(3 * HOUR)
    methods = [method for _, method in life.issuer.ordered]
    assert methods[:4] == ["http-01", "tls-alpn-01", "http-01", "tls-alpn-01"]
    assert len(methods) <= 6
    del life.issuer.failures[A]
    life.pass_time(2 * DAY)
    good = life.issuer.ordered[-1][1]
    life.pass_time(70 * DAY)
    assert life.issuer.ordered[-1][1] == good  # renewals begin with what went well


def test_without_a_port_there_is_advice(life: Life, caplog: pytest.LogCaptureFixture) -> None:
    life.start(A, methods=())
    life.look()
    assert life.issuer.ordered == []
    assert "neither the port for plain HTTP nor the one for HTTPS is open" in caplog.text


def test_never_more_than_the_issuers_limits_allow(life: Life) -> None:
    """Let's Encrypt: five failures of a name in an hour, which is met within one attempt."""
    life.issuer.failures[A] = Failed("not found")
    life.pass_time(HOUR)
    assert len(life.issuer.ordered) <= 5
    life.pass_time(30 * DAY)
    assert len(life.issuer.ordered) <= 80


def test_an_issuer_out_of_reach_is_asked_once_for_all_names(life: Life) -> None:
    life.start(A, B, C)
    for name in (A, B, C):
        life.issuer.failures[name] = Failed("cannot be reached", whole=True)
    life.look()
    assert len(life.issuer.ordered) == 1
    assert life.files.record(A).failures == 0  # none of theirs
    life.pass_time(DAY)
    assert len(life.issuer.ordered) <= 6
    life.issuer.failures.clear()
    life.pass_time(DAY)
    assert len(life.store.listing()) == 3
    assert life.files.issuer() == Record()


def test_a_limit_is_respected_across_restarts(life: Life) -> None:
    life.issuer.failures[A] = Failed("too much", code="rateLimited", retry_after=5 * HOUR)
    life.look()
    for _ in range(4):
        life.start(A)
        life.pass_time(HOUR)
    assert len(life.issuer.ordered) == 1
    life.issuer.failures.clear()
    life.pass_time(2 * HOUR)
    assert life.store.covers(A)


def test_a_limit_says_nothing_about_the_challenge(life: Life) -> None:
    life.issuer.failures[A] = Failed("too much", code="rateLimited", retry_after=HOUR)
    life.pass_time(5 * HOUR)
    assert {method for _, method in life.issuer.ordered} == {"http-01"}


def test_a_second_limit_in_a_row_is_for_all_names(life: Life) -> None:
    names = [f"{letter}.example" for letter in "abcdef"]
    life.start(*names)
    life.issuer.failures = {name: Failed("too much", code="rateLimited", retry_after=HOUR) for name in names}
    life.look()
    assert len(life.issuer.ordered) == 2
    life.issuer.failures.clear()
    life.pass_time(3 * HOUR)
    assert len(life.store.listing()) == 6


def test_limits_of_one_domain_touch_no_other(life: Life) -> None:
    """Issuers limit registered domains."""
    names = [f"{letter}.limited.example" for letter in "abc"]
    life.start(*names, "fine.other")
    life.issuer.failures = {name: Failed("too many", code="rateLimited", retry_after=DAY) for name in names}
    life.look()
    assert life.store.covers("fine.other")
    assert not any(map(life.store.covers, names))


def test_a_restart_tries_again_what_was_put_off_but_a_crash_loop_does_not(life: Life) -> None:
    life.start(A, methods=("http-01",))
    life.issuer.failures[A] = Failed("not found")
    life.pass_time(DAY)
    before = len(life.issuer.ordered)
    life.start(A, methods=("http-01",))
    life.look()
    assert len(life.issuer.ordered) == before + 1
    for _ in range(20):
        life.start(A, methods=("http-01",))
        life.look()
    assert len(life.issuer.ordered) == before + 1


def test_a_name_taken_away_is_not_renewed_and_not_served(life: Life) -> None:
    life.start(A, B)
    life.look()
    life.start(A)
    assert [material.name for material in life.store.listing()] == [A]
    life.pass_time(100 * DAY)
    assert life.issuer.ordered.count((B, "http-01")) == 1
    assert not life.files.record(B).wanted
    life.start(A, B)
    life.look()
    assert life.issuer.ordered.count((B, "http-01")) == 2
    assert life.files.record(B).wanted


def test_an_order_under_way_is_kept_for_the_next_start(life: Life) -> None:
    life.issuer.failures[A] = Failed("connection lost", whole=True)
    life.look()
    assert life.files.record(A).order
    life.issuer.failures.clear()
    life.pass_time(HOUR)
    assert not life.files.record(A).order


def test_two_processes_take_turns(life: Life) -> None:
    with life.files.alone():
        assert life.look() == BUSY_SECONDS
        assert life.issuer.ordered == []
        life.files.keep_certificate(A, *issue(A, datetime.fromtimestamp(START, timezone.utc), timedelta(days=90)))
        life.look()
        assert life.store.covers(A)  # the other's
    life.look()
    assert life.issuer.ordered == []


def test_a_clock_a_year_ahead_orders_once_and_says_so(life: Life, caplog: pytest.LogCaptureFixture) -> None:
    life.look()
    first = life.expires(A)
    life.issuer.now += 365 * DAY
    life.issuer.ahead = 365 * DAY
    life.start(A)
    assert life.expires(A) == first  # served all the same: the visitors' clocks may be right
    life.pass_time(20 * DAY)
    assert len(life.issuer.ordered) == 2
    assert "but this machine's clock says 2027-06-01" in caplog.text
    life.issuer.now -= 365 * DAY
    life.issuer.ahead = 0.0
    life.pass_time(50 * DAY)
    assert len(life.issuer.ordered) == 3  # as if nothing had been
    life.pass_time(10 * DAY)
    assert len(life.issuer.ordered) == 3


def test_a_clock_that_starts_in_the_past(life: Life) -> None:
    life.look()
    life.issuer.now = 0.0
    life.start(A)
    life.pass_time(DAY)
    assert len(life.issuer.ordered) == 1
    life.issuer.now = START + DAY
    life.pass_time(DAY)
    assert len(life.issuer.ordered) == 1


def test_the_issuers_window_is_kept(life: Life) -> None:
    life.issuer.suggested = Window(START + 10 * DAY, START + 11 * DAY, 6 * HOUR, "")
    life.look()
    assert life.issuer.asked == 1  # right after it was issued (RFC 9773 4.3)
    material = life.store.get(f"acme:{A}")
    assert material is not None and material.renews is not None
    assert START + 10 * DAY <= material.renews.timestamp() <= START + 11 * DAY
    life.pass_time(9.9 * DAY)
    assert len(life.issuer.ordered) == 1
    assert 36 <= life.issuer.asked <= 42
    life.issuer.suggested = None
    life.pass_time(1.2 * DAY)
    assert len(life.issuer.ordered) == 2


def test_a_window_moved_up_is_noticed(life: Life, caplog: pytest.LogCaptureFixture) -> None:
    """As when the issuer is about to revoke."""
    life.issuer.suggested = Window(START + 60 * DAY, START + 61 * DAY, 6 * HOUR, "")
    life.pass_time(20 * DAY)
    life.issuer.suggested = Window(START, START + DAY, 6 * HOUR, "https://ca.example/incident")
    life.pass_time(7 * HOUR)
    assert len(life.issuer.ordered) == 2
    assert "see https://ca.example/incident" in caplog.text


def test_no_word_about_the_window_changes_nothing(life: Life) -> None:
    life.issuer.suggested = Failed("cannot be reached", whole=True)
    life.pass_time(50 * DAY)
    assert len(life.issuer.ordered) == 1
    assert life.files.issuer() == Record()
    assert life.issuer.asked <= 210
    life.pass_time(11 * DAY)
    assert len(life.issuer.ordered) == 2


def test_a_full_disk_is_said_and_waited_for(
    life: Life, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(AcmeFiles, "keep_record", full)
        assert life.look() >= backoff.STEPS[0]
    assert "No space left on device" in caplog.text
    life.look()
    assert life.store.covers(A)
