"""Certificates from pebble, as from Let's Encrypt: issued, kept, renewed. Only the directory URL and the authority that
is trusted for it differ from production."""

from __future__ import annotations

import http.client
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import datetime
from pathlib import Path

import pytest

from tests.stage.pebble import Pebble
from tests.stage.process import SLUICE, eventually, run
from tests.stage.site import Site
from tests.stage.upstream import Upstream

A, B = "a.example.com", "b.example.com"
SHORT = 12  # seconds that some certificates are good for: renewed after some eight


@pytest.fixture
def scene() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


Start = Callable[..., Site]


@pytest.fixture
def start(tmp_path: Path, scene: ExitStack) -> Start:
    """Starts pebble at the first call, and a site. Each call is another start of the server with the same state."""
    pebbles: list[Pebble] = []

    def begin(*names: str, flags: tuple[str, ...] = (), clock: str = "", **about_pebble: int) -> Site:
        if not pebbles:
            pebbles.append(Pebble(tmp_path, **about_pebble))  # type: ignore[arg-type]
            scene.callback(pebbles[0].close)
        site = Site(tmp_path, pebbles[0], *names, flags=flags, clock=clock)
        scene.callback(site.close)
        return site

    return begin


@pytest.mark.parametrize("method", ["http-01", "tls-alpn-01"])
def test_issues(start: Start, scene: ExitStack, tmp_path: Path, method: str) -> None:
    upstream = scene.enter_context(closing(Upstream("shop")))
    site = start(A, B, flags=("--plain-http", "off") if method == "tls-alpn-01" else ())
    first, second = site.served(A), site.served(B)
    assert first != second
    assert f"{A}: ordering a certificate, by {method}" in site.output
    site.tunnel.add_client("client", f"{A}=http://127.0.0.1:{upstream.port}")
    assert site.get(A)[0] == 200
    (request,) = upstream.requests()
    assert request.message.one("x-forwarded-proto") == "https"
    assert site.get(B)[0] == 404
    shown = {one["name"]: one for one in site.tunnel.status()["certificates"] if one["plane"] == "data"}
    assert {name: one["source"] for name, one in shown.items()} == {A: "acme", B: "acme"}
    renews = datetime.fromisoformat(shown[A]["renews"].replace("Z", "+00:00"))
    life = first.not_valid_after_utc - first.not_valid_before_utc
    assert 0.6 < (renews - first.not_valid_before_utc) / life < 0.67
    for path in (tmp_path / "authority" / "acme").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    listing = run(*SLUICE, "certificates", "--auto-tls-path", str(tmp_path / "authority")).decode()
    assert A in listing and "Pebble Intermediate CA" in listing


def test_plain_http_leads_to_https_but_for_challenges(start: Start) -> None:
    site = start(A)
    site.served(A)
    for path, expected in (("/shop?x=1", 301), ("/.well-known/acme-challenge/unknown", 301)):
        with closing(http.client.HTTPConnection("127.0.0.1", site.pebble.http_port, timeout=10)) as visitor:
            visitor.request("GET", path, headers={"Host": f"{A}:{site.pebble.http_port}"})
            answer = visitor.getresponse()
            assert answer.status == expected
            assert answer.headers["Location"] == f"https://{A}:{site.pebble.tls_port}{path}"


def test_a_restart_uses_what_is_there(start: Start) -> None:
    site = start(A)
    before = site.served(A)
    site.close()
    site = start(A)
    assert site.certificate(A) == before  # at once
    site.close()
    assert site.orders() == 0


def test_renews_and_open_connections_go_on(start: Start, scene: ExitStack) -> None:
    upstream = scene.enter_context(closing(Upstream("shop")))
    site = start(A, validity=SHORT)
    before = site.served(A)
    site.tunnel.add_client("client", f"{A}=http://127.0.0.1:{upstream.port}")
    staying = http.client.HTTPSConnection(A, timeout=10)
    staying.sock = site.connect(A)
    scene.callback(staying.close)
    for _ in range(2):
        staying.request("GET", "/")
        assert staying.getresponse().read()
        after = site.served(A, other_than=before, seconds=40)
        assert after.not_valid_after_utc > before.not_valid_after_utc
        assert after.public_key() != before.public_key()
        before = after
    local = staying.sock.getsockname()
    staying.request("GET", "/")
    assert staying.getresponse().status == 200
    assert staying.sock is not None and staying.sock.getsockname() == local


def test_pebble_forgets_everything_and_we_register_anew(start: Start) -> None:
    site = start(A, validity=SHORT)
    before = site.served(A)
    site.pebble.restart()
    site.served(A, other_than=before, seconds=40)  # by an authority that has just been made
    assert "the issuer does not know our account (any more): another one is registered" in site.output
    assert site.output.count("registered with the issuer") == 2


def test_a_name_taken_away_and_given_again(start: Start) -> None:
    site = start(A, B)
    first = site.served(B)
    site.close()
    site = start(A)
    site.served(A)
    assert f"{B} is not among --letsencrypt-domain any more: its certificate is not renewed" in site.output
    assert site.certificate(B) is None
    site.close()
    site = start(A, B)
    eventually(lambda: site.certificate(B) == first, "it is served again", site.server)
    assert site.orders() == 0


def test_every_second_nonce_is_bad(start: Start) -> None:
    site = start(A, B, bad_nonces=50)
    site.served(A)
    site.served(B)
    assert "no new certificate" not in site.output


def test_authorizations_of_earlier_orders_are_used(start: Start) -> None:
    site = start(A, validity=SHORT, reuse=100)
    before = site.served(A)
    site.served(A, other_than=before, seconds=40)
    assert "no new certificate" not in site.output
