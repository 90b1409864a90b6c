"""Asking a control plane only to look at it. What other commands ask and get is in the tests of `status`."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.certificates.known_servers import FILE, KnownServers
from appliance.certificates.trust import CA_PATH
from appliance.cli.asking import Asking
from appliance.config.trust import TrustOptions
from appliance.wire.address import ServerUrl
from tests.stage.control_plane import TOKEN, Server, certificate, serve


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    context, ca_pem = certificate(tmp_path, "127.0.0.1")
    server = Server(ca_pem=ca_pem)
    stop = serve(server, context)
    server.answers[CA_PATH] = (200, ca_pem)
    yield server
    stop()


def test_who_only_looks_remembers_nothing_and_keeps_the_token(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    url = ServerUrl("wss", "127.0.0.1", server.port)
    mark = hashlib.sha256(ssl.PEM_cert_to_DER_cert(server.ca_pem.decode())).hexdigest()
    asking = Asking(url, TrustOptions(), looks=True)
    assert asking.get("/status", TOKEN).status == 401
    assert asking.stranger == mark and not (tmp_path / "state").exists()
    assert server.seen == [(CA_PATH, None), ("/status", None)]
    pinned = Asking(url, TrustOptions(ca_fingerprint=mark), looks=True)
    assert pinned.get("/status", TOKEN).status == 200
    assert pinned.stranger is None
    KnownServers(tmp_path / "state" / FILE).put(url.authority, mark)
    known = Asking(url, TrustOptions(), looks=True)
    assert known.get("/status", TOKEN).status == 200
    assert known.stranger is None
    KnownServers(tmp_path / "state" / FILE).put(url.authority, "ab" * 32)  # at a loopback address clients let it pass
    assert Asking(url, TrustOptions(), looks=True).get("/status", TOKEN).status == 401
    assert Asking(url, TrustOptions()).get("/status", TOKEN).status == 200
