"""A server that goes away, as its client sees it: the old session is seen out while another one is looked for."""

from __future__ import annotations

import gevent
import pytest
from gevent.event import Event

from appliance.client import agent as agent_module
from appliance.wire.messages import Drain
from tests.end_to_end.house import House, until
from tests.stage.upstream import Exchange
from tests.stage.visitor import get

HOST = "a.example"


def test_what_is_under_way_ends_in_the_old_session(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the new one begins as soon as a server is there."""
    monkeypatch.setattr(agent_module, "FIRST_PAUSE_SECONDS", 0.05)
    upstream, begun, go_on = house.upstream(), Event(), Event()

    def slowly(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
        begun.set()
        go_on.wait(10)
        exchange.send(b"done")

    upstream.scripts["/slow"] = slowly
    client_id = house.client(f"{HOST}={upstream.url}")
    visitor, kept = house.visitor(), house.visitor()
    visitor.send(get("/slow", HOST))
    assert begun.wait(10)
    assert kept.ask(get("/", HOST)).status == 200
    old = house.session(client_id)
    restarting = gevent.spawn(house.restart)
    until(lambda: not house.server.state.ready, "it is stopping")
    answer = kept.ask(get("/", HOST))
    assert (answer.status, answer.one("connection")) == (200, "close")
    go_on.set()
    assert visitor.answer().body == b"halfdone"
    restarting.get(timeout=10)
    assert house.connected(client_id) is not old
    assert house.ask(get("/", HOST)).status == 200


def test_it_comes_back_when_the_old_server_has_gone(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long its pause would be."""
    client_id = house.client("a=http://127.0.0.1:1")
    monkeypatch.setattr(agent_module, "FIRST_PAUSE_SECONDS", 1000.0)
    registry, agent = house.server.registry, house.agents[0][0]
    registry.drain("a test")
    until(lambda: agent.status.endswith("the server is stopping: connect again in a moment"), "it is refused")
    registry.draining = False
    registry.close("a test")
    house.connected(client_id)


def test_it_stops_with_both_sessions(house: House) -> None:
    house.client("a=http://127.0.0.1:1")
    agent = house.agents[0][0]
    house.server.registry.drain("a test")
    until(lambda: "the server is stopping" in agent.status, "it is refused")
    assert len(house.server.registry.sessions()) == 1
    house.stop_client()
    until(lambda: not house.server.registry.sessions(), "the old one is over, too")


def test_one_that_always_goes_away_is_not_run_after(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time, there is a pause."""
    client_id = house.client("a=http://127.0.0.1:1")
    monkeypatch.setattr(agent_module, "FIRST_PAUSE_SECONDS", 1000.0)
    agent = house.agents[0][0]
    first, old = house.session(client_id), agent._attachment
    assert old is not None
    for attendance in house.server.registry._by_client.values():
        attendance.say_now(Drain("a test"))
    until(lambda: house.session(client_id) not in (None, first), "it is back")
    until(lambda: agent.status.startswith("connected"), "it knows")
    # Else its end, which is a reason to look for a server at once, could fall into the pause.
    until(lambda: old._channel._connection.closed, "the first is over")
    for attendance in house.server.registry._by_client.values():
        attendance.say_now(Drain("a test"))
    until(lambda: agent._woken.linkcount() > 0, "it pauses")
