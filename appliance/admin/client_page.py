"""A client's own page: its inspector, for who sits at the machine. No log-in: it listens on loopback alone.

Imports nothing of the server's metrics; a client without --inspect imports none of this.
"""

from __future__ import annotations

import hmac
import logging
import secrets
import socket
from _socket import socket as NativeSocket
from typing import Any

from flask import Blueprint, Flask, Response, request
from gevent import socket as gevent_socket
from gevent.pywsgi import WSGIHandler, WSGIServer

from appliance.admin import errors, shared_api, shell
from appliance.admin.answers import bare_app, line, secured
from appliance.admin.context import Context, attach, context
from appliance.admin.log_ring import LogRing
from appliance.admin.problems import problem
from appliance.config.build import VERSION
from appliance.config.options import ConfigError
from appliance.transport.listener import listen
from appliance.tunnel.inspector.store import ALL, Inspector
from appliance.wire.address import AddressError, host_key, join_host_port

# Names that lead nowhere but to this machine. A page of another site that had its own name lead here (DNS rebinding)
# would come with that name.
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
MOST_CONNECTIONS = 100

log = logging.getLogger("sluice.inspector")
blueprint = Blueprint("client", __name__)


class ClientPage:
    """`start` listens. All that the client carries is recorded, from then until it ends."""

    def __init__(self, inspector: Inspector, lines: LogRing) -> None:
        self.inspector = inspector
        about = {"mode": "http", "version": VERSION, "hostname": socket.gethostname()}
        self._context = Context("client", about, inspector, lines=lines, csrf_token=secrets.token_urlsafe(32))
        self._server: Any = None

    @property
    def port(self) -> int:
        return int(self._server.server_port)

    def start(self, host: str, port: int) -> None:
        """Raises ConfigError for an address that cannot be listened on."""
        try:
            sockets = listen(host, port)
        except OSError as error:
            place = join_host_port(host, port)
            raise ConfigError(f"--inspect {place}: {error.strerror or error}; choose another port") from None
        for unused in sockets[1:]:  # "localhost" is two addresses: one will do
            unused.close()
        self.inspector.switch(ALL, None)
        self._server = WSGIServer(
            _for_gevent(sockets[0]), create_app(self._context), handler_class=_Handler, log=None, error_log=log,
            spawn=MOST_CONNECTIONS,
        )  # fmt: skip
        self._server.start()
        log.info("inspector: http://%s", join_host_port(host, self.port))

    def stop(self) -> None:
        self._context.broadcast.close()
        if self._server is not None:
            self._server.stop(timeout=1)


class _Handler(WSGIHandler):
    """Nothing that anybody sends makes a traceback."""

    def log_error(self, msg: str, *args: Any) -> None:
        log.debug(msg, *args)


def create_app(page: Context) -> Flask:
    """The Flask application of one client."""
    app = bare_app(__name__)
    errors.register(app)
    attach(app, page)
    page.connect()
    app.before_request(require_this_machine)
    app.after_request(secured)
    app.register_blueprint(blueprint)
    app.register_blueprint(shared_api.blueprint, url_prefix="/api/v1")
    return app


def require_this_machine() -> Response | None:
    """Asked for by a loopback name, and changed by our own page alone."""
    try:
        host = host_key(request.headers.get("Host", ""))
    except AddressError:
        host = ""
    if host not in LOOPBACK_NAMES:
        return problem(403, "this page is reached by http://127.0.0.1 or http://localhost alone")
    if request.method not in ("GET", "HEAD", "OPTIONS"):
        given, wanted = request.headers.get("X-CSRF-Token", ""), context().csrf_token or ""
        if not hmac.compare_digest(given.encode(), wanted.encode()):
            return problem(403, "the X-CSRF-Token header is missing or wrong: it is the csrfToken of /api/v1/session")
    return None


@blueprint.get("/")
def index() -> Response:
    if "text/html" in request.headers.get("Accept", ""):
        return shell.page()
    return line(f"sluice http client {VERSION}: open this address in a browser, or see /api/v1/requests")


@blueprint.get("/assets/<path:path>")
def asset(path: str) -> Response:
    return shell.asset(path)


@blueprint.get("/favicon.ico")
def favicon() -> Response:
    return shell.asset("icon.svg")


def _for_gevent(sock: NativeSocket) -> Any:
    return gevent_socket.socket(sock.family, sock.type, sock.proto, fileno=sock.detach())
