"""Clients with a token of their own at a server: what it opens, what not, and what becomes of them without it."""

from __future__ import annotations

import pytest

from appliance.server.limits import Limits
from tests.end_to_end.house import TOKEN, House, Visitor, a_house, until
from tests.end_to_end.peers import Client, Refused, connect, offer
from tests.stage.visitor import get, request

ID = "0123456789abcdef" * 2
FOR_CLIENTS = b"this token lets a client connect, and nothing else: here the server's own token is needed"


def token(house: House, name: str = "pi", names: tuple[str, ...] = (), forward: bool = False) -> str:
    return house.server.guard.clients.add(name, Limits.parse(names, (), forward))[0]


@pytest.mark.parametrize("path", ["/status", "/metrics", "/", "/nothing", "/api/v1/overview", "/api/v1/tokens"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_it_opens_nothing_else(house: House, path: str, method: str) -> None:
    with Visitor(house.control_port) as stranger:
        answer = stranger.ask(request(f"{method} {path} HTTP/1.1", "Host: a", f"Authorization: Bearer {token(house)}"))
    assert answer.status == 403 and FOR_CLIENTS in answer.body
    assert house.server.guard.denied == 0


def test_a_log_in(house: House) -> None:
    body = b'{"token": "%b"}' % token(house).encode()
    head = "Content-Type: application/json", f"Content-Length: {len(body)}"
    with Visitor(house.control_port) as stranger:
        answer = stranger.ask(request("POST /login HTTP/1.1", "Host: a", *head, body=body))
    assert answer.status == 403 and FOR_CLIENTS in answer.body and not answer.all("set-cookie")
    assert house.server.guard.denied == 0


def test_it_lets_a_client_in_within_its_limits(house: House) -> None:
    upstream = house.upstream()
    mine = token(house, names=("*.home.example",))
    client = Client(house.control_port, offer("a.home.example", upstream.url), offer("b.example"), token=mine)
    (refused,) = client.control.heard("served")["refused"]
    assert refused == {
        "offer": "b.example=http://127.0.0.1:1",
        "reason": "this client's token allows *.home.example alone",
    }
    session = house.session(client.client_id)
    assert session is not None and session.token == "pi"
    assert [one.label for one in session.upstreams] == [f"a.home.example={upstream.url}"]
    client.control.say("update", upstreams=[offer("")])
    (refused,) = client.control.heard("served")["refused"]
    assert refused["offer"] == "*=http://127.0.0.1:1"
    assert session.upstreams == ()
    client.close()


def test_nobody_takes_over_a_session_of_others(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """An id is no secret: only the same token, or the server's, takes over from it."""
    mine, other = token(house), token(house, "other")
    first = Client(house.control_port, offer("a"), client_id=ID, token=mine)
    session = house.session(ID)
    peer = connect(house.control_port, "/connect", token=other)
    peer.say("hello", client_id=ID, version="1", upstreams=[offer("a")], name="thief")
    reason = "a client with this --client-id is connected with another token"
    assert peer.farewell() == (1008, reason)
    assert house.session(ID) is session and f"client {ID} refused: {reason}" in caplog.text
    (event, *_) = house.server.state.comings.listing()
    assert (event.kind, event.client_id, event.name, event.detail) == ("refused", ID, "thief", reason)
    second = Client(house.control_port, offer("a"), client_id=ID, token=mine)
    assert first.control.heard("evicted")["final"] is False
    third = Client(house.control_port, offer("a"), client_id=ID)
    assert second.control.heard("evicted")["reason"] == "the same client id has connected again"
    peer = connect(house.control_port, "/connect", token=mine)
    peer.say("hello", client_id=ID, version="1", upstreams=[])
    assert peer.farewell() == (1008, reason), "the server's own session is another token's, too"
    third.close()
    until(lambda: house.session(ID) is None, "it has gone")
    Client(house.control_port, offer("a"), client_id=ID, token=mine).close()


def test_without_its_token_all_of_it_ends_at_once(house: House) -> None:
    mine = token(house)
    client = Client(house.control_port, offer("a.example"), token=mine)
    bystander = Client(house.control_port, offer("b.example"), token=token(house, "other"))
    late = connect(house.control_port, "/connect", token=mine)  # its hello is still to come
    stream, idle = client.stream(), client.stream()
    visitor = house.visitor()
    visitor.send(get("/", "a.example"))
    until(lambda: (session := house.session(client.client_id)) is not None and session.streams_used, "it is carried")
    assert house.server.guard.clients.remove("pi")
    evicted = client.control.heard("evicted")
    assert evicted["final"] is True and evicted["reason"] == "the token pi was removed"
    assert house.session(client.client_id) is None and house.session(bystander.client_id) is not None
    for peer in (stream, idle):
        peer.farewell()  # ends
    assert visitor.answer().status in (502, 503)
    late.say("hello", client_id=ID, version="1", upstreams=[])
    assert late.farewell() == (1008, "the token pi was removed")
    for path in ("/connect", "/stream"):
        with pytest.raises(Refused) as caught:
            connect(house.control_port, path, token=mine)
        assert caught.value.answer.status == 401
    bystander.close()


def test_what_a_session_that_is_over_still_carries_ends_too(house: House) -> None:
    client = Client(house.control_port, offer("a.example"), token=token(house))
    stream = client.stream()
    visitor = house.visitor()
    visitor.send(get("/", "a.example"))
    assert stream.heard("open")
    client.close()
    until(lambda: house.session(client.client_id) is None, "its session is over")
    house.server.guard.clients.remove("pi")
    stream.farewell()
    assert visitor.answer().status in (502, 503)


def test_local_forwards_need_a_word_of_the_token() -> None:
    with a_house(client_forwarding=True) as house:
        for name, forward, direct in (("no", False, True), ("yes", True, True), ("other", False, False)):
            client = Client(house.control_port, token=token(house, name, forward=forward))
            if forward or not direct:
                client.stream(**({"Sluice_Direction": "forward"} if direct else {})).close()
            else:
                with pytest.raises(Refused) as caught:
                    client.stream(Sluice_Direction="forward")
                assert caught.value.answer.status == 403
                assert caught.value.answer.body == b"this client's token allows no local forwards\n"
            client.close()
        client = Client(house.control_port, token=TOKEN)
        client.stream(Sluice_Direction="forward").close()
        client.close()
