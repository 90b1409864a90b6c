import pytest

from appliance.config.http_server import HttpServerConfig
from appliance.config.options import ConfigError, options_of
from appliance.config.server import ServerConfig
from appliance.config.tcp_server import TcpServerConfig


def names(config_class: type) -> set[str]:
    return {field.name for field, _ in options_of(config_class)}


def test_has_what_either_has_and_serves_where_either_is_asked_for() -> None:
    config = ServerConfig()
    assert config.mode == "http+tcp"
    assert names(ServerConfig) == names(HttpServerConfig) | names(TcpServerConfig)
    assert isinstance(config, HttpServerConfig) and isinstance(config, TcpServerConfig)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"port": 8123}, "--port and --control-port are both 8123"),
        ({"proxy_protocol": "v3"}, "--proxy-protocol 'v3'"),
    ],
)
def test_checks_what_either_checks(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        ServerConfig(**values)  # type: ignore[arg-type]
