"""For monitoring and programs that know no API: status, metrics, health, the authority's certificate.

`/connect` and `/stream` are the server's own: it takes WebSocket upgrades before they come here.
"""

from __future__ import annotations

import gzip
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, jsonify, request
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder, generate_latest, gzip_accepted

from appliance.admin.answers import line
from appliance.admin.context import context, state
from appliance.certificates.material import described
from appliance.certificates.overdue import told

blueprint = Blueprint("control", __name__)


@blueprint.get("/status")
def status() -> Response:
    server = state()
    info = {
        "version": server.version,
        "sha": server.sha,
        "mode": server.mode,
        "startTime": _iso(server.start_time),
        "hostname": server.hostname,
    }
    return jsonify(
        {
            "info": info,
            "clients": [_client(session) for session in server.sessions()],
            "certificates": [described(material, plane) for plane, material in server.certificates()],
            "certificatesOverdue": [told(one) for one in server.overdue()],
        }
    )


@blueprint.get("/metrics")
def metrics() -> Response:
    """Text or OpenMetrics, as the scraper asks; ``?name[]=`` picks single metrics."""
    registry = context().registry
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
    answer = line("426 Upgrade Required: this path is for sluice clients", 426)
    answer.headers["Upgrade"] = "websocket"
    answer.headers["Connection"] = "Upgrade"
    return answer


@blueprint.get("/healthz")
def healthz() -> Response:
    return line("ok")


@blueprint.get("/readyz")
def readyz() -> Response:
    return line("ready") if state().ready else line("not ready: starting or stopping", 503)


@blueprint.get("/.well-known/ca.crt")
def authority() -> Response:
    pem = state().ca_pem
    if pem is None:
        return line("this server has no authority of its own: public ones vouch for it, or nobody does", 404)
    return Response(pem, mimetype="application/x-pem-file")


def _client(session: Any) -> dict[str, object]:
    return {
        "clientID": session.client_id,
        "name": session.name,
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
