"""A server's state as the control plane's pages read it, without a server."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, cast

import pytest
from flask.testing import FlaskClient

from appliance.admin.app import create_app
from appliance.server.access import TokenGuard
from appliance.tunnel.counters import ControlCounters, HttpCounters
from appliance.wire.address import Upstream, parse_upstreams

TOKEN = "a token for tests"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
START = datetime(2026, 1, 31, 12, 23, 17, 321388, timezone(timedelta(hours=1)))


@dataclass
class FakeSession:
    client_id: str = "0c5f2a1ca0174ee3a177c3be7cd6d950"
    remote: str = "[::1]:63671"
    since: datetime = START + timedelta(seconds=2)
    upstreams: tuple[Upstream, ...] = parse_upstreams(["http://127.0.0.1:8080"])
    version: str = "0.1.0"
    streams_idle: int = 8
    streams_used: int = 2
    bytes_in: int = 100
    bytes_out: int = 2000


@dataclass
class FakeState:
    mode: str = "http"
    version: str = "0.1.0"
    sha: str = "3f2a9c1"
    start_time: datetime = START
    hostname: str = "am1.local"
    ca_pem: bytes | None = b"-----BEGIN CERTIFICATE-----\n"
    ready: bool = True
    guard: TokenGuard = field(default_factory=lambda: TokenGuard(TOKEN))
    http: HttpCounters = field(default_factory=HttpCounters)
    control: ControlCounters = field(default_factory=ControlCounters)
    certificate_expiry: dict[str, float] = field(default_factory=dict)
    connected: list[FakeSession] = field(default_factory=list)

    def sessions(self) -> list[FakeSession]:
        return list(self.connected)


@pytest.fixture
def state() -> FakeState:
    return FakeState()


@pytest.fixture
def client(state: FakeState) -> FlaskClient:
    """A client without the token."""
    return create_app(cast(Any, state)).test_client()


@pytest.fixture
def authorized(client: FlaskClient) -> FlaskClient:
    client.environ_base["HTTP_AUTHORIZATION"] = AUTHORIZED["Authorization"]
    return client


@pytest.fixture
def session() -> FakeSession:
    return FakeSession()


@pytest.fixture
def token_headers() -> dict[str, str]:
    return dict(AUTHORIZED)


@pytest.fixture
def make_client() -> Callable[[FakeState], FlaskClient]:
    """A client with the token, of another server."""

    def make(state: FakeState) -> FlaskClient:
        client = create_app(cast(Any, state)).test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = AUTHORIZED["Authorization"]
        return client

    return make
