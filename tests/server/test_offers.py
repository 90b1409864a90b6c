"""What clients offer: what is understood, which of it a server of one mode serves, and how the rest is told."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.server.limits import UNLIMITED, Limits
from appliance.server.offers import SHOWN_LETTERS, Offers, read_offers, read_ports
from appliance.tunnel.pool import Pool
from appliance.tunnel.router import Router
from appliance.tunnel.session import Session
from appliance.wire.messages import (
    MAX_CONTROL_BYTES,
    MAX_UPSTREAMS,
    TO_CLIENT,
    Hello,
    MessageError,
    Offer,
    OfferedPort,
    Refusal,
    Served,
    Update,
    decode,
    encode,
)

TARGET = "tcp://127.0.0.1:22"
NO_PORTS = "this server serves HTTP alone: ports need `sluice server` or `sluice tcp server`"
NO_NAMES = "this server serves TCP alone: names need `sluice server` or `sluice http server`"


class FakeDoors:
    """Opens nothing. `refused`: what it refuses of each offer, by port."""

    def __init__(self) -> None:
        self.refused: dict[int, str] = {}
        self.offered: list[tuple[OfferedPort, ...]] = []
        self.withdrawn: list[Session] = []

    def offer(self, session: Session, offers: tuple[OfferedPort, ...]) -> list[Refusal]:
        self.offered.append(offers)
        return [Refusal(str(offer.port), self.refused[offer.port]) for offer in offers if offer.port in self.refused]

    def withdraw(self, session: Session) -> None:
        self.withdrawn.append(session)


class Stage:
    """Offers of a server of a mode, and a client's session."""

    def __init__(self, mode: str = "http+tcp") -> None:
        self.router = Router() if "http" in mode else None
        self.doors: Any = FakeDoors() if "tcp" in mode else None
        self.offers = Offers(self.router, self.doors, "ctl.example")
        self.limits = UNLIMITED
        self.session = Session("0" * 32, "192.0.2.1:5", "test", Pool(lambda count: None, lambda error: None, 0, 10))

    def say(self, names: dict[str, str] | None = None, ports: dict[int, str] | None = None, again: bool = False) -> Any:
        upstreams = tuple(Offer(pattern, target) for pattern, target in (names or {}).items())
        on_ports = tuple(OfferedPort(port, target) for port, target in (ports or {}).items())
        message = Update(upstreams, on_ports) if again else Hello("0" * 32, "test", upstreams, on_ports)
        return self.offers.serve(self.session, message, self.limits)

    @property
    def labels(self) -> list[str]:
        return [upstream.label for upstream in self.session.upstreams]

    @property
    def names(self) -> list[str]:
        """Those that lead somewhere."""
        assert self.router is not None
        return [route.pattern for route in self.router.routes() if route.members]


# ---- served


def test_what_the_token_does_not_allow() -> None:
    """One by one, and the rest is served; an update is looked at likewise."""
    stage = Stage()
    stage.limits = Limits.parse(["*.home.example"], ["2222"])
    served = stage.say({"a.home.example": "http://127.0.0.1:1", "b.example": "http://127.0.0.1:2"}, {22: TARGET})
    only_names, only_port = (
        "this client's token allows *.home.example alone",
        "this client's token allows port 2222 alone",
    )
    assert served == Served((Refusal("b.example=http://127.0.0.1:2", only_names), Refusal("22", only_port)))
    assert stage.names == ["a.home.example"] and stage.labels == ["a.home.example=http://127.0.0.1:1"]
    assert stage.doors.offered == [()]
    served = stage.say({"": "http://127.0.0.1:1"}, {2222: TARGET}, again=True)
    assert served == Served((Refusal("*=http://127.0.0.1:1", only_names),))
    assert stage.names == [] and stage.labels == ["2222=127.0.0.1:22"]
    assert stage.doors.offered[-1] == (OfferedPort(2222, TARGET),)


def test_names_and_ports() -> None:
    stage = Stage()
    served = stage.say({"a.example": "http://127.0.0.1:3000", "": "/srv/share"}, {2222: TARGET, 5432: "unix:/run/db"})
    assert served == Served()
    assert sorted(stage.names) == ["", "a.example"]
    assert stage.doors.offered == [(OfferedPort(2222, TARGET), OfferedPort(5432, "unix:/run/db"))]
    assert stage.labels == ["a.example=http://127.0.0.1:3000", "*=/srv/share", "2222=127.0.0.1:22", "5432=unix:/run/db"]


