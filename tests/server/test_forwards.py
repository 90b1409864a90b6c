"""What the server dials for clients' local forwards: what the rules allow, at the very address that they allowed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from gevent import socket

from appliance.server.forwards import Forwards
from appliance.transport import reach
from appliance.transport.connection import TimedOut
from appliance.tunnel.carrier import NotReached
from appliance.wire.ports import LOOPBACK, ForwardRules
from tests.end_to_end.house import until
from tests.end_to_end.peers import BINARY, Client
from tests.end_to_end.ports import PortHouse, Target, a_port_house, exactly, reset, rest, visit, was_reset
from tests.stage.process import free_port

SECONDS = 0.2
NOT_LISTED = "may not be reached for clients: see --allow-forward-to"


class Dialler:
    """Forwards of some rules. `refused`: the reasons that were counted."""

    def __init__(self, *rules: str) -> None:
        self.refused: list[str] = []
        found = ForwardRules.parse(*rules) if rules else LOOPBACK
        self._forwards = Forwards(found, SECONDS, self.refused.append)

    def reaches(self, text: str, peer: str | None = None) -> bool:
        connection = self._forwards.dial(f"tcp://{text}")
        connection.close()
        return connection.peer == (text if peer is None else peer)

    def reason(self, text: str) -> tuple[str, str]:
        with pytest.raises(NotReached) as caught:
            self._forwards.dial(text)
        return caught.value.reason, str(caught.value)


@pytest.fixture(params=["127.0.0.1", "::1"])
def target(request: pytest.FixtureRequest) -> Iterator[Target]:
    target = Target(host=request.param)
    yield target
    target.close()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """What a name leads to, each time that it is looked up."""
    found: dict[str, list[list[str]]] = {}

    def resolve(host: str, port: int, seconds: float) -> list[Any]:
        assert seconds == SECONDS
        if host not in found:
            return usual(host, port, seconds)
        return [(socket.AF_INET, (address, port)) for address in found[host].pop(0)]

    usual = reach.resolve
    monkeypatch.setattr(reach, "resolve", resolve)
    return found


# ---- the rules


def test_loopback_and_nothing_else_without_rules(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    dialler = Dialler()
    assert dialler.reaches(target.address)
    monkeypatch.setattr(reach, "first", lambda *_: pytest.fail("it is dialled"))
    for text in ("10.0.0.1:80", "[2001:db8::1]:80", "0.0.0.0:80", "[::]:80"):
        assert dialler.reason(f"tcp://{text}") == ("not-allowed", f"tcp://{text} {NOT_LISTED}")
    assert dialler.refused == ["forward not allowed"] * 4


def test_hosts_and_ports_of_a_rule(target: Target) -> None:
    host = target.address.rpartition(":")[0]
    assert Dialler(target.address).reaches(target.address)
    assert Dialler("192.0.2.1:1", f"{host}:1,{target.port}").reaches(target.address)
    for rule in (f"{host}:{target.port - 1}", f"192.0.2.1:{target.port}"):
        dialler = Dialler(rule)
        assert dialler.reason(f"tcp://{target.address}") == ("not-allowed", f"tcp://{target.address} {NOT_LISTED}")
        assert dialler.refused == ["forward not allowed"]


def test_an_ipv4_address_in_ipv6_s_clothes_is_the_same() -> None:
    """It must not get around a rule."""
    assert Dialler("[::]:*", "[fe80::/10]:*").reason("tcp://[::ffff:127.0.0.1]:1")[0] == "not-allowed"
    assert Dialler("127.0.0.1:1").reason("tcp://[::ffff:127.0.0.1]:1")[0] == "unreachable"


def test_a_name_of_a_rule(names: dict[str, list[list[str]]]) -> None:
    """Wherever it leads."""
    target = Target()
    names["db.internal"] = [["127.0.0.1"], ["127.0.0.1"]]
    assert Dialler(f"db.internal:{target.port}").reaches(f"db.internal:{target.port}", target.address)
    assert Dialler(f"other.internal:{target.port}").reason(f"tcp://db.internal:{target.port}")[0] == "not-allowed"
    target.close()


def test_of_a_name_s_addresses_those_alone_that_are_allowed(
    names: dict[str, list[list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    names["many.internal"] = [["192.0.2.1", "10.0.0.1", "198.51.100.1", "10.0.0.2"]]
    dialled: list[Any] = []

    def first(addresses: list[Any], seconds: float) -> Any:
        dialled.extend(addresses)
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(reach, "first", first)
    assert Dialler("10.0.0.0/8:80").reason("tcp://many.internal:80") == (
        "unreachable",
        "tcp://many.internal:80 was not reached: Connection refused",
    )
    assert [address for _, address in dialled] == [("10.0.0.1", 80), ("10.0.0.2", 80)]


def test_a_name_is_looked_up_once(names: dict[str, list[list[str]]]) -> None:
    """One that leads elsewhere the next time gets nobody there."""
    target = Target()
    names["rebinding.example"] = [["127.0.0.1"]]  # a second look would fail
    dialler = Dialler(f"127.0.0.1:{target.port}")
    assert dialler.reaches(f"rebinding.example:{target.port}", target.address)
    assert names["rebinding.example"] == []
    target.close()


def test_a_name_without_an_address(names: dict[str, list[list[str]]]) -> None:
    names["nowhere.internal"] = [[]]
    assert Dialler("10.0.0.0/8:80").reason("tcp://nowhere.internal:80")[0] == "not-allowed"


# ---- what is not understood, and what is not reached


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tcp://",
        "127.0.0.1:80",
        "http://127.0.0.1:80",
        "unix:/run/app.sock",
        "tcp://unix:/run/app.sock",
        "/srv/share",
        "tcp://127.0.0.1:65536",
        "tcp://127.0.0.1:0",
        "tcp://127.1:80",
        "tcp://user:secret@127.0.0.1:80",
        "tcp://a..b:80",
        "tcp://" + "x" * 300 + ":80",
    ],
)
def test_nonsense_is_not_dialled(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for way in ("resolve", "first", "tcp", "unix"):
        monkeypatch.setattr(reach, way, lambda *_: pytest.fail("it is dialled"))
    reason, said = Dialler("[::/0]:*", "0.0.0.0/0:*").reason(text)
    assert reason == "not-allowed"
    assert "secret" not in said


def test_nobody_there() -> None:
    assert Dialler().reason("tcp://127.0.0.1:1") == (
        "unreachable",
        "tcp://127.0.0.1:1 was not reached: Connection refused",
    )


@pytest.mark.parametrize("way", ["resolve", "first"])
def test_nobody_answers(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*arguments: Any) -> None:
        assert arguments[-1] == SECONDS
        raise TimedOut(110, "time is up")

    monkeypatch.setattr(reach, way, late)
    dialler = Dialler()
    assert dialler.reason("tcp://127.0.0.1:1") == ("timeout", "tcp://127.0.0.1:1 did not answer within 0.2 seconds")
    assert dialler.refused == []


def test_a_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(host: str, port: int, seconds: float) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(reach, "resolve", unknown)
    assert Dialler("10.0.0.0/8:80").reason("tcp://unknown.invalid:80") == (
        "unreachable",
        "tcp://unknown.invalid:80 was not reached: Name or service not known",
    )


# ---- in a server


@pytest.fixture
def forwarding() -> Iterator[tuple[PortHouse, Target, int]]:
    """A house whose server forwards, a target there, and the client's port that leads to it."""
    with a_port_house(client_forwarding=True) as house:
        target, port = house.target(), free_port()
        house.client(local=(f"{port}:{target.address}",))
        yield house, target, port


