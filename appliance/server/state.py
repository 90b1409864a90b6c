"""What the server knows of itself, for the control plane's pages, status and metrics to read."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import datetime

from appliance.config.build import VERSION, sha
from appliance.server.access import TokenGuard
from appliance.tunnel.counters import ControlCounters, HttpCounters, TcpCounters
from appliance.tunnel.session import Session


class ServerState:
    """`sessions`: the connected clients; `ready`: both planes listen; `ca_pem`: the automatic authority, if used."""

    def __init__(self, mode: str, guard: TokenGuard, sessions: Callable[[], list[Session]]) -> None:
        self.mode = mode
        self.version = VERSION
        self.sha = sha()
        self.start_time = datetime.now().astimezone()
        self.hostname = socket.gethostname()
        self.guard = guard
        self.sessions = sessions
        self.http = HttpCounters()
        self.tcp = TcpCounters()
        self.control = ControlCounters()
        self.ca_pem: bytes | None = None
        self.certificate_expiry: dict[str, float] = {}
        self.ready = False
