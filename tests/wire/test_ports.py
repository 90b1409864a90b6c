"""Ports, TCP upstreams and forwards as people write them."""

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.wire.address import AddressError
from appliance.wire.messages import MAX_UPSTREAMS
from appliance.wire.ports import (
    LOOPBACK,
    ForwardRules,
    LocalForward,
    PortOffer,
    PortSet,
    offers_a_port,
    parse_local_forwards,
    parse_tcp_target,
    parse_tcp_upstreams,
)

FUZZ = settings(max_examples=300, deadline=None)

numbers = st.integers(1, 65535)
ranges = st.tuples(numbers, numbers).map(sorted)
anything = st.text(max_size=12) | st.lists(
    st.sampled_from([*"0192:-,*=/[]@ .", "10.0.0.1", "::1", "65535", "/8", "unix:", "localhost", "443"]), max_size=9
).map("".join)


# Sets of ports


@pytest.mark.parametrize(
    ("texts", "canonical"),
    [
        (["443"], "443"),
        (["1024-65535,443"], "443,1024-65535"),
        ([" 443 , 80 ", "22"], "22,80,443"),
        (["80,80,79-81"], "79-81"),
        (["1-10,11-20,22"], "1-20,22"),
        (["5-9,1-20"], "1-20"),
        (["8 - 9"], "8-9"),
        (["80-80"], "80"),
        (["080"], "80"),
        (["*"], "*"),
        (["1-65535"], "*"),
        (["443,*"], "*"),
        ([",443,,"], "443"),
    ],
)
def test_port_set(texts: list[str], canonical: str) -> None:
    found = PortSet.parse(*texts)
    assert str(found) == canonical
    assert PortSet.parse(canonical) == found
    assert found


def test_port_set_has_its_ports() -> None:
    ports = PortSet.parse("1024-65535,443")
    assert [port for port in (0, 1, 442, 443, 444, 1023, 1024, 65535, 65536) if port in ports] == [443, 1024, 65535]
    assert 1 not in PortSet()
    assert not PortSet()


def test_ports_are_taken_out() -> None:
    assert str(PortSet.parse("*").without([8123, 8000, 8123])) == "1-7999,8001-8122,8124-65535"
    assert str(PortSet.parse("443,8000-8001").without([443, 8000])) == "8001"
    assert not PortSet.parse("443").without([443])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no port is given"),
        (" , ", "no port is given"),
        ("http", "'http' is neither a port nor a range"),
        ("1024-", "neither a port nor a range"),
        ("-1", "neither a port nor a range"),
        ("1-2-3", "neither a port nor a range"),
        ("80;443", "neither a port nor a range"),
        ("\u0661", "neither a port nor a range"),
        ("80,0", "'0': a port is between 1 and 65535"),
        ("65536", "between 1 and 65535"),
        ("1-65536", "between 1 and 65535"),
        ("0-1", "between 1 and 65535"),
        ("9" * 5000, "between 1 and 65535"),
        ("443-80", "ends before it begins: write 80-443"),
    ],
)
def test_port_set_refused(text: str, reason: str) -> None:
    with pytest.raises(AddressError, match=reason):
        PortSet.parse(text)


@FUZZ
@given(st.lists(ranges, min_size=1, max_size=6), st.lists(numbers, max_size=4), numbers)
def test_port_set_is_a_set(given_ranges: list[list[int]], taken: list[int], port: int) -> None:
    expected = {port for first, last in given_ranges for port in range(first, last + 1)}
    whole = PortSet.parse(*(f"{first}-{last}" for first, last in given_ranges))
    for found, members in ((whole, expected), (whole.without(taken), expected.difference(taken))):
        assert (port in found) == (port in members)
        assert sum(last - first + 1 for first, last in found.ranges) == len(members)
        assert all(edge in members for pair in found.ranges for edge in pair)
        assert not found or PortSet.parse(str(found)) == found


# Upstreams of TCP clients