def test_a_forward_of_a_client(forwarding: tuple[PortHouse, Target, int]) -> None:
    house, target, port = forwarding
    for _ in range(3):
        visitor = visit(port)
        inside = target.accept()
        assert house.server.registry.carrying
        visitor.sendall(b"question")
        visitor.shutdown(socket.SHUT_WR)
        assert rest(inside) == b"question"
        inside.sendall(b"answer")
        inside.close()
        assert rest(visitor) == b"answer"
        house.quiet()
    assert house.server.state.tcp.refused == {}


def test_the_server_stops_when_its_forwards_have_ended(forwarding: tuple[PortHouse, Target, int]) -> None:
    """They have the same time as all else that is under way."""
    house, target, port = forwarding
    visitor = visit(port)
    inside = target.accept()
    stopping = gevent.spawn(house.server.stop)
    until(lambda: not house.server.state.ready, "it is stopping")
    inside.sendall(b"last words")
    assert exactly(visitor, 10) == b"last words"
    assert not stopping.ready()
    reset(inside)
    assert was_reset(visitor)
    stopping.get(timeout=3)  # and not the whole grace
    assert house.server.registry._carriers == set()


def test_a_refused_forward_is_counted_and_told() -> None:
    with a_port_house(client_forwarding=True, allow_forward_to=("192.0.2.1:1",)) as house:
        target, port = house.target(), free_port()
        house.client(local=(f"{port}:{target.address}",))
        assert was_reset(visit(port))
        house.quiet()
        assert house.server.state.tcp.refused == {"forward not allowed": 1}


def test_a_client_that_opens_more_than_it_may() -> None:
    with a_port_house(client_forwarding=True, max_connections=3, warm_streams=0) as house:
        target = house.target()
        client = Client(house.control_port)
        streams = [client.stream(Sluice_Direction="forward") for _ in range(3)]
        for stream in streams:
            stream.say("open", upstream=f"tcp://{target.address}", visitor="127.0.0.1:5", confirm=True)
            stream.heard("opened")
        assert client.stream(Sluice_Direction="forward").farewell() == (0, "")
        streams.pop().close()
        until(lambda: len(house.server.registry._carriers) == 2, "one is over")
        another = client.stream(Sluice_Direction="forward")
        another.say("open", upstream="tcp://127.0.0.1:1")
        assert another.heard("refuse")["reason"] == "unreachable"
        client.close()


def test_what_a_client_s_forwards_carry_goes_on_without_its_session() -> None:
    with a_port_house(client_forwarding=True) as house:
        target = house.target()
        client = Client(house.control_port)
        stream = client.stream(Sluice_Direction="forward")
        stream.say("open", upstream=f"tcp://{target.address}", confirm=True)
        stream.heard("opened")
        inside = target.accept()
        client.close()
        until(lambda: not house.server.registry.sessions(), "its session is over")
        inside.sendall(b"still here")
        assert stream.hear() == (BINARY, b"still here")
        assert house.server.registry.carrying
        stream.close()
        assert was_reset(inside)
        until(lambda: not house.server.registry.carrying, "all is over")
