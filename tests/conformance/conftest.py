"""One server and one client for all conformance cases, with both kinds of upstream behind them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.witnesses import NginxWitness, PythonWitness
from tests.stage.failures import pytest_runtest_makereport  # noqa: F401
from tests.stage.nginx import Nginx
from tests.stage.tunnel import Tunnel
from tests.stage.upstream import Upstream
from tests.stage.visitor import Visitor


@dataclasses.dataclass
class Stage:
    """`nginx` and `python` are reached under every name below nginx.example and python.example."""

    tunnel: Tunnel
    nginx: NginxWitness
    python: PythonWitness
    other: Upstream

    @property
    def port(self) -> int:
        return self.tunnel.port

    @property
    def upstream(self) -> Upstream:
        return self.python.upstream


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    directory: Path = tmp_path_factory.mktemp("conformance")
    nginx, python, other = Nginx(directory), Upstream(), Upstream("other")
    tunnel = Tunnel(directory, "--response-timeout", "5s")
    try:
        tunnel.add_client(
            "client",
            f"*.nginx.example=http://127.0.0.1:{nginx.port}",
            f"*.python.example=http://127.0.0.1:{python.port}",
            f"other.example=http://127.0.0.1:{other.port}",
        )
        yield Stage(tunnel, NginxWitness(nginx), PythonWitness(python), other)
    finally:
        tunnel.close()
        nginx.close()
        python.close()
        other.close()


@pytest.fixture
def visitor(stage: Stage) -> Iterator[Visitor]:
    with Visitor(stage.port) as visitor:
        yield visitor
