"""What every client has, tried with each of them."""

import os
from types import SimpleNamespace

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
        {"name": "the Pi under the stairs (Zoë's)"},
        {"name": "x" * 64},
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
        ({"name": ""}, "--name '': 1 to 64 printable characters"),
        ({"name": "  "}, "--name"),
        ({"name": "x" * 65}, "--name"),
        ({"name": "a\x1b[2J"}, "--name 'a\\x1b[2J': 1 to 64"),
        ({"name": "a\u202eb"}, "--name"),
        ({"local_addr": "127.0.0.1:80"}, "--local-addr '127.0.0.1:80' has a port"),
        ({"upstream_timeout": 0.0}, "--upstream-timeout 0 is too small"),
    ],
)
def test_refused(client: type[ClientOptions], values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        client(**GOOD | values)  # type: ignore[arg-type]
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_it_is_called(client: type[ClientOptions], monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's name may be anything, and is never a reason not to start."""
    assert client(**GOOD | {"name": " attic "}).called == "attic"  # type: ignore[arg-type]
    machine = SimpleNamespace(nodename="pi\udcff\n" + "x" * 100)
    monkeypatch.setattr(os, "uname", lambda: machine)
    config = client(**GOOD)  # type: ignore[arg-type]
    assert config.name is None and config.called == "pi" + "x" * 62
