import pytest

from appliance.config.options import ConfigError
from appliance.config.tcp_server import TcpServerConfig


def test_defaults() -> None:
    config = TcpServerConfig()
    assert (config.mode, config.proxy_protocol) == ("tcp", "")
    assert config.allow_ports == ("1024-65535", "80", "443")
    assert config.idle_timeout == 0


def test_a_connection_may_be_idle_for_weeks() -> None:
    assert TcpServerConfig(idle_timeout=14 * 86400.0).idle_timeout == 14 * 86400.0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"idle_timeout": -1.0}, "--idle-timeout -1 is too small"),
        ({"idle_timeout": float("nan")}, "--idle-timeout nan is too large"),
        ({"proxy_protocol": "2"}, "--proxy-protocol '2': one of v1, v2"),
    ],
)
def test_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TcpServerConfig(**values)  # type: ignore[arg-type]
    assert message in str(caught.value)
