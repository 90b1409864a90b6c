"""The data plane over TLS: which options go together, and what is said of those that do not."""

import pytest

from appliance.config.http_server import HttpServerConfig
from appliance.config.options import ConfigError
from appliance.config.server import ServerConfig

OWN = {"data_cert": ("c",), "data_key": ("k",)}
SERVERS = [HttpServerConfig, ServerConfig]


@pytest.fixture(params=SERVERS, ids=lambda config_class: config_class.__name__)
def server(request: pytest.FixtureRequest) -> type[HttpServerConfig]:
    return request.param  # type: ignore[no-any-return]


def test_without_certificates_nothing_changes(server: type[HttpServerConfig]) -> None:
    config = server()
    assert (config.port, config.port_given, config.secure) == (8000, False, False)


@pytest.mark.parametrize("source", [OWN, {"data_cert_dir": ("d",)}, {"letsencrypt_domain": ("a.example",)}])
def test_with_certificates_of_any_source(server: type[HttpServerConfig], source: dict[str, tuple[str, ...]]) -> None:
    config = server(**source)  # type: ignore[arg-type]
    assert (config.port, config.port_given, config.https_port, config.secure) == (80, False, 443, True)
    assert (config.plain_http, config.hsts) == ("redirect", 0.0)
    config = server(port=8080, **source)  # type: ignore[arg-type]
    assert (config.port, config.port_given) == (8080, True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"data_cert": ("c",)}, "--data-cert is given once and --data-key not: each certificate needs its key"),
        ({"data_cert": ("c",) * 3, "data_key": ("k",) * 2}, "given 3 times and --data-key twice"),
        ({"data_key": ("k",)}, "a --data-cert is missing"),
        ({"hsts": 60.0}, "--hsts is for HTTPS, which needs certificates"),
        ({"https_port": 8443}, "--https-port is for HTTPS, which needs certificates"),
        ({"plain_http": "off"}, "--plain-http is for HTTPS, which needs certificates"),
        ({"plain_http": "of"}, "--plain-http 'of': one of redirect, serve, off"),
        (OWN | {"https_port": 8123}, "--control-port and --https-port are both 8123"),
        (OWN | {"https_port": 80}, "--port and --https-port are both 80"),
        (OWN | {"hsts": 1e9}, "--hsts 1e+09 is too large"),
        ({"letsencrypt_email": "a@b"}, "--letsencrypt-email is for --letsencrypt-domain"),
    ],
)
def test_refused(server: type[HttpServerConfig], values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        server(**values)  # type: ignore[arg-type]
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_plain_port_that_is_off_is_in_nobodys_way(server: type[HttpServerConfig]) -> None:
    assert server(plain_http="off", https_port=80, **OWN).https_port == 80  # type: ignore[arg-type]
    assert server(plain_http="off", port=8123, https_port=0, control_port=8123, **OWN)  # type: ignore[arg-type]
