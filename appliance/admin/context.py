"""What the pages of one server, or of one client, share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flask import Flask, current_app

from appliance.admin.broadcast import Broadcast
from appliance.admin.log_ring import Line, LogRing
from appliance.admin.logins import Login, Logins

if TYPE_CHECKING:
    from appliance.admin.watch import Watch
    from appliance.server.state import ServerState
    from appliance.tunnel.inspector.record import Record
    from appliance.tunnel.inspector.store import Inspector

_KEY = "sluice"


@dataclass
class Context:
    """`role`: "server" or "client"; `about`: mode, version and hostname; `csrf_token`: of a client's page, which has no
    log-in; `sources`: by field of the config, where it was given. `state`, `watch`: of a server.
    """

    role: str
    about: dict[str, str]
    inspector: Inspector | None
    lines: LogRing = field(default_factory=LogRing)
    broadcast: Broadcast = field(default_factory=Broadcast)
    logins: Logins = field(default_factory=Logins)
    csrf_token: str | None = None
    sources: dict[str, str] = field(default_factory=dict)
    state: ServerState | None = None
    watch: Watch | None = None
    registry: Any = None  # prometheus-client's, of a server

    def connect(self) -> None:
        """From now on, tell open pages what is logged and recorded."""
        broadcast = self.broadcast

        def told(line: Line) -> None:
            if broadcast.wanted("log"):
                broadcast.publish("log", line.view())

        def recorded(record: Record) -> None:
            if broadcast.wanted("request"):
                from appliance.admin.inspection.detail import summary  # here, for while nobody inspects it is idle

                broadcast.publish("request", summary(record))

        self.lines.on_line.append(told)
        if self.inspector is not None:
            self.inspector.subscribe(recorded)

    def log_out(self, login: Login) -> None:
        self.logins.end(login)
        self.broadcast.check()


def attach(app: Flask, context: Context) -> None:
    app.extensions[_KEY] = context


def context_of(app: Flask) -> Context:
    found: Context = app.extensions[_KEY]
    return found


def context() -> Context:
    """That of the request."""
    return context_of(current_app)


def state() -> ServerState:
    found = context().state
    assert found is not None, "this is no server"
    return found


def watch() -> Watch:
    found = context().watch
    assert found is not None, "this is no server"
    return found
