"""From options to what orders certificates."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from appliance.certificates import acme_order
from appliance.certificates.challenges import Challenges
from appliance.certificates.letsencrypt import methods_at, renewals_of
from appliance.certificates.renewals import Renewals
from appliance.certificates.store import Store
from appliance.config.http_server import HttpServerConfig
from appliance.config.options import ConfigError
from tests.certificates.issuing import AUTHORITY, StandIn

URL = "https://ca.example/dir"


def renewals(directory: Path, environ: dict[str, str] | None = None, ca: str | None = None) -> Renewals:
    config = HttpServerConfig(letsencrypt_domain=("a.example",), letsencrypt_issuer=URL, letsencrypt_ca=ca)
    return renewals_of(config, directory / "state", Store(), Challenges(), lambda: (80, 443), environ or {})


@pytest.fixture
def authority(tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    path.write_bytes(AUTHORITY.certificate.public_bytes(serialization.Encoding.PEM))
    return str(path)


@pytest.mark.parametrize(
    "ports, methods",
    [
        ((80, 443), ["http-01", "tls-alpn-01"]),
        ((None, 443), ["tls-alpn-01"]),
        ((80, None), ["http-01"]),
        ((8000, 443), ["tls-alpn-01", "http-01"]),
        ((80, 8443), ["http-01", "tls-alpn-01"]),
        ((8000, 8443), ["http-01", "tls-alpn-01"]),
        ((None, None), []),
    ],
)
def test_the_challenge_whose_port_issuers_come_to_is_first(
    ports: tuple[int | None, int | None], methods: list[str]
) -> None:
    assert methods_at(*ports) == methods


@pytest.mark.parametrize("content, said", [(None, "cannot be read: No such file"), ("nothing", "PEM is wanted")])
def test_an_authority_that_is_none(tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=f"--letsencrypt-ca {path} .*{said}"):
        renewals(tmp_path, ca=str(path))


@pytest.mark.parametrize(
    "environ, given, trusted",
    [
        ({}, False, None),
        ({}, True, "file"),
        ({"SSL_CERT_FILE": "/system.pem"}, False, "/system.pem"),
        ({"SSL_CERT_FILE": "/system.pem"}, True, "file"),
        ({"SSL_CERT_FILE": "/system.pem", "REQUESTS_CA_BUNDLE": "/other.pem"}, False, None),  # the library's own doing
    ],
)
def test_who_is_trusted(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    authority: str,
    environ: dict[str, str],
    given: bool,
    trusted: str | None,
) -> None:
    asked: list[str | None] = []

    def issuer(url: str, email: str | None, ca: str | None, *_: object) -> StandIn:
        asked.append(ca)
        return StandIn(0.0)

    monkeypatch.setattr(acme_order, "Issuer", issuer)
    found = renewals(tmp_path, environ, authority if given else None)
    found.load()
    found.look()
    assert asked == [authority if trusted == "file" else trusted]
