"""The control plane's pages: status, metrics, health, the authority's certificate. They only read the state.

`/connect` and `/stream` are the server's own: it takes WebSocket upgrades before they come here.
"""

from __future__ import annotations

import gzip
import logging
from datetime import datetime
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Flask, Response, current_app, jsonify, request
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder, generate_latest, gzip_accepted
from werkzeug.exceptions import HTTPException

from appliance.admin.metrics import create_registry

if TYPE_CHECKING:
    from appliance.server.state import ServerState

OPEN_ENDPOINTS = frozenset({"control.healthz", "control.readyz", "control.authority"})

# On every answer. Nothing here is meant for a frame, a cache or a guess at its type.
SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_STATE = "sluice.state"
_REGISTRY = "sluice.registry"

log = logging.getLogger("sluice.admin")
blueprint = Blueprint("control", __name__)


def create_app(state: ServerState) -> Flask:
    """The Flask application of one server; several may live in one process."""
    app = Flask(__name__, static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    # A path is right or wrong: no redirects, which clients with tokens might follow.
    app.url_map.merge_slashes = False
    app.config["MAX_CONTENT_LENGTH"] = 64 * 1024
    app.extensions[_STATE] = state
    app.extensions[_REGISTRY] = create_registry(state)
    app.register_blueprint(blueprint)
    return app


def _state() -> ServerState:
    found: ServerState = current_app.extensions[_STATE]
    return found


@blueprint.before_app_request
def require_token() -> Response | None:
    """Paths that do not exist want the token too, so that strangers learn nothing from the difference."""
    if request.endpoint in OPEN_ENDPOINTS:
        return None
    authorization = request.headers.get("Authorization")
    if _state().guard.admit(request.remote_addr or "", authorization):
        return None
    reason = "this token is refused" if authorization else "a token is needed"
    refusal = _line(f"{reason}: send the server's token as Authorization: Bearer TOKEN", 401)
    refusal.headers["WWW-Authenticate"] = 'Bearer realm="sluice"'
    return refusal


@blueprint.after_app_request
def finish(response: Response) -> Response:
    response.headers.update(SECURITY_HEADERS)
    _state().control.count(request.path, response.status_code)
    return response


@blueprint.app_errorhandler(HTTPException)
def http_error(error: HTTPException) -> Response:
    """Werkzeug's status and headers (such as Allow), and one line instead of its page."""
    answer = Response(f"{error.code} {error.name}\n", error.code, mimetype="text/plain")
    for name, value in error.get_headers():
        if name.lower() != "content-type":
            answer.headers[name] = value
    return answer


@blueprint.app_errorhandler(Exception)
def internal_error(error: Exception) -> Response:
    log.error("%s %s failed; please report this", request.method, request.path, exc_info=error)
    return _line("500 Internal Server Error: the server's log says more", 500)


@blueprint.get("/")
def index() -> Response:
    state = _state()
    return _line(f"sluice {state.mode} server {state.version} on {state.hostname}: see /status and /metrics")


@blueprint.get("/status")
def status() -> Response:
    state = _state()
    info = {
        "version": state.version,
        "sha": state.sha,
        "mode": state.mode,
        "startTime": _iso(state.start_time),
        "hostname": state.hostname,
    }
    return jsonify({"info": info, "clients": [_client(session) for session in state.sessions()]})


@blueprint.get("/metrics")
def metrics() -> Response:
    """Text or OpenMetrics, as the scraper asks; ``?name[]=`` picks single metrics."""
    registry: Any = current_app.extensions[_REGISTRY]
    assert isinstance(registry, CollectorRegistry)
    try:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    except (TypeError, ValueError):  # a version that is no number
        encode, content_type = generate_latest, "text/plain; version=0.0.4; charset=utf-8"
    names = request.args.getlist("name[]")
    answer = Response(encode(registry.restricted_registry(names) if names else registry))
    answer.headers["Content-Type"] = content_type
    answer.headers["Vary"] = "Accept, Accept-Encoding"
    if gzip_accepted(request.headers.get("Accept-Encoding", "")):
        answer.data = gzip.compress(answer.data, compresslevel=1)
        answer.headers["Content-Encoding"] = "gzip"
    return answer


@blueprint.get("/connect")
@blueprint.get("/stream")
def upgrade_required() -> Response:
    """What a browser gets that looks at a client's path."""
    answer = _line("426 Upgrade Required: this path is for sluice clients", 426)
    answer.headers["Upgrade"] = "websocket"
    answer.headers["Connection"] = "Upgrade"
    return answer


@blueprint.get("/healthz")
def healthz() -> Response:
    return _line("ok")


@blueprint.get("/readyz")
def readyz() -> Response:
    return _line("ready") if _state().ready else _line("not ready: starting or stopping", 503)


@blueprint.get("/.well-known/ca.crt")
def authority() -> Response:
    pem = _state().ca_pem
    if pem is None:
        return _line("this server has no authority of its own: public ones vouch for it, or nobody does", 404)
    return Response(pem, mimetype="application/x-pem-file")


def _client(session: Any) -> dict[str, object]:
    return {
        "clientID": session.client_id,
        "remoteAddr": session.remote,
        "since": _iso(session.since),
        "upstreams": [upstream.label for upstream in session.upstreams],
        "version": session.version,
        "streams": {"idle": session.streams_idle, "used": session.streams_used},
        "bytesIn": session.bytes_in,
        "bytesOut": session.bytes_out,
    }


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")


def _line(text: str, code: int = 200) -> Response:
    return Response(text + "\n", code, mimetype="text/plain")
