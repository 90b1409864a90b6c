"""A real browser's engine visits by HTTPS; it trusts the tests' authority as it trusts public ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stage.authority import Authority
from tests.stage.chromium import Chromium
from tests.stage.process import free_port
from tests.stage.tunnel import Tunnel
from tests.stage.upstream import Upstream

A, B = "a.example", "x.wild.example"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("issuer"))


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[dict[str, str]]:
    """Two names with two certificates on one port, and where a browser has to be sent for them."""
    flags = []
    for names in ((A,), ("*.wild.example",)):
        certificate, key = authority.issue(*names)
        flags += ["--data-cert", str(certificate), "--data-key", str(key)]
    port = free_port()
    upstream = Upstream()
    tunnel = Tunnel(tmp_path_factory.mktemp("browser"), "--https-port", str(port), "--hsts", "1d", *flags)
    try:
        tunnel.add_client("client", f"*=http://127.0.0.1:{upstream.port}")
        # The plain port is mapped from 80, as in a container: visitors are led to 443, mapped, too.
        yield {"*:80": f"127.0.0.1:{tunnel.port}", "*:443": f"127.0.0.1:{port}"}
    finally:
        tunnel.close()
        upstream.close()


@pytest.fixture(scope="module")
def browser(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority, hosts: dict[str, str]
) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("chromium"), authority.ca_file, hosts) as browser:
        yield browser


def test_two_names_with_two_certificates_on_one_port(browser: Chromium) -> None:
    for name, names in ((A, {A}), (B, {"*.wild.example"})):
        page = browser.open(f"https://{name}/page")
        assert (page.error, page.text, page.state) == ("", "/page", "secure")
        assert page.names == names
        assert page.security["protocol"] == "TLS 1.3"
        assert page.security["issuer"].startswith("Sluice authority ")


def test_plain_http_leads_there(browser: Chromium) -> None:
    page = browser.open(f"http://{A}/from/plain?x=1")
    assert (page.error, page.url, page.state) == ("", f"https://{A}/from/plain?x=1", "secure")


def test_a_name_that_no_certificate_has(browser: Chromium) -> None:
    assert browser.open("https://elsewhere.example/").error == "net::ERR_CERT_COMMON_NAME_INVALID"


def test_an_authority_that_nobody_vouches_for(tmp_path: Path, hosts: dict[str, str]) -> None:
    """So the tests above are trusted for the authority, and not for some other reason."""
    with Chromium(tmp_path, None, hosts) as stranger:
        assert stranger.open(f"https://{A}/").error == "net::ERR_CERT_AUTHORITY_INVALID"
