"""Options of certificates from ACME servers: what is taken, and what is refused in which words."""

from __future__ import annotations

import pytest

from appliance.config.http_server import HttpServerConfig
from appliance.config.letsencrypt import ISSUERS
from appliance.config.options import ConfigError


def test_off_by_default() -> None:
    config = HttpServerConfig()
    assert config.letsencrypt_domain == ()
    assert config.letsencrypt_directory == ISSUERS["prod"]


def test_names_are_kept_as_certificates_have_them() -> None:
    config = HttpServerConfig(letsencrypt_domain=("App.Example.com.", "bücher.example", "app.example.com", "one"))
    assert config.letsencrypt_domain == ("app.example.com", "xn--bcher-kva.example", "one")


@pytest.mark.parametrize(
    "name, said",
    [
        ("*.example.com", "wildcards need a challenge in the DNS"),
        ("203.0.113.7", "is an IP address: a DNS name is wanted"),
        ("[2001:db8::1]", "is an IP address"),
        ("", "is not a DNS name"),
        ("https://app.example.com", "is not a DNS name"),
        ("app.example.com:443", "is not a DNS name"),
        ("a..example.com", "is not a DNS name"),
        ("-a.example.com", "is not a DNS name"),
        ("under_score.example.com", "is not a DNS name"),
        ("../../etc/passwd", "is not a DNS name"),
        ("1.2.3", "is not a DNS name"),
        ("a" * 64 + ".example.com", "is not a DNS name"),
        (".".join(["abcdefghi"] * 26), "is not a DNS name"),
    ],
)
def test_names_that_no_acme_server_would_certify(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        HttpServerConfig(letsencrypt_domain=(name,))
    assert "--letsencrypt-domain" in str(caught.value)


@pytest.mark.parametrize("issuer", ["prod", "staging", "https://ca.internal/acme/directory", "https://[::1]:14000/dir"])
def test_issuers(issuer: str) -> None:
    config = HttpServerConfig(letsencrypt_domain=("a.example",), letsencrypt_issuer=issuer)
    assert config.letsencrypt_directory == ISSUERS.get(issuer, issuer)


@pytest.mark.parametrize("issuer", ["production", "", "http://ca.internal/dir", "https://", "https://ca:port/dir"])
def test_issuers_that_are_none(issuer: str) -> None:
    with pytest.raises(ConfigError, match="is neither prod, staging, nor the https:// URL of an ACME directory"):
        HttpServerConfig(letsencrypt_domain=("a.example",), letsencrypt_issuer=issuer)


@pytest.mark.parametrize("email", ["me", "me@", "me@example.com,you@example.com", "mailto:me@example.com x"])
def test_addresses_that_are_none(email: str) -> None:
    with pytest.raises(ConfigError, match="--letsencrypt-email .* is not an e-mail address"):
        HttpServerConfig(letsencrypt_domain=("a.example",), letsencrypt_email=email)


@pytest.mark.parametrize(
    "flag, given",
    [
        ("--letsencrypt-email", {"letsencrypt_email": "me@example.com"}),
        ("--letsencrypt-issuer", {"letsencrypt_issuer": "staging"}),
        ("--letsencrypt-ca", {"letsencrypt_ca": "ca.pem"}),
    ],
)
def test_what_means_nothing_without_a_name(flag: str, given: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=f"{flag} is for --letsencrypt-domain: give that, too"):
        HttpServerConfig(**given)  # type: ignore[arg-type]
