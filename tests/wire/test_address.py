"""Addresses as people write them, and as visitors' Host headers bring them."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.wire.address import (
    AddressError,
    ServerUrl,
    Upstream,
    host_key,
    join_host_port,
    parse_listen,
    parse_server_url,
    parse_target,
    parse_upstream,
    parse_upstreams,
)

UPSTREAMS = [
    ("example.com=http://127.0.0.1:3000", "example.com", "http", "127.0.0.1", 3000, "", False),
    ("http://127.0.0.1:3000", "", "http", "127.0.0.1", 3000, "", False),
    ("*=http://localhost", "", "http", "localhost", 80, "", False),
    ("HTTP://LocalHost:80/", "", "http", "localhost", 80, "", False),
    ("x=127.0.0.1:3000", "x", "http", "127.0.0.1", 3000, "", False),
    ("localhost", "", "http", "localhost", 80, "", False),
    ("x=http://[::1]:80", "x", "http", "::1", 80, "", False),
    ("x=[0:0::1]:8080", "x", "http", "::1", 8080, "", False),
    ("[::1]=http://a", "::1", "http", "a", 80, "", False),
    ("::1=http://a", "::1", "http", "a", 80, "", False),
    ("192.0.2.1=http://a", "192.0.2.1", "http", "a", 80, "", False),
    ("*.Example.COM.=http://a:1", "*.example.com", "http", "a", 1, "", False),
    ("b\u00fccher.example=http://a:1", "xn--bcher-kva.example", "http", "a", 1, "", False),
    ("x=https://10.0.0.1:8443?insecure=true", "x", "https", "10.0.0.1", 8443, "", True),
    ("https://10.0.0.1?insecure=true", "", "https", "10.0.0.1", 443, "", True),
    ("https://10.0.0.1/?insecure=false", "", "https", "10.0.0.1", 443, "", False),
    ("x=unix:/run/app.sock", "x", "unix", "", 0, "/run/app.sock", False),
    ("unix:///run/a=b.sock", "", "unix", "", 0, "/run/a=b.sock", False),
    ("files.example.com=/srv/my share", "files.example.com", "directory", "", 0, "/srv/my share", False),
    ("/srv/a=b", "", "directory", "", 0, "/srv/a=b", False),
    (" x = http://a:1 ", "x", "http", "a", 1, "", False),
]


@pytest.mark.parametrize(("text", "pattern", "scheme", "host", "port", "path", "insecure"), UPSTREAMS)
def test_upstream(text: str, pattern: str, scheme: str, host: str, port: int, path: str, insecure: bool) -> None:
    upstream = parse_upstream(text)
    assert (upstream.pattern, upstream.scheme, upstream.host, upstream.port) == (pattern, scheme, host, port)
    assert (upstream.path, upstream.insecure) == (path, insecure)
    assert parse_upstream(upstream.label) == upstream
    assert parse_target(upstream.target, upstream.pattern) == upstream


def test_labels_are_what_status_shows() -> None:
    assert parse_upstream("example.com=http://localhost:8000").label == "example.com=http://localhost:8000"
    assert parse_upstream("127.0.0.1:8080").label == "*=http://127.0.0.1:8080"
    assert parse_upstream("https://[::1]:443/?insecure=true").label == "*=https://[::1]?insecure=true"


@pytest.mark.parametrize(
    ("target", "port_offered", "label"),
    [
        ("tcp://localhost:8000", 8000, "localhost:8000"),
        ("tcp://localhost:22", 2222, "2222=localhost:22"),
        ("tcp://[::1]:22", 22, "[::1]:22"),
        ("unix:/run/pg.sock", 5432, "5432=unix:/run/pg.sock"),
    ],
)
def test_labels_for_tcp_tell_the_servers_port_where_it_differs(target: str, port_offered: int, label: str) -> None:
    assert dataclasses.replace(parse_target(target), port_offered=port_offered).label == label


@pytest.mark.parametrize(
    ("text", "target", "host", "port"),
    [
        ("tcp://Host.lan:22", "tcp://host.lan:22", "host.lan", 22),
        (" tcp://127.0.0.1:65535 ", "tcp://127.0.0.1:65535", "127.0.0.1", 65535),
        ("tcp://[0:0::1]:1", "tcp://[::1]:1", "::1", 1),
    ],
)
def test_a_tcp_target(text: str, target: str, host: str, port: int) -> None:
    assert parse_target(text) == Upstream("", target, "tcp", host, port, "", False)


@pytest.mark.parametrize(
    "text", ["tcp://", "tcp://h", "tcp://h:", "tcp://h:0", "tcp://h:70000", "tcp://h:1/", "tcp://h:1?x", "tcp://u@h:1"]
)
def test_no_tcp_target(text: str) -> None:
    with pytest.raises(AddressError):
        parse_target(text)


def test_http_has_no_upstreams_for_tcp() -> None:
    for text in ("tcp://h:22", "name=tcp://h:22"):
        with pytest.raises(AddressError, match="'tcp' is none of http://"):
            parse_upstream(text)


def test_a_directory_may_be_browsed_only_when_it_says_so() -> None:
    closed, browsed = parse_upstream("x=/srv/a"), parse_upstream("x=/srv/a?browse=true")
    assert (closed.path, closed.browse) == ("/srv/a", False)
    assert (browsed.path, browsed.browse) == ("/srv/a", True)
    assert parse_upstream(browsed.label) == browsed


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not host:port"),
        ("x=", "nothing after the ="),
        ("--grace=0.2s", "begins with a dash, as flags do"),
        ("=http://a", "begins with ="),
        ("x=ftp://a", "'ftp' is none of"),
        ("x=http://a/base", "has a path"),
        ("x=http://a:0", "between 1 and 65535"),
        ("x=http://a:65536", "between 1 and 65535"),
        ("x=http://a:123456", "not host:port"),
        ("x=http://a:", "not host:port"),
        ("x=http://a b", "not host:port"),
        ("x=http://::1", "not host:port"),
        ("x=http://[::1", "not host:port"),
        ("x=http://[1.2.3.4]", "not an IPv6 address"),
        ("x=http://a..b", "not a host name"),
        ("x=http://a\nb", "control characters"),
        ("x=3000", "write 127.0.0.1:3000"),
        ("x=http://a?insecure=true", "https:// alone"),
        ("x=https://a?secure=1", "only ?insecure=true"),
        ("x=unix:run.sock", "unix:/path/to/socket"),
        ("x=unix:", "unix:/path/to/socket"),
        ("x=unix:/run/", "unix:/path/to/socket"),
        ("x=/srv/\0", "control characters"),
        ("a:80=http://b", "leave the port out"),
        ("*a=http://b", "* may only stand alone"),
        ("*.*.a=http://b", "* may only stand alone"),
        ("*.=http://b", "not a host name"),
        ("*.192.0.2.1=http://b", "goes before a name"),
        ("*.[::1]=http://b", "goes before a name"),
        ("a b=http://c", "not a host name"),
        ("\u00fc..a=http://c", "not a host name"),
        (f"{'a' * 254}=http://c", "not a host name"),
    ],
)
def test_upstream_refused(text: str, reason: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse_upstream(text)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["http://me:hunter2@a", "x=https://hunter2@a:1/p", "x=me:hunter2@a:1"])
def test_passwords_are_refused_and_not_repeated(text: str) -> None:
    for parse in (parse_upstream, parse_server_url):
        with pytest.raises(AddressError) as caught:
            parse(text)
        assert "hunter2" not in str(caught.value)


def test_upstreams_by_flags_and_commas() -> None:
    found = parse_upstreams(["a=http://x:1, b=http://y:2", "", "http://z:3,"])
    assert [upstream.pattern for upstream in found] == ["a", "b", ""]


def test_a_name_is_given_once() -> None:
    for texts in (["a=x:1", "A.=y:2"], ["a=x:1,a=x:1"], ["x:1", "*=y:2"]):
        with pytest.raises(AddressError, match="given twice"):
            parse_upstreams(texts)


@pytest.mark.parametrize(
    ("text", "expected", "public"),
    [
        ("wss://Host.example", ServerUrl("wss", "host.example", 443), True),
        ("wss://host:443/", ServerUrl("wss", "host", 443), True),
        ("wss://host:8123", ServerUrl("wss", "host", 8123), False),
        ("wss://host:8123/connect", ServerUrl("wss", "host", 8123), False),
        ("https://host:8123", ServerUrl("wss", "host", 8123), False),
        ("ws://host", ServerUrl("ws", "host", 80), False),
        ("http://host:443", ServerUrl("ws", "host", 443), False),
        ("203.0.113.7:8123", ServerUrl("wss", "203.0.113.7", 8123), False),
        ("host", ServerUrl("wss", "host", 443), True),
        ("wss://[2001:DB8::1]:8123", ServerUrl("wss", "2001:db8::1", 8123), False),
    ],
)
def test_server_url(text: str, expected: ServerUrl, public: bool) -> None:
    url = parse_server_url(text)
    assert url == expected
    assert url.public == public
    assert parse_server_url(str(url)) == url


@pytest.mark.parametrize(
    ("url", "field"),
    [
        ("wss://tunnel.example.com", "tunnel.example.com"),
        ("wss://tunnel.example.com:443", "tunnel.example.com"),
        ("wss://tunnel.example.com:8123", "tunnel.example.com:8123"),
        ("ws://tunnel.example.com:443", "tunnel.example.com:443"),
        ("ws://[::1]:80", "[::1]"),
    ],
)
def test_what_stands_in_host(url: str, field: str) -> None:
    """Proxies compare it with names, and browsers leave the usual port out."""
    assert parse_server_url(url).host_field == field


def test_authority_has_brackets() -> None:
    assert parse_server_url("[::1]:8123").authority == "[::1]:8123"
    assert parse_server_url("a:8123").authority == "a:8123"
    assert join_host_port("::1", 80) == "[::1]:80"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "wss://",
        "tcp://h:1",
        "wss://h/stream",
        "wss://h/?x=1",
        "wss://h:x",
        "wss://h:0",
        "wss:/h",
        "w s:1",
    ],
)
def test_server_url_refused(text: str) -> None:
    with pytest.raises(AddressError):
        parse_server_url(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8080", ("0.0.0.0", 8080)),
        (":8080", ("0.0.0.0", 8080)),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("[::1]:80", ("::1", 80)),
        ("localhost:80", ("localhost", 80)),
    ],
)
def test_listen(text: str, expected: tuple[str, int]) -> None:
    assert parse_listen(text, "0.0.0.0") == expected


@pytest.mark.parametrize("text", ["", "a", "a:", "a:b", ":65536", "a b:80", ":-1", ":\u0661"])
def test_listen_refused(text: str) -> None:
    with pytest.raises(AddressError):
        parse_listen(text, "")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("example.com", "example.com"),
        ("EXAMPLE.com:8000", "example.com"),
        ("example.com.", "example.com"),
        ("example.com.:80", "example.com"),
        ("example.com:", "example.com"),
        ("127.0.0.1:80", "127.0.0.1"),
        ("[::1]", "::1"),
        ("[0:0:0:0:0:0:0:1]:8000", "::1"),
        ("[2001:DB8::A]:1", "2001:db8::a"),
        ("my_app-1.test", "my_app-1.test"),
    ],
)
def test_host_key(text: str, key: str) -> None:
    assert host_key(text) == key


NO_HOSTS = [
    "",
    ".",
    "..",
    "a..b",
    ".a",
    "a:b",
    "a:123456",
    "a:65536",
    "[::1",
    "[::1]x",
    "[]",
    "[:::]",
    "1:2:3",
]
NO_HOSTS += [
    "a b",
    "a/b",
    "a@b",
    "a,b",
    "a\n",
    "\u00e9.com",
    "a%20b",
    "[::1%25eth0]",
    "::1%0",
    "a" * 254,
    "a:\u0661",
]


@pytest.mark.parametrize("text", NO_HOSTS)
def test_no_host(text: str) -> None:
    with pytest.raises(AddressError):
        host_key(text)


@given(st.text(alphabet="aZ0.:[]-_%*\u00fc ", max_size=30) | st.text(max_size=30))
def test_any_host_is_a_key_or_an_error(text: str) -> None:
    try:
        key = host_key(text)
    except AddressError as error:
        assert "\n" not in str(error)
    else:
        assert key and host_key(join_host_port(key, 80)) == key


@given(st.text(alphabet="a=:/?[]*.,1@\u00fc", max_size=40) | st.text(max_size=40))
def test_any_upstream_is_a_value_or_an_error(text: str) -> None:
    try:
        upstream: Upstream = parse_upstream(text)
    except AddressError as error:
        assert "\n" not in str(error)
    else:
        assert parse_upstream(upstream.label) == upstream


@given(st.text(alphabet="ws:/h[]1@?connet", max_size=30) | st.text(max_size=30))
def test_any_server_url_is_a_value_or_an_error(text: str) -> None:
    try:
        url = parse_server_url(text)
    except AddressError as error:
        assert "\n" not in str(error)
    else:
        assert parse_server_url(str(url)) == url


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("wss://127.0.0.1:8123", True),
        ("wss://127.8.9.10", True),
        ("wss://[::1]:8123", True),
        ("wss://LOCALHOST.:8123", True),
        ("wss://localhost.example:8123", False),
        ("wss://a.localhost:8123", False),  # which name servers may lead anywhere
        ("wss://128.0.0.1:8123", False),
        ("wss://0.0.0.0:8123", False),
        ("wss://[::2]:8123", False),
    ],
)
def test_whether_a_server_is_this_machine(url: str, loopback: bool) -> None:
    assert parse_server_url(url).loopback is loopback
