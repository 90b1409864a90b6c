import pytest

from appliance.config.http_server import HttpServerConfig
from appliance.config.options import ConfigError


def test_defaults_are_those_people_know() -> None:
    config = HttpServerConfig()
    assert (config.mode, config.port) == ("http", 8000)
    assert (config.head_timeout, config.keepalive_timeout, config.response_timeout) == (20.0, 75.0, 120.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"port": 65536}, "--port 65536 is too large"),
        ({"port": 8123}, "--port and --control-port are both 8123"),
        ({"keepalive_timeout": float("inf")}, "--keepalive-timeout inf is too large"),
        ({"inspect": ("a.example", "http://b")}, "--inspect 'http://b' is not a name"),
    ],
)
def test_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        HttpServerConfig(**values)  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_any_two_ports_may_be_chosen_by_the_kernel() -> None:
    assert HttpServerConfig(port=0, control_port=0).port == 0


def test_names_to_inspect() -> None:
    names = ("*", "*.a.example", "a.example", "::1")
    assert HttpServerConfig(inspect=names).inspect == names


@pytest.mark.parametrize("name", ["tunnel.example.com", "Tunnel.Example.COM.", "localhost", "127.0.0.1"])
def test_a_name_for_the_control_plane(name: str) -> None:
    assert HttpServerConfig(control_domain=name).control_domain == name.rstrip(".").lower()


@pytest.mark.parametrize("name", ["", " ", "https://a.example", "a.example:443", "*.a.example", "-a", "a" * 254])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(ConfigError, match="--control-domain .* is not a host name"):
        HttpServerConfig(control_domain=name)
