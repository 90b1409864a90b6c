import pytest

from appliance.config.known import KnownConfig
from appliance.config.options import ConfigError

PIN = "AB" * 32


def test_accepted() -> None:
    assert KnownConfig(url="wss://h:1", ca_fingerprint=PIN).ca_fingerprint == PIN.lower()
    assert KnownConfig(list=True).list
    assert KnownConfig(url="h:1", forget=True).forget


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "--url is missing"),
        ({"url": " "}, "--url is missing"),
        ({"url": "wss://h", "list": True}, "--list shows all servers"),
        ({"forget": True, "list": True}, "--list shows all servers"),
        ({"ca_fingerprint": PIN, "list": True}, "--list shows all servers"),
        ({"url": "ws://h:1"}, "ws:// has no certificate to trust"),
        ({"url": "wss://h:1", "forget": True, "ca_fingerprint": PIN}, "--forget and --ca-fingerprint exclude"),
        ({"url": "wss://h:1", "ca_fingerprint": "1"}, "--ca-fingerprint '1': the 64 hex digits"),
    ],
)
def test_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        KnownConfig(**values)  # type: ignore[arg-type]
    assert message in str(caught.value)
