"""The client against servers that are odd, gone, or come back; and what it tells its user."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest

from appliance.certificates import authority
from appliance.certificates.material import Material
from appliance.client import agent as agent_module
from appliance.client import attachment
from appliance.client import running as running_module
from appliance.client.agent import Agent
from appliance.config.http_client import HttpClientConfig
from appliance.config.options import ConfigError
from appliance.transport.tls import server_context
from appliance.wire.address import parse_server_url, parse_upstreams
from tests.end_to_end.house import TOKEN, Counts, House, until
from tests.end_to_end.peers import BINARY, CLOSE, PING, PONG, TEXT, FakeServer, Peer, frame
from tests.stage.visitor import get

WELCOME = {"session": "0" * 32, "secret": "s", "heartbeat": 5.0, "streams": 0}
ID = "0123456789abcdef" * 2


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_module, "FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(agent_module, "MOST_PAUSE_SECONDS", 0.2)


def no_directories(path: str, browse: bool) -> Any:
    raise AssertionError(path)


class Running:
    """A client, whatever it dials; what it logs as the reason of its next try is kept."""

    def __init__(self, url: str, caplog: pytest.LogCaptureFixture, token: str = TOKEN, **options: Any) -> None:
        config = HttpClientConfig(url=url, upstream=("a=http://127.0.0.1:1",), client_id=ID, **options)
        upstreams = parse_upstreams(config.upstream)
        self.agent = Agent(config, parse_server_url(url), token, upstreams, no_directories)
        self._caplog = caplog
        self._greenlet = gevent.spawn(self.agent.run)

    @property
    def reasons(self) -> list[str]:
        return re.findall(r"(?:WARNING|INFO) .*?sluice\.client:\S+ (.*); next try in [0-9.]+ s", self._caplog.text)

    def reason(self) -> str:
        return until(lambda: self.reasons, "it gives up for a while")[0]

    def close(self) -> None:
        self.agent.stop()
        self._greenlet.get(timeout=5)


@pytest.fixture
def run(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[..., Running]]:
    gevent.get_hub().threadpool.apply(int)
    counts = Counts()
    running: list[Running] = []

    def run(url: str, **options: Any) -> Running:
        running.append(Running(url, caplog, **options))
        return running[-1]

    yield run
    for one in running:
        one.close()
    for server in servers:
        server.close()
    servers.clear()
    counts.check()


Run = Callable[..., Running]
servers: list[FakeServer] = []


def serve(script: Callable[[str, Peer], object], **odd: Any) -> FakeServer:
    servers.append(FakeServer(script, **odd))
    return servers[-1]


def listen_on(peer: Peer) -> None:
    """Until the client ends the connection."""
    peer.farewell()


# ---- the first words


def test_what_is_said_first(run: Run) -> None:
    said: list[dict[str, Any]] = []
    server = serve(lambda path, peer: said.append(json.loads(peer.hear()[1])))
    run(server.url, host_header="localhost")
    until(lambda: said, "it says hello")
    assert (said[0]["kind"], said[0]["client_id"], said[0]["name"]) == ("hello", ID, os.uname().nodename)
    assert said[0]["upstreams"] == [{"pattern": "a", "target": "http://127.0.0.1:1", "host_header": "localhost"}]


def test_the_end_for_good(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried again, as all is, but late: only another token or id helps."""
    monkeypatch.setattr(agent_module, "MOST_PAUSE_SECONDS", 50.0)

    def script(path: str, peer: Peer) -> None:
        peer.hear()
        peer.say("welcome", **WELCOME)
        peer.say("evicted", reason="the token pi was removed", final=True)
        listen_on(peer)

    server = serve(script)
    running = run(server.url)
    assert running.reason() == "the server has ended the session: the token pi was removed"
    until(lambda: running.agent._woken.linkcount() > 0, "it waits")
    seconds = float(re.findall(r"next try in ([0-9.]+) s", running._caplog.text)[-1])
    assert seconds >= 25.0 and len(server.seen) == 1
    running.agent.use(running.agent._config, "another token")  # as on SIGHUP
    until(lambda: len(server.seen) == 2, "it comes at once with another token")


