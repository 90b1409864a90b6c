"""Who is believed about where a request comes from."""

from __future__ import annotations

import pytest

from tests.end_to_end.house import Visitor, a_house, until
from tests.stage.upstream import Exchange
from tests.stage.visitor import get


@pytest.mark.parametrize(
    ("trusted", "believed"),
    [
        ((), False),
        (("127.0.0.1",), True),
        (("10.0.0.0/8", "127.0.0.0/8"), True),
        (("10.0.0.0/8", "::1"), False),
    ],
)
def test_trusted_proxies(trusted: tuple[str, ...], believed: bool) -> None:
    with a_house(trusted_proxies=trusted) as house:
        upstream = house.upstream()
        house.client(f"a.example={upstream.url}")
        fields = ("X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https", "X-Request-Id: theirs")
        house.ask(get("/", "a.example", *fields))
        message = upstream.recorded[0].message
        expected = ("192.0.2.1, 127.0.0.1", "https") if believed else ("127.0.0.1", "http")
        assert (message.one("x-forwarded-for"), message.one("x-forwarded-proto")) == expected
        assert (message.one("x-request-id") == "theirs") == believed


def test_an_address_with_a_zone_or_none_at_all() -> None:
    with a_house(trusted_proxies=("fe80::/10",)) as house:
        assert house.server.edge is not None
        front = house.server.edge.plain
        assert front is not None
        assert "fe80::1%eth0" in front._proxies
        assert "unix" not in front._proxies
        assert "::1" not in front._proxies


def test_visitors_are_counted() -> None:
    with a_house() as house:
        counters = house.server.state.http
        visitors = [house.visitor() for _ in range(3)]
        until(lambda: counters.connections_open == 3, "all are there")
        for visitor in visitors:
            visitor.sock.close()
        until(lambda: counters.connections_open == 0, "all have left")
        assert counters.connections_total == 3


def test_an_upgrade_is_counted_when_it_begins() -> None:
    with a_house() as house:
        upstream = house.upstream()
        house.client(f"a.example={upstream.url}")

        def switch(exchange: Exchange) -> None:
            exchange.keep = False
            exchange.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tests\r\n\r\n")
            exchange.gone()

        upstream.scripts["/"] = switch
        with Visitor(house.port) as visitor:
            visitor.send(get("/", "a.example", "Connection: Upgrade", "Upgrade: tests"))
            assert visitor.reader.head().status == 101
            assert house.server.state.http.series.keys() == {("a.example", "GET", 101)}
        until(lambda: house.server.state.http.connections_open == 0, "it has left")
        assert [sum(row[:-1]) for row in house.server.state.http.series.values()] == [1]


def test_requests_are_counted() -> None:
    with a_house() as house:
        house.client(f"*.example={house.upstream().url}", "gone.example=http://127.0.0.1:1")
        with Visitor(house.port) as visitor:
            visitor.ask(get("/", "a.example"))
            visitor.ask(get("/", "b.example"))
            visitor.ask(get("/", "gone.example"))
            visitor.ask(get("/", "elsewhere"))
            visitor.ask(b"FROB / HTTP/1.1\r\nHost: a.example\r\n\r\n")
            visitor.ask(b"nonsense\r\n\r\n")
        session = house.server.registry.sessions()[0]
        until(lambda: session.bytes_in > 0, "bytes are counted")
        counted = {key: sum(row[:-1]) for key, row in house.server.state.http.series.items()}
        assert counted == {
            ("*.example", "GET", 200): 2,
            ("gone.example", "GET", 502): 1,
            ("unknown", "GET", 404): 1,
            ("*.example", "OTHER", 200): 1,
            ("unknown", "OTHER", 400): 1,
        }
        assert house.server.state.http.refused == {"unknown name": 1, "malformed request": 1}
        assert (house.server.state.http.bytes_in, house.server.state.http.bytes_out) == (
            session.bytes_in,
            session.bytes_out,
        )
        assert min(session.bytes_in, session.bytes_out) > 100
