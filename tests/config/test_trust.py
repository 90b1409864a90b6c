"""How a server is to be trusted: fingerprints as people copy them, and options that exclude each other."""

import pytest

from appliance.config.http_client import HttpClientConfig
from appliance.config.options import ConfigError
from appliance.config.status import StatusConfig
from appliance.config.trust import TrustOptions, is_plain, parse_fingerprint

DIGITS = "0123456789abcdef" * 4
COLONS = ":".join(DIGITS.upper()[at : at + 2] for at in range(0, 64, 2))


@pytest.mark.parametrize(
    "text",
    [
        DIGITS,
        DIGITS.upper(),
        f" {DIGITS}\n",
        COLONS,
        f"sha256:{DIGITS}",
        f"SHA256:{COLONS}",
        f"sha-256 {DIGITS}",
        f"sha256 Fingerprint={COLONS}",  # as openssl x509 prints it
    ],
)
def test_fingerprints(text: str) -> None:
    assert parse_fingerprint(text) == DIGITS


@pytest.mark.parametrize(
    "text", ["", "sha256:", DIGITS[1:], DIGITS + "0", "g" + DIGITS[1:], f"md5:{DIGITS}", f"{DIGITS} x", "ü" * 64]
)
def test_no_fingerprints(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--ca-fingerprint .*64 hex digits") as caught:
        parse_fingerprint(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ca_fingerprint": "x"}, "--ca-fingerprint 'x': the 64 hex digits"),
        ({"tls_ca": " "}, "--tls-ca is empty"),
        ({"ca_fingerprint": DIGITS, "tls_ca": "f"}, "leave one of them out"),
        ({"ca_fingerprint": DIGITS, "insecure": True}, "--insecure accepts any certificate, which --ca-fingerprint"),
        ({"tls_ca": "f", "insecure": True}, "--insecure accepts any certificate, which --tls-ca forbids"),
        ({"ca_fingerprint": DIGITS, "auto_tls": False}, "which --auto-tls=false declines"),
        ({"ca_fingerprint": DIGITS, "url": "ws://h:80"}, "--ca-fingerprint needs TLS: write wss://"),
        ({"tls_ca": "f", "url": " HTTP://h:80"}, "--tls-ca needs TLS: write wss://"),
    ],
)
def test_what_excludes_each_other(values: dict[str, object], message: str) -> None:
    for config_class, given in ((HttpClientConfig, {"url": "wss://h:1", "upstream": ("a:1",)}), (StatusConfig, {})):
        with pytest.raises(ConfigError) as caught:
            config_class(**given | values)  # type: ignore[arg-type]
        assert message in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        {"ca_fingerprint": DIGITS},
        {"ca_fingerprint": DIGITS, "url": "wss://public.example"},
        {"tls_ca": "f"},
        {"tls_ca": "f", "auto_tls": False},
        {"insecure": True, "url": "ws://h:1"},
    ],
)
def test_what_goes_together(values: dict[str, object]) -> None:
    config: TrustOptions = StatusConfig(**values)  # type: ignore[arg-type]
    assert {name: getattr(config, name) for name in values} == values


def test_the_form_is_canonical() -> None:
    assert StatusConfig(ca_fingerprint=COLONS).ca_fingerprint == DIGITS


def test_plain() -> None:
    assert [is_plain(url) for url in ("ws://a", "http://a", "WS://a")] == [True] * 3
    assert [is_plain(url) for url in ("wss://a", "https://a", "ws:8123", "a:1")] == [False] * 4
