"""What the bearer of a token may offer: what a pattern stands for must be allowed whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.server.limits import SHOWN_LETTERS, UNLIMITED, Limits
from appliance.wire.address import AddressError

HOME = Limits.parse(["*.home.example.com", "shop.example.com"], [])


@pytest.mark.parametrize(
    "pattern",
    ["a.home.example.com", "a.b.home.example.com", "*.home.example.com", "*.b.home.example.com", "shop.example.com"],
)
def test_what_is_covered(pattern: str) -> None:
    assert HOME.objection_to_name(pattern) == ""


@pytest.mark.parametrize(
    "pattern",
    [
        "", "home.example.com", "example.com", "*.example.com", "xhome.example.com", "*.xhome.example.com",
        "a.shop.example.com", "*.shop.example.com", "home.example.com.evil.example", "192.0.2.1", "2001:db8::1",
    ],
)  # fmt: skip
def test_what_is_not(pattern: str) -> None:
    reason = HOME.objection_to_name(pattern)
    assert reason == "this client's token allows *.home.example.com, shop.example.com alone"


def test_every_name() -> None:
    for limits in (Limits(), UNLIMITED, Limits.parse(["*"], ["22"])):
        assert not any(limits.objection_to_name(pattern) for pattern in ("", "a.example", "*.example", "::1"))


def test_what_is_not_listed_is_not_allowed() -> None:
    """A token that was made for a name opens no port, and the other way round."""
    assert HOME.objection_to_port(22) == "this client's token allows no ports"
    ports = Limits.parse([], ["8000-8010", "22"])
    assert not any(map(ports.objection_to_port, (22, 8000, 8005, 8010)))
    assert ports.objection_to_port(8011) == "this client's token allows ports 22, 8000-8010 alone"
    assert ports.objection_to_name("a.example") == "this client's token allows no names"
    assert Limits.parse([], ["22"]).objection_to_port(23) == "this client's token allows port 22 alone"
    assert not Limits.parse([], ["*"]).objection_to_port(65535)


def test_names_are_read_as_clients_names_are() -> None:
    limits = Limits.parse([" App.Example.COM. ", "bücher.example", "*", "[2001:DB8::1]"], [" 443 ", "1 - 3"])
    assert limits.spoken_names == ["app.example.com", "xn--bcher-kva.example", "*", "2001:db8::1"]
    assert limits.spoken_ports == ["1-3", "443"]


@pytest.mark.parametrize(
    ("names", "ports"),
    [
        ([""], []), (["a b"], []), (["a.*"], []), (["*.*.a"], []), (["http://a"], []), (["a:80"], []), (["*."], []),
        ([], [""]), ([], [","]), ([], ["0"]), ([], ["65536"]), ([], ["5-4"]), ([], ["ssh"]),
    ],
)  # fmt: skip
def test_nonsense_is_refused(names: list[str], ports: list[str]) -> None:
    """Above all nothing that is empty may come to mean "everything"."""
    with pytest.raises(AddressError):
        Limits.parse(names, ports)


def test_long_lists_are_told_in_part() -> None:
    limits = Limits.parse([f"name-{number}.example.com" for number in range(100)], [])
    reason = limits.objection_to_name("other")
    assert len(reason) < SHOWN_LETTERS + 60 and reason.endswith("and others alone")


labels = st.text("ab", min_size=1, max_size=2)
names = st.lists(labels, min_size=1, max_size=4).map(".".join)
patterns = st.one_of(names, names.map("*.{}".format), st.just(""))


def serves(pattern: str, name: str) -> bool:
    """As the router has it."""
    return not pattern or name == pattern or (pattern.startswith("*.") and name.endswith(pattern[1:]))


@given(patterns, patterns, names)
def test_nothing_is_served_that_is_not_allowed(allowed: str, offered: str, name: str) -> None:
    limits = Limits.parse([allowed or "*"], [])
    if not limits.objection_to_name(offered) and serves(offered, name):
        assert serves(allowed, name)
