"""Server and client stop: requests under way have a while to end, and nothing is left of the rest."""

from __future__ import annotations

import dataclasses
import time

import gevent
import pytest
from gevent.event import Event

from appliance.client import agent as agent_module
from tests.end_to_end.house import PATIENCE_SECONDS, House, Upstream, Visitor, listener, until
from tests.stage.messages import Ended
from tests.stage.upstream import Exchange
from tests.stage.visitor import get

HOST = "stop.example"
SOON_SECONDS = 1.5


class Slow:
    """A script that answers one half, and the other when it may."""

    def __init__(self) -> None:
        self.begun, self.finish = Event(), Event()

    def __call__(self, exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
        self.begun.set()
        if self.finish.wait(PATIENCE_SECONDS):
            exchange.send(b"done")


@pytest.fixture
def upstream(house: House) -> Upstream:
    upstream = house.upstream()
    house.client(f"{HOST}={upstream.url}")
    return upstream


@pytest.fixture
def slow(upstream: Upstream) -> Slow:
    slow = Slow()
    upstream.scripts["/slow"] = slow
    return slow


@pytest.fixture
def visitor(house: House, slow: Slow) -> Visitor:
    """One whose request is under way."""
    visitor = house.visitor()
    visitor.send(get("/slow", HOST))
    assert slow.begun.wait(PATIENCE_SECONDS)
    assert visitor.reader.head().status == 200
    return visitor


# ---- the server


def test_a_request_under_way_ends_in_its_own_time(house: House, slow: Slow, visitor: Visitor) -> None:
    kept = house.visitor()
    assert kept.ask(get("/", HOST)).status == 200
    stopping = gevent.spawn(house.server.stop)
    until(lambda: not house.server.state.ready, "it is stopping")
    with pytest.raises(ConnectionRefusedError):
        house.visitor()
    answer = kept.ask(get("/", HOST))
    assert (answer.status, answer.one("connection")) == (200, "close")
    assert not stopping.ready()
    slow.finish.set()
    assert visitor.reader.exactly(8) == b"halfdone"
    stopping.get(timeout=SOON_SECONDS)
    assert (visitor.rest(), kept.rest()) == (b"", b"")


def hurry(house: House, seconds: float = 0.1) -> None:
    """Less grace for all of them, from now on."""
    for part in (house.server, *(agent for agent, _ in house.agents)):
        part._config = dataclasses.replace(part._config, grace=seconds)  # type: ignore[attr-defined]


def test_one_that_does_not_is_cut_off(house: House, slow: Slow, visitor: Visitor) -> None:
    hurry(house)
    house.server.stop()
    assert visitor.reader.exactly(4) == b"half"
    with pytest.raises((Ended, ConnectionResetError)):
        visitor.reader.exactly(4)
    until(lambda: house.server.state.http.connections_open == 0, "the visitor is forgotten")
    slow.finish.set()
    until(lambda: house.upstreams[0].open_connections == 0, "the upstream's request ends")


def test_one_that_waits_for_a_stream_is_under_way(house: House, upstream: Upstream) -> None:
    client_id = house.server.registry.sessions()[0].client_id
    pool, taken = house.pool(client_id), house.starve(client_id)
    visitor = house.visitor()
    visitor.send(get("/", HOST))
    until(lambda: pool._waiting, "the request waits")
    stopping = gevent.spawn(house.server.stop)
    until(lambda: not house.server.state.ready, "it is stopping")
    pool.release(taken.pop(), heard_finish=True)
    assert visitor.answer().body == b"/"
    stopping.get(timeout=SOON_SECONDS)
    for stream in taken:
        pool.discard(stream)


def test_one_that_waits_for_ever_is_not(house: House, upstream: Upstream) -> None:
    hurry(house)
    client_id = house.server.registry.sessions()[0].client_id
    pool, taken = house.pool(client_id), house.starve(client_id)
    visitor = house.visitor()
    visitor.send(get("/", HOST))
    until(lambda: pool._waiting, "the request waits")
    house.server.stop()
    assert visitor.rest() == b""
    for stream in taken:
        pool.discard(stream)


def test_an_upgraded_connection_is_under_way(house: House, upstream: Upstream) -> None:
    """Until grace is over."""
    ended = Event()

    def switch(exchange: Exchange) -> None:
        exchange.keep = False
        exchange.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tests\r\n\r\n")
        exchange.send(exchange.sock.recv(4))
        exchange.gone()
        ended.set()

    upstream.scripts["/switch"] = switch
    visitor = house.visitor()
    visitor.send(get("/switch", HOST, "Connection: Upgrade", "Upgrade: tests"))
    assert visitor.reader.head().status == 101
    stopping = gevent.spawn(house.server.stop)
    until(lambda: not house.server.state.ready, "it is stopping")
    visitor.send(b"echo")
    assert visitor.reader.exactly(4) == b"echo"
    assert not stopping.ready()
    hurry(house, 0.0)
    stopping.get(timeout=SOON_SECONDS)
    assert visitor.rest() == b""
    assert ended.wait(PATIENCE_SECONDS)


@pytest.mark.parametrize("state", ["idle", "in its head", "lingering"])
def test_what_does_not_hold_it_up(house: House, upstream: Upstream, state: str) -> None:
    visitor = house.visitor()
    if state == "idle":
        assert visitor.ask(get("/", HOST)).status == 200
    elif state == "in its head":
        visitor.send(b"GET / HT")
        until(lambda: house.server.state.http.connections_open == 1, "the visitor is there")
    else:
        visitor.send(b"POST / HTTP/1.1\r\nHost: unknown\r\nContent-Length: 5\r\n\r\n")
        assert visitor.answer().status == 404
    began = time.monotonic()
    house.server.stop()
    assert time.monotonic() - began < SOON_SECONDS
    assert visitor.rest() == b""


# ---- the client


def test_a_client_s_request_under_way_ends_in_its_own_time(house: House, slow: Slow, visitor: Visitor) -> None:
    agent, running = house.agents[0]
    agent.stop()
    until(lambda: not house.server.registry.sessions(), "the server knows")
    assert house.ask(get("/", HOST)).status == 503
    assert not running.ready()
    slow.finish.set()
    assert visitor.reader.exactly(8) == b"halfdone"
    running.get(timeout=SOON_SECONDS)


def test_a_client_s_endless_request_is_cut_off(house: House, slow: Slow, visitor: Visitor) -> None:
    hurry(house)
    house.stop_client()
    with pytest.raises((Ended, ConnectionResetError)):
        visitor.reader.exactly(8)


def test_an_idle_client_stops_at_once(house: House, upstream: Upstream) -> None:
    visitor = house.visitor()
    assert visitor.ask(get("/", HOST)).status == 200  # its upstream connection is kept
    began = time.monotonic()
    house.stop_client()
    assert time.monotonic() - began < SOON_SECONDS
    until(lambda: upstream.open_connections == 0, "its upstream connection ends")


def test_a_client_stops_while_it_dials(house: House) -> None:
    """A server that takes the connection and says nothing would be waited for."""
    with listener() as silent:
        house.client("a=http://127.0.0.1:1", url=f"ws://127.0.0.1:{silent.getsockname()[1]}", wait=False)
        sock, _ = silent.accept()
        began = time.monotonic()
        house.stop_client()
        assert time.monotonic() - began < SOON_SECONDS
        sock.close()


def test_a_client_stops_between_two_tries(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_module, "FIRST_PAUSE_SECONDS", 100.0)
    house.client("a=http://127.0.0.1:1", url="ws://127.0.0.1:1", wait=False)
    agent = house.agents[0][0]
    until(lambda: agent._woken.linkcount() > 0, "it waits for its next try")
    began = time.monotonic()
    house.stop_client()
    assert time.monotonic() - began < SOON_SECONDS


def test_a_client_that_never_ran_stops(house: House) -> None:
    house.client("a=http://127.0.0.1:1", wait=False)
    agent, running = house.agents[0]
    agent.stop()
    running.get(timeout=SOON_SECONDS)
    assert not house.server.registry.sessions()
