"""What goes wrong with an ACME server, and what visitors see of it: as little as possible."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from appliance.certificates.acme_keys import certificate_id
from tests.stage.acme_proxy import AcmeProxy
from tests.stage.pebble import ELSEWHERE, Pebble
from tests.stage.process import ROOT, SLUICE, Process, eventually, free_port
from tests.stage.site import Site

A, B, C = "a.example.com", "b.example.com", "c.example.com"
# How pebble's directory calls them.
NEW_ACCOUNT, NEW_ORDER, FINALIZE, CERTIFICATE = "/sign-me-up", "/order-plz", "/finalize-order/", "/certZ/"


@pytest.fixture
def scene() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def pebble(tmp_path: Path, scene: ExitStack) -> Pebble:
    return scene.enter_context(closing(Pebble(tmp_path)))


@pytest.fixture
def proxy(pebble: Pebble, scene: ExitStack) -> AcmeProxy:
    return scene.enter_context(closing(AcmeProxy(pebble.url, pebble.directory)))


Start = Callable[..., Site]


@pytest.fixture
def start(tmp_path: Path, pebble: Pebble, scene: ExitStack) -> Start:
    def begin(*names: str, **how: str) -> Site:
        return scene.enter_context(closing(Site(tmp_path, pebble, *names, **how)))  # type: ignore[arg-type]

    return begin


def test_a_name_that_leads_elsewhere_touches_no_other(start: Start, pebble: Pebble) -> None:
    pebble.point(B, ELSEWHERE)
    site = start(A, B, C)
    site.served(A)
    site.served(C)
    site.said(f"{B}: no new certificate (none yet): the issuer has not found us by http-01")
    site.said("the issuer has not found us by tls-alpn-01")  # which is tried next
    assert "connection refused" in site.output
    assert site.certificate(B) is None
    # It is mended, and tried again by the next start: the last failure lies far enough back.
    pebble.point(B, "127.0.0.1")
    site.close()
    site = start(A, B, C, clock="+10m")
    site.served(B)
    assert site.orders() == 1


def test_a_limit_is_respected(start: Start, proxy: AcmeProxy) -> None:
    names = (A, "b.example.org", C)  # of two registered domains, which is what issuers limit
    proxy.limit(NEW_ORDER, 3600)
    site = start(*names, url=proxy.url)
    site.said("too much was asked (rateLimited); next try at")
    site.said("no certificates for now: ")  # after the second refusal nobody asks for the third name
    assert proxy.count(NEW_ORDER) == 2
    site.close()
    for clock in ("", "+50m"):
        again = start(*names, url=proxy.url, clock=clock)
        again.close()
        assert again.orders() == 0
    proxy.refusals.clear()
    site = start(*names, url=proxy.url, clock="+70m")
    for name in names:
        site.served(name)


def test_an_overloaded_issuer(start: Start, proxy: AcmeProxy) -> None:
    proxy.limit(NEW_ACCOUNT, 1800, status=503)
    site = start(A, B, url=proxy.url)
    site.said("no certificates for now: ")
    assert proxy.count(NEW_ACCOUNT) == 1
    site.close()
    proxy.refusals.clear()
    site = start(A, B, url=proxy.url, clock="+40m")
    site.served(A)
    site.served(B)


@pytest.mark.parametrize("moment", [NEW_ACCOUNT, NEW_ORDER, FINALIZE, CERTIFICATE])
def test_killed_half_way_through(start: Start, proxy: AcmeProxy, moment: str) -> None:
    """The issuer has done its part, and its answer is never heard."""
    proxy.holding.add(moment)
    site = start(A, url=proxy.url)
    assert proxy.held.wait(20)
    site.server.kill()
    proxy.holding.clear()
    proxy.release.set()
    site = start(A, url=proxy.url)
    site.served(A)
    # The account and the order that were under way, not further ones.
    assert proxy.count(NEW_ACCOUNT) == (2 if moment == NEW_ACCOUNT else 1)
    assert proxy.count(NEW_ORDER) == (2 if moment == NEW_ORDER else 1)
    assert len({asked.path for asked in proxy.asked if CERTIFICATE in asked.path}) == 1


def test_a_clock_a_year_ahead(tmp_path: Path, scene: ExitStack) -> None:
    """The issuer can be talked to, for once; what it issues looks as if it had ended long ago. Visitors like it."""
    pebble = scene.enter_context(closing(Pebble(tmp_path, ahead=timedelta(days=300))))
    site = scene.enter_context(closing(Site(tmp_path, pebble, A, clock="+365d")))
    site.served(A)
    site.said(f"but this machine's clock says {(datetime.now(timezone.utc) + timedelta(days=365)):%Y-%m}")
    site.close()
    site = scene.enter_context(closing(Site(tmp_path, pebble, A, clock="+366d")))
    assert site.certificate(A) is not None
    site.close()
    assert site.orders() == 0


def test_a_clock_a_year_ahead_of_the_issuers_own_certificate(start: Start) -> None:
    site = start(A)
    before = site.served(A)
    site.close()
    site = start(A, clock="+400d")
    site.said("is not trusted: certificate has expired: look at this machine's clock, which says 20")
    assert site.certificate(A) == before  # for visitors' clocks it is good
    site.close()
    site = start(A)  # with the clock set right
    assert site.certificate(A) == before
    site.close()
    assert site.orders() == 0


def test_a_clock_that_is_late(start: Start) -> None:
    site = start(A, clock="-2y")
    site.said("is not trusted: certificate is not yet valid: look at this machine's clock")
    site.close()
    site = start(A)
    site.served(A)


@pytest.mark.alone
def test_an_issuer_that_never_answers_delays_no_visitor(start: Start, scene: ExitStack, pebble: Pebble) -> None:
    silent = scene.enter_context(socket.create_server(("127.0.0.1", 0)))
    site = start(A, url=f"https://127.0.0.1:{silent.getsockname()[1]}/dir")
    silent.settimeout(20)
    held, _ = silent.accept()
    with held:
        with pytest.raises(ssl.SSLError, match="unrecognized name"):  # there is nothing that could be trusted
            site.connect(A)
        begin = time.monotonic()
        for _ in range(50):
            with closing(http.client.HTTPConnection("127.0.0.1", pebble.http_port, timeout=5)) as visitor:
                visitor.request("GET", "/", headers={"Host": A})
                assert visitor.getresponse().status == 301
        assert time.monotonic() - begin < 5
        site.close()  # and it stops at once
        assert site.server.stop() == 0


@pytest.mark.alone
def test_visitors_notice_nothing_of_orders(start: Start, proxy: AcmeProxy, pebble: Pebble) -> None:
    """Twenty orders, and a visitor who comes every few milliseconds."""
    names = [f"n{number}.example.com" for number in range(20)]
    longest = 0.0
    done = threading.Event()
    proxy.holding.add(NEW_ACCOUNT)  # until the visitor is there
    site = start(*names, url=proxy.url)

    def visit() -> None:
        nonlocal longest
        while not done.wait(0.005):
            begin = time.monotonic()
            with closing(http.client.HTTPConnection("127.0.0.1", pebble.http_port, timeout=20)) as visitor:
                visitor.request("GET", "/", headers={"Host": "nobody.example.com"})
                visitor.getresponse().read()
            longest = max(longest, time.monotonic() - begin)

    visitor = threading.Thread(target=visit)
    visitor.start()
    try:
        proxy.release.set()
        site.served(names[-1], seconds=60)
    finally:
        done.set()
        visitor.join(20)
    assert longest < 1.0


def test_the_issuers_wish_for_a_renewal_is_followed(start: Start, proxy: AcmeProxy) -> None:
    """RFC 9773: the certificate's time has come long before two thirds of its life."""
    now = datetime.now(timezone.utc)
    window = now + timedelta(days=10), now + timedelta(days=11)
    proxy.window = f"{window[0]:%Y-%m-%dT%H:%M:%SZ}", f"{window[1]:%Y-%m-%dT%H:%M:%SZ}"
    site = start(A, url=proxy.url)
    first = site.served(A)

    def renews() -> datetime:
        (text,) = [one["renews"] for one in site.tunnel.status()["certificates"] if one["source"] == "acme"]
        return datetime.fromisoformat(text.replace("Z", "+00:00"))

    eventually(lambda: window[0] <= renews() <= window[1] + timedelta(seconds=1), "the wish is known", site.server)
    site.close()
    start(A, url=proxy.url, clock="+9d").close()
    assert proxy.count(NEW_ORDER) == 1
    site = start(A, url=proxy.url, clock="+12d")
    site.served(A, other_than=first)
    payload = json.loads([asked for asked in proxy.asked if asked.path == NEW_ORDER][-1].body)["payload"]
    order = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert order["replaces"] == certificate_id(first)


