"""Log-ins: by cookie, with an end, and never too many."""

from appliance.admin.logins import IDLE_SECONDS, MOST_LOGINS, Logins


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_log_in_is_found_by_its_cookie_alone() -> None:
    logins = Logins()
    cookie, login = logins.begin()
    other_cookie, other = logins.begin()
    assert logins.find(cookie) is login and logins.find(other_cookie) is other
    assert logins.find(cookie[:-1]) is None and logins.find("") is None and logins.find("\udcff") is None
    assert cookie != other_cookie and login.csrf_token != other.csrf_token
    assert cookie not in repr(vars(logins)), "the table holds no cookies"


def test_it_ends_by_idleness_and_use_puts_that_off() -> None:
    clock = Clock()
    logins = Logins(clock)
    cookie, login = logins.begin()
    clock.now += IDLE_SECONDS - 1
    assert logins.find(cookie) is login
    clock.now += IDLE_SECONDS - 1
    assert logins.lasts(login), "used in between"
    clock.now += 1
    assert not logins.lasts(login) and logins.find(cookie) is None
    logins.begin()
    assert len(logins) == 1


def test_it_can_be_ended() -> None:
    logins = Logins()
    cookie, login = logins.begin()
    kept, other = logins.begin()
    logins.end(login)
    assert logins.find(cookie) is None and not logins.lasts(login) and logins.find(kept) is other


def test_of_too_many_the_quietest_ends() -> None:
    clock = Clock()
    logins = Logins(clock)
    cookies = []
    for _ in range(MOST_LOGINS):
        cookies.append(logins.begin()[0])
        clock.now += 1
    assert logins.find(cookies[0]) is not None
    logins.begin()
    assert len(logins) == MOST_LOGINS
    assert logins.find(cookies[1]) is None and logins.find(cookies[0]) is not None


def test_changes_need_the_very_token() -> None:
    _, login = Logins().begin()
    assert login.may_change(login.csrf_token)
    for wrong in (None, "", login.csrf_token[:-1], login.csrf_token + "x", "é"):
        assert not login.may_change(wrong)