def test_too_many_upstreams() -> None:
    """What a server would refuse each time is said at once."""
    texts = tuple(f"{number}.a-name-that-is-somewhat-long.example=http://127.0.0.1:1" for number in range(900))
    config = HttpClientConfig(url="ws://a", upstream=texts)
    with pytest.raises(ConfigError, match="^--upstream: 900 are too many for one client"):
        Agent(config, parse_server_url("ws://a"), "t", parse_upstreams(texts), no_directories)


def never(peer: Peer) -> None:
    listen_on(peer)


def never_but_pings(peer: Peer) -> None:
    while True:
        peer.send(PING, b"x")
        gevent.sleep(0.02)


def grow(peer: Peer) -> None:
    peer.say("grow", count=1)
    listen_on(peer)


def welcome_twice(peer: Peer) -> None:
    peer.say("welcome", **WELCOME)
    peer.say("welcome", **WELCOME)
    listen_on(peer)


def saying(opcode: int, payload: bytes, **odd: Any) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        peer.send(opcode, payload, **odd)
        listen_on(peer)

    return script


def masked(peer: Peer) -> None:
    peer._masked = True
    peer.say("welcome", **WELCOME)
    listen_on(peer)


def welcoming(**fields: Any) -> Callable[[Peer], None]:
    return saying(TEXT, json.dumps({"kind": "welcome", **WELCOME, **fields}).encode())


def then(**message: Any) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        peer.say("welcome", **WELCOME)
        peer.say(**message)
        listen_on(peer)

    return script


BROKE = "the server broke the protocol: "
FIRST_WORDS: dict[str, tuple[Callable[[Peer], None], str]] = {
    "nothing": (never, "the session has ended: the server did not say welcome in time"),
    "nothing but pings": (never_but_pings, "the session has ended: the server did not say welcome in time"),
    "grow": (grow, BROKE + "the server did not say welcome"),
    "welcome twice": (welcome_twice, BROKE + "welcome came twice"),
    "garbage": (saying(TEXT, b"garbage"), BROKE + "a message is not JSON"),
    "not UTF-8": (saying(TEXT, b"\xff"), BROKE + "a message is not UTF-8"),
    "a client's message": (saying(TEXT, b'{"kind":"hello"}'), BROKE + "a message is of an unknown kind"),
    "binary": (saying(BINARY, b"x"), BROKE + "a binary frame came where only messages may"),
    "too much": (saying(TEXT, b"", length=65537), BROKE + "a message is over 65536 bytes"),
    "masked": (masked, BROKE + "a server's frame is masked"),
    "a strange session": (welcoming(session="x"), BROKE + "session is not 32 hexadecimal digits"),
    "a strange secret": (welcoming(secret="a\r\nb: c"), BROKE + "secret is not a short line of text"),
    "no heartbeat": (welcoming(heartbeat=0), BROKE + "heartbeat is not a number of seconds"),
    "a fraction of a stream": (welcoming(streams=0.5), BROKE + "streams is not a count"),
    "a farewell": (saying(CLOSE, b"\x03\xf0your token has expired"), "the session has ended: your token has expired"),
    "an end": (lambda peer: peer.close(), "the session has ended: the connection has ended"),
    "evicted": (then(kind="evicted", reason="R"), "the session has ended: the server has ended the session: R"),
    "drain": (then(kind="drain", reason="R"), "the server is going away (R)"),
}


