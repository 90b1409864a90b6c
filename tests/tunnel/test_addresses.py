"""Who is let in, and who is believed: addresses, networks, and the one address that has two spellings."""

from __future__ import annotations

import pytest

from appliance.tunnel.addresses import AddressList, Admission


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("192.0.2.1", ["192.0.2.1"], ["192.0.2.2", "2001:db8::1"]),
        ("192.0.2.0/24", ["192.0.2.0", "192.0.2.255"], ["192.0.3.0", "192.0.1.255"]),
        ("192.0.2.77/24", ["192.0.2.1"], ["192.0.3.1"]),  # the host's part does not count
        ("0.0.0.0/0", ["1.2.3.4", "255.255.255.255"], ["::1", "2001:db8::1"]),
        ("::1", ["::1", "0:0:0:0:0:0:0:1"], ["::2", "127.0.0.1"]),
        ("2001:db8::/32", ["2001:db8::1", "2001:DB8:ffff::"], ["2001:db9::1"]),
        ("::/0", ["::1", "2001:db8::1"], ["1.2.3.4"]),
        ("fe80::/10", ["fe80::1%eth0", "fe80::1"], ["fec0::1%eth0"]),
    ],
)
def test_a_list_of_one(text: str, inside: list[str], outside: list[str]) -> None:
    addresses, admission = AddressList([text]), Admission([text])
    for host in inside:
        assert host in addresses
        assert admission.admits(host)
    for host in outside:
        assert host not in addresses
        assert not admission.admits(host)


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("192.0.2.0/24", "::ffff:192.0.2.9", "::ffff:192.0.3.9"),
        ("192.0.2.9", "::ffff:c000:209", "::ffff:c000:20a"),
        ("::ffff:192.0.2.9", "192.0.2.9", "192.0.2.10"),
        ("::ffff:192.0.2.0/120", "192.0.2.9", "192.0.3.9"),
        ("::ffff:192.0.2.0/120", "::ffff:192.0.2.9", "::ffff:192.0.3.9"),
        ("::ffff:0:0/96", "1.2.3.4", "::1"),
    ],
)
def test_an_ipv4_address_in_ipv6_s_clothes_is_the_same(text: str, inside: str, outside: str) -> None:
    """On either side: a socket for both families shows visitors so, and people copy that into their lists."""
    addresses = AddressList([text])
    assert inside in addresses
    assert outside not in addresses


def test_a_network_that_is_larger_than_that_of_mapped_addresses_stays_one_of_ipv6() -> None:
    addresses = AddressList(["::ffff:0:0/80"])
    assert "::1:0:0:1" not in addresses
    assert "::fffe:0:1" in addresses
    assert "1.2.3.4" not in addresses


def test_any_of_several() -> None:
    addresses = AddressList(["192.0.2.1", "198.51.100.0/24", "2001:db8::/32"])
    assert [host in addresses for host in ("192.0.2.1", "198.51.100.7", "2001:db8::7", "203.0.113.1")] == [
        True,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("host", ["", "unix", "example.com", "1.2.3", "1.2.3.4:5", "[::1]", "01.2.3.4", "%eth0"])
def test_what_is_no_address_is_in_no_list(host: str) -> None:
    assert host not in AddressList(["0.0.0.0/0", "::/0"])
    assert not Admission(["0.0.0.0/0", "::/0"]).admits(host)


def test_nothing_listed() -> None:
    """Nobody is trusted then, and everybody may come, from a Unix socket as well."""
    assert not AddressList([])
    assert AddressList(["::1"])
    assert "127.0.0.1" not in AddressList([])
    for host in ("127.0.0.1", "::1", "unix"):
        assert Admission([]).admits(host)
