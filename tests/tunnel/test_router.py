"""Names and who serves them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gevent
import pytest

from appliance.tunnel import router as router_module
from appliance.tunnel.inspector.store import Inspector
from appliance.tunnel.router import Member, Route, Router


def session() -> Any:
    return SimpleNamespace()


def offer(router: Router, *patterns: str, by: Any = None) -> Any:
    by = by or session()
    router.offer(by, [(pattern, Member(by, f"http://{pattern or 'default'}:1", b"")) for pattern in patterns])
    return by


def found(router: Router, host: bytes | None) -> str | None:
    route = router.find(host)
    return None if route is None else route.label


@pytest.mark.parametrize(
    ("host", "label"),
    [
        (b"example.com", "example.com"),
        (b"EXAMPLE.Com", "example.com"),
        (b"example.com.", "example.com"),
        (b"example.com:8000", "example.com"),
        (b"EXAMPLE.COM.:8000", "example.com"),
        (b"www.example.com", "www.example.com"),
        (b"a.example.com", "*.example.com"),
        (b"a.b.example.com", "*.example.com"),
        (b"x.a.b.example.com", "*.example.com"),
        (b"a.deep.example.com", "*.deep.example.com"),
        (b"deep.example.com", "*.example.com"),
        (b"notexample.com", "*"),
        (b"com", "*"),
        (b"[::1]", "::1"),
        (b"[0:0:0:0:0:0:0:1]:80", "::1"),
        (b"[::2]", "*"),
        (b"10.0.0.1:80", "10.0.0.1"),
        (b"10.0.0.2", "*"),
        (b"", "*"),
        (None, "*"),
        (b"a..b", "*"),
        (b"\xff", "*"),
        (b"x" * 300, "*"),
        (b".".join([b"a"] * 126) + b".example.com", "*"),
        (b".".join([b"a"] * 100) + b".example.com", "*.example.com"),
    ],
)
def test_the_most_specific_name_wins(host: bytes | None, label: str) -> None:
    router = Router()
    offer(router, "example.com", "www.example.com", "*.example.com", "*.deep.example.com", "::1", "10.0.0.1", "")
    for _ in range(2):  # looked up, and remembered
        assert found(router, host) == label


def test_a_name_that_nobody_has_offered() -> None:
    router = Router()
    offer(router, "example.com", "*.example.org")
    for host in (b"example.net", b"example.org", b"", None, b"[::1]"):
        assert router.find(host) is None


def test_names_whose_clients_have_gone_are_not_unknown() -> None:
    router = Router()
    offer(router, "", "*.example.com")
    gone = offer(router, "www.example.com")
    router.withdraw(gone)
    route = router.find(b"www.example.com")
    assert route is not None
    assert (route.label, route.members) == ("www.example.com", [])
    assert found(router, b"other.example.com") == "*.example.com"
    back = offer(router, "www.example.com")
    assert [member.session for member in router.find(b"www.example.com").members] == [back]  # type: ignore[union-attr]


def test_only_some_of_the_gone_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router_module, "MAX_GONE", 2)
    router = Router()
    for name in ("a", "b", "c", "d"):
        router.withdraw(offer(router, name))
    assert [found(router, name) for name in (b"a", b"b", b"c", b"d")] == [None, None, "c", "d"]
    offer(router, "c")
    router.withdraw(offer(router, "e"))
    assert {route.pattern for route in router.routes()} == {"c", "d", "e"}
    router.withdraw(offer(router, "f"))
    assert {route.pattern for route in router.routes()} == {"c", "e", "f"}  # c is served


def test_clients_take_turns() -> None:
    router = Router()
    sessions = [offer(router, "a") for _ in range(3)]
    route = router.find(b"a")
    assert route is not None
    rounds = [[member.session for member in route.in_turn()] for _ in range(6)]
    assert [turn[0] for turn in rounds[:3]] == [turn[0] for turn in rounds[3:]]
    assert {id(turn[0]) for turn in rounds} == {id(one) for one in sessions}
    assert all({id(one) for one in turn} == {id(one) for one in sessions} for turn in rounds)


def test_one_or_none_need_no_turns() -> None:
    route = Route("a")
    assert route.in_turn() == []
    router = Router()
    by = offer(router, "a")
    found = router.find(b"a")
    assert found is not None
    assert [member.session for member in found.in_turn() + found.in_turn()] == [by, by]


def test_an_update_replaces_what_was_offered() -> None:
    router = Router()
    by = offer(router, "a", "b")
    other = offer(router, "b")
    offer(router, "b", "c", by=by)
    members = {route.pattern: [member.session for member in route.members] for route in router.routes()}
    assert members == {"a": [], "b": [other, by], "c": [by]}
    router.withdraw(by)
    router.withdraw(by)
    assert {route.pattern: len(route.members) for route in router.routes()} == {"a": 0, "b": 1, "c": 0}


def test_a_list_that_is_being_gone_through_does_not_change() -> None:
    """A request tries the members one after another, and waits meanwhile."""
    router = Router()
    first, second = offer(router, "a"), offer(router, "a")
    route = router.find(b"a")
    assert route is not None
    turn = route.in_turn()
    router.withdraw(first)
    assert {id(member.session) for member in turn} == {id(first), id(second)}


def test_spellings_are_remembered_within_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router_module, "MAX_CACHED_HOSTS", 4)
    router = Router()
    offer(router, "")
    for number in range(20):
        assert found(router, b"h%d" % number) == "*"
        assert len(router._found) <= 4
    before = dict(router._found)
    assert found(router, b"x" * 60000) == "*"  # a Host header may be as long as a head
    assert router._found == before


def test_what_was_found_is_forgotten_when_offers_change() -> None:
    router = Router()
    assert found(router, b"a.example.com") is None
    offer(router, "*.example.com")
    assert found(router, b"a.example.com") == "*.example.com"
    offer(router, "a.example.com")
    assert found(router, b"a.example.com") == "a.example.com"


def test_one_that_has_just_failed_is_asked_last(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(router_module, "time", SimpleNamespace(monotonic=lambda: now))
    router = Router()
    for _ in range(3):
        offer(router, "a.example", by=object())
    route = router.find(b"a.example")
    assert route is not None
    failed = route.members[1]
    route.avoid(failed)
    for _ in range(6):
        order = route.in_turn()
        assert order[-1] is failed
        assert set(order) == set(route.members)
    now += router_module.AVOID_SECONDS
    assert any(route.in_turn()[0] is failed for _ in range(3))


def test_routes_know_whether_they_are_inspected() -> None:
    inspector, router = Inspector(), Router()
    offer(router, "a.example", "")
    inspector.switch("b.example", 900)
    router.use(inspector)
    by = offer(router, "b.example", "c.example")

    def inspected() -> list[str]:
        return sorted(route.label for route in router.routes() if route.inspected)

    assert inspected() == ["b.example"]
    inspector.switch("a.example", 900)
    assert inspected() == ["a.example", "b.example"]
    router.withdraw(by)
    inspector.switch_off("b.example")
    offer(router, "b.example")
    assert inspected() == ["a.example"]
    inspector.switch("*", None)
    assert inspected() == ["*", "a.example", "b.example", "c.example"]
    inspector.switch_off("*")
    assert inspected() == ["a.example"]


# ---- after a restart


def test_who_was_served_before_is_waited_for() -> None:
    """Its names are known at once, and so are not those of a less specific one."""
    router = Router()
    router.expect(["a.example"], 10.0)
    offer(router, "")
    route = router.find(b"a.example")
    assert route is not None and route.label == "a.example"
    waiting = [gevent.spawn(route.await_return) for _ in range(2)]
    gevent.sleep(0)
    assert not any(one.ready() for one in waiting)
    offer(router, "a.example")
    assert [len(one.get(timeout=5)) for one in waiting] == [1, 1]
    assert route.await_return() == route.members


def test_but_not_for_ever() -> None:
    router = Router()
    router.expect(["a.example"], 0.01)
    route = router.find(b"a.example")
    assert route is not None
    assert route.await_return() == []
    assert route.arrival is None
    assert route.await_return() == []


def test_who_leaves_is_not_waited_for() -> None:
    router = Router()
    router.withdraw(offer(router, "a.example"))
    route = router.find(b"a.example")
    assert route is not None
    assert route.await_return() == []