@pytest.mark.parametrize(
    ("upstreams", "ports", "labels"),
    [
        ([], [], []),
        ([], ["2222"], ["127.0.0.1:2222"]),
        ([], [2222, 80], ["127.0.0.1:2222", "127.0.0.1:80"]),
        ([], ["80,443", "80"], ["127.0.0.1:80", "127.0.0.1:443"]),
        ([], ["8000-8002"], ["127.0.0.1:8000", "127.0.0.1:8001", "127.0.0.1:8002"]),
        (["localhost"], ["8001,8000"], ["localhost:8001", "localhost:8000"]),
        (["LocalHost."], ["22"], ["localhost:22"]),
        (["::1"], ["22"], ["[::1]:22"]),
        (["[0::1]"], ["22,23"], ["[::1]:22", "[::1]:23"]),
        (["10.0.0.1:22"], [], ["10.0.0.1:22"]),
        (["[::1]:22, db:5432"], [], ["[::1]:22", "db:5432"]),
        (["2222=10.0.0.1:22"], [], ["2222=10.0.0.1:22"]),
        ([" 2222 = 10.0.0.1:22 ", "22=db"], [], ["2222=10.0.0.1:22", "db:22"]),
        (["2222=[fd00:0::1]:22"], [], ["2222=[fd00::1]:22"]),
        (["22=10.0.0.1:22"], [], ["10.0.0.1:22"]),
        (["80=unix:/run/a=b.sock"], [], ["80=unix:/run/a=b.sock"]),
        (["80=unix:///run/x@1.sock"], [], ["80=unix:/run/x@1.sock"]),
        # One port and one target belong together.
        (["10.0.0.1:22"], ["2222"], ["2222=10.0.0.1:22"]),
        (["unix:/run/x.sock"], ["2222"], ["2222=unix:/run/x.sock"]),
        (["10.0.0.1:22"], ["22"], ["10.0.0.1:22"]),
        # Ports that an upstream names stay with it; the others are those of the host, or of this machine.
        (["2222=10.0.0.1:22"], ["2222"], ["2222=10.0.0.1:22"]),
        (["2222=10.0.0.1:22"], ["2222,80"], ["2222=10.0.0.1:22", "127.0.0.1:80"]),
        (["2222=10.0.0.1:22", "10.0.0.2"], ["80"], ["2222=10.0.0.1:22", "10.0.0.2:80"]),
        (["10.0.0.1:22", "10.0.0.2"], ["80"], ["10.0.0.1:22", "10.0.0.2:80"]),
        (["10.0.0.1:22", "10.0.0.1:80"], ["22", "80"], ["10.0.0.1:22", "10.0.0.1:80"]),
        # The same twice is once.
        (["a:1", "1=A:1"], [], ["a:1"]),
        (["a", "80=a:80"], ["80"], ["a:80"]),
    ],
)
def test_tcp_upstreams(upstreams: list[str], ports: list[str | int], labels: list[str]) -> None:
    offers = parse_tcp_upstreams(upstreams, ports)
    assert sorted(offer.label for offer in offers) == sorted(labels)
    for offer in offers:
        assert parse_tcp_upstreams([offer.label]) == (offer,)
        assert parse_tcp_target(offer.target, offer.port) == offer


def test_offers_are_in_the_order_given() -> None:
    offers = parse_tcp_upstreams(["b:2,1=a:1"])
    assert [offer.label for offer in offers] == ["b:2", "a:1"]
    assert [offer.port for offer in parse_tcp_upstreams(["h"], ["10", "8-9", "1"])] == [10, 8, 9, 1]


def test_what_an_offer_says() -> None:
    assert parse_tcp_upstreams(["2222=db:22"]) == (PortOffer(2222, "db", 22, ""),)
    assert parse_tcp_upstreams(["2222=unix:/run/x"]) == (PortOffer(2222, "", 0, "/run/x"),)


