import pytest

from appliance.config.http_server import HttpServerConfig
from appliance.config.options import ConfigError


def test_defaults_are_those_people_know() -> None:
    config = HttpServerConfig()
    assert (config.port, config.data_addr) == (8000, "")
    assert (config.control_port, config.control_addr) == (8123, "0.0.0.0")
    assert config.auto_tls and config.auto_tls_path is None and config.tls


def test_addresses_are_bare() -> None:
    config = HttpServerConfig(data_addr="127.0.0.1:", control_addr="[::1]")
    assert (config.data_addr, config.control_addr) == ("127.0.0.1", "::1")


def test_tls_by_own_certificate_or_not_at_all() -> None:
    assert HttpServerConfig(auto_tls=False, tls_cert="c", tls_key="k").tls
    assert not HttpServerConfig(auto_tls=False).tls


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"port": 65536}, "--port 65536 is too large"),
        ({"control_port": -1}, "--control-port -1 is too small"),
        ({"tls_cert": "c"}, "--tls-key is missing"),
        ({"tls_key": "k"}, "--tls-cert is missing"),
        ({"port": 8123}, "--port and --control-port are both 8123"),
        ({"trusted_proxies": ("x",)}, "--trusted-proxies 'x'"),
        ({"control_addr": "0.0.0.0:8123"}, "--control-addr '0.0.0.0:8123' has a port"),
        ({"heartbeat": 0.0}, "--heartbeat 0 is too small"),
        ({"idle_timeout": float("inf")}, "--idle-timeout inf is too large"),
        ({"warm_streams": 5000}, "--warm-streams 5000 is too large"),
        ({"log_level": "loud"}, "--log-level 'loud'"),
    ],
)
def test_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        HttpServerConfig(**values)  # type: ignore[arg-type]
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_any_two_ports_may_be_chosen_by_the_kernel() -> None:
    assert HttpServerConfig(port=0, control_port=0).port == 0
