"""One connected client, as the server knows it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime

from appliance.tunnel.pool import Pool
from appliance.wire.address import Upstream

MOST_TARGETS = 2000  # whose health is remembered: twice what a client may offer


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a target was reached when it was last dialled, why not, and since when that is so."""

    up: bool
    detail: str
    since: datetime


class Session:
    """`remote`: the client's address and port; `upstreams`: what it offers; `pool`: its streams; `name`: what people
    call it, "" where it does not say.

    `bytes_in`, `bytes_out`: visitors' bytes to its upstreams and back.
    """

    def __init__(self, client_id: str, remote: str, version: str, pool: Pool, name: str = "") -> None:
        self.client_id = client_id
        self.name = name
        self.session_id = secrets.token_hex(16)
        self.secret = secrets.token_urlsafe(32)
        self.remote = remote
        self.version = version
        self.since = datetime.now().astimezone()
        self.upstreams: tuple[Upstream, ...] = ()
        self.pool = pool
        self.token = ""  # the name of its own; "" is the server's
        self.may_forward = True  # use local forwards, as far as the server allows them at all
        self.bytes_in = 0
        self.bytes_out = 0
        self.round_trip_seconds: float | None = None
        self.health: dict[str, Health] = {}  # by target, of those that were dialled

    @property
    def called(self) -> str:
        """For the log: the id, which is its alone, and the name."""
        return f"{self.client_id} ({self.name})" if self.name else self.client_id

    def reached(self, target: str) -> None:
        """The client has reached the target on a fresh connection."""
        known = self.health.get(target)
        if known is None or not known.up:
            self._found(target, Health(True, "", datetime.now().astimezone()))

    def missed(self, target: str, detail: str) -> None:
        """The client did not reach the target."""
        known = self.health.get(target)
        if known is None or known.up or known.detail != detail:
            since = known.since if known is not None and not known.up else datetime.now().astimezone()
            self._found(target, Health(False, detail, since))

    def _found(self, target: str, health: Health) -> None:
        if len(self.health) >= MOST_TARGETS:  # it keeps changing what it offers
            self.health.clear()
        self.health[target] = health

    @property
    def streams_idle(self) -> int:
        return self.pool.resting

    @property
    def streams_used(self) -> int:
        return self.pool.used
