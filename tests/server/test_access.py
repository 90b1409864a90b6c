"""The token guard: who gets in, who waits, and what guessing may cost."""

import dataclasses
import hashlib

import gevent
import gevent.event
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.server import access
from appliance.server.access import Strangers, TokenGuard
from appliance.server.client_tokens import OWN, Bearer, ClientTokens
from appliance.server.limits import Limits

TOKEN = "correct horse battery staple"
RIGHT = f"Bearer {TOKEN}"
WRONG = "Bearer guess"


class Time:
    """A clock that only moves by the sleeps it is asked for."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def guard(time: Time) -> TokenGuard:
    return TokenGuard(TOKEN, clock=time.clock, sleep=time.sleep)


@pytest.mark.parametrize("header", [RIGHT, f"bearer {TOKEN}", f"BEARER   {TOKEN}", f"  Bearer {TOKEN} "])
def test_the_token_is_let_in(guard: TokenGuard, header: str) -> None:
    assert guard.check(header)


@pytest.mark.parametrize(
    "header",
    [
        None, "", " ", "Bearer", "Bearer ", TOKEN, f"Basic {TOKEN}", f"Bearer{TOKEN}", f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN.upper()}", f"Bearer {TOKEN}, Bearer {TOKEN}", "Bearer \u4e2d",
        f"Bearer\t{TOKEN}", f"Bearer {TOKEN}\0", "Bearer \udcff",
    ],
)  # fmt: skip
def test_anything_else_is_not(guard: TokenGuard, header: str | None) -> None:
    assert not guard.check(header)


def test_tokens_of_clients_are_told_from_the_servers(time: Time) -> None:
    """They let nobody in but clients, and are no guesses."""
    clients = ClientTokens()
    text, token = clients.add("pi", Limits())
    guard = TokenGuard(TOKEN, clock=time.clock, sleep=time.sleep, clients=clients)
    header = f"Bearer {text}"
    for _ in range(2 * access.FREE_REFUSALS):
        assert guard.bearer(header) == Bearer(token) == guard.admit_client("192.0.2.1", header)
        assert not guard.check(header) and not guard.admit("192.0.2.1", header)
    assert guard.denied == 0 and not time.slept
    assert guard.admit_client("192.0.2.1", RIGHT) is OWN and guard.admit("192.0.2.1", RIGHT)
    for wrong in (
        f"Basic {text}",
        f"Bearer {text}x",
        f"Bearer {token.digest}",
        f"Bearer {token.name}",
        None,
        "Bearer ",
    ):
        assert guard.bearer(wrong) is None and guard.admit_client("192.0.2.1", wrong) is None
    assert guard.denied == 6
    clients.remove("pi")
    assert guard.bearer(header) is None


def test_the_servers_own_token_wins() -> None:
    """Whatever is in the file: whoever could write there must not lock the server's own token out, or rename it."""
    clients = ClientTokens()
    _, token = clients.add("pi", Limits())
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    clients._by_digest[digest] = dataclasses.replace(token, digest=digest)
    assert TokenGuard(TOKEN, clients=clients).bearer(RIGHT) is OWN


@given(st.text())
def test_any_header_is_refused_without_a_crash(text: str) -> None:
    assert not TokenGuard(TOKEN).check(text)


TOKENS = st.text(st.characters(exclude_characters=" \t", exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(token=TOKENS, presented=TOKENS)
@example(token="voilà", presented="voila")
def test_any_token_gets_in_as_wsgi_gives_it_and_another_does_not(token: str, presented: str) -> None:
    guard = TokenGuard(token)
    assert guard.check("Bearer " + token.encode().decode("latin-1"))
    assert guard.check("Bearer " + presented.encode().decode("latin-1")) is (presented == token)


def test_an_empty_token_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="empty"):
        TokenGuard("")


def test_the_token_is_not_kept() -> None:
    guard = TokenGuard(TOKEN)
    assert TOKEN not in repr(vars(guard)) and TOKEN not in repr(guard)


def test_delays_begin_after_ten_and_grow_to_ten_seconds(guard: TokenGuard, time: Time) -> None:
    for _ in range(10):
        assert not guard.admit("192.0.2.1", WRONG)
    assert time.slept == []
    # Within one window: from the eleventh refusal on, 1 + 2 + ... + 10 seconds are 55.
    for _ in range(10):
        assert not guard.admit("192.0.2.1", None)
    assert time.slept == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]
    assert not guard.admit("192.0.2.1", WRONG)
    assert time.slept[-1] == access.MAX_DELAY_SECONDS
    assert guard.denied == 21


def test_a_right_token_is_never_delayed(guard: TokenGuard, time: Time) -> None:
    for _ in range(30):
        guard.admit("192.0.2.1", WRONG)
    slept = len(time.slept)
    assert guard.admit("192.0.2.1", RIGHT)
    assert len(time.slept) == slept and guard.denied == 30


def test_ten_in_more_than_a_minute_are_free(guard: TokenGuard, time: Time) -> None:
    for _ in range(100):
        guard.admit("192.0.2.1", WRONG)
        time.now += 6.5
    assert time.slept == []


