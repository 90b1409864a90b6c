"""What every client has, tried with each of them."""

import pytest

from appliance.config.client import ClientConfig
from appliance.config.client_options import ClientOptions
from appliance.config.http_client import HttpClientConfig
from appliance.config.options import ConfigError
from appliance.config.tcp_client import TcpClientConfig

CLIENTS = [HttpClientConfig, TcpClientConfig, ClientConfig]
GOOD = {"url": "wss://h:8123", "upstream": ("127.0.0.1:3000",)}


@pytest.fixture(params=CLIENTS, ids=lambda config_class: config_class.__name__)
def client(request: pytest.FixtureRequest) -> type[ClientOptions]:
    return request.param  # type: ignore[no-any-return]


def test_defaults(client: type[ClientOptions]) -> None:
    config = client(**GOOD)  # type: ignore[arg-type]
    assert config.auto_tls and config.strict_forwarding and not config.insecure
    assert (config.local, config.local_addr) == ((), "127.0.0.1")


@pytest.mark.parametrize(
    "values",
    [
        {"client_id": "0" * 32},
        {"upstream": (), "local": ("5432:127.0.0.1:5432",)},
        {"local_addr": "192.168.0.1"},
    ],
)
def test_accepted(client: type[ClientOptions], values: dict[str, object]) -> None:
    config = client(**GOOD | values)  # type: ignore[arg-type]
    assert {name: getattr(config, name) for name in values} == values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"url": " "}, "--url is empty"),
        ({"upstream": ()}, "no --upstream"),
        ({"upstream": (" ", ""), "local": ("",)}, "no --upstream"),
        ({"client_id": "xyz"}, "--client-id 'xyz': 32 hex digits"),
        ({"client_id": "A" * 32}, "--client-id"),
        ({"local_addr": "127.0.0.1:80"}, "--local-addr '127.0.0.1:80' has a port"),
        ({"upstream_timeout": 0.0}, "--upstream-timeout 0 is too small"),
    ],
)
def test_refused(client: type[ClientOptions], values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        client(**GOOD | values)  # type: ignore[arg-type]
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
