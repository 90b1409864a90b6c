"""HTTP proxies: which is used, and what they may answer."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import gevent
import pytest

from appliance.transport import proxy, reach
from appliance.transport.connection import Connection
from appliance.wire.address import ServerUrl, parse_server_url
from tests.transport.servers import Serve, Server, hang, read_head, says

SERVER = parse_server_url("wss://tunnel.example:8123")
VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "REQUEST_METHOD")


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets these variables and no other that speaks of proxies."""

    def set_only(**variables: str) -> None:
        for name in VARIABLES:
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.lower(), raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    set_only()
    return set_only


@pytest.fixture
def serving() -> Iterator[Callable[[Serve], Server]]:
    made: list[Server] = []

    def make(serve: Serve) -> Server:
        made.append(Server(serve))
        return made[-1]

    yield make
    for server in made:
        server.close()


# Which one


@pytest.mark.parametrize(
    ("variables", "url", "found"),
    [
        ({}, "wss://a.example", None),
        ({"HTTPS_PROXY": "http://p:3128"}, "wss://a.example", "http://p:3128"),
        ({"https_proxy": "http://p:3128"}, "wss://a.example", "http://p:3128"),
        ({"HTTPS_PROXY": "p:3128"}, "wss://a.example", "http://p:3128"),
        ({"HTTPS_PROXY": "http://u:p%40ss@p"}, "wss://a.example", "http://u:p%40ss@p"),
        ({"HTTPS_PROXY": ""}, "wss://a.example", None),
        ({"HTTPS_PROXY": "http://p"}, "ws://a.example", None),
        ({"HTTP_PROXY": "http://p"}, "wss://a.example", None),
        ({"http_proxy": "http://p"}, "ws://a.example", "http://p"),
        ({"HTTP_PROXY": "http://p"}, "ws://a.example", "http://p"),
        ({"ALL_PROXY": "http://p"}, "wss://a.example", "http://p"),
        ({"all_proxy": "http://p", "https_proxy": "http://q"}, "wss://a.example", "http://q"),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "a.example"}, "wss://a.example", None),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "x, .example"}, "wss://a.example", None),
        ({"HTTPS_PROXY": "http://p", "no_proxy": "*"}, "wss://a.example", None),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "other.example"}, "wss://a.example", "http://p"),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "192.0.2.1"}, "wss://192.0.2.1:8123", None),
        ({"HTTPS_PROXY": "http://p"}, "wss://192.0.2.1:8123", "http://p"),
        ({"HTTPS_PROXY": "http://p"}, "wss://127.0.0.1:8123", None),
        ({"HTTPS_PROXY": "http://p"}, "wss://[::1]:8123", None),
        ({"HTTPS_PROXY": "http://p"}, "wss://localhost:8123", None),
        ({"HTTP_PROXY": "http://p", "REQUEST_METHOD": "GET"}, "ws://a.example", None),  # a CGI's visitor has set it
    ],
)
def test_which_proxy(environ: Callable[..., None], variables: dict[str, str], url: str, found: str | None) -> None:
    environ(**variables)
    setting = proxy.setting_for(parse_server_url(url))
    assert (setting and setting.geturl()) == found


@pytest.mark.parametrize("text", ["http://p:port", "http://[::1", "http://p:99999", "http://u:secret/x@p"])
def test_a_setting_that_is_nonsense_is_not_shown(environ: Callable[..., None], text: str) -> None:
    environ(HTTPS_PROXY=text)
    with pytest.raises(ConnectionError, match="not understood") as raised:
        proxy.setting_for(SERVER)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("text", ["https://p:443", "socks5://p:1080", "http://:3128", "http://"])
def test_kinds_that_are_not_spoken(text: str) -> None:
    with pytest.raises(ConnectionError, match="cannot be used"):
        proxy.through(urlsplit(text), SERVER, 1)


# Through it


def through(server: Server, url: ServerUrl = SERVER, login: str = "", seconds: float = 10) -> Connection:
    return proxy.through(urlsplit(f"http://{login}127.0.0.1:{server.port}"), url, seconds)


