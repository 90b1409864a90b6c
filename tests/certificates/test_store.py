"""Which certificate a name gets, and what a change does."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

from appliance.certificates.material import OWN, Material
from appliance.certificates.store import Store

NOW = datetime(2026, 11, 1, tzinfo=timezone.utc)
DAY = timedelta(days=1)


def material(*names: str, days: int = 90) -> Material:
    path = Path("/nowhere", names[0] if names else "nameless")
    return Material(path, path, None, "00" * 32, NOW, NOW + days * DAY, names, "somebody", OWN)


A, B = material("a.example", "also.example"), material("b.example")
WILD = material("*.example", "example")


def test_an_empty_store_has_nothing() -> None:
    store = Store()
    assert store.find("a.example") is None
    assert store.find(None) is None
    assert store.listing() == []


def test_exact_then_wildcard_then_the_first() -> None:
    store = Store()
    store.put("file:b", B)
    store.put("file:wild", WILD)
    store.put("file:a", A)
    assert store.find("a.example") is A
    assert store.find("ALSO.example.") is A
    assert store.find("c.example") is WILD
    assert store.find("example") is WILD
    assert store.find("deep.c.example") is B  # a wildcard is for one label (RFC 6125 6.4.3)
    assert store.find("elsewhere.test") is B
    assert store.find(None) is B
    assert store.find("") is B
    assert store.listing() == [B, WILD, A]
    assert store.covers("C.example") and store.covers("a.example")
    assert not store.covers("elsewhere.test") and not store.covers("deep.c.example")


def test_what_is_replaced_keeps_its_place() -> None:
    store = Store()
    store.put("1", A)
    store.put("2", B)
    renewed = material("a.example", days=180)
    store.put("1", renewed)
    assert store.find(None) is renewed
    assert store.find("a.example") is renewed
    assert store.find("also.example") is renewed  # which is no longer a name of it: the first
    assert store.items() == [("1", renewed), ("2", B)]
    assert store.get("1") is renewed and store.get("3") is None


def test_what_is_dropped_is_gone() -> None:
    store = Store()
    store.put("1", A)
    store.put("2", B)
    store.drop("1")
    store.drop("never there")
    assert store.find("a.example") is B
    assert store.listing() == [B]


def test_of_two_for_one_name_the_longer_one() -> None:
    store = Store()
    longer, same = material("a.example", days=100), material("a.example", "x.example")
    for key, one in (("1", A), ("2", longer), ("3", same)):
        store.put(key, one)
    assert store.find("a.example") is longer
    store.drop("2")
    assert store.find("a.example") is A


def test_changes_are_told() -> None:
    store = Store()
    seen: list[list[Material]] = []
    store.on_change.append(lambda: seen.append(store.listing()))
    store.put("1", A)
    store.put("1", A)  # no change
    store.drop("2")  # neither
    store.put("1", B)
    store.drop("1")
    assert seen == [[A], [B], []]
