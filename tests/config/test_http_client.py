import pytest

from appliance.config.http_client import HttpClientConfig
from appliance.config.options import ConfigError

GOOD = {"url": "wss://h:8123", "upstream": ("http://127.0.0.1:3000",)}


def test_defaults() -> None:
    config = HttpClientConfig(**GOOD)  # type: ignore[arg-type]
    assert config.auto_tls and config.strict_forwarding
    assert not config.insecure and not config.upstream_insecure
    assert config.host_header is None


@pytest.mark.parametrize("values", [{"client_id": "0" * 32}, {"host_header": "app.test:80"}, {"host_header": ""}])
def test_accepted(values: dict[str, str]) -> None:
    HttpClientConfig(**GOOD | values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"url": " "}, "--url is empty"),
        ({"upstream": ()}, "no --upstream given"),
        ({"upstream": (" ", "")}, "no --upstream given"),
        ({"client_id": "xyz"}, "--client-id 'xyz': 32 hex digits"),
        ({"client_id": "A" * 32}, "--client-id"),
        ({"host_header": "a b"}, "--host-header 'a b' is not a host name"),
        ({"host_header": "a\r\nX: y"}, "--host-header"),
        ({"upstream_timeout": 0.0}, "--upstream-timeout 0 is too small"),
    ],
)
def test_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        HttpClientConfig(**GOOD | values)  # type: ignore[arg-type]
    assert message in str(caught.value)