def test_a_log_in_is_not_looked_at_while_many_answers_are_held() -> None:
    held = gevent.event.Event()
    guard = TokenGuard(TOKEN, sleep=lambda seconds: held.wait())
    for _ in range(access.FREE_REFUSALS):
        guard.admit("192.0.2.1", WRONG)
    assert not guard.turns_away("192.0.2.1"), "nothing is held yet"
    guesses = [gevent.spawn(guard.admit, "192.0.2.1", WRONG) for _ in range(access.MAX_WAITING_PER_ADDRESS)]
    gevent.sleep(0)
    denied = guard.denied
    assert guard.turns_away("192.0.2.1") and guard.denied == denied + 1
    assert guard.admit("192.0.2.1", RIGHT), "clients behind the same address get in"
    assert not guard.turns_away("192.0.2.2")
    held.set()
    gevent.joinall(guesses, timeout=10, raise_error=True)
    assert not guard.turns_away("192.0.2.1")


def test_addresses_do_not_pay_for_each_other(guard: TokenGuard, time: Time) -> None:
    for number in range(200):
        guard.admit(f"192.0.2.{number}", WRONG)
    assert time.slept == []


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("", "", True),
        ("unix", "", False),
    ],
)
def test_an_ipv6_network_counts_as_one(guard: TokenGuard, time: Time, one: str, other: str, same: bool) -> None:
    for _ in range(10):
        guard.admit(one, WRONG)
    guard.admit(other, WRONG)
    assert bool(time.slept) is same


class Gate:
    """A sleep that lasts until the gate opens."""

    def __init__(self) -> None:
        self.opened = gevent.event.Event()
        self.waiting = 0

    def sleep(self, seconds: float) -> None:
        self.waiting += 1
        assert self.opened.wait(10)


def test_of_parallel_wrong_answers_eight_wait_and_the_rest_are_refused_at_once() -> None:
    gate = Gate()
    guard = TokenGuard(TOKEN, sleep=gate.sleep)
    guesses = [gevent.spawn(guard.admit, "192.0.2.1", WRONG) for _ in range(50)]
    gevent.idle()
    assert gate.waiting == access.MAX_WAITING_PER_ADDRESS
    assert sum(guess.ready() for guess in guesses) == 50 - access.MAX_WAITING_PER_ADDRESS
    assert guard.admit("192.0.2.1", RIGHT)
    gate.opened.set()
    gevent.joinall(guesses, timeout=10, raise_error=True)
    assert not any(guess.value for guess in guesses)
    # All let go: the next one may wait again.
    guard.admit("192.0.2.1", WRONG)
    assert gate.waiting == access.MAX_WAITING_PER_ADDRESS + 1


def test_all_addresses_together_hold_a_limited_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "MAX_WAITING", 20)
    monkeypatch.setattr(access, "FREE_REFUSALS", 0)
    gate = Gate()
    guard = TokenGuard(TOKEN, sleep=gate.sleep)
    guesses = [gevent.spawn(guard.admit, f"192.0.2.{number}", WRONG) for number in range(50)]
    gevent.idle()
    assert gate.waiting == 20
    gate.opened.set()
    gevent.joinall(guesses, timeout=10, raise_error=True)


def test_a_visitor_killed_while_waiting_gives_its_place_back() -> None:
    gate = Gate()
    guard = TokenGuard(TOKEN, sleep=gate.sleep)
    for _ in range(10):
        guard.admit("192.0.2.1", WRONG)
    guesses = [gevent.spawn(guard.admit, "192.0.2.1", WRONG) for _ in range(8)]
    gevent.idle()
    gevent.killall(guesses, timeout=10)
    late = gevent.spawn(guard.admit, "192.0.2.1", WRONG)
    gevent.idle()
    assert not late.ready() and gate.waiting == 9
    late.kill(timeout=10)


def test_memory_is_bounded_and_the_quiet_are_forgotten_first(
    guard: TokenGuard, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "MAX_ADDRESSES", 100)
    for _ in range(10):
        guard.admit("192.0.2.1", WRONG)
    for number in range(1000):
        guard.admit(f"10.0.{number // 250}.{number % 250}", WRONG)
        assert len(guard._addresses) <= 100
        if number % 90 == 0:
            guard.admit("192.0.2.1", WRONG)
    assert len(time.slept) > 0, "an address that keeps guessing was forgotten"
    assert "192.0.2.1" in guard._addresses and "10.0.0.0" not in guard._addresses


def test_another_token_from_now_on() -> None:
    guard = TokenGuard("first")
    assert not guard.use("first")
    assert guard.use("second")
    assert (guard.check("Bearer first"), guard.check("Bearer second")) == (False, True)


def test_strangers_of_one_address_leave_room_for_others() -> None:
    strangers = Strangers(64)
    assert all(strangers.enter("192.0.2.1") for _ in range(32))
    assert not strangers.enter("192.0.2.1")
    others = [f"198.51.100.{number}" for number in range(32)]
    assert all(map(strangers.enter, others))
    assert not strangers.enter("203.0.113.1")  # all is taken
    for _ in range(32):
        strangers.leave("192.0.2.1")
    assert strangers.enter("192.0.2.1")  # its share is four, of what is more than half
    assert [strangers.enter("2001:db8::1"), strangers.enter("2001:db8::2")] == [True, True]
    for address in (*others, "192.0.2.1", "2001:db8::3", "2001:db8::4"):
        strangers.leave(address)
    assert strangers._open == 0
    assert not strangers._of


def test_who_guesses_is_named_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    guard = TokenGuard("right", clock=lambda: now, sleep=lambda seconds: None)
    for _ in range(2):
        for _ in range(100):
            assert not guard.admit("192.0.2.1", "Bearer wrong")
        now += 60
    assert caplog.text.count("192.0.2.1 has sent 10 wrong tokens within a minute") == 2
    assert "Bearer" not in caplog.text
