"""The health check of containers, without one. scripts/test-image runs it in them."""

from __future__ import annotations

import contextlib
import importlib.machinery
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.stage.process import ROOT, eventually, free_port
from tests.stage.tunnel import Tunnel
from tests.stage.upstream import Upstream


@pytest.fixture(scope="module")
def check() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("healthcheck", str(ROOT / "scripts" / "healthcheck"))
    spec = importlib.util.spec_from_loader("healthcheck", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture(params=[(), ("--auto-tls=false",), ("--allow-ips=203.0.113.0/24",)], ids=str)
def tunnel(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tunnel]:
    with contextlib.closing(Tunnel(tmp_path, *request.param, ready=False)) as tunnel:
        yield tunnel


def test_a_server_answers(check: ModuleType, tunnel: Tunnel) -> None:
    """With TLS, without, and to who may not connect."""
    eventually(lambda: check.answers(tunnel.control_port), "it is well", tunnel.server)
    assert {tunnel.port, tunnel.control_port} <= set(check.ports(check.LISTENING))


def test_what_is_no_server(check: ModuleType) -> None:
    assert not check.answers(free_port())
    with contextlib.closing(Upstream()) as upstream:
        assert not check.answers(upstream.port)  # it answers, with something else