@pytest.mark.parametrize(
    ("upstreams", "ports", "reason"),
    [
        (["a"], [], "'a' has no port: write a:22, or add --port 22"),
        (["::1"], [], "write \\[::1\\]:22"),
        (["unix:/run/x"], [], "no port of the server: write 2222=unix:/run/x"),
        (["unix:/run/x"], ["1,2"], "no port of the server"),
        (["a:22"], ["80", "443"], "port 80 has no upstream of its own: write 80=a:22"),
        (["a", "b"], ["80"], "port 80 is given twice, for a:80 and b:80"),
        (["a:80", "b:80"], [], "port 80 is given twice, for a:80 and b:80"),
        (["a", "80=b:8080"], ["80"], "port 80 is given twice"),
        (["80=unix:/a", "80=a:80"], [], "port 80 is given twice, for unix:/a and a:80"),
        (["ssh=a:22"], [], "'ssh' is not a port"),
        (["=a:22"], [], "'' is not a port"),
        (["2222="], [], "nothing after the ="),
        (["0=a:22"], [], "between 1 and 65535"),
        (["65536=a:22"], [], "between 1 and 65535"),
        (["a:0"], [], "between 1 and 65535"),
        (["22=a:65536"], [], "between 1 and 65535"),
        (["22=a:"], [], "is not HOST or HOST:PORT"),
        (["22=:22"], [], "is not HOST or HOST:PORT"),
        (["web:22:23"], [], "is not HOST or HOST:PORT"),
        (["a:ssh"], [], "is not HOST or HOST:PORT"),
        (["[::1]:"], [], "is not HOST or HOST:PORT"),
        (["[::1"], [], "is not HOST or HOST:PORT"),
        (["[10.0.0.1]:22"], [], "not an IPv6 address"),
        (["22=fe80::1%eth0"], [], "not HOST or HOST:PORT"),
        (["2222"], [], "write 127.0.0.1:2222"),
        (["22=22"], [], "write 127.0.0.1:22"),
        (["10.1:22"], [], "'10.1' is not an IPv4 address"),
        (["10.0.0.256:22"], [], "is not an IPv4 address"),
        (["a b:22"], [], "not a host name"),
        (["a\0b:22"], [], "not a host name"),
        (["*:22"], [], "not a host name"),
        (["/srv"], ["22"], "not a host name"),
        (["tcp://a:22"], [], "for TCP, write HOST:PORT"),
        (["80=http://a"], [], "for TCP, write HOST:PORT"),
        (["80=unix:run.sock"], [], "unix:/path/to/socket"),
        ([], ["ssh"], "neither a port nor a range"),
        ([], ["0"], "between 1 and 65535"),
        ([], ["*"], f"65535 ports are too many: a client may offer {MAX_UPSTREAMS}"),
        ([], ["1-1000", "2000"], "1001 ports are too many"),
    ],
)
def test_tcp_upstreams_refused(upstreams: list[str], ports: list[str | int], reason: str) -> None:
    with pytest.raises(AddressError, match=reason) as caught:
        parse_tcp_upstreams(upstreams, ports)
    assert str(caught.value).isprintable()


def test_as_many_ports_as_a_client_may_offer() -> None:
    assert len(parse_tcp_upstreams([], [f"1-{MAX_UPSTREAMS}"])) == MAX_UPSTREAMS


@pytest.mark.parametrize("text", ["me:hunter2@a:22", "2222=me:hunter2@a:22", "hunter2@a", "me:hunter2@a=b:22"])
def test_passwords_are_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(AddressError, match="user name or password") as caught:
        parse_tcp_upstreams([text])
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("port", [-1, 0, 65536])
def test_a_target_is_for_a_port(port: int) -> None:
    with pytest.raises(AddressError):
        parse_tcp_target("a:22", port)


def test_upstreams_for_ports_are_told_from_those_for_names() -> None:
    assert all(map(offers_a_port, ["2222=127.0.0.1:22", " 80 = x", "99999=x", "80=unix:/run/x"]))
    assert not any(
        map(offers_a_port, ["a=http://b", "127.0.0.1:22", "http://a:80", "80", "unix:/run/80=b", "", "8a=b"])
    )


@FUZZ
@given(st.lists(anything, max_size=3), st.lists(anything, max_size=2))
def test_any_upstreams(upstreams: list[str], ports: list[str]) -> None:
    try:
        offers = parse_tcp_upstreams(upstreams, ports)
    except AddressError as error:
        assert "\n" not in str(error)
        return
    assert len({offer.port for offer in offers}) == len(offers)
    assert parse_tcp_upstreams([offer.label for offer in offers]) == offers
    assert all(bool(offer.path) != bool(offer.host and offer.target_port) for offer in offers)


# Forwards


def test_local_forwards() -> None:
    assert parse_local_forwards(["5432:10.0.0.2:5432, 80:[FD00:0::1]:8080", "53:Db.Internal:53"]) == (
        LocalForward(5432, "10.0.0.2", 5432),
        LocalForward(80, "fd00::1", 8080),
        LocalForward(53, "db.internal", 53),
    )
    assert parse_local_forwards(["1:a:2", "1:A.:2"]) == (LocalForward(1, "a", 2),)
    assert parse_local_forwards([]) == ()