def test_a_later_message_takes_the_place_of_the_one_before() -> None:
    stage = Stage()
    stage.say({"a.example": "http://127.0.0.1:1"}, {2222: TARGET})
    assert stage.say({"b.example": "http://127.0.0.1:2"}, {5432: TARGET}, again=True) == Served()
    assert stage.names == ["b.example"]
    assert stage.doors.offered[-1] == (OfferedPort(5432, TARGET),)
    assert stage.labels == ["b.example=http://127.0.0.1:2", "5432=127.0.0.1:22"]
    stage.say(again=True)
    assert stage.names == []
    assert stage.doors.offered[-1] == ()
    assert stage.labels == []


def test_ports_that_the_server_does_not_open() -> None:
    """They are told, and not shown among what the client serves."""
    stage = Stage()
    stage.doors.refused = {22: "not allowed", 5432: "taken"}
    served = stage.say({"a.example": "http://127.0.0.1:1"}, {22: TARGET, 2222: TARGET, 5432: TARGET})
    assert served == Served((Refusal("22", "not allowed"), Refusal("5432", "taken")))
    assert stage.labels == ["a.example=http://127.0.0.1:1", "2222=127.0.0.1:22"]


def test_ports_of_a_server_for_names() -> None:
    stage = Stage("http")
    served = stage.say({"a.example": "http://127.0.0.1:1"}, {2222: TARGET, 5432: TARGET})
    assert served == Served((Refusal("2222", NO_PORTS), Refusal("5432", NO_PORTS)))
    assert stage.names == ["a.example"]
    assert stage.labels == ["a.example=http://127.0.0.1:1"]


def test_names_of_a_server_for_ports() -> None:
    stage = Stage("tcp")
    served = stage.say({"a.example": "http://127.0.0.1:1", "": "/srv/share"}, {2222: TARGET})
    assert served == Served((Refusal("a.example=http://127.0.0.1:1", NO_NAMES), Refusal("*=/srv/share", NO_NAMES)))
    assert stage.labels == ["2222=127.0.0.1:22"]


def test_a_session_that_is_over() -> None:
    stage = Stage()
    stage.say({"a.example": "http://127.0.0.1:1"}, {2222: TARGET})
    stage.offers.withdraw(stage.session)
    assert stage.names == []
    assert stage.doors.withdrawn == [stage.session]
    for mode in ("http", "tcp"):
        stage = Stage(mode)
        stage.say()
        stage.offers.withdraw(stage.session)


def test_whose_host_a_member_is_given() -> None:
    stage = Stage()
    assert stage.router is not None
    offers = (Offer("a", "http://[::1]:8080", "b.example"), Offer("c", "unix:/run/app.sock"))
    stage.offers.serve(stage.session, Hello("0" * 32, "test", offers))
    members = {route.pattern: route.members[0] for route in stage.router.routes()}
    assert (members["a"].host_header, members["a"].own_host) == (b"b.example", b"[::1]:8080")
    assert (members["c"].host_header, members["c"].own_host) == (b"", b"localhost")


# ---- not understood


@pytest.mark.parametrize(
    ("names", "ports"),
    [
        ({"a": "nonsense://b"}, {5432: TARGET}),
        ({"b.example": "http://127.0.0.1:2"}, {5432: "http://127.0.0.1:1"}),
    ],
)
@pytest.mark.parametrize("mode", ["http", "tcp", "http+tcp"])
def test_of_what_is_not_understood_nothing_is_served(names: Any, ports: Any, mode: str) -> None:
    """And what was offered before stays, whatever the server's mode."""
    stage = Stage(mode)
    stage.say({"a.example": "http://127.0.0.1:1"}, {2222: TARGET})
    before = stage.labels
    with pytest.raises(MessageError):
        stage.say(names, ports, again=True)
    assert stage.labels == before
    if stage.router is not None:
        assert stage.names == ["a.example"]
    if stage.doors is not None:
        assert len(stage.doors.offered) == 1


def test_names_that_are_understood() -> None:
    offers = (
        Offer("", "http://127.0.0.1:80"),
        Offer("*.example.com", "unix:/run/app.sock"),
        Offer("::1", "/srv/share", "localhost:3000"),
        Offer("xn--bcher-kva.example", "https://[::1]:8443?insecure=true"),
    )
    read = read_offers(offers)
    assert [(upstream.pattern, upstream.target, host) for upstream, host in read] == [
        ("", "http://127.0.0.1", ""),
        ("*.example.com", "unix:/run/app.sock", ""),
        ("::1", "/srv/share", "localhost:3000"),
        ("xn--bcher-kva.example", "https://[::1]:8443?insecure=true", ""),
    ]
    assert read_offers(()) == []