def test_two_servers_over_one_directory_order_once(start: Start, proxy: AcmeProxy, tmp_path: Path) -> None:
    """The first holds an order open while the second starts, which then serves what the first has got."""
    proxy.holding.add(FINALIZE)
    site = start(A, url=proxy.url)
    assert proxy.held.wait(20)
    ports = f"--port={free_port()}", f"--https-port={free_port()}"
    second = start(A, url=proxy.url, flags=ports)
    proxy.release.set()
    site.served(A)
    second.close()
    assert second.orders() == 0
    assert proxy.count(NEW_ORDER) == 1


def test_the_library_is_missing(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Without:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'acme':\n"
        "            raise ModuleNotFoundError('No module named acme', name='acme')\n"
        "sys.meta_path.insert(0, Without())\n"
    )
    (tmp_path / "token").write_text("the-token-of-these-tests\n")
    command = [*SLUICE, "http", "server", f"--token-file={tmp_path / 'token'}", f"--auto-tls-path={tmp_path / 'state'}"]
    command += [f"--letsencrypt-domain={A}", f"--port={free_port()}", f"--https-port={free_port()}"]
    server = Process("server", command, tmp_path, {"PYTHONPATH": f"{tmp_path}:{ROOT}"})
    assert server.wait() == 2
    assert server.output.splitlines() == [
        "Error: --letsencrypt-domain needs the Python package 'acme', which is not installed: "
        "install Sluice with its extra acme, from a checkout by: pip install '.[acme]'"
    ]
    server.stop()