@pytest.mark.parametrize("text", ["5432:10.0.0.2:5432", "80:[fd00::1]:8080", "53:db.internal:53"])
def test_local_forwards_are_shown_as_written(text: str) -> None:
    assert list(map(str, parse_local_forwards([text]))) == [text]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("5432", "is not LPORT:HOST:PORT"),
        ("a:5432", "is not LPORT:HOST:PORT"),
        ("127.0.0.1:5432:a:5432", "is not LPORT:HOST:PORT"),
        ("5432:::1:5432", "is not LPORT:HOST:PORT"),
        ("5432:a", "is not LPORT:HOST:PORT"),
        ("5432:a:", "is not LPORT:HOST:PORT"),
        ("5432::5432", "is not LPORT:HOST:PORT"),
        ("5432:unix:/run/x", "is not LPORT:HOST:PORT"),
        ("0:a:1", "between 1 and 65535"),
        ("1:a:65536", "between 1 and 65535"),
        ("1:[a]:1", "is not an IPv6 address"),
        ("1:a/b:1", "not a host name"),
        ("1:2:3", "2 is a number, not a host"),
        ("1:10.1:3", "not an IPv4 address"),
        ("1:a:2,1:b:2", "local port 1 leads to 1:a:2 and 1:b:2"),
    ],
)
def test_local_forwards_refused(text: str, reason: str) -> None:
    with pytest.raises(AddressError, match=reason):
        parse_local_forwards([text])


@FUZZ
@given(anything)
def test_any_local_forward(text: str) -> None:
    try:
        forwards = parse_local_forwards([text])
    except AddressError:
        return
    assert parse_local_forwards(map(str, forwards)) == forwards


@pytest.mark.parametrize(
    ("texts", "canonical"),
    [
        (["127.0.0.1:5432"], "127.0.0.1:5432"),
        (["127.0.0.1:5432,10.0.0.0/8:80,443"], "127.0.0.1:5432,10.0.0.0/8:80,443"),
        (["10.1.2.3/8:443,1-10, 80", "*"], "10.0.0.0/8:*"),
        (["10.0.0.0/8:22,8000-8010"], "10.0.0.0/8:22,8000-8010"),
        (["[::1]:22", "[fd00:0::/8]:*"], "[::1]:22,[fd00::/8]:*"),
        (["[::ffff:10.0.0.0/104]:22"], "10.0.0.0/8:22"),
        (["[::ffff:10.0.0.1]:22"], "10.0.0.1:22"),
        (["[::/0]:22", "0.0.0.0/0:22"], "[::/0]:22,0.0.0.0/0:22"),
        (["DB.internal.:5432"], "db.internal:5432"),
    ],
)
def test_rules(texts: list[str], canonical: str) -> None:
    rules = ForwardRules.parse(*texts)
    assert str(rules) == canonical
    assert ForwardRules.parse(canonical) == rules


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no rule is given"),
        ("443", "'443' is neither HOST:PORTS nor CIDR:PORTS"),
        ("a", "neither HOST:PORTS nor CIDR:PORTS"),
        ("a:", "neither HOST:PORTS nor CIDR:PORTS"),
        ("a:ssh", "neither HOST:PORTS nor CIDR:PORTS"),
        (":22", "neither HOST:PORTS nor CIDR:PORTS"),
        ("fd00::/8:22", "neither HOST:PORTS nor CIDR:PORTS"),
        ("a:22,b", "'b' is neither HOST:PORTS nor CIDR:PORTS"),
        ("a:22:23", "neither a port nor a range"),
        ("a:22-21", "ends before it begins"),
        ("a:0", "between 1 and 65535"),
        ("a:22,70000", "between 1 and 65535"),
        ("10.0.0.0/33:22", "neither an address nor a CIDR block"),
        ("10.0.0:22", "neither an address nor a CIDR block"),
        ("10.0.0.0/255.0.0.0:22", "is not a host name"),
        ("[10.0.0.0/8]:22", "neither an address nor a CIDR block"),
        ("[fd00::/129]:22", "neither an address nor a CIDR block"),
        ("[fe80::1%eth0]:22", "is not a host name"),
        ("a/8:22", "is not a host name"),
        ("*:22", "is not a host name"),
        ("*.internal:22", "is not a host name"),
    ],
)
def test_rules_refused(text: str, reason: str) -> None:
    with pytest.raises(AddressError, match=reason):
        ForwardRules.parse(text)


