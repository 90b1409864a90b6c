"""One connected client, as the server knows it."""

from __future__ import annotations

import secrets
from datetime import datetime

from appliance.tunnel.pool import Pool
from appliance.wire.address import Upstream


class Session:
    """`remote`: the client's address and port; `upstreams`: what it offers; `pool`: its streams.

    `bytes_in`, `bytes_out`: visitors' bytes to its upstreams and back.
    """

    def __init__(self, client_id: str, remote: str, version: str, pool: Pool) -> None:
        self.client_id = client_id
        self.session_id = secrets.token_hex(16)
        self.secret = secrets.token_urlsafe(32)
        self.remote = remote
        self.version = version
        self.since = datetime.now().astimezone()
        self.upstreams: tuple[Upstream, ...] = ()
        self.pool = pool
        self.bytes_in = 0
        self.bytes_out = 0
        self.round_trip_seconds: float | None = None

    @property
    def streams_idle(self) -> int:
        return self.pool.resting

    @property
    def streams_used(self) -> int:
        return self.pool.used
