import pytest

from appliance.config.http_client import HttpClientConfig
from appliance.config.options import ConfigError

GOOD = {"url": "wss://h:8123", "upstream": ("http://127.0.0.1:3000",)}


def test_defaults() -> None:
    config = HttpClientConfig(**GOOD)  # type: ignore[arg-type]
    assert not config.upstream_insecure
    assert config.host_header is None


@pytest.mark.parametrize("host_header", ["app.test:80", ""])
def test_accepted(host_header: str) -> None:
    HttpClientConfig(**GOOD, host_header=host_header)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"upstream": ()}, "no --upstream given: say what to tunnel, like --upstream http://127.0.0.1:3000"),
        ({"host_header": "a b"}, "--host-header 'a b' is not a host name"),
        ({"host_header": "a\r\nX: y"}, "--host-header"),
    ],
)
def test_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        HttpClientConfig(**GOOD | values)  # type: ignore[arg-type]
    assert message in str(caught.value)
