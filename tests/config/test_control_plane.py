"""What every server has, tried with each of them."""

import pytest

from appliance.config.control_plane import ControlPlaneOptions
from appliance.config.http_server import HttpServerConfig
from appliance.config.options import ConfigError
from appliance.config.server import ServerConfig
from appliance.config.tcp_server import TcpServerConfig

SERVERS = [HttpServerConfig, TcpServerConfig, ServerConfig]


@pytest.fixture(params=SERVERS, ids=lambda config_class: config_class.__name__)
def server(request: pytest.FixtureRequest) -> type[ControlPlaneOptions]:
    return request.param  # type: ignore[no-any-return]


def test_defaults_are_those_people_know(server: type[ControlPlaneOptions]) -> None:
    config = server()
    assert (config.control_port, config.control_addr, config.data_addr) == (8123, "0.0.0.0", "")
    assert config.auto_tls and config.auto_tls_path is None and config.tls


def test_nothing_is_open_that_was_not_asked_for(server: type[ControlPlaneOptions]) -> None:
    config = server()
    assert not config.client_forwarding and not config.allow_forward_to
    assert not config.trusted_proxies and not config.lb_proxy_protocol


def test_addresses_are_bare(server: type[ControlPlaneOptions]) -> None:
    config = server(data_addr="127.0.0.1:", control_addr="[::1]")
    assert (config.data_addr, config.control_addr) == ("127.0.0.1", "::1")


def test_tls_by_own_certificate_or_not_at_all(server: type[ControlPlaneOptions]) -> None:
    assert server(auto_tls=False, tls_cert="c", tls_key="k").tls
    assert not server(auto_tls=False).tls


@pytest.mark.parametrize(
    "values",
    [
        {"allow_ips": ("203.0.113.7", "10.0.0.0/8", "fd00::/8")},
        {"client_forwarding": True},
        {"client_forwarding": True, "allow_forward_to": ("10.0.0.0/8:80",)},
        {"lb_proxy_protocol": "v2", "trusted_proxies": ("10.0.0.1",)},
    ],
)
def test_accepted(server: type[ControlPlaneOptions], values: dict[str, object]) -> None:
    config = server(**values)  # type: ignore[arg-type]
    assert {name: getattr(config, name) for name in values} == values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"control_port": -1}, "--control-port -1 is too small"),
        ({"tls_cert": "c"}, "--tls-key is missing"),
        ({"tls_key": "k"}, "--tls-cert is missing"),
        ({"trusted_proxies": ("x",)}, "--trusted-proxies 'x'"),
        ({"allow_ips": ("::1", "lan")}, "--allow-ips 'lan' is neither an IP address nor a CIDR block"),
        ({"control_addr": "0.0.0.0:8123"}, "--control-addr '0.0.0.0:8123' has a port"),
        ({"heartbeat": 0.0}, "--heartbeat 0 is too small"),
        ({"connect_timeout": float("inf")}, "--connect-timeout inf is too large"),
        ({"warm_streams": 5000}, "--warm-streams 5000 is too large"),
        ({"log_level": "loud"}, "--log-level 'loud'"),
        ({"lb_proxy_protocol": "v3", "trusted_proxies": ("::1",)}, "--lb-proxy-protocol 'v3': one of v1, v2"),
        ({"lb_proxy_protocol": "v1"}, "--lb-proxy-protocol needs --trusted-proxies"),
        ({"allow_forward_to": ("10.0.0.1:80",)}, "--allow-forward-to is for --client-forwarding"),
    ],
)
def test_refused(server: type[ControlPlaneOptions], values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        server(**values)  # type: ignore[arg-type]
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