@pytest.mark.parametrize("pattern", ["*", "a..b", ".a", "a.", "*.*", "a=b", "=", " a", "a?b", "é.example", "x" * 300])
def test_names_that_cannot_be_served(pattern: str) -> None:
    with pytest.raises(MessageError):
        read_offers((Offer(pattern, "http://127.0.0.1:80"),))


@pytest.mark.parametrize(
    ("offers", "reason"),
    [
        ((Offer("a", "ftp://b"),), "an upstream is not understood: "),
        ((Offer("A.example", "http://b"),), "'A.example' is not a name that can be served"),
        ((Offer("a", "http://b", "b c"),), "'b c' is not a Host header"),
        ((Offer("a", "http://b", "b\r\nX: y"),), "is not a Host header"),
        ((Offer("a", "http://b", "x" * 261),), "is not a Host header"),
        ((Offer("a", "http://b"), Offer("a", "http://b")), "a is offered twice"),
        ((Offer("", "http://b"), Offer("", "http://c")), "* is offered twice"),
    ],
)
def test_what_is_wrong_with_names(offers: tuple[Offer, ...], reason: str) -> None:
    with pytest.raises(MessageError) as caught:
        read_offers(offers)
    assert reason in str(caught.value)


def test_ports_that_are_understood() -> None:
    read = read_ports((OfferedPort(2222, TARGET), OfferedPort(1, "tcp://[::1]:5432"), OfferedPort(3, "unix:/run/db")))
    assert [(upstream.port_offered, upstream.target, upstream.label) for upstream in read] == [
        (2222, TARGET, "2222=127.0.0.1:22"),
        (1, "tcp://[::1]:5432", "1=[::1]:5432"),
        (3, "unix:/run/db", "3=unix:/run/db"),
    ]
    assert read_ports(()) == []


@pytest.mark.parametrize(
    ("offers", "reason"),
    [
        ((OfferedPort(22, "http://127.0.0.1:22"),), "'http://127.0.0.1:22' is not a TCP upstream"),
        ((OfferedPort(22, "/srv/share"),), "'/srv/share' is not a TCP upstream"),
        ((OfferedPort(22, "tcp://127.0.0.1"),), "an upstream is not understood: "),
        ((OfferedPort(22, ""),), "an upstream is not understood: "),
        ((OfferedPort(22, TARGET), OfferedPort(22, TARGET)), "port 22 is offered twice"),
    ],
)
def test_what_is_wrong_with_ports(offers: tuple[OfferedPort, ...], reason: str) -> None:
    with pytest.raises(MessageError) as caught:
        read_ports(offers)
    assert reason in str(caught.value)


# ---- more than one message holds


def test_all_refusals_that_fit_are_told() -> None:
    stage = Stage()
    stage.doors.refused = dict.fromkeys(range(1, MAX_UPSTREAMS + 1), "no")
    served = stage.say(ports=dict.fromkeys(range(1, MAX_UPSTREAMS + 1), TARGET))
    assert len(served.refused) == MAX_UPSTREAMS
    assert stage.labels == []


@pytest.mark.parametrize("reason", ["r" * 250, "ü" * 250, "\\" * 250])
def test_as_many_as_fit_and_how_many_more(reason: str) -> None:
    """A thousand ports, all refused at length, and what is not told is not shown as served either."""
    stage = Stage()
    stage.doors.refused = dict.fromkeys(range(1, MAX_UPSTREAMS + 1), reason)
    served = stage.say(ports=dict.fromkeys(range(1, MAX_UPSTREAMS + 1), TARGET))
    data = encode(served)
    assert MAX_CONTROL_BYTES // 2 < len(data) <= MAX_CONTROL_BYTES
    assert decode(data, TO_CLIENT) == served
    *told, rest = served.refused
    assert told == [Refusal(str(port), reason) for port in range(1, len(told) + 1)]
    assert rest == Refusal(f"{MAX_UPSTREAMS - len(told)} more", "for reasons like these")
    assert stage.labels == []


def test_a_long_upstream_is_told_by_its_beginning() -> None:
    stage = Stage("tcp")
    path = "/srv/" + "x" * 1000
    served = stage.say({"a.example": path})
    assert served.refused[0].offer == f"a.example={path}"[:SHOWN_LETTERS]


def test_the_server_s_own_name() -> None:
    stage = Stage()
    served = stage.say({"ctl.example": "http://127.0.0.1:1", "a.example": "http://127.0.0.1:1"})
    [refusal] = served.refused
    assert refusal.offer.startswith("ctl.example=") and "the server's own (--control-domain)" in refusal.reason
    assert stage.names == ["a.example"]