def test_a_tunnel(serving: Callable[[Serve], Server]) -> None:
    heads: list[bytes] = []

    def serve(connection: Connection) -> None:
        heads.append(read_head(connection))
        connection.write(b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n")
        while data := connection.read():
            connection.write(data)

    connection = through(serving(serve))
    connection.write(b"through")
    assert bytes(connection.read()) == b"through"
    assert connection.deadline == float("inf")
    connection.close()
    assert heads == [b"CONNECT tunnel.example:8123 HTTP/1.1\r\nHost: tunnel.example:8123\r\n\r\n"]


@pytest.mark.parametrize(
    ("login", "pair"),
    [("user:pass@", "user:pass"), ("user@", "user:"), ("d%C3%A9j%C3%A0:p%40%3A%2F@", "déjà:p@:/")],
)
def test_credentials(serving: Callable[[Serve], Server], login: str, pair: str) -> None:
    def serve(connection: Connection) -> None:
        wanted = b"\r\nProxy-Authorization: Basic " + base64.b64encode(pair.encode()) + b"\r\n"
        granted = wanted in read_head(connection)
        connection.write(b"HTTP/1.1 200 OK\r\n\r\n" if granted else b"HTTP/1.1 407 Who are you?\r\n\r\n")
        hang(connection)

    server = serving(serve)
    through(server, login=login).close()
    with pytest.raises(ConnectionError, match="answered 407 to CONNECT tunnel.example:8123.*HTTPS_PROXY"):
        through(server)


def test_an_answer_in_pieces(serving: Callable[[Serve], Server]) -> None:
    def serve(connection: Connection) -> None:
        read_head(connection)
        for byte in b"HTTP/1.0 200 OK\r\n\r\n":
            connection.write(bytes([byte]))
            gevent.sleep(0)
        hang(connection)

    through(serving(serve)).close()


def test_an_ipv6_server(serving: Callable[[Serve], Server]) -> None:
    heads: list[bytes] = []

    def serve(connection: Connection) -> None:
        heads.append(read_head(connection))
        connection.write(b"HTTP/1.1 204 Fine\r\n\r\n")

    through(serving(serve), parse_server_url("wss://[2001:db8::1]:8123")).close()
    assert heads[0].startswith(b"CONNECT [2001:db8::1]:8123 HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\nnot from here", "answered 403"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nno\n", "answered 502"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "answered 100"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 20\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/2 200\r\n\r\n", "does not speak HTTP"),
        (b"", "connection has ended"),
        (b"HTTP/1.1 200 OK\r\n", "connection has ended"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5000, "too long"),
        (b"HTTP/1.1 200 OK\r\n\r\nSSH-2.0", "more came than was asked for"),
    ],
)
def test_answers_that_open_nothing(serving: Callable[[Serve], Server], answer: bytes, reason: str) -> None:
    server = serving(says(answer))
    with pytest.raises(ConnectionError, match=f"the proxy 127.0.0.1:{server.port} .*{reason}"):
        through(server, login="user:secret@")


def test_a_proxy_that_hangs(serving: Callable[[Serve], Server]) -> None:
    server = serving(hang)
    with pytest.raises(ConnectionError, match="gave no answer: the time limit has passed"):
        through(server, seconds=0.05)


def test_a_proxy_that_is_not_there(serving: Callable[[Serve], Server]) -> None:
    server = serving(hang)
    server.close()
    with pytest.raises(ConnectionError, match="was not reached: Connection refused"):
        through(server)


def test_who_is_killed_meanwhile_leaves_nothing(serving: Callable[[Serve], Server]) -> None:
    server = serving(hang)
    attempt = gevent.spawn(through, server)
    while not server.connections:
        gevent.sleep(0)
    attempt.kill()
    assert isinstance(attempt.value, gevent.GreenletExit)


def test_the_port_of_a_proxy_that_names_none(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []

    def tcp(host: str, port: int, seconds: float) -> Connection:
        asked.append((host, port))
        raise OSError("enough")

    monkeypatch.setattr(reach, "tcp", tcp)
    with pytest.raises(ConnectionError, match=r"the proxy proxy.example:80 was not reached: enough"):
        proxy.through(urlsplit("http://proxy.example"), SERVER, 1)
    assert asked == [("proxy.example", 80)]
