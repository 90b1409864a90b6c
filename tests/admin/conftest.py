"""A server's state as the control plane's pages read it, without a server."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, cast

import pytest
from flask.testing import FlaskClient

from appliance.admin.app import create_app
from appliance.certificates.material import Material
from appliance.certificates.overdue import Overdue
from appliance.certificates.store import Store
from appliance.config.control_plane import ControlPlaneOptions
from appliance.config.http_server import HttpServerConfig
from appliance.server.access import TokenGuard
from appliance.server.client_tokens import ClientTokens
from appliance.server.comings import Comings
from appliance.server.doors import Doors
from appliance.transport.listener import Capacity
from appliance.transport.tasks import crashes
from appliance.tunnel.counters import ControlCounters, HttpCounters, TcpCounters
from appliance.tunnel.inspector.store import Inspector
from appliance.tunnel.router import Router
from appliance.tunnel.session import Health
from appliance.wire.address import Upstream, parse_upstreams

TOKEN = "a token for tests"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
START = datetime(2026, 1, 31, 12, 23, 17, 321388, timezone(timedelta(hours=1)))


@dataclass(eq=False)  # by which a real one is hashed, too
class FakeSession:
    client_id: str = "0c5f2a1ca0174ee3a177c3be7cd6d950"
    remote: str = "[::1]:63671"
    since: datetime = START + timedelta(seconds=2)
    upstreams: tuple[Upstream, ...] = parse_upstreams(["http://127.0.0.1:8080"])
    version: str = "0.1.0"
    name: str = "attic"
    token: str = ""
    streams_idle: int = 8
    streams_used: int = 2
    bytes_in: int = 100
    bytes_out: int = 2000
    round_trip_seconds: float | None = 0.025
    health: dict[str, Health] = field(default_factory=dict)


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
    tcp: TcpCounters = field(default_factory=TcpCounters)
    control: ControlCounters = field(default_factory=ControlCounters)
    router: Router | None = field(default_factory=Router)
    doors: Doors | None = None
    capacity: Capacity | None = field(default_factory=lambda: Capacity(1000))
    comings: Comings = field(default_factory=Comings)
    inspector: Inspector | None = field(default_factory=Inspector)
    config: ControlPlaneOptions | None = field(default_factory=HttpServerConfig)
    control_certificate: Material | None = None
    store: Store | None = None
    late: list[Overdue] = field(default_factory=list)
    disconnected: list[str] = field(default_factory=list)
    in_use: list[tuple[str, Material]] = field(default_factory=list)
    connected: list[FakeSession] = field(default_factory=list)

    def sessions(self) -> list[FakeSession]:
        return list(self.connected)

    def disconnect(self, client_id: str) -> bool:
        self.disconnected.append(client_id)
        return any(session.client_id == client_id for session in self.connected)

    def control_port(self) -> int:
        return 8123

    def data_ports(self) -> tuple[int | None, int | None]:
        return 8000, None

    @property
    def tokens(self) -> ClientTokens:
        return self.guard.clients

    def overdue(self) -> list[Overdue]:
        return list(self.late)

    def certificates(self) -> list[tuple[str, Material]]:
        return list(self.in_use)


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
def make_client() -> Callable[..., FlaskClient]:
    """A client with the token, of another server."""

    def make(state: FakeState, sources: dict[str, str] | None = None) -> FlaskClient:
        client = create_app(cast(Any, state), sources=sources).test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = AUTHORIZED["Authorization"]
        return client

    return make


@pytest.fixture(autouse=True)
def no_crash_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests make tasks crash; that is counted for the process, and told as a finding."""
    monkeypatch.setattr(crashes, "count", 0)
