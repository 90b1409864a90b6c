import pytest

from appliance.config.client import ClientConfig
from appliance.config.http_client import HttpClientConfig
from appliance.config.options import ConfigError, options_of
from appliance.config.tcp_client import TcpClientConfig


def names(config_class: type) -> set[str]:
    return {field.name for field, _ in options_of(config_class)}


def test_has_what_either_has() -> None:
    assert names(ClientConfig) == names(HttpClientConfig) | names(TcpClientConfig)
    config = ClientConfig(url="h", port=("22",), host_header="a")
    assert isinstance(config, HttpClientConfig) and isinstance(config, TcpClientConfig)


def test_checks_what_either_checks() -> None:
    with pytest.raises(ConfigError, match="^no --upstream, --port or --local given: .*http://.* 2222="):
        ClientConfig(url="h")
    with pytest.raises(ConfigError, match="^--host-header"):
        ClientConfig(url="h", port=("22",), host_header="a b")
