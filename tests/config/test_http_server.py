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
    ],
)
def test_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        HttpServerConfig(**values)  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_any_two_ports_may_be_chosen_by_the_kernel() -> None:
    assert HttpServerConfig(port=0, control_port=0).port == 0