RULES = ForwardRules.parse("127.0.0.1:5432,10.0.0.0/8:80,443,[fd00::/8]:1-1024,db.internal:5432")


@pytest.mark.parametrize(
    ("host", "resolved", "port", "allowed"),
    [
        ("127.0.0.1", "127.0.0.1", 5432, True),
        ("127.0.0.1", "127.0.0.1", 5433, False),
        ("localhost", "127.0.0.1", 5432, True),
        ("127.0.0.2", "127.0.0.2", 5432, False),
        ("web", "10.200.0.1", 443, True),
        ("web", "10.200.0.1", 5432, False),
        ("web", "11.0.0.1", 443, False),
        ("web", "::ffff:10.0.0.1", 80, True),
        ("web", "fd12::1", 1024, True),
        ("web", "fd12::1", 1025, False),
        ("web", "fe80::1%eth0", 80, False),
        ("db.internal", "203.0.113.1", 5432, True),
        ("DB.Internal.", "203.0.113.1", 5432, True),
        ("db.internal", "203.0.113.1", 5433, False),
        ("xdb.internal", "203.0.113.1", 5432, False),
        ("db.internal", "not an address", 5432, False),
        ("127.0.0.1", "10.0.0.1", 5432, False),  # what is dialled counts, not what was asked for
        ("10.0.0.1", "", 80, False),
        ("", "203.0.113.1", 5432, False),
    ],
)
def test_what_rules_allow(host: str, resolved: str, port: int, allowed: bool) -> None:
    assert RULES.allows(host, resolved, port) is allowed


@pytest.mark.parametrize("resolved", ["127.0.0.1", "127.255.0.3", "::1", "::ffff:127.0.0.1"])
def test_loopback_is_allowed_by_default(resolved: str) -> None:
    assert LOOPBACK.allows("localhost", resolved, 1)
    assert LOOPBACK.allows("localhost", resolved, 65535)


# The C library takes 0.0.0.0 and :: for this machine; they are no loopback addresses to rules.
@pytest.mark.parametrize("resolved", ["10.0.0.1", "128.0.0.1", "0.0.0.0", "::", "::2", "fe80::1%lo", "::ffff:10.0.0.1"])
def test_nothing_else_is_allowed_by_default(resolved: str) -> None:
    assert not LOOPBACK.allows("localhost", resolved, 80)


@FUZZ
@given(st.ip_addresses(), st.integers(0, 32), st.ip_addresses(), ranges, numbers)
def test_rules_agree_with_ipaddress(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
    width: int,
    resolved: ipaddress.IPv4Address | ipaddress.IPv6Address,
    given_ports: list[int],
    port: int,
) -> None:
    network = ipaddress.ip_network((int(address) if address.version == 4 else address.packed, width), strict=False)
    host = f"[{network}]" if network.version == 6 else str(network)
    rules = ForwardRules.parse(f"{host}:{given_ports[0]}-{given_ports[1]}")
    for candidate in (resolved, network.network_address, network.broadcast_address):
        mapped = candidate.ipv4_mapped if isinstance(candidate, ipaddress.IPv6Address) else None
        expected = (mapped or candidate) in network and given_ports[0] <= port <= given_ports[1]
        assert rules.allows("x", str(candidate), port) is expected


@FUZZ
@given(st.lists(anything, max_size=3))
def test_any_rules(texts: list[str]) -> None:
    try:
        rules = ForwardRules.parse(*texts)
    except AddressError:
        return
    assert ForwardRules.parse(str(rules)) == rules


@pytest.mark.parametrize("text", ["2222=::1:7004", "fe80::1:22", "::1:22"])
def test_an_address_that_may_have_a_port_is_not_guessed(text: str) -> None:
    with pytest.raises(AddressError, match=r"write \["):
        parse_tcp_upstreams([text], [] if "=" in text else [80])


@pytest.mark.parametrize("text", ["::1", "2001:db8::5", "2001:db8:0:0:0:0:0:1", "[::1:22]"])
def test_an_address_without_a_port_needs_no_brackets(text: str) -> None:
    [offer] = parse_tcp_upstreams([f"80={text}"])
    assert offer.host == text.strip("[]").replace(":0:0:0:0:0:", "::")
