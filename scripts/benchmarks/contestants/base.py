"""What every contestant is."""

from __future__ import annotations

from dataclasses import dataclass

from ..lab import Lab
from ..process import Child, LabError


@dataclass(frozen=True)
class Startup:
    """Seconds until the server is ready, and from the client's start until the first request is answered."""

    server_seconds: float
    client_seconds: float | None


class Contestant:
    """One way to reach the upstream. `start` may raise LabError, and `stop` may be called at any time."""

    name = ""
    title = ""
    is_tunnel = True
    programs: tuple[str, ...] = ()

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.port = 0
        self.server: Child | None = None
        self.client: Child | None = None

    def start(self) -> Startup:
        raise NotImplementedError

    def stop(self) -> None:
        # The client first: a server that sees it leave has less to clean up.
        self.lab.end([child for child in (self.client, self.server) if child is not None])
        self.server = self.client = None

    def server_pids(self) -> list[int]:
        return [self.server.pid] if self.server is not None else []

    def client_pids(self) -> list[int]:
        return [self.client.pid] if self.client is not None else []

    def check(self) -> None:
        """LabError when a process of this contestant has ended."""
        for role, child in (("server", self.server), ("client", self.client)):
            if child is not None and not child.alive():
                raise LabError(f"the {role} ended\n{child.log_tail()}")
