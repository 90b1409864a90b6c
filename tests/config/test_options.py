"""Options: durations, booleans, addresses to listen on, ranges; and every config describes itself."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config.certificates import CertificatesConfig
from appliance.config.client import ClientConfig
from appliance.config.file_server import FileServerConfig
from appliance.config.http_client import HttpClientConfig
from appliance.config.http_server import HttpServerConfig
from appliance.config.known import KnownConfig
from appliance.config.options import (
    ConfigError,
    check_networks,
    check_ranges,
    flag,
    listen_host,
    option,
    options_of,
    parse_boolean,
    parse_duration,
)
from appliance.config.server import ServerConfig
from appliance.config.shared import GROUPS
from appliance.config.status import StatusConfig
from appliance.config.tcp_client import TcpClientConfig
from appliance.config.tcp_server import TcpServerConfig

SERVERS = [HttpServerConfig, TcpServerConfig, ServerConfig]
CLIENTS = [HttpClientConfig, TcpClientConfig, ClientConfig]
CONFIGS = [*SERVERS, *CLIENTS, FileServerConfig, StatusConfig, KnownConfig, CertificatesConfig]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("1.5", 1.5), ("1m30s", 90), ("500ms", 0.5), ("2H", 7200), (" 1d ", 86400)],
)
def test_duration(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", " ", "abc", "-1", "1x", "1m30", "30 s", "1e3", "inf", "nan", "1s!"])
def test_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@given(st.text(max_size=20))
def test_any_text_is_a_duration_or_an_error(text: str) -> None:
    try:
        assert parse_duration(text) >= 0
    except ValueError:
        pass


def test_boolean() -> None:
    assert [parse_boolean(text) for text in ("true", "1", "T", "yes", "ON")] == [True] * 5
    assert [parse_boolean(text) for text in ("false", "0", "F", "no", "Off")] == [False] * 5
    with pytest.raises(ValueError, match="neither true nor false"):
        parse_boolean("maybe")


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("", ""),
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1:", "127.0.0.1"),
        ("::", "::"),
        ("::1", "::1"),
        ("[::1]", "::1"),
        ("[::1]:", "::1"),
        (":", ""),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("localhost", "localhost"),
    ],
)
def test_listen_host(text: str, host: str) -> None:
    assert listen_host(text, "data_addr") == host


@pytest.mark.parametrize("text", ["127.0.0.1:80", "host:80", "a b", "http://x"])
def test_listen_host_refuses(text: str) -> None:
    with pytest.raises(ConfigError, match="^--data-addr "):
        listen_host(text, "data_addr")


def test_networks() -> None:
    check_networks(("10.0.0.0/8", "10.0.0.1/8", "::1", "192.0.2.1"), "trusted_proxies")
    with pytest.raises(ConfigError, match="^--trusted-proxies 'proxy.lan' is neither"):
        check_networks(("::1", "proxy.lan"), "trusted_proxies")


@dataclasses.dataclass(frozen=True)
class Sample:
    count: int = option(3, help="", minimum=1, maximum=5)
    colour: str = option("red", help="", choices=("", "red", "green"))
    password: str = option("", help="", secret=True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": 0}, "--count 0 is too small: at least 1"),
        ({"count": 6}, "--count 6 is too large: at most 5"),
        ({"colour": "blue"}, "--colour 'blue': one of red, green"),
    ],
)
def test_ranges(values: dict[str, object], message: str) -> None:
    check_ranges(Sample())
    check_ranges(Sample(colour=""))
    with pytest.raises(ConfigError) as caught:
        check_ranges(Sample(**values))  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_not_a_number_is_out_of_range() -> None:
    with pytest.raises(ConfigError):
        check_ranges(Sample(count=float("nan")))  # type: ignore[arg-type]


def test_secrets_stay_out_of_repr() -> None:
    assert "hunter2" not in repr(Sample(password="hunter2"))
    for config in (HttpServerConfig(token="hunter2", license="hunter2"), FileServerConfig(token="hunter2")):
        assert "hunter2" not in repr(config)


@pytest.mark.parametrize("config_class", CONFIGS)
def test_every_field_is_an_option_with_help(config_class: type) -> None:
    described = dict(options_of(config_class))
    assert [field.name for field in described] == [f.name for f in dataclasses.fields(config_class)]
    for field, option_ in described.items():
        assert option_.help.endswith("."), field.name
        assert option_.hidden or option_.group in GROUPS, field.name
        assert option_.unit in (None, "seconds")


@pytest.mark.parametrize("config_class", CONFIGS)
def test_no_flag_is_taken_twice(config_class: type) -> None:
    names = ["--help", "-h"]
    for field, described in options_of(config_class):
        names += [flag(field.name), *described.aliases, *([described.short] if described.short else [])]
    assert len(names) == len(set(names))
