import pytest

from appliance.config.certificates import CertificatesConfig
from appliance.config.options import ConfigError


def test_without_a_url_it_is_this_machine() -> None:
    config = CertificatesConfig()
    assert (config.url, config.auto_tls_path, config.json) == ("", None, False)
    assert CertificatesConfig(url="wss://a.example", token="x").url == "wss://a.example"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"token": "x"}, "a token is for --url"),
        ({"token_file": "x"}, "a token is for --url"),
        ({"url": "wss://a.example", "auto_tls_path": "/x"}, "--auto-tls-path is for this machine's files"),
        ({"url": "wss://a.example", "ca_fingerprint": "x"}, "--ca-fingerprint 'x'"),
    ],
)
def test_refused(values: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CertificatesConfig(**values)  # type: ignore[arg-type]
