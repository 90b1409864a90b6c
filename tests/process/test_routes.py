"""Which client gets a visitor's request, and what visitors are told when none can."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stage.process import PATIENCE_SECONDS, eventually, free_port
from tests.stage.tunnel import Tunnel
from tests.stage.upstream import MARK, Exchange, Upstream
from tests.stage.visitor import Visitor, get, once, request


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("routes")


@pytest.fixture(scope="module")
def tunnel(directory: Path) -> Iterator[Tunnel]:
    tunnel = Tunnel(
        directory, "--response-timeout", "1s", "--head-timeout", "1s", "--keepalive-timeout", "1s", plain=True
    )
    try:
        yield tunnel
    finally:
        tunnel.close()


@pytest.fixture(scope="module")
def upstreams() -> Iterator[dict[str, Upstream]]:
    """By the name with which each marks its answers."""
    names = ("exact", "wildcard", "default", "one", "two", "v6", "slow", "hosted")
    found = {name: Upstream(name) for name in names}
    yield found
    for upstream in found.values():
        upstream.close()


@pytest.fixture(scope="module")
def routed(tunnel: Tunnel, upstreams: dict[str, Upstream]) -> Tunnel:
    """The tunnel with one client that offers a name, names below another, and an address."""
    target = {name: f"http://127.0.0.1:{upstream.port}" for name, upstream in upstreams.items()}
    tunnel.add_client(
        "routed",
        f"example.com={target['exact']}",
        f"*.example.com={target['wildcard']}",
        f"2001:db8::1={target['v6']}",
        f"slow.example={target['slow']}",
        f"nobody.example=http://127.0.0.1:{free_port()}",
    )
    return tunnel


def who_answers(tunnel: Tunnel, host: str) -> str | int:
    """The mark of the upstream that answers under this name, or the status when the edge does."""
    answer = once(tunnel.port, get("/x", host))
    return answer.one(MARK) or answer.status


ROUTES = {
    "example.com": "exact",
    "EXAMPLE.com": "exact",
    "example.com.": "exact",
    "example.com:80": "exact",
    "Example.Com.:65535": "exact",
    "www.example.com": "wildcard",
    "WWW.EXAMPLE.COM.:81": "wildcard",
    "a.b.example.com": "wildcard",
    "xexample.com": 404,
    "example.com.evil.example": 404,
    "example.org": 404,
    "[2001:db8::1]": "v6",
    "[2001:DB8:0::0:1]:8000": "v6",
    "[2001:db8::2]": 404,
    "127.0.0.1": 404,
}


@pytest.mark.parametrize("host", ROUTES)
def test_a_host_finds_its_upstream(routed: Tunnel, host: str) -> None:
    assert who_answers(routed, host) == ROUTES[host]


def test_the_default_takes_what_no_name_takes(tmp_path: Path, upstreams: dict[str, Upstream]) -> None:
    tunnel = Tunnel(tmp_path, plain=True)
    try:
        tunnel.add_client("named", f"example.com=http://127.0.0.1:{upstreams['exact'].port}")
        assert who_answers(tunnel, "example.org") == 404
        client = tunnel.add_client("default", f"http://127.0.0.1:{upstreams['default'].port}")
        assert who_answers(tunnel, "example.org") == "default"
        assert who_answers(tunnel, "[2001:db8::2]:8000") == "default"
        assert who_answers(tunnel, "example.com") == "exact"
        assert once(tunnel.port, request("GET / HTTP/1.0")).one(MARK) == "default"
        tunnel.remove_client(client)
        assert who_answers(tunnel, "example.org") == 503
    finally:
        tunnel.close()


def test_clients_of_one_name_take_turns(tunnel: Tunnel, upstreams: dict[str, Upstream]) -> None:
    one, two = (
        tunnel.add_client(name, f"turns.example=http://127.0.0.1:{upstreams[name].port}") for name in ("one", "two")
    )
    answers = Counter(who_answers(tunnel, "turns.example") for _ in range(20))
    assert answers == {"one": 10, "two": 10}
    # a client that is gone takes none: the other has them all, and then nobody
    tunnel.remove_client(one)
    assert Counter(who_answers(tunnel, "turns.example") for _ in range(4)) == {"two": 4}
    tunnel.remove_client(two)
    answer = once(tunnel.port, get("/x", "turns.example"))
    assert answer.status == 503
    assert int(answer.one("retry-after") or 0) > 0


@pytest.mark.alone
def test_a_client_that_is_killed_is_missed_at_once(tunnel: Tunnel, upstreams: dict[str, Upstream]) -> None:
    """Also by a visitor whose answer it was carrying."""
    started = threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun")
        started.set()
        exchange.keep = False
        exchange.gone()

    upstreams["one"].scripts["/killed"] = script
    client = tunnel.add_client("killed", f"killed.example=http://127.0.0.1:{upstreams['one'].port}")
    with Visitor(tunnel.port) as visitor:
        visitor.send(get("/killed", "killed.example"))
        assert started.wait(PATIENCE_SECONDS)
        visitor.reader.until(b"begun")
        client.kill()
        assert visitor.rest() == b""
    eventually(lambda: who_answers(tunnel, "killed.example") == 503, "the client is missed", seconds=2)


def test_a_refused_stream_goes_to_the_next_client(tunnel: Tunnel, upstreams: dict[str, Upstream]) -> None:
    """One of two clients cannot reach its upstream: no visitor hears of it."""
    clients = [
        tunnel.add_client("refuses", f"next.example=http://127.0.0.1:{free_port()}"),
        tunnel.add_client("serves", f"next.example=http://127.0.0.1:{upstreams['two'].port}"),
    ]
    data = request("POST /x HTTP/1.1", "Host: next.example", "Content-Length: 5", body=b"hello")
    answers = [once(tunnel.port, data) for _ in range(10)]
    assert {(answer.status, answer.body) for answer in answers} == {(200, b"hello")}
    for client in clients:
        tunnel.remove_client(client)


# ---- what visitors are told


@pytest.mark.parametrize(
    ("host", "path", "status"),
    [("unknown.example", "/", 404), ("nobody.example", "/", 502), ("slow.example", "/never", 504)],
)
def test_pages_for_browsers_and_lines_for_others(
    routed: Tunnel, upstreams: dict[str, Upstream], host: str, path: str, status: int
) -> None:
    """No inner addresses in either; nothing that keeps the connection from being used again."""
    ended = threading.Event()

    def never(exchange: Exchange) -> None:
        exchange.keep = False
        if exchange.gone():
            ended.set()

    upstreams["slow"].scripts["/never"] = never
    with Visitor(routed.port) as visitor:
        line = visitor.ask(get(path, host))
        page = visitor.ask(get(path, host, "Accept: text/html,*/*"))
        bare = visitor.ask(request(f"HEAD {path} HTTP/1.1", f"Host: {host}"))
    assert line.status == page.status == bare.status == status
    assert line.one("content-type") == "text/plain; charset=utf-8"
    assert line.body.count(b"\n") == 1 and str(status).encode() in line.body
    assert page.one("content-type") == "text/html; charset=utf-8"
    assert b"</html>" in page.body and str(status).encode() in page.body
    for answer in (line, page):
        assert b"127.0.0.1" not in answer.body and b"Traceback" not in answer.body
    if status == 504:
        assert ended.wait(PATIENCE_SECONDS), "the upstream's request ends with the time limit"


def test_an_answer_that_has_begun_has_time(routed: Tunnel, upstreams: dict[str, Upstream]) -> None:
    """The time limit is for the beginning of an answer: events may be seldom."""
    late = threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
        assert not exchange.gone(2.5)
        exchange.send(b"cd")
        late.set()

    upstreams["slow"].scripts["/seldom"] = script
    assert once(routed.port, get("/seldom", "slow.example")).body == b"abcd"
    assert late.is_set()


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "counted"])
def test_a_long_upload_is_no_slow_answer(routed: Tunnel, upstreams: dict[str, Upstream], chunked: bool) -> None:
    """The time limit begins anew with everything that the visitor sends."""
    pause = threading.Event()
    framing = "Transfer-Encoding: chunked" if chunked else "Content-Length: 10"
    with Visitor(routed.port) as visitor:
        visitor.send(request("POST /long HTTP/1.1", "Host: slow.example", framing))
        for _ in range(10):
            pause.wait(0.3)
            visitor.send(b"1\r\nx\r\n" if chunked else b"x")
        if chunked:
            visitor.send(b"0\r\n\r\n")
        assert visitor.answer().body == b"x" * 10


def test_the_host_header_may_be_another(tunnel: Tunnel, upstreams: dict[str, Upstream]) -> None:
    upstream = upstreams["hosted"]
    offer = f"hosted.example=http://127.0.0.1:{upstream.port}"
    tunnel.add_client("hosted", offer, flags=("--host-header", "localhost:3000"))
    assert once(tunnel.port, get("/hosted", "hosted.example")).status == 200
    message = upstream.requests("/hosted")[0].message
    assert (message.one("host"), message.one("x-forwarded-host")) == ("localhost:3000", "hosted.example")


def test_a_trusted_proxy_is_believed(tmp_path: Path, upstreams: dict[str, Upstream]) -> None:
    """By its address only: visitors who come by another way are not."""
    upstream = upstreams["hosted"]
    tunnel = Tunnel(tmp_path, "--data-addr", "", "--trusted-proxies", "127.0.0.0/30", plain=True)
    try:
        tunnel.add_client("client", f"http://127.0.0.1:{upstream.port}")
        said = ("X-Forwarded-For: 203.0.113.7", "X-Forwarded-Proto: https", "X-Request-Id: theirs")
        for host in ("127.0.0.1", "::1"):
            with Visitor(tunnel.port, host) as visitor:
                assert visitor.ask(get(f"/from/{host}", "a.example", *said)).status == 200
    finally:
        tunnel.close()
    believed, doubted = (upstream.requests(f"/from/{host}")[0].message for host in ("127.0.0.1", "::1"))
    assert believed.one("x-forwarded-for") == "203.0.113.7, 127.0.0.1"
    assert (believed.one("x-forwarded-proto"), believed.one("x-request-id")) == ("https", "theirs")
    assert believed.one("x-forwarded-host") == "a.example"
    assert (doubted.one("x-forwarded-for"), doubted.one("x-forwarded-proto")) == ("::1", "http")
    assert doubted.one("x-request-id") != "theirs"


# ---- slow visitors


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: exa"], ids=["nothing", "half a head"])
def test_a_visitor_who_does_not_come_to_the_point_is_ended(tunnel: Tunnel, sent: bytes) -> None:
    with Visitor(tunnel.port) as visitor:
        visitor.send(sent)
        assert visitor.rest() in (b"", visitor.reader.buffer)


def test_an_idle_connection_is_ended(routed: Tunnel) -> None:
    with Visitor(routed.port) as visitor:
        assert visitor.ask(get("/", "example.com")).status == 200
        assert visitor.rest() == b""


# ---- tokens


@pytest.mark.parametrize("path", ["/connect", "/stream", "/status", "/metrics"])
@pytest.mark.parametrize("token", [None, "wrong", ""])
def test_without_the_token_there_is_no_upgrade(tunnel: Tunnel, path: str, token: str | None) -> None:
    with socket.create_connection(("127.0.0.1", tunnel.control_port), PATIENCE_SECONDS) as sock:
        fields = [] if token is None else [f"Authorization: Bearer {token}"]
        sock.sendall(
            request(f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{tunnel.control_port}", "Connection: Upgrade",
                    "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: sluice.v1",
                    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", *fields)
        )  # fmt: skip
        status_line = sock.makefile("rb").readline()
    assert status_line.split()[1] == b"401"
    assert b"101" not in status_line


def test_an_upstream_that_is_the_server_itself(tunnel: Tunnel) -> None:
    """Server and client on one machine: said at once, instead of going round until something is used up."""
    client = tunnel.add_client("loop", f"loop.example=http://127.0.0.1:{tunnel.port}")
    answer = once(tunnel.port, get("/", "loop.example"))
    assert answer.status == 508
    assert b"leads back to this server" in answer.body
    tunnel.remove_client(client)
