"""What the server knows of itself, for the control plane's pages, status and metrics to read."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import datetime

from appliance.certificates.material import Material
from appliance.certificates.overdue import Overdue
from appliance.certificates.store import Store
from appliance.config.build import VERSION, sha
from appliance.config.control_plane import ControlPlaneOptions
from appliance.server.access import TokenGuard
from appliance.server.comings import Comings
from appliance.server.doors import Doors
from appliance.transport.listener import Capacity
from appliance.tunnel.counters import ControlCounters, HttpCounters, TcpCounters
from appliance.tunnel.inspector.store import Inspector
from appliance.tunnel.router import Router
from appliance.tunnel.session import Session

CONTROL, DATA = "control", "data"


class ServerState:
    """`sessions`: the connected clients; `ready`: both planes listen; `ca_pem`: the automatic authority, if used.

    `control_certificate`: None without TLS; `store`: the data plane's, None where that has no TLS. `router`, `doors`:
    None where that kind of tunnel is not served. `disconnect`: ends a client's session, says whether there was one.
    `tokens`: those of clients.
    `overdue`: the names that want a certificate from their issuer and have not got it.
    `control_port`, `data_ports` (plain HTTP, HTTPS): where the server listens, once it does.
    """

    def __init__(self, mode: str, guard: TokenGuard, sessions: Callable[[], list[Session]]) -> None:
        self.mode = mode
        self.version = VERSION
        self.sha = sha()
        self.start_time = datetime.now().astimezone()
        self.hostname = socket.gethostname()
        self.guard = guard
        self.tokens = guard.clients
        self.sessions = sessions
        self.http = HttpCounters()
        self.tcp = TcpCounters()
        self.control = ControlCounters()
        self.ca_pem: bytes | None = None
        self.control_certificate: Material | None = None
        self.store: Store | None = None
        self.ready = False
        self.router: Router | None = None
        self.inspector: Inspector | None = None  # of HTTP mode
        self.doors: Doors | None = None
        self.capacity: Capacity | None = None
        self.comings = Comings()
        self.overdue: Callable[[], list[Overdue]] = list
        self.config: ControlPlaneOptions | None = None
        self.disconnect: Callable[[str], bool] = lambda client_id: False
        self.control_port: Callable[[], int] = lambda: 0
        self.data_ports: Callable[[], tuple[int | None, int | None]] = lambda: (None, None)

    def certificates(self) -> list[tuple[str, Material]]:
        """All in use, each with its plane."""
        control = [] if self.control_certificate is None else [(CONTROL, self.control_certificate)]
        return control + [(DATA, material) for material in (self.store.listing() if self.store else [])]
