"""The control plane's pages of one server: put together, with what is done before and after every request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask, Response, request

from appliance.admin import errors, gate, monitoring, page, server_api, shared_api, token_api, views
from appliance.admin.answers import bare_app, secured
from appliance.admin.context import Context, attach, context_of, state
from appliance.admin.log_ring import LogRing
from appliance.admin.metrics import create_registry
from appliance.admin.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.server.state import ServerState


class Pages:
    """What a server's pages need beside its state. `lines`: the log; `sources`: where settings come from. `make` is
    what the server calls; `start` and `stop` are called with it."""

    def __init__(self, lines: LogRing, sources: Mapping[str, str]) -> None:
        self._lines = lines
        self._sources = dict(sources)
        self._watch: Watch | None = None

    def make(self, server: ServerState) -> Flask:
        app = create_app(server, self._lines, self._sources)
        self._watch = context_of(app).watch
        return app

    def start(self) -> None:
        if self._watch is not None:
            self._watch.start()

    def stop(self) -> None:
        if self._watch is not None:
            self._watch.stop()


def create_app(server: ServerState, lines: LogRing | None = None, sources: Mapping[str, str] | None = None) -> Flask:
    """The Flask application of one server; several may live in one process."""
    app = bare_app(__name__)
    errors.register(app)
    about = {"mode": server.mode, "version": server.version, "hostname": server.hostname}
    context = Context("server", about, server.inspector, state=server, sources=dict(sources or {}))
    if lines is not None:
        context.lines = lines
    context.watch = Watch(server, context.broadcast)
    context.registry = create_registry(server)
    broadcast = context.broadcast
    server.comings.on_coming.append(lambda event: broadcast.publish("client", views.coming(event)))
    context.connect()
    attach(app, context)
    app.before_request(gate.require_token)
    app.after_request(_finish)
    for blueprint, prefix in (
        (monitoring.blueprint, ""),
        (page.blueprint, ""),
        (shared_api.blueprint, "/api/v1"),
        (server_api.blueprint, "/api/v1"),
        (token_api.blueprint, "/api/v1"),
    ):
        app.register_blueprint(blueprint, url_prefix=prefix)
    return app


def _finish(response: Response) -> Response:
    state().control.count(request.path, response.status_code)
    return secured(response)
