"""Addresses of flags: errors name the flag, directories may be written as in a shell."""

import os

import pytest

from appliance.cli.addresses import check_rules, offers_of, server_url
from appliance.config.client import ClientConfig
from appliance.config.http_client import HttpClientConfig
from appliance.config.http_server import HttpServerConfig
from appliance.config.options import ConfigError
from appliance.config.server import ServerConfig
from appliance.config.tcp_client import TcpClientConfig
from appliance.config.tcp_server import TcpServerConfig
from appliance.wire.address import parse_target

Texts = tuple[str, ...]


def labels(config: HttpClientConfig | TcpClientConfig | ClientConfig) -> list[str]:
    return [upstream.label for upstream in offers_of(config).upstreams]


def test_the_server() -> None:
    assert server_url("h:8123").port == 8123
    with pytest.raises(ConfigError, match="^--url: 'ftp://h': 'ftp' is not possible"):
        server_url("ftp://h")


# ---- by HTTP


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("./site", "*={cwd}/site"),
        (".", "*={cwd}"),
        ("name=../site", "name={parent}/site"),
        ("~/site", "*={home}/site"),
        ("name=./site?browse=true", "name={cwd}/site?browse=true"),
        ("/srv/share", "*=/srv/share"),
        ("a=http://b:1", "a=http://b:1"),
        ("a.b=c.d:1", "a.b=http://c.d:1"),
    ],
)
@pytest.mark.parametrize("client", [HttpClientConfig, ClientConfig])
def test_relative_directories(
    client: type[HttpClientConfig], text: str, label: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    cwd = os.getcwd()
    expected = label.format(cwd=cwd, parent=os.path.dirname(cwd), home="/home/me")
    assert labels(client(url="h", upstream=(text,))) == [expected]


def test_several_in_one_text() -> None:
    offers = offers_of(HttpClientConfig(url="h", upstream=("a=./x, b=~/y", "http://c")))
    assert [upstream.pattern for upstream in offers.http] == ["a", "b", ""]
    assert offers.upstreams == offers.http


def test_a_name_of_digits_is_a_name_where_there_are_no_ports() -> None:
    assert labels(HttpClientConfig(url="h", upstream=("2222=b:1",))) == ["2222=http://b:1"]


# ---- by TCP


@pytest.mark.parametrize(
    ("upstream", "ports", "expected"),
    [
        (("2222=127.0.0.1:22",), (), ["2222=127.0.0.1:22"]),
        (("localhost:8001", "localhost:8000"), (), ["localhost:8001", "localhost:8000"]),
        (("localhost:8001,5433=db.lan:5432",), (), ["localhost:8001", "5433=db.lan:5432"]),
        (("192.168.0.10",), ("80", "443"), ["192.168.0.10:80", "192.168.0.10:443"]),
        ((), ("2222",), ["127.0.0.1:2222"]),
        (("10.0.0.1:22",), ("2222",), ["2222=10.0.0.1:22"]),
        (("2222=[::1]:22", "[::1]:25"), (), ["2222=[::1]:22", "[::1]:25"]),
        (("5432=unix:/run/pg=1.sock",), (), ["5432=unix:/run/pg=1.sock"]),
    ],
)
def test_ports(upstream: Texts, ports: Texts, expected: list[str]) -> None:
    for given in ({"port": ports}, {"ports": ports}):
        config = TcpClientConfig(url="h", upstream=upstream, **given)  # type: ignore[arg-type]
        assert labels(config) == expected
        assert not offers_of(config).http


def test_what_the_client_dials_for_a_port() -> None:
    config = TcpClientConfig(url="h", upstream=("2222=[::1]:22", "localhost:8000", "5432=unix:/run/pg.sock"))
    upstreams = offers_of(config).upstreams
    assert [(it.target, it.scheme, it.port_offered) for it in upstreams] == [
        ("tcp://[::1]:22", "tcp", 2222),
        ("tcp://localhost:8000", "tcp", 8000),
        ("unix:/run/pg.sock", "unix", 5432),
    ]
    for upstream in upstreams:  # the server names it by its target alone
        assert parse_target(upstream.target).host == upstream.host


# ---- both


@pytest.mark.parametrize(
    ("upstream", "ports", "expected"),
    [
        (("a.test=http://b:1", "2222=c:22"), (), ["a.test=http://b:1", "2222=c:22"]),
        (("2222=c:22,a.test=./site",), (), ["a.test={cwd}/site", "2222=c:22"]),
        (("b:1",), ("22",), ["*=http://b:1", "127.0.0.1:22"]),
        (("22=c:2022", "25=unix:/s"), ("22", "80"), ["22=c:2022", "25=unix:/s", "127.0.0.1:80"]),
        (("a.test=unix:/s", "80=unix:/s"), (), ["a.test=unix:/s", "80=unix:/s"]),
    ],
)
def test_names_and_ports(upstream: Texts, ports: Texts, expected: list[str]) -> None:
    found = labels(ClientConfig(url="h", upstream=upstream, port=ports))
    assert found == [label.format(cwd=os.getcwd()) for label in expected]


# ---- local forwarding


@pytest.mark.parametrize("client", [HttpClientConfig, TcpClientConfig, ClientConfig])
def test_local_forwards(client: type[HttpClientConfig]) -> None:
    offers = offers_of(client(url="h", local=("5432:10.0.0.2:5432", "81:[::1]:80")))
    assert [str(forward) for forward in offers.local] == ["5432:10.0.0.2:5432", "81:[::1]:80"]
    assert not offers.upstreams


# ---- what is wrong


@pytest.mark.parametrize(
    ("client", "values", "message"),
    [
        (HttpClientConfig, {"upstream": ("a=x:1,a=y:2",)}, "--upstream: a is given twice"),
        (ClientConfig, {"upstream": ("a=x:1,a=y:2",)}, "--upstream: a is given twice"),
        (ClientConfig, {"upstream": ("22=x:1,22=y:2",)}, "--upstream: port 22 is given twice, for x:1 and y:2"),
        (ClientConfig, {"upstream": ("2222=http://x:1",)}, "--upstream: upstream 'http://x:1' is a URL"),
        (ClientConfig, {"upstream": ("70000=x:1",)}, "--upstream: '70000=x:1': a port is between 1 and 65535"),
        (TcpClientConfig, {"upstream": ("host.lan",)}, "--upstream: 'host.lan' has no port"),
        (TcpClientConfig, {"upstream": ("a.test=x:1",)}, "--upstream: 'a.test=x:1': 'a.test' is not a port"),
        (TcpClientConfig, {"upstream": ("http://x:1",)}, "--upstream: upstream 'http://x:1' is a URL"),
        (TcpClientConfig, {"port": ("0",)}, "--port: '0': a port is between"),
        (TcpClientConfig, {"port": ("ssh",)}, "--port: 'ssh' is neither a port nor a range"),
        (TcpClientConfig, {"ports": ("80", "x")}, "--ports: 'x' is neither a port nor a range"),
        (TcpClientConfig, {"ports": ("1-65535",), "upstream": ("x",)}, "--ports: 65535 ports are too many"),
        (TcpClientConfig, {"local": ("5432:x",)}, "--local: '5432:x' is not LPORT:HOST:PORT"),
        (HttpClientConfig, {"local": ("1:x:2", "1:y:2")}, "--local: local port 1 leads to 1:x:2 and 1:y:2"),
    ],
)
def test_errors_of_clients_name_their_flag(client: type, values: dict[str, Texts], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        offers_of(client(url="h", **values))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("server", [HttpServerConfig, TcpServerConfig, ServerConfig])
def test_rules_of_servers(server: type[HttpServerConfig]) -> None:
    check_rules(server())
    check_rules(server(client_forwarding=True, allow_forward_to=("db.lan:5432", "10.0.0.0/8:80", "443")))
    with pytest.raises(ConfigError, match="^--allow-forward-to: 'db.lan' is neither HOST:PORTS nor CIDR:PORTS"):
        check_rules(server(client_forwarding=True, allow_forward_to=("db.lan",)))


@pytest.mark.parametrize("server", [TcpServerConfig, ServerConfig])
@pytest.mark.parametrize("ports", [("80-79",), ("ssh",), (), ("0",)])
def test_ports_of_servers(server: type[TcpServerConfig], ports: Texts) -> None:
    with pytest.raises(ConfigError, match="^--allow-ports: "):
        check_rules(server(allow_ports=ports))
    check_rules(server(allow_ports=("*",)))


def test_a_host_alone_beside_ports_is_not_guessed() -> None:
    """For a website, or for the port?"""
    with pytest.raises(ConfigError, match="write http://192.0.2.7 for a website, or 443=192.0.2.7 for that port"):
        offers_of(ClientConfig(url="h", upstream=("192.0.2.7",), port=("443",)))