@pytest.mark.parametrize("name", FIRST_WORDS)
def test_odd_sessions(run: Run, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Its end is explained, and it is tried again."""
    monkeypatch.setattr(attachment, "WELCOME_SECONDS", 0.1)
    script, reason = FIRST_WORDS[name]
    server = serve(lambda path, peer: (peer.hear(), script(peer)))
    running = run(server.url)
    assert running.reason() == reason
    server.wait(2)


@pytest.mark.parametrize("behind", [b"\xff\xff\xff", b"HTTP/1.1 200 OK\r\n\r\n", frame(BINARY, b"x", False)])
def test_garbage_right_behind_the_upgrade(run: Run, behind: bytes) -> None:
    server = serve(lambda path, peer: listen_on(peer), behind=behind)
    running = run(server.url)
    assert running.reason().startswith("the server broke the protocol: ")
    server.wait(2)


def test_a_welcome_right_behind_the_upgrade(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    welcome = json.dumps({"kind": "welcome", **WELCOME}).encode()
    server = serve(lambda path, peer: listen_on(peer), behind=frame(TEXT, welcome, False))
    run(server.url)
    until(lambda: f"connected to {server.url} as {ID}" in caplog.text, "it is connected")
    assert "a -> http://127.0.0.1:1" in caplog.text


def test_a_server_that_is_not_heard_any_more(run: Run) -> None:
    """The link is dead, and nothing says so."""

    def script(path: str, peer: Peer) -> None:
        peer.say("welcome", **{**WELCOME, "heartbeat": 0.1})
        listen_on(peer)

    server = serve(script)
    began = time.monotonic()
    assert run(server.url).reason() == "the session has ended: the server is heard no more"
    assert time.monotonic() - began < 2
    server.wait(2)


def test_pings_are_answered(run: Run) -> None:
    answers: list[tuple[int, bytes]] = []

    def script(path: str, peer: Peer) -> None:
        peer.say("welcome", **WELCOME)
        peer.hear()
        peer.send(PING, b"42")
        answers.append(peer.hear())
        listen_on(peer)

    run(serve(script).url)
    until(lambda: answers, "an answer")
    assert answers == [(PONG, b"42")]


# ---- no session at all


def answering(status: str, body: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (answering("401 Unauthorized", "no"), "refuses the token: check --token-file"),
        (answering("400 Bad Request", "this server speaks sluice.v9"), "refuses this client: this server speaks slui"),
        (answering("200 OK", "<html>"), "refuses this client: HTTP status 200"),
        (answering("101 Switching Protocols"), "refuses this client: what answers there is not a WebSocket server"),
        (b"SSH-2.0-OpenSSH\r\n", "refuses this client: what answers there does not speak HTTP"),
    ],
)
def test_what_is_no_upgrade(run: Run, answer: bytes, reason: str) -> None:
    server = serve(lambda path, peer: None, answer=answer)
    running = run(server.url)
    assert running.reason().startswith(f"{server.url[5:]} {reason}")
    server.wait(2)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ws://127.0.0.1:1", "no connection to 127.0.0.1:1: Connection refused"),
        ("wss://127.0.0.1:1", "no connection to 127.0.0.1:1: Connection refused"),
        ("ws://nowhere.invalid:80", "no connection to nowhere.invalid:80: Name or service not known"),
        (f"ws://{'x' * 64}.invalid:80", "no connection to xxx"),
    ],
)
def test_nobody_there(run: Run, url: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    running = run(url)
    until(lambda: len(running.reasons) > 1, "it has tried twice")
    assert {text[: len(reason)] for text in running.reasons} == {reason}


def test_pauses_grow_and_begin_anew(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(agent_module.random, "uniform", lambda least, most: most)
    monkeypatch.setattr(agent_module, "MOST_PAUSE_SECONDS", 0.4)

    def pauses() -> list[float]:
        return [float(text) for text in re.findall(r"next try in ([0-9.]+) s", caplog.text)]

    monkeypatch.setattr(agent_module, "FIRST_PAUSE_SECONDS", 0.1)
    run("ws://127.0.0.1:1")
    assert until(lambda: pauses() if len(pauses()) > 3 else [], "some tries")[:4] == [0.1, 0.2, 0.4, 0.4]
    monkeypatch.setattr(agent_module, "STEADY_SECONDS", 0.0)  # a session that held
    until(lambda: pauses()[-1] == 0.1, "the pause is short again")


# ---- streams


def with_streams(count: int, on_stream: Callable[[Peer], object]) -> Callable[[str, Peer], None]:
    def script(path: str, peer: Peer) -> None:
        if path == "/connect":
            peer.say("welcome", **{**WELCOME, "streams": count})
            listen_on(peer)
        else:
            on_stream(peer)

    return script


def test_as_many_streams_as_are_wanted(run: Run) -> None:
    def script(path: str, peer: Peer) -> None:
        if path == "/connect":
            peer.say("welcome", **{**WELCOME, "streams": 3})
            server.wait(4)
            peer.say("grow", count=2)
        listen_on(peer)

    server = serve(script)
    run(server.url)
    server.wait(6)
    assert server.seen == ["/connect"] + ["/stream"] * 5


def test_no_more_than_there_may_be(run: Run) -> None:
    server = serve(with_streams(0, listen_on))
    running = run(server.url)
    server.wait(1)
    running.agent._most_streams = 4
    until(lambda: running.agent._attachment, "it is connected")
    attachment: Any = running.agent._attachment
    attachment._most = 4
    attachment._grow(100)
    server.wait(5)
    attachment._grow(100)
    gevent.sleep(0)
    until(lambda: len(attachment._carriers) == 4, "all are there")
    attachment._grow(1)
    assert attachment._dialling == 0


@pytest.mark.parametrize("behind", [b"\xff\xff", frame(TEXT, b"x" * 9000, False)])
def test_garbage_right_behind_a_stream_s_upgrade(
    run: Run, behind: bytes, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(with_streams(1, listen_on))
    real = server._serve

    def serve_once(sock: Any) -> None:
        server._behind = behind if server.seen else b""
        real(sock)

    monkeypatch.setattr(server, "_serve", serve_once)
    run(server.url)
    until(
        lambda: "the server broke the protocol on a stream: a frame" in caplog.text or "a message" in caplog.text, "log"
    )


def test_streams_that_are_refused(run: Run, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(with_streams(1, listen_on))
    real = server._serve

    def serve_once(sock: Any) -> None:
        server._answer = answering("409 Conflict", "the session of this stream has ended") if server.seen else b""
        real(sock)

    monkeypatch.setattr(server, "_serve", serve_once)
    run(server.url)
    text = "a stream was not opened: the session of this stream has ended"
    until(lambda: text in caplog.text, "it says so")


def test_streams_on_their_way_when_the_session_ends(run: Run) -> None:
    """They are let go, whether they wait for their turn, dial, or have just come."""

    def script(path: str, peer: Peer) -> None:
        if path == "/connect":
            peer.say("welcome", **{**WELCOME, "streams": 100})
            server.wait(5)
            peer.close()
        else:
            listen_on(peer)

    server = serve(script)
    running = run(server.url)
    assert running.reason().startswith("the session has ended")
    running.agent._stopping.set()
    until(lambda: running._greenlet.ready(), "it has stopped")


# ---- coming back


@pytest.fixture
def kept(house: House) -> str:
    """A client with an upstream that answers."""
    return house.client(f"a.example={house.upstream().url}")


def test_a_server_that_is_restarted(house: House, kept: str) -> None:
    visitor = house.visitor()
    assert visitor.ask(get("/1", "a.example")).status == 200
    for _ in range(2):
        house.restart()
        house.connected(kept)
        assert house.ask(get("/2", "a.example")).body == b"/2"


def test_a_server_that_is_away_for_a_while(house: House, kept: str, caplog: pytest.LogCaptureFixture) -> None:
    house.server.stop()
    until(lambda: caplog.text.count("Connection refused; next try") > 2, "it tries")
    house.server = house._start(house.port, house.control_port)
    house.connected(kept)
    assert house.ask(get("/", "a.example")).status == 200


def test_a_server_with_a_new_authority(
    tls_house: House, tmp_path: Any, material: Material, caplog: pytest.LogCaptureFixture
) -> None:
    client_id = tls_house.client(f"a.example={tls_house.upstream().url}")
    assert tls_house.ask(get("/", "a.example")).status == 200
    other = authority.ensure(tmp_path, ["127.0.0.1"], "localhost")
    tls_house._context = server_context(str(other.certificate_file), str(other.key_file))
    tls_house._ca_pem = other.ca_pem
    tls_house.restart()
    tls_house.connected(client_id)
    assert tls_house.ask(get("/", "a.example")).status == 200
    assert f"before it was sha256:{material.fingerprint}. At an address of this machine alone" in caplog.text


@pytest.mark.parametrize(
    ("options", "works"),
    [
        ({}, True),
        ({"insecure": True}, True),
        ({"auto_tls": False}, False),
        ({"auto_tls": False, "insecure": True}, True),
    ],
)
def test_whom_it_trusts(tls_house: House, caplog: pytest.LogCaptureFixture, options: Any, works: bool) -> None:
    client_id = tls_house.client(f"a.example={tls_house.upstream().url}", wait=works, **options)
    if works:
        assert tls_house.session(client_id) is not None
    else:
        until(lambda: "is not trusted: " in caplog.text, "it says so")
        assert not tls_house.server.registry.sessions()


def test_a_server_without_an_authority_of_its_own(tls_house: House, caplog: pytest.LogCaptureFixture) -> None:
    """Its certificate is one that public authorities vouch for, or should be."""
    tls_house.server.state.ca_pem = None
    tls_house.client("a.example=http://127.0.0.1:1", wait=False)
    until(lambda: "is not trusted: " in caplog.text, "it says so")


def test_a_wrong_token(house: House, caplog: pytest.LogCaptureFixture, run: Run) -> None:
    running = run(house.url, token="wrong")
    assert running.reason() == f"127.0.0.1:{house.control_port} refuses the token: check --token-file"
    until(lambda: house.server.guard.denied > 1, "it tries again")
    assert "wrong" not in caplog.text
    assert house.server.state.control.requests[("/connect", 401)] >= 2


@pytest.fixture
def signals() -> Iterator[None]:
    """libev leaves the default behind, not what Python had."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it(house: House, number: signal.Signals) -> None:
    client_id = house.client("a=http://127.0.0.1:1")
    agent, running = house.agents.pop()
    agent.stop()
    running.get(timeout=5)
    until(lambda: house.session(client_id) is None, "it has stopped")
    agent._stopping.clear()
    house.agents.append((agent, gevent.spawn(running_module.run, agent)))
    house.connected(client_id)
    os.kill(os.getpid(), number)
    house.agents[0][1].get(timeout=5)
    until(lambda: house.session(client_id) is None, "it has stopped")


def test_an_authority_that_cannot_be_had(tls_house: House, caplog: pytest.LogCaptureFixture) -> None:
    """Another answer than "there is none" is no reason to trust anybody else."""

    def pages(environ: Any, start_response: Any) -> list[bytes]:
        start_response("500 Internal Server Error", [("Content-Length", "5")])
        return [b"oops\n"]

    (control,) = tls_house.server._controls
    control.application._pages = pages
    tls_house.client("a=http://127.0.0.1:1", wait=False)
    until(lambda: "refuses this client: " in caplog.text, "it says so")


def test_a_dial_that_takes_its_time(run: Run) -> None:
    """A server that accepts and says nothing: stopping does not wait for it."""
    server = serve(lambda path, peer: None)
    gevent.killall(server._greenlets)  # the queue of its listener takes what comes
    running = run(server.url)
    until(lambda: running.agent._dialling is not None, "it dials")
    running.close()
    assert running._greenlet.ready()
