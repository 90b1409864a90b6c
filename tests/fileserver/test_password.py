"""Basic authentication, and what guessing costs."""

from __future__ import annotations

import base64

import gevent
import pytest

from appliance.fileserver import password
from appliance.fileserver.password import FREE_FAILURES, MAX_DELAY_SECONDS, MAX_WAITING, PasswordGate

PEER = "192.0.2.7:5555"


def basic(credentials: str, scheme: str = "Basic") -> str:
    return f"{scheme} {base64.b64encode(credentials.encode()).decode()}"


RIGHT, WRONG = basic("anyone:right"), basic("anyone:wrong")


@pytest.fixture
def delays(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits that would have been."""
    waited: list[float] = []
    monkeypatch.setattr(gevent, "sleep", waited.append)
    return waited


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (RIGHT, 0),
        (basic(":right"), 0),
        (basic("someone else:right"), 0),
        (basic("x:right", "bAsIc"), 0),
        (RIGHT.replace(" ", "   "), 0),
        (None, 401),
        ("", 401),
        (WRONG, 401),
        (basic("right"), 401),
        (basic("right:"), 401),
        (basic("x:right "), 401),
        (basic("x:rightright"), 401),
        ("Basic", 401),
        ("Basic !!!", 401),
        ("Basic YQ", 401),
        ("Basic \xff\xfe", 401),
        ("Basic \u20ac", 401),
        ("Bearer right", 401),
    ],
)
def test_who_is_let_in(authorization: str | None, status: int) -> None:
    assert PasswordGate("right").check(PEER, authorization) == status


def test_a_password_may_contain_colons() -> None:
    assert PasswordGate("a:b:c").check(PEER, basic("user:a:b:c")) == 0


def test_many_wrong_passwords_are_slowed_down_and_a_right_one_never(delays: list[float]) -> None:
    gate = PasswordGate("right")
    for _ in range(FREE_FAILURES):
        assert gate.check(PEER, WRONG) == 401
    assert not delays
    for _ in range(20):
        assert gate.check("192.0.2.7:6666", WRONG) == 401
    assert delays == [min(float(n), MAX_DELAY_SECONDS) for n in range(1, 21)]
    assert gate.check(PEER, RIGHT) == 0
    assert gate.check("192.0.2.8:5555", WRONG) == 401
    assert len(delays) == 20


def test_no_password_is_no_guess(delays: list[float]) -> None:
    gate = PasswordGate("right")
    for _ in range(FREE_FAILURES + 5):
        assert gate.check(PEER, None) == 401
    assert not delays


def test_a_minute_later_the_count_begins_anew(delays: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(password.time, "monotonic", lambda: now[0])
    gate = PasswordGate("right")
    for _ in range(FREE_FAILURES):
        gate.check(PEER, WRONG)
    now[0] = 61.0
    gate.check(PEER, WRONG)
    assert not delays


def test_one_ipv6_network_is_one_guesser(delays: list[float]) -> None:
    gate = PasswordGate("right")
    for number in range(FREE_FAILURES + 1):
        gate.check(f"[2001:db8:1:2::{number:x}]:5555", WRONG)
    assert len(delays) == 1
    gate.check("[2001:db8:1:3::1]:5555", WRONG)
    gate.check("[fe80::1%eth0]:5555", WRONG)
    gate.check("unix", WRONG)
    assert len(delays) == 1


def test_only_so_many_wait_at_once() -> None:
    gate = PasswordGate("right")
    for _ in range(FREE_FAILURES):
        gate.check(PEER, WRONG)
    waiting = [gevent.spawn(gate.check, PEER, WRONG) for _ in range(MAX_WAITING)]
    gevent.idle()
    assert gate.check(PEER, WRONG) == 429
    assert gate.check(PEER, RIGHT) == 0
    gevent.killall(waiting)


def test_the_addresses_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch, delays: list[float]) -> None:
    monkeypatch.setattr(password, "MAX_ADDRESSES", 3)
    gate = PasswordGate("right")
    for _ in range(FREE_FAILURES):
        gate.check("192.0.2.1:1", WRONG)
    for host in (2, 3, 1, 4):  # 2 is forgotten: the one seen longest ago
        gate.check(f"192.0.2.{host}:1", WRONG)
    assert len(gate._failures) == 3
    assert len(delays) == 1
    gate.check("192.0.2.1:1", WRONG)
    assert len(delays) == 2
